/* What only some makers' rows ask of the decision: sets of cards, slices, bits, units, profiles,
 * and checks of their own. The examples are the contract's. */
#include "check_score.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows say what matters to them and leave out the rest. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define R(name) SCORE_BIT(SCORE_##name)
#define SLOTS   R(CARD_TIME_SLICING_EXHAUSTED)
#define SOME    R(ALLOCATED_CARDS_INSUFFICIENT_REQUEST)
#define NUMA    R(NUMA_NOT_FIT)
#define MEMORY  R(CARD_INSUFFICIENT_MEMORY)
#define CORE    R(CARD_INSUFFICIENT_CORE)
#define PLACE   R(CARD_MIG_TOPOLOGY_INFEASIBLE)
#define CLASH   R(EXCLUSIVE_DEVICE_ALLOCATE_CONFLICT)
#define INIT    SCORE_STEP_INIT
#define SIDE    SCORE_STEP_SIDECAR
#define APP     SCORE_STEP_APP

static void cards_text(const struct score_placement *pl, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < pl->parts_n && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%u", i ? " " : "", pl->parts[i].device);
}

static void wants(const char *name, const struct result *r, const char *cards,
                  score_reasons reasons)
{
    char got[128];
    cards_text(&r->placement, got, sizeof(got));
    ck_assert_msg(strcmp(got, cards) == 0, "%s: want \"%s\", got \"%s\" (%#x)", name, cards, got,
                  r->v.reasons);
    ck_assert_msg(r->v.reasons == reasons, "%s: want %#x, got %#x", name, reasons, r->v.reasons);
}

/* A pod that takes cards by their index where nothing else is said. */
static void pod_plain(struct pod *p)
{
    pod_init(p);
    p->req.policy.card[0] = p->req.policy.card[1] = SCORE_KEY_NONE;
}

static struct score_selection *selects(struct pod *p, uint16_t vendor)
{
    p->req.selections_n = 1;
    p->selection = (struct score_selection){.vendor = vendor};
    return &p->selection;
}

/* ---- which cards together: a row is a pod on one node; asks are in the contract's order ---- */

#define Z SCORE_ZONE_NONE
static const struct set_row {
    const char *name;
    uint16_t vendor;
    uint8_t n;        /* cards */
    const char *busy; /* indices that others use up */
    int32_t zone[8];  /* has_zones */
    int32_t numa[8];
    bool has_zones, numa_bind, runs, bits;
    struct {
        int32_t count, cores;
    } asks[3];
    const char *want;
    score_reasons reasons;
    bool never;
} SETS[] = {
    // clang-format off
    {"vendors-a 1.7 T: seven free, four of the first zone", V_ZONES, 8, "7", {0,0,0,0,1,1,1,1}, .has_zones = true, .asks = {{4}}, .want = "0 1 2 3"},
    {"the larger zone first", V_ZONES, 8, "0", {0,0,0,0,1,1,1,1}, .has_zones = true, .asks = {{4}}, .want = "4 5 6 7"},
    {"more than the largest zone has", V_ZONES, 8, "0", {0,0,0,0,1,1,1,1}, .has_zones = true, .asks = {{5}}, .want = "4 5 6 7 1"},
    {"all that there are: as they stand", V_ZONES, 4, "", {1,0,1,0}, .has_zones = true, .asks = {{4}}, .want = "0 1 2 3"},
    {"one: the first", V_ZONES, 4, "", {1,0,0,0}, .has_zones = true, .asks = {{1}}, .want = "0"},
    {"ascend_defect_a4: a card without a zone is not dropped, all go one by one", V_ZONES, 4, "", {0,Z,1,1}, .has_zones = true, .asks = {{2}}, .want = "0 1"},
    {"ascend_defect_a4: too few is too few", V_ZONES, 4, "0 1 2", {0,0,1,1}, .has_zones = true, .asks = {{2}}, .want = "", .reasons = SLOTS | SOME},

    {"vendors-a 1.7 P: modules 0 and 2", V_MODULES, 8, "3 6 7", .asks = {{4}}, .want = "0 1 4 5"},
    {"vendors-a 1.7 P: one whole module is too few", V_MODULES, 8, "3 5 7", .asks = {{4}}, .want = "", .reasons = SLOTS | SOME},
    {"vendors-a 1.7 P: two halves are none", V_MODULES, 4, "1 3", .asks = {{2}}, .want = "", .reasons = SLOTS | SOME},
    {"ascend_defect_a2: an odd number never fits", V_MODULES, 8, "", .asks = {{3}}, .want = "", .reasons = SOME, .never = true},
    {"one card of any module", V_MODULES, 4, "0", .asks = {{1}}, .want = "1"},
    {"the larger ask is placed first", V_MODULES, 4, "3", .asks = {{1, 100}, {2, 100}}, .want = "2 0 1"},
    {"and the other way round", V_MODULES, 4, "3", .asks = {{2, 100}, {1, 100}}, .want = "0 1 2"},
    {"modules of two containers", V_MODULES, 6, "3", .asks = {{2, 100}, {1, 100}, {2, 100}}, .want = "0 1 2 4 5"},

    {"vendors-b 3g: none used, 1", V_WINGS, 8, "", .asks = {{1, 100}}, .want = "0"},
    {"vendors-b 3g: none used, 2", V_WINGS, 8, "", .asks = {{2, 100}}, .want = "0 1"},
    {"vendors-b 3g: none used, 4", V_WINGS, 8, "", .asks = {{4, 100}}, .want = "0 1 2 3"},
    {"vendors-b 3g: none used, 8", V_WINGS, 8, "", .asks = {{8, 100}}, .want = "0 1 2 3 4 5 6 7"},
    {"vendors-b 3g: 1 used, 1", V_WINGS, 8, "1", .asks = {{1, 100}}, .want = "0"},
    {"vendors-b 3g: 1 used, 2", V_WINGS, 8, "1", .asks = {{2, 100}}, .want = "0 2"},
    {"vendors-b 3g: 1 used, 4", V_WINGS, 8, "1", .asks = {{4, 100}}, .want = "4 5 6 7"},
    {"vendors-b 3g: 6, 7 used, 1", V_WINGS, 8, "6 7", .asks = {{1, 100}}, .want = "4"},
    {"vendors-b 3g: 6, 7 used, 2", V_WINGS, 8, "6 7", .asks = {{2, 100}}, .want = "4 5"},
    {"vendors-b 3g: 0, 1, 4, 5, 6 used, 1", V_WINGS, 8, "0 1 4 5 6", .asks = {{1, 100}}, .want = "7"},
    {"vendors-b 3g: 0, 1, 4, 5, 6 used, 2", V_WINGS, 8, "0 1 4 5 6", .asks = {{2, 100}}, .want = "2 3"},
    {"vendors-b 3g: 0, 1, 3, 4, 5, 7 used, 2", V_WINGS, 8, "0 1 3 4 5 7", .asks = {{2, 100}}, .want = "2 6"},
    {"vendors-b 3g: 3 and 4 are not linked", V_WINGS, 8, "0 1 2 5 6 7", .asks = {{2, 100}}, .want = "", .reasons = NUMA},
    {"vendors-b 3g: 0, 4, 5 used, 4", V_WINGS, 8, "0 4 5", .asks = {{4, 100}}, .want = "2 3 6 7"},
    {"vendors-b 3g: 1, 4 used, 4", V_WINGS, 8, "1 4", .asks = {{4, 100}}, .want = "2 3 6 7"},
    {"vendors-b 3g: 1, 2, 4 used, 4", V_WINGS, 8, "1 2 4", .asks = {{4, 100}}, .want = "", .reasons = NUMA},
    {"three is no number of cards", V_WINGS, 8, "", .asks = {{3, 100}}, .want = "", .reasons = NUMA, .never = true},
    {"all eight, one used", V_WINGS, 8, "5", .asks = {{8, 100}}, .want = "", .reasons = NUMA | SOME},
    {"kunlun_defect_d3_1: card 5 in use, four of the left wing", V_WINGS, 8, "5", .asks = {{4, 100}}, .want = "0 1 2 3"},
    {"kunlun_defect_d3_1: card 2 in use, four of the right wing", V_WINGS, 8, "2", .asks = {{4, 100}}, .want = "4 5 6 7"},
    {"kunlun_defect_d3_4: eight of nine, one of the first eight used", V_WINGS, 9, "3", .asks = {{8, 100}}, .want = "", .reasons = NUMA},
    {"a small ask does not break the large one up", V_WINGS, 8, "7", .asks = {{1, 100}, {4, 100}}, .want = "4 0 1 2 3"},

    {"vendors-b 4g, runs: 2", V_BITS, 16, "1 9", .bits = true, .runs = true, .asks = {{2}}, .want = "2 3"},
    {"vendors-b 4g, runs: 4", V_BITS, 16, "1 9", .bits = true, .runs = true, .asks = {{4}}, .want = "2 3 4 5"},
    {"vendors-b 4g, runs: 6", V_BITS, 16, "1 9", .bits = true, .runs = true, .asks = {{6}}, .want = "2 3 4 5 6 7"},
    {"vendors-b 4g, runs: 8", V_BITS, 16, "1 9", .bits = true, .runs = true, .asks = {{8}}, .want = "", .reasons = NUMA | SLOTS},
    {"vendors-b 4g, aligned: 2 (kept: D4.3)", V_BITS, 16, "1 9", .bits = true, .asks = {{2}}, .want = "", .reasons = NUMA | SLOTS, .never = true},
    {"vendors-b 4g, aligned: 4", V_BITS, 16, "1 9", .bits = true, .asks = {{4}}, .want = "4 5 6 7"},
    {"vendors-b 4g, aligned: 6", V_BITS, 16, "1 9", .bits = true, .asks = {{6}}, .want = "", .reasons = NUMA | SLOTS, .never = true},
    {"vendors-b 4g, aligned: 8", V_BITS, 16, "1 9", .bits = true, .asks = {{8}}, .want = "", .reasons = NUMA | SLOTS},
    {"aligned: 16 of an idle node", V_BITS, 16, "", .bits = true, .asks = {{16}}, .want = "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"},
    {"aligned: one, anywhere", V_BITS, 16, "0", .bits = true, .asks = {{1}}, .want = "1"},
    {"runs: the larger first", V_BITS, 16, "4 9", .bits = true, .runs = true, .asks = {{2}, {6}}, .want = "0 1 10 11 12 13 14 15"},

    {"vendors-b 1g: one of the smaller zone", V_CLASS, 5, "", {1,1,2,2,2}, .has_zones = true, .asks = {{1, 100}}, .want = "0"},
    {"vendors-b 1g: two of the smaller zone", V_CLASS, 5, "", {1,1,2,2,2}, .has_zones = true, .asks = {{2, 100}}, .want = "0 1"},
    {"vendors-b 1g: three of the larger zone", V_CLASS, 5, "", {1,1,2,2,2}, .has_zones = true, .asks = {{3, 100}}, .want = "2 3 4"},
    {"vendors-b 1g: four, from small to large", V_CLASS, 5, "", {1,1,2,2,2}, .has_zones = true, .asks = {{4, 100}}, .want = "0 1 2 3"},
    {"vendors-b 1g: what has no link comes last", V_CLASS, 3, "", {0,1,1}, .has_zones = true, .asks = {{3, 100}}, .want = "0 1 2"},
    {"vendors-b 1g: three of four, and what has no link last", V_CLASS, 4, "", {0,1,1,0}, .has_zones = true, .asks = {{3, 100}}, .want = "1 2 0"},
    {"metax_defect_d1_7: a zone below 0 is no link", V_CLASS, 4, "", {-1,-1,1,1}, .has_zones = true, .asks = {{2, 100}}, .want = "2 3"},
    {"shares are taken one by one", V_CLASS, 5, "", {2,2,2,1,1}, .has_zones = true, .asks = {{2, 50}}, .want = "0 1"},
    {"whole cards are not", V_CLASS, 5, "", {2,2,2,1,1}, .has_zones = true, .asks = {{2, 100}}, .want = "3 4"},
    {"without any zones as they stand", V_CLASS, 3, "0", .asks = {{2, 100}}, .want = "1 2"},

    {"vendors-b 6g: three of one card", V_DIES, 8, "0 1", {1,1,1,1,2,2,2,2}, .has_zones = true, .asks = {{3}}, .want = "4 5 6"},
    {"vendors-b 6g: five of two cards", V_DIES, 8, "0 1", {1,1,1,1,2,2,2,2}, .has_zones = true, .asks = {{5}}, .want = "4 5 6 7 2"},
    {"vastai_defect_d6_3: a die without a card is not dropped", V_DIES, 3, "", {1,Z,1}, .has_zones = true, .asks = {{2}}, .want = "0 1"},

    {"nvidia 6.2: the second node has two", V_FULL, 3, "", .numa = {0,1,1}, .numa_bind = true, .asks = {{2}}, .want = "1 2"},
    {"no numa-bind: any two", V_FULL, 3, "", .numa = {0,1,1}, .asks = {{2}}, .want = "0 1"},
    {"numa: the node of the best card, if it has enough", V_FULL, 4, "", .numa = {1,0,1,0}, .numa_bind = true, .asks = {{2}}, .want = "0 2"},
    {"numa: a card in between does not end a node's group", V_FULL, 4, "", .numa = {0,1,2,0}, .numa_bind = true, .asks = {{2}}, .want = "0 3"},
    {"numa: none has enough", V_FULL, 3, "", .numa = {0,1,2}, .numa_bind = true, .asks = {{2}}, .want = "", .reasons = NUMA | SOME, .never = true},
    {"numa: none has enough now", V_FULL, 4, "3", .numa = {0,1,2,1}, .numa_bind = true, .asks = {{2}}, .want = "", .reasons = NUMA | SOME | SLOTS},
    {"numa: one card is of one node", V_FULL, 2, "0", .numa = {0,1}, .numa_bind = true, .asks = {{1}}, .want = "1"},
    {"numa: containers apart", V_FULL, 4, "", .numa = {0,0,1,1}, .numa_bind = true, .asks = {{2, 100}, {2, 100}}, .want = "0 1 2 3"},
    {"numa: with sets of the row", V_CLASS, 6, "", {1,2,2,1,1,2}, {0,0,1,1,1,1}, .has_zones = true, .numa_bind = true, .asks = {{3, 100}}, .want = "3 4 2"},
    // clang-format on
};

