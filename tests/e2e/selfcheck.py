"""Checks of the checks: a fault that is planted must be found, and a clean history must pass.

No cluster and no cardinald; run by `tests/e2e/run --self-check`. A check that cannot fail is a defect, so every rule of
reader.py and protocol.py has a row here that breaks it.
"""

import copy
import json
import random
import re
import socket
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
import rows
import stories_leader as leader
import stories_load
import stories_storm as storm
import stories_vendors as vendors
import stories_wake
from link import Link

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


def maker_node(rv, name, *sets, lock=None, labels=None, kind="ADDED"):
    """A node with cards of any maker, as its plugins and its kubelet describe it."""
    node = fakeplugin.Node(name, [], sets=sets, labels=labels)
    obj = node.object()
    obj["metadata"].update(uid="node-" + name, resourceVersion=str(rv), annotations={**node.register(), **(lock or {})})
    return reader.Event(rv, "node", kind, obj, NOW)


def maker_pod(rv, name, node, notes, *containers, init=(), kind="MODIFIED", phase="Pending", step="allocating", labels=True):
    notes = {**notes, protocol.NODE_KEY: node, protocol.TIME_KEY: str(NOW), protocol.BIND_TIME: str(NOW), protocol.BIND_PHASE: step}
    obj = harness.pod_object(name, *containers, init=init, notes=notes, labels={protocol.NODE_KEY: node} if labels else {})
    obj["metadata"].update(uid="uid-" + name, resourceVersion=str(rv))
    obj["spec"]["nodeName"] = node
    obj["status"] = {"phase": phase}
    return reader.Event(rv, "pod", kind, obj, NOW)


def ask(name="main", **amounts):
    """A container by short names of resources."""
    return vendors.container(name, {SHORT[k]: v for k, v in amounts.items()})


SHORT = {"gpu": "nvidia.com/gpu", "gpumem": "nvidia.com/gpumem", "npu": "huawei.com/Ascend910B3", "npumem": "huawei.com/Ascend910B3-memory",
         "npucore": "huawei.com/Ascend910B3-core", "c": "huawei.com/Ascend910C", "cmem": "huawei.com/Ascend910C-memory",
         "mlu": "cambricon.com/vmlu", "mlumem": "cambricon.com/mlu.smlu.vmemory", "mlucore": "cambricon.com/mlu.smlu.vcore",
         "dcu": "hygon.com/dcunum", "dcumem": "hygon.com/dcumem", "dcucores": "hygon.com/dcucores", "moore": "mthreads.com/vgpu",
         "mooremem": "mthreads.com/sgpu-memory", "moorecore": "mthreads.com/sgpu-core", "bi": "iluvatar.ai/BI-V150-vgpu",
         "bimem": "iluvatar.ai/BI-V150.vMem", "bicore": "iluvatar.ai/BI-V150.vCore", "metax": "metax-tech.com/gpu",
         "sgpu": "metax-tech.com/sgpu", "sgpumem": "metax-tech.com/vmemory", "sgpucore": "metax-tech.com/vcore", "gcu": "enflame.com/gcu",
         "drs": "enflame.com/drs-gcu", "drsmem": "enflame.com/gcu-memory", "drscore": "enflame.com/gcu-core", "xpu": "kunlunxin.com/xpu",
         "vxpu": "kunlunxin.com/vxpu", "vxpumem": "kunlunxin.com/vxpu-memory", "neuron": "aws.amazon.com/neuron",
         "cores": "aws.amazon.com/neuroncore", "amd": "amd.com/gpu", "amdmem": "amd.com/gpumem", "amdcore": "amd.com/gpucores",
         "va": "vastaitech.com/va", "biren": "birentech.com/gpu"}

NS = "1785578400000000000"
SOFT = {"huawei.com/vnpu-mode": "hami-core"}


def lists(maker, text, **more):
    """The two lists, or the one, of a maker, and what else is on the pod; `__` in a name stands for '/'."""
    m = makers.MAKERS[maker]
    out = {m.allocated: text, **{k.replace("__", "/"): v for k, v in more.items()}}
    return {**out, m.waiting: text} if m.waiting else out


def objects(key, text, objs, **more):
    return lists(key, text, **more, **{"huawei.com/" + key: objs, "predicate-time": "1785578400"})


def assigned(text, **more):
    first = {"assigned": "false", "assigned-time": NS, "assigned-index": "0", "assigned-id": "0", "assigned-minor": "0", "request-size": "4"}
    out = lists("Enflame", text, **{"enflame.com/gcu-" + k: v for k, v in first.items()})
    out["assigned-containers"] = '{"main":{"allocated":false,"request":4,"profileID":"9","profileName":"4g.24gb"}}'
    return {**out, **more}


