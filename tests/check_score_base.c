/* The shared parts of the decision's tests. */
#include "check_score.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t case_seed;

#define CHECKS_AS_WRITTEN                                                                          \
    SCORE_CHECK_HEALTH, SCORE_CHECK_CORDON, SCORE_CHECK_TYPE, SCORE_CHECK_NUMA, SCORE_CHECK_UUID,  \
        SCORE_CHECK_SLOTS, SCORE_CHECK_MUTEX, SCORE_CHECK_QUOTA, SCORE_CHECK_MEMORY,               \
        SCORE_CHECK_CORES, SCORE_CHECK_EXCLUSIVE, SCORE_CHECK_ZERO_CORES, SCORE_CHECK_PLACEMENT

#define CHECKS_COMMON                                                                              \
    SCORE_CHECK_HEALTH, SCORE_CHECK_TYPE, SCORE_CHECK_UUID, SCORE_CHECK_SLOTS, SCORE_CHECK_MUTEX,  \
        SCORE_CHECK_QUOTA, SCORE_CHECK_MEMORY, SCORE_CHECK_CORES, SCORE_CHECK_EXCLUSIVE,           \
        SCORE_CHECK_ZERO_CORES

const struct score_vendor VENDORS[V_COUNT] = {
    [V_FULL] = {.key = STR_INIT("FULL"), .checks = {CHECKS_AS_WRITTEN, SCORE_CHECK_END}},
    [V_OTHER] = {.key = STR_INIT("OTHER"),
                 .checks = {SCORE_CHECK_CORES, SCORE_CHECK_MEMORY, SCORE_CHECK_SLOTS,
                            SCORE_CHECK_QUOTA, SCORE_CHECK_MUTEX, SCORE_CHECK_ZERO_CORES,
                            SCORE_CHECK_EXCLUSIVE, SCORE_CHECK_UUID, SCORE_CHECK_TYPE,
                            SCORE_CHECK_PLACEMENT, SCORE_CHECK_CORDON, SCORE_CHECK_HEALTH,
                            SCORE_CHECK_END}},
    [V_SLOTS] = {.key = STR_INIT("SLOTS"), .checks = {SCORE_CHECK_SLOTS, SCORE_CHECK_END}},
    [V_NEAR] = {.key = STR_INIT("NEAR"),
                .checks = {CHECKS_AS_WRITTEN, SCORE_CHECK_END},
                .select = SCORE_SELECT_PAIRS,
                .quality = SCORE_QUALITY_PAIRS},
    [V_ZONES] = {.key = STR_INIT("ZONES"),
                 .checks = {SCORE_CHECK_SOFT, CHECKS_COMMON, SCORE_CHECK_END},
                 .select = SCORE_SELECT_ZONES,
                 .quality = SCORE_QUALITY_ZONES},
    [V_MODULES] = {.key = STR_INIT("MODULES"),
                   .checks = {SCORE_CHECK_SOFT, CHECKS_COMMON, SCORE_CHECK_END},
                   .select = SCORE_SELECT_MODULES,
                   .quality = SCORE_QUALITY_ZONES},
    [V_ONE] = {.key = STR_INIT("ONE"),
               .checks = {CHECKS_COMMON, SCORE_CHECK_ONE_CARD, SCORE_CHECK_END},
               .quality = SCORE_QUALITY_TABLE},
    [V_CLASS] = {.key = STR_INIT("CLASS"),
                 .checks = {SCORE_CHECK_TYPE, SCORE_CHECK_HEALTH, SCORE_CHECK_CLASS,
                            SCORE_CHECK_QOS, SCORE_CHECK_UUID, SCORE_CHECK_SLOTS, SCORE_CHECK_MUTEX,
                            SCORE_CHECK_QUOTA, SCORE_CHECK_MEMORY, SCORE_CHECK_CORES,
                            SCORE_CHECK_EXCLUSIVE, SCORE_CHECK_ZERO_CORES, SCORE_CHECK_END},
                 .reasons = {[SCORE_CHECK_HEALTH] = SCORE_CARD_UNHEALTHY},
                 .select = SCORE_SELECT_ZONES_FIT,
                 .quality = SCORE_QUALITY_LINKS},
    [V_FREE] = {.key = STR_INIT("FREE"),
                .checks = {SCORE_CHECK_HEALTH, SCORE_CHECK_TYPE, SCORE_CHECK_FREE,
                           SCORE_CHECK_END}},
    [V_PROFILE] = {.key = STR_INIT("PROFILE"),
                   .checks = {SCORE_CHECK_PLACEMENT, SCORE_CHECK_HEALTH, SCORE_CHECK_TYPE,
                              SCORE_CHECK_UUID, SCORE_CHECK_SLOTS, SCORE_CHECK_MUTEX,
                              SCORE_CHECK_QUOTA, SCORE_CHECK_MEMORY, SCORE_CHECK_CORES,
                              SCORE_CHECK_END},
                   .reasons = {[SCORE_CHECK_PLACEMENT] = SCORE_MODE_NOT_FIT},
                   .amount = SCORE_AMOUNT_PROFILE},
    [V_WINGS] =
        {.key = STR_INIT("WINGS"),
         .checks = {SCORE_CHECK_TYPE, SCORE_CHECK_UUID, SCORE_CHECK_FREE, SCORE_CHECK_HEALTH,
                    SCORE_CHECK_END},
         .reasons =
             {[SCORE_CHECK_FREE] = SCORE_NUMA_NOT_FIT, [SCORE_CHECK_HEALTH] = SCORE_NUMA_NOT_FIT},
         .select_reason = SCORE_NUMA_NOT_FIT,
         .select = SCORE_SELECT_WINGS,
         .quality = SCORE_QUALITY_WINGS},
    [V_EQUAL] = {.key = STR_INIT("EQUAL"),
                 .checks = {SCORE_CHECK_TYPE, SCORE_CHECK_UUID, SCORE_CHECK_MUTEX,
                            SCORE_CHECK_HEALTH, SCORE_CHECK_QUOTA, SCORE_CHECK_MEMORY,
                            SCORE_CHECK_EQUAL, SCORE_CHECK_END},
                 .reasons = {[SCORE_CHECK_EQUAL] = SCORE_NUMA_NOT_FIT},
                 .select_reason = SCORE_NUMA_NOT_FIT,
                 .select = SCORE_SELECT_WINGS},
    [V_BITS] = {.key = STR_INIT("BITS"),
                .checks = {SCORE_CHECK_HEALTH, SCORE_CHECK_TYPE, SCORE_CHECK_UUID,
                           SCORE_CHECK_SLOTS, SCORE_CHECK_MUTEX, SCORE_CHECK_QUOTA,
                           SCORE_CHECK_CORES, SCORE_CHECK_END},
                .select_reason = SCORE_NUMA_NOT_FIT,
                .amount = SCORE_AMOUNT_BITS,
                .select = SCORE_SELECT_BLOCKS},
    [V_UNITS] = {.key = STR_INIT("UNITS"),
                 .checks = {SCORE_CHECK_HEALTH, SCORE_CHECK_TYPE, SCORE_CHECK_UUID,
                            SCORE_CHECK_SLOTS, SCORE_CHECK_MUTEX, SCORE_CHECK_QUOTA,
                            SCORE_CHECK_MEMORY, SCORE_CHECK_CORES, SCORE_CHECK_END},
                 .amount = SCORE_AMOUNT_UNITS},
    [V_DIES] = {.key = STR_INIT("DIES"),
                .checks = {SCORE_CHECK_HEALTH, SCORE_CHECK_TYPE, SCORE_CHECK_UUID,
                           SCORE_CHECK_SLOTS, SCORE_CHECK_ZONE_MUTEX, SCORE_CHECK_END},
                .select = SCORE_SELECT_ZONES,
                .quality = SCORE_QUALITY_ZONES},
};

