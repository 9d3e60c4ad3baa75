/* The decision: does a pod's ask fit a node, on which cards, how good is that, and if not, why not.
 *
 * Pure: no I/O, no JSON, no clock, no threads, no floats, no globals but const tables. Equal inputs give equal
 * outputs; the order of inputs (nodes, cards) does not matter: ties break by device index, then UUID; nodes by name.
 * Amounts: memory in MiB, cores in percent of a card, int64_t; utilisation in millionths.
 * Everything that decides calls this and nothing else decides: filter, prioritize, bind, quota, simulation. */
#ifndef CARDINAL_SCORE_SCORE_H
#define CARDINAL_SCORE_SCORE_H

#include "base/err.h"
#include "base/str.h"

#define SCORE_VENDORS_MAX 64     /* rows of the vendor table (13 makers, several chips of some) */
#define SCORE_DEVICES_MAX 256    /* cards a node; more are refused at decode */
#define SCORE_CONTAINERS_MAX 64  /* containers a pod, init containers included */
#define SCORE_ASKS_MAX 128       /* (container, vendor) pairs a pod */
#define SCORE_PARTS_MAX 1024     /* shares a pod: sum of counts over its asks */
#define SCORE_AMOUNT_MAX (INT64_C(1) << 40) /* bound of any single amount; sums of PARTS_MAX of them stay in int64 */

/* ---- why not (contract/core.md 11; ours below) ---- */
enum score_reason {
    SCORE_FITS,
    SCORE_CARD_TYPE_MISMATCH,
    SCORE_CARD_UUID_MISMATCH,
    SCORE_CARD_TIME_SLICING_EXHAUSTED,
    SCORE_CARD_COMPUTE_UNITS_EXHAUSTED,
    SCORE_CARD_INSUFFICIENT_MEMORY,
    SCORE_CARD_INSUFFICIENT_CORE,
    SCORE_CARD_NOT_HEALTH,
    SCORE_CARD_CORDONED,
    SCORE_NUMA_NOT_FIT,
    SCORE_EXCLUSIVE_DEVICE_ALLOCATE_CONFLICT,
    SCORE_CARD_NOT_FOUND_CUSTOM_FILTER_RULE,
    SCORE_CARD_MIG_TOPOLOGY_INFEASIBLE,
    SCORE_NODE_INSUFFICIENT_DEVICE,             /* fewer cards of the type than asked for */
    SCORE_ALLOCATED_CARDS_INSUFFICIENT_REQUEST, /* some cards fit, but not enough of them */
    SCORE_RESOURCE_QUOTA_NOT_FIT,
    SCORE_MODE_NOT_FIT,
    SCORE_CARD_UNHEALTHY,           /* a row may say it instead of CardNotHealth */
    SCORE_CARD_QOS_POLICY_MISMATCH, /* pods of another QoS policy use the card */
    SCORE_CARD_APP_CLASS_MISMATCH,  /* pods of a class that does not share with this one use the card */
    /* ours */
    SCORE_NODE_UNKNOWN,            /* the cluster has no such node */
    SCORE_NODE_UNREGISTERED,       /* no cards of the asked vendor registered there */
    SCORE_NODE_DEVICES_UNACCOUNTED, /* a bound pod there holds cards that it does not name: vendor closed until it ends */
    SCORE_NODE_HELD,               /* room is held by pods that were told it is theirs and are not bound yet */
    SCORE_NODE_LOCKED,             /* the node's lock belongs to a pod whose plugin has not finished */
    SCORE_REQUEST_INVALID,         /* a quantity or an annotation of the pod can't be read or contradicts itself */
    SCORE_REASON_COUNT_
};
typedef uint32_t score_reasons; /* bit n: enum score_reason n */
#define SCORE_BIT(reason) ((score_reasons)1 << (reason))

/* The code as users read it, "CardInsufficientMemory". Never NULL. */
const char *score_reason_code(enum score_reason reason);
/* One sentence for docs and explain. Never NULL. */
const char *score_reason_help(enum score_reason reason);
/* What a node can't change by becoming emptier: no such cards, wrong type, cordoned, quota, … */
bool score_reason_unresolvable(enum score_reason reason);

