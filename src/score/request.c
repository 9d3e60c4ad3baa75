/* A request before any node is looked at: is it sound (score_request_check), and what of it is the
 * same for all nodes (score_prepare): which checks can fail, in which order asks are placed, which
 * types and cards are selected. */
#include "score/priv.h"

#include <assert.h>

/* ---- is it sound ---- */

static enum err_code check_vendor(const struct score_vendor *vendor, struct err *err)
{
    bool known = (unsigned)vendor->amount <= SCORE_AMOUNT_PROFILE &&
                 (unsigned)vendor->select <= SCORE_SELECT_BLOCKS &&
                 (unsigned)vendor->quality <= SCORE_QUALITY_WINGS &&
                 (unsigned)vendor->select_reason < SCORE_REASON_COUNT_;
    for (unsigned i = 0; i < SCORE_CHECK_COUNT_; i++)
        known &= (unsigned)vendor->reasons[i] < SCORE_REASON_COUNT_;
    if (!known)
        return err_set(err, ERR_INVALID, "vendor " STR_FMT ": no known algorithm or reason",
                       STR_ARG(vendor->key));
    uint32_t seen = 0;
    for (unsigned i = 0; i < SCORE_CHECK_COUNT_; i++) {
        const unsigned check = vendor->checks[i];
        if (check == SCORE_CHECK_END)
            return ERR_OK;
        if (check >= SCORE_CHECK_COUNT_ || (seen >> check & 1))
            return err_set(err, ERR_INVALID, "vendor " STR_FMT ": check %u is unknown or repeated",
                           STR_ARG(vendor->key), i);
        seen |= (uint32_t)1 << check;
    }
    return err_set(err, ERR_INVALID, "vendor " STR_FMT ": checks have no end",
                   STR_ARG(vendor->key));
}

static enum err_code check_steps(const struct score_request *req, struct err *err)
{
    if (req->containers_n < 1 || req->containers_n > SCORE_CONTAINERS_MAX || !req->steps)
        return err_set(err, ERR_INVALID, "%u containers, want 1 to %u", req->containers_n,
                       SCORE_CONTAINERS_MAX);
    for (unsigned c = 0; c < req->containers_n; c++) {
        if ((unsigned)req->steps[c] > SCORE_STEP_APP)
            return err_set(err, ERR_INVALID, "container %u is of no known step", c);
        if (c > 0 && req->steps[c - 1] == SCORE_STEP_APP && req->steps[c] != SCORE_STEP_APP)
            return err_set(err, ERR_INVALID, "container %u: init containers come first", c);
    }
    return ERR_OK;
}

static enum err_code check_ask(const struct score_request *req, unsigned i, struct err *err)
{
    const struct score_ask *a = &req->asks[i];
    if (a->container >= req->containers_n || a->vendor >= req->vendors_n)
        return err_set(err, ERR_INVALID, "ask %u: no such container or vendor", i);
    if (i > 0) {
        const struct score_ask *b = &req->asks[i - 1];
        if (b->container > a->container || (b->container == a->container && b->vendor >= a->vendor))
            return err_set(err, ERR_INVALID, "ask %u is out of order or repeated", i);
    }
    if (a->count < 1 || a->count > SCORE_PARTS_MAX)
        return err_set(err, ERR_INVALID, "ask %u: %d cards, want 1 to %d", i, a->count,
                       SCORE_PARTS_MAX);
    if (a->mem_mib < 0 || a->mem_mib > SCORE_AMOUNT_MAX || a->mem_pct < 0 || a->mem_pct > 100 ||
        (a->mem_mib > 0 && a->mem_pct > 0))
        return err_set(err, ERR_INVALID, "ask %u: memory is to be MiB or up to 100 percent", i);
    if (a->cores_pct < 0)
        return err_set(err, ERR_INVALID, "ask %u: negative cores", i);
    if (a->slices < 0)
        return err_set(err, ERR_INVALID, "ask %u: negative slices", i);
    return check_vendor(&req->vendors[a->vendor], err);
}

