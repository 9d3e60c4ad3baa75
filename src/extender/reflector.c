/* List and watch → store: one thread a kind (nodes, pods, quotas). Objects are decoded from the
 * bytes as they stream in; nothing of them is kept but what the ledger takes.
 *
 * A thread's life: streaming list where the server offers it, else pages; then watch from that
 * resourceVersion, resumed after every end; 410: list again; all failures back off with jitter.
 * Source: contract/kubernetes.md 2.2. */
#include "extender/turn.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define ITEM_MEMORY_MAX (8u << 20) /* arena of one object */
#define STOP_POLL_MS    100        /* how soon a pause sees that a list is wanted */

struct watcher {
    struct ext_app *app;
    enum kube_kind kind;
    enum cluster_kind cluster_kind;
    enum ext_sync sync;
    pthread_t thread;
    bool started;
    struct arena *arena;
    char resource_version[KUBE_RV_MAX]; /* resume after this; "": list first */
    bool relisting;                     /* between relist_begin and relist_end */
    bool no_initial;                    /* the server does not serve streaming lists */
    uint64_t random;
    int64_t asked_ms;   /* when the list under way was asked for */
    int retry_after_ms; /* what a refused list or watch was told; 0: nothing */
    struct ext_watch *shared;
};

struct ext_reflector {
    struct ext_app *app;
    _Atomic bool stop;
    pthread_mutex_t lock; /* guards nothing but the waits below */
    pthread_cond_t wake;
    struct watcher watchers[EXT_SYNC_COUNT_];
};

static const struct {
    enum kube_kind kind;
    enum cluster_kind cluster_kind;
    const char *name;
} KINDS[EXT_SYNC_COUNT_] = {
    [EXT_SYNC_NODES] = {KUBE_NODE, CLUSTER_NODES, "nodes"},
    [EXT_SYNC_PODS] = {KUBE_POD, CLUSTER_PODS, "pods"},
    [EXT_SYNC_QUOTAS] = {KUBE_QUOTA, CLUSTER_QUOTAS, "resourcequotas"},
};

/* ---- one object ---- */

static void tell_fault(const struct ext_app *app, const char *what,
                       const struct cluster_node_object *node, uint16_t vendor, struct str why)
{
    if (why.p)
        log_warn(what, "node=" STR_FMT " vendor=" STR_FMT " err=\"" STR_FMT "\"",
                 STR_ARG(node->name), STR_ARG(vendor_at(app->cluster.vendors, vendor)->core.key),
                 STR_ARG(why));
}

/* A registration that can't be read takes the node's cards away, and one that is wrong in part
 * takes a card or what is known of pairs: said once, not at each of the plugin's rewrites. Called
 * before the object is applied. */
static void tell_registrations(struct ext_app *app, const struct cluster_node_object *node)
{
    uint16_t n = 0;
    for (uint16_t i = 0; i < node->cards_n; i++) {
        const struct cluster_node_cards *c = &node->cards[i];
        n = (uint16_t)(n + (c->broken.p != NULL) + (c->card_fault.p != NULL) +
                       (c->topology_fault.p != NULL));
    }
    if (n == 0 || node->ignored)
        return;
    struct cluster_snapshot *snap = cluster_store_snapshot(app->store);
    const struct cluster_node *known = cluster_snapshot_find(snap, node->name);
    bool told = known && known->faults_n >= n;
    cluster_snapshot_unref(snap);
    for (uint16_t i = 0; i < node->cards_n && !told; i++) {
        const struct cluster_node_cards *c = &node->cards[i];
        tell_fault(app, "registration not taken", node, c->vendor, c->broken);
        tell_fault(app, "card not taken", node, c->vendor, c->card_fault);
        tell_fault(app, "topology not taken", node, c->vendor, c->topology_fault);
    }
}

