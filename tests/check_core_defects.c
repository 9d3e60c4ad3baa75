/* Defects of HAMi's core (contract/core.md 16) that show at the verbs, each by its number: what
 * HAMi v2.10 does, and that it does not happen here. Others are shown where their neighbours are;
 * all of them stand in docs/design/compatibility.md. */
#include "verbs_fixture.h"

#include "extender/turn.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- a cluster: two nodes with one card each, and pods that ask for parts of it ---- */

#define LIST_KEY "hami.io/vgpu-devices-allocated"
#define LOCK_KEY "hami.io/mutex.lock"
#define CARD(uuid, index)                                                                          \
    "{\"id\":\"" uuid "\",\"index\":" #index ",\"count\":10,\"devmem\":10000,\"devcore\":100,"     \
    "\"type\":\"NVIDIA A10\",\"mode\":\"hami-core\",\"health\":true}"
#define NODE_OF(name, cards)                                                                       \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"" name                 \
    "\",\"uid\":\"uid-" name "\",\"annotations\":{\"hami.io/node-nvidia-register\":'[" cards       \
    "]'}},\"status\":{\"capacity\":{\"nvidia.com/gpu\":\"20\"},\"allocatable\":{\"nvidia.com/"     \
    "gpu\":\"20\"}}}\n"
#define NODE(name, uuid) NODE_OF(name, CARD(uuid, 0))
#define LIMITS(mem)                                                                                \
    "\"resources\":{\"limits\":{\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"" #mem            \
    "\",\"nvidia.com/gpucores\":\"10\"}}"
#define CONTAINER(name, limits) "{\"name\":\"" name "\",\"image\":\"x\"" limits "}"
#define POD(name, meta, spec)                                                                      \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name                  \
    "\",\"namespace\":\"ml\",\"uid\":\"uid-" name "\"" meta                                        \
    "},\"spec\":{\"schedulerName\":\"cardinal-scheduler\"," spec                                   \
    "},\"status\":{\"phase\":\"Pending\"}}\n"
#define WAITING(name, mem) POD(name, "", "\"containers\":[" CONTAINER("main", "," LIMITS(mem)) "]")
#define TWO_NODES          NODE("node-a", "GPU-a") NODE("node-b", "GPU-b")
#define TWO_CARDS          NODE_OF("node-a", CARD("GPU-a", 0) "," CARD("GPU-b", 1))
#define QUOTA(mib)                                                                                 \
    "---\napiVersion: v1\nkind: ResourceQuota\nmetadata:\n  name: q\n  namespace: ml\nspec:\n  "   \
    "hard:\n    limits.nvidia.com/gpumem: \"" #mib "\"\n"

static const char *const A[] = {"node-a", NULL}, *const AB[] = {"node-a", "node-b", NULL};

static const char *text_at(const json_t *root, const char *a, const char *b, const char *c)
{
    const json_t *v = json_object_get(root, a);
    if (b)
        v = json_object_get(v, b);
    if (c)
        v = json_object_get(v, c);
    return json_is_string(v) ? json_string_value(v) : NULL;
}

/* How many nodes filter answers; the whole answer as *ret (decref it) where that is not NULL. */
static size_t filter_body(struct fx *fx, const char *body, json_t **ret)
{
    unsigned status;
    json_t *got = fx_call(fx, "POST", "/filter", body, &status);
    ck_assert_uint_eq(status, 200);
    json_t *items = json_object_get(json_object_get(got, "Nodes"), "items");
    size_t n = json_array_size(items ? items : json_object_get(got, "NodeNames"));
    if (ret)
        *ret = got;
    else
        json_decref(got);
    return n;
}

static size_t filter(struct fx *fx, const char *pod, const char *const *nodes)
{
    return filter_body(fx, fx_args(fx, "ml", pod, nodes), NULL);
}

/* The answer's Error; static. */
static const char *bind(struct fx *fx, const char *args)
{
    static char error[512];
    unsigned status;
    json_t *got = fx_call(fx, "POST", "/bind", args, &status);
    ck_assert_uint_eq(status, 200);
    const char *text = text_at(got, "Error", NULL, NULL);
    (void)snprintf(error, sizeof(error), "%s", text ? text : "(none)");
    json_decref(got);
    return error;
}

