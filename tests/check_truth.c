/* The books follow the truth: what others write on pods and nodes, by mistake or on purpose, as
 * seen by those who ask us (/filter, /v1/nodes, /v1/audit, /metrics, the pod's events). Each story
 * is looked at twice: while we watch it happen, and after a restart of ours, which knows nothing
 * but what stands at the API server. */
#include "verbs_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

/* ---- clusters ---- */

#define CARD_IN(id, index, health)                                                                 \
    "{\"id\":\"" id "\",\"index\":" #index ",\"count\":10,\"devmem\":24576"                        \
    ",\"devcore\":100,\"type\":\"NVIDIA A10\",\"mode\":\"hami-core\",\"health\":" health "}"
#define CARD(id, index) CARD_IN(id, index, "true")
#define NODE_OF(cards)                                                                             \
    "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"node-a\",\"annotations\":{" \
    "\"hami.io/node-nvidia-register\":'[" cards "]'}},\"status\":{\"allocatable\":{\"nvidia.com/"  \
    "gpu\":\"20\"}}}\n"
#define NODE(cards) "---\n" NODE_OF(cards)
#define A_AND_B     NODE(CARD("GPU-a", 0) "," CARD("GPU-b", 1))
#define ONLY_A      NODE(CARD("GPU-a", 0))
#define ASKS(gpu, mem, cores)                                                                      \
    "{\"name\":\"main\",\"image\":\"x\",\"resources\":{\"limits\":{\"nvidia.com/gpu\":\"" #gpu     \
    "\",\"nvidia.com/gpumem\":\"" #mem "\",\"nvidia.com/gpucores\":\"" #cores "\"}}}"
#define POD(name, notes, where, containers, phase)                                                 \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name                  \
    "\",\"namespace\":\"ml\",\"uid\":\"uid-" name "\",\"annotations\":{" notes "}},\"spec\":{"     \
    "\"schedulerName\":\"cardinal-scheduler\"" where ",\"containers\":[" containers "]}"           \
    ",\"status\":{\"phase\":\"" phase "\"}}\n"
#define WAITING(name, mem) POD(name, "", "", ASKS(1, mem, 10), "Pending")
#define LIST               "hami.io/vgpu-devices-allocated"
#define RUNNING(name, list, asks)                                                                  \
    POD(name,                                                                                      \
        "\"hami.io/vgpu-node\":\"node-a\",\"" LIST "\":\"" list                                    \
        "\",\"hami.io/vgpu-devices-to-allocate\":\";;\"",                                          \
        ",\"nodeName\":\"node-a\"", asks, "Running")

/* ---- what is seen ---- */

struct seen {
    const char *cards; /* "GPU-a 1/6144/30, …": shares, MiB and percent in use, in order; "none": no
                          such node */
    const char *filter; /* what a small pod is told of the node: "fits", or the code */
    const char *why;    /* of a contradiction that the audit names, a part; NULL: it names none */
    int fail_closed, tampered, lent;
    const char *event; /* of pod "old": its reason; NULL: none of ours about its allocation */
};

static json_t *get(struct fx *fx, const char *target, unsigned want)
{
    unsigned status;
    json_t *got = fx_call(fx, "GET", target, NULL, &status);
    ck_assert_msg(status == want, "%s: status %u", target, status);
    return got;
}

static int used(const json_t *card, const char *what)
{
    return (int)json_integer_value(json_object_get(json_object_get(card, what), "used"));
}

static void cards_text(struct fx *fx, struct buf *out)
{
    unsigned status;
    json_t *node = fx_call(fx, "GET", "/v1/nodes/node-a", NULL, &status), *card;
    size_t i;
    if (status != 200)
        buf_add(out, STR("none"));
    json_array_foreach(json_object_get(node, "cards"), i, card)
    {
        buf_fmt(out, "%s%s %d/%d/%d", i ? ", " : "",
                json_string_value(json_object_get(card, "uuid")), used(card, "shares"),
                used(card, "memoryMiB"), used(card, "coresPercent"));
    }
    buf_char(out, '\0');
    json_decref(node);
}

