/* From the quantities of one container to an ask: how many cards, how much memory and cores of
 * each. The rules are nvidia.md 3 (d, e) and 4, and parts 5 and e of vendors-a.md and vendors-b.md.
 * Where the reference drops what it can't read, and so lets the pod run without its card, this
 * refuses with the resource and the value in the text (errata E-2, E-3, E-8, E-13). */
#include "vendor/priv.h"

#include <assert.h>
#include <stdio.h>

#define WIRE_MAX        INT64_C(2147483647) /* amounts travel as int32 in allocation lists */
#define CORES_WHOLE     100
#define VALUE_SHOWN_MAX 64 /* bytes of a bad value in a text */
#define MIB             (INT64_C(1) << 20)

/* ---- reading ---- */

static struct str shown(struct str value)
{
    return value.n > VALUE_SHOWN_MAX ? (struct str){value.p, VALUE_SHOWN_MAX} : value;
}

/* What stands in the pod, where the row looks; p NULL: nothing. */
static struct str value_of(const struct vendor *v, const struct vendor_wish *wish,
                           enum vendor_resource what)
{
    const bool counts = !(v->rules & VENDOR_RULE_LIMITS_ONLY) || wish->limits >> what & 1;
    return counts && vendor_resource_name(v, what).n > 0 ? wish->value[what] : (struct str){0};
}

MUST_USE static enum err_code out_of_range(const struct vendor *v, enum vendor_resource what,
                                           struct str text, int64_t min, int64_t max,
                                           struct err *err)
{
    struct str name = vendor_resource_name(v, what);
    char unit[48] = "";
    if (str_has_prefix(text, STR("-")) && vendor_positive(v, what))
        return err_set(err, ERR_INVALID, STR_FMT " must be greater than 0", STR_ARG(name));
    if (what == VENDOR_RES_CORES && v->cores_text.n > 0)
        return err_set(err, ERR_INVALID, STR_FMT " " STR_FMT ", not \"" STR_FMT "\"", STR_ARG(name),
                       STR_ARG(v->cores_text), STR_ARG(shown(text)));
    if (what == VENDOR_RES_MEM && v->mem_factor == 1)
        (void)snprintf(unit, sizeof(unit), " (the unit is MiB)");
    else if (what == VENDOR_RES_MEM)
        (void)snprintf(unit, sizeof(unit), " (the unit is %d MiB)", v->mem_factor);
    return err_set(err, ERR_INVALID,
                   STR_FMT " value \"" STR_FMT "\" must be between %lld and %lld%s", STR_ARG(name),
                   STR_ARG(shown(text)), (long long)min, (long long)max, unit);
}

/* The value of one resource as a whole number; a fraction is refused, or rounded up. */
MUST_USE static enum err_code read_number(const struct vendor *v, enum vendor_resource what,
                                          struct str text, bool round_up, struct quantity *ret_q,
                                          int64_t *ret, struct err *err)
{
    struct str name = vendor_resource_name(v, what);
    int64_t floor, ceil;
    if (quantity_parse(text, ret_q, NULL))
        return err_set(err, ERR_INVALID, STR_FMT " value \"" STR_FMT "\" is not a quantity",
                       STR_ARG(name), STR_ARG(shown(text)));
    if (!quantity_floor(ret_q, 0, &floor) || !quantity_ceil(ret_q, 0, &ceil))
        return err_set(err, ERR_INVALID, STR_FMT " value \"" STR_FMT "\" is beyond 64 bits",
                       STR_ARG(name), STR_ARG(shown(text)));
    if (floor != ceil && !round_up)
        return err_set(err, ERR_INVALID, STR_FMT " value \"" STR_FMT "\" is not a whole number",
                       STR_ARG(name), STR_ARG(shown(text)));
    *ret = ceil;
    return ERR_OK;
}

