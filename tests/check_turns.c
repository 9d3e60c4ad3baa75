/* Binds that wait: turns at a node in order, one bind of a pod at a time, what is looked at again
 * when the turn comes, and what filter and prioritize make of a queue. */
#include "verbs_fixture.h"

#include "extender/turn.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CARD(id, index, health)                                                                    \
    "{\"id\":\"" id "\",\"index\":" #index ",\"count\":10,\"devmem\":10000,\"devcore\":100,"       \
    "\"type\":\"NVIDIA A10\",\"mode\":\"hami-core\",\"health\":" health "}"
#define NODE(name, cards)                                                                          \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"" name                 \
    "\",\"annotations\":{\"hami.io/node-nvidia-register\":'[" cards                                \
    "]'}},\"status\":{\"allocatable\":{\"nvidia.com/gpu\":\"20\"}}}\n"
#define LIMITS                                                                                     \
    "    resources:\n      limits:\n        nvidia.com/gpu: \"1\"\n        nvidia.com/gpumem: "    \
    "\"1000\"\n        nvidia.com/gpucores: \"1\"\n"
#define POD(name, more)                                                                            \
    "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: " name                                     \
    "\n  namespace: ml\n  uid: uid-" name "\n" more                                                \
    "  containers:\n  - name: c\n    image: x\n" LIMITS
#define WAITING(name) POD(name, "spec:\n") "status:\n  phase: Pending\n"
#define HOLDER                                                                                     \
    POD("holder", "  annotations:\n    hami.io/vgpu-node: node-a\n    "                            \
                  "hami.io/vgpu-devices-allocated: \"GPU-z,NVIDIA,1000,1:;\"\n"                    \
                  "spec:\n  nodeName: node-a\n")                                                   \
    "status:\n  phase: Running\n"
#define CLUSTER                                                                                    \
    NODE("node-a",                                                                                 \
         CARD("GPU-a", 0, "true") "," CARD("GPU-b", 1, "true") "," CARD("GPU-z", 2, "true"))       \
    NODE("node-b",                                                                                 \
         CARD("GPU-c", 0, "true") "," CARD("GPU-d", 1, "true") "," CARD("GPU-y", 2, "true"))       \
    HOLDER WAITING("p0") WAITING("p1") WAITING("p2") WAITING("p3")
#define LOCK(value) "{\"metadata\":{\"annotations\":{\"hami.io/mutex.lock\":" value "}}}"

static void pause_ms(int ms)
{
    nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L}, NULL);
}

static struct fx_pending *begin(struct fx *fx, const char *pod, const char *node)
{
    return fx_begin(fx, "POST", "/bind", fx_bind_args(fx, "ml", pod, node));
}

static void want(const char *name, struct fx_pending *p, const char *error)
{
    unsigned status;
    json_t *got = fx_end(p, &status);
    const char *text = json_string_value(json_object_get(got, "Error"));
    ck_assert_msg(text && (error[0] ? strstr(text, error) != NULL : text[0] == '\0'),
                  "%s: answered \"%s\", want \"%s\"", name, text ? text : "(none)", error);
    json_decref(got);
}

static bool lock_is(struct fx *fx, bool want)
{
    struct cluster_snapshot *snap = cluster_store_snapshot(fx->app.store);
    const struct cluster_node *node = cluster_snapshot_find(snap, STR("node-a"));
    bool is = (node->lock.p != NULL) == want;
    cluster_snapshot_unref(snap);
    return is;
}

/* node-a's lock belongs to a pod that is bound there, and our books know it. */
static void open_locked(struct fx *fx, int bind_timeout_ms)
{
    const struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = bind_timeout_ms};
    fx_open(fx, CLUSTER, &opt);
    fx_patch(fx, "nodes/node-a", LOCK("\"2026-09-21T14:13:19Z,ml,holder\""));
    for (int i = 0; i < 5000 && !lock_is(fx, true); i++)
        pause_ms(1);
}

static void release(struct fx *fx) { fx_patch(fx, "nodes/node-a", LOCK("null")); }

static const char *text_of(json_t *pod, const char *key)
{
    return json_string_value(
        json_object_get(json_object_get(json_object_get(pod, "metadata"), "annotations"), key));
}

