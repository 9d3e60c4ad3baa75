/* Kubernetes resource quantities, exact (contract/core.md 0.2, errata E-1 to E-4). No floats.
 * Source: k8s.io/apimachinery/pkg/api/resource: sign, digits with at most one dot, and a suffix:
 * n u m "" k M G T P E | Ki Mi Gi Ti Pi Ei | e/E exponent. */
#ifndef CARDINAL_BASE_QUANTITY_H
#define CARDINAL_BASE_QUANTITY_H

#include "base/err.h"
#include "base/str.h"

struct quantity {
    bool negative;
    bool binary; /* a Ki…Ei suffix */
    uint8_t
        digits_n;   /* significant digits kept, leading zeros before the dot stripped; at most 38 */
    uint8_t frac_n; /* how many of the digits stand behind the dot */
    int16_t exp;    /* power of 10 (decimal) or of 2 (binary: 10, 20, … 60) */
    uint8_t digits[38];
};

/* ERR_BAD_REQUEST with the text quoted (bounded) when it is no quantity, or is beyond 38 digits or
 * |exp| > 60. */
MUST_USE enum err_code quantity_parse(struct str s, struct quantity *ret, struct err *err);
/* INT(q) of core.md 0.2 with E-1, E-2: false when the reference would not take it as an integer. */
bool quantity_int(const struct quantity *q, int64_t *ret);
/* Value · 10^scale rounded up (VAL with scale 0, milli with 3), checked: false when beyond int64. A
 * negative value is rounded away from zero, as the reference does, so that -0.5 stays negative. */
bool quantity_ceil(const struct quantity *q, unsigned scale, int64_t *ret);
/* The same rounded down (towards minus infinity). */
bool quantity_floor(const struct quantity *q, unsigned scale, int64_t *ret);
int quantity_sign(const struct quantity *q); /* -1, 0, 1 */

#endif
