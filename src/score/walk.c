/* Placing several containers: first as the policy likes, then, where that gets stuck, by search.
 *
 * Containers are placed in their own order, app containers and sidecars before init steps, and
 * every check is made against what others use plus what runs beside the container: all app
 * containers and sidecars placed so far, or for an init step the sidecars started before it. An
 * init step takes of a card only what exceeds the pod's use of it anyway; its checks are made
 * without the app containers, which never run at the same time. docs/design/placement.md says which
 * completeness the search promises. */
#include "score/walk.h"

#include <assert.h>
#include <string.h>

/* Choices tried before a search gives up. Bounds one node to some 0.1 ms. Where no two cards are
 * alike it covers three containers on twelve cards (12 + 12² + 12³); cards that are alike are tried
 * once. */
#define STEPS_MAX 2048
/* A pod with more shares of one vendor than this is placed greedily or not at all: the steps would
 * not reach far. */
#define PARTS_MAX 256

void walk_start(struct walk *w, const struct score_prepared *prep, const struct score_plan *plan,
                const struct score_node *node, const struct score_group *group,
                const struct score_extra *extra, bool unused)
{
    w->plan = plan;
    w->policy = &prep->req->policy;
    w->n = group->n;
    w->mem_sum = w->cores_sum = 0;
    for (uint16_t i = 0; i < w->n; i++) {
        const struct score_device *d = &node->devices[group->first + i];
        const struct score_extra *x = extra ? &extra[group->first + i] : NULL;
        w->cards[i] =
            (struct card){.others = unused ? fit_card_unused(d) : fit_card(d, x),
                          .fixed = fit_fixed(
                              plan, d, unused ? d->flags & ~(unsigned)SCORE_DEVICE_LENT : d->flags),
                          .numa = d->numa};
    }
}

static void walk_reset(struct walk *w)
{
    w->mem_sum = w->cores_sum = 0;
    for (uint16_t i = 0; i < w->n; i++) {
        w->cards[i].taken = w->cards[i].beside = (struct amount){0, 0, 0};
        w->cards[i].in_ask = 0;
    }
}

/* ---- one share ---- */

/* What the pod holds of a card once `ask` has a share of it. */
static inline struct amount taken_with(const struct fit_ask *ask, const struct card *c)
{
    const int64_t mem = fit_mem(ask, c->others.mem_total);
    struct amount t = c->taken;
    if (ask->step != SCORE_STEP_INIT) {
        t.mem_mib += mem;
        t.cores_pct += ask->cores_pct;
        t.shares += 1;
        return t;
    }
    const struct amount step = {c->beside.mem_mib + mem, c->beside.cores_pct + ask->cores_pct,
                                c->beside.shares + 1};
    t.mem_mib = step.mem_mib > t.mem_mib ? step.mem_mib : t.mem_mib;
    t.cores_pct = step.cores_pct > t.cores_pct ? step.cores_pct : t.cores_pct;
    t.shares = step.shares > t.shares ? step.shares : t.shares;
    return t;
}

static inline fit_mask mask_of(const struct walk *w, const struct fit_ask *ask, uint16_t i)
{
    const struct card *c = &w->cards[i];
    const struct amount *beside = ask->step == SCORE_STEP_INIT ? &c->beside : &c->taken;
    struct fit_card now = c->others;
    now.mem_used += beside->mem_mib;
    now.cores_used += beside->cores_pct;
    now.shares_used += beside->shares;
    const struct amount t = taken_with(ask, c);
    const bool over = fit_over_quota(w->plan, w->mem_sum + t.mem_mib - c->taken.mem_mib,
                                     w->cores_sum + t.cores_pct - c->taken.cores_pct);
    return c->fixed | fit_room(ask, &now, fit_mem(ask, now.mem_total), over);
}

fit_mask walk_mask(const struct walk *w, const struct fit_ask *ask, uint16_t i)
{
    return mask_of(w, ask, i);
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
    set_taken(w, c, taken_with(ask, c));
    c->in_ask = (uint16_t)(k + 1);
    w->chosen[ask->part + j] = (uint8_t)i;
}

