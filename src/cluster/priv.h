/* The insides of the store: records of pods, entries of nodes, namespaces, and what snapshots
 * share.
 *
 * Three locks: store->lock (everything in struct cluster_store that is not said to be otherwise),
 * holds->lock (hold.c; may be taken inside the store's, never the other way), classes->lock
 * (class.c; inside no other and none inside it). What a snapshot reaches is immutable and counted.
 */
#ifndef CARDINAL_CLUSTER_PRIV_H
#define CARDINAL_CLUSTER_PRIV_H

#include "base/hash.h"
#include "cluster/cluster.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum {
    NODES_MAX = 20000,
    PODS_MAX = 500000,
    LOCK_EXPIRE_MS = 300000, /* HAMi's, contract/core.md 8 */
    CARDS_MAX = 4096, /* names of cards that the pods of one node may use; beyond it they close the
                         vendor */
    TYPE_TEXT_MAX =
        256,    /* bytes of a device's type or mode; longer ones are registered as unhealthy */
    CHUNK = 64, /* nodes that are published together */
};
#define NO_SLOT UINT32_MAX

/* ---- a table of things that begin with their hash ---- */

struct table {
    void **slot; /* linear probing; NULL: free */
    uint32_t cap, n;
};
bool table_reserve(struct table *t); /* room for one more; false: no memory */
void table_put(struct table *t, void *item);
void table_replace(struct table *t, const void *old, void *item);
void table_del(struct table *t, const void *item);
void table_done(struct table *t);
/* The next item with that hash; start with *at = 0. NULL: no more. */
static inline void *table_find(const struct table *t, uint32_t hash, uint32_t *at)
{
    if (t->cap == 0)
        return NULL;
    for (;; ++*at) {
        void *item = t->slot[(hash + *at) & (t->cap - 1)];
        if (!item)
            return NULL;
        if (*(const uint32_t *)item == hash) {
            ++*at;
            return item;
        }
    }
}

/* ---- what snapshots share ---- */

struct types { /* texts of device types and modes; only ever grows, readers know how far they may
                  look */
    _Atomic uint32_t refs;
    uint32_t n;
    struct str text[SCORE_TYPES_MAX];
};
struct topology { /* how cards lie to each other: one for all nodes that are alike */
    uint32_t hash;
    _Atomic uint32_t refs;
    size_t bytes; /* of the numbers that make it: pairs, losses, gains */
    struct score_topology pub;
    struct score_near near[SCORE_NEAR_CARDS];
    int32_t numbers[];
};
struct topologies {    /* of all nodes, each kept once */
    struct table of;   /* each holds one reference */
    uint32_t bounds_n; /* those with a table of bounds */
    uint32_t sweep_at; /* beyond so many it is looked which nobody uses any more */
};
struct inventory { /* what one node's object says and never changes: one block */
    _Atomic uint32_t refs;
    uint16_t topologies_n;
    struct topology **topologies; /* counted; the groups point into them */
    struct score_profile *profiles;
    struct cluster_fault *faults;
    char *text;
};
struct snode { /* one node as it was at one moment */
    struct cluster_node pub;
    _Atomic uint32_t refs;
    struct inventory *inv;
    struct score_group *groups;
    struct score_device *devices; /* each a cache line */
    struct score_trait *traits; /* one a device; NULL: no card of the node has any. What of them is
                                   use is the ledger's to fill in, the rest the object's */
};
struct chunk {
    _Atomic uint32_t refs;
    struct snode *node[CHUNK];
};
struct names { /* name → slot; valid beside chunks that hold the same set of nodes */
    _Atomic uint32_t refs;
    uint32_t mask;
    char *text; /* the names in one piece, each behind its length: looking up does not touch the
                   nodes' memory */
    struct {
        uint32_t hash, slot; /* NO_SLOT: free */
        uint32_t at;         /* in text */
    } of[];
};
struct cluster_snapshot {
    _Atomic uint32_t refs;
    uint32_t nodes, slots, types_n;
    uint64_t seed;
    struct types *types;
    struct names *names;
    uint32_t chunks_n;
    struct chunk *chunk[];
};
/* With `traits`, room for one a device; whoever makes the node points its groups there. */
struct snode *snode_new(uint16_t groups_n, uint16_t devices_n, bool traits);
struct snode *snode_copy(const struct snode *from); /* NULL: no memory */
void snode_unref(struct snode *s);
void chunk_unref(struct chunk *c);
void types_unref(struct types *t);

/* ---- records ---- */

