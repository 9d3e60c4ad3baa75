/* Placing several containers: first as the policy likes, then, where that gets stuck, by search.
 *
 * Containers are placed in their own order, app containers and sidecars before init steps, and
 * every check is made against what others use plus what runs beside the container: all app
 * containers and sidecars placed so far, or for an init step the sidecars started before it. An
 * init step takes of a card only what exceeds the pod's use of it anyway; its checks are made
 * without the app containers, which never run at the same time. docs/design/placement.md says which
 * completeness the search promises. */
#include "score/walk.h"

#include "score/select.h"

#include <assert.h>
#include <string.h>

/* Choices tried before a search gives up. Bounds one node to some 0.1 ms. Where no two cards are
 * alike it covers three containers on twelve cards (12 + 12² + 12³); cards that are alike are tried
 * once. */
#define STEPS_MAX 2048
/* A pod with more shares of one vendor than this is placed greedily or not at all: the steps would
 * not reach far. */
#define PARTS_MAX 256

/* What only some makers' cards have. */
static void start_special(struct walk *w, const struct score_extra *extra, bool unused)
{
    const struct score_plan *plan = w->plan;
    const bool by_index = plan_hard(plan) || plan->quality == SCORE_QUALITY_WINGS;
    const struct score_trait no_trait = {.zone = SCORE_ZONE_NONE};
    const struct score_extra no_extra = {0};
    for (uint16_t i = 0; i < w->n; i++) {
        const struct score_device *d = &w->node->devices[w->group->first + i];
        const struct score_trait *t = w->group->traits ? &w->group->traits[i] : &no_trait;
        const struct score_extra *x = extra ? &extra[w->group->first + i] : &no_extra;
        struct more *m = &w->more[i];
        *m = (struct more){.bits_total = t->bits_total,
                           .profile = t->profile,
                           .profiles_n = t->profiles_n,
                           .soft = d->flags & SCORE_DEVICE_SOFT};
        w->zone[i] = t->zone;
        if (by_index)
            w->index[i] = d->index;
        if ((d->flags & SCORE_DEVICE_MIG) && t->profiles_n > 0) {
            w->cards[i].divisible = true;
            w->cards[i].fixed &= ~plan->placement; /* share_of_slices() says whether one is free */
            w->divisible |= !(w->cards[i].fixed & plan->type);
        }
        if (unused)
            continue;
        const int32_t online = t->online + x->online, offline = t->offline + x->offline;
        m->bits_used = (t->bits_used & ~x->bits_clear) | x->bits_set;
        m->online = (uint16_t)(online < 0 ? 0 : online);
        m->offline = (uint16_t)(offline < 0 ? 0 : offline);
        m->qos = score_qos_join(t->qos, x->qos);
    }
    for (uint16_t i = 0; w->plan->asks[0].zone_mutex && i < w->n; i++) {
        uint16_t z = 0;
        while (w->zone[z] != w->zone[i])
            z++;
        w->more[i].zone = w->zone[i] == SCORE_ZONE_NONE ? 0 : (uint16_t)(z + 1);
    }
}

void walk_start(struct walk *w, const struct score_prepared *prep, const struct score_plan *plan,
                const struct score_node *node, const struct score_group *group,
                const struct score_extra *extra, bool unused)
{
    w->plan = plan;
    w->policy = &prep->req->policy;
    w->node = node;
    w->group = group;
    w->n = group->n;
    w->special = !plan->plain || plan->numa_bind || group->traits;
    w->divisible = w->bound = w->bounded = false;
    w->only = 0;
    w->mem_sum = w->cores_sum = 0;
    for (uint16_t i = 0; i < w->n; i++) {
        const struct score_device *d = &node->devices[group->first + i];
        const struct score_extra *x = extra ? &extra[group->first + i] : NULL;
        /* Member by member: as one literal the compiler clears it with an instruction that takes
         * longer than all the rest. */
        struct card *c = &w->cards[i];
        const struct fit_card o = unused ? fit_card_unused(d) : fit_card(d, x);
        c->others.mem_total = o.mem_total;
        c->others.mem_used = o.mem_used;
        c->others.cores_total = o.cores_total;
        c->others.cores_used = o.cores_used;
        c->others.shares_total = o.shares_total;
        c->others.shares_used = o.shares_used;
        c->taken = c->beside = (struct amount){0};
        c->fixed = fit_fixed(plan, d, unused ? d->flags & ~(unsigned)SCORE_DEVICE_LENT : d->flags);
        c->numa = d->numa;
        c->in_ask = 0;
        c->divisible = false;
    }
    if (w->special)
        start_special(w, extra, unused);
}

void walk_reset(struct walk *w)
{
    w->bounded = false;
    w->mem_sum = w->cores_sum = 0;
    w->only = 0;
    for (uint16_t i = 0; i < w->n; i++) {
        w->cards[i].taken = w->cards[i].beside = (struct amount){0};
        w->cards[i].in_ask = 0;
        if (w->special)
            w->more[i].zone_busy = false;
    }
}

/* ---- one share ---- */

/* contract/vendors-b.md 5g: cores are percent of the card's units. */
static void share_of_units(const struct fit_ask *ask, const struct card *c, struct share *s)
{
    const int64_t mem = c->others.mem_total, units = c->others.cores_total;
    if (ask->mem_mib == 0 && ask->mem_pct == 0)
        s->n.mem = mem;
    const bool whole = mem > 0 && s->n.mem >= mem;
    int64_t cores = units * ask->cores_pct / 100;
    cores = cores > units ? units : cores;
    cores = cores < 1 ? 1 : cores;
    s->n.cores = ask->cores_pct > 0 ? cores : whole ? units : 0;
}

