/* Every allocation fails once: on the way of a request through the server, of flags, and of each
 * read-only answer. The peer gets a whole answer or a closed connection, and the next request is
 * served as if nothing had been. */
#include "fail_alloc.h"
#include "verbs_fixture.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- the server ---- */
static void on_echo(struct ext_request *r, struct ext_answer *a)
{
    struct str copy = arena_str(r->arena, r->body);
    a->status = copy.p ? 200 : 503;
    buf_add(&a->body, copy);
}

static bool more(void *ctx, struct buf *out)
{
    int *left = ctx;
    for (int i = 0; i < 1000; i++)
        buf_fmt(out, "a line of the stream, number %d\n", i);
    return --*left > 0;
}

static void on_stream(struct ext_request *r, struct ext_answer *a)
{
    (void)r;
    int *left = malloc(sizeof(*left));
    if (!left) {
        ext_answer_text(a, 500, "no memory\n");
        return;
    }
    *left = 3;
    a->status = 200;
    a->stream = (struct ext_stream){.more = more, .done = free, .ctx = left};
}

static const struct ext_route ROUTES[] = {
    {.method = "POST", .path = "/echo", .surfaces = EXT_ON_EXTENDER, .handle = on_echo},
    {.method = "POST",
     .path = "/wait",
     .surfaces = EXT_ON_EXTENDER,
     .waits = true,
     .handle = on_echo},
    {.method = "GET", .path = "/stream", .surfaces = EXT_ON_EXTENDER, .handle = on_stream},
    {.path = NULL},
};

#define CLOSE     "Host: t\r\nConnection: close\r\n"
#define FIVE      CLOSE "Content-Length: 5\r\n\r\nhello"
#define IN_CHUNKS CLOSE "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
static const char *const REQUESTS[] = {
    "POST /echo?x=1 HTTP/1.1\r\n" FIVE,       "POST /wait HTTP/1.1\r\n" FIVE,
    "POST /echo HTTP/1.1\r\n" IN_CHUNKS,      "GET /stream HTTP/1.1\r\n" CLOSE "\r\n",
    "GET /nowhere HTTP/1.1\r\n" CLOSE "\r\n",
};

/* One exchange up to the close, without an allocation of the test's own. -1: could not connect. */
static ssize_t exchange(int port, const char *request, char *answer, size_t max)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct timeval limit = {.tv_sec = 10};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ssize_t n = -1, got;
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
        send(fd, request, strlen(request), MSG_NOSIGNAL) > 0)
        for (n = 0; (got = recv(fd, answer + n, max - 1 - (size_t)n, 0)) > 0;)
            n += got;
    answer[n > 0 ? n : 0] = '\0';
    close(fd);
    return n;
}

START_TEST(server)
{
    struct ext_app app = {.clock = &CLOCK_SYSTEM};
    ext_config_init(&app.config);
    app.metrics = ext_metrics_new();
    app.workers = ext_workers_new(2);
    struct ext_server *s = NULL;
    struct err err;
    const struct ext_server_config cfg = {
        .address = "127.0.0.1:0", .surfaces = EXT_ON_EXTENDER, .routes = ROUTES, .threads = 1};
    ck_assert_msg(ext_server_start(&app, &cfg, &s, &err) == ERR_OK, "%s", err.text);
    int port = atoi(strrchr(ext_server_address(s), ':') + 1);
    static char answer[1 << 18], whole[1 << 18];
    ck_assert_int_gt(exchange(port, REQUESTS[_i], whole, sizeof(whole)), 0);
    bool failed = true;
    unsigned n = 1, closed = 0, refused = 0;
    for (; failed; n++) {
        ck_assert_uint_lt(n, 200);
        fail_alloc_at(n);
        ssize_t got = exchange(port, REQUESTS[_i], answer, sizeof(answer));
        failed = fail_alloc_off();
        ck_assert_msg(got >= 0, "request %d, allocation %u", _i, n);
        int status = 0;
        if (got == 0 || sscanf(answer, "HTTP/1.1 %d", &status) != 1)
            closed++;
        else if (status == 500 || status == 503)
            refused++;
        else if (_i != 3) /* a stream may end early, and then says so by its missing last chunk */
            ck_assert_msg(strcmp(strstr(answer, "\r\n\r\n"), strstr(whole, "\r\n\r\n")) == 0,
                          "request %d, allocation %u: %s", _i, n, answer);
        ck_assert_int_gt(exchange(port, REQUESTS[_i], answer, sizeof(answer)), 0);
        ck_assert_msg(strcmp(strstr(answer, "\r\n\r\n"), strstr(whole, "\r\n\r\n")) == 0,
                      "after request %d, allocation %u: %s", _i, n, answer);
    }
    ck_assert_msg(closed + refused > 0, "request %d: nothing failed in %u rounds", _i, n);
    ext_server_stop(s);
    ext_workers_free(app.workers);
    ext_metrics_free(app.metrics);
    ext_config_done(&app.config);
}
END_TEST

