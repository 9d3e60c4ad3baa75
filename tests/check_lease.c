/* The node lock: its text, who may take it from whom, and races that are lost. */
#include "check_kube_util.h"

#include "lease/lease.h"

#include <pthread.h>

#define KEY          "hami.io/mutex.lock"
#define NOW          "2026-09-21T14:13:20Z"
#define FOUR_MIN_AGO "2026-09-21T14:09:20Z"
#define SIX_MIN_AGO  "2026-09-21T14:07:20Z"
#define EXPIRE_MS    (5 * 60 * 1000)

/* ---- the text ---- */

/* clang-format off */
static const struct {
    const char *name, *value; /* NULL: no annotation */
    enum lease_lock_form form;
    int64_t time_s;
    const char *ns, *pod;
} TEXTS[] = {
    {"none", NULL, LEASE_LOCK_NONE, 0, "", ""},
    {"owned", NOW ",ml,train-0", LEASE_LOCK_OWNED, 1790000000, "ml", "train-0"},
    {"owned, local time", "2026-09-21T16:13:20+02:00,ml,a", LEASE_LOCK_OWNED, 1790000000, "ml", "a"},
    {"owned, with a fraction", "2026-09-21T14:13:20.5Z,ml,a", LEASE_LOCK_OWNED, 1790000000, "ml", "a"},
    {"legacy", NOW, LEASE_LOCK_LEGACY, 1790000000, "", ""},
    {"empty", "", LEASE_LOCK_MALFORMED, 0, "", ""},
    {"one comma", NOW ",ml", LEASE_LOCK_MALFORMED, 0, "", ""},
    {"three commas", NOW ",ml,a,b", LEASE_LOCK_MALFORMED, 0, "", ""},
    {"a comma at the end", NOW ",ml,a,", LEASE_LOCK_MALFORMED, 0, "", ""},
    {"no namespace", NOW ",,a", LEASE_LOCK_MALFORMED, 0, "", ""},
    {"no pod", NOW ",ml,", LEASE_LOCK_MALFORMED, 0, "", ""},
    {"a space in the name", NOW ",ml,a b", LEASE_LOCK_MALFORMED, 0, "", ""},
    {"no time", ",ml,a", LEASE_LOCK_MALFORMED, 0, "", ""},
    {"a date", "2026-09-21,ml,a", LEASE_LOCK_MALFORMED, 0, "", ""},
    {"garbage", "locked", LEASE_LOCK_MALFORMED, 0, "", ""},
    {"many commas", ",,,,,,,,,,", LEASE_LOCK_MALFORMED, 0, "", ""},
};
/* clang-format on */

START_TEST(reads_texts)
{
    struct str value = {TEXTS[_i].value, TEXTS[_i].value ? strlen(TEXTS[_i].value) : 0};
    struct lease_lock l = lease_lock_parse(value);
    const char *name = TEXTS[_i].name;
    ck_assert_msg(l.form == TEXTS[_i].form, "%s: form %d", name, l.form);
    ck_assert_msg(l.time_ns / 1000000000 == TEXTS[_i].time_s, "%s: %lld", name,
                  (long long)l.time_ns);
    ck_assert_msg(str_eq(l.ns, str_z(TEXTS[_i].ns)) && str_eq(l.pod, str_z(TEXTS[_i].pod)), "%s",
                  name);
    ck_assert_msg(lease_lock_owned_by(&l, STR("ml"), STR("a")) == (strcmp(TEXTS[_i].pod, "a") == 0),
                  "%s", name);
}
END_TEST

START_TEST(writes_texts)
{
    char out[LEASE_LOCK_MAX], small[27];
    ck_assert(lease_lock_format(WALL_START, STR("ml"), STR("train-0"), out, sizeof(out)));
    ck_assert_str_eq(out, NOW ",ml,train-0");
    struct lease_lock l = lease_lock_parse(str_z(out));
    ck_assert(lease_lock_owned_by(&l, STR("ml"), STR("train-0")));
    ck_assert(!lease_lock_owned_by(&l, STR("ml"), STR("train-1")));
    ck_assert(!lease_lock_owned_by(&l, STR("m"), STR("train-0")));
    ck_assert(lease_lock_format(WALL_START, STR("ml"), STR("ab"), small,
                                sizeof(small))); /* 26 and the NUL */
    ck_assert(!lease_lock_format(WALL_START, STR("ml"), STR("abc"), small, sizeof(small)));
}
END_TEST

/* ---- a cluster ---- */

struct fixture {
    struct test_clock tc;
    struct clock clock;
    struct kube *k;
    struct kube_store *st;
    struct lease_lock_args args;
};

