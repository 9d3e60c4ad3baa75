/* Lists and watches over HTTP: split into objects as the bytes arrive, so that memory is one
 * object's, not the cluster's. Source: contract/kubernetes.md 2.2. */
#include "kubeclient/http.h"

#include "base/hash.h"
#include "base/own.h"
#include "base/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    PAGE_DEFAULT = 500,
    PAGES_MAX = 100000,
    PAGE_TIMEOUT_MS = 120000,
    WATCH_MIN_S = 300,      /* and up to twice that, at random: not all clients at once */
    WATCH_GRACE_MS = 30000, /* the server ends it by itself before we do */
    DEPTH_MAX = 64,
    ARENA_MAX = 1 << 20,
};

DEFINE_CLEANUP(struct scan_stream *, scan_stream_free)
DEFINE_CLEANUP(struct arena *, arena_free)

static const char TOO_LARGE[] = "the object is too large";

static struct kube_http *http_of(struct kube *k) { return (struct kube_http *)k; }

/* ---- the bytes of a stream ---- */

struct stream {
    struct scan_stream *scan;
    enum err_code handler_rc; /* what the caller's handler ended it with: handed through as it is */
    bool ended;               /* the API server said in the stream that it is over, with a fault */
    struct err *err;
};

static enum err_code on_piece(void *ctx, struct str bytes, struct err *err)
{
    struct stream *s = ctx;
    return scan_stream_feed(s->scan, bytes, err);
}

static void tell_retry(const struct kube_exchanged *r, int *ret_ms)
{
    if (ret_ms && (r->status == 429 || r->status == 503))
        *ret_ms = r->retry_after_ms;
}

/* What became of a stream: of faults in what was sent, which nobody but the server or the way can
 * be guilty of, it is a read that failed. */
static enum err_code stream_end(struct stream *s, const struct kube_exchange *x,
                                struct kube_exchanged *r, struct err *err)
{
    const char *verb = kube_verb_name(x->req->verb), *what = kube_kind_row(x->req->kind)->resource;
    if (s->handler_rc || s->ended)
        return s->handler_rc ? s->handler_rc : r->piece_rc;
    if (r->piece_rc == ERR_NO_MEMORY || r->piece_rc == ERR_TOO_LARGE)
        return err_prefix(err, r->piece_rc, "%s %s", verb, what);
    if (r->piece_rc)
        return err_prefix(err, ERR_UNAVAILABLE, "%s %s: the answer can't be read", verb, what);
    enum err_code rc = kube_exchange_err(x, r, err);
    if (!rc && r->status != 200)
        rc = err_set(err, ERR_UNAVAILABLE, "%s %s: the API server answered %d", verb, what,
                     r->status);
    if (!rc && scan_stream_finish(s->scan, err))
        rc = err_prefix(err, ERR_UNAVAILABLE, "%s %s: the answer was cut", verb, what);
    return rc;
}

/* "name=value" of a query, escaped, '&' before it unless it is the first. */
static void add_term(struct buf *b, const char *name, const char *value)
{
    char *escaped CLEANUP(free_p) = kube_query_escape(value);
    if (!escaped) {
        b->failed = true;
        return;
    }
    buf_fmt(b, "%s%s=", b->n ? "&" : "", name);
    buf_add(b, str_z(escaped)); /* a page token may be long */
}

/* ---- list ---- */

struct listing {
    struct stream stream;
    const struct kube_list_handler *handler;
    char rv[KUBE_RV_MAX];
    char *next; /* the token of the next page; NULL: this was the last */
    bool rest_seen;
};

static enum err_code on_item(void *ctx, struct str value, struct err *err)
{
    struct listing *l = ctx;
    l->stream.handler_rc = l->handler->item(l->handler->ctx, value, err);
    return l->stream.handler_rc;
}

static enum err_code on_large_item(void *ctx, struct str head, struct err *err)
{
    struct listing *l = ctx;
    (void)err;
    l->handler->unread(l->handler->ctx, head, TOO_LARGE);
    return ERR_OK;
}

static bool read_list_meta(struct scan *s, struct str *rv, struct str *next)
{
    struct str key;
    if (scan_null(s) || !scan_object(s))
        return !s->fault;
    while (scan_key(s, &key))
        if (str_eq(key, STR("resourceVersion")))
            (void)scan_string(s, rv);
        else if (str_eq(key, STR("continue")))
            (void)scan_string(s, next);
        else
            (void)scan_skip(s);
    return !s->fault;
}