static bool in_list(const char *list, unsigned i)
{
    for (const char *s = list; *s; s++)
        if ((s == list || s[-1] == ' ') && (unsigned)strtoul(s, NULL, 10) == i)
            return true;
    return false;
}

static void set_scene(const struct set_row *row, struct cluster *c, struct pod *p)
{
    cluster_init(c);
    struct score_device cards[16];
    for (unsigned i = 0; i < row->n; i++) {
        cards[i] = CARD(.numa = row->numa[i % 8]);
        if (row->bits)
            cards[i].cores_total_pct = cards[i].shares_total = 2, cards[i].mem_total_mib = 0;
        if (in_list(row->busy, i))
            cards[i].shares_used = cards[i].shares_total;
    }
    cluster_add(c, row->vendor, cards, row->n);
    struct score_trait *traits = row->has_zones || row->bits ? cluster_traits(c) : NULL;
    for (unsigned i = 0; traits && i < row->n; i++) {
        traits[i].zone = row->has_zones ? row->zone[i] : SCORE_ZONE_NONE;
        traits[i].bits_total = row->bits ? 3 : 0;
        traits[i].bits_used = row->bits && cards[i].shares_used ? 3 : 0;
    }
    if (row->bits)
        cluster_topology(c, false)->aligned = !row->runs;
    pod_plain(p);
    for (unsigned i = 0; i < 3 && row->asks[i].count; i++)
        pod_ask(p, APP,
                (struct score_ask){.vendor = row->vendor,
                                   .count = row->asks[i].count,
                                   .cores_pct = row->asks[i].cores});
    selects(p, row->vendor)->numa_bind = row->numa_bind;
}

START_TEST(sets)
{
    const struct set_row *row = &SETS[_i];
    struct cluster c;
    struct pod p;
    struct result r;
    set_scene(row, &c, &p);
    decide(&p, &c, NULL, &r);
    wants(row->name, &r, row->want, row->reasons);
    ck_assert_msg(r.v.unresolvable == row->never, "%s: unresolvable is %d", row->name,
                  r.v.unresolvable);
    for (unsigned i = 0; i < p.req.asks_n; i++) /* init steps choose alike */
        p.steps[i] = INIT;
    if (p.req.asks_n == 1) {
        decide(&p, &c, NULL, &r);
        wants(row->name, &r, row->want, row->reasons);
    }
}
END_TEST

START_TEST(nearest)
{
    /* contract/nvidia.md 7.2's example, cards in the order of its walk: d, c, b, a. */
    enum { D, C, B, A };
    struct cluster c;
    cluster_init(&c);
    const struct score_device cards[] = {CARD(), CARD(), CARD(), CARD()};
    cluster_add(&c, V_NEAR, cards, 4);
    cluster_topology(&c, true);
    for (unsigned i = 0; i < 4; i++)
        for (unsigned j = i + 1; j < 4; j++)
            cluster_pair(&c, i, j, 10);
    cluster_pair(&c, A, B, 420);
    cluster_pair(&c, C, D, 420);
    struct pod p;
    pod_plain(&p);
    p.req.policy.topology_aware = true;
    pod_ask(&p, APP, (struct score_ask){.vendor = V_NEAR, .count = 2, .mem_mib = 100});
    struct result r;
    decide(&p, &c, NULL, &r);
    wants("two", &r, "0 1", 0);
    const int64_t near = r.v.score;
    p.asks[0].count = 1;
    decide(&p, &c, NULL, &r);
    wants("one, all alike", &r, "0", 0);
    c.devices[C].shares_used = 10;
    cluster_sum(&c);
    decide(&p, &c, NULL, &r);
    wants("one: the least connected", &r, "0", 0);
    c.devices[D].shares_used = 10;
    c.devices[C].shares_used = 0;
    cluster_sum(&c);
    decide(&p, &c, NULL, &r);
    wants("one: the least connected, not the first", &r, "1", 0);
    p.asks[0].count = 2;
    decide(&p, &c, NULL, &r);
    wants("two: the pair that is left, not the first two", &r, "2 3", 0);
    p.req.policy.topology_aware = false;
    decide(&p, &c, NULL, &r);
    wants("unless nobody asked", &r, "1 2", 0);
    /* How near they are counts for the node, the same way up under both policies. */
    c.devices[D].shares_used = 0;
    cluster_sum(&c);
    p.req.policy.topology_aware = true;
    cluster_pair(&c, A, B, 10);
    cluster_pair(&c, C, D, 10);
    decide(&p, &c, NULL, &r);
    ck_assert_int_lt(r.v.score, near);
    p.req.policy.node_spread = true;
    decide(&p, &c, NULL, &r);
    const int64_t far = r.v.score;
    cluster_pair(&c, A, B, 420);
    decide(&p, &c, NULL, &r);
    ck_assert_int_gt(r.v.score, far);
    /* A wish, not a must: without values (N 4) any two will do. */
    c.topology.pair = NULL;
    decide(&p, &c, NULL, &r);
    wants("no values", &r, "0 1", 0);
    c.groups[0].topology = NULL;
    decide(&p, &c, NULL, &r);
    wants("no topology", &r, "0 1", 0);
}
END_TEST