START_TEST(server_start)
{
    struct ext_app app = {.clock = &CLOCK_SYSTEM};
    ext_config_init(&app.config);
    app.metrics = ext_metrics_new();
    bool failed = true;
    for (unsigned n = 1; failed; n++) {
        ck_assert_uint_lt(n, 50);
        struct ext_server *s = NULL;
        struct err err = {0};
        const struct ext_server_config cfg = {
            .address = "127.0.0.1:0", .surfaces = EXT_ON_EXTENDER, .routes = ROUTES, .threads = 1};
        fail_alloc_at(n);
        enum err_code rc = ext_server_start(&app, &cfg, &s, &err);
        failed = fail_alloc_off();
        ck_assert_msg(failed ? rc != ERR_OK && !s : rc == ERR_OK, "allocation %u: %s", n, err.text);
        ext_server_stop(s);
    }
    ext_metrics_free(app.metrics);
    ext_config_done(&app.config);
}
END_TEST

/* ---- flags ---- */
START_TEST(flags)
{
    char *argv[] = {"cardinald", "--cluster=a", "--cluster=b", "--debug", "--vmodule=x", "-v=3"};
    bool failed = true;
    for (unsigned n = 1; failed; n++) {
        ck_assert_uint_lt(n, 50);
        struct ext_config c;
        struct err err;
        fail_alloc_at(n);
        enum err_code rc = ext_config_parse(6, argv, &c, &err);
        failed = fail_alloc_off();
        if (!failed)
            ck_assert_str_eq(ext_config_ignored(&c), "debug, vmodule");
        if (rc == ERR_OK)
            ext_config_done(&c);
        else
            ck_assert_int_eq(rc, ERR_NO_MEMORY);
    }
}
END_TEST

/* ---- read-only answers ---- */
static const char *const TARGETS[] = {"/v1/nodes",       "/v1/nodes?limit=1&continue=616c706861",
                                      "/v1/nodes/alpha", "/v1/pods",
                                      "/v1/summary",     "/metrics",
                                      "/readyz?verbose", "/version"};

static void ask(struct fx *fx, const struct ext_route *route, struct str path, struct str query,
                struct arena *arena, struct ext_answer *a)
{
    struct ext_request r = {
        .app = &fx->app, .method = STR("GET"), .path = path, .query = query, .arena = arena};
    *a = (struct ext_answer){0};
    buf_init(&a->body, EXT_ANSWER_MAX);
    route->handle(&r, a);
    if (a->stream.more) {
        while (a->stream.more(a->stream.ctx, &a->body))
            ;
        a->stream.done(a->stream.ctx);
    }
}

