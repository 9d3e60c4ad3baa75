/* Wires everything together: flags → vendors → ledger → cluster (a file or an API server) →
 * reflector → listeners; waits for a signal; takes it apart in the other order. Nothing else in the
 * program knows the whole. */
#include "extender/turn.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
    EXIT_CONFIG = 2,
    SELECTOR_MAX = 64,
    STOP_GUARD_MS = 9500,
    PROBE_SHOWN = 200,                  /* of an answer */
    SCHEDULER_CONFIG_MAX = 1024 * 1024, /* a ConfigMap's most */
    FILES_OWN =
        256, /* of 32 + 4 connections to the API server (five each), listeners, files read */
    FILES_MIN = 512,
};

struct program {
    struct ext_app app;
    char *selector_text;
    struct str selector[2 * SELECTOR_MAX];
    struct sim *sim;
    struct ext_reflector *reflector;
    struct ext_server *extender, *webhook, *metrics;
};

/* ---- the process ---- */
static void process_setup(sigset_t *waited)
{
    /* Every thread inherits the mask; one waits for them (wait_for_stop). */
    sigemptyset(waited);
    sigaddset(waited, SIGTERM);
    sigaddset(waited, SIGINT);
    sigaddset(waited, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, waited, NULL);
    (void)signal(SIGPIPE, SIG_IGN);

    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    /* Resident size: without these each thread keeps an arena of its own, and one freed large block
     * teaches malloc to keep all later ones on the heap, up to 32 MiB each
     * (docs/operations/limits.md). */
    (void)mallopt(M_ARENA_MAX, 2);            // NOLINT(concurrency-mt-unsafe): no threads yet
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20); // NOLINT(concurrency-mt-unsafe): as above
    (void)mallopt(M_TRIM_THRESHOLD, 4 << 20); // NOLINT(concurrency-mt-unsafe): as above
    json_object_seed(0);                      /* random; before there are threads */
}

/* Descriptors are shared out between the listeners, so that one that is flooded leaves the others
 * and the API server theirs. */
static enum err_code share_files(struct ext_config *c, struct err *err)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY)
        return ERR_OK;
    if (files.rlim_cur < FILES_MIN)
        return err_set(err, ERR_BAD_REQUEST,
                       "open files: the limit of this process is %llu and %d are needed: raise it "
                       "(ulimit -n, LimitNOFILE=)",
                       (unsigned long long)files.rlim_cur, FILES_MIN);
    const char *const listeners[] = {c->http_bind ? c->http_bind : c->listen_extender,
                                     c->listen_webhook, c->listen_metrics};
    rlim_t n = 0;
    for (size_t i = 0; i < sizeof(listeners) / sizeof(listeners[0]); i++)
        n += listeners[i] != NULL;
    rlim_t each = n ? (files.rlim_cur - FILES_OWN) / n - EXT_CONNECTIONS_SLACK : INT_MAX;
    if (each >= (rlim_t)c->connections_max)
        return ERR_OK;
    log_warn("fewer connections", "max=%d asked=%d files=%llu", (int)each, c->connections_max,
             (unsigned long long)files.rlim_cur);
    c->connections_max = (int)each;
    return ERR_OK;
}

/* A proxy of our host may stand before such a listener: said, and not refused. */
static void warn_election(const struct ext_config *c)
{
    if (c->leader_elect && c->leader_own && !ext_config_reachable(c) &&
        (c->http_bind || c->listen_extender))
        log_warn("own-mode-on-loopback", "text=%s",
                 "callers of this host alone are answered: a kube-scheduler beside this process "
                 "may call while another replica leads; use --leader-elect-mode=follow");
}

/* ---- vendors ---- */
static void on_unknown(void *ctx, const char *text)
{
    (void)ctx;
    log_warn("device-config-unknown-key", "text=%s", text);
}

static enum err_code load_vendors(struct program *p, struct err *err)
{
    const struct ext_config *c = &p->app.config;
    const struct vendor_load_handler handler = {
        .on_unknown = c->unknown_config_keys_warn ? on_unknown : NULL};
    enum err_code rc = c->device_config_file ? vendor_table_load(c->device_config_file, &handler,
                                                                 &p->app.vendors, err)
                                             : vendor_table_builtin(&p->app.vendors, err);
#define SECTION(i, flag_name, section)                                                             \
    if (!rc && !c->sections[i])                                                                    \
        rc = vendor_table_leave_out(&p->app.vendors, STR(section), err);
    VENDOR_SECTION_FLAGS(SECTION)
#undef SECTION
    for (size_t i = 0; !rc && i < c->vendor.n; i++)
        rc = vendor_table_extend_file(&p->app.vendors, c->vendor.path[i], err);
    return rc;
}

