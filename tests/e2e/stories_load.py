"""Stories about many pods at once: clusters filled to the brim, storms, and quiet."""

import itertools
import random
import threading
import time

import kube
import reader
from harness import Background, Failure, World, expect, gpu, make_node, pod_object


def fill(options):
    """4 nodes x 8 cards x 10 shares, filled under spread by 320 pods created at once, to exactly the last share."""
    with World(options, "fill", rescan=5.0) as w:
        nodes, cards, split = 4, 8, 10
        w.nodes(*[make_node("node-%d" % i, cards=cards, split=split) for i in range(nodes)])
        w.start("--node-scheduler-policy=spread", "--gpu-scheduler-policy=spread")
        rng = random.Random(1)
        count = nodes * cards * split
        # Any ten of these fit on one card, so the slots bind and every order fills.
        pods = [pod_object("p-%03d" % i, gpu(mem=rng.randint(200, 2457), cores=rng.randint(1, 10))) for i in range(count)]
        began = time.monotonic()
        w.create_all(pods)
        created = time.monotonic() - began
        w.settled(count, seconds=240)
        spent = time.monotonic() - began
        w.notes.append("%d pods created in %.1f s, running after %.1f s (%.1f/s)" % (count, created, spent, count / spent))
        inventory = w.inventory()
        for name, devices in inventory.items():
            for uuid, device in devices.items():
                expect(device["shares"]["used"] == split, "card %s on %s: %s of %d shares", uuid, name, device["shares"]["used"], split)
        w.pod("one-more", gpu(mem=1, cores=1))
        message = w.refused("one-more")
        expect("CardTimeSlicingExhausted" in message, "the refusal should name the slots: %s", message)
        w.delete("one-more")
        plane = w.plane
        w.notes.append("binds %s" % w.bind_results())
        w.notes.append("cardinald at most %.0f MiB; CPU: API server %.1f s, kube-scheduler %.1f s, cardinald %.1f s"
                       % (plane.cardinald.rss_mib()[1], plane.apiserver.cpu_seconds(), plane.scheduler.cpu_seconds(),
                          plane.cardinald.cpu_seconds()))


SHAPES = ((1024, 4), (2048, 6), (3072, 10), (4096, 15), (6144, 22), (8192, 30), (12288, 45))
WEIGHTS = (1, 2, 2, 2, 2, 2, 2)


def best_card(shapes, memory, cores, shares):
    """The most memory that any set of shapes can take of one card: a bound for every packing, found exhaustively."""
    reached = {(0, 0, 0)}               # (memory, cores, shares) of every distinct multiset that fits
    best, frontier = 0, set(reached)
    while frontier:
        grown = set()
        for (m, c, n), (dm, dc) in itertools.product(frontier, shapes):
            state = (m + dm, c + dc, n + 1)
            if state[0] <= memory and state[1] <= cores and state[2] <= shares and state not in reached:
                grown.add(state)
                best = max(best, state[0])
        reached |= grown
        frontier = grown
    return best


def mixed_pods(seed, capacity, factor=1.2):
    """Sizes drawn at random until they ask for more than there is."""
    rng, out, asked = random.Random(seed), [], 0
    while asked < factor * capacity:
        shape = rng.choices(SHAPES, WEIGHTS)[0]
        out.append(shape)
        asked += shape[0]
    return out


def fill_mixed(options):
    """The same cluster filled with mixed sizes, more than fit: what is placed is within 3 % of an offline bound."""
    with World(options, "fill-mixed", rescan=5.0) as w:
        nodes, cards, split, memory = 4, 8, 10, 24576
        w.nodes(*[make_node("node-%d" % i, cards=cards, split=split, memory=memory) for i in range(nodes)])
        w.start("--node-scheduler-policy=spread", "--gpu-scheduler-policy=binpack")
        shapes = mixed_pods(7, nodes * cards * memory)
        bound = min(sum(m for m, _ in shapes), nodes * cards * best_card(SHAPES, memory, 100, split))
        began = time.monotonic()
        w.create_all([pod_object("p-%03d" % i, gpu(mem=m, cores=c)) for i, (m, c) in enumerate(shapes)])

        def decided():
            """Every pod runs or was refused, and nothing has moved for a while."""
            return sum(1 for p in w.pods() if p["status"].get("phase") == "Running" or unschedulable(p)) == len(shapes)
        w.wait(decided, 240, lambda: "%d pods decided; %d run" % (len(shapes), w.count_running()))
        # At rest, nobody waits who would fit: what was held for others has been used or given up by then.
        last, still = -1, time.monotonic()
        while time.monotonic() - still < 4 or _waits_in_vain(w):
            now = w.count_bound()
            if now != last:
                last, still = now, time.monotonic()
            expect(time.monotonic() - still < 30, "nothing moves for 30 s, and yet these fit: %s", ", ".join(_waits_in_vain(w)[:5]))
            expect(time.monotonic() - began < 300, "still moving after 300 s")
            time.sleep(0.2)
        placed = sum(reader.quantity(p["spec"]["containers"][0], reader.GPUMEM) for p in w.pods() if p["spec"].get("nodeName"))
        share = placed / bound
        w.notes.append("%d of %d pods in %.1f s, %.2f %% of the offline bound" % (last, len(shapes), still - began, 100 * share))
        expect(share <= 1, "more than the bound is placed: the bound is wrong")
        expect(share >= 0.97, "%.2f %% of the offline bound (%d of %d MiB)", 100 * share, placed, bound)
        for pod in w.pods():
            if not pod["spec"].get("nodeName"):
                w.delete(pod["metadata"]["name"])


