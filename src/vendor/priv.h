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

/* The amounts of one container for one row. */
struct vendor_amounts {
    struct vendor_amount {
        bool given; /* there is a value */
        int64_t n;  /* in the resource's unit, MiB where VENDOR_RULE_MEM_BYTES; 0 when !given */
    } of[VENDOR_RES_COUNT_];
};
/* Every value as a whole number within its bounds. A count of 0 ends the reading: amounts are per card, and there is
 * none. ERR_INVALID with resource and value. */
MUST_USE enum err_code vendor_amounts_read(const struct vendor *v, const struct vendor_wish *wish,
                                           struct vendor_amounts *ret, struct err *err);
/* Whether admission refuses a 0 of this resource, where other rows take it for nothing. */
bool vendor_positive(const struct vendor *v, enum vendor_resource what);
/* vendor_defaults() of amounts that are read already. */
MUST_USE enum err_code vendor_amounts_admit(const struct vendor *v, const struct vendor_amounts *a, bool soft,
                                            struct vendor_defaults *ret, struct err *err);

/* Whether an annotation of this name is one of those that vendor_annotate() writes beside what rows
 * name (lists, pod_mig, pod_assigned), of a maker in the table or not. */
bool vendor_extra_key(const struct vendor_table *t, struct str name);

/* Bytes of the configuration file, of its strings and of its tree. */
#define VENDOR_CONFIG_MAX (1024 * 1024)
#define VENDOR_ARENA_MAX  (32 * 1024 * 1024)

#endif