static void tell_trouble(struct ext_app *app, const struct cluster_pod *pod, const char *reason,
                         const char *what)
{
    log_warn("pod's allocation", "pod=" STR_FMT "/" STR_FMT " node=" STR_FMT " why=\"%s\"",
             STR_ARG(pod->ns), STR_ARG(pod->name), STR_ARG(pod->node), what);
    struct kube_event event = {.ns = pod->ns,
                               .pod = pod->name,
                               .uid = pod->uid,
                               .warning = true,
                               .reason = str_z(reason),
                               .message = str_z(what)};
    if (ext_leading(app)) /* one of us tells the pod */
        kube_events_post(app->events, &event);
}

/* Told once, when the ledger finds it: after a restart again, for what it finds then. */
static enum err_code apply_pod(struct ext_app *app, const struct cluster_pod *pod, struct err *err)
{
    const bool bound = pod->node.n > 0 && pod->vendors_asked;
    struct cluster_trouble before = {0}, now = {0};
    if (bound)
        before = cluster_pod_trouble(app->store, pod->uid);
    enum err_code rc = cluster_apply_pod(app->store, pod, err);
    if (bound && !rc)
        now = cluster_pod_trouble(app->store, pod->uid);
    if (!rc)
        ext_labels_see(app->labels, pod);
    if (now.fail_closed && !before.fail_closed)
        tell_trouble(
            app, pod, "AllocationUnaccounted",
            "the annotations do not say which cards, or which parts of them, are the pod's; "
            "all that may be is taken on the node until it ends");
    if (now.tampered && !before.tampered)
        tell_trouble(app, pod, "AllocationChanged",
                     "the allocation annotations have changed since the pod was bound; what was "
                     "decided stays charged as long as it runs");
    return rc;
}

/* *ret_read: the object was understood, and what failed is the ledger. */
static enum err_code apply(struct watcher *w, struct str object, bool *ret_read, struct err *err)
{
    struct ext_app *app = w->app;
    enum err_code rc;
    switch (w->kind) {
    case KUBE_NODE: {
        struct cluster_node_object node;
        rc = cluster_node_decode(&app->cluster, object, false, w->arena, &node, err);
        if (rc)
            return rc;
        *ret_read = true;
        tell_registrations(app, &node);
        rc = cluster_apply_node(app->store, &node, err);
        ext_turns_look(app->turns, node.name);
        return rc;
    }
    case KUBE_POD: {
        struct cluster_pod pod;
        rc = cluster_pod_decode(&app->cluster, object, false, w->arena, &pod, err);
        *ret_read = !rc;
        if (rc)
            return rc;
        rc = apply_pod(app, &pod, err);
        if (!rc && w->relisting)
            ext_wake_found(app->wake, &pod);
        if (pod.node.n)
            ext_turns_look(app->turns, pod.node);
        return rc;
    }
    case KUBE_QUOTA: {
        struct cluster_quota_object quota;
        rc = cluster_quota_decode(&app->cluster, object, w->arena, &quota, err);
        if (!rc && quota.broken) /* at a level: quotas change with every pod of their namespace */
            log_info(2, "quota counts as 0",
                     "quota=" STR_FMT "/" STR_FMT " err=\"a limit can't be read\"",
                     STR_ARG(quota.ns), STR_ARG(quota.name));
        *ret_read = !rc;
        return rc ? rc : cluster_apply_quota(app->store, &quota, err);
    }
    default:
        return err_set(err, ERR_INTERNAL, "no store for this kind");
    }
}

struct identity {
    struct str ns, name, uid;
};

static enum err_code read_identity(struct watcher *w, struct str object, struct identity *ret,
                                   struct err *err)
{
    return cluster_identity_decode(object, w->arena, &ret->ns, &ret->name, &ret->uid, err);
}

static void delete_object(struct watcher *w, const struct identity *id)
{
    if (w->kind == KUBE_NODE)
        cluster_delete_node(w->app->store, id->name, id->uid);
    else if (w->kind == KUBE_POD)
        cluster_delete_pod(w->app->store, id->uid);
    else
        cluster_delete_quota(w->app->store, id->ns, id->name);
    if (w->kind != KUBE_QUOTA) /* of a pod's deletion only the name is read, not its node */
        ext_turns_look(w->app->turns, w->kind == KUBE_NODE ? id->name : STR(""));
}

