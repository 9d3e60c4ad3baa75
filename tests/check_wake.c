/* Waiting pods are touched when they fit now and nobody asks: for each thing that only we know.
 * Rounds are run by hand on a clock that the test moves. */
#include "verbs_fixture.h"

#include "vendor/keys.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NODE(name, uuid, health)                                                                   \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"" name                 \
    "\",\"annotations\":{\"hami.io/node-nvidia-register\":'" REGISTER(                             \
        uuid, health) "'}},\"status\":{\"allocatable\":{\"nvidia.com/gpu\":\"10\"}}}\n"
#define REGISTER(uuid, health)                                                                     \
    "[{\"id\":\"" uuid "\",\"count\":10,\"devmem\":10000,\"devcore\":100,\"type\":\"NVIDIA "       \
    "A10\",\"mode\":\"hami-core\",\"health\":" health "}]"
#define LIMITS(mem)                                                                                \
    "    resources:\n      limits:\n        nvidia.com/gpu: \"1\"\n        nvidia.com/gpumem: "    \
    "\"" mem "\"\n        nvidia.com/gpucores: \"1\"\n"
#define POD(name, mem, more)                                                                       \
    "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: " name                                     \
    "\n  namespace: ml\n  uid: uid-" name "\n" more                                                \
    "  containers:\n  - name: c\n    image: x\n" LIMITS(mem)
#define WAITING(name, mem) POD(name, mem, "spec:\n") "status:\n  phase: Pending\n"
#define RUNNING(name, mem, node, uuid)                                                             \
    POD(name, mem,                                                                                 \
        "  annotations:\n    hami.io/vgpu-node: " node                                             \
        "\n    hami.io/vgpu-devices-allocated: \"" uuid ",NVIDIA," mem                             \
        ",1:;\"\nspec:\n  nodeName: " node "\n")                                                   \
    "status:\n  phase: Running\n"

#define FULL                                                                                       \
    NODE("node-a", "GPU-a", "true") RUNNING("old", "8000", "node-a", "GPU-a") WAITING("p", "4000")
static const char *const A[] = {"node-a", NULL};

static struct arena *arena;

static void open_full(struct fx *fx, const char *cluster)
{
    struct err err;
    fx_open(fx, cluster, NULL);
    ck_assert(!ext_wake_new(&fx->app, &fx->app.wake, &err));
    arena = arena_new((size_t)64 << 20);
    ck_assert(fx_wait_used(fx, "node-a", "GPU-a", 1, 8000));
    ck_assert(fx_wait_state(fx, "uid-p", CLUSTER_STATE_WAITING));
}

static void close_full(struct fx *fx)
{
    ext_wake_free(fx->app.wake);
    fx->app.wake = NULL;
    arena_free(arena);
    fx_close(fx);
}

static void ask(struct fx *fx, const char *pod, const char *const *nodes, bool fits)
{
    unsigned status;
    json_t *got = fx_call(fx, "POST", "/filter", fx_args(fx, "ml", pod, nodes), &status);
    ck_assert_msg(json_is_array(json_object_get(got, "NodeNames")) == fits, "%s fits: not %d", pod,
                  fits);
    json_decref(got);
}

static bool is_touched(struct fx *fx, const char *path, const char **ret_nominated)
{
    static char nominated[256];
    json_t *pod = fx_object(fx, path);
    ck_assert_ptr_nonnull(pod);
    const char *name =
        json_string_value(json_object_get(json_object_get(pod, "status"), "nominatedNodeName"));
    snprintf(nominated, sizeof(nominated), "%s", name ? name : "");
    if (ret_nominated)
        *ret_nominated = nominated;
    bool touched = json_object_get(json_object_get(json_object_get(pod, "metadata"), "annotations"),
                                   KEY_POD_WAKE) != NULL;
    json_decref(pod);
    return touched;
}

