/* Quantities (against core.md 0.2 and errata E-1 to E-4), times and durations. */
#include "check_base.h"

#include "base/clock.h"
#include "base/quantity.h"
#include <inttypes.h>
#include <string.h>

#define NONE INT64_MIN /* no row has this value: "not an integer" or "beyond int64" */

static const struct {
    const char *text;
    int64_t exact, ceil, floor, milli; /* INT, VAL, floor, ceiling of thousandths */
    int sign;
} QUANTITIES[] = {
    /* clang-format off */
    { "0",            0, 0, 0, 0, 0 },
    { "-0",           0, 0, 0, 0, 0 },
    { "00",           0, 0, 0, 0, 0 },
    { "0.0",          NONE, 0, 0, 0, 0 },
    { "0m",           NONE, 0, 0, 0, 0 },
    { "0E",           0, 0, 0, 0, 0 },
    { "0Gi",          0, 0, 0, 0, 0 },
    { "1",            1, 1, 1, 1000, 1 },
    { "+1",           1, 1, 1, 1000, 1 },
    { "-1",           -1, -1, -1, -1000, -1 },
    { "5.",           5, 5, 5, 5000, 1 },
    { ".5",           NONE, 1, 0, 500, 1 },
    { "0.5",          NONE, 1, 0, 500, 1 },
    { "-.5",          NONE, -1, -1, -500, -1 },
    { "-1.5",         NONE, -2, -2, -1500, -1 },
    { "1.0",          NONE, 1, 1, 1000, 1 },
    { "1.5k",         1500, 1500, 1500, 1500000, 1 },
    { "1.5000k",      NONE, 1500, 1500, 1500000, 1 },
    { "1.0k",         1000, 1000, 1000, 1000000, 1 },
    { "500m",         NONE, 1, 0, 500, 1 },
    { "2000m",        NONE, 2, 2, 2000, 1 },
    { "1001m",        NONE, 2, 1, 1001, 1 },
    { "1u",           NONE, 1, 0, 1, 1 },
    { "1n",           NONE, 1, 0, 1, 1 },
    { "1000000n",     NONE, 1, 0, 1, 1 },
    { "1000001n",     NONE, 1, 0, 2, 1 },
    { "1e3",          1000, 1000, 1000, 1000000, 1 },
    { "1E3",          1000, 1000, 1000, 1000000, 1 },
    { "1E+3",         1000, 1000, 1000, 1000000, 1 },
    { "1e-3",         NONE, 1, 0, 1, 1 },
    { "12e0",         12, 12, 12, 12000, 1 },
    { "1.5e1",        15, 15, 15, 15000, 1 },
    { "1e18",         1000000000000000000, 1000000000000000000, 1000000000000000000, NONE, 1 },
    { "1E",           1000000000000000000, 1000000000000000000, 1000000000000000000, NONE, 1 },
    { "9E",           9000000000000000000, 9000000000000000000, 9000000000000000000, NONE, 1 },
    { "10E",          NONE, NONE, NONE, NONE, 1 }, /* E-2 */
    { "1e19",         NONE, NONE, NONE, NONE, 1 },
    { "100E",         NONE, NONE, NONE, NONE, 1 },
    { "-9E",          -9000000000000000000, -9000000000000000000, -9000000000000000000, NONE, -1 },
    { "1e60",         NONE, NONE, NONE, NONE, 1 },
    { "0e60",         0, 0, 0, 0, 0 },
    { "1e-60",        NONE, 1, 0, 1, 1 },
    { "1k",           1000, 1000, 1000, 1000000, 1 },
    { "1M",           1000000, 1000000, 1000000, 1000000000, 1 },
    { "1G",           1000000000, 1000000000, 1000000000, 1000000000000, 1 },
    { "1T",           1000000000000, 1000000000000, 1000000000000, 1000000000000000, 1 },
    { "1P",           1000000000000000, 1000000000000000, 1000000000000000, 1000000000000000000, 1 },
    /* digits: 18 are taken, 19 are not, leading zeros don't count (E-1) */
    { "999999999999999999",  999999999999999999, 999999999999999999, 999999999999999999, NONE, 1 },
    { "1000000000000000000", NONE, 1000000000000000000, 1000000000000000000, NONE, 1 },
    { "000000000000000000000002", 2, 2, 2, 2000, 1 },
    { "00000000000000000000000.5k", 500, 500, 500, 500000, 1 },
    { "0.00000000000000001E", 10, 10, 10, 10000, 1 },     /* 1 + 17 digits */
    { "0.000000000000000001E", NONE, 1, 1, 1000, 1 },     /* 1 + 18 digits */
    { "9223372036854775807", NONE, INT64_MAX, INT64_MAX, NONE, 1 },
    { "9223372036854775806.5", NONE, INT64_MAX, INT64_MAX - 1, NONE, 1 },
    { "9223372036854775807.5", NONE, NONE, INT64_MAX, NONE, 1 },
    { "9223372036854775808", NONE, NONE, NONE, NONE, 1 },
    { "-9223372036854775807", NONE, -INT64_MAX, -INT64_MAX, NONE, -1 },
    { "9223372036854775.807", NONE, 9223372036854776, 9223372036854775, INT64_MAX, 1 },
    { "9223372036854775.8071", NONE, 9223372036854776, 9223372036854775, NONE, 1 },
    { "99999999999999999999999999999999999999", NONE, NONE, NONE, NONE, 1 },
    { "0.9999999999999999999999999999999999999", NONE, 1, 0, 1000, 1 },
    /* binary: INT needs no dot digits and few digits for the suffix */
    { "1Ki",          1024, 1024, 1024, 1024000, 1 },
    { "16Gi",         17179869184, 17179869184, 17179869184, 17179869184000, 1 },
    { "16.Gi",        17179869184, 17179869184, 17179869184, 17179869184000, 1 },
    { "16.0Gi",       NONE, 17179869184, 17179869184, 17179869184000, 1 },
    { "-16Gi",        -17179869184, -17179869184, -17179869184, -17179869184000, -1 },
    { "0.5Ki",        NONE, 512, 512, 512000, 1 },
    { "0.0001Ki",     NONE, 1, 0, 103, 1 },
    { "99999999999Ki",   102399999998976, 102399999998976, 102399999998976, 102399999998976000, 1 },
    { "100000000000Ki",  NONE, 102400000000000, 102400000000000, 102400000000000000, 1 },
    { "99999999Mi",   104857598951424, 104857598951424, 104857598951424, 104857598951424000, 1 },
    { "100000000Mi",  NONE, 104857600000000, 104857600000000, 104857600000000000, 1 },
    { "99999Gi",      107373108658176, 107373108658176, 107373108658176, 107373108658176000, 1 },
    { "100000Gi",     NONE, 107374182400000, 107374182400000, 107374182400000000, 1 },
    { "99Ti",         108851651149824, 108851651149824, 108851651149824, 108851651149824000, 1 },
    { "100Ti",        NONE, 109951162777600, 109951162777600, 109951162777600000, 1 },
    { "1Pi",          NONE, 1125899906842624, 1125899906842624, 1125899906842624000, 1 },
    { "1Ei",          NONE, 1152921504606846976, 1152921504606846976, NONE, 1 },
    { "7Ei",          NONE, 8070450532247928832, 8070450532247928832, NONE, 1 },
    { "8Ei",          NONE, NONE, NONE, NONE, 1 },
    { "7.9999999999999999999Ei", NONE, NONE, INT64_MAX, NONE, 1 },
    { "0.0000000000000000000000000000000000001Ei", NONE, 1, 0, 1, 1 },
    /* clang-format on */
};

