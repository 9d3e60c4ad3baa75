/* Nodes of every maker on their way from an object's JSON to a snapshot: what only some cards have
 * arrives there, is shared where it may be, changes the generation when it should, and is the same
 * in a simulated node. */
#include "check_cluster.h"

#include "cluster/priv.h"
#include "fail_alloc.h"

#include <string.h>

/* Rows say what matters to them and leave out the rest. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

static struct world w;
static void setup(void) { world_open_rows(&w); }
static void teardown(void) { world_close(&w); }

struct object { /* NULL: left out */
    const char *name, *notes, *labels, *capacity, *allocatable;
};

static struct cluster_node_object object_of(struct object n)
{
    struct cluster_node_object o;
    struct err err;
    const char *json =
        fmt(&w,
            "{\"metadata\":{\"name\":\"%s\",\"uid\":\"u-%s\",\"annotations\":{%s},\"labels\":{%s}},"
            "\"status\":{\"capacity\":{%s},\"allocatable\":{%s}}}",
            n.name, n.name, n.notes ? n.notes : "", n.labels ? n.labels : "",
            n.capacity ? n.capacity : "", n.allocatable ? n.allocatable : "");
    ck_assert_msg(!cluster_node_decode(&w.cfg, str_z(json), true, w.arena, &o, &err), "%s",
                  err.text);
    return o;
}

static void put(struct object n)
{
    struct err err;
    struct cluster_node_object o = object_of(n);
    ck_assert_msg(!cluster_apply_node(w.st, &o, &err), "%s", err.text);
}
#define PUT(...) put((struct object){__VA_ARGS__})

/* An annotation: its JSON value as a text. */
static const char *note(const char *key, const char *value)
{
    struct buf b;
    size_t n;
    buf_init(&b, 1 << 20);
    buf_json(&b, str_z(value));
    char *text = buf_take(&b, &n);
    const char *ret = fmt(&w, "\"%s\":%s", key, text);
    free(text);
    return ret;
}

/* "KEY:n index/type/mode/total/flags[,z,b,p] …" of all groups, with the topology behind it */
static const char *tell(const struct cluster_node *node)
{
    const struct score_node *s = &node->score;
    const char *out = "";
    for (uint16_t g = 0; g < s->groups_n; g++) {
        const struct score_group *group = &s->groups[g];
        out = fmt(&w, "%s%s" STR_FMT ":", out, g ? " " : "",
                  STR_ARG(vendor_at(w.vendors, group->vendor)->core.key));
        for (uint16_t i = 0; i < group->n; i++) {
            const struct score_device *d = &s->devices[group->first + i];
            const struct score_trait *t = group->traits ? &group->traits[i] : NULL;
            out = fmt(&w, "%s %d/%lld/%d/%x", out, d->index, (long long)d->mem_total_mib,
                      d->cores_total_pct, d->flags);
            if (t && t->zone != SCORE_ZONE_NONE)
                out = fmt(&w, "%s,z%d", out, t->zone);
            if (t && t->bits_total)
                out = fmt(&w, "%s,b%llx", out, (unsigned long long)t->bits_total);
            for (uint16_t p = 0; t && p < t->profiles_n; p++)
                out = fmt(&w, "%s," STR_FMT "=" STR_FMT, out,
                          STR_ARG(s->profiles[t->profile + p].name),
                          STR_ARG(s->profiles[t->profile + p].id));
        }
        const struct score_topology *t = group->topology;
        if (t)
            out = fmt(&w, "%s #%u%s%s%s%s", out, t->n, t->aligned ? " aligned" : "",
                      t->pair ? " pairs" : "", t->loss ? " loss" : "", t->gain ? " gain" : "");
    }
    for (uint16_t i = 0; i < node->faults_n; i++)
        out = fmt(&w, "%s !" STR_FMT, out,
                  STR_ARG(vendor_at(w.vendors, node->faults[i].vendor)->core.key));
    return out;
}

