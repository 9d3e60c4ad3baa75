/* The mutation: what a new pod lacks to be placed, what it must not bring along, and what it may
 * not ask for. Steps and texts: core.md 12 and nvidia.md 3. Works on a copy of the spec and writes
 * each change down as one JSON Patch operation at the moment it makes it, so that copy and patch
 * can't part, and a pod that has it all gets no patch. */
#include "admission/priv.h"

#include "base/own.h"
#include "vendor/keys.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PATH_MAX_BYTES (32 * 1024 * 1024) /* twice the largest body: a key may be all slashes */
#define SHOWN_MAX      64                 /* bytes of a user's value in a message */

static const struct str WEIGHTS_KEY = STR_INIT(KEY_POD_WEIGHTS);
static const struct str DEFAULT_SCHEDULER = STR_INIT("default-scheduler");

DEFINE_CLEANUP(json_t *, json_decref)
DEFINE_CLEANUP(struct buf *, buf_done)

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
    json_t *spec;  /* our copy, changed as we go */
    json_t *patch; /* what was changed */
    struct admission_result *result;
    bool stop;      /* the verdict is there */
    bool no_memory; /* sticky */
    bool runtime_class_set;
    struct totals totals[SCORE_VENDORS_MAX];
};

struct container {
    json_t *json;
    const char *list; /* "containers" */
    size_t index;
    struct str name;
    enum score_step step;
};

/* ---- verdicts ---- */

__attribute__((format(printf, 4, 5))) static void
conclude(struct mutation *m, enum admission_verdict verdict, unsigned code, const char *fmt, ...)
{
    if (m->stop)
        return; /* the first one counts */
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

static struct str shown(struct str s) { return s.n > SHOWN_MAX ? (struct str){s.p, SHOWN_MAX} : s; }

/* ---- reading JSON: null is absent, another type ends with 400 ---- */

static struct str text_of(const json_t *string)
{
    return string ? (struct str){json_string_value(string), json_string_length(string)} : STR("");
}

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
    conclude(m, ADMISSION_ERROR, 400, "%s%s%s must be %s", where, where[0] && key[0] ? "." : "",
             key, NAMES[type]);
    return NULL;
}

static json_t *member(struct mutation *m, const json_t *object, const char *key, json_type type,
                      const char *where)
{
    return typed(m, json_object_get(object, key), type, where, key);
}

static json_t *get(const json_t *object, struct str key)
{
    return json_object_getn(object, key.p, key.n);
}

/* ---- writing the patch ---- */

static void path_add(struct buf *path, struct str token)
{
    buf_char(path, '/');
    for (size_t i = 0; i < token.n; i++) {
        if (token.p[i] == '~')
            buf_add(path, STR("~0"));
        else if (token.p[i] == '/')
            buf_add(path, STR("~1"));
        else
            buf_char(path, token.p[i]);
    }
}

/* One operation; takes `value`, which is NULL for "remove" only. */
static void emit(struct mutation *m, const char *op, const struct buf *path, json_t *value)
{
    bool needs_value = strcmp(op, "remove") != 0;
    json_t *o = json_object();
    if (path->failed || (needs_value && !value) || json_object_set_new(o, "op", json_string(op)) ||
        json_object_set_new(o, "path", json_stringn(path->p, path->n)) ||
        (needs_value && json_object_set(o, "value", value)) || json_array_append(m->patch, o))
        m->no_memory = true;
    json_decref(o);
    json_decref(value);
}

/* Puts `value` (taken) under `key` in `object`, part of our copy that stands at `path`. */
static void put(struct mutation *m, json_t *object, struct buf *path, struct str key, json_t *value)
{
    bool there = get(object, key) != NULL;
    path_add(path, key);
    /* The patch gets a copy of its own: later changes to ours must not show in it. */
    emit(m, there ? "replace" : "add", path, json_deep_copy(value));
    if (json_object_setn_new(object, key.p, key.n, value))
        m->no_memory = true;
}

static void path_container(struct buf *path, const struct container *c)
{
    char index[24];
    (void)snprintf(index, sizeof(index), "%zu", c->index);
    buf_init(path, PATH_MAX_BYTES);
    path_add(path, STR("spec"));
    path_add(path, str_z(c->list));
    path_add(path, str_z(index));
}

/* limits[name] = n */
static void set_limit(struct mutation *m, const struct container *c, struct str name, int64_t n)
{
    struct buf path_ = {0}, *path CLEANUP(buf_done_p) = &path_;
    char digits[24];
    (void)snprintf(digits, sizeof(digits), "%lld", (long long)n);
    path_container(path, c);
    path_add(path, STR("resources"));
    json_t *resources = json_object_get(c->json, "resources");
    json_t *limits = json_object_get(resources, "limits");
    if (!json_is_object(limits)) { /* the ask stood in requests alone */
        struct buf up_ = {0}, *up CLEANUP(buf_done_p) = &up_;
        buf_init(up, PATH_MAX_BYTES);
        buf_add(up, (struct str){path->p, path->n});
        put(m, resources, up, STR("limits"), json_object());
        limits = json_object_get(resources, "limits");
    }
    path_add(path, STR("limits"));
    put(m, limits, path, name, json_string(digits));
}