/* What its plugin does with a pod: the lists are handed out, then the lock goes. */
static void serve(struct fx *fx, const char *pod)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "pods/ml/%s", pod);
    fx_patch(fx, path,
             "{\"metadata\":{\"annotations\":{\"hami.io/vgpu-devices-to-allocate\":\";\","
             "\"hami.io/bind-phase\":\"success\"}}}");
    release(fx);
}

static const char *holder_of_lock(struct fx *fx, char out[128])
{
    json_t *node = fx_object(fx, "nodes/node-a");
    const char *lock = text_of(node, "hami.io/mutex.lock");
    (void)snprintf(out, 128, "%s", lock ? strrchr(lock, ',') + 1 : "");
    json_decref(node);
    return out;
}

START_TEST(turns_are_taken_in_the_order_of_arrival)
{
    static const char *const PODS[] = {"p2", "p0", "p3", "p1"};
    struct fx fx;
    struct fx_pending *binds[4];
    char name[128];
    open_locked(&fx, 60000);
    uint64_t before = kube_store_writes(fx.store);
    for (int i = 0; i < 4; i++) /* each is parked, or begin() would not come back */
        binds[i] = begin(&fx, PODS[i], "node-a");
    ck_assert_uint_eq(ext_turns_count(fx.app.turns), 4);
    ck_assert_uint_eq(kube_store_writes(fx.store), before);
    release(&fx);
    for (int i = 0; i < 4; i++) {
        want(PODS[i], binds[i], "");
        ck_assert_str_eq(holder_of_lock(&fx, name), PODS[i]);
        for (int j = i + 1; j < 4; j++)
            ck_assert_msg(!fx_answered(binds[j]), "%s before its turn", PODS[j]);
        serve(&fx, PODS[i]);
    }
    fx_close(&fx);
}
END_TEST

/* A pod of before gets the lock just when ours is asked for, and gives it back while we look at
 * that pod: our books have seen its end by the time that we know of it. */
static struct between {
    struct fx *fx;
    int step, gets;
} between;

static void wait_for_lock(struct fx *fx, bool there)
{
    for (int i = 0; i < 5000 && !lock_is(fx, there); i++)
        pause_ms(1);
    ck_assert(lock_is(fx, there));
}

static void lock_comes_and_goes(void *ctx, const struct kube_request *req)
{
    struct between *b = ctx;
    if (b->step == 0 && req->verb == KUBE_PATCH && req->kind == KUBE_NODE) {
        b->step++;
        fx_patch(b->fx, "nodes/node-a", LOCK("\"2026-09-21T14:13:19Z,ml,holder\""));
        wait_for_lock(b->fx, true);
    } else if (b->step == 1 && req->verb == KUBE_GET && req->kind == KUBE_POD) {
        b->step++;
        release(b->fx);
        wait_for_lock(b->fx, false);
    } else if (b->step > 0 && req->verb == KUBE_GET && req->kind == KUBE_NODE) {
        b->gets++;
    }
}

START_TEST(a_lock_that_is_gone_before_we_know_of_it)
{
    static const struct kube_store_observer OBSERVER = {lock_comes_and_goes, &between};
    const struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 60000};
    struct fx fx;
    fx_open(&fx, CLUSTER, &opt);
    between = (struct between){.fx = &fx};
    kube_store_observe(fx.store, &OBSERVER);
    struct fx_pending *bind = begin(&fx, "p0", "node-a");
    want("p0", bind, "");
    kube_store_observe(fx.store, NULL);
    ck_assert_int_eq(between.step, 2);
    ck_assert_int_eq(between.gets, 1); /* tried again at once, not looked for after a pause */
    fx_close(&fx);
}
END_TEST

/* A plugin that unlocks after the first container: the lock is gone, and the node still not free.
 */
START_TEST(a_turn_ends_when_the_lists_are_served)
{
    struct fx fx;
    open_locked(&fx, 60000);
    release(&fx);
    want("p0", begin(&fx, "p0", "node-a"), "");
    struct fx_pending *next = begin(&fx, "p1", "node-a");
    release(&fx);
    for (int i = 0; i < 5000 && !lock_is(&fx, false); i++)
        pause_ms(1);
    pause_ms(100);
    ck_assert_msg(!fx_answered(next), "bound while the cards of p0 are handed out");
    serve(&fx, "p0");
    want("p1", next, "");
    fx_close(&fx);
}
END_TEST

