/* What may come in between: one story each of events that overtake one another, over the in-process
 * API store. Each ends with the books compared with the cluster (/v1/audit). */
#include "verbs_fixture.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- clusters ---- */

#define CARD(id, index, mem)                                                                       \
    "{\"id\":\"" id "\",\"index\":" #index ",\"count\":10,\"devmem\":" #mem                        \
    ",\"devcore\":100,\"type\":\"NVIDIA A10\",\"mode\":\"hami-core\",\"health\":true}"
#define NODE_WITH(name, notes, amounts)                                                            \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"" name                 \
    "\",\"uid\":\"uid-" name "\",\"annotations\":{" notes "}},\"status\":{\"capacity\":{"          \
    "\"nvidia.com/gpu\":\"20\"" amounts "},\"allocatable\":{\"nvidia.com/gpu\":\"20\"" amounts     \
    "}}}\n"
#define REGISTERS(cards)  "\"hami.io/node-nvidia-register\":'[" cards "]'"
#define NODE(name, cards) NODE_WITH(name, REGISTERS(cards), "")
#define POD(name, containers)                                                                      \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name                  \
    "\",\"namespace\":\"ml\",\"uid\":\"uid-" name "\"},\"spec\":{"                                 \
    "\"schedulerName\":\"cardinal-scheduler\"," containers "},\"status\":{\"phase\":\"Pending\"}}" \
    "\n"
#define WANTS(name, limits)                                                                        \
    "{\"name\":\"" name "\",\"image\":\"x\",\"resources\":{\"limits\":{" limits "}}}"
#define GPU(mem)                                                                                   \
    "\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"" #mem "\",\"nvidia.com/gpucores\":\"10\""
#define WAITING(name, mem) POD(name, "\"containers\":[" WANTS("main", GPU(mem)) "]")

#define ONE_CARD NODE("node-a", CARD("GPU-a", 0, 10000))
#define TWO_NODES                                                                                  \
    ONE_CARD NODE("node-b", CARD("GPU-b", 0, 10000)) WAITING("p", 8000) WAITING("q", 8000)

#define LOCK "hami.io/mutex.lock"
static const char *const A[] = {"node-a", NULL}, *const AB[] = {"node-a", "node-b", NULL},
                         *const C[] = {"node-c", NULL};

/* ---- asking ---- */

static const char *text_at(const json_t *root, const char *a, const char *b, const char *c)
{
    const json_t *v = json_object_get(root, a);
    if (b)
        v = json_object_get(v, b);
    if (c)
        v = json_object_get(v, c);
    return json_string_value(v);
}

/* What kube-scheduler is told; "" is success. */
static void want_bound(struct fx *fx, const char *what, const char *args, const char *error)
{
    unsigned status;
    json_t *got = fx_call(fx, "POST", "/bind", args, &status);
    const char *text = text_at(got, "Error", NULL, NULL);
    ck_assert_uint_eq(status, 200);
    ck_assert_msg(text && (error[0] ? strstr(text, error) != NULL : text[0] == '\0'),
                  "%s: bind was answered \"%s\", want \"%s\"", what, text ? text : "(none)", error);
    json_decref(got);
}

static void want_bind(struct fx *fx, const char *what, const char *pod, const char *node,
                      const char *error)
{
    want_bound(fx, what, fx_bind_args(fx, "ml", pod, node), error);
}

/* `names`: the nodes answered, "a b"; or the code that node-a is refused with. */
static void want_filter(struct fx *fx, const char *what, const char *pod, const char *const *nodes,
                        const char *names)
{
    unsigned status;
    char got[512] = "";
    json_t *answer = fx_call(fx, "POST", "/filter", fx_args(fx, "ml", pod, nodes), &status);
    size_t i;
    json_t *name;
    json_array_foreach(json_object_get(answer, "NodeNames"), i, name)
    {
        size_t n = strlen(got);
        snprintf(got + n, sizeof(got) - n, "%s%s", i ? " " : "", json_string_value(name));
    }
    const char *why = text_at(answer, "FailedNodes", "node-a", NULL);
    if (why)
        snprintf(got, sizeof(got), "%s", why);
    ck_assert_msg(!strcmp(got, names), "%s: filter answered \"%s\", want \"%s\"", what, got, names);
    json_decref(answer);
}

