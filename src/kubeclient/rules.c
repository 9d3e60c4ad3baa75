/* What kube-apiserver does to one object when it is created, updated, patched, bound or deleted:
 * which parts a request may change, what is refused and with which number. Pure: old object +
 * request → new object or refusal. Source: contract/kubernetes.md 2.4, with what was tried
 * on 1.36.3. */
#include "kubeclient/priv.h"

#include "base/own.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LABEL_MAX = 63,
    NAME_MAX_ = 253,
    NAMESPACE_MAX = 63,
    GRACE_DEFAULT_S = 30,
};
#define ANNOTATIONS_MAX ((size_t)256 << 10)

/* ---- refusals ---- */

static const char *reason_of(int status)
{
    switch (status) {
    case 400:
        return "BadRequest";
    case 403:
        return "Forbidden";
    case 404:
        return "NotFound";
    case 409:
        return "Conflict";
    case 410:
        return "Expired";
    case 413:
        return "RequestEntityTooLarge";
    case 422:
        return "Invalid";
    case 429:
        return "TooManyRequests";
    case 503:
        return "ServiceUnavailable";
    case 504:
        return "Timeout";
    default:
        return "InternalError";
    }
}

bool kube_refuse(struct kube_refusal *r, int status, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    r->status = status;
    r->reason = reason_of(status);
    (void)vsnprintf(r->message, sizeof(r->message), fmt, args);
    va_end(args);
    return false;
}

static bool no_memory(struct kube_refusal *r) { return kube_refuse(r, 0, "no memory"); }

