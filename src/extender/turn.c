/* Binds under way: one of a pod at a time, and turns at a node's lock (turn.h). */
#include "extender/turn.h"

#include "base/hash.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

enum {
    BUCKETS = 1024,
    TICK_MS = 50,    /* the thread's longest sleep while somebody is parked: clocks may jump */
    RETRY_MS = 10,   /* the workers' queue was full */
    STOP_MS = 5000,  /* what ext_turns_stop() waits for calls that write */
    TURN_FIRST = 8,  /* so many may wait at a node before any turn has ended: a storm is told of
                        more nodes than it can be bound to long before that */
    TURN_WEIGHT = 4, /* of the turns before, against the last one */
    GAP_WEIGHT = 8,  /* of the gaps before, against the last one */
};

struct ext_queue { /* of one node, while somebody waits there */
    struct ext_queue *next;
    struct ext_turn *first, *last;
    int64_t since_ms; /* the first one's turn */
    int64_t
        turn_ms; /* what the last turns here took, smoothed; as elsewhere before one has ended */
    uint32_t n, hash;
    char node[EXT_NAME_MAX];
};

struct ext_turns {
    struct ext_app *app;
    pthread_mutex_t lock; /* guards everything below; held for memory work only */
    pthread_cond_t moved;
    struct ext_turn *first, *last;
    size_t n;
    struct ext_turn *names[BUCKETS];
    struct ext_queue *queues[BUCKETS];
    struct ext_queue *spare; /* one, so that ends and beginnings of turns need no memory */
    int64_t turn_ms;         /* what the last turns of all nodes took, smoothed */
    size_t queued;           /* calls in queues */
    int64_t ended_ms;        /* the last turn with a Binding; or when the first of them came */
    int64_t gap_us;          /* between two such ends while somebody waits, smoothed */
    int64_t next_ms;         /* when the thread looks again */
    bool stop, has_thread;
    pthread_t thread;
    _Atomic uint32_t queues_n; /* 0: nobody needs the lock to know that no node has a queue */
};

static int64_t now_ms(const struct ext_turns *s) { return clock_mono_ms(s->app->clock); }

static uint32_t hash_of(const struct ext_turns *s, struct str name)
{
    return (uint32_t)hash_str(s->app->cluster.hash_seed, name);
}

/* Pods of one name in several namespaces share one. */
static struct ext_turn **bucket_of(struct ext_turns *s, struct str name)
{
    return &s->names[hash_of(s, name) % BUCKETS];
}

/* ---- running and parking ---- */

static void run(void *ctx)
{
    struct ext_turn *t = ctx;
    pthread_mutex_lock(&t->turns->lock);
    t->state = EXT_TURN_RUNNING;
    t->kicked = false; /* what happened until now is seen by the step */
    pthread_mutex_unlock(&t->turns->lock);
    t->on_worker = true;
    t->go(t);
}

static void plan_locked(struct ext_turns *s, int64_t at_ms)
{
    if (at_ms >= s->next_ms)
        return;
    s->next_ms = at_ms;
    pthread_cond_signal(&s->moved);
}

static void ready_locked(struct ext_turn *t)
{
    struct ext_turns *s = t->turns;
    t->state = EXT_TURN_READY;
    if (ext_workers_run(s->app->workers, run, t))
        return;
    t->state = EXT_TURN_PARKED;
    t->wake_ms = now_ms(s) + RETRY_MS;
    plan_locked(s, t->wake_ms);
}

static void kick_locked(struct ext_turn *t)
{
    if (t->state == EXT_TURN_PARKED)
        ready_locked(t);
    else
        t->kicked = true;
}

void ext_turn_park(struct ext_turn *t, int64_t until_ms)
{
    struct ext_turns *s = t->turns;
    pthread_mutex_lock(&s->lock);
    if (t->kicked || atomic_load(&s->app->stopping)) {
        ready_locked(t);
    } else {
        t->state = EXT_TURN_PARKED;
        t->wake_ms = until_ms < t->deadline_ms ? until_ms : t->deadline_ms;
        plan_locked(s, t->wake_ms);
    }
    pthread_mutex_unlock(&s->lock);
}

bool ext_turn_kicked(struct ext_turn *t)
{
    pthread_mutex_lock(&t->turns->lock);
    const bool kicked = t->kicked;
    pthread_mutex_unlock(&t->turns->lock);
    return kicked;
}

void ext_turn_go_on(struct ext_turn *t)
{
    struct ext_turns *s = t->turns;
    pthread_mutex_lock(&s->lock);
    ready_locked(t);
    pthread_mutex_unlock(&s->lock);
}

