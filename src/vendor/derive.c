/* From the quantities of one container to an ask: how many cards, how much memory and cores of
 * each. The rules are nvidia.md 3 (d, e) and 4. Where the reference drops what it can't read, and
 * so lets the pod run without its card, this refuses with the resource and the value in the text
 * (errata E-2, E-3, E-8, E-13). */
#include "vendor/priv.h"

#include <assert.h>

#define WIRE_MAX        INT64_C(2147483647) /* amounts travel as int32 in allocation lists */
#define CORES_WHOLE     100
#define VALUE_SHOWN_MAX 64 /* bytes of a bad value in a text */

struct amount {
    bool given; /* there is a value */
    int64_t n;  /* 0 when !given */
};

static struct str shown(struct str value)
{
    return value.n > VALUE_SHOWN_MAX ? (struct str){value.p, VALUE_SHOWN_MAX} : value;
}

/* The value of one resource as a whole number within [min, max]. */
MUST_USE static enum err_code read_amount(const struct vendor *v, const struct vendor_wish *wish,
                                          enum vendor_resource what, int64_t min, int64_t max,
                                          struct amount *ret, struct err *err)
{
    struct str name = vendor_resource_name(v, what), text = wish->value[what];
    *ret = (struct amount){0};
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
    *ret = (struct amount){true, floor};
    return ERR_OK;
}

struct amounts {
    struct amount count, mem, pct, cores;
};

/* A count of 0 ends the reading: amounts are per card, and there is none. */
MUST_USE static enum err_code read_amounts(const struct vendor *v, const struct vendor_wish *wish,
                                           struct amounts *ret, struct err *err)
{
    struct amounts a = {0};
    enum err_code rc = read_amount(v, wish, VENDOR_RES_COUNT, 0, SCORE_PARTS_MAX, &a.count, err);
    if (rc)
        return rc;
    if (!a.count.given || a.count.n > 0) {
        assert(v->mem_factor >= 1);
        rc = read_amount(v, wish, VENDOR_RES_MEM, 0, WIRE_MAX / v->mem_factor, &a.mem, err);
        if (!rc)
            rc = read_amount(v, wish, VENDOR_RES_MEM_PCT, INT64_MIN, INT64_MAX, &a.pct, err);
        if (!rc)
            rc = read_amount(v, wish, VENDOR_RES_CORES, 0, WIRE_MAX, &a.cores, err);
        if (rc)
            return rc;
    }
    *ret = a;
    return ERR_OK;
}

static struct vendor_defaults defaults_of(const struct vendor *v, const struct amounts *a)
{
    struct vendor_defaults d = {0};
    if (a->count.given) {
        d.asks = a->count.n > 0;
    } else if ((v->rules & VENDOR_RULE_COUNT_FROM_PARTS) && v->default_count > 0 &&
               (a->mem.given || a->pct.given || a->cores.given)) {
        d.asks = true;
        d.count = v->default_count;
    }
    bool exclusive = a->pct.n > 0 ? a->pct.n >= 100 : a->mem.n == 0;
    if (d.asks && (v->rules & VENDOR_RULE_EXCLUSIVE_CORES) && v->res_cores.n > 0 &&
        !a->cores.given && exclusive)
        d.cores_pct = CORES_WHOLE;
    return d;
}

enum err_code vendor_defaults(const struct vendor *v, const struct vendor_wish *wish,
                              struct vendor_defaults *ret, struct err *err)
{
    struct amounts a;
    enum err_code rc = read_amounts(v, wish, &a, err);
    if (rc)
        return rc;
    *ret = defaults_of(v, &a);
    return ERR_OK;
}

enum err_code vendor_derive(const struct vendor *v, const struct vendor_wish *wish, bool admitted,
                            struct score_ask *ret, bool *ret_asks, struct err *err)
{
    struct amounts a;
    if (!admitted && !wish->value[VENDOR_RES_COUNT].p) {
        *ret_asks = false;
        return ERR_OK;
    }
    enum err_code rc = read_amounts(v, wish, &a, err);
    if (rc)
        return rc;
    if (admitted) {
        struct vendor_defaults d = defaults_of(v, &a);
        if (d.count > 0)
            a.count = (struct amount){true, d.count};
        if (d.cores_pct > 0)
            a.cores = (struct amount){true, d.cores_pct};
    }
    if (a.count.n == 0) {
        *ret_asks = false;
        return ERR_OK;
    }
    struct score_ask ask = {.count = (int32_t)a.count.n};
    ask.mem_mib = a.mem.n * v->mem_factor;
    if (ask.mem_mib == 0) {
        if (a.pct.n > 0)
            ask.mem_pct = a.pct.n > 100 ? 100 : (int32_t)a.pct.n;
        else if (v->default_mem_mib > 0)
            ask.mem_mib = v->default_mem_mib;
        else
            ask.mem_pct = 100;
    }
    int64_t cores = a.cores.given ? a.cores.n : v->default_cores_pct;
    ask.cores_pct = cores > CORES_WHOLE ? CORES_WHOLE : (int32_t)cores;
    *ret = ask;
    *ret_asks = true;
    return ERR_OK;
}
