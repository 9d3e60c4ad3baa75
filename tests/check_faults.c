/* Every call of every way that writes, with every outcome that a call can have: afterwards no
 * charge, lock or annotation remains that shouldn't, none is missing, and the next try succeeds.
 *
 * Nothing here knows which calls a way makes. It is gone once without a fault, or with the one that
 * leads into it, and each call is noted; then again for each of them and each outcome, and where a
 * write may be done later, for each call that it may be done before. Pairs are drawn at random. */
#include "outcomes.h"
#include "verbs_fixture.h"

#include "extender/settle.h"
#include "vendor/keys.h"

#include <check.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Rows say what matters to them and leave out the rest. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

/* ---- the cluster: cards with a shared lock (two makers), with a lock of their own, without ----
 */

#define SHARED "hami.io/mutex.lock"
#define OWN    "cambricon.com/dsmlu.lock"
#define AMOUNTS                                                                                    \
    "\"nvidia.com/gpu\":\"10\",\"huawei.com/Ascend910B3\":\"4\",\"cambricon.com/vmlu\":\"100\","   \
    "\"cambricon.com/mlu.smlu.vcore\":\"100\",\"cambricon.com/mlu.smlu.vmemory\":\"96\","          \
    "\"mthreads.com/vgpu\":\"100\",\"mthreads.com/sgpu-core\":\"16\","                             \
    "\"mthreads.com/sgpu-memory\":\"96\""
#define CLUSTER                                                                                    \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\",\"uid\":"         \
    "\"uid-n1\",\"annotations\":{\"hami.io/node-nvidia-register\":'[{\"id\":\"GPU-a\",\"count\":"  \
    "10,\"devmem\":24576,\"devcore\":100,\"type\":\"NVIDIA A10\",\"mode\":\"hami-core\","          \
    "\"health\":true}]',\"hami.io/node-register-Ascend910B3\":'[{\"id\":\"A0\",\"index\":0,"       \
    "\"count\":4,\"devmem\":65536,\"devcore\":20,\"type\":\"Ascend910B3\",\"health\":true,"        \
    "\"custominfo\":{\"NetworkID\":0}}]'}},\"status\":{\"capacity\":{" AMOUNTS                     \
    "},\"allocatable\":{" AMOUNTS "}}}\n"
#define NVIDIA                                                                                     \
    "\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"4000\",\"nvidia.com/gpucores\":\"10\""
#define CAMBRICON                                                                                  \
    "\"cambricon.com/vmlu\":\"1\",\"cambricon.com/mlu.smlu.vmemory\":\"20\","                      \
    "\"cambricon.com/mlu.smlu.vcore\":\"10\""
#define MTHREADS                                                                                   \
    "\"mthreads.com/vgpu\":\"1\",\"mthreads.com/sgpu-memory\":\"32\","                             \
    "\"mthreads.com/sgpu-core\":\"8\""
#define STALE                                                                                      \
    "\"hami.io/vgpu-devices-allocated\":\"GPU-x,NVIDIA,1,1:;\",\"hami.io/"                         \
    "bind-phase\":\"success\","                                                                    \
    "\"hami.io/MLU-devices-allocated\":\"x\""

/* ---- ways ---- */

struct way {
    const char *name, *limits, *notes;
    bool unseen;                      /* bind is ahead of our watch */
    struct kube_fault_rule always[2]; /* what leads into it */
};
#define POD_BIND .verb = KUBE_BIND, .kind = KUBE_POD
static const struct way WAYS[] = {
    {"no lock", MTHREADS},
    {"shared lock", NVIDIA},
    {"a lock of its own", CAMBRICON},
    {"two locks", NVIDIA "," CAMBRICON},
    {"not seen yet", NVIDIA, .unseen = true},
    {"stale keys", NVIDIA, STALE},
    {"Binding refused", NVIDIA "," CAMBRICON,
     .always = {{KUBE_FAULT_STATUS, POD_BIND, .status = 403}}},
    {"Binding conflicts", NVIDIA, .always = {{KUBE_FAULT_STATUS, POD_BIND, .status = 409}}},
    {"Binding conflicts, stale keys", CAMBRICON, STALE,
     .always = {{KUBE_FAULT_STATUS, POD_BIND, .status = 409}}},
    {"Binding unknown, never done", NVIDIA, .always = {{KUBE_FAULT_TIMEOUT_NEVER, POD_BIND}}},
    {"Binding unknown, done", CAMBRICON, .always = {{KUBE_FAULT_CUT_DONE, POD_BIND}}},
    {"Binding unknown, done later", NVIDIA, .always = {{KUBE_FAULT_TIMEOUT_LATER, POD_BIND}}},
    {"lock unknown, never done", CAMBRICON,
     .always = {{KUBE_FAULT_TIMEOUT_NEVER, .verb = KUBE_PATCH, .kind = KUBE_NODE}}},
    {"lock unknown, done later", NVIDIA,
     .always = {{KUBE_FAULT_TIMEOUT_LATER, .verb = KUBE_PATCH, .kind = KUBE_NODE}}},
    {"the fence can't be written", NVIDIA,
     .always = {{KUBE_FAULT_TIMEOUT_NEVER, POD_BIND},
                {KUBE_FAULT_STATUS, .verb = KUBE_PATCH, .kind = KUBE_POD, .status = 403,
                 .times = 1000000}}},
};

/* ---- one go ---- */

enum { CALLS_MAX = 256 };
struct call {
    int verb, kind;
    unsigned nth; /* of its verb and kind */
};
struct world {
    struct fx fx;
    struct arena *arena;
    unsigned pods; /* so far */
    char says[256];
    /* guarded by the lock; filled while `noting` */
    pthread_mutex_t lock;
    bool noting;
    struct call calls[CALLS_MAX];
    int calls_n;
    int land_at; /* late writes are done before this call; -1: not */
};

