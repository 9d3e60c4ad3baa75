/* The HTTP back end against canned answers: what is sent, what an answer means, and above all
 * whether a write that went wrong was surely not done or may have been. */
#include "check_kube_util.h"
#include "fake_api/fake_api.h"

#include "kubeclient/priv.h"

#include <pthread.h>
#include <sys/stat.h>
#include <time.h>

/* ---- set-up ---- */

struct fixture {
    struct fake_api *f;
    struct kube *k;
    char *config;
};

static char *write_config(const char *server, const char *cluster, const char *user)
{
    char *text = NULL;
    ck_assert_int_gt(asprintf(&text,
                              "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
                              "contexts: [{name: c, context: {cluster: k, user: u}}]\n"
                              "clusters: [{name: k, cluster: {server: '%s'%s%s}}]\n"
                              "users: [{name: u, user: {%s}}]\n",
                              server, *cluster ? ", " : "", cluster, user),
                     0);
    char *path = test_file(text, strlen(text));
    free(text);
    return path;
}

static void connect_to(struct fixture *x, enum fake_tls tls, const char *cluster, const char *user,
                       unsigned conns, size_t object_max)
{
    char server[64];
    (void)snprintf(server, sizeof(server), "http%s://127.0.0.1:%d", tls ? "s" : "",
                   fake_api_port(x->f));
    x->config = write_config(server, cluster, user);
    struct kube_http_config cfg = {
        .kubeconfig = x->config, .connections_max = conns, .object_max = object_max};
    ck_ok(kube_http_new(&cfg, &CLOCK_SYSTEM, &x->k, why));
}

static void setup(struct fixture *x, const struct fake_step *steps, size_t n)
{
    x->f = fake_api_start(steps, n, FAKE_PLAIN);
    connect_to(x, FAKE_PLAIN, "", "token: sesame", 0, 0);
}

static void done(struct fixture *x, const char *name)
{
    kube_free(x->k);
    const char *fault = fake_api_stop(x->f);
    ck_assert_msg(!fault, "%s: %s", name, fault);
    (void)unlink(x->config);
    free(x->config);
}

#define OBJECT                "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"resourceVersion\":\"7\"}}"
#define STATUS(code, message) "{\"kind\":\"Status\",\"code\":" #code ",\"message\":\"" message "\"}"

/* ---- what is sent ---- */

/* clang-format off */
static const struct {
    const char *name;
    struct kube_request req;
    const char *want, *want_body;
} SENDS[] = {
    {"get a pod", {.verb = KUBE_GET, .kind = KUBE_POD, .ns = STR_INIT("ml"), .name = STR_INIT("p")}, "GET /api/v1/namespaces/ml/pods/p HTTP/1.1\r\n", ""},
    {"get a node", {.verb = KUBE_GET, .kind = KUBE_NODE, .name = STR_INIT("n")}, "GET /api/v1/nodes/n HTTP/1.1\r\n", ""},
    {"the token", {.verb = KUBE_GET, .kind = KUBE_NODE, .name = STR_INIT("n")}, "\r\nAuthorization: Bearer sesame\r\n", ""},
    {"JSON is wanted", {.verb = KUBE_GET, .kind = KUBE_NODE, .name = STR_INIT("n")}, "\r\nAccept: application/json\r\n", ""},
    {"who we are", {.verb = KUBE_GET, .kind = KUBE_NODE, .name = STR_INIT("n")}, "\r\nUser-Agent: cardinald/", ""},
    {"a lease", {.verb = KUBE_GET, .kind = KUBE_LEASE, .ns = STR_INIT("kube-system"), .name = STR_INIT("l")}, "GET /apis/coordination.k8s.io/v1/namespaces/kube-system/leases/l HTTP", ""},
    {"a quota", {.verb = KUBE_GET, .kind = KUBE_QUOTA, .ns = STR_INIT("ml"), .name = STR_INIT("q")}, "GET /api/v1/namespaces/ml/resourcequotas/q HTTP", ""},
    {"merge patch", {.verb = KUBE_PATCH, .kind = KUBE_POD, .ns = STR_INIT("ml"), .name = STR_INIT("p"), .body = STR_INIT("{\"a\":1}"), .timeout_ms = 2000}, "PATCH /api/v1/namespaces/ml/pods/p?timeout=", "{\"a\":1}"},
    {"its type", {.verb = KUBE_PATCH, .kind = KUBE_POD, .ns = STR_INIT("ml"), .name = STR_INIT("p"), .body = STR_INIT("{}")}, "\r\nContent-Type: application/merge-patch+json\r\n", "{}"},
    {"JSON patch's type", {.verb = KUBE_PATCH, .kind = KUBE_NODE, .name = STR_INIT("n"), .patch_type = KUBE_PATCH_JSON, .body = STR_INIT("[]")}, "\r\nContent-Type: application/json-patch+json\r\n", "[]"},
    {"strategic patch's type", {.verb = KUBE_PATCH, .kind = KUBE_NODE, .name = STR_INIT("n"), .patch_type = KUBE_PATCH_STRATEGIC, .body = STR_INIT("{}")}, "\r\nContent-Type: application/strategic-merge-patch+json\r\n", "{}"},
    {"the status part", {.verb = KUBE_PATCH, .kind = KUBE_POD, .ns = STR_INIT("ml"), .name = STR_INIT("p"), .status = true, .body = STR_INIT("{}"), .timeout_ms = 900}, "PATCH /api/v1/namespaces/ml/pods/p/status?timeout=", "{}"},
    {"a binding", {.verb = KUBE_BIND, .kind = KUBE_POD, .ns = STR_INIT("ml"), .name = STR_INIT("p"), .body = STR_INIT("{\"b\":1}"), .timeout_ms = 2001}, "POST /api/v1/namespaces/ml/pods/p/binding?timeout=", "{\"b\":1}"},
    {"create", {.verb = KUBE_CREATE, .kind = KUBE_EVENT, .ns = STR_INIT("ml"), .body = STR_INIT("{}"), .timeout_ms = 5000}, "POST /api/v1/namespaces/ml/events?timeout=", "{}"},
    {"update", {.verb = KUBE_UPDATE, .kind = KUBE_LEASE, .ns = STR_INIT("ml"), .name = STR_INIT("l"), .body = STR_INIT("{}"), .timeout_ms = 5000}, "PUT /apis/coordination.k8s.io/v1/namespaces/ml/leases/l?timeout=", "{}"},
    {"delete", {.verb = KUBE_DELETE, .kind = KUBE_POD, .ns = STR_INIT("ml"), .name = STR_INIT("p"), .timeout_ms = 5000}, "DELETE /api/v1/namespaces/ml/pods/p?timeout=", "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\"}"},
    {"delete with options", {.verb = KUBE_DELETE, .kind = KUBE_POD, .ns = STR_INIT("ml"), .name = STR_INIT("p"), .body = STR_INIT("{\"gracePeriodSeconds\":0}")}, "DELETE ", "{\"gracePeriodSeconds\":0}"},
};
/* clang-format on */

START_TEST(sends)
{
    struct fake_step step = {
        .want = SENDS[_i].want, .want_body = SENDS[_i].want_body, .status = 200, .body = OBJECT};
    struct fixture x;
    setup(&x, &step, 1);
    struct kube_request req = SENDS[_i].req;
    struct kube_response resp;
    struct err err = {0};
    json_t *body = NULL;
    enum err_code rc = test_call(x.k, req, &body, &resp, &err);
    ck_assert_msg(rc == ERR_OK, "%s: %s", SENDS[_i].name, err.text);
    ck_assert_str_eq(test_text_at(body, "/metadata/name"), "p");
    ck_assert(resp.sent);
    ck_assert_int_eq(resp.http_status, 200);
    json_decref(body);
    done(&x, SENDS[_i].name);
}
END_TEST

/* ---- what an answer means ---- */