static json_int_t score_of(struct fx *fx, const char *pod, const char *node)
{
    unsigned status;
    json_t *answer = fx_call(fx, "POST", "/prioritize", fx_args(fx, "ml", pod, AB), &status);
    json_int_t score = -1;
    size_t i;
    json_t *host;
    json_array_foreach(answer, i, host)
    {
        if (!strcmp(text_at(host, "Host", NULL, NULL), node))
            score = json_integer_value(json_object_get(host, "Score"));
    }
    json_decref(answer);
    return score;
}

static void want_audit(struct fx *fx, const char *what)
{
    unsigned status;
    json_t *got = fx_call(fx, "GET", "/v1/audit", NULL, &status);
    char *text = got ? json_dumps(got, 0) : NULL;
    ck_assert_msg(json_is_true(json_object_get(got, "consistent")) &&
                      json_integer_value(json_object_get(got, "repairs")) == 0,
                  "%s: %s", what, text ? text : "no answer");
    free(text);
    json_decref(got);
}

static void want_note(struct fx *fx, const char *path, const char *key, const char *want)
{
    json_t *object = fx_object(fx, path);
    const char *got = text_at(object, "metadata", "annotations", key);
    ck_assert_msg(want ? got && !strcmp(got, want) : !got, "%s of %s: %s, want %s", key, path,
                  got ? got : "(none)", want ? want : "(none)");
    json_decref(object);
}

static void want_node_of(struct fx *fx, const char *pod, const char *node)
{
    char path[300];
    snprintf(path, sizeof(path), "pods/ml/%s", pod);
    json_t *object = fx_object(fx, path);
    const char *got = text_at(object, "spec", "nodeName", NULL);
    ck_assert_msg(node ? got && !strcmp(got, node) : !got, "%s is bound to %s, want %s", pod,
                  got ? got : "(nothing)", node ? node : "(nothing)");
    json_decref(object);
}

#define LOCKED_BY(pod) "2026-09-21T14:13:20Z,ml," pod

static void note(struct fx *fx, const char *path, const char *key, const char *value)
{
    json_t *patch = json_pack("{s:{s:{s:s?}}}", "metadata", "annotations", key, value);
    char *text = json_dumps(patch, 0);
    fx_patch(fx, path, text);
    free(text);
    json_decref(patch);
}

static void pause_ms(long ms) { nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL); }

static void settled(struct fx *fx)
{
    for (int i = 0; i < 3000 && ext_binds_unsettled(fx->app.binds) > 0; i++)
        pause_ms(5);
    ck_assert_uint_eq(ext_binds_unsettled(fx->app.binds), 0);
}

/* The plugin has handed out the pod's cards, and let go of the node. */
static void serve(struct fx *fx, const char *pod, const char *node)
{
    char path[300];
    snprintf(path, sizeof(path), "pods/ml/%s", pod);
    note(fx, path, "hami.io/vgpu-devices-to-allocate", ";;");
    snprintf(path, sizeof(path), "nodes/%s", node);
    note(fx, path, LOCK, NULL);
    for (int i = 0; i < 2500 && cluster_node_serving(fx->app.store, str_z(node), STR("")); i++)
        pause_ms(2); /* until our watch has seen it */
}

/* ---- the undone Binding that lands later ---- */

static const struct kube_fault_rule LATER = {KUBE_FAULT_TIMEOUT_LATER, .verb = KUBE_BIND,
                                             .kind = -1};
static const struct kube_fault_rule UNFENCED = {KUBE_FAULT_REFUSED, .verb = KUBE_PATCH,
                                                .kind = KUBE_POD, .times = 1000000};

