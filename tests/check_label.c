/* The label of bound pods on API servers that take none from the Binding (before 1.35): the
 * in-process store with that gate switched off. Rounds are run by hand. */
#include "verbs_fixture.h"

#include "vendor/keys.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NODE(name)                                                                                 \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"" name                 \
    "\",\"annotations\":{\"hami.io/node-nvidia-register\":'[{\"id\":\"GPU-a\",\"count\":10,"       \
    "\"devmem\":24576,\"devcore\":100,\"type\":\"NVIDIA A10\",\"mode\":\"hami-core\",\"health\":"  \
    "true}]'}},\"status\":{\"allocatable\":{\"nvidia.com/gpu\":\"10\"}}}\n"
#define POD(name)                                                                                  \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name                  \
    "\",\"namespace\":\"ml\",\"uid\":\"uid-" name                                                  \
    "\"},\"spec\":{\"schedulerName\":\"cardinal-scheduler\",\"containers\":[{\"name\":\"main\","   \
    "\"image\":\"x\",\"resources\":{\"limits\":{\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":"   \
    "\"1000\",\"nvidia.com/gpucores\":\"5\"}}}]},\"status\":{\"phase\":\"Pending\"}}\n"
#define LONG_NAME "a-node-with-a-name-that-is-longer.than-the-63-bytes.of-a-label-value.example"
#define CLUSTER   NODE("node-a") POD("p-0") POD("p-1") POD("p-2") POD("p-3") POD("p-4") POD("p-5")

static void open_old(struct fx *fx, const char *cluster, bool labels)
{
    const struct fx_options opt = {.shortlist = -1, .labels_dropped = !labels, .labels = true};
    fx_open(fx, cluster, &opt);
}

static void pause_ms(long ms) { nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL); }

static bool is_labelled(struct fx *fx, const char *pod, const char *node)
{
    char path[64];
    snprintf(path, sizeof(path), "pods/ml/%s", pod);
    json_t *object = fx_object(fx, path);
    const char *got = json_string_value(json_object_get(
        json_object_get(json_object_get(object, "metadata"), "labels"), KEY_POD_NODE));
    bool is = got && !strcmp(got, node);
    json_decref(object);
    return is;
}

static void bind(struct fx *fx, const char *pod, const char *node)
{
    unsigned status;
    json_t *got = fx_call(fx, "POST", "/bind", fx_bind_args(fx, "ml", pod, node), &status);
    ck_assert_str_eq(json_string_value(json_object_get(got, "Error")), "");
    json_decref(got);
}

static void annotate(struct fx *fx, const char *path, const char *key, const char *value)
{
    char body[512];
    snprintf(body, sizeof(body), "{\"metadata\":{\"annotations\":{\"%s\":%s}}}", key, value);
    fx_patch(fx, path, body);
}

/* The plugin's end of it, up to the phase that it says. */
static void serve(struct fx *fx, const char *pod, const char *node, const char *phase)
{
    char path[300];
    snprintf(path, sizeof(path), "pods/ml/%s", pod);
    annotate(fx, path, "hami.io/vgpu-devices-to-allocate", "\";;\"");
    if (phase)
        annotate(fx, path, "hami.io/bind-phase", phase);
    snprintf(path, sizeof(path), "nodes/%s", node);
    annotate(fx, path, "hami.io/mutex.lock", "null");
}

static bool waits(struct fx *fx, size_t n)
{
    for (int i = 0; i < 2500 && ext_labels_waiting(fx->app.labels) != n; i++)
        pause_ms(2);
    return ext_labels_waiting(fx->app.labels) == n;
}

