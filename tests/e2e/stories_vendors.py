"""Stories about every maker's cards: one control plane, a node of each kind, and what a pod goes through on it.

A case is a row: the node's cards, a pod that takes a part and what must be written about it, a pod that takes all.
The plugins read each pod's annotations byte for byte (makers.py); the reader watches every card (rows.py).
"""

import json
import os
import random
import re
import threading
import time

import cluster
import kube
import makers
import reader
import rows
import stories_load as load
from fakeplugin import RUN_SECONDS, Card, Node
from harness import NAMESPACE, Failure, World, expect, pod_object

LABEL = "e2e.cardinal/kind"


def container(name="main", limits=None, restart=None):
    """A container that asks for these amounts, by the full names of resources."""
    out = {"name": name, "image": "example.invalid/none", "resources": {}}
    if limits:
        out["resources"] = {"limits": {k: str(v) for k, v in limits.items()}}
    if restart:
        out["restartPolicy"] = restart
    return out


class Case:
    """One kind of card on a node of its own.

    sets    [(maker, cards)] of the node       part   limits of a pod that takes some of it
    text    what is allocated to it, a pattern full   limits of a pod that takes all
    notes   annotations of the pods            says   {annotation: pattern} beside the list
    groups  function of the indices of the part's cards: do they belong together
    more    function(w, case) with claims of this kind alone
    init    an init container may take the part before the app takes all (not where slices are made once for a pod's life,
            nor where a plugin takes one container a pod)
    sick    the code that refuses a card whose plugin says it is not well; None: this maker's plugins don't say
    """

    def __init__(self, name, sets, part, text, full, notes=None, says=None, groups=None, more=None, labels=None, node_notes=None,
                 init=True, sick="CardNotHealth"):
        self.name = name
        self.sets, self.labels, self.node_notes = sets, labels or {}, node_notes or {}
        self.maker = makers.MAKERS[sets[0][0]]
        self.part, self.text, self.full = part, text, full
        self.notes, self.says, self.groups, self.more = notes or {}, says or {}, groups, more
        self.init, self.sick = init, sick

    def node(self):
        return Node(self.name, [], sets=self.sets, labels={LABEL: self.name, **self.labels}, notes=self.node_notes)

    def pod(self, w, what, limits, front=(), init=None, **notes):
        """No scheduler is named: the webhook must see that the pod is one for us."""
        name = "%s-%s" % (self.name, what)
        w.pod(name, *front, container(limits=limits), init=[container("init", init)] if init else (), notes={**self.notes, **notes},
              scheduler=None, spec=self.here())
        return name

    def here(self):
        return {"nodeSelector": {LABEL: self.name}}

    def settle(self, w, uuid, healthy):
        """Wait until cardinald has heard of a card's health."""
        w.wait(lambda: w.inventory()[self.name][uuid]["healthy"] == healthy, 10, "%s of %s healthy: %s" % (uuid, self.name, healthy))

    def listed(self, w, name):
        return kube.annotations(w.now(name)).get(self.maker.allocated, "")

    def indices(self, w, name):
        known = {c.uuid: c.index for _, cards in self.sets for c in cards}
        return [known[u] for slot in makers.decode(self.listed(w, name)) for u, *_ in slot]

    def run(self, w):
        # A container without cards stands before the one that asks: lists are by position.
        part = self.pod(w, "part", self.part, front=[container("front")])
        w.running(part, seconds=30)
        expect(re.match(";" + self.text + r"\Z", self.listed(w, part)), "%s: allocated %r, wanted ;%s", part, self.listed(w, part), self.text)
        notes = kube.annotations(w.now(part))
        for key, pattern in self.says.items():
            expect(re.match(pattern + r"\Z", notes.get(key, "")), "%s: %s is %r, wanted %s", part, key, notes.get(key), pattern)
        if self.groups:
            expect(self.groups(self.indices(w, part)), "%s: cards %s do not belong together", part, self.indices(w, part))
        # The whole node: not beside the part; as soon as it is gone; and again when that has ended.
        one = self.pod(w, "full-1", self.full)
        w.refused(one, seconds=30)
        w.end(part)
        w.running(one, seconds=30)
        two = self.pod(w, "full-2", self.full, init=self.part if self.init else None)
        w.refused(two, seconds=30)
        w.end(one)
        w.running(two, seconds=30)
        w.end(two)
        w.phase(two, "Succeeded")
        if self.sick:
            sick = self.sets[0][1][0].uuid
            w.plugin.set_health(self.name, sick, False)
            self.settle(w, sick, False)
            three = self.pod(w, "full-3", self.full)
            message = w.refused(three, seconds=30)
            expect(self.sick in message or "NodeInsufficientDevice" in message, "%s: %s", three, message)
            w.plugin.set_health(self.name, sick, True)
            w.running(three, seconds=30)
            w.end(three)
            w.phase(three, "Succeeded")
        if self.more:
            self.more(w, self)


# -- claims of one kind ------------------------------------------------------------------------------------------


def soft_split(w, case):
    """A pod for a soft split is not put on a node that only splits hard."""
    w.pod("soft-on-hard", container(limits=case.part), notes=case.notes, scheduler=None, spec={"nodeSelector": {LABEL: "ascend-hard"}})
    message = w.refused("soft-on-hard", seconds=30)
    expect("ModeNotFit" in message, "soft-on-hard: %s", message)
    w.delete("soft-on-hard")
    w.pod("hard-on-soft", container(limits={"huawei.com/Ascend910B3": 1, "huawei.com/Ascend910B3-memory": 9000}), scheduler=None, spec=case.here())
    w.running("hard-on-soft", seconds=30)
    expect(re.match(r"ascend-soft-[01],Ascend910B3,16384,0:;\Z", case.listed(w, "hard-on-soft")), "hard-on-soft: %s", case.listed(w, "hard-on-soft"))


def own_policy(w, case):
    """A card in use under one QoS policy takes nobody of another; the default is written at admission."""
    for i in range(2):
        w.running(case.pod(w, "best-%d" % i, {**case.part, "metax-tech.com/vmemory": "40"}), seconds=30)
        notes = kube.annotations(w.now("%s-best-%d" % (case.name, i)))
        expect(notes.get(rows.QOS) == "best-effort", "QoS after admission: %s", notes.get(rows.QOS))
    other = case.pod(w, "fixed", case.part | {"metax-tech.com/vcore": "10"}, **{rows.QOS: "fixed-share"})
    message = w.refused(other, seconds=30)
    expect("CardQosPolicyMismatch" in message, "%s: %s", other, message)
    w.end(case.name + "-best-0")
    w.running(other, seconds=30)