static void ck_binds(struct fx *fx, const char *pod, const char *node)
{
    const char *error = bind(fx, fx_bind_args(fx, "ml", pod, node));
    ck_assert_msg(error[0] == '\0', "bind of %s to %s: %s", pod, node, error);
}

static void ck_does_not_bind(struct fx *fx, const char *args, const char *why)
{
    const char *error = bind(fx, args);
    ck_assert_msg(strstr(error, why) != NULL, "\"%s\" lacks \"%s\"", error, why);
}

static void ck_note(struct fx *fx, const char *path, const char *key, const char *want)
{
    json_t *object = fx_object(fx, path);
    ck_assert_ptr_nonnull(object);
    const char *got = text_at(object, "metadata", "annotations", key);
    ck_assert_msg(want ? got && strcmp(got, want) == 0 : !got, "%s of %s is \"%s\"", key, path,
                  got ? got : "(none)");
    json_decref(object);
}

/* Until our watch has shown what the test wrote: filter answers so many nodes. */
static void ck_will_fit(struct fx *fx, const char *pod, size_t nodes)
{
    size_t fits = filter(fx, pod, A);
    for (int i = 0; i < 5000 && fits != nodes; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        fits = filter(fx, pod, A);
    }
    ck_assert_uint_eq(fits, nodes);
}

/* ---- safety ---- */

/* S3: HAMi writes that pod's annotations, and keeps an entry that no event will ever remove. */
START_TEST(core_defect_s3_an_invented_uid_takes_nothing)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = 1};
    fx_open(&fx, NODE("node-a", "GPU-a") WAITING("p-0", 6000) WAITING("p-1", 6000), &opt);
    json_t *before = fx_object(&fx, "pods/ml/p-0");
    json_t *args = json_loads(fx_args(&fx, "ml", "p-0", A), 0, NULL);
    json_object_set_new(json_object_get(json_object_get(args, "Pod"), "metadata"), "uid",
                        json_string("invented"));
    char *body = json_dumps(args, 0);
    const uint64_t writes = kube_store_writes(fx.store);
    ck_assert_uint_eq(filter_body(&fx, body, NULL), 1);
    ck_assert_uint_eq(kube_store_writes(fx.store), writes);
    json_t *after = fx_object(&fx, "pods/ml/p-0");
    ck_assert(json_equal(before, after));
    ck_assert_uint_eq(filter(&fx, "p-1", A), 0); /* held, as for anybody who asks */
    fx.mono_skew_ms += CLUSTER_HOLD_MS + 1000;
    ck_assert_uint_eq(filter(&fx, "p-1", A), 1);
    for (int i = 0; i < 3; i++) /* and asking again does not hold it for ever */
        (void)filter_body(&fx, body, NULL);
    ck_does_not_bind(&fx,
                     "{\"PodName\":\"p-0\",\"PodNamespace\":\"ml\",\"PodUID\":\"invented\","
                     "\"Node\":\"node-a\"}",
                     "another UID");
    ck_note(&fx, "nodes/node-a", LOCK_KEY, NULL);
    ck_binds(&fx, "p-1", "node-a");
    json_decref(before);
    json_decref(after);
    json_decref(args);
    free(body);
    fx_close(&fx);
}
END_TEST

/* S5: HAMi answers the parse error on every try, until an admin removes the value. */
START_TEST(core_defect_s5_a_malformed_lock_blocks_nobody)
{
    static const char *const LOCKS[] = {"garbage", "", "2026-09-21T14:13:20Z,ml", ",,,,",
                                        "not-a-time,ml,p-1"};
    struct fx fx;
    fx_open(&fx, TWO_NODES WAITING("p-0", 1000), NULL);
    char patch[256];
    (void)snprintf(patch, sizeof(patch),
                   "{\"metadata\":{\"annotations\":{\"" LOCK_KEY "\":\"%s\"}}}", LOCKS[_i]);
    fx_patch(&fx, "nodes/node-a", patch);
    ck_binds(&fx, "p-0", "node-a");
    ck_note(&fx, "nodes/node-a", LOCK_KEY, "2026-09-21T14:13:20Z,ml,p-0");
    fx_close(&fx);
}
END_TEST

