/* From quantities to asks: the tables of nvidia.md 3 (d, e) and 4, and what is refused where the
 * reference drops it. */
#include "check_vendor.h"

#include "base/own.h"

#include <stdio.h>

DEFINE_CLEANUP(struct vendor_table *, vendor_table_free)

struct setting { /* what differs from the chart's values */
    int32_t factor, default_mem, default_cores;
    bool no_default_count, no_mem, no_cores;
};

struct row {
    const char *name;
    const char *gpu, *mem, *pct, *cores; /* NULL: absent */
    struct setting set;
    struct score_ask want; /* count 0: asks for nothing */
    const char *text;      /* refused with this in the text */
};

static struct vendor vendor_of(const struct vendor_table *t, const struct setting *set)
{
    struct vendor v = *vendor_at(t, 0);
    v.mem_factor = set->factor ? set->factor : 1;
    v.default_mem_mib = set->default_mem;
    v.default_cores_pct = set->default_cores;
    if (set->no_default_count)
        v.default_count = 0;
    if (set->no_mem)
        v.res_mem = STR("");
    if (set->no_cores)
        v.res_cores = STR("");
    return v;
}

static struct str text(const char *z) { return z ? str_z(z) : (struct str){0}; }

static struct vendor_wish wish_of(const struct row *r)
{
    return (struct vendor_wish){{
        [VENDOR_RES_COUNT] = text(r->gpu),
        [VENDOR_RES_MEM] = text(r->mem),
        [VENDOR_RES_MEM_PCT] = text(r->pct),
        [VENDOR_RES_CORES] = text(r->cores),
    }};
}

#define ASK(n, m, p, c)                                                                            \
    {                                                                                              \
        .count = (n), .mem_mib = (m), .mem_pct = (p), .cores_pct = (c)                             \
    }