/* ---- the kube-scheduler beside us ---- */
static void say_beside(void *ctx, bool refused, const char *text)
{
    const char *path = ctx;
    if (refused)
        (void)fprintf(stderr, "cardinald: %s: %s\n", path, text);
    else
        log_warn("scheduler-config", "file=%s text=%s", path, text);
}

static enum err_code check_beside(struct program *p, struct err *err)
{
    const char *path = p->app.config.scheduler_config_file;
    char *text CLEANUP(free_p) = NULL;
    size_t n;
    if (!path)
        return ERR_OK;
    enum err_code rc = kube_read_file(path, SCHEDULER_CONFIG_MAX, &text, &n, err);
    if (rc)
        return rc;
    const struct ext_kubesched_report report = {.say = say_beside, .ctx = (char *)path};
    return ext_kubesched_check(&p->app.config, p->app.vendors, (struct str){text, n}, path, &report,
                               err);
}

/* ---- ledger ---- */
static enum err_code parse_selector(struct program *p, struct err *err)
{
    const char *text = p->app.config.node_label_selector;
    if (!text)
        return ERR_OK;
    p->selector_text = strdup(text); /* the ledger's strings end nowhere near the flags' */
    if (!p->selector_text)
        return err_set(err, ERR_NO_MEMORY, "--node-label-selector: no memory");
    struct str rest = str_z(p->selector_text), pair, key;
    size_t n = 0;
    while (str_split(&rest, ',', &pair)) {
        struct str value = pair;
        if (!str_split(&value, '=', &key) || !value.p || str_trim(key).n == 0 ||
            memchr(value.p, '=', value.n))
            return err_set(err, ERR_BAD_REQUEST, "--node-label-selector=%.128s: not k=v,k2=v2",
                           text);
        if (n == SELECTOR_MAX)
            return err_set(err, ERR_BAD_REQUEST, "--node-label-selector: more than %d labels",
                           SELECTOR_MAX);
        p->selector[2 * n] = str_trim(key);
        p->selector[2 * n + 1] = str_trim(value);
        n++;
    }
    p->app.cluster.node_selector = p->selector;
    p->app.cluster.node_selector_n = 2 * n;
    return ERR_OK;
}

/* HAMi takes any text and falls back; so do we, but say so. */
static void warn_policies(const struct ext_config *c)
{
    struct score_policy policy;
    struct err err;
    if (vendor_policy(str_z(c->node_policy), str_z(c->card_policy), (struct str){NULL, 0}, false,
                      &policy, &err))
        log_warn("policy", "err=%s", err.text);
    struct str node = str_z(c->node_policy);
    if (node.n && !str_eq(node, STR("binpack")) && !str_eq(node, STR("spread")))
        log_warn("policy", "flag=node-scheduler-policy value=%s text=%s", c->node_policy,
                 "neither binpack nor spread: taken as binpack");
}

static enum err_code make_ledger(struct program *p, struct err *err)
{
    struct ext_app *app = &p->app;
    const struct ext_config *c = &app->config;
    uint64_t seed = (uint64_t)clock_wall_ns(app->clock);
    if (getentropy(&seed, sizeof(seed)) != 0)
        log_warn("seed", "err=%s", strerrordesc_np(errno)); /* the time is still no constant */
    app->cluster = (struct cluster_config){.vendors = app->vendors,
                                           .node_policy = str_z(c->node_policy),
                                           .card_policy = str_z(c->card_policy),
                                           .assume_admitted = c->cluster.n > 0,
                                           .hash_seed = seed,
                                           .adopt_unbound = c->adopt_unbound,
                                           .lock_expire_ms = c->lock_expire_ms};
    app->admission = (struct admission_config){.vendors = app->vendors,
                                               .scheduler_name = str_z(c->scheduler_name),
                                               .force_overwrite_default_scheduler =
                                                   c->force_overwrite_default_scheduler};
    enum err_code rc = parse_selector(p, err);
    return rc ? rc : cluster_store_new(&app->cluster, &app->store, err);
}

