"""The independent reader: was any card over its total at any moment?

It records the API server's watch history of pods and nodes from the start, and afterwards compares the overlapping
[bound, ended) intervals of all pods, card by card and dimension by dimension. It knows the annotation format and
Kubernetes' rule for init containers from their descriptions alone and shares no code with cardinald; what it says is
computed from what the API server stored. The axis is the resourceVersion: etcd numbers all writes in one sequence, so
intervals of pods and changes of nodes have an exact order.
"""

import json
import re
import threading
import time

import kube

GPU, GPUMEM, GPUCORES = "nvidia.com/gpu", "nvidia.com/gpumem", "nvidia.com/gpucores"
ALLOCATED = "hami.io/vgpu-devices-allocated"
REGISTER = "hami.io/node-nvidia-register"
DIMENSIONS = ("shares", "memory", "cores")

ENTRY = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*),NVIDIA,(0|[1-9][0-9]*),(0|[1-9][0-9]*)\Z")


class Event:
    """One line of history: `obj` is the object as stored, without managedFields."""

    __slots__ = ("rv", "what", "kind", "obj", "at")

    def __init__(self, rv, what, kind, obj, at=0.0):
        self.rv = rv
        self.what = what     # "pod" or "node"
        self.kind = kind     # ADDED, MODIFIED, DELETED
        self.obj = obj
        self.at = at         # when we heard of it, wall clock; for people, never compared


class Recorder:
    """Records pods and nodes of one cluster until stopped."""

    PATHS = {"pod": "/api/v1/pods", "node": "/api/v1/nodes"}

    def __init__(self, api):
        self._api = api
        self._lock = threading.Condition()     # guards events, latest
        self.events = []
        self.latest = {}                       # (what, uid) -> last object seen, live ones only
        self.broken = None                     # why the history has a hole, if it has
        self._watches = []
        self._threads = []

    def start(self):
        for what, path in self.PATHS.items():
            watch = self._api.watch(path)
            for obj in watch.list():
                self._note(what, "ADDED", obj)
            thread = threading.Thread(target=self._run, args=(what, watch), name="reader-" + what, daemon=True)
            self._watches.append(watch)
            self._threads.append(thread)
            thread.start()
        return self

    def may_relist(self):
        """The API server will be away, with all writers: a hole in the watch is then no hole in the history."""
        for watch in self._watches:
            watch.may_relist = True

    def _run(self, what, watch):
        try:
            for kind, obj in watch.events():
                self._note(what, kind, obj)
        except Exception as e:   # noqa: BLE001  (whatever it is, the history is no longer whole)
            self.broken = "%s watch: %r" % (what, e)

    def _note(self, what, kind, obj):
        obj["metadata"].pop("managedFields", None)
        event = Event(int(obj["metadata"]["resourceVersion"]), what, kind, obj, time.time())
        with self._lock:
            self.events.append(event)
            uid = (what, obj["metadata"]["uid"])
            if kind == "DELETED":
                self.latest.pop(uid, None)
            else:
                self.latest[uid] = obj
            self._lock.notify_all()

    def objects(self, what):
        """The objects as they stand, as far as the watch has told."""
        with self._lock:
            return [o for (w, _), o in self.latest.items() if w == what]

    def wait(self, predicate, seconds):
        """Wait until predicate(self) is true after some event; returns its last value. Called without the lock."""
        deadline = time.monotonic() + seconds
        while True:
            with self._lock:
                seen = len(self.events)
            value = predicate()
            left = deadline - time.monotonic()
            if value or left <= 0:
                return value
            with self._lock:
                if len(self.events) == seen:
                    self._lock.wait(min(left, 0.25))

    def caught_up(self, seconds=10):
        """True once what was recorded is what the API server has now."""
        def same():
            for what, path in self.PATHS.items():
                want = {o["metadata"]["uid"]: o["metadata"]["resourceVersion"]
                        for o in self._api.get(path).get("items") or []}
                have = {o["metadata"]["uid"]: o["metadata"]["resourceVersion"] for o in self.objects(what)}
                if want != have:
                    return False
            return True
        return self.wait(same, seconds)

    def stop(self):
        for watch in self._watches:
            watch.stop()
        for thread in self._threads:
            thread.join(5)

    def history(self):
        """All events in the order of the writes."""
        with self._lock:
            return sorted(self.events, key=lambda e: e.rv)

    def dump(self, path):
        with open(path, "w", encoding="utf-8") as f:
            for e in self.history():
                f.write(json.dumps({"rv": e.rv, "at": e.at, "type": e.kind, "kind": e.what, "object": e.obj}) + "\n")


