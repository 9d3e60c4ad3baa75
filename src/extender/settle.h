/* Proofs of what became of a Binding, and the thread that settles what could not be proved while kube-scheduler waited. */
#ifndef CARDINAL_EXTENDER_SETTLE_H
#define CARDINAL_EXTENDER_SETTLE_H

#include "extender/turn.h"

/* How long after we gave a write up it can still land. A server ends a request at its ?timeout=; what it had handed to
 * etcd by then may take etcd's own time (some 7 s). A lock later than the first bound (behind ext_write_ms()) is a nuisance
 * that its age ends; a Binding later than the second would be a card given twice (docs/design/verbs.md). */
#define EXT_LOCK_LANDED_MS    1000
#define EXT_BINDING_LANDED_MS 30000
#define EXT_LOCKS_MAX         4 /* kinds of node locks one pod can need */

/* A live GET; the pod's strings live in `arena`. */
MUST_USE enum err_code ext_pod_get(struct ext_app *app, struct arena *arena, struct str ns, struct str name,
                                   struct cluster_pod *ret, struct err *err);

/* ---- what became of it ---- */
struct ext_settle { /* one bind whose outcome is not known, or locks that could not be released */
    struct ext_settle *next;
    struct ext_app *app;
    char ns[EXT_NAME_MAX], name[EXT_NAME_MAX], uid[EXT_NAME_MAX], node[EXT_NAME_MAX];
    char resource_version[KUBE_RV_MAX]; /* the Binding's precondition */
    bool binding;                       /* false: only the locks are left */
    bool busy;                          /* somebody looks at it just now */
    int64_t since_ms;                   /* its writes were given up before this; 0: not asked about yet */
    int64_t due_ms, pause_ms;           /* of the next look */
    int retry_after_ms;                 /* what the last one was told */
    size_t locks_n;
    struct ext_lock {
        struct str key;
        bool time_only;             /* it is a bare time: ours by its value alone */
        char value[LEASE_LOCK_MAX]; /* as we wrote it */
    } locks[EXT_LOCKS_MAX];
};
enum ext_proof { EXT_PROOF_NONE, EXT_PROOF_BOUND, EXT_PROOF_NEVER };
/* A status patch under the Binding's resourceVersion, with a value never written before: if it lands, the Binding never
 * can. If not, a GET says which came first. */
enum ext_proof ext_settle_fence(struct arena *arena, struct ext_settle *e);
/* Confirms, or forgets and releases the locks; false: locks are left: they could not be released, or a write of one that was
 * given up may still land. */
MUST_USE bool ext_settle_act(struct ext_settle *e, enum ext_proof proof);
/* Keeps a copy for the rounds. */
void ext_settle_later(struct ext_binds *binds, const struct ext_settle *e);
/* Whether a bind of a pod of that name to the node is being settled: its Binding may still land, and its
 * locks be released under that name. */
bool ext_settle_is(struct ext_binds *binds, struct str ns, struct str pod, struct str node);
/* One look at each bind that is not settled and whose time has come; each is looked at less often every time. The thread's,
 * and tests'. */
void ext_settle_round(struct ext_binds *binds, struct arena *arena);

#endif
