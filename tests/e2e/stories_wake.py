"""The story of waking: a pod that waits gets its room soon, whatever made the room appear."""

import time

import kube
from harness import NAMESPACE, World, expect, gpu, make_node

WITHIN = 3.0        # seconds from the room's appearance, kube-scheduler being idle
BACKOFF = 1         # kube-scheduler's own, after a refusal: set to one second, at first and at most

CORDON = "hami.io/device-cordon"
TYPE = "nvidia.com/use-gputype"
WHOLE = dict(mem=24576, cores=50)
QUOTAS = "/api/v1/namespaces/%s/resourcequotas" % NAMESPACE


def too_late(seconds, backoffs):
    """Why this wait was too long, or None. `backoffs`: refusals that kube-scheduler may have to sit out meanwhile."""
    limit = WITHIN + backoffs * BACKOFF
    if seconds <= limit:
        return None
    return "%.2f s, and %.0f s + %d back-off of %d s are allowed" % (seconds, WITHIN, backoffs, BACKOFF)


class Case:
    """One trigger: a kind of card of its own, so that nothing else that happens can help or hinder."""

    def __init__(self, w, name):
        self.w, self.name = w, name
        self.node, self.model = "node-" + name, "NVIDIA " + name.upper()
        self.card = "GPU-%s-0" % self.node
        self.pods = []

    def add_node(self):
        self.w.nodes(make_node(self.node, model=self.model))

    def pod(self, name, scheduler=None):
        """A pod that takes the whole card."""
        name = "%s-%s" % (name, self.name)
        self.pods.append(name)
        more = {"scheduler": scheduler} if scheduler else {}
        return self.w.pod(name, gpu(**WHOLE), notes={TYPE: self.model}, **more)

    def waits(self):
        """A pod is refused, and kube-scheduler's back-off passes: it is idle."""
        self.pod("waits")
        message = self.w.refused("waits-" + self.name)
        time.sleep(BACKOFF + 0.3)
        return message

    def taken(self):
        """The card is taken by a pod that runs."""
        self.pod("first")
        self.w.running("first-" + self.name)

    def woken(self, began, backoffs=1):
        """The waiting pod gets its node; says how long that took and who made kube-scheduler ask again."""
        self.w.bound("waits-" + self.name, seconds=20)
        seconds = time.monotonic() - began
        self.w.notes.append("%s %.2f s" % (self.name, seconds))
        late = too_late(seconds, backoffs)
        expect(not late, "%s: %s", self.name, late)
        self.w.running("waits-" + self.name)

    def over(self):
        for name in self.pods:
            if self.w.now(name) is not None:
                self.w.delete(name)
        self.w.wait(lambda: not any(self.w.now(n) for n in self.pods), 20, "pods of %s gone" % self.name)


def freed(w, case):
    """A pod ends."""
    case.add_node()
    case.taken()
    case.waits()
    began = time.monotonic()
    w.end("first-freed")
    case.woken(began)


def healthy(w, case):
    """A sick card gets well."""
    case.add_node()
    w.plugin.set_health(case.node, case.card, False)
    case.waits()
    began = time.monotonic()
    w.plugin.set_health(case.node, case.card, True)
    case.woken(began)


def uncordoned(w, case):
    """A card is given back by the people who had taken it out."""
    case.add_node()
    w.api.patch(kube.node_path(case.node), {"metadata": {"annotations": {CORDON: case.card}}})
    case.waits()
    began = time.monotonic()
    w.api.patch(kube.node_path(case.node), {"metadata": {"annotations": {CORDON: None}}})
    case.woken(began)


def registered(w, case):
    """A node comes, and its plugin registers."""
    case.waits()
    began = time.monotonic()
    case.add_node()
    case.woken(began)


def quota(w, case):
    """The namespace may use more: kube-scheduler knows nothing of quotas of cards."""
    case.add_node()
    w.api.create(QUOTAS, {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "cards"},
                          "spec": {"hard": {"limits.nvidia.com/gpumem": "1000"}}})
    w.wait(lambda: "1000" in w.metrics_of("hami_resource_quota_limit"), 5, "the quota known")
    message = case.waits()
    expect("ResourceQuotaNotFit" in message, "the refusal should name the quota: %s", message)
    began = time.monotonic()
    w.api.patch(QUOTAS + "/cards", {"spec": {"hard": {"limits.nvidia.com/gpumem": "30000"}}})
    case.woken(began)
    w.api.delete(QUOTAS + "/cards")