START_TEST(nvidia_defect_n3_quota_counts_what_is_taken)
{
    /* Four candidates, quota for two: the nearest two, not those that come first. */
    struct cluster c;
    cluster_init(&c);
    const struct score_device cards[] = {CARD(), CARD(), CARD(), CARD()};
    cluster_add(&c, V_NEAR, cards, 4);
    cluster_topology(&c, true);
    cluster_pair(&c, 2, 3, 420);
    struct pod p;
    pod_plain(&p);
    p.req.policy.topology_aware = true;
    pod_ask(&p, APP, (struct score_ask){.vendor = V_NEAR, .count = 2, .mem_mib = 100});
    p.quotas[0] = (struct score_quota){.vendor = V_NEAR, .mem_set = true, .mem_left_mib = 200};
    p.req.quotas_n = 1;
    struct result r;
    decide(&p, &c, NULL, &r);
    wants("nearest two", &r, "2 3", 0);
    p.quotas[0].mem_left_mib = 199;
    decide(&p, &c, NULL, &r);
    wants("quota for one", &r, "", R(RESOURCE_QUOTA_NOT_FIT) | SOME);
}
END_TEST

START_TEST(many_near_cards)
{
    /* Beyond the table of bounds the check alone gives a bound, and the same answer whether it
     * fits. */
    struct cluster c;
    cluster_init(&c);
    struct score_device cards[12];
    for (unsigned i = 0; i < 12; i++)
        cards[i] = CARD();
    cluster_add(&c, V_NEAR, cards, 12);
    cluster_topology(&c, true);
    for (unsigned i = 0; i < 12; i++)
        for (unsigned j = i + 1; j < 12; j++)
            cluster_pair(&c, i, j, i % 3 == j % 3 ? 400 : 20);
    struct pod p;
    pod_plain(&p);
    p.req.policy.topology_aware = true;
    pod_ask(&p, APP, (struct score_ask){.vendor = V_NEAR, .count = 4, .mem_mib = 100});
    struct arena *arena = arena_new(1 << 20);
    struct score_prepared prep;
    struct score_verdict checked, placed;
    struct score_placement placement;
    struct err err = {0};
    ck_assert_int_eq(score_prepare(&p.req, TYPES, T_COUNT, arena, &prep, &err), ERR_OK);
    score_node_check(&prep, &c.node, NULL, &checked);
    score_node_place(&prep, &c.node, NULL, &placed, &placement, NULL);
    ck_assert(checked.fits && placed.fits);
    ck_assert_int_ge(checked.score, placed.score);
    char got[64];
    cards_text(&placement, got, sizeof(got));
    ck_assert_str_eq(got, "0 3 6 9");
    arena_free(arena);
}
END_TEST

/* The first ask's nearest cards leave the third its four; those that the policy and the search
 * would begin with do not, and between them lie more choices than the search tries. */
START_TEST(many_near_cards_beyond_the_search)
{
    struct cluster c;
    cluster_init(&c);
    struct score_device cards[16];
    for (int i = 0; i < 16; i++)
        cards[i] = i < 4 ? CARD(.mem_total_mib = 20 + i)
                         : CARD(.mem_total_mib = 1000 + i, .mem_used_mib = 500, .shares_used = 1,
                                .cores_used_pct = 50);
    cluster_add(&c, V_NEAR, cards, 16);
    cluster_topology(&c, true);
    for (unsigned i = 4; i < 16; i++)
        for (unsigned j = i + 1; j < 16; j++)
            cluster_pair(&c, i, j, 100);
    cluster_sum(&c);
    struct pod p;
    pod_plain(&p);
    p.req.policy.topology_aware = true;
    const struct score_ask asks[] = {{.count = 4, .mem_mib = 10, .cores_pct = 10},
                                     {.count = 8, .mem_mib = 10, .cores_pct = 10},
                                     {.count = 4, .mem_mib = 1, .cores_pct = 95}};
    for (unsigned i = 0; i < ROWS(asks); i++) {
        struct score_ask ask = asks[i];
        ask.vendor = V_NEAR;
        pod_ask(&p, APP, ask);
    }
    struct arena *arena = arena_new(1 << 20);
    struct score_prepared prep;
    struct score_verdict checked, placed;
    static struct score_placement placement;
    ck_assert_int_eq(score_prepare(&p.req, TYPES, T_COUNT, arena, &prep, NULL), ERR_OK);
    score_node_place(&prep, &c.node, NULL, &placed, &placement, NULL);
    score_node_check(&prep, &c.node, NULL, &checked);
    ck_assert(placed.fits);
    ck_assert(checked.fits);
    arena_free(arena);
}
END_TEST

/* ---- cards that are cut into slices ---- */

/* contract/nvidia.md 8.3's card; of 3g and 1g from the end (8.2). */
static void mig_node(struct cluster *c, unsigned cards_n)
{
    static const struct score_profile OF[] = {
        {STR_INIT("1g.5gb"),
         STR_INIT(""),
         4864,
         15,
         1,
         7,
         {{6, 1}, {5, 1}, {4, 1}, {3, 1}, {2, 1}, {1, 1}, {0, 1}}},
        {STR_INIT("2g.10gb"), STR_INIT(""), 9984, 29, 2, 3, {{0, 2}, {2, 2}, {4, 2}}},
        {STR_INIT("3g.20gb"), STR_INIT(""), 20096, 43, 3, 2, {{4, 4}, {0, 4}}},
        {STR_INIT("7g.40gb"), STR_INIT(""), 40192, 100, 7, 1, {{0, 8}}},
    };
    struct score_device cards[4];
    for (unsigned i = 0; i < cards_n; i++)
        cards[i] = CARD(.mem_total_mib = 40960, .shares_total = 7, .flags = SCORE_DEVICE_MIG,
                        .mode = T_MIG);
    cluster_init(c);
    memcpy(c->profiles, OF, sizeof(OF));
    c->node.profiles_n = ROWS(OF);
    cluster_add(c, V_FULL, cards, cards_n);
    struct score_trait *t = cluster_traits(c);
    for (unsigned i = 0; i < cards_n; i++)
        t[i].profiles_n = ROWS(OF);
}

static void is_slice(const struct result *r, unsigned part, uint16_t device, uint16_t profile,
                     uint64_t bits)
{
    ck_assert_msg(r->v.fits, "refused: %#x", r->v.reasons);
    ck_assert_uint_lt(part, r->placement.parts_n);
    const struct score_part *p = &r->placement.parts[part];
    ck_assert_uint_eq(p->device, device);
    ck_assert_uint_eq(p->profile, profile + 1);
    ck_assert_uint_eq(p->bits, bits);
    ck_assert_uint_eq(p->shares, 1);
}

static void ask_mem(struct pod *p, int32_t count, int64_t mem)
{
    pod_plain(p);
    pod_ask(p, APP, (struct score_ask){.count = count, .mem_mib = mem});
}

START_TEST(nvidia_8_worked_example)
{
    struct cluster c;
    struct pod p;
    struct result r;
    mig_node(&c, 1);
    ask_mem(&p, 1, 9000); /* 1 */
    decide(&p, &c, NULL, &r);
    is_slice(&r, 0, 0, 1, 0x03);
    ck_assert_int_eq(r.placement.parts[0].mem_mib, 9984);
    ck_assert_int_eq(r.placement.parts[0].cores_pct, 29);
    cluster_charge(&c, &p, &r.placement);
    ask_mem(&p, 1, 4000); /* 2 */
    decide(&p, &c, NULL, &r);
    is_slice(&r, 0, 0, 0, 0x40);
    cluster_charge(&c, &p, &r.placement);
    ask_mem(&p, 1, 15000); /* 3 */
    decide(&p, &c, NULL, &r);
    wants("3g overlaps", &r, "", PLACE);
    ck_assert(!r.v.unresolvable);
    ask_mem(&p, 2, 9000); /* 4: two slices of the only card */
    decide(&p, &c, NULL, &r);
    is_slice(&r, 0, 0, 1, 0x0c);
    is_slice(&r, 1, 0, 1, 0x30);
    cluster_charge(&c, &p, &r.placement);
    ck_assert_int_eq(c.devices[0].shares_used, 4);
    ck_assert_int_eq(c.devices[0].mem_used_mib, 3 * 9984 + 4864);
    ck_assert_uint_eq(c.traits[0].bits_used, 0x7f);
    decide(&p, &c, NULL, &r);
    wants("nothing left", &r, "", MEMORY);
}
END_TEST