/* ---- what a refused or failed decision leaves ---- */

#define STALE                                                                                      \
    ",\"annotations\":{\"hami.io/vgpu-node\":\"node-a\",\"hami.io/vgpu-time\":\"1789999999\","     \
    "\"" LIST_KEY "\":\"GPU-a,NVIDIA,9000,10:;\","                                                 \
    "\"hami.io/vgpu-devices-to-allocate\":\"GPU-a,NVIDIA,9000,10:;\"}"

/* C6: HAMi drops the reservation of a pod that fits nowhere; at the pod's next update its old
 * annotations bring it back. */
START_TEST(core_defect_c6_a_refused_pod_takes_no_room)
{
    struct fx fx;
    fx_open(&fx,
            NODE("node-a", "GPU-a") QUOTA(9000)
                POD("big", STALE, "\"containers\":[" CONTAINER("main", "," LIMITS(20000)) "]")
                    WAITING("p-0", 9000),
            NULL);
    ck_assert_uint_eq(filter(&fx, "big", A), 0);
    fx_patch(&fx, "pods/ml/big",
             "{\"status\":{\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\"}]}}");
    ck_assert(fx_wait_state(&fx, "uid-big", CLUSTER_STATE_WAITING));
    fx_restart(&fx); /* and once more from the objects alone */
    ck_assert(fx_wait_state(&fx, "uid-big", CLUSTER_STATE_WAITING));
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 0, 0));
    ck_assert_uint_eq(filter(&fx, "p-0", A), 1); /* all of the card, and all of the quota */
    ck_binds(&fx, "p-0", "node-a");
    fx_close(&fx);
}
END_TEST

/* C7: HAMi keeps reservation and annotations of a bind that failed. */
START_TEST(core_defect_c7_a_failed_bind_leaves_nothing)
{
    struct fx fx;
    fx_open(&fx, NODE("node-a", "GPU-a") QUOTA(9000) WAITING("p-0", 9000) WAITING("p-1", 9000),
            NULL);
    const struct kube_fault_rule forbidden = {KUBE_FAULT_STATUS, .verb = KUBE_BIND, .kind = -1,
                                              .status = 403};
    ck_assert_uint_eq(filter(&fx, "p-0", A), 1);
    kube_store_fault(fx.store, &forbidden);
    ck_does_not_bind(&fx, fx_bind_args(&fx, "ml", "p-0", "node-a"), "403");
    ck_note(&fx, "pods/ml/p-0", LIST_KEY, NULL);
    ck_note(&fx, "pods/ml/p-0", "hami.io/vgpu-node", NULL);
    ck_note(&fx, "nodes/node-a", LOCK_KEY, NULL);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 0, 0));
    ck_assert_uint_eq(filter(&fx, "p-1", A), 1);
    ck_binds(&fx, "p-1", "node-a");
    fx_close(&fx);
}
END_TEST

/* ---- nodes ---- */

/* C13: HAMi looks at the Node object of the last pass that changed something. */
START_TEST(core_defect_c13_a_cordon_counts_at_the_next_filter)
{
    struct fx fx;
    fx_open(&fx, NODE("node-a", "GPU-a") WAITING("p-0", 1000), NULL);
    ck_assert_uint_eq(filter(&fx, "p-0", A), 1);
    char patch[256];
    for (int cordoned = 1; cordoned >= 0; cordoned--) {
        (void)snprintf(patch, sizeof(patch),
                       "{\"metadata\":{\"annotations\":{\"hami.io/device-cordon\":%s}}}",
                       cordoned ? "\"GPU-a\"" : "null");
        fx_patch(&fx, "nodes/node-a", patch);
        ck_will_fit(&fx, "p-0", !cordoned);
    }
    fx_close(&fx);
}
END_TEST

/* C14: of a plugin that died HAMi removes the cards, then finds their registration again, and so on
 * for ever. */
