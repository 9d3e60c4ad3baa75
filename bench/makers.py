"""Clusters and asks of the kinds of cards that the core treats in a way of its own, for run.py.

A kind is a shape (what stub_api gives nodes and pods, %N is the node's number, %C the pod's turn on its node), how many
pods a node has, and asks: limits and annotations, with the load generator's marks where asks are to differ. The same as
objects of a file, for bind: file_cluster().
"""

import json
import re

CARDS = 8
CARD_MIB = 81920


def text(value):
    return json.dumps(value, separators=(",", ":"))


def register(card, **more):
    """A node's list of cards: ids end in %N-0, %N-1, …; `more`: members by name, called with the card's number."""
    return text([{"id": "card-%%N-%d" % i, "index": i, "count": 10, "devmem": CARD_MIB, "devcore": 100, "numa": i // 4,
                  "health": True, **card, **{k: v(i) for k, v in more.items()}} for i in range(CARDS)])


def scores(near, far):
    """Values of pairs: four cards each are near each other."""
    return text([{"uuid": "GPU-%%N-%d" % i, "score": {
        "GPU-%%N-%d" % j: near if i // 4 == j // 4 else far for j in range(CARDS) if j != i}} for i in range(CARDS)])


PROFILES = [{"name": "1g.10gb", "memoryMB": 9728, "core": 14, "sliceCount": 1,
             "placements": [{"start": i, "size": 1} for i in range(7)]},
            {"name": "2g.20gb", "memoryMB": 19968, "core": 28, "sliceCount": 2,
             "placements": [{"start": i, "size": 2} for i in (0, 2, 4)]},
            {"name": "3g.40gb", "memoryMB": 40192, "core": 42, "sliceCount": 3,
             "placements": [{"start": i, "size": 4} for i in (0, 4)]},
            {"name": "7g.80gb", "memoryMB": 80384, "core": 100, "sliceCount": 7, "placements": [{"start": 0, "size": 8}]}]
GPUS = {"hami.io/node-nvidia-register": register({"type": "NVIDIA A100-SXM4-80GB", "mode": "hami-core"},
                                                 id=lambda i: "GPU-%%N-%d" % i, count=lambda i: 20)}
AWARE = {"hami.io/gpu-scheduler-policy": "topology-aware"}


def gpu(mem, cores, count="1"):
    return {"nvidia.com/gpu": count, "nvidia.com/gpumem": mem, "nvidia.com/gpucores": cores}


def holds(key, card, limits):
    """A pod that has a share of the card of its turn, and what it asked for."""
    return {"pod-annotations": {key: card + ":;"}, "pod-limits": limits}


REFUSED = {"bench": "refused"}

# name → nvidia: stub_api makes the cards and half-fills them; shape; pods a node; asks: (what, limits, annotations, and
# which of those before it is its measure, if any)
KINDS = {
    "pairs": {
        "nvidia": True, "pods": 2,
        "shape": {"annotations": {"hami.io/node-nvidia-score": scores(420, 10)}},
        "file": {"annotations": GPUS, "resources": {"nvidia.com/gpu": "160"}},  # what stub_api adds by itself
        "asks": [("one, plain", gpu("1#s#", "#t"), None), ("one, topology-aware", gpu("1#s#", "#t"), AWARE, "one, plain"),
                 ("four, plain", gpu("1#s#", "#t", "4"), None), ("four, topology-aware", gpu("1#s#", "#t", "4"), AWARE,
                                                              "four, plain")]},
    "slices beside shares": {
        "pods": 2,
        "shape": {"annotations": {"hami.io/node-nvidia-register": register(
                      {"type": "NVIDIA A100-SXM4-80GB"}, count=lambda i: 7 if i % 2 else 10,
                      mode=lambda i: "mig" if i % 2 else "hami-core", migProfiles=lambda i: PROFILES if i % 2 else None)},
                  "resources": {"nvidia.com/gpu": "68"},
                  "pod-annotations": {
                      "hami.io/vgpu-devices-allocated": "card-%N-1,NVIDIA,19968,28:;",
                      "hami.io/vgpu-mig-allocations": text([{
                          "containerIndex": 0, "deviceIndex": 0, "gpuUUID": "card-%N-1", "profile": "2g.20gb",
                          "placement": {"start": 0, "size": 2}}])},
                  "pod-limits": {"nvidia.com/gpu": "1", "nvidia.com/gpumem": "15000"}},
        "asks": [("a share", gpu("1#s#", "#t"), {"nvidia.com/vgpu-mode": "hami-core"}),
                 ("a slice", gpu("1#s#", "#t"), {"nvidia.com/vgpu-mode": "mig"}, "a share"),
                 ("either", gpu("1#s#", "#t"), None, "a share")]},
    "slices, one left a card": {
        "pods": 8,
        "shape": {"annotations": {"hami.io/node-nvidia-register": register(
                      {"type": "NVIDIA A100-SXM4-80GB", "mode": "mig", "count": 7, "migProfiles": PROFILES})},
                  "resources": {"nvidia.com/gpu": "56"},
                  "pod-annotations": {
                      "hami.io/vgpu-devices-allocated": "card-%N-%C,NVIDIA,40192,42:card-%N-%C,NVIDIA,19968,28:;",
                      "hami.io/vgpu-mig-allocations": text([{
                          "containerIndex": 0, "deviceIndex": at, "gpuUUID": "card-%N-%C", "profile": profile,
                          "placement": {"start": start, "size": size}}
                          for at, (profile, start, size) in enumerate([("3g.40gb", 0, 4), ("2g.20gb", 4, 2)])])},
                  "pod-limits": {"nvidia.com/gpu": "2", "nvidia.com/gpumem": "15000"}},
        "asks": [("the last", gpu("1#s#", "#t"), None), ("four of the last", gpu("1#s#", "#t", "4"), None),
                 ("a larger one: refused", gpu("1#s#0", "#t"), REFUSED)]},
    "capacity": {
        "pods": 4,
        "shape": {"resources": {"cambricon.com/mlu.smlu.vcore": "800", "cambricon.com/mlu.smlu.vmemory": "2560"},
                  **holds("hami.io/cambricon-mlu-devices-allocated", "node-%N-cambricon-mlu-%C,MLU,20480,50",
                          {"cambricon.com/vmlu": "1", "cambricon.com/mlu.smlu.vmemory": "80",
                           "cambricon.com/mlu.smlu.vcore": "50"})},
        "asks": [("a share", {"cambricon.com/vmlu": "1", "cambricon.com/mlu.smlu.vmemory": "1#u",
                              "cambricon.com/mlu.smlu.vcore": "#t"}, None)]},
    "zones": {
        "pods": 4,
        "shape": {"annotations": {"hami.io/node-register-Ascend910B3": register(
                      {"type": "Ascend910B3", "devmem": 65536}, custominfo=lambda i: {"NetworkID": i // 4})},
                  "resources": {"huawei.com/Ascend910B3": "80"},
                  **holds("hami.io/Ascend910B3-devices-allocated", "card-%N-%C,Ascend910B3,16384,0",
                          {"huawei.com/Ascend910B3": "1", "huawei.com/Ascend910B3-memory": "16384"})},
        "asks": [("one", {"huawei.com/Ascend910B3": "1", "huawei.com/Ascend910B3-memory": "1#s#"}, None),
                 ("three whole", {"huawei.com/Ascend910B3": "3"}, None)]},
    "zones that fit": {
        "pods": 2,
        "shape": {"annotations": {"metax-tech.com/node-gpu-devices": text(
                      [{"uuid": "card-%%N-%d" % i, "totalDevCount": 16, "totalCompute": 100, "totalVRam": 65536,
                        "healthy": True, "qosPolicy": "best-effort", "linkZone": 1 + i // 4} for i in range(CARDS)])},
                  "resources": {"metax-tech.com/sgpu": "128"},
                  **holds("hami.io/metax-sgpu-devices-allocated", "card-%N-%C,Metax-SGPU,4096,60",
                          {"metax-tech.com/sgpu": "1", "metax-tech.com/vmemory": "4Gi", "metax-tech.com/vcore": "60"})},
        "asks": [("a share", {"metax-tech.com/sgpu": "1", "metax-tech.com/vmemory": "1#s#Mi",
                              "metax-tech.com/vcore": "#t"}, {"metax-tech.com/sgpu-qos-policy": "best-effort"}),
                 ("three whole", {"metax-tech.com/sgpu": "3"}, None)]},
    "wings": {
        "pods": 2,
        "shape": {"resources": {"kunlunxin.com/xpu": "8"},
                  **holds("hami.io/kunlun-allocated", "node-%N-kunlun-%C,kunlun,98304,100", {"kunlunxin.com/xpu": "1"})},
        "asks": [("one", {"kunlunxin.com/xpu": "1"}, None), ("four", {"kunlunxin.com/xpu": "4"}, None)]},
    "blocks": {
        "pods": 2,
        "shape": {"labels": {"node.kubernetes.io/instance-type": "trn1.32xlarge"},
                  "resources": {"aws.amazon.com/neuron": "16", "aws.amazon.com/neuroncore": "32"},
                  **holds("hami.io/aws-neuron-devices-allocated", "node-%N-AWSNeuron-%C,AWSNeuron,0,1",
                          {"aws.amazon.com/neuroncore": "1"})},
        "asks": [("one core", {"aws.amazon.com/neuroncore": "1"}, None),
                 ("four devices", {"aws.amazon.com/neuron": "4"}, None)]},
    "percent to units": {
        "pods": 4,
        "shape": {"annotations": {"hami.io/node-amd-register": register({"type": "AMD Instinct MI300X", "devcore": 304})},
                  "resources": {"amd.com/gpu": "80"},
                  **holds("hami.io/amd-devices-allocated", "card-%N-%C,AMD Instinct MI300X,20480,152",
                          {"amd.com/gpu": "1", "amd.com/gpumem": "20480", "amd.com/gpucores": "50"})},
        "asks": [("a share", {"amd.com/gpu": "1", "amd.com/gpumem": "1#s#", "amd.com/gpucores": "#t"}, None)]},
    "profiles": {
        "pods": 2,
        "shape": {"annotations": {"enflame.com/gcu-drs-capacity": text({
                      "devices": [{"index": str(i), "minor": str(i), "capacity": 6} for i in range(CARDS)],
                      "profiles": {"1g.5gb": "7", "2g.12gb": "8", "4g.24gb": "9", "6g.36gb": "5"}})},
                  "resources": {"enflame.com/drs-gcu": "48"},
                  **holds("hami.io/enflame-vgpu-devices-allocated", "node-%N-enflame-drs-%C,Enflame,12288,33",
                          {"enflame.com/drs-gcu": "2"})},
        "asks": [("a slice", {"enflame.com/drs-gcu": "2"}, None)]},
}

NVIDIA_ALONE = """nvidia:
  resourceCountName: nvidia.com/gpu
  resourceMemoryName: nvidia.com/gpumem
  resourceMemoryPercentageName: nvidia.com/gpumem-percentage
  resourceCoreName: nvidia.com/gpucores
  resourcePriorityName: nvidia.com/priority
  defaultGPUNum: 1
"""


def shape_file(shape):
    """The lines that stub_api reads."""
    return "".join("%s %s\n" % (word, text(members)[1:-1]) for word, members in shape.items())


# -- the same as objects of a file ---------------------------------------------------------------------------------


def filled(value, node, turn=0):
    """A shape's members for one node, and for one pod on it."""
    return json.loads(text(value).replace("%N", "%05d" % node).replace("%C", "%d" % turn))


def unmarked(limits, n):
    """An ask with the load generator's marks filled in, as it does it."""
    values = {"u": n, "s": 100 + n % 900, "t": 10 + n // 900 % 80}
    return {k: re.sub("#([ust])#*", lambda m: str(values[m.group(1)]).zfill(len(m.group(0)))[-len(m.group(0)):], v)
            for k, v in limits.items()}


def node_object(k, i):
    shape, more = k["shape"], k.get("file", {})
    amounts = {"cpu": "128", "memory": "1024Gi", "pods": "250", **more.get("resources", {}), **shape.get("resources", {})}
    return {"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "node-%05d" % i, "uid": "n-%d" % i,
                         "labels": {"kubernetes.io/hostname": "node-%05d" % i, **filled(shape.get("labels", {}), i)},
                         "annotations": filled({**more.get("annotations", {}), **shape.get("annotations", {})}, i)},
            "status": {"capacity": amounts, "allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]}}


def holder_object(k, node, turn):
    """A pod that runs on the node, as stub_api has them."""
    shape = k["shape"]
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "pod-%d-%d" % (node, turn), "namespace": "held", "uid": "h-%d-%d" % (node, turn),
                         "annotations": {"hami.io/bind-phase": "success", "hami.io/bind-time": "1790000000",
                                         "hami.io/vgpu-node": "node-%05d" % node, "hami.io/vgpu-time": "1790000000",
                                         **filled(shape.get("pod-annotations", {}), node, turn)}},
            "spec": {"nodeName": "node-%05d" % node, "schedulerName": "hami-scheduler", "containers": [
                {"name": "main", "image": "registry.example/train:1",
                 "resources": {"limits": filled(shape.get("pod-limits", {}), node, turn)}}]},
            "status": {"phase": "Running", "containerStatuses": [{"name": "main", "ready": True, "started": True,
                                                                 "state": {"running": {}}}]}}


def file_cluster(k, nodes, holders, pods):
    """A List for --cluster: nodes, `holders` running pods on each, and the pods to be bound."""
    items = [node_object(k, i) for i in range(nodes)]
    items += [holder_object(k, i, t) for i in range(nodes) for t in range(holders)]
    return {"apiVersion": "v1", "kind": "List", "items": items + [{"apiVersion": "v1", "kind": "Pod", **p} for p in pods]}