/* nvidia.md 4: what stands in the pod, nothing added. */
static const struct row DERIVE[] = {
    {"gpu 1", "1", .want = ASK(1, 0, 100, 0)},
    {"gpu 2, gpumem 3000, gpucores 30", "2", "3000", NULL, "30", .want = ASK(2, 3000, 0, 30)},
    {"gpu 1, percentage 50", "1", NULL, "50", .want = ASK(1, 0, 50, 0)},
    {"gpu 1, percentage 0", "1", NULL, "0", .want = ASK(1, 0, 100, 0)},
    {"gpu 1, percentage -1", "1", NULL, "-1", .want = ASK(1, 0, 100, 0)},
    {"gpu 1, gpumem 0", "1", "0", .want = ASK(1, 0, 100, 0)},
    {"gpu 1, percentage 150", "1", NULL, "150", .want = ASK(1, 0, 100, 0)},
    {"gpu 1, percentage 101", "1", NULL, "101", .want = ASK(1, 0, 100, 0)},
    {"gpu 1, gpumem 2000, percentage 0", "1", "2000", "0", .want = ASK(1, 2000, 0, 0)},
    {"gpu 1, gpumem 2000, percentage 50", "1", "2000", "50", .want = ASK(1, 2000, 0, 0)},
    {"gpu 1, defaultMemory 512", "1", .set = {.default_mem = 512}, .want = ASK(1, 512, 0, 0)},
    {"gpu 1, gpumem 1024, factor 2", "1", "1024", .set = {.factor = 2}, .want = ASK(1, 2048, 0, 0)},
    {"defaultMemory isn't multiplied", "1", .set = {.factor = 2, .default_mem = 512},
     .want = ASK(1, 512, 0, 0)},
    {"percentage before defaultMemory", "1", NULL, "50", .set = {.default_mem = 512},
     .want = ASK(1, 0, 50, 0)},
    {"defaultCores", "1", .set = {.default_cores = 20}, .want = ASK(1, 0, 100, 20)},
    {"cores 0 before defaultCores", "1", NULL, NULL, "0", .set = {.default_cores = 20},
     .want = ASK(1, 0, 100, 0)},
    {"cores above 100 are 100", "1", NULL, NULL, "150", .want = ASK(1, 0, 100, 100)},
    /* edges */
    {"nothing"},
    {"no count", NULL, "4000", "50", "30"},
    {"gpu 0", "0"},
    {"nvidia_defect_n8: gpu 0 with amounts, which are per card", "0", "4000", NULL, "30"},
    {"gpu 0 with an amount that can't be read", "0", "16Gi"},
    {"percentage 1", "1", NULL, "1", .want = ASK(1, 0, 1, 0)},
    {"percentage 100", "1", NULL, "100", .want = ASK(1, 0, 100, 0)},
    {"largest count", "1024", .want = ASK(1024, 0, 100, 0)},
    {"largest memory", "1", "2147483647", .want = ASK(1, 2147483647, 0, 0)},
    {"largest memory, factor 1024", "1", "2097151", .set = {.factor = 1024},
     .want = ASK(1, 2147482624, 0, 0)},
    {"gpumem 16k: decimal suffix", "1", "16k", .want = ASK(1, 16000, 0, 0)},
    {"gpumem 16Ki", "1", "16Ki", .want = ASK(1, 16384, 0, 0)},
    {"leading zeros (E-1)", "000000000000000000000002", .want = ASK(2, 0, 100, 0)},
    {"odd spelling of a whole number (E-4)", "1.0", "2000000m", .want = ASK(1, 2000, 0, 0)},
    {"1e3", "1", "1e3", .want = ASK(1, 1000, 0, 0)},
    {"memory resource not configured", "1", "4000", .set = {.no_mem = true},
     .want = ASK(1, 0, 100, 0)},
    /* refused, where the reference would give the pod no card and let it run (C 19, E-13) */
    {"gpumem 16Gi (C 19)", "1", "16Gi", .text = "nvidia.com/gpumem value \"16Gi\""},
    {"gpumem 16.0Gi", "1", "16.0Gi", .text = "nvidia.com/gpumem value \"16.0Gi\""},
    {"one MiB over", "1", "2147483648", .text = "2147483647"},
    {"one unit over, factor 1024", "1", "2097152", .set = {.factor = 1024}, .text = "2097151"},
    {"fraction of a MiB", "1", "1.5", .text = "not a whole number"},
    {"negative memory", "1", "-1", .text = "between 0"},
    {"no quantity", "1", "lots", .text = "not a quantity"},
    {"empty quantity", "1", "", .text = "not a quantity"},
    {"fractional count", "500m", .text = "nvidia.com/gpu value \"500m\""},
    {"negative count", "-1", .text = "nvidia.com/gpu value \"-1\""},
    {"one card too many", "1025", .text = "between 0 and 1024"},
    {"count wraps to one card (E-8)", "4294967297", .text = "nvidia.com/gpu"},
    {"count wraps to none (E-8)", "4294967296", .text = "nvidia.com/gpu"},
    {"count beyond 64 bits (E-2)", "100E", .text = "beyond 64 bits"},
    {"cores beyond 32 bits", "1", NULL, NULL, "4294967297", .text = "nvidia.com/gpucores"},
    {"negative cores", "1", NULL, NULL, "-100", .text = "nvidia.com/gpucores value \"-100\""},
    {"fractional cores", "1", NULL, NULL, "0.5", .text = "nvidia.com/gpucores"},
    {"fractional percentage", "1", NULL, "50.5", .text = "nvidia.com/gpumem-percentage"},
};

