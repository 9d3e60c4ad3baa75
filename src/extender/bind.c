/* POST /bind: decide the cards on the picked node against the state of this moment, charge them,
 * lock the node where its plugin needs that, and write decision and binding in one request
 * (architecture 5).
 *
 * Runs on a worker. Undoing obeys one rule: a charge whose write was sent ends only by proof. Where
 * the outcome of the Binding is unknown it is fenced (a status patch under the same
 * resourceVersion: if that lands, the Binding never can); what can't be settled while
 * kube-scheduler waits is settled later (settle.c). */
#include "extender/settle.h"

#include "base/scan.h"
#include "vendor/keys.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DECIDE_TRIES    16  /* the node moved while we decided */
#define CONFLICT_TRIES  3   /* kube-scheduler itself may have moved the pod */
#define FENCE_TRIES     3   /* while kube-scheduler waits; then the settling thread goes on */
#define LOCK_LOOK_MS    10  /* how often our own books are asked whether a lock is gone */
#define SERVED_MS       60  /* how long a bind waits for the plugin of a pod before it, in any case */
#define LOCK_RETRY_MS   250 /* how often the API server is, when they say that it is not */
#define NOTES_MAX_BYTES (256 << 10) /* Kubernetes' limit of an object's annotations together */

/* One bind on its way through the steps. */
struct bind {
    struct ext_app *app;
    struct ext_request *r;
    struct ext_bind_args args;
    struct cluster_pod *pod; /* heap clone */
    struct score_placement placement;
    struct vendor_written *written; /* of placement.parts, in the arena */
    struct str resource_version;    /* the Binding's precondition */
    bool reserved_keys;             /* to be cleaned first */
    int64_t deadline_ms;
    struct ext_term term; /* of the leading that it began in */
    bool charged;
    bool sent;              /* a Binding left: its outcome needs a proof */
    struct ext_settle undo; /* locks taken so far; becomes a settling entry as it is */
};

static int64_t now_ms(const struct bind *b) { return clock_mono_ms(b->app->clock); }

/* No lock and no Binding is started after the deadline, or when we may not lead; undoing is. */
static bool may_write(void *ctx)
{
    struct bind *b = ctx;
    return now_ms(b) < b->deadline_ms && ext_may_write(b->app, &b->term);
}

static enum err_code too_late(const struct bind *b, struct err *err)
{
    if (now_ms(b) < b->deadline_ms)
        return err_set(err, ERR_CANCELLED, "bind: this instance does not lead any more; try again");
    return err_set(err, ERR_CANCELLED,
                   "bind: --bind-timeout is over before the Binding was sent; try again");
}

static int write_timeout(const struct bind *b)
{
    int64_t left = b->deadline_ms - now_ms(b);
    return left < EXT_WRITE_TIMEOUT_MS ? (int)(left > 1 ? left : 1) : EXT_WRITE_TIMEOUT_MS;
}

static void sleep_ms(int64_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    while (nanosleep(&t, &t) && errno == EINTR)
        ;
}

static void copy_z(char *to, size_t max, struct str s)
{
    size_t n = s.n < max - 1 ? s.n : max - 1;
    if (n)
        memcpy(to, s.p, n);
    to[n] = '\0';
}

/* ---- the pod as it is ---- */

static enum err_code find_pod(struct bind *b, struct err *err)
{
    b->pod = cluster_pod_find(b->app->store, b->args.ns, b->args.pod, b->args.uid);
    if (b->pod &&
        !b->pod->resource_version
             .n) { /* every Binding of ours has a precondition, or it could not be fenced */
        free(b->pod);
        b->pod = NULL;
    }
    if (!b->pod) { /* bind may be ahead of our watch; "no such pod" needs a live 404 */
        struct cluster_pod live;
        enum err_code rc = ext_pod_get(b->app, b->r->arena, b->args.ns, b->args.pod, &live, err);
        if (rc == ERR_NOT_FOUND)
            return err_set(err, ERR_NOT_FOUND, "pod \"" STR_FMT "\" not found",
                           STR_ARG(b->args.pod));
        if (rc)
            return err_prefix(err, rc, "get pod");
        if (!str_eq(live.uid, b->args.uid))
            return err_set(err, ERR_NOT_FOUND, "pod \"" STR_FMT "\" has another UID now",
                           STR_ARG(b->args.pod));
        b->pod = cluster_pod_clone(&live);
        if (!b->pod)
            return err_set(err, ERR_NO_MEMORY, "bind: no memory");
    }
    b->resource_version = b->pod->resource_version;
    b->reserved_keys = b->pod->reserved_keys;
    return ERR_OK;
}