/* ---- what there is ---- */
enum score_device_flag {
    SCORE_DEVICE_UNHEALTHY = 1 << 0,
    SCORE_DEVICE_CORDONED = 1 << 1,
    SCORE_DEVICE_MIG = 1 << 2,  /* mode "mig" */
    SCORE_DEVICE_LENT = 1 << 3, /* over its total through pods that others placed: takes nothing more */
    SCORE_DEVICE_FOREIGN = 1 << 4, /* registered as a type that is not the row's: fails SCORE_CHECK_TYPE */
    SCORE_DEVICE_SOFT = 1 << 5,    /* its node splits cards in software: SCORE_CHECK_SOFT passes */
};
#define SCORE_DEVICE_FLAGS_N 6

struct score_device { /* one card; 64 bytes so that a card is a cache line */
    int64_t mem_total_mib, mem_used_mib;
    int32_t cores_total_pct, cores_used_pct;
    int32_t shares_total, shares_used;
    int32_t index; /* the maker's device index */
    int32_t numa;
    uint16_t flags;    /* enum score_device_flag */
    uint16_t type;     /* index in score_node.types */
    uint32_t mode;     /* index in score_node.types as well: the text of the device's mode */
    struct str uuid;   /* borrowed from the node's owner */
};

/* What only some makers' cards have. Parallel to the devices of a group. */
#define SCORE_ZONE_NONE INT32_MIN
struct score_trait {
    uint64_t bits_total; /* slices or cores that are given out one by one, bit n: number n; 0: none */
    uint64_t bits_used;
    int32_t zone;        /* cards of one zone are near each other; SCORE_ZONE_NONE: of none */
    /* What can be cut out of the card: score_node.profiles [profile, +profiles_n), in the order in which they are to be
     * tried: with placements by memory, then slices (nvidia.md 8.2), without by slices, then memory (vendors-b.md 2g). */
    uint16_t profile, profiles_n;
    uint16_t online, offline;     /* pods of these classes that use the card (enum score_class) */
    uint8_t qos; /* policy of the pods that use it (score_selection.qos); 0: none, or nobody uses it */
};

/* A slice of fixed size that a card can be cut into. `placements` in the order in which they are to be tried. */
#define SCORE_PLACEMENTS_MAX 32
struct score_profile {
    struct str name, id; /* borrowed from the node's owner; the core does not read them */
    int64_t mem_mib;
    int32_t cores_pct;
    int32_t slices;
    uint16_t placements_n; /* 0: anywhere (SCORE_AMOUNT_PROFILE) */
    struct score_placement_at {
        uint8_t start, size; /* start + size ≤ 64, size ≥ 1 */
    } placements[SCORE_PLACEMENTS_MAX];
};

struct score_near { /* of one card, for quick answers about it */
    int64_t sum;    /* of its pairs with all other cards */
#define SCORE_NEAR_CARDS 16
    uint8_t order[SCORE_NEAR_CARDS]; /* the other cards, the nearest first */
};

/* How the cards of a group lie to each other. Shared by nodes that are alike; immutable. */
struct score_topology {
    uint16_t n; /* cards; the group's */
    /* value of a pair, higher is nearer, [i * n + j], symmetric, |value| ≤ SCORE_PAIR_MAX; NULL: not known */
    const int32_t *pair;
    /* n ≤ SCORE_BOUND_CARDS: [mask * (n + 1) + k] = greatest sum of pairs of k cards of mask (score_topology_bound());
     * NULL: not made, a looser bound is computed */
    const int64_t *bound;
    const struct score_near *near; /* [n], n ≤ SCORE_NEAR_CARDS: score_topology_near(); NULL: not made, the same answers slower */
    /* [count] for 0 ≤ count < counts_n: what taking so many cards costs and yields; SCORE_TABLE_NONE: not said */
    const int32_t *loss, *gain;
    uint16_t counts_n;
    bool aligned; /* SCORE_SELECT_BLOCKS: blocks start at multiples of their size, and are of 1, 4, 8 or 16 cards */
};
#define SCORE_PAIR_MAX 1000000
#define SCORE_BOUND_CARDS 8
#define SCORE_TABLE_NONE INT32_MIN

