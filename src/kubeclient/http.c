/* One exchange with a real API server, over pooled connections. What matters most here is honesty
 * about writes: whether one was surely not done, surely done, or may yet be.
 *
 * Each connection is a multi handle with one easy handle: that is how a call can be stopped within
 * a fifth of a second, and how connections are kept between calls. Redirects are not followed, and
 * a request is never sent twice. */
#include "kubeclient/http.h"

#include "base/own.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

enum {
    CONNECTIONS_DEFAULT = 32,
    POLL_MS = 100, /* how soon `stop` is seen */
    CONNECT_MS = 10000,
    RECONNECT_MS =
        200, /* a write on a connection that turns out to be gone waits so long for another */
    IDLE_MAX_S =
        60, /* below the server's own, so that we rarely write to a connection that it closes */
    CA_CACHE_S = 60,
    KEEPALIVE_S = 30,
    ERROR_BODY_MAX = 1 << 16,
    RETRY_AFTER_MAX_S = 3600,
    TIMEOUT_DEFAULT_MS = 30000,
};
/* What etcd stores at most, 1.5 MiB by default, has six times the bytes when the API server escapes
   each of them (\u003c). */
#define OBJECT_DEFAULT ((size_t)16 << 20)
#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif

struct conn {
    CURLM *multi;
    CURL *easy;
    struct conn *next;
    bool open; /* as far as we know */
};

struct kube_http {
    struct kube kube;
    struct kube_creds *creds;
    struct clock clock;
    size_t object_max;
    bool loopback;        /* the server's host: proxies of the environment are not for it */
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t freed;
    struct conn *idle;
    unsigned conns, conns_max;
};

static struct kube_http *http_of(struct kube *k) { return (struct kube_http *)k; }
size_t kube_http_object_max(const struct kube_http *h) { return h->object_max; }
const struct clock *kube_http_clock(const struct kube_http *h) { return &h->clock; }

static bool stopped(const _Atomic bool *stop) { return stop && *stop; }

/* ---- connections ---- */

static void conn_free(struct conn *c)
{
    if (!c)
        return;
    curl_easy_cleanup(c->easy);
    (void)curl_multi_cleanup(c->multi);
    free(c);
}

static struct conn *conn_new(void)
{
    struct conn *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->multi = curl_multi_init();
    c->easy = curl_easy_init();
    if (!c->multi || !c->easy) {
        conn_free(c);
        return NULL;
    }
    return c;
}