static void on_call(void *ctx, const struct kube_request *req)
{
    struct world *w = ctx;
    bool land = false;
    if ((req->kind != KUBE_POD && req->kind != KUBE_NODE) || req->verb == KUBE_LIST ||
        req->verb == KUBE_WATCH)
        return;
    pthread_mutex_lock(&w->lock);
    if (w->noting && w->calls_n < CALLS_MAX) {
        struct call *c = &w->calls[w->calls_n];
        *c = (struct call){(int)req->verb, (int)req->kind, 0};
        for (int i = 0; i < w->calls_n; i++)
            c->nth += w->calls[i].verb == c->verb && w->calls[i].kind == c->kind;
        land = w->calls_n++ == w->land_at;
    }
    pthread_mutex_unlock(&w->lock);
    if (land)
        kube_store_late(w->fx.store);
}

static void note_calls(struct world *w, bool on, int land_at)
{
    pthread_mutex_lock(&w->lock);
    if (on)
        w->calls_n = 0;
    w->noting = on;
    w->land_at = land_at;
    pthread_mutex_unlock(&w->lock);
}

static struct kube_store_observer observer;

static void open_world_of(struct world *w, const char *cluster, const struct fx_options *opt)
{
    memset(w, 0, sizeof(*w));
    (void)pthread_mutex_init(&w->lock, NULL);
    w->land_at = -1;
    fx_open(&w->fx, cluster, opt);
    w->arena = arena_new((size_t)16 << 20);
    observer = (struct kube_store_observer){on_call, w};
    kube_store_observe(w->fx.store, &observer);
}

static void open_world(struct world *w) { open_world_of(w, CLUSTER, NULL); }

static void close_world(struct world *w)
{
    kube_store_observe(w->fx.store, NULL);
    arena_free(w->arena);
    fx_close(&w->fx);
    (void)pthread_mutex_destroy(&w->lock);
}

/* Our watch hears nothing from here on. */
static void go_deaf(struct world *w)
{
    ext_reflector_stop(w->fx.reflector);
    w->fx.reflector = NULL;
}

static void pause_a_little(void) { nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL); }

/* Until the outcome of every bind is known, on a clock that runs ahead. */
static void settle(struct world *w)
{
    for (int i = 0; i < 5000 && ext_binds_unsettled(w->fx.app.binds) > 0; i++) {
        w->fx.mono_skew_ms += 100;
        ext_settle_round(w->fx.app.binds, w->arena);
        if (i > 2000)
            pause_a_little(); /* somebody else works at it */
    }
    ck_assert_msg(ext_binds_unsettled(w->fx.app.binds) == 0, "%s: not settled", w->says);
}

static const char *text_at(const json_t *object, const char *a, const char *b)
{
    const char *text = json_string_value(json_object_get(json_object_get(object, a), b));
    return text ? text : "";
}

static const json_t *notes_of(const json_t *object)
{
    return json_object_get(json_object_get(object, "metadata"), "annotations");
}

/* A pod that our watch has seen. Its path; *ret_uid is malloc'd. */
static void make_pod(struct world *w, const struct way *way, char path[64], char **ret_uid)
{
    char body[2048];
    snprintf(path, 64, "pods/ml/p-%u", w->pods++);
    snprintf(body, sizeof(body),
             "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\",\"namespace\":"
             "\"ml\",\"annotations\":{%s}},\"spec\":{\"schedulerName\":\"cardinal-scheduler\","
             "\"containers\":[{\"name\":\"app\",\"image\":\"x\",\"resources\":{\"limits\":{%s}}}]},"
             "\"status\":{\"phase\":\"Pending\"}}",
             path + 8, way->notes ? way->notes : "", way->limits);
    fx_create(&w->fx, path, body);
    json_t *pod = fx_object(&w->fx, path);
    *ret_uid = strdup(text_at(pod, "metadata", "uid"));
    json_decref(pod);
    ck_assert_msg(fx_wait_state(&w->fx, *ret_uid, CLUSTER_STATE_WAITING), "%s: not seen", w->says);
}

static const char *args_of(struct world *w, const char *path)
{
    return fx_bind_args(&w->fx, "ml", path + 8, "n1");
}

/* Whether it was answered with success. */
static bool bind(struct world *w, const char *args, char *ret_error, size_t max)
{
    unsigned status = 0;
    json_t *got = fx_call(&w->fx, "POST", "/bind", args, &status);
    const char *error = json_string_value(json_object_get(got, "Error"));
    ck_assert_msg(status == 200 && error, "%s: no answer", w->says);
    snprintf(ret_error, max, "%s", error);
    json_decref(got);
    return ret_error[0] == '\0';
}

/* ---- what must be true ---- */

static void no_locks(struct world *w)
{
    json_t *node = fx_object(&w->fx, "nodes/n1");
    const char *shared = json_string_value(json_object_get(notes_of(node), SHARED));
    const char *own = json_string_value(json_object_get(notes_of(node), OWN));
    ck_assert_msg(!shared && !own, "%s: lock left: %s %s", w->says, shared ? shared : "",
                  own ? own : "");
    json_decref(node);
}

static void agree(struct world *w, uint64_t charged)
{
    struct cluster_stats stats = {0};
    for (int i = 0; i < 5000; i++) {
        cluster_store_stats(w->fx.app.store, &stats);
        if (stats.pods_charged == charged && stats.assumed == 0)
            break;
        pause_a_little();
    }
    ck_assert_msg(stats.pods_charged == charged && stats.assumed == 0,
                  "%s: %" PRIu64 " pods charged, %" PRIu64 " assumed, want %" PRIu64 " and 0",
                  w->says, stats.pods_charged, stats.assumed, charged);
    bool consistent = false;
    char *text = NULL;
    for (int i = 0; i < 20 && !consistent; i++) {
        unsigned status;
        json_t *audit = fx_call(&w->fx, "GET", "/v1/audit", "", &status);
        consistent = json_is_true(json_object_get(audit, "consistent")) &&
                     json_integer_value(json_object_get(audit, "bindsInFlight")) == 0 &&
                     json_integer_value(json_object_get(audit, "repairs")) == 0;
        free(text);
        text = json_dumps(audit, JSON_COMPACT);
        json_decref(audit);
    }
    ck_assert_msg(consistent, "%s: %s", w->says, text);
    free(text);
}

