/* The store: one writer at a time takes what the watch says and what we decide, in the words of
 * architecture 4. What counts, what frees: a pod counts when it is bound or a decision of ours is
 * in flight; it stops when its object is gone, its phase is Succeeded or Failed, or it is being
 * deleted and every container has ended. Nothing less frees. */
#include "cluster/priv.h"

#include "cluster/decode.h"
#include "vendor/keys.h"

#include <assert.h>
#include <stdlib.h>

/* ---- life ---- */

enum err_code cluster_store_new(const struct cluster_config *cfg, struct cluster_store **ret,
                                struct err *err)
{
    struct cluster_store *st = calloc(1, sizeof(*st));
    if (!st)
        return err_set(err, ERR_NO_MEMORY, "cluster store: no memory");
    pthread_mutex_init(&st->lock, NULL);
    st->cfg = *cfg;
    st->cfg.nodes_max = cfg->nodes_max ? cfg->nodes_max : NODES_MAX;
    st->cfg.pods_max = cfg->pods_max ? cfg->pods_max : PODS_MAX;
    st->cfg.lock_expire_ms = cfg->lock_expire_ms ? cfg->lock_expire_ms : LOCK_EXPIRE_MS;
    atomic_init(&st->lock_due_ms, INT64_MAX);
    st->entries_max = 2 * st->cfg.nodes_max; /* nodes, and names of nodes that only pods know */
    st->scratch = calloc(1, sizeof(*st->scratch));
    st->holds = holds_new(st->entries_max);
    st->classes = classes_new();
    st->types = calloc(1, sizeof(*st->types));
    char *empty = str_dup_z(STR(""));
    if (st->types)
        atomic_init(&st->types->refs, 1);
    if (st->types && empty)
        st->types->text[st->types->n++] =
            (struct str){empty, 0}; /* 0: what a device without a text has */
    else
        free(empty);
    if (!st->scratch || !st->holds || !st->classes || !st->types || st->types->n == 0 ||
        !snapshot_publish_locked(st)) {
        cluster_store_free(st);
        return err_set(err, ERR_NO_MEMORY, "cluster store: no memory");
    }
    *ret = st;
    return ERR_OK;
}

static void free_space(struct space *s)
{
    for (struct quota *q = s->quotas, *next; q; q = next) {
        next = q->next;
        free(q);
    }
    free(s->use);
    free(s);
}

static void free_entry(struct entry *e)
{
    if (e->cur)
        snode_unref(e->cur);
    for (uint32_t i = 0; i < e->cards_n; i++)
        free(e->cards[i].uuid);
    free(e->cards);
    free(e->pods);
    free(e);
}

void cluster_store_free(struct cluster_store *st)
{
    if (!st)
        return;
    for (uint32_t i = 0; i < st->records.cap; i++) {
        struct record *r = st->records.slot[i];
        if (r)
            free(r->clone);
        free(r);
    }
    for (uint32_t i = 0; i < st->spaces.cap; i++)
        if (st->spaces.slot[i])
            free_space(st->spaces.slot[i]);
    for (uint32_t i = 0; i < st->slots; i++)
        if (st->entries[i])
            free_entry(st->entries[i]);
    for (uint32_t i = 0; i < st->slots_cap / CHUNK; i++)
        chunk_unref(st->chunks[i]);
    cluster_snapshot_unref(st->current);
    types_unref(st->types);
    topologies_done(&st->topologies);
    adopt_done(st);
    table_done(&st->records);
    table_done(&st->nodes);
    table_done(&st->spaces);
    free(st->cpu.of);
    free(st->entries);
    free(st->free_slots);
    free(st->chunks);
    free(st->chunk_dirty);
    free(st->scratch);
    holds_free(st->holds);
    classes_free(st->classes);
    pthread_mutex_destroy(&st->lock);
    free(st);
}

const struct cluster_config *cluster_store_config(const struct cluster_store *st)
{
    return &st->cfg;
}

/* ---- nodes ---- */

static void node_gone(struct cluster_store *st, struct entry *e)
{
    ledger_node_set(st, e, NULL);
    ledger_entry_release(st, e);
}

static enum err_code apply_node_locked(struct cluster_store *st,
                                       const struct cluster_node_object *o, struct err *err)
{
    struct entry *e = ledger_entry_find(st, o->name);
    st->counts.applied_nodes++;
    if (o->ignored) {
        if (e && e->cur)
            node_gone(st, e);
        return ERR_OK;
    }
    if ((!e || !e->cur) && st->nodes_n >= st->cfg.nodes_max)
        return err_set(err, ERR_TOO_LARGE, "more than %u nodes", st->cfg.nodes_max);
    struct snode *to = snode_from_object(st, o);
    if (!to)
        return err_set(err, ERR_NO_MEMORY, "node " STR_FMT ": no memory", STR_ARG(o->name));
    enum err_code rc = ledger_entry_get(st, o->name, &e, err);
    if (rc) {
        snode_unref(to);
        return rc;
    }
    ledger_node_set(st, e, to);
    e->seen = true;
    return ERR_OK;
}

