/* One card, one container: every check of nvidia.md 5 with its edges, the lists that select cards,
 * quotas, the codes, and what makes a request unsound. */
#include "check_score.h"

#include <limits.h>
#include <string.h>

#define R(name)  SCORE_BIT(SCORE_##name)
#define MEMORY   R(CARD_INSUFFICIENT_MEMORY)
#define CORE     R(CARD_INSUFFICIENT_CORE)
#define SLOTS    R(CARD_TIME_SLICING_EXHAUSTED)
#define CONFLICT R(EXCLUSIVE_DEVICE_ALLOCATE_CONFLICT)
#define UNITS    R(CARD_COMPUTE_UNITS_EXHAUSTED)
#define TYPE     R(CARD_TYPE_MISMATCH)
#define UUID     R(CARD_UUID_MISMATCH)
#define SOME     R(ALLOCATED_CARDS_INSUFFICIENT_REQUEST)
#define FEW      R(NODE_INSUFFICIENT_DEVICE)
#define QUOTA    R(RESOURCE_QUOTA_NOT_FIT)

/* ---- one ask against cards; fits when reasons are 0 ---- */

// clang-format off
#define ASK(n, mem, cores) {.count = (n), .mem_mib = (mem), .cores_pct = (cores)}
#define PCT(n, pct, cores) {.count = (n), .mem_pct = (pct), .cores_pct = (cores)}
#define CARDS(...) .cards = {__VA_ARGS__}
#define MOST SCORE_AMOUNT_MAX