/* Bound: all that its plugins read is there; not bound: nothing is that was not there before. */
static bool look_at_pod(struct world *w, const struct way *way, const char *path)
{
    json_t *pod = fx_object(&w->fx, path), *value;
    ck_assert_msg(pod != NULL, "%s: no pod", w->says);
    const char *node = text_at(pod, "spec", "nodeName"), *key;
    bool bound = *node != '\0';
    int lists = 0, asked = (strstr(way->limits, "nvidia") != NULL) +
                           (strstr(way->limits, "cambricon") != NULL) +
                           (strstr(way->limits, "mthreads") != NULL);
    json_object_foreach((json_t *)notes_of(pod), key, value)
    {
        bool before =
            way->notes && strstr(way->notes, key) && strstr(way->notes, json_string_value(value));
        if (!vendor_key_reserved(w->fx.app.vendors, str_z(key)))
            continue;
        ck_assert_msg(bound != before, "%s: bound %d, and %s is %s", w->says, bound, key,
                      json_string_value(value));
        lists += strstr(key, "-devices-allocated") != NULL;
    }
    if (bound) {
        ck_assert_msg(!strcmp(node, "n1") && lists == asked, "%s: on %s, %d lists", w->says, node,
                      lists);
        ck_assert_str_eq(json_string_value(json_object_get(notes_of(pod), KEY_POD_NODE)), "n1");
        ck_assert_str_eq(json_string_value(json_object_get(notes_of(pod), KEY_POD_BIND_PHASE)),
                         KEY_PHASE_ALLOCATING);
    }
    json_decref(pod);
    return bound;
}

/* The locks of a bound pod are its own; its plugins give them back, and it runs. */
static void serve(struct world *w, const struct way *way, const char *path, const char *uid)
{
    json_t *node = fx_object(&w->fx, "nodes/n1");
    const char *shared = json_string_value(json_object_get(notes_of(node), SHARED));
    const char *own = json_string_value(json_object_get(notes_of(node), OWN));
    bool wants_shared = strstr(way->limits, "nvidia") != NULL;
    bool wants_own = strstr(way->limits, "cambricon") != NULL;
    struct lease_lock lock = lease_lock_parse(str_z(shared ? shared : ""));
    ck_assert_msg((shared != NULL) == wants_shared && (own != NULL) == wants_own,
                  "%s: locks of a bound pod: %s, %s", w->says, shared ? shared : "none",
                  own ? own : "none");
    ck_assert_msg(!shared || lease_lock_owned_by(&lock, STR("ml"), str_z(path + 8)),
                  "%s: a bound pod's lock is %s", w->says, shared);
    json_decref(node);
    fx_patch(&w->fx, "nodes/n1",
             "{\"metadata\":{\"annotations\":{\"" SHARED "\":null,\"" OWN "\":null}}}");
    fx_patch(&w->fx, path, "{\"status\":{\"phase\":\"Running\"}}");
    for (int i = 0; i < 5000 && cluster_node_serving(w->fx.app.store, STR("n1"), STR("none")); i++)
        pause_a_little(); /* until our watch has seen it */
    ck_assert(fx_wait_state(&w->fx, uid, CLUSTER_STATE_BOUND));
}

static void next_binds(struct world *w, const struct way *way, const char *path, const char *uid)
{
    char error[512];
    ck_assert_msg(bind(w, args_of(w, path), error, sizeof(error)), "%s: next try: %s", w->says,
                  error);
    ck_assert(look_at_pod(w, way, path));
    serve(w, way, path, uid);
}

/* ---- singles and pairs ---- */

struct fault {
    struct call call;
    int outcome;
};

static void arm(struct world *w, const struct fault *f)
{
    kube_store_fault(w->fx.store, &(struct kube_fault_rule){
                                      .fault = OUTCOMES[f->outcome].fault,
                                      .verb = f->call.verb,
                                      .kind = f->call.kind,
                                      .after = f->call.nth,
                                      .status = OUTCOMES[f->outcome].status,
                                      .retry_after_s = OUTCOMES[f->outcome].retry_after_s});
}

static void say(struct world *w, const struct way *way, const struct fault *faults, int faults_n,
                int land_at)
{
    size_t n = (size_t)snprintf(w->says, sizeof(w->says), "%s", way->name);
    for (int i = 0; i < faults_n && n < sizeof(w->says); i++) {
        const struct call *c = &faults[i].call;
        n += (size_t)snprintf(w->says + n, sizeof(w->says) - n, "; %s %s no. %u: %s",
                              c->verb == KUBE_GET     ? "get"
                              : c->verb == KUBE_PATCH ? "patch"
                                                      : "bind",
                              c->kind == KUBE_POD ? "pod" : "node", c->nth + 1,
                              OUTCOMES[faults[i].outcome].name);
    }
    if (land_at >= 0 && n < sizeof(w->says))
        (void)snprintf(w->says + n, sizeof(w->says) - n, "; done before call %d", land_at + 1);
}

/* The way, with these faults; what is done later is done before call `land_at`, or, where that is
 * -1, after the answer. Returns how many calls were made; they stand in w->calls. */
