"""Stories of leadership: several cardinalds, one Lease, and others who want it too."""

import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import time

import cluster
import kube
import protocol
from fakeplugin import Behaviour
from harness import NAMESPACE, Background, Failure, World, expect, gpu, make_node, parse_binds, plain, pod_object

HERE = os.path.dirname(os.path.abspath(__file__))
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/"
FLAGS = ("--leader-elect", "--leader-elect-resource-namespace=kube-system")


class Replica:
    """One more cardinald with ports of its own, or after an end with those that it had."""

    def __init__(self, plane, name, *flags, ports=None):
        self.plane, self.name = plane, name
        self.ports = dict(ports or {})
        log = os.path.join(plane.logs, "cardinald-%s-%d.log" % (name, len(plane._processes)))
        self.process = cluster.Process(plane.options, "cardinald-" + name, [
            plane.options.cardinald, "--kubeconfig=" + plane.kubeconfig("cardinald"),
            "--listen-extender=127.0.0.1:%d" % self.ports.get("extender", 0),
            "--metrics-bind-address=127.0.0.1:0", "--bind-timeout=20s", "--scheduler-name=" + cluster.SCHEDULER_NAME,
            "-v=2", *FLAGS, "--leader-elect-identity=" + name, *flags], log,
            {"POD_NAMESPACE": NAMESPACE, "POD_NAME": name})
        plane._processes.append(self.process)   # ended with the rest

        def listening():
            with open(log, encoding="utf-8", errors="replace") as f:
                found = cluster.parse_listening(f.read())
            self.ports.update(found)
            return {"extender", "metrics"} <= set(found)
        cluster.wait_for(self.process, "log line msg=listening", 30, listening)
        cluster.wait_for(self.process, "/readyz", 30,
                         lambda: cluster.http_get(self.ports["metrics"], "/readyz")[0] == 200)

    def leads(self):
        return cluster.http_get(self.ports["metrics"], "/leadz")[0] == 200

    def binds(self):
        """{result: number} of binds answered so far."""
        return parse_binds(cluster.http_get(self.ports["metrics"], "/metrics")[1])

    def refused(self):
        return sum(n for result, n in self.binds().items() if result not in ("ok", "joined"))

    def metric(self, name):
        text = cluster.http_get(self.ports["metrics"], "/metrics")[1]
        found = re.search(r"^%s (\S+)$" % name, text, re.M)
        return float(found.group(1)) if found else None


ROLE, COMPONENT = "hami.io/scheduler-role", {"app.kubernetes.io/component": "hami-scheduler"}
HANDOVER, KILLED = 1.0, 1.0     # seconds: after a release, and beyond the Lease's duration after a kill
SETTLE = 2.0                    # a new leader's first write comes this long after it took over, not sooner


def too_slow(what, seconds, limit):
    """Why a takeover was too slow, or None."""
    return None if seconds <= limit else "%s took %.2f s, at most %.1f s are allowed" % (what, seconds, limit)


def wrong_roles(roles, leader):
    """What is wrong with the labels {pod: role} when `leader` says that it leads, or None."""
    want = {name: "leader" if name == leader else "follower" for name in roles}
    return None if roles == want else "%s leads and the labels say %s" % (leader, roles)


def too_soon(seconds, answered):
    """What is wrong with a new leader's first Binding, `seconds` after it took over, and the filters before; or None."""
    if seconds < SETTLE:
        return "its first Binding came %.2f s after it took over: writes of the leader before may still land" % seconds
    return None if answered else "no filter was answered while it waited for its first Binding"


def own_pods(w, *names):
    """The pods that the replicas run in, as far as their labels are looked for."""
    for name in names:
        w.pod(name, plain(), labels=COMPONENT, scheduler="nobody")


def check_roles(w, replica):
    pods = w.api.get("/api/v1/namespaces/%s/pods" % NAMESPACE, labelSelector="%s=%s" % next(iter(COMPONENT.items())))["items"]
    wrong = wrong_roles({p["metadata"]["name"]: kube.labels(p).get(ROLE) for p in pods}, replica.name)
    expect(not wrong, "%s", wrong)


def seconds_between(earlier, later_):
    form = "%Y-%m-%dT%H:%M:%S.%fZ"
    return (datetime.datetime.strptime(later_, form) - datetime.datetime.strptime(earlier, form)).total_seconds()


