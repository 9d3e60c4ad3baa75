/* May this instance act? Wires the keeper of one Lease (src/lease) to the verbs: who follows
 * refuses them, and every write asks again right before it is sent (architecture 6,
 * docs/design/leadership.md). Without --leader-elect there is nobody to ask: it leads always, and
 * its first write waits for those of the process before it, which may have been killed. */
#include "base/own.h"
#include "extender/priv.h"
#include "extender/settle.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CALLS_OF_A_BIND = 6, /* see the lock, take it, read and clean the pod, bind; fence */
    WRITE_MIN_MS = 2000,
    WRITE_MAX_MS = 5000,
    LOOK_MS = 20, /* while a bind waits for its term */
    LABEL_TRIES = 3,
    PODS_MAX = 64 /* replicas of ours */
};
#define ROLE_KEY        "hami.io/scheduler-role" /* contract/core.md 13 */
#define COMPONENT_KEY   "app.kubernetes.io/component"
#define COMPONENT_VALUE "hami-scheduler"

struct ext_leader {
    struct ext_app *app;
    struct lease_keeper *keeper;
    char identity[LEASE_HOLDER_MAX];
    _Atomic uint64_t late; /* writes that came back when another may have led */
};

static int64_t now_ms(const struct ext_app *app) { return clock_mono_ms(app->clock); }

int ext_write_ms(const struct ext_config *c)
{
    int64_t ms = c->bind_timeout_ms / CALLS_OF_A_BIND;
    if (c->leader_elect && ms > c->leader_duration_ms / 3)
        ms = c->leader_duration_ms / 3;
    return ms < WRITE_MIN_MS ? WRITE_MIN_MS : ms > WRITE_MAX_MS ? WRITE_MAX_MS : (int)ms;
}

/* ---- who asks ---- */

static bool may_write(const struct lease_lead *lead, int64_t at_ms)
{
    return lead->leads && at_ms >= lead->writes_from_ms && at_ms < lead->writes_until_ms;
}

bool ext_leading(struct ext_app *app)
{
    return !app->leader || lease_keeper_lead(app->leader->keeper).leads;
}

bool ext_not_leading(struct ext_app *app) { return !ext_leading(app); }

bool ext_led_by_another(struct ext_app *app)
{
    if (ext_leading(app))
        return false;
    struct lease_view view;
    lease_keeper_view(app->leader->keeper, &view);
    struct str holder = str_z(view.holder), us = str_z(app->leader->identity);
    bool ours = app->config.leader_own ? str_eq(holder, us) : lease_holder_is_host(holder, us);
    return view.there && holder.n > 0 && !ours;
}

static enum err_code refuse(struct ext_app *app, struct err *err)
{
    struct lease_view view;
    lease_keeper_view(app->leader->keeper, &view);
    if (view.age_ms < 0)
        return err_set(err, ERR_UNAVAILABLE, "not leading: the Lease is not read yet");
    if (!view.there || !view.holder[0])
        return err_set(err, ERR_UNAVAILABLE, "not leading: nobody holds the Lease");
    return err_set(err, ERR_UNAVAILABLE, "not leading: \"%s\" holds the Lease%s", view.holder,
                   view.age_ms > view.duration_s * 1000 ? ", and does not renew it" : "");
}

/* kube-scheduler may be faster than our watch: a refusal needs a live GET. */
static struct lease_lead look(struct ext_app *app, int64_t timeout_ms)
{
    if (!app->leader)
        return (struct lease_lead){
            .leads = true, .writes_from_ms = app->writes_from_ms, .writes_until_ms = INT64_MAX};
    struct lease_lead lead = lease_keeper_lead(app->leader->keeper);
    if (lead.leads || timeout_ms <= 0)
        return lead;
    int most = ext_write_ms(&app->config);
    return lease_keeper_look(app->leader->keeper, timeout_ms < most ? (int)timeout_ms : most);
}

enum err_code ext_lead_check(struct ext_app *app, struct err *err)
{
    if (look(app, ext_write_ms(&app->config)).leads)
        return ERR_OK;
    return refuse(app, err);
}

