"""Fake device plugins of all makers with the kubelet around them, for any number of nodes in one process.

Written from contract node-side.md (4, 5, 6 and the recipe in 14) alone: the same verbs in the same order against the
real API server; what the makers' plugins register and read is in makers.py. It is an actor, not a judge of histories
(protocol.py), but what a real plugin would stumble over is recorded as a violation at the moment it is met: no lock, a
lock that names another pod, slots that are not those of the container kubelet asks about, annotations that don't say
what the list says.

Misbehaviour is chosen per node (Behaviour): slow, dying, refusing, or leaving locks behind.
"""

import collections
import itertools
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import kube
import makers
from makers import Card, decode, encode  # noqa: F401  (Card is what stories build nodes of)

COUNT = "nvidia.com/gpu"
LOCK = makers.SHARED_LOCK
REGISTER = "hami.io/node-nvidia-register"
TO_ALLOCATE = makers.NVIDIA.waiting
BIND_TIME = "hami.io/bind-time"
BIND_PHASE = "hami.io/bind-phase"
NODE_KEY = "hami.io/vgpu-node"

# A pod ends by itself this many seconds after it runs; read from the pod, so that storms need no bookkeeping.
RUN_SECONDS = "e2e.cardinal/run-seconds"


class AllocateError(Exception):
    """Allocate answers kubelet with an error; the pod is rejected for good."""


class Behaviour:
    """How one node's plugin misbehaves. Times in seconds.

    before   between Binding and the first Allocate        between  between the calls of one pod
    release  between `success` and the release of the lock
    die      "before-allocate" or "before-release": for the first `times` pods, then well again
    refuse   Allocate fails after the pod was found: bind-phase failed, lock released; also counted by `times`
    """

    def __init__(self, before=0.0, between=0.0, release=0.0, die=None, refuse=False, times=1 << 30):
        self.before = before
        self.between = between
        self.release = release
        self.die = die
        self.refuse = refuse
        self.times = times

    def strikes(self):
        """Does it misbehave this time? Called once a pod."""
        if (self.die or self.refuse) and self.times > 0:
            self.times -= 1
            return True
        return False


class Node:
    """One node's kubelet and plugin. Everything in it is touched by one worker at a time (FakePlugin._busy)."""

    def __init__(self, name, cards, split=10, behaviour=None, labels=None, taints=None, cpu="64", memory="256Gi", pods=250,
                 sets=(), notes=None):
        """`cards` are NVIDIA's; `sets`: [(maker's name, cards)] of others; `notes`: further annotations of the node."""
        self.name = name
        self.cards = cards
        self.sets = ([(makers.NVIDIA, cards)] if cards else []) + [(makers.MAKERS[m], c) for m, c in sets]
        self.split = split
        self.behaviour = behaviour or Behaviour()
        self.labels = labels or {}
        self.taints = taints or []
        self.notes = notes or {}
        self.cpu, self.memory, self.pods = cpu, memory, pods
        self.present = False
        self.tasks = collections.deque()
        self.admitted = {}              # uid -> {resource: amount} that kubelet gave
        self.last_register = {}         # annotation -> the text last written
        self.rng = random.Random(name)

    def register(self):
        """What the plugins write about their cards."""
        notes = dict(self.notes)
        for maker, cards in self.sets:
            notes.update(maker.write(cards, self.split, self.rng))
        return notes

    def reports(self):
        """What the plugins that answer a handshake write each time."""
        return {m.handshake: time.strftime("Reported_%Y.%m.%d %H:%M:%S") for m, _ in self.sets if m.handshake}

    def devices(self):
        return sum(c.count(self.split) for c in self.cards if c.healthy)

    def offers(self):
        """Amounts of extended resources in the node's status."""
        out = {}
        for maker, cards in self.sets:
            out.update(maker.offers(cards, self.split))
        return out

    def capacity(self):
        amounts = {"cpu": self.cpu, "memory": self.memory, "pods": str(self.pods), "ephemeral-storage": "100Gi"}
        amounts.update((k, str(v)) for k, v in self.offers().items())
        return amounts

    def object(self):
        status = {"capacity": self.capacity(), "allocatable": self.capacity(),
                  "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady",
                                  "lastHeartbeatTime": now_text(), "lastTransitionTime": now_text()}],
                  "nodeInfo": {k: "" for k in ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage",
                                               "containerRuntimeVersion", "kubeletVersion", "kubeProxyVersion",
                                               "operatingSystem", "architecture")}}
        labels = {"kubernetes.io/hostname": self.name, "kubernetes.io/os": "linux", **self.labels}
        if self.cards:
            labels["gpu"] = "on"
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self.name, "labels": labels},
                "spec": {"taints": self.taints} if self.taints else {}, "status": status}


