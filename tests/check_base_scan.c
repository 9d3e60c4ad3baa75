/* The pull scanner and the stream splitter. Texts stand in heap blocks of exactly their size, so
 * that a read behind them is seen by AddressSanitizer. */
#include "check_base.h"

#include "base/own.h"
#include "base/scan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH = 8 };

static char *exact(struct str s)
{
    char *p = malloc(s.n ? s.n : 1);
    ck_assert_ptr_nonnull(p);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return p;
}

/* Takes any value by the pull functions. */
static void walk(struct scan *s)
{
    struct str text;
    bool truth;
    int64_t number;
    switch (scan_peek(s)) {
    case SCAN_OBJECT:
        if (scan_object(s))
            while (scan_key(s, &text))
                walk(s);
        break;
    case SCAN_ARRAY:
        if (scan_array(s))
            while (scan_item(s))
                walk(s);
        break;
    case SCAN_STRING:
        (void)scan_string(s, &text);
        break;
    case SCAN_NUMBER: {
        struct scan before = *s;
        if (!scan_int(s, &number)) {
            *s = before;
            (void)scan_skip(s);
        }
        break;
    }
    case SCAN_TRUE:
    case SCAN_FALSE:
        (void)scan_bool(s, &truth);
        break;
    case SCAN_NULL:
        if (!scan_null(s))
            (void)scan_fail(s, "no null");
        break;
    case SCAN_FAULT:
        break;
    }
}

static bool walks(struct str text)
{
    struct arena *arena = arena_new(1 << 20);
    struct scan s = scan_start(text, DEPTH, arena);
    walk(&s);
    bool ok = scan_end(&s);
    ck_assert(ok == (s.fault == NULL));
    ck_assert(ok || (s.fault_at >= s.start && s.fault_at <= s.end));
    arena_free(arena);
    return ok;
}

static bool skips(struct str text)
{
    struct scan s = scan_start(text, DEPTH, NULL);
    return scan_skip(&s) && scan_end(&s);
}

static const struct str VALID[] = {
    STR_INIT("{}"),
    STR_INIT("[]"),
    STR_INIT(" { } "),
    STR_INIT("\t\r\n[ 1 , 2 ]\n"),
    STR_INIT("\"\""),
    STR_INIT("\"0123456789abcdef0123456789abcdef\""),
    STR_INIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\\ud83d\\uDEAD\""),
    STR_INIT("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f\""),
    STR_INIT("[0,-0,1,-1,1.5,-0.25,1e5,1E+5,1e-5,10,9223372036854775808]"),
    STR_INIT("[true,false,null]"),
    STR_INIT("{\"a\":{\"b\":[{\"c\":\"}]\"},[],{}]},\"d\":[[[1]]]}"),
    STR_INIT("{\"a\":1,\"a\":2}"),
    STR_INIT("{\"Pod\":{\"metadata\":{\"name\":\"p\",\"annotations\":{\"k\":\"[\\\"x\\\"]\"}}},"
             "\"NodeNames\":[\"node-0001\",\"node-0002\"]}"),
    STR_INIT("[[[[[[[[1]]]]]]]]"), /* exactly DEPTH */
};

START_TEST(scan_valid)
{
    struct str text = VALID[_i];
    char *p CLEANUP(free_p) = exact(text);
    ck_assert_msg(walks((struct str){p, text.n}), STR_FMT, STR_ARG(text));
    ck_assert_msg(skips((struct str){p, text.n}), STR_FMT, STR_ARG(text));
}
END_TEST

/* What is cut short is refused, wherever the cut is, by both ways of reading. */
START_TEST(scan_truncated)
{
    struct str text = VALID[_i];
    size_t end = text.n; /* white space behind the value may go */
    while (strchr(" \n", text.p[end - 1]))
        end--;
    for (size_t n = 0; n < end; n++) {
        char *p CLEANUP(free_p) = exact((struct str){text.p, n});
        ck_assert_msg(!walks((struct str){p, n}), "%.*s: taken", (int)n, text.p);
        ck_assert_msg(!skips((struct str){p, n}), "%.*s: skipped", (int)n, text.p);
    }
}
END_TEST

