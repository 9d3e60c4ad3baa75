/* The simulated device plugin and kubelet of file mode: one thread that follows the pods and, for
 * each that is bound and waits for its devices, does what the real ones do, by the same API calls
 * and in the same order: empties the allocation lists, says success, gives the node's lock back,
 * and sets the pod Running. A list that can't be read makes it fail the pod, as a kubelet does.
 * Source: contract/node-side.md 2.3, 5, 14. */
#include "sim/sim.h"

#include "base/own.h"
#include "base/scan.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CALL_TIMEOUT_MS = 5000,
    TRIES = 5,      /* of one write, as the real plugin's */
    RETRY_MS = 50,  /* between them, and between two watches that failed */
    LOCKS_MAX = 16, /* different lock keys of one pod's vendors */
    ARENA_MAX = 1 << 20,
};
static const char PHASE_KEY[] = "hami.io/bind-phase";

DEFINE_CLEANUP(struct arena *, arena_free)

struct sim {
    struct kube *kube;
    const struct vendor_table *vendors;
    struct clock clock;
    pthread_t thread;
    _Atomic bool stop;
};

/* ---- the allocation list ---- */

struct list_count {
    unsigned slots, full; /* full: with at least one device */
    bool broken;
};

static bool device_reads(struct str device)
{
    struct str rest = device, field[4];
    int64_t v;
    for (unsigned i = 0; i < 4; i++)
        if (!str_split(&rest, ',', &field[i]))
            return false;
    return str_int(field[2], INT32_MIN, INT32_MAX, &v) &&
           str_int(field[3], INT32_MIN, INT32_MAX, &v);
}

static struct list_count count_list(struct str text)
{
    struct list_count c = {0};
    struct str rest = text, slot;
    while (str_split(&rest, ';', &slot)) {
        struct str left = slot, device;
        bool full = false;
        while (str_split(&left, ':', &device)) {
            if (!memchr(device.p, ',', device.n))
                continue; /* ignored, as the plugin does */
            full = true;
            c.broken = c.broken || !device_reads(device);
        }
        c.slots++;
        c.full += full;
    }
    return c;
}

/* What is left when each full slot was served by a call of its own: every call writes the list back
 * one ';' longer. */
static char *served_list(const struct list_count *c)
{
    unsigned n = c->slots + (c->full > 0 ? c->full - 1 : 0);
    char *text = malloc(n + 1);
    if (text) {
        memset(text, ';', n);
        text[n] = '\0';
    }
    return text;
}

/* ---- calls ---- */

static bool stopped(const struct sim *s) { return atomic_load(&s->stop); }

static void pause_ms(struct sim *s, int ms)
{
    for (int i = 0; i < ms && !stopped(s); i += 10)
        (void)nanosleep(&(struct timespec){.tv_nsec = 10 * 1000000}, NULL);
}

static json_t *get(struct sim *s, enum kube_kind kind, struct str ns, struct str name)
{
    struct kube_request req = {.verb = KUBE_GET,
                               .kind = kind,
                               .ns = ns,
                               .name = name,
                               .timeout_ms = CALL_TIMEOUT_MS,
                               .stop = &s->stop};
    struct kube_response resp;
    enum err_code rc = kube_call(s->kube, &req, &resp, NULL);
    json_t *object = rc ? NULL : json_loadb(resp.body, resp.body_n, 0, NULL);
    kube_response_done(&resp);
    return object;
}

/* Merge patch; `body` is taken. Tried again while it may still succeed. */
static enum err_code patch(struct sim *s, enum kube_kind kind, struct str ns, struct str name,
                           bool status, json_t *body)
{
    char *text CLEANUP(free_p) = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    enum err_code rc = text ? ERR_UNAVAILABLE : ERR_NO_MEMORY;
    for (int i = 0; text && i < TRIES && !stopped(s); i++) {
        if (i > 0)
            pause_ms(s, RETRY_MS);
        struct kube_request req = {.verb = KUBE_PATCH,
                                   .kind = kind,
                                   .ns = ns,
                                   .name = name,
                                   .status = status,
                                   .body = str_z(text),
                                   .timeout_ms = CALL_TIMEOUT_MS,
                                   .stop = &s->stop};
        struct kube_response resp;
        rc = kube_call(s->kube, &req, &resp, NULL);
        kube_response_done(&resp);
        if (rc == ERR_OK || rc == ERR_NOT_FOUND || rc == ERR_CONFLICT || rc == ERR_INVALID)
            break;
    }
    return rc;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *t = json_string_value(json_object_get(object, key));
    return t ? t : "";
}

