/* Waking waiting pods (architecture 9): kube-scheduler re-queues a refused pod on any event that it
 * watches, but not on what only we know, or learn later than it: a hold that ended, a quota raised,
 * a deletion that it heard of before us, a node that it did not ask about. So filter's refusals are
 * remembered, and when one of them fits now and kube-scheduler has not asked about it within
 * QUIET_MS, the pod itself is touched: an annotation through pods/status, under its
 * resourceVersion, which re-queues just that pod (contract/kubernetes.md 1.8, tried). Where that
 * did not help because kube-scheduler's sample leaves the fitting node out,
 * status.nominatedNodeName makes it ask about that node first.
 *
 * Bounded: oldest refusal first, WAKES_A_ROUND at a time, each pod less often with every touch, and
 * a round is followed by a pause of nine times its length: of its processor time whatever that is,
 * of what it waited for the API server up to LATE_PAUSE_MS. */
#include "base/map.h"
#include "extender/priv.h"
#include "vendor/keys.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define ROUND_MS         100  /* between two looks at the waiting pods */
#define LATE_PAUSE_MS    2000 /* after a round that has waited for the API server, at most */
#define QUIET_MS         300  /* kube-scheduler's own chance to ask */
#define WAKES_A_ROUND    2    /* 20 writes a second at most */
#define PODS_A_ROUND     4096
#define WAITING_MAX      16384 /* refused pods remembered; beyond, the newest are left to others */
#define FOUND_QUIET_MS   15000 /* kube-scheduler's longest back-off is 10 s */
#define AGAIN_MIN_MS     1000  /* between two touches of one pod, doubling */
#define AGAIN_MAX_MS     60000
#define UNKNOWN_MAX_MS   60000 /* a pod that our watch never shows is not waited for */
#define ROUND_MEMORY_MAX ((size_t)64 << 20)

struct waiting {              /* a pod that was refused and has not been answered otherwise since */
    struct str uid, ns, name; /* into text */
    uint64_t order;           /* of its first refusal */
    int64_t asked_ms;         /* kube-scheduler's last question */
    int64_t fits_ms;  /* when it was first seen to fit since that question; 0: it does not */
    int64_t again_ms; /* not touched before */
    int64_t pause_ms; /* the last pause between touches */
    bool sampled;     /* the last question left nodes out */
    bool touched;     /* and kube-scheduler asked again, in vain */
    bool found;       /* in a list; not asked about since */
    char text[];
};

struct ext_wake {
    struct ext_app *app;
    pthread_mutex_t lock; /* guards everything below; held for memory work only */
    pthread_cond_t moved;
    struct waiting **pods;
    struct map *by_uid; /* → index in pods */
    size_t n, room;
    uint64_t orders;
    uint64_t seen; /* the last round's last pod's order: the next one goes on behind it */
    bool stop;
    pthread_t thread;
};

/* ---- what waits ---- */

static struct waiting *find_locked(const struct ext_wake *w, struct str uid)
{
    uint32_t i;
    return map_get(w->by_uid, uid, &i) ? w->pods[i] : NULL;
}

static void drop_locked(struct ext_wake *w, struct str uid)
{
    uint32_t i;
    if (!map_get(w->by_uid, uid, &i))
        return;
    struct waiting *pod = w->pods[i], *last = w->pods[w->n - 1];
    (void)map_del(w->by_uid, uid);
    if (last != pod) { /* its key is there: replacing a value needs no memory */
        w->pods[i] = last;
        err_ignore(map_put(w->by_uid, last->uid, i));
    }
    w->n--;
    free(pod);
}

static bool make_room_locked(struct ext_wake *w)
{
    if (w->n < w->room)
        return true;
    size_t room = w->room ? 2 * w->room : 64;
    if (room > WAITING_MAX)
        return false;
    struct waiting **pods = realloc(w->pods, room * sizeof(*pods));
    if (!pods)
        return false;
    w->pods = pods;
    w->room = room;
    return true;
}

static struct str copy_text(char **at, struct str s)
{
    struct str copy = {*at, s.n};
    if (s.n)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return copy;
}

