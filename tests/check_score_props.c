/* Properties of the decision over random nodes and pods, and an independent search that decides
 * tiny ones.
 *
 * PROP_SEED=N repeats a run; a failure prints the seed of its case: PROP_SEED=that PROP_CASES=1
 * repeats the case. PROP_CASES=N makes every property run N cases. */
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

/* ---- random nodes and pods ---- */

struct shape {
    unsigned cards_max, asks_max, parts_max;
    bool over; /* some cards are used beyond their total */
};

/* Few sizes and few amounts, so that exactly full, one over and equal cards all come up often. */
static struct score_device random_card(struct rnd *r, const struct shape *s)
{
    static const int64_t MEM[] = {8, 10, 12, 20, 24};
    static const int32_t CORES[] = {100, 100, 100, 200, 50, 0};
    struct score_device d =
        CARD(.mem_total_mib = MEM[rnd_in(r, 0, 4)], .cores_total_pct = CORES[rnd_in(r, 0, 5)],
             .shares_total = (int32_t)rnd_in(r, 1, 4), .numa = (int32_t)rnd_in(r, 0, 1),
             .type = (uint16_t)rnd_in(r, T_A10, T_H100));
    if (!rnd_one_in(r, 3)) {
        d.shares_used = (int32_t)rnd_in(r, 0, d.shares_total);
        if (d.shares_used) {
            d.mem_used_mib = rnd_in(r, 0, d.mem_total_mib);
            d.cores_used_pct = (int32_t)rnd_in(r, 0, d.cores_total_pct / 10) * 10;
        }
    }
    if (s->over && rnd_one_in(r, 8)) {
        d.mem_used_mib += rnd_in(r, 0, 20);
        d.cores_used_pct += (int32_t)rnd_in(r, 0, 1) * 50;
        d.shares_used += (int32_t)rnd_in(r, 0, 2);
        d.flags |= rnd_one_in(r, 2) ? SCORE_DEVICE_LENT : 0;
    }
    if (rnd_one_in(r, 10))
        d.flags |= (uint16_t)(1 << rnd_in(r, 0, 2));
    return d;
}

static void random_node(struct rnd *r, const struct shape *s, struct cluster *c)
{
    cluster_init(c);
    for (uint16_t v = 0; v < (uint16_t)V_PLAIN; v++) {
        struct score_device cards[SCORE_DEVICES_MAX];
        const unsigned n = (unsigned)rnd_in(r, v == V_FULL, (int64_t)s->cards_max);
        if (v != V_FULL && rnd_one_in(r, 3))
            continue;
        const bool same = rnd_one_in(r, 3);
        for (unsigned i = 0; i < n; i++)
            cards[i] = same && i > 0 && !rnd_one_in(r, 4) ? cards[i - 1] : random_card(r, s);
        cluster_add(c, v, cards, n);
        c->groups[c->node.groups_n - 1].closed = rnd_one_in(r, 40);
    }
}

static struct score_ask random_ask(struct rnd *r)
{
    static const int32_t CORES[] = {0, 0, 10, 30, 50, 100, 100, 120};
    struct score_ask a = {.vendor = rnd_one_in(r, 5) ? (uint16_t)rnd_in(r, 0, V_PLAIN - 1) : V_FULL,
                          .count = 1,
                          .cores_pct = CORES[rnd_in(r, 0, 7)]};
    if (rnd_one_in(r, 5))
        a.mem_pct = (int32_t)rnd_in(r, 1, 4) * 25;
    else
        a.mem_mib = rnd_in(r, 1, 12);
    return a;
}

