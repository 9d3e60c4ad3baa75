/* GET /metrics: HAMi's gauges under HAMi's names (contract/core.md 14) and ours.
 *
 * The text is made in pieces while the peer reads (a large cluster's is tens of megabytes): one
 * family after the other, each over all nodes of one snapshot, or over pages of pods. */
#include "extender/priv.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- words ---- */
/* A label's value with its quotes (Prometheus text format: backslash, quote and line feed are
 * escaped). */
static void label(struct buf *out, struct str value)
{
    buf_char(out, '"');
    for (size_t i = 0; i < value.n; i++) {
        char c = value.p[i];
        if (c == '\\' || c == '"')
            buf_char(out, '\\');
        if (c == '\n')
            buf_add(out, STR("\\n"));
        else
            buf_char(out, c);
    }
    buf_char(out, '"');
}

static void named(struct buf *out, const char *name, struct str value)
{
    buf_char(out, ',');
    buf_add(out, str_z(name));
    buf_char(out, '=');
    label(out, value);
}

static void named_int(struct buf *out, const char *name, int64_t value)
{
    buf_fmt(out, ",%s=\"%lld\"", name, (long long)value);
}

static void one(struct buf *out, const char *name, const char *type, const char *help,
                unsigned long long value)
{
    ext_metrics_head(out, name, type, help);
    buf_fmt(out, "%s %llu\n", name, value);
}

/* part/whole with six digits, without floats */
static void ratio(struct buf *out, int64_t part, int64_t whole)
{
    int64_t millionths = (int64_t)((__int128)part * 1000000 / whole);
    buf_fmt(out, "%s%lld.%06lld", millionths < 0 ? "-" : "", (long long)llabs(millionths / 1000000),
            (long long)llabs(millionths % 1000000));
}

/* ---- our own: the process and the ledger ---- */
static void write_ledger(struct ext_app *app, struct buf *out)
{
    struct cluster_stats s = {0};
    cluster_store_stats(app->store, &s);
    const struct {
        const char *name, *type, *help;
        uint64_t value;
    } rows[] = {
        {"cardinald_nodes", "gauge", "nodes known", s.nodes},
        {"cardinald_nodes_with_cards", "gauge", "nodes with registered cards", s.nodes_with_cards},
        {"cardinald_devices", "gauge", "cards known", s.devices},
        {"cardinald_nodes_locked", "gauge", "nodes with a lock that names its owner",
         s.nodes_locked},
        {"cardinald_nodes_lock_overdue", "gauge",
         "nodes that wait for a plugin for longer than --node-lock-timeout", s.nodes_overdue},
        {"cardinald_pods", "gauge", "pods remembered", s.pods},
        {"cardinald_pods_charged", "gauge", "pods whose shares are charged to cards",
         s.pods_charged},
        {"cardinald_pods_waiting", "gauge", "pods that ask for cards and have none",
         s.pods_waiting},
        {"cardinald_pods_gated", "gauge",
         "of those, pods with scheduling gates: kube-scheduler does not ask about them",
         s.pods_gated},
        {"cardinald_pods_assumed", "gauge", "decisions not yet seen back from the API", s.assumed},
        {"cardinald_pods_fail_closed", "gauge",
         "bound pods whose cards can't be read: their vendor is closed on that node",
         s.fail_closed},
        {"cardinald_pods_tampered", "gauge",
         "pods whose annotations no longer say what was decided", s.tampered},
        {"cardinald_devices_lent", "gauge",
         "cards over their total through pods that others placed", s.lent},
        {"cardinald_holds", "gauge", "shares held for pods that were told they fit", s.holds},
        {"cardinald_holds_dropped_total", "counter", "holds dropped because there were too many",
         s.holds_dropped},
        {"cardinald_ledger_repairs_total", "counter",
         "differences found by a fresh build; must stay 0", s.repairs},
        {"cardinald_applied_nodes_total", "counter", "node objects applied", s.applied_nodes},
        {"cardinald_applied_pods_total", "counter", "pod objects applied", s.applied_pods},
        {"cardinald_applied_quotas_total", "counter", "resource quotas applied", s.applied_quotas},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        one(out, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
    static const char *const KINDS[EXT_SYNC_COUNT_] = {"nodes", "pods", "quotas"};
    ext_metrics_head(out, "cardinald_synced", "gauge",
                     "1: the first list of this kind was complete");
    for (int i = 0; i < EXT_SYNC_COUNT_; i++)
        buf_fmt(out, "cardinald_synced{kind=\"%s\"} %d\n", KINDS[i],
                (int)atomic_load(&app->synced[i]));
    one(out, "cardinald_ready", "gauge", "1: ready, as /readyz says", ext_ready(app));
    ext_leader_metrics(app, out);
    if (app->certs)
        ext_certs_metrics(app->certs, &app->config, out);
    if (app->binds)
        one(out, "cardinald_binds_unsettled", "gauge", "binds whose outcome is not known yet",
            ext_binds_unsettled(app->binds));
    if (app->events)
        one(out, "cardinald_events_dropped_total", "counter",
            "events of pods that could not be written or were too many at once",
            kube_events_dropped(app->events));
    one(out, "cardinald_log_lines_lost_total", "counter", "log lines that could not be written",
        log_lost());
}

static void write_process(struct buf *out)
{
    char text[128] = "", *end = text;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f)
        return;
    bool ok = fgets(text, sizeof(text), f) != NULL;
    (void)fclose(f);
    if (!ok)
        return;
    unsigned long long pages = strtoull(text, &end, 10), resident = strtoull(end, NULL, 10);
    unsigned long long size = (unsigned long long)sysconf(_SC_PAGESIZE);
    one(out, "process_resident_memory_bytes", "gauge", "resident memory", resident * size);
    one(out, "process_virtual_memory_bytes", "gauge", "virtual memory", pages * size);
}

static void write_files(struct buf *out)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0)
        one(out, "process_max_fds", "gauge", "descriptors that the process may have",
            files.rlim_cur);
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return;
    unsigned n = 0;
    while (readdir(dir)) // NOLINT(concurrency-mt-unsafe): a stream of its own
        n++;
    closedir(dir);
    one(out, "process_open_fds", "gauge", "open descriptors", n - 3); /* ".", "..", and its own */
}

