/* The mutation: what a new pod lacks to be placed, what it must not bring along, and what it may
 * not ask for. Steps and texts: core.md 12. */
#include "admission/priv.h"

#include "base/own.h"
#include "vendor/keys.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 64 /* bytes of a user's value in a message */

static const struct str WEIGHTS_KEY = STR_INIT(KEY_POD_WEIGHTS);
static const struct str DEFAULT_SCHEDULER = STR_INIT("default-scheduler");

DEFINE_CLEANUP(json_t *, json_decref)

/* ---- verdicts ---- */

void mutation_conclude(struct mutation *m, enum admission_verdict verdict, unsigned code,
                       const char *fmt, ...)
{
    if (m->stop)
        return;
    m->stop = true;
    m->result->verdict = verdict;
    m->result->code = code;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(m->result->message, sizeof(m->result->message), fmt, args);
    va_end(args);
    for (char *c = m->result->message; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
}

struct str mutation_shown(struct str s)
{
    return s.n > SHOWN_MAX ? (struct str){s.p, SHOWN_MAX} : s;
}

/* ---- reading JSON: null is absent, another type ends with 400 ---- */

static json_t *typed(struct mutation *m, json_t *value, json_type type, const char *where,
                     const char *key)
{
    static const char *const NAMES[] = {[JSON_OBJECT] = "an object",
                                        [JSON_ARRAY] = "an array",
                                        [JSON_STRING] = "a string",
                                        [JSON_TRUE] = "true or false"};
    if (!value || json_is_null(value))
        return NULL;
    if (json_typeof(value) == type || (type == JSON_TRUE && json_is_boolean(value)))
        return value;
    mutation_conclude(m, ADMISSION_ERROR, 400, "%s%s%s must be %s", where,
                      where[0] && key[0] ? "." : "", key, NAMES[type]);
    return NULL;
}

json_t *mutation_member(struct mutation *m, const json_t *object, const char *key, json_type type,
                        const char *where)
{
    return typed(m, json_object_get(object, key), type, where, key);
}

bool mutation_annotation(struct mutation *m, struct str key, struct str *ret)
{
    const json_t *metadata = json_object_get(m->edit.pod, "metadata");
    const json_t *value = edit_get(json_object_get(metadata, "annotations"), key);
    if (key.n == 0 || !value || json_is_null(value))
        return false;
    if (!json_is_string(value)) {
        mutation_conclude(m, ADMISSION_ERROR, 400, "metadata.annotations must be a map of strings");
        return false;
    }
    *ret = edit_text(value);
    return true;
}

/* ---- the pod ---- */

/* A pod is born without a decision: whoever writes one into it would be believed by plugins (K3,
 * core.md S2). */
static void strip_reserved(struct mutation *m, json_t *metadata, const char *map)
{
    const char *key;
    json_t *value;
    json_t *object = mutation_member(m, metadata, map, JSON_OBJECT, "metadata");
    json_object_foreach(object, key, value)
    {
        if (vendor_key_reserved(m->cfg->vendors, str_z(key)))
            edit_remove(&m->edit, str_z(map), str_z(key));
    }
}

/* Checks the members that the steps read, so that those need no look of their own. */
static bool read_container(struct mutation *m, json_t *json, const char *list, size_t index,
                           struct container *ret, bool *ret_privileged)
{
    char where[64], below[128];
    (void)snprintf(where, sizeof(where), "spec.%s[%zu]", list, index);
    if (!json_is_object(json)) {
        mutation_conclude(m, ADMISSION_ERROR, 400, "%s must be an object", where);
        return false;
    }
    json_t *resources = mutation_member(m, json, "resources", JSON_OBJECT, where);
    (void)snprintf(below, sizeof(below), "%s.resources", where);
    (void)mutation_member(m, resources, "limits", JSON_OBJECT, below);
    (void)mutation_member(m, resources, "requests", JSON_OBJECT, below);
    const json_t *env = mutation_member(m, json, "env", JSON_ARRAY, where), *entry;
    size_t i;
    json_array_foreach(env, i, entry)
    {
        (void)snprintf(below, sizeof(below), "%s.env[%zu]", where, i);
        if (!json_is_object(entry))
            mutation_conclude(m, ADMISSION_ERROR, 400, "%s must be an object", below);
        (void)mutation_member(m, entry, "name", JSON_STRING, below);
    }
    const json_t *security = mutation_member(m, json, "securityContext", JSON_OBJECT, where);
    const json_t *restart = mutation_member(m, json, "restartPolicy", JSON_STRING, where);
    (void)snprintf(below, sizeof(below), "%s.securityContext", where);
    *ret_privileged = json_is_true(mutation_member(m, security, "privileged", JSON_TRUE, below));
    *ret = (struct container){
        .json = json,
        .list = list,
        .index = index,
        .name = edit_text(mutation_member(m, json, "name", JSON_STRING, where)),
        .step = strcmp(list, "containers") == 0             ? SCORE_STEP_APP
                : str_eq(edit_text(restart), STR("Always")) ? SCORE_STEP_SIDECAR
                                                            : SCORE_STEP_INIT,
    };
    return !m->stop;
}

/* core.md 12 step 3. */
static bool other_scheduler(const struct admission_config *cfg, struct str name)
{
    if (name.n == 0)
        return false;
    if (str_eq(name, DEFAULT_SCHEDULER) && cfg->force_overwrite_default_scheduler)
        return false;
    return cfg->scheduler_name.n == 0 || !str_eq(name, cfg->scheduler_name);
}

static void check_quota(struct mutation *m, struct str ns, const struct admission_quota *quota)
{
    for (uint16_t row = 0; quota && !m->stop && row < vendor_count(m->cfg->vendors); row++) {
        const struct totals *t = &m->totals[row];
        int64_t mem = t->app.mem_mib + t->sidecars.mem_mib;
        int64_t cores = t->app.cores_pct + t->sidecars.cores_pct;
        char why[512] = "";
        if (mem < t->peak.mem_mib)
            mem = t->peak.mem_mib;
        if (cores < t->peak.cores_pct)
            cores = t->peak.cores_pct;
        if ((mem > 0 || cores > 0) &&
            !quota->fits(quota->ctx, ns, row, mem, cores, why, sizeof(why)))
            mutation_conclude(m, ADMISSION_DENY, 403, "exceeding resource quota%s%s",
                              why[0] ? ": " : "", why);
    }
}

/* Bad weights are told to who wrote them, not to the scheduler's log (errata E-16). */
static void check_weights(struct mutation *m)
{
    struct score_policy policy;
    struct str text;
    struct err err;
    if (mutation_annotation(m, WEIGHTS_KEY, &text) &&
        vendor_policy((struct str){0}, (struct str){0}, text, false, &policy, &err))
        mutation_conclude(m, ADMISSION_DENY, 422, "%s", err.text);
}

/* Said once for all containers, so that a second look has nothing to say. */
static void tell_counts(struct mutation *m)
{
    for (uint16_t row = 0; row < vendor_count(m->cfg->vendors); row++) {
        char digits[16];
        (void)snprintf(digits, sizeof(digits), "%d", m->cards[row]);
        if (m->cards[row] > 0)
            edit_annotation(&m->edit, vendor_at(m->cfg->vendors, row)->pod_request_count,
                            str_z(digits));
    }
}

static void mutate_pod(struct mutation *m, struct str ns, const struct admission_quota *quota)
{
    static const char *const LISTS[] = {"initContainers", "containers"};
    json_t *metadata = mutation_member(m, m->pod, "metadata", JSON_OBJECT, "");
    (void)mutation_member(m, m->pod, "spec", JSON_OBJECT, "");
    const json_t *spec = json_object_get(m->edit.pod, "spec");
    const json_t *app = mutation_member(m, spec, "containers", JSON_ARRAY, "spec");
    struct str scheduler =
        edit_text(mutation_member(m, spec, "schedulerName", JSON_STRING, "spec"));
    struct str node = edit_text(mutation_member(m, spec, "nodeName", JSON_STRING, "spec"));
    struct str runtime =
        edit_text(mutation_member(m, spec, "runtimeClassName", JSON_STRING, "spec"));
    m->runtime_class_set = runtime.n > 0;
    if (!m->stop && json_array_size(app) == 0)
        mutation_conclude(m, ADMISSION_DENY, 403, "pod has no containers");
    strip_reserved(m, metadata, "annotations");
    strip_reserved(m, metadata, "labels");
    if (!m->stop && other_scheduler(m->cfg, scheduler))
        mutation_conclude(m, ADMISSION_ALLOW, 0, "pod already has different scheduler assigned");

    struct str privileged = {0};
    for (size_t l = 0; l < sizeof(LISTS) / sizeof(LISTS[0]); l++) {
        json_t *list = mutation_member(m, spec, LISTS[l], JSON_ARRAY, "spec"), *json;
        size_t i;
        json_array_foreach(list, i, json)
        {
            struct container c;
            bool is_privileged;
            if (m->stop || !read_container(m, json, LISTS[l], i, &c, &is_privileged))
                return;
            if (is_privileged && !privileged.p)
                privileged = c.name;
            mutation_container(m, &c);
        }
    }
    if (m->stop || !m->result->has_resource)
        return;
    if (privileged.p)
        mutation_conclude(m, ADMISSION_DENY, 403, "container " STR_FMT " is privileged",
                          STR_ARG(mutation_shown(privileged)));
    tell_counts(m);
    if (m->cfg->scheduler_name.n > 0) {
        if (!str_eq(scheduler, m->cfg->scheduler_name))
            edit_spec(&m->edit, STR("schedulerName"), m->cfg->scheduler_name);
        if (node.n > 0)
            mutation_conclude(m, ADMISSION_DENY, 403, "pod has node assigned");
    }
    check_weights(m);
    check_quota(m, ns, quota);
}

/* Our copy: metadata and spec, as far as the pod has them. NULL: no memory. */
static json_t *copy_of(const json_t *pod)
{
    static const char *const KEYS[] = {"metadata", "spec"};
    json_t *copy = json_object();
    for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++) {
        const json_t *value = json_object_get(pod, KEYS[i]);
        if (json_is_object(value) && json_object_set_new(copy, KEYS[i], json_deep_copy(value))) {
            json_decref(copy);
            return NULL;
        }
    }
    return copy;
}

enum err_code admission_mutate(const struct admission_config *cfg, const json_t *pod, struct str ns,
                               const struct admission_quota *quota, struct admission_result *ret,
                               struct err *err)
{
    *ret = (struct admission_result){.verdict = ADMISSION_ALLOW};
    struct mutation m = {.cfg = cfg, .pod = pod, .result = ret};
    json_t *patch CLEANUP(json_decref_p) = json_array();
    json_t *copy CLEANUP(json_decref_p) = copy_of(pod);
    m.edit = (struct edit){copy, patch, !patch || !copy};
    if (!json_is_object(pod))
        mutation_conclude(&m, ADMISSION_ERROR, 400, "the pod must be an object");
    else if (!m.edit.no_memory)
        mutate_pod(&m, ns, quota);
    if (m.edit.no_memory) {
        *ret = (struct admission_result){.verdict = ADMISSION_ERROR, .code = 500};
        return err_set(err, ERR_NO_MEMORY, "mutate pod");
    }
    if (ret->verdict == ADMISSION_ALLOW)
        ret->patch = TAKE(patch);
    return ERR_OK;
}

void admission_result_done(struct admission_result *r)
{
    json_decref(r->patch);
    r->patch = NULL;
}