START_TEST(read_only)
{
    struct fx fx;
    fx_open(&fx, TEST_DATA "/golden/v1/cluster.yaml", NULL);
    ck_assert(fx_wait_used(&fx, "alpha", "GPU-a0", 2, 4096));
    for (size_t t = 0; t < sizeof(TARGETS) / sizeof(TARGETS[0]); t++) {
        struct arena *paths = arena_new(1 << 16);
        struct str path, query;
        const char *allow = NULL;
        ck_assert(ext_route_target(str_z(TARGETS[t]), paths, &path, &query));
        const struct ext_route *route =
            ext_route_find(EXT_ROUTES, STR("GET"), path, EXT_ON_ALL, &allow);
        ck_assert_ptr_nonnull(route);
        bool failed = true;
        for (unsigned n = 1; failed; n++) {
            ck_assert_uint_lt(n, 2000);
            struct arena *arena = arena_new(16 << 20);
            struct ext_answer a;
            fail_alloc_at(n);
            ask(&fx, route, path, query, arena, &a);
            failed = fail_alloc_off();
            ck_assert_msg(a.status != 0, "%s, allocation %u", TARGETS[t], n);
            ck_assert_msg(failed || (a.status == 200 && !a.body.failed), "%s", TARGETS[t]);
            buf_done(&a.body);
            arena_free(arena);
        }
        arena_free(paths);
    }
    fx_close(&fx);
}
END_TEST

/* ---- the verbs ---- */
#define CARDS                                                                                      \
    "'[{\"id\":\"GPU-a\",\"index\":0,\"count\":10,\"devmem\":24576,\"devcore\":100,"               \
    "\"type\":\"NVIDIA A10\",\"mode\":\"hami-core\",\"health\":true}]'"
static const char VERBS_CLUSTER[] =
    "---\n{apiVersion: v1, kind: Node, metadata: {name: n1, uid: u1, annotations: "
    "{hami.io/node-nvidia-register: " CARDS "}}, status: {allocatable: {nvidia.com/gpu: 10}}}\n"
    "---\n{apiVersion: v1, kind: Node, metadata: {name: n2, uid: u2}}\n"
    "---\n{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: team, uid: up}, spec: "
    "{schedulerName: s, containers: [{name: c, image: x, resources: {limits: {nvidia.com/gpu: 1, "
    "nvidia.com/gpumem: 1000}}}]}, status: {phase: Pending}}\n"
    "---\n{apiVersion: v1, kind: Pod, metadata: {name: big, namespace: team, uid: ub}, spec: "
    "{schedulerName: s, containers: [{name: c, image: x, resources: {limits: {nvidia.com/gpu: 1, "
    "nvidia.com/gpumem: 90000}}}]}, status: {phase: Pending}}\n";
#define REVIEW                                                                                     \
    "{\"apiVersion\":\"admission.k8s.io/"                                                          \
    "v1\",\"kind\":\"AdmissionReview\",\"request\":{\"uid\":\"r\","                                \
    "\"kind\":{\"group\":\"\",\"version\":\"v1\",\"kind\":\"Pod\"},\"resource\":{\"group\":\"\","  \
    "\"version\":\"v1\",\"resource\":\"pods\"},\"namespace\":\"team\",\"operation\":\"CREATE\","   \
    "\"object\":{\"metadata\":{\"name\":\"w\"},\"spec\":{\"containers\":[{\"name\":\"c\","         \
    "\"resources\":{\"limits\":{\"nvidia.com/gpumem\":\"1000\"}}}]}}}}"
static const struct {
    const char *target, *pod; /* pod NULL: the review */
    const char *want;         /* in the answer, when nothing failed */
} VERBS[] = {
    {"/filter", "p", "\"NodeNames\":[\"n1\"]"},   {"/filter?reasons=all", "p", "NodeUnregistered"},
    {"/filter", "big", "CardInsufficientMemory"}, {"/prioritize", "p", "\"Host\":\"n1\""},
    {"/webhook", NULL, "\"allowed\":true"},
};

/* Whatever fails, there is an answer, and the next one is whole: nothing is remembered by halves.
 */