static uint64_t lowest_bits(uint64_t free, int64_t n)
{
    uint64_t bits = 0;
    for (; n > 0; n--)
        bits |= (free & ~bits) & (0 - (free & ~bits));
    return bits;
}

/* contract/vendors-b.md 4g, 4e: a number of the card's bits, or the whole card. */
static void share_of_bits(const struct walk *w, const struct fit_ask *ask, uint16_t i,
                          struct share *s)
{
    const struct card *c = &w->cards[i];
    const struct more *m = &w->more[i];
    const struct amount *beside = ask->step == SCORE_STEP_INIT ? &c->beside : &c->taken;
    const uint64_t used = m->bits_used | beside->bits;
    const int64_t total = __builtin_popcountll(m->bits_total);
    const bool whole = ask->cores_pct == 0;
    s->n.cores = whole ? total : ask->cores_pct;
    const uint64_t free = m->bits_total & ~used;
    const bool idle = used == 0 && c->others.shares_used + beside->shares == 0;
    if (total == 0 || s->n.cores > __builtin_popcountll(free) || (whole && !idle))
        s->failed |= ask->bits;
    else
        s->bits = lowest_bits(free, s->n.cores);
}

static void share_is_profile(const struct walk *w, uint16_t at, struct share *s)
{
    const struct score_profile *p = &w->node->profiles[at];
    s->n.mem = p->mem_mib;
    s->n.cores = p->cores_pct;
    s->profile = (uint16_t)(at + 1);
}

/* contract/vendors-b.md 2g: the first profile that does. */
static void share_of_profile(const struct walk *w, const struct fit_ask *ask, const struct more *m,
                             struct share *s)
{
    const struct score_profile *of = w->node->profiles + m->profile;
    int64_t mem = s->n.mem;
    if (ask->mem_guess && m->profiles_n > 0 && mem <= of[m->profiles_n - 1].mem_mib / 1024 * 2)
        mem *= 1024;
    for (uint16_t p = 0; p < m->profiles_n; p++) {
        if (of[p].slices > UINT16_MAX)
            continue;
        if (ask->slices > 0 ? of[p].slices != ask->slices
                            : of[p].mem_mib < mem || of[p].cores_pct < ask->cores_pct)
            continue;
        share_is_profile(w, (uint16_t)(m->profile + p), s);
        s->n.shares = of[p].slices > 0 ? of[p].slices : 1;
        return;
    }
    s->failed |= w->plan->placement ? w->plan->placement : FIT_SIZE;
}

static uint64_t bits_at(const struct score_placement_at *at)
{
    assert(at->size >= 1);
    assert(at->start + at->size <= 64);
    return (UINT64_MAX >> (64 - at->size)) << at->start;
}

/* A slice that the pod has of the card and that is idle while the init step runs; the smallest that
 * does. Slices are there for the pod's life, so it costs nothing. */
static const struct took *idle_slice(const struct walk *w, const struct fit_ask *ask, uint16_t i,
                                     int64_t mem)
{
    const struct took *found = NULL;
    for (const struct fit_ask *a = w->plan->asks; a < ask; a++)
        for (int32_t j = 0; j < a->count; j++) {
            const struct took *t = &w->took[a->part + j];
            if (t->card == i && t->profile && t->mem_mib >= mem &&
                !(t->bits & w->cards[i].beside.bits) && (!found || t->mem_mib < found->mem_mib))
                found = t;
        }
    return found;
}

/* contract/nvidia.md 8.2: the first profile with a free placement. All that the pod has of the card
 * is taken, by whichever container. Cores play no part. */
static void share_of_slices(const struct walk *w, const struct fit_ask *ask, uint16_t i,
                            struct share *s)
{
    const struct card *c = &w->cards[i];
    const struct more *m = &w->more[i];
    const int64_t mem = s->n.mem;
    if (ask->step == SCORE_STEP_INIT && c->taken.bits) {
        const struct took *t = idle_slice(w, ask, i, mem);
        if (t) {
            share_is_profile(w, (uint16_t)(t->profile - 1), s);
            s->bits = t->bits;
            return;
        }
    }
    const uint64_t used = m->bits_used | c->taken.bits;
    for (uint16_t p = m->profile; p < m->profile + m->profiles_n; p++) {
        const struct score_profile *of = &w->node->profiles[p];
        if (of->mem_mib < mem)
            continue;
        assert(of->placements_n <= SCORE_PLACEMENTS_MAX);
        for (uint16_t at = 0; at < of->placements_n; at++) {
            const uint64_t bits = bits_at(&of->placements[at]);
            if (bits & used)
                continue;
            share_is_profile(w, p, s);
            s->bits = bits;
            return;
        }
    }
    s->failed |= w->plan->placement ? w->plan->placement : FIT_SIZE;
}

/* Makes what a plain card would give to `s` what this one gives. */
static NOINLINE void share_special(const struct walk *w, const struct fit_ask *ask, uint16_t i,
                                   struct share *s)
{
    const struct card *c = &w->cards[i];
    if (c->divisible)
        share_of_slices(w, ask, i, s);
    else if (ask->amount == SCORE_AMOUNT_UNITS)
        share_of_units(ask, c, s);
    else if (ask->amount == SCORE_AMOUNT_BITS)
        share_of_bits(w, ask, i, s);
    else if (ask->amount == SCORE_AMOUNT_PROFILE)
        share_of_profile(w, ask, &w->more[i], s);
}