/* ---- the cluster ---- */
/* File mode: a pod becomes what admission would have made of it. One that has a node was admitted
 * long ago, and one that admission would refuse is there all the same: both stay as they are. */
static enum err_code admit(void *ctx, const json_t *pod, json_t **ret, struct err *err)
{
    const struct ext_app *app = ctx;
    const json_t *meta = json_object_get(pod, "metadata"), *spec = json_object_get(pod, "spec");
    if (json_string_length(json_object_get(spec, "nodeName")) > 0)
        return ERR_OK;
    const char *ns = json_string_value(json_object_get(meta, "namespace"));
    const char *name = json_string_value(json_object_get(meta, "name"));
    struct admission_result result = {0};
    enum err_code rc = admission_mutate(&app->admission, pod, str_z(ns ? ns : "default"),
                                        /* quota= */ NULL, &result, err);
    if (rc)
        return rc;
    if (result.verdict != ADMISSION_ALLOW)
        log_info(2, "not-admitted", "pod=%s/%s code=%u text=%s", ns ? ns : "default",
                 name ? name : "", result.code, result.message);
    else if (json_array_size(result.patch) > 0)
        rc = admission_apply(pod, result.patch, ret, err);
    admission_result_done(&result);
    return rc;
}

static enum err_code open_files(struct program *p, struct err *err)
{
    struct ext_app *app = &p->app;
    const struct kube_store_config cfg = {.binding_labels = true, .watch_initial = true};
    enum err_code rc = kube_store_new(&cfg, app->clock, &app->kube, &app->file_store, err);
    if (rc)
        return rc;
    const struct kube_load_handler handler = {.pod = admit, .ctx = app};
    size_t skipped = 0;
    rc = kube_store_load(app->file_store, app->config.cluster.path, app->config.cluster.n, &handler,
                         &skipped, err);
    if (!rc)
        log_info(0, "cluster-loaded", "files=%zu skipped=%zu", app->config.cluster.n, skipped);
    return rc;
}

/* HAMi's order: the flag, $KUBECONFIG, ~/.kube/config, in-cluster. */
static enum err_code open_live(struct program *p, struct err *err)
{
    struct ext_app *app = &p->app;
    const char *path = app->config.kubeconfig,
               *home = getenv("HOME"); // NOLINT(concurrency-mt-unsafe): nobody sets it
    char in_home[4096];
    if (!path)
        path = getenv("KUBECONFIG"); // NOLINT(concurrency-mt-unsafe): nobody sets it
    if (path && !*path)
        path = NULL;
    if (!path && home &&
        (size_t)snprintf(in_home, sizeof(in_home), "%s/.kube/config", home) < sizeof(in_home) &&
        access(in_home, R_OK) == 0)
        path = in_home;
    const struct kube_http_config cfg = {.kubeconfig = path, .context = app->config.kube_context};
    enum err_code rc = kube_http_new(&cfg, app->clock, &app->kube, err);
    if (rc && !path)
        return err_prefix(err, rc, "no --cluster=FILE, no --kubeconfig=FILE");
    return rc;
}

static enum err_code open_cluster(struct program *p, struct err *err)
{
    return p->app.config.cluster.n > 0 ? open_files(p, err) : open_live(p, err);
}

static enum err_code start_clients(struct program *p, struct err *err)
{
    struct ext_app *app = &p->app;
    const char *component = app->config.scheduler_name ? app->config.scheduler_name : "cardinald";
    enum err_code rc = kube_events_new(app->kube, component, app->clock, &app->events, err);
    if (!rc)
        rc = ext_binds_new(app, /* thread= */ true, &app->binds, err);
    if (!rc)
        rc = ext_turns_new(app, /* thread= */ true, &app->turns, err);
    if (!rc)
        rc = ext_leader_start(app, err);
    if (!rc)
        rc = ext_labels_new(app, &app->labels, err);
    if (!rc)
        rc = ext_wake_new(app, &app->wake, err);
    if (!rc && app->file_store)
        rc = sim_start(app->kube, app->vendors, app->clock, &p->sim, err);
    if (!rc)
        rc = ext_reflector_start(app, &p->reflector, err);
    return rc;
}

