/* What the files of the decision share: a request made ready (request.c), one card against one ask
 * (fit.c), the order of cards and the score of a node (rank.c). The hot parts are inline here;
 * decide.c puts them together. */
#ifndef CARDINAL_SCORE_PRIV_H
#define CARDINAL_SCORE_PRIV_H

#include "score/score.h"

#define ALWAYS_INLINE __attribute__((always_inline)) inline
#define NOINLINE      __attribute__((noinline))

struct amount { /* of one card */
    int64_t mem_mib, cores_pct, shares;
    uint64_t bits;
};

/* ---- one card against one ask ---- */

/* A set of failed checks. Bit n + 1 stands for the n-th check of the vendor's row, so the lowest
 * bit set is the first failing check in the vendor's order, whatever that order is. */
typedef uint32_t fit_mask;
/* Not checks of a row. Before all of them: nothing of the card is of the size that is asked for.
 * Behind them: the card is over its total, or not of the row's kind. */
#define FIT_SIZE    ((fit_mask)1 << 0)
#define FIT_LENT    ((fit_mask)1 << 31)
#define FIT_FOREIGN ((fit_mask)1 << 30)

struct fit_ask { /* one ask made ready; a check that can't fail for it has no bit */
    int64_t mem_mib;
    int32_t mem_pct, cores_pct, count;
    int32_t slices;
    uint16_t ask; /* index in the request */
    uint16_t container;
    uint16_t part; /* of its first share in a placement: shares stand in order of asks */
    enum score_step step;
    enum score_amount amount;
    enum score_select select; /* what the row's comes to for this ask */
    bool soft, mem_guess;
    bool like_last; /* the same as the ask placed before it, so that the two may change places */
    fit_mask slots, mutex, quota, memory, cores, exclusive, zero_cores;
    /* The same for what only some rows look at; `more`: it has any of these. */
    bool more;
    fit_mask one_card, equal, app_class, qos, soft_only, free, zone_mutex;
    fit_mask bits; /* too few of the card's bits are free */
};

struct fit_card { /* what there is and what others use */
    int64_t mem_total, mem_used;
    int64_t cores_total, cores_used;
    int64_t shares_total, shares_used;
};

struct rank_order { /* a chain of keys as two numbers: util[i] · utilisation + numa[i] · numa,
                       smaller first */
    int32_t util[2], numa[2];
};

struct score_plan { /* what a request wants of one vendor */
    uint16_t vendor;
    uint16_t asks_n,
        running_n; /* asks [0, running_n): app containers and sidecars; then init steps */
    uint16_t parts_n;
    struct fit_ask *asks; /* in the order of placing */
    bool has_sidecars;
    /* checks that depend on neither ask nor use */
    fit_mask type, uuid, placement;
    fit_mask by_flag[1 << SCORE_DEVICE_FLAGS_N]; /* of the device's flags */
    bool selects;
    uint32_t types_n;
    const uint64_t *type_ok, *mode_ok;         /* NULL: all */
    const struct str *use_uuids, *nouse_uuids; /* sorted */
    uint16_t use_uuids_n, nouse_uuids_n;
    bool use_uuid_set;
    int64_t quota_mem_left, quota_cores_left; /* no limit: INT64_MAX */
    bool has_quota;
    struct rank_order order;
    enum score_reason reason[32]; /* of each bit */
    enum score_reason select_reason;
    /* what of the row and the pod's annotations says which cards together, and how good they are */
    enum score_select select;   /* the row's; SCORE_SELECT_EACH: of no ask */
    enum score_quality quality; /* SCORE_QUALITY_NONE: does not count */
    bool numa_bind;
    enum score_class app_class; /* where the row looks at it */
    uint8_t qos;
    bool plain;  /* nothing but amounts of a card as they are, one by one */
    bool single; /* the same, or one by one by the values of pairs */
};

/* Cards that don't make up a set of the row's kind won't do. */
static inline bool plan_hard(const struct score_plan *plan)
{
    return plan->numa_bind || plan->select == SCORE_SELECT_MODULES ||
           plan->select == SCORE_SELECT_WINGS || plan->select == SCORE_SELECT_BLOCKS;
}

#define FIT_CORES_MAX 100 /* more than a card's cores is a card's cores (nvidia.md 5, step 8) */

/* Fills in the vendor's part of a plan, and an ask's bits. */
void fit_plan_checks(const struct score_vendor *vendor, struct score_plan *plan);
void fit_ask_checks(const struct score_vendor *vendor, const struct score_policy *policy,
                    const struct score_plan *plan, struct fit_ask *ask);
/* Type, mode and UUID lists. */
fit_mask fit_selection(const struct score_plan *plan, const struct score_device *dev);

static inline fit_mask fit_when(bool failed, fit_mask bit) { return (0u - (uint32_t)failed) & bit; }

static inline int64_t fit_mem(const struct fit_ask *ask, int64_t mem_total)
{
    return ask->mem_pct ? mem_total * ask->mem_pct / 100 : ask->mem_mib;
}

/* What others use of a card; `x` may be NULL. A pod's own charges are taken off by what they are
 * believed to be, so never below nothing. */
static inline struct fit_card fit_card(const struct score_device *d, const struct score_extra *x)
{
    struct fit_card c = {.mem_total = d->mem_total_mib,
                         .mem_used = d->mem_used_mib,
                         .cores_total = d->cores_total_pct,
                         .cores_used = d->cores_used_pct,
                         .shares_total = d->shares_total,
                         .shares_used = d->shares_used};
    if (x) {
        c.mem_used += x->mem_mib;
        c.cores_used += x->cores_pct;
        c.shares_used += x->shares;
        c.mem_used = c.mem_used < 0 ? 0 : c.mem_used;
        c.cores_used = c.cores_used < 0 ? 0 : c.cores_used;
        c.shares_used = c.shares_used < 0 ? 0 : c.shares_used;
    }
    return c;
}