static enum err_code on_rest(void *ctx, struct str value, struct err *err)
{
    struct listing *l = ctx;
    struct arena *arena CLEANUP(arena_free_p) = arena_new(ARENA_MAX);
    if (!arena)
        return err_set(err, ERR_NO_MEMORY, "no memory");
    struct scan s = scan_start(value, DEPTH_MAX, arena);
    struct str key, rv = {0}, next = {0};
    (void)scan_object(&s);
    while (scan_key(&s, &key))
        if (str_eq(key, STR("metadata")))
            (void)read_list_meta(&s, &rv, &next);
        else
            (void)scan_skip(&s);
    if (!scan_end(&s))
        return scan_err(&s, "the list", err);
    if (rv.n == 0 || rv.n >= KUBE_RV_MAX)
        return err_set(err, ERR_BAD_REQUEST, "a list without resourceVersion");
    memcpy(l->rv, rv.p, rv.n);
    l->rv[rv.n] = '\0';
    l->rest_seen = true;
    if (next.n > 0) {
        l->next = str_dup_z(next);
        if (!l->next)
            return err_set(err, ERR_NO_MEMORY, "no memory");
    }
    return ERR_OK;
}

static enum err_code list_page(struct kube_http *h, const struct kube_request *req,
                               const char *query, struct listing *l, struct err *err)
{
    struct scan_stream_handler handler = {.item = on_item,
                                          .rest = on_rest,
                                          .large = l->handler->unread ? on_large_item : NULL,
                                          .ctx = l};
    struct scan_stream *scan CLEANUP(scan_stream_free_p) =
        scan_stream_new(SCAN_STREAM_LIST, kube_http_object_max(h), &handler);
    if (!scan)
        return err_set(err, ERR_NO_MEMORY, "list: no memory");
    l->stream = (struct stream){.scan = scan, .err = err};
    l->rest_seen = false;
    struct kube_exchange x = {.req = req,
                              .query = query,
                              .stop = req->stop,
                              .timeout_ms = req->timeout_ms > 0 ? req->timeout_ms : PAGE_TIMEOUT_MS,
                              .piece = on_piece,
                              .ctx = &l->stream};
    struct kube_exchanged r;
    enum err_code rc = kube_exchange(h, &x, &r, err);
    if (rc)
        return rc;
    tell_retry(&r, l->handler->retry_after_ms);
    rc = stream_end(&l->stream, &x, &r, err);
    free(r.body);
    if (!rc && !l->rest_seen)
        rc = err_set(err, ERR_UNAVAILABLE, "list %s: the answer is no list",
                     kube_kind_row(req->kind)->resource);
    return rc;
}

static char *list_query(const struct kube_list_options *opt, const char *next)
{
    struct buf b;
    size_t n;
    buf_init(&b, 1 << 20);
    buf_fmt(&b, "limit=%d", opt->page > 0 ? opt->page : PAGE_DEFAULT);
    if (opt->field_selector && *opt->field_selector)
        add_term(&b, "fieldSelector", opt->field_selector);
    if (next) {
        add_term(&b, "continue", next);
    } else if (opt->resource_version && *opt->resource_version) {
        add_term(&b, "resourceVersion", opt->resource_version);
        add_term(&b, "resourceVersionMatch", "NotOlderThan");
    }
    char *query = buf_take(&b, &n);
    buf_done(&b);
    return query;
}

enum err_code kube_http_list(struct kube *k, enum kube_kind kind,
                             const struct kube_list_options *opt, const _Atomic bool *stop,
                             const struct kube_list_handler *handler, char ret_rv[KUBE_RV_MAX],
                             struct err *err)
{
    struct kube_request req = {.verb = KUBE_LIST,
                               .kind = kind,
                               .ns = str_z(opt->ns),
                               .stop = stop,
                               .timeout_ms = opt->timeout_ms};
    struct listing l = {.handler = handler};
    for (int page = 0; page < PAGES_MAX; page++) {
        char *query CLEANUP(free_p) = list_query(opt, l.next);
        free(l.next);
        l.next = NULL;
        if (!query)
            return err_set(err, ERR_NO_MEMORY, "list: no memory");
        enum err_code rc = list_page(http_of(k), &req, query, &l, err);
        if (rc) {
            free(l.next);
            return rc;
        }
        if (!l.next) {
            memcpy(ret_rv, l.rv, sizeof(l.rv));
            return ERR_OK;
        }
    }
    free(l.next);
    return err_set(err, ERR_UNAVAILABLE, "list %s: it has no end", kube_kind_row(kind)->resource);
}