enum err_code cluster_apply_node(struct cluster_store *st, const struct cluster_node_object *o,
                                 struct err *err)
{
    size_t devices = 0;
    for (uint16_t i = 0; i < o->cards_n; i++)
        devices += o->cards[i].devices_n;
    if (o->name.n == 0)
        return err_set(err, ERR_INVALID, "node: no name");
    if (devices > SCORE_DEVICES_MAX)
        return err_set(err, ERR_TOO_LARGE, "node " STR_FMT ": more than %d cards", STR_ARG(o->name),
                       SCORE_DEVICES_MAX);
    pthread_mutex_lock(&st->lock);
    enum err_code rc = apply_node_locked(st, o, err);
    ledger_check(st);
    pthread_mutex_unlock(&st->lock);
    return rc;
}

void cluster_delete_node(struct cluster_store *st, struct str name, struct str uid)
{
    pthread_mutex_lock(&st->lock);
    struct entry *e = ledger_entry_find(st, name);
    if (e && e->cur && (uid.n == 0 || str_eq(e->cur->pub.uid, uid)))
        node_gone(st, e);
    ledger_check(st);
    pthread_mutex_unlock(&st->lock);
}

/* ---- pods ---- */

static bool has_ended(const struct cluster_pod *pod)
{
    return pod->phase == CLUSTER_SUCCEEDED || pod->phase == CLUSTER_FAILED ||
           (pod->deleting && pod->terminated);
}

/* Whether a's resourceVersion is beyond b's; texts that are no numbers can't be compared: then the
 * later one wins. */
static bool is_newer(const struct cluster_pod *a, const struct cluster_pod *b)
{
    struct str x = a->resource_version, y = b->resource_version;
    int64_t m, n;
    if (!str_int(x, 0, INT64_MAX, &m) || !str_int(y, 0, INT64_MAX, &n))
        return true;
    return m >= n;
}

static void charge_ends(struct cluster_store *st, struct str uid)
{
    struct record *r = ledger_find(st, uid);
    if (r)
        ledger_remove(st, r);
    struct cpu_pod *p = ledger_cpu_find(st, uid);
    if (p)
        ledger_cpu_remove(st, p);
}

/* Not bound, and asks for cards: kept, so that bind finds it. A decision in flight stands. */
static enum err_code apply_waiting(struct cluster_store *st, const struct cluster_pod *pod,
                                   struct err *err)
{
    struct record *r = ledger_find(st, pod->uid);
    if (r && (r->state == REC_CONFIRMED || r->state == REC_BOUND)) {
        r->flags |= REC_SEEN; /* older than what we know: a Binding is never undone */
        return ERR_OK;
    }
    if (adopt_is_decided(st, r, pod))
        return adopt_apply(st, r, pod, err);
    if (r && r->state == REC_ADOPTED)
        adopt_let_go(st, r); /* its annotations have gone */
    struct cluster_pod *clone = cluster_pod_clone(pod);
    if (!clone)
        return err_set(err, ERR_NO_MEMORY, "ledger: no memory for a pod");
    if (r) {
        if (!r->clone || is_newer(pod, r->clone)) {
            struct cluster_pod *old = r->clone;
            r->clone = clone;
            clone = old;
        }
        free(clone);
        r->flags |= REC_SEEN;
        if (pod->deleting)
            r->flags |= REC_DELETING;
        return ERR_OK;
    }
    struct draft draft = {.uid = pod->uid,
                          .ns = pod->ns,
                          .name = pod->name,
                          .state = REC_WAITING,
                          .flags = (uint8_t)(REC_SEEN | (pod->deleting ? REC_DELETING : 0)),
                          .clone = clone,
                          .priority = pod->priority};
    enum err_code rc = ledger_put(st, NULL, &draft, err);
    if (rc)
        free(clone);
    else
        asks_count(&st->asks, &pod->request);
    return rc;
}

static bool is_charged_on(const struct cluster_store *st, const struct record *r, struct str node)
{
    return r && r->slot != NO_SLOT && str_eq(entry_name(st->entries[r->slot]), node);
}

