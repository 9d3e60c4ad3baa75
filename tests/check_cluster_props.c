/* Properties of the ledger: random lives of pods and nodes beside a naive model that shares no code
 * with it, failing allocations, and readers beside a writer. PROP_SEED=n repeats a walk. */
#include "check_cluster.h"

#include "fail_alloc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* ---- aligned_alloc fails with its sisters ---- */

void *__real_aligned_alloc(size_t align, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n)
{
    void *probe = malloc(1);
    if (!probe)
        return NULL;
    free(probe);
    return __real_aligned_alloc(align, n);
}

/* ---- chance ---- */

static uint64_t rng;
static uint32_t chance(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 32) % n;
}

/* ---- the model ---- */

enum { NODES = 5, CARDS = 4, VENDORS = 2, PODS = 40, CONTAINERS = 3, SPACES = 3 };
enum m_state { M_NONE, M_WAITING, M_ASSUMED, M_CONFIRMED, M_BOUND };
struct m_share {
    int container, vendor, card;
    int64_t mem;
    int32_t cores;
};
struct m_pod {
    enum m_state state;
    int node, space;
    enum score_step steps[CONTAINERS];
    struct score_ask asks[CONTAINERS];
    int asks_n;
    struct m_share notes[CONTAINERS]; /* its annotations */
    int notes_n;
    bool broken; /* its list of vendor 0 is */
    /* what should be charged */
    struct m_share shares[CONTAINERS];
    int shares_n;
    unsigned closed;
    int64_t cpu;
};
struct m_node {
    bool known;
    bool card[VENDORS][CARDS];
    int64_t mem_total;
};
static struct {
    struct m_pod pod[PODS];
    struct m_node node[NODES];
    int64_t cpu_only[NODES]; /* CPU of one CPU-only pod a node; 0: none */
} m;
struct m_use {
    int64_t mem, cores, shares;
};

static struct world w;
static void setup(void) { world_open(&w); }
static void teardown(void) { world_close(&w); }

/* The pod's effective use of one card, straight from Kubernetes' rule: the most at any moment of
 * its life. */
static struct m_use use_of(const struct m_pod *p, int vendor, int card)
{
    struct m_use most = {0, 0, 0};
    for (int moment = 0; moment <= CONTAINERS;
         moment++) { /* container `moment` starts; or all apps run */
        bool apps = moment == CONTAINERS;
        struct m_use now = {0, 0, 0};
        if (!apps && p->steps[moment] != SCORE_STEP_INIT)
            continue;
        for (int i = 0; i < p->shares_n; i++) {
            const struct m_share *s = &p->shares[i];
            enum score_step step = p->steps[s->container];
            bool runs = apps ? step != SCORE_STEP_INIT
                             : s->container == moment ||
                                   (step == SCORE_STEP_SIDECAR && s->container < moment);
            if (s->vendor != vendor || s->card != card || !runs)
                continue;
            now.mem += s->mem;
            now.cores += s->cores;
            now.shares++;
        }
        most.mem = now.mem > most.mem ? now.mem : most.mem;
        most.cores = now.cores > most.cores ? now.cores : most.cores;
        most.shares = now.shares > most.shares ? now.shares : most.shares;
    }
    return most;
}

static bool charged(const struct m_pod *p) { return p->state >= M_ASSUMED; }

static struct m_use use_on(int node, int vendor, int card)
{
    struct m_use sum = {0, 0, 0};
    for (int i = 0; i < PODS; i++)
        if (charged(&m.pod[i]) && m.pod[i].node == node) {
            struct m_use u = use_of(&m.pod[i], vendor, card);
            sum.mem += u.mem;
            sum.cores += u.cores;
            sum.shares += u.shares;
        }
    return sum;
}

static void truth_charges(struct m_pod *p)
{
    p->closed = p->broken && p->asks_n > 0 ? 1 : 0;
    p->shares_n = 0;
    for (int a = 0; a < p->asks_n; a++) {
        int named = 0;
        for (int i = 0; i < p->notes_n; i++)
            named += p->notes[i].container == p->asks[a].container &&
                     p->notes[i].vendor == p->asks[a].vendor;
        if (named < p->asks[a].count)
            p->closed |= 1u << p->asks[a].vendor;
    }
    bool asks_nv = false;
    for (int a = 0; a < p->asks_n; a++)
        asks_nv |= p->asks[a].vendor == NV;
    if (!asks_nv)
        p->closed &= ~1u;
    for (int i = 0; i < p->notes_n; i++) {
        struct m_share s = p->notes[i];
        bool of_asked = false;
        for (int a = 0; a < p->asks_n; a++) {
            of_asked |= p->asks[a].vendor == s.vendor;
            if (p->asks[a].vendor != s.vendor || p->asks[a].container != s.container)
                continue;
            s.mem = p->asks[a].mem_mib > s.mem ? p->asks[a].mem_mib : s.mem;
            s.cores = p->asks[a].cores_pct > s.cores ? p->asks[a].cores_pct : s.cores;
        }
        if (of_asked)
            p->shares[p->shares_n++] = s;
    }
}

