/* A Pod's JSON, as bytes, becomes what the decision and the ledger need. One walk gathers the raw
 * texts (no tree; what is not ours is skipped), then they are judged together: what is asked for,
 * what its annotations say, what it takes of CPU and memory. Nothing about a pod that is bound
 * makes this fail once its JSON is sound: an error would leave its cards uncharged. What can't be
 * read is told in `vendors_broken` and `shares_broken_vendors` instead. */
#include "cluster/decode.h"

#include "vendor/keys.h"

#include <assert.h>
#include <stdlib.h>

enum { RES_FIRST = 4, STATUS_MAX = 2 * SCORE_CONTAINERS_MAX };

struct raw_resource { /* what one container says of one vendor */
    uint16_t vendor;
    struct str limit[VENDOR_RES_COUNT_], request[VENDOR_RES_COUNT_];
};
struct raw_amounts {
    struct str cpu_limit, cpu_request, memory_limit, memory_request;
};
struct raw_container {
    struct str name;
    bool always; /* restartPolicy Always: a sidecar when it stands among the init containers */
    struct raw_resource *res;
    size_t res_n, res_cap;
    struct raw_amounts amounts;
};
struct raw_containers { /* one of the two lists */
    struct raw_container *of;
    size_t n, cap;     /* n: at most SCORE_CONTAINERS_MAX */
    bool more;         /* there were more than that */
    uint64_t more_ask; /* vendors that those name */
    struct raw_container spare;
};
struct raw_status {
    struct str name;
    bool terminated;
};
struct raw_statuses {
    struct raw_status *of;
    size_t n, cap;
    bool more;
};
struct raw_note { /* an annotation of a vendor's */
    uint16_t vendor;
    enum vendor_key what;
    bool too_long;
    struct str value;
};
struct raw_pod {
    struct decode d;
    struct cluster_pod *pod;
    struct raw_containers init, app;
    struct raw_statuses init_status, app_status;
    struct raw_note *notes;
    size_t notes_n, notes_cap;
    bool more_than_lists;                         /* among the notes */
    struct str node_policy, card_policy, weights; /* p NULL: absent */
    struct str text_too_long;                     /* key of one of these three; p NULL: none */
    bool foreign_list; /* an allocation key of a maker that we don't serve */
    bool soft_node, soft_pod, soft_anti, soft_spread;
    struct raw_amounts pod_amounts;
    struct str overhead_cpu, overhead_memory;
};

/* ---- metadata ---- */

/* Lists are a row's own, and nearly all annotations that pods have. */
static bool is_list(enum vendor_key what)
{
    return what == VENDOR_KEY_POD_TO_ALLOCATE || what == VENDOR_KEY_POD_ALLOCATED;
}

static void put_note(struct raw_pod *r, uint16_t vendor, enum vendor_key what, struct str value)
{
    struct raw_note note = {.vendor = vendor, .what = what, .value = value};
    r->more_than_lists = r->more_than_lists || !is_list(what);
    note.too_long = value.n > decode_annotation_max(r->d.cfg);
    for (size_t i = 0; i < r->notes_n; i++)
        if (r->notes[i].vendor == vendor && r->notes[i].what == what) {
            r->notes[i] = note;
            return;
        }
    if (DECODE_GROW(r->d.arena, r->notes, r->notes_n, r->notes_cap))
        r->notes[r->notes_n++] = note;
}

static const struct raw_note *own_note(const struct raw_pod *r, uint16_t vendor,
                                       enum vendor_key what)
{
    for (size_t i = 0; i < r->notes_n; i++)
        if (r->notes[i].vendor == vendor && r->notes[i].what == what)
            return &r->notes[i];
    return NULL;
}

/* The annotation that is `what` to the row; several rows may read one, and call it differently. */
static const struct raw_note *find_note(const struct raw_pod *r, uint16_t vendor,
                                        enum vendor_key what)
{
    uint16_t home;
    enum vendor_key as;
    if (!r->more_than_lists || !vendor_key_home(r->d.cfg->vendors, vendor, what, &home, &as))
        return NULL;
    return own_note(r, home, as);
}

/* p NULL: absent, or beyond what we read (*ret_too_long). */
static struct str note_text(const struct raw_pod *r, uint16_t vendor, enum vendor_key what,
                            bool *ret_too_long)
{
    const struct raw_note *note = find_note(r, vendor, what);
    if (!note)
        return (struct str){NULL, 0};
    *ret_too_long = *ret_too_long || note->too_long;
    return note->too_long ? (struct str){NULL, 0} : note->value;
}

static void clear_annotations(struct raw_pod *r)
{
    r->notes_n = 0;
    r->more_than_lists = false;
    r->node_policy = r->card_policy = r->weights = r->text_too_long = (struct str){NULL, 0};
    r->pod->vgpu_node = r->pod->bind_phase = STR("");
    r->foreign_list = false;
}

