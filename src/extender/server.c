/* HTTP in and out: one libmicrohttpd daemon a listener (epoll, a few threads of its own).
 *
 * The way of a request here: on_target (request line) → begin (header complete: who, what, how
 * large) → gather (body) → run (handler, here or on a worker while the connection is suspended) →
 * send → on_completed. What was refused at `begin` skips to `send`.
 *
 * Where a peer could make us wait, the limit is ours and not the library's: a watchdog thread cuts
 * connections whose header, body or reading of the answer takes too long in total (the library's
 * own timer starts again with every byte), and connections, requests and body bytes have counts of
 * ours that end in a 503 before the library's end in silence. */
#include "extender/priv.h"

#include <assert.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <linux/tcp.h> /* struct tcp_info with tcpi_bytes_received, which the libc's lacks */
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    CONNECTION_MEMORY = 32 * 1024, /* the library's: header, and the piece of body in hand */
    CONNECTION_STEP = 8 * 1024,
    DROP_MAX = 64 * 1024,        /* body bytes read and thrown away to answer in good order */
    BODY_KEPT_MAX = 1024 * 1024, /* a larger body's memory is given back */
    SPARE_MAX = 64,              /* requests' memory kept for the next */
    STREAM_PIECE = 64 * 1024,
    STOP_MS = 8000,
    TICK_MIN_MS = 10,
    TICK_MAX_MS = 500,
    NO_FILES_MS = 50,
    THREADS_MAX = 8,
};

/* ---- one connection, as the watchdog sees it ---- */
enum phase { PHASE_HEADER, PHASE_BODY, PHASE_WORK, PHASE_ANSWER, PHASE_IDLE };
enum { PHASE_BITS = 3 };

struct conn {
    struct ext_server *server;
    struct conn *prev, *next; /* server->conns */
    struct ext_tls *tls;      /* NULL: plain */
    int fd;
    bool over;     /* beyond the limit: gets a 503 */
    bool verified; /* client certificate; asked once */
    bool verified_asked;
    _Atomic uint64_t stamp; /* ms << PHASE_BITS | phase; written by the connection's thread */
    /* of the watchdog alone: has the next request begun to arrive? */
    uint64_t idle_stamp, idle_bytes;
    int64_t drip_ms;
    uint64_t ended_stamp; /* the peer has sent its end in this phase already */
    bool cut;
};

/* ---- one request ---- */
enum stage { STAGE_TARGET, STAGE_BODY, STAGE_DROP, STAGE_WORK, STAGE_DONE };
enum work { WORK_NONE, WORK_RUNNING, WORK_DONE, WORK_ABANDONED };

struct slot {
    struct slot *prev, *next; /* server->spare or server->working */
    struct ext_server *server;
    struct conn *conn;
    struct MHD_Connection *mc;
    struct arena *arena;
    const struct ext_route *route; /* NULL: refused before */
    struct ext_request request;
    struct ext_answer answer;
    char *body;
    size_t body_n, body_cap, body_max, counted, dropped;
    enum stage stage;
    bool target_ok, in_flight;
    int64_t started_ns;
    _Atomic int work; /* enum work */
    _Atomic int refs; /* the connection's and, while it works, the worker's */
};

struct ext_server {
    struct ext_app *app;
    const struct ext_route *routes;
    unsigned surfaces;
    bool (*peer_trusted)(const struct sockaddr *peer);
    struct MHD_Daemon *daemon;
    int listen_fd;
    struct ext_certs *certs; /* NULL: plain */
    int stop_ms;
    char address[EXT_ADDRESS_MAX];
    pthread_t watchdog;
    bool watchdog_runs;
    _Atomic int in_flight;
    _Atomic size_t bodies; /* bytes promised to bodies */
    _Atomic bool quiet;    /* quiesced */

    pthread_mutex_t lock; /* guards everything below; taken last, nothing waits under it */
    pthread_cond_t changed;
    struct conn *conns;
    int connections;
    struct slot *spare;
    int spare_n;
    struct slot *working; /* suspended, on a worker */
    int resuming;         /* workers inside MHD_resume_connection */
    int64_t quiet_ms;
    bool ended; /* the watchdog's end */
};

static int64_t now_ms(const struct ext_server *s) { return clock_mono_ms(s->app->clock); }

static void set_phase(struct conn *c, enum phase phase)
{
    uint64_t stamp = (uint64_t)now_ms(c->server) << PHASE_BITS | phase;
    atomic_store_explicit(&c->stamp, stamp, memory_order_relaxed);
}