struct card {   /* of one node, as far as pods name it: a card is (node, vendor, UUID) */
    char *uuid; /* NULL: this number is free */
    uint32_t hash;
    uint32_t refs;  /* shares that name it */
    int32_t device; /* index in the node's devices; -1: the node has no such card now */
    uint16_t uuid_n, vendor;
};

struct share { /* what one container has of one card, as decided or read */
    int64_t mem_mib;
    int32_t cores_pct;
    uint16_t card;
    uint16_t name_at; /* the container's name within the record's text */
    uint16_t shares;  /* of the card's shares */
    uint8_t container, vendor, name_n;
    uint8_t mem_pct;                 /* not ours: at least so much of the card's memory */
    uint8_t step : 4, app_class : 4; /* enum score_step; enum score_class of the pod */
    uint8_t qos;                     /* score_selection.qos that it brings to the card; 0: none */
};
struct use { /* what the pod takes of one card for its life: score_effective_use of its shares */
    int64_t mem_mib;
    int32_t cores_pct;
    uint16_t card, vendor;
    uint16_t shares;
    uint8_t app_class, qos;
};
struct rare { /* what only some makers' shares have: beside the share, or the use, of its number */
    uint64_t bits, use_bits;
    /* Not ours: at least so many bits (BITS_ALL: all of the card's; else any that the card has are
     * taken to be its), and at least so many percent of the card's units of cores. 0: no matter. */
    uint8_t bits_least, units_pct;
};
#define BITS_ALL 255
_Static_assert(sizeof(struct share) == 24 && sizeof(struct use) == 24,
               "50,000 pods are common, and nearly all have a share or two");

enum record_state {
    REC_WAITING,
    REC_ADOPTED, /* not bound, and decided by another scheduler (adopt.c) */
    REC_ASSUMED,
    REC_CONFIRMED,
    REC_BOUND,
};
enum record_flag {
    REC_OURS = 1 << 0,     /* the shares are a decision of ours, not read from annotations */
    REC_TAMPERED = 1 << 1, /* its annotations no longer say what is charged */
    REC_SEEN = 1 << 2,     /* shown by the watch since the last relist began, or by that relist */
    REC_FRESH = 1 << 3,    /* assumed or confirmed since the last relist began */
    REC_DELETING = 1 << 4,
    REC_VAGUE = 1 << 5, /* a card is taken whole: nobody can tell which bits of it are the pod's */
    REC_LET_GO = 1 << 7,  /* was adopted, and is not again */
    REC_SERVING = 1 << 6, /* waits for cards under the node's lock, as far as its object says */
    REC_DOUBT = 1 << 7,   /* charged, and the last relist did not have it: doubt.c */
};
struct record { /* a pod that asks for cards; one block */
    uint32_t hash;
    uint32_t slot; /* of its node's entry; NO_SLOT: waiting */
    uint32_t pos;  /* in the entry's list */
    uint32_t cpu_milli, memory_mib;
    int32_t priority;
    uint32_t mark; /* of its annotations, or of our decision: see share_mark() */
    uint16_t uid_n, name_n, shares_n, uses_n;
    uint8_t state, flags;
    uint64_t closed; /* vendors that it closes on its node */
    struct space *space;
    struct cluster_pod *clone; /* waiting, assumed */
    struct use *uses;          /* within the block, room for shares_n */
    struct rare *rare;         /* within the block, shares_n; NULL: of no share there is any */
    char *text;                /* uid, name, container names; within the block */
    struct share shares[];
};

struct entry { /* a node: known (cur), or only named by pods */
    uint32_t hash, slot;
    struct snode *cur;                    /* NULL: no object, or one that is ignored */
    struct entry *dirty_next, **dirty_at; /* the list of dirty ones; what points at this one */
    bool dirty;                           /* cur no longer says what its pods use */
    bool seen;                            /* in the relist that goes on */
    struct card *cards;
    uint32_t cards_n, cards_cap;
    struct record **pods;
    uint32_t pods_n, pods_cap;
    uint32_t cpu_pods;             /* CPU-only pods here */
    int64_t cpu_milli, memory_mib; /* requested by all pods */
    struct {                       /* scratch of ledger_verify() */
        int64_t cpu_milli, memory_mib;
        uint32_t cpu_pods, pods;
    } check;
    uint16_t name_n;
    char name[];
};

struct cpu_pod { /* a bound pod that asks for no cards: 32 bytes, and 100,000 of them are common */
    uint64_t uid[2]; /* both 0: free */
    uint32_t slot, cpu_milli, memory_mib;
    uint32_t seen;
};
struct cpu_pods {
    struct cpu_pod *of;
    uint32_t cap, n;
};