/* ---- watch ---- */

struct watching {
    struct stream stream;
    enum kube_kind kind;
    const struct kube_watch_handler *handler;
    struct arena *arena;
};

struct line {
    struct str type, object;
};
struct object_meta {
    struct str rv;
    bool initial_end;
};

static bool read_line(struct str text, struct arena *arena, struct line *ret)
{
    struct scan s = scan_start(text, DEPTH_MAX, arena);
    struct str key;
    *ret = (struct line){0};
    (void)scan_object(&s);
    while (scan_key(&s, &key))
        if (str_eq(key, STR("type")))
            (void)scan_string(&s, &ret->type);
        else if (str_eq(key, STR("object")))
            (void)scan_raw(&s, &ret->object);
        else
            (void)scan_skip(&s);
    return scan_end(&s) && ret->object.n > 0;
}

/* The beginning of a line that can't be read as a whole, as far as that of its object. */
static bool read_head(struct str text, struct arena *arena, struct line *ret)
{
    struct scan s = scan_start(text, DEPTH_MAX, arena);
    struct str key;
    *ret = (struct line){0};
    (void)scan_object(&s);
    while (scan_key(&s, &key)) {
        if (str_eq(key, STR("type"))) {
            (void)scan_string(&s, &ret->type);
        } else if (!str_eq(key, STR("object"))) {
            (void)scan_skip(&s);
        } else if (scan_peek(&s) == SCAN_OBJECT) {
            ret->object = (struct str){s.p, (size_t)(s.end - s.p)};
            return true;
        }
    }
    return false;
}

static void read_annotations(struct scan *s, struct object_meta *ret)
{
    struct str key, value;
    if (scan_null(s) || !scan_object(s))
        return;
    while (scan_key(s, &key))
        if (str_eq(key, STR("k8s.io/initial-events-end")) && scan_peek(s) == SCAN_STRING)
            ret->initial_end = scan_string(s, &value) && str_eq(value, STR("true"));
        else
            (void)scan_skip(s);
}

/* Only as far as the metadata: the rest is read by whoever wants it. */
static bool read_meta(struct str object, struct arena *arena, struct object_meta *ret)
{
    struct scan s = scan_start(object, DEPTH_MAX, arena);
    struct str key;
    *ret = (struct object_meta){0};
    (void)scan_object(&s);
    while (scan_key(&s, &key)) {
        if (!str_eq(key, STR("metadata"))) {
            (void)scan_skip(&s);
            continue;
        }
        (void)scan_object(&s);
        while (scan_key(&s, &key))
            if (str_eq(key, STR("resourceVersion")))
                (void)scan_string(&s, &ret->rv);
            else if (str_eq(key, STR("annotations")))
                read_annotations(&s, ret);
            else
                (void)scan_skip(&s);
        return !s.fault && ret->rv.n > 0;
    }
    return false;
}

/* An ERROR event: its object is a Status. */
static enum err_code on_error(struct watching *w, struct str object, struct err *err)
{
    struct scan s = scan_start(object, DEPTH_MAX, w->arena);
    struct str key;
    int64_t code = 0;
    (void)scan_object(&s);
    while (scan_key(&s, &key))
        if (str_eq(key, STR("code")))
            (void)scan_int(&s, &code);
        else
            (void)scan_skip(&s);
    struct kube_request req = {.verb = KUBE_WATCH, .kind = w->kind};
    int status = code >= 400 && code < 600 ? (int)code : 500;
    w->stream.ended = true;
    return kube_status_err(&req, status, object, true, err);
}

static bool event_type(struct str type, enum kube_event_type *ret)
{
    static const struct {
        struct str text;
        enum kube_event_type type;
    } TYPES[] = {{STR_INIT("ADDED"), KUBE_ADDED},
                 {STR_INIT("MODIFIED"), KUBE_MODIFIED},
                 {STR_INIT("DELETED"), KUBE_DELETED},
                 {STR_INIT("BOOKMARK"), KUBE_BOOKMARK}};
    for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++)
        if (str_eq(type, TYPES[i].text)) {
            *ret = TYPES[i].type;
            return true;
        }
    return false;
}

