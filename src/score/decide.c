/* The decision on one node: does the pod fit, how good is that, on which cards, and if not, why
 * not.
 *
 * Two ways lead to it. The usual pod, one container that asks for one card, takes one walk over the
 * cards (simple). All others are placed container by container, vendor by vendor (walk.c). Both use
 * the same checks and the same sums, and a property test holds them to equal answers. */
#include "score/walk.h"

#include <assert.h>
#include <string.h>

#define ALWAYS_INLINE __attribute__((always_inline)) inline
#define NOINLINE      __attribute__((noinline))

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

/* The best card that fits; of the others the first failed checks go to *failed. `extra` is NULL or
 * the cards' own. */
static ALWAYS_INLINE struct best best_card(const struct score_prepared *prep,
                                           const struct score_plan *plan,
                                           const struct score_device *devices, uint16_t n,
                                           const struct score_extra *extra, fit_mask *failed)
{
    const struct score_policy *policy = &prep->req->policy;
    const struct fit_ask *ask = &plan->asks[0];
    struct rank_factors factors = {0};
    struct best best = {.at = -1};
    struct rank_key best_key = {{INT64_MAX, INT64_MAX}}; /* behind every key */
    for (uint16_t i = 0; i < n; i++) {
        const struct score_device *d = &devices[i];
        const struct fit_card c = fit_card(d, extra ? &extra[i] : NULL);
        const int64_t mem = fit_mem(ask, c.mem_total);
        const fit_mask mask = fit_fixed(plan, d, d->flags) |
                              fit_room(ask, &c, mem, fit_over_quota(plan, mem, ask->cores_pct));
        if (mask) {
            *failed |= mask & (0u - mask);
            continue;
        }
        rank_factors_for(&factors, &c);
        const int64_t weighted = rank_weighted(policy, &factors, c.mem_used + mem,
                                               c.cores_used + ask->cores_pct, c.shares_used + 1);
        const struct rank_key key = rank_key(&plan->order, weighted, d->numa);
        /* Chosen without a branch: which card is best so far can't be foretold either. */
        const bool better = rank_before(&key, &best_key);
        best_key.k[0] = better ? key.k[0] : best_key.k[0];
        best_key.k[1] = better ? key.k[1] : best_key.k[1];
        best.weighted = better ? weighted : best.weighted;
        best.at = better ? (int32_t)i : best.at;
    }
    return best;
}

/* Whether a card would fit if nobody used the node. */
static bool fits_unused(const struct score_plan *plan, const struct score_device *devices,
                        uint16_t n)
{
    const struct fit_ask *ask = &plan->asks[0];
    for (uint16_t i = 0; i < n; i++) {
        const struct score_device *d = &devices[i];
        const struct fit_card c = fit_card_unused(d);
        const int64_t mem = fit_mem(ask, c.mem_total);
        if (!(fit_fixed(plan, d, d->flags & ~(unsigned)SCORE_DEVICE_LENT) |
              fit_room(ask, &c, mem, fit_over_quota(plan, mem, ask->cores_pct))))
            return true;
    }
    return false;
}