/* `value` NULL: no lock; `annotations`: the map exists nevertheless. */
static void setup(struct fixture *f, const char *value, bool annotations)
{
    *f = (struct fixture){.tc = {.wall = WALL_START}};
    f->clock = test_clock_of(&f->tc);
    ck_ok(kube_store_new(NULL, &f->clock, &f->k, &f->st, why));
    char yaml[2048], map[512] = "";
    if (value)
        (void)snprintf(map, sizeof(map), "{x: y, %s: '%s'}", KEY, value);
    else
        (void)snprintf(map, sizeof(map), "%s", annotations ? "{x: y}" : "{}");
    (void)snprintf(yaml, sizeof(yaml),
                   "apiVersion: v1\nkind: List\nitems:\n"
                   "- {apiVersion: v1, kind: Node, metadata: {name: n1, annotations: %s}}\n"
                   "- {apiVersion: v1, kind: Pod, metadata: {name: mine, namespace: ml, uid: u1}}\n"
                   "- {apiVersion: v1, kind: Pod, metadata: {name: waits, namespace: ml}}\n"
                   "- {apiVersion: v1, kind: Pod, metadata: {name: here, namespace: ml}, spec: "
                   "{nodeName: n1}, status: "
                   "{phase: Pending}}\n"
                   "- {apiVersion: v1, kind: Pod, metadata: {name: elsewhere, namespace: ml}, "
                   "spec: {nodeName: n2}}\n"
                   "- {apiVersion: v1, kind: Pod, metadata: {name: failed, namespace: ml}, spec: "
                   "{nodeName: n1}, "
                   "status: {phase: Failed}}\n"
                   "- {apiVersion: v1, kind: Pod, metadata: {name: ended, namespace: ml}, spec: "
                   "{nodeName: n1}, status: "
                   "{phase: Succeeded}}\n",
                   map);
    ck_ok(test_load(f->st, yaml, NULL, NULL, why));
    f->args = (struct lease_lock_args){.kube = f->k,
                                       .clock = &f->clock,
                                       .node = STR("n1"),
                                       .key = STR(KEY),
                                       .ns = STR("ml"),
                                       .pod = STR("mine"),
                                       .uid = STR("u1"),
                                       .timeout_ms = 1000,
                                       .expire_ms = EXPIRE_MS};
}

static void check_value(struct fixture *f, const char *name, const char *want)
{
    json_t *node = test_get(f->k, KUBE_NODE, "", "n1");
    json_t *v = test_at(node, "/metadata/annotations/hami.io~1mutex.lock");
    ck_assert_msg(want ? v && strcmp(json_string_value(v), want) == 0 : !v,
                  "%s: the node says \"%s\"", name, v ? json_string_value(v) : "nothing");
    json_decref(node);
}

#define MINE NOW ",ml,mine"
/* clang-format off */
static const struct {
    const char *name, *value;
    bool annotations;
    enum err_code code;
    const char *after; /* NULL: as before */
    unsigned writes;
} TAKES[] = {
    {"free, no annotations at all", NULL, false, ERR_OK, MINE, 1},
    {"free, other annotations", NULL, true, ERR_OK, MINE, 1},
    {"ours already", FOUR_MIN_AGO ",ml,mine", true, ERR_OK, MINE, 1},
    {"ours already, and old", SIX_MIN_AGO ",ml,mine", true, ERR_OK, MINE, 1},
    {"a pod that is gone", NOW ",ml,nobody", true, ERR_OK, MINE, 1},
    {"a pod that is gone, of a name that can't be", NOW ",ml,No_Body", true, ERR_OK, MINE, 1},
    {"a pod that failed", NOW ",ml,failed", true, ERR_OK, MINE, 1},
    {"a pod that succeeded", NOW ",ml,ended", true, ERR_OK, MINE, 1},
    {"a pod bound elsewhere", NOW ",ml,elsewhere", true, ERR_OK, MINE, 1},
    {"a pod bound here", FOUR_MIN_AGO ",ml,here", true, ERR_BUSY, NULL, 0},
    {"a pod bound here, however old", "2020-01-01T00:00:00Z,ml,here", true, ERR_BUSY, NULL, 0},
    {"a pod that is not bound yet", FOUR_MIN_AGO ",ml,waits", true, ERR_BUSY, NULL, 0},
    {"a pod that is not bound, and old", SIX_MIN_AGO ",ml,waits", true, ERR_OK, MINE, 1},
    {"legacy, young", FOUR_MIN_AGO, true, ERR_BUSY, NULL, 0},
    {"legacy, exactly at the limit", "2026-09-21T14:08:20Z", true, ERR_BUSY, NULL, 0},
    {"legacy, old", SIX_MIN_AGO, true, ERR_OK, MINE, 1},
    {"legacy, a little in the future", "2026-09-21T14:15:00Z", true, ERR_BUSY, NULL, 0},
    {"legacy, far in the future", "2036-09-21T14:15:00Z", true, ERR_OK, MINE, 1},
    {"malformed", "garbage", true, ERR_OK, MINE, 1},
    {"malformed, young", NOW ",ml", true, ERR_OK, MINE, 1},
    {"empty", "", true, ERR_OK, MINE, 1},
};
/* clang-format on */