/* ---- saying it to the store ---- */

static struct str card_name(int vendor, int card)
{
    static const struct str NAMES[VENDORS][CARDS] = {
        {STR_INIT("c0"), STR_INIT("c1"), STR_INIT("c2"), STR_INIT("c3")},
        {STR_INIT("c0"), STR_INIT("c1"), STR_INIT("x2"),
         STR_INIT("x3")}}; /* equal names of two vendors */
    return NAMES[vendor][card];
}

static struct str numbered(const char *what, int n) { return str_z(fmt(&w, "%s%d", what, n)); }

static struct cluster_pod say(int i, bool bound)
{
    static const struct str NAMES[CONTAINERS] = {STR_INIT("one"), STR_INIT("two"),
                                                 STR_INIT("three")};
    static struct cluster_share shares[CONTAINERS];
    const struct m_pod *p = &m.pod[i];
    struct cluster_pod pod = {.uid = numbered("uid-", i),
                              .ns = numbered("ns-", p->space),
                              .name = numbered("pod-", i),
                              .node = bound ? numbered("node-", p->node) : STR(""),
                              .resource_version = STR("1"),
                              .nominated_node = STR(""),
                              .scheduler_name = STR(""),
                              .refused_text = STR(""),
                              .vgpu_node = STR(""),
                              .bind_phase = STR(""),
                              .cpu_milli = p->cpu,
                              .containers_n = CONTAINERS,
                              .steps = p->steps,
                              .container_names = NAMES,
                              .wants = CLUSTER_WANTS_CARDS,
                              .shares = shares,
                              .shares_broken = p->broken,
                              .shares_broken_vendors = p->broken};
    pod.request = (struct score_request){.vendors = vendor_cores(w.vendors),
                                         .vendors_n = 2,
                                         .steps = p->steps,
                                         .containers_n = CONTAINERS,
                                         .asks = p->asks,
                                         .asks_n = (uint16_t)p->asks_n,
                                         .policy = SCORE_POLICY_DEFAULT};
    for (int a = 0; a < p->asks_n; a++)
        pod.vendors_asked |= (uint64_t)1 << p->asks[a].vendor;
    for (int n = 0; n < p->notes_n; n++)
        shares[pod.shares_n++] =
            (struct cluster_share){.container = (uint16_t)p->notes[n].container,
                                   .vendor = (uint16_t)p->notes[n].vendor,
                                   .uuid = card_name(p->notes[n].vendor, p->notes[n].card),
                                   .mem_mib = p->notes[n].mem,
                                   .cores_pct = p->notes[n].cores};
    return pod;
}

static void apply(int i, bool bound)
{
    struct err err;
    struct cluster_pod pod = say(i, bound);
    ck_assert_msg(!cluster_apply_pod(w.st, &pod, &err), "%s", err.text);
}

static void random_pod(struct m_pod *p)
{
    *p = (struct m_pod){.state = M_NONE, .space = (int)chance(SPACES), .cpu = chance(4000)};
    p->steps[0] = chance(3) ? SCORE_STEP_APP : chance(2) ? SCORE_STEP_INIT : SCORE_STEP_SIDECAR;
    p->steps[1] = p->steps[0] == SCORE_STEP_APP || chance(2) ? SCORE_STEP_APP : SCORE_STEP_INIT;
    p->steps[2] = SCORE_STEP_APP;
    for (int c = 0; c < CONTAINERS; c++)
        if (chance(2) || (c == CONTAINERS - 1 && p->asks_n == 0))
            p->asks[p->asks_n++] = (struct score_ask){.container = (uint16_t)c,
                                                      .vendor = chance(4) ? NV : ACME,
                                                      .count = 1,
                                                      .mem_mib = 1 + chance(3000),
                                                      .cores_pct = (int32_t)chance(40)};
}

/* Annotations as somebody else may have written them: right, other amounts, other cards, broken,
 * too few. */
