/* Selection lists (nvidia.md 6.1), card and node policies (core.md 5.3, 5.5), weights and their
 * texts (5.2). */
#include "check_vendor.h"

#include "base/own.h"

#include <stdio.h>
#include <string.h>

DEFINE_CLEANUP(struct vendor_table *, vendor_table_free)
DEFINE_CLEANUP(struct arena *, arena_free)

static struct str text(const char *z) { return z ? str_z(z) : (struct str){0}; }

/* ---- lists ---- */

static const struct {
    const char *name, *value;
    bool set;
    const char *want; /* entries joined by '|' */
} LISTS[] = {
    {"absent", NULL, false, ""},
    {"empty", "", false, ""},
    {"blank", " \t ", false, ""},
    {"one", "A10", true, "A10"},
    {"trimmed", " A10 ,\tV100\n", true, "A10|V100"},
    {"empty entries left out", ",A10,, ,V100,", true, "A10|V100"},
    {"only commas: matches nothing", ",,", true, ""},
    {"inner space stays", "Tesla V100,A10", true, "Tesla V100|A10"},
};

START_TEST(selection_lists)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
    ck_assert_int_eq(vendor_table_builtin(&t, NULL), ERR_OK);
    struct str value = text(LISTS[_i].value);
    struct vendor_selection_text in = {value, value, value, value, {0}, {0}};
    struct score_selection got;
    ck_assert_int_eq(vendor_selection(vendor_at(t, 0), &in, arena, &got, NULL), ERR_OK);
    ck_assert_msg(got.use_type_set == LISTS[_i].set && got.use_uuid_set == LISTS[_i].set, "%s",
                  LISTS[_i].name);
    const struct str *lists[] = {got.use_types, got.nouse_types, got.use_uuids, got.nouse_uuids};
    const uint16_t n[] = {got.use_types_n, got.nouse_types_n, got.use_uuids_n, got.nouse_uuids_n};
    for (int l = 0; l < 4; l++) {
        struct buf joined;
        buf_init(&joined, 1000);
        for (uint16_t i = 0; i < n[l]; i++) {
            if (i > 0)
                buf_char(&joined, '|');
            buf_add(&joined, lists[l][i]);
        }
        ck_str(LISTS[_i].name, ((struct str){joined.p, joined.n}), str_z(LISTS[_i].want));
        buf_done(&joined);
    }
}
END_TEST

START_TEST(selection_mode)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
    ck_assert_int_eq(vendor_table_builtin(&t, NULL), ERR_OK);
    struct vendor_selection_text in = {0};
    struct score_selection got;
    ck_assert_int_eq(vendor_selection(vendor_at(t, 0), &in, arena, &got, NULL), ERR_OK);
    ck_assert(!got.mode_set);
    in.mode = STR(""); /* present and empty: only devices without a mode */
    ck_assert_int_eq(vendor_selection(vendor_at(t, 0), &in, arena, &got, NULL), ERR_OK);
    ck_assert(got.mode_set && got.mode.n == 0);
    in.mode = STR(" mig,hami-core"); /* as it stands: a substring is looked for */
    ck_assert_int_eq(vendor_selection(vendor_at(t, 0), &in, arena, &got, NULL), ERR_OK);
    ck_str("mode", got.mode, STR(" mig,hami-core"));
}
END_TEST

START_TEST(selection_bounds)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
    struct arena *tiny CLEANUP(arena_free_p) = arena_new(64);
    ck_assert_int_eq(vendor_table_builtin(&t, NULL), ERR_OK);
    char list[2 * VENDOR_SELECTION_MAX + 2];
    for (size_t i = 0; i < sizeof(list); i++)
        list[i] = i % 2 ? ',' : 'a';
    struct vendor_selection_text in = {.nouse_uuid = {list, 2 * VENDOR_SELECTION_MAX}};
    struct score_selection got;
    struct err err;
    ck_assert_int_eq(vendor_selection(vendor_at(t, 0), &in, arena, &got, &err), ERR_OK);
    ck_assert_int_eq(got.nouse_uuids_n, VENDOR_SELECTION_MAX);
    in.nouse_uuid.n++; /* one more entry */
    ck_assert_int_eq(vendor_selection(vendor_at(t, 0), &in, arena, &got, &err), ERR_INVALID);
    ck_assert(str_contains(str_z(err.text), STR("nvidia.com/nouse-gpuuuid")));
    in.nouse_uuid.n--;
    ck_assert_int_eq(vendor_selection(vendor_at(t, 0), &in, tiny, &got, &err), ERR_NO_MEMORY);
}
END_TEST