static int go(struct world *w, const struct way *way, const struct fault *faults, int faults_n,
              int land_at)
{
    static const struct way OTHER = {"another pod", NVIDIA "," CAMBRICON};
    char path[64], other[64], *uid, *other_uid, error[512];
    say(w, way, faults, faults_n, land_at);
    make_pod(w, way, path, &uid);
    if (way->unseen)
        cluster_delete_pod(w->fx.app.store, str_z(uid));
    const char *args = args_of(w, path);
    for (int i = 0; i < COUNT(way->always) && way->always[i].fault; i++)
        kube_store_fault(w->fx.store, &way->always[i]);
    for (int i = 0; i < faults_n; i++)
        arm(w, &faults[i]);
    note_calls(w, true, land_at);
    const bool told = bind(w, args, error, sizeof(error));
    if (land_at < w->calls_n || faults_n > 1)
        kube_store_late(w->fx.store);
    settle(w);
    note_calls(w, false, -1);
    const int calls_n = w->calls_n;
    kube_store_fault_clear(w->fx.store);
    kube_store_late(w->fx.store); /* what undid something */

    const bool bound = look_at_pod(w, way, path);
    ck_assert_msg(bound || !told, "%s: success was told", w->says);
    if (bound) {
        ck_assert_msg(bind(w, args_of(w, path), error, sizeof(error)), "%s: bound, and told: %s",
                      w->says, error);
        serve(w, way, path, uid);
    }
    no_locks(w);
    agree(w, bound ? 1 : 0);
    if (!bound)
        next_binds(w, way, path, uid);
    make_pod(w, &OTHER, other, &other_uid);
    next_binds(w, &OTHER, other, other_uid);
    no_locks(w);
    fx_patch(&w->fx, path, NULL);
    fx_patch(&w->fx, other, NULL);
    agree(w, 0);
    free(uid);
    free(other_uid);
    return calls_n;
}

static bool leads_later(const struct way *way)
{
    return way->always[0].fault == KUBE_FAULT_TIMEOUT_LATER;
}

START_TEST(each_call_with_each_outcome)
{
    const struct way *way = &WAYS[_i];
    struct world w;
    struct call calls[CALLS_MAX];
    open_world(&w);
    int n = go(&w, way, NULL, 0, -1), cases = 1, never = 0;
    ck_assert_int_gt(n, 0);
    memcpy(calls, w.calls, sizeof(calls));
    for (int i = 0; i < n; i++)
        for (int o = 0; o < OUTCOMES_N; o++) {
            const struct fault f = {calls[i], o};
            const bool later =
                calls[i].verb != KUBE_GET && (OUTCOMES[o].fault == KUBE_FAULT_TIMEOUT_LATER ||
                                              OUTCOMES[o].fault == KUBE_FAULT_STATUS_LATER);
            const int after = go(&w, way, &f, 1, -1);
            cases++;
            if (OUTCOMES[o].fault == KUBE_FAULT_TIMEOUT_NEVER)
                never = after;
            for (int at = i + 1; later && !leads_later(way) && at < never; at++, cases++)
                (void)go(&w, way, &f, 1, at);
        }
    for (int at = 1; leads_later(way) && at < n; at++, cases++)
        (void)go(&w, way, NULL, 0, at);
    printf("faults: %s: %d calls, %d cases\n", way->name, n, cases);
    close_world(&w);
}
END_TEST

static uint64_t draw(uint64_t *state, uint64_t n) /* xorshift64* */
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (*state * 0x2545f4914f6cdd1dU >> 33) % n;
}

/* The second fault may be of a call that only the first one leads to. */
START_TEST(pairs_of_outcomes)
{
    static const struct call KINDS[] = {
        {KUBE_GET, KUBE_POD},   {KUBE_GET, KUBE_NODE},   {KUBE_PATCH, KUBE_POD},
        {KUBE_PATCH, KUBE_POD}, {KUBE_PATCH, KUBE_NODE}, {KUBE_PATCH, KUBE_NODE},
        {KUBE_BIND, KUBE_POD},
    };
    const uint64_t pairs = outcomes_setting("FAULTS_PAIRS", 300);
    uint64_t seed = outcomes_setting("PROP_SEED", (uint64_t)time(NULL)), state = seed * 2 + 1;
    printf("faults: PROP_SEED=%" PRIu64 " FAULTS_PAIRS=%" PRIu64 "\n", seed, pairs);
    (void)fflush(stdout);
    struct world w;
    open_world(&w);
    for (uint64_t i = 0; i < pairs; i++) {
        const struct way *way = &WAYS[draw(&state, COUNT(WAYS))];
        struct fault f[2];
        for (int k = 0; k < COUNT(f); k++) {
            f[k].call = KINDS[draw(&state, COUNT(KINDS))];
            f[k].call.nth = (unsigned)draw(&state, 3);
            f[k].outcome = (int)draw(&state, OUTCOMES_N);
        }
        (void)go(&w, way, f, COUNT(f), (int)draw(&state, 12) - 1);
    }
    close_world(&w);
}
END_TEST

/* ---- writes that nobody waits for ---- */

/* The next write of a pod's status, and what comes of it. */
static void arm_patch(struct world *w, int outcome, unsigned nth)
{
    const struct fault f = {{KUBE_PATCH, KUBE_POD, nth}, outcome};
    arm(w, &f);
    (void)snprintf(w->says, sizeof(w->says), "no. %u: %s", nth + 1, OUTCOMES[outcome].name);
}

#define N2                                                                                         \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n2\",\"uid\":"         \
    "\"uid-n2\",\"annotations\":{\"hami.io/node-nvidia-register\":'[{\"id\":\"GPU-b\",\"count\":"  \
    "10,\"devmem\":24576,\"devcore\":100,\"type\":\"NVIDIA A10\",\"mode\":\"hami-core\","          \
    "\"health\":true}]'}},\"status\":{\"allocatable\":{\"nvidia.com/gpu\":\"10\"}}}\n"

/* Refused on the one node that kube-scheduler asked about; it fits on another. Touched first, and
 * nominated there when that was in vain. */
static void wake(struct world *w, int outcome, unsigned nth)
{
    static const struct way WAY = {"woken",
                                   "\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"20000\""};
    static const char *const N1[] = {"n1", NULL};
    char path[64], *uid;
    unsigned status;
    make_pod(w, &WAY, path, &uid);
    json_t *got = fx_call(&w->fx, "POST", "/filter", fx_args(&w->fx, "ml", path + 8, N1), &status);
    ck_assert_msg(json_array_size(json_object_get(got, "NodeNames")) == 0, "%s: fits", w->says);
    json_decref(got);
    arm_patch(w, outcome, nth);
    bool touched = false, nominated = false;
    for (int i = 0; i < 3000 && !nominated; i++) {
        w->fx.mono_skew_ms += 100;
        ext_wake_round(w->fx.app.wake, w->arena);
        if (i % 20 == 19)
            kube_store_late(w->fx.store);
        json_t *pod = fx_object(&w->fx, path);
        touched = touched || json_object_get(notes_of(pod), KEY_POD_WAKE);
        nominated = !strcmp(text_at(pod, "status", "nominatedNodeName"), "n2");
        ck_assert_msg(!*text_at(pod, "spec", "nodeName"), "%s: bound", w->says);
        json_decref(pod);
        pause_a_little();
    }
    ck_assert_msg(touched && nominated, "%s: touched %d, nominated %d", w->says, touched,
                  nominated);
    kube_store_fault_clear(w->fx.store);
    fx_patch(&w->fx, path, NULL);
    agree(w, 1);
    free(uid);
}

