"""Stories about parts that fail: plugins that are slow, refuse, die or leave locks; nodes that go and come back."""

import time

import kube
import protocol
from fakeplugin import Behaviour
from harness import World, expect, gpu, make_node


def on(node):
    return {"nodeSelector": {"kubernetes.io/hostname": node}}


def node_back(options):
    """A node is removed and brought back; its pods stay in the books, and nothing is given twice."""
    with World(options, "node-back") as w:
        w.nodes(make_node("node-a"), make_node("node-b"))
        w.start("--node-scheduler-policy=spread")
        big = dict(mem=14000, cores=60)
        w.pod("on-a", gpu(**big), spec=on("node-a"))
        w.pod("on-b", gpu(**big), spec=on("node-b"))
        w.running("on-a", "on-b")
        w.plugin.remove_node("node-b")
        w.wait(lambda: "node-b" not in w.inventory(), 5, "node-b gone from /v1/nodes")
        w.pod("small", gpu(mem=9000, cores=20))
        expect(w.bound("small") == "node-a", "small went to %s", w.bound("small"))
        w.running("small")
        w.pod("waits", gpu(mem=9000, cores=20))
        w.refused("waits")
        w.plugin.bring_back("node-b")
        expect(w.bound("waits", seconds=10) == "node-b", "waits went to %s", w.bound("waits"))
        w.running("waits")
        expect(w.used("node-b", "GPU-node-b-0") == (2, 23000, 80), "node-b after its return: %s", w.used("node-b", "GPU-node-b-0"))
        w.pod("too-much", gpu(mem=9000, cores=20))
        w.refused("too-much")
        w.delete("too-much")


def plugin_fails(options):
    """Plugins that refuse or die: the pod is Failed, its share is free, and the lock left behind stops nobody."""
    with World(options, "plugin-fails") as w:
        w.nodes(make_node("refuses", behaviour=Behaviour(refuse=True, times=1)),
                make_node("dies-early", behaviour=Behaviour(die="before-allocate", times=1)),
                make_node("dies-late", behaviour=Behaviour(die="before-release", times=1)))
        w.start()
        whole = dict(mem=24576, cores=50)          # nothing else fits beside it
        for node in ("refuses", "dies-early", "dies-late"):
            w.pod("first-" + node, gpu(**whole), spec=on(node))
            pod = w.phase("first-" + node, "Failed")
            phase = kube.annotations(pod).get(protocol.BIND_PHASE)
            expect(phase == ("failed" if node == "refuses" else "allocating"), "first-%s: phase %s", node, phase)
            card = "GPU-%s-0" % node
            w.wait(lambda: w.used(node, card) == (0, 0, 0), 5, lambda: "%s free again: %s" % (card, w.used(node, card)))
            began = time.monotonic()
            w.pod("second-" + node, gpu(**whole), spec=on(node))
            w.running("second-" + node, seconds=30)
            w.notes.append("%s: next pod after %.1f s" % (node, time.monotonic() - began))


def bad_locks(options):
    """Locks that nobody will release: unreadable, or of a pod that is gone, ended, elsewhere, or never came; all are taken over."""
    with World(options, "bad-locks") as w:
        def lock(pod):
            return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) + ",e2e," + pod
        # A lock of a pod that waits may be followed by its Binding any moment; it is given up after some seconds.
        locks = {"garbage": "what,is,this,?", "no-time": "yesterday,e2e,somebody", "empty": "", "ghost": lock("ghost"),
                 "ended": lock("on-ghost"), "elsewhere": lock("on-garbage"), "unbound": lock("unbound")}
        w.nodes(*[make_node(n) for n in locks])
        w.pod("unbound", gpu(mem=1000), scheduler="nobody")
        w.start()
        for node in locks:
            w.plugin.plant_lock(node, locks[node])
            w.pod("on-" + node, gpu(mem=1000), spec=on(node))
            w.running("on-" + node, seconds=40)
            if node == "ghost":
                w.end("on-ghost")
                w.phase("on-ghost", "Succeeded")