struct space_use {
    int64_t mem_mib, cores_pct;
    int64_t check_mem_mib, check_cores_pct; /* scratch of ledger_verify() */
    uint16_t vendor;
};
struct quota {
    struct quota *next;
    bool seen, broken;
    uint16_t limits_n, name_n;
    char *name; /* within the block */
    struct {
        int64_t limit;
        uint16_t vendor;
        bool mem;
    } limits[];
};
struct space {           /* a namespace */
    uint32_t hash, refs; /* records */
    uint32_t check_refs; /* scratch of ledger_verify() */
    struct space_use *use;
    uint16_t use_n, use_cap, name_n;
    struct quota *quotas;
    char name[];
};

struct draft_share {
    struct str uuid, container_name;
    int64_t mem_mib;
    int32_t cores_pct;
    uint8_t container, vendor, step, mem_pct, app_class, qos;
    uint16_t card, shares;
    struct rare rare;
};
struct draft {                      /* a record to be */
    struct str uid, ns, name, node; /* node empty: waiting */
    enum record_state state;
    uint8_t flags;
    uint64_t closed;
    struct cluster_pod *clone; /* taken when the record is put */
    int64_t cpu_milli, memory_mib;
    int32_t priority;
    uint32_t mark;
    uint16_t shares_n; /* of store->scratch->shares */
};
struct scratch { /* the writer's desk: what would be too much for a stack */
    struct draft_share shares[SCORE_PARTS_MAX];
    struct score_part parts[SCORE_PARTS_MAX];
    struct score_ask asks[SCORE_PARTS_MAX];
    struct score_use uses[SCORE_PARTS_MAX];
    enum score_step steps[SCORE_CONTAINERS_MAX];
};

struct asks { /* of recent pods, the commonest first */
    struct cluster_ask_shape of[CLUSTER_ASKS_MAX];
    uint32_t total;
    uint16_t n;
};

struct holds;
struct classes;

struct cluster_store {
    struct cluster_config cfg;
    uint32_t entries_max;
    pthread_mutex_t lock;

    struct table records, nodes, spaces;
    struct cpu_pods cpu;
    struct entry **entries; /* by slot; NULL: free */
    uint32_t slots, slots_cap;
    uint32_t *free_slots;
    uint32_t free_n;

    struct entry *dirty; /* to be recomputed before the next snapshot */
    struct chunk **chunks;
    bool *chunk_dirty;
    bool changed, names_changed; /* since the last snapshot */
    struct types *types;
    struct topologies topologies;
    struct cluster_snapshot *current;
    uint32_t nodes_n;
    uint64_t generation;

    /* Written under the lock. Between due times nothing follows from what time it is. */
    _Atomic int64_t wall_ms, lock_due_ms; /* when locks were looked at; when the next is too old */

    struct adopted *adopted;
    _Atomic uint32_t adopted_n;
    _Atomic int64_t adopted_look_ms; /* the list is not looked at before */

    bool relist[CLUSTER_KIND_COUNT_];
    bool doubts; /* some record may be in doubt */
    struct cluster_stats counts; /* those that only grow */
    struct asks asks;
    struct scratch *scratch;

    struct holds *holds;     /* has a lock of its own */
    struct classes *classes; /* has a lock of its own */
};

/* ---- ledger.c: records and what follows from them; all under the store's lock ---- */
struct record *ledger_find(const struct cluster_store *st, struct str uid);
struct str record_uid(const struct record *r);
struct str record_name(const struct record *r);
struct str space_name(const struct space *s);
struct str entry_name(const struct entry *e);
/* Puts a record in the place of `old` (may be NULL). On failure nothing has changed, and the clone
 * is the caller's. */
MUST_USE enum err_code ledger_put(struct cluster_store *st, struct record *old, struct draft *draft,
                                  struct err *err);
void ledger_remove(struct cluster_store *st, struct record *r);
/* Back to waiting, in place: this can't fail. */
void ledger_uncharge(struct cluster_store *st, struct record *r);
void ledger_cpu_change(struct cluster_store *st, struct record *r, int64_t cpu_milli,
                       int64_t memory_mib);
/* Reads the charge of a pod that others bound into the draft and the scratch. `floor`: at least
 * what it asks for. */
void ledger_read_truth(struct cluster_store *st, const struct cluster_pod *pod, bool floor,
                       struct draft *draft);
bool ledger_says_the_same(const struct cluster_store *st, const struct record *r,
                          const struct draft *draft);