def held(w, case):
    """A pod of another scheduler was told that it fits, and is deleted without ever having been bound."""
    case.add_node()
    other = case.pod("other", scheduler="nobody")
    listed, _ = w.filter(other, [case.node])
    expect(listed == [case.node], "the other pod should fit: %s", listed)
    message = case.waits()
    expect("NodeHeld" in message, "the refusal should say that it is held: %s", message)
    began = time.monotonic()
    w.delete("other-held", grace=0)
    case.woken(began)


def aged(w, case):
    """The same, and the other pod is still there: what it was told is kept for half a minute."""
    case.add_node()
    other = case.pod("other", scheduler="nobody")
    began = time.monotonic() + 30
    listed, _ = w.filter(other, [case.node])
    expect(listed == [case.node], "the other pod should fit: %s", listed)
    case.waits()
    w.stays_pending("waits-aged", began - time.monotonic() - 0.5)
    case.woken(began)


def late(w, case):
    """kube-scheduler hears of a deletion, asks, and is refused: our own watch does not know yet."""
    case.add_node()
    case.taken()
    case.waits()
    asked = w.verb_count("filter")
    w.link.hold()
    w.delete("first-late")
    w.wait(lambda: w.now("first-late") is None, 10, "first-late gone")
    w.wait(lambda: w.verb_count("filter") > asked, 10, "kube-scheduler asking about what it heard of")
    time.sleep(BACKOFF + 0.3)       # idle again
    expect(not w.now("waits-late")["spec"].get("nodeName"), "bound before the watch knew of the room")
    began = time.monotonic()
    w.link.let_go()
    case.woken(began)


def sampled(w, case):
    """kube-scheduler asks about a hundred nodes of many, and the one that fits is not among them."""
    others, fewest, most = 300, 5, 10
    w.nodes(*[make_node("plain-%03d" % i, cards=0) for i in range(others)])
    w.plane.scheduler.kill()
    w.plane.start_scheduler(percentage=1, backoff=BACKOFF)      # one in a hundred, but at least a hundred
    case.add_node()
    took, before = [], w.metric("cardinald_wakes_total")
    # Whether the sample has the node in it is chance; it must have been without it once.
    while len(took) < fewest or len(took) < most and w.metric("cardinald_wakes_total") == before:
        name = "p-%d" % len(took)
        case.pods.append(name)
        began = time.monotonic()
        w.pod(name, gpu(mem=1000, cores=5), notes={TYPE: case.model})
        w.bound(name)
        took.append(time.monotonic() - began)
    w.notes.append("%s at most %.2f s of %d" % (case.name, max(took), len(took)))
    problem = too_late(max(took), 2)        # asked, touched, asked in vain, nominated
    expect(not problem, "%s: %s", case.name, problem)
    w.running(*case.pods)


# Triggers that only cardinald knows of, or knows of after kube-scheduler: nobody else can have woken the pod.
OURS = ("quota", "held", "aged", "late", "sampled")
TRIGGERS = (("freed", freed), ("healthy", healthy), ("uncordoned", uncordoned), ("registered", registered),
            ("quota", quota), ("held", held), ("aged", aged), ("late", late), ("sampled", sampled))


def wakes(options):
    """A waiting pod is placed within 3 s of the room appearing, by each of nine triggers; each measured."""
    with World(options, "wakes") as w:
        w.link = w.own_link("apiserver")
        w.plane.start_cardinald("--kubeconfig=" + w.plane.kubeconfig("cardinald", w.link.port))
        w.plane.start_scheduler(backoff=BACKOFF)
        for name, trigger in TRIGGERS:
            before = w.metric("cardinald_wakes_total")
            case = Case(w, name)
            trigger(w, case)
            woken = w.metric("cardinald_wakes_total") - before
            expect(woken > 0 or name not in OURS, "%s: the pod was placed without a touch of ours", name)
            case.over()
        w.notes.append("%d touches" % w.metric("cardinald_wakes_total"))