def api_away(options):
    """The API server is killed and comes back, with --long after a minute: cardinald lives on, finds the same books, and goes on placing."""
    with World(options, "api-away") as w:
        w.nodes(make_node("node-a", cards=2), make_node("node-b", cards=2))
        w.start("--node-scheduler-policy=spread")
        for i in range(6):
            w.pod("before-%d" % i, gpu(mem=3000, cores=10))
        w.settled(6)
        w.check_ledger()
        before = w.inventory()
        w.recorder.may_relist()
        w.plugin.may_relist()
        w.plane.restart_apiserver(away=60.0 if options.long else 2.0)
        expect(not w.plane.cardinald.ended(), "cardinald ended with %s while the API server was away", w.plane.cardinald.code)
        began = time.monotonic()
        for i in range(6):
            w.pod("after-%d" % i, gpu(mem=3000, cores=10))
        # kube-scheduler's own watches come back with a back-off that reaches half a minute.
        w.settled(12, seconds=90)
        w.notes.append("6 pods %.1f s after its return" % (time.monotonic() - began))
        for node, devices in before.items():
            expect(set(devices) == set(w.inventory().get(node, {})), "cards of %s changed while the API server was away", node)


def api_slow(options):
    """Every byte of the API server comes two seconds late, watches included: with thirty seconds for a bind all pods are placed, and no write is given up."""
    with World(options, "api-slow") as w:
        w.nodes(make_node("node-a", cards=2), make_node("node-b", cards=2))
        link = w.own_link("apiserver")
        w.plane.start_cardinald("--kubeconfig=" + w.plane.kubeconfig("cardinald", link.port), "--bind-timeout=30s",
                                "--node-scheduler-policy=spread")
        w.plane.start_scheduler(timeout="40s")
        link.late = 2.0
        began = time.monotonic()
        for i in range(4):
            w.pod("slow-%d" % i, gpu(mem=3000, cores=10))
        w.settled(4, seconds=150)
        w.wait(lambda: w.binds().get("ok", 0) >= 4, 20, lambda: "4 binds answered: %s" % w.bind_results())
        w.notes.append("4 pods in %.1f s; binds %s" % (time.monotonic() - began, w.bind_results()))
        expect(not w.binds().get("unknown"), "Bindings were given up: %s", w.bind_results())
        expect(w.metric("cardinald_binds_unsettled") == 0, "binds are not settled")
        expect("fence" not in str(kube.annotations(w.get("slow-0"))), "a pod was fenced: %s", kube.annotations(w.get("slow-0")))
        link.late = 0.0
        w.pod("quick", gpu(mem=3000, cores=10))
        w.settled(5, seconds=60)
        expect(w.metric("cardinald_ledger_repairs_total") == 0, "repairs: %g", w.metric("cardinald_ledger_repairs_total"))


def forged(options):
    """Pods that bring our keys along get nothing by it: no card is blocked, and what we decide stands alone."""
    with World(options, "forged") as w:
        w.nodes(make_node("node-a"))
        w.start()
        card = "GPU-node-a-0"
        keys = {protocol.NODE_KEY: "node-a", "hami.io/vgpu-devices-allocated": card + ",NVIDIA,24576,100:;",
                protocol.TO_ALLOCATE: card + ",NVIDIA,24576,100:;", protocol.BIND_PHASE: "success", protocol.BIND_TIME: "1",
                protocol.TIME_KEY: "1"}
        # Never bound, so it holds nothing whatever it says.
        w.pod("waiting-forever", gpu(mem=20000), notes=keys, scheduler="nobody")
        w.pod("honest", gpu(mem=20000, cores=30))
        w.running("honest")
        expect(w.used("node-a", card) == (1, 20000, 30), "used %s", w.used("node-a", card))
        w.pod("forger", gpu(mem=2000, cores=10), notes=dict(
            keys, **{"hami.io/dcu-devices-to-allocate": "x,y;", protocol.MIG: "[]", protocol.NODE_KEY: "elsewhere"}))
        w.running("forger")
        expect(w.allocated("forger") == card + ",NVIDIA,2000,10:;", "forger got %s", w.allocated("forger"))
        expect(w.used("node-a", card) == (2, 22000, 40), "used %s", w.used("node-a", card))