static const struct {
    struct str text;
    size_t at;
} INVALID[] = {
    {STR_INIT(""), 0},
    {STR_INIT("  "), 2},
    {STR_INIT("\xef\xbb\xbf{}"), 0}, /* no byte order mark */
    {STR_INIT("}"), 0},
    {STR_INIT("]"), 0},
    {STR_INIT(","), 0},
    {STR_INIT("x"), 0},
    {STR_INIT("{,}"), 1},
    {STR_INIT("{\"a\"}"), 4},
    {STR_INIT("{\"a\":}"), 5},
    {STR_INIT("{\"a\":1,}"), 7},
    {STR_INIT("{\"a\":1 \"b\":2}"), 7},
    {STR_INIT("{\"a\":1]"), 6},
    {STR_INIT("{1:2}"), 1},
    {STR_INIT("{a:2}"), 1},
    {STR_INIT("[,]"), 1},
    {STR_INIT("[1,]"), 3},
    {STR_INIT("[1 2]"), 3},
    {STR_INIT("[1}"), 2},
    {STR_INIT("[1,,2]"), 3},
    {STR_INIT("1 2"), 2},
    {STR_INIT("{} {}"), 3},
    {STR_INIT("[]]"), 2},
    {STR_INIT("01"), 0},
    {STR_INIT("-01"), 1},
    {STR_INIT("-"), 1},
    {STR_INIT("+1"), 0},
    {STR_INIT(".5"), 0},
    {STR_INIT("1."), 2},
    {STR_INIT("1.e5"), 2},
    {STR_INIT("1e"), 2},
    {STR_INIT("1e+"), 3},
    {STR_INIT("1x"), 1},
    {STR_INIT("0x10"), 1},
    {STR_INIT("1.5.5"), 3},
    {STR_INIT("NaN"), 0},
    {STR_INIT("Infinity"), 0},
    {STR_INIT("tru"), 0},
    {STR_INIT("truE"), 0},
    {STR_INIT("truex"), 4},
    {STR_INIT("nul"), 0},
    {STR_INIT("fals3"), 0},
    {STR_INIT("'a'"), 0},
    {STR_INIT("\"a\nb\""), 2},
    {STR_INIT("\"\x1f\""), 1},
    {STR_INIT("\"\0\""), 1},
    {STR_INIT("\"\\x41\""), 1},
    {STR_INIT("\"\\u12g4\""), 1},
    {STR_INIT("\"\\u123\""), 1},
    {STR_INIT("\"\\\""), 3},
    {STR_INIT("\"\xff\""), 1},
    {STR_INIT("\"\xc0\x80\""), 1},
    {STR_INIT("\"\xed\xa0\x80\""), 1},
    {STR_INIT("\"0123456789abcdef\xe2\x82\""), 17},
    {STR_INIT("[1]\0"), 3},
    {STR_INIT("/**/1"), 0},
    {STR_INIT("\v1"), 0},
    {STR_INIT("[[[[[[[[[1]]]]]]]]]"), 8}, /* one level too many */
    {STR_INIT("[[[[[[[[{}]]]]]]]]"), 8},
};

START_TEST(scan_invalid)
{
    struct str text = INVALID[_i].text;
    char *p CLEANUP(free_p) = exact(text);
    ck_assert_msg(!walks((struct str){p, text.n}), STR_FMT ": taken", STR_ARG(text));
    ck_assert_msg(!skips((struct str){p, text.n}), STR_FMT ": skipped", STR_ARG(text));
    struct scan s = scan_start((struct str){p, text.n}, DEPTH, NULL);
    (void)(scan_skip(&s) && scan_end(&s));
    ck_assert_msg((size_t)(s.fault_at - s.start) == INVALID[_i].at, STR_FMT ": %s at %zu",
                  STR_ARG(text), s.fault, (size_t)(s.fault_at - s.start));
}
END_TEST

static const struct {
    const char *name;
    struct str in, want;
} STRINGS[] = {
    {"short escapes", STR_INIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), STR_INIT("\"\\/\b\f\n\r\t")},
    {"one to three bytes", STR_INIT("\"\\u0041\\u00e9\\u20AC\""),
     STR_INIT("A\xc3\xa9\xe2\x82\xac")},
    {"nul", STR_INIT("\"a\\u0000b\""), STR_INIT("a\0b")},
    {"pair", STR_INIT("\"\\ud83d\\ude00\""), STR_INIT("\xf0\x9f\x98\x80")},
    {"largest pair", STR_INIT("\"\\udbff\\udfff\""), STR_INIT("\xf4\x8f\xbf\xbf")},
    {"smallest pair", STR_INIT("\"\\ud800\\udc00\""), STR_INIT("\xf0\x90\x80\x80")},
    {"high alone", STR_INIT("\"\\ud83d\""), STR_INIT("\xef\xbf\xbd")},
    {"high, text", STR_INIT("\"\\ud83dx\""), STR_INIT("\xef\xbf\xbdx")},
    {"high, other escape", STR_INIT("\"\\ud83d\\n\""), STR_INIT("\xef\xbf\xbd\n")},
    {"high, no surrogate", STR_INIT("\"\\ud83d\\u0041\""),
     STR_INIT("\xef\xbf\xbd"
              "A")},
    {"high, pair", STR_INIT("\"\\ud83d\\ud83d\\ude00\""), STR_INIT("\xef\xbf\xbd\xf0\x9f\x98\x80")},
    {"low alone", STR_INIT("\"\\ude00\""), STR_INIT("\xef\xbf\xbd")},
    {"low, high", STR_INIT("\"\\ude00\\ud83d\""), STR_INIT("\xef\xbf\xbd\xef\xbf\xbd")},
    {"mixed", STR_INIT("\"0123456789abcdefg\\nhij\xc3\xa9\\tk\""),
     STR_INIT("0123456789abcdefg\nhij\xc3\xa9\tk")},
    {"plain", STR_INIT("\"node-1\""), STR_INIT("node-1")},
    {"empty", STR_INIT("\"\""), STR_INIT("")},
};

