#!/usr/bin/env python3
"""Measures cardinald on a real control plane: etcd, kube-apiserver and kube-scheduler as released (tests/e2e).

    bench/e2e.py --build=DIR [--quick] [--rounds=N] [--only=CASE,...] [--json=FILE] [--markdown=PAGE]

DIR is a build folder in which `make bench-programs` was done. In one run, case after case in turn, round after round: pods
a second from creation to bound for an extender that does nothing (bench/floor), for cardinald without node locks, and with
the locks and a plugin that answers at once (bench/hands); then a cluster that has exactly as many shares as there are pods, one
node that is filled by one turn after the other,
and how long it takes until another replica leads. Prints Markdown, and writes it into PAGE (docs/design/performance.md).

What is counted is taken from the API server's audit log, so nothing watches the cluster beside those who belong to it.
Everything is on loopback. Standard library only.
"""

import argparse
import collections
import datetime
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "e2e"))    # before our own folder, which has a makers.py as well

import cluster          # noqa: E402
import harness          # noqa: E402
import kube             # noqa: E402
import reader           # noqa: E402
import reaper           # noqa: E402
import stories_leader   # noqa: E402
from fakeplugin import FakePlugin   # noqa: E402
import page             # noqa: E402
from harness import expect, gpu, make_node, pod_object   # noqa: E402

# Everything that a component asks or writes; watches are told when they end.
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: None
    resources: [{group: coordination.k8s.io}]
  - level: None
    nonResourceURLs: ["*"]
  - level: Metadata
"""

RATE = 5000             # calls a second that kube-scheduler allows itself: no limit
BOUND_SECONDS = 240     # until all pods of a case are bound
SETTLED = 6.0           # seconds after its start: it sends its first Binding after 5 at most
LOCK_KEY = "hami.io/mutex.lock"
PAST_TAIL = 0.7         # seconds without a line in the audit log: all is written that belongs to a case


class Case:
    """One row: who answers kube-scheduler, with which flags."""

    def __init__(self, name, what, flags=(), floor=False, plugin=False, locks=True, beside=None):
        self.name, self.what, self.flags = name, what, flags
        self.floor, self.plugin, self.locks = floor, plugin, locks
        self.beside = beside                # the case that this one is compared with


CASES = [
    Case("a1", "extender that answers the first name", ("--first",), floor=True),
    Case("a2", "extender that answers all names", (), floor=True),
    Case("b1", "cardinald without locks, shortlist 1", ("--shortlist=1",), locks=False, beside="a1"),
    Case("b16", "cardinald without locks, shortlist 16", ("--shortlist=16",), locks=False, beside="a1"),
    Case("ball", "cardinald without locks, all", ("--shortlist=0",), locks=False, beside="a2"),
    Case("c-spread", "locks and plugin, spread", ("--node-scheduler-policy=spread",), plugin=True, beside="a1"),
    Case("c-binpack", "locks and plugin, binpack", ("--node-scheduler-policy=binpack",), plugin=True, beside="a1"),
]
EXACT = [
    Case("exact", "exactly as many shares as pods, without locks", (), locks=False),
    Case("exact-locks", "exactly as many shares as pods, locks and plugin", (), plugin=True),
]
TURNS = [       # one turn after the other, and the processors are not full
    Case("turns", "one node, filled by one turn after the other", ("--bind-timeout=60s",), plugin=True),
]
ALL = CASES + EXACT + TURNS


class Run:
    """What one case of one round gave."""

    def __init__(self, case):
        self.case = case
        self.rate = self.bind_rate = 0.0    # pods a second from the first creation, and from the first Binding
        self.cpu_ms = {}                    # milliseconds of processor time a pod, by process
        self.others = 0.0                   # processors that somebody else used meanwhile
        self.calls = {}                     # user -> {what: calls a pod}
        self.binds = {}                     # result -> count, as cardinald tells
        self.waits_ms = []                  # from a released lock to the next Binding, where a pod waited
        self.unwaited = 0
        self.filters = 0


# -- the audit log -------------------------------------------------------------------------------------------------


class Audit:
    """The API server's audit log from some point on."""

    def __init__(self, plane):
        self._path = os.path.join(plane.logs, "audit.log")
        self._at = os.path.getsize(self._path) if os.path.exists(self._path) else 0
        self._seen = self._at
        self.bound = 0

    def poll(self):
        """Counts Bindings that succeeded; returns whether there was anything new. Cheap: no line is decoded."""
        try:
            with open(self._path, "rb") as f:
                f.seek(self._seen)
                text = f.read()
        except OSError:
            return False
        text = text[:text.rfind(b"\n") + 1]
        self._seen += len(text)
        self.bound += sum(1 for line in text.splitlines() if b'"subresource":"binding"' in line and b'"code":201' in line)
        return bool(text)

    def events(self):
        with open(self._path, "rb") as f:
            f.seek(self._at)
            text = f.read()
        return [json.loads(line) for line in text[:text.rfind(b"\n") + 1].splitlines()]


