/* POST /webhook: kube-apiserver asks before it stores a pod. src/admission does the work; this
 * joins it with what the ledger knows of the namespace's quota. */
#include "extender/priv.h"

#include <stdio.h>

/* What the namespace may still take, holds and other pods counted. It may change until the pod is
 * placed: filter asks again. */
static bool quota_fits(void *ctx, struct str ns, uint16_t vendor, int64_t mem_mib,
                       int64_t cores_pct, char *msg, size_t msg_max)
{
    struct ext_app *app = ctx;
    struct score_quota left[SCORE_VENDORS_MAX];
    uint16_t n =
        cluster_quota_left(app->store, ns, /* uid= */ STR(""), clock_mono_ms(app->clock), left);
    for (uint16_t i = 0; i < n; i++) {
        if (left[i].vendor != vendor)
            continue;
        if (left[i].mem_set && mem_mib > left[i].mem_left_mib) {
            (void)snprintf(msg, msg_max, "memory: wanted %lld MiB, the quota leaves %lld",
                           (long long)mem_mib, (long long)left[i].mem_left_mib);
            return false;
        }
        if (left[i].cores_set && cores_pct > left[i].cores_left_pct) {
            (void)snprintf(msg, msg_max, "cores: wanted %lld, the quota leaves %lld",
                           (long long)cores_pct, (long long)left[i].cores_left_pct);
            return false;
        }
    }
    return true;
}

static const enum ext_counter COUNTERS[] = {[ADMISSION_UNCHANGED] = EXT_WEBHOOK_UNCHANGED,
                                            [ADMISSION_CHANGED] = EXT_WEBHOOK_CHANGED,
                                            [ADMISSION_REFUSED] = EXT_WEBHOOK_REFUSED,
                                            [ADMISSION_UNREADABLE] = EXT_WEBHOOK_UNREADABLE};

void ext_webhook(struct ext_request *r, struct ext_answer *a)
{
    const struct admission_quota quota = {.fits = quota_fits, .ctx = r->app};
    struct err err;
    a->status = 200;
    enum admission_outcome outcome;
    enum err_code rc =
        admission_review(&r->app->admission, &quota, r->body, &a->body, &outcome, &err);
    if (rc == ERR_OK)
        ext_metrics_count(r->app->metrics, COUNTERS[outcome], 1);
    if (rc) { /* memory only; kube-apiserver goes by the webhook's failurePolicy */
        log_error("webhook", "id=%llu err=%s", (unsigned long long)r->id, err.text);
        ext_answer_err(a, &err);
    }
}