static bool none_empty(const struct str *list, uint16_t n)
{
    for (unsigned i = 0; i < n; i++)
        if (!list || list[i].n == 0)
            return false;
    return true;
}

static enum err_code check_selections(const struct score_request *req, struct err *err)
{
    if (req->selections_n > SCORE_VENDORS_MAX || (req->selections_n && !req->selections))
        return err_set(err, ERR_INVALID, "too many selections");
    for (unsigned i = 0; i < req->selections_n; i++) {
        const struct score_selection *s = &req->selections[i];
        if (s->vendor >= req->vendors_n)
            return err_set(err, ERR_INVALID, "selection %u: no such vendor", i);
        for (unsigned j = 0; j < i; j++)
            if (req->selections[j].vendor == s->vendor)
                return err_set(err, ERR_INVALID, "selection %u: vendor repeated", i);
        if (!none_empty(s->use_types, s->use_types_n) ||
            !none_empty(s->nouse_types, s->nouse_types_n) ||
            !none_empty(s->use_uuids, s->use_uuids_n) ||
            !none_empty(s->nouse_uuids, s->nouse_uuids_n))
            return err_set(err, ERR_INVALID, "selection %u: empty entry", i);
        if ((unsigned)s->app_class > SCORE_CLASS_OFFLINE)
            return err_set(err, ERR_INVALID, "selection %u: no known class", i);
    }
    return ERR_OK;
}

static enum err_code check_quotas(const struct score_request *req, struct err *err)
{
    if (req->quotas_n > SCORE_VENDORS_MAX || (req->quotas_n && !req->quotas))
        return err_set(err, ERR_INVALID, "too many quotas");
    for (unsigned i = 0; i < req->quotas_n; i++) {
        if (req->quotas[i].vendor >= req->vendors_n)
            return err_set(err, ERR_INVALID, "quota %u: no such vendor", i);
        for (unsigned j = 0; j < i; j++)
            if (req->quotas[j].vendor == req->quotas[i].vendor)
                return err_set(err, ERR_INVALID, "quota %u: vendor repeated", i);
    }
    return ERR_OK;
}

static bool weight_ok(int32_t w) { return w >= 0 && w <= 1000000; }

static enum err_code check_policy(const struct score_policy *p, struct err *err)
{
    for (unsigned i = 0; i < 3; i++)
        if ((unsigned)p->card[i] >= SCORE_KEY_COUNT_)
            return err_set(err, ERR_INVALID, "policy: unknown key");
    if (!weight_ok(p->weight_slot) || !weight_ok(p->weight_core) || !weight_ok(p->weight_mem))
        return err_set(err, ERR_INVALID, "policy: weights are 0 to 1000000");
    if (p->weight_slot + p->weight_core + p->weight_mem == 0)
        return err_set(err, ERR_INVALID, "policy: at least one weight must be positive");
    return ERR_OK;
}

enum err_code score_request_check(const struct score_request *req, struct err *err)
{
    if (req->vendors_n < 1 || req->vendors_n > SCORE_VENDORS_MAX || !req->vendors)
        return err_set(err, ERR_INVALID, "%u vendors, want 1 to %u", req->vendors_n,
                       SCORE_VENDORS_MAX);
    enum err_code rc = check_steps(req, err);
    if (rc)
        return rc;
    if (req->asks_n < 1 || req->asks_n > SCORE_ASKS_MAX || !req->asks)
        return err_set(err, ERR_INVALID, "%u asks, want 1 to %u", req->asks_n, SCORE_ASKS_MAX);
    int64_t parts = 0;
    for (unsigned i = 0; i < req->asks_n; i++) {
        rc = check_ask(req, i, err);
        if (rc)
            return rc;
        parts += req->asks[i].count;
    }
    if (parts > SCORE_PARTS_MAX)
        return err_set(err, ERR_INVALID, "%lld cards in all, want at most %d", (long long)parts,
                       SCORE_PARTS_MAX);
    rc = check_selections(req, err);
    if (!rc)
        rc = check_quotas(req, err);
    return rc ? rc : check_policy(&req->policy, err);
}

