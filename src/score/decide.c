/* The decision on one node: does the pod fit, how good is that, on which cards, and if not, why
 * not.
 *
 * Two ways lead to it. The usual pod, one container that asks for one card, takes one walk over the
 * cards (simple). All others are placed container by container, vendor by vendor (walk.c). Both use
 * the same checks and the same sums, and a property test holds them to equal answers. */
#include "score/select.h"
#include "score/walk.h"

#include <assert.h>
#include <string.h>

struct outcome { /* of one vendor */
    bool fits, unresolvable;
    score_reasons reasons;
    int64_t score;
};

static const struct score_group *find_group(const struct score_node *node, uint16_t vendor)
{
    for (uint16_t i = 0; i < node->groups_n; i++) {
        const struct score_group *g = &node->groups[i];
        if (g->vendor == vendor) {
            assert(g->first + g->n <= node->devices_n);
            return g;
        }
    }
    return NULL;
}

static score_reasons reasons_of(const struct score_plan *plan, fit_mask first_failed)
{
    score_reasons reasons = 0;
    for (; first_failed; first_failed &= first_failed - 1)
        reasons |= SCORE_BIT(plan->reason[__builtin_ctz(first_failed)]);
    return reasons;
}

/* Weighted utilisation of the vendor's cards on the node, `pod` and `extra` included. */
static int64_t group_weighted(const struct score_policy *policy, const struct score_group *g,
                              int64_t mem, int64_t cores, int64_t shares)
{
    const struct fit_card all = {.mem_total = g->mem_total_mib,
                                 .cores_total = g->cores_total_pct,
                                 .shares_total = g->shares_total};
    struct rank_factors f = {0};
    rank_factors_for(&f, &all);
    mem += g->mem_used_mib;
    cores += g->cores_used_pct;
    shares += g->shares_used;
    return rank_weighted(policy, &f, mem < 0 ? 0 : mem, cores < 0 ? 0 : cores,
                         shares < 0 ? 0 : shares);
}

/* ---- one container, one card ---- */

struct best {
    int32_t at; /* -1: none fits */
    int64_t weighted;
};

struct looked { /* at a card that fits */
    struct rank_key key;
    int64_t weighted;
};

static ALWAYS_INLINE fit_mask look_at(const struct score_prepared *prep,
                                      const struct score_plan *plan, const struct score_device *d,
                                      const struct score_extra *extra, struct rank_factors *factors,
                                      struct looked *ret)
{
    const struct fit_ask *ask = &plan->asks[0];
    const struct fit_card c = fit_card(d, extra);
    const struct fit_share share = {fit_mem(ask, c.mem_total), ask->cores_pct, 1};
    const fit_mask mask = fit_fixed(plan, d, d->flags) |
                          fit_room(ask, &c, &share, fit_over_quota(plan, share.mem, share.cores));
    if (mask)
        return mask;
    rank_factors_for(factors, &c);
    ret->weighted = rank_weighted(&prep->req->policy, factors, c.mem_used + share.mem,
                                  c.cores_used + share.cores, c.shares_used + 1);
    ret->key = rank_key(&plan->order, ret->weighted, d->numa);
    return 0;
}

/* The best card that fits; of the others the first failed checks go to *failed. `extra` is NULL or
 * the cards' own. */
static ALWAYS_INLINE struct best best_card(const struct score_prepared *prep,
                                           const struct score_plan *plan,
                                           const struct score_device *devices, uint16_t n,
                                           const struct score_extra *extra, fit_mask *failed)
{
    struct rank_factors factors = {0};
    struct best best = {.at = -1};
    struct rank_key best_key = {{INT64_MAX, INT64_MAX}}; /* behind every key */
    for (uint16_t i = 0; i < n; i++) {
        struct looked card;
        const fit_mask mask =
            look_at(prep, plan, &devices[i], extra ? &extra[i] : NULL, &factors, &card);
        if (mask) {
            *failed |= mask & (0u - mask);
            continue;
        }
        /* Chosen without a branch: which card is best so far can't be foretold either. */
        const bool better = rank_before(&card.key, &best_key);
        best_key.k[0] = better ? card.key.k[0] : best_key.k[0];
        best_key.k[1] = better ? card.key.k[1] : best_key.k[1];
        best.weighted = better ? card.weighted : best.weighted;
        best.at = better ? (int32_t)i : best.at;
    }
    return best;
}