def own_class(w, case):
    """vendors-b.md 1g: online pods come to offline ones, not the other way, and neither to pods of no class."""
    own_policy(w, case)
    for pod in w.pods():
        if pod["spec"].get("nodeName") == case.name and not reader.ended(pod):
            w.end(pod["metadata"]["name"])
            w.phase(pod["metadata"]["name"], "Succeeded")
    small = {"metax-tech.com/sgpu": 1, "metax-tech.com/vmemory": "4"}
    thrifty = small | {"metax-tech.com/vcore": "10"}

    def comes(name, limits, which):
        return case.pod(w, name, limits, **({rows.CLASS: which} if which else {}))

    def may_not(name, limits, which):
        refused = comes(name, limits, which)
        message = w.refused(refused, seconds=30)
        expect("CardAppClassMismatch" in message, "%s: %s", refused, message)
        w.delete(refused)
    online = [comes("online-%d" % i, small, "online") for i in range(2)]
    w.running(*online, seconds=30)
    expect(not any(rows.QOS in kube.annotations(w.now(n)) for n in online), "an online pod has a QoS policy")
    expect(len({i for n in online for i in case.indices(w, n)}) == 2, "two online pods on one card, the other was idle")
    may_not("offline-late", thrifty, "offline")
    may_not("normal", thrifty, None)
    for name in online:
        w.end(name)
        w.phase(name, "Succeeded")
    w.running(*[comes("offline-%d" % i, thrifty, "offline") for i in range(3)], seconds=30)
    w.running(comes("online-late", small, "online"), seconds=30)
    may_not("normal-again", thrifty, None)


def no_cousin(w, case):
    """A card whose name only begins like the one that is asked for is another card (vendors-a.md 1.11, A3)."""
    one = case.pod(w, "own", {"huawei.com/Ascend910B4": 1})
    w.running(one, seconds=30)
    two = case.pod(w, "cousin", {"huawei.com/Ascend910B4": 1})
    w.refused(two, seconds=30)
    w.running(case.pod(w, "other", {"huawei.com/Ascend910B4-1": 1}), seconds=30)
    expect(w.now(two)["spec"].get("nodeName") is None, "%s is placed on a card of another kind", two)
    w.end(one)
    w.running(two, seconds=30)


def all_slices(w, case):
    """As many single slices as the card has, though their rounded percents are more than 100; then sizes by spec."""
    names = [case.pod(w, "slice-%d" % i, {"enflame.com/drs-gcu": 1}) for i in range(6)]
    w.running(*names, seconds=30)
    for name in names:
        w.end(name)
        w.phase(name, "Succeeded")
    name = case.pod(w, "spec", {"enflame.com/gcu-memory": 11000, "enflame.com/gcu-core": 30})
    w.running(name, seconds=30)
    expect('"profileName":"2g.12gb"' in kube.annotations(w.now(name))["assigned-containers"], "%s: %s", name,
           kube.annotations(w.now(name))["assigned-containers"])


def both_cores(w, case):
    """Two pods of one core each on the only device that is left: masks 1 and 2."""
    held = case.pod(w, "held", {"aws.amazon.com/neuron": 3})
    w.running(held, seconds=30)
    names = [case.pod(w, "core-%d" % i, {"aws.amazon.com/neuroncore": 1}) for i in range(2)]
    w.running(*names, seconds=30)
    masks = sorted(case.listed(w, n).rsplit(",", 1)[1] for n in names)
    expect(masks == ["1:;", "2:;"], "masks of two cores: %s", masks)
    third = case.pod(w, "core-2", {"aws.amazon.com/neuroncore": 1})
    w.refused(third, seconds=30)
    w.end(names[0])
    w.running(third, seconds=30)


def two_slices(w, case):
    """Slices of one MIG card for two containers, two of them for one, each at a place of its own."""
    name = case.pod(w, "two", {"nvidia.com/gpu": 2, "nvidia.com/gpumem": 9000},
                    front=[container("front", {"nvidia.com/gpu": 1, "nvidia.com/gpumem": 4000})])
    w.running(name, seconds=30)
    entries = json.loads(kube.annotations(w.now(name))[makers.MIG])
    expect([(e["containerIndex"], e["deviceIndex"], e["profile"]) for e in entries]
           == [(0, 0, "1g.5gb"), (1, 0, "2g.10gb"), (1, 1, "2g.10gb")], "%s: %s", name, entries)


def one_numa_node(w, case):
    """Cards of one container on one NUMA node, though others are free (nvidia.md 6.2)."""
    whole = {"nvidia.com/gpu": 1, "nvidia.com/gpucores": 100}
    for i in (0, 2):
        w.running(case.pod(w, "held-%d" % i, whole, **{"nvidia.com/use-gpuuuid": "%s-%d" % (case.name, i)}), seconds=30)
    two = case.pod(w, "bound", {"nvidia.com/gpu": 2, "nvidia.com/gpumem": 1000}, **{"nvidia.com/numa-bind": "true"})
    w.refused(two, seconds=30)
    w.end(case.name + "-held-2")
    w.running(two, seconds=30)
    expect(sorted(case.indices(w, two)) == [2, 3], "numa-bind: cards %s", case.indices(w, two))


def equal_shares(w, case):
    """A card is shared by pods of one size only."""
    here = {"hami.io/use-xpu-uuid": "xpu-0"}
    small = case.pod(w, "small", case.part | {"kunlunxin.com/vxpu-memory": 20000}, **here)
    w.running(small, seconds=30)
    large = case.pod(w, "large", case.part, **here)
    w.refused(large, seconds=30)
    w.running(case.pod(w, "equal", case.part | {"kunlunxin.com/vxpu-memory": 20000}, **here), seconds=30)
    for name in (small, case.name + "-equal"):
        w.end(name)
    w.running(large, seconds=30)


def same_card(w, case):
    """Containers of one pod are on one card (vendors-a.md 4.7)."""
    w.pod(case.name + "-pair", container("a", limits=case.part), container("b", limits=case.part), scheduler=None, spec=case.here())
    w.running(case.name + "-pair", seconds=30)
    cards = set(case.indices(w, case.name + "-pair"))
    expect(len(cards) == 1, "two containers on cards %s", cards)


# -- the kinds ---------------------------------------------------------------------------------------------------


def cards(stem, count, **more):
    """Cards that are all alike, <stem>-0 and so on; a member that is a function is called with the index."""
    return [Card("%s-%d" % (stem, i), i, **{k: v(i) if callable(v) else v for k, v in more.items()}) for i in range(count)]


def mig_profile(name, memory, core, slices, size, starts):
    return {"name": name, "memoryMB": memory, "core": core, "sliceCount": slices,
            "placements": [{"start": s, "size": size} for s in starts]}