/* ---- what is the same for all nodes ---- */

/* Heap sort: no memory of its own, n log n whatever a pod's annotation holds. */
static void sift(struct str *list, size_t root, size_t n)
{
    for (size_t child = 2 * root + 1; child < n; root = child, child = 2 * root + 1) {
        if (child + 1 < n && str_cmp(list[child], list[child + 1]) < 0)
            child++;
        if (str_cmp(list[root], list[child]) >= 0)
            return;
        struct str tmp = list[root];
        list[root] = list[child];
        list[child] = tmp;
    }
}

static const struct str *sorted(const struct str *list, uint16_t n, struct arena *arena)
{
    struct str *copy = n ? arena_array(arena, n, sizeof(*copy)) : NULL;
    if (!copy)
        return NULL;
    for (size_t i = 0; i < n; i++)
        copy[i] = list[i];
    for (size_t i = n / 2; i-- > 0;)
        sift(copy, i, n);
    for (size_t end = n; end-- > 1;) {
        struct str tmp = copy[0];
        copy[0] = copy[end];
        copy[end] = tmp;
        sift(copy, 0, end);
    }
    return copy;
}

static bool any_in(const struct str *list, uint16_t n, struct str text)
{
    for (unsigned i = 0; i < n; i++)
        if (str_contains_fold(text, list[i]))
            return true;
    return false;
}

static bool type_allowed(const struct score_selection *s, struct str type)
{
    if (any_in(s->nouse_types, s->nouse_types_n, type))
        return false;
    return !s->use_type_set || any_in(s->use_types, s->use_types_n, type);
}

static void mark(uint64_t *set, uint32_t i) { set[i / 64] |= (uint64_t)1 << (i % 64); }

static void prepare_selection(const struct score_selection *s, unsigned at, const struct str *types,
                              const struct score_prepared *prep, struct arena *arena,
                              struct score_plan *plan)
{
    plan->selects = true;
    plan->types_n = prep->types_n;
    uint64_t *const type_ok = prep->type_ok + (size_t)at * prep->words;
    uint64_t *const mode_ok = prep->mode_ok + (size_t)at * prep->words;
    for (uint32_t t = 0; t < prep->types_n; t++) {
        if (type_allowed(s, types[t]))
            mark(type_ok, t);
        if (!s->mode_set || str_contains(s->mode, types[t]))
            mark(mode_ok, t);
    }
    plan->type_ok = s->use_type_set || s->nouse_types_n ? type_ok : NULL;
    plan->mode_ok = s->mode_set ? mode_ok : NULL;
    plan->use_uuid_set = s->use_uuid_set;
    plan->use_uuids = sorted(s->use_uuids, s->use_uuids_n, arena);
    plan->use_uuids_n = s->use_uuids_n;
    plan->nouse_uuids = sorted(s->nouse_uuids, s->nouse_uuids_n, arena);
    plan->nouse_uuids_n = s->nouse_uuids_n;
}

/* What the row's way to select comes to for one ask. */
static enum score_select select_of(const struct score_plan *plan, const struct fit_ask *ask)
{
    const bool whole = ask->cores_pct == FIT_CORES_MAX && plan->app_class == SCORE_CLASS_NONE;
    switch (plan->select) {
    case SCORE_SELECT_ZONES_FIT:
        return whole ? plan->select : SCORE_SELECT_EACH;
    case SCORE_SELECT_ZONES:
    case SCORE_SELECT_MODULES:
    case SCORE_SELECT_BLOCKS:
        return ask->count > 1 ? plan->select : SCORE_SELECT_EACH;
    default:
        return plan->select;
    }
}