char *kube_status_text(int code, const char *reason, const char *message)
{
    bool good = code < 400;
    struct buf b;
    buf_init(&b, 8192);
    buf_add(&b, STR("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":"));
    buf_add(&b, good ? STR("\"Success\"") : STR("\"Failure\""));
    if (message && *message) {
        buf_add(&b, STR(",\"message\":"));
        buf_json(&b, str_z(message));
    }
    if (reason && *reason) {
        buf_add(&b, STR(",\"reason\":"));
        buf_json(&b, str_z(reason));
    }
    buf_fmt(&b, ",\"code\":%d}", code);
    size_t n;
    char *text = buf_take(&b, &n);
    buf_done(&b);
    return text;
}

/* ---- small readers ---- */

static json_t *meta(const json_t *object) { return json_object_get(object, "metadata"); }

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static bool is_set(const json_t *object, const char *key) { return *text_of(object, key) != '\0'; }

/* Whether `value` (taken) now stands under `key`. */
static bool set_new(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

/* `from`'s member `key` in `to`, or no such member there either. */
static bool copy_member(json_t *to, const json_t *from, const char *key)
{
    json_t *value = json_object_get(from, key);
    if (!value) {
        (void)json_object_del(to, key);
        return true;
    }
    return json_object_set(to, key, value) == 0;
}

/* A shallow copy; NULL: no memory. The library's own may then be one that lacks members. */
static json_t *copy_object(const json_t *object)
{
    json_t *copy = json_copy((json_t *)object);
    if (copy && json_object_size(copy) != json_object_size(object)) {
        json_decref(copy);
        copy = NULL;
    }
    return copy;
}

static void drop_empty(json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    if (json_is_null(value) || (json_is_object(value) && json_object_size(value) == 0) ||
        (json_is_array(value) && json_array_size(value) == 0))
        (void)json_object_del(object, key);
}

/* The server's encoder leaves empty maps and lists of the metadata out. */
static void normalise(json_t *object)
{
    drop_empty(meta(object), "labels");
    drop_empty(meta(object), "annotations");
    drop_empty(meta(object), "finalizers");
}

static bool set_time(json_t *object, const char *key, int64_t wall_ns)
{
    char text[CLOCK_TEXT_MAX];
    (void)clock_rfc3339(wall_ns, false, text);
    return set_new(object, key, json_string(text));
}

/* ---- validation ---- */

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* [A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])? */
static bool is_label_text(const char *s, size_t n)
{
    if (n == 0 || n > LABEL_MAX || !is_alnum(s[0]) || !is_alnum(s[n - 1]))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!is_alnum(s[i]) && s[i] != '-' && s[i] != '_' && s[i] != '.')
            return false;
    return true;
}

/* DNS-1123: labels of [a-z0-9]([-a-z0-9]*[a-z0-9])? with dots between. */
static bool is_subdomain(const char *s, size_t n, size_t max, bool dots)
{
    if (n == 0 || n > max)
        return false;
    for (size_t i = 0; i < n; i++) {
        bool alnum = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9');
        bool edge = i == 0 || i + 1 == n || s[i - 1] == '.' || s[i + 1] == '.';
        if (!alnum && (edge || (s[i] != '-' && !(dots && s[i] == '.'))))
            return false;
    }
    return true;
}

/* [prefix/]name, as keys of labels and annotations are. */
static bool is_qualified(const char *key, bool any_case)
{
    const char *slash = strchr(key, '/');
    const char *name = slash ? slash + 1 : key;
    if (!is_label_text(name, strlen(name)))
        return false;
    if (!slash)
        return true;
    char prefix[NAME_MAX_ + 1];
    size_t n = (size_t)(slash - key);
    if (n > NAME_MAX_)
        return false;
    for (size_t i = 0; i < n; i++)
        prefix[i] =
            any_case && key[i] >= 'A' && key[i] <= 'Z' ? (char)(key[i] - 'A' + 'a') : key[i];
    return is_subdomain(prefix, n, NAME_MAX_, true);
}

static bool valid_map(const json_t *metadata, const char *key, bool labels, struct kube_refusal *r)
{
    json_t *map = json_object_get(metadata, key);
    if (!map || json_is_null(map))
        return true;
    if (!json_is_object(map))
        return kube_refuse(r, 400, "metadata.%s must be a map of strings", key);
    const char *name;
    json_t *value;
    size_t total = 0;
    json_object_foreach(map, name, value)
    {
        if (!json_is_string(value))
            return kube_refuse(r, 400, "metadata.%s: the value of \"%.100s\" must be a string", key,
                               name);
        if (!is_qualified(name, !labels))
            return kube_refuse(
                r, 422, "metadata.%s: Invalid value: \"%.300s\": not a qualified name", key, name);
        size_t n = json_string_length(value);
        total += strlen(name) + n;
        if (labels && n > 0 && !is_label_text(json_string_value(value), n))
            return kube_refuse(r, 422,
                               "metadata.labels: Invalid value: \"%.100s\": at most 63 of letters, "
                               "digits, '-', '_', '.', the first and the last a letter or digit",
                               json_string_value(value));
    }
    if (!labels && total > ANNOTATIONS_MAX)
        return kube_refuse(r, 422, "metadata.annotations: Too long: may not be more than %zu bytes",
                           ANNOTATIONS_MAX);
    return true;
}

enum shape { SHAPE_STRING, SHAPE_OBJECT, SHAPE_OBJECTS };

static bool valid_shape(const json_t *object, const char *where, const char *key, enum shape shape,
                        struct kube_refusal *r)
{
    json_t *value = json_object_get(object, key);
    json_t *item;
    size_t i;
    if (!value || json_is_null(value))
        return true;
    bool good = shape == SHAPE_STRING   ? json_is_string(value)
                : shape == SHAPE_OBJECT ? json_is_object(value)
                                        : json_is_array(value);
    if (shape == SHAPE_OBJECTS)
        json_array_foreach(value, i, item) good = good && json_is_object(item);
    return good || kube_refuse(r, 400, "%s%s must be a %s", where, key,
                               shape == SHAPE_STRING   ? "string"
                               : shape == SHAPE_OBJECT ? "map"
                                                       : "list of maps");
}

bool kube_rules_valid(enum kube_kind kind, const json_t *object, struct kube_refusal *refusal)
{
    const struct kube_kind_row *row = kube_kind_row(kind);
    if (!json_is_object(object) || !json_is_object(meta(object)))
        return kube_refuse(refusal, 400, "%s without metadata", row->kind);
    static const char *const META[] = {
        "name", "namespace", "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp"};
    const json_t *m = meta(object);
    for (size_t i = 0; i < sizeof(META) / sizeof(META[0]); i++)
        if (!valid_shape(m, "metadata.", META[i], SHAPE_STRING, refusal))
            return false;
    const char *name = text_of(m, "name"), *ns = text_of(m, "namespace");
    if (!is_subdomain(name, strlen(name), NAME_MAX_, true))
        return kube_refuse(refusal, 422,
                           "metadata.name: Invalid value: \"%.253s\": a lower-case DNS "
                           "name is wanted",
                           name);
    if (row->namespaced && !is_subdomain(ns, strlen(ns), NAMESPACE_MAX, false))
        return kube_refuse(refusal, 422,
                           "metadata.namespace: Invalid value: \"%.253s\": a lower-case "
                           "DNS label is wanted",
                           ns);
    if (!row->namespaced && *ns)
        return kube_refuse(refusal, 422, "metadata.namespace: Forbidden: a %s has no namespace",
                           row->kind);
    if (!valid_map(m, "labels", true, refusal) || !valid_map(m, "annotations", false, refusal))
        return false;
    json_t *finalizers = json_object_get(m, "finalizers");
    if (finalizers && !json_is_null(finalizers) && !json_is_array(finalizers))
        return kube_refuse(refusal, 400, "metadata.finalizers must be a list");
    if (kind == KUBE_EVENT)
        return true; /* involvedObject and texts: for people only */
    if (!valid_shape(object, "", "spec", SHAPE_OBJECT, refusal) ||
        !valid_shape(object, "", "status", SHAPE_OBJECT, refusal))
        return false;
    if (kind != KUBE_POD)
        return true;
    const json_t *spec = json_object_get(object, "spec"),
                 *status = json_object_get(object, "status");
    return valid_shape(spec, "spec.", "nodeName", SHAPE_STRING, refusal) &&
           valid_shape(spec, "spec.", "schedulerName", SHAPE_STRING, refusal) &&
           valid_shape(spec, "spec.", "containers", SHAPE_OBJECTS, refusal) &&
           valid_shape(spec, "spec.", "initContainers", SHAPE_OBJECTS, refusal) &&
           valid_shape(spec, "spec.", "schedulingGates", SHAPE_OBJECTS, refusal) &&
           valid_shape(status, "status.", "phase", SHAPE_STRING, refusal) &&
           valid_shape(status, "status.", "nominatedNodeName", SHAPE_STRING, refusal) &&
           valid_shape(status, "status.", "conditions", SHAPE_OBJECTS, refusal);
}

json_t *kube_rules_fill(enum kube_kind kind, const json_t *object, const char *uid, int64_t now_ns)
{
    const struct kube_kind_row *row = kube_kind_row(kind);
    json_auto_t *out =
        json_object(); /* apiVersion and kind stand first, as in every printed object */
    if (!out || !set_new(out, "apiVersion", json_string(row->api_version)) ||
        !set_new(out, "kind", json_string(row->kind)))
        return NULL;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        if (strcmp(key, "apiVersion") != 0 && strcmp(key, "kind") != 0 &&
            !set_new(out, key, json_deep_copy(value)))
            return NULL;
    }
    json_t *m = meta(out);
    if (!is_set(m, "uid") && !set_new(m, "uid", json_string(uid)))
        return NULL;
    if (!is_set(m, "creationTimestamp") && !set_time(m, "creationTimestamp", now_ns))
        return NULL;
    if (row->namespaced && !is_set(m, "namespace") &&
        !set_new(m, "namespace", json_string("default")))
        return NULL;
    (void)json_object_del(m, "resourceVersion");
    normalise(out);
    return json_incref(out);
}

