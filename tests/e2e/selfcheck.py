"""Checks of the checks: a fault that is planted must be found, and a clean history must pass.

No cluster and no cardinald; run by `tests/e2e/run --self-check`. A check that cannot fail is a defect, so every rule of
reader.py and protocol.py has a row here that breaks it.
"""

import copy
import json
import re
import threading
import time
import unittest

import cluster
import fakeplugin
import harness
import kube
import makers
import protocol
import reader
import stories_load

NOW = int(time.time())


# -- histories by hand -------------------------------------------------------------------------------------------


def node_event(rv, name="node-a", cards=(("GPU-a", 10, 24576, 100),), lock=None, kind="ADDED"):
    text = json.dumps([{"id": u, "count": n, "devmem": m, "devcore": c, "type": "NVIDIA A10", "health": True} for u, n, m, c in cards])
    notes = {reader.REGISTER: text}
    if lock is not None:
        notes[protocol.LOCK] = lock
    return reader.Event(rv, "node", kind, {"metadata": {"name": name, "uid": "node-" + name, "resourceVersion": str(rv),
                                                        "annotations": notes}, "spec": {}, "status": {}}, NOW)


def pod_event(rv, name, text=None, node="node-a", kind="MODIFIED", phase="Pending", containers=None, init=(), step="allocating",
              waiting=None, deleted=False):
    notes, labels = {}, {}
    if text is not None:
        notes = {reader.ALLOCATED: text, protocol.TO_ALLOCATE: text if waiting is None else waiting, protocol.NODE_KEY: node,
                 protocol.TIME_KEY: str(NOW), protocol.BIND_TIME: str(NOW), protocol.BIND_PHASE: step}
        labels = {protocol.NODE_KEY: node}
    asked = re.search(r",(\d+),(\d+):", text or "")
    spec = {"containers": containers or [harness.gpu(mem=asked.group(1), cores=asked.group(2)) if asked else harness.gpu()]}
    if init:
        spec["initContainers"] = list(init)
    if node and text is not None:
        spec["nodeName"] = node
    metadata = {"name": name, "namespace": "e2e", "uid": "uid-" + name, "resourceVersion": str(rv), "annotations": notes, "labels": labels}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return reader.Event(rv, "pod", kind, {"metadata": metadata, "spec": spec, "status": {"phase": phase}}, NOW)


def entry(memory=1000, cores=10, card="GPU-a"):
    return "%s,NVIDIA,%d,%d:;" % (card, memory, cores)