def neuron(text, ids, kind="aws.amazon.com/neuroncore"):
    out = lists("AWSNeuron", text, AWS_NEURON_IDS=ids, NEURON_ALLOC_TIME=NS, NEURON_ALLOCATED="false", aws__amazon=None)
    out.pop("aws/amazon")
    out["aws.amazon.com/predicate-node"] = "n1"
    return {**out, "NEURON_RESOURCE_TYPE": kind} if kind else out


def moore(text, index):
    return {**lists("Mthreads", text), "mthreads.com/gpu-index": index, "mthreads.com/predicate-time": NS, "mthreads.com/predicate-node": "n1"}


def sgpu(text, by_container, **more):
    return {**lists("Metax-SGPU", text), "metax-tech.com/gpu-devices-allocated": by_container, "metax-tech.com/predicate-time": NS,
            "metax-tech.com/sgpu-qos-policy": "best-effort", **more}


def mig(text, *places):
    entries = [dict(zip(makers.MIG_FIELDS, (0, i, "G-0", p, {"start": s, "size": n}))) for i, (p, s, n) in enumerate(places)]
    return lists("NVIDIA", text, **{makers.MIG: makers.compact(entries)})


CARDS = {
    "NVIDIA": vendors.cards("G", 1, model="NVIDIA A100", memory=40960, mode="mig", slots=7, migProfiles=vendors.MIG_PROFILES),
    "Ascend910B3": vendors.cards("A", 8, model="Ascend910B3", memory=65536, cores=20, slots=4, custominfo=vendors.network),
    "Ascend910C": vendors.cards("C", 4, model="Ascend910C", memory=65536, cores=20, slots=4, custominfo=lambda i: {"NetworkID": 0}),
    "MLU": vendors.cards("n1-cambricon-mlu", 4, model="MLU"), "DCU": vendors.cards("D", 2, model="DCU-K100_AI", memory=65520, slots=4),
    "Mthreads": vendors.cards("n1-mthreads", 8, memory=49152, cores=16), "BI-V150": vendors.cards("B", 2, model="BI-V150", memory=32768, slots=10),
    "Metax-GPU": vendors.cards("n1-metax", 8, memory=65536), "Metax-SGPU": vendors.cards("S", 2, model="MXC500", memory=65536, slots=16),
    "GCU": vendors.cards("n1-GCU", 4, memory=100), "Enflame": vendors.cards("n1-enflame-drs", 1, memory=36864, slots=6, profiles=vendors.DRS_PROFILES),
    "kunlun": vendors.cards("n1-kunlun", 8, memory=98304), "XPU": vendors.cards("xpu", 4, model="XPU", memory=98304, slots=4),
    "AWSNeuron": vendors.cards("n1-AWSNeuron", 16, memory=0, cores=3, units=2),
    "AMD": vendors.cards("card", 2, model="AMD Instinct MI300X VF", memory=196608, cores=304, slots=8),
    "Vastai": vendors.cards("d", 8, model="Vastai", memory=16384, slots=1, custominfo=vendors.die),
    "Biren": vendors.cards("b", 4, model="Biren", memory=65536, slots=1),
}

# The contract's own worked examples (and where it has none, one by its rules): maker, containers, annotations.
EXAMPLES = (
    ("NVIDIA", [ask(gpu=2, gpumem=9000)], mig("G-0,NVIDIA,9984,29:G-0,NVIDIA,9984,29:;", ("2g.10gb", 2, 2), ("2g.10gb", 4, 2))),
    ("Ascend910B3", [ask(npu=1, npumem=16384)], objects("Ascend910B3", "A-1,Ascend910B3,16384,0:;", '[{"UUID":"A-1","temp":"vir05_1c_16g","memory":16384}]')),
    ("Ascend910C", [ask(c=2, cmem=65536)], objects("Ascend910C", "C-1,Ascend910C,65536,0:C-0,Ascend910C,65536,0:;",
                                                    '[{"UUID":"C-1","memory":65536},{"UUID":"C-0","memory":65536}]')),
    ("MLU", [vendors.container("x"), ask(mlu=1, mlumem=20, mlucore=10)],
     lists("MLU", ";n1-cambricon-mlu-3,MLU,5120,10:;", CAMBRICON_DSMLU_ASSIGNED="false", CAMBRICON_DSMLU_PROFILE="3_10_20")),
    ("DCU", [ask(dcu=1, dcumem=2000, dcucores=60)], lists("DCU", "D-1,DCU,2000,60:;")),
    ("Mthreads", [ask(moore=2, mooremem=192, moorecore=32)], moore("n1-mthreads-7,Mthreads,49152,16:n1-mthreads-6,Mthreads,49152,16:;", "7,6")),
    ("BI-V150", [ask(bi=1, bimem=64, bicore=50)], lists("BI-V150", "B-1,BI-V150,16384,50:;")),
    ("Metax-GPU", [ask(metax=2)], lists("Metax-GPU", "n1-metax-7,Metax-GPU,65536,100:n1-metax-6,Metax-GPU,65536,100:;")),
    ("Metax-SGPU", [vendors.container("x"), ask(sgpu=1, sgpumem="4", sgpucore=60)],
     sgpu(";S-1,Metax-SGPU,4096,60:;", '[[],[{"uuid":"S-1","compute":60,"vRam":4096}]]')),
    ("GCU", [ask(gcu=1)], lists("GCU", "n1-GCU-3,GCU,100,100:;")),
    ("Enflame", [ask(drs=4)], assigned("n1-enflame-drs-0,Enflame,24576,67:;")),
    ("kunlun", [ask(xpu=2)], lists("kunlun", "n1-kunlun-0,kunlun,98304,100:n1-kunlun-1,kunlun,98304,100:;", BAIDU_COM_DEVICE_IDX="0,1")),
    ("XPU", [ask(vxpu=1, vxpumem=49152)], lists("XPU", "xpu-3,XPU,49152,50:;")),
    ("AWSNeuron", [ask(cores=1)], neuron("n1-AWSNeuron-15,AWSNeuron,0,2:;", "31")),
    ("AMD", [ask(amd=1, amdmem=32768, amdcore=40)], lists("AMD", "card-1,AMD Instinct MI300X VF,32768,121:;")),
    ("Vastai", [ask(va=2)], lists("Vastai", "d-7,Vastai,0,0:d-6,Vastai,0,0:;")),
    ("Biren", [ask(biren=2)], lists("Biren", "b-3,Biren,0,0:b-2,Biren,0,0:;")),
)


