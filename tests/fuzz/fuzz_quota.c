/* Quotas: limits are never negative, each thing has one; the store shows them and is empty once the
 * quota is gone. */
#include "cluster/cluster.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vendor_table *vendors; /* read only once it is there */

static void check_store(const struct cluster_config *cfg, const struct cluster_quota_object *q)
{
    struct cluster_store *st;
    struct score_quota left[SCORE_VENDORS_MAX];
    assert(cluster_store_new(cfg, &st, NULL) == ERR_OK);
    for (int i = 0; i < 2; i++)
        assert(cluster_apply_quota(st, q, NULL) == ERR_OK);
    uint16_t n = cluster_quota_left(st, q->ns, STR("u"), 0, left), limits = 0;
    for (uint16_t i = 0; i < n; i++) {
        limits = (uint16_t)(limits + left[i].mem_set + left[i].cores_set);
        assert(left[i].mem_left_mib >= 0 && left[i].cores_left_pct >= 0);
    }
    assert(limits == q->limits_n);
    cluster_delete_quota(st, q->ns, q->name);
    assert(cluster_quota_left(st, q->ns, STR("u"), 0, left) == 0 && cluster_store_verify(st) == 0);
    cluster_store_free(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!vendors)
        assert(vendor_table_builtin(&vendors, NULL) == ERR_OK);
    struct cluster_config cfg = {.vendors = vendors, .nodes_max = 8, .hash_seed = 1};
    struct arena *arena = arena_new(64 << 20);
    struct cluster_quota_object q;
    struct err err = {0};
    struct str text = {(const char *)data, size}, ns, name, uid;
    enum err_code rc = cluster_quota_decode(&cfg, text, arena, &q, &err);
    if (rc) {
        assert(rc == ERR_BAD_REQUEST && err.text[0]);
    } else {
        for (uint16_t i = 0; i < q.limits_n; i++) {
            assert(q.limits[i].limit >= 0);
            for (uint16_t k = 0; k < i; k++)
                assert(q.limits[i].vendor != q.limits[k].vendor ||
                       q.limits[i].mem != q.limits[k].mem);
        }
        check_store(&cfg, &q);
        assert(cluster_identity_decode(text, arena, &ns, &name, &uid, &err) == ERR_OK);
        assert(str_eq(ns, q.ns) && str_eq(name, q.name));
    }
    arena_free(arena);
    return 0;
}
