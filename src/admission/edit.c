/* Our copy of the pod, changed as we go, and each change written down as one JSON Patch operation
 * at the moment it is made: so copy and patch can't part, and a pod that has it all gets no patch.
 */
#include "admission/priv.h"

#include "base/own.h"

#include <stdio.h>
#include <string.h>

#define PATH_MAX_BYTES (32 * 1024 * 1024) /* twice the largest body: a key may be all slashes */

DEFINE_CLEANUP(struct buf *, buf_done)

struct str edit_text(const json_t *string)
{
    return string ? (struct str){json_string_value(string), json_string_length(string)} : STR("");
}

json_t *edit_get(const json_t *object, struct str key)
{
    return json_object_getn(object, key.p, key.n);
}

bool edit_quantity(const json_t *value, char digits[EDIT_DIGITS], struct str *ret)
{
    if (json_is_string(value)) {
        *ret = edit_text(value);
        return true;
    }
    if (json_is_integer(value))
        (void)snprintf(digits, EDIT_DIGITS, "%lld", (long long)json_integer_value(value));
    else if (json_is_real(value))
        (void)snprintf(digits, EDIT_DIGITS, "%.17g", json_real_value(value));
    else
        return false;
    *ret = str_z(digits);
    return true;
}

/* ---- paths and operations ---- */

static void path_add(struct buf *path, struct str token)
{
    buf_char(path, '/');
    for (size_t i = 0; i < token.n; i++) {
        if (token.p[i] == '~')
            buf_add(path, STR("~0"));
        else if (token.p[i] == '/')
            buf_add(path, STR("~1"));
        else
            buf_char(path, token.p[i]);
    }
}

static void path_index(struct buf *path, size_t index)
{
    char digits[24];
    (void)snprintf(digits, sizeof(digits), "%zu", index);
    path_add(path, str_z(digits));
}

static void path_container(struct buf *path, const struct container *c)
{
    buf_init(path, PATH_MAX_BYTES);
    path_add(path, STR("spec"));
    path_add(path, str_z(c->list));
    path_index(path, c->index);
}

/* One operation; takes `value`, which is NULL for "remove" only. */
static void emit(struct edit *e, const char *op, const struct buf *path, json_t *value)
{
    bool needs_value = strcmp(op, "remove") != 0;
    json_t *o = json_object();
    if (path->failed || (needs_value && !value) || json_object_set_new(o, "op", json_string(op)) ||
        json_object_set_new(o, "path", json_stringn(path->p, path->n)) ||
        (needs_value && json_object_set(o, "value", value)) || json_array_append(e->patch, o))
        e->no_memory = true;
    json_decref(o);
    json_decref(value);
}

/* Puts `value` (taken) under `key` in `object`, part of our copy that stands at `path`. */
static void put(struct edit *e, json_t *object, struct buf *path, struct str key, json_t *value)
{
    bool there = edit_get(object, key) != NULL;
    path_add(path, key);
    /* The patch gets a copy of its own: later changes to ours must not show in it. */
    emit(e, there ? "replace" : "add", path, json_deep_copy(value));
    if (json_object_setn_new(object, key.p, key.n, value))
        e->no_memory = true;
}

/* The object under `key` in `object`, made where there is none; `path` is longer by the key. */
static json_t *descend(struct edit *e, json_t *object, struct buf *path, struct str key)
{
    json_t *below = edit_get(object, key);
    if (json_is_object(below)) {
        path_add(path, key);
        return below;
    }
    put(e, object, path, key, json_object());
    return edit_get(object, key);
}

/* ---- resources ---- */

static bool is_amount(const json_t *value, int64_t n)
{
    char digits[EDIT_DIGITS];
    struct str text;
    struct quantity q;
    int64_t floor, ceil;
    return edit_quantity(value, digits, &text) && !quantity_parse(text, &q, NULL) &&
           quantity_floor(&q, 0, &floor) && quantity_ceil(&q, 0, &ceil) && floor == n && ceil == n;
}

static void put_resource(struct edit *e, const struct container *c, struct str map, struct str name,
                         json_t *value)
{
    struct buf path_ = {0}, *path CLEANUP(buf_done_p) = &path_;
    path_container(path, c);
    json_t *resources = descend(e, c->json, path, STR("resources"));
    json_t *object = descend(e, resources, path, map);
    put(e, object, path, name, value);
}