/* ---- pods: what stays as it is ---- */

/* A copy of the spec without what an update may change. */
static json_t *fixed_part(const json_t *spec, bool gated)
{
    json_auto_t *copy = json_deep_copy(spec);
    static const char *const FREE[] = {"activeDeadlineSeconds", "terminationGracePeriodSeconds",
                                       "tolerations", "schedulingGates"};
    static const char *const LISTS[] = {"containers", "initContainers"};
    for (size_t i = 0; copy && i < sizeof(FREE) / sizeof(FREE[0]); i++)
        (void)json_object_del(copy, FREE[i]);
    if (copy && gated) {
        (void)json_object_del(copy, "nodeSelector");
        (void)json_object_del(copy, "affinity");
    }
    for (size_t i = 0; copy && i < sizeof(LISTS) / sizeof(LISTS[0]); i++) {
        size_t k;
        json_t *container;
        json_array_foreach(json_object_get(copy, LISTS[i]), k, container)(void)
            json_object_del(container, "image");
    }
    return copy ? json_incref(copy) : NULL;
}

static bool all_of_in(const json_t *part, const json_t *whole)
{
    size_t i, k;
    json_t *a, *b;
    json_array_foreach(part, i, a)
    {
        bool found = false;
        json_array_foreach(whole, k, b) found = found || json_equal(a, b);
        if (!found)
            return false;
    }
    return true;
}