/* The same comes of it whether the caller believes that there is no lock or not. */
static void take_and_check(int row, bool believed_free)
{
    struct fixture f;
    setup(&f, TAKES[row].value, TAKES[row].annotations);
    f.args.believed_free = believed_free;
    char value[LEASE_LOCK_MAX] = "untouched";
    struct err err = {0};
    const char *name = TAKES[row].name,
               *after = TAKES[row].after ? TAKES[row].after : TAKES[row].value;
    enum err_code rc = lease_lock_take(&f.args, value, &err);
    ck_assert_msg(rc == TAKES[row].code, "%s: %s: %s", name, err_class(rc)->name, err.text);
    check_value(&f, name, after);
    ck_assert_msg(kube_store_writes(f.st) == TAKES[row].writes, "%s: writes", name);
    ck_assert_msg(strcmp(value, rc ? "untouched" : after) == 0, "%s: returned %s", name, value);
    if (rc)
        ck_assert_str_eq(err.text, "node n1 has been locked within 5m0s: node lock contention");
    kube_free(f.k);
}

START_TEST(takes) { take_and_check(_i, false); }
END_TEST

START_TEST(takes_what_is_believed_free) { take_and_check(_i, true); }
END_TEST

/* No call but the write, which asks first. */
START_TEST(one_call_when_it_is_free)
{
    const struct kube_fault_rule no_reads = {KUBE_FAULT_REFUSED, .verb = KUBE_GET, .kind = -1,
                                             .times = 100};
    struct fixture f;
    char value[LEASE_LOCK_MAX];
    setup(&f, NULL, true);
    f.args.believed_free = true;
    kube_store_fault(f.st, &no_reads);
    ck_ok(lease_lock_take(&f.args, value, why));
    kube_store_fault_clear(f.st);
    check_value(&f, "it has it", MINE);
    kube_free(f.k);
}
END_TEST

/* The bind of the holder ends just when its lock is looked at: what was seen of the pod before says
 * nothing. */
static bool lands(void *ctx, struct str ns, struct str pod)
{
    struct kube *k = ctx;
    struct kube_request req = {
        .verb = KUBE_BIND,
        .kind = KUBE_POD,
        .ns = ns,
        .name = pod,
        .body = STR("{\"metadata\":{\"name\":\"waits\"},\"target\":{\"name\":\"n1\"}}")};
    struct kube_response resp;
    ck_ok(kube_call(k, &req, &resp, why));
    kube_response_done(&resp);
    return false;
}

START_TEST(a_bind_that_ends_meanwhile)
{
    struct fixture f;
    const char *before = "2026-09-21T14:13:00Z,ml,waits";
    char value[LEASE_LOCK_MAX];
    struct err err = {0};
    setup(&f, before, true);
    f.args.in_flight = lands;
    f.args.ctx = f.k;
    ck_assert_int_eq(lease_lock_take(&f.args, value, &err), ERR_BUSY);
    check_value(&f, "bound here by now", before);
    kube_free(f.k);
}
END_TEST

static bool flies(void *ctx, struct str ns, struct str pod)
{
    ck_assert(str_eq(ns, STR("ml")) && str_eq(pod, STR("waits")));
    return *(bool *)ctx;
}

/* A lock whose process died before its Binding: given up soon, but not while we may still bind. */
START_TEST(a_bind_that_died)
{
    static const struct {
        const char *name, *value;
        bool flies;
        enum err_code code;
    } ROWS[] = {
        {"ten seconds", "2026-09-21T14:13:10Z,ml,waits", false, ERR_BUSY},
        {"eleven seconds", "2026-09-21T14:13:09Z,ml,waits", false, ERR_OK},
        {"eleven seconds, in flight", "2026-09-21T14:13:09Z,ml,waits", true, ERR_BUSY},
        {"older than any may get, in flight", SIX_MIN_AGO ",ml,waits", true, ERR_BUSY},
        {"older than any may get", SIX_MIN_AGO ",ml,waits", false, ERR_OK},
        {"from the future", "2026-09-21T14:14:00Z,ml,waits", false, ERR_BUSY},
    };
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        struct fixture f;
        bool in_flight = ROWS[i].flies;
        char value[LEASE_LOCK_MAX];
        struct err err = {0};
        setup(&f, ROWS[i].value, true);
        f.args.in_flight = flies;
        f.args.ctx = &in_flight;
        enum err_code rc = lease_lock_take(&f.args, value, &err);
        ck_assert_msg(rc == ROWS[i].code, "%s: %s", ROWS[i].name, err_class(rc)->name);
        check_value(&f, ROWS[i].name, rc ? ROWS[i].value : MINE);
        kube_free(f.k);
    }
}
END_TEST