/* Its plugin is not done with it (node-side.md 5, 7): after "failed" nothing more is served. */
static uint8_t serving_flag(const struct cluster_pod *pod)
{
    bool begun = pod->started || pod->phase != CLUSTER_PENDING;
    bool serving =
        pod->to_allocate_left && !begun && !str_eq(pod->bind_phase, STR(KEY_PHASE_FAILED));
    return serving ? REC_SERVING : 0;
}

/* Bound where the record says: the charge stands as it is, whatever the annotations have become. */
static enum err_code apply_known(struct cluster_store *st, struct record *r,
                                 const struct cluster_pod *pod, struct err *err)
{
    bool was_bound = r->state == REC_BOUND;
    struct draft draft;
    r->state = REC_BOUND;
    if ((r->flags & REC_SERVING) != serving_flag(pod)) /* the node may be shut for its sake */
        ledger_dirty(st, st->entries[r->slot]);
    r->flags = (uint8_t)((r->flags & ~REC_SERVING) | REC_SEEN | serving_flag(pod));
    if (pod->deleting)
        r->flags |= REC_DELETING;
    free(r->clone);
    r->clone = NULL;
    ledger_cpu_change(st, r, pod->cpu_milli, pod->memory_mib);
    ledger_read_truth(st, pod, !(r->flags & REC_OURS), &draft);
    if (draft.mark != r->mark) {
        st->counts.tampered += !(r->flags & REC_TAMPERED);
        r->flags |= REC_TAMPERED;
        return ERR_OK;
    }
    /* The fresh reading of a relist, pod by pod: the same annotations must give the same charge. */
    if (!st->relist[CLUSTER_PODS] || !was_bound || (r->flags & (REC_TAMPERED | REC_OURS)) ||
        ledger_says_the_same(st, r, &draft))
        return ERR_OK;
    st->counts.repairs++;
    draft.flags = r->flags;
    return ledger_put(st, r, &draft, err);
}

/* Whether the Binding that the pod shows is not the one of our decision, which nobody has answered
 * yet: another process of ours, before a restart or a change of leaders, or another scheduler was
 * first on the same node, with other cards. */
static bool is_anothers(struct cluster_store *st, const struct record *r,
                        const struct cluster_pod *pod)
{
    struct draft draft;
    if (r->state != REC_ASSUMED)
        return false;
    ledger_read_truth(st, pod, false, &draft);
    return draft.mark != r->mark;
}

static enum err_code apply_bound(struct cluster_store *st, const struct cluster_pod *pod,
                                 struct err *err)
{
    struct record *r = ledger_find(st, pod->uid);
    if (!pod->vendors_asked) {
        if (r)
            ledger_remove(st, r); /* a pod's cards are immutable: something else had its UID */
        return ledger_cpu_put(st, pod, err);
    }
    if (is_charged_on(st, r, pod->node) && r->state != REC_ADOPTED && !is_anothers(st, r, pod))
        return apply_known(st, r, pod, err);
    bool moved = r && r->state == REC_BOUND;
    struct draft draft;
    ledger_read_truth(st, pod, true, &draft);
    draft.flags |= REC_SEEN | serving_flag(pod);
    enum err_code rc = ledger_put(st, r, &draft, err);
    if (!rc)
        st->counts.repairs += moved;
    return rc;
}

static enum err_code apply_pod_locked(struct cluster_store *st, const struct cluster_pod *pod,
                                      struct err *err)
{
    st->counts.applied_pods++;
    if (has_ended(pod)) {
        charge_ends(st, pod->uid);
        return ERR_OK;
    }
    if (pod->node.n > 0)
        return apply_bound(st, pod, err);
    if (pod->wants != CLUSTER_WANTS_NOTHING)
        return apply_waiting(st, pod, err);
    return ERR_OK;
}

enum err_code cluster_apply_pod(struct cluster_store *st, const struct cluster_pod *pod,
                                struct err *err)
{
    if (pod->uid.n == 0)
        return err_set(err, ERR_INVALID, "pod " STR_FMT "/" STR_FMT ": no UID", STR_ARG(pod->ns),
                       STR_ARG(pod->name));
    pthread_mutex_lock(&st->lock);
    enum err_code rc = apply_pod_locked(st, pod, err);
    if (!rc && (pod->node.n > 0 || has_ended(pod)))
        cluster_hold_drop(st, pod->uid);
    ledger_check(st);
    pthread_mutex_unlock(&st->lock);
    return rc;
}

void cluster_delete_pod(struct cluster_store *st, struct str uid)
{
    pthread_mutex_lock(&st->lock);
    charge_ends(st, uid);
    cluster_hold_drop(st, uid);
    ledger_check(st);
    pthread_mutex_unlock(&st->lock);
}

/* ---- quotas ---- */