def moment(text):
    """Seconds of a MicroTime."""
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=datetime.timezone.utc).timestamp()


def good(event):
    return event.get("responseStatus", {}).get("code", 0) < 300


def is_binding(event):
    """One that was done; one that its caller gave up may have been, which counts here: all pods are bound in the end."""
    return event["objectRef"].get("subresource") == "binding" and event["responseStatus"].get("code") in (201, 504)


def kind_of(event):
    ref = event["objectRef"]
    return "%s %s%s" % (event["verb"], ref["resource"], "/" + ref["subresource"] if ref.get("subresource") else "")


# -- one case ------------------------------------------------------------------------------------------------------


class Bench:
    def __init__(self, args, options):
        self.args, self.options = args, options
        self.pods = args.pods

    def program(self, name):
        path = os.path.join(self.args.build, name)
        expect(os.access(path, os.X_OK), "%s is not built (make bench-programs)", path)
        return path

    def plane(self, name, nodes, cards):
        """A control plane with empty nodes, all registered."""
        plane = cluster.ControlPlane(self.options, name)
        plane.audit_policy = AUDIT_POLICY
        plane.start()
        api = plane.api("admin")
        api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": harness.NAMESPACE}})
        FakePlugin(plane.api("plugin")).add_nodes([make_node("node-%04d" % i, cards=cards) for i in range(nodes)])
        plane.unlocked = self._rows_without_locks(plane)
        plane.pod_file = plane._write("pod.json", json.dumps(pod_object("p-#", gpu(mem=1000, cores=5))))
        return plane

    def _rows_without_locks(self, plane):
        """A vendor file with NVIDIA's row alone, as built in, but for its lock."""
        text = subprocess.run([self.options.cardinald, "--print-vendors"], capture_output=True, check=True).stdout.decode()
        head, *rows = re.split(r"^(?=- key:)", text, flags=re.M)
        row = next(r for r in rows if '"NVIDIA"' in r.splitlines()[0])
        row, rules = re.subn(r"(rules: \[)lock(?:, )?", r"\1", row)
        row, keys = re.subn(r"^    lock: .*\n", "", row, flags=re.M)
        expect(rules == 1 and keys == 1, "NVIDIA's row looks different: %s", row)
        return plane._write("unlocked.yaml", head + row)

    def _start_extender(self, plane, case):
        if case.floor:
            log = os.path.join(plane.logs, "floor.log")
            offset = os.path.getsize(log) if os.path.exists(log) else 0
            extender = plane._spawn("floor", [*case.flags, "--kubeconfig=" + plane.kubeconfig("cardinald"), "3000"],
                                    binary=self.program("bench/floor"))

            def port():
                with open(log, encoding="utf-8") as f:
                    f.seek(offset)
                    found = re.search(r"listening \S+:(\d+)\n", f.read())
                if found:
                    plane.ports["extender"] = int(found.group(1))
                return found
            cluster.wait_for(extender, "its address", 10, port)
            return extender
        flags = list(case.flags)
        if not case.locks:
            flags += ["--device-config-file=", "--vendor-file=" + plane.unlocked]
        plane.ports.pop("extender", None)
        plane.start_cardinald("-v=2", *flags)
        return plane.cardinald

    def run(self, plane, case):
        """Starts the components, creates the pods at once, waits until all are bound, counts, and clears up."""
        run = Run(case)
        extender = self._start_extender(plane, case)
        plane.start_scheduler(percentage=100, rate=RATE)
        plugin = None
        if case.plugin:
            plugin = plane._spawn("plugin", ["plugin", "--kubeconfig=" + plane.kubeconfig("plugin")], binary=self.program("bench/hands"))
        parts = {"extender": extender, "kube-scheduler": plane.scheduler, "kube-apiserver": plane.apiserver, "etcd": plane.etcd}
        # kube-scheduler and the plugin have read the cluster; a new cardinald lets the writes of one before it land
        time.sleep(1.0 if case.floor else SETTLED)
        audit = Audit(plane)
        log_at = os.path.getsize(extender.log)
        cpu = {n: p.cpu_seconds() for n, p in parts.items()}
        busy, began = machine_busy(), time.monotonic()
        creator = plane._spawn("creator", ["create", "--kubeconfig=" + plane.kubeconfig("admin"), "--file=" + plane.pod_file,
                                           "--count=%d" % self.pods], binary=self.program("bench/hands"))
        self._wait_bound(plane, case, audit, extender)
        spent = time.monotonic() - began
        busy = machine_busy() - busy
        self._wait_quiet(audit)
        expect(creator.ended() and creator.code == 0, "pods could not be created: %s", creator.tail())
        run.cpu_ms = {n: 1000 * (p.cpu_seconds() - cpu[n]) / self.pods for n, p in parts.items()}
        run.others = max(0.0, (busy - sum(run.cpu_ms.values()) * self.pods / 1000) / spent)
        self._count(plane, run, audit, extender, log_at)
        plane.scheduler.kill()
        if plugin is not None:
            plugin.stop()
            expect(plugin.code == 0, "the plugin stumbled: %s", plugin.tail())
        seconds = extender.stop()
        expect(extender.code == 0, "%s ended with %s after %.1f s: %s", extender.name, extender.code, seconds, extender.tail())
        self._clear(plane)
        return run

    def _wait_bound(self, plane, case, audit, extender):
        """Until the audit log tells of all Bindings; one that was cut off may have landed all the same, which a list tells."""
        deadline = time.monotonic() + BOUND_SECONDS
        still, api = time.monotonic(), plane.api("admin")
        while audit.bound < self.pods:
            if audit.poll():
                still = time.monotonic()
            elif time.monotonic() - still > PAST_TAIL and audit.bound > 0.9 * self.pods:
                if not api.get("/api/v1/pods", fieldSelector="spec.nodeName=", limit=1)["items"]:
                    return
                still = time.monotonic()
            expect(not extender.ended(), "%s ended with %s: %s", extender.name, extender.code, extender.tail())
            expect(time.monotonic() < deadline, "%s: %d of %d pods bound after %d s; logs %s", case.name, audit.bound, self.pods,
                   BOUND_SECONDS, plane.logs)
            time.sleep(0.05)

    def _wait_quiet(self, audit):
        still, deadline = time.monotonic(), time.monotonic() + 20
        while time.monotonic() - still < PAST_TAIL and time.monotonic() < deadline:
            if audit.poll():
                still = time.monotonic()
            time.sleep(0.05)

    def _count(self, plane, run, audit, extender, log_at):
        events = [e for e in audit.events() if "objectRef" in e]
        created = [e for e in events if kind_of(e) == "create pods" and good(e)]
        bindings = [e for e in events if is_binding(e)]
        first = min(moment(e["requestReceivedTimestamp"]) for e in created)
        last = max(moment(e["stageTimestamp"]) for e in bindings)
        run.rate = self.pods / (last - first)
        run.bind_rate = self.pods / (last - min(moment(e["requestReceivedTimestamp"]) for e in bindings))
        calls = collections.defaultdict(collections.Counter)
        for e in events:
            calls[e["user"]["username"]][kind_of(e)] += 1
        run.calls = {u: {w: n / self.pods for w, n in c.items()} for u, c in calls.items() if u in ("cardinald", "kube-scheduler", "plugin")}
        api = plane.api("admin")
        pods, nodes = api.get("/api/v1/pods")["items"], api.get("/api/v1/nodes")["items"]
        where = {p["metadata"]["name"]: p["spec"].get("nodeName") for p in pods}
        expect(len(where) == self.pods and all(where.values()), "not every pod is bound")
        if run.case.floor:
            return
        self._check_cards(pods, nodes)
        self._tell_metrics(plane, run)
        if run.case.plugin:
            left = [n["metadata"]["name"] for n in nodes if LOCK_KEY in kube.annotations(n)]
            expect(not left, "locks are left on %s", left[:5])
            self._hand_overs(run, events, where, extender.log, log_at)

    def _check_cards(self, pods, nodes):
        """The independent reader: no card has more than it has."""
        for node, cards in reader.ledger(pods, nodes).items():
            for uuid, card in cards.items():
                expect(all(u <= t for u, t in zip(card["used"], card["total"])), "card %s on %s: %s of %s", uuid, node,
                       card["used"], card["total"])

    def _tell_metrics(self, plane, run):
        status, text = cluster.http_get(plane.ports["metrics"], "/metrics", timeout=10)
        expect(status == 200, "GET /metrics: %d", status)
        run.binds = {r: int(float(n)) for r, n in re.findall(r'^cardinald_bind_total\{result="(\w+)"\}\s+(\S+)', text, re.M)}
        run.filters = harness.parse_verb_count(text, "filter")
        repairs = re.search(r"^cardinald_ledger_repairs_total\s+(\S+)", text, re.M)
        expect(float(repairs.group(1)) == 0, "cardinald repaired its ledger")

    def _hand_overs(self, run, events, where, log, log_at):
        """From the plugin's removal of a lock to the next Binding on that node, where the pod's bind had come by then."""
        came = arrivals(log, log_at)
        released, begun = collections.defaultdict(list), collections.defaultdict(list)
        for e in events:
            if e["user"]["username"] == "plugin" and kind_of(e) == "patch nodes" and good(e):
                released[e["objectRef"]["name"]].append(moment(e["stageTimestamp"]))
            elif is_binding(e):
                name = e["objectRef"]["name"]
                begun[where[name]].append((moment(e["requestReceivedTimestamp"]), name))
        for node, times in released.items():
            for at in times:
                later = [(t, name) for t, name in begun[node] if t > at]
                if not later:
                    continue
                next_at, name = min(later)
                if came.get(name, next_at) < at:
                    run.waits_ms.append(1000 * (next_at - at))
                else:
                    run.unwaited += 1

    def _clear(self, plane):
        api = plane.api("admin")
        api.call("DELETE", kube.pod_path(harness.NAMESPACE, "").rstrip("/"),
                 {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0}, timeout=120)
        deadline = time.monotonic() + 60
        while api.get("/api/v1/pods", limit=1)["items"]:
            expect(time.monotonic() < deadline, "pods do not go")
            time.sleep(0.1)


