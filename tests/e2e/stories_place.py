"""Stories about single placements: what one pod gets, and what is written about it."""

import json
import re

import cluster
import kube
import protocol
import reader
from harness import Failure, World, expect, gpu, make_node, plain, pod_object

# What a plugin leaves of a list: one ';' more than there were slots at each write-back.
CONSUMED = re.compile(r";+\Z")


def placed(options):
    """One share is placed and its annotations are right, byte for byte; the lock is taken and released."""
    with World(options, "placed") as w:
        w.nodes(make_node("node-a", cards=1))
        w.start()
        w.pod("one", gpu(mem=4000, cores=20))
        w.running("one")
        w.pod("three", plain("front"), gpu("middle", mem=1000, cores=5), plain("back"))
        w.running("three")
        w.pod("bare", gpu(mem=500), notes={"note": "kept"}, labels={"app": "kept"})
        w.running("bare")
        card = "GPU-node-a-0"
        wants = {"one": "%s,NVIDIA,4000,20:;" % card, "three": ";%s,NVIDIA,1000,5:;;" % card,
                 "bare": "%s,NVIDIA,500,0:;" % card}
        for name, text in wants.items():
            pod = w.get(name)
            notes = kube.annotations(pod)
            expect(notes.get(reader.ALLOCATED) == text, "%s: allocated is %r, wanted %r", name, notes.get(reader.ALLOCATED), text)
            expect(CONSUMED.match(notes.get(protocol.TO_ALLOCATE, "")), "%s: to-allocate is left at %r", name, notes.get(protocol.TO_ALLOCATE))
            expect(notes.get(protocol.NODE_KEY) == "node-a" == kube.labels(pod).get(protocol.NODE_KEY),
                   "%s: node annotation or label: %r, %r", name, notes.get(protocol.NODE_KEY), kube.labels(pod).get(protocol.NODE_KEY))
            expect(notes.get(protocol.BIND_PHASE) == "success", "%s: phase %r", name, notes.get(protocol.BIND_PHASE))
        bare = w.get("bare")
        expect(kube.annotations(bare).get("note") == "kept" and kube.labels(bare).get("app") == "kept",
               "bare: the pod's own annotation or label is gone")
        _lock_was_used(w, "node-a", wants)
        _first_write_is_whole(w, "one", wants["one"])
        expect(w.used("node-a", card) == (3, 5500, 25), "inventory: used %s", w.used("node-a", card))
        writes = protocol.writes_by(w.plane.audit(), "cardinald")
        for name in wants:
            mine = writes.get("e2e/" + name, [])
            expect(len(mine) == 1 and mine[0][1] == "binding", "%s: cardinald wrote %s, one Binding is enough", name, mine)


def _lock_was_used(w, node, names):
    """Every pod's name stood in the node's lock, and it is gone now."""
    w.wait(lambda: not protocol.locks_left(w.recorder.objects("node")), 5, "lock released")
    values = [kube.annotations(e.obj).get(protocol.LOCK) for e in w.recorder.history() if e.what == "node"]
    for name in names:
        expect(any(v and re.match(r"[^,]+,e2e,%s\Z" % name, v) for v in values), "no lock for %s among %s", name, values)


def _first_write_is_whole(w, name, text):
    """At the write that bound the pod the phase was allocating and both lists were there: no half state before."""
    states = []
    for e in w.recorder.history():
        if e.what == "pod" and e.obj["metadata"]["name"] == name:
            notes = kube.annotations(e.obj)
            states.append((bool(e.obj["spec"].get("nodeName")), notes.get(protocol.BIND_PHASE), notes.get(protocol.TO_ALLOCATE)))
    at_binding = next(s for s in states if s[0])
    expect(at_binding == (True, "allocating", text), "%s at Binding: %s", name, at_binding)
    phases = [p for i, (_, p, _) in enumerate(states) if p and (i == 0 or states[i - 1][1] != p)]
    expect(phases == ["allocating", "success"], "%s: phases %s", name, phases)


