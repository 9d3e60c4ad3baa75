/* What fails around the API server: every answer late, nobody there for a while, and a wall clock
 * that jumps. Time is virtual where it is the server's: an answer that is two seconds late moves
 * the clock by two seconds. */
#include "verbs_fixture.h"

#include "extender/settle.h"
#include "kubeclient/priv.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CARD(id)                                                                                   \
    "{\"id\":\"" id "\",\"count\":10,\"devmem\":24576,\"devcore\":100,\"type\":\"NVIDIA A10\","    \
    "\"health\":true}"
#define AMOUNTS                                                                                    \
    "{\"nvidia.com/gpu\":\"10\",\"mthreads.com/vgpu\":\"100\",\"mthreads.com/sgpu-core\":\"16\","  \
    "\"mthreads.com/sgpu-memory\":\"96\"}"
#define NODE(name)                                                                                 \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"" name                 \
    "\",\"uid\":\"uid-" name "\",\"annotations\":{\"hami.io/node-nvidia-register\":'[" CARD(       \
        "GPU-" name) "]'}},\"status\":{\"capacity\":" AMOUNTS ",\"allocatable\":" AMOUNTS "}}\n"
#define POD(name, notes, limits)                                                                   \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name                  \
    "\",\"namespace\":\"ml\",\"uid\":\"uid-" name "\",\"annotations\":{" notes                     \
    "}},\"spec\":{\"schedulerName\":\"cardinal-scheduler\",\"containers\":[{\"name\":\"main\","    \
    "\"image\":\"x\",\"resources\":{\"limits\":{" limits                                           \
    "}}}]},\"status\":{\"phase\":\"Pending\"}}\n"
#define LOCKED "\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"20000\""
#define SMALL  "\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"1000\""
#define LOCKLESS                                                                                   \
    "\"mthreads.com/vgpu\":\"1\",\"mthreads.com/sgpu-memory\":\"32\","                             \
    "\"mthreads.com/sgpu-core\":\"8\""
#define STALE "\"hami.io/MLU-devices-allocated\":\"x\""
static const char CLUSTER[] =
    NODE("a") NODE("b") POD("lock", "", LOCKED) POD("next", "", LOCKED) POD("third", "", LOCKED)
        POD("small", "", SMALL) POD("lockless", "", LOCKLESS) POD("stale", STALE, LOCKED);
static const char *const AB[] = {"a", "b", NULL};

/* ---- an API server in the way of which something stands ---- */

struct way {
    struct kube kube;
    struct kube *inner;
    struct fx *fx;
    _Atomic int late_ms;      /* every answer; 0: at once */
    _Atomic bool away;        /* no connection */
    _Atomic bool cut;         /* watches end */
    _Atomic bool restarts;    /* until the next process lists */
    _Atomic unsigned calls;   /* single calls */
    _Atomic unsigned dies_at; /* the call at which we are killed; 0: we are not */
    bool dies_done;           /* the server carries that call out */
    _Atomic unsigned fences;  /* writes to pods/status */
    _Atomic unsigned watches[KUBE_LEASE + 1];
    const char *_Atomic unread; /* of this pod only the beginning comes; NULL: of none */
};

static enum err_code way_call(struct kube *k, const struct kube_request *req,
                              struct kube_response *ret, struct err *err)
{
    struct way *w = (struct way *)k;
    w->calls++;
    w->fences += req->verb == KUBE_PATCH && req->status;
    if (w->dies_at && w->calls >= w->dies_at && !(w->dies_done && w->calls == w->dies_at))
        return kube_no_answer(req, /* sent= */ false, "killed", err);
    if (w->away)
        return kube_no_answer(req, /* sent= */ false, "Connection refused", err);
    enum err_code rc = kube_call(w->inner, req, ret, err);
    if (w->calls == w->dies_at) {
        kube_response_done(ret);
        *ret = (struct kube_response){.sent = true};
        return kube_no_answer(req, /* sent= */ true, "killed", err);
    }
    int late_ms = w->late_ms;
    if (late_ms < req->timeout_ms) {
        w->fx->mono_skew_ms += late_ms;
        return rc;
    }
    w->fx->mono_skew_ms += req->timeout_ms; /* done, and the answer comes when nobody waits */
    kube_response_done(ret);
    *ret = (struct kube_response){.sent = true};
    return kube_no_answer(req, /* sent= */ true, "Operation timed out", err);
}