/* ---- one call of a pod at a time ---- */

static bool is_of(const struct ext_turn *t, struct str ns, struct str name)
{
    return str_eq(str_z(t->name), name) && str_eq(str_z(t->ns), ns);
}

/* The call that has to end first: of this very pod, or of one that had its name, to the same node
 * (locks know names only). */
static struct ext_turn *before_locked(struct ext_turns *s, const struct ext_turn *t)
{
    struct ext_turn *f = *bucket_of(s, str_z(t->name));
    for (; f; f = f->namesake)
        if (f != t && f->entered && is_of(f, str_z(t->ns), str_z(t->name)) &&
            (strcmp(f->uid, t->uid) == 0 || strcmp(f->node, t->node) == 0))
            return f;
    return NULL;
}

static void link_locked(struct ext_turns *s, struct ext_turn *t)
{
    t->turns = s;
    t->prev = s->last;
    *(s->last ? &s->last->next : &s->first) = t;
    s->last = t;
    struct ext_turn **bucket = bucket_of(s, str_z(t->name));
    t->namesake = *bucket;
    *bucket = t;
    s->n++;
}

static void unlink_locked(struct ext_turns *s, struct ext_turn *t)
{
    *(t->prev ? &t->prev->next : &s->first) = t->next;
    *(t->next ? &t->next->prev : &s->last) = t->prev;
    struct ext_turn **at = bucket_of(s, str_z(t->name));
    while (*at != t)
        at = &(*at)->namesake;
    *at = t->namesake;
    s->n--;
    pthread_cond_signal(&s->moved);
}

enum ext_entered ext_turn_enter(struct ext_turns *s, struct ext_turn *t, struct err *ret)
{
    pthread_mutex_lock(&s->lock);
    if (!t->turns)
        link_locked(s, t);
    enum ext_entered e = EXT_ENTERED;
    struct ext_turn *before = t->joined ? NULL : before_locked(s, t);
    if (t->joined) {
        *ret = t->result;
        e = EXT_JOINED;
    } else if (before && (now_ms(s) >= t->deadline_ms || atomic_load(&s->app->stopping))) {
        e = EXT_LATE;
    } else if (before) {
        t->behind = before;
        if (strcmp(before->node, t->node) != 0) { /* the newer wish counts, if it is not too late */
            before->cancelled = true;
            kick_locked(before);
        }
        t->state = EXT_TURN_PARKED;
        t->wake_ms = t->deadline_ms;
        plan_locked(s, t->wake_ms);
        e = EXT_BEHIND;
    }
    if (e == EXT_JOINED || e == EXT_LATE)
        unlink_locked(s, t);
    t->entered = e == EXT_ENTERED;
    pthread_mutex_unlock(&s->lock);
    return e;
}

bool ext_turn_cancelled(struct ext_turn *t)
{
    pthread_mutex_lock(&t->turns->lock);
    bool cancelled = t->cancelled;
    pthread_mutex_unlock(&t->turns->lock);
    return cancelled;
}

static bool writes_locked(const struct ext_turn *t, struct str node)
{
    return t->entered && str_eq(str_z(t->node), node) && (!t->queue || t->queue->first == t);
}

bool ext_turns_writes(struct ext_turns *s, struct str ns, struct str name, struct str node)
{
    pthread_mutex_lock(&s->lock);
    const struct ext_turn *t = *bucket_of(s, name);
    while (t && !(is_of(t, ns, name) && writes_locked(t, node)))
        t = t->namesake;
    pthread_mutex_unlock(&s->lock);
    return t != NULL;
}