def arrivals(log, offset):
    """When the bind that succeeded had come, of each pod: cardinald's log says when it ended, and how long it took."""
    out = {}
    with open(log, "rb") as f:
        f.seek(offset)
        for line in f.read().decode("utf-8", "replace").splitlines():
            found = re.search(r'time=(\S+) .*msg="?bind"? .*\bpod=[^/ ]+/(\S+) .*\bms=(\d+) result="?ok', line)
            if found:
                out[found.group(2)] = moment(found.group(1)) - int(found.group(3)) / 1000
    return out


def machine_busy():
    """Seconds of all processors that were not idle."""
    with open("/proc/stat", encoding="ascii") as f:
        fields = [int(x) for x in f.readline().split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:8])) / os.sysconf("SC_CLK_TCK")


# -- who leads -----------------------------------------------------------------------------------------------------


def fail_over(plane, times):
    """Seconds until the other replica leads: after SIGTERM, and after kill -9 with a lease of 6 s."""
    flags = ("--leader-elect-mode=own", "--leader-elect-resource-name=turns", "--leader-elect-lease-duration=6s",
             "--leader-elect-renew-deadline=4s", "--leader-elect-retry-period=1s")
    released, killed = [], []
    leader = stories_leader.Replica(plane, "r0", *flags)
    stories_leader.until("r0 leads", 15, leader.leads)
    for i in range(2 * times):
        other = stories_leader.Replica(plane, "r%d" % (i + 1), *flags)
        if i < times:
            released.append(stories_leader.until_after_term("the other leads", 15, leader.process, other.leads))
        else:
            leader.process.kill()
            killed.append(stories_leader.until("the other leads", 20, other.leads))
        leader = other
    leader.process.stop()
    return released, killed


