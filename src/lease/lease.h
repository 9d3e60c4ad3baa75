/* Who holds a node: the node lock annotation (contract/core.md 8, node-side.md 2.4). Who leads comes to this folder
 * too, with its Lease objects. */
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
 * resourceVersion. Present and ours: ERR_OK. A malformed or legacy value older than `expire_ms`, a holder that is gone
 * (404), terminal, or bound elsewhere is replaced; any other holder: ERR_BUSY with the text of core.md 8.2
 * ("node … has been locked within …: node lock contention"). Lost the race three times: ERR_BUSY.
 * `may_write` (may be NULL) is asked right before each write is sent; false ends with ERR_CANCELLED.
 * A holder that is not bound yet is replaced when its lock is older than `expire_ms`, or older than LEASE_LOCK_UNBOUND_MS
 * and `in_flight` says that no Binding of it is on the way; one that is bound to this node keeps it, however old. A legacy
 * time more than `expire_ms` in the future counts as expired.
 *   ret_value  the value now on the node (≥ LEASE_LOCK_MAX bytes)
 * ERR_UNKNOWN: the lock may be ours now or later; release it. Other codes as kube_call. */
#define LEASE_LOCK_MAX 512
/* A Binding follows its lock within seconds (each of our writes ends after two): what has not followed by now died with its
 * process. */
#define LEASE_LOCK_UNBOUND_MS 10000
struct lease_lock_args {
    struct kube *kube;
    const struct clock *clock;
    struct str node, key, ns, pod, uid;
    int timeout_ms;
    int64_t expire_ms;
    bool (*may_write)(void *ctx);
    /* Whether this process may still bind that pod under its lock. NULL: perhaps. */
    bool (*in_flight)(void *ctx, struct str ns, struct str pod);
    void *ctx;
};
MUST_USE enum err_code lease_lock_take(const struct lease_lock_args *a, char ret_value[LEASE_LOCK_MAX], struct err *err);
/* Removes it if it is still this pod's (owner test by namespace and name, and by value when `value` is not empty).
 * Somebody else's or none: ERR_OK, nothing done. `may_write` is not asked: undoing is always right, and the patch tests
 * the value that it removes. */
MUST_USE enum err_code lease_lock_release(const struct lease_lock_args *a, struct str value, struct err *err);

#endif