/* clang-format off */
static const struct {
    const char *name;
    struct fake_step step;
    enum err_code get, patch;
    int http, retry_ms;
    bool sent;
    const char *says;
} ANSWERS[] = {
    {"200", {.status = 200, .body = OBJECT}, ERR_OK, ERR_OK, 200, 0, true, ""},
    {"201", {.status = 201, .body = OBJECT}, ERR_OK, ERR_OK, 201, 0, true, ""},
    {"200 in chunks of one byte", {.status = 200, .body = OBJECT, .chunked = true, .piece = 1}, ERR_OK, ERR_OK, 200, 0, true, ""},
    {"302 is not followed", {.status = 302, .headers = "Location: /elsewhere\r\n"}, ERR_UNAVAILABLE, ERR_UNAVAILABLE, 302, 0, true, "302"},
    {"400", {.status = 400, .body = STATUS(400, "what?")}, ERR_BAD_REQUEST, ERR_BAD_REQUEST, 400, 0, true, "what?"},
    {"403", {.status = 403, .body = STATUS(403, "no")}, ERR_FORBIDDEN, ERR_FORBIDDEN, 403, 0, true, "403 no"},
    {"404", {.status = 404, .body = STATUS(404, "gone")}, ERR_NOT_FOUND, ERR_NOT_FOUND, 404, 0, true, "404 gone"},
    {"405, as text", {.status = 405, .body = "not allowed\n"}, ERR_BAD_REQUEST, ERR_BAD_REQUEST, 405, 0, true, "405: not allowed"},
    {"409", {.status = 409, .body = STATUS(409, "modified")}, ERR_CONFLICT, ERR_CONFLICT, 409, 0, true, "409 modified"},
    {"410", {.status = 410, .body = STATUS(410, "old")}, ERR_GONE, ERR_GONE, 410, 0, true, "410 old"},
    {"413", {.status = 413}, ERR_TOO_LARGE, ERR_TOO_LARGE, 413, 0, true, "413"},
    {"422", {.status = 422, .body = STATUS(422, "invalid")}, ERR_INVALID, ERR_INVALID, 422, 0, true, "422 invalid"},
    {"429 with a time", {.status = 429, .headers = "Retry-After: 3\r\n", .body = "Too many requests"}, ERR_BUSY, ERR_BUSY, 429, 3000, true, "Too many requests"},
    {"429 without", {.status = 429}, ERR_BUSY, ERR_BUSY, 429, 0, true, "429"},
    {"429 with a date", {.status = 429, .headers = "Retry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\n"}, ERR_BUSY, ERR_BUSY, 429, 0, true, "429"},
    {"429 with a silly time", {.status = 429, .headers = "Retry-After: 99999999999\r\n"}, ERR_BUSY, ERR_BUSY, 429, 0, true, "429"},
    {"500", {.status = 500, .body = STATUS(500, "oops")}, ERR_UNAVAILABLE, ERR_UNKNOWN, 500, 0, true, "500 oops"},
    {"503 with a time", {.status = 503, .headers = "retry-after: 1\r\n"}, ERR_UNAVAILABLE, ERR_UNKNOWN, 503, 1000, true, "503"},
    {"504", {.status = 504}, ERR_UNAVAILABLE, ERR_UNKNOWN, 504, 0, true, "504"},
    {"500 with a time: not ours to know", {.status = 500, .headers = "Retry-After: 1\r\n"}, ERR_UNAVAILABLE, ERR_UNKNOWN, 500, 0, true, "500"},
    {"nothing at all", {.status = 0}, ERR_UNAVAILABLE, ERR_UNKNOWN, 0, 0, true, ""},
    {"hangs up without an answer", {.status = 0, .close = true}, ERR_UNAVAILABLE, ERR_UNKNOWN, 0, 0, true, ""},
    {"resets", {.reset = true}, ERR_UNAVAILABLE, ERR_UNKNOWN, 0, 0, true, ""},
    {"hangs up within the status line", {.status = 200, .body = OBJECT, .cut = 7}, ERR_UNAVAILABLE, ERR_UNKNOWN, 0, 0, true, ""},
    {"hangs up within the head", {.status = 200, .body = OBJECT, .cut = 30}, ERR_UNAVAILABLE, ERR_UNKNOWN, 200, 0, true, ""},
    {"hangs up within the body", {.status = 200, .body = OBJECT, .cut = 90}, ERR_UNAVAILABLE, ERR_UNKNOWN, 200, 0, true, "cut"},
    {"hangs up within a chunk", {.status = 200, .body = OBJECT, .chunked = true, .cut = 110}, ERR_UNAVAILABLE, ERR_UNKNOWN, 200, 0, true, "cut"},
    {"hangs up before the last chunk", {.status = 200, .body = OBJECT, .chunked = true, .piece = 10, .cut = 150}, ERR_UNAVAILABLE, ERR_UNKNOWN, 200, 0, true, "cut"},
    {"hangs up within the body of a refusal", {.status = 409, .body = STATUS(409, "modified"), .cut = 85}, ERR_CONFLICT, ERR_CONFLICT, 409, 0, true, "cut"},
    {"hangs up after a word in between", {.status = 100, .close = true}, ERR_UNAVAILABLE, ERR_UNKNOWN, 0, 0, true, ""},
    {"an answer behind a word in between", {.status = 103, .headers = "\r\nHTTP/1.1 201 X\r\n", .body = OBJECT}, ERR_OK, ERR_OK, 201, 0, true, ""},
    {"hangs up within the head behind a word in between", {.status = 103, .headers = "\r\nHTTP/1.1 201 X\r\n", .body = OBJECT, .cut = 75}, ERR_UNAVAILABLE, ERR_UNKNOWN, 201, 0, true, "cut"},
    {"too late", {.status = 200, .body = OBJECT, .delay_ms = 1500}, ERR_UNAVAILABLE, ERR_UNKNOWN, 0, 0, true, ""},
};
/* clang-format on */

START_TEST(answers)
{
    for (int write = 0; write < 2; write++) {
        struct fixture x;
        setup(&x, &ANSWERS[_i].step, 1);
        struct kube_request req = {.verb = write ? KUBE_PATCH : KUBE_GET,
                                   .kind = KUBE_POD,
                                   .ns = STR("ml"),
                                   .name = STR("p"),
                                   .body = write ? STR("{\"metadata\":{}}") : STR(""),
                                   .timeout_ms = 400};
        struct kube_response resp;
        struct err err = {0};
        enum err_code rc = test_call(x.k, req, NULL, &resp, &err),
                      want = write ? ANSWERS[_i].patch : ANSWERS[_i].get;
        const char *name = ANSWERS[_i].name;
        ck_assert_msg(rc == want, "%s, %s: want %s, got %s: %s", name, write ? "patch" : "get",
                      err_class(want)->name, err_class(rc)->name, err.text);
        ck_assert_msg(resp.http_status == ANSWERS[_i].http, "%s: HTTP %d", name, resp.http_status);
        ck_assert_msg(resp.retry_after_ms == ANSWERS[_i].retry_ms, "%s: %d ms", name,
                      resp.retry_after_ms);
        ck_assert_msg(resp.sent == ANSWERS[_i].sent, "%s: sent", name);
        ck_assert_msg(rc == ERR_OK || strstr(err.text, ANSWERS[_i].says), "%s: says %s", name,
                      err.text);
        done(&x, name);
    }
}
END_TEST

START_TEST(nobody_there)
{
    struct fake_step none = {0};
    struct fake_api *f = fake_api_start(&none, 0, FAKE_PLAIN);
    char server[64];
    (void)snprintf(server, sizeof(server), "http://127.0.0.1:%d", fake_api_port(f));
    ck_assert_ptr_null(fake_api_stop(f)); /* the port is free again */
    static const char *const OTHERS[] = {NULL, "http://no-such-host.invalid:1"};
    for (int i = 0; i < 2; i++) {
        char *config = write_config(OTHERS[i] ? OTHERS[i] : server, "", "token: t");
        struct kube *k = NULL;
        struct kube_http_config cfg = {.kubeconfig = config};
        ck_ok(kube_http_new(&cfg, &CLOCK_SYSTEM, &k, why));
        struct kube_request req = {.verb = KUBE_BIND,
                                   .kind = KUBE_POD,
                                   .ns = STR("ml"),
                                   .name = STR("p"),
                                   .body = STR("{}"),
                                   .timeout_ms = 2000};
        struct kube_response resp;
        ck_assert_int_eq(test_call(k, req, NULL, &resp, NULL),
                         ERR_UNAVAILABLE); /* surely not done */
        ck_assert(!resp.sent);
        ck_assert_int_eq(resp.http_status, 0);
        ck_assert_str_eq(kube_describe(k), OTHERS[i] ? OTHERS[i] : server);
        kube_free(k);
        (void)unlink(config);
        free(config);
    }
}
END_TEST