START_TEST(scan_strings)
{
    struct arena *arena = arena_new(1000);
    struct scan s = scan_start(STRINGS[_i].in, 1, arena);
    struct str got;
    ck_assert_msg(scan_string(&s, &got) && scan_end(&s), "%s: %s", STRINGS[_i].name, s.fault);
    ck_str(STRINGS[_i].name, got, STRINGS[_i].want);
    bool escapes = memchr(STRINGS[_i].in.p, '\\', STRINGS[_i].in.n) != NULL;
    bool borrowed = got.p == STRINGS[_i].in.p + 1;
    ck_assert_msg(borrowed == !escapes, "%s: borrowed", STRINGS[_i].name);
    arena_free(arena);
}
END_TEST

/* Every length and every place of a byte that ends a plain run, around the steps of sixteen. */
START_TEST(scan_string_lengths)
{
    for (size_t n = 0; n < 70; n++)
        for (size_t at = 0; at <= n; at++) {
            char text[80];
            memset(text, 'a', sizeof(text));
            text[0] = '"';
            text[n + 1] = '"';
            if (at < n)
                text[at + 1] = '\x01';
            char *p CLEANUP(free_p) = exact((struct str){text, n + 2});
            struct scan s = scan_start((struct str){p, n + 2}, 1, NULL);
            struct str got;
            bool ok = scan_string(&s, &got) && scan_end(&s);
            ck_assert(ok == (at == n));
            ck_assert(ok ? got.n == n : s.fault_at == p + at + 1);
        }
}
END_TEST

START_TEST(scan_string_memory)
{
    struct err err;
    struct str got = STR("kept");
    struct scan s = scan_start(STR("\"a\\n\""), 1, NULL);
    ck_assert(!scan_string(&s, &got));
    ck_assert_int_eq(scan_err(&s, "name", &err), ERR_BAD_REQUEST);
    struct arena *arena = arena_new(2);
    s = scan_start(STR("\"a\\n\""), 1, arena);
    ck_assert(!scan_string(&s, &got));
    ck_assert_int_eq(scan_err(&s, "name", &err), ERR_NO_MEMORY);
    ck_assert(arena_failed(arena));
    ck_str("untouched", got, STR("kept"));
    arena_free(arena);
}
END_TEST

static const struct {
    const char *text;
    bool ok;
    int64_t want;
} NUMBERS[] = {
    {"0", true, 0},
    {"-0", true, 0},
    {" 42 ", true, 42},
    {"9223372036854775807", true, INT64_MAX},
    {"-9223372036854775808", true, INT64_MIN},
    {"9223372036854775808", false, 0},
    {"-9223372036854775809", false, 0},
    {"1.0", false, 0},
    {"1e2", false, 0},
    {"\"1\"", false, 0},
    {"null", false, 0},
    {"true", false, 0},
    {"-", false, 0},
    {"", false, 0},
};

START_TEST(scan_ints)
{
    struct scan s = scan_start(str_z(NUMBERS[_i].text), 1, NULL);
    int64_t v = 7;
    ck_assert_msg(scan_int(&s, &v) == NUMBERS[_i].ok, "%s", NUMBERS[_i].text);
    ck_assert_int_eq(v, NUMBERS[_i].ok ? NUMBERS[_i].want : 7);
    ck_assert(scan_end(&s) == NUMBERS[_i].ok);
}
END_TEST

START_TEST(scan_by_hand)
{
    struct str text =
        STR(" {\"name\" : \"n\" , \"x\":[1, {\"y\":null}], \"on\":true,\"raw\" : {\"a\": [] } } ");
    struct str key, name = {0}, raw = {0};
    bool on = false;
    int nulls = 0;
    struct scan s = scan_start(text, 4, NULL);
    ck_assert_int_eq(scan_peek(&s), SCAN_OBJECT);
    ck_assert(!scan_null(&s)); /* no fault */
    ck_assert(scan_object(&s));
    while (scan_key(&s, &key)) {
        if (str_eq(key, STR("name"))) {
            ck_assert_int_eq(scan_peek(&s), SCAN_STRING);
            ck_assert(scan_string(&s, &name));
        } else if (str_eq(key, STR("x"))) {
            ck_assert(scan_array(&s));
            int64_t v = 0;
            ck_assert(scan_item(&s) && scan_int(&s, &v) && v == 1);
            ck_assert(scan_item(&s) && scan_object(&s));
            while (scan_key(&s, &key))
                nulls += scan_null(&s);
            ck_assert(!scan_item(&s));
        } else if (str_eq(key, STR("on"))) {
            ck_assert(scan_bool(&s, &on));
        } else if (str_eq(key, STR("raw"))) {
            ck_assert(scan_raw(&s, &raw));
        } else {
            ck_assert(scan_skip(&s));
        }
    }
    ck_assert(scan_end(&s));
    ck_str("name", name, STR("n"));
    ck_str("raw", raw, STR("{\"a\": [] }"));
    ck_assert(on && nulls == 1);
}
END_TEST

