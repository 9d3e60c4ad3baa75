/* What the three decoders share: reading members as Go's encoding/json does. In a Go struct null
 * changes nothing, a second object of one name is merged into the first, of scalars and arrays the
 * last one counts; with `fold` (bodies that Go clients send) the keys of structs, never those of
 * maps, match without regard to case. */
#ifndef CARDINAL_CLUSTER_DECODE_H
#define CARDINAL_CLUSTER_DECODE_H

#include "base/quantity.h"
#include "base/scan.h"
#include "cluster/cluster.h"

#include <string.h>

enum {
    DECODE_DEPTH_MAX = 64,
    DECODE_ANNOTATION_MAX =
        256 * 1024,       /* what kube-apiserver allows an object's annotations in all */
    DECODE_UUID_MAX = 253 /* bytes of a card's name that we charge by */
};
#define DECODE_AMOUNT_MAX                                                                          \
    (INT64_C(1) << 50) /* CPU and memory: sums of thousands stay within int64 */

struct decode {
    struct scan s;
    const struct cluster_config *cfg;
    struct arena *arena;
    bool fold;
};

static inline struct decode decode_start(const struct cluster_config *cfg, struct str text,
                                         bool fold, struct arena *arena)
{
    return (struct decode){
        .s = scan_start(text, DECODE_DEPTH_MAX, arena), .cfg = cfg, .arena = arena, .fold = fold};
}

static inline bool decode_is(const struct decode *d, struct str key, struct str name)
{
    if (key.n != name.n)
        return false;
    return memcmp(key.p, name.p, name.n) == 0 || (d->fold && str_eq_fold(key, name));
}

/* An object, or null (false, no fault). */
static inline bool decode_object(struct decode *d)
{
    return !scan_null(&d->s) && scan_object(&d->s);
}

/* An array, or null (false, no fault). */
static inline bool decode_array(struct decode *d) { return !scan_null(&d->s) && scan_array(&d->s); }

static inline void decode_text(struct decode *d, struct str *ret)
{
    if (!scan_null(&d->s))
        scan_string(&d->s, ret);
}

/* The value of a Go map of strings: null is the empty string. p is never NULL. */
static inline void decode_map_text(struct decode *d, struct str *ret)
{
    struct str text = STR("");
    if (!scan_null(&d->s) && !scan_string(&d->s, &text))
        return;
    *ret = text.p ? text : STR("");
}

/* A quantity as it stands, trimmed: a string, a number, or null for 0. p is never NULL. */
static inline void decode_quantity(struct decode *d, struct str *ret)
{
    struct str text = STR("0");
    switch (scan_peek(&d->s)) {
    case SCAN_NULL:
        scan_null(&d->s);
        break;
    case SCAN_STRING:
        scan_string(&d->s, &text);
        text = str_trim(text);
        break;
    case SCAN_NUMBER:
        scan_raw(&d->s, &text);
        break;
    default:
        scan_fail(&d->s, "expected a quantity");
        return;
    }
    *ret = text.p ? text : STR("");
}

/* How many elements; they are skipped. */
static inline size_t decode_count(struct decode *d)
{
    size_t n = 0;
    if (decode_array(d))
        while (scan_item(&d->s) && scan_skip(&d->s))
            n++;
    return n;
}

static inline uint32_t decode_annotation_max(const struct cluster_config *cfg)
{
    return cfg->annotation_max ? cfg->annotation_max : DECODE_ANNOTATION_MAX;
}

/* A quantity times 10^scale within [0, DECODE_AMOUNT_MAX]; what can't be read is 0. */
static inline int64_t decode_amount(struct str text, unsigned scale, bool round_up)
{
    struct quantity q;
    int64_t v;
    if (!text.p || quantity_parse(text, &q, NULL) || quantity_sign(&q) <= 0)
        return 0;
    if (!(round_up ? quantity_ceil(&q, scale, &v) : quantity_floor(&q, scale, &v)))
        return DECODE_AMOUNT_MAX;
    return v > DECODE_AMOUNT_MAX ? DECODE_AMOUNT_MAX : v;
}

static inline int64_t decode_mib(struct str text, bool round_up)
{
    const int64_t mib = 1 << 20, bytes = decode_amount(text, 0, round_up);
    return (bytes + (round_up ? mib - 1 : 0)) / mib;
}

/* The fault of the text, or of the arena, as an error. */
enum err_code decode_failed(const struct decode *d, const char *what, struct err *err);

/* Room for one more element in an array of the arena that grows by doubling; false: no memory. */
bool decode_grow(struct arena *arena, void **array, size_t n, size_t *cap, size_t size);
#define DECODE_GROW(arena, array, n, cap)                                                          \
    decode_grow(arena, (void **)&(array), n, &(cap), sizeof(*(array)))

#endif
