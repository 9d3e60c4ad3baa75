/* Properties of rows of every kind, and an independent judge for them.
 *
 * The judge is written from the contract alone. It lives through a pod's containers in the order of
 * placing (docs/design/placement.md), share by share, and says of any choice of cards what each
 * share takes and whether it may. The core's placements must be such a choice with the same
 * amounts; where the core refuses, no choice may do. */
#include "check_score.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static unsigned cases(unsigned usual)
{
    const char *text = getenv("PROP_CASES"); /* NOLINT(concurrency-mt-unsafe): one thread */
    return text && *text ? (unsigned)strtoul(text, NULL, 10) : usual;
}

#define FOR_CASES(usual) /* r is the case's source of chance */                                    \
    for (unsigned case_ = 0, end_ = cases(usual); case_ < end_; case_++)                           \
        for (struct rnd r = {case_seed = seed_start() + case_}, *once_ = &r; once_; once_ = NULL)
#define must(cond, text) ck_assert_msg(cond, "PROP_SEED=%" PRIu64 ": %s", case_seed, text)

static bool has(uint16_t vendor, enum score_check check)
{
    for (unsigned i = 0; VENDORS[vendor].checks[i] != SCORE_CHECK_END; i++)
        if (VENDORS[vendor].checks[i] == check)
            return true;
    return false;
}

/* ---- random nodes and pods of one row ---- */

struct scene {
    struct cluster c;
    struct pod p;
    uint16_t vendor;
    bool slices; /* some cards are cut */
};

static bool is_hard(const struct scene *s)
{
    const enum score_select how = VENDORS[s->vendor].select;
    return s->p.selection.numa_bind || how == SCORE_SELECT_MODULES || how == SCORE_SELECT_WINGS ||
           how == SCORE_SELECT_BLOCKS;
}

static const struct score_profile SLICES[] = {
    {STR_INIT("1g"), STR_INIT(""), 5, 15, 1, 4, {{3, 1}, {2, 1}, {1, 1}, {0, 1}}},
    {STR_INIT("2g"), STR_INIT(""), 10, 29, 2, 2, {{0, 2}, {2, 2}}},
    {STR_INIT("4g"), STR_INIT(""), 20, 100, 4, 1, {{0, 4}}},
};

static void random_traits(struct rnd *r, struct scene *s, struct score_group *g)
{
    struct score_trait *t = cluster_traits(&s->c);
    const int64_t zones = rnd_in(r, 1, 3);
    for (unsigned i = 0; i < g->n; i++) {
        struct score_device *d = &s->c.devices[g->first + i];
        t[i].zone = rnd_one_in(r, 6) ? SCORE_ZONE_NONE : (int32_t)rnd_in(r, 0, zones);
        if (s->vendor == V_BITS) {
            t[i].bits_total = rnd_one_in(r, 4) ? 0xf : 3;
            t[i].bits_used = rnd_one_in(r, 2) ? 0 : rnd_u64(r) & t[i].bits_total;
            d->cores_total_pct = __builtin_popcountll(t[i].bits_total);
            d->cores_used_pct = __builtin_popcountll(t[i].bits_used);
            d->shares_used = d->cores_used_pct;
            d->shares_total = (int32_t)rnd_in(r, 2, 4);
            d->mem_total_mib = d->mem_used_mib = 0;
        }
        if (s->vendor == V_PROFILE) {
            t[i].profile = (uint16_t)rnd_in(r, 0, 1);
            t[i].profiles_n = (uint16_t)(ROWS(SLICES) - t[i].profile - rnd_one_in(r, 5));
            d->shares_total = 4;
        }
        if (s->slices && !rnd_one_in(r, 4)) {
            d->flags |= SCORE_DEVICE_MIG;
            t[i].profiles_n = ROWS(SLICES);
            t[i].bits_total = 0xf;
            t[i].bits_used = rnd_one_in(r, 2) ? 0 : rnd_u64(r) & 0xf;
            d->shares_total = 4;
            d->shares_used = __builtin_popcountll(t[i].bits_used);
        }
        if (d->shares_used > 0) {
            t[i].online = rnd_one_in(r, 5);
            t[i].offline = (uint16_t)(rnd_one_in(r, 3) * rnd_in(r, 1, 2));
            t[i].qos = (uint8_t)(rnd_one_in(r, 2) * rnd_in(r, 1, 2));
        }
    }
}

