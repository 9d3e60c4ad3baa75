/* Who leads: keeps a lease_state of one Lease up to date over the API. One thread watches it; the
 * other shows that the process runs, reads where the watch says nothing or may say old things, and
 * in an election of our own writes. What it all means is in step.c. */
#include "lease/priv.h"

#include "base/hash.h"
#include "base/log.h"
#include "base/own.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

enum {
    RELEASE_TRIES = 3,
    TURN_CALLS = 4, /* calls in a row before the thread looks around */
    NAMES_MAX = 253,
};

struct lease_keeper {
    struct lease_keeper_config cfg;
    char *ns, *name, *identity, *selector;
    struct lease_rules rules;
    uint64_t random;

    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t moved;
    struct lease_state state;
    char *object; /* the Lease as last seen; NULL: there is none */
    size_t object_n;
    bool watching;      /* the watch is up, as far as known */
    int64_t read_at_ms; /* the next read that a watch in doubt asks for */
    uint64_t prepared;  /* the term that `prepare` has agreed to */
    int64_t prepare_at_ms;
    bool told_leads; /* what `changed` was told last */
    uint64_t told_term;
    char told_holder[LEASE_HOLDER_MAX];
    uint64_t reads_asked, reads_begun, reads_done; /* tickets of lease_keeper_look() */
    bool reading;
    uint64_t reads, writes, failures;

    _Atomic bool stop;
    bool watch_started, turn_started;
    pthread_t watch_thread, turn_thread;
};

static int64_t now_ms(const struct lease_keeper *k) { return clock_mono_ms(k->cfg.clock); }

static uint64_t next_random(struct lease_keeper *k) /* xorshift: jitter only */
{
    k->random ^= k->random << 13;
    k->random ^= k->random >> 7;
    k->random ^= k->random << 17;
    return k->random;
}

/* ---- what is seen ---- */

static void keep_object_locked(struct lease_keeper *k, struct str object)
{
    if (k->object && object.p && k->object_n == object.n &&
        memcmp(k->object, object.p, object.n) == 0)
        return;
    free(k->object);
    k->object = object.p ? str_dup_z(object) : NULL; /* NULL: read again before the next write */
    k->object_n = k->object ? object.n : 0;
    if (object.p && !k->object)
        k->state.read = true;
}

/* Is the record that the state holds now this object's? */
static void took_locked(struct lease_keeper *k, const struct lease_record *record,
                        struct str object)
{
    if (k->state.record.version == record->version && k->state.record.there == record->there)
        keep_object_locked(k, record->there ? object : (struct str){0});
}

static enum err_code decode(struct str object, struct lease_record *ret, struct err *err)
{
    struct lease_record *record = ret;
    *record = (struct lease_record){0};
    return object.p ? lease_record_decode(object, record, err) : ERR_OK;
}

static struct lease_lead lead_locked(struct lease_keeper *k)
{
    struct lease_lead lead = lease_lead_at(&k->state, &k->rules, now_ms(k));
    if (k->cfg.prepare && k->prepared != lead.term)
        lead.leads = false;
    if (!lead.leads)
        lead.writes_until_ms = INT64_MIN;
    return lead;
}

void lease_keeper_event(struct lease_keeper *k, enum kube_event_type type, struct str object)
{
    struct lease_record record;
    struct err err;
    if (decode(object, &record, &err)) {
        log_error("lease not taken", "ns=%s name=%s err=%s", k->ns, k->name, err.text);
        return;
    }
    record.there = type != KUBE_DELETED;
    pthread_mutex_lock(&k->lock);
    if (lease_saw_event(&k->state, &k->rules, &record, now_ms(k)))
        pthread_cond_broadcast(&k->moved);
    took_locked(k, &record, object);
    pthread_mutex_unlock(&k->lock);
}

/* ---- calls ---- */

static void response_done(struct kube_response *r) { kube_response_done(r); }

static int call_timeout(const struct lease_keeper *k)
{
    int64_t ms = k->cfg.write_ms;
    if (k->cfg.own && k->cfg.renew_deadline_ms / 2 < ms) /* a renewal must leave time for another */
        ms = k->cfg.renew_deadline_ms / 2;
    return ms > 1 ? (int)ms : 1;
}