START_TEST(core_defect_c14_cards_of_a_dead_plugin_stay_away)
{
    struct fx fx;
    fx_open(&fx, NODE("node-a", "GPU-a") WAITING("p-0", 1000), NULL);
    ck_assert_uint_eq(filter(&fx, "p-0", A), 1);
    fx_patch(&fx, "nodes/node-a", "{\"status\":{\"allocatable\":{\"nvidia.com/gpu\":\"0\"}}}");
    ck_will_fit(&fx, "p-0", 0);
    for (int minute = 0; minute < 3; minute++) { /* the node's other news, and time */
        char patch[128];
        (void)snprintf(patch, sizeof(patch), "{\"metadata\":{\"labels\":{\"minute\":\"%d\"}}}",
                       minute);
        fx_patch(&fx, "nodes/node-a", patch);
        fx.mono_skew_ms += 60000;
        ck_assert_uint_eq(filter(&fx, "p-0", A), 0);
    }
    fx_restart(&fx); /* the registration is still there, and proves nothing */
    ck_assert_uint_eq(filter(&fx, "p-0", A), 0);
    ck_does_not_bind(&fx, fx_bind_args(&fx, "ml", "p-0", "node-a"), "no room");
    fx_patch(&fx, "nodes/node-a", "{\"status\":{\"allocatable\":{\"nvidia.com/gpu\":\"10\"}}}");
    ck_will_fit(&fx, "p-0", 1);
    fx_close(&fx);
}
END_TEST

/* C15: nodes that stop matching the selector stay in HAMi's cache. */
START_TEST(core_defect_c15_a_node_leaves_the_selector)
{
    static const struct str PAIR[] = {STR_INIT("zone"), STR_INIT("red")};
    struct fx fx;
    fx_open(&fx, TWO_NODES WAITING("p-0", 1000), NULL);
    struct err err;
    ext_reflector_stop(fx.reflector);
    fx.app.cluster.node_selector = PAIR;
    fx.app.cluster.node_selector_n = 2;
    ck_assert(!ext_reflector_start(&fx.app, &fx.reflector, &err));
    ck_will_fit(&fx, "p-0", 0);
    fx_patch(&fx, "nodes/node-a", "{\"metadata\":{\"labels\":{\"zone\":\"red\"}}}");
    ck_will_fit(&fx, "p-0", 1);
    fx_patch(&fx, "nodes/node-a", "{\"metadata\":{\"labels\":{\"zone\":\"blue\"}}}");
    ck_will_fit(&fx, "p-0", 0);
    fx_close(&fx);
}
END_TEST

/* C16, P3: HAMi writes handshakes on every node, in one pass that holds up filter; P6: and the
 * pod's annotations inside the scheduling cycle. */
START_TEST(core_defect_c16_p3_p6_nothing_is_written_before_bind)
{
    struct fx fx;
    fx_open(&fx,
            TWO_NODES
            "---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"cpu\"}}"
            "\n" WAITING("p-0", 1000),
            NULL);
    ck_assert_uint_eq(filter(&fx, "p-0", AB), 2);
    unsigned status;
    json_decref(fx_call(&fx, "POST", "/prioritize", fx_args(&fx, "ml", "p-0", AB), &status));
    ck_assert_uint_eq(kube_store_writes(fx.store), 0);
    fx_close(&fx);
}
END_TEST

/* ---- what is asked ---- */

/* C19: HAMi admits it, finds no ask in it, and binds the pod without a card. */
START_TEST(core_defect_c19_an_ask_that_can_not_be_read_is_no_pass)
{
    struct fx fx;
    fx_open(&fx, TWO_NODES WAITING("p-0", 16Gi), NULL);
    json_t *got;
    ck_assert_uint_eq(filter_body(&fx, fx_args(&fx, "ml", "p-0", A), &got), 0);
    const char *why = text_at(got, "FailedAndUnresolvableNodes", "node-a", NULL);
    ck_assert_msg(why && strstr(why, "16Gi"), "%s", why ? why : "(none)");
    json_decref(got);
    ck_does_not_bind(&fx, fx_bind_args(&fx, "ml", "p-0", "node-a"), "16Gi");
    ck_note(&fx, "nodes/node-a", LOCK_KEY, NULL);
    fx_close(&fx);
}
END_TEST