MIG_PROFILES = [mig_profile("1g.5gb", 4864, 15, 1, 1, range(7)), mig_profile("2g.10gb", 9984, 29, 2, 2, (0, 2, 4)),
                mig_profile("3g.20gb", 20096, 43, 3, 4, (0, 4)), mig_profile("7g.40gb", 40192, 100, 7, 8, (0,))]
DRS_PROFILES = {"1g.5gb": ("7", 1, 5), "2g.12gb": ("8", 2, 12), "4g.24gb": ("9", 4, 24), "6g.36gb": ("5", 6, 36)}


def near(i, j):
    return 420 if i // 2 == j // 2 else 10


def network(i):
    return {"NetworkID": i // 4}


def die(i):
    return {"DeviceStrategy": "die", "AIC": str(1 + i // 4)}


def one_group(size):
    return lambda at: len({i // size for i in at}) == 1


def cases():
    topology = {"hami.io/gpu-scheduler-policy": "topology-aware"}
    soft = {"huawei.com/vnpu-mode": "hami-core"}
    pairs = cards("pairs", 4, numa=lambda i: i // 2)
    for i, card in enumerate(pairs):
        card.more["pairs"] = {c.uuid: near(i, j) for j, c in enumerate(pairs) if j != i}
    return [
        Case("mig", [("NVIDIA", cards("mig", 1, model="NVIDIA A100-SXM4-40GB", memory=40960, mode="mig", slots=7, migProfiles=MIG_PROFILES))],
             {"nvidia.com/gpu": 1, "nvidia.com/gpumem": 9000}, r"mig-0,NVIDIA,9984,29:;",
             {"nvidia.com/gpu": 1, "nvidia.com/gpumem": 39000}, says={makers.MIG: r'\[\{.*"profile":"2g.10gb","placement":\{"start":0,"size":2\}.*\}\]'},
             more=two_slices, init=False),
        Case("pairs", [("NVIDIA", pairs)], {"nvidia.com/gpu": 2, "nvidia.com/gpumem": 1000}, r"pairs-\d,NVIDIA,1000,0:pairs-\d,NVIDIA,1000,0:;",
             {"nvidia.com/gpu": 4}, notes=topology, groups=one_group(2), more=one_numa_node),
        Case("ascend-hard", [("Ascend910B3", cards("ascend-hard", 8, model="Ascend910B3", memory=65536, cores=20, slots=4, custominfo=network))],
             {"huawei.com/Ascend910B3": 4}, r"(ascend-hard-\d,Ascend910B3,65536,0:){4};", {"huawei.com/Ascend910B3": 8}, groups=one_group(4),
             says={"huawei.com/Ascend910B3": r'\[(\{"UUID":"ascend-hard-\d","memory":65536\},?){4}\]'}),
        Case("ascend-soft", [("Ascend910B3", cards("ascend-soft", 2, model="Ascend910B3", memory=65536, cores=100, slots=10, custominfo=network))],
             {"huawei.com/Ascend910B3": 1, "huawei.com/Ascend910B3-memory": 15360, "huawei.com/Ascend910B3-core": 20},
             r"ascend-soft-\d,Ascend910B3,15360,20:;", {"huawei.com/Ascend910B3": 2}, notes=soft,
             says={"huawei.com/Ascend910B3": r'\[\{"UUID":"ascend-soft-\d","memory":15360,"core":20\}\]'},
             node_notes={"hami-vnpu-core": "true"}, more=soft_split),
        Case("ascend-pairs", [("Ascend910C", cards("ascend-pairs", 4, model="Ascend910C", memory=65536, cores=20, slots=1,
                                                   custominfo=lambda i: {"NetworkID": 0}))],
             {"huawei.com/Ascend910C": 1}, r"(ascend-pairs-\d,Ascend910C,65536,0:){2};", {"huawei.com/Ascend910C": 4}, groups=one_group(2),),
        Case("ascend-small", [("Ascend310P", cards("ascend-small", 1, model="Ascend310P", memory=21527, cores=8, slots=7))],
             {"huawei.com/Ascend310P": 1, "huawei.com/Ascend310P-memory": 3000}, r"ascend-small-0,Ascend310P,3072,0:;", {"huawei.com/Ascend310P": 1},
             says={"huawei.com/Ascend310P": r'\[\{"UUID":"ascend-small-0","temp":"vir01","memory":3072\}\]'}),
        Case("ascend-cousins", [(key, cards(key.lower(), 1, model=key, memory=m, cores=20, slots=4, custominfo=network))
                                for key, m in (("Ascend910B4", 32768), ("Ascend910B4-1", 65536))],
             {"huawei.com/Ascend910B4": 1, "huawei.com/Ascend910B4-memory": 9000}, r"ascend910b4-0,Ascend910B4,16384,0:;", {"huawei.com/Ascend910B4": 1},
             says={"huawei.com/Ascend910B4": r'\[\{"UUID":"ascend910b4-0","temp":"vir10_3c_16g","memory":16384\}\]'}, more=no_cousin),
        Case("cambricon", [("MLU", cards("cambricon-cambricon-mlu", 2, model="MLU"))],
             {"cambricon.com/vmlu": 1, "cambricon.com/mlu.smlu.vmemory": 20, "cambricon.com/mlu.smlu.vcore": 10},
             r"cambricon-cambricon-mlu-\d,MLU,5120,10:;", {"cambricon.com/vmlu": 2}, says={"CAMBRICON_DSMLU_PROFILE": r"\d_10_20"}, init=False, sick=None),
        Case("hygon", [("DCU", cards("DCU", 2, model="DCU-K100_AI", memory=65520, slots=4))],
             {"hygon.com/dcunum": 1, "hygon.com/dcumem": 2000, "hygon.com/dcucores": 60}, r"DCU-\d,DCU,2000,60:;", {"hygon.com/dcunum": 2}),
        Case("moore", [("Mthreads", cards("moore-mthreads", 2, model="Mthreads", memory=49152, cores=16))],
             {"mthreads.com/vgpu": 1, "mthreads.com/sgpu-memory": 32, "mthreads.com/sgpu-core": 8}, r"moore-mthreads-\d,Mthreads,16384,8:;",
             {"mthreads.com/vgpu": 2}, says={"mthreads.com/gpu-index": r"\d"}, more=same_card, sick=None),
        Case("iluvatar", [("BI-V150", cards("bi", 2, model="Iluvatar BI-V150", memory=32768, slots=10))],
             {"iluvatar.ai/BI-V150-vgpu": 1, "iluvatar.ai/BI-V150.vMem": 64, "iluvatar.ai/BI-V150.vCore": 50}, r"bi-\d,BI-V150,16384,50:;",
             {"iluvatar.ai/BI-V150-vgpu": 2}),
        Case("iluvatar-mr", [("MR-V100", cards("mr", 2, model="MR-V100", memory=32768, slots=10))],
             {"iluvatar.ai/MR-V100-vgpu": 2}, r"(mr-\d,MR-V100,32768,100:){2};", {"iluvatar.ai/MR-V100-vgpu": 2}),
        Case("metax", [("Metax-GPU", cards("metax-metax", 4, model="Metax-GPU", memory=65536, slots=1,
                                           losses={"1": 0, "2": 150, "4": 420}, scores={"1": 0, "2": 330, "4": 900}))],
             {"metax-tech.com/gpu": 2}, r"(metax-metax-\d,Metax-GPU,65536,100:){2};", {"metax-tech.com/gpu": 4}, sick=None),
        Case("metax-shared", [("Metax-SGPU", cards("sgpu", 2, model="MXC500", memory=65536, slots=16, qosPolicy="best-effort", linkZone=1))],
             {"metax-tech.com/sgpu": 1, "metax-tech.com/vcore": 60, "metax-tech.com/vmemory": "4"}, r"sgpu-\d,Metax-SGPU,4096,60:;",
             {"metax-tech.com/sgpu": 2}, says={"metax-tech.com/gpu-devices-allocated": r'\[\[\],\[\{"uuid":"sgpu-\d","compute":60,"vRam":4096\}\]\]'},
             more=own_class, sick="CardUnhealthy"),
        Case("enflame", [("GCU", cards("enflame-GCU", 2, model="GCU", memory=100, slots=1))],
             {"enflame.com/gcu": 1}, r"enflame-GCU-\d,GCU,100,100:;", {"enflame.com/gcu": 2}, sick=None),
        Case("enflame-slices", [("Enflame", cards("enflame-slices-enflame-drs", 1, model="Enflame", memory=36864, slots=6, profiles=DRS_PROFILES))],
             {"enflame.com/drs-gcu": 4}, r"enflame-slices-enflame-drs-0,Enflame,24576,67:;", {"enflame.com/drs-gcu": 6},
             says={"assigned-containers": r'\{"main":\{"allocated":false,"request":4,"profileID":"9","profileName":"4g.24gb"\}\}'},
             more=all_slices, sick=None),
        Case("kunlun", [("kunlun", cards("kunlun-kunlun", 8, model="kunlun", memory=98304, slots=1))],
             {"kunlunxin.com/xpu": 4}, r"(kunlun-kunlun-\d,kunlun,98304,100:){4};", {"kunlunxin.com/xpu": 8}, groups=one_group(4),
             says={"BAIDU_COM_DEVICE_IDX": r"\d,\d,\d,\d"}, sick=None),
        Case("kunlun-shared", [("XPU", cards("xpu", 2, model="XPU", memory=98304, slots=4))],
             {"kunlunxin.com/vxpu": 1, "kunlunxin.com/vxpu-memory": 26000}, r"xpu-\d,XPU,49152,50:;", {"kunlunxin.com/vxpu": 2},
             sick="NumaNotFit", more=equal_shares),
        Case("neuron", [("AWSNeuron", cards("neuron-AWSNeuron", 4, model="AWSNeuron", memory=0, cores=3, slots=2, units=2))],
             {"aws.amazon.com/neuroncore": 1}, r"neuron-AWSNeuron-\d,AWSNeuron,0,1:;", {"aws.amazon.com/neuron": 4},
             labels={"node.kubernetes.io/instance-type": "inf2.24xlarge"}, says={"NEURON_RESOURCE_TYPE": "aws.amazon.com/neuroncore"}, more=both_cores,
             init=False, sick=None),
        Case("neuron-rings", [("AWSNeuron", cards("neuron-rings-AWSNeuron", 16, model="AWSNeuron", memory=0, cores=3, slots=2, units=2))],
             {"aws.amazon.com/neuron": 4}, r"(neuron-rings-AWSNeuron-\d+,AWSNeuron,0,3:){4};", {"aws.amazon.com/neuron": 16},
             labels={"node.kubernetes.io/instance-type": "trn1.32xlarge"}, groups=one_group(4), init=False, sick=None),
        Case("amd", [("AMD", cards("amd", 2, model="AMD Instinct MI300X VF", memory=196608, cores=304, slots=8))],
             {"amd.com/gpu": 1, "amd.com/gpumem": 32768, "amd.com/gpucores": 40}, r"amd-\d,AMD Instinct MI300X VF,32768,121:;", {"amd.com/gpu": 2},),
        Case("vastai", [("Vastai", cards("va", 8, model="Vastai", memory=16384, slots=1, custominfo=die))],
             {"vastaitech.com/va": 3}, r"(va-\d,Vastai,0,0:){3};", {"vastaitech.com/va": 8}, groups=one_group(4)),
        Case("biren", [("Biren", cards("biren", 2, model="Biren", memory=65536, slots=1))],
             {"birentech.com/gpu": 1}, r"biren-\d,Biren,0,0:;", {"birentech.com/gpu": 2}),
    ]


def two_makers(w):
    """Two makers in one container, across containers, and with an init container and a sidecar."""
    here = {"nodeSelector": {LABEL: "both"}}
    gpu, dcu, mlu = {"nvidia.com/gpu": 1, "nvidia.com/gpumem": 4000}, {"hygon.com/dcunum": 1, "hygon.com/dcumem": 3000, "hygon.com/dcucores": 10}, \
        {"cambricon.com/vmlu": 1, "cambricon.com/mlu.smlu.vmemory": 20, "cambricon.com/mlu.smlu.vcore": 10}
    lists = {m: makers.MAKERS[m].allocated for m in ("NVIDIA", "DCU", "MLU")}
    g, d, m = "both-gpu-0,NVIDIA,4000,0:", "both-DCU-0,DCU,3000,10:", "both-cambricon-mlu-0,MLU,5120,10:"
    for name, init, apps, want in (
            ("one-container", [], [container("a", limits={**gpu, **dcu})], {"NVIDIA": g + ";", "DCU": d + ";"}),
            ("two-containers", [], [container("a", limits=gpu), container("b", limits=dcu)], {"NVIDIA": g + ";;", "DCU": ";" + d + ";"}),
            ("three-makers", [], [container("a", limits=mlu), container("b"), container("c", limits={**dcu, **gpu})],
             {"MLU": m + ";;;", "DCU": ";;" + d + ";", "NVIDIA": ";;" + g + ";"}),
            ("init-only", [container("i", limits={**dcu, **mlu})], [container("a")], {"DCU": d + ";;", "MLU": m + ";;"}),
            ("init-and-sidecar", [container("i", limits=dcu), container("s", restart="Always", limits=gpu)],
             [container("a", limits=dcu), container("b")], {"DCU": d + ";;" + d + ";;", "NVIDIA": ";" + g + ";;;"})):
        w.pod(name, *apps, init=init, scheduler=None, spec=here)
        w.running(name, seconds=30)
        notes = kube.annotations(w.now(name))
        for maker, key in lists.items():
            expect(notes.get(key) == want.get(maker), "%s: %s is %r, wanted %r", name, key, notes.get(key), want.get(maker))
        w.end(name)
        w.phase(name, "Succeeded")


def forged(w):
    """A pod that by-passed the webhook and brings what only schedulers write, of every maker: none of it is left."""
    dcu = {"hygon.com/dcunum": 1, "hygon.com/dcumem": 3000, "hygon.com/dcucores": 10}
    keys = sorted(rows.DECIDED)
    w.pod("forged", container(limits=dcu), notes={**dict.fromkeys(keys, "both-DCU-0,DCU,1,1:;"), "note": "kept"}, spec={"nodeSelector": {LABEL: "both"}})
    w.running("forged", seconds=30)
    notes = kube.annotations(w.now("forged"))
    left = {k for k in keys if k in notes} - {makers.MAKERS["DCU"].allocated, makers.MAKERS["DCU"].waiting}
    expect(not left and notes.get("note") == "kept", "forged: left on the pod: %s", sorted(left))
    expect(notes[makers.MAKERS["DCU"].allocated] == "both-DCU-0,DCU,3000,10:;", "forged: %s", notes[makers.MAKERS["DCU"].allocated])
    w.end("forged")
    w.phase("forged", "Succeeded")


DENIED = (  # case, limits, annotations, what admission says
    ("ascend-hard", {"huawei.com/Ascend910B3": 2, "huawei.com/Ascend910B3-memory": 9000}, {}, "vNPU not supported for multiple devices"),
    ("ascend-hard", {"huawei.com/Ascend910B3": 1, "huawei.com/Ascend910B3-core": 20}, {}, r"only supported in hami-core \(soft split\) mode"),
    ("ascend-hard", {"huawei.com/Ascend910B3": 1, "huawei.com/Ascend910B3-memory": 70000}, {}, "huawei.com/Ascend910B3-memory"),
    ("ascend-pairs", {"huawei.com/Ascend910C": 3}, {}, "must be 1 or 2"),
    ("moore", {"mthreads.com/vgpu": 1, "mthreads.com/sgpu-memory": 3}, {}, r"\[2, 4, 8, 16, 32, 64, 96\]"),
    ("metax-shared", {"metax-tech.com/sgpu": 2}, {rows.CLASS: "online"}, "single device"),
    ("metax-shared", {"metax-tech.com/sgpu": 1}, {rows.CLASS: "ONLINE"}, "must be set one of"),
    ("metax-shared", {"metax-tech.com/sgpu": 1}, {rows.QOS: "best"}, "must be set one of"),
    ("enflame-slices", {"enflame.com/gcu-core": 101}, {}, r"must be in range \(0,100\]"),
    ("neuron", {"aws.amazon.com/neuroncore": 3}, {}, "must be 1 or a multiple of 2"),
    ("amd", {"amd.com/gpu": 1, "amd.com/gpucores": 140}, {}, "must be an integer percentage between 1 and 100"),
)
NEVER = (  # case, limits, annotations, the code of the refusal on an empty node
    ("hygon", {"hygon.com/dcunum": 3}, {}, "NodeInsufficientDevice"),
    ("hygon", {"hygon.com/dcunum": 1}, {"hygon.com/use-dcutype": "Z100"}, "CardTypeMismatch"),
    ("hygon", {"hygon.com/dcunum": 1, "hygon.com/dcumem": 70000}, {}, "CardInsufficientMemory"),
    ("iluvatar", {"iluvatar.ai/BI-V150-vgpu": 1}, {"hami.io/use-BI-V150-uuid": "bi-7"}, "CardUuidMismatch"),
    ("amd", {"amd.com/gpu": 1}, {"amd.com/nouse-gputype": "mi300"}, "CardTypeMismatch"),
    ("enflame-slices", {"enflame.com/drs-gcu": 3}, {}, "ModeNotFit"),
    ("kunlun", {"kunlunxin.com/xpu": 3}, {}, "NumaNotFit"),
    ("neuron-rings", {"aws.amazon.com/neuron": 2}, {}, "NumaNotFit"),
    ("biren", {"birentech.com/gpu": 1}, {"birentech.com/nouse-gpuuuid": "biren-0, biren-1"}, "CardUuidMismatch"),
    ("vastai", {"vastaitech.com/va": 1}, {"vastaitech.com/use-gpuuuid": ","}, "CardUuidMismatch"),
    ("mig", {"nvidia.com/gpu": 1, "nvidia.com/gpumem": 1000}, {"nvidia.com/vgpu-mode": "hami-core"}, "CardTypeMismatch"),
)


def denied(w):
    """What each maker's chapter says that admission must refuse, with its text."""
    for i, (kind, limits, notes, text) in enumerate(DENIED):
        try:
            w.pod("denied-%d" % i, container(limits=limits), notes=notes, scheduler=None)
        except kube.ApiError as e:
            expect(re.search(text, e.text), "%s %s: denied, but the text does not say why (%s): %s", kind, limits, text, e.text)
        else:
            raise Failure("%s: admitted: %s %s" % (kind, limits, notes))


def never(w):
    """What fits on no empty node of its kind, with the code of the refusal."""
    for i, (kind, limits, notes, _) in enumerate(NEVER):
        w.pod("never-%d" % i, container(limits=limits), notes=notes, scheduler=None, spec={"nodeSelector": {LABEL: kind}})
    for i, (kind, limits, notes, code) in enumerate(NEVER):
        message = w.refused("never-%d" % i, seconds=30)
        expect(code in message, "%s %s %s: wanted %s: %s", kind, limits, notes, code, message)
    for i in range(len(NEVER)):
        w.delete("never-%d" % i)


def one_quota(w):
    """A namespace's quota of another maker's memory, in its own units; denied and, once it is raised, admitted."""
    path = "/api/v1/namespaces/e2e/resourcequotas"
    blocks = {"hard": {"limits.cambricon.com/mlu.smlu.vmemory": "50"}}       # of 256 MiB
    w.api.create(path, {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "cards"}, "spec": blocks})
    ask = {"cambricon.com/vmlu": 1, "cambricon.com/mlu.smlu.vmemory": 30, "cambricon.com/mlu.smlu.vcore": 10}
    spec = {"nodeSelector": {LABEL: "cambricon"}}
    w.pod("quota-1", container(limits=ask), scheduler=None, spec=spec)
    w.running("quota-1", seconds=30)

    def too_much():
        try:
            w.api.create(kube.pod_path(NAMESPACE, "").rstrip("/") + "?dryRun=All", pod_object("quota-2", container(limits=ask), scheduler=None, spec=spec))
        except kube.ApiError as e:
            return "exceeding resource quota" in e.text
        return False
    w.wait(too_much, 10, "admission denies what exceeds the quota")
    w.api.patch(path + "/cards", {"spec": {"hard": {"limits.cambricon.com/mlu.smlu.vmemory": "60"}}})
    w.wait(lambda: not too_much(), 10, "admission takes what the raised quota allows")
    w.pod("quota-2", container(limits=ask), scheduler=None, spec=spec)
    w.running("quota-2", seconds=30)


def both():
    return Node("both", [], labels={LABEL: "both"}, sets=[
        ("NVIDIA", cards("both-gpu", 1)), ("DCU", cards("both-DCU", 1, model="DCU-K100_AI", memory=65520, slots=4)),
        ("MLU", cards("both-cambricon-mlu", 1, model="MLU")), ("Metax-GPU", cards("both-metax", 1, memory=65536)),
        ("Metax-SGPU", cards("both-sgpu", 1, model="MXC500", memory=65536, slots=16))])


def world(options, name):
    """A control plane that knows all makers' names; closed again by the caller."""
    w = World(options, name)
    w.plane.resources, w.plane.device_config = cluster.ALL_RESOURCES, cluster.ALL_CONFIG
    return w


FLAGS = ("--enable-ascend=true", "--enable-iluvatar=true")
PACKED = ("--node-scheduler-policy=binpack", "--gpu-scheduler-policy=binpack", *FLAGS)
AT_ONCE = 5


def vendors(options):
    """Every kind of card of 13 makers: registered, admitted, placed, annotated, read by its plugin, freed and given again."""
    with world(options, "vendors") as w:
        everything = cases()
        w.nodes(both(), *[c.node() for c in everything])
        w.start("--node-scheduler-policy=binpack", *FLAGS)
        todo, failed, lock = list(everything), {}, threading.Lock()

        def attempt(name, function):
            try:
                function(w)
            except (Failure, kube.ApiError) as e:
                with lock:
                    failed[name] = str(e)

        def work():
            while True:
                with lock:
                    if not todo:
                        return
                    case = todo.pop(0)
                attempt(case.name, case.run)
        attempt("forged", forged)
        w.install_webhook()
        attempt("denied", denied)
        attempt("never", never)
        threads = [threading.Thread(target=work, daemon=True) for _ in range(AT_ONCE)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(300)
        attempt("two-makers", two_makers)
        attempt("quota", one_quota)
        asked = {e.obj["metadata"]["name"]: v for e in w.recorder.history() if e.what == "node"
                 for v in kube.annotations(e.obj).values() if "Requesting" in v}
        expect(not asked, "handshakes that are the plugins' to write: %s", asked)
        count = len(everything) + 5
        w.notes.append("%d of %d cases right" % (count - len(failed), count))
        expect(not failed, "%d cases failed:\n%s", len(failed), "\n".join("%s: %s" % f for f in sorted(failed.items())))


# -- filled to the brim ------------------------------------------------------------------------------------------


class Fill:
    """Cards of one kind, and sizes of pods for them.

    sizes  [(memory, cores, limits)] of one share, in the units of the card; `memory` is what is counted
    card   (memory, cores, shares) of one card
    infix  what stands in a card's id between the node's name and the index
    """

    def __init__(self, name, maker, count, sizes, card, infix="", **more):
        self.name, self.maker, self.count, self.sizes, self.card = name, maker, count, sizes, card
        self.cards = cards(name + infix, count, **more)

    def node(self):
        labels = {LABEL: self.name, "node.kubernetes.io/instance-type": "inf2.24xlarge"}
        return Node(self.name, [], sets=[(self.maker, self.cards)], labels=labels)

    def bound(self):
        """The most that all cards together can bear, however the pods come."""
        return self.count * load.best_card([s[:2] for s in self.sizes], *self.card)

    def pods(self, rng):
        """Sizes drawn at random until they ask for a fifth more than there is, and a pod more."""
        out, asked = [], 0
        while asked <= 1.2 * self.count * self.card[0]:
            out.append(rng.choice(self.sizes))
            asked += out[-1][0]
        return out


def single(limits):
    """One size, of which a card takes a number."""
    return [(1, 0, limits)]


def fills():
    def sized(count, memory, cores, unit, *sizes):
        return [(m, c, {count: 1, memory: m // unit, cores: c}) for m, c in sizes]
    amd = [(m, 304 * c // 100, {"amd.com/gpu": 1, "amd.com/gpumem": m, "amd.com/gpucores": c})
           for m, c in ((32768, 10), (65536, 40), (98304, 50))]
    shared = [(g * 1024, c, {"metax-tech.com/sgpu": 1, "metax-tech.com/vmemory": g, "metax-tech.com/vcore": c})
              for g, c in ((8, 15), (16, 20), (32, 45))]

    def hard(key, *sizes):
        return [(m, 0, {"huawei.com/" + key: 1, "huawei.com/%s-memory" % key: m}) for m in sizes]
    return [
        Fill("nvidia", "NVIDIA", 2, sized("nvidia.com/gpu", "nvidia.com/gpumem", "nvidia.com/gpucores", 1, (2048, 6), (6144, 22), (8192, 30)),
             (24576, 100, 10)),
        Fill("mig", "NVIDIA", 1, single({"nvidia.com/gpu": 1, "nvidia.com/gpumem": 4000}), (7, 0, 7), model="NVIDIA A100-SXM4-40GB",
             memory=40960, mode="mig", slots=7, migProfiles=MIG_PROFILES),
        Fill("b3", "Ascend910B3", 2, hard("Ascend910B3", 16384, 32768), (65536, 0, 4), model="Ascend910B3", memory=65536, cores=20, slots=4,
             custominfo=network),
        Fill("p3", "Ascend310P", 2, hard("Ascend310P", 3072, 6144, 12288), (21527, 0, 7), model="Ascend310P", memory=21527, cores=8, slots=7),
        Fill("mlu", "MLU", 2, sized("cambricon.com/vmlu", "cambricon.com/mlu.smlu.vmemory", "cambricon.com/mlu.smlu.vcore", 256,
                                    (5120, 20), (10240, 40), (12288, 50)), (24576, 100, 100), "-cambricon-mlu", model="MLU"),
        Fill("dcu", "DCU", 2, sized("hygon.com/dcunum", "hygon.com/dcumem", "hygon.com/dcucores", 1, (8190, 10), (16380, 25), (32760, 50)),
             (65520, 100, 4), model="DCU-K100_AI", memory=65520, slots=4),
        Fill("moore", "Mthreads", 2, sized("mthreads.com/vgpu", "mthreads.com/sgpu-memory", "mthreads.com/sgpu-core", 512,
                                           (8192, 2), (16384, 5), (32768, 10)), (49152, 16, 100), "-mthreads", memory=49152, cores=16),
        Fill("bi", "BI-V150", 2, sized("iluvatar.ai/BI-V150-vgpu", "iluvatar.ai/BI-V150.vMem", "iluvatar.ai/BI-V150.vCore", 256,
                                       (8192, 20), (12288, 35), (16384, 45)), (32768, 100, 10), model="BI-V150", memory=32768),
        Fill("metax", "Metax-GPU", 4, single({"metax-tech.com/gpu": 1}), (1, 0, 1), "-metax", memory=65536),
        Fill("sgpu", "Metax-SGPU", 2, shared, (65536, 100, 16), model="MXC500", memory=65536, slots=16),
        Fill("gcu", "GCU", 4, single({"enflame.com/gcu": 1}), (1, 0, 1), "-GCU", memory=100),
        Fill("drs", "Enflame", 2, [(gb * 1024, -(-100 * n // 6), {"enflame.com/drs-gcu": n}) for n, gb in ((1, 5), (2, 12), (4, 24))],
             (36864, 102, 6), "-enflame-drs", memory=36864, slots=6, profiles=DRS_PROFILES),
        Fill("kunlun", "kunlun", 8, single({"kunlunxin.com/xpu": 1}), (1, 0, 1), "-kunlun", memory=98304),
        Fill("xpu", "XPU", 2, single({"kunlunxin.com/vxpu": 1, "kunlunxin.com/vxpu-memory": 24576}), (4, 0, 4), model="XPU", memory=98304, slots=4),
        Fill("neuron", "AWSNeuron", 4, single({"aws.amazon.com/neuroncore": 1}), (2, 0, 2), "-AWSNeuron", memory=0, cores=3, units=2),
        Fill("amd", "AMD", 2, amd, (196608, 304, 8), model="AMD Instinct MI300X VF", memory=196608, cores=304, slots=8),
        Fill("va", "Vastai", 8, single({"vastaitech.com/va": 1}), (1, 0, 1), model="Vastai", memory=16384, slots=1, custominfo=die),
        Fill("biren", "Biren", 4, single({"birentech.com/gpu": 1}), (1, 0, 1), model="Biren", memory=65536, slots=1),
    ]


def vendors_fill(options):
    """All makers' cards filled by pods in random order, through two kills: near bounds computed offline, and nobody waits in vain."""
    seed = int(os.environ.get("E2E_SEED", random.SystemRandom().randrange(1 << 20)))
    options.notes.append("E2E_SEED=%d" % seed)
    rng = random.Random(seed)
    with world(options, "vendors-fill") as w:
        kinds = fills()
        w.nodes(*[f.node() for f in kinds])
        w.start(*PACKED)
        w.install_webhook()
        sizes = {}
        for f in kinds:
            for i, size in enumerate(f.pods(rng)):
                sizes["%s-%02d" % (f.name, i)] = (f, size)
        names = list(sizes)
        rng.shuffle(names)
        began = time.monotonic()
        w.create_all([pod_object(n, container(limits=sizes[n][1][2]), scheduler=None, spec={"nodeSelector": {LABEL: sizes[n][0].name}})
                      for n in names])

        w.wait(lambda: w.count_bound() >= len(names) // 4, 60, lambda: "%d pods bound (seed %d)" % (w.count_bound(), seed))
        w.plane.cardinald.kill()
        time.sleep(0.3)
        w.plane.start_cardinald(*PACKED)

        def decided():
            return sum(1 for p in w.pods() if p["status"].get("phase") == "Running" or load.unschedulable(p)) == len(names)
        w.wait(decided, 150, lambda: "%d pods decided; %d run (seed %d)" % (len(names), w.count_running(), seed))
        last, still = -1, time.monotonic()
        while time.monotonic() - still < 4 or waiting(w, sizes):
            if w.count_bound() != last:
                last, still = w.count_bound(), time.monotonic()
            expect(time.monotonic() - still < 30, "nothing moves for 30 s, and yet these fit: %s (seed %d)", ", ".join(waiting(w, sizes)[:5]), seed)
            time.sleep(0.2)
        placed = dict.fromkeys((f.name for f in kinds), 0)
        for pod in w.pods():
            if pod["spec"].get("nodeName"):
                f, size = sizes[pod["metadata"]["name"]]
                placed[f.name] += size[0]
        w.notes.append("%d of %d pods in %.1f s" % (last, len(names), still - began))
        shares = {f.name: placed[f.name] / f.bound() for f in kinds}
        average = sum(shares.values()) / len(kinds)
        w.notes.append("%.1f %% of the offline bounds on average" % (100 * average))
        # Sizes that come as they like leave gaps; of one size, not a single one may be missing.
        wrong = ["%s: %d of a bound of %d" % (f.name, placed[f.name], f.bound()) for f in kinds
                 if not (1 if len(f.sizes) == 1 else 0.6) <= shares[f.name] <= 1]
        expect(not wrong, "seed %d: %s", seed, "; ".join(wrong))
        expect(average >= 0.9, "seed %d: %.1f %% of the bounds on average", seed, 100 * average)
        w.check_ledger()
        regained(w, kinds, sizes, last, seed)
        for pod in w.pods():
            if not pod["spec"].get("nodeName"):
                w.delete(pod["metadata"]["name"])


def regained(w, kinds, sizes, count, seed):
    """A cardinald that knows nothing but what is written finds every card as full as it is, and gives freed room again."""
    w.plane.cardinald.kill()
    w.plane.start_cardinald(*PACKED)
    w.check_ledger()
    mono = [f.name for f in kinds if len(f.sizes) == 1]
    ended = [next(p["metadata"]["name"] for p in w.pods() if p["spec"].get("nodeName") == name) for name in mono]
    for name in ended:
        w.end(name)
    w.wait(lambda: w.count_bound() == count, 30, lambda: "freed room of %s taken again: %d of %d bound (seed %d)"
           % (", ".join(mono), w.count_bound(), count, seed))
    w.settled(count)


def waiting(w, sizes):
    """Pods without a node that some card of their kind has room for, by the API objects alone."""
    pods = w.pods()
    ledger = reader.ledger(pods, w.recorder.objects("node"))
    out = []
    for pod in pods:
        if pod["spec"].get("nodeName"):
            continue
        f, (memory, cores, _) = sizes[pod["metadata"]["name"]]
        counted = len(f.sizes) > 1       # of one size the bound itself says whether all is taken
        if counted and any(u[0] < t[0] and u[1] + memory <= t[1] and u[2] + cores <= t[2]
                           for c in ledger[f.name].values() for u, t in [(c["used"], c["total"])]):
            out.append(pod["metadata"]["name"])
    return out


# -- coming and going --------------------------------------------------------------------------------------------


class Crowd:
    """Cards of one kind, and what pods may ask of an empty node of it.

    asks    function(rng) → [limits], one for each container
    count   the resource that says how many cards: several of some makers are whole ones, and leave a sidecar no room
    extra   an init container or a sidecar may come along, and ask for the smallest
    """

    def __init__(self, name, maker, known, asks, extra=None, count=None, labels=None, notes=None):
        self.name, self.maker, self.cards, self.asks, self.count = name, maker, known, asks, count
        self.extra, self.labels, self.notes = extra, labels or {}, notes or {}

    def node(self):
        return Node(self.name, [], sets=[(self.maker, self.cards)], labels={LABEL: self.name, **self.labels})

    def pod(self, name, rng):
        asked = self.asks(rng)
        containers = [container("c%d" % i, limits) for i, limits in enumerate(asked)]
        several = any(limits.get(self.count, 1) > 1 for limits in asked)
        init = []
        if self.extra and rng.random() < 0.4:
            init = [container("first", self.extra, restart=None if several else rng.choice((None, "Always")))]
        if rng.random() < 0.3:
            containers.insert(rng.randrange(len(containers) + 1), container("idle"))
        notes = {RUN_SECONDS: "%.1f" % rng.uniform(0.2, 1.5), **self.notes}
        return pod_object(name, *containers, init=init, notes=notes, scheduler=None, spec={"nodeSelector": {LABEL: self.name}})


def crowds():
    by_name = {f.name: f for f in fills()}

    def shares(name, count=None, extra=True, most=2):
        """One or two containers of the smallest sizes, or one that asks for several cards."""
        f = by_name[name]
        sizes = [limits for _, _, limits in f.sizes]

        def asks(rng):
            if count and rng.random() < 0.3:
                return [{**sizes[0], count: rng.randint(1, f.count)}]
            return [rng.choice(sizes[:2])] if rng.random() < 0.5 else [sizes[0]] * rng.randint(1, most)
        return Crowd(name, f.maker, f.cards, asks, sizes[0] if extra else None, count)

    def counts(name, count, several, known=None, maker=None, **more):
        f = by_name.get(name)
        return Crowd(name, maker or f.maker, known or f.cards, lambda rng: [{count: rng.choice(several)}], **more)

    def neuron(rng):
        return [rng.choice(({"aws.amazon.com/neuroncore": 1}, {"aws.amazon.com/neuroncore": 2}, {"aws.amazon.com/neuroncore": 4},
                            {"aws.amazon.com/neuron": 1}, {"aws.amazon.com/neuron": 3}))]

    def vxpu(rng):
        return [rng.choice(({"kunlunxin.com/vxpu": 1}, {"kunlunxin.com/vxpu": 1, "kunlunxin.com/vxpu-memory": 20000},
                            {"kunlunxin.com/vxpu": 2, "kunlunxin.com/vxpu-memory": 40000}))]
    pairs = next(c for c in cases() if c.name == "pairs")
    return [
        shares("nvidia", "nvidia.com/gpu"), shares("mig"), shares("b3"), shares("p3"),
        shares("mlu", "cambricon.com/vmlu", extra=False, most=1), shares("dcu", "hygon.com/dcunum"), shares("moore"),
        shares("bi", "iluvatar.ai/BI-V150-vgpu"), shares("sgpu", "metax-tech.com/sgpu"), shares("drs"), shares("amd", "amd.com/gpu"),
        counts("pairs", "nvidia.com/gpu", (1, 2, 3, 4), known=pairs.sets[0][1], maker="NVIDIA", notes=pairs.notes),
        counts("c", "huawei.com/Ascend910C", (1, 2, 4), maker="Ascend910C",
               known=cards("c", 6, model="Ascend910C", memory=65536, cores=20, slots=1, custominfo=lambda i: {"NetworkID": 0})),
        counts("metax", "metax-tech.com/gpu", (1, 2, 3, 4)), counts("gcu", "enflame.com/gcu", (1, 2, 4)),
        counts("kunlun", "kunlunxin.com/xpu", (1, 1, 2, 2, 4, 8)), counts("va", "vastaitech.com/va", (1, 2, 3, 5, 8)),
        counts("biren", "birentech.com/gpu", (1, 2, 4)),
        counts("rings", "aws.amazon.com/neuron", (1, 1, 4, 4, 8, 16), maker="AWSNeuron",
               known=cards("rings-AWSNeuron", 16, model="AWSNeuron", memory=0, cores=3, slots=2, units=2),
               labels={"node.kubernetes.io/instance-type": "trn1.32xlarge"}),
        Crowd("neuron", "AWSNeuron", by_name["neuron"].cards, neuron, labels={"node.kubernetes.io/instance-type": "inf2.24xlarge"}),
        Crowd("xpu", "XPU", by_name["xpu"].cards, vxpu),
    ]


def vendors_churn(options):
    """Pods of every maker come, run and end by themselves through two kills: each runs in its turn, none is forgotten."""
    seed = int(os.environ.get("E2E_SEED", random.SystemRandom().randrange(1 << 20)))
    options.notes.append("E2E_SEED=%d" % seed)
    rng = random.Random(seed)
    with world(options, "vendors-churn") as w:
        kinds = crowds()
        w.nodes(*[k.node() for k in kinds])
        flags = ("--node-scheduler-policy=binpack", "--gpu-scheduler-policy=" + rng.choice(("binpack", "spread", "numa")), *FLAGS)
        w.start(*flags)
        w.install_webhook()
        pods = [k.pod("%s-%02d" % (k.name, i), rng) for k in kinds for i in range(CROWD)]
        rng.shuffle(pods)
        began = time.monotonic()

        def over():
            return sum(1 for p in w.pods() if p["status"].get("phase") == "Succeeded")
        w.create_all(pods)
        for share in (4, 2):
            w.wait(lambda share=share: over() >= len(pods) // share, 90, lambda: "%d pods over (seed %d)" % (over(), seed))
            w.plane.cardinald.kill()
            time.sleep(0.3)
            w.plane.start_cardinald(*flags)

        def left():
            return ", ".join(sorted("%s (%s)" % (p["metadata"]["name"], p["status"].get("phase")) for p in w.pods()
                                    if p["status"].get("phase") != "Succeeded")[:8])
        w.wait(lambda: over() == len(pods), 150, lambda: "%d pods over, there are %d (seed %d): %s" % (len(pods), over(), seed, left()))
        w.notes.append("%d pods in %.1f s" % (len(pods), time.monotonic() - began))

        def used():
            return [u for d in w.inventory().values() for u, c in d.items() if any(c[k]["used"] for k in ("shares", "memoryMiB", "coresPercent"))]
        w.wait(lambda: not used(), 10, lambda: "all is over, and the books know it (seed %d): %s" % (seed, used()))


CROWD = 10