START_TEST(verbs)
{
    struct fx fx;
    fx_open(&fx, VERBS_CLUSTER, NULL);
    fx.app.admission =
        (struct admission_config){.vendors = fx.app.vendors, .scheduler_name = STR("s")};
    const char *const names[] = {"n1", "n2", NULL};
    char *body = strdup(VERBS[_i].pod ? fx_args(&fx, "team", VERBS[_i].pod, names) : REVIEW);
    struct arena *paths = arena_new(1 << 16);
    struct str path, query;
    const char *allow = NULL;
    ck_assert(ext_route_target(str_z(VERBS[_i].target), paths, &path, &query));
    const struct ext_route *route =
        ext_route_find(EXT_ROUTES, STR("POST"), path, EXT_ON_ALL, &allow);
    ck_assert_ptr_nonnull(route);
    bool failed = true;
    for (unsigned n = 1; failed; n++) {
        ck_assert_uint_lt(n, 2000);
        for (int again = 0; again < 2; again++) {
            struct arena *arena = arena_new(64 << 20);
            struct ext_request r = {.app = &fx.app,
                                    .method = STR("POST"),
                                    .path = path,
                                    .query = query,
                                    .body = str_z(body),
                                    .content_type = STR("application/json"),
                                    .arena = arena};
            struct ext_answer a = {0};
            buf_init(&a.body, EXT_ANSWER_MAX);
            if (again == 0)
                fail_alloc_at(n);
            route->handle(&r, &a);
            if (again == 0)
                failed = fail_alloc_off();
            ck_assert_msg(a.status != 0, "%s, allocation %u", VERBS[_i].target, n);
            if (again || !failed) {
                buf_char(&a.body, '\0');
                ck_assert_msg(a.status == 200 && !a.body.failed &&
                                  strstr(a.body.p, VERBS[_i].want) != NULL,
                              "%s, allocation %u: %s", VERBS[_i].target, n, a.body.p);
            }
            buf_done(&a.body);
            arena_free(arena);
        }
    }
    free(body);
    arena_free(paths);
    fx_close(&fx);
}
END_TEST

/* An event that there was no memory for comes again: no charge is lost. Which allocations are the
 * watcher's is not known here, so each in turn fails. */
START_TEST(watching)
{
    enum { ROUNDS = 60 };
    struct fx fx;
    fx_open(&fx, VERBS_CLUSTER, NULL);
    int charged = 0;
    for (unsigned n = 1; n <= ROUNDS; n++) {
        char name[16], body[700];
        (void)snprintf(name, sizeof(name), "q%u", n);
        (void)snprintf(body, sizeof(body),
                       "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"%s\","
                       "\"namespace\":\"team\",\"annotations\":{\"hami.io/vgpu-node\":\"n1\","
                       "\"hami.io/vgpu-devices-allocated\":\"GPU-a,NVIDIA,100,1:;\"}},\"spec\":{"
                       "\"nodeName\":\"n1\",\"containers\":[{\"name\":\"c\",\"image\":\"x\","
                       "\"resources\":{\"limits\":{\"nvidia.com/gpu\":\"1\","
                       "\"nvidia.com/gpumem\":\"100\",\"nvidia.com/gpucores\":\"1\"}}}]}}",
                       name);
        struct kube_request create = {.verb = KUBE_CREATE,
                                      .kind = KUBE_POD,
                                      .ns = STR("team"),
                                      .body = str_z(body),
                                      .timeout_ms = 1000};
        struct kube_response resp = {0};
        fail_alloc_at(n);
        err_ignore(kube_call(fx.app.kube, &create, &resp, NULL));
        struct timespec t = {.tv_nsec = 20000000};
        nanosleep(&t, NULL);
        (void)fail_alloc_off();
        kube_response_done(&resp);
        (void)snprintf(body, sizeof(body), "pods/team/%s", name);
        json_t *stored = fx_object(&fx, body);
        charged += stored != NULL;
        json_decref(stored);
        ck_assert_msg(fx_wait_used(&fx, "n1", "GPU-a", charged, 100 * charged), "allocation %u", n);
        if (charged == 10) { /* the card is full: begin anew */
            fx_close(&fx);
            fx_open(&fx, VERBS_CLUSTER, NULL);
            charged = 0;
        }
    }
    fx_close(&fx);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("extender, memory");
    TCase *tc = tcase_create("memory");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, server, 0, sizeof(REQUESTS) / sizeof(REQUESTS[0]));
    tcase_add_test(tc, server_start);
    tcase_add_test(tc, flags);
    tcase_add_test(tc, read_only);
    tcase_add_loop_test(tc, verbs, 0, sizeof(VERBS) / sizeof(VERBS[0]));
    tcase_add_test(tc, watching);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