/* Waking is a courtesy: without room or memory the pod waits for kube-scheduler's own events. */
static struct waiting *add_locked(struct ext_wake *w, const struct cluster_pod *pod)
{
    if (!make_room_locked(w))
        return NULL;
    struct waiting *p = calloc(1, sizeof(*p) + pod->uid.n + pod->ns.n + pod->name.n);
    if (!p)
        return NULL;
    char *at = p->text;
    p->uid = copy_text(&at, pod->uid);
    p->ns = copy_text(&at, pod->ns);
    p->name = copy_text(&at, pod->name);
    p->order = ++w->orders;
    if (map_put(w->by_uid, p->uid, (uint32_t)w->n)) {
        free(p);
        return NULL;
    }
    w->pods[w->n++] = p;
    return p;
}

void ext_wake_refused(struct ext_wake *w, const struct cluster_pod *pod, bool sampled)
{
    if (!w || !pod->uid.n)
        return;
    pthread_mutex_lock(&w->lock);
    struct waiting *p = find_locked(w, pod->uid);
    if (!p)
        p = add_locked(w, pod);
    if (p) {
        p->asked_ms = clock_mono_ms(w->app->clock);
        p->fits_ms = 0;
        if (p->found)
            p->again_ms = 0;
        p->found = false;
        p->sampled = sampled;
        p->touched &= sampled;
    }
    pthread_mutex_unlock(&w->lock);
}

void ext_wake_found(struct ext_wake *w, const struct cluster_pod *pod)
{
    if (!w || pod->node.n || pod->wants != CLUSTER_WANTS_CARDS || pod->gated || pod->deleting ||
        !str_eq(pod->scheduler_name, str_z(w->app->config.scheduler_name)))
        return;
    pthread_mutex_lock(&w->lock);
    struct waiting *p = find_locked(w, pod->uid) ? NULL : add_locked(w, pod);
    if (p) {
        p->asked_ms = clock_mono_ms(w->app->clock);
        p->again_ms = p->asked_ms + FOUND_QUIET_MS;
        p->found = true;
    }
    pthread_mutex_unlock(&w->lock);
}

void ext_wake_done(struct ext_wake *w, struct str uid)
{
    if (!w || !uid.n)
        return;
    pthread_mutex_lock(&w->lock);
    drop_locked(w, uid);
    pthread_mutex_unlock(&w->lock);
}

size_t ext_wake_waiting(struct ext_wake *w)
{
    pthread_mutex_lock(&w->lock);
    size_t n = w->n;
    pthread_mutex_unlock(&w->lock);
    return n;
}

/* ---- does it fit now ---- */

struct round {
    struct ext_term term;
    struct ext_wake *w;
    struct arena *arena;
    struct cluster_snapshot *snapshot;
    int64_t now_ms;
    struct answered { /* equal asks are looked at once a round */
        struct cluster_class *class;
        int32_t priority;                /* some holds stand against the lower ones only */
        const struct cluster_node *node; /* where it fits; NULL: nowhere */
    } known[64];
    size_t known_n;
};

static const struct cluster_node *look(struct round *r, struct cluster_class *class,
                                       const struct score_prepared *prepared,
                                       const struct cluster_pod *pod)
{
    struct cluster_store *store = r->w->app->store;
    bool held = cluster_holds_count(store) > 0;
    const struct cluster_hold_query query = {
        .except_uid = pod->uid, .priority = pod->priority, .now_ms = r->now_ms};
    uint32_t slots = cluster_snapshot_slots(r->snapshot);
    for (uint32_t slot = 0; slot < slots; slot++) {
        const struct cluster_node *node = cluster_snapshot_at(r->snapshot, slot);
        struct score_verdict verdict;
        struct score_extra extra[SCORE_DEVICES_MAX];
        if (!node)
            continue;
        cluster_class_check(class, prepared, node, &verdict);
        if (verdict.fits && held && cluster_hold_extra_for(store, node, &query, extra, NULL))
            score_node_check(prepared, &node->score, extra, &verdict);
        if (verdict.fits && !ext_turns_full(r->w->app, &pod->request, node->score.name))
            return node;
    }
    return NULL;
}