/* The pod that is served goes while the watches are cut: the relist that does not show it is all
 * that is heard of its end. */
START_TEST(a_turn_ends_when_a_relist_ends_the_pod_before)
{
    static const struct kube_fault_rule POD = {KUBE_FAULT_REFUSED, .kind = KUBE_POD, .times = 1},
                                        NODE = {KUBE_FAULT_REFUSED, .kind = KUBE_NODE,
                                                .times = 1000};
    const struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 15000};
    struct fx fx;
    fx_open(&fx, CLUSTER, &opt);
    fx_patch(&fx, "pods/ml/holder", NULL);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-z", 0, 0));
    want("p0", begin(&fx, "p0", "node-a"), "");
    release(&fx);
    ck_assert(fx_wait_state(&fx, "uid-p0", CLUSTER_STATE_BOUND));
    struct fx_pending *next = begin(&fx, "p1", "node-a");
    struct kube_fault_rule rule;
    for (int verb = 0; verb < 2; verb++) { /* of nodes nothing is heard, of pods only later */
        rule = POD;
        rule.verb = verb ? KUBE_LIST : KUBE_WATCH;
        kube_store_fault(fx.store, &rule);
        rule = NODE;
        rule.verb = verb ? KUBE_LIST : KUBE_WATCH;
        kube_store_fault(fx.store, &rule);
    }
    kube_store_drop_watches(fx.store, true);
    fx_patch(&fx, "pods/ml/p0", NULL);
    want("p1", next, "");
    kube_store_fault_clear(fx.store);
    fx_close(&fx);
}
END_TEST

/* A process that was killed left node-a locked for p1, whose next bind waits behind p0's, or at
 * another node. p0 must not wait for it. */
START_TEST(a_lock_of_before_does_not_wait_for_its_pods_next_bind)
{
    static const char *const NODES[] = {"node-a", "node-b"};
    const char *const node = NODES[_i];
    const struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 6000};
    struct fx fx;
    fx_open(&fx, CLUSTER, &opt);
    fx_patch(&fx, "nodes/node-a", LOCK("\"2026-09-21T14:13:05Z,ml,p1\""));
    fx_patch(&fx, "nodes/node-b", LOCK("\"2026-09-21T14:13:19Z\"")); /* nobody's, and young */
    wait_for_lock(&fx, true);
    struct fx_pending *before, *first;
    if (_i == 0) {
        first = begin(&fx, "p0", "node-a");
        before = begin(&fx, "p1", node);
    } else {
        before = begin(&fx, "p1", node);
        first = begin(&fx, "p0", "node-a");
    }
    want("p0", first, "");
    if (_i == 0)
        serve(&fx, "p0");
    else
        fx_patch(&fx, "nodes/node-b", LOCK("null"));
    want("p1", before, "");
    fx_close(&fx);
}
END_TEST

START_TEST(a_second_call_gets_the_result_of_the_first)
{
    const struct kube_fault_rule forbidden = {KUBE_FAULT_STATUS, .verb = KUBE_BIND, .kind = -1,
                                              .status = 403};
    struct fx fx;
    open_locked(&fx, 60000);
    struct fx_pending *first = begin(&fx, "p0", "node-a"), *again = begin(&fx, "p0", "node-a");
    kube_store_fault(fx.store, &forbidden); /* once: a second try would succeed */
    release(&fx);
    want("first", first, "403");
    want("again", again, "403");
    first = begin(&fx, "p0", "node-a");
    want("the next", first, "");
    fx_close(&fx);
}
END_TEST

START_TEST(a_newer_wish_ends_the_older_before_its_write)
{
    struct fx fx;
    open_locked(&fx, 60000);
    struct fx_pending *older = begin(&fx, "p0", "node-a"), *newer = begin(&fx, "p0", "node-b");
    want("older", older, "a newer call");
    want("newer", newer, "");
    ck_assert(fx_wait_used(&fx, "node-b", "GPU-c", 1, 1000) ||
              fx_wait_used(&fx, "node-b", "GPU-d", 1, 1000));
    fx_close(&fx);
}
END_TEST

