/* Registrations: core.md 2.1 (JSON) and 2.2 (text), errata E-9, and what is refused as a whole. */
#include "check_vendor.h"

#include "base/own.h"

#include <string.h>

DEFINE_CLEANUP(struct arena *, arena_free)

static const struct vendor JSON_VENDOR = {
    .inventory = VENDOR_INVENTORY_JSON, .node_register = STR_INIT("hami.io/node-nvidia-register")};
static const struct vendor TEXT_VENDOR = {.inventory = VENDOR_INVENTORY_TEXT,
                                          .node_register = STR_INIT("hami.io/node-dcu-register")};

/* Devices as one text, for comparisons: id,index,count,mem,cores,type,numa,mode,health[,mig]; */
static void show(const struct vendor_device *d, uint16_t n, struct buf *out)
{
    for (uint16_t i = 0; i < n; i++) {
        buf_add(out, d[i].id);
        buf_fmt(out, ",%d,%d,%lld,%d,", d[i].index, d[i].count, (long long)d[i].mem_mib,
                d[i].cores_pct);
        buf_add(out, d[i].type);
        buf_fmt(out, ",%d,", d[i].numa);
        buf_add(out, d[i].mode);
        buf_fmt(out, ",%d%s;", d[i].healthy, d[i].mig ? ",mig" : "");
    }
}

struct row {
    const char *name, *text;
    const char *want;  /* devices as shown; NULL: refused */
    const char *fault; /* refused with this in the text */
    int dropped;
};