static void random_notes(struct m_pod *p)
{
    p->notes_n = 0;
    p->broken = chance(20) == 0;
    for (int a = 0; a < p->asks_n; a++) {
        if (chance(12) == 0 || (p->broken && p->asks[a].vendor == NV))
            continue;
        struct m_share s = {p->asks[a].container, p->asks[a].vendor, (int)chance(CARDS),
                            p->asks[a].mem_mib, p->asks[a].cores_pct};
        if (chance(4) == 0) {
            s.mem = chance(5000);
            s.cores = (int32_t)chance(60);
        }
        p->notes[p->notes_n++] = s;
    }
}

static void random_node(int n)
{
    static struct vendor_device list[VENDORS][CARDS];
    struct cluster_node_cards of[VENDORS];
    struct cluster_node_object o = {.uid = STR("u"), .resource_version = STR("1"), .cards = of};
    struct err err;
    struct m_node *node = &m.node[n];
    *node = (struct m_node){.known = true, .mem_total = 1000 * (1 + chance(40))};
    o.name = numbered("node-", n);
    for (int v = 0; v < VENDORS; v++) {
        struct cluster_node_cards *c = &of[o.cards_n];
        *c = (struct cluster_node_cards){.vendor = (uint16_t)v, .devices = list[v], .alive = true};
        for (int k = 0; k < CARDS; k++)
            if ((node->card[v][k] = chance(4) > 0))
                list[v][c->devices_n++] = (struct vendor_device){.id = card_name(v, k),
                                                                 .type = STR("t"),
                                                                 .mode = STR("hami-core"),
                                                                 .mem_mib = node->mem_total,
                                                                 .index = k,
                                                                 .count = 10,
                                                                 .cores_pct = 100,
                                                                 .healthy = true};
        o.cards_n++;
    }
    ck_assert(!cluster_apply_node(w.st, &o, &err));
}

/* ---- comparing ---- */

static void compare(void)
{
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    struct m_use spaces[SPACES][VENDORS] = {{{0}}};
    for (int n = 0; n < NODES; n++) {
        const struct cluster_node *node = cluster_snapshot_find(s, numbered("node-", n));
        ck_assert_int_eq(node != NULL, m.node[n].known);
        unsigned closed = 0, devices = 0;
        int64_t cpu = m.cpu_only[n];
        for (int i = 0; i < PODS; i++)
            if (charged(&m.pod[i]) && m.pod[i].node == n) {
                closed |= m.pod[i].closed;
                cpu += m.pod[i].cpu;
            }
        if (!node)
            continue;
        for (uint16_t g = 0; g < node->score.groups_n; g++) {
            const struct score_group *group = &node->score.groups[g];
            ck_assert_int_eq(group->closed, closed >> group->vendor & 1);
            for (int k = 0, d = group->first; k < CARDS; k++) {
                if (!m.node[n].card[group->vendor][k])
                    continue;
                const struct score_device *dev = &node->score.devices[d++];
                struct m_use want = use_on(n, group->vendor, k);
                ck_assert(str_eq(dev->uuid, card_name(group->vendor, k)));
                ck_assert_int_eq(dev->mem_used_mib, want.mem);
                ck_assert_int_eq(dev->cores_used_pct, want.cores);
                ck_assert_int_eq(dev->shares_used, want.shares);
                bool over = want.mem > m.node[n].mem_total || want.cores > 100 || want.shares > 10;
                ck_assert_int_eq((dev->flags & SCORE_DEVICE_LENT) != 0, over);
                devices++;
            }
        }
        ck_assert_uint_eq(devices, node->score.devices_n);
        if (devices > 0)
            ck_assert_int_eq(node->score.cpu_used_milli, cpu);
    }
    for (int i = 0; i < PODS; i++)
        for (int v = 0; v < VENDORS && charged(&m.pod[i]); v++)
            for (int k = 0; k < CARDS; k++) {
                struct m_use u = use_of(&m.pod[i], v, k);
                spaces[m.pod[i].space][v].mem += u.mem;
                spaces[m.pod[i].space][v].cores += u.cores;
            }
    struct cluster_quota_view *q;
    size_t n;
    struct err err;
    ck_assert(!cluster_list_quotas(w.st, 1000, w.arena, &q, &n, &err));
    for (size_t i = 0; i < n; i++) {
        int space = q[i].ns.p[3] - '0';
        struct m_use *u = &spaces[space][q[i].vendor];
        ck_assert_int_eq(q[i].used, q[i].mem ? u->mem : u->cores);
        *(q[i].mem ? &u->mem : &u->cores) = 0;
    }
    for (int space = 0; space < SPACES; space++)
        for (int v = 0; v < VENDORS; v++)
            ck_assert_msg(spaces[space][v].mem == 0 && spaces[space][v].cores == 0,
                          "a use is missing");
    cluster_snapshot_unref(s);
    ck_sound(&w);
}

/* ---- steps ---- */

