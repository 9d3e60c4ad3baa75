/* Allocation lists: core.md 4.5 (encoding), 6.5 (safe reading), node-side.md 2.3 (what plugins
 * read). */
#include "check_vendor.h"

#include "base/own.h"

#include <string.h>

DEFINE_CLEANUP(struct arena *, arena_free)

/* Decoded entries as one text: slot=uuid,type,mem,cores; */
static void show(const struct vendor_alloc *a, uint16_t n, struct buf *out)
{
    for (uint16_t i = 0; i < n; i++)
        buf_fmt(out, "%u=" STR_FMT "," STR_FMT ",%lld,%d;", a[i].container, STR_ARG(a[i].uuid),
                STR_ARG(a[i].type), (long long)a[i].mem_mib, a[i].cores_pct);
}

#define A  "GPU-a,NVIDIA,4000,10:"
#define B_ "GPU-b,NVIDIA,6000,20:"
#define A0 "=GPU-a,NVIDIA,4000,10;"
#define B0 "=GPU-b,NVIDIA,6000,20;"

static const struct {
    const char *name, *text;
    const char *
        asking; /* '1' a container that asks, '0' one that doesn't; NULL: unknown, two containers */
    const char *want;    /* NULL: refused */
    const char *encoded; /* how we write what was read; NULL: don't look */
} LISTS[] = {
    /* core.md 4.5 */
    {"1 container, 2 cards", "GPU-a,NVIDIA,8000,30:GPU-b,NVIDIA,8000,30:;", "1",
     "0=GPU-a,NVIDIA,8000,30;0=GPU-b,NVIDIA,8000,30;",
     "GPU-a,NVIDIA,8000,30:GPU-b,NVIDIA,8000,30:;"},
    {"2 containers, one card each", A ";" B_ ";", "11", "0" A0 "1" B0, A ";" B_ ";"},
    {"none, GPU, none (padded)", ";" A ";;", "010", "1" A0, ";" A ";;"},
    {"none, GPU, none (v2.10)", A ";", "010", "1" A0, ";" A ";;"},
    {"init without, app with (padded)", ";" A ";", "01", "1" A0, ";" A ";"},
    {"init without, app with (v2.10; C 1)", A ";", "01", "1" A0, ";" A ";"},
    {"no containers", "", "1", "", ";"},
    {"a Neuron list cut: no last semicolon", A, "1", "0" A0, A ";"},
    /* core.md 6.5 */
    {"short, one of three asks first", A ";", "100", "0" A0, A ";;;"},
    {"short, two of four ask", A ";" B_ ";", "0101", "1" A0 "3" B0, ";" A ";;" B_ ";"},
    {"short, two cards of one container", A B_ ";", "001", "2" A0 "2" B0, ";;" A B_ ";"},
    {"short, more entries than askers: all to an app container", A ";" B_ ";", "100", "2" A0 "2" B0,
     ";;" A B_ ";"},
    {"short, fewer entries than askers", A ";", "111", "2" A0, ";;" A ";"},
    {"short, nobody asks", A ";", "000", "2" A0, ";;" A ";"},
    {"short, askers unknown", A ";", NULL, "1" A0, ";" A ";"},
    {"full length: by position, whoever asks", A ";;", "01", "0" A0, A ";;"},
    /* what plugins leave (node-side.md 2.3) */
    {"residue", ";;;;", "11", "", ";;"},
    {"residue of one container", ";" B_ ";;", "11", "1" B0, ";" B_ ";"},
    {"extra empty slots", A ";;;;;", "1", "0" A0, A ";"},
    /* read as plugins read */
    {"a piece without a comma", "abc:" A ";", "1", "0" A0, A ";"},
    {"more than four fields", "GPU-a,NVIDIA,4000,10,x,y:;", "1", "0" A0, A ";"},
    {"a sign", "GPU-a,NVIDIA,+4000,+10:;", "1", "0" A0, A ";"},
    {"no colon behind the last", "GPU-a,NVIDIA,4000,10;", "1", "0" A0, A ";"},
    {"zero amounts", "GPU-a,NVIDIA,0,0:;", "1", "0=GPU-a,NVIDIA,0,0;", "GPU-a,NVIDIA,0,0:;"},
    {"largest amounts", "GPU-a,NVIDIA,2147483647,2147483647:;", "1",
     "0=GPU-a,NVIDIA,2147483647,2147483647;", "GPU-a,NVIDIA,2147483647,2147483647:;"},
    {"empty type", "GPU-a,,1,1:;", "1", "0=GPU-a,,1,1;", "GPU-a,,1,1:;"},
    /* refused */
    {"core_defect_s2: negative memory", ";GPU-a,NVIDIA,-100000,0:;", "01"},
    {"core_defect_s2: negative cores", ";GPU-a,NVIDIA,0,-100:;", "01"},
    {"memory beyond 32 bits", "GPU-a,NVIDIA,2147483648,0:;", "1"},
    {"memory not a number", "GPU-a,NVIDIA,x,0:;", "1"},
    {"memory empty", "GPU-a,NVIDIA,,0:;", "1"},
    {"cores with a space", "GPU-a,NVIDIA,1, 0:;", "1"},
    {"three fields", "GPU-a,NVIDIA,1:;", "1"},
    {"two fields", ",:;", "1"},
    {"no id", ",NVIDIA,1,1:;", "1"},
    {"a device behind the last container", ";" A ";", "1"},
    {"a device far behind", ";;;;;;;;" A ";", "11"},
};

