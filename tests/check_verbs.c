/* filter, prioritize and bind from bytes to bytes, over the in-process API store: the worked trace
 * of contract/core.md 17, refusals, holds, and every outcome that each write of a bind can have. */
#include "verbs_fixture.h"

#include "extender/turn.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- clusters ---- */

#define CARD(id, index, mem)                                                                       \
    "{\"id\":\"" id "\",\"index\":" #index ",\"count\":10,\"devmem\":" #mem                        \
    ",\"devcore\":100,\"type\":\"NVIDIA A10\",\"mode\":\"hami-core\",\"health\":true}"
#define NODE(name, cards)                                                                          \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"" name                 \
    "\",\"uid\":\"uid-" name "\",\"annotations\":{\"hami.io/node-nvidia-register\":'[" cards       \
    "]'}},\"status\":{\"allocatable\":{\"cpu\":\"32\",\"memory\":\"128Gi\",\"nvidia.com/"          \
    "gpu\":\"20\"}}}\n"
#define POD_HEAD(ns, name)                                                                         \
    "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: " name "\n  namespace: " ns                \
    "\n  uid: uid-" name "\n"
#define WANTS(gpu, mem, cores)                                                                     \
    "    resources:\n      limits:\n        nvidia.com/gpu: \"" #gpu                               \
    "\"\n        nvidia.com/gpumem: \"" #mem "\"\n        nvidia.com/gpucores: \"" #cores "\"\n"
#define WAITING(ns, name, gpu, mem, cores)                                                         \
    POD_HEAD(ns, name)                                                                             \
    "spec:\n  schedulerName: cardinal-scheduler\n  containers:\n  - name: main\n    image: "       \
    "x\n" WANTS(gpu, mem, cores) "status:\n  phase: Pending\n"
#define RUNNING(ns, name, node, list, gpu, mem, cores)                                             \
    POD_HEAD(ns, name)                                                                             \
    "  annotations:\n    hami.io/vgpu-node: " node "\n    hami.io/vgpu-devices-allocated: \"" list \
    "\"\n"                                                                                         \
    "    hami.io/vgpu-devices-to-allocate: \";;\"\nspec:\n  nodeName: " node                       \
    "\n  containers:\n  - name: main\n    image: x\n" WANTS(gpu, mem,                              \
                                                            cores) "status:\n  phase: Running\n"

#define TRACE                                                                                      \
    NODE("node-a", CARD("GPU-a", 0, 24576) "," CARD("GPU-b", 1, 24576))                            \
    NODE("node-b", CARD("GPU-c", 0, 24576) "," CARD("GPU-d", 1, 24576))                            \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"node-c\",\"uid\":"     \
    "\"uid-node-c\"}}\n" RUNNING("ml", "old-0", "node-a", "GPU-a,NVIDIA,6144,30:;", 1, 6144, 30)   \
        RUNNING("ml", "old-1", "node-a", "GPU-a,NVIDIA,6144,30:;", 1, 6144, 30)                    \
            WAITING("ml", "train-0", 1, 4000, 20) WAITING("ml", "big-0", 1, 25000, 20)

static const char *const ABC[] = {"node-a", "node-b", "node-c", NULL};

static const char *str_at(const json_t *root, const char *a, const char *b, const char *c)
{
    const json_t *v = json_object_get(root, a);
    if (b)
        v = json_object_get(v, b);
    if (c)
        v = json_object_get(v, c);
    return json_is_string(v) ? json_string_value(v) : NULL;
}

static void want_json(const char *name, json_t *got, const char *want)
{
    json_t *expected = json_loads(want, JSON_DECODE_ANY, NULL);
    ck_assert_msg(expected != NULL, "%s: bad test", name);
    char *text = got ? json_dumps(got, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS) : NULL;
    ck_assert_msg(got && json_equal(got, expected), "%s: got %s, want %s", name,
                  text ? text : "no JSON", want);
    free(text);
    json_decref(expected);
    json_decref(got);
}

static void want_bind(struct fx *fx, const char *name, const char *pod, const char *node,
                      const char *error)
{
    unsigned status;
    json_t *got = fx_call(fx, "POST", "/bind", fx_bind_args(fx, "ml", pod, node), &status);
    ck_assert_uint_eq(status, 200);
    const char *text = str_at(got, "Error", NULL, NULL);
    ck_assert_msg(text && (error[0] ? strstr(text, error) != NULL : text[0] == '\0'),
                  "%s: bind of %s answered \"%s\", want \"%s\"", name, pod, text ? text : "(none)",
                  error);
    json_decref(got);
}

/* Until the outcome of every bind is known, on a clock that runs ahead. */
static void settle(struct fx *fx)
{
    for (int i = 0; i < 10000 && ext_binds_unsettled(fx->app.binds) > 0; i++) {
        fx->mono_skew_ms += 50;
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    ck_assert_uint_eq(ext_binds_unsettled(fx->app.binds), 0);
}

/* ---- core.md 17 ---- */

START_TEST(worked_trace)
{
    struct fx fx;
    fx_open(&fx, TRACE, NULL);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 2, 12288));
    unsigned status;
    want_json("filter",
              fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "train-0", ABC), &status),
              "{\"Nodes\":null,\"NodeNames\":[\"node-a\",\"node-b\"],\"FailedNodes\":null,"
              "\"FailedAndUnresolvableNodes\":null,\"Error\":\"\"}");
    want_json(
        "filter, all reasons",
        fx_call(&fx, "POST", "/filter?reasons=all", fx_args(&fx, "ml", "train-0", ABC), &status),
        "{\"Nodes\":null,\"NodeNames\":[\"node-a\",\"node-b\"],\"FailedNodes\":null,"
        "\"FailedAndUnresolvableNodes\":{\"node-c\":\"NodeUnregistered\"},\"Error\":\"\"}");
    want_json("prioritize",
              fx_call(&fx, "POST", "/prioritize", fx_args(&fx, "ml", "train-0", ABC), &status),
              "[{\"Host\":\"node-a\",\"Score\":10},{\"Host\":\"node-b\",\"Score\":0},{\"Host\":"
              "\"node-c\",\"Score\":0}]");
    want_bind(&fx, "bind", "train-0", "node-a", "");

    json_t *pod = fx_object(&fx, "pods/ml/train-0");
    const char *const WANT[][2] = {
        {"hami.io/vgpu-devices-allocated", "GPU-b,NVIDIA,4000,20:;"},
        {"hami.io/vgpu-devices-to-allocate", "GPU-b,NVIDIA,4000,20:;"},
        {"hami.io/vgpu-node", "node-a"},
        {"hami.io/vgpu-time", "1790000000"},
        {"hami.io/bind-time", "1790000000"},
        {"hami.io/bind-phase", "allocating"},
    };
    for (size_t i = 0; i < sizeof(WANT) / sizeof(WANT[0]); i++) {
        const char *got = str_at(pod, "metadata", "annotations", WANT[i][0]);
        ck_assert_msg(got && !strcmp(got, WANT[i][1]), "%s: %s", WANT[i][0], got ? got : "(none)");
    }
    ck_assert_str_eq(str_at(pod, "metadata", "labels", "hami.io/vgpu-node"), "node-a");
    ck_assert_str_eq(str_at(pod, "spec", "nodeName", NULL), "node-a");
    json_decref(pod);
    json_t *node = fx_object(&fx, "nodes/node-a");
    ck_assert_str_eq(str_at(node, "metadata", "annotations", "hami.io/mutex.lock"),
                     "2026-09-21T14:13:20Z,ml,train-0");
    json_decref(node);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-b", 1, 4000));

    want_json(
        "too big", fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "big-0", ABC), &status),
        "{\"Nodes\":null,\"NodeNames\":null,\"FailedNodes\":null,\"FailedAndUnresolvableNodes\":{"
        "\"node-a\":\"CardInsufficientMemory\",\"node-b\":\"CardInsufficientMemory\",\"node-c\":"
        "\"NodeUnregistered\"},\"Error\":\"\"}");

    fx_patch(&fx, "pods/ml/train-0", "{\"status\":{\"phase\":\"Succeeded\"}}");
    ck_assert_msg(fx_wait_used(&fx, "node-a", "GPU-b", 0, 0),
                  "a pod that succeeded gives its share back");
    fx_close(&fx);
}
END_TEST

