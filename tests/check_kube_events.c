/* Events: what is written of what was posted, how rarely, and what happens when it can't be. */
#include "check_kube_util.h"

#include <time.h>

struct fixture {
    struct test_clock tc;
    struct clock clock;
    struct kube *k;
    struct kube_store *st;
    struct kube_events *ev;
};

static void setup(struct fixture *f)
{
    *f = (struct fixture){.tc = {.wall = WALL_START}};
    f->clock = test_clock_of(&f->tc);
    ck_ok(kube_store_new(NULL, &f->clock, &f->k, &f->st, why));
    ck_ok(kube_events_new(f->k, "cardinal-scheduler", &f->clock, &f->ev, why));
}

static void done(struct fixture *f)
{
    kube_events_free(f->ev);
    kube_free(f->k);
}

static void post(struct fixture *f, const char *pod, const char *reason, const char *message)
{
    struct kube_event e = {.ns = STR("ml"),
                           .pod = str_z(pod),
                           .uid = STR("u1"),
                           .warning = true,
                           .reason = str_z(reason),
                           .message = str_z(message)};
    kube_events_post(f->ev, &e);
}

struct found {
    json_t *v[64];
    size_t n;
};

static enum err_code find(void *ctx, struct str object, struct err *err)
{
    struct found *f = ctx;
    (void)err;
    f->v[f->n++] = json_loadb(object.p, object.n, 0, NULL);
    return ERR_OK;
}

static void found_done(struct found *f)
{
    for (size_t i = 0; i < f->n; i++)
        json_decref(f->v[i]);
    f->n = 0;
}

/* Until the store has seen `writes` writes; the events there are then. */
static struct found wait_writes(struct fixture *f, uint64_t writes)
{
    for (int i = 0; i < 300 && kube_store_writes(f->st) < writes; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    (void)nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL); /* and no more than that */
    ck_assert_uint_eq(kube_store_writes(f->st), writes);
    struct found found = {0};
    struct kube_list_handler handler = {.item = find, .ctx = &found};
    char rv[KUBE_RV_MAX];
    ck_ok(kube_list(f->k, KUBE_EVENT, NULL, NULL, &handler, rv, why));
    return found;
}

static void pass(struct fixture *f, int64_t ms)
{
    (void)atomic_fetch_add(&f->tc.mono, ms * 1000000);
    (void)atomic_fetch_add(&f->tc.wall, ms * 1000000);
}

START_TEST(writes_what_an_event_is)
{
    struct fixture f;
    setup(&f);
    post(&f, "train-0", "FilteringFailed", "no \"available\" node");
    struct found e = wait_writes(&f, 1);
    ck_assert_uint_eq(e.n, 1);
    static const char *const WANT[][2] = {
        {"/apiVersion", "v1"},
        {"/kind", "Event"},
        {"/metadata/namespace", "ml"},
        {"/involvedObject/kind", "Pod"},
        {"/involvedObject/apiVersion", "v1"},
        {"/involvedObject/name", "train-0"},
        {"/involvedObject/namespace", "ml"},
        {"/involvedObject/uid", "u1"},
        {"/reason", "FilteringFailed"},
        {"/message", "no \"available\" node"},
        {"/type", "Warning"},
        {"/source/component", "cardinal-scheduler"},
        {"/reportingComponent", "cardinal-scheduler"},
        {"/firstTimestamp", "2026-09-21T14:13:20Z"},
        {"/lastTimestamp", "2026-09-21T14:13:20Z"},
    };
    for (size_t i = 0; i < COUNT(WANT); i++)
        ck_assert_msg(strcmp(test_text_at(e.v[0], WANT[i][0]), WANT[i][1]) == 0, "%s is \"%s\"",
                      WANT[i][0], test_text_at(e.v[0], WANT[i][0]));
    ck_assert_int_eq((int)json_integer_value(test_at(e.v[0], "/count")), 1);
    ck_assert_int_eq(strncmp(test_text_at(e.v[0], "/metadata/name"), "train-0.", 8), 0);
    found_done(&e);
    done(&f);
}
END_TEST

START_TEST(repeats_raise_the_count_now_and_then)
{
    struct fixture f;
    setup(&f);
    for (int i = 0; i < 5; i++)
        post(&f, "p", "R", "same");
    struct found e = wait_writes(&f, 1); /* the first at once, the others wait */
    found_done(&e);
    pass(&f, 9999);
    e = wait_writes(&f, 1);
    found_done(&e);
    pass(&f, 1);
    e = wait_writes(&f, 2);
    ck_assert_uint_eq(e.n, 1);
    ck_assert_int_eq((int)json_integer_value(test_at(e.v[0], "/count")), 5);
    ck_assert_str_eq(test_text_at(e.v[0], "/firstTimestamp"), "2026-09-21T14:13:20Z");
    ck_assert_str_eq(test_text_at(e.v[0], "/lastTimestamp"), "2026-09-21T14:13:30Z");
    found_done(&e);
    pass(&f, 60000);
    post(&f, "p", "R", "same"); /* long after: at once */
    e = wait_writes(&f, 3);
    ck_assert_int_eq((int)json_integer_value(test_at(e.v[0], "/count")), 6);
    found_done(&e);
    done(&f);
}
END_TEST