static ALWAYS_INLINE struct share share_of(const struct walk *w, const struct fit_ask *ask,
                                           uint16_t i)
{
    struct share s = {
        .n = {fit_mem(ask, w->cards[i].others.mem_total), ask->cores_pct, /* shares= */ 1}};
    if (__builtin_expect(w->special, 0) &&
        (ask->amount != SCORE_AMOUNT_PLAIN || w->cards[i].divisible)) {
        /* a copy, so that the plain one needs no memory; member by member, for what was written in
         * pieces is slow to read as one */
        struct share own = s;
        share_special(w, ask, i, &own);
        s.n.mem = own.n.mem;
        s.n.cores = own.n.cores;
        s.n.shares = own.n.shares;
        s.bits = own.bits;
        s.failed = own.failed;
        s.profile = own.profile;
    }
    return s;
}

struct share walk_share(const struct walk *w, const struct fit_ask *ask, uint16_t i)
{
    return share_of(w, ask, i);
}

static ALWAYS_INLINE void add_share(struct amount *to, const struct share *s)
{
    to->mem_mib += s->n.mem;
    to->cores_pct += s->n.cores;
    to->shares += s->n.shares;
    to->bits |= s->bits;
}

/* What the pod holds of a card once `ask` has a share of it. */
static ALWAYS_INLINE struct amount taken_with(const struct fit_ask *ask, const struct card *c,
                                              const struct share *s)
{
    struct amount t = c->taken;
    if (ask->step != SCORE_STEP_INIT) {
        add_share(&t, s);
        return t;
    }
    struct amount step = c->beside;
    add_share(&step, s);
    t.mem_mib = step.mem_mib > t.mem_mib ? step.mem_mib : t.mem_mib;
    t.cores_pct = step.cores_pct > t.cores_pct ? step.cores_pct : t.cores_pct;
    t.shares = step.shares > t.shares ? step.shares : t.shares;
    t.bits |= step.bits;
    return t;
}

/* Whether pods of the pod's class may join those that use the card (contract/vendors-b.md 1g). Of
 * the pod's own containers no class is known: as with the maker's scheduler, a pod with a class
 * does not share a card with itself that was idle (kept: D1.4). */
static bool class_fits(const struct walk *w, const struct more *m, bool used)
{
    if (!used)
        return true;
    const bool classed = m->online > 0 || m->offline > 0;
    switch (w->plan->app_class) {
    case SCORE_CLASS_ONLINE:
        return classed;
    case SCORE_CLASS_OFFLINE:
        return classed && m->online == 0; /* an online pod suspends the offline ones */
    default:
        return !classed;
    }
}

/* The checks that only some rows have. `mem`, `shares`: all use that counts for the ask; `wanted`:
 * its memory. */
static NOINLINE fit_mask mask_more(const struct walk *w, const struct fit_ask *ask, uint16_t i,
                                   int64_t wanted, int64_t mem, int64_t shares)
{
    const struct more *m = &w->more[i];
    const bool used = shares > 0;
    fit_mask mask = fit_when(w->only && w->only != i + 1, ask->one_card);
    mask |= fit_when(used && mem / (used ? shares : 1) != wanted, ask->equal);
    mask |= fit_when(!class_fits(w, m, used), ask->app_class);
    mask |=
        fit_when(w->cards[i].others.shares_used > 0 && m->qos && m->qos != w->plan->qos, ask->qos);
    mask |= fit_when(!m->soft, ask->soft_only);
    mask |= fit_when(used, ask->free);
    mask |= fit_when(used || m->zone_busy, ask->zone_mutex);
    return mask;
}

static ALWAYS_INLINE fit_mask mask_of(const struct walk *w, const struct fit_ask *ask, uint16_t i,
                                      const struct share *s, const struct amount *t)
{
    const struct card *c = &w->cards[i];
    const struct amount *beside = ask->step == SCORE_STEP_INIT ? &c->beside : &c->taken;
    struct fit_card now = c->others;
    now.mem_used += beside->mem_mib;
    now.cores_used += beside->cores_pct;
    now.shares_used += beside->shares;
    now.cores_total = ask->soft_only ? FIT_CORES_MAX : now.cores_total;
    const bool over = fit_over_quota(w->plan, w->mem_sum + t->mem_mib - c->taken.mem_mib,
                                     w->cores_sum + t->cores_pct - c->taken.cores_pct);
    fit_mask mask = c->fixed | fit_room(ask, &now, &s->n, over) | s->failed;
    if (__builtin_expect(c->divisible, 0)) {
        /* Which slices are free says all about cores, and slices of one container may be of one
         * card that nobody else uses. */
        const fit_mask own_mutex = c->in_ask == ask - w->plan->asks + 1 ? ask->mutex : 0;
        mask &= ~(ask->cores | ask->exclusive | ask->zero_cores | own_mutex);
    }
    if (__builtin_expect(ask->more, 0))
        mask |= mask_more(w, ask, i, s->n.mem, now.mem_used, now.shares_used);
    return mask;
}

static ALWAYS_INLINE fit_mask mask_at(const struct walk *w, const struct fit_ask *ask, uint16_t i)
{
    const struct share s = share_of(w, ask, i);
    const struct amount t = taken_with(ask, &w->cards[i], &s);
    return mask_of(w, ask, i, &s, &t);
}

void walk_masks(const struct walk *w, const struct fit_ask *ask, fit_mask *ret)
{
    for (uint16_t i = 0; i < w->n; i++) {
        const struct card *c = &w->cards[i];
        const bool done = c->in_ask == ask - w->plan->asks + 1 && !c->divisible;
        ret[i] = done ? 0 : mask_at(w, ask, i);
    }
}