static const struct row JSON[] = {
    {"the contract's example",
     "[{\"id\":\"GPU-a\",\"count\":10,\"devmem\":24576,\"devcore\":100,\"type\":\"NVIDIA A10\","
     "\"mode\":\"hami-core\",\"health\":true},{\"id\":\"GPU-b\",\"index\":1,\"count\":10,"
     "\"devmem\":24576,\"devcore\":100,\"type\":\"NVIDIA A10\",\"numa\":1,\"mode\":\"hami-core\","
     "\"health\":true}]",
     "GPU-a,0,10,24576,100,NVIDIA A10,0,hami-core,1;GPU-b,1,10,24576,100,NVIDIA "
     "A10,1,hami-core,1;"},
    {"absent members", "[{\"id\":\"a\"}]", "a,0,0,0,0,,0,,0;"},
    {"null is absent (E-9)",
     "[{\"id\":\"a\",\"index\":null,\"count\":null,\"devmem\":null,\"devcore\":null,\"type\":null,"
     "\"numa\":null,\"mode\":null,\"health\":null,\"migProfiles\":null,\"custominfo\":null}]",
     "a,0,0,0,0,,0,,0;"},
    {"any case, last duplicate wins (E-9)",
     "[{\"ID\":\"x\",\"Id\":\"a\",\"COUNT\":3,\"count\":4,\"DevMem\":5,\"Health\":true}]",
     "a,0,4,5,0,,0,,1;"},
    {"a null after a value leaves it", "[{\"id\":\"a\",\"id\":null}]", "a,0,0,0,0,,0,,0;"},
    {"unknown members", "[{\"id\":\"a\",\"x\":[1,{\"y\":2}],\"devicevendor\":\"V\"}]",
     "a,0,0,0,0,,0,,0;"},
    {"sorted by index, then id",
     "[{\"id\":\"c\",\"index\":1},{\"id\":\"b\",\"index\":2},{\"id\":\"a\",\"index\":2}]",
     "c,1,0,0,0,,0,,0;a,2,0,0,0,,0,,0;b,2,0,0,0,,0,,0;"},
    {"nvidia_defect_n16: a duplicate id counts once",
     "[{\"id\":\"a\",\"count\":1},{\"id\":\"b\",\"count\":2},{\"id\":\"a\",\"count\":3}]",
     "a,0,1,0,0,,0,,0;b,0,2,0,0,,0,,0;", .dropped = 1},
    {"nvidia_defect_n16: the lesser of each, in any order",
     "[{\"id\":\"a\",\"count\":3,\"devmem\":5,\"devcore\":9,\"health\":true,\"type\":\"u\"},"
     "{\"id\":\"a\",\"count\":4,\"devmem\":4,\"devcore\":8,\"health\":true,\"type\":\"t\"}]",
     "a,0,3,4,8,t,0,,1;", .dropped = 1},
    {"nvidia_defect_n16: sick if one says so",
     "[{\"id\":\"a\",\"health\":true},{\"id\":\"a\",\"mode\":\"mig\"}]", "a,0,0,0,0,,0,mig,0,mig;",
     .dropped = 1},
    {"mig", "[{\"id\":\"a\",\"mode\":\"mig\",\"migProfiles\":[{\"name\":\"1g.5gb\"},null]}]",
     "a,0,0,0,0,,0,mig,0,mig;"},
    {"numa of 64 bits is cut", "[{\"id\":\"a\",\"numa\":9223372036854775807}]",
     "a,0,0,0,0,,2147483647,,0;"},
    {"numa -1", "[{\"id\":\"a\",\"numa\":-1}]", "a,0,0,0,0,,-1,,0;"},
    {"largest amounts",
     "[{\"id\":\"a\",\"count\":2147483647,\"devmem\":2147483647,\"devcore\":2147483647}]",
     "a,0,2147483647,2147483647,2147483647,,0,,0;"},
    {"escapes in an id", "[{\"id\":\"\\u0061\\u00e9\"}]", "a\xc3\xa9,0,0,0,0,,0,,0;"},
    {"empty list", "[]", ""},
    {"null", "null", ""},
    {"white space around", " [ ] \n", ""},
    /* refused */
    {"core_defect_s4: a null card", "[null]", .fault = "hami.io/node-nvidia-register"},
    {"a good and a null card", "[{\"id\":\"a\"},null]", .fault = "device list"},
    {"no id", "[{\"count\":1}]", .fault = "without an id"},
    {"nvidia_defect_n16: empty id", "[{\"id\":\"\"}]", .fault = "without an id"},
    {"a comma in an id", "[{\"id\":\"a,b\"}]", .fault = "separator"},
    {"a colon in an id", "[{\"id\":\"a:b\"}]", .fault = "separator"},
    {"a semicolon in an id", "[{\"id\":\"a;b\"}]", .fault = "separator"},
    {"a NUL in an id", "[{\"id\":\"a\\u0000b\"}]", .fault = "separator"},
    {"negative index", "[{\"id\":\"a\",\"index\":-1}]", .fault = "negative index"},
    {"negative count", "[{\"id\":\"a\",\"count\":-1}]", .fault = "negative count"},
    {"negative devmem", "[{\"id\":\"a\",\"devmem\":-1}]", .fault = "negative devmem"},
    {"negative devcore", "[{\"id\":\"a\",\"devcore\":-1}]", .fault = "negative devcore"},
    {"count beyond 32 bits", "[{\"id\":\"a\",\"count\":2147483648}]", .fault = "32 bits"},
    {"devmem beyond 32 bits", "[{\"id\":\"a\",\"devmem\":2147483648}]", .fault = "32 bits"},
    {"numa beyond 64 bits", "[{\"id\":\"a\",\"numa\":9223372036854775808}]",
     .fault = "device list"},
    {"a fraction", "[{\"id\":\"a\",\"count\":1.0}]", .fault = "device list"},
    {"an exponent", "[{\"id\":\"a\",\"count\":1e2}]", .fault = "device list"},
    {"count as text", "[{\"id\":\"a\",\"count\":\"1\"}]", .fault = "device list"},
    {"health as number", "[{\"id\":\"a\",\"health\":1}]", .fault = "device list"},
    {"id as number", "[{\"id\":1}]", .fault = "device list"},
    {"migProfiles as object", "[{\"id\":\"a\",\"migProfiles\":{}}]", .fault = "device list"},
    {"migProfiles of numbers", "[{\"id\":\"a\",\"migProfiles\":[1]}]",
     .fault = "expected an object"},
    {"custominfo as list", "[{\"id\":\"a\",\"custominfo\":[]}]", .fault = "custominfo"},
    {"object", "{}", .fault = "device list"},
    {"empty text", "", .fault = "device list"},
    {"cut off", "[{\"id\":\"a\"", .fault = "device list"},
    {"something behind", "[]]", .fault = "device list"},
    {"not UTF-8", "[{\"id\":\"\xff\"}]", .fault = "device list"},
    {"deep", "[{\"id\":\"a\",\"x\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}]",
     .fault = "device list"},
    {"the older text (2.2)", "GPU-a,10,24576,100,NVIDIA A10,0,true:", .fault = "device list"},
};

