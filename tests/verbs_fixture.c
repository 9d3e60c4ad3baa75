#include "verbs_fixture.h"

#include "extender/turn.h"

#include <check.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t mono(void *ctx)
{
    struct fx *fx = ctx;
    void (*looked)(struct fx *) = fx->looked;
    if (looked)
        looked(fx);
    return CLOCK_SYSTEM.mono_ns(CLOCK_SYSTEM.ctx) + fx->mono_skew_ms * 1000000;
}

static int64_t wall(void *ctx)
{
    const struct fx *fx = ctx;
    return FX_WALL_S * 1000000000 + fx->wall_skew_ms * 1000000;
}

static void must(enum err_code rc, const struct err *err)
{
    ck_assert_msg(rc == ERR_OK, "%s", err->text);
}

static void short_sleep(void)
{
    struct timespec t = {.tv_nsec = 2000000};
    nanosleep(&t, NULL);
}

static void start_ledger(struct fx *fx)
{
    struct ext_app *app = &fx->app;
    struct err err = {0};
    must(ext_binds_new(app, true, &app->binds, &err), &err);
    must(ext_turns_new(app, true, &app->turns, &err), &err);
    app->workers = ext_workers_new(app->config.workers_max);
    ck_assert_ptr_nonnull(app->workers);
    if (fx->labels)
        must(ext_labels_new(app, &app->labels, &err), &err);
    must(ext_reflector_start(app, &fx->reflector, &err), &err);
    for (int i = 0; i < 2500 && !ext_ready(app); i++)
        short_sleep();
    ck_assert_msg(ext_ready(app), "not ready within 5 s");
}

static void stop_ledger(struct fx *fx)
{
    ext_reflector_stop(fx->reflector);
    ext_turns_stop(fx->app.turns);
    ext_workers_free(fx->app.workers);
    ext_turns_free(fx->app.turns);
    ext_labels_free(fx->app.labels);
    fx->app.labels = NULL;
    ext_binds_free(fx->app.binds);
    ck_assert_uint_eq(cluster_store_verify(fx->app.store), 0);
    cluster_store_free(fx->app.store);
    for (int i = 0; i < EXT_SYNC_COUNT_; i++)
        fx->app.synced[i] = false;
}

void fx_open(struct fx *fx, const char *cluster, const struct fx_options *opt)
{
    static const struct fx_options NONE = {.shortlist = -1};
    struct err err = {0};
    if (!opt)
        opt = &NONE;
    *fx = (struct fx){0};
    fx->labels = opt->labels;
    fx->clock = (struct clock){.mono_ns = mono, .wall_ns = wall, .ctx = fx};
    struct ext_app *app = &fx->app;
    app->clock = &fx->clock;
    ext_config_init(&app->config);
    if (opt->shortlist >= 0)
        app->config.shortlist = opt->shortlist;
    if (opt->score_max)
        app->config.score_max = opt->score_max;
    if (opt->bind_timeout_ms)
        app->config.bind_timeout_ms = opt->bind_timeout_ms;
    must(vendor_table_builtin(&app->vendors, &err), &err);
    if (opt->vendors)
        must(vendor_table_extend(&app->vendors, str_z(opt->vendors), "vendors", &err), &err);
    if (opt->reprinted) {
        struct buf text;
        buf_init(&text, 1 << 20);
        vendor_table_print(app->vendors, &text);
        must(vendor_table_extend(&app->vendors, (struct str){text.p, text.n}, "printed", &err),
             &err);
        buf_done(&text);
    }
    app->cluster = (struct cluster_config){
        .vendors = app->vendors,
        .node_policy = str_z(opt->node_policy ? opt->node_policy : "binpack"),
        .card_policy = str_z(opt->card_policy ? opt->card_policy : "spread"),
        .assume_admitted = true,
        .adopt_unbound = opt->adopt_unbound,
        .nodes_max = 20000,
        .pods_max = 100000,
        .annotation_max = 1 << 18,
        .hash_seed = 7,
    };
    must(cluster_store_new(&app->cluster, &app->store, &err), &err);
    struct kube_store_config store = {.binding_labels = !opt->labels_dropped,
                                      .watch_initial = !opt->old_server};
    must(kube_store_new(&store, app->clock, &app->kube, &fx->store, &err), &err);
    char path[] = "/tmp/cardinal-verbs-XXXXXX";
    bool text = strchr(cluster, '\n') != NULL;
    if (text) {
        int fd = mkstemp(path);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(write(fd, cluster, strlen(cluster)), (ssize_t)strlen(cluster));
        close(fd);
        cluster = path;
    }
    size_t skipped = 0;
    enum err_code rc = kube_store_load(fx->store, &cluster, 1, NULL, &skipped, &err);
    if (text)
        unlink(path);
    must(rc, &err);
    must(kube_events_new(app->kube, "cardinal-scheduler", app->clock, &app->events, &err), &err);
    app->metrics = ext_metrics_new();
    ck_assert_ptr_nonnull(app->metrics);
    start_ledger(fx);
}