class OverTotal(unittest.TestCase):
    """reader.over_total on histories with one thing wrong, or nothing."""

    def found(self, *events):
        return reader.over_total(list(events))

    def one(self, pattern, *events):
        wrong = self.found(*events)
        self.assertEqual(len(wrong), 1, wrong)
        self.assertRegex(wrong[0], pattern)

    def test_clean(self):
        self.assertEqual([], self.found(node_event(1), pod_event(2, "a", entry()), pod_event(3, "b", entry())))

    def test_memory(self):
        self.one("over its memory", node_event(1), pod_event(2, "a", entry(14000)), pod_event(3, "b", entry(14000)))

    def test_exactly_full(self):
        self.assertEqual([], self.found(node_event(1), pod_event(2, "a", entry(12288, 50)), pod_event(3, "b", entry(12288, 50))))

    def test_one_too_much(self):
        self.one("over its memory", node_event(1), pod_event(2, "a", entry(12288)), pod_event(3, "b", entry(12289)))

    def test_cores(self):
        self.one("over its cores", node_event(1), pod_event(2, "a", entry(1, 60)), pod_event(3, "b", entry(1, 41)))

    def test_shares(self):
        events = [node_event(1, cards=(("GPU-a", 2, 24576, 100),))]
        self.one("over its shares", *events, *[pod_event(2 + i, "p%d" % i, entry(1, 1)) for i in range(3)])

    def test_one_after_the_other(self):
        """[bound, ended) is half open: the next may start at the very write that ends the last."""
        for end in (dict(phase="Succeeded"), dict(phase="Failed"), dict(kind="DELETED")):
            self.assertEqual([], self.found(node_event(1), pod_event(2, "a", entry(20000)), pod_event(3, "a", entry(20000), **end),
                                            pod_event(4, "b", entry(20000))))

    def test_overlap_by_one_write(self):
        self.one("over its memory", node_event(1), pod_event(2, "a", entry(20000)), pod_event(3, "b", entry(20000)),
                 pod_event(4, "a", entry(20000), phase="Succeeded"))

    def test_order_of_arrival_does_not_matter(self):
        """Two watches are not in step; revisions are."""
        events = [node_event(1), pod_event(2, "a", entry(20000)), pod_event(3, "b", entry(20000))]
        self.assertEqual(1, len(reader.over_total(sorted(reversed(events), key=lambda e: e.rv))))

    def test_deletion_timestamp_frees_nothing(self):
        self.one("over its memory", node_event(1), pod_event(2, "a", entry(20000)), pod_event(3, "a", entry(20000), deleted=True),
                 pod_event(4, "b", entry(20000)))

    def test_other_node(self):
        self.assertEqual([], self.found(node_event(1), node_event(2, "node-b"), pod_event(3, "a", entry(20000)),
                                        pod_event(4, "b", entry(20000), node="node-b")))

    def test_unknown_card(self):
        self.one("not registered", node_event(1), pod_event(2, "a", entry(card="GPU-x")))

    def test_whole_card_shared(self):
        self.one("held whole and shared", node_event(1), pod_event(2, "a", entry(1, 100)), pod_event(3, "b", entry(1, 0)))

    def test_bound_without_cards(self):
        self.one("bad allocation", node_event(1), pod_event(2, "a", text="", node="node-a"))

    def test_allocation_is_not_the_ask(self):
        for text, pattern in ((entry() + ";", "2 slots for 1"), (entry()[:-1] + entry(card="GPU-b"), "asks for 1 cards and has 2"),
                              ("GPU-a,NVIDIA,01,1:;", "bad entry"), ("GPU-a,NVIDIA,-1,1:;", "bad entry"), ("GPU-a,A10,1,1:;", "bad entry"),
                              ("GPU-a,NVIDIA,1,1;", "end with ':'"), ("GPU-a,NVIDIA,1,1:", "end with ';'"), (entry(0), "0 MiB")):
            wrong = self.found(node_event(1, cards=(("GPU-a", 10, 24576, 100), ("GPU-b", 10, 24576, 100))), pod_event(2, "a", text))
            self.assertTrue(any("bad allocation" in x and pattern in x for x in wrong), (text, wrong))

    def test_memory_and_cores_as_asked(self):
        asked = [harness.gpu(mem=2000, cores=20)]
        self.assertEqual([], self.found(node_event(1), pod_event(2, "a", entry(2000, 20), containers=asked)))
        self.one("asks for 2000 MiB", node_event(1), pod_event(2, "a", entry(1000, 20), containers=asked))
        self.one("asks for 20 %", node_event(1), pod_event(2, "a", entry(2000, 10), containers=asked))

    def test_moved(self):
        self.one("moved", node_event(1), node_event(2, "node-b"), pod_event(3, "a", entry()), pod_event(4, "a", entry(), node="node-b"))

    def test_rejoined_node_keeps_its_pods(self):
        self.one("over its memory", node_event(1), pod_event(2, "a", entry(20000)), node_event(3, kind="DELETED"), node_event(4),
                 pod_event(5, "b", entry(20000)))


