/* What the decision alone costs: ns a card of score_node_check over a cluster of 5000 nodes with 8
 * cards, each call afresh. No server, no JSON, no store. One line a case on standard output.
 *   core [NODES [CARDS [NAME]]]    only cases with NAME in theirs
 *   core --ratios [NODES [CARDS [FILL]]]    near cards and slices beside the plain ask on the same
 *                                           nodes: 2 to 16 cards, empty to full; best of
 *                                           many rounds, then the worst ratios */
#include "score/score.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 41 /* the median of these */

#define CHECKS                                                                                     \
    .checks = {SCORE_CHECK_HEALTH,    SCORE_CHECK_CORDON,     SCORE_CHECK_TYPE,                    \
               SCORE_CHECK_UUID,      SCORE_CHECK_SLOTS,      SCORE_CHECK_MUTEX,                   \
               SCORE_CHECK_QUOTA,     SCORE_CHECK_MEMORY,     SCORE_CHECK_CORES,                   \
               SCORE_CHECK_EXCLUSIVE, SCORE_CHECK_ZERO_CORES, SCORE_CHECK_PLACEMENT,               \
               SCORE_CHECK_END}
#define CHECKS_WHOLE                                                                               \
    .checks = {SCORE_CHECK_HEALTH, SCORE_CHECK_TYPE, SCORE_CHECK_UUID, SCORE_CHECK_FREE,           \
               SCORE_CHECK_END}
enum {
    PLAIN,
    PAIRS,
    ZONES,
    ZONES_FIT,
    MODULES,
    WINGS,
    BLOCKS,
    BITS,
    UNITS,
    PROFILES,
    SLICES,
    KINDS
};
static const struct score_vendor VENDORS[KINDS] = {
    [PLAIN] = {.key = STR_INIT("plain"), CHECKS},
    [PAIRS] = {.key = STR_INIT("pairs"),
               CHECKS,
               .select = SCORE_SELECT_PAIRS,
               .quality = SCORE_QUALITY_PAIRS},
    [ZONES] = {.key = STR_INIT("zones"),
               CHECKS,
               .select = SCORE_SELECT_ZONES,
               .quality = SCORE_QUALITY_ZONES},
    [ZONES_FIT] = {.key = STR_INIT("zones that fit"),
                   CHECKS,
                   .select = SCORE_SELECT_ZONES_FIT,
                   .quality = SCORE_QUALITY_LINKS},
    [MODULES] = {.key = STR_INIT("modules"), CHECKS_WHOLE, .select = SCORE_SELECT_MODULES},
    [WINGS] = {.key = STR_INIT("wings"),
               CHECKS_WHOLE,
               .select = SCORE_SELECT_WINGS,
               .quality = SCORE_QUALITY_WINGS},
    [BLOCKS] = {.key = STR_INIT("blocks"), CHECKS_WHOLE, .select = SCORE_SELECT_BLOCKS},
    [BITS] = {.key = STR_INIT("bits"), CHECKS, .amount = SCORE_AMOUNT_BITS},
    [UNITS] = {.key = STR_INIT("units"), CHECKS, .amount = SCORE_AMOUNT_UNITS},
    [SLICES] = {.key = STR_INIT("slices"), CHECKS},
    [PROFILES] = {.key = STR_INIT("profiles"), CHECKS, .amount = SCORE_AMOUNT_PROFILE},
};
static const struct str TYPES[] = {STR_INIT("Bench A"), STR_INIT("Bench B"), STR_INIT("hami-core"),
                                   STR_INIT("mig")};
#define TYPES_N 4

struct cluster {
    size_t nodes_n, cards_n;
    struct score_node *nodes;
    struct score_group *groups;
    struct score_device *devices;
    struct score_trait *traits;
};