static const struct fit_row {
    const char *name;
    struct score_device cards[4]; /* up to the first without total shares and memory */
    struct score_ask ask;
    score_reasons reasons;
    bool never; /* unresolvable */
    bool mutex;
    uint16_t vendor;
} FITS[] = {
    {"unused card", CARDS(CARD()), ASK(1, 4000, 20), 0},
    {"memory: exactly full", CARDS(CARD(.mem_used_mib = 20576)), ASK(1, 4000, 20), 0},
    {"memory: one MiB over", CARDS(CARD(.mem_used_mib = 20577)), ASK(1, 4000, 20), MEMORY},
    {"memory: the whole card", CARDS(CARD()), ASK(1, 24576, 20), 0},
    {"memory: more than the card has", CARDS(CARD()), ASK(1, 24577, 20), MEMORY, .never = true},
    {"memory: used beyond the total", CARDS(CARD(.mem_used_mib = 24577)), ASK(1, 1, 20), MEMORY},
    {"memory: beyond the total, nothing wanted", CARDS(CARD(.mem_total_mib = 10, .mem_used_mib = 11)), PCT(1, 1, 20), MEMORY},
    {"memory: full to the brim, nothing wanted", CARDS(CARD(.mem_total_mib = 10, .mem_used_mib = 10)), PCT(1, 1, 20), 0},
    {"memory: the largest amounts", CARDS(CARD(.mem_total_mib = MOST)), ASK(1, MOST, 20), 0},
    {"memory: the largest amounts, one over", CARDS(CARD(.mem_total_mib = MOST - 1)), ASK(1, MOST, 20), MEMORY, .never = true},
    {"memory: largest total in percent", CARDS(CARD(.mem_total_mib = MOST, .mem_used_mib = 1)), PCT(1, 100, 20), MEMORY},
    {"percent: rounded down, 8110", CARDS(CARD(.mem_used_mib = 24576 - 8110)), PCT(1, 33, 20), 0},
    {"percent: rounded down, 8109 free", CARDS(CARD(.mem_used_mib = 24576 - 8109)), PCT(1, 33, 20), MEMORY},
    {"percent: all", CARDS(CARD()), PCT(1, 100, 20), 0},
    {"percent: all, of a used card", CARDS(CARD(.mem_used_mib = 1)), PCT(1, 100, 20), MEMORY},
    {"nvidia_defect_n10 metax_defect_d1_9: percent beyond 32 bits", CARDS(CARD(.mem_total_mib = 30000000, .mem_used_mib = 30000000 - 29699999)), PCT(1, 99, 20), MEMORY},
    {"cores: exactly full", CARDS(CARD(.cores_used_pct = 80)), ASK(1, 1, 20), 0},
    {"cores: one over", CARDS(CARD(.cores_used_pct = 81)), ASK(1, 1, 20), CORE},
    {"cores: above 100 means 100", CARDS(CARD()), ASK(1, 1, 170), 0},
    {"cores: more than a small card has", CARDS(CARD(.cores_total_pct = 50)), ASK(1, 1, 51), CORE, .never = true},
    {"cores: used beyond the total, none wanted", CARDS(CARD(.cores_used_pct = 101)), ASK(1, 1, 0), CORE},
    {"cores: card without cores, none wanted", CARDS(CARD(.cores_total_pct = 0)), ASK(1, 1, 0), 0},
    {"cores: card without cores, some wanted", CARDS(CARD(.cores_total_pct = 0)), ASK(1, 1, 1), CORE, .never = true},
    {"slots: the last one", CARDS(CARD(.shares_used = 9)), ASK(1, 1, 1), 0},
    {"slots: none left", CARDS(CARD(.shares_used = 10)), ASK(1, 1, 1), SLOTS},
    {"slots: more used than there are", CARDS(CARD(.shares_used = 11)), ASK(1, 1, 1), SLOTS},
    {"slots: a card without any", CARDS(CARD(.shares_total = 0)), ASK(1, 1, 1), SLOTS, .never = true},
    {"slots: largest numbers", CARDS(CARD(.shares_total = INT_MAX, .shares_used = INT_MAX - 1)), ASK(1, 1, 1), 0},
    {"health", CARDS(CARD(.flags = SCORE_DEVICE_UNHEALTHY)), ASK(1, 1, 1), R(CARD_NOT_HEALTH), .never = true},
    {"cordoned", CARDS(CARD(.flags = SCORE_DEVICE_CORDONED)), ASK(1, 1, 1), R(CARD_CORDONED), .never = true},
    {"unhealthy comes before cordoned", CARDS(CARD(.flags = SCORE_DEVICE_CORDONED | SCORE_DEVICE_UNHEALTHY)), ASK(1, 1, 1), R(CARD_NOT_HEALTH), .never = true},
    {"a MIG card is never given", CARDS(CARD(.flags = SCORE_DEVICE_MIG, .mode = T_MIG)), ASK(1, 1, 1), R(CARD_MIG_TOPOLOGY_INFEASIBLE), .never = true},
    {"a MIG card that is full as well", CARDS(CARD(.flags = SCORE_DEVICE_MIG, .mode = T_MIG, .shares_used = 10)), ASK(1, 1, 1), SLOTS, .never = true},
    {"lent: by memory", CARDS(CARD(.flags = SCORE_DEVICE_LENT, .mem_used_mib = 30000)), ASK(1, 1, 1), MEMORY},
    {"lent: by cores", CARDS(CARD(.flags = SCORE_DEVICE_LENT, .cores_used_pct = 130)), ASK(1, 1, 1), CORE},
    {"lent: by cores, none wanted", CARDS(CARD(.flags = SCORE_DEVICE_LENT, .cores_used_pct = 130)), ASK(1, 1, 0), CORE},
    {"lent: by slots", CARDS(CARD(.flags = SCORE_DEVICE_LENT, .shares_used = 12)), ASK(1, 1, 1), SLOTS},
    {"lent: no dimension says so", CARDS(CARD(.flags = SCORE_DEVICE_LENT)), ASK(1, 1, 1), MEMORY},
    {"lent: no check of the row says so", CARDS(CARD(.flags = SCORE_DEVICE_LENT, .mem_used_mib = 30000)), ASK(1, 1, 1), MEMORY, .vendor = V_SLOTS},
    {"a row without the check does not make it", CARDS(CARD(.mem_used_mib = 30000, .cores_used_pct = 200, .flags = SCORE_DEVICE_UNHEALTHY)), ASK(1, 1, 100), 0, .vendor = V_SLOTS},
    /* nvidia.md 5, "Consequences worth testing" */
    {"core 100 where cores are in use", CARDS(CARD(.cores_used_pct = 1, .shares_used = 1)), ASK(1, 1, 100), CORE},
    {"core 100 where users have no cores", CARDS(CARD(.shares_used = 1)), ASK(1, 1, 100), CONFLICT},
    {"core 100 on an unused card", CARDS(CARD()), ASK(1, 1, 100), 0},
    {"a card held with 100 cores refuses 0 cores", CARDS(CARD(.cores_used_pct = 100, .shares_used = 1)), ASK(1, 1, 0), UNITS},
    {"a card held with 100 cores refuses cores", CARDS(CARD(.cores_used_pct = 100, .shares_used = 1)), ASK(1, 1, 1), CORE},
    {"0 cores where 99 are used", CARDS(CARD(.cores_used_pct = 99, .shares_used = 1)), ASK(1, 1, 0), 0},
    {"scaled cores: 100 is not exclusive", CARDS(CARD(.cores_total_pct = 200, .cores_used_pct = 100, .shares_used = 1)), ASK(1, 1, 100), 0},
    {"scaled cores: all given, 0 cores", CARDS(CARD(.cores_total_pct = 200, .cores_used_pct = 200, .shares_used = 2)), ASK(1, 1, 0), UNITS},
    {"whole memory without cores is not exclusive", CARDS(CARD(.shares_used = 1)), PCT(1, 100, 0), 0},
    {"whole memory without cores needs the memory", CARDS(CARD(.shares_used = 1, .mem_used_mib = 1)), PCT(1, 100, 0), MEMORY},
    {"mutex: unused", CARDS(CARD()), ASK(1, 1, 1), 0, .mutex = true},
    {"mutex: used", CARDS(CARD(.shares_used = 1)), ASK(1, 1, 1), CONFLICT, .mutex = true},
    {"mutex comes before memory", CARDS(CARD(.shares_used = 1, .mem_used_mib = 24576)), ASK(1, 1, 1), CONFLICT, .mutex = true},
    {"memory comes before cores", CARDS(CARD(.cores_used_pct = 100, .mem_used_mib = 24576, .shares_used = 1)), ASK(1, 1, 1), MEMORY},
    {"slots come before memory", CARDS(CARD(.shares_used = 10, .mem_used_mib = 24576)), ASK(1, 1, 1), SLOTS},
    {"another row's order: cores before memory", CARDS(CARD(.cores_used_pct = 100, .mem_used_mib = 24576, .shares_used = 1)), ASK(1, 1, 1), CORE, .vendor = V_OTHER},
    {"another row's order: 0 cores before exclusive", CARDS(CARD(.cores_used_pct = 100, .shares_used = 1)), ASK(1, 1, 0), UNITS, .vendor = V_OTHER},
    {"another row's order: slots before health", CARDS(CARD(.shares_used = 10, .flags = SCORE_DEVICE_UNHEALTHY)), ASK(1, 1, 1), SLOTS, .never = true, .vendor = V_OTHER},
    /* several cards */
    {"each card has its own reason",
     CARDS(CARD(.mem_used_mib = 24576), CARD(.cores_used_pct = 100), CARD(.shares_used = 10), CARD(.flags = SCORE_DEVICE_CORDONED)),
     ASK(1, 1, 1), MEMORY | CORE | SLOTS | R(CARD_CORDONED)},
    {"the last card fits", CARDS(CARD(.mem_used_mib = 24576), CARD(.cores_used_pct = 100), CARD()), ASK(1, 1, 1), 0},
    {"two of two", CARDS(CARD(), CARD()), ASK(2, 1, 1), 0},
    {"two of three", CARDS(CARD(), CARD(.shares_used = 10), CARD()), ASK(2, 1, 1), 0},
    {"three of two", CARDS(CARD(), CARD()), ASK(3, 1, 1), FEW, .never = true},
    {"three of two: no card is looked at", CARDS(CARD(.shares_used = 10), CARD()), ASK(3, 1, 1), FEW, .never = true},
    {"two wanted, one fits", CARDS(CARD(), CARD(.mem_used_mib = 24576)), ASK(2, 1, 1), SOME | MEMORY},
    {"two wanted, one fits, ever", CARDS(CARD(), CARD(.mem_total_mib = 1)), ASK(2, 2, 1), SOME | MEMORY, .never = true},
    {"two wanted, none fits", CARDS(CARD(.shares_used = 10), CARD(.mem_used_mib = 24576)), ASK(2, 1, 1), SLOTS | MEMORY},
    {"a card counts once for one container", CARDS(CARD(), CARD(.flags = SCORE_DEVICE_UNHEALTHY)), ASK(2, 1, 1), SOME | R(CARD_NOT_HEALTH), .never = true},
    {"one too small, one full: emptier would do", CARDS(CARD(.mem_total_mib = 100), CARD(.mem_used_mib = 24000)), ASK(1, 1000, 1), MEMORY},
};

