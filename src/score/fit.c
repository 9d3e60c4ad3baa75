/* May this card take this ask: the checks of a vendor's row, turned into bits once a request, and
 * the lists that a pod selects cards with. The check of what there is, done for every card of every
 * node, is fit_room() in priv.h. */
#include "score/priv.h"

#include <assert.h>

static const enum score_reason REASON[SCORE_CHECK_COUNT_] = {
    [SCORE_CHECK_HEALTH] = SCORE_CARD_NOT_HEALTH,
    [SCORE_CHECK_CORDON] = SCORE_CARD_CORDONED,
    [SCORE_CHECK_TYPE] = SCORE_CARD_TYPE_MISMATCH,
    [SCORE_CHECK_NUMA] = SCORE_NUMA_NOT_FIT,
    [SCORE_CHECK_UUID] = SCORE_CARD_UUID_MISMATCH,
    [SCORE_CHECK_SLOTS] = SCORE_CARD_TIME_SLICING_EXHAUSTED,
    [SCORE_CHECK_MUTEX] = SCORE_EXCLUSIVE_DEVICE_ALLOCATE_CONFLICT,
    [SCORE_CHECK_QUOTA] = SCORE_RESOURCE_QUOTA_NOT_FIT,
    [SCORE_CHECK_MEMORY] = SCORE_CARD_INSUFFICIENT_MEMORY,
    [SCORE_CHECK_CORES] = SCORE_CARD_INSUFFICIENT_CORE,
    [SCORE_CHECK_EXCLUSIVE] = SCORE_EXCLUSIVE_DEVICE_ALLOCATE_CONFLICT,
    [SCORE_CHECK_ZERO_CORES] = SCORE_CARD_COMPUTE_UNITS_EXHAUSTED,
    [SCORE_CHECK_PLACEMENT] = SCORE_CARD_MIG_TOPOLOGY_INFEASIBLE,
    [SCORE_CHECK_ONE_CARD] = SCORE_CARD_NOT_FOUND_CUSTOM_FILTER_RULE,
    [SCORE_CHECK_EQUAL] = SCORE_CARD_INSUFFICIENT_MEMORY,
    [SCORE_CHECK_CLASS] = SCORE_CARD_APP_CLASS_MISMATCH,
    [SCORE_CHECK_QOS] = SCORE_CARD_QOS_POLICY_MISMATCH,
    [SCORE_CHECK_SOFT] = SCORE_MODE_NOT_FIT,
    [SCORE_CHECK_FREE] = SCORE_EXCLUSIVE_DEVICE_ALLOCATE_CONFLICT,
    [SCORE_CHECK_ZONE_MUTEX] = SCORE_EXCLUSIVE_DEVICE_ALLOCATE_CONFLICT,
};

enum score_reason score_check_reason(const struct score_vendor *vendor, enum score_check check)
{
    return vendor->reasons[check] ? vendor->reasons[check] : REASON[check];
}

/* The bit of a check in the vendor's order; 0 when the row does not have it, so that it never
 * fails. */
static fit_mask bit_of(const struct score_vendor *vendor, enum score_check check)
{
    for (unsigned i = 0; i < SCORE_CHECK_COUNT_ && vendor->checks[i] != SCORE_CHECK_END; i++)
        if (vendor->checks[i] == check)
            return (fit_mask)2 << i;
    return 0;
}

void fit_plan_checks(const struct score_vendor *vendor, struct score_plan *plan)
{
    for (unsigned i = 0; i < SCORE_CHECK_COUNT_ && vendor->checks[i] != SCORE_CHECK_END; i++)
        plan->reason[i + 1] = score_check_reason(vendor, vendor->checks[i]);
    plan->reason[__builtin_ctz(FIT_SIZE)] = SCORE_MODE_NOT_FIT;
    /* A card over its total fails the check of the dimension that is over; where none of the row's
     * does (the pod's own use is taken off, or the row does not look at that dimension), it takes
     * nothing all the same. So does a card that is not the row's, where the row looks at no type.
     */
    plan->reason[__builtin_ctz(FIT_LENT)] = SCORE_CARD_INSUFFICIENT_MEMORY;
    plan->reason[__builtin_ctz(FIT_FOREIGN)] = SCORE_CARD_TYPE_MISMATCH;
    plan->select_reason =
        vendor->select_reason ? vendor->select_reason : SCORE_ALLOCATED_CARDS_INSUFFICIENT_REQUEST;
    plan->type = bit_of(vendor, SCORE_CHECK_TYPE);
    plan->uuid = bit_of(vendor, SCORE_CHECK_UUID);
    plan->placement = bit_of(vendor, SCORE_CHECK_PLACEMENT);
    for (unsigned flags = 0; flags < 1u << SCORE_DEVICE_FLAGS_N; flags++)
        plan->by_flag[flags] =
            fit_when(flags & SCORE_DEVICE_UNHEALTHY, bit_of(vendor, SCORE_CHECK_HEALTH)) |
            fit_when(flags & SCORE_DEVICE_CORDONED, bit_of(vendor, SCORE_CHECK_CORDON)) |
            fit_when(flags & SCORE_DEVICE_MIG, plan->placement) |
            fit_when(flags & SCORE_DEVICE_LENT, FIT_LENT) |
            fit_when(flags & SCORE_DEVICE_FOREIGN, plan->type ? plan->type : FIT_FOREIGN);
}

