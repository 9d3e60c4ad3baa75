/* The server against real sockets: what it lets through, what it turns away, and how it stops. The
 * routes are the test's own; no verb is asked. */
#include "extender/priv.h"
#include "extender_client.h"

#include <check.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- what the routes do ---- */
static _Atomic int calls, hang_ms, waiting;

static void on_hello(struct ext_request *r, struct ext_answer *a)
{
    struct str who;
    atomic_fetch_add(&calls, 1);
    if (ext_query(r, "who", r->arena, &who))
        ext_answer_text(a, 200, "hello " STR_FMT, STR_ARG(who));
    else
        ext_answer_text(a, 200, "hello");
}

static void on_echo(struct ext_request *r, struct ext_answer *a)
{
    atomic_fetch_add(&calls, 1);
    a->status = 200;
    buf_add(&a->body, r->body);
}

static void on_path(struct ext_request *r, struct ext_answer *a)
{
    a->status = 200;
    buf_add(&a->body, r->path);
}

static void sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

static void on_wait(struct ext_request *r, struct ext_answer *a)
{
    atomic_fetch_add(&calls, 1);
    atomic_fetch_add(&waiting, 1);
    sleep_ms(atomic_load(&hang_ms));
    atomic_fetch_sub(&waiting, 1);
    a->status = 200;
    buf_add(&a->body, r->body);
}

static bool stream_more(void *ctx, struct buf *out)
{
    int *left = ctx;
    for (int i = 0; i < 1000; i++)
        buf_fmt(out, "line %d of piece %d\n", i, *left);
    return --*left > 0;
}

static _Atomic int streams_ended;
static void stream_done(void *ctx)
{
    atomic_fetch_add(&streams_ended, 1);
    free(ctx);
}

static void on_stream(struct ext_request *r, struct ext_answer *a)
{
    (void)r;
    int *left = malloc(sizeof(*left));
    *left = 50;
    a->status = 200;
    a->content_type = "text/plain";
    a->stream = (struct ext_stream){.more = stream_more, .done = stream_done, .ctx = left};
}

static const struct ext_route ROUTES[] = {
    {.method = "GET",
     .path = "/hello",
     .surfaces = EXT_ON_EXTENDER,
     .verb = EXT_VERB_API,
     .handle = on_hello},
    {.method = "GET",
     .path = "/elsewhere",
     .surfaces = EXT_ON_WEBHOOK,
     .verb = EXT_VERB_API,
     .handle = on_hello},
    {.method = "GET",
     .path = "/path/",
     .prefix = true,
     .surfaces = EXT_ON_EXTENDER,
     .verb = EXT_VERB_API,
     .handle = on_path},
    {.method = "GET",
     .path = "/always",
     .surfaces = EXT_ON_ALL,
     .always = true,
     .verb = EXT_VERB_PROBE,
     .handle = on_hello},
    {.method = "GET",
     .path = "/stream",
     .surfaces = EXT_ON_ALL,
     .verb = EXT_VERB_METRICS,
     .handle = on_stream},
    {.method = "POST",
     .path = "/echo",
     .surfaces = EXT_ON_EXTENDER,
     .verb = EXT_VERB_FILTER,
     .handle = on_echo},
    {.method = "POST",
     .path = "/trusted",
     .surfaces = EXT_ON_EXTENDER,
     .trusted = true,
     .verb = EXT_VERB_FILTER,
     .handle = on_echo},
    {.method = "POST",
     .path = "/wait",
     .surfaces = EXT_ON_EXTENDER,
     .waits = true,
     .verb = EXT_VERB_BIND,
     .handle = on_wait},
    {.path = NULL},
};

/* ---- the program around it ---- */
static struct ext_app app;
static struct ext_server *server;
static struct client *client;

static bool nobody(const struct sockaddr *peer)
{
    (void)peer;
    return false;
}