START_TEST(waking_with_each_outcome)
{
    static const struct way HOG = {"hog",
                                   "\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"24000\""};
    struct world w;
    struct err err;
    char path[64], *uid;
    open_world_of(&w, CLUSTER N2, NULL);
    make_pod(&w, &HOG, path, &uid);
    next_binds(&w, &HOG, path, uid);
    ck_assert(!ext_wake_new(&w.fx.app, &w.fx.app.wake, &err));
    for (int o = 0; o < OUTCOMES_N; o++)
        for (unsigned nth = 0; nth < 2; nth++)
            wake(&w, o, nth);
    ext_wake_free(w.fx.app.wake);
    w.fx.app.wake = NULL;
    free(uid);
    close_world(&w);
}
END_TEST

/* On a server that takes no label from a Binding. */
static void label(struct world *w, int outcome)
{
    static const struct way WAY = {"labelled", MTHREADS};
    char path[64], *uid;
    (void)snprintf(w->says, sizeof(w->says), "%s", OUTCOMES[outcome].name);
    make_pod(w, &WAY, path, &uid);
    next_binds(w, &WAY, path, uid);
    for (int i = 0; i < 5000 && ext_labels_waiting(w->fx.app.labels) == 0; i++)
        pause_a_little();
    arm_patch(w, outcome, 0);
    bool labelled = false;
    for (int i = 0; i < 3000 && !labelled; i++) {
        w->fx.mono_skew_ms += 100;
        ext_labels_round(w->fx.app.labels);
        if (i % 20 == 19)
            kube_store_late(w->fx.store);
        json_t *pod = fx_object(&w->fx, path);
        const json_t *labels = json_object_get(json_object_get(pod, "metadata"), "labels");
        const char *value = json_string_value(json_object_get(labels, KEY_POD_NODE));
        labelled = value && !strcmp(value, "n1");
        if (i == 50 && OUTCOMES[outcome].status == 409) /* the change that it speaks of */
            fx_patch(&w->fx, path, "{\"metadata\":{\"annotations\":{\"event\":\"1\"}}}");
        json_decref(pod);
        pause_a_little();
    }
    ck_assert_msg(labelled, "%s: not labelled", w->says);
    kube_store_fault_clear(w->fx.store);
    agree(w, 1);
    fx_patch(&w->fx, path, NULL);
    agree(w, 0);
    free(uid);
}

START_TEST(labels_with_each_outcome)
{
    const struct fx_options opt = {.shortlist = -1, .labels_dropped = true};
    struct world w;
    struct err err;
    open_world_of(&w, CLUSTER, &opt);
    ck_assert(!ext_labels_new(&w.fx.app, &w.fx.app.labels, &err));
    for (int o = 0; o < OUTCOMES_N; o++)
        label(&w, o);
    struct ext_labels *labels = w.fx.app.labels;
    go_deaf(&w);
    w.fx.app.labels = NULL;
    ext_labels_free(labels);
    close_world(&w);
}
END_TEST

/* Events are told about a bind, and are no part of it. */
START_TEST(events_with_each_outcome)
{
    static const struct way WAY = {"events", MTHREADS};
    struct world w;
    open_world(&w);
    for (int o = 0; o < OUTCOMES_N; o++) {
        char path[64], *uid;
        make_pod(&w, &WAY, path, &uid);
        const struct fault f = {{KUBE_CREATE, KUBE_EVENT, 0}, o};
        arm(&w, &f);
        (void)snprintf(w.says, sizeof(w.says), "event: %s", OUTCOMES[o].name);
        next_binds(&w, &WAY, path, uid);
        fx_patch(&w.fx, path, NULL);
        agree(&w, 0);
        free(uid);
    }
    kube_store_fault_clear(w.fx.store);
    kube_store_late(w.fx.store);
    agree(&w, 0);
    close_world(&w);
}
END_TEST

/* ---- what we hear ---- */

static const struct {
    const char *name;
    enum kube_fault fault;
    int status;
} ENDS[] = {
    {"no connection", KUBE_FAULT_REFUSED},
    {"no answer", KUBE_FAULT_TIMEOUT_NEVER},
    {"refused with 403", KUBE_FAULT_STATUS, 403},
    {"410", KUBE_FAULT_STATUS, 410},
    {"422", KUBE_FAULT_STATUS, 422},
    {"429", KUBE_FAULT_STATUS, 429},
    {"500", KUBE_FAULT_STATUS, 500},
    {"cut in the middle of the answer", KUBE_FAULT_CUT_DONE},
};

