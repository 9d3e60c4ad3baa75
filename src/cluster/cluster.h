/* What we know of nodes and pods: decoding, the ledger with its one writer, immutable snapshots, holds.
 *
 * One writer owns the state (calls serialised by the store's own lock, held for memory work only); readers take
 * snapshots, shared by reference count, in which nothing ever changes. No I/O, no logging, no clock of its own: time
 * comes in as an argument (monotonic ms). All functions are thread-safe unless said otherwise.
 *
 * Precedence of claims: bound > assumed > the bind at hand > holds. */
#ifndef CARDINAL_CLUSTER_CLUSTER_H
#define CARDINAL_CLUSTER_CLUSTER_H

#include "base/err.h"
#include "base/str.h"
#include "score/score.h"
#include "vendor/vendor.h"

struct cluster_config {
    const struct vendor_table *vendors; /* outlives everything here */
    struct str node_policy, card_policy; /* defaults: --node-scheduler-policy, --gpu-scheduler-policy */
    const struct str *node_selector;    /* pairs key, value: --node-label-selector; others are ignored nodes */
    size_t node_selector_n;             /* number of strings (twice the pairs) */
    bool adopt_unbound;                 /* --adopt-unbound: HAMi's decisions for pods that are not bound count for a minute */
    bool assume_admitted;               /* file mode: a pod that did not pass admission counts as if it had */
    uint32_t nodes_max, pods_max;       /* 0: 20,000 and 500,000 */
    uint32_t annotation_max;            /* bytes of one annotation value that we read; 0: 256 KiB */
    uint64_t hash_seed;
    int64_t lock_expire_ms;             /* --node-lock-timeout; 0: 5 minutes */
};

/* ================= decoding: JSON bytes → what we need, nothing else ================= */

enum cluster_phase { CLUSTER_PENDING, CLUSTER_RUNNING, CLUSTER_SUCCEEDED, CLUSTER_FAILED, CLUSTER_PHASE_OTHER };
enum cluster_wants {
    CLUSTER_WANTS_NOTHING, /* asks for none of our resources */
    CLUSTER_WANTS_CARDS,   /* `request` is ready but for quotas */
    CLUSTER_WANTS_REFUSED, /* asks for what can't be read or served: refused_reason, refused_text */
};

struct cluster_share { /* one share as an annotation or a decision of ours names it */
    uint16_t container, vendor;
    struct str uuid;
    int64_t mem_mib;
    int32_t cores_pct; /* in the row's measure, as score_part.cores_pct */
    uint16_t shares;   /* of the card's shares: 1 but for slices */
    uint64_t bits;     /* score_trait.bits_total's that it has; 0: none, or nobody knows which */
};

struct cluster_pod { /* strings point into the text, the arena, or (clones) the block itself */
    struct str uid, ns, name, resource_version, node, nominated_node, scheduler_name;
    enum cluster_phase phase;
    bool deleting;      /* has a deletion timestamp */
    bool terminated;    /* every container of the spec has a terminated status */
    bool started;       /* container statuses exist */
    bool gated;         /* has scheduling gates */
    bool soft_wishes;   /* preferred affinity, soft spreading: filter answers all nodes */
    bool reserved_keys; /* carries allocation keys that a Binding of ours would not overwrite */
    int32_t priority;
    int64_t cpu_milli, memory_mib; /* effective requests, Kubernetes' rule */

    uint16_t containers_n;
    const enum score_step *steps;
    const struct str *container_names;

    enum cluster_wants wants;
    enum score_reason refused_reason;
    struct str refused_text;
    struct score_request request; /* quotas NULL */

    /* what its annotations say; the phase texts as they are */
    struct str vgpu_node, bind_phase;
    struct str node_label; /* the label of the same name as vgpu_node; empty: none */
    const struct cluster_share *shares; /* decoded `-allocated` lists of all vendors */
    uint16_t shares_n;
    bool shares_broken; /* a list is there that can't be decoded, contradicts or is negative: charge fail-closed */
    bool to_allocate_left; /* a `-to-allocate` list of a row that needs the node's lock still has something */

    /* Sets of vendors, bit n: row n of the table. */
    uint64_t vendors_asked;         /* some container asks for it, or names amounts of it that can't be read */
    uint64_t vendors_broken;        /* of these: what is asked for is not (wholly) in `request.asks` */
    uint64_t shares_broken_vendors; /* whose list is broken; shares_broken: not empty */
};