static void random_pod(struct rnd *r, const struct shape *s, struct pod *p)
{
    pod_init(p);
    const unsigned asks = (unsigned)rnd_in(r, 1, (int64_t)s->asks_max);
    unsigned parts = 0;
    enum score_step step = rnd_one_in(r, 2) ? SCORE_STEP_APP : SCORE_STEP_INIT;
    for (unsigned i = 0; i < asks && parts < s->parts_max; i++) {
        if (step != SCORE_STEP_APP)
            step = (enum score_step)rnd_in(r, SCORE_STEP_INIT, SCORE_STEP_APP);
        struct score_ask ask = random_ask(r);
        if (i > 0 && rnd_one_in(r, 3)) /* equal containers are common */
            ask = p->asks[i - 1];
        else if (rnd_one_in(r, 4))
            ask.count = (int32_t)rnd_in(r, 1, 3);
        if (parts + (unsigned)ask.count > s->parts_max)
            ask.count = 1;
        parts += (unsigned)ask.count;
        pod_ask(p, step, ask);
    }
    for (uint16_t v = 0; v < (uint16_t)V_PLAIN; v++) {
        if (!rnd_one_in(r, 3))
            continue;
        p->quotas[p->req.quotas_n++] = (struct score_quota){.vendor = v,
                                                            .mem_set = !rnd_one_in(r, 3),
                                                            .mem_left_mib = rnd_in(r, -2, 50),
                                                            .cores_set = rnd_one_in(r, 2),
                                                            .cores_left_pct = rnd_in(r, 0, 300)};
    }
    static const struct str types[] = {STR_INIT("h100"), STR_INIT("A100")};
    static const struct str uuids[] = {STR_INIT("G002"), STR_INIT("G000")};
    if (rnd_one_in(r, 3)) {
        p->req.selections_n = 1;
        p->selection = (struct score_selection){.vendor = V_FULL};
        if (rnd_one_in(r, 2))
            p->selection.nouse_types = types, p->selection.nouse_types_n = 1;
        else if (rnd_one_in(r, 2))
            p->selection.use_type_set = true, p->selection.use_types = types,
            p->selection.use_types_n = 2;
        if (rnd_one_in(r, 3))
            p->selection.nouse_uuids = uuids, p->selection.nouse_uuids_n = 2;
        else if (rnd_one_in(r, 6))
            p->selection.use_uuid_set = true, p->selection.use_uuids = uuids,
            p->selection.use_uuids_n = 2;
    }
    struct score_policy *policy = &p->req.policy;
    policy->node_spread = rnd_one_in(r, 2);
    policy->card_mutex = rnd_one_in(r, 8);
    for (unsigned i = 0; i < 3; i++)
        policy->card[i] = (enum score_key)rnd_in(r, 0, SCORE_KEY_COUNT_ - 1);
    policy->weight_slot = (int32_t)rnd_in(r, 0, 2);
    policy->weight_core = (int32_t)rnd_in(r, 0, 2);
    policy->weight_mem = (int32_t)rnd_in(r, 1, 1000);
}

static void random_extra(struct rnd *r, const struct cluster *c, struct score_extra *x)
{
    for (unsigned i = 0; i < c->node.devices_n; i++) {
        x[i] = (struct score_extra){0};
        if (rnd_one_in(r, 2))
            x[i] = (struct score_extra){.mem_mib = rnd_in(r, 0, 6),
                                        .cores_pct = (int32_t)rnd_in(r, 0, 3) * 10,
                                        .shares = (int32_t)rnd_in(r, 0, 1)};
    }
}

static bool has_check(uint16_t vendor, enum score_check check)
{
    for (unsigned i = 0; VENDORS[vendor].checks[i] != SCORE_CHECK_END; i++)
        if (VENDORS[vendor].checks[i] == check)
            return true;
    return false;
}

static const struct shape ANY = {.cards_max = 9, .asks_max = 6, .parts_max = 12, .over = true};

/* ---- properties ---- */