/* It was fenced, and its room given to another: when it lands after all, it is refused. */
START_TEST(the_undone_binding_that_lands_later)
{
    struct fx fx;
    fx_open(&fx, TWO_NODES, NULL);
    kube_store_fault(fx.store, &LATER);
    want_bind(&fx, "no answer", "p", "node-a", "time");
    settled(&fx);
    ck_assert_msg(fx_wait_used(&fx, "node-a", "GPU-a", 0, 0), "what was undone is still charged");
    want_note(&fx, "nodes/node-a", LOCK, NULL);
    want_bind(&fx, "its room", "q", "node-a", "");
    ck_assert_uint_eq(kube_store_late(fx.store), 1);
    want_node_of(&fx, "p", NULL);
    ck_assert(fx_wait_state(&fx, "uid-q", CLUSTER_STATE_BOUND));
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 8000));
    want_note(&fx, "nodes/node-a", LOCK, LOCKED_BY("q"));
    want_bind(&fx, "again", "p", "node-a", "CardInsufficientMemory");
    want_bind(&fx, "elsewhere", "p", "node-b", "");
    want_audit(&fx, "in the end");
    fx_close(&fx);
}
END_TEST

/* It could not be fenced: its room stays its own until it lands. */
START_TEST(the_binding_that_nothing_undid_lands_later)
{
    struct fx fx;
    fx_open(&fx, TWO_NODES, NULL);
    kube_store_fault(fx.store, &LATER);
    kube_store_fault(fx.store, &UNFENCED);
    want_bind(&fx, "no answer", "p", "node-a", "time");
    ck_assert_uint_eq(ext_binds_unsettled(fx.app.binds), 1);
    want_bind(&fx, "its room", "q", "node-a", "CardInsufficientMemory");
    want_bind(&fx, "itself", "p", "node-a", "not known yet");
    want_bind(&fx, "itself, elsewhere", "p", "node-b", "not known yet");
    ck_assert_uint_eq(kube_store_late(fx.store), 1);
    ck_assert(fx_wait_state(&fx, "uid-p", CLUSTER_STATE_BOUND));
    kube_store_fault_clear(fx.store);
    settled(&fx);
    want_node_of(&fx, "p", "node-a");
    want_note(&fx, "nodes/node-a", LOCK, LOCKED_BY("p"));
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 8000));
    want_bind(&fx, "again", "p", "node-a", "");
    want_audit(&fx, "in the end");
    fx_close(&fx);
}
END_TEST

/* ---- filter while a Binding is in flight ---- */

START_TEST(filter_while_a_binding_is_in_flight)
{
    struct fx fx;
    fx_open(&fx, TWO_NODES, NULL);
    kube_store_fault(fx.store, &LATER);
    kube_store_fault(fx.store, &UNFENCED);
    want_bind(&fx, "no answer", "p", "node-a", "time");
    for (int i = 0; i < 2; i++) { /* the filter between changes nothing */
        want_filter(&fx, "its own node alone", "p", AB, "node-a");
        ck_assert_int_eq(score_of(&fx, "p", "node-a"), 10);
        want_filter(&fx, "the room is taken", "q", A, "CardInsufficientMemory");
        want_filter(&fx, "another node", "q", AB, "node-b");
        ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 8000));
        ck_assert_uint_eq(cluster_holds_count(fx.app.store), 1); /* q's, on node-b */
    }
    kube_store_fault_clear(fx.store);
    settled(&fx); /* fenced: it never lands */
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 0, 0));
    want_filter(&fx, "it is free to go where q is not", "p", AB, "node-a");
    ck_assert_uint_eq(kube_store_late(fx.store), 1);
    want_node_of(&fx, "p", NULL);
    want_bind(&fx, "p", "p", "node-a", "");
    want_audit(&fx, "in the end");
    fx_close(&fx);
}
END_TEST

/* ---- a bind that is decided in the middle of a filter ---- */

/* Something is done when this thread looks at the clock: filter does between its look at the nodes
 * and the one at the holds. */
static struct {
    pthread_t who;
    int left; /* looks of its until then; 0: it was done */
} between;

static void bind_between(struct fx *fx)
{
    if (pthread_equal(pthread_self(), between.who) && between.left > 0 && --between.left == 0)
        want_bind(fx, "in between", "p", "node-a", "");
}

/* Its hold is gone by the time that holds are asked for, and its charge was not there yet when the
 * nodes were looked at: q is not promised p's room. */