/* `text`: one Pod, as kube-apiserver or (fold: key case folded, Go's encoding/json) kube-scheduler sends it.
 * ERR_BAD_REQUEST: not a pod (syntax, type, no name); ERR_TOO_LARGE: beyond a limit. What is wrong only with the ask
 * is not an error but CLUSTER_WANTS_REFUSED. */
MUST_USE enum err_code cluster_pod_decode(const struct cluster_config *cfg, struct str text, bool fold,
                                          struct arena *arena, struct cluster_pod *ret, struct err *err);
/* One heap block, free() it. NULL: no memory. */
struct cluster_pod *cluster_pod_clone(const struct cluster_pod *pod);

struct cluster_node_cards { /* of one vendor */
    uint16_t vendor;
    const struct vendor_device *devices;
    uint16_t devices_n;
    bool alive;          /* vendor_alive() */
    struct str cordon;   /* the list as written */
    struct str broken;   /* why the registration was refused; p NULL: it was not */
    /* as vendor_cards_decode() gave them */
    const struct score_profile *profiles;
    uint16_t profiles_n;
    struct score_topology topology; /* n 0: none; else the devices are sorted by (index, id) */
    struct str topology_fault, card_fault;
};
struct cluster_node_object {
    struct str name, uid, resource_version, lock; /* lock: the one that names its owner; p NULL: none */
    bool ignored;        /* not matched by the node selector */
    int64_t cpu_alloc_milli, memory_alloc_mib;
    const struct cluster_node_cards *cards;
    uint16_t cards_n;
};
MUST_USE enum err_code cluster_node_decode(const struct cluster_config *cfg, struct str text, bool fold,
                                           struct arena *arena, struct cluster_node_object *ret, struct err *err);

struct cluster_quota_object {
    struct str ns, name;
    struct {
        uint16_t vendor;
        bool mem; /* else cores */
        int64_t limit;
    } limits[2 * SCORE_VENDORS_MAX]; /* effective units: MiB (factor applied), percent; fractions rounded down */
    uint16_t limits_n;
    bool broken; /* a limit of ours could not be read: counts as 0 and is reported */
};
MUST_USE enum err_code cluster_quota_decode(const struct cluster_config *cfg, struct str text, struct arena *arena,
                                            struct cluster_quota_object *ret, struct err *err);
/* Name and UID of any object, for deletions and for objects that can't be read: the text may be an object's beginning, or be
 * wrong behind them. */
MUST_USE enum err_code cluster_identity_decode(struct str text, struct arena *arena, struct str *ret_ns,
                                               struct str *ret_name, struct str *ret_uid, struct err *err);

/* ================= the store ================= */

struct cluster_store;
/* The config's strings must outlive the store. */
MUST_USE enum err_code cluster_store_new(const struct cluster_config *cfg, struct cluster_store **ret, struct err *err);
void cluster_store_free(struct cluster_store *st);
const struct cluster_config *cluster_store_config(const struct cluster_store *st);

/* ---- the truth arrives: watch events and lists ----
 * Each is total: what can't be taken is charged fail-closed or refused with ERR_TOO_LARGE (a limit), ERR_NO_MEMORY.
 * Repeating one changes nothing. */
MUST_USE enum err_code cluster_apply_node(struct cluster_store *st, const struct cluster_node_object *node, struct err *err);
void cluster_delete_node(struct cluster_store *st, struct str name, struct str uid);
MUST_USE enum err_code cluster_apply_pod(struct cluster_store *st, const struct cluster_pod *pod, struct err *err);
void cluster_delete_pod(struct cluster_store *st, struct str uid);
MUST_USE enum err_code cluster_apply_quota(struct cluster_store *st, const struct cluster_quota_object *quota, struct err *err);
void cluster_delete_quota(struct cluster_store *st, struct str ns, struct str name);
/* A relist: apply every object of the kind between begin and end; what was not seen in between is deleted at the end.
 * Snapshots taken meanwhile show what was applied so far, and nothing has gone yet. Pods whose Binding is in flight stay
 * (a charge ends by proof only); so do those that were confirmed since the relist began. abort: nothing is deleted.
 * One relist of a kind at a time. The end of a relist of pods also recomputes all sums; differences are `repairs`. */