/* The entry of this name that counts: Kubernetes takes the last. */
static bool find_env(const json_t *env, struct str name, size_t *ret)
{
    for (size_t i = json_array_size(env); i > 0; i--) {
        const json_t *key = json_object_get(json_array_get(env, i - 1), "name");
        if (json_is_string(key) && str_eq(text_of(key), name)) {
            *ret = i - 1;
            return true;
        }
    }
    return false;
}

/* The variable gets this value: replaced where it stands, else added; nothing when it has it (N 7).
 */
static void set_env(struct mutation *m, const struct container *c, struct str name,
                    struct str value)
{
    if (name.n == 0)
        return;
    json_t *entry = json_object();
    if (json_object_set_new(entry, "name", json_stringn(name.p, name.n)) ||
        json_object_set_new(entry, "value", json_stringn(value.p, value.n)))
        m->no_memory = true;
    struct buf path_ = {0}, *path CLEANUP(buf_done_p) = &path_;
    path_container(path, c);
    json_t *env = json_object_get(c->json, "env");
    size_t at;
    if (!json_is_array(env)) {
        json_t *list = json_array();
        if (json_array_append_new(list, entry))
            m->no_memory = true;
        put(m, c->json, path, STR("env"), list);
    } else if (!find_env(env, name, &at)) {
        path_add(path, STR("env"));
        path_add(path, STR("-"));
        emit(m, "add", path, json_deep_copy(entry));
        if (json_array_append_new(env, entry))
            m->no_memory = true;
    } else if (json_equal(json_array_get(env, at), entry)) {
        json_decref(entry);
    } else {
        char index[24];
        (void)snprintf(index, sizeof(index), "%zu", at);
        path_add(path, STR("env"));
        path_add(path, str_z(index));
        emit(m, "replace", path, json_deep_copy(entry));
        if (json_array_set_new(env, at, entry))
            m->no_memory = true;
    }
}

static void set_spec(struct mutation *m, struct str key, struct str value)
{
    struct buf path_ = {0}, *path CLEANUP(buf_done_p) = &path_;
    buf_init(path, PATH_MAX_BYTES);
    path_add(path, STR("spec"));
    put(m, m->spec, path, key, json_stringn(value.p, value.n));
}

/* A pod is born without a decision: whoever writes one into it would be believed by plugins (K3,
 * core.md S2). */
static void strip_reserved(struct mutation *m, json_t *metadata, const char *map)
{
    const char *key;
    json_t *value;
    json_t *object = member(m, metadata, map, JSON_OBJECT, "metadata");
    json_object_foreach(object, key, value)
    {
        if (!vendor_key_reserved(m->cfg->vendors, str_z(key)))
            continue;
        struct buf path_ = {0}, *path CLEANUP(buf_done_p) = &path_;
        buf_init(path, PATH_MAX_BYTES);
        path_add(path, STR("metadata"));
        path_add(path, str_z(map));
        path_add(path, str_z(key));
        emit(m, "remove", path, NULL);
    }
}

/* ---- one container ---- */

struct wish_text {
    struct vendor_wish wish;
    char digits[VENDOR_RES_COUNT_][40]; /* of values that came as JSON numbers */
};

static void read_wish(struct mutation *m, const struct container *c, const struct vendor *v,
                      struct wish_text *ret)
{
    const json_t *resources = json_object_get(c->json, "resources");
    const json_t *from[] = {json_object_get(resources, "limits"),
                            json_object_get(resources, "requests")};
    memset(ret, 0, sizeof(*ret));
    for (unsigned what = 0; what < VENDOR_RES_COUNT_; what++) {
        struct str name = vendor_resource_name(v, (enum vendor_resource)what);
        for (size_t i = 0; i < 2 && name.n > 0 && !ret->wish.value[what].p; i++) {
            const json_t *value = get(from[i], name);
            char *digits = ret->digits[what];
            if (!value || json_is_null(value))
                continue;
            ret->wish.limits |= i == 0 ? UINT32_C(1) << what : 0;
            if (json_is_string(value)) {
                ret->wish.value[what] = text_of(value);
                continue;
            }
            if (json_is_integer(value))
                (void)snprintf(digits, sizeof(ret->digits[what]), "%lld",
                               (long long)json_integer_value(value));
            else if (json_is_real(value))
                (void)snprintf(digits, sizeof(ret->digits[what]), "%.17g", json_real_value(value));
            else
                conclude(m, ADMISSION_ERROR, 400,
                         "container " STR_FMT ": " STR_FMT " must be a quantity",
                         STR_ARG(shown(c->name)), STR_ARG(name));
            ret->wish.value[what] = str_z(digits);
        }
    }
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
        conclude(m, ADMISSION_DENY, 422,
                 "invalid " STR_FMT " value " STR_FMT " in container " STR_FMT
                 ": must be an integer between 0 and 100",
                 STR_ARG(v->res_mem_pct), STR_ARG(shown(text)), STR_ARG(shown(c->name)));
}