static struct quota **quota_find(struct space *s, struct str name)
{
    struct quota **q = &s->quotas;
    while (*q && !str_eq((struct str){(*q)->name, (*q)->name_n}, name))
        q = &(*q)->next;
    return q;
}

static struct quota *quota_new(const struct cluster_quota_object *o)
{
    size_t limits = o->limits_n * sizeof(((struct quota *)0)->limits[0]);
    struct quota *q = malloc(sizeof(*q) + limits + o->name.n + 1);
    if (!q)
        return NULL;
    *q = (struct quota){.seen = true,
                        .broken = o->broken,
                        .limits_n = o->limits_n,
                        .name_n = (uint16_t)o->name.n,
                        .name = (char *)(q + 1) + limits};
    if (o->name.n > 0)
        memcpy(q->name, o->name.p, o->name.n);
    for (uint16_t i = 0; i < o->limits_n; i++) {
        q->limits[i].vendor = o->limits[i].vendor;
        q->limits[i].mem = o->limits[i].mem;
        q->limits[i].limit = o->limits[i].limit;
    }
    return q;
}

enum err_code cluster_apply_quota(struct cluster_store *st, const struct cluster_quota_object *o,
                                  struct err *err)
{
    if (o->name.n > UINT16_MAX)
        return err_set(err, ERR_TOO_LARGE, "quota: name is too long");
    struct quota *q = quota_new(o);
    if (!q)
        return err_set(err, ERR_NO_MEMORY, "quota " STR_FMT "/" STR_FMT ": no memory",
                       STR_ARG(o->ns), STR_ARG(o->name));
    pthread_mutex_lock(&st->lock);
    struct space *s = ledger_space_get(st, o->ns);
    if (s) {
        struct quota **at = quota_find(s, o->name), *old = *at;
        q->next = old ? old->next : NULL;
        *at = q;
        free(old);
        st->counts.applied_quotas++;
    }
    pthread_mutex_unlock(&st->lock);
    if (s)
        return ERR_OK;
    free(q);
    return err_set(err, ERR_NO_MEMORY, "quota " STR_FMT "/" STR_FMT ": no memory", STR_ARG(o->ns),
                   STR_ARG(o->name));
}

static void quota_del(struct quota **at)
{
    struct quota *q = *at;
    *at = q->next;
    free(q);
}

void cluster_delete_quota(struct cluster_store *st, struct str ns, struct str name)
{
    pthread_mutex_lock(&st->lock);
    struct space *s = ledger_space_find(st, ns);
    struct quota **at = s ? quota_find(s, name) : NULL;
    if (at && *at) {
        quota_del(at);
        ledger_space_release(st, s);
    }
    pthread_mutex_unlock(&st->lock);
}

/* What of its namespace's use is the pod's own. */
static struct hold_need own_use(const struct record *r, uint16_t vendor)
{
    struct hold_need own = {0, 0};
    for (uint16_t i = 0; r && i < r->uses_n; i++)
        if (r->uses[i].vendor == vendor) {
            own.mem_mib += r->uses[i].mem_mib;
            own.cores_pct += r->uses[i].cores_pct;
        }
    return own;
}

/* Limits of the namespace minus what is charged there, the pod's own left out. */
static uint16_t quota_left_locked(const struct cluster_store *st, struct str ns, struct str uid,
                                  struct score_quota *ret)
{
    const struct space *s = ledger_space_find(st, ns);
    if (!s || !s->quotas)
        return 0;
    const struct record *r = ledger_find(st, uid);
    if (r && r->space != s)
        r = NULL;
    uint16_t n = 0;
    for (uint16_t v = 0; v < vendor_count(st->cfg.vendors) && v < SCORE_VENDORS_MAX; v++) {
        struct score_quota q = {.vendor = v};
        int64_t mem = 0, cores = 0;
        q.mem_set = space_limit(s, v, true, &mem);
        q.cores_set = space_limit(s, v, false, &cores);
        if (!q.mem_set && !q.cores_set)
            continue;
        struct hold_need own = own_use(r, v);
        for (uint16_t i = 0; i < s->use_n; i++)
            if (s->use[i].vendor == v) {
                mem -= s->use[i].mem_mib;
                cores -= s->use[i].cores_pct;
            }
        q.mem_left_mib = q.mem_set ? mem + own.mem_mib : 0;
        q.cores_left_pct = q.cores_set ? cores + own.cores_pct : 0;
        ret[n++] = q;
    }
    return n;
}

