/* The wire between cardinald and the API server: the in-process store behind calls that meet
 * faults, take their time, and let others go first, so that anything can happen before a write
 * lands and before its answer is read. */
#include "model/world.h"

#include "kubeclient/priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct kube *inner;
static struct kube_store *store;
static bool faults_on = true;
static int64_t outage_until_ms;

struct outer { /* the kube that an instance sees */
    struct kube kube;
    struct wire *wire;
};
struct pending { /* a write that is on its way */
    struct pending *next;
    struct kube_request req;
    struct wire *wire;
    int64_t until_ms; /* lands at the latest then */
    char *bytes;
};
static struct pending *late;

static int64_t mono_ns(void *ctx)
{
    (void)ctx;
    return fiber_now_ms() * 1000000;
}

static int64_t wall_ns(void *ctx)
{
    (void)ctx;
    return (FIBER_WALL_S * 1000 + fiber_now_ms()) * 1000000;
}

void api_open(void)
{
    const struct kube_store_config cfg = {.binding_labels = !options.old_server,
                                          .watch_initial = !options.old_server,
                                          .events_kept = 20000};
    const struct clock clock = {mono_ns, wall_ns, NULL};
    struct err err;
    enum err_code rc = kube_store_new(&cfg, &clock, &inner, &store, &err);
    assert(!rc);
}

struct kube *api_kube(void) { return inner; }
struct kube_store *api_store(void) { return store; }
void api_faults(bool on) { faults_on = on; }
void api_outage(int64_t ms) { outage_until_ms = fiber_now_ms() + ms; }

/* ---- doing it ---- */

static void names_of(const struct kube_request *req, const struct kube_response *resp,
                     char ns[NAME_MAX_], char name[256])
{
    (void)snprintf(ns, NAME_MAX_, STR_FMT, STR_ARG(req->ns));
    (void)snprintf(name, 256, STR_FMT, STR_ARG(req->name));
    if (req->name.n || !resp->body)
        return;
    json_auto_t *made = json_loadb(resp->body, resp->body_n, 0, NULL);
    const char *n = json_string_value(json_object_get(json_object_get(made, "metadata"), "name"));
    (void)snprintf(name, 256, "%s", n ? n : "");
}

static enum err_code execute(const struct wire *by, const struct kube_request *req,
                             struct kube_response *ret, struct err *err)
{
    enum err_code rc = kube_call(inner, req, ret, err);
    if (!rc && kube_verb_writes(req->verb) && req->kind != KUBE_EVENT) {
        char ns[NAME_MAX_], name[256];
        names_of(req, ret, ns, name);
        truth_saw(req->kind, ns, name, by, req->verb);
    }
    return rc;
}

static void land(struct pending *p)
{
    struct pending **at = &late;
    while (*at && *at != p)
        at = &(*at)->next;
    if (*at)
        *at = p->next;
    struct kube_response resp;
    struct err err;
    enum err_code rc = execute(p->wire, &p->req, &resp, &err);
    tell("late %s %s " STR_FMT ": %s", kube_verb_name(p->req.verb),
         kube_kind_row(p->req.kind)->resource, STR_ARG(p->req.name), rc ? err.text : "done");
    kube_response_done(&resp);
    free(p->bytes);
    free(p);
}

static void late_fiber(void *ctx)
{
    struct pending *p = ctx;
    int64_t left = p->until_ms - fiber_now_ms();
    if (left > 0)
        fiber_sleep_hard(chance((uint32_t)left + 1), p->until_ms);
    land(p);
}

/* With leaders or kills a write lands within its ?timeout=, on which a successor relies. */
static bool prompt(void) { return options.kills || options.instances > 1; }

static void land_later(struct wire *wire, const struct kube_request *req)
{
    struct pending *p = calloc(1, sizeof(*p));
    char *bytes = malloc(req->ns.n + req->name.n + req->body.n + 1);
    assert(p && bytes);
    *p = (struct pending){.next = late, .req = *req, .wire = wire, .bytes = bytes};
    struct str *parts[] = {&p->req.ns, &p->req.name, &p->req.body};
    for (size_t i = 0; i < 3; i++) {
        if (parts[i]->n)
            memcpy(bytes, parts[i]->p, parts[i]->n);
        parts[i]->p = bytes;
        bytes += parts[i]->n;
    }
    p->req.stop = NULL;
    p->until_ms = fiber_now_ms() + req->timeout_ms - NEWS_MS;
    if (!prompt()) /* settle.h says how late is still a nuisance only */
        p->until_ms += chance(req->verb == KUBE_BIND ? 25000 : 1000);
    late = p;
    (void)fiber_spawn(0, "late", late_fiber, p);
}

size_t api_late(void)
{
    size_t n = 0;
    for (const struct pending *p = late; p; p = p->next)
        n++;
    return n;
}

bool api_late_of(const char *ns, const char *name)
{
    for (const struct pending *p = late; p; p = p->next)
        if (str_eq(p->req.name, str_z(name)) && str_eq(p->req.ns, str_z(ns)))
            return true;
    return false;
}