/* The value of one resource within [min, max]. */
MUST_USE static enum err_code read_amount(const struct vendor *v, const struct vendor_wish *wish,
                                          enum vendor_resource what, int64_t min, int64_t max,
                                          struct vendor_amount *ret, struct err *err)
{
    struct str text = value_of(v, wish, what);
    struct quantity q = {0};
    int64_t n = 0;
    *ret = (struct vendor_amount){0};
    if (!text.p)
        return ERR_OK;
    enum err_code rc = read_number(v, what, text, false, &q, &n, err);
    if (rc)
        return rc;
    if (n < min || n > max)
        return out_of_range(v, what, text, min, max, err);
    *ret = (struct vendor_amount){true, n};
    return ERR_OK;
}

/* Memory of VENDOR_RULE_MEM_BYTES, in MiB. A bare number is one of units, a number with a suffix
 * one of bytes; but an API server prints 4000 as "4k", so that of decimal numbers the amount
 * decides (D1.1): what a bare number may be is one. Less than a MiB is refused: as nothing it would
 * be the whole card. */
MUST_USE static enum err_code read_bytes(const struct vendor *v, const struct vendor_wish *wish,
                                         int64_t bare_max, struct vendor_amount *ret,
                                         struct err *err)
{
    struct str text = value_of(v, wish, VENDOR_RES_MEM);
    struct quantity q = {0};
    int64_t n = 0;
    *ret = (struct vendor_amount){0};
    if (!text.p)
        return ERR_OK;
    enum err_code rc = read_number(v, VENDOR_RES_MEM, text, true, &q, &n, err);
    if (rc)
        return rc;
    bool suffixed = false;
    for (size_t i = 0; i < text.n; i++)
        suffixed |=
            (text.p[i] >= 'a' && text.p[i] <= 'z') || (text.p[i] >= 'A' && text.p[i] <= 'Z');
    const bool bare = !q.binary && (n <= bare_max || !suffixed);
    if (n < 0 || (bare && (n > bare_max || q.frac_n > 0)))
        return out_of_range(v, VENDOR_RES_MEM, text, 0, bare_max, err);
    const int64_t mib = bare ? n * v->mem_factor : n / MIB + (n % MIB > 0);
    if (!bare && ((n > 0 && n < MIB) || mib > WIRE_MAX))
        return err_set(err, ERR_INVALID,
                       STR_FMT " value \"" STR_FMT "\" must be between 1Mi and %lldMi",
                       STR_ARG(v->res_mem), STR_ARG(shown(text)), (long long)WIRE_MAX);
    *ret = (struct vendor_amount){true, mib};
    return ERR_OK;
}

MUST_USE static enum err_code read_parts(const struct vendor *v, const struct vendor_wish *wish,
                                         struct vendor_amounts *a, struct err *err)
{
    const int64_t fitting = v->asking == VENDOR_ASKING_STEPS ? SCORE_AMOUNT_MAX : WIRE_MAX;
    int64_t mem_max = fitting / v->mem_factor, cores_max = v->cores_max;
    if (v->mem_max > 0 && v->mem_max < mem_max)
        mem_max = v->mem_max;
    if (cores_max == 0)
        cores_max =
            v->asking == VENDOR_ASKING_CORES ? (int64_t)SCORE_PARTS_MAX * v->cores_unit : WIRE_MAX;
    struct vendor_amount *mem = &a->of[VENDOR_RES_MEM];
    enum err_code rc = v->rules & VENDOR_RULE_MEM_BYTES
                           ? read_bytes(v, wish, mem_max, mem, err)
                           : read_amount(v, wish, VENDOR_RES_MEM, 0, mem_max, mem, err);
    if (!rc)
        rc = read_amount(v, wish, VENDOR_RES_MEM_PCT, INT64_MIN, INT64_MAX,
                         &a->of[VENDOR_RES_MEM_PCT], err);
    if (!rc)
        rc = read_amount(v, wish, VENDOR_RES_CORES, v->cores_min, cores_max,
                         &a->of[VENDOR_RES_CORES], err);
    return rc;
}