class Makers(unittest.TestCase):
    """Both readings of every maker's texts: the plugin's and the judge's."""

    def complaints(self, maker, containers, notes, text=None):
        """What the plugin, the reader and the protocol say of a pod bound with these annotations."""
        m, known = makers.MAKERS[maker], CARDS[maker]
        pod = maker_pod(3, "a", "n1", notes, *containers)
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW))
        node = maker_node(1, "n1", (maker, known), lock={makers.SHARED_LOCK: stamp + ",e2e,a", makers.CLOCK_LOCK: stamp})
        try:
            slots = makers.decode(notes[m.allocated])[:len(containers)]
            plugin = [w for s in slots for d in s for w in m.entry_problems(d, known, bool(notes.get("huawei.com/vnpu-mode")))]
            if m.reads and not plugin:
                plugin = m.reads(m, pod.obj, slots, known, "n1")
        except (KeyError, IndexError, ValueError) as e:
            plugin = [repr(e)]
        return plugin, reader.over_total([node, pod]), protocol.check_history([node, pod])

    def test_examples(self):
        for maker, containers, notes in EXAMPLES:
            with self.subTest(maker):
                self.assertEqual(([], [], []), self.complaints(maker, containers, notes))

    def test_every_text_counts(self):
        """Each annotation of each example: changed, the plugin or a judge objects; absent, the protocol does."""
        free = ("metax-tech.com/sgpu-qos-policy",)
        for maker, containers, notes in EXAMPLES:
            for key, text in notes.items():
                if key in free:
                    continue
                with self.subTest(maker=maker, key=key):
                    less = {k: v for k, v in notes.items() if k != key}
                    self.assertTrue(any(self.complaints(maker, containers, less)), "absent")
                    for at, digit in enumerate(text):
                        if digit.isdigit() and not key.endswith("time") and "TIME" not in key:
                            other = text[:at] + str((int(digit) + 1) % 10) + text[at + 1:]
                            self.assertTrue(any(self.complaints(maker, containers, {**notes, key: other})), other)
                    self.assertTrue(any(self.complaints(maker, containers, {**notes, key: text + "x"})), text + "x")

    def test_planted(self):
        """One thing wrong each, and who must say so: (maker, containers, annotations, pattern)."""
        for maker, containers, notes, pattern in (
                ("Ascend910B3", [ask(npu=1, npumem=16384)], objects("Ascend910B3", "A-1,Ascend910B3,16384,0:;",
                                                                   '[{"UUID":"A-1","temp":"vir10_3c_32g","memory":16384}]'), "vir10"),
                ("Ascend910B3", [ask(npu=1, npumem=20000)],
                 objects("Ascend910B3", "A-1,Ascend910B3,20000,0:;", '[{"UUID":"A-1","memory":20000}]'), "no template"),
                ("Ascend910C", [ask(c=2, cmem=65536)], objects("Ascend910C", "C-1,Ascend910C,65536,0:C-2,Ascend910C,65536,0:;",
                                                              '[{"UUID":"C-1","memory":65536},{"UUID":"C-2","memory":65536}]'), "torn modules"),
                ("AMD", [ask(amd=1, amdmem=32768, amdcore=40)], lists("AMD", "card-1,AMD,32768,121:;"), "type of card-1|bad entry"),
                ("AMD", [ask(amd=1, amdmem=32768, amdcore=40)], lists("AMD", "card-1,AMD Instinct MI300X VF,32768,40:;"), "units"),
                ("Enflame", [ask(drs=4)], assigned("n1-enflame-drs-0,Enflame,12288,34:;"), "24576"),
                ("Enflame", [ask(drsmem=11000, drscore=30)], assigned("n1-enflame-drs-0,Enflame,24576,67:;"), "should be 12288"),
                ("AWSNeuron", [ask(cores=1)], neuron("n1-AWSNeuron-15,AWSNeuron,0,3:;", "30,31"), "cores of n1-AWSNeuron-15 is 2"),
                ("AWSNeuron", [ask(neuron=1)], neuron("n1-AWSNeuron-15,AWSNeuron,0,1:;", "15", None), "cores of n1-AWSNeuron-15 is 1"),
                ("AWSNeuron", [ask(cores=1)], neuron("n1-AWSNeuron-15,AWSNeuron,0,4:;", "30"), "outside the device|a card of 0 and 3"),
                ("Mthreads", [ask(moore=2, mooremem=192, moorecore=32)],
                 moore("n1-mthreads-7,Mthreads,98304,16:n1-mthreads-6,Mthreads,98304,16:;", "7,6"), "49152"),
                ("NVIDIA", [ask(gpu=1, gpumem=9000)], mig("G-0,NVIDIA,9984,29:;", ("2g.10gb", 1, 2)), "cannot be placed"),
                ("NVIDIA", [ask(gpu=1, gpumem=9000)], mig("G-0,NVIDIA,4864,15:;", ("1g.5gb", 1, 1)), "room for the ask"),
                ("NVIDIA", [ask(gpu=1, gpumem=9000)], lists("NVIDIA", "G-0,NVIDIA,9000,0:;"), "for slices of MIG cards"),
                ("NVIDIA", [ask(gpu=2, gpumem=9000)], mig("G-0,NVIDIA,9984,29:G-0,NVIDIA,9984,29:;", ("2g.10gb", 2, 2), ("2g.10gb", 2, 2)), "twice|given"),
                ("Metax-SGPU", [ask(sgpu=1, sgpumem="4")], sgpu("S-1,Metax-SGPU,4096,60:;", '[[{"uuid":"S-1","compute":60,"vRam":4096}]]'), "asks for 100 %"),
                ("Vastai", [ask(va=1)], lists("Vastai", "d-7,Vastai,16384,0:;"), "memory of d-7"),
                ("Vastai", [ask(va=2)], lists("Vastai", "d-7,Vastai,0,0:d-7,Vastai,0,0:;"), "one card twice"),
                ("kunlun", [ask(xpu=1)], lists("kunlun", "n1-kunlun-0,kunlun,24576,25:;", BAIDU_COM_DEVICE_IDX="0"), "memory of n1-kunlun-0"),
                ("XPU", [ask(vxpu=1, vxpumem=49152)], lists("XPU", "xpu-3,XPU,24576,25:;"), "49152"),
                ("DCU", [ask(dcu=1)], {**lists("DCU", "D-1,DCU,65520,100:;"), "predicate-time": "1"}, "vendor without devices"),
                ("DCU", [ask(dcu=1)], lists("DCU", "D-1,DCU,65520,0:;"), "asks for 100 %")):
            with self.subTest(maker=maker, pattern=pattern):
                found = [w for part in self.complaints(maker, containers, notes) for w in part]
                self.assertTrue(any(re.search(pattern, w) for w in found), found)

    def test_two_pods(self):
        """What only together is wrong: (maker, first pod, second pod, pattern), pods as (containers, annotations)."""
        def cores(mask, ids):
            return [ask(cores=1)], neuron("n1-AWSNeuron-1,AWSNeuron,0,%d:;" % mask, ids)

        def vxpu(memory, cores_):
            return [ask(vxpu=1, vxpumem=memory)], lists("XPU", "xpu-0,XPU,%d,%d:;" % (memory, cores_))

        def share(policy="best-effort", **more):
            return [ask(sgpu=1, sgpumem="4", sgpucore=10)], sgpu("S-0,Metax-SGPU,4096,10:;", '[[{"uuid":"S-0","compute":10,"vRam":4096}]]',
                                                                **{"metax-tech.com/sgpu-qos-policy": policy}, **more)

        def idle(**more):
            return [ask(sgpu=1, sgpumem="4", sgpucore=10)], sgpu("S-0,Metax-SGPU,4096,0:;", '[[{"uuid":"S-0","vRam":4096}]]', **more)

        def slice_(start):
            return [ask(gpu=1, gpumem=4000)], mig("G-0,NVIDIA,4864,15:;", ("1g.5gb", start, 1))
        dcu = [ask(dcu=1)], lists("DCU", "D-1,DCU,65520,100:;")
        xpu = [ask(xpu=1)], lists("kunlun", "n1-kunlun-0,kunlun,98304,100:;", BAIDU_COM_DEVICE_IDX="0")
        online, offline = ({"metax-tech.com/sgpu-app-class": c} for c in ("online", "offline"))
        for maker, one, two, pattern in (
                ("AWSNeuron", cores(1, "2"), cores(2, "3"), None), ("AWSNeuron", cores(1, "2"), cores(1, "2"), "bits 0x1 are given twice"),
                ("XPU", vxpu(24576, 25), vxpu(24576, 25), None), ("XPU", vxpu(24576, 25), vxpu(49152, 50), "different sizes"),
                ("Metax-SGPU", share(), share(), None), ("Metax-SGPU", share(), share("fixed-share"), "QoS policies"),
                ("Metax-SGPU", share(), share(**offline), "classes"), ("Metax-SGPU", share(**offline), idle(**online), None),
                ("Metax-SGPU", idle(**online), share(**offline), "classes"), ("Metax-SGPU", idle(**online), idle(**online), None),
                ("NVIDIA", slice_(6), slice_(5), None), ("NVIDIA", slice_(6), slice_(6), "bits 0x40 are given twice"),
                ("DCU", dcu, dcu, "over its memory"), ("kunlun", xpu, xpu, "held whole and shared")):
            with self.subTest(maker=maker, pattern=pattern):
                events = [maker_node(1, "n1", (maker, CARDS[maker]))]
                events += [maker_pod(2 + i, "p%d" % i, "n1", notes, *containers) for i, (containers, notes) in enumerate((one, two))]
                found = reader.over_total(events)
                if pattern is None:
                    self.assertEqual([], found)
                else:
                    self.assertTrue(any(re.search(pattern, w) for w in found), found)

    def test_containers_of_one_pod(self):
        notes = neuron("n1-AWSNeuron-1,AWSNeuron,0,1:;n1-AWSNeuron-1,AWSNeuron,0,1:;", "2,2")
        wrong = reader.over_total([maker_node(1, "n1", ("AWSNeuron", CARDS["AWSNeuron"])),
                                   maker_pod(2, "a", "n1", notes, ask("a", cores=1), ask("b", cores=1))])
        self.assertTrue(any("given to two containers" in w for w in wrong), wrong)

    def test_marks(self):
        """What /v1 must say of bits and classes."""
        nodes = [maker_node(1, "n1", *[(m, CARDS[m]) for m in ("AWSNeuron", "Metax-SGPU")]).obj]
        online = sgpu("S-0,Metax-SGPU,4096,0:;", '[[{"uuid":"S-0","vRam":4096}]]', **{"metax-tech.com/sgpu-app-class": "online"})
        pods = [maker_pod(2, "a", "n1", neuron("n1-AWSNeuron-1,AWSNeuron,0,2:;", "3"), ask(cores=1)).obj,
                maker_pod(3, "b", "n1", online, ask(sgpu=1, sgpumem="4", sgpucore=10)).obj,
                maker_pod(4, "c", "n1", online, ask(sgpu=1, sgpumem="4", sgpucore=10), phase="Failed").obj]
        got = reader.marks(pods, nodes)["n1"]
        self.assertEqual(({"bits": {"total": "0x3", "used": "0x2"}}, {"bits": {"total": "0x3", "used": "0x0"}}, {"onlinePods": 1}, {}),
                         tuple(got[u] for u in ("n1-AWSNeuron-1", "n1-AWSNeuron-0", "S-0", "S-1")))

    def test_slices_are_shares(self):
        """Slices are counted as what they are, not one by one; percents that were rounded up may be more than 100."""
        def slices(name, rv, size, profile, memory, percent):
            note = '{"main":{"allocated":false,"request":%d,"profileID":"1","profileName":"%s"}}' % (size, profile)
            return maker_pod(rv, name, "n1", assigned("n1-enflame-drs-0,Enflame,%d,%d:;" % (memory, percent), **{"assigned-containers": note}), ask(drs=size))
        node = maker_node(1, "n1", ("Enflame", CARDS["Enflame"]))
        self.assertEqual([], reader.over_total([node] + [slices("p%d" % i, 2 + i, 1, "1g.5gb", 5120, 17) for i in range(6)]))
        wrong = reader.over_total([node] + [slices("p%d" % i, 2 + i, 4, "4g.24gb", 24576, 67) for i in range(2)])
        self.assertTrue(any("over its shares" in w for w in wrong), wrong)

    def test_locks(self):
        """Which lock a maker's pods need at Binding."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW))
        for maker, containers, notes in EXAMPLES:
            m = makers.MAKERS[maker]
            for lock, needed in (({}, bool(m.lock) and m.habit == "list" or maker == "MLU"), ({makers.SHARED_LOCK: stamp + ",e2e,a"}, maker == "MLU"),
                                 ({makers.CLOCK_LOCK: stamp}, m.habit == "list")):
                with self.subTest(maker=maker, lock=lock):
                    wrong = protocol.check_history([maker_node(1, "n1", (maker, CARDS[maker]), lock=lock), maker_pod(2, "a", "n1", notes, *containers)])
                    self.assertEqual(needed, any("no lock" in w for w in wrong), wrong)

    def test_locks_left(self):
        node = maker_node(1, "n1", lock={makers.CLOCK_LOCK: "x", makers.SHARED_LOCK: "y"}).obj
        self.assertEqual(2, len(protocol.locks_left([node])))

    def test_registrations(self):
        """What the plugins write is what the contract's examples look like, and the judge reads the same cards from it."""
        rng = random.Random(1)
        self.assertEqual({"hami.io/node-dcu-register": "D-0,4,65520,100,DCU-K100_AI,0,true,0,hami-core:D-1,4,65520,100,DCU-K100_AI,0,true,1,hami-core:"},
                         makers.MAKERS["DCU"].write(CARDS["DCU"], 10, rng))
        self.assertEqual('{"devices":[{"index":"0","minor":"0","capacity":6}],"profiles":{"1g.5gb":"7","2g.12gb":"8","4g.24gb":"9","6g.36gb":"5"}}',
                         makers.MAKERS["Enflame"].write(CARDS["Enflame"], 10, rng)["enflame.com/gcu-drs-capacity"])
        self.assertEqual({"aws.amazon.com/neuron": 16, "aws.amazon.com/neuroncore": 32}, makers.MAKERS["AWSNeuron"].offers(CARDS["AWSNeuron"], 10))
        self.assertEqual({"cambricon.com/vmlu": 80, "cambricon.com/mlu.smlu.vcore": 400, "cambricon.com/mlu.smlu.vmemory": 384},
                         makers.MAKERS["MLU"].offers(CARDS["MLU"], 10))
        for maker, known in CARDS.items():
            with self.subTest(maker):
                got = rows.cards_of(maker_node(1, "n1", (maker, known)).obj)
                cores = {"AWSNeuron": 2, "NVIDIA": 105, "Enflame": 102}.get(maker)      # two bits; sums of rounded percents
                self.assertEqual({c.uuid: (c.index, c.memory, cores or c.cores) for c in known},
                                 {u: (k.index, k.memory, k.cores) for u, k in got.items()})

    def test_every_maker_has_both_rows(self):
        """The two tables were written apart; what they have in common must be the same."""
        judged = {r.name: r for r in rows.ROWS}
        self.assertEqual(set(makers.MAKERS), set(judged))
        for name, m in makers.MAKERS.items():
            row = judged[name]
            self.assertEqual((m.allocated, m.waiting, m.lock), (row.allocated, row.waiting, row.lock), name)
            self.assertIn(row.count, m.calls, name)
        self.assertEqual(set(CARDS) | {"Ascend310P", "Ascend910B4", "Ascend910B4-1", "MR-V100"}, set(judged))
        self.assertLessEqual(set(rows.ASKING) - {"enflame.com/gcu-memory", "enflame.com/gcu-core"}, set(cluster.ALL_RESOURCES))


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


