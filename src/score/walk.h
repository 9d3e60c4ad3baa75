/* One vendor's asks on one node: the cards as they fill up with the pod's own containers. */
#ifndef CARDINAL_SCORE_WALK_H
#define CARDINAL_SCORE_WALK_H

#include "score/priv.h"

struct card {
    struct fit_card others; /* totals, and the use of all other pods */
    struct amount taken;    /* effective use of this pod so far (score_effective_use's rule) */
    struct amount beside;   /* sidecars that run beside the init step being placed */
    fit_mask fixed;
    int32_t numa;
    uint16_t in_ask; /* 1 + index of the last ask of the plan that took it: an ask takes distinct
                        cards */
};

struct walk {
    const struct score_plan *plan;
    const struct score_policy *policy;
    uint16_t n;
    int64_t mem_sum, cores_sum; /* of taken over all cards, against the quota */
    struct card cards[SCORE_DEVICES_MAX];
    uint8_t chosen[SCORE_PARTS_MAX]; /* by fit_ask.part: index in cards */
};

/* Sets up the cards of `group`: as they are, or (unused) as if nobody used them. */
void walk_start(struct walk *w, const struct score_prepared *prep, const struct score_plan *plan,
                const struct score_node *node, const struct score_group *group,
                const struct score_extra *extra, bool unused);
/* Places every ask where the policy likes it best. Returns how many asks found room: asks_n = all
 * of them. */
uint16_t walk_greedy(struct walk *w);
/* After walk_greedy() got stuck at ask `stuck`: any placement, whatever the policy says. Gives up
 * after a fixed number of steps. */
bool walk_otherwise(struct walk *w, uint16_t stuck);
/* Whether either of them finds one; from walk_start(). Does not say where. */
bool walk_possible(struct walk *w);
/* What stands in the way of ask `k` of the plan on card `i` as things are. */
fit_mask walk_mask(const struct walk *w, const struct fit_ask *ask, uint16_t i);

#endif