/* Cards of one vendor on a node: devices [first, first + n), sorted by index, then UUID. */
struct score_group {
    uint16_t vendor; /* row of the vendor table */
    uint16_t first, n;
    bool closed, locked; /* none of its cards is given: SCORE_NODE_DEVICES_UNACCOUNTED, SCORE_NODE_LOCKED */
    /* Sums over the group's cards, kept by whoever builds the node, so that scoring need not add them up. */
    int64_t mem_total_mib, mem_used_mib;
    int64_t cores_total_pct, cores_used_pct;
    int64_t shares_total, shares_used;
    const struct score_trait *traits;      /* n; NULL: no card of the group has any */
    const struct score_topology *topology; /* NULL: not known */
};

struct score_node {
    struct str name;
    const struct score_group *groups;
    const struct score_device *devices;
    const struct str *types; /* texts of device types and modes of this cluster; shared by all nodes */
    const struct score_profile *profiles;
    uint16_t groups_n, devices_n, profiles_n;
    uint32_t types_n;
    /* For policies to come: of the whole node, all pods included. 0 = not known. */
    int64_t cpu_alloc_milli, cpu_used_milli, memory_alloc_mib, memory_used_mib;
};

/* Use on top of a node's own, per device (index into score_node.devices): holds of other pods, or a pod's own
 * charges with negative amounts ("minus that pod's own"). May be NULL: nothing. */
struct score_extra {
    int64_t mem_mib;
    int32_t cores_pct, shares;
    uint64_t bits_set, bits_clear; /* of score_trait.bits_used: first cleared, then set */
    int16_t online, offline;
    uint8_t qos; /* policy of the pods whose use this is: score_qos_join(); 0: none */
};

