/* One container: what each vendor makes of its amounts, its variables and the pod's annotations,
 * and what it refuses. Texts: nvidia.md 3, vendors-a.md and vendors-b.md, their parts 6 and f. */
#include "admission/priv.h"

#include <stdio.h>
#include <string.h>

struct wish_text {
    struct vendor_wish wish;
    char digits[VENDOR_RES_COUNT_][EDIT_DIGITS]; /* of values that came as JSON numbers */
};

/* False: the container says nothing of the row's resources. */
static bool read_wish(struct mutation *m, const struct container *c, const struct vendor *v,
                      struct wish_text *ret)
{
    const json_t *resources = json_object_get(c->json, "resources");
    const json_t *from[] = {json_object_get(resources, "limits"),
                            json_object_get(resources, "requests")};
    struct str soft;
    bool any = false;
    memset(ret, 0, sizeof(*ret));
    for (unsigned what = 0; what < VENDOR_RES_COUNT_; what++) {
        struct str name = vendor_resource_name(v, (enum vendor_resource)what);
        for (size_t i = 0; i < 2 && name.n > 0 && !ret->wish.value[what].p; i++) {
            const json_t *value = edit_get(from[i], name);
            if (!value || json_is_null(value))
                continue;
            any = true;
            if (i == 0)
                ret->wish.limits |= UINT32_C(1) << what;
            if (!edit_quantity(value, ret->digits[what], &ret->wish.value[what]))
                mutation_conclude(m, ADMISSION_ERROR, 400,
                                  "container " STR_FMT ": " STR_FMT " must be a quantity",
                                  STR_ARG(mutation_shown(c->name)), STR_ARG(name));
        }
    }
    if (any && mutation_annotation(m, v->pod_soft, &soft))
        ret->wish.soft = vendor_soft(v, soft);
    return any;
}

/* nvidia.md 3 a, which also holds where no card is asked for. */
static void check_percent(struct mutation *m, const struct container *c, const struct vendor *v,
                          struct str text)
{
    struct quantity q;
    int64_t floor, ceil;
    if (!text.p)
        return;
    if (quantity_parse(text, &q, NULL) || !quantity_floor(&q, 0, &floor) ||
        !quantity_ceil(&q, 0, &ceil) || floor != ceil || floor < 0 || floor > 100)
        mutation_conclude(m, ADMISSION_DENY, 422,
                          "invalid " STR_FMT " value " STR_FMT " in container " STR_FMT
                          ": must be an integer between 0 and 100",
                          STR_ARG(v->res_mem_pct), STR_ARG(mutation_shown(text)),
                          STR_ARG(mutation_shown(c->name)));
}

static void set_priority(struct mutation *m, const struct container *c, const struct vendor *v,
                         struct str text)
{
    struct quantity q;
    int64_t priority;
    char digits[24];
    if (!text.p || m->stop)
        return;
    if (quantity_parse(text, &q, NULL) || !quantity_ceil(&q, 0, &priority)) {
        mutation_conclude(m, ADMISSION_DENY, 422,
                          "invalid " STR_FMT " value " STR_FMT " in container " STR_FMT
                          ": must be a number",
                          STR_ARG(v->res_priority), STR_ARG(mutation_shown(text)),
                          STR_ARG(mutation_shown(c->name)));
        return;
    }
    (void)snprintf(digits, sizeof(digits), "%lld", (long long)priority);
    edit_env(&m->edit, c, v->env_priority, str_z(digits));
}

/* ---- classes and QoS policies of pods: vendors-b.md 1f ---- */

static bool one_of(const struct str *names, uint16_t n, struct str text, uint16_t *ret)
{
    for (uint16_t i = 0; i < n; i++)
        if (str_eq(names[i], text)) {
            *ret = i;
            return true;
        }
    return false;
}

static void refuse_name(struct mutation *m, struct str key, const struct str *names, uint16_t n)
{
    char list[256] = "";
    size_t used = 0;
    for (uint16_t i = 0; i < n && used < sizeof(list); i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "%s" STR_FMT, i ? ", " : "",
                                 STR_ARG(names[i]));
    mutation_conclude(m, ADMISSION_DENY, 422, STR_FMT " must be set one of [%s]", STR_ARG(key),
                      list);
}

/* The class that the pod says it is of, checked; NONE where it says none. */
static enum score_class check_class(struct mutation *m, const struct vendor *v,
                                    const struct score_ask *ask)
{
    struct str text;
    uint16_t which;
    if (v->classes_n == 0 || !mutation_annotation(m, v->pod_class, &text))
        return SCORE_CLASS_NONE;
    if (!one_of(v->classes, v->classes_n, text, &which)) {
        refuse_name(m, v->pod_class, v->classes, v->classes_n);
        return SCORE_CLASS_NONE;
    }
    if (ask->count != 1)
        mutation_conclude(m, ADMISSION_DENY, 422, "app-class pod must request single device");
    return (enum score_class)(SCORE_CLASS_ONLINE + which);
}

static void check_qos(struct mutation *m, const struct vendor *v)
{
    struct str text;
    uint16_t which;
    if (v->qos_n == 0)
        return;
    if (!mutation_annotation(m, v->pod_qos, &text))
        edit_annotation(&m->edit, v->pod_qos, v->qos[0]);
    else if (!one_of(v->qos, v->qos_n, text, &which))
        refuse_name(m, v->pod_qos, v->qos, v->qos_n);
}

/* ---- what the pod takes of its namespace's quota ---- */

/* Amounts that only a node's cards tell (a percentage, a whole card, a profile, units) are not
 * known here; the decision asks the quota again with what they come to. */
