/* Probes, in the format of Kubernetes' own (contract/kubernetes.md 7): alive as soon as it answers,
 * ready when every list of the cluster was complete once and no stop is under way. */
#include "extender/priv.h"

struct check {
    struct str name;
    const char *why; /* what it says while it fails */
};
/* the lists, in the order of enum ext_sync; then the rest */
enum { CHECK_SHUTDOWN = EXT_SYNC_COUNT_, CHECKS_N };
static const struct check CHECKS[CHECKS_N] = {
    [EXT_SYNC_NODES] = {STR_INIT("nodes-sync"), "the first list of nodes is not complete"},
    [EXT_SYNC_PODS] = {STR_INIT("pods-sync"), "the first list of pods is not complete"},
    [EXT_SYNC_QUOTAS] = {STR_INIT("quotas-sync"),
                         "the first list of resource quotas is not complete"},
    [CHECK_SHUTDOWN] = {STR_INIT("shutdown"), "stopping"},
};

static bool passes(struct ext_app *app, int check)
{
    return check == CHECK_SHUTDOWN ? !atomic_load(&app->stopping)
                                   : atomic_load(&app->synced[check]);
}

bool ext_ready(struct ext_app *app)
{
    for (int i = 0; i < CHECKS_N; i++)
        if (!passes(app, i))
            return false;
    return true;
}

void ext_healthz(struct ext_request *r, struct ext_answer *a)
{
    (void)r;
    ext_answer_text(a, 200, "ok");
}

void ext_livez(struct ext_request *r, struct ext_answer *a) { ext_healthz(r, a); }

/* `?exclude=` may be there more than once. */
static bool excluded(const struct ext_request *r, struct str name)
{
    struct ext_request one = *r;
    struct str rest = r->query, pair, value;
    while (rest.p && str_split(&rest, '&', &pair)) {
        one.query = pair;
        if (ext_query(&one, "exclude", r->arena, &value) && str_eq(value, name))
            return true;
    }
    return false;
}

void ext_readyz(struct ext_request *r, struct ext_answer *a)
{
    struct str only = {NULL, 0}, unused;
    if (str_has_prefix(r->path, STR("/readyz/")))
        only = (struct str){r->path.p + 8, r->path.n - 8};
    bool ready = true, known = !only.p;
    struct buf lines;
    buf_init(&lines, 4096);
    for (int i = 0; i < CHECKS_N; i++) {
        if (only.p && !str_eq(only, CHECKS[i].name))
            continue;
        known = true;
        bool out = excluded(r, CHECKS[i].name), ok = out || passes(r->app, i);
        ready = ready && ok;
        buf_fmt(&lines, "[%c]" STR_FMT " ", ok ? '+' : '-', STR_ARG(CHECKS[i].name));
        if (ok)
            buf_fmt(&lines, out ? "excluded: ok\n" : "ok\n");
        else
            buf_fmt(&lines, "failed: %s\n", CHECKS[i].why);
    }
    if (!known)
        ext_answer_text(a, 404, "404 page not found\n");
    else if (ready && !ext_query(r, "verbose", r->arena, &unused))
        ext_answer_text(a, 200, "ok");
    else
        ext_answer_text(a, ready ? 200 : 500, STR_FMT "readyz check %s\n", (int)lines.n,
                        lines.p ? lines.p : "", ready ? "passed" : "failed");
    buf_done(&lines);
}

void ext_version(struct ext_request *r, struct ext_answer *a)
{
    (void)r;
    a->status = 200;
    buf_add(&a->body, STR("{\"apiVersion\":\"cardinal/"
                          "v1\",\"kind\":\"Version\",\"name\":\"cardinald\",\"version\":"));
    buf_json(&a->body, STR(PACKAGE_VERSION));
    buf_add(&a->body, STR(",\"compiler\":"));
#ifdef __clang__
    buf_json(&a->body, STR("clang " __clang_version__));
#else
    buf_json(&a->body, STR("gcc " __VERSION__));
#endif
    buf_char(&a->body, '}');
}