static void read_annotations(struct raw_pod *r)
{
    struct decode *d = &r->d;
    if (scan_null(&d->s)) { /* a Go map: null empties it */
        clear_annotations(r);
        return;
    }
    struct str key;
    if (!scan_object(&d->s))
        return;
    while (scan_key(&d->s, &key)) {
        uint16_t vendor;
        enum vendor_key what;
        struct str *to = NULL, value = STR("");
        bool policy = false;
        if (vendor_find_key(d->cfg->vendors, key, &vendor, &what)) {
            decode_map_text(d, &value);
            if (!d->s.fault)
                put_note(r, vendor, what, value);
            continue;
        }
        if (str_eq(key, STR(KEY_POD_NODE)))
            to = &r->pod->vgpu_node;
        else if (str_eq(key, STR(KEY_POD_BIND_PHASE)))
            to = &r->pod->bind_phase;
        else if (str_eq(key, STR(KEY_POD_NODE_POLICY)))
            to = &r->node_policy, policy = true;
        else if (str_eq(key, STR(KEY_POD_CARD_POLICY)))
            to = &r->card_policy, policy = true;
        else if (str_eq(key, STR(KEY_POD_WEIGHTS)))
            to = &r->weights, policy = true;
        if (!to) {
            /* Every plugin decodes all makers' lists: garbage in one of them blocks all. The two
             * times are reserved as well, but a Binding overwrites them. */
            if (vendor_key_reserved(d->cfg->vendors, key) && !str_eq(key, STR(KEY_POD_TIME)) &&
                !str_eq(key, STR(KEY_POD_BIND_TIME)))
                r->foreign_list = true;
            scan_skip(&d->s);
            continue;
        }
        decode_map_text(d, &value);
        if (value.n > decode_annotation_max(d->cfg)) {
            if (policy)
                r->text_too_long = key;
            value = STR("");
        }
        *to = value;
    }
}

static void read_labels(struct raw_pod *r)
{
    struct decode *d = &r->d;
    struct str key;
    if (scan_null(&d->s)) { /* a Go map: null empties it */
        r->pod->node_label = STR("");
        return;
    }
    if (!scan_object(&d->s))
        return;
    while (scan_key(&d->s, &key))
        if (str_eq(key, STR(KEY_POD_NODE)))
            decode_map_text(d, &r->pod->node_label);
        else
            scan_skip(&d->s);
}

static void read_metadata(struct raw_pod *r)
{
    struct decode *d = &r->d;
    struct cluster_pod *pod = r->pod;
    struct str key;
    if (!decode_object(d))
        return;
    while (scan_key(&d->s, &key)) {
        struct str text;
        if (decode_is(d, key, STR("name")))
            decode_text(d, &pod->name);
        else if (decode_is(d, key, STR("namespace")))
            decode_text(d, &pod->ns);
        else if (decode_is(d, key, STR("uid")))
            decode_text(d, &pod->uid);
        else if (decode_is(d, key, STR("resourceVersion")))
            decode_text(d, &pod->resource_version);
        else if (decode_is(d, key, STR("deletionTimestamp")))
            pod->deleting = !scan_null(&d->s) && scan_string(&d->s, &text);
        else if (decode_is(d, key, STR("annotations")))
            read_annotations(r);
        else if (decode_is(d, key, STR("labels")))
            read_labels(r);
        else
            scan_skip(&d->s); /* managedFields and all */
    }
}

/* ---- containers ---- */

static struct raw_resource *resource_of(struct raw_pod *r, struct raw_container *c, uint16_t vendor)
{
    for (size_t i = 0; i < c->res_n; i++)
        if (c->res[i].vendor == vendor)
            return &c->res[i];
    if (!DECODE_GROW(r->d.arena, c->res, c->res_n, c->res_cap))
        return NULL;
    c->res[c->res_n] = (struct raw_resource){.vendor = vendor};
    return &c->res[c->res_n++];
}

static void read_amounts(struct raw_pod *r, struct raw_container *c, struct raw_amounts *amounts,
                         bool limits)
{
    struct decode *d = &r->d;
    struct str *cpu = limits ? &amounts->cpu_limit : &amounts->cpu_request;
    struct str *memory = limits ? &amounts->memory_limit : &amounts->memory_request;
    if (scan_null(&d->s)) {
        *cpu = *memory = (struct str){NULL, 0};
        for (size_t i = 0; c && i < c->res_n; i++)
            memset(limits ? c->res[i].limit : c->res[i].request, 0, sizeof(c->res[i].limit));
        return;
    }
    struct str key;
    if (!scan_object(&d->s))
        return;
    while (scan_key(&d->s, &key)) {
        uint16_t vendor;
        enum vendor_resource what;
        if (str_eq(key, STR("cpu"))) {
            decode_quantity(d, cpu);
        } else if (str_eq(key, STR("memory"))) {
            decode_quantity(d, memory);
        } else if (c && vendor_find_resource(d->cfg->vendors, key, &vendor, &what)) {
            struct raw_resource *res = resource_of(r, c, vendor);
            struct str value = STR("");
            decode_quantity(d, &value);
            if (res)
                *(limits ? &res->limit[what] : &res->request[what]) = value;
        } else {
            scan_skip(&d->s);
        }
    }
}

