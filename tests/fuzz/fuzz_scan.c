/* JSON readers against each other. The pull functions and scan_skip accept the same texts; what was
 * read, written by buf_json and read again, is the same; the splitter gives the same values however
 * the bytes are cut, and every value that the scanner takes as a whole. */
#include "base/scan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DEPTH = 32, INPUT_MAX = 1 << 16, ARENA_MAX = 1 << 20, OUT_MAX = 16 << 20, SMALL_MAX = 16 };

/* Reads one value by the pull functions and writes it to `out` in a normal form. Recursion is
 * bounded by DEPTH. */
static void copy_value(struct scan *s, struct buf *out, unsigned level)
{
    assert(level <= DEPTH + 1);
    struct str text;
    int64_t number;
    bool truth;
    bool first = true;
    switch (scan_peek(s)) {
    case SCAN_FAULT:
        return;
    case SCAN_OBJECT:
        if (!scan_object(s))
            return;
        buf_char(out, '{');
        while (scan_key(s, &text)) {
            if (!first)
                buf_char(out, ',');
            first = false;
            assert(str_utf8_valid(text));
            buf_json(out, text);
            buf_char(out, ':');
            copy_value(s, out, level + 1);
        }
        buf_char(out, '}');
        return;
    case SCAN_ARRAY:
        if (!scan_array(s))
            return;
        buf_char(out, '[');
        while (scan_item(s)) {
            if (!first)
                buf_char(out, ',');
            first = false;
            copy_value(s, out, level + 1);
        }
        buf_char(out, ']');
        return;
    case SCAN_STRING:
        if (scan_string(s, &text)) {
            assert(str_utf8_valid(text));
            buf_json(out, text);
        }
        return;
    case SCAN_NUMBER: {
        struct scan before = *s;
        if (scan_int(s, &number)) {
            buf_int(out, number);
            return;
        }
        *s = before; /* no integer, or a large one: as it stands */
        if (scan_raw(s, &text))
            buf_add(out, text);
        return;
    }
    case SCAN_TRUE:
    case SCAN_FALSE:
        if (scan_bool(s, &truth))
            buf_add(out, truth ? STR("true") : STR("false"));
        return;
    case SCAN_NULL:
        if (scan_null(s))
            buf_add(out, STR("null"));
        else
            (void)scan_fail(s, "no null");
        return;
    }
}

/* The normal form of a text, malloc'ed; NULL when it is none. */
static char *normal(struct str text, size_t *ret_n)
{
    struct arena *arena = arena_new(ARENA_MAX);
    assert(arena);
    struct buf out;
    buf_init(&out, OUT_MAX);
    struct scan s = scan_start(text, DEPTH, arena);
    copy_value(&s, &out, 1);
    bool ok = scan_end(&s);
    bool memory = arena_failed(arena);
    struct err err;
    if (!ok) {
        enum err_code rc = scan_err(&s, "text", &err);
        assert(rc == (memory ? ERR_NO_MEMORY : ERR_BAD_REQUEST));
        assert(s.fault_at >= s.start && s.fault_at <= s.end);
    }
    arena_free(arena);
    if (!memory) {
        struct scan skip = scan_start(text, DEPTH, NULL);
        bool skipped = scan_skip(&skip) && scan_end(&skip);
        assert(skipped == ok);
    }
    if (!ok) {
        buf_done(&out);
        return NULL;
    }
    return buf_take(&out, ret_n);
}

static enum err_code seen_item(void *ctx, struct str value, struct err *err)
{
    (void)err;
    struct buf *out = ctx;
    buf_add(out, value);
    buf_char(out, '\n');
    return ERR_OK;
}

static enum err_code seen_rest(void *ctx, struct str value, struct err *err)
{
    struct buf *out = ctx;
    buf_add(out, STR("rest "));
    return seen_item(ctx, value, err);
}

static enum err_code seen_large(void *ctx, struct str head, struct err *err)
{
    struct buf *out = ctx;
    buf_add(out, STR("large "));
    assert(head.n == SMALL_MAX);
    return seen_item(ctx, head, err);
}

/* Splits the text in pieces of `step` bytes; what came out, and how it ended, as a malloc'ed text.
 */
static char *split(struct str text, enum scan_stream_mode mode, size_t item_max, size_t step,
                   enum err_code *ret_rc, size_t *ret_n)
{
    struct buf out;
    buf_init(&out, OUT_MAX);
    struct scan_stream_handler handler = {
        .item = seen_item, .rest = seen_rest, .ctx = &out, .large = seen_large};
    struct scan_stream *st = scan_stream_new(mode, item_max, &handler);
    assert(st);
    struct err err;
    enum err_code rc = ERR_OK;
    for (size_t at = 0; at < text.n && rc == ERR_OK; at += step) {
        size_t n = text.n - at < step ? text.n - at : step;
        rc = scan_stream_feed(st, (struct str){text.p + at, n}, &err);
    }
    if (rc == ERR_OK)
        rc = scan_stream_finish(st, &err);
    scan_stream_free(st);
    *ret_rc = rc;
    return buf_take(&out, ret_n);
}

static void check_split(struct str text, enum scan_stream_mode mode, size_t item_max, bool valid)
{
    static const size_t STEPS[] = {1, 2, 3, 7, 16, 33};
    enum err_code want_rc, got_rc;
    size_t want_n, got_n;
    char *want = split(text, mode, item_max, text.n ? text.n : 1, &want_rc, &want_n);
    assert(want);
    if (valid && mode == SCAN_STREAM_LINES &&
        item_max > INPUT_MAX) { /* a whole value is one item */
        while (text.n > 0 && strchr(" \t\r\n", text.p[0]))
            text = (struct str){text.p + 1, text.n - 1};
        size_t value_n = text.n;
        while (value_n > 0 && strchr(" \t\r\n", text.p[value_n - 1]))
            value_n--;
        assert(want_rc == ERR_OK);
        assert(want_n == value_n + 1 && memcmp(want, text.p, value_n) == 0);
    }
    for (size_t i = 0; i < sizeof(STEPS) / sizeof(STEPS[0]); i++) {
        char *got = split(text, mode, item_max, STEPS[i], &got_rc, &got_n);
        assert(got);
        assert(got_rc == want_rc);
        assert(got_n == want_n && memcmp(got, want, got_n) == 0);
        free(got);
    }
    free(want);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX)
        return 0;
    struct str text = {(const char *)data, size};
    size_t n = 0, again_n = 0;
    char *once = normal(text, &n);
    if (once) {
        char *again = normal((struct str){once, n}, &again_n);
        assert(again);
        assert(again_n == n && memcmp(again, once, n) == 0);
        free(again);
    }
    check_split(text, SCAN_STREAM_LINES, (size_t)1 << 20, once != NULL);
    check_split(text, SCAN_STREAM_LIST, (size_t)1 << 20, once != NULL);
    check_split(text, SCAN_STREAM_LINES, SMALL_MAX, once != NULL);
    check_split(text, SCAN_STREAM_LIST, SMALL_MAX, once != NULL);
    free(once);
    return 0;
}