class Effective(unittest.TestCase):
    """Kubernetes' rule for init containers and sidecars, per card and dimension."""

    ROWS = (
        ("apps add up", "app app", [(8, 2)], [(6, 2)], (2, 14, 4)),
        ("init is a maximum", "init app", [(20, 5)], [(8, 2)], (1, 20, 5)),
        ("init below the apps", "init app app", [(5, 1)], [(8, 2)], [(6, 3)], (2, 14, 5)),
        ("per dimension", "init app", [(20, 1)], [(8, 9)], (1, 20, 9)),
        ("two inits", "init init app", [(20, 1)], [(30, 1)], [(8, 1)], (1, 30, 1)),
        ("sidecar stays", "sidecar app", [(4, 1)], [(8, 1)], (2, 12, 2)),
        ("init beside a sidecar", "sidecar init app", [(4, 1)], [(20, 1)], [(8, 1)], (2, 24, 2)),
        ("init before a sidecar", "init sidecar app", [(20, 1)], [(4, 1)], [(8, 1)], (2, 20, 2)),
        ("init only", "init app", [(6, 1)], [], (1, 6, 1)),
        ("two entries of one init", "init app", [(6, 1), (6, 1)], [], (2, 12, 2)),
    )

    def test_rows(self):
        for name, kinds, *slots, want in self.ROWS:
            with self.subTest(name):
                got = reader.effective(kinds.split(), [[("GPU-a", m, c) for m, c in s] for s in slots])
                self.assertEqual({"GPU-a": want}, got)

    def test_cards_are_apart(self):
        got = reader.effective(["init", "app", "app"], [[("A", 20, 50)], [("A", 8, 20)], [("A", 6, 20), ("B", 6, 20)]])
        self.assertEqual({"A": (2, 20, 50), "B": (1, 6, 20)}, got)

    def test_too_few_slots(self):
        with self.assertRaises(ValueError):
            reader.effective(["init", "app"], [[]])

    def test_ledger(self):
        nodes = [node_event(1).obj, node_event(2, "bare", cards=()).obj]
        pods = [pod_event(3, "a", entry(5, 1)).obj, pod_event(4, "b", entry(7, 2)).obj, pod_event(5, "c", entry(9), phase="Failed").obj,
                pod_event(6, "d", entry(9), node="gone").obj, pod_event(7, "e").obj]
        self.assertEqual({"node-a": {"GPU-a": {"total": (10, 24576, 100), "used": (2, 12, 3)}}, "bare": {}}, reader.ledger(pods, nodes))


class History(unittest.TestCase):
    """protocol.check_history: the clean way of a pod, then the same with one thing wrong."""

    def setUp(self):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW))
        lock = stamp + ",e2e,a"
        self.events = [node_event(1), pod_event(2, "a", kind="ADDED"), node_event(3, lock=lock, kind="MODIFIED"),
                       pod_event(4, "a", entry()), pod_event(5, "a", entry(), waiting=";;"),
                       pod_event(6, "a", entry(), waiting=";;", step="success"), node_event(7, kind="MODIFIED"),
                       pod_event(8, "a", entry(), waiting=";;", step="success", phase="Running")]
        self.own = {5, 6, 8}

    def check(self, pattern=None, own=None, lockless=()):
        wrong = protocol.check_history(self.events, self.own if own is None else own, lockless)
        if pattern is None:
            self.assertEqual([], wrong)
        else:
            self.assertTrue(any(pattern in w for w in wrong), (pattern, wrong))

    def notes(self, rv):
        event = next(e for e in self.events if e.rv == rv)
        event.obj = copy.deepcopy(event.obj)
        return event.obj["metadata"]["annotations"]

    def test_clean(self):
        self.check()

    def test_annotations_at_binding(self):
        for key, value, pattern in (
                (protocol.NODE_KEY, "node-b", protocol.NODE_KEY), (protocol.BIND_PHASE, "success", protocol.BIND_PHASE),
                (protocol.BIND_PHASE, None, protocol.BIND_PHASE), (protocol.TIME_KEY, "soon", protocol.TIME_KEY),
                (protocol.BIND_TIME, None, protocol.BIND_TIME), (protocol.BIND_TIME, str(NOW - 4000), "off"),
                (protocol.TO_ALLOCATE, entry(999), "differ"), (protocol.TO_ALLOCATE, None, "differ"),
                (protocol.MIG, "[]", protocol.MIG), ("hami.io/Ascend910B-devices-allocated", ";", "vendor without devices")):
            with self.subTest(key=key, value=value):
                self.setUp()
                notes = self.notes(4)
                if value is None:
                    notes.pop(key)
                else:
                    notes[key] = value
                self.check(pattern)

    def test_label(self):
        self.notes(4)
        self.events[3].obj["metadata"]["labels"] = {}
        self.check("label")

    def test_slots(self):
        for rv in (4, 5, 6, 8):
            self.notes(rv)[reader.ALLOCATED] = entry() + ";"
        self.notes(4)[protocol.TO_ALLOCATE] = entry() + ";"
        self.check("2 slots for 1 containers")

    def test_locks(self):
        for value, pattern in ((None, "no lock"), ("x", "three parts"), ("today,e2e,a", "RFC 3339"),
                               ("2026-01-01T00:00:00Z,e2e,a", "off"), ("2099-01-01T00:00:00Z,e2e,a", "off"), ("2026-01-01T00:00:00Z,e2e,b", "another pod")):
            with self.subTest(value):
                self.setUp()
                notes = self.notes(3)
                notes.pop(protocol.LOCK)
                if value:
                    notes[protocol.LOCK] = value
                self.check(pattern)
                self.events = [e for e in self.events if e.rv != 7]
                self.check(lockless={"e2e/a"})

    def test_lock_lost_before_success(self):
        self.events[5].rv, self.events[6].rv = 7, 6
        self.events.sort(key=lambda e: e.rv)
        self.check("changed", own={5, 7, 8})

    def test_foreign_write(self):
        self.check("somebody wrote", own={6, 8})
        self.assertEqual([], protocol.check_history(self.events, {6, 8}, blamed=set()))
        self.assertEqual(1, len(protocol.check_history(self.events, {6, 8}, blamed={"e2e/a"})))

    def test_who_wrote_after_binding(self):
        def event(name, sub, user="cardinald"):
            return {"user": {"username": user}, "verb": "patch", "objectRef": {"resource": "pods", "namespace": "e2e", "name": name, "subresource": sub}}
        audit = [event("early", "status"), event("early", "binding"), event("late", "binding"), event("late", "status"),
                 event("again", "binding"), event("again", "status"), event("again", "binding"),
                 event("other", "binding"), event("other", "status", "kube-scheduler")]
        self.assertEqual({"e2e/late"}, protocol.wrote_after_binding(audit, "cardinald"))

    def test_write_after_success_is_free(self):
        self.check(own={5, 6})

    def test_allocation_changed(self):
        self.notes(8)[reader.ALLOCATED] = entry(2000)
        self.check("allocated changed")

    def test_two_at_once(self):
        self.events.insert(4, pod_event(4.5, "b", entry()))
        self.check("while the plugin is still at e2e/a")

    def test_cpu_only(self):
        self.events = [node_event(1), pod_event(2, "c", "", containers=[harness.plain()])]
        self.check("asks for no cards and carries")