START_TEST(a_bind_in_the_middle_of_a_filter)
{
    const struct fx_options opt = {.shortlist = 1};
    unsigned status;
    struct fx fx;
    between.who = pthread_self();
    fx_open(&fx, TWO_NODES, &opt);
    for (int look = 1;; look++) {
        want_filter(&fx, "p", "p", A, "node-a");
        char *args = strdup(fx_args(&fx, "ml", "q", AB));
        between.left = look;
        fx.looked = bind_between;
        json_t *answer = fx_call(&fx, "POST", "/filter", args, &status);
        fx.looked = NULL;
        free(args);
        json_t *names = json_object_get(answer, "NodeNames");
        ck_assert_uint_eq(json_array_size(names), 1);
        ck_assert_msg(!strcmp(json_string_value(json_array_get(names, 0)), "node-b"),
                      "look %d: q is told of p's room", look);
        json_decref(answer);
        if (between.left > 0)
            break; /* a filter looks at the clock less often than that */
        fx_close(&fx);
        fx_open(&fx, TWO_NODES, &opt);
    }
    fx_close(&fx);
}
END_TEST

/* ---- the kubelet away for longer than the lock's age ---- */

#define LOCK_OF_5_MINUTES "2026-09-21T14:08:20Z,ml,p" /* as old as it may get */
#define LOCK_THAT_IS_OLD  "2026-09-21T14:08:19.999Z,ml,p"
#define FREE_CARDS_TWO_WAYS                                                                        \
    NODE_WITH("node-a", REGISTERS(CARD("GPU-a", 0, 24576)),                                        \
              ",\"mthreads.com/vgpu\":\"100\",\"mthreads.com/sgpu-core\":\"16\","                  \
              "\"mthreads.com/sgpu-memory\":\"96\"")                                               \
    WAITING("p", 4000)                                                                             \
    WAITING("q", 4000) POD("m", "\"containers\":[" WANTS("main", MTHREADS) "]")
#define MTHREADS                                                                                   \
    "\"mthreads.com/vgpu\":\"1\",\"mthreads.com/sgpu-core\":\"8\",\"mthreads.com/"                 \
    "sgpu-memory\":\"32\""

static void seen_lock(struct fx *fx, const char *lock)
{
    bool seen = false;
    note(fx, "nodes/node-a", LOCK, lock);
    for (int i = 0; i < 2500 && !seen; i++) {
        struct cluster_snapshot *snap = cluster_store_snapshot(fx->app.store);
        const struct cluster_node *node = cluster_snapshot_find(snap, STR("node-a"));
        seen = str_eq(node->lock, lock ? str_z(lock) : STR("")) && !node->lock.p == !lock;
        cluster_snapshot_unref(snap);
        pause_ms(2);
    }
    ck_assert(seen);
}

static const struct {
    const char *name, *path, *body; /* the kubelet's, or somebody's who has had enough */
} LATELY[] = {
    {"it comes back and serves", "pods/ml/p",
     "{\"metadata\":{\"annotations\":{\"hami.io/vgpu-devices-to-allocate\":\";;\",\"hami.io/"
     "bind-phase\":\"success\"}}}"},
    {"its plugin fails", "pods/ml/p",
     "{\"metadata\":{\"annotations\":{\"hami.io/bind-phase\":\"failed\"}}}"},
    {"the pod is deleted", "pods/ml/p", NULL},
    {"the pod is failed by the node's controller", "pods/ml/p",
     "{\"status\":{\"phase\":\"Failed\"}}"},
};

static void want_locked(struct fx *fx, const char *name, uint64_t locked, uint64_t overdue)
{
    struct cluster_stats stats;
    cluster_store_stats(fx->app.store, &stats);
    ck_assert_msg(stats.nodes_locked == locked && stats.nodes_overdue == overdue,
                  "%s: %d locked, %d overdue", name, (int)stats.nodes_locked,
                  (int)stats.nodes_overdue);
}

/* Nobody takes the lock from a pod that is bound and waits: its kubelet would hand it the next
 * pod's cards. So the node is no answer for whoever needs the lock, and for others it is. */