/* The same where pairs of cards have values: of those that fit, the one that the others miss
 * least; equals as the policy likes them (contract/nvidia.md 7.2). */
static NOINLINE struct best least_missed(const struct score_prepared *prep,
                                         const struct score_plan *plan,
                                         const struct score_device *devices,
                                         const struct score_topology *topology,
                                         const struct score_extra *extra, fit_mask *failed)
{
    struct rank_factors factors = {0};
    struct looked cards[SCORE_DEVICES_MAX]; /* by candidate */
    uint8_t at[SCORE_DEVICES_MAX];
    int64_t others[SCORE_DEVICES_MAX];
    uint16_t n = 0;
    for (uint16_t i = 0; i < topology->n; i++) {
        const fit_mask mask =
            look_at(prep, plan, &devices[i], extra ? &extra[i] : NULL, &factors, &cards[n]);
        *failed |= mask & (0u - mask);
        at[n] = (uint8_t)i;
        n = (uint16_t)(n + !mask);
    }
    if (n == 0)
        return (struct best){.at = -1};
    select_pairs_others(topology, at, n, others);
    uint16_t best = 0;
    for (uint16_t i = 1; i < n; i++) {
        const bool before = rank_before(&cards[i].key, &cards[best].key);
        best = others[i] < others[best] || (others[i] == others[best] && before) ? i : best;
    }
    return (struct best){.at = at[best], .weighted = cards[best].weighted};
}

/* Whether a card would fit if nobody used the node. */
static bool fits_unused(const struct score_plan *plan, const struct score_device *devices,
                        uint16_t n)
{
    const struct fit_ask *ask = &plan->asks[0];
    for (uint16_t i = 0; i < n; i++) {
        const struct score_device *d = &devices[i];
        const struct fit_card c = fit_card_unused(d);
        const struct fit_share share = {fit_mem(ask, c.mem_total), ask->cores_pct, 1};
        if (!(fit_fixed(plan, d, d->flags & ~(unsigned)SCORE_DEVICE_LENT) |
              fit_room(ask, &c, &share, fit_over_quota(plan, share.mem, share.cores))))
            return true;
    }
    return false;
}

/* Whether that is enough: nothing but numbers in the request, nor in the node's cards. */
static bool is_simple(const struct score_prepared *prep, const struct score_group *g)
{
    return prep->simple && !(g && g->traits);
}

/* Why none of the group's cards is given, whatever they have; SCORE_FITS: they are. */
static enum score_reason shut(const struct score_group *g)
{
    if (g->closed)
        return SCORE_NODE_DEVICES_UNACCOUNTED;
    return g->locked ? SCORE_NODE_LOCKED : SCORE_FITS;
}

/* Returns the device chosen (index in the node), or -1. */
static int32_t simple(const struct score_prepared *prep, const struct score_node *node,
                      const struct score_group *g, const struct score_extra *extra,
                      struct score_verdict *ret)
{
    const struct score_plan *plan = &prep->plans[0];
    const struct score_policy *policy = &prep->req->policy;
    *ret = (struct score_verdict){0};
    if (!g) {
        ret->unresolvable = true;
        ret->reasons = SCORE_BIT(SCORE_NODE_UNREGISTERED);
        return -1;
    }
    const struct score_device *devices = node->devices + g->first;
    fit_mask failed = 0;
    struct best best = {.at = -1};
    const struct score_topology *t = plan->select == SCORE_SELECT_PAIRS ? g->topology : NULL;
    const enum score_reason why_shut = shut(g);
    if (!why_shut && t && t->pair)
        best = least_missed(prep, plan, devices, t, extra ? extra + g->first : NULL, &failed);
    else if (!why_shut)
        best = extra ? best_card(prep, plan, devices, g->n, extra + g->first, &failed)
                     : best_card(prep, plan, devices, g->n, NULL, &failed);
    if (best.at < 0) {
        ret->reasons = why_shut    ? SCORE_BIT(why_shut)
                       : g->n == 0 ? SCORE_BIT(SCORE_NODE_INSUFFICIENT_DEVICE)
                                   : reasons_of(plan, failed);
        ret->unresolvable = !fits_unused(plan, devices, g->n);
        return -1;
    }
    const struct fit_ask *ask = &plan->asks[0];
    int64_t mem = fit_mem(ask, devices[best.at].mem_total_mib), cores = ask->cores_pct, shares = 1;
    for (uint16_t i = 0; extra && i < g->n; i++) {
        mem += extra[g->first + i].mem_mib;
        cores += extra[g->first + i].cores_pct;
        shares += extra[g->first + i].shares;
    }
    ret->fits = true;
    ret->score = rank_node(policy, best.weighted, group_weighted(policy, g, mem, cores, shares));
    if (plan->quality) /* one card is no pair: walk_quality() says nothing of it */
        ret->score = rank_node_quality(ret->score, 0);
    return g->first + best.at;
}