def first_words(w, replica, pod, node):
    """A new leader is asked at once: it filters, and its first Binding waits; a line of figures."""
    w.plane.ports.update(replica.ports)
    stored = w.pod(pod, gpu(mem=1000, cores=5), scheduler="nobody")
    began = time.monotonic()
    waits = Background(lambda: expect(not w.bind(stored, node), "the bind of %s failed", pod))
    listed, _ = w.filter(stored, [node])
    first, answered, took = time.monotonic() - began, 0, 0.0
    expect(listed == [node], "the new leader lists %s", listed)
    other = pod_object("asks-" + pod, gpu(mem=1000, cores=5))
    other["metadata"]["uid"] = "asks-" + pod
    with waits:
        while not (w.now(pod) or stored)["spec"].get("nodeName") and time.monotonic() - began < 20:
            asked = time.monotonic()
            w.filter(other, [node])
            answered, took = answered + 1, max(took, time.monotonic() - asked)
            time.sleep(0.02)
    w.running(pod)
    audit = w.plane.audit()
    binding = next(e for e in audit if (e["objectRef"].get("subresource"), e["objectRef"]["name"]) == ("binding", pod))
    # Its own write that took the Lease is the last one before the labels moved to it.
    label = max((e for e in audit if e["objectRef"].get("subresource") == "status" and e["objectRef"]["name"] == replica.name
                 and e["requestReceivedTimestamp"] < binding["requestReceivedTimestamp"]), key=lambda e: e["requestReceivedTimestamp"])
    taken = max(e["stageTimestamp"] for e in audit if e["objectRef"].get("resource") == "leases" and e["user"]["username"] == "cardinald"
                and e["stageTimestamp"] < label["requestReceivedTimestamp"])
    waited = seconds_between(taken, binding["requestReceivedTimestamp"])
    wrong = too_soon(waited, answered)
    expect(not wrong, "%s: %s", replica.name, wrong)
    return ("first filter of the new leader %.0f ms, then %d more (at most %.0f ms) until its first Binding %.2f s after it took over"
            % (1000 * first, answered, 1000 * took, waited))


def until(what, seconds, probe):
    """Seconds until `probe` is true."""
    began = time.monotonic()
    while not probe():
        if time.monotonic() - began > seconds:
            raise Failure("%s: not within %g s" % (what, seconds))
        time.sleep(0.005)
    return time.monotonic() - began


def until_after_term(what, seconds, process, probe):
    """Asks a leader to end, which releases; seconds until `probe` is true."""
    os.kill(process.pid, signal.SIGTERM)
    took = until(what + " after a release", seconds, probe)
    process.stop(signal.SIGTERM, 15)
    return took


def go_leader(plane, identity, *flags):
    """client-go's own election, built once into the cache of the control plane's binaries."""
    program = os.path.join(plane.options.bin_dir, "e2e-leader")
    source = os.path.join(HERE, "leader")
    newest = max(os.path.getmtime(os.path.join(source, f)) for f in os.listdir(source))
    if not os.path.exists(program) or os.path.getmtime(program) < newest:
        go = shutil.which("go") or "/usr/local/go/bin/go"
        left = signal.alarm(0)      # the first build takes minutes, which are not the story's
        done = subprocess.run([go, "build", "-trimpath", "-o", program, "."], cwd=source, capture_output=True,
                              timeout=1800, check=False)
        signal.alarm(left)
        if done.returncode != 0:
            raise Failure("go build of tests/e2e/leader: %s" % done.stderr.decode()[-500:])
    log = os.path.join(plane.logs, "leader-%s.log" % identity)
    process = cluster.Process(plane.options, "leader-" + identity, [
        program, "--kubeconfig=" + plane.kubeconfig("admin"), "--namespace=kube-system", "--name=turns",
        "--identity=" + identity, *flags], log)
    plane._processes.append(process)
    return process