START_TEST(the_kubelet_away_for_longer_than_the_locks_age)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 600};
    fx_open(&fx, FREE_CARDS_TWO_WAYS, &opt);
    want_bind(&fx, "p", "p", "node-a", "");
    ck_assert(fx_wait_state(&fx, "uid-p", CLUSTER_STATE_BOUND));
    seen_lock(&fx, LOCK_OF_5_MINUTES);
    want_filter(&fx, "it may come yet", "q", A, "node-a");
    want_locked(&fx, "it may come yet", 1, 0);
    seen_lock(&fx, LOCK_THAT_IS_OLD);
    for (int restarted = 0; restarted < 2; restarted++) {
        want_filter(&fx, "a lock is needed", "q", A, "NodeLocked");
        want_locked(&fx, "a lock is needed", 1, 1);
        want_filter(&fx, "no lock is needed", "m", A, "node-a");
        want_bind(&fx, "the lock", "q", "node-a", "NodeLocked");
        want_note(&fx, "nodes/node-a", LOCK, LOCK_THAT_IS_OLD);
        ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 4000));
        if (!restarted)
            fx_restart(&fx);
    }
    want_bind(&fx, "no lock is needed", "m", "node-a", "");
    want_filter(&fx, "still", "q", A, "NodeLocked");
    fx_patch(&fx, LATELY[_i].path, LATELY[_i].body);
    for (int i = 0; i < 2500 && cluster_node_serving(fx.app.store, STR("node-a"), STR("")); i++)
        pause_ms(2);
    want_filter(&fx, LATELY[_i].name, "q", A, "node-a");
    want_locked(&fx, LATELY[_i].name, 1, 0);
    seen_lock(&fx, NULL); /* by the plugin, or the holder is gone */
    want_locked(&fx, LATELY[_i].name, 0, 0);
    want_bind(&fx, LATELY[_i].name, "q", "node-a", "");
    want_audit(&fx, LATELY[_i].name);
    fx_close(&fx);
}
END_TEST

/* ---- the lock released too early ---- */

#define TWO_MAKERS                                                                                 \
    NODE_WITH("node-a",                                                                            \
              REGISTERS(CARD("GPU-a", 0, 24576)) ",\"hami.io/node-register-Ascend910B3\":'["       \
                                                 "{\"id\":\"A0\",\"index\":0,\"count\":4,"         \
                                                 "\"devmem\":65536,\"devcore\":20,\"type\":"       \
                                                 "\"Ascend910B3\",\"health\":true}]'",             \
              ",\"huawei.com/Ascend910B3\":\"4\"")
#define CHIP "\"huawei.com/Ascend910B3\":\"1\",\"huawei.com/Ascend910B3-memory\":\"10000\""
#define LEFT "hami.io/vgpu-devices-to-allocate"

static const struct {
    const char *name, *cluster;
    const char *key, *before, *after; /* a list, and what the first call leaves of it */
    const char *last, *done;          /* the list of the call that is still to come, emptied */
} FIRST_OF_TWO[] = {
    {"two containers",
     NODE("node-a", CARD("GPU-a", 0, 24576))
         POD("p", "\"containers\":[" WANTS("a", GPU(4000)) "," WANTS("b", GPU(5000)) "]"),
     LEFT, "GPU-a,NVIDIA,4000,10:;GPU-a,NVIDIA,5000,10:;", ";GPU-a,NVIDIA,5000,10:;;", LEFT, ";;;"},
    {"two vendors", TWO_MAKERS POD("p", "\"containers\":[" WANTS("a", GPU(4000) "," CHIP) "]"),
     LEFT, "GPU-a,NVIDIA,4000,10:;", ";;", "hami.io/Ascend910B3-devices-to-allocate", ";;"},
};