/* ---- two spellings, classes, policies (vendors-b.md 1f, 1i, 3g) ---- */

static const struct {
    const char *name, *use, *use2, *nouse, *nouse2;
    bool set;
    const char *want, *forbidden; /* entries joined by '|' */
} TWICE[] = {
    {"neither", NULL, NULL, NULL, NULL, false, "", ""},
    {"the first", "a,b", NULL, NULL, NULL, true, "a|b", ""},
    {"the second", NULL, "a,b", NULL, NULL, true, "a|b", ""},
    {"what is in both", "a,b,c", "c,d,a", NULL, NULL, true, "a|c", ""},
    {"a longer second narrows too", "a", "b,a,c", NULL, NULL, true, "a", ""},
    {"nothing is in both", "a", "b", NULL, NULL, true, "", ""},
    {"only commas allow nothing", "a", ",", NULL, NULL, true, "", ""},
    {"blank is no list", "a", " ", NULL, NULL, true, "a", ""},
    {"letter case counts", "a,B", "A,B", NULL, NULL, true, "B", ""},
    {"the first forbids", NULL, NULL, "x", NULL, false, "", "x"},
    {"the second forbids", NULL, NULL, NULL, "x,y", false, "", "x|y"},
    {"either forbids", "a", "a", "x", "y,z", true, "a", "x|y|z"},
};

static void check_joined(const char *name, const struct str *list, uint16_t n, const char *want)
{
    struct buf joined;
    buf_init(&joined, 1000);
    for (uint16_t i = 0; i < n; i++) {
        if (i > 0)
            buf_char(&joined, '|');
        buf_add(&joined, list[i]);
    }
    ck_str(name, ((struct str){joined.p, joined.n}), str_z(want));
    buf_done(&joined);
}

START_TEST(two_spellings_of_uuids)
{
    static const char *const KEYS[] = {"XPU", "kunlun"};
    for (int k = 0; k < COUNT(KEYS); k++) {
        struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
        struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
        ck_assert_int_eq(vendor_table_builtin(&t, NULL), ERR_OK);
        struct vendor_selection_text in = {.use_uuid = text(TWICE[_i].use),
                                           .use_uuid2 = text(TWICE[_i].use2),
                                           .nouse_uuid = text(TWICE[_i].nouse),
                                           .nouse_uuid2 = text(TWICE[_i].nouse2)};
        struct score_selection got;
        ck_assert_int_eq(vendor_selection(row_of(t, KEYS[k]), &in, arena, &got, NULL), ERR_OK);
        ck_assert_msg(got.use_uuid_set == TWICE[_i].set, "%s", TWICE[_i].name);
        check_joined(TWICE[_i].name, got.use_uuids, got.use_uuids_n, TWICE[_i].want);
        check_joined(TWICE[_i].name, got.nouse_uuids, got.nouse_uuids_n, TWICE[_i].forbidden);
    }
}
END_TEST

static const struct {
    const char *key, *app_class, *qos, *topology, *numa;
    enum score_class want_class;
    uint8_t want_qos;
    bool links, numa_bind;
    const char *text; /* refused with this */
} CLASSES[] = {
    {"Metax-SGPU", NULL, NULL, NULL, NULL, SCORE_CLASS_NONE, 1},
    {"Metax-SGPU", NULL, "best-effort", NULL, NULL, SCORE_CLASS_NONE, 1},
    {"Metax-SGPU", NULL, "fixed-share", NULL, NULL, SCORE_CLASS_NONE, 2},
    {"Metax-SGPU", NULL, "burst-share", NULL, NULL, SCORE_CLASS_NONE, 3},
    {"Metax-SGPU", "online", NULL, NULL, NULL, SCORE_CLASS_ONLINE, 0},
    {"Metax-SGPU", "online", "no such policy", NULL, NULL, SCORE_CLASS_ONLINE, 0},
    {"Metax-SGPU", "offline", "fixed-share", NULL, NULL, SCORE_CLASS_OFFLINE, 2},
    {"Metax-SGPU", "offline", NULL, NULL, NULL, SCORE_CLASS_OFFLINE, 1},
    {"Metax-SGPU", "", NULL,
     .text = "metax-tech.com/sgpu-app-class must be set one of [online, offline]"},
    {"Metax-SGPU", "Online", NULL, .text = "metax-tech.com/sgpu-app-class must be set one of"},
    {"Metax-SGPU", NULL, "",
     .text = "metax-tech.com/sgpu-qos-policy must be set one of [best-effort, fixed-share, "
             "burst-share]"},
    {"Metax-SGPU", "offline", "best", .text = "metax-tech.com/sgpu-qos-policy must be"},
    {"Metax-SGPU", NULL, NULL, "true", NULL, SCORE_CLASS_NONE, 1, .links = true},
    {"Metax-SGPU", NULL, NULL, "T", NULL, SCORE_CLASS_NONE, 1, .links = true},
    {"Metax-SGPU", NULL, NULL, "false", NULL, SCORE_CLASS_NONE, 1},
    {"Metax-SGPU", NULL, NULL, "yes", NULL, SCORE_CLASS_NONE, 1},
    /* rows without them: an annotation of another row says nothing */
    {"Metax-GPU", "online", "fixed-share"},
    {"Metax-SGPU", NULL, NULL, NULL, "true", SCORE_CLASS_NONE, 1},
    {"NVIDIA", NULL, NULL, NULL, "true", .numa_bind = true},
    {"NVIDIA", NULL, NULL, NULL, "0"},
    {"NVIDIA", NULL, NULL, NULL, "maybe"},
};