static const struct cluster_node *fits_where(struct round *r, struct cluster_pod *pod)
{
    struct ext_app *app = r->w->app;
    struct score_quota quotas[SCORE_VENDORS_MAX];
    struct score_prepared prepared;
    struct err err;
    pod->request.quotas = quotas;
    pod->request.quotas_n = cluster_quota_left(app->store, pod->ns, pod->uid, r->now_ms, quotas);
    struct cluster_class *class = cluster_class_get(app->store, &pod->request);
    for (size_t i = 0; class && i < r->known_n; i++)
        if (r->known[i].class == class && r->known[i].priority == pod->priority) {
            cluster_class_unref(class);
            return r->known[i].node;
        }
    uint32_t types_n = 0;
    const struct str *types = cluster_snapshot_types(r->snapshot, &types_n);
    const struct cluster_node *node = NULL;
    if (!score_prepare(&pod->request, types, types_n, r->arena, &prepared, &err))
        node = look(r, class, &prepared, pod);
    if (class && r->known_n < sizeof(r->known) / sizeof(r->known[0]))
        r->known[r->known_n++] =
            (struct answered){class, pod->priority, node}; /* the reference goes with it */
    else
        cluster_class_unref(class);
    return node;
}

/* ---- the touch ---- */

static enum err_code touch(struct ext_app *app, const struct cluster_pod *pod, struct str nominate,
                           struct err *err)
{
    struct buf body;
    buf_init(&body, 4096);
    buf_add(&body, STR("{\"metadata\":{\"uid\":"));
    buf_json(&body, pod->uid);
    buf_add(&body, STR(",\"resourceVersion\":"));
    buf_json(&body, pod->resource_version);
    buf_fmt(&body, ",\"annotations\":{\"" KEY_POD_WAKE "\":\"%lld-%llu\"}}",
            (long long)clock_wall_ns(app->clock),
            (unsigned long long)atomic_fetch_add(&app->request_ids, 1)); /* never written before */
    if (nominate.n) {
        buf_add(&body, STR(",\"status\":{\"nominatedNodeName\":"));
        buf_json(&body, nominate);
        buf_char(&body, '}');
    }
    buf_char(&body, '}');
    struct kube_request req = {.verb = KUBE_PATCH,
                               .kind = KUBE_POD,
                               .ns = pod->ns,
                               .name = pod->name,
                               .status = true,
                               .patch_type = KUBE_PATCH_MERGE,
                               .body = {body.p, body.n},
                               .timeout_ms = ext_write_ms(&app->config)};
    struct kube_response resp = {0};
    enum err_code rc = kube_call(app->kube, &req, &resp, err);
    kube_response_done(&resp);
    buf_done(&body);
    if (!rc)
        ext_metrics_count(app->metrics, EXT_WAKES, 1);
    return rc;
}

/* What a round found out about a pod, unless kube-scheduler asked meanwhile. */
enum tried { TRIED_NOT, TRIED_IN_VAIN, TRIED_TOUCHED };
static void note(struct ext_wake *w, const struct waiting *seen, int64_t fits_ms, enum tried tried,
                 int64_t now_ms)
{
    pthread_mutex_lock(&w->lock);
    struct waiting *p = find_locked(w, seen->uid);
    if (p && p->asked_ms == seen->asked_ms) {
        p->fits_ms = fits_ms;
        if (tried) { /* one that fails pauses as well, or it would keep others from their turn */
            p->touched |= tried == TRIED_TOUCHED;
            p->pause_ms = p->pause_ms ? 2 * p->pause_ms : AGAIN_MIN_MS;
            if (p->pause_ms > AGAIN_MAX_MS)
                p->pause_ms = AGAIN_MAX_MS;
            p->again_ms = now_ms + p->pause_ms;
        }
    }
    pthread_mutex_unlock(&w->lock);
}