/* c NULL: of the pod as a whole, which has no cards. */
static void read_resources(struct raw_pod *r, struct raw_container *c, struct raw_amounts *amounts)
{
    struct decode *d = &r->d;
    struct str key;
    if (!decode_object(d))
        return;
    while (scan_key(&d->s, &key)) {
        if (decode_is(d, key, STR("limits")))
            read_amounts(r, c, amounts, true);
        else if (decode_is(d, key, STR("requests")))
            read_amounts(r, c, amounts, false);
        else
            scan_skip(&d->s);
    }
}

static void read_container(struct raw_pod *r, struct raw_container *c)
{
    struct decode *d = &r->d;
    struct str key;
    if (!decode_object(d))
        return;
    while (scan_key(&d->s, &key)) {
        if (decode_is(d, key, STR("name"))) {
            decode_text(d, &c->name);
        } else if (decode_is(d, key, STR("resources"))) {
            read_resources(r, c, &c->amounts);
        } else if (decode_is(d, key, STR("restartPolicy"))) {
            struct str policy = STR("");
            decode_text(d, &policy);
            c->always = str_eq(policy, STR("Always"));
        } else {
            scan_skip(&d->s);
        }
    }
}

static uint64_t bit(uint16_t vendor) { return UINT64_C(1) << vendor; }

static void read_containers(struct raw_pod *r, struct raw_containers *list)
{
    struct decode *d = &r->d;
    list->n = 0;
    list->more = false;
    list->more_ask = 0;
    if (!decode_array(d))
        return;
    while (scan_item(&d->s)) {
        struct raw_container *c = &list->spare;
        if (list->n < SCORE_CONTAINERS_MAX) {
            if (!DECODE_GROW(d->arena, list->of, list->n, list->cap))
                return;
            c = &list->of[list->n++];
            *c = (struct raw_container){0};
        } else {
            list->more = true;
            c->res_n = 0;
        }
        read_container(r, c);
        if (c == &list->spare)
            for (size_t i = 0; i < c->res_n; i++)
                list->more_ask |= bit(c->res[i].vendor);
    }
}

/* ---- spec and status ---- */

static void read_wishes(struct raw_pod *r, bool *soft)
{
    struct decode *d = &r->d;
    struct str key;
    if (!decode_object(d))
        return;
    while (scan_key(&d->s, &key)) {
        if (decode_is(d, key, STR("preferredDuringSchedulingIgnoredDuringExecution")))
            *soft = decode_count(d) > 0;
        else
            scan_skip(&d->s);
    }
}

static void read_affinity(struct raw_pod *r)
{
    struct decode *d = &r->d;
    struct str key;
    if (scan_null(&d->s)) {
        r->soft_node = r->soft_pod = r->soft_anti = false;
        return;
    }
    if (!scan_object(&d->s))
        return;
    while (scan_key(&d->s, &key)) {
        if (decode_is(d, key, STR("nodeAffinity")))
            read_wishes(r, &r->soft_node);
        else if (decode_is(d, key, STR("podAffinity")))
            read_wishes(r, &r->soft_pod);
        else if (decode_is(d, key, STR("podAntiAffinity")))
            read_wishes(r, &r->soft_anti);
        else
            scan_skip(&d->s);
    }
}

static void read_spreading(struct raw_pod *r)
{
    struct decode *d = &r->d;
    struct str key;
    r->soft_spread = false;
    if (!decode_array(d))
        return;
    while (scan_item(&d->s)) {
        if (!decode_object(d))
            continue;
        while (scan_key(&d->s, &key)) {
            struct str when = STR("");
            if (!decode_is(d, key, STR("whenUnsatisfiable"))) {
                scan_skip(&d->s);
                continue;
            }
            decode_text(d, &when);
            if (str_eq(when, STR("ScheduleAnyway")))
                r->soft_spread = true;
        }
    }
}

static void read_overhead(struct raw_pod *r)
{
    struct decode *d = &r->d;
    struct str key;
    if (!decode_object(d))
        return;
    while (scan_key(&d->s, &key)) {
        if (str_eq(key, STR("cpu")))
            decode_quantity(d, &r->overhead_cpu);
        else if (str_eq(key, STR("memory")))
            decode_quantity(d, &r->overhead_memory);
        else
            scan_skip(&d->s);
    }
}

static void read_priority(struct raw_pod *r)
{
    int64_t n = 0;
    if (scan_null(&r->d.s)) {
        r->pod->priority = 0;
        return;
    }
    if (!scan_int(&r->d.s, &n))
        return;
    if (n < INT32_MIN || n > INT32_MAX)
        scan_fail(&r->d.s, "priority out of range");
    else
        r->pod->priority = (int32_t)n;
}