static void random_cards(struct rnd *r, struct scene *s, unsigned cards_max)
{
    struct score_device cards[16];
    ck_assert_uint_le(cards_max, ROWS(cards));
    const unsigned n = (unsigned)rnd_in(r, 1, cards_max);
    int32_t index = 0;
    for (unsigned i = 0; i < n; i++) {
        cards[i] = CARD(.mem_total_mib = rnd_one_in(r, 4) ? 12 : 20, .index = index,
                        .cores_total_pct = rnd_one_in(r, 6) ? 50 : 100,
                        .shares_total = (int32_t)rnd_in(r, 1, 4), .numa = (int32_t)rnd_in(r, 0, 1));
        struct score_device *d = &cards[i];
        if (rnd_one_in(r, 2)) {
            d->shares_used = (int32_t)rnd_in(r, 0, d->shares_total);
            d->mem_used_mib = d->shares_used ? rnd_in(r, 0, 2) * 5 * d->shares_used : 0;
            d->cores_used_pct = d->shares_used ? (int32_t)rnd_in(r, 0, 5) * 10 : 0;
        }
        if (rnd_one_in(r, 12))
            d->flags |= (uint16_t)(1 << rnd_in(r, 0, 1));
        if (rnd_one_in(r, 20))
            d->flags |= SCORE_DEVICE_FOREIGN;
        if (!rnd_one_in(r, 3))
            d->flags |= SCORE_DEVICE_SOFT;
        index += rnd_one_in(r, 8) ? 2 : 1;
    }
    cluster_add(&s->c, s->vendor, cards, n);
    for (unsigned i = 0; i < n; i++)
        s->c.devices[i].index = cards[i].index;
}

static struct score_ask random_ask(struct rnd *r, const struct scene *s)
{
    static const int32_t CORES[] = {0, 10, 30, 50, 100, 100};
    struct score_ask a = {.vendor = s->vendor, .count = 1, .cores_pct = CORES[rnd_in(r, 0, 5)]};
    if (s->vendor == V_BITS)
        a.cores_pct = (int32_t)rnd_in(r, 0, 3);
    if (rnd_one_in(r, 8))
        a.mem_pct = 50;
    else
        a.mem_mib = rnd_in(r, 0, 2) * 5;
    if (s->vendor == V_PROFILE) {
        a.mem_pct = 0;
        a.mem_mib = rnd_in(r, 0, 12);
        a.slices = rnd_one_in(r, 2) ? (int32_t)rnd_in(r, 1, 4) : 0;
    }
    a.soft = rnd_one_in(r, 4);
    return a;
}

static void random_scene_of(struct rnd *r, struct scene *s, uint16_t vendor, unsigned cards_max,
                            unsigned asks_max, int32_t count_max)
{
    memset(s, 0, sizeof(*s));
    s->vendor = vendor;
    s->slices = s->vendor == V_FULL && rnd_one_in(r, 2);
    cluster_init(&s->c);
    memcpy(s->c.profiles, SLICES, sizeof(SLICES));
    s->c.node.profiles_n = ROWS(SLICES);
    random_cards(r, s, s->slices && cards_max > 3 ? 3 : cards_max);
    struct score_group *g = &s->c.groups[0];
    if (s->slices || s->vendor == V_BITS || s->vendor == V_PROFILE || s->vendor == V_CLASS ||
        rnd_one_in(r, 2))
        random_traits(r, s, g);
    if (rnd_one_in(r, 2) || s->vendor == V_NEAR) {
        cluster_topology(&s->c, !rnd_one_in(r, 4))->aligned = rnd_one_in(r, 2);
        if (rnd_one_in(r, 4))
            s->c.topology.near = NULL;
        for (unsigned i = 0; i < g->n && s->c.topology.pair; i++)
            for (unsigned j = i + 1; j < g->n; j++)
                cluster_pair(&s->c, i, j, (int32_t)rnd_in(r, -1, 4) * 100);
    }
    cluster_sum(&s->c);
    pod_init(&s->p);
    s->p.req.selections_n = 1;
    s->p.selection = (struct score_selection){.vendor = s->vendor,
                                              .numa_bind = rnd_one_in(r, 4),
                                              .app_class = (enum score_class)rnd_in(r, 0, 2),
                                              .qos = (uint8_t)rnd_in(r, 0, 2),
                                              .links = rnd_one_in(r, 2)};
    const unsigned asks = (unsigned)rnd_in(r, 1, asks_max);
    enum score_step step = rnd_one_in(r, 2) ? SCORE_STEP_APP : SCORE_STEP_INIT;
    for (unsigned i = 0; i < asks; i++) {
        if (step != SCORE_STEP_APP)
            step = (enum score_step)rnd_in(r, SCORE_STEP_INIT, SCORE_STEP_APP);
        struct score_ask ask = i > 0 && rnd_one_in(r, 3) ? s->p.asks[i - 1] : random_ask(r, s);
        ask.count = rnd_one_in(r, 2) ? 1 : (int32_t)rnd_in(r, 1, count_max);
        pod_ask(&s->p, step, ask);
    }
    if (rnd_one_in(r, 4)) {
        s->p.req.quotas_n = 1;
        s->p.quotas[0] = (struct score_quota){.vendor = s->vendor,
                                              .mem_set = rnd_one_in(r, 2),
                                              .mem_left_mib = rnd_in(r, 0, 40),
                                              .cores_set = rnd_one_in(r, 2),
                                              .cores_left_pct = rnd_in(r, 0, 300)};
    }
    struct score_policy *policy = &s->p.req.policy;
    policy->node_spread = rnd_one_in(r, 2);
    policy->card_mutex = rnd_one_in(r, 5);
    policy->topology_aware = rnd_one_in(r, 2);
    for (unsigned i = 0; i < 3; i++)
        policy->card[i] = (enum score_key)rnd_in(r, 0, SCORE_KEY_COUNT_ - 1);
}

