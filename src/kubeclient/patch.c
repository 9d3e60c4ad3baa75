/* The three patch forms, on copies: merge (RFC 7386), JSON patch (RFC 6902), and of strategic merge
 * the part where it equals merge (maps; lists are replaced, and directives are refused). Pure. */
#include "kubeclient/priv.h"

#include "base/own.h"

#include <stdlib.h>
#include <string.h>

enum { OPS_MAX = 10000 };

static bool no_memory(struct kube_refusal *r) { return kube_refuse(r, 0, "no memory"); }

/* ---- merge ---- */

/* Whether `value` (taken) now stands under `key`. */
static bool set_new(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

static bool merge_into(json_t *target, const json_t *patch)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)patch, key, value)
    {
        if (json_is_null(value)) {
            (void)json_object_del(target, key);
            continue;
        }
        if (!json_is_object(value)) {
            if (!set_new(target, key, json_deep_copy(value)))
                return false;
            continue;
        }
        json_t *inner = json_object_get(target, key);
        if (!json_is_object(inner)) {
            if (!set_new(target, key, json_object()))
                return false;
            inner = json_object_get(target, key);
        }
        if (!merge_into(inner, value))
            return false;
    }
    return true;
}

static bool has_directive(const json_t *value)
{
    const char *key;
    json_t *item;
    size_t i;
    json_object_foreach((json_t *)value, key, item)
    {
        if (key[0] == '$' || has_directive(item))
            return true;
    }
    json_array_foreach(value, i, item)
    {
        if (has_directive(item))
            return true;
    }
    return false;
}

/* ---- JSON pointers ---- */

/* The next part of *path ("/a~1b/c"), unescaped, malloc; *path moves on. NULL: no memory. */
static char *next_part(const char **path)
{
    const char *p = *path + 1;
    size_t n = strcspn(p, "/");
    char *part = malloc(n + 1);
    if (!part)
        return NULL;
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        char c = p[i];
        if (c == '~' && (p[i + 1] == '0' || p[i + 1] == '1'))
            c = p[++i] == '0' ? '~' : '/';
        part[out++] = c;
    }
    part[out] = '\0';
    *path = p + n;
    return part;
}

/* An element's number; the array's size for "-". */
static bool array_index(const json_t *array, const char *part, size_t *ret)
{
    if (strcmp(part, "-") == 0) {
        *ret = json_array_size(array);
        return true;
    }
    int64_t v;
    if (part[0] == '+' || (part[0] == '0' && part[1]) || !str_int(str_z(part), 0, INT32_MAX, &v))
        return false;
    *ret = (size_t)v;
    return true;
}

static json_t *child(const json_t *node, const char *part)
{
    size_t i;
    if (json_is_object(node))
        return json_object_get(node, part);
    if (json_is_array(node) && array_index(node, part, &i))
        return json_array_get(node, i);
    return NULL;
}

enum found { FOUND, FOUND_NONE, FOUND_NO_MEMORY };

/* Walks to the container of the last part, which is handed out (malloc). */
static enum found find_parent(json_t *root, const char *path, json_t **ret_parent, char **ret_last)
{
    json_t *node = root;
    if (*path != '/')
        return FOUND_NONE; /* the whole document is none of ours to replace */
    for (;;) {
        char *part CLEANUP(free_p) = next_part(&path);
        if (!part)
            return FOUND_NO_MEMORY;
        if (!json_is_object(node) && !json_is_array(node))
            return FOUND_NONE;
        if (*path == '\0') {
            *ret_parent = node;
            *ret_last = TAKE(part);
            return FOUND;
        }
        node = child(node, part);
    }
}

/* ---- JSON patch ---- */

struct op {
    const char *op, *path, *from;
    const json_t *value;
};

static bool refuse_op(struct kube_refusal *r, const struct op *op, const char *why)
{
    return kube_refuse(r, 422, "the patch can't be applied: %s %.200s: %s", op->op, op->path, why);
}

/* Puts a copy of `value` at path. */
static bool op_add(json_t *root, const struct op *op, const json_t *value, struct kube_refusal *r)
{
    json_t *parent = NULL;
    char *last CLEANUP(free_p) = NULL;
    enum found found = find_parent(root, op->path, &parent, &last);
    if (found != FOUND)
        return found == FOUND_NONE ? refuse_op(r, op, "no such path") : no_memory(r);
    json_t *copy = json_deep_copy(value);
    if (!copy)
        return no_memory(r);
    if (json_is_object(parent))
        return set_new(parent, last, copy) || no_memory(r);
    size_t i;
    if (!array_index(parent, last, &i) || i > json_array_size(parent)) {
        json_decref(copy);
        return refuse_op(r, op, "no such index");
    }
    return json_array_insert_new(parent, i, copy) == 0 || no_memory(r);
}

/* The value at `path` of the same operation's path or from; *ret_out (may be NULL): a reference,
 * taken out of the document. */