static void read_spec(struct raw_pod *r)
{
    struct decode *d = &r->d;
    struct cluster_pod *pod = r->pod;
    struct str key;
    if (!decode_object(d))
        return;
    while (scan_key(&d->s, &key)) {
        if (decode_is(d, key, STR("containers")))
            read_containers(r, &r->app);
        else if (decode_is(d, key, STR("initContainers")))
            read_containers(r, &r->init);
        else if (decode_is(d, key, STR("nodeName")))
            decode_text(d, &pod->node);
        else if (decode_is(d, key, STR("schedulerName")))
            decode_text(d, &pod->scheduler_name);
        else if (decode_is(d, key, STR("priority")))
            read_priority(r);
        else if (decode_is(d, key, STR("schedulingGates")))
            pod->gated = decode_count(d) > 0;
        else if (decode_is(d, key, STR("affinity")))
            read_affinity(r);
        else if (decode_is(d, key, STR("topologySpreadConstraints")))
            read_spreading(r);
        else if (decode_is(d, key, STR("overhead")))
            read_overhead(r);
        else if (decode_is(d, key, STR("resources")))
            read_resources(r, NULL, &r->pod_amounts);
        else
            scan_skip(&d->s);
    }
}

static void read_state(struct raw_pod *r, bool *ret_terminated)
{
    struct decode *d = &r->d;
    struct str key;
    if (!decode_object(d))
        return;
    while (scan_key(&d->s, &key)) {
        if (decode_is(d, key, STR("terminated")))
            *ret_terminated = !scan_null(&d->s) && scan_skip(&d->s);
        else
            scan_skip(&d->s);
    }
}

static void read_statuses(struct raw_pod *r, struct raw_statuses *list)
{
    struct decode *d = &r->d;
    struct str key;
    list->n = 0;
    list->more = false;
    if (!decode_array(d))
        return;
    while (scan_item(&d->s)) {
        struct raw_status status = {.name = STR("")};
        if (decode_object(d))
            while (scan_key(&d->s, &key)) {
                if (decode_is(d, key, STR("name")))
                    decode_text(d, &status.name);
                else if (decode_is(d, key, STR("state")))
                    read_state(r, &status.terminated);
                else
                    scan_skip(&d->s);
            }
        if (list->n == STATUS_MAX)
            list->more = true;
        else if (DECODE_GROW(d->arena, list->of, list->n, list->cap))
            list->of[list->n++] = status;
    }
}

static void read_status(struct raw_pod *r)
{
    struct decode *d = &r->d;
    struct cluster_pod *pod = r->pod;
    struct str key;
    if (!decode_object(d))
        return;
    while (scan_key(&d->s, &key)) {
        if (decode_is(d, key, STR("phase"))) {
            struct str phase = STR("Pending"); /* kube-apiserver's default */
            decode_text(d, &phase);
            pod->phase = str_eq(phase, STR("Pending")) || phase.n == 0 ? CLUSTER_PENDING
                         : str_eq(phase, STR("Running"))               ? CLUSTER_RUNNING
                         : str_eq(phase, STR("Succeeded"))             ? CLUSTER_SUCCEEDED
                         : str_eq(phase, STR("Failed"))                ? CLUSTER_FAILED
                                                                       : CLUSTER_PHASE_OTHER;
        } else if (decode_is(d, key, STR("nominatedNodeName"))) {
            decode_text(d, &pod->nominated_node);
        } else if (decode_is(d, key, STR("containerStatuses"))) {
            read_statuses(r, &r->app_status);
        } else if (decode_is(d, key, STR("initContainerStatuses"))) {
            read_statuses(r, &r->init_status);
        } else {
            scan_skip(&d->s);
        }
    }
}

static bool read_pod(struct raw_pod *r)
{
    struct decode *d = &r->d;
    struct str key;
    if (!scan_object(&d->s))
        return false;
    while (scan_key(&d->s, &key)) {
        if (decode_is(d, key, STR("metadata"))) {
            read_metadata(r);
        } else if (decode_is(d, key, STR("spec"))) {
            read_spec(r);
        } else if (decode_is(d, key, STR("status"))) {
            read_status(r);
        } else if (decode_is(d, key, STR("kind"))) {
            struct str kind = STR("");
            decode_text(d, &kind);
            if (kind.n > 0 && !str_eq(kind, STR("Pod")))
                scan_fail(&d->s, "the object's kind is not Pod");
        } else {
            scan_skip(&d->s);
        }
    }
    return scan_end(&d->s);
}

/* ---- judging: what it asks for ---- */

static void refuse(struct raw_pod *r, enum score_reason reason, struct str text)
{
    if (r->pod->refused_reason != SCORE_FITS)
        return; /* the first one is told */
    r->pod->refused_reason = reason;
    r->pod->refused_text = arena_str(r->d.arena, text);
}

/* Containers in the order of all positional data: init containers first. */
static const struct raw_container *container_at(const struct raw_pod *r, size_t i)
{
    return i < r->init.n ? &r->init.of[i] : &r->app.of[i - r->init.n];
}

static void sort_resources(struct raw_container *c)
{
    for (size_t i = 1; i < c->res_n; i++)
        for (size_t j = i; j > 0 && c->res[j].vendor < c->res[j - 1].vendor; j--) {
            struct raw_resource tmp = c->res[j];
            c->res[j] = c->res[j - 1];
            c->res[j - 1] = tmp;
        }
}