static const struct row TEXT[] = {
    {"7 fields",
     "DCU-a,4,32768,100,DCU-K100_AI,1,true:", "DCU-a,0,4,32768,100,DCU-K100_AI,1,hami-core,1;"},
    {"9 fields",
     "GPU-a,10,24576,100,NVIDIA A10,0,true,3,mig:", "GPU-a,3,10,24576,100,NVIDIA A10,0,mig,1,mig;"},
    {"empty mode", "a,1,2,3,t,0,1,0,:", "a,0,1,2,3,t,0,,1;"},
    {"two", "a,1,2,3,t,0,true,1,m:b,1,2,3,t,0,F,0,m:", "b,0,1,2,3,t,0,m,0;a,1,1,2,3,t,0,m,1;"},
    {"empty segments", "::a,1,2,3,t,0,true::", "a,0,1,2,3,t,0,hami-core,1;"},
    {"only a separator", ":", ""},
    {"two separators", "::", ""},
    {"a duplicate id", "a,1,2,3,t,0,true:a,2,2,3,t,0,true:", "a,0,1,2,3,t,0,hami-core,1;",
     .dropped = 1},
    {"no separator", "a,1,2,3,t,0,true", .fault = "node annotation missing device separator"},
    {"empty", "", .fault = "node annotation missing device separator"},
    {"no comma", "abc:", .fault = "malformed node annotation segment: \"abc\""},
    {"6 fields", "a,1,2,3,t,0:", .fault = "unexpected field count 6 in node annotation"},
    {"8 fields", "a,1,2,3,t,0,true,0:", .fault = "unexpected field count 8 in node annotation"},
    {"10 fields", "a,1,2,3,t,0,true,0,m,x:", .fault = "unexpected field count 10"},
    {"negative index", "a,1,2,3,t,0,true,-1,m:", .fault = "index field must not be negative: -1"},
    {"bad count", "a,x,2,3,t,0,true:", .fault = "count"},
    {"count beyond 32 bits", "a,2147483648,2,3,t,0,true:", .fault = "count"},
    {"negative count", "a,-1,2,3,t,0,true:", .fault = "negative count"},
    {"negative memory", "a,1,-2,3,t,0,true:", .fault = "negative devmem"},
    {"negative cores", "a,1,2,-3,t,0,true:", .fault = "negative devcore"},
    {"count before health", "a,x,2,3,t,0,maybe:", .fault = "count"},
    {"health before numa", "a,1,2,3,t,x,maybe:", .fault = "health"},
    {"numa before index", "a,1,2,3,t,x,true,-1,m:", .fault = "numa"},
    {"bad index", "a,1,2,3,t,0,true,x,m:", .fault = "index"},
    {"empty id", ",1,2,3,t,0,true:", .fault = "without an id"},
    {"not UTF-8", "\xff,1,2,3,t,0,true:", .fault = "UTF-8"},
};

MUST_USE static enum err_code decode(const struct vendor *v, struct str text, struct arena *arena,
                                     struct vendor_device **ret, uint16_t *ret_n,
                                     uint16_t *ret_dropped, struct err *err)
{
    const struct vendor_node_text node = {.node = STR("n1"), .list = text};
    struct vendor_cards cards;
    enum err_code rc = vendor_cards_decode(v, &node, arena, &cards, err);
    if (rc)
        return rc;
    *ret = cards.devices;
    *ret_n = cards.devices_n;
    *ret_dropped = cards.dropped;
    return ERR_OK;
}

static void run_row(const struct vendor *v, const struct row *r)
{
    struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
    struct vendor_device *dev = NULL;
    uint16_t n = 0, dropped = 0;
    struct err err = {0};
    enum err_code rc = decode(v, str_z(r->text), arena, &dev, &n, &dropped, &err);
    if (r->fault) {
        ck_assert_msg(rc == ERR_INVALID && err.code == ERR_INVALID, "%s: got %d", r->name, rc);
        ck_assert_msg(strstr(err.text, r->fault), "%s: %s", r->name, err.text);
        ck_assert_ptr_null(dev);
        return;
    }
    ck_assert_msg(rc == ERR_OK, "%s: %s", r->name, err.text);
    struct buf got;
    buf_init(&got, 10000);
    show(dev, n, &got);
    ck_str(r->name, ((struct str){got.p, got.n}), str_z(r->want));
    ck_assert_msg(dropped == r->dropped, "%s: dropped %u", r->name, dropped);
    buf_done(&got);
}