static bool look_up(json_t *root, const struct op *op, const char *path, bool take, json_t **ret,
                    struct kube_refusal *r)
{
    json_t *parent = NULL;
    char *last CLEANUP(free_p) = NULL;
    enum found found = find_parent(root, path, &parent, &last);
    if (found == FOUND_NO_MEMORY)
        return no_memory(r);
    json_t *value = found == FOUND ? child(parent, last) : NULL;
    if (!value)
        return refuse_op(r, op, "no such path");
    *ret = json_incref(value);
    if (!take)
        return true;
    size_t i = 0;
    if (json_is_object(parent))
        (void)json_object_del(parent, last);
    else if (array_index(parent, last, &i))
        (void)json_array_remove(parent, i);
    return true;
}

/* Of an object's member that is not there, kube-apiserver's library makes one (tried on 1.36.3); of
 * an array's, not. */
static bool op_replace(json_t *root, const struct op *op, struct kube_refusal *r)
{
    json_t *parent = NULL;
    char *last CLEANUP(free_p) = NULL;
    enum found found = find_parent(root, op->path, &parent, &last);
    if (found == FOUND_NO_MEMORY)
        return no_memory(r);
    if (found != FOUND || (json_is_array(parent) && !child(parent, last)))
        return refuse_op(r, op, "no such path");
    json_t *copy = json_deep_copy(op->value);
    if (!copy)
        return no_memory(r);
    size_t i = 0;
    if (json_is_object(parent))
        return set_new(parent, last, copy) || no_memory(r);
    return (array_index(parent, last, &i) && json_array_set_new(parent, i, copy) == 0) ||
           no_memory(r);
}

static bool op_test(json_t *root, const struct op *op, struct kube_refusal *r)
{
    json_t *parent = NULL;
    char *last CLEANUP(free_p) = NULL;
    enum found found = find_parent(root, op->path, &parent, &last);
    if (found == FOUND_NO_MEMORY)
        return no_memory(r);
    if (found != FOUND)
        return refuse_op(r, op, "no such path");
    json_t *value = child(parent, last);
    /* kube-apiserver's library takes null as the value of a member that is not there. */
    bool same =
        value ? json_equal(value, op->value) : json_is_object(parent) && json_is_null(op->value);
    return same || refuse_op(r, op, "test failed");
}

static bool apply_op(json_t *root, const struct op *op, struct kube_refusal *r)
{
    json_auto_t *value = NULL;
    if (strcmp(op->op, "remove") == 0)
        return look_up(root, op, op->path, true, &value, r);
    if (strcmp(op->op, "move") == 0 || strcmp(op->op, "copy") == 0) {
        if (!op->from)
            return refuse_op(r, op, "no from");
        return look_up(root, op, op->from, op->op[0] == 'm', &value, r) &&
               op_add(root, op, value, r);
    }
    if (strcmp(op->op, "add") != 0 && strcmp(op->op, "replace") != 0 && strcmp(op->op, "test") != 0)
        return refuse_op(r, op, "unknown operation");
    if (!op->value)
        return refuse_op(r, op, "no value");
    if (op->op[0] == 'a')
        return op_add(root, op, op->value, r);
    return op->op[0] == 'r' ? op_replace(root, op, r) : op_test(root, op, r);
}

static bool json_patch(json_t *root, const json_t *patch, struct kube_refusal *r)
{
    size_t i;
    json_t *item;
    if (json_array_size(patch) > OPS_MAX)
        return kube_refuse(r, 413, "the patch has more than %d operations", OPS_MAX);
    json_array_foreach(patch, i, item)
    {
        struct op op = {json_string_value(json_object_get(item, "op")),
                        json_string_value(json_object_get(item, "path")),
                        json_string_value(json_object_get(item, "from")),
                        json_object_get(item, "value")};
        if (!json_is_object(item))
            return kube_refuse(r, 400, "an operation of the patch is no object");
        if (!op.op || !op.path)
            return kube_refuse(r, 422, "operation %zu of the patch has no op or no path", i);
        if (!apply_op(root, &op, r))
            return false;
    }
    return true;
}

bool kube_patch_apply(enum kube_patch_type type, const json_t *object, const json_t *patch,
                      json_t **ret, struct kube_refusal *refusal)
{
    if (type == KUBE_PATCH_JSON ? !json_is_array(patch) : !json_is_object(patch))
        return kube_refuse(refusal, 400, "the patch is not %s",
                           type == KUBE_PATCH_JSON ? "a list of operations" : "an object");
    if (type == KUBE_PATCH_STRATEGIC && has_directive(patch))
        return kube_refuse(refusal, 422,
                           "directives of strategic merge patches are not served here");
    json_auto_t *copy = json_deep_copy(object);
    if (!copy)
        return no_memory(refusal);
    if (type == KUBE_PATCH_JSON ? !json_patch(copy, patch, refusal)
                                : !merge_into(copy, patch) && !no_memory(refusal))
        return false;
    *ret = json_incref(copy);
    return true;
}
