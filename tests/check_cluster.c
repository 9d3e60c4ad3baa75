/* Tests of src/cluster: what is shared (check_cluster.h), and the program. */
#include "check_cluster.h"

#include "vendor/priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void open_with(struct world *w, struct vendor_table *vendors)
{
    struct err err;
    memset(w, 0, sizeof(*w));
    w->vendors = vendors;
    w->cfg = (struct cluster_config){.vendors = w->vendors,
                                     .node_policy = STR("binpack"),
                                     .card_policy = STR("spread"),
                                     .hash_seed = 0x1234567890abcdef};
    w->arena = arena_new((size_t)1 << 30);
    ck_assert_int_eq(cluster_store_new(&w->cfg, &w->st, &err), ERR_OK);
}

void world_open_rows(struct world *w)
{
    struct err err;
    struct vendor_table *vendors;
    ck_assert_int_eq(vendor_table_builtin(&vendors, &err), ERR_OK);
    open_with(w, vendors);
}

void world_restart(struct world *w)
{
    struct err err;
    ck_sound(w);
    cluster_store_free(w->st);
    ck_assert_int_eq(cluster_store_new(&w->cfg, &w->st, &err), ERR_OK);
}

void world_open(struct world *w)
{
    static struct vendor rows[2];
    struct err err;
    rows[NV] = VENDOR_BUILTIN[0];
    rows[ACME] = VENDOR_BUILTIN[0];
    struct vendor *acme = &rows[ACME];
    acme->core.key = STR("ACME");
    acme->res_count = STR("acme.example/npu");
    acme->res_mem = STR("acme.example/npumem");
    acme->res_mem_pct = STR("acme.example/npumem-percentage");
    acme->res_cores = STR("acme.example/npucores");
    acme->res_priority = STR("");
    acme->node_register = STR("acme.example/register");
    acme->node_score = acme->node_handshake = acme->node_cordon = STR("");
    acme->pod_to_allocate = STR("acme.example/to-allocate");
    acme->pod_allocated = STR("acme.example/allocated");
    acme->pod_mig = STR("");
    acme->pod_use_type = STR("acme.example/use-type");
    acme->pod_nouse_type = STR("acme.example/nouse-type");
    acme->pod_use_uuid = STR("acme.example/use-uuid");
    acme->pod_nouse_uuid = STR("acme.example/nouse-uuid");
    acme->pod_mode = acme->pod_numa_bind = STR("");
    acme->mem_factor = 2;
    struct vendor_table *vendors;
    struct arena *own = arena_new(1 << 20);
    ck_assert_int_eq(vendor_table_make(rows, 2, own, &vendors, &err), ERR_OK);
    open_with(w, vendors);
}

void world_close(struct world *w)
{
    ck_sound(w);
    cluster_store_free(w->st);
    arena_free(w->arena);
    vendor_table_free(w->vendors);
}

const char *fmt(struct world *w, const char *format, ...)
{
    va_list ap, again;
    va_start(ap, format);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, format, ap);
    va_end(ap);
    char *text = arena_alloc(w->arena, (size_t)n + 1);
    ck_assert_ptr_nonnull(text);
    vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}

const char *cards(struct world *w, const char *tag, int from, int n)
{
    const char *list = "";
    for (int i = from; i < from + n; i++)
        list = fmt(
            w,
            "%s%s{\"id\":\"GPU-%s%d\",\"index\":%d,\"count\":10,\"devmem\":24576,\"devcore\":100,"
            "\"type\":\"NVIDIA A10\",\"mode\":\"hami-core\",\"health\":true}",
            list, i > from ? "," : "", tag, i, i);
    return fmt(w, "[%s]", list);
}

const char *member(struct world *w, const char *key, const char *value)
{
    if (!value)
        return "";
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_json(&b, str_z(value));
    size_t n;
    char *text = buf_take(&b, &n);
    const char *ret = fmt(w, "\"%s\":%s,", key, text);
    free(text);
    return ret;
}