class MakersPlugins(unittest.TestCase):
    """The habits of the makers' plugins on a stub."""

    def admit(self, sets, notes, *containers, lock=True, init=()):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW))
        lock = {makers.SHARED_LOCK: stamp + ",e2e,a", makers.CLOCK_LOCK: stamp} if lock else {}
        pod = maker_pod(3, "a", "n1", notes, *containers, init=init).obj
        self.api = StubApi(pod, maker_node(1, "n1", *sets, lock=lock).obj)
        plugin = fakeplugin.FakePlugin(self.api)
        node = plugin.nodes["n1"] = fakeplugin.Node("n1", [], sets=sets)
        plugin._admit(node, pod)
        plugin.stop()
        self.pod = self.api.objects[kube.pod_path("e2e", "a")]
        self.notes = self.pod["metadata"]["annotations"]
        self.node = self.api.objects[kube.node_path("n1")]["metadata"]["annotations"]
        return plugin.violations

    def test_examples(self):
        """Each maker's example is served: running, lists emptied by those who do that, marks set, own locks gone."""
        for maker, containers, notes in EXAMPLES:
            m = makers.MAKERS[maker]
            with self.subTest(maker):
                self.assertEqual([], self.admit([(maker, CARDS[maker])], notes, *containers))
                self.assertEqual("Running", self.pod["status"]["phase"])
                if m.waiting:
                    self.assertEqual(m.habit != "list", "," in self.notes[m.waiting])
                self.assertEqual("success" if m.habit == "list" else "allocating", self.notes[protocol.BIND_PHASE])
                self.assertEqual(m.habit != "list", makers.SHARED_LOCK in self.node)
                self.assertEqual(maker != "MLU", makers.CLOCK_LOCK in self.node)
                if m.mark:
                    self.assertEqual("true", self.notes[m.mark])

    def test_unlocks_after_the_first_container(self):
        """node-side.md 7: the second container is found by the search."""
        text = "A-1,Ascend910B3,16384,0:;"
        notes = objects("Ascend910B3", text * 2, '[{"UUID":"A-1","temp":"vir05_1c_16g","memory":16384},{"UUID":"A-1","temp":"vir05_1c_16g","memory":16384}]')
        self.assertEqual([], self.admit([("Ascend910B3", CARDS["Ascend910B3"])], notes, ask("a", npu=1, npumem=16384), ask("b", npu=1, npumem=16384)))
        self.assertEqual(1, sum(c == "PATCH nodes " + makers.SHARED_LOCK for c in self.api.calls))
        self.assertEqual(2, sum(c == "PATCH pods " + protocol.BIND_PHASE for c in self.api.calls))
        self.assertEqual(";;;;", self.notes["hami.io/Ascend910B3-devices-to-allocate"])

    def test_two_makers(self):
        """node-side.md 6 H: the first to finish unlocks, the second searches."""
        notes = {**lists("DCU", "D-1,DCU,2000,60:;"), **lists("BI-V150", "B-1,BI-V150,16384,50:;")}
        both = ask(dcu=1, dcumem=2000, dcucores=60, bi=1, bimem=64, bicore=50)
        self.assertEqual([], self.admit([(m, CARDS[m]) for m in ("DCU", "BI-V150")], notes, both))
        self.assertEqual((";;", ";;"), (self.notes["hami.io/dcu-devices-to-allocate"], self.notes["hami.io/BI-V150-devices-to-allocate"]))

    def test_slices_are_made(self):
        self.assertEqual([], self.admit([("NVIDIA", CARDS["NVIDIA"])], mig("G-0,NVIDIA,9984,29:;", ("2g.10gb", 0, 2)), ask(gpu=1, gpumem=9000)))
        made = json.loads(self.notes[makers.MIG])
        self.assertEqual((0, 0), (made[0]["gpuInstanceID"], made[0]["computeInstanceID"]))

    def test_led_astray(self):
        for pattern, maker, containers, notes, lock in (
                ("without the lock " + makers.CLOCK_LOCK, *EXAMPLES[3], False), ("without a lock", *EXAMPLES[4], False),
                ("no hami.io/kunlun-allocated", "kunlun", [ask(xpu=1)], {}, True),
                ("gave 2 ids", "Biren", [ask(biren=2)], lists("Biren", "b-1,Biren,0,0:;"), True),
                ("none of this node's", "Vastai", [ask(va=1)], lists("Vastai", "e-1,Vastai,0,0:;"), True),
                ("device ids of vastaitech.com/va left", "Vastai", [ask(va=9)], lists("Vastai", "d-1,Vastai,0,0:;"), True)):
            with self.subTest(pattern):
                violations = self.admit([(maker, CARDS[maker])], notes, *containers, lock=lock)
                self.assertTrue(any(pattern in v for v in violations), violations)