/* Lists: what the pod's annotations select. Cards: A10 with UUID G000, A100 with UUID G001. */
static const struct list_row {
    const char *name;
    struct score_selection sel; /* lists by hand: pointers and lengths */
    const char *want; /* UUIDs that may be used */
    score_reasons reasons; /* when none may */
} LISTS[] = {
#define USE_TYPES(...) .use_type_set = true, .use_types = (const struct str[]){__VA_ARGS__}, .use_types_n = sizeof((const struct str[]){__VA_ARGS__}) / sizeof(struct str)
#define NOUSE_TYPES(...) .nouse_types = (const struct str[]){__VA_ARGS__}, .nouse_types_n = sizeof((const struct str[]){__VA_ARGS__}) / sizeof(struct str)
#define USE_UUIDS(...) .use_uuid_set = true, .use_uuids = (const struct str[]){__VA_ARGS__}, .use_uuids_n = sizeof((const struct str[]){__VA_ARGS__}) / sizeof(struct str)
#define NOUSE_UUIDS(...) .nouse_uuids = (const struct str[]){__VA_ARGS__}, .nouse_uuids_n = sizeof((const struct str[]){__VA_ARGS__}) / sizeof(struct str)
#define S(text) STR_INIT(text)
    {"no lists", {.vendor = V_FULL}, "G000 G001", 0},
    {"A10 is in A100 as well", {USE_TYPES(S("A10"))}, "G000 G001", 0},
    {"letter case does not count", {USE_TYPES(S("a100-sxm4"))}, "G001", 0},
    {"one of two", {USE_TYPES(S("H100"), S("A100"))}, "G001", 0},
    {"none of them", {USE_TYPES(S("H100"))}, "", TYPE},
    {"set and without entries matches nothing", {.use_type_set = true}, "", TYPE},
    {"not that type", {NOUSE_TYPES(S("a100"))}, "G000", 0},
    {"not any", {NOUSE_TYPES(S("nvidia"))}, "", TYPE},
    {"both, and nouse wins", {USE_TYPES(S("A10")), NOUSE_TYPES(S("A100"))}, "G000", 0},
    {"this card", {USE_UUIDS(S("G001"))}, "G001", 0},
    {"this card among many", {USE_UUIDS(S("z"), S("G0011"), S("a"), S("G001"), S("G00"), S("b"), S("q"))}, "G001", 0},
    {"UUIDs are exact", {USE_UUIDS(S("g001"), S("G00"), S("G0011"))}, "", UUID},
    {"set and without UUIDs matches nothing", {.use_uuid_set = true}, "", UUID},
    {"not this card", {NOUSE_UUIDS(S("x"), S("G001"))}, "G000", 0},
    {"neither card", {NOUSE_UUIDS(S("G001"), S("G000"))}, "", UUID},
    {"UUID both ways, and nouse wins", {USE_UUIDS(S("G000"), S("G001")), NOUSE_UUIDS(S("G000"))}, "G001", 0},
    {"type is checked before UUID", {USE_TYPES(S("H100")), USE_UUIDS(S("x"))}, "", TYPE},
    {"one by type, one by UUID", {USE_TYPES(S("A100")), NOUSE_UUIDS(S("G001"))}, "", TYPE | UUID},
    {"mode", {.mode_set = true, .mode = S("mig,hami-core")}, "G000 G001", 0},
    {"mode: another", {.mode_set = true, .mode = S("mig")}, "", TYPE},
    {"mode: the device's is to be in the text, not the text in it", {.mode_set = true, .mode = S("hami")}, "", TYPE},
    {"mode: empty allows only devices without one", {.mode_set = true, .mode = S("")}, "", TYPE},
    {"lists of another vendor", {.vendor = V_OTHER, USE_TYPES(S("H100"))}, "G000 G001", 0},
};
// clang-format on

static unsigned cards_n(const struct score_device cards[4])
{
    unsigned n = 0;
    while (n < 4 && (cards[n].shares_total || cards[n].mem_total_mib))
        n++;
    return n;
}