START_TEST(who_waits_behind_another_is_told_at_its_deadline)
{
    struct fx fx;
    open_locked(&fx, 60000);
    struct fx_pending *first = begin(&fx, "p0", "node-a");
    fx.app.config.bind_timeout_ms = 200;
    want("its own time is over", begin(&fx, "p0", "node-a"), "is under way; try again");
    want("so is a turn's", begin(&fx, "p1", "node-a"), "are bound there first");
    ck_assert(!fx_answered(first));
    release(&fx);
    want("first", first, "");
    fx_close(&fx);
}
END_TEST

/* Its turn comes with a second left of sixty: what was sent now would most likely end unknown. */
START_TEST(nothing_is_begun_just_before_the_deadline)
{
    struct fx fx;
    char name[128];
    open_locked(&fx, 60000);
    struct fx_pending *late = begin(&fx, "p0", "node-a");
    fx.mono_skew_ms += 58500;
    struct fx_pending *early = begin(&fx, "p1", "node-a");
    fx.mono_skew_ms += 500;
    release(&fx);
    want("late", late, "is over before the Binding was sent");
    want("early", early, "");
    ck_assert_str_eq(holder_of_lock(&fx, name), "p1");
    fx_close(&fx);
}
END_TEST

START_TEST(a_stop_ends_the_waiting)
{
    struct fx fx;
    open_locked(&fx, 60000);
    struct fx_pending *first = begin(&fx, "p0", "node-a"), *second = begin(&fx, "p1", "node-a"),
                      *join = begin(&fx, "p1", "node-a");
    uint64_t before = kube_store_writes(fx.store);
    fx.app.stopping = true;
    ext_turns_stop(fx.app.turns);
    want("first", first, "node lock contention");
    want("second", second, "node lock contention");
    want("join", join, " ");                              /* behind the second, or its result */
    ck_assert(kube_store_writes(fx.store) - before <= 2); /* events */
    fx.app.stopping = false;
    fx_close(&fx);
}
END_TEST

/* The decision of its arrival is looked at again when its turn comes. */
START_TEST(a_card_that_falls_ill_meanwhile_is_not_given)
{
    struct fx fx;
    const char *list;
    open_locked(&fx, 60000);
    struct fx_pending *bind = begin(&fx, "p0", "node-a");
    const char *gone = NULL;
    for (int i = 0; i < 2; i++) { /* whichever it was decided to be */
        struct cluster_snapshot *snap = cluster_store_snapshot(fx.app.store);
        const struct cluster_node *node = cluster_snapshot_find(snap, STR("node-a"));
        if (node->score.devices[i].shares_used == 1)
            gone = str_eq(node->score.devices[i].uuid, STR("GPU-a")) ? "GPU-a" : "GPU-b";
        cluster_snapshot_unref(snap);
    }
    ck_assert_ptr_nonnull(gone);
    const char *ill = strcmp(gone, "GPU-a") == 0
                          ? CARD("GPU-a", 0, "false") "," CARD("GPU-b", 1, "true")
                          : CARD("GPU-a", 0, "true") "," CARD("GPU-b", 1, "false");
    json_t *patch = json_pack("{s:{s:{s:s++}}}", "metadata", "annotations",
                              "hami.io/node-nvidia-register", "[", ill, "]");
    char *text = json_dumps(patch, JSON_COMPACT);
    fx_patch(&fx, "nodes/node-a", text);
    free(text);
    json_decref(patch);
    for (int i = 0; i < 5000; i++) {
        struct cluster_snapshot *snap = cluster_store_snapshot(fx.app.store);
        const struct cluster_node *node = cluster_snapshot_find(snap, STR("node-a"));
        const bool known = node->score.devices_n == 2;
        cluster_snapshot_unref(snap);
        if (known)
            break;
        pause_ms(1);
    }
    release(&fx);
    want("on the other card", bind, "");
    json_t *pod = fx_object(&fx, "pods/ml/p0");
    list = text_of(pod, "hami.io/vgpu-devices-allocated");
    ck_assert_msg(list && !strstr(list, gone), "%s went, given was %s", gone, list);
    json_decref(pod);
    ck_assert(fx_wait_used(&fx, "node-a", gone, 0, 0));
    fx_close(&fx);
}
END_TEST