START_TEST(spread_takes_the_emptier_node)
{
    struct fx fx;
    struct fx_options opt = {.node_policy = "spread", .card_policy = "binpack", .shortlist = 1};
    fx_open(&fx, TRACE, &opt);
    unsigned status;
    want_json("spread",
              fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "train-0", ABC), &status),
              "{\"Nodes\":null,\"NodeNames\":[\"node-b\"],\"FailedNodes\":null,"
              "\"FailedAndUnresolvableNodes\":null,\"Error\":\"\"}");
    fx_close(&fx);
}
END_TEST

START_TEST(pod_annotations_overrule_the_policies)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = 1};
    fx_open(&fx, TRACE, &opt);
    fx_patch(&fx, "pods/ml/train-0",
             "{\"metadata\":{\"annotations\":{\"hami.io/"
             "node-scheduler-policy\":\"spread\",\"hami.io/gpu-scheduler-policy\":\"binpack\"}}}");
    unsigned status;
    want_json("spread",
              fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "train-0", ABC), &status),
              "{\"Nodes\":null,\"NodeNames\":[\"node-b\"],\"FailedNodes\":null,"
              "\"FailedAndUnresolvableNodes\":null,\"Error\":\"\"}");
    want_bind(&fx, "binpack cards", "train-0", "node-a", "");
    json_t *pod = fx_object(&fx, "pods/ml/train-0");
    ck_assert_str_eq(str_at(pod, "metadata", "annotations", "hami.io/vgpu-devices-allocated"),
                     "GPU-a,NVIDIA,4000,20:;");
    json_decref(pod);
    fx_close(&fx);
}
END_TEST

/* ---- what is no question at all ---- */