/* One pod; true: a write was made for it. */
static bool consider(struct round *r, const struct waiting *seen, bool may_touch)
{
    struct ext_wake *w = r->w;
    struct ext_app *app = w->app;
    char node_name[256];
    struct cluster_pod *pod CLEANUP(free_p) =
        cluster_pod_find(app->store, seen->ns, seen->name, seen->uid);
    enum cluster_state state =
        cluster_pod_state(app->store, seen->uid, node_name, sizeof(node_name));
    if (state == CLUSTER_STATE_ASSUMED)
        return false; /* a bind is in flight: a pod patch now would only fence it */
    if (!pod) {
        if (r->now_ms - seen->asked_ms > UNKNOWN_MAX_MS)
            ext_wake_done(w, seen->uid);
        return false;
    }
    if (state != CLUSTER_STATE_WAITING || pod->wants != CLUSTER_WANTS_CARDS) {
        if (state == CLUSTER_STATE_BOUND)
            ext_wake_done(w, seen->uid);
        return false;
    }
    const struct cluster_node *node = fits_where(r, pod);
    if (!node) {
        if (seen->fits_ms)
            note(w, seen, 0, TRIED_NOT, r->now_ms);
        return false;
    }
    int64_t since = seen->fits_ms ? seen->fits_ms : r->now_ms;
    if (!may_touch || r->now_ms - since < QUIET_MS || r->now_ms < seen->again_ms) {
        note(w, seen, since, TRIED_NOT, r->now_ms);
        return false;
    }
    if (!ext_may_write(app, &r->term))
        return false;
    struct err err;
    enum err_code rc =
        touch(app, pod, seen->touched && seen->sampled ? node->score.name : (struct str){0}, &err);
    ext_wrote(app, &r->term);
    note(w, seen, since, rc ? TRIED_IN_VAIN : TRIED_TOUCHED, r->now_ms);
    if (rc == ERR_NOT_FOUND)
        ext_wake_done(w, seen->uid);
    log_info(2, "wake", "pod=%.*s/%.*s fits=%.*s result=\"%s\"", (int)pod->ns.n, pod->ns.p,
             (int)pod->name.n, pod->name.p, (int)node->score.name.n, node->score.name.p,
             rc ? err.text : "ok");
    return true;
}

static int by_order(const void *a, const void *b)
{
    const struct waiting *const *x = a, *const *y = b;
    return ((*x)->order > (*y)->order) - ((*x)->order < (*y)->order);
}

/* What one round looks at of `n` pods in order: all of them, or those behind the last round's. */
static size_t window_locked(struct ext_wake *w, struct waiting *const *list, size_t n,
                            size_t *ret_from)
{
    size_t from = 0;
    while (n > PODS_A_ROUND && from < n && list[from]->order <= w->seen)
        from++;
    *ret_from = from < n ? from : 0;
    n -= *ret_from;
    if (n > PODS_A_ROUND)
        n = PODS_A_ROUND;
    w->seen = n ? list[*ret_from + n - 1]->order : 0;
    return n;
}

/* Copies of waiting pods, oldest first; the originals may go meanwhile. */
static size_t collect(struct ext_wake *w, struct arena *arena, struct waiting ***ret)
{
    pthread_mutex_lock(&w->lock);
    size_t n = 0;
    struct waiting **list = arena_array(arena, w->n + 1, sizeof(struct waiting *));
    for (size_t i = 0; list && i < w->n; i++) {
        const struct waiting *p = w->pods[i];
        size_t text = p->uid.n + p->ns.n + p->name.n;
        struct waiting *copy = arena_alloc(arena, sizeof(*copy) + text);
        if (!copy)
            break;
        *copy = *p;
        char *at = copy->text;
        copy->uid = copy_text(&at, p->uid);
        copy->ns = copy_text(&at, p->ns);
        copy->name = copy_text(&at, p->name);
        list[n++] = copy;
    }
    pthread_mutex_unlock(&w->lock);
    if (n)
        qsort(list, n, sizeof(struct waiting *), by_order);
    size_t from;
    pthread_mutex_lock(&w->lock);
    n = window_locked(w, list, n, &from);
    pthread_mutex_unlock(&w->lock);
    *ret = n ? list + from : NULL;
    return n;
}

