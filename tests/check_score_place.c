/* Several containers, init containers and sidecars, the use that results, the order of cards and
 * the score of nodes. */
#include "check_score.h"

#include <stdio.h>
#include <string.h>

/* ---- which cards: one row a pod on one node ---- */

#define INIT SCORE_STEP_INIT
#define SIDE SCORE_STEP_SIDECAR
#define APP  SCORE_STEP_APP

struct want_ask {
    enum score_step step;
    uint16_t vendor;
    int32_t count;
    int64_t mem;
    int32_t cores;
    int32_t pct;
};

// clang-format off
#define CARDS(...) .cards = {__VA_ARGS__}
#define ASKS(...) .asks = {__VA_ARGS__}
#define SMALL(total, ...) CARD(.mem_total_mib = (total), __VA_ARGS__)
#define POLICY(...) .policy = {__VA_ARGS__, .weight_slot = 1, .weight_core = 1, .weight_mem = 1}
#define SPREAD {SCORE_KEY_SPREAD}
#define BINPACK {SCORE_KEY_BINPACK}
#define MEM_LEFT(n) .quota = {.mem_set = true, .mem_left_mib = (n)}
#define CORES_LEFT(n) .quota = {.cores_set = true, .cores_left_pct = (n)}

static const struct place_row {
    const char *name;
    struct score_device cards[5];
    struct want_ask asks[6];
    struct score_policy policy; /* all zero: the default */
    struct score_quota quota;
    const char *want; /* "ask:device ask:device", in order of asks; "" refused */
    score_reasons reasons;
    bool never;
} PLACES[] = {
#define GIVEN_BOTH CARDS(CARD(.mem_used_mib = 12288, .cores_used_pct = 60, .shares_used = 2), CARD())
    {"core.md 17: spread takes the idle card", GIVEN_BOTH, ASKS({APP, .count = 1, .mem = 4000, .cores = 20}), .want = "0:1"},
    {"binpack takes the fuller card", GIVEN_BOTH, ASKS({APP, .count = 1, .mem = 4000, .cores = 20}), POLICY(.card = BINPACK), .want = "0:0"},
    {"binpack: the fuller card does not fit", GIVEN_BOTH, ASKS({APP, .count = 1, .mem = 4000, .cores = 50}), POLICY(.card = BINPACK), .want = "0:1"},
    {"ties: the lower index", CARDS(CARD(), CARD(), CARD()), ASKS({APP, .count = 1, .mem = 1}), .want = "0:0"},
    {"ties under binpack: the lower index", CARDS(CARD(), CARD(), CARD()), ASKS({APP, .count = 1, .mem = 1}), POLICY(.card = BINPACK), .want = "0:0"},
    {"no key: the lower index", CARDS(CARD(.shares_used = 3), CARD()), ASKS({APP, .count = 1, .mem = 1}), POLICY(.card_mutex = false), .want = "0:0"},
    {"numa: the lower node", CARDS(CARD(.numa = 2), CARD(.numa = -1), CARD(.numa = 1)), ASKS({APP, .count = 1, .mem = 1}), POLICY(.card = {SCORE_KEY_NUMA}), .want = "0:1"},
    {"numa, then binpack", CARDS(CARD(.numa = 1, .shares_used = 5), CARD(.numa = 0), CARD(.numa = 0, .shares_used = 1)), ASKS({APP, .count = 1, .mem = 1}), POLICY(.card = {SCORE_KEY_NUMA, SCORE_KEY_BINPACK}), .want = "0:2"},
    {"spread, then numa", CARDS(CARD(.numa = 1), CARD(.numa = 0), CARD(.numa = 0, .shares_used = 1)), ASKS({APP, .count = 1, .mem = 1}), POLICY(.card = {SCORE_KEY_SPREAD, SCORE_KEY_NUMA}), .want = "0:1"},
    {"a second utilisation key decides nothing", CARDS(CARD(.numa = 1), CARD(.numa = 0)), ASKS({APP, .count = 1, .mem = 1}), POLICY(.card = {SCORE_KEY_BINPACK, SCORE_KEY_SPREAD, SCORE_KEY_NUMA}), .want = "0:1"},
    {"spread counts the ask: on the small card it weighs more", CARDS(SMALL(1000, .mem_used_mib = 100), SMALL(10000, .mem_used_mib = 1500)), ASKS({APP, .count = 1, .mem = 800}), .want = "0:1"},
    {"mutex: the unused card though binpack", CARDS(CARD(.shares_used = 1), CARD()), ASKS({APP, .count = 1, .mem = 1}), POLICY(.card = BINPACK, .card_mutex = true), .want = "0:1"},
    {"two cards: in the order taken", CARDS(CARD(.shares_used = 1), CARD(.shares_used = 5), CARD()), ASKS({APP, .count = 2, .mem = 1}), .want = "0:2 0:0"},
    {"all cards", CARDS(CARD(), CARD(.shares_used = 5), CARD()), ASKS({APP, .count = 3, .mem = 1}), POLICY(.card = BINPACK), .want = "0:1 0:0 0:2"},
    /* app containers */
    {"spread: two containers, two cards", CARDS(CARD(), CARD()), ASKS({APP, .count = 1, .mem = 100}, {APP, .count = 1, .mem = 100}), .want = "0:0 1:1"},
    {"binpack: two containers, one card", CARDS(CARD(), CARD()), ASKS({APP, .count = 1, .mem = 100}, {APP, .count = 1, .mem = 100}), POLICY(.card = BINPACK), .want = "0:0 1:0"},
    {"both fill one card exactly", CARDS(SMALL(1000)), ASKS({APP, .count = 1, .mem = 400}, {APP, .count = 1, .mem = 600}), .want = "0:0 1:0"},
    {"together one MiB over", CARDS(SMALL(1000)), ASKS({APP, .count = 1, .mem = 400}, {APP, .count = 1, .mem = 601}), .want = "", .reasons = SCORE_BIT(SCORE_CARD_INSUFFICIENT_MEMORY), .never = true},
    {"together over, emptier would do", CARDS(SMALL(1000, .mem_used_mib = 1)), ASKS({APP, .count = 1, .mem = 400}, {APP, .count = 1, .mem = 600}), .want = "", .reasons = SCORE_BIT(SCORE_CARD_INSUFFICIENT_MEMORY)},
    {"together more shares than there are", CARDS(CARD(.shares_total = 1)), ASKS({APP, .count = 1, .mem = 1}, {APP, .count = 1, .mem = 1}), .want = "", .reasons = SCORE_BIT(SCORE_CARD_TIME_SLICING_EXHAUSTED), .never = true},
    {"mutex between containers of one pod", CARDS(CARD()), ASKS({APP, .count = 1, .mem = 1}, {APP, .count = 1, .mem = 1}), POLICY(.card = SPREAD, .card_mutex = true), .want = "", .reasons = SCORE_BIT(SCORE_EXCLUSIVE_DEVICE_ALLOCATE_CONFLICT), .never = true},
    {"core 100 beside a container of the pod", CARDS(CARD()), ASKS({APP, .count = 1, .mem = 1}, {APP, .count = 1, .mem = 1, .cores = 100}), .want = "", .reasons = SCORE_BIT(SCORE_EXCLUSIVE_DEVICE_ALLOCATE_CONFLICT), .never = true},
    {"0 cores beside core 100 of the pod", CARDS(CARD()), ASKS({APP, .count = 1, .mem = 1, .cores = 100}, {APP, .count = 1, .mem = 1}), .want = "", .reasons = SCORE_BIT(SCORE_CARD_COMPUTE_UNITS_EXHAUSTED), .never = true},
    {"0 cores first, then 100 in two parts", CARDS(CARD()), ASKS({APP, .count = 1, .mem = 1}, {APP, .count = 1, .mem = 1, .cores = 60}, {APP, .count = 1, .mem = 1, .cores = 40}), .want = "0:0 1:0 2:0"},
    /* where the greedy choice gets stuck */
    {"spread would take the large card", CARDS(SMALL(100), SMALL(1000)), ASKS({APP, .count = 1, .mem = 100}, {APP, .count = 1, .mem = 1000}), .want = "0:0 1:1"},
    {"binpack would take the large card", CARDS(SMALL(1000, .mem_used_mib = 500, .shares_used = 1), SMALL(100)), ASKS({APP, .count = 1, .mem = 100}, {APP, .count = 1, .mem = 500}), POLICY(.card = BINPACK), .want = "0:1 1:0"},
    {"two that fit and a third that moves them", CARDS(SMALL(600), SMALL(500), SMALL(400)), ASKS({APP, .count = 1, .mem = 400}, {APP, .count = 1, .mem = 500}, {APP, .count = 1, .mem = 600}), .want = "0:2 1:1 2:0"},
    {"two cards of one container move for the next", CARDS(SMALL(1000), SMALL(100), SMALL(100)), ASKS({APP, .count = 2, .mem = 100}, {APP, .count = 1, .mem = 1000}), .want = "0:1 0:2 1:0"},
    {"an init step needs the sidecar elsewhere", CARDS(SMALL(1000), SMALL(300)), ASKS({SIDE, .count = 1, .mem = 200}, {INIT, .count = 1, .mem = 900}), .want = "0:1 1:0"},
    /* init containers */
    {"an init step takes the app's card", CARDS(CARD(), CARD()), ASKS({INIT, .count = 1, .mem = 100}, {APP, .count = 1, .mem = 100}), .want = "0:0 1:0"},
    {"init steps take one card after the other", CARDS(CARD(), CARD()), ASKS({INIT, .count = 1, .mem = 100}, {INIT, .count = 1, .mem = 90}), .want = "0:0 1:0"},
    {"an init step larger than the app: only what exceeds counts", CARDS(SMALL(1000, .mem_used_mib = 200)), ASKS({INIT, .count = 1, .mem = 800}, {APP, .count = 1, .mem = 500}), .want = "0:0 1:0"},
    {"an init step larger than the room", CARDS(SMALL(1000, .mem_used_mib = 200)), ASKS({INIT, .count = 1, .mem = 801}, {APP, .count = 1, .mem = 500}), .want = "", .reasons = SCORE_BIT(SCORE_CARD_INSUFFICIENT_MEMORY)},
    {"an init step that the app's card can't take goes elsewhere", CARDS(SMALL(1000), SMALL(2000, .mem_used_mib = 500, .shares_used = 5)), ASKS({INIT, .count = 1, .mem = 1500}, {APP, .count = 1, .mem = 500}), .want = "0:1 1:0"},
    {"init and app share the last slot", CARDS(CARD(.shares_used = 9)), ASKS({INIT, .count = 1, .mem = 1}, {INIT, .count = 1, .mem = 1}, {APP, .count = 1, .mem = 1}), .want = "0:0 1:0 2:0"},
    {"sidecar and app need two slots", CARDS(CARD(.shares_used = 9)), ASKS({SIDE, .count = 1, .mem = 1}, {APP, .count = 1, .mem = 1}), .want = "", .reasons = SCORE_BIT(SCORE_CARD_TIME_SLICING_EXHAUSTED)},
    {"sidecar and later init step need two slots", CARDS(CARD(.shares_used = 9)), ASKS({SIDE, .count = 1, .mem = 1}, {INIT, .count = 1, .mem = 1}), .want = "", .reasons = SCORE_BIT(SCORE_CARD_TIME_SLICING_EXHAUSTED)},
    {"init step and later sidecar need one slot", CARDS(CARD(.shares_used = 9)), ASKS({INIT, .count = 1, .mem = 1}, {SIDE, .count = 1, .mem = 1}), .want = "0:0 1:0"},
    {"core 100: init and app never run at once", CARDS(CARD()), ASKS({INIT, .count = 1, .mem = 1, .cores = 100}, {APP, .count = 1, .mem = 1, .cores = 100}), .want = "0:0 1:0"},
    {"core 100: init beside a sidecar", CARDS(CARD()), ASKS({SIDE, .count = 1, .mem = 1}, {INIT, .count = 1, .mem = 1, .cores = 100}), .want = "", .reasons = SCORE_BIT(SCORE_EXCLUSIVE_DEVICE_ALLOCATE_CONFLICT), .never = true},
    {"core 100: init before the sidecar", CARDS(CARD()), ASKS({INIT, .count = 1, .mem = 1, .cores = 100}, {SIDE, .count = 1, .mem = 1}), .want = "0:0 1:0"},
    {"0 cores: init beside a sidecar that has all", CARDS(CARD()), ASKS({SIDE, .count = 1, .mem = 1, .cores = 100}, {INIT, .count = 1, .mem = 1}), .want = "", .reasons = SCORE_BIT(SCORE_CARD_COMPUTE_UNITS_EXHAUSTED), .never = true},
    {"mutex: init and app", CARDS(CARD()), ASKS({INIT, .count = 1, .mem = 1}, {APP, .count = 1, .mem = 1}), POLICY(.card = SPREAD, .card_mutex = true), .want = "0:0 1:0"},
    {"mutex: sidecar and app", CARDS(CARD()), ASKS({SIDE, .count = 1, .mem = 1}, {APP, .count = 1, .mem = 1}), POLICY(.card = SPREAD, .card_mutex = true), .want = "", .reasons = SCORE_BIT(SCORE_EXCLUSIVE_DEVICE_ALLOCATE_CONFLICT), .never = true},
    {"exclusive towards other pods, for an init step", CARDS(CARD(.shares_used = 1)), ASKS({INIT, .count = 1, .mem = 1, .cores = 100}, {APP, .count = 1, .mem = 1}), .want = "", .reasons = SCORE_BIT(SCORE_EXCLUSIVE_DEVICE_ALLOCATE_CONFLICT)},
    {"a sidecar counts beside the apps", CARDS(SMALL(1000)), ASKS({SIDE, .count = 1, .mem = 500}, {APP, .count = 1, .mem = 501}), .want = "", .reasons = SCORE_BIT(SCORE_CARD_INSUFFICIENT_MEMORY), .never = true},
    {"an init step takes two cards: the apps' first", CARDS(CARD(.shares_used = 4), CARD(), CARD(.shares_used = 1)), ASKS({INIT, .count = 2, .mem = 100}, {APP, .count = 1, .mem = 100}), .want = "0:1 0:2 1:1"},
    {"an init step takes the card where it adds least", CARDS(CARD(), CARD()), ASKS({INIT, .count = 1, .mem = 300}, {APP, .count = 1, .mem = 100}, {APP, .count = 1, .mem = 200}), .want = "0:1 1:0 2:1"},
    /* quota: effective amounts of the whole pod */
    {"quota: two apps are summed", CARDS(CARD(), CARD()), ASKS({APP, .count = 1, .mem = 10}, {APP, .count = 1, .mem = 10}), MEM_LEFT(20), .want = "0:0 1:1"},
    {"quota: two apps, one short", CARDS(CARD(), CARD()), ASKS({APP, .count = 1, .mem = 10}, {APP, .count = 1, .mem = 10}), MEM_LEFT(19), .want = "", .reasons = SCORE_BIT(SCORE_RESOURCE_QUOTA_NOT_FIT), .never = true},
    {"quota: several cards, cores", CARDS(CARD(), CARD(), CARD()), ASKS({APP, .count = 3, .mem = 10, .cores = 30}), CORES_LEFT(90), .want = "0:0 0:1 0:2"},
    {"quota: several cards, one short", CARDS(CARD(), CARD(), CARD()), ASKS({APP, .count = 3, .mem = 10, .cores = 30}), CORES_LEFT(89), .want = "", .reasons = SCORE_BIT(SCORE_RESOURCE_QUOTA_NOT_FIT) | SCORE_BIT(SCORE_ALLOCATED_CARDS_INSUFFICIENT_REQUEST), .never = true},
    {"quota: init on the app's card counts once", CARDS(CARD(), CARD()), ASKS({INIT, .count = 1, .mem = 10}, {APP, .count = 1, .mem = 10}), MEM_LEFT(15), .want = "0:0 1:0"},
    {"quota: init that exceeds the app", CARDS(CARD(), CARD()), ASKS({INIT, .count = 1, .mem = 15}, {APP, .count = 1, .mem = 10}), MEM_LEFT(15), .want = "0:0 1:0"},
    {"quota: init exceeds, one short", CARDS(CARD(), CARD()), ASKS({INIT, .count = 1, .mem = 16}, {APP, .count = 1, .mem = 10}), MEM_LEFT(15), .want = "", .reasons = SCORE_BIT(SCORE_RESOURCE_QUOTA_NOT_FIT), .never = true},
    {"C5: init on card A, app on card B, 10 each, limit 15", CARDS(SMALL(10), SMALL(20, .flags = SCORE_DEVICE_CORDONED)), ASKS({INIT, .count = 1, .mem = 10}, {APP, .count = 1, .mem = 10}), MEM_LEFT(15), .want = "0:0 1:0"},
    {"C5: the only cards that fit are two", CARDS(SMALL(10, .cores_used_pct = 30, .shares_used = 1), SMALL(10, .mem_used_mib = 8, .shares_used = 1)), ASKS({INIT, .count = 1, .mem = 2, .cores = 80}, {APP, .count = 1, .mem = 10}), MEM_LEFT(11), .want = "", .reasons = SCORE_BIT(SCORE_RESOURCE_QUOTA_NOT_FIT) | SCORE_BIT(SCORE_CARD_INSUFFICIENT_CORE)},
    {"C5: both cards, limit enough", CARDS(SMALL(10, .cores_used_pct = 30, .shares_used = 1), SMALL(10, .mem_used_mib = 8, .shares_used = 1)), ASKS({INIT, .count = 1, .mem = 2, .cores = 80}, {APP, .count = 1, .mem = 10}), MEM_LEFT(12), .want = "0:1 1:0"},
    {"quota and percent: the cheaper card", CARDS(SMALL(100), SMALL(1000)), ASKS({APP, .count = 1, .pct = 50}), MEM_LEFT(50), .want = "0:0"},
    {"quota and percent: the cheaper cards", CARDS(SMALL(100), SMALL(80), SMALL(30), SMALL(30)), ASKS({APP, .count = 3, .pct = 100}), MEM_LEFT(140), .want = "0:2 0:3 0:1"},
    {"quota and percent: a full card would have been cheaper", CARDS(SMALL(100, .shares_used = 10), SMALL(1000)), ASKS({APP, .count = 1, .pct = 50}), MEM_LEFT(50), .want = "", .reasons = SCORE_BIT(SCORE_RESOURCE_QUOTA_NOT_FIT) | SCORE_BIT(SCORE_CARD_TIME_SLICING_EXHAUSTED)},
    {"percent of each card's own memory", CARDS(SMALL(999), SMALL(101)), ASKS({APP, .count = 2, .pct = 50}), .want = "0:1 0:0"},
};
// clang-format on