def audited(second, user="cardinald", resource="pods", name="a", sub=None, verb="patch", steps=None, code=200):
    ref = {"resource": resource, "namespace": "e2e", "name": name, **({"subresource": sub} if sub else {})}
    return {"user": {"username": user}, "verb": verb, "objectRef": ref, "responseStatus": {"code": code},
            "requestReceivedTimestamp": "2026-01-01T00:00:%09.6fZ" % second, **({} if steps is None else {"requestObject": steps})}


class Leading(unittest.TestCase):
    """What the stories of leadership measure and look for in the audit log."""

    def begun(self, *events):
        return protocol.begun(events, "cardinald", "2026-01-01T00:00:10.000000Z", "2026-01-01T00:00:12.000000Z")

    def test_begun(self):
        node = dict(resource="nodes", name="n")
        test = {"op": "test", "path": "/x", "value": None}
        for event, want in ((audited(11, sub="binding", verb="create"), ([], ["a"])), (audited(11, **node, steps=[test, {"op": "add"}]), (["n"], [])),
                            (audited(11, **node, steps=[test, {"op": "replace"}]), (["n"], [])), (audited(11, **node), (["n"], [])),
                            (audited(11, **node, steps=[test, {"op": "remove"}]), ([], [])), (audited(11, sub="status"), ([], [])),
                            (audited(9, sub="binding"), ([], [])), (audited(12.5, sub="binding"), ([], [])),
                            (audited(11, sub="binding", user="kube-scheduler"), ([], []))):
            self.assertEqual(want, self.begun(event), event)

    def test_bound_twice(self):
        once = [audited(1, sub="binding", code=201), audited(2, name="b", sub="binding", code=201), audited(3, sub="binding", code=409),
                audited(4, sub="status", code=201)]
        self.assertEqual([], protocol.bound_twice(once))
        self.assertEqual(["e2e/a was bound 2 times"], protocol.bound_twice(once + [audited(5, sub="binding", code=201)]))

    def test_limits(self):
        self.assertIsNone(leader.too_slow("x", 1.0, 1.0))
        self.assertIn("took 1.01 s", leader.too_slow("x", 1.01, 1.0))
        self.assertIsNone(leader.too_soon(2.0, 3))
        self.assertIn("1.99 s", leader.too_soon(1.99, 3))
        self.assertIn("no filter", leader.too_soon(2.5, 0))

    def test_roles(self):
        self.assertIsNone(leader.wrong_roles({"a": "leader", "b": "follower"}, "a"))
        for roles in ({"a": "leader", "b": "leader"}, {"a": "follower", "b": "leader"}, {"a": "leader", "b": None}, {"a": None, "b": "follower"}):
            self.assertIn("a leads", leader.wrong_roles(roles, "a"))