enum err_code ext_term_enter(struct ext_app *app, int64_t deadline_ms, struct ext_term *ret,
                             int64_t *ret_again_ms, struct err *err)
{
    *ret = (struct ext_term){.until_ms = INT64_MAX};
    if (ret_again_ms)
        *ret_again_ms = 0;
    const struct lease_lead lead = look(app, deadline_ms - now_ms(app));
    if (!lead.leads)
        return refuse(app, err);
    const int64_t now = now_ms(app);
    /* However late the watch is: what the last leader bound is read anew before we give anything.
     */
    const bool known = now < lead.writes_from_ms || ext_pods_as_of(app, lead.writes_from_ms);
    if (known && may_write(&lead, now)) {
        *ret = (struct ext_term){.number = lead.term, .until_ms = lead.writes_until_ms};
        return ERR_OK;
    }
    if (ret_again_ms && lead.writes_from_ms < deadline_ms && now < deadline_ms) /* or a renewal */
        *ret_again_ms = now < lead.writes_from_ms ? lead.writes_from_ms : now + LOOK_MS;
    return err_set(err, ERR_BUSY,
                   "leading just began: what was written before may still land; try again");
}

bool ext_may_write(struct ext_app *app, struct ext_term *term)
{
    if (!app->leader)
        return true;
    struct lease_lead lead = lease_keeper_lead(app->leader->keeper);
    if (lead.term != term->number || !may_write(&lead, now_ms(app)))
        return false;
    term->until_ms = lead.writes_until_ms;
    term->writing = true;
    return true;
}

void ext_wrote(struct ext_app *app, struct ext_term *term)
{
    if (!app->leader || !term->writing)
        return;
    term->writing = false;
    int64_t over_ms = now_ms(app) - term->until_ms - ext_write_ms(&app->config);
    if (over_ms <= 0)
        return;
    uint64_t n = atomic_fetch_add(&app->leader->late, 1) + 1;
    log_error("late write", "term=%llu late_ms=%lld writes=%llu text=%s",
              (unsigned long long)term->number, (long long)over_ms, (unsigned long long)n,
              "this process stood still while it wrote; its preconditions decided");
}

/* ---- HAMi's role label ---- */

struct replica {
    char name[EXT_NAME_MAX], resource_version[KUBE_RV_MAX];
    bool wrong; /* another role than it has now */
};
struct replicas {
    struct ext_app *app;
    const char *self;
    int64_t until_ms; /* the Lease's turn waits for us no longer */
    size_t n;
    bool found;
    struct replica v[PODS_MAX];
};

static enum err_code in_time(const struct replicas *r, struct err *err)
{
    return now_ms(r->app) < r->until_ms
               ? ERR_OK
               : err_set(err, ERR_UNAVAILABLE, "role labels: the API server is slow");
}

static enum err_code on_pod(void *ctx, struct str object, struct err *err)
{
    struct replicas *r = ctx;
    enum err_code rc = in_time(r, err);
    if (rc)
        return rc;
    json_auto_t *pod = json_loadb(object.p, object.n, 0, NULL);
    const json_t *meta = json_object_get(pod, "metadata");
    const json_t *labels = json_object_get(meta, "labels");
    const char *component = json_string_value(json_object_get(labels, COMPONENT_KEY));
    const char *role = json_string_value(json_object_get(labels, ROLE_KEY));
    const char *name = json_string_value(json_object_get(meta, "name"));
    const char *version = json_string_value(json_object_get(meta, "resourceVersion"));
    if (!name || !version || !component || strcmp(component, COMPONENT_VALUE) != 0)
        return ERR_OK;
    bool self = strcmp(name, r->self) == 0;
    r->found = r->found || self;
    if ((role && strcmp(role, self ? "leader" : "follower") == 0) || r->n == PODS_MAX ||
        strlen(name) >= EXT_NAME_MAX || strlen(version) >= KUBE_RV_MAX)
        return ERR_OK;
    struct replica *replica = &r->v[r->n++];
    memcpy(replica->name, name, strlen(name) + 1);
    memcpy(replica->resource_version, version, strlen(version) + 1);
    return ERR_OK;
}

