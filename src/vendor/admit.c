/* What admission makes of a container's amounts, by the row's rules: counts that follow from
 * amounts, cards in pairs, memory rounded to what cards can be cut to, cores and memory that follow
 * from the count. Sources: nvidia.md 3, vendors-a.md and vendors-b.md, their parts 6 and f. */
#include "vendor/priv.h"

#include <assert.h>
#include <stdio.h>

const struct vendor_template *vendor_template_for(const struct vendor *v, int64_t mem_mib)
{
    for (uint16_t i = 0; i < v->templates_n; i++)
        if (v->templates[i].mem_mib >= mem_mib)
            return &v->templates[i];
    return NULL;
}

bool vendor_round(const struct vendor *v, int64_t mem_mib, int64_t *ret_mib)
{
    const struct vendor_template *fitting = vendor_template_for(v, mem_mib);
    if (!fitting && v->asking == VENDOR_ASKING_ROUNDED && mem_mib > v->mem_most_mib)
        return false;
    /* kept: above the last template a whole card is given, also where that is less than was asked
     * for (A8); of the largest step there is no more (vendors-b.md 3e) */
    *ret_mib = fitting                              ? fitting->mem_mib
               : v->asking == VENDOR_ASKING_ROUNDED ? v->mem_whole_mib
               : v->templates_n > 0                 ? v->templates[v->templates_n - 1].mem_mib
                                                    : mem_mib;
    return true;
}

/* What becomes of the amounts: those that were read, changed step by step. */
struct admitted {
    struct vendor_amounts a;
    struct vendor_defaults *d;
};

static int64_t amount(const struct admitted *s, enum vendor_resource what)
{
    return s->a.of[what].n;
}

static void change(struct admitted *s, enum vendor_resource what, int64_t value)
{
    s->a.of[what] = (struct vendor_amount){true, value};
    s->d->writes |= UINT32_C(1) << what;
    s->d->value[what] = value;
}

bool vendor_positive(const struct vendor *v, enum vendor_resource what)
{
    switch (what) {
    case VENDOR_RES_COUNT:
        return v->rules & VENDOR_RULE_COUNT_POSITIVE;
    case VENDOR_RES_SLICES:
    case VENDOR_RES_MEM:
        return v->asking == VENDOR_ASKING_SLICES; /* vendors-b.md 2f */
    case VENDOR_RES_CORES:
        return v->asking == VENDOR_ASKING_CORES; /* 4f */
    case VENDOR_RES_MEM_PCT:
    case VENDOR_RES_PRIORITY:
    case VENDOR_RES_COUNT_:
        break;
    }
    return false;
}

MUST_USE static enum err_code check_positive(const struct vendor *v, const struct vendor_amounts *a,
                                             struct err *err)
{
    for (unsigned i = 0; i < VENDOR_RES_COUNT_; i++) {
        enum vendor_resource what = (enum vendor_resource)i;
        if (a->of[what].given && a->of[what].n == 0 && vendor_positive(v, what))
            return err_set(err, ERR_INVALID, STR_FMT " must be greater than 0",
                           STR_ARG(vendor_resource_name(v, what)));
    }
    return ERR_OK;
}

/* Whether cards are asked for; a count where amounts imply one (nvidia.md 3 d). */
static void find_count(const struct vendor *v, struct admitted *s)
{
    const struct vendor_amount *of = s->a.of;
    bool parts =
        of[VENDOR_RES_MEM].given || of[VENDOR_RES_MEM_PCT].given || of[VENDOR_RES_CORES].given;
    switch (v->asking) {
    case VENDOR_ASKING_SLICES:
        s->d->asks = of[VENDOR_RES_SLICES].given || parts;
        return;
    case VENDOR_ASKING_CORES:
        s->d->asks =
            of[VENDOR_RES_COUNT].given ? of[VENDOR_RES_COUNT].n > 0 : of[VENDOR_RES_CORES].n > 0;
        return;
    case VENDOR_ASKING_PLAIN:
    case VENDOR_ASKING_ROUNDED:
    case VENDOR_ASKING_STEPS:
        break;
    }
    if (!of[VENDOR_RES_COUNT].given && (v->rules & VENDOR_RULE_COUNT_FROM_PARTS) &&
        v->default_count > 0 && parts)
        change(s, VENDOR_RES_COUNT, v->default_count);
    s->d->asks = amount(s, VENDOR_RES_COUNT) > 0;
}

/* vendors-a.md 1.6 step 2: one becomes two. Where several cards come in whole modules, other odd
 * numbers never fit, whether one becomes two or not (A2). */
MUST_USE static enum err_code pair_up(const struct vendor *v, struct admitted *s, struct err *err)
{
    int64_t n = amount(s, VENDOR_RES_COUNT);
    const bool pairs = v->rules & VENDOR_RULE_PAIRS;
    if (n % 2 == 0 || !(pairs || v->core.select == SCORE_SELECT_MODULES))
        return ERR_OK;
    if (n > 1)
        return err_set(err, ERR_INVALID, STR_FMT " device request must be 1 or 2*n, got %lld",
                       STR_ARG(v->core.key), (long long)n);
    if (pairs)
        change(s, VENDOR_RES_COUNT, 2);
    return ERR_OK;
}

