"""Stories of storms: everything is created at once, to the last share, and parts die every few seconds."""

import os
import signal
import threading
import time

import cluster
import protocol
from harness import Background, World, expect, gpu, make_node, pod_object
from stories_leader import Pair, until

MOST_CONFLICTS, MOST_WAKES = 0.01, 0.1      # of the binds

# nodes, cards a node, shares a card, pods: in continuous integration, and with --long.
EXACT = ((4, 8, 10, 320), (20, 8, 10, 1600))
ROOMY = ((4, 8, 10, 160), (20, 8, 10, 1000))
PAIRS = ((20, 1, 10, 200), (100, 1, 10, 1000))


def too_many_conflicts(binds):
    """What is wrong with {result: number} of binds, or None."""
    total = sum(binds.values())
    if not total:
        return "no bind was counted"
    share = binds.get("conflict", 0) / total
    return None if share <= MOST_CONFLICTS else "%d of %d binds ended in a conflict" % (binds["conflict"], total)


def too_many_wakes(wakes, binds):
    """What is wrong with so many touches for so many binds that worked, or None."""
    return None if wakes < MOST_WAKES * binds else "%d touches of waiting pods for %d binds" % (wakes, binds)


def not_bound(pods, names):
    """Pods that should be bound and are not, or are for the second time: [text]."""
    there = {p["metadata"]["name"]: p["spec"].get("nodeName") for p in pods}
    return ["%s is %s" % (n, "not bound" if n in there else "gone") for n in names if not there.get(n)]


def told(binds):
    return ", ".join("%s %d" % (r, n) for r, n in binds.items() if n)


def storm(options, name, sizes):
    """All pods at once under binpack, each node's binds through the turns of its lock."""
    nodes, cards, split, count = sizes[1 if options.long else 0]
    with World(options, name, rescan=5.0) as w:
        w.nodes(*[make_node("node-%02d" % i, cards=cards, split=split) for i in range(nodes)])
        w.start("--node-scheduler-policy=binpack", "--gpu-scheduler-policy=binpack")
        names = ["p-%04d" % i for i in range(count)]
        began = time.monotonic()
        w.create_all([pod_object(n, gpu(mem=2400, cores=10)) for n in names])
        created = time.monotonic() - began
        w.settled(count, seconds=360)
        spent = time.monotonic() - began
        binds, wakes = w.binds(), w.metric("cardinald_wakes_total")
        w.notes.append("%d pods on %d shares created in %.1f s, running after %.1f s (%.1f/s); binds %s; %d touches of waiting pods"
                       % (count, nodes * cards * split, created, spent, count / spent, told(binds), wakes))
        w.notes.append("cardinald %.2f ms of CPU a pod, at most %.0f MiB"
                       % (1000 * w.plane.cardinald.cpu_seconds() / count, w.plane.cardinald.rss_mib()[1]))
        wrong = not_bound(w.pods(), names) + protocol.bound_twice(w.plane.audit())
        wrong += [x for x in (too_many_conflicts(binds), too_many_wakes(wakes, binds.get("ok", 0))) if x]
        expect(not wrong, "%s", "\n  ".join(wrong[:8]))
        used = [d["shares"]["used"] for devices in w.inventory().values() for d in devices.values()]
        if count == nodes * cards * split:
            expect(set(used) == {split}, "cards that are not full: %s", used)
            w.pod("one-more", gpu(mem=1, cores=1))
            w.refused("one-more")
            w.delete("one-more")
        else:
            # Binpack: no share is taken on a new card while an old one has room, but where binds were under way at once.
            w.notes.append("%d of %d cards used, %d full" % (sum(1 for u in used if u), len(used), used.count(split)))


def storm_fill(options):
    """Pods created at once take a cluster to exactly the last share under binpack; with --long 1,600 on 20 nodes."""
    storm(options, "storm-fill", EXACT)


def storm_room(options):
    """The same on a cluster that has more room than they need; with --long 1,000 pods on 1,600 shares."""
    storm(options, "storm-room", ROOMY)