static void the_lock_released_after_the_first_of(int i)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 1200};
    char cluster[8192];
    snprintf(cluster, sizeof(cluster), "%s%s", FIRST_OF_TWO[i].cluster, WAITING("q", 4000));
    const char *name = FIRST_OF_TWO[i].name;
    fx_open(&fx, cluster, &opt);
    want_bind(&fx, name, "p", "node-a", "");
    want_note(&fx, "nodes/node-a", LOCK, LOCKED_BY("p"));
    want_note(&fx, "pods/ml/p", FIRST_OF_TWO[i].key, FIRST_OF_TWO[i].before);
    note(&fx, "pods/ml/p", FIRST_OF_TWO[i].key, FIRST_OF_TWO[i].after);
    note(&fx, "pods/ml/p", "hami.io/bind-phase", "success"); /* it believes so */
    note(&fx, "nodes/node-a", LOCK, NULL);
    ck_assert(fx_wait_state(&fx, "uid-p", CLUSTER_STATE_BOUND));
    for (int restarted = 0; restarted < 2; restarted++) {
        want_bind(&fx, name, "q", "node-a", "node lock contention");
        want_note(&fx, "nodes/node-a", LOCK, NULL);
        want_note(&fx, "pods/ml/q", "hami.io/bind-phase", NULL);
        ck_assert(cluster_node_serving(fx.app.store, STR("node-a"), STR("uid-q")));
        if (!restarted)
            fx_restart(&fx); /* the one after us knows it, too */
    }
    note(&fx, "pods/ml/p", FIRST_OF_TWO[i].last, FIRST_OF_TWO[i].done);
    for (int k = 0; k < 2500 && cluster_node_serving(fx.app.store, STR("node-a"), STR("uid-q"));
         k++)
        pause_ms(2);
    want_bind(&fx, name, "q", "node-a", "");
    want_note(&fx, "nodes/node-a", LOCK, LOCKED_BY("q"));
    ck_assert(fx_wait_state(&fx, "uid-q", CLUSTER_STATE_BOUND));
    want_audit(&fx, name);
    fx_close(&fx);
}

START_TEST(the_lock_released_after_the_first_of_two_containers)
{
    the_lock_released_after_the_first_of(0);
}
END_TEST

START_TEST(the_lock_released_after_the_first_of_two_vendors)
{
    the_lock_released_after_the_first_of(1);
}
END_TEST

/* ---- a pod re-created under its name ---- */

#define CREATE_P                                                                                   \
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"namespace\":\"ml\"},"  \
    "\"spec\":{\"schedulerName\":\"cardinal-scheduler\",\"containers\":[" WANTS("main",            \
                                                                                GPU(3000)) "]}}"

/* Our clock stands: both locks would have the same text, so a late release of the first one would
 * take the second. */
START_TEST(a_pod_re_created_under_its_name)
{
    struct fx fx;
    fx_open(&fx, TWO_NODES, NULL);
    char old[2048], now[256];
    snprintf(old, sizeof(old), "%s", fx_bind_args(&fx, "ml", "p", "node-a"));
    kube_store_fault(fx.store, &LATER);
    kube_store_fault(fx.store, &UNFENCED);
    want_bound(&fx, "no answer", old, "time");
    fx_patch(&fx, "pods/ml/p", NULL);
    fx_create(&fx, "pods/ml/p", CREATE_P);
    json_t *pod = fx_object(&fx, "pods/ml/p");
    snprintf(now, sizeof(now), "%s", text_at(pod, "metadata", "uid", NULL));
    json_decref(pod);
    ck_assert_str_ne(now, "uid-p");
    ck_assert(fx_wait_state(&fx, now, CLUSTER_STATE_WAITING));
    ck_assert_uint_eq(kube_store_late(fx.store), 1);
    want_node_of(&fx, "p", NULL); /* the old one's Binding is not the new one's */
    kube_store_fault_clear(fx.store);
    unsigned status;
    json_t *got = NULL;
    for (int i = 0; i < 400; i++) { /* kube-scheduler tries again and again */
        json_decref(got);
        got = fx_call(&fx, "POST", "/bind", fx_bind_args(&fx, "ml", "p", "node-a"), &status);
        if (text_at(got, "Error", NULL, NULL)[0] == '\0')
            break;
        pause_ms(20);
    }
    ck_assert_str_eq(text_at(got, "Error", NULL, NULL), "");
    json_decref(got);
    settled(&fx);
    ck_assert(fx_wait_state(&fx, now, CLUSTER_STATE_BOUND));
    ck_assert(fx_wait_state(&fx, "uid-p", CLUSTER_STATE_UNKNOWN));
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 3000));
    want_note(&fx, "nodes/node-a", LOCK, LOCKED_BY("p"));
    want_bound(&fx, "the old one's, late", old, "another UID");
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 3000));
    want_audit(&fx, "in the end");
    fx_close(&fx);
}
END_TEST