const struct str TYPES[T_COUNT] = {
    [T_A10] = STR_INIT("NVIDIA A10"),   [T_A100] = STR_INIT("NVIDIA A100-SXM4-80GB"),
    [T_H100] = STR_INIT("NVIDIA H100"), [T_CORE] = STR_INIT("hami-core"),
    [T_MIG] = STR_INIT("mig"),          [T_NONE] = STR_INIT(""),
};

void cluster_init(struct cluster *c)
{
    memset(c, 0, sizeof(*c));
    c->node = (struct score_node){.name = STR("node-a"),
                                  .groups = c->groups,
                                  .devices = c->devices,
                                  .types = TYPES,
                                  .profiles = c->profiles,
                                  .types_n = T_COUNT};
}

static struct score_group *last_group(struct cluster *c)
{
    ck_assert_uint_gt(c->node.groups_n, 0);
    return &c->groups[c->node.groups_n - 1];
}

struct score_trait *cluster_traits(struct cluster *c)
{
    struct score_group *g = last_group(c);
    g->traits = c->traits + g->first;
    for (unsigned i = 0; i < g->n; i++)
        c->traits[g->first + i] = (struct score_trait){.zone = SCORE_ZONE_NONE};
    return c->traits + g->first;
}

struct score_topology *cluster_topology(struct cluster *c, bool pairs)
{
    struct score_group *g = last_group(c);
    g->topology = &c->topology;
    c->topology = (struct score_topology){.n = g->n};
    if (pairs) {
        ck_assert_uint_le(g->n, 16);
        memset(c->pair, 0, sizeof(c->pair));
        c->topology.pair = c->pair;
        c->topology.near = c->near;
        if (g->n <= SCORE_BOUND_CARDS)
            c->topology.bound = c->bound;
        cluster_pair(c, 0, 0, 0);
    }
    return &c->topology;
}

