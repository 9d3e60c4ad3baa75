/* Cluster files → the store: all objects of all files, or none. */
#include "kubeclient/priv.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX ((size_t)512 << 20)
enum { LIST_DEPTH_MAX = 4 }; /* a List may hold Lists */

/* ---- files ---- */

static enum err_code file_fault(const char *path, struct err *err)
{
    return err_set(err, ERR_BAD_REQUEST, "%s: %s", path, strerrordesc_np(errno));
}

/* Pipes have no size: grows as it reads. */
static enum err_code read_all(int fd, const char *path, size_t max, struct buf *b, struct err *err)
{
    char piece[65536];
    for (;;) {
        ssize_t n = read(fd, piece, sizeof(piece));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return file_fault(path, err);
        if (n == 0)
            return b->failed ? err_set(err, ERR_NO_MEMORY, "%s: no memory", path) : ERR_OK;
        if ((size_t)n > max - b->n)
            return err_set(err, ERR_TOO_LARGE, "%s: more than %zu bytes", path, max);
        buf_add(b, (struct str){piece, (size_t)n});
        if (b->failed)
            return err_set(err, ERR_NO_MEMORY, "%s: no memory", path);
    }
}

enum err_code kube_read_file(const char *path, size_t max, char **ret, size_t *ret_n,
                             struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return file_fault(path, err);
    struct buf b;
    buf_init(&b, max);
    enum err_code rc = read_all(fd, path, max, &b, err);
    (void)close(fd);
    char *text = rc ? NULL : buf_take(&b, ret_n);
    buf_done(&b);
    if (rc)
        return rc;
    if (!text)
        return err_set(err, ERR_NO_MEMORY, "%s: no memory", path);
    *ret = text;
    return ERR_OK;
}

/* ---- objects ---- */

struct loading {
    struct kube_store *st;
    const struct kube_load_handler *mutate;
    const char *path;
    const struct kube_mark *marks; /* of this file; moves on with each root and each item */
    struct kube_store_item *items;
    size_t n, cap, skipped;
    struct err *err;
};