static const struct {
    const char *name, *target, *body;
    unsigned status;
    const char *contains; /* of the Error; "" an empty one */
} HOSTILE[] = {
    {"empty body", "/filter", "", 200, "extender args"},
    {"truncated", "/filter", "{\"Pod\":{\"metadata\"", 200, "extender args"},
    {"not an object", "/filter", "[]", 200, "extender args"},
    {"no pod", "/filter", "{}", 200, "extender args missing pod"},
    {"null pod", "/filter", "{\"Pod\":null,\"NodeNames\":[\"node-a\"]}", 200,
     "extender args missing pod"},
    {"pod is a number", "/filter", "{\"Pod\":7,\"NodeNames\":[\"node-a\"]}", 200, "Pod"},
    {"two values", "/filter", "{}{}", 200, "extender args"},
    {"names are numbers", "/filter",
     "{\"Pod\":{\"metadata\":{\"name\":\"p\",\"namespace\":\"ml\",\"uid\":\"u\"},\"spec\":{"
     "\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":{\"nvidia.com/"
     "gpu\":\"1\"}}}]}},\"NodeNames\":[1]}",
     200, "NodeNames"},
    {"null names, null nodes, asks for cards", "/filter",
     "{\"Pod\":{\"metadata\":{\"name\":\"p\",\"namespace\":\"ml\",\"uid\":\"u\"},\"spec\":{"
     "\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":{\"nvidia.com/"
     "gpu\":\"1\"}}}]}},\"Nodes\":null,\"NodeNames\":null}",
     200, "both null"},
    {"invalid UTF-8 in a name", "/filter",
     "{\"Pod\":{\"metadata\":{\"name\":\"p\",\"namespace\":\"ml\",\"uid\":\"u\"},\"spec\":{"
     "\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":{\"nvidia.com/"
     "gpu\":\"1\"}}}]}},\"NodeNames\":[\"\xff\"]}",
     200, "not UTF-8"},
    {"prioritize without pod", "/prioritize", "{}", 400, NULL},
    {"bind of nothing", "/bind", "{}", 200, "PodName"},
    {"bind, null name", "/bind",
     "{\"PodName\":null,\"PodNamespace\":\"ml\",\"PodUID\":\"u\",\"Node\":\"node-a\"}", 200,
     "PodName"},
    {"bind of an unknown pod", "/bind",
     "{\"PodName\":\"nobody\",\"PodNamespace\":\"ml\",\"PodUID\":\"u\",\"Node\":\"node-a\"}", 200,
     "not found"},
    {"bind with another UID", "/bind",
     "{\"PodName\":\"train-0\",\"PodNamespace\":\"ml\",\"PodUID\":\"u\",\"Node\":\"node-a\"}", 200,
     "another UID"},
};

START_TEST(hostile_bodies)
{
    struct fx fx;
    fx_open(&fx, TRACE, NULL);
    unsigned status;
    json_t *got = fx_call(&fx, "POST", HOSTILE[_i].target, HOSTILE[_i].body, &status);
    ck_assert_msg(status == HOSTILE[_i].status, "%s: status %u", HOSTILE[_i].name, status);
    if (HOSTILE[_i].contains) {
        const char *error = str_at(got, "Error", NULL, NULL);
        ck_assert_msg(error && strstr(error, HOSTILE[_i].contains), "%s: Error \"%s\"",
                      HOSTILE[_i].name, error ? error : "(none)");
    }
    json_decref(got);
    fx_close(&fx);
}
END_TEST

START_TEST(core_defect_c24_pods_without_cards_pass)
{
    struct fx fx;
    fx_open(&fx, TRACE, NULL);
    unsigned status;
    want_json("names",
              fx_call(&fx, "POST", "/filter",
                      "{\"pod\":{\"metadata\":{\"name\":\"p\",\"namespace\":\"ml\",\"uid\":\"u\"},"
                      "\"spec\":{\"containers\":[{\"name\":\"c\"}]}},"
                      "\"nodes\":null,\"nodenames\":[\"x\",\"node-a\"]}",
                      &status),
              "{\"Nodes\":null,\"NodeNames\":[\"x\",\"node-a\"],\"FailedNodes\":null,"
              "\"FailedAndUnresolvableNodes\":null,\"Error\":\"\"}");
    want_json("nodes",
              fx_call(&fx, "POST", "/filter",
                      "{\"Pod\":{\"metadata\":{\"name\":\"p\",\"namespace\":\"ml\",\"uid\":\"u\"},"
                      "\"spec\":{\"containers\":[{\"name\":\"c\"}]}},"
                      "\"Nodes\":{\"metadata\":{},\"items\":[{\"metadata\":{\"name\":\"n\"}}]},"
                      "\"NodeNames\":null}",
                      &status),
              "{\"Nodes\":{\"metadata\":{},\"items\":[{\"metadata\":{\"name\":\"n\"}}]},"
              "\"NodeNames\":null,\"FailedNodes\":null,"
              "\"FailedAndUnresolvableNodes\":null,\"Error\":\"\"}");
    ck_assert_uint_eq(cluster_holds_count(fx.app.store), 0);
    fx_close(&fx);
}
END_TEST

START_TEST(unreadable_asks_are_refused)
{
    static const struct {
        const char *name, *patch, *code;
    } ROWS[] = {
        {"fractional memory",
         "{\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":\"x\",\"resources\":{\"limits\":{"
         "\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"0.5\"}}}]}}",
         "RequestInvalid: "},
        {"negative memory",
         "{\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":\"x\",\"resources\":{\"limits\":{"
         "\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"-5\"}}}]}}",
         "RequestInvalid: "},
        {"overflowing memory",
         "{\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":\"x\",\"resources\":{\"limits\":{"
         "\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"16Gi\"}}}]}}",
         "RequestInvalid: "},
        {"bad weights",
         "{\"metadata\":{\"annotations\":{\"hami.io/device-scoring-weights\":\"slot=1\"}}}",
         "RequestInvalid: "},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct fx fx;
        fx_open(&fx, TRACE, NULL);
        json_t *pod = fx_object(&fx, "pods/ml/train-0"),
               *patch = json_loads(ROWS[i].patch, 0, NULL);
        json_t *spec = json_object_get(patch, "spec"), *meta = json_object_get(patch, "metadata");
        if (spec)
            json_object_update(json_object_get(pod, "spec"), spec);
        if (meta)
            json_object_update(json_object_get(pod, "metadata"), meta);
        json_t *args = json_pack("{s:o,s:n,s:[s]}", "Pod", pod, "Nodes", "NodeNames", "node-a");
        char *body = json_dumps(args, 0);
        unsigned status;
        json_t *got = fx_call(&fx, "POST", "/filter", body, &status);
        const char *text = str_at(got, "FailedAndUnresolvableNodes", "node-a", NULL);
        ck_assert_msg(text && !strncmp(text, ROWS[i].code, strlen(ROWS[i].code)) &&
                          strlen(text) > strlen(ROWS[i].code) + 10,
                      "%s: %s", ROWS[i].name, text ? text : "(no reason)");
        json_decref(got);
        json_decref(args);
        json_decref(patch);
        free(body);
        fx_close(&fx);
    }
}
END_TEST

/* ---- nodeCacheCapable=false ---- */

START_TEST(whole_nodes)
{
    struct fx fx;
    fx_open(&fx, TRACE, NULL);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 2, 12288));
    json_t *pod = fx_object(&fx, "pods/ml/train-0"), *known = fx_object(&fx, "nodes/node-a");
    json_t *template = fx_object(&fx, "nodes/node-b"), *none = fx_object(&fx, "nodes/node-c");
    json_object_set_new(json_object_get(template, "metadata"), "name", json_string("template-0"));
    json_t *args = json_pack("{s:o,s:{s:{},s:[o,o,o]},s:n}", "Pod", pod, "Nodes", "metadata",
                             "items", known, template, none, "NodeNames");
    char *body = json_dumps(args, 0);
    unsigned status;
    json_t *got = fx_call(&fx, "POST", "/filter?reasons=all", body, &status);
    json_t *items = json_object_get(json_object_get(got, "Nodes"), "items");
    ck_assert_uint_eq(json_array_size(items), 2);
    ck_assert_str_eq(str_at(json_array_get(items, 0), "metadata", "name", NULL), "node-a");
    ck_assert_str_eq(str_at(json_array_get(items, 1), "metadata", "name", NULL), "template-0");
    ck_assert_str_eq(str_at(got, "FailedAndUnresolvableNodes", "node-c", NULL), "NodeUnregistered");
    ck_assert_msg(json_equal(json_array_get(items, 0), known), "a node comes back as it was sent");
    ck_assert_uint_eq(cluster_holds_count(fx.app.store), 1); /* the template is not held */
    json_decref(got);
    json_decref(args);
    free(body);
    fx_close(&fx);
}
END_TEST

/* ---- holds ---- */

#define LAST_SHARE                                                                                 \
    NODE("node-a", CARD("GPU-a", 0, 10000))                                                        \
    NODE("node-b", CARD("GPU-b", 0, 10000))                                                        \
    RUNNING("ml", "old-0", "node-a", "GPU-a,NVIDIA,5000,10:;", 1, 5000, 10)                        \
    WAITING("ml", "p-0", 1, 4000, 10)                                                              \
    WAITING("ml", "p-1", 1, 4000, 10)                                                              \
    WAITING("ml", "p-2", 1, 4000, 10) WAITING("ml", "p-3", 1, 4000, 10)
static const char *const AB[] = {"node-a", "node-b", NULL};
#define ANSWER(names)                                                                              \
    "{\"Nodes\":null,\"NodeNames\":" names                                                         \
    ",\"FailedNodes\":null,\"FailedAndUnresolvableNodes\":null,\"Error\":\"\"}"

START_TEST(core_defect_c34_back_to_back_filters_do_not_promise_one_share_twice)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = 1};
    fx_open(&fx, LAST_SHARE, &opt);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 5000));
    unsigned status;
    /* binpack: node-a has room for one more, node-b for two */
    want_json("first", fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-0", AB), &status),
              ANSWER("[\"node-a\"]"));
    want_json("first again",
              fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-0", AB), &status),
              ANSWER("[\"node-a\"]"));
    want_json("second", fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-1", AB), &status),
              ANSWER("[\"node-b\"]"));
    want_json("third", fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-2", AB), &status),
              ANSWER("[\"node-b\"]"));
    want_json("fourth", fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-3", AB), &status),
              "{\"Nodes\":null,\"NodeNames\":null,\"FailedNodes\":{\"node-a\":\"NodeHeld\",\"node-"
              "b\":\"NodeHeld\"},"
              "\"FailedAndUnresolvableNodes\":null,\"Error\":\"\"}");
    want_bind(&fx, "bind beats holds", "p-3", "node-a", "");
    want_bind(&fx, "full now", "p-0", "node-a", "CardInsufficientMemory");
    fx.mono_skew_ms += CLUSTER_HOLD_MS + 1000;
    want_json("holds have aged",
              fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-0", AB), &status),
              ANSWER("[\"node-b\"]"));
    fx_close(&fx);
}
END_TEST

START_TEST(likely_holds_give_way_to_a_pinned_pick)
{
    struct fx fx;
    fx_open(&fx, LAST_SHARE,
            NULL); /* shortlist 16: both nodes are answered, so both are held as likely */
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 5000));
    unsigned status;
    want_json("first", fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-0", AB), &status),
              ANSWER("[\"node-a\",\"node-b\"]"));
    want_json("second: node-b bears both",
              fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-1", AB), &status),
              ANSWER("[\"node-b\"]"));
    /* node-b: 10000 = certain p-1 4000 + likely p-0 4000, no room for a third; without likely ones
     * it has, and so has node-a, which p-0 was told of first */
    want_json("third: one node, pinned",
              fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-2", AB), &status),
              ANSWER("[\"node-b\"]"));
    want_json("fourth: over the likely one",
              fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-3", AB), &status),
              ANSWER("[\"node-a\"]"));
    fx_close(&fx);
}
END_TEST

