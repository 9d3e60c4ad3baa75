/* The floor under /filter and /prioritize: the same server, the same reading of the body and of the
 * names, and an answer that repeats them. What cardinald takes longer than this is the decision.
 * Loopback only; ends on SIGTERM, or by itself.
 *
 *   floor [SECONDS]      prints "listening ADDRESS" */
#include "extender/priv.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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
    for (size_t i = 0; i < n; i++) {
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
    {.path = NULL},
};

int main(int argc, char **argv)
{
    static struct ext_app app;
    struct ext_server *server;
    struct err err;
    int seconds = argc > 1 ? atoi(argv[1]) : 600;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    ext_config_init(&app.config);
    app.clock = &CLOCK_SYSTEM;
    app.metrics = ext_metrics_new();
    struct ext_server_config cfg = {
        .address = "127.0.0.1:0", .surfaces = EXT_ON_EXTENDER, .routes = ROUTES};
    if (!app.metrics || ext_server_start(&app, &cfg, &server, &err)) {
        fprintf(stderr, "floor: %s\n", app.metrics ? err.text : "out of memory");
        return 1;
    }
    printf("listening %s\n", ext_server_address(server));
    fflush(stdout);
    struct timespec wait = {seconds, 0};
    sigtimedwait(&set, NULL, &wait);
    ext_server_quiesce(server);
    ext_server_stop(server);
    ext_metrics_free(app.metrics);
    ext_config_done(&app.config);
    return 0;
}
