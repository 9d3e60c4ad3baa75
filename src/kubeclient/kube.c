/* The verbs, whoever serves them; and what an answer means, which must be the same for both back
 * ends. */
#include "kubeclient/priv.h"

#include <stdlib.h>
#include <string.h>

static const struct kube_kind_row KINDS[KUBE_KIND_COUNT_] = {
    [KUBE_NODE] = {"Node", "v1", "nodes", .has_status = true, .loaded = true},
    [KUBE_POD] = {"Pod", "v1", "pods", .namespaced = true, .has_status = true, .loaded = true},
    [KUBE_QUOTA] = {"ResourceQuota", "v1", "resourcequotas", .namespaced = true, .has_status = true,
                    .loaded = true},
    [KUBE_LEASE] = {"Lease", "coordination.k8s.io/v1", "leases", .namespaced = true,
                    .loaded = true},
    [KUBE_EVENT] = {"Event", "v1", "events", .namespaced = true},
};

static const char *const VERBS[KUBE_VERB_COUNT_] = {
    [KUBE_GET] = "get",       [KUBE_LIST] = "list",     [KUBE_WATCH] = "watch",
    [KUBE_CREATE] = "create", [KUBE_UPDATE] = "update", [KUBE_PATCH] = "patch",
    [KUBE_DELETE] = "delete", [KUBE_BIND] = "bind",
};

const struct kube_kind_row *kube_kind_row(enum kube_kind kind) { return &KINDS[kind]; }

bool kube_kind_find(const char *api_version, const char *kind, enum kube_kind *ret)
{
    for (int i = 0; i < KUBE_KIND_COUNT_; i++)
        if (strcmp(KINDS[i].kind, kind) == 0 && strcmp(KINDS[i].api_version, api_version) == 0) {
            *ret = (enum kube_kind)i;
            return true;
        }
    return false;
}

const char *kube_verb_name(enum kube_verb verb) { return VERBS[verb]; }

bool kube_verb_writes(enum kube_verb verb)
{
    return verb != KUBE_GET && verb != KUBE_LIST && verb != KUBE_WATCH;
}

void kube_free(struct kube *k)
{
    if (k)
        k->backend->free(k);
}

void kube_response_done(struct kube_response *r)
{
    free(r->body);
    *r = (struct kube_response){0};
}

const char *kube_describe(const struct kube *k) { return k->backend->describe(k); }

/* ---- what a caller may ask ---- */

/* Names become parts of URLs and keys; the API server's own rule for them has no '/', no '%', no
 * upper case. */
static bool name_fits(struct str s, size_t max)
{
    if (s.n == 0 || s.n > max)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        bool inner = i > 0 && i + 1 < s.n;
        if (!alnum && !(inner && (c == '-' || c == '.')))
            return false;
    }
    return true;
}

static enum err_code check_request(const struct kube_request *req, struct err *err)
{
    if ((unsigned)req->verb >= KUBE_VERB_COUNT_ || (unsigned)req->kind >= KUBE_KIND_COUNT_)
        return err_set(err, ERR_BAD_REQUEST, "no such verb or kind");
    const struct kube_kind_row *row = kube_kind_row(req->kind);
    if (req->verb == KUBE_LIST || req->verb == KUBE_WATCH)
        return err_set(err, ERR_BAD_REQUEST, "%s is not a single call", kube_verb_name(req->verb));
    if (req->verb == KUBE_BIND && req->kind != KUBE_POD)
        return err_set(err, ERR_BAD_REQUEST, "only pods are bound");
    if (req->status && (!row->has_status || (req->verb != KUBE_PATCH && req->verb != KUBE_UPDATE)))
        return err_set(err, ERR_BAD_REQUEST, "%s of %s has no status part",
                       kube_verb_name(req->verb), row->resource);
    if (row->namespaced ? !name_fits(req->ns, 63) : req->ns.n != 0)
        return err_set(err, ERR_BAD_REQUEST, "%s: namespace \"" STR_FMT "\" can't be",
                       row->resource, STR_ARG(req->ns));
    if (req->verb == KUBE_CREATE ? req->name.n != 0 : !name_fits(req->name, 253))
        return err_set(err, ERR_BAD_REQUEST, "%s: name \"" STR_FMT "\" can't be", row->resource,
                       STR_ARG(req->name));
    return ERR_OK;
}

static bool stopped(const _Atomic bool *stop) { return stop && *stop; }

enum err_code kube_call(struct kube *k, const struct kube_request *req, struct kube_response *ret,
                        struct err *err)
{
    *ret = (struct kube_response){0};
    enum err_code rc = check_request(req, err);
    if (rc)
        return rc;
    if (stopped(req->stop))
        return err_set(err, ERR_CANCELLED, "stopped before the call");
    return k->backend->call(k, req, ret, err);
}

