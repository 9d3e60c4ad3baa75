/* Holds: room that filter promised and nobody has bound yet. They lie beside the snapshots, one
 * list a node's slot, so that nothing cached goes stale when one comes or goes. A pod's holds live
 * 30 s from the first filter that gave it any since its last bind; filters that follow replace them
 * without more time, and then there are none for 60 s.
 *
 * Pods stand in one of three lists, each in order of age: LIVE (has holds), LONG (only that of its
 * nominated node is left), IDLE (none, in its pause). Locks: holds->lock may be taken inside the
 * store's lock, never the other way. */
#include "cluster/priv.h"

#include <assert.h>
#include <stdlib.h>

enum {
    NOMINATED_MS = 10 * 60 * 1000, /* how long a nomination keeps a hold */
    IDLE_MAX = CLUSTER_HOLDS_MAX,  /* pods remembered without holds; the oldest goes */
    SWEEP_MAX = 64,                /* pods looked at in one call */
};
#define NEVER INT64_MIN

struct hold_use {
    uint64_t card; /* keyed hash of (vendor, UUID) */
    uint64_t bits;
    int64_t mem_mib;
    int32_t cores_pct;
    uint16_t device, shares; /* device: where the card was in the node's list; it may have moved */
    uint8_t app_class, qos;
};
struct hold {
    struct hold *prev, *next; /* of the slot */
    struct hold_pod *pod;
    uint64_t node; /* keyed hash of its name: slots are used again */
    uint32_t slot;
    uint16_t uses_n;
    bool nominated;
    bool first; /* of the nodes that its pod was told: kube-scheduler most likely picks it */
    struct hold_use *uses;
};
struct pod_need {
    uint16_t vendor;
    int64_t mem_mib, cores_pct;
};
enum list { LIST_LIVE, LIST_LONG, LIST_IDLE, LIST_COUNT_ };
struct hold_pod {
    uint32_t hash;
    enum list list;
    struct hold_pod *prev, *next;       /* of the list */
    struct hold_pod *ns_prev, *ns_next; /* of the namespace; only while it has holds */
    struct cluster_pod *clone;
    int64_t first_ms, nominated_ms; /* NEVER: not yet */
    bool certain;
    uint16_t holds_n, needs_n;
    struct hold *holds; /* one block with what follows: its uses and needs */
    struct pod_need
        *needs; /* of its namespace's quota: the most that any of its nodes would take */
};
struct hold_space {
    uint32_t hash;
    struct hold_pod *first;
    struct str name; /* behind it */
};
struct holds {
    pthread_mutex_t lock; /* guards everything here but what is atomic */
    struct table pods, spaces;
    struct hold_pod *first[LIST_COUNT_], *last[LIST_COUNT_];
    uint32_t listed[LIST_COUNT_];
    uint32_t slots_max;
    struct hold **slot;
    _Atomic uint32_t *count; /* holds a slot: most nodes have none, and asking costs no lock */
    uint64_t n, dropped;
};

struct holds *holds_new(uint32_t slots_max)
{
    struct holds *h = calloc(1, sizeof(*h));
    if (!h)
        return NULL;
    h->slots_max = slots_max;
    h->slot = calloc(slots_max, sizeof(struct hold *));
    h->count = calloc(slots_max, sizeof(*h->count));
    if (!h->slot || !h->count) {
        free(h->slot);
        free((void *)h->count);
        free(h);
        return NULL;
    }
    pthread_mutex_init(&h->lock, NULL);
    return h;
}

/* ---- lists ---- */

static void list_del(struct holds *h, struct hold_pod *p)
{
    *(p->prev ? &p->prev->next : &h->first[p->list]) = p->next;
    *(p->next ? &p->next->prev : &h->last[p->list]) = p->prev;
    h->listed[p->list]--;
}