static const json_t *annotations(const json_t *object)
{
    return json_object_get(json_object_get(object, "metadata"), "annotations");
}

static const char *annotation(const json_t *object, struct str key)
{
    return json_string_value(json_object_getn(annotations(object), key.p, key.n));
}

/* ---- the plugin's steps ---- */

static void release_lock(struct sim *s, struct str node_name, struct str key, struct str ns,
                         struct str pod)
{
    char owner[512];
    int n = snprintf(owner, sizeof(owner), "," STR_FMT "," STR_FMT, STR_ARG(ns), STR_ARG(pod));
    for (int i = 0; i < TRIES && !stopped(s); i++) {
        json_auto_t *node = get(s, KUBE_NODE, STR(""), node_name);
        const char *value = annotation(node, key);
        bool legacy = value && !strchr(value, ',');
        if (!value || (!legacy && !str_has_suffix(str_z(value), (struct str){owner, (size_t)n})))
            return;
        json_auto_t *keys = json_object();
        const char *rv = text_of(json_object_get(node, "metadata"), "resourceVersion");
        if (!keys || json_object_setn_new(keys, key.p, key.n, json_null()))
            return;
        if (patch(s, KUBE_NODE, STR(""), node_name, false,
                  json_pack("{s:{s:s,s:O}}", "metadata", "resourceVersion", rv, "annotations",
                            keys)) != ERR_CONFLICT)
            return;
    }
}

struct serving {
    struct str ns, name;
    const json_t *pod;
    struct str node;
    struct str locks[LOCKS_MAX];
    unsigned locks_n;
    bool broken;
};

static void add_lock(struct serving *v, struct str key)
{
    for (unsigned i = 0; i < v->locks_n; i++)
        if (str_eq(v->locks[i], key))
            return;
    if (key.n > 0 && v->locks_n < LOCKS_MAX)
        v->locks[v->locks_n++] = key;
}

/* The emptied lists of all vendors of this pod; NULL: no memory. */
static json_t *served_lists(const struct sim *s, struct serving *v)
{
    json_auto_t *out = json_object();
    for (uint16_t i = 0; out && i < vendor_count(s->vendors); i++) {
        const struct vendor *row = vendor_at(s->vendors, i);
        const char *text = row->pod_to_allocate.n ? annotation(v->pod, row->pod_to_allocate) : NULL;
        if (!text)
            continue;
        add_lock(v, row->node_lock);
        struct list_count c = count_list(str_z(text));
        v->broken = v->broken || c.broken;
        if (c.full == 0)
            continue;
        char *left = served_list(&c);
        bool good = left && json_object_setn_new(out, row->pod_to_allocate.p,
                                                 row->pod_to_allocate.n, json_string(left)) == 0;
        free(left);
        if (!good)
            return NULL;
    }
    return out ? json_incref(out) : NULL;
}

static enum err_code say_phase(struct sim *s, const struct serving *v, const char *phase)
{
    return patch(s, KUBE_POD, v->ns, v->name, false,
                 json_pack("{s:{s:{s:s}}}", "metadata", "annotations", PHASE_KEY, phase));
}

static void release_locks(struct sim *s, const struct serving *v)
{
    for (unsigned i = 0; i < v->locks_n; i++)
        release_lock(s, v->node, v->locks[i], v->ns, v->name);
}

/* ---- the kubelet's part ---- */

static json_t *statuses(const json_t *containers, const char *now, bool init)
{
    json_auto_t *out = json_array();
    size_t i;
    json_t *c;
    json_array_foreach(containers, i, c)
    {
        bool runs = !init || strcmp(text_of(c, "restartPolicy"), "Always") == 0;
        json_t *state = runs
                            ? json_pack("{s:{s:s}}", "running", "startedAt", now)
                            : json_pack("{s:{s:i,s:s,s:s,s:s}}", "terminated", "exitCode", 0,
                                        "reason", "Completed", "startedAt", now, "finishedAt", now);
        json_t *one = json_pack("{s:s,s:s,s:s,s:b,s:b,s:i,s:o}", "name", text_of(c, "name"),
                                "image", text_of(c, "image"), "imageID", "", "ready", 1, "started",
                                runs, "restartCount", 0, "state", state);
        if (!out || !one || json_array_append_new(out, one))
            return NULL;
    }
    return out ? json_incref(out) : NULL;
}

