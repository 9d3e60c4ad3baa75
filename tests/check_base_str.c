/* Errors, strings, arena, buffer, map and log. */
#include "check_base.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/map.h"
#include "base/own.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- err --- */

START_TEST(err_texts)
{
    struct err err = {0};
    ck_assert_int_eq(err_set(&err, ERR_CONFLICT, "pod %s/%s", "a", "b"), ERR_CONFLICT);
    ck_assert_int_eq(err.code, ERR_CONFLICT);
    ck_assert_str_eq(err.text, "pod a/b");
    ck_assert_int_eq(err_prefix(&err, ERR_UNKNOWN, "bind %d", 7), ERR_UNKNOWN);
    ck_assert_int_eq(err.code, ERR_UNKNOWN);
    ck_assert_str_eq(err.text, "bind 7: pod a/b");
    err_set(&err, ERR_INTERNAL, "again (%s)", err.text); /* its own text as an argument */
    ck_assert_str_eq(err.text, "again (bind 7: pod a/b)");
    err_set(&err, ERR_INTERNAL, "%s", "a\nb\r\t\x7f\x1b[1m");
    ck_assert_str_eq(err.text, "a?b????[1m");
    err_set(&err, ERR_INTERNAL, "%s", "\xc3\xa9 \xff \xc3");
    ck_assert_str_eq(err.text, "\xc3\xa9 ? ?");
    err.text[0] = '\0';
    err_prefix(&err, ERR_INTERNAL, "alone");
    ck_assert_str_eq(err.text, "alone");
    ck_assert_int_eq(err_set(NULL, ERR_GONE, "x"), ERR_GONE);
    ck_assert_int_eq(err_prefix(NULL, ERR_GONE, "x"), ERR_GONE);
}
END_TEST

START_TEST(err_lengths)
{
    char in[1200];
    struct err err;
    for (size_t n = 480; n < 600; n++) {
        memset(in, 'x', n);
        in[n] = '\0';
        err_set(&err, ERR_INTERNAL, "%s", in);
        if (n < sizeof(err.text)) {
            ck_assert_str_eq(err.text, in);
        } else {
            ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
            ck_assert(str_has_suffix(str_z(err.text), STR("x\xe2\x80\xa6")));
        }
        err_prefix(&err, ERR_INTERNAL, "%s", in);
        ck_assert_uint_lt(strlen(err.text), sizeof(err.text));
        ck_assert(str_has_suffix(str_z(err.text), STR("\xe2\x80\xa6")));
        /* two-byte characters are not cut in half */
        for (size_t i = 0; i + 1 < n; i += 2)
            memcpy(in + i, "\xc3\xa9", 2);
        err_set(&err, ERR_INTERNAL, "%.*s", (int)(n / 2 * 2), in);
        ck_assert(str_utf8_valid(str_z(err.text)));
        ck_assert_ptr_null(strchr(err.text, '?'));
    }
}
END_TEST

START_TEST(err_classes)
{
    for (int i = 0; i < ERR_COUNT_; i++) {
        const struct err_class *c = err_class((enum err_code)i);
        ck_assert_msg(c && c->name && c->http_status >= 200, "code %d has no class", i);
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(c->name, err_class((enum err_code)j)->name);
    }
    ck_assert_str_eq(err_class(ERR_CONFLICT)->name, "Conflict");
    ck_assert_uint_eq(err_class(ERR_TOO_LARGE)->http_status, 413);
    ck_assert(err_class(ERR_BUSY)->retriable && !err_class(ERR_UNKNOWN)->retriable);
    ck_assert_ptr_eq(err_class((enum err_code)99), err_class(ERR_INTERNAL));
}
END_TEST

/* --- str --- */