START_TEST(scan_faults_stick)
{
    struct scan s = scan_start(STR("{\"a\":1,\"b\":2}"), 4, NULL);
    struct str key = {0};
    struct err err;
    int64_t v;
    bool b;
    ck_assert(scan_object(&s) && scan_key(&s, &key));
    ck_assert(!scan_array(&s)); /* another type */
    const char *at = s.p, *fault = s.fault;
    ck_assert_int_eq(scan_peek(&s), SCAN_FAULT);
    ck_assert(!scan_int(&s, &v) && !scan_skip(&s) && !scan_key(&s, &key) && !scan_item(&s) &&
              !scan_object(&s) && !scan_string(&s, &key) && !scan_bool(&s, &b) && !scan_null(&s) &&
              !scan_raw(&s, &key) && !scan_end(&s) && !scan_fail(&s, "later"));
    ck_assert(s.p == at && s.fault == fault);
    ck_assert_int_eq(scan_err(&s, "body", &err), ERR_BAD_REQUEST);
    ck_assert_str_eq(err.text, "body: expected an array at byte 5");

    s = scan_start(STR("[3]"), 4, NULL);
    ck_assert(scan_array(&s) && scan_item(&s) && scan_int(&s, &v));
    ck_assert(!scan_fail(&s, "out of range") && !scan_item(&s) && !scan_end(&s));
    (void)scan_err(&s, "list", &err);
    ck_assert_str_eq(err.text, "list: out of range at byte 2");

    s = scan_start(STR("[[]]"), 4, NULL); /* stopping early is seen */
    ck_assert(scan_array(&s) && !scan_end(&s));
    s = scan_start(STR("{\"a\":1,\"b\":2}"), 4, NULL); /* and so is a forgotten value */
    ck_assert(scan_object(&s) && scan_key(&s, &key) && !scan_key(&s, &key) && s.fault);
    s = scan_start(STR("[1]"), 0, NULL);
    ck_assert(!scan_array(&s));
    s = scan_start(STR("1"), 0, NULL);
    ck_assert(scan_skip(&s) && scan_end(&s));
    s = scan_start((struct str){NULL, 0}, 1, NULL);
    ck_assert(scan_end(&s));
}
END_TEST

START_TEST(scan_deepest)
{
    char text[2 * (SCAN_DEPTH_MAX + 1)];
    for (unsigned n = SCAN_DEPTH_MAX; n <= SCAN_DEPTH_MAX + 1; n++) {
        memset(text, '[', n);
        memset(text + n, ']', n);
        struct scan s = scan_start((struct str){text, 2 * (size_t)n}, SCAN_DEPTH_MAX, NULL);
        ck_assert((scan_skip(&s) && scan_end(&s)) == (n == SCAN_DEPTH_MAX));
        s = scan_start((struct str){text, 2 * (size_t)n}, SCAN_DEPTH_MAX, NULL);
        walk(&s);
        ck_assert(scan_end(&s) == (n == SCAN_DEPTH_MAX));
    }
    /* depth that was left counts no more; skip within levels counts both */
    struct scan s = scan_start(STR("[[[1]],[[2]],[[[3]]]]"), 3, NULL);
    ck_assert(scan_array(&s) && scan_item(&s) && scan_skip(&s) && scan_item(&s) && scan_skip(&s));
    ck_assert(scan_item(&s) && !scan_skip(&s));
    ck_assert_str_eq(s.fault, "nested too deeply");
}
END_TEST

/* --- the splitter --- */

struct split {
    struct buf out; /* what came, one a line; "rest " in front of the rest */
    int stop_after; /* items until the handler has enough; -1: never */
    bool large;     /* what is too large is left out */
};

static enum err_code on_item(void *ctx, struct str value, struct err *err)
{
    struct split *sp = ctx;
    if (sp->stop_after == 0)
        return err_set(err, ERR_CANCELLED, "enough");
    sp->stop_after--;
    char *copy CLEANUP(free_p) = exact(value);
    buf_add(&sp->out, (struct str){copy, value.n});
    buf_char(&sp->out, '\n');
    return ERR_OK;
}