/* ---- what a vendor's cards demand of the core; data, no names of makers ---- */
enum score_check { /* in the order that the vendor's chapter gives; the first that fails names the reason */
    SCORE_CHECK_END,
    SCORE_CHECK_HEALTH,
    SCORE_CHECK_CORDON,
    SCORE_CHECK_TYPE,
    SCORE_CHECK_NUMA,
    SCORE_CHECK_UUID,
    SCORE_CHECK_SLOTS,
    SCORE_CHECK_MUTEX,
    SCORE_CHECK_QUOTA,
    SCORE_CHECK_MEMORY,
    SCORE_CHECK_CORES,
    SCORE_CHECK_EXCLUSIVE,  /* total cores 100, asks 100, in use */
    SCORE_CHECK_ZERO_CORES, /* asks 0 cores, all cores given away */
    SCORE_CHECK_PLACEMENT,  /* no slice of the card is free that would do (MIG) */
    SCORE_CHECK_ONE_CARD,   /* an earlier container of the pod, of the same phase, has another card of the vendor */
    SCORE_CHECK_EQUAL,      /* in use by shares of another size of memory */
    SCORE_CHECK_CLASS,      /* in use by pods of a class that does not share with the pod's */
    SCORE_CHECK_QOS,        /* in use under another QoS policy; whole-card asks do not mind */
    SCORE_CHECK_SOFT,       /* the ask is for a card split in software and the node does not do that */
    SCORE_CHECK_FREE,       /* somebody uses the card */
    SCORE_CHECK_ZONE_MUTEX, /* as MUTEX, and for every card of the same zone */
    SCORE_CHECK_COUNT_
};
/* How an ask's amounts become those of a card. */
enum score_amount {
    SCORE_AMOUNT_PLAIN,   /* MiB or percent of the card's memory; cores as asked, at most 100 */
    SCORE_AMOUNT_UNITS,   /* cores are percent of the card's units: clamp(units · percent / 100, 1, units); 0 cores: all
                           * units if the memory is the whole card's, else none. No memory asked: the whole card's */
    SCORE_AMOUNT_BITS,    /* cores are a number of the card's bits (score_trait), the lowest free ones; 0: all of them,
                           * and then the card must be unused */
    SCORE_AMOUNT_PROFILE, /* the smallest of the node's profiles that does: by ask.slices, else by memory and cores */
};
/* Which cards together, where an ask is for several; or which one, where it matters to later asks. */
enum score_select {
    SCORE_SELECT_EACH,    /* one by one as the card policy likes them */
    SCORE_SELECT_PAIRS,   /* under policy.topology_aware: the greatest sum of pair values; one: the least connected */
    SCORE_SELECT_ZONES,   /* of the largest zones first; where a card of the group has no zone: one by one */
    SCORE_SELECT_ZONES_FIT, /* whole cards: of the smallest zone that has enough, else of zones from small to large, then
                             * of cards without a zone (zone ≤ 0); others and classes: as the class rules say */
    SCORE_SELECT_MODULES, /* more than one: whole modules of two cards (index / 2); nothing else will do */
    SCORE_SELECT_WINGS,   /* 1, 2, 4 or 8 linked cards of two wings of four, by index; nothing else will do */
    SCORE_SELECT_BLOCKS,  /* more than one: a run of free neighbours (topology.aligned); nothing else will do */
};
/* How good the cards are together, beside the utilisation that every node's score is made of. */
enum score_quality {
    SCORE_QUALITY_NONE,
    SCORE_QUALITY_PAIRS, /* sum of pair values (policy.topology_aware only) */
    SCORE_QUALITY_ZONES, /* share of the cards that are of the commonest zone */
    SCORE_QUALITY_TABLE, /* topology.loss and .gain of the number of cards */
    SCORE_QUALITY_LINKS, /* pairs of one zone taken, left over and torn; online pods: fewer neighbours of a class */
    SCORE_QUALITY_WINGS, /* wings kept whole */
};
struct score_vendor {
    struct str key; /* of requests and allocations, as its row spells it */
    enum score_check checks[SCORE_CHECK_COUNT_]; /* ended by SCORE_CHECK_END */
    /* The code of a failing check where it is not the usual one (fit.c's table), by check; SCORE_FITS: the usual one. */
    enum score_reason reasons[SCORE_CHECK_COUNT_];
    enum score_reason select_reason; /* enough cards would do, but no set of them; SCORE_FITS:
                                      * AllocatedCardsInsufficientRequest */
    enum score_amount amount;
    enum score_select select;
    enum score_quality quality;
};

/* The code that a failing check of the row gives. */
enum score_reason score_check_reason(const struct score_vendor *vendor, enum score_check check);

/* ---- what is asked for ---- */
struct score_ask { /* one container, one vendor; amounts per card */
    uint16_t container; /* index, init containers first */
    uint16_t vendor;
    int32_t count;     /* cards, ≥ 1 */
    int64_t mem_mib;   /* 0: mem_pct counts */
    int32_t mem_pct;   /* 1…100 of the card's total, rounded down; 0 when mem_mib counts; both 0: no memory */
    int32_t cores_pct; /* 0: shareable, no core limit */
    int32_t slices;    /* SCORE_AMOUNT_PROFILE: of so many slices; 0: by mem_mib and cores_pct */
    bool soft;         /* a card split in software: SCORE_CHECK_SOFT; its cores are 100 then, whatever is registered */
    bool mem_guess;    /* SCORE_AMOUNT_PROFILE: mem_mib as the user wrote it, GiB if it is at most twice the GiB of the
                        * node's last profile, else MiB (vendors-b.md 2g) */
    bool by_cores;     /* whole cards, asked for by their cores; the core does not read it, what is written of the
                        * decision names cores then (vendors-b.md 4j) */
};

enum score_step { SCORE_STEP_INIT, SCORE_STEP_SIDECAR, SCORE_STEP_APP };

enum score_class { SCORE_CLASS_NONE, SCORE_CLASS_ONLINE, SCORE_CLASS_OFFLINE };

