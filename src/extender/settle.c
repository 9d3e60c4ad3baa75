/* What became of a Binding (architecture 5). One rule: a charge whose write was sent ends only by
 * proof. Where the outcome is unknown the Binding is fenced; what can't be settled while
 * kube-scheduler waits goes to the thread at the end of this file. */
#include "extender/settle.h"

#include "vendor/keys.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define PAUSE_MIN_MS 500 /* between two looks at one bind, doubling */
#define PAUSE_MAX_MS 8000
#define LOOK_MS      100  /* how often the thread looks at the clock while something is left */
#define SETTLE_MAX   4096 /* binds of unknown outcome at once */
#define DOUBTS_MAX   64   /* pods asked about in one round */
#define DOUBTS_MS    1000 /* how soon the thread finds one */
#define ARENA_MAX    ((size_t)16 << 20)

struct ext_binds {
    struct ext_app *app;
    pthread_mutex_t lock; /* guards everything below; held for memory work only */
    pthread_cond_t moved;
    struct ext_settle *unsettled; /* oldest first; whoever marks one `busy` may write to it */
    size_t unsettled_n;
    bool stop;
    struct arena *arena; /* the thread's */
    bool has_thread;
    pthread_t thread;
};

/* A live GET; the pod's strings live in the request's arena. */
enum err_code ext_pod_get(struct ext_app *app, struct arena *arena, struct str ns, struct str name,
                          struct cluster_pod *ret, struct err *err)
{
    struct kube_request req = {.verb = KUBE_GET,
                               .kind = KUBE_POD,
                               .ns = ns,
                               .name = name,
                               .timeout_ms = ext_write_ms(&app->config)};
    struct kube_response resp = {0};
    enum err_code rc = kube_call(app->kube, &req, &resp, err);
    if (!rc) {
        struct str text = arena_str(arena, (struct str){resp.body, resp.body_n});
        rc = arena_failed(arena) ? err_set(err, ERR_NO_MEMORY, "pod: out of request memory")
                                 : cluster_pod_decode(&app->cluster, text, false, arena, ret, err);
    }
    kube_response_done(&resp);
    return rc;
}

bool ext_settle_is(struct ext_binds *binds, struct str ns, struct str pod, struct str node)
{
    bool found = false;
    pthread_mutex_lock(&binds->lock);
    for (const struct ext_settle *e = binds->unsettled; e && !found; e = e->next)
        found =
            str_eq(str_z(e->ns), ns) && str_eq(str_z(e->name), pod) && str_eq(str_z(e->node), node);
    pthread_mutex_unlock(&binds->lock);
    return found;
}

/* ---- what became of a Binding ---- */

static int64_t now_ms(const struct ext_settle *e) { return clock_mono_ms(e->app->clock); }

/* All writes of the bind were given up before this; each comes to its end some time after. */
static void begin(struct ext_settle *e)
{
    if (!e->since_ms)
        e->since_ms = now_ms(e);
}

static enum ext_proof look(struct arena *arena, const struct ext_settle *e)
{
    const bool over = now_ms(e) - e->since_ms >= EXT_BINDING_LANDED_MS; /* before we ask */
    struct cluster_pod pod = {0};
    struct err err;
    enum err_code rc = ext_pod_get(e->app, arena, str_z(e->ns), str_z(e->name), &pod, &err);
    if (rc == ERR_NOT_FOUND)
        return EXT_PROOF_NEVER;
    if (rc)
        return EXT_PROOF_NONE;
    if (!str_eq(pod.uid, str_z(e->uid)))
        return EXT_PROOF_NEVER; /* recreated: the Binding named the old UID */
    if (pod.node.n && !str_eq(pod.node, str_z(e->node))) {
        err_ignore(cluster_adopt(e->app->store, &pod, &err)); /* or the watch does */
        return EXT_PROOF_NEVER;
    }
    if (pod.node.n) /* perhaps by a process of ours before this one, with other cards */
        return cluster_adopt(e->app->store, &pod, &err) ? EXT_PROOF_NONE : EXT_PROOF_BOUND;
    if (!str_eq(pod.resource_version, str_z(e->resource_version)))
        return EXT_PROOF_NEVER; /* the Binding's precondition can't hold any more */
    return over ? EXT_PROOF_NEVER : EXT_PROOF_NONE;
}

