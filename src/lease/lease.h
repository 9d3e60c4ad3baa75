/* Who holds a node: the node lock annotation (contract/core.md 8, node-side.md 2.4); and who leads: a Lease object
 * (contract/kubernetes.md 3, docs/design/leadership.md). */
#ifndef CARDINAL_LEASE_LEASE_H
#define CARDINAL_LEASE_LEASE_H

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "kubeclient/kubeclient.h"

/* "<RFC 3339>,<namespace>,<pod>", or the legacy bare time. Pure. */
enum lease_lock_form { LEASE_LOCK_NONE, LEASE_LOCK_OWNED, LEASE_LOCK_LEGACY, LEASE_LOCK_MALFORMED };
struct lease_lock {
    enum lease_lock_form form;
    int64_t time_ns; /* OWNED, LEGACY */
    struct str ns, pod; /* OWNED; borrowed from the value */
};
struct lease_lock lease_lock_parse(struct str value); /* p NULL: NONE */
/* The value for a pod; false when it would not fit. */
bool lease_lock_format(int64_t wall_ns, struct str ns, struct str pod, char *out, size_t out_max);
bool lease_lock_owned_by(const struct lease_lock *lock, struct str ns, struct str pod);

/* Takes the node's lock `key` for a pod by a JSON patch that tests the lock's own old value, never the node's
 * resourceVersion. Present and ours: replaced, so that a release of the old value by whoever wrote it takes nothing of
 * this one. A malformed or legacy value older than `expire_ms`, a holder that is gone (404), terminal, or bound elsewhere
 * is replaced; any other holder: ERR_BUSY with the text of core.md 8.2 ("node … has been locked within …: node lock
 * contention"). Lost the race three times: ERR_BUSY.
 * `may_write` (may be NULL) is asked right before each write is sent; false ends with ERR_CANCELLED.
 * A holder that is not bound yet keeps it while `in_flight` says that its Binding may be on the way; else it is replaced
 * when its lock is older than `expire_ms`, or, where `in_flight` can tell, than LEASE_LOCK_UNBOUND_MS; one that
 * is bound to this node keeps it, however old, unless `served` says that its plugins are done with it. A legacy time more than `expire_ms` in the future counts as expired.
 *   ret_value  the value now on the node (≥ LEASE_LOCK_MAX bytes); ERR_UNKNOWN: the one that was sent
 * ERR_UNKNOWN: the lock may be ours now or later; release it by that value. Other codes as kube_call, but
 * for a 429, which is ERR_UNAVAILABLE: ERR_BUSY says that somebody has the lock. */
#define LEASE_LOCK_MAX 512
/* A Binding follows its lock within seconds (each of our writes ends after two): what has not followed by now died with its
 * process. */
#define LEASE_LOCK_UNBOUND_MS 10000
/* A lock that is a bare time (time_only; contract/vendors-a.md 2.4) says of nobody whose it is: it is replaced when it is
 * older than `expire_ms` or can't be read, and is never "ours already". Ours has microseconds, so that it is known again
 * by its value alone, and that a lock of the same second by somebody else is not taken for it. */
#define LEASE_LOCK_TIME_ONLY_MS 120000 /* what such plugins wait */
struct lease_lock_args {
    struct kube *kube;
    const struct clock *clock;
    struct str node, key, ns, pod, uid;
    bool time_only; /* the kind of lock */
    bool believed_free; /* take: the caller's watch shows none; asked by the write itself instead of by a read before it */
    int timeout_ms;
    int *retry_after_ms; /* the longest Retry-After of the calls is kept there; may be NULL */
    int64_t expire_ms;
    bool (*may_write)(void *ctx);
    /* Whether this process may still bind that pod to the node under its lock. NULL: perhaps. */
    bool (*in_flight)(void *ctx, struct str ns, struct str pod);
    /* Whether nothing is left to be handed out to that pod, which is bound to the node; its object. NULL: perhaps. */
    bool (*served)(void *ctx, struct str object);
    void *ctx;
};
MUST_USE enum err_code lease_lock_take(const struct lease_lock_args *a, char ret_value[LEASE_LOCK_MAX], struct err *err);
/* Removes it while `value` stands there, which is this pod's (time_only: a bare time). Never by owner alone: the leader
 * after us may have locked the node for the same pod.
 * Somebody else's or none: ERR_OK, nothing done; *ret_removed says so (may be NULL). A node that is gone took its lock
 * along: removed. `may_write` is not asked: undoing is always right, and the patch tests the value that it removes. */
MUST_USE enum err_code lease_lock_release(const struct lease_lock_args *a, struct str value, bool *ret_removed,
                                          struct err *err);

/* ---- who leads: one Lease, followed or our own (keeper.c) ---- */
#define LEASE_HOLDER_MAX 400 /* a name of 253 bytes, '_', a UUID; longer ones are nobody's of ours */

struct lease_lead {
    bool leads;              /* verbs are answered */
    uint64_t term;           /* of the last leading; grows when anybody else may have led between; 0: never led */
    int64_t writes_from_ms;  /* monotonic: the writes of whoever led before have landed or never will */
    int64_t writes_until_ms; /* monotonic: none is started at this time or after it */
};
struct lease_view { /* for people, probes and metrics */
    struct lease_lead lead;
    bool there;      /* the Lease exists, as far as seen */
    bool doubt;      /* the watch is silent or was paused: live reads decide */
    char holder[LEASE_HOLDER_MAX];
    int64_t transitions, duration_s;
    int64_t age_ms;  /* since it was last seen to change; -1: never seen */
    uint64_t reads, writes, failures; /* calls of the keeper */
};
struct lease_keeper;
struct lease_keeper_config {
    struct kube *kube;
    const struct clock *clock;
    struct str ns, name;
    bool own;            /* false: follow whoever writes it */
    struct str identity; /* own: our holderIdentity, unique per process; follow: the host name that its holder has in
                            front of the last '_' */
    int64_t duration_ms, renew_deadline_ms, retry_ms; /* own: client-go's; follow: retry_ms only */
    int write_ms;        /* the longest ?timeout= of the writes that the term guards */
    /* Both may be NULL, are called without a lock from the keeper's thread and must be done within about write_ms.
     * `prepare` comes before a new term is shown as leading; false: not yet, asked again after retry_ms. */
    bool (*prepare)(void *ctx, uint64_t term);
    void (*changed)(void *ctx, const struct lease_view *view);
    void *ctx;
};
/* Copies the strings. Follows at once, in threads of its own. */
MUST_USE enum err_code lease_keeper_start(const struct lease_keeper_config *cfg, struct lease_keeper **ret, struct err *err);
/* Never waits. */
struct lease_lead lease_keeper_lead(struct lease_keeper *k);
void lease_keeper_view(struct lease_keeper *k, struct lease_view *ret);
/* Waits for the answer to a GET that was sent after this call, at most the given time and at most one at a time for all
 * callers; then as lease_keeper_lead(). For whoever is about to refuse. */
struct lease_lead lease_keeper_look(struct lease_keeper *k, int timeout_ms);
/* Ends the threads. `release`: gives our own Lease back (nothing that the term guards may be in flight any more); what
 * can't be released runs out. NULL is fine. */
void lease_keeper_free(struct lease_keeper *k, bool release);
/* Does `holder` name this host: equal up to the last '_', or as a whole when it has none? No prefix of it. Pure. */
bool lease_holder_is_host(struct str holder, struct str host);
/* A random UUID in its text form (version 4). */
#define LEASE_UUID_MAX 37
MUST_USE enum err_code lease_uuid(char ret[LEASE_UUID_MAX], struct err *err);

#endif