/* C23: HAMi dereferences the list. */
START_TEST(core_defect_c23_null_names_are_an_error)
{
    struct fx fx;
    fx_open(&fx, TWO_NODES WAITING("big", 20000), NULL);
    json_t *args = json_loads(fx_args(&fx, "ml", "big", NULL), 0, NULL), *got;
    json_object_set_new(args, "NodeNames", json_null());
    char *body = json_dumps(args, 0);
    ck_assert_uint_eq(filter_body(&fx, body, &got), 0);
    const char *error = text_at(got, "Error", NULL, NULL);
    ck_assert_msg(error && strstr(error, "NodeNames and Nodes are both null"), "%s",
                  error ? error : "(none)");
    json_decref(got);
    unsigned status;
    json_decref(fx_call(&fx, "POST", "/prioritize", body, &status));
    ck_assert_uint_eq(status, 400);
    ck_assert_uint_eq(filter(&fx, "big", NULL), 0); /* an empty list is none of it */
    json_decref(args);
    free(body);
    fx_close(&fx);
}
END_TEST

/* C24: with whole nodes HAMi only simulates, so nothing is reserved. */
START_TEST(core_defect_c24_whole_nodes_that_we_know_are_held)
{
    struct fx fx;
    fx_open(&fx, NODE("node-a", "GPU-a") WAITING("p-0", 6000) WAITING("p-1", 6000), NULL);
    for (int i = 0; i < 2; i++) {
        json_t *pod = fx_object(&fx, i ? "pods/ml/p-1" : "pods/ml/p-0");
        json_t *args = json_pack("{s:o,s:{s:[o]},s:n}", "Pod", pod, "Nodes", "items",
                                 fx_object(&fx, "nodes/node-a"), "NodeNames");
        char *body = json_dumps(args, 0);
        ck_assert_uint_eq(filter_body(&fx, body, NULL), i == 0);
        json_decref(args);
        free(body);
    }
    ck_binds(&fx, "p-0", "node-a");
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 6000));
    fx_close(&fx);
}
END_TEST

/* C25: HAMi's simulation answers one node, ignores nodes that it can't read, and bodies above 1
 * MiB. (That a follower answers as well: check_leader_verbs.) */
START_TEST(core_defect_c25_a_simulation_answers_all_that_fit)
{
    enum { TEMPLATES = 40, PADDING = 64 << 10 };
    struct fx fx;
    struct fx_options opt = {.shortlist = 1};
    fx_open(&fx, TWO_NODES WAITING("p-0", 6000), &opt);
    char *padding = malloc(PADDING + 1), name[32];
    ck_assert_ptr_nonnull(padding);
    memset(padding, 'x', PADDING);
    padding[PADDING] = '\0';
    json_t *items = json_array();
    for (int i = 0; i < TEMPLATES; i++) {
        json_t *node = fx_object(&fx, "nodes/node-a"), *meta = json_object_get(node, "metadata");
        (void)snprintf(name, sizeof(name), "template-%d", i);
        json_object_set_new(meta, "name", json_string(name));
        json_object_set_new(meta, "uid", json_string(name));
        json_object_set_new(json_object_get(meta, "annotations"), "padding", json_string(padding));
        json_array_append_new(items, node);
    }
    json_t *args = json_pack("{s:o,s:{s:o},s:n}", "Pod", fx_object(&fx, "pods/ml/p-0"), "Nodes",
                             "items", items, "NodeNames");
    char *body = json_dumps(args, 0);
    ck_assert_uint_gt(strlen(body), 2u << 20);
    ck_assert_uint_lt(strlen(body), fx.app.config.body_max);
    ck_assert_uint_eq(filter_body(&fx, body, NULL), TEMPLATES);
    ck_assert_uint_eq(cluster_holds_count(fx.app.store), 0);
    free(body);
    json_object_set_new(json_array_get(items, 7), "metadata", json_string("no object"));
    body = json_dumps(args, 0);
    json_t *got;
    ck_assert_uint_eq(filter_body(&fx, body, &got), 0);
    const char *error = text_at(got, "Error", NULL, NULL);
    ck_assert_msg(error && strstr(error, "Nodes.items[7]"), "%s", error ? error : "(none)");
    json_decref(got);
    json_decref(args);
    free(body);
    free(padding);
    fx_close(&fx);
}
END_TEST

/* C2 (and Cambricon's C4): beside an init container HAMi takes the first app containers for others:
 * the largest of them counts, not their sum. */