static void filter_text(struct fx *fx, const char *pod, char *out, size_t max)
{
    static const char *const A[] = {"node-a", NULL};
    unsigned status;
    json_t *got = fx_call(fx, "POST", "/filter", fx_args(fx, "ml", pod, A), &status);
    const char *full = json_string_value(
                   json_object_get(json_object_get(got, "FailedNodes"), "node-a")),
               *never = json_string_value(
                   json_object_get(json_object_get(got, "FailedAndUnresolvableNodes"), "node-a"));
    snprintf(out, max, "%s", full ? full : never ? never : "fits");
    json_decref(got);
    cluster_hold_drop(fx->app.store, STR("uid-small")); /* it only asked */
}

/* Every contradiction has its text of what is done; one of them holds `why`. */
static void want_audit(struct fx *fx, const char *name, const char *why)
{
    json_t *got = get(fx, "/v1/audit", 200), *one;
    char *text = json_dumps(got, 0);
    bool found = false;
    size_t i;
    json_array_foreach(json_object_get(got, "contradictions"), i, one)
    {
        const char *says = json_string_value(json_object_get(one, "why")),
                   *done = json_string_value(json_object_get(one, "done"));
        ck_assert_msg(says && done && *done, "%s: %s", name, text);
        found |= why && strstr(says, why);
    }
    ck_assert_msg(why ? found : i == 0, "%s: want \"%s\" in %s", name, why ? why : "(nothing)",
                  text);
    ck_assert_msg(json_integer_value(json_object_get(got, "repairs")) == 0, "%s: %s", name, text);
    free(text);
    json_decref(got);
}

struct told {
    const char *reason;
    bool is;
};

static enum err_code on_event(void *ctx, struct str object, struct err *err)
{
    struct told *t = ctx;
    (void)err;
    json_t *event = json_loadb(object.p, object.n, 0, NULL);
    const char *reason = json_string_value(json_object_get(event, "reason")),
               *pod = json_string_value(
                   json_object_get(json_object_get(event, "involvedObject"), "name"));
    if (reason && pod && !strcmp(pod, "old"))
        t->is |= t->reason ? !strcmp(reason, t->reason) : !strncmp(reason, "Allocation", 10);
    json_decref(event);
    return ERR_OK;
}

static bool is_told(struct fx *fx, const char *reason)
{
    struct told t = {.reason = reason};
    struct kube_list_options opt = {0};
    struct kube_list_handler handler = {.item = on_event, .ctx = &t};
    char version[KUBE_RV_MAX];
    struct err err;
    ck_assert(!kube_list(fx->app.kube, KUBE_EVENT, &opt, NULL, &handler, version, &err));
    return t.is;
}

static void pause_ms(long ms) { nanosleep(&(struct timespec){.tv_nsec = ms * 1000000}, NULL); }

static void want(struct fx *fx, const char *name, const struct seen *s)
{
    struct buf cards;
    char answer[256];
    buf_init(&cards, 4096);
    cards_text(fx, &cards);
    ck_assert_msg(!strcmp(cards.p, s->cards), "%s: cards %s, want %s", name, cards.p, s->cards);
    buf_done(&cards);
    filter_text(fx, "small", answer, sizeof(answer));
    ck_assert_msg(!strcmp(answer, s->filter), "%s: filter says %s, want %s", name, answer,
                  s->filter);
    want_audit(fx, name, s->why);
    ck_assert_msg(fx_metric(fx, "cardinald_pods_fail_closed") == s->fail_closed, "%s: fail-closed",
                  name);
    ck_assert_msg(fx_metric(fx, "cardinald_pods_tampered") == s->tampered, "%s: tampered", name);
    ck_assert_msg(fx_metric(fx, "cardinald_devices_lent") == s->lent, "%s: lent", name);
    ck_assert_msg(fx_metric(fx, "cardinald_ledger_repairs_total") == 0, "%s: repairs", name);
    for (int i = 0; s->event && i < 500 && !is_told(fx, s->event); i++)
        pause_ms(10); /* the queue's worker writes it */
    ck_assert_msg(is_told(fx, s->event) == (s->event != NULL), "%s: event %s", name,
                  s->event ? s->event : "(none)");
}

/* ---- what happens ---- */