def _waits_in_vain(w):
    """Pods without a node that some card has room for, by the API objects alone."""
    pods = w.pods()
    cards = [c for cards in reader.ledger(pods, w.recorder.objects("node")).values() for c in cards.values()]
    out = []
    for pod in pods:
        if not pod["spec"].get("nodeName"):
            container = pod["spec"]["containers"][0]
            ask = (1, reader.quantity(container, reader.GPUMEM), reader.quantity(container, reader.GPUCORES))
            if any(all(u + a <= t for u, a, t in zip(c["used"], ask, c["total"])) for c in cards):
                out.append(pod["metadata"]["name"])
    return out


def unschedulable(pod):
    return any(c["type"] == "PodScheduled" and c["status"] == "False" and c.get("reason") == "Unschedulable"
               for c in pod["status"].get("conditions") or [])


def freed_room(options):
    """A waiting pod takes room within 10 s after it is freed: by a pod that ended, and by one that was deleted."""
    with World(options, "freed-room") as w:
        w.nodes(make_node("node-a"))
        w.start()
        w.pod("first", gpu(mem=20000, cores=60))
        w.running("first")
        for how, name, before in (("ended", "second", "first"), ("deleted", "third", "second")):
            w.pod(name, gpu(mem=20000, cores=60))
            w.refused(name)
            if how == "ended":
                w.end(before)
            else:
                w.delete(before)
            began = time.monotonic()
            w.bound(name, seconds=10)
            w.notes.append("%s: %.2f s" % (how, time.monotonic() - began))
            w.running(name)