/* ---- decide and charge ---- */

/* Of the card's group; NULL: no card of it has any. */
static const struct score_trait *trait_of(const struct score_node *node, uint16_t device)
{
    for (uint16_t g = 0; g < node->groups_n; g++) {
        const struct score_group *group = &node->groups[g];
        if (device >= group->first && device - group->first < group->n)
            return group->traits ? &group->traits[device - group->first] : NULL;
    }
    return NULL;
}

static const struct score_profile *copy_profile(struct arena *arena, const struct score_node *node,
                                                uint16_t number)
{
    if (number == 0)
        return NULL;
    assert(number <= node->profiles_n);
    struct score_profile *copy = arena_alloc(arena, sizeof(*copy));
    if (!copy)
        return NULL; /* sticky: remember_written() looks */
    *copy = node->profiles[number - 1];
    copy->name = arena_str(arena, copy->name);
    copy->id = arena_str(arena, copy->id);
    return copy;
}

/* The snapshot goes; what it says of the cards is needed until the Binding is written. */
static enum err_code remember_written(struct bind *b, const struct score_node *node,
                                      struct err *err)
{
    struct arena *arena = b->r->arena;
    b->written = arena_array(arena, b->placement.parts_n + 1u, sizeof(*b->written));
    for (uint16_t p = 0; b->written && p < b->placement.parts_n; p++) {
        const struct score_part *part = &b->placement.parts[p];
        const struct score_device *card = &node->devices[part->device];
        const struct score_trait *trait = trait_of(node, part->device);
        const uint16_t container = b->pod->request.asks[part->ask].container;
        b->written[p] =
            (struct vendor_written){.container = container,
                                    .container_name = b->pod->container_names[container],
                                    .shares = part->shares ? part->shares : 1,
                                    .uuid = arena_str(arena, card->uuid),
                                    .type = arena_str(arena, node->types[card->type]),
                                    .minor = arena_str(arena, node->types[card->mode]),
                                    .index = card->index,
                                    .mem_mib = part->mem_mib,
                                    .cores_pct = part->cores_pct,
                                    .bits = part->bits,
                                    .bits_total = trait ? trait->bits_total : 0,
                                    .profile = copy_profile(arena, node, part->profile)};
    }
    return arena_failed(arena) ? err_set(err, ERR_NO_MEMORY, "bind: out of request memory")
                               : ERR_OK;
}

static enum err_code decide_on(struct bind *b, const struct cluster_snapshot *snap, struct err *err)
{
    struct cluster_store *store = b->app->store;
    const struct cluster_node *node = cluster_snapshot_find(snap, b->args.node);
    if (!node)
        return err_set(err, ERR_NOT_FOUND, "node \"" STR_FMT "\" is not known",
                       STR_ARG(b->args.node));
    struct score_quota quotas[SCORE_VENDORS_MAX];
    struct score_request req = b->pod->request;
    req.quotas = quotas;
    const int64_t without_holds = INT64_MAX; /* none is alive then: the bind at hand goes first */
    req.quotas_n = cluster_quota_left(store, b->pod->ns, b->pod->uid, without_holds, quotas);
    uint32_t types_n = 0;
    const struct str *types = cluster_snapshot_types(snap, &types_n);
    struct score_prepared prepared;
    enum err_code rc = score_prepare(&req, types, types_n, b->r->arena, &prepared, err);
    if (rc)
        return rc;
    struct score_verdict verdict;
    struct score_detail detail = {0};
    score_node_place(&prepared, &node->score, NULL, &verdict, &b->placement, &detail);
    if (!verdict.fits) {
        struct buf why;
        buf_init(&why, 1024);
        ext_detail_text(&detail, &why);
        rc = err_set(err, ERR_INVALID, "node \"" STR_FMT "\" has no room any more: %.*s",
                     STR_ARG(b->args.node), (int)why.n, why.p ? why.p : "");
        buf_done(&why);
        return rc;
    }
    struct cluster_decision d = {.pod = b->pod, .node = node, .placement = &b->placement};
    rc = cluster_assume(store, snap, &d, err);
    if (rc)
        return rc;
    b->charged = true;
    return remember_written(b, &node->score, err);
}