START_TEST(str_compares)
{
    struct str none = {NULL, 0};
    ck_assert(str_eq(STR("a"), STR("a")) && !str_eq(STR("a"), STR("b")) &&
              !str_eq(STR("a"), STR("ab")));
    ck_assert(str_eq(none, STR("")) && str_eq(none, none));
    ck_assert(str_eq(str_z(NULL), STR("")) && str_z(NULL).p);
    ck_assert(str_eq_fold(STR("NodeNames"), STR("nOdEnAmEs")));
    ck_assert(!str_eq_fold(STR("\xc3\x89"), STR("\xc3\xa9"))); /* É, é: ASCII only */
    ck_assert(!str_eq_fold(STR("["), STR("{")) && !str_eq_fold(STR("@"), STR("`")));
    ck_assert_int_eq(str_cmp(STR("a"), STR("b")), -1);
    ck_assert_int_eq(str_cmp(STR("b"), STR("a")), 1);
    ck_assert_int_eq(str_cmp(STR("a"), STR("ab")), -1);
    ck_assert_int_eq(str_cmp(STR("ab"), STR("a")), 1);
    ck_assert_int_eq(str_cmp(none, STR("")), 0);
    ck_assert_int_eq(str_cmp(STR("\xff"), STR("a")), 1); /* bytes have no sign */
    ck_assert(str_has_prefix(STR("abc"), STR("ab")) && str_has_prefix(none, none));
    ck_assert(!str_has_prefix(STR("a"), STR("ab")) && !str_has_prefix(STR("abc"), STR("b")));
    ck_assert(str_has_suffix(STR("abc"), STR("bc")) && str_has_suffix(none, STR("")));
    ck_assert(!str_has_suffix(STR("c"), STR("bc")) && !str_has_suffix(STR("abc"), STR("b")));
    ck_assert(str_contains(STR("abc"), STR("bc")) && str_contains(none, none));
    ck_assert(!str_contains(STR("abc"), STR("cb")) && !str_contains(none, STR("a")));
    ck_assert(str_contains_fold(STR("NVIDIA A100"), STR("a100")));
    ck_assert(!str_contains_fold(STR("A10"), STR("a100")) && str_contains_fold(none, none));
}
END_TEST

static const struct {
    const char *in, *want;
} TRIMS[] = {
    {"", ""},
    {" ", ""},
    {" a ", "a"},
    {"\t\n\v\f\r a b \r\n", "a b"},
    {"\xc2\x85\xc2\xa0 a\xc2\xa0", "a"},
    {"\xe2\x80\xa8 a\xe2\x80\xaf\xe3\x80\x80", "a"},
    {"\xe1\x9a\x80\xe2\x80\x80 a\xe2\x80\x8a\xe2\x81\x9f", "a"},
    {"\xe2\x80\x8b a", "\xe2\x80\x8b a"}, /* zero width space is no space */
    {"\xc3\xa9", "\xc3\xa9"},
    {"\x85", "\x85"}, /* not UTF-8: stays */
    {"a\xe2\x80", "a\xe2\x80"},
};

START_TEST(str_trims)
{
    ck_str(TRIMS[_i].in, str_trim(str_z(TRIMS[_i].in)), str_z(TRIMS[_i].want));
}
END_TEST

static const struct {
    const char *in, *want; /* pieces in brackets */
} SPLITS[] = {{"", "[]"},      {"a", "[a]"},    {"a,b", "[a][b]"},   {",", "[][]"},
              {"a,", "[a][]"}, {",a", "[][a]"}, {"a,,b", "[a][][b]"}};

START_TEST(str_splits)
{
    struct buf out;
    buf_init(&out, 100);
    struct str rest = str_z(SPLITS[_i].in), piece;
    while (str_split(&rest, ',', &piece))
        buf_fmt(&out, "[" STR_FMT "]", STR_ARG(piece));
    ck_assert_ptr_null(rest.p);
    ck_assert(!str_split(&rest, ',', &piece));
    ck_str(SPLITS[_i].in, ((struct str){out.p, out.n}), str_z(SPLITS[_i].want));
    buf_done(&out);
}
END_TEST

