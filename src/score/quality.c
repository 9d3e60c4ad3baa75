/* How good the cards of a finished placement are together: from the maker's own measure
 * (score/select.h) to 0…SCORE_MAX, the same way up under every policy. docs/design/placement.md has
 * the formulas. What a node can't say about its cards counts as the worst: nodes that say nothing
 * are not to win. */
#include "score/select.h"
#include "score/walk.h"

#include <assert.h>

/* Half of what is to be had, in the measure's own unit: above it, more of the same counts less. */
static const struct {
    int64_t pair;  /* mean value of a pair: one link of nvidia.md 7.1 */
    int64_t links; /* ten a linked pair, ten times as much where the pod gets it */
    int64_t table; /* the whole range of loss and gain: contract/vendors-b.md 1i */
} SCALE = {.pair = 100, .links = 100, .table = 2000};

static uint16_t cards_of(const struct walk *w, const struct fit_ask *ask, uint8_t *ret)
{
    uint16_t n = 0;
    for (int32_t j = 0; j < ask->count && n < SCORE_DEVICES_MAX; j++)
        ret[n++] = w->took[ask->part + j].card;
    return n;
}

/* The mean of the asks that are for several cards, of the mean value of their pairs. */
static int64_t by_pairs(const struct walk *w)
{
    const struct score_topology *t = w->group->topology;
    int64_t sum = 0, asks = 0;
    for (uint16_t k = 0; k < w->plan->asks_n; k++) {
        const struct fit_ask *ask = &w->plan->asks[k];
        if (ask->count < 2)
            continue;
        uint8_t set[SCORE_DEVICES_MAX];
        const uint16_t n = cards_of(w, ask, set);
        asks++;
        if (!t || !t->pair || w->divisible)
            continue;
        const int64_t pairs = (int64_t)n * (n - 1) / 2;
        sum +=
            rank_share((w->bounded ? w->most[k] : select_pairs_sum(t, set, n)) / pairs, SCALE.pair);
    }
    return asks ? sum / asks : 0;
}

static int64_t by_zones(const struct walk *w)
{
    assert(w->plan->asks_n > 0);
    int64_t sum = 0;
    for (uint16_t k = 0; k < w->plan->asks_n; k++) {
        uint8_t set[SCORE_DEVICES_MAX];
        const uint16_t n = cards_of(w, &w->plan->asks[k], set);
        sum += select_zones_quality(w->zone, set, n);
    }
    return sum / w->plan->asks_n;
}

/* By the number of cards that the pod takes: little is lost under binpack, much gained under
 * spread. A node without a table is the worst, not the best (contract/vendors-b.md D1.3). */
static int64_t by_table(const struct walk *w)
{
    const struct score_topology *t = w->group->topology;
    uint16_t n = 0;
    for (uint16_t i = 0; i < w->n; i++)
        n = (uint16_t)(n + (w->cards[i].taken.shares > 0));
    const bool spread = w->policy->node_spread;
    const int32_t *table = !t ? NULL : spread ? t->gain : t->loss;
    if (!table || n >= t->counts_n || table[n] == SCORE_TABLE_NONE)
        return 0;
    int64_t value = spread ? table[n] : SCALE.table - table[n];
    value = value < 0 ? 0 : value > SCALE.table ? SCALE.table : value;
    return value * SCORE_MAX / SCALE.table;
}

/* contract/vendors-b.md 1i. Each card counts once, whichever containers have it (D1.6). */
static int64_t by_links(const struct walk *w)
{
    uint8_t idle[SCORE_DEVICES_MAX], set[SCORE_DEVICES_MAX];
    bool whole[SCORE_DEVICES_MAX] = {false};
    uint16_t idle_n = 0, set_n = 0;
    for (uint16_t k = 0; k < w->plan->asks_n; k++) {
        const struct fit_ask *ask = &w->plan->asks[k];
        for (int32_t j = 0; ask->cores_pct == FIT_CORES_MAX && j < ask->count; j++)
            whole[w->took[ask->part + j].card] = true;
    }
    int64_t neighbours = 0;
    for (uint16_t i = 0; i < w->n; i++) {
        const struct card *c = &w->cards[i];
        if (c->others.shares_used == 0)
            idle[idle_n++] = (uint8_t)i;
        if (whole[i])
            set[set_n++] = (uint8_t)i;
        const int64_t online = w->more[i].online, offline = w->more[i].offline;
        if (c->taken.shares > 0)
            neighbours += online == 0 ? 100 * offline : 20 * online + 2 * offline;
    }
    if (w->plan->app_class == SCORE_CLASS_ONLINE)
        return rank_signed(-neighbours, SCALE.links);
    return rank_signed(select_links_quality(w->zone, idle, idle_n, set, set_n), SCALE.links);
}

static int64_t by_wings(const struct walk *w)
{
    unsigned used = 0, set = 0;
    for (uint16_t i = 0; i < w->n; i++) {
        const struct card *c = &w->cards[i];
        if (w->index[i] < 0 || w->index[i] > 7)
            return 0;
        used |= (unsigned)(c->others.shares_used > 0) << w->index[i];
        set |= (unsigned)(c->taken.shares > 0) << w->index[i];
    }
    return (int64_t)select_wings_quality((uint8_t)used, (uint8_t)set) * SCORE_MAX / 3000;
}

int64_t walk_quality(const struct walk *w)
{
    switch (w->plan->quality) {
    case SCORE_QUALITY_PAIRS:
        return by_pairs(w);
    case SCORE_QUALITY_ZONES:
        return by_zones(w);
    case SCORE_QUALITY_TABLE:
        return by_table(w);
    case SCORE_QUALITY_LINKS:
        return by_links(w);
    case SCORE_QUALITY_WINGS:
        return by_wings(w);
    case SCORE_QUALITY_NONE:
        break;
    }
    return 0;
}