class Codec(unittest.TestCase):
    """The plugin's own decoder and encoder, as HAMi's are described."""

    def test_residue_grows(self):
        for before, after in (("A,NVIDIA,1,1:;", ";;"), ("A,NVIDIA,1,1:;B,NVIDIA,1,1:;", ";B,NVIDIA,1,1:;;"), (";B,NVIDIA,1,1:;;", ";;;;")):
            slots = fakeplugin.decode(before)
            slots[next(i for i, s in enumerate(slots) if s)] = []
            self.assertEqual(after, fakeplugin.encode(slots))

    def test_lenient_and_strict(self):
        self.assertEqual([[("A", "N", 1, 2)], []], fakeplugin.decode("junk:A,N,1,2,more:;"))
        for bad in ("A,N,1;", "A,N,x,1:;", "A,N,1,2147483648:;"):
            with self.assertRaises(ValueError):
                fakeplugin.decode(bad)

    def test_garbage_of_another_vendor_blocks(self):
        with self.assertRaises(ValueError):
            makers.decode_all({fakeplugin.TO_ALLOCATE: "A,NVIDIA,1,1:;", "hami.io/dcu-devices-to-allocate": "x,y;"}, fakeplugin.TO_ALLOCATE)

    def test_register_omits_zero(self):
        got = fakeplugin.Card("GPU-a", 0, healthy=False).register(10)
        self.assertEqual({"id", "count", "devmem", "devcore", "type", "mode"}, set(got))

    def test_ids_needed(self):
        gpu = harness.gpu
        for want, init, app in ((2, [], [gpu(count=2)]), (3, [gpu("i", 3)], [gpu(count=1)]), (3, [gpu("s", 1, restart="Always")], [gpu(count=2)]),
                                (4, [gpu("s", 1, restart="Always"), gpu("i", 3)], [gpu(count=1)]), (0, [], [harness.plain()])):
            self.assertEqual(want, fakeplugin.count_needed({"spec": {"initContainers": init, "containers": app}}))