static void write_own(struct ext_app *app, struct buf *out)
{
    ext_metrics_head(out, "hami_build_info", "gauge", "what this is built from");
    buf_add(out, STR("hami_build_info{version="));
    label(out, STR(PACKAGE_VERSION));
    named(out, "revision", STR(""));
    named(out, "build_date", STR(""));
    named(out, "go_version", STR(""));
#ifdef __clang__
    named(out, "compiler", STR("clang"));
#else
    named(out, "compiler", STR("gcc"));
#endif
    named(out, "platform", STR("linux"));
    buf_add(out, STR("} 1\n"));
    ext_metrics_text(app->metrics, out);
    write_ledger(app, out);
    write_process(out);
    write_files(out);
}

/* ---- HAMi's: one row a family ---- */
enum scope { SCOPE_DEVICE, SCOPE_QUOTA, SCOPE_POD };
enum value {
    VALUE_MEM_LIMIT,
    VALUE_MEM_USED,
    VALUE_MEM_RATIO,
    VALUE_CORE_LIMIT,
    VALUE_CORE_USED,
    VALUE_SHARES,
    VALUE_QUOTA_USED,
    VALUE_QUOTA_LIMIT,
    VALUE_POD_MEM,
    VALUE_POD_CORES
};
enum { WITH_TYPE = 1, WITH_CORES = 2, WITH_MEMORY = 4 };
static const struct family {
    const char *name;
    enum scope scope;
    enum value value;
    unsigned with;
    bool legacy; /* only with --legacy-metrics */
    const char *help;
} FAMILIES[] = {
    /* clang-format off */
    {"hami_gpu_memory_limit_bytes", SCOPE_DEVICE, VALUE_MEM_LIMIT, WITH_TYPE, false, "memory of the card"},
    {"hami_gpu_core_limit_ratio", SCOPE_DEVICE, VALUE_CORE_LIMIT, WITH_TYPE, false, "cores of the card, percent"},
    {"hami_gpu_memory_allocated_bytes", SCOPE_DEVICE, VALUE_MEM_USED, WITH_TYPE | WITH_CORES, false, "memory given to pods"},
    {"hami_gpu_shared_count", SCOPE_DEVICE, VALUE_SHARES, WITH_TYPE, false, "shares given to pods"},
    {"hami_gpu_core_allocated_ratio", SCOPE_DEVICE, VALUE_CORE_USED, WITH_TYPE, false, "cores given to pods, percent"},
    {"hami_node_gpu_overview", SCOPE_DEVICE, VALUE_MEM_USED, WITH_TYPE | WITH_CORES | WITH_MEMORY, false, "memory given to pods, with the card's totals as labels"},
    {"hami_node_gpu_memory_allocated_ratio", SCOPE_DEVICE, VALUE_MEM_RATIO, WITH_TYPE, false, "memory given to pods, of the total"},
    {"hami_resource_quota_used", SCOPE_QUOTA, VALUE_QUOTA_USED, 0, false, "use of the namespace"},
    {"hami_resource_quota_limit", SCOPE_QUOTA, VALUE_QUOTA_LIMIT, 0, false, "quota of the namespace"},
    {"hami_vgpu_memory_allocated_bytes", SCOPE_POD, VALUE_POD_MEM, 0, false, "memory of one share"},
    {"hami_vgpu_core_allocated_ratio", SCOPE_POD, VALUE_POD_CORES, 0, false, "cores of one share, percent"},
    {"GPUDeviceMemoryLimit", SCOPE_DEVICE, VALUE_MEM_LIMIT, WITH_TYPE, true, "memory of the card"},
    {"GPUDeviceCoreLimit", SCOPE_DEVICE, VALUE_CORE_LIMIT, WITH_TYPE, true, "cores of the card, percent"},
    {"GPUDeviceSharedNum", SCOPE_DEVICE, VALUE_SHARES, WITH_TYPE, true, "shares given to pods"},
    {"GPUDeviceCoreAllocated", SCOPE_DEVICE, VALUE_CORE_USED, WITH_TYPE, true, "cores given to pods, percent"},
    {"GPUDeviceMemoryAllocated", SCOPE_DEVICE, VALUE_MEM_USED, WITH_TYPE | WITH_CORES, true, "memory given to pods"},
    {"nodeGPUOverview", SCOPE_DEVICE, VALUE_MEM_USED, WITH_TYPE | WITH_CORES | WITH_MEMORY, true, "memory given to pods"},
    {"nodeGPUMemoryPercentage", SCOPE_DEVICE, VALUE_MEM_RATIO, 0, true, "memory given to pods, of the total"},
    {"QuotaUsed", SCOPE_QUOTA, VALUE_QUOTA_USED, 0, true, "use of the namespace"},
    {"vGPUMemoryAllocated", SCOPE_POD, VALUE_POD_MEM, 0, true, "memory of one share"},
    {"vGPUCoreAllocated", SCOPE_POD, VALUE_POD_CORES, 0, true, "cores of one share, percent"},
    /* clang-format on */
};
enum {
    FAMILIES_N = sizeof(FAMILIES) / sizeof(FAMILIES[0]),
    PIECE = 32 * 1024,
    PODS_PAGE = 1000,
    QUOTAS_MAX = 20000,
    NAME_MAX_ = 256,
    PAGE_MEMORY_MAX = 64 * 1024 * 1024
};