class Storm(unittest.TestCase):
    """What the storms count, and what a sanitizer's word looks like."""

    def test_shares_of_binds(self):
        for binds, bad in (({"ok": 990, "conflict": 10}, False), ({"ok": 989, "conflict": 11}, True), ({"ok": 5}, False), ({}, True)):
            self.assertEqual(bad, bool(storm.too_many_conflicts(binds)), binds)
        for wakes, binds, bad in ((0, 1, False), (99, 1000, False), (100, 1000, True), (0, 0, True)):
            self.assertEqual(bad, bool(storm.too_many_wakes(wakes, binds)), (wakes, binds))

    def test_not_bound(self):
        pods = [pod_event(1, "a", entry()).obj, pod_event(2, "b", node=None).obj]
        self.assertEqual([], storm.not_bound(pods, ["a"]))
        self.assertEqual(["b is not bound", "c is gone"], storm.not_bound(pods, ["a", "b", "c"]))

    def test_sanitizers(self):
        for line in ("==7==ERROR: AddressSanitizer: heap-use-after-free on address", "WARNING: ThreadSanitizer: data race (pid=7)",
                     "==7==ERROR: LeakSanitizer: detected memory leaks", "src/a.c:7:3: runtime error: signed integer overflow: 1 + 2"):
            self.assertEqual([line], cluster.parse_sanitizer("ts=1 msg=x\n%s\n  #0 more\n" % line))
        self.assertEqual([], cluster.parse_sanitizer('msg=refused text="no AddressSanitizer here"\n'))