void put_node(struct world *w, struct t_node n)
{
    const char *json = fmt(
        w,
        "{\"kind\":\"Node\",\"metadata\":{%s%s\"annotations\":{%s%s%s%s\"x\":\"y\"}},"
        "\"status\":{\"allocatable\":{\"cpu\":\"64\",\"memory\":\"256Gi\",\"acme.example/"
        "npu\":\"1\","
        "\"nvidia.com/gpu\":\"%s\"}}}",
        member(w, "name", n.name), member(w, "uid", n.uid ? n.uid : fmt(w, "uid-%s", n.name)),
        member(w, "hami.io/node-nvidia-register", n.list),
        member(w, "acme.example/register", n.acme), member(w, "hami.io/device-cordon", n.cordon),
        member(w, "hami.io/mutex.lock", n.lock), n.alloc ? n.alloc : "80");
    struct cluster_node_object o;
    struct err err;
    ck_assert_msg(!cluster_node_decode(&w->cfg, str_z(json), false, w->arena, &o, &err), "%s",
                  err.text);
    ck_assert_msg(!cluster_apply_node(w->st, &o, &err), "%s", err.text);
}

struct cluster_pod pod_of(struct world *w, struct t_pod p)
{
    const char *limits = "";
    if (p.gpu)
        limits =
            fmt(w, "%s%s%s", member(w, "nvidia.com/gpu", p.gpu),
                member(w, "nvidia.com/gpumem", p.mem), member(w, "nvidia.com/gpucores", p.cores));
    const char *containers = p.containers;
    if (!containers)
        containers = fmt(w, "[{\"name\":\"main\",\"resources\":{\"limits\":{%s\"cpu\":\"%s\"}}}]",
                         limits, p.cpu ? p.cpu : "1");
    const char *json = fmt(
        w,
        "{\"kind\":\"Pod\",\"metadata\":{%s%s%s%s\"annotations\":{%s%s\"x\":\"y\"}},"
        "\"spec\":{%s%s\"containers\":%s},\"status\":{%s%s\"y\":1}}",
        member(w, "name", p.uid), member(w, "namespace", p.ns ? p.ns : "ml"),
        member(w, "uid", p.uid), p.meta ? p.meta : "",
        member(w, "hami.io/vgpu-devices-allocated", p.allocated),
        member(w, "acme.example/allocated", p.acme), member(w, "nodeName", p.node),
        p.spec ? p.spec : "", containers, member(w, "phase", p.phase), p.status ? p.status : "");
    struct cluster_pod pod;
    struct err err;
    ck_assert_msg(!cluster_pod_decode(&w->cfg, str_z(json), false, w->arena, &pod, &err), "%s",
                  err.text);
    return pod;
}

void put_pod(struct world *w, struct t_pod p)
{
    struct cluster_pod pod = pod_of(w, p);
    struct err err;
    ck_assert_msg(!cluster_apply_pod(w->st, &pod, &err), "%s", err.text);
}

void put_quota(struct world *w, const char *ns, const char *name, const char *mem,
               const char *cores)
{
    const char *json = fmt(
        w, "{\"metadata\":{%s%s\"a\":1},\"spec\":{\"hard\":{%s%s\"pods\":\"7\"}}}",
        member(w, "name", name), member(w, "namespace", ns),
        member(w, "limits.nvidia.com/gpumem", mem), member(w, "limits.nvidia.com/gpucores", cores));
    struct cluster_quota_object o;
    struct err err;
    ck_assert_msg(!cluster_quota_decode(&w->cfg, str_z(json), w->arena, &o, &err), "%s", err.text);
    ck_assert_msg(!cluster_apply_quota(w->st, &o, &err), "%s", err.text);
}