struct scrape {
    struct ext_app *app;
    struct cluster_snapshot *snapshot;
    struct arena *arena; /* of one page */
    size_t family;       /* counts from 1: 0 is our own part */
    bool cards;          /* HAMi's families are told; of several replicas by the one that leads */
    bool headed;         /* its HELP and TYPE are written */
    uint32_t slot;
    char after_ns[NAME_MAX_], after_name[NAME_MAX_];
};

static void device_series(const struct family *f, struct str node, const struct score_device *d,
                          struct str type, struct buf *out)
{
    if (f->value == VALUE_MEM_RATIO && d->mem_total_mib <= 0)
        return;
    bool old = f->legacy;
    buf_fmt(out, "%s{zone=\"vGPU\"", f->name);
    named(out, old ? "nodeid" : "node", node);
    named(out, old ? "deviceuuid" : "device_uuid", d->uuid);
    named_int(out, old ? "deviceidx" : "device_index", d->index);
    if (f->with & WITH_TYPE)
        named(out, old ? "devicetype" : "device_type", type);
    if (f->with & WITH_CORES)
        named_int(out, old ? "devicecores" : "device_cores", d->cores_total_pct);
    if (f->with & WITH_MEMORY)
        named_int(out, old ? "devicememorylimit" : "device_memory_limit", d->mem_total_mib);
    buf_add(out, STR("} "));
    switch (f->value) {
    case VALUE_MEM_LIMIT:
        buf_int(out, d->mem_total_mib * 1048576);
        break;
    case VALUE_MEM_USED:
        buf_int(out, d->mem_used_mib * 1048576);
        break;
    case VALUE_MEM_RATIO:
        ratio(out, d->mem_used_mib, d->mem_total_mib);
        break;
    case VALUE_CORE_LIMIT:
        buf_int(out, d->cores_total_pct);
        break;
    case VALUE_CORE_USED:
        buf_int(out, d->cores_used_pct);
        break;
    default:
        buf_int(out, d->shares_used);
        break;
    }
    buf_char(out, '\n');
}