#define PAIR_LIST  "[{\"id\":\"a\",\"health\":true},{\"id\":\"b\",\"index\":1,\"health\":true}]"
#define PAIR_SCORE "[{\"uuid\":\"a\",\"score\":{\"b\":5}},{\"uuid\":\"b\",\"score\":{\"a\":5}}]"
#define SLICE      "{\"name\":\"1g.5gb\",\"memoryMB\":5,\"core\":3,\"placements\":[{\"size\":1}]}"

static const struct row {
    const char *name;
    struct {
        const char *key, *value;
    } notes[5];
    const char *labels, *capacity, *allocatable, *want;
} ROWS[] = {
    {"two cards and their pair",
     {{"hami.io/node-nvidia-register", PAIR_LIST}, {"hami.io/node-nvidia-score", PAIR_SCORE}},
     NULL,
     NULL,
     "\"nvidia.com/gpu\":2",
     "NVIDIA: 0/0/0/0 1/0/0/0 #2 pairs"},
    {"pairs that can't be read take no card (E-7)",
     {{"hami.io/node-nvidia-register", PAIR_LIST}, {"hami.io/node-nvidia-score", "{}"}},
     NULL,
     NULL,
     "\"nvidia.com/gpu\":2",
     "NVIDIA: 0/0/0/0 1/0/0/0 !NVIDIA"},
    {"a plugin that is gone",
     {{"hami.io/node-nvidia-register", PAIR_LIST}},
     NULL,
     "\"nvidia.com/gpu\":2",
     NULL,
     "NVIDIA: 0/0/0/1 1/0/0/1"},
    {"a handshake is nothing to us (E-10; cross_defect_d3)",
     {{"hami.io/node-nvidia-register", PAIR_LIST},
      {"hami.io/node-handshake", "Requesting_2020-01-01 00:00:00"},
      {"hami.io/node-handshake-dcu", "Requesting_2020-01-01 00:00:00"}},
     NULL,
     NULL,
     "\"nvidia.com/gpu\":2",
     "NVIDIA: 0/0/0/0 1/0/0/0"},
    {"slices",
     {{"hami.io/node-nvidia-register",
       "[{\"id\":\"a\",\"mode\":\"mig\",\"health\":true,\"migProfiles\":[" SLICE "]}]"}},
     NULL,
     NULL,
     "\"nvidia.com/gpu\":2",
     "NVIDIA: 0/0/3/4,b1,1g.5gb="},
    {"a slice that can't be",
     {{"hami.io/node-nvidia-register",
       "[{\"id\":\"a\",\"mode\":\"mig\",\"health\":true,\"migProfiles\":[{}]}]"}},
     NULL,
     NULL,
     "\"nvidia.com/gpu\":2",
     "NVIDIA: 0/0/0/5 !NVIDIA"},
    {"one annotation of several rows",
     {{"hami.io/node-register-Ascend910B3", "[{\"id\":\"a\",\"type\":\"Ascend910B3\",\"health\":"
                                            "true,\"custominfo\":{\"NetworkID\":1}}]"},
      {"hami.io/node-register-Ascend310P", "[{\"id\":\"b\",\"type\":\"x\",\"health\":true}]"},
      {"hami-vnpu-core", "true"}},
     NULL,
     NULL,
     "\"huawei.com/Ascend910B3\":1,\"huawei.com/Ascend310P\":1",
     "Ascend910B3: 0/0/100/20,z1 Ascend310P: 0/0/100/30"},
    {"the text list",
     {{"hami.io/node-dcu-register", "D,4,65520,100,DCU-K100,0,true:"}},
     NULL,
     NULL,
     "\"hygon.com/dcunum\":4",
     "DCU: 0/65520/100/0"},
    {"made from capacity, two makers",
     {{NULL}},
     NULL,
     "\"cambricon.com/mlu.smlu.vcore\":200,\"cambricon.com/mlu.smlu.vmemory\":\"192\","
     "\"mthreads.com/sgpu-core\":16,\"mthreads.com/sgpu-memory\":96",
     NULL,
     "MLU: 0/24576/100/0 1/24576/100/0 Mthreads: 0/49152/16/0"},
    {"made from capacity, and the plugin gone",
     {{NULL}},
     NULL,
     "\"enflame.com/gcu\":1",
     "\"enflame.com/gcu\":0",
     "GCU: 0/100/100/1"},
    {"a capacity that is none", {{NULL}}, NULL, "\"enflame.com/gcu\":\"1500m\"", NULL, " !GCU"},
    {"no capacity any more (cambricon_defect_m4, cross_defect_d4)",
     {{NULL}},
     NULL,
     "\"enflame.com/gcu\":\"0\"",
     NULL,
     ""},
    {"tables",
     {{"metax-tech.com/gpu.topology.losses", "{\"1\":0}"},
      {"metax-tech.com/gpu.topology.scores", "{\"1\":3}"}},
     NULL,
     "\"metax-tech.com/gpu\":1",
     NULL,
     "Metax-GPU: 0/65536/100/0 #1 loss gain"},
    {"tables without cards",
     {{"metax-tech.com/gpu.topology.losses", "{\"1\":0}"}},
     NULL,
     NULL,
     NULL,
     ""},
    {"shared cards beside whole ones (D0.3)",
     {{"metax-tech.com/node-gpu-devices", "[{\"uuid\":\"a\",\"healthy\":true,\"linkZone\":2}]"}},
     NULL,
     "\"metax-tech.com/gpu\":1",
     NULL,
     "Metax-GPU: 0/65536/100/0 Metax-SGPU: 0/0/0/0,z2"},
    {"slices of few sizes",
     {{"enflame.com/gcu-drs-capacity",
       "{\"devices\":[{\"index\":\"0\",\"capacity\":2}],\"profiles\":{\"1g.5gb\":\"7\"}}"}},
     NULL,
     NULL,
     NULL,
     "Enflame: 0/5120/200/0,1g.5gb=7"},
    {"cores and the kind of machine",
     {{NULL}},
     "\"node.kubernetes.io/instance-type\":\"trn1.2xlarge\"",
     "\"aws.amazon.com/neuron\":1,\"aws.amazon.com/neuroncore\":2",
     NULL,
     "AWSNeuron: 0/0/2/0,b3 #1 aligned"},
    {"another kind",
     {{NULL}},
     "\"node.kubernetes.io/instance-type\":\"inf2.xlarge\"",
     "\"aws.amazon.com/neuron\":1,\"aws.amazon.com/neuroncore\":2",
     NULL,
     "AWSNeuron: 0/0/2/0,b3 #1"},
    {"dies",
     {{"hami.io/node-va-register", "[{\"id\":\"d\",\"type\":\"Vastai\",\"health\":true,"
                                   "\"custominfo\":{\"DeviceStrategy\":\"die\","
                                   "\"AIC\":\"9\"}}]"}},
     NULL,
     NULL,
     "\"vastaitech.com/va\":1",
     "Vastai: 0/0/100/0,z0"},
    {"[null] of one maker leaves the others",
     {{"hami.io/node-va-register", "[null]"},
      {"hami.io/node-biren-register", "[{\"id\":\"b\",\"type\":\"Biren\",\"health\":true}]"},
      {"hami.io/node-amd-register",
       "[{\"id\":\"c\",\"type\":\"AMD X\",\"health\":true,\"devcore\":304}]"},
      {"hami.io/node-register-xpu", "[{\"id\":\"x\",\"type\":\"XPU\",\"health\":true}]"}},
     NULL,
     NULL,
     "\"vastaitech.com/va\":1,\"birentech.com/gpu\":1,\"amd.com/gpu\":1,\"kunlunxin.com/vxpu\":1",
     "XPU: 0/0/0/0 AMD: 0/0/304/0 Biren: 0/0/100/0 !Vastai"},
};