static void list_add(struct holds *h, struct hold_pod *p, enum list list)
{
    p->list = list;
    p->next = NULL;
    p->prev = h->last[list];
    *(p->prev ? &p->prev->next : &h->first[list]) = p;
    h->last[list] = p;
    h->listed[list]++;
}

static struct hold_space *space_find(const struct cluster_store *st, struct str ns)
{
    uint32_t at = 0, hash = (uint32_t)hash_str(st->cfg.hash_seed, ns);
    struct hold_space *s;
    while ((s = table_find(&st->holds->spaces, hash, &at)) && !str_eq(s->name, ns))
        ;
    return s;
}

static void space_del(const struct cluster_store *st, struct hold_pod *p)
{
    struct hold_space *s = space_find(st, p->clone->ns);
    assert(s);
    *(p->ns_prev ? &p->ns_prev->ns_next : &s->first) = p->ns_next;
    if (p->ns_next)
        p->ns_next->ns_prev = p->ns_prev;
    if (s->first)
        return;
    table_del(&st->holds->spaces, s);
    free(s);
}

/* false: no memory */
static bool space_add(const struct cluster_store *st, struct hold_pod *p)
{
    struct str ns = p->clone->ns;
    struct hold_space *s = space_find(st, ns);
    if (!s) {
        if (!table_reserve(&st->holds->spaces))
            return false;
        s = malloc(sizeof(*s) + ns.n);
        if (!s)
            return false;
        char *name = (char *)(s + 1);
        if (ns.n > 0)
            memcpy(name, ns.p, ns.n);
        *s = (struct hold_space){.hash = (uint32_t)hash_str(st->cfg.hash_seed, ns),
                                 .name = {name, ns.n}};
        table_put(&st->holds->spaces, s);
    }
    p->ns_prev = NULL;
    p->ns_next = s->first;
    if (s->first)
        s->first->ns_prev = p;
    s->first = p;
    return true;
}

/* ---- putting and taking away ---- */

static void unlink_hold(struct holds *h, struct hold *hold)
{
    *(hold->prev ? &hold->prev->next : &h->slot[hold->slot]) = hold->next;
    if (hold->next)
        hold->next->prev = hold->prev;
    atomic_fetch_sub_explicit(&h->count[hold->slot], 1, memory_order_relaxed);
    h->n--;
}

static void link_hold(struct holds *h, struct hold *hold)
{
    hold->prev = NULL;
    hold->next = h->slot[hold->slot];
    if (hold->next)
        hold->next->prev = hold;
    h->slot[hold->slot] = hold;
    atomic_fetch_add_explicit(&h->count[hold->slot], 1, memory_order_relaxed);
    h->n++;
}

/* Takes the pod's holds away, or all but that on its nominated node. */
static void clear_holds(const struct cluster_store *st, struct hold_pod *p, bool keep_nominated)
{
    struct holds *h = st->holds;
    uint16_t kept = 0;
    if (p->holds_n == 0)
        return;
    for (uint16_t i = 0; i < p->holds_n; i++) {
        unlink_hold(h, &p->holds[i]);
        if (!keep_nominated || !p->holds[i].nominated)
            continue;
        p->holds[kept] = p->holds[i]; /* uses stay where they are in the block */
        link_hold(h, &p->holds[kept++]);
    }
    p->holds_n = kept;
    if (kept > 0)
        return;
    space_del(st, p);
    free(p->holds);
    p->holds = NULL;
    p->needs = NULL;
    p->needs_n = 0;
}

static void pod_free(const struct cluster_store *st, struct hold_pod *p)
{
    clear_holds(st, p, false);
    table_del(&st->holds->pods, p);
    list_del(st->holds, p);
    free(p->clone);
    free(p);
}

