/* What people see of the store: lists for /v1, numbers for /metrics. Copied out under the lock,
 * bounded by the caller. */
#include "cluster/priv.h"

#include <stdlib.h>

void cluster_store_stats(struct cluster_store *st, struct cluster_stats *ret)
{
    struct cluster_stats s;
    uint64_t holds, dropped;
    holds_stats(st, &holds, &dropped);
    pthread_mutex_lock(&st->lock);
    s = st->counts;
    s.holds = holds;
    s.holds_dropped = dropped;
    s.nodes = st->nodes_n;
    s.generation = st->generation;
    s.pods = st->records.n + st->cpu.n;
    s.nodes_with_cards = s.devices = s.lent = s.nodes_locked = s.nodes_overdue = 0;
    for (uint32_t i = 0; i < st->slots; i++) {
        const struct snode *n = st->entries[i] ? st->entries[i]->cur : NULL;
        if (!n)
            continue;
        bool overdue = false;
        for (uint16_t g = 0; g < n->pub.score.groups_n; g++)
            overdue |= n->groups[g].locked;
        s.nodes_overdue += overdue;
        s.nodes_locked += n->pub.lock.p != NULL;
        s.nodes_with_cards += n->pub.score.devices_n > 0;
        s.devices += n->pub.score.devices_n;
        for (uint16_t d = 0; d < n->pub.score.devices_n; d++)
            s.lent += (n->devices[d].flags & SCORE_DEVICE_LENT) != 0;
    }
    s.pods_charged = s.pods_waiting = s.pods_gated = s.assumed = s.fail_closed = 0;
    for (uint32_t i = 0; i < st->records.cap; i++) {
        const struct record *r = st->records.slot[i];
        if (!r)
            continue;
        s.pods_charged += r->slot != NO_SLOT;
        s.pods_waiting += r->state == REC_WAITING;
        s.pods_gated += r->state == REC_WAITING && r->clone->gated;
        s.assumed += r->state == REC_ASSUMED || r->state == REC_ADOPTED;
        s.fail_closed += r->closed != 0 || r->flags & REC_VAGUE;
    }
    pthread_mutex_unlock(&st->lock);
    *ret = s;
}

/* ---- pods ---- */

static int record_cmp(const struct record *a, const struct record *b)
{
    int c = str_cmp(space_name(a->space), space_name(b->space));
    if (c == 0)
        c = str_cmp(record_name(a), record_name(b));
    return c ? c : str_cmp(record_uid(a), record_uid(b));
}

/* A heap of the first `limit` records in order, the last of them on top. */
static void heap_down(const struct record **heap, size_t n)
{
    for (size_t i = 0, child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && record_cmp(heap[child], heap[child + 1]) < 0)
            child++;
        if (record_cmp(heap[i], heap[child]) >= 0)
            return;
        const struct record *tmp = heap[i];
        heap[i] = heap[child];
        heap[child] = tmp;
    }
}

static void heap_up(const struct record **heap, size_t i)
{
    while (i > 0 && record_cmp(heap[(i - 1) / 2], heap[i]) < 0) {
        const struct record *tmp = heap[i];
        heap[i] = heap[(i - 1) / 2];
        heap[(i - 1) / 2] = tmp;
        i = (i - 1) / 2;
    }
}

struct query {
    struct str node, after_ns, after_name;
    size_t limit;
};

static bool is_asked_for(const struct cluster_store *st, const struct record *r,
                         const struct query *q)
{
    if (q->node.n > 0 && (r->slot == NO_SLOT || !str_eq(entry_name(st->entries[r->slot]), q->node)))
        return false;
    if (q->after_ns.n == 0 && q->after_name.n == 0)
        return true;
    int c = str_cmp(space_name(r->space), q->after_ns);
    return c ? c > 0 : str_cmp(record_name(r), q->after_name) > 0;
}

static size_t first_records(const struct cluster_store *st, const struct query *q,
                            const struct record **heap, bool *ret_more)
{
    size_t n = 0;
    *ret_more = false;
    for (uint32_t i = 0; i < st->records.cap; i++) {
        const struct record *r = st->records.slot[i];
        if (!r || !is_asked_for(st, r, q))
            continue;
        if (n < q->limit) {
            heap[n] = r;
            heap_up(heap, n++);
            continue;
        }
        *ret_more = true;
        if (n > 0 && record_cmp(r, heap[0]) < 0) {
            heap[0] = r;
            heap_down(heap, n);
        }
    }
    for (size_t left = n; left > 1;) { /* the heap becomes the order */
        const struct record *last = heap[0];
        heap[0] = heap[--left];
        heap[left] = last;
        heap_down(heap, left);
    }
    return n;
}

static uint16_t count_closed(const struct record *r)
{
    return (uint16_t)__builtin_popcountll(r->closed);
}

static bool is_fail_closed(const struct record *r)
{
    return r->closed != 0 || r->flags & REC_VAGUE;
}

struct cluster_trouble cluster_pod_trouble(struct cluster_store *st, struct str uid)
{
    struct cluster_trouble t = {0};
    pthread_mutex_lock(&st->lock);
    const struct record *r = ledger_find(st, uid);
    if (r)
        t = (struct cluster_trouble){is_fail_closed(r), (r->flags & REC_TAMPERED) != 0};
    pthread_mutex_unlock(&st->lock);
    return t;
}