static void set_taken(struct walk *w, struct card *c, struct amount t)
{
    w->mem_sum += t.mem_mib - c->taken.mem_mib;
    w->cores_sum += t.cores_pct - c->taken.cores_pct;
    c->taken = t;
}

static void take(struct walk *w, uint16_t k, uint16_t j, uint16_t i)
{
    const struct fit_ask *ask = &w->plan->asks[k];
    struct card *c = &w->cards[i];
    const struct share s = share_of(w, ask, i);
    set_taken(w, c, taken_with(ask, c, &s));
    if (c->divisible && ask->step == SCORE_STEP_INIT) /* the next slice stands beside this one */
        add_share(&c->beside, &s);
    c->in_ask = (uint16_t)(k + 1);
    w->took[ask->part + j] = (struct took){.mem_mib = s.n.mem,
                                           .bits = s.bits,
                                           .cores_pct = (int32_t)s.n.cores,
                                           .shares = (uint16_t)s.n.shares,
                                           .profile = s.profile,
                                           .card = (uint8_t)i};
}

/* ---- what runs beside an ask ---- */

static void beside_add(struct walk *w, const struct fit_ask *ask, int32_t count)
{
    for (int32_t j = 0; j < count; j++) {
        const struct took *t = &w->took[ask->part + j];
        struct amount *to = &w->cards[t->card].beside;
        to->mem_mib += t->mem_mib;
        to->cores_pct += t->cores_pct;
        to->shares += t->shares;
        to->bits |= t->bits;
    }
}

/* Which zones are in use; the ask's own cards do not stand in each other's way. */
static void load_zones(struct walk *w, const struct fit_ask *ask, uint16_t j)
{
    bool busy[SCORE_DEVICES_MAX + 1] = {false};
    const uint16_t k = (uint16_t)(ask - w->plan->asks);
    for (uint16_t i = 0; i < w->n; i++) {
        const struct card *c = &w->cards[i];
        int64_t shares = c->others.shares_used;
        shares += ask->step == SCORE_STEP_INIT ? c->beside.shares : c->taken.shares;
        shares -= j > 0 && ask->step != SCORE_STEP_INIT && c->in_ask == k + 1;
        busy[w->more[i].zone] |= shares > 0;
    }
    busy[0] = false; /* of no zone */
    for (uint16_t i = 0; i < w->n; i++)
        w->more[i].zone_busy = busy[w->more[i].zone];
}

/* The card that earlier containers of the same phase have. */
static void load_only(struct walk *w, const struct fit_ask *ask)
{
    const uint16_t k = (uint16_t)(ask - w->plan->asks);
    w->only = 0;
    for (uint16_t e = k < w->plan->running_n ? 0 : w->plan->running_n; e < k; e++)
        for (int32_t j = 0; j < w->plan->asks[e].count; j++) {
            const uint16_t card = (uint16_t)(w->took[w->plan->asks[e].part + j].card + 1);
            w->only = w->only == 0 || w->only == card ? card : WALK_MANY;
        }
}

/* Before an ask is looked at, of which `j` shares are placed: which sidecars run beside an init
 * step, and what of it there is; they were placed before. */
static void load_ask(struct walk *w, const struct fit_ask *ask, uint16_t j)
{
    if (ask->step == SCORE_STEP_INIT && (w->plan->has_sidecars || w->divisible)) {
        for (uint16_t i = 0; i < w->n; i++)
            w->cards[i].beside = (struct amount){0};
        for (uint16_t k = 0; k < w->plan->running_n; k++) {
            const struct fit_ask *s = &w->plan->asks[k];
            if (s->step == SCORE_STEP_SIDECAR && s->container <= ask->container)
                beside_add(w, s, s->count);
        }
    }
    if (ask->zone_mutex)
        load_zones(w, ask, j);
    if (ask->step == SCORE_STEP_INIT && w->divisible)
        beside_add(w, ask, j);
    if (ask->one_card)
        load_only(w, ask);
}

/* ---- order of cards ---- */

struct key { /* smaller first; then the lower index in cards, which is sorted by device index and
                UUID */
    int64_t k[4];
};

static int key_cmp(const struct key *a, uint16_t i, const struct key *b, uint16_t j)
{
    for (unsigned n = 0; n < 4; n++)
        if (a->k[n] != b->k[n])
            return a->k[n] < b->k[n] ? -1 : 1;
    return i < j ? -1 : i > j;
}

/* As the policy likes it; an init step first takes cards that the pod holds anyway, of these the
 * one where it adds the least. Online pods go where nobody is, then where fewest offline pods are
 * (contract/vendors-b.md 1g). */
static ALWAYS_INLINE struct key key_of_policy(const struct walk *w, struct rank_factors *f,
                                              const struct fit_ask *ask, uint16_t i,
                                              const struct amount *t)
{
    const struct card *c = &w->cards[i];
    rank_factors_for(f, &c->others);
    const int64_t weighted =
        rank_weighted(w->policy, f, c->others.mem_used + t->mem_mib,
                      c->others.cores_used + t->cores_pct, c->others.shares_used + t->shares);
    const struct rank_key policy = rank_key(&w->plan->order, weighted, c->numa);
    const bool init = ask->step == SCORE_STEP_INIT;
    int64_t first = init && c->taken.shares == 0;
    if (w->plan->app_class == SCORE_CLASS_ONLINE) {
        const struct more *m = &w->more[i];
        first += ((int64_t)m->online << 32) + ((int64_t)m->offline << 8) +
                 ((int64_t)(m->online == 0 && m->offline > 0) << 56);
    }
    return (struct key){
        {first, init ? t->mem_mib - c->taken.mem_mib : 0, policy.k[0], policy.k[1]}};
}