/* ---- bind ahead of the watch ---- */

/* The pod, or what became of it, is known to kube-scheduler and not to us yet. */
START_TEST(bind_ahead_of_the_watch)
{
    struct fx fx;
    struct err err;
    fx_open(&fx,
            ONE_CARD NODE("node-b", CARD("GPU-b", 0, 10000)) NODE("node-c", CARD("GPU-c", 0, 10000))
                WAITING("q", 4000),
            NULL);
    ck_assert(fx_wait_state(&fx, "uid-q", CLUSTER_STATE_WAITING));
    ext_reflector_stop(fx.reflector);
    fx.reflector = NULL;
    fx_create(&fx, "pods/ml/p", CREATE_P);
    char uid[256];
    json_t *pod = fx_object(&fx, "pods/ml/p");
    snprintf(uid, sizeof(uid), "%s", text_at(pod, "metadata", "uid", NULL));
    json_decref(pod);
    want_bind(&fx, "never heard of", "p", "node-a", "");
    want_node_of(&fx, "p", "node-a");
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 3000));
    want_bind(&fx, "said twice", "p", "node-a", "");
    /* q has changed, and filter has seen it: keys that the Binding would merge with */
    note(&fx, "pods/ml/q", "hami.io/vgpu-mig-allocations", "[]");
    want_filter(&fx, "q", "q", AB, "node-a node-b");
    want_bind(&fx, "q", "q", "node-b", "");
    want_note(&fx, "pods/ml/q", "hami.io/vgpu-mig-allocations", NULL);
    /* and a deletion that we have not heard of */
    fx_create(&fx, "pods/ml/r",
              "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"r\",\"namespace\":"
              "\"ml\"},\"spec\":{\"containers\":[" WANTS("main", GPU(1000)) "]}}");
    char late[2048];
    snprintf(late, sizeof(late), "%s", fx_bind_args(&fx, "ml", "r", "node-c"));
    want_filter(&fx, "r", "r", C, "node-c"); /* it is held, so bind finds it */
    fx_patch(&fx, "pods/ml/r", NULL);
    want_bound(&fx, "gone", late, "not found");
    ck_assert(fx_wait_used(&fx, "node-c", "GPU-c", 0, 0));
    ck_assert(!ext_reflector_start(&fx.app, &fx.reflector, &err));
    ck_assert(fx_wait_state(&fx, uid, CLUSTER_STATE_BOUND));
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 3000));
    ck_assert(fx_wait_used(&fx, "node-b", "GPU-b", 1, 4000));
    want_audit(&fx, "in the end");
    fx_close(&fx);
}
END_TEST

/* ---- prioritize of a pod against its own hold ---- */

START_TEST(prioritize_of_a_pod_against_its_own_hold)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = 1};
    fx_open(&fx, TWO_NODES WAITING("o", 1000), &opt);
    want_bind(&fx, "node-a is the fuller one", "o", "node-a", "");
    ck_assert(fx_wait_state(&fx, "uid-o", CLUSTER_STATE_BOUND));
    serve(&fx, "o", "node-a");
    const json_int_t a = score_of(&fx, "p", "node-a"), b = score_of(&fx, "p", "node-b");
    ck_assert_int_eq(a, 10);
    ck_assert_int_eq(b, 0);
    want_filter(&fx, "holds node-a", "p", AB, "node-a");
    ck_assert_int_eq(score_of(&fx, "p", "node-a"), a);
    ck_assert_int_eq(score_of(&fx, "p", "node-b"), b);
    want_filter(&fx, "its own hold", "p", AB, "node-a");
    want_filter(&fx, "another's", "q", AB, "node-b");
    want_filter(&fx, "another's, alone", "q", A, "NodeHeld");
    want_bind(&fx, "where it was held", "p", "node-a", "");
    ck_assert(fx_wait_state(&fx, "uid-p", CLUSTER_STATE_BOUND));
    want_audit(&fx, "in the end");
    fx_close(&fx);
}
END_TEST

/* ---- a restarted sandbox running init again ---- */