START_TEST(other_annotations_stay)
{
    struct fixture f;
    setup(&f, NULL, true);
    char value[LEASE_LOCK_MAX];
    ck_ok(lease_lock_take(&f.args, value, why));
    ck_ok(lease_lock_release(&f.args, str_z(value), NULL, why));
    json_t *node = test_get(f.k, KUBE_NODE, "", "n1");
    ck_assert_str_eq(test_text_at(node, "/metadata/annotations/x"), "y");
    json_decref(node);
    kube_free(f.k);
}
END_TEST

/* clang-format off */
static const struct {
    const char *name, *value, *expect; /* expect: the value handed to release */
    bool gone;
} RELEASES[] = {
    {"ours", MINE, MINE, true},
    {"ours, by owner alone", MINE, "", false},
    {"ours, but a later one", MINE, FOUR_MIN_AGO ",ml,mine", false},
    {"another pod's", NOW ",ml,here", "", false},
    {"another pod's, with its value", NOW ",ml,here", NOW ",ml,here", false},
    {"another namespace's", NOW ",x,mine", "", false},
    {"one whose name ends alike", NOW ",ml,not-mine", "", false},
    {"none", NULL, "", true},
    {"none, with a value", NULL, MINE, true},
    {"legacy", NOW, "", false},
    {"malformed", "garbage", "", false},
};
/* clang-format on */

START_TEST(releases)
{
    struct fixture f;
    setup(&f, RELEASES[_i].value, true);
    struct err err = {0};
    enum err_code rc = lease_lock_release(&f.args, str_z(RELEASES[_i].expect), NULL, &err);
    ck_assert_msg(rc == ERR_OK, "%s: %s", RELEASES[_i].name, err.text);
    check_value(&f, RELEASES[_i].name, RELEASES[_i].gone ? NULL : RELEASES[_i].value);
    ck_assert_uint_eq(kube_store_writes(f.st), RELEASES[_i].value && RELEASES[_i].gone ? 1 : 0);
    kube_free(f.k);
}
END_TEST

/* HAMi's failing binds remove it, whoever wrote it: it protects nothing. */
START_TEST(core_defect_c20_a_lock_without_owner_is_nobodys_to_release)
{
    struct fixture f;
    struct err err = {0};
    char value[LEASE_LOCK_MAX];
    setup(&f, FOUR_MIN_AGO, true);
    ck_assert_int_eq(lease_lock_take(&f.args, value, &err), ERR_BUSY);
    bool removed = true;
    ck_ok(lease_lock_release(&f.args, STR(""), &removed, why));
    ck_assert(!removed);
    check_value(&f, "by owner", FOUR_MIN_AGO);
    ck_ok(lease_lock_release(&f.args, STR(FOUR_MIN_AGO), &removed, why));
    check_value(&f, "by value", FOUR_MIN_AGO);
    ck_assert_uint_eq(kube_store_writes(f.st), 0);
    kube_free(f.k);
}
END_TEST

START_TEST(no_such_node)
{
    struct fixture f;
    setup(&f, NULL, false);
    char value[LEASE_LOCK_MAX];
    f.args.node = STR("n9");
    ck_assert_int_eq(lease_lock_take(&f.args, value, NULL), ERR_NOT_FOUND);
    ck_assert_int_eq(lease_lock_release(&f.args, STR(""), NULL, NULL),
                     ERR_OK); /* its lock went with it */
    kube_free(f.k);
}
END_TEST

struct spoiler {
    struct fixture *f;
    int asked, until; /* spoils so often */
    const char *with; /* the lock of another */
    bool refuse;
};

/* Comes between our look at the node and our write. */
static bool spoil(void *ctx)
{
    struct spoiler *s = ctx;
    if (s->asked++ < s->until) {
        char body[256];
        (void)snprintf(body, sizeof(body), "{\"metadata\":{\"annotations\":{\"%s\":\"%s%d\"}}}",
                       KEY, s->with, s->asked);
        struct kube_request req = {
            .verb = KUBE_PATCH, .kind = KUBE_NODE, .name = STR("n1"), .body = str_z(body)};
        ck_ok(test_call(s->f->k, req, NULL, NULL, why));
    }
    return !s->refuse;
}

/* ---- a lock that is a bare time (vendors-a.md 2.4) ---- */

