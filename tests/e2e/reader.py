"""The independent reader: was any card over its total at any moment?

It records the API server's watch history of pods and nodes from the start, and afterwards compares the overlapping
[bound, ended) intervals of all pods, card by card and dimension by dimension. It knows the annotation format and
Kubernetes' rule for init containers from their descriptions alone and shares no code with cardinald; what it says is
computed from what the API server stored. The axis is the resourceVersion: etcd numbers all writes in one sequence, so
intervals of pods and changes of nodes have an exact order.
"""

import collections
import json
import threading
import time

import kube
import rows
from rows import ALLOCATED, GPU, GPUCORES, GPUMEM, REGISTER, containers, quantity, whole  # noqa: F401

DIMENSIONS = ("shares", "memory", "cores")


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


def asks(pod):
    """Does the pod ask for cards at all?"""
    return bool(rows.asked(pod))


def decode(text, row=rows.NVIDIA):
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
                match = row.entry.match(piece)
                if not match:
                    raise ValueError("bad entry %r" % piece)
                entries.append((match.group("uuid"), int(match.group("memory")), int(match.group("cores"))))
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
    containers run beside all sidecars; the pod needs the larger. An entry may say of how many shares it is.
    """
    if len(kinds) != len(slots):
        raise ValueError("%d slots for %d containers" % (len(slots), len(kinds)))
    cards = {entry[0] for slot in slots for entry in slot}
    out = {}
    for card in cards:
        beside, highest = NOTHING, NOTHING
        for kind, slot in zip(kinds, slots):
            own = NOTHING
            for uuid, memory, cores, *shares in slot:
                if uuid == card:
                    own = plus(own, (shares[0] if shares else 1, memory, cores))
            if kind == "init":
                highest = peak(highest, plus(beside, own))
            else:                       # sidecars and app containers stay
                beside = plus(beside, own)
                highest = peak(highest, beside)
        out[card] = highest
    return out


def use_of(pod):
    """effective() of a stored pod, of all makers; ValueError says what is wrong with its annotations."""
    return taken(pod)[0]


def taken(pod):
    """(effective use, bits): bits are {uuid: mask} of slices or cores that are given out one by one."""
    use, bits, notes = {}, {}, kube.annotations(pod)
    kinds = [k for _, k in containers(pod)]
    for row in rows.asked(pod):
        text = notes.get(row.allocated)
        if text is None:
            raise ValueError("no %s" % row.allocated)
        slots = decode(text, row)
        if len(slots) != len(kinds):
            raise ValueError("%d slots for %d containers" % (len(slots), len(kinds)))
        sized = [[(u, *row.sizes(pod, c, n, m, k)) for n, (u, m, k) in enumerate(slot)] for c, slot in enumerate(slots)]
        use.update(effective(kinds, [[(u, m, k, shares) for u, m, k, shares, _ in slot] for slot in sized]))
        for kind, slot in zip(kinds, sized):
            for uuid, _, _, _, mask in slot:
                if kind != "init" and mask & bits.get((uuid, "stays"), 0):
                    raise ValueError("bits %#x of card %s are given to two containers" % (mask & bits[(uuid, "stays")], uuid))
                for key in ((uuid, "stays"), (uuid, "all")) if kind != "init" else ((uuid, "all"),):
                    bits[key] = bits.get(key, 0) | mask
    return use, {uuid: mask for (uuid, which), mask in bits.items() if which == "all"}


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
    known = rows.cards_of(node)
    return known and {u: (c.shares, c.memory, c.cores) for u, c in known.items()}


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
        self.bits = {}
        self.pod = pod

    def __repr__(self):
        return "%s on %s [%d,%s)" % (self.name, self.node, self.start, self.end or "")


def mismatch(pod):
    """What in the allocations is not what the spec asks for, or None."""
    for row in rows.asked(pod):
        slots = decode(kube.annotations(pod)[row.allocated], row)
        for index, ((container, _), slot) in enumerate(zip(containers(pod), slots)):
            where = "container %s (slot %d)" % (container["name"], index)
            wish = row.wish(container, pod)
            count = wish.count if wish else 0
            if len(slot) != count:
                return "%s asks for %d cards and has %d" % (where, count, len(slot))
            # A slice has its own amounts, and one card may give several: see rows.of_card_or_slice.
            sliced = [row.sizes(pod, index, n, m, k)[3] for n, (_, m, k) in enumerate(slot)]
            undivided = [uuid for (uuid, _, _), bits in zip(slot, sliced) if not bits]
            if len(set(undivided)) != len(undivided):
                return "%s has one card twice" % where
            for (uuid, got_memory, got_cores), bits in zip(slot, sliced):
                if not got_memory and not row.no_memory:
                    return "%s has 0 MiB on %s, which means no limit" % (where, uuid)
                if bits:
                    continue
                if wish.memory and got_memory != wish.memory:
                    return "%s asks for %d MiB and has %d on %s" % (where, wish.memory, got_memory, uuid)
                if wish.cores is not None and got_cores != wish.cores:
                    return "%s asks for %d %% and has %d on %s" % (where, wish.cores, got_cores, uuid)
    return None


def whole_problems(pod, known):
    """What is wrong with an allocation that only the cards can tell: {uuid: Known} of the pod's node."""
    wrong = []
    for row in rows.asked(pod):
        slots = decode(kube.annotations(pod)[row.allocated], row)
        for index, ((container, _), slot) in enumerate(zip(containers(pod), slots)):
            where = "container %s (slot %d)" % (container["name"], index)
            cards = [known.get(uuid) for uuid, _, _ in slot]
            if not slot or None in cards:
                continue
            for (uuid, memory, cores), card in zip(slot, cards):
                if card.row is not row:
                    wrong.append("%s: card %s is %s's" % (where, uuid, card.row.name))
                    continue
                for what, have, want in row.amounts(row.wish(container, pod), memory, cores, card, pod, index):
                    if have != want:
                        wrong.append("%s: %s of %s is %s, should be %s" % (where, what, uuid, have, want))
            if row.modules and len(slot) > 1:
                taken_ = collections.Counter(c.index // 2 for c in cards)
                if any(n != 2 for n in taken_.values()):
                    wrong.append("%s: torn modules: cards %s" % (where, sorted(c.index for c in cards)))
    return wrong


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
                current.use, current.bits = taken(pod)
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
    registered, active = {}, {}             # node -> {uuid: Known}; (node, uuid) -> {uid: (use, interval)}
    for rv, what, item in points:
        if what == 2:
            known = rows.cards_of(item.obj)
            if known is not None and item.kind != "DELETED":
                registered[item.obj["metadata"]["name"]] = known
            continue
        if what == 1 and item.use:
            wrong += ["%s on %s: %s" % (item.name, item.node, w) for w in whole_problems(item.pod, registered.get(item.node, {}))]
        for uuid, use in item.use.items():
            on_card = active.setdefault((item.node, uuid), {})
            if what == 0:
                on_card.pop(item.uid, None)
                continue
            card = registered.get(item.node, {}).get(uuid)
            if card is None:
                wrong.append("%s: card %s is not registered on node %s" % (item.name, uuid, item.node))
                continue
            others = [i for _, i in on_card.values()]
            on_card[item.uid] = (use, item)
            together = NOTHING
            for other, _ in on_card.values():
                together = plus(together, other)
            names = sorted(i.name for _, i in on_card.values())
            total = (card.shares, card.memory, card.cores)
            for dimension, have, limit in zip(DIMENSIONS, together, total):
                if have > limit and not (dimension == "cores" and limit == 0):
                    wrong.append("card %s on %s over its %s at rv %d: %d of %d with %s"
                                 % (uuid, item.node, dimension, rv, have, limit, ", ".join(names)))
            if len(on_card) > 1 and (card.row.alone or card.row.whole and total[2] == 100
                                     and any(u[2] >= 100 for u, _ in on_card.values())):
                wrong.append("card %s on %s is held whole and shared at rv %d: %s"
                             % (uuid, item.node, rv, ", ".join(names)))
            mine = item.bits.get(uuid, 0)
            if card.bits and mine & ~card.bits:
                wrong.append("%s: bits %#x of card %s on %s are not there" % (item.name, mine & ~card.bits, uuid, item.node))
            for other in others:
                if mine & other.bits.get(uuid, 0):
                    wrong.append("card %s on %s: bits %#x are given twice at rv %d: %s, %s"
                                 % (uuid, item.node, mine & other.bits[uuid], rv, other.name, item.name))
                why = card.row.together(item.pod, other.pod, use, active[(item.node, uuid)][other.uid][0])
                if why:
                    wrong.append("card %s on %s: %s at rv %d: %s, %s" % (uuid, item.node, why, rv, other.name, item.name))
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


def marks(pods, nodes):
    """What else the API objects say of a card: {node: {uuid: {member of /v1: value}}}, members that say nothing left out."""
    known = {n["metadata"]["name"]: rows.cards_of(n) or {} for n in nodes}
    out = {node: {u: {"bits": 0, "onlinePods": 0, "offlinePods": 0} for u in cards} for node, cards in known.items()}
    for pod in pods:
        cards = out.get(pod["spec"].get("nodeName"))
        if cards is None or not asks(pod) or ended(pod):
            continue
        use, bits = taken(pod)
        for uuid in use:
            if uuid in cards:
                cards[uuid]["bits"] |= bits.get(uuid, 0)
                which = kube.annotations(pod).get(rows.CLASS)
                if which and known[pod["spec"]["nodeName"]][uuid].row.name == "Metax-SGPU":
                    cards[uuid][which + "Pods"] += 1
    return {node: {u: {**{k: v for k, v in m.items() if v and k != "bits"},
                       **({"bits": {"total": "%#x" % known[node][u].bits, "used": "%#x" % m["bits"]}} if known[node][u].bits else {})}
                   for u, m in cards.items()} for node, cards in out.items()}