static uint16_t asking_of(const char *asking, bool ret[SCORE_CONTAINERS_MAX])
{
    uint16_t n = 0;
    for (; asking && asking[n]; n++)
        ret[n] = asking[n] == '1';
    return asking ? n : 2;
}

START_TEST(decode)
{
    struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
    bool asking[SCORE_CONTAINERS_MAX];
    uint16_t containers = asking_of(LISTS[_i].asking, asking), n = 0;
    struct vendor_alloc *a = NULL;
    struct err err = {0};
    enum err_code rc = vendor_alloc_decode(str_z(LISTS[_i].text), LISTS[_i].asking ? asking : NULL,
                                           containers, arena, &a, &n, &err);
    if (!LISTS[_i].want) {
        ck_assert_msg(rc == ERR_INVALID && err.text[0], "%s: got %d", LISTS[_i].name, rc);
        ck_assert_ptr_null(a);
        return;
    }
    ck_assert_msg(rc == ERR_OK, "%s: %s", LISTS[_i].name, err.text);
    struct buf got, again;
    buf_init(&got, 10000);
    buf_init(&again, 10000);
    show(a, n, &got);
    ck_str(LISTS[_i].name, ((struct str){got.p, got.n}), str_z(LISTS[_i].want));
    vendor_alloc_encode(a, n, containers, &again);
    ck_str(LISTS[_i].name, ((struct str){again.p, again.n}), str_z(LISTS[_i].encoded));
    buf_done(&got);
    buf_done(&again);
}
END_TEST

START_TEST(decode_bounds)
{
    struct buf text;
    buf_init(&text, 1 << 20);
    for (int i = 0; i < SCORE_PARTS_MAX; i++)
        buf_add(&text, STR(A));
    for (int over = 0; over < 2; over++) {
        struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
        struct vendor_alloc *a;
        uint16_t n = 0;
        enum err_code rc =
            vendor_alloc_decode((struct str){text.p, text.n}, NULL, 1, arena, &a, &n, NULL);
        ck_assert_int_eq(rc, over ? ERR_INVALID : ERR_OK);
        ck_assert_int_eq(n, over ? 0 : SCORE_PARTS_MAX);
        buf_add(&text, STR(A));
    }
    buf_done(&text);
}
END_TEST

START_TEST(decode_without_memory)
{
    struct arena *arena CLEANUP(arena_free_p) = arena_new(16);
    struct vendor_alloc *a;
    uint16_t n;
    ck_assert_int_eq(vendor_alloc_decode(STR(A A A ";"), NULL, 1, arena, &a, &n, NULL),
                     ERR_NO_MEMORY);
}
END_TEST

static const struct {
    const char *text;
    bool want;
} LEFT[] = {{"", false},        {";", false},       {";;;;", false}, {A ";", true},
            {";" A ";", true},  {"abc:;", false},   {":;", false},   {A, true},
            {";GPU-a,x", true}, {"NVIDIA:;", false}};

START_TEST(left)
{
    ck_assert_msg(vendor_alloc_left(str_z(LEFT[_i].text)) == LEFT[_i].want, "%s", LEFT[_i].text);
    ck_assert(!vendor_alloc_left((struct str){0}));
}
END_TEST

/* What we write, we read back, whoever asks. */
START_TEST(write_then_read)
{
    static const char *const IDS[] = {"GPU-0", "GPU-1", "node-a-mlu-3", "x"};
    uint64_t seed = prop_seed(), state = seed;
    for (int round = 0; round < 5000; round++) {
        struct vendor_alloc a[40], *b = NULL;
        bool asking[SCORE_CONTAINERS_MAX] = {false};
        uint16_t n = (uint16_t)(next_random(&state) % 40), read = 0;
        uint16_t containers = (uint16_t)(1 + next_random(&state) % SCORE_CONTAINERS_MAX);
        for (uint16_t i = 0; i < n; i++)
            a[i] = (struct vendor_alloc){
                .uuid = str_z(IDS[next_random(&state) % COUNT(IDS)]),
                .type = STR("NVIDIA"),
                .mem_mib = (int64_t)(next_random(&state) % 2147483648u),
                .cores_pct = (int32_t)(next_random(&state) % 201),
                .container = (uint16_t)((uint32_t)i * containers / 40u),
            };
        struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
        struct buf text, again;
        buf_init(&text, 100000);
        buf_init(&again, 100000);
        vendor_alloc_encode(a, n, containers, &text);
        ck_assert_int_eq(vendor_alloc_decode((struct str){text.p, text.n}, asking, containers,
                                             arena, &b, &read, NULL),
                         ERR_OK);
        ck_assert_msg(read == n, "seed %llu round %d", (unsigned long long)seed, round);
        for (uint16_t i = 0; i < n; i++)
            ck_assert_msg(str_eq(a[i].uuid, b[i].uuid) && a[i].container == b[i].container &&
                              a[i].mem_mib == b[i].mem_mib && a[i].cores_pct == b[i].cores_pct,
                          "seed %llu round %d", (unsigned long long)seed, round);
        vendor_alloc_encode(b, read, containers, &again);
        ck_str("again", ((struct str){again.p, again.n}), ((struct str){text.p, text.n}));
        buf_done(&text);
        buf_done(&again);
    }
}
END_TEST

void check_vendor_alloc(Suite *suite)
{
    TCase *tc = tcase_create("alloc");
    tcase_add_loop_test(tc, decode, 0, COUNT(LISTS));
    tcase_add_test(tc, decode_bounds);
    tcase_add_test(tc, decode_without_memory);
    tcase_add_loop_test(tc, left, 0, COUNT(LEFT));
    tcase_add_test(tc, write_then_read);
    suite_add_tcase(suite, tc);
}