START_TEST(core_defect_c2_cambricon_defect_c4_app_containers_add_up)
{
    struct fx fx;
    fx_open(
        &fx,
        TWO_CARDS QUOTA(11999) POD(
            "p-0", "",
            "\"initContainers\":[" CONTAINER(
                "first",
                "," LIMITS(
                    1000)) "],\"containers\":[" CONTAINER("a",
                                                          "," LIMITS(
                                                              6000)) "," CONTAINER("b",
                                                                                   "," LIMITS(
                                                                                       6000)) "]"),
        NULL);
    json_t *got;
    ck_assert_uint_eq(filter_body(&fx, fx_args(&fx, "ml", "p-0", AB), &got), 0);
    const char *why = text_at(got, "FailedAndUnresolvableNodes", "node-a", NULL);
    ck_assert_msg(why && strstr(why, "ResourceQuotaNotFit"), "%s", why ? why : "(none)");
    json_decref(got);
    ck_does_not_bind(&fx, fx_bind_args(&fx, "ml", "p-0", "node-a"), "ResourceQuotaNotFit");
    fx_patch(&fx, "quotas/ml/q", "{\"spec\":{\"hard\":{\"limits.nvidia.com/gpumem\":\"12000\"}}}");
    ck_will_fit(&fx, "p-0", 1);
    fx_close(&fx);
}
END_TEST

/* ---- what it costs ---- */

static char *read_all(FILE *f, size_t *ret_n)
{
    char *text = calloc(1, 1 << 16);
    ck_assert_ptr_nonnull(text);
    rewind(f);
    *ret_n = fread(text, 1, (1 << 16) - 1, f);
    return text;
}

/* P2: HAMi's nine calls a pod share five a second. P8: and each of them is logged, at the level
 * that everybody has. */
START_TEST(core_defect_p2_p8_a_pod_costs_three_writes_and_no_line)
{
    struct fx fx;
    fx_open(&fx, TWO_NODES WAITING("p-0", 1000), NULL);
    FILE *log = tmpfile();
    int before = dup(STDERR_FILENO);
    ck_assert(log && before >= 0 && dup2(fileno(log), STDERR_FILENO) >= 0);
    ck_assert_uint_eq(filter(&fx, "p-0", AB), 2);
    ck_binds(&fx, "p-0", "node-a");
    ck_assert(dup2(before, STDERR_FILENO) >= 0);
    ck_assert_msg(kube_store_writes(fx.store) <= 3, "lock, Binding, event: %llu",
                  (unsigned long long)kube_store_writes(fx.store));
    size_t n;
    char *text = read_all(log, &n);
    ck_assert_msg(n == 0, "%s", text);
    free(text);
    (void)fclose(log);
    close(before);
    fx_close(&fx);
}
END_TEST

/* ---- when it may be asked ---- */

/* C39: HAMi is ready while filter waits for its first pass. */
START_TEST(core_defect_c39_ready_only_when_filter_can_answer)
{
    static const char *const CHECKS[] = {"nodes-sync", "pods-sync", "quotas-sync"};
    struct fx fx;
    unsigned status;
    fx_open(&fx, TWO_NODES WAITING("p-0", 1000), NULL);
    json_decref(fx_call(&fx, "GET", "/readyz", NULL, &status));
    ck_assert_uint_eq(status, 200);
    char path[32];
    (void)snprintf(path, sizeof(path), "/readyz/%s", CHECKS[_i]);
    ext_reflector_stop(fx.reflector);
    atomic_store(&fx.app.synced[_i], false);
    json_decref(fx_call(&fx, "GET", "/readyz", NULL, &status));
    ck_assert_uint_eq(status, 500);
    json_decref(fx_call(&fx, "GET", path, NULL, &status));
    ck_assert_uint_eq(status, 500);
    json_decref(fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "p-0", A), &status));
    ck_assert_msg(status == 503, "at once, not hanging: %u", status);
    ck_does_not_bind(&fx, fx_bind_args(&fx, "ml", "p-0", "node-a"), "not ready");
    atomic_store(&fx.app.synced[_i], true);
    struct err err;
    ck_assert(!ext_reflector_start(&fx.app, &fx.reflector, &err));
    fx_close(&fx);
}
END_TEST

