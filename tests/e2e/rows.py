"""The judge's rows: one a kind of card. What a node's object says that it has, what a container asks for, how an
allocation is written, and which pods may be on one card together.

Written from the contract's chapters alone, beside the plugins' rows (makers.py) and not from them: reader.py and
protocol.py read with these.
"""

import collections
import json
import re

ALLOCATED = "hami.io/vgpu-devices-allocated"
REGISTER = "hami.io/node-nvidia-register"
GPU, GPUMEM, GPUCORES = "nvidia.com/gpu", "nvidia.com/gpumem", "nvidia.com/gpucores"
GPUPERCENT = "nvidia.com/gpumem-percentage"
NODE_LOCK, TIME_LOCK = "hami.io/mutex.lock", "cambricon.com/dsmlu.lock"

# One card as its node describes it; `bits`: slices or cores that are given out one by one.
Known = collections.namedtuple("Known", "row shares memory cores bits index model zone mode profiles")
# What a container asks of one row, per card; None: not said. percent: of the card's memory.
Wish = collections.namedtuple("Wish", "count memory cores percent")

SUFFIXES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}


def whole(text):
    """A whole quantity as the API server stores it: it writes 4000 as 4k."""
    match = re.match(r"([0-9]+)([A-Za-z]*)\Z", str(text))
    if not match or match.group(2) not in SUFFIXES:
        raise ValueError("not a whole quantity: %r" % text)
    return int(match.group(1)) * SUFFIXES[match.group(2)]


def stored(container, name):
    """The text of a quantity under limits, else under requests; None when absent."""
    resources = container.get("resources") or {}
    for part in ("limits", "requests"):
        value = (resources.get(part) or {}).get(name)
        if value is not None:
            return value
    return None


def quantity(container, name):
    value = stored(container, name)
    return None if value is None else whole(value)


def containers(pod):
    """[(container, kind)] in positional order; kind is "init", "sidecar" or "app"."""
    spec = pod["spec"]
    out = [(c, "sidecar" if c.get("restartPolicy") == "Always" else "init") for c in spec.get("initContainers") or []]
    return out + [(c, "app") for c in spec.get("containers") or []]


def notes_of(obj):
    return obj["metadata"].get("annotations") or {}


# -- what a node has ---------------------------------------------------------------------------------------------


def known(row, shares=0, memory=0, cores=0, bits=0, index=0, model="", zone=None, mode="", profiles=None):
    return Known(row, shares, memory, cores, bits, index, model, zone, mode, profiles or {})


def most_cores(slices, free, registered):
    """Slices' percents are rounded up, so that all of a card's may come to more than it registered: the most they can.

    slices  [(mask, percent)] of every place of every profile; free: mask of what is not taken
    """
    best = {0: 0}
    for mask in sorted(range(free + 1), key=lambda m: bin(m).count("1")) if slices else ():
        if mask & ~free == 0:
            best[mask] = max([0] + [best[mask & ~s] + percent for s, percent in slices if s & mask == s])
    return max(registered, best[free] if slices else 0)


def from_json(key, zone=None, cores=None):
    """core.md 2.1: absent members are zero."""
    def cards(row, node):
        text = notes_of(node).get(key)
        if text is None:
            return None
        out = {}
        for d in json.loads(text):
            profiles = {p["name"]: p for p in d.get("migProfiles") or []}
            slices, bits = [(mask_of(at), p["core"]) for p in profiles.values() for at in p["placements"]], 0
            for mask, _ in slices:
                bits |= mask
            total = most_cores(slices, bits, d.get("devcore", 0) if cores is None else cores)
            out[d["id"]] = known(row, d.get("count", 0), d.get("devmem", 0), total, bits, d.get("index", 0), d.get("type", ""),
                                 (d.get("custominfo") or {}).get(zone), d.get("mode", ""), profiles)
        return out
    return cards