/* A kept connection that dies under a write: the library must not send it again by itself. */
START_TEST(a_write_is_never_sent_twice)
{
    struct fake_step steps[] = {
        {.status = 200, .body = OBJECT},
        {.want = "POST ", .status = 0, .close = true},
        {.want = "PATCH ", .status = 0, .close = true},
        {.want = "GET ", .status = 200, .body = OBJECT},
        {.want = "DELETE ", .reset = true},
    };
    struct fixture x;
    setup(&x, steps, COUNT(steps));
    struct kube_request get = {
        .verb = KUBE_GET, .kind = KUBE_POD, .ns = STR("ml"), .name = STR("p")};
    struct kube_request bind = {
        .verb = KUBE_BIND, .kind = KUBE_POD, .ns = STR("ml"), .name = STR("p"), .body = STR("{}")};
    struct kube_request patch = bind, del = get;
    patch.verb = KUBE_PATCH;
    del.verb = KUBE_DELETE;
    ck_ok(test_call(x.k, get, NULL, NULL, why));
    ck_assert_int_eq(test_call(x.k, bind, NULL, NULL, NULL), ERR_UNKNOWN);
    ck_assert_int_eq(test_call(x.k, patch, NULL, NULL, NULL), ERR_UNKNOWN);
    ck_ok(test_call(x.k, get, NULL, NULL, why));
    ck_assert_int_eq(test_call(x.k, del, NULL, NULL, NULL), ERR_UNKNOWN);
    done(&x, "never twice");
}
END_TEST

START_TEST(connections_are_kept_and_replaced)
{
    struct fake_step steps[] = {
        {.status = 200, .body = OBJECT},
        {.status = 404, .body = STATUS(404, "x")},
        {.status = 200, .body = OBJECT, .close = true},
        {.want = "PATCH ", .status = 200, .body = OBJECT},
    };
    struct fixture x;
    setup(&x, steps, COUNT(steps));
    struct kube_request get = {
        .verb = KUBE_GET, .kind = KUBE_POD, .ns = STR("ml"), .name = STR("p")};
    struct kube_request patch = {
        .verb = KUBE_PATCH, .kind = KUBE_POD, .ns = STR("ml"), .name = STR("p"), .body = STR("{}")};
    ck_ok(test_call(x.k, get, NULL, NULL, why));
    ck_assert_int_eq(test_call(x.k, get, NULL, NULL, NULL), ERR_NOT_FOUND);
    ck_ok(test_call(x.k, get, NULL, NULL, why));
    ck_assert_uint_eq(fake_api_connections(x.f), 1);
    (void)nanosleep(&(struct timespec){.tv_nsec = 50000000},
                    NULL); /* the server hung up in the meantime: seen before the write */
    ck_ok(test_call(x.k, patch, NULL, NULL, why));
    ck_assert_uint_eq(fake_api_connections(x.f), 2);
    done(&x, "kept");
}
END_TEST

START_TEST(large_answers)
{
    char *body = malloc(20000);
    (void)snprintf(body, 20000, "{\"a\":\"%015000d\"}", 0);
    struct fake_step steps[] = {{.status = 200, .body = body},
                                {.status = 200, .body = body},
                                {.status = 400, .body = body}};
    struct fixture x;
    x.f = fake_api_start(steps, COUNT(steps), FAKE_PLAIN);
    connect_to(&x, FAKE_PLAIN, "", "token: t", 0, 10000);
    struct kube_request req = {.verb = KUBE_GET, .kind = KUBE_NODE, .name = STR("n")};
    ck_assert_int_eq(test_call(x.k, req, NULL, NULL, NULL), ERR_TOO_LARGE);
    req.verb = KUBE_PATCH;
    req.body = STR("{}");
    ck_assert_int_eq(test_call(x.k, req, NULL, NULL, NULL),
                     ERR_UNKNOWN); /* done or not: it was not said */
    struct err err = {0};
    ck_assert_int_eq(test_call(x.k, req, NULL, NULL, &err), ERR_BAD_REQUEST);
    ck_assert_uint_lt(strlen(err.text), sizeof(err.text));
    done(&x, "large");
    free(body);
}
END_TEST

struct caller {
    struct kube *k;
    int good, busy;
};

static void *call_many(void *ctx)
{
    struct caller *c = ctx;
    struct kube_request get = {
        .verb = KUBE_GET, .kind = KUBE_POD, .ns = STR("ml"), .name = STR("p"), .timeout_ms = 5000};
    for (int i = 0; i < 10; i++)
        c->good += test_call(c->k, get, NULL, NULL, NULL) == ERR_OK;
    return NULL;
}