static enum err_code on_rest(void *ctx, struct str value, struct err *err)
{
    struct split *sp = ctx;
    (void)err;
    buf_add(&sp->out, STR("rest "));
    buf_add(&sp->out, value);
    buf_char(&sp->out, '\n');
    return ERR_OK;
}

static enum err_code on_large(void *ctx, struct str head, struct err *err)
{
    struct split *sp = ctx;
    buf_add(&sp->out, STR("large "));
    return on_item(ctx, head, err);
}

/* Feeds [0, a), [a, b), [b, n) and says how it ended. */
static enum err_code split3(struct split *sp, enum scan_stream_mode mode, size_t item_max,
                            struct str text, size_t a, size_t b, struct err *err)
{
    buf_init(&sp->out, 1 << 20);
    struct scan_stream_handler handler = {
        .item = on_item, .rest = on_rest, .ctx = sp, .large = sp->large ? on_large : NULL};
    struct scan_stream *st = scan_stream_new(mode, item_max, &handler);
    ck_assert_ptr_nonnull(st);
    struct str pieces[] = {{text.p, a}, {text.p + a, b - a}, {text.p + b, text.n - b}};
    enum err_code rc = ERR_OK;
    for (int i = 0; i < 3 && rc == ERR_OK; i++) {
        char *copy CLEANUP(free_p) =
            exact(pieces[i]); /* gone after the call: nothing may point there */
        rc = scan_stream_feed(st, (struct str){copy, pieces[i].n}, err);
    }
    if (rc == ERR_OK)
        rc = scan_stream_finish(st, err);
    else /* and it stays ended */
        ck_assert_int_eq(scan_stream_feed(st, STR("{}"), NULL), rc);
    scan_stream_free(st);
    return rc;
}

#define SLASHES "\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\" /* sixteen, in pairs */