struct sieve { /* hands on what comes, but for what is unread */
    const struct way *w;
    const struct kube_list_handler *list;
    const struct kube_watch_handler *watch;
};

static bool is_unread(const struct sieve *s, struct str object, struct str *ret_head)
{
    char name[64];
    const char *unread = s->w->unread;
    (void)snprintf(name, sizeof(name), "\"name\":\"%s\"", unread ? unread : "");
    *ret_head = (struct str){object.p, object.n - 1};
    return unread && memmem(object.p, object.n, name, strlen(name));
}

static enum err_code sieve_item(void *ctx, struct str object, struct err *err)
{
    const struct sieve *s = ctx;
    struct str head;
    if (!is_unread(s, object, &head))
        return s->list->item(s->list->ctx, object, err);
    ck_assert_ptr_nonnull(s->list->unread);
    s->list->unread(s->list->ctx, head, "too large");
    return ERR_OK;
}

static enum err_code sieve_event(void *ctx, enum kube_event_type type, struct str object,
                                 struct str resource_version, struct err *err)
{
    const struct sieve *s = ctx;
    struct str head;
    if (!is_unread(s, object, &head))
        return s->watch->event(s->watch->ctx, type, object, resource_version, err);
    ck_assert_ptr_nonnull(s->watch->unread);
    s->watch->unread(s->watch->ctx, type, head, "too large");
    return ERR_OK;
}

static enum err_code way_list(struct kube *k, enum kube_kind kind,
                              const struct kube_list_options *opt, const _Atomic bool *stop,
                              const struct kube_list_handler *handler, char ret_rv[KUBE_RV_MAX],
                              struct err *err)
{
    struct way *w = (struct way *)k;
    if (w->away)
        return err_set(err, ERR_UNAVAILABLE, "Connection refused");
    struct sieve sieve = {.w = w, .list = handler};
    struct kube_list_handler sieved = {
        .item = sieve_item, .ctx = &sieve, .retry_after_ms = handler->retry_after_ms};
    return kube_list(w->inner, kind, opt, stop, &sieved, ret_rv, err);
}

static enum err_code way_watch(struct kube *k, enum kube_kind kind,
                               const struct kube_watch_options *opt, const _Atomic bool *stop,
                               const struct kube_watch_handler *handler, struct err *err)
{
    struct way *w = (struct way *)k;
    w->watches[kind]++;
    if (w->restarts && opt->initial) /* the watches of the process before have ended */
        w->restarts = w->cut = false;
    if (w->away)
        return err_set(err, ERR_UNAVAILABLE, "Connection refused");
    struct sieve sieve = {.w = w, .watch = handler};
    struct kube_watch_handler sieved = {
        .event = sieve_event, .ctx = &sieve, .retry_after_ms = handler->retry_after_ms};
    enum err_code rc = kube_watch(w->inner, kind, opt, &w->cut, &sieved, err);
    return rc == ERR_CANCELLED && !*stop ? err_set(err, ERR_UNAVAILABLE, "Connection reset") : rc;
}

static const char *way_describe(const struct kube *k)
{
    (void)k;
    return "a slow API server";
}

static void way_free(struct kube *k) { kube_free(((struct way *)k)->inner); }

static const struct kube_backend WAY = {way_call, way_list, way_watch, way_describe, way_free};

static struct fx fx;
static struct way way;

static void open_way_to(const struct fx_options *opt)
{
    fx_open(&fx, CLUSTER, opt);
    ext_reflector_stop(fx.reflector); /* which asks the API that is exchanged here */
    fx.reflector = NULL;
    memset(&way, 0, sizeof(way));
    way.kube.backend = &WAY;
    way.inner = fx.app.kube;
    way.fx = &fx;
    fx.app.kube = &way.kube;
    fx_restart(&fx);
    ck_assert(fx_wait_state(&fx, "uid-stale", CLUSTER_STATE_WAITING));
}

static void open_way(int bind_timeout_ms)
{
    open_way_to(&(struct fx_options){.shortlist = -1, .bind_timeout_ms = bind_timeout_ms});
}