void ext_wake_round(struct ext_wake *w, struct arena *arena)
{
    struct ext_app *app = w->app;
    arena_reset(arena);
    struct waiting **pods;
    size_t n = collect(w, arena, &pods), touched = 0;
    struct ext_term term;
    if (n == 0 || !ext_ready(app) || ext_term_enter(app, /* don't wait */ 0, &term, NULL, NULL))
        return;
    cluster_adopted_age(app->store, clock_mono_ms(app->clock));
    cluster_locks_age(app->store, clock_wall_ns(app->clock) / 1000000);
    struct round r = {.w = w,
                      .term = term,
                      .arena = arena,
                      .snapshot = cluster_store_snapshot(app->store),
                      .now_ms = clock_mono_ms(app->clock)};
    for (size_t i = 0; i < n && !arena_failed(arena); i++)
        touched += consider(&r, pods[i], touched < WAKES_A_ROUND);
    for (size_t i = 0; i < r.known_n; i++)
        cluster_class_unref(r.known[i].class);
    cluster_snapshot_unref(r.snapshot);
}

/* ---- the thread ---- */

static int64_t thread_cpu_ms(void)
{
    struct timespec t = {0};
    err_ignore(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) ? ERR_INTERNAL : ERR_OK);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Nine times what the round took, of a core however long; an API server that answers late slows
 * waking down, but does not put it off for minutes. */
static int64_t pause_after(int64_t took_ms, int64_t cpu_ms)
{
    int64_t pause_ms = 9 * took_ms < LATE_PAUSE_MS ? 9 * took_ms : LATE_PAUSE_MS;
    if (pause_ms < 9 * cpu_ms)
        pause_ms = 9 * cpu_ms;
    return pause_ms > ROUND_MS ? pause_ms : ROUND_MS;
}

static void *wake_thread(void *ctx)
{
    struct ext_wake *w = ctx;
    struct arena *arena = arena_new(ROUND_MEMORY_MAX);
    pthread_mutex_lock(&w->lock);
    int64_t pause_ms = ROUND_MS;
    while (!w->stop && arena) {
        struct timespec until;
        err_ignore(clock_gettime(CLOCK_MONOTONIC, &until) ? ERR_INTERNAL : ERR_OK);
        int64_t ns = until.tv_nsec + pause_ms * 1000000;
        until.tv_sec += (time_t)(ns / 1000000000);
        until.tv_nsec = (long)(ns % 1000000000);
        (void)pthread_cond_timedwait(&w->moved, &w->lock, &until);
        if (w->stop || (w->n == 0 && ext_labels_waiting(w->app->labels) == 0))
            continue;
        pthread_mutex_unlock(&w->lock);
        ext_labels_round(w->app->labels);
        int64_t began_ms = clock_mono_ms(&CLOCK_SYSTEM), cpu_ms = thread_cpu_ms();
        ext_wake_round(w, arena);
        pause_ms = pause_after(clock_mono_ms(&CLOCK_SYSTEM) - began_ms, thread_cpu_ms() - cpu_ms);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    arena_free(arena);
    return NULL;
}

enum err_code ext_wake_new(struct ext_app *app, struct ext_wake **ret, struct err *err)
{
    struct ext_wake *w = calloc(1, sizeof(*w));
    if (!w)
        return err_set(err, ERR_NO_MEMORY, "wake");
    w->app = app;
    w->by_uid = map_new(cluster_store_config(app->store)->hash_seed, 64);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->moved, &attr);
    pthread_condattr_destroy(&attr);
    if (!w->by_uid || pthread_create(&w->thread, NULL, wake_thread, w)) {
        pthread_cond_destroy(&w->moved);
        pthread_mutex_destroy(&w->lock);
        map_free(w->by_uid);
        free(w);
        return err_set(err, ERR_NO_MEMORY, "wake: no thread");
    }
    *ret = w;
    return ERR_OK;
}

void ext_wake_free(struct ext_wake *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->moved);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    for (size_t i = 0; i < w->n; i++)
        free(w->pods[i]);
    free(w->pods);
    map_free(w->by_uid);
    pthread_cond_destroy(&w->moved);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