START_TEST(a_pod_that_goes_meanwhile_is_not_bound)
{
    struct fx fx;
    char name[128];
    open_locked(&fx, 60000);
    struct fx_pending *gone = begin(&fx, "p0", "node-a"), *next = begin(&fx, "p1", "node-a");
    fx_patch(&fx, "pods/ml/p0", NULL);
    for (int i = 0; i < 5000; i++) {
        char node[256];
        if (cluster_pod_state(fx.app.store, STR("uid-p0"), node, sizeof(node)) !=
            CLUSTER_STATE_ASSUMED)
            break;
        pause_ms(1);
    }
    release(&fx);
    want("gone", gone, "was deleted while it waited");
    want("next", next, "");
    ck_assert_str_eq(holder_of_lock(&fx, name), "p1");
    fx_close(&fx);
}
END_TEST

/* ---- what filter and prioritize make of it ---- */

static json_t *ask(struct fx *fx, const char *verb, const char *pod, const char *const *nodes)
{
    unsigned status;
    json_t *got = fx_call(fx, "POST", verb, fx_args(fx, "ml", pod, nodes), &status);
    ck_assert_uint_eq(status, 200);
    return got;
}

static int score_of(json_t *list, const char *host)
{
    size_t i;
    json_t *entry;
    json_array_foreach(
        list, i, entry) if (strcmp(json_string_value(json_object_get(entry, "Host")), host) ==
                            0) return (int)json_integer_value(json_object_get(entry, "Score"));
    ck_abort_msg("%s has no score", host);
    return 0;
}

START_TEST(a_node_with_a_long_queue_is_not_answered)
{
    static const char *const AB[] = {"node-a", "node-b", NULL}, *const A[] = {"node-a", NULL};
    struct fx fx;
    open_locked(&fx, 60000);
    json_t *before = ask(&fx, "/prioritize", "p1", AB);
    ck_assert_int_eq(score_of(before, "node-a"), 10); /* binpack: the holder is there */
    struct fx_pending *bind = begin(&fx, "p0", "node-a");
    fx.mono_skew_ms += 31000; /* it has its turn so long, and a bind has 60 s */
    json_t *both = ask(&fx, "/filter", "p1", AB), *names = json_object_get(both, "NodeNames");
    ck_assert_uint_eq(json_array_size(names), 1);
    ck_assert_str_eq(json_string_value(json_array_get(names, 0)), "node-b");
    json_t *one = ask(&fx, "/filter", "p2", A);
    ck_assert(json_is_null(json_object_get(one, "NodeNames")));
    ck_assert_str_eq(
        json_string_value(json_object_get(json_object_get(one, "FailedNodes"), "node-a")),
        "NodeLocked");
    json_t *after = ask(&fx, "/prioritize", "p1", AB);
    ck_assert_int_eq(score_of(after, "node-a"), 5);
    release(&fx);
    want("p0", bind, "");
    json_t *again = ask(&fx, "/filter", "p2", A);
    ck_assert_uint_eq(json_array_size(json_object_get(again, "NodeNames")), 1);
    json_t *all[] = {before, both, one, after, again};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        json_decref(all[i]);
    fx_close(&fx);
}
END_TEST

/* The charge takes the place of the holds as the bind arrives, not when a worker is free. */
START_TEST(a_bind_is_decided_where_it_arrives)
{
    static const char *const AB[] = {"node-a", "node-b", NULL};
    struct fx fx;
    char node[256];
    fx_open(&fx, CLUSTER, NULL);
    json_decref(ask(&fx, "/filter", "p0", AB));
    ck_assert_uint_eq(cluster_holds_count(fx.app.store), 2);
    struct ext_workers *some = fx.app.workers;
    fx.app.workers = ext_workers_new(0); /* all of them are at other things */
    struct fx_pending *bind = begin(&fx, "p0", "node-b");
    ck_assert_int_eq(cluster_pod_state(fx.app.store, STR("uid-p0"), node, sizeof(node)),
                     CLUSTER_STATE_ASSUMED);
    ck_assert_str_eq(node, "node-b");
    ck_assert_uint_eq(cluster_holds_count(fx.app.store), 0);
    for (int i = 0; i < 5000 && !fx_answered(bind); i++)
        if (!ext_workers_step(fx.app.workers))
            pause_ms(1);
    want("p0", bind, "");
    ext_workers_free(fx.app.workers);
    fx.app.workers = some;
    fx_close(&fx);
}
END_TEST