# -- what an object says -----------------------------------------------------------------------------------------


def containers(pod):
    """[(container, kind)] in positional order; kind is "init", "sidecar" or "app"."""
    spec = pod["spec"]
    out = [(c, "sidecar" if c.get("restartPolicy") == "Always" else "init") for c in spec.get("initContainers") or []]
    return out + [(c, "app") for c in spec.get("containers") or []]


SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def whole(text):
    """A whole quantity as the API server stores it: it writes 4000 as 4k."""
    match = re.match(r"([0-9]+)([A-Za-z]*)\Z", str(text))
    if not match or match.group(2) not in SUFFIXES:
        raise ValueError("not a whole quantity: %r" % text)
    return int(match.group(1)) * SUFFIXES[match.group(2)]


def quantity(container, name):
    """A whole number under limits, else under requests; None when absent."""
    resources = container.get("resources") or {}
    for part in ("limits", "requests"):
        value = (resources.get(part) or {}).get(name)
        if value is not None:
            return whole(value)
    return None


def asks(pod):
    """Does the pod ask for cards at all?"""
    return any((quantity(c, GPU) or 0) > 0 for c, _ in containers(pod))


def decode(text):
    """An allocation in padded form: one list of (uuid, memory, cores) for each container. ValueError if it is not."""
    if not text.endswith(";"):
        raise ValueError("does not end with ';'")
    slots = []
    for slot in text[:-1].split(";"):
        entries = []
        if slot:
            if not slot.endswith(":"):
                raise ValueError("a slot does not end with ':': %r" % slot)
            for piece in slot[:-1].split(":"):
                match = ENTRY.match(piece)
                if not match:
                    raise ValueError("bad entry %r" % piece)
                entries.append((match.group(1), int(match.group(2)), int(match.group(3))))
        slots.append(entries)
    return slots


def plus(a, b):
    return tuple(x + y for x, y in zip(a, b))


def peak(a, b):
    return tuple(max(x, y) for x, y in zip(a, b))


NOTHING = (0, 0, 0)


def effective(kinds, slots):
    """What a pod takes from each card for its whole life: {uuid: (shares, memory, cores)}.

    Kubernetes' rule, per card and dimension: an init container runs beside the sidecars started before it; the app
    containers run beside all sidecars; the pod needs the larger.
    """
    if len(kinds) != len(slots):
        raise ValueError("%d slots for %d containers" % (len(slots), len(kinds)))
    cards = {uuid for slot in slots for uuid, _, _ in slot}
    out = {}
    for card in cards:
        beside, highest = NOTHING, NOTHING
        for kind, slot in zip(kinds, slots):
            own = NOTHING
            for uuid, memory, cores in slot:
                if uuid == card:
                    own = plus(own, (1, memory, cores))
            if kind == "init":
                highest = peak(highest, plus(beside, own))
            else:                       # sidecars and app containers stay
                beside = plus(beside, own)
                highest = peak(highest, beside)
        out[card] = highest
    return out


def use_of(pod):
    """effective() of a stored pod; ValueError says what is wrong with its annotation."""
    text = kube.annotations(pod).get(ALLOCATED)
    if text is None:
        raise ValueError("no %s" % ALLOCATED)
    return effective([k for _, k in containers(pod)], decode(text))


def ended(pod):
    """Does the pod no longer hold its cards?"""
    status = pod.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return True
    if not pod["metadata"].get("deletionTimestamp"):
        return False
    stopped = {s["name"] for part in ("containerStatuses", "initContainerStatuses")
               for s in status.get(part) or [] if (s.get("state") or {}).get("terminated")}
    return all(c["name"] in stopped for c, _ in containers(pod))


def totals_of(node):
    """{uuid: (shares, memory, cores)} as registered; None when the node registers nothing readable."""
    text = kube.annotations(node).get(REGISTER)
    if text is None:
        return None
    try:
        return {d["id"]: (d.get("count", 0), d.get("devmem", 0), d.get("devcore", 0)) for d in json.loads(text)}
    except (ValueError, TypeError, KeyError):
        return None


# -- the comparison ----------------------------------------------------------------------------------------------


class Interval:
    """One pod on one node from `start` (the write that bound it) up to `end` (exclusive; None: still there)."""

    def __init__(self, pod, start):
        self.name = kube.key_of(pod)
        self.uid = pod["metadata"]["uid"]
        self.node = pod["spec"]["nodeName"]
        self.start = start
        self.end = None
        self.use = {}

    def __repr__(self):
        return "%s on %s [%d,%s)" % (self.name, self.node, self.start, self.end or "")