static void derive_one(struct raw_pod *r, uint16_t container, const struct raw_resource *res,
                       struct score_ask *asks)
{
    struct cluster_pod *pod = r->pod;
    const struct vendor *v = vendor_at(r->d.cfg->vendors, res->vendor);
    bool too_long = false;
    struct vendor_wish wish = {
        .soft = vendor_soft(v, note_text(r, res->vendor, VENDOR_KEY_POD_SOFT, &too_long))};
    for (int i = 0; i < VENDOR_RES_COUNT_; i++) {
        wish.value[i] = res->limit[i].p ? res->limit[i] : res->request[i];
        wish.limits |= (uint32_t)(res->limit[i].p != NULL) << i;
    }
    struct score_ask ask = {0};
    struct err why;
    bool wants = false;
    if (vendor_derive(v, &wish, r->d.cfg->assume_admitted, &ask, &wants, &why)) {
        pod->vendors_asked |= bit(res->vendor);
        pod->vendors_broken |= bit(res->vendor);
        refuse(r, SCORE_REQUEST_INVALID, str_z(why.text));
        return;
    }
    if (!wants)
        return;
    pod->vendors_asked |= bit(res->vendor);
    if (pod->request.asks_n == SCORE_ASKS_MAX) {
        pod->vendors_broken |= bit(res->vendor);
        refuse(r, SCORE_REQUEST_INVALID, STR("more asks than one pod may have"));
        return;
    }
    ask.container = container;
    ask.vendor = res->vendor;
    asks[pod->request.asks_n++] = ask;
}

static bool judge_containers(struct raw_pod *r)
{
    struct cluster_pod *pod = r->pod;
    struct arena *arena = r->d.arena;
    size_t all = r->init.n + r->app.n,
           kept = all < SCORE_CONTAINERS_MAX ? all : SCORE_CONTAINERS_MAX;
    size_t named = 0;
    for (size_t i = 0; i < kept; i++)
        named += container_at(r, i)->res_n;
    enum score_step *steps = arena_array(arena, kept, sizeof(*steps));
    struct str *names = arena_array(arena, kept, sizeof(*names));
    struct score_ask *asks =
        arena_array(arena, named < SCORE_ASKS_MAX ? named : SCORE_ASKS_MAX, sizeof(*asks));
    if (arena_failed(arena))
        return false;
    for (size_t i = 0; i < kept; i++) {
        const struct raw_container *c = container_at(r, i);
        steps[i] = i >= r->init.n ? SCORE_STEP_APP
                   : c->always    ? SCORE_STEP_SIDECAR
                                  : SCORE_STEP_INIT;
        names[i] = c->name;
        sort_resources((struct raw_container *)c);
        for (size_t k = 0; k < c->res_n; k++)
            derive_one(r, (uint16_t)i, &c->res[k], asks);
    }
    uint64_t beyond = r->init.more_ask | r->app.more_ask;
    for (size_t i = kept; i < all; i++)
        for (size_t k = 0; k < container_at(r, i)->res_n; k++)
            beyond |= bit(container_at(r, i)->res[k].vendor);
    if (beyond || (pod->vendors_asked && (all > kept || r->init.more || r->app.more))) {
        pod->vendors_asked |= beyond;
        pod->vendors_broken |= pod->vendors_asked;
        refuse(r, SCORE_REQUEST_INVALID, STR("asks for cards and has more than 64 containers"));
    }
    pod->containers_n = (uint16_t)kept;
    pod->steps = steps;
    pod->container_names = names;
    pod->request.vendors = vendor_cores(r->d.cfg->vendors);
    pod->request.vendors_n = vendor_count(r->d.cfg->vendors);
    pod->request.steps = steps;
    pod->request.containers_n = (uint16_t)kept;
    pod->request.asks = asks;
    return true;
}

static bool asks_for(const struct cluster_pod *pod, uint16_t vendor)
{
    return pod->vendors_asked & bit(vendor);
}

/* ERR_NO_MEMORY, or ERR_OK: what is wrong is refused. */
MUST_USE static enum err_code judge_selection(struct raw_pod *r, uint16_t vendor,
                                              struct score_selection *list, bool *ret_numa,
                                              struct err *err)
{
    const struct vendor *v = vendor_at(r->d.cfg->vendors, vendor);
    bool too_long = false;
    const struct vendor_selection_text text = {
        .use_type = note_text(r, vendor, VENDOR_KEY_POD_USE_TYPE, &too_long),
        .nouse_type = note_text(r, vendor, VENDOR_KEY_POD_NOUSE_TYPE, &too_long),
        .use_uuid = note_text(r, vendor, VENDOR_KEY_POD_USE_UUID, &too_long),
        .nouse_uuid = note_text(r, vendor, VENDOR_KEY_POD_NOUSE_UUID, &too_long),
        .use_uuid2 = note_text(r, vendor, VENDOR_KEY_POD_USE_UUID2, &too_long),
        .nouse_uuid2 = note_text(r, vendor, VENDOR_KEY_POD_NOUSE_UUID2, &too_long),
        .mode = note_text(r, vendor, VENDOR_KEY_POD_MODE, &too_long),
        .numa_bind = note_text(r, vendor, VENDOR_KEY_POD_NUMA_BIND, &too_long),
        .app_class = note_text(r, vendor, VENDOR_KEY_POD_CLASS, &too_long),
        .qos = note_text(r, vendor, VENDOR_KEY_POD_QOS, &too_long),
        .topology = note_text(r, vendor, VENDOR_KEY_POD_TOPOLOGY, &too_long),
    };
    /* How it is to be split was asked with its amounts; here only whether that could be read. */
    (void)note_text(r, vendor, VENDOR_KEY_POD_SOFT, &too_long);
    if (too_long)
        refuse(r, SCORE_REQUEST_INVALID, STR("an annotation is too long"));
    struct score_selection sel = {0};
    struct err why;
    enum err_code rc = vendor_selection(v, &text, r->d.arena, &sel, &why);
    if (rc == ERR_NO_MEMORY)
        return err_set(err, rc, "%s", why.text);
    if (rc) {
        refuse(r, SCORE_REQUEST_INVALID, str_z(why.text));
        return ERR_OK;
    }
    *ret_numa = *ret_numa || vendor_numa_bind(&text);
    sel.vendor = vendor;
    if (sel.use_type_set || sel.use_uuid_set || sel.nouse_types_n || sel.nouse_uuids_n ||
        sel.mode_set || sel.numa_bind || sel.app_class || sel.qos || sel.links)
        list[r->pod->request.selections_n++] = sel;
    return ERR_OK;
}