static void text_of(const struct score_placement *pl, char *out, size_t size)
{
    size_t at = 0;
    out[0] = '\0';
    for (unsigned i = 0; i < pl->parts_n && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%u:%u", i ? " " : "", pl->parts[i].ask,
                               pl->parts[i].device);
}

START_TEST(places)
{
    const struct place_row *row = &PLACES[_i];
    struct cluster c;
    cluster_init(&c);
    unsigned n = 0;
    while (n < 5 && row->cards[n].shares_total)
        n++;
    cluster_add(&c, V_FULL, row->cards, n);
    struct pod p;
    pod_init(&p);
    for (unsigned i = 0; i < 6 && row->asks[i].count; i++) {
        const struct want_ask *a = &row->asks[i];
        pod_ask(&p, a->step,
                (struct score_ask){.vendor = a->vendor,
                                   .count = a->count,
                                   .mem_mib = a->mem,
                                   .mem_pct = a->pct,
                                   .cores_pct = a->cores});
    }
    if (row->policy.weight_slot)
        p.req.policy = row->policy;
    p.quotas[0] = row->quota;
    p.req.quotas_n = 1;
    struct result r;
    decide(&p, &c, NULL, &r);
    char got[128];
    text_of(&r.placement, got, sizeof(got));
    ck_assert_msg(strcmp(got, row->want) == 0, "%s: want \"%s\", got \"%s\"", row->name, row->want,
                  got);
    ck_assert_msg(r.v.reasons == row->reasons, "%s: want %#x, got %#x", row->name, row->reasons,
                  r.v.reasons);
    ck_assert_msg(r.v.unresolvable == row->never, "%s: unresolvable is %d", row->name,
                  r.v.unresolvable);
    for (unsigned i = 0; i < r.placement.parts_n; i++) {
        const struct score_part *part = &r.placement.parts[i];
        const struct want_ask *a = &row->asks[part->ask];
        const int64_t total = c.devices[part->device].mem_total_mib;
        ck_assert_int_eq(part->mem_mib, a->pct ? total * a->pct / 100 : a->mem);
        ck_assert_int_eq(part->cores_pct, a->cores);
    }
}
END_TEST