START_TEST(of_many_messages_the_newest)
{
    struct fixture f;
    setup(&f);
    static const char *const TEXTS[] = {"a", "b", "c", "c"};
    for (size_t i = 0; i < COUNT(TEXTS); i++)
        post(&f, "p", "R", TEXTS[i]);
    struct found e = wait_writes(&f, 1);
    ck_assert_str_eq(test_text_at(e.v[0], "/message"), "a");
    found_done(&e);
    pass(&f, 10000);
    e = wait_writes(&f, 2);
    ck_assert_uint_eq(e.n, 2);
    ck_assert_str_eq(test_text_at(e.v[1], "/message"), "c");
    ck_assert_int_eq((int)json_integer_value(test_at(e.v[1], "/count")), 2);
    ck_assert_str_ne(test_text_at(e.v[0], "/metadata/name"),
                     test_text_at(e.v[1], "/metadata/name"));
    found_done(&e);
    ck_assert_uint_eq(kube_events_dropped(f.ev), 0);
    done(&f);
}
END_TEST

START_TEST(pods_and_reasons_are_apart)
{
    struct fixture f;
    setup(&f);
    post(&f, "p", "R", "m");
    post(&f, "p", "S", "m");
    post(&f, "q", "R", "m");
    struct found e = wait_writes(&f, 3);
    ck_assert_uint_eq(e.n, 3);
    found_done(&e);
    done(&f);
}
END_TEST

START_TEST(long_texts)
{
    struct fixture f;
    setup(&f);
    char message[3000], pod[254];
    memset(message, 'x', sizeof(message));
    message[sizeof(message) - 1] = '\0';
    memcpy(message + 1023, "\xc3\xa4", 2); /* stands across the bound */
    memset(pod, 'p', sizeof(pod) - 1);
    pod[sizeof(pod) - 1] = '\0';
    pod[235] = '-'; /* where it is cut */
    post(&f, pod, "R", message);
    struct found e = wait_writes(&f, 1);
    ck_assert_uint_eq(strlen(test_text_at(e.v[0], "/message")), 1023);
    ck_assert_uint_le(strlen(test_text_at(e.v[0], "/metadata/name")), 253);
    ck_assert_ptr_null(strstr(test_text_at(e.v[0], "/metadata/name"), "-."));
    ck_assert_str_eq(test_text_at(e.v[0], "/involvedObject/name"), pod);
    found_done(&e);
    done(&f);
}
END_TEST

/* clang-format off */
static const struct {
    const char *name;
    struct kube_fault_rule rule;
    uint64_t writes, dropped;
    size_t events;
} FAULTS[] = {
    {"refused once: again", {.fault = KUBE_FAULT_REFUSED, .verb = KUBE_CREATE, .kind = KUBE_EVENT}, 1, 0, 1},
    {"busy once: again", {.fault = KUBE_FAULT_STATUS, .verb = KUBE_CREATE, .kind = KUBE_EVENT, .status = 429}, 1, 0, 1},
    {"cut, but done: not a second one", {.fault = KUBE_FAULT_CUT_DONE, .verb = KUBE_CREATE, .kind = KUBE_EVENT}, 1, 0, 1},
    {"forbidden: given up", {.fault = KUBE_FAULT_STATUS, .verb = KUBE_CREATE, .kind = KUBE_EVENT, .status = 403}, 0, 1, 0},
};
/* clang-format on */