uint16_t cluster_quota_left(struct cluster_store *st, struct str ns, struct str uid, int64_t now_ms,
                            struct score_quota *ret)
{
    pthread_mutex_lock(&st->lock);
    uint16_t n = quota_left_locked(st, ns, uid, ret);
    pthread_mutex_unlock(&st->lock);
    if (n == 0)
        return 0;
    struct hold_need need[SCORE_VENDORS_MAX] = {0};
    holds_need(st, ns, uid, now_ms, need);
    for (uint16_t i = 0; i < n; i++) {
        if (ret[i].mem_set)
            ret[i].mem_left_mib -= need[ret[i].vendor].mem_mib;
        if (ret[i].cores_set)
            ret[i].cores_left_pct -= need[ret[i].vendor].cores_pct;
    }
    return n;
}

/* ---- relists ---- */

void cluster_relist_begin(struct cluster_store *st, enum cluster_kind kind)
{
    pthread_mutex_lock(&st->lock);
    st->relist[kind] = true;
    for (uint32_t i = 0; kind == CLUSTER_NODES && i < st->slots; i++)
        if (st->entries[i])
            st->entries[i]->seen = false;
    for (uint32_t i = 0; kind == CLUSTER_PODS && i < st->records.cap; i++) {
        struct record *r = st->records.slot[i];
        if (r)
            r->flags &= (uint8_t) ~(REC_SEEN | REC_FRESH);
    }
    for (uint32_t i = 0; kind == CLUSTER_PODS && i < st->cpu.cap; i++)
        st->cpu.of[i].seen = false;
    for (uint32_t i = 0; kind == CLUSTER_QUOTAS && i < st->spaces.cap; i++) {
        struct space *s = st->spaces.slot[i];
        for (struct quota *q = s ? s->quotas : NULL; q; q = q->next)
            q->seen = false;
    }
    pthread_mutex_unlock(&st->lock);
}

static void end_nodes(struct cluster_store *st)
{
    for (uint32_t i = 0; i < st->slots; i++) {
        struct entry *e = st->entries[i];
        if (e && e->cur && !e->seen)
            node_gone(st, e);
    }
}

static bool is_gone(const struct record *r)
{
    /* A Binding that is in flight, or was answered after this list was begun, is not in the list's
     * power. */
    return !(r->flags & (REC_SEEN | REC_FRESH)) && r->state != REC_ASSUMED;
}

static void end_pods(struct cluster_store *st)
{
    /* Deleting moves what stands behind up into the free place: the same place is looked at again.
     */
    for (uint32_t i = 0; i < st->records.cap; i++) {
        struct record *r;
        while ((r = st->records.slot[i]) && is_gone(r)) {
            cluster_hold_drop(st, record_uid(r));
            ledger_remove(st, r);
        }
    }
    for (uint32_t i = 0; i < st->cpu.cap; i++) {
        struct cpu_pod *p = &st->cpu.of[i];
        while ((p->uid[0] || p->uid[1]) && !p->seen)
            ledger_cpu_remove(st, p);
    }
    ledger_doubt(st);
    st->counts.repairs += ledger_verify(st, true);
}

static void end_quotas(struct cluster_store *st)
{
    for (uint32_t i = 0; i < st->spaces.cap; i++) {
        struct space *s;
        bool left = false;
        while ((s = st->spaces.slot[i]) && !left) {
            for (struct quota **q = &s->quotas; *q;)
                if ((*q)->seen)
                    q = &(*q)->next;
                else
                    quota_del(q);
            left = s->quotas || s->refs > 0;
            ledger_space_release(st, s);
        }
    }
}

void cluster_relist_end(struct cluster_store *st, enum cluster_kind kind)
{
    pthread_mutex_lock(&st->lock);
    if (st->relist[kind]) {
        st->relist[kind] = false;
        if (kind == CLUSTER_NODES)
            end_nodes(st);
        else if (kind == CLUSTER_PODS)
            end_pods(st);
        else
            end_quotas(st);
    }
    ledger_check(st);
    pthread_mutex_unlock(&st->lock);
}

void cluster_relist_abort(struct cluster_store *st, enum cluster_kind kind)
{
    pthread_mutex_lock(&st->lock);
    st->relist[kind] = false;
    pthread_mutex_unlock(&st->lock);
}

void cluster_relist_keep_pod(struct cluster_store *st, struct str uid)
{
    pthread_mutex_lock(&st->lock);
    struct record *r = ledger_find(st, uid);
    if (r)
        r->flags |= REC_SEEN;
    struct cpu_pod *p = ledger_cpu_find(st, uid);
    if (p)
        p->seen = true;
    pthread_mutex_unlock(&st->lock);
}

void cluster_relist_keep_quota(struct cluster_store *st, struct str ns, struct str name)
{
    pthread_mutex_lock(&st->lock);
    struct space *s = ledger_space_find(st, ns);
    struct quota *q = s ? *quota_find(s, name) : NULL;
    if (q)
        q->seen = true;
    pthread_mutex_unlock(&st->lock);
}