/* Decides for the pod on a random known node and assumes it; false: it does not fit. */
static bool decide(int i)
{
    struct m_pod *p = &m.pod[i];
    struct err err;
    int n = (int)chance(NODES);
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    const struct cluster_node *node = cluster_snapshot_find(s, numbered("node-", n));
    static struct score_placement place;
    struct score_verdict v = {.fits = false};
    struct cluster_pod pod = say(i, false);
    if (node) {
        struct score_prepared prep;
        uint32_t types_n;
        const struct str *types = cluster_snapshot_types(s, &types_n);
        ck_assert(!score_prepare(&pod.request, types, types_n, w.arena, &prep, &err));
        score_node_place(&prep, &node->score, NULL, &v, &place, NULL);
    }
    if (v.fits) {
        ck_assert_msg(
            !cluster_assume(w.st, s, &(struct cluster_decision){&pod, node, &place}, &err), "%s",
            err.text);
        p->state = M_ASSUMED;
        p->node = n;
        p->closed = 0;
        p->shares_n = p->notes_n = 0;
        p->broken = false;
        for (uint16_t k = 0; k < place.parts_n; k++) {
            const struct score_ask *ask = &p->asks[place.parts[k].ask];
            int card = 0;
            while (!str_eq(card_name(ask->vendor, card),
                           node->score.devices[place.parts[k].device].uuid))
                card++;
            p->shares[p->shares_n++] =
                (struct m_share){ask->container, ask->vendor, card, place.parts[k].mem_mib,
                                 place.parts[k].cores_pct};
        }
        memcpy(p->notes, p->shares, sizeof(p->notes)); /* as the Binding will write them */
        p->notes_n = p->shares_n;
    }
    cluster_snapshot_unref(s);
    return v.fits;
}

static const char *dump(void)
{
    const char *s = "";
    struct cluster_snapshot *snap = cluster_store_snapshot(w.st);
    for (uint32_t slot = 0; slot < cluster_snapshot_slots(snap); slot++) {
        const struct cluster_node *n = cluster_snapshot_at(snap, slot);
        for (uint16_t i = 0; n && i < n->score.devices_n; i++)
            s = fmt(&w, "%s " STR_FMT "/" STR_FMT "=%lld,%d,%d", s, STR_ARG(n->score.name),
                    STR_ARG(n->score.devices[i].uuid), (long long)n->score.devices[i].mem_used_mib,
                    n->score.devices[i].cores_used_pct, n->score.devices[i].shares_used);
        for (uint16_t g = 0; n && g < n->score.groups_n; g++)
            s = fmt(&w, "%s%s", s, n->score.groups[g].closed ? " closed" : "");
    }
    cluster_snapshot_unref(snap);
    struct cluster_quota_view *q;
    size_t n;
    struct err err;
    ck_assert(!cluster_list_quotas(w.st, 1000, w.arena, &q, &n, &err));
    for (size_t i = 0; i < n; i++)
        if (q[i].used || q[i].limit_set)
            s = fmt(&w, "%s " STR_FMT "%d%d=%lld of %lld", s, STR_ARG(q[i].ns), q[i].vendor,
                    q[i].mem, (long long)q[i].used, (long long)q[i].limit);
    return s;
}

static void step_pod(int i)
{
    struct m_pod *p = &m.pod[i];
    struct str uid = numbered("uid-", i);
    switch (chance(10)) {
    case 0:
    case 1: /* gone, or ended */
        if (chance(2)) {
            cluster_delete_pod(w.st, uid);
        } else {
            struct cluster_pod pod = say(i, p->state != M_NONE && p->state != M_WAITING);
            struct err err;
            pod.phase = chance(2) ? CLUSTER_FAILED : CLUSTER_SUCCEEDED;
            ck_assert(!cluster_apply_pod(w.st, &pod, &err));
        }
        p->state = M_NONE;
        break;
    case 2: /* bound by somebody else */
        if (p->state == M_WAITING || p->state == M_NONE) {
            if (p->state == M_NONE)
                random_pod(p);
            random_notes(p);
            p->node = (int)chance(NODES);
            truth_charges(p);
            p->state = M_BOUND;
            apply(i, true);
        }
        break;
    case 3:
    case 4:
        if (p->state == M_NONE) {
            random_pod(p);
            p->state = M_WAITING;
        }
        apply(i, p->state == M_BOUND); /* new, or said again; of an assumed pod: not yet bound */
        break;
    case 5:
    case 6:
        if (p->state == M_WAITING)
            decide(i);
        break;
    case 7:
        if (p->state == M_ASSUMED && chance(2)) {
            cluster_confirm(w.st, uid);
            p->state = M_CONFIRMED;
        } else if (p->state == M_ASSUMED || p->state == M_CONFIRMED) {
            p->state = M_BOUND;
            apply(i, true);
        }
        break;
    case 8: /* proof that it is not bound; too late once it was */
        cluster_forget(w.st, uid);
        if (p->state == M_ASSUMED)
            p->state = M_WAITING;
        break;
    default:
        if (p->state == M_BOUND &&
            chance(3) == 0) { /* somebody edits annotations: nothing follows */
            struct m_pod was = *p;
            random_notes(p);
            apply(i, true);
            *p = was;
        } else if (p->state == M_WAITING) { /* assume then forget is identity */
            struct m_pod was = *p;
            const char *before = dump();
            if (decide(i))
                cluster_forget(w.st, uid);
            *p = was;
            ck_assert_str_eq(dump(), before);
        }
    }
}