START_TEST(vendors_apart)
{
    /* Each vendor's cards for its asks; a node fits when all do; the reasons of all that don't. */
    struct cluster c;
    cluster_init(&c);
    const struct score_device cards[] = {CARD(), CARD()};
    cluster_add(&c, V_OTHER, cards, 2); /* the groups' order is not the table's */
    cluster_add(&c, V_FULL, cards, 2);
    struct pod p;
    pod_init(&p);
    pod_ask(&p, APP, (struct score_ask){.vendor = V_FULL, .count = 1, .mem_mib = 100});
    p.asks[p.req.asks_n++] =
        (struct score_ask){.container = 0, .vendor = V_OTHER, .count = 2, .mem_mib = 50};
    pod_ask(&p, APP, (struct score_ask){.vendor = V_FULL, .count = 1, .mem_mib = 100});
    struct result r;
    char got[64];
    decide(&p, &c, NULL, &r);
    text_of(&r.placement, got, sizeof(got));
    ck_assert_str_eq(got, "0:2 1:0 1:1 2:3");
    c.devices[0].shares_used = 10;
    cluster_sum(&c);
    decide(&p, &c, NULL, &r);
    ck_assert_uint_eq(r.v.reasons, SCORE_BIT(SCORE_ALLOCATED_CARDS_INSUFFICIENT_REQUEST) |
                                       SCORE_BIT(SCORE_CARD_TIME_SLICING_EXHAUSTED));
    ck_assert(!r.v.unresolvable);
    ck_assert_uint_eq(r.detail.ask, 1);
    c.devices[2].flags = c.devices[3].flags = SCORE_DEVICE_CORDONED;
    decide(&p, &c, NULL, &r); /* one vendor is full, the other can never do */
    ck_assert_uint_eq(r.v.reasons, SCORE_BIT(SCORE_ALLOCATED_CARDS_INSUFFICIENT_REQUEST) |
                                       SCORE_BIT(SCORE_CARD_TIME_SLICING_EXHAUSTED) |
                                       SCORE_BIT(SCORE_CARD_CORDONED));
    ck_assert(r.v.unresolvable);
    ck_assert_uint_eq(r.detail.ask, 0);
}
END_TEST