/* ---- listeners ---- */
static enum err_code listen_one(struct program *p, const char *address, unsigned surfaces,
                                int threads, struct ext_server **ret, struct err *err)
{
    if (!address)
        return ERR_OK;
    const struct ext_server_config cfg = {.address = address,
                                          .surfaces = surfaces,
                                          .tls = ext_config_tls(&p->app.config, surfaces),
                                          .threads = threads,
                                          .routes = EXT_ROUTES};
    return ext_server_start(&p->app, &cfg, ret, err);
}

static enum err_code start_listeners(struct program *p, struct err *err)
{
    const struct ext_config *c = &p->app.config;
    enum err_code rc = ERR_OK;
    if (ext_config_tls(c, EXT_ON_EXTENDER) || ext_config_tls(c, EXT_ON_WEBHOOK))
        rc = ext_certs_new(c, p->app.clock, /* thread= */ true, /* look_ms= */ 0, &p->app.certs,
                           err);
    if (rc)
        return rc;
    if (c->http_bind)
        rc = listen_one(p, c->http_bind, EXT_ON_EXTENDER | EXT_ON_WEBHOOK, c->threads, &p->extender,
                        err);
    else
        rc = listen_one(p, c->listen_extender, EXT_ON_EXTENDER, c->threads, &p->extender, err);
    if (!rc)
        rc = listen_one(p, c->listen_webhook, EXT_ON_WEBHOOK, 2, &p->webhook, err);
    if (!rc)
        rc = listen_one(p, c->listen_metrics, EXT_ON_METRICS, 1, &p->metrics, err);
    if (rc)
        return rc;
    struct ext_server *webhook = c->http_bind ? p->extender : p->webhook;
    log_info(0, "listening", "extender=%s webhook=%s metrics=%s cluster=%s",
             p->extender ? ext_server_address(p->extender) : "none",
             webhook ? ext_server_address(webhook) : "none",
             p->metrics ? ext_server_address(p->metrics) : "none", kube_describe(p->app.kube));
    return ERR_OK;
}

/* ---- stop ---- */
static void wait_for_stop(const sigset_t *waited)
{
    for (;;) {
        int sig = 0;
        if (sigwait(waited, &sig) == 0 && sig != SIGHUP) {
            log_info(0, "stopping", "signal=%s", sig == SIGTERM ? "TERM" : "INT");
            return;
        }
    }
}

/* A stop has 10 s (the kubelet's grace is 30): whoever hangs does not hold it up. A second signal
 * ends it at once. */
static void *guard_stop(void *arg)
{
    const sigset_t *waited = arg;
    struct timespec limit = {STOP_GUARD_MS / 1000, STOP_GUARD_MS % 1000 * 1000000};
    siginfo_t info;
    bool again = sigtimedwait(waited, &info, &limit) > 0;
    log_error("stop-forced", "why=%s", again ? "second signal" : "it took too long");
    _exit(again ? 1 : 0);
}

static void stop(struct program *p)
{
    struct ext_app *app = &p->app;
    atomic_store(&app->stopping, true);
    struct ext_server *all[] = {p->extender, p->webhook, p->metrics};
    for (size_t i = 0; i < 3; i++)
        if (all[i])
            ext_server_quiesce(all[i]);
    for (size_t i = 0; i < 3; i++)
        ext_server_stop(all[i]);
    ext_certs_free(app->certs);
    if (p->reflector)
        ext_reflector_stop(p->reflector);
    ext_wake_free(app->wake);
    ext_labels_free(app->labels);
    ext_turns_stop(app->turns);
    ext_workers_free(app->workers);
    ext_turns_free(app->turns);
    bool settled = !app->binds || ext_binds_unsettled(app->binds) == 0;
    if (app->binds)
        ext_binds_free(app->binds);
    ext_leader_stop(app, /* release= */ settled);
    sim_stop(p->sim);
    if (app->events)
        kube_events_free(app->events);
    kube_free(app->kube);
    if (app->store)
        cluster_store_free(app->store);
    if (app->vendors)
        vendor_table_free(app->vendors);
    ext_metrics_free(app->metrics);
    free(p->selector_text);
    ext_config_done(&app->config);
}

static int fail(struct program *p, const struct err *err, int status)
{
    (void)fprintf(stderr, "cardinald: %s\n", err->text);
    stop(p);
    return status;
}

/* Prints and frees the text. */
static int print_text(struct buf *text)
{
    bool ok =
        !text->failed && fwrite(text->p, 1, text->n, stdout) == text->n && fflush(stdout) == 0;
    buf_done(text);
    return ok ? 0 : 1;
}