MUST_USE static enum err_code judge_wishes(struct raw_pod *r, struct err *err)
{
    struct cluster_pod *pod = r->pod;
    const struct cluster_config *cfg = r->d.cfg;
    if (!pod->vendors_asked)
        return ERR_OK;
    struct str node_policy = r->node_policy.p ? r->node_policy : cfg->node_policy;
    struct str card_policy = r->card_policy.p ? r->card_policy : cfg->card_policy;
    bool numa = false;
    struct score_selection *list =
        arena_array(r->d.arena, (size_t)__builtin_popcountll(pod->vendors_asked), sizeof(*list));
    if (!list)
        return err_set(err, ERR_NO_MEMORY, "pod: no memory");
    if (r->text_too_long.p)
        refuse(r, SCORE_REQUEST_INVALID, STR("an annotation is too long"));
    for (uint16_t v = 0; v < pod->request.vendors_n; v++)
        if (asks_for(pod, v)) {
            enum err_code rc = judge_selection(r, v, list, &numa, err);
            if (rc)
                return rc;
        }
    pod->request.selections = list;
    struct err why;
    pod->request.policy = SCORE_POLICY_DEFAULT;
    enum err_code rc =
        vendor_policy(node_policy, card_policy, r->weights, numa, &pod->request.policy, &why);
    if (rc)
        refuse(r, SCORE_REQUEST_INVALID, str_z(why.text));
    if (pod->request.asks_n > 0 && score_request_check(&pod->request, &why)) {
        pod->vendors_broken |= pod->vendors_asked;
        refuse(r, SCORE_REQUEST_INVALID, str_z(why.text));
    }
    return ERR_OK;
}

/* ---- judging: what its annotations say ---- */

/* What the other annotations of the row say of the list's shares: which bits, how many shares.
 * Where they can't be read the slices that nobody can name are all of the card's (nvidia.md 8.4),
 * which the ledger knows, and sizes are unknown: false, as good as no list. */
MUST_USE static enum err_code read_extra(struct raw_pod *r, uint16_t vendor,
                                         struct vendor_alloc *list, uint16_t n, bool *ret_sound,
                                         struct err *err)
{
    const struct vendor *v = vendor_at(r->d.cfg->vendors, vendor);
    const struct cluster_pod *pod = r->pod;
    struct err why;
    bool too_long = false;
    const struct str slices = note_text(r, vendor, VENDOR_KEY_POD_MIG, &too_long),
                     assigned = note_text(r, vendor, VENDOR_KEY_POD_ASSIGNED, &too_long);
    enum err_code rc = ERR_INVALID;
    if (!too_long)
        rc = vendor_alloc_extra(v, slices, assigned, pod->container_names, pod->containers_n,
                                r->d.arena, list, n, &why);
    if (rc == ERR_NO_MEMORY)
        return err_set(err, rc, "%s", why.text);
    for (uint16_t i = 0; rc && i < n; i++)
        list[i].bits = 0;
    *ret_sound = !rc || v->pod_assigned.n == 0;
    return ERR_OK;
}

