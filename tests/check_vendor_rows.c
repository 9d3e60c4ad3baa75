/* Vendors from files: an invented maker is read, what is printed can be read again and says the
 * same of every member of a row, and each way to be wrong is told with its place. */
#include "check_vendor.h"

#include "base/own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

DEFINE_CLEANUP(struct vendor_table *, vendor_table_free)

static struct vendor_table *builtin(void)
{
    struct vendor_table *t = NULL;
    ck_assert_int_eq(vendor_table_builtin(&t, NULL), ERR_OK);
    return t;
}

static const char ORION[] =
    "vendors:\n"
    "- key: Orion\n"
    "  rules: [lock, limits-only]\n"
    "  checks: [health, type, uuid, slots, mutex, quota, memory, cores, exclusive]\n"
    "  reasons: {health: CardUnhealthy}\n"
    "  select: zones\n"
    "  quality: zones\n"
    "  resources: {count: orion.example/card, memory: orion.example/memory, cores: orion.example/cores}\n"
    "  node:\n"
    "    register: orion.example/node-register\n"
    "    handshake: orion.example/node-handshake\n"
    "    typeWord: orion\n"
    "    lock: hami.io/mutex.lock\n"
    "  pod:\n"
    "    toAllocate: orion.example/devices-to-allocate\n"
    "    allocated: orion.example/devices-allocated\n"
    "    useUUID: orion.example/use-uuid\n"
    "    nouseUUID: orion.example/nouse-uuid\n"
    "  ask: {memoryFactor: 512, defaultCores: 50, from: rounded, memoryWholeMiB: 16384,\n"
    "    memoryMostMiB: 16384, templates: [{name: q, memoryMiB: 4096}, {name: h, memoryMiB: 8192}]}\n"
    "  admission: {slices: [1, 2, 4], qos: [best-effort, burst], envName: ORION_NAME}\n";

START_TEST(a_maker_from_a_file)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    const uint16_t before = vendor_count(t);
    struct err err;
    ck_assert_msg(vendor_table_extend(&t, str_z(ORION), "orion.yaml", &err) == ERR_OK, "%s",
                  err.text);
    ck_assert_uint_eq(vendor_count(t), before + 1);
    const struct vendor *v = vendor_at(t, before);
    ck_str("key", v->core.key, STR("Orion"));
    ck_assert_int_eq(v->core.checks[0], SCORE_CHECK_HEALTH);
    ck_assert_int_eq(v->core.checks[8], SCORE_CHECK_EXCLUSIVE);
    ck_assert_int_eq(v->core.checks[9], SCORE_CHECK_END);
    ck_assert_int_eq(v->core.reasons[SCORE_CHECK_HEALTH], SCORE_CARD_UNHEALTHY);
    ck_assert_int_eq(v->core.reasons[SCORE_CHECK_TYPE], SCORE_FITS);
    ck_assert_int_eq(v->core.select, SCORE_SELECT_ZONES);
    ck_assert_uint_eq(v->rules, VENDOR_RULE_LOCK | VENDOR_RULE_LIMITS_ONLY);
    ck_assert_int_eq(v->inventory, VENDOR_INVENTORY_JSON);
    ck_assert_int_eq(v->mem_factor, 512);
    ck_assert_int_eq(v->asking, VENDOR_ASKING_ROUNDED);
    ck_assert_uint_eq(v->templates_n, 2);
    ck_str("template", v->templates[1].name, STR("h"));
    ck_assert_int_eq(v->templates[1].mem_mib, 8192);
    ck_assert_uint_eq(v->admit_slices_n, 3);
    ck_assert_int_eq(v->admit_slices[2], 4);
    ck_assert_uint_eq(v->qos_n, 2);
    ck_str("qos", v->qos[1], STR("burst"));
    uint16_t row;
    enum vendor_resource what;
    enum vendor_key key;
    bool is_mem;
    ck_assert(vendor_find_resource(t, STR("orion.example/memory"), &row, &what));
    ck_assert(row == before && what == VENDOR_RES_MEM);
    ck_assert(vendor_find_key(t, STR("orion.example/devices-allocated"), &row, &key));
    ck_assert(row == before && key == VENDOR_KEY_POD_ALLOCATED);
    ck_assert(vendor_find_quota(t, STR("limits.orion.example/cores"), &row, &is_mem));
    ck_assert(row == before && !is_mem);
    ck_assert(vendor_find_resource(t, STR("nvidia.com/gpu"), &row, &what));
    ck_assert(vendor_key_reserved(t, STR("orion.example/devices-allocated")));
}
END_TEST

static char *printed(const struct vendor_table *t)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    vendor_table_print(t, &out);
    ck_assert(!out.failed);
    size_t n;
    return buf_take(&out, &n);
}