/* ---- decisions of ours ---- */

/* The placement's shares into the scratch. */
static void draft_decision(struct cluster_store *st, const struct cluster_decision *d,
                           struct draft *draft)
{
    const struct cluster_pod *pod = d->pod;
    struct draft_share *shares = st->scratch->shares;
    *draft = (struct draft){.uid = pod->uid,
                            .ns = pod->ns,
                            .name = pod->name,
                            .node = d->node->score.name,
                            .state = REC_ASSUMED,
                            .flags = REC_OURS | REC_FRESH,
                            .cpu_milli = pod->cpu_milli,
                            .memory_mib = pod->memory_mib,
                            .priority = pod->priority,
                            .shares_n = d->placement->parts_n};
    for (uint16_t i = 0; i < draft->shares_n; i++) {
        const struct score_part *part = &d->placement->parts[i];
        assert(part->ask < pod->request.asks_n);
        assert(part->device < d->node->score.devices_n);
        const struct score_ask *ask = &pod->request.asks[part->ask];
        const uint16_t card_shares = part->shares ? part->shares : 1;
        if (vendor_serves_locked(vendor_at(st->cfg.vendors, ask->vendor)))
            draft->flags |= REC_SERVING; /* from the Binding's answer until the watch says more */
        const bool named = pod->container_names && ask->container < pod->containers_n;
        shares[i] = (struct draft_share){.uuid = d->node->score.devices[part->device].uuid,
                                         .container_name =
                                             named ? pod->container_names[ask->container] : STR(""),
                                         .mem_mib = part->mem_mib,
                                         .cores_pct = part->cores_pct,
                                         .container = (uint8_t)ask->container,
                                         .vendor = (uint8_t)ask->vendor,
                                         .step = (uint8_t)pod->request.steps[ask->container],
                                         .shares = card_shares,
                                         .rare.bits = part->bits};
        ledger_classify(pod, &shares[i]);
        draft->mark += share_mark(st, &(struct cluster_share){.container = ask->container,
                                                              .vendor = ask->vendor,
                                                              .uuid = shares[i].uuid,
                                                              .mem_mib = part->mem_mib,
                                                              .cores_pct = part->cores_pct,
                                                              .shares = card_shares,
                                                              .bits = part->bits});
    }
}

/* Whether the decision still fits in: the last look before cards are given away. */
static bool still_fits(struct cluster_store *st, const struct snode *node,
                       const struct cluster_decision *d)
{
    struct score_use *uses = st->scratch->uses;
    const struct cluster_pod *pod = d->pod;
    uint16_t n = score_effective_use(pod->request.steps, pod->request.asks, d->placement->parts,
                                     d->placement->parts_n, uses);
    struct hold_need need[SCORE_VENDORS_MAX] = {0};
    for (uint16_t i = 0; i < n; i++) {
        struct score_device dev = node->devices[uses[i].device];
        need[uses[i].vendor].mem_mib += uses[i].mem_mib;
        need[uses[i].vendor].cores_pct += uses[i].cores_pct;
        ledger_add_use(&dev, uses[i].mem_mib, uses[i].cores_pct, uses[i].shares);
        if (ledger_over_total(&vendor_cores(st->cfg.vendors)[uses[i].vendor], &dev) ||
            (node->traits && (node->traits[uses[i].device].bits_used & uses[i].bits)))
            return false;
    }
    struct score_quota left[SCORE_VENDORS_MAX];
    uint16_t quotas = quota_left_locked(st, pod->ns, pod->uid, left);
    for (uint16_t i = 0; i < quotas; i++) {
        const struct hold_need *want = &need[left[i].vendor];
        if ((left[i].mem_set && want->mem_mib > 0 && want->mem_mib > left[i].mem_left_mib) ||
            (left[i].cores_set && want->cores_pct > 0 && want->cores_pct > left[i].cores_left_pct))
            return false;
    }
    return true;
}

static enum err_code refuse_charged(const struct cluster_store *st, const struct record *r,
                                    const struct draft *draft, struct err *err)
{
    if (r->state == REC_ASSUMED && ledger_says_the_same(st, r, draft))
        return ERR_OK; /* said twice */
    return err_set(err, ERR_INVALID, "pod " STR_FMT "/" STR_FMT " is %s node " STR_FMT,
                   STR_ARG(space_name(r->space)), STR_ARG(record_name(r)),
                   r->state < REC_CONFIRMED ? "being bound to" : "bound to",
                   STR_ARG(entry_name(st->entries[r->slot])));
}

