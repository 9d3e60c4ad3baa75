/* What following and leading mean for the verbs: who follows refuses them after one live look, a
 * new leader filters at once and writes when the last one's writes have landed, and nothing is
 * written once the term or its deadline is over (docs/design/leadership.md). */
#include "outcomes.h"
#include "verbs_fixture.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- a cluster, and the Lease of its kube-scheduler ---- */

#define CLUSTER                                                                                    \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"node-a\",\"uid\":"     \
    "\"uid-node-a\",\"annotations\":{\"hami.io/node-nvidia-register\":'[{\"id\":\"GPU-a\","        \
    "\"index\":0,\"count\":10,\"devmem\":24576,\"devcore\":100,\"type\":\"NVIDIA A10\",\"mode\":"  \
    "\"hami-core\",\"health\":true}]'}},\"status\":{\"allocatable\":{\"cpu\":\"32\","              \
    "\"memory\":\"128Gi\",\"nvidia.com/gpu\":\"10\"}}}\n"                                          \
    "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: train-0\n  namespace: ml\n  uid: "         \
    "uid-train-0\nspec:\n  schedulerName: cardinal-scheduler\n  containers:\n  - name: main\n"     \
    "    image: x\n    resources:\n      limits:\n        nvidia.com/gpu: \"1\"\n        "         \
    "nvidia.com/gpumem: \"4000\"\nstatus:\n  phase: Pending\n"                                     \
    "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: plain\n  namespace: ml\n  uid: "           \
    "uid-plain\nspec:\n  containers:\n  - name: main\n    image: x\nstatus:\n  phase: Pending\n"
#define REPLICA(name, role)                                                                        \
    "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: " name                                     \
    "\n  namespace: ks\n  uid: uid-" name                                                          \
    "\n  labels: {app.kubernetes.io/component: hami-scheduler" role "}\nspec:\n  "                 \
    "containers:\n  - name: main\n    image: x\nstatus:\n  phase: Running\n"

static const char *const NODES[] = {"node-a", NULL};

static void lease_call(struct fx *fx, enum kube_verb verb, const char *body)
{
    struct kube_request req = {.verb = verb,
                               .kind = KUBE_LEASE,
                               .ns = STR("ks"),
                               .name = verb == KUBE_CREATE ? STR("") : STR("sched"),
                               .patch_type = KUBE_PATCH_MERGE,
                               .body = str_z(body),
                               .timeout_ms = 1000};
    struct kube_response resp = {0};
    struct err err = {0};
    enum err_code rc = kube_call(fx->app.kube, &req, &resp, &err);
    kube_response_done(&resp);
    ck_assert_msg(rc == ERR_OK, "lease: %s", err.text);
}

static void lease_set(struct fx *fx, const char *holder, int transitions, int second)
{
    char body[512];
    (void)snprintf(body, sizeof(body),
                   "{\"metadata\":{\"name\":\"sched\",\"namespace\":\"ks\"},\"spec\":{"
                   "\"holderIdentity\":\"%s\",\"leaseDurationSeconds\":15,\"leaseTransitions\":%d,"
                   "\"renewTime\":\"2026-11-22T03:44:%02d.000000Z\"}}",
                   holder, transitions, second);
    lease_call(fx, second == 0 ? KUBE_CREATE : KUBE_PATCH, body);
}