static bool pod_spec_kept(const json_t *old, const json_t *new, struct kube_refusal *r)
{
    const json_t *was = json_object_get(old, "spec"), *is = json_object_get(new, "spec");
    if (json_equal(was, is) || (!was && !is))
        return true;
    if (!was || !is)
        return kube_refuse(r, 422, "spec: Forbidden: pod updates may not remove or add the spec");
    bool gated = json_array_size(json_object_get(was, "schedulingGates")) > 0;
    json_auto_t *a = fixed_part(was, gated), *b = fixed_part(is, gated);
    if (!a || !b)
        return no_memory(r);
    if (!json_equal(a, b))
        return kube_refuse(r, 422,
                           "spec: Forbidden: pod updates may not change fields other than image, "
                           "activeDeadlineSeconds, tolerations (only additions), "
                           "terminationGracePeriodSeconds");
    if (!all_of_in(json_object_get(was, "tolerations"), json_object_get(is, "tolerations")))
        return kube_refuse(r, 422, "spec.tolerations: Forbidden: existing ones stay as they are");
    if (!all_of_in(json_object_get(is, "schedulingGates"), json_object_get(was, "schedulingGates")))
        return kube_refuse(r, 422, "spec.schedulingGates: Forbidden: only removals are allowed");
    return true;
}

/* ---- update and patch ---- */

static bool refuse_stale(const struct kube_write *w, struct kube_refusal *r)
{
    return kube_refuse(r, 409,
                       "Operation cannot be fulfilled on %s \"" STR_FMT
                       "\": the object has been modified; please apply your changes to the latest "
                       "version and try again",
                       kube_kind_row(w->req->kind)->resource, STR_ARG(w->req->name));
}

/* What the new object says of itself against what stands. */
static bool same_identity(const struct kube_write *w, json_t *new, struct kube_refusal *r)
{
    static const char *const NAMES[] = {"name", "namespace"};
    bool patch = w->req->verb == KUBE_PATCH;
    const json_t *was = meta(w->old);
    json_t *is = meta(new);
    for (size_t i = 0; i < 2; i++)
        if (strcmp(text_of(was, NAMES[i]), text_of(is, NAMES[i])) != 0 &&
            (patch || is_set(is, NAMES[i]) || i == 0))
            return kube_refuse(r, 400,
                               "the %s of the object (%.253s) does not match the %s on the URL",
                               NAMES[i], text_of(is, NAMES[i]), NAMES[i]);
    if (!w->req->status && is_set(is, "deletionTimestamp") &&
        strcmp(text_of(was, "deletionTimestamp"), text_of(is, "deletionTimestamp")) != 0)
        return kube_refuse(r, 422, "metadata.deletionTimestamp: Invalid value: field is immutable");
    const char *uid = text_of(is, "uid"), *rv = text_of(is, "resourceVersion");
    if (*uid && strcmp(uid, text_of(was, "uid")) != 0) {
        if (patch)
            return kube_refuse(r, 422,
                               "metadata.uid: Invalid value: \"%.100s\": field is immutable", uid);
        return kube_refuse(r, 409,
                           "Operation cannot be fulfilled on %s \"" STR_FMT
                           "\": Precondition failed: UID in precondition: %.100s, UID in object "
                           "meta: %s",
                           kube_kind_row(w->req->kind)->resource, STR_ARG(w->req->name), uid,
                           text_of(was, "uid"));
    }
    bool any = !*rv || strcmp(rv, "0") == 0;
    if (any && !patch && w->req->kind == KUBE_LEASE)
        return kube_refuse(r, 422,
                           "metadata.resourceVersion: Invalid value: 0: must be specified for an "
                           "update");
    return any || strcmp(rv, w->old_rv) == 0 || refuse_stale(w, r);
}

