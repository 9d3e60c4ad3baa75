/* JSON Patch (RFC 6902), the part that admission writes: add, replace, remove. For file mode and
 * dry runs; a server applies the patch of a review itself. */
#include "admission/priv.h"

#include "base/own.h"

#include <string.h>

DEFINE_CLEANUP(json_t *, json_decref)

/* One token of a path, unescaped in place: ~1 is '/', ~0 is '~'. False: another escape. */
static bool unescape(char *token)
{
    char *to = token;
    for (const char *from = token; *from; from++) {
        char c = *from;
        if (c == '~') {
            from++;
            if (*from != '0' && *from != '1')
                return false;
            c = *from == '0' ? '~' : '/';
        }
        *to++ = c;
    }
    *to = '\0';
    return true;
}

/* An index below `end`; no sign, no leading zero. */
static bool array_index(const char *token, size_t end, size_t *ret)
{
    struct str s = str_z(token);
    int64_t i;
    if (s.n == 0 || token[0] == '-' || token[0] == '+' || (s.n > 1 && token[0] == '0') ||
        !str_int(s, 0, INT64_MAX, &i) || (uint64_t)i >= end)
        return false;
    *ret = (size_t)i;
    return true;
}

static json_t *step_into(json_t *from, const char *token)
{
    size_t i;
    if (json_is_object(from))
        return json_object_get(from, token);
    if (json_is_array(from) && array_index(token, json_array_size(from), &i))
        return json_array_get(from, i);
    return NULL;
}

enum op { OP_ADD, OP_REPLACE, OP_REMOVE };

/* Does `op` to the child `token` of `parent`. 0: done; 1: not there; -1: no memory. */
static int change(json_t *parent, const char *token, enum op op, const json_t *value)
{
    size_t i, n = json_array_size(parent);
    json_t *copy CLEANUP(json_decref_p) = op == OP_REMOVE ? NULL : json_deep_copy(value);
    if (op != OP_REMOVE && !copy)
        return -1;
    if (json_is_object(parent)) {
        if (op != OP_ADD && !json_object_get(parent, token))
            return 1;
        if (op == OP_REMOVE)
            return json_object_del(parent, token) ? 1 : 0;
        return json_object_set(parent, token, copy) ? -1 : 0;
    }
    if (!json_is_array(parent))
        return 1;
    if (op == OP_ADD && strcmp(token, "-") == 0)
        return json_array_append(parent, copy) ? -1 : 0;
    if (!array_index(token, op == OP_ADD ? n + 1 : n, &i))
        return 1;
    if (op == OP_REMOVE)
        return json_array_remove(parent, i) ? 1 : 0;
    if (op == OP_ADD)
        return json_array_insert(parent, i, copy) ? -1 : 0;
    return json_array_set(parent, i, copy) ? -1 : 0;
}

MUST_USE static enum err_code apply_one(json_t *root, const json_t *step, struct err *err)
{
    static const char *const OPS[] = {
        [OP_ADD] = "add", [OP_REPLACE] = "replace", [OP_REMOVE] = "remove"};
    const char *name = json_string_value(json_object_get(step, "op"));
    const json_t *path_json = json_object_get(step, "path"),
                 *value = json_object_get(step, "value");
    const char *path = json_string_value(path_json);
    unsigned op = 0;
    while (name && op < 3 && strcmp(name, OPS[op]) != 0)
        op++;
    if (!name || op == 3)
        return err_set(err, ERR_BAD_REQUEST, "op is not add, replace or remove");
    if (!path || path[0] != '/' || strlen(path) != json_string_length(path_json))
        return err_set(err, ERR_BAD_REQUEST, "path does not start with a slash");
    if (op != OP_REMOVE && !value)
        return err_set(err, ERR_BAD_REQUEST, "%s without a value", name);
    char *copy CLEANUP(free_p) = str_dup_z(str_z(path));
    if (!copy)
        return err_set(err, ERR_NO_MEMORY, "apply patch");
    json_t *at = root;
    char *token = copy + 1;
    for (char *slash; (slash = strchr(token, '/')) != NULL; token = slash + 1) {
        *slash = '\0';
        if (!unescape(token))
            return err_set(err, ERR_BAD_REQUEST, "path %.200s: bad escape", path);
        at = step_into(at, token);
        if (!at)
            return err_set(err, ERR_INVALID, "path %.200s: no such parent", path);
    }
    if (!unescape(token))
        return err_set(err, ERR_BAD_REQUEST, "path %.200s: bad escape", path);
    switch (change(at, token, (enum op)op, value)) {
    case 0:
        return ERR_OK;
    case 1:
        return err_set(err, ERR_INVALID, "path %.200s: nothing there to %s", path, name);
    default:
        return err_set(err, ERR_NO_MEMORY, "apply patch");
    }
}

enum err_code admission_apply(const json_t *pod, const json_t *patch, json_t **ret, struct err *err)
{
    json_t *copy CLEANUP(json_decref_p) = json_deep_copy(pod);
    const json_t *step;
    size_t i;
    if (!copy)
        return err_set(err, ERR_NO_MEMORY, "apply patch");
    if (!json_is_array(patch))
        return err_set(err, ERR_BAD_REQUEST, "a patch must be an array");
    json_array_foreach(patch, i, step)
    {
        enum err_code rc = apply_one(copy, step, err);
        if (rc)
            return err_prefix(err, rc, "patch operation %zu", i);
    }
    *ret = TAKE(copy);
    return ERR_OK;
}