/* ---- one call of an instance ---- */

struct lost { /* what a killed process had on the wire */
    struct wire *wire;
    const struct kube_request *req;
};

static void on_kill(void *ctx)
{
    const struct lost *l = ctx;
    if (kube_verb_writes(l->req->verb) && chance_of(50))
        land_later(l->wire, l->req);
}

static enum kube_fault draw_fault(const struct kube_request *req, int *ret_status)
{
    static const int STATUS[] = {409, 422, 429, 500, 503, 403, 404};
    const bool writes = kube_verb_writes(req->verb);
    const bool outage = options.faults_pct && fiber_now_ms() < outage_until_ms;
    if (!faults_on || !chance_of(outage ? 80 : options.faults_pct))
        return KUBE_FAULT_NONE;
    *ret_status = STATUS[chance(writes ? 5 : 5)];
    if (!writes && (*ret_status == 409 || *ret_status == 422))
        *ret_status = 500;
    if (req->kind == KUBE_LEASE) /* its own walk is check_leader's */
        return KUBE_FAULT_NONE;
    static const enum kube_fault FAULT[] = {KUBE_FAULT_REFUSED,       KUBE_FAULT_STATUS,
                                            KUBE_FAULT_STATUS,        KUBE_FAULT_TIMEOUT_NEVER,
                                            KUBE_FAULT_TIMEOUT_LATER, KUBE_FAULT_TIMEOUT_LATER,
                                            KUBE_FAULT_CUT_DONE,      KUBE_FAULT_CUT_DONE};
    return FAULT[chance(8)];
}

static const char *const FAULTS[] = {"", " REFUSED", " STATUS", " NEVER", " LATER", " CUT"};

static enum err_code answer_status(const struct kube_request *req, int status,
                                   struct kube_response *ret, struct err *err)
{
    ret->http_status = status;
    ret->sent = true;
    ret->retry_after_ms = status == 429 ? 1000 : 0;
    ret->body = kube_status_text(status, NULL, "a fault of the walk");
    ret->body_n = ret->body ? strlen(ret->body) : 0;
    return kube_status_err(req, status, (struct str){ret->body, ret->body_n}, true, err);
}

static enum err_code outer_call(struct kube *k, const struct kube_request *req,
                                struct kube_response *ret, struct err *err)
{
    struct wire *wire = ((struct outer *)k)->wire;
    const int64_t end_ms = fiber_now_ms() + req->timeout_ms,
                  hard_ms = prompt() ? end_ms - NEWS_MS : FIBER_NEVER;
    struct lost lost = {wire, req};
    int status = 0;
    if (req->verb == KUBE_BIND)
        scheduler_check_write(wire->instance);
    enum kube_fault fault = draw_fault(req, &status);
    const char *verb = kube_verb_name(req->verb), *kind = kube_kind_row(req->kind)->resource;
    fiber_on_kill(on_kill, &lost);
    if (chance_of(10)) /* a slow network */
        fiber_sleep_hard(chance((uint32_t)req->timeout_ms), hard_ms);
    else
        fiber_yield(hard_ms);
    enum err_code rc;
    ret->sent = fault != KUBE_FAULT_REFUSED;
    switch (fault) {
    case KUBE_FAULT_REFUSED:
        rc = kube_no_answer(req, false, "connection refused", err);
        break;
    case KUBE_FAULT_STATUS:
        rc = answer_status(req, status, ret, err);
        break;
    case KUBE_FAULT_TIMEOUT_LATER:
        if (kube_verb_writes(req->verb))
            land_later(wire, req);
        /* fall through */
    case KUBE_FAULT_TIMEOUT_NEVER:
        fiber_on_kill(NULL, NULL);
        if (end_ms > fiber_now_ms())
            fiber_sleep(end_ms - fiber_now_ms());
        rc = kube_no_answer(req, true, "no answer in time", err);
        break;
    default:
        rc = execute(wire, req, ret, err);
        fiber_on_kill(NULL, NULL);
        if (chance_of(50))
            fiber_yield(FIBER_NEVER);
        if (fault == KUBE_FAULT_CUT_DONE || fiber_now_ms() > end_ms) {
            kube_response_done(ret);
            ret->sent = true;
            rc = kube_no_answer(req, true, "the connection was cut", err);
        }
    }
    fiber_on_kill(NULL, NULL);
    if (req->kind != KUBE_EVENT)
        tell("%d: %s %s " STR_FMT "%s -> %s%s", wire->instance, verb, kind, STR_ARG(req->name),
             FAULTS[fault], rc ? "" : "done", rc ? err->text : "");
    return rc;
}

/* ---- lists and watches ---- */

struct listening {
    struct wire *wire;
    enum kube_kind kind;
    bool initial;
    const struct kube_list_handler *item;
    const struct kube_watch_handler *event;
};

/* News of a Lease is fresh: who released it, and who took it, count their 2 s from when they hear.
 */