/* Rounds for up to 3 s of the tests' clock, which is the aim; a little real time for the watch. */
static bool woken(struct fx *fx, const char *path)
{
    for (int i = 0; i < 30; i++) {
        ext_wake_round(fx->app.wake, arena);
        if (is_touched(fx, path, NULL))
            return true;
        fx->mono_skew_ms += 100;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return false;
}

static void unwake(struct fx *fx, const char *path)
{
    fx_patch(fx, path, "{\"metadata\":{\"annotations\":{\"" KEY_POD_WAKE "\":null}}}");
}

START_TEST(nobody_is_woken_for_nothing)
{
    struct fx fx;
    open_full(&fx, FULL);
    ck_assert(!woken(&fx, "pods/ml/p")); /* was never refused */
    ask(&fx, "p", A, false);
    ck_assert_uint_eq(ext_wake_waiting(fx.app.wake), 1);
    ck_assert_msg(!woken(&fx, "pods/ml/p"), "a pod that fits nowhere was touched");
    close_full(&fx);
}
END_TEST

static void free_share(struct fx *fx)
{
    fx_patch(fx, "pods/ml/old", "{\"status\":{\"phase\":\"Succeeded\"}}");
}
static void delete_pod(struct fx *fx) { fx_patch(fx, "pods/ml/old", NULL); }
static void add_node(struct fx *fx)
{
    fx_create(fx, "nodes/node-b",
              "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"node-b\","
              "\"annotations\":{\"hami.io/node-nvidia-register\":"
              "\"[{\\\"id\\\":\\\"GPU-b\\\",\\\"count\\\":10,\\\"devmem\\\":10000,\\\"devcore\\\":"
              "100,\\\"type\\\":\\\"NVIDIA A10\\\",\\\"health\\\":true}]\"}},"
              "\"status\":{\"allocatable\":{\"nvidia.com/gpu\":\"10\"}}}");
}
static void heal(struct fx *fx)
{
    fx_patch(fx, "nodes/node-b",
             "{\"metadata\":{\"annotations\":{\"hami.io/node-nvidia-register\":"
             "\"[{\\\"id\\\":\\\"GPU-b\\\",\\\"count\\\":10,\\\"devmem\\\":10000,\\\"devcore\\\":"
             "100,\\\"type\\\":\\\"NVIDIA A10\\\",\\\"health\\\":true}]\"}}}");
}
static void uncordon(struct fx *fx)
{
    fx_patch(fx, "nodes/node-b",
             "{\"metadata\":{\"annotations\":{\"hami.io/device-cordon\":null}}}");
}
static void raise_quota(struct fx *fx)
{
    fx_patch(fx, "resourcequotas/ml/q",
             "{\"spec\":{\"hard\":{\"limits.nvidia.com/gpumem\":\"20000\"}}}");
}

#define QUOTA                                                                                      \
    "---\napiVersion: v1\nkind: ResourceQuota\nmetadata:\n  name: q\n  namespace: ml\nspec:\n  "   \
    "hard:\n    limits.nvidia.com/gpumem: \"9000\"\n"
#define CORDONED                                                                                   \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"node-b\","             \
    "\"annotations\":{\"hami.io/device-cordon\":\"GPU-b\",\"hami.io/"                              \
    "node-nvidia-register\":'" REGISTER(                                                           \
        "GPU-b", "true") "'}},\"status\":{\"allocatable\":{\"nvidia.com/gpu\":\"10\"}}}\n"

static const struct {
    const char *name, *cluster;
    void (*happens)(struct fx *);
} TRIGGERS[] = {
    {"a share is freed", FULL, free_share},
    {"a pod is deleted", FULL, delete_pod},
    {"a node registers", FULL, add_node},
    {"a card is healthy again", FULL NODE("node-b", "GPU-b", "false"), heal},
    {"a card is no longer cordoned", FULL CORDONED, uncordon},
    {"a quota is raised", FULL NODE("node-b", "GPU-b", "true") QUOTA, raise_quota},
};

START_TEST(each_trigger_wakes)
{
    struct fx fx;
    open_full(&fx, TRIGGERS[_i].cluster);
    static const char *const AB[] = {"node-a", "node-b", NULL};
    ask(&fx, "p", AB, false);
    ck_assert(!is_touched(&fx, "pods/ml/p", NULL));
    TRIGGERS[_i].happens(&fx);
    ck_assert_msg(woken(&fx, "pods/ml/p"), "%s: not woken within 3 s", TRIGGERS[_i].name);
    ask(&fx, "p", AB, true);
    ck_assert_msg(ext_wake_waiting(fx.app.wake) == 0, "%s: still waits after its answer",
                  TRIGGERS[_i].name);
    close_full(&fx);
}
END_TEST

START_TEST(a_hold_that_ends_wakes)
{
    struct fx fx;
    open_full(&fx, NODE("node-a", "GPU-a", "true") RUNNING("old", "8000", "node-a", "GPU-a")
                       WAITING("h", "2000") WAITING("p", "2000"));
    ask(&fx, "h", A, true); /* and its bind never comes */
    ask(&fx, "p", A, false);
    ck_assert_msg(!woken(&fx, "pods/ml/p"), "woken while the room is held");
    fx.mono_skew_ms += CLUSTER_HOLD_MS;
    ck_assert(woken(&fx, "pods/ml/p"));
    close_full(&fx);
}
END_TEST

START_TEST(kube_scheduler_has_its_chance)
{
    struct fx fx;
    open_full(&fx, FULL);
    ask(&fx, "p", A, false);
    free_share(&fx);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 0, 0));
    ext_wake_round(fx.app.wake, arena);
    fx.mono_skew_ms += 200;
    ext_wake_round(fx.app.wake, arena);
    ck_assert_msg(!is_touched(&fx, "pods/ml/p", NULL), "touched before kube-scheduler had 300 ms");
    ask(&fx, "p", A, true);
    fx.mono_skew_ms += 5000;
    ext_wake_round(fx.app.wake, arena);
    ck_assert_msg(!is_touched(&fx, "pods/ml/p", NULL), "touched after it was answered");
    close_full(&fx);
}
END_TEST