static void pause_ms(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static void elect(struct fx *fx, bool own)
{
    struct ext_config *c = &fx->app.config;
    c->leader_elect = true;
    c->leader_own = own;
    c->leader_name = "sched";
    c->leader_namespace = "ks";
    c->leader_identity = "node1";
    struct err err = {0};
    ck_assert_msg(ext_leader_start(&fx->app, &err) == ERR_OK, "%s", err.text);
}

static void wait_leading(struct fx *fx, bool want)
{
    for (int i = 0; i < 2000 && ext_leading(&fx->app) != want; i++)
        pause_ms(2);
    ck_assert_int_eq(ext_leading(&fx->app), want);
}

/* Comes again when it is told to, as a bind does. */
static void enter_term(struct fx *fx, struct ext_term *ret)
{
    const int64_t deadline = clock_mono_ms(fx->app.clock) + 3000;
    struct err err;
    int64_t again;
    while (ext_term_enter(&fx->app, deadline, ret, &again, &err)) {
        ck_assert_msg(again > 0 && again < deadline, "%s", err.text);
        while (clock_mono_ms(fx->app.clock) < again)
            pause_ms(2);
    }
}

/* Leads, and the writes of whoever led before have landed. */
static void lead(struct fx *fx)
{
    lease_set(fx, "node2_x", 1, 0);
    elect(fx, false);
    wait_leading(fx, false);
    pause_ms(50);
    lease_set(fx, "node1_x", 2, 1);
    wait_leading(fx, true);
    fx->mono_skew_ms += 1000; /* shorter than what counts as a stop */
    pause_ms(700);
    fx->mono_skew_ms += 500;
    struct ext_term term;
    enter_term(fx, &term);
}

static void done(struct fx *fx)
{
    ext_leader_stop(&fx->app, false);
    fx_close(fx);
}

static unsigned get(struct fx *fx, const char *path)
{
    unsigned status;
    json_decref(fx_call(fx, "GET", path, "", &status));
    return status;
}

static unsigned post(struct fx *fx, const char *verb, const char *pod)
{
    unsigned status;
    json_decref(fx_call(fx, "POST", verb, fx_args(fx, "ml", pod, NODES), &status));
    return status;
}

/* The answer's Error, at most 255 bytes. */
static void bind_args(struct fx *fx, const char *args, char error[256])
{
    unsigned status;
    json_t *got = fx_call(fx, "POST", "/bind", args, &status);
    ck_assert_uint_eq(status, 200);
    const char *text = json_string_value(json_object_get(got, "Error"));
    (void)snprintf(error, 256, "%s", text ? text : "(none)");
    json_decref(got);
}
static void bind(struct fx *fx, char error[256])
{
    bind_args(fx, fx_bind_args(fx, "ml", "train-0", "node-a"), error);
}

static void ck_untouched(struct fx *fx)
{
    json_t *pod = fx_object(fx, "pods/ml/train-0"), *node = fx_object(fx, "nodes/node-a");
    ck_assert_ptr_null(json_object_get(json_object_get(pod, "spec"), "nodeName"));
    ck_assert_ptr_null(json_object_get(json_object_get(pod, "metadata"), "annotations"));
    ck_assert_ptr_null(json_object_get(
        json_object_get(json_object_get(node, "metadata"), "annotations"), "hami.io/mutex.lock"));
    json_decref(pod);
    json_decref(node);
    char where[256];
    ck_assert_int_ne(cluster_pod_state(fx->app.store, STR("uid-train-0"), where, sizeof(where)),
                     CLUSTER_STATE_ASSUMED);
}

/* ---- following ---- */

START_TEST(without_election_leads_always)
{
    struct fx fx;
    char error[256];
    fx_open(&fx, CLUSTER, NULL);
    ck_assert(ext_leading(&fx.app));
    ck_assert_uint_eq(get(&fx, "/leadz"), 200);
    ck_assert_uint_eq(post(&fx, "/filter", "train-0"), 200);
    bind(&fx, error);
    ck_assert_str_eq(error, "");
    done(&fx);
}
END_TEST

/* C26: the holder's host only begins like ours. */
static bool tells_of_cards(struct fx *fx)
{
    struct arena *arena = arena_new(1 << 20);
    struct ext_request r = {
        .app = &fx->app, .method = STR("GET"), .path = STR("/metrics"), .arena = arena};
    struct ext_answer a = {0};
    ext_metrics_get(&r, &a);
    struct buf all;
    buf_init(&all, 4 << 20);
    while (a.stream.more(a.stream.ctx, &all))
        ;
    a.stream.done(a.stream.ctx);
    buf_char(&all, '\0');
    ck_assert_ptr_nonnull(strstr(all.p, "\ncardinald_devices 1\n"));
    bool cards = strstr(all.p, "\nhami_gpu_memory_limit_bytes{") != NULL;
    ck_assert_int_eq(strstr(all.p, "\nhami_gpu_shared_count{") != NULL, cards);
    buf_done(&all);
    arena_free(arena);
    return cards;
}

/* HAMi's Service leads Prometheus to the leader alone, and sums over its series are right; so of
 * several replicas one tells of cards. When nobody renews the Lease, the last one goes on. */
START_TEST(one_replica_tells_of_cards)
{
    struct fx fx;
    fx_open(&fx, CLUSTER, NULL);
    ck_assert(tells_of_cards(&fx)); /* no election */
    lease_set(&fx, "node2_x", 1, 0);
    elect(&fx, false);
    wait_leading(&fx, false);
    for (int i = 0; i < 2000 && !ext_led_by_another(&fx.app); i++)
        pause_ms(2);
    ck_assert(!tells_of_cards(&fx));
    lease_set(&fx, "node1_x", 2, 1);
    wait_leading(&fx, true);
    ck_assert(tells_of_cards(&fx));
    fx.mono_skew_ms += 60000; /* it runs out */
    wait_leading(&fx, false);
    ck_assert(tells_of_cards(&fx));
    lease_set(&fx, "node10_x", 3, 2);
    for (int i = 0; i < 2000 && !ext_led_by_another(&fx.app); i++)
        pause_ms(2);
    ck_assert(!tells_of_cards(&fx));
    done(&fx);
}
END_TEST

START_TEST(core_defect_c26_a_follower_refuses_the_verbs)
{
    static const char *const HOLDERS[] = {"node2_x", "node10_x", "", "node1x_y"};
    struct fx fx;
    char error[256];
    fx_open(&fx, CLUSTER, NULL);
    lease_set(&fx, HOLDERS[_i], 1, 0);
    elect(&fx, false);
    ck_assert_uint_eq(post(&fx, "/filter", "train-0"), 503);
    ck_assert_uint_eq(post(&fx, "/prioritize", "train-0"), 503);
    bind(&fx, error);
    ck_assert_msg(strstr(error, "not leading") != NULL, "%s", error);
    ck_untouched(&fx);
    ck_assert_uint_eq(post(&fx, "/filter", "plain"), 200); /* none of our business */
    ck_assert_uint_eq(get(&fx, "/livez"), 200);            /* alive, ready, not leading */
    ck_assert_uint_eq(get(&fx, "/readyz"), 200);
    ck_assert_uint_eq(get(&fx, "/leadz"), 503);
    ck_assert_uint_eq(get(&fx, "/v1/summary"), 200);
    done(&fx);
}
END_TEST

/* HAMi's simulation waits for the leader's first pass. Nothing of it is written. */
START_TEST(core_defect_c25_a_follower_simulates)
{
    struct fx fx;
    char error[256];
    unsigned status;
    fx_open(&fx, CLUSTER, NULL);
    lease_set(&fx, "node2_x", 1, 0);
    elect(&fx, false);
    ck_assert_uint_eq(post(&fx, "/filter", "train-0"), 503);
    json_t *node = fx_object(&fx, "nodes/node-a");
    json_object_set_new(json_object_get(node, "metadata"), "name", json_string("template-0"));
    json_t *args = json_pack("{s:o,s:{s:[o]},s:n}", "Pod", fx_object(&fx, "pods/ml/train-0"),
                             "Nodes", "items", node, "NodeNames");
    char *body = json_dumps(args, 0);
    json_t *got = fx_call(&fx, "POST", "/filter", body, &status);
    ck_assert_uint_eq(status, 200);
    ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(got, "Nodes"), "items")), 1);
    bind(&fx, error);
    ck_assert_msg(strstr(error, "not leading") != NULL, "%s", error);
    ck_untouched(&fx);
    json_decref(got);
    json_decref(args);
    free(body);
    done(&fx);
}
END_TEST