static enum err_code assume_locked(struct cluster_store *st, const struct cluster_decision *d,
                                   struct err *err)
{
    const struct cluster_pod *pod = d->pod;
    struct record *r = ledger_find(st, pod->uid);
    struct draft draft;
    draft_decision(st, d, &draft);
    if (has_ended(pod) || pod->deleting || (r && r->flags & REC_DELETING))
        return err_set(err, ERR_INVALID,
                       "pod " STR_FMT "/" STR_FMT " has ended or is being deleted",
                       STR_ARG(pod->ns), STR_ARG(pod->name));
    if (pod->node.n > 0 || ledger_cpu_find(st, pod->uid))
        return err_set(err, ERR_INVALID, "pod " STR_FMT "/" STR_FMT " is bound", STR_ARG(pod->ns),
                       STR_ARG(pod->name));
    if (r && r->state != REC_WAITING)
        return refuse_charged(st, r, &draft, err);
    struct entry *e = ledger_entry_find(st, d->node->score.name);
    if (e && e->cur && e->dirty && !ledger_refresh(st, e))
        return err_set(err, ERR_NO_MEMORY, "ledger: no memory for a node");
    if (!e || !e->cur || e->cur->pub.generation != d->node->generation ||
        !still_fits(st, e->cur, d))
        return err_set(err, ERR_CONFLICT,
                       "node " STR_FMT " or the namespace's quota has changed meanwhile",
                       STR_ARG(d->node->score.name));
    draft.flags |= r ? r->flags & REC_SEEN : 0;
    draft.clone = cluster_pod_clone(r && r->clone && is_newer(r->clone, pod) ? r->clone : pod);
    if (!draft.clone)
        return err_set(err, ERR_NO_MEMORY, "ledger: no memory for a pod");
    enum err_code rc = ledger_put(st, r, &draft, err);
    if (rc)
        free(draft.clone);
    else if (!r) /* bind is ahead of the watch */
        asks_count(&st->asks, &pod->request);
    return rc;
}

enum err_code cluster_assume(struct cluster_store *st, const struct cluster_snapshot *snapshot,
                             const struct cluster_decision *d, struct err *err)
{
    (void)snapshot; /* keeps d->node alive; what the ledger says now counts */
    if (d->pod->uid.n == 0 || d->placement->parts_n == 0)
        return err_set(err, ERR_INVALID, "pod " STR_FMT "/" STR_FMT ": no UID, or nothing decided",
                       STR_ARG(d->pod->ns), STR_ARG(d->pod->name));
    pthread_mutex_lock(&st->lock);
    enum err_code rc = assume_locked(st, d, err);
    if (!rc)
        cluster_hold_drop(st, d->pod->uid); /* one charge in the place of all of them */
    ledger_check(st);
    pthread_mutex_unlock(&st->lock);
    return rc;
}

static bool stands_locked(struct cluster_store *st, const struct record *r)
{
    if (!r || r->state != REC_ASSUMED || r->flags & REC_DELETING)
        return false;
    struct entry *e = st->entries[r->slot];
    if (!e->cur || (e->dirty && !ledger_refresh(st, e)))
        return false;
    const uint16_t bad = SCORE_DEVICE_UNHEALTHY | SCORE_DEVICE_CORDONED | SCORE_DEVICE_LENT;
    for (uint16_t i = 0; i < r->uses_n; i++) {
        const struct card *card = &e->cards[r->uses[i].card];
        if (card->device < 0)
            return false;
        const struct score_device *d = &e->cur->devices[card->device];
        if (d->flags & bad || ledger_over_total(&vendor_cores(st->cfg.vendors)[card->vendor], d))
            return false;
    }
    return true;
}

bool cluster_decision_stands(struct cluster_store *st, struct str uid)
{
    pthread_mutex_lock(&st->lock);
    bool stands = stands_locked(st, ledger_find(st, uid));
    pthread_mutex_unlock(&st->lock);
    return stands;
}

void cluster_confirm(struct cluster_store *st, struct str uid)
{
    pthread_mutex_lock(&st->lock);
    struct record *r = ledger_find(st, uid);
    if (r && r->state == REC_ASSUMED) {
        r->state = REC_CONFIRMED;
        r->flags |= REC_FRESH;
        if (r->flags & REC_SERVING) /* from now on an old lock of its name is an absent kubelet's */
            ledger_dirty(st, st->entries[r->slot]);
        free(r->clone);
        r->clone = NULL;
    }
    ledger_check(st);
    pthread_mutex_unlock(&st->lock);
}