static void same(const char *text, const char *what, bool ok, int64_t got, int64_t want)
{
    ck_assert_msg(ok == (want != NONE), "%s: %s is %sthere", text, what, ok ? "" : "not ");
    ck_assert_msg(!ok || got == want, "%s: %s: want %" PRId64 ", got %" PRId64, text, what, want,
                  got);
}

START_TEST(quantity_values)
{
    const char *text = QUANTITIES[_i].text;
    struct quantity q;
    struct err err;
    int64_t v = 0;
    enum err_code rc = quantity_parse(str_z(text), &q, &err);
    ck_assert_msg(rc == ERR_OK, "%s: refused", text);
    bool ok = quantity_int(&q, &v);
    same(text, "INT", ok, v, QUANTITIES[_i].exact);
    ok = quantity_ceil(&q, 0, &v);
    same(text, "ceiling", ok, v, QUANTITIES[_i].ceil);
    ok = quantity_floor(&q, 0, &v);
    same(text, "floor", ok, v, QUANTITIES[_i].floor);
    ok = quantity_ceil(&q, 3, &v);
    same(text, "milli", ok, v, QUANTITIES[_i].milli);
    ck_assert_msg(quantity_sign(&q) == QUANTITIES[_i].sign, "%s: sign", text);
}
END_TEST