START_TEST(many_equal_containers)
{
    /* Nine containers that want a card each, eight cards of eight sizes: refused, and quickly.
     * Sixty-four containers on sixty-four cards: placed. */
    struct cluster c;
    cluster_init(&c);
    struct score_device cards[64];
    for (unsigned i = 0; i < 64; i++)
        cards[i] = CARD(.mem_used_mib = (int64_t)i);
    cluster_add(&c, V_FULL, cards, 8);
    struct pod p;
    pod_init(&p);
    for (unsigned i = 0; i < 9; i++)
        pod_ask(&p, APP, (struct score_ask){.count = 1, .mem_mib = 10, .cores_pct = 60});
    struct result r;
    decide(&p, &c, NULL, &r);
    ck_assert_uint_eq(r.v.reasons, SCORE_BIT(SCORE_CARD_INSUFFICIENT_CORE));
    ck_assert(r.v.unresolvable);
    ck_assert_uint_eq(r.detail.ask, 8);
    cluster_init(&c);
    cluster_add(&c, V_FULL, cards, 64);
    pod_init(&p);
    for (unsigned i = 0; i < 64; i++)
        pod_ask(&p, APP, (struct score_ask){.count = 1, .mem_mib = 10, .cores_pct = 60});
    decide(&p, &c, NULL, &r);
    ck_assert(r.v.fits);
    ck_assert_uint_eq(r.placement.parts_n, 64);
}
END_TEST