START_TEST(fits)
{
    const struct fit_row *row = &FITS[_i];
    struct cluster c;
    cluster_init(&c);
    cluster_add(&c, row->vendor, row->cards, cards_n(row->cards));
    struct pod p;
    pod_init(&p);
    struct score_ask ask = row->ask;
    ask.vendor = row->vendor;
    pod_ask(&p, SCORE_STEP_APP, ask);
    p.req.policy.card_mutex = row->mutex;
    struct result r;
    decide(&p, &c, NULL, &r);
    ck_assert_msg(r.v.reasons == row->reasons, "%s: want %#x, got %#x", row->name, row->reasons,
                  r.v.reasons);
    ck_assert_msg(r.v.unresolvable == row->never, "%s: unresolvable is %d", row->name,
                  r.v.unresolvable);
    /* The same as an init container or a sidecar of its own: it runs alone. */
    p.steps[0] = SCORE_STEP_INIT;
    decide(&p, &c, NULL, &r);
    ck_assert_msg(r.v.reasons == row->reasons && r.v.unresolvable == row->never,
                  "%s as init container: %#x", row->name, r.v.reasons);
    p.steps[0] = SCORE_STEP_SIDECAR;
    decide(&p, &c, NULL, &r);
    ck_assert_msg(r.v.reasons == row->reasons && r.v.unresolvable == row->never,
                  "%s as sidecar: %#x", row->name, r.v.reasons);
}
END_TEST

START_TEST(lists)
{
    const struct list_row *row = &LISTS[_i];
    struct cluster c;
    cluster_init(&c);
    const struct score_device cards[] = {CARD(), CARD(.type = T_A100)};
    cluster_add(&c, V_FULL, cards, 2);
    for (unsigned card = 0; card < 2; card++) {
        /* Only this card is free, so that the answer says whether it may be used. */
        c.devices[card].shares_used = 0;
        c.devices[1 - card].shares_used = 10;
        cluster_sum(&c);
        struct pod p;
        pod_init(&p);
        pod_ask(&p, SCORE_STEP_APP, (struct score_ask){.count = 1, .mem_mib = 1});
        p.selection = row->sel;
        p.req.selections_n = 1;
        struct result r;
        decide(&p, &c, NULL, &r);
        const bool want = strstr(row->want, c.uuids[card]) != NULL;
        ck_assert_msg(r.v.fits == want, "%s: %s fits: %d", row->name, c.uuids[card], r.v.fits);
        if (!row->want[0]) {
            ck_assert_msg(r.v.reasons == row->reasons, "%s: %#x", row->name, r.v.reasons);
            ck_assert_msg(r.v.unresolvable, "%s: not unresolvable", row->name);
        }
    }
}
END_TEST

START_TEST(empty_mode)
{
    /* A device without mode suits every mode annotation, also the empty one. */
    struct cluster c;
    cluster_init(&c);
    const struct score_device card = CARD(.mode = T_NONE);
    cluster_add(&c, V_FULL, &card, 1);
    struct pod p;
    pod_init(&p);
    pod_ask(&p, SCORE_STEP_APP, (struct score_ask){.count = 1, .mem_mib = 1});
    p.req.selections_n = 1;
    p.selection = (struct score_selection){.mode_set = true, .mode = STR("")};
    struct result r;
    decide(&p, &c, NULL, &r);
    ck_assert(r.v.fits);
    p.selection.mode = STR("mig");
    decide(&p, &c, NULL, &r);
    ck_assert(r.v.fits);
}
END_TEST

/* ---- quota ---- */

static const struct quota_row {
    const char *name;
    struct score_device card;
    struct score_ask ask;
    struct score_quota quota;
    score_reasons reasons;
    bool never;
} QUOTAS[] = {
    // clang-format off
    {"no limit set", CARD(), ASK(1, 4000, 20), {.mem_left_mib = 0}, 0, false},
    {"memory: exactly used up", CARD(), ASK(1, 4000, 20), {.mem_set = true, .mem_left_mib = 4000}, 0, false},
    {"memory: one MiB short", CARD(), ASK(1, 4000, 20), {.mem_set = true, .mem_left_mib = 3999}, QUOTA, true},
    {"memory: nothing left", CARD(), ASK(1, 1, 0), {.mem_set = true, .mem_left_mib = 0}, QUOTA, true},
    {"memory: overdrawn", CARD(.mem_total_mib = 10), PCT(1, 1, 0), {.mem_set = true, .mem_left_mib = -1}, QUOTA, true},
    {"memory: limit 0, nothing wanted", CARD(.mem_total_mib = 10), PCT(1, 1, 0), {.mem_set = true, .mem_left_mib = 0}, 0, false},
    {"memory: percent, exactly", CARD(), PCT(1, 33, 0), {.mem_set = true, .mem_left_mib = 8110}, 0, false},
    {"memory: percent, one short", CARD(), PCT(1, 33, 0), {.mem_set = true, .mem_left_mib = 8109}, QUOTA, true},
    {"cores: exactly used up", CARD(), ASK(1, 4000, 20), {.cores_set = true, .cores_left_pct = 20}, 0, false},
    {"cores: one short", CARD(), ASK(1, 4000, 20), {.cores_set = true, .cores_left_pct = 19}, QUOTA, true},
    {"cores: above 100 counts as 100", CARD(), ASK(1, 4000, 150), {.cores_set = true, .cores_left_pct = 100}, 0, false},
    {"quota hides memory", CARD(.mem_used_mib = 24576), ASK(1, 4000, 20), {.mem_set = true, .mem_left_mib = 3999}, QUOTA, true},
    {"quota hides cores", CARD(.cores_used_pct = 100), ASK(1, 4000, 20), {.mem_set = true, .mem_left_mib = 3999}, QUOTA, true},
    {"slots hide quota", CARD(.shares_used = 10), ASK(1, 4000, 20), {.mem_set = true, .mem_left_mib = 3999}, SLOTS, true},
    {"quota fits, memory does not", CARD(.mem_used_mib = 24576), ASK(1, 4000, 20), {.mem_set = true, .mem_left_mib = 4000}, MEMORY, false},
    {"quota of another vendor", CARD(), ASK(1, 4000, 20), {.vendor = V_OTHER, .mem_set = true}, 0, false},
    // clang-format on
};