/* The pod before it was told of all of them, and kube-scheduler takes one of the better: its bind
 * is on the way there, so that the pin goes to another. */
START_TEST(a_pin_spares_what_others_were_told_first)
{
    static const char *const CBA[] = {"node-c", "node-b", "node-a", NULL};
    struct fx fx;
    fx_open(&fx,
            NODE("node-a", CARD("GPU-a", 0, 10000)) NODE("node-b", CARD("GPU-b", 0, 10000))
                NODE("node-c", CARD("GPU-c", 0, 10000)) WAITING("ml", "p-0", 1, 6000, 10)
                    WAITING("ml", "p-1", 1, 6000, 10) WAITING("ml", "p-2", 1, 6000, 10),
            NULL);
    unsigned status;
    want_json("first", fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-0", CBA), &status),
              ANSWER("[\"node-c\",\"node-b\",\"node-a\"]")); /* as asked, not the best first */
    want_json("second: the one that the first is least likely to take",
              fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-1", ABC), &status),
              ANSWER("[\"node-c\"]"));
    want_json("third", fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-2", ABC), &status),
              ANSWER("[\"node-b\"]"));
    want_bind(&fx, "first", "p-0", "node-a", "");
    want_bind(&fx, "second", "p-1", "node-c", "");
    want_bind(&fx, "third", "p-2", "node-b", "");
    fx_close(&fx);
}
END_TEST

/* A pinned pod is held on a card that no other pinned one is held on: else they would all be held
 * on the best card, and the node's other cards would look free to as many as come. */
START_TEST(pinned_picks_share_out_the_cards)
{
    struct fx fx;
    fx_open(&fx,
            NODE("node-a", CARD("GPU-a", 0, 10000) "," CARD("GPU-b", 1, 10000))
                NODE("node-b", CARD("GPU-c", 0, 10000) "," CARD("GPU-d", 1, 10000))
                    WAITING("ml", "p-0", 1, 6000, 10) WAITING("ml", "p-1", 1, 6000, 10)
                        WAITING("ml", "p-2", 1, 6000, 10) WAITING("ml", "p-3", 1, 6000, 10)
                            WAITING("ml", "p-4", 1, 6000, 10) WAITING("ml", "p-5", 1, 6000, 10)
                                WAITING("ml", "p-6", 1, 6000, 10),
            NULL);
    unsigned status, told[2] = {0, 0};
    const char *const names[] = {"p-0", "p-1", "p-2", "p-3", "p-4", "p-5", "p-6"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        json_t *got = fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", names[i], AB), &status);
        const json_t *listed = json_object_get(got, "NodeNames");
        if (i < 2) { /* likely on both nodes; no card of either is free of them then */
            ck_assert_uint_eq(json_array_size(listed), 2);
        } else if (i < 6) { /* four cards, four pinned pods */
            ck_assert_uint_eq(json_array_size(listed), 1);
            told[strcmp(json_string_value(json_array_get(listed, 0)), "node-a") != 0]++;
        } else {
            ck_assert_msg(json_is_null(listed), "%s was told of a card of another", names[i]);
        }
        json_decref(got);
    }
    ck_assert_uint_eq(told[0], 2);
    ck_assert_uint_eq(told[1], 2);
    fx_close(&fx);
}
END_TEST

START_TEST(soft_wishes_get_all_nodes)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = 1};
    fx_open(&fx, LAST_SHARE, &opt);
    json_t *pod = fx_object(&fx, "pods/ml/p-0");
    json_object_set_new(
        json_object_get(pod, "spec"), "affinity",
        json_loads("{\"nodeAffinity\":{\"preferredDuringSchedulingIgnoredDuringExecution\":[{"
                   "\"weight\":1,\"preference\":{\"matchExpressions\":"
                   "[{\"key\":\"zone\",\"operator\":\"In\",\"values\":[\"a\"]}]}}]}}",
                   0, NULL));
    json_t *args =
        json_pack("{s:o,s:n,s:[s,s]}", "Pod", pod, "Nodes", "NodeNames", "node-b", "node-a");
    char *body = json_dumps(args, 0);
    unsigned status;
    want_json("all, in the order asked", fx_call(&fx, "POST", "/filter", body, &status),
              ANSWER("[\"node-b\",\"node-a\"]"));
    json_decref(args);
    free(body);
    fx_close(&fx);
}
END_TEST

START_TEST(a_sample_carries_one_text)
{
    struct fx fx;
    fx_open(&fx, TRACE, NULL);
    unsigned status;
    static const char *const SAMPLE[] = {"node-b", NULL};
    want_json(
        "the whole cluster's codes",
        fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "big-0", SAMPLE), &status),
        "{\"Nodes\":null,\"NodeNames\":null,\"FailedNodes\":null,\"FailedAndUnresolvableNodes\":{"
        "\"node-b\":\"CardInsufficientMemory, NodeUnregistered\"},\"Error\":\"\"}");
    static const char *const UNKNOWN[] = {"node-a", "node-b", "node-c", "node-z", NULL};
    want_json("an unknown node",
              fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "big-0", UNKNOWN), &status),
              "{\"Nodes\":null,\"NodeNames\":null,\"FailedNodes\":null,"
              "\"FailedAndUnresolvableNodes\":{\"node-a\":\"CardInsufficientMemory\","
              "\"node-b\":\"CardInsufficientMemory\",\"node-c\":\"NodeUnregistered\",\"node-z\":"
              "\"NodeUnknown\"},\"Error\":\"\"}");
    fx_close(&fx);
}
END_TEST

/* ---- quotas ---- */

START_TEST(quota_is_a_step_of_the_decision)
{
    struct fx fx;
    fx_open(&fx,
            TRACE "---\napiVersion: v1\nkind: ResourceQuota\nmetadata:\n  name: q\n  namespace: "
                  "ml\nspec:\n  hard:\n    limits.nvidia.com/gpumem: \"16288\"\n",
            NULL);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 2, 12288));
    unsigned status;
    /* 12288 used of 16288: exactly 4000 left */
    json_t *fits = fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "train-0", ABC), &status);
    ck_assert_uint_eq(json_array_size(json_object_get(fits, "NodeNames")), 2);
    json_decref(fits);
    want_bind(&fx, "within the quota", "train-0", "node-b", "");
    fx_create(&fx, "pods/ml/late-0",
              "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"late-0\","
              "\"namespace\":\"ml\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":"
              "{\"limits\":{\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"1\",\"nvidia.com/"
              "gpucores\":\"1\"}}}]},\"status\":{\"phase\":\"Pending\"}}");
    want_json(
        "nothing left", fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "late-0", AB), &status),
        "{\"Nodes\":null,\"NodeNames\":null,\"FailedNodes\":null,\"FailedAndUnresolvableNodes\":{"
        "\"node-a\":\"NodeUnregistered, ResourceQuotaNotFit\","
        "\"node-b\":\"NodeUnregistered, ResourceQuotaNotFit\"},\"Error\":\"\"}");
    want_bind(&fx, "nor at bind", "late-0", "node-b", "ResourceQuotaNotFit");
    fx_close(&fx);
}
END_TEST

/* ---- bind: repeats, and every outcome of every write ---- */