static const struct {
    const char *name;
    enum scan_stream_mode mode;
    struct str text;
    enum err_code rc;
    const char *want;
} STREAMS[] = {
    /* clang-format off */
    { "list", SCAN_STREAM_LIST,
      STR_INIT("{\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[{\"a\":\"}]\\\"\"},{\"items\":[1,2]}]}\n"),
      ERR_OK, "{\"a\":\"}]\\\"\"}\n{\"items\":[1,2]}\nrest {\"kind\":\"NodeList\",\"metadata\":{\"resourceVersion\":\"7\"}}\n" },
    { "items first, spaces", SCAN_STREAM_LIST,
      STR_INIT(" { \"items\" : [ { \"a\" : 1 } , { } ] , \"metadata\" : { \"items\" : [ 3 ] } , \"n\" : 1 } "),
      ERR_OK, "{ \"a\" : 1 }\n{ }\nrest {\"metadata\":{ \"items\" : [ 3 ] },\"n\":1}\n" },
    { "items between", SCAN_STREAM_LIST, STR_INIT("{\"a\":true,\"items\":[{}],\"b\":null}"),
      ERR_OK, "{}\nrest {\"a\":true,\"b\":null}\n" },
    { "items only", SCAN_STREAM_LIST, STR_INIT("{\"items\":[{}]}"), ERR_OK, "{}\nrest {}\n" },
    { "no items", SCAN_STREAM_LIST, STR_INIT("{\"items\":[],\"a\":1}"), ERR_OK, "rest {\"a\":1}\n" },
    { "null items", SCAN_STREAM_LIST, STR_INIT("{\"a\":1,\"items\":null}"), ERR_OK, "rest {\"a\":1}\n" },
    { "null items first", SCAN_STREAM_LIST, STR_INIT("{\"items\":null,\"a\":1}"), ERR_OK, "rest {\"a\":1}\n" },
    { "status", SCAN_STREAM_LIST, STR_INIT("{\"kind\":\"Status\",\"code\":410}"), ERR_OK, "rest {\"kind\":\"Status\",\"code\":410}\n" },
    { "empty object", SCAN_STREAM_LIST, STR_INIT("{}"), ERR_OK, "rest {}\n" },
    { "items of all kinds", SCAN_STREAM_LIST, STR_INIT("{\"items\":[1,-2.5e+3,\"a]\\\\\",true,null,[[]],{}]}"),
      ERR_OK, "1\n-2.5e+3\n\"a]\\\\\"\ntrue\nnull\n[[]]\n{}\nrest {}\n" },
    { "another key with a quote", SCAN_STREAM_LIST, STR_INIT("{\"it\\\"ems\":[1]}"), ERR_OK, "rest {\"it\\\"ems\":[1]}\n" },
    { "list cut", SCAN_STREAM_LIST, STR_INIT("{\"items\":[{},{}"), ERR_UNKNOWN, "{}\n{}\n" },
    { "list cut in item", SCAN_STREAM_LIST, STR_INIT("{\"items\":[{},{\"a"), ERR_UNKNOWN, "{}\n" },
    { "list cut at the end", SCAN_STREAM_LIST, STR_INIT("{\"items\":[{}]"), ERR_UNKNOWN, "{}\n" },
    { "list empty", SCAN_STREAM_LIST, STR_INIT(""), ERR_UNKNOWN, "" },
    { "list of blanks", SCAN_STREAM_LIST, STR_INIT(" \n"), ERR_UNKNOWN, "" },
    { "text", SCAN_STREAM_LIST, STR_INIT("not found\n"), ERR_BAD_REQUEST, "" },
    { "array", SCAN_STREAM_LIST, STR_INIT("[]"), ERR_BAD_REQUEST, "" },
    { "items object", SCAN_STREAM_LIST, STR_INIT("{\"items\":{}}"), ERR_BAD_REQUEST, "" },
    { "items string", SCAN_STREAM_LIST, STR_INIT("{\"items\":\"\"}"), ERR_BAD_REQUEST, "" },
    { "items nul", SCAN_STREAM_LIST, STR_INIT("{\"items\":nul}"), ERR_BAD_REQUEST, "" },
    { "items twice", SCAN_STREAM_LIST, STR_INIT("{\"items\":[],\"items\":[]}"), ERR_BAD_REQUEST, "" },
    { "no colon", SCAN_STREAM_LIST, STR_INIT("{\"items\"[]}"), ERR_BAD_REQUEST, "" },
    { "no key", SCAN_STREAM_LIST, STR_INIT("{1:2}"), ERR_BAD_REQUEST, "" },
    { "comma first", SCAN_STREAM_LIST, STR_INIT("{,}"), ERR_BAD_REQUEST, "" },
    { "comma last", SCAN_STREAM_LIST, STR_INIT("{\"a\":1,}"), ERR_BAD_REQUEST, "" },
    { "item comma first", SCAN_STREAM_LIST, STR_INIT("{\"items\":[,1]}"), ERR_BAD_REQUEST, "" },
    { "item comma last", SCAN_STREAM_LIST, STR_INIT("{\"items\":[1,]}"), ERR_BAD_REQUEST, "1\n" },
    { "items without comma", SCAN_STREAM_LIST, STR_INIT("{\"items\":[{}{}]}"), ERR_BAD_REQUEST, "{}\n" },
    { "items closed wrongly", SCAN_STREAM_LIST, STR_INIT("{\"items\":[{}}"), ERR_BAD_REQUEST, "{}\n" },
    { "item closed wrongly", SCAN_STREAM_LIST, STR_INIT("{\"items\":[{\"a\":[}]}]}"), ERR_BAD_REQUEST, "{\"a\":[}]\n" },
    { "item with garbage", SCAN_STREAM_LIST, STR_INIT("{\"items\":[{\"a\"]x}]}"), ERR_BAD_REQUEST, "{\"a\"]\n" },
    { "item of many blocks", SCAN_STREAM_LIST,
      STR_INIT("{\"items\":[{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\",\"b\":[{},{\"c\":\"\\\\\\\"}\"}],"
               "\"d\":\"" SLASHES SLASHES SLASHES "\"},7]}"),
      ERR_OK,
      "{\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\",\"b\":[{},{\"c\":\"\\\\\\\"}\"}],"
      "\"d\":\"" SLASHES SLASHES SLASHES "\"}\n7\nrest {}\n" },
    { "bad scalar item", SCAN_STREAM_LIST, STR_INIT("{\"items\":[trux]}"), ERR_BAD_REQUEST, "" },
    { "bad rest", SCAN_STREAM_LIST, STR_INIT("{\"a\":{\"b\" 1}}"), ERR_BAD_REQUEST, "" },
    { "bad rest scalar", SCAN_STREAM_LIST, STR_INIT("{\"a\":01}"), ERR_BAD_REQUEST, "" },
    { "member without value", SCAN_STREAM_LIST, STR_INIT("{\"a\":}"), ERR_BAD_REQUEST, "" },
    { "something behind", SCAN_STREAM_LIST, STR_INIT("{\"items\":[]}{}"), ERR_BAD_REQUEST, "rest {}\n" },
    { "lines", SCAN_STREAM_LINES, STR_INIT("{\"type\":\"ADDED\",\"object\":{\"a\":[\"\\\\\",\"{\"]}}\n{\"type\":\"X\"}\r\n\n{}"),
      ERR_OK, "{\"type\":\"ADDED\",\"object\":{\"a\":[\"\\\\\",\"{\"]}}\n{\"type\":\"X\"}\n{}\n" },
    { "lines side by side", SCAN_STREAM_LINES, STR_INIT("{}[]\"a\"1 2"), ERR_OK, "{}\n[]\n\"a\"\n1\n2\n" },
    { "lines: nothing", SCAN_STREAM_LINES, STR_INIT(""), ERR_OK, "" },
    { "lines: last number", SCAN_STREAM_LINES, STR_INIT("12"), ERR_OK, "12\n" },
    { "lines: last number bad", SCAN_STREAM_LINES, STR_INIT("1-"), ERR_BAD_REQUEST, "" },
    { "lines cut", SCAN_STREAM_LINES, STR_INIT("{}\n{\"a\":"), ERR_UNKNOWN, "{}\n" },
    { "lines cut in string", SCAN_STREAM_LINES, STR_INIT("{}\n\"a\\"), ERR_UNKNOWN, "{}\n" },
    { "lines: comma", SCAN_STREAM_LINES, STR_INIT("{},{}"), ERR_BAD_REQUEST, "{}\n" },
    { "lines: text", SCAN_STREAM_LINES, STR_INIT("error"), ERR_BAD_REQUEST, "" },
    { "lines: bad string", SCAN_STREAM_LINES, STR_INIT("\"\\x\""), ERR_BAD_REQUEST, "" },
    /* clang-format on */
};