/* nvidia.md 3 d and e on top: what the pod is after admission. */
static const struct row ADMITTED[] = {
    {"gpu 1", "1", .want = ASK(1, 0, 100, 100)},
    {"gpu 1, gpumem 8192", "1", "8192", .want = ASK(1, 8192, 0, 0)},
    {"gpu 1, percentage 100", "1", NULL, "100", .want = ASK(1, 0, 100, 100)},
    {"gpu 1, percentage 50", "1", NULL, "50", .want = ASK(1, 0, 50, 0)},
    {"gpu 1, gpucores 70", "1", NULL, NULL, "70", .want = ASK(1, 0, 100, 70)},
    {"gpumem 4000", NULL, "4000", .want = ASK(1, 4000, 0, 0)},
    {"gpucores 30", NULL, NULL, NULL, "30", .want = ASK(1, 0, 100, 30)},
    {"percentage 50 alone", NULL, NULL, "50", .want = ASK(1, 0, 50, 0)},
    {"percentage 100 alone", NULL, NULL, "100", .want = ASK(1, 0, 100, 100)},
    {"percentage 99", "1", NULL, "99", .want = ASK(1, 0, 99, 0)},
    {"nvidia_defect_n9: percentage 0 is not given, exclusive", "1", NULL, "0", .want = ASK(1, 0, 100, 100)},
    {"nvidia_defect_n9: gpumem 0 is not given, exclusive", "1", "0", .want = ASK(1, 0, 100, 100)},
    {"gpucores 0 given: shareable", "1", NULL, NULL, "0", .want = ASK(1, 0, 100, 0)},
    {"gpumem 2000, percentage 100", "1", "2000", "100", .want = ASK(1, 2000, 0, 100)},
    {"cores not configured", "1", .set = {.no_cores = true}, .want = ASK(1, 0, 100, 0)},
    {"memory not configured", "1", "4000", .set = {.no_mem = true}, .want = ASK(1, 0, 100, 100)},
    {"defaultGPUNum 0", NULL, "4000", .set = {.no_default_count = true}},
    {"nvidia_defect_n8: gpu 0 stays 0", "0", "4000"},
    {"nvidia_defect_n8: gpu 0 alone", "0"},
    {"nothing"},
    {"defaultCores after exclusive", "1", .set = {.default_cores = 20},
     .want = ASK(1, 0, 100, 100)},
    {"defaultCores where shared", "1", "4000", .set = {.default_cores = 20},
     .want = ASK(1, 4000, 0, 20)},
    {"gpumem 0 alone: presence asks", NULL, "0", .want = ASK(1, 0, 100, 100)},
    {"gpucores 0 alone: presence asks", NULL, NULL, NULL, "0", .want = ASK(1, 0, 100, 0)},
    {"gpumem 16Gi alone", NULL, "16Gi", .text = "nvidia.com/gpumem value \"16Gi\""},
};

static void run_row(const struct row *r, bool admitted)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    ck_assert_int_eq(vendor_table_builtin(&t, NULL), ERR_OK);
    struct vendor v = vendor_of(t, &r->set);
    struct vendor_wish wish = wish_of(r);
    struct score_ask got = {0};
    struct err err = {0};
    bool asks = false;
    enum err_code rc = vendor_derive(&v, &wish, admitted, &got, &asks, &err);
    if (r->text) {
        ck_assert_msg(rc == ERR_INVALID, "%s: want ERR_INVALID, got %d", r->name, rc);
        ck_assert_msg(str_contains(str_z(err.text), str_z(r->text)), "%s: text \"%s\"", r->name,
                      err.text);
        return;
    }
    ck_assert_msg(rc == ERR_OK, "%s: %s", r->name, err.text);
    ck_assert_msg(asks == (r->want.count > 0), "%s: asks %d", r->name, asks);
    ck_assert_msg(!asks || (got.count == r->want.count && got.mem_mib == r->want.mem_mib &&
                            got.mem_pct == r->want.mem_pct && got.cores_pct == r->want.cores_pct),
                  "%s: got (%d, %lld, %d, %d)", r->name, got.count, (long long)got.mem_mib,
                  got.mem_pct, got.cores_pct);
}

START_TEST(derive) { run_row(&DERIVE[_i], false); }
END_TEST