struct score_selection { /* of one vendor; from the pod's annotations; entries trimmed, none empty */
    uint16_t vendor;
    bool use_type_set, use_uuid_set; /* set with no entries matches nothing */
    const struct str *use_types, *nouse_types; /* substring of the device type, ASCII case folded; nouse wins */
    uint16_t use_types_n, nouse_types_n;
    const struct str *use_uuids, *nouse_uuids; /* exact */
    uint16_t use_uuids_n, nouse_uuids_n;
    bool mode_set;
    struct str mode; /* the device's mode must be a substring of it */
    bool numa_bind;  /* all cards of one container are of one NUMA node */
    enum score_class app_class; /* SCORE_CHECK_CLASS */
    uint8_t qos;                /* SCORE_CHECK_QOS: number of the policy, 0: none */
    bool links; /* SCORE_QUALITY_LINKS counts the links of whole cards; online pods' neighbours always count */
};

enum score_key { SCORE_KEY_NONE, SCORE_KEY_BINPACK, SCORE_KEY_SPREAD, SCORE_KEY_NUMA, SCORE_KEY_COUNT_ };
struct score_policy {
    bool node_spread;           /* else binpack */
    enum score_key card[3];     /* chain: first difference decides; ended by SCORE_KEY_NONE */
    bool card_mutex;            /* only cards nobody uses (token "mutex") */
    bool topology_aware;        /* token "topology-aware": SCORE_SELECT_PAIRS */
    int32_t weight_slot, weight_core, weight_mem; /* of a card's utilisation; not negative, not all zero, ≤ 1,000,000 */
};
#define SCORE_POLICY_DEFAULT                                                                       \
    (struct score_policy) { .card = {SCORE_KEY_SPREAD, SCORE_KEY_NUMA}, .weight_slot = 1, .weight_core = 1, .weight_mem = 1 }

/* What a namespace may still take of one vendor, effective amounts; the pod's own use already given back. */
struct score_quota {
    uint16_t vendor;
    bool mem_set, cores_set;
    int64_t mem_left_mib, cores_left_pct; /* may be negative */
};

struct score_request {
    const struct score_vendor *vendors; /* the table; asks and groups index it */
    uint16_t vendors_n;
    const enum score_step *steps; /* one a container, init containers first */
    uint16_t containers_n;
    const struct score_ask *asks; /* sorted by container, then vendor; at least one */
    uint16_t asks_n;
    const struct score_selection *selections; /* at most one a vendor */
    uint16_t selections_n;
    const struct score_quota *quotas; /* at most one a vendor; vendors without a limit are absent */
    uint16_t quotas_n;
    struct score_policy policy;
};

/* Checks a request's shape and bounds (indices, counts, amounts, sortedness); anything that came from outside passes
 * here once before the functions below, which assert it. ERR_INVALID with a text. */
MUST_USE enum err_code score_request_check(const struct score_request *req, struct err *err);

/* ---- the answer ---- */
struct score_verdict {
    bool fits;
    bool unresolvable;     /* !fits: would not fit even if nobody used the node, the quota being as it is */
    score_reasons reasons; /* !fits: the set */
    int64_t score;         /* fits: higher is better under the policy; 0…SCORE_MAX */
};
#define SCORE_MAX 1000000

/* One share of one card. */
struct score_part {
    uint16_t ask;    /* index in the request */
    uint16_t device; /* index in the node */
    int64_t mem_mib; /* resolved: percent is already converted */
    int32_t cores_pct;
    uint16_t shares;  /* of the card's shares; 1 but for slices. 0, where nobody said, counts as 1 */
    uint16_t profile; /* 1 + index in score_node.profiles; 0: none */
    uint64_t bits;    /* of score_trait.bits_total; 0: none */
};
struct score_placement {
    uint16_t parts_n; /* in order of asks, and inside an ask in the order taken */
    struct score_part parts[SCORE_PARTS_MAX];
};