void holds_free(struct holds *h)
{
    if (!h)
        return;
    for (int list = 0; list < LIST_COUNT_; list++)
        for (struct hold_pod *p = h->first[list], *next; p; p = next) {
            next = p->next;
            free(p->holds);
            free(p->clone);
            free(p);
        }
    for (uint32_t i = 0; i < h->spaces.cap; i++)
        free(h->spaces.slot[i]);
    table_done(&h->pods);
    table_done(&h->spaces);
    free(h->slot);
    free((void *)h->count);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static bool lives(const struct hold *hold, int64_t now_ms)
{
    const struct hold_pod *p = hold->pod;
    if (p->first_ms != NEVER && now_ms < p->first_ms + CLUSTER_HOLD_MS)
        return true;
    return hold->nominated && p->nominated_ms != NEVER && now_ms < p->nominated_ms + NOMINATED_MS;
}

static bool nomination_lives(const struct hold_pod *p, int64_t now_ms)
{
    return p->nominated_ms != NEVER && now_ms < p->nominated_ms + NOMINATED_MS;
}

/* Where the pod belongs after a change of its holds. */
static void relist(struct holds *h, struct hold_pod *p, enum list list)
{
    if (p->list == list)
        return;
    list_del(h, p);
    list_add(h, p, list);
}

/* What is over goes; a bounded part of it in each call. */
static void sweep(const struct cluster_store *st, int64_t now_ms)
{
    struct holds *h = st->holds;
    struct hold_pod *p, *next;
    int left = SWEEP_MAX;
    while (left-- > 0 && (p = h->first[LIST_LIVE]) && now_ms >= p->first_ms + CLUSTER_HOLD_MS) {
        clear_holds(st, p, nomination_lives(p, now_ms));
        relist(h, p, p->holds_n > 0 ? LIST_LONG : LIST_IDLE);
    }
    left = SWEEP_MAX;
    for (p = h->first[LIST_LONG]; p && left-- > 0; p = next) {
        next = p->next;
        if (nomination_lives(p, now_ms))
            continue;
        clear_holds(st, p, false);
        relist(h, p, LIST_IDLE);
    }
    left = SWEEP_MAX;
    while (left-- > 0 && (p = h->first[LIST_IDLE])) {
        int64_t over = p->first_ms + CLUSTER_HOLD_MS + CLUSTER_HOLD_PAUSE_MS;
        if (p->nominated_ms != NEVER &&
            p->nominated_ms + NOMINATED_MS + CLUSTER_HOLD_PAUSE_MS > over)
            over = p->nominated_ms + NOMINATED_MS + CLUSTER_HOLD_PAUSE_MS;
        if (now_ms < over && h->listed[LIST_IDLE] <= IDLE_MAX)
            break;
        pod_free(st, p);
    }
}

/* Room for `more` holds: the oldest go. `not` is the pod at hand. */
static void make_room(const struct cluster_store *st, uint32_t more, const struct hold_pod * not )
{
    struct holds *h = st->holds;
    for (int list = LIST_LONG; list >= LIST_LIVE; list--)
        for (struct hold_pod *p = h->first[list], *next; p && h->n + more > CLUSTER_HOLDS_MAX;
             p = next) {
            next = p->next;
            if (p == not )
                continue;
            h->dropped += p->holds_n;
            clear_holds(st, p, false);
            relist(h, p, LIST_IDLE);
        }
}

static struct hold_pod *pod_find(const struct cluster_store *st, struct str uid)
{
    uint32_t at = 0, hash = (uint32_t)hash_str(st->cfg.hash_seed, uid);
    struct hold_pod *p;
    while ((p = table_find(&st->holds->pods, hash, &at)) && !str_eq(p->clone->uid, uid))
        ;
    return p;
}

/* Takes the clone. NULL: no memory. */
static struct hold_pod *pod_new(const struct cluster_store *st, struct cluster_pod *clone)
{
    struct hold_pod *p = table_reserve(&st->holds->pods) ? calloc(1, sizeof(*p)) : NULL;
    if (!p)
        return NULL;
    p->hash = (uint32_t)hash_str(st->cfg.hash_seed, clone->uid);
    p->clone = clone;
    p->first_ms = p->nominated_ms = NEVER;
    table_put(&st->holds->pods, p);
    list_add(st->holds, p, LIST_IDLE);
    return p;
}

static uint64_t card_key(const struct cluster_store *st, uint16_t vendor, struct str uuid)
{
    return hash_str(st->cfg.hash_seed + vendor, uuid);
}

/* ---- building a pod's holds ---- */

struct build {
    struct hold_need need[SCORE_VENDORS_MAX]; /* the most of any node */
    size_t uses_n, holds_n;
    struct score_use *uses; /* of one node, room for SCORE_PARTS_MAX */
};

static void raise_need(struct build *b, const struct score_use *uses, uint16_t n)
{
    struct hold_need sum[SCORE_VENDORS_MAX] = {0};
    for (uint16_t i = 0; i < n; i++) {
        sum[uses[i].vendor].mem_mib += uses[i].mem_mib;
        sum[uses[i].vendor].cores_pct += uses[i].cores_pct;
    }
    for (int v = 0; v < SCORE_VENDORS_MAX; v++) {
        if (sum[v].mem_mib > b->need[v].mem_mib)
            b->need[v].mem_mib = sum[v].mem_mib;
        if (sum[v].cores_pct > b->need[v].cores_pct)
            b->need[v].cores_pct = sum[v].cores_pct;
    }
}

static uint16_t uses_of(const struct cluster_pod *pod, const struct cluster_hold *hold,
                        struct score_use *ret)
{
    return score_effective_use(pod->request.steps, pod->request.asks, hold->placement->parts,
                               hold->placement->parts_n, ret);
}

static struct hold_use hold_use_of(const struct cluster_store *st, const struct cluster_pod *pod,
                                   const struct cluster_hold *hold, const struct score_use *use)
{
    const struct score_placement *place = hold->placement;
    const struct str uuid = hold->node->score.devices[use->device].uuid;
    struct draft_share as = {.vendor = (uint8_t)use->vendor, .cores_pct = use->cores_pct};
    for (uint16_t i = 0; i < place->parts_n; i++) /* a policy comes with any share of it */
        if (place->parts[i].device == use->device && place->parts[i].cores_pct < as.cores_pct)
            as.cores_pct = place->parts[i].cores_pct;
    ledger_classify(pod, &as);
    return (struct hold_use){.card = card_key(st, use->vendor, uuid),
                             .bits = use->bits,
                             .mem_mib = use->mem_mib,
                             .cores_pct = use->cores_pct,
                             .device = use->device,
                             .shares =
                                 use->shares > UINT16_MAX ? UINT16_MAX : (uint16_t)use->shares,
                             .app_class = as.app_class,
                             .qos = as.qos};
}

/* One block: holds, their uses, the needs. NULL: no memory. */
static struct hold *build_holds(const struct cluster_store *st, const struct cluster_pod *pod,
                                const struct cluster_hold *from, uint16_t from_n, const bool *keep,
                                uint16_t *ret_n, struct pod_need **ret_needs, uint16_t *ret_needs_n)
{
    struct build *b = calloc(1, sizeof(*b) + SCORE_PARTS_MAX * sizeof(struct score_use));
    if (!b)
        return NULL;
    b->uses = (struct score_use *)(void *)(b + 1);
    for (uint16_t i = 0; i < from_n; i++)
        if (keep[i]) {
            uint16_t n = uses_of(pod, &from[i], b->uses);
            raise_need(b, b->uses, n);
            b->uses_n += n;
            b->holds_n++;
        }
    uint16_t needs_n = 0;
    for (int v = 0; v < SCORE_VENDORS_MAX; v++)
        needs_n = (uint16_t)(needs_n + (b->need[v].mem_mib > 0 || b->need[v].cores_pct > 0));
    struct hold *holds = malloc(b->holds_n * sizeof(*holds) + b->uses_n * sizeof(struct hold_use) +
                                needs_n * sizeof(struct pod_need));
    if (!holds) {
        free(b);
        return NULL;
    }
    struct hold_use *uses = (struct hold_use *)(void *)(holds + b->holds_n);
    struct pod_need *needs = (struct pod_need *)(void *)(uses + b->uses_n);
    uint16_t n = 0;
    for (uint16_t i = 0; i < from_n; i++) {
        if (!keep[i])
            continue;
        const struct score_node *node = &from[i].node->score;
        holds[n++] = (struct hold){.node = hash_str(st->cfg.hash_seed, node->name),
                                   .slot = from[i].node->slot,
                                   .uses_n = uses_of(pod, &from[i], b->uses),
                                   .nominated = pod->nominated_node.n > 0 &&
                                                str_eq(pod->nominated_node, node->name),
                                   .first = i == 0,
                                   .uses = uses};
        for (uint16_t k = 0; k < holds[n - 1].uses_n; k++)
            *uses++ = hold_use_of(st, pod, &from[i], &b->uses[k]);
    }
    needs_n = 0;
    for (uint16_t v = 0; v < SCORE_VENDORS_MAX; v++)
        if (b->need[v].mem_mib > 0 || b->need[v].cores_pct > 0)
            needs[needs_n++] = (struct pod_need){v, b->need[v].mem_mib, b->need[v].cores_pct};
    *ret_n = n;
    *ret_needs = needs;
    *ret_needs_n = needs_n;
    free(b);
    return holds;
}

/* Starts or restarts the pod's time where it is due. */
static void start_time(struct hold_pod *p, const struct cluster_pod *pod, int64_t now_ms)
{
    if (p->first_ms == NEVER || now_ms >= p->first_ms + CLUSTER_HOLD_MS + CLUSTER_HOLD_PAUSE_MS)
        p->first_ms = now_ms;
    if (pod->nominated_node.n > 0 &&
        (p->nominated_ms == NEVER ||
         now_ms >= p->nominated_ms + NOMINATED_MS + CLUSTER_HOLD_PAUSE_MS))
        p->nominated_ms = now_ms;
}

static void hold_locked(struct cluster_store *st, const struct cluster_pod *pod,
                        const struct cluster_hold *from, uint16_t from_n, bool certain,
                        int64_t now_ms)
{
    struct holds *h = st->holds;
    sweep(st, now_ms);
    struct hold_pod *p = pod_find(st, pod->uid);
    if (p)
        clear_holds(st, p, false);
    if (from_n == 0) {
        if (p)
            relist(h, p, LIST_IDLE);
        return; /* told of no node: nothing to hold, and no time of it is used up */
    }
    struct cluster_pod *clone = cluster_pod_clone(pod);
    if (!clone || (!p && !(p = pod_new(st, clone)))) {
        free(clone);
        h->dropped += from_n;
        return;
    }
    if (p->clone != clone) {
        free(p->clone);
        p->clone = clone;
    }
    start_time(p, pod, now_ms);
    if (from_n > CLUSTER_HOLD_NODES_MAX)
        from_n = CLUSTER_HOLD_NODES_MAX;
    bool keep[CLUSTER_HOLD_NODES_MAX], any = false;
    for (uint16_t i = 0; i < from_n; i++) {
        const struct cluster_node *node = from[i].node;
        bool nominated = pod->nominated_node.n > 0 && str_eq(pod->nominated_node, node->score.name);
        keep[i] = node->slot < h->slots_max && (now_ms < p->first_ms + CLUSTER_HOLD_MS ||
                                                (nominated && nomination_lives(p, now_ms)));
        any = any || keep[i];
    }
    uint16_t n = 0;
    struct hold *holds =
        any ? build_holds(st, pod, from, from_n, keep, &n, &p->needs, &p->needs_n) : NULL;
    if (!holds || !space_add(st, p)) {
        h->dropped += any ? from_n : 0;
        free(holds);
        p->needs = NULL;
        p->needs_n = 0;
        relist(h, p, LIST_IDLE);
        return;
    }
    p->holds = holds;
    p->certain = certain;
    make_room(st, n, p);
    for (uint16_t i = 0; i < n; i++) {
        holds[i].pod = p;
        link_hold(h, &holds[i]);
    }
    p->holds_n = n;
    relist(h, p, now_ms < p->first_ms + CLUSTER_HOLD_MS ? LIST_LIVE : LIST_LONG);
}

void cluster_hold(struct cluster_store *st, const struct cluster_pod *pod,
                  const struct cluster_hold *holds, uint16_t holds_n, bool certain, int64_t now_ms)
{
    pthread_mutex_lock(&st->holds->lock);
    hold_locked(st, pod, holds, holds_n, certain, now_ms);
    pthread_mutex_unlock(&st->holds->lock);
}

void cluster_hold_drop(struct cluster_store *st, struct str uid)
{
    pthread_mutex_lock(&st->holds->lock);
    struct hold_pod *p = pod_find(st, uid);
    if (p)
        pod_free(st, p);
    pthread_mutex_unlock(&st->holds->lock);
}

/* ---- asking ---- */

/* What is asked about a node: its cards' keys, made when they are first needed. Thousands of holds
 * may be of one card. */
struct asked {
    const struct cluster_store *st;
    const struct score_node *node;
    uint64_t known[SCORE_DEVICES_MAX / 64];
    uint64_t key[SCORE_DEVICES_MAX]; /* of those */
};

static void ask_about(struct asked *a, const struct cluster_store *st,
                      const struct score_node *node)
{
    a->st = st;
    a->node = node;
    memset(a->known, 0, sizeof(a->known));
}

static uint64_t key_of(struct asked *a, const struct score_group *group, uint16_t i)
{
    const uint64_t bit = UINT64_C(1) << (i % 64);
    if (!(a->known[i / 64] & bit))
        a->key[i] = card_key(a->st, group->vendor, a->node->devices[i].uuid);
    a->known[i / 64] |= bit;
    return a->key[i];
}

/* Where the card is in the node's list now; devices_n: nowhere. */
static uint16_t locate(struct asked *a, const struct hold_use *use)
{
    const struct score_node *node = a->node;
    for (int pass = 0; pass < 2; pass++)
        for (uint16_t g = 0; g < node->groups_n; g++) {
            const struct score_group *group = &node->groups[g];
            for (uint16_t i = group->first; i < group->first + group->n; i++)
                if ((pass || i == use->device) && key_of(a, group, i) == use->card)
                    return i;
        }
    return node->devices_n;
}

/* Classes of the pods that hold, one each; the policy as the ledger would see it. */
static void add_class(const struct hold_use *use, struct score_extra *to)
{
    to->online = (int16_t)(to->online + (use->app_class == SCORE_CLASS_ONLINE));
    to->offline = (int16_t)(to->offline + (use->app_class == SCORE_CLASS_OFFLINE));
    to->qos = score_qos_join(to->qos, use->qos);
}

static void add_extra(struct asked *a, const struct hold *hold, struct score_extra *ret)
{
    for (uint16_t i = 0; i < hold->uses_n; i++) {
        uint16_t device = locate(a, &hold->uses[i]);
        if (device == a->node->devices_n)
            continue;
        ret[device].mem_mib += hold->uses[i].mem_mib;
        ret[device].cores_pct += hold->uses[i].cores_pct;
        ret[device].shares += hold->uses[i].shares;
        ret[device].bits_set |= hold->uses[i].bits;
        add_class(&hold->uses[i], &ret[device]);
    }
}

bool cluster_hold_extra_for(struct cluster_store *st, const struct cluster_node *node,
                            const struct cluster_hold_query *query, struct score_extra *ret,
                            uint32_t *ret_likely)
{
    struct holds *h = st->holds;
    uint32_t likely = 0;
    bool found = false;
    if (node->slot < h->slots_max &&
        atomic_load_explicit(&h->count[node->slot], memory_order_relaxed) > 0) {
        const uint64_t name = hash_str(st->cfg.hash_seed, node->score.name);
        const uint32_t except = (uint32_t)hash_str(st->cfg.hash_seed, query->except_uid);
        struct asked asked;
        ask_about(&asked, st, &node->score);
        pthread_mutex_lock(&h->lock);
        for (const struct hold *hold = h->slot[node->slot]; hold; hold = hold->next) {
            const struct hold_pod *p = hold->pod;
            if (hold->next) { /* they lie anywhere in memory, and may be thousands */
                __builtin_prefetch(hold->next->pod);
                __builtin_prefetch(hold->next->uses);
            }
            if (hold->node != name || !lives(hold, query->now_ms) ||
                (p->hash == except && str_eq(p->clone->uid, query->except_uid)))
                continue;
            /* what only a nomination keeps alive does not stand against a higher priority */
            if (query->now_ms >= p->first_ms + CLUSTER_HOLD_MS &&
                p->clone->priority < query->priority)
                continue;
            if (!p->certain)
                likely += hold->first ? CLUSTER_HOLD_NODES_MAX : 1;
            if (query->certain_only && !p->certain)
                continue;
            if (!found)
                memset(ret, 0, node->score.devices_n * sizeof(*ret));
            found = true;
            add_extra(&asked, hold, ret);
        }
        pthread_mutex_unlock(&h->lock);
    }
    if (ret_likely)
        *ret_likely = likely;
    return found;
}

bool cluster_hold_extra(struct cluster_store *st, const struct cluster_node *node,
                        struct str except_uid, bool certain_only, int64_t now_ms,
                        struct score_extra *ret, uint32_t *ret_likely)
{
    const struct cluster_hold_query query = {.except_uid = except_uid,
                                             .priority = INT32_MIN,
                                             .certain_only = certain_only,
                                             .now_ms = now_ms};
    return cluster_hold_extra_for(st, node, &query, ret, ret_likely);
}

void holds_need(struct cluster_store *st, struct str ns, struct str except_uid, int64_t now_ms,
                struct hold_need need[SCORE_VENDORS_MAX])
{
    pthread_mutex_lock(&st->holds->lock);
    const struct hold_space *s = space_find(st, ns);
    for (const struct hold_pod *p = s ? s->first : NULL; p; p = p->ns_next) {
        bool alive = false;
        for (uint16_t i = 0; i < p->holds_n && !alive; i++)
            alive = lives(&p->holds[i], now_ms);
        if (!alive || str_eq(p->clone->uid, except_uid))
            continue;
        for (uint16_t i = 0; i < p->needs_n; i++) {
            need[p->needs[i].vendor].mem_mib += p->needs[i].mem_mib;
            need[p->needs[i].vendor].cores_pct += p->needs[i].cores_pct;
        }
    }
    pthread_mutex_unlock(&st->holds->lock);
}

struct cluster_pod *holds_clone(struct cluster_store *st, struct str uid)
{
    pthread_mutex_lock(&st->holds->lock);
    const struct hold_pod *p = pod_find(st, uid);
    struct cluster_pod *clone = p ? cluster_pod_clone(p->clone) : NULL;
    pthread_mutex_unlock(&st->holds->lock);
    return clone;
}

uint32_t cluster_holds_count(struct cluster_store *st)
{
    pthread_mutex_lock(&st->holds->lock);
    uint32_t n = (uint32_t)st->holds->n;
    pthread_mutex_unlock(&st->holds->lock);
    return n;
}

void holds_stats(struct cluster_store *st, uint64_t *ret_holds, uint64_t *ret_dropped)
{
    pthread_mutex_lock(&st->holds->lock);
    *ret_holds = st->holds->n;
    *ret_dropped = st->holds->dropped;
    pthread_mutex_unlock(&st->holds->lock);
}