/* ---- any pod ---- */

/* The amounts behind the most frequent reason, of the card that comes nearest. */
static void explain_reason(const struct walk *w, const struct fit_ask *ask, const fit_mask *masks,
                           fit_mask bit, struct score_detail *detail)
{
    bool first = true;
    for (uint16_t i = 0; i < w->n; i++) {
        const struct card *c = &w->cards[i];
        if ((masks[i] & (0u - masks[i])) != bit)
            continue;
        const struct amount *beside = ask->step == SCORE_STEP_INIT ? &c->beside : &c->taken;
        const struct fit_share share = walk_share(w, ask, i).n;
        int64_t wanted, used, total;
        if (bit == ask->memory || bit == FIT_LENT) {
            wanted = share.mem;
            used = c->others.mem_used + beside->mem_mib;
            total = c->others.mem_total;
        } else if (bit == ask->cores || bit == ask->bits) {
            wanted = share.cores;
            used = c->others.cores_used + beside->cores_pct;
            total = c->others.cores_total;
        } else if (bit == ask->slots) {
            wanted = share.shares;
            used = c->others.shares_used + beside->shares;
            total = c->others.shares_total;
        } else if (bit == ask->quota) {
            /* The dimension that is short; memory if both are. */
            const bool mem_short = w->mem_sum + share.mem > w->plan->quota_mem_left;
            wanted = mem_short ? share.mem : share.cores;
            used = mem_short ? w->mem_sum : w->cores_sum;
            total = mem_short ? w->plan->quota_mem_left : w->plan->quota_cores_left;
        } else {
            continue;
        }
        if (!first && (total - used < detail->free ||
                       (total - used == detail->free && total <= detail->total)))
            continue;
        first = false;
        detail->wanted = wanted;
        detail->free = total - used;
        detail->total = total;
    }
}

/* Cards that would do one by one for ask `k`: those that it got, and those that the others did not
 * go with. */
struct fitting {
    int32_t n;
    bool numas; /* of several NUMA nodes, where one is wished for */
};

static struct fitting fitting_of(const struct walk *w, uint16_t k, const fit_mask *masks)
{
    struct fitting f = {.n = 0};
    int32_t numa = 0;
    for (uint16_t i = 0; i < w->n; i++) {
        if (masks[i] && w->cards[i].in_ask != k + 1)
            continue;
        f.numas |= w->plan->numa_bind && f.n > 0 && w->cards[i].numa != numa;
        numa = w->cards[i].numa;
        f.n++;
    }
    return f;
}

/* Why ask `k` found no room: every card of the vendor that it did not take, with its first failing
 * check; and where enough would do, that they do not go together. */