class FakePlugin:
    """All nodes of one cluster. `start()` after the first nodes are added; `stop()` ends all threads."""

    WORKERS = 24

    def __init__(self, api, rescan=0.0):
        self._api = api
        self._rescan = rescan
        self._lock = threading.Lock()       # guards nodes, _busy, tasks of a Node, own_writes, violations, counts
        self.nodes = {}
        self.others = set()                 # namespaces whose pods another kubelet runs
        self._busy = set()
        self._pool = ThreadPoolExecutor(self.WORKERS, thread_name_prefix="node")
        self._watch = None
        self._threads = []
        self._stopped = threading.Event()
        self._timers = []
        self._known = {}                    # pod uid -> what we did with it
        self._unlocked = set()              # names of pods for which a lock was released
        self.own_writes = set()
        self.violations = []
        self.counts = collections.Counter()

    # -- nodes ------------------------------------------------------------------------------------------------

    def add_nodes(self, nodes):
        """Create Node objects and register their cards, several at a time."""
        with self._lock:
            for node in nodes:
                self.nodes[node.name] = node
        list(self._pool.map(self._create_node, nodes))

    def _create_node(self, node):
        self._api.create("/api/v1/nodes", node.object())
        node.last_register = node.register()
        notes = {**node.last_register, **node.reports()}
        if notes:
            self._api.patch(kube.node_path(node.name), {"metadata": {"annotations": notes}})
        node.present = True

    def remove_node(self, name):
        """The Node object goes; its pods stay, as when a machine is taken out by hand."""
        self.nodes[name].present = False
        self._api.delete(kube.node_path(name))

    def bring_back(self, name):
        self._create_node(self.nodes[name])

    def set_health(self, name, uuid, healthy):
        """A card's health changes: the registration and allocatable follow, in the order of the real thing."""
        node = self.nodes[name]
        for _, cards in node.sets:
            for card in cards:
                if card.uuid == uuid:
                    card.healthy = healthy
        amounts = {r: str(n) for r, n in node.offers().items()}
        self._api.patch(kube.node_path(name, "status"), {"status": {"capacity": amounts, "allocatable": amounts}})
        self.rescan(name)

    def set_allocatable(self, name, count):
        """Kubelet's next status update: as many device ids as are healthy, 0 once the plugin's socket is gone."""
        self._api.patch(kube.node_path(name, "status"), {"status": {"capacity": {COUNT: str(count)},
                                                                    "allocatable": {COUNT: str(count)}}})

    def rescan(self, name):
        """What real plugins do every 30 s: write a list if its text differs from the process's own last one, and report."""
        node = self.nodes[name]
        texts = node.register()
        changed = {k: v for k, v in texts.items() if v != node.last_register.get(k)}
        if node.present and (changed or node.reports()):
            node.last_register = texts
            self._api.patch(kube.node_path(name), {"metadata": {"annotations": {**changed, **node.reports()}}})

    def plant_lock(self, name, value):
        """Leave a lock behind, as something that died would have."""
        self._api.patch(kube.node_path(name), {"metadata": {"annotations": {LOCK: value}}})

    # -- the kubelet ------------------------------------------------------------------------------------------

    def start(self):
        self._watch = self._api.watch("/api/v1/pods", fieldSelector="spec.nodeName!=")
        for pod in self._watch.list():
            self._seen("ADDED", pod)
        self._thread(self._run_watch)
        if self._rescan:
            self._thread(self._run_rescan)
        return self

    def may_relist(self):
        """See reader.Recorder.may_relist."""
        self._watch.may_relist = True

    def stop(self):
        self._stopped.set()
        if self._watch is not None:
            self._watch.stop()
        with self._lock:
            timers = list(self._timers)
        for timer in timers:
            timer.cancel()
        for thread in self._threads:
            thread.join(5)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def idle(self):
        """Nothing is queued and nobody works."""
        with self._lock:
            return not self._busy and not any(n.tasks for n in self.nodes.values())

    def _thread(self, run):
        thread = threading.Thread(target=run, name="plugin", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _run_watch(self):
        try:
            for kind, pod in self._watch.events():
                self._seen(kind, pod)
        except Exception as e:   # noqa: BLE001  (a plugin that stopped working must not look like a quiet one)
            self.violate("the fake plugin's watch broke: %r" % e)

    def _run_rescan(self):
        while not self._stopped.wait(self._rescan):
            for name in list(self.nodes):
                try:
                    self.rescan(name)
                except kube.ApiError:
                    pass

    def _seen(self, kind, pod):
        uid, phase = pod["metadata"]["uid"], (pod.get("status") or {}).get("phase")
        if pod["metadata"]["namespace"] in self.others:
            return
        node = self.nodes.get(pod["spec"]["nodeName"])
        if node is None:
            self.violate("%s was bound to a node that is not there: %s" % (kube.key_of(pod), pod["spec"]["nodeName"]))
            return
        if kind == "DELETED":
            with self._lock:
                node.admitted.pop(uid, None)
            return
        did = self._known.get(uid)
        if pod["metadata"].get("deletionTimestamp"):
            if did != "killed":
                self._known[uid] = "killed"
                self._enqueue(node, self._kill, pod)
        elif did is None and phase == "Pending":
            self._known[uid] = "admitted"
            self._enqueue(node, self._admit, pod)

    def _enqueue(self, node, task, pod):
        with self._lock:
            node.tasks.append((task, pod))
            if node.name in self._busy or self._stopped.is_set():
                return
            self._busy.add(node.name)
        self._submit(node)

    def _submit(self, node):
        try:
            self._pool.submit(self._work, node)
        except RuntimeError:            # the pool is being shut down
            pass

    def _work(self, node):
        """One task of one node, then to the back of the queue: kubelet is serial, nodes are not."""
        with self._lock:
            task, pod = node.tasks.popleft()
        try:
            task(node, pod)
        except (kube.ApiError, OSError) as e:
            if not self._stopped.is_set():
                self.violate("%s on %s: %s" % (kube.key_of(pod), node.name, e))
        with self._lock:
            if not node.tasks or self._stopped.is_set():
                self._busy.discard(node.name)
                return
        self._submit(node)

    def _admit(self, node, pod):
        """Admission: devices of init containers in order, then of app containers; then the pod runs."""
        name = kube.key_of(pod)
        need = {r: n for r in node.offers() for n in [count_needed(pod, r)] if n}
        if need:
            with self._lock:
                given = {r: sum(a.get(r, 0) for a in node.admitted.values()) for r in need}
                node.admitted[pod["metadata"]["uid"]] = need
            short = next((r for r, n in need.items() if given[r] + n > node.offers()[r]), None)
            if short:
                self.violate("%s: kubelet of %s has %d device ids of %s left, %d wanted"
                             % (name, node.name, node.offers()[short] - given[short], short, need[short]))
                self._reject(node, pod, "OutOf" + short, "Node didn't have enough resource")
                return
        ids = itertools.count()
        strikes = node.behaviour.strikes() if need else False
        self._pause(node.behaviour.before if need else 0)
        try:
            first, read = True, set()
            for container in containers(pod):
                for maker, cards in node.sets:
                    call = maker.call(container)
                    if not call:
                        continue
                    if not first:
                        self._pause(node.behaviour.between)
                    if maker not in read:
                        read.add(maker)
                        self._read(node, pod, maker, cards)
                    first = False
                    if maker.habit == "list":
                        # Kubelet picks any free ids; it does not know the scheduler's choice.
                        fresh = ["%s-%d" % (node.rng.choice(cards).uuid, next(ids)) for _ in range(call[1])]
                        self._allocate(node, pod, container, maker, cards, fresh, strikes)
                    elif maker.habit == "mark":
                        self._mark(node, pod, maker)
        except AllocateError as e:
            if not strikes:
                self.violate("%s on %s: Allocate failed: %s" % (name, node.name, e))
            self._reject(node, pod, "UnexpectedAdmissionError", "Allocate failed due to %s, which is unexpected" % e)
            return
        self.counts["admitted"] += 1
        self._status(pod, "Running")
        seconds = kube.annotations(pod).get(RUN_SECONDS)
        if seconds is not None:
            self._later(float(seconds), node, pod)

    def _later(self, seconds, node, pod):
        timer = threading.Timer(seconds, self._enqueue, (node, self._finish, pod))
        timer.daemon = True
        with self._lock:
            self._timers.append(timer)
        timer.start()

    def end_pod(self, pod, phase="Succeeded"):
        """The containers of a running pod end; the object stays."""
        node = self.nodes[pod["spec"]["nodeName"]]
        self._enqueue(node, self._finish if phase == "Succeeded" else self._crash, pod)

    def _finish(self, node, pod):
        self._end(node, pod, "Succeeded")

    def _crash(self, node, pod):
        self._end(node, pod, "Failed")

    def _end(self, node, pod, phase):
        try:
            self._status(pod, phase)
        except kube.ApiError as e:
            if e.code != 404:
                raise
        with self._lock:
            node.admitted.pop(pod["metadata"]["uid"], None)

    def _kill(self, node, pod):
        """A deleted pod: containers stop, the status says so, then the object goes."""
        if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            self._end(node, pod, "Succeeded")
        try:
            self._api.delete(kube.pod_path(pod["metadata"]["namespace"], pod["metadata"]["name"]), grace=0,
                             uid=pod["metadata"]["uid"])
        except kube.ApiError as e:
            if e.code not in (404, 409):
                raise

    def _reject(self, node, pod, reason, message):
        self.counts["rejected"] += 1
        self._patch_pod(pod, {"status": {"phase": "Failed", "reason": reason, "message": message}}, "status")
        with self._lock:
            node.admitted.pop(pod["metadata"]["uid"], None)

    def _status(self, pod, phase):
        """The status patch of a kubelet: phase, conditions and container statuses."""
        running = {"running": {"startedAt": now_text()}}
        done = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now_text(), "finishedAt": now_text()}}

        def status(container, state):
            return {"name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0,
                    "ready": state is running, "started": state is running, "state": state}
        stays = running if phase == "Running" else done
        ready = "True" if phase == "Running" else "False"
        self._patch_pod(pod, {"status": {
            "phase": phase,
            "conditions": [{"type": t, "status": ready, "lastTransitionTime": now_text()}
                           for t in ("Ready", "ContainersReady")],
            "initContainerStatuses": [status(c, stays if c.get("restartPolicy") == "Always" else done)
                                      for c in pod["spec"].get("initContainers") or []],
            "containerStatuses": [status(c, stays) for c in pod["spec"]["containers"]]}}, "status", kube.STRATEGIC)

    # -- the plugin -------------------------------------------------------------------------------------------

    def _read(self, node, kubelets_pod, maker, cards):
        """What of the pod's annotations a plugin would misread, or not understand."""
        notes = kube.annotations(kubelets_pod)
        name = kube.key_of(kubelets_pod)
        text = notes.get(maker.allocated)
        if text is None:
            self.violate("%s on %s: no %s" % (name, node.name, maker.allocated))
            return
        try:
            slots = decode(text)
        except ValueError as e:
            self.violate("%s on %s: %s: %s" % (name, node.name, maker.allocated, e))
            return
        soft = notes.get("huawei.com/vnpu-mode") == "hami-core"
        wrong = [w for slot in slots for d in slot for w in maker.entry_problems(d, cards, soft)]
        slots = slots[:len(containers(kubelets_pod))]
        if maker.reads and not wrong:
            wrong = maker.reads(maker, kubelets_pod, slots, cards, node.name)
        for what in wrong:
            self.violate("%s on %s: %s" % (name, node.name, what))

    def _mark(self, node, pod, maker):
        """A plugin that finds its pod by an annotation that says "false", and has a lock of its own or none."""
        name = kube.key_of(pod)
        again = self._get_pod(pod)
        if kube.annotations(again).get(maker.mark) == "false":
            self._patch_pod(pod, {"metadata": {"annotations": {maker.mark: "true"}}})
        if maker.lock:
            value = kube.annotations(self._api.get(kube.node_path(node.name))).get(maker.lock)
            if value is None and name not in self._unlocked:
                self.violate("Allocate for %s on %s without the lock %s" % (name, node.name, maker.lock))
            self._unlocked.add(name)
            if value is not None:
                self._api.patch(kube.node_path(node.name), {"metadata": {"annotations": {maker.lock: None}}})

    def _allocate(self, node, kubelets_pod, container, maker, cards, ids, strikes):
        """node-side.md 5, steps 1 to 9. `kubelets_pod` and `container` are what kubelet knows and the plugin does not:
        they serve to find out that the plugin was led to another pod or another container."""
        misbehaviour = node.behaviour
        name = kube.key_of(kubelets_pod)
        if strikes and misbehaviour.die == "before-allocate":
            raise AllocateError("rpc error: connection closed")
        pod = self._find_pod(node, kubelets_pod)
        if pod["metadata"]["uid"] != kubelets_pod["metadata"]["uid"]:
            self.violate("Allocate for %s on %s was led to %s" % (name, node.name, kube.key_of(pod)))
        if strikes and misbehaviour.refuse:
            self._fail(node, pod)
            raise AllocateError("refused")
        try:
            slots = makers.decode_all(kube.annotations(pod), maker.waiting)
        except ValueError as e:
            self._fail(node, pod)
            raise AllocateError(str(e)) from e
        index = next((i for i, s in enumerate(slots) if s), None)
        everyone = containers(pod)
        if index is None or index >= len(everyone):
            self._fail(node, pod)
            raise AllocateError("no device request found")
        if everyone[index]["name"] != container["name"]:
            self.violate("%s: the next slot (%d) is container %s's, kubelet asks for %s"
                         % (name, index, everyone[index]["name"], container["name"]))
        if len(slots[index]) != len(ids):
            self.violate("%s: %d devices in slot %d, kubelet gave %d ids" % (name, len(slots[index]), index, len(ids)))
            self._fail(node, pod)
            raise AllocateError("device number not matched")
        try:
            self._make_slices(pod, index, cards, slots[index])
            slots[index] = []
            self._patch_pod(pod, {"metadata": {"annotations": {maker.waiting: encode(slots)}}})
        except kube.ApiError as e:
            self._fail(node, pod)
            raise AllocateError(str(e)) from e
        if strikes and misbehaviour.die == "before-release":
            raise AllocateError("rpc error: connection closed")
        self._finish_allocate(node, pod, maker)

    def _make_slices(self, pod, index, cards, slot):
        """node-side.md 6 F: the slices of one container are made, and their ids are written under the version first read."""
        known = makers.by_uuid(cards)
        if not any(d[0] in known and known[d[0]].mode == "mig" for d in slot):
            return
        entries = makers.mig_entries(kube.annotations(pod).get(makers.MIG, "[]"))
        for number, e in enumerate(entries):
            if e["containerIndex"] == index:
                e.update(migUUID="MIG-%s-%d" % (pod["metadata"]["uid"], number), gpuInstanceID=number, computeInstanceID=0)
        self._patch_pod(pod, {"metadata": {"resourceVersion": pod["metadata"]["resourceVersion"],
                                           "annotations": {makers.MIG: makers.compact(entries)}}})

    def _find_pod(self, node, kubelets_pod):
        """node-side.md 2.5: by the lock, unconditionally; without one by a search that may be wrong."""
        try:
            notes = kube.annotations(self._api.get(kube.node_path(node.name)))
        except kube.ApiError as e:
            raise AllocateError(str(e)) from e
        lock = notes.get(LOCK)
        if lock is not None and "," in lock:
            parts = lock.split(",")
            if len(parts) != 3:
                self.violate("Allocate on %s met an unreadable lock %r" % (node.name, lock))
                raise AllocateError("malformed lock")
            try:
                return self._api.get(kube.pod_path(parts[1], parts[2]))
            except kube.ApiError as e:
                self.violate("the lock of %s names %s/%s: %s" % (node.name, parts[1], parts[2], e))
                raise AllocateError(str(e)) from e
        # A pod of two makers, or of a maker whose plugin unlocks after the first container: the search is as it is meant.
        if kube.key_of(kubelets_pod) not in self._unlocked:
            self.violate("Allocate for %s on %s without a lock that names a pod (%r)"
                         % (kube.key_of(kubelets_pod), node.name, lock))
        for pod in self._api.get("/api/v1/pods", fieldSelector="spec.nodeName=" + node.name)["items"]:
            notes = kube.annotations(pod)
            if (pod["status"].get("phase") == "Pending" and BIND_TIME in notes and notes.get(NODE_KEY) == node.name
                    and notes.get(BIND_PHASE) in ("allocating", "success")):
                return pod
        raise AllocateError("no binding pod found on node " + node.name)

    def _finish_allocate(self, node, pod, maker):
        try:
            again = self._get_pod(pod)
        except kube.ApiError:
            return                       # the real one only logs: phase and lock stay as they are
        left = kube.annotations(again).get(maker.waiting, "")
        if maker.loaded and any(word in left for word in makers.KEYWORDS):
            return
        try:
            self._patch_pod(pod, {"metadata": {"annotations": {BIND_PHASE: "success"}}})
        except kube.ApiError as e:
            self.violate("%s: phase success could not be written: %s" % (kube.key_of(pod), e))
        self._pause(node.behaviour.release)
        self._release(node, pod)

    def _fail(self, node, pod):
        try:
            self._patch_pod(pod, {"metadata": {"annotations": {BIND_PHASE: "failed"}}})
        except kube.ApiError:
            pass
        self._release(node, pod)

    def _release(self, node, pod):
        """node-side.md 2.4: only the owner's lock, under the node's resourceVersion, five attempts."""
        # After an earlier release of this pod's the lock may be the next one's already: silently nothing, as it should be.
        again = kube.key_of(pod) in self._unlocked
        self._unlocked.add(kube.key_of(pod))
        owner = ",%s,%s" % (pod["metadata"]["namespace"], pod["metadata"]["name"])
        pause, last = 0.1, None
        for _ in range(5):
            try:
                obj = self._api.get(kube.node_path(node.name))
                value = kube.annotations(obj).get(LOCK)
                if value is None:
                    return
                if "," in value and not value.endswith(owner):
                    if not again:
                        self.violate("at release the lock of %s was %r, not %s's" % (node.name, value, owner[1:]))
                    return
                self._api.patch(kube.node_path(node.name), {"metadata": {
                    "resourceVersion": obj["metadata"]["resourceVersion"], "annotations": {LOCK: None}}})
                return
            except kube.ApiError as e:
                last = e
            self._pause(pause * (1 + 0.5 * node.rng.random()))
            pause *= 2
        self.violate("the lock of %s could not be released: %s" % (node.name, last))

    # -- small parts ------------------------------------------------------------------------------------------

    def violate(self, text):
        with self._lock:
            self.violations.append(text)

    def _pause(self, seconds):
        if seconds > 0:
            self._stopped.wait(seconds)

    def _get_pod(self, pod):
        return self._api.get(kube.pod_path(pod["metadata"]["namespace"], pod["metadata"]["name"]))

    def _patch_pod(self, pod, body, sub=None, content_type=kube.MERGE):
        answer = self._api.patch(kube.pod_path(pod["metadata"]["namespace"], pod["metadata"]["name"], sub), body, content_type)
        with self._lock:
            self.own_writes.add(int(answer["metadata"]["resourceVersion"]))
        return answer


def now_text():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def containers(pod):
    return (pod["spec"].get("initContainers") or []) + pod["spec"]["containers"]


def device_count(container, resource=COUNT):
    return makers.number(((container.get("resources") or {}).get("limits") or {}).get(resource, 0))


def count_needed(pod, resource=COUNT):
    """Device ids that kubelet needs for a pod: those of plain init containers are used again."""
    stay = highest = 0
    for container in pod["spec"].get("initContainers") or []:
        if container.get("restartPolicy") == "Always":
            stay += device_count(container, resource)
        else:
            highest = max(highest, stay + device_count(container, resource))
    return max(highest, stay + sum(device_count(c, resource) for c in pod["spec"]["containers"]))