MUST_USE static enum err_code judge_list(struct raw_pod *r, uint16_t vendor,
                                         const struct raw_note *note, struct cluster_share **shares,
                                         size_t *cap, struct err *err)
{
    struct cluster_pod *pod = r->pod;
    bool asking[SCORE_CONTAINERS_MAX] = {false};
    for (uint16_t i = 0; i < pod->request.asks_n; i++)
        if (pod->request.asks[i].vendor == vendor)
            asking[pod->request.asks[i].container] = true;
    struct vendor_alloc *list = NULL;
    uint16_t n = 0;
    struct err why;
    enum err_code rc = ERR_INVALID;
    if (!note->too_long)
        rc = vendor_alloc_decode(note->value, asking, pod->containers_n, r->d.arena, &list, &n,
                                 &why);
    if (rc == ERR_NO_MEMORY)
        return err_set(err, rc, "%s", why.text);
    bool sound = !rc && pod->shares_n + n <= SCORE_PARTS_MAX;
    for (uint16_t i = 0; sound && i < n; i++)
        sound = list[i].uuid.n <= DECODE_UUID_MAX;
    rc = sound ? read_extra(r, vendor, list, n, &sound, err) : ERR_OK;
    if (rc)
        return rc;
    if (!sound) {
        pod->shares_broken_vendors |= bit(vendor);
        pod->shares_broken = true;
        return ERR_OK;
    }
    for (uint16_t i = 0; i < n; i++) {
        if (!decode_grow(r->d.arena, (void **)shares, pod->shares_n, cap, sizeof(**shares)))
            return err_set(err, ERR_NO_MEMORY, "pod: no memory");
        (*shares)[pod->shares_n++] = (struct cluster_share){.container = list[i].container,
                                                            .vendor = vendor,
                                                            .uuid = list[i].uuid,
                                                            .mem_mib = list[i].mem_mib,
                                                            .cores_pct = list[i].cores_pct,
                                                            .shares = list[i].shares,
                                                            .bits = list[i].bits};
    }
    return ERR_OK;
}

MUST_USE static enum err_code judge_lists(struct raw_pod *r, struct err *err)
{
    struct cluster_pod *pod = r->pod;
    struct cluster_share *shares = NULL;
    size_t cap = 0;
    for (uint16_t v = 0; r->notes_n > 0 && v < pod->request.vendors_n; v++) {
        const struct raw_note *note = own_note(r, v, VENDOR_KEY_POD_ALLOCATED);
        enum err_code rc = note ? judge_list(r, v, note, &shares, &cap, err) : ERR_OK;
        if (rc)
            return rc;
    }
    pod->shares = shares;
    pod->reserved_keys = r->foreign_list;
    for (size_t i = 0; i < r->notes_n; i++) {
        const struct raw_note *note = &r->notes[i];
        bool list = is_list(note->what) || note->what == VENDOR_KEY_POD_ASSIGNED;
        /* A Binding of ours writes the lists of the vendors that are asked for, and no others. */
        if (note->what == VENDOR_KEY_POD_MIG || (list && !asks_for(pod, note->vendor)))
            pod->reserved_keys = true;
        if (note->what == VENDOR_KEY_POD_TO_ALLOCATE && vendor_alloc_left(note->value) &&
            vendor_serves_locked(vendor_at(r->d.cfg->vendors, note->vendor)))
            pod->to_allocate_left = true;
    }
    return ERR_OK;
}

/* ---- judging: its life, CPU and memory ---- */

static bool all_terminated(const struct raw_containers *list, const struct raw_statuses *statuses)
{
    if (list->more || statuses->more)
        return false; /* nobody looked at all of them */
    for (size_t i = 0; i < list->n; i++) {
        bool found = false;
        for (size_t k = 0; k < statuses->n; k++) {
            if (!str_eq(statuses->of[k].name, list->of[i].name))
                continue;
            if (!statuses->of[k].terminated)
                return false;
            found = true;
        }
        if (!found)
            return false;
    }
    return true;
}

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* Kubernetes' effective request: the larger of what runs together in the end and of each init step
 * with the sidecars that were started before it. A request of the pod as a whole goes before;
 * overhead comes on top. */
static int64_t effective(const struct raw_pod *r, bool cpu)
{
    int64_t running = 0, peak = 0;
    for (size_t i = 0; i < r->init.n + r->app.n; i++) {
        const struct raw_container *c = container_at(r, i);
        struct str request = cpu ? c->amounts.cpu_request : c->amounts.memory_request;
        if (!request.p)
            request = cpu ? c->amounts.cpu_limit : c->amounts.memory_limit;
        int64_t amount = cpu ? decode_amount(request, 3, true) : decode_mib(request, true);
        if (i < r->init.n && !c->always)
            peak = most(peak, running + amount);
        else
            running += amount;
    }
    int64_t sum = most(running, peak);
    struct str whole = cpu ? r->pod_amounts.cpu_request : r->pod_amounts.memory_request;
    if (whole.p)
        sum = cpu ? decode_amount(whole, 3, true) : decode_mib(whole, true);
    return sum +
           (cpu ? decode_amount(r->overhead_cpu, 3, true) : decode_mib(r->overhead_memory, true));
}

static void judge_life(struct raw_pod *r)
{
    struct cluster_pod *pod = r->pod;
    pod->started = r->app_status.n > 0 || r->init_status.n > 0;
    pod->terminated = r->app.n > 0 && all_terminated(&r->app, &r->app_status) &&
                      all_terminated(&r->init, &r->init_status);
    pod->soft_wishes = r->soft_node || r->soft_pod || r->soft_anti || r->soft_spread;
    pod->cpu_milli = effective(r, true);
    pod->memory_mib = effective(r, false);
}