START_TEST(quotas)
{
    const struct quota_row *row = &QUOTAS[_i];
    struct cluster c;
    cluster_init(&c);
    cluster_add(&c, V_FULL, &row->card, 1);
    struct pod p;
    pod_init(&p);
    pod_ask(&p, SCORE_STEP_APP, row->ask);
    p.quotas[0] = row->quota;
    p.req.quotas_n = 1;
    struct result r;
    decide(&p, &c, NULL, &r);
    ck_assert_msg(r.v.reasons == row->reasons, "%s: want %#x, got %#x", row->name, row->reasons,
                  r.v.reasons);
    ck_assert_msg(r.v.unresolvable == row->never, "%s: unresolvable is %d", row->name,
                  r.v.unresolvable);
}
END_TEST

/* ---- the node as a whole ---- */

START_TEST(no_such_cards)
{
    struct cluster c;
    cluster_init(&c);
    const struct score_device card = CARD();
    struct pod p;
    pod_init(&p);
    pod_ask(&p, SCORE_STEP_APP, (struct score_ask){.vendor = V_OTHER, .count = 1, .mem_mib = 1});
    struct result r;
    decide(&p, &c, NULL, &r); /* no cards at all */
    ck_assert_uint_eq(r.v.reasons, R(NODE_UNREGISTERED));
    ck_assert(r.v.unresolvable);
    cluster_add(&c, V_FULL, &card, 1);
    decide(&p, &c, NULL, &r); /* cards of another vendor */
    ck_assert_uint_eq(r.v.reasons, R(NODE_UNREGISTERED));
    ck_assert(r.v.unresolvable);
    ck_assert_int_eq(r.detail.reason, SCORE_NODE_UNREGISTERED);
    cluster_add(&c, V_OTHER, NULL, 0);
    decide(&p, &c, NULL, &r); /* registered, and none left */
    ck_assert_uint_eq(r.v.reasons, FEW);
    ck_assert(r.v.unresolvable);
}
END_TEST

START_TEST(unaccounted)
{
    struct cluster c;
    cluster_init(&c);
    const struct score_device cards[] = {CARD(), CARD(.mem_used_mib = 24576)};
    cluster_add(&c, V_FULL, cards, 2);
    c.groups[0].closed = true;
    struct pod p;
    pod_init(&p);
    pod_ask(&p, SCORE_STEP_APP, (struct score_ask){.count = 1, .mem_mib = 1});
    struct result r;
    decide(&p, &c, NULL, &r);
    ck_assert_uint_eq(r.v.reasons, R(NODE_DEVICES_UNACCOUNTED));
    ck_assert(!r.v.unresolvable); /* it ends with the pod that holds them */
    p.asks[0].mem_mib = 24577;
    decide(&p, &c, NULL, &r);
    ck_assert_uint_eq(r.v.reasons, R(NODE_DEVICES_UNACCOUNTED));
    ck_assert(r.v.unresolvable);
}
END_TEST

START_TEST(locked)
{
    struct cluster c;
    cluster_init(&c);
    const struct score_device cards[] = {CARD(), CARD(.mem_used_mib = 24576)};
    cluster_add(&c, V_FULL, cards, 2);
    c.groups[0].locked = true;
    struct pod p;
    pod_init(&p);
    pod_ask(&p, SCORE_STEP_APP, (struct score_ask){.count = 1, .mem_mib = 1});
    struct result r;
    for (p.asks[0].count = 1; p.asks[0].count <= 2;
         p.asks[0].count++) { /* the short way, and the long */
        decide(&p, &c, NULL, &r);
        ck_assert_uint_eq(r.v.reasons, R(NODE_LOCKED));
        ck_assert(!r.v.unresolvable); /* it ends with the pod that waits */
    }
    c.groups[0].closed = true; /* the worse of both is told */
    decide(&p, &c, NULL, &r);
    ck_assert_uint_eq(r.v.reasons, R(NODE_DEVICES_UNACCOUNTED));
}
END_TEST

START_TEST(extra)
{
    struct cluster c;
    cluster_init(&c);
    const struct score_device cards[] = {
        CARD(.mem_used_mib = 20000, .cores_used_pct = 50, .shares_used = 5)};
    cluster_add(&c, V_FULL, cards, 1);
    struct pod p;
    pod_init(&p);
    pod_ask(&p, SCORE_STEP_APP, (struct score_ask){.count = 1, .mem_mib = 4576, .cores_pct = 50});
    const struct {
        struct score_extra x;
        score_reasons reasons;
    } rows[] = {
        {{.mem_mib = 0}, 0},
        {{.mem_mib = 1}, MEMORY},
        {{.cores_pct = 1}, CORE},
        {{.shares = 4}, 0},
        {{.shares = 5}, SLOTS},
        {{.mem_mib = -1, .cores_pct = -1, .shares = -1}, 0},
        /* more taken off than there was: nothing, never less */
        {{.mem_mib = -30000, .cores_pct = -90, .shares = -9}, 0},
    };
    for (unsigned i = 0; i < ROWS(rows); i++) {
        struct result r;
        decide(&p, &c, &rows[i].x, &r);
        ck_assert_msg(r.v.reasons == rows[i].reasons, "row %u: %#x", i, r.v.reasons);
    }
    p.asks[0].mem_mib = 24577; /* taking off more than all makes no card larger */
    struct result r;
    decide(&p, &c, &rows[6].x, &r);
    ck_assert_uint_eq(r.v.reasons, MEMORY);
    ck_assert(r.v.unresolvable);
}
END_TEST

/* ---- why not, in numbers ---- */