START_TEST(nvidia_defect_n5_mig_smallest_that_is_free)
{
    struct cluster c;
    struct pod p;
    struct result r;
    mig_node(&c, 1);
    c.traits[0].bits_used = 0x15; /* every 2g is in the way of something, 4 to 7 of 3g too */
    ask_mem(&p, 1, 9000);
    decide(&p, &c, NULL, &r);
    wants("none", &r, "", PLACE);
    c.traits[0].bits_used = 0x05; /* 2g@4 is free */
    decide(&p, &c, NULL, &r);
    is_slice(&r, 0, 0, 1, 0x30);
    c.profiles[1].placements_n = 2; /* and where there is none at 4, the next larger profile */
    decide(&p, &c, NULL, &r);
    is_slice(&r, 0, 0, 2, 0xf0);
    p.asks[0].mem_mib = 0; /* no memory asked: the smallest */
    decide(&p, &c, NULL, &r);
    is_slice(&r, 0, 0, 0, 0x40);
    p.asks[0].mem_pct = 50; /* of the card's 40960 */
    c.traits[0].bits_used = 0;
    decide(&p, &c, NULL, &r);
    wants("half of the card is more than 3g has", &r, "0", 0);
    is_slice(&r, 0, 0, 3, 0xff);
    p.asks[0].mem_pct = 100; /* kept: N 5 */
    decide(&p, &c, NULL, &r);
    wants("the whole card is more than any slice", &r, "", PLACE);
    ck_assert(r.v.unresolvable);
}
END_TEST

START_TEST(nvidia_defect_n6_mig_checks)
{
    /* Cores play no part; all else that is checked of cards is checked of these. */
    struct cluster c;
    struct pod p;
    struct result r;
    mig_node(&c, 1);
    ask_mem(&p, 1, 4000);
    p.asks[0].cores_pct = 100;
    c.devices[0].cores_used_pct = 90;
    c.devices[0].shares_used = 6;
    cluster_sum(&c);
    decide(&p, &c, NULL, &r);
    is_slice(&r, 0, 0, 0, 0x40);
    p.asks[0].cores_pct = 0;
    c.devices[0].cores_used_pct = 100;
    decide(&p, &c, NULL, &r);
    is_slice(&r, 0, 0, 0, 0x40);
    c.devices[0].shares_used = 7;
    decide(&p, &c, NULL, &r);
    wants("slots", &r, "", SLOTS);
    c.devices[0].shares_used = 0;
    c.devices[0].mem_used_mib = 40960 - 4863; /* the profile's memory, not the ask's */
    decide(&p, &c, NULL, &r);
    wants("memory", &r, "", MEMORY);
    c.devices[0].mem_used_mib = 0;
    c.devices[0].flags |= SCORE_DEVICE_UNHEALTHY;
    decide(&p, &c, NULL, &r);
    wants("health", &r, "", R(CARD_NOT_HEALTH));
    c.devices[0].flags = SCORE_DEVICE_MIG;
    p.req.policy.card_mutex = true;
    p.asks[0].count = 2;
    decide(&p, &c, NULL, &r);
    wants("mutex: slices of one container share a card", &r, "0 0", 0);
    c.devices[0].shares_used = 1;
    decide(&p, &c, NULL, &r);
    wants("mutex: somebody uses it", &r, "", CLASH);
    c.devices[0].shares_used = 0;
    p.req.policy.card_mutex = false;
    p.quotas[0] = (struct score_quota){.mem_set = true, .mem_left_mib = 9727};
    p.req.quotas_n = 1;
    decide(&p, &c, NULL, &r); /* nvidia_defect_n6: what is recorded is what is checked */
    wants("quota by the profiles", &r, "", R(RESOURCE_QUOTA_NOT_FIT) | SOME);
    p.quotas[0].mem_left_mib = 9728;
    decide(&p, &c, NULL, &r);
    wants("quota by the profiles, enough", &r, "0 0", 0);
    p.req.quotas_n = 0;
    p.asks[0].count = 8;
    decide(&p, &c, NULL, &r);
    wants("eight slices of seven", &r, "", SLOTS | SOME);
    selects(&p, V_FULL)->mode_set = true;
    p.selection.mode = STR("hami-core");
    decide(&p, &c, NULL, &r);
    wants("another mode: eight cards of one (8.5)", &r, "", R(NODE_INSUFFICIENT_DEVICE));
    p.asks[0].count = 1;
    decide(&p, &c, NULL, &r);
    wants("another mode", &r, "", R(CARD_TYPE_MISMATCH));
}
END_TEST

START_TEST(mig_beside_others)
{
    /* Two MIG cards and a whole one: slices go where the policy likes it, and to both kinds. */
    struct cluster c;
    struct pod p;
    struct result r;
    mig_node(&c, 3);
    c.devices[2].flags = 0;
    c.traits[2].profiles_n = 0;
    ask_mem(&p, 3, 20000);
    p.req.policy.card[0] = SCORE_KEY_SPREAD;
    decide(&p, &c, NULL, &r);
    ck_assert(r.v.fits);
    ck_assert_uint_eq(r.placement.parts[0].profile, 0); /* the emptiest after it: not cut */
    ck_assert_int_eq(r.placement.parts[0].mem_mib, 20000);
    p.asks[0].count = 5; /* two of each MIG card, and the whole card */
    decide(&p, &c, NULL, &r);
    ck_assert_msg(r.v.fits, "%#x", r.v.reasons);
    p.asks[0].count = 6;
    decide(&p, &c, NULL, &r);
    wants("six", &r, "", MEMORY | SOME);
    /* numa-bind: all slices of one node */
    c.devices[1].numa = c.devices[2].numa = 1;
    selects(&p, V_FULL)->numa_bind = true;
    p.asks[0].count = 3;
    decide(&p, &c, NULL, &r);
    ck_assert_msg(r.v.fits, "%#x", r.v.reasons);
    for (unsigned i = 0; i < 3; i++)
        ck_assert_uint_ne(r.placement.parts[i].device, 0);
    p.asks[0].count = 4;
    decide(&p, &c, NULL, &r);
    ck_assert(!r.v.fits);
    ck_assert(r.v.reasons & NUMA);
}
END_TEST

START_TEST(mig_steps)
{
    /* Slices are there for the pod's life: an init step takes one that is idle while it runs, and
     * never one that overlaps. */
    struct cluster c;
    struct pod p;
    struct result r;
    mig_node(&c, 1);
    pod_plain(&p);
    pod_ask(&p, INIT, (struct score_ask){.count = 1, .mem_mib = 40000});
    pod_ask(&p, APP, (struct score_ask){.count = 1, .mem_mib = 40000});
    decide(&p, &c, NULL, &r);
    is_slice(&r, 0, 0, 3, 0xff);
    is_slice(&r, 1, 0, 3, 0xff);
    p.steps[0] = SIDE; /* both at once: no */
    decide(&p, &c, NULL, &r);
    wants("a sidecar", &r, "", MEMORY);
    p.steps[0] = INIT;
    p.asks[1].mem_mib = 4000; /* the app has 1g@6: the step's 7g would overlap it */
    decide(&p, &c, NULL, &r);
    wants("would overlap", &r, "", PLACE);
    p.asks[0].mem_mib = 9000;
    decide(&p, &c, NULL, &r);
    is_slice(&r, 0, 0, 1, 0x03);
    is_slice(&r, 1, 0, 0, 0x40);
    p.asks[0].mem_mib = 3000; /* the app's slice will do */
    decide(&p, &c, NULL, &r);
    is_slice(&r, 0, 0, 0, 0x40);
    p.asks[0].count = 2; /* and another one beside it */
    decide(&p, &c, NULL, &r);
    is_slice(&r, 0, 0, 0, 0x40);
    is_slice(&r, 1, 0, 0, 0x20);
    cluster_charge(&c, &p, &r.placement);
    ck_assert_uint_eq(c.traits[0].bits_used, 0x60);
    ck_assert_int_eq(c.devices[0].shares_used, 2);
}
END_TEST

START_TEST(bits_in_extra)
{
    /* Holds set bits, a pod's own are cleared. */
    struct cluster c;
    struct pod p;
    struct result r;
    mig_node(&c, 1);
    ask_mem(&p, 1, 4000);
    struct score_extra x = {.bits_set = 0x7f};
    decide(&p, &c, &x, &r);
    wants("held", &r, "", PLACE);
    ck_assert(!r.v.unresolvable);
    c.traits[0].bits_used = 0x7f;
    x = (struct score_extra){.bits_clear = 0x08};
    decide(&p, &c, &x, &r);
    is_slice(&r, 0, 0, 0, 0x08);
    x = (struct score_extra){.bits_clear = 0x18, .bits_set = 0x08};
    decide(&p, &c, &x, &r);
    is_slice(&r, 0, 0, 0, 0x10);
}
END_TEST

/* ---- bits, units, profiles ---- */

static void bits_node(struct cluster *c, unsigned n, uint64_t bits)
{
    struct score_device cards[4];
    for (unsigned i = 0; i < n; i++)
        cards[i] = CARD(.mem_total_mib = 0, .cores_total_pct = __builtin_popcountll(bits),
                        .shares_total = __builtin_popcountll(bits));
    cluster_init(c);
    cluster_add(c, V_BITS, cards, n);
    struct score_trait *t = cluster_traits(c);
    for (unsigned i = 0; i < n; i++)
        t[i].bits_total = bits;
    cluster_topology(c, false);
}

static void ask_bits(struct pod *p, int32_t cores)
{
    pod_plain(p);
    pod_ask(p, APP, (struct score_ask){.vendor = V_BITS, .count = 1, .cores_pct = cores});
}