static void start_with(struct ext_server_config cfg)
{
    struct err err;
    cfg.address = cfg.address ? cfg.address : "127.0.0.1:0";
    cfg.surfaces = EXT_ON_EXTENDER;
    cfg.routes = ROUTES;
    cfg.threads = cfg.threads ? cfg.threads : 2;
    ck_assert_msg(ext_server_start(&app, &cfg, &server, &err) == ERR_OK, "%s", err.text);
    client_open(client, ext_server_address(server));
}

static void start(void) { start_with((struct ext_server_config){0}); }

static void setup(void)
{
    app = (struct ext_app){.clock = &CLOCK_SYSTEM};
    ext_config_init(&app.config);
    app.config.body_max = 2 << 20;
    app.metrics = ext_metrics_new();
    app.workers = ext_workers_new(4);
    calls = waiting = streams_ended = 0;
    hang_ms = 0;
    client = calloc(1, sizeof(*client));
    client->fd = -1;
    server = NULL;
}

static void teardown(void)
{
    client_close(client);
    free(client);
    ext_server_stop(server);
    ext_workers_free(app.workers);
    ext_metrics_free(app.metrics);
    ext_config_done(&app.config);
}

static unsigned long counted(const char *series)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    ext_metrics_text(app.metrics, &text);
    buf_char(&text, '\0');
    ck_assert(!text.failed);
    char want[128];
    (void)snprintf(want, sizeof(want), "\n%s ", series);
    const char *at = strstr(text.p, want);
    unsigned long n = at ? strtoul(at + strlen(want), NULL, 10) : 0;
    buf_done(&text);
    return n;
}

static void expect(const char *name, struct reply *r, int status, const char *body)
{
    ck_assert_msg(r->status == status, "%s: want %d, got %d: %s%s", name, status, r->status,
                  r->head, r->body ? r->body : "");
    if (body)
        ck_assert_msg(r->body && strcmp(r->body, body) == 0, "%s: want %s, got %s", name, body,
                      r->body ? r->body : "nothing");
    reply_done(r);
}

/* ---- requests in good order ---- */
START_TEST(keeps_the_connection)
{
    start();
    for (int i = 0; i < 5; i++) {
        struct reply r;
        char text[64];
        client_call(client, "GET", "/hello?who=you%20%2b+me", NULL, &r);
        ck_assert(reply_header(&r, "Content-Length", text, sizeof(text)));
        ck_assert_str_eq(text, "14");
        ck_assert(!reply_header(&r, "Connection", text, sizeof(text)) ||
                  strcasecmp(text, "close") != 0);
        expect("get", &r, 200, "hello you + me");
        client_call(client, "POST", "/echo", "{\"a\":1}", &r);
        ck_assert(reply_header(&r, "Content-Type", text, sizeof(text)));
        ck_assert_str_eq(text, "application/json");
        expect("post", &r, 200, "{\"a\":1}");
    }
    ck_assert_uint_eq(counted("cardinald_verb_duration_seconds_count{verb=\"filter\"}"), 5);
    ck_assert_uint_eq(counted("cardinald_verb_answers_total{verb=\"api\",code=\"200\"}"), 5);
}
END_TEST

START_TEST(head_is_get_without_body)
{
    start();
    struct reply r;
    char text[64];
    client_call(client, "HEAD", "/hello", NULL, &r);
    ck_assert(reply_header(&r, "Content-Length", text, sizeof(text)));
    ck_assert_str_eq(text, "5");
    expect("head", &r, 200, NULL);
    client_call(client, "GET", "/hello", NULL, &r); /* and the connection is in step */
    expect("get", &r, 200, "hello");
}
END_TEST

START_TEST(pipelining)
{
    start();
    client_text(client, "GET /hello?who=1 HTTP/1.1\r\nHost: t\r\n\r\n"
                        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc"
                        "POST /wait HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi"
                        "GET /hello?who=2 HTTP/1.1\r\nHost: t\r\n\r\n");
    static const char *const WANT[] = {"hello 1", "abc", "hi", "hello 2"};
    for (size_t i = 0; i < 4; i++) {
        struct reply r;
        client_read(client, false, &r);
        expect("pipelined", &r, 200, WANT[i]);
    }
}
END_TEST

