/* The codes that say why a node was refused: spelling, one sentence each, and whether waiting can
 * help. One table; the words users read come from here and from nowhere else. Spelling:
 * contract/core.md 11. */
#include "score/score.h"

#include <assert.h>

struct row {
    const char *code, *help;
    bool unresolvable;
};

// clang-format off
static const struct row ROWS[SCORE_REASON_COUNT_] = {
    [SCORE_FITS] = {"Fits", "The node has room for the pod.", false},
    [SCORE_CARD_TYPE_MISMATCH] = {"CardTypeMismatch",
        "The pod's annotations do not allow this type or this mode of card.", true},
    [SCORE_CARD_UUID_MISMATCH] = {"CardUuidMismatch",
        "The pod's annotations do not allow this very card.", true},
    [SCORE_CARD_TIME_SLICING_EXHAUSTED] = {"CardTimeSlicingExhausted",
        "As many containers share the card as it admits.", false},
    [SCORE_CARD_COMPUTE_UNITS_EXHAUSTED] = {"CardComputeUnitsExhausted",
        "All cores of the card are given away, so a container without a core limit may not join.", false},
    [SCORE_CARD_INSUFFICIENT_MEMORY] = {"CardInsufficientMemory",
        "The card has less free device memory than asked for.", false},
    [SCORE_CARD_INSUFFICIENT_CORE] = {"CardInsufficientCore",
        "The card has fewer free cores than asked for.", false},
    [SCORE_CARD_NOT_HEALTH] = {"CardNotHealth", "The device plugin reports the card as unhealthy.", true},
    [SCORE_CARD_CORDONED] = {"CardCordoned", "An administrator has cordoned the card.", true},
    [SCORE_NUMA_NOT_FIT] = {"NumaNotFit",
        "The cards that are free do not belong to one NUMA node.", false},
    [SCORE_EXCLUSIVE_DEVICE_ALLOCATE_CONFLICT] = {"ExclusiveDeviceAllocateConflict",
        "The pod wants the card for itself and somebody uses it.", false},
    [SCORE_CARD_NOT_FOUND_CUSTOM_FILTER_RULE] = {"CardNotFoundCustomFilterRule",
        "A rule of the card's maker excludes the card.", true},
    [SCORE_CARD_MIG_TOPOLOGY_INFEASIBLE] = {"CardMigTopologyInfeasible",
        "No placement for such a slice is free on the card.", false},
    [SCORE_NODE_INSUFFICIENT_DEVICE] = {"NodeInsufficientDevice",
        "The node has fewer cards of the kind than one container asks for.", true},
    [SCORE_ALLOCATED_CARDS_INSUFFICIENT_REQUEST] = {"AllocatedCardsInsufficientRequest",
        "Some cards of the node fit, but fewer than one container asks for.", false},
    [SCORE_RESOURCE_QUOTA_NOT_FIT] = {"ResourceQuotaNotFit",
        "The namespace's quota leaves less than the pod would take.", true},
    [SCORE_MODE_NOT_FIT] = {"ModeNotFit", "The card's mode does not suit the request.", true},
    [SCORE_CARD_UNHEALTHY] = {"CardUnhealthy", "The device plugin reports the card as unhealthy.", true},
    [SCORE_CARD_QOS_POLICY_MISMATCH] = {"CardQosPolicyMismatch",
        "Pods under another QoS policy use the card.", false},
    [SCORE_CARD_APP_CLASS_MISMATCH] = {"CardAppClassMismatch",
        "Pods of a class that does not share a card with the pod's use it.", false},
    [SCORE_NODE_UNKNOWN] = {"NodeUnknown", "The cluster has no such node.", true},
    [SCORE_NODE_UNREGISTERED] = {"NodeUnregistered",
        "No cards of the asked kind are registered on the node.", true},
    [SCORE_NODE_DEVICES_UNACCOUNTED] = {"NodeDevicesUnaccounted",
        "A pod on the node holds cards that it does not name; no more of that kind are given there until it ends.", false},
    [SCORE_NODE_HELD] = {"NodeHeld",
        "The room is held for pods that were told of it and are not bound yet.", false},
    [SCORE_NODE_LOCKED] = {"NodeLocked",
        "The node's lock belongs to a pod whose cards are still being handed over.", false},
    [SCORE_REQUEST_INVALID] = {"RequestInvalid",
        "A quantity or an annotation of the pod can't be read or contradicts itself.", true},
};
// clang-format on

static const struct row *row(enum score_reason reason)
{
    assert((unsigned)reason < SCORE_REASON_COUNT_);
    return &ROWS[reason];
}

const char *score_reason_code(enum score_reason reason) { return row(reason)->code; }
const char *score_reason_help(enum score_reason reason) { return row(reason)->help; }
bool score_reason_unresolvable(enum score_reason reason) { return row(reason)->unresolvable; }