/* Every word of two rows is equal, or both are pointers to equal texts, or to arrays that the
 * printed form covers: a member that the keys forgot would be 0 in the row that was read. */
static void check_same(const struct vendor *a, const struct vendor *b)
{
    const size_t arrays[] = {offsetof(struct vendor, templates), offsetof(struct vendor, qos),
                             offsetof(struct vendor, classes),
                             offsetof(struct vendor, admit_slices)};
    for (size_t at = 0; at < sizeof(*a); at += sizeof(uintptr_t)) {
        uintptr_t wa, wb;
        memcpy(&wa, (const char *)a + at, sizeof(wa));
        memcpy(&wb, (const char *)b + at, sizeof(wb));
        bool array = false;
        for (int i = 0; i < COUNT(arrays); i++)
            array |= arrays[i] == at;
        if (wa == wb || (array && wa && wb))
            continue;
        size_t na = 0, nb = 0;
        if (at + 2 * sizeof(wa) <= sizeof(*a)) {
            memcpy(&na, (const char *)a + at + sizeof(wa), sizeof(na));
            memcpy(&nb, (const char *)b + at + sizeof(wa), sizeof(nb));
        }
        ck_assert_msg(na == nb && (na == 0 || (wa && wb)),
                      "%.*s: the member at byte %zu is not printed", STR_ARG(a->core.key), at);
        if (na > 0) {
            struct str sa, sb;
            memcpy(&sa, (const char *)a + at, sizeof(sa));
            memcpy(&sb, (const char *)b + at, sizeof(sb));
            ck_str("text", sb, sa);
        }
    }
}

START_TEST(printed_rows_are_the_rows)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    struct vendor_table *again CLEANUP(vendor_table_free_p) = builtin();
    ck_assert_int_eq(vendor_table_extend(&t, str_z(ORION), "o", NULL), ERR_OK);
    char *text CLEANUP(free_p) = printed(t);
    struct err err;
    ck_assert_msg(vendor_table_extend(&again, str_z(text), "p", &err) == ERR_OK, "%s", err.text);
    ck_assert_uint_eq(vendor_count(again), vendor_count(t));
    for (uint16_t i = 0; i < vendor_count(t); i++)
        check_same(vendor_at(t, i), vendor_at(again, i));
    char *twice CLEANUP(free_p) = printed(again);
    ck_assert_str_eq(twice, text);
}
END_TEST

/* A row that is sound, with one line more or other. */
#define SOUND                                                                                      \
    "vendors:\n- key: O\n  checks: [health]\n  resources: {count: o.example/c}\n"                  \
    "  node: {register: o.example/r}\n  pod: {allocated: o.example/a}\n"