/* Until our watches have shown everything that was written before. */
static void watched(struct fx *fx)
{
    static int n;
    char body[256], path[64];
    snprintf(path, sizeof(path), "nodes/mark-%d", ++n);
    snprintf(body, sizeof(body),
             "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"mark-%d\"}}", n);
    for (int there = 1; there >= 0; there--) {
        bool is = !there;
        if (there)
            fx_create(fx, path, body);
        else
            fx_patch(fx, path, NULL);
        for (int i = 0; i < 2500 && is != (there == 1); i++) {
            struct cluster_snapshot *snap = cluster_store_snapshot(fx->app.store);
            is = cluster_snapshot_find(snap, str_z(path + 6)) != NULL;
            cluster_snapshot_unref(snap);
            pause_ms(2);
        }
        ck_assert(is == (there == 1));
    }
    snprintf(path, sizeof(path), "pods/ml/mark-%d", n);
    snprintf(body, sizeof(body),
             "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"mark-%d\","
             "\"namespace\":\"ml\"},\"spec\":{\"containers\":[" ASKS(1, 1, 1) "]}}",
             n);
    fx_create(fx, path, body);
    json_t *pod = fx_object(fx, path);
    ck_assert(fx_wait_state(
        fx, json_string_value(json_object_get(json_object_get(pod, "metadata"), "uid")),
        CLUSTER_STATE_WAITING));
    json_decref(pod);
    fx_patch(fx, path, NULL);
}

static void annotate(struct fx *fx, const char *path, const char *key, const char *value)
{
    json_t *patch = json_pack("{s:{s:{s:s?}}}", "metadata", "annotations", key, value);
    char *text = json_dumps(patch, 0);
    fx_patch(fx, path, text);
    free(text);
    json_decref(patch);
}

static void registers(struct fx *fx, const char *cards)
{
    annotate(fx, "nodes/node-a", "hami.io/node-nvidia-register", cards);
}

static void bind_old(struct fx *fx)
{
    unsigned status;
    json_t *got = fx_call(fx, "POST", "/bind", fx_bind_args(fx, "ml", "old", "node-a"), &status);
    ck_assert_str_eq(json_string_value(json_object_get(got, "Error")), "");
    json_decref(got);
    ck_assert(fx_wait_state(fx, "uid-old", CLUSTER_STATE_BOUND));
    annotate(fx, "pods/ml/old", "hami.io/vgpu-devices-to-allocate", ";;");
    annotate(fx, "nodes/node-a", "hami.io/mutex.lock", NULL);
    fx_patch(fx, "pods/ml/old", "{\"status\":{\"phase\":\"Running\"}}");
}

static void edit_old(struct fx *fx)
{
    bind_old(fx);
    annotate(fx, "pods/ml/old", LIST, "GPU-b,NVIDIA,1,1:;");
}

static void strip_old(struct fx *fx)
{
    bind_old(fx);
    annotate(fx, "pods/ml/old", LIST, NULL);
    annotate(fx, "pods/ml/old", "hami.io/vgpu-node", NULL);
}

static void another_binds(struct fx *fx)
{
    fx_create(
        fx, "pods/ml/late",
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"late\",\"namespace\":"
        "\"ml\",\"annotations\":{\"" LIST "\":\"GPU-b,NVIDIA,8000,20:;\"}},\"spec\":{"
        "\"nodeName\":\"node-a\",\"containers\":[" ASKS(1, 8000, 20) "]}}");
}

static void vanish(struct fx *fx) { fx_patch(fx, "nodes/node-a", NULL); }

static void come_back(struct fx *fx)
{
    vanish(fx);
    watched(fx);
    json_t *node = json_loads(
        "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"node-a\"},\"status\":{"
        "\"allocatable\":{\"nvidia.com/gpu\":\"20\"}}}",
        0, NULL);
    json_object_set_new(json_object_get(node, "metadata"), "annotations",
                        json_pack("{s:s}", "hami.io/node-nvidia-register",
                                  "[" CARD("GPU-a", 0) "," CARD("GPU-b", 1) "]"));
    char *text = json_dumps(node, 0);
    fx_create(fx, "nodes/node-a", text);
    free(text);
    json_decref(node);
}