START_TEST(never_over)
{
    /* No card is over its total after placing, in any dimension that its vendor's row looks at;
     * what the quota leaves is not exceeded; each container has its cards, and distinct ones. */
    unsigned placed = 0;
    FOR_CASES(30000)
    {
        static struct cluster c, before;
        struct pod p;
        static struct result res;
        random_node(&r, &ANY, &c);
        random_pod(&r, &ANY, &p);
        decide(&p, &c, NULL, &res);
        if (!res.v.fits)
            continue;
        placed++;
        before = c;
        cluster_charge(&c, &p, &res.placement);
        int64_t mem[V_PLAIN] = {0}, cores[V_PLAIN] = {0};
        for (unsigned g = 0; g < c.node.groups_n; g++) {
            const struct score_group *group = &c.groups[g];
            const uint16_t v = group->vendor;
            for (unsigned i = group->first; i < group->first + group->n; i++) {
                const struct score_device *d = &c.devices[i], *b = &before.devices[i];
                mem[v] += d->mem_used_mib - b->mem_used_mib;
                cores[v] += d->cores_used_pct - b->cores_used_pct;
                if (d->shares_used == b->shares_used)
                    continue;
                must(!has_check(v, SCORE_CHECK_MEMORY) || d->mem_used_mib <= d->mem_total_mib,
                     "memory over");
                must(!has_check(v, SCORE_CHECK_CORES) || d->cores_used_pct <= d->cores_total_pct,
                     "cores over");
                must(!has_check(v, SCORE_CHECK_SLOTS) || d->shares_used <= d->shares_total,
                     "shares over");
                must(!(d->flags & SCORE_DEVICE_LENT), "lent card given");
                must(v == V_SLOTS || !d->flags, "flagged card given");
            }
        }
        for (unsigned q = 0; q < p.req.quotas_n; q++) {
            const struct score_quota *quota = &p.quotas[q];
            bool asked = false;
            for (unsigned i = 0; i < p.req.asks_n; i++)
                asked |= p.asks[i].vendor == quota->vendor;
            if (!asked || !has_check(quota->vendor, SCORE_CHECK_QUOTA))
                continue;
            must(!quota->mem_set || mem[quota->vendor] <= quota->mem_left_mib, "quota: memory");
            must(!quota->cores_set || cores[quota->vendor] <= quota->cores_left_pct,
                 "quota: cores");
        }
        unsigned part = 0;
        for (unsigned i = 0; i < p.req.asks_n; i++) {
            for (int j = 0; j < p.asks[i].count; j++, part++) {
                const struct score_part *a = &res.placement.parts[part];
                must(a->ask == i, "parts not in order of asks");
                for (int k = 0; k < j; k++)
                    must(res.placement.parts[part - 1 - (unsigned)k].device != a->device,
                         "a card twice for one container");
            }
        }
        must(part == res.placement.parts_n, "number of parts");
    }
    if (cases(1000) >= 1000)
        ck_assert_msg(placed > cases(30000) / 10, "only %u placed", placed);
}
END_TEST

START_TEST(more_room_still_fits)
{
    /* A pod with one ask that fits still fits when others use less. */
    const struct shape one = {.cards_max = 6, .asks_max = 1, .parts_max = 3, .over = true};
    FOR_CASES(10000)
    {
        static struct cluster c;
        struct pod p;
        static struct result res;
        random_node(&r, &one, &c);
        random_pod(&r, &one, &p);
        decide(&p, &c, NULL, &res);
        if (!res.v.fits)
            continue;
        for (unsigned i = 0; i < c.node.devices_n; i++) {
            struct score_device *d = &c.devices[i];
            d->mem_used_mib -= rnd_in(&r, 0, d->mem_used_mib);
            d->cores_used_pct -= (int32_t)rnd_in(&r, 0, d->cores_used_pct);
            d->shares_used -= (int32_t)rnd_in(&r, 0, d->shares_used);
        }
        cluster_sum(&c);
        decide(&p, &c, NULL, &res);
        must(res.v.fits, "refused with more room");
    }
}
END_TEST