void edit_amount(struct edit *e, const struct container *c, struct str name, int64_t n, bool both)
{
    static const struct str MAPS[] = {STR_INIT("limits"), STR_INIT("requests")};
    char digits[24];
    (void)snprintf(digits, sizeof(digits), "%lld", (long long)n);
    for (size_t i = 0; i < sizeof(MAPS) / sizeof(MAPS[0]); i++) {
        const json_t *map = edit_get(json_object_get(c->json, "resources"), MAPS[i]);
        const json_t *value = edit_get(map, name);
        bool wanted = i == 0 || both || (value && !json_is_null(value));
        if (wanted && !is_amount(value, n))
            put_resource(e, c, MAPS[i], name, json_string(digits));
    }
}

void edit_mirror(struct edit *e, const struct container *c, struct str name)
{
    const json_t *resources = json_object_get(c->json, "resources");
    json_t *limit = edit_get(json_object_get(resources, "limits"), name);
    json_t *request = edit_get(json_object_get(resources, "requests"), name);
    bool limited = limit && !json_is_null(limit), requested = request && !json_is_null(request);
    if (limited && !requested)
        put_resource(e, c, STR("requests"), name, json_deep_copy(limit));
    if (requested && !limited)
        put_resource(e, c, STR("limits"), name, json_deep_copy(request));
}

/* ---- variables ---- */

/* The entry of this name that counts: Kubernetes takes the last. */
static bool find_env(const json_t *env, struct str name, size_t *ret)
{
    for (size_t i = json_array_size(env); i > 0; i--) {
        const json_t *key = json_object_get(json_array_get(env, i - 1), "name");
        if (json_is_string(key) && str_eq(edit_text(key), name)) {
            *ret = i - 1;
            return true;
        }
    }
    return false;
}

bool edit_has_env(const struct container *c, struct str name)
{
    size_t at;
    return find_env(json_object_get(c->json, "env"), name, &at);
}

void edit_env(struct edit *e, const struct container *c, struct str name, struct str value)
{
    if (name.n == 0)
        return;
    json_t *entry = json_object();
    if (json_object_set_new(entry, "name", json_stringn(name.p, name.n)) ||
        json_object_set_new(entry, "value", json_stringn(value.n > 0 ? value.p : "", value.n)))
        e->no_memory = true;
    struct buf path_ = {0}, *path CLEANUP(buf_done_p) = &path_;
    path_container(path, c);
    json_t *env = json_object_get(c->json, "env");
    size_t at;
    if (!json_is_array(env)) {
        json_t *list = json_array();
        if (json_array_append_new(list, entry))
            e->no_memory = true;
        put(e, c->json, path, STR("env"), list);
    } else if (!find_env(env, name, &at)) {
        path_add(path, STR("env"));
        path_add(path, STR("-"));
        emit(e, "add", path, json_deep_copy(entry));
        if (json_array_append_new(env, entry))
            e->no_memory = true;
    } else if (json_equal(json_array_get(env, at), entry)) {
        json_decref(entry);
    } else {
        path_add(path, STR("env"));
        path_index(path, at);
        emit(e, "replace", path, json_deep_copy(entry));
        if (json_array_set_new(env, at, entry))
            e->no_memory = true;
    }
}

/* ---- the pod ---- */

static void put_text(struct edit *e, json_t *object, struct buf *path, struct str key,
                     struct str value)
{
    const json_t *old = edit_get(object, key);
    if (!json_is_string(old) || !str_eq(edit_text(old), value))
        put(e, object, path, key, json_stringn(value.p, value.n));
}

void edit_spec(struct edit *e, struct str key, struct str value)
{
    struct buf path_ = {0}, *path CLEANUP(buf_done_p) = &path_;
    buf_init(path, PATH_MAX_BYTES);
    json_t *spec = descend(e, e->pod, path, STR("spec"));
    put_text(e, spec, path, key, value);
}

void edit_annotation(struct edit *e, struct str key, struct str value)
{
    struct buf path_ = {0}, *path CLEANUP(buf_done_p) = &path_;
    buf_init(path, PATH_MAX_BYTES);
    json_t *metadata = descend(e, e->pod, path, STR("metadata"));
    json_t *annotations = descend(e, metadata, path, STR("annotations"));
    put_text(e, annotations, path, key, value);
}

void edit_remove(struct edit *e, struct str map, struct str key)
{
    struct buf path_ = {0}, *path CLEANUP(buf_done_p) = &path_;
    buf_init(path, PATH_MAX_BYTES);
    path_add(path, STR("metadata"));
    path_add(path, map);
    path_add(path, key);
    emit(e, "remove", path, NULL);
    json_t *metadata = json_object_get(e->pod, "metadata");
    (void)json_object_deln(edit_get(metadata, map), key.p, key.n);
}
