/* A configuration file of this folder as a tree, and tables that say what may stand where in it.
 *
 * yaml.c reads the text: one document, within bounds, without aliases and tags, each value with its
 * place. schema.c reads the tree by tables of keys: of which type a value must be and into which
 * field of a row it goes. Every fault is ERR_BAD_REQUEST "file:line:column: what is wrong". */
#ifndef CARDINAL_VENDOR_SCHEMA_H
#define CARDINAL_VENDOR_SCHEMA_H

#include "vendor/vendor.h"

#include <stdio.h>
#include <yaml.h>

enum kind { SCALAR, MAP, LIST };
struct node {
    enum kind kind;
    bool plain; /* a scalar without quotes or block style: may be a number, a bool or null */
    struct str text;
    size_t line, column;
    struct node **child; /* MAP: key, value, key, value … */
    size_t n, cap;
};

struct reader {
    const char *path;
    const struct vendor_load_handler *handler;
    struct arena *arena;
    struct err *err;
    yaml_parser_t *yaml;
    size_t nodes;
};

MUST_USE enum err_code fail_at(const struct reader *r, size_t line, size_t column,
                               const char *what);
#define fail_node(r, node, ...)                                                                    \
    __extension__({                                                                                \
        char what_[320];                                                                           \
        (void)snprintf(what_, sizeof(what_), __VA_ARGS__);                                         \
        fail_at((r), (node)->line, (node)->column, what_);                                         \
    })

/* The one document's root, from the arena; NULL when the text is empty. r->yaml is set within. */
MUST_USE enum err_code read_yaml(struct reader *r, struct str text, struct node **ret);
/* A file of at most VENDOR_CONFIG_MAX bytes; free() it. */
MUST_USE enum err_code read_file(const char *path, char **ret, size_t *ret_n, struct err *err);

enum type {
    T_TEXT,     /* any scalar; null is "" */
    T_RESOURCE, /* a resource name, or "" */
    T_CLASS,    /* a runtime class, or "" */
    T_POLICY,   /* gpuCorePolicy */
    T_LOG_LEVEL,
    T_BOOL,
    T_INT,      /* min … max; int32_t */
    T_FACTOR,   /* a decimal fraction, not negative */
    T_TEXTS,    /* list of texts */
    T_PROFILES, /* list of MIG profile names */
    T_MAP,      /* of `sub`; null is an empty map */
    T_MAPS,     /* list of maps of `sub`, all read into the same row */
    /* of rows that are described whole */
    T_INT64,    /* min … max; int64_t */
    T_ENUM,     /* one of `names`: its index; an enum */
    T_BITS,     /* list of `names`: bit n for name n; uint32_t */
    T_SEQUENCE, /* list of `names`, none twice: array of `size` enums, ended by 0 */
    T_BY_NAME,  /* map from `names` to `values`: array of enums by the index of the name */
    T_STRS,     /* list of texts: const struct str *, and how many */
    T_INTS,     /* list of numbers, min … max: const int32_t *, and how many */
    T_ROWS,     /* list of maps of `sub`: pointer to elements of `size` bytes, and how many */
};
#define NOWHERE SIZE_MAX /* checked and not kept: the plugin's business */

struct key {
    const char *name;
    enum type type;
    size_t field; /* offset in what is read into: struct str, bool or int32_t by type */
    int64_t min, max;
    const struct key *sub; /* ended by a NULL name */
    bool needed;           /* must be there and not empty */
    const char *const *names, *const *values; /* by index; NULL entries are no choice */
    size_t names_n, values_n;
    size_t size;  /* T_SEQUENCE: elements; T_ROWS: bytes of one */
    size_t count; /* T_STRS, T_INTS, T_ROWS: offset of a uint16_t */
    const char *help; /* what it means, where the table is described to users */
};

bool is_null(const struct node *n);
bool is_empty(const struct node *n);
/* Reads a map by its keys into `row`; NULL: only checks. `section` is for texts. */
MUST_USE enum err_code read_map(struct reader *r, const struct node *map, const struct key *keys,
                                const char *section, void *row);
MUST_USE enum err_code read_value(struct reader *r, const struct node *value, const struct key *k,
                                  const char *section, void *row);
/* Names that two rows must not share, for each of them leads to one row; told at `in`. */
MUST_USE enum err_code check_clashes(struct reader *r, const struct node *in,
                                     const struct vendor *v, const struct vendor *rows, uint16_t n);
/* Whether a text can be a row's key: a part of names of annotations. */
bool is_key(struct str s);
/* An unknown key: an error, or told to the handler. */
MUST_USE enum err_code unknown(struct reader *r, const struct node *key, const char *section);

#endif