/* kube-scheduler calls as soon as it holds the Lease; our watch tells us later, here never. */
START_TEST(a_refusal_needs_a_live_look)
{
    struct fx fx;
    fx_open(&fx, CLUSTER, NULL);
    struct kube_fault_rule deaf = {
        .fault = KUBE_FAULT_REFUSED, .verb = KUBE_WATCH, .kind = KUBE_LEASE, .times = 100000};
    kube_store_fault(fx.store, &deaf);
    lease_set(&fx, "node2_x", 1, 0);
    elect(&fx, false);
    ck_assert_uint_eq(post(&fx, "/filter", "train-0"), 503);
    lease_set(&fx, "node1_x", 2, 1);
    ck_assert_uint_eq(post(&fx, "/filter", "train-0"), 200);
    lease_set(&fx, "node2_x", 3, 2);
    wait_leading(&fx, false); /* by the reads that replace the watch */
    lease_set(&fx, "node1_x", 4, 3);
    ck_assert_uint_eq(post(&fx, "/prioritize", "train-0"), 200);
    kube_store_fault_clear(fx.store);
    done(&fx);
}
END_TEST

/* ---- a new leader ---- */

static unsigned relists_of_all(struct fx *fx)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    ext_metrics_text(fx->app.metrics, &text);
    buf_char(&text, '\0');
    const char *at = strstr(text.p, "\ncardinald_relists_total ");
    ck_assert_ptr_nonnull(at);
    unsigned n = (unsigned)strtoul(strchr(at, ' '), NULL, 10);
    buf_done(&text);
    return n;
}