def now_text():
    """As in the audit log."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def later(text, seconds):
    return (datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ")
            + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def leads_in_log(process):
    lines = re.findall(r"^(leading|lost) ", process.tail(400), re.M)
    return bool(lines) and lines[-1] == "leading"


def elections(options):
    """Own Lease: two cardinalds and a program with client-go's leaderelection take turns, by release and by kill -9."""
    lease_seconds = 6.0
    times = ("--leader-elect-lease-duration=6s", "--leader-elect-renew-deadline=4s", "--leader-elect-retry-period=1s")
    theirs = ("--lease-duration=6s", "--renew-deadline=4s", "--retry-period=1s")
    own = ("--leader-elect-mode=own", "--leader-elect-resource-name=turns", *times)
    with World(options, "elections", check_ledger=False) as w:
        plane = w.plane
        w.nodes(make_node("node-a", cards=2))
        own_pods(w, "a", "b")

        def took_over(what, seconds, limit, replica):
            check_roles(w, replica)
            slow = too_slow(what, seconds, limit)
            expect(not slow, "%s", slow)
            w.notes.append("%s %.2f s" % (what, seconds))
        a = Replica(plane, "a", *own)
        until("a leads", 10, a.leads)
        check_roles(w, a)
        b = Replica(plane, "b", *own)
        expect(not b.leads(), "both lead")
        lease = w.api.get(LEASE + "turns")
        expect(re.fullmatch(r"a_[0-9a-f-]{36}", lease["spec"]["holderIdentity"]), "holder %s", lease["spec"])
        expect(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", lease["spec"]["renewTime"]), "%s", lease["spec"])
        took_over("SIGTERM to replica", until_after_term("b leads", 10, a.process, b.leads), HANDOVER, b)
        w.notes.append(first_words(w, b, "after-release", "node-a"))
        a = Replica(plane, "a", *own)
        b.process.kill()
        took_over("kill -9 to replica", until("a leads after b's end", 20, a.leads), lease_seconds + KILLED, a)
        w.notes.append(first_words(w, a, "after-kill", "node-a"))
        # Now somebody who is not ours.
        go = go_leader(plane, "go-1", *theirs)
        time.sleep(3)
        expect(a.leads() and not leads_in_log(go), "client-go took it from a living leader")
        before = w.api.get(LEASE + "turns")["spec"]["leaseTransitions"]
        w.notes.append("SIGTERM to client-go %.2f s" % until_after_term("client-go leads", 6, a.process, lambda: leads_in_log(go)))
        a = Replica(plane, "a", *own)
        time.sleep(8)
        expect(leads_in_log(go) and not a.leads(), "we took it from a living client-go")
        took_over("client-go's SIGTERM to us", until_after_term("a leads", 10, go, a.leads), HANDOVER, a)
        go = go_leader(plane, "go-2", *theirs)
        a.process.kill()
        w.notes.append("kill -9 to client-go %.2f s" % until("client-go leads", 12, lambda: leads_in_log(go)))
        a = Replica(plane, "a", *own)
        go.kill()
        took_over("client-go's kill -9 to us", until("a leads", 20, a.leads), lease_seconds + KILLED, a)
        after = w.api.get(LEASE + "turns")["spec"]["leaseTransitions"]
        expect(after - before == 4, "transitions went from %s to %s", before, after)
        # A leader that stands still beyond its deadline does not come back as one.
        b = Replica(plane, "b", *own)
        os.kill(a.process.pid, signal.SIGSTOP)
        until("b leads while a stands still", 8, b.leads)
        check_roles(w, b)
        os.kill(a.process.pid, signal.SIGCONT)
        for _ in range(100):
            expect(not a.leads(), "the stopped leader is back beside the new one")
            time.sleep(0.01)
        expect(b.leads(), "the new leader gave way")
        check_roles(w, b)
        expect(a.metric("cardinald_writes_late_total") == 0, "late writes")


class Pair:
    """A kube-scheduler and the cardinald beside it, as in one pod: they share a host name of their own."""

    LEASE = "pairs"

    def __init__(self, plane, name, *flags):
        self.plane, self.name, self.flags = plane, name, flags
        self.cardinald = None
        self.start_cardinald()
        self.start_scheduler()

    def start_cardinald(self):
        """Again at the same port, where its scheduler calls it."""
        self.cardinald = Replica(
            self.plane, self.name, "--leader-elect-resource-name=" + self.LEASE, "--score-max=100", "--leader-elect-role-label",
            "--device-config-file=" + self.plane._write("device-config.yaml", cluster.DEVICE_CONFIG), *self.flags,
            ports=self.cardinald and self.cardinald.ports)

    def start_scheduler(self):
        plane, name = self.plane, self.name
        config = {
            "apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": plane.kubeconfig("kube-scheduler"), "qps": 200, "burst": 400},
            "leaderElection": {"leaderElect": True, "resourceName": self.LEASE, "resourceNamespace": "kube-system",
                               "resourceLock": "leases", "leaseDuration": "6s", "renewDeadline": "4s", "retryPeriod": "1s"},
            "profiles": [{"schedulerName": cluster.SCHEDULER_NAME}],
            "extenders": [{"urlPrefix": "http://127.0.0.1:%d" % self.cardinald.ports["extender"],
                           "filterVerb": "filter", "prioritizeVerb": "prioritize", "bindVerb": "bind",
                           "nodeCacheCapable": True, "weight": 1, "httpTimeout": "30s",
                           "managedResources": [{"name": r, "ignoredByScheduler": True} for r in cluster.RESOURCES]}],
        }
        path = plane._write("scheduler-%s.json" % name, json.dumps(config, indent=1))
        log = os.path.join(plane.logs, "kube-scheduler-%s-%d.log" % (name, len(plane._processes)))
        certs = plane.options.certs
        # A UTS namespace: kube-scheduler takes the host name for its identity and has no flag for it.
        self.scheduler = cluster.Process(plane.options, "kube-scheduler-" + name, [
            "unshare", *UNSHARE, "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', name,
            os.path.join(plane.options.bin_dir, "kube-scheduler"), "--config=" + path, "--bind-address=127.0.0.1",
            "--secure-port=%d" % cluster.free_port(), "--tls-cert-file=" + certs["cert"],
            "--tls-private-key-file=" + certs["key"], "-v=1"], log)
        plane._processes.append(self.scheduler)

    def kill(self):
        self.scheduler.kill()
        self.cardinald.process.kill()