/* Before an init step is looked at: which sidecars run beside it. They were placed before. */
static void load_beside(struct walk *w, const struct fit_ask *ask)
{
    if (!w->plan->has_sidecars || ask->step != SCORE_STEP_INIT)
        return;
    for (uint16_t i = 0; i < w->n; i++)
        w->cards[i].beside = (struct amount){0, 0, 0};
    for (uint16_t k = 0; k < w->plan->running_n; k++) {
        const struct fit_ask *s = &w->plan->asks[k];
        if (s->step != SCORE_STEP_SIDECAR || s->container > ask->container)
            continue;
        for (int32_t j = 0; j < s->count; j++) {
            struct card *c = &w->cards[w->chosen[s->part + j]];
            c->beside.mem_mib += fit_mem(s, c->others.mem_total);
            c->beside.cores_pct += s->cores_pct;
            c->beside.shares += 1;
        }
    }
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
 * one where it adds the least. */
static struct key key_of_policy(const struct walk *w, struct rank_factors *f,
                                const struct fit_ask *ask, uint16_t i)
{
    const struct card *c = &w->cards[i];
    const struct amount t = taken_with(ask, c);
    rank_factors_for(f, &c->others);
    const int64_t weighted =
        rank_weighted(w->policy, f, c->others.mem_used + t.mem_mib,
                      c->others.cores_used + t.cores_pct, c->others.shares_used + t.shares);
    const struct rank_key policy = rank_key(&w->plan->order, weighted, c->numa);
    const bool init = ask->step == SCORE_STEP_INIT;
    return (struct key){{init && c->taken.shares == 0, init ? t.mem_mib - c->taken.mem_mib : 0,
                         policy.k[0], policy.k[1]}};
}

/* As the chances are best: what adds least to a quota first, then the tightest card. */
static struct key key_of_search(const struct walk *w, const struct fit_ask *ask, uint16_t i)
{
    const struct card *c = &w->cards[i];
    const struct amount t = taken_with(ask, c);
    return (struct key){{w->plan->quota_mem_left != INT64_MAX ? t.mem_mib - c->taken.mem_mib : 0,
                         ask->step == SCORE_STEP_INIT && c->taken.shares == 0,
                         c->others.mem_total - c->others.mem_used - t.mem_mib,
                         c->others.cores_total - c->others.cores_used - t.cores_pct}};
}

/* ---- greedy ---- */

uint16_t walk_greedy(struct walk *w)
{
    struct rank_factors factors = {0};
    struct key keys[SCORE_DEVICES_MAX];
    uint8_t fits[SCORE_DEVICES_MAX];
    for (uint16_t k = 0; k < w->plan->asks_n; k++) {
        const struct fit_ask *ask = &w->plan->asks[k];
        load_beside(w, ask);
        uint16_t n = 0;
        for (uint16_t i = 0; i < w->n; i++) {
            if (mask_of(w, ask, i))
                continue;
            keys[n] = key_of_policy(w, &factors, ask, i);
            fits[n++] = (uint8_t)i;
        }
        int32_t j = 0;
        while (j < ask->count && n > 0) {
            uint16_t best = 0;
            for (uint16_t m = 1; m < n; m++)
                if (key_cmp(&keys[m], fits[m], &keys[best], fits[best]) < 0)
                    best = m;
            /* An earlier card of this ask may have used the quota up. */
            if (!mask_of(w, ask, fits[best]))
                take(w, k, (uint16_t)j++, fits[best]);
            n--;
            keys[best] = keys[n];
            fits[best] = fits[n];
        }
        if (j < ask->count)
            return k;
    }
    return w->plan->asks_n;
}

/* The same on the first cards that take it; returns like walk_greedy(). */
static uint16_t first_fit(struct walk *w)
{
    for (uint16_t k = 0; k < w->plan->asks_n; k++) {
        const struct fit_ask *ask = &w->plan->asks[k];
        load_beside(w, ask);
        int32_t j = 0;
        for (uint16_t i = 0; i < w->n && j < ask->count; i++)
            if (!mask_of(w, ask, i))
                take(w, k, (uint16_t)j++, i);
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

/* Cards that the pod has not touched and that others use alike lead to the same end. */
static bool alike(const struct card *a, const struct card *b)
{
    return a->taken.shares == 0 && b->taken.shares == 0 && a->fixed == b->fixed &&
           a->others.mem_total == b->others.mem_total && a->others.mem_used == b->others.mem_used &&
           a->others.cores_total == b->others.cores_total &&
           a->others.cores_used == b->others.cores_used &&
           a->others.shares_total == b->others.shares_total &&
           a->others.shares_used == b->others.shares_used;
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
    load_beside(w, ask);
    for (uint16_t i = 0; i < w->n; i++) {
        const struct card *c = &w->cards[i];
        if (c->in_ask == f->k + 1 || mask_of(w, ask, i))
            continue;
        const struct key key = key_of_search(w, ask, i);
        if (behind && key_cmp(&key, i, &behind->key, behind->card) <= 0)
            continue;
        if (f->chosen && alike(c, &w->cards[f->card]))
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
 * before it, unless its own cards differ in what they take of a quota. */
static bool worth_searching(const struct score_plan *plan, uint16_t stuck)
{
    return stuck > 0 || (plan->asks[0].mem_pct && plan->quota_mem_left != INT64_MAX);
}

/* How many app containers and sidecars the card could take at most, if all were as small as the
 * smallest of them. */
static int64_t room_for(const struct walk *w, const struct card *c)
{
    const struct score_plan *plan = w->plan;
    int64_t mem = INT64_MAX, cores = INT64_MAX;
    for (uint16_t k = 0; k < plan->running_n; k++) {
        const int64_t m = fit_mem(&plan->asks[k], c->others.mem_total);
        mem = m < mem ? m : mem;
        cores = plan->asks[k].cores_pct < cores ? plan->asks[k].cores_pct : cores;
    }
    const struct fit_card *o = &c->others;
    int64_t room = SCORE_PARTS_MAX;
    if (plan->asks[0].mutex)
        room = o->shares_used == 0;
    if (plan->asks[0].slots && o->shares_total - o->shares_used < room)
        room = o->shares_total - o->shares_used;
    if (plan->asks[0].memory && mem > 0 && (o->mem_total - o->mem_used) / mem < room)
        room = (o->mem_total - o->mem_used) / mem;
    if (plan->asks[0].cores && cores > 0 && (o->cores_total - o->cores_used) / cores < room)
        room = (o->cores_total - o->cores_used) / cores;
    return room > 0 ? room : 0;
}

/* Whether every ask would have room if it were alone, and all that run at once together by their
 * number and their sums. Cheap, and enough to refuse most nodes that are full. */
static bool promising(const struct walk *w)
{
    const struct score_plan *plan = w->plan;
    int64_t mem_free = 0, cores_free = 0, room = 0;
    for (uint16_t i = 0; i < w->n; i++) {
        const struct fit_card *c = &w->cards[i].others;
        if (w->cards[i].fixed)
            continue;
        mem_free += c->mem_total > c->mem_used ? c->mem_total - c->mem_used : 0;
        cores_free += c->cores_total > c->cores_used ? c->cores_total - c->cores_used : 0;
        room += plan->running_n ? room_for(w, &w->cards[i]) : 0;
    }
    int64_t mem = 0, cores = 0, shares = 0;
    for (uint16_t k = 0; k < plan->asks_n; k++) {
        const struct fit_ask *ask = &plan->asks[k];
        int32_t alone = 0;
        for (uint16_t i = 0; i < w->n; i++)
            alone += mask_of(w, ask, i) == 0;
        if (alone < ask->count)
            return false;
        if (k >= plan->running_n)
            continue;
        mem += ask->memory ? ask->mem_mib * ask->count : 0;
        cores += ask->cores ? (int64_t)ask->cores_pct * ask->count : 0;
        shares += ask->count;
    }
    return mem <= mem_free && cores <= cores_free && shares <= room;
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
    if (!promising(w))
        return false;
    if (first_fit(w) == w->plan->asks_n)
        return true;
    walk_reset(w);
    return search(w);
}

bool walk_otherwise(struct walk *w, uint16_t stuck)
{
    if (!worth_searching(w->plan, stuck))
        return false;
    walk_reset(w);
    return any_way(w);
}

bool walk_possible(struct walk *w)
{
    /* First the cheapest; then all that a decision would try. */
    uint16_t stuck = first_fit(w);
    if (stuck == w->plan->asks_n)
        return true;
    if (!worth_searching(w->plan, stuck))
        return false;
    walk_reset(w);
    stuck = walk_greedy(w);
    return stuck == w->plan->asks_n || walk_otherwise(w, stuck);
}