/* C42: HAMi takes no lock for it, so the plugin must guess whose call it serves. */
START_TEST(core_defect_c42_cards_of_init_containers_take_the_lock)
{
    struct fx fx;
    fx_open(
        &fx,
        TWO_NODES POD("p-0", "",
                      "\"initContainers\":[" CONTAINER(
                          "first", "," LIMITS(1000)) "],"
                                                     "\"containers\":[" CONTAINER("main", "") "]"),
        NULL);
    ck_binds(&fx, "p-0", "node-a");
    ck_note(&fx, "nodes/node-a", LOCK_KEY, "2026-09-21T14:13:20Z,ml,p-0");
    ck_note(&fx, "pods/ml/p-0", LIST_KEY, "GPU-a,NVIDIA,1000,10:;;");
    fx_close(&fx);
}
END_TEST

/* ---- binds that wait ---- */

struct caller { /* a bind that kube-scheduler waits for */
    struct fx *fx;
    pthread_t thread;
    char args[512], error[256];
};

static void *call_bind(void *ctx)
{
    struct caller *c = ctx;
    unsigned status;
    json_t *got = fx_call(c->fx, "POST", "/bind", c->args, &status);
    const char *text = text_at(got, "Error", NULL, NULL);
    (void)snprintf(c->error, sizeof(c->error), "%s", text ? text : "(none)");
    json_decref(got);
    return NULL;
}

/* Calls, and waits until it waits: so many binds are under way then. */
static void begin_bind(struct fx *fx, struct caller *c, const char *pod, size_t under_way)
{
    c->fx = fx;
    (void)snprintf(c->args, sizeof(c->args), "%s", fx_bind_args(fx, "ml", pod, "node-a"));
    ck_assert_int_eq(pthread_create(&c->thread, NULL, call_bind, c), 0);
    for (int i = 0; i < 5000 && ext_turns_count(fx->app.turns) < under_way; i++)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    ck_assert_uint_eq(ext_turns_count(fx->app.turns), under_way);
}

static void ck_bound(struct caller *c)
{
    ck_assert_int_eq(pthread_join(c->thread, NULL), 0);
    ck_assert_msg(c->error[0] == '\0', "%s", c->error);
}

/* What the plugin does when it has served the pod. */
static void serve(struct fx *fx, const char *path)
{
    fx_patch(fx, path,
             "{\"metadata\":{\"annotations\":{\"hami.io/vgpu-devices-to-allocate\":\";\","
             "\"hami.io/bind-phase\":\"success\"}}}");
    fx_patch(fx, "nodes/node-a", "{\"metadata\":{\"annotations\":{\"" LOCK_KEY "\":null}}}");
}

/* C40: in HAMi a bind that meets another pod's lock fails at once and goes to back-off. */
START_TEST(core_defect_c40_binds_of_one_node_take_turns)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 50000};
    struct caller second, third;
    fx_open(&fx,
            NODE("node-a", "GPU-a") WAITING("p-0", 1000) WAITING("p-1", 1000) WAITING("p-2", 1000),
            &opt);
    ck_binds(&fx, "p-0", "node-a");
    begin_bind(&fx, &second, "p-1", 1);
    begin_bind(&fx, &third, "p-2", 2);
    ck_note(&fx, "nodes/node-a", LOCK_KEY, "2026-09-21T14:13:20Z,ml,p-0");
    serve(&fx, "pods/ml/p-0");
    ck_bound(&second);
    ck_note(&fx, "nodes/node-a", LOCK_KEY, "2026-09-21T14:13:20Z,ml,p-1");
    ck_assert_uint_eq(ext_turns_count(fx.app.turns), 1);
    serve(&fx, "pods/ml/p-1");
    ck_bound(&third);
    ck_note(&fx, "nodes/node-a", LOCK_KEY, "2026-09-21T14:13:20Z,ml,p-2");
    fx_close(&fx);
}
END_TEST