/* A live read; 404 is an answer. */
static enum err_code read_lease(struct lease_keeper *k, int timeout_ms, int64_t *ret_retry_ms,
                                struct err *err)
{
    struct kube_request req = {.verb = KUBE_GET,
                               .kind = KUBE_LEASE,
                               .ns = str_z(k->ns),
                               .name = str_z(k->name),
                               .timeout_ms = timeout_ms};
    struct kube_response resp CLEANUP(response_done) = {0};
    int64_t start_ms = now_ms(k);
    enum err_code rc = kube_call(k->cfg.kube, &req, &resp, err);
    struct str object = {resp.body, resp.body_n};
    *ret_retry_ms = resp.retry_after_ms;
    struct lease_record record = {0};
    if (rc == ERR_NOT_FOUND) {
        object = (struct str){0};
        rc = ERR_OK;
    } else if (!rc) {
        rc = object.p ? decode(object, &record, err)
                      : err_set(err, ERR_UNAVAILABLE, "Lease: the answer is empty");
    }
    pthread_mutex_lock(&k->lock);
    k->reads++;
    if (rc) {
        k->failures++;
    } else {
        (void)lease_saw_read(&k->state, &k->rules, &record, start_ms, now_ms(k));
        took_locked(k, &record, object);
        pthread_cond_broadcast(&k->moved);
    }
    pthread_mutex_unlock(&k->lock);
    return rc;
}

/* One write of `body`; its answer is what the Lease is now. */
static enum err_code write_lease(struct lease_keeper *k, enum kube_verb verb, struct str body,
                                 int64_t *ret_retry_ms, struct err *err)
{
    struct kube_request req = {.verb = verb,
                               .kind = KUBE_LEASE,
                               .ns = str_z(k->ns),
                               .body = body,
                               .timeout_ms = call_timeout(k)};
    if (verb != KUBE_CREATE)
        req.name = str_z(k->name);
    struct kube_response resp CLEANUP(response_done) = {0};
    int64_t start_ms = now_ms(k);
    enum err_code rc = kube_call(k->cfg.kube, &req, &resp, err);
    struct str object = {resp.body, resp.body_n};
    *ret_retry_ms = resp.retry_after_ms;
    struct lease_record record = {0};
    if (!rc)
        rc = object.p ? decode(object, &record, err)
                      : err_set(err, ERR_UNKNOWN, "Lease: the answer is empty");
    pthread_mutex_lock(&k->lock);
    k->writes++;
    if (rc) {
        k->failures++;
    } else {
        (void)lease_saw_write(&k->state, &k->rules, &record, start_ms, now_ms(k));
        took_locked(k, &record, object);
        pthread_cond_broadcast(&k->moved);
    }
    pthread_mutex_unlock(&k->lock);
    return rc;
}

/* The body of the next write, from what was seen last; NULL: no memory, or nothing to start from.
 */
static char *next_body(struct lease_keeper *k, bool create, bool release, size_t *ret_n)
{
    pthread_mutex_lock(&k->lock);
    char *object CLEANUP(free_p) =
        create || !k->object ? NULL : str_dup_z((struct str){k->object, k->object_n});
    struct lease_body_args args = {.object = {object, object ? k->object_n : 0},
                                   .ns = str_z(k->ns),
                                   .name = str_z(k->name),
                                   .identity = k->rules.identity,
                                   .duration_s = k->cfg.duration_ms / 1000,
                                   .wall_ns = clock_wall_ns(k->cfg.clock),
                                   .held = lease_is_mine(&k->rules, &k->state.record),
                                   .release = release};
    pthread_mutex_unlock(&k->lock);
    return create || object ? lease_body(&args, ret_n) : NULL;
}

static enum err_code act(struct lease_keeper *k, enum lease_do what, int64_t *ret_retry_ms,
                         struct err *err)
{
    *ret_retry_ms = 0;
    if (what == LEASE_READ)
        return read_lease(k, call_timeout(k), ret_retry_ms, err);
    size_t n = 0;
    char *body CLEANUP(free_p) = next_body(k, what == LEASE_CREATE, false, &n);
    if (!body)
        return err_set(err, ERR_NO_MEMORY, "Lease: no memory, or nothing was read");
    return write_lease(k, what == LEASE_CREATE ? KUBE_CREATE : KUBE_UPDATE, (struct str){body, n},
                       ret_retry_ms, err);
}

/* ---- turns ---- */