static void step_relist(void)
{
    bool gone[PODS] = {false};
    cluster_relist_begin(w.st, CLUSTER_PODS);
    for (int i = 0; i < PODS; i++) {
        struct m_pod *p = &m.pod[i];
        if (p->state == M_NONE)
            continue;
        gone[i] = chance(8) == 0;
        if (gone[i])
            continue;
        if (p->state == M_CONFIRMED)
            p->state = M_BOUND;
        apply(i, p->state == M_BOUND);
    }
    for (int n = 0; n < NODES; n++)
        m.cpu_only[n] = 0;
    cluster_relist_end(w.st, CLUSTER_PODS);
    for (int i = 0; i < PODS; i++)
        if (gone[i] && m.pod[i].state != M_ASSUMED)
            m.pod[i].state = M_NONE;
    ck_assert_uint_eq(stats(&w).repairs, 0);
}

static void step_cpu(int n)
{
    struct err err;
    struct cluster_pod pod = {
        .uid = numbered("cpu-", n), .node = numbered("node-", n), .cpu_milli = 1 + chance(9000)};
    if (chance(3) == 0) {
        cluster_delete_pod(w.st, pod.uid);
        m.cpu_only[n] = 0;
        return;
    }
    ck_assert(!cluster_apply_pod(w.st, &pod, &err));
    m.cpu_only[n] = pod.cpu_milli;
}

START_TEST(walk)
{
    const char *fixed = getenv("PROP_SEED");
    uint64_t seed = fixed ? strtoull(fixed, NULL, 10) : (uint64_t)_i + 1;
    rng = seed * 0x9e3779b97f4a7c15u;
    memset(&m, 0, sizeof(m));
    printf("walk PROP_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    for (int step = 0; step < 1500; step++) {
        uint32_t what = chance(100);
        int n = (int)chance(NODES);
        if (what < 8)
            random_node(n);
        else if (what < 11) {
            cluster_delete_node(w.st, numbered("node-", n), STR(""));
            m.node[n].known = false;
        } else if (what < 16)
            step_cpu(n);
        else if (what < 18)
            step_relist();
        else
            step_pod((int)chance(PODS));
        compare();
        if (step % 50 == 0)
            arena_reset(w.arena);
    }
    /* in another order, from nothing, the same */
    struct err err;
    for (int i = 0; i < PODS; i++) /* what is in flight ends one way or the other */
        if (m.pod[i].state == M_ASSUMED || m.pod[i].state == M_CONFIRMED) {
            m.pod[i].state = M_BOUND;
            apply(i, true);
        }
    compare();
    uint64_t tampered = stats(&w).tampered;
    cluster_store_free(w.st);
    ck_assert(!cluster_store_new(&w.cfg, &w.st, &err));
    for (int i = PODS; i-- > 0;)
        if (m.pod[i].state == M_BOUND)
            apply(i, true);
    for (int n = 0; n < NODES; n++) {
        m.cpu_only[n] = 0;
        random_node(n);
    }
    compare();
    (void)tampered;
    for (int i = 0; i < PODS; i++)
        cluster_delete_pod(w.st, numbered("uid-", i));
    ck_assert_uint_eq(stats(&w).pods, 0);
}
END_TEST

/* ---- failing allocations ---- */

/* What one operation needs, made beforehand: nothing but the store allocates while allocations
 * fail. */
struct op {
    struct cluster_pod pod;
    struct vendor_device device;
    struct cluster_node_cards cards;
    struct cluster_node_object node;
    struct cluster_quota_object quota;
    struct cluster_decision decision;
    struct score_placement place;
};
enum op_kind {
    OP_NODE,
    OP_WAITING,
    OP_UNKNOWN_NODE,
    OP_BOUND,
    OP_CPU,
    OP_QUOTA,
    OP_ASSUME,
    OP_MOVED,
    OP_COUNT_
};