static const struct {
    const char *text;
    int64_t min, max;
    bool ok;
    int64_t want;
} INTS[] = {
    {"0", INT64_MIN, INT64_MAX, true, 0},
    {"-0", INT64_MIN, INT64_MAX, true, 0},
    {"+7", INT64_MIN, INT64_MAX, true, 7},
    {"007", INT64_MIN, INT64_MAX, true, 7},
    {"9223372036854775807", INT64_MIN, INT64_MAX, true, INT64_MAX},
    {"9223372036854775808", INT64_MIN, INT64_MAX, false, 0},
    {"-9223372036854775808", INT64_MIN, INT64_MAX, true, INT64_MIN},
    {"-9223372036854775809", INT64_MIN, INT64_MAX, false, 0},
    {"10", 0, 10, true, 10},
    {"11", 0, 10, false, 0},
    {"-1", 0, 10, false, 0},
    {"", INT64_MIN, INT64_MAX, false, 0},
    {"-", INT64_MIN, INT64_MAX, false, 0},
    {"+-1", INT64_MIN, INT64_MAX, false, 0},
    {" 1", INT64_MIN, INT64_MAX, false, 0},
    {"1 ", INT64_MIN, INT64_MAX, false, 0},
    {"1a", INT64_MIN, INT64_MAX, false, 0},
    {"0x1", INT64_MIN, INT64_MAX, false, 0},
    {"1.0", INT64_MIN, INT64_MAX, false, 0},
};

START_TEST(str_ints)
{
    int64_t v = 42;
    bool ok = str_int(str_z(INTS[_i].text), INTS[_i].min, INTS[_i].max, &v);
    ck_assert_msg(ok == INTS[_i].ok, "\"%s\": %s", INTS[_i].text, ok ? "taken" : "refused");
    ck_assert_int_eq(v, ok ? INTS[_i].want : 42);
}
END_TEST

