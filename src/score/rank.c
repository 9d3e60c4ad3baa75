/* Which of the cards and nodes that may is best: the order of cards under a policy, the score of a
 * node, and the scale that kube-scheduler reads. The sums done for every card are in priv.h. */
#include "score/priv.h"

#include <assert.h>

/* What a node's score is made of, all from the state after the placement. The group's use leads,
 * so that "binpack" means the fullest node and "spread" the emptiest as with HAMi (core.md 5.4);
 * the chosen cards' use decides between nodes that are alike. */
static const struct {
    int64_t group, cards;
    int64_t quality; /* beside the two together, where the row and the pod say how good cards are */
} WEIGHT = {.group = 3, .cards = 1, .quality = 4};

struct rank_order rank_order(const struct score_policy *policy)
{
    struct rank_order order = {{0, 0}, {0, 0}};
    unsigned n = 0;
    bool util = false,
         numa = false; /* a second key of a kind can't decide what the first left open */
    for (unsigned i = 0; i < 3 && policy->card[i] != SCORE_KEY_NONE; i++) {
        if (policy->card[i] == SCORE_KEY_NUMA && !numa) {
            order.numa[n++] = 1;
            numa = true;
        } else if (policy->card[i] != SCORE_KEY_NUMA && !util) {
            order.util[n++] = policy->card[i] == SCORE_KEY_SPREAD ? 1 : -1;
            util = true;
        }
    }
    return order;
}

int64_t rank_node(const struct score_policy *policy, int64_t cards, int64_t group)
{
    const int64_t weights = (int64_t)policy->weight_slot + policy->weight_core + policy->weight_mem;
    int64_t full =
        (WEIGHT.group * group + WEIGHT.cards * cards) / ((WEIGHT.group + WEIGHT.cards) * weights);
    full =
        full > SCORE_MAX ? SCORE_MAX : full; /* factors of totals beyond 2^40 round up that far */
    return policy->node_spread ? SCORE_MAX - full : full;
}

int64_t rank_node_quality(int64_t node, int64_t quality)
{
    assert(quality >= 0);
    assert(quality <= SCORE_MAX);
    const int64_t use = WEIGHT.group + WEIGHT.cards;
    return (use * node + WEIGHT.quality * quality) / (use + WEIGHT.quality);
}

int64_t rank_share(int64_t value, int64_t half)
{
    assert(half > 0);
    const int64_t most = INT64_MAX / SCORE_MAX;
    value = value < 0 ? 0 : value > most ? most : value;
    return SCORE_MAX * value / (value + half);
}

int64_t rank_signed(int64_t value, int64_t half)
{
    const int64_t away = rank_share(value < 0 ? -value : value, half) / 2;
    return value < 0 ? SCORE_MAX / 2 - away : SCORE_MAX / 2 + away;
}

void score_scale(const int64_t *raw, size_t n, int64_t max, int64_t *ret)
{
    assert(max >= 0);
    if (n == 0)
        return;
    int64_t low = raw[0], high = raw[0];
    for (size_t i = 1; i < n; i++) {
        low = raw[i] < low ? raw[i] : low;
        high = raw[i] > high ? raw[i] : high;
    }
    uint64_t range = (uint64_t)high - (uint64_t)low;
    unsigned shift = 0; /* so that range · max, and half a range more, stays in 64 bits */
    while (max > 0 && range >> shift > (UINT64_MAX >> 1) / (uint64_t)max)
        shift++;
    range >>= shift;
    for (size_t i = 0; i < n; i++) {
        const uint64_t above = ((uint64_t)raw[i] - (uint64_t)low) >> shift;
        ret[i] = range ? (int64_t)((above * (uint64_t)max + range / 2) / range) : max;
    }
}