static score_reasons explain(const struct walk *w, uint16_t k, struct score_detail *detail)
{
    const struct fit_ask *ask = &w->plan->asks[k];
    struct score_detail d = {
        .candidates = w->n, .ask = ask->ask, .wanted = ask->count, .free = w->n, .total = w->n};
    score_reasons reasons = 0;
    if (w->n < ask->count && !w->divisible) { /* no card is looked at then (core.md 4.3) */
        reasons = SCORE_BIT(SCORE_NODE_INSUFFICIENT_DEVICE);
        d.reason = SCORE_NODE_INSUFFICIENT_DEVICE;
    } else {
        fit_mask failed = 0, masks[SCORE_DEVICES_MAX];
        walk_masks(w, ask, masks);
        const struct fitting fitting = fitting_of(w, k, masks);
        for (uint16_t i = 0; i < w->n; i++) {
            if (!masks[i])
                continue;
            failed |= masks[i] & (0u - masks[i]);
            d.counts[w->plan->reason[__builtin_ctz(masks[i])]]++;
        }
        reasons = reasons_of(w->plan, failed);
        fit_mask most = 0;
        for (; failed; failed &= failed - 1) { /* in the vendor's order */
            const fit_mask bit = failed & (0u - failed);
            const enum score_reason reason = w->plan->reason[__builtin_ctz(bit)];
            if (!most || d.counts[reason] > d.counts[d.reason]) {
                most = bit;
                d.reason = reason;
            }
        }
        if (fitting.n) {
            const enum score_reason some = fitting.n >= ask->count && !fitting.numas
                                               ? w->plan->select_reason
                                               : SCORE_ALLOCATED_CARDS_INSUFFICIENT_REQUEST;
            reasons |= SCORE_BIT(some);
            d.counts[some] = fitting.n;
            d.reason = most ? d.reason : some;
        }
        if (fitting.numas) {
            reasons |= SCORE_BIT(SCORE_NUMA_NOT_FIT);
            d.counts[SCORE_NUMA_NOT_FIT] = fitting.n;
            d.reason = most ? d.reason : SCORE_NUMA_NOT_FIT;
        }
        d.free = fitting.n;
        if (detail && most)
            explain_reason(w, ask, masks, most, &d);
    }
    if (detail)
        *detail = d;
    return reasons;
}

/* The score of a vendor's asks, all placed. */
static int64_t score_of(const struct walk *w, const struct score_group *g,
                        const struct score_extra *extra)
{
    struct rank_factors f = {0};
    int64_t cards = 0, cards_n = 0, mem = w->mem_sum, cores = w->cores_sum, shares = 0;
    for (uint16_t i = 0; i < w->n; i++) {
        const struct card *c = &w->cards[i];
        if (extra) {
            mem += extra[g->first + i].mem_mib;
            cores += extra[g->first + i].cores_pct;
            shares += extra[g->first + i].shares;
        }
        shares += c->taken.shares;
        if (c->taken.shares == 0)
            continue;
        rank_factors_for(&f, &c->others);
        cards += rank_weighted(w->policy, &f, c->others.mem_used + c->taken.mem_mib,
                               c->others.cores_used + c->taken.cores_pct,
                               c->others.shares_used + c->taken.shares);
        cards_n++;
    }
    assert(cards_n > 0); /* every ask took at least one */
    const int64_t node =
        rank_node(w->policy, cards / cards_n, group_weighted(w->policy, g, mem, cores, shares));
    return w->plan->quality ? rank_node_quality(node, walk_quality(w)) : node;
}

static void write_parts(const struct walk *w, const struct score_group *g,
                        struct score_placement *placement)
{
    for (uint16_t k = 0; k < w->plan->asks_n; k++) {
        const struct fit_ask *ask = &w->plan->asks[k];
        for (int32_t j = 0; j < ask->count; j++) {
            const struct took *t = &w->took[ask->part + j];
            placement->parts[ask->part + j] =
                (struct score_part){.ask = ask->ask,
                                    .device = (uint16_t)(g->first + t->card),
                                    .mem_mib = t->mem_mib,
                                    .cores_pct = t->cores_pct,
                                    .shares = t->shares,
                                    .profile = t->profile,
                                    .bits = t->bits};
        }
    }
}

/* Of many cards the nearest are dear to find. Where nobody asks which they are, any and a bound of
 * how near others are will do; and where the nearest leave no room for a later ask, any do again,
 * so that whoever asks for the cards gets the same answer as who does not. */
static uint16_t place_asks(struct walk *w, bool which)
{
    const bool many = w->n > SCORE_BOUND_CARDS && w->plan->select == SCORE_SELECT_PAIRS;
    w->bound = many && !which;
    uint16_t stuck = walk_greedy(w);
    if (stuck < w->plan->asks_n && many && which) {
        walk_reset(w);
        w->bound = true;
        stuck = walk_greedy(w);
        w->bound = w->bounded = false;
    }
    return stuck;
}