static void op_make(enum op_kind kind, const struct cluster_snapshot *s, struct op *op)
{
    struct err err;
    memset(op, 0, sizeof(*op));
    switch (kind) {
    case OP_NODE: /* a new one, with a type that nobody had */
        op->device = (struct vendor_device){.id = STR("GPU-n"),
                                            .type = STR("new type"),
                                            .mode = STR("m"),
                                            .count = 1,
                                            .healthy = true};
        op->cards =
            (struct cluster_node_cards){.devices = &op->device, .devices_n = 1, .alive = true};
        op->node = (struct cluster_node_object){.name = STR("new"),
                                                .uid = STR("u"),
                                                .lock = STR("l"),
                                                .cards = &op->cards,
                                                .cards_n = 1};
        break;
    case OP_WAITING:
    case OP_UNKNOWN_NODE:
    case OP_BOUND:
        op->pod = say((int)kind, kind != OP_WAITING);
        op->pod.ns = numbered("fresh-", (int)kind);
        if (kind == OP_UNKNOWN_NODE)
            op->pod.node = STR("unknown");
        break;
    case OP_CPU:
        op->pod =
            (struct cluster_pod){.uid = STR("cpu"), .node = STR("unknown, too"), .cpu_milli = 5};
        break;
    case OP_QUOTA:
        op->quota =
            (struct cluster_quota_object){.ns = STR("fresh"), .name = STR("q"), .limits_n = 1};
        break;
    case OP_ASSUME: {
        struct score_prepared prep;
        struct score_verdict v;
        uint32_t types_n;
        const struct str *types = cluster_snapshot_types(s, &types_n);
        op->pod = say(6, false);
        op->decision = (struct cluster_decision){&op->pod, cluster_snapshot_find(s, STR("node-0")),
                                                 &op->place};
        ck_assert(!score_prepare(&op->pod.request, types, types_n, w.arena, &prep, &err));
        score_node_place(&prep, &op->decision.node->score, NULL, &v, &op->place, NULL);
        ck_assert(v.fits);
        break;
    }
    default: /* what was bound is bound elsewhere */
        op->pod = say(OP_BOUND, true);
        op->pod.ns = numbered("fresh-", OP_BOUND);
        op->pod.node = STR("elsewhere");
    }
}

static enum err_code op_run(enum op_kind kind, struct cluster_snapshot *s, struct op *op,
                            struct err *err)
{
    switch (kind) {
    case OP_NODE:
        return cluster_apply_node(w.st, &op->node, err);
    case OP_QUOTA:
        return cluster_apply_quota(w.st, &op->quota, err);
    case OP_ASSUME:
        return cluster_assume(w.st, s, &op->decision, err);
    default:
        return cluster_apply_pod(w.st, &op->pod, err);
    }
}

START_TEST(no_memory)
{
    rng = 77;
    memset(&m, 0, sizeof(m));
    for (int i = 0; i < 10; i++) {
        random_pod(&m.pod[i]);
        m.pod[i].notes_n = 1;
        m.pod[i].notes[0] = (struct m_share){m.pod[i].asks[0].container,
                                             (int)m.pod[i].asks[0].vendor, i % CARDS, 10, 1};
    }
    struct vendor_device d[2] = {{.id = STR("c0"),
                                  .type = STR("t"),
                                  .mode = STR("m"),
                                  .mem_mib = 90000,
                                  .cores_pct = 100,
                                  .count = 10,
                                  .healthy = true}};
    struct cluster_node_cards c[2] = {
        {.vendor = NV, .devices = d, .devices_n = 1, .alive = true},
        {.vendor = ACME, .devices = d, .devices_n = 1, .alive = true}};
    struct cluster_node_object o = {
        .name = STR("node-0"), .uid = STR("u"), .cards = c, .cards_n = 2};
    struct err err;
    ck_assert(!cluster_apply_node(w.st, &o, &err));
    for (enum op_kind kind = 0; kind < OP_COUNT_; kind++) {
        static struct op op;
        const char *before = dump();
        struct cluster_stats was = stats(&w);
        struct cluster_snapshot *s = cluster_store_snapshot(w.st);
        unsigned n = 1;
        op_make(kind, s, &op);
        for (;; n++) {
            fail_alloc_at(n);
            enum err_code rc = op_run(kind, s, &op, &err);
            bool failed = fail_alloc_off();
            ck_sound(&w);
            if (!rc)
                break; /* what failed was not needed, or nothing did */
            ck_assert_msg(failed && rc == ERR_NO_MEMORY, "op %d, allocation %u: %d", (int)kind, n,
                          (int)rc);
            ck_assert_str_eq(dump(), before);
            struct cluster_stats now = stats(&w);
            ck_assert(now.pods == was.pods && now.pods_charged == was.pods_charged &&
                      now.nodes == was.nodes);
        }
        ck_assert_msg(n > 1, "op %d allocates nothing", (int)kind);
        cluster_snapshot_unref(s);
    }
}
END_TEST