/* Order does not matter: the marks of all shares are added up. */
uint32_t share_mark(const struct cluster_store *st, const struct cluster_share *share);
/* What a pod's share says of the card beside its amounts: the pod's class, and the QoS policy that
 * it brings. */
void ledger_classify(const struct cluster_pod *pod, struct draft_share *share);
MUST_USE enum err_code ledger_cpu_put(struct cluster_store *st, const struct cluster_pod *pod,
                                      struct err *err);
struct cpu_pod *ledger_cpu_find(const struct cluster_store *st, struct str uid);
void ledger_cpu_remove(struct cluster_store *st, struct cpu_pod *p);
struct entry *ledger_entry_find(const struct cluster_store *st, struct str name);
/* Finds or makes; what was made for nothing goes by ledger_entry_release. */
MUST_USE enum err_code ledger_entry_get(struct cluster_store *st, struct str name,
                                        struct entry **ret, struct err *err);
void ledger_entry_release(struct cluster_store *st, struct entry *e);
struct space *ledger_space_find(const struct cluster_store *st, struct str ns);
struct space *ledger_space_get(struct cluster_store *st, struct str ns); /* NULL: no memory */
void ledger_space_release(struct cluster_store *st, struct space *s);
/* More use of a card; what is beyond the types' ranges stays at their end. */
void ledger_add_use(struct score_device *d, int64_t mem_mib, int64_t cores_pct, int64_t shares);
/* Whether more of the card is in use than there is, in a measure that the row's checks look at.
 * What none of them looks at is counted and stands in nobody's way. */
bool ledger_over_total(const struct score_vendor *row, const struct score_device *d);
/* The node's object is now this one (NULL: none). Takes `to`. */
void ledger_node_set(struct cluster_store *st, struct entry *e, struct snode *to);
void ledger_dirty(struct cluster_store *st, struct entry *e);
void ledger_clean(struct entry *e); /* off the list of dirty ones */
MUST_USE bool ledger_refresh(struct cluster_store *st, struct entry *e); /* false: no memory */
/* Differences between what is kept and what follows from the records; with `repair` they are put
 * right. */
size_t ledger_verify(struct cluster_store *st, bool repair);
void ledger_doubt(struct cluster_store *st); /* the end of a relist of pods */
#ifdef CARDINAL_LEDGER_CHECK
void ledger_check(struct cluster_store *st);
#else
static inline void ledger_check(struct cluster_store *st) { (void)st; }
#endif

/* What a namespace may take of the vendor at most, over all its quota objects; false: no limit. */
bool space_limit(const struct space *s, uint16_t vendor, bool mem, int64_t *ret);

/* ---- adopt.c: under the store's lock ---- */
struct adopted;
/* Whether an unbound pod counts by what another scheduler has written on it. r may be NULL. */
bool adopt_is_decided(const struct cluster_store *st, const struct record *r,
                      const struct cluster_pod *pod);
MUST_USE enum err_code adopt_apply(struct cluster_store *st, struct record *r,
                                   const struct cluster_pod *pod, struct err *err);
void adopt_let_go(struct cluster_store *st, struct record *r); /* back to waiting, for good */
void adopt_done(struct cluster_store *st);

void asks_count(struct asks *a, const struct score_request *req); /* asks.c */

/* ---- snapshot.c ---- */
MUST_USE bool
snapshot_publish_locked(struct cluster_store *st); /* false: no memory, the old one stays */
/* The node's object as a node without use; types are interned in the store. */
struct snode *snode_from_object(struct cluster_store *st, const struct cluster_node_object *o);

/* ---- topology.c: under the store's lock ---- */
/* The one that says the same, referenced; NULL: no memory. */
struct topology *topology_get(struct cluster_store *st, const struct score_topology *like);
void topology_unref(struct topology *t); /* any thread */
void topologies_done(struct topologies *all);

/* ---- hold.c, class.c ---- */
struct holds *holds_new(uint32_t slots_max);
void holds_free(struct holds *h);
struct cluster_pod *holds_clone(struct cluster_store *st, struct str uid); /* NULL: not held */
/* Adds up what pods of the namespace hold, except one. */
struct hold_need {
    int64_t mem_mib, cores_pct;
};
void holds_need(struct cluster_store *st, struct str ns, struct str except_uid, int64_t now_ms,
                struct hold_need need[SCORE_VENDORS_MAX]);
void holds_stats(struct cluster_store *st, uint64_t *ret_holds, uint64_t *ret_dropped);
struct classes *classes_new(void);
void classes_free(struct classes *c);

#endif