static void fewer(struct fx *fx) { registers(fx, "[" CARD("GPU-b", 1) "]"); }
static void more(struct fx *fx)
{
    fewer(fx);
    watched(fx);
    registers(fx, "[" CARD("GPU-c", 2) "," CARD("GPU-a", 0) "," CARD("GPU-b", 1) "]");
}
static void new_uuids(struct fx *fx)
{
    registers(fx, "[" CARD("GPU-x", 0) "," CARD("GPU-y", 1) "]");
}
static void shrink(struct fx *fx)
{
    registers(fx, "[{\"id\":\"GPU-a\",\"index\":0,\"count\":10,\"devmem\":4096,\"devcore\":100,"
                  "\"type\":\"NVIDIA A10\",\"mode\":\"hami-core\",\"health\":true}]");
}

#define OLD RUNNING("old", "GPU-a,NVIDIA,6144,30:;", ASKS(1, 6144, 30))
static const struct story {
    const char *name, *cluster;
    void (*happens)(struct fx *fx); /* NULL: it was so before us */
    struct seen now, restarted;     /* restarted.cards NULL: the same */
} STORIES[] = {
    {"pods observed with allocation annotations",
     A_AND_B OLD,
     another_binds,
     {"GPU-a 1/6144/30, GPU-b 1/8000/20", "fits", NULL, 0, 0, 0, NULL},
     {0}},
    {"contradictions: less than it asks for",
     A_AND_B RUNNING("old", "GPU-a,NVIDIA,1,1:;", ASKS(1, 6144, 30)),
     NULL,
     {"GPU-a 1/6144/30, GPU-b 0/0/0", "fits", NULL, 0, 0, 0, NULL},
     {0}},
    {"contradictions: fewer cards than it asks for",
     A_AND_B RUNNING("old", "GPU-a,NVIDIA,6144,30:;", ASKS(2, 6144, 30)),
     NULL,
     {"GPU-a 1/6144/30, GPU-b 0/0/0", "NodeDevicesUnaccounted", "do not say which cards", 1, 0, 0,
      "AllocationUnaccounted"},
     {0}},
    {"contradictions: for a container that it does not have",
     A_AND_B RUNNING("old", ";GPU-a,NVIDIA,6144,30:;", ASKS(1, 6144, 30)),
     NULL,
     {"GPU-a 0/0/0, GPU-b 0/0/0", "NodeDevicesUnaccounted", "do not say which cards", 1, 0, 0,
      "AllocationUnaccounted"},
     {0}},
    {"contradictions: another node in its annotation",
     A_AND_B POD("old", "\"hami.io/vgpu-node\":\"node-z\",\"" LIST "\":\"GPU-a,NVIDIA,6144,30:;\"",
                 ",\"nodeName\":\"node-a\"", ASKS(1, 6144, 30), "Running"),
     NULL,
     {"GPU-a 1/6144/30, GPU-b 0/0/0", "fits", NULL, 0, 0, 0, NULL},
     {0}},
    {"negative memory",
     A_AND_B RUNNING("old", "GPU-a,NVIDIA,-6144,30:;", ASKS(1, 6144, 30)),
     NULL,
     {"GPU-a 0/0/0, GPU-b 0/0/0", "NodeDevicesUnaccounted", "do not say which cards", 1, 0, 0,
      "AllocationUnaccounted"},
     {0}},
    {"negative cores",
     A_AND_B RUNNING("old", "GPU-a,NVIDIA,6144,-1:;", ASKS(1, 6144, 30)),
     NULL,
     {"GPU-a 0/0/0, GPU-b 0/0/0", "NodeDevicesUnaccounted", "do not say which cards", 1, 0, 0,
      "AllocationUnaccounted"},
     {0}},
    {"cards that don't exist",
     A_AND_B RUNNING("old", "GPU-z,NVIDIA,6144,30:;", ASKS(1, 6144, 30)),
     NULL,
     {"GPU-a 0/0/0, GPU-b 0/0/0", "fits", "a card that the node does not have", 0, 0, 0, NULL},
     {0}},
    {"two pods on one exclusive card",
     ONLY_A RUNNING("old", "GPU-a,NVIDIA,24576,100:;", ASKS(1, 24576, 100))
         RUNNING("too", "GPU-a,NVIDIA,24576,100:;", ASKS(1, 24576, 100)),
     NULL,
     {"GPU-a 2/49152/200", "CardInsufficientMemory", "more of it is given away", 0, 0, 1, NULL},
     {0}},
    {"edited annotations of running pods",
     A_AND_B POD("old", "", "", ASKS(1, 6144, 30), "Pending"),
     edit_old,
     {"GPU-a 1/6144/30, GPU-b 0/0/0", "fits", "have changed since it was bound", 0, 1, 0,
      "AllocationChanged"},
     /* what it was is known to nobody now: at least what it asks for, where it says */
     {"GPU-a 0/0/0, GPU-b 1/6144/30", "fits", NULL, 0, 0, 0, "AllocationChanged"}},
    {"deleted annotations of running pods",
     A_AND_B POD("old", "", "", ASKS(1, 6144, 30), "Pending"),
     strip_old,
     {"GPU-a 1/6144/30, GPU-b 0/0/0", "fits", "have changed since it was bound", 0, 1, 0,
      "AllocationChanged"},
     {"GPU-a 0/0/0, GPU-b 0/0/0", "NodeDevicesUnaccounted", "do not say which cards", 1, 0, 0,
      "AllocationUnaccounted"}},
    {"nodes that vanish",
     A_AND_B OLD,
     vanish,
     {"none", "NodeUnknown", "a node that is not there", 0, 0, 0, NULL},
     {0}},
    {"nodes that come back",
     A_AND_B OLD,
     come_back,
     {"GPU-a 1/6144/30, GPU-b 0/0/0", "fits", NULL, 0, 0, 0, NULL},
     {0}},
    {"nodes that come back with fewer cards",
     A_AND_B OLD,
     fewer,
     {"GPU-b 0/0/0", "fits", "a card that the node does not have", 0, 0, 0, NULL},
     {0}},
    {"nodes that come back with more cards",
     A_AND_B OLD,
     more,
     {"GPU-a 1/6144/30, GPU-b 0/0/0, GPU-c 0/0/0", "fits", NULL, 0, 0, 0, NULL},
     {0}},
    {"nodes that come back with smaller cards",
     A_AND_B OLD,
     shrink,
     {"GPU-a 1/6144/30", "CardInsufficientMemory", "more of it is given away", 0, 0, 1, NULL},
     {0}},
    {"nodes that change UUIDs",
     A_AND_B OLD,
     new_uuids,
     {"GPU-x 0/0/0, GPU-y 0/0/0", "fits", "a card that the node does not have", 0, 0, 0, NULL},
     {0}},
};