enum err_code vendor_amounts_read(const struct vendor *v, const struct vendor_wish *wish,
                                  struct vendor_amounts *ret, struct err *err)
{
    struct vendor_amounts a = {0};
    const struct vendor_amount *count = &a.of[VENDOR_RES_COUNT], *slices = &a.of[VENDOR_RES_SLICES];
    assert(v->mem_factor >= 1);
    enum err_code rc =
        read_amount(v, wish, VENDOR_RES_COUNT, 0, SCORE_PARTS_MAX, &a.of[VENDOR_RES_COUNT], err);
    if (!rc)
        rc = read_amount(v, wish, VENDOR_RES_SLICES, 0, UINT16_MAX, &a.of[VENDOR_RES_SLICES], err);
    /* The count of whole devices, and slices, make the rest void (vendors-b.md 2e, 4e). */
    const bool alone = slices->n > 0 || (v->asking == VENDOR_ASKING_CORES && count->given);
    if (!rc && !alone && (!count->given || count->n > 0))
        rc = read_parts(v, wish, &a, err);
    if (rc)
        return rc;
    *ret = a;
    return ERR_OK;
}

/* ---- deriving ---- */

static int64_t per_card(int64_t total, int64_t cards)
{
    return total / cards + (total % cards > 0);
}

/* Cards, and of each so much memory and so many cores. */
static struct score_ask plain_ask(const struct vendor *v, const struct vendor_amounts *a)
{
    const int64_t count = a->of[VENDOR_RES_COUNT].n, pct = a->of[VENDOR_RES_MEM_PCT].n;
    const bool totals = v->rules & VENDOR_RULE_TOTALS;
    const int64_t whole = v->cores_unit > 0 ? v->cores_unit : CORES_WHOLE;
    struct score_ask ask = {.count = (int32_t)count};
    int64_t mem = a->of[VENDOR_RES_MEM].n;
    int64_t cores =
        a->of[VENDOR_RES_CORES].given ? a->of[VENDOR_RES_CORES].n : v->default_cores_pct;
    if (!(v->rules & VENDOR_RULE_MEM_BYTES))
        mem *= v->mem_factor;
    ask.mem_mib = totals ? per_card(mem, count) : mem;
    if (ask.mem_mib == 0 && !(v->rules & VENDOR_RULE_NO_MEMORY)) {
        if (pct > 0)
            ask.mem_pct = pct > 100 ? 100 : (int32_t)pct;
        else if (v->default_mem_mib > 0)
            ask.mem_mib = v->default_mem_mib;
        else
            ask.mem_pct = 100;
    }
    if (totals)
        cores = per_card(cores, count);
    ask.cores_pct = (int32_t)(cores > whole ? whole : cores);
    return ask;
}

/* What cards are cut to. A pod that came around admission gets no less than its plugin will cut. */
MUST_USE static enum err_code round_ask(const struct vendor *v, struct score_ask *ask,
                                        struct err *err)
{
    int64_t mib;
    if (ask->mem_mib == 0)
        return ERR_OK;
    if (!vendor_round(v, ask->mem_mib, &mib))
        return err_set(err, ERR_INVALID, STR_FMT " of %lld MiB is more than a card's %lld",
                       STR_ARG(v->res_mem), (long long)ask->mem_mib, (long long)v->mem_most_mib);
    ask->mem_mib = mib;
    return ERR_OK;
}

/* vendors-b.md 3e: one of the steps, and its share of the cores; no memory is the last step. */
static void step_ask(const struct vendor *v, struct score_ask *ask)
{
    assert(v->templates);
    assert(v->templates_n > 0);
    const struct vendor_template *last = &v->templates[v->templates_n - 1];
    const struct vendor_template *step =
        ask->mem_mib > 0 ? vendor_template_for(v, ask->mem_mib) : last;
    if (!step)
        step = last;
    ask->mem_mib = step->mem_mib;
    ask->mem_pct = 0;
    ask->cores_pct = step->cores;
}