START_TEST(quantity_smallest)
{
    struct quantity q;
    int64_t v = 0;
    ck_assert_int_eq(quantity_parse(STR("-9223372036854775808"), &q, NULL), ERR_OK);
    ck_assert(quantity_ceil(&q, 0, &v) && v == INT64_MIN);
    ck_assert(quantity_floor(&q, 0, &v) && v == INT64_MIN);
    ck_assert_int_eq(quantity_parse(STR("-9223372036854775808.1"), &q, NULL), ERR_OK);
    ck_assert(!quantity_ceil(&q, 0, &v) && !quantity_floor(&q, 0, &v));
    ck_assert_int_eq(quantity_parse(STR("1"), &q, NULL), ERR_OK);
    ck_assert(quantity_ceil(&q, 18, &v) && v == 1000000000000000000);
    ck_assert(!quantity_ceil(&q, 19, &v));
    ck_assert(!quantity_ceil(&q, 4000000000u, &v));
}
END_TEST

static const struct {
    struct str text;
    const char *why;
} NO_QUANTITIES[] = {
    {STR_INIT(""), "quantity \"\" has no digits"},
    {STR_INIT("-"), "quantity \"-\" has no digits"},
    {STR_INIT("."), "quantity \".\" has no digits"},
    {STR_INIT("k"), "quantity \"k\" has no digits"},
    {STR_INIT("Gi"), "quantity \"Gi\" has no digits"},
    {STR_INIT("+-1"), "quantity \"+-1\" has no digits"},
    {STR_INIT(" 1"), "quantity \" 1\" has no digits"},
    {STR_INIT("1 "), "quantity \"1 \" has an unknown suffix"},
    {STR_INIT("1 Gi"), "quantity \"1 Gi\" has an unknown suffix"},
    {STR_INIT("1K"), "quantity \"1K\" has an unknown suffix"},
    {STR_INIT("1ki"), "quantity \"1ki\" has an unknown suffix"},
    {STR_INIT("1mi"), "quantity \"1mi\" has an unknown suffix"},
    {STR_INIT("1Gib"), "quantity \"1Gib\" has an unknown suffix"},
    {STR_INIT("1GB"), "quantity \"1GB\" has an unknown suffix"},
    {STR_INIT("1g"), "quantity \"1g\" has an unknown suffix"},
    {STR_INIT("1i"), "quantity \"1i\" has an unknown suffix"},
    {STR_INIT("1.2.3"), "quantity \"1.2.3\" has an unknown suffix"},
    {STR_INIT("1,5"), "quantity \"1,5\" has an unknown suffix"},
    {STR_INIT("1+1"), "quantity \"1+1\" has an unknown suffix"},
    {STR_INIT("0x10"), "quantity \"0x10\" has an unknown suffix"},
    {STR_INIT("1e"), "quantity \"1e\" has an exponent without digits"},
    {STR_INIT("1e+"), "quantity \"1e+\" has an exponent without digits"},
    {STR_INIT("1E-"), "quantity \"1E-\" has an exponent without digits"},
    {STR_INIT("1e3k"), "quantity \"1e3k\" has an unknown suffix"},
    {STR_INIT("1e1.5"), "quantity \"1e1.5\" has an unknown suffix"},
    {STR_INIT("1e61"), "quantity \"1e61\" has an exponent beyond 60"},
    {STR_INIT("1e-61"), "quantity \"1e-61\" has an exponent beyond 60"},
    {STR_INIT("1e99999999999999999999"),
     "quantity \"1e99999999999999999999\" has an exponent beyond 60"},
    {STR_INIT("1\0"), "quantity \"1\" has an unknown suffix"},
    {STR_INIT("100000000000000000000000000000000000000"),
     "quantity \"100000000000000000000000000000000000000\" has more than 38 digits"},
    {STR_INIT("0.00000000000000000000000000000000000000000000000000001"),
     "quantity \"0.0000000000000000000000000000000000000000000000\xe2\x80\xa6\" has more than 38 "
     "digits"},
    {STR_INIT("one"), "quantity \"one\" has no digits"},
    {STR_INIT("1\nG"), "quantity \"1?G\" has an unknown suffix"},
};

START_TEST(quantity_refusals)
{
    struct quantity q, before;
    memset(&q, 0x5a, sizeof(q));
    before = q;
    struct err err;
    enum err_code rc = quantity_parse(NO_QUANTITIES[_i].text, &q, &err);
    ck_assert_msg(rc == ERR_BAD_REQUEST, "row %d (%s): taken", _i, NO_QUANTITIES[_i].why);
    ck_str("why", str_z(err.text), str_z(NO_QUANTITIES[_i].why));
    ck_assert_msg(memcmp(&q, &before, sizeof(q)) == 0, "%s: touched", NO_QUANTITIES[_i].why);
}
END_TEST

