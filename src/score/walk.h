/* One vendor's asks on one node: the cards as they fill up with the pod's own containers. */
#ifndef CARDINAL_SCORE_WALK_H
#define CARDINAL_SCORE_WALK_H

#include "score/priv.h"

struct card {
    struct fit_card others; /* totals, and the use of all other pods */
    struct amount taken;    /* effective use of this pod so far (score_effective_use's rule) */
    struct amount beside;   /* sidecars beside the init step being placed, and what it has itself */
    fit_mask fixed;
    int32_t numa;
    uint16_t in_ask; /* 1 + index of the last ask of the plan that took it: an ask takes distinct
                        cards, but for those that are cut into slices */
    bool divisible;  /* given out slice by slice (SCORE_DEVICE_MIG) */
};

struct more { /* what only some makers' cards have; set up where walk.special */
    uint64_t bits_total, bits_used; /* others' */
    uint16_t profile, profiles_n;
    uint16_t online, offline;
    uint16_t zone; /* number in walk.zone; 0: of none */
    uint8_t qos;
    bool soft;      /* SCORE_DEVICE_SOFT */
    bool zone_busy; /* SCORE_CHECK_ZONE_MUTEX: somebody uses a card of its zone */
};

struct share { /* what an ask would take of a card as things are */
    struct fit_share n;
    uint64_t bits;
    uint16_t profile; /* 1 + index in score_node.profiles; 0: none */
    fit_mask failed;  /* nothing of the card is of that size, or not free */
};

struct took { /* a share that was placed */
    int64_t mem_mib;
    uint64_t bits;
    int32_t cores_pct;
    uint16_t shares, profile;
    uint8_t card;
};

struct walk {
    const struct score_plan *plan;
    const struct score_policy *policy;
    const struct score_node *node;
    const struct score_group *group;
    uint16_t n;
    bool special;   /* not only numbers: the row's ways, or traits of the cards */
    bool divisible; /* some card that the pod may have is given out slice by slice */
    bool bound;     /* choose(): a bound of the pairs will do, the set need not be the best */
    bool bounded;   /* it did, and took other cards */
    uint16_t only;  /* SCORE_CHECK_ONE_CARD: 1 + the card that earlier containers have; 0: none */
    int64_t mem_sum, cores_sum; /* of taken over all cards, against the quota */
    int64_t most[SCORE_ASKS_MAX]; /* those bounds, by ask of the plan */
    struct card cards[SCORE_DEVICES_MAX];
    struct took took[SCORE_PARTS_MAX];   /* by fit_ask.part */
    struct more more[SCORE_DEVICES_MAX]; /* by card */
    /* by card, for select.h; only where the plan's ways look at them */
    int32_t index[SCORE_DEVICES_MAX], zone[SCORE_DEVICES_MAX];
};
#define WALK_MANY UINT16_MAX /* walk.only: several cards */

/* Sets up the cards of `group`: as they are, or (unused) as if nobody used them. */
void walk_start(struct walk *w, const struct score_prepared *prep, const struct score_plan *plan,
                const struct score_node *node, const struct score_group *group,
                const struct score_extra *extra, bool unused);
/* The same cards again, without what the asks took of them. */
void walk_reset(struct walk *w);
/* Places every ask where the policy likes it best. Returns how many asks found room: asks_n = all
 * of them. */
uint16_t walk_greedy(struct walk *w);
/* After walk_greedy() got stuck at ask `stuck`: any placement, whatever the policy says. Gives up
 * after a fixed number of steps. */
bool walk_otherwise(struct walk *w, uint16_t stuck);
/* Whether either of them finds one; from walk_start(). Does not say where. */
bool walk_possible(struct walk *w);
/* What ask `k` of the plan would take of card `i` as things are. */
struct share walk_share(const struct walk *w, const struct fit_ask *ask, uint16_t i);
/* What stands in its way on each card; 0: nothing, or it has the card and can't have more of it. */
void walk_masks(const struct walk *w, const struct fit_ask *ask, fit_mask *ret);

/* How good the cards of a finished walk are together, 0…SCORE_MAX, higher is better
 * (docs/design/placement.md). Only of plans with a quality. */
int64_t walk_quality(const struct walk *w);

#endif