START_TEST(core_defect_c32_never_means_never)
{
    /* unresolvable exactly when the unused node would refuse as well. */
    FOR_CASES(10000)
    {
        static struct cluster c;
        struct pod p;
        static struct result res, unused;
        random_node(&r, &ANY, &c);
        random_pod(&r, &ANY, &p);
        decide(&p, &c, NULL, &res);
        if (res.v.fits)
            continue;
        for (unsigned i = 0; i < c.node.devices_n; i++) {
            struct score_device *d = &c.devices[i];
            d->mem_used_mib = d->cores_used_pct = d->shares_used = 0;
            d->flags &= (uint16_t)~SCORE_DEVICE_LENT;
        }
        for (unsigned g = 0; g < c.node.groups_n; g++)
            c.groups[g].closed = false;
        cluster_sum(&c);
        decide(&p, &c, NULL, &unused);
        must(res.v.unresolvable == !unused.v.fits, "unresolvable is not what the unused node says");
    }
}
END_TEST

START_TEST(extra_is_use)
{
    /* Use in `extra` or on the node: one answer. */
    FOR_CASES(10000)
    {
        static struct cluster c;
        struct pod p;
        static struct result a, b;
        static struct score_extra x[SCORE_DEVICES_MAX];
        random_node(&r, &ANY, &c);
        random_pod(&r, &ANY, &p);
        random_extra(&r, &c, x);
        decide(&p, &c, x, &a);
        for (unsigned i = 0; i < c.node.devices_n; i++) {
            c.devices[i].mem_used_mib += x[i].mem_mib;
            c.devices[i].cores_used_pct += x[i].cores_pct;
            c.devices[i].shares_used += x[i].shares;
        }
        cluster_sum(&c);
        decide(&p, &c, NULL, &b);
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
        static struct cluster c, before;
        struct pod p;
        static struct result a, b;
        static struct score_extra x[SCORE_DEVICES_MAX];
        random_node(&r, &ANY, &c);
        random_pod(&r, &ANY, &p);
        decide(&p, &c, NULL, &a);
        if (!a.v.fits)
            continue;
        before = c;
        cluster_charge(&c, &p, &a.placement);
        for (unsigned i = 0; i < c.node.devices_n; i++)
            x[i] =
                (struct score_extra){.mem_mib = before.devices[i].mem_used_mib - c.devices[i].mem_used_mib,
                                     .cores_pct = before.devices[i].cores_used_pct - c.devices[i].cores_used_pct,
                                     .shares = before.devices[i].shares_used - c.devices[i].shares_used};
        decide(&p, &c, x, &b);
        must(same_verdict(&a.v, &b.v), "verdicts differ");
        must(same_placement(&a.placement, &b.placement), "placements differ");
    }
}
END_TEST

START_TEST(place_does_not_matter)
{
    /* The order of groups, and where a group's cards stand in the node, change nothing. */
    FOR_CASES(10000)
    {
        static struct cluster c, moved;
        struct pod p;
        static struct result a, b;
        random_node(&r, &ANY, &c);
        random_pod(&r, &ANY, &p);
        decide(&p, &c, NULL, &a);
        cluster_init(&moved);
        for (unsigned g = c.node.groups_n; g-- > 0;) {
            cluster_add(&moved, c.groups[g].vendor, &c.devices[c.groups[g].first], c.groups[g].n);
            moved.groups[moved.node.groups_n - 1].closed = c.groups[g].closed;
        }
        decide(&p, &moved, NULL, &b);
        must(same_verdict(&a.v, &b.v), "verdicts differ");
        for (unsigned i = 0; i < a.placement.parts_n; i++)
            must(str_eq(c.devices[a.placement.parts[i].device].uuid,
                        moved.devices[b.placement.parts[i].device].uuid),
                 "cards differ");
    }
}
END_TEST

/* Utilisation of a card after the ask, weighted, as the documents say it: exact up to the rounding
 * of a double. */
static double weighted(const struct score_device *d, const struct score_ask *a,
                       const struct score_policy *p)
{
    const int64_t mib = a->mem_pct ? d->mem_total_mib * a->mem_pct / 100 : a->mem_mib;
    const double mem = (double)mib;
    const double cores = a->cores_pct > 100 ? 100 : a->cores_pct;
    double sum = p->weight_mem * ((double)d->mem_used_mib + mem) / (double)d->mem_total_mib;
    if (d->cores_total_pct)
        sum += p->weight_core * (d->cores_used_pct + cores) / d->cores_total_pct;
    return sum + (double)p->weight_slot * (d->shares_used + 1) / d->shares_total;
}