static void random_scene(struct rnd *r, struct scene *s, unsigned cards_max, unsigned asks_max,
                         int32_t count_max)
{
    static const uint16_t OF[] = {V_FULL,    V_FULL,  V_FULL,  V_NEAR,  V_ZONES,
                                  V_MODULES, V_ONE,   V_CLASS, V_FREE,  V_PROFILE,
                                  V_WINGS,   V_EQUAL, V_BITS,  V_UNITS, V_DIES};
    random_scene_of(r, s, OF[rnd_in(r, 0, ROWS(OF) - 1)], cards_max, asks_max, count_max);
}

/* ---- the judge ---- */

struct held { /* a share that the pod has */
    unsigned ask;
    unsigned card;
    int64_t mem, cores, shares;
    uint64_t bits;
    int profile; /* -1: none */
};

struct life {
    const struct scene *s;
    const struct score_group *g;
    unsigned order[8];  /* of placing: asks */
    unsigned cards[64]; /* the choice, share by share in that order */
    struct held held[64];
    unsigned held_n;
};

static bool is_init(const struct life *l, unsigned ask)
{
    return l->s->p.steps[l->s->p.asks[ask].container] == SCORE_STEP_INIT;
}

/* Whether what `h` has is in use while `ask` runs. */
static bool runs_beside(const struct life *l, unsigned ask, const struct held *h)
{
    if (h->ask == ask)
        return true;
    if (!is_init(l, ask))
        return !is_init(l, h->ask);
    return l->s->p.steps[l->s->p.asks[h->ask].container] == SCORE_STEP_SIDECAR && h->ask < ask;
}

static const struct score_trait *trait_of(const struct life *l, unsigned card)
{
    static const struct score_trait NONE = {.zone = SCORE_ZONE_NONE};
    return l->g->traits ? &l->g->traits[card] : &NONE;
}

static bool is_cut(const struct life *l, unsigned card)
{
    return (l->s->c.devices[l->g->first + card].flags & SCORE_DEVICE_MIG) &&
           trait_of(l, card)->profiles_n > 0;
}

static uint64_t bits_of(const struct score_placement_at *at)
{
    return (((uint64_t)1 << at->size) - 1) << at->start;
}

/* The slice of a card that is cut; false: none. */
static bool slice(const struct life *l, unsigned ask, unsigned card, int64_t need, struct held *ret)
{
    uint64_t all = trait_of(l, card)->bits_used, running = 0;
    for (unsigned i = 0; i < l->held_n; i++)
        if (l->held[i].card == card) {
            all |= l->held[i].bits;
            running |= runs_beside(l, ask, &l->held[i]) ? l->held[i].bits : 0;
        }
    const struct held *idle = NULL;
    for (unsigned i = 0; is_init(l, ask) && i < l->held_n; i++) {
        const struct held *h = &l->held[i];
        if (h->card == card && h->mem >= need && !(h->bits & running) &&
            (!idle || h->mem < idle->mem))
            idle = h;
    }
    if (idle) {
        ret->profile = idle->profile;
        ret->bits = idle->bits;
        return true;
    }
    for (unsigned p = 0; p < ROWS(SLICES); p++)
        for (unsigned at = 0; SLICES[p].mem_mib >= need && at < SLICES[p].placements_n; at++)
            if (!(bits_of(&SLICES[p].placements[at]) & all)) {
                ret->profile = (int)p;
                ret->bits = bits_of(&SLICES[p].placements[at]);
                return true;
            }
    return false;
}

