/* What a pod becomes before it is stored (contract/core.md 12, nvidia.md 3): the pure mutation, and the AdmissionReview
 * around it. No I/O, no clock. Any thread. */
#ifndef CARDINAL_ADMISSION_ADMISSION_H
#define CARDINAL_ADMISSION_ADMISSION_H

#include "base/err.h"
#include "base/str.h"
#include "vendor/vendor.h"

#include <jansson.h>

struct admission_config {
    const struct vendor_table *vendors;
    struct str scheduler_name;  /* empty: pods keep theirs */
    bool force_overwrite_default_scheduler;
};

enum admission_verdict { ADMISSION_ALLOW, ADMISSION_DENY, ADMISSION_ERROR };
struct admission_result {
    enum admission_verdict verdict;
    bool has_resource;  /* the pod asks for cards */
    unsigned code;      /* DENY, ERROR: 403, 422, 400, 500 */
    char message[1024]; /* DENY, ERROR: for the user; ALLOW: a note or "" */
    json_t *patch;      /* ALLOW: JSON Patch array, possibly empty; the caller's to decref; else NULL */
};
/* Namespace quota, asked with the pod's total per vendor (nothing resolved from percent); returns false with a text
 * in msg when it does not fit. NULL: not checked. */
struct admission_quota {
    bool (*fits)(void *ctx, struct str ns, uint16_t vendor, int64_t mem_mib, int64_t cores_pct, char *msg, size_t msg_max);
    void *ctx;
};
/* The mutation. `pod` is borrowed and not changed. Idempotent: on a pod that carries the patch already, the patch is
 * empty. ERR_NO_MEMORY only; everything about the pod is in the result. */
MUST_USE enum err_code admission_mutate(const struct admission_config *cfg, const json_t *pod, struct str ns,
                                        const struct admission_quota *quota, struct admission_result *ret,
                                        struct err *err);
void admission_result_done(struct admission_result *r);
/* Applies the result's patch to a copy of the pod (file mode, dry runs). */
MUST_USE enum err_code admission_apply(const json_t *pod, const json_t *patch, json_t **ret, struct err *err);

/* One AdmissionReview in, one out (v1 and v1beta1, same version back). Always an answer: what can't be decoded is
 * answered with allowed false and a status; ERR_NO_MEMORY only. The answer is appended to `out` as JSON; `ret` says what
 * came of it, and may be NULL. */
enum admission_outcome { ADMISSION_UNCHANGED, ADMISSION_CHANGED, ADMISSION_REFUSED, ADMISSION_UNREADABLE };
MUST_USE enum err_code admission_review(const struct admission_config *cfg, const struct admission_quota *quota,
                                        struct str body, struct buf *out, enum admission_outcome *ret, struct err *err);

#endif