static const char *const ALL[] = {"pods/ml/old", "pods/ml/too", "pods/ml/late"};

START_TEST(follow_the_truth)
{
    const struct story *s = &STORIES[_i];
    struct fx fx;
    char cluster[8192], name[160];
    snprintf(cluster, sizeof(cluster), "%s%s", s->cluster, WAITING("small", 1000));
    fx_open(&fx, cluster, NULL);
    if (s->happens)
        s->happens(&fx);
    watched(&fx);
    want(&fx, s->name, &s->now);
    fx_restart(&fx);
    snprintf(name, sizeof(name), "%s, after a restart", s->name);
    want(&fx, name, s->restarted.cards ? &s->restarted : &s->now);
    for (int i = 0; i < COUNT(ALL); i++) { /* it lasts until they end, and no longer */
        json_t *pod = fx_object(&fx, ALL[i]);
        if (pod)
            fx_patch(&fx, ALL[i], NULL);
        json_decref(pod);
    }
    watched(&fx);
    char answer[256];
    filter_text(&fx, "small", answer, sizeof(answer));
    ck_assert_str_eq(answer, strcmp(s->now.cards, "none") ? "fits" : "NodeUnknown");
    snprintf(name, sizeof(name), "%s, when all have ended", s->name);
    want_audit(&fx, name, NULL);
    ck_assert_int_eq(fx_metric(&fx, "cardinald_pods_fail_closed"), 0);
    ck_assert_int_eq(fx_metric(&fx, "cardinald_devices_lent"), 0);
    fx_close(&fx);
}
END_TEST

/* ---- decided by HAMi, and not bound yet ---- */