START_TEST(the_pool_is_bounded)
{
    enum { THREADS = 6 };
    struct fake_step steps[THREADS * 10];
    for (size_t i = 0; i < COUNT(steps); i++)
        steps[i] = (struct fake_step){.status = 200, .body = OBJECT, .delay_ms = i % 7 ? 0 : 10};
    struct fixture x;
    x.f = fake_api_start(steps, COUNT(steps), FAKE_PLAIN);
    connect_to(&x, FAKE_PLAIN, "", "token: t", 2, 0);
    struct caller c[THREADS];
    pthread_t t[THREADS];
    for (int i = 0; i < THREADS; i++) {
        c[i] = (struct caller){.k = x.k};
        pthread_create(&t[i], NULL, call_many, &c[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
        ck_assert_int_eq(c[i].good, 10);
    }
    ck_assert_uint_le(fake_api_connections(x.f), 2);
    done(&x, "pool");
}
END_TEST

static void *call_silent(void *ctx)
{
    struct kube_request get = {
        .verb = KUBE_GET, .kind = KUBE_POD, .ns = STR("ml"), .name = STR("p"), .timeout_ms = 1000};
    err_ignore(test_call(ctx, get, NULL, NULL, NULL));
    return NULL;
}

START_TEST(waiting_for_a_connection_ends)
{
    struct fake_step silent = {.status = 0};
    struct fixture x;
    x.f = fake_api_start(&silent, 1, FAKE_PLAIN);
    connect_to(&x, FAKE_PLAIN, "", "token: t", 1, 0);
    pthread_t t;
    pthread_create(&t, NULL, call_silent, x.k);
    while (fake_api_requests(x.f) == 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    struct kube_request bind = {.verb = KUBE_BIND,
                                .kind = KUBE_POD,
                                .ns = STR("ml"),
                                .name = STR("p"),
                                .body = STR("{}"),
                                .timeout_ms = 200};
    struct kube_response resp;
    ck_assert_int_eq(test_call(x.k, bind, NULL, &resp, NULL), ERR_UNAVAILABLE);
    ck_assert(!resp.sent);
    pthread_join(t, NULL);
    done(&x, "waiting");
}
END_TEST

/* What the server may take is what is left, not what there was before the wait. */
START_TEST(a_write_that_waited_has_less_time)
{
    /* half of what is left: the connection has to be made anew */
    struct fake_step steps[] = {{.status = 0}, {.want = "?timeout=1", .status = 201}};
    struct fixture x;
    x.f = fake_api_start(steps, COUNT(steps), FAKE_PLAIN);
    connect_to(&x, FAKE_PLAIN, "", "token: t", 1, 0);
    pthread_t t;
    pthread_create(&t, NULL, call_silent, x.k);
    while (fake_api_requests(x.f) == 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    struct kube_request bind = {.verb = KUBE_BIND,
                                .kind = KUBE_POD,
                                .ns = STR("ml"),
                                .name = STR("p"),
                                .body = STR("{}"),
                                .timeout_ms = 40000};
    ck_assert_int_eq(test_call(x.k, bind, NULL, NULL, NULL), ERR_OK);
    pthread_join(t, NULL);
    done(&x, "less time");
}
END_TEST

static void *stop_soon(void *ctx)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    *(_Atomic bool *)ctx = true;
    return NULL;
}

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

START_TEST(calls_can_be_stopped)
{
    for (int write = 0; write < 2; write++) {
        struct fake_step silent = {.status = 0};
        struct fixture x;
        setup(&x, &silent, 1);
        _Atomic bool stop = false;
        pthread_t t;
        pthread_create(&t, NULL, stop_soon, &stop);
        struct kube_request req = {.verb = write ? KUBE_PATCH : KUBE_GET,
                                   .kind = KUBE_NODE,
                                   .name = STR("n"),
                                   .body = write ? STR("{}") : STR(""),
                                   .timeout_ms = 20000,
                                   .stop = &stop};
        int64_t t0 = now_ms();
        /* what was sent may be done, stopped or not */
        ck_assert_int_eq(test_call(x.k, req, NULL, NULL, NULL),
                         write ? ERR_UNKNOWN : ERR_CANCELLED);
        ck_assert_int_lt(now_ms() - t0, 1000);
        pthread_join(t, NULL);
        done(&x, "stopped");
    }
}
END_TEST

/* ---- lists ---- */

struct seen {
    char text[4096];
    size_t n, stop_after;
    _Atomic bool stop;
    bool refuse;
};

static void note(struct seen *s, const char *what, struct str object, struct str rv)
{
    size_t at = strlen(s->text);
    (void)snprintf(s->text + at, sizeof(s->text) - at, "%s%s%.*s%s%.*s", at ? " " : "", what,
                   (int)object.n, object.p, rv.n ? "@" : "", (int)rv.n, rv.p);
}

static enum err_code see_item(void *ctx, struct str object, struct err *err)
{
    struct seen *s = ctx;
    note(s, "", object, STR(""));
    if (++s->n == s->stop_after)
        s->stop = true;
    return s->refuse ? err_set(err, ERR_INTERNAL, "enough") : ERR_OK;
}

#define PAGE(items, rest)                                                                          \
    "{\"kind\":\"PodList\",\"metadata\":{\"resourceVersion\":\"9\"" rest "},\"items\":[" items "]" \
    "}"

/* clang-format off */
static const struct {
    const char *name;
    struct kube_list_options opt;
    struct fake_step steps[3];
    enum err_code code;
    const char *want, *rv;
    const char *says;
} LISTS[] = {
    {"one page", {0}, {{.want = "GET /api/v1/pods?limit=500 HTTP", .status = 200, .body = PAGE("{\"a\":1},{\"a\":2}", "")}}, ERR_OK, "{\"a\":1} {\"a\":2}", "9", ""},
    {"empty", {0}, {{.status = 200, .body = PAGE("", "")}}, ERR_OK, "", "9", ""},
    {"items null", {0}, {{.status = 200, .body = "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":null}"}}, ERR_OK, "", "9", ""},
    {"three pages, the token escaped", {.page = 2},
     {{.want = "GET /api/v1/pods?limit=2 HTTP", .status = 200, .body = PAGE("1,2", ",\"continue\":\"a+/=\"")},
      {.want = "GET /api/v1/pods?limit=2&continue=a%2B%2F%3D HTTP", .status = 200, .body = PAGE("3,4", ",\"continue\":\"b\"")},
      {.want = "GET /api/v1/pods?limit=2&continue=b HTTP", .status = 200, .body = PAGE("5", ",\"continue\":\"\"")}},
     ERR_OK, "1 2 3 4 5", "9", ""},
    {"byte by byte", {0}, {{.status = 200, .chunked = true, .piece = 1, .body = PAGE("{\"a\":\"x,]}\\\"\"},{}", "")}}, ERR_OK, "{\"a\":\"x,]}\\\"\"} {}", "9", ""},
    {"selected, of a namespace", {.field_selector = "spec.nodeName=n1,status.phase!=Failed", .ns = "ml"},
     {{.want = "GET /api/v1/namespaces/ml/pods?limit=500&fieldSelector=spec.nodeName%3Dn1%2Cstatus.phase%21%3DFailed HTTP", .status = 200, .body = PAGE("", "")}}, ERR_OK, "", "9", ""},
    {"not older than", {.resource_version = "5"}, {{.want = "?limit=500&resourceVersion=5&resourceVersionMatch=NotOlderThan HTTP", .status = 200, .body = PAGE("1", ",\"continue\":\"t\"")},
      {.want = "?limit=500&continue=t HTTP", .status = 200, .body = PAGE("2", "")}}, ERR_OK, "1 2", "9", ""},
    {"the token expired", {0}, {{.status = 200, .body = PAGE("1", ",\"continue\":\"t\"")}, {.status = 410, .body = STATUS(410, "expired")}}, ERR_GONE, "1", "", "expired"},
    {"busy", {0}, {{.status = 429, .headers = "Retry-After: 1\r\n"}}, ERR_BUSY, "", "", "429"},
    {"overloaded", {0}, {{.status = 503, .headers = "Retry-After: 1\r\n"}}, ERR_UNAVAILABLE, "", "", "503"},
    {"forbidden", {0}, {{.status = 403, .body = STATUS(403, "no list")}}, ERR_FORBIDDEN, "", "", "no list"},
    {"500", {0}, {{.status = 500}}, ERR_UNAVAILABLE, "", "", "500"},
    {"cut within an item", {0}, {{.status = 200, .body = PAGE("{\"a\":1},{\"a\":2}", ""), .chunked = true, .piece = 10, .cut = 190}}, ERR_UNAVAILABLE, "{\"a\":1}", "", "cut"},
    {"cut in good order within the list", {0}, {{.status = 200, .body = "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[1,2"}}, ERR_UNAVAILABLE, "1", "", "cut"},
    {"no JSON", {0}, {{.status = 200, .body = "<html>"}}, ERR_UNAVAILABLE, "", "", "can't be read"},
    {"no resourceVersion", {0}, {{.status = 200, .body = "{\"metadata\":{},\"items\":[1]}"}}, ERR_UNAVAILABLE, "1", "", "resourceVersion"},
    {"empty answer", {0}, {{.status = 200, .body = ""}}, ERR_UNAVAILABLE, "", "", ""},
    {"204", {0}, {{.status = 204, .body = ""}}, ERR_UNAVAILABLE, "", "", "204"},
    {"silence", {0}, {{.status = 0, .close = true}}, ERR_UNAVAILABLE, "", "", ""},
};
/* clang-format on */

static size_t steps_of(const struct fake_step *s, size_t max)
{
    size_t n = 0;
    while (n < max && (s[n].status || s[n].close))
        n++;
    return n;
}

START_TEST(lists)
{
    struct fixture x;
    setup(&x, LISTS[_i].steps, steps_of(LISTS[_i].steps, 3));
    struct seen s = {0};
    int retry_ms = 0;
    struct kube_list_handler handler = {.item = see_item, .ctx = &s, .retry_after_ms = &retry_ms};
    char rv[KUBE_RV_MAX] = "";
    struct err err = {0};
    enum err_code rc = kube_list(x.k, KUBE_POD, &LISTS[_i].opt, NULL, &handler, rv, &err);
    const char *name = LISTS[_i].name;
    ck_assert_msg(retry_ms == (LISTS[_i].steps[0].headers ? 1000 : 0), "%s: %d", name, retry_ms);
    ck_assert_msg(rc == LISTS[_i].code, "%s: want %s, got %s: %s", name,
                  err_class(LISTS[_i].code)->name, err_class(rc)->name, err.text);
    ck_assert_msg(strcmp(s.text, LISTS[_i].want) == 0, "%s: got \"%s\"", name, s.text);
    ck_assert_msg(strcmp(rv, LISTS[_i].rv) == 0, "%s: version \"%s\"", name, rv);
    ck_assert_msg(rc == ERR_OK || strstr(err.text, LISTS[_i].says), "%s: says \"%s\"", name,
                  err.text);
    done(&x, name);
}
END_TEST

START_TEST(lists_end_as_the_caller_says)
{
    struct fake_step page = {.status = 200, .body = PAGE("1,2,3", ",\"continue\":\"t\"")};
    struct fixture x;
    setup(&x, &page, 1);
    struct seen s = {.refuse = true};
    struct kube_list_handler handler = {.item = see_item, .ctx = &s};
    char rv[KUBE_RV_MAX];
    struct err err = {0};
    ck_assert_int_eq(kube_list(x.k, KUBE_POD, NULL, NULL, &handler, rv, &err), ERR_INTERNAL);
    ck_assert_str_eq(err.text, "enough");
    done(&x, "refused");
    struct fake_step slow = {
        .status = 200, .body = PAGE("1,2,3", ""), .chunked = true, .piece = 62, .hold_ms = 5000};
    setup(&x, &slow, 1);
    s = (struct seen){.stop_after = 1};
    int64_t t0 = now_ms();
    ck_assert_int_eq(kube_list(x.k, KUBE_POD, NULL, &s.stop, &handler, rv, NULL), ERR_CANCELLED);
    ck_assert_int_lt(now_ms() - t0, 1000);
    done(&x, "stopped");
    setup(&x, &slow, 1);
    s = (struct seen){0};
    t0 = now_ms();
    ck_assert_int_eq(kube_list(x.k, KUBE_POD, &(struct kube_list_options){.timeout_ms = 300}, NULL,
                               &handler, rv, NULL),
                     ERR_UNAVAILABLE);
    ck_assert_int_lt(now_ms() - t0, 4000);
    done(&x, "out of time");
    /* an item beyond the bound */
    char *body = malloc(30000);
    (void)snprintf(body, 30000,
                   "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[1,\"%020000d\"]}", 0);
    struct fake_step large = {.status = 200, .body = body};
    x.f = fake_api_start(&large, 1, FAKE_PLAIN);
    connect_to(&x, FAKE_PLAIN, "", "token: t", 0, 10000);
    s = (struct seen){0};
    ck_assert_int_eq(kube_list(x.k, KUBE_POD, NULL, NULL, &handler, rv, NULL), ERR_TOO_LARGE);
    ck_assert_str_eq(s.text, "1");
    done(&x, "too large");
    free(body);
}
END_TEST

/* ---- watches ---- */

static enum err_code see_event(void *ctx, enum kube_event_type type, struct str object,
                               struct str rv, struct err *err)
{
    struct seen *s = ctx;
    static const char *const NAMES[] = {"A", "M", "D", "B", "END"};
    (void)object;
    note(s, NAMES[type], STR(""), rv);
    if (++s->n == s->stop_after)
        s->stop = true;
    return s->refuse ? err_set(err, ERR_INTERNAL, "enough") : ERR_OK;
}

#define EVENT(type, rv)                                                                            \
    "{\"type\":\"" type                                                                            \
    "\",\"object\":{\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"resourceVersion\":\"" rv       \
    "\"}}}\n"
#define END_MARK                                                                                   \
    "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Pod\",\"metadata\":{\"resourceVersion\":\"8\"," \
    "\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n"
#define ERROR_EVENT(code)                                                                          \
    "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"message\":\"too "                       \
    "old\",\"reason\":\"Expired\",\"code\":" #code "}}\n"

/* clang-format off */
static const struct {
    const char *name;
    struct kube_watch_options opt;
    struct fake_step step;
    enum err_code code;
    const char *want, *says;
} WATCHES[] = {
    {"events and a good end", {.resource_version = "5", .timeout_s = 7}, {.want = "GET /api/v1/pods?watch=1&allowWatchBookmarks=true&timeoutSeconds=7&resourceVersion=5 HTTP", .status = 200, .chunked = true, .body = EVENT("ADDED", "6") EVENT("MODIFIED", "7") EVENT("DELETED", "8") EVENT("BOOKMARK", "9")}, ERR_OK, "A@6 M@7 D@8 B@9", ""},
    {"byte by byte", {.resource_version = "5"}, {.status = 200, .chunked = true, .piece = 1, .body = EVENT("ADDED", "6") EVENT("MODIFIED", "7")}, ERR_OK, "A@6 M@7", ""},
    {"initial", {.initial = true, .timeout_s = 7}, {.want = "?watch=1&allowWatchBookmarks=true&timeoutSeconds=7&sendInitialEvents=true&resourceVersionMatch=NotOlderThan HTTP", .status = 200, .chunked = true, .body = EVENT("ADDED", "3") END_MARK EVENT("MODIFIED", "9")}, ERR_OK, "A@3 END@8 M@9", ""},
    {"selected, of a namespace", {.resource_version = "5", .timeout_s = 7, .ns = "ml", .field_selector = "spec.nodeName=n1"}, {.want = "GET /api/v1/namespaces/ml/pods?watch=1&allowWatchBookmarks=true&timeoutSeconds=7&resourceVersion=5&fieldSelector=spec.nodeName%3Dn1 HTTP", .status = 200, .chunked = true, .body = ""}, ERR_OK, "", ""},
    {"410 as an event", {.resource_version = "5"}, {.status = 200, .chunked = true, .body = EVENT("ADDED", "6") ERROR_EVENT(410)}, ERR_GONE, "A@6", "too old"},
    {"410 as a status", {.resource_version = "5"}, {.status = 410, .body = STATUS(410, "compacted")}, ERR_GONE, "", "compacted"},
    {"500 as an event", {.resource_version = "5"}, {.status = 200, .chunked = true, .body = ERROR_EVENT(500)}, ERR_UNAVAILABLE, "", "too old"},
    {"429 as an event", {.resource_version = "5"}, {.status = 200, .chunked = true, .body = ERROR_EVENT(429)}, ERR_BUSY, "", ""},
    {"an error without a code", {.resource_version = "5"}, {.status = 200, .chunked = true, .body = "{\"type\":\"ERROR\",\"object\":{}}\n"}, ERR_UNAVAILABLE, "", ""},
    {"nothing after an error is read", {.resource_version = "5"}, {.status = 200, .chunked = true, .body = ERROR_EVENT(410) EVENT("ADDED", "6")}, ERR_GONE, "", ""},
    {"streaming lists are not served", {.initial = true}, {.status = 422, .body = STATUS(422, "sendInitialEvents is forbidden")}, ERR_INVALID, "", "forbidden"},
    {"busy", {.resource_version = "5"}, {.status = 429, .headers = "Retry-After: 1\r\n"}, ERR_BUSY, "", ""},
    {"forbidden", {.resource_version = "5"}, {.status = 403}, ERR_FORBIDDEN, "", ""},
    {"504: a version to come", {.resource_version = "5"}, {.status = 504, .body = STATUS(504, "Too large resource version")}, ERR_UNAVAILABLE, "", "Too large"},
    {"cut within a line", {.resource_version = "5"}, {.status = 200, .chunked = true, .body = EVENT("ADDED", "6") EVENT("MODIFIED", "7"), .cut = 220}, ERR_UNAVAILABLE, "A@6", ""},
    {"half a line, then a good end", {.resource_version = "5"}, {.status = 200, .chunked = true, .body = EVENT("ADDED", "6") "{\"type\":\"MOD"}, ERR_UNAVAILABLE, "A@6", "cut"},
    {"a line that is no event", {.resource_version = "5"}, {.status = 200, .chunked = true, .body = "{\"a\":1}\n"}, ERR_UNAVAILABLE, "", "can't be read"},
    {"a type that is none", {.resource_version = "5"}, {.status = 200, .chunked = true, .body = EVENT("FROBBED", "6")}, ERR_UNAVAILABLE, "", "FROBBED"},
    {"an object without version", {.resource_version = "5"}, {.status = 200, .chunked = true, .body = "{\"type\":\"ADDED\",\"object\":{\"metadata\":{}}}\n"}, ERR_UNAVAILABLE, "", "resourceVersion"},
    {"no JSON", {.resource_version = "5"}, {.status = 200, .chunked = true, .body = "hello\n"}, ERR_UNAVAILABLE, "", ""},
    {"hangs up at once", {.resource_version = "5"}, {.status = 0, .close = true}, ERR_UNAVAILABLE, "", ""},
};
/* clang-format on */

START_TEST(watches)
{
    struct fixture x;
    setup(&x, &WATCHES[_i].step, 1);
    struct seen s = {0};
    int retry_ms = 0;
    struct kube_watch_handler handler = {
        .event = see_event, .ctx = &s, .retry_after_ms = &retry_ms};
    struct err err = {0};
    enum err_code rc = kube_watch(x.k, KUBE_POD, &WATCHES[_i].opt, NULL, &handler, &err);
    const char *name = WATCHES[_i].name;
    ck_assert_msg(retry_ms == (WATCHES[_i].step.headers ? 1000 : 0), "%s: %d", name, retry_ms);
    ck_assert_msg(rc == WATCHES[_i].code, "%s: want %s, got %s: %s", name,
                  err_class(WATCHES[_i].code)->name, err_class(rc)->name, err.text);
    ck_assert_msg(strcmp(s.text, WATCHES[_i].want) == 0, "%s: got \"%s\"", name, s.text);
    ck_assert_msg(rc == ERR_OK || strstr(err.text, WATCHES[_i].says), "%s: says \"%s\"", name,
                  err.text);
    done(&x, name);
}
END_TEST

START_TEST(watches_can_be_stopped)
{
    struct fake_step open = {
        .status = 200, .chunked = true, .body = EVENT("ADDED", "6"), .hold_ms = 20000};
    struct fixture x;
    setup(&x, &open, 1);
    struct seen s = {.stop_after = 1};
    struct kube_watch_handler handler = {.event = see_event, .ctx = &s};
    struct kube_watch_options opt = {.resource_version = "5"};
    int64_t t0 = now_ms();
    ck_assert_int_eq(kube_watch(x.k, KUBE_POD, &opt, &s.stop, &handler, NULL), ERR_CANCELLED);
    ck_assert_int_lt(now_ms() - t0, 1000);
    s.refuse = true;
    s.stop = false;
    done(&x, "stopped");
    setup(&x, &open, 1);
    struct err err = {0};
    ck_assert_int_eq(kube_watch(x.k, KUBE_POD, &opt, NULL, &handler, &err), ERR_INTERNAL);
    ck_assert_str_eq(err.text, "enough");
    done(&x, "refused");
}
END_TEST

/* ---- objects that can't be taken ---- */

static void see_unread(void *ctx, enum kube_event_type type, struct str head, const char *why)
{
    static const char *const NAMES[] = {"unread A", "unread M", "unread D"};
    const size_t shown = strlen("{\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\"");
    ck_assert_uint_le(head.n, 20000);
    note(ctx, NAMES[type], (struct str){head.p, shown}, STR(""));
    note(ctx, "", str_z(why), STR(""));
}

static void see_unread_item(void *ctx, struct str head, const char *why)
{
    see_unread(ctx, KUBE_ADDED, head, why);
}

#define UNREAD_HEAD  "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\""
#define UNREAD(type) "unread " type UNREAD_HEAD

/* One sender's object, whatever it holds, does not keep those of the others away. */
START_TEST(an_object_that_can_not_be_taken)
{
    char *body = malloc(60000), deep[101] = "", ends[101] = "";
    memset(deep, '[', 100);
    memset(ends, ']', 100);
    (void)snprintf(body, 60000,
                   "%s{\"type\":\"MODIFIED\",\"object\":%s},\"x\":\"%020000d\"}}\n%s"
                   "{\"type\":\"DELETED\",\"object\":%s},\"x\":%s%s}}\n%s",
                   EVENT("ADDED", "6"), UNREAD_HEAD, 0, EVENT("MODIFIED", "7"), UNREAD_HEAD, deep,
                   ends, EVENT("ADDED", "9"));
    struct fake_step watch = {.status = 200, .chunked = true, .body = body};
    struct fixture x;
    x.f = fake_api_start(&watch, 1, FAKE_PLAIN);
    connect_to(&x, FAKE_PLAIN, "", "token: t", 0, 10000);
    struct seen s = {0};
    struct kube_watch_handler events = {.event = see_event, .ctx = &s, .unread = see_unread};
    struct kube_watch_options opt = {.resource_version = "5"};
    ck_ok(kube_watch(x.k, KUBE_POD, &opt, NULL, &events, why));
    ck_assert_str_eq(s.text, "A@6 " UNREAD("M") " the object is too large M@7 " UNREAD(
                                 "D") " the object is too deep, or no JSON A@9");
    done(&x, "watch");
    (void)snprintf(body, 60000,
                   "{\"metadata\":{\"resourceVersion\":\"9\"},\"items\":[1," UNREAD_HEAD
                   "},\"x\":\"%020000d\"},2]}",
                   0);
    struct fake_step page = {.status = 200, .body = body};
    x.f = fake_api_start(&page, 1, FAKE_PLAIN);
    connect_to(&x, FAKE_PLAIN, "", "token: t", 0, 10000);
    s = (struct seen){0};
    struct kube_list_handler items = {.item = see_item, .ctx = &s, .unread = see_unread_item};
    char rv[KUBE_RV_MAX];
    ck_ok(kube_list(x.k, KUBE_POD, NULL, NULL, &items, rv, why));
    ck_assert_str_eq(s.text, "1 " UNREAD("A") " the object is too large 2");
    ck_assert_str_eq(rv, "9");
    done(&x, "list");
    free(body);
}
END_TEST

/* What etcd stores by default is taken, each of its bytes escaped. */
START_TEST(the_largest_object_there_can_be)
{
    const size_t n = 6 * ((size_t)3 << 19);
    char *body = malloc(n + 4096), *at = body;
    at += sprintf(at, "{\"type\":\"ADDED\",\"object\":" UNREAD_HEAD
                      ",\"resourceVersion\":\"6\"},\"x\":\"");
    for (size_t i = 0; i < n; i += 6)
        at = stpcpy(at, "\\u003c");
    strcpy(at, "\"}}\n" EVENT("ADDED", "7"));
    struct fake_step watch = {.status = 200, .chunked = true, .body = body};
    struct fixture x;
    setup(&x, &watch, 1);
    struct seen s = {0};
    struct kube_watch_handler events = {.event = see_event, .ctx = &s};
    struct kube_watch_options opt = {.resource_version = "5"};
    ck_ok(kube_watch(x.k, KUBE_POD, &opt, NULL, &events, why));
    ck_assert_str_eq(s.text, "A@6 A@7");
    done(&x, "large");
    free(body);
}
END_TEST

/* ---- credentials ---- */

#define HEAD                                                                                       \
    "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: "   \
    "k, user: u}}]\n"
#define CLUSTER_PART "clusters: [{name: k, cluster: {server: 'https://h:1/'}}]\n"

/* clang-format off */
static const struct {
    const char *name, *text;
    const char *fault; /* part of the text; NULL: good */
    const char *server;
} CONFIGS[] = {
    {"a token", HEAD CLUSTER_PART "users: [{name: u, user: {token: t}}]\n", NULL, "https://h:1"},
    {"no user at all", "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n" CLUSTER_PART, NULL, "https://h:1"},
    {"JSON", "{\"current-context\":\"c\",\"contexts\":[{\"name\":\"c\",\"context\":{\"cluster\":\"k\"}}],\"clusters\":[{\"name\":\"k\",\"cluster\":{\"server\":\"http://[::1]:8\"}}]}", NULL, "http://[::1]:8"},
    {"no current-context", "clusters: []\n", "no current-context", NULL},
    {"a context that is not there", "current-context: x\ncontexts: []\n", "no context \"x\"", NULL},
    {"a cluster that is not there", HEAD, "no cluster \"k\"", NULL},
    {"a user that is not there", HEAD CLUSTER_PART, "no user \"u\"", NULL},
    {"no server", HEAD "clusters: [{name: k, cluster: {}}]\n", "no http or https URL", NULL},
    {"a server without scheme", HEAD "clusters: [{name: k, cluster: {server: 'h:1'}}]\n", "no http or https URL", NULL},
    {"a server without host", HEAD "clusters: [{name: k, cluster: {server: 'https:///'}}]\n", "no http or https URL", NULL},
    {"a server with nothing but a port", HEAD "clusters: [{name: k, cluster: {server: 'https://:1'}}]\n", "no http or https URL", NULL},
    {"a server with a password", HEAD "clusters: [{name: k, cluster: {server: 'https://a:b@h'}}]\n", "no http or https URL", NULL},
    {"insecure with a CA", HEAD "clusters: [{name: k, cluster: {server: 'https://h', insecure-skip-tls-verify: true, certificate-authority-data: LS0tLS1CRUdJTg==}}]\n", "remove one of the two", NULL},
    {"a CA that is no base64", HEAD "clusters: [{name: k, cluster: {server: 'https://h', certificate-authority-data: '!!'}}]\n", "certificate-authority-data is no PEM", NULL},
    {"a CA that is no PEM", HEAD "clusters: [{name: k, cluster: {server: 'https://h', certificate-authority-data: aGVsbG8=}}]\n", "certificate-authority-data is no PEM", NULL},
    {"a CA file that is not there", HEAD "clusters: [{name: k, cluster: {server: 'https://h', certificate-authority: nowhere.crt}}]\n", "/tmp/nowhere.crt: No such file", NULL},
    {"exec", HEAD CLUSTER_PART "users: [{name: u, user: {exec: {command: aws}}}]\n", "exec plugin", NULL},
    {"auth-provider", HEAD CLUSTER_PART "users: [{name: u, user: {auth-provider: {name: gcp}}}]\n", "auth-provider", NULL},
    {"impersonation", HEAD CLUSTER_PART "users: [{name: u, user: {token: t, as: root}}]\n", "impersonation (as)", NULL},
    {"a certificate without key", HEAD CLUSTER_PART "users: [{name: u, user: {client-certificate-data: LS0tLS1CRUdJTg==}}]\n", "come together", NULL},
    {"a token with a line break", HEAD CLUSTER_PART "users: [{name: u, user: {token: \"a\\nb\"}}]\n", "token is none", NULL},
    {"a token file that is not there", HEAD CLUSTER_PART "users: [{name: u, user: {tokenFile: nowhere.token}}]\n", "/tmp/nowhere.token: No such file", NULL},
    {"no YAML", "a: [", ":2:1:", NULL},
    {"two documents", "a: 1\n---\nb: 2\n", "one kubeconfig document", NULL},
    {"a list", "[]\n", "one kubeconfig document", NULL},
    {"empty", "", "one kubeconfig document", NULL},
};
/* clang-format on */

START_TEST(reads_kubeconfigs)
{
    char *path = test_file(CONFIGS[_i].text, strlen(CONFIGS[_i].text));
    struct kube_http_config cfg = {.kubeconfig = path};
    struct kube *k = NULL;
    struct err err = {0};
    enum err_code rc = kube_http_new(&cfg, &CLOCK_SYSTEM, &k, &err);
    const char *name = CONFIGS[_i].name;
    if (CONFIGS[_i].fault) {
        ck_assert_msg(rc == ERR_BAD_REQUEST, "%s: %s", name, err_class(rc)->name);
        ck_assert_msg(strstr(err.text, CONFIGS[_i].fault), "%s: says \"%s\"", name, err.text);
    } else {
        ck_assert_msg(rc == ERR_OK, "%s: %s", name, err.text);
        ck_assert_str_eq(kube_describe(k), CONFIGS[_i].server);
    }
    kube_free(k);
    (void)unlink(path);
    free(path);
}
END_TEST

START_TEST(merges_kubeconfigs)
{
    static const char A[] =
        "current-context: c\nclusters: [{name: k, cluster: {server: 'http://first'}}]\n"
        "contexts: [{name: other, context: {cluster: k2}}]\n";
    static const char B[] =
        "current-context: other\nclusters: [{name: k, cluster: {server: 'http://second'}}, {name: "
        "k2, "
        "cluster: {server: 'http://third'}}]\ncontexts: [{name: c, context: {cluster: k}}]\n";
    char *a = test_file(A, sizeof(A) - 1), *b = test_file(B, sizeof(B) - 1), *both = NULL;
    ck_assert_int_gt(asprintf(&both, "/nonexistent/config:%s:%s", a, b), 0);
    struct kube *k = NULL;
    struct kube_http_config cfg = {.kubeconfig = both};
    ck_ok(kube_http_new(&cfg, &CLOCK_SYSTEM, &k, why));
    ck_assert_str_eq(kube_describe(k), "http://first");
    kube_free(k);
    cfg.context = "other";
    ck_ok(kube_http_new(&cfg, &CLOCK_SYSTEM, &k, why));
    ck_assert_str_eq(kube_describe(k), "http://third");
    kube_free(k);
    struct err err = {0};
    cfg = (struct kube_http_config){.kubeconfig = "/nonexistent/config"};
    ck_assert_int_eq(kube_http_new(&cfg, &CLOCK_SYSTEM, &k, &err), ERR_BAD_REQUEST);
    ck_assert_str_eq(err.text, "/nonexistent/config: No such file or directory");
    (void)unsetenv("KUBERNETES_SERVICE_HOST");
    cfg = (struct kube_http_config){0};
    ck_assert_int_eq(kube_http_new(&cfg, &CLOCK_SYSTEM, &k, &err), ERR_BAD_REQUEST);
    ck_assert_ptr_nonnull(strstr(err.text, "not in a cluster"));
    (void)unlink(a);
    (void)unlink(b);
    free(a);
    free(b);
    free(both);
}
END_TEST

static void rewrite(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

START_TEST(token_files_are_read_again)
{
    struct fake_step steps[] = {
        {.want = "Authorization: Bearer one\r\n", .status = 200, .body = OBJECT},
        {.want = "Authorization: Bearer three\r\n", .status = 200, .body = OBJECT},
        {.want = "Authorization: Bearer three\r\n",
         .status = 200,
         .body = OBJECT}, /* while the file is gone */
        {.want = "Authorization: Bearer four\r\n",
         .status = 401,
         .body = STATUS(401, "Unauthorized")},
        {.want = "Authorization: Bearer four\r\n",
         .status = 200,
         .body = OBJECT}, /* once more, after reading it again */
        {.want = "Authorization: Bearer four\r\n",
         .status = 401,
         .body = STATUS(401, "Unauthorized")},
        {.want = "Authorization: Bearer four\r\n",
         .status = 401,
         .body = STATUS(401, "Unauthorized")},
    };
    struct fixture x;
    x.f = fake_api_start(steps, COUNT(steps), FAKE_PLAIN);
    char *token = test_file("one\n", 4), user[128];
    (void)snprintf(user, sizeof(user), "token: ignored, tokenFile: '%s'", token);
    connect_to(&x, FAKE_PLAIN, "", user, 0, 0);
    struct kube_request get = {.verb = KUBE_GET, .kind = KUBE_NODE, .name = STR("n")};
    ck_ok(test_call(x.k, get, NULL, NULL, why));
    rewrite(token, "three");
    ck_ok(test_call(x.k, get, NULL, NULL, why));
    (void)unlink(token);
    ck_ok(test_call(x.k, get, NULL, NULL, why));
    rewrite(token, "  four  \n");
    ck_ok(test_call(x.k, get, NULL, NULL, why));
    ck_assert_int_eq(test_call(x.k, get, NULL, NULL, NULL), ERR_FORBIDDEN);
    (void)unlink(token);
    free(token);
    done(&x, "tokens");
}
END_TEST

static char *base64(const char *s)
{
    static const char SET[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = strlen(s);
    char *out = malloc(n * 2 + 8), *p = out;
    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned)(unsigned char)s[i] << 16 |
                     (i + 1 < n ? (unsigned)(unsigned char)s[i + 1] << 8 : 0) |
                     (i + 2 < n ? (unsigned)(unsigned char)s[i + 2] : 0);
        *p++ = SET[v >> 18];
        *p++ = SET[v >> 12 & 63];
        *p++ = i + 1 < n ? SET[v >> 6 & 63] : '=';
        *p++ = i + 2 < n ? SET[v & 63] : '=';
    }
    *p = '\0';
    return out;
}

/* clang-format off */
enum trust { TRUST_NONE, TRUST_DATA, TRUST_FILE, TRUST_OTHER, TRUST_INSECURE };
static const struct {
    const char *name;
    enum fake_tls tls;
    enum trust trust;
    const char *more; /* of the cluster */
    int client;       /* 0: none, 1: data, 2: files */
    bool good;
} TLS[] = {
    {"the CA as data", FAKE_TLS, TRUST_DATA, "", 0, true},
    {"the CA as a file", FAKE_TLS, TRUST_FILE, "", 0, true},
    {"another CA", FAKE_TLS, TRUST_OTHER, "", 0, false},
    {"no CA: the system's", FAKE_TLS, TRUST_NONE, "", 0, false},
    {"insecure", FAKE_TLS, TRUST_INSECURE, "", 0, true},
    {"a certificate for another name", FAKE_TLS_NAMED, TRUST_DATA, "", 0, false},
    {"which is the name that is wanted", FAKE_TLS_NAMED, TRUST_DATA, ", tls-server-name: kube.test", 0, true},
    {"a client certificate as data", FAKE_TLS, TRUST_DATA, "", 1, true},
    {"a client certificate as files", FAKE_TLS, TRUST_DATA, "", 2, true},
};
/* clang-format on */

START_TEST(tls)
{
    struct fake_step steps[] = {{.want = "Host: 127.0.0.1:", .status = 200, .body = OBJECT},
                                {.want = "PATCH ", .status = 200, .body = OBJECT}};
    bool good = TLS[_i].good;
    const char *name = TLS[_i].name;
    struct fixture x;
    x.f = fake_api_start(steps, good ? 2 : 0, TLS[_i].tls);
    char *ca = base64(TLS[_i].trust == TRUST_OTHER ? fake_other_ca_pem() : fake_ca_pem());
    char *crt = base64(fake_client_pem()), *key = base64(fake_client_key_pem());
    char *ca_file = test_file(fake_ca_pem(), strlen(fake_ca_pem()));
    char *crt_file = test_file(fake_client_pem(), strlen(fake_client_pem()));
    char *key_file = test_file(fake_client_key_pem(), strlen(fake_client_key_pem()));
    char cluster[8192], user[8192] = "";
    if (TLS[_i].trust == TRUST_DATA || TLS[_i].trust == TRUST_OTHER)
        (void)snprintf(cluster, sizeof(cluster), "certificate-authority-data: '%s'%s", ca,
                       TLS[_i].more);
    else if (TLS[_i].trust == TRUST_FILE)
        (void)snprintf(cluster, sizeof(cluster), "certificate-authority: '%s'%s",
                       strrchr(ca_file, '/') + 1, TLS[_i].more);
    else
        (void)snprintf(cluster, sizeof(cluster), "insecure-skip-tls-verify: %s",
                       TLS[_i].trust == TRUST_INSECURE ? "true" : "false");
    if (TLS[_i].client == 1)
        (void)snprintf(user, sizeof(user), "client-certificate-data: '%s', client-key-data: '%s'",
                       crt, key);
    else if (TLS[_i].client == 2)
        (void)snprintf(user, sizeof(user), "client-certificate: '%s', client-key: '%s'", crt_file,
                       key_file);
    connect_to(&x, TLS[_i].tls, cluster, user, 0, 0);
    struct kube_request get = {.verb = KUBE_GET, .kind = KUBE_NODE, .name = STR("n")};
    struct kube_request patch = {
        .verb = KUBE_PATCH, .kind = KUBE_NODE, .name = STR("n"), .body = STR("{}")};
    struct err err = {0};
    struct kube_response resp;
    enum err_code rc = test_call(x.k, get, NULL, NULL, &err);
    ck_assert_msg(rc == (good ? ERR_OK : ERR_UNAVAILABLE), "%s: %s: %s", name, err_class(rc)->name,
                  err.text);
    rc = test_call(x.k, patch, NULL, &resp, &err); /* no handshake: surely not done */
    ck_assert_msg(rc == (good ? ERR_OK : ERR_UNAVAILABLE), "%s: patch: %s: %s", name,
                  err_class(rc)->name, err.text);
    ck_assert_msg(resp.sent == good, "%s: sent", name);
    ck_assert_msg(strcmp(fake_api_client(x.f), TLS[_i].client ? "cardinal" : "") == 0,
                  "%s: the client was \"%s\"", name, fake_api_client(x.f));
    done(&x, name);
    char *files[] = {ca_file, crt_file, key_file};
    for (size_t i = 0; i < COUNT(files); i++) {
        (void)unlink(files[i]);
        free(files[i]);
    }
    free(ca);
    free(crt);
    free(key);
}
END_TEST

/* What the server may take is reckoned when the write is handed over: half of its time is for a
 * connection, and it is not sent later. */
START_TEST(a_write_does_not_wait_long_for_a_handshake)
{
    struct fake_step steps[] = {{.want = "?timeout=5", .status = 200, .body = OBJECT},
                                {.want = "?timeout=1", .status = 200, .body = OBJECT}};
    struct fixture x;
    x.f = fake_api_start(steps, 2, FAKE_TLS_SLOW);
    connect_to(&x, FAKE_TLS_SLOW, "insecure-skip-tls-verify: true", "token: t", 0, 0);
    struct kube_request patch = {.verb = KUBE_PATCH,
                                 .kind = KUBE_NODE,
                                 .name = STR("n"),
                                 .body = STR("{}"),
                                 .timeout_ms = 3000};
    struct kube_response resp;
    struct err err = {0};
    ck_assert_int_eq(test_call(x.k, patch, NULL, &resp, &err), ERR_UNAVAILABLE);
    ck_assert_msg(!resp.sent && strstr(err.text, "connecting took more than 1500 ms"), "%s",
                  err.text);
    patch.timeout_ms = 10000; /* 2 s of it are the handshake's, and the server has 5 */
    ck_ok(test_call(x.k, patch, NULL, NULL, why));
    patch.timeout_ms = 12000; /* the same connection: the server has all of it */
    ck_ok(test_call(x.k, patch, NULL, NULL, why));
    done(&x, "a slow handshake");
}
END_TEST

START_TEST(proxies_of_the_environment_are_not_for_loopback)
{
    (void)setenv("http_proxy", "http://127.0.0.1:1", 1);
    (void)setenv("all_proxy", "http://127.0.0.1:1", 1);
    struct fake_step step = {.status = 200, .body = OBJECT};
    struct fixture x;
    setup(&x, &step, 1);
    struct kube_request get = {.verb = KUBE_GET, .kind = KUBE_NODE, .name = STR("n")};
    ck_ok(test_call(x.k, get, NULL, NULL, why));
    done(&x, "proxies");
    (void)unsetenv("http_proxy");
    (void)unsetenv("all_proxy");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kube_http");
    TCase *tc = tcase_create("calls");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, sends, 0, (int)COUNT(SENDS));
    tcase_add_loop_test(tc, answers, 0, (int)COUNT(ANSWERS));
    tcase_add_test(tc, nobody_there);
    tcase_add_test(tc, a_write_is_never_sent_twice);
    tcase_add_test(tc, connections_are_kept_and_replaced);
    tcase_add_test(tc, large_answers);
    tcase_add_test(tc, the_pool_is_bounded);
    tcase_add_test(tc, waiting_for_a_connection_ends);
    tcase_add_test(tc, a_write_that_waited_has_less_time);
    tcase_add_test(tc, calls_can_be_stopped);
    suite_add_tcase(s, tc);
    tc = tcase_create("streams");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, lists, 0, (int)COUNT(LISTS));
    tcase_add_test(tc, lists_end_as_the_caller_says);
    tcase_add_loop_test(tc, watches, 0, (int)COUNT(WATCHES));
    tcase_add_test(tc, watches_can_be_stopped);
    tcase_add_test(tc, an_object_that_can_not_be_taken);
    tcase_add_test(tc, the_largest_object_there_can_be);
    suite_add_tcase(s, tc);
    tc = tcase_create("credentials");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, reads_kubeconfigs, 0, (int)COUNT(CONFIGS));
    tcase_add_test(tc, merges_kubeconfigs);
    tcase_add_test(tc, token_files_are_read_again);
    tcase_add_loop_test(tc, tls, 0, (int)COUNT(TLS));
    tcase_add_test(tc, a_write_does_not_wait_long_for_a_handshake);
    tcase_add_test(tc, proxies_of_the_environment_are_not_for_loopback);
    suite_add_tcase(s, tc);
    return test_run(s);
}