START_TEST(faults)
{
    struct fixture f;
    setup(&f);
    kube_store_fault(f.st, &FAULTS[_i].rule);
    post(&f, "p", "R", "m");
    for (int i = 0; i < 400 && kube_events_dropped(f.ev) + kube_store_writes(f.st) == 0; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    kube_events_free(f.ev); /* it ends what it began */
    struct found e = {0};
    struct kube_list_handler handler = {.item = find, .ctx = &e};
    char rv[KUBE_RV_MAX];
    ck_ok(kube_list(f.k, KUBE_EVENT, NULL, NULL, &handler, rv, why));
    ck_assert_msg(e.n == FAULTS[_i].events, "%s: %zu events", FAULTS[_i].name, e.n);
    ck_assert_msg(kube_store_writes(f.st) == FAULTS[_i].writes, "%s: writes", FAULTS[_i].name);
    found_done(&e);
    kube_free(f.k);
}
END_TEST

START_TEST(an_event_that_expired_is_made_anew)
{
    struct fixture f;
    setup(&f);
    post(&f, "p", "R", "m");
    struct found e = wait_writes(&f, 1);
    struct kube_request del = {.verb = KUBE_DELETE,
                               .kind = KUBE_EVENT,
                               .ns = STR("ml"),
                               .name = str_z(test_text_at(e.v[0], "/metadata/name"))};
    ck_ok(test_call(f.k, del, NULL, NULL, why));
    found_done(&e);
    pass(&f, 3600000);
    post(&f, "p", "R", "m");
    e = wait_writes(&f, 3);
    ck_assert_uint_eq(e.n, 1);
    ck_assert_int_eq((int)json_integer_value(test_at(e.v[0], "/count")), 2);
    found_done(&e);
    done(&f);
}
END_TEST

START_TEST(a_full_queue_drops_and_the_end_is_bounded)
{
    struct fixture f;
    setup(&f);
    /* the first write fails for ever (three tries, a second apart): the queue fills behind it */
    kube_store_fault(f.st,
                     &(struct kube_fault_rule){
                         .fault = KUBE_FAULT_REFUSED, .verb = -1, .kind = -1, .times = 1000000});
    for (int i = 0; i < 8192 + 500; i++) {
        char pod[16];
        (void)snprintf(pod, sizeof(pod), "p%d", i);
        post(&f, pod, "R", "m");
    }
    ck_assert_uint_ge(kube_events_dropped(f.ev), 499);
    ck_assert_uint_le(kube_events_dropped(f.ev), 500);
    struct timespec t0, t1;
    (void)clock_gettime(CLOCK_MONOTONIC, &t0);
    done(&f);
    (void)clock_gettime(CLOCK_MONOTONIC, &t1);
    ck_assert_int_lt((t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000, 2500);
}
END_TEST

/* Binds go before: no more than one in 50 ms, each with the time of what it tells; then all of it.
 */
START_TEST(events_give_way)
{
    struct fixture f;
    setup(&f);
    kube_events_yield(f.ev, 250);
    for (int i = 0; i < 20; i++) {
        char pod[16];
        (void)snprintf(pod, sizeof(pod), "p%d", i);
        post(&f, pod, "R", "m");
    }
    for (uint64_t n = 1; n < 5; n++) {
        struct found e = wait_writes(&f, n);
        ck_assert_str_eq(test_text_at(e.v[0], "/firstTimestamp"), "2026-09-21T14:13:20Z");
        ck_assert_str_eq(test_text_at(e.v[0], "/lastTimestamp"), "2026-09-21T14:13:20Z");
        found_done(&e);
        pass(&f, 49);
        e = wait_writes(&f, n);
        found_done(&e);
        pass(&f, 1);
    }
    kube_events_yield(f.ev, 60000);
    pass(&f, 1000);
    struct found e = wait_writes(&f, 5);
    found_done(&e);
    kube_events_yield(f.ev, 0); /* nobody goes before any more */
    e = wait_writes(&f, 20);
    for (size_t i = 0; i < e.n; i++)
        ck_assert_str_eq(test_text_at(e.v[i], "/firstTimestamp"), "2026-09-21T14:13:20Z");
    found_done(&e);
    kube_events_yield(f.ev, 60000);
    for (int i = 0; i < 20; i++) {
        char pod[16];
        (void)snprintf(pod, sizeof(pod), "q%d", i);
        post(&f, pod, "R", "m");
    }
    kube_events_free(f.ev); /* an end does not wait for others */
    ck_assert_uint_eq(kube_store_writes(f.st), 40);
    kube_free(f.k);
}
END_TEST

START_TEST(more_series_than_are_remembered)
{
    struct fixture f;
    setup(&f);
    uint64_t posted = 0;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 500; i++) {
            char pod[16];
            (void)snprintf(pod, sizeof(pod), "p%d", round * 500 + i);
            post(&f, pod, "R", "m");
            posted++;
        }
        for (int i = 0; i < 500 && kube_store_writes(f.st) + kube_events_dropped(f.ev) < posted;
             i++)
            (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        pass(&f, 1);
    }
    /* more than one write a series in ten seconds there are not, whoever is refused */
    ck_assert_uint_eq(kube_store_writes(f.st), 4096);
    ck_assert_uint_eq(kube_events_dropped(f.ev), 904);
    pass(&f, 9991); /* the first rounds' may write again, the last round's not yet */
    static const char *const NEXT[] = {"p4999", "p0"}; /* each in the place of the oldest */
    for (uint64_t n = 0; n < COUNT(NEXT); n++) {
        post(&f, NEXT[n], "R", "m");
        for (int i = 0; i < 500 && kube_store_writes(f.st) < 4097 + n; i++)
            (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
        ck_assert_uint_eq(kube_store_writes(f.st), 4097 + n);
    }
    ck_assert_uint_eq(kube_events_dropped(f.ev), 904);
    done(&f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kube_events");
    TCase *tc = tcase_create("events");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, writes_what_an_event_is);
    tcase_add_test(tc, repeats_raise_the_count_now_and_then);
    tcase_add_test(tc, of_many_messages_the_newest);
    tcase_add_test(tc, pods_and_reasons_are_apart);
    tcase_add_test(tc, long_texts);
    tcase_add_loop_test(tc, faults, 0, (int)COUNT(FAULTS));
    tcase_add_test(tc, an_event_that_expired_is_made_anew);
    tcase_add_test(tc, a_full_queue_drops_and_the_end_is_bounded);
    tcase_add_test(tc, events_give_way);
    tcase_add_test(tc, more_series_than_are_remembered);
    suite_add_tcase(s, tc);
    return test_run(s);
}