START_TEST(the_best_card)
{
    /* One card for one container: no card that would do is better under the policy's first key. */
    const struct shape one = {.cards_max = 9, .asks_max = 1, .parts_max = 1};
    FOR_CASES(10000)
    {
        static struct cluster c, alone;
        struct pod p;
        static struct result res, one_card;
        random_node(&r, &one, &c);
        random_pod(&r, &one, &p);
        p.asks[0].vendor = V_FULL;
        for (unsigned g = 0; g < c.node.groups_n; g++)
            c.groups[g].closed = false;
        decide(&p, &c, NULL, &res);
        if (!res.v.fits)
            continue;
        const struct score_device *best = &c.devices[res.placement.parts[0].device];
        const enum score_key key = p.req.policy.card[0];
        for (unsigned i = 0; i < c.groups[0].n; i++) {
            const struct score_device *d = &c.devices[i];
            cluster_init(&alone);
            cluster_add(&alone, V_FULL, d, 1);
            decide(&p, &alone, NULL, &one_card);
            if (!one_card.v.fits || p.steps[0] == SCORE_STEP_INIT)
                continue;
            const double u = weighted(d, &p.asks[0], &p.req.policy),
                         w = weighted(best, &p.asks[0], &p.req.policy);
            if (key == SCORE_KEY_BINPACK)
                must(u <= w + 1e-2, "a fuller card was left");
            else if (key == SCORE_KEY_SPREAD)
                must(u >= w - 1e-2, "an emptier card was left");
            else if (key == SCORE_KEY_NUMA)
                must(d->numa >= best->numa, "a lower numa node was left");
            else
                must(d >= best, "a lower index was left");
        }
    }
}
END_TEST

START_TEST(scale_keeps_order)
{
    FOR_CASES(5000)
    {
        int64_t raw[20], ret[20];
        const size_t n = (size_t)rnd_in(&r, 1, 20);
        const int64_t max = rnd_in(&r, 0, 200);
        const int64_t wide = rnd_one_in(&r, 2) ? SCORE_MAX : 5;
        for (size_t i = 0; i < n; i++)
            raw[i] = rnd_in(&r, 0, wide);
        score_scale(raw, n, max, ret);
        bool top = false;
        for (size_t i = 0; i < n; i++) {
            must(ret[i] >= 0 && ret[i] <= max, "out of the scale");
            top |= ret[i] == max;
            for (size_t j = 0; j < n; j++)
                must(raw[i] >= raw[j] || ret[i] <= ret[j], "order changed");
        }
        must(top, "the best is not at the top");
    }
}
END_TEST

/* ---- an independent judge ----
 * Written from contract/nvidia.md 5 and architecture 3 alone: tries every choice of cards for every
 * container, and judges each whole assignment by living through the pod's life. Knows none of the
 * core's shortcuts. */

struct life {
    const struct pod *p;
    const struct cluster *c;
    const struct score_group *g;
    uint32_t cards[SCORE_ASKS_MAX]; /* the choice: a set of the group's cards an ask */
    unsigned tried;
};

static int64_t mem_of(const struct score_ask *a, const struct score_device *d)
{
    return a->mem_pct ? d->mem_total_mib * a->mem_pct / 100 : a->mem_mib;
}

static int64_t cores_of(const struct score_ask *a)
{
    return a->cores_pct > 100 ? 100 : a->cores_pct;
}

/* Whether a share may start on a card where `mem`, `cores` and `shares` are in use by whoever runs
 * then. */