/* `new` with the parts that this request may not touch as they stood. */
static json_t *allowed_part(const struct kube_write *w, json_t *new)
{
    static const char *const SYSTEM[] = {
        "name",       "namespace",         "uid",          "creationTimestamp",
        "generation", "deletionTimestamp", "generateName", "deletionGracePeriodSeconds"};
    json_auto_t *out = copy_object(w->req->status ? w->old : new);
    json_t *m =
        out ? copy_object(meta(new)) : NULL; /* shallow: members are replaced, never changed */
    if (!m || !set_new(out, "metadata", m))
        return NULL;
    bool good = true;
    for (size_t i = 0; good && i < sizeof(SYSTEM) / sizeof(SYSTEM[0]); i++)
        good = copy_member(m, meta(w->old), SYSTEM[i]);
    if (w->req->status)
        good = good && copy_member(out, new, "status") &&
               copy_member(m, meta(w->old), "ownerReferences");
    else if (kube_kind_row(w->req->kind)->has_status)
        good = good && copy_member(out, w->old, "status");
    if (!good || !copy_member(out, w->old, "kind") || !copy_member(out, w->old, "apiVersion"))
        return NULL;
    (void)json_object_del(m, "resourceVersion");
    normalise(out);
    return json_incref(out);
}

/* Equal but for the resourceVersion, which only `old` carries. */
static bool unchanged(const json_t *old, const json_t *new, struct kube_refusal *r, bool *ret)
{
    json_auto_t *copy = copy_object(old);
    json_t *m = copy ? copy_object(meta(old)) : NULL;
    if (!m || !set_new(copy, "metadata", m))
        return no_memory(r);
    (void)json_object_del(m, "resourceVersion");
    *ret = json_equal(copy, new);
    return true;
}

static enum kube_outcome finish_update(const struct kube_write *w, json_t *new, json_t **ret,
                                       struct kube_refusal *r)
{
    bool patch = w->req->verb == KUBE_PATCH, same = false;
    if (!json_is_object(meta(new))) { /* without metadata there is no name to compare */
        (void)kube_refuse(r, patch && meta(new) ? 422 : 400, "metadata must be a map");
        return KUBE_REFUSED;
    }
    if (!same_identity(w, new, r))
        return KUBE_REFUSED;
    json_auto_t *out = allowed_part(w, new);
    if (!out) {
        (void)no_memory(r);
        return KUBE_REFUSED;
    }
    if (!kube_rules_valid(w->req->kind, out, r)) {
        if (patch && r->status == 400)
            r->status = 422;
        return KUBE_REFUSED;
    }
    if (w->req->kind == KUBE_POD && !w->req->status && !pod_spec_kept(w->old, out, r))
        return KUBE_REFUSED;
    if (!unchanged(w->old, out, r, &same))
        return KUBE_REFUSED;
    if (same)
        return KUBE_SAME;
    *ret = json_incref(out);
    json_t *m = meta(out);
    bool going = is_set(m, "deletionTimestamp") && !json_object_get(m, "finalizers") &&
                 json_integer_value(json_object_get(m, "deletionGracePeriodSeconds")) == 0;
    return going ? KUBE_REMOVED : KUBE_WRITTEN;
}

/* ---- create ---- */