def labels_later(options):
    """An API server that takes no labels from a Binding: pods get ours when their plugin has said its last word, once each."""
    with World(options, "labels-later", gates="PodTopologyLabelsAdmission=false") as w:
        w.forgiven = [r"at Binding: label \S+ is None"]
        w.nodes(make_node("node-a", cards=1))
        w.start()
        names = ["p-%d" % i for i in range(4)]
        for name in names:
            w.pod(name, gpu(mem=1000, cores=5))
        for name in names:
            w.running(name)
        w.wait(lambda: all(kube.labels(w.get(n)).get(protocol.NODE_KEY) == "node-a" for n in names), 10, "the label on every pod")
        versions = [e.obj for e in w.recorder.history() if e.what == "pod" and e.obj["metadata"]["name"] in names]
        unlabelled = [v for v in versions if kube.annotations(v).get(protocol.BIND_PHASE) == "allocating"]
        expect(unlabelled and not any(protocol.NODE_KEY in kube.labels(v) for v in unlabelled),
               "the label was there before the plugin's last word, or this API server takes it from the Binding")
        writes = protocol.writes_by(w.plane.audit(), "cardinald")
        for name in names:
            # A kubelet that writes the status at that moment makes ours a conflict, and it is tried again.
            mine = [write[1] for write in writes.get("e2e/" + name, []) if write[1:] != ("status", 409)]
            expect(sorted(mine) == ["binding", "status"], "%s: cardinald wrote %s, wanted one Binding and one label", name, mine)


def cpu_only(options):
    """Pods that ask for no cards are scheduled as if we were not there."""
    with World(options, "cpu-only") as w:
        w.nodes(make_node("gpu-a"), make_node("plain-a", cards=0))
        w.start()
        small = {"resources": {"requests": {"cpu": "100m", "memory": "64Mi"}}}
        w.pod("default", plain(**small), scheduler=None)
        w.pod("ours", plain(**small))
        w.pod("on-gpu-node", plain(**small), spec={"nodeSelector": {"gpu": "on"}})
        for name in ("default", "ours", "on-gpu-node"):
            w.running(name)
            pod = w.get(name)
            keys = [k for k in (*kube.annotations(pod), *kube.labels(pod)) if "hami.io/" in k]
            expect(not keys, "%s: keys of ours on a pod without cards: %s", name, keys)
        expect(w.verb_count("filter") == 0, "kube-scheduler asked about a pod that is none of our business")
        node_writes = protocol.writes_by(w.plane.audit(), "cardinald", "nodes")
        expect(not node_writes, "cardinald wrote to nodes: %s", node_writes)
        # Some users configure no managedResources: then we are asked, and let pass what we were given, in that order.
        names = ["plain-a", "gpu-a", "unheard-of"]
        listed, answer = w.filter(w.get("ours"), names)
        expect(listed == names, "filter of a CPU-only pod: %s", answer)