static inline struct fit_card fit_card_unused(const struct score_device *d)
{
    return (struct fit_card){.mem_total = d->mem_total_mib,
                             .cores_total = d->cores_total_pct,
                             .shares_total = d->shares_total};
}

/* Checks that no use changes. `flags` less SCORE_DEVICE_LENT asks about the unused card. */
static inline fit_mask fit_fixed(const struct score_plan *plan, const struct score_device *dev,
                                 unsigned flags)
{
    fit_mask mask = plan->by_flag[flags & ((1u << SCORE_DEVICE_FLAGS_N) - 1)];
    if (plan->selects)
        mask |= fit_selection(plan, dev);
    return mask;
}

/* What one share of an ask takes of a card, as far as the numbers go. */
struct fit_share {
    int64_t mem, cores, shares;
};

/* Checks of what there is. No branches: most calls are for cards whose answer can't be foretold. */
static inline fit_mask fit_room(const struct fit_ask *ask, const struct fit_card *card,
                                const struct fit_share *share, bool over_quota)
{
    fit_mask mask = fit_when(share->shares > card->shares_total - card->shares_used, ask->slots);
    mask |= fit_when(card->shares_used > 0, ask->mutex);
    mask |= fit_when(over_quota, ask->quota);
    mask |= fit_when(share->mem > card->mem_total - card->mem_used, ask->memory);
    mask |= fit_when(share->cores > card->cores_total - card->cores_used, ask->cores);
    mask |= fit_when((card->cores_total == 100) & (card->shares_used > 0), ask->exclusive);
    mask |= fit_when((card->cores_total != 0) & (card->cores_used >= card->cores_total),
                     ask->zero_cores);
    return mask;
}

/* Whether effective amounts of the whole pod are beyond what the namespace may still take. */
static inline bool fit_over_quota(const struct score_plan *plan, int64_t mem, int64_t cores)
{
    return (mem > plan->quota_mem_left) | (cores > plan->quota_cores_left);
}

/* ---- order and score ---- */

struct rank_key {
    int64_t k[2];
};
struct rank_order rank_order(const struct score_policy *policy);
/* A node's score for one vendor from the weighted utilisation of the chosen cards and of all of the
 * vendor's. */
int64_t rank_node(const struct score_policy *policy, int64_t cards, int64_t group);
/* The same and how good the cards are together, 0…SCORE_MAX, higher is better. */
int64_t rank_node_quality(int64_t node, int64_t quality);
/* From unbounded numbers to 0…SCORE_MAX, higher stays higher: `half` gives half of it; of what is
 * negative, nothing. rank_signed(): 0 gives half of it, ±half a quarter more or less. */
int64_t rank_share(int64_t value, int64_t half);
int64_t rank_signed(int64_t value, int64_t half);

/* Utilisation is in millionths (SCORE_MAX is full). A division a card would be the dearest step of
 * all, so totals become factors, 2^40 · SCORE_MAX / total rounded up, kept while cards of the same
 * size follow each other. The result is the exact quotient rounded down for totals below 2^20. */
#define RANK_SHIFT 40
struct rank_factors {
    int64_t mem_total, cores_total, shares_total;
    uint64_t mem, cores, shares;
};

static inline uint64_t rank_factor(int64_t total)
{
    const uint64_t t = total > 0 ? (uint64_t)total : 1;
    return total > 0 ? (((uint64_t)SCORE_MAX << RANK_SHIFT) + t - 1) / t : 0;
}

static inline void rank_factors_for(struct rank_factors *f, const struct fit_card *card)
{
    if (f->mem_total != card->mem_total) {
        f->mem_total = card->mem_total;
        f->mem = rank_factor(card->mem_total);
    }
    if (f->cores_total != card->cores_total) {
        f->cores_total = card->cores_total;
        f->cores = rank_factor(card->cores_total);
    }
    if (f->shares_total != card->shares_total) {
        f->shares_total = card->shares_total;
        f->shares = rank_factor(card->shares_total);
    }
}

/* `used` is not negative. A row that does not look at a dimension may leave it over its total: that
 * is full. */
static inline int64_t rank_part(int64_t used, int64_t total, uint64_t factor)
{
    used = used > total ? total : used;
    return (int64_t)(((uint64_t)used * factor) >> RANK_SHIFT);
}

/* Utilisation times the sum of weights, at most 3 · 10^12. */
static inline int64_t rank_weighted(const struct score_policy *policy, const struct rank_factors *f,
                                    int64_t mem, int64_t cores, int64_t shares)
{
    return policy->weight_mem * rank_part(mem, f->mem_total, f->mem) +
           policy->weight_core * rank_part(cores, f->cores_total, f->cores) +
           policy->weight_slot * rank_part(shares, f->shares_total, f->shares);
}

static inline struct rank_key rank_key(const struct rank_order *order, int64_t weighted,
                                       int64_t numa)
{
    return (struct rank_key){{order->util[0] * weighted + order->numa[0] * numa,
                              order->util[1] * weighted + order->numa[1] * numa}};
}

static inline bool rank_before(const struct rank_key *a, const struct rank_key *b)
{
    return (a->k[0] < b->k[0]) | ((a->k[0] == b->k[0]) & (a->k[1] < b->k[1]));
}

#endif