static void close_way(void)
{
    way.late_ms = 0;
    way.away = false;
    way.cut = true;
    fx_close(&fx);
}

/* Its Error; borrowed until the next. */
static const char *binds(const char *pod, const char *node)
{
    static char error[512];
    unsigned status;
    bool away = way.away;
    int late_ms = way.late_ms;
    way.away = false; /* the question is the test's own look */
    way.late_ms = 0;
    char *args = strdup(fx_bind_args(&fx, "ml", pod, node));
    way.away = away;
    way.late_ms = late_ms;
    json_t *got = fx_call(&fx, "POST", "/bind", args, &status);
    ck_assert_uint_eq(status, 200);
    (void)snprintf(error, sizeof(error), "%s", json_string_value(json_object_get(got, "Error")));
    json_decref(got);
    free(args);
    return error;
}

/* How many nodes a filter names. */
static size_t filters(const char *args)
{
    unsigned status;
    json_t *got = fx_call(&fx, "POST", "/filter", args, &status);
    ck_assert_uint_eq(status, 200);
    size_t n = json_array_size(json_object_get(got, "NodeNames"));
    json_decref(got);
    return n;
}

static bool consistent(void)
{
    unsigned status;
    json_t *got = fx_call(&fx, "GET", "/v1/audit", "", &status);
    bool is = status == 200 && json_is_true(json_object_get(got, "consistent")) &&
              json_integer_value(json_object_get(got, "bindsUnsettled")) == 0 &&
              json_integer_value(json_object_get(got, "repairs")) == 0;
    json_decref(got);
    return is;
}

static void settle(void)
{
    struct arena *arena = arena_new((size_t)16 << 20);
    for (int i = 0; i < 5000 && ext_binds_unsettled(fx.app.binds) > 0; i++) {
        fx.mono_skew_ms += 1000;
        ext_settle_round(fx.app.binds, arena);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); /* the thread has it in hand */
    }
    arena_free(arena);
    ck_assert_uint_eq(ext_binds_unsettled(fx.app.binds), 0);
}