class StubApi:
    """Pods and nodes in memory behind the few calls that the plugin makes; keeps the verbs in order."""

    def __init__(self, *objects):
        self.objects = {}
        self.calls = []
        self.rv = 100
        self.lock = threading.Lock()
        for o in objects:
            path = kube.pod_path("e2e", o["metadata"]["name"]) if "namespace" in o["metadata"] else kube.node_path(o["metadata"]["name"])
            self.objects[path] = copy.deepcopy(o)

    def get(self, path, **query):
        with self.lock:
            self.calls.append("GET " + path.rsplit("/", 2)[-2])
            if query:
                return {"items": [copy.deepcopy(o) for p, o in self.objects.items() if "/pods/" in p]}
            if path not in self.objects:
                raise kube.ApiError("GET", path, 404, {})
            return copy.deepcopy(self.objects[path])

    def patch(self, path, body, _content_type=kube.MERGE):
        with self.lock:
            self.calls.append("PATCH %s %s" % (path.split("/")[-2 if not path.endswith("status") else -3],
                                               ",".join(sorted((body.get("metadata") or body).get("annotations", body)))))
            obj = self.objects[path.removesuffix("/status")]
            rv = (body.get("metadata") or {}).get("resourceVersion")
            if rv is not None and rv != obj["metadata"]["resourceVersion"]:
                raise kube.ApiError("PATCH", path, 409, {})
            notes = obj["metadata"].setdefault("annotations", {})
            for key, value in ((body.get("metadata") or {}).get("annotations") or {}).items():
                notes.pop(key, None)
                if value is not None:
                    notes[key] = value
            obj.setdefault("status", {}).update(body.get("status") or {})
            self.rv += 1
            obj["metadata"]["resourceVersion"] = str(self.rv)
            return copy.deepcopy(obj)


class Plugin(unittest.TestCase):
    """The plugin on a stub: the verbs of the contract, and a violation for each way of being led astray."""

    def admit(self, text, lock=",e2e,a", containers=None, others=(), behaviour=None, **more):
        node = fakeplugin.Node("node-a", [fakeplugin.Card("GPU-a", 0), fakeplugin.Card("GPU-b", 1)], split=5, behaviour=behaviour)
        pod = pod_event(2, "a", text, containers=containers, **more).obj
        lock = None if lock is None else "2026-01-01T00:00:00Z" + lock
        self.api = StubApi(pod, node_event(1, lock=lock).obj, *others)
        plugin = fakeplugin.FakePlugin(self.api)
        plugin.nodes[node.name] = node
        plugin._admit(node, pod)
        plugin.stop()
        self.pod = self.api.objects[kube.pod_path("e2e", "a")]
        self.node = self.api.objects[kube.node_path("node-a")]
        return plugin.violations

    def test_clean(self):
        self.assertEqual([], self.admit(entry()))
        self.assertEqual(["GET nodes", "GET pods", "PATCH pods " + fakeplugin.TO_ALLOCATE, "GET pods", "PATCH pods " + fakeplugin.BIND_PHASE,
                          "GET nodes", "PATCH nodes " + fakeplugin.LOCK, "PATCH pods status"], self.api.calls)
        self.assertEqual(("success", ";;"), (self.pod["metadata"]["annotations"][fakeplugin.BIND_PHASE],
                                             self.pod["metadata"]["annotations"][fakeplugin.TO_ALLOCATE]))
        self.assertNotIn(fakeplugin.LOCK, self.node["metadata"]["annotations"])
        self.assertEqual("Running", self.pod["status"]["phase"])

    def test_two_containers_keep_the_lock_until_the_last(self):
        self.assertEqual([], self.admit(entry() * 2, containers=[harness.gpu("a"), harness.gpu("b")]))
        self.assertEqual(1, sum(c == "PATCH nodes " + fakeplugin.LOCK for c in self.api.calls))
        self.assertEqual(";;;;", self.pod["metadata"]["annotations"][fakeplugin.TO_ALLOCATE])

    def test_led_astray(self):
        two = [harness.plain("a"), harness.gpu("b")]
        other = pod_event(3, "other", entry()).obj
        for name, pattern, arguments in (
                ("no lock", "without a lock", dict(text=entry(), lock=None)),
                ("another pod's lock", "was led to e2e/other", dict(text=entry(), lock=",e2e,other", others=[other])),
                ("a gone pod's lock", "404", dict(text=entry(), lock=",e2e,gone")),
                ("unreadable lock", "unreadable lock", dict(text=entry(), lock=",a,b,c")),
                ("not padded", "kubelet asks for b", dict(text=entry(), containers=two)),
                ("too few devices", "kubelet gave 2 ids", dict(text=entry(), containers=[harness.gpu(count=2)])),
                ("nothing to allocate", "Allocate failed", dict(text=";")),
                ("too many on the node", "device ids of nvidia.com/gpu left", dict(text=entry(), containers=[harness.gpu(count=11)]))):
            with self.subTest(name):
                violations = self.admit(**arguments)
                self.assertTrue(any(pattern in v for v in violations), violations)

    def test_misbehaviour_is_no_violation(self):
        for behaviour, phase, locked in ((fakeplugin.Behaviour(refuse=True), "failed", False),
                                         (fakeplugin.Behaviour(die="before-allocate"), "allocating", True),
                                         (fakeplugin.Behaviour(die="before-release"), "allocating", True)):
            self.assertEqual([], self.admit(entry(), behaviour=behaviour))
            self.assertEqual("Failed", self.pod["status"]["phase"])
            self.assertEqual(phase, self.pod["metadata"]["annotations"][fakeplugin.BIND_PHASE])
            self.assertEqual(locked, fakeplugin.LOCK in self.node["metadata"]["annotations"])