def crash(options):
    """cardinald is killed and started again, twice, in the middle of a storm; nothing is lost, nothing given twice."""
    with World(options, "crash", rescan=3.0) as w:
        nodes, cards, split = 4, 4, 10
        count = nodes * cards * split
        w.nodes(*[make_node("node-%d" % i, cards=cards, split=split) for i in range(nodes)])
        w.start("--node-scheduler-policy=spread")
        rng = random.Random(3)
        pods = [pod_object("p-%03d" % i, gpu(mem=rng.randint(200, 2457), cores=rng.randint(1, 10))) for i in range(count)]
        began = time.monotonic()

        def kill_at(bound):
            w.wait(lambda: w.count_bound() >= bound, 120, lambda: "%d pods bound, there are %d" % (bound, w.count_bound()))
            w.plane.cardinald.kill()
            time.sleep(0.5)
            w.plane.start_cardinald("--node-scheduler-policy=spread")
        with Background(lambda: w.create_all(pods)):
            kill_at(count // 4)
            kill_at(count // 2)
        w.settled(count, seconds=240)
        w.notes.append("%d pods running after %.1f s" % (count, time.monotonic() - began))
        w.check_ledger()
        # A process that has seen nothing of this must come to the same books.
        w.plane.cardinald.kill()
        w.plane.start_cardinald("--node-scheduler-policy=spread")
        differences = w.ledger_differences()
        expect(not differences, "ledger right after ready: %s", "\n  ".join(differences[:8]))
        held = [u for d in w.inventory().values() for u, x in d.items() if x["shares"]["held"]]
        expect(not held, "held although nobody waits: %s", held)


def two_schedulers(options):
    """A second scheduler calls filter and bind from several threads beside kube-scheduler; no share is given twice."""
    with World(options, "two-schedulers") as w:
        nodes, cards, split = 2, 3, 10
        count = nodes * cards * split
        names = ["node-%d" % i for i in range(nodes)]
        w.nodes(*[make_node(n, cards=cards, split=split) for n in names])
        w.start()
        ask = dict(mem=1000, cores=5)          # the shares bind
        theirs = [pod_object("k-%02d" % i, gpu(**ask)) for i in range(count * 2 // 3)]
        ours = w.create_all([pod_object("x-%02d" % i, gpu(**ask), scheduler="second") for i in range(count * 2 // 3)])
        queue, lock, full = list(ours), threading.Lock(), threading.Event()

        def second(seed):
            """A naive scheduler: take a pod, filter, bind to any listed node; what fails goes back to the queue."""
            rng = random.Random(seed)
            while not full.is_set():
                with lock:
                    if not queue:
                        return
                    pod = queue.pop(0)
                listed, _ = w.filter(pod, names)
                # Now and then it filters and never binds: that must not cost a share for ever.
                if not listed or rng.random() < 0.1 or w.bind(pod, rng.choice(listed)):
                    with lock:
                        queue.append(pod)
                    full.wait(0.05)

        def until_full():
            """All shares are taken, by whomever."""
            try:
                w.wait(lambda: w.count_bound() >= count, 150, lambda: "%d pods bound, there are %d" % (count, w.count_bound()))
            finally:
                full.set()
        with Background(*[lambda s=s: second(s) for s in range(4)], lambda: w.create_all(theirs)):
            until_full()
        w.settled(count, seconds=60)
        by = [sum(1 for p in w.pods() if p["spec"].get("nodeName") and p["metadata"]["name"].startswith(c)) for c in "kx"]
        w.notes.append("%d by kube-scheduler, %d by the other" % tuple(by))
        expect(min(by) > 0, "one scheduler got nothing: %s", by)
        for pod in w.pods():
            if not pod["spec"].get("nodeName"):
                w.delete(pod["metadata"]["name"])


def sample(options):
    """One node of 300 has cards, and kube-scheduler asks about a part of them at a time: the pods get there at once."""
    with World(options, "sample") as w:
        w.nodes(*[make_node("plain-%03d" % i, cards=0) for i in range(299)], make_node("cards", cards=2))
        w.start()
        count = 6
        began = time.monotonic()
        w.create_all([pod_object("p-%d" % i, gpu(mem=1000, cores=5)) for i in range(count)])
        w.settled(count, seconds=40)
        w.notes.append("%d pods in %.1f s, %d filter calls" % (count, time.monotonic() - began, w.verb_count("filter")))


QUIET_SECONDS, QUIET_SECONDS_DEFAULT = 60, 20
MOST_FILTERS, MOST_PATCHES = 10, 3


def quiet(options):
    """300 nodes and one pod that fits nowhere: at most 10 filter calls and 3 status patches in 60 idle seconds."""
    with World(options, "quiet") as w:
        nodes = [make_node("a10-%03d" % i) if i % 2 else make_node("t4-%03d" % i, model="NVIDIA T4", memory=16384)
                 for i in range(299)]
        nodes.append(make_node("tainted", taints=[{"key": "out", "value": "yes", "effect": "NoSchedule"}]))
        w.nodes(*nodes)
        for percentage, seconds in ((100, QUIET_SECONDS), (None, QUIET_SECONDS_DEFAULT)):
            if w.plane.cardinald is None:
                w.start(percentage=percentage)
            else:
                w.plane.scheduler.kill()
                w.plane.start_scheduler(percentage=percentage)
            name = "nowhere-%s" % (percentage or "default")
            w.pod(name, gpu(mem=30000), notes={"nvidia.com/use-gputype": "A10"})
            message = w.refused(name, seconds=40)
            filters, patches = _count_idle(w, name, seconds)
            w.notes.append("percentage %s: %d filter calls, %d status patches in %d s" % (percentage or "default", filters, patches, seconds))
            if percentage:
                expect(filters <= MOST_FILTERS, "%d filter calls in %d idle seconds; the refusal: %s", filters, seconds, message)
                expect(patches <= MOST_PATCHES, "%d status patches in %d idle seconds; the refusal: %s", patches, seconds, message)
            w.delete(name)
        w.notes.append("cardinald %.0f MiB" % w.plane.cardinald.rss_mib()[0])


def _count_idle(w, name, seconds):
    """(filter calls, writes to the pod) while nothing happens but one touch of one node, which re-queues the pod."""
    def patches():
        return sum(1 for e in w.plane.audit()
                   if (e.get("objectRef") or {}).get("name") == name and e["verb"] in ("patch", "update"))
    filters, writes = w.verb_count("filter"), patches()
    w.api.patch(kube.node_path("a10-001"), {"metadata": {"annotations": {"touched": str(time.time())}}})
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        time.sleep(0.5)
        spent = w.verb_count("filter") - filters
        if spent > 2000:
            raise Failure("%d filter calls: a loop that never ends" % spent)
    return w.verb_count("filter") - filters, patches() - writes