bool cluster_node_serving(struct cluster_store *st, struct str node, struct str except_uid)
{
    bool serving = false;
    pthread_mutex_lock(&st->lock);
    const struct entry *e = ledger_entry_find(st, node);
    for (uint32_t i = 0; e && i < e->pods_n && !serving; i++) {
        const struct record *r = e->pods[i];
        serving = (r->state == REC_CONFIRMED || r->state == REC_BOUND) && r->flags & REC_SERVING &&
                  !str_eq(record_uid(r), except_uid);
    }
    pthread_mutex_unlock(&st->lock);
    return serving;
}

void cluster_locks_age(struct cluster_store *st, int64_t wall_ms)
{
    if (wall_ms < atomic_load(&st->lock_due_ms) && wall_ms >= atomic_load(&st->wall_ms))
        return;
    pthread_mutex_lock(&st->lock);
    atomic_store(&st->wall_ms, wall_ms);
    atomic_store(&st->lock_due_ms, INT64_MAX); /* those that are young yet say when they are due */
    for (uint32_t i = 0; i < st->slots; i++)
        if (st->entries[i] && st->entries[i]->cur && st->entries[i]->cur->pub.lock.p)
            ledger_dirty(st, st->entries[i]);
    pthread_mutex_unlock(&st->lock);
}

enum err_code cluster_adopt(struct cluster_store *st, const struct cluster_pod *pod,
                            struct err *err)
{
    enum err_code rc = ERR_OK;
    pthread_mutex_lock(&st->lock);
    struct record *r = ledger_find(st, pod->uid);
    if (r && r->state == REC_ASSUMED && pod->node.n > 0 && !has_ended(pod)) {
        rc = apply_bound(st, pod, err);
        r = ledger_find(st, pod->uid);
        if (r)
            r->flags |= REC_FRESH; /* a list that goes on may be older */
    }
    ledger_check(st);
    pthread_mutex_unlock(&st->lock);
    return rc;
}

void cluster_forget(struct cluster_store *st, struct str uid)
{
    pthread_mutex_lock(&st->lock);
    struct record *r = ledger_find(st, uid);
    if (r && r->state == REC_ASSUMED) {
        if (r->flags & REC_SEEN)
            ledger_uncharge(st, r);
        else /* the watch will show it, or has shown its end already */
            ledger_remove(st, r);
    }
    ledger_check(st);
    pthread_mutex_unlock(&st->lock);
}

/* ---- asking about a pod ---- */

struct cluster_pod *cluster_pod_find(struct cluster_store *st, struct str ns, struct str name,
                                     struct str uid)
{
    struct cluster_pod *held = holds_clone(st, uid), *known = NULL;
    pthread_mutex_lock(&st->lock);
    const struct record *r = ledger_find(st, uid);
    if (r && r->clone && (!held || !is_newer(held, r->clone)))
        known = cluster_pod_clone(r->clone);
    pthread_mutex_unlock(&st->lock);
    if (known) {
        free(held);
        held = known;
    }
    if (held && (!str_eq(held->ns, ns) || !str_eq(held->name, name))) {
        free(held);
        held = NULL;
    }
    return held;
}

enum cluster_state cluster_pod_state(struct cluster_store *st, struct str uid, char *ret_node,
                                     size_t node_max)
{
    static const enum cluster_state STATES[] = {[REC_WAITING] = CLUSTER_STATE_WAITING,
                                                [REC_ADOPTED] = CLUSTER_STATE_ASSUMED,
                                                [REC_ASSUMED] = CLUSTER_STATE_ASSUMED,
                                                [REC_CONFIRMED] = CLUSTER_STATE_BOUND,
                                                [REC_BOUND] = CLUSTER_STATE_BOUND};
    enum cluster_state state = CLUSTER_STATE_UNKNOWN;
    struct str node = STR("");
    pthread_mutex_lock(&st->lock);
    const struct record *r = ledger_find(st, uid);
    const struct cpu_pod *p = r ? NULL : ledger_cpu_find(st, uid);
    if (r)
        state = STATES[r->state];
    else if (p)
        state = CLUSTER_STATE_BOUND;
    if (p || (r && r->slot != NO_SLOT))
        node = entry_name(st->entries[p ? p->slot : r->slot]);
    if (ret_node && node_max > 0) {
        size_t n = node.n < node_max ? node.n : node_max - 1;
        memcpy(ret_node, node.p, n);
        ret_node[n] = '\0';
    }
    pthread_mutex_unlock(&st->lock);
    return state;
}

size_t cluster_store_verify(struct cluster_store *st)
{
    pthread_mutex_lock(&st->lock);
    size_t bad = ledger_verify(st, false);
    pthread_mutex_unlock(&st->lock);
    return bad;
}