class Waking(unittest.TestCase):
    """What measures the wakes: the limit, and the wire that makes one watch late."""

    def test_limit(self):
        for seconds, backoffs, late in ((3.0, 0, False), (3.01, 0, True), (4.0, 1, False), (4.01, 1, True), (5.0, 2, False), (30, 2, True)):
            self.assertEqual(late, bool(stories_wake.too_late(seconds, backoffs)), (seconds, backoffs))

    def test_link(self):
        """What the server says waits while it is held, and comes whole; what the client says goes through."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            link = Link(server.getsockname()[1])
            with socket.create_connection(("127.0.0.1", link.port), timeout=5) as client:
                far, _ = server.accept()
                with far:
                    link.hold()
                    far.sendall(b"held")
                    client.sendall(b"asked")
                    far.settimeout(5)
                    self.assertEqual(b"asked", far.recv(16))
                    client.settimeout(0.2)
                    with self.assertRaises(socket.timeout):
                        client.recv(16)
                    link.let_go()
                    client.settimeout(5)
                    self.assertEqual(b"held", client.recv(16))
                    link.late, began = 0.3, time.monotonic()
                    far.sendall(b"late")
                    self.assertEqual(b"late", client.recv(16))
                    self.assertGreaterEqual(time.monotonic() - began, 0.3)
            link.stop()


class Parsing(unittest.TestCase):
    def test_listening(self):
        want = {"extender": 40123, "webhook": 40124, "metrics": 40125}
        for line in ("msg=listening extender=127.0.0.1:40123 webhook=127.0.0.1:40124 metrics=127.0.0.1:40125\n",
                     'ts=1 level=info msg="listening" metrics="127.0.0.1:40125" webhook=[::1]:40124 extender=0.0.0.0:40123 id=7\n'):
            self.assertEqual(want, cluster.parse_listening("noise extender=1.1.1.1:1\n" + line))
        self.assertEqual({}, cluster.parse_listening("msg=listening extender=127.0.0.1:40123"), "an unfinished line")

    def test_binds(self):
        text = '# TYPE x\ncardinald_bind_total{result="ok"} 7\ncardinald_bind_total{result="conflict"} 1e3\n'
        self.assertEqual({"ok": 7, "conflict": 1000}, harness.parse_binds(text))

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