static enum err_code decide(struct bind *b, struct err *err)
{
    for (int i = 0; i < DECIDE_TRIES; i++) {
        struct cluster_snapshot *snap = cluster_store_snapshot(b->app->store);
        enum err_code rc = decide_on(b, snap, err);
        cluster_snapshot_unref(snap);
        if (rc != ERR_CONFLICT)
            return rc;
    }
    return err_set(err, ERR_BUSY, "node \"" STR_FMT "\" kept changing while we decided; try again",
                   STR_ARG(b->args.node));
}

/* ---- locks ---- */

static bool in_flight(void *ctx, struct str ns, struct str pod)
{
    const struct bind *b = ctx;
    return ext_flight_is(b->app->binds, ns, pod);
}

static struct lease_lock_args lock_args(struct bind *b, const struct ext_lock *lock)
{
    return (struct lease_lock_args){.kube = b->app->kube,
                                    .clock = b->app->clock,
                                    .node = b->args.node,
                                    .key = lock->key,
                                    .ns = b->args.ns,
                                    .pod = b->args.pod,
                                    .uid = b->args.uid,
                                    .time_only = lock->time_only,
                                    .timeout_ms = write_timeout(b),
                                    .expire_ms = lock->time_only ? LEASE_LOCK_TIME_ONLY_MS
                                                                 : b->app->config.lock_expire_ms,
                                    .may_write = may_write,
                                    .in_flight = in_flight,
                                    .ctx = b};
}

/* As far as our watch knows. */
static bool is_locked(const struct bind *b)
{
    struct cluster_snapshot *snap = cluster_store_snapshot(b->app->store);
    const struct cluster_node *node = cluster_snapshot_find(snap, b->args.node);
    bool locked = node && node->lock.p;
    cluster_snapshot_unref(snap);
    return locked;
}

/* Waits a little for a lock that somebody holds, as long as most workers are free: the plugin of
 * the pod before usually lets go within milliseconds. Our watch shows the shared lock only. */
static bool wait_for_lock(struct bind *b, const struct ext_lock *lock)
{
    if (now_ms(b) + LOCK_RETRY_MS + EXT_WRITE_TIMEOUT_MS / 2 >= b->deadline_ms ||
        !ext_binds_may_wait(b->app->binds, (unsigned)b->app->config.workers_max / 2))
        return false;
    for (int waited = 0; waited < LOCK_RETRY_MS; waited += LOCK_LOOK_MS) {
        sleep_ms(LOCK_LOOK_MS);
        if (!lock->time_only && !is_locked(b))
            break;
    }
    ext_binds_waited(b->app->binds);
    return true;
}

/* The kinds of locks that the asked vendors' plugins need, in sorted order so that two binds can't
 * wait for each other. Init containers count: their devices are allocated by the same plugin
 * (vendors-a.md S12 D7, core.md D C42). */
static enum err_code list_locks(struct bind *b, size_t *ret_n, struct err *err)
{
    const struct score_request *req = &b->pod->request;
    struct ext_lock *locks = b->undo.locks;
    size_t n = 0;
    for (uint16_t i = 0; i < req->asks_n; i++) {
        const struct vendor *v = vendor_at(b->app->vendors, req->asks[i].vendor);
        if (!(v->rules & VENDOR_RULE_LOCK))
            continue;
        size_t at = 0;
        while (at < n && str_cmp(locks[at].key, v->node_lock) < 0)
            at++;
        if (at < n && str_eq(locks[at].key, v->node_lock))
            continue;
        if (n == EXT_LOCKS_MAX)
            return err_set(err, ERR_INTERNAL, "more than %d kinds of node locks for one pod",
                           EXT_LOCKS_MAX);
        memmove(&locks[at + 1], &locks[at], (n - at) * sizeof(locks[0]));
        locks[at] = (struct ext_lock){.key = v->node_lock, .time_only = v->lock_time_only};
        n++;
    }
    *ret_n = n;
    return ERR_OK;
}

/* Some plugins unlock after the first container and find the pod of the next call by a search,
 * which a lock goes before (node-side.md 7): nobody locks the node before that pod's lists are
 * served, which this waits a moment for. */