/* False: the family is done. */
static bool write_devices(struct scrape *s, const struct family *f, struct buf *out)
{
    for (; s->slot < cluster_snapshot_slots(s->snapshot); s->slot++) {
        if (out->n >= PIECE)
            return true;
        const struct cluster_node *node = cluster_snapshot_at(s->snapshot, s->slot);
        for (uint16_t i = 0; node && i < node->score.devices_n; i++) {
            const struct score_device *d = &node->score.devices[i];
            device_series(f, node->score.name, d, node->score.types[d->type], out);
        }
    }
    return false;
}

static void write_quotas(struct scrape *s, const struct family *f, struct buf *out)
{
    struct cluster_quota_view *views;
    size_t n;
    struct err err;
    if (cluster_list_quotas(s->app->store, QUOTAS_MAX, s->arena, &views, &n, &err))
        return;
    for (size_t i = 0; i < n; i++) {
        const struct cluster_quota_view *q = &views[i];
        if (f->value == VALUE_QUOTA_LIMIT && !q->limit_set)
            continue;
        const struct vendor *v = vendor_at(s->app->vendors, q->vendor);
        struct str name = q->mem ? v->quota_mem : v->quota_cores;
        if (str_has_prefix(name, STR("limits.")))
            name = (struct str){name.p + 7, name.n - 7};
        buf_fmt(out, "%s{zone=\"vGPU\"", f->name);
        named(out, f->legacy ? "quotanamespace" : "namespace", q->ns);
        named(out, f->legacy ? "quotaName" : "quota_name", name);
        if (f->value == VALUE_QUOTA_USED)
            named_int(out, "limit", q->limit_set ? q->limit : 0);
        buf_add(out, STR("} "));
        buf_int(out, f->value == VALUE_QUOTA_USED ? q->used : q->limit);
        buf_char(out, '\n');
    }
}

/* Two shares of one container on one card are one series: a repeated one would spoil the whole
 * text. */
static bool first_of_its_kind(const struct cluster_pod_view *p, uint16_t at)
{
    for (uint16_t i = 0; i < at; i++)
        if (p->shares[i].container == p->shares[at].container &&
            str_eq(p->shares[i].uuid, p->shares[at].uuid))
            return false;
    return true;
}