static bool may_start(const struct life *l, const struct score_ask *a, const struct score_device *d,
                      int64_t mem, int64_t cores, int64_t shares)
{
    const uint16_t v = l->g->vendor;
    if (has_check(v, SCORE_CHECK_SLOTS) && shares >= d->shares_total)
        return false;
    if (has_check(v, SCORE_CHECK_MUTEX) && l->p->req.policy.card_mutex && shares != 0)
        return false;
    if (has_check(v, SCORE_CHECK_MEMORY) && d->mem_total_mib - mem < mem_of(a, d))
        return false;
    if (has_check(v, SCORE_CHECK_CORES) && d->cores_total_pct - cores < cores_of(a))
        return false;
    if (has_check(v, SCORE_CHECK_EXCLUSIVE) && d->cores_total_pct == 100 && cores_of(a) == 100 &&
        shares > 0)
        return false;
    if (has_check(v, SCORE_CHECK_ZERO_CORES) && d->cores_total_pct != 0 &&
        cores >= d->cores_total_pct && cores_of(a) == 0)
        return false;
    return true;
}

/* Whether the card may be used by this pod at all. */
static bool may_use(const struct life *l, const struct score_device *d)
{
    const uint16_t v = l->g->vendor;
    if (d->flags & SCORE_DEVICE_LENT)
        return false;
    if ((d->flags & SCORE_DEVICE_UNHEALTHY) && has_check(v, SCORE_CHECK_HEALTH))
        return false;
    if ((d->flags & SCORE_DEVICE_CORDONED) && has_check(v, SCORE_CHECK_CORDON))
        return false;
    if ((d->flags & SCORE_DEVICE_MIG) && has_check(v, SCORE_CHECK_PLACEMENT))
        return false;
    if (!l->p->req.selections_n || l->p->selection.vendor != v)
        return true;
    const struct score_selection *s = &l->p->selection;
    bool in = !s->use_type_set;
    for (unsigned i = 0; i < s->use_types_n; i++)
        in |= str_contains_fold(TYPES[d->type], s->use_types[i]);
    for (unsigned i = 0; i < s->nouse_types_n; i++)
        in &= !str_contains_fold(TYPES[d->type], s->nouse_types[i]);
    bool uuid = !s->use_uuid_set;
    for (unsigned i = 0; i < s->use_uuids_n; i++)
        uuid |= str_eq(d->uuid, s->use_uuids[i]);
    for (unsigned i = 0; i < s->nouse_uuids_n; i++)
        uuid &= !str_eq(d->uuid, s->nouse_uuids[i]);
    return in && uuid;
}

/* The life of the pod on one card: containers in their order; an init step comes and goes, the
 * others stay. Adds what the card has to keep for the pod. */
static bool live_through(const struct life *l, unsigned card, int64_t *mem_kept,
                         int64_t *cores_kept)
{
    const struct score_device *d = &l->c->devices[l->g->first + card];
    int64_t mem = 0, cores = 0, shares = 0, mem_most = 0, cores_most = 0;
    for (unsigned i = 0; i < l->p->req.asks_n; i++) {
        const struct score_ask *a = &l->p->asks[i];
        if (a->vendor != l->g->vendor || !(l->cards[i] >> card & 1))
            continue;
        if (!may_use(l, d) || !may_start(l, a, d, d->mem_used_mib + mem, d->cores_used_pct + cores,
                                         d->shares_used + shares))
            return false;
        mem += mem_of(a, d);
        cores += cores_of(a);
        shares += 1;
        mem_most = mem > mem_most ? mem : mem_most;
        cores_most = cores > cores_most ? cores : cores_most;
        if (l->p->steps[a->container] == SCORE_STEP_INIT) {
            mem -= mem_of(a, d);
            cores -= cores_of(a);
            shares -= 1;
        }
    }
    *mem_kept += mem_most;
    *cores_kept += cores_most;
    return true;
}

static bool quota_allows(const struct life *l, int64_t mem, int64_t cores)
{
    if (!has_check(l->g->vendor, SCORE_CHECK_QUOTA))
        return true;
    for (unsigned i = 0; i < l->p->req.quotas_n; i++) {
        const struct score_quota *q = &l->p->quotas[i];
        if (q->vendor == l->g->vendor &&
            ((q->mem_set && mem > q->mem_left_mib) || (q->cores_set && cores > q->cores_left_pct)))
            return false;
    }
    return true;
}