#define BARE       "2026-09-21T14:13:20.000000Z"
#define JUST_UNDER "2026-09-21T14:11:20Z"
#define JUST_OVER  "2026-09-21T14:11:19Z"
/* clang-format off */
static const struct {
    const char *name, *value;
    enum err_code code;
} TIME_ONLY[] = {
    {"free", NULL, ERR_OK},
    {"young", NOW, ERR_BUSY},
    {"young, and our own text", BARE, ERR_BUSY},
    {"exactly at the limit", JUST_UNDER, ERR_BUSY},
    {"old", JUST_OVER, ERR_OK},
    {"a little in the future", "2026-09-21T14:15:00Z", ERR_BUSY},
    {"far in the future", "2036-09-21T14:15:00Z", ERR_OK},
    {"unreadable", "garbage", ERR_OK},
    {"empty", "", ERR_OK},
    {"with an owner", NOW ",ml,mine", ERR_OK},
};
/* clang-format on */

static void setup_time_only(struct fixture *f, const char *value)
{
    setup(f, value, true);
    f->args.time_only = true;
    f->args.expire_ms = LEASE_LOCK_TIME_ONLY_MS;
}

START_TEST(cambricon_defect_c2_c3_taken_by_test_or_busy)
{
    struct fixture f;
    setup_time_only(&f, TIME_ONLY[_i].value);
    char value[LEASE_LOCK_MAX] = "untouched";
    struct err err = {0};
    const char *name = TIME_ONLY[_i].name;
    enum err_code rc = lease_lock_take(&f.args, value, &err);
    ck_assert_msg(rc == TIME_ONLY[_i].code, "%s: %s: %s", name, err_class(rc)->name, err.text);
    check_value(&f, name, rc ? TIME_ONLY[_i].value : BARE);
    ck_assert_msg(strcmp(value, rc ? "untouched" : BARE) == 0, "%s: returned %s", name, value);
    if (rc) { /* as retriable as the shared lock's (C3) */
        ck_assert_str_eq(err.text, "node n1 has been locked within 2m0s: node lock contention");
        ck_assert(err_class(rc)->retriable);
    }
    kube_free(f.k);
    /* somebody comes between our look and our write (C2) */
    setup_time_only(&f, TIME_ONLY[_i].value);
    struct spoiler s = {.f = &f, .until = 1, .with = "2026-09-21T14:13:19+00:0"};
    f.args.may_write = spoil;
    f.args.ctx = &s;
    ck_assert_msg(lease_lock_take(&f.args, value, NULL) == ERR_BUSY, "%s: in between", name);
    kube_free(f.k);
}
END_TEST

/* clang-format off */
static const struct {
    const char *name, *value, *expect;
    bool gone;
} TIME_ONLY_RELEASES[] = {
    {"ours", BARE, BARE, true},
    {"not known to be ours", BARE, "", false},
    {"another's", NOW, BARE, false},
    {"another's of the same second", "2026-09-21T14:13:20.000001Z", BARE, false},
    {"none", NULL, BARE, true},
    {"none, none known", NULL, "", true},
    {"with an owner of our name", NOW ",ml,mine", "", false},
};
/* clang-format on */

START_TEST(cambricon_defect_c1_only_what_we_wrote_is_released)
{
    struct fixture f;
    const char *value = TIME_ONLY_RELEASES[_i].value, *name = TIME_ONLY_RELEASES[_i].name;
    setup_time_only(&f, value);
    struct err err = {0};
    enum err_code rc =
        lease_lock_release(&f.args, str_z(TIME_ONLY_RELEASES[_i].expect), NULL, &err);
    ck_assert_msg(rc == ERR_OK, "%s: %s", name, err.text);
    check_value(&f, name, TIME_ONLY_RELEASES[_i].gone ? NULL : value);
    kube_free(f.k);
}
END_TEST

/* Whether our write came through is not known: its value is, and takes the lock away again. */
START_TEST(a_bare_time_of_unknown_outcome)
{
    struct fixture f;
    setup_time_only(&f, NULL);
    kube_store_fault(f.st, &(struct kube_fault_rule){
                               .fault = KUBE_FAULT_CUT_DONE, .verb = KUBE_PATCH, .kind = -1});
    char value[LEASE_LOCK_MAX] = "untouched";
    ck_assert_int_eq(lease_lock_take(&f.args, value, NULL), ERR_UNKNOWN);
    kube_store_fault_clear(f.st);
    ck_assert_str_eq(value, BARE);
    check_value(&f, "it came through", BARE);
    ck_ok(lease_lock_release(&f.args, str_z(value), NULL, why));
    check_value(&f, "given back", NULL);
    kube_free(f.k);
}
END_TEST

/* ---- races and faults ---- */