/* ---- slots: memory of requests, used again ---- */
static void slot_free(struct slot *sl)
{
    buf_done(&sl->answer.body);
    if (sl->answer.stream.more)
        sl->answer.stream.done(sl->answer.stream.ctx);
    arena_free(sl->arena);
    free(sl->body);
    free(sl);
}

static struct slot *slot_new(struct ext_server *s)
{
    pthread_mutex_lock(&s->lock);
    struct slot *sl = s->spare;
    if (sl) {
        s->spare = sl->next;
        s->spare_n--;
    }
    pthread_mutex_unlock(&s->lock);
    if (!sl) {
        sl = calloc(1, sizeof(*sl));
        if (!sl)
            return NULL;
        sl->arena = arena_new(s->app->config.request_memory_max);
        if (!sl->arena) {
            free(sl);
            return NULL;
        }
    }
    sl->server = s;
    atomic_store(&sl->refs, 1);
    return sl;
}

/* The worker of an abandoned request may be the last: it must not touch the server then. */
static void slot_unref(struct slot *sl)
{
    if (atomic_fetch_sub(&sl->refs, 1) != 1)
        return;
    if (atomic_load(&sl->work) == WORK_ABANDONED) {
        slot_free(sl);
        return;
    }
    struct ext_server *s = sl->server;
    buf_done(&sl->answer.body);
    if (sl->answer.stream.more)
        sl->answer.stream.done(sl->answer.stream.ctx);
    arena_reset(sl->arena);
    if (sl->body_cap > BODY_KEPT_MAX) {
        free(sl->body);
        sl->body = NULL;
        sl->body_cap = 0;
    }
    *sl = (struct slot){.arena = sl->arena, .body = sl->body, .body_cap = sl->body_cap};
    pthread_mutex_lock(&s->lock);
    bool keep = s->spare_n < SPARE_MAX;
    if (keep) {
        sl->next = s->spare;
        s->spare = sl;
        s->spare_n++;
    }
    pthread_mutex_unlock(&s->lock);
    if (!keep)
        slot_free(sl);
}

/* ---- who is asking ---- */
static bool peer_is_loopback(const struct sockaddr *peer)
{
    if (peer->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)peer;
        return ntohl(in->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    if (peer->sa_family != AF_INET6)
        return false;
    const struct sockaddr_in6 *in6 = (const void *)peer;
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr))
        return in6->sin6_addr.s6_addr[12] == IN_LOOPBACKNET;
    return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) != 0;
}

static bool peer_is_verified(struct slot *sl)
{
    struct conn *c = sl->conn;
    if (!c->tls || !ext_tls_pem(c->tls).ca)
        return false;
    if (!c->verified_asked) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(sl->mc, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID,
                                         .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT};
        unsigned status = 0;
        c->verified = info &&
                      gnutls_certificate_verify_peers(info->tls_session, &purpose, 1, &status) ==
                          GNUTLS_E_SUCCESS &&
                      status == 0;
        c->verified_asked = true;
    }
    return c->verified;
}

static bool peer_trusted(struct slot *sl)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(sl->mc, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (info && info->client_addr && sl->server->peer_trusted(info->client_addr))
        return true;
    return peer_is_verified(sl);
}

/* ---- sending ---- */
struct stream_state { /* between the handler's pieces and the library's */
    struct ext_stream stream;
    struct buf piece;
    size_t at;
    bool last;
};

static ssize_t stream_read(void *cls, uint64_t pos, char *out, size_t max)
{
    (void)pos;
    struct stream_state *st = cls;
    while (st->at == st->piece.n && !st->last) {
        st->piece.n = st->at = 0;
        st->last = !st->stream.more(st->stream.ctx, &st->piece);
        if (st->piece.failed)
            return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (st->at == st->piece.n)
        return MHD_CONTENT_READER_END_OF_STREAM;
    size_t n = st->piece.n - st->at;
    n = n < max ? n : max;
    memcpy(out, st->piece.p + st->at, n);
    st->at += n;
    return (ssize_t)n;
}

static void stream_free(void *cls)
{
    struct stream_state *st = cls;
    st->stream.done(st->stream.ctx);
    buf_done(&st->piece);
    free(st);
}

static struct MHD_Response *stream_response(struct ext_answer *a)
{
    struct stream_state *st = calloc(1, sizeof(*st));
    if (!st)
        return NULL;
    st->stream = a->stream;
    buf_init(&st->piece, 64 * (size_t)STREAM_PIECE);
    struct MHD_Response *resp = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_PIECE,
                                                                  stream_read, st, stream_free);
    if (!resp) {
        free(st);
        return NULL;
    }
    a->stream = (struct ext_stream){0};
    return resp;
}