/* What a share of an ask takes of a card, by the rule of the row; false: it can't be made. */
static bool amounts(const struct life *l, unsigned ask, unsigned card, struct held *ret)
{
    const struct score_ask *a = &l->s->p.asks[ask];
    const struct score_device *d = &l->s->c.devices[l->g->first + card];
    const struct score_trait *t = trait_of(l, card);
    const bool online =
        has(l->s->vendor, SCORE_CHECK_CLASS) && l->s->p.selection.app_class == SCORE_CLASS_ONLINE;
    *ret = (struct held){.ask = ask,
                         .card = card,
                         .mem = a->mem_pct ? d->mem_total_mib * a->mem_pct / 100 : a->mem_mib,
                         .cores = online ? 0 : a->cores_pct,
                         .shares = 1,
                         .profile = -1};
    if (is_cut(l, card)) {
        if (!slice(l, ask, card, ret->mem, ret))
            return false;
        ret->mem = SLICES[ret->profile].mem_mib;
        ret->cores = SLICES[ret->profile].cores_pct;
    } else if (l->s->vendor == V_UNITS) {
        if (a->mem_mib == 0 && a->mem_pct == 0)
            ret->mem = d->mem_total_mib;
        const int64_t all = d->cores_total_pct;
        ret->cores = a->cores_pct == 0              ? (ret->mem >= d->mem_total_mib ? all : 0)
                     : all * a->cores_pct / 100 < 1 ? 1
                                                    : all * a->cores_pct / 100;
    } else if (l->s->vendor == V_PROFILE) {
        for (unsigned p = t->profile; p < (unsigned)t->profile + t->profiles_n; p++)
            if (ret->profile < 0 && (a->slices ? SLICES[p].slices == a->slices
                                               : SLICES[p].mem_mib >= a->mem_mib &&
                                                     SLICES[p].cores_pct >= a->cores_pct))
                ret->profile = (int)p;
        if (ret->profile < 0)
            return false;
        ret->mem = SLICES[ret->profile].mem_mib;
        ret->cores = SLICES[ret->profile].cores_pct;
        ret->shares = SLICES[ret->profile].slices;
    } else if (l->s->vendor == V_BITS) {
        uint64_t used = t->bits_used;
        bool idle = d->shares_used == 0 && used == 0;
        for (unsigned i = 0; i < l->held_n; i++)
            if (l->held[i].card == card && runs_beside(l, ask, &l->held[i])) {
                used |= l->held[i].bits;
                idle = false;
            }
        ret->cores = a->cores_pct ? a->cores_pct : __builtin_popcountll(t->bits_total);
        if (!a->cores_pct && !idle)
            return false;
        for (unsigned b = 0; b < 64 && __builtin_popcountll(ret->bits) < ret->cores; b++)
            if ((t->bits_total & ~used) >> b & 1)
                ret->bits |= (uint64_t)1 << b;
        if (__builtin_popcountll(ret->bits) < ret->cores || ret->bits == 0)
            return false;
    }
    return true;
}

/* Whether class and policy allow it (contract/vendors-b.md 1g). */
static bool class_allows(const struct life *l, unsigned card, bool used, int64_t cores)
{
    const struct score_trait *t = trait_of(l, card);
    const struct score_selection *s = &l->s->p.selection;
    if (!used)
        return true;
    if (s->app_class == SCORE_CLASS_NONE
            ? t->online || t->offline
            : (!t->online && !t->offline) || (t->online && s->app_class == SCORE_CLASS_OFFLINE))
        return false;
    return s->app_class == SCORE_CLASS_ONLINE || cores == 100 || t->qos == 0 ||
           l->s->c.devices[l->g->first + card].shares_used == 0 || t->qos == s->qos;
}

static bool zone_is_used(const struct life *l, unsigned ask, unsigned card)
{
    const int32_t zone = trait_of(l, card)->zone;
    for (unsigned i = 0; i < l->g->n; i++)
        if (i == card || (zone != SCORE_ZONE_NONE && trait_of(l, i)->zone == zone)) {
            if (l->s->c.devices[l->g->first + i].shares_used > 0)
                return true;
            for (unsigned h = 0; h < l->held_n; h++)
                if (l->held[h].card == i && l->held[h].ask != ask &&
                    runs_beside(l, ask, &l->held[h]))
                    return true;
        }
    return false;
}