enum cluster_kind { CLUSTER_NODES, CLUSTER_PODS, CLUSTER_QUOTAS, CLUSTER_KIND_COUNT_ };
void cluster_relist_begin(struct cluster_store *st, enum cluster_kind kind);
void cluster_relist_end(struct cluster_store *st, enum cluster_kind kind);
void cluster_relist_abort(struct cluster_store *st, enum cluster_kind kind);
/* The list has this pod or quota, but it can't be read: what is known of it stays. */
void cluster_relist_keep_pod(struct cluster_store *st, struct str uid);
void cluster_relist_keep_quota(struct cluster_store *st, struct str ns, struct str name);

/* ---- snapshots ---- */
struct cluster_snapshot;
struct cluster_snapshot *cluster_store_snapshot(struct cluster_store *st); /* never NULL; unref it */
void cluster_snapshot_unref(struct cluster_snapshot *s);

struct cluster_fault { /* what of a node's cards could not be taken, wholly or in part */
    uint16_t vendor;
    struct str text;
};
struct cluster_node { /* as a snapshot shows it; lives as long as the snapshot */
    struct score_node score;
    uint64_t generation; /* changes with anything in `score` but the sums of CPU and memory; never repeats in a process */
    uint32_t slot;       /* stable while the node exists; < cluster_snapshot_slots() */
    uint32_t near; /* bytes from score.groups on that score_node_check() reads: groups, devices, traits; 0: not in one block */
    /* up to here: what a filter reads of thousands of nodes */
    struct str uid, lock;
    uint32_t pods; /* pods charged here */
    uint16_t broken_n; /* registrations that could not be read */
    uint16_t faults_n;
    const struct cluster_fault *faults; /* why, and what is wrong with those that could */
};
uint32_t cluster_snapshot_nodes(const struct cluster_snapshot *s); /* how many nodes */
uint32_t cluster_snapshot_slots(const struct cluster_snapshot *s); /* slots in use or once used */
const struct cluster_node *cluster_snapshot_find(const struct cluster_snapshot *s, struct str name); /* NULL: unknown */
/* The same for many names, faster. */
void cluster_snapshot_find_all(const struct cluster_snapshot *s, const struct str *name, size_t n,
                               const struct cluster_node **ret);
const struct cluster_node *cluster_snapshot_at(const struct cluster_snapshot *s, uint32_t slot);     /* NULL: empty slot */
const struct str *cluster_snapshot_types(const struct cluster_snapshot *s, uint32_t *ret_n);
/* What the namespace may still take, holds of others included, with the use of pod `uid` given back. Fills at most
 * SCORE_VENDORS_MAX elements, returns how many. */
uint16_t cluster_quota_left(struct cluster_store *st, struct str ns, struct str uid, int64_t now_ms,
                            struct score_quota *ret);
/* nodeCacheCapable=false: inventory from `object`, use from the snapshot's node of that name and UID (none: nobody
 * uses it). From the arena. */
MUST_USE enum err_code cluster_snapshot_simulate(const struct cluster_snapshot *s, const struct cluster_config *cfg,
                                                 const struct cluster_node_object *object, struct arena *arena,
                                                 struct cluster_node *ret, struct err *err);

/* ---- equal asks on unchanged nodes are not computed twice ---- */
struct cluster_class; /* an equivalence class of requests; referenced, shared */
/* The class of a request (with its quotas): canonical bytes, compared whole. NULL: no memory (compute without). */
struct cluster_class *cluster_class_get(struct cluster_store *st, const struct score_request *req);
void cluster_class_unref(struct cluster_class *c);
/* score_node_check() through the class's memory of (slot, generation); c may be NULL. Lock-free. */
void cluster_class_check(struct cluster_class *c, const struct score_prepared *prep, const struct cluster_node *node,
                         struct score_verdict *ret);
/* The same for many nodes (NULL: skipped, its verdict is not touched), with overlapping waits for memory. */
void cluster_class_check_all(struct cluster_class *c, const struct score_prepared *prep,
                             const struct cluster_node *const *nodes, size_t n,
                             struct score_verdict *ret);