START_TEST(a_new_leader_filters_at_once_and_binds_later)
{
    struct fx fx;
    char error[256];
    fx_open(&fx, CLUSTER, NULL);
    lease_set(&fx, "node2_x", 1, 0);
    elect(&fx, false);
    ck_assert_uint_eq(post(&fx, "/filter", "train-0"), 503);
    pause_ms(200); /* the watch is up */
    const unsigned relists = relists_of_all(&fx);
    int64_t before = clock_mono_ms(&CLOCK_SYSTEM);
    lease_set(&fx, "node1_x", 2, 1);
    ck_assert_uint_eq(post(&fx, "/filter", "train-0"), 200);
    int64_t filtered = clock_mono_ms(&CLOCK_SYSTEM) - before;
    bind(&fx, error);
    int64_t bound = clock_mono_ms(&CLOCK_SYSTEM) - before;
    ck_assert_str_eq(error, "");
    printf("a new leader: filters after %lld ms, has bound after %lld ms\n", (long long)filtered,
           (long long)bound);
    ck_assert_msg(relists_of_all(&fx) > relists, "what the last leader bound was not read anew");
    ck_assert_int_lt(filtered, 1000);
    ck_assert_int_ge(bound, 2000);
    ck_assert_int_lt(bound, 3900);
    done(&fx);
}
END_TEST

/* kill -9 without an election: what the process before had sent may land until its time is over,
 * and is known when the pods were read after that. */
START_TEST(a_new_process_filters_at_once_and_binds_later)
{
    struct fx fx;
    struct err err = {0};
    char error[256];
    fx_open(&fx, CLUSTER, NULL);
    const unsigned relists = relists_of_all(&fx);
    ck_assert_int_eq(ext_leader_start(&fx.app, &err), ERR_OK);
    int64_t before = clock_mono_ms(&CLOCK_SYSTEM);
    ck_assert_uint_eq(post(&fx, "/filter", "train-0"), 200);
    bind(&fx, error);
    int64_t bound = clock_mono_ms(&CLOCK_SYSTEM) - before;
    ck_assert_str_eq(error, "");
    ck_assert_msg(relists_of_all(&fx) > relists, "what landed meanwhile was not read anew");
    ck_assert_int_ge(bound, 1950);
    ck_assert_int_lt(bound, 3900);
    fx_close(&fx);
}
END_TEST

/* A file's cluster is this process' own. */
START_TEST(a_file_was_nobody_elses)
{
    struct fx fx;
    struct err err = {0};
    char error[256];
    fx_open(&fx, CLUSTER, NULL);
    fx.app.file_store = fx.store;
    ck_assert_int_eq(ext_leader_start(&fx.app, &err), ERR_OK);
    int64_t before = clock_mono_ms(&CLOCK_SYSTEM);
    bind(&fx, error);
    ck_assert_str_eq(error, "");
    ck_assert_int_lt(clock_mono_ms(&CLOCK_SYSTEM) - before, 1900);
    fx.app.file_store = NULL;
    fx_close(&fx);
}
END_TEST

START_TEST(the_wait_is_bounded_by_the_budget)
{
    struct fx fx;
    char error[256];
    const struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 900};
    fx_open(&fx, CLUSTER, &opt);
    lease_set(&fx, "node2_x", 1, 0);
    elect(&fx, false);
    ck_assert_uint_eq(post(&fx, "/filter", "train-0"), 503);
    pause_ms(200);
    lease_set(&fx, "node1_x", 2, 1);
    wait_leading(&fx, true);
    bind(&fx, error);
    ck_assert_msg(strstr(error, "leading just began") != NULL, "%s", error);
    ck_untouched(&fx);
    done(&fx);
}
END_TEST