START_TEST(classes_and_policies)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
    ck_assert_int_eq(vendor_table_builtin(&t, NULL), ERR_OK);
    struct vendor_selection_text in = {.app_class = text(CLASSES[_i].app_class),
                                       .qos = text(CLASSES[_i].qos),
                                       .topology = text(CLASSES[_i].topology),
                                       .numa_bind = text(CLASSES[_i].numa)};
    struct score_selection got;
    struct err err = {0};
    enum err_code rc = vendor_selection(row_of(t, CLASSES[_i].key), &in, arena, &got, &err);
    if (CLASSES[_i].text) {
        ck_assert_int_eq(rc, ERR_INVALID);
        ck_assert_msg(strstr(err.text, CLASSES[_i].text) != NULL, "%s", err.text);
        return;
    }
    ck_assert_msg(rc == ERR_OK, "%s", err.text);
    ck_assert_int_eq(got.app_class, CLASSES[_i].want_class);
    ck_assert_int_eq(got.qos, CLASSES[_i].want_qos);
    ck_assert_int_eq(got.links, CLASSES[_i].links);
    ck_assert_int_eq(got.numa_bind, CLASSES[_i].numa_bind);
}
END_TEST

/* sgpuTopologyAware is the default that a pod's annotation overrides (vendors-b.md 1i). */
START_TEST(links_by_default)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
    ck_assert_int_eq(vendor_table_builtin(&t, NULL), ERR_OK);
    struct vendor v = *row_of(t, "Metax-SGPU");
    struct vendor_selection_text in = {0};
    struct score_selection got;
    v.topology_on = true;
    ck_assert_int_eq(vendor_selection(&v, &in, arena, &got, NULL), ERR_OK);
    ck_assert(got.links);
    in.topology = STR("F");
    ck_assert_int_eq(vendor_selection(&v, &in, arena, &got, NULL), ERR_OK);
    ck_assert(!got.links);
    in.topology = STR("off"); /* no bool: not said */
    ck_assert_int_eq(vendor_selection(&v, &in, arena, &got, NULL), ERR_OK);
    ck_assert(got.links);
}
END_TEST

/* What is not said is what SCORE_POLICY_DEFAULT says. */
START_TEST(policy_default_is_the_core_s)
{
    struct score_policy got, want = SCORE_POLICY_DEFAULT;
    ck_assert_int_eq(
        vendor_policy((struct str){0}, (struct str){0}, (struct str){0}, false, &got, NULL),
        ERR_OK);
    ck_assert_int_eq(memcmp(got.card, want.card, sizeof(got.card)), 0);
    ck_assert(got.node_spread == want.node_spread && got.card_mutex == want.card_mutex &&
              got.topology_aware == want.topology_aware && got.weight_slot == want.weight_slot &&
              got.weight_core == want.weight_core && got.weight_mem == want.weight_mem);
}
END_TEST

static const struct {
    const char *policy;
    bool topology, mutex;
} TOKENS[] = {
    {"topology-aware", .topology = true},
    {" topology-aware ", .topology = true},
    {"binpack,topology-aware", .topology = true},
    {"topology-aware, mutex", .topology = true, .mutex = true},
    {"mutex", .mutex = true},
    {"topology-awareness"},
    {"Topology-aware"},
    {""},
};