static struct MHD_Response *body_response(struct ext_answer *a)
{
    size_t n;
    char *text = buf_take(&a->body, &n);
    if (!text)
        return NULL;
    struct MHD_Response *resp = MHD_create_response_from_buffer(n, text, MHD_RESPMEM_MUST_FREE);
    if (!resp)
        free(text);
    return resp;
}

static enum MHD_Result send_answer(struct slot *sl, struct ext_answer *a)
{
    struct ext_server *s = sl->server;
    sl->stage = STAGE_DONE;
    struct MHD_Response *resp = a->stream.more ? stream_response(a) : body_response(a);
    if (!resp) {
        log_error("answer-lost", "id=%llu status=%u", (unsigned long long)sl->request.id,
                  a->status);
        static char none[] = "no memory for the answer\n";
        a->status = 500;
        a->content_type = "text/plain; charset=utf-8";
        resp = MHD_create_response_from_buffer(sizeof(none) - 1, none, MHD_RESPMEM_PERSISTENT);
        if (!resp)
            return MHD_NO;
    }
    /* Headers that can't be added leave an answer that is still right. */
    const char *type = a->content_type ? a->content_type : "application/json";
    (void)MHD_add_response_header(resp, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (type[0] == 't')
        (void)MHD_add_response_header(resp, "X-Content-Type-Options", "nosniff");
    if (a->allow)
        (void)MHD_add_response_header(resp, MHD_HTTP_HEADER_ALLOW, a->allow);
    if (a->retry_after_s > 0) {
        char text[16];
        (void)snprintf(text, sizeof(text), "%d", a->retry_after_s);
        (void)MHD_add_response_header(resp, MHD_HTTP_HEADER_RETRY_AFTER, text);
    }
    if (a->close)
        (void)MHD_add_response_header(resp, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result rc = MHD_queue_response(sl->mc, a->status, resp);
    MHD_destroy_response(resp);
    set_phase(sl->conn, PHASE_ANSWER);
    if (sl->route)
        ext_metrics_verb(s->app->metrics, sl->route->verb, a->status,
                         clock_mono_ns(s->app->clock) - sl->started_ns);
    return rc;
}

/* ---- running the handler ---- */
static void unlink_locked(struct slot *sl)
{
    if (sl->prev)
        sl->prev->next = sl->next;
    else
        sl->server->working = sl->next;
    if (sl->next)
        sl->next->prev = sl->prev;
    sl->prev = sl->next = NULL;
}

/* The answer is there: hands the request back to its connection, unless a stop has answered it. */
static void work_done(struct slot *sl)
{
    int running = WORK_RUNNING;
    if (!atomic_compare_exchange_strong(&sl->work, &running, WORK_DONE)) {
        slot_unref(sl);
        return;
    }
    struct ext_server *s = sl->server; /* stays: a stop waits for `resuming` to be 0 */
    struct MHD_Connection *mc = sl->mc;
    pthread_mutex_lock(&s->lock);
    unlink_locked(sl);
    s->resuming++;
    pthread_mutex_unlock(&s->lock);
    slot_unref(sl); /* never the last: the connection's is left until it is resumed */
    MHD_resume_connection(mc);
    pthread_mutex_lock(&s->lock);
    s->resuming--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void answered(struct ext_request *r)
{
    work_done((struct slot *)(void *)((char *)r - offsetof(struct slot, request)));
}

static void run_on_worker(void *ctx)
{
    struct slot *sl = ctx;
    sl->route->handle(&sl->request, &sl->answer);
    work_done(sl);
}

static void answer_busy(struct slot *sl, const char *why)
{
    ext_metrics_count(sl->server->app->metrics, EXT_REJECTED_BUSY, 1);
    ext_answer_text(&sl->answer, 503, "%s\n", why);
    sl->answer.retry_after_s = 1;
}

static void suspend(struct slot *sl)
{
    struct ext_server *s = sl->server;
    sl->stage = STAGE_WORK;
    set_phase(sl->conn, PHASE_WORK);
    atomic_store(&sl->refs, 2);
    pthread_mutex_lock(&s->lock);
    atomic_store(&sl->work, WORK_RUNNING);
    sl->next = s->working;
    if (sl->next)
        sl->next->prev = sl;
    s->working = sl;
    pthread_mutex_unlock(&s->lock);
    MHD_suspend_connection(sl->mc);
    if (sl->route->later) { /* the slot may be gone when the handler is back */
        sl->request.answered = answered;
        sl->route->handle(&sl->request, &sl->answer);
        return;
    }
    if (!ext_workers_run(s->app->workers, run_on_worker, sl)) {
        answer_busy(sl, "too much to do, or stopping");
        work_done(sl);
    }
}

static enum MHD_Result run(struct slot *sl)
{
    sl->request.body = (struct str){sl->body, sl->body_n};
    buf_init(&sl->answer.body, EXT_ANSWER_MAX);
    if (sl->route->waits || sl->route->later ||
        (sl->route->waits_if && sl->route->waits_if(sl->server->app))) {
        suspend(sl);
        return MHD_YES;
    }
    set_phase(sl->conn, PHASE_WORK);
    sl->route->handle(&sl->request, &sl->answer);
    return send_answer(sl, &sl->answer);
}

/* A worker's answer is there, or a stop did not wait for it any longer. */
static enum MHD_Result resumed(struct slot *sl)
{
    if (atomic_load(&sl->work) == WORK_DONE)
        return send_answer(sl, &sl->answer);
    struct ext_answer stopped = {0}; /* the slot's own is still the worker's */
    ext_answer_text(&stopped, 503, "stopping\n");
    stopped.close = true;
    enum MHD_Result rc = send_answer(sl, &stopped);
    buf_done(&stopped.body);
    return rc;
}

/* ---- the header is complete ---- */
static struct str header(struct slot *sl, const char *name)
{
    return str_z(MHD_lookup_connection_value(sl->mc, MHD_HEADER_KIND, name));
}

/* Go's clients send it bare; others add "; charset=utf-8". No header at all is fine. */
static bool content_type_ok(struct str type)
{
    if (type.n == 0)
        return true;
    struct str rest = type, media;
    (void)str_split(&rest, ';', &media);
    return str_eq_fold(str_trim(media), STR("application/json"));
}

static size_t body_limit(const struct slot *sl)
{
    const struct ext_config *c = &sl->server->app->config;
    if (!str_eq(sl->request.method, STR("POST")))
        return 0;
    return sl->route->verb == EXT_VERB_WEBHOOK ? c->webhook_body_max : c->body_max;
}

/* Promises `more` bytes to the body; false: all bodies together would be too large. */
static bool bodies_take(struct slot *sl, size_t more)
{
    struct ext_server *s = sl->server;
    if (atomic_fetch_add(&s->bodies, more) + more > s->app->config.bodies_max) {
        atomic_fetch_sub(&s->bodies, more);
        return false;
    }
    sl->counted += more;
    return true;
}

static bool body_reserve(struct slot *sl, size_t need)
{
    if (need > sl->counted && !bodies_take(sl, need - sl->counted))
        return false;
    if (need <= sl->body_cap)
        return true;
    char *p = realloc(sl->body, need);
    if (!p)
        return false;
    sl->body = p;
    sl->body_cap = need;
    return true;
}

/* Fills sl->answer where the request is refused for what its header says; false: it goes on. */
static bool refuse(struct slot *sl, int in_flight, size_t declared, const char **allow)
{
    struct ext_server *s = sl->server;
    struct ext_app *app = s->app;
    struct ext_request *r = &sl->request;
    struct ext_answer *a = &sl->answer;
    if (!sl->target_ok) {
        ext_answer_text(a, 400, "this path can't be read\n");
        return true;
    }
    sl->route = ext_route_find(s->routes, r->method, r->path, s->surfaces, allow);
    bool always = sl->route && sl->route->always;
    if ((atomic_load(&app->stopping) || atomic_load(&s->quiet)) && !always) {
        answer_busy(sl, "stopping");
        a->close = true;
    } else if (sl->conn->over && !always) {
        answer_busy(sl, "too many connections");
        a->close = true;
    } else if (in_flight > app->config.in_flight_max && !always) {
        answer_busy(sl, "too many requests at once");
    } else if (!sl->route && !*allow) {
        ext_answer_text(a, 404, "404 page not found\n");
    } else if (!sl->route) {
        ext_answer_text(a, 405, "405 method not allowed\n");
        a->allow = *allow;
    } else if (sl->route->trusted && !peer_trusted(sl)) {
        ext_metrics_count(app->metrics, EXT_REJECTED_PEER, 1);
        ext_answer_text(a, 403, "loopback peers and verified client certificates only\n");
    } else if (str_eq(r->method, STR("POST")) && !content_type_ok(r->content_type)) {
        ext_answer_text(a, 415, "the body must be application/json\n");
    } else if (declared > body_limit(sl)) {
        ext_metrics_count(app->metrics, EXT_REJECTED_BODY, 1);
        ext_answer_text(a, 413, "the body is larger than %zu bytes\n", body_limit(sl));
    } else if (declared > 0 && !body_reserve(sl, declared)) {
        answer_busy(sl, "no memory for the body");
    } else {
        return false;
    }
    return true;
}

static enum MHD_Result begin(struct slot *sl, const char *method)
{
    struct ext_server *s = sl->server;
    struct ext_request *r = &sl->request;
    set_phase(sl->conn, PHASE_BODY);
    sl->started_ns = clock_mono_ns(s->app->clock);
    r->started_ms = sl->started_ns / 1000000;
    r->app = s->app;
    r->id = atomic_fetch_add(&s->app->request_ids, 1) + 1;
    r->method = str_z(method);
    r->arena = sl->arena;
    r->content_type = header(sl, MHD_HTTP_HEADER_CONTENT_TYPE);
    sl->in_flight = true;
    int in_flight = atomic_fetch_add(&s->in_flight, 1) + 1;

    bool chunked = header(sl, MHD_HTTP_HEADER_TRANSFER_ENCODING).n > 0;
    int64_t length = 0; /* what is no number, the library has refused already */
    if (!chunked && !str_int(header(sl, MHD_HTTP_HEADER_CONTENT_LENGTH), 0, INT64_MAX, &length))
        length = 0;
    const char *allow = NULL;
    if (!refuse(sl, in_flight, (size_t)length, &allow)) {
        sl->body_max = body_limit(sl);
        sl->stage = STAGE_BODY;
        return MHD_YES;
    }
    /* A short body is read to its end, so that the connection can go on; a longer one is not, and
     * neither is one that waits for our 100. The library closes after such an early answer. */
    sl->stage = STAGE_DROP;
    if (length <= DROP_MAX && header(sl, MHD_HTTP_HEADER_EXPECT).n == 0)
        return MHD_YES;
    sl->answer.close = true;
    return send_answer(sl, &sl->answer);
}

/* ---- the body ---- */
static enum MHD_Result drop(struct slot *sl, size_t n)
{
    sl->dropped += n;
    return sl->dropped <= DROP_MAX ? MHD_YES : MHD_NO; /* MHD_NO: the connection is closed */
}

static enum MHD_Result gather(struct slot *sl, const char *piece, size_t n)
{
    if (sl->stage == STAGE_DROP)
        return drop(sl, n);
    if (n > sl->body_max - sl->body_n) {
        ext_metrics_count(sl->server->app->metrics, EXT_REJECTED_BODY, 1);
        ext_answer_text(&sl->answer, 413, "the body is larger than %zu bytes\n", sl->body_max);
        sl->stage = STAGE_DROP;
        return drop(sl, n);
    }
    size_t need = sl->body_n + n;
    if (need > sl->counted) { /* sent in chunks: grow by doubling */
        size_t want = need < sl->body_max / 2 ? 2 * need : sl->body_max;
        if (!body_reserve(sl, want)) {
            answer_busy(sl, "no memory for the body");
            sl->stage = STAGE_DROP;
            return drop(sl, n);
        }
    }
    memcpy(sl->body + sl->body_n, piece, n);
    sl->body_n += n;
    return MHD_YES;
}

/* ---- what the library calls ---- */
static void *on_target(void *cls, const char *uri, struct MHD_Connection *mc)
{
    struct ext_server *s = cls;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mc, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    if (!info || !info->socket_context)
        return NULL;
    struct slot *sl = slot_new(s);
    if (!sl)
        return NULL;
    sl->mc = mc;
    sl->conn = info->socket_context;
    sl->target_ok = ext_route_target(str_z(uri), sl->arena, &sl->request.path, &sl->request.query);
    return sl;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *mc, const char *url,
                                  const char *method, const char *version, const char *piece,
                                  size_t *piece_n, void **req_cls)
{
    (void)cls, (void)mc, (void)url, (void)version;
    struct slot *sl = *req_cls;
    if (!sl)
        return MHD_NO; /* no memory: the connection is closed */
    if (sl->stage == STAGE_TARGET)
        return begin(sl, method);
    if (*piece_n > 0) {
        size_t n = *piece_n;
        *piece_n = 0;
        return gather(sl, piece, n);
    }
    switch (sl->stage) {
    case STAGE_BODY:
        return run(sl);
    case STAGE_DROP:
        return send_answer(sl, &sl->answer);
    case STAGE_WORK:
        return resumed(sl);
    default:
        return MHD_YES;
    }
}

static void on_completed(void *cls, struct MHD_Connection *mc, void **req_cls,
                         enum MHD_RequestTerminationCode how)
{
    (void)mc, (void)how;
    struct ext_server *s = cls;
    struct slot *sl = *req_cls;
    *req_cls = NULL;
    if (!sl)
        return;
    set_phase(sl->conn, PHASE_IDLE);
    atomic_fetch_sub(&s->bodies, sl->counted);
    bool counted = sl->in_flight;
    slot_unref(sl);
    if (counted && atomic_fetch_sub(&s->in_flight, 1) == 1 && atomic_load(&s->quiet)) {
        pthread_mutex_lock(&s->lock);
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
    }
}

/* Beyond those that are told 503: closed at once, so that a listener never has more descriptors
 * than its share. Counted where they begin, so that each thread may let one more in. */
static enum MHD_Result on_accept(void *cls, const struct sockaddr *peer, socklen_t peer_n)
{
    struct ext_server *s = cls;
    (void)peer, (void)peer_n;
    pthread_mutex_lock(&s->lock);
    bool room = s->connections < s->app->config.connections_max + EXT_CONNECTIONS_SLACK;
    pthread_mutex_unlock(&s->lock);
    if (!room)
        ext_metrics_count(s->app->metrics, EXT_REJECTED_BUSY, 1);
    return room ? MHD_YES : MHD_NO;
}

static void on_connection(void *cls, struct MHD_Connection *mc, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct ext_server *s = cls;
    struct conn *c = *socket_context;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(mc, MHD_CONNECTION_INFO_CONNECTION_FD);
        c = info ? calloc(1, sizeof(*c)) : NULL;
        if (!c)
            return; /* on_target ends it */
        c->server = s;
        c->fd = info->connect_fd;
        set_phase(c, PHASE_HEADER);
        c->tls = s->certs ? ext_certs_ref(s->certs) : NULL;
        pthread_mutex_lock(&s->lock);
        c->next = s->conns;
        if (c->next)
            c->next->prev = c;
        s->conns = c;
        c->over = ++s->connections > s->app->config.connections_max;
        if (s->connections == 1)
            pthread_cond_broadcast(&s->changed); /* the watchdog sleeps while there is none */
        pthread_mutex_unlock(&s->lock);
        *socket_context = c;
        if (c->tls) { /* instead of those that the daemon was started with */
            const union MHD_ConnectionInfo *session =
                MHD_get_connection_info(mc, MHD_CONNECTION_INFO_GNUTLS_SESSION);
            if (session && session->tls_session)
                (void)ext_tls_use(c->tls, session->tls_session);
        }
        return;
    }
    if (!c)
        return;
    pthread_mutex_lock(&s->lock); /* after this the watchdog can't touch the descriptor */
    if (c->prev)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    s->connections--;
    pthread_mutex_unlock(&s->lock);
    if (c->tls)
        ext_certs_unref(s->certs, c->tls); /* the library is not done with its session yet */
    free(c);
    *socket_context = NULL;
}

static void on_log(void *cls, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
static void on_log(void *cls, const char *fmt, va_list args)
{
    (void)cls;
    /* A thread that has no connection and gets no descriptor for one tries again at once, for ever
     * (the whole system may be out of them): here it waits a little in between. */
    bool spins = strstr(fmt, "at FIRST connection") != NULL;
    if (spins)
        (void)nanosleep(&(struct timespec){.tv_nsec = NO_FILES_MS * 1000000}, NULL);
    if (!LOG_V(4) || spins)
        return;
    char text[256];
    (void)vsnprintf(text, sizeof(text), fmt, args);
    text[strcspn(text, "\n")] = '\0';
    log_info(4, "http", "text=%s", text);
}

/* ---- the watchdog ---- */
static uint64_t bytes_received(int fd)
{
    struct tcp_info info = {0};
    socklen_t n = sizeof(info);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &n) != 0 ||
        n < offsetof(struct tcp_info, tcpi_bytes_received) + sizeof(info.tcpi_bytes_received))
        return 0;
    return info.tcpi_bytes_received;
}

/* An idle connection that receives bytes and comes to no request is late with its header. */
static bool drips(struct conn *c, uint64_t stamp, int64_t now, int64_t limit)
{
    uint64_t bytes = bytes_received(c->fd);
    if (stamp != c->idle_stamp) {
        c->idle_stamp = stamp;
        c->idle_bytes = bytes;
        c->drip_ms = -1;
        return false;
    }
    if (bytes == c->idle_bytes)
        return false;
    if (c->drip_ms < 0)
        c->drip_ms = now;
    return now - c->drip_ms > limit;
}

/* The peer has sent its end in the middle of a body. The library misses that where the end came
 * with the last bytes (it takes a short read for an empty socket, and the edge is not reported
 * twice). Only what lasts for a tick: a moment ago the library may have had the whole in hand. */
static bool is_truncated(struct conn *c, uint64_t stamp)
{
    char byte;
    if (recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
        return false;
    bool again = c->ended_stamp == stamp;
    c->ended_stamp = stamp;
    return again;
}

static bool late_locked(struct conn *c, int64_t now)
{
    struct ext_server *s = c->server;
    const struct ext_config *cfg = &s->app->config;
    uint64_t stamp = atomic_load_explicit(&c->stamp, memory_order_relaxed);
    int64_t since = (int64_t)(stamp >> PHASE_BITS);
    /* Who is still sending while we stop has a little time. */
    if (atomic_load(&s->quiet) && (stamp & ((1U << PHASE_BITS) - 1)) == PHASE_BODY &&
        now - s->quiet_ms > s->stop_ms / 4)
        return true;
    switch ((enum phase)(stamp & ((1U << PHASE_BITS) - 1))) {
    case PHASE_HEADER:
        return now - since > cfg->header_timeout_ms;
    case PHASE_BODY:
        return now - since > cfg->body_timeout_ms || is_truncated(c, stamp);
    case PHASE_ANSWER:
        return now - since > cfg->body_timeout_ms;
    case PHASE_IDLE:
        return drips(c, stamp, now, cfg->header_timeout_ms);
    case PHASE_WORK:
        break;
    }
    return false;
}

/* CLOCK_MONOTONIC, as the condition is set up; the app's clock may be a test's. */
static struct timespec in_ms(int64_t ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

static void cut_late_locked(struct ext_server *s)
{
    int64_t now = now_ms(s);
    for (struct conn *c = s->conns; c; c = c->next) {
        if (c->cut || !late_locked(c, now))
            continue;
        c->cut = true;
        ext_metrics_count(s->app->metrics, EXT_REJECTED_SLOW, 1);
        /* The library sees the end of the stream and closes. Under the lock, because only that
         * keeps the number from being another connection's. */
        (void)shutdown(c->fd, SHUT_RDWR);
    }
}

static void *watchdog(void *arg)
{
    struct ext_server *s = arg;
    const struct ext_config *cfg = &s->app->config;
    int64_t tick = cfg->header_timeout_ms < cfg->body_timeout_ms ? cfg->header_timeout_ms
                                                                 : cfg->body_timeout_ms;
    tick = tick / 8 < TICK_MIN_MS ? TICK_MIN_MS : tick / 8 > TICK_MAX_MS ? TICK_MAX_MS : tick / 8;
    pthread_mutex_lock(&s->lock);
    while (!s->ended) {
        if (!s->conns) {
            pthread_cond_wait(&s->changed, &s->lock);
            continue;
        }
        struct timespec until = in_ms(tick);
        pthread_cond_timedwait(&s->changed, &s->lock, &until);
        cut_late_locked(s);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- start ---- */
static enum err_code daemon_start(struct ext_server *s, const struct ext_server_config *cfg,
                                  struct err *err)
{
    const struct ext_config *c = &s->app->config;
    /* Both who call us speak 1.2 and 1.3; GnuTLS alone would take 1.0 too. */
    static char priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2";
    struct MHD_OptionItem tls_options[5];
    size_t n = 0;
    struct ext_tls *tls = s->certs ? ext_certs_ref(s->certs) : NULL; /* the library copies it */
    if (tls) {
        struct ext_pem pem = ext_tls_pem(tls);
        tls_options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, pem.cert};
        tls_options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, pem.key};
        tls_options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0, priorities};
        if (pem.ca)
            tls_options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0, pem.ca};
    }
    tls_options[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};

    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int threads = cfg->threads > 0 ? cfg->threads : cpus > 1 ? (int)cpus : 2;
    threads = threads > THREADS_MAX ? THREADS_MAX : threads;
    /* The library divides its limit between its threads, and connections are not spread evenly. */
    unsigned connections =
        (unsigned)(c->connections_max + EXT_CONNECTIONS_SLACK) * (unsigned)threads;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                     (tls ? MHD_USE_TLS : 0U);
    s->daemon = MHD_start_daemon(
        flags, 0, on_accept, s, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_log, s,
        MHD_OPTION_LISTEN_SOCKET, s->listen_fd, MHD_OPTION_URI_LOG_CALLBACK, on_target, s,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection,
        s, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)c->idle_timeout_s, MHD_OPTION_CONNECTION_LIMIT,
        connections, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_MEMORY_INCREMENT, (size_t)CONNECTION_STEP, MHD_OPTION_ARRAY,
        tls_options, threads > 1 ? MHD_OPTION_THREAD_POOL_SIZE : MHD_OPTION_END, (unsigned)threads,
        MHD_OPTION_END);
    if (tls)
        ext_certs_unref(s->certs, tls);
    if (!s->daemon)
        return err_set(err, ERR_UNAVAILABLE, "start a server on %s", s->address);
    return ERR_OK;
}