static bool any_choice(struct life *l, unsigned ask)
{
    while (ask < l->p->req.asks_n && l->p->asks[ask].vendor != l->g->vendor)
        ask++;
    if (ask == l->p->req.asks_n) {
        int64_t mem = 0, cores = 0;
        l->tried++;
        for (unsigned card = 0; card < l->g->n; card++)
            if (!live_through(l, card, &mem, &cores))
                return false;
        return quota_allows(l, mem, cores);
    }
    const bool one = l->p->asks[ask].count == 1;
    for (uint32_t set = one; set < (uint32_t)1 << l->g->n; set = one ? set << 1 : set + 1) {
        if (__builtin_popcount(set) != l->p->asks[ask].count)
            continue;
        l->cards[ask] = set;
        if (any_choice(l, ask + 1))
            return true;
    }
    return false;
}

static bool judge(const struct pod *p, const struct cluster *c)
{
    for (uint16_t v = 0; v < (uint16_t)V_PLAIN; v++) {
        struct life l = {.p = p, .c = c};
        bool asked = false;
        for (unsigned i = 0; i < p->req.asks_n; i++)
            asked |= p->asks[i].vendor == v;
        if (!asked)
            continue;
        for (unsigned g = 0; g < c->node.groups_n; g++)
            if (c->groups[g].vendor == v)
                l.g = &c->groups[g];
        if (!l.g || l.g->closed || !any_choice(&l, 0))
            return false;
    }
    return true;
}

START_TEST(agrees_with_judge)
{
    /* Whatever exists is found: every placement of up to five shares on four cards, up to four on
     * five. */
    unsigned fit = 0, refused = 0;
    FOR_CASES(30000)
    {
        static struct cluster c;
        struct pod p;
        static struct result res;
        const bool wide = rnd_one_in(&r, 2);
        const struct shape tiny = {.cards_max = wide ? 5 : 4,
                                   .asks_max = 5,
                                   .parts_max = wide ? 4 : 5,
                                   .over = rnd_one_in(&r, 4)};
        random_node(&r, &tiny, &c);
        random_pod(&r, &tiny, &p);
        decide(&p, &c, NULL, &res);
        const bool want = judge(&p, &c);
        must(res.v.fits == want,
             want ? "a pod that fits was refused" : "a pod that does not fit was placed");
        fit += want;
        refused += !want;
    }
    if (cases(1000) >= 1000)
        ck_assert_msg(fit > 1000 && refused > 1000, "%u fit, %u refused", fit, refused);
}
END_TEST