/* All three at once: what changed while nobody heard is in the books afterwards. */
START_TEST(lists_and_watches_with_each_outcome)
{
    static const struct way WAY = {"heard", MTHREADS};
    const struct fx_options opt = {.shortlist = -1, .old_server = _i == 1};
    struct world w;
    open_world_of(&w, CLUSTER, &opt);
    /* Each takes the reflector's own pauses, some seconds: a few in each run, all in the long one.
     */
    const uint64_t first = outcomes_setting("PROP_SEED", (uint64_t)time(NULL));
    const uint64_t ends = outcomes_setting("FAULTS_ENDS", 2);
    for (uint64_t i = 0; i < ends; i++) {
        const int o = (int)((first + i) % (uint64_t)COUNT(ENDS));
        char gone[64], comes[64], *gone_uid, *comes_uid;
        make_pod(&w, &WAY, gone, &gone_uid);
        next_binds(&w, &WAY, gone, gone_uid);
        (void)snprintf(w.says, sizeof(w.says), "%s: %s", opt.old_server ? "list" : "watch",
                       ENDS[o].name);
        for (int kind = KUBE_NODE; kind <= KUBE_QUOTA; kind++)
            kube_store_fault(w.fx.store, &(struct kube_fault_rule){
                                             .fault = ENDS[o].fault,
                                             .verb = opt.old_server ? KUBE_LIST : KUBE_WATCH,
                                             .kind = kind,
                                             .status = ENDS[o].status});
        kube_store_drop_watches(w.fx.store, true);
        fx_patch(&w.fx, gone, NULL);
        make_pod(&w, &WAY, comes, &comes_uid); /* which waits until it is known */
        agree(&w, 0);
        next_binds(&w, &WAY, comes, comes_uid);
        fx_patch(&w.fx, comes, NULL);
        agree(&w, 0);
        kube_store_fault_clear(w.fx.store);
        w.fx.mono_skew_ms += 121000; /* it went well for long: the next pause is short again */
        free(gone_uid);
        free(comes_uid);
    }
    close_world(&w);
}
END_TEST

/* ---- what only a GET can tell ---- */

static uint64_t charged(struct world *w)
{
    struct cluster_stats stats;
    cluster_store_stats(w->fx.app.store, &stats);
    return stats.pods_charged;
}

/* Bound while a list is made that does not have it: no event and no list will end its charge. */
static void bind_in_a_relist(struct world *w, char path[64], char **ret_uid)
{
    static const struct way WAY = {"bound during a relist", MTHREADS};
    char error[512];
    make_pod(w, &WAY, path, ret_uid);
    go_deaf(w);
    cluster_relist_begin(w->fx.app.store, CLUSTER_PODS);
    ck_assert_msg(bind(w, args_of(w, path), error, sizeof(error)), "%s", error);
}

START_TEST(a_pod_that_went_while_it_was_bound_is_asked_about)
{
    struct world w;
    char path[64], *uid;
    open_world(&w);
    bind_in_a_relist(&w, path, &uid);
    fx_patch(&w.fx, path, NULL);
    cluster_relist_end(w.fx.app.store, CLUSTER_PODS);
    ext_settle_round(w.fx.app.binds, w.arena);
    for (int i = 0; i < 5000 && charged(&w) > 0; i++)
        pause_a_little(); /* the thread was first, and asks still */
    ck_assert_msg(charged(&w) == 0, "a pod that is gone is charged");
    free(uid);
    close_world(&w);
}
END_TEST

/* Its end is heard of by our question alone, and ends its turn at the node. */
START_TEST(a_pod_that_went_while_it_was_served_lets_the_next_bind)
{
    static const struct way WAY = {"bound during a relist", NVIDIA}, NEXT = {"next", NVIDIA};
    struct world w;
    char path[64], next[64], *uid, *next_uid, error[512];
    unsigned status;
    open_world_of(&w, CLUSTER, &(struct fx_options){.shortlist = -1, .bind_timeout_ms = 10000});
    make_pod(&w, &WAY, path, &uid);
    make_pod(&w, &NEXT, next, &next_uid);
    go_deaf(&w);
    cluster_relist_begin(w.fx.app.store, CLUSTER_PODS);
    ck_assert_msg(bind(&w, args_of(&w, path), error, sizeof(error)), "%s", error);
    struct fx_pending *p = fx_begin(&w.fx, "POST", "/bind", args_of(&w, next));
    fx_patch(&w.fx, path, NULL);
    cluster_relist_end(w.fx.app.store, CLUSTER_PODS);
    ext_settle_round(w.fx.app.binds, w.arena);
    json_t *got = fx_end(p, &status);
    ck_assert_str_eq(json_string_value(json_object_get(got, "Error")), "");
    json_decref(got);
    free(uid);
    free(next_uid);
    close_world(&w);
}
END_TEST

START_TEST(a_pod_that_a_relist_missed_stays_charged)
{
    struct world w;
    char path[64], *uid;
    open_world(&w);
    bind_in_a_relist(&w, path, &uid);
    cluster_relist_end(w.fx.app.store, CLUSTER_PODS);
    struct cluster_pod_ref *refs;
    for (int i = 0; i < 5000; i++) { /* until the doubt has ended */
        ext_settle_round(w.fx.app.binds, w.arena);
        if (cluster_doubts(w.fx.app.store, 8, w.arena, &refs) == 0)
            break;
        pause_a_little();
    }
    ck_assert_uint_eq(cluster_doubts(w.fx.app.store, 8, w.arena, &refs), 0);
    ck_assert_uint_eq(charged(&w), 1);
    free(uid);
    close_world(&w);
}
END_TEST

/* What another scheduler does. */
static void bind_elsewhere(struct world *w, const char *path, const char *node)
{
    char body[256];
    snprintf(body, sizeof(body),
             "{\"metadata\":{\"name\":\"%s\"},\"target\":{\"kind\":\"Node\",\"name\":\"%s\"}}",
             path + 8, node);
    struct kube_request req = {.verb = KUBE_BIND,
                               .kind = KUBE_POD,
                               .ns = STR("ml"),
                               .name = str_z(path + 8),
                               .body = str_z(body),
                               .timeout_ms = 1000};
    struct kube_response resp = {0};
    struct err err = {0};
    enum err_code rc = kube_call(w->fx.app.kube, &req, &resp, &err);
    ck_assert_msg(rc == ERR_OK, "%s", err.text);
    kube_response_done(&resp);
}