START_TEST(policy_tokens)
{
    struct score_policy got;
    ck_assert_int_eq(vendor_policy((struct str){0}, str_z(TOKENS[_i].policy), (struct str){0},
                                   false, &got, NULL),
                     ERR_OK);
    ck_assert_int_eq(got.topology_aware, TOKENS[_i].topology);
    ck_assert_int_eq(got.card_mutex, TOKENS[_i].mutex);
}
END_TEST

/* ---- policies ---- */

#define BIN SCORE_KEY_BINPACK
#define SPR SCORE_KEY_SPREAD
#define NUM SCORE_KEY_NUMA
static const struct {
    const char *name, *policy;
    bool numa_bind;
    enum score_key want[3];
    bool mutex;
} CARDS[] = {
    {"absent", NULL, false, {SPR, NUM}, false},
    {"spread", "spread", false, {SPR, NUM}, false},
    {"binpack", "binpack", false, {BIN, NUM}, false},
    {"empty", "", false, {SPR, NUM}, false},
    {"unknown", "fast", false, {SPR, NUM}, false},
    {"with a space", " binpack", false, {SPR, NUM}, false},
    {"mutex", "mutex", false, {NUM}, true},
    {"mutex with a space: spread, but mutex", " mutex", false, {SPR, NUM}, true},
    {"numa", "numa", false, {NUM}, false},
    {"chain", "numa,binpack", false, {NUM, BIN}, false},
    {"chain trimmed", " binpack , numa ", false, {BIN, NUM}, false},
    {"first occurrence only", "spread,binpack,spread,numa,numa", false, {SPR, BIN, NUM}, false},
    {"chain of nothing known", "fast,", false, {SPR}, false},
    {"mutex in a chain", "mutex,binpack", false, {BIN}, true},
    {"mutex alone in a chain", "mutex,", false, {SPR}, true},
    {"topology", "topology-aware", false, {SPR, NUM}, false},
    {"topology in a chain", "topology-aware,binpack", false, {BIN}, false},
    {"numa-bind", "spread", true, {NUM, SPR}, false},
    {"numa-bind moves numa to the front", "binpack,numa", true, {NUM, BIN}, false},
    {"case matters", "Binpack", false, {SPR, NUM}, false},
};

START_TEST(card_policy)
{
    struct score_policy got;
    ck_assert_int_eq(vendor_policy((struct str){0}, text(CARDS[_i].policy), (struct str){0},
                                   CARDS[_i].numa_bind, &got, NULL),
                     ERR_OK);
    for (int k = 0; k < 3; k++)
        ck_assert_msg(got.card[k] == CARDS[_i].want[k], "%s: key %d is %d", CARDS[_i].name, k,
                      got.card[k]);
    ck_assert_msg(got.card_mutex == CARDS[_i].mutex, "%s: mutex", CARDS[_i].name);
    ck_assert(!got.node_spread && got.weight_slot == 1 && got.weight_core == 1 &&
              got.weight_mem == 1);
}
END_TEST

START_TEST(node_policy)
{
    static const struct {
        const char *policy;
        bool spread;
    } ROWS[] = {{NULL, false},      {"", false},       {"binpack", false}, {"spread", true},
                {" spread", false}, {"Spread", false}, {"spread,", false}};
    struct score_policy got;
    for (int i = 0; i < COUNT(ROWS); i++) {
        ck_assert_int_eq(vendor_policy(text(ROWS[i].policy), (struct str){0}, (struct str){0},
                                       false, &got, NULL),
                         ERR_OK);
        ck_assert_msg(got.node_spread == ROWS[i].spread, "row %d", i);
    }
}
END_TEST

/* ---- weights ---- */

