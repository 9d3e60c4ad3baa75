/* Events about pods: a bounded queue and the worker that writes them. Posting never waits; what
 * does not fit is counted.
 *
 * One series a pod and reason: a repeat of the same message raises its count, another message
 * starts the next event; either way at most one write in ten seconds, and of what came between only
 * the newest message is written. So there are at most SERIES_MAX writes in that time: of more pods
 * than that the others are left out, or each refusal of a long queue would be a first one.
 *
 * While binds are under way events give way: twenty a second at most. An event costs the API server
 * about as much as a Binding. */
#include "kubeclient/priv.h"

#include "base/map.h"
#include "base/own.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    QUEUE_MAX = 8192,
    SERIES_MAX = 4096, /* the oldest is forgotten, not before its next write may come */
    SPACING_MS = 10000,
    YIELD_MS = 50,      /* from write to write while others go before */
    MESSAGE_MAX = 1024, /* the API server's bound of a note */
    REASON_MAX = 128,
    NAME_MAX_ = 253,
    TRIES = 3,
    RETRY_MS = 1000,
    CALL_TIMEOUT_MS = 5000,
    WAIT_MS = 200, /* how soon what is due is seen */
    FREE_WAIT_MS = 1000,
    BODY_MAX = 16384,
};

/* A copy of what was posted; its strings stand behind it. */
struct post {
    int64_t wall_ns;
    struct kube_event e;
    char bytes[];
};

/* What we last wrote of one pod and reason. */
struct series {
    struct str key; /* ns/pod/uid/reason; owned */
    char name[NAME_MAX_ + 1];
    struct post *said; /* what stands in the event; its message tells a repeat */
    struct post *next; /* another message that waits; NULL: none */
    unsigned count;    /* as it stands there */
    unsigned more;     /* repeats not written yet, of `next` if there is one, else of `said` */
    int64_t written_ms, used_ms;
};

struct kube_events {
    struct kube *kube;
    struct clock clock;
    char *component;
    pthread_t thread;
    _Atomic uint64_t dropped;
    _Atomic int64_t yield_ms; /* until then others go before */
    _Atomic bool abort;       /* ends calls under way */
    pthread_mutex_t lock;     /* guards the queue and the two flags */
    pthread_cond_t changed;
    struct post *queue[QUEUE_MAX]; /* a ring */
    size_t first, n;
    bool stopping, idle;
    /* the worker's own */
    struct series *series;
    size_t series_n;
    struct map *index; /* key → series */
    int64_t last_stamp, wrote_ms;
};

/* ---- posting ---- */