/* Whether the next share may be, and what it is. */
static bool may(const struct life *l, unsigned ask, unsigned card, struct held *ret)
{
    const uint16_t v = l->s->vendor;
    const struct score_ask *a = &l->s->p.asks[ask];
    const struct score_device *d = &l->s->c.devices[l->g->first + card];
    const bool cut = is_cut(l, card);
    if ((d->flags & SCORE_DEVICE_UNHEALTHY && has(v, SCORE_CHECK_HEALTH)) ||
        (d->flags & SCORE_DEVICE_CORDONED && has(v, SCORE_CHECK_CORDON)) ||
        (d->flags & SCORE_DEVICE_FOREIGN) ||
        (d->flags & SCORE_DEVICE_MIG && has(v, SCORE_CHECK_PLACEMENT) && !cut) ||
        (a->soft && has(v, SCORE_CHECK_SOFT) && !(d->flags & SCORE_DEVICE_SOFT)))
        return false;
    if (!amounts(l, ask, card, ret))
        return false;
    int64_t mem = d->mem_used_mib, cores = d->cores_used_pct, shares = d->shares_used, own = 0;
    for (unsigned i = 0; i < l->held_n; i++) {
        const struct held *h = &l->held[i];
        const bool same_phase = is_init(l, h->ask) == is_init(l, ask);
        if (has(v, SCORE_CHECK_ONE_CARD) && same_phase && h->ask != ask && h->card != card)
            return false;
        if (h->card != card || !runs_beside(l, ask, h))
            continue;
        if (h->ask == ask && !cut)
            return false; /* distinct cards */
        own += h->ask == ask;
        mem += h->mem, cores += h->cores, shares += h->shares;
    }
    const bool used = shares > 0, soft = a->soft && has(v, SCORE_CHECK_SOFT);
    const bool online =
        has(v, SCORE_CHECK_CLASS) && l->s->p.selection.app_class == SCORE_CLASS_ONLINE;
    const bool by_number = !cut && v != V_BITS && !online;
    const int64_t cores_total = soft ? 100 : d->cores_total_pct;
    const bool mutex = l->s->p.req.policy.card_mutex;
    return !(has(v, SCORE_CHECK_SLOTS) && shares + ret->shares > d->shares_total) &&
           !(has(v, SCORE_CHECK_MEMORY) && mem + ret->mem > d->mem_total_mib) &&
           !(has(v, SCORE_CHECK_CORES) && by_number && cores + ret->cores > cores_total) &&
           !(has(v, SCORE_CHECK_EXCLUSIVE) && by_number && cores_total == 100 &&
             ret->cores == 100 && used) &&
           !(has(v, SCORE_CHECK_ZERO_CORES) && by_number && cores_total && cores >= cores_total &&
             ret->cores == 0) &&
           !(has(v, SCORE_CHECK_MUTEX) && mutex && shares - own > 0) &&
           !(has(v, SCORE_CHECK_ZONE_MUTEX) && mutex && zone_is_used(l, ask, card)) &&
           !(has(v, SCORE_CHECK_FREE) && used) &&
           !(has(v, SCORE_CHECK_EQUAL) && used && mem / shares != ret->mem) &&
           !(has(v, SCORE_CHECK_CLASS) && !class_allows(l, card, used, a->cores_pct));
}

/* Whether the last `n` shares are a set that the row allows. */
static bool together(const struct life *l, unsigned n)
{
    const struct held *h = &l->held[l->held_n - n];
    const struct score_device *d = &l->s->c.devices[l->g->first];
    const enum score_select how = VENDORS[l->s->vendor].select;
    bool in[64] = {false};
    int32_t low = INT32_MAX, high = 0;
    for (unsigned i = 0; i < n; i++) {
        const int32_t index = d[h[i].card].index;
        if (l->s->p.selection.numa_bind && d[h[i].card].numa != d[h[0].card].numa)
            return false;
        in[index] = true;
        low = index < low ? index : low;
        high = index > high ? index : high;
    }
    if (how == SCORE_SELECT_MODULES && n > 1) {
        for (int32_t i = 0; i < 64; i++)
            if (in[i] != in[i ^ 1])
                return false;
    } else if (how == SCORE_SELECT_BLOCKS && n > 1) {
        const bool aligned = !l->g->topology || l->g->topology->aligned;
        return high - low + 1 == (int32_t)n &&
               (!aligned || ((n == 4 || n == 8 || n == 16) && low % (int32_t)n == 0));
    } else if (how == SCORE_SELECT_WINGS) {
        unsigned left = 0, right = 0;
        for (unsigned i = 0; i < 4; i++) {
            left |= (unsigned)in[i] << i;
            right |= (unsigned)in[i + 4] << i;
        }
        if (high > 7)
            return false;
        const int l_n = __builtin_popcount(left), r_n = __builtin_popcount(right);
        return n == 1 || n == 8 || (n == 2 && (l_n == 2 || r_n == 2 || left == right)) ||
               (n == 4 && (l_n == 4 || r_n == 4 || left == right));
    }
    return true;
}

