/* Pods that HAMi's scheduler has decided for and that are not bound yet, during a migration
 * (--adopt-unbound). HAMi writes its decision on the pod when it filters, seconds before it binds
 * (contract/node-side.md 2.1), and leaves it there when the bind fails. So such a pod counts where
 * its annotation says, for a minute; it is a decision in flight of somebody else's.
 *
 * The minute begins when the clock is told for the first time after the pod was seen: this folder
 * has no clock of its own. A question about the very pod ends it at once: kube-scheduler asks us,
 * so nobody else places it. Whoever was let go is not taken in again. */
#include "cluster/priv.h"

#include <stdlib.h>

enum {
    ADOPTED_MAX = 1024, /* at once; others count when they are bound */
    ADOPTED_MS = 60000,
    LOOK_MS = 100,
};

struct adopted {
    struct adopted *next;
    int64_t until_ms; /* 0: the clock was not told yet */
    size_t uid_n;
    char uid[];
};

static struct str uid_of(const struct adopted *a) { return (struct str){a->uid, a->uid_n}; }

static bool remember(struct cluster_store *st, struct str uid)
{
    for (const struct adopted *a = st->adopted; a; a = a->next)
        if (str_eq(uid_of(a), uid))
            return true; /* was let go, and the list has not been looked at since */
    struct adopted *a = NULL;
    if (atomic_load(&st->adopted_n) < ADOPTED_MAX)
        a = malloc(sizeof(*a) + uid.n);
    if (!a)
        return false;
    *a = (struct adopted){.next = st->adopted, .uid_n = uid.n};
    memcpy(a->uid, uid.p, uid.n);
    st->adopted = a;
    atomic_fetch_add(&st->adopted_n, 1);
    atomic_store(&st->adopted_look_ms, 0);
    return true;
}

bool adopt_is_decided(const struct cluster_store *st, const struct record *r,
                      const struct cluster_pod *pod)
{
    if (!st->cfg.adopt_unbound || pod->vgpu_node.n == 0 || pod->shares_n == 0 || pod->deleting)
        return false;
    return !r || r->state == REC_ADOPTED || (r->state == REC_WAITING && !(r->flags & REC_LET_GO));
}

enum err_code adopt_apply(struct cluster_store *st, struct record *r, const struct cluster_pod *pod,
                          struct err *err)
{
    struct cluster_pod as_bound = *pod;
    as_bound.node = pod->vgpu_node;
    struct draft draft;
    ledger_read_truth(st, &as_bound, true, &draft);
    draft.state = REC_ADOPTED;
    draft.closed = 0; /* what it does not name is nobody's before it is bound */
    draft.flags |= REC_SEEN;
    draft.clone = cluster_pod_clone(pod);
    if (!draft.clone)
        return err_set(err, ERR_NO_MEMORY, "ledger: no memory for a pod");
    enum err_code rc = ledger_put(st, r, &draft, err);
    if (rc)
        free(draft.clone);
    else if (!remember(st, pod->uid))
        adopt_let_go(st, ledger_find(st, pod->uid));
    return rc;
}

void adopt_let_go(struct cluster_store *st, struct record *r)
{
    ledger_uncharge(st, r);
    r->flags |= REC_LET_GO;
}

void adopt_done(struct cluster_store *st)
{
    for (struct adopted *a; (a = st->adopted);) {
        st->adopted = a->next;
        free(a);
    }
}

/* False: it is over. */
static bool stays(struct cluster_store *st, struct adopted *a, int64_t now_ms)
{
    struct record *r = ledger_find(st, uid_of(a));
    if (!r || r->state != REC_ADOPTED)
        return false;
    if (a->until_ms == 0)
        a->until_ms = now_ms + ADOPTED_MS;
    if (now_ms < a->until_ms)
        return true;
    adopt_let_go(st, r);
    return false;
}

void cluster_adopted_age(struct cluster_store *st, int64_t now_ms)
{
    if (atomic_load(&st->adopted_n) == 0 || now_ms < atomic_load(&st->adopted_look_ms))
        return;
    pthread_mutex_lock(&st->lock);
    atomic_store(&st->adopted_look_ms, now_ms + LOOK_MS);
    for (struct adopted **at = &st->adopted, *a; (a = *at);) {
        if (stays(st, a, now_ms)) {
            at = &a->next;
            continue;
        }
        *at = a->next;
        free(a);
        atomic_fetch_sub(&st->adopted_n, 1);
    }
    ledger_check(st);
    pthread_mutex_unlock(&st->lock);
}

void cluster_adopted_drop(struct cluster_store *st, struct str uid)
{
    if (atomic_load(&st->adopted_n) == 0)
        return;
    pthread_mutex_lock(&st->lock);
    struct record *r = ledger_find(st, uid);
    if (r && r->state == REC_ADOPTED)
        adopt_let_go(st, r);
    ledger_check(st);
    pthread_mutex_unlock(&st->lock);
}