#define S INT64_C(1000000000)

static const struct {
    const char *text;
    int64_t ns;
    const char *back; /* as clock_rfc3339 writes it, with micros */
} TIMES[] = {
    {"1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00.000000Z"},
    {"2026-11-22T03:44:05Z", 1795319045 * S, "2026-11-22T03:44:05.000000Z"},
    {"2026-11-22T03:44:05.123456Z", 1795319045 * S + 123456000, "2026-11-22T03:44:05.123456Z"},
    {"2026-11-22T03:44:05.1Z", 1795319045 * S + 100000000, "2026-11-22T03:44:05.100000Z"},
    {"2026-11-22T03:44:05.123456789123Z", 1795319045 * S + 123456789,
     "2026-11-22T03:44:05.123456Z"},
    {"2026-11-22T04:44:05+01:00", 1795319045 * S, "2026-11-22T03:44:05.000000Z"},
    {"2026-11-21T22:14:05-05:30", 1795319045 * S, "2026-11-22T03:44:05.000000Z"},
    {"2024-02-29T23:59:59Z", 1709251199 * S, "2024-02-29T23:59:59.000000Z"},
    {"2024-03-01T00:00:00Z", 1709251200 * S, "2024-03-01T00:00:00.000000Z"},
    {"2000-02-29T00:00:00Z", 951782400 * S, "2000-02-29T00:00:00.000000Z"},
    {"2000-12-31T23:59:59Z", 978307199 * S, "2000-12-31T23:59:59.000000Z"},
    {"1969-12-31T23:59:59.999999Z", -1000, "1969-12-31T23:59:59.999999Z"},
    {"1677-09-21T00:12:43.145224192Z", INT64_MIN, "1677-09-21T00:12:43.145224Z"},
    {"2262-04-11T23:47:16.854775807Z", INT64_MAX, "2262-04-11T23:47:16.854775Z"},
};

START_TEST(clock_times)
{
    int64_t ns = -1;
    char out[CLOCK_TEXT_MAX];
    ck_assert_msg(clock_parse_rfc3339(str_z(TIMES[_i].text), &ns), "%s: refused", TIMES[_i].text);
    ck_assert_msg(ns == TIMES[_i].ns, "%s: got %" PRId64, TIMES[_i].text, ns);
    size_t n = clock_rfc3339(ns, true, out);
    ck_str(TIMES[_i].text, ((struct str){out, n}), str_z(TIMES[_i].back));
    ck_assert(out[n] == '\0');
    n = clock_rfc3339(ns, false, out);
    ck_assert_uint_eq(n, 20);
    ck_assert(memcmp(out, TIMES[_i].back, 19) == 0 && out[19] == 'Z');
}
END_TEST

/* Every day of the years around the border cases goes there and back, and the days are consecutive.
 */
START_TEST(clock_every_day)
{
    for (int64_t day = -106000; day < 106000; day++) {
        char out[CLOCK_TEXT_MAX];
        int64_t ns = 0;
        size_t n = clock_rfc3339(day * 86400 * S, false, out);
        ck_assert_msg(clock_parse_rfc3339((struct str){out, n}, &ns), "%s: refused", out);
        ck_assert_msg(ns == day * 86400 * S, "%s: another day", out);
    }
}
END_TEST

static const char *const NO_TIMES[] = {
    "",
    "2026-11-22",
    "2026-11-22T03:44:05",
    "2026-11-22 03:44:05Z",
    "2026-11-22t03:44:05Z",
    "2026-11-22T03:44:05z",
    "2026-11-22T03:44:05.Z",
    "2026-11-22T03:44:05,5Z",
    "2026-11-22T03:44:05ZZ",
    "2026-11-22T03:44Z",
    "26-11-22T03:44:05Z",
    "2026-00-22T03:44:05Z",
    "2026-13-22T03:44:05Z",
    "2026-11-00T03:44:05Z",
    "2026-11-31T03:44:05Z",
    "2026-02-29T03:44:05Z",
    "1900-02-29T03:44:05Z",
    "2026-11-22T24:00:00Z",
    "2026-11-22T23:60:00Z",
    "2026-12-31T23:59:60Z",
    "2026-11-22T03:44:05+0100",
    "2026-11-22T03:44:05+24:00",
    "2026-11-22T03:44:05+01:60",
    "2026-11-22T03:44:05+1:00",
    "2026-11-22T03:44:05*01:00",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z",
    "1677-09-21T00:12:43.145224191Z",
    "2262-04-11T23:47:16.854775808Z",
    "+026-11-22T03:44:05Z",
};