def from_text(key):
    """core.md 2.2."""
    def cards(row, node):
        text = notes_of(node).get(key)
        if text is None:
            return None
        out = {}
        for piece in filter(None, text.split(":")):
            f = piece.split(",")
            out[f[0]] = known(row, int(f[1]), int(f[2]), int(f[3]), index=int(f[7]) if len(f) > 7 else 0, model=f[4])
        return out
    return cards


def capacity(node, name):
    return whole(((node.get("status") or {}).get("capacity") or {}).get(name, 0))


def from_capacity(resource, infix, per=1, unit=None, **made):
    """vendors-a.md 2.4, 4.4, vendors-b.md 1d, 2d, 3d: cards made up from a number. unit: (memory's name, MiB) of all."""
    def cards(row, node):
        total = capacity(node, resource)
        if not total:
            return None
        memory = {"memory": capacity(node, unit[0]) * unit[1] * per // total} if unit else {}
        return {"%s%s%d" % (node["metadata"]["name"], infix, i): known(row, index=i, **made, **memory)
                for i in range(-(-total // per))}
    return cards


def from_cores(row, node):
    """vendors-b.md 4d."""
    devices, cores = capacity(node, "aws.amazon.com/neuron"), capacity(node, "aws.amazon.com/neuroncore")
    if not devices:
        return None
    per = cores // devices
    return {"%s-AWSNeuron-%d" % (node["metadata"]["name"], i): known(row, per, 0, per, (1 << per) - 1, i) for i in range(devices)}


def from_shared(row, node):
    """vendors-b.md 1d."""
    text = notes_of(node).get("metax-tech.com/node-gpu-devices")
    if text is None:
        return None
    return {d["uuid"]: known(row, d.get("totalDevCount", 0), d.get("totalVRam", 0), d.get("totalCompute", 0), index=i,
                             model=d.get("model", ""), zone=d.get("linkZone", 0)) for i, d in enumerate(json.loads(text))}


def from_slices(row, node):
    """vendors-b.md 2d."""
    text = notes_of(node).get("enflame.com/gcu-drs-capacity")
    if text is None:
        return None
    told = json.loads(text)
    profiles = {}
    for name in told["profiles"]:
        size, memory = re.match(r"(\d+)g\.(\d+)gb", name).groups()
        profiles[name] = (int(size), int(memory))
    most = max(m for _, m in profiles.values())
    largest = max(s for s, _ in profiles.values())

    def total(capacity):
        runs = [(((1 << s) - 1) << at, -(-100 * s // largest)) for s, _ in profiles.values() for at in range(capacity - s + 1)]
        return most_cores(runs, (1 << capacity) - 1, 100)
    return {"%s-enflame-drs-%s" % (node["metadata"]["name"], d["index"]):
            known(row, d["capacity"], most * 1024, total(d["capacity"]), index=int(d["index"]), profiles=profiles)
            for d in told["devices"]}


# -- what a container asks for -----------------------------------------------------------------------------------


def plainly(row, container, _pod):
    count = quantity(container, row.count) or 0
    if not count:
        return None
    memory, cores = quantity(container, row.memory), quantity(container, row.cores)
    memory = memory * row.unit if memory else None
    if row.totals:
        memory, cores = memory and memory // count, cores and cores // count
    cores = row.default_cores if cores is None else min(cores, 100)
    return Wish(count, memory, cores, quantity(container, row.percent))


def by_template(row, container, pod):
    """Admission has written the memory; cores count in a soft split only."""
    wish = plainly(row, container, pod)
    soft = notes_of(pod).get("huawei.com/vnpu-mode") == "hami-core"
    return wish and wish._replace(cores=(wish.cores or 0) if soft else 0)


def in_percent_of_units(row, container, pod):
    """vendors-b.md 5e; the card tells how many units that is (of_units)."""
    wish = plainly(row, container, pod)
    return wish and wish._replace(cores=None, percent=wish.cores)


def in_gib_or_bytes(row, container, pod):
    """vendors-b.md 1e; pods of class online take no cores."""
    wish = plainly(row, container, pod)
    text = stored(container, "metax-tech.com/vmemory")
    if wish and text is not None:
        memory = whole(text) * 1024 if str(text).isdigit() else whole(text) // 2**20
        wish = wish._replace(memory=memory or None)
    return wish and (wish._replace(cores=0) if notes_of(pod).get(CLASS) == "online" else wish)


def in_steps(row, container, pod):
    """vendors-b.md 3e."""
    wish = plainly(row, container, pod)
    if not wish:
        return None
    memory = next((m for m in (24576, 49152) if wish.memory and wish.memory <= m), 98304)
    return wish._replace(memory=memory, cores=memory * 100 // 98304)


def in_slices(_row, container, _pod):
    """vendors-b.md 2e: one card; the profile is worked out where the card is known (of_profile)."""
    names = ("enflame.com/drs-gcu", "enflame.com/gcu-memory", "enflame.com/gcu-core")
    return Wish(1, None, None, None) if any(quantity(container, n) for n in names) else None


def in_cores(_row, container, _pod):
    """vendors-b.md 4e, on devices of two cores: `cores` of each device."""
    devices, cores = quantity(container, "aws.amazon.com/neuron"), quantity(container, "aws.amazon.com/neuroncore")
    if devices:
        return Wish(devices, None, None, 2)
    if not cores:
        return None
    return Wish(1, None, None, cores) if cores <= 2 else Wish(cores // 2, None, None, 2)


# -- how much a share is: sizes(row, pod, container, device, memory, cores) → (memory, cores, shares, bits) -------


def as_listed(_row, _pod, _container, _device, memory, cores):
    return memory, cores, 1, 0


def mask_of(at):
    return ((1 << at["size"]) - 1) << at["start"]


def placed_at(pod, container, device):
    """The MIG entry of one device, or None."""
    text = notes_of(pod).get("hami.io/vgpu-mig-allocations")
    for e in json.loads(text) if text else []:
        if (e.get("containerIndex", 0), e.get("deviceIndex", 0)) == (container, device):
            return e
    return None


def as_placed(_row, pod, container, device, memory, cores):
    e = placed_at(pod, container, device)
    return memory, cores, 1, mask_of(e["placement"]) if e else 0


def as_mask(_row, _pod, _container, _device, memory, cores):
    return memory, bin(cores).count("1"), 1, cores


def as_slices(_row, pod, container, _device, memory, cores):
    name = containers(pod)[container][0]["name"]
    told = json.loads(notes_of(pod).get("assigned-containers", "{}")).get(name)
    if not told:
        raise ValueError("container %s has a slice and is not in assigned-containers" % name)
    return memory, cores, told["request"], 0


# -- amounts that only the card tells: amounts(wish, memory, cores, card, pod, container) → [(what, have, want)] --


def of_card(wish, memory, _cores, card, _pod, _container):
    """What is asked for in MiB and percent of cores is compared without the card (reader.mismatch)."""
    return [] if wish.memory else [("memory", memory, card.memory * min(wish.percent or 100, 100) // 100)]


def of_card_or_slice(wish, memory, cores, card, pod, container):
    if card.mode != "mig":
        return of_card(wish, memory, cores, card, pod, container)
    out = []
    for e in json.loads(notes_of(pod).get("hami.io/vgpu-mig-allocations", "[]")):
        profile = card.profiles.get(e["profile"])
        if profile and (e["containerIndex"], profile["memoryMB"], profile["core"]) == (container, memory, cores):
            out += [("the place of " + e["profile"], e["placement"], e["placement"] if e["placement"] in profile["placements"] else "one of its own")]
            fits = wish.memory is None or memory >= wish.memory
            out += [("room for the ask in " + e["profile"], fits, True)]
    return out or [("slice", "none", "one of %d MiB" % memory)]


def of_whole(_wish, memory, cores, card, _pod, _container):
    return [("memory", memory, card.memory), ("cores", cores, card.cores)]


def of_units(wish, memory, cores, card, _pod, _container):
    """vendors-b.md 5g: percent become compute units of the card."""
    return [("memory", memory, wish.memory or card.memory),
            ("units", cores, min(max(card.cores * wish.percent // 100, 1), card.cores))]


def of_nothing(_wish, memory, cores, _card, _pod, _container):
    return [("memory", memory, 0), ("cores", cores, 0)]


def of_profile(_wish, memory, cores, card, pod, container):
    """vendors-b.md 2g."""
    spec, _ = containers(pod)[container]
    direct = quantity(spec, "enflame.com/drs-gcu")
    asked, share = quantity(spec, "enflame.com/gcu-memory") or 0, quantity(spec, "enflame.com/gcu-core") or 0
    most = max(size for size, _ in card.profiles.values())
    last = max(card.profiles.values())[1]
    need = -(-asked // 1024) if asked > 2 * last else asked
    for size, memory_gb in sorted(card.profiles.values()):
        percent = -(-100 * size // most)
        if size == direct if direct else memory_gb >= need and percent >= share:
            return [("memory", memory, memory_gb * 1024), ("cores", cores, percent)]
    return [("profile", "one", "none that would do")]


def of_mask(wish, memory, cores, card, _pod, _container):
    """A number of cores of the device, all of them where devices are asked for."""
    return [("memory", memory, 0), ("cores", bin(cores).count("1"), min(wish.percent, card.cores)),
            ("cores outside the device", cores & ~card.bits, 0)]


# -- who may be on one card: together(pod, other, use, other's use) → why not, or None ----------------------------

CLASS, QOS = "metax-tech.com/sgpu-app-class", "metax-tech.com/sgpu-qos-policy"


def anybody(_pod, _other, _use, _other_use):
    return None


def equals(_pod, _other, use, other_use):
    return None if use[1] * other_use[0] == other_use[1] * use[0] else "shares of different sizes"


def one_policy(pod, other, _use, _other_use):
    """vendors-b.md 1g: one QoS policy a card, and classes that go together; `pod` is the later one."""
    mine, theirs = notes_of(pod).get(CLASS), notes_of(other).get(CLASS)
    if (mine is None) != (theirs is None) or (mine, theirs) == ("offline", "online"):
        return "classes %s and %s" % (mine, theirs)
    policies = {notes_of(p).get(QOS) for p in (pod, other) if notes_of(p).get(CLASS) != "online"}
    return "QoS policies %s" % sorted(map(str, policies)) if len(policies) > 1 else None


# -- the rows ----------------------------------------------------------------------------------------------------


class Row:
    """One kind of card. Flags:

    lock      NODE_LOCK, TIME_LOCK or None: which lock of the node its pods are bound under
    totals    memory and cores are of all cards of a container together
    whole     cores 100 of 100 hold a card alone         alone   nobody shares a card, whatever its slots say
    modules   several cards come in pairs (2n, 2n+1)     no_memory   lists say 0 MiB
    """

    def __init__(self, name, count, cards, allocated, waiting=None, memory="", cores="", percent="", unit=1, default_cores=None,
                 word=None, lock=None, totals=False, whole_alone=False, alone=False, modules=False, no_memory=False,
                 wish=plainly, sizes=as_listed, amounts=of_card, together=anybody, extra=()):
        self.name = name
        self.count, self.memory, self.cores, self.percent = count, memory, cores, percent
        self.allocated, self.waiting = allocated, waiting
        self.unit, self.default_cores = unit, default_cores
        self.lock = lock
        self.totals, self.whole, self.alone = totals, whole_alone, alone
        self.modules, self.no_memory = modules, no_memory
        self.extra = tuple(extra)        # further annotations that a decision must leave
        self._cards, self._wish, self._sizes = cards, wish, sizes
        self.amounts, self.together = amounts, together
        self.entry = re.compile(r"(?P<uuid>[A-Za-z0-9][A-Za-z0-9._-]*),%s,(?P<memory>0|[1-9][0-9]*),(?P<cores>0|[1-9][0-9]*)\Z"
                                % (word or re.escape(name)))

    def cards(self, node):
        return self._cards(self, node)

    def wish(self, container, pod):
        return self._wish(self, container, pod)

    def sizes(self, pod, container, device, memory, cores):
        return self._sizes(self, pod, container, device, memory, cores)


def pair(stem):
    return {"allocated": "hami.io/%s-devices-allocated" % stem, "waiting": "hami.io/%s-devices-to-allocate" % stem}


def ascend(key, **more):
    name = "huawei.com/" + key
    return Row(key, name, from_json("hami.io/node-register-" + key, "NetworkID"), **pair(key), memory=name + "-memory",
               cores=name + "-core", lock=NODE_LOCK, whole_alone=True, wish=by_template, amounts=of_card,
               extra=("predicate-time", name), **more)


def iluvatar(key):
    name = "iluvatar.ai/" + key
    return Row(key, name + "-vgpu", from_text("hami.io/node-%s-register" % key), **pair(key), memory=name + ".vMem",
               cores=name + ".vCore", unit=256, default_cores=0, lock=NODE_LOCK, whole_alone=True)


NVIDIA = Row("NVIDIA", GPU, from_json(REGISTER), **pair("vgpu"), memory=GPUMEM, cores=GPUCORES, percent=GPUPERCENT,
             lock=NODE_LOCK, whole_alone=True, sizes=as_placed, amounts=of_card_or_slice)

ROWS = (
    NVIDIA,
    ascend("Ascend910B3"), ascend("Ascend910B4"), ascend("Ascend910B4-1"), ascend("Ascend910C", modules=True),
    ascend("Ascend310P"),
    Row("MLU", "cambricon.com/vmlu", from_capacity("cambricon.com/mlu.smlu.vcore", "-cambricon-mlu-", 100,
        ("cambricon.com/mlu.smlu.vmemory", 256), shares=100, cores=100), **pair("cambricon-mlu"),
        memory="cambricon.com/mlu.smlu.vmemory", cores="cambricon.com/mlu.smlu.vcore", unit=256, default_cores=100,
        lock=TIME_LOCK, whole_alone=True, extra=("CAMBRICON_DSMLU_ASSIGNED", "CAMBRICON_DSMLU_PROFILE")),
    Row("DCU", "hygon.com/dcunum", from_text("hami.io/node-dcu-register"), **pair("dcu"), memory="hygon.com/dcumem",
        cores="hygon.com/dcucores", default_cores=100, lock=NODE_LOCK, whole_alone=True),
    Row("Mthreads", "mthreads.com/vgpu", from_capacity("mthreads.com/sgpu-core", "-mthreads-", 16,
        ("mthreads.com/sgpu-memory", 512), shares=100, cores=16), "hami.io/mthreads-vgpu-devices-allocated",
        memory="mthreads.com/sgpu-memory", cores="mthreads.com/sgpu-core", unit=512, default_cores=0, totals=True,
        extra=("mthreads.com/gpu-index", "mthreads.com/predicate-time", "mthreads.com/predicate-node")),
    iluvatar("BI-V150"), iluvatar("MR-V100"),
    Row("Metax-GPU", "metax-tech.com/gpu", from_capacity("metax-tech.com/gpu", "-metax-", shares=1, memory=65536, cores=100),
        **pair("metax-gpu"), alone=True, amounts=of_whole),
    Row("Metax-SGPU", "metax-tech.com/sgpu", from_shared, **pair("metax-sgpu"), cores="metax-tech.com/vcore",
        default_cores=100, lock=NODE_LOCK, whole_alone=True, wish=in_gib_or_bytes, together=one_policy,
        extra=("metax-tech.com/gpu-devices-allocated", "metax-tech.com/predicate-time")),
    Row("GCU", "enflame.com/gcu", from_capacity("enflame.com/gcu", "-GCU-", shares=1, memory=100, cores=100),
        **pair("enflame-gcu"), alone=True, amounts=of_whole),
    Row("Enflame", "enflame.com/drs-gcu", from_slices, "hami.io/enflame-vgpu-devices-allocated", wish=in_slices,
        sizes=as_slices, amounts=of_profile,
        extra=("assigned-containers", *("enflame.com/gcu-" + k for k in ("assigned", "assigned-time", "assigned-index",
                                                                         "assigned-id", "assigned-minor", "request-size")))),
    Row("kunlun", "kunlunxin.com/xpu", from_capacity("kunlunxin.com/xpu", "-kunlun-", shares=100, memory=98304, cores=100),
        "hami.io/kunlun-allocated", alone=True, amounts=of_whole, extra=("BAIDU_COM_DEVICE_IDX",)),
    Row("XPU", "kunlunxin.com/vxpu", from_json("hami.io/node-register-xpu"), **pair("xpu"), memory="kunlunxin.com/vxpu-memory",
        lock=NODE_LOCK, wish=in_steps, together=equals),
    Row("AWSNeuron", "aws.amazon.com/neuron", from_cores, "hami.io/aws-neuron-devices-allocated", wish=in_cores, sizes=as_mask,
        amounts=of_mask, no_memory=True,
        extra=("AWS_NEURON_IDS", "NEURON_ALLOC_TIME", "NEURON_ALLOCATED", "aws.amazon.com/predicate-node")),
    Row("AMD", "amd.com/gpu", from_json("hami.io/node-amd-register"), **pair("amd"), memory="amd.com/gpumem",
        cores="amd.com/gpucores", default_cores=100, word="AMD [A-Za-z0-9 ._-]+", lock=NODE_LOCK,
        wish=in_percent_of_units, amounts=of_units),
    Row("Vastai", "vastaitech.com/va", from_json("hami.io/node-va-register", "AIC", cores=100), **pair("Vastai"),
        lock=NODE_LOCK, no_memory=True, amounts=of_nothing),
    Row("Biren", "birentech.com/gpu", from_json("hami.io/node-biren-register", cores=100), **pair("Biren"), lock=NODE_LOCK,
        no_memory=True, amounts=of_nothing),
)

# Every annotation that a decision may leave on a pod, beside what all pods with cards have.
DECIDED = {k for r in ROWS for k in (r.allocated, r.waiting, *r.extra) if k} | {"hami.io/vgpu-mig-allocations", "NEURON_RESOURCE_TYPE"}


# The resources that make a container one that asks for a row's cards.
ASKING = {r.count: r for r in ROWS}
ASKING.update({"enflame.com/gcu-memory": ASKING["enflame.com/drs-gcu"], "enflame.com/gcu-core": ASKING["enflame.com/drs-gcu"],
               "aws.amazon.com/neuroncore": ASKING["aws.amazon.com/neuron"]})


def asked(pod):
    """Rows of which some container of the pod asks for cards, in the order of ROWS."""
    out = set()
    for container, _ in containers(pod):
        resources = container.get("resources") or {}
        for name in (*(resources.get("limits") or ()), *(resources.get("requests") or ())):
            row = ASKING.get(name)
            if row and row not in out and row.wish(container, pod):
                out.add(row)
    return sorted(out, key=ROWS.index) if len(out) > 1 else list(out)


def cards_of(node):
    """{uuid: Known} of all makers; None when the node registers nothing readable."""
    out = None
    for row in ROWS:
        try:
            cards = row.cards(node)
        except (ValueError, TypeError, KeyError, AttributeError):
            continue
        if cards is not None:
            out = {**(out or {}), **cards}
    return out