/* ---- decisions of ours ---- */
struct cluster_decision { /* borrowed */
    const struct cluster_pod *pod;
    const struct cluster_node *node; /* of `snapshot` */
    const struct score_placement *placement;
};
/* Charges the decision in the ledger if the node, the namespace's quota use and the pod are still as in the snapshot;
 * ERR_CONFLICT: they moved, decide again. Ends the pod's holds. An assumed decision of the same pod on another node, or
 * the pod being bound or ended, is ERR_INVALID with a text. */
MUST_USE enum err_code cluster_assume(struct cluster_store *st, const struct cluster_snapshot *snapshot,
                                      const struct cluster_decision *d, struct err *err);
/* Whether a decision that was assumed, and whose Binding was not sent yet, is right still: the pod is there, each of its
 * cards is, healthy and not cordoned, and none is over a total. */
bool cluster_decision_stands(struct cluster_store *st, struct str uid);
/* The Binding was answered with success: the charge stays until the watch shows the pod's end. */
void cluster_confirm(struct cluster_store *st, struct str uid);
/* A GET shows the pod bound to a node, and nobody has said by whose Binding. If a decision of ours for it is still open,
 * what the pod says is charged: the decision if its annotations name it, else as for a pod that others bound. */
MUST_USE enum err_code cluster_adopt(struct cluster_store *st, const struct cluster_pod *pod, struct err *err);
/* Pods that are charged although the last relist did not have them, and that nothing has shown since: their Binding was
 * answered while the list was made. A GET of each says whether it is there: then the doubt ends; else cluster_delete_pod().
 * At most `max`, in the arena. Cheap when there are none, which is always but after a relist in the middle of binds. */
struct cluster_pod_ref {
    struct str ns, name, uid;
};
size_t cluster_doubts(struct cluster_store *st, size_t max, struct arena *arena, struct cluster_pod_ref **ret);
void cluster_doubt_ends(struct cluster_store *st, struct str uid);
/* Surely not bound: the charge ends. Nothing when the watch has shown the pod bound meanwhile. */
void cluster_forget(struct cluster_store *st, struct str uid);

/* What bind needs of a pod that filter or the watch has shown: a clone, the newer of the two (free() it); NULL: unknown. */
struct cluster_pod *cluster_pod_find(struct cluster_store *st, struct str ns, struct str name, struct str uid);
/* The shares that the ledger charges for the pod, for joins ("already bound to this node by us"). */
enum cluster_state { CLUSTER_STATE_UNKNOWN, CLUSTER_STATE_WAITING, CLUSTER_STATE_ASSUMED, CLUSTER_STATE_BOUND };
enum cluster_state cluster_pod_state(struct cluster_store *st, struct str uid, char *ret_node, size_t node_max);

/* What is wrong with a bound pod's annotations, as the ledger found: for telling, when it changes. */
struct cluster_trouble {
    bool fail_closed, tampered; /* as in cluster_pod_view */
};
struct cluster_trouble cluster_pod_trouble(struct cluster_store *st, struct str uid);

/* Whether another pod that is bound to the node still waits for its cards: lists that its plugin serves under the node's
 * lock are left, and no container has begun. Some plugins unlock after the first container (node-side.md 7): who takes the
 * lock then gets the next one's call. */
bool cluster_node_serving(struct cluster_store *st, struct str node, struct str except_uid);

/* What time it is (wall clock, as locks are written), told before snapshots are taken. A lock older than lock_expire_ms
 * whose owner is bound to the node and still waits for its cards (cluster_node_serving()) shuts the node for all rows whose
 * plugins need that lock (SCORE_NODE_LOCKED): its kubelet is away, and would take the list of whoever came next. */
void cluster_locks_age(struct cluster_store *st, int64_t wall_ms);

/* Pods that adopt_unbound took in are let go a minute after the first call that follows; time as for holds, told before
 * snapshots are taken. drop: now; whoever asks about the pod itself decides for it anew. */
void cluster_adopted_age(struct cluster_store *st, int64_t now_ms);
void cluster_adopted_drop(struct cluster_store *st, struct str uid);

/* ---- holds (architecture 3): in memory, beside the snapshots ---- */
#define CLUSTER_HOLD_NODES_MAX 16
#define CLUSTER_HOLDS_MAX 65536
#define CLUSTER_HOLD_MS 30000
#define CLUSTER_HOLD_PAUSE_MS 60000
struct cluster_hold {
    const struct cluster_node *node;
    const struct score_placement *placement;
};
/* Replaces the pod's holds, the best first. certain: it was told of just one node. Within the pause nothing is held; ages count from the
 * first filter since the last bind. Keeps a clone of the pod. */