static json_t *running_conditions(const json_t *pod, const char *now)
{
    static const char *const TYPES[] = {"PodReadyToStartContainers", "Initialized", "Ready",
                                        "ContainersReady"};
    const json_t *was = json_object_get(json_object_get(pod, "status"), "conditions");
    json_auto_t *out = json_array();
    size_t i;
    json_t *c;
    json_array_foreach(was, i, c)
    {
        bool ours = false;
        for (size_t k = 0; k < sizeof(TYPES) / sizeof(TYPES[0]); k++)
            ours = ours || strcmp(text_of(c, "type"), TYPES[k]) == 0;
        if (!out || (!ours && json_array_append(out, c)))
            return NULL;
    }
    for (size_t k = 0; out && k < sizeof(TYPES) / sizeof(TYPES[0]); k++)
        if (json_array_append_new(out,
                                  json_pack("{s:s,s:s,s:n,s:s}", "type", TYPES[k], "status", "True",
                                            "lastProbeTime", "lastTransitionTime", now)))
            return NULL;
    return out ? json_incref(out) : NULL;
}

static void set_running(struct sim *s, const struct serving *v)
{
    char now[CLOCK_TEXT_MAX];
    (void)clock_rfc3339(clock_wall_ns(&s->clock), false, now);
    json_auto_t *pod = get(s, KUBE_POD, v->ns, v->name); /* its conditions of this moment */
    const json_t *spec = json_object_get(pod, "spec");
    if (!pod)
        return;
    json_auto_t *status = json_pack("{s:s,s:s,s:o,s:o}", "phase", "Running", "startTime", now,
                                    "conditions", running_conditions(pod, now), "containerStatuses",
                                    statuses(json_object_get(spec, "containers"), now, false));
    const json_t *init = json_object_get(spec, "initContainers");
    if (status && json_array_size(init) > 0)
        (void)json_object_set_new(status, "initContainerStatuses", statuses(init, now, true));
    if (status)
        err_ignore(patch(s, KUBE_POD, v->ns, v->name, true, json_pack("{s:O}", "status", status)));
}

static void fail(struct sim *s, const struct serving *v)
{
    err_ignore(say_phase(s, v, "failed"));
    release_locks(s, v);
    err_ignore(
        patch(s, KUBE_POD, v->ns, v->name, true,
              json_pack("{s:{s:s,s:s,s:s}}", "status", "phase", "Failed", "reason",
                        "UnexpectedAdmissionError", "message",
                        "Pod was rejected: Allocate failed: the allocation list can't be read")));
}

/* ---- one pod ---- */

static bool waits(const json_t *pod)
{
    const char *phase = annotation(pod, str_z(PHASE_KEY));
    const json_t *meta = json_object_get(pod, "metadata");
    return phase && strcmp(phase, "allocating") == 0 && !*text_of(meta, "deletionTimestamp") &&
           *text_of(json_object_get(pod, "spec"), "nodeName") &&
           strcmp(text_of(json_object_get(pod, "status"), "phase"), "Pending") == 0;
}

static void serve(struct sim *s, struct str ns, struct str name)
{
    json_auto_t *pod = get(s, KUBE_POD, ns, name);
    if (!pod || !waits(pod))
        return; /* what we were told is no longer so */
    struct serving v = {.ns = ns,
                        .name = name,
                        .pod = pod,
                        .node = str_z(text_of(json_object_get(pod, "spec"), "nodeName"))};
    json_auto_t *lists = served_lists(s, &v);
    if (!lists)
        return;
    if (v.broken) {
        fail(s, &v);
        return;
    }
    if (json_object_size(lists) > 0 &&
        patch(s, KUBE_POD, ns, name, false,
              json_pack("{s:{s:O}}", "metadata", "annotations", lists))) {
        fail(s, &v);
        return;
    }
    err_ignore(say_phase(s, &v, "success")); /* a failing one does not keep the lock */
    release_locks(s, &v);
    set_running(s, &v);
}

