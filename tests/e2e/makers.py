"""What each maker's device plugin registers, and what it reads of a pod that comes to it: one row of data a maker.

Written from contract node-side.md, vendors-a.md and vendors-b.md (their parts "node side" and "pod annotations")
alone. This is the plugin's side: fakeplugin.py acts by these rows, and what a real plugin would stumble over is told
by a row's `reads`. The judge of histories (reader.py) has rows of its own and shares nothing with these.
"""

import json
import re

SHARED_LOCK = "hami.io/mutex.lock"
CLOCK_LOCK = "cambricon.com/dsmlu.lock"       # a time without an owner

SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def number(text):
    """A whole quantity as the API server writes it."""
    digits, suffix = re.match(r"(\d+)([A-Za-z]*)\Z", str(text)).groups()
    return int(digits) * SUFFIXES[suffix]


def compact(value):
    return json.dumps(value, separators=(",", ":"))


class Card:
    """One physical card as the plugin registers it. `slots`: how often it is shared out; None: the node's split.

    more  what only some makers say: custominfo, migProfiles, pairs, qosPolicy, linkZone, minor, profiles, units, kind
    """

    def __init__(self, uuid, index, model="NVIDIA A10", memory=24576, cores=100, numa=0, mode="hami-core", healthy=True,
                 slots=None, **more):
        self.uuid = uuid
        self.index = index
        self.model = model
        self.memory = memory
        self.cores = cores
        self.numa = numa
        self.mode = mode
        self.healthy = healthy
        self.slots = slots
        self.more = more

    def count(self, split):
        return split if self.slots is None else self.slots

    def register(self, split):
        """The registration object: zero values are left out, so a missing `health` means unhealthy."""
        entry = {"id": self.uuid, "index": self.index, "count": self.count(split), "devmem": self.memory,
                 "devcore": self.cores, "type": self.model, "numa": self.numa, "mode": self.mode,
                 "migProfiles": self.more.get("migProfiles"), "health": self.healthy,
                 "custominfo": self.more.get("custominfo")}
        return {k: v for k, v in entry.items() if v not in (None, 0, False, "")}


# -- what goes to the node ---------------------------------------------------------------------------------------


def json_list(key, pairs=None):
    """node-side.md 3.1, vendors-a.md S6, vendors-b.md 0.6; `pairs`: key of the list of pair scores."""
    def write(cards, split, rng):
        entries = [c.register(split) for c in cards]
        rng.shuffle(entries)            # the order of a hash map: another one each time
        notes = {key: compact(entries)}
        if pairs and any("pairs" in c.more for c in cards):
            notes[pairs] = compact([{"uuid": c.uuid, "score": c.more.get("pairs", {})} for c in cards])
        return notes
    return write


def text_list(key):
    """vendors-a.md S6: `id,count,devmem,devcore,type,numa,health,index,mode:`."""
    def write(cards, split, _rng):
        return {key: "".join("%s,%d,%d,%d,%s,%d,%s,%d,%s:" % (
            c.uuid, c.count(split), c.memory, c.cores, c.model, c.numa, "true" if c.healthy else "false", c.index, c.mode)
            for c in cards)}
    return write


def shared_list(cards, split, _rng):
    """vendors-b.md 1d."""
    return {"metax-tech.com/node-gpu-devices": compact([
        {"uuid": c.uuid, "bdf": "0000:%02x:00.0" % c.index, "model": c.model, "totalDevCount": c.count(split),
         "totalCompute": c.cores, "totalVRam": c.memory, "numa": c.numa, "healthy": c.healthy,
         "qosPolicy": c.more.get("qosPolicy", ""), "linkZone": c.more.get("linkZone", 0)} for c in cards])}


def tables(cards, _split, _rng):
    """vendors-b.md 1d, topology of whole cards."""
    prefix = "metax-tech.com/gpu.topology."
    return {prefix + k: compact(cards[0].more[k]) for k in ("losses", "scores") if k in cards[0].more}