void fx_restart(struct fx *fx)
{
    struct err err = {0};
    stop_ledger(fx);
    must(cluster_store_new(&fx->app.cluster, &fx->app.store, &err), &err);
    start_ledger(fx);
}

void fx_close(struct fx *fx)
{
    struct ext_app *app = &fx->app;
    stop_ledger(fx);
    kube_events_free(app->events);
    kube_free(app->kube);
    ext_metrics_free(app->metrics);
    vendor_table_free(app->vendors);
    ext_config_done(&app->config);
}

struct fx_pending {
    struct ext_request r;
    struct ext_answer a;
    struct arena *arena;
    char *body; /* the handler may read it until it has answered */
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool answered;
};

static void answered(struct ext_request *r)
{
    struct fx_pending *p =
        (struct fx_pending *)(void *)((char *)r - offsetof(struct fx_pending, r));
    pthread_mutex_lock(&p->lock);
    p->answered = true;
    pthread_cond_signal(&p->moved);
    pthread_mutex_unlock(&p->lock);
}

struct fx_pending *fx_begin(struct fx *fx, const char *method, const char *target, const char *body)
{
    struct fx_pending *p = calloc(1, sizeof(*p));
    ck_assert_ptr_nonnull(p);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->moved, NULL);
    p->arena = arena_new(256 << 20);
    p->body = body ? strdup(body) : NULL;
    ck_assert(p->arena && (p->body || !body));
    p->r = (struct ext_request){.app = &fx->app,
                                .id = ++fx->app.request_ids,
                                .method = str_z(method),
                                .arena = p->arena,
                                .body = str_z(p->body),
                                .content_type = STR("application/json"),
                                .started_ms = clock_mono_ms(fx->app.clock) - fx->request_age_ms,
                                .answered = answered};
    ck_assert(ext_route_target(str_z(target), p->arena, &p->r.path, &p->r.query));
    const char *allow = NULL;
    const struct ext_route *route =
        ext_route_find(EXT_ROUTES, p->r.method, p->r.path, EXT_ON_ALL, &allow);
    ck_assert_msg(route != NULL, "no route for %s %s", method, target);
    buf_init(&p->a.body, 64 << 20);
    route->handle(&p->r, &p->a);
    if (!route->later)
        p->answered = true;
    return p;
}

bool fx_answered(struct fx_pending *p)
{
    pthread_mutex_lock(&p->lock);
    bool is = p->answered;
    pthread_mutex_unlock(&p->lock);
    return is;
}

json_t *fx_end(struct fx_pending *p, unsigned *ret_status)
{
    pthread_mutex_lock(&p->lock);
    while (!p->answered)
        pthread_cond_wait(&p->moved, &p->lock);
    pthread_mutex_unlock(&p->lock);
    struct ext_answer *a = &p->a;
    ck_assert(!a->body.failed);
    if (a->stream.more) { /* a long answer comes in pieces */
        while (a->stream.more(a->stream.ctx, &a->body))
            ;
        if (a->stream.done)
            a->stream.done(a->stream.ctx);
    }
    *ret_status = a->status;
    json_error_t why;
    json_t *json = a->body.n ? json_loadb(a->body.p, a->body.n, JSON_DECODE_ANY, &why) : NULL;
    buf_done(&a->body);
    arena_free(p->arena);
    pthread_cond_destroy(&p->moved);
    pthread_mutex_destroy(&p->lock);
    free(p->body);
    free(p);
    return json;
}

json_t *fx_call(struct fx *fx, const char *method, const char *target, const char *body,
                unsigned *ret_status)
{
    return fx_end(fx_begin(fx, method, target, body), ret_status);
}

static void locate(const char *path, struct kube_request *req)
{
    struct str rest = str_z(path), part;
    ck_assert(str_split(&rest, '/', &part));
    if (str_eq(part, STR("nodes"))) {
        req->kind = KUBE_NODE;
        req->name = rest;
        return;
    }
    req->kind = str_eq(part, STR("pods")) ? KUBE_POD : KUBE_QUOTA;
    ck_assert(str_split(&rest, '/', &req->ns));
    req->name = rest;
}

json_t *fx_object(struct fx *fx, const char *path)
{
    struct kube_request req = {.verb = KUBE_GET, .timeout_ms = 1000};
    locate(path, &req);
    struct kube_response resp = {0};
    struct err err;
    enum err_code rc = kube_call(fx->app.kube, &req, &resp, &err);
    json_t *json = rc ? NULL : json_loadb(resp.body, resp.body_n, 0, NULL);
    kube_response_done(&resp);
    return json;
}

