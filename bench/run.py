#!/usr/bin/env python3
"""Measures cardinald beside its floor: one run prints all the figures that docs/design/performance.md speaks of.

    bench/run.py --build=DIR [--json=FILE] [--markdown=FILE] [--quick] [--rounds=N] [--only=PART,...]

DIR is a build folder in which `make bench-programs` was done. Parts: core, verbs, pods, names, holds, refusal, bind,
memory, apply, makers, alone. Everything runs on the loopback interface, bounded in count and time. --quick times nothing that is
worth reading: it goes through all of it with small clusters and checks the answers. --markdown replaces in FILE what stands
between the lines "<!-- bench PART -->" and "<!-- bench end -->" by this run's tables; parts that did not run stay.

Standard library only.
"""

import argparse
import json
import os
import platform
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

sys.dont_write_bytecode = True

import makers
import page
from makers import CARDS, CARD_MIB, gpu

SPLIT = 20
PARTS = ["core", "verbs", "pods", "names", "holds", "refusal", "bind", "memory", "apply", "makers", "alone"]


class Failure(Exception):
    """Something did not run, or an answer is wrong."""


class Process:
    """A program of ours that says on a line where it listens, and that is ended with the block."""

    def __init__(self, args, pattern, stream):
        self.log = tempfile.TemporaryFile("w+")
        self.err = tempfile.TemporaryFile("w+")
        self.args = args
        self.child = subprocess.Popen(args, stdout=self.log, stderr=self.err, stdin=subprocess.DEVNULL)
        self.pid = self.child.pid
        self.began = time.monotonic()
        self.address = self._wait(pattern, self.log if stream == "stdout" else self.err)

    def _text(self, f):
        f.flush()
        with open("/proc/self/fd/%d" % f.fileno(), encoding="utf-8", errors="replace") as again:
            return again.read()

    def _wait(self, pattern, f):
        until = time.monotonic() + 60
        while time.monotonic() < until:
            found = re.search(pattern, self._text(f))
            if found:
                return found.group(1)
            if self.child.poll() is not None:
                break
            time.sleep(0.005)
        text = self._text(self.err).strip().splitlines()
        self.stop()
        raise Failure("%s did not start: %s" % (os.path.basename(self.args[0]), text[-1] if text else "no word"))

    def stop(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(15)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.log.close()
        self.err.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def memory_mib(self):
        """Resident now, and the most that it ever was."""
        with open("/proc/%d/status" % self.pid, encoding="ascii") as f:
            text = f.read()
        return [int(re.search(r"%s:\s+(\d+) kB" % k, text).group(1)) / 1024 for k in ("VmRSS", "VmHWM")]

    def cpu_s(self):
        """Processor time of all its threads so far."""
        total = 0
        for task in os.listdir("/proc/%d/task" % self.pid):
            try:
                with open("/proc/%d/task/%s/schedstat" % (self.pid, task), encoding="ascii") as f:
                    total += int(f.read().split()[0])
            except OSError:
                pass   # a thread that ended meanwhile
        return total / 1e9


def get(address, path):
    try:
        with urllib.request.urlopen("http://%s%s" % (address, path), timeout=30) as r:
            return r.status, r.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


# -- clusters ------------------------------------------------------------------------------------------------------


def names(n):
    """Node names in the order of parallel workers: none."""
    out = ["node-%05d" % i for i in range(n)]
    random.Random(n).shuffle(out)
    return out


def shares_of(nodes, pods, fill):
    """How the stub's pods hold `fill` of all card memory, each card alike: cards a pod, MiB and percent of cores a share."""
    if not pods:
        return 1, 1000, 1
    cards = max(1, min(CARDS, -(-nodes * CARDS // pods)))
    return cards, int(nodes * CARDS * CARD_MIB * fill / pods / cards), 1


class Cluster:
    """cardinald on a made-up cluster, through the real list and watch path."""

    def __init__(self, bench, nodes, pods=0, fill=0.0, plain=0, flags=(), stub_flags=(), shape=None, nvidia=True):
        self.nodes, self.pods, self.fill = nodes, pods, fill
        cards, mem, cores = shares_of(nodes, pods, fill) if nvidia else (0, 1, 0)
        if shape:
            bench.number += 1
            path = os.path.join(bench.dir.name, "shape-%d" % bench.number)
            with open(path, "w", encoding="ascii") as f:
                f.write(makers.shape_file(shape))
            stub_flags = ["--shape=" + path, *stub_flags]
        self.share_mib = mem
        self.stub = Process(
            [bench.program("bench/stub_api"), "--nodes=%d" % nodes, "--cards=%d" % (CARDS if nvidia else 0),
             "--split=%d" % SPLIT, "--card-mem=%d" % CARD_MIB, "--pods=%d" % pods, "--pod-cards=%d" % cards, "--pod-mem=%d" % mem,
             "--pod-cores=%d" % cores, "--plain-pods=%d" % plain, "--seconds=900", *stub_flags],
            r"listening (\S+)\n", "stdout")
        self.kubeconfig = tempfile.NamedTemporaryFile("w", suffix=".json")
        json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "c",
                   "clusters": [{"name": "c", "cluster": {"server": "http://" + self.stub.address}}],
                   "users": [{"name": "u", "user": {}}],
                   "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}, self.kubeconfig)
        self.kubeconfig.flush()
        try:
            self.cardinald = Process(
                [bench.cardinald, "--kubeconfig=" + self.kubeconfig.name, "--listen-extender=127.0.0.1:0",
                 "--metrics-bind-address=127.0.0.1:0", *flags],
                r'msg="?listening[^\n]* extender="?([0-9.:]+)', "stderr")
        except Failure:
            self.stub.stop()
            raise
        self.address = self.cardinald.address
        try:
            self.ready_s = self._ready()
        except Failure:
            self.__exit__()
            raise

    def _ready(self):
        until = time.monotonic() + 180
        while time.monotonic() < until:
            try:
                status, body = get(self.address, "/readyz")
            except OSError:
                status, body = 0, b"no answer"
            if status == 200:
                return time.monotonic() - self.cardinald.began
            time.sleep(0.01)
        raise Failure("cardinald is not ready after 180 s: %s" % body.decode(errors="replace")[:200])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.cardinald.stop()
        self.stub.stop()
        self.kubeconfig.close()


# -- requests ------------------------------------------------------------------------------------------------------


def pod(uid, ask, annotations=None):
    """A pod as kube-scheduler sends it: its ask in the middle of some two KiB."""
    limits = {"cpu": "4", "memory": "16Gi", **ask}
    fields = {"f:metadata": {"f:labels": {"f:k%d" % i: {} for i in range(40)}}}
    return {
        "metadata": {"name": "ask-" + uid, "namespace": "bench", "uid": "10000000-0000-4000-8000-" + uid,
                     "resourceVersion": "2000000", "creationTimestamp": "2026-11-21T09:39:58Z",
                     "labels": {"app": "ask"}, **({"annotations": annotations} if annotations else {}),
                     "managedFields": [{"manager": "kubectl", "operation": "Update", "apiVersion": "v1",
                                        "fieldsType": "FieldsV1", "fieldsV1": fields}]},
        "spec": {"containers": [{"name": "main", "image": "registry.example/train:1", "resources": {
                     "limits": limits, "requests": limits}, "imagePullPolicy": "IfNotPresent",
                     "env": [{"name": "E%d" % i, "value": "v"} for i in range(10)]}],
                 "restartPolicy": "Never", "schedulerName": "hami-scheduler", "priority": 0,
                 "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}]},
        "status": {"phase": "Pending", "qosClass": "Burstable"}}


ONE_POD, MANY_PODS = "000000000001", "#u##########"
EQUAL = gpu("1500", "10")
DIFFERENT = gpu("1#s#", "#t")


def body(node_names, uid, ask, annotations=None):
    return json.dumps({"Pod": pod(uid, ask, annotations), "Nodes": None, "NodeNames": node_names},
                      separators=(",", ":"))


class Bench:
    def __init__(self, args):
        self.build, self.quick, self.rounds = args.build, args.quick, args.rounds
        self.rows = []
        self.dir = tempfile.TemporaryDirectory(prefix="cardinal-bench-")
        found = [p for p in (os.path.join(self.build, q) for q in ("src/extender/cardinald", "cardinald"))
                 if os.path.isfile(p)]
        if not found:
            raise Failure("no cardinald in %s" % self.build)
        self.cardinald = found[0]
        self.floors = {}
        self.number = 0

    def program(self, name):
        path = os.path.join(self.build, name)
        if not os.access(path, os.X_OK):
            raise Failure("%s is not built (make bench-programs)" % path)
        return path

    def load(self, *args, **more):
        """The calmest of --rounds runs: the one whose process used least a request. Other work on the machine only adds."""
        best = None
        for _ in range(1 if more.get("lines") else self.rounds):
            figures, answer = self.load_once(*args, **more)
            if best is None or figures["cpu_us"] < best[0]["cpu_us"]:
                best = figures, answer
        return best

    def load_once(self, process, path, text, connections=1, want=None, seconds=2, warmup=None, requests=None, lines=False,
             first=None):
        """Runs the load generator on a Process; returns its figures and the first answer. cpu_us: what the process
        itself used a request; on a busy machine more to be trusted than times on the clock."""
        address = process.address
        self.number += 1
        where = os.path.join(self.dir.name, "body-%d" % self.number)
        answer = where + ".answer"
        with open(where, "w", encoding="ascii") as f:
            f.write(text)
        if requests is None:
            requests = 40 if self.quick else 20000
        if warmup is None:
            warmup = 5 if self.quick else 50
        if first is None:  # different asks of one measurement are new to the next one as well
            first = self.number * 7919 % 700000
        args = [self.program("bench/load"), "--address=" + address, "--path=" + path, "--body=" + where,
                "--connections=%d" % connections, "--requests=%d" % requests, "--warmup=%d" % warmup,
                "--seconds=%d" % seconds, "--answer=" + answer, "--first=%d" % first]
        if want:
            args.append("--want=" + want)
        if lines:
            args.append("--lines")
        before = process.cpu_s()
        done = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
        spent = process.cpu_s() - before
        if done.returncode != 0:
            raise Failure("%s on %s: %s" % (path, address, (done.stderr or done.stdout).decode(errors="replace").strip()[:600]))
        with open(answer, encoding="utf-8") as f:
            first_answer = json.load(f)
        os.unlink(where)
        os.unlink(answer)
        figures = json.loads(done.stdout)
        figures["cpu_us"] = round(spent * 1e6 / (figures["requests"] + warmup), 1)
        return figures, first_answer

    def row(self, part, what, figures, floor=None, **more):
        row = {"part": part, "what": what, **{k: figures[k] for k in figures if k != "errors"}, **more}
        if floor:
            row["floor_p50_us"], row["floor_p99_us"], row["floor_rps"] = floor["p50_us"], floor["p99_us"], floor["rps"]
            row["floor_cpu_us"] = floor["cpu_us"]
            row["ratio"] = round(figures["p50_us"] / floor["p50_us"], 2)
            row["ratio_cpu"] = round(figures["cpu_us"] / floor["cpu_us"], 2)
        self.rows.append(row)
        text = "%-58s %8.0f %8.0f %8.0f %7.0f" % (what, row["p50_us"], row["p99_us"], row["cpu_us"], row["rps"])
        if floor:
            text += "  %8.0f %8.0f %8.0f %7.0f  %5.2f %5.2f" % (floor["p50_us"], floor["p99_us"], floor["cpu_us"], floor["rps"],
                                                              row["ratio"], row["ratio_cpu"])
        print(text, flush=True)

    def figure(self, part, what, value, unit):
        self.rows.append({"part": part, "what": what, "value": round(value, 3), "unit": unit})
        print("%-58s %8.2f %s" % (what, value, unit), flush=True)

    def title(self, text):
        print("\n%s\n%-58s %8s %8s %8s %7s  %8s %8s %8s %7s  %5s %5s" % (
            text, "", "p50 us", "p99 us", "cpu us", "req/s", "floor:p50", "p99", "cpu", "req/s", "p50 x", "cpu x"), flush=True)

    def floor(self, verb, text, node_count, connections):
        """The floor's figures for such a body; measured once a run for each verb, size and number of connections."""
        key = (verb, node_count, connections)
        if key not in self.floors:
            with Process([self.program("bench/floor")], r"listening (\S+)\n", "stdout") as f:
                figures, answer = self.load(f, verb, text, connections)
            got = answer["NodeNames"] if verb == "/filter" else answer
            if len(got) != node_count:
                raise Failure("the floor answered %d of %d names" % (len(got), node_count))
            self.floors[key] = figures
        return self.floors[key]


def check_fits(answer, wanted):
    if answer["Error"] or not answer["NodeNames"] or len(answer["NodeNames"]) != wanted:
        raise Failure("filter: %d names wanted, got %s" % (wanted, json.dumps(answer)[:300]))


def check_refused(answer, wanted):
    refused = len(answer["FailedNodes"] or {}) + len(answer["FailedAndUnresolvableNodes"] or {})
    if answer["Error"] or answer["NodeNames"] or refused != wanted:
        raise Failure("filter: %d refusals wanted, got %d: %s" % (wanted, refused, json.dumps(answer)[:300]))


FITS = '"FailedNodes":null'
REFUSED = '"NodeNames":null'


def measure_filter(b, part, c, label, kinds, connections=(1, 16), short=16):
    """Filter on cluster c: kinds of (uid, ask) pairs by name, fitting."""
    all_names = names(c.nodes)
    for kind in kinds:
        uid, ask = KINDS[kind]
        text = body(all_names, uid, ask)
        for n in connections:
            figures, answer = b.load(c.cardinald, "/filter", text, n, FITS)
            check_fits(answer, min(short, c.nodes) if short else c.nodes)
            b.row(part, "filter, %s, %s, %d conn." % (label, kind, n), figures, b.floor("/filter", text, c.nodes, n),
                  nodes=c.nodes, pods=c.pods, fill=c.fill, kind=kind, connections=n, fits=True)


KINDS = {"equal asks": (ONE_POD, EQUAL), "different asks": (ONE_POD, DIFFERENT),
         "equal asks, many holds": (MANY_PODS, EQUAL), "different asks, many holds": (MANY_PODS, DIFFERENT)}


def too_big(ask):
    """The same ask grown to some 80,500 MiB of 81,920: fits on no card that holds anything."""
    return dict(ask, **{"nvidia.com/gpumem": "80" + ask["nvidia.com/gpumem"][1:]})


def part_core(b):
    print("\nThe decision alone (bench/core)", flush=True)
    out = subprocess.run([b.program("bench/core"), *(["100", "8"] if b.quick else [])], stdout=subprocess.PIPE,
                         timeout=300, check=True).stdout.decode()
    print(out.rstrip(), flush=True)
    b.rows.append({"part": "core", "what": "bench/core", "text": out})
    print("\nNear cards and slices beside the plain ask on the same nodes, ns a card (bench/core --ratios)", flush=True)
    out = subprocess.run([b.program("bench/core"), "--ratios", *(["50", "8"] if b.quick else [])], stdout=subprocess.PIPE,
                         timeout=300, check=True).stdout.decode()
    print(out.rstrip(), flush=True)
    b.rows.append({"part": "core", "what": "bench/core --ratios", "text": out})


def part_verbs(b):
    n = 50 if b.quick else 5000
    pods = 2 * n
    b.title("%d names, 8 cards a node, %d pods hold half of the memory" % (n, pods))
    with Cluster(b, n, pods, 0.5) as c:
        measure_filter(b, "verbs", c, "%d names" % n, ["equal asks", "different asks"])
        measure_refused(b, "verbs", c, "%d names" % n)
        measure_prioritize(b, "verbs", c, "%d names" % n)


def measure_refused(b, part, c, label, connections=(1,)):
    """Asks that no node can take while its pods are there, but could if it were empty: in FailedNodes."""
    all_names = names(c.nodes)
    for kind in ("equal asks", "different asks"):
        uid, ask = KINDS[kind]
        text = body(all_names, uid, too_big(ask))
        for n in connections:
            figures, answer = b.load(c.cardinald, "/filter", text, n, REFUSED)
            check_refused(answer, c.nodes)
            b.row(part, "filter, %s, %s, refused, %d conn." % (label, kind, n), figures,
                  b.floor("/filter", text, c.nodes, n), nodes=c.nodes, pods=c.pods, fill=c.fill, kind=kind, connections=n, fits=False)


def measure_prioritize(b, part, c, label):
    all_names = names(c.nodes)
    for listed in sorted({min(16, c.nodes), c.nodes}):
        for kind in ("equal asks", "different asks"):
            uid, ask = KINDS[kind]
            text = body(all_names[:listed], uid, ask)
            figures, answer = b.load(c.cardinald, "/prioritize", text, 1, '"Score"')
            if sorted(h["Host"] for h in answer) != sorted(all_names[:listed]) or \
                    not all(type(h["Score"]) is int and 0 <= h["Score"] <= 10 for h in answer):
                raise Failure("prioritize: wrong answer %s" % json.dumps(answer)[:300])
            b.row(part, "prioritize, %s, %d listed, %s, 1 conn." % (label, listed, kind), figures,
                  b.floor("/prioritize", text, listed, 1), nodes=c.nodes, listed=listed, kind=kind, connections=1)


def part_pods(b):
    """Pods and fill: the figures of one size must not depend on either."""
    n = 50 if b.quick else 5000
    cases = [(0, 0.0, "empty"), (10000, 0.5, "half full"), (50000, 0.5, "half full"), (10000, 0.94, "nearly full"),
             (50000, 0.94, "nearly full")]
    b.title("Does it depend on the pods? %d names" % n)
    for pods, fill, word in cases:
        pods = pods // 100 if b.quick else pods
        with Cluster(b, n, pods, fill) as c:
            label = "%d pods, %s" % (pods, word)
            measure_filter(b, "pods", c, label, ["equal asks", "different asks"], connections=(1,))
            if pods:
                measure_refused(b, "pods", c, label)


def part_names(b):
    b.title("Is it linear in names?")
    for n in (20, 50, 100) if b.quick else (500, 5000, 15000):
        pods = n * 2
        with Cluster(b, n, pods, 0.5) as c:
            measure_filter(b, "names", c, "%d names" % n, ["equal asks", "different asks"])
            measure_refused(b, "names", c, "%d names" % n)


def part_holds(b):
    """Few holds: one pod that asks again. Many: each call is a new pod's, and holds sixteen nodes."""
    n = 50 if b.quick else 5000
    b.title("Do holds cost? %d names, half full" % n)
    with Cluster(b, n, 100 if b.quick else 10000, 0.5) as c:
        for kind in ("equal asks", "equal asks, many holds", "different asks", "different asks, many holds"):
            uid, ask = KINDS[kind]
            text = body(names(n), uid, ask)
            for conn in (1, 16):
                figures, answer = b.load(c.cardinald, "/filter", text, conn, '"Error":""')
                if answer["Error"]:
                    raise Failure("filter: %s" % answer["Error"])
                b.row("holds", "filter, %s, %d conn." % (kind, conn), figures, b.floor("/filter", text, n, conn),
                      nodes=n, kind=kind, connections=conn)


def part_refusal(b):
    """A refusal beside a fit that answers all nodes as well."""
    n = 50 if b.quick else 5000
    b.title("Is a refusal as cheap as a fit? --shortlist=0, %d names, half full" % n)
    with Cluster(b, n, 100 if b.quick else 10000, 0.5, flags=["--shortlist=0"]) as c:
        for kind in ("equal asks", "different asks"):
            uid, ask = KINDS[kind]
            fit, answer = b.load(c.cardinald, "/filter", body(names(n), uid, ask), 1, FITS)
            check_fits(answer, n)
            text = body(names(n), uid, too_big(ask))
            refused, answer = b.load(c.cardinald, "/filter", text, 1, REFUSED)
            check_refused(answer, n)
            floor = b.floor("/filter", text, n, 1)
            b.row("refusal", "filter, %s, fits" % kind, fit, floor, kind=kind, fits=True)
            b.row("refusal", "filter, %s, refused" % kind, refused, floor, kind=kind, fits=False)
            b.figure("refusal", "refused : fits, %s" % kind, refused["p50_us"] / fit["p50_us"], "times")


def measure_bind(b, part, label, k, nodes, holders, ask, annotations=None, **more):
    """Bind with the API store of file mode: lock, Binding, and the simulated plugin that serves the lock. One pod a node:
    nobody waits for a lock."""
    pods = [pod("%012d" % j, makers.unmarked(ask, j), annotations) for j in range(nodes)]
    b.number += 1
    path = os.path.join(b.dir.name, "cluster-%d.json" % b.number)
    with open(path, "w", encoding="ascii") as f:
        json.dump(makers.file_cluster(k, nodes, holders, pods), f)
    for connections in (1, 16):
        with Process([b.cardinald, "--cluster=" + path, "--listen-extender=127.0.0.1:0", "--metrics-bind-address=127.0.0.1:0"],
                     r'msg="?listening[^\n]* extender="?([0-9.:]+)', "stderr") as p:
            until = time.monotonic() + 60
            while get(p.address, "/readyz")[0] != 200 and time.monotonic() < until:
                time.sleep(0.02)
            lines = "\n".join(json.dumps({"PodName": "ask-%012d" % j, "PodNamespace": "bench",
                                          "PodUID": "10000000-0000-4000-8000-%012d" % j,
                                          "Node": "node-%05d" % j}) for j in range(nodes))
            figures, _ = b.load(p, "/bind", lines, connections, '"Error":""', seconds=60, warmup=0, requests=nodes,
                                lines=True, first=0)
            b.row(part, "bind, %s%d conn." % (label, connections), figures, connections=connections, **more)
            status, text = get(p.address, "/v1/objects/pods/bench/ask-%012d" % (nodes - 1))
            if status != 200 or json.loads(text)["spec"].get("nodeName") != "node-%05d" % (nodes - 1):
                raise Failure("bind: the last pod is not bound: %d %s" % (status, text[:200]))
    os.unlink(path)


def part_bind(b):
    nodes = 60 if b.quick else 2000
    b.title("bind, API store of file mode, %d nodes" % nodes)
    measure_bind(b, "bind", "", makers.KINDS["pairs"], nodes, 0, gpu("2000", "5"))


def part_memory(b):
    nodes, pods, plain = (50, 200, 300) if b.quick else (5000, 50000, 100000)
    print("\nMemory and time to ready: %d nodes x 8 cards, %d pods of 8 KiB with shares, %d without" % (nodes, pods, plain), flush=True)
    for word, flags in (("streaming list", []), ("pages of a list", ["--no-watch-list"])):
        with Cluster(b, nodes, pods, 0.5, plain=plain, stub_flags=flags) as c:
            status, text = get(c.address, "/v1/summary")
            if status != 200:
                raise Failure("/v1/summary: %d" % status)
            if not b.quick:
                time.sleep(2)
            rss, peak = c.cardinald.memory_mib()
            b.figure("memory", "%s: time to ready" % word, c.ready_s, "s")
            b.figure("memory", "%s: CPU time until then" % word, c.cardinald.cpu_s(), "s")
            b.figure("memory", "%s: resident" % word, rss, "MiB")
            b.figure("memory", "%s: peak" % word, peak, "MiB")
            if not flags:
                text = body(names(nodes), ONE_POD, DIFFERENT)
                figures, answer = b.load(c.cardinald, "/filter", text, 16, FITS)
                check_fits(answer, min(16, nodes))
                rss, peak = c.cardinald.memory_mib()
                b.figure("memory", "resident after %d filter calls on 16 connections" % figures["requests"], rss, "MiB")
                b.figure("memory", "peak after them", peak, "MiB")


def part_apply(b):
    print("\nWatch events", flush=True)
    out = subprocess.run([b.program("bench/apply"), *(["50", "100", "200"] if b.quick else [])], stdout=subprocess.PIPE,
                         timeout=300, check=True).stdout
    figures = json.loads(out)
    for key, word in (("apply_p50_us", "applying a decoded pod event, p50"), ("apply_p99_us", "the same, p99"),
                      ("decode_us", "decoding a small pod")):
        b.figure("apply", word, figures[key], "us")
    nodes, pods, rate = (50, 100, 200) if b.quick else (5000, 10000, 2000)
    seconds = 1 if b.quick else 8
    with Cluster(b, nodes, pods, 0.5, stub_flags=["--churn=%d" % rate]) as c:
        before, began = c.cardinald.cpu_s(), time.monotonic()
        time.sleep(seconds)
        spent = c.cardinald.cpu_s() - before
        b.figure("apply", "all of cardinald's CPU time an 8 KiB pod event, %d a second" % rate,
                 spent * 1e6 / (rate * (time.monotonic() - began)), "us")
        b.title("filter while %d pod events a second arrive" % rate)
        measure_filter(b, "apply", c, "%d names" % nodes, ["equal asks", "different asks"], connections=(1,))


def measure_asks(b, kind, k, c):
    """Filter and prioritize with each ask of a kind of cards, and as a multiple of another one where it names one."""
    all_names, spent = names(c.nodes), {}
    for what, limits, annotations, *beside in k["asks"]:
        refused = annotations is makers.REFUSED
        text = body(all_names, ONE_POD, limits, None if refused else annotations)
        for verb in ("filter",) if refused else ("filter", "prioritize"):
            want = '"Score"' if verb == "prioritize" else REFUSED if refused else FITS
            figures, answer = b.load(c.cardinald, "/" + verb, text, 1, want)
            if refused:
                check_refused(answer, c.nodes)
            elif verb == "filter":
                check_fits(answer, min(16, c.nodes))
            elif len(answer) != c.nodes:
                raise Failure("prioritize: %d scores" % len(answer))
            b.row("makers", "%s, %s, %s" % (verb, kind, what), figures, b.floor("/" + verb, text, c.nodes, 1), kind=kind)
            spent[verb, what] = figures["cpu_us"]
            for other in beside:
                b.figure("makers", "%s, %s : %s, processor time" % (verb, what, other),
                         figures["cpu_us"] / spent[verb, other], "times")


def measure_memory(b, kind, c):
    rss, peak = c.cardinald.memory_mib()
    b.figure("makers", "%s: resident after them, %d pods" % (kind, c.pods), rss, "MiB")
    b.figure("makers", "%s: peak" % kind, peak, "MiB")


def part_makers(b):
    """Cards that are treated in a way of their own; asks that all differ where they can, prioritize for all nodes."""
    n, bind_n = (50, 20) if b.quick else (5000, 400)
    failed = []
    b.title("Kinds of cards, %d names; bind: %d nodes of a file" % (n, bind_n))
    for kind, k in makers.KINDS.items():
        nvidia = k.get("nvidia", False)
        try:
            with Cluster(b, n, k["pods"] * n, 0.5 if nvidia else 0.0, shape=k["shape"], nvidia=nvidia) as c:
                measure_asks(b, kind, k, c)
                measure_memory(b, kind, c)
            for what, limits, annotations, *_ in k["asks"]:
                if annotations is not makers.REFUSED:
                    measure_bind(b, "makers", "%s, %s, " % (kind, what), k, bind_n, 0 if nvidia else k["pods"], limits,
                                 annotations, kind=kind)
        except Failure as e:
            failed.append("%s: %s" % (kind, e))
            print("FAILED: %s" % failed[-1], flush=True)
    if failed:
        raise Failure("; ".join(failed))


def part_alone(b):
    """What it costs NVIDIA's asks that there are rows for all makers: two cardinalds on clusters that are the same, in turn.

    Where a process's nodes lie in memory costs more than rows do, and stays so for its life: so there are several pairs,
    started in both orders, and the best of each side counts.
    """
    n = 50 if b.quick else 5000
    path = os.path.join(b.dir.name, "nvidia.yaml")
    with open(path, "w", encoding="ascii") as f:
        f.write(makers.NVIDIA_ALONE)
    b.title("All rows beside one row, %d names, half full" % n)
    flags = {"all rows": [], "one row": ["--device-config-file=" + path]}
    best = {}
    for pair in range(1 if b.quick else 4):
        words = list(flags) if pair % 2 == 0 else list(reversed(flags))
        with Cluster(b, n, 2 * n, 0.5, flags=flags[words[0]]) as first, Cluster(b, n, 2 * n, 0.5, flags=flags[words[1]]) as second:
            for kind in ("equal asks", "different asks"):
                uid, ask = KINDS[kind]
                text = body(names(n), uid, ask)
                for _ in range(1 if b.quick else 3):
                    for word, c in zip(words, (first, second)):
                        figures, answer = b.load(c.cardinald, "/filter", text, 1, FITS)
                        check_fits(answer, min(16, n))
                        if (kind, word) not in best or figures["cpu_us"] < best[kind, word]["cpu_us"]:
                            best[kind, word] = figures
    for kind in ("equal asks", "different asks"):
        text = body(names(n), *KINDS[kind])
        for word in flags:
            b.row("alone", "filter, %s, %s" % (kind, word), best[kind, word], b.floor("/filter", text, n, 1), kind=kind)
        b.figure("alone", "all rows : one row, %s, processor time" % kind,
                 best[kind, "all rows"]["cpu_us"] / best[kind, "one row"]["cpu_us"], "times")


# -- the page of figures --------------------------------------------------------------------------------------------


def table(head, rows):
    return ["| %s |" % " | ".join(r) for r in [head, ["---"] * len(head), *rows]]


def markdown_of(rows):
    """Tables of one part: what was loaded (one connection; binds with all), then single figures, then texts' last words."""
    loads = [r for r in rows if "p50_us" in r and (r.get("connections", 1) == 1 or "floor_p50_us" not in r)]
    beside = any("ratio" in r for r in loads)
    head = ["what", "p50 µs", "p99 µs", "processor µs", "a second"] + (["x floor", "x, processor"] if beside else [])
    lines = table(head, [[r["what"].replace(", 1 conn.", ""), *("%.0f" % r[k] for k in ("p50_us", "p99_us", "cpu_us", "rps")),
                          *(["%.1f" % r["ratio"], "%.1f" % r["ratio_cpu"]] if "ratio" in r else [""] * 2 * beside)]
                         for r in loads]) if loads else []
    figures = [r for r in rows if "value" in r]
    if figures:
        lines += [""] * bool(lines) + table(["figure", "", ""], [[r["what"], "%.2f" % r["value"], r["unit"]] for r in figures])
    for r in rows:
        if "text" in r:
            text = r["text"].splitlines()
            short = [t for t in text if t.startswith("at most: ")]
            lines += [""] * bool(lines) + ["```", *(short or text), "```"]
    return lines


def write_page(path, m, rows):
    by_part = {}
    for r in rows:
        by_part.setdefault(r["part"], []).append(r)
    stamp = "%(time)s, commit %(commit)s, %(cores)d cores (%(cpu)s), load before %(load_before).1f" % m
    page.replace_parts(path, {p: [*markdown_of(rs), "", "*%s*" % stamp] for p, rs in by_part.items()})


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    with open("/proc/meminfo", encoding="ascii") as f:
        memory = int(re.search(r"MemTotal:\s+(\d+)", f.read()).group(1)) / 1048576
    here = os.path.dirname(os.path.abspath(__file__))
    commit = subprocess.run(["git", "-C", here, "rev-parse", "--short=12", "HEAD"], stdout=subprocess.PIPE,
                            stderr=subprocess.DEVNULL, check=False).stdout.decode().strip()
    return {"cpu": model.group(1) if model else platform.machine(), "cores": os.cpu_count(), "memory_gib": round(memory),
            "kernel": platform.release(), "commit": commit or "no checkout", "load_before": os.getloadavg()[0],
            "time": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=".", metavar="DIR")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--markdown", metavar="FILE")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="each measurement N times, the calmest counts")
    parser.add_argument("--only", metavar="PART,...")
    args = parser.parse_args()
    if args.markdown and args.quick:
        parser.error("--quick measures nothing that is worth a page")
    wanted = args.only.split(",") if args.only else PARTS
    for part in wanted:
        if part not in PARTS:
            parser.error("no part %s (known: %s)" % (part, ", ".join(PARTS)))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = []
    try:
        b = Bench(args)
    except Failure as e:
        print("bench: %s" % e, file=sys.stderr)
        return 1
    m = machine()
    print("%(time)s, commit %(commit)s, %(cores)d cores (%(cpu)s), %(memory_gib)d GiB, Linux %(kernel)s, load %(load_before).2f" % m)
    if args.rounds > 1:
        print("each measurement %d times; the calmest, by the processor time of the server, is shown" % args.rounds)
    print("server and load generator share the machine; times in microseconds from the first byte sent to the last received")
    for part in wanted:
        try:
            globals()["part_" + part](b)
        except (Failure, OSError, subprocess.SubprocessError) as e:
            failed.append(part)
            print("FAILED: %s: %s" % (part, e), flush=True)
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump({"version": 1, "machine": m, "quick": args.quick, "failed": failed, "rows": b.rows}, f, indent=1)
            f.write("\n")
    if args.markdown:
        write_page(args.markdown, m, [r for r in b.rows if r["part"] not in failed])
    print("\n%d of %d parts ran" % (len(wanted) - len(failed), len(wanted)))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