/* All asks of one vendor. `detail` is filled when they don't fit. */
static NOINLINE struct outcome
one_vendor(const struct score_prepared *prep, const struct score_plan *plan,
           const struct score_node *node, const struct score_extra *extra,
           struct score_placement *placement, struct score_detail *detail)
{
    struct outcome out = {.fits = false};
    const struct score_group *g = find_group(node, plan->vendor);
    if (!g) {
        out.unresolvable = true;
        out.reasons = SCORE_BIT(SCORE_NODE_UNREGISTERED);
        if (detail)
            *detail = (struct score_detail){.ask = plan->asks[0].ask,
                                            .wanted = plan->asks[0].count,
                                            .reason = SCORE_NODE_UNREGISTERED};
        return out;
    }
    assert(g->n <= SCORE_DEVICES_MAX);
    struct walk w;
    const enum score_reason why_shut = shut(g);
    if (!why_shut) {
        walk_start(&w, prep, plan, node, g, extra, false);
        const uint16_t stuck = place_asks(&w, placement);
        out.fits = stuck == plan->asks_n;
        if (!out.fits) {
            out.reasons = explain(&w, stuck, detail);
            out.fits = walk_otherwise(&w, stuck);
        }
    } else {
        out.reasons = SCORE_BIT(why_shut);
        if (detail)
            *detail = (struct score_detail){.candidates = g->n,
                                            .ask = plan->asks[0].ask,
                                            .wanted = plan->asks[0].count,
                                            .total = g->n,
                                            .reason = why_shut};
    }
    if (out.fits) {
        out.reasons = 0;
        out.score = score_of(&w, g, extra);
        if (placement)
            write_parts(&w, g, placement);
        return out;
    }
    walk_start(&w, prep, plan, node, g, NULL, true);
    w.bound = g->n > SCORE_BOUND_CARDS;
    out.unresolvable = !walk_possible(&w);
    return out;
}

/* Cards of different vendors have nothing to do with each other: the pod fits when each vendor's
 * asks do. All vendors are looked at, for one of them may say that the node can never do. */
static void general(const struct score_prepared *prep, const struct score_node *node,
                    const struct score_extra *extra, struct score_verdict *ret,
                    struct score_placement *placement, struct score_detail *detail)
{
    assert(prep->plans_n > 0);
    struct score_verdict v = {.fits = true};
    for (uint16_t i = 0; i < prep->plans_n; i++) {
        /* The detail is of the first vendor that does not fit. */
        const struct outcome out =
            one_vendor(prep, &prep->plans[i], node, extra, placement, v.fits ? detail : NULL);
        v.fits &= out.fits;
        v.unresolvable |= out.unresolvable;
        v.reasons |= out.reasons;
        v.score += out.score;
    }
    if (v.fits) {
        v.score /= prep->plans_n;
        if (detail)
            memset(detail, 0, sizeof(*detail));
        if (placement)
            placement->parts_n = prep->parts_n;
    } else {
        v.score = 0;
    }
    *ret = v;
}

void score_node_check(const struct score_prepared *prep, const struct score_node *node,
                      const struct score_extra *extra, struct score_verdict *ret)
{
    const struct score_group *g = find_group(node, prep->plans[0].vendor);
    if (is_simple(prep, g))
        (void)simple(prep, node, g, extra, ret);
    else
        general(prep, node, extra, ret, NULL, NULL);
}

void score_node_place(const struct score_prepared *prep, const struct score_node *node,
                      const struct score_extra *extra, struct score_verdict *ret,
                      struct score_placement *placement, struct score_detail *detail)
{
    placement->parts_n = 0;
    const struct score_group *g = find_group(node, prep->plans[0].vendor);
    if (!is_simple(prep, g)) {
        general(prep, node, extra, ret, placement, detail);
        return;
    }
    const int32_t device = simple(prep, node, g, extra, ret);
    if (device < 0) {
        if (detail) /* the general way counts */
            general(prep, node, extra, ret, placement, detail);
        return;
    }
    const struct fit_ask *ask = &prep->plans[0].asks[0];
    placement->parts_n = 1;
    placement->parts[0] =
        (struct score_part){.ask = 0,
                            .device = (uint16_t)device,
                            .mem_mib = fit_mem(ask, node->devices[device].mem_total_mib),
                            .cores_pct = ask->cores_pct,
                            .shares = 1};
    if (detail)
        memset(detail, 0, sizeof(*detail));
}
