"""What the node side may rely on, checked against the recorded history (contract node-side.md 2 and 14).

Everything here looks at what the API server stored, write by write, after the story: that a pod's annotations are
complete at the very write that binds it, that the node's lock names it then and until the plugin lets go, that nobody
else writes to the pod meanwhile, and that what was decided is never changed. The reader asks whether cards are over
their totals; this asks whether a plugin that follows the contract can work.
"""

import calendar
import collections
import re
import time

import kube
import reader
import rows

LOCK = rows.NODE_LOCK
TO_ALLOCATE = "hami.io/vgpu-devices-to-allocate"
NODE_KEY = "hami.io/vgpu-node"
TIME_KEY = "hami.io/vgpu-time"
BIND_TIME = "hami.io/bind-time"
BIND_PHASE = "hami.io/bind-phase"
MIG = "hami.io/vgpu-mig-allocations"

# Keys that a scheduler writes and nobody else may bring along.
OURS = {NODE_KEY, TIME_KEY, BIND_TIME, BIND_PHASE} | rows.DECIDED

SKEW = 30          # seconds between our clock and a time in an annotation; both are clocks of one machine
LOCK_EXPIRES = 300 # seconds; a pod that comes again to a lock of its own finds it older, but never too old to be its own
RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d)\Z")