static enum err_code apply_deletion(struct watcher *w, struct str object, struct err *err)
{
    struct identity id;
    enum err_code rc = read_identity(w, object, &id, err);
    if (!rc)
        delete_object(w, &id);
    return rc;
}

/* One bad object must not stop the others: it is told, counted and left out. What is known of a pod
 * or a quota stays as it is: a list that has it is no proof that it is gone, and nothing unreadable
 * frees. A node that can't be read takes no pods. `head`: as much of it as there is. */
static void leave_out(struct watcher *w, struct str head, const char *why)
{
    struct identity id = {STR(""), STR(""), STR("")};
    arena_reset(w->arena);
    bool known = !read_identity(w, head, &id, NULL);
    ext_metrics_count(w->app->metrics, EXT_DECODE_ERRORS, 1);
    log_error("object not taken", "kind=%s name=" STR_FMT "%s" STR_FMT " err=\"%s\"",
              KINDS[w->sync].name, STR_ARG(id.ns), id.ns.n ? "/" : "", STR_ARG(id.name), why);
    if (known && w->relisting && w->kind == KUBE_POD)
        cluster_relist_keep_pod(w->app->store, id.uid);
    if (known && w->relisting && w->kind == KUBE_QUOTA)
        cluster_relist_keep_quota(w->app->store, id.ns, id.name);
}

/* An object that did not arrive as a whole, or can't be taken apart. Of one that was deleted its
 * name is enough. */
static void take_unread(struct watcher *w, enum kube_event_type type, struct str head,
                        const char *why)
{
    struct identity id;
    arena_reset(w->arena);
    ext_metrics_count(w->app->metrics, EXT_WATCH_EVENTS, 1);
    if (type == KUBE_DELETED && !read_identity(w, head, &id, NULL))
        delete_object(w, &id);
    else
        leave_out(w, head, why);
}

/* An object that the ledger has no memory for is not to blame: ERR_NO_MEMORY ends the list or
 * watch, and it comes again. Any other that can't be taken is left out. */
static enum err_code take(struct watcher *w, enum kube_event_type type, struct str object,
                          struct err *err)
{
    bool read = false;
    arena_reset(w->arena);
    enum err_code rc =
        type == KUBE_DELETED ? apply_deletion(w, object, err) : apply(w, object, &read, err);
    ext_metrics_count(w->app->metrics, EXT_WATCH_EVENTS, 1);
    if (!rc || (rc == ERR_NO_MEMORY && read))
        return rc;
    leave_out(w, object, err->text);
    return ERR_OK;
}

/* ---- list ---- */

static void relist_begin(struct watcher *w)
{
    cluster_relist_begin(w->app->store, w->cluster_kind);
    w->relisting = true;
    w->asked_ms = clock_mono_ms(w->app->clock);
    ext_metrics_count(w->app->metrics, EXT_RELISTS, 1);
}

static void relist_end(struct watcher *w)
{
    cluster_relist_end(w->app->store, w->cluster_kind);
    if (w->kind != KUBE_QUOTA) /* what it did not show has ended, and no event says so */
        ext_turns_look(w->app->turns, STR(""));
    w->relisting = false;
    atomic_store(&w->shared->as_of_ms, w->asked_ms);
    /* Said before it counts: who waited for it has the line behind it. */
    if (!atomic_load(&w->app->synced[w->sync]))
        log_info(0, "synced", "kind=%s", KINDS[w->sync].name);
    atomic_store(&w->app->synced[w->sync], true);
}

static void relist_abort(struct watcher *w)
{
    if (w->relisting)
        cluster_relist_abort(w->app->store, w->cluster_kind);
    w->relisting = false;
}

static enum err_code on_item(void *ctx, struct str object, struct err *err)
{
    return take(ctx, KUBE_ADDED, object, err);
}

static void on_unread_item(void *ctx, struct str head, const char *why)
{
    take_unread(ctx, KUBE_ADDED, head, why);
}