/* Which of the two writes finds out: the Binding itself, or the fence behind it. */
START_TEST(a_pod_bound_elsewhere_is_charged_there_at_once)
{
    static const struct way WAY = {"bound elsewhere", NVIDIA};
    struct world w;
    char path[64], *uid, error[512], node[64];
    open_world(&w);
    make_pod(&w, &WAY, path, &uid);
    go_deaf(&w);
    const bool by_fence = _i == 1;
    if (by_fence) {
        kube_store_fault(w.fx.store, &(struct kube_fault_rule){KUBE_FAULT_TIMEOUT_NEVER, POD_BIND});
        kube_store_fault(w.fx.store,
                         &(struct kube_fault_rule){KUBE_FAULT_REFUSED, .verb = KUBE_PATCH,
                                                   .kind = KUBE_POD, .times = 1000});
    } else {
        bind_elsewhere(&w, path, "n2");
    }
    ck_assert(!bind(&w, args_of(&w, path), error, sizeof(error)));
    kube_store_fault_clear(w.fx.store);
    if (by_fence)
        bind_elsewhere(&w, path, "n2");
    settle(&w);
    ck_assert_int_eq(cluster_pod_state(w.fx.app.store, str_z(uid), node, sizeof(node)),
                     CLUSTER_STATE_BOUND);
    ck_assert_str_eq(node, "n2");
    no_locks(&w);
    free(uid);
    close_world(&w);
}
END_TEST

static void nobody_asks_for_30_s(struct world *w)
{
    note_calls(w, true, -1);
    for (int s = 0; s < 30; s++) {
        w->fx.mono_skew_ms += 1000;
        ext_settle_round(w->fx.app.binds, w->arena);
    }
    ck_assert_msg(w->calls_n == 0, "asked %d times in 30 of 40 s", w->calls_n);
}

START_TEST(an_unsettled_bind_waits_as_the_server_says)
{
    static const struct way WAY = {"told when", MTHREADS};
    struct world w;
    char path[64], *uid, error[512];
    open_world(&w);
    make_pod(&w, &WAY, path, &uid);
    const char *args = args_of(&w, path);
    kube_store_fault(w.fx.store, &(struct kube_fault_rule){KUBE_FAULT_TIMEOUT_NEVER, POD_BIND});
    kube_store_fault(w.fx.store, &(struct kube_fault_rule){KUBE_FAULT_STATUS, .verb = KUBE_PATCH,
                                                           .kind = KUBE_POD, .status = 429,
                                                           .retry_after_s = 40, .times = 1000});
    note_calls(&w, true, -1);
    ck_assert(!bind(&w, args, error, sizeof(error)));
    ck_assert_uint_eq(ext_binds_unsettled(w.fx.app.binds), 1);
    int fences = 0;
    for (int i = 0; i < w.calls_n; i++)
        fences += w.calls[i].verb == KUBE_PATCH && w.calls[i].kind == KUBE_POD;
    ck_assert_int_eq(fences, 1);
    nobody_asks_for_30_s(&w);
    kube_store_fault_clear(w.fx.store);
    settle(&w);
    ck_assert_int_gt(w.calls_n, 0);
    free(uid);
    close_world(&w);
}
END_TEST

START_TEST(a_lock_that_is_left_waits_as_the_server_says)
{
    static const struct way WAY = {"told when", NVIDIA};
    struct world w;
    char path[64], *uid, error[512];
    open_world(&w);
    make_pod(&w, &WAY, path, &uid);
    kube_store_fault(w.fx.store,
                     &(struct kube_fault_rule){KUBE_FAULT_STATUS, POD_BIND, .status = 403});
    kube_store_fault(w.fx.store,
                     &(struct kube_fault_rule){KUBE_FAULT_STATUS, .verb = KUBE_PATCH,
                                               .kind = KUBE_NODE, .after = 1, .status = 429,
                                               .retry_after_s = 40, .times = 1000});
    ck_assert(!bind(&w, args_of(&w, path), error, sizeof(error)));
    ck_assert_uint_eq(ext_binds_unsettled(w.fx.app.binds), 1);
    nobody_asks_for_30_s(&w);
    kube_store_fault_clear(w.fx.store);
    settle(&w);
    no_locks(&w);
    free(uid);
    close_world(&w);
}
END_TEST

/* The API server turns it away, and is not asked again and again until the deadline. */
START_TEST(a_lock_that_is_turned_away_ends_the_bind)
{
    static const struct way WAY = {"turned away", NVIDIA};
    const int verb = _i == 0 ? KUBE_PATCH : KUBE_GET;
    struct world w;
    char path[64], *uid, error[512];
    open_world_of(&w, CLUSTER, &(struct fx_options){.shortlist = -1, .bind_timeout_ms = 60000});
    make_pod(&w, &WAY, path, &uid);
    if (verb == KUBE_GET) /* somebody has it, and is asked about */
        kube_store_fault(w.fx.store,
                         &(struct kube_fault_rule){KUBE_FAULT_STATUS, .verb = KUBE_PATCH,
                                                   .kind = KUBE_NODE, .status = 422});
    kube_store_fault(w.fx.store,
                     &(struct kube_fault_rule){KUBE_FAULT_STATUS, .verb = verb, .kind = KUBE_NODE,
                                               .status = 429, .times = 1000});
    const char *args = args_of(&w, path);
    note_calls(&w, true, -1);
    ck_assert(!bind(&w, args, error, sizeof(error)));
    ck_assert_ptr_nonnull(strstr(error, "429"));
    ck_assert_int_le(w.calls_n, 2);
    kube_store_fault_clear(w.fx.store);
    agree(&w, 0);
    next_binds(&w, &WAY, path, uid);
    free(uid);
    close_world(&w);
}
END_TEST

static void wait_for_own_lock(struct world *w)
{
    for (int i = 0; i < 5000; i++) {
        json_t *node = fx_object(&w->fx, "nodes/n1");
        const bool there = json_object_get(notes_of(node), OWN) != NULL;
        json_decref(node);
        if (there)
            return;
        pause_a_little();
    }
    ck_abort_msg("it does not take its first lock");
}