/* ---- without threads, on a clock that the test moves ---- */

static int64_t at_ms;
static int64_t mono(void *ctx)
{
    (void)ctx;
    return at_ms * 1000000;
}

struct step {
    struct ext_turn turn;
    int goes;
};
static void go(struct ext_turn *t) { ((struct step *)(void *)t)->goes++; }

static struct step step_of(const char *name, const char *node)
{
    struct step s = {.turn = {.ns = "ml", .go = go, .deadline_ms = 5000}};
    (void)snprintf(s.turn.name, sizeof(s.turn.name), "%s", name);
    (void)snprintf(s.turn.uid, sizeof(s.turn.uid), "uid-%s", name);
    (void)snprintf(s.turn.node, sizeof(s.turn.node), "%s", node);
    return s;
}

static void run_all(struct ext_app *app)
{
    while (ext_turns_step(app->turns) || ext_workers_step(app->workers))
        ;
}

START_TEST(in_one_thread)
{
    const struct clock clock = {.mono_ns = mono, .wall_ns = mono};
    struct ext_app app = {.clock = &clock, .workers = ext_workers_new(0)};
    struct err err = {0};
    at_ms = 1000;
    ck_assert(!ext_turns_new(&app, false, &app.turns, &err));
    struct step a = step_of("a", "n"), b = step_of("b", "n"), c = step_of("c", "m");
    ck_assert_int_eq(ext_turn_enter(app.turns, &a.turn, &err), EXT_ENTERED);
    ck_assert_int_eq(ext_turn_enter(app.turns, &b.turn, &err), EXT_ENTERED);
    ck_assert_int_eq(ext_turn_enter(app.turns, &c.turn, &err), EXT_ENTERED);
    ck_assert(ext_turn_mine(&a.turn) && !ext_turn_mine(&b.turn) && ext_turn_mine(&c.turn));
    ext_turn_park(&a.turn, 2000);
    ext_turn_park(&b.turn, 9000);
    run_all(&app);
    ck_assert_int_eq(a.goes + b.goes + c.goes, 0);
    ck_assert(ext_turns_writes(app.turns, STR("ml"), STR("a"), STR("n")));
    ck_assert(!ext_turns_writes(app.turns, STR("ml"), STR("b"), STR("n"))); /* behind a */
    ext_turns_look(app.turns, STR("n"));                                    /* the first alone */
    run_all(&app);
    ck_assert_int_eq(a.goes, 1);
    ck_assert_int_eq(b.goes, 0);
    ext_turns_look(app.turns, STR("n")); /* while it runs: not lost */
    ext_turn_park(&a.turn, 2000);
    run_all(&app);
    ck_assert_int_eq(a.goes, 2);
    ext_turn_park(&a.turn, 2000);
    at_ms = 2000;
    run_all(&app);
    ck_assert_int_eq(a.goes, 3);
    ck_assert_int_eq(b.goes, 0);
    /* a has had its turn for 1 s, and b waits for one like it */
    ck_assert_int_ge(ext_turns_wait_ms(app.turns, STR("n")), 1000);
    ck_assert_int_lt(ext_turns_wait_ms(app.turns, STR("other")), 1);
    ext_turn_leave(&a.turn, &err);
    run_all(&app);
    ck_assert_int_eq(b.goes, 1);
    ck_assert(ext_turn_mine(&b.turn));
    at_ms = 4999;
    ext_turn_park(&b.turn, 9000); /* no longer than its deadline */
    run_all(&app);
    ck_assert_int_eq(b.goes, 1);
    at_ms = 5000;
    run_all(&app);
    ck_assert_int_eq(b.goes, 2);
    ck_assert(ext_turns_writes(app.turns, STR("ml"), STR("b"), STR("n")));
    ck_assert(!ext_turns_writes(app.turns, STR("ml"), STR("b"), STR("m")));
    ck_assert(!ext_turns_writes(app.turns, STR("ml"), STR("a"), STR("n")));
    ext_turn_leave(&b.turn, &err);
    ext_turn_leave(&c.turn, &err);
    ck_assert_uint_eq(ext_turns_count(app.turns), 0);
    ck_assert(!ext_turns_any(app.turns));
    ext_turns_free(app.turns);
    ext_workers_free(app.workers);
}
END_TEST