static enum err_code await_served(const struct bind *b, const struct ext_lock *lock, struct err *err)
{
    /* As long as asking the API server for the lock would take, whoever else waits: most plugins
     * are done by then, and a bind that is sent away waits for kube-scheduler's back-off. */
    for (int waited = 0; waited <= SERVED_MS; waited += LOCK_LOOK_MS) {
        if (lock->time_only || !cluster_node_serving(b->app->store, b->args.node, b->args.uid))
            return ERR_OK;
        sleep_ms(LOCK_LOOK_MS);
    }
    return err_set(err, ERR_BUSY,
                   "node " STR_FMT " hands out the cards of a pod that was bound before: node lock "
                   "contention",
                   STR_ARG(b->args.node));
}

/* What was taken is in b->undo. */
static enum err_code take_locks(struct bind *b, struct err *err)
{
    size_t n = 0;
    enum err_code rc = list_locks(b, &n, err);
    for (size_t i = 0; !rc && i < n; i++) {
        struct ext_lock *lock = &b->undo.locks[i];
        do {
            rc = await_served(b, lock, err);
            if (!rc) {
                struct lease_lock_args args = lock_args(b, lock);
                rc = lease_lock_take(&args, lock->value, err);
                ext_wrote(b->app, &b->term);
            }
        } while (rc == ERR_BUSY && wait_for_lock(b, lock));
        if (!rc || rc == ERR_UNKNOWN) /* perhaps ours, now or later: to be released */
            b->undo.locks_n = i + 1;
        if (rc == ERR_UNKNOWN && !lock->time_only)
            lock->value[0] = '\0'; /* by owner */
        if (!rc)
            rc = await_served(b, lock, err); /* it may have come and unlocked while we asked */
    }
    return rc;
}

/* ---- the Binding ---- */

static void add_pair(struct buf *out, bool *any, struct str key, struct str value)
{
    if (*any)
        buf_char(out, ',');
    *any = true;
    buf_json(out, key);
    buf_char(out, ':');
    buf_json(out, value);
}

struct notes { /* of a Binding, as they are written */
    struct buf *out;
    struct arena *arena;
    struct str *keys; /* so far */
    size_t keys_n, bytes;
    bool any;
    struct vendor_written *shares; /* room for those of one vendor */
    struct score_ask *asks;
};

static void add_note(void *ctx, struct str key, struct str value)
{
    struct notes *notes = ctx;
    for (size_t i = 0; i < notes->keys_n; i++)
        if (str_eq(notes->keys[i], key))
            return; /* rows of one maker share some: the time of the decision */
    notes->keys[notes->keys_n++] = arena_str(notes->arena, key);
    notes->bytes += key.n + value.n;
    add_pair(notes->out, &notes->any, key, value);
}

/* What one vendor's plugins are to read; nothing for vendors without a share (vendors-a.md S12 D5,
 * vendors-b.md D0.2). Shares and asks of one vendor are sorted by container, as the request is. */
static enum err_code add_vendor(struct bind *b, uint16_t vendor, struct notes *notes,
                                struct err *err)
{
    const struct score_request *req = &b->pod->request;
    struct vendor_write w = {.shares = notes->shares,
                             .containers_n = b->pod->containers_n,
                             .node = b->args.node,
                             .now_ns = clock_wall_ns(b->app->clock),
                             .asks = notes->asks};
    for (uint16_t p = 0; p < b->placement.parts_n; p++)
        if (req->asks[b->placement.parts[p].ask].vendor == vendor)
            notes->shares[w.shares_n++] = b->written[p];
    for (uint16_t i = 0; i < req->asks_n; i++)
        if (req->asks[i].vendor == vendor)
            notes->asks[w.asks_n++] = req->asks[i];
    if (w.shares_n == 0)
        return ERR_OK;
    enum err_code rc =
        vendor_annotate(vendor_at(b->app->vendors, vendor), &w, b->r->arena, add_note, notes, err);
    return rc ? err_prefix(err, rc, "bind") : ERR_OK;
}