/* Returns the device chosen (index in the node), or -1. */
static int32_t simple(const struct score_prepared *prep, const struct score_node *node,
                      const struct score_extra *extra, struct score_verdict *ret)
{
    const struct score_plan *plan = &prep->plans[0];
    const struct score_policy *policy = &prep->req->policy;
    const struct score_group *g = find_group(node, plan->vendor);
    *ret = (struct score_verdict){0};
    if (!g) {
        ret->unresolvable = true;
        ret->reasons = SCORE_BIT(SCORE_NODE_UNREGISTERED);
        return -1;
    }
    const struct score_device *devices = node->devices + g->first;
    fit_mask failed = 0;
    struct best best = {.at = -1};
    if (!g->closed)
        best = extra ? best_card(prep, plan, devices, g->n, extra + g->first, &failed)
                     : best_card(prep, plan, devices, g->n, NULL, &failed);
    if (best.at < 0) {
        ret->reasons = g->closed   ? SCORE_BIT(SCORE_NODE_DEVICES_UNACCOUNTED)
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
    return g->first + best.at;
}

/* ---- any pod ---- */

/* The amounts behind the most frequent reason, of the card that comes nearest. */
static void explain_reason(const struct walk *w, const struct fit_ask *ask, fit_mask bit,
                           struct score_detail *detail)
{
    bool first = true;
    for (uint16_t i = 0; i < w->n; i++) {
        const struct card *c = &w->cards[i];
        const fit_mask mask = walk_mask(w, ask, i);
        if (c->in_ask == ask - w->plan->asks + 1 || (mask & (0u - mask)) != bit)
            continue;
        const struct amount *beside = ask->step == SCORE_STEP_INIT ? &c->beside : &c->taken;
        int64_t wanted, used, total;
        if (bit == ask->memory || bit == FIT_LENT) {
            wanted = fit_mem(ask, c->others.mem_total);
            used = c->others.mem_used + beside->mem_mib;
            total = c->others.mem_total;
        } else if (bit == ask->cores) {
            wanted = ask->cores_pct;
            used = c->others.cores_used + beside->cores_pct;
            total = c->others.cores_total;
        } else if (bit == ask->slots) {
            wanted = 1;
            used = c->others.shares_used + beside->shares;
            total = c->others.shares_total;
        } else if (bit == ask->quota) {
            /* The dimension that is short; memory if both are. */
            const int64_t mem = fit_mem(ask, c->others.mem_total);
            const bool mem_short = w->mem_sum + mem > w->plan->quota_mem_left;
            wanted = mem_short ? mem : ask->cores_pct;
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

/* Why ask `k` found no room: every card of the vendor that it did not take, with its first failing
 * check. */
static score_reasons explain(const struct walk *w, uint16_t k, struct score_detail *detail)
{
    const struct fit_ask *ask = &w->plan->asks[k];
    struct score_detail d = {
        .candidates = w->n, .ask = ask->ask, .wanted = ask->count, .free = w->n, .total = w->n};
    score_reasons reasons = 0;
    if (w->n < ask->count) { /* no card is looked at then (core.md 4.3) */
        reasons = SCORE_BIT(SCORE_NODE_INSUFFICIENT_DEVICE);
        d.reason = SCORE_NODE_INSUFFICIENT_DEVICE;
    } else {
        fit_mask failed = 0;
        int32_t taken = 0;
        for (uint16_t i = 0; i < w->n; i++) {
            if (w->cards[i].in_ask == k + 1) {
                taken++;
                continue;
            }
            const fit_mask mask = walk_mask(w, ask, i);
            assert(mask);
            failed |= mask & (0u - mask);
            d.counts[w->plan->reason[__builtin_ctz(mask)]]++;
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
        if (taken) {
            reasons |= SCORE_BIT(SCORE_ALLOCATED_CARDS_INSUFFICIENT_REQUEST);
            d.counts[SCORE_ALLOCATED_CARDS_INSUFFICIENT_REQUEST] = taken;
        }
        d.free = taken;
        if (detail)
            explain_reason(w, ask, most, &d);
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
    return rank_node(w->policy, cards / cards_n, group_weighted(w->policy, g, mem, cores, shares));
}

static void write_parts(const struct walk *w, const struct score_group *g,
                        struct score_placement *placement)
{
    for (uint16_t k = 0; k < w->plan->asks_n; k++) {
        const struct fit_ask *ask = &w->plan->asks[k];
        for (int32_t j = 0; j < ask->count; j++) {
            const uint8_t i = w->chosen[ask->part + j];
            placement->parts[ask->part + j] =
                (struct score_part){.ask = ask->ask,
                                    .device = (uint16_t)(g->first + i),
                                    .mem_mib = fit_mem(ask, w->cards[i].others.mem_total),
                                    .cores_pct = ask->cores_pct};
        }
    }
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
    if (!g->closed) {
        walk_start(&w, prep, plan, node, g, extra, false);
        const uint16_t stuck = walk_greedy(&w);
        out.fits = stuck == plan->asks_n;
        if (!out.fits) {
            out.reasons = explain(&w, stuck, detail);
            out.fits = walk_otherwise(&w, stuck);
        }
    } else {
        out.reasons = SCORE_BIT(SCORE_NODE_DEVICES_UNACCOUNTED);
        if (detail)
            *detail = (struct score_detail){.candidates = g->n,
                                            .ask = plan->asks[0].ask,
                                            .wanted = plan->asks[0].count,
                                            .total = g->n,
                                            .reason = SCORE_NODE_DEVICES_UNACCOUNTED};
    }
    if (out.fits) {
        out.reasons = 0;
        out.score = score_of(&w, g, extra);
        if (placement)
            write_parts(&w, g, placement);
        return out;
    }
    walk_start(&w, prep, plan, node, g, NULL, true);
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
    if (prep->simple)
        (void)simple(prep, node, extra, ret);
    else
        general(prep, node, extra, ret, NULL, NULL);
}

void score_node_place(const struct score_prepared *prep, const struct score_node *node,
                      const struct score_extra *extra, struct score_verdict *ret,
                      struct score_placement *placement, struct score_detail *detail)
{
    placement->parts_n = 0;
    if (!prep->simple) {
        general(prep, node, extra, ret, placement, detail);
        return;
    }
    const int32_t device = simple(prep, node, extra, ret);
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
                            .cores_pct = ask->cores_pct};
    if (detail)
        memset(detail, 0, sizeof(*detail));
}
