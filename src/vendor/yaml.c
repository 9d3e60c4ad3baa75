/* A configuration file's text → tree. The whole is bounded, and what a reader could take in two ways
 * (aliases, tags, a key twice) is refused with its place. */
#include "vendor/priv.h"
#include "vendor/schema.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define DEPTH_MAX    16
#define NODES_MAX    50000 /* a full file has some 600 */
#define CHILDREN_MAX 1024  /* entries of one map or list */

enum err_code fail_at(const struct reader *r, size_t line, size_t column, const char *what)
{
    return err_set(r->err, ERR_BAD_REQUEST, "%s:%zu:%zu: %s", r->path, line, column, what);
}

static void event_done(yaml_event_t *e) { yaml_event_delete(e); }

MUST_USE static enum err_code next_event(struct reader *r, yaml_event_t *ret)
{
    if (yaml_parser_parse(r->yaml, ret))
        return ERR_OK;
    const yaml_parser_t *y = r->yaml;
    if (y->error == YAML_MEMORY_ERROR)
        return err_set(r->err, ERR_NO_MEMORY, "%s", r->path);
    return fail_at(r, y->problem_mark.line + 1, y->problem_mark.column + 1,
                   y->problem ? y->problem : "not YAML");
}

MUST_USE static enum err_code read_node(struct reader *r, const yaml_event_t *at, unsigned depth,
                                        struct node **ret);

MUST_USE static enum err_code add_child(struct reader *r, struct node *to, struct node *child)
{
    if (to->n == CHILDREN_MAX)
        return fail_node(r, child, "more than %d entries", CHILDREN_MAX);
    if (to->n == to->cap) {
        size_t cap = to->cap ? to->cap * 2 : 8;
        struct node **more = arena_array(r->arena, cap, sizeof(struct node *));
        if (!more)
            return err_set(r->err, ERR_NO_MEMORY, "%s", r->path);
        for (size_t i = 0; i < to->n; i++)
            more[i] = to->child[i];
        to->child = more;
        to->cap = cap;
    }
    to->child[to->n++] = child;
    return ERR_OK;
}

MUST_USE static enum err_code check_key(struct reader *r, const struct node *map,
                                        const struct node *key)
{
    if (key->kind != SCALAR)
        return fail_node(r, key, "a key must be a text");
    for (size_t i = 0; i + 1 < map->n; i += 2)
        if (str_eq(map->child[i]->text, key->text))
            return fail_node(r, key, "key \"%.*s\" stands twice (first in line %zu)",
                             (int)(key->text.n > 64 ? 64 : key->text.n), key->text.p,
                             map->child[i]->line);
    return ERR_OK;
}

MUST_USE static enum err_code read_children(struct reader *r, struct node *to, unsigned depth,
                                            yaml_event_type_t end)
{
    for (;;) {
        yaml_event_t e CLEANUP(event_done) = {0};
        enum err_code rc = next_event(r, &e);
        if (rc)
            return rc;
        if (e.type == end)
            return ERR_OK;
        struct node *child = NULL;
        rc = read_node(r, &e, depth + 1, &child);
        if (rc || !child)
            return rc;
        if (to->kind == MAP && to->n % 2 == 0)
            rc = check_key(r, to, child);
        if (!rc)
            rc = add_child(r, to, child);
        if (rc)
            return rc;
    }
}

static const char *tag_of(const yaml_event_t *at)
{
    const yaml_char_t *tag = at->type == YAML_SCALAR_EVENT           ? at->data.scalar.tag
                             : at->type == YAML_MAPPING_START_EVENT  ? at->data.mapping_start.tag
                             : at->type == YAML_SEQUENCE_START_EVENT ? at->data.sequence_start.tag
                                                                     : NULL;
    return (const char *)tag;
}

enum err_code read_node(struct reader *r, const yaml_event_t *at, unsigned depth, struct node **ret)
{
    size_t line = at->start_mark.line + 1, column = at->start_mark.column + 1;
    if (depth > DEPTH_MAX)
        return fail_at(r, line, column, "nested too deeply");
    if (++r->nodes > NODES_MAX)
        return fail_at(r, line, column, "too many values");
    if (at->type == YAML_ALIAS_EVENT)
        return fail_at(r, line, column, "aliases are not supported, write the value out");
    if (tag_of(at))
        return fail_at(r, line, column, "tags are not supported");
    struct node *node = arena_alloc(r->arena, sizeof(*node));
    if (!node)
        return err_set(r->err, ERR_NO_MEMORY, "%s", r->path);
    node->line = line;
    node->column = column;
    *ret = node;
    switch ((int)at->type) {
    case YAML_MAPPING_START_EVENT:
        node->kind = MAP;
        return read_children(r, node, depth, YAML_MAPPING_END_EVENT);
    case YAML_SEQUENCE_START_EVENT:
        node->kind = LIST;
        return read_children(r, node, depth, YAML_SEQUENCE_END_EVENT);
    case YAML_SCALAR_EVENT:
        node->kind = SCALAR;
        node->plain = at->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        node->text = arena_str(
            r->arena, (struct str){(const char *)at->data.scalar.value, at->data.scalar.length});
        return arena_failed(r->arena) ? err_set(r->err, ERR_NO_MEMORY, "%s", r->path) : ERR_OK;
    default:
        return fail_at(r, line, column, "expected a value");
    }
}

/* The one document's root; NULL when the stream is empty. */
MUST_USE static enum err_code read_document(struct reader *r, struct node **ret)
{
    *ret = NULL;
    for (;;) {
        yaml_event_t e CLEANUP(event_done) = {0};
        enum err_code rc = next_event(r, &e);
        if (rc)
            return rc;
        switch ((int)e.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_STREAM_END_EVENT:
            return ERR_OK;
        case YAML_DOCUMENT_START_EVENT:
            if (*ret)
                return fail_at(r, e.start_mark.line + 1, e.start_mark.column + 1,
                               "more than one document");
            break;
        default:
            rc = read_node(r, &e, 1, ret);
            if (rc)
                return rc;
        }
    }
}

static void yaml_done(yaml_parser_t *y) { yaml_parser_delete(y); }

enum err_code read_yaml(struct reader *r, struct str text, struct node **ret)
{
    if (text.n > VENDOR_CONFIG_MAX)
        return err_set(r->err, ERR_BAD_REQUEST, "%s:1:1: larger than %d bytes", r->path,
                       VENDOR_CONFIG_MAX);
    yaml_parser_t parser CLEANUP(yaml_done) = {0};
    if (!yaml_parser_initialize(&parser))
        return err_set(r->err, ERR_NO_MEMORY, "%s", r->path);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
    r->yaml = &parser;
    enum err_code rc = read_document(r, ret);
    r->yaml = NULL;
    return rc;
}

static void fd_done(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

enum err_code read_file(const char *path, char **ret, size_t *ret_n, struct err *err)
{
    int fd CLEANUP(fd_done) = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_BAD_REQUEST, "%s: %m", path);
    char *bytes CLEANUP(free_p) = malloc(VENDOR_CONFIG_MAX + 1);
    if (!bytes)
        return err_set(err, ERR_NO_MEMORY, "%s", path);
    size_t n = 0;
    while (n <= VENDOR_CONFIG_MAX) {
        ssize_t got = read(fd, bytes + n, VENDOR_CONFIG_MAX + 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(err, ERR_BAD_REQUEST, "%s: %m", path);
        if (got == 0)
            break;
        n += (size_t)got;
    }
    *ret = TAKE(bytes);
    *ret_n = n;
    return ERR_OK;
}
