/* From the quantities of one container to an ask: how many cards, how much memory and cores of
 * each. The rules are nvidia.md 3 (d, e) and 4. Where the reference drops what it can't read, and
 * so lets the pod run without its card, this refuses with the resource and the value in the text
 * (errata E-2, E-3, E-8, E-13). */
#include "vendor/priv.h"

#include <assert.h>

#define WIRE_MAX        INT64_C(2147483647) /* amounts travel as int32 in allocation lists */
#define CORES_WHOLE     100
#define VALUE_SHOWN_MAX 64 /* bytes of a bad value in a text */

static struct str shown(struct str value)
{
    return value.n > VALUE_SHOWN_MAX ? (struct str){value.p, VALUE_SHOWN_MAX} : value;
}

/* The value of one resource as a whole number within [min, max]. */
MUST_USE static enum err_code read_amount(const struct vendor *v, const struct vendor_wish *wish,
                                          enum vendor_resource what, int64_t min, int64_t max,
                                          struct vendor_amount *ret, struct err *err)
{
    struct str name = vendor_resource_name(v, what), text = wish->value[what];
    *ret = (struct vendor_amount){0};
    if (name.n == 0 || !text.p)
        return ERR_OK;
    struct quantity q;
    int64_t floor, ceil;
    if (quantity_parse(text, &q, NULL))
        return err_set(err, ERR_INVALID, STR_FMT " value \"" STR_FMT "\" is not a quantity",
                       STR_ARG(name), STR_ARG(shown(text)));
    if (!quantity_floor(&q, 0, &floor) || !quantity_ceil(&q, 0, &ceil))
        return err_set(err, ERR_INVALID, STR_FMT " value \"" STR_FMT "\" is beyond 64 bits",
                       STR_ARG(name), STR_ARG(shown(text)));
    if (floor != ceil)
        return err_set(err, ERR_INVALID, STR_FMT " value \"" STR_FMT "\" is not a whole number",
                       STR_ARG(name), STR_ARG(shown(text)));
    if (floor < min || floor > max) {
        bool mib = what == VENDOR_RES_MEM;
        return err_set(err, ERR_INVALID,
                       STR_FMT " value \"" STR_FMT "\" must be between %lld and %lld%s",
                       STR_ARG(name), STR_ARG(shown(text)), (long long)min, (long long)max,
                       !mib                 ? ""
                       : v->mem_factor == 1 ? " (the unit is MiB)"
                                            : " (units of several MiB)");
    }
    *ret = (struct vendor_amount){true, floor};
    return ERR_OK;
}

enum err_code vendor_amounts_read(const struct vendor *v, const struct vendor_wish *wish,
                                  struct vendor_amounts *ret, struct err *err)
{
    struct vendor_amounts a = {0};
    struct vendor_amount *count = &a.of[VENDOR_RES_COUNT];
    enum err_code rc = read_amount(v, wish, VENDOR_RES_COUNT, 0, SCORE_PARTS_MAX, count, err);
    if (rc)
        return rc;
    if (!count->given || count->n > 0) {
        assert(v->mem_factor >= 1);
        rc = read_amount(v, wish, VENDOR_RES_MEM, 0, WIRE_MAX / v->mem_factor,
                         &a.of[VENDOR_RES_MEM], err);
        if (!rc)
            rc = read_amount(v, wish, VENDOR_RES_MEM_PCT, INT64_MIN, INT64_MAX,
                             &a.of[VENDOR_RES_MEM_PCT], err);
        if (!rc)
            rc = read_amount(v, wish, VENDOR_RES_CORES, 0, WIRE_MAX, &a.of[VENDOR_RES_CORES], err);
        if (rc)
            return rc;
    }
    *ret = a;
    return ERR_OK;
}

enum err_code vendor_derive(const struct vendor *v, const struct vendor_wish *wish, bool admitted,
                            struct score_ask *ret, bool *ret_asks, struct err *err)
{
    struct vendor_amounts a;
    if (!admitted && !wish->value[VENDOR_RES_COUNT].p) {
        *ret_asks = false;
        return ERR_OK;
    }
    enum err_code rc = vendor_amounts_read(v, wish, &a, err);
    if (rc)
        return rc;
    if (admitted) {
        struct vendor_defaults d;
        rc = vendor_amounts_admit(v, &a, wish->soft, &d, err);
        if (rc)
            return rc;
        for (int what = 0; what < VENDOR_RES_COUNT_; what++)
            if (d.writes >> what & 1)
                a.of[what] = (struct vendor_amount){true, d.value[what]};
    }
    if (a.of[VENDOR_RES_COUNT].n == 0) {
        *ret_asks = false;
        return ERR_OK;
    }
    struct score_ask ask = {.count = (int32_t)a.of[VENDOR_RES_COUNT].n};
    ask.mem_mib = a.of[VENDOR_RES_MEM].n * v->mem_factor;
    if (ask.mem_mib == 0) {
        int64_t pct = a.of[VENDOR_RES_MEM_PCT].n;
        if (pct > 0)
            ask.mem_pct = pct > 100 ? 100 : (int32_t)pct;
        else if (v->default_mem_mib > 0)
            ask.mem_mib = v->default_mem_mib;
        else
            ask.mem_pct = 100;
    }
    int64_t cores = a.of[VENDOR_RES_CORES].given ? a.of[VENDOR_RES_CORES].n : v->default_cores_pct;
    ask.cores_pct = cores > CORES_WHOLE ? CORES_WHOLE : (int32_t)cores;
    *ret = ask;
    *ret_asks = true;
    return ERR_OK;
}