/* The same items and the same end wherever two cuts are. */
START_TEST(stream_cuts)
{
    struct str text = STREAMS[_i].text;
    for (size_t a = 0; a <= text.n; a++)
        for (size_t b = a; b <= text.n; b += b < a + 3 ? 1 : 7) {
            struct split sp = {.stop_after = -1};
            struct err err;
            enum err_code rc = split3(&sp, STREAMS[_i].mode, 1000, text, a, b, &err);
            ck_assert_msg(rc == STREAMS[_i].rc, "%s, cut %zu %zu: want %d, got %d",
                          STREAMS[_i].name, a, b, STREAMS[_i].rc, rc);
            ck_str(STREAMS[_i].name, ((struct str){sp.out.p, sp.out.n}), str_z(STREAMS[_i].want));
            buf_done(&sp.out);
        }
}
END_TEST

START_TEST(stream_bytewise)
{
    struct str text = STREAMS[_i].text;
    struct split sp = {.stop_after = -1};
    buf_init(&sp.out, 1 << 20);
    struct scan_stream_handler handler = {.item = on_item, .rest = on_rest, .ctx = &sp};
    struct scan_stream *st = scan_stream_new(STREAMS[_i].mode, 1000, &handler);
    enum err_code rc = ERR_OK;
    for (size_t i = 0; i < text.n && rc == ERR_OK; i++)
        rc = scan_stream_feed(st, (struct str){text.p + i, 1}, NULL);
    if (rc == ERR_OK)
        rc = scan_stream_finish(st, NULL);
    ck_assert_int_eq(rc, STREAMS[_i].rc);
    ck_str(STREAMS[_i].name, ((struct str){sp.out.p, sp.out.n}), str_z(STREAMS[_i].want));
    scan_stream_free(st);
    buf_done(&sp.out);
}
END_TEST

START_TEST(stream_limits)
{
    struct err err;
    struct str text = STR("{\"items\":[{\"a\":1},{\"b\":12}]}"); /* items of 7 and 8 bytes */
    for (size_t max = 6; max <= 8; max++)
        for (size_t a = 0; a <= text.n; a++) {
            struct split sp = {.stop_after = -1};
            enum err_code rc = split3(&sp, SCAN_STREAM_LIST, max, text, a, a, &err);
            ck_assert_int_eq(rc, max == 8 ? ERR_OK : ERR_TOO_LARGE);
            ck_str("items", ((struct str){sp.out.p, sp.out.n}),
                   max == 6   ? STR("")
                   : max == 7 ? STR("{\"a\":1}\n")
                              : STR("{\"a\":1}\n{\"b\":12}\nrest {}\n"));
            buf_done(&sp.out);
        }
    /* an endless item is not gathered beyond its limit, an endless head neither */
    struct split sp = {.stop_after = -1};
    buf_init(&sp.out, 100);
    struct scan_stream_handler handler = {.item = on_item, .rest = on_rest, .ctx = &sp};
    static const char *const HEADS[] = {"{\"items\":[\"", "{\"a\":\"", "{\""};
    for (int i = 0; i < COUNT(HEADS); i++) {
        struct scan_stream *st = scan_stream_new(SCAN_STREAM_LIST, 5000, &handler);
        ck_assert_int_eq(scan_stream_feed(st, str_z(HEADS[i]), &err), ERR_OK);
        int fed = 0;
        enum err_code rc = ERR_OK;
        while (rc == ERR_OK && fed++ < 10000)
            rc = scan_stream_feed(
                st, STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), &err);
        ck_assert_int_eq(rc, ERR_TOO_LARGE);
        scan_stream_free(st);
    }
    buf_done(&sp.out);
}
END_TEST