# -- words ---------------------------------------------------------------------------------------------------------


def middle(values):
    return statistics.median(values) if values else 0.0


def spread(values, form="%.0f"):
    """Median, and the lowest and highest of several."""
    text = form % middle(values)
    return text if len(values) < 2 else "%s (%s–%s)" % (text, form % min(values), form % max(values))


def ratios(runs, case):
    """To the case that it is compared with, round by round."""
    return [mine.rate / other.rate for mine, other in zip(runs[case.name], runs.get(case.beside, []))]


def percent(runs, result):
    total = sum(sum(r.binds.values()) for r in runs)
    return 100 * sum(r.binds.get(result, 0) for r in runs) / total if total else 0.0


def p99(values):
    return sorted(values)[min(len(values) - 1, int(0.99 * len(values)))] if values else 0.0


def case_rows(runs, cases):
    yield "| | case | pods/s, creation to bound | × | from the first Binding | cardinald, ms CPU a pod | kube-scheduler | kube-apiserver | binds in conflict | busy | filters a pod |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|"
    for case in cases:
        rs = runs.get(case.name)
        if not rs:
            continue
        ratio = ratios(runs, case)
        cpu = {n: middle([r.cpu_ms[n] for r in rs]) for n in rs[0].cpu_ms}
        ours = ("–", "–", "–") if case.floor else ("%.2f %%" % percent(rs, "conflict"), "%.2f %%" % percent(rs, "busy"),
                                                   "%.2f" % middle([r.filters / sum_pods(r) for r in rs]))
        yield "| %s | %s | %s | %s | %s | %.2f | %.2f | %.2f | %s | %s | %s |" % (
            case.name, case.what, spread([r.rate for r in rs]), "%s of %s" % (spread(ratio, "%.2f"), case.beside) if ratio else "–",
            spread([r.bind_rate for r in rs]), cpu["extender"], cpu["kube-scheduler"], cpu["kube-apiserver"], *ours)