START_TEST(bits)
{
    /* contract/vendors-b.md 4g, n = 1: the lowest free ones. */
    struct cluster c;
    struct pod p;
    struct result r;
    bits_node(&c, 1, 3);
    ask_bits(&p, 1);
    for (unsigned i = 0; i < 2; i++) {
        decide(&p, &c, NULL, &r);
        wants("one core", &r, "0", 0);
        ck_assert_uint_eq(r.placement.parts[0].bits, 1u << i);
        ck_assert_int_eq(r.placement.parts[0].cores_pct, 1);
        cluster_charge(&c, &p, &r.placement);
    }
    decide(&p, &c, NULL, &r);
    wants("none left", &r, "", SLOTS);
    c.devices[0].shares_total = 9;
    decide(&p, &c, NULL, &r);
    wants("none left, by bits", &r, "", CORE);
    ck_assert_int_eq(r.detail.wanted, 1);
    ck_assert_int_eq(r.detail.free, 0);
    bits_node(&c, 1, 3);
    ask_bits(&p, 0); /* the whole card */
    decide(&p, &c, NULL, &r);
    ck_assert_uint_eq(r.placement.parts[0].bits, 3);
    ck_assert_int_eq(r.placement.parts[0].cores_pct, 2);
    c.traits[0].bits_used = 2;
    decide(&p, &c, NULL, &r);
    wants("whole, one in use", &r, "", CORE);
    c.traits[0].bits_used = 0;
    c.devices[0].shares_used = 1;
    decide(&p, &c, NULL, &r);
    wants("whole, somebody without a core", &r, "", CORE);
    /* neuron_defect_d4_2: the third core of four is one of its own */
    bits_node(&c, 1, 0xf);
    c.traits[0].bits_used = 0x5;
    ask_bits(&p, 1);
    decide(&p, &c, NULL, &r);
    ck_assert_uint_eq(r.placement.parts[0].bits, 2);
    p.asks[0].cores_pct = 2;
    decide(&p, &c, NULL, &r);
    ck_assert_uint_eq(r.placement.parts[0].bits, 0xa);
    p.asks[0].cores_pct = 3;
    decide(&p, &c, NULL, &r);
    wants("three of two", &r, "", CORE);
    ck_assert(!r.v.unresolvable);
    p.asks[0].cores_pct = 5;
    decide(&p, &c, NULL, &r);
    ck_assert(r.v.unresolvable);
    bits_node(&c, 1, 0); /* a card without any */
    ask_bits(&p, 0);
    decide(&p, &c, NULL, &r);
    ck_assert(!r.v.fits);
    /* every bit of sixty-four */
    bits_node(&c, 1, UINT64_MAX);
    decide(&p, &c, NULL, &r);
    ck_assert_uint_eq(r.placement.parts[0].bits, UINT64_MAX);
}
END_TEST

START_TEST(neuron_defect_d4_4_d4_5)
{
    /* D4.4: several cards are looked at like one. D4.5: what an init step and an app have of a card
     * is both of it. */
    struct cluster c;
    struct pod p;
    struct result r;
    bits_node(&c, 4, 3);
    c.topology.aligned = false;
    const struct str nouse[] = {STR_INIT("G001")};
    pod_plain(&p);
    pod_ask(&p, APP, (struct score_ask){.vendor = V_BITS, .count = 2});
    selects(&p, V_BITS)->nouse_uuids = nouse;
    p.selection.nouse_uuids_n = 1;
    decide(&p, &c, NULL, &r);
    wants("D4.4", &r, "2 3", 0);
    bits_node(&c, 1, 3);
    pod_plain(&p);
    pod_ask(&p, INIT, (struct score_ask){.vendor = V_BITS, .count = 1, .cores_pct = 2});
    pod_ask(&p, APP, (struct score_ask){.vendor = V_BITS, .count = 1, .cores_pct = 1});
    decide(&p, &c, NULL, &r);
    wants("an init step takes the app's and more", &r, "0 0", 0);
    ck_assert_uint_eq(r.placement.parts[0].bits, 3);
    ck_assert_uint_eq(r.placement.parts[1].bits, 1);
    struct score_use use[2];
    r.placement.parts[0].bits = 2;
    ck_assert_uint_eq(score_effective_use(p.steps, p.asks, r.placement.parts, 2, use), 1);
    ck_assert_uint_eq(use[0].bits, 3);
    ck_assert_int_eq(use[0].shares, 1);
    /* beside a sidecar it takes others */
    p.steps[0] = SIDE;
    pod_ask(&p, APP, (struct score_ask){.vendor = V_BITS, .count = 1, .cores_pct = 1});
    p.asks[0].cores_pct = 1;
    p.steps[1] = INIT;
    decide(&p, &c, NULL, &r);
    wants("sidecar, init, app", &r, "0 0 0", 0);
    ck_assert_uint_eq(r.placement.parts[0].bits, 1);
    ck_assert_uint_eq(r.placement.parts[1].bits, 2);
    ck_assert_uint_eq(r.placement.parts[2].bits, 2);
}
END_TEST

static const struct units_row {
    int32_t units, pct;
    int64_t mem;
    int32_t want; /* -1: CardInsufficientCore */
} UNITS[] = {
    {304, 10, 100, 30},
    {304, 40, 100, 121},
    {304, 55, 100, 167},
    {110, 33, 100, 36},
    {80, 1, 100, 1},
    {304, 100, 1, 304},
    {304, 0, 100, 0},
    {304, 0, 24576, 304},
    {304, 0, 0, 304},
    {0, 10, 100, -1},
    {0, 0, 100, 0},
    {50, 1, 100, 1},
    {INT32_MAX, 100, 1, INT32_MAX},
};

START_TEST(units)
{
    /* contract/vendors-b.md 5g */
    const struct units_row *row = &UNITS[_i];
    struct cluster c;
    struct pod p;
    struct result r;
    cluster_init(&c);
    const struct score_device card = CARD(.cores_total_pct = row->units);
    cluster_add(&c, V_UNITS, &card, 1);
    pod_plain(&p);
    pod_ask(&p, APP,
            (struct score_ask){
                .vendor = V_UNITS, .count = 1, .mem_mib = row->mem, .cores_pct = row->pct});
    decide(&p, &c, NULL, &r);
    if (row->want < 0) {
        wants("no units", &r, "", CORE);
        return;
    }
    wants("units", &r, "0", 0);
    ck_assert_int_eq(r.placement.parts[0].cores_pct, row->want);
    ck_assert_int_eq(r.placement.parts[0].mem_mib, row->mem ? row->mem : 24576);
    c.devices[0].cores_used_pct = row->units - row->want + 1;
    cluster_sum(&c);
    decide(&p, &c, NULL, &r);
    ck_assert_msg(r.v.fits == (row->want == 0 && row->units == 0) || row->want == 0 ||
                      r.v.reasons == CORE,
                  "%d %% of %d: one too few is enough", row->pct, row->units);
}
END_TEST

/* contract/vendors-b.md 2d's node: one card of six slices. */
static void profile_node(struct cluster *c, unsigned n)
{
    static const struct score_profile OF[] = {
        {STR_INIT("1g.5gb"), STR_INIT("7"), 5 * 1024, 17, 1, 0, {{0, 0}}},
        {STR_INIT("2g.12gb"), STR_INIT("8"), 12 * 1024, 34, 2, 0, {{0, 0}}},
        {STR_INIT("4g.24gb"), STR_INIT("9"), 24 * 1024, 67, 4, 0, {{0, 0}}},
        {STR_INIT("6g.36gb"), STR_INIT("5"), 36 * 1024, 100, 6, 0, {{0, 0}}},
    };
    struct score_device cards[4];
    for (unsigned i = 0; i < n; i++)
        cards[i] = CARD(.mem_total_mib = 36864, .shares_total = 6);
    cluster_init(c);
    memcpy(c->profiles, OF, sizeof(OF));
    c->node.profiles_n = ROWS(OF);
    cluster_add(c, V_PROFILE, cards, n);
    struct score_trait *t = cluster_traits(c);
    for (unsigned i = 0; i < n; i++)
        t[i].profiles_n = ROWS(OF);
}

static const struct profile_row {
    int32_t slices;
    int64_t mem;
    int32_t cores;
    const char *want; /* NULL: ModeNotFit */
} PROFILES[] = {
    {4, 0, 0, "4g.24gb"},      {3, 0, 0, NULL},
    {0, 11000, 30, "2g.12gb"}, {0, 0, 50, "4g.24gb"},
    {0, 6, 0, "2g.12gb"},      {0, 60, 0, NULL},
    {0, 73, 0, "1g.5gb"},      {0, 5120, 18, "2g.12gb"},
    {0, 36864, 0, "6g.36gb"},  {0, 36865, 0, NULL},
    {0, 72, 0, NULL},          {0, 5, 0, "1g.5gb"},
    {0, 0, 0, "1g.5gb"},       {0, 0, 100, "6g.36gb"},
    {7, 0, 0, NULL},           {0, SCORE_AMOUNT_MAX, 0, NULL},
};