/* C43: HAMi's bind-time is from before it waited for the lock. */
START_TEST(core_defect_c43_times_are_those_of_the_writes)
{
    struct fx fx;
    struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 80000};
    struct caller second;
    fx_open(&fx, NODE("node-a", "GPU-a") WAITING("p-0", 1000) WAITING("p-1", 1000), &opt);
    ck_binds(&fx, "p-0", "node-a");
    ck_note(&fx, "pods/ml/p-0", "hami.io/bind-time", "1790000000");
    begin_bind(&fx, &second, "p-1", 1);
    fx.wall_skew_ms = fx.mono_skew_ms = 28000;
    serve(&fx, "pods/ml/p-0");
    ck_bound(&second);
    ck_note(&fx, "pods/ml/p-1", "hami.io/bind-time", "1790000028");
    ck_note(&fx, "nodes/node-a", LOCK_KEY, "2026-09-21T14:13:48Z,ml,p-1");
    fx_close(&fx);
}
END_TEST

/* C21: HAMi knows pods by name: one that is created again inherits lock and annotations. */
START_TEST(core_defect_c21_a_pod_of_the_same_name_is_another)
{
    struct fx fx;
    char before[512];
    fx_open(&fx, TWO_NODES WAITING("p-0", 1000), NULL);
    (void)snprintf(before, sizeof(before), "%s", fx_bind_args(&fx, "ml", "p-0", "node-b"));
    ck_binds(&fx, "p-0", "node-a");
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 1000));
    fx_patch(&fx, "pods/ml/p-0", NULL);
    fx_create(&fx, "pods/ml/p-0",
              "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p-0\","
              "\"namespace\":\"ml\"},\"spec\":{\"schedulerName\":\"cardinal-scheduler\","
              "\"containers\":[" CONTAINER("main", "," LIMITS(2000)) "]},\"status\":{\"phase\":"
                                                                     "\"Pending\"}}");
    ck_assert_msg(fx_wait_used(&fx, "node-a", "GPU-a", 0, 0), "its share went with it");
    const uint64_t writes = kube_store_writes(fx.store);
    ck_does_not_bind(&fx, before, "another UID");
    ck_assert_msg(kube_store_writes(fx.store) - writes <= 1, "nothing but an event is written");
    ck_note(&fx, "pods/ml/p-0", LIST_KEY, NULL);
    ck_note(&fx, "nodes/node-b", LOCK_KEY, NULL);
    ck_binds(&fx, "p-0", "node-a");
    ck_note(&fx, "pods/ml/p-0", LIST_KEY, "GPU-a,NVIDIA,2000,10:;");
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 2000));
    fx_close(&fx);
}
END_TEST

int main(void)
{
    json_object_seed(1);
    Suite *suite = suite_create("core defects");
    TCase *tc = tcase_create("verbs");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, core_defect_s3_an_invented_uid_takes_nothing);
    tcase_add_loop_test(tc, core_defect_s5_a_malformed_lock_blocks_nobody, 0, 5);
    tcase_add_test(tc, core_defect_c6_a_refused_pod_takes_no_room);
    tcase_add_test(tc, core_defect_c7_a_failed_bind_leaves_nothing);
    tcase_add_test(tc, core_defect_c13_a_cordon_counts_at_the_next_filter);
    tcase_add_test(tc, core_defect_c14_cards_of_a_dead_plugin_stay_away);
    tcase_add_test(tc, core_defect_c15_a_node_leaves_the_selector);
    tcase_add_test(tc, core_defect_c16_p3_p6_nothing_is_written_before_bind);
    tcase_add_test(tc, core_defect_c19_an_ask_that_can_not_be_read_is_no_pass);
    tcase_add_test(tc, core_defect_c23_null_names_are_an_error);
    tcase_add_test(tc, core_defect_c24_whole_nodes_that_we_know_are_held);
    tcase_add_test(tc, core_defect_c25_a_simulation_answers_all_that_fit);
    tcase_add_test(tc, core_defect_c2_cambricon_defect_c4_app_containers_add_up);
    tcase_add_test(tc, core_defect_p2_p8_a_pod_costs_three_writes_and_no_line);
    tcase_add_loop_test(tc, core_defect_c39_ready_only_when_filter_can_answer, 0, 3);
    tcase_add_test(tc, core_defect_c42_cards_of_init_containers_take_the_lock);
    tcase_add_test(tc, core_defect_c40_binds_of_one_node_take_turns);
    tcase_add_test(tc, core_defect_c43_times_are_those_of_the_writes);
    tcase_add_test(tc, core_defect_c21_a_pod_of_the_same_name_is_another);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