static void view_locked(struct lease_keeper *k, struct lease_view *ret)
{
    const struct lease_state *s = &k->state;
    *ret = (struct lease_view){.lead = lead_locked(k),
                               .there = s->record.there,
                               .doubt = s->doubt,
                               .transitions = s->record.transitions,
                               .duration_s = s->record.duration_s,
                               .age_ms = s->seen ? now_ms(k) - s->observed_ms : -1,
                               .reads = k->reads,
                               .writes = k->writes,
                               .failures = k->failures};
    memcpy(ret->holder, s->record.holder, sizeof(ret->holder));
}

/* A term that begins is prepared before it is shown; what changed is told. */
static void announce(struct lease_keeper *k)
{
    pthread_mutex_lock(&k->lock);
    struct lease_lead due = lease_lead_at(&k->state, &k->rules, now_ms(k));
    bool prepare =
        k->cfg.prepare && due.leads && k->prepared != due.term && now_ms(k) >= k->prepare_at_ms;
    pthread_mutex_unlock(&k->lock);
    if (prepare) {
        bool ready = k->cfg.prepare(k->cfg.ctx, due.term);
        pthread_mutex_lock(&k->lock);
        if (ready)
            k->prepared = due.term;
        k->prepare_at_ms = now_ms(k) + k->cfg.retry_ms;
        pthread_mutex_unlock(&k->lock);
    }
    struct lease_view view;
    pthread_mutex_lock(&k->lock);
    view_locked(k, &view);
    bool tell = k->cfg.changed && k->state.seen &&
                (view.lead.leads != k->told_leads || view.lead.term != k->told_term ||
                 strcmp(view.holder, k->told_holder) != 0);
    if (tell) {
        k->told_leads = view.lead.leads;
        k->told_term = view.lead.term;
        memcpy(k->told_holder, view.holder, sizeof(k->told_holder));
    }
    pthread_mutex_unlock(&k->lock);
    if (tell)
        k->cfg.changed(k->cfg.ctx, &view);
}

/* One call if one is due; *ret_wait_ms is when the next may be. */
static bool turn_once(struct lease_keeper *k, int64_t *ret_wait_ms)
{
    pthread_mutex_lock(&k->lock);
    int64_t now = now_ms(k);
    lease_beat(&k->state, now);
    struct lease_next next = {LEASE_WAIT, now + LEASE_BEAT_MS};
    if (k->cfg.own)
        next = lease_own_next(&k->state, &k->rules, now);
    /* A watch in doubt asks for reads. So does one that is down; a holder's own writes tell it. */
    bool mine = k->cfg.own && lease_is_mine(&k->rules, &k->state.record);
    bool look = k->state.doubt || (!k->watching && !mine);
    bool extra = next.what == LEASE_WAIT && look && now >= k->read_at_ms;
    if (extra) {
        next.what = LEASE_READ;
        k->read_at_ms = now + k->cfg.retry_ms;
    }
    int64_t due = next.at_ms;
    if (look && k->read_at_ms < due)
        due = k->read_at_ms;
    pthread_mutex_unlock(&k->lock);
    if (next.what == LEASE_WAIT) {
        *ret_wait_ms = due > now ? due - now : 0;
        return false;
    }
    struct err err = {0};
    int64_t retry_ms = 0;
    enum err_code rc = act(k, next.what, &retry_ms, &err);
    if (rc)
        log_info(rc == ERR_CONFLICT ? 2 : 0, "lease call failed", "ns=%s name=%s call=%s err=%s",
                 k->ns, k->name,
                 next.what == LEASE_READ     ? "get"
                 : next.what == LEASE_CREATE ? "create"
                                             : "update",
                 err.text);
    pthread_mutex_lock(&k->lock);
    if (extra)
        k->read_at_ms = now_ms(k) + (retry_ms > k->cfg.retry_ms ? retry_ms : k->cfg.retry_ms);
    else
        lease_own_done(&k->state, &k->rules, next.what, rc, retry_ms, now_ms(k), next_random(k));
    pthread_mutex_unlock(&k->lock);
    *ret_wait_ms = 0;
    return true;
}

int64_t lease_keeper_turn(struct lease_keeper *k)
{
    int64_t wait_ms = 0;
    for (int i = 0; i < TURN_CALLS && turn_once(k, &wait_ms); i++)
        announce(k);
    announce(k);
    return wait_ms < LEASE_BEAT_MS ? wait_ms : LEASE_BEAT_MS;
}