enum err_code cluster_pod_decode(const struct cluster_config *cfg, struct str text, bool fold,
                                 struct arena *arena, struct cluster_pod *ret, struct err *err)
{
    struct cluster_pod pod = {.ns = STR(""), .name = STR(""), .uid = STR("")};
    pod.resource_version = pod.node = pod.nominated_node = pod.scheduler_name = STR("");
    struct raw_pod r = {.d = decode_start(cfg, text, fold, arena), .pod = &pod};
    clear_annotations(&r);
    if (!read_pod(&r) || arena_failed(arena))
        return decode_failed(&r.d, "pod", err);
    if (pod.name.n == 0)
        return err_set(err, ERR_BAD_REQUEST, "pod: metadata.name is missing");
    if (!judge_containers(&r))
        return decode_failed(&r.d, "pod", err);
    enum err_code rc = judge_wishes(&r, err);
    if (!rc)
        rc = judge_lists(&r, err);
    if (rc)
        return rc;
    judge_life(&r);
    if (arena_failed(arena))
        return decode_failed(&r.d, "pod", err);
    pod.wants = pod.refused_reason != SCORE_FITS ? CLUSTER_WANTS_REFUSED
                : pod.request.asks_n > 0         ? CLUSTER_WANTS_CARDS
                                                 : CLUSTER_WANTS_NOTHING;
    *ret = pod;
    return ERR_OK;
}

/* ---- a copy in one block ---- */

struct pack { /* the same walk first counts, then copies */
    char *to; /* NULL: count */
    size_t n;
};

static void *pack_bytes(struct pack *p, const void *from, size_t n, size_t align)
{
    p->n = (p->n + align - 1) / align * align;
    void *to = p->to ? p->to + p->n : NULL;
    if (to && from && n > 0)
        memcpy(to, from, n);
    p->n += n;
    return to;
}

static void pack_str(struct pack *p, struct str *s)
{
    bool absent = !s->p;
    const char *to = pack_bytes(p, s->p, s->n, 1);
    if (p->to && !absent)
        s->p = to;
}

static void pack_strs(struct pack *p, const struct str **list, size_t n)
{
    if (!*list)
        return;
    struct str *to = pack_bytes(p, *list, n * sizeof(**list), _Alignof(struct str));
    for (size_t i = 0; i < n; i++) {
        struct str s = (*list)[i];
        pack_str(p, &s);
        if (to)
            to[i] = s;
    }
    if (p->to)
        *list = to;
}

static void pack_selections(struct pack *p, struct score_request *req)
{
    struct score_selection *to = pack_bytes(p, req->selections, req->selections_n * sizeof(*to),
                                            _Alignof(struct score_selection));
    for (uint16_t i = 0; i < req->selections_n; i++) {
        struct score_selection sel = req->selections[i];
        pack_strs(p, &sel.use_types, sel.use_types_n);
        pack_strs(p, &sel.nouse_types, sel.nouse_types_n);
        pack_strs(p, &sel.use_uuids, sel.use_uuids_n);
        pack_strs(p, &sel.nouse_uuids, sel.nouse_uuids_n);
        pack_str(p, &sel.mode);
        if (to)
            to[i] = sel;
    }
    if (p->to)
        req->selections = to;
}

static size_t pack_pod(const struct cluster_pod *from, struct pack p)
{
    struct cluster_pod pod = *from;
    struct cluster_pod *to = pack_bytes(&p, &pod, sizeof(pod), _Alignof(struct cluster_pod));
    enum score_step *steps =
        pack_bytes(&p, pod.steps, pod.containers_n * sizeof(*steps), sizeof(*steps));
    struct score_ask *asks = pack_bytes(&p, pod.request.asks, pod.request.asks_n * sizeof(*asks),
                                        _Alignof(struct score_ask));
    struct cluster_share *shares =
        pack_bytes(&p, pod.shares, pod.shares_n * sizeof(*shares), _Alignof(struct cluster_share));
    for (uint16_t i = 0; pod.shares && i < pod.shares_n; i++) {
        struct str uuid = pod.shares[i].uuid;
        pack_str(&p, &uuid);
        if (shares)
            shares[i].uuid = uuid;
    }
    pack_strs(&p, &pod.container_names, pod.containers_n);
    pack_selections(&p, &pod.request);
    struct str *const texts[] = {&pod.uid,
                                 &pod.ns,
                                 &pod.name,
                                 &pod.node,
                                 &pod.resource_version,
                                 &pod.nominated_node,
                                 &pod.scheduler_name,
                                 &pod.refused_text,
                                 &pod.vgpu_node,
                                 &pod.bind_phase,
                                 &pod.node_label};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        pack_str(&p, texts[i]);
    if (to) {
        pod.steps = pod.request.steps = steps;
        pod.request.asks = asks;
        pod.request.quotas = NULL; /* of a moment: whoever decides looks anew */
        pod.request.quotas_n = 0;
        pod.shares = shares;
        *to = pod;
    }
    return p.n;
}

struct cluster_pod *cluster_pod_clone(const struct cluster_pod *pod)
{
    struct pack p = {.to = malloc(pack_pod(pod, (struct pack){.to = NULL}))};
    if (p.to)
        pack_pod(pod, p);
    return (struct cluster_pod *)(void *)p.to;
}