void cluster_hold(struct cluster_store *st, const struct cluster_pod *pod, const struct cluster_hold *holds,
                  uint16_t holds_n, bool certain, int64_t now_ms);
void cluster_hold_drop(struct cluster_store *st, struct str uid);
/* Use of holds of other pods on a node, summed per device; false: none. `certain_only`: leave likely ones out.
 * *ret_likely counts the likely holds there (may be NULL): 1 each, CLUSTER_HOLD_NODES_MAX where the node is the first of those
 * that the pod was told, since that is what kube-scheduler most likely picks. ret has room for the node's devices. */
bool cluster_hold_extra(struct cluster_store *st, const struct cluster_node *node, struct str except_uid,
                        bool certain_only, int64_t now_ms, struct score_extra *ret, uint32_t *ret_likely);
/* The same, knowing who asks: what only status.nominatedNodeName keeps alive (beyond CLUSTER_HOLD_MS) does not stand
 * against a higher priority. cluster_hold_extra() asks as the lowest. */
struct cluster_hold_query {
    struct str except_uid;
    int32_t priority; /* the asking pod's */
    bool certain_only;
    int64_t now_ms;
};
bool cluster_hold_extra_for(struct cluster_store *st, const struct cluster_node *node,
                            const struct cluster_hold_query *query, struct score_extra *ret, uint32_t *ret_likely);
uint32_t cluster_holds_count(struct cluster_store *st);

/* ================= looking at it: /v1, /metrics ================= */
struct cluster_stats {
    uint64_t nodes, nodes_with_cards, devices, pods, pods_charged, pods_waiting, assumed, holds, holds_dropped;
    uint64_t pods_gated;    /* of those that wait, with scheduling gates: kube-scheduler does not ask about them */
    uint64_t nodes_locked;  /* a lock that names its owner stands on them */
    uint64_t nodes_overdue; /* of these, refused with SCORE_NODE_LOCKED: the handover takes longer than lock_expire_ms */
    uint64_t applied_nodes, applied_pods, applied_quotas, tampered, fail_closed, repairs, lent, generation;
};
void cluster_store_stats(struct cluster_store *st, struct cluster_stats *ret);

/* What recent pods asked for of one vendor in one container, the commonest first; amounts as in score_ask. Each pod counts
 * once, when it is first known; older ones count for less and less. ret has room for CLUSTER_ASKS_MAX. */
#define CLUSTER_ASKS_MAX 64
struct cluster_ask_shape {
    uint16_t vendor;
    int32_t cards;
    int64_t mem_mib;
    int32_t mem_pct, cores_pct, slices;
    uint32_t n;
};
uint16_t cluster_recent_asks(struct cluster_store *st, struct cluster_ask_shape *ret);

struct cluster_pod_view { /* copied into the arena */
    struct str ns, name, uid, node;
    enum cluster_state state;
    bool fail_closed, tampered;
    const struct cluster_share *shares; /* as charged; uuid "" = closes the vendor */
    const struct str *share_containers; /* container names, same length */
    uint16_t shares_n;
};
/* Pods with charges (or waiting with an ask), ordered by namespace, name; those after (after_ns, after_name), of one
 * node if node is not empty. Bounded by `limit`. Returns how many; *ret_more says whether others follow. */
MUST_USE enum err_code cluster_list_pods(struct cluster_store *st, struct str node, struct str after_ns,
                                         struct str after_name, size_t limit, struct arena *arena,
                                         struct cluster_pod_view **ret, size_t *ret_n, bool *ret_more, struct err *err);
struct cluster_quota_view {
    struct str ns;
    uint16_t vendor;
    bool mem, limit_set;
    int64_t used, limit;
};
MUST_USE enum err_code cluster_list_quotas(struct cluster_store *st, size_t limit, struct arena *arena,
                                           struct cluster_quota_view **ret, size_t *ret_n, struct err *err);

/* Recomputes everything from the records and compares; the number of differences (0). In builds with
 * --enable-ledger-check every change does so and asserts. */
size_t cluster_store_verify(struct cluster_store *st);

#endif