/* The touched pod is asked about again, without the node that fits: it is nominated. */
/* Refused by a process or a leader before this one, which knew nothing of the room; a pod of
 * another scheduler is not ours to touch. */
START_TEST(a_pod_that_was_refused_before_we_came_is_woken)
{
#define OF(name, scheduler)                                                                        \
    POD(name, "4000", "spec:\n  schedulerName: " scheduler "\n") "status:\n  phase: Pending\n"
    struct fx fx;
    open_full(&fx, NODE("node-a", "GPU-a", "true") RUNNING("old", "8000", "node-a", "GPU-a")
                       OF("p", "mine") OF("q", "theirs"));
    fx.app.config.scheduler_name = "mine";
    fx.mono_skew_ms += 2; /* the list of the start may be of this very millisecond */
    const int64_t now = clock_mono_ms(fx.app.clock);
    for (int i = 0; i < 5000 && !ext_pods_as_of(&fx.app, now); i++) /* a list */
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    ck_assert_uint_eq(ext_wake_waiting(fx.app.wake), 1);
    fx_patch(&fx, "pods/ml/old", NULL);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 0, 0));
    for (int s = 0; s < 14; s++) { /* kube-scheduler may be in its back-off */
        ext_wake_round(fx.app.wake, arena);
        fx.mono_skew_ms += 1000;
    }
    ck_assert(!is_touched(&fx, "pods/ml/p", NULL));
    for (int s = 0; s < 3; s++) {
        fx.mono_skew_ms += 1000;
        ext_wake_round(fx.app.wake, arena);
    }
    ck_assert(is_touched(&fx, "pods/ml/p", NULL));
    ck_assert(!is_touched(&fx, "pods/ml/q", NULL));
    close_full(&fx);
}
END_TEST

START_TEST(a_node_outside_the_sample_is_nominated)
{
    struct fx fx;
    open_full(&fx, FULL NODE("node-b", "GPU-b", "true"));
    const char *nominated;
    ask(&fx, "p", A, false);
    ck_assert(woken(&fx, "pods/ml/p"));
    ck_assert(!is_touched(&fx, "pods/ml/p", &nominated) || nominated[0] == '\0');
    unwake(&fx, "pods/ml/p");
    ask(&fx, "p", A, false);
    ck_assert(woken(&fx, "pods/ml/p"));
    ck_assert(is_touched(&fx, "pods/ml/p", &nominated));
    ck_assert_str_eq(nominated, "node-b");
    close_full(&fx);
}
END_TEST

/* Nobody listens: the touches grow rare. */
START_TEST(touches_are_bounded)
{
    struct fx fx;
    open_full(&fx, FULL);
    ask(&fx, "p", A, false);
    free_share(&fx);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 0, 0));
    uint64_t before = kube_store_writes(fx.store);
    for (int i = 0; i < 600; i++) { /* 60 s */
        ext_wake_round(fx.app.wake, arena);
        fx.mono_skew_ms += 100;
        if (i % 20 == 0)
            nanosleep(&(struct timespec){.tv_nsec = 5000000},
                      NULL); /* the watch shows the new resourceVersion */
    }
    uint64_t writes = kube_store_writes(fx.store) - before;
    ck_assert_msg(writes >= 3 && writes <= 10, "%llu touches in a minute",
                  (unsigned long long)writes);
    close_full(&fx);
}
END_TEST