static const struct {
    const char *value;
    int32_t slot, core, mem; /* when text is NULL */
    const char *text;
} WEIGHTS[] = {
    {"slot=1,core=0,memory=4", 1, 0, 4, NULL},
    {" memory = 3, slot = 1, core = 0 ", 1, 0, 3, NULL},
    {"slot=+2,core=1000000,memory=0", 2, 1000000, 0, NULL},
    {"", 0, 0, 0, "\"\": expected slot, core, and memory weights"},
    {"slot=1,core=1", 0, 0, 0, "\"slot=1,core=1\": expected slot, core, and memory weights"},
    {"slot=1,core=1,memory=1,", 0, 0, 0, "expected slot, core, and memory weights"},
    {"slot=1,core,memory=1", 0, 0, 0, "expected key=value entries"},
    {"slot=1,,memory=1", 0, 0, 0, "expected key=value entries"},
    {"slot=1,slot=1,memory=1", 0, 0, 0, "duplicate \"slot\" weight"},
    {"x=1,x=y,memory=1", 0, 0, 0, "unknown weight \"x\""}, /* part by part */
    {"slot=1.5,core=1,memory=1", 0, 0, 0, "\"slot\" weight must be an integer"},
    {"slot=,core=1,memory=1", 0, 0, 0, "\"slot\" weight must be an integer"},
    {"slot=1=2,core=1,memory=1", 0, 0, 0, "\"slot\" weight must be an integer"},
    {"slot=9223372036854775808,core=1,memory=1", 0, 0, 0, "\"slot\" weight must be an integer"},
    {"slot=-1,core=1,memory=1", 0, 0, 0, "\"slot\" weight must not be negative"},
    {"x=-1,core=1,memory=1", 0, 0, 0, "\"x\" weight must not be negative"}, /* before unknown */
    {"Slot=1,core=1,memory=1", 0, 0, 0, "unknown weight \"Slot\""},
    {"=1,core=1,memory=1", 0, 0, 0, "unknown weight \"\""},
    {"caf\xc3\xa9", 0, 0, 0, "\"caf\xc3\xa9\": expected slot"},
    {"\xff", 0, 0, 0, "\"\\xff\": expected slot"},
    {"slot=0,core=0,memory=0", 0, 0, 0, "at least one weight must be positive"},
    {"slot=1000001,core=0,memory=0", 0, 0, 0, "\"slot\" weight must not exceed 1000000"},
    {"a\"\\\n\x01,b", 0, 0, 0, "\"a\\\"\\\\\\n\\x01,b\": expected slot"},
};

START_TEST(weights)
{
    struct score_policy got;
    struct err err = {0};
    enum err_code rc = vendor_policy((struct str){0}, (struct str){0}, str_z(WEIGHTS[_i].value),
                                     false, &got, &err);
    if (!WEIGHTS[_i].text) {
        ck_assert_msg(rc == ERR_OK, "%s: %s", WEIGHTS[_i].value, err.text);
        ck_assert_int_eq(got.weight_slot, WEIGHTS[_i].slot);
        ck_assert_int_eq(got.weight_core, WEIGHTS[_i].core);
        ck_assert_int_eq(got.weight_mem, WEIGHTS[_i].mem);
        return;
    }
    ck_assert_int_eq(rc, ERR_INVALID);
    ck_assert_msg(str_has_prefix(str_z(err.text),
                                 STR("invalid hami.io/device-scoring-weights annotation \"")),
                  "%s", err.text);
    ck_assert_msg(strstr(err.text, WEIGHTS[_i].text), "%s: want %s", err.text, WEIGHTS[_i].text);
}
END_TEST

START_TEST(long_weights_are_cut)
{
    char value[4096];
    memset(value, '\x01', sizeof(value));
    struct score_policy got;
    struct err err = {0};
    ck_assert_int_eq(vendor_policy((struct str){0}, (struct str){0},
                                   (struct str){value, sizeof(value)}, false, &got, &err),
                     ERR_INVALID);
    ck_assert_msg(strstr(err.text, "...\": expected slot"), "%s", err.text);
}
END_TEST

void check_vendor_select(Suite *suite)
{
    TCase *tc = tcase_create("select");
    tcase_add_loop_test(tc, selection_lists, 0, COUNT(LISTS));
    tcase_add_test(tc, selection_mode);
    tcase_add_test(tc, selection_bounds);
    tcase_add_loop_test(tc, two_spellings_of_uuids, 0, COUNT(TWICE));
    tcase_add_loop_test(tc, classes_and_policies, 0, COUNT(CLASSES));
    tcase_add_test(tc, links_by_default);
    tcase_add_test(tc, policy_default_is_the_core_s);
    tcase_add_loop_test(tc, policy_tokens, 0, COUNT(TOKENS));
    tcase_add_loop_test(tc, card_policy, 0, COUNT(CARDS));
    tcase_add_test(tc, node_policy);
    tcase_add_loop_test(tc, weights, 0, COUNT(WEIGHTS));
    tcase_add_test(tc, long_weights_are_cut);
    suite_add_tcase(suite, tc);
}