static void queue_up(struct ext_app *app, struct step *s, const char *name, const char *node)
{
    struct err err = {0};
    *s = step_of(name, node);
    ck_assert_int_eq(ext_turn_enter(app->turns, &s->turn, &err), EXT_ENTERED);
    err_ignore(ext_turn_mine(&s->turn) ? ERR_OK : ERR_BUSY);
}

static void leave(struct step *s, enum err_code code)
{
    const struct err result = {.code = code};
    ext_turn_leave(&s->turn, &result);
}

/* What filter goes by when it leaves a node out. */
START_TEST(how_long_a_turn_is_taken_to_last)
{
    const struct clock clock = {.mono_ns = mono, .wall_ns = mono};
    struct ext_app app = {
        .clock = &clock, .config.bind_timeout_ms = 16000, .workers = ext_workers_new(0)};
    struct err err = {0};
    struct step a, b, c, d;
    at_ms = 1000;
    ck_assert(!ext_turns_new(&app, false, &app.turns, &err));
    /* nothing is known: eight of them are half of a bind's time */
    queue_up(&app, &a, "a", "n");
    queue_up(&app, &b, "b", "n");
    queue_up(&app, &c, "c", "n");
    ck_assert_int_eq(ext_turns_wait_ms(app.turns, STR("n")), 3000);
    /* all of them have waited for too long: the first one's turn was long, the others had none */
    at_ms = 6000;
    leave(&a, ERR_BUSY);
    ck_assert_int_eq(ext_turns_wait_ms(app.turns, STR("n")), 2 * 2000);
    leave(&b, ERR_BUSY);
    leave(&c, ERR_BUSY);
    queue_up(&app, &a, "a", "n");
    ck_assert_int_eq(ext_turns_wait_ms(app.turns, STR("n")), 2000);
    /* a short one that ended in a Binding is worth believing */
    at_ms += 400;
    leave(&a, ERR_OK);
    queue_up(&app, &a, "a", "n");
    ck_assert_int_eq(ext_turns_wait_ms(app.turns, STR("n")), 1600);
    /* another node's turns say nothing of a node that has had its own */
    queue_up(&app, &b, "b", "n");
    at_ms += 6000;
    leave(&a, ERR_OK);
    ck_assert_int_eq(ext_turns_wait_ms(app.turns, STR("n")), 2700);
    queue_up(&app, &c, "c", "m");
    at_ms += 100;
    leave(&c, ERR_OK);
    queue_up(&app, &d, "d", "m");
    ck_assert_int_eq(ext_turns_wait_ms(app.turns, STR("m")), 2050);
    ck_assert_int_eq(ext_turns_wait_ms(app.turns, STR("n")), 2700);
    leave(&b, ERR_OK);
    leave(&d, ERR_OK);
    ext_turns_free(app.turns);
    ext_workers_free(app.workers);
}
END_TEST