static void pod_series(const struct family *f, const struct cluster_pod_view *p, struct buf *out)
{
    for (uint16_t i = 0; i < p->shares_n; i++) {
        const struct cluster_share *share = &p->shares[i];
        if (share->uuid.n == 0 || !first_of_its_kind(p, i))
            continue;
        int64_t mem = 0, cores = 0;
        for (uint16_t j = i; j < p->shares_n; j++) {
            if (p->shares[j].container == share->container &&
                str_eq(p->shares[j].uuid, share->uuid)) {
                mem += p->shares[j].mem_mib;
                cores += p->shares[j].cores_pct;
            }
        }
        buf_fmt(out, "%s{zone=\"vGPU\"", f->name);
        named(out, f->legacy ? "podnamespace" : "namespace", p->ns);
        named(out, f->legacy ? "nodename" : "node", p->node);
        named(out, f->legacy ? "podname" : "pod", p->name);
        named_int(out, f->legacy ? "containeridx" : "container_index", share->container);
        named(out, f->legacy ? "deviceuuid" : "device_uuid", share->uuid);
        buf_add(out, STR("} "));
        buf_int(out, f->value == VALUE_POD_MEM ? mem * 1048576 : cores);
        buf_char(out, '\n');
    }
}

static bool write_pods(struct scrape *s, const struct family *f, struct buf *out)
{
    struct cluster_pod_view *views;
    size_t n;
    bool more;
    struct err err;
    if (cluster_list_pods(s->app->store, STR(""), str_z(s->after_ns), str_z(s->after_name),
                          PODS_PAGE, s->arena, &views, &n, &more, &err))
        return false;
    for (size_t i = 0; i < n; i++)
        if (views[i].state == CLUSTER_STATE_BOUND || views[i].state == CLUSTER_STATE_ASSUMED)
            pod_series(f, &views[i], out);
    if (n == 0 || !more)
        return false;
    const struct cluster_pod_view *last = &views[n - 1];
    if (last->ns.n >= NAME_MAX_ || last->name.n >= NAME_MAX_)
        return false; /* no such name in Kubernetes */
    memcpy(s->after_ns, last->ns.p, last->ns.n);
    s->after_ns[last->ns.n] = '\0';
    memcpy(s->after_name, last->name.p, last->name.n);
    s->after_name[last->name.n] = '\0';
    return true;
}

/* One piece of the present family; false: it is done. */
static bool write_family(struct scrape *s, const struct family *f, struct buf *out)
{
    if (!s->headed)
        ext_metrics_head(out, f->name, "gauge", f->help);
    s->headed = true;
    switch (f->scope) {
    case SCOPE_DEVICE:
        return write_devices(s, f, out);
    case SCOPE_QUOTA:
        write_quotas(s, f, out);
        return false;
    default:
        return write_pods(s, f, out);
    }
}

static bool more(void *ctx, struct buf *out)
{
    struct scrape *s = ctx;
    if (s->family == 0) {
        write_own(s->app, out);
        s->family = 1;
    }
    while (s->family <= FAMILIES_N) {
        if (out->n >= PIECE)
            return true;
        const struct family *f = &FAMILIES[s->family - 1];
        bool wanted = s->cards && (!f->legacy || s->app->config.legacy_metrics);
        arena_reset(s->arena);
        if (wanted && write_family(s, f, out))
            continue;
        s->family++;
        s->headed = false;
        s->slot = 0;
        s->after_ns[0] = s->after_name[0] = '\0';
    }
    return false;
}

static void done(void *ctx)
{
    struct scrape *s = ctx;
    cluster_snapshot_unref(s->snapshot);
    arena_free(s->arena);
    free(s);
}

void ext_metrics_get(struct ext_request *r, struct ext_answer *a)
{
    struct scrape *s = calloc(1, sizeof(*s));
    struct arena *arena = arena_new(PAGE_MEMORY_MAX);
    if (!s || !arena) {
        free(s);
        arena_free(arena);
        ext_answer_text(a, 500, "no memory\n");
        return;
    }
    s->app = r->app;
    s->arena = arena;
    s->cards = !ext_led_by_another(r->app);
    s->snapshot = cluster_store_snapshot(r->app->store);
    a->status = 200;
    a->content_type = "text/plain; version=0.0.4; charset=utf-8";
    a->stream = (struct ext_stream){.more = more, .done = done, .ctx = s};
}