size_t ext_turns_count(struct ext_turns *s)
{
    pthread_mutex_lock(&s->lock);
    size_t n = s->n;
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* ---- turns at a node ---- */

static struct ext_queue *queue_locked(struct ext_turns *s, struct str node)
{
    const uint32_t hash = hash_of(s, node);
    struct ext_queue *q = s->queues[hash % BUCKETS];
    while (q && !(q->hash == hash && str_eq(str_z(q->node), node)))
        q = q->next;
    return q;
}

static struct ext_queue *queue_new_locked(struct ext_turns *s, const char *node)
{
    struct ext_queue *q = s->spare ? s->spare : malloc(sizeof(*q));
    s->spare = NULL;
    if (!q)
        return NULL;
    *q = (struct ext_queue){
        .hash = hash_of(s, str_z(node)), .since_ms = now_ms(s), .turn_ms = s->turn_ms};
    memcpy(q->node, node, strlen(node) + 1);
    struct ext_queue **bucket = &s->queues[q->hash % BUCKETS];
    q->next = *bucket;
    *bucket = q;
    atomic_fetch_add(&s->queues_n, 1);
    return q;
}

static void queue_free_locked(struct ext_turns *s, struct ext_queue *q)
{
    struct ext_queue **at = &s->queues[q->hash % BUCKETS];
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    free(s->spare);
    s->spare = q;
    atomic_fetch_sub(&s->queues_n, 1);
}

bool ext_turn_mine(struct ext_turn *t)
{
    struct ext_turns *s = t->turns;
    pthread_mutex_lock(&s->lock);
    if (!t->queue) {
        struct ext_queue *q = queue_locked(s, str_z(t->node));
        if (!q)
            q = queue_new_locked(s, t->node);
        if (q) { /* without memory there is no order, and the lock alone decides */
            *(q->last ? &q->last->queue_next : &q->first) = t;
            q->last = t;
            q->n++;
            t->queue = q;
            if (s->queued++ == 0)
                s->ended_ms = now_ms(s);
        }
    }
    bool mine = !t->queue || t->queue->first == t;
    pthread_mutex_unlock(&s->lock);
    return mine;
}

/* What a turn took says something of the next one if it ended in a Binding. One that ended
 * otherwise may have had no time at all (who waits behind an expired one has expired as well), so
 * that only its being longer counts. */
static void learn(int64_t *turn_ms, int64_t took_ms, bool bound)
{
    if (bound || took_ms > *turn_ms)
        *turn_ms = (*turn_ms * (TURN_WEIGHT - 1) + took_ms) / TURN_WEIGHT;
}

static void give_up_turn_locked(struct ext_turns *s, struct ext_turn *t, bool bound)
{
    struct ext_queue *q = t->queue;
    if (!q)
        return;
    struct ext_turn **at = &q->first, *prev = NULL;
    while (*at != t) {
        prev = *at;
        at = &(*at)->queue_next;
    }
    const bool had = q->first == t;
    *at = t->queue_next;
    if (q->last == t)
        q->last = prev;
    q->n--;
    s->queued--;
    t->queue = NULL;
    if (had && bound) {
        const int64_t gap_us = (now_ms(s) - s->ended_ms) * 1000;
        s->gap_us = (s->gap_us * (GAP_WEIGHT - 1) + gap_us) / GAP_WEIGHT;
        s->ended_ms = now_ms(s);
    }
    if (had) {
        const int64_t now = now_ms(s), took = now - q->since_ms;
        learn(&s->turn_ms, took, bound);
        learn(&q->turn_ms, took, bound);
        q->since_ms = now;
    }
    if (!q->first)
        queue_free_locked(s, q);
    else if (had)
        kick_locked(q->first);
}

void ext_turns_look(struct ext_turns *s, struct str node)
{
    if (!ext_turns_any(s))
        return;
    pthread_mutex_lock(&s->lock);
    struct ext_queue *q = node.n ? queue_locked(s, node) : NULL;
    if (q)
        kick_locked(q->first);
    for (struct ext_turn *t = node.n ? NULL : s->first; t; t = t->next)
        if (t->queue && t->queue->first == t)
            kick_locked(t);
    pthread_mutex_unlock(&s->lock);
}

bool ext_turns_any(struct ext_turns *s) { return s && atomic_load(&s->queues_n) > 0; }

int64_t ext_turns_wait_ms(struct ext_turns *s, struct str node)
{
    if (!ext_turns_any(s))
        return 0;
    pthread_mutex_lock(&s->lock);
    const struct ext_queue *q = queue_locked(s, node);
    int64_t wait = 0;
    if (q) { /* who has the turn takes as long as it did so far, at least */
        int64_t has = now_ms(s) - q->since_ms;
        wait = (has > q->turn_ms ? has : q->turn_ms) + (int64_t)(q->n - 1) * q->turn_ms;
    }
    pthread_mutex_unlock(&s->lock);
    return wait;
}

/* Half of a bind's time: the other half is for what was not foreseen. */
static int64_t wait_max_ms(const struct ext_app *app) { return app->config.bind_timeout_ms / 2; }

/* How long all who wait now will need, as fast as they go: a turn takes the longer the more nodes
 * have one, since all share the workers, the API server and the machine. */
static int64_t all_ms(struct ext_turns *s)
{
    pthread_mutex_lock(&s->lock);
    const int64_t all = (int64_t)s->queued * s->gap_us / 1000;
    pthread_mutex_unlock(&s->lock);
    return all;
}

bool ext_turns_full(struct ext_app *app, const struct score_request *req, struct str node)
{
    const int64_t wait_ms = ext_turns_wait_ms(app->turns, node), most_ms = wait_max_ms(app);
    if (wait_ms == 0 || (wait_ms <= most_ms && all_ms(app->turns) <= most_ms))
        return false;
    for (uint16_t i = 0; i < req->asks_n; i++)
        if (vendor_at(app->vendors, req->asks[i].vendor)->rules & VENDOR_RULE_LOCK)
            return true;
    return false;
}

/* ---- the end of a call ---- */

void ext_turn_leave(struct ext_turn *t, const struct err *result)
{
    struct ext_turns *s = t->turns;
    pthread_mutex_lock(&s->lock);
    give_up_turn_locked(s, t, result->code == ERR_OK);
    unlink_locked(s, t);
    for (struct ext_turn *f = *bucket_of(s, str_z(t->name)); f; f = f->namesake) {
        if (f->behind != t)
            continue;
        f->behind = NULL;
        if (strcmp(f->uid, t->uid) == 0 && strcmp(f->node, t->node) == 0) {
            f->joined = true;
            f->result = *result;
        }
        kick_locked(f);
    }
    pthread_mutex_unlock(&s->lock);
}

/* ---- what is due ---- */

static size_t step_locked(struct ext_turns *s)
{
    const int64_t now = now_ms(s);
    const bool stopping = atomic_load(&s->app->stopping);
    size_t moved = 0;
    s->next_ms = INT64_MAX;
    for (struct ext_turn *t = s->first; t; t = t->next) {
        if (t->state != EXT_TURN_PARKED)
            continue;
        if (stopping || now >= t->wake_ms) {
            ready_locked(t);
            moved += t->state == EXT_TURN_READY;
        }
        if (t->state == EXT_TURN_PARKED && t->wake_ms < s->next_ms)
            s->next_ms = t->wake_ms;
    }
    return moved;
}

bool ext_turns_step(struct ext_turns *s)
{
    pthread_mutex_lock(&s->lock);
    size_t moved = step_locked(s);
    pthread_mutex_unlock(&s->lock);
    return moved > 0;
}

static void wait_locked(struct ext_turns *s, int64_t ms)
{
    struct timespec until;
    err_ignore(clock_gettime(CLOCK_MONOTONIC, &until) ? ERR_INTERNAL : ERR_OK);
    const int64_t ns = until.tv_nsec + ms * 1000000;
    until.tv_sec += (time_t)(ns / 1000000000);
    until.tv_nsec = (long)(ns % 1000000000);
    (void)pthread_cond_timedwait(&s->moved, &s->lock, &until);
}

static void *turns_thread(void *ctx)
{
    struct ext_turns *s = ctx;
    pthread_mutex_lock(&s->lock);
    while (!s->stop) {
        (void)step_locked(s);
        if (s->next_ms == INT64_MAX) {
            pthread_cond_wait(&s->moved, &s->lock);
            continue;
        }
        const int64_t left = s->next_ms - now_ms(s);
        if (left > 0)
            wait_locked(s, left < TICK_MS ? left : TICK_MS);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

enum err_code ext_turns_new(struct ext_app *app, bool thread, struct ext_turns **ret,
                            struct err *err)
{
    struct ext_turns *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(err, ERR_NO_MEMORY, "turns");
    s->app = app;
    s->turn_ms = wait_max_ms(app) / TURN_FIRST;
    s->next_ms = INT64_MAX;
    s->has_thread = thread;
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->moved, &attr);
    pthread_condattr_destroy(&attr);
    if (thread && pthread_create(&s->thread, NULL, turns_thread, s)) {
        s->has_thread = false;
        ext_turns_free(s);
        return err_set(err, ERR_INTERNAL, "turns: no thread");
    }
    *ret = s;
    return ERR_OK;
}

void ext_turns_stop(struct ext_turns *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    for (int waited = 0; s->n > 0 && waited < STOP_MS; waited += TICK_MS) {
        (void)step_locked(s);
        wait_locked(s, TICK_MS);
    }
    pthread_mutex_unlock(&s->lock);
}

void ext_turns_free(struct ext_turns *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->stop = true;
    pthread_cond_broadcast(&s->moved);
    pthread_mutex_unlock(&s->lock);
    if (s->has_thread)
        pthread_join(s->thread, NULL);
    assert(s->n == 0);
    free(s->spare);
    pthread_cond_destroy(&s->moved);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