/* All share the workers and the API server: many short queues are as slow as a long one. */
START_TEST(who_waits_anywhere_makes_all_wait)
{
    const struct clock clock = {.mono_ns = mono, .wall_ns = mono};
    struct ext_app app = {
        .clock = &clock, .config.bind_timeout_ms = 8000, .workers = ext_workers_new(0)};
    struct err err = {0};
    struct score_ask asks[2] = {{0}};
    struct score_request locked = {.asks = &asks[0], .asks_n = 1},
                         free_of_it = {.asks = &asks[1], .asks_n = 1};
    static struct step steps[40];
    char node[8];
    ck_assert(!vendor_table_builtin(&app.vendors, &err));
    for (uint16_t v = 0; v < vendor_count(app.vendors); v++)
        asks[vendor_at(app.vendors, v)->rules & VENDOR_RULE_LOCK ? 0 : 1].vendor = v;
    at_ms = 1000;
    ck_assert(!ext_turns_new(&app, false, &app.turns, &err));
    for (int i = 0; i < 40; i++) { /* one at each node, and each ends 200 ms after the other */
        (void)snprintf(node, sizeof(node), "n%d", i);
        queue_up(&app, &steps[i], node, node);
    }
    ck_assert(!ext_turns_full(&app, &locked, STR("n39")));
    for (int i = 0; i < 15; i++) {
        at_ms += 200;
        leave(&steps[i], ERR_OK);
    }
    /* 25 at 200 ms are 5 s, though each of them would have its own node's turn in less than 4 */
    ck_assert_int_lt(ext_turns_wait_ms(app.turns, STR("n39")), 4000);
    ck_assert(ext_turns_full(&app, &locked, STR("n39")));
    ck_assert(!ext_turns_full(&app, &free_of_it, STR("n39")));
    ck_assert(!ext_turns_full(&app, &locked, STR("n0"))); /* nobody waits there */
    for (int i = 15; i < 30; i++)
        leave(&steps[i], ERR_BUSY); /* these tell nothing of how fast it goes */
    ck_assert(!ext_turns_full(&app, &locked, STR("n39")));
    for (int i = 30; i < 40; i++)
        leave(&steps[i], ERR_BUSY);
    ext_turns_free(app.turns);
    ext_workers_free(app.workers);
    vendor_table_free(app.vendors);
}
END_TEST

static void nothing(void *ctx) { ++*(int *)ctx; }

/* The workers have no room for it just then. */
START_TEST(a_full_queue_loses_nobody)
{
    const struct clock clock = {.mono_ns = mono, .wall_ns = mono};
    struct ext_app app = {.clock = &clock, .workers = ext_workers_new(0)};
    struct err err = {0};
    int queued = 0, done = 0;
    at_ms = 1000;
    ck_assert(!ext_turns_new(&app, false, &app.turns, &err));
    struct step a = step_of("a", "n");
    ck_assert_int_eq(ext_turn_enter(app.turns, &a.turn, &err), EXT_ENTERED);
    ck_assert(ext_turn_mine(&a.turn));
    ext_turn_park(&a.turn, 4000);
    while (ext_workers_run(app.workers, nothing, &done))
        queued++;
    ext_turns_look(app.turns, STR("n"));
    run_all(&app);
    ck_assert_int_eq(done, queued);
    ck_assert_int_eq(a.goes, 0);
    at_ms = 1010; /* a moment later, and long before its own time */
    run_all(&app);
    ck_assert_int_eq(a.goes, 1);
    ext_turn_leave(&a.turn, &err);
    ext_turns_free(app.turns);
    ext_workers_free(app.workers);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("turns");
    TCase *t = tcase_create("turns");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, turns_are_taken_in_the_order_of_arrival);
    tcase_add_test(t, a_lock_that_is_gone_before_we_know_of_it);
    tcase_add_test(t, a_turn_ends_when_the_lists_are_served);
    tcase_add_test(t, a_turn_ends_when_a_relist_ends_the_pod_before);
    tcase_add_loop_test(t, a_lock_of_before_does_not_wait_for_its_pods_next_bind, 0, 2);
    tcase_add_test(t, a_second_call_gets_the_result_of_the_first);
    tcase_add_test(t, a_newer_wish_ends_the_older_before_its_write);
    tcase_add_test(t, who_waits_behind_another_is_told_at_its_deadline);
    tcase_add_test(t, nothing_is_begun_just_before_the_deadline);
    tcase_add_test(t, a_stop_ends_the_waiting);
    tcase_add_test(t, a_card_that_falls_ill_meanwhile_is_not_given);
    tcase_add_test(t, a_pod_that_goes_meanwhile_is_not_bound);
    tcase_add_test(t, a_node_with_a_long_queue_is_not_answered);
    tcase_add_test(t, a_bind_is_decided_where_it_arrives);
    tcase_add_test(t, in_one_thread);
    tcase_add_test(t, how_long_a_turn_is_taken_to_last);
    tcase_add_test(t, who_waits_anywhere_makes_all_wait);
    tcase_add_test(t, a_full_queue_loses_nobody);
    suite_add_tcase(s, t);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