START_TEST(large_bodies)
{
    start();
    size_t n = 1500000;
    char *body = malloc(n + 1);
    memset(body, 'x', n);
    body[n] = '\0';
    for (int i = 0; i < 3; i++) {
        struct reply r;
        client_call(client, "POST", "/echo", body, &r);
        expect("large", &r, 200, body);
        client_call(client, "POST", "/echo", "small", &r);
        expect("small again", &r, 200, "small");
    }
    free(body);
}
END_TEST

START_TEST(chunked_bodies)
{
    start();
    client_text(client, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "5\r\nhello\r\n7\r\n, world\r\n0\r\n\r\n");
    struct reply r;
    client_read(client, false, &r);
    expect("chunked", &r, 200, "hello, world");
    client_text(client, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    char piece[1000];
    memset(piece, 'y', sizeof(piece));
    for (int i = 0; i < 200; i++) {
        client_text(client, "3e8\r\n");
        ck_assert(client_send(client, piece, sizeof(piece)));
        client_text(client, "\r\n");
    }
    client_text(client, "0\r\n\r\n");
    client_read(client, false, &r);
    ck_assert_uint_eq(r.n, 200000);
    expect("many chunks", &r, 200, NULL);
}
END_TEST

START_TEST(expect_100)
{
    start();
    client_text(
        client,
        "POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    char text[26];
    ck_assert_int_eq(recv(client->fd, text, sizeof(text) - 1, MSG_WAITALL), 25);
    text[25] = '\0';
    ck_assert_str_eq(text, "HTTP/1.1 100 Continue\r\n\r\n");
    client_text(client, "abc");
    struct reply r;
    client_read(client, false, &r);
    expect("continued", &r, 200, "abc");
    /* who would be refused is told before sending anything */
    client_text(
        client,
        "POST /nowhere HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    client_read(client, false, &r);
    expect("refused", &r, 404, NULL);
    ck_assert(client_closed(client, 2000));
}
END_TEST

START_TEST(streams)
{
    start();
    for (int i = 0; i < 2; i++) {
        struct reply r;
        client_call(client, "GET", "/stream", NULL, &r);
        ck_assert_int_eq(r.status, 200);
        ck_assert(strncmp(r.body, "line 0 of piece 50\n", 19) == 0);
        ck_assert_ptr_nonnull(strstr(r.body, "line 999 of piece 1\n"));
        reply_done(&r);
    }
    client_text(client, "GET /stream HTTP/1.1\r\nHost: t\r\n\r\n"); /* and one that nobody reads */
    client_close(client);
    for (int i = 0; i < 200 && atomic_load(&streams_ended) < 3; i++)
        sleep_ms(10);
    ck_assert_int_eq(streams_ended, 3);
}
END_TEST

/* ---- turned away ---- */
static const struct {
    const char *name, *request;
    int status;
    const char *header, *value; /* expected; NULL: none */
} TURNED_AWAY[] = {
    {"unknown path", "GET /nowhere HTTP/1.1\r\nHost: t\r\n\r\n", 404, "Content-Type",
     "text/plain; charset=utf-8"},
    {"path of another listener", "GET /elsewhere HTTP/1.1\r\nHost: t\r\n\r\n", 404, NULL, NULL},
    {"prefix alone", "GET /path/ HTTP/1.1\r\nHost: t\r\n\r\n", 404, NULL, NULL},
    {"below a path", "GET /hello/ HTTP/1.1\r\nHost: t\r\n\r\n", 404, NULL, NULL},
    {"GET for POST", "GET /echo HTTP/1.1\r\nHost: t\r\n\r\n", 405, "Allow", "POST"},
    {"HEAD for POST", "HEAD /echo HTTP/1.1\r\nHost: t\r\n\r\n", 405, "Allow", "POST"},
    {"POST for GET", "POST /hello HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}", 405, "Allow",
     "GET, HEAD"},
    {"DELETE", "DELETE /hello HTTP/1.1\r\nHost: t\r\n\r\n", 405, "Allow", "GET, HEAD"},
    {"content type",
     "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: text/xml\r\nContent-Length: 2\r\n\r\n{}", 415,
     NULL, NULL},
    {"content type that only starts so",
     "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Type: application/jsonp\r\nContent-Length: "
     "2\r\n\r\n{}",
     415, NULL, NULL},
    {"broken escape", "GET /path/%zz HTTP/1.1\r\nHost: t\r\n\r\n", 400, NULL, NULL},
    {"NUL escape", "GET /path/a%00b HTTP/1.1\r\nHost: t\r\n\r\n", 400, NULL, NULL},
    {"no path at all", "GET hello HTTP/1.1\r\nHost: t\r\n\r\n", 400, NULL, NULL},
    {"declared too large", "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 2097153\r\n\r\n", 413,
     "Connection", "close"},
    {"declared as an exabyte",
     "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1152921504606846976\r\n\r\n", 413,
     "Connection", "close"},
};

START_TEST(turned_away)
{
    start();
    struct reply r;
    char text[128];
    client_text(client, TURNED_AWAY[_i].request);
    client_read(client, strncmp(TURNED_AWAY[_i].request, "HEAD", 4) == 0, &r);
    if (TURNED_AWAY[_i].header) {
        ck_assert_msg(reply_header(&r, TURNED_AWAY[_i].header, text, sizeof(text)), "%s: %s",
                      TURNED_AWAY[_i].name, r.head);
        ck_assert_msg(strcmp(text, TURNED_AWAY[_i].value) == 0, "%s: %s", TURNED_AWAY[_i].name,
                      r.head);
    }
    bool closed = strstr(r.head, "onnection: close") || strstr(r.head, "onnection: Close");
    if (TURNED_AWAY[_i].status == 404 && strncmp(TURNED_AWAY[_i].request, "HEAD", 4) != 0)
        ck_assert_str_eq(r.body, "404 page not found\n");
    expect(TURNED_AWAY[_i].name, &r, TURNED_AWAY[_i].status, NULL);
    ck_assert_int_eq(calls, 0);
    if (TURNED_AWAY[_i].status != 413) { /* a short refused body does not cost the connection */
        ck_assert_msg(!closed, "%s", TURNED_AWAY[_i].name);
        client_call(client, "GET", "/hello", NULL, &r);
        expect("next", &r, 200, "hello");
    }
}
END_TEST

static const char *const GOOD_TYPES[] = {"", "Content-Type: application/json\r\n",
                                         "Content-Type: application/json; charset=utf-8\r\n",
                                         "Content-Type: Application/JSON ;x=y\r\n"};

START_TEST(content_types)
{
    start();
    char text[256];
    (void)snprintf(text, sizeof(text),
                   "POST /echo HTTP/1.1\r\nHost: t\r\n%sContent-Length: 2\r\n\r\n{}",
                   GOOD_TYPES[_i]);
    client_text(client, text);
    struct reply r;
    client_read(client, false, &r);
    expect(GOOD_TYPES[_i], &r, 200, "{}");
}
END_TEST

START_TEST(paths)
{
    start();
    struct reply r;
    client_call(client, "GET", "/path/a%2Fb+c%41?x=%zz", NULL, &r);
    expect("decoded", &r, 200, "/path/a/b+cA");
    client_call(client, "GET", "http://host:80/path/x", NULL, &r);
    expect("absolute form", &r, 200, "/path/x");
}
END_TEST

START_TEST(chunked_too_large)
{
    app.config.body_max = 10000;
    start();
    char piece[1000];
    memset(piece, 'y', sizeof(piece));
    /* a little too much is read to its end and answered */
    client_text(client, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 11; i++) {
        client_text(client, "3e8\r\n");
        ck_assert(client_send(client, piece, sizeof(piece)));
        client_text(client, "\r\n");
    }
    client_text(client, "0\r\n\r\n");
    struct reply r;
    client_read(client, false, &r);
    expect("a little too much", &r, 413, NULL);
    client_call(client, "GET", "/hello", NULL, &r);
    expect("next", &r, 200, "hello");
    /* without an end it is not */
    client_text(client, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    bool open = true;
    for (int i = 0; open && i < 100000; i++)
        open = client_send(client, "3e8\r\n", 5) && client_send(client, piece, sizeof(piece)) &&
               client_send(client, "\r\n", 2);
    ck_assert(!open);
    ck_assert_int_eq(calls, 1);
    ck_assert_uint_eq(counted("cardinald_rejected_total{why=\"body\"}"), 2);
}
END_TEST

START_TEST(bodies_together)
{
    app.config.bodies_max = 100000;
    start();
    struct client *other = calloc(1, sizeof(*other));
    client_open(other, ext_server_address(server));
    client_text(other, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 60000\r\n\r\nx");
    sleep_ms(100);
    client_text(client, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 60000\r\n\r\n");
    char *body = calloc(1, 60001);
    memset(body, 'z', 60000);
    ck_assert(client_send(client, body, 60000));
    struct reply r;
    client_read(client, false, &r);
    expect("beyond", &r, 503, NULL);
    client_close(other); /* truncated: never handled, and its bytes are given back */
    sleep_ms(100);
    client_call(client, "POST", "/echo", body, &r);
    expect("room again", &r, 200, body);
    ck_assert_int_eq(calls, 1);
    free(other);
    free(body);
}
END_TEST

START_TEST(truncated_body)
{
    start();
    client_text(client, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nonly this");
    shutdown(client->fd, SHUT_WR);
    ck_assert(client_closed(client, 2000));
    ck_assert_int_eq(calls, 0);
}
END_TEST

START_TEST(half_sent_body_does_not_hold_up_a_stop)
{
    start_with((struct ext_server_config){.stop_ms = 2000});
    client_text(client, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nonly this");
    sleep_ms(100);
    int64_t before = clock_mono_ms(&CLOCK_SYSTEM);
    ext_server_stop(server);
    server = NULL;
    ck_assert_int_lt(clock_mono_ms(&CLOCK_SYSTEM) - before, 1800);
}
END_TEST

/* What the library turns away by itself: an answer of 4xx or none, then the end of the connection.
 */
static const struct {
    const char *name, *request;
    size_t more; /* so many letters behind it */
} GARBAGE[] = {
    {"no HTTP", "\x16\x03\x01\x02 this is no HTTP\r\n\r\n", 0},
    {"endless request line", "GET /", 100000},
    {"endless header", "GET /hello HTTP/1.1\r\nHost: t\r\nX: ", 100000},
    {"negative length", "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: -5\r\n\r\n", 0},
    {"length that is no number", "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5x\r\n\r\n", 0},
    {"length beyond 64 bits",
     "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 99999999999999999999999\r\n\r\n", 0},
    {"broken chunk",
     "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n", 0},
    {"endless chunk size", "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n",
     100000},
};

START_TEST(garbage)
{
    start();
    client_text(client, GARBAGE[_i].request);
    char letters[1000];
    memset(letters, 'a', sizeof(letters));
    for (size_t n = 0; n < GARBAGE[_i].more && client_send(client, letters, sizeof(letters));)
        n += sizeof(letters);
    struct reply r;
    client_read(client, false, &r);
    ck_assert_msg(r.status == 0 || (r.status >= 400 && r.status < 500), "%s: %d", GARBAGE[_i].name,
                  r.status);
    reply_done(&r);
    ck_assert_msg(client_closed(client, 2000), "%s", GARBAGE[_i].name);
    ck_assert_int_eq(calls, 0);
    client_call_once(ext_server_address(server), "GET", "/hello", NULL, &r);
    expect("lives on", &r, 200, "hello");
}
END_TEST

/* ---- too slow ---- */
static bool drip(const char *text, int ms)
{
    for (const char *p = text; *p; p++) {
        if (!client_send(client, p, 1))
            return true;
        if (client_closed(client, ms))
            return true;
    }
    return false;
}

START_TEST(slow_header)
{
    app.config.header_timeout_ms = 300;
    start();
    ck_assert(drip(
        "GET /hello HTTP/1.1\r\nHost: somewhere\r\nX-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 30));
    ck_assert_uint_eq(counted("cardinald_rejected_total{why=\"slow\"}"), 1);
}
END_TEST

START_TEST(slow_header_of_a_later_request)
{
    app.config.header_timeout_ms = 300;
    start();
    struct reply r;
    client_call(client, "GET", "/hello", NULL, &r);
    expect("first", &r, 200, "hello");
    sleep_ms(700); /* an idle connection is in nobody's way */
    client_call(client, "GET", "/hello", NULL, &r);
    expect("after a pause", &r, 200, "hello");
    ck_assert(drip(
        "GET /hello HTTP/1.1\r\nHost: somewhere\r\nX-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n", 30));
    ck_assert_uint_eq(counted("cardinald_rejected_total{why=\"slow\"}"), 1);
}
END_TEST

START_TEST(silent_connection)
{
    app.config.header_timeout_ms = 200;
    start();
    ck_assert(client_closed(client, 2000));
}
END_TEST

START_TEST(slow_body)
{
    app.config.body_timeout_ms = 300;
    start();
    client_text(client, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\n");
    ck_assert(drip("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 30));
    ck_assert_int_eq(calls, 0);
    ck_assert_uint_eq(counted("cardinald_rejected_total{why=\"slow\"}"), 1);
}
END_TEST

START_TEST(answer_that_nobody_reads)
{
    app.config.body_timeout_ms = 300;
    start();
    int small = 4096;
    setsockopt(client->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    for (int i = 0; i < 200; i++) /* pipelined, more than all buffers take */
        client_text(client, "GET /stream HTTP/1.1\r\nHost: t\r\n\r\n");
    for (int i = 0; i < 300 && counted("cardinald_rejected_total{why=\"slow\"}") == 0; i++)
        sleep_ms(10);
    ck_assert_uint_eq(counted("cardinald_rejected_total{why=\"slow\"}"), 1);
}
END_TEST

START_TEST(slow_handler_is_not_slow_peer)
{
    app.config.body_timeout_ms = app.config.header_timeout_ms = 100;
    hang_ms = 600;
    start();
    struct reply r;
    client_call(client, "POST", "/wait", "x", &r);
    expect("wait", &r, 200, "x");
}
END_TEST

/* ---- too many ---- */
START_TEST(connection_limit)
{
    app.config.connections_max = 2;
    start();
    struct reply r;
    char text[64];
    struct client *more = calloc(2, sizeof(*more));
    client_call(client, "GET", "/hello", NULL, &r);
    expect("first", &r, 200, "hello");
    client_open(&more[0], ext_server_address(server));
    client_call(&more[0], "GET", "/hello", NULL, &r);
    expect("second", &r, 200, "hello");
    client_open(&more[1], ext_server_address(server));
    client_call(&more[1], "GET", "/hello", NULL, &r);
    ck_assert(reply_header(&r, "Retry-After", text, sizeof(text)));
    ck_assert_str_eq(text, "1");
    ck_assert(reply_header(&r, "Connection", text, sizeof(text)));
    ck_assert_int_eq(strcasecmp(text, "close"), 0);
    expect("third", &r, 503, NULL);
    ck_assert(client_closed(&more[1], 2000));
    client_close(&more[1]);
    client_close(&more[0]);
    sleep_ms(100);
    client_open(&more[0], ext_server_address(server));
    client_call(&more[0], "GET", "/hello", NULL, &r);
    expect("room again", &r, 200, "hello");
    ck_assert_uint_eq(counted("cardinald_rejected_total{why=\"busy\"}"), 1);
    client_close(&more[0]);
    free(more);
}
END_TEST

START_TEST(core_defect_p5_in_flight_limit)
{
    app.config.in_flight_max = 1;
    hang_ms = 500;
    start();
    client_text(client, "POST /wait HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx");
    while (atomic_load(&waiting) == 0)
        sleep_ms(5);
    struct reply r;
    char text[64];
    client_call_once(ext_server_address(server), "GET", "/hello", NULL, &r);
    ck_assert(reply_header(&r, "Retry-After", text, sizeof(text)));
    expect("second", &r, 503, NULL);
    client_call_once(ext_server_address(server), "GET", "/always", NULL, &r);
    expect("probe", &r, 200, "hello");
    client_read(client, false, &r);
    expect("first", &r, 200, "x");
    client_call(client, "GET", "/hello", NULL, &r);
    expect("room again", &r, 200, "hello");
}
END_TEST

/* ---- who ---- */
START_TEST(trusted_peers)
{
    struct reply r;
    start();
    client_call(client, "POST", "/trusted", "x", &r);
    expect("loopback", &r, 200, "x");
}
END_TEST

START_TEST(core_defect_s1_others_are_refused)
{
    struct reply r;
    start_with((struct ext_server_config){.peer_trusted = nobody});
    client_call(client, "POST", "/trusted", "x", &r);
    expect("trusted route", &r, 403, NULL);
    client_call(client, "POST", "/echo", "x", &r);
    expect("open route", &r, 200, "x");
    ck_assert_uint_eq(counted("cardinald_rejected_total{why=\"peer\"}"), 1);
}
END_TEST

START_TEST(mapped_loopback)
{
    struct reply r;
    start_with((struct ext_server_config){
        .address = ":0"}); /* both families: peers are ::ffff:127.0.0.1 */
    client_call(client, "POST", "/trusted", "x", &r);
    expect("mapped", &r, 200, "x");
}
END_TEST

/* ---- waiting and stopping ---- */
static void *call_wait(void *arg)
{
    char body[32];
    (void)snprintf(body, sizeof(body), "%d", *(int *)arg);
    struct reply r;
    client_call_once(ext_server_address(server), "POST", "/wait", body, &r);
    bool *ok = malloc(sizeof(*ok));
    *ok = r.status == 200 && strcmp(r.body, body) == 0;
    reply_done(&r);
    return ok;
}

START_TEST(many_wait_at_once)
{
    hang_ms = 20;
    start();
    pthread_t threads[40];
    int numbers[40];
    for (int i = 0; i < 40; i++) {
        numbers[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, call_wait, &numbers[i]), 0);
    }
    for (int i = 0; i < 40; i++) {
        void *ok;
        pthread_join(threads[i], &ok);
        ck_assert_msg(*(bool *)ok, "call %d", i);
        free(ok);
    }
    ck_assert_int_eq(calls, 40);
}
END_TEST

static void *stop_server(void *arg)
{
    (void)arg;
    ext_server_stop(server);
    server = NULL;
    return NULL;
}

START_TEST(stop_waits_for_answers)
{
    hang_ms = 400;
    start();
    struct client *idle = calloc(1, sizeof(*idle));
    struct reply r;
    client_open(idle, ext_server_address(server));
    client_call(idle, "GET", "/hello", NULL, &r);
    expect("before", &r, 200, "hello");
    char address[64];
    (void)snprintf(address, sizeof(address), "%s", ext_server_address(server));
    client_text(client, "POST /wait HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx");
    while (atomic_load(&waiting) == 0)
        sleep_ms(5);
    pthread_t stopper;
    pthread_create(&stopper, NULL, stop_server, NULL);
    sleep_ms(100);
    client_call(idle, "GET", "/hello", NULL, &r); /* new work is refused */
    expect("meanwhile", &r, 503, NULL);
    client_read(client, false, &r); /* what was begun is answered */
    expect("in flight", &r, 200, "x");
    pthread_join(stopper, NULL);
    ck_assert(client_closed(client, 1000));
    client_close(idle);
    free(idle);
}
END_TEST

START_TEST(stop_does_not_wait_for_ever)
{
    hang_ms = 1500;
    start_with((struct ext_server_config){.stop_ms = 300});
    client_text(client, "POST /wait HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n\r\nx");
    while (atomic_load(&waiting) == 0)
        sleep_ms(5);
    int64_t before = clock_mono_ms(&CLOCK_SYSTEM);
    ext_server_stop(server);
    server = NULL;
    ck_assert_int_lt(clock_mono_ms(&CLOCK_SYSTEM) - before, 1300);
    struct reply r;
    client_read(client, false, &r);
    expect("abandoned", &r, 503, "stopping\n");
}
END_TEST

START_TEST(bad_addresses)
{
    static const char *const BAD[] = {
        "", "8080", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x", "no.such.host.invalid:1"};
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        struct err err = {0};
        struct ext_server_config cfg = {
            .address = BAD[i], .surfaces = EXT_ON_EXTENDER, .routes = ROUTES};
        ck_assert_msg(ext_server_start(&app, &cfg, &server, &err) == ERR_BAD_REQUEST, "%s", BAD[i]);
        ck_assert_msg(strstr(err.text, "address"), "%s: %s", BAD[i], err.text);
    }
    start();
    struct err err;
    struct ext_server *second = NULL;
    struct ext_server_config cfg = {
        .address = ext_server_address(server), .surfaces = EXT_ON_EXTENDER, .routes = ROUTES};
    ck_assert_int_eq(ext_server_start(&app, &cfg, &second, &err), ERR_UNAVAILABLE);
}
END_TEST

/* ---- the routes' own rules ---- */
START_TEST(query_values)
{
    struct arena *arena = arena_new(1 << 16);
    struct ext_request r = {.query = STR("a=1&b=x%26y&c&=&d=&a=2&e+f=g%2Bh+i&bad=%4"),
                            .arena = arena};
    struct str got;
    ck_assert(ext_query(&r, "a", arena, &got) && str_eq(got, STR("1")));
    ck_assert(ext_query(&r, "b", arena, &got) && str_eq(got, STR("x&y")));
    ck_assert(ext_query(&r, "c", arena, &got) && got.n == 0);
    ck_assert(ext_query(&r, "d", arena, &got) && got.n == 0);
    ck_assert(ext_query(&r, "e f", arena, &got) && str_eq(got, STR("g+h i")));
    ck_assert(!ext_query(&r, "bad", arena, &got));
    ck_assert(!ext_query(&r, "none", arena, &got));
    r.query = (struct str){NULL, 0};
    ck_assert(!ext_query(&r, "a", arena, &got));
    arena_free(arena);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("extender server");
    TCase *tc = tcase_create("server");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, keeps_the_connection);
    tcase_add_test(tc, head_is_get_without_body);
    tcase_add_test(tc, pipelining);
    tcase_add_test(tc, large_bodies);
    tcase_add_test(tc, chunked_bodies);
    tcase_add_test(tc, expect_100);
    tcase_add_test(tc, streams);
    tcase_add_loop_test(tc, turned_away, 0, sizeof(TURNED_AWAY) / sizeof(TURNED_AWAY[0]));
    tcase_add_loop_test(tc, content_types, 0, sizeof(GOOD_TYPES) / sizeof(GOOD_TYPES[0]));
    tcase_add_test(tc, paths);
    tcase_add_test(tc, chunked_too_large);
    tcase_add_test(tc, bodies_together);
    tcase_add_test(tc, truncated_body);
    tcase_add_test(tc, half_sent_body_does_not_hold_up_a_stop);
    tcase_add_loop_test(tc, garbage, 0, sizeof(GARBAGE) / sizeof(GARBAGE[0]));
    tcase_add_test(tc, slow_header);
    tcase_add_test(tc, slow_header_of_a_later_request);
    tcase_add_test(tc, silent_connection);
    tcase_add_test(tc, slow_body);
    tcase_add_test(tc, answer_that_nobody_reads);
    tcase_add_test(tc, slow_handler_is_not_slow_peer);
    tcase_add_test(tc, connection_limit);
    tcase_add_test(tc, core_defect_p5_in_flight_limit);
    tcase_add_test(tc, trusted_peers);
    tcase_add_test(tc, core_defect_s1_others_are_refused);
    tcase_add_test(tc, mapped_loopback);
    tcase_add_test(tc, many_wait_at_once);
    tcase_add_test(tc, stop_waits_for_answers);
    tcase_add_test(tc, stop_does_not_wait_for_ever);
    tcase_add_test(tc, bad_addresses);
    tcase_add_test(tc, query_values);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