/* ---- which pods ---- */

struct glance { /* enough of a pod to leave nearly all of them alone */
    struct str ns, name, node, phase, bind_phase;
};

static void glance_at_part(struct scan *sc, struct str part, struct glance *g)
{
    struct str key, inner;
    bool meta = str_eq(part, STR("metadata"));
    if (!meta && !str_eq(part, STR("spec")) && !str_eq(part, STR("status"))) {
        (void)scan_skip(sc);
        return;
    }
    if (scan_null(sc) || !scan_object(sc))
        return;
    while (scan_key(sc, &key)) {
        struct str *to = NULL;
        if (meta && str_eq(key, STR("annotations")) && scan_peek(sc) == SCAN_OBJECT) {
            (void)scan_object(sc);
            while (scan_key(sc, &inner))
                if (str_eq(inner, str_z(PHASE_KEY)))
                    (void)scan_string(sc, &g->bind_phase);
                else
                    (void)scan_skip(sc);
            continue;
        }
        if (meta && str_eq(key, STR("namespace")))
            to = &g->ns;
        else if (meta && str_eq(key, STR("name")))
            to = &g->name;
        else if (str_eq(part, STR("spec")) && str_eq(key, STR("nodeName")))
            to = &g->node;
        else if (str_eq(part, STR("status")) && str_eq(key, STR("phase")))
            to = &g->phase;
        if (to && scan_peek(sc) == SCAN_STRING)
            (void)scan_string(sc, to);
        else
            (void)scan_skip(sc);
    }
}

static void on_pod(struct sim *s, struct str object)
{
    struct arena *arena CLEANUP(arena_free_p) = arena_new(ARENA_MAX);
    if (!arena)
        return;
    struct glance g = {0};
    struct scan sc = scan_start(object, SCAN_DEPTH_MAX, arena);
    struct str part;
    (void)scan_object(&sc);
    while (scan_key(&sc, &part))
        glance_at_part(&sc, part, &g);
    if (scan_end(&sc) && g.node.n > 0 && str_eq(g.bind_phase, STR("allocating")) &&
        str_eq(g.phase, STR("Pending")))
        serve(s, g.ns, g.name);
}

static enum err_code on_item(void *ctx, struct str object, struct err *err)
{
    (void)err;
    on_pod(ctx, object);
    return ERR_OK;
}

static enum err_code on_event(void *ctx, enum kube_event_type type, struct str object,
                              struct str resource_version, struct err *err)
{
    (void)err;
    (void)resource_version;
    if (type == KUBE_ADDED || type == KUBE_MODIFIED)
        on_pod(ctx, object);
    return ERR_OK;
}

static void *run(void *ctx)
{
    struct sim *s = ctx;
    char rv[KUBE_RV_MAX] = "";
    while (!stopped(s)) {
        enum err_code rc;
        if (!*rv) {
            struct kube_list_handler items = {.item = on_item, .ctx = s};
            rc = kube_list(s->kube, KUBE_POD, NULL, &s->stop, &items, rv, NULL);
        } else {
            struct kube_watch_handler events = {.event = on_event, .ctx = s};
            struct kube_watch_options opt = {.resource_version = rv};
            rc = kube_watch(s->kube, KUBE_POD, &opt, &s->stop, &events, NULL);
            *rv = '\0'; /* however it ended: what was missed is found by looking at all */
        }
        if (rc && !stopped(s))
            pause_ms(s, RETRY_MS);
    }
    return NULL;
}

enum err_code sim_start(struct kube *k, const struct vendor_table *vendors,
                        const struct clock *clock, struct sim **ret, struct err *err)
{
    struct sim *s = calloc(1, sizeof(*s));
    if (!s)
        return err_set(err, ERR_NO_MEMORY, "the simulated plugin: no memory");
    s->kube = k;
    s->vendors = vendors;
    s->clock = *clock;
    if (pthread_create(&s->thread, NULL, run, s)) {
        free(s);
        return err_set(err, ERR_NO_MEMORY, "the simulated plugin: no thread");
    }
    *ret = s;
    return ERR_OK;
}

void sim_stop(struct sim *s)
{
    if (!s)
        return;
    atomic_store(&s->stop, true);
    (void)pthread_join(s->thread, NULL);
    free(s);
}