/* How cards lie to each other. */
enum pattern {
    ISLANDS,   /* four cards are near each other, as sets of four around switches */
    RING,      /* neighbours alone have a link */
    ALL_DIFFER /* every pair has a value of its own: nothing is alike, and no search is cut short */
};
static int32_t near_pairs[SCORE_DEVICES_MAX * SCORE_DEVICES_MAX];
static int64_t near_bound[(1 << SCORE_BOUND_CARDS) * (SCORE_BOUND_CARDS + 1)];
static struct score_near near_each[SCORE_NEAR_CARDS];
static struct score_topology near = {.pair = near_pairs};
static const struct score_profile CUTS[] = {
    {.name = STR_INIT("1g"),
     .mem_mib = 9728,
     .cores_pct = 14,
     .slices = 1,
     .placements_n = 7,
     .placements = {{6, 1}, {5, 1}, {4, 1}, {3, 1}, {2, 1}, {1, 1}, {0, 1}}},
    {.name = STR_INIT("2g"),
     .mem_mib = 19968,
     .cores_pct = 28,
     .slices = 2,
     .placements_n = 3,
     .placements = {{0, 2}, {2, 2}, {4, 2}}},
    {.name = STR_INIT("3g"),
     .mem_mib = 40192,
     .cores_pct = 42,
     .slices = 3,
     .placements_n = 2,
     .placements = {{4, 4}, {0, 4}}},
};
#define CUTS_N (sizeof(CUTS) / sizeof(CUTS[0]))

static uint64_t rnd_state;

static unsigned rnd(unsigned below) /* the same cluster every time */
{
    rnd_state = rnd_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (unsigned)(rnd_state >> 33) % below;
}

static void *room(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p) {
        (void)fputs("core: out of memory\n", stderr);
        abort();
    }
    return p;
}

static void charge(struct score_device *d, int fill_pct)
{
    const int shares = d->shares_total * fill_pct / 100;
    d->shares_used = shares ? (int)rnd((unsigned)shares) : 0;
    d->mem_used_mib = d->mem_total_mib * d->shares_used / d->shares_total;
    d->cores_used_pct = d->cores_total_pct * d->shares_used / d->shares_total;
}

static struct cluster build(size_t nodes_n, size_t cards_n)
{
    struct cluster c = {.nodes_n = nodes_n, .cards_n = cards_n};
    c.nodes = room(nodes_n, sizeof(*c.nodes));
    c.groups = room(nodes_n, sizeof(*c.groups));
    c.devices = room(nodes_n * cards_n, sizeof(*c.devices));
    c.traits = room(nodes_n * cards_n, sizeof(*c.traits));
    return c;
}

static void demolish(struct cluster *c)
{
    free(c->traits);
    free(c->devices);
    free(c->groups);
    free(c->nodes);
}

static int32_t pair_value(enum pattern pattern, size_t i, size_t j, size_t n)
{
    if (pattern == ISLANDS)
        return i / 4 == j / 4 ? 420 : 10;
    if (pattern == RING)
        return j - i == 1 || j - i == n - 1 ? 100 : 0;
    return (int32_t)rnd(1000);
}

static void lay_out(enum pattern pattern, size_t n)
{
    rnd_state = 44;
    near.n = (uint16_t)n;
    near.bound = NULL;
    near.near = NULL;
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            near_pairs[i * n + j] = near_pairs[j * n + i] = pair_value(pattern, i, j, n);
    if (n <= SCORE_NEAR_CARDS) {
        score_topology_near(near_pairs, near.n, near_each);
        near.near = near_each;
    }
    if (n <= SCORE_BOUND_CARDS) {
        score_topology_bound(near_pairs, near.n, near_bound);
        near.bound = near_bound;
    }
}

static void add_up(struct score_group *g, const struct score_device *d)
{
    g->mem_total_mib += d->mem_total_mib;
    g->mem_used_mib += d->mem_used_mib;
    g->cores_total_pct += d->cores_total_pct;
    g->cores_used_pct += d->cores_used_pct;
    g->shares_total += d->shares_total;
    g->shares_used += d->shares_used;
}