static enum kube_outcome create(const struct kube_write *w, json_t **ret, struct kube_refusal *r)
{
    enum kube_kind kind = w->req->kind;
    const struct kube_kind_row *row = kube_kind_row(kind);
    const char *api = text_of(w->body, "apiVersion"), *name = text_of(w->body, "kind");
    if ((*api && strcmp(api, row->api_version) != 0) || (*name && strcmp(name, row->kind) != 0)) {
        (void)kube_refuse(r, 400, "the object is a %.100s %.100s, not a %s", api, name, row->kind);
        return KUBE_REFUSED;
    }
    const json_t *m = meta(w->body);
    const char *ns = text_of(m, "namespace");
    if (row->namespaced && *ns && !str_eq(str_z(ns), w->req->ns)) {
        (void)kube_refuse(r, 400,
                          "the namespace of the provided object does not match the namespace "
                          "sent on the request");
        return KUBE_REFUSED;
    }
    if (is_set(m, "resourceVersion")) {
        (void)kube_refuse(r, 500, "resourceVersion should not be set on objects to be created");
        return KUBE_REFUSED;
    }
    json_auto_t *out = kube_rules_fill(kind, w->body, w->uid, w->now_ns);
    json_t *om = meta(out);
    bool good =
        out && json_is_object(om) && set_new(om, "uid", json_string(w->uid)) &&
        set_time(om, "creationTimestamp", w->now_ns) &&
        (!row->namespaced || set_new(om, "namespace", json_stringn(w->req->ns.p, w->req->ns.n)));
    if (!good) {
        (void)no_memory(r);
        return KUBE_REFUSED;
    }
    (void)json_object_del(om, "deletionTimestamp");
    (void)json_object_del(om, "deletionGracePeriodSeconds");
    if (!kube_rules_valid(kind, out, r))
        return KUBE_REFUSED;
    if (w->old) {
        (void)kube_refuse(r, 409, "%s \"%.253s\" already exists", row->resource,
                          text_of(om, "name"));
        r->reason = "AlreadyExists";
        return KUBE_REFUSED;
    }
    if (kind == KUBE_QUOTA)
        (void)json_object_del(out, "status");
    if (kind == KUBE_POD && !set_new(out, "status", json_pack("{s:s}", "phase", "Pending"))) {
        (void)no_memory(r);
        return KUBE_REFUSED;
    }
    *ret = json_incref(out);
    return KUBE_WRITTEN;
}

/* ---- delete ---- */

static bool has_ended(const json_t *pod)
{
    const char *phase = text_of(json_object_get(pod, "status"), "phase");
    return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
}

static json_int_t grace_of(const struct kube_write *w)
{
    const json_t *spec = json_object_get(w->old, "spec");
    if (w->req->kind != KUBE_POD || !is_set(spec, "nodeName") || has_ended(w->old))
        return 0;
    json_t *asked = json_object_get(w->body, "gracePeriodSeconds");
    if (!json_is_integer(asked))
        asked = json_object_get(spec, "terminationGracePeriodSeconds");
    json_int_t s = json_is_integer(asked) ? json_integer_value(asked) : GRACE_DEFAULT_S;
    return s < 0 ? 1 : s; /* the server's reading of a negative one */
}

