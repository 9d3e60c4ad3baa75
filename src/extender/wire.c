/* The extender protocol's JSON, inward: bytes → what the verbs need, borrowed from the body.
 * Outward the verbs write into the answer's buffer themselves; their shapes are a few lines each.
 * Source: contract/kubernetes.md 1.1, core.md 1.1. Keys match in any case and the last of several
 * counts, as in Go. */
#include "extender/priv.h"

#include <string.h>

#define DEPTH_MAX 64

static bool raw_or_null(struct scan *s, struct str *ret)
{
    *ret = (struct str){0};
    if (scan_peek(s) == SCAN_NULL)
        return scan_null(s);
    return scan_raw(s, ret);
}

static bool string_or_null(struct scan *s, struct str *ret)
{
    *ret = (struct str){0};
    if (scan_peek(s) == SCAN_NULL)
        return scan_null(s);
    return scan_string(s, ret);
}

enum err_code ext_wire_args(struct str body, struct arena *arena, struct ext_args *ret,
                            struct err *err)
{
    struct ext_args args = {0};
    struct scan s = scan_start(body, DEPTH_MAX, arena);
    struct str key;
    if (scan_object(&s))
        while (scan_key(&s, &key)) {
            if (str_eq_fold(key, STR("Pod")))
                raw_or_null(&s, &args.pod);
            else if (str_eq_fold(key, STR("Nodes")))
                raw_or_null(&s, &args.nodes);
            else if (str_eq_fold(key, STR("NodeNames")))
                raw_or_null(&s, &args.node_names);
            else
                scan_skip(&s);
        }
    if (!scan_end(&s))
        return scan_err(&s, "extender args", err);
    *ret = args;
    return ERR_OK;
}

/* Grows by doubling inside the arena: the number of elements is known only at the end. */
static bool push(struct arena *arena, struct str **list, size_t *n, size_t *room, struct str item)
{
    if (*n == *room) {
        size_t more = *room ? *room * 2 : 512;
        struct str *bigger = arena_array(arena, more, sizeof(*bigger));
        if (!bigger)
            return false;
        if (*n)
            memcpy(bigger, *list, *n * sizeof(*bigger));
        *list = bigger;
        *room = more;
    }
    (*list)[(*n)++] = item;
    return true;
}

enum err_code ext_wire_names(struct str raw, size_t max, struct arena *arena, struct str **ret,
                             size_t *ret_n, struct err *err)
{
    struct str *list = NULL;
    size_t n = 0, room = 0;
    struct scan s = scan_start(raw, DEPTH_MAX, arena);
    if (scan_array(&s))
        while (scan_item(&s)) {
            struct str name;
            if (!scan_string(&s, &name))
                break;
            if (n == max)
                return err_set(err, ERR_TOO_LARGE, "NodeNames: more than %zu names", max);
            if (!push(arena, &list, &n, &room, name))
                return err_set(err, ERR_NO_MEMORY, "NodeNames: out of request memory");
        }
    if (!scan_end(&s))
        return scan_err(&s, "NodeNames", err);
    *ret = list;
    *ret_n = n;
    return ERR_OK;
}

enum err_code ext_wire_items(struct str raw, size_t max, struct arena *arena, struct str **ret,
                             size_t *ret_n, struct err *err)
{
    struct str *list = NULL;
    size_t n = 0, room = 0;
    struct scan s = scan_start(raw, DEPTH_MAX, arena);
    struct str key;
    if (scan_object(&s))
        while (scan_key(&s, &key)) {
            if (!str_eq_fold(key, STR("items"))) {
                scan_skip(&s);
                continue;
            }
            n = 0; /* of several, the last */
            if (scan_peek(&s) == SCAN_NULL) {
                scan_null(&s);
                continue;
            }
            if (!scan_array(&s))
                break;
            while (scan_item(&s)) {
                struct str item;
                if (!scan_raw(&s, &item))
                    break;
                if (n == max)
                    return err_set(err, ERR_TOO_LARGE, "Nodes: more than %zu items", max);
                if (!push(arena, &list, &n, &room, item))
                    return err_set(err, ERR_NO_MEMORY, "Nodes: out of request memory");
            }
        }
    if (!scan_end(&s))
        return scan_err(&s, "Nodes", err);
    *ret = list;
    *ret_n = n;
    return ERR_OK;
}

enum err_code ext_wire_bind_args(struct str body, struct arena *arena, struct ext_bind_args *ret,
                                 struct err *err)
{
    struct ext_bind_args args = {0};
    struct scan s = scan_start(body, DEPTH_MAX, arena);
    struct str key;
    if (scan_object(&s))
        while (scan_key(&s, &key)) {
            if (str_eq_fold(key, STR("PodName")))
                string_or_null(&s, &args.pod);
            else if (str_eq_fold(key, STR("PodNamespace")))
                string_or_null(&s, &args.ns);
            else if (str_eq_fold(key, STR("PodUID")))
                string_or_null(&s, &args.uid);
            else if (str_eq_fold(key, STR("Node")))
                string_or_null(&s, &args.node);
            else
                scan_skip(&s);
        }
    if (!scan_end(&s))
        return scan_err(&s, "binding args", err);
    if (!args.pod.n || !args.ns.n || !args.uid.n || !args.node.n)
        return err_set(err, ERR_BAD_REQUEST,
                       "binding args: PodName, PodNamespace, PodUID and Node are all needed");
    *ret = args;
    return ERR_OK;
}