START_TEST(derive_admitted) { run_row(&ADMITTED[_i], true); }
END_TEST

/* What vendor_defaults adds, put into the pod, derives to what an admitted derivation gives: one
 * truth, two callers. */
START_TEST(defaults_agree)
{
    const struct row *r = &ADMITTED[_i];
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    ck_assert_int_eq(vendor_table_builtin(&t, NULL), ERR_OK);
    struct vendor v = vendor_of(t, &r->set);
    struct vendor_wish wish = wish_of(r);
    struct vendor_defaults add, again;
    if (vendor_defaults(&v, &wish, &add, NULL)) {
        ck_assert_ptr_nonnull(r->text);
        return;
    }
    char digits[VENDOR_RES_COUNT_][24];
    for (int what = 0; what < VENDOR_RES_COUNT_; what++)
        if (add.writes >> what & 1) {
            (void)snprintf(digits[what], sizeof(digits[what]), "%lld", (long long)add.value[what]);
            wish.value[what] = str_z(digits[what]);
        }
    struct score_ask got = {0};
    bool asks = false;
    ck_assert_int_eq(vendor_derive(&v, &wish, false, &got, &asks, NULL), ERR_OK);
    ck_assert_msg(asks == add.asks && asks == (r->want.count > 0), "%s", r->name);
    ck_assert_msg(!asks || (got.count == r->want.count && got.cores_pct == r->want.cores_pct), "%s",
                  r->name);
    ck_assert_int_eq(vendor_defaults(&v, &wish, &again, NULL), ERR_OK);
    ck_assert_msg(again.writes == 0, "%s: not idempotent", r->name);
}
END_TEST

/* Whatever stands in a pod: an ask that comes out is one that the core takes. */
START_TEST(asks_are_sound)
{
    static const char *const TEXTS[] = {
        NULL,  "0", "1", "2",          "-1",  "100", "101",        "1024", "1025", "16Gi",
        "1.5", "",  "x", "2147483647", "1e3", "10E", "4294967297", "50",   "99",   "1Ki"};
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    ck_assert_int_eq(vendor_table_builtin(&t, NULL), ERR_OK);
    uint64_t seed = prop_seed(), state = seed;
    int asked = 0;
    for (int i = 0; i < 20000; i++) {
        struct vendor_wish wish = {.limits = ~UINT32_C(0)};
        struct score_ask ask = {0};
        bool asks = false;
        for (int w = 0; w < VENDOR_RES_COUNT_; w++)
            wish.value[w] = text(TEXTS[next_random(&state) % COUNT(TEXTS)]);
        if (vendor_derive(vendor_at(t, 0), &wish, next_random(&state) & 1, &ask, &asks, NULL) ||
            !asks)
            continue;
        asked++;
        enum score_step step = SCORE_STEP_APP;
        struct score_request req = {.vendors = vendor_cores(t),
                                    .vendors_n = 1,
                                    .steps = &step,
                                    .containers_n = 1,
                                    .asks = &ask,
                                    .asks_n = 1,
                                    .policy = SCORE_POLICY_DEFAULT};
        struct err err = {0};
        ck_assert_msg(score_request_check(&req, &err) == ERR_OK, "seed %llu case %d: %s",
                      (unsigned long long)seed, i, err.text);
        ck_assert_int_le(ask.cores_pct, 100);
    }
    ck_assert_int_gt(asked, 100);
}
END_TEST

void check_vendor_derive(Suite *suite)
{
    TCase *tc = tcase_create("derive");
    tcase_add_loop_test(tc, derive, 0, COUNT(DERIVE));
    tcase_add_loop_test(tc, derive_admitted, 0, COUNT(ADMITTED));
    tcase_add_loop_test(tc, defaults_agree, 0, COUNT(ADMITTED));
    tcase_add_test(tc, asks_are_sound);
    suite_add_tcase(suite, tc);
}