static struct object object_from(const struct row *r, const char *name)
{
    const char *notes = "";
    for (int i = 0; i < COUNT(r->notes) && r->notes[i].key; i++)
        notes = fmt(&w, "%s%s%s", notes, i ? "," : "", note(r->notes[i].key, r->notes[i].value));
    return (struct object){name, notes, r->labels, r->capacity, r->allocatable};
}

START_TEST(arrives)
{
    const struct row *r = &ROWS[_i];
    struct err err;
    put(object_from(r, "n1"));
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    const char *got = tell(cluster_snapshot_find(s, STR("n1")));
    ck_assert_msg(strcmp(got, r->want) == 0, "%s: want \"%s\", got \"%s\"", r->name, r->want, got);
    /* told again nothing changes */
    put(object_from(r, "n1"));
    struct cluster_snapshot *again = cluster_store_snapshot(w.st);
    ck_assert_msg(again == s, "%s", r->name);
    cluster_snapshot_unref(again);
    /* a node from outside is the same */
    struct cluster_node_object o = object_of(object_from(r, "n1"));
    struct cluster_node sim;
    ck_assert(!cluster_snapshot_simulate(s, &w.cfg, &o, w.arena, &sim, &err));
    ck_assert_str_eq(tell(&sim), r->want);
    o = object_of(object_from(r, "n2"));
    ck_assert(!cluster_snapshot_simulate(s, &w.cfg, &o, w.arena, &sim, &err));
    ck_assert_str_eq(tell(&sim), r->want);
    cluster_snapshot_unref(s);
}
END_TEST