START_TEST(str_bools)
{
    static const char *const YES[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const NO[] = {"0", "f", "F", "FALSE", "false", "False"};
    static const char *const NEITHER[] = {"", "2", "yes", "tRUE", "on", "true ", "falsey"};
    bool v;
    for (int i = 0; i < COUNT(YES); i++)
        ck_assert_msg(str_go_bool(str_z(YES[i]), &v) && v, "%s", YES[i]);
    for (int i = 0; i < COUNT(NO); i++)
        ck_assert_msg(str_go_bool(str_z(NO[i]), &v) && !v, "%s", NO[i]);
    for (int i = 0; i < COUNT(NEITHER); i++)
        ck_assert_msg(!str_go_bool(str_z(NEITHER[i]), &v), "%s", NEITHER[i]);
}
END_TEST

static const struct {
    const char *name;
    struct str text;
    bool valid;
} UTF8[] = {
    {"empty", STR_INIT(""), true},
    {"ascii", STR_INIT("abcdefghijklmnopq"), true},
    {"nul", STR_INIT("\0"), true},
    {"two", STR_INIT("\xc2\x80\xdf\xbf"), true},
    {"three", STR_INIT("\xe0\xa0\x80\xef\xbf\xbf"), true},
    {"four", STR_INIT("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf"), true},
    {"behind eight", STR_INIT("12345678\xc3\xa9"), true},
    {"cut", STR_INIT("12345678\xc3"), false},
    {"cut three", STR_INIT("\xe2\x80"), false},
    {"cut four", STR_INIT("\xf0\x90\x80"), false},
    {"bare continuation", STR_INIT("\x80"), false},
    {"overlong two", STR_INIT("\xc0\x80"), false},
    {"overlong three", STR_INIT("\xe0\x9f\xbf"), false},
    {"overlong four", STR_INIT("\xf0\x8f\xbf\xbf"), false},
    {"surrogate", STR_INIT("\xed\xa0\x80"), false},
    {"beyond", STR_INIT("\xf4\x90\x80\x80"), false},
    {"five", STR_INIT("\xf8\x88\x80\x80\x80"), false},
    {"ff", STR_INIT("\xff"), false},
};

START_TEST(str_utf8)
{
    ck_assert_msg(str_utf8_valid(UTF8[_i].text) == UTF8[_i].valid, "%s", UTF8[_i].name);
}
END_TEST

START_TEST(str_dup)
{
    char *z CLEANUP(free_p) = str_dup_z((struct str){"abc", 2});
    ck_assert_str_eq(z, "ab");
    char *empty CLEANUP(free_p) = str_dup_z((struct str){NULL, 0});
    ck_assert_str_eq(empty, "");
}
END_TEST

START_TEST(str_hashes)
{
    char text[64];
    uint64_t seen[65];
    for (size_t n = 0; n <= 64; n++) { /* every length is another text, NULs included */
        memset(text, 0, sizeof(text));
        seen[n] = hash_str(1, (struct str){text, n});
        ck_assert(seen[n] == hash_str(1, (struct str){text, n}));
        ck_assert(seen[n] != hash_str(2, (struct str){text, n}));
        for (size_t m = 0; m < n; m++)
            ck_assert(seen[n] != seen[m]);
    }
    /* one bit of the text moves about half the bits of the hash */
    memset(text, 'a', sizeof(text));
    uint64_t base = hash_str(7, (struct str){text, 20});
    int moved = 0;
    for (int bit = 0; bit < 160; bit++) {
        text[bit / 8] = (char)(text[bit / 8] ^ (1 << (bit % 8)));
        moved += __builtin_popcountll(base ^ hash_str(7, (struct str){text, 20}));
        text[bit / 8] = (char)(text[bit / 8] ^ (1 << (bit % 8)));
    }
    ck_assert_msg(moved > 160 * 28 && moved < 160 * 36, "%d of %d bits", moved, 160 * 64);
}
END_TEST

/* --- arena --- */

START_TEST(arena_gives)
{
    struct arena *a = arena_new(10 << 20);
    ck_assert_ptr_nonnull(a);
    for (int round = 0; round < 3; round++) {
        char *last = NULL;
        size_t sum = 0;
        for (size_t n = 0; n < 3000; n += 7) {
            char *p = arena_alloc(a, n);
            ck_assert_ptr_nonnull(p);
            ck_assert_ptr_ne(p, last);
            ck_assert_uint_eq((uintptr_t)p % _Alignof(max_align_t), 0);
            bool zeroed = true;
            for (size_t i = 0; i < n; i++)
                zeroed = zeroed && p[i] == 0;
            ck_assert(zeroed);
            memset(p, 0xa5, n);
            last = p;
            sum += n;
        }
        char *large = arena_alloc(a, 3 << 20); /* a block of its own, and small ones go on */
        memset(large, 0xa5, 3 << 20);
        ck_assert_ptr_nonnull(arena_alloc(a, 1));
        ck_assert_uint_ge(arena_used(a), sum + (3 << 20));
        struct str copy = arena_str(a, STR("name"));
        ck_str("copy", copy, STR("name"));
        ck_assert_int_eq(copy.p[4], '\0');
        ck_assert_int_eq(arena_str(a, (struct str){NULL, 0}).p[0], '\0');
        uint64_t *array = arena_array(a, 10, sizeof(*array));
        ck_assert(array[0] == 0 && array[9] == 0);
        ck_assert(!arena_failed(a));
        arena_reset(a);
        ck_assert_uint_eq(arena_used(a), 0);
    }
    arena_free(a);
    arena_free(NULL);
}
END_TEST

START_TEST(arena_fails)
{
    struct arena *a = arena_new(1000);
    ck_assert_ptr_nonnull(arena_alloc(a, 1000)); /* exactly full */
    ck_assert_ptr_null(arena_alloc(a, 1));
    ck_assert(arena_failed(a));
    arena_reset(a);
    ck_assert(!arena_failed(a));
    ck_assert_ptr_null(arena_alloc(a, 1001)); /* one too many */
    ck_assert_ptr_null(arena_alloc(a, 1));    /* sticky */
    ck_assert_ptr_null(arena_str(a, STR("a")).p);
    arena_reset(a);
    ck_assert_ptr_null(arena_array(a, SIZE_MAX / 2, 3));
    ck_assert(arena_failed(a));
    arena_reset(a);
    ck_assert_ptr_null(arena_array(a, 3, SIZE_MAX / 2));
    arena_reset(a);
    size_t given = 0;
    while (arena_alloc(a, 7))
        given += 7;
    ck_assert(arena_failed(a) && given <= 1000 && given >= 400);
    arena_free(a);
    a = arena_new(SIZE_MAX); /* more than there is; volatile: gcc would see it coming */
    volatile size_t all = SIZE_MAX;
    ck_assert_ptr_null(arena_alloc(a, all));
    arena_reset(a);
    ck_assert_ptr_null(arena_array(a, all, 1));
    arena_free(a);
    a = arena_new(0);
    ck_assert_ptr_null(arena_alloc(a, 1));
    arena_free(a);
}
END_TEST

/* --- buf --- */

START_TEST(buf_grows)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_add(&b, STR("a"));
    buf_add(&b, (struct str){NULL, 0});
    buf_char(&b, 'b');
    buf_fmt(&b, "-%d-%s", 7, "x");
    buf_int(&b, 0);
    buf_char(&b, ' ');
    buf_int(&b, INT64_MIN);
    buf_char(&b, ' ');
    buf_int(&b, INT64_MAX);
    size_t n = 0;
    char *text CLEANUP(free_p) = buf_take(&b, &n);
    ck_assert_str_eq(text, "ab-7-x0 -9223372036854775808 9223372036854775807");
    ck_assert_uint_eq(n, strlen(text));
    /* the buffer starts anew */
    char long_text[3000];
    memset(long_text, 'y', sizeof(long_text));
    long_text[2999] = '\0';
    for (int i = 0; i < 100; i++)
        buf_fmt(&b, "%s", long_text);
    ck_assert(!b.failed && b.n == 299900);
    buf_done(&b);
    buf_init(&b, 10);
    char *empty CLEANUP(free_p) = buf_take(&b, &n);
    ck_assert_str_eq(empty, "");
    ck_assert_uint_eq(n, 0);
}
END_TEST