START_TEST(bind_again_is_bind_once)
{
    struct fx fx;
    fx_open(&fx, TRACE, NULL);
    want_bind(&fx, "first", "train-0", "node-b", "");
    uint64_t writes = kube_store_writes(fx.store);
    want_bind(&fx, "same again", "train-0", "node-b", "");
    ck_assert(fx_wait_state(&fx, "uid-train-0", CLUSTER_STATE_BOUND));
    want_bind(&fx, "same again, seen by the watch", "train-0", "node-b", "");
    want_bind(&fx, "elsewhere", "train-0", "node-a", "bound");
    json_t *pod = fx_object(&fx, "pods/ml/train-0");
    ck_assert_str_eq(str_at(pod, "spec", "nodeName", NULL), "node-b");
    json_decref(pod);
    ck_assert(fx_wait_used(&fx, "node-b", "GPU-c", 1, 4000));
    (void)writes;
    fx_close(&fx);
}
END_TEST

/* A Binding that a process before this one had sent landed behind our back, with another card: that
 * card is charged, not the one that was decided now. */
START_TEST(bound_by_the_process_before)
{
    struct fx fx;
    fx_open(&fx, TRACE, NULL);
    ck_assert(fx_wait_state(&fx, "uid-train-0", CLUSTER_STATE_WAITING));
    ext_reflector_stop(fx.reflector);
    fx.reflector = NULL;
    struct kube_request req = {
        .verb = KUBE_BIND,
        .kind = KUBE_POD,
        .ns = STR("ml"),
        .name = STR("train-0"),
        .body =
            STR("{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":\"train-0\","
                "\"annotations\":{\"hami.io/vgpu-devices-allocated\":\"GPU-a,NVIDIA,4000,20:;\"}},"
                "\"target\":{\"kind\":\"Node\",\"name\":\"node-a\"}}"),
        .timeout_ms = 1000};
    struct kube_response resp;
    struct err err;
    ck_assert_msg(!kube_call(fx.app.kube, &req, &resp, &err), "%s", err.text);
    kube_response_done(&resp);
    want_bind(&fx, "bind", "train-0", "node-a", "");
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 3, 16288));
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-b", 0, 0));
    ck_assert(!ext_reflector_start(&fx.app, &fx.reflector, &err));
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 3, 16288));
    fx_close(&fx);
}
END_TEST

START_TEST(core_defect_c10_stale_allocation_keys_are_cleaned_first)
{
    struct fx fx;
    fx_open(&fx, TRACE, NULL);
    fx_patch(&fx, "pods/ml/train-0",
             "{\"metadata\":{\"annotations\":{\"hami.io/vgpu-mig-allocations\":\"[]\",\"hami.io/"
             "vgpu-devices-allocated\":\"GPU-c,NVIDIA,1,1:;\"}}}");
    ck_assert(fx_wait_state(&fx, "uid-train-0", CLUSTER_STATE_WAITING));
    unsigned status;
    json_decref(fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "train-0", ABC), &status));
    want_bind(&fx, "bind", "train-0", "node-a", "");
    json_t *pod = fx_object(&fx, "pods/ml/train-0");
    ck_assert_ptr_null(str_at(pod, "metadata", "annotations", "hami.io/vgpu-mig-allocations"));
    ck_assert_str_eq(str_at(pod, "metadata", "annotations", "hami.io/vgpu-devices-allocated"),
                     "GPU-b,NVIDIA,4000,20:;");
    json_decref(pod);
    fx_close(&fx);
}
END_TEST

START_TEST(a_held_lock_is_a_retriable_refusal)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 1500};
    fx_open(&fx, TRACE, &opt);
    fx_patch(&fx, "nodes/node-a",
             "{\"metadata\":{\"annotations\":{\"hami.io/"
             "mutex.lock\":\"2026-09-21T14:13:00Z,ml,old-0\"}}}");
    want_bind(&fx, "contended", "train-0", "node-a", "node lock contention");
    ck_assert_msg(fx_wait_used(&fx, "node-a", "GPU-b", 0, 0),
                  "a refused bind gives its share back");
    json_t *node = fx_object(&fx, "nodes/node-a");
    ck_assert_str_eq(str_at(node, "metadata", "annotations", "hami.io/mutex.lock"),
                     "2026-09-21T14:13:00Z,ml,old-0");
    json_decref(node);
    fx_patch(&fx, "nodes/node-a", "{\"metadata\":{\"annotations\":{\"hami.io/mutex.lock\":null}}}");
    want_bind(&fx, "after the release", "train-0", "node-a", "");
    fx_close(&fx);
}
END_TEST

/* Its plugin died before it could give the lock back; or it has not begun, or has cards to come. */
static const struct {
    const char *name, *list;
    bool begun, bound;
} HOLDERS[] = {
    {"served, and begun", ";;", true, true},
    {"served, and not begun", ";;", false, false},
    {"begun, and not served", "GPU-a,NVIDIA,6144,30:;", true, false},
};

START_TEST(a_lock_that_nobody_gives_back_goes_with_its_use)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 1500};
    char body[256];
    fx_open(&fx, TRACE, &opt);
    snprintf(body, sizeof(body),
             "{\"metadata\":{\"annotations\":{\"hami.io/vgpu-devices-to-allocate\":\"%s\"}}}",
             HOLDERS[_i].list);
    fx_patch(&fx, "pods/ml/old-0", body);
    if (HOLDERS[_i].begun)
        fx_patch(&fx, "pods/ml/old-0",
                 "{\"status\":{\"containerStatuses\":[{\"name\":\"main\",\"state\":{\"running\":{}}"
                 "}]}}");
    fx_patch(&fx, "nodes/node-a",
             "{\"metadata\":{\"annotations\":{\"hami.io/"
             "mutex.lock\":\"2026-09-21T14:13:00Z,ml,old-0\"}}}");
    want_bind(&fx, HOLDERS[_i].name, "train-0", "node-a",
              HOLDERS[_i].bound ? "" : "node lock contention");
    json_t *node = fx_object(&fx, "nodes/node-a");
    ck_assert_str_eq(str_at(node, "metadata", "annotations", "hami.io/mutex.lock"),
                     HOLDERS[_i].bound ? "2026-09-21T14:13:20Z,ml,train-0"
                                       : "2026-09-21T14:13:00Z,ml,old-0");
    json_decref(node);
    fx_close(&fx);
}
END_TEST