static void ck_consistent(const char *when)
{
    for (int i = 0; i < 500 && !consistent(); i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    ck_assert_msg(consistent(), "%s: the books are wrong", when);
}

static char *note_of(const char *path, const char *key)
{
    json_t *object = fx_object(&fx, path);
    const json_t *notes = json_object_get(json_object_get(object, "metadata"), "annotations");
    const char *text = json_string_value(json_object_get(notes, key));
    char *copy = text ? strdup(text) : NULL;
    json_decref(object);
    return copy;
}

/* ---- unread ---- */

/* A pod that runs, and of which the API server shows more than we read: the others come, and what
 * it has stays charged until it is deleted. With streaming lists and without. */
START_TEST(a_pod_that_can_not_be_read)
{
    open_way_to(&(struct fx_options){.shortlist = -1, .old_server = _i == 1});
    ck_assert_str_eq(binds("lock", "a"), "");
    ck_assert_str_eq(binds("small", "b"), "");
    ck_assert(fx_wait_state(&fx, "uid-lock", CLUSTER_STATE_BOUND));
    ck_assert(fx_wait_used(&fx, "b", "GPU-b", 1, 1000));
    ck_assert_int_eq(fx_metric(&fx, "cardinald_decode_errors_total"), 0);
    const int relists = fx_metric(&fx, "cardinald_relists_total");
    way.unread = "lock";
    kube_store_drop_watches(fx.store, true);
    fx_patch(&fx, "pods/ml/small", NULL);
    ck_assert_msg(fx_wait_used(&fx, "b", "GPU-b", 0, 0), "the list goes on behind it");
    ck_assert_int_gt(fx_metric(&fx, "cardinald_relists_total"), relists);
    ck_assert_int_gt(fx_metric(&fx, "cardinald_decode_errors_total"), 0);
    ck_assert_msg(fx_wait_used(&fx, "a", "GPU-a", 1, 20000), "it is on its node all the same");
    fx_patch(&fx, "pods/ml/lock", "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}");
    fx_patch(&fx, "pods/ml/lock", NULL);
    ck_assert_msg(fx_wait_used(&fx, "a", "GPU-a", 0, 0), "its name tells that it is gone");
    close_way();
}
END_TEST

/* ---- refused ---- */

static int64_t real_ms(void) { return clock_mono_ms(&CLOCK_SYSTEM); }

/* A watch or a list that is refused with a time comes again after it, not before. */
START_TEST(watches_come_again_when_they_are_told)
{
    open_way_to(&(struct fx_options){.shortlist = -1, .old_server = _i == 1});
    struct kube_fault_rule busy = {.fault = KUBE_FAULT_STATUS,
                                   .verb = _i == 1 ? KUBE_LIST : KUBE_WATCH,
                                   .kind = KUBE_POD,
                                   .status = _i == 1 ? 503 : 429,
                                   .retry_after_s = 5};
    kube_store_fault(fx.store, &busy);
    const int64_t began = real_ms();
    kube_store_drop_watches(fx.store, true);
    fx_patch(&fx, "pods/ml/small", NULL);
    ck_assert(fx_wait_state(&fx, "uid-small", CLUSTER_STATE_UNKNOWN));
    ck_assert_int_ge(real_ms() - began, 4900); /* two pauses of ours: 4800 at most */
    close_way();
}
END_TEST

/* ---- slow ---- */

/* Every answer is two seconds late, and there are thirty for a bind: locks are taken, stale keys
 * removed and Bindings written, and none is given up and fenced. */
START_TEST(slow_answers_are_waited_for)
{
    static const char *const PODS[] = {"lock", "lockless", "stale"};
    open_way(30000);
    way.late_ms = 2000;
    int64_t began = fx.mono_skew_ms;
    for (size_t i = 0; i < 3; i++) {
        const char *error = binds(PODS[i], i == 2 ? "b" : "a");
        ck_assert_msg(!*error, "%s: %s", PODS[i], error);
        char uid[32];
        (void)snprintf(uid, sizeof(uid), "uid-%s", PODS[i]);
        ck_assert(fx_wait_state(&fx, uid, CLUSTER_STATE_BOUND));
    }
    ck_assert_int_ge(fx.mono_skew_ms - began, 3 * 2000);
    ck_assert_uint_eq(way.fences, 1); /* the cleaning of stale keys */
    ck_assert_uint_eq(ext_binds_unsettled(fx.app.binds), 0);
    ck_consistent("slow");
    close_way();
}
END_TEST

/* With the usual four seconds that is too slow: nothing is bound, or its outcome is found out; all
 * of it is undone, and the next try succeeds when the server is itself again. */
START_TEST(answers_too_slow_for_the_budget)
{
    open_way(0);
    way.late_ms = 2500;
    ck_assert(*binds("lock", "a"));
    ck_assert(*binds("lockless", "b"));
    way.late_ms = 0;
    settle();
    ck_consistent("too slow");
    char *lock = note_of("nodes/a", "hami.io/mutex.lock");
    ck_assert_msg(!lock, "lock left: %s", lock);
    const char *error = binds("lock", "a");
    ck_assert_msg(!*error, "lock: %s", error);
    error = binds("lockless", "b");
    ck_assert_msg(!*error || strstr(error, "already"), "lockless: %s", error);
    ck_consistent("afterwards");
    close_way();
}
END_TEST

/* ---- away ---- */

/* Nobody there for a minute: filters are answered from what is known, binds are refused at once and
 * may be tried again, watches are asked for ever more rarely; and the books are right afterwards.
 */
START_TEST(the_api_server_is_away_for_a_minute)
{
    open_way(0);
    char *args = strdup(fx_args(&fx, "ml", "next", AB));
    char *hold = strdup(fx_args(&fx, "ml", "third", AB));
    ck_assert_uint_eq(filters(args), 2);
    way.away = way.cut = true;
    unsigned before = way.watches[KUBE_POD];
    int64_t began_ms = clock_mono_ms(&CLOCK_SYSTEM);
    for (int s = 0; s < 60; s += 5) {
        fx.mono_skew_ms += 5000;
        ck_assert_uint_ge(filters(args), 1);
        ck_assert_uint_ge(filters(hold), 1);
        const char *error = binds("lock", "a");
        ck_assert_msg(strstr(error, "Connection refused"), "%s", error);
    }
    nanosleep(&(struct timespec){.tv_sec = 2}, NULL);
    unsigned tried =
        way.watches[KUBE_POD] - before; /* the pauses are of real time: 0.8 s at least */
    int64_t took_ms = clock_mono_ms(&CLOCK_SYSTEM) - began_ms;
    ck_assert_msg(tried >= 1 && tried <= 2 + took_ms / 400, "%u watches of pods tried in %lld ms",
                  tried, (long long)took_ms);
    ck_assert(ext_ready(&fx.app));
    ck_assert_uint_eq(ext_binds_unsettled(fx.app.binds), 0);
    way.away = way.cut = false;
    const char *error = binds("lock", "a");
    ck_assert_msg(!*error, "%s", error);
    ck_assert(fx_wait_state(&fx, "uid-lock", CLUSTER_STATE_BOUND));
    ck_consistent("back");
    free(args);
    free(hold);
    close_way();
}
END_TEST

/* ---- more to do than hands and room ---- */

static _Atomic bool gate;

static void wait_for_gate(void *ctx)
{
    (void)ctx;
    while (!gate)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

/* The plugin is done with the pod, and gives the lock back. */
static void serve(const char *pod, const char *node)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "nodes/%s", node);
    fx_patch(&fx, path, "{\"metadata\":{\"annotations\":{\"hami.io/mutex.lock\":null}}}");
    (void)snprintf(path, sizeof(path), "pods/ml/%s", pod);
    fx_patch(&fx, path,
             "{\"metadata\":{\"annotations\":{\"hami.io/bind-phase\":\"success\","
             "\"hami.io/vgpu-devices-to-allocate\":\"\"}},\"status\":{\"phase\":\"Running\"}}");
}

