/* What can become of a call to the API server: the rows of every fault matrix. */
#ifndef CARDINAL_TESTS_OUTCOMES_H
#define CARDINAL_TESTS_OUTCOMES_H

#include "kubeclient/kubeclient.h"

#include <stdlib.h>

struct outcome {
    const char *name;
    enum kube_fault fault;
    int status, retry_after_s;
};
static const struct outcome OUTCOMES[] = {
    {"no connection", KUBE_FAULT_REFUSED, 0, 0},
    {"refused with 403", KUBE_FAULT_STATUS, 403, 0},
    {"no answer, never done", KUBE_FAULT_TIMEOUT_NEVER, 0, 0}, /* tells which calls follow */
    {"no answer, done later", KUBE_FAULT_TIMEOUT_LATER, 0, 0},
    {"409", KUBE_FAULT_STATUS, 409, 0},
    {"422", KUBE_FAULT_STATUS, 422, 0},
    {"429 with Retry-After", KUBE_FAULT_STATUS, 429, 1},
    {"500, not done", KUBE_FAULT_STATUS, 500, 0},
    {"500, done", KUBE_FAULT_STATUS_DONE, 500, 0},
    {"504, done later", KUBE_FAULT_STATUS_LATER, 504, 0},
    {"503 with Retry-After", KUBE_FAULT_STATUS, 503, 1},
    {"cut in the middle of the answer", KUBE_FAULT_CUT_DONE, 0, 0},
};
enum { OUTCOMES_N = sizeof(OUTCOMES) / sizeof(OUTCOMES[0]) };

/* The call `nth` of that verb and kind, from 0 on, once. */
static inline struct kube_fault_rule outcome_rule(const struct outcome *o, int verb, int kind,
                                                  unsigned nth)
{
    return (struct kube_fault_rule){.fault = o->fault,
                                    .verb = verb,
                                    .kind = kind,
                                    .after = nth,
                                    .status = o->status,
                                    .retry_after_s = o->retry_after_s};
}

static inline uint64_t outcomes_setting(const char *name, uint64_t normal)
{
    const char *text = getenv(name); // NOLINT(concurrency-mt-unsafe): nobody writes it meanwhile
    return text ? strtoull(text, NULL, 10) : normal;
}

#endif