static struct sum known(const struct vendor *v, const struct vendor_wish *wish,
                        const struct score_ask *ask, enum score_class class)
{
    const enum score_amount amount = v->core.amount;
    struct sum s = {ask->mem_mib * ask->count, (int64_t)ask->cores_pct * ask->count};
    /* Slices, GB or MiB, as the profiles have it (D2.6). */
    if (amount == SCORE_AMOUNT_PROFILE)
        s.mem_mib = 0;
    /* Cores that fill cards (D4.7). */
    if (amount == SCORE_AMOUNT_BITS && ask->cores_pct == 0 && !wish->value[VENDOR_RES_COUNT].p)
        s.cores_pct = (int64_t)v->cores_unit * ask->count;
    /* Percent of units (D5.3); online pods are given none (D1.10). */
    if (amount == SCORE_AMOUNT_UNITS || class == SCORE_CLASS_ONLINE)
        s.cores_pct = 0;
    return s;
}

static void charge(struct totals *t, enum score_step step, struct sum s)
{
    struct sum *to = step == SCORE_STEP_APP ? &t->app : &t->sidecars;
    if (step != SCORE_STEP_INIT) {
        to->mem_mib += s.mem_mib;
        to->cores_pct += s.cores_pct;
        return;
    }
    s.mem_mib += t->sidecars.mem_mib;
    s.cores_pct += t->sidecars.cores_pct;
    if (s.mem_mib > t->peak.mem_mib)
        t->peak.mem_mib = s.mem_mib;
    if (s.cores_pct > t->peak.cores_pct)
        t->peak.cores_pct = s.cores_pct;
}

/* ---- the steps ---- */

static void set_amounts(struct mutation *m, const struct container *c, const struct vendor *v,
                        const struct vendor_defaults *d)
{
    for (unsigned i = 0; i < VENDOR_RES_COUNT_; i++) {
        struct str name = vendor_resource_name(v, (enum vendor_resource)i);
        if (d->writes >> i & 1)
            edit_amount(&m->edit, c, name, d->value[i], d->both);
        if (v->mirror && name.n > 0)
            edit_mirror(&m->edit, c, name);
    }
}

static void set_variables(struct mutation *m, const struct container *c, const struct vendor *v)
{
    if (v->core_policy.n > 0 && !str_eq(v->core_policy, STR("default")))
        edit_env(&m->edit, c, v->env_core_policy, v->core_policy);
    if (c->name.n > 0 && !edit_has_env(c, v->env_name))
        edit_env(&m->edit, c, v->env_name, c->name);
}

static void set_runtime_class(struct mutation *m, const struct vendor *v)
{
    if (v->runtime_class.n > 0 && !m->runtime_class_set) {
        m->runtime_class_set = true;
        edit_spec(&m->edit, STR("runtimeClassName"), v->runtime_class);
    }
}

/* One row's turn. True: the container asks for its cards. */
static bool admit(struct mutation *m, const struct container *c, uint16_t row)
{
    const struct vendor *v = vendor_at(m->cfg->vendors, row);
    struct wish_text text;
    struct vendor_defaults add;
    struct score_ask ask;
    struct err err;
    bool asks = false;
    if (!read_wish(m, c, v, &text))
        return false;
    check_percent(m, c, v, text.wish.value[VENDOR_RES_MEM_PCT]);
    set_priority(m, c, v, text.wish.value[VENDOR_RES_PRIORITY]);
    if (m->stop)
        return false;
    if (vendor_defaults(v, &text.wish, &add, &err) ||
        vendor_derive(v, &text.wish, true, &ask, &asks, &err)) {
        mutation_conclude(m, ADMISSION_DENY, 422, "container " STR_FMT ": %s",
                          STR_ARG(mutation_shown(c->name)), err.text);
        return false;
    }
    if (!asks)
        return false;
    m->result->has_resource = true;
    enum score_class class = check_class(m, v, &ask);
    if (class != SCORE_CLASS_ONLINE)
        check_qos(m, v);
    if (m->stop)
        return false;
    set_variables(m, c, v);
    set_amounts(m, c, v, &add);
    set_runtime_class(m, v);
    if (add.cards > 0)
        m->cards[row] = add.cards; /* kept: the last container is the one that is told (4.6) */
    charge(&m->totals[row], c->step, known(v, &text.wish, &ask, class));
    return true;
}

/* Cards that a container did not ask for are hidden from it, but not with a variable by which
 * others that it did ask for are shown (A5). */
static void hide(struct mutation *m, const struct container *c, uint64_t asked, uint16_t row)
{
    const struct vendor *v = vendor_at(m->cfg->vendors, row);
    for (uint16_t i = 0; i < vendor_count(m->cfg->vendors); i++)
        if ((asked >> i & 1) && str_eq(vendor_at(m->cfg->vendors, i)->env_visible, v->env_visible))
            return;
    edit_env(&m->edit, c, v->env_visible, v->env_hidden);
}

void mutation_container(struct mutation *m, const struct container *c)
{
    uint64_t asked = 0; /* bit n: row n */
    _Static_assert(SCORE_VENDORS_MAX <= 64, "a bit for every row");
    for (uint16_t row = 0; !m->stop && row < vendor_count(m->cfg->vendors); row++)
        if (admit(m, c, row))
            asked |= UINT64_C(1) << row;
    for (uint16_t row = 0; !m->stop && row < vendor_count(m->cfg->vendors); row++)
        if (vendor_at(m->cfg->vendors, row)->overwrite_env)
            hide(m, c, asked, row);
}