static void wait_locked(struct lease_keeper *k, int64_t ms)
{
    struct timespec until;
    err_ignore(clock_gettime(CLOCK_MONOTONIC, &until) ? ERR_INTERNAL : ERR_OK);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_cond_timedwait(&k->moved, &k->lock, &until);
}

static void *turn_main(void *ctx)
{
    struct lease_keeper *k = ctx;
    while (!atomic_load(&k->stop)) {
        int64_t wait_ms = lease_keeper_turn(k);
        pthread_mutex_lock(&k->lock);
        if (wait_ms > 0 && !atomic_load(&k->stop))
            wait_locked(k, wait_ms); /* what the watch sees ends it */
        pthread_mutex_unlock(&k->lock);
    }
    return NULL;
}

/* ---- the watch ---- */

struct listing {
    struct lease_keeper *k;
    char *object;
    size_t object_n;
    char resource_version[KUBE_RV_MAX];
};

static enum err_code on_item(void *ctx, struct str object, struct err *err)
{
    struct listing *l = ctx;
    free(l->object);
    l->object = str_dup_z(object);
    l->object_n = object.n;
    return l->object ? ERR_OK : err_set(err, ERR_NO_MEMORY, "Lease: no memory");
}

static enum err_code on_event(void *ctx, enum kube_event_type type, struct str object,
                              struct str resource_version, struct err *err)
{
    struct listing *l = ctx;
    (void)err;
    if (type == KUBE_ADDED || type == KUBE_MODIFIED || type == KUBE_DELETED)
        lease_keeper_event(l->k, type, object);
    if (resource_version.n && resource_version.n < sizeof(l->resource_version)) {
        memcpy(l->resource_version, resource_version.p, resource_version.n);
        l->resource_version[resource_version.n] = '\0';
    }
    return ERR_OK;
}

static enum err_code list(struct listing *l, struct err *err)
{
    struct lease_keeper *k = l->k;
    struct kube_list_options opt = {.field_selector = k->selector, .ns = k->ns};
    struct kube_list_handler handler = {.item = on_item, .ctx = l};
    free(TAKE(l->object));
    int64_t start_ms = now_ms(k);
    enum err_code rc =
        kube_list(k->cfg.kube, KUBE_LEASE, &opt, &k->stop, &handler, l->resource_version, err);
    struct str object = {l->object, l->object ? l->object_n : 0};
    struct lease_record record = {0};
    if (!rc)
        rc = decode(object, &record, err);
    if (rc) {
        l->resource_version[0] = '\0';
        return rc;
    }
    pthread_mutex_lock(&k->lock);
    k->reads++;
    if (lease_saw_read(&k->state, &k->rules, &record, start_ms, now_ms(k)))
        pthread_cond_broadcast(&k->moved);
    took_locked(k, &record, object);
    pthread_mutex_unlock(&k->lock);
    return ERR_OK;
}

static void set_watching(struct lease_keeper *k, bool on)
{
    pthread_mutex_lock(&k->lock);
    k->watching = on;
    pthread_cond_broadcast(&k->moved);
    pthread_mutex_unlock(&k->lock);
}

static enum err_code watch(struct listing *l, struct err *err)
{
    struct lease_keeper *k = l->k;
    if (!l->resource_version[0]) {
        enum err_code rc = list(l, err);
        if (rc)
            return rc;
    }
    struct kube_watch_options opt = {
        .resource_version = l->resource_version, .field_selector = k->selector, .ns = k->ns};
    struct kube_watch_handler handler = {.event = on_event, .ctx = l};
    char from[KUBE_RV_MAX];
    memcpy(from, l->resource_version, sizeof(from)); /* the handler writes into the other */
    opt.resource_version = from;
    set_watching(k, true);
    enum err_code rc = kube_watch(k->cfg.kube, KUBE_LEASE, &opt, &k->stop, &handler, err);
    set_watching(k, false);
    return rc;
}