def slices_list(cards, split, _rng):
    """vendors-b.md 2d."""
    return {"enflame.com/gcu-drs-capacity": compact({
        "devices": [{"index": str(c.index), "minor": str(c.more.get("minor", c.index)), "capacity": c.count(split)}
                    for c in cards],
        "profiles": {name: ident for name, (ident, _, _) in cards[0].more["profiles"].items()}})}


def nothing(_cards, _split, _rng):
    return {}


def slots_of(resource):
    """Kubelet is told as many ids as there are slots on healthy cards."""
    def offers(cards, split):
        return {resource: sum(c.count(split) for c in cards if c.healthy)}
    return offers


def units_of(resource, ids, cores_name, cores, memory_name, unit):
    """Cards that are known by amounts alone: vendors-a.md 2.4 and 4.4."""
    def offers(cards, _split):
        return {resource: ids * len(cards), cores_name: cores * len(cards),
                memory_name: sum(c.memory for c in cards) // unit}
    return offers


def cards_of(resource, cores_name=None):
    def offers(cards, _split):
        out = {resource: len(cards)}
        if cores_name:
            out[cores_name] = sum(c.more["units"] for c in cards)
        return out
    return offers


# -- what is read of a pod ---------------------------------------------------------------------------------------
#
# reads(maker, pod, slots, cards, node) → complaints. `pod` as kubelet got it, `slots` its allocated list decoded:
# [[(uuid, type, memory, cores)]], by container.


def same(what, got, want):
    return [] if got == want else ["%s is %r, wanted %r" % (what, got, want)]


def a_time(notes, key, digits):
    text = notes.get(key, "")
    return [] if re.match(r"[1-9][0-9]{%d}\Z" % (digits - 1), text) else ["%s is %r, not a time" % (key, text)]


def by_uuid(cards):
    return {c.uuid: c for c in cards}


def flat(slots):
    return [d for slot in slots for d in slot]


def last_used(slots):
    return next((s for s in reversed(slots) if s), [])


def reads_objects(maker, pod, slots, cards, _node):
    """vendors-a.md 1.10: an object a card, in the list's order; a template in a hard split, or the whole card."""
    notes = pod["metadata"]["annotations"]
    soft = notes.get("huawei.com/vnpu-mode") == "hami-core"
    want, wrong = [], a_time(notes, "predicate-time", 10)
    known = by_uuid(cards)
    for uuid, _, memory, cores in flat(slots):
        entry = {"UUID": uuid, "temp": None, "memory": memory, "core": cores if soft else 0}
        if not soft:
            name = next((n for n, m in maker.templates if m == memory), None)
            entry["temp"] = name
            if name is None and uuid in known and memory != maker.whole:
                wrong.append("%d MiB on %s is no template and not the whole card" % (memory, uuid))
        want.append({k: v for k, v in entry.items() if v})
    return wrong + same("huawei.com/" + maker.key, notes.get("huawei.com/" + maker.key), compact(want))


def reads_profile(_maker, pod, slots, cards, _node):
    """vendors-a.md 2.10: one profile a pod, that of the first card."""
    notes = pod["metadata"]["annotations"]
    uuid, _, memory, cores = flat(slots)[0]
    card = by_uuid(cards).get(uuid)
    return (same("CAMBRICON_DSMLU_ASSIGNED", notes.get("CAMBRICON_DSMLU_ASSIGNED"), "false")
            + same("CAMBRICON_DSMLU_PROFILE", notes.get("CAMBRICON_DSMLU_PROFILE"),
                   "%d_%d_%d" % (card.index if card else -1, cores, memory // 256)))


def reads_index(_maker, pod, slots, cards, node):
    """vendors-a.md 4.10."""
    notes, known = pod["metadata"]["annotations"], by_uuid(cards)
    return (same("mthreads.com/gpu-index", notes.get("mthreads.com/gpu-index"),
                 ",".join(str(known[d[0]].index) for d in last_used(slots) if d[0] in known))
            + a_time(notes, "mthreads.com/predicate-time", 19)
            + same("mthreads.com/predicate-node", notes.get("mthreads.com/predicate-node"), node))


def reads_by_container(_maker, pod, slots, _cards, _node):
    """vendors-b.md 1j."""
    notes = pod["metadata"]["annotations"]
    want = [[{k: v for k, v in (("uuid", u), ("compute", c), ("vRam", m)) if v} for u, _, m, c in slot] for slot in slots]
    return (same("metax-tech.com/gpu-devices-allocated", notes.get("metax-tech.com/gpu-devices-allocated"), compact(want))
            + a_time(notes, "metax-tech.com/predicate-time", 19))


def reads_assigned(_maker, pod, slots, cards, _node):
    """vendors-b.md 2j: slices by the container's name, of a profile that the node registered."""
    notes, known, wrong = pod["metadata"]["annotations"], by_uuid(cards), []
    names = [c["name"] for c in (pod["spec"].get("initContainers") or []) + pod["spec"]["containers"]]
    want, first = {}, None
    for name, slot in zip(names, slots):
        if not slot:
            continue
        uuid, _, memory, _ = slot[0]
        card = known.get(uuid)
        profile = next(((n, i, s) for n, (i, s, gb) in sorted((card.more["profiles"] if card else {}).items())
                        if gb * 1024 == memory), None)
        if profile is None:
            wrong.append("%d MiB on %s is the memory of no profile" % (memory, uuid))
            continue
        first = first or (card, profile[2])
        want[name] = {"allocated": False, "request": profile[2], "profileID": profile[1], "profileName": profile[0]}
    wrong += same("assigned-containers", notes.get("assigned-containers"), compact({k: want[k] for k in sorted(want)}))
    if first:
        card, size = first
        for key, value in (("assigned", "false"), ("assigned-index", str(card.index)), ("assigned-id", str(card.index)),
                           ("assigned-minor", str(card.more.get("minor", card.index))), ("request-size", str(size))):
            wrong += same("enflame.com/gcu-" + key, notes.get("enflame.com/gcu-" + key), value)
    return wrong + a_time(notes, "enflame.com/gcu-assigned-time", 19)


def reads_idx(_maker, pod, slots, cards, _node):
    """vendors-b.md 3j."""
    notes, known = pod["metadata"]["annotations"], by_uuid(cards)
    return same("BAIDU_COM_DEVICE_IDX", notes.get("BAIDU_COM_DEVICE_IDX"),
                ",".join(str(known[d[0]].index) for d in last_used(slots) if d[0] in known))


def reads_core_ids(_maker, pod, slots, cards, node):
    """vendors-b.md 4j: numbers of devices, or of cores, from the masks of the list."""
    notes, known, ids = pod["metadata"]["annotations"], by_uuid(cards), []
    everyone = (pod["spec"].get("initContainers") or []) + pod["spec"]["containers"]
    cores_only = True
    for container, slot in zip(everyone, slots):
        if slot and "aws.amazon.com/neuron" in container["resources"]["limits"]:
            cores_only = False
            ids += [str(known[d[0]].index) for d in slot if d[0] in known]
            continue
        for uuid, _, _, mask in slot:
            per = known[uuid].more["units"] if uuid in known else 0
            ids += [str(per * known[uuid].index + bit) for bit in range(per) if mask >> bit & 1]
    wrong = same("AWS_NEURON_IDS", notes.get("AWS_NEURON_IDS"), ",".join(ids))
    wrong += same("NEURON_RESOURCE_TYPE", notes.get("NEURON_RESOURCE_TYPE"), "aws.amazon.com/neuroncore" if cores_only else None)
    wrong += same("NEURON_ALLOCATED", notes.get("NEURON_ALLOCATED"), "false")
    wrong += same("aws.amazon.com/predicate-node", notes.get("aws.amazon.com/predicate-node"), node)
    return wrong + a_time(notes, "NEURON_ALLOC_TIME", 19)


MIG = "hami.io/vgpu-mig-allocations"
MIG_FIELDS = ("containerIndex", "deviceIndex", "gpuUUID", "profile", "placement")


def mig_entries(text):
    """node-side.md 2.6: a list of objects; ValueError says what the real decoder dislikes."""
    entries = json.loads(text)
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise ValueError("not a list of objects")
    seen = set()
    for e in entries:
        for field in MIG_FIELDS:
            if field not in e or e[field] in ("", None):
                raise ValueError("%s is missing" % field)
        if not e["placement"].get("size") or e["placement"].get("start", -1) < 0:
            raise ValueError("placement %r" % e["placement"])
        if sum(k in e for k in ("migUUID", "gpuInstanceID", "computeInstanceID")) not in (0, 3):
            raise ValueError("some of the three runtime members")
        at = (e["containerIndex"], e["deviceIndex"])
        if at in seen:
            raise ValueError("%r twice" % (at,))
        seen.add(at)
    return entries


def reads_slices(_maker, pod, slots, cards, _node):
    """nvidia.md 8.3: as many entries as devices of MIG cards, in their order; amounts are the profile's."""
    notes, known = pod["metadata"]["annotations"], by_uuid(cards)
    want = [(c, d, entry) for c, slot in enumerate(slots) for d, entry in enumerate(slot)
            if entry[0] in known and known[entry[0]].mode == "mig"]
    text = notes.get(MIG)
    if text is None:
        return ["no %s for slices of MIG cards" % MIG] if want else []
    try:
        entries = mig_entries(text)
    except (ValueError, TypeError, AttributeError) as e:
        return ["%s: %s" % (MIG, e)]
    wrong = same("the cards of " + MIG, [(e["containerIndex"], e["deviceIndex"], e["gpuUUID"]) for e in entries],
                 [(c, d, entry[0]) for c, d, entry in want])
    for e, (_, _, (uuid, _, memory, cores)) in zip(entries, want):
        profile = next((p for p in known[uuid].more["migProfiles"] if p["name"] == e["profile"]), None)
        if profile is None:
            wrong.append("card %s has no profile %r" % (uuid, e["profile"]))
            continue
        wrong += same("amounts of %s" % e["profile"], (memory, cores), (profile["memoryMB"], profile["core"]))
        if e["placement"] not in profile["placements"]:
            wrong.append("profile %s cannot be placed at %s" % (e["profile"], e["placement"]))
        # What the scheduler writes has its members in this order and no others.
        if not any("migUUID" in x for x in entries) and text != compact([{k: x[k] for k in MIG_FIELDS} for x in entries]):
            wrong.append("%s is not in its order: %s" % (MIG, text))
    return wrong


# -- the rows ----------------------------------------------------------------------------------------------------


class Maker:
    """One kind of card.

    key        the word in allocation lists, or None: the card's registered model
    calls      resources whose ids kubelet hands out: one Allocate for each container that has one
    write      annotations of the node that the plugin writes, from its cards
    offers     amounts in the node's status
    waiting    key of the list that the plugin consumes; None: it has none
    allocated  key of the list that stays
    habit      "list": finds its pod by the lock, empties the list, sets the phase, releases the lock (node-side.md 5)
               "mark": its pod is the one whose `mark` is "false"; sets it to "true" and deletes a lock of its own
               "deaf": knows nothing of the scheduler: writes nothing
    loaded     its process has the keyword list (node-side.md 7: one has not, and is "done" after any container)
    counted    as many ids as cards in the slot
    """

    def __init__(self, key, calls, write, offers, allocated, waiting=None, habit="list", loaded=True, handshake=None,
                 mark=None, lock=None, reads=None, templates=(), whole=0, counted=True, labels=None, word=None):
        self.name = word or key
        self.key = key
        self.calls = calls
        self.write = write
        self.offers = offers
        self.allocated = allocated
        self.waiting = waiting
        self.habit = habit
        self.loaded = loaded
        self.handshake = handshake
        self.mark = mark
        self.lock = lock or (SHARED_LOCK if habit == "list" else None)
        self.reads = reads
        self.templates = templates
        self.whole = whole
        self.counted = counted
        self.labels = labels or {}

    def call(self, container):
        """(resource, ids) that kubelet asks this plugin for, or None."""
        limits = (container.get("resources") or {}).get("limits") or {}
        return next(((r, number(limits[r])) for r in self.calls if number(limits.get(r, 0))), None)

    def entry_problems(self, device, cards, soft=False):
        """What is wrong with one device of a list, as the plugin knows its cards."""
        uuid, kind, memory, cores = device
        card = by_uuid(cards).get(uuid)
        if card is None:
            return ["card %s is none of this node's" % uuid]
        wrong = same("type of %s" % uuid, kind, self.key or card.model)
        most = 100 if soft else card.cores
        if not 0 <= memory <= card.memory or not 0 <= cores <= most:
            wrong.append("%s: %d MiB and %d cores of a card of %d and %d" % (uuid, memory, cores, card.memory, most))
        return wrong


def pair(stem):
    return {"waiting": "hami.io/%s-devices-to-allocate" % stem, "allocated": "hami.io/%s-devices-allocated" % stem}


def ascend(key, whole, *templates):
    return Maker(key, ["huawei.com/" + key], json_list("hami.io/node-register-" + key), slots_of("huawei.com/" + key),
                 **pair(key), loaded=False, handshake="hami.io/node-handshake-" + key, reads=reads_objects,
                 templates=templates, whole=whole)


def iluvatar(key):
    count = "iluvatar.ai/%s-vgpu" % key
    return Maker(key, [count], text_list("hami.io/node-%s-register" % key), slots_of(count), **pair(key),
                 handshake="hami.io/node-handshake-" + key)


NVIDIA = Maker("NVIDIA", ["nvidia.com/gpu"], json_list("hami.io/node-nvidia-register", "hami.io/node-nvidia-score"),
               slots_of("nvidia.com/gpu"), **pair("vgpu"), reads=reads_slices)

MAKERS = {m.name: m for m in (
    NVIDIA,
    ascend("Ascend910B3", 65536, ("vir05_1c_16g", 16384), ("vir10_3c_32g", 32768)),
    ascend("Ascend910B4", 32768, ("vir05_1c_8g", 8192), ("vir10_3c_16g", 16384)),
    ascend("Ascend910B4-1", 65536, ("vir05_1c_16g", 16384), ("vir10_3c_32g", 32768)),
    ascend("Ascend910C", 65536, ("vir05_1c_16g", 16384), ("vir10_3c_32g", 32768)),
    ascend("Ascend310P", 21527, ("vir01", 3072), ("vir02", 6144), ("vir04", 12288)),
    Maker("MLU", ["cambricon.com/vmlu"], nothing,
          units_of("cambricon.com/vmlu", 20, "cambricon.com/mlu.smlu.vcore", 100, "cambricon.com/mlu.smlu.vmemory", 256),
          **pair("cambricon-mlu"), habit="mark", mark="CAMBRICON_DSMLU_ASSIGNED", lock=CLOCK_LOCK, reads=reads_profile),
    Maker("DCU", ["hygon.com/dcunum"], text_list("hami.io/node-dcu-register"), slots_of("hygon.com/dcunum"),
          **pair("dcu"), handshake="hami.io/node-handshake-dcu"),
    Maker("Mthreads", ["mthreads.com/vgpu"], nothing,
          units_of("mthreads.com/vgpu", 16, "mthreads.com/sgpu-core", 16, "mthreads.com/sgpu-memory", 512),
          allocated="hami.io/mthreads-vgpu-devices-allocated", habit="deaf", reads=reads_index),
    iluvatar("BI-V150"), iluvatar("MR-V100"),
    Maker("Metax-GPU", ["metax-tech.com/gpu"], tables, cards_of("metax-tech.com/gpu"), **pair("metax-gpu"), habit="deaf"),
    Maker("Metax-SGPU", ["metax-tech.com/sgpu"], shared_list, slots_of("metax-tech.com/sgpu"), **pair("metax-sgpu"),
          reads=reads_by_container),
    Maker("GCU", ["enflame.com/gcu"], nothing, cards_of("enflame.com/gcu"), **pair("enflame-gcu"), habit="deaf"),
    Maker("Enflame", ["enflame.com/drs-gcu"], slices_list, slots_of("enflame.com/drs-gcu"),
          allocated="hami.io/enflame-vgpu-devices-allocated", habit="mark", mark="enflame.com/gcu-assigned",
          reads=reads_assigned, counted=False),
    Maker("kunlun", ["kunlunxin.com/xpu"], nothing, cards_of("kunlunxin.com/xpu"), allocated="hami.io/kunlun-allocated",
          habit="deaf", reads=reads_idx),
    Maker("XPU", ["kunlunxin.com/vxpu"], json_list("hami.io/node-register-xpu"), slots_of("kunlunxin.com/vxpu"),
          **pair("xpu"), handshake="hami.io/node-handshake-xpu"),
    Maker("AWSNeuron", ["aws.amazon.com/neuron", "aws.amazon.com/neuroncore"], nothing,
          cards_of("aws.amazon.com/neuron", "aws.amazon.com/neuroncore"), allocated="hami.io/aws-neuron-devices-allocated",
          habit="mark", mark="NEURON_ALLOCATED", reads=reads_core_ids, counted=False),
    Maker(None, ["amd.com/gpu"], json_list("hami.io/node-amd-register"), slots_of("amd.com/gpu"), **pair("amd"), word="AMD"),
    Maker("Vastai", ["vastaitech.com/va"], json_list("hami.io/node-va-register"), slots_of("vastaitech.com/va"),
          **pair("Vastai"), handshake="hami.io/node-handshake-va"),
    Maker("Biren", ["birentech.com/gpu"], json_list("hami.io/node-biren-register"), slots_of("birentech.com/gpu"),
          **pair("Biren"), handshake="hami.io/node-handshake-biren"),
)}

# "Nothing is left to allocate" is a substring test against the words of all makers that a process knows.
KEYWORDS = tuple(MAKERS)


# -- allocation lists --------------------------------------------------------------------------------------------


def decode(text):
    """HAMi's decoder (node-side.md 2.3): lenient, positions kept, one more empty slot after the last ';'."""
    slots = []
    for part in text.split(";"):
        devices = []
        for piece in part.split(":"):
            if "," not in piece:
                continue
            fields = piece.split(",")
            if len(fields) < 4:
                raise ValueError("pod annotation format error, missing fields: %r" % piece)
            for digits in fields[2:4]:
                if not -(1 << 31) <= int(digits) < (1 << 31):
                    raise ValueError("not an int32: %r" % digits)
            devices.append((fields[0], fields[1], int(fields[2]), int(fields[3])))
        slots.append(devices)
    return slots


def decode_all(notes, key):
    """All makers' lists in one pass, as the real plugin does it: garbage in one key blocks all. That of `key` is returned."""
    for name, text in notes.items():
        if name.startswith("hami.io/") and name.endswith("-devices-to-allocate"):
            decode(text)
    if key not in notes:
        raise ValueError("no device request found")
    return decode(notes[key])


def encode(slots):
    """HAMi's encoder: every slot ends with ';', so each rewrite is one longer than what was read."""
    return "".join("".join("%s,%s,%d,%d:" % d for d in slot) + ";" for slot in slots)