#define DECIDED(name, list)                                                                        \
    POD(name, "\"hami.io/vgpu-node\":\"node-a\",\"" LIST "\":\"" list "\"", "",                    \
        ASKS(1, 20000, 30), "Pending")
#define MIGRATION ONLY_A DECIDED("old", "GPU-a,NVIDIA,20000,30:;") WAITING("small", 8000)

static void want_card(struct fx *fx, const char *what, const char *cards, const char *filter)
{
    struct buf text;
    char answer[256];
    filter_text(fx, "small", answer, sizeof(answer)); /* it tells the time as well */
    buf_init(&text, 4096);
    cards_text(fx, &text);
    ck_assert_msg(!strcmp(text.p, cards) && !strcmp(answer, filter), "%s: %s, %s", what, text.p,
                  answer);
    buf_done(&text);
}

START_TEST(unbound_pods_of_hami_count_with_a_flag_alone)
{
    struct fx fx;
    fx_open(&fx, MIGRATION, NULL);
    watched(&fx);
    want_card(&fx, "without the flag", "GPU-a 0/0/0", "fits");
    fx_close(&fx);
}
END_TEST

static const struct fx_options ADOPTS = {.shortlist = -1, .adopt_unbound = true};
#define TAKEN "GPU-a 1/20000/30"

START_TEST(adopted_for_a_minute)
{
    struct fx fx;
    fx_open(&fx, MIGRATION, &ADOPTS);
    for (int restarted = 0; restarted < 2; restarted++) { /* each process gives it a minute */
        watched(&fx);
        want_card(&fx, "seen", TAKEN, "CardInsufficientMemory");
        want_audit(&fx, "in flight", NULL);
        fx.mono_skew_ms += 30000;
        annotate(&fx, "pods/ml/old", "somebody", restarted ? "else" : "writes");
        watched(&fx);
        want_card(&fx, "an event is not a second minute", TAKEN, "CardInsufficientMemory");
        fx.mono_skew_ms += 29000;
        want_card(&fx, "almost", TAKEN, "CardInsufficientMemory");
        fx.mono_skew_ms += 2000;
        want_card(&fx, "over", "GPU-a 0/0/0", "fits");
        annotate(&fx, "pods/ml/old", "somebody", restarted ? "is late" : "was late");
        watched(&fx);
        want_card(&fx, "it is not taken in again", "GPU-a 0/0/0", "fits");
        want_audit(&fx, "over", NULL);
        if (!restarted)
            fx_restart(&fx);
    }
    fx_close(&fx);
}
END_TEST

static const struct {
    const char *name, *path, *body; /* of what ends it early */
    const char *cards, *filter;
} ADOPTIONS[] = {
    {"HAMi takes it back", "pods/ml/old",
     "{\"metadata\":{\"annotations\":{\"hami.io/vgpu-node\":null,\"" LIST "\":null}}}",
     "GPU-a 0/0/0", "fits"},
    {"it is deleted", "pods/ml/old", NULL, "GPU-a 0/0/0", "fits"},
    {"it fails", "pods/ml/old", "{\"status\":{\"phase\":\"Failed\"}}", "GPU-a 0/0/0", "fits"},
    {"HAMi decides anew", "pods/ml/old",
     "{\"metadata\":{\"annotations\":{\"" LIST "\":\"GPU-a,NVIDIA,21000,40:;\"}}}",
     "GPU-a 1/21000/40", "CardInsufficientMemory"},
    {"it names no cards that can be read: nobody's yet", "pods/ml/old",
     "{\"metadata\":{\"annotations\":{\"" LIST "\":\"GPU-a,NVIDIA,-1,40:;\"}}}", "GPU-a 0/0/0",
     "fits"},
};

START_TEST(adopted_until_it_ends)
{
    struct fx fx;
    fx_open(&fx, MIGRATION, &ADOPTS);
    watched(&fx);
    want_card(&fx, ADOPTIONS[_i].name, TAKEN, "CardInsufficientMemory");
    fx_patch(&fx, ADOPTIONS[_i].path, ADOPTIONS[_i].body);
    watched(&fx);
    want_card(&fx, ADOPTIONS[_i].name, ADOPTIONS[_i].cards, ADOPTIONS[_i].filter);
    fx_close(&fx);
}
END_TEST