def sum_pods(run):
    return run.binds.get("ok", 0) or 1


def call_rows(runs, cases):
    yield "| | who | API calls a pod |"
    yield "|---|---|---|"
    for case in cases:
        rs = runs.get(case.name)
        for user in ("cardinald", "kube-scheduler", "plugin") if rs else ():
            counts = {w: middle([r.calls.get(user, {}).get(w, 0) for r in rs]) for w in {w for r in rs for w in r.calls.get(user, {})}}
            shown = ["%s %.2f" % (w, n) for w, n in sorted(counts.items(), key=lambda x: -x[1]) if n >= 0.005]
            if shown:
                who = "extender" if case.floor and user == "cardinald" else user
                yield "| %s | %s | **%.2f**: %s |" % (case.name, who, sum(counts.values()), ", ".join(shown))


def aim_rows(runs, failed_over):
    yield "| aim | reached | |"
    yield "|---|---|---|"
    by_name = {c.name: c for c in CASES}

    def row(aim, value, form, holds):
        return "| %s | %s | %s |" % (aim, form % value, "yes" if holds else "**no**")
    for name, least in (("b1", 0.95), ("b16", 0.85), ("ball", 0.95)):
        case = by_name[name]
        ratio = ratios(runs, case)
        if ratio:
            yield row("%s ≥ %.0f %% of %s" % (case.what, 100 * least, case.beside), 100 * middle(ratio), "%.0f %%", middle(ratio) >= least)
    for what, cases in (("where nodes' turns fill the processors", CASES + EXACT), ("one turn after the other", TURNS)):
        waits = [w for c in cases for r in runs.get(c.name, []) for w in r.waits_ms]
        if waits:
            yield row("a released lock to the next Binding ≤ 20 ms, " + what, (middle(waits), p99(waits), len(waits)),
                      "median %.1f ms, p99 %.1f ms, of %d with a pod waiting", middle(waits) <= 20)
    mine = [c for c in ALL if not c.floor and c.name in runs]
    if mine:
        most = max(middle([r.cpu_ms["extender"] for r in runs[c.name]]) for c in mine)
        yield row("processor time of cardinald ≤ 1 ms a pod", most, "%.2f ms at most", most <= 1)
    for what, names in (("holds them all", [c.name for c in CASES]), ("holds exactly them", [c.name for c in EXACT])):
        rs = [r for n in names for r in runs.get(n, []) if r.binds]
        if rs:
            yield row("binds in conflict on a cluster that %s ≤ 1 %%" % what, percent(rs, "conflict"), "%.2f %%", percent(rs, "conflict") <= 1)
    if failed_over:
        released, killed = failed_over
        yield row("takeover ≤ 1 s after a release", max(released), "%.2f s at most", max(released) <= 1)
        yield row("takeover ≤ 7 s after kill -9 (a lease of 6 s)", max(killed), "%.2f s at most", max(killed) <= 7)


