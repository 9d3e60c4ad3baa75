/* What the files of this folder share. */
#ifndef CARDINAL_ADMISSION_PRIV_H
#define CARDINAL_ADMISSION_PRIV_H

#include "admission/admission.h"

/* Members nested deeper than this in a review are refused before jansson recurses into them. Pods
 * need some 15. */
#define ADMISSION_DEPTH_MAX 48

/* RFC 4648 section 4, with padding, onto out. */
void admission_base64(struct str bytes, struct buf *out);

/* ---- our copy of the pod, and the patch that makes the pod into it (edit.c) ---- */
struct edit {
    json_t *pod;    /* what we may change: metadata and spec, as far as they are objects */
    json_t *patch;  /* what was changed, in order */
    bool no_memory; /* sticky */
};
struct container {
    json_t *json;     /* part of edit.pod */
    const char *list; /* "containers" */
    size_t index;
    struct str name;
    enum score_step step;
};
/* The value as a quantity is spelled: a string as it is, a number in digits (in `digits`). False: it is neither. */
#define EDIT_DIGITS 40
bool edit_quantity(const json_t *value, char digits[EDIT_DIGITS], struct str *ret);
/* A member, or NULL. */
json_t *edit_get(const json_t *object, struct str key);
struct str edit_text(const json_t *string);

/* The amount of a container's resource becomes n: in limits, and in requests where it stands there or `both`. Values
 * that are n already keep their spelling. */
void edit_amount(struct edit *e, const struct container *c, struct str name, int64_t n, bool both);
/* What stands in one of limits and requests alone is put into the other. */
void edit_mirror(struct edit *e, const struct container *c, struct str name);
/* A variable gets a value: replaced where it stands (the last of its name counts), else added; nothing when it has it
 * (N 7). An empty name: nothing. */
void edit_env(struct edit *e, const struct container *c, struct str name, struct str value);
bool edit_has_env(const struct container *c, struct str name);
void edit_spec(struct edit *e, struct str key, struct str value);
void edit_annotation(struct edit *e, struct str key, struct str value);
/* Removes metadata.<map>.<key>, which is there. */
void edit_remove(struct edit *e, struct str map, struct str key);

/* ---- the mutation ---- */

/* What one vendor's asks of the pod come to, by Kubernetes' rule (architecture 3): the larger of
 * what runs together and of each init step with the sidecars started before it. */
struct sum {
    int64_t mem_mib, cores_pct;
};
struct totals {
    struct sum app, sidecars, peak;
};
struct mutation {
    const struct admission_config *cfg;
    const json_t *pod;
    struct edit edit;
    struct admission_result *result;
    bool stop; /* the verdict is there */
    bool runtime_class_set;
    struct totals totals[SCORE_VENDORS_MAX];
    int32_t cards[SCORE_VENDORS_MAX]; /* what each row's pod_request_count is to say; 0: nothing */
};
/* The verdict; the first one counts. */
void mutation_conclude(struct mutation *m, enum admission_verdict verdict, unsigned code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* A text that a user wrote, cut for a message. */
struct str mutation_shown(struct str s);
/* A member of this type; null is absent, another type ends with 400. */
json_t *mutation_member(struct mutation *m, const json_t *object, const char *key, json_type type, const char *where);
/* An annotation of the pod, also one that we wrote. False: it has none. One that is no text ends with 400. */
bool mutation_annotation(struct mutation *m, struct str key, struct str *ret);

/* All that the vendors have to say to one container, in the table's order (container.c). */
void mutation_container(struct mutation *m, const struct container *c);

#endif