/* What the pod would keep of the cards for its life. */
static bool quota_allows(const struct life *l)
{
    if (!l->s->p.req.quotas_n || !has(l->s->vendor, SCORE_CHECK_QUOTA))
        return true;
    int64_t mem = 0, cores = 0;
    for (unsigned card = 0; card < l->g->n; card++) {
        int64_t mem_most = 0, cores_most = 0;
        for (unsigned ask = 0; ask <= l->s->p.req.asks_n; ask++) { /* the last: all that stays */
            int64_t m = 0, k = 0;
            if (ask < l->s->p.req.asks_n && !is_init(l, ask))
                continue;
            for (unsigned i = 0; i < l->held_n; i++) {
                const struct held *h = &l->held[i];
                const bool there =
                    ask < l->s->p.req.asks_n ? runs_beside(l, ask, h) : !is_init(l, h->ask);
                m += h->card == card && there ? h->mem : 0;
                k += h->card == card && there ? h->cores : 0;
            }
            mem_most = m > mem_most ? m : mem_most;
            cores_most = k > cores_most ? k : cores_most;
        }
        mem += mem_most;
        cores += cores_most;
    }
    const struct score_quota *q = &l->s->p.quotas[0];
    return !(q->mem_set && mem > q->mem_left_mib) && !(q->cores_set && cores > q->cores_left_pct);
}

/* Any choice from share `j` of the k-th ask on, cards from `from` on for this share. */
static bool any_choice(struct life *l, unsigned k, int32_t j, unsigned from)
{
    if (k == l->s->p.req.asks_n)
        return quota_allows(l);
    const unsigned ask = l->order[k];
    if (j == l->s->p.asks[ask].count)
        return together(l, (unsigned)j) && any_choice(l, k + 1, 0, 0);
    for (unsigned card = from; card < l->g->n; card++) {
        if (!may(l, ask, card, &l->held[l->held_n]))
            continue;
        l->held_n++;
        if (any_choice(l, k, j + 1, card))
            return true;
        l->held_n--;
    }
    return false;
}

static void life_start(struct life *l, const struct scene *s)
{
    *l = (struct life){.s = s, .g = &s->c.groups[0]};
    unsigned n = 0;
    for (int init = 0; init < 2; init++) {
        const unsigned first = n;
        for (unsigned ask = 0; ask < s->p.req.asks_n; ask++) {
            if (is_init(l, ask) != (init == 1))
                continue;
            unsigned at = n++;
            for (; is_hard(s) && at > first &&
                   s->p.asks[l->order[at - 1]].count < s->p.asks[ask].count;
                 at--)
                l->order[at] = l->order[at - 1];
            l->order[at] = ask;
        }
    }
}

/* Whether the core's placement is a choice that the judge allows, with the same amounts. */
static void judge_placement(const struct scene *s, const struct score_placement *pl)
{
    struct life l;
    life_start(&l, s);
    unsigned first[8] = {0};
    for (unsigned ask = 0; ask + 1 < s->p.req.asks_n; ask++)
        first[ask + 1] = first[ask] + (unsigned)s->p.asks[ask].count;
    for (unsigned k = 0; k < s->p.req.asks_n; k++) {
        const unsigned ask = l.order[k];
        for (int32_t j = 0; j < s->p.asks[ask].count; j++) {
            const struct score_part *part = &pl->parts[first[ask] + (unsigned)j];
            struct held *h = &l.held[l.held_n];
            must(part->ask == ask, "a part of another ask");
            must(may(&l, ask, part->device - l.g->first, h), "a share that may not be");
            must(h->mem == part->mem_mib, "another amount of memory");
            must(h->cores == part->cores_pct, "another amount of cores");
            must(h->shares == part->shares, "another number of shares");
            must(h->bits == part->bits, "other bits");
            must(h->profile + 1 == part->profile, "another profile");
            l.held_n++;
        }
        must(together(&l, (unsigned)s->p.asks[ask].count), "cards that don't go together");
    }
    must(quota_allows(&l), "over the quota");
}