/* As the chances are best: what adds least to a quota first, then the tightest card. Where cards
 * are given out slice by slice, in order: a card may come again for the same ask. */
static struct key key_of_search(const struct walk *w, const struct fit_ask *ask, uint16_t i,
                                const struct amount *t)
{
    const struct card *c = &w->cards[i];
    if (w->divisible)
        return (struct key){{0, 0, 0, 0}};
    return (struct key){{w->plan->quota_mem_left != INT64_MAX ? t->mem_mib - c->taken.mem_mib : 0,
                         ask->step == SCORE_STEP_INIT && c->taken.shares == 0,
                         c->others.mem_total - c->others.mem_used - t->mem_mib,
                         c->others.cores_total - c->others.cores_used - t->cores_pct}};
}

/* ---- which cards together ---- */

static bool zones_known(const struct walk *w)
{
    for (uint16_t i = 0; i < w->n; i++)
        if (w->zone[i] == SCORE_ZONE_NONE)
            return false;
    return true;
}

/* The cards for an ask out of `n` that would do, best first. The wishes that the node can't be
 * asked about (no values of pairs, cards without a zone) are none. */
static bool choose_of(struct walk *w, const struct fit_ask *ask, const uint8_t *at, uint16_t n,
                      uint8_t *ret)
{
    const uint16_t want = (uint16_t)ask->count;
    const struct score_topology *t = w->group->topology;
    assert(!t || t->n == w->n);
    switch (ask->select) {
    case SCORE_SELECT_PAIRS:
        if (!t || !t->pair)
            break;
        if (!w->bound || n < want || want == 1)
            return select_pairs(t, at, n, want, ret);
        w->most[ask - w->plan->asks] = select_pairs_most(t, at, n, want);
        w->bounded |= n > want;
        break;
    case SCORE_SELECT_ZONES:
        if (!zones_known(w))
            break;
        return select_zones(w->zone, at, n, want, ret);
    case SCORE_SELECT_ZONES_FIT:
        return select_zones_fit(w->zone, at, n, want, ret);
    case SCORE_SELECT_MODULES:
        return select_modules(w->index, at, n, want, ret);
    case SCORE_SELECT_WINGS:
        return select_wings(w->index, at, n, want, ret);
    case SCORE_SELECT_BLOCKS:
        return select_blocks(w->index, !t || t->aligned, at, n, want, ret);
    default:
        break;
    }
    if (n < want)
        return false;
    memcpy(ret, at, want);
    return true;
}

/* The same, of one NUMA node where that is wished for: the first that has enough, in the order in
 * which the policy comes to them (contract/nvidia.md 6.2). */
static bool choose(struct walk *w, const struct fit_ask *ask, const uint8_t *at, uint16_t n,
                   uint8_t *ret)
{
    if (!w->plan->numa_bind)
        return choose_of(w, ask, at, n, ret);
    uint8_t left[SCORE_DEVICES_MAX], group[SCORE_DEVICES_MAX];
    memcpy(left, at, n);
    while (n > 0) {
        const int32_t numa = w->cards[left[0]].numa;
        uint16_t group_n = 0, left_n = 0;
        for (uint16_t i = 0; i < n; i++) {
            if (w->cards[left[i]].numa == numa)
                group[group_n++] = left[i];
            else
                left[left_n++] = left[i];
        }
        if (choose_of(w, ask, group, group_n, ret))
            return true;
        n = left_n;
    }
    return false;
}

/* The members of the set that stand in one module with each other leave fewer to be found. */
static bool modules_close(const struct walk *w, const uint8_t *set, uint16_t n, uint16_t want)
{
    uint16_t alone = 0;
    for (uint16_t a = 0; a < n; a++) {
        bool pair = false;
        for (uint16_t b = 0; b < n; b++)
            pair |= w->index[set[a]] == (w->index[set[b]] ^ 1);
        alone = (uint16_t)(alone + !pair);
    }
    return alone <= want - n;
}

static bool run_close(const struct walk *w, const uint8_t *set, uint16_t n, uint16_t want)
{
    int64_t low = w->index[set[0]], high = low;
    for (uint16_t a = 1; a < n; a++) {
        low = w->index[set[a]] < low ? w->index[set[a]] : low;
        high = w->index[set[a]] > high ? w->index[set[a]] : high;
    }
    return high - low < want;
}

static bool may_join_hard(const struct walk *w, const struct fit_ask *ask, uint16_t j, uint16_t i)
{
    uint8_t set[SCORE_DEVICES_MAX], same[SCORE_DEVICES_MAX];
    const uint16_t want = (uint16_t)ask->count, n = (uint16_t)(j + 1);
    const struct score_topology *t = w->group->topology;
    if (w->plan->numa_bind && j > 0 && w->cards[w->took[ask->part].card].numa != w->cards[i].numa)
        return false;
    if (ask->select == SCORE_SELECT_EACH || want > w->n)
        return true;
    for (uint16_t s = 0; s < j; s++)
        set[s] = w->took[ask->part + s].card;
    set[j] = (uint8_t)i;
    switch (
        ask->select) { /* a whole set is judged by who knows; before, only what can't become one */
    case SCORE_SELECT_MODULES:
        return n < want ? modules_close(w, set, n, want)
                        : select_modules(w->index, set, n, want, same);
    case SCORE_SELECT_BLOCKS:
        return n < want ? run_close(w, set, n, want)
                        : select_blocks(w->index, !t || t->aligned, set, n, want, same);
    case SCORE_SELECT_WINGS:
        return n < want || select_wings(w->index, set, n, want, same);
    default:
        return true;
    }
}