void cluster_pair(struct cluster *c, unsigned i, unsigned j, int32_t value)
{
    c->pair[i * c->topology.n + j] = c->pair[j * c->topology.n + i] = value;
    if (c->topology.bound)
        score_topology_bound(c->pair, c->topology.n, c->bound);
    if (c->topology.near)
        score_topology_near(c->pair, c->topology.n, c->near);
}

void cluster_charge(struct cluster *c, const struct pod *p, const struct score_placement *pl)
{
    static struct score_use use[SCORE_PARTS_MAX];
    const uint16_t n = score_effective_use(p->steps, p->asks, pl->parts, pl->parts_n, use);
    for (unsigned i = 0; i < n; i++) {
        struct score_device *d = &c->devices[use[i].device];
        d->mem_used_mib += use[i].mem_mib;
        d->cores_used_pct += use[i].cores_pct;
        d->shares_used += use[i].shares;
        c->traits[use[i].device].bits_used |= use[i].bits;
    }
    cluster_sum(c);
}

void cluster_sum(struct cluster *c)
{
    for (unsigned i = 0; i < c->node.groups_n; i++) {
        struct score_group *g = &c->groups[i];
        struct score_group sum = {.vendor = g->vendor,
                                  .first = g->first,
                                  .n = g->n,
                                  .closed = g->closed,
                                  .traits = g->traits,
                                  .topology = g->topology};
        for (unsigned j = 0; j < g->n; j++) {
            const struct score_device *d = &c->devices[g->first + j];
            sum.mem_total_mib += d->mem_total_mib;
            sum.mem_used_mib += d->mem_used_mib;
            sum.cores_total_pct += d->cores_total_pct;
            sum.cores_used_pct += d->cores_used_pct;
            sum.shares_total += d->shares_total;
            sum.shares_used += d->shares_used;
        }
        *g = sum;
    }
}

void cluster_add(struct cluster *c, uint16_t vendor, const struct score_device *cards, unsigned n)
{
    const unsigned first = c->node.devices_n;
    c->groups[c->node.groups_n++] =
        (struct score_group){.vendor = vendor, .first = (uint16_t)first, .n = (uint16_t)n};
    for (unsigned i = 0; i < n; i++) {
        struct score_device *d = &c->devices[first + i];
        *d = cards[i];
        if (!d->uuid.p) {
            (void)snprintf(c->uuids[first + i], sizeof(c->uuids[0]), "G%03u", first + i);
            d->uuid = str_z(c->uuids[first + i]);
            d->index = (int32_t)i;
        }
    }
    c->node.devices_n = (uint16_t)(first + n);
    cluster_sum(c);
}

void pod_init(struct pod *p)
{
    memset(p, 0, sizeof(*p));
    p->req = (struct score_request){.vendors = VENDORS,
                                    .vendors_n = V_COUNT,
                                    .steps = p->steps,
                                    .asks = p->asks,
                                    .selections = &p->selection,
                                    .quotas = p->quotas,
                                    .policy = SCORE_POLICY_DEFAULT};
}

void pod_ask(struct pod *p, enum score_step step, struct score_ask ask)
{
    p->steps[p->req.containers_n] = step;
    ask.container = p->req.containers_n++;
    p->asks[p->req.asks_n++] = ask;
}

bool same_verdict(const struct score_verdict *a, const struct score_verdict *b)
{
    return a->fits == b->fits && a->unresolvable == b->unresolvable && a->reasons == b->reasons &&
           a->score == b->score;
}

