/* The one reader of JSON from outside: walks the bytes, builds no tree. Used for request bodies,
 * list items, watch lines and annotations. Total: every byte sequence ends in values or in a fault,
 * within the depth limit.
 *
 *     struct scan s = scan_start(text, depth_max, arena);
 *     if (scan_object(&s))
 *         while (scan_key(&s, &key)) {
 *             if (str_eq(key, STR("name"))) scan_string(&s, &name);
 *             else scan_skip(&s);
 *         }
 *     if (scan_end(&s)) …   // nothing but white space was left and nothing failed
 *
 * A fault is sticky: afterwards every function returns false and moves nothing, so one look at the
 * end is enough. Duplicate keys are handed out as they stand: last assignment wins, as in Go's
 * decoder. Keys are handed out unescaped; callers that must match as Go's encoding/json does
 * (extender bodies) use str_eq_fold. */
#ifndef CARDINAL_BASE_SCAN_H
#define CARDINAL_BASE_SCAN_H

#include "base/err.h"
#include "base/str.h"

#define SCAN_DEPTH_MAX 64 /* hard bound of depth_max */

enum scan_type {
    SCAN_FAULT, /* also: end of text */
    SCAN_OBJECT,
    SCAN_ARRAY,
    SCAN_STRING,
    SCAN_NUMBER,
    SCAN_TRUE,
    SCAN_FALSE,
    SCAN_NULL
};

struct scan {
    const char *p, *end, *start;
    struct arena *arena;  /* for strings with escapes; may be NULL: such strings are a fault then */
    const char *fault;    /* constant text, NULL while all is well */
    const char *fault_at; /* where */
    unsigned depth, depth_max;
    bool first[SCAN_DEPTH_MAX + 1]; /* no member of this level was handed out yet */
};

struct scan scan_start(struct str text, unsigned depth_max, struct arena *arena);
enum scan_type
scan_peek(struct scan *s);        /* type of the value that comes next; consumes white space only */
bool scan_object(struct scan *s); /* consumes '{'; anything else is a fault */
bool scan_array(struct scan *s);  /* consumes '[' */
bool scan_key(struct scan *s,
              struct str *ret_key); /* next member up to its value; false after '}' or on a fault */
bool scan_item(struct scan *s);     /* next element; false after ']' or on a fault */
/* Strings are checked as UTF-8 and borrowed from the text, or from the arena where they hold
 * escapes. */
bool scan_string(struct scan *s, struct str *ret);
bool scan_int(
    struct scan *s,
    int64_t *ret); /* an integer literal within int64; fractions and exponents are faults */
bool scan_bool(struct scan *s, bool *ret);
bool scan_null(struct scan *s); /* consumes a null if one comes next; no fault otherwise */
bool scan_skip(struct scan *s); /* any value, checked for syntax and depth */
bool scan_raw(struct scan *s, struct str *ret); /* the same, and its bytes */
bool scan_end(struct scan *s);                  /* only white space is left: true, else fault */
bool scan_fail(
    struct scan *s,
    const char *why); /* the caller's own fault (wrong type, out of range); returns false */
/* Fills err with "<what>: <fault> at byte N"; ERR_BAD_REQUEST, or ERR_NO_MEMORY when the arena was
 * full. Only after a fault. */
enum err_code scan_err(const struct scan *s, const char *what, struct err *err);

/* Splits a byte stream into JSON values as it arrives, for list pages and watch lines. Feed pieces
 * of any size. It splits and does not check: an item that is an object or array may hold garbage
 * between its brackets, which the scan of the handler refuses. What lies between items, scalar
 * items and the rest are checked (ERR_BAD_REQUEST). */
struct scan_stream;
enum scan_stream_mode {
    SCAN_STREAM_LINES, /* one value after the other: watch */
    SCAN_STREAM_LIST /* one object; each element of its "items" is handed out, the rest as one value
                        at the end */
};
struct scan_stream_handler {
    /* `value` is borrowed for the call. Anything but ERR_OK ends the stream with that code. */
    enum err_code (*item)(void *ctx, struct str value, struct err *err);
    /* LIST only: the object's other members ("metadata" …) as an object of their own, after the
     * last item. */
    enum err_code (*rest)(void *ctx, struct str value, struct err *err);
    void *ctx;
    /* An item of more than item_max bytes: its first bytes, at most 4 KiB, when all of it has
     * passed. NULL: such an item ends the stream with ERR_TOO_LARGE. */
    enum err_code (*large)(void *ctx, struct str head, struct err *err);
};
/* item_max: bytes of one value; of larger ones only the head is kept. A rest beyond 256 KiB ends
 * the stream with ERR_TOO_LARGE. Each function of the handler may be NULL. `handler` is copied.
 * NULL: no memory. */
struct scan_stream *scan_stream_new(enum scan_stream_mode mode, size_t item_max,
                                    const struct scan_stream_handler *handler);
void scan_stream_free(struct scan_stream *st);
MUST_USE enum err_code scan_stream_feed(struct scan_stream *st, struct str piece, struct err *err);
/* The stream ended: ERR_UNKNOWN when it ended inside a value (a cut connection). */
MUST_USE enum err_code scan_stream_finish(struct scan_stream *st, struct err *err);

#endif