static void *watch_main(void *ctx)
{
    struct listing l = {.k = ctx};
    struct lease_keeper *k = ctx;
    struct kube_backoff backoff = {0};
    uint64_t random = (uint64_t)clock_wall_ns(k->cfg.clock) | 1;
    while (!atomic_load(&k->stop)) {
        struct err err = {0};
        int64_t since_ms = now_ms(k);
        enum err_code rc = watch(&l, &err);
        if (rc == ERR_CANCELLED)
            break;
        if (rc == ERR_GONE) {
            l.resource_version[0] = '\0';
            log_info(2, "lease watch too old", "ns=%s name=%s", k->ns, k->name);
        } else if (rc) {
            log_warn("lease watch failed", "ns=%s name=%s err=%s", k->ns, k->name, err.text);
        }
        int64_t lasted_ms = now_ms(k) - since_ms;
        if (lasted_ms > KUBE_BACKOFF_MAX_MS)
            backoff = (struct kube_backoff){0};
        if (rc || lasted_ms < 1000) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            int64_t pause_ms = kube_backoff_next_ms(&backoff, random >> 16);
            if (pause_ms > k->cfg.retry_ms) /* the reads meanwhile cost as much as another try */
                pause_ms = k->cfg.retry_ms;
            pthread_mutex_lock(&k->lock);
            int64_t until_ms = clock_mono_ms(&CLOCK_SYSTEM) + pause_ms, left_ms = pause_ms;
            while (!atomic_load(&k->stop) && left_ms > 0) {
                wait_locked(k, left_ms);
                left_ms = until_ms - clock_mono_ms(&CLOCK_SYSTEM);
            }
            pthread_mutex_unlock(&k->lock);
        }
    }
    free(l.object);
    return NULL;
}

/* ---- who asks ---- */

struct lease_lead lease_keeper_lead(struct lease_keeper *k)
{
    pthread_mutex_lock(&k->lock);
    struct lease_lead lead = lead_locked(k);
    pthread_mutex_unlock(&k->lock);
    return lead;
}

void lease_keeper_view(struct lease_keeper *k, struct lease_view *ret)
{
    pthread_mutex_lock(&k->lock);
    view_locked(k, ret);
    pthread_mutex_unlock(&k->lock);
}

/* Whoever finds no read under way does one, for all who came before it began. */
struct lease_lead lease_keeper_look(struct lease_keeper *k, int timeout_ms)
{
    int64_t end_ms = clock_mono_ms(&CLOCK_SYSTEM) + timeout_ms;
    pthread_mutex_lock(&k->lock);
    uint64_t mine = ++k->reads_asked;
    for (;;) {
        int64_t left_ms = end_ms - clock_mono_ms(&CLOCK_SYSTEM);
        if (k->reads_done >= mine || left_ms <= 0 || atomic_load(&k->stop))
            break;
        if (k->reading) {
            wait_locked(k, left_ms);
            continue;
        }
        k->reading = true;
        uint64_t upto = k->reads_asked;
        pthread_mutex_unlock(&k->lock);
        struct err err;
        int64_t retry_ms;
        enum err_code rc = read_lease(k, (int)left_ms, &retry_ms, &err);
        if (rc)
            log_info(2, "lease call failed", "ns=%s name=%s call=get err=%s", k->ns, k->name,
                     err.text);
        pthread_mutex_lock(&k->lock);
        k->reading = false;
        k->reads_done = upto;
        pthread_cond_broadcast(&k->moved);
    }
    struct lease_lead lead = lead_locked(k);
    pthread_mutex_unlock(&k->lock);
    return lead;
}

/* ---- beginning and end ---- */

enum err_code lease_uuid(char ret[LEASE_UUID_MAX], struct err *err)
{
    unsigned char b[16];
    if (getentropy(b, sizeof(b)) != 0)
        return err_set(err, ERR_INTERNAL, "no random bytes (errno %d)", errno);
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    char *at = ret;
    for (int i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *at++ = '-';
        (void)snprintf(at, 3, "%02x", b[i]);
        at += 2;
    }
    return ERR_OK;
}

static void keeper_done(struct lease_keeper *k)
{
    (void)pthread_cond_destroy(&k->moved);
    (void)pthread_mutex_destroy(&k->lock);
    free(k->object);
    free(k->selector);
    free(k->identity);
    free(k->name);
    free(k->ns);
    free(k);
}

