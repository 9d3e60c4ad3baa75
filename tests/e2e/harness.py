"""What a story stands on: one control plane, the reader, the fake nodes and cardinald, and the checks at its end.

    with World(options, "name") as w:
        w.nodes(...)            nodes with cards
        w.start("--shortlist=1")
        w.pod("a", gpu(mem=4000)); w.bound("a")

Leaving the block runs the checks that hold in every story: no card over its total at any moment, the protocol of the
node side kept at every write, nothing that the plugin stumbled over, and a ledger in cardinald that equals what the
API objects say.
"""

import base64
import http.client
import json
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cluster
import kube
import protocol
import reader
from fakeplugin import Card, FakePlugin, Node
from link import Link

NAMESPACE = "e2e"


class Failure(Exception):
    """A story's claim does not hold."""


def expect(condition, text, *args):
    if not condition:
        raise Failure(text % args if args else text)


# -- objects -----------------------------------------------------------------------------------------------------


def gpu(name="main", count=1, mem=None, percent=None, cores=None, restart=None, **more):
    """A container that asks for cards (count=0: one that does not)."""
    limits = {}
    if count:
        limits["nvidia.com/gpu"] = str(count)
    for key, value in (("gpumem", mem), ("gpumem-percentage", percent), ("gpucores", cores)):
        if value is not None:
            limits["nvidia.com/" + key] = str(value)
    out = {"name": name, "image": "example.invalid/none", "resources": {"limits": limits} if limits else {}}
    if restart:
        out["restartPolicy"] = restart
    out.update(more)
    return out


def plain(name="main", **more):
    """A container without cards."""
    return gpu(name, count=0, **more)


def pod_object(name, *containers, init=(), notes=None, labels=None, scheduler=cluster.SCHEDULER_NAME, spec=None):
    metadata = {"name": name, "namespace": NAMESPACE}
    if notes:
        metadata["annotations"] = notes
    if labels:
        metadata["labels"] = labels
    body = {"containers": list(containers) or [plain()], "restartPolicy": "Never", **(spec or {})}
    if scheduler:
        body["schedulerName"] = scheduler
    if init:
        body["initContainers"] = list(init)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body}