static const struct score_topology *topology_on(const struct cluster_snapshot *s, const char *node)
{
    return cluster_snapshot_find(s, str_z(node))->score.groups[0].topology;
}

static struct object pair_node(const char *name, int value)
{
    const char *notes = fmt(
        &w, "%s,%s", note("hami.io/node-nvidia-register", PAIR_LIST),
        note("hami.io/node-nvidia-score",
             fmt(&w,
                 "[{\"uuid\":\"a\",\"score\":{\"b\":%d}},{\"uuid\":\"b\",\"score\":{\"a\":%d}}]",
                 value, value)));
    return (struct object){name, notes, NULL, NULL, "\"nvidia.com/gpu\":2"};
}

/* Machines of one kind share their numbers and the table of bounds; others don't. What nobody uses
 * any more goes, what a snapshot still shows stays. */
START_TEST(topologies_are_shared)
{
    put(pair_node("n1", 5));
    put(pair_node("n2", 5));
    put(pair_node("n3", 6));
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    const struct score_topology *t = topology_on(s, "n1");
    ck_assert_ptr_eq(t, topology_on(s, "n2"));
    ck_assert_ptr_ne(t, topology_on(s, "n3"));
    ck_assert_ptr_nonnull(t->bound);
    ck_assert_int_eq(t->bound[3 * 3 + 2], 5); /* both cards */
    ck_assert_int_eq(topology_on(s, "n3")->bound[3 * 3 + 2], 6);
    const uint64_t before = generation(&w, "n1");
    put(pair_node("n1", 7));
    ck_assert_msg(generation(&w, "n1") != before, "it decides");
    /* thousands of kinds, one after the other on one node */
    for (int i = 0; i < 3000; i++)
        put(pair_node("n2", 100 + i));
    ck_assert_uint_le(w.st->topologies.of.n, 1024 + 1);
    ck_assert_uint_le(w.st->topologies.bounds_n, w.st->topologies.of.n);
    ck_assert_int_eq(topology_on(s, "n2")->pair[1], 5);
    cluster_snapshot_unref(s);
}
END_TEST

/* More kinds at a time than tables are made for: the others do without. */
START_TEST(bounds_are_bounded)
{
    for (int i = 0; i < 1100; i++)
        put(pair_node(fmt(&w, "n%d", i), 1 + i));
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    int with = 0;
    for (int i = 0; i < 1100; i++) {
        const struct score_topology *t = topology_on(s, fmt(&w, "n%d", i));
        ck_assert_int_eq(t->pair[1], 1 + i);
        with += t->bound != NULL;
    }
    ck_assert_int_eq(with, 1024);
    cluster_snapshot_unref(s);
}
END_TEST