def quota(options):
    """A namespace's quota of card memory is kept, and a pod that waits for it goes ahead once it is raised."""
    with World(options, "quota") as w:
        w.nodes(make_node("node-a", cards=2))
        path = "/api/v1/namespaces/e2e/resourcequotas"
        w.api.create(path, {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "cards"},
                            "spec": {"hard": {"limits.nvidia.com/gpumem": "10000"}}})
        w.start()
        w.pod("first", gpu(mem=6000))
        w.running("first")
        w.pod("second", gpu(mem=6000))
        message = w.refused("second")
        expect("ResourceQuotaNotFit" in message, "the refusal should name the quota: %s", message)
        w.api.patch(path + "/cards", {"spec": {"hard": {"limits.nvidia.com/gpumem": "12000"}}})
        # kube-scheduler knows nothing of quotas of cards: it is for cardinald to make it ask again.
        began = time.monotonic()
        w.bound("second", seconds=10)
        w.notes.append("bound %.1f s after the quota was raised" % (time.monotonic() - began))
        w.running("second")
        w.pod("third", gpu(mem=1))
        w.refused("third")
        w.delete("third")


def slow_plugin(options):
    """One node, a slow plugin, many pods: all get their turn, one after the other."""
    with World(options, "slow-plugin") as w:
        w.nodes(make_node("node-a", cards=2, behaviour=Behaviour(before=0.3, between=0.2, release=0.1)))
        w.start()
        count = 8
        began = time.monotonic()
        for i in range(count):
            containers = [gpu("a", mem=1000, cores=5), gpu("b", mem=1000, cores=5)] if i % 2 else [gpu(mem=1000, cores=5)]
            w.pod("p-%d" % i, *containers)
        w.settled(count, seconds=120)
        w.notes.append("%d pods in %.1f s" % (count, time.monotonic() - began))


def dead_plugin(options):
    """A plugin dies while idle: allocatable falls to 0 and the node gets nothing until it is back; its pods stay."""
    with World(options, "dead-plugin") as w:
        w.nodes(make_node("node-a"))
        w.start()
        w.pod("first", gpu(mem=4000, cores=10))
        w.running("first")
        w.plugin.set_allocatable("node-a", 0)
        time.sleep(0.5)
        w.pod("second", gpu(mem=4000, cores=10))
        w.refused("second")
        w.stays_pending("second", 2)
        w.plugin.set_allocatable("node-a", 10)
        w.bound("second", seconds=10)
        w.running("second")
        expect(w.used("node-a", "GPU-node-a-0") == (2, 8000, 20), "used %s", w.used("node-a", "GPU-node-a-0"))


def sick_card(options):
    """A card turns unhealthy: nothing new goes there, what runs there stays in the books; it recovers."""
    with World(options, "sick-card") as w:
        w.nodes(make_node("node-a", cards=2))
        w.start("--gpu-scheduler-policy=spread")
        w.pod("first", gpu(mem=1000))
        w.running("first")
        card = w.allocated("first").split(",")[0]
        other = {"GPU-node-a-0": "GPU-node-a-1", "GPU-node-a-1": "GPU-node-a-0"}[card]
        w.plugin.set_health("node-a", other, False)
        w.wait(lambda: w.inventory()["node-a"][other].get("healthy") is False, 5, "unhealthy in /v1/nodes")
        for i in range(3):
            w.pod("p-%d" % i, gpu(mem=1000))
            w.running("p-%d" % i)
            expect(w.allocated("p-%d" % i).startswith(card + ","), "p-%d was put on the sick card: %s", i, w.allocated("p-%d" % i))
        w.pod("too-big", gpu(mem=24000))
        w.refused("too-big")
        w.plugin.set_health("node-a", other, True)
        w.running("too-big", seconds=10)
        expect(w.allocated("too-big").startswith(other + ","), "too-big got %s", w.allocated("too-big"))