/* Makes a card one that is cut into slices. What was free of it stays free, of the first ones. */
static void cut(struct score_device *d, struct score_trait *t)
{
    const int64_t free_mib = d->mem_total_mib - d->mem_used_mib;
    const int64_t slices = free_mib >= 7 * CUTS[0].mem_mib ? 7 : free_mib * 7 / d->mem_total_mib;
    d->flags |= SCORE_DEVICE_MIG;
    d->mode = 3;
    d->mem_total_mib = 81920;
    d->shares_total = 7;
    d->shares_used = 7 - (int32_t)slices;
    d->mem_used_mib = d->shares_used * CUTS[0].mem_mib;
    t->profiles_n = CUTS_N;
    t->bits_total = 255;
    t->bits_used = 255u >> (unsigned)slices;
    t->bits_used = d->shares_used ? (t->bits_used << (unsigned)slices) & 127 : 0;
}

/* fill_pct: cards are up to that full; 200: all of them full; 150: all but two, which have room for
 * one share each; 250: half full or unused, half of them each. */
static void fill(struct cluster *c, int fill_pct)
{
    rnd_state = 42;
    for (size_t n = 0; n < c->nodes_n; n++) {
        struct score_group *g = &c->groups[n];
        *g = (struct score_group){.n = (uint16_t)c->cards_n};
        for (size_t i = 0; i < c->cards_n; i++) {
            struct score_device *d = &c->devices[n * c->cards_n + i];
            *d = (struct score_device){.mem_total_mib = n % 2 ? 24576 : 81920,
                                       .cores_total_pct = 100,
                                       .shares_total = 10,
                                       .index = (int32_t)i,
                                       .type = (uint16_t)(n % 2),
                                       .mode = 2,
                                       .uuid = STR("GPU-00000000-0000-0000-0000-000000000000")};
            if (fill_pct == 150 && i < 2) {
                d->mem_used_mib = d->mem_total_mib - 3100 - rnd(1000);
                d->cores_used_pct = 50;
                d->shares_used = 5;
            } else if (fill_pct == 250) {
                charge(d, rnd(2) ? 50 : 0);
                d->shares_used += d->shares_used == 0 && rnd(4) == 0;
            } else if (fill_pct > 100) {
                d->mem_used_mib = d->mem_total_mib - 100 + rnd(50);
                d->cores_used_pct = 90;
                d->shares_used = 9;
            } else {
                charge(d, fill_pct);
            }
            add_up(g, d);
        }
        c->nodes[n] = (struct score_node){.name = STR("node"),
                                          .groups = g,
                                          .devices = &c->devices[n * c->cards_n],
                                          .types = TYPES,
                                          .groups_n = 1,
                                          .devices_n = (uint16_t)c->cards_n,
                                          .types_n = TYPES_N};
    }
}

/* Makes the cards those of another row, with what its kind of cards has besides. Some slices and
 * cores are taken. */