/* At most `max` bytes, not in the middle of a character. */
static struct str cut(struct str s, size_t max)
{
    if (s.n <= max)
        return s;
    size_t n = max;
    while (n > 0 && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n--;
    return (struct str){s.p, n};
}

static struct post *post_new(const struct kube_event *e, int64_t wall_ns)
{
    struct kube_event c = *e;
    c.message = cut(c.message, MESSAGE_MAX);
    c.reason = cut(c.reason, REASON_MAX);
    struct str *parts[] = {&c.ns, &c.pod, &c.uid, &c.reason, &c.message};
    size_t n = 0;
    for (size_t i = 0; i < 5; i++)
        n += parts[i]->n;
    struct post *p = malloc(sizeof(*p) + n);
    if (!p)
        return NULL;
    char *to = p->bytes;
    for (size_t i = 0; i < 5; i++) {
        if (parts[i]->n)
            memcpy(to, parts[i]->p, parts[i]->n);
        parts[i]->p = to;
        to += parts[i]->n;
    }
    p->e = c;
    p->wall_ns = wall_ns;
    return p;
}

void kube_events_post(struct kube_events *ev, const struct kube_event *e)
{
    struct post *p = post_new(e, clock_wall_ns(&ev->clock));
    bool queued = false;
    if (p) {
        pthread_mutex_lock(&ev->lock);
        if (ev->n < QUEUE_MAX && !ev->stopping) {
            ev->queue[(ev->first + ev->n++) % QUEUE_MAX] = p;
            queued = true;
            pthread_cond_signal(&ev->changed);
        }
        pthread_mutex_unlock(&ev->lock);
    }
    if (!queued) {
        free(p);
        (void)atomic_fetch_add(&ev->dropped, 1);
    }
}

void kube_events_yield(struct kube_events *ev, int ms)
{
    atomic_store(&ev->yield_ms, clock_mono_ms(&ev->clock) + ms);
}

uint64_t kube_events_dropped(const struct kube_events *ev)
{
    return atomic_load(&((struct kube_events *)ev)->dropped);
}

/* ---- writing ---- */

static void pause_ms(struct kube_events *ev, int ms)
{
    for (int i = 0; i < ms && !atomic_load(&ev->abort); i += 10)
        (void)nanosleep(&(struct timespec){.tv_nsec = 10 * 1000000}, NULL);
}

static enum err_code send(struct kube_events *ev, const struct kube_request *req)
{
    enum err_code rc = ERR_UNAVAILABLE;
    for (int i = 0; i < TRIES && !atomic_load(&ev->abort); i++) {
        struct kube_response resp;
        rc = kube_call(ev->kube, req, &resp, NULL);
        int wait_ms = resp.retry_after_ms > RETRY_MS ? resp.retry_after_ms : RETRY_MS;
        kube_response_done(&resp);
        if (rc != ERR_BUSY && rc != ERR_UNAVAILABLE && rc != ERR_UNKNOWN)
            return rc;
        if (i + 1 < TRIES)
            pause_ms(ev, wait_ms);
    }
    return rc;
}

/* "<pod>.<hex time>", as every event's; unique by the time, which never stands still. */
static void make_name(struct kube_events *ev, struct str pod, char out[NAME_MAX_ + 1])
{
    int64_t now = clock_wall_ns(&ev->clock);
    ev->last_stamp = now > ev->last_stamp ? now : ev->last_stamp + 1;
    size_t n = pod.n < NAME_MAX_ - 17 ? pod.n : NAME_MAX_ - 17;
    while (n > 0 && (pod.p[n - 1] == '-' || pod.p[n - 1] == '.'))
        n--;
    (void)snprintf(out, NAME_MAX_ + 1, "%.*s.%llx", (int)n, pod.p,
                   (unsigned long long)ev->last_stamp);
}

static void add_pair(struct buf *b, const char *before, struct str value)
{
    buf_add(b, str_z(before));
    buf_json(b, value);
}

static enum err_code create(struct kube_events *ev, struct series *s, const struct post *p,
                            unsigned count)
{
    const struct kube_event *e = &p->e;
    char first[CLOCK_TEXT_MAX], last[CLOCK_TEXT_MAX];
    (void)clock_rfc3339(p->wall_ns, false, first);
    (void)clock_rfc3339(count > 1 ? clock_wall_ns(&ev->clock) : p->wall_ns, false, last);
    make_name(ev, e->pod, s->name);
    struct buf b;
    buf_init(&b, BODY_MAX);
    add_pair(&b,
             "{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"metadata\":{\"name\":", str_z(s->name));
    add_pair(&b, ",\"namespace\":", e->ns);
    add_pair(&b,
             "},\"involvedObject\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"namespace\":", e->ns);
    add_pair(&b, ",\"name\":", e->pod);
    add_pair(&b, ",\"uid\":", e->uid);
    add_pair(&b, "},\"reason\":", e->reason);
    add_pair(&b, ",\"message\":", e->message);
    add_pair(&b, ",\"type\":", e->warning ? STR("Warning") : STR("Normal"));
    add_pair(&b, ",\"source\":{\"component\":", str_z(ev->component));
    add_pair(&b, "},\"reportingComponent\":", str_z(ev->component));
    add_pair(&b, ",\"reportingInstance\":\"\",\"firstTimestamp\":", str_z(first));
    add_pair(&b, ",\"lastTimestamp\":", str_z(last));
    buf_fmt(&b, ",\"count\":%u}", count);
    struct kube_request req = {.verb = KUBE_CREATE,
                               .kind = KUBE_EVENT,
                               .ns = e->ns,
                               .body = {b.p, b.n},
                               .timeout_ms = CALL_TIMEOUT_MS,
                               .stop = &ev->abort};
    enum err_code rc = b.failed ? ERR_NO_MEMORY : send(ev, &req);
    buf_done(&b);
    return rc == ERR_CONFLICT ? ERR_OK : rc; /* our own name: an earlier try had come through */
}

static enum err_code raise_count(struct kube_events *ev, const struct series *s, unsigned count)
{
    char now[CLOCK_TEXT_MAX], body[128];
    (void)clock_rfc3339(clock_wall_ns(&ev->clock), false, now);
    int n = snprintf(body, sizeof(body), "{\"count\":%u,\"lastTimestamp\":\"%s\"}", count, now);
    struct kube_request req = {.verb = KUBE_PATCH,
                               .kind = KUBE_EVENT,
                               .ns = s->said->e.ns,
                               .name = str_z(s->name),
                               .body = {body, (size_t)n},
                               .timeout_ms = CALL_TIMEOUT_MS,
                               .stop = &ev->abort};
    return send(ev, &req);
}

/* Writes what waits in a series. */
static void flush(struct kube_events *ev, struct series *s)
{
    enum err_code rc;
    unsigned count = s->more;
    if (s->next) {
        free(s->said);
        s->said = TAKE(s->next);
        s->count = 0;
        rc = create(ev, s, s->said, count);
    } else {
        rc = s->count > 0 ? raise_count(ev, s, s->count + s->more) : ERR_NOT_FOUND;
        if (rc == ERR_NOT_FOUND) /* not written yet; or it lived its hour */
            rc = create(ev, s, s->said, s->count + s->more);
    }
    s->more = 0;
    s->written_ms = ev->wrote_ms = clock_mono_ms(&ev->clock);
    if (rc) {
        (void)atomic_fetch_add(&ev->dropped, count);
        return;
    }
    s->count += count;
}

static void series_done(struct series *s)
{
    free((char *)s->key.p);
    free(s->said);
    free(s->next);
    *s = (struct series){0};
}

/* NULL: all have written within the spacing. */
static struct series *series_slot(struct kube_events *ev)
{
    if (ev->series_n < SERIES_MAX)
        return &ev->series[ev->series_n++];
    struct series *old = &ev->series[0];
    for (size_t i = 1; i < SERIES_MAX; i++)
        if (ev->series[i].used_ms < old->used_ms)
            old = &ev->series[i];
    if (old->key.p && clock_mono_ms(&ev->clock) - old->written_ms < SPACING_MS)
        return NULL;
    if (old->key.p) {
        (void)atomic_fetch_add(&ev->dropped, old->more);
        (void)map_del(ev->index, old->key);
    }
    series_done(old);
    return old;
}

static struct series *find_series(struct kube_events *ev, const struct kube_event *e)
{
    struct buf b;
    buf_init(&b, 4096);
    struct str parts[] = {e->ns, e->pod, e->uid, e->reason};
    for (size_t i = 0; i < 4; i++) {
        buf_add(&b, parts[i]);
        buf_char(&b, '/');
    }
    size_t n;
    char *key = buf_take(&b, &n);
    buf_done(&b);
    uint32_t at;
    if (!key)
        return NULL;
    if (map_get(ev->index, (struct str){key, n}, &at)) {
        free(key);
        return &ev->series[at];
    }
    struct series *s = series_slot(ev);
    if (!s) {
        free(key);
        return NULL;
    }
    *s = (struct series){.key = {key, n}};
    if (map_put(ev->index, s->key, (uint32_t)(s - ev->series))) {
        series_done(s); /* an empty slot, which its age gives away first */
        return NULL;
    }
    return s;
}

/* Takes `p`. */
static void handle(struct kube_events *ev, struct post *p)
{
    struct series *s = find_series(ev, &p->e);
    if (!s) {
        free(p);
        (void)atomic_fetch_add(&ev->dropped, 1);
        return;
    }
    int64_t now_ms = clock_mono_ms(&ev->clock);
    bool first = !s->said;
    s->used_ms = now_ms;
    struct post *last = s->next ? s->next : s->said;
    if (first) {
        s->said = p;
        s->more = 1;
    } else if (str_eq(last->e.message, p->e.message)) {
        s->more++;
        free(p);
    } else {
        free(s->next); /* a newer message takes its place */
        s->next = p;
        s->more = 1;
    }
    if (first || now_ms - s->written_ms >= SPACING_MS)
        flush(ev, s);
}

/* ---- the worker ---- */

/* How long the next write has to wait for others'. */
static int64_t yields_ms(struct kube_events *ev)
{
    const int64_t now_ms = clock_mono_ms(&ev->clock), next_ms = ev->wrote_ms + YIELD_MS;
    return now_ms < atomic_load(&ev->yield_ms) && now_ms < next_ms ? next_ms - now_ms : 0;
}

static void flush_due(struct kube_events *ev)
{
    int64_t now_ms = clock_mono_ms(&ev->clock);
    for (size_t i = 0; i < ev->series_n && !atomic_load(&ev->abort) && yields_ms(ev) == 0; i++) {
        struct series *s = &ev->series[i];
        if (s->more > 0 && now_ms - s->written_ms >= SPACING_MS)
            flush(ev, s);
    }
}

static struct timespec deadline(int ms)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static void *run(void *ctx)
{
    struct kube_events *ev = ctx;
    pthread_mutex_lock(&ev->lock);
    while (!atomic_load(&ev->abort)) {
        const int64_t yields = ev->stopping ? 0 : yields_ms(ev);
        if (ev->n > 0 && yields == 0) {
            struct post *p = ev->queue[ev->first];
            ev->first = (ev->first + 1) % QUEUE_MAX;
            ev->n--;
            pthread_mutex_unlock(&ev->lock);
            handle(ev, p);
            pthread_mutex_lock(&ev->lock);
            continue;
        }
        if (ev->stopping)
            break;
        struct timespec until = deadline(yields > 0 && yields < WAIT_MS ? (int)yields : WAIT_MS);
        (void)pthread_cond_timedwait(&ev->changed, &ev->lock, &until);
        if (ev->n == 0) {
            pthread_mutex_unlock(&ev->lock);
            flush_due(ev);
            pthread_mutex_lock(&ev->lock);
        }
    }
    ev->idle = true;
    pthread_cond_broadcast(&ev->changed);
    pthread_mutex_unlock(&ev->lock);
    return NULL;
}

static void events_done(struct kube_events *ev)
{
    for (size_t i = 0; i < ev->n; i++)
        free(ev->queue[(ev->first + i) % QUEUE_MAX]);
    for (size_t i = 0; i < ev->series_n; i++)
        series_done(&ev->series[i]);
    free(ev->series);
    map_free(ev->index);
    free(ev->component);
    (void)pthread_cond_destroy(&ev->changed);
    (void)pthread_mutex_destroy(&ev->lock);
    free(ev);
}

enum err_code kube_events_new(struct kube *k, const char *component, const struct clock *clock,
                              struct kube_events **ret, struct err *err)
{
    struct kube_events *ev = calloc(1, sizeof(*ev));
    if (!ev)
        return err_set(err, ERR_NO_MEMORY, "events: no memory");
    ev->kube = k;
    ev->clock = *clock;
    (void)pthread_mutex_init(&ev->lock, NULL);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&ev->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    ev->wrote_ms = clock_mono_ms(clock) - YIELD_MS;
    ev->component = strdup(component);
    ev->series = calloc(SERIES_MAX, sizeof(*ev->series));
    ev->index = map_new((uint64_t)clock_mono_ns(clock), 64);
    if (!ev->component || !ev->series || !ev->index || pthread_create(&ev->thread, NULL, run, ev)) {
        events_done(ev);
        return err_set(err, ERR_NO_MEMORY, "events: no memory or no thread");
    }
    *ret = ev;
    return ERR_OK;
}

void kube_events_free(struct kube_events *ev)
{
    if (!ev)
        return;
    struct timespec until = deadline(FREE_WAIT_MS);
    pthread_mutex_lock(&ev->lock);
    ev->stopping = true;
    pthread_cond_broadcast(&ev->changed);
    while (!ev->idle && pthread_cond_timedwait(&ev->changed, &ev->lock, &until) == 0)
        ;
    pthread_mutex_unlock(&ev->lock);
    atomic_store(&ev->abort, true);
    (void)pthread_join(ev->thread, NULL);
    events_done(ev);
}