START_TEST(register_json) { run_row(&JSON_VENDOR, &JSON[_i]); }
END_TEST
START_TEST(register_text) { run_row(&TEXT_VENDOR, &TEXT[_i]); }
END_TEST

/* n cards, each another id */
static void many(struct buf *out, int n)
{
    buf_init(out, 1 << 20);
    buf_char(out, '[');
    for (int i = 0; i < n; i++)
        buf_fmt(out, "%s{\"id\":\"GPU-%d\"}", i ? "," : "", i);
    buf_char(out, ']');
}

START_TEST(register_bounds)
{
    for (int over = 0; over < 2; over++) {
        struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
        struct buf text;
        many(&text, SCORE_DEVICES_MAX + over);
        struct vendor_device *dev = NULL;
        uint16_t n = 0, dropped;
        struct err err = {0};
        enum err_code rc = decode(&JSON_VENDOR, (struct str){text.p, text.n}, arena,
                                                  &dev, &n, &dropped, &err);
        ck_assert_int_eq(rc, over ? ERR_INVALID : ERR_OK);
        ck_assert_int_eq(n, over ? 0 : SCORE_DEVICES_MAX);
        buf_done(&text);
    }
}
END_TEST

START_TEST(register_without_memory)
{
    struct buf text;
    many(&text, 200);
    buf_add(&text, STR(" "));
    int refused = 0;
    for (size_t max = 1000; max < 200000; max += 5000) {
        struct arena *arena CLEANUP(arena_free_p) = arena_new(max);
        struct vendor_device *dev = NULL;
        uint16_t n = 0, dropped;
        enum err_code rc = decode(&JSON_VENDOR, (struct str){text.p, text.n}, arena,
                                                  &dev, &n, &dropped, NULL);
        ck_assert(rc == ERR_OK || rc == ERR_NO_MEMORY);
        refused += rc == ERR_NO_MEMORY;
    }
    ck_assert_int_gt(refused, 0);
    buf_done(&text);
}
END_TEST

/* The order in which a plugin writes its cards is no information (P 7, N 12). */
START_TEST(nvidia_defect_n12_cross_defect_d0_4_order_is_nothing)
{
    enum { CARDS = 8 };
    uint64_t seed = prop_seed(), state = seed;
    char first[4096] = "";
    for (int round = 0; round < 200; round++) {
        int order[CARDS] = {0};
        for (int i = 0; i < CARDS; i++) {
            int j = (int)(next_random(&state) % (uint64_t)(i + 1));
            order[i] = order[j];
            order[j] = i;
        }
        struct buf text, got;
        buf_init(&text, 10000);
        buf_init(&got, sizeof(first) - 1);
        buf_char(&text, '[');
        for (int i = 0; i < CARDS; i++)
            buf_fmt(&text, "%s{\"id\":\"GPU-%d\",\"index\":%d,\"count\":%d}", i ? "," : "",
                    order[i], order[i] / 2, order[i] + 1);
        buf_char(&text, ']');
        struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
        struct vendor_device *dev = NULL;
        uint16_t n, dropped;
        ck_assert_int_eq(decode(&JSON_VENDOR, (struct str){text.p, text.n}, arena,
                                                &dev, &n, &dropped, NULL),
                         ERR_OK);
        show(dev, n, &got);
        buf_char(&got, '\0');
        if (round == 0)
            memcpy(first, got.p, got.n);
        ck_assert_msg(strcmp(first, got.p) == 0, "seed %llu round %d", (unsigned long long)seed,
                      round);
        buf_done(&text);
        buf_done(&got);
    }
}
END_TEST

void check_vendor_register(Suite *suite)
{
    TCase *tc = tcase_create("register");
    tcase_add_loop_test(tc, register_json, 0, COUNT(JSON));
    tcase_add_loop_test(tc, register_text, 0, COUNT(TEXT));
    tcase_add_test(tc, register_bounds);
    tcase_add_test(tc, register_without_memory);
    tcase_add_test(tc, nvidia_defect_n12_cross_defect_d0_4_order_is_nothing);
    suite_add_tcase(suite, tc);
}