static enum err_code list(struct watcher *w, struct err *err)
{
    struct kube_list_options opt = {0};
    struct kube_list_handler handler = {
        .item = on_item, .ctx = w, .unread = on_unread_item, .retry_after_ms = &w->retry_after_ms};
    relist_begin(w);
    enum err_code rc = kube_list(w->app->kube, w->kind, &opt, &w->shared->stop, &handler,
                                 w->resource_version, err);
    if (rc) {
        relist_abort(w);
        w->resource_version[0] = '\0';
        return rc;
    }
    relist_end(w);
    return ERR_OK;
}

/* ---- watch ---- */

static enum err_code on_event(void *ctx, enum kube_event_type type, struct str object,
                              struct str resource_version, struct err *err)
{
    struct watcher *w = ctx;
    enum err_code rc = ERR_OK;
    if (type == KUBE_INITIAL_END)
        relist_end(w);
    else if (type != KUBE_BOOKMARK)
        rc = take(w, type, object, err);
    if (rc) /* resumed in front of this event */
        return rc;
    /* the initial ADDED events come in no order: only the bookmark behind them can be resumed from
     */
    if (!w->relisting && resource_version.n && resource_version.n < sizeof(w->resource_version)) {
        memcpy(w->resource_version, resource_version.p, resource_version.n);
        w->resource_version[resource_version.n] = '\0';
    }
    return ERR_OK;
}

static void on_unread_event(void *ctx, enum kube_event_type type, struct str head, const char *why)
{
    take_unread(ctx, type, head, why);
}

static enum err_code watch(struct watcher *w, bool initial, struct err *err)
{
    struct kube_watch_options opt = {.resource_version = w->resource_version, .initial = initial};
    struct kube_watch_handler handler = {.event = on_event,
                                         .ctx = w,
                                         .unread = on_unread_event,
                                         .retry_after_ms = &w->retry_after_ms};
    if (initial)
        relist_begin(w);
    enum err_code rc = kube_watch(w->app->kube, w->kind, &opt, &w->shared->stop, &handler, err);
    relist_abort(w); /* the initial events were cut short: nothing of them proves an absence */
    return rc;
}

/* ---- the loop ---- */

static void pause_for(struct ext_reflector *rf, const struct watcher *w, int64_t ms)
{
    struct timespec until;
    err_ignore(clock_gettime(CLOCK_MONOTONIC, &until) ? ERR_INTERNAL : ERR_OK);
    pthread_mutex_lock(&rf->lock);
    for (; ms > 0 && !atomic_load(&w->shared->stop); ms -= STOP_POLL_MS) {
        until.tv_nsec += (ms < STOP_POLL_MS ? ms : STOP_POLL_MS) * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        while (!atomic_load(&rf->stop) && pthread_cond_timedwait(&rf->wake, &rf->lock, &until) == 0)
            ;
    }
    pthread_mutex_unlock(&rf->lock);
}

static uint64_t next_random(struct watcher *w) /* xorshift: jitter only */
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return w->random;
}

struct watcher_start {
    struct ext_reflector *rf;
    struct watcher *w;
};