static struct timespec soon(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += POLL_MS * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* One of the pool's, waiting for it until `end_ms`. */
static enum err_code pool_take(struct kube_http *h, const _Atomic bool *stop, int64_t end_ms,
                               struct conn **ret, struct err *err)
{
    enum err_code rc = ERR_OK;
    struct conn *c = NULL;
    bool make = false;
    pthread_mutex_lock(&h->lock);
    for (;;) {
        c = h->idle;
        make = !c && h->conns < h->conns_max;
        if (c) {
            h->idle = c->next;
            break;
        }
        if (make) {
            h->conns++;
            break;
        }
        if (stopped(stop)) {
            rc = err_set(err, ERR_CANCELLED, "stopped while waiting for a connection");
            break;
        }
        if (now_ms() >= end_ms) {
            rc = err_set(err, ERR_UNAVAILABLE, "all %u connections to the API server are in use",
                         h->conns_max);
            break;
        }
        struct timespec until = soon();
        (void)pthread_cond_timedwait(&h->freed, &h->lock, &until);
    }
    pthread_mutex_unlock(&h->lock);
    if (make) {
        c = conn_new();
        if (!c) {
            pthread_mutex_lock(&h->lock);
            h->conns--;
            pthread_mutex_unlock(&h->lock);
            rc = err_set(err, ERR_NO_MEMORY, "a connection: no memory");
        }
    }
    *ret = c;
    return rc;
}

static void pool_give(struct kube_http *h, struct conn *c)
{
    pthread_mutex_lock(&h->lock);
    c->next = h->idle;
    h->idle = c;
    pthread_cond_signal(&h->freed);
    pthread_mutex_unlock(&h->lock);
}

/* ---- one transfer ---- */

struct transfer {
    const struct kube_exchange *x;
    struct kube_exchanged *out;
    CURL *easy;
    struct buf body;
    bool head_done; /* the library takes a head that breaks off for a whole one */
    size_t body_sent;
    int64_t send_until_ms; /* a write is not begun later; 0: whenever */
    bool late;             /* it would have been */
    struct err *err;       /* for `piece` */
    char why[CURL_ERROR_SIZE];
};

static long status_of(CURL *easy)
{
    long status = 0;
    (void)curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
    return status;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is the library's */
static size_t on_body(char *p, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    struct str bytes = {p, size * n};
    long status = status_of(t->easy);
    if (status == 200 && t->x->piece) {
        t->out->piece_rc = t->x->piece(t->x->ctx, bytes, t->err);
        return t->out->piece_rc ? 0 : bytes.n;
    }
    size_t max = status >= 200 && status < 300 ? t->x->body_max : ERROR_BODY_MAX;
    if (bytes.n > max - t->body.n) {
        t->out->too_large = true;
        if (status >= 200 && status < 300)
            return 0;
        bytes.n = max - t->body.n; /* of a refusal the beginning is enough */
    }
    buf_add(&t->body, bytes);
    return t->body.failed ? 0 : size * n;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is the library's */
static size_t on_header(char *p, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    struct str line = {p, size * n};
    static const char NAME[] = "retry-after:";
    size_t len = sizeof(NAME) - 1;
    int64_t s;
    if (line.n == 2 && line.p[0] == '\r')
        t->head_done = true;
    else if (str_has_prefix(line, STR("HTTP/"))) /* what came before was a word in between (1xx) */
        t->head_done = false;
    if (line.n > len && strncasecmp(line.p, NAME, len) == 0 &&
        str_int(str_trim((struct str){line.p + len, line.n - len}), 0, RETRY_AFTER_MAX_S, &s))
        t->out->retry_after_ms = (int)s * 1000;
    return line.n;
}

/* The request's body by a callback that can't rewind: the library would otherwise send a request
 * again, by itself, when a kept connection ends without an answer, and what came of the first one
 * would be nobody's knowledge. */
static size_t on_read(char *to, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    struct str body = t->x->req->body;
    size_t left = body.n - t->body_sent, room = size * n;
    size_t put = left < room ? left : room;
    memcpy(to, body.p + t->body_sent, put);
    t->body_sent += put;
    return put;
}

/* Connected, and nothing is sent yet. What the server may take for a write was reckoned before. */
// NOLINTNEXTLINE(readability-non-const-parameter): libcurl's type
static int on_connected(void *ctx, char *to, char *from, int to_port, int from_port)
{
    struct transfer *t = ctx;
    (void)to, (void)from, (void)to_port, (void)from_port;
    t->late = t->send_until_ms && now_ms() > t->send_until_ms;
    return t->late ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

char *kube_query_escape(const char *text)
{
    struct buf b;
    size_t n;
    buf_init(&b, 1 << 20);
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_' || c == '.' || c == '~';
        if (plain)
            buf_char(&b, (char)c);
        else
            buf_fmt(&b, "%%%02X", c);
    }
    char *out = buf_take(&b, &n);
    buf_done(&b);
    return out;
}

static char *make_url(const struct kube_http *h, const struct kube_exchange *x)
{
    const struct kube_request *req = x->req;
    const struct kube_kind_row *row = kube_kind_row(req->kind);
    struct buf b;
    size_t n;
    buf_init(&b, 1 << 20);
    buf_fmt(&b, "%s/%s/%s", h->creds->server, strchr(row->api_version, '/') ? "apis" : "api",
            row->api_version);
    if (req->ns.n) /* names were checked: nothing in them needs escapes */
        buf_fmt(&b, "/namespaces/" STR_FMT, STR_ARG(req->ns));
    buf_fmt(&b, "/%s", row->resource);
    if (req->name.n)
        buf_fmt(&b, "/" STR_FMT, STR_ARG(req->name));
    if (req->verb == KUBE_BIND)
        buf_add(&b, STR("/binding"));
    else if (req->status)
        buf_add(&b, STR("/status"));
    if (x->query && *x->query)
        buf_fmt(&b, "?%s", x->query);
    char *url = buf_take(&b, &n);
    buf_done(&b);
    return url;
}

static const char *content_type(const struct kube_request *req)
{
    if (req->verb != KUBE_PATCH)
        return "Content-Type: application/json";
    switch (req->patch_type) {
    case KUBE_PATCH_JSON:
        return "Content-Type: application/json-patch+json";
    case KUBE_PATCH_STRATEGIC:
        return "Content-Type: application/strategic-merge-patch+json";
    default:
        return "Content-Type: application/merge-patch+json";
    }
}

static const char *method(enum kube_verb verb)
{
    switch (verb) {
    case KUBE_CREATE:
    case KUBE_BIND:
        return "POST";
    case KUBE_UPDATE:
        return "PUT";
    case KUBE_PATCH:
        return "PATCH";
    case KUBE_DELETE:
        return "DELETE";
    default:
        return NULL;
    }
}

/* "host:port" of the server's URL, brackets and all; malloc. */
static char *authority(const char *url)
{
    const char *host = strstr(url, "://") + 3;
    return str_dup_z((struct str){host, strcspn(host, "/")});
}

static bool add_header(struct curl_slist **list, const char *line)
{
    struct curl_slist *more = line ? curl_slist_append(*list, line) : NULL;
    if (more)
        *list = more;
    return more != NULL;
}

static bool make_headers(const struct kube_http *h, const struct kube_exchange *x,
                         const char *token, struct curl_slist **ret)
{
    bool good = add_header(ret, "Accept: application/json") && add_header(ret, "Expect:");
    if (x->req->body.n)
        good = good && add_header(ret, content_type(x->req));
    if (token) {
        char *line = NULL;
        good = good && asprintf(&line, "Authorization: Bearer %s", token) >= 0 &&
               add_header(ret, line);
        if (line)
            explicit_bzero(line, strlen(line));
        free(line);
    }
    if (h->creds->tls_server_name) {
        char *host CLEANUP(free_p) = authority(h->creds->server), *line = NULL;
        good = good && host && asprintf(&line, "Host: %s", host) >= 0 && add_header(ret, line);
        free(line);
    }
    return good;
}

/* The URL's host becomes the name that the certificate must have, and the connection goes where it
 * went before. */
static bool set_server_name(const struct kube_http *h, CURL *e, char **url, struct curl_slist **ret)
{
    const char *name = h->creds->tls_server_name;
    if (!name)
        return true;
    char *host CLEANUP(free_p) = authority(h->creds->server), *made = NULL, *line = NULL;
    const char *colon = host ? strrchr(host, ':') : NULL;
    const char *port = colon && !strchr(colon, ']') ? colon + 1 : "443";
    bool bare = !(colon && !strchr(colon, ']'));
    if (!host ||
        asprintf(&made, "https://%s:%s%s", name, port, strstr(*url, "://") + 3 + strlen(host)) < 0)
        return false;
    free(*url);
    *url = made;
    bool good =
        asprintf(&line, "%s:%s:%s%s%s", name, port, host, bare ? ":" : "", bare ? port : "") >= 0 &&
        add_header(ret, line);
    free(line);
    return good && curl_easy_setopt(e, CURLOPT_CONNECT_TO, *ret) == CURLE_OK;
}

static CURLcode set_pem(CURL *e, const struct kube_pem *p, CURLoption by_path, CURLoption by_data)
{
    if (p->data) {
        struct curl_blob blob = {p->data, p->data_n, CURL_BLOB_NOCOPY};
        return curl_easy_setopt(e, by_data, &blob);
    }
    return p->path ? curl_easy_setopt(e, by_path, p->path) : CURLE_OK;
}

static CURLcode set_tls(const struct kube_http *h, CURL *e)
{
    const struct kube_creds *c = h->creds;
    CURLcode rc = curl_easy_setopt(e, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (!rc && c->insecure)
        rc = curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 0L);
    if (!rc && c->insecure)
        rc = curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 0L);
    if (!rc)
        rc = set_pem(e, &c->ca, CURLOPT_CAINFO, CURLOPT_CAINFO_BLOB);
    if (!rc && (c->ca.data || c->ca.path))
        rc = curl_easy_setopt(e, CURLOPT_CAPATH, NULL); /* that one, and nobody else's */
    if (!rc)
        rc = curl_easy_setopt(e, CURLOPT_CA_CACHE_TIMEOUT, (long)CA_CACHE_S);
    if (!rc)
        rc = set_pem(e, &c->cert, CURLOPT_SSLCERT, CURLOPT_SSLCERT_BLOB);
    if (!rc)
        rc = set_pem(e, &c->key, CURLOPT_SSLKEY, CURLOPT_SSLKEY_BLOB);
    return rc;
}

static CURLcode set_route(const struct kube_http *h, CURL *e)
{
    const struct kube_creds *c = h->creds;
    CURLcode rc = CURLE_OK;
    if (c->proxy_url)
        rc = curl_easy_setopt(e, CURLOPT_PROXY, c->proxy_url);
    else if (h->loopback)
        rc = curl_easy_setopt(e, CURLOPT_PROXY, "");
    if (!rc && c->username) {
        rc = curl_easy_setopt(e, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        if (!rc)
            rc = curl_easy_setopt(e, CURLOPT_USERNAME, c->username);
        if (!rc)
            rc = curl_easy_setopt(e, CURLOPT_PASSWORD, c->password ? c->password : "");
    }
    return rc;
}

static CURLcode set_body(CURL *e, struct transfer *t)
{
    const struct kube_request *req = t->x->req;
    const char *verb = method(req->verb);
    if (!verb)
        return CURLE_OK; /* GET */
    CURLcode rc = curl_easy_setopt(e, CURLOPT_POST, 1L);
    if (!rc)
        rc = curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, verb);
    if (!rc)
        rc = curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body.n);
    if (!rc)
        rc = curl_easy_setopt(e, CURLOPT_READFUNCTION, on_read);
    return rc ? rc : curl_easy_setopt(e, CURLOPT_READDATA, t);
}

#define SET(option, value)                                                                         \
    if (!rc)                                                                                       \
    rc = curl_easy_setopt(e, option, value)

static CURLcode set_all(const struct kube_http *h, CURL *e, struct transfer *t, const char *url,
                        const struct curl_slist *headers)
{
    int timeout_ms = t->x->timeout_ms > 0 ? t->x->timeout_ms : TIMEOUT_DEFAULT_MS;
    CURLcode rc = CURLE_OK;
    SET(CURLOPT_URL, url);
    SET(CURLOPT_HTTPHEADER, headers);
    SET(CURLOPT_USERAGENT, "cardinald/" PACKAGE_VERSION);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)(timeout_ms < CONNECT_MS ? timeout_ms : CONNECT_MS));
    SET(CURLOPT_MAXAGE_CONN, (long)IDLE_MAX_S);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, (long)KEEPALIVE_S);
    SET(CURLOPT_TCP_KEEPINTVL, (long)KEEPALIVE_S / 3);
    SET(CURLOPT_BUFFERSIZE, 131072L);
    SET(CURLOPT_ERRORBUFFER, t->why);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_PREREQFUNCTION, on_connected);
    SET(CURLOPT_PREREQDATA, t);
    if (!rc)
        rc = set_tls(h, e);
    if (!rc)
        rc = set_route(h, e);
    return rc ? rc : set_body(e, t);
}