START_TEST(lost_races)
{
    static const struct {
        const char *name, *before, *with;
        bool annotations;
        int until, asked;
        enum err_code code;
    } ROWS[] = {
        {"free when we looked, taken by the living", NULL, NOW ",ml,here", true, 0, 1, ERR_OK},
        {"taken once by somebody who is gone", NULL, NOW ",ml,nobody", true, 1, 2, ERR_OK},
        {"the same, without the map", NULL, NOW ",ml,nobody", false, 1, 2, ERR_OK},
        {"twice", NULL, NOW ",ml,nobody", true, 2, 3, ERR_OK},
        {"three times is enough", NULL, NOW ",ml,nobody", true, 3, 3, ERR_BUSY},
        {"taken over from the dead by another", NOW ",ml,nobody", NOW ",ml,gone", true, 1, 2,
         ERR_OK},
    };
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        struct fixture f;
        setup(&f, ROWS[i].before, ROWS[i].annotations);
        struct spoiler s = {.f = &f, .until = ROWS[i].until, .with = ROWS[i].with};
        f.args.may_write = spoil;
        f.args.ctx = &s;
        char value[LEASE_LOCK_MAX];
        struct err err = {0};
        enum err_code rc = lease_lock_take(&f.args, value, &err);
        ck_assert_msg(rc == ROWS[i].code, "%s: %s %s", ROWS[i].name, err_class(rc)->name, err.text);
        ck_assert_msg(s.asked == ROWS[i].asked, "%s: asked %d times", ROWS[i].name, s.asked);
        if (!rc)
            check_value(&f, ROWS[i].name, MINE);
        else
            ck_assert_str_eq(err.text, "node n1 is locked: node lock contention");
        kube_free(f.k);
    }
}
END_TEST

START_TEST(taken_by_the_living_in_between)
{
    struct fixture f;
    setup(&f, NULL, true);
    struct spoiler s = {.f = &f, .until = 1, .with = NOW ",ml,here"};
    json_t *pod = NULL;
    struct kube_request create = {
        .verb = KUBE_CREATE,
        .kind = KUBE_POD,
        .ns = STR("ml"),
        .body = STR("{\"metadata\":{\"name\":\"here1\"},\"spec\":{\"nodeName\":\"n1\"}}")};
    ck_ok(test_call(f.k, create, &pod, NULL, why));
    json_decref(pod);
    f.args.may_write = spoil;
    f.args.ctx = &s;
    char value[LEASE_LOCK_MAX];
    ck_assert_int_eq(lease_lock_take(&f.args, value, NULL), ERR_BUSY);
    check_value(&f, "the living", NOW ",ml,here1");
    kube_free(f.k);
}
END_TEST

START_TEST(too_late_to_write)
{
    struct fixture f;
    setup(&f, NULL, true);
    struct spoiler s = {.f = &f, .refuse = true};
    f.args.may_write = spoil;
    f.args.ctx = &s;
    char value[LEASE_LOCK_MAX];
    ck_assert_int_eq(lease_lock_take(&f.args, value, NULL), ERR_CANCELLED);
    ck_assert_uint_eq(kube_store_writes(f.st), 0);
    kube_free(f.k);
    /* giving back is always right */
    setup(&f, MINE, true);
    f.args.may_write = spoil;
    f.args.ctx = &s;
    ck_ok(lease_lock_release(&f.args, STR(MINE), NULL, why));
    check_value(&f, "given back", NULL);
    kube_free(f.k);
}
END_TEST

/* The leader before us locked the node for the pod, and gives that lock back only now. */
START_TEST(a_lock_of_before_is_taken_anew)
{
    struct fixture f;
    struct err err = {0};
    char value[LEASE_LOCK_MAX];
    bool removed = true;
    setup(&f, FOUR_MIN_AGO ",ml,mine", true);
    ck_ok(lease_lock_take(&f.args, value, &err));
    ck_assert_str_eq(value, MINE);
    ck_ok(lease_lock_release(&f.args, STR(FOUR_MIN_AGO ",ml,mine"), &removed, &err));
    ck_assert(!removed);
    check_value(&f, "ours stays", MINE);
    kube_free(f.k);
    /* who may not write any more has no lock of it, either */
    setup(&f, FOUR_MIN_AGO ",ml,mine", true);
    struct spoiler s = {.f = &f, .refuse = true};
    f.args.may_write = spoil;
    f.args.ctx = &s;
    ck_assert_int_eq(lease_lock_take(&f.args, value, &err), ERR_CANCELLED);
    check_value(&f, "another leader's", FOUR_MIN_AGO ",ml,mine");
    kube_free(f.k);
}
END_TEST