/* Whether card i may be share j of an ask beside the j cards that it has: the set can still become
 * one that the row allows, and is one if this is its last card. */
static inline bool may_join(const struct walk *w, const struct fit_ask *ask, uint16_t j, uint16_t i)
{
    return !w->special || !plan_hard(w->plan) || may_join_hard(w, ask, j, i);
}

/* ---- greedy ---- */

/* Whether the cards of an ask are a set, and not each for itself. Slices of cards are not. */
static inline bool wants_set(const struct walk *w, const struct fit_ask *ask)
{
    return w->special && !w->divisible &&
           (ask->select != SCORE_SELECT_EACH || (w->plan->numa_bind && ask->count > 1));
}

/* Takes a set for ask `k` out of the cards fits[n]; false: there is none, or the quota ends it. */
static NOINLINE bool take_set(struct walk *w, uint16_t k, const struct key *keys,
                              const uint8_t *fits, uint16_t n)
{
    const struct fit_ask *ask = &w->plan->asks[k];
    uint8_t at[SCORE_DEVICES_MAX], set[SCORE_DEVICES_MAX];
    uint16_t order[SCORE_DEVICES_MAX];
    for (uint16_t m = 0; m < n; m++) { /* insertion: cards of a node are few */
        uint16_t to = m;
        for (; to > 0 && key_cmp(&keys[m], fits[m], &keys[order[to - 1]], fits[order[to - 1]]) < 0;
             to--)
            order[to] = order[to - 1];
        order[to] = m;
    }
    for (uint16_t m = 0; m < n; m++)
        at[m] = fits[order[m]];
    if (!choose(w, ask, at, n, set))
        return false;
    for (uint16_t j = 0; j < ask->count; j++) {
        if (mask_at(w, ask, set[j]))
            return false;
        take(w, k, j, set[j]);
    }
    return true;
}

/* Takes cards for ask `k` one by one out of fits[n]; false: too few. Both arrays are used up. */
static inline bool take_each(struct walk *w, uint16_t k, struct rank_factors *factors,
                             struct key *keys, uint8_t *fits, uint16_t n)
{
    const struct fit_ask *ask = &w->plan->asks[k];
    int32_t j = 0;
    while (j < ask->count && n > 0) {
        uint16_t best = 0;
        for (uint16_t m = 1; m < n; m++)
            if (key_cmp(&keys[m], fits[m], &keys[best], fits[best]) < 0)
                best = m;
        const uint16_t i = fits[best];
        /* An earlier card of this ask may have used the quota up. */
        if (!mask_at(w, ask, i) && may_join(w, ask, (uint16_t)j, i)) {
            take(w, k, (uint16_t)j++, i);
            if (w->cards[i].divisible) { /* as far as its slices go */
                const struct share s = share_of(w, ask, i);
                const struct amount t = taken_with(ask, &w->cards[i], &s);
                keys[best] = key_of_policy(w, factors, ask, i, &t);
                continue;
            }
        }
        n--;
        keys[best] = keys[n];
        fits[best] = fits[n];
    }
    return j == ask->count;
}

uint16_t walk_greedy(struct walk *w)
{
    struct rank_factors factors = {0};
    struct key keys[SCORE_DEVICES_MAX];
    uint8_t fits[SCORE_DEVICES_MAX];
    for (uint16_t k = 0; k < w->plan->asks_n; k++) {
        const struct fit_ask *ask = &w->plan->asks[k];
        load_ask(w, ask, 0);
        uint16_t n = 0;
        for (uint16_t i = 0; i < w->n; i++) {
            const struct share s = share_of(w, ask, i);
            const struct amount t = taken_with(ask, &w->cards[i], &s);
            if (mask_of(w, ask, i, &s, &t))
                continue;
            keys[n] = key_of_policy(w, &factors, ask, i, &t);
            fits[n++] = (uint8_t)i;
        }
        if (!(wants_set(w, ask) ? take_set(w, k, keys, fits, n)
                                : take_each(w, k, &factors, keys, fits, n)))
            return k;
    }
    return w->plan->asks_n;
}

/* The same on the first cards that take it; returns like walk_greedy(). */
static uint16_t first_fit(struct walk *w)
{
    for (uint16_t k = 0; k < w->plan->asks_n; k++) {
        const struct fit_ask *ask = &w->plan->asks[k];
        load_ask(w, ask, 0);
        int32_t j = 0;
        for (uint16_t i = 0; i < w->n && j < ask->count; i++)
            while (j < ask->count && !mask_at(w, ask, i)) {
                take(w, k, (uint16_t)j++, i);
                if (!w->cards[i].divisible)
                    break;
            }
        if (j < ask->count)
            return k;
    }
    return w->plan->asks_n;
}

/* ---- search ---- */

struct frame { /* one share placed */
    struct key key;
    struct amount before; /* of the card, to take the choice back */
    uint16_t in_ask_before;
    uint16_t k, j; /* ask of the plan, share of the ask */
    uint8_t card;
    bool chosen; /* card and key are the last choice, which led nowhere */
};