START_TEST(pods_that_end_are_forgotten)
{
    struct fx fx;
    open_full(&fx, FULL);
    ask(&fx, "p", A, false);
    fx_patch(&fx, "pods/ml/p", NULL);
    ck_assert(fx_wait_state(&fx, "uid-p", CLUSTER_STATE_UNKNOWN));
    fx.mono_skew_ms += 61000;
    ext_wake_round(fx.app.wake, arena);
    ck_assert_uint_eq(ext_wake_waiting(fx.app.wake), 0);
    ext_wake_done(NULL, STR("x")); /* without a waker: nothing */
    ext_wake_refused(NULL, NULL, false);
    close_full(&fx);
}
END_TEST

/* Touches that fail must not keep others from theirs. */
START_TEST(a_touch_that_fails_lets_others_pass)
{
    struct fx fx;
    open_full(&fx, FULL WAITING("q", "4000") WAITING("r", "4000"));
    ask(&fx, "p", A, false);
    ask(&fx, "q", A, false);
    ask(&fx, "r", A, false);
    free_share(&fx);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 0, 0));
    const struct kube_fault_rule denied = {KUBE_FAULT_STATUS, .verb = KUBE_PATCH, .kind = KUBE_POD,
                                           .times = 2, .status = 403};
    kube_store_fault(fx.store, &denied); /* for p and q, the oldest */
    ck_assert(woken(&fx, "pods/ml/r"));
    ck_assert(!is_touched(&fx, "pods/ml/p", NULL) && !is_touched(&fx, "pods/ml/q", NULL));
    ck_assert_msg(woken(&fx, "pods/ml/p") && woken(&fx, "pods/ml/q"),
                  "later, they are tried again");
    close_full(&fx);
}
END_TEST

/* A nominated pod's hold stands against one of two equal asks, and not against the other. */
/* More than one round looks at wait in front of it. */
START_TEST(the_youngest_of_many_is_woken)
{
    struct fx fx;
    open_full(&fx, FULL);
    for (int i = 0; i < 5000; i++) {
        char uid[32];
        (void)snprintf(uid, sizeof(uid), "older-%d", i);
        const struct cluster_pod older = {.uid = str_z(uid), .ns = STR("ml"), .name = str_z(uid)};
        ext_wake_refused(fx.app.wake, &older, false);
    }
    ask(&fx, "p", A, false);
    ck_assert_uint_eq(ext_wake_waiting(fx.app.wake), 5001);
    free_share(&fx);
    ck_assert(woken(&fx, "pods/ml/p"));
    close_full(&fx);
}
END_TEST

START_TEST(a_higher_priority_is_asked_for_itself)
{
    struct fx fx;
    open_full(&fx,
              FULL POD("hi", "4000", "spec:\n  priority: 10\n") "status:\n  phase: Pending\n" POD(
                  "n", "9000", "spec:\n") "status:\n  phase: Pending\n"
                                          "  nominatedNodeName: node-a\n");
    ask(&fx, "p", A, false);
    ask(&fx, "hi", A, false);
    free_share(&fx);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 0, 0));
    ask(&fx, "n", A, true);
    fx.mono_skew_ms += CLUSTER_HOLD_MS + 1000; /* of its holds, that of the nomination is left */
    ck_assert(woken(&fx, "pods/ml/hi"));
    ck_assert(!is_touched(&fx, "pods/ml/p", NULL));
    close_full(&fx);
}
END_TEST

int main(void)
{
    json_object_seed(1);
    Suite *s = suite_create("wake");
    TCase *tc = tcase_create("wake");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, nobody_is_woken_for_nothing);
    tcase_add_loop_test(tc, each_trigger_wakes, 0, sizeof(TRIGGERS) / sizeof(TRIGGERS[0]));
    tcase_add_test(tc, a_hold_that_ends_wakes);
    tcase_add_test(tc, kube_scheduler_has_its_chance);
    tcase_add_test(tc, a_pod_that_was_refused_before_we_came_is_woken);
    tcase_add_test(tc, a_node_outside_the_sample_is_nominated);
    tcase_add_test(tc, touches_are_bounded);
    tcase_add_test(tc, pods_that_end_are_forgotten);
    tcase_add_test(tc, a_touch_that_fails_lets_others_pass);
    tcase_add_test(tc, the_youngest_of_many_is_woken);
    tcase_add_test(tc, a_higher_priority_is_asked_for_itself);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