def make_node(name, cards=1, model="NVIDIA A10", memory=24576, cores=100, split=10, **more):
    """A node whose cards are all alike: GPU-<node>-0 and so on."""
    return Node(name, [Card("GPU-%s-%d" % (name, i), i, model, memory, cores, numa=i // 4) for i in range(cards)],
                split=split, **more)


# -- the world of one story --------------------------------------------------------------------------------------


class World:
    PLANE = cluster.ControlPlane
    WRITER = "cardinald"            # who cardinald is at the API server

    def __init__(self, options, name, rescan=0.0, check_ledger=True, witness=False, gates=""):
        """witness: the reader, the plugins and the story talk to an API server of their own, which no story kills."""
        self.plane = self.PLANE(options, name, gates)
        self.name = name
        self._rescan = rescan
        self._check_ledger = check_ledger
        self._witness = witness
        self.lockless = set()           # pods whose story plants a lock problem: see protocol.check_history
        self.locks_may_stay = False
        self.forgiven = []              # regexes of violations that a story provokes on purpose
        self.notes = options.notes      # figures for the story's line
        self.recorder = self.plugin = self.api = None
        self._links = []

    def __enter__(self):
        try:
            self._start_plane()
            part = "witness" if self._witness else "apiserver"
            self.api = self.plane.api("admin", part)
            self.recorder = reader.Recorder(self.plane.api("reader", part)).start()
            self.plugin = FakePlugin(self.plane.api("plugin", part), self._rescan).start()
            self.api.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        except BaseException:
            self._end()
            raise
        return self

    def _start_plane(self):
        """Twice if need be: between finding a free port and using it another run may have taken it."""
        try:
            self._start_servers()
        except cluster.StartError:
            self.plane.stop()
            self.plane = self.PLANE(self.plane.options, self.name + "-again", self.plane.gates)
            self._start_servers()

    def _start_servers(self):
        self.plane.start()
        if self._witness:
            self.plane.start_witness()

    def __exit__(self, kind, error, trace):
        try:
            if kind is None:
                self._verdict()
            elif issubclass(kind, Failure):
                # What else is wrong often says why.
                more = self._violations()
                if more:
                    raise Failure("%s\n  also: %s" % (error, "\n  also: ".join(more[:10]))) from error
        finally:
            self._end()

    def _end(self):
        for part in (self.plugin, self.recorder):
            if part is not None:
                part.stop()
        if self.recorder is not None:
            self.recorder.dump(os.path.join(self.plane.logs, "history.jsonl"))
        self.plane.stop()
        for link in self._links:
            link.stop()

    # -- parts ------------------------------------------------------------------------------------------------

    def nodes(self, *nodes):
        self.plugin.add_nodes(nodes)

    def start(self, *flags, percentage=None):
        """cardinald with these flags, then kube-scheduler."""
        self.plane.start_cardinald(*flags)
        self.plane.start_scheduler(percentage=percentage)

    def own_link(self, part):
        """A wire to a part of the plane that can be held; lives as long as the world."""
        link = Link(self.plane.ports[part])
        self._links.append(link)
        return link

    def install_webhook(self):
        """Every pod passes cardinald's webhook from now on."""
        with open(self.plane.options.certs["ca"], "rb") as f:
            bundle = base64.b64encode(f.read()).decode()
        expect("webhook" in self.plane.ports, "cardinald's log does not say where the webhook listens")
        self.api.create("/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "cardinal"},
            "webhooks": [{
                "name": "pods.cardinal.test", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "failurePolicy": "Fail", "timeoutSeconds": 10,
                "clientConfig": {"url": "https://127.0.0.1:%d/webhook" % self.plane.ports["webhook"], "caBundle": bundle},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]}]})
        # The API server learns of the configuration by its own watch: a dry run comes back changed from then on.
        probe = pod_object("probe", gpu(), scheduler=None)
        deadline = time.monotonic() + 10
        path = kube.pod_path(NAMESPACE, "").rstrip("/") + "?dryRun=All"
        while self.api.create(path, probe)["spec"]["schedulerName"] != cluster.SCHEDULER_NAME:
            expect(time.monotonic() < deadline, "the webhook changes no pod after 10 s")
            time.sleep(0.1)

    # -- pods -------------------------------------------------------------------------------------------------

    def create(self, pod):
        return self.api.create(kube.pod_path(NAMESPACE, "").rstrip("/"), pod)

    def pod(self, name, *containers, **more):
        return self.create(pod_object(name, *containers, **more))

    def create_all(self, pods, at_once=16):
        with ThreadPoolExecutor(at_once) as pool:
            return list(pool.map(self.create, pods))

    def get(self, name):
        return self.api.get(kube.pod_path(NAMESPACE, name))

    def delete(self, name, grace=None):
        return self.api.delete(kube.pod_path(NAMESPACE, name), grace=grace)

    def end(self, name, phase="Succeeded"):
        """The pod's containers end by themselves."""
        self.plugin.end_pod(self.get(name), phase)

    def now(self, name):
        """The pod as the watch last told it, or None."""
        return next((p for p in self.recorder.objects("pod")
                     if p["metadata"]["name"] == name and p["metadata"]["namespace"] == NAMESPACE), None)

    def pods(self):
        return self.recorder.objects("pod")

    def wait(self, predicate, seconds, what):
        """Wait for a claim about the cluster; `what` may be a function that describes how far it came."""
        value = self.recorder.wait(predicate, seconds)
        expect(value, "not within %g s: %s", seconds, what() if callable(what) else what)
        return value

    def bound(self, name, seconds=20):
        """Wait until the pod has a node; returns the node's name."""
        def node():
            pod = self.now(name)
            return pod and pod["spec"].get("nodeName")
        return self.wait(node, seconds, lambda: "pod %s bound%s" % (name, self.why(name)))

    def phase(self, name, *phases, seconds=20):
        def reached():
            pod = self.now(name)
            phase = pod and pod["status"].get("phase")
            expect(phase in phases or phase not in ("Failed", "Succeeded"), "pod %s should be %s and is for good: %s%s", name,
                   "/".join(phases), phase, self.why(name))
            return phase in phases and pod
        return self.wait(reached, seconds, lambda: "pod %s %s%s" % (name, "/".join(phases), self.why(name)))

    def running(self, *names, seconds=20):
        for name in names:
            self.phase(name, "Running", seconds=seconds)
        return self.now(names[-1])

    def refused(self, name, seconds=20):
        """Wait until kube-scheduler has said that the pod fits nowhere; returns the message."""
        def message():
            pod = self.now(name)
            for condition in (pod or {}).get("status", {}).get("conditions") or []:
                if condition["type"] == "PodScheduled" and condition["status"] == "False":
                    return condition.get("reason") == "Unschedulable" and condition.get("message")
            return None
        return self.wait(message, seconds, lambda: "pod %s refused%s" % (name, self.why(name)))

    def stays_pending(self, name, seconds):
        """The pod gets no node for this long."""
        def node():
            pod = self.now(name)
            return pod and pod["spec"].get("nodeName")
        got = self.recorder.wait(node, seconds)
        expect(not got, "pod %s should stay without a node and got %s", name, got)

    def why(self, name):
        """What the API server knows about a pod that is not where it should be."""
        pod = self.now(name)
        if pod is None:
            return " (it does not exist)"
        conditions = ["%s=%s %s %s" % (c["type"], c["status"], c.get("reason", ""), c.get("message", ""))
                      for c in pod["status"].get("conditions") or []]
        return " (phase %s, node %s; %s)" % (pod["status"].get("phase"), pod["spec"].get("nodeName"), "; ".join(conditions))

    def settled(self, count, seconds=60):
        """Wait until `count` pods that ask for cards run, and the plugin is idle."""
        def reached():
            return self.count_running() >= count and self.plugin.idle()
        self.wait(reached, seconds, lambda: "%d pods running, there are %d (%d bound)"
                  % (count, self.count_running(), self.count_bound()))

    def count_bound(self):
        return sum(1 for p in self.pods() if p["spec"].get("nodeName") and reader.asks(p) and not reader.ended(p))

    def count_running(self):
        return sum(1 for p in self.pods() if p["status"].get("phase") == "Running" and reader.asks(p))

    def allocated(self, name):
        return kube.annotations(self.now(name)).get(reader.ALLOCATED)

    # -- cardinald --------------------------------------------------------------------------------------------

    def ask(self, verb, body, query="", timeout=30):
        """Call a verb of cardinald as kube-scheduler would; returns the decoded answer."""
        conn = http.client.HTTPConnection("127.0.0.1", self.plane.ports["extender"], timeout=timeout)
        try:
            conn.request("POST", "/" + verb + query, json.dumps(body), {"Content-Type": "application/json"})
            resp = conn.getresponse()
            text = resp.read().decode("utf-8", "replace")
        finally:
            conn.close()
        expect(resp.status == 200, "POST /%s: HTTP %d %s", verb, resp.status, text[:300])
        return json.loads(text)

    def filter(self, pod, names, query=""):
        """NodeNames that cardinald lists for a stored pod, and the whole answer."""
        answer = self.ask("filter", {"Pod": pod, "Nodes": None, "NodeNames": names}, query)
        expect(not answer.get("Error"), "filter: %s", answer.get("Error"))
        return answer.get("NodeNames") or [], answer

    def bind(self, pod, node):
        """The Error of a bind, "" when it worked."""
        m = pod["metadata"]
        return self.ask("bind", {"PodName": m["name"], "PodNamespace": m["namespace"], "PodUID": m["uid"], "Node": node},
                        timeout=60).get("Error", "")

    def look(self, path):
        """GET at cardinald's read-only API: status and text."""
        return cluster.http_get(self.plane.ports["extender"], path, timeout=10)

    def inventory(self):
        """GET /v1/nodes with all its pages: {node: {uuid: device}}."""
        out, token, pages = {}, "", 0
        while True:
            path = "/v1/nodes?limit=50" + ("&continue=" + token if token else "")
            status, text = self.look(path)
            expect(status == 200, "GET %s: %d %s", path, status, text[:300])
            page = json.loads(text)
            for item in page["items"]:
                expect(item["name"] not in out, "GET /v1/nodes: %s twice", item["name"])
                out[item["name"]] = {d["uuid"]: d for d in item["cards"]}
            token = page.get("continue") or ""
            pages += 1
            expect(pages < 10000, "GET /v1/nodes: endless pages")
            if not token:
                return out

    def ledger_differences(self):
        """How cardinald's ledger differs from what the API objects say; [] when it doesn't."""
        pods, nodes = self.api.get("/api/v1/pods")["items"], self.api.get("/api/v1/nodes")["items"]
        want, marks = reader.ledger(pods, nodes), reader.marks(pods, nodes)
        have = self.inventory()
        out = ["node %s: %s" % (n, "missing in /v1/nodes" if n in want else "not in the API")
               for n in sorted(set(want) ^ {n for n, d in have.items() if d})]
        for node in sorted(set(want) & set(have)):
            for uuid in sorted(set(want[node]) | set(have[node])):
                mine, theirs = want[node].get(uuid), have[node].get(uuid)
                if mine is None or theirs is None:
                    out.append("card %s on %s: %s" % (uuid, node, "missing in /v1/nodes" if theirs is None else "not registered"))
                    continue
                told = {k: theirs[k] for k in ("bits", "onlinePods", "offlinePods") if k in theirs}
                if told != marks[node][uuid]:
                    out.append("card %s on %s: %s in /v1/nodes and %s in the API objects" % (uuid, node, told, marks[node][uuid]))
                for index, key in enumerate(("shares", "memoryMiB", "coresPercent")):
                    for field in ("total", "used"):
                        if theirs[key][field] != mine[field][index]:
                            out.append("card %s on %s: %s %s is %s in /v1/nodes and %s in the API objects"
                                       % (uuid, node, key, field, theirs[key][field], mine[field][index]))
        return out

    def check_ledger(self, seconds=5):
        """cardinald's ledger equals the API objects, at the latest after its watch had time to catch up."""
        deadline = time.monotonic() + seconds
        while True:
            differences = self.ledger_differences()
            if not differences or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        expect(not differences, "ledger: %s", "\n  ".join(differences[:8]))

    def used(self, node, uuid):
        device = self.inventory().get(node, {}).get(uuid)
        expect(device is not None, "card %s on %s is not in /v1/nodes", uuid, node)
        return device["shares"]["used"], device["memoryMiB"]["used"], device["coresPercent"]["used"]

    def metrics(self):
        status, text = cluster.http_get(self.plane.ports["metrics"], "/metrics", timeout=10)
        expect(status == 200, "GET /metrics: %d %s", status, text[:200])
        return text

    def metrics_of(self, name):
        """The lines of one metric, as text."""
        return "\n".join(re.findall(r"^%s(?:[{ ].*)$" % re.escape(name), self.metrics(), re.M))

    def metric(self, name):
        """One number."""
        found = re.match(r"\S+ (\S+)$", self.metrics_of(name))
        expect(found, "no metric %s", name)
        return float(found.group(1))

    def binds(self):
        """{result: number} of binds answered so far."""
        return parse_binds(self.metrics())

    def bind_results(self):
        """How binds ended so far, as text."""
        return ", ".join("%s %d" % (r, n) for r, n in self.binds().items() if n)

    def verb_count(self, verb):
        return parse_verb_count(self.metrics(), verb)

    # -- the end ----------------------------------------------------------------------------------------------

    def _violations(self):
        try:
            complete = self.recorder.caught_up()
        except (OSError, http.client.HTTPException, kube.ApiError):
            complete = False
        history = self.recorder.history()
        out = list(self.plugin.violations)
        out += reader.over_total(history)
        blamed = protocol.wrote_after_binding(self.plane.audit(), self.WRITER)
        out += protocol.check_history(history, self.plugin.own_writes, self.lockless, blamed)
        if not complete:
            out.append("the reader did not catch up with the API server")
        if self.recorder.broken:
            out.append("the reader's history has a hole: " + self.recorder.broken)
        return [v for v in out if not any(re.search(f, v) for f in self.forgiven)]

    def _verdict(self):
        """The checks of every story."""
        died = self.plane.cardinald is not None and self.plane.cardinald.ended()
        expect(not died, "cardinald ended with %s:\n%s", self.plane.cardinald and self.plane.cardinald.code,
               self.plane.cardinald.tail() if died else "")
        deadline = time.monotonic() + 10
        while not self.plugin.idle() and time.monotonic() < deadline:
            time.sleep(0.05)
        wrong = self._violations()
        if not self.locks_may_stay:
            wrong += protocol.locks_left(self.api.get("/api/v1/nodes")["items"])
        expect(not wrong, "%d violations:\n  %s", len(wrong), "\n  ".join(wrong[:12]))
        if self._check_ledger and self.plane.cardinald is not None:
            self.check_ledger()
            repairs = re.search(r"^cardinald_ledger_repairs_total\s+(\S+)", self.metrics(), re.M)
            expect(repairs and float(repairs.group(1)) == 0, "cardinald repaired its ledger: %s", repairs and repairs.group(0))
        self._stop_cardinald()
        self._no_sanitizer_spoke()

    def _no_sanitizer_spoke(self):
        reports = self.plane.sanitizer_reports()
        expect(not reports, "%d lines of a sanitizer: %s", len(reports), reports[:5])

    def _stop_cardinald(self):
        """SIGTERM ends it within 10 s with status 0, in every story."""
        process = self.plane.cardinald
        if process is None:
            return
        if self.plane.scheduler is not None:
            self.plane.scheduler.kill()
        seconds = process.stop()
        self._no_sanitizer_spoke()      # says more than the status that it ends with
        expect(process.code == 0, "cardinald ended with %s after SIGTERM (%.1f s):\n%s", process.code, seconds, process.tail())


def parse_binds(text):
    """{result: number} of binds answered so far."""
    return {r: int(float(n)) for r, n in re.findall(r'^cardinald_bind_total\{result="(\w+)"\}\s+(\S+)', text, re.M)}


def parse_verb_count(text, verb):
    """Calls of one verb so far, from the histogram's count (summed over other labels); 0 before the first."""
    total = 0.0
    for labels, value in re.findall(r"^cardinald_verb_duration_seconds_count\{([^}]*)\}\s+(\S+)", text, re.M):
        if re.search(r'\bverb="%s"' % re.escape(verb), labels):
            total += float(value)
    return int(total)


class Background:
    """Run functions in threads and hand on the first exception at the end of the block."""

    def __init__(self, *functions):
        self._errors = []
        self._threads = [threading.Thread(target=self._run, args=(f,), daemon=True) for f in functions]

    def _run(self, function):
        try:
            function()
        except Exception as e:   # noqa: BLE001  (handed on in __exit__)
            self._errors.append(e)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind, error, trace):
        for thread in self._threads:
            thread.join(120)
        if kind is None and self._errors:
            raise self._errors[0]