/* The decision: what each vendor's plugins read, and what all do. */
static enum err_code add_notes(struct bind *b, struct buf *out, struct err *err)
{
    struct arena *arena = b->r->arena;
    const size_t most = (size_t)vendor_count(b->app->vendors) * VENDOR_ANNOTATIONS_MAX + 4;
    struct notes notes = {
        .out = out,
        .arena = arena,
        .keys = arena_array(arena, most, sizeof(*notes.keys)),
        .shares = arena_array(arena, b->placement.parts_n + 1u, sizeof(*notes.shares)),
        .asks = arena_array(arena, b->pod->request.asks_n + 1u, sizeof(*notes.asks))};
    if (!notes.keys || !notes.shares || !notes.asks)
        return err_set(err, ERR_NO_MEMORY, "bind: out of request memory");
    for (uint16_t vendor = 0; vendor < vendor_count(b->app->vendors); vendor++) {
        enum err_code rc = add_vendor(b, vendor, &notes, err);
        if (rc)
            return rc;
    }
    char seconds[24];
    struct str now = {seconds, (size_t)snprintf(seconds, sizeof(seconds), "%lld",
                                                (long long)clock_wall_s(b->app->clock))};
    add_note(&notes, STR(KEY_POD_NODE), b->args.node);
    add_note(&notes, STR(KEY_POD_TIME), now);
    add_note(&notes, STR(KEY_POD_BIND_TIME), now);
    add_note(&notes, STR(KEY_POD_BIND_PHASE), STR(KEY_PHASE_ALLOCATING));
    if (arena_failed(arena))
        return err_set(err, ERR_NO_MEMORY, "bind: out of request memory");
    if (notes.bytes > NOTES_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE,
                       "bind: the allocation takes %zu bytes of annotations, an object has at most "
                       "%d; ask for fewer cards or containers",
                       notes.bytes, NOTES_MAX_BYTES);
    return ERR_OK;
}