START_TEST(details)
{
    struct cluster c;
    cluster_init(&c);
    const struct score_device cards[] = {CARD(.mem_used_mib = 20000),
                                         CARD(.mem_used_mib = 22000),
                                         CARD(.cores_used_pct = 90),
                                         CARD(.shares_used = 10),
                                         CARD(.flags = SCORE_DEVICE_UNHEALTHY),
                                         CARD(.mem_used_mib = 24576)};
    cluster_add(&c, V_FULL, cards, 6);
    struct pod p;
    pod_init(&p);
    pod_ask(&p, SCORE_STEP_APP, (struct score_ask){.count = 1, .mem_mib = 5000, .cores_pct = 20});
    struct result r;
    decide(&p, &c, NULL, &r);
    ck_assert_int_eq(r.detail.candidates, 6);
    ck_assert_int_eq(r.detail.counts[SCORE_CARD_INSUFFICIENT_MEMORY], 3);
    ck_assert_int_eq(r.detail.counts[SCORE_CARD_INSUFFICIENT_CORE], 1);
    ck_assert_int_eq(r.detail.counts[SCORE_CARD_TIME_SLICING_EXHAUSTED], 1);
    ck_assert_int_eq(r.detail.counts[SCORE_CARD_NOT_HEALTH], 1);
    ck_assert_int_eq(r.detail.reason, SCORE_CARD_INSUFFICIENT_MEMORY);
    ck_assert_int_eq(r.detail.wanted, 5000); /* of the card that comes nearest */
    ck_assert_int_eq(r.detail.free, 4576);
    ck_assert_int_eq(r.detail.total, 24576);
    p.asks[0].count = 2;
    p.asks[0].mem_mib = 100;
    c.devices[1].shares_used = 10;
    decide(&p, &c, NULL, &r); /* card 0 alone fits */
    ck_assert_uint_eq(r.v.reasons, SOME | SLOTS | CORE | MEMORY | R(CARD_NOT_HEALTH));
    ck_assert_int_eq(r.detail.counts[SCORE_ALLOCATED_CARDS_INSUFFICIENT_REQUEST], 1);
    ck_assert_int_eq(r.detail.reason, SCORE_CARD_TIME_SLICING_EXHAUSTED);
    ck_assert_int_eq(r.detail.counts[SCORE_CARD_TIME_SLICING_EXHAUSTED], 2);
    ck_assert_int_eq(r.detail.wanted, 1);
    ck_assert_int_eq(r.detail.free, 0);
    ck_assert_int_eq(r.detail.total, 10);
    p.asks[0].count = 7;
    decide(&p, &c, NULL, &r);
    ck_assert_int_eq(r.detail.reason, SCORE_NODE_INSUFFICIENT_DEVICE);
    ck_assert_int_eq(r.detail.wanted, 7);
    ck_assert_int_eq(r.detail.free, 6);
    p.asks[0] = (struct score_ask){.count = 1, .mem_mib = 100, .cores_pct = 60};
    p.quotas[0] = (struct score_quota){.cores_set = true, .cores_left_pct = 50};
    p.req.quotas_n = 1;
    decide(&p, &c, NULL, &r);
    ck_assert_int_eq(r.detail.reason, SCORE_RESOURCE_QUOTA_NOT_FIT);
    ck_assert_int_eq(r.detail.wanted, 60);
    ck_assert_int_eq(r.detail.free, 50);
}
END_TEST

START_TEST(detail_ties)
{
    /* As many of each: the first in the vendor's order. */
    struct cluster c;
    cluster_init(&c);
    const struct score_device cards[] = {CARD(.cores_used_pct = 100), CARD(.mem_used_mib = 24576),
                                         CARD(.shares_used = 10)};
    cluster_add(&c, V_FULL, cards, 3);
    cluster_add(&c, V_OTHER, cards, 3);
    struct pod p;
    pod_init(&p);
    pod_ask(&p, SCORE_STEP_APP, (struct score_ask){.count = 1, .mem_mib = 5000, .cores_pct = 20});
    struct result r;
    decide(&p, &c, NULL, &r);
    ck_assert_int_eq(r.detail.reason, SCORE_CARD_TIME_SLICING_EXHAUSTED);
    p.asks[0].vendor = V_OTHER;
    decide(&p, &c, NULL, &r);
    ck_assert_int_eq(r.detail.reason, SCORE_CARD_INSUFFICIENT_CORE);
    ck_assert_int_eq(r.detail.wanted, 20);
    ck_assert_int_eq(r.detail.free, 0);
    ck_assert_int_eq(r.detail.total, 100);
}
END_TEST

/* ---- codes ---- */

START_TEST(codes)
{
    static const char *const WANT[SCORE_REASON_COUNT_] = {
        "Fits",
        "CardTypeMismatch",
        "CardUuidMismatch",
        "CardTimeSlicingExhausted",
        "CardComputeUnitsExhausted",
        "CardInsufficientMemory",
        "CardInsufficientCore",
        "CardNotHealth",
        "CardCordoned",
        "NumaNotFit",
        "ExclusiveDeviceAllocateConflict",
        "CardNotFoundCustomFilterRule",
        "CardMigTopologyInfeasible",
        "NodeInsufficientDevice",
        "AllocatedCardsInsufficientRequest",
        "ResourceQuotaNotFit",
        "ModeNotFit",
        "CardUnhealthy",
        "CardQosPolicyMismatch",
        "CardAppClassMismatch",
        "NodeUnknown",
        "NodeUnregistered",
        "NodeDevicesUnaccounted",
        "NodeHeld",
        "NodeLocked",
        "RequestInvalid",
    };
    for (unsigned i = 0; i < SCORE_REASON_COUNT_; i++) {
        ck_assert_str_eq(score_reason_code(i), WANT[i]);
        const char *help = score_reason_help(i);
        ck_assert_msg(help && strlen(help) > 10 && help[strlen(help) - 1] == '.' &&
                          !strchr(help, '\n'),
                      "%s: help is no sentence", WANT[i]);
    }
    static const enum score_reason NEVER[] = {
        SCORE_CARD_TYPE_MISMATCH,     SCORE_CARD_UUID_MISMATCH,
        SCORE_CARD_NOT_HEALTH,        SCORE_CARD_UNHEALTHY,
        SCORE_CARD_CORDONED,          SCORE_NODE_INSUFFICIENT_DEVICE,
        SCORE_RESOURCE_QUOTA_NOT_FIT, SCORE_NODE_UNKNOWN,
        SCORE_NODE_UNREGISTERED,      SCORE_REQUEST_INVALID,
        SCORE_MODE_NOT_FIT,           SCORE_CARD_NOT_FOUND_CUSTOM_FILTER_RULE};
    score_reasons never = 0;
    for (unsigned i = 0; i < ROWS(NEVER); i++)
        never |= SCORE_BIT(NEVER[i]);
    for (unsigned i = 0; i < SCORE_REASON_COUNT_; i++)
        ck_assert_msg(score_reason_unresolvable(i) == (never >> i & 1), "%s", WANT[i]);
}
END_TEST