/* Bound within its minute it is a pod like any other, for as long as it runs. */
START_TEST(adopted_and_then_bound)
{
    struct fx fx;
    fx_open(&fx, MIGRATION, &ADOPTS);
    watched(&fx);
    want_card(&fx, "decided", TAKEN, "CardInsufficientMemory");
    struct kube_request req = {
        .verb = KUBE_BIND,
        .kind = KUBE_POD,
        .ns = STR("ml"),
        .name = STR("old"),
        .body = STR("{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":\"old\"},"
                    "\"target\":{\"kind\":\"Node\",\"name\":\"node-a\"}}"),
        .timeout_ms = 1000};
    struct kube_response resp;
    struct err err;
    ck_assert_msg(!kube_call(fx.app.kube, &req, &resp, &err), "%s", err.text);
    kube_response_done(&resp);
    watched(&fx);
    fx.mono_skew_ms += 120000;
    want_card(&fx, "bound", TAKEN, "CardInsufficientMemory");
    want_audit(&fx, "bound", NULL);
    fx_close(&fx);
}
END_TEST

/* kube-scheduler asks us about the pod itself: what HAMi wrote does not stand in its way. */
START_TEST(adopted_and_then_ours)
{
    static const char *const A[] = {"node-a", NULL};
    struct fx fx;
    unsigned status;
    fx_open(&fx, MIGRATION, &ADOPTS);
    watched(&fx);
    want_card(&fx, "decided", TAKEN, "CardInsufficientMemory");
    json_t *got = fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", "old", A), &status);
    ck_assert_uint_eq(json_array_size(json_object_get(got, "NodeNames")), 1);
    json_decref(got);
    bind_old(&fx);
    watched(&fx);
    want_card(&fx, "ours", TAKEN, "CardInsufficientMemory");
    want_audit(&fx, "ours", NULL);
    fx_close(&fx);
}
END_TEST

static long long generation_of(struct fx *fx)
{
    json_t *node = get(fx, "/v1/nodes/node-a", 200);
    long long n = json_integer_value(json_object_get(node, "generation"));
    json_decref(node);
    return n;
}

/* A card's health decides who may come, and nothing of what those have who are there. */
START_TEST(nodes_that_flip_health_every_second)
{
    static const struct seen WELL = {"GPU-a 1/6144/30", "fits", NULL, 0, 0, 0, NULL},
                             ILL = {"GPU-a 1/6144/30", "CardNotHealth", NULL, 0, 0, 0, NULL};
    struct fx fx;
    fx_open(&fx, ONLY_A OLD WAITING("small", 1000), NULL);
    for (int restarted = 0; restarted < 2; restarted++) {
        for (int i = 0; i < 8; i++) {
            registers(&fx, i % 2 ? "[" CARD("GPU-a", 0) "]" : "[" CARD_IN("GPU-a", 0, "false") "]");
            watched(&fx);
            want(&fx, "flip", i % 2 ? &WELL : &ILL);
            fx.mono_skew_ms += 1000;
        }
        if (!restarted) {
            registers(&fx, "[" CARD_IN("GPU-a", 0, "false") "]");
            watched(&fx);
            fx_restart(&fx);
            want(&fx, "ill, after a restart", &ILL);
        }
    }
    fx_close(&fx);
}
END_TEST

/* Plugins write their list anew every 30 s, in any order: nothing has changed, so nothing that is
 * remembered of the node is forgotten. */
START_TEST(nodes_that_rewrite_their_list_in_new_order)
{
    static const char *const ORDERS[] = {
        "[" CARD("GPU-b", 1) "," CARD("GPU-a", 0) "," CARD("GPU-c", 2) "]",
        "[" CARD("GPU-c", 2) "," CARD("GPU-b", 1) "," CARD("GPU-a", 0) "]",
        "[" CARD("GPU-a", 0) "," CARD("GPU-c", 2) "," CARD("GPU-b", 1) "]",
    };
    static const struct seen ALWAYS = {
        "GPU-a 1/6144/30, GPU-b 0/0/0, GPU-c 0/0/0", "fits", NULL, 0, 0, 0, NULL};
    struct fx fx;
    fx_open(&fx,
            NODE(CARD("GPU-a", 0) "," CARD("GPU-b", 1) "," CARD("GPU-c", 2))
                OLD WAITING("small", 1000),
            NULL);
    for (int restarted = 0; restarted < 2; restarted++) {
        watched(&fx);
        const long long before = generation_of(&fx);
        for (int i = 0; i < COUNT(ORDERS); i++) {
            registers(&fx, ORDERS[i]);
            watched(&fx);
            want(&fx, "new order", &ALWAYS);
            ck_assert_int_eq(generation_of(&fx), before);
        }
        if (!restarted)
            fx_restart(&fx);
    }
    fx_close(&fx);
}
END_TEST