START_TEST(largest_pod)
{
    /* Every limit at once: 256 cards, four containers with a share of each. */
    static struct score_device cards[SCORE_DEVICES_MAX];
    struct cluster c;
    cluster_init(&c);
    for (unsigned i = 0; i < SCORE_DEVICES_MAX; i++)
        cards[i] = CARD(.mem_total_mib = SCORE_AMOUNT_MAX, .shares_total = 4);
    cluster_add(&c, V_FULL, cards, SCORE_DEVICES_MAX);
    struct pod p;
    pod_init(&p);
    for (unsigned i = 0; i < 4; i++)
        pod_ask(&p, APP, (struct score_ask){.count = 256, .mem_pct = 25, .cores_pct = 25});
    p.quotas[0] = (struct score_quota){.mem_set = true,
                                       .mem_left_mib = SCORE_AMOUNT_MAX * 256,
                                       .cores_set = true,
                                       .cores_left_pct = 25600};
    p.req.quotas_n = 1;
    struct result r;
    decide(&p, &c, NULL, &r);
    ck_assert(r.v.fits);
    ck_assert_uint_eq(r.placement.parts_n, SCORE_PARTS_MAX);
    ck_assert_int_eq(r.v.score, SCORE_MAX);
    c.devices[255].shares_used = 1;
    cluster_sum(&c);
    decide(&p, &c, NULL, &r);
    ck_assert_uint_eq(r.v.reasons, SCORE_BIT(SCORE_CARD_TIME_SLICING_EXHAUSTED) |
                                       SCORE_BIT(SCORE_ALLOCATED_CARDS_INSUFFICIENT_REQUEST));
    ck_assert(!r.v.unresolvable);
    ck_assert_uint_eq(r.detail.ask, 3);
}
END_TEST