#define INIT_POD                                                                                   \
    POD("p", "\"initContainers\":[" WANTS("prepare", GPU(8000)) "],\"containers\":[" WANTS(        \
                 "main", GPU(1000)) "]")

/* HAMi lends the difference out once init is done; a restarted sandbox then over-commits. */
START_TEST(a_restarted_sandbox_running_init_again)
{
    static const struct {
        const char *what, *status;
    } STEPS[] = {
        {"init runs",
         "{\"status\":{\"initContainerStatuses\":[{\"name\":\"prepare\",\"state\":{\"running\":{}}}"
         "]}}"},
        {"init is done",
         "{\"status\":{\"phase\":\"Running\",\"initContainerStatuses\":[{\"name\":\"prepare\","
         "\"state\":{\"terminated\":{\"exitCode\":0}}}],\"containerStatuses\":[{\"name\":\"main\","
         "\"state\":{\"running\":{}}}]}}"},
        {"the sandbox is gone",
         "{\"status\":{\"phase\":\"Pending\",\"containerStatuses\":[{\"name\":\"main\",\"state\":{"
         "\"terminated\":{\"exitCode\":137}}}]}}"},
        {"init runs again",
         "{\"status\":{\"initContainerStatuses\":[{\"name\":\"prepare\",\"state\":{\"running\":{}}}"
         "],\"containerStatuses\":[{\"name\":\"main\",\"state\":{\"waiting\":{\"reason\":"
         "\"PodInitializing\"}}}]}}"},
    };
    struct fx fx;
    fx_open(&fx, ONE_CARD INIT_POD WAITING("q", 4000), NULL);
    want_bind(&fx, "bind", "p", "node-a", "");
    note(&fx, "pods/ml/p", LEFT, ";;;");
    note(&fx, "nodes/node-a", LOCK, NULL);
    for (size_t i = 0; i < sizeof(STEPS) / sizeof(STEPS[0]); i++) {
        struct cluster_stats before, now;
        cluster_store_stats(fx.app.store, &before);
        fx_patch(&fx, "pods/ml/p", STEPS[i].status);
        for (int k = 0; k < 2500; k++) { /* until the watch has told */
            cluster_store_stats(fx.app.store, &now);
            if (now.applied_pods > before.applied_pods)
                break;
            pause_ms(2);
        }
        for (int restarted = 0; restarted < 2; restarted++) {
            want_filter(&fx, STEPS[i].what, "q", A, "CardInsufficientMemory");
            ck_assert_msg(fx_wait_used(&fx, "node-a", "GPU-a", 1, 8000), "%s", STEPS[i].what);
            want_bind(&fx, STEPS[i].what, "q", "node-a", "CardInsufficientMemory");
            if (!restarted)
                fx_restart(&fx);
        }
    }
    want_audit(&fx, "while init runs again");
    fx_patch(&fx, "pods/ml/p", "{\"status\":{\"phase\":\"Succeeded\"}}");
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 0, 0));
    want_bind(&fx, "room at last", "q", "node-a", "");
    fx_close(&fx);
}
END_TEST

int main(void)
{
    json_object_seed(1);
    Suite *s = suite_create("interleavings");
    TCase *tc = tcase_create("interleavings");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, the_undone_binding_that_lands_later);
    tcase_add_test(tc, the_binding_that_nothing_undid_lands_later);
    tcase_add_test(tc, filter_while_a_binding_is_in_flight);
    tcase_add_test(tc, a_bind_in_the_middle_of_a_filter);
    tcase_add_loop_test(tc, the_kubelet_away_for_longer_than_the_locks_age, 0,
                        sizeof(LATELY) / sizeof(LATELY[0]));
    tcase_add_test(tc, the_lock_released_after_the_first_of_two_containers);
    tcase_add_test(tc, the_lock_released_after_the_first_of_two_vendors);
    tcase_add_test(tc, a_pod_re_created_under_its_name);
    tcase_add_test(tc, bind_ahead_of_the_watch);
    tcase_add_test(tc, prioritize_of_a_pod_against_its_own_hold);
    tcase_add_test(tc, a_restarted_sandbox_running_init_again);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