class Parsing(unittest.TestCase):
    def test_listening(self):
        want = {"extender": 40123, "webhook": 40124, "metrics": 40125}
        for line in ("msg=listening extender=127.0.0.1:40123 webhook=127.0.0.1:40124 metrics=127.0.0.1:40125\n",
                     'ts=1 level=info msg="listening" metrics="127.0.0.1:40125" webhook=[::1]:40124 extender=0.0.0.0:40123 id=7\n'):
            self.assertEqual(want, cluster.parse_listening("noise extender=1.1.1.1:1\n" + line))
        self.assertEqual({}, cluster.parse_listening("msg=listening extender=127.0.0.1:40123"), "an unfinished line")

    def test_verb_count(self):
        text = ('cardinald_verb_duration_seconds_count{verb="filter"} 7\ncardinald_verb_duration_seconds_count{result="x",verb="filter"} 2\n'
                'cardinald_verb_duration_seconds_count{verb="bind"} 1\n')
        self.assertEqual((9, 1, 0), tuple(harness.parse_verb_count(text, v) for v in ("filter", "bind", "prioritize")))

    def test_time(self):
        for text, want in (("1970-01-01T00:00:10Z", 10), ("1970-01-01T01:00:10+01:00", 10), ("1970-01-01T00:00:10.5Z", 10), ("now", None)):
            self.assertEqual(want, protocol.parse_time(text))

    def test_quantity(self):
        for text, want in (("4k", 4000), ("2457", 2457), ("1Ki", 1024), (7, 7)):
            self.assertEqual(want, reader.whole(text))
        for text in ("1.5", "100m", "-1", ""):
            with self.assertRaises(ValueError):
                reader.whole(text)

    def test_bound(self):
        self.assertEqual(10, stories_load.best_card(((3, 1), (5, 1)), 10, 100, 10))
        self.assertEqual(9, stories_load.best_card(((3, 1), (7, 1)), 9, 100, 3))
        self.assertEqual(6, stories_load.best_card(((3, 50), (5, 100)), 10, 100, 10))
        self.assertEqual(5, stories_load.best_card(((3, 1), (5, 1)), 10, 100, 1))


def main():
    suite = unittest.defaultTestLoader.loadTestsFromModule(__import__(__name__))
    result = unittest.TextTestRunner(verbosity=1).run(suite)
    failed = len(result.failures) + len(result.errors)
    print("%d passed, %d failed" % (result.testsRun - failed, failed))
    return 1 if failed else 0