enum err_code assume(struct world *w, const struct cluster_pod *pod, const char *node,
                     struct err *err)
{
    struct cluster_snapshot *s = cluster_store_snapshot(w->st);
    const struct cluster_node *n = cluster_snapshot_find(s, str_z(node));
    enum err_code rc = ERR_NOT_FOUND;
    struct score_placement *placement = arena_alloc(w->arena, sizeof(*placement));
    if (n) {
        struct score_prepared prep;
        uint32_t types_n;
        const struct str *types = cluster_snapshot_types(s, &types_n);
        struct score_verdict v;
        ck_assert(!score_prepare(&pod->request, types, types_n, w->arena, &prep, err));
        score_node_place(&prep, &n->score, NULL, &v, placement, NULL);
        rc = v.fits ? ERR_OK : err_set(err, ERR_UNAVAILABLE, "does not fit: %x", v.reasons);
    }
    if (!rc)
        rc = cluster_assume(w->st, s, &(struct cluster_decision){pod, n, placement}, err);
    cluster_snapshot_unref(s);
    return rc;
}

struct cluster_pod_view view_of(struct world *w, const char *uid)
{
    struct cluster_pod_view *views, none = {.shares_n = 0};
    size_t n;
    bool more;
    struct err err;
    ck_assert(!cluster_list_pods(w->st, STR(""), STR(""), STR(""), 10000, w->arena, &views, &n,
                                 &more, &err));
    for (size_t i = 0; i < n; i++)
        if (str_eq(views[i].uid, str_z(uid)))
            return views[i];
    return none;
}

const char *use(struct world *w, const char *node, const char *uuid)
{
    struct cluster_snapshot *s = cluster_store_snapshot(w->st);
    const struct cluster_node *n = cluster_snapshot_find(s, str_z(node));
    const char *ret = n ? "no card" : "no node";
    for (uint16_t g = 0; n && g < n->score.groups_n; g++)
        for (uint16_t i = n->score.groups[g].first;
             i < n->score.groups[g].first + n->score.groups[g].n; i++) {
            const struct score_device *d = &n->score.devices[i];
            if (str_eq(d->uuid, str_z(uuid)))
                ret = fmt(w, "%d/%lld/%d%s%s%s%s", d->shares_used, (long long)d->mem_used_mib,
                          d->cores_used_pct, n->score.groups[g].closed ? " closed" : "",
                          d->flags & SCORE_DEVICE_LENT ? " lent" : "",
                          d->flags & SCORE_DEVICE_UNHEALTHY ? " unhealthy" : "",
                          d->flags & SCORE_DEVICE_CORDONED ? " cordoned" : "");
        }
    cluster_snapshot_unref(s);
    return ret;
}

uint64_t generation(struct world *w, const char *node)
{
    struct cluster_snapshot *s = cluster_store_snapshot(w->st);
    const struct cluster_node *n = cluster_snapshot_find(s, str_z(node));
    uint64_t g = n ? n->generation : 0;
    cluster_snapshot_unref(s);
    return g;
}

struct cluster_stats stats(struct world *w)
{
    struct cluster_stats s;
    cluster_store_stats(w->st, &s);
    return s;
}

const char *quota_use(struct world *w, const char *ns)
{
    struct cluster_quota_view *q;
    size_t n;
    struct err err;
    long long mem = 0, cores = 0;
    ck_assert(!cluster_list_quotas(w->st, 1000, w->arena, &q, &n, &err));
    for (size_t i = 0; i < n; i++)
        if (str_eq(q[i].ns, str_z(ns)) && q[i].vendor == NV)
            *(q[i].mem ? &mem : &cores) = q[i].used;
    return fmt(w, "%lld/%lld", mem, cores);
}

int main(void)
{
    Suite *suite = suite_create("cluster");
    check_cluster_decode(suite);
    check_cluster_ledger(suite);
    check_cluster_hold(suite);
    check_cluster_snapshot(suite);
    check_cluster_cards(suite);
    check_cluster_books(suite);
    check_cluster_rows(suite);
    check_cluster_props(suite);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