void fit_ask_checks(const struct score_vendor *vendor, const struct score_policy *policy,
                    const struct score_plan *plan, struct fit_ask *ask)
{
    const bool plain = ask->amount == SCORE_AMOUNT_PLAIN;
    /* Online pods share a card's cores without a number (vendors-b.md 1g). */
    const bool online = plan->app_class == SCORE_CLASS_ONLINE;
    ask->slots = bit_of(vendor, SCORE_CHECK_SLOTS);
    ask->mutex = policy->card_mutex ? bit_of(vendor, SCORE_CHECK_MUTEX) : 0;
    ask->quota = bit_of(vendor, SCORE_CHECK_QUOTA);
    ask->memory = bit_of(vendor, SCORE_CHECK_MEMORY);
    ask->cores = online ? 0 : bit_of(vendor, SCORE_CHECK_CORES);
    ask->exclusive =
        plain && !online && ask->cores_pct == 100 ? bit_of(vendor, SCORE_CHECK_EXCLUSIVE) : 0;
    ask->zero_cores =
        plain && !online && ask->cores_pct == 0 ? bit_of(vendor, SCORE_CHECK_ZERO_CORES) : 0;
    ask->one_card = bit_of(vendor, SCORE_CHECK_ONE_CARD);
    ask->equal = bit_of(vendor, SCORE_CHECK_EQUAL);
    ask->app_class = bit_of(vendor, SCORE_CHECK_CLASS);
    ask->qos = online || ask->cores_pct == 100 ? 0 : bit_of(vendor, SCORE_CHECK_QOS);
    ask->soft_only = ask->soft ? bit_of(vendor, SCORE_CHECK_SOFT) : 0;
    ask->free = bit_of(vendor, SCORE_CHECK_FREE);
    ask->zone_mutex = policy->card_mutex ? bit_of(vendor, SCORE_CHECK_ZONE_MUTEX) : 0;
    ask->more = (ask->one_card | ask->equal | ask->app_class | ask->qos | ask->soft_only |
                 ask->free | ask->zone_mutex) != 0;
    if (ask->amount == SCORE_AMOUNT_BITS) { /* the bits themselves say what is free */
        ask->bits = ask->cores ? ask->cores : FIT_SIZE;
        ask->cores = 0;
    }
}

static bool listed(const struct str *sorted, size_t n, struct str uuid)
{
    while (n > 0) {
        const size_t half = n / 2;
        const int order = str_cmp(uuid, sorted[half]);
        if (order == 0)
            return true;
        if (order > 0) {
            sorted += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return false;
}

static bool has(const uint64_t *set, uint32_t i) { return set[i / 64] >> (i % 64) & 1; }

fit_mask fit_selection(const struct score_plan *plan, const struct score_device *dev)
{
    assert(dev->type < plan->types_n); /* prepared with the texts of this node's snapshot */
    assert(dev->mode < plan->types_n);
    const bool type = (!plan->type_ok || has(plan->type_ok, dev->type)) &&
                      (!plan->mode_ok || has(plan->mode_ok, dev->mode));
    const bool uuid =
        !(plan->nouse_uuids_n && listed(plan->nouse_uuids, plan->nouse_uuids_n, dev->uuid)) &&
        !(plan->use_uuid_set && !listed(plan->use_uuids, plan->use_uuids_n, dev->uuid));
    return fit_when(!type, plan->type) | fit_when(!uuid, plan->uuid);
}
