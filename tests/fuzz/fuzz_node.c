/* Nodes: what is decoded is within its bounds; the store that takes it twice keeps its generation,
 * simulates the same node, and is empty once the node is gone. */
#include "cluster/cluster.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vendor_table *vendors; /* read only once it is there */

static void check_cards(const struct cluster_node_object *o)
{
    unsigned devices = 0;
    for (uint16_t i = 0; i < o->cards_n; i++) {
        const struct cluster_node_cards *c = &o->cards[i];
        assert(i == 0 || o->cards[i - 1].vendor < c->vendor);
        assert(!c->broken.p || c->devices_n == 0);
        devices += c->devices_n;
        for (uint16_t k = 0; k < c->devices_n; k++)
            assert(c->devices[k].id.n > 0 && c->devices[k].mem_mib >= 0 &&
                   c->devices[k].count >= 0);
    }
    assert(devices <= SCORE_DEVICES_MAX && o->name.n > 0);
    assert(o->cpu_alloc_milli >= 0 && o->memory_alloc_mib >= 0);
}

/* What only some cards have is the same in the store and beside it. */
static void check_groups(const struct score_node *a, const struct score_node *b)
{
    for (uint16_t g = 0; g < a->groups_n; g++) {
        const struct score_group *x = &a->groups[g], *y = &b->groups[g];
        assert(x->vendor == y->vendor && x->first == y->first && x->n == y->n);
        assert(!x->traits == !y->traits && !x->topology == !y->topology);
        assert(!x->topology || x->topology->n == x->n);
        for (uint16_t i = 0; x->traits && i < x->n; i++) {
            const struct score_trait *s = &x->traits[i], *t = &y->traits[i];
            assert(s->bits_total == t->bits_total && s->zone == t->zone && !s->bits_used);
            assert(s->profile == t->profile && s->profiles_n == t->profiles_n);
            assert(s->profile + s->profiles_n <= a->profiles_n);
            for (uint16_t k = s->profile; k < s->profile + s->profiles_n; k++)
                assert(str_eq(a->profiles[k].name, b->profiles[k].name));
        }
    }
}

static void check_store(const struct cluster_config *cfg, const struct cluster_node_object *o,
                        struct arena *arena)
{
    struct cluster_store *st;
    struct cluster_node sim;
    assert(cluster_store_new(cfg, &st, NULL) == ERR_OK);
    assert(cluster_apply_node(st, o, NULL) == ERR_OK);
    struct cluster_snapshot *a = cluster_store_snapshot(st);
    assert(cluster_apply_node(st, o, NULL) == ERR_OK);
    struct cluster_snapshot *b = cluster_store_snapshot(st);
    assert(a == b); /* nothing has changed */
    const struct cluster_node *n = cluster_snapshot_find(b, o->name);
    assert((n != NULL) == !o->ignored);
    assert(cluster_snapshot_simulate(b, cfg, o, arena, &sim, NULL) == ERR_OK);
    assert(!n ||
           (n->score.devices_n == sim.score.devices_n && n->score.groups_n == sim.score.groups_n));
    if (n) {
        check_groups(&n->score, &sim.score);
        assert(n->faults_n == sim.faults_n && n->broken_n >= sim.broken_n);
    }
    for (uint16_t i = 0; n && i < n->score.devices_n; i++) {
        const struct score_device *x = &n->score.devices[i], *y = &sim.score.devices[i];
        assert(str_eq(x->uuid, y->uuid) && x->flags == y->flags && x->type < n->score.types_n);
        assert(str_eq(n->score.types[x->type], sim.score.types[y->type]));
    }
    cluster_snapshot_unref(a);
    cluster_snapshot_unref(b);
    cluster_delete_node(st, o->name, o->uid);
    struct cluster_stats stats;
    cluster_store_stats(st, &stats);
    assert(stats.nodes == 0 && cluster_store_verify(st) == 0);
    cluster_store_free(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct str SELECTOR[] = {STR_INIT("gpu"), STR_INIT("on")};
    if (!vendors)
        assert(vendor_table_builtin(&vendors, NULL) == ERR_OK);
    for (int way = 0; way < 4; way++) {
        struct cluster_config cfg = {.vendors = vendors, .nodes_max = 8, .hash_seed = 1};
        if (way & 2) {
            cfg.node_selector = SELECTOR;
            cfg.node_selector_n = 2;
        }
        struct arena *arena = arena_new(64 << 20);
        struct cluster_node_object o;
        struct err err = {0};
        enum err_code rc = cluster_node_decode(&cfg, (struct str){(const char *)data, size},
                                               way & 1, arena, &o, &err);
        if (rc) {
            assert(rc == ERR_BAD_REQUEST && err.text[0]);
        } else {
            check_cards(&o);
            check_store(&cfg, &o, arena);
        }
        arena_free(arena);
    }
    return 0;
}