/* It has one lock and waits for the other when its card falls ill. */
START_TEST(a_card_that_falls_ill_between_two_locks_is_not_given)
{
    static const struct way WAY = {"two locks", NVIDIA "," CAMBRICON};
    struct world w;
    char path[64], *uid;
    unsigned status;
    open_world_of(&w, CLUSTER, &(struct fx_options){.shortlist = -1, .bind_timeout_ms = 10000});
    make_pod(&w, &WAY, path, &uid);
    fx_patch(&w.fx, "nodes/n1",
             "{\"metadata\":{\"annotations\":{\"" SHARED "\":\"2026-09-21T14:13:19Z\"}}}");
    struct fx_pending *p = fx_begin(&w.fx, "POST", "/bind", args_of(&w, path));
    wait_for_own_lock(&w);
    fx_patch(&w.fx, "nodes/n1",
             "{\"metadata\":{\"annotations\":{\"" SHARED "\":null,"
             "\"hami.io/node-nvidia-register\":\"[{\\\"id\\\":\\\"GPU-a\\\",\\\"count\\\":10,"
             "\\\"devmem\\\":24576,\\\"devcore\\\":100,\\\"type\\\":\\\"NVIDIA A10\\\","
             "\\\"mode\\\":\\\"hami-core\\\",\\\"health\\\":false}]\"}}}");
    json_t *got = fx_end(p, &status);
    const char *error = json_string_value(json_object_get(got, "Error"));
    ck_assert_msg(error && strstr(error, "no room"), "%s", error);
    json_decref(got);
    settle(&w);
    no_locks(&w);
    agree(&w, 0);
    free(uid);
    close_world(&w);
}
END_TEST

/* However old it looks: its Binding may land at any moment. */
START_TEST(the_lock_of_an_unsettled_bind_stays)
{
    static const struct way WAY = {"unsettled", NVIDIA}, NEXT = {"next", NVIDIA};
    struct world w;
    char path[64], next[64], *uid, *next_uid, error[512];
    open_world_of(&w, CLUSTER, &(struct fx_options){.shortlist = -1, .bind_timeout_ms = 1500});
    make_pod(&w, &WAY, path, &uid);
    make_pod(&w, &NEXT, next, &next_uid);
    kube_store_fault(w.fx.store, &(struct kube_fault_rule){KUBE_FAULT_TIMEOUT_LATER, POD_BIND});
    kube_store_fault(w.fx.store, &(struct kube_fault_rule){KUBE_FAULT_REFUSED, .verb = KUBE_PATCH,
                                                           .kind = KUBE_POD, .times = 1000000});
    ck_assert(!bind(&w, args_of(&w, path), error, sizeof(error)));
    ck_assert_uint_eq(ext_binds_unsettled(w.fx.app.binds), 1);
    w.fx.wall_skew_ms += 2 * LEASE_LOCK_UNBOUND_MS;
    ck_assert(!bind(&w, args_of(&w, next), error, sizeof(error)));
    ck_assert_ptr_nonnull(strstr(error, "node lock contention"));
    kube_store_late(w.fx.store);
    kube_store_fault_clear(w.fx.store);
    settle(&w);
    ck_assert(look_at_pod(&w, &WAY, path));
    serve(&w, &WAY, path, uid);
    free(uid);
    free(next_uid);
    close_world(&w);
}
END_TEST

/* The lock's answer was lost, and another leads by now, who locked the node for the same pod. */
START_TEST(the_next_leaders_lock_is_not_released)
{
    static const struct way WAY = {"led by another by now", NVIDIA};
    static const char NEXT[] = "2026-09-21T14:13:30Z,ml,p-0";
    struct world w;
    char path[64], *uid, error[512];
    open_world(&w);
    make_pod(&w, &WAY, path, &uid);
    kube_store_fault(w.fx.store, &(struct kube_fault_rule){KUBE_FAULT_TIMEOUT_NEVER,
                                                           .verb = KUBE_PATCH, .kind = KUBE_NODE});
    ck_assert(!bind(&w, args_of(&w, path), error, sizeof(error)));
    ck_assert_uint_eq(ext_binds_unsettled(w.fx.app.binds), 1);
    kube_store_fault_clear(w.fx.store);
    char body[256];
    snprintf(body, sizeof(body), "{\"metadata\":{\"annotations\":{\"" SHARED "\":\"%s\"}}}", NEXT);
    fx_patch(&w.fx, "nodes/n1", body);
    settle(&w);
    json_t *node = fx_object(&w.fx, "nodes/n1");
    const char *lock = json_string_value(json_object_get(notes_of(node), SHARED));
    ck_assert_msg(lock && !strcmp(lock, NEXT), "lock: %s", lock ? lock : "none");
    json_decref(node);
    free(uid);
    close_world(&w);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("faults");
    TCase *tc = tcase_create("singles");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, each_call_with_each_outcome, 0, COUNT(WAYS));
    suite_add_tcase(suite, tc);
    tc = tcase_create("writes that nobody waits for");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, waking_with_each_outcome);
    tcase_add_test(tc, labels_with_each_outcome);
    tcase_add_test(tc, events_with_each_outcome);
    tcase_add_loop_test(tc, lists_and_watches_with_each_outcome, 0, 2);
    suite_add_tcase(suite, tc);
    tc = tcase_create("what only a GET can tell");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, a_pod_that_went_while_it_was_bound_is_asked_about);
    tcase_add_test(tc, a_pod_that_went_while_it_was_served_lets_the_next_bind);
    tcase_add_test(tc, a_pod_that_a_relist_missed_stays_charged);
    tcase_add_loop_test(tc, a_pod_bound_elsewhere_is_charged_there_at_once, 0, 2);
    tcase_add_test(tc, an_unsettled_bind_waits_as_the_server_says);
    tcase_add_test(tc, a_lock_that_is_left_waits_as_the_server_says);
    tcase_add_loop_test(tc, a_lock_that_is_turned_away_ends_the_bind, 0, 2);
    tcase_add_test(tc, a_card_that_falls_ill_between_two_locks_is_not_given);
    tcase_add_test(tc, the_lock_of_an_unsettled_bind_stays);
    tcase_add_test(tc, the_next_leaders_lock_is_not_released);
    suite_add_tcase(suite, tc);
    tc = tcase_create("pairs");
    tcase_set_timeout(tc, 1200);
    tcase_add_test(tc, pairs_of_outcomes);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int bad = srunner_ntests_failed(runner);
    srunner_free(runner);
    return bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