static void set_priority(struct mutation *m, const struct container *c, const struct vendor *v,
                         struct str text)
{
    struct quantity q;
    int64_t priority;
    char digits[24];
    if (!text.p)
        return;
    if (quantity_parse(text, &q, NULL) || !quantity_ceil(&q, 0, &priority)) {
        conclude(m, ADMISSION_DENY, 422,
                 "invalid " STR_FMT " value " STR_FMT " in container " STR_FMT ": must be a number",
                 STR_ARG(v->res_priority), STR_ARG(shown(text)), STR_ARG(shown(c->name)));
        return;
    }
    (void)snprintf(digits, sizeof(digits), "%lld", (long long)priority);
    set_env(m, c, v->env_priority, str_z(digits));
}

static void charge(struct totals *t, enum score_step step, const struct score_ask *ask)
{
    struct sum s = {ask->mem_mib * ask->count, (int64_t)ask->cores_pct * ask->count};
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

static void mutate_container(struct mutation *m, const struct container *c, uint16_t row)
{
    const struct vendor *v = vendor_at(m->cfg->vendors, row);
    struct wish_text text;
    struct vendor_defaults add;
    struct score_ask ask;
    struct err err;
    bool asks = false;
    read_wish(m, c, v, &text);
    check_percent(m, c, v, text.wish.value[VENDOR_RES_MEM_PCT]);
    if (!m->stop)
        set_priority(m, c, v, text.wish.value[VENDOR_RES_PRIORITY]);
    if (m->stop)
        return;
    if (vendor_defaults(v, &text.wish, &add, &err) ||
        vendor_derive(v, &text.wish, true, &ask, &asks, &err)) {
        conclude(m, ADMISSION_DENY, 422, "container " STR_FMT ": %s", STR_ARG(shown(c->name)),
                 err.text);
        return;
    }
    if (!asks) {
        if (v->overwrite_env)
            set_env(m, c, v->env_visible, STR("none"));
        return;
    }
    m->result->has_resource = true;
    if (v->core_policy.n > 0 && !str_eq(v->core_policy, STR("default")))
        set_env(m, c, v->env_core_policy, v->core_policy);
    for (unsigned what = 0; what < VENDOR_RES_COUNT_; what++)
        if (add.writes >> what & 1)
            set_limit(m, c, vendor_resource_name(v, (enum vendor_resource)what), add.value[what]);
    if (v->runtime_class.n > 0 && !m->runtime_class_set) {
        m->runtime_class_set = true;
        set_spec(m, STR("runtimeClassName"), v->runtime_class);
    }
    charge(&m->totals[row], c->step, &ask);
}

/* Checks the members that the steps read, so that those need no look of their own. */
static bool read_container(struct mutation *m, json_t *json, const char *list, size_t index,
                           struct container *ret, bool *ret_privileged)
{
    char where[64], below[128];
    (void)snprintf(where, sizeof(where), "spec.%s[%zu]", list, index);
    if (!json_is_object(json)) {
        conclude(m, ADMISSION_ERROR, 400, "%s must be an object", where);
        return false;
    }
    json_t *resources = member(m, json, "resources", JSON_OBJECT, where);
    (void)snprintf(below, sizeof(below), "%s.resources", where);
    (void)member(m, resources, "limits", JSON_OBJECT, below);
    (void)member(m, resources, "requests", JSON_OBJECT, below);
    const json_t *env = member(m, json, "env", JSON_ARRAY, where), *entry;
    size_t i;
    json_array_foreach(env, i, entry)
    {
        (void)snprintf(below, sizeof(below), "%s.env[%zu]", where, i);
        if (!json_is_object(entry))
            conclude(m, ADMISSION_ERROR, 400, "%s must be an object", below);
        (void)member(m, entry, "name", JSON_STRING, below);
    }
    const json_t *security = member(m, json, "securityContext", JSON_OBJECT, where);
    const json_t *restart = member(m, json, "restartPolicy", JSON_STRING, where);
    (void)snprintf(below, sizeof(below), "%s.securityContext", where);
    *ret_privileged = json_is_true(member(m, security, "privileged", JSON_TRUE, below));
    *ret = (struct container){
        .json = json,
        .list = list,
        .index = index,
        .name = text_of(member(m, json, "name", JSON_STRING, where)),
        .step = strcmp(list, "containers") == 0           ? SCORE_STEP_APP
                : str_eq(text_of(restart), STR("Always")) ? SCORE_STEP_SIDECAR
                                                          : SCORE_STEP_INIT,
    };
    return !m->stop;
}

/* ---- the pod ---- */

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
            conclude(m, ADMISSION_DENY, 403, "exceeding resource quota%s%s", why[0] ? ": " : "",
                     why);
    }
}