static int64_t news_until_ms(enum kube_kind kind)
{
    return kind == KUBE_LEASE ? fiber_now_ms() + NEWS_MS : FIBER_NEVER;
}

/* One object of a list: what comes late, comes very late now and then. */
static void wait_for_item(enum kube_kind kind)
{
    if (faults_on && chance_of(3) && kind != KUBE_LEASE)
        fiber_sleep(chance(3000));
    else if (chance_of(40))
        fiber_yield(news_until_ms(kind));
}

static enum err_code on_item(void *ctx, struct str object, struct err *err)
{
    struct listening *l = ctx;
    wait_for_item(l->kind);
    return l->item->item(l->item->ctx, object, err);
}

static enum err_code outer_list(struct kube *k, enum kube_kind kind,
                                const struct kube_list_options *opt, const _Atomic bool *stop,
                                const struct kube_list_handler *handler, char ret_rv[KUBE_RV_MAX],
                                struct err *err)
{
    struct listening l = {.wire = ((struct outer *)k)->wire, .kind = kind, .item = handler};
    const struct kube_list_handler mine = {.item = on_item, .ctx = &l};
    fiber_yield(news_until_ms(kind));
    enum err_code rc = kube_list(inner, kind, opt, stop, &mine, ret_rv, err);
    if (!rc && strtoull(ret_rv, NULL, 10) > l.wire->seen[kind])
        l.wire->seen[kind] = strtoull(ret_rv, NULL, 10);
    return rc;
}

static enum err_code on_event(void *ctx, enum kube_event_type type, struct str object,
                              struct str resource_version, struct err *err)
{
    struct listening *l = ctx;
    if (l->initial)
        wait_for_item(l->kind);
    else if (chance_of(60)) /* else in one go with the one before */
        fiber_yield(news_until_ms(l->kind));
    if (faults_on && options.faults_pct && l->kind != KUBE_LEASE &&
        chance(options.instances > 1 ? 40 : 200) == 0)
        return err_set(err, ERR_UNAVAILABLE, "watch: the connection was cut");
    if (type == KUBE_INITIAL_END)
        l->initial = false;
    enum err_code rc = l->event->event(l->event->ctx, type, object, resource_version, err);
    char text[24];
    (void)snprintf(text, sizeof(text), STR_FMT, STR_ARG(resource_version));
    uint64_t rv = strtoull(text, NULL, 10);
    if (!rc && !l->initial && rv > l->wire->seen[l->kind])
        l->wire->seen[l->kind] = rv;
    return rc;
}

static enum err_code outer_watch(struct kube *k, enum kube_kind kind,
                                 const struct kube_watch_options *opt, const _Atomic bool *stop,
                                 const struct kube_watch_handler *handler, struct err *err)
{
    struct listening l = {
        .wire = ((struct outer *)k)->wire, .kind = kind, .initial = opt->initial, .event = handler};
    const struct kube_watch_handler mine = {.event = on_event, .ctx = &l};
    fiber_yield(news_until_ms(kind));
    return kube_watch(inner, kind, opt, stop, &mine, err);
}

static const char *outer_describe(const struct kube *k)
{
    (void)k;
    return "the model's API server";
}

static void outer_free(struct kube *k) { free(k); }

struct wire *api_wire(int instance)
{
    static const struct kube_backend BACKEND = {outer_call, outer_list, outer_watch, outer_describe,
                                                outer_free};
    struct outer *o = calloc(1, sizeof(*o));
    struct wire *w = calloc(1, sizeof(*w));
    assert(o && w);
    o->kube.backend = &BACKEND;
    o->wire = w;
    *w = (struct wire){.instance = instance, .kube = &o->kube};
    return w;
}

/* ---- the world's own calls ---- */

bool api_call(enum kube_verb verb, enum kube_kind kind, const char *ns, const char *name,
              bool status, json_t *take_body, json_t **ret)
{
    char *body = take_body ? json_dumps(take_body, JSON_COMPACT) : NULL;
    json_decref(take_body);
    struct kube_request req = {.verb = verb,
                               .kind = kind,
                               .ns = str_z(ns),
                               .name = str_z(name),
                               .status = status,
                               .patch_type = KUBE_PATCH_MERGE,
                               .body = str_z(body ? body : ""),
                               .timeout_ms = 1000};
    struct kube_response resp;
    struct err err;
    enum err_code rc = execute(NULL, &req, &resp, &err);
    if (ret)
        *ret = rc ? NULL : json_loadb(resp.body, resp.body_n, 0, NULL);
    if (kube_verb_writes(verb))
        tell("world: %s %s %s -> %s", kube_verb_name(verb), kube_kind_row(kind)->resource, name,
             rc ? err.text : "done");
    kube_response_done(&resp);
    free(body);
    return !rc;
}

json_t *api_get(enum kube_kind kind, const char *ns, const char *name)
{
    json_t *got = NULL;
    (void)api_call(KUBE_GET, kind, ns, name, false, NULL, &got);
    return got;
}