/* ---- the end of a term ---- */

struct caller {
    struct fx *fx;
    char args[1024], error[256];
};
static void *call_bind(void *ctx)
{
    struct caller *c = ctx;
    bind_args(c->fx, c->args, c->error);
    return NULL;
}

/* While it waits for the writes of the leader before, its room is charged: a hold on one of many
 * nodes would let a filter pin another pod there, whose bind would then find the node full. */
START_TEST(a_bind_that_waits_to_lead_has_its_room)
{
    struct fx fx;
    const struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 9000};
    fx_open(&fx, CLUSTER, &opt);
    lease_set(&fx, "node2_x", 1, 0);
    elect(&fx, false);
    ck_assert_uint_eq(post(&fx, "/filter", "train-0"), 503);
    pause_ms(200);
    lease_set(&fx, "node1_x", 2, 1);
    wait_leading(&fx, true);
    struct caller c = {.fx = &fx};
    (void)snprintf(c.args, sizeof(c.args), "%s", fx_bind_args(&fx, "ml", "train-0", "node-a"));
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, call_bind, &c), 0);
    ck_assert(fx_wait_state(&fx, "uid-train-0", CLUSTER_STATE_ASSUMED));
    for (int i = 0; i < 500 && ext_turns_wait_ms(fx.app.turns, STR("node-a")) == 0; i++)
        pause_ms(1);
    ck_assert_msg(ext_turns_wait_ms(fx.app.turns, STR("node-a")) > 0,
                  "filter does not know of it when it sends others there");
    struct ext_term term;
    struct err err;
    ck_assert_int_eq(ext_term_enter(&fx.app, 0, &term, NULL, &err), ERR_BUSY);
    pthread_join(thread, NULL);
    ck_assert_str_eq(c.error, "");
    done(&fx);
}
END_TEST

/* A bind that waits for a node's lock while the Lease goes to another host writes nothing more. */
START_TEST(nothing_is_written_after_the_term)
{
    struct fx fx;
    const struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 9000};
    fx_open(&fx, CLUSTER, &opt);
    lead(&fx);
    fx_patch(&fx, "nodes/node-a",
             "{\"metadata\":{\"annotations\":{\"hami.io/"
             "mutex.lock\":\"2026-09-21T14:13:19Z,ml,plain\"}}}");
    struct caller c = {.fx = &fx};
    (void)snprintf(c.args, sizeof(c.args), "%s", fx_bind_args(&fx, "ml", "train-0", "node-a"));
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, call_bind, &c), 0);
    pause_ms(400);
    lease_set(&fx, "node2_x", 3, 3);
    wait_leading(&fx, false);
    fx_patch(&fx, "nodes/node-a", "{\"metadata\":{\"annotations\":{\"hami.io/mutex.lock\":null}}}");
    pthread_join(thread, NULL);
    ck_assert_msg(c.error[0], "bound by one that follows");
    ck_untouched(&fx);
    done(&fx);
}
END_TEST

/* Stopped, or cut off from the API server, until after two thirds of the Lease's duration. */
START_TEST(nothing_is_written_after_the_deadline)
{
    struct fx fx;
    char error[256];
    const struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 500};
    fx_open(&fx, CLUSTER, &opt);
    lead(&fx);
    struct ext_term term;
    struct err err;
    ck_assert(ext_term_enter(&fx.app, clock_mono_ms(fx.app.clock), &term, NULL, &err) == ERR_OK);
    ck_assert(ext_may_write(&fx.app, &term));
    ext_wrote(&fx.app, &term);
    ck_assert(ext_may_write(&fx.app, &term));
    fx.mono_skew_ms += 9000;
    ck_assert(!ext_may_write(&fx.app, &term));
    bind(&fx, error);
    ck_assert_msg(error[0], "bound after the deadline");
    ck_untouched(&fx);
    fx.mono_skew_ms += 2000; /* a write that was on its way all the time is noticed */
    ext_wrote(&fx.app, &term);
    ext_wrote(&fx.app, &term); /* once */
    struct buf text;
    buf_init(&text, 1 << 20);
    ext_leader_metrics(&fx.app, &text);
    buf_char(&text, '\0');
    ck_assert_ptr_nonnull(strstr(text.p, "\ncardinald_writes_late_total 1\n"));
    buf_done(&text);
    lease_set(&fx, "node1_x", 2, 5); /* the same holder goes on: two renewals, and all is well */
    pause_ms(700);
    lease_set(&fx, "node1_x", 2, 6);
    pause_ms(100);
    bind(&fx, error);
    ck_assert_str_eq(error, "");
    done(&fx);
}
END_TEST