enum end { BOUND, NOT_BOUND };
static const struct {
    const char *name;
    struct kube_fault_rule rule;
    const char *error; /* what kube-scheduler reads; "": success */
    enum end end;
} FAULTS[] = {
    {"binding: no connection", {KUBE_FAULT_REFUSED, .verb = KUBE_BIND, .kind = -1}, "", NOT_BOUND},
    {"binding: 400",
     {KUBE_FAULT_STATUS, .verb = KUBE_BIND, .kind = -1, .status = 400},
     "",
     NOT_BOUND},
    {"binding: 403",
     {KUBE_FAULT_STATUS, .verb = KUBE_BIND, .kind = -1, .status = 403},
     "",
     NOT_BOUND},
    {"binding: 404",
     {KUBE_FAULT_STATUS, .verb = KUBE_BIND, .kind = -1, .status = 404},
     "",
     NOT_BOUND},
    {"binding: 409 once",
     {KUBE_FAULT_STATUS, .verb = KUBE_BIND, .kind = -1, .status = 409},
     NULL,
     BOUND},
    {"binding: 409 always",
     {KUBE_FAULT_STATUS, .verb = KUBE_BIND, .kind = -1, .status = 409, .times = 100},
     "",
     NOT_BOUND},
    {"binding: 422",
     {KUBE_FAULT_STATUS, .verb = KUBE_BIND, .kind = -1, .status = 422},
     "",
     NOT_BOUND},
    {"binding: 429",
     {KUBE_FAULT_STATUS, .verb = KUBE_BIND, .kind = -1, .status = 429, .retry_after_s = 1},
     "",
     NOT_BOUND},
    {"binding: 500",
     {KUBE_FAULT_STATUS, .verb = KUBE_BIND, .kind = -1, .status = 500},
     "",
     NOT_BOUND},
    {"binding: no answer, never done",
     {KUBE_FAULT_TIMEOUT_NEVER, .verb = KUBE_BIND, .kind = -1},
     "",
     NOT_BOUND},
    {"binding: no answer, done later",
     {KUBE_FAULT_TIMEOUT_LATER, .verb = KUBE_BIND, .kind = -1},
     "",
     NOT_BOUND},
    {"binding: done, answer cut",
     {KUBE_FAULT_CUT_DONE, .verb = KUBE_BIND, .kind = -1},
     NULL,
     BOUND},
    {"lock: no connection",
     {KUBE_FAULT_REFUSED, .verb = KUBE_PATCH, .kind = KUBE_NODE},
     "",
     NOT_BOUND},
    {"lock: 403",
     {KUBE_FAULT_STATUS, .verb = KUBE_PATCH, .kind = KUBE_NODE, .status = 403},
     "",
     NOT_BOUND},
    {"lock: 404",
     {KUBE_FAULT_STATUS, .verb = KUBE_PATCH, .kind = KUBE_NODE, .status = 404},
     "",
     NOT_BOUND},
    {"lock: 422 once (lost race)",
     {KUBE_FAULT_STATUS, .verb = KUBE_PATCH, .kind = KUBE_NODE, .status = 422},
     NULL,
     BOUND},
    {"lock: 429",
     {KUBE_FAULT_STATUS, .verb = KUBE_PATCH, .kind = KUBE_NODE, .status = 429},
     "",
     NOT_BOUND},
    {"lock: no answer, never done",
     {KUBE_FAULT_TIMEOUT_NEVER, .verb = KUBE_PATCH, .kind = KUBE_NODE},
     "",
     NOT_BOUND},
    {"lock: done, answer cut",
     {KUBE_FAULT_CUT_DONE, .verb = KUBE_PATCH, .kind = KUBE_NODE},
     "",
     NOT_BOUND},
    {"lock: node can't be read", /* which it is when our watch shows a lock: nobody's */
     {KUBE_FAULT_REFUSED, .verb = KUBE_GET, .kind = KUBE_NODE},
     "",
     NOT_BOUND},
};

static void lock_by_nobody(struct fx *fx)
{
    bool seen = false;
    fx_patch(fx, "nodes/node-a",
             "{\"metadata\":{\"annotations\":{\"hami.io/mutex.lock\":\"nobody's\"}}}");
    for (int i = 0; i < 2500 && !seen; i++) {
        struct cluster_snapshot *snap = cluster_store_snapshot(fx->app.store);
        seen = cluster_snapshot_find(snap, STR("node-a"))->lock.p != NULL;
        cluster_snapshot_unref(snap);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    ck_assert(seen);
}

/* After each outcome: no charge, lock or binding that shouldn't be, none missing, and the next try
 * succeeds. */
START_TEST(bind_faults)
{
    struct fx fx;
    fx_open(&fx, TRACE, NULL);
    if (FAULTS[_i].rule.verb == KUBE_GET)
        lock_by_nobody(&fx);
    kube_store_fault(fx.store, &FAULTS[_i].rule);
    unsigned status;
    json_t *got =
        fx_call(&fx, "POST", "/bind", fx_bind_args(&fx, "ml", "train-0", "node-a"), &status);
    const char *error = str_at(got, "Error", NULL, NULL);
    ck_assert_ptr_nonnull(error);
    if (FAULTS[_i].end == BOUND)
        ck_assert_msg(error[0] == '\0', "%s: %s", FAULTS[_i].name, error);
    else
        ck_assert_msg(error[0] != '\0', "%s: success was told", FAULTS[_i].name);
    json_decref(got);
    kube_store_fault_clear(fx.store);
    kube_store_late(fx.store); /* what the server may still do comes now */

    json_t *pod = fx_object(&fx, "pods/ml/train-0");
    bool bound = str_at(pod, "spec", "nodeName", NULL) != NULL;
    json_decref(pod);
    ck_assert_msg(bound == (FAULTS[_i].end == BOUND), "%s: bound %d", FAULTS[_i].name, bound);
    settle(&fx);
    json_t *node = fx_object(&fx, "nodes/node-a");
    const char *lock = str_at(node, "metadata", "annotations", "hami.io/mutex.lock");
    if (FAULTS[_i].rule.verb == KUBE_GET)
        ck_assert_str_eq(lock, "nobody's");
    else
        ck_assert_msg((lock != NULL) == bound, "%s: lock %s", FAULTS[_i].name,
                      lock ? lock : "(none)");
    json_decref(node);
    ck_assert_msg(fx_wait_used(&fx, "node-a", "GPU-b", bound ? 1 : 0, bound ? 4000 : 0),
                  "%s: charge", FAULTS[_i].name);

    want_bind(&fx, FAULTS[_i].name, "train-0", "node-a", "");
    ck_assert_msg(fx_wait_used(&fx, "node-a", "GPU-b", 1, 4000), "%s: next try", FAULTS[_i].name);
    fx_close(&fx);
}
END_TEST

START_TEST(core_defect_c41_no_write_after_the_bind_timeout)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 2000};
    fx_open(&fx, TRACE, &opt);
    uint64_t before = kube_store_writes(fx.store);
    fx.request_age_ms = 2500; /* it waited for a worker longer than its budget */
    want_bind(&fx, "late", "train-0", "node-a", "--bind-timeout is over");
    json_t *pod = fx_object(&fx, "pods/ml/train-0"), *node = fx_object(&fx, "nodes/node-a");
    ck_assert_ptr_null(str_at(pod, "spec", "nodeName", NULL));
    ck_assert_ptr_null(str_at(node, "metadata", "annotations", "hami.io/mutex.lock"));
    json_decref(pod);
    json_decref(node);
    ck_assert(kube_store_writes(fx.store) - before <= 1); /* its event at most */
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-b", 0, 0));
    fx_close(&fx);
}
END_TEST

#define LONG_NAME "a-node-with-a-name-that-is-longer.than-the-63-bytes.of-a-label-value.example"