/* Runs what was set up; the library's verdict, or CURLE_ABORTED_BY_CALLBACK when it was stopped. */
static CURLcode perform(struct conn *c, const _Atomic bool *stop)
{
    int running = 1;
    if (curl_multi_add_handle(c->multi, c->easy))
        return CURLE_OUT_OF_MEMORY;
    CURLcode result = CURLE_ABORTED_BY_CALLBACK;
    while (!stopped(stop)) {
        if (curl_multi_perform(c->multi, &running)) {
            result = CURLE_RECV_ERROR;
            break;
        }
        if (!running) {
            int left;
            CURLMsg *m = curl_multi_info_read(c->multi, &left);
            result = m && m->msg == CURLMSG_DONE ? m->data.result : CURLE_RECV_ERROR;
            break;
        }
        (void)curl_multi_poll(c->multi, NULL, 0, POLL_MS, NULL);
    }
    (void)curl_multi_remove_handle(c->multi, c->easy); /* closes what is still under way */
    return result;
}

static void look_back(const struct transfer *t, CURLcode result)
{
    long bytes = 0, status = status_of(t->easy);
    struct kube_exchanged *out = t->out;
    (void)curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &bytes);
    out->status = status < 200 ? 0 : (int)status; /* 1xx: the answer was still to come */
    out->sent = bytes > 0 || status > 0;
    out->whole = result == CURLE_OK && t->head_done;
    out->cancelled = result == CURLE_ABORTED_BY_CALLBACK && !t->late;
    if (t->late)
        (void)snprintf(out->why, sizeof(out->why), "connecting took more than %d ms",
                       t->x->connect_ms);
    else if (result && !out->cancelled)
        (void)snprintf(out->why, sizeof(out->why), "%s",
                       t->why[0] ? t->why : curl_easy_strerror(result));
}