/* Another process of the same host is another term: what began under the old one is over. */
START_TEST(a_term_ends_with_its_holder)
{
    struct fx fx;
    fx_open(&fx, CLUSTER, NULL);
    lead(&fx);
    struct ext_term term;
    struct err err;
    ck_assert(ext_term_enter(&fx.app, clock_mono_ms(fx.app.clock), &term, NULL, &err) == ERR_OK);
    lease_set(&fx, "node1_y", 3, 3);
    for (int i = 0; i < 1000 && ext_may_write(&fx.app, &term); i++)
        pause_ms(2);
    ck_assert(ext_leading(&fx.app) && !ext_may_write(&fx.app, &term));
    fx.mono_skew_ms += 1000;
    pause_ms(700);
    fx.mono_skew_ms += 500;
    ck_assert(!ext_may_write(&fx.app, &term));
    enter_term(&fx, &term);
    done(&fx);
}
END_TEST

/* ---- our own Lease ---- */

static const char *label_of(struct fx *fx, const char *path, json_t **ret_pod)
{
    *ret_pod = fx_object(fx, path);
    const char *role = json_string_value(
        json_object_get(json_object_get(json_object_get(*ret_pod, "metadata"), "labels"),
                        "hami.io/scheduler-role"));
    return role ? role : "(none)";
}

static void be_in_a_pod(bool on)
{
    // NOLINTBEGIN(concurrency-mt-unsafe): nobody reads it now
    if (on) {
        setenv("POD_NAMESPACE", "ks", 1);
        setenv("POD_NAME", "me", 1);
    } else {
        unsetenv("POD_NAME");
        unsetenv("POD_NAMESPACE");
    }
    // NOLINTEND(concurrency-mt-unsafe)
}

START_TEST(core_defect_c38_the_role_label_moves_first)
{
    struct fx fx;
    json_t *me, *other, *stranger;
    fx_open(&fx,
            CLUSTER REPLICA("me", "") REPLICA(
                "other",
                ", hami.io/scheduler-role: leader") "---\napiVersion: v1\nkind: Pod\nmetadata:\n  "
                                                    "name: stranger\n  namespace: ks\n  "
                                                    "uid: uid-stranger\nspec:\n  containers:\n  - "
                                                    "name: main\n    image: x\nstatus:\n"
                                                    "  phase: Running\n",
            NULL);
    be_in_a_pod(true);
    struct kube_fault_rule once = {
        .fault = KUBE_FAULT_STATUS, .verb = KUBE_PATCH, .kind = KUBE_POD, .status = 409};
    kube_store_fault(fx.store, &once);
    elect(&fx, true);
    wait_leading(&fx, true);
    ck_assert_str_eq(label_of(&fx, "pods/ks/me", &me), "leader");
    ck_assert_str_eq(label_of(&fx, "pods/ks/other", &other), "follower");
    ck_assert_str_eq(label_of(&fx, "pods/ks/stranger", &stranger), "(none)");
    json_decref(me);
    json_decref(other);
    json_decref(stranger);
    done(&fx);
    be_in_a_pod(false);
}
END_TEST

/* Each patch takes a second, and there are more of them than the Lease lasts: it is renewed between
 * them. */
static struct slow_labels {
    struct fx *fx;
    _Atomic int patches, most; /* since the Lease was written; at most */
} slow_labels;

static void on_label_call(void *ctx, const struct kube_request *req)
{
    struct slow_labels *s = ctx;
    if (req->kind == KUBE_LEASE && (req->verb == KUBE_UPDATE || req->verb == KUBE_PATCH))
        s->patches = 0;
    if (req->kind != KUBE_POD || req->verb != KUBE_PATCH)
        return;
    s->fx->mono_skew_ms += 1000;
    s->fx->wall_skew_ms += 1000;
    if (++s->patches > s->most)
        s->most = s->patches;
}