/* An event that can't be taken but says what it is about: the others behind it go on. */
static enum err_code on_unread(struct watching *w, struct str head, const char *why,
                               struct err *err)
{
    struct line line;
    enum kube_event_type type;
    arena_reset(w->arena);
    if (!w->handler->unread || !read_head(head, w->arena, &line) || !event_type(line.type, &type) ||
        type == KUBE_BOOKMARK)
        return err_set(err, ERR_BAD_REQUEST, "an event that can't be read");
    w->handler->unread(w->handler->ctx, type, line.object, why);
    return ERR_OK;
}

static enum err_code on_large_line(void *ctx, struct str head, struct err *err)
{
    return on_unread(ctx, head, TOO_LARGE, err);
}

static enum err_code on_line(void *ctx, struct str value, struct err *err)
{
    struct watching *w = ctx;
    struct line line;
    struct object_meta meta;
    enum kube_event_type type;
    arena_reset(w->arena);
    if (!read_line(value, w->arena, &line))
        return arena_failed(w->arena)
                   ? err_set(err, ERR_NO_MEMORY, "no memory")
                   : on_unread(w, value, "the object is too deep, or no JSON", err);
    if (str_eq(line.type, STR("ERROR")))
        return on_error(w, line.object, err);
    if (!event_type(line.type, &type))
        return err_set(err, ERR_BAD_REQUEST, "an event of type " STR_FMT, STR_ARG(line.type));
    if (!read_meta(line.object, w->arena, &meta))
        return err_set(err, ERR_BAD_REQUEST, "an event without resourceVersion");
    if (type == KUBE_BOOKMARK && meta.initial_end)
        type = KUBE_INITIAL_END;
    w->stream.handler_rc = w->handler->event(w->handler->ctx, type, line.object, meta.rv, err);
    return w->stream.handler_rc;
}

static char *watch_query(const struct kube_watch_options *opt, int timeout_s)
{
    struct buf b;
    size_t n;
    buf_init(&b, 1 << 20);
    buf_fmt(&b, "watch=1&allowWatchBookmarks=true&timeoutSeconds=%d", timeout_s);
    if (opt->resource_version && *opt->resource_version)
        add_term(&b, "resourceVersion", opt->resource_version);
    if (opt->initial)
        buf_add(&b, STR("&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"));
    if (opt->field_selector && *opt->field_selector)
        add_term(&b, "fieldSelector", opt->field_selector);
    char *query = buf_take(&b, &n);
    buf_done(&b);
    return query;
}

static int random_timeout_s(const struct clock *clock)
{
    uint64_t now = (uint64_t)clock_mono_ns(clock);
    return WATCH_MIN_S + (int)(hash_str(now, STR("watch")) % WATCH_MIN_S);
}

enum err_code kube_http_watch(struct kube *k, enum kube_kind kind,
                              const struct kube_watch_options *opt, const _Atomic bool *stop,
                              const struct kube_watch_handler *handler, struct err *err)
{
    struct kube_http *h = http_of(k);
    struct kube_request req = {
        .verb = KUBE_WATCH, .kind = kind, .ns = str_z(opt->ns), .stop = stop};
    struct watching w = {.kind = kind, .handler = handler};
    struct scan_stream_handler lines = {
        .item = on_line, .large = handler->unread ? on_large_line : NULL, .ctx = &w};
    int timeout_s = opt->timeout_s > 0 ? opt->timeout_s : random_timeout_s(kube_http_clock(h));
    char *query CLEANUP(free_p) = watch_query(opt, timeout_s);
    struct arena *arena CLEANUP(arena_free_p) = arena_new(ARENA_MAX);
    struct scan_stream *scan CLEANUP(scan_stream_free_p) =
        scan_stream_new(SCAN_STREAM_LINES, kube_http_object_max(h), &lines);
    if (!query || !arena || !scan)
        return err_set(err, ERR_NO_MEMORY, "watch: no memory");
    w.arena = arena;
    w.stream = (struct stream){.scan = scan, .err = err};
    struct kube_exchange x = {.req = &req,
                              .query = query,
                              .stop = stop,
                              .timeout_ms = timeout_s * 1000 + WATCH_GRACE_MS,
                              .own_connection = true,
                              .piece = on_piece,
                              .ctx = &w.stream};
    struct kube_exchanged r;
    enum err_code rc = kube_exchange(h, &x, &r, err);
    if (rc)
        return rc;
    tell_retry(&r, handler->retry_after_ms);
    rc = stream_end(&w.stream, &x, &r, err);
    free(r.body);
    return rc;
}