static void server_free(struct ext_server *s)
{
    if (s->watchdog_runs) {
        pthread_mutex_lock(&s->lock);
        s->ended = true;
        pthread_cond_broadcast(&s->changed);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->watchdog, NULL);
    }
    if (s->listen_fd >= 0)
        close(s->listen_fd);
    for (struct slot *sl = s->spare, *next; sl; sl = next) {
        next = sl->next;
        slot_free(sl);
    }
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

enum err_code ext_server_start(struct ext_app *app, const struct ext_server_config *cfg,
                               struct ext_server **ret, struct err *err)
{
    struct ext_server *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(err, ERR_NO_MEMORY, "server: no memory");
    s->app = app;
    s->routes = cfg->routes;
    s->surfaces = cfg->surfaces;
    s->peer_trusted = cfg->peer_trusted ? cfg->peer_trusted : peer_is_loopback;
    s->stop_ms = cfg->stop_ms > 0 ? cfg->stop_ms : STOP_MS;
    s->certs = cfg->tls ? app->certs : NULL;
    assert(!cfg->tls || s->certs);
    s->listen_fd = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->changed, &attr);
    pthread_condattr_destroy(&attr);

    enum err_code rc = ext_listen(cfg->address, &s->listen_fd, s->address, err);
    if (!rc && pthread_create(&s->watchdog, NULL, watchdog, s) != 0)
        rc = err_set(err, ERR_NO_MEMORY, "server: no thread");
    s->watchdog_runs = !rc;
    if (!rc)
        rc = daemon_start(s, cfg, err);
    if (rc) {
        server_free(s);
        return rc;
    }
    *ret = s;
    return ERR_OK;
}