enum err_code kube_list(struct kube *k, enum kube_kind kind, const struct kube_list_options *opt,
                        const _Atomic bool *stop, const struct kube_list_handler *handler,
                        char ret_rv[KUBE_RV_MAX], struct err *err)
{
    static const struct kube_list_options PLAIN;
    if (stopped(stop))
        return err_set(err, ERR_CANCELLED, "stopped before the list");
    return k->backend->list(k, kind, opt ? opt : &PLAIN, stop, handler, ret_rv, err);
}

enum err_code kube_watch(struct kube *k, enum kube_kind kind, const struct kube_watch_options *opt,
                         const _Atomic bool *stop, const struct kube_watch_handler *handler,
                         struct err *err)
{
    static const struct kube_watch_options PLAIN;
    if (stopped(stop))
        return err_set(err, ERR_CANCELLED, "stopped before the watch");
    return k->backend->watch(k, kind, opt ? opt : &PLAIN, stop, handler, err);
}

/* ---- what an answer means ---- */

static enum err_code status_code(const struct kube_request *req, int status, bool whole)
{
    bool writes = kube_verb_writes(req->verb);
    if (status >= 200 && status < 300)
        return whole ? ERR_OK : writes ? ERR_UNKNOWN : ERR_UNAVAILABLE;
    switch (status) {
    case 401:
    case 403:
        return ERR_FORBIDDEN;
    case 404:
        return ERR_NOT_FOUND;
    case 408:
        return writes ? ERR_UNKNOWN : ERR_UNAVAILABLE;
    case 409:
        return ERR_CONFLICT;
    case 410:
        return ERR_GONE;
    case 413:
        return ERR_TOO_LARGE;
    case 422:
        return ERR_INVALID;
    case 429:
        return ERR_BUSY;
    default:
        break;
    }
    if (status >= 400 && status < 500)
        return ERR_BAD_REQUEST;
    if (status >= 500)
        return writes ? ERR_UNKNOWN : ERR_UNAVAILABLE;
    return ERR_UNAVAILABLE; /* a redirect, which is not followed: nobody did anything */
}

enum err_code kube_status_err(const struct kube_request *req, int status, struct str text,
                              bool whole, struct err *err)
{
    enum err_code rc = status_code(req, status, whole);
    if (rc == ERR_OK)
        return ERR_OK;
    json_auto_t *body = json_loadb(text.p ? text.p : "", text.n, 0, NULL);
    const char *message = json_string_value(json_object_get(body, "message"));
    const char *cut = whole ? "" : " (the answer was cut)";
    if (message)
        return err_set(err, rc, "%d %s%s", status, message, cut);
    struct str shown = str_trim((struct str){text.p, text.n < 200 ? text.n : 200});
    return err_set(err, rc, "%s %s: the API server answered %d%s%s" STR_FMT,
                   kube_verb_name(req->verb), kube_kind_row(req->kind)->resource, status, cut,
                   shown.n ? ": " : "", STR_ARG(shown));
}

enum err_code kube_no_answer(const struct kube_request *req, bool sent, const char *why,
                             struct err *err)
{
    bool unknown = sent && kube_verb_writes(req->verb);
    return err_set(err, unknown ? ERR_UNKNOWN : ERR_UNAVAILABLE, "%s %s%s" STR_FMT ": %s",
                   kube_verb_name(req->verb), kube_kind_row(req->kind)->resource,
                   req->name.n ? " " : "", STR_ARG(req->name), why);
}

/* ---- waiting before the next try ---- */

int64_t kube_pause_ms(int64_t own_ms, int retry_after_ms)
{
    const int told_ms =
        retry_after_ms < KUBE_RETRY_AFTER_MAX_MS ? retry_after_ms : KUBE_RETRY_AFTER_MAX_MS;
    return told_ms > own_ms ? told_ms : own_ms;
}

int64_t kube_backoff_next_ms(struct kube_backoff *b, uint64_t random)
{
    int64_t base = b->next_ms < KUBE_BACKOFF_MIN_MS ? KUBE_BACKOFF_MIN_MS : b->next_ms;
    b->next_ms = base >= KUBE_BACKOFF_MAX_MS / 2 ? KUBE_BACKOFF_MAX_MS : base * 2;
    int64_t wait = base + (int64_t)(random % (uint64_t)base);
    return wait < KUBE_BACKOFF_MAX_MS ? wait : KUBE_BACKOFF_MAX_MS;
}