static enum kube_outcome delete (const struct kube_write *w, json_t **ret, struct kube_refusal *r) {
    const json_t *was = meta(w->old), *cond = json_object_get(w->body, "preconditions");
    if ((is_set(cond, "uid") && strcmp(text_of(cond, "uid"), text_of(was, "uid")) != 0) ||
        (is_set(cond, "resourceVersion") &&
         strcmp(text_of(cond, "resourceVersion"), w->old_rv) != 0)){
        (void)kube_refuse(r, 409,
                          "Operation cannot be fulfilled on %s \"" STR_FMT
                          "\": Precondition failed: UID or resourceVersion differs",
                          kube_kind_row(w->req->kind)->resource, STR_ARG(w->req->name));
        return KUBE_REFUSED;}
json_int_t grace = grace_of(w);
bool held = json_array_size(json_object_get(was, "finalizers")) > 0;
json_t *before = json_object_get(was, "deletionGracePeriodSeconds");
if ((grace > 0 || held) && is_set(was, "deletionTimestamp") && json_integer_value(before) <= grace)
    return KUBE_SAME;
json_auto_t *out = copy_object(w->old);
json_t *m = out ? copy_object(meta(w->old)) : NULL;
if (!m || !set_new(out, "metadata", m)) {
    (void)no_memory(r);
    return KUBE_REFUSED;
}
(void)json_object_del(m, "resourceVersion");
if (grace > 0 || held) {
    int64_t end_ns = w->now_ns + (grace > INT32_MAX ? INT32_MAX : grace) * INT64_C(1000000000);
    if (!set_time(m, "deletionTimestamp", end_ns) ||
        !set_new(m, "deletionGracePeriodSeconds", json_integer(grace))) {
        (void)no_memory(r);
        return KUBE_REFUSED;
    }
}
*ret = json_incref(out);
return grace > 0 || held ? KUBE_WRITTEN : KUBE_REMOVED;
}

/* ---- bind ---- */

static bool binding_readable(const struct kube_write *w, struct kube_refusal *r)
{
    const json_t *m = meta(w->body), *target = json_object_get(w->body, "target");
    const char *name = text_of(m, "name"), *ns = text_of(m, "namespace"),
               *kind = text_of(target, "kind");
    struct kube_refusal shape;
    if (!json_is_object(w->body) || !valid_map(m, "annotations", false, &shape))
        if (!json_is_object(w->body) || shape.status == 400)
            return kube_refuse(r, 400, "the Binding can't be read");
    if (!str_eq(str_z(name), w->req->name))
        return kube_refuse(r, 400, "name in URL does not match name in Binding object");
    if (*ns && !str_eq(str_z(ns), w->req->ns))
        return kube_refuse(r, 400,
                           "the namespace of the provided object does not match the namespace "
                           "sent on the request");
    if (*kind && strcmp(kind, "Node") != 0)
        return kube_refuse(r, 500,
                           "target.kind: Unsupported value: \"%.100s\": supported values: "
                           "\"Node\", \"<empty>\"",
                           kind);
    if (!is_set(target, "name"))
        return kube_refuse(r, 500, "target.name: Required value");
    return true;
}

static bool binding_stands(const struct kube_write *w, struct kube_refusal *r)
{
    const json_t *m = meta(w->body), *pod = meta(w->old), *spec = json_object_get(w->old, "spec");
    const char *uid = text_of(m, "uid"), *rv = text_of(m, "resourceVersion");
    const char *name = text_of(pod, "name");
    static const char *const WHAT = "Operation cannot be fulfilled on pods";
    if (*uid && strcmp(uid, text_of(pod, "uid")) != 0)
        return kube_refuse(r, 409,
                           "%s \"%s\": Precondition failed: UID in precondition: %.100s, UID in "
                           "object meta: %s",
                           WHAT, name, uid, text_of(pod, "uid"));
    if (*rv && strcmp(rv, w->old_rv) != 0)
        return kube_refuse(
            r, 409,
            "%s \"%s\": Precondition failed: ResourceVersion in precondition: %.100s, "
            "ResourceVersion in object meta: %s",
            WHAT, name, rv, w->old_rv);
    if (is_set(pod, "deletionTimestamp"))
        return kube_refuse(
            r, 409, "%s/binding \"%s\": pod %s is being deleted, cannot be assigned to a host",
            WHAT, name, name);
    if (is_set(spec, "nodeName"))
        return kube_refuse(r, 409, "%s/binding \"%s\": pod %s is already assigned to node \"%s\"",
                           WHAT, name, name, text_of(spec, "nodeName"));
    if (json_array_size(json_object_get(spec, "schedulingGates")) > 0)
        return kube_refuse(r, 409, "%s/binding \"%s\": pod %s has non-empty .spec.schedulingGates",
                           WHAT, name, name);
    return true;
}