static enum err_code set_role(const struct replicas *r, const char *ns,
                              const struct replica *replica, bool leader, struct err *err)
{
    enum err_code rc = in_time(r, err);
    if (rc)
        return rc;
    struct ext_app *app = r->app;
    struct buf body;
    buf_init(&body, 4096);
    buf_add(&body, STR("{\"metadata\":{\"resourceVersion\":"));
    buf_json(&body, str_z(replica->resource_version));
    buf_fmt(&body, ",\"labels\":{\"" ROLE_KEY "\":\"%s\"}}}", leader ? "leader" : "follower");
    struct kube_request req = {.verb = KUBE_PATCH,
                               .kind = KUBE_POD,
                               .ns = str_z(ns),
                               .name = str_z(replica->name),
                               .status = true, /* takes labels, and can't change images */
                               .patch_type = KUBE_PATCH_MERGE,
                               .body = {body.p, body.n},
                               .timeout_ms = ext_write_ms(&app->config)};
    struct kube_response resp = {0};
    rc = kube_call(app->kube, &req, &resp, err);
    kube_response_done(&resp);
    buf_done(&body);
    return rc == ERR_NOT_FOUND ? ERR_OK : rc; /* gone: it answers nobody */
}

/* The others first: a Service must not have two leaders. */
static enum err_code set_roles(struct ext_app *app, const char *ns, const char *self,
                               int64_t until_ms, struct err *err)
{
    struct replicas *r CLEANUP(free_p) = calloc(1, sizeof(*r));
    if (!r)
        return err_set(err, ERR_NO_MEMORY, "role labels: no memory");
    r->app = app;
    r->self = self;
    r->until_ms = until_ms;
    struct kube_list_options opt = {.ns = ns, .timeout_ms = ext_write_ms(&app->config)};
    struct kube_list_handler handler = {.item = on_pod, .ctx = r};
    char version[KUBE_RV_MAX];
    enum err_code rc = kube_list(app->kube, KUBE_POD, &opt, &app->stopping, &handler, version, err);
    for (int leader = 0; leader <= 1; leader++)
        for (size_t i = 0; !rc && i < r->n; i++)
            if ((strcmp(r->v[i].name, self) == 0) == (leader == 1))
                rc = set_role(r, ns, &r->v[i], leader, err);
    if (!rc && !r->found)
        log_warn("role label", "pod=%s/%s text=%s", ns, self,
                 "no such pod with " COMPONENT_KEY "=" COMPONENT_VALUE);
    return rc;
}

/* Before a term is shown as leading. In an election of our own a Service finds the leader by the
 * label, so that it must have moved; beside a kube-scheduler it is for other eyes. The Lease is
 * not renewed meanwhile: what takes longer than a write goes on after the Lease's next turn. */
static bool prepare(void *ctx, uint64_t term)
{
    struct ext_leader *l = ctx;
    const char *ns = getenv("POD_NAMESPACE"), *self = getenv("POD_NAME"); // NOLINT(concurrency-*)
    if (!ns || !*ns || !self || !*self)
        return true; /* not in a pod: no Service looks for it */
    struct err err = {0};
    enum err_code rc = ERR_CONFLICT;
    const int64_t until_ms = now_ms(l->app) + ext_write_ms(&l->app->config);
    for (int i = 0; i < LABEL_TRIES && rc == ERR_CONFLICT; i++)
        rc = set_roles(l->app, ns, self, until_ms, &err);
    if (!rc)
        return true;
    log_error("role label not moved", "term=%llu err=%s", (unsigned long long)term, err.text);
    /* Without the right to do it, waiting would not help: somebody else may do it. */
    return rc == ERR_FORBIDDEN || !l->app->config.leader_own;
}

static void changed(void *ctx, const struct lease_view *view)
{
    const struct ext_leader *l = ctx;
    log_info(0, view->lead.leads ? "leading" : "following",
             "lease=%s/%s holder=%s term=%llu transitions=%lld", l->app->config.leader_namespace,
             l->app->config.leader_name, view->holder, (unsigned long long)view->lead.term,
             (long long)view->transitions);
}

/* ---- beginning and end ---- */