static void write_object(struct fx *fx, struct kube_request *req, const char *path,
                         const char *body)
{
    locate(path, req);
    req->body = str_z(body);
    req->timeout_ms = 1000;
    if (req->verb == KUBE_CREATE)
        req->name = (struct str){0};
    struct kube_response resp = {0};
    struct err err = {0};
    enum err_code rc = kube_call(fx->app.kube, req, &resp, &err);
    kube_response_done(&resp);
    must(rc, &err);
}

void fx_patch(struct fx *fx, const char *path, const char *body)
{
    struct kube_request req = {.verb = body ? KUBE_PATCH : KUBE_DELETE,
                               .patch_type = KUBE_PATCH_MERGE};
    req.status = body && strstr(body, "\"status\"") != NULL;
    write_object(fx, &req, path, body ? body : "{\"gracePeriodSeconds\":0}");
}

void fx_create(struct fx *fx, const char *path, const char *body)
{
    struct kube_request req = {.verb = KUBE_CREATE};
    write_object(fx, &req, path, body);
}

const char *fx_args(struct fx *fx, const char *ns, const char *name, const char *const *nodes)
{
    static char *text;
    char path[600];
    snprintf(path, sizeof(path), "pods/%s/%s", ns, name);
    json_t *pod = fx_object(fx, path);
    ck_assert_msg(pod != NULL, "no %s", path);
    json_t *names = json_array();
    for (; nodes && *nodes; nodes++)
        json_array_append_new(names, json_string(*nodes));
    json_t *args = json_pack("{s:o,s:n,s:o}", "Pod", pod, "Nodes", "NodeNames", names);
    ck_assert_ptr_nonnull(args);
    free(text);
    text = json_dumps(args, JSON_COMPACT);
    json_decref(args);
    return text;
}

const char *fx_bind_args(struct fx *fx, const char *ns, const char *name, const char *node)
{
    static char text[2048];
    char path[600];
    snprintf(path, sizeof(path), "pods/%s/%s", ns, name);
    json_t *pod = fx_object(fx, path);
    ck_assert_msg(pod != NULL, "no %s", path);
    snprintf(text, sizeof(text),
             "{\"PodName\":\"%s\",\"PodNamespace\":\"%s\",\"PodUID\":\"%s\",\"Node\":\"%s\"}", name,
             ns, json_string_value(json_object_get(json_object_get(pod, "metadata"), "uid")), node);
    json_decref(pod);
    return text;
}

static bool used_is(struct fx *fx, const char *node, const char *uuid, int shares, int64_t mem_mib)
{
    bool is = false;
    struct cluster_snapshot *snap = cluster_store_snapshot(fx->app.store);
    const struct cluster_node *n = cluster_snapshot_find(snap, str_z(node));
    for (uint16_t i = 0; n && i < n->score.devices_n; i++) {
        const struct score_device *d = &n->score.devices[i];
        if (str_eq(d->uuid, str_z(uuid)))
            is = d->shares_used == shares && d->mem_used_mib == mem_mib;
    }
    cluster_snapshot_unref(snap);
    return is;
}

bool fx_wait_used(struct fx *fx, const char *node, const char *uuid, int shares, int64_t mem_mib)
{
    for (int i = 0; i < 5000; i++) {
        if (used_is(fx, node, uuid, shares, mem_mib))
            return true;
        short_sleep();
    }
    return false;
}

bool fx_wait_state(struct fx *fx, const char *uid, enum cluster_state state)
{
    char node[256];
    for (int i = 0; i < 5000; i++) {
        if (cluster_pod_state(fx->app.store, str_z(uid), node, sizeof(node)) == state)
            return true;
        short_sleep();
    }
    return false;
}

int fx_metric(struct fx *fx, const char *name)
{
    struct ext_request r = {.app = &fx->app, .arena = arena_new(64 << 20)};
    struct ext_answer a = {0};
    buf_init(&a.body, 64 << 20);
    ext_metrics_get(&r, &a);
    while (a.stream.more && a.stream.more(a.stream.ctx, &a.body))
        ;
    if (a.stream.done)
        a.stream.done(a.stream.ctx);
    buf_char(&a.body, '\0');
    char line[128];
    snprintf(line, sizeof(line), "\n%s ", name);
    const char *at = a.body.p ? strstr(a.body.p, line) : NULL;
    ck_assert_msg(at != NULL, "no metric %s", name);
    int value = atoi(at + strlen(line));
    buf_done(&a.body);
    arena_free(r.arena);
    return value;
}