START_TEST(moving_labels_leaves_the_lease_its_turns)
{
    struct fx fx;
    struct buf cluster;
    buf_init(&cluster, 1 << 20);
    buf_add(&cluster, STR(CLUSTER REPLICA("me", "")));
    for (int i = 0; i < 20; i++)
        buf_fmt(&cluster, REPLICA("other-%d", ", hami.io/scheduler-role: leader"), i, i);
    buf_char(&cluster, '\0');
    fx_open(&fx, cluster.p, NULL);
    be_in_a_pod(true);
    slow_labels.fx = &fx;
    kube_store_observe(fx.store, &(struct kube_store_observer){on_label_call, &slow_labels});
    fx.app.config.leader_retry_ms = 50;
    elect(&fx, true);
    wait_leading(&fx, true);
    kube_store_observe(fx.store, NULL);
    ck_assert_int_ge(slow_labels.most, 2);
    ck_assert_msg(slow_labels.most <= 8, "%d patches of a second each without a look at the Lease",
                  slow_labels.most);
    done(&fx);
    be_in_a_pod(false);
    buf_done(&cluster);
}
END_TEST

/* ---- the label's calls, each with each outcome ---- */

static const struct label_call {
    const char *name;
    int verb;
    unsigned nth;
} LABEL_CALLS[] = {
    {"list", KUBE_LIST, 0}, {"first patch", KUBE_PATCH, 0}, {"second patch", KUBE_PATCH, 1}};

/* Leads in the end; not before the labels say so where a Service goes by them, but where it has no
 * right to move them. */
static void label_through(bool own, const struct kube_fault_rule *rules, size_t rules_n,
                          const char *what)
{
    struct fx fx;
    json_t *me, *other;
    bool forbidden = false;
    fx_open(&fx, CLUSTER REPLICA("me", "") REPLICA("other", ", hami.io/scheduler-role: leader"),
            NULL);
    fx.app.config.leader_retry_ms = 50;
    fx.app.config.leader_role_label = true;
    for (size_t i = 0; i < rules_n; i++) {
        forbidden = forbidden || rules[i].status == 403;
        kube_store_fault(fx.store, &rules[i]);
    }
    if (!own)
        lease_set(&fx, "node1_x", 1, 0);
    elect(&fx, own);
    for (int i = 0; i < 3000 && !ext_leading(&fx.app); i++) {
        pause_ms(2);
        if (i % 50 == 49)
            (void)kube_store_late(fx.store);
    }
    ck_assert_msg(ext_leading(&fx.app), "%s: does not lead", what);
    for (int late = 0; late < 2 && own && !forbidden; late++) {
        const char *mine = label_of(&fx, "pods/ks/me", &me),
                   *others = label_of(&fx, "pods/ks/other", &other);
        ck_assert_msg(!strcmp(mine, "leader") && !strcmp(others, "follower"), "%s: %s and %s", what,
                      mine, others);
        json_decref(me);
        json_decref(other);
        (void)kube_store_late(fx.store); /* what was given up comes too late to change them */
    }
    done(&fx);
}

START_TEST(the_role_label_with_each_outcome)
{
    const struct label_call *call = &LABEL_CALLS[_i / 2];
    const bool own = _i % 2 == 0;
    be_in_a_pod(true);
    for (int o = 0; o < OUTCOMES_N; o++) {
        char what[128];
        const struct kube_fault_rule rule =
            outcome_rule(&OUTCOMES[o], call->verb, KUBE_POD, call->nth);
        (void)snprintf(what, sizeof(what), "%s, %s: %s", own ? "own" : "follow", call->name,
                       OUTCOMES[o].name);
        label_through(own, &rule, 1, what);
    }
    be_in_a_pod(false);
}
END_TEST