enum err_code ext_leader_start(struct ext_app *app, struct err *err)
{
    const struct ext_config *c = &app->config;
    if (!c->leader_elect) { /* nobody but us writes a file's cluster */
        app->writes_from_ms = app->file_store ? 0 : now_ms(app) + ext_write_ms(c);
        return ERR_OK;
    }
    if (!c->leader_name || !c->leader_namespace)
        return err_set(err, ERR_BAD_REQUEST,
                       "--leader-elect without --leader-elect-resource-name and "
                       "--leader-elect-resource-namespace: which Lease?");
    if (c->leader_identity && strlen(c->leader_identity) > 253)
        return err_set(err, ERR_BAD_REQUEST, "--leader-elect-identity: longer than a host's name");
    struct ext_leader *l = calloc(1, sizeof(*l));
    if (!l)
        return err_set(err, ERR_NO_MEMORY, "leader election: no memory");
    l->app = app;
    char host[EXT_NAME_MAX] = "";
    if (c->leader_identity)
        (void)snprintf(host, sizeof(host), "%s", c->leader_identity);
    else if (gethostname(host, sizeof(host) - 1) != 0)
        host[0] = '\0';
    char uuid[LEASE_UUID_MAX] = "";
    enum err_code rc = host[0] ? ERR_OK
                               : err_set(err, ERR_BAD_REQUEST,
                                         "leader election: this host has no name; set "
                                         "--leader-elect-identity");
    if (!rc && c->leader_own)
        rc = lease_uuid(uuid, err);
    (void)snprintf(l->identity, sizeof(l->identity), "%s%s%s", host, c->leader_own ? "_" : "",
                   uuid);
    const struct lease_keeper_config cfg = {
        .kube = app->kube,
        .clock = app->clock,
        .ns = str_z(c->leader_namespace),
        .name = str_z(c->leader_name),
        .own = c->leader_own,
        .identity = str_z(l->identity),
        .duration_ms = c->leader_duration_ms,
        .renew_deadline_ms = c->leader_renew_ms,
        .retry_ms = c->leader_retry_ms,
        .write_ms = ext_write_ms(c),
        .prepare = c->leader_own || c->leader_role_label ? prepare : NULL,
        .changed = changed,
        .ctx = l};
    if (!rc)
        rc = lease_keeper_start(&cfg, &l->keeper, err);
    if (rc) {
        free(l);
        return rc;
    }
    app->leader = l;
    log_info(0, "leader-election", "mode=%s lease=%s/%s identity=%s",
             c->leader_own ? "own" : "follow", c->leader_namespace, c->leader_name, l->identity);
    return ERR_OK;
}

void ext_leader_stop(struct ext_app *app, bool release)
{
    struct ext_leader *l = TAKE(app->leader);
    if (!l)
        return;
    lease_keeper_free(l->keeper, release);
    free(l);
}

/* ---- for people and Prometheus ---- */

/* Neither alive nor ready: a follower is both. */
void ext_leadz(struct ext_request *r, struct ext_answer *a)
{
    struct err err;
    if (!r->app->leader || ext_leading(r->app)) {
        ext_answer_text(a, 200, "ok");
        return;
    }
    (void)refuse(r->app, &err);
    ext_answer_text(a, 503, "%s\n", err.text);
}

static void gauge(struct buf *out, const char *name, const char *type, const char *help,
                  long long value)
{
    ext_metrics_head(out, name, type, help);
    buf_fmt(out, "%s %lld\n", name, value);
}

void ext_leader_metrics(struct ext_app *app, struct buf *out)
{
    gauge(out, "cardinald_leading", "gauge", "1: this instance answers the verbs, as /leadz says",
          ext_leading(app));
    if (!app->leader)
        return;
    struct lease_view view;
    lease_keeper_view(app->leader->keeper, &view);
    gauge(out, "cardinald_leader_terms_total", "counter", "times that leading began",
          (long long)view.lead.term);
    gauge(out, "cardinald_lease_transitions", "gauge", "leaseTransitions of the Lease",
          (long long)view.transitions);
    gauge(out, "cardinald_lease_age_ms", "gauge",
          "since the Lease was last seen to change; -1: never seen", (long long)view.age_ms);
    gauge(out, "cardinald_lease_in_doubt", "gauge",
          "1: the watch of the Lease is silent, live reads decide", view.doubt);
    gauge(out, "cardinald_lease_reads_total", "counter", "GETs and lists of the Lease",
          (long long)view.reads);
    gauge(out, "cardinald_lease_writes_total", "counter", "writes of the Lease tried",
          (long long)view.writes);
    gauge(out, "cardinald_lease_failures_total", "counter", "calls about the Lease that failed",
          (long long)view.failures);
    gauge(out, "cardinald_writes_late_total", "counter",
          "writes that came back when another may have led",
          (long long)atomic_load(&app->leader->late));
}