/* Why and how many cards, for explain, logs and events; filled on demand only. */
struct score_detail {
    int32_t counts[SCORE_REASON_COUNT_]; /* cards that failed with this reason (last ask tried) */
    int32_t candidates;                  /* cards of the vendor on the node */
    uint16_t ask;                        /* the ask that did not fit */
    int64_t wanted, free, total;         /* of the best card for the reason below, in its unit */
    enum score_reason reason;            /* the one most cards gave; ties: first in the vendor's order */
};

/* A request made ready for many nodes: type masks and such. Opaque to callers, caller's memory.
 * `types` are the cluster's type and mode texts (score_node.types of every node that will be asked about). */
struct score_prepared {
    const struct score_request *req;
    /* per selection: bit t set = device type t (mode t) is allowed; at most SCORE_TYPES_MAX texts */
    uint64_t *type_ok, *mode_ok;
    uint32_t words; /* 64-bit words a selection */
    bool simple;    /* one app container or sidecar, one ask of one card: the fast way applies. May be cleared:
                     * the general way gives the same answers (tests hold it to that) */
    uint32_t types_n;               /* how many texts the masks know */
    const struct score_plan *plans; /* one a vendor asked for, by vendor (src/score/priv.h) */
    uint16_t plans_n;
    uint16_t parts_n; /* shares of a placement */
};
#define SCORE_TYPES_MAX 4096
/* Allocates from `arena`; ERR_NO_MEMORY, or ERR_TOO_LARGE beyond SCORE_TYPES_MAX. */
MUST_USE enum err_code score_prepare(const struct score_request *req, const struct str *types, uint32_t types_n,
                                     struct arena *arena, struct score_prepared *ret, struct err *err);

/* Does it fit, and how good is it. `extra` has devices_n elements or is NULL. Costs O(cards). */
void score_node_check(const struct score_prepared *prep, const struct score_node *node,
                      const struct score_extra *extra, struct score_verdict *ret);
/* The same, and the cards (fits), and why not (detail, may be NULL). Agrees with score_node_check on every input,
 * but for the score by pairs of more than SCORE_BOUND_CARDS cards, which the check takes from a bound. */
void score_node_place(const struct score_prepared *prep, const struct score_node *node,
                      const struct score_extra *extra, struct score_verdict *ret,
                      struct score_placement *placement, struct score_detail *detail);

/* Effective use of a pod on its cards, Kubernetes' rule per card: max(sum of app containers and sidecars,
 * max over init steps of (that step + sidecars started before it)). One element a distinct device. */
struct score_use {
    uint16_t device;
    uint16_t vendor;
    int64_t mem_mib;
    int32_t cores_pct, shares;
    uint64_t bits; /* all that any container has: a slice is made once for the pod's life */
};
/* `device` of a part may be any number that identifies the card (an interned id below 65536). Returns how many of
 * `ret` (room for parts_n) were written, sorted by device. */
uint16_t score_effective_use(const enum score_step *steps, const struct score_ask *asks,
                             const struct score_part *parts, uint16_t parts_n, struct score_use *ret);

/* The QoS policy of a card that a pod with `pod` joins; 0: none. Two that contradict each other (pods of others, holds) are
 * SCORE_QOS_MIXED, which is nobody's. The order does not matter. */
#define SCORE_QOS_MIXED UINT8_MAX
uint8_t score_qos_join(uint8_t card, uint8_t pod);

/* What score_topology.bound holds for the pairs of n ≤ SCORE_BOUND_CARDS cards: 2^n · (n + 1) numbers; INT64_MIN where
 * the mask has fewer than k cards. */
void score_topology_bound(const int32_t *pair, uint16_t n, int64_t *ret);
/* score_topology.near of the pairs of n ≤ SCORE_NEAR_CARDS cards: n elements. */
void score_topology_near(const int32_t *pair, uint16_t n, struct score_near *ret);

/* Raw scores of the listed nodes → 0…max, min–max over the list; all equal: all max. */
void score_scale(const int64_t *raw, size_t n, int64_t max, int64_t *ret);

#endif
