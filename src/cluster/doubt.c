/* Charges that no list and no event will end. A Binding that lands before a relist begins, and is
 * answered while it goes on, may be of a pod that was gone when the list was made: the list does
 * not have it and the watch behind it will not tell of its deletion, but neither proves that the
 * list was not simply older than the pod. So such a pod is asked about. */
#include "cluster/priv.h"

void ledger_doubt(struct cluster_store *st)
{
    st->doubts = false;
    for (uint32_t i = 0; i < st->records.cap; i++) {
        struct record *r = st->records.slot[i];
        if (!r)
            continue;
        r->flags &= (uint8_t)~REC_DOUBT;
        if (r->slot == NO_SLOT || r->flags & REC_SEEN)
            continue;
        r->flags |= REC_DOUBT;
        st->doubts = true;
    }
}

/* Nobody has shown it since. */
static bool is_open(const struct record *r)
{
    return r->flags & REC_DOUBT && !(r->flags & REC_SEEN) && r->slot != NO_SLOT;
}

size_t cluster_doubts(struct cluster_store *st, size_t max, struct arena *arena,
                      struct cluster_pod_ref **ret)
{
    size_t n = 0;
    bool open = false;
    struct cluster_pod_ref *refs = NULL;
    pthread_mutex_lock(&st->lock);
    if (st->doubts)
        refs = arena_array(arena, max, sizeof(*refs));
    for (uint32_t i = 0; refs && i < st->records.cap; i++) {
        const struct record *r = st->records.slot[i];
        if (!r || !is_open(r))
            continue;
        open = true;
        if (n < max && r->state != REC_ASSUMED) /* who waits for its answer asks as well */
            refs[n++] = (struct cluster_pod_ref){.ns = arena_str(arena, space_name(r->space)),
                                                 .name = arena_str(arena, record_name(r)),
                                                 .uid = arena_str(arena, record_uid(r))};
    }
    if (refs)
        st->doubts = open;
    pthread_mutex_unlock(&st->lock);
    *ret = refs;
    return arena_failed(arena) ? 0 : n;
}

void cluster_doubt_ends(struct cluster_store *st, struct str uid)
{
    pthread_mutex_lock(&st->lock);
    struct record *r = ledger_find(st, uid);
    if (r)
        r->flags &= (uint8_t)~REC_DOUBT;
    pthread_mutex_unlock(&st->lock);
}