START_TEST(clock_no_times)
{
    int64_t ns = 7;
    ck_assert_msg(!clock_parse_rfc3339(str_z(NO_TIMES[_i]), &ns), "%s: taken", NO_TIMES[_i]);
    ck_assert_int_eq(ns, 7);
}
END_TEST

static const struct {
    const char *text;
    int64_t ns;
} DURATIONS[] = {
    {"0", 0},
    {"+0", 0},
    {"0s", 0},
    {"5m", 300 * S},
    {"+5m", 300 * S},
    {"1h30m", 5400 * S},
    {"30m1h", 5400 * S},
    {"1.5s", 1500000000},
    {".5s", 500000000},
    {"5.s", 5 * S},
    {"300ms", 300000000},
    {"1us", 1000},
    {"1\xc2\xb5s", 1000},
    {"1\xce\xbcs", 1000},
    {"1ns", 1},
    {"0.5ns", 0},
    {"1m1s", 61 * S},
    {"1ms1s", 1001000000},
    {"0.1h", 360 * S},
    {"876600h", 3155760000 * S},
    {"876599h60m", 3155760000 * S},
    {"1.0000000000000000000000001s", S},
};

START_TEST(clock_durations)
{
    int64_t ns = -1;
    ck_assert_msg(clock_parse_duration(str_z(DURATIONS[_i].text), &ns), "%s: refused",
                  DURATIONS[_i].text);
    ck_assert_msg(ns == DURATIONS[_i].ns, "%s: got %" PRId64, DURATIONS[_i].text, ns);
}
END_TEST

static const char *const NO_DURATIONS[] = {
    "",
    "+",
    "-5m",
    "-0",
    "5",
    "1h5",
    "m",
    ".s",
    "5 m",
    " 5m",
    "5m ",
    "5x",
    "5d",
    "5M",
    "1..5s",
    "1.5.s",
    "876601h",
    "876600h1ns",
    "1e3s",
    "5m-1s",
    "0x5s",
    "00",
    "5\xc2s",
    "99999999999999999999999999999ns",
    "9223372036854775807h",
};

START_TEST(clock_no_durations)
{
    int64_t ns = 7;
    ck_assert_msg(!clock_parse_duration(str_z(NO_DURATIONS[_i]), &ns), "%s: taken",
                  NO_DURATIONS[_i]);
    ck_assert_int_eq(ns, 7);
}
END_TEST

static int64_t fixed_mono(void *ctx) { return *(int64_t *)ctx; }

static int64_t fixed_wall(void *ctx) { return *(int64_t *)ctx * 2; }

START_TEST(clock_of_tests)
{
    int64_t now = 5 * S + 999999;
    struct clock c = {fixed_mono, fixed_wall, &now};
    ck_assert_int_eq(clock_mono_ms(&c), 5000);
    ck_assert_int_eq(clock_mono_ns(&c), 5 * S + 999999);
    ck_assert_int_eq(clock_wall_s(&c), 10);
    ck_assert_int_eq(clock_wall_ns(&c), 10 * S + 1999998);
    int64_t a = clock_mono_ns(&CLOCK_SYSTEM), b = clock_mono_ns(&CLOCK_SYSTEM);
    ck_assert(a > 0 && b >= a);
    ck_assert(clock_wall_s(&CLOCK_SYSTEM) > 1700000000);
}
END_TEST

void check_base_num(Suite *suite)
{
    TCase *tc = tcase_create("num");
    tcase_add_loop_test(tc, quantity_values, 0, COUNT(QUANTITIES));
    tcase_add_test(tc, quantity_smallest);
    tcase_add_loop_test(tc, quantity_refusals, 0, COUNT(NO_QUANTITIES));
    tcase_add_loop_test(tc, clock_times, 0, COUNT(TIMES));
    tcase_add_test(tc, clock_every_day);
    tcase_add_loop_test(tc, clock_no_times, 0, COUNT(NO_TIMES));
    tcase_add_loop_test(tc, clock_durations, 0, COUNT(DURATIONS));
    tcase_add_loop_test(tc, clock_no_durations, 0, COUNT(NO_DURATIONS));
    tcase_add_test(tc, clock_of_tests);
    suite_add_tcase(suite, tc);
}