START_TEST(no_memory_elsewhere)
{
    struct err err;
    for (unsigned n = 1;; n++) {
        struct cluster_store *st;
        fail_alloc_at(n);
        enum err_code rc = cluster_store_new(&w.cfg, &st, &err);
        if (!fail_alloc_off()) {
            cluster_store_free(st);
            break;
        }
        ck_assert_int_eq(rc, ERR_NO_MEMORY);
    }
    NODE(&w, "n1", .list = cards(&w, "a", 0, 2));
    cluster_snapshot_unref(cluster_store_snapshot(w.st));
    struct cluster_pod p = pod_of(&w, (struct t_pod){"p", .gpu = "1", .mem = "100", .cores = "10"});
    for (unsigned n = 1;; n++) { /* publishing: the last snapshot is shown, the next one is right */
        POD(&w, "b", .node = "n1", .gpu = "1", .mem = "100", .allocated = "GPU-a0,NVIDIA,100,1:;");
        fail_alloc_at(n);
        struct cluster_snapshot *s = cluster_store_snapshot(w.st);
        bool failed = fail_alloc_off();
        int64_t used = cluster_snapshot_find(s, STR("n1"))->score.devices[0].mem_used_mib;
        cluster_snapshot_unref(s);
        ck_assert_int_eq(used, failed ? 0 : 100);
        ck_use(&w, "n1", "GPU-a0", "1/100/1");
        cluster_delete_pod(w.st, STR("b"));
        ck_use(&w, "n1", "GPU-a0", "0/0/0");
        if (!failed)
            break;
    }
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    struct score_placement at = {.parts_n = 1, .parts = {{.mem_mib = 100, .cores_pct = 10}}};
    struct cluster_hold hold = {cluster_snapshot_find(s, STR("n1")), &at};
    for (unsigned n = 1;; n++) { /* holds: nothing is held, and it is counted */
        fail_alloc_at(n);
        cluster_hold(w.st, &p, &hold, 1, true, 0);
        bool failed = fail_alloc_off();
        struct score_extra extra[2];
        ck_assert_int_eq(cluster_hold_extra(w.st, hold.node, STR(""), false, 1, extra, NULL),
                         !failed);
        if (!failed)
            break;
        cluster_hold_drop(w.st, p.uid);
    }
    for (unsigned n = 1;; n++) { /* classes: none, or one without memory */
        struct score_verdict a, b;
        struct score_prepared prep;
        uint32_t types_n;
        const struct str *types = cluster_snapshot_types(s, &types_n);
        ck_assert(!score_prepare(&p.request, types, types_n, w.arena, &prep, &err));
        fail_alloc_at(n);
        struct cluster_class *c = cluster_class_get(w.st, &p.request);
        cluster_class_unref(c);
        c = cluster_class_get(w.st, &p.request);
        bool failed = fail_alloc_off();
        cluster_class_check(c, &prep, hold.node, &a);
        score_node_check(&prep, &hold.node->score, NULL, &b);
        ck_assert(a.fits == b.fits && a.score == b.score);
        cluster_class_unref(c);
        if (!failed)
            break;
    }
    cluster_snapshot_unref(s);
    for (unsigned n = 1;; n++) {
        fail_alloc_at(n);
        struct cluster_pod *c = cluster_pod_find(w.st, STR("ml"), STR("p"), STR("p"));
        bool failed = fail_alloc_off();
        ck_assert_int_eq(c != NULL, !failed);
        free(c);
        if (!failed)
            break;
    }
}
END_TEST

/* ---- readers beside writers ---- */

static _Atomic bool stop;
struct reader {
    const struct cluster_pod *pod;
    uint64_t rounds;
};

