/* Pods: what is decoded is within its bounds, a copy says the same, and the ledger that takes it,
 * first and again, bound or not, is sound, changes nothing when it is said twice, and is empty once
 * the pod is gone. */
#include "cluster/cluster.h"

#include <assert.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vendor_table *vendors; /* read only once it is there */

static struct cluster_store *store(void)
{
    struct cluster_config cfg = {.vendors = vendors, .nodes_max = 8, .pods_max = 8, .hash_seed = 1};
    struct cluster_store *st;
    assert(cluster_store_new(&cfg, &st, NULL) == ERR_OK);
    return st;
}

static void check_bounds(const struct cluster_pod *p)
{
    assert(p->name.n > 0 && p->containers_n <= SCORE_CONTAINERS_MAX);
    assert(p->shares_n <= SCORE_PARTS_MAX && p->request.asks_n <= SCORE_ASKS_MAX);
    assert(p->cpu_milli >= 0 && p->memory_mib >= 0);
    assert(p->wants != CLUSTER_WANTS_CARDS || score_request_check(&p->request, NULL) == ERR_OK);
    assert(p->wants != CLUSTER_WANTS_REFUSED || p->refused_text.n > 0);
    for (uint16_t i = 0; i < p->request.asks_n; i++)
        assert(p->vendors_asked >> p->request.asks[i].vendor & 1);
    for (uint16_t i = 0; i < p->shares_n; i++) {
        assert(p->shares[i].container < p->containers_n && p->shares[i].uuid.n > 0);
        assert(p->shares[i].mem_mib >= 0 && p->shares[i].cores_pct >= 0);
    }
}

static void check_copy(const struct cluster_pod *p)
{
    struct cluster_pod *c = cluster_pod_clone(p);
    assert(c);
    assert(str_eq(c->uid, p->uid) && str_eq(c->name, p->name) && str_eq(c->node, p->node));
    assert(c->request.asks_n == p->request.asks_n && c->shares_n == p->shares_n);
    for (uint16_t i = 0; i < p->shares_n; i++)
        assert(str_eq(c->shares[i].uuid, p->shares[i].uuid));
    for (uint16_t i = 0; i < p->containers_n; i++)
        assert(str_eq(c->container_names[i], p->container_names[i]) && c->steps[i] == p->steps[i]);
    check_bounds(c);
    free(c);
}

static void check_ledger(struct cluster_pod *p)
{
    struct cluster_store *st = store();
    struct cluster_stats a, b;
    if (p->uid.n == 0)
        p->uid = STR("u");
    for (int bound = 0; bound < 2; bound++) {
        if (bound)
            p->node = STR("n");
        assert(cluster_apply_pod(st, p, NULL) == ERR_OK);
        cluster_store_stats(st, &a);
        cluster_snapshot_unref(cluster_store_snapshot(st));
        assert(cluster_apply_pod(st, p, NULL) == ERR_OK);
        cluster_store_stats(st, &b);
        assert(a.pods == b.pods && a.pods_charged == b.pods_charged &&
               a.generation == b.generation);
        assert(b.tampered == 0 && cluster_store_verify(st) == 0);
    }
    cluster_delete_pod(st, p->uid);
    cluster_store_stats(st, &b);
    assert(b.pods == 0 && cluster_store_verify(st) == 0);
    cluster_store_free(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!vendors)
        assert(vendor_table_builtin(&vendors, NULL) == ERR_OK);
    struct cluster_config cfg = {.vendors = vendors, .annotation_max = 4096};
    for (int fold = 0; fold < 2; fold++) {
        struct arena *arena = arena_new(64 << 20);
        struct cluster_pod pod;
        struct err err = {0};
        enum err_code rc = cluster_pod_decode(&cfg, (struct str){(const char *)data, size}, fold,
                                              arena, &pod, &err);
        if (rc) {
            assert(rc == ERR_BAD_REQUEST && err.text[0]);
        } else {
            check_bounds(&pod);
            check_copy(&pod);
            check_ledger(&pod);
        }
        arena_free(arena);
    }
    return 0;
}