/* Whether what only some cards have is the same as well. */
static NOINLINE bool alike_special(const struct walk *w, uint16_t a, uint16_t b)
{
    const bool by_index = plan_hard(w->plan) && w->plan->select != SCORE_SELECT_EACH;
    const struct more *m = &w->more[a], *o = &w->more[b];
    return !by_index && (!w->plan->numa_bind || w->cards[a].numa == w->cards[b].numa) &&
           w->cards[a].divisible == w->cards[b].divisible && m->soft == o->soft &&
           m->zone == o->zone && m->zone_busy == o->zone_busy && m->qos == o->qos &&
           m->profile == o->profile && m->profiles_n == o->profiles_n && m->online == o->online &&
           m->offline == o->offline && m->bits_total == o->bits_total &&
           m->bits_used == o->bits_used;
}

/* Cards that the pod has not touched and that others use alike lead to the same end. */
static bool alike(const struct walk *w, uint16_t i, uint16_t j)
{
    const struct card *a = &w->cards[i], *b = &w->cards[j];
    return a->taken.shares == 0 && b->taken.shares == 0 && a->fixed == b->fixed &&
           a->others.mem_total == b->others.mem_total && a->others.mem_used == b->others.mem_used &&
           a->others.cores_total == b->others.cores_total &&
           a->others.cores_used == b->others.cores_used &&
           a->others.shares_total == b->others.shares_total &&
           a->others.shares_used == b->others.shares_used &&
           (!w->special || alike_special(w, i, j));
}

/* Whether card i, untouched, was tried and given up by one of the equal asks before this one: then
 * the same placement with the two exchanged has been looked at. */
static bool exchanged(const struct walk *w, const struct frame *frames, uint16_t p,
                      const struct key *key, uint16_t i)
{
    bool before = false;
    for (uint16_t q = p; q > 0 && w->plan->asks[frames[q].k].like_last;) {
        q--;
        if (frames[q].card == i)
            return false;
        before |= key_cmp(key, i, &frames[q].key, frames[q].card) < 0;
    }
    return before;
}

/* The next card for share p in the order of the search, behind the last one tried. */
static bool next_card(struct walk *w, struct frame *frames, uint16_t p)
{
    struct frame *f = &frames[p];
    const struct fit_ask *ask = &w->plan->asks[f->k];
    /* The shares of one ask are taken in the order of the search: sets, not sequences. */
    const struct frame *behind = f->chosen ? f : f->j > 0 ? f - 1 : NULL;
    bool found = false;
    struct key best_key = {{0, 0, 0, 0}};
    uint8_t best = 0;
    load_ask(w, ask, f->j);
    for (uint16_t i = 0; i < w->n; i++) {
        const struct card *c = &w->cards[i];
        if (c->in_ask == f->k + 1 && !c->divisible)
            continue;
        const struct share s = share_of(w, ask, i);
        const struct amount t = taken_with(ask, c, &s);
        if (mask_of(w, ask, i, &s, &t) || !may_join(w, ask, f->j, i))
            continue;
        const struct key key = key_of_search(w, ask, i, &t);
        const bool again = c->divisible && behind == f - 1 && behind->card == i;
        if (behind && !again && key_cmp(&key, i, &behind->key, behind->card) <= 0)
            continue;
        if (f->chosen && alike(w, i, f->card))
            continue;
        if (exchanged(w, frames, p, &key, i))
            continue;
        if (found && key_cmp(&key, i, &best_key, best) >= 0)
            continue;
        best_key = key;
        best = (uint8_t)i;
        found = true;
    }
    f->chosen = found;
    f->key = best_key;
    f->card = best;
    return found;
}

/* Whether other choices may help where ask `stuck` found too few cards: not if nothing was chosen
 * before it, unless its own cards differ in what they take of a quota, or its slices are to be of
 * one NUMA node. */
static bool worth_searching(const struct walk *w, uint16_t stuck)
{
    const struct score_plan *plan = w->plan;
    const bool differ = plan->asks[0].amount != SCORE_AMOUNT_PLAIN || w->divisible;
    return stuck > 0 || (plan->asks[0].mem_pct && plan->quota_mem_left != INT64_MAX) ||
           (differ && plan->has_quota) || (w->divisible && plan->numa_bind);
}

/* The fewest of a card's bits that a slice with so much memory has. */
static int64_t slice_min(const struct walk *w, const struct more *m, int64_t mem)
{
    int64_t least = 64;
    for (uint16_t p = m->profile; p < m->profile + m->profiles_n; p++) {
        const struct score_profile *of = &w->node->profiles[p];
        for (uint16_t at = 0; of->mem_mib >= mem && at < of->placements_n; at++)
            least = of->placements[at].size < least ? of->placements[at].size : least;
    }
    return least;
}

/* The least that any app container or sidecar takes of the card, amount by amount. False: none has
 * room there. */
static bool least_share(const struct walk *w, uint16_t i, struct fit_share *ret, int64_t *ret_bits)
{
    const struct score_plan *plan = w->plan;
    bool some = false;
    *ret = (struct fit_share){INT64_MAX, INT64_MAX, INT64_MAX};
    *ret_bits = 64;
    for (uint16_t k = 0; k < plan->running_n; k++) {
        const struct fit_ask *ask = &plan->asks[k];
        const struct share s = share_of(w, ask, i);
        if (s.failed)
            continue;
        const struct card *c = &w->cards[i];
        const int64_t bits = c->divisible
                                 ? slice_min(w, &w->more[i], fit_mem(ask, c->others.mem_total))
                                 : __builtin_popcountll(s.bits);
        const int64_t cores = c->divisible || ask->soft_only ? 0 : s.n.cores; /* not looked at */
        some = true;
        ret->mem = s.n.mem < ret->mem ? s.n.mem : ret->mem;
        ret->cores = cores < ret->cores ? cores : ret->cores;
        ret->shares = s.n.shares < ret->shares ? s.n.shares : ret->shares;
        *ret_bits = bits < *ret_bits ? bits : *ret_bits;
    }
    return some;
}