def parse_time(text):
    """Unix seconds of an RFC 3339 time; None if it is none."""
    match = RFC3339.match(text)
    if not match:
        return None
    try:
        seconds = calendar.timegm(time.strptime(match.group(1), "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None
    zone = match.group(2)
    if zone != "Z":
        offset = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
        seconds += -offset if zone[0] == "+" else offset
    return seconds


def check_bound_pod(pod, at):
    """What is wrong with a pod that asks for cards, as stored by the write that bound it.

    at  wall clock of that write, as far as known
    """
    notes, wrong = kube.annotations(pod), []
    node = pod["spec"]["nodeName"]
    if notes.get(NODE_KEY) != node:
        wrong.append("annotation %s is %r on node %s" % (NODE_KEY, notes.get(NODE_KEY), node))
    want = node if len(node) <= 63 else None
    if kube.labels(pod).get(NODE_KEY) != want:
        wrong.append("label %s is %r, wanted %r" % (NODE_KEY, kube.labels(pod).get(NODE_KEY), want))
    if notes.get(BIND_PHASE) != "allocating":
        wrong.append("%s is %r at Binding" % (BIND_PHASE, notes.get(BIND_PHASE)))
    for key in (TIME_KEY, BIND_TIME):
        text = notes.get(key, "")
        if not re.match(r"[1-9][0-9]*\Z", text):
            wrong.append("%s is %r, not Unix seconds" % (key, text))
        elif abs(int(text) - at) > SKEW:
            wrong.append("%s is %s, %d s off" % (key, text, int(text) - at))
    mine = {MIG, "NEURON_RESOURCE_TYPE"}
    for row in rows.asked(pod):
        mine |= {row.allocated, row.waiting, *row.extra}
        allocated = notes.get(row.allocated)
        if row.waiting and allocated != notes.get(row.waiting) or allocated is None:
            wrong.append("%s: allocated %r and to-allocate %r differ" % (row.name, allocated, notes.get(row.waiting)))
        wrong += ["%s: no %s" % (row.name, key) for key in row.extra if key not in notes]
        if allocated is not None:
            try:
                slots = reader.decode(allocated, row)
                kinds = rows.containers(pod)
                if len(slots) != len(kinds):
                    wrong.append("%d slots for %d containers in %r" % (len(slots), len(kinds), allocated))
            except ValueError as e:
                wrong.append("allocation %r: %s" % (allocated, e))
    for key in notes:
        if key not in mine and (key in rows.DECIDED or re.match(r"hami\.io/.*-devices-(to-allocate|allocated)\Z", key)):
            wrong.append("key of a vendor without devices: %s" % key)
    if MIG in notes and (rows.NVIDIA not in rows.asked(pod) or notes[MIG] in ("", "[]")):
        wrong.append("%s on a pod without MIG" % MIG)
    return wrong


def check_lock(value, pod, at):
    """What is wrong with a node's lock (None: absent) while `pod` is being bound to it."""
    if value is None:
        return ["no lock"]
    parts = value.split(",")
    if len(parts) != 3:
        return ["lock %r has not three parts" % value]
    when = parse_time(parts[0])
    if when is None:
        return ["lock time %r is not RFC 3339" % parts[0]]
    if parts[1:] != [pod["metadata"]["namespace"], pod["metadata"]["name"]]:
        return ["lock %r names another pod" % value]
    if not -LOCK_EXPIRES < when - at <= SKEW:
        return ["lock time %s is %d s off" % (parts[0], when - at)]
    return []


def check_time_lock(value, at):
    """The same for a lock that has a time and no owner."""
    if value is None:
        return ["no lock %s" % rows.TIME_LOCK]
    when = parse_time(value)
    if when is None:
        return ["lock time %r is not RFC 3339" % value]
    return [] if abs(when - at) <= SKEW else ["lock time %s is %d s off" % (value, when - at)]


class Turn:
    """One pod's way from Binding to its plugins' last word, in revisions."""

    def __init__(self, pod, start):
        asked = rows.asked(pod)
        self.name = kube.key_of(pod)
        self.node = pod["spec"]["nodeName"]
        self.start = start
        self.locks = {r.lock for r in asked} - {None}
        # Lists that plugins under the node's lock empty; others leave theirs as they are.
        self.lists = [r.waiting for r in asked if r.lock == rows.NODE_LOCK]
        self.phase_end = None      # the write that set success or failed, or that ended the pod
        self.done = None           # and nothing is left in the lists
        self.ended = False         # the pod ended without a plugin's word

    def look(self, event):
        """What an event of the pod means for its turn."""
        obj, notes = event.obj, kube.annotations(event.obj)
        over = event.kind == "DELETED" or reader.ended(obj)
        spoken = notes.get(BIND_PHASE) in ("success", "failed")
        if LOCK not in self.locks:      # nobody sets a phase: running is all there is to see
            spoken = obj["status"].get("phase") == "Running"
        if self.phase_end is None and (over or spoken):
            self.phase_end, self.ended = event.rv, over and not spoken
        left = any("," in notes.get(key, "") for key in self.lists)
        if self.phase_end is not None and self.done is None and (over or not left or notes.get(BIND_PHASE) == "failed"):
            self.done = event.rv


def check_history(history, own_writes=(), lockless=(), blamed=None):
    """All violations of the protocol in a history.

    own_writes  resourceVersions of pod writes by the fake plugin and kubelet
    lockless    names of pods whose story plants a lock problem on purpose: their lock is not checked
    blamed      names of pods that cardinald wrote to after their Binding, from wrote_after_binding(); None: everybody
                else's write is its fault. kube-scheduler may write a condition when the answer to a bind was lost.
    """
    wrong, turns, lock, bound = [], [], {}, {}
    own_writes = set(own_writes)
    for event in history:
        obj = event.obj
        name = obj["metadata"]["name"]
        if event.what == "node":
            held = kube.annotations(obj) if event.kind != "DELETED" else {}
            before, now = lock.get(name, {}).get(LOCK), held.get(LOCK)
            lock[name] = held
            turn = next((t for t in turns if t.node == name and t.phase_end is None and LOCK in t.locks), None)
            if turn and before != now and turn.name not in lockless and event.kind != "DELETED":
                wrong.append("%s: the lock of %s changed from %r to %r before the plugin was done (rv %d)"
                             % (turn.name, name, before, now, event.rv))
            continue
        key = kube.key_of(obj)
        notes = kube.annotations(obj)
        state = bound.get(obj["metadata"]["uid"])
        if state is None:
            if not obj["spec"].get("nodeName") or event.kind == "DELETED":
                continue
            if not reader.asks(obj):
                taken = [k for k in (*notes, *kube.labels(obj)) if k in OURS]
                if taken:
                    wrong.append("%s asks for no cards and carries %s" % (key, ", ".join(sorted(set(taken)))))
                bound[obj["metadata"]["uid"]] = (None, None)
                continue
            node = obj["spec"]["nodeName"]
            wrong += ["%s at Binding: %s" % (key, w) for w in check_bound_pod(obj, event.at)]
            turn = Turn(obj, event.rv)
            if key not in lockless:
                held = lock.get(node, {})
                problems = check_lock(held.get(LOCK), obj, event.at) if LOCK in turn.locks else []
                problems += check_time_lock(held.get(rows.TIME_LOCK), event.at) if rows.TIME_LOCK in turn.locks else []
                wrong += ["%s at Binding to %s: %s" % (key, node, w) for w in problems]
            other = next((t for t in turns if t.node == node and t.done is None and t.locks & turn.locks), None)
            if other:
                wrong.append("%s bound to %s while the plugin is still at %s" % (key, node, other.name))
            turns.append(turn)
            bound[obj["metadata"]["uid"]] = (turn, decided(notes))
            continue
        turn, allocated = state
        if turn is None:
            continue
        if event.kind != "DELETED" and not reader.ended(obj) and decided(notes) != allocated:
            wrong.append("%s: allocated changed from %r to %r at rv %d"
                         % (key, allocated, decided(notes), event.rv))
        if turn.done is None:
            if (event.kind != "DELETED" and event.rv not in own_writes and not obj["metadata"].get("deletionTimestamp")
                    and (blamed is None or key in blamed)):
                wrong.append("%s: somebody wrote to the pod between Binding and %s (rv %d)"
                             % (key, "success", event.rv))
            turn.look(event)
    return wrong


def decided(notes):
    """The lists that never change, of all makers."""
    return {r.allocated: notes[r.allocated] for r in rows.ROWS if r.allocated in notes}


def wrote_after_binding(audit, user):
    """Names of pods that a user wrote to after its own last Binding of them, from audit events in their order."""
    bound, out = set(), set()
    for e in audit:
        ref = e.get("objectRef") or {}
        if e["user"]["username"] != user or ref.get("resource") != "pods":
            continue
        key = "%s/%s" % (ref.get("namespace", ""), ref.get("name", ""))
        if ref.get("subresource") == "binding":
            bound.add(key)
            out.discard(key)
        elif key in bound:
            out.add(key)
    return out


def begun(audit, user, after, before):
    """(locks, Bindings) that a user began between two moments, as names: what takes a lock back is neither."""
    locks, bindings = [], []
    for e in audit:
        ref = e.get("objectRef") or {}
        if e["user"]["username"] != user or not after < e["requestReceivedTimestamp"] < before:
            continue
        if ref.get("subresource") == "binding":
            bindings.append(ref["name"])
        elif ref.get("resource") == "nodes" and e["verb"] == "patch":
            steps = e.get("requestObject")
            if not isinstance(steps, list) or any(s.get("op") in ("add", "replace") for s in steps):
                locks.append(ref["name"])
    return locks, bindings


def bound_twice(audit):
    """Pods of which more than one Binding was accepted."""
    done = collections.Counter()
    for e in audit:
        ref = e.get("objectRef") or {}
        if ref.get("subresource") == "binding" and (e.get("responseStatus") or {}).get("code") == 201:
            done["%s/%s" % (ref.get("namespace", ""), ref["name"])] += 1
    return ["%s was bound %d times" % (name, n) for name, n in sorted(done.items()) if n > 1]


def locks_left(nodes):
    """Nodes whose lock nobody released."""
    return ["node %s is still locked: %s" % (n["metadata"]["name"], kube.annotations(n)[key])
            for n in nodes for key in (LOCK, rows.TIME_LOCK) if key in kube.annotations(n)]


def writes_by(audit, user, resource="pods"):
    """{namespace/name: [(verb, subresource, code)]} of one user's writes, from audit events."""
    out = {}
    for e in audit:
        ref = e.get("objectRef") or {}
        if e["user"]["username"] == user and ref.get("resource") == resource:
            key = "%s/%s" % (ref.get("namespace", ""), ref.get("name", ""))
            out.setdefault(key, []).append((e["verb"], ref.get("subresource", ""), (e.get("responseStatus") or {}).get("code")))
    return out
