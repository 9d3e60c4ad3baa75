/* What the tests of the decision share: a maker's row, a node that grows card by card, a request
 * with the usual policy, and random clusters from a seed. */
#ifndef CARDINAL_CHECK_SCORE_H
#define CARDINAL_CHECK_SCORE_H

#include "score/score.h"

#include <check.h>

/* Rows of the vendor table in these tests: V_FULL has every check in nvidia.md 5's order, V_OTHER
 * the same checks in another order, V_SLOTS looks at slots only: plain rows. The others are what
 * vendors-a.md and vendors-b.md say of makers, one of each kind. */
enum {
    V_FULL,
    V_OTHER,
    V_SLOTS,
    V_PLAIN,          /* so many */
    V_NEAR = V_PLAIN, /* as V_FULL, by pairs */
    V_ZONES,          /* vendors-a.md 1.7 T */
    V_MODULES,        /* vendors-a.md 1.7 P */
    V_ONE,            /* vendors-b.md 1g, whole cards */
    V_CLASS,          /* vendors-b.md 1g, shares */
    V_FREE,           /* vendors-b.md 2g, whole cards */
    V_PROFILE,        /* vendors-b.md 2g, slices */
    V_WINGS,          /* vendors-b.md 3g, whole cards */
    V_EQUAL,          /* vendors-b.md 3g, shares */
    V_BITS,           /* vendors-b.md 4g */
    V_UNITS,          /* vendors-b.md 5g */
    V_DIES,           /* vendors-b.md 6g */
    V_COUNT
};
extern const struct score_vendor VENDORS[V_COUNT];

/* Texts of types and modes: indices are used in devices. */
enum { T_A10, T_A100, T_H100, T_CORE, T_MIG, T_NONE, T_COUNT };
extern const struct str TYPES[T_COUNT];

/* A card of 24576 MiB, 100 cores, 10 shares, unused; `...` are designated initialisers that change
 * it. */
#pragma GCC diagnostic ignored "-Woverride-init"
#ifdef __clang__
#pragma clang diagnostic ignored "-Winitializer-overrides"
#endif
#define CARD(...)                                                                                  \
    (struct score_device)                                                                          \
    {                                                                                              \
        .mem_total_mib = 24576, .cores_total_pct = 100, .shares_total = 10, .type = T_A10,         \
        .mode = T_CORE, __VA_ARGS__                                                                \
    }

struct cluster { /* one node */
    struct score_node node;
    struct score_group groups[V_COUNT];
    struct score_device devices[SCORE_DEVICES_MAX];
    char uuids[SCORE_DEVICES_MAX][8];
    struct score_trait traits[SCORE_DEVICES_MAX]; /* by device; cluster_traits() */
    struct score_profile profiles[16];
    struct score_topology topology; /* cluster_topology() */
    int32_t pair[16 * 16];
    struct score_near near[SCORE_NEAR_CARDS];
    int64_t bound[(1 << SCORE_BOUND_CARDS) * (SCORE_BOUND_CARDS + 1)];
};
void cluster_init(struct cluster *c);
/* The last group's cards have traits from now on; each without a zone. */
struct score_trait *cluster_traits(struct cluster *c);
/* The last group has a topology from now on; with pairs (all 0) and their tables, or without. */
struct score_topology *cluster_topology(struct cluster *c, bool pairs);
void cluster_pair(struct cluster *c, unsigned i, unsigned j, int32_t value);
/* What a placement takes of the cards, bits included. */
struct pod;
void cluster_charge(struct cluster *c, const struct pod *p, const struct score_placement *pl);
/* Adds a group's cards, gives them index and UUID where they have none; sums are made. */
void cluster_add(struct cluster *c, uint16_t vendor, const struct score_device *cards, unsigned n);
void cluster_sum(struct cluster *c);

struct pod { /* a request with room for everything */
    struct score_request req;
    enum score_step steps[SCORE_CONTAINERS_MAX];
    struct score_ask asks[SCORE_ASKS_MAX];
    struct score_selection selection;
    struct score_quota quotas[V_COUNT];
};
void pod_init(struct pod *p);
void pod_ask(struct pod *p, enum score_step step, struct score_ask ask); /* a container more */

/* score_prepare, check and place, all in one; asserts that they agree. */
struct result {
    struct score_verdict v;
    struct score_placement placement;
    struct score_detail detail;
};
void decide(const struct pod *p, const struct cluster *c, const struct score_extra *extra,
            struct result *ret);

bool same_verdict(const struct score_verdict *a, const struct score_verdict *b);
bool same_placement(const struct score_placement *a, const struct score_placement *b);

/* Random, from PROP_SEED or a fixed seed. */
uint64_t seed_start(void);
extern uint64_t case_seed; /* of the random case at hand, for messages */
struct rnd {
    uint64_t state;
};
uint64_t rnd_u64(struct rnd *r);
int64_t rnd_in(struct rnd *r, int64_t low, int64_t high); /* both included */
bool rnd_one_in(struct rnd *r, int n);

Suite *suite_tables(void);
Suite *suite_place(void);
Suite *suite_props(void);
Suite *suite_ways(void);
Suite *suite_ways_props(void);

#define ROWS(table) (sizeof(table) / sizeof((table)[0]))

#endif