/* One that is too large is left out, wherever the pieces are cut; all others come. */
START_TEST(stream_large_items)
{
    static const struct {
        enum scan_stream_mode mode;
        struct str text;
        const char *want;
    } ROWS[] = {
        {SCAN_STREAM_LIST,
         STR_INIT("{\"items\":[{\"a\":1},{\"b\":\"\\\"}]\"},12345678,[3],\"45678x\",{}],\"k\":1}"),
         "{\"a\":1}\nlarge {\"b\":\"\\\nlarge 1234567\n[3]\nlarge \"45678x\n{}\nrest {\"k\":1}\n"},
        {SCAN_STREAM_LINES, STR_INIT("{\"a\":1}\n{\"b\":[{},2]}\n{\"c\":3}\n12345678"),
         "{\"a\":1}\nlarge {\"b\":[{\n{\"c\":3}\nlarge 1234567\n"},
    };
    struct err err;
    for (int i = 0; i < COUNT(ROWS); i++)
        for (size_t a = 0; a <= ROWS[i].text.n; a++)
            for (size_t b = a; b <= ROWS[i].text.n; b++) {
                struct split sp = {.stop_after = -1, .large = true};
                ck_assert_int_eq(split3(&sp, ROWS[i].mode, 7, ROWS[i].text, a, b, &err), ERR_OK);
                ck_str("items", ((struct str){sp.out.p, sp.out.n}), str_z(ROWS[i].want));
                buf_done(&sp.out);
            }
    /* a large one among small ones, of which some are as large as may be */
    enum { MAX = 3 << 20, STEP = 60000 };
    struct buf text;
    buf_init(&text, 5 * MAX);
    static const int SIZES[] = {10, MAX, 10, 2 * MAX, 10, MAX, 10};
    buf_add(&text, STR("{\"items\":["));
    for (int i = 0; i < COUNT(SIZES); i++)
        buf_fmt(&text, "%s\"%0*d\"", i ? "," : "", SIZES[i] - 2, i);
    buf_add(&text, STR("]}"));
    struct split sp = {.stop_after = -1, .large = true};
    buf_init(&sp.out, 5 * MAX);
    struct scan_stream_handler handler = {
        .item = on_item, .rest = on_rest, .ctx = &sp, .large = on_large};
    struct scan_stream *st = scan_stream_new(SCAN_STREAM_LIST, MAX, &handler);
    for (size_t at = 0; at < text.n; at += STEP) {
        struct str piece = {text.p + at, text.n - at < STEP ? text.n - at : STEP};
        ck_assert_int_eq(scan_stream_feed(st, piece, &err), ERR_OK);
    }
    ck_assert_int_eq(scan_stream_finish(st, &err), ERR_OK);
    scan_stream_free(st);
    const size_t ends = strlen("large rest {}\n"), newlines = 7;
    ck_assert_uint_eq(sp.out.n, 4 * 10 + 2 * (size_t)MAX + 4096 + ends + newlines);
    buf_done(&sp.out);
    buf_done(&text);
}
END_TEST

START_TEST(stream_handler_ends)
{
    struct err err;
    struct str text = STR("{\"items\":[{},{},{}]}");
    struct split sp = {.stop_after = 2};
    ck_assert_int_eq(split3(&sp, SCAN_STREAM_LIST, 100, text, 3, 12, &err), ERR_CANCELLED);
    ck_str("two", ((struct str){sp.out.p, sp.out.n}), STR("{}\n{}\n"));
    buf_done(&sp.out);
    /* handlers may be absent */
    struct scan_stream_handler none = {0};
    struct scan_stream *st = scan_stream_new(SCAN_STREAM_LIST, 100, &none);
    ck_assert_int_eq(scan_stream_feed(st, text, &err), ERR_OK);
    ck_assert_int_eq(scan_stream_finish(st, &err), ERR_OK);
    scan_stream_free(st);
    scan_stream_free(NULL);
}
END_TEST

void check_base_scan(Suite *suite)
{
    TCase *tc = tcase_create("scan");
    tcase_set_timeout(tc, 60); /* under sanitizers on a busy machine */
    tcase_add_loop_test(tc, scan_valid, 0, COUNT(VALID));
    tcase_add_loop_test(tc, scan_truncated, 0, COUNT(VALID));
    tcase_add_loop_test(tc, scan_invalid, 0, COUNT(INVALID));
    tcase_add_loop_test(tc, scan_strings, 0, COUNT(STRINGS));
    tcase_add_test(tc, scan_string_lengths);
    tcase_add_test(tc, scan_string_memory);
    tcase_add_loop_test(tc, scan_ints, 0, COUNT(NUMBERS));
    tcase_add_test(tc, scan_by_hand);
    tcase_add_test(tc, scan_faults_stick);
    tcase_add_test(tc, scan_deepest);
    tcase_add_loop_test(tc, stream_cuts, 0, COUNT(STREAMS));
    tcase_add_loop_test(tc, stream_bytewise, 0, COUNT(STREAMS));
    tcase_add_test(tc, stream_limits);
    tcase_add_test(tc, stream_large_items);
    tcase_add_test(tc, stream_handler_ends);
    suite_add_tcase(suite, tc);
}