/* Slices have no amounts of their own: two books can agree in these and differ in who has what. */
START_TEST(the_audit_compares_slices)
{
    struct fx fx;
    fx_open(
        &fx,
        "---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"node-a\","
        "\"annotations\":{\"hami.io/node-nvidia-register\":'[{\"id\":\"GPU-a\",\"count\":7,"
        "\"devmem\":40960,\"devcore\":100,\"type\":\"NVIDIA A100\",\"mode\":\"mig\",\"health\":"
        "true,\"migProfiles\":[{\"name\":\"1g.5gb\",\"memoryMB\":4864,\"core\":15,"
        "\"sliceCount\":1,\"placements\":[{\"start\":0,\"size\":1},{\"start\":1,\"size\":1}]}]}]'}"
        "},\"status\":{\"allocatable\":{\"nvidia.com/gpu\":\"7\"}}}\n" POD(
            "old",
            "\"" LIST "\":\"GPU-a,NVIDIA,4864,15:;\",\"hami.io/vgpu-mig-allocations\":"
            "'[{\"containerIndex\":0,\"deviceIndex\":0,\"gpuUUID\":\"GPU-a\",\"profile\":"
            "\"1g.5gb\",\"placement\":{\"start\":0,\"size\":1}}]'",
            ",\"nodeName\":\"node-a\"", ASKS(1, 4000, 10), "Running"),
        NULL);
    ck_assert(fx_wait_used(&fx, "node-a", "GPU-a", 1, 4864));
    json_t *got = get(&fx, "/v1/audit", 200);
    ck_assert(json_is_true(json_object_get(got, "consistent")));
    json_decref(got);
    annotate(
        &fx, "pods/ml/old", "hami.io/vgpu-mig-allocations",
        "[{\"containerIndex\":0,\"deviceIndex\":0,\"gpuUUID\":\"GPU-a\",\"profile\":\"1g.5gb\","
        "\"placement\":{\"start\":1,\"size\":1}}]");
    watched(&fx);
    got = get(&fx, "/v1/audit", 200);
    char *text = json_dumps(got, 0);
    ck_assert_msg(json_is_false(json_object_get(got, "consistent")), "%s", text);
    const json_t *card = json_array_get(json_object_get(got, "differences"), 1);
    const char *bits[2] = {0};
    for (int i = 0; i < 2; i++)
        bits[i] = json_string_value(
            json_object_get(json_object_get(card, i ? "cluster" : "ledger"), "bits"));
    ck_assert_msg(bits[0] && bits[1] && !strcmp(bits[0], "0x1/0x3") && !strcmp(bits[1], "0x2/0x3"),
                  "%s", text);
    free(text);
    json_decref(got);
    fx_close(&fx);
}
END_TEST

int main(void)
{
    json_object_seed(1);
    Suite *s = suite_create("truth");
    TCase *tc = tcase_create("truth");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, follow_the_truth, 0, COUNT(STORIES));
    tcase_add_test(tc, nodes_that_flip_health_every_second);
    tcase_add_test(tc, nodes_that_rewrite_their_list_in_new_order);
    tcase_add_test(tc, the_audit_compares_slices);
    tcase_add_test(tc, unbound_pods_of_hami_count_with_a_flag_alone);
    tcase_add_test(tc, adopted_for_a_minute);
    tcase_add_loop_test(tc, adopted_until_it_ends, 0, COUNT(ADOPTIONS));
    tcase_add_test(tc, adopted_and_then_bound);
    tcase_add_test(tc, adopted_and_then_ours);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