START_TEST(profiles)
{
    /* contract/vendors-b.md 2g; D2.4, D2.8 are kept: the guess, and whose size it goes by */
    const struct profile_row *row = &PROFILES[_i];
    struct cluster c;
    struct pod p;
    struct result r;
    profile_node(&c, 1);
    pod_plain(&p);
    pod_ask(&p, APP,
            (struct score_ask){.vendor = V_PROFILE,
                               .count = 1,
                               .slices = row->slices,
                               .mem_mib = row->mem,
                               .cores_pct = row->cores,
                               .mem_guess = true});
    decide(&p, &c, NULL, &r);
    if (!row->want) {
        wants("no profile", &r, "", R(MODE_NOT_FIT));
        ck_assert(r.v.unresolvable);
        return;
    }
    wants(row->want, &r, "0", 0);
    const struct score_part *part = &r.placement.parts[0];
    ck_assert_uint_ge(part->profile, 1);
    const struct score_profile *of = &c.profiles[part->profile - 1];
    ck_assert_msg(str_eq(of->name, str_z(row->want)), "%s: " STR_FMT, row->want, STR_ARG(of->name));
    ck_assert_int_eq(part->mem_mib, of->mem_mib);
    ck_assert_int_eq(part->cores_pct, of->cores_pct);
    ck_assert_int_eq(part->shares, of->slices);
}
END_TEST

START_TEST(enflame_defect_d2_3_slices_are_counted)
{
    struct cluster c;
    struct pod p;
    struct result r;
    profile_node(&c, 1);
    pod_plain(&p);
    pod_ask(&p, APP, (struct score_ask){.vendor = V_PROFILE, .count = 1, .slices = 4});
    c.devices[0].shares_used = 2;
    cluster_sum(&c);
    decide(&p, &c, NULL, &r);
    wants("four and two of six", &r, "0", 0);
    c.devices[0].shares_used = 3;
    decide(&p, &c, NULL, &r);
    wants("four and three of six", &r, "", SLOTS);
    ck_assert_int_eq(r.detail.wanted, 4);
    ck_assert_int_eq(r.detail.free, 3);
    /* D2.2: an init step's slices and the app's, as effective use has it */
    struct score_use use[2];
    const struct score_part parts[] = {{.ask = 0, .shares = 4}, {.ask = 1, .shares = 1}};
    const struct score_ask asks[] = {{.container = 0}, {.container = 1}};
    const enum score_step steps[] = {INIT, APP};
    ck_assert_uint_eq(score_effective_use(steps, asks, parts, 2, use), 1);
    ck_assert_int_eq(use[0].shares, 4);
    /* a card of other profiles beside it */
    profile_node(&c, 2);
    c.traits[0].profiles_n = 1;
    decide(&p, &c, NULL, &r);
    wants("the card that has the profile", &r, "1", 0);
    c.devices[1].shares_used = 6;
    decide(&p, &c, NULL, &r);
    wants("one has none, one is full", &r, "", SLOTS | R(MODE_NOT_FIT));
}
END_TEST

/* ---- checks of their own ---- */

static const struct class_row {
    const char *name;
    int32_t used;
    uint16_t online, offline;
    bool normal, on, off; /* may join */
} CLASSES[] = {
    {"idle", 0, 0, 0, true, true, true},     {"used, neither class", 2, 0, 0, true, false, false},
    {"offline", 2, 0, 2, false, true, true}, {"online", 2, 1, 0, false, true, false},
    {"both", 2, 1, 1, false, true, false},
};

START_TEST(classes)
{
    /* contract/vendors-b.md 1g, app class rule; online pods have no cores of their own. */
    const struct class_row *row = &CLASSES[_i];
    for (int class = SCORE_CLASS_NONE; class <= SCORE_CLASS_OFFLINE; class ++) {
        struct cluster c;
        struct pod p;
        struct result r;
        cluster_init(&c);
        const struct score_device card = CARD(.shares_used = row->used);
        cluster_add(&c, V_CLASS, &card, 1);
        struct score_trait *t = cluster_traits(&c);
        t->online = row->online;
        t->offline = row->offline;
        pod_plain(&p);
        pod_ask(&p, APP,
                (struct score_ask){.vendor = V_CLASS, .count = 1, .mem_mib = 10, .cores_pct = 30});
        selects(&p, V_CLASS)->app_class = (enum score_class) class;
        const bool may = class == SCORE_CLASS_NONE     ? row->normal
                         : class == SCORE_CLASS_ONLINE ? row->on
                                                       : row->off;
        decide(&p, &c, NULL, &r);
        wants(row->name, &r, may ? "0" : "", may ? 0 : R(CARD_APP_CLASS_MISMATCH));
        if (may)
            ck_assert_int_eq(r.placement.parts[0].cores_pct, class == SCORE_CLASS_ONLINE ? 0 : 30);
        /* The same from what is held. */
        t->online = t->offline = 0;
        const struct score_extra x = {.online = (int16_t)row->online,
                                      .offline = (int16_t)row->offline};
        decide(&p, &c, &x, &r);
        ck_assert_msg(r.v.fits == may, "%s: held", row->name);
    }
}
END_TEST

START_TEST(online_pods)
{
    /* Cores do not stand in their way; idle cards first, then fewer offline pods. */
    struct cluster c;
    struct pod p;
    struct result r;
    cluster_init(&c);
    const struct score_device used = CARD(.shares_used = 3, .cores_used_pct = 100);
    const struct score_device cards[] = {used, used, CARD(.flags = SCORE_DEVICE_CORDONED), CARD()};
    cluster_add(&c, V_CLASS, cards, 4);
    struct score_trait *t = cluster_traits(&c);
    t[0].offline = 3;
    t[1].offline = 2;
    pod_plain(&p);
    pod_ask(&p, APP,
            (struct score_ask){.vendor = V_CLASS, .count = 1, .mem_mib = 10, .cores_pct = 100});
    selects(&p, V_CLASS)->app_class = SCORE_CLASS_ONLINE;
    decide(&p, &c, NULL, &r);
    wants("idle, by index; the row does not look at cordons", &r, "2", 0);
    c.devices[2].flags = c.devices[3].flags = SCORE_DEVICE_UNHEALTHY;
    decide(&p, &c, NULL, &r);
    wants("fewer offline pods", &r, "1", 0);
    t[1].online = 1;
    decide(&p, &c, NULL, &r);
    wants("beside an online pod: last are those of offline pods only", &r, "1", 0);
    t[0].online = 1;
    t[0].offline = 1;
    decide(&p, &c, NULL, &r);
    wants("as many online pods, fewer offline ones", &r, "0", 0);
    t[0].online = 2;
    decide(&p, &c, NULL, &r);
    wants("fewer online pods", &r, "1", 0);
    t[1].online = t[1].offline = 0;
    c.devices[0].shares_used = 10;
    decide(&p, &c, NULL, &r);
    wants("none", &r, "", R(CARD_UNHEALTHY) | R(CARD_APP_CLASS_MISMATCH) | SLOTS);
    /* metax D1.4, kept: a pod with a class does not join itself on a card that was idle */
    cluster_init(&c);
    cluster_add(&c, V_CLASS, cards + 3, 1);
    cluster_traits(&c);
    pod_ask(&p, APP, (struct score_ask){.vendor = V_CLASS, .count = 1, .mem_mib = 10});
    decide(&p, &c, NULL, &r);
    wants("two containers of one class", &r, "", R(CARD_APP_CLASS_MISMATCH));
    p.selection.app_class = SCORE_CLASS_NONE;
    p.asks[0].cores_pct = 10;
    decide(&p, &c, NULL, &r);
    wants("two containers of none", &r, "0 0", 0);
}
END_TEST

START_TEST(qos)
{
    /* contract/vendors-b.md 1g, QoS rule */
    static const struct {
        int32_t used;
        uint8_t card, pod;
        int32_t cores;
        enum score_class class;
        bool fits;
    } rows[] = {
        {1, 2, 2, 30, SCORE_CLASS_NONE, true},   {1, 2, 1, 30, SCORE_CLASS_NONE, false},
        {1, 2, 0, 30, SCORE_CLASS_NONE, false},  {1, 0, 1, 30, SCORE_CLASS_NONE, true},
        {0, 2, 1, 30, SCORE_CLASS_NONE, true},   {1, 2, 1, 100, SCORE_CLASS_NONE, false},
        {1, 2, 1, 30, SCORE_CLASS_ONLINE, true}, {1, 2, 1, 30, SCORE_CLASS_OFFLINE, false},
    };
    for (unsigned i = 0; i < ROWS(rows); i++) {
        struct cluster c;
        struct pod p;
        struct result r;
        cluster_init(&c);
        const struct score_device card = CARD(.shares_used = rows[i].used);
        cluster_add(&c, V_CLASS, &card, 1);
        cluster_traits(&c)->qos = rows[i].card;
        c.traits[0].offline = rows[i].class != SCORE_CLASS_NONE;
        pod_plain(&p);
        pod_ask(&p, APP,
                (struct score_ask){
                    .vendor = V_CLASS, .count = 1, .mem_mib = 10, .cores_pct = rows[i].cores});
        selects(&p, V_CLASS)->qos = rows[i].pod;
        p.selection.app_class = rows[i].class;
        decide(&p, &c, NULL, &r);
        /* whole-card asks don't mind the policy, but that somebody is there */
        const score_reasons why = rows[i].cores == 100 ? CLASH : R(CARD_QOS_POLICY_MISMATCH);
        ck_assert_msg(r.v.reasons == (rows[i].fits ? 0 : why), "row %u: %#x", i, r.v.reasons);
        c.traits[0].qos = 0;
        const struct score_extra x = {.qos = rows[i].card};
        decide(&p, &c, &x, &r);
        ck_assert_msg(r.v.reasons == (rows[i].fits ? 0 : why), "row %u, held: %#x", i, r.v.reasons);
    }
}
END_TEST

