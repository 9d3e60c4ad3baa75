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

static uint16_t row(struct str key)
{
    uint16_t i = 0;
    while (!str_eq(vendor_at(vendors, i)->core.key, key))
        i++;
    return i;
}

/* A node with one card of each kind that is given out in pieces. */
static void put_cards(struct cluster_store *st)
{
    static const struct {
        struct str row;
        struct vendor_device card;
    } CARDS[] = {
        {STR_INIT("NVIDIA"),
         {.id = STR_INIT("GPU-a"), .bits = 0xff, .mig = true, .mem_mib = 40960, .cores_pct = 203}},
        {STR_INIT("AWSNeuron"), {.id = STR_INIT("d0"), .bits = 3, .cores_pct = 2}},
        {STR_INIT("Enflame"),
         {.id = STR_INIT("n-enflame-drs-0"), .mem_mib = 36864, .cores_pct = 100}},
        {STR_INIT("Metax-SGPU"), {.id = STR_INIT("a"), .mem_mib = 65536, .cores_pct = 100}},
        {STR_INIT("AMD"), {.id = STR_INIT("card-a"), .mem_mib = 196608, .cores_pct = 304}},
    };
    enum { N = sizeof(CARDS) / sizeof(CARDS[0]) };
    struct vendor_device devices[N];
    struct cluster_node_cards cards[N];
    for (int i = 0; i < N; i++) {
        devices[i] = CARDS[i].card;
        devices[i].type = devices[i].mode = STR("");
        devices[i].count = 7;
        devices[i].healthy = true;
        devices[i].zone = SCORE_ZONE_NONE;
        cards[i] = (struct cluster_node_cards){
            .vendor = row(CARDS[i].row), .devices = &devices[i], .devices_n = 1, .alive = true};
    }
    const struct cluster_node_object o = {.name = STR("n"),
                                          .uid = STR("n"),
                                          .resource_version = STR("1"),
                                          .cards = cards,
                                          .cards_n = N};
    assert(cluster_apply_node(st, &o, NULL) == ERR_OK);
}

/* No card shows bits that it does not have, and none are left when the last pod is gone. */
static void check_bits(struct cluster_store *st, bool unused)
{
    struct cluster_snapshot *s = cluster_store_snapshot(st);
    const struct cluster_node *n = cluster_snapshot_find(s, STR("n"));
    for (uint16_t g = 0; g < n->score.groups_n; g++)
        for (uint16_t i = 0; n->score.groups[g].traits && i < n->score.groups[g].n; i++) {
            const struct score_trait *t = &n->score.groups[g].traits[i];
            assert(!(t->bits_used & ~t->bits_total));
            assert(!unused || !(t->bits_used | t->online | t->offline | t->qos));
        }
    cluster_snapshot_unref(s);
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
        assert(p->shares[i].shares > 0);
    }
}

static void check_copy(const struct cluster_pod *p)
{
    struct cluster_pod *c = cluster_pod_clone(p);
    assert(c);
    assert(str_eq(c->uid, p->uid) && str_eq(c->name, p->name) && str_eq(c->node, p->node));
    assert(c->request.asks_n == p->request.asks_n && c->shares_n == p->shares_n);
    for (uint16_t i = 0; i < p->shares_n; i++)
        assert(str_eq(c->shares[i].uuid, p->shares[i].uuid) &&
               c->shares[i].bits == p->shares[i].bits &&
               c->shares[i].shares == p->shares[i].shares);
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
    put_cards(st);
    for (int bound = 0; bound < 2; bound++) {
        if (bound)
            p->node = STR("n");
        assert(cluster_apply_pod(st, p, NULL) == ERR_OK);
        check_bits(st, /* unused= */ false);
        cluster_store_stats(st, &a);
        assert(cluster_apply_pod(st, p, NULL) == ERR_OK);
        check_bits(st, /* unused= */ false); /* generations are given when somebody looks */
        cluster_store_stats(st, &b);
        assert(a.pods == b.pods && a.pods_charged == b.pods_charged &&
               a.generation == b.generation);
        assert(b.tampered == 0 && cluster_store_verify(st) == 0);
    }
    cluster_delete_pod(st, p->uid);
    cluster_store_stats(st, &b);
    assert(b.pods == 0 && cluster_store_verify(st) == 0);
    check_bits(st, /* unused= */ true);
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