/* Until our watch has shown everything that was written to pods before. */
static void watched(struct fx *fx)
{
    char path[64], text[512];
    static int n;
    snprintf(path, sizeof(path), "pods/ml/mark-%d", ++n);
    snprintf(
        text, sizeof(text),
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"mark-%d\",\"namespace\":"
        "\"ml\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":{"
        "\"nvidia.com/gpu\":\"1\"}}}]}}",
        n);
    fx_create(fx, path, text);
    json_t *object = fx_object(fx, path);
    ck_assert(fx_wait_state(
        fx, json_string_value(json_object_get(json_object_get(object, "metadata"), "uid")),
        CLUSTER_STATE_WAITING));
    json_decref(object);
}

static const struct {
    const char *name, *phase, *status;
} BEGUN[] = {
    {"its plugin is done", "\"success\"", NULL},
    {"its plugin failed", "\"failed\"", NULL},
    {"it runs", NULL, "{\"status\":{\"phase\":\"Running\"}}"},
};

/* A write between the Binding and the plugin's answer breaks plugins. */
START_TEST(labelled_when_nobody_allocates_any_more)
{
    struct fx fx;
    open_old(&fx, CLUSTER, false);
    bind(&fx, "p-0", "node-a");
    ck_assert(!is_labelled(&fx, "p-0", "node-a"));
    serve(&fx, "p-0", "node-a", NULL);
    watched(&fx);
    ext_labels_round(fx.app.labels);
    ck_assert_msg(!is_labelled(&fx, "p-0", "node-a"), "%s: labelled too early", BEGUN[_i].name);
    ck_assert_uint_eq(ext_labels_waiting(fx.app.labels), 0);
    if (BEGUN[_i].phase)
        annotate(&fx, "pods/ml/p-0", "hami.io/bind-phase", BEGUN[_i].phase);
    if (BEGUN[_i].status)
        fx_patch(&fx, "pods/ml/p-0", BEGUN[_i].status);
    ck_assert_msg(waits(&fx, 1), "%s: not seen", BEGUN[_i].name);
    ext_labels_round(fx.app.labels);
    ck_assert_msg(is_labelled(&fx, "p-0", "node-a"), "%s: not labelled", BEGUN[_i].name);
    watched(&fx);
    const uint64_t writes = kube_store_writes(fx.store);
    ext_labels_round(fx.app.labels);
    ck_assert_uint_eq(ext_labels_waiting(fx.app.labels), 0);
    ck_assert_msg(kube_store_writes(fx.store) == writes, "%s: once is enough", BEGUN[_i].name);
    fx_close(&fx);
}
END_TEST

START_TEST(nothing_is_written_where_the_binding_brings_it)
{
    struct fx fx;
    open_old(&fx, CLUSTER, true);
    bind(&fx, "p-0", "node-a");
    ck_assert(is_labelled(&fx, "p-0", "node-a"));
    serve(&fx, "p-0", "node-a", "\"success\"");
    watched(&fx);
    ck_assert_uint_eq(ext_labels_waiting(fx.app.labels), 0);
    fx_close(&fx);
}
END_TEST

/* The next process finds those that the last one did not come to. */
START_TEST(a_restart_finds_them_again)
{
    struct fx fx;
    open_old(&fx, CLUSTER, false);
    for (int i = 0; i < 6; i++) {
        char pod[8];
        snprintf(pod, sizeof(pod), "p-%d", i);
        bind(&fx, pod, "node-a");
        serve(&fx, pod, "node-a", "\"success\"");
    }
    ck_assert(waits(&fx, 6));
    fx_restart(&fx);
    ck_assert(waits(&fx, 6));
    ext_labels_round(fx.app.labels);
    ck_assert_msg(ext_labels_waiting(fx.app.labels) == 2, "a round has four writes");
    ext_labels_round(fx.app.labels);
    for (int i = 0; i < 6; i++) {
        char pod[8];
        snprintf(pod, sizeof(pod), "p-%d", i);
        ck_assert_msg(is_labelled(&fx, pod, "node-a"), "%s", pod);
    }
    fx_close(&fx);
}
END_TEST

/* Under the resourceVersion that was seen: whoever writes between goes first, and is not undone. */
START_TEST(a_pod_that_has_changed_is_seen_first)
{
    struct fx fx;
    struct err err;
    open_old(&fx, CLUSTER, false);
    bind(&fx, "p-0", "node-a");
    serve(&fx, "p-0", "node-a", "\"success\"");
    ck_assert(waits(&fx, 1));
    watched(&fx);
    ext_reflector_stop(fx.reflector);
    annotate(&fx, "pods/ml/p-0", "somebody", "\"else\"");
    ext_labels_round(fx.app.labels);
    ck_assert(!is_labelled(&fx, "p-0", "node-a"));
    ck_assert_uint_eq(ext_labels_waiting(fx.app.labels), 0);
    ck_assert(!ext_reflector_start(&fx.app, &fx.reflector, &err));
    ck_assert(waits(&fx, 1)); /* its event brings it */
    fx_patch(&fx, "pods/ml/p-0", NULL);
    watched(&fx);
    ext_labels_round(fx.app.labels); /* gone: nobody to label */
    ck_assert_uint_eq(ext_labels_waiting(fx.app.labels), 0);
    fx_close(&fx);
}
END_TEST

START_TEST(a_server_in_trouble_is_left_alone_for_a_while)
{
    struct fx fx;
    open_old(&fx, CLUSTER, false);
    for (int i = 0; i < 2; i++) {
        const char *pod = i ? "p-1" : "p-0";
        bind(&fx, pod, "node-a");
        serve(&fx, pod, "node-a", "\"success\"");
    }
    ck_assert(waits(&fx, 2));
    watched(&fx);
    const struct kube_fault_rule busy = {KUBE_FAULT_STATUS, .verb = KUBE_PATCH, .kind = KUBE_POD,
                                         .status = 429};
    kube_store_fault(fx.store, &busy);
    ext_labels_round(fx.app.labels);
    ck_assert_msg(ext_labels_waiting(fx.app.labels) == 2, "nobody is lost");
    ext_labels_round(fx.app.labels);
    ck_assert_msg(!is_labelled(&fx, "p-0", "node-a") && !is_labelled(&fx, "p-1", "node-a"),
                  "tried again at once");
    fx.mono_skew_ms += 5000;
    ext_labels_round(fx.app.labels);
    ck_assert(is_labelled(&fx, "p-0", "node-a") && is_labelled(&fx, "p-1", "node-a"));
    fx_close(&fx);
}
END_TEST

START_TEST(a_long_node_name_is_no_label)
{
    struct fx fx;
    open_old(&fx, NODE(LONG_NAME) POD("p-0"), false);
    bind(&fx, "p-0", LONG_NAME);
    serve(&fx, "p-0", LONG_NAME, "\"success\"");
    watched(&fx);
    ck_assert_uint_eq(ext_labels_waiting(fx.app.labels), 0);
    fx_close(&fx);
}
END_TEST

int main(void)
{
    json_object_seed(1);
    Suite *s = suite_create("label");
    TCase *tc = tcase_create("label");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, labelled_when_nobody_allocates_any_more, 0,
                        sizeof(BEGUN) / sizeof(BEGUN[0]));
    tcase_add_test(tc, nothing_is_written_where_the_binding_brings_it);
    tcase_add_test(tc, a_restart_finds_them_again);
    tcase_add_test(tc, a_pod_that_has_changed_is_seen_first);
    tcase_add_test(tc, a_server_in_trouble_is_left_alone_for_a_while);
    tcase_add_test(tc, a_long_node_name_is_no_label);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