def report(args, runs, failed_over, load, began):
    rs = [r for case in runs.values() for r in case]
    commit = subprocess.run(["git", "-C", HERE, "rev-parse", "--short=12", "HEAD"], capture_output=True, check=False).stdout.decode().strip()
    out = ["%s, commit %s: %d nodes with %d cards of 10 shares, %d pods of one share created at once, %d round%s; load %.1f at the start, %.1f at the end; "
           "others used %.2f (%.2f–%.2f) of %d processors meanwhile; %d s in all."
           % (time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()), commit or "unknown", args.nodes, args.cards, args.pods, args.rounds, "" if args.rounds == 1 else "s", load, os.getloadavg()[0],
              middle([r.others for r in rs]), min(r.others for r in rs), max(r.others for r in rs), os.cpu_count(),
              time.monotonic() - began), ""]
    out += case_rows(runs, ALL)
    out += [""] + list(call_rows(runs, ALL)) + [""]
    for case in ALL:
        waits = [w for r in runs.get(case.name, []) for w in r.waits_ms]
        if case.plugin and case.name in runs:
            out.append("%s: from a released lock to the next Binding's start: median %.1f ms, p99 %.1f ms, most %.1f ms (%d with a pod "
                       "waiting; %d without are not counted)." % (case.name, middle(waits), p99(waits), max(waits, default=0.0),
                                                                  len(waits), sum(r.unwaited for r in runs[case.name])))
    if failed_over:
        out.append("Another replica leads %s s after a release, %s s after kill -9 (a lease of 6 s)."
                   % tuple(spread(v, "%.2f") for v in failed_over))
    return "\n".join(out + [""] + list(aim_rows(runs, failed_over)))