static bool alike(const struct fit_ask *a, const struct fit_ask *b)
{
    return a->step == SCORE_STEP_APP && b->step == SCORE_STEP_APP && a->count == 1 &&
           b->count == 1 && a->mem_mib == b->mem_mib && a->mem_pct == b->mem_pct &&
           a->cores_pct == b->cores_pct && a->slices == b->slices && a->soft == b->soft &&
           a->mem_guess == b->mem_guess;
}

/* Adds the vendor's asks of init containers, or of the others. App containers and sidecars are
 * placed first, in order of containers, because init steps are to take the cards that those hold
 * anyway. Where cards only go together in fixed sets, the largest asks come first: a small one
 * would break a large set up. */
static void add_asks(const struct score_request *req, bool init, struct score_plan *plan)
{
    const struct score_vendor *vendor = &req->vendors[plan->vendor];
    const uint16_t first = plan->asks_n;
    uint16_t part = 0;
    for (uint16_t i = 0; i < req->asks_n; part = (uint16_t)(part + req->asks[i].count), i++) {
        const struct score_ask *from = &req->asks[i];
        const enum score_step step = req->steps[from->container];
        if (from->vendor != plan->vendor || (step == SCORE_STEP_INIT) != init)
            continue;
        const int32_t cores = plan->app_class == SCORE_CLASS_ONLINE ? 0
                              : from->cores_pct > FIT_CORES_MAX     ? FIT_CORES_MAX
                                                                    : from->cores_pct;
        struct fit_ask a = {.mem_mib = from->mem_mib,
                            .mem_pct = from->mem_pct,
                            .cores_pct = cores,
                            .count = from->count,
                            .slices = from->slices,
                            .ask = i,
                            .container = from->container,
                            .part = part,
                            .step = step,
                            .amount = vendor->amount,
                            .soft = from->soft,
                            .mem_guess = from->mem_guess};
        a.select = select_of(plan, &a);
        fit_ask_checks(vendor, &req->policy, plan, &a);
        uint16_t at = plan->asks_n++;
        for (; plan_hard(plan) && at > first && plan->asks[at - 1].count < a.count; at--)
            plan->asks[at] = plan->asks[at - 1];
        plan->asks[at] = a;
        plan->has_sidecars |= step == SCORE_STEP_SIDECAR;
        plan->parts_n = (uint16_t)(plan->parts_n + a.count);
        plan->plain &= !a.more;
        plan->single &= !a.more;
    }
    for (uint16_t k = (uint16_t)(first + 1); k < plan->asks_n; k++)
        plan->asks[k].like_last = alike(&plan->asks[k], &plan->asks[k - 1]);
}

static bool has_check(const struct score_vendor *vendor, enum score_check check)
{
    for (unsigned i = 0; i < SCORE_CHECK_COUNT_ && vendor->checks[i] != SCORE_CHECK_END; i++)
        if (vendor->checks[i] == check)
            return true;
    return false;
}

/* What of the row's ways counts for this pod. */
static void prepare_ways(const struct score_request *req, const struct score_selection *s,
                         struct score_plan *plan)
{
    const struct score_vendor *vendor = &req->vendors[plan->vendor];
    const bool near = req->policy.topology_aware;
    plan->select =
        vendor->select == SCORE_SELECT_PAIRS && !near ? SCORE_SELECT_EACH : vendor->select;
    plan->quality = vendor->quality;
    if (s) {
        plan->numa_bind = s->numa_bind;
        plan->app_class = has_check(vendor, SCORE_CHECK_CLASS) ? s->app_class : SCORE_CLASS_NONE;
        plan->qos = s->qos;
    }
    if (vendor->quality == SCORE_QUALITY_PAIRS && !near)
        plan->quality = SCORE_QUALITY_NONE;
    if (vendor->quality == SCORE_QUALITY_LINKS && plan->app_class != SCORE_CLASS_ONLINE &&
        !(s && s->links))
        plan->quality = SCORE_QUALITY_NONE;
    plan->plain = vendor->amount == SCORE_AMOUNT_PLAIN && plan->select == SCORE_SELECT_EACH &&
                  plan->quality == SCORE_QUALITY_NONE;
    plan->single = plan->plain ||
                   (vendor->amount == SCORE_AMOUNT_PLAIN && plan->select == SCORE_SELECT_PAIRS &&
                    !plan->numa_bind &&
                    (plan->quality == SCORE_QUALITY_NONE || plan->quality == SCORE_QUALITY_PAIRS));
}