START_TEST(core_defect_c28_a_long_node_name_is_no_label)
{
    struct fx fx;
    fx_open(&fx, NODE(LONG_NAME, CARD("GPU-l", 0, 24576)) WAITING("ml", "train-0", 1, 4000, 20),
            NULL);
    want_bind(&fx, "bind", "train-0", LONG_NAME, "");
    json_t *pod = fx_object(&fx, "pods/ml/train-0");
    ck_assert_str_eq(str_at(pod, "metadata", "annotations", "hami.io/vgpu-node"), LONG_NAME);
    ck_assert_ptr_null(str_at(pod, "metadata", "labels", "hami.io/vgpu-node"));
    ck_assert_str_eq(str_at(pod, "spec", "nodeName", NULL), LONG_NAME);
    json_decref(pod);
    ck_assert(fx_wait_used(&fx, LONG_NAME, "GPU-l", 1, 4000));
    fx_close(&fx);
}
END_TEST

/* ---- the ledger afterwards ---- */

START_TEST(a_relist_and_a_restart_find_the_same_use)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = -1, .old_server = true};
    fx_open(&fx, TRACE, &opt);
    want_bind(&fx, "bind", "train-0", "node-b", "");
    ck_assert(fx_wait_used(&fx, "node-b", "GPU-c", 1, 4000));
    kube_store_drop_watches(fx.store, true); /* 410: list again */
    fx_patch(&fx, "pods/ml/old-0", NULL);
    ck_assert_msg(fx_wait_used(&fx, "node-a", "GPU-a", 1, 6144),
                  "the relist shows a deletion that no event told");
    ck_assert(fx_wait_used(&fx, "node-b", "GPU-c", 1, 4000));

    struct cluster_store *fresh = NULL; /* a restart: from the annotations alone */
    struct err err = {0};
    ext_reflector_stop(fx.reflector);
    struct cluster_store *old = fx.app.store;
    ck_assert(!cluster_store_new(&fx.app.cluster, &fresh, &err));
    fx.app.store = fresh;
    ck_assert(!ext_reflector_start(&fx.app, &fx.reflector, &err));
    ck_assert(fx_wait_used(&fx, "node-b", "GPU-c", 1, 4000));
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 6144));
    cluster_store_free(old);
    fx_close(&fx);
}
END_TEST

/* A list or a streaming list that breaks off proves no absence: what it did not come to stays
 * charged. */
START_TEST(a_cut_relist_ends_nobody)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = -1, .old_server = _i == 0};
    fx_open(&fx, TRACE, &opt);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 2, 12288));
    struct kube_fault_rule cut = {.fault = KUBE_FAULT_CUT_DONE,
                                  .verb = opt.old_server ? KUBE_LIST : KUBE_WATCH,
                                  .kind = KUBE_POD,
                                  .times =
                                      opt.old_server ? 1 : 2}; /* one meets the resumed watch */
    kube_store_fault(fx.store, &cut);
    kube_store_drop_watches(fx.store, true);
    fx_patch(&fx, "pods/ml/old-0", NULL);
    bool seen = false;
    for (int i = 0; i < 10000 && !seen; i++) {
        struct cluster_snapshot *snap = cluster_store_snapshot(fx.app.store);
        const struct cluster_node *node = cluster_snapshot_find(snap, STR("node-a"));
        int used = (int)node->score.devices[0].shares_used;
        cluster_snapshot_unref(snap);
        ck_assert_msg(used > 0, "old-1 runs all the time");
        seen = used == 1;
        struct timespec t = {.tv_nsec = 1000000};
        nanosleep(&t, NULL);
    }
    ck_assert_msg(seen, "the whole list at last shows what is gone");
    fx_close(&fx);
}
END_TEST

/* ---- the audit ---- */

static json_t *audit(struct fx *fx, bool consistent)
{
    unsigned status;
    json_t *got = fx_call(fx, "GET", "/v1/audit", NULL, &status);
    ck_assert_uint_eq(status, 200);
    char *text = json_dumps(got, 0);
    ck_assert_msg(json_is_true(json_object_get(got, "consistent")) == consistent, "%s", text);
    free(text);
    return got;
}

START_TEST(audit_finds_what_disagrees)
{
    struct fx fx;
    fx_open(&fx, TRACE, NULL);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 2, 12288));
    want_bind(&fx, "bind", "train-0", "node-a", "");
    ck_assert(fx_wait_state(&fx, "uid-train-0", CLUSTER_STATE_BOUND));
    json_t *got = audit(&fx, true);
    for (int i = 0; i < 500 && !json_array_size(json_object_get(got, "locks")); i++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL); /* the node's event comes */
        json_decref(got);
        got = audit(&fx, true);
    }
    ck_assert_uint_eq(json_array_size(json_object_get(got, "differences")), 0);
    json_t *locks = json_object_get(got, "locks");
    ck_assert_uint_eq(json_array_size(locks), 1);
    ck_assert_str_eq(str_at(json_array_get(locks, 0), "node", NULL, NULL), "node-a");
    json_decref(got);

    /* somebody edits a running pod's annotation: the decision stays charged, and is told */
    fx_patch(&fx, "pods/ml/train-0",
             "{\"metadata\":{\"annotations\":{\"hami.io/"
             "vgpu-devices-allocated\":\"GPU-b,NVIDIA,5000,20:;\"}}}");
    got = audit(&fx, false);
    const json_t *first = json_array_get(json_object_get(got, "differences"), 0);
    ck_assert_str_eq(str_at(first, "what", NULL, NULL), "pod");
    ck_assert_str_eq(str_at(first, "name", NULL, NULL), "train-0");
    json_decref(got);
    fx_patch(&fx, "pods/ml/train-0",
             "{\"metadata\":{\"annotations\":{\"hami.io/"
             "vgpu-devices-allocated\":\"GPU-b,NVIDIA,4000,20:;\"}}}");
    json_decref(audit(&fx, true));

    /* the watches are away: a deletion and a pod that we have not heard of */
    ext_reflector_stop(fx.reflector);
    fx_patch(&fx, "pods/ml/old-0", NULL);
    got = audit(&fx, false);
    first = json_array_get(json_object_get(got, "differences"), 0);
    ck_assert_str_eq(str_at(first, "name", NULL, NULL), "old-0");
    ck_assert_ptr_nonnull(strstr(str_at(first, "why", NULL, NULL), "no such pod"));
    json_decref(got);
    struct err err;
    ck_assert(!ext_reflector_start(&fx.app, &fx.reflector, &err));
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 6144));
    json_decref(audit(&fx, true));

    /* the API server is away: an answer, no verdict */
    struct kube_fault_rule away = {KUBE_FAULT_REFUSED, .verb = KUBE_LIST, .kind = -1};
    kube_store_fault(fx.store, &away);
    unsigned status;
    got = fx_call(&fx, "GET", "/v1/audit", NULL, &status);
    ck_assert_uint_eq(status, 503);
    json_decref(got);
    kube_store_fault_clear(fx.store);
    json_decref(audit(&fx, true));
    fx_close(&fx);
}
END_TEST