static void turn_into(struct cluster *c, uint16_t vendor)
{
    rnd_state = 43;
    for (size_t n = 0; n < c->nodes_n; n++) {
        struct score_group *g = &c->groups[n];
        *g = (struct score_group){.vendor = vendor, .n = (uint16_t)c->cards_n};
        g->traits = &c->traits[n * c->cards_n];
        g->topology = vendor == PLAIN ? NULL : &near;
        c->nodes[n].profiles = CUTS;
        c->nodes[n].profiles_n = CUTS_N;
        for (size_t i = 0; i < c->cards_n; i++) {
            struct score_device *d = &c->devices[n * c->cards_n + i];
            struct score_trait *t = &c->traits[n * c->cards_n + i];
            *t = (struct score_trait){.zone = 1 + (int32_t)i / 4};
            if (vendor == BITS)
                t->bits_total = 3;
            if (vendor == UNITS)
                d->cores_total_pct = 304;
            t->bits_used = d->shares_used > 0 && rnd(2) ? t->bits_total & (1u + rnd(2) * 6u) : 0;
            if (vendor == PROFILES || (vendor == SLICES && i % 2))
                cut(d, t);
            add_up(g, d);
        }
        if (vendor == PLAIN || vendor == PAIRS)
            g->traits = NULL;
    }
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static const char *only = ""; /* cases */

/* One round over all nodes: its processor time, for the machine may have other work; and how many
 * fit. */
static double round_ns(const struct score_prepared *prep, const struct cluster *c,
                       const struct score_extra *extra, size_t *ret_fits)
{
    struct timespec a, b;
    *ret_fits = 0;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    for (size_t n = 0; n < c->nodes_n; n++) {
        struct score_verdict v;
        score_node_check(prep, &c->nodes[n], extra, &v);
        *ret_fits += v.fits;
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    return (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
}

static int prepare(const char *name, const struct score_request *req, struct arena *arena,
                   struct score_prepared *ret)
{
    struct err err = {.text = "out of memory"};
    if (arena && !score_request_check(req, &err) &&
        !score_prepare(req, TYPES, TYPES_N, arena, ret, &err))
        return 0;
    (void)fprintf(stderr, "core: %s: %s\n", name, err.text);
    return 1;
}

static int measure(const char *name, const struct cluster *c, const struct score_request *req,
                   const struct score_extra *extra)
{
    if (!strstr(name, only))
        return 0;
    struct arena *arena = arena_new(1 << 20);
    struct score_prepared prep;
    if (prepare(name, req, arena, &prep)) {
        arena_free(arena);
        return 1;
    }
    double ns[ROUNDS];
    size_t fits = 0;
    for (int r = 0; r < ROUNDS; r++)
        ns[r] = round_ns(&prep, c, extra, &fits);
    qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
    (void)printf("%-34s %8.1f us  %6.2f ns a card, at best %6.2f  %zu of %zu nodes fit\n", name,
                 ns[ROUNDS / 2] / 1000, ns[ROUNDS / 2] / (double)(c->nodes_n * c->cards_n),
                 ns[0] / (double)(c->nodes_n * c->cards_n), fits, c->nodes_n);
    arena_free(arena);
    return 0;
}

/* ---- near cards and slices beside the plain ask ---- */

static const struct {
    const char *name;
    uint16_t vendor;
    enum pattern pattern;
    bool aware;
    const char *mode; /* cards of this mode alone; NULL: any */
    int beside;       /* the column that is its measure; -1: it is one */
} WAYS[] = {
    {"plain", PAIRS, ISLANDS, false, NULL, -1},
    {"islands", PAIRS, ISLANDS, true, NULL, 0},
    {"a ring", PAIRS, RING, true, NULL, 0},
    {"all differ", PAIRS, ALL_DIFFER, true, NULL, 0},
    {"shares", SLICES, ISLANDS, false, "hami-core", -1},
    {"slices", SLICES, ISLANDS, false, "mig", 4},
    {"either", SLICES, ISLANDS, false, NULL, 4},
    {"profiles", PROFILES, ISLANDS, false, NULL, 4}, /* cards that nobody has plain shares of */
};
#define WAYS_N (sizeof(WAYS) / sizeof(WAYS[0]))
static const struct {
    const char *name;
    int pct;
} FILLS[] = {{"empty", 0}, {"half full", 250}, {"nearly full", 150}, {"full", 200}};

enum { RATIO_ASKS_MAX = 3 };
#define RATIO_ASK(c, n, mem, cores_)                                                               \
    {                                                                                              \
        .container = (c), .count = (n), .mem_mib = (mem), .cores_pct = (cores_)                    \
    }
static const struct ratio_ask {
    const char *name;
    struct score_ask asks[RATIO_ASKS_MAX];
    uint16_t asks_n, cards_min;
    bool quota;
} RATIO_ASKS[] = {
    {"one", {RATIO_ASK(0, 1, 2000, 10)}, 1, 1, false},
    {"two", {RATIO_ASK(0, 2, 2000, 10)}, 1, 2, false},
    {"four", {RATIO_ASK(0, 4, 2000, 10)}, 1, 4, false},
    {"eight", {RATIO_ASK(0, 8, 2000, 10)}, 1, 8, false},
    {"8, quota", {RATIO_ASK(0, 8, 2000, 10)}, 1, 8, true},
    {"1+1+1",
     {RATIO_ASK(0, 1, 3000, 20), RATIO_ASK(1, 1, 2900, 10), RATIO_ASK(2, 1, 1300, 40)},
     3,
     1,
     false},
    {"4+2", {RATIO_ASK(0, 4, 2000, 10), RATIO_ASK(1, 2, 3000, 20)}, 2, 4, false},
    {"8+8", {RATIO_ASK(0, 8, 2000, 10), RATIO_ASK(1, 8, 3000, 20)}, 2, 8, false},
};

static struct {
    double ratio;
    char where[64];
} worst[WAYS_N];

/* The best round of each way. */
static int ratio_row(struct cluster *c, int fill_pct, const char *fill_name,
                     const struct ratio_ask *what)
{
    enum { TURNS = 9 };
    static const enum score_step steps[] = {SCORE_STEP_APP, SCORE_STEP_APP, SCORE_STEP_APP};
    double best[WAYS_N] = {0};
    size_t fits[WAYS_N] = {0};
    int rc = 0;
    for (size_t w = 0; w < WAYS_N && !rc; w++) {
        struct score_ask own[RATIO_ASKS_MAX];
        for (uint16_t a = 0; a < what->asks_n; a++) {
            own[a] = what->asks[a];
            own[a].vendor = WAYS[w].vendor;
        }
        const struct score_quota quota = {
            .vendor = WAYS[w].vendor, .mem_set = true, .mem_left_mib = 1000000};
        const struct str mode = WAYS[w].mode ? str_z(WAYS[w].mode) : (struct str){NULL, 0};
        const struct score_selection sel = {
            .vendor = WAYS[w].vendor, .mode_set = true, .mode = mode};
        const struct score_request req = {.vendors = VENDORS,
                                          .vendors_n = KINDS,
                                          .steps = steps,
                                          .containers_n = 3,
                                          .asks = own,
                                          .asks_n = what->asks_n,
                                          .quotas = &quota,
                                          .quotas_n = what->quota,
                                          .selections = &sel,
                                          .selections_n = WAYS[w].mode ? 1 : 0,
                                          .policy = {.card = {SCORE_KEY_SPREAD, SCORE_KEY_NUMA},
                                                     .weight_slot = 1,
                                                     .weight_core = 1,
                                                     .weight_mem = 1,
                                                     .topology_aware = WAYS[w].aware}};
        struct score_prepared prep;
        struct arena *arena = arena_new(1 << 20);
        rc = prepare(WAYS[w].name, &req, arena, &prep);
        fill(c, fill_pct);
        turn_into(c, WAYS[w].vendor);
        lay_out(WAYS[w].pattern, c->cards_n);
        for (int t = 0; t < TURNS && !rc; t++) {
            const double ns = round_ns(&prep, c, NULL, &fits[w]);
            best[w] = t == 0 || ns < best[w] ? ns : best[w];
        }
        arena_free(arena);
    }
    char where[sizeof(worst[0].where)];
    (void)snprintf(where, sizeof(where), "%2zu cards, %-12s %-9s", c->cards_n, fill_name,
                   what->name);
    (void)fputs(where, stdout);
    for (size_t w = 0; w < WAYS_N; w++) {
        (void)printf("  %s %.1f", WAYS[w].name, best[w] / (double)(c->nodes_n * c->cards_n));
        if (WAYS[w].beside < 0)
            continue;
        const double ratio = best[w] / best[WAYS[w].beside];
        (void)printf(" (%.2f x)", ratio);
        if (ratio > worst[w].ratio) {
            worst[w].ratio = ratio;
            (void)strcpy(worst[w].where, where);
        }
    }
    (void)puts("");
    return rc;
}

static int ratios(size_t nodes_n, size_t cards_only, const char *fill_only)
{
    int rc = 0;
    for (size_t cards = 2; cards <= 16; cards += cards < 8 ? 2 : 4) {
        if (cards_only && cards != cards_only)
            continue;
        struct cluster c = build(nodes_n, cards);
        for (size_t f = 0; f < sizeof(FILLS) / sizeof(FILLS[0]); f++) {
            if (fill_only && strcmp(fill_only, FILLS[f].name) != 0)
                continue;
            for (size_t k = 0; k < sizeof(RATIO_ASKS) / sizeof(RATIO_ASKS[0]); k++)
                if (RATIO_ASKS[k].cards_min <= cards)
                    rc |= ratio_row(&c, FILLS[f].pct, FILLS[f].name, &RATIO_ASKS[k]);
        }
        demolish(&c);
    }
    for (size_t w = 0; w < WAYS_N; w++)
        if (WAYS[w].beside >= 0)
            (void)printf("at most: %s beside %s %.2f x (%s)\n", WAYS[w].name,
                         WAYS[WAYS[w].beside].name, worst[w].ratio, worst[w].where);
    return rc;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--ratios") == 0)
        return ratios(argc > 2 ? strtoul(argv[2], NULL, 10) : 1000,
                      argc > 3 ? strtoul(argv[3], NULL, 10) : 0, argc > 4 ? argv[4] : NULL);
    const long nodes_n = argc > 1 ? strtol(argv[1], NULL, 10) : 5000;
    const long cards_n = argc > 2 ? strtol(argv[2], NULL, 10) : 8;
    if (nodes_n < 1 || nodes_n > 1000000 || cards_n < 1 || cards_n > SCORE_DEVICES_MAX) {
        (void)fprintf(stderr, "usage: core [NODES [CARDS [NAME]]]   (1 to 1000000, 1 to %d)\n",
                      SCORE_DEVICES_MAX);
        return 2;
    }
    only = argc > 3 ? argv[3] : "";
    struct cluster c = build((size_t)nodes_n, (size_t)cards_n);
    lay_out(ISLANDS, (size_t)cards_n);
    struct score_extra *none = room(SCORE_DEVICES_MAX, sizeof(*none));

    const enum score_step steps[] = {SCORE_STEP_INIT, SCORE_STEP_APP, SCORE_STEP_APP};
    const struct score_ask one[] = {{.container = 1, .count = 1, .mem_mib = 2000, .cores_pct = 10}};
    const struct score_ask percent[] = {
        {.container = 1, .count = 1, .mem_pct = 8, .cores_pct = 10}};
    const struct score_ask four[] = {
        {.container = 1, .count = 4, .mem_mib = 2000, .cores_pct = 10}};
    const struct score_ask three[] = {
        {.container = 0, .count = 1, .mem_mib = 3000, .cores_pct = 20},
        {.container = 1, .count = 1, .mem_mib = 2000, .cores_pct = 10},
        {.container = 2, .count = 1, .mem_mib = 1000, .cores_pct = 10}};
    const struct str nouse[] = {STR_INIT("bench a")};
    const struct score_selection selection = {.nouse_types = nouse, .nouse_types_n = 1};
    const struct score_quota quota = {.mem_set = true, .mem_left_mib = 1000};
    const struct score_request base = {.vendors = VENDORS,
                                       .vendors_n = 1,
                                       .steps = steps,
                                       .containers_n = 3,
                                       .asks = one,
                                       .asks_n = 1,
                                       .policy = SCORE_POLICY_DEFAULT};
    struct score_request req = base;
    int rc = 0;

    fill(&c, 0);
    rc |= measure("one share, empty", &c, &req, NULL);
    fill(&c, 50);
    rc |= measure("one share, half full", &c, &req, NULL);
    req.policy.card[0] = SCORE_KEY_BINPACK;
    rc |= measure("one share, half full, binpack", &c, &req, NULL);
    req = base;
    rc |= measure("one share, half full, with holds", &c, &req, none);
    req.selections = &selection;
    req.selections_n = 1;
    rc |= measure("one share, half full, by type", &c, &req, NULL);
    req = base;
    req.asks = percent;
    rc |= measure("8 % of a card, half full", &c, &req, NULL);
    req.asks = four;
    rc |= measure("four cards, half full", &c, &req, NULL);
    req.asks = three;
    req.asks_n = 3;
    rc |= measure("three containers, half full", &c, &req, NULL);
    req = base;
    req.quotas = &quota;
    req.quotas_n = 1;
    rc |= measure("one share, quota short: refused", &c, &req, NULL);
    fill(&c, 100);
    req = base;
    rc |= measure("one share, nearly full", &c, &req, NULL);
    fill(&c, 200);
    rc |= measure("one share, full: refused", &c, &req, NULL);
    rc |= measure("one share, full, holds: refused", &c, &req, none);
    req.asks = four;
    rc |= measure("four cards, full: refused", &c, &req, NULL);
    req.asks = three;
    req.asks_n = 3;
    rc |= measure("three containers, full: refused", &c, &req, NULL);

    const enum score_step apps[] = {SCORE_STEP_APP, SCORE_STEP_APP, SCORE_STEP_APP};
    fill(&c, 150);
    req.steps = apps;
    const struct score_ask equal[] = {
        {.container = 0, .count = 1, .mem_mib = 2500, .cores_pct = 10},
        {.container = 1, .count = 1, .mem_mib = 2500, .cores_pct = 10},
        {.container = 2, .count = 1, .mem_mib = 2500, .cores_pct = 10}};
    req.asks = equal;
    rc |= measure("three equal, room for two: refused", &c, &req, NULL);
    const struct score_ask uneven[] = {
        {.container = 0, .count = 1, .mem_mib = 3000, .cores_pct = 20},
        {.container = 1, .count = 1, .mem_mib = 2900, .cores_pct = 10},
        {.container = 2, .count = 1, .mem_mib = 1300, .cores_pct = 40}};
    req.asks = uneven;
    rc |= measure("uneven, refused after a search", &c, &req, NULL);

    static const struct {
        const char *name;
        uint16_t vendor;
        struct score_ask ask;
        bool aware;
    } kinds[] = {
        {"plain", PLAIN, {.count = 1, .mem_mib = 2000, .cores_pct = 10}, false},
        {"plain, four", PLAIN, {.count = 4, .mem_mib = 2000, .cores_pct = 10}, false},
        {"pairs, one, not asked for", PAIRS, {.count = 1, .mem_mib = 2000, .cores_pct = 10}, false},
        {"pairs, one", PAIRS, {.count = 1, .mem_mib = 2000, .cores_pct = 10}, true},
        {"pairs, four", PAIRS, {.count = 4, .mem_mib = 2000, .cores_pct = 10}, true},
        {"zones, one", ZONES, {.count = 1, .mem_mib = 2000, .cores_pct = 10}, false},
        {"zones, three", ZONES, {.count = 3, .mem_mib = 2000, .cores_pct = 10}, false},
        {"zones that fit, one", ZONES_FIT, {.count = 1, .mem_mib = 2000, .cores_pct = 10}, false},
        {"zones that fit, two whole",
         ZONES_FIT,
         {.count = 2, .mem_pct = 100, .cores_pct = 100},
         false},
        {"modules, two", MODULES, {.count = 2, .mem_pct = 100, .cores_pct = 100}, false},
        {"wings, one", WINGS, {.count = 1, .mem_pct = 100, .cores_pct = 100}, false},
        {"wings, four", WINGS, {.count = 4, .mem_pct = 100, .cores_pct = 100}, false},
        {"blocks, four", BLOCKS, {.count = 4, .mem_pct = 100, .cores_pct = 100}, false},
        {"bits, one", BITS, {.count = 1, .cores_pct = 1}, false},
        {"units, one", UNITS, {.count = 1, .mem_mib = 2000, .cores_pct = 10}, false},
        {"slices beside shares, one",
         SLICES,
         {.count = 1, .mem_mib = 2000, .cores_pct = 10},
         false},
        {"slices beside shares, four",
         SLICES,
         {.count = 4, .mem_mib = 2000, .cores_pct = 10},
         false},
        {"profiles, one", PROFILES, {.count = 1, .mem_mib = 15000, .cores_pct = 10}, false},
        {"profiles, two", PROFILES, {.count = 2, .mem_mib = 15000, .cores_pct = 10}, false},
    };
    req = base;
    req.vendors_n = KINDS;
    req.steps = apps;
    req.containers_n = 1;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        struct score_ask ask = kinds[i].ask;
        ask.vendor = kinds[i].vendor;
        req.asks = &ask;
        req.policy.topology_aware = kinds[i].aware;
        fill(&c, 250);
        turn_into(&c, kinds[i].vendor);
        rc |= measure(kinds[i].name, &c, &req, NULL);
    }

    free(none);
    demolish(&c);
    return rc;
}