static int print_help(void)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    ext_config_help(&text);
    return print_text(&text);
}

/* What is printed of the vendors, or for them. */
static int print_of_vendors(struct program *p)
{
    struct err err;
    struct buf text;
    if (load_vendors(p, &err))
        return fail(p, &err, EXIT_CONFIG);
    buf_init(&text, 4 << 20);
    if (p->app.config.print_vendors) {
        vendor_table_print(p->app.vendors, &text);
    } else if (ext_kubesched_print(&p->app.config, p->app.vendors, &text, &err)) {
        buf_done(&text);
        return fail(p, &err, EXIT_CONFIG);
    }
    vendor_table_free(p->app.vendors);
    ext_config_done(&p->app.config);
    return print_text(&text);
}

/* A look at others, for where there is no shell to look with: exec probes, helm test. */
static bool answers(const struct ext_config *c, const char *url, int64_t until_ms)
{
    struct err err = {0};
    struct buf body;
    int status = 0;
    int64_t left_ms = until_ms - clock_mono_ms(&CLOCK_SYSTEM);
    buf_init(&body, PROBE_SHOWN);
    if (kube_probe(url, c->probe_ca_file, left_ms > 1 ? (int)left_ms : 1, &status, &body, &err))
        (void)fprintf(stderr, "cardinald: %s\n", err.text);
    for (size_t i = 0; i < body.n; i++) /* one line, and nothing that a terminal obeys */
        if (body.p[i] < ' ' || body.p[i] > '~')
            body.n = i;
    if (status)
        (void)printf("%s: %d " STR_FMT "\n", url, status, (int)body.n, body.n ? body.p : "");
    (void)fflush(stdout);
    buf_done(&body);
    return status >= 200 && status < 300;
}

static int probe(const struct ext_config *c)
{
    int64_t now_ms = clock_mono_ms(&CLOCK_SYSTEM), until_ms = now_ms + c->probe_timeout_ms;
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < c->probe.n; i++) {
        while (!answers(c, c->probe.path[i], until_ms)) {
            if (clock_mono_ms(&CLOCK_SYSTEM) + 1000 > until_ms)
                return 1;
            (void)nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct program program = {0}, *p = &program;
    struct ext_app *app = &p->app;
    struct err err = {0};
    enum err_code rc = ext_config_parse(argc, argv, &app->config, &err);
    if (rc)
        return fail(p, &err, EXIT_CONFIG);
    if (app->config.help || app->config.version) {
        int status = app->config.help ? print_help() : puts("cardinald " PACKAGE_VERSION) == EOF;
        ext_config_done(&app->config);
        return status;
    }
    if (app->config.probe.n > 0) {
        int status = probe(&app->config);
        ext_config_done(&app->config);
        return status;
    }
    if (app->config.print_vendors || app->config.print_scheduler_config)
        return print_of_vendors(p);
    sigset_t waited;
    process_setup(&waited);
    atomic_store(&log_level, app->config.verbosity);
    app->clock = &CLOCK_SYSTEM;
    if (*ext_config_ignored(&app->config))
        log_info(0, "flags-without-effect", "flags=%s", ext_config_ignored(&app->config));

    if (share_files(&app->config, &err))
        return fail(p, &err, EXIT_CONFIG);

    app->metrics = ext_metrics_new();
    app->workers = ext_workers_new(app->config.workers_max);
    if (!app->metrics || !app->workers)
        return fail(p, &(struct err){ERR_NO_MEMORY, "no memory"}, 1);
    if (load_vendors(p, &err) || check_beside(p, &err) || make_ledger(p, &err))
        return fail(p, &err, EXIT_CONFIG);
    warn_policies(&app->config);
    warn_election(&app->config);
    if (open_cluster(p, &err))
        return fail(p, &err, EXIT_CONFIG);
    rc = start_clients(p, &err);
    if (!rc)
        rc = start_listeners(p, &err);
    if (rc)
        return fail(p, &err, rc == ERR_BAD_REQUEST ? EXIT_CONFIG : 1);

    ext_notify("READY=1"); /* not synced yet: that the API server is away is no failed start */
    wait_for_stop(&waited);
    ext_notify("STOPPING=1");
    pthread_t guard;
    if (pthread_create(&guard, NULL, guard_stop, &waited) == 0)
        (void)pthread_detach(guard);
    stop(p);
    log_info(0, "stopped");
    return 0;
}
