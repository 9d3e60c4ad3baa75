/* The floor under cardinald: the same server, the same reading of the body and of the names, and an
 * answer that repeats them, or the first of them. With a kubeconfig it binds, too: one write, and
 * nothing decided. What cardinald takes longer than this is the decision and the books.
 * Loopback only; ends on SIGTERM, or by itself.
 *
 *   floor [--first] [--kubeconfig=FILE] [SECONDS]      prints "listening ADDRESS" */
#include "extender/priv.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WORKERS = 16, BIND_MS = 20000 };

static bool first_only;

static bool names_of(struct ext_request *r, struct ext_answer *a, struct str **ret, size_t *ret_n)
{
    struct ext_args args;
    struct err err;
    enum err_code rc = ext_wire_args(r->body, r->arena, &args, &err);
    if (!rc)
        rc = ext_wire_names(args.node_names, 20000, r->arena, ret, ret_n, &err);
    if (rc)
        ext_answer_text(a, err_class(rc)->http_status, "%s\n", err.text);
    return rc == ERR_OK;
}

static void filter(struct ext_request *r, struct ext_answer *a)
{
    struct str *names;
    size_t n;
    if (!names_of(r, a, &names, &n))
        return;
    a->status = 200;
    a->content_type = "application/json";
    buf_reserve(&a->body, r->body.n);
    buf_add(&a->body, STR("{\"Nodes\":null,\"NodeNames\":["));
    for (size_t i = 0; i < n && (i == 0 || !first_only); i++) {
        if (i)
            buf_char(&a->body, ',');
        buf_json(&a->body, names[i]);
    }
    buf_add(&a->body,
            STR("],\"FailedNodes\":null,\"FailedAndUnresolvableNodes\":null,\"Error\":\"\"}"));
}

static void prioritize(struct ext_request *r, struct ext_answer *a)
{
    struct str *names;
    size_t n;
    if (!names_of(r, a, &names, &n))
        return;
    a->status = 200;
    a->content_type = "application/json";
    buf_reserve(&a->body, r->body.n * 2);
    buf_char(&a->body, '[');
    for (size_t i = 0; i < n; i++) {
        buf_add(&a->body, i ? STR(",{\"Host\":") : STR("{\"Host\":"));
        buf_json(&a->body, names[i]);
        buf_add(&a->body, STR(",\"Score\":"));
        buf_int(&a->body, (int64_t)(i % 11));
        buf_char(&a->body, '}');
    }
    buf_char(&a->body, ']');
}

/* kube-scheduler's own Binding, by the extender: nothing is looked up and nothing is written
 * beside. */
static void bind(struct ext_request *r, struct ext_answer *a)
{
    struct ext_bind_args args;
    struct err err;
    enum err_code rc = ext_wire_bind_args(r->body, r->arena, &args, &err);
    if (!rc && !r->app->kube)
        rc = err_set(&err, ERR_UNAVAILABLE, "floor: no --kubeconfig was given");
    if (!rc) {
        struct buf body;
        buf_init(&body, 4096);
        buf_add(&body, STR("{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":"));
        buf_json(&body, args.pod);
        buf_add(&body, STR(",\"namespace\":"));
        buf_json(&body, args.ns);
        buf_add(&body, STR(",\"uid\":"));
        buf_json(&body, args.uid);
        buf_add(&body, STR("},\"target\":{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":"));
        buf_json(&body, args.node);
        buf_add(&body, STR("}}"));
        struct kube_request req = {.verb = KUBE_BIND,
                                   .kind = KUBE_POD,
                                   .ns = args.ns,
                                   .name = args.pod,
                                   .body = {body.p, body.n},
                                   .timeout_ms = BIND_MS};
        struct kube_response resp = {0};
        rc = kube_call(r->app->kube, &req, &resp, &err);
        kube_response_done(&resp);
        buf_done(&body);
    }
    a->status = 200;
    a->content_type = "application/json";
    buf_add(&a->body, STR("{\"Error\":"));
    buf_json(&a->body, rc ? str_z(err.text) : STR(""));
    buf_char(&a->body, '}');
}

static const struct ext_route ROUTES[] = {
    {.method = "POST",
     .path = "/filter",
     .surfaces = EXT_ON_EXTENDER,
     .trusted = true,
     .verb = EXT_VERB_FILTER,
     .handle = filter},
    {.method = "POST",
     .path = "/prioritize",
     .surfaces = EXT_ON_EXTENDER,
     .trusted = true,
     .verb = EXT_VERB_PRIORITIZE,
     .handle = prioritize},
    {.method = "POST",
     .path = "/bind",
     .surfaces = EXT_ON_EXTENDER,
     .trusted = true,
     .waits = true,
     .verb = EXT_VERB_BIND,
     .handle = bind},
    {.path = NULL},
};

static enum err_code start(struct ext_app *app, const char *kubeconfig, struct ext_server **ret,
                           struct err *err)
{
    static const struct ext_server_config CONFIG = {
        .address = "127.0.0.1:0", .surfaces = EXT_ON_EXTENDER, .routes = ROUTES};
    ext_config_init(&app->config);
    app->clock = &CLOCK_SYSTEM;
    app->metrics = ext_metrics_new();
    app->workers = ext_workers_new(WORKERS);
    if (!app->metrics || !app->workers)
        return err_set(err, ERR_NO_MEMORY, "out of memory");
    const struct kube_http_config http = {.kubeconfig = kubeconfig};
    enum err_code rc = kubeconfig ? kube_http_new(&http, app->clock, &app->kube, err) : ERR_OK;
    return rc ? rc : ext_server_start(app, &CONFIG, ret, err);
}

int main(int argc, char **argv)
{
    static struct ext_app app;
    struct ext_server *server;
    struct err err;
    int seconds = 600;
    const char *kubeconfig = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--first") == 0)
            first_only = true;
        else if (strncmp(argv[i], "--kubeconfig=", 13) == 0)
            kubeconfig = argv[i] + 13;
        else
            seconds = atoi(argv[i]);
    }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (start(&app, kubeconfig, &server, &err)) {
        fprintf(stderr, "floor: %s\n", err.text);
        return 1;
    }
    printf("listening %s\n", ext_server_address(server));
    fflush(stdout);
    struct timespec wait = {seconds, 0};
    while (sigtimedwait(&set, NULL, &wait) < 0 && errno == EINTR)
        ; /* somebody looks at us with a debugger */
    ext_server_quiesce(server);
    ext_server_stop(server);
    ext_workers_free(app.workers);
    kube_free(app.kube);
    ext_metrics_free(app.metrics);
    ext_config_done(&app.config);
    return 0;
}