START_TEST(one_card)
{
    /* contract/vendors-a.md 4.7, vendors-b.md 1g rule 9: containers of one phase share one card. */
    struct cluster c;
    struct pod p;
    struct result r;
    cluster_init(&c);
    const struct score_device cards[] = {CARD(), CARD()};
    cluster_add(&c, V_ONE, cards, 2);
    pod_init(&p); /* spread would take another */
    const struct score_ask half = {.vendor = V_ONE, .count = 1, .mem_mib = 10000, .cores_pct = 30};
    pod_ask(&p, APP, half);
    pod_ask(&p, APP, half);
    decide(&p, &c, NULL, &r);
    wants("two on one", &r, "0 0", 0);
    c.devices[0].mem_used_mib = 10000;
    cluster_sum(&c);
    decide(&p, &c, NULL, &r);
    wants("two on the other", &r, "1 1", 0);
    c.devices[1].mem_used_mib = 10000;
    cluster_sum(&c);
    decide(&p, &c, NULL, &r);
    wants("room for one on each", &r, "", MEMORY | R(CARD_NOT_FOUND_CUSTOM_FILTER_RULE));
    p.steps[0] = INIT; /* another phase may */
    decide(&p, &c, NULL, &r);
    ck_assert(r.v.fits);
    c.devices[0].mem_used_mib = c.devices[1].mem_used_mib = 0;
    cluster_sum(&c);
    p.steps[0] = APP;
    p.asks[0].count = 2;
    decide(&p, &c, NULL, &r);
    wants("after two cards nothing fits", &r, "", R(CARD_NOT_FOUND_CUSTOM_FILTER_RULE));
    ck_assert(r.v.unresolvable);
}
END_TEST

START_TEST(equal_shares)
{
    /* contract/vendors-b.md 3g, vXPU: a card is shared by slices of one size. */
    struct cluster c;
    struct pod p;
    struct result r;
    cluster_init(&c);
    const struct score_device card =
        CARD(.mem_total_mib = 98304, .mem_used_mib = 2 * 24576, .shares_used = 2);
    cluster_add(&c, V_EQUAL, &card, 1);
    pod_plain(&p);
    pod_ask(&p, APP, (struct score_ask){.vendor = V_EQUAL, .count = 1, .mem_mib = 24576});
    decide(&p, &c, NULL, &r);
    wants("the same", &r, "0", 0);
    p.asks[0].mem_mib = 49152;
    decide(&p, &c, NULL, &r);
    wants("another", &r, "", NUMA);
    ck_assert(!r.v.unresolvable);
    pod_ask(&p, APP, (struct score_ask){.vendor = V_EQUAL, .count = 1, .mem_mib = 24576});
    c.devices[0].mem_used_mib = c.devices[0].shares_used = 0;
    cluster_sum(&c);
    decide(&p, &c, NULL, &r);
    wants("two sizes of one pod", &r, "", NUMA);
    p.asks[0].mem_mib = 24576;
    decide(&p, &c, NULL, &r);
    wants("one size of one pod", &r, "0 0", 0);
    p.req.policy.card_mutex = true;
    p.req.asks_n = 1;
    c.devices[0].shares_used = 1;
    c.devices[0].mem_used_mib = 24576;
    decide(&p, &c, NULL, &r);
    wants("mutex", &r, "", CLASH);
}
END_TEST

START_TEST(ascend_defect_a11_soft)
{
    /* contract/vendors-a.md 1.7: a pod of soft shares wants a node that does that, and such a card
     * has 100 cores whatever is registered (A11). */
    struct cluster c;
    struct pod p;
    struct result r;
    cluster_init(&c);
    const struct score_device card = CARD(.cores_total_pct = 20, .cores_used_pct = 30);
    cluster_add(&c, V_ZONES, &card, 1);
    pod_plain(&p);
    pod_ask(&p, APP,
            (struct score_ask){
                .vendor = V_ZONES, .count = 1, .mem_mib = 10, .cores_pct = 70, .soft = true});
    decide(&p, &c, NULL, &r);
    wants("hard node", &r, "", R(MODE_NOT_FIT));
    ck_assert(r.v.unresolvable);
    c.devices[0].flags = SCORE_DEVICE_SOFT;
    decide(&p, &c, NULL, &r);
    wants("soft node", &r, "0", 0);
    p.asks[0].cores_pct = 71;
    decide(&p, &c, NULL, &r);
    wants("soft node, 71 of 70", &r, "", CORE);
    p.asks[0].soft = false;
    p.asks[0].cores_pct = 0;
    c.devices[0].cores_used_pct = 10;
    decide(&p, &c, NULL, &r);
    wants("hard pod on a soft node", &r, "0", 0);
}
END_TEST

START_TEST(free_cards)
{
    struct cluster c;
    struct pod p;
    struct result r;
    cluster_init(&c);
    const struct score_device cards[] = {CARD(.shares_used = 1), CARD()};
    cluster_add(&c, V_FREE, cards, 2);
    pod_plain(&p);
    pod_ask(&p, APP, (struct score_ask){.vendor = V_FREE, .count = 1});
    decide(&p, &c, NULL, &r);
    wants("the free one", &r, "1", 0);
    pod_ask(&p, APP, (struct score_ask){.vendor = V_FREE, .count = 1});
    decide(&p, &c, NULL, &r);
    wants("not twice for one pod", &r, "", CLASH);
    p.steps[0] = INIT;
    decide(&p, &c, NULL, &r);
    wants("one after the other", &r, "1 1", 0);
}
END_TEST

START_TEST(zone_mutex)
{
    /* contract/vendors-b.md 6g, check 5: a die is in use if one of its card is; of one container
     * they may be several. */
    struct cluster c;
    struct pod p;
    struct result r;
    cluster_init(&c);
    const struct score_device cards[] = {CARD(.shares_used = 1), CARD(), CARD(), CARD(), CARD()};
    cluster_add(&c, V_DIES, cards, 5);
    struct score_trait *t = cluster_traits(&c);
    t[0].zone = t[1].zone = 7;
    t[2].zone = t[3].zone = -7;
    pod_plain(&p);
    pod_ask(&p, APP, (struct score_ask){.vendor = V_DIES, .count = 1});
    decide(&p, &c, NULL, &r);
    wants("no mutex", &r, "0", 0);
    p.req.policy.card_mutex = true;
    decide(&p, &c, NULL, &r);
    wants("mutex: not the neighbour", &r, "2", 0);
    p.asks[0].count = 2;
    decide(&p, &c, NULL, &r);
    wants("two of one card", &r, "2 3", 0);
    p.asks[0].count = 1;
    pod_ask(&p, APP, (struct score_ask){.vendor = V_DIES, .count = 1});
    decide(&p, &c, NULL, &r);
    wants("two containers", &r, "2 4", 0);
    p.asks[0].count = 3;
    p.asks[1].count = 1;
    decide(&p, &c, NULL, &r);
    ck_assert_msg(r.v.reasons == CLASH, "%#x", r.v.reasons);
    ck_assert(!r.v.unresolvable);
    /* The first container has to move for the second one's two. */
    cluster_init(&c);
    cluster_add(&c, V_DIES, cards + 1, 3);
    t = cluster_traits(&c);
    t[0].zone = t[1].zone = 1;
    t[2].zone = 2;
    p.asks[0].count = 1;
    p.asks[1].count = 2;
    decide(&p, &c, NULL, &r);
    wants("one, then two of one card", &r, "2 0 1", 0);
}
END_TEST

START_TEST(foreign_cards)
{
    /* ascend_defect_a3: a card of another type of the maker is none of the row's; where the row
     * looks at no type it is not given either. */
    struct cluster c;
    struct pod p;
    struct result r;
    static const uint16_t OF[] = {V_FULL, V_SLOTS};
    for (unsigned i = 0; i < 2; i++) {
        cluster_init(&c);
        const struct score_device cards[] = {CARD(.flags = SCORE_DEVICE_FOREIGN), CARD()};
        cluster_add(&c, OF[i], cards, 2);
        pod_plain(&p);
        pod_ask(&p, APP, (struct score_ask){.vendor = OF[i], .count = 1});
        decide(&p, &c, NULL, &r);
        wants("the other", &r, "1", 0);
        p.asks[0].count = 2;
        decide(&p, &c, NULL, &r);
        wants("both", &r, "", SOME | R(CARD_TYPE_MISMATCH));
        ck_assert(r.v.unresolvable);
    }
}
END_TEST

/* ---- how good they are together ---- */

/* The score of a pod on a node of its own making. */
static int64_t quality_of(const struct set_row *row, bool spread, bool links)
{
    struct cluster c;
    struct pod p;
    struct result r;
    set_scene(row, &c, &p);
    for (unsigned i = 0; i < row->n; i++) /* used, but not full: utilisation is to be the same */
        c.devices[i].mem_used_mib = c.devices[i].cores_used_pct = 0;
    p.req.policy.node_spread = spread;
    p.req.policy.weight_slot = 0;
    p.selection.links = links;
    decide(&p, &c, NULL, &r);
    ck_assert_msg(r.v.fits, "%s: %#x", row->name, r.v.reasons);
    return r.v.score;
}

