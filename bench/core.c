/* What the decision alone costs: ns a card of score_node_check over a cluster of 5000 nodes with 8
 * cards, each call afresh. No server, no JSON, no store. Usage: core [NODES [CARDS]]; one line a
 * case on standard output. */
#include "score/score.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 41 /* the median of these */

static const struct score_vendor VENDORS[] = {
    {.key = STR_INIT("bench"),
     .checks = {SCORE_CHECK_HEALTH, SCORE_CHECK_CORDON, SCORE_CHECK_TYPE, SCORE_CHECK_UUID,
                SCORE_CHECK_SLOTS, SCORE_CHECK_MUTEX, SCORE_CHECK_QUOTA, SCORE_CHECK_MEMORY,
                SCORE_CHECK_CORES, SCORE_CHECK_EXCLUSIVE, SCORE_CHECK_ZERO_CORES,
                SCORE_CHECK_PLACEMENT, SCORE_CHECK_END}}};
static const struct str TYPES[] = {STR_INIT("Bench A"), STR_INIT("Bench B"), STR_INIT("hami-core")};
#define TYPES_N 3

struct cluster {
    size_t nodes_n, cards_n;
    struct score_node *nodes;
    struct score_group *groups;
    struct score_device *devices;
};

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
    return c;
}

/* fill_pct: cards are up to that full; 200: all of them full; 150: all but two, which have room for
 * one share each. */
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
            } else if (fill_pct > 100) {
                d->mem_used_mib = d->mem_total_mib - 100 + rnd(50);
                d->cores_used_pct = 90;
                d->shares_used = 9;
            } else {
                charge(d, fill_pct);
            }
            g->mem_total_mib += d->mem_total_mib;
            g->mem_used_mib += d->mem_used_mib;
            g->cores_total_pct += d->cores_total_pct;
            g->cores_used_pct += d->cores_used_pct;
            g->shares_total += d->shares_total;
            g->shares_used += d->shares_used;
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

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static int measure(const char *name, const struct cluster *c, const struct score_request *req,
                   const struct score_extra *extra)
{
    struct err err = {0};
    struct arena *arena = arena_new(1 << 20);
    struct score_prepared prep;
    if (!arena || score_request_check(req, &err) ||
        score_prepare(req, TYPES, TYPES_N, arena, &prep, &err)) {
        (void)fprintf(stderr, "core: %s: %s\n", name, err.text);
        arena_free(arena);
        return 1;
    }
    double ns[ROUNDS];
    size_t fits = 0;
    for (int r = 0; r < ROUNDS; r++) {
        struct timespec a, b;
        fits = 0;
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (size_t n = 0; n < c->nodes_n; n++) {
            struct score_verdict v;
            score_node_check(&prep, &c->nodes[n], extra, &v);
            fits += v.fits;
        }
        clock_gettime(CLOCK_MONOTONIC, &b);
        ns[r] = (double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec);
    }
    qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
    (void)printf("%-34s %8.1f us  %6.2f ns a card, at best %6.2f  %zu of %zu nodes fit\n", name,
                 ns[ROUNDS / 2] / 1000, ns[ROUNDS / 2] / (double)(c->nodes_n * c->cards_n),
                 ns[0] / (double)(c->nodes_n * c->cards_n), fits, c->nodes_n);
    arena_free(arena);
    return 0;
}

int main(int argc, char **argv)
{
    const long nodes_n = argc > 1 ? strtol(argv[1], NULL, 10) : 5000;
    const long cards_n = argc > 2 ? strtol(argv[2], NULL, 10) : 8;
    if (nodes_n < 1 || nodes_n > 1000000 || cards_n < 1 || cards_n > SCORE_DEVICES_MAX) {
        (void)fprintf(stderr, "usage: core [NODES [CARDS]]   (1 to 1000000, 1 to %d)\n",
                      SCORE_DEVICES_MAX);
        return 2;
    }
    struct cluster c = build((size_t)nodes_n, (size_t)cards_n);
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

    free(none);
    free(c.devices);
    free(c.groups);
    free(c.nodes);
    return rc;
}