/* The cores of a device are those of its own node (neuron_defect_d4_1). */
START_TEST(neuron_defect_d4_1_cores_per_node)
{
    PUT("n1", .capacity = "\"aws.amazon.com/neuron\":1,\"aws.amazon.com/neuroncore\":4");
    PUT("n2", .capacity = "\"aws.amazon.com/neuron\":1,\"aws.amazon.com/neuroncore\":2");
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    ck_assert_str_eq(tell(cluster_snapshot_find(s, STR("n1"))), "AWSNeuron: 0/0/4/0,bf #1 aligned");
    ck_assert_str_eq(tell(cluster_snapshot_find(s, STR("n2"))), "AWSNeuron: 0/0/2/0,b3 #1 aligned");
    cluster_snapshot_unref(s);
}
END_TEST

/* What decides changes the generation, what does not leaves it. */
START_TEST(generations)
{
    const char *list =
        "[{\"id\":\"a\",\"type\":\"Vastai\",\"custominfo\":{\"DeviceStrategy\":\"%s\","
        "\"AIC\":\"%s\"}},{\"id\":\"b\",\"index\":1,\"type\":\"Vastai\",\"custominfo\":"
        "{\"DeviceStrategy\":\"die\",\"AIC\":\"9\"}}]";
    const struct {
        const char *strategy, *card;
        bool moves;
    } STEPS[] = {{"die", "9", true},
                 {"die", "9", false},
                 {"die", "8", true},
                 {"die", "7", false},
                 {"card", "7", true}};
    uint64_t last = 0;
    for (int i = 0; i < COUNT(STEPS); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        PUT("n1", .notes = note("hami.io/node-va-register",
                                fmt(&w, list, STEPS[i].strategy, STEPS[i].card)));
#pragma GCC diagnostic pop
        const uint64_t now = generation(&w, "n1");
        ck_assert_msg((now != last) == STEPS[i].moves, "step %d", i);
        last = now;
    }
}
END_TEST

/* Profiles move with the node: a group's are behind those of the groups before it. */
START_TEST(profiles_of_two_makers)
{
    PUT("n1", .notes = fmt(&w, "%s,%s",
                           note("hami.io/node-nvidia-register",
                                "[{\"id\":\"a\",\"mode\":\"mig\",\"migProfiles\":[" SLICE "]}]"),
                           note("enflame.com/gcu-drs-capacity",
                                "{\"devices\":[{\"index\":\"0\",\"capacity\":2}],\"profiles\":{"
                                "\"1g.5gb\":\"7\",\"2g.10gb\":\"8\"}}")));
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    ck_assert_str_eq(tell(cluster_snapshot_find(s, STR("n1"))),
                     "NVIDIA: 0/0/3/5,b1,1g.5gb= Enflame: 0/10240/100/0,1g.5gb=7,2g.10gb=8");
    cluster_snapshot_unref(s);
}
END_TEST

/* More cards than a node may have, by all makers together: what comes last is refused, with a text.
 */
START_TEST(too_many_of_all)
{
    PUT("n1", .capacity = "\"metax-tech.com/gpu\":200,\"enflame.com/gcu\":100");
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    const struct cluster_node *n = cluster_snapshot_find(s, STR("n1"));
    ck_assert_int_eq(n->score.devices_n, 200);
    ck_assert_int_eq(n->broken_n, 1);
    ck_assert(str_contains(n->faults[0].text, STR("more than 256 cards")));
    cluster_snapshot_unref(s);
}
END_TEST