static const struct {
    const char *yaml, *want;
} WRONG[] = {
    {"", "f:1:1: expected a map with vendors"},
    {"- a\n", "f:1:1: expected a map with vendors"},
    {"vendor: []\n", "f:1:1: unknown key \"vendor\""},
    {"replaceAll: true\n", "f:1:1: vendors is missing"},
    {"replaceAll: maybe\nvendors: []\n", "f:1:13: replaceAll must be true or false, not \"maybe\""},
    {"vendors: {}\n", "f:1:10: vendors must be a list"},
    {"vendors: [a]\n", "f:1:11: vendors must be a list of maps"},
    {"vendors:\n- checks: [health]\n", "f:2:3: a vendor: key is missing or empty"},
    {"vendors:\n- key: O\n", "f:2:3: a vendor: checks is missing or empty"},
    {SOUND "  chekcs: [type]\n", "f:7:3: unknown key \"chekcs\" in a vendor"},
    {SOUND "  ask: {memoryFactor: x}\n",
     "f:7:23: memoryFactor must be a whole number between 0 and 1048576, not \"x\""},
    {SOUND "  ask: {memoryFactor: -1}\n",
     "f:7:23: memoryFactor must be a whole number between 0 and 1048576, not \"-1\""},
    {SOUND "  ask: [1]\n", "f:7:8: ask must be a map, not a list"},
    {SOUND "  select: best\n",
     "f:7:11: select must be one of each, pairs, zones, zones-fit, modules, wings, blocks"},
    {SOUND "  select: [each]\n",
     "f:7:11: select must be one of each, pairs, zones, zones-fit, modules, wings, blocks"},
    {SOUND "  rules: lock\n", "f:7:10: rules must be a list, not \"lock\""},
    {SOUND "  rules: [lock]\n", "f:2:3: vendor \"O\": node.lock is missing"},
    {SOUND "  reasons: {health: NoSuchCode}\n", "f:7:21: reasons must be one of CardTypeMismatch"},
    {SOUND "  admission: {slices: [2, 1]}\n", "f:2:3: vendor \"O\": admission.slices must ascend"},
    {SOUND "  admission: {slices: [0]}\n", "f:7:24: slices must be a whole number between 1"},
    {SOUND "  admission: {classes: [a]}\n",
     "f:2:3: vendor \"O\": admission.classes are two: online and offline"},
    {SOUND "  ask: {from: rounded}\n", "f:2:3: vendor \"O\": ask.templates is missing"},
    {SOUND "  rules: [limits-only]\n  admission: {mirror: true}\n",
     "f:2:3: vendor \"O\": admission.mirror makes limits of requests"},
    {SOUND "  ask: {coresMin: 2, coresMax: 1}\n",
     "f:2:3: vendor \"O\": ask.coresMin is above ask.coresMax"},
    {SOUND "  ask: {templates: [{memoryMiB: 2}, {memoryMiB: 2}]}\n",
     "f:2:3: vendor \"O\": ask.templates must ascend by memoryMiB"},
    {SOUND "  ask: {templates: [{name: a}]}\n", "f:7:21: a vendor: memoryMiB is missing or empty"},
    {SOUND "- key: P\n  checks: [health, health]\n", "f:8:20: checks: health stands twice"},
    {SOUND "- key: o\n  checks: [health]\n  resources: {count: p.example/c}\n"
           "  node: {register: p.example/r}\n  pod: {allocated: p.example/a}\n",
     "f:7:8: key \"o\" is already O's"},
    {SOUND "- key: P\n  checks: [health]\n  resources: {count: o.example/c}\n"
           "  node: {register: p.example/r}\n  pod: {allocated: p.example/a}\n",
     "f:9:22: resource \"o.example/c\" is already O's"},
    {SOUND "- key: P\n  checks: [health]\n  resources: {count: p.example/c}\n"
           "  node: {register: p.example/r}\n  pod: {allocated: o.example/a}\n",
     "f:11:20: annotation \"o.example/a\" is already O's"},
    {"vendors:\n- key: P\n  checks: [health]\n  resources: {count: nvidia.com/gpu}\n"
     "  node: {register: p.example/r}\n  pod: {allocated: p.example/a}\n",
     "f:4:22: resource \"nvidia.com/gpu\" is already NVIDIA's"},
    {"vendors:\n- key: P\n  checks: [health]\n  resources: {count: p.example/c, cores: p.example/c}\n"
     "  node: {register: p.example/r}\n  pod: {allocated: p.example/a}\n",
     "f:4:22: resource \"p.example/c\" is already P's"},
    {"vendors:\n- key: 'a,b'\n  checks: [health]\n",
     "f:2:3: vendor \"a,b\": key must be of letters, digits, '-', '_' and '.', at most 63"},
    {"vendors:\n- key: P\n  checks: [health]\n", "f:2:3: vendor \"P\": resources.count is missing"},
    {"vendors:\n- key: P\n  checks: [health]\n  resources: {count: p.example/c}\n",
     "f:2:3: vendor \"P\": pod.allocated is missing"},
    {"vendors:\n- key: P\n  checks: [health]\n  resources: {count: p.example/c}\n"
     "  pod: {allocated: p.example/a}\n",
     "f:2:3: vendor \"P\": node.register is missing"},
    {"vendors:\n- key: P\n  checks: [health]\n  resources: {count: p.example/c}\n"
     "  pod: {allocated: p.example/a}\n  node: {inventory: capacity}\n",
     "f:2:3: vendor \"P\": node.made needs infix, perCard and count"},
    {"vendors:\n- key: P\n  checks: [health]\n  resources: {count: p.example/c}\n"
     "  pod: {allocated: p.example/a}\n  node: {inventory: capacity-and-cores}\n",
     "f:2:3: vendor \"P\": resources.cores is missing"},
};

START_TEST(what_is_wrong_is_told_with_its_place)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    const struct vendor_table *before = t;
    struct err err = {0};
    ck_assert_int_eq(vendor_table_extend(&t, str_z(WRONG[_i].yaml), "f", &err), ERR_BAD_REQUEST);
    ck_assert_msg(strncmp(err.text, WRONG[_i].want, strlen(WRONG[_i].want)) == 0,
                  "want \"%s\", got \"%s\"", WRONG[_i].want, err.text);
    ck_assert_ptr_eq(t, before); /* and it still answers */
    uint16_t row;
    enum vendor_resource what;
    ck_assert(vendor_find_resource(t, STR("nvidia.com/gpu"), &row, &what));
}
END_TEST