/* A status patch under the Binding's resourceVersion, with a value never written before. */
enum ext_proof ext_settle_fence(struct arena *arena, struct ext_settle *e)
{
    struct buf body;
    begin(e);
    buf_init(&body, 4096);
    buf_add(&body, STR("{\"metadata\":{\"uid\":"));
    buf_json(&body, str_z(e->uid));
    buf_add(&body, STR(",\"resourceVersion\":"));
    buf_json(&body, str_z(e->resource_version));
    buf_fmt(&body, ",\"annotations\":{\"" KEY_POD_FENCE "\":\"%lld-%llu\"}}}",
            (long long)clock_wall_ns(e->app->clock),
            (unsigned long long)atomic_fetch_add(&e->app->request_ids, 1));
    struct kube_request req = {.verb = KUBE_PATCH,
                               .kind = KUBE_POD,
                               .ns = str_z(e->ns),
                               .name = str_z(e->name),
                               .status = true,
                               .patch_type = KUBE_PATCH_MERGE,
                               .body = {body.p, body.n},
                               .timeout_ms = ext_write_ms(&e->app->config)};
    struct kube_response resp = {0};
    struct err err;
    enum err_code rc = kube_call(e->app->kube, &req, &resp, &err);
    e->retry_after_ms = resp.retry_after_ms;
    kube_response_done(&resp);
    buf_done(&body);
    if (!rc || rc == ERR_NOT_FOUND)
        return EXT_PROOF_NEVER;
    return look(arena, e);
}

/* Whether nothing of this lock is ours any more, now and later. */
static bool release_lock(struct ext_settle *e, const struct ext_lock *lock)
{
    /* Before we ask: a write that was given up may land until then. */
    const bool over = now_ms(e) - e->since_ms >= ext_write_ms(&e->app->config) + EXT_LOCK_LANDED_MS;
    struct lease_lock_args args = {.kube = e->app->kube,
                                   .clock = e->app->clock,
                                   .node = str_z(e->node),
                                   .key = lock->key,
                                   .ns = str_z(e->ns),
                                   .pod = str_z(e->name),
                                   .uid = str_z(e->uid),
                                   .time_only = lock->time_only,
                                   .timeout_ms = ext_write_ms(&e->app->config),
                                   .retry_after_ms = &e->retry_after_ms,
                                   .expire_ms = e->app->config.lock_expire_ms};
    struct err err;
    bool removed = false;
    enum err_code rc = lease_lock_release(&args, str_z(lock->value), &removed, &err);
    return !rc && (removed || over);
}

/* In reverse order; false: some are left. */
static bool release_locks(struct ext_settle *e)
{
    begin(e);
    for (size_t i = e->locks_n; i-- > 0;)
        if (release_lock(e, &e->locks[i])) {
            memmove(&e->locks[i], &e->locks[i + 1], (e->locks_n - i - 1) * sizeof(e->locks[0]));
            e->locks_n--;
        }
    return e->locks_n == 0;
}

/* Acts on a proof; false: locks are left to be released. */
bool ext_settle_act(struct ext_settle *e, enum ext_proof proof)
{
    if (proof == EXT_PROOF_BOUND) {
        cluster_confirm(e->app->store, str_z(e->uid));
        return true; /* the lock is the plugin's now */
    }
    if (e->binding)
        cluster_forget(e->app->store, str_z(e->uid));
    e->binding = false;
    return release_locks(e);
}

/* The next look, later each time. */
static void put_off(struct ext_settle *e)
{
    e->pause_ms = e->pause_ms ? 2 * e->pause_ms : PAUSE_MIN_MS;
    if (e->pause_ms > PAUSE_MAX_MS)
        e->pause_ms = PAUSE_MAX_MS;
    e->due_ms = now_ms(e) + kube_pause_ms(e->pause_ms, e->retry_after_ms);
}

void ext_settle_later(struct ext_binds *binds, const struct ext_settle *e)
{
    struct ext_settle *copy = malloc(sizeof(*copy));
    pthread_mutex_lock(&binds->lock);
    bool kept = copy && binds->unsettled_n < SETTLE_MAX;
    if (kept) {
        *copy = *e;
        copy->next = NULL;
        put_off(copy); /* the bind has tried just now */
        struct ext_settle **last = &binds->unsettled;
        while (*last)
            last = &(*last)->next;
        *last = copy;
        binds->unsettled_n++;
        pthread_cond_broadcast(&binds->moved);
    }
    pthread_mutex_unlock(&binds->lock);
    if (!kept) { /* the charge stays until the watch proves something: room is lost, never given
                    twice */
        free(copy);
        log_error("bind can't be settled", "pod=%s/%s node=%s binding=%d", e->ns, e->name, e->node,
                  e->binding);
    }
}

/* ---- rounds over all that is not settled ---- */

/* The first whose time has come, which nobody else looks at then. */
static struct ext_settle *take_due(struct ext_binds *binds)
{
    int64_t now = clock_mono_ms(binds->app->clock);
    pthread_mutex_lock(&binds->lock);
    struct ext_settle *e = binds->stop ? NULL : binds->unsettled;
    while (e && (e->busy || e->due_ms > now))
        e = e->next;
    if (e)
        e->busy = true;
    pthread_mutex_unlock(&binds->lock);
    return e;
}