static void view_record(const struct cluster_store *st, const struct record *r, struct arena *arena,
                        struct cluster_pod_view *ret)
{
    static const enum cluster_state STATES[] = {[REC_WAITING] = CLUSTER_STATE_WAITING,
                                                [REC_ADOPTED] = CLUSTER_STATE_ASSUMED,
                                                [REC_ASSUMED] = CLUSTER_STATE_ASSUMED,
                                                [REC_CONFIRMED] = CLUSTER_STATE_BOUND,
                                                [REC_BOUND] = CLUSTER_STATE_BOUND};
    const struct entry *e = r->slot == NO_SLOT ? NULL : st->entries[r->slot];
    uint16_t n = (uint16_t)(r->shares_n + count_closed(r)), k = 0;
    struct cluster_share *shares = arena_array(arena, n, sizeof(*shares));
    struct str *names = arena_array(arena, n, sizeof(*names));
    *ret = (struct cluster_pod_view){.ns = arena_str(arena, space_name(r->space)),
                                     .name = arena_str(arena, record_name(r)),
                                     .uid = arena_str(arena, record_uid(r)),
                                     .node = e ? arena_str(arena, entry_name(e)) : STR(""),
                                     .state = STATES[r->state],
                                     .fail_closed = is_fail_closed(r),
                                     .tampered = r->flags & REC_TAMPERED,
                                     .shares = shares,
                                     .share_containers = names,
                                     .shares_n = n};
    if (arena_failed(arena))
        return;
    for (uint16_t i = 0; e && i < r->shares_n; i++, k++) {
        const struct share *sh = &r->shares[i];
        const struct card *card = &e->cards[sh->card];
        int64_t mem = sh->mem_mib;
        if (sh->mem_pct > 0 && card->device >= 0) {
            int64_t part = e->cur->devices[card->device].mem_total_mib * sh->mem_pct / 100;
            mem = part > mem ? part : mem;
        }
        shares[k] =
            (struct cluster_share){.container = sh->container,
                                   .vendor = sh->vendor,
                                   .uuid = arena_str(arena, (struct str){card->uuid, card->uuid_n}),
                                   .mem_mib = mem,
                                   .cores_pct = sh->cores_pct,
                                   .shares = sh->shares,
                                   .bits = r->rare ? r->rare[i].bits : 0};
        names[k] = arena_str(arena, (struct str){r->text + sh->name_at, sh->name_n});
    }
    for (uint16_t v = 0; v < SCORE_VENDORS_MAX; v++)
        if (r->closed >> v & 1) {
            shares[k] = (struct cluster_share){.vendor = v, .uuid = STR("")};
            names[k++] = STR("");
        }
}

enum err_code cluster_list_pods(struct cluster_store *st, struct str node, struct str after_ns,
                                struct str after_name, size_t limit, struct arena *arena,
                                struct cluster_pod_view **ret, size_t *ret_n, bool *ret_more,
                                struct err *err)
{
    struct query q = {node, after_ns, after_name, limit};
    bool more = false;
    pthread_mutex_lock(&st->lock);
    if (q.limit > st->records.n)
        q.limit = st->records.n;
    const struct record **heap = arena_array(arena, q.limit, sizeof(*heap));
    struct cluster_pod_view *views = arena_array(arena, q.limit, sizeof(*views));
    size_t n = 0;
    if (heap && views) {
        n = first_records(st, &q, heap, &more);
        for (size_t i = 0; i < n && !arena_failed(arena); i++)
            view_record(st, heap[i], arena, &views[i]);
    }
    pthread_mutex_unlock(&st->lock);
    if (arena_failed(arena))
        return err_set(err, ERR_NO_MEMORY, "list pods: no memory");
    *ret = views;
    *ret_n = n;
    *ret_more = more;
    return ERR_OK;
}

/* ---- quotas ---- */

static int quota_cmp(const void *a, const void *b)
{
    const struct cluster_quota_view *x = a, *y = b;
    int c = str_cmp(x->ns, y->ns);
    if (c == 0)
        c = x->vendor - y->vendor;
    return c ? c : y->mem - x->mem;
}

/* The use and limit of one thing in one namespace; false: neither. */
static bool view_quota(const struct space *s, uint16_t vendor, bool mem,
                       struct cluster_quota_view *ret)
{
    *ret = (struct cluster_quota_view){.ns = space_name(s), .vendor = vendor, .mem = mem};
    ret->limit_set = space_limit(s, vendor, mem, &ret->limit);
    for (uint16_t i = 0; i < s->use_n; i++)
        if (s->use[i].vendor == vendor)
            ret->used = mem ? s->use[i].mem_mib : s->use[i].cores_pct;
    return ret->limit_set || ret->used != 0;
}

enum err_code cluster_list_quotas(struct cluster_store *st, size_t limit, struct arena *arena,
                                  struct cluster_quota_view **ret, size_t *ret_n, struct err *err)
{
    const uint16_t vendors = vendor_count(st->cfg.vendors);
    size_t all = 0, n = 0;
    struct cluster_quota_view one;
    pthread_mutex_lock(&st->lock);
    for (int pass = 0; pass < 2; pass++) {
        struct cluster_quota_view *views = pass ? arena_array(arena, all, sizeof(*views)) : NULL;
        if (pass && !views)
            break;
        for (uint32_t i = 0; i < st->spaces.cap; i++)
            for (uint32_t k = 0; st->spaces.slot[i] && k < 2u * vendors; k++) {
                if (!view_quota(st->spaces.slot[i], (uint16_t)(k / 2), k % 2 == 0, &one))
                    continue;
                if (pass)
                    views[n++] = one;
                else
                    all++;
            }
        if (!views)
            continue;
        qsort(views, n, sizeof(*views), quota_cmp);
        n = n > limit ? limit : n;
        for (size_t i = 0; i < n; i++)
            views[i].ns = arena_str(arena, views[i].ns);
        *ret = views;
    }
    pthread_mutex_unlock(&st->lock);
    if (arena_failed(arena))
        return err_set(err, ERR_NO_MEMORY, "list quotas: no memory");
    *ret_n = n;
    return ERR_OK;
}
