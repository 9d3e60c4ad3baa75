/* The program under test: the real app with its real threads, which are fibers here, behind a wire
 * of its own. Only its sockets are left out: requests go through the route table to the handlers.
 */
#include "model/world.h"

#include "extender/turn.h"

#include <assert.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct instance instances[INSTANCES_MAX];

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

/* Identities and seeds are the same when a walk is played again. */
int __wrap_getentropy(void *to, size_t n);
int __wrap_getentropy(void *to, size_t n)
{
    static uint64_t random = 1;
    for (size_t i = 0; i < n; i++) {
        random = random * UINT64_C(6364136223846793005) + 1442695040888963407u;
        ((unsigned char *)to)[i] = (unsigned char)(random >> 56);
    }
    return 0;
}

static void must(enum err_code rc, const struct err *err)
{
    if (rc)
        broken("it does not start", "%s", err->text);
}

static const char *host_of(int i) { return i ? "host-b" : "host-a"; }

static void start(void *ctx)
{
    struct instance *in = ctx;
    struct ext_app *app = &in->app;
    struct err err = {0};
    must(vendor_table_builtin(&app->vendors, &err), &err);
    must(vendor_table_extend(&app->vendors, str_z(MAKER_ROWS), "makers", &err), &err);
    app->cluster = (struct cluster_config){.vendors = app->vendors,
                                           .node_policy = STR("binpack"),
                                           .card_policy = STR("spread"),
                                           .assume_admitted = true,
                                           .nodes_max = 100,
                                           .pods_max = 10000,
                                           .annotation_max = 1 << 18,
                                           .hash_seed = 7};
    must(cluster_store_new(&app->cluster, &app->store, &err), &err);
    must(kube_events_new(app->kube, "cardinal-scheduler", app->clock, &app->events, &err), &err);
    app->metrics = ext_metrics_new();
    app->workers = ext_workers_new(app->config.workers_max);
    must(ext_binds_new(app, /* thread= */ true, &app->binds, &err), &err);
    must(ext_turns_new(app, /* thread= */ true, &app->turns, &err), &err);
    must(ext_leader_start(app, &err), &err);
    must(ext_labels_new(app, &app->labels, &err), &err);
    must(ext_wake_new(app, &app->wake, &err), &err);
    must(ext_reflector_start(app, &in->reflector, &err), &err);
    in->starting = false;
    in->running = true;
}

void instance_start(int i)
{
    struct instance *in = &instances[i];
    *in =
        (struct instance){.wire = api_wire(i), .clock = {mono_ns, wall_ns, NULL}, .starting = true};
    struct ext_app *app = &in->app;
    app->clock = &in->clock;
    app->kube = in->wire->kube;
    ext_config_init(&app->config);
    app->config.shortlist = options.shortlist;
    app->config.scheduler_name = "cardinal-scheduler";
    if (options.instances > 1) {
        app->config.leader_elect = true;
        app->config.leader_own = options.own;
        app->config.leader_name = options.own ? "cardinal" : "kube-scheduler";
        app->config.leader_namespace = "kube-system";
        app->config.leader_identity = host_of(i);
    }
    tell("start of %d", i);
    (void)fiber_spawn(i + 1, "start", start, in);
}

static void stop(void *ctx)
{
    struct instance *in = ctx;
    struct ext_app *app = &in->app;
    const int i = in->wire->instance;
    atomic_store(&app->stopping, true);
    while (in->calls > 0) /* the server waits for its answers */
        fiber_sleep(50);
    ext_reflector_stop(in->reflector);
    ext_wake_free(app->wake);
    ext_labels_free(app->labels);
    ext_turns_stop(app->turns);
    ext_workers_free(app->workers);
    ext_turns_free(app->turns);
    bool settled = ext_binds_unsettled(app->binds) == 0;
    ext_binds_free(app->binds);
    ext_leader_stop(app, settled);
    kube_events_free(app->events);
    cluster_store_free(app->store);
    vendor_table_free(app->vendors);
    ext_metrics_free(app->metrics);
    ext_config_done(&app->config);
    tell("stopped %d%s", i, settled ? "" : ", with something unsettled");
    for (int n = 0; n < NODES_MAX && !settled; n++)
        t_nodes[n].lock_lost = true;
    instance_start(i);
}

void instance_stop(int i)
{
    struct instance *in = &instances[i];
    if (!in->running || in->stopping)
        return;
    in->stopping = true;
    (void)fiber_spawn(0, "stop", stop, in);
}

void instance_kill(int i)
{
    struct instance *in = &instances[i];
    if (!in->running || in->stopping)
        return;
    tell("kill -9 of %d", i);
    fiber_kill(i + 1);
    for (int n = 0; n < NODES_MAX;
         n++) /* its locks are nobody's now, unless their Binding still lands */
        if (t_nodes[n].lock[0])
            t_nodes[n].lock_lost = true;
    scheduler_lost(i);
    instance_start(i);
}

bool instance_leads(int i) { return instance_ready(i) && ext_leading(&instances[i].app); }

bool instance_ready(int i)
{
    struct instance *in = &instances[i];
    return in->running && !in->stopping && ext_ready(&in->app);
}

/* A request whose answer may be complete later. */
struct later {
    struct ext_request r;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    bool answered;
};

static void answered(struct ext_request *r)
{
    struct later *l = (struct later *)(void *)((char *)r - offsetof(struct later, r));
    l->answered = true;
    pthread_cond_signal(&l->moved);
}

static void handle(struct later *l, const struct ext_route *route, struct ext_answer *a)
{
    route->handle(&l->r, a);
    pthread_mutex_lock(&l->lock);
    while (route->later && !l->answered)
        pthread_cond_wait(&l->moved, &l->lock);
    pthread_mutex_unlock(&l->lock);
    if (!a->stream.more)
        return;
    while (a->stream.more(a->stream.ctx, &a->body))
        ;
    a->stream.done(a->stream.ctx);
}

json_t *instance_call(int i, const char *method, const char *target, const char *body,
                      unsigned *ret_status)
{
    struct instance *in = &instances[i];
    *ret_status = 0;
    if (!in->running || in->stopping)
        return NULL;
    in->calls++;
    struct arena *arena = arena_new(64 << 20);
    assert(arena);
    struct later l = {.r = {.app = &in->app,
                            .id = ++in->app.request_ids,
                            .method = str_z(method),
                            .arena = arena,
                            .body = str_z(body),
                            .content_type = STR("application/json"),
                            .started_ms = clock_mono_ms(in->app.clock),
                            .answered = answered},
                      .lock = PTHREAD_MUTEX_INITIALIZER,
                      .moved = PTHREAD_COND_INITIALIZER};
    const char *allow = NULL;
    bool good = ext_route_target(str_z(target), arena, &l.r.path, &l.r.query);
    const struct ext_route *route =
        ext_route_find(EXT_ROUTES, l.r.method, l.r.path, EXT_ON_ALL, &allow);
    assert(good && route);
    struct ext_answer a = {0};
    buf_init(&a.body, 64 << 20);
    handle(&l, route, &a);
    *ret_status = a.status;
    json_t *json = a.body.n ? json_loadb(a.body.p, a.body.n, JSON_DECODE_ANY, NULL) : NULL;
    buf_done(&a.body);
    arena_free(arena);
    in->calls--;
    return json;
}