/* clang-format off */
static const struct {
    const char *name;
    struct kube_fault_rule rule;
    enum err_code code;
    const char *value; /* the lock before */
    const char *after, *after_late;
} FAULTS[] = {
    {"no connection", {.fault = KUBE_FAULT_REFUSED, .verb = -1, .kind = -1}, ERR_UNAVAILABLE, NULL, NULL, NULL},
    {"no connection for the write", {.fault = KUBE_FAULT_REFUSED, .verb = KUBE_PATCH, .kind = -1}, ERR_UNAVAILABLE, NULL, NULL, NULL},
    {"unknown, done", {.fault = KUBE_FAULT_CUT_DONE, .verb = KUBE_PATCH, .kind = -1}, ERR_UNKNOWN, NULL, MINE, MINE},
    {"unknown, done later", {.fault = KUBE_FAULT_TIMEOUT_LATER, .verb = KUBE_PATCH, .kind = -1}, ERR_UNKNOWN, NULL, NULL, MINE},
    {"turned away", {.fault = KUBE_FAULT_STATUS, .verb = KUBE_PATCH, .kind = -1, .status = 429, .retry_after_s = 7}, ERR_UNAVAILABLE, NULL, NULL, NULL},
    {"turned away when it asks", {.fault = KUBE_FAULT_STATUS, .verb = KUBE_GET, .kind = KUBE_NODE, .status = 429, .retry_after_s = 7}, ERR_UNAVAILABLE, NULL, NULL, NULL},
    {"turned away when it asks for the holder", {.fault = KUBE_FAULT_STATUS, .verb = KUBE_GET, .kind = KUBE_POD, .status = 429, .retry_after_s = 7}, ERR_UNAVAILABLE, NOW ",ml,nobody", NOW ",ml,nobody", NOW ",ml,nobody"},
    {"the holder can't be looked at", {.fault = KUBE_FAULT_STATUS, .verb = KUBE_GET, .kind = KUBE_POD, .status = 500}, ERR_UNAVAILABLE, NOW ",ml,nobody", NOW ",ml,nobody", NOW ",ml,nobody"},
    {"forbidden", {.fault = KUBE_FAULT_STATUS, .verb = KUBE_PATCH, .kind = -1, .status = 403}, ERR_FORBIDDEN, NULL, NULL, NULL},
    {"refused once: the version is tested instead", {.fault = KUBE_FAULT_STATUS, .verb = KUBE_PATCH, .kind = -1, .status = 422}, ERR_OK, NULL, MINE, MINE},
    {"refused twice", {.fault = KUBE_FAULT_STATUS, .verb = KUBE_PATCH, .kind = -1, .status = 422, .times = 2}, ERR_OK, NULL, MINE, MINE},
    {"refused always", {.fault = KUBE_FAULT_STATUS, .verb = KUBE_PATCH, .kind = -1, .status = 422, .times = 3}, ERR_BUSY, NULL, NULL, NULL},
};
/* clang-format on */

START_TEST(faults)
{
    for (int annotations = 0; annotations < 2; annotations++) {
        struct fixture f;
        setup(&f, FAULTS[_i].value, annotations);
        kube_store_fault(f.st, &FAULTS[_i].rule);
        char value[LEASE_LOCK_MAX];
        struct err err = {0};
        int retry_after_ms = 0;
        f.args.retry_after_ms = &retry_after_ms;
        enum err_code rc = lease_lock_take(&f.args, value, &err);
        ck_assert_msg(rc == FAULTS[_i].code, "%s: %s %s", FAULTS[_i].name, err_class(rc)->name,
                      err.text);
        ck_assert_int_eq(retry_after_ms, FAULTS[_i].rule.retry_after_s * 1000);
        kube_store_fault_clear(f.st);
        check_value(&f, FAULTS[_i].name, FAULTS[_i].after);
        (void)kube_store_late(f.st);
        check_value(&f, FAULTS[_i].name, FAULTS[_i].after_late);
        kube_free(f.k);
    }
}
END_TEST

START_TEST(a_late_lock_does_not_overwrite)
{
    struct fixture f;
    setup(&f, NULL, true);
    kube_store_fault(f.st, &(struct kube_fault_rule){
                               .fault = KUBE_FAULT_TIMEOUT_LATER, .verb = KUBE_PATCH, .kind = -1});
    char value[LEASE_LOCK_MAX];
    ck_assert_int_eq(lease_lock_take(&f.args, value, NULL), ERR_UNKNOWN);
    struct lease_lock_args other = f.args;
    other.pod = STR("here");
    ck_ok(lease_lock_take(&other, value, why));
    ck_assert_uint_eq(kube_store_late(f.st), 1); /* it comes now, and finds the value changed */
    check_value(&f, "the later one stays", NOW ",ml,here");
    kube_free(f.k);
}
END_TEST

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 50 };
struct racer {
    struct fixture *f;
    int id, won;
    _Atomic int *inside;
};