static enum err_code fault_at(struct loading *l, struct kube_mark at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static enum err_code fault_at(struct loading *l, struct kube_mark at, const char *fmt, ...)
{
    char text[400];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return err_set(l->err, ERR_BAD_REQUEST, "%s:%zu:%zu: %s", l->path, at.line, at.column, text);
}

static enum err_code no_memory(struct loading *l)
{
    return err_set(l->err, ERR_NO_MEMORY, "%s: no memory", l->path);
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static json_t *meta(const json_t *object) { return json_object_get(object, "metadata"); }

static enum err_code check(struct loading *l, enum kube_kind kind, const json_t *object,
                           struct kube_mark at)
{
    struct kube_refusal r = {0};
    if (kube_rules_valid(kind, object, &r))
        return ERR_OK;
    if (!r.status)
        return no_memory(l);
    return fault_at(l, at, "%s %.100s: %s", kube_kind_row(kind)->kind,
                    text_of(meta(object), "name"), r.message);
}

/* What admission would have made of the pod. */
static enum err_code admit(struct loading *l, json_t **pod, struct kube_mark at)
{
    json_auto_t *changed = NULL;
    if (!l->mutate || !l->mutate->pod)
        return ERR_OK;
    const json_t *before = *pod;
    enum err_code rc = l->mutate->pod(l->mutate->ctx, before, &changed, l->err);
    if (rc)
        return err_prefix(l->err, rc, "%s:%zu:%zu: Pod %s/%s", l->path, at.line, at.column,
                          text_of(meta(before), "namespace"), text_of(meta(before), "name"));
    if (!changed)
        return ERR_OK;
    static const char *const KEPT[] = {"name", "namespace", "uid"};
    for (size_t i = 0; i < sizeof(KEPT) / sizeof(KEPT[0]); i++)
        if (strcmp(text_of(meta(before), KEPT[i]), text_of(meta(changed), KEPT[i])) != 0)
            return err_set(l->err, ERR_INTERNAL, "%s: admission changed a pod's %s", l->path,
                           KEPT[i]);
    rc = check(l, KUBE_POD, changed, at);
    if (rc)
        return rc;
    json_decref(*pod);
    *pod = TAKE(changed);
    return ERR_OK;
}

/* A pod without a phase is one that was just created. */
static bool start_pending(json_t *pod)
{
    json_t *status = json_object_get(pod, "status");
    if (!json_is_object(status)) {
        if (json_object_set_new(pod, "status", json_object()))
            return false;
        status = json_object_get(pod, "status");
    }
    return *text_of(status, "phase") ||
           json_object_set_new(status, "phase", json_string("Pending")) == 0;
}

static enum err_code add_object(struct loading *l, enum kube_kind kind, const json_t *object,
                                struct kube_mark at)
{
    if (!json_is_object(meta(object)))
        return fault_at(l, at, "%s without metadata", kube_kind_row(kind)->kind);
    char uid[KUBE_UID_MAX];
    kube_store_uid(l->st, str_z(text_of(meta(object), "namespace")),
                   str_z(text_of(meta(object), "name")), uid);
    json_auto_t *filled =
        kube_rules_fill(kind, object, uid, clock_wall_ns(kube_store_clock(l->st)));
    if (!filled)
        return no_memory(l);
    enum err_code rc = check(l, kind, filled, at);
    if (!rc && kind == KUBE_POD)
        rc = start_pending(filled) ? admit(l, &filled, at) : no_memory(l);
    if (rc)
        return rc;
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 64;
        struct kube_store_item *items = reallocarray(l->items, cap, sizeof(*items));
        if (!items)
            return no_memory(l);
        l->items = items;
        l->cap = cap;
    }
    l->items[l->n++] =
        (struct kube_store_item){.kind = kind, .object = TAKE(filled), .path = l->path, .at = at};
    return ERR_OK;
}

/* One object, or a list of them. `api` and `kind`: what the list around it says its items are. */
static enum err_code load_object(struct loading *l, const json_t *object, struct kube_mark at,
                                 const char *api, const char *kind, unsigned depth)
{
    if (!json_is_object(object))
        return fault_at(l, at, "not a Kubernetes object: a map is wanted");
    if (*text_of(object, "apiVersion"))
        api = text_of(object, "apiVersion");
    if (*text_of(object, "kind"))
        kind = text_of(object, "kind");
    if (!*kind || !*api)
        return fault_at(l, at, "an object without %s", *kind ? "apiVersion" : "kind");
    size_t n = strlen(kind);
    enum kube_kind known;
    if (n < 4 || strcmp(kind + n - 4, "List") != 0) {
        if (kube_kind_find(api, kind, &known) && kube_kind_row(known)->loaded)
            return add_object(l, known, object, at);
        l->skipped++;
        return ERR_OK;
    }
    if (depth == LIST_DEPTH_MAX)
        return fault_at(l, at, "lists within lists within lists");
    const json_t *items = json_object_get(object, "items");
    if (items && !json_is_null(items) && !json_is_array(items))
        return fault_at(l, at, "the items of a %.100s must be a list", kind);
    char item_kind[128];
    (void)snprintf(item_kind, sizeof(item_kind), "%.*s", (int)(n - 4), kind);
    size_t i;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        struct kube_mark place = depth == 0 ? l->marks[i] : at;
        enum err_code rc = load_object(l, item, place, api, item_kind, depth + 1);
        if (rc)
            return rc;
    }
    return ERR_OK;
}

static enum err_code load_file(struct loading *l)
{
    char *text CLEANUP(free_p) = NULL;
    size_t n = 0;
    enum err_code rc = kube_read_file(l->path, FILE_MAX, &text, &n, l->err);
    if (rc)
        return rc;
    struct kube_marks marks = {0};
    json_auto_t *documents = NULL;
    rc = kube_yaml_parse_marked((struct str){text, n}, l->path, &documents, &marks, l->err);
    size_t i, at = 0;
    json_t *doc;
    json_array_foreach(documents, i, doc)
    {
        struct kube_mark place = marks.v[at++];
        l->marks = marks.v + at;
        at += json_array_size(json_object_get(doc, "items"));
        if (!rc && !json_is_null(doc)) /* an empty document is nothing */
            rc = load_object(l, doc, place, "", "", 0);
    }
    kube_marks_done(&marks);
    return rc;
}

enum err_code kube_store_load(struct kube_store *st, const char *const *paths, size_t paths_n,
                              const struct kube_load_handler *mutate, size_t *ret_skipped,
                              struct err *err)
{
    struct loading l = {.st = st, .mutate = mutate, .err = err};
    enum err_code rc = ERR_OK;
    for (size_t i = 0; i < paths_n && !rc; i++) {
        l.path = paths[i];
        rc = load_file(&l);
    }
    if (!rc)
        rc = kube_store_add_all(st, l.items, l.n, err);
    for (size_t i = 0; i < l.n; i++)
        json_decref(l.items[i].object);
    free(l.items);
    if (!rc && ret_skipped)
        *ret_skipped = l.skipped;
    return rc;
}