def mismatch(pod):
    """What in the allocation is not what the spec asks for, or None."""
    slots = decode(kube.annotations(pod)[ALLOCATED])
    for index, ((container, _), slot) in enumerate(zip(containers(pod), slots)):
        count = quantity(container, GPU) or 0
        where = "container %s (slot %d)" % (container["name"], index)
        if len(slot) != count:
            return "%s asks for %d cards and has %d" % (where, count, len(slot))
        if len({uuid for uuid, _, _ in slot}) != len(slot):
            return "%s has one card twice" % where
        memory, cores = quantity(container, GPUMEM), quantity(container, GPUCORES)
        for uuid, got_memory, got_cores in slot:
            if memory and got_memory != memory:
                return "%s asks for %d MiB and has %d on %s" % (where, memory, got_memory, uuid)
            if not got_memory:
                return "%s has 0 MiB on %s, which means no limit" % (where, uuid)
            if cores is not None and got_cores != min(cores, 100):
                return "%s asks for %d %% and has %d on %s" % (where, cores, got_cores, uuid)
    return None


def intervals(history):
    """([Interval], [violation]) of all pods that were ever bound and ask for cards."""
    open_, out, wrong = {}, [], []
    for event in history:
        if event.what != "pod":
            continue
        pod = event.obj
        uid = pod["metadata"]["uid"]
        current = open_.get(uid)
        if current is None:
            if not pod["spec"].get("nodeName") or not asks(pod) or event.kind == "DELETED" or ended(pod):
                continue
            current = Interval(pod, event.rv)
            open_[uid] = current
            out.append(current)
            try:
                current.use = use_of(pod)
                problem = mismatch(pod)
            except ValueError as e:
                problem = str(e)
            if problem:
                wrong.append("%s: bound to %s with a bad allocation: %s" % (current.name, current.node, problem))
        elif current.end is None:
            if pod["spec"].get("nodeName") != current.node:
                wrong.append("%s: moved from %s to %s" % (current.name, current.node, pod["spec"].get("nodeName")))
            if event.kind == "DELETED" or ended(pod):
                current.end = event.rv
    return out, wrong


def over_total(history):
    """All violations in a history: cards over their total, exclusive cards shared, allocations that make no sense."""
    spans, wrong = intervals(history)
    points = [(i.start, 1, i) for i in spans] + [(i.end, 0, i) for i in spans if i.end is not None]
    points += [(e.rv, 2, e) for e in history if e.what == "node"]
    # At one revision nothing but one write happens, so the second key only has to be deterministic.
    points.sort(key=lambda p: (p[0], p[1]))
    totals, active = {}, {}                 # node -> {uuid: total}; (node, uuid) -> {uid: (use, name)}
    for rv, what, item in points:
        if what == 2:
            known = totals_of(item.obj)
            if known is not None and item.kind != "DELETED":
                totals[item.obj["metadata"]["name"]] = known
            continue
        for uuid, use in item.use.items():
            on_card = active.setdefault((item.node, uuid), {})
            if what == 0:
                on_card.pop(item.uid, None)
                continue
            on_card[item.uid] = (use, item.name)
            total = totals.get(item.node, {}).get(uuid)
            if total is None:
                wrong.append("%s: card %s is not registered on node %s" % (item.name, uuid, item.node))
                continue
            together = NOTHING
            for other, _ in on_card.values():
                together = plus(together, other)
            names = sorted(n for _, n in on_card.values())
            for dimension, have, limit in zip(DIMENSIONS, together, total):
                if have > limit and not (dimension == "cores" and limit == 0):
                    wrong.append("card %s on %s over its %s at rv %d: %d of %d with %s"
                                 % (uuid, item.node, dimension, rv, have, limit, ", ".join(names)))
            if len(on_card) > 1 and total[2] == 100 and any(u[2] >= 100 for u, _ in on_card.values()):
                wrong.append("card %s on %s is held whole and shared at rv %d: %s"
                             % (uuid, item.node, rv, ", ".join(names)))
    return wrong


def ledger(pods, nodes):
    """What the API objects say is in use: {node: {uuid: {"total": t, "used": u}}} of nodes that register cards."""
    out = {}
    for node in nodes:
        known = totals_of(node)
        if known is not None:
            out[node["metadata"]["name"]] = {u: {"total": t, "used": NOTHING} for u, t in known.items()}
    for pod in pods:
        cards = out.get(pod["spec"].get("nodeName"))
        if cards is None or not asks(pod) or ended(pod):
            continue
        for uuid, use in use_of(pod).items():
            if uuid in cards:
                cards[uuid]["used"] = plus(cards[uuid]["used"], use)
    return out