/* ---- effective use ---- */

struct want_part {
    enum score_step step;
    uint16_t container, device;
    int64_t mem;
    int32_t cores;
};
struct want_use {
    uint16_t device;
    int64_t mem;
    int32_t cores, shares;
};

// clang-format off
static const struct use_row {
    const char *name;
    struct want_part parts[8]; /* ended by mem 0 */
    struct want_use want[4];   /* ended by shares 0 */
} USES[] = {
    {"nothing", {{0}}, {{0}}},
    {"one app", {{APP, 0, 7, 100, 10}}, {{7, 100, 10, 1}}},
    {"apps are summed, cards sorted", {{APP, 0, 9, 100, 10}, {APP, 0, 2, 100, 10}, {APP, 1, 9, 50, 20}}, {{2, 100, 10, 1}, {9, 150, 30, 2}}},
    {"of init steps the largest counts", {{INIT, 0, 1, 100, 10}, {INIT, 1, 1, 300, 5}, {INIT, 2, 1, 200, 30}}, {{1, 300, 30, 1}}},
    {"core.md 4.4's example", {{INIT, 0, 1, 20000, 50}, {APP, 1, 1, 8000, 20}, {APP, 2, 1, 6000, 20}, {APP, 2, 2, 6000, 20}}, {{1, 20000, 50, 2}, {2, 6000, 20, 1}}},
    {"apps beyond the init step", {{INIT, 0, 1, 100, 50}, {APP, 1, 1, 80, 20}, {APP, 2, 1, 60, 20}}, {{1, 140, 50, 2}}},
    {"an init step on a card of its own", {{INIT, 0, 1, 100, 50}, {APP, 1, 2, 80, 20}}, {{1, 100, 50, 1}, {2, 80, 20, 1}}},
    {"core_defect_c4: two slices of one init container add up", {{INIT, 0, 1, 100, 50}, {INIT, 0, 1, 100, 20}, {APP, 1, 1, 150, 20}}, {{1, 200, 70, 2}}},
    {"a sidecar is summed with the apps (C3)", {{SIDE, 0, 1, 100, 10}, {APP, 1, 1, 80, 20}}, {{1, 180, 30, 2}}},
    {"init after the sidecar runs beside it", {{SIDE, 0, 1, 100, 10}, {INIT, 1, 1, 90, 40}, {APP, 2, 1, 80, 20}}, {{1, 190, 50, 2}}},
    {"init before the sidecar runs alone", {{INIT, 0, 1, 90, 40}, {SIDE, 1, 1, 100, 10}, {APP, 2, 1, 80, 20}}, {{1, 180, 40, 2}}},
    {"init between two sidecars", {{SIDE, 0, 1, 100, 10}, {INIT, 1, 1, 200, 5}, {SIDE, 2, 1, 50, 20}, {APP, 3, 1, 10, 1}}, {{1, 300, 31, 3}}},
    {"order of parts does not matter", {{APP, 3, 1, 10, 1}, {SIDE, 2, 1, 50, 20}, {INIT, 1, 1, 200, 5}, {SIDE, 0, 1, 100, 10}}, {{1, 300, 31, 3}}},
    {"largest ids and amounts", {{APP, 0, 65535, SCORE_AMOUNT_MAX, INT32_MAX}, {APP, 1, 65535, SCORE_AMOUNT_MAX, INT32_MAX}}, {{65535, 2 * SCORE_AMOUNT_MAX, INT32_MAX, 2}}},
};
// clang-format on