static int64_t room_by(int64_t room, int64_t free, int64_t each)
{
    return each > 0 && free / each < room ? free / each : room;
}

/* How many app containers and sidecars the card could take at most, if all were as small as the
 * smallest of them. */
static int64_t room_for(const struct walk *w, uint16_t i)
{
    const struct card *c = &w->cards[i];
    const struct fit_ask *ask = &w->plan->asks[0];
    const struct fit_card *o = &c->others;
    struct fit_share least;
    int64_t bits, room = SCORE_PARTS_MAX;
    if (!least_share(w, i, &least, &bits))
        return 0;
    if (ask->mutex && !c->divisible)
        room = o->shares_used == 0;
    if (ask->slots)
        room = room_by(room, o->shares_total - o->shares_used, least.shares);
    if (ask->memory)
        room = room_by(room, o->mem_total - o->mem_used, least.mem);
    if (ask->cores)
        room = room_by(room, o->cores_total - o->cores_used, least.cores);
    if (w->special && bits > 0)
        room = room_by(room, __builtin_popcountll(w->more[i].bits_total & ~w->more[i].bits_used),
                       bits);
    return room > 0 ? room : 0;
}

/* Whether every ask would have room if it were alone, and all that run at once together by their
 * number and their sums. Cheap, and enough to refuse most nodes that are full. */
static bool promising(const struct walk *w)
{
    const struct score_plan *plan = w->plan;
    /* Sums of what is asked say nothing where a card makes more or less of it. */
    bool plain = plan->asks[0].amount == SCORE_AMOUNT_PLAIN && !w->divisible;
    for (uint16_t k = 0; k < plan->asks_n; k++)
        plain &= !plan->asks[k].soft_only;
    int64_t mem_free = 0, cores_free = 0, room = 0;
    for (uint16_t i = 0; i < w->n; i++) {
        const struct fit_card *c = &w->cards[i].others;
        if (w->cards[i].fixed)
            continue;
        mem_free += c->mem_total > c->mem_used ? c->mem_total - c->mem_used : 0;
        cores_free += c->cores_total > c->cores_used ? c->cores_total - c->cores_used : 0;
        room += plan->running_n ? room_for(w, i) : 0;
    }
    int64_t mem = 0, cores = 0, shares = 0;
    for (uint16_t k = 0; k < plan->asks_n; k++) {
        const struct fit_ask *ask = &plan->asks[k];
        int32_t alone = 0;
        for (uint16_t i = 0; i < w->n; i++)
            alone += mask_at(w, ask, i) ? 0 : w->cards[i].divisible ? ask->count : 1;
        if (alone < ask->count)
            return false;
        if (k >= plan->running_n)
            continue;
        mem += ask->memory ? ask->mem_mib * ask->count : 0;
        cores += ask->cores ? (int64_t)ask->cores_pct * ask->count : 0;
        shares += ask->count;
    }
    return shares <= room && (!plain || (mem <= mem_free && cores <= cores_free));
}

static bool search(struct walk *w)
{
    const uint16_t parts_n = w->plan->parts_n;
    if (parts_n > PARTS_MAX)
        return false;
    struct frame frames[PARTS_MAX];
    uint16_t p = 0;
    for (uint16_t k = 0; k < w->plan->asks_n; k++)
        for (int32_t j = 0; j < w->plan->asks[k].count; j++)
            frames[p++] = (struct frame){.k = k, .j = (uint16_t)j};
    assert(p == parts_n);
    assert(p > 0);
    p = 0;
    for (unsigned steps = 0; steps < STEPS_MAX; steps++) {
        struct frame *f = &frames[p];
        if (next_card(w, frames, p)) {
            f->before = w->cards[f->card].taken;
            f->in_ask_before = w->cards[f->card].in_ask;
            take(w, f->k, f->j, f->card);
            if (++p == parts_n)
                return true;
            continue;
        }
        if (p == 0)
            return false;
        f = &frames[--p];
        struct card *c = &w->cards[f->card];
        set_taken(w, c, f->before);
        c->in_ask = f->in_ask_before;
    }
    return false;
}

/* ---- all together ---- */

/* From cards as others left them. */
static bool any_way(struct walk *w)
{
    if (!plan_hard(w->plan)) {
        if (first_fit(w) == w->plan->asks_n)
            return true;
        walk_reset(w);
    }
    return search(w);
}

bool walk_otherwise(struct walk *w, uint16_t stuck)
{
    if (!worth_searching(w, stuck))
        return false;
    const bool bounded = w->bounded;
    walk_reset(w);
    if (!promising(w))
        return false;
    if (any_way(w))
        return true;
    if (!bounded) /* the nearest sets were taken before */
        return false;
    walk_reset(w);
    w->bound = false;
    return walk_greedy(w) == w->plan->asks_n;
}

bool walk_possible(struct walk *w)
{
    /* First the cheapest; then all that a decision would try. */
    uint16_t stuck;
    if (!plan_hard(w->plan)) {
        stuck = first_fit(w);
        if (stuck == w->plan->asks_n)
            return true;
        if (!worth_searching(w, stuck))
            return false;
        walk_reset(w);
    }
    stuck = walk_greedy(w);
    return stuck == w->plan->asks_n || walk_otherwise(w, stuck);
}