static bool merge_map(json_t *to, const json_t *from, const char *key)
{
    json_t *add = json_object_get(from, key);
    if (!json_is_object(add) || json_object_size(add) == 0)
        return true;
    if (!json_is_object(json_object_get(to, key)) && !set_new(to, key, json_object()))
        return false;
    return json_object_update(json_object_get(to, key), add) == 0;
}

static bool set_scheduled(json_t *status, int64_t now_ns)
{
    size_t i;
    json_t *c;
    if (!json_is_array(json_object_get(status, "conditions")) &&
        !set_new(status, "conditions", json_array()))
        return false;
    json_t *conditions = json_object_get(status, "conditions");
    char now[CLOCK_TEXT_MAX];
    (void)clock_rfc3339(now_ns, false, now);
    json_auto_t *mine = json_pack("{s:s,s:s,s:n,s:s}", "type", "PodScheduled", "status", "True",
                                  "lastProbeTime", "lastTransitionTime", now);
    if (!mine)
        return false;
    json_array_foreach(conditions, i, c)
    {
        if (strcmp(text_of(c, "type"), "PodScheduled") != 0)
            continue;
        if (strcmp(text_of(c, "status"), "True") == 0)
            return true;
        return json_array_set(conditions, i, mine) == 0;
    }
    return json_array_append(conditions, mine) == 0;
}

static enum kube_outcome bind(const struct kube_write *w, json_t **ret, struct kube_refusal *r)
{
    if (!binding_readable(w, r) || !binding_stands(w, r))
        return KUBE_REFUSED;
    json_auto_t *pod = json_deep_copy(w->old);
    const json_t *m = meta(w->body);
    const json_t *node = json_object_get(json_object_get(w->body, "target"), "name");
    bool good = pod != NULL;
    for (int i = 0; good && i < 2; i++) {
        static const char *const PARTS[] = {"spec", "status"};
        good =
            json_is_object(json_object_get(pod, PARTS[i])) || set_new(pod, PARTS[i], json_object());
    }
    json_t *status = json_object_get(pod, "status");
    good = good && set_new(json_object_get(pod, "spec"), "nodeName", json_copy((json_t *)node)) &&
           merge_map(meta(pod), m, "annotations") &&
           (!w->binding_labels || merge_map(meta(pod), m, "labels")) &&
           set_scheduled(status, w->now_ns);
    if (!good) {
        (void)no_memory(r);
        return KUBE_REFUSED;
    }
    (void)json_object_del(status, "nominatedNodeName");
    (void)json_object_del(meta(pod), "resourceVersion");
    *ret = json_incref(pod);
    return KUBE_WRITTEN;
}

/* ---- */

enum kube_outcome kube_rules_apply(const struct kube_write *w, json_t **ret,
                                   struct kube_refusal *refusal)
{
    enum kube_verb verb = w->req->verb;
    /* A lease may be made by an update as well. */
    bool makes = verb == KUBE_UPDATE && !w->old && w->req->kind == KUBE_LEASE &&
                 json_is_object(meta(w->body)) && !is_set(meta(w->body), "resourceVersion") &&
                 str_eq(str_z(text_of(meta(w->body), "name")), w->req->name);
    if (verb == KUBE_CREATE || makes)
        return create(w, ret, refusal);
    if (!w->old) {
        (void)kube_refuse(refusal, 404, "%s \"" STR_FMT "\" not found",
                          kube_kind_row(w->req->kind)->resource, STR_ARG(w->req->name));
        return KUBE_REFUSED;
    }
    if (verb == KUBE_DELETE)
        return delete (w, ret, refusal);
    if (verb == KUBE_BIND)
        return bind(w, ret, refusal);
    if (verb == KUBE_UPDATE) {
        if (!json_is_object(w->body)) {
            (void)kube_refuse(refusal, 400, "the object can't be read");
            return KUBE_REFUSED;
        }
        return finish_update(w, (json_t *)w->body, ret, refusal);
    }
    json_auto_t *new = NULL;
    if (!kube_patch_apply(w->req->patch_type, w->old, w->body, &new, refusal))
        return KUBE_REFUSED;
    return finish_update(w, new, ret, refusal);
}