class Crew:
    """Two pairs, and the kubelet that starts again what has ended. What ended is asked for its figures before, if it can be."""

    def __init__(self, plane, *flags):
        self.pairs = [Pair(plane, name, *flags) for name in ("host-1", "host-10")]
        self.binds, self.wakes, self.repairs, self.late = {}, 0, 0, 0
        self.restarts = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name="crew", daemon=True)
        self._thread.start()

    def _keep_alive(self):
        while not self._stopped.wait(0.5):
            for pair in self.pairs:
                for part, start in ((pair.cardinald.process, pair.start_cardinald), (pair.scheduler, pair.start_scheduler)):
                    if part.ended():
                        self.restarts += 1
                        try:
                            start()
                        except cluster.StartError:      # the API server is away: again
                            pass

    def leader(self):
        """The pair that leads, once one does."""
        until("a pair leads", 60, lambda: any(p.cardinald.leads() for p in self.pairs))
        return next((p for p in self.pairs if p.cardinald.leads()), None) or self.leader()

    def count(self, replica):
        """Add what a process has counted, before it ends."""
        for result, n in replica.binds().items():
            self.binds[result] = self.binds.get(result, 0) + n
        self.wakes += replica.metric("cardinald_wakes_total") or 0
        self.repairs += replica.metric("cardinald_ledger_repairs_total") or 0
        self.late += replica.metric("cardinald_writes_late_total") or 0

    def end(self):
        """SIGTERM for all; [what did not end well]."""
        self._stopped.set()
        self._thread.join(60)
        wrong = []
        for pair in self.pairs:
            pair.scheduler.kill()
            self.count(pair.cardinald)
            took = pair.cardinald.process.stop()
            if pair.cardinald.process.code != 0:
                wrong.append("cardinald of %s ended with %s after SIGTERM (%.1f s)" % (pair.name, pair.cardinald.process.code, took))
        return wrong


def kill_cardinald(w, crew):
    """kill -9 of the leading pair's cardinald."""
    leader = crew.leader().cardinald
    crew.count(leader)
    leader.process.kill()


def kill_scheduler(w, crew):
    """kill -9 of the leading pair's kube-scheduler."""
    crew.leader().scheduler.kill()


def stop_pair(w, crew):
    """The leading pair stands still beyond its deadline, until the other leads, and goes on."""
    leader = crew.leader()
    other = next(p for p in crew.pairs if p is not leader)
    both = (leader.scheduler.pid, leader.cardinald.process.pid)
    for pid in both:
        os.kill(pid, signal.SIGSTOP)
    try:
        until("the other pair leads", 30, other.cardinald.leads)
    finally:
        for pid in both:
            os.kill(pid, signal.SIGCONT)


def pause_cardinald(w, crew):
    """cardinald alone stands still for three seconds, and its kube-scheduler goes on leading."""
    pid = crew.leader().cardinald.process.pid
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3)
    os.kill(pid, signal.SIGCONT)


def restart_api(w, crew):
    """kill -9 of the API server that all of them use; it is back after a second."""
    w.plane.restart_apiserver(away=1.0)


BLOWS = (kill_cardinald, restart_api, stop_pair, kill_scheduler, pause_cardinald)
APART = 2.0         # seconds between two blows, at least


def strike(w, crew, count, blows):
    """One blow after the other while pods are bound: each when a further part of them is."""
    for i, blow in enumerate(blows):
        mark = count * (i + 1) // (len(blows) + 2)
        w.wait(lambda m=mark: w.count_bound() >= m, 120, lambda m=mark: "%d pods bound, there are %d" % (m, w.count_bound()))
        blow(w, crew)
        time.sleep(APART)


def storm_pairs(options):
    """Two pairs place pods created at once to the last share while parts of them and the API server die or stand still; with --long 1,000 on 100 nodes."""
    nodes, cards, split, count = PAIRS[1 if options.long else 0]
    with World(options, "storm-pairs", rescan=5.0, check_ledger=False, witness=True) as w:
        w.nodes(*[make_node("node-%03d" % i, cards=cards, split=split) for i in range(nodes)])
        crew = Crew(w.plane, "--node-scheduler-policy=spread", "-v=%d" % options.verbosity)
        crew.leader()
        names = ["p-%04d" % i for i in range(count)]
        blows = BLOWS * (2 if options.long else 1)
        began = time.monotonic()
        with Background(lambda: w.create_all([pod_object(n, gpu(mem=2400, cores=10)) for n in names])):
            strike(w, crew, count, blows)
        struck = time.monotonic() - began
        w.settled(count, seconds=200)
        spent = time.monotonic() - began
        w.plane.ports.update(crew.leader().cardinald.ports)
        w.check_ledger(15)
        wrong = not_bound(w.pods(), names) + protocol.bound_twice(w.plane.audit()) + crew.end()
        w.notes.append("%d blows in %.0f s, %d pods running after %.1f s, %d restarts; of what could still be asked: binds %s; %d touches, %d late writes"
                       % (len(blows), struck, count, spent, crew.restarts, told(crew.binds), crew.wakes, crew.late))
        wrong += [x for x in (too_many_wakes(crew.wakes, count), "%d repairs" % crew.repairs if crew.repairs else None) if x]
        expect(not wrong, "%s", "\n  ".join(wrong[:8]))