/* vendors-b.md 2e: slices of one card; or one card by memory and cores. */
static struct score_ask slices_ask(const struct vendor_amounts *a)
{
    const int64_t slices = a->of[VENDOR_RES_SLICES].n;
    if (slices > 0)
        return (struct score_ask){.count = 1, .slices = (int32_t)slices};
    return (struct score_ask){.count = 1,
                              .mem_mib = a->of[VENDOR_RES_MEM].n,
                              .mem_guess = true,
                              .cores_pct = (int32_t)a->of[VENDOR_RES_CORES].n};
}

/* vendors-b.md 4e: whole devices; or cores, of one device or of whole ones. */
MUST_USE static enum err_code cores_ask(const struct vendor *v, const struct vendor_amounts *a,
                                        struct score_ask *ret, struct err *err)
{
    const int64_t cores = a->of[VENDOR_RES_CORES].n, unit = v->cores_unit;
    assert(unit > 0);
    *ret = (struct score_ask){.count = (int32_t)a->of[VENDOR_RES_COUNT].n};
    if (a->of[VENDOR_RES_COUNT].given)
        return ERR_OK;
    if (cores > unit && cores % unit > 0)
        return err_set(err, ERR_INVALID, STR_FMT " must be 1 or a multiple of %lld, got %lld",
                       STR_ARG(v->res_cores), (long long)unit, (long long)cores);
    ret->count = cores > unit ? (int32_t)(cores / unit) : 1;
    ret->cores_pct = cores > unit ? 0 : (int32_t)cores;
    ret->by_cores = cores > unit;
    return ERR_OK;
}

/* Whether the amounts ask for cards; without a count they do where the row's asks need none. */
static bool asks_any(const struct vendor *v, const struct vendor_amounts *a)
{
    const struct vendor_amount *of = a->of;
    switch (v->asking) {
    case VENDOR_ASKING_SLICES:
        return of[VENDOR_RES_SLICES].n > 0 || of[VENDOR_RES_MEM].given ||
               of[VENDOR_RES_CORES].given;
    case VENDOR_ASKING_CORES:
        return of[VENDOR_RES_COUNT].given ? of[VENDOR_RES_COUNT].n > 0 : of[VENDOR_RES_CORES].n > 0;
    case VENDOR_ASKING_PLAIN:
    case VENDOR_ASKING_ROUNDED:
    case VENDOR_ASKING_STEPS:
        break;
    }
    return of[VENDOR_RES_COUNT].n > 0;
}

enum err_code vendor_derive(const struct vendor *v, const struct vendor_wish *wish, bool admitted,
                            struct score_ask *ret, bool *ret_asks, struct err *err)
{
    struct vendor_amounts a;
    struct score_ask ask;
    const bool counted = v->asking != VENDOR_ASKING_SLICES && v->asking != VENDOR_ASKING_CORES;
    if (!admitted && counted && !value_of(v, wish, VENDOR_RES_COUNT).p) {
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
    if (!asks_any(v, &a)) {
        *ret_asks = false;
        return ERR_OK;
    }
    if (v->asking == VENDOR_ASKING_SLICES)
        ask = slices_ask(&a);
    else if (v->asking == VENDOR_ASKING_CORES)
        rc = cores_ask(v, &a, &ask, err);
    else
        ask = plain_ask(v, &a);
    ask.soft = (v->rules & VENDOR_RULE_SOFT) && wish->soft;
    if (v->asking == VENDOR_ASKING_ROUNDED && !ask.soft)
        rc = round_ask(v, &ask, err);
    if (v->asking == VENDOR_ASKING_STEPS)
        step_ask(v, &ask);
    if (rc)
        return rc;
    *ret = ask;
    *ret_asks = true;
    return ERR_OK;
}