static void *race(void *ctx)
{
    struct racer *r = ctx;
    char pod[16];
    (void)snprintf(pod, sizeof(pod), "racer%d", r->id);
    struct lease_lock_args a = r->f->args;
    a.pod = str_z(pod);
    for (int i = 0; i < ROUNDS; i++) {
        char value[LEASE_LOCK_MAX];
        if (lease_lock_take(&a, value, NULL) != ERR_OK)
            continue;
        if (atomic_fetch_add(r->inside, 1) != 0)
            r->won = -1000000;
        r->won++;
        (void)atomic_fetch_sub(r->inside, 1);
        while (lease_lock_release(&a, str_z(value), NULL, NULL) != ERR_OK)
            ;
    }
    return NULL;
}

START_TEST(one_holder_at_a_time)
{
    struct fixture f;
    setup(&f, NULL, false);
    _Atomic int inside = 0;
    struct racer r[THREADS];
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++) { /* living pods: nobody takes from anybody */
        char body[128];
        (void)snprintf(body, sizeof(body),
                       "{\"metadata\":{\"name\":\"racer%d\"},\"spec\":{\"nodeName\":\"n1\"}}", i);
        struct kube_request create = {
            .verb = KUBE_CREATE, .kind = KUBE_POD, .ns = STR("ml"), .body = str_z(body)};
        ck_ok(test_call(f.k, create, NULL, NULL, why));
    }
    int won = 0;
    for (int i = 0; i < THREADS; i++) {
        r[i] = (struct racer){&f, i, 0, &inside};
        pthread_create(&t[i], NULL, race, &r[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
        ck_assert_int_ge(r[i].won, 0);
        won += r[i].won;
    }
    ck_assert_int_gt(won, 0);
    check_value(&f, "all gave it back", NULL);
    kube_free(f.k);
}
END_TEST

START_TEST(durations_as_go_prints_them)
{
    static const struct {
        int64_t ms;
        const char *text;
    } ROWS[] = {{300000, "5m0s"},    {500, "500ms"},     {1000, "1s"},
                {1500, "1.5s"},      {90000, "1m30s"},   {3661000, "1h1m1s"},
                {3600000, "1h0m0s"}, {90500, "1m30.5s"}, {10000, "10s"}};
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        struct fixture f;
        setup(&f, NOW ",ml,here", true);
        f.args.expire_ms = ROWS[i].ms;
        char value[LEASE_LOCK_MAX], want[128];
        struct err err = {0};
        ck_assert_int_eq(lease_lock_take(&f.args, value, &err), ERR_BUSY);
        (void)snprintf(want, sizeof(want),
                       "node n1 has been locked within %s: node lock contention", ROWS[i].text);
        ck_assert_str_eq(err.text, want);
        kube_free(f.k);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("lease");
    TCase *tc = tcase_create("text");
    tcase_add_loop_test(tc, reads_texts, 0, (int)COUNT(TEXTS));
    tcase_add_test(tc, writes_texts);
    suite_add_tcase(s, tc);
    tc = tcase_create("lock");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, takes, 0, (int)COUNT(TAKES));
    tcase_add_loop_test(tc, takes_what_is_believed_free, 0, (int)COUNT(TAKES));
    tcase_add_test(tc, one_call_when_it_is_free);
    tcase_add_loop_test(tc, releases, 0, (int)COUNT(RELEASES));
    tcase_add_loop_test(tc, cambricon_defect_c2_c3_taken_by_test_or_busy, 0, (int)COUNT(TIME_ONLY));
    tcase_add_loop_test(tc, cambricon_defect_c1_only_what_we_wrote_is_released, 0,
                        (int)COUNT(TIME_ONLY_RELEASES));
    tcase_add_test(tc, a_bare_time_of_unknown_outcome);
    tcase_add_test(tc, a_bind_that_died);
    tcase_add_test(tc, a_bind_that_ends_meanwhile);
    tcase_add_test(tc, other_annotations_stay);
    tcase_add_test(tc, core_defect_c20_a_lock_without_owner_is_nobodys_to_release);
    tcase_add_test(tc, no_such_node);
    tcase_add_test(tc, durations_as_go_prints_them);
    suite_add_tcase(s, tc);
    tc = tcase_create("races");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, lost_races);
    tcase_add_test(tc, taken_by_the_living_in_between);
    tcase_add_test(tc, too_late_to_write);
    tcase_add_test(tc, a_lock_of_before_is_taken_anew);
    tcase_add_loop_test(tc, faults, 0, (int)COUNT(FAULTS));
    tcase_add_test(tc, a_late_lock_does_not_overwrite);
    tcase_add_test(tc, one_holder_at_a_time);
    suite_add_tcase(s, tc);
    return test_run(s);
}