/* Memory of so many MiB in the pod's unit: rounded down, unless that would round to another
 * template. */
static int64_t in_units(const struct vendor *v, int64_t mib, int64_t asked)
{
    int64_t rounded, n = mib / v->mem_factor;
    assert(v->mem_factor >= 1);
    return vendor_round(v, n * v->mem_factor, &rounded) && rounded == mib ? n : asked;
}

/* vendors-a.md 1.6 steps 3 to 7. Rounded is what the unit makes of the value, not the bare value
 * (A6); memory 0 is a whole card, split in software or not (A9); what counts is how many cards the
 * pod gets, not how many it named (A1). */
MUST_USE static enum err_code round_memory(const struct vendor *v, struct admitted *s, bool soft,
                                           struct err *err)
{
    int64_t asked = amount(s, VENDOR_RES_MEM), mib = v->mem_whole_mib;
    if (!soft && (v->rules & VENDOR_RULE_SOFT) && amount(s, VENDOR_RES_CORES) > 0)
        return err_set(err, ERR_INVALID,
                       STR_FMT " is only supported in hami-core (soft split) mode",
                       STR_ARG(v->res_cores));
    if (asked > 0 && soft) {
        change(s, VENDOR_RES_MEM, asked);
        s->d->both = true;
        return ERR_OK;
    }
    if (asked > 0 && !vendor_round(v, asked * v->mem_factor, &mib))
        return err_set(err, ERR_INVALID, STR_FMT " %lld is invalid", STR_ARG(v->res_mem),
                       (long long)asked);
    if (amount(s, VENDOR_RES_COUNT) > 1 && !soft && mib != v->mem_whole_mib)
        return err_set(err, ERR_INVALID, "vNPU not supported for multiple devices");
    if (mib > 0) {
        change(s, VENDOR_RES_MEM, in_units(v, mib, asked));
        s->d->both = true;
    }
    return ERR_OK;
}

/* vendors-b.md 3f. No memory is a whole card, and nothing to write. */
static void step_memory(const struct vendor *v, struct admitted *s)
{
    int64_t asked = amount(s, VENDOR_RES_MEM), mib;
    if (asked > 0 && vendor_round(v, asked * v->mem_factor, &mib)) {
        change(s, VENDOR_RES_MEM, in_units(v, mib, asked));
        s->d->both = true;
    }
}

/* vendors-a.md 4.6, 5.6: cores and memory that follow from the count. */
MUST_USE static enum err_code follow_count(const struct vendor *v, struct admitted *s,
                                           struct err *err)
{
    int64_t n = amount(s, VENDOR_RES_COUNT), mem = amount(s, VENDOR_RES_MEM);
    bool whole = n > v->admit_above;
    if (v->admit_mem > 0 && !s->a.of[VENDOR_RES_MEM].given)
        whole = true;
    if (whole && v->admit_cores > 0)
        change(s, VENDOR_RES_CORES, n * v->admit_cores);
    if (whole && v->admit_mem > 0)
        change(s, VENDOR_RES_MEM, n * v->admit_mem);
    if (n > 1 && v->pod_request_count.n > 0)
        s->d->cards = (int32_t)n;
    if (whole || n > 1 || v->admit_slices_n == 0)
        return ERR_OK;
    char list[160] = "";
    size_t used = 0;
    for (uint16_t i = 0; i < v->admit_slices_n; i++) {
        if (v->admit_slices[i] == mem)
            return ERR_OK;
        if (used < sizeof(list))
            used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%d", i ? ", " : "",
                                     v->admit_slices[i]);
    }
    return err_set(err, ERR_INVALID, "sGPU memory request value is invalid, valid values are [%s]",
                   list);
}

enum err_code vendor_amounts_admit(const struct vendor *v, const struct vendor_amounts *a,
                                   bool soft, struct vendor_defaults *ret, struct err *err)
{
    struct vendor_defaults d = {0};
    struct admitted s = {.a = *a, .d = &d};
    enum err_code rc = check_positive(v, a, err);
    if (rc)
        return rc;
    find_count(v, &s);
    if (d.asks) {
        rc = pair_up(v, &s, err);
        if (!rc && v->asking == VENDOR_ASKING_ROUNDED)
            rc = round_memory(v, &s, soft, err);
        if (!rc && v->asking == VENDOR_ASKING_STEPS)
            step_memory(v, &s);
        if (!rc)
            rc = follow_count(v, &s, err);
        if (rc)
            return rc;
        int64_t pct = amount(&s, VENDOR_RES_MEM_PCT);
        bool exclusive = pct > 0 ? pct >= 100 : amount(&s, VENDOR_RES_MEM) == 0;
        if ((v->rules & VENDOR_RULE_EXCLUSIVE_CORES) && v->res_cores.n > 0 &&
            !s.a.of[VENDOR_RES_CORES].given && exclusive)
            change(&s, VENDOR_RES_CORES, 100);
    }
    *ret = d;
    return ERR_OK;
}

enum err_code vendor_defaults(const struct vendor *v, const struct vendor_wish *wish,
                              struct vendor_defaults *ret, struct err *err)
{
    struct vendor_amounts a;
    enum err_code rc = vendor_amounts_read(v, wish, &a, err);
    if (rc)
        return rc;
    return vendor_amounts_admit(v, &a, wish->soft, ret, err);
}