static void *read_on(void *arg)
{
    struct reader *r = arg;
    struct arena *arena = arena_new(1 << 24);
    struct err err;
    while (!atomic_load(&stop)) {
        arena_reset(arena);
        struct cluster_snapshot *s = cluster_store_snapshot(w.st);
        struct score_prepared prep;
        uint32_t types_n;
        const struct str *types = cluster_snapshot_types(s, &types_n);
        if (score_prepare(&r->pod->request, types, types_n, arena, &prep, &err))
            abort();
        struct cluster_class *c = cluster_class_get(w.st, &r->pod->request);
        for (uint32_t slot = 0; slot < cluster_snapshot_slots(s); slot++) {
            const struct cluster_node *n = cluster_snapshot_at(s, slot);
            struct score_verdict a, b;
            struct score_extra extra[8];
            if (!n)
                continue;
            cluster_class_check(c, &prep, n, &a);
            score_node_check(&prep, &n->score, NULL, &b);
            if (a.fits != b.fits || a.score != b.score || a.reasons != b.reasons)
                abort();
            int64_t sum = 0;
            for (uint16_t d = 0; d < n->score.devices_n; d++)
                sum += n->score.devices[d].mem_used_mib;
            if (n->score.groups_n > 0 && sum != n->score.groups[0].mem_used_mib)
                abort();
            cluster_hold_extra(w.st, n, r->pod->uid, false, 10, extra, NULL);
        }
        cluster_class_unref(c);
        cluster_snapshot_unref(s);
        struct score_quota left[SCORE_VENDORS_MAX];
        cluster_quota_left(w.st, STR("ml"), r->pod->uid, 10, left);
        struct cluster_pod_view *views;
        size_t n;
        bool more;
        err_ignore(
            cluster_list_pods(w.st, STR(""), STR(""), STR(""), 10, arena, &views, &n, &more, &err));
        struct cluster_stats st;
        cluster_store_stats(w.st, &st);
        r->rounds++;
    }
    arena_free(arena);
    return NULL;
}

static void *decide_on(void *arg)
{
    const struct cluster_pod *pod = arg;
    struct score_placement *at = calloc(1, sizeof(*at));
    struct err err;
    *at = (struct score_placement){.parts_n = 1, .parts = {{.mem_mib = 100, .cores_pct = 1}}};
    while (!atomic_load(&stop)) {
        struct cluster_snapshot *s = cluster_store_snapshot(w.st);
        const struct cluster_node *n = cluster_snapshot_find(s, STR("n3"));
        struct cluster_hold hold = {n, at};
        cluster_hold(w.st, pod, &hold, 1, true, 0);
        enum err_code rc = cluster_assume(w.st, s, &(struct cluster_decision){pod, n, at}, &err);
        cluster_snapshot_unref(s);
        if (!rc)
            cluster_forget(w.st, pod->uid);
        else if (rc != ERR_CONFLICT)
            abort();
    }
    free(at);
    return NULL;
}

START_TEST(threads)
{
    put_quota(&w, "ml", "q", "100000", NULL);
    for (int i = 0; i < 8; i++)
        NODE(&w, fmt(&w, "n%d", i), .list = cards(&w, "a", 0, 4));
    struct cluster_pod reader =
        pod_of(&w, (struct t_pod){"r", .gpu = "1", .mem = "100", .cores = "1"});
    struct cluster_pod decider =
        pod_of(&w, (struct t_pod){"d", .gpu = "1", .mem = "100", .cores = "1"});
    struct cluster_pod bound[8];
    for (int i = 0; i < 8; i++)
        bound[i] =
            pod_of(&w, (struct t_pod){fmt(&w, "b%d", i), .node = fmt(&w, "n%d", i), .gpu = "1",
                                      .mem = "100", .allocated = "GPU-a1,NVIDIA,100,1:;"});
    struct reader readers[2] = {{.pod = &reader}, {.pod = &reader}};
    pthread_t t[3];
    atomic_store(&stop, false);
    for (int i = 0; i < 2; i++)
        ck_assert(!pthread_create(&t[i], NULL, read_on, &readers[i]));
    ck_assert(!pthread_create(&t[2], NULL, decide_on, &decider));
    struct err err;
    for (int i = 0; i < 4000; i++) {
        struct cluster_pod *p = &bound[i % 8];
        if (i / 8 % 2)
            cluster_delete_pod(w.st, p->uid);
        else
            ck_assert(!cluster_apply_pod(w.st, p, &err));
        if (i % 500 == 0)
            NODE(&w, "late", .list = cards(&w, fmt(&w, "t%d-", i), 0, 2));
        else if (i % 500 == 250)
            cluster_delete_node(w.st, STR("late"), STR(""));
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    ck_use(&w, "n3", "GPU-a0", "0/0/0");
    ck_assert_uint_eq(stats(&w).repairs, 0);
}
END_TEST

void check_cluster_props(Suite *suite)
{
    TCase *tc = tcase_create("props");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, walk, 0, 6);
    tcase_add_test(tc, no_memory);
    tcase_add_test(tc, no_memory_elsewhere);
    tcase_add_test(tc, threads);
    suite_add_tcase(suite, tc);
}