static enum err_code binding_body(struct bind *b, struct buf *out, struct err *err)
{
    buf_add(out, STR("{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":"));
    buf_json(out, b->args.pod);
    buf_add(out, STR(",\"namespace\":"));
    buf_json(out, b->args.ns);
    buf_add(out, STR(",\"uid\":"));
    buf_json(out, b->args.uid);
    if (b->charged) {
        if (b->resource_version.n) {
            buf_add(out, STR(",\"resourceVersion\":"));
            buf_json(out, b->resource_version);
        }
        buf_add(out, STR(",\"annotations\":{"));
        enum err_code rc = add_notes(b, out, err);
        if (rc)
            return rc;
        buf_char(out, '}');
        if (b->args.node.n <= 63) { /* a longer name is no label value (node-side.md 2.1) */
            buf_add(out, STR(",\"labels\":{"));
            bool any = false;
            add_pair(out, &any, STR(KEY_POD_NODE), b->args.node);
            buf_char(out, '}');
        }
    }
    buf_add(out, STR("},\"target\":{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":"));
    buf_json(out, b->args.node);
    buf_add(out, STR("}}"));
    return out->failed ? err_set(err, ERR_TOO_LARGE, "bind: annotations too long") : ERR_OK;
}

/* One annotation map: a null for each key of a decision but those that every Binding overwrites. */
static void null_reserved(struct bind *b, struct scan *s, struct buf *out)
{
    struct str key;
    bool any = false;
    if (scan_null(s) || !scan_object(s))
        return;
    while (scan_key(s, &key)) {
        scan_skip(s);
        if (!vendor_key_reserved(b->app->vendors, key) || str_eq(key, STR(KEY_POD_NODE)) ||
            str_eq(key, STR(KEY_POD_TIME)) || str_eq(key, STR(KEY_POD_BIND_TIME)) ||
            str_eq(key, STR(KEY_POD_BIND_PHASE)))
            continue;
        if (any)
            buf_char(out, ',');
        any = true;
        buf_json(out, key);
        buf_add(out, STR(":null"));
    }
}

/* The members of a merge patch's "annotations" that take reserved keys off the pod as it is stored.
 * By their own names: makers that we don't serve have keys, too. */
static enum err_code reserved_of(struct bind *b, struct buf *out, struct err *err)
{
    struct kube_request req = {.verb = KUBE_GET,
                               .kind = KUBE_POD,
                               .ns = b->args.ns,
                               .name = b->args.pod,
                               .timeout_ms = write_timeout(b)};
    struct kube_response resp = {0};
    enum err_code rc = kube_call(b->app->kube, &req, &resp, err);
    if (rc)
        return err_prefix(err, rc, "get pod");
    struct scan s = scan_start((struct str){resp.body, resp.body_n}, SCAN_DEPTH_MAX, b->r->arena);
    struct str top, key;
    (void)scan_object(&s);
    while (scan_key(&s, &top)) {
        if (!str_eq(top, STR("metadata")) || scan_peek(&s) != SCAN_OBJECT) {
            scan_skip(&s);
            continue;
        }
        (void)scan_object(&s);
        while (scan_key(&s, &key)) {
            if (str_eq(key, STR("annotations")))
                null_reserved(b, &s, out);
            else
                scan_skip(&s);
        }
    }
    rc = scan_end(&s) ? ERR_OK : scan_err(&s, "the pod's object", err);
    kube_response_done(&resp);
    return rc;
}

/* Removes allocation keys of others that the Binding would merge with, under the pod's
 * resourceVersion. */
static enum err_code clean_reserved(struct bind *b, struct err *err)
{
    struct buf body;
    buf_init(&body, 1 << 16);
    buf_add(&body, STR("{\"metadata\":{\"uid\":"));
    buf_json(&body, b->args.uid);
    buf_add(&body, STR(",\"resourceVersion\":"));
    buf_json(&body, b->resource_version);
    buf_add(&body, STR(",\"annotations\":{"));
    enum err_code rc = reserved_of(b, &body, err);
    buf_add(&body, STR("}}}"));
    if (!rc && body.failed)
        rc = err_set(err, ERR_TOO_LARGE, "bind: too many keys to remove");
    if (!rc && !may_write(b))
        rc = too_late(b, err);
    if (rc) {
        buf_done(&body);
        return rc;
    }
    struct kube_request req = {.verb = KUBE_PATCH,
                               .kind = KUBE_POD,
                               .ns = b->args.ns,
                               .name = b->args.pod,
                               .status = true,
                               .patch_type = KUBE_PATCH_MERGE,
                               .body = {body.p, body.n},
                               .timeout_ms = write_timeout(b)};
    struct kube_response resp = {0};
    rc = kube_call(b->app->kube, &req, &resp, err);
    ext_wrote(b->app, &b->term);
    if (!rc) {
        struct str text = arena_str(b->r->arena, (struct str){resp.body, resp.body_n});
        struct cluster_pod now = {0};
        rc = arena_failed(b->r->arena)
                 ? err_set(err, ERR_NO_MEMORY, "bind: out of request memory")
                 : cluster_pod_decode(&b->app->cluster, text, false, b->r->arena, &now, err);
        if (!rc) {
            b->resource_version = now.resource_version;
            b->reserved_keys = false;
        }
    }
    kube_response_done(&resp);
    buf_done(&body);
    return rc;
}

static enum err_code post_binding(struct bind *b, struct err *err)
{
    struct buf body;
    buf_init(&body, 1 << 20);
    enum err_code rc = binding_body(b, &body, err);
    if (!rc && !may_write(b))
        rc = too_late(b, err);
    if (!rc) {
        struct kube_request req = {.verb = KUBE_BIND,
                                   .kind = KUBE_POD,
                                   .ns = b->args.ns,
                                   .name = b->args.pod,
                                   .body = {body.p, body.n},
                                   .timeout_ms = write_timeout(b)};
        struct kube_response resp = {0};
        b->sent = true;
        rc = kube_call(b->app->kube, &req, &resp, err);
        ext_wrote(b->app, &b->term);
        kube_response_done(&resp);
    }
    buf_done(&body);
    return rc;
}

/* ---- the steps, in order ---- */

static enum err_code send(struct bind *b, struct err *err)
{
    for (int i = 0; i < CONFLICT_TRIES; i++) {
        enum err_code rc = ERR_OK;
        if (b->charged && b->reserved_keys)
            rc = clean_reserved(b, err);
        if (!rc)
            rc = post_binding(b, err);
        if (rc != ERR_CONFLICT)
            return rc;
        struct cluster_pod live;
        struct err why = *err;
        rc = ext_pod_get(b->app, b->r->arena, b->args.ns, b->args.pod, &live, err);
        if (rc) /* the 409 was definite all the same */
            return rc == ERR_NOT_FOUND
                       ? rc
                       : err_set(err, ERR_BUSY, "%s; and the pod can't be read", why.text);
        if (!str_eq(live.uid, b->args.uid))
            return err_set(err, ERR_NOT_FOUND, "pod \"" STR_FMT "\" has another UID now",
                           STR_ARG(b->args.pod));
        if (live.node.n && str_eq(live.node, b->args.node)) /* our own earlier write; perhaps of a
                                                               process before this one */
            return cluster_adopt(b->app->store, &live, err)
                       ? err_prefix(err, ERR_UNKNOWN, "bound, and not charged")
                       : ERR_OK;
        if (live.node.n || live.deleting || live.gated)
            return err_set(err, ERR_INVALID, "%s", why.text);
        b->resource_version = live.resource_version;
        b->reserved_keys = live.reserved_keys;
    }
    return err_set(err, ERR_BUSY, "pod \"" STR_FMT "\" kept changing; try again",
                   STR_ARG(b->args.pod));
}

static enum err_code bind_pod(struct bind *b, struct err *err)
{
    enum err_code rc = ext_term_enter(b->app, b->deadline_ms, &b->term, err);
    if (!rc)
        rc = find_pod(b, err);
    if (rc)
        return rc;
    assert(b->pod);
    if (b->pod->node.n)
        return str_eq(b->pod->node, b->args.node)
                   ? ERR_OK
                   : err_set(err, ERR_INVALID, "pod is bound to node \"" STR_FMT "\" already",
                             STR_ARG(b->pod->node));
    if (b->pod->wants == CLUSTER_WANTS_REFUSED)
        return err_set(err, ERR_INVALID, "%s: " STR_FMT, score_reason_code(b->pod->refused_reason),
                       STR_ARG(b->pod->refused_text));
    if (b->pod->wants == CLUSTER_WANTS_CARDS) {
        rc = decide(b, err);
        if (!rc)
            rc = take_locks(b, err);
    }
    copy_z(b->undo.resource_version, sizeof(b->undo.resource_version), b->resource_version);
    if (!rc)
        rc = send(b, err);
    copy_z(b->undo.resource_version, sizeof(b->undo.resource_version), b->resource_version);
    if (!rc) {
        if (b->charged)
            cluster_confirm(b->app->store, b->args.uid);
        return ERR_OK;
    }
    if (!b->charged)
        return rc;
    b->undo.binding = true;
    enum ext_proof proof = rc == ERR_UNKNOWN && b->sent ? EXT_PROOF_NONE : EXT_PROOF_NEVER;
    for (int i = 0; proof == EXT_PROOF_NONE && i < FENCE_TRIES; i++)
        proof = ext_settle_fence(b->r->arena, &b->undo);
    if (proof == EXT_PROOF_NONE || !ext_settle_act(&b->undo, proof))
        ext_settle_later(b->app->binds, &b->undo);
    if (proof == EXT_PROOF_BOUND)
        return ERR_OK;
    if (proof == EXT_PROOF_NONE)
        ext_metrics_count(b->app->metrics, EXT_BIND_UNKNOWN, 1);
    return rc;
}

/* ---- the handler ---- */

static void answer(struct ext_answer *a, const char *error)
{
    a->status = 200; /* kube-scheduler reads bodies of 200 answers only */
    a->content_type = "application/json";
    buf_add(&a->body, STR("{\"Error\":"));
    buf_json(&a->body, str_z(error));
    buf_char(&a->body, '}');
}

static void report(struct bind *b, const struct err *result)
{
    struct ext_app *app = b->app;
    enum ext_counter counter = EXT_BIND_ERRORS;
    if (result->code == ERR_OK)
        counter = EXT_BIND_OK;
    else if (result->code == ERR_BUSY)
        counter = EXT_BIND_BUSY;
    else if (result->code == ERR_CONFLICT || result->code == ERR_INVALID)
        counter = EXT_BIND_CONFLICT;
    ext_metrics_count(app->metrics, counter, 1);
    struct buf text;
    buf_init(&text, 2048);
    if (result->code == ERR_OK)
        buf_fmt(&text, "Successfully binding node [" STR_FMT "] to " STR_FMT "/" STR_FMT,
                STR_ARG(b->args.node), STR_ARG(b->args.ns), STR_ARG(b->args.pod));
    else
        buf_add(&text, str_z(result->text));
    struct kube_event event = {.ns = b->args.ns,
                               .pod = b->args.pod,
                               .uid = b->args.uid,
                               .warning = result->code != ERR_OK,
                               .reason = result->code == ERR_OK ? STR("BindingSucceed")
                                                                : STR("BindingFailed"),
                               .message = {text.p, text.n}};
    if (b->pod && b->pod->wants != CLUSTER_WANTS_NOTHING &&
        result->code != ERR_BUSY) /* a busy node is told once, by kube-scheduler */
        kube_events_post(app->events, &event);
    log_info(2, "bind",
             "id=%llu pod=" STR_FMT "/" STR_FMT " uid=" STR_FMT " node=" STR_FMT
             " ms=%lld result=\"%s\"",
             (unsigned long long)b->r->id, STR_ARG(b->args.ns), STR_ARG(b->args.pod),
             STR_ARG(b->args.uid), STR_ARG(b->args.node), (long long)(now_ms(b) - b->r->started_ms),
             result->code ? result->text : "ok");
    buf_done(&text);
}

void ext_bind(struct ext_request *r, struct ext_answer *a)
{
    struct ext_app *app = r->app;
    struct err err = {0};
    struct bind *b = arena_alloc(r->arena, sizeof(*b));
    struct ext_flight *mine = arena_alloc(r->arena, sizeof(*mine));
    if (!b || !mine) {
        answer(a, "bind: out of request memory");
        return;
    }
    b->app = app;
    b->r = r;
    b->deadline_ms = r->started_ms + app->config.bind_timeout_ms;
    if (ext_wire_bind_args(r->body, r->arena, &b->args, &err)) {
        answer(a, err.text);
        return;
    }
    if (b->args.pod.n >= EXT_NAME_MAX || b->args.ns.n >= EXT_NAME_MAX ||
        b->args.uid.n >= EXT_NAME_MAX || b->args.node.n >= EXT_NAME_MAX) {
        answer(a, "binding args: a name is longer than Kubernetes allows");
        return;
    }
    if (!ext_ready(app)) {
        answer(a, "not ready: nodes, pods or quotas of the cluster are not read yet");
        return;
    }
    b->undo.app = app;
    copy_z(b->undo.ns, sizeof(b->undo.ns), b->args.ns);
    copy_z(b->undo.name, sizeof(b->undo.name), b->args.pod);
    copy_z(b->undo.uid, sizeof(b->undo.uid), b->args.uid);
    copy_z(b->undo.node, sizeof(b->undo.node), b->args.node);
    copy_z(mine->ns, sizeof(mine->ns), b->args.ns);
    copy_z(mine->name, sizeof(mine->name), b->args.pod);
    copy_z(mine->uid, sizeof(mine->uid), b->args.uid);
    copy_z(mine->node, sizeof(mine->node), b->args.node);

    switch (ext_flight_enter(app->binds, mine, &err)) {
    case EXT_JOINED:
        ext_metrics_count(app->metrics, EXT_BIND_JOINED, 1);
        answer(a, err.code ? err.text : "");
        return;
    case EXT_ELSEWHERE:
        answer(a, "a bind of this pod to another node is under way; try again");
        return;
    case EXT_NAMESAKE:
        answer(a, "a bind of an earlier pod of this name is under way; try again");
        return;
    case EXT_ENTERED:
        break;
    }
    char charged_on[EXT_NAME_MAX];
    enum cluster_state state =
        cluster_pod_state(app->store, b->args.uid, charged_on, sizeof(charged_on));
    if (state == CLUSTER_STATE_BOUND && str_eq(str_z(charged_on), b->args.node)) {
        err.code = ERR_OK; /* the answer to an earlier call was lost */
    } else if (state == CLUSTER_STATE_BOUND) {
        err_ignore(err_set(&err, ERR_INVALID, "pod is bound to node \"%s\" already", charged_on));
    } else if (state == CLUSTER_STATE_ASSUMED) {
        err_ignore(
            err_set(&err, ERR_BUSY,
                    "the outcome of an earlier bind to node \"%s\" is not known yet; try again",
                    charged_on));
    } else if (ext_settle_is(app->binds, b->args.ns, b->args.pod, b->args.node)) {
        /* its lock would be taken for ours, and ours be released for its */
        err_ignore(err_set(&err, ERR_BUSY,
                           "an earlier bind to node \"" STR_FMT "\" is not settled yet; try again",
                           STR_ARG(b->args.node)));
    } else {
        struct err fresh = {0};
        fresh.code = bind_pod(b, &fresh);
        err = fresh;
    }
    report(b, &err);
    ext_flight_leave(app->binds, mine, &err);
    answer(a, err.code ? err.text : "");
    free(b->pod);
}