START_TEST(the_role_label_with_pairs_of_outcomes)
{
    const uint64_t seed = outcomes_setting("PROP_SEED", (uint64_t)clock_mono_ms(&CLOCK_SYSTEM)),
                   pairs = outcomes_setting("FAULTS_PAIRS", 300) / 15;
    uint64_t random = seed;
    printf("the role label's calls: PROP_SEED=%llu\n", (unsigned long long)seed);
    (void)fflush(stdout);
    be_in_a_pod(true);
    for (uint64_t i = 0; i < pairs; i++) {
        struct kube_fault_rule rules[2];
        char what[256] = "";
        for (int k = 0; k < 2; k++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
            const struct outcome *o = &OUTCOMES[(random >> 33) % OUTCOMES_N];
            const struct label_call *c = &LABEL_CALLS[(random >> 50) % 3];
            rules[k] = outcome_rule(o, c->verb, KUBE_POD, c->nth + (unsigned)(random >> 60) % 2);
            const size_t n = strlen(what);
            (void)snprintf(what + n, sizeof(what) - n, "%s %u: %s; ", c->name, rules[k].after,
                           o->name);
        }
        label_through(true, rules, 2, what);
    }
    be_in_a_pod(false);
}
END_TEST

static void lease_holder(struct fx *fx, char holder[256])
{
    struct kube_request req = {.verb = KUBE_GET,
                               .kind = KUBE_LEASE,
                               .ns = STR("ks"),
                               .name = STR("sched"),
                               .timeout_ms = 1000};
    struct kube_response resp = {0};
    struct err err;
    ck_assert(kube_call(fx->app.kube, &req, &resp, &err) == ERR_OK);
    json_t *lease = json_loadb(resp.body, resp.body_n, 0, NULL);
    const char *text =
        json_string_value(json_object_get(json_object_get(lease, "spec"), "holderIdentity"));
    (void)snprintf(holder, 256, "%s", text ? text : "(none)");
    json_decref(lease);
    kube_response_done(&resp);
}

START_TEST(released_when_nothing_is_in_flight)
{
    struct fx fx;
    char holder[256];
    fx_open(&fx, CLUSTER, NULL);
    elect(&fx, true);
    wait_leading(&fx, true);
    lease_holder(&fx, holder);
    ck_assert_msg(strncmp(holder, "node1_", 6) == 0 && strlen(holder) == 6 + 36, "%s", holder);
    ext_leader_stop(&fx.app, /* release= */ _i == 1);
    lease_holder(&fx, holder);
    ck_assert_int_eq(holder[0] == '\0', _i == 1);
    done(&fx);
}
END_TEST

START_TEST(bad_flags)
{
    struct fx fx;
    fx_open(&fx, CLUSTER, NULL);
    struct ext_config *c = &fx.app.config;
    struct err err = {0};
    c->leader_elect = true;
    ck_assert_int_eq(ext_leader_start(&fx.app, &err), ERR_BAD_REQUEST);
    ck_assert_ptr_nonnull(strstr(err.text, "--leader-elect-resource-name"));
    ck_assert_ptr_null(fx.app.leader);
    done(&fx);
}
END_TEST

int main(void)
{
    json_object_seed(1);
    Suite *suite = suite_create("leader verbs");
    TCase *tc = tcase_create("verbs");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, without_election_leads_always);
    tcase_add_test(tc, one_replica_tells_of_cards);
    tcase_add_loop_test(tc, core_defect_c26_a_follower_refuses_the_verbs, 0, 4);
    tcase_add_test(tc, core_defect_c25_a_follower_simulates);
    tcase_add_test(tc, a_refusal_needs_a_live_look);
    tcase_add_test(tc, a_new_leader_filters_at_once_and_binds_later);
    tcase_add_test(tc, a_new_process_filters_at_once_and_binds_later);
    tcase_add_test(tc, a_file_was_nobody_elses);
    tcase_add_test(tc, the_wait_is_bounded_by_the_budget);
    tcase_add_test(tc, a_bind_that_waits_to_lead_has_its_room);
    tcase_add_test(tc, nothing_is_written_after_the_term);
    tcase_add_test(tc, nothing_is_written_after_the_deadline);
    tcase_add_test(tc, a_term_ends_with_its_holder);
    tcase_add_test(tc, core_defect_c38_the_role_label_moves_first);
    tcase_add_test(tc, moving_labels_leaves_the_lease_its_turns);
    tcase_add_loop_test(tc, the_role_label_with_each_outcome, 0, 6);
    tcase_add_loop_test(tc, released_when_nothing_is_in_flight, 0, 2);
    tcase_add_test(tc, bad_flags);
    suite_add_tcase(suite, tc);
    tc = tcase_create("pairs");
    tcase_set_timeout(tc, 600); /* the long form's number of them */
    tcase_add_test(tc, the_role_label_with_pairs_of_outcomes);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