def as_json(args, runs, failed_over):
    return {"nodes": args.nodes, "cards": args.cards, "pods": args.pods,
            "runs": [{"case": r.case.name, **{k: v for k, v in vars(r).items() if k != "case"}} for rs in runs.values() for r in rs],
            "released_s": failed_over[0] if failed_over else [], "killed_s": failed_over[1] if failed_over else []}


# -- the whole -----------------------------------------------------------------------------------------------------


def measure(args, options):
    bench = Bench(args, options)
    runs = collections.defaultdict(list)

    def one(plane, case):
        run = bench.run(plane, case)
        runs[case.name].append(run)
        print("%-12s %6.1f pods/s, %6.1f from the first Binding; ms CPU a pod: %s; others %.2f; %s" % (
            case.name, run.rate, run.bind_rate, ", ".join("%s %.2f" % x for x in run.cpu_ms.items()), run.others,
            ", ".join("%s %d" % x for x in run.binds.items() if x[1])), file=sys.stderr, flush=True)
    cases = [c for c in CASES if not args.only or c.name in args.only]
    failed_over = None
    if cases or not args.only or "fail-over" in args.only:
        plane = bench.plane("bench", args.nodes, args.cards)
        try:
            for number in range(args.rounds):
                for case in cases if number % 2 == 0 else reversed(cases):
                    one(plane, case)
            if not args.only or "fail-over" in args.only:
                failed_over = fail_over(plane, 1 if args.quick else 3)
        finally:
            plane.stop()
    expect(args.pods % 10 == 0, "the number of pods must be a multiple of 10")
    for name, cases, nodes, cards in (("exact", EXACT, args.pods // 10, 1), ("turns", TURNS, 1, args.cards)):
        cases = [c for c in cases if not args.only or c.name in args.only]
        if cases:
            bench.pods = nodes * cards * 10
            plane = bench.plane(name, nodes, cards)
            try:
                for case in cases:
                    one(plane, case)
            finally:
                plane.stop()
    return runs, failed_over


def on_term(_signal, _frame):
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", required=True, metavar="DIR")
    parser.add_argument("--quick", action="store_true", help="50 nodes, 50 pods, one round: nothing worth reading, all of it runs")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--cards", type=int, default=8)
    parser.add_argument("--pods", type=int, default=1000)
    parser.add_argument("--only", type=lambda s: s.split(","), metavar="CASE,...",
                        help=", ".join(c.name for c in ALL) + ", fail-over")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--markdown", metavar="PAGE")
    parser.add_argument("--keep", action="store_true", help="keep the logs")
    args = parser.parse_args()
    if args.quick:
        args.nodes, args.pods, args.rounds = 50, 50, 1
    tools = subprocess.run([os.path.join(HERE, "..", "scripts", "e2e-tools")], stdout=subprocess.PIPE, check=False)
    if tools.returncode != 0:
        sys.exit(1)
    signal.signal(signal.SIGTERM, on_term)
    began, load = time.monotonic(), os.getloadavg()[0]
    work = tempfile.mkdtemp(prefix="cardinal-bench-e2e-")
    guard = reaper.Reaper()
    guard.watch_dir(work)
    try:
        options = cluster.Options(tools.stdout.decode().strip().splitlines()[-1], os.path.join(args.build, "src/extender/cardinald"),
                                  work, guard)
        options.certs = cluster.make_certificates(os.path.join(work, "certs"))
        runs, failed_over = measure(args, options)
    except (harness.Failure, cluster.StartError) as e:
        guard.keep_dir(work)
        sys.exit("e2e: %s\nlogs: %s" % (e, work))
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        if args.keep:
            guard.keep_dir(work)
            print("logs: " + work, file=sys.stderr)
        guard.close()
    text = report(args, runs, failed_over, load, began)
    print(text)
    if args.markdown:
        page.replace_parts(args.markdown, {"e2e": text.splitlines()})
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump(as_json(args, runs, failed_over), f, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