START_TEST(ascend_defect_a7_kunlun_defect_d3_3_vastai_defect_d6_4_quality_is_neutral)
{
    /* Each row is worse than the one before, under binpack and spread (A7, D3.3, D6.4). */
    static const struct set_row rows[] = {
        // clang-format off
        /* vendors-a 1.9: all of one zone, 3 of 4, half */
        {"one zone", V_ZONES, 4, "", {0,0,0,0}, .has_zones = true, .asks = {{4}}},
        {"three of four", V_ZONES, 4, "", {0,0,0,1}, .has_zones = true, .asks = {{4}}},
        {"two and two", V_ZONES, 4, "", {0,0,1,1}, .has_zones = true, .asks = {{4}}},
        {"not known", V_ZONES, 4, "", {0,0,0,Z}, .has_zones = true, .asks = {{4}}},
        {NULL},
        /* vendors-b 3i: both wings, one wing, two cards, one card */
        {"all of both wings", V_WINGS, 8, "", .asks = {{8, 100}}},
        {"a wing", V_WINGS, 8, "", .asks = {{4, 100}}},
        {"two of a wing", V_WINGS, 8, "", .asks = {{2, 100}}},
        {"one", V_WINGS, 8, "", .asks = {{1, 100}}},
        {NULL},
        /* vendors-b 1i, link score: 600, 60, -60 */
        {"a whole zone", V_CLASS, 8, "", {1,1,1,1,2,2,2,2}, .has_zones = true, .asks = {{4, 100}}},
        {"two of four", V_CLASS, 8, "", {1,1,1,1,2,2,2,2}, .has_zones = true, .asks = {{2, 100}}},
        {NULL},
        {"two linked", V_CLASS, 2, "", {1,1}, .has_zones = true, .asks = {{2, 100}}},
        {"two that are not", V_CLASS, 2, "", {0,0}, .has_zones = true, .asks = {{2, 100}}},
        // clang-format on
    };
    for (unsigned spread = 0; spread < 2; spread++)
        for (unsigned i = 0; i + 1 < ROWS(rows); i++)
            if (rows[i].name && rows[i + 1].name)
                ck_assert_msg(
                    quality_of(&rows[i], spread, true) > quality_of(&rows[i + 1], spread, true),
                    "spread %u: %s is not better than %s", spread, rows[i].name, rows[i + 1].name);
    /* Links count only where the pod or the configuration says so. */
    ck_assert_int_eq(quality_of(&rows[ROWS(rows) - 2], false, false),
                     quality_of(&rows[ROWS(rows) - 1], false, false));
}
END_TEST

START_TEST(quality_values)
{
    /* By hand: nothing of a card counts as used (weights), so utilisation is 0 and the score half
     * of the quality; and SCORE_MAX less under spread. */
    static const struct set_row half = {
        "", V_ZONES, 4, "", {0, 0, 1, 1}, .has_zones = true, .asks = {{4}}};
    struct cluster c;
    struct pod p;
    struct result r;
    set_scene(&half, &c, &p);
    p.req.policy.weight_slot = p.req.policy.weight_core = 0;
    decide(&p, &c, NULL, &r);
    ck_assert_int_eq(r.v.score, 500000 / 2);
    p.req.policy.node_spread = true;
    decide(&p, &c, NULL, &r);
    ck_assert_int_eq(r.v.score, (SCORE_MAX + 500000) / 2);
    /* vendors-b 1i, whole cards: losses {"2": 150}, scores {"2": 330}, a pod of two */
    const int32_t loss[] = {SCORE_TABLE_NONE, 0, 150}, gain[] = {SCORE_TABLE_NONE, 0, 330};
    cluster_init(&c);
    const struct score_device cards[] = {CARD(), CARD(), CARD()};
    cluster_add(&c, V_ONE, cards, 3);
    struct score_topology *t = cluster_topology(&c, false);
    t->loss = loss;
    t->gain = gain;
    t->counts_n = 3;
    pod_plain(&p);
    p.req.policy.weight_slot = p.req.policy.weight_core = 0;
    pod_ask(&p, APP, (struct score_ask){.vendor = V_ONE, .count = 2});
    decide(&p, &c, NULL, &r);
    ck_assert_int_eq(r.v.score, 1850 * 500 / 2);
    p.req.policy.node_spread = true;
    decide(&p, &c, NULL, &r);
    ck_assert_int_eq(r.v.score, (SCORE_MAX + 330 * 500) / 2);
    /* metax_defect_d1_3: a node that says nothing is the worst under both */
    t->gain = NULL;
    decide(&p, &c, NULL, &r);
    ck_assert_int_eq(r.v.score, SCORE_MAX / 2);
    p.asks[0].count = 3; /* and so is a number that the table does not have */
    p.req.policy.node_spread = false;
    decide(&p, &c, NULL, &r);
    ck_assert_int_eq(r.v.score, 0);
    /* metax 1i: online pods: an idle card, then fewer neighbours of a class */
    int64_t last = INT64_MAX;
    for (uint16_t offline = 0; offline < 4; offline++) {
        cluster_init(&c);
        const struct score_device card = CARD(.shares_used = offline);
        cluster_add(&c, V_CLASS, &card, 1);
        cluster_traits(&c)->offline = offline;
        pod_plain(&p);
        pod_ask(&p, APP, (struct score_ask){.vendor = V_CLASS, .count = 1});
        selects(&p, V_CLASS)->app_class = SCORE_CLASS_ONLINE;
        p.req.policy.weight_slot = p.req.policy.weight_core = 0;
        decide(&p, &c, NULL, &r);
        ck_assert(r.v.fits);
        ck_assert_int_lt(r.v.score, last);
        last = r.v.score;
    }
}
END_TEST

START_TEST(metax_defect_d1_6_a_card_counts_once)
{
    /* An init step on the app's cards changes nothing of how good they are together. */
    static const struct set_row row = {
        "", V_CLASS, 4, "", {1, 1, 1, 2}, .has_zones = true, .asks = {{2, 100}, {2, 100}}};
    struct cluster c;
    struct pod p;
    struct result both, alone;
    set_scene(&row, &c, &p);
    p.selection.links = true;
    p.steps[0] = INIT;
    decide(&p, &c, NULL, &both);
    wants("init and app", &both, "0 1 0 1", 0);
    p.asks[0] = p.asks[1];
    p.req.asks_n = 1;
    decide(&p, &c, NULL, &alone);
    ck_assert_int_eq(both.v.score, alone.v.score);
}
END_TEST

START_TEST(reasons_by_row)
{
    /* A row may name its own code, per check and for sets that don't go together. */
    struct score_vendor rows[V_COUNT];
    memcpy(rows, VENDORS, sizeof(rows));
    rows[V_FULL].reasons[SCORE_CHECK_HEALTH] = SCORE_CARD_UNHEALTHY;
    rows[V_MODULES].select_reason = SCORE_NUMA_NOT_FIT;
    struct cluster c;
    struct pod p;
    struct result r;
    cluster_init(&c);
    const struct score_device cards[] = {CARD(.flags = SCORE_DEVICE_UNHEALTHY), CARD()};
    cluster_add(&c, V_FULL, cards, 2);
    cluster_add(&c, V_MODULES, cards, 2);
    pod_plain(&p);
    p.req.vendors = rows;
    pod_ask(&p, APP, (struct score_ask){.count = 2});
    decide(&p, &c, NULL, &r);
    wants("by check", &r, "", R(CARD_UNHEALTHY) | SOME);
    p.asks[0].vendor = V_MODULES;
    c.devices[2].flags = 0;
    c.devices[3].index = 2;
    decide(&p, &c, NULL, &r);
    wants("by set", &r, "", NUMA);
    ck_assert_int_eq(r.detail.reason, SCORE_NUMA_NOT_FIT);
    ck_assert_int_eq(r.detail.counts[SCORE_NUMA_NOT_FIT], 2);
    ck_assert_int_eq(r.detail.wanted, 2);
    ck_assert_int_eq(r.detail.free, 2);
}
END_TEST

Suite *suite_ways(void)
{
    Suite *suite = suite_create("score ways");
    TCase *tc = tcase_create("ways");
    tcase_add_loop_test(tc, sets, 0, ROWS(SETS));
    tcase_add_test(tc, nearest);
    tcase_add_test(tc, nvidia_defect_n3_quota_counts_what_is_taken);
    tcase_add_test(tc, many_near_cards);
    tcase_add_test(tc, many_near_cards_beyond_the_search);
    tcase_add_test(tc, nvidia_8_worked_example);
    tcase_add_test(tc, nvidia_defect_n5_mig_smallest_that_is_free);
    tcase_add_test(tc, nvidia_defect_n6_mig_checks);
    tcase_add_test(tc, mig_beside_others);
    tcase_add_test(tc, mig_steps);
    tcase_add_test(tc, bits_in_extra);
    tcase_add_test(tc, bits);
    tcase_add_test(tc, neuron_defect_d4_4_d4_5);
    tcase_add_loop_test(tc, units, 0, ROWS(UNITS));
    tcase_add_loop_test(tc, profiles, 0, ROWS(PROFILES));
    tcase_add_test(tc, enflame_defect_d2_3_slices_are_counted);
    tcase_add_loop_test(tc, classes, 0, ROWS(CLASSES));
    tcase_add_test(tc, online_pods);
    tcase_add_test(tc, qos);
    tcase_add_test(tc, one_card);
    tcase_add_test(tc, equal_shares);
    tcase_add_test(tc, ascend_defect_a11_soft);
    tcase_add_test(tc, free_cards);
    tcase_add_test(tc, zone_mutex);
    tcase_add_test(tc, foreign_cards);
    tcase_add_test(tc, ascend_defect_a7_kunlun_defect_d3_3_vastai_defect_d6_4_quality_is_neutral);
    tcase_add_test(tc, quality_values);
    tcase_add_test(tc, metax_defect_d1_6_a_card_counts_once);
    tcase_add_test(tc, reasons_by_row);
    suite_add_tcase(suite, tc);
    return suite;
}