enum err_code lease_keeper_make(const struct lease_keeper_config *cfg, struct lease_keeper **ret,
                                struct err *err)
{
    if (!cfg->ns.n || !cfg->name.n || !cfg->identity.n || cfg->ns.n > NAMES_MAX ||
        cfg->name.n > NAMES_MAX || cfg->identity.n >= LEASE_HOLDER_MAX)
        return err_set(err, ERR_BAD_REQUEST,
                       "Lease: namespace, name and identity must be there, and no longer than "
                       "Kubernetes allows");
    if (cfg->retry_ms < 1 || cfg->write_ms < 1 ||
        (cfg->own && (cfg->duration_ms < 1000 || cfg->duration_ms <= cfg->renew_deadline_ms ||
                      cfg->renew_deadline_ms * 10 <= cfg->retry_ms * 12)))
        return err_set(err, ERR_BAD_REQUEST,
                       "Lease: its duration must be longer than the renew deadline, and that "
                       "longer than 1.2 retry periods");
    struct lease_keeper *k = calloc(1, sizeof(*k));
    if (!k)
        return err_set(err, ERR_NO_MEMORY, "Lease: no memory");
    k->cfg = *cfg;
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&k->lock, NULL);
    (void)pthread_cond_init(&k->moved, &attr);
    (void)pthread_condattr_destroy(&attr);
    k->ns = str_dup_z(cfg->ns);
    k->name = str_dup_z(cfg->name);
    k->identity = str_dup_z(cfg->identity);
    struct buf selector;
    buf_init(&selector, NAMES_MAX + 32);
    buf_fmt(&selector, "metadata.name=" STR_FMT, STR_ARG(cfg->name));
    size_t selector_n;
    k->selector = buf_take(&selector, &selector_n);
    buf_done(&selector);
    if (!k->ns || !k->name || !k->identity || !k->selector) {
        keeper_done(k);
        return err_set(err, ERR_NO_MEMORY, "Lease: no memory");
    }
    k->rules = (struct lease_rules){.own = cfg->own,
                                    .identity = str_z(k->identity),
                                    .write_ms = cfg->write_ms,
                                    .duration_ms = cfg->duration_ms,
                                    .renew_deadline_ms = cfg->renew_deadline_ms,
                                    .retry_ms = cfg->retry_ms};
    k->random = hash_str((uint64_t)clock_wall_ns(cfg->clock), cfg->identity) | 1;
    lease_state_init(&k->state, now_ms(k));
    k->read_at_ms = now_ms(k);
    k->prepare_at_ms = now_ms(k);
    *ret = k;
    return ERR_OK;
}

enum err_code lease_keeper_start(const struct lease_keeper_config *cfg, struct lease_keeper **ret,
                                 struct err *err)
{
    struct lease_keeper *k = NULL;
    enum err_code rc = lease_keeper_make(cfg, &k, err);
    if (rc)
        return rc;
    assert(k);
    k->watch_started = pthread_create(&k->watch_thread, NULL, watch_main, k) == 0;
    k->turn_started = k->watch_started && pthread_create(&k->turn_thread, NULL, turn_main, k) == 0;
    if (!k->turn_started) {
        lease_keeper_free(k, false);
        return err_set(err, ERR_INTERNAL, "Lease: no thread");
    }
    *ret = k;
    return ERR_OK;
}

/* As client-go: read it, and if it is still ours, write it without a holder. */
static void release_lease(struct lease_keeper *k)
{
    for (int i = 0; i < RELEASE_TRIES; i++) {
        struct err err = {0};
        int64_t retry_ms;
        enum err_code rc = read_lease(k, call_timeout(k), &retry_ms, &err);
        pthread_mutex_lock(&k->lock);
        bool mine = lease_is_mine(&k->rules, &k->state.record);
        pthread_mutex_unlock(&k->lock);
        if (!rc && !mine)
            return;
        size_t n = 0;
        char *body CLEANUP(free_p) = rc ? NULL : next_body(k, false, true, &n);
        if (body)
            rc = write_lease(k, KUBE_UPDATE, (struct str){body, n}, &retry_ms, &err);
        if (body && !rc) {
            log_info(0, "lease released", "ns=%s name=%s", k->ns, k->name);
            return;
        }
        log_warn("lease not released", "ns=%s name=%s err=%s", k->ns, k->name, err.text);
    }
}

void lease_keeper_free(struct lease_keeper *k, bool release)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    atomic_store(&k->stop, true);
    pthread_cond_broadcast(&k->moved);
    pthread_mutex_unlock(&k->lock);
    if (k->watch_started)
        (void)pthread_join(k->watch_thread, NULL);
    if (k->turn_started)
        (void)pthread_join(k->turn_thread, NULL);
    if (release && k->cfg.own && lease_is_mine(&k->rules, &k->state.record))
        release_lease(k);
    keeper_done(k);
}