START_TEST(agrees_with_judge)
{
    unsigned fit[V_COUNT] = {0}, refused[V_COUNT] = {0};
    FOR_CASES(40000)
    {
        static struct scene s;
        static struct result res;
        /* Small enough for the search to end: docs/design/placement.md. */
        const unsigned asks = rnd_one_in(&r, 3) ? 3 : rnd_one_in(&r, 2) ? 2 : 1;
        random_scene(&r, &s,
                     asks == 1   ? 8
                     : asks == 2 ? 5
                                 : 4,
                     asks,
                     asks == 1   ? 8
                     : asks == 2 ? 3
                                 : 2);
        decide(&s.p, &s.c, NULL, &res);
        if (res.v.fits) {
            judge_placement(&s, &res.placement);
            fit[s.vendor]++;
            continue;
        }
        struct life l;
        life_start(&l, &s);
        must(!any_choice(&l, 0, 0, 0), "a pod that fits was refused");
        refused[s.vendor]++;
    }
    for (unsigned v = 0; cases(1000) >= 1000 && v < V_COUNT; v++)
        ck_assert_msg(v == V_OTHER || v == V_SLOTS || (fit[v] > 100 && refused[v] > 100),
                      "%u: %u fit, %u refused", v, fit[v], refused[v]);
}
END_TEST

START_TEST(sound_when_large)
{
    /* More than a search covers: what is placed is right all the same. */
    FOR_CASES(10000)
    {
        static struct scene s;
        static struct result res;
        random_scene(&r, &s, 8, 6, 8);
        decide(&s.p, &s.c, NULL, &res);
        if (res.v.fits)
            judge_placement(&s, &res.placement);
    }
}
END_TEST

/* Of many near cards whoever does not ask for the cards gets a bound of how near they are at best,
 * and the same answer otherwise: whether it fits, and why not. */
START_TEST(many_near_cards_agree)
{
    unsigned fit = 0, refused = 0;
    struct arena *arena = arena_new(1 << 20);
    FOR_CASES(6000)
    {
        static struct scene s;
        static struct score_placement placement;
        struct score_prepared prep;
        struct score_verdict checked, placed;
        random_scene_of(&r, &s, V_NEAR, 16, 4, 8);
        if (s.c.groups[0].n <= SCORE_BOUND_CARDS)
            continue;
        arena_reset(arena);
        ck_assert_int_eq(score_prepare(&s.p.req, TYPES, T_COUNT, arena, &prep, NULL), ERR_OK);
        score_node_check(&prep, &s.c.node, NULL, &checked);
        score_node_place(&prep, &s.c.node, NULL, &placed, &placement, NULL);
        must(checked.fits == placed.fits, "one fits");
        must(checked.unresolvable == placed.unresolvable, "one never fits");
        must(checked.reasons == placed.reasons, "other reasons");
        if (placed.fits)
            judge_placement(&s, &placement);
        fit += placed.fits;
        refused += !placed.fits;
    }
    must(cases(1000) < 1000 || (fit > 100 && refused > 100), "no cases");
    arena_free(arena);
}
END_TEST

START_TEST(never_means_never)
{
    /* unresolvable exactly when the unused node would refuse as well. */
    FOR_CASES(10000)
    {
        static struct scene s;
        static struct result res, unused;
        random_scene(&r, &s, 5, 3, 3);
        decide(&s.p, &s.c, NULL, &res);
        if (res.v.fits)
            continue;
        for (unsigned i = 0; i < s.c.node.devices_n; i++) {
            struct score_device *d = &s.c.devices[i];
            d->mem_used_mib = d->cores_used_pct = d->shares_used = 0;
            struct score_trait *t = &s.c.traits[i];
            t->bits_used = 0;
            t->online = t->offline = t->qos = 0;
        }
        cluster_sum(&s.c);
        decide(&s.p, &s.c, NULL, &unused);
        must(res.v.unresolvable == !unused.v.fits, "unresolvable is not what the unused node says");
    }
}
END_TEST

