/* What the files of this folder share: the table's inside, and how rows get into it. */
#ifndef CARDINAL_VENDOR_PRIV_H
#define CARDINAL_VENDOR_PRIV_H

#include "base/map.h"
#include "vendor/vendor.h"

struct vendor_table {
    struct arena *arena;        /* every string that isn't a literal */
    struct vendor *rows;        /* n */
    struct score_vendor *cores; /* n, copies of rows[i].core */
    uint16_t n;
    struct map *resources; /* name → row << 8 | enum vendor_resource */
    struct map *keys;      /* name → row << 8 | enum vendor_key */
    struct map *quotas;    /* name → row << 8 | is_mem */
};

/* The built-in rows, as HAMi's chart names things. */
extern const struct vendor VENDOR_BUILTIN[];
extern const uint16_t VENDOR_BUILTIN_N;

/* A table of these rows: copies them, makes quota keys, indexes every name. The rows' strings must
 * be literals or live in `arena`, which the table takes on success. ERR_BAD_REQUEST: two resources
 * of one name. */
MUST_USE enum err_code vendor_table_make(const struct vendor *rows, uint16_t n, struct arena *arena,
                                         struct vendor_table **ret, struct err *err);

/* The name of resource `what` in the row; empty when it has none. */
struct str vendor_resource_name(const struct vendor *v, enum vendor_resource what);

/* Bytes of the configuration file, of its strings and of its tree. */
#define VENDOR_CONFIG_MAX (1024 * 1024)
#define VENDOR_ARENA_MAX  (32 * 1024 * 1024)

#endif