/* Bad weights are told to who wrote them, not to the scheduler's log (errata E-16). */
static void check_weights(struct mutation *m, const json_t *metadata)
{
    const json_t *weights = get(json_object_get(metadata, "annotations"), WEIGHTS_KEY);
    struct score_policy policy;
    const char *unsupported;
    struct err err;
    if (!weights || json_is_null(weights))
        return;
    if (!json_is_string(weights))
        conclude(m, ADMISSION_ERROR, 400, "metadata.annotations must be a map of strings");
    else if (vendor_policy((struct str){0}, (struct str){0}, text_of(weights), false, &policy,
                           &unsupported, &err))
        conclude(m, ADMISSION_DENY, 422, "%s", err.text);
}

static void mutate_pod(struct mutation *m, struct str ns, const struct admission_quota *quota)
{
    static const char *const LISTS[] = {"initContainers", "containers"};
    json_t *metadata = member(m, m->pod, "metadata", JSON_OBJECT, "");
    const json_t *app = member(m, m->spec, "containers", JSON_ARRAY, "spec");
    struct str scheduler = text_of(member(m, m->spec, "schedulerName", JSON_STRING, "spec"));
    struct str node = text_of(member(m, m->spec, "nodeName", JSON_STRING, "spec"));
    struct str runtime = text_of(member(m, m->spec, "runtimeClassName", JSON_STRING, "spec"));
    m->runtime_class_set = runtime.n > 0;
    if (!m->stop && json_array_size(app) == 0)
        conclude(m, ADMISSION_DENY, 403, "pod has no containers");
    strip_reserved(m, metadata, "annotations");
    strip_reserved(m, metadata, "labels");
    if (!m->stop && other_scheduler(m->cfg, scheduler))
        conclude(m, ADMISSION_ALLOW, 0, "pod already has different scheduler assigned");

    struct str privileged = {0};
    for (size_t l = 0; l < sizeof(LISTS) / sizeof(LISTS[0]); l++) {
        json_t *list = member(m, m->spec, LISTS[l], JSON_ARRAY, "spec"), *json;
        size_t i;
        json_array_foreach(list, i, json)
        {
            struct container c;
            bool is_privileged;
            if (m->stop || !read_container(m, json, LISTS[l], i, &c, &is_privileged))
                return;
            if (is_privileged && !privileged.p)
                privileged = c.name;
            for (uint16_t row = 0; row < vendor_count(m->cfg->vendors); row++)
                if (!m->stop)
                    mutate_container(m, &c, row);
        }
    }
    if (m->stop || !m->result->has_resource)
        return;
    if (privileged.p)
        conclude(m, ADMISSION_DENY, 403, "container " STR_FMT " is privileged",
                 STR_ARG(shown(privileged)));
    if (m->cfg->scheduler_name.n > 0) {
        if (!str_eq(scheduler, m->cfg->scheduler_name))
            set_spec(m, STR("schedulerName"), m->cfg->scheduler_name);
        if (node.n > 0)
            conclude(m, ADMISSION_DENY, 403, "pod has node assigned");
    }
    check_weights(m, metadata);
    check_quota(m, ns, quota);
}

enum err_code admission_mutate(const struct admission_config *cfg, const json_t *pod, struct str ns,
                               const struct admission_quota *quota, struct admission_result *ret,
                               struct err *err)
{
    *ret = (struct admission_result){.verdict = ADMISSION_ALLOW};
    struct mutation m = {.cfg = cfg, .pod = pod, .result = ret};
    json_t *patch CLEANUP(json_decref_p) = json_array();
    json_t *spec CLEANUP(json_decref_p) = NULL;
    m.patch = patch;
    m.no_memory = !patch;
    if (!json_is_object(pod)) {
        conclude(&m, ADMISSION_ERROR, 400, "the pod must be an object");
    } else {
        const json_t *theirs = member(&m, pod, "spec", JSON_OBJECT, "");
        m.spec = spec = theirs ? json_deep_copy(theirs) : json_object();
        if (!spec)
            m.no_memory = true;
        else
            mutate_pod(&m, ns, quota);
    }
    if (m.no_memory) {
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