const char *ext_server_address(const struct ext_server *s) { return s->address; }

/* ---- stop ---- */
void ext_server_quiesce(struct ext_server *s)
{
    pthread_mutex_lock(&s->lock);
    bool already = atomic_load(&s->quiet);
    if (!already)
        s->quiet_ms = now_ms(s);
    atomic_store(&s->quiet, true);
    pthread_mutex_unlock(&s->lock);
    if (already)
        return;
    (void)MHD_quiesce_daemon(s->daemon);
    (void)shutdown(s->listen_fd, SHUT_RDWR); /* who connects now is refused and need not wait */
}

/* Takes one request away from its worker, which ends on its own; NULL: there is none. */
static struct MHD_Connection *abandon_one(struct ext_server *s)
{
    struct MHD_Connection *mc = NULL;
    pthread_mutex_lock(&s->lock);
    for (struct slot *sl = s->working; sl && !mc; sl = sl->next) {
        int running = WORK_RUNNING;
        /* From the exchange on the slot is the worker's to free, but for the connection's count. */
        if (atomic_compare_exchange_strong(&sl->work, &running, WORK_ABANDONED)) {
            mc = sl->mc;
            unlink_locked(sl);
            break;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return mc;
}

static bool wait_quiet(struct ext_server *s, int64_t until_ms)
{
    pthread_mutex_lock(&s->lock);
    bool quiet;
    while (!(quiet = atomic_load(&s->in_flight) == 0 && s->resuming == 0) && now_ms(s) < until_ms) {
        struct timespec t = in_ms(TICK_MAX_MS / 4);
        pthread_cond_timedwait(&s->changed, &s->lock, &t);
    }
    pthread_mutex_unlock(&s->lock);
    return quiet;
}

void ext_server_stop(struct ext_server *s)
{
    if (!s)
        return;
    ext_server_quiesce(s);
    if (!wait_quiet(s, s->quiet_ms + s->stop_ms)) {
        log_warn("stop-late", "address=%s requests=%d", s->address, atomic_load(&s->in_flight));
        for (struct MHD_Connection *mc; (mc = abandon_one(s)) != NULL;)
            MHD_resume_connection(mc); /* `resumed` answers */
        (void)wait_quiet(s, now_ms(s) + 500);
    }
    MHD_stop_daemon(s->daemon);
    server_free(s);
}