START_TEST(buf_fails)
{
    struct buf b;
    size_t n = 7;
    buf_init(&b, 4);
    buf_add(&b, STR("abcd")); /* exactly full */
    ck_assert(!b.failed);
    buf_char(&b, 'e');
    ck_assert(b.failed);
    buf_add(&b, STR(""));
    buf_int(&b, 1);
    buf_fmt(&b, "%d", 1);
    buf_json(&b, STR("a"));
    buf_reserve(&b, 1);
    ck_assert_uint_eq(b.n, 4);
    ck_assert_ptr_null(buf_take(&b, &n));
    ck_assert_uint_eq(n, 7);
    ck_assert_ptr_null(b.p);
    buf_init(&b, 4);
    buf_fmt(&b, "%s", "abcde");
    ck_assert(b.failed);
    buf_done(&b);
    buf_init(&b, 4);
    buf_json(&b, STR("abc"));
    ck_assert(b.failed);
    buf_done(&b);
    buf_init(&b, 5);
    buf_json(&b, STR("abc"));
    ck_assert(!b.failed && b.n == 5);
    buf_done(&b);
    buf_init(&b, SIZE_MAX);
    buf_reserve(&b, SIZE_MAX);
    ck_assert(b.failed);
    buf_done(&b);
    buf_init(&b, 0);
    buf_char(&b, 'a');
    ck_assert(b.failed);
    buf_done(&b);
}
END_TEST