static void prepare_plan(const struct score_request *req, const struct str *types,
                         const struct score_prepared *prep, struct arena *arena,
                         struct score_plan *plan)
{
    plan->order = rank_order(&req->policy);
    fit_plan_checks(&req->vendors[plan->vendor], plan);
    const struct score_selection *selection = NULL;
    for (unsigned i = 0; i < req->selections_n; i++) {
        if (req->selections[i].vendor != plan->vendor)
            continue;
        selection = &req->selections[i];
        prepare_selection(selection, i, types, prep, arena, plan);
    }
    prepare_ways(req, selection, plan);
    add_asks(req, false, plan);
    plan->running_n = plan->asks_n;
    add_asks(req, true, plan);
    plan->quota_mem_left = plan->quota_cores_left = INT64_MAX;
    for (unsigned i = 0; i < req->quotas_n; i++) {
        if (req->quotas[i].vendor != plan->vendor)
            continue;
        if (req->quotas[i].mem_set)
            plan->quota_mem_left = req->quotas[i].mem_left_mib;
        if (req->quotas[i].cores_set)
            plan->quota_cores_left = req->quotas[i].cores_left_pct;
    }
    plan->has_quota = plan->quota_mem_left != INT64_MAX || plan->quota_cores_left != INT64_MAX;
}

enum err_code score_prepare(const struct score_request *req, const struct str *types,
                            uint32_t types_n, struct arena *arena, struct score_prepared *ret,
                            struct err *err)
{
    assert(score_request_check(req, NULL) == ERR_OK);
    if (types_n > SCORE_TYPES_MAX)
        return err_set(err, ERR_TOO_LARGE, "%u texts of device types and modes, at most %u",
                       types_n, SCORE_TYPES_MAX);
    struct score_prepared prep = {.req = req, .types_n = types_n, .words = types_n / 64 + 1};
    uint16_t asks_of[SCORE_VENDORS_MAX] = {0};
    for (unsigned i = 0; i < req->asks_n; i++) {
        prep.plans_n = (uint16_t)(prep.plans_n + (asks_of[req->asks[i].vendor]++ == 0));
        prep.parts_n = (uint16_t)(prep.parts_n + req->asks[i].count);
    }
    if (req->selections_n > 0) {
        const size_t words = (size_t)prep.words * req->selections_n;
        prep.type_ok = arena_array(arena, words, sizeof(*prep.type_ok));
        prep.mode_ok = arena_array(arena, words, sizeof(*prep.mode_ok));
        if (!prep.type_ok || !prep.mode_ok)
            return err_set(err, ERR_NO_MEMORY, "prepare request");
    }
    struct score_plan *plans = arena_array(arena, prep.plans_n, sizeof(*plans));
    struct fit_ask *asks = arena_array(arena, req->asks_n, sizeof(*asks));
    if (!plans || !asks)
        return err_set(err, ERR_NO_MEMORY, "prepare request");
    unsigned n = 0;
    for (uint16_t v = 0; v < req->vendors_n; v++) {
        if (asks_of[v] == 0)
            continue;
        plans[n].vendor = v;
        plans[n].asks = asks;
        asks += asks_of[v];
        prepare_plan(req, types, &prep, arena, &plans[n]);
        n++;
    }
    if (arena_failed(arena))
        return err_set(err, ERR_NO_MEMORY, "prepare request");
    prep.plans = plans;
    prep.simple = req->asks_n == 1 && req->asks[0].count == 1 &&
                  req->steps[req->asks[0].container] != SCORE_STEP_INIT && plans[0].single;
    *ret = prep;
    return ERR_OK;
}