/* ---- requests that are unsound ---- */

static struct pod sound(void)
{
    struct pod p;
    pod_init(&p);
    pod_ask(&p, SCORE_STEP_INIT, (struct score_ask){.count = 1, .mem_pct = 100});
    pod_ask(&p, SCORE_STEP_SIDECAR, (struct score_ask){.count = 2, .mem_mib = 1});
    pod_ask(&p, SCORE_STEP_APP, (struct score_ask){.count = 1, .mem_mib = SCORE_AMOUNT_MAX});
    return p;
}

static bool is_sound(struct pod *p)
{
    /* pod structs point into themselves; this one was copied */
    p->req.steps = p->steps;
    p->req.asks = p->asks;
    p->req.selections = &p->selection;
    p->req.quotas = p->quotas;
    struct err err = {0};
    const enum err_code rc = score_request_check(&p->req, &err);
    ck_assert(rc == ERR_OK || (rc == ERR_INVALID && err.text[0]));
    ck_assert_int_eq(score_request_check(&p->req, NULL), rc);
    return rc == ERR_OK;
}

START_TEST(unsound)
{
    struct pod p = sound();
    ck_assert(is_sound(&p));
#define UNSOUND(change)                                                                            \
    do {                                                                                           \
        p = sound();                                                                               \
        change;                                                                                    \
        ck_assert_msg(!is_sound(&p), "sound: %s", #change);                                        \
    } while (0)
#define SOUND(change)                                                                              \
    do {                                                                                           \
        p = sound();                                                                               \
        change;                                                                                    \
        ck_assert_msg(is_sound(&p), "unsound: %s", #change);                                       \
    } while (0)
    static const struct str empty[] = {STR_INIT("a"), STR_INIT("")};
    UNSOUND(p.req.vendors_n = 0);
    UNSOUND(p.req.vendors_n = SCORE_VENDORS_MAX + 1);
    UNSOUND(p.req.containers_n = 0);
    UNSOUND(p.req.containers_n = SCORE_CONTAINERS_MAX + 1);
    UNSOUND(p.req.containers_n = 2); /* an ask of the third */
    UNSOUND(p.req.asks_n = 0);
    UNSOUND(p.req.asks_n = SCORE_ASKS_MAX + 1);
    UNSOUND(p.steps[0] = SCORE_STEP_APP); /* init containers come first */
    UNSOUND(p.steps[2] = (enum score_step)3);
    UNSOUND(p.asks[1].container = 0); /* repeated */
    UNSOUND(p.asks[0].container = 2); /* out of order */
    SOUND((p.asks[1].container = 0, p.asks[1].vendor = V_OTHER));
    UNSOUND(p.asks[1].vendor = V_COUNT);
    UNSOUND(p.asks[0].count = 0);
    UNSOUND(p.asks[0].count = -1);
    SOUND(p.asks[0].count = SCORE_PARTS_MAX - 3);
    UNSOUND(p.asks[0].count = SCORE_PARTS_MAX - 2); /* in sum */
    UNSOUND(p.asks[0].count = INT_MAX);
    SOUND(p.asks[0].mem_pct = 0); /* neither memory nor percent: none */
    UNSOUND(p.asks[0].mem_pct = 101);
    UNSOUND(p.asks[0].mem_pct = -1);
    UNSOUND(p.asks[1].mem_pct = 1); /* both */
    UNSOUND(p.asks[1].mem_mib = -1);
    UNSOUND(p.asks[1].mem_mib = SCORE_AMOUNT_MAX + 1);
    UNSOUND(p.asks[1].cores_pct = -1);
    UNSOUND(p.asks[1].slices = -1);
    SOUND(p.asks[1].cores_pct = INT_MAX);
    UNSOUND((p.req.selections_n = 1, p.selection.vendor = V_COUNT));
    UNSOUND((p.req.selections_n = 1, p.selection.use_types = empty, p.selection.use_types_n = 2));
    UNSOUND(
        (p.req.selections_n = 1, p.selection.nouse_types = empty, p.selection.nouse_types_n = 2));
    UNSOUND((p.req.selections_n = 1, p.selection.use_uuids = empty, p.selection.use_uuids_n = 2));
    UNSOUND(
        (p.req.selections_n = 1, p.selection.nouse_uuids = empty, p.selection.nouse_uuids_n = 2));
    UNSOUND((p.req.selections_n = 1, p.selection.nouse_uuids_n = 1)); /* no list */
    SOUND((p.req.selections_n = 1, p.selection.app_class = SCORE_CLASS_OFFLINE));
    UNSOUND((p.req.selections_n = 1, p.selection.app_class = SCORE_CLASS_OFFLINE + 1));
    SOUND((p.req.quotas_n = 2, p.quotas[1].vendor = 1));
    UNSOUND(p.req.quotas_n = 2); /* of one vendor */
    UNSOUND((p.req.quotas_n = 1, p.quotas[0].vendor = V_COUNT));
    UNSOUND(p.req.policy.card[2] = SCORE_KEY_COUNT_);
    UNSOUND(p.req.policy.weight_mem = -1);
    UNSOUND(p.req.policy.weight_mem = 1000001);
    SOUND(p.req.policy.weight_mem = 1000000);
    UNSOUND(p.req.policy.weight_slot = p.req.policy.weight_core = p.req.policy.weight_mem = 0);
    SOUND(p.req.policy.weight_slot = p.req.policy.weight_core = 0);

    struct score_vendor broken[V_COUNT];
    memcpy(broken, VENDORS, sizeof(broken));
    SOUND(p.req.vendors = broken);
#define BROKEN(change)                                                                             \
    do {                                                                                           \
        memcpy(broken, VENDORS, sizeof(broken));                                                   \
        change;                                                                                    \
        UNSOUND(p.req.vendors = broken);                                                           \
    } while (0)
    BROKEN(broken[0].amount = SCORE_AMOUNT_PROFILE + 1);
    BROKEN(broken[0].select = SCORE_SELECT_BLOCKS + 1);
    BROKEN(broken[0].quality = SCORE_QUALITY_WINGS + 1);
    BROKEN(broken[0].select_reason = SCORE_REASON_COUNT_);
    BROKEN(broken[0].reasons[SCORE_CHECK_FREE] = SCORE_REASON_COUNT_);
    memcpy(broken, VENDORS, sizeof(broken));
    broken[0].checks[1] = SCORE_CHECK_HEALTH;
    UNSOUND(p.req.vendors = broken);
    broken[0].checks[1] = SCORE_CHECK_COUNT_;
    UNSOUND(p.req.vendors = broken);
    for (unsigned i = 0; i < SCORE_CHECK_COUNT_; i++)
        broken[0].checks[i] = (enum score_check)(i + 1);
    UNSOUND(p.req.vendors = broken);
}
END_TEST

START_TEST(prepare_limits)
{
    struct pod p;
    pod_init(&p);
    pod_ask(&p, SCORE_STEP_APP, (struct score_ask){.count = 1, .mem_mib = 1});
    const struct str uuids[] = {STR_INIT("a"), STR_INIT("b")};
    p.selection = (struct score_selection){
        .use_uuid_set = true, .use_uuids = uuids, .use_uuids_n = 2, .mode_set = true};
    p.req.selections_n = 1;
    struct score_prepared prep;
    struct err err = {0};
    static struct str many[SCORE_TYPES_MAX + 1];
    for (unsigned i = 0; i < ROWS(many); i++)
        many[i] = STR("type");
    struct arena *arena = arena_new(1 << 20);
    ck_assert_int_eq(score_prepare(&p.req, many, SCORE_TYPES_MAX, arena, &prep, &err), ERR_OK);
    ck_assert_int_eq(score_prepare(&p.req, many, SCORE_TYPES_MAX + 1, arena, &prep, &err),
                     ERR_TOO_LARGE);
    arena_free(arena);
    /* Every size of arena: an answer or ERR_NO_MEMORY, and what is returned is untouched then. */
    unsigned failed = 0;
    for (size_t max = 1; max < 4096; max += 16) {
        arena = arena_new(max);
        if (!arena)
            continue;
        memset(&prep, 0x5a, sizeof(prep));
        const enum err_code rc = score_prepare(&p.req, TYPES, T_COUNT, arena, &prep, &err);
        ck_assert(rc == ERR_OK || rc == ERR_NO_MEMORY);
        if (rc) {
            failed++;
            for (size_t i = 0; i < sizeof(prep); i++)
                ck_assert_int_eq(((unsigned char *)&prep)[i], 0x5a);
        }
        arena_free(arena);
    }
    ck_assert_uint_gt(failed, 0);
}
END_TEST

/* ---- the scale ---- */

START_TEST(scales)
{
    static const struct {
        const char *name;
        int64_t raw[4], max, want[4];
        size_t n;
    } rows[] = {
        {"none", {7}, 10, {-5}, 0},
        {"one", {7}, 10, {10}, 1},
        {"all equal", {3, 3, 3}, 10, {10, 10, 10}, 3},
        {"ends and middle", {0, 1000000, 500000}, 10, {0, 10, 5}, 3},
        {"to the nearest", {0, 100, 14, 15}, 10, {0, 10, 1, 2}, 4},
        {"a small range counts fully", {500000, 500001}, 100, {0, 100}, 2},
        {"negative", {-10, 0, 10}, 100, {0, 50, 100}, 3},
        {"max 0", {1, 2}, 0, {0, 0}, 2},
        {"the widest", {INT64_MIN, INT64_MAX, 0}, 100, {0, 100, 50}, 3},
        {"the widest, to the largest", {INT64_MIN, INT64_MAX}, INT64_MAX, {0, INT64_MAX}, 2},
    };
    for (unsigned i = 0; i < ROWS(rows); i++) {
        int64_t ret[4] = {-5, -5, -5, -5};
        score_scale(rows[i].raw, rows[i].n, rows[i].max, ret);
        for (size_t j = 0; j < rows[i].n || j < 1; j++)
            ck_assert_msg(ret[j] == rows[i].want[j], "%s: %zu: want %lld, got %lld", rows[i].name,
                          j, (long long)rows[i].want[j], (long long)ret[j]);
    }
}
END_TEST

Suite *suite_tables(void)
{
    Suite *suite = suite_create("score tables");
    TCase *tc = tcase_create("tables");
    tcase_add_loop_test(tc, fits, 0, ROWS(FITS));
    tcase_add_loop_test(tc, lists, 0, ROWS(LISTS));
    tcase_add_loop_test(tc, quotas, 0, ROWS(QUOTAS));
    tcase_add_test(tc, empty_mode);
    tcase_add_test(tc, no_such_cards);
    tcase_add_test(tc, unaccounted);
    tcase_add_test(tc, locked);
    tcase_add_test(tc, extra);
    tcase_add_test(tc, details);
    tcase_add_test(tc, detail_ties);
    tcase_add_test(tc, codes);
    tcase_add_test(tc, unsound);
    tcase_add_test(tc, prepare_limits);
    tcase_add_test(tc, scales);
    suite_add_tcase(suite, tc);
    return suite;
}