/* Texts of the topology that are too long are not read; the cards are. */
START_TEST(long_topology)
{
    w.cfg.annotation_max = 200;
    struct object o = pair_node("n1", 5);
    char *many = arena_alloc(w.arena, 1000);
    memset(many, ' ', 999);
    o.notes = fmt(&w, "%s,\"hami.io/node-nvidia-score\":\"%s[]\"", o.notes, many);
    struct cluster_node_object node = object_of(o);
    ck_assert_int_eq(node.cards_n, 1);
    ck_assert_int_eq(node.cards[0].devices_n, 2);
    ck_assert(str_contains(node.cards[0].topology_fault, STR("too long")));
}
END_TEST

/* Without memory a node is refused and the one before it stands; nothing is lost. */
START_TEST(without_memory)
{
    struct err err;
    int refused = 0;
    put(pair_node("n1", 5));
    for (int i = 0; i < COUNT(ROWS); i++) {
        struct cluster_node_object o = object_of(object_from(&ROWS[i], "n1"));
        for (unsigned n = 1;; n++) {
            fail_alloc_at(n);
            enum err_code rc = cluster_apply_node(w.st, &o, &err);
            if (!fail_alloc_off()) {
                ck_assert_int_eq(rc, ERR_OK);
                break;
            }
            if (rc == ERR_OK) /* what failed is the ledger's check of itself */
                continue;
            ck_assert_int_eq(rc, ERR_NO_MEMORY);
            refused++;
            struct cluster_snapshot *s = cluster_store_snapshot(w.st);
            ck_assert_str_eq(tell(cluster_snapshot_find(s, STR("n1"))),
                             i ? ROWS[i - 1].want : ROWS[0].want);
            cluster_snapshot_unref(s);
        }
        ck_sound(&w);
    }
    ck_assert_int_ge(refused, COUNT(ROWS)); /* at least the node itself */
}
END_TEST

/* A lock that is a bare time is one maker's, and says nothing of the others' plugins. */
START_TEST(locks)
{
    const char *own = note("cambricon.com/dsmlu.lock", "2026-09-21T14:13:20Z");
    struct cluster_node_object o = object_of((struct object){"n1", own, NULL, NULL, NULL});
    ck_assert_ptr_null(o.lock.p);
    const char *both =
        fmt(&w, "%s,%s", note("hami.io/mutex.lock", "2026-09-21T14:13:20Z,ml,p"), own);
    o = object_of((struct object){"n1", both, NULL, NULL, NULL});
    ck_assert(str_eq(o.lock, STR("2026-09-21T14:13:20Z,ml,p")));
}
END_TEST

/* Go's maps: a null empties, the last of several counts. */
START_TEST(maps)
{
    struct cluster_node_object o;
    struct err err;
    const char *capacity = "\"capacity\":{\"enflame.com/gcu\":1},\"capacity\":";
    ck_assert(!cluster_node_decode(
        &w.cfg, str_z(fmt(&w, "{\"metadata\":{\"name\":\"n\"},\"status\":{%snull}}", capacity)),
        true, w.arena, &o, &err));
    ck_assert_int_eq(o.cards_n, 0);
    ck_assert(!cluster_node_decode(
        &w.cfg,
        str_z(fmt(&w, "{\"metadata\":{\"name\":\"n\"},\"status\":{%s{\"enflame.com/gcu\":2}}}",
                  capacity)),
        true, w.arena, &o, &err));
    ck_assert_int_eq(o.cards[0].devices_n, 2);
}
END_TEST

void check_cluster_cards(Suite *suite)
{
    TCase *tc = tcase_create("cards");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, arrives, 0, COUNT(ROWS));
    tcase_add_test(tc, topologies_are_shared);
    tcase_add_test(tc, bounds_are_bounded);
    tcase_add_test(tc, neuron_defect_d4_1_cores_per_node);
    tcase_add_test(tc, generations);
    tcase_add_test(tc, profiles_of_two_makers);
    tcase_add_test(tc, too_many_of_all);
    tcase_add_test(tc, long_topology);
    tcase_add_test(tc, maps);
    tcase_add_test(tc, locks);
    tcase_add_test(tc, without_memory);
    suite_add_tcase(suite, tc);
}