START_TEST(uses)
{
    const struct use_row *row = &USES[_i];
    enum score_step steps[4] = {APP, APP, APP, APP};
    struct score_ask asks[8];
    struct score_part parts[8];
    uint16_t n = 0;
    for (; n < 8 && row->parts[n].mem; n++) {
        const struct want_part *p = &row->parts[n];
        steps[p->container] = p->step;
        asks[n] = (struct score_ask){.container = p->container, .vendor = V_OTHER};
        parts[n] = (struct score_part){
            .ask = n, .device = p->device, .mem_mib = p->mem, .cores_pct = p->cores};
    }
    struct score_use use[8];
    const uint16_t got = score_effective_use(steps, asks, parts, n, use);
    uint16_t want = 0;
    for (; want < 4 && row->want[want].shares; want++) {
        ck_assert_msg(want < got, "%s: only %u cards", row->name, got);
        const struct score_use *u = &use[want];
        const struct want_use *w = &row->want[want];
        ck_assert_msg(u->device == w->device && u->mem_mib == w->mem && u->cores_pct == w->cores &&
                          u->shares == w->shares && u->vendor == V_OTHER,
                      "%s: card %u: device %u, %lld MiB, %d %%, %d shares", row->name, want,
                      u->device, (long long)u->mem_mib, u->cores_pct, u->shares);
    }
    ck_assert_msg(got == want, "%s: %u cards, want %u", row->name, got, want);
}
END_TEST

/* ---- the score of a node ---- */

static int64_t score_on(const struct score_device *cards, unsigned n, struct score_policy policy,
                        struct score_ask ask)
{
    struct cluster c;
    cluster_init(&c);
    cluster_add(&c, V_FULL, cards, n);
    struct pod p;
    pod_init(&p);
    pod_ask(&p, APP, ask);
    p.req.policy = policy;
    struct result r;
    decide(&p, &c, NULL, &r);
    ck_assert(r.v.fits);
    return r.v.score;
}

START_TEST(trace_17)
{
    /* core.md 17: node-a has a card with 2 shares, 60 % and half its memory used and an idle one;
     * node-b two idle. */
    const struct score_device a[] = {
        CARD(.shares_used = 2, .cores_used_pct = 60, .mem_used_mib = 12288), CARD()};
    const struct score_device b[] = {CARD(), CARD()};
    const struct score_ask ask = {.count = 1, .mem_mib = 4000, .cores_pct = 20};
    struct score_policy policy = SCORE_POLICY_DEFAULT;
    ck_assert_int_gt(score_on(a, 2, policy, ask), score_on(b, 2, policy, ask));
    policy.node_spread = true;
    ck_assert_int_lt(score_on(a, 2, policy, ask), score_on(b, 2, policy, ask));
}
END_TEST