START_TEST(extra_is_use)
{
    /* Use in `extra` or on the node: one answer, bits, classes and policies too. */
    FOR_CASES(10000)
    {
        static struct scene s;
        static struct result a, b;
        random_scene(&r, &s, 6, 3, 3);
        decide(&s.p, &s.c, NULL, &a);
        struct score_extra x[8];
        for (unsigned i = 0; i < s.c.node.devices_n; i++) {
            struct score_device *d = &s.c.devices[i];
            struct score_trait *t = &s.c.traits[i];
            const uint64_t wrong = rnd_u64(&r) & ~t->bits_used & t->bits_total;
            x[i] = (struct score_extra){.mem_mib = d->mem_used_mib,
                                        .cores_pct = d->cores_used_pct,
                                        .shares = d->shares_used,
                                        .bits_clear = wrong,
                                        .bits_set = t->bits_used,
                                        .online = (int16_t)t->online,
                                        .offline = (int16_t)t->offline,
                                        .qos = t->qos};
            d->mem_used_mib = d->cores_used_pct = d->shares_used = 0;
            t->bits_used = wrong;
            t->online = t->offline = t->qos = 0;
        }
        cluster_sum(&s.c);
        decide(&s.p, &s.c, x, &b);
        must(same_verdict(&a.v, &b.v), "verdicts differ");
        must(same_placement(&a.placement, &b.placement), "placements differ");
    }
}
END_TEST

START_TEST(own_charges_taken_off)
{
    /* Placed, charged, and asked again less its own charges: the answer is the same. */
    FOR_CASES(10000)
    {
        static struct scene s, charged;
        static struct result a, b;
        random_scene(&r, &s, 6, 3, 3);
        decide(&s.p, &s.c, NULL, &a);
        if (!a.v.fits)
            continue;
        charged = s;
        cluster_charge(&charged.c, &s.p, &a.placement);
        struct score_extra x[8];
        for (unsigned i = 0; i < s.c.node.devices_n; i++) {
            const struct score_device *d = &s.c.devices[i], *e = &charged.c.devices[i];
            const uint64_t bits = charged.c.traits[i].bits_used;
            x[i] = (struct score_extra){.mem_mib = d->mem_used_mib - e->mem_used_mib,
                                        .cores_pct = d->cores_used_pct - e->cores_used_pct,
                                        .shares = d->shares_used - e->shares_used,
                                        .bits_clear = bits & ~s.c.traits[i].bits_used};
        }
        /* the copy's pointers are the original's: charge that */
        cluster_charge(&s.c, &s.p, &a.placement);
        decide(&s.p, &s.c, x, &b);
        must(same_verdict(&a.v, &b.v), "verdicts differ");
        must(same_placement(&a.placement, &b.placement), "placements differ");
    }
}
END_TEST

START_TEST(place_does_not_matter)
{
    /* Where a group's cards stand in the node changes nothing. */
    FOR_CASES(5000)
    {
        static struct scene s, moved;
        static struct result a, b;
        random_scene(&r, &s, 6, 3, 3);
        decide(&s.p, &s.c, NULL, &a);
        const unsigned n = s.c.node.devices_n;
        const struct score_device other = CARD();
        cluster_init(&moved.c);
        memcpy(moved.c.profiles, SLICES, sizeof(SLICES));
        moved.c.node.profiles_n = ROWS(SLICES);
        cluster_add(&moved.c, s.vendor == V_FULL ? V_OTHER : V_FULL, &other, 1);
        cluster_add(&moved.c, s.vendor, s.c.devices, n);
        if (s.c.groups[0].traits)
            memcpy(cluster_traits(&moved.c), s.c.traits, n * sizeof(s.c.traits[0]));
        moved.c.groups[1].topology = s.c.groups[0].topology;
        decide(&s.p, &moved.c, NULL, &b);
        must(same_verdict(&a.v, &b.v), "verdicts differ");
        for (unsigned i = 0; i < b.placement.parts_n; i++)
            b.placement.parts[i].device--;
        must(same_placement(&a.placement, &b.placement), "placements differ");
    }
}
END_TEST

Suite *suite_ways_props(void)
{
    Suite *suite = suite_create("score ways properties");
    TCase *tc = tcase_create("properties");
    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, agrees_with_judge);
    tcase_add_test(tc, sound_when_large);
    tcase_add_test(tc, many_near_cards_agree);
    tcase_add_test(tc, never_means_never);
    tcase_add_test(tc, extra_is_use);
    tcase_add_test(tc, own_charges_taken_off);
    tcase_add_test(tc, place_does_not_matter);
    suite_add_tcase(suite, tc);
    return suite;
}