START_TEST(agrees_with_judge_when_tight)
{
    /* Apps and init steps that nearly fill equal and unequal cards: here the greedy choice often
     * gets stuck. */
    unsigned fit = 0, refused = 0;
    FOR_CASES(30000)
    {
        static struct cluster c;
        struct pod p;
        static struct result res;
        struct score_device cards[4];
        const unsigned n = (unsigned)rnd_in(&r, 2, 4);
        const bool sizes = rnd_one_in(&r, 2); /* cards of several sizes, or of one and used */
        for (unsigned i = 0; i < n; i++)
            cards[i] = CARD(.mem_total_mib = sizes ? rnd_in(&r, 4, 12) : 12,
                            .mem_used_mib = sizes ? 0 : rnd_in(&r, 0, 8),
                            .cores_used_pct = (int32_t)rnd_in(&r, 0, 5) * 10,
                            .shares_total = (int32_t)rnd_in(&r, 1, 3));
        cluster_init(&c);
        cluster_add(&c, V_FULL, cards, n);
        pod_init(&p);
        enum score_step step = SCORE_STEP_INIT;
        const unsigned asks = (unsigned)rnd_in(&r, 2, 5);
        for (unsigned i = 0; i < asks; i++) {
            if (step != SCORE_STEP_APP)
                step = (enum score_step)rnd_in(&r, SCORE_STEP_INIT, SCORE_STEP_APP);
            pod_ask(&p, step,
                    (struct score_ask){.count = 1,
                                       .mem_mib = rnd_in(&r, 2, 9),
                                       .cores_pct = (int32_t)rnd_in(&r, 0, 6) * 10});
        }
        if (rnd_one_in(&r, 2)) {
            p.req.quotas_n = 1;
            p.quotas[0] = (struct score_quota){.mem_set = true, .mem_left_mib = rnd_in(&r, 5, 25)};
        }
        p.req.policy.card[0] = rnd_one_in(&r, 2) ? SCORE_KEY_SPREAD : SCORE_KEY_BINPACK;
        decide(&p, &c, NULL, &res);
        const bool want = judge(&p, &c);
        must(res.v.fits == want,
             want ? "a pod that fits was refused" : "a pod that does not fit was placed");
        fit += want;
        refused += !want;
    }
    if (cases(1000) >= 1000)
        ck_assert_msg(fit > 1000 && refused > 1000, "%u fit, %u refused", fit, refused);
}
END_TEST

START_TEST(agrees_with_judge_on_twelve)
{
    /* As docs/design/placement.md promises: three containers on up to twelve cards, all different.
     */
    unsigned fit = 0, refused = 0;
    FOR_CASES(3000)
    {
        static struct cluster c;
        struct pod p;
        static struct result res;
        struct score_device cards[12];
        const unsigned n = (unsigned)rnd_in(&r, 8, 12);
        for (unsigned i = 0; i < n; i++)
            cards[i] =
                CARD(.mem_total_mib = 100 + rnd_in(&r, 0, 60), .mem_used_mib = rnd_in(&r, 0, 99),
                     .cores_used_pct = (int32_t)rnd_in(&r, 40, 90));
        cluster_init(&c);
        cluster_add(&c, V_FULL, cards, n);
        pod_init(&p);
        enum score_step step = rnd_one_in(&r, 2) ? SCORE_STEP_APP : SCORE_STEP_SIDECAR;
        for (unsigned i = 0; i < 3; i++) {
            if (step != SCORE_STEP_APP)
                step = (enum score_step)rnd_in(&r, SCORE_STEP_INIT, SCORE_STEP_APP);
            pod_ask(&p, step,
                    (struct score_ask){.count = 1,
                                       .mem_mib = rnd_in(&r, 80, 140),
                                       .cores_pct = (int32_t)rnd_in(&r, 10, 50)});
        }
        p.req.policy.card[0] = rnd_one_in(&r, 2) ? SCORE_KEY_SPREAD : SCORE_KEY_BINPACK;
        decide(&p, &c, NULL, &res);
        const bool want = judge(&p, &c);
        must(res.v.fits == want,
             want ? "a pod that fits was refused" : "a pod that does not fit was placed");
        fit += want;
        refused += !want;
    }
    if (cases(1000) >= 1000)
        ck_assert_msg(fit > 200 && refused > 200, "%u fit, %u refused", fit, refused);
}
END_TEST

Suite *suite_props(void)
{
    Suite *suite = suite_create("score properties");
    TCase *tc = tcase_create("properties");
    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, never_over);
    tcase_add_test(tc, more_room_still_fits);
    tcase_add_test(tc, core_defect_c32_never_means_never);
    tcase_add_test(tc, extra_is_use);
    tcase_add_test(tc, own_charges_taken_off);
    tcase_add_test(tc, place_does_not_matter);
    tcase_add_test(tc, the_best_card);
    tcase_add_test(tc, scale_keeps_order);
    tcase_add_test(tc, agrees_with_judge);
    tcase_add_test(tc, agrees_with_judge_when_tight);
    tcase_add_test(tc, agrees_with_judge_on_twelve);
    suite_add_tcase(suite, tc);
    return suite;
}