START_TEST(core_defect_c29_score_values)
{
    /* By hand: one card of two, the ask takes a tenth of slots, a fifth of cores, a quarter of
     * memory of it. Card: (100000 + 200000 + 250000) / 3; group: half of that; (3 · group + card)
     * / 4. */
    const struct score_device idle[] = {CARD(), CARD()};
    const struct score_ask ask = {.count = 1, .mem_mib = 6144, .cores_pct = 20};
    struct score_policy policy = SCORE_POLICY_DEFAULT;
    ck_assert_int_eq(score_on(idle, 2, policy, ask), (3 * 275000 + 550000) / 12);
    policy.node_spread = true;
    ck_assert_int_eq(score_on(idle, 2, policy, ask), SCORE_MAX - (3 * 275000 + 550000) / 12);
    /* Weights as in core.md 5.2: slots once, memory four times, cores not at all. */
    policy = SCORE_POLICY_DEFAULT;
    policy.weight_core = 0;
    policy.weight_mem = 4;
    ck_assert_int_eq(score_on(idle, 2, policy, ask), (3 * 550000 + 1100000) / 20);
    /* Full is SCORE_MAX, and 0 under spread. */
    const struct score_device full[] = {
        CARD(.shares_used = 9, .cores_used_pct = 80, .mem_used_mib = 24576 - 6144)};
    policy = SCORE_POLICY_DEFAULT;
    ck_assert_int_eq(score_on(full, 1, policy, ask), SCORE_MAX);
    policy.node_spread = true;
    ck_assert_int_eq(score_on(full, 1, policy, ask), 0);
    /* A card without cores: that dimension counts nothing. */
    const struct score_device coreless[] = {CARD(.cores_total_pct = 0)};
    policy = SCORE_POLICY_DEFAULT;
    const struct score_ask none = {.count = 1, .mem_mib = 6144};
    ck_assert_int_eq(score_on(coreless, 1, policy, none), 4 * 350000 / 12);
    /* Two cards of four: the mean of the cards chosen. */
    const struct score_device four[] = {CARD(), CARD(.shares_used = 5), CARD(), CARD()};
    const struct score_ask two = {.count = 2, .mem_pct = 100, .cores_pct = 100};
    policy.weight_core = policy.weight_mem = 0;
    ck_assert_int_eq(score_on(four, 4, policy, two), (3 * 175000 + 100000) / 4);
}
END_TEST

START_TEST(score_leads_by_group)
{
    /* The node that is fuller as a whole wins under binpack, though the card chosen there is
     * emptier. */
    const struct score_device a[] = {
        CARD(.shares_used = 10, .cores_used_pct = 100, .mem_used_mib = 24576),
        CARD(.shares_used = 10, .cores_used_pct = 100, .mem_used_mib = 24576), CARD(), CARD()};
    const struct score_device half =
        CARD(.shares_used = 3, .cores_used_pct = 30, .mem_used_mib = 7372);
    const struct score_device b[] = {half, half, half, half};
    const struct score_ask ask = {.count = 1, .mem_mib = 2000, .cores_pct = 10};
    ck_assert_int_gt(score_on(a, 4, SCORE_POLICY_DEFAULT, ask),
                     score_on(b, 4, SCORE_POLICY_DEFAULT, ask));
}
END_TEST

START_TEST(core_defect_c30_score_mean_of_vendors)
{
    struct cluster c;
    cluster_init(&c);
    const struct score_device card = CARD();
    cluster_add(&c, V_FULL, &card, 1);
    cluster_add(&c, V_OTHER, &card, 1);
    struct pod p;
    pod_init(&p);
    pod_ask(&p, APP,
            (struct score_ask){.vendor = V_FULL, .count = 1, .mem_mib = 24576, .cores_pct = 100});
    pod_ask(&p, APP,
            (struct score_ask){.vendor = V_OTHER, .count = 1, .mem_mib = 6144, .cores_pct = 20});
    p.req.policy.weight_slot = 0;
    struct result r;
    decide(&p, &c, NULL, &r);
    ck_assert_int_eq(r.v.score, (1000000 + 225000) / 2);
    /* What another vendor's cards are used for does not count (C30). */
    p.req.asks_n = 1;
    decide(&p, &c, NULL, &r);
    const int64_t alone = r.v.score;
    c.devices[1].mem_used_mib = 24576;
    cluster_sum(&c);
    decide(&p, &c, NULL, &r);
    ck_assert_int_eq(r.v.score, alone);
}
END_TEST

Suite *suite_place(void)
{
    Suite *suite = suite_create("score place");
    TCase *tc = tcase_create("place");
    tcase_add_loop_test(tc, places, 0, ROWS(PLACES));
    tcase_add_loop_test(tc, uses, 0, ROWS(USES));
    tcase_add_test(tc, vendors_apart);
    tcase_add_test(tc, many_equal_containers);
    tcase_add_test(tc, largest_pod);
    tcase_add_test(tc, trace_17);
    tcase_add_test(tc, core_defect_c29_score_values);
    tcase_add_test(tc, score_leads_by_group);
    tcase_add_test(tc, core_defect_c30_score_mean_of_vendors);
    suite_add_tcase(suite, tc);
    return suite;
}