START_TEST(the_sound_row_is_sound)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    struct err err = {0};
    ck_assert_msg(vendor_table_extend(&t, STR(SOUND), "f", &err) == ERR_OK, "%s", err.text);
    /* the same again is a clash, but not when nothing else is left */
    ck_assert_int_eq(vendor_table_extend(&t, STR(SOUND), "f", &err), ERR_BAD_REQUEST);
    ck_assert_msg(vendor_table_extend(&t, STR("replaceAll: true\n" SOUND), "f", &err) == ERR_OK,
                  "%s", err.text);
    ck_assert_uint_eq(vendor_count(t), 1);
}
END_TEST

/* docs/operations/add-a-vendor.md has the keys as the program prints them, and names every choice. */
START_TEST(the_page_says_what_can_be_read)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/../docs/operations/add-a-vendor.md", TEST_DATA);
    FILE *f = fopen(path, "re");
    ck_assert_msg(f != NULL, "%s", path);
    static char page[1 << 16];
    page[fread(page, 1, sizeof(page) - 1, f)] = '\0';
    (void)fclose(f);
    struct buf keys;
    buf_init(&keys, 1 << 16);
    vendor_rows_describe(&keys);
    buf_char(&keys, '\0');
    const char *begin = strstr(page, "tests/check_vendor -->\n"),
               *end = strstr(page, "<!-- end keys -->");
    ck_assert(begin && end && !keys.failed);
    begin = strchr(begin, '\n') + 1;
    ck_assert_msg((size_t)(end - begin) == keys.n - 1 && memcmp(begin, keys.p, keys.n - 1) == 0,
                  "the keys of the page are not those of the program:\n%s", keys.p);
    /* Every choice of a list of choices stands in a table behind the keys. */
    char word[64];
    for (const char *p = strstr(keys.p, "| any of"); p && *p && *p != '\n';) {
        const char *open = strchr(p, '`'), *close = open ? strchr(open + 1, '`') : NULL;
        if (!close || memchr(p, '\n', (size_t)(open - p)))
            break;
        (void)snprintf(word, sizeof(word), "\n| `%.*s` |", (int)(close - open - 1), open + 1);
        ck_assert_msg(strstr(end, word) != NULL, "no row for %s", word);
        p = close + 1;
    }
    buf_done(&keys);
}
END_TEST

START_TEST(too_many_vendors)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    struct buf out;
    struct err err = {0};
    buf_init(&out, 1 << 20);
    buf_add(&out, STR("vendors:\n"));
    for (int i = 0; i <= SCORE_VENDORS_MAX; i++)
        buf_fmt(&out,
                "- key: V%d\n  checks: [health]\n  resources: {count: v%d.example/c}\n"
                "  node: {register: v%d.example/r}\n  pod: {allocated: v%d.example/a}\n",
                i, i, i, i);
    ck_assert_int_eq(vendor_table_extend(&t, (struct str){out.p, out.n}, "f", &err),
                     ERR_BAD_REQUEST);
    ck_assert_msg(strstr(err.text, "more than 64 vendors") != NULL, "%s", err.text);
    buf_done(&out);
}
END_TEST

START_TEST(without_memory)
{
    for (int nth = 1;; nth++) {
        struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
        struct err err = {0};
        fail_from(nth);
        enum err_code rc = vendor_table_extend(&t, str_z(ORION), "f", &err);
        const bool failed = fail_happened();
        fail_from(0);
        if (!failed) {
            ck_assert_msg(rc == ERR_OK, "%s", err.text);
            break;
        }
        ck_assert_int_eq(rc, ERR_NO_MEMORY);
        ck_assert_int_lt(nth, 10000);
    }
}
END_TEST

START_TEST(a_file_that_is_not_there)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    struct err err = {0};
    ck_assert_int_eq(vendor_table_extend_file(&t, "/no/such/file", &err), ERR_BAD_REQUEST);
    ck_assert_str_eq(err.text, "/no/such/file: No such file or directory");
}
END_TEST

void check_vendor_rows(Suite *suite)
{
    TCase *tc = tcase_create("rows");
    tcase_set_timeout(tc, 60); /* a busy machine */
    tcase_add_test(tc, a_maker_from_a_file);
    tcase_add_test(tc, printed_rows_are_the_rows);
    tcase_add_loop_test(tc, what_is_wrong_is_told_with_its_place, 0, COUNT(WRONG));
    tcase_add_test(tc, the_sound_row_is_sound);
    tcase_add_test(tc, the_page_says_what_can_be_read);
    tcase_add_test(tc, too_many_vendors);
    tcase_add_test(tc, without_memory);
    tcase_add_test(tc, a_file_that_is_not_there);
    suite_add_tcase(suite, tc);
}