static enum err_code exchange_once(struct kube_http *h, struct conn *c,
                                   const struct kube_exchange *x, const char *token,
                                   struct kube_exchanged *ret, struct err *err)
{
    struct transfer t = {.x = x,
                         .out = ret,
                         .easy = c->easy,
                         .err = err,
                         .send_until_ms = x->connect_ms > 0 ? now_ms() + x->connect_ms : 0};
    struct curl_slist *headers = NULL, *route = NULL;
    char *url = make_url(h, x);
    buf_init(&t.body, x->body_max > ERROR_BODY_MAX ? x->body_max : ERROR_BODY_MAX);
    curl_easy_reset(c->easy);
    enum err_code rc = ERR_OK;
    if (!url || !make_headers(h, x, token, &headers) ||
        !set_server_name(h, c->easy, &url, &route)) {
        rc = err_set(err, ERR_NO_MEMORY, "a request: no memory");
    } else {
        CURLcode set = set_all(h, c->easy, &t, url, headers);
        if (set)
            rc = err_set(err, ERR_INTERNAL, "the HTTP library does not take a setting: %s",
                         curl_easy_strerror(set));
    }
    if (!rc) {
        look_back(&t, perform(c, x->stop));
        c->open = ret->whole;
        if (t.body.n > 0)
            ret->body = buf_take(&t.body, &ret->body_n);
    }
    buf_done(&t.body);
    (void)curl_easy_setopt(c->easy, CURLOPT_HTTPHEADER, NULL);
    (void)curl_easy_setopt(c->easy, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
    curl_slist_free_all(route);
    free(url);
    return rc;
}

static void wipe(char *token)
{
    if (token)
        explicit_bzero(token, strlen(token));
    free(token);
}

/* What is left until `end_ms` is the time of the exchange, and a server is told the same about a
 * write: it can't be done after the caller has given it up. What the server is told is reckoned
 * before there is a connection, so half of the time is left for one that has to be made. Go's
 * durations have milliseconds. */
static enum err_code limit(struct kube_exchange *x, bool open, int64_t end_ms, char query[32],
                           struct err *err)
{
    int64_t left_ms = end_ms - now_ms();
    if (left_ms <= 0)
        return err_set(err, ERR_UNAVAILABLE, "%s %s: its time was over before it was sent",
                       kube_verb_name(x->req->verb), kube_kind_row(x->req->kind)->resource);
    x->timeout_ms = (int)left_ms;
    if (kube_verb_writes(x->req->verb)) {
        x->connect_ms = open ? RECONNECT_MS : (int)(left_ms + 1) / 2;
        (void)snprintf(query, 32, "timeout=%dms",
                       open ? x->timeout_ms : x->timeout_ms + 1 - x->connect_ms);
        x->query = query;
    }
    return ERR_OK;
}

/* `end_ms` 0: the exchange has times of its own. */
static enum err_code exchange_on(struct kube_http *h, struct conn *c, const struct kube_exchange *x,
                                 int64_t end_ms, struct kube_exchanged *ret, struct err *err)
{
    for (int again = 0;; again++) {
        char *token = NULL, query[32];
        struct kube_exchange now = *x;
        *ret = (struct kube_exchanged){0};
        enum err_code rc = kube_creds_token(h->creds, again > 0, &token, err);
        if (rc)
            return rc == ERR_NO_MEMORY ? rc : err_prefix(err, ERR_UNAVAILABLE, "no token");
        if (end_ms)
            rc = limit(&now, c->open, end_ms, query, err);
        if (!rc)
            rc = exchange_once(h, c, &now, token, ret, err);
        wipe(token);
        /* Refused for a token that may have been replaced in the meantime: nothing was done. */
        if (rc || ret->status != 401 || again > 0 || !h->creds->token_path)
            return rc;
        free(ret->body);
    }
}

enum err_code kube_exchange(struct kube_http *h, const struct kube_exchange *x,
                            struct kube_exchanged *ret, struct err *err)
{
    struct conn *c = NULL;
    *ret = (struct kube_exchanged){0};
    if (x->own_connection) {
        c = conn_new();
        if (!c)
            return err_set(err, ERR_NO_MEMORY, "a connection: no memory");
        enum err_code rc = exchange_on(h, c, x, 0, ret, err);
        conn_free(c);
        return rc;
    }
    int timeout_ms = x->timeout_ms > 0 ? x->timeout_ms : TIMEOUT_DEFAULT_MS;
    int64_t end_ms = now_ms() + timeout_ms;
    enum err_code rc = pool_take(h, x->stop, end_ms, &c, err);
    if (rc)
        return rc;
    assert(c);
    rc = exchange_on(h, c, x, end_ms, ret, err);
    pool_give(h, c);
    return rc;
}

enum err_code kube_exchange_err(const struct kube_exchange *x, const struct kube_exchanged *r,
                                struct err *err)
{
    const struct kube_request *req = x->req;
    const char *verb = kube_verb_name(req->verb), *what = kube_kind_row(req->kind)->resource;
    bool writes = kube_verb_writes(req->verb);
    if (r->piece_rc)
        return r->piece_rc;
    if (r->cancelled && !(writes && r->sent))
        return err_set(err, ERR_CANCELLED, "%s %s: stopped", verb, what);
    if (r->too_large && r->status >= 200 && r->status < 300)
        return err_set(err, writes ? ERR_UNKNOWN : ERR_TOO_LARGE,
                       "%s %s: the answer is larger than %zu bytes", verb, what, x->body_max);
    if (r->status == 0)
        return kube_no_answer(req, r->sent, r->cancelled ? "stopped" : r->why, err);
    return kube_status_err(req, r->status, (struct str){r->body, r->body_n}, r->whole, err);
}

/* ---- single calls ---- */

static enum err_code http_call(struct kube *k, const struct kube_request *req,
                               struct kube_response *ret, struct err *err)
{
    struct kube_http *h = http_of(k);
    struct kube_request sent = *req;
    if (req->verb == KUBE_DELETE && req->body.n == 0)
        sent.body = STR("{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\"}"); /* see on_read */
    struct kube_exchange x = {
        .req = &sent, .stop = req->stop, .timeout_ms = req->timeout_ms, .body_max = h->object_max};
    struct kube_exchanged r;
    enum err_code rc = kube_exchange(h, &x, &r, err);
    if (rc)
        return rc;
    ret->body = r.body;
    ret->body_n = r.body_n;
    ret->http_status = r.status;
    ret->sent = r.sent;
    if (r.status == 429 || r.status == 503)
        ret->retry_after_ms = r.retry_after_ms;
    return kube_exchange_err(&x, &r, err);
}

/* ---- beginning and end ---- */

static const char *http_describe(const struct kube *k)
{
    return ((const struct kube_http *)k)->creds->server;
}

static void http_free(struct kube *k)
{
    struct kube_http *h = http_of(k);
    while (h->idle) {
        struct conn *next = h->idle->next;
        conn_free(h->idle);
        h->idle = next;
    }
    (void)pthread_cond_destroy(&h->freed);
    (void)pthread_mutex_destroy(&h->lock);
    kube_creds_free(h->creds);
    free(h);
    curl_global_cleanup();
}

static bool is_loopback(const char *server)
{
    const char *host = strstr(server, "://") + 3;
    return strncmp(host, "127.", 4) == 0 || strncmp(host, "[::1]", 5) == 0 ||
           (strncmp(host, "localhost", 9) == 0 && strchr(":/", host[9]));
}

/* A setting that this build of the library lacks is told now, not at the first call. */
static enum err_code try_settings(struct kube_http *h, struct err *err)
{
    struct conn *c = conn_new();
    if (!c)
        return err_set(err, ERR_NO_MEMORY, "a connection: no memory");
    CURLcode rc = set_tls(h, c->easy);
    if (!rc)
        rc = set_route(h, c->easy);
    conn_free(c);
    return rc ? err_set(err, ERR_BAD_REQUEST,
                        "this build of the HTTP library does not take the credentials as they are "
                        "(%s): give certificates as files",
                        curl_easy_strerror(rc))
              : ERR_OK;
}

enum err_code kube_http_new(const struct kube_http_config *cfg, const struct clock *clock,
                            struct kube **ret, struct err *err)
{
    static const struct kube_backend BACKEND = {http_call, kube_http_list, kube_http_watch,
                                                http_describe, http_free};
    static const char IN_CLUSTER[] = "/var/run/secrets/kubernetes.io/serviceaccount";
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return err_set(err, ERR_INTERNAL, "the HTTP library does not start");
    struct kube_http *h = calloc(1, sizeof(*h));
    if (!h) {
        curl_global_cleanup();
        return err_set(err, ERR_NO_MEMORY, "the API client: no memory");
    }
    h->kube.backend = &BACKEND;
    h->clock = *clock;
    h->object_max = cfg->object_max ? cfg->object_max : OBJECT_DEFAULT;
    h->conns_max = cfg->connections_max ? cfg->connections_max : CONNECTIONS_DEFAULT;
    (void)pthread_mutex_init(&h->lock, NULL);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&h->freed, &attr);
    (void)pthread_condattr_destroy(&attr);
    /* nobody changes the environment */
    const char *host = getenv("KUBERNETES_SERVICE_HOST"); /* NOLINT(concurrency-mt-unsafe) */
    const char *port = getenv("KUBERNETES_SERVICE_PORT"); /* NOLINT(concurrency-mt-unsafe) */
    enum err_code rc = cfg->kubeconfig
                           ? kube_creds_load(cfg->kubeconfig, cfg->context, &h->creds, err)
                           : kube_creds_in_cluster(host, port, IN_CLUSTER, &h->creds, err);
    if (!rc) {
        h->loopback = is_loopback(h->creds->server);
        rc = try_settings(h, err);
    }
    if (rc) {
        http_free(&h->kube);
        return rc;
    }
    *ret = &h->kube;
    return ERR_OK;
}