/* A lock that could not be given back is given back later, and must not be the next call's then. */
START_TEST(a_late_release_leaves_the_next_lock_alone)
{
    struct fx fx;
    fx_open(&fx, TRACE, NULL);
    const struct kube_fault_rule cut = {KUBE_FAULT_CUT_DONE, .verb = KUBE_PATCH, .kind = KUBE_NODE};
    const struct kube_fault_rule refused = {KUBE_FAULT_REFUSED, .verb = KUBE_PATCH,
                                            .kind = KUBE_NODE, .times = 4};
    kube_store_fault(fx.store, &cut);
    kube_store_fault(fx.store, &refused); /* the release, and the settling thread's first ones */
    want_bind(&fx, "the lock's outcome is unknown", "train-0", "node-a", "connection");
    ck_assert_uint_eq(ext_binds_unsettled(fx.app.binds), 1);
    unsigned status;
    json_t *got = NULL;
    for (int i = 0; i < 200; i++) { /* kube-scheduler tries again and again */
        json_decref(got);
        got = fx_call(&fx, "POST", "/bind", fx_bind_args(&fx, "ml", "train-0", "node-a"), &status);
        if (str_at(got, "Error", NULL, NULL)[0] == '\0')
            break;
        fx.mono_skew_ms += 50;
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    ck_assert_str_eq(str_at(got, "Error", NULL, NULL), "");
    json_decref(got);
    settle(&fx);
    json_t *node = fx_object(&fx, "nodes/node-a");
    ck_assert_msg(str_at(node, "metadata", "annotations", "hami.io/mutex.lock") != NULL,
                  "the bound pod's lock is its plugin's");
    json_decref(node);
    fx_close(&fx);
}
END_TEST

/* A pod of the same name comes while the bind of the one before is under way. */
START_TEST(core_defect_c21_binds_of_namesakes_follow_one_another)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 300};
    fx_open(&fx, TRACE, &opt);
    struct ext_turn old = {.ns = "ml", .name = "train-0", .uid = "uid-old", .node = "node-a"};
    struct err err = {0};
    ck_assert_int_eq(ext_turn_enter(fx.app.turns, &old, &err), EXT_ENTERED);
    want_bind(&fx, "the lock could be the old one's", "train-0", "node-a", "try again");
    fx.app.config.bind_timeout_ms = 4000;
    want_bind(&fx, "locks of another node", "train-0", "node-b", "");
    ext_turn_leave(&old, &err);
    fx_close(&fx);
}
END_TEST

START_TEST(a_sample_says_held_whichever_nodes_it_has)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = 1};
    fx_open(&fx, LAST_SHARE, &opt);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 5000));
    static const char *const A[] = {"node-a", NULL}, *const B[] = {"node-b", NULL};
    want_bind(&fx, "node-a is full", "p-3", "node-a", "");
    unsigned status;
    json_decref(fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-0", AB), &status));
    json_decref(fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-1", AB), &status));
    json_t *a = fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-2", A), &status);
    json_t *b = fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-2", B), &status);
    const char *of_a = str_at(a, "FailedNodes", "node-a", NULL),
               *of_b = str_at(b, "FailedNodes", "node-b", NULL);
    ck_assert_msg(of_a && of_b && !strcmp(of_a, of_b), "\"%s\" and \"%s\"", of_a ? of_a : "-",
                  of_b ? of_b : "-");
    json_decref(a);
    json_decref(b);
    fx_close(&fx);
}
END_TEST

START_TEST(a_bind_beats_holds_on_the_quota)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = 1};
    fx_open(&fx,
            LAST_SHARE "---\napiVersion: v1\nkind: ResourceQuota\nmetadata:\n  name: q\n  "
                       "namespace: ml\nspec:\n  hard:\n    limits.nvidia.com/gpumem: \"9000\"\n",
            &opt);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 5000));
    unsigned status;
    json_t *got = fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-0", AB), &status);
    ck_assert_uint_eq(json_array_size(json_object_get(got, "NodeNames")), 1);
    json_decref(got);
    want_bind(&fx, "p-0 only holds", "p-1", "node-b", "");
    want_bind(&fx, "nothing left", "p-0", "node-a", "ResourceQuotaNotFit");
    fx_close(&fx);
}
END_TEST

static long relists(struct fx *fx)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    ext_metrics_text(fx->app.metrics, &text);
    buf_char(&text, '\0');
    const char *at = strstr(text.p, "\ncardinald_relists_total ");
    ck_assert_ptr_nonnull(at);
    long n = strtol(strchr(at, ' '), NULL, 10);
    buf_done(&text);
    return n;
}

/* Every watch is too old from its beginning on: lists must not follow each other without a pause.
 */
START_TEST(watches_that_are_always_too_old)
{
    struct fx fx;
    fx_open(&fx, TRACE, NULL);
    long before = relists(&fx);
    const struct kube_fault_rule gone = {KUBE_FAULT_STATUS, .verb = KUBE_WATCH, .kind = KUBE_POD,
                                         .status = 410, .times = 1000000};
    kube_store_fault(fx.store, &gone);
    kube_store_drop_watches(fx.store, true);
    for (int i = 0; i < 500 && relists(&fx) == before; i++) /* it pauses after the cut */
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
    kube_store_fault_clear(fx.store);
    ck_assert_msg(relists(&fx) - before <= 6, "%ld lists in half a second", relists(&fx) - before);
    fx_close(&fx);
}
END_TEST

int main(void)
{
    json_object_seed(1);
    Suite *s = suite_create("verbs");
    TCase *tc = tcase_create("verbs");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, worked_trace);
    tcase_add_test(tc, spread_takes_the_emptier_node);
    tcase_add_test(tc, pod_annotations_overrule_the_policies);
    tcase_add_loop_test(tc, hostile_bodies, 0, sizeof(HOSTILE) / sizeof(HOSTILE[0]));
    tcase_add_test(tc, core_defect_c24_pods_without_cards_pass);
    tcase_add_test(tc, unreadable_asks_are_refused);
    tcase_add_test(tc, whole_nodes);
    tcase_add_test(tc, core_defect_c34_back_to_back_filters_do_not_promise_one_share_twice);
    tcase_add_test(tc, likely_holds_give_way_to_a_pinned_pick);
    tcase_add_test(tc, a_pin_spares_what_others_were_told_first);
    tcase_add_test(tc, pinned_picks_share_out_the_cards);
    tcase_add_test(tc, soft_wishes_get_all_nodes);
    tcase_add_test(tc, a_sample_carries_one_text);
    tcase_add_test(tc, quota_is_a_step_of_the_decision);
    tcase_add_test(tc, bind_again_is_bind_once);
    tcase_add_test(tc, bound_by_the_process_before);
    tcase_add_test(tc, core_defect_c10_stale_allocation_keys_are_cleaned_first);
    tcase_add_test(tc, a_held_lock_is_a_retriable_refusal);
    tcase_add_loop_test(tc, a_lock_that_nobody_gives_back_goes_with_its_use, 0,
                        sizeof(HOLDERS) / sizeof(HOLDERS[0]));
    tcase_add_loop_test(tc, bind_faults, 0, sizeof(FAULTS) / sizeof(FAULTS[0]));
    tcase_add_test(tc, core_defect_c41_no_write_after_the_bind_timeout);
    tcase_add_test(tc, core_defect_c28_a_long_node_name_is_no_label);
    tcase_add_test(tc, a_relist_and_a_restart_find_the_same_use);
    tcase_add_loop_test(tc, a_cut_relist_ends_nobody, 0, 2);
    tcase_add_test(tc, audit_finds_what_disagrees);
    tcase_add_test(tc, a_late_release_leaves_the_next_lock_alone);
    tcase_add_test(tc, core_defect_c21_binds_of_namesakes_follow_one_another);
    tcase_add_test(tc, a_sample_says_held_whichever_nodes_it_has);
    tcase_add_test(tc, a_bind_beats_holds_on_the_quota);
    tcase_add_test(tc, watches_that_are_always_too_old);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