/* All workers are busy and their queue is full when a bind's turn comes: it waits on without a
 * thread, and goes on when there is room. */
START_TEST(a_full_queue_of_workers_parks_binds)
{
    open_way(30000);
    unsigned status, n = 0;
    char *args = strdup(fx_bind_args(&fx, "ml", "small", "a"));
    ck_assert_str_eq(binds("lock", "a"), "");
    struct fx_pending *p = fx_begin(&fx, "POST", "/bind", args);
    gate = false;
    for (int i = 0; i < 3; i++) { /* workers take from the queue meanwhile */
        while (ext_workers_run(fx.app.workers, wait_for_gate, NULL))
            n++;
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    ck_assert_uint_ge(n, 1024);
    serve("lock", "a");
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    ck_assert(!fx_answered(p));
    gate = true;
    for (int i = 0; i < 1000 && !fx_answered(p); i++)
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    ck_assert_msg(fx_answered(p), "it never had its turn");
    json_t *got = fx_end(p, &status);
    const char *error = json_string_value(json_object_get(got, "Error"));
    ck_assert_msg(error && !*error, "%s", error);
    json_decref(got);
    free(args);
    ck_consistent("afterwards");
    close_way();
}
END_TEST

/* ---- killed ---- */

/* What a process that is killed in the middle of a bind leaves behind: all calls before that one,
 * perhaps that one too, and no memory of it. The next process finds the books that the cluster
 * tells of, and binds the pod. */
static bool killed_at(unsigned call, bool done, const char *pod)
{
    char args[256], uid[64], when[96];
    unsigned status;
    (void)snprintf(when, sizeof(when), "%s, call %u%s", pod, call, done ? ", done" : "");
    (void)snprintf(uid, sizeof(uid), "uid-%s", pod);
    (void)snprintf(args, sizeof(args),
                   "{\"PodName\":\"%s\",\"PodNamespace\":\"ml\",\"PodUID\":\"%s\",\"Node\":\"a\"}",
                   pod, uid);
    open_way(0);
    way.calls = 0;
    way.dies_done = done;
    way.dies_at = call;
    json_decref(fx_call(&fx, "POST", "/bind", args, &status));
    bool reached = way.calls >= call;
    way.restarts = way.cut = true;
    fx_restart(&fx); /* of which nothing gets through until it is over */
    way.dies_at = 0;
    ck_consistent(when);
    json_t *got = fx_call(&fx, "POST", "/bind", args, &status);
    const char *error = json_string_value(json_object_get(got, "Error"));
    ck_assert_msg(error && !*error, "%s: %s", when, error);
    json_decref(got);
    ck_assert_msg(fx_wait_state(&fx, uid, CLUSTER_STATE_BOUND), "%s: not bound", when);
    ck_consistent(when);
    close_way();
    return reached;
}

START_TEST(killed_at_each_call_of_a_bind)
{
    static const char *const PODS[] = {"lock", "lockless", "stale"};
    unsigned call = 1;
    while (killed_at(call, false, PODS[_i]) && killed_at(call, true, PODS[_i]))
        ck_assert_uint_lt(++call, 20);
    ck_assert_uint_gt(call, 1);
}
END_TEST

/* ---- the wall clock jumps ---- */

static const int64_t JUMPS[] = {3600 * INT64_C(1000), -3600 * INT64_C(1000)};

/* Holds live by the monotonic clock. */
START_TEST(holds_do_not_see_the_wall_clock_jump)
{
    open_way(0);
    char *first = strdup(fx_args(&fx, "ml", "next", (const char *[]){"a", NULL}));
    char *second = strdup(fx_args(&fx, "ml", "third", (const char *[]){"a", NULL}));
    ck_assert_uint_eq(filters(first), 1);
    ck_assert_uint_eq(filters(second), 0);
    fx.wall_skew_ms += JUMPS[_i];
    ck_assert_uint_eq(filters(second), 0);
    fx.mono_skew_ms += CLUSTER_HOLD_MS + 1000;
    ck_assert_uint_eq(filters(second), 1);
    free(first);
    free(second);
    close_way();
}
END_TEST

/* A lock says when it was taken by the wall clock of whoever took it. Its age alone takes it away
 * from nobody who is bound and not served: neither in the clock's future nor in its past. */
START_TEST(locks_outlive_a_jump_of_the_wall_clock)
{
    open_way(0);
    ck_assert_str_eq(binds("lock", "a"), "");
    char *lock = note_of("nodes/a", "hami.io/mutex.lock");
    ck_assert_msg(lock && strstr(lock, ",ml,lock"), "%s", lock);
    fx.wall_skew_ms += JUMPS[_i];
    fx.request_age_ms = 3000; /* a second is left to wait, whatever the wall clock says */
    int64_t began_ms = clock_mono_ms(&CLOCK_SYSTEM);
    ck_assert(*binds("next", "a"));
    ck_assert_int_lt(clock_mono_ms(&CLOCK_SYSTEM) - began_ms, 20000);
    char *after = note_of("nodes/a", "hami.io/mutex.lock");
    ck_assert_str_eq(after, lock);
    free(after);
    /* The plugin is done: the next one's turn, under a time of the clock as it is now. */
    serve("lock", "a");
    fx.request_age_ms = 0;
    const char *error = binds("lockless", "a");
    ck_assert_msg(!*error, "%s", error);
    error = binds("next", "b");
    ck_assert_msg(!*error, "%s", error);
    char *fresh = note_of("nodes/b", "hami.io/mutex.lock"), when[CLOCK_TEXT_MAX];
    (void)clock_rfc3339((FX_WALL_S * 1000 + JUMPS[_i]) * 1000000, false, when);
    ck_assert_msg(fresh && strncmp(fresh, when, 16) == 0, "%s, want %s", fresh, when);
    free(fresh);
    free(lock);
    ck_consistent("after the jump");
    close_way();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("failures of the API server");
    TCase *tc = tcase_create("api");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, a_pod_that_can_not_be_read, 0, 2);
    tcase_add_loop_test(tc, watches_come_again_when_they_are_told, 0, 2);
    tcase_add_test(tc, slow_answers_are_waited_for);
    tcase_add_test(tc, answers_too_slow_for_the_budget);
    tcase_add_test(tc, the_api_server_is_away_for_a_minute);
    tcase_add_test(tc, a_full_queue_of_workers_parks_binds);
    tcase_add_loop_test(tc, killed_at_each_call_of_a_bind, 0, 3);
    tcase_add_loop_test(tc, holds_do_not_see_the_wall_clock_jump, 0, 2);
    tcase_add_loop_test(tc, locks_outlive_a_jump_of_the_wall_clock, 0, 2);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