def shortlist(options):
    """Shortlists of 1, 16 and all; a preferred node wins even when the list is short and the policy is against it."""
    with World(options, "shortlist") as w:
        count = 20
        w.nodes(*[make_node("node-%02d" % i, labels={"wanted": "yes"} if i == 13 else None) for i in range(count)])
        # Within the protocol's own bound (10) kube-scheduler's NodeAffinity outweighs us; --score-max=100 is meant not to.
        flags = ("--score-max=10", "--node-scheduler-policy=binpack")
        preferred = {"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 100, "preference": {"matchExpressions": [{"key": "wanted", "operator": "In", "values": ["yes"]}]}}]}}}
        names = ["node-%02d" % i for i in range(count)]
        for n, want in ((1, 1), (16, 16), (0, count)):
            if w.plane.cardinald is None:
                w.start("--shortlist=%d" % n, *flags)
            else:
                w.plane.cardinald.stop()
                w.plane.start_cardinald("--shortlist=%d" % n, *flags)
            probe = w.pod("probe-%d" % n, gpu(mem=1000, cores=5), scheduler="nobody")
            listed, _ = w.filter(probe, names)
            expect(len(listed) == want and len(set(listed)) == want and set(listed) <= set(names),
                   "--shortlist=%d lists %d of %d nodes: %s", n, len(listed), count, listed)
            w.delete("probe-%d" % n)
            for i in range(3):
                w.pod("plain-%d-%d" % (n, i), gpu(mem=1000, cores=5))
                w.running("plain-%d-%d" % (n, i), seconds=40)
            w.pod("choosy-%d" % n, gpu(mem=1000, cores=5), spec=preferred)
            got = w.bound("choosy-%d" % n, seconds=40)
            expect(got == "node-13", "--shortlist=%d: the pod that prefers node-13 went to %s", n, got)
            w.running("choosy-%d" % n)


def selection(options):
    """What pods say about cards is followed: count, percent, type, UUID, whole cards, policies, cordoned cards."""
    with World(options, "selection") as w:
        w.nodes(make_node("a10", cards=2), make_node("t4", cards=2, model="Tesla T4", memory=16000))
        w.start("--node-scheduler-policy=spread")

        def gets(name, pattern, container, **wish):
            """The pod runs with an allocation of this shape, and is gone again afterwards."""
            w.pod(name, container, notes={"nvidia.com/" + k.replace("_", "-"): v for k, v in wish.items()})
            w.running(name)
            expect(re.match(pattern + r"\Z", w.allocated(name)), "%s: allocated %s, wanted %s", name, w.allocated(name), pattern)
            w.delete(name, grace=0)

        gets("two-cards", r"GPU-(\w+)-(\d),NVIDIA,8000,30:GPU-\1-(?!\2)\d,NVIDIA,8000,30:;", gpu(count=2, mem=8000, cores=30))
        gets("half", r"GPU-(a10-\d,NVIDIA,12288|t4-\d,NVIDIA,8000),10:;", gpu(percent=50, cores=10))
        gets("odd-percent", r"GPU-a10-\d,NVIDIA,8110,0:;", gpu(percent=33), use_gputype="A10")
        gets("use-type", r"GPU-t4-\d,NVIDIA,1000,0:;", gpu(mem=1000), use_gputype="a100, t4")
        gets("nouse-type", r"GPU-t4-\d,NVIDIA,1000,0:;", gpu(mem=1000), nouse_gputype="A10")
        gets("use-uuid", r"GPU-a10-1,NVIDIA,1000,0:;", gpu(mem=1000), use_gpuuuid="GPU-a10-1")
        gets("nouse-uuid", r"GPU-t4-0,NVIDIA,1000,0:;", gpu(mem=1000), nouse_gpuuuid="GPU-a10-0,GPU-a10-1, GPU-t4-1")

        # A card held whole takes nobody else, and a used card is not given whole.
        for i in range(2):
            w.pod("whole-%d" % i, gpu(mem=100, cores=100), notes={"nvidia.com/use-gputype": "A10"})
            w.running("whole-%d" % i)
        w.pod("third", gpu(mem=100, cores=0), notes={"nvidia.com/use-gputype": "A10"})
        message = w.refused("third")
        expect("CardComputeUnitsExhausted" in message, "third: %s", message)
        w.end("whole-0")
        w.running("third")
        w.pod("whole-again", gpu(mem=100, cores=100), notes={"nvidia.com/use-gputype": "A10"})
        message = w.refused("whole-again")
        expect("ExclusiveDeviceAllocateConflict" in message, "whole-again: %s", message)
        w.delete("whole-again")

        # A cordoned card is closed to new pods at once, whatever they ask for.
        w.api.patch(kube.node_path("t4"), {"metadata": {"annotations": {"hami.io/device-cordon": "GPU-t4-0, GPU-t4-1"}}})
        w.pod("cordoned", gpu(mem=100), notes={"nvidia.com/use-gpuuuid": "GPU-t4-0"})
        message = w.refused("cordoned")
        expect("CardCordoned" in message, "cordoned: %s", message)
        w.api.patch(kube.node_path("t4"), {"metadata": {"annotations": {"hami.io/device-cordon": "GPU-t4-1"}}})
        w.running("cordoned", seconds=10)


def policies(options):
    """Spread and binpack, of nodes and of cards, by flag and by the pod's own annotation, which goes first."""
    with World(options, "policies") as w:
        names = ["node-%d" % i for i in range(3)]
        w.nodes(*[make_node(n, cards=3) for n in names])
        w.start("--node-scheduler-policy=spread", "--gpu-scheduler-policy=spread")

        def places(prefix, **notes):
            """Nodes and cards of three equal pods, created one after the other."""
            cards = []
            for i in range(3):
                w.pod("%s-%d" % (prefix, i), gpu(mem=1000, cores=5),
                      notes={"hami.io/%s-scheduler-policy" % k: v for k, v in notes.items()})
                w.running("%s-%d" % (prefix, i))
                cards.append(w.allocated("%s-%d" % (prefix, i)).split(",")[0])
            for i in range(3):
                w.end("%s-%d" % (prefix, i))
                w.phase("%s-%d" % (prefix, i), "Succeeded")
            w.wait(lambda: all(d["shares"]["used"] == 0 for n in w.inventory().values() for d in n.values()), 5, "all cards free")
            return len({c.rsplit("-", 1)[0] for c in cards}), len(set(cards))

        for node, card, want in (("spread", "spread", (3, 3)), ("binpack", "binpack", (1, 1)), ("binpack", "spread", (1, 3)), (None, None, (3, 3))):
            notes = {k: v for k, v in (("node", node), ("gpu", card)) if v}
            got = places("n%s-c%s" % (node, card) if node else "flags", **notes)
            expect(got == want, "node %s, cards %s: three pods on %d nodes and %d cards, wanted %d and %d", node, card, *got, *want)


def init_and_sidecars(options):
    """Init containers and sidecars: padded slots, a lock in every case, and Kubernetes' max and sum for the card."""
    with World(options, "init-and-sidecars") as w:
        w.nodes(make_node("node-a", memory=10000))
        w.start()
        card = "GPU-node-a-0"
        entry = card + ",NVIDIA,%d,%d:"

        def case(name, containers, init, text, use):
            w.pod(name, *containers, init=init)
            w.running(name)
            expect(w.allocated(name) == text, "%s: allocated is %r, wanted %r", name, w.allocated(name), text)
            expect(w.used("node-a", card) == use, "%s: /v1/nodes says %s, wanted %s", name, w.used("node-a", card), use)
            w.end(name)
            w.phase(name, "Succeeded")
            w.wait(lambda: w.used("node-a", card) == (0, 0, 0), 5, "the card free again after " + name)

        case("init-and-app", [plain("a"), gpu("b", mem=4000, cores=10)], [gpu("i", mem=8000, cores=5)],
             entry % (8000, 5) + ";;" + entry % (4000, 10) + ";", (1, 8000, 10))
        case("idle-init", [gpu("a", mem=3000)], [plain("i")], ";" + entry % (3000, 0) + ";", (1, 3000, 0))
        case("init-only", [plain("a")], [gpu("i", mem=6000)], entry % (6000, 0) + ";;", (1, 6000, 0))
        case("sidecar", [gpu("a", mem=3000, cores=10)], [gpu("s", mem=2000, cores=10, restart="Always"), gpu("i", mem=4000, cores=5)],
             entry % (2000, 10) + ";" + entry % (4000, 5) + ";" + entry % (3000, 10) + ";", (2, 6000, 20))

        # The peak of init is held for the pod's life: a restarted sandbox runs init again.
        w.pod("holder", gpu("a", mem=2000), init=[gpu("i", mem=8000)])
        w.running("holder")
        w.pod("too-big", gpu(mem=3000))
        w.refused("too-big")
        w.pod("fits", gpu(mem=2000))
        w.running("fits")
        w.stays_pending("too-big", 2)
        w.delete("too-big")


def webhook(options):
    """The real API server calls the webhook: defaults and scheduler name are set, a bad pod is denied with a text."""
    with World(options, "webhook") as w:
        w.nodes(make_node("node-a", cards=2))
        w.start()
        w.install_webhook()
        made = w.pod("bare", gpu(), scheduler=None)
        limits = made["spec"]["containers"][0]["resources"]["limits"]
        expect(limits.get("nvidia.com/gpucores") == "100", "limits after admission: %s", limits)
        expect(made["spec"]["schedulerName"] == cluster.SCHEDULER_NAME, "scheduler after admission: %s", made["spec"]["schedulerName"])
        made = w.pod("shared", gpu(count=0, mem=4000), scheduler=None)
        limits = made["spec"]["containers"][0]["resources"]["limits"]
        expect(limits == {"nvidia.com/gpu": "1", "nvidia.com/gpumem": "4k"}, "limits of a share after admission: %s", limits)
        made = w.pod("no-cards", plain(), scheduler=None)
        expect(made["spec"]["schedulerName"] == "default-scheduler", "a pod without cards got scheduler %s", made["spec"]["schedulerName"])
        _denied(w, pod_object("percent", gpu(percent=150), scheduler=None), "gpumem-percentage.*150")
        privileged = gpu(securityContext={"privileged": True})
        _denied(w, pod_object("privileged", privileged, scheduler=None), "privileged")
        w.running("bare")
        w.running("shared")
        w.running("no-cards")
        expect(re.match(r"GPU-node-a-[01],NVIDIA,24576,100:;\Z", w.allocated("bare")), "bare got %s", w.allocated("bare"))
        expect(re.match(r"GPU-node-a-[01],NVIDIA,4000,0:;\Z", w.allocated("shared")), "shared got %s", w.allocated("shared"))


def _denied(w, pod, pattern):
    try:
        w.create(pod)
    except kube.ApiError as e:
        expect(re.search(pattern, e.text), "denied, but the text does not say why (%s): %s", pattern, e.text)
        expect(400 <= e.code < 600 and "webhook" in e.text, "denied by somebody else: %s", e)
        return
    raise Failure("pod %s should be denied: %s" % (pod["metadata"]["name"], json.dumps(pod["spec"]["containers"])))