UNSHARE = () if os.geteuid() == 0 else ("--user", "--map-root-user")


def bound_after(w, batch, count, began):
    """Creates pods and waits until all of them are bound; seconds until the first was, and all were."""
    names = ["%s-%d" % (batch, i) for i in range(count)]
    w.create_all([pod_object(n, gpu(mem=1000, cores=5)) for n in names])

    def bound():
        return sum(1 for n in names if ((w.now(n) or {}).get("spec") or {}).get("nodeName"))
    until("a pod of %s is bound" % batch, 60, lambda: bound() > 0)
    first = time.monotonic() - began
    until("all of %s are bound" % batch, 60, lambda: bound() == count)
    return first


def pairs(options):
    """Two pairs of kube-scheduler and cardinald: only the pair whose scheduler holds the Lease places pods, through kills and stops."""
    with World(options, "pairs", check_ledger=False) as w:
        # Plugins that take their time: binds wait for their turns, and a stop finds some of them there.
        w.nodes(*[make_node("node-%d" % i, cards=4, behaviour=Behaviour(before=0.1)) for i in range(4)])
        plane = w.plane
        own_pods(w, "host-1", "host-10")
        a = Pair(plane, "host-1")       # host-1 and host-10: no prefix counts (C26)
        until("host-1 leads", 20, a.cardinald.leads)
        check_roles(w, a.cardinald)
        b = Pair(plane, "host-10")
        bound_after(w, "one", 20, time.monotonic())
        expect(a.cardinald.leads() and not b.cardinald.leads(), "both lead, or none")
        expect(b.cardinald.metric("cardinald_ready") == 1, "the follower is not ready")
        # The whole pair dies.
        began = time.monotonic()
        a.kill()
        first = bound_after(w, "two", 20, began)
        expect(b.cardinald.leads(), "pods were bound and host-10 does not lead")
        check_roles(w, b.cardinald)
        w.notes.append("kill -9 of a pair to the next Binding %.1f s" % first)
        # kube-scheduler dies, its cardinald lives: it has nobody to lead with.
        a = Pair(plane, "host-1")
        began = time.monotonic()
        b.scheduler.kill()
        first = bound_after(w, "three", 20, began)
        expect(a.cardinald.leads() and not b.cardinald.leads(), "the cardinald of a dead scheduler leads")
        w.notes.append("kill -9 of its scheduler %.1f s" % first)
        b.cardinald.process.kill()
        # The leading pair stands still in the middle of binds, beyond its deadline, and goes on.
        b = Pair(plane, "host-10")
        names = ["four-%d" % i for i in range(30)]
        w.create_all([pod_object(n, gpu(mem=1000, cores=5)) for n in names])
        until("some are bound", 30, lambda: sum(1 for n in names if (w.now(n) or {"spec": {}})["spec"].get("nodeName")) > 2)
        until("binds are under way", 30, lambda: a.cardinald.metric("cardinald_pods_assumed") > 4)
        before = a.cardinald.refused()
        for process in (a.scheduler, a.cardinald.process):
            os.kill(process.pid, signal.SIGSTOP)
        stopped_at = time.monotonic()
        until("host-10 leads", 15, b.cardinald.leads)
        stood, gone_on = time.monotonic() - stopped_at, now_text()
        os.kill(a.cardinald.process.pid, signal.SIGCONT)
        os.kill(a.scheduler.pid, signal.SIGCONT)
        time.sleep(1.5)         # the new leader does not write yet: it waits two seconds
        locks, bindings = protocol.begun(plane.audit(), "cardinald", gone_on, later(gone_on, 1.5))
        expect(not locks and not bindings, "begun after the stop: locks of %s, Bindings of %s", locks, bindings)
        check_roles(w, b.cardinald)
        refused = a.cardinald.refused() - before
        w.notes.append("a stop of %.1f s amid binds: no lock and no Binding begun afterwards, %d binds refused" % (stood, refused))
        expect(refused > 0, "no bind was under way at the stop: %s", a.cardinald.binds())
        w.settled(90, seconds=90)
        expect(b.cardinald.leads() and not a.cardinald.leads(), "the stopped pair leads again")
        # What was on its way when it was stopped came back late, and is told.
        w.notes.append("%d writes under way at the stop" % a.cardinald.metric("cardinald_writes_late_total"))
        expect(b.cardinald.metric("cardinald_writes_late_total") == 0, "late writes of the new leader")
        for replica in (a.cardinald, b.cardinald):
            expect(replica.metric("cardinald_ledger_repairs_total") == 0, "repairs of %s", replica.name)