static void run(struct ext_reflector *rf, struct watcher *w)
{
    struct kube_backoff backoff = {0};
    bool gone = false; /* the time before; a server whose every watch is too old must not spin us */
    for (;;) {
        struct err err = {0};
        enum err_code rc = ERR_OK;
        atomic_store(&w->shared->stop,
                     false); /* before what is looked at: its writers set it last */
        if (atomic_load(&rf->stop))
            break;
        if (atomic_load(&w->shared->wanted_ms) > atomic_load(&w->shared->as_of_ms))
            w->resource_version[0] = '\0';
        w->retry_after_ms = 0;
        int64_t since = clock_mono_ms(w->app->clock);
        bool initial = !w->resource_version[0] && !w->no_initial;
        if (!w->resource_version[0] && w->no_initial)
            rc = list(w, &err);
        if (!rc)
            rc = watch(w, initial, &err);
        if (rc == ERR_CANCELLED)
            continue;
        if (rc == ERR_INVALID && initial) { /* WatchList is off there: pages */
            w->no_initial = true;
            continue;
        }
        if (rc == ERR_GONE) {
            w->resource_version[0] = '\0';
            log_info(2, "watch too old", "kind=%s: list again", KINDS[w->sync].name);
            if (!gone) {
                gone = true;
                continue;
            }
        }
        gone = rc == ERR_GONE;
        if (rc)
            log_warn("watch failed", "kind=%s err=\"%s\"", KINDS[w->sync].name, err.text);
        int64_t lasted = clock_mono_ms(w->app->clock) - since;
        if (lasted > 120000)
            backoff = (struct kube_backoff){0};
        if (rc || lasted < 1000) /* one that ends at once, in good order or not, must not spin */
            pause_for(
                rf, w,
                kube_pause_ms(kube_backoff_next_ms(&backoff, next_random(w)), w->retry_after_ms));
    }
}

static void *thread_main(void *ctx)
{
    struct watcher_start start = *(struct watcher_start *)ctx;
    free(ctx);
    run(start.rf, start.w);
    return NULL;
}

enum err_code ext_reflector_start(struct ext_app *app, struct ext_reflector **ret, struct err *err)
{
    struct ext_reflector *rf = calloc(1, sizeof(*rf));
    if (!rf)
        return err_set(err, ERR_NO_MEMORY, "reflector");
    rf->app = app;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&rf->lock, NULL);
    pthread_cond_init(&rf->wake, &attr);
    pthread_condattr_destroy(&attr);
    for (unsigned i = 0; i < EXT_SYNC_COUNT_; i++) {
        struct watcher *w = &rf->watchers[i];
        struct watcher_start *start = malloc(sizeof(*start));
        *w = (struct watcher){.app = app,
                              .kind = KINDS[i].kind,
                              .cluster_kind = KINDS[i].cluster_kind,
                              .sync = (enum ext_sync)i,
                              .arena = arena_new(ITEM_MEMORY_MAX),
                              .shared = &app->watches[i],
                              .random = (uint64_t)clock_wall_ns(app->clock) * 2 + 1 + i};
        if (start)
            *start = (struct watcher_start){rf, w};
        if (!start || !w->arena || pthread_create(&w->thread, NULL, thread_main, start)) {
            free(start);
            ext_reflector_stop(rf);
            return err_set(err, ERR_NO_MEMORY, "reflector: no thread for %s", KINDS[i].name);
        }
        w->started = true;
    }
    *ret = rf;
    return ERR_OK;
}

bool ext_pods_as_of(struct ext_app *app, int64_t at_ms)
{
    struct ext_watch *watch = &app->watches[EXT_SYNC_PODS];
    if (atomic_load(&watch->as_of_ms) >= at_ms)
        return true;
    int64_t wanted = atomic_load(&watch->wanted_ms);
    while (wanted < at_ms)
        if (atomic_compare_exchange_weak(&watch->wanted_ms, &wanted, at_ms)) {
            atomic_store(&watch->stop, true); /* once a wish: what fails is tried in its own time */
            break;
        }
    return false;
}

void ext_reflector_stop(struct ext_reflector *rf)
{
    if (!rf)
        return;
    pthread_mutex_lock(&rf->lock);
    atomic_store(&rf->stop, true);
    for (unsigned i = 0; i < EXT_SYNC_COUNT_; i++)
        atomic_store(&rf->app->watches[i].stop, true);
    pthread_cond_broadcast(&rf->wake);
    pthread_mutex_unlock(&rf->lock);
    for (unsigned i = 0; i < EXT_SYNC_COUNT_; i++) {
        if (rf->watchers[i].started)
            pthread_join(rf->watchers[i].thread, NULL);
        arena_free(rf->watchers[i].arena);
    }
    pthread_cond_destroy(&rf->wake);
    pthread_mutex_destroy(&rf->lock);
    free(rf);
}