bool same_placement(const struct score_placement *a, const struct score_placement *b)
{
    if (a->parts_n != b->parts_n)
        return false;
    for (unsigned i = 0; i < a->parts_n; i++)
        if (a->parts[i].ask != b->parts[i].ask || a->parts[i].device != b->parts[i].device ||
            a->parts[i].mem_mib != b->parts[i].mem_mib ||
            a->parts[i].cores_pct != b->parts[i].cores_pct ||
            a->parts[i].shares != b->parts[i].shares ||
            a->parts[i].profile != b->parts[i].profile || a->parts[i].bits != b->parts[i].bits)
            return false;
    return true;
}

static bool same_detail(const struct score_detail *a, const struct score_detail *b)
{
    return memcmp(a->counts, b->counts, sizeof(a->counts)) == 0 && a->candidates == b->candidates &&
           a->ask == b->ask && a->wanted == b->wanted && a->free == b->free &&
           a->total == b->total && a->reason == b->reason;
}

void decide(const struct pod *p, const struct cluster *c, const struct score_extra *extra,
            struct result *ret)
{
    struct err err = {0};
    ck_assert_msg(score_request_check(&p->req, &err) == ERR_OK, "request: %s", err.text);
    static struct arena *arena; /* one for all cases: making it costs more than deciding */
    if (!arena)
        arena = arena_new(1 << 20);
    ck_assert_ptr_nonnull(arena);
    arena_reset(arena);
    struct score_prepared prep;
    ck_assert_msg(score_prepare(&p->req, TYPES, T_COUNT, arena, &prep, &err) == ERR_OK,
                  "prepare: %s", err.text);
    struct score_verdict checked, bare;
    static struct score_placement plain;
    static struct result other;
    score_node_place(&prep, &c->node, extra, &ret->v, &ret->placement, &ret->detail);
    score_node_check(&prep, &c->node, extra, &checked);
    score_node_place(&prep, &c->node, extra, &bare, &plain, NULL);
    ck_assert_msg(same_verdict(&ret->v, &checked),
                  "PROP_SEED=%" PRIu64 ": place %d %d %#x %lld, check %d %d %#x %lld", case_seed,
                  ret->v.fits, ret->v.unresolvable, ret->v.reasons, (long long)ret->v.score,
                  checked.fits, checked.unresolvable, checked.reasons, (long long)checked.score);
    ck_assert_msg(same_verdict(&ret->v, &bare),
                  "PROP_SEED=%" PRIu64 ": place with and without detail differ", case_seed);
    ck_assert_msg(same_placement(&ret->placement, &plain),
                  "PROP_SEED=%" PRIu64 ": placements differ with detail", case_seed);
    /* The fast way and the general one. */
    prep.simple = false;
    score_node_place(&prep, &c->node, extra, &other.v, &other.placement, &other.detail);
    ck_assert_msg(same_verdict(&ret->v, &other.v),
                  "PROP_SEED=%" PRIu64 ": fast %d %d %#x %lld, general %d %d %#x %lld", case_seed,
                  ret->v.fits, ret->v.unresolvable, ret->v.reasons, (long long)ret->v.score,
                  other.v.fits, other.v.unresolvable, other.v.reasons, (long long)other.v.score);
    ck_assert_msg(same_placement(&ret->placement, &other.placement),
                  "PROP_SEED=%" PRIu64 ": ways place differently", case_seed);
    ck_assert_msg(same_detail(&ret->detail, &other.detail),
                  "PROP_SEED=%" PRIu64 ": ways explain differently", case_seed);
    /* What holds of every answer. */
    ck_assert_int_eq(ret->v.fits, ret->v.reasons == 0);
    ck_assert(!ret->v.fits || !ret->v.unresolvable);
    ck_assert_int_ge(ret->v.score, 0);
    ck_assert_int_le(ret->v.score, SCORE_MAX);
    ck_assert(ret->v.fits || ret->v.score == 0);
    ck_assert_int_eq(ret->placement.parts_n == 0, !ret->v.fits);
}

uint64_t seed_start(void)
{
    const char *text = getenv("PROP_SEED"); /* NOLINT(concurrency-mt-unsafe): one thread */
    return text && *text ? strtoull(text, NULL, 0) : 20261122;
}

uint64_t rnd_u64(struct rnd *r) /* splitmix64 */
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

int64_t rnd_in(struct rnd *r, int64_t low, int64_t high)
{
    return low + (int64_t)(rnd_u64(r) % (uint64_t)(high - low + 1));
}

bool rnd_one_in(struct rnd *r, int n) { return rnd_in(r, 1, n) == 1; }