static const struct {
    const char *name;
    struct str in, want;
} JSONS[] = {
    {"empty", STR_INIT(""), STR_INIT("\"\"")},
    {"plain", STR_INIT("node-1"), STR_INIT("\"node-1\"")},
    {"plain 40", STR_INIT("0123456789012345678901234567890123456789"),
     STR_INIT("\"0123456789012345678901234567890123456789\"")},
    {"quotes", STR_INIT("a\"b\\c/"), STR_INIT("\"a\\\"b\\\\c/\"")},
    {"behind 16", STR_INIT("0123456789abcdef\"0123456789abcde<"),
     STR_INIT("\"0123456789abcdef\\\"0123456789abcde\\u003c\"")},
    {"html", STR_INIT("<a>&"), STR_INIT("\"\\u003ca\\u003e\\u0026\"")},
    {"controls", STR_INIT("\0\x01\b\t\n\v\f\r\x1f\x7f"),
     STR_INIT("\"\\u0000\\u0001\\b\\t\\n\\u000b\\f\\r\\u001f\x7f\"")},
    {"utf8", STR_INIT("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
     STR_INIT("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"")},
    {"separators", STR_INIT("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa"),
     STR_INIT("\"\\u2028\\u2029\xe2\x80\xaa\"")},
    {"bad bytes", STR_INIT("a\xff\xc3(\xe2\x80"), STR_INIT("\"a\\ufffd\\ufffd(\\ufffd\\ufffd\"")},
    {"surrogate", STR_INIT("\xed\xa0\x80"), STR_INIT("\"\\ufffd\\ufffd\\ufffd\"")},
};

START_TEST(buf_jsons)
{
    struct buf b;
    buf_init(&b, 1000);
    buf_json(&b, JSONS[_i].in);
    ck_str(JSONS[_i].name, ((struct str){b.p, b.n}), JSONS[_i].want);
    buf_done(&b);
}
END_TEST

/* --- map --- */

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

enum { KEYS = 600 };

/* Random puts, dels and gets against an array. */
START_TEST(map_random)
{
    const char *env = getenv("PROP_SEED");
    uint64_t seed = (uint64_t)_i;
    if (env)
        seed = strtoul(env, NULL, 10);
    uint64_t state = seed;
    static char keys[KEYS][16];
    bool there[KEYS] = {false};
    uint32_t values[KEYS] = {0};
    size_t count = 0;
    struct map *m = map_new(seed, (size_t)_i);
    for (int i = 0; i < KEYS; i++)
        (void)snprintf(keys[i], sizeof(keys[i]), "n%d", i);
    for (int step = 0; step < 20000; step++) {
        /* phases that grow and phases that shrink */
        bool shrink = step / 3000 % 2;
        size_t k = next_random(&state) % KEYS;
        uint64_t what = next_random(&state) % 4;
        struct str key = str_z(keys[k]);
        if (what == 0) {
            uint32_t got = 0;
            bool found = map_get(m, key, &got);
            ck_assert_msg(found == there[k], "PROP_SEED=%" PRIu64 " step %d", seed, step);
            ck_assert_msg(!found || got == values[k], "PROP_SEED=%" PRIu64, seed);
        } else if (shrink ? what > 1 : what > 2) {
            ck_assert_msg(map_del(m, key) == there[k], "PROP_SEED=%" PRIu64, seed);
            count -= there[k];
            there[k] = false;
        } else {
            values[k] = (uint32_t)next_random(&state);
            ck_assert_int_eq(map_put(m, key, values[k]), ERR_OK);
            count += !there[k];
            there[k] = true;
        }
        ck_assert_uint_eq(map_count(m), count);
    }
    struct map *copy = map_clone(m);
    map_free(m);
    for (int i = 0; i < KEYS; i++) {
        uint32_t got = 0;
        bool found = map_get(copy, str_z(keys[i]), &got);
        ck_assert(found == there[i] && (!found || got == values[i]));
    }
    map_free(copy);
}
END_TEST

START_TEST(map_edges)
{
    struct map *m = map_new(3, 0);
    uint32_t got = 9;
    ck_assert(!map_get(m, STR("a"), &got) && got == 9 && !map_del(m, STR("a")));
    ck_assert_int_eq(map_put(m, (struct str){NULL, 0}, 5), ERR_OK); /* the empty key is one */
    ck_assert(map_get(m, STR(""), &got) && got == 5);
    ck_assert_int_eq(map_put(m, STR("a\0b"), UINT32_MAX), ERR_OK);
    ck_assert(map_get(m, STR("a\0b"), &got) && got == UINT32_MAX && !map_get(m, STR("a"), &got));
    /* the key pointer is replaced too: the old bytes may go */
    char first[] = "key", second[] = "key";
    ck_assert_int_eq(map_put(m, str_z(first), 1), ERR_OK);
    ck_assert_int_eq(map_put(m, str_z(second), 2), ERR_OK);
    memset(first, 'x', 3);
    ck_assert(map_get(m, STR("key"), &got) && got == 2);
    ck_assert_uint_eq(map_count(m), 3);
    ck_assert_int_eq(map_put(m, (struct str){first, (size_t)UINT32_MAX + 1}, 1), ERR_TOO_LARGE);
    ck_assert(map_del(m, STR("")) && !map_del(m, STR("")) && map_count(m) == 2);
    map_free(m);
    map_free(NULL);
    ck_assert_ptr_null(map_new(1, SIZE_MAX));
}
END_TEST

/* --- log --- */

/* Runs `act` with stderr in a pipe; the text that came out, without "time=… ". */
static const char *logged(void (*act)(void))
{
    static char out[8192];
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    act();
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t n = read(ends[0], out, sizeof(out) - 1);
    close(ends[0]);
    if (n <= 0)
        return "";
    out[n] = '\0';
    ck_assert_msg(strncmp(out, "time=2", 6) == 0 && out[28] == 'Z' && out[29] == ' ', "%s", out);
    int64_t ns;
    ck_assert(clock_parse_rfc3339((struct str){out + 5, 24}, &ns));
    return out + 30;
}

static void log_plain(void) { log_warn("no more", ""); }
static void log_values(void)
{
    log_error("pod bound", "pod=%s/%s n=%d big=%" PRId64 " u=%zu x=%04x pct=%d%% f=%.2f c=%c", "ns",
              "name", -3, INT64_MIN, (size_t)7, 255u, 50, 1.5, 'z');
}
static void log_widths(void)
{
    log_error("m", "a=%5d b=%-5d| c=%+d d=%03d e=%*d f=%llu g=%lx h=%hhu", 42, 42, 42, 7, 4, 1,
              18446744073709551615ull, 0xfful, (unsigned char)200);
}
static void log_hostile(void)
{
    log_error("m", "a=%s b=\"%s\" c=%s/%s d=%s e=%.*s f=%s", "x y\" level=info\n", "q\" r=\"",
              "p q", "r", "", 2, "abcd", "plain");
}
static void log_null(void)
{
    const char *volatile none = NULL;
    log_error("m", "a=%s b=%.*s", (const char *)none, 0, (const char *)none);
}
static void log_rest(void) { log_error("m", "a=%jd b=%s p=%d 100%%", (intmax_t)-5, "\t\x7f", 1); }
static void log_hidden(void) { log_info(4, "hidden", "a=%d", 1); }
static void log_shown(void) { log_info(0, "shown", "a=%d", 1); }

static const struct {
    const char *name;
    void (*act)(void);
    const char *want;
} LINES[] = {
    {"plain", log_plain, "level=warn msg=\"no more\"\n"},
    {"values", log_values,
     "level=error msg=\"pod bound\" pod=ns/name n=-3 big=-9223372036854775808 u=7 x=00ff pct=50% "
     "f=1.50 c=z\n"},
    {"widths", log_widths,
     "level=error msg=\"m\" a=   42 b=42   | c=+42 d=007 e=   1 f=18446744073709551615 g=ff "
     "h=200\n"},
    {"hostile", log_hostile,
     "level=error msg=\"m\" a=\"x y\\\" level=info\\n\" b=\"q\\\" r=\\\"\" c=p\\x20q/r d=\"\" e=ab "
     "f=plain\n"},
    {"null", log_null, "level=error msg=\"m\" a=(null) b=\"\"\n"},
    {"rest", log_rest, "level=error msg=\"m\" a=-5 b=\"\\t\\x7f\" p=1 100%\n"},
    {"hidden", log_hidden, ""},
    {"shown", log_shown, "level=info msg=\"shown\" a=1\n"},
};

START_TEST(log_lines)
{
    ck_str(LINES[_i].name, str_z(logged(LINES[_i].act)), str_z(LINES[_i].want));
}
END_TEST

static void log_long(void)
{
    char text[4000];
    for (size_t i = 0; i + 1 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    text[sizeof(text) - 2] = '\0';
    log_error("m", "a=%s b=1", text);
}

START_TEST(log_cuts)
{
    const char *line = logged(log_long);
    size_t n = strlen(line) + 30;
    ck_assert_uint_le(n, 2048);
    ck_assert_uint_gt(n, 2030);
    ck_assert(str_utf8_valid(str_z(line)));
    ck_assert(str_has_suffix(str_z(line), STR("\xe2\x80\xa6\n")));
}
END_TEST

START_TEST(log_counts_losses)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    ck_assert_int_ge(full, 0);
    int saved = dup(STDERR_FILENO);
    uint64_t before = log_lost();
    dup2(full, STDERR_FILENO);
    errno = EDOM;
    log_warn("lost", "");
    int after = errno;
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(full);
    ck_assert_uint_eq(log_lost(), before + 1);
    ck_assert_int_eq(after, EDOM);
}
END_TEST

/* A pipe that nobody empties: the lines that find no room are left out at once, and the next one
 * that is written says how many. A test that waits here runs into its time limit. */
START_TEST(a_log_that_nobody_reads_stops_nobody)
{
    int ends[2];
    static char out[1 << 17];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    log_warn("first", ""); /* says what other tests have lost, and is thrown away */
    ck_assert_int_gt(read(ends[0], out, sizeof(out)), 0);
    uint64_t before = log_lost();
    for (int i = 0; i < 2000; i++)
        log_warn("many", "text=%064d", i);
    uint64_t n = log_lost() - before;
    size_t got = 0;
    ck_assert_int_eq(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    for (ssize_t piece; (piece = read(ends[0], out + got, sizeof(out) - got)) > 0;)
        got += (size_t)piece;
    bool whole = got > 0 && out[got - 1] == '\n';
    log_warn("again", "");
    log_warn("and again", "");
    ssize_t end = read(ends[0], out, sizeof(out) - 1);
    dup2(saved, STDERR_FILENO);
    close(saved);
    close(ends[0]);
    ck_assert_uint_gt(n, 0);
    ck_assert_uint_lt(n, 2000);
    ck_assert_msg(whole, "a line was cut");
    ck_assert_int_gt(end, 0);
    out[end] = '\0';
    char want[64];
    (void)snprintf(want, sizeof(want), "msg=\"log lines lost\" lines=%llu\n",
                   (unsigned long long)n);
    const char *told = strstr(out, want), *again = strstr(out, "msg=\"again\"\n");
    ck_assert_msg(told && again && told < again, "want %s, got %s", want, out);
    ck_assert_ptr_null(strstr(again, "lost")); /* said once */
}
END_TEST

/* The reader is gone: no signal either (the program ignores it, but nothing here relies on that).
 */
START_TEST(a_log_without_a_reader_is_counted)
{
    int ends[2];
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    int saved = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    close(ends[0]);
    uint64_t before = log_lost();
    log_warn("nobody", "");
    log_warn("still nobody", "");
    uint64_t after = log_lost();
    close(STDERR_FILENO);
    log_warn("not even open", "");
    uint64_t closed = log_lost();
    dup2(saved, STDERR_FILENO);
    close(saved);
    ck_assert_uint_eq(after, before + 2);
    ck_assert_uint_eq(closed, after + 1);
}
END_TEST

void check_base_str(Suite *suite)
{
    TCase *tc = tcase_create("str");
    tcase_add_test(tc, err_texts);
    tcase_add_test(tc, err_lengths);
    tcase_add_test(tc, err_classes);
    tcase_add_test(tc, str_compares);
    tcase_add_loop_test(tc, str_trims, 0, COUNT(TRIMS));
    tcase_add_loop_test(tc, str_splits, 0, COUNT(SPLITS));
    tcase_add_loop_test(tc, str_ints, 0, COUNT(INTS));
    tcase_add_test(tc, str_bools);
    tcase_add_loop_test(tc, str_utf8, 0, COUNT(UTF8));
    tcase_add_test(tc, str_dup);
    tcase_add_test(tc, str_hashes);
    tcase_add_test(tc, arena_gives);
    tcase_add_test(tc, arena_fails);
    tcase_add_test(tc, buf_grows);
    tcase_add_test(tc, buf_fails);
    tcase_add_loop_test(tc, buf_jsons, 0, COUNT(JSONS));
    tcase_add_loop_test(tc, map_random, 0, 8);
    tcase_add_test(tc, map_edges);
    tcase_add_loop_test(tc, log_lines, 0, COUNT(LINES));
    tcase_add_test(tc, log_cuts);
    tcase_add_test(tc, log_counts_losses);
    tcase_add_test(tc, a_log_that_nobody_reads_stops_nobody);
    tcase_add_test(tc, a_log_without_a_reader_is_counted);
    suite_add_tcase(suite, tc);
}