static void give_back(struct ext_binds *binds, struct ext_settle *e, bool done)
{
    pthread_mutex_lock(&binds->lock);
    e->busy = false;
    if (done) {
        struct ext_settle **at = &binds->unsettled;
        while (*at != e)
            at = &(*at)->next;
        *at = e->next;
        binds->unsettled_n--;
        pthread_cond_broadcast(&binds->moved);
    } else {
        put_off(e);
    }
    pthread_mutex_unlock(&binds->lock);
}

/* What a relist left open: see cluster_doubts(). */
static void ask_about_doubts(struct ext_app *app, struct arena *arena)
{
    struct cluster_pod_ref *refs;
    arena_reset(arena);
    size_t n = cluster_doubts(app->store, DOUBTS_MAX, arena, &refs);
    for (size_t i = 0; i < n; i++) {
        struct cluster_pod pod = {0};
        struct err err;
        enum err_code rc = ext_pod_get(app, arena, refs[i].ns, refs[i].name, &pod, &err);
        if (rc == ERR_NOT_FOUND || (!rc && !str_eq(pod.uid, refs[i].uid))) {
            cluster_delete_pod(app->store, refs[i].uid);
            ext_turns_look(app->turns, STR("")); /* no event says so */
        } else if (!rc) {
            cluster_doubt_ends(app->store, refs[i].uid);
        }
    }
}

void ext_settle_round(struct ext_binds *binds, struct arena *arena)
{
    for (struct ext_settle *e; (e = take_due(binds));) {
        arena_reset(arena);
        e->retry_after_ms = 0;
        const enum ext_proof proof = e->binding ? ext_settle_fence(arena, e) : EXT_PROOF_NEVER;
        const bool done = proof != EXT_PROOF_NONE && ext_settle_act(e, proof);
        give_back(binds, e, done);
        if (!done)
            continue;
        log_info(0, "bind settled", "pod=%s/%s node=%s bound=%d", e->ns, e->name, e->node,
                 proof == EXT_PROOF_BOUND);
        free(e);
    }
    ask_about_doubts(binds->app, arena);
}

static bool is_due_locked(const struct ext_binds *binds)
{
    int64_t now = clock_mono_ms(binds->app->clock);
    for (const struct ext_settle *e = binds->unsettled; e; e = e->next)
        if (!e->busy && e->due_ms <= now)
            return true;
    return false;
}

static void *settle_thread(void *ctx)
{
    struct ext_binds *binds = ctx;
    pthread_mutex_lock(&binds->lock);
    while (!binds->stop) {
        const int pause_ms = binds->unsettled ? LOOK_MS : DOUBTS_MS;
        struct timespec until;
        err_ignore(clock_gettime(CLOCK_MONOTONIC, &until) ? ERR_INTERNAL : ERR_OK);
        until.tv_sec += pause_ms / 1000;
        until.tv_nsec += (long)(pause_ms % 1000) * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        int late = 0;
        if (!is_due_locked(binds))
            late = pthread_cond_timedwait(&binds->moved, &binds->lock, &until);
        if (binds->stop || (!is_due_locked(binds) && !late))
            continue;
        pthread_mutex_unlock(&binds->lock);
        ext_settle_round(binds, binds->arena);
        pthread_mutex_lock(&binds->lock);
    }
    pthread_mutex_unlock(&binds->lock);
    return NULL;
}

enum err_code ext_binds_new(struct ext_app *app, bool thread, struct ext_binds **ret,
                            struct err *err)
{
    struct ext_binds *binds = calloc(1, sizeof(*binds));
    if (!binds)
        return err_set(err, ERR_NO_MEMORY, "binds");
    binds->app = app;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&binds->lock, NULL);
    pthread_cond_init(&binds->moved, &attr);
    pthread_condattr_destroy(&attr);
    binds->arena = arena_new(ARENA_MAX);
    binds->has_thread =
        binds->arena && thread && !pthread_create(&binds->thread, NULL, settle_thread, binds);
    if (!binds->arena || binds->has_thread != thread) {
        ext_binds_free(binds);
        return err_set(err, ERR_INTERNAL, "binds: no thread");
    }
    *ret = binds;
    return ERR_OK;
}

size_t ext_binds_unsettled(struct ext_binds *binds)
{
    pthread_mutex_lock(&binds->lock);
    size_t n = binds->unsettled_n;
    pthread_mutex_unlock(&binds->lock);
    return n;
}

void ext_binds_free(struct ext_binds *binds)
{
    if (!binds)
        return;
    pthread_mutex_lock(&binds->lock);
    binds->stop = true;
    pthread_cond_broadcast(&binds->moved);
    pthread_mutex_unlock(&binds->lock);
    if (binds->has_thread)
        pthread_join(binds->thread, NULL);
    for (struct ext_settle *e; (e = binds->unsettled);) {
        binds->unsettled = e->next;
        free(e);
    }
    arena_free(binds->arena);
    pthread_cond_destroy(&binds->moved);
    pthread_mutex_destroy(&binds->lock);
    free(binds);
}
