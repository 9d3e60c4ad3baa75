/* The splitter of list pages and watch streams. It does not parse: it follows strings and brackets
 * only, finds where values end, and hands them out, so that it runs near the speed of memory; what
 * is inside a value is checked by the scan of whoever gets it. A value that lies in one piece is
 * handed out where it lies; only one cut by the border of pieces is copied. The members beside
 * "items" are few and small and are collected, checked, and handed out at the end as one object. */
#include "base/scan.h"

#include "base/bytes.h"
#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* kind, apiVersion and metadata of a list; a Status object. A continue token has some hundred
       bytes */
    REST_MAX = 256 * 1024,
    HEAD_MAX = 4096,         /* kept of an item that is too large: who it is stands in front */
    ITEM_KEPT = 1024 * 1024, /* room that is kept for the next item */
};

enum state {
    LINE_VALUE,    /* LINES: between values */
    LIST_START,    /* LIST: in front of '{' */
    LIST_KEY_1ST,  /* a key, or '}' */
    LIST_KEY,      /* a key */
    LIST_COLON,    /* behind a key */
    LIST_MEMBER,   /* in front of a member's value */
    LIST_ITEM_1ST, /* behind '[' */
    LIST_ITEM,     /* in front of an item */
    LIST_ITEM_END, /* ',' or ']' */
    LIST_NEXT,     /* behind a member's value: ',' or '}' */
    LIST_DONE,     /* only white space */
    IN_VALUE       /* inside a value; `target` and `after` tell what for */
};

enum target { TARGET_ITEM, TARGET_REST, TARGET_KEY, TARGET_NO_ITEMS };

enum kind { KIND_CONTAINER, KIND_STRING, KIND_SCALAR };

/* Where a value goes on when the next piece comes. */
struct inside {
    enum kind kind;
    uint64_t depth;
    bool in_string, escaped; /* escaped: the next byte stands behind a backslash */
};

struct scan_stream {
    enum scan_stream_mode mode;
    size_t item_max;
    struct scan_stream_handler handler;
    enum state state, after; /* after: the state behind the present value */
    enum target target;
    struct inside in;
    struct buf item;   /* the beginning of a value that pieces cut */
    bool large;        /* the present item is too large: `item` is its head, the rest is not kept */
    struct buf rest;   /* "{" and the members so far */
    size_t key_at;     /* where in rest the present key starts */
    bool items_member; /* the present key is "items" */
    bool items_seen;
    uint64_t seen;       /* bytes of earlier pieces */
    enum err_code ended; /* not ERR_OK: nothing more is taken */
};

struct scan_stream *scan_stream_new(enum scan_stream_mode mode, size_t item_max,
                                    const struct scan_stream_handler *handler)
{
    struct scan_stream *st = malloc(sizeof(*st));
    if (!st)
        return NULL;
    *st = (struct scan_stream){.mode = mode, .item_max = item_max, .handler = *handler};
    st->state = mode == SCAN_STREAM_LIST ? LIST_START : LINE_VALUE;
    buf_init(&st->item, item_max);
    buf_init(&st->rest, REST_MAX);
    return st;
}

void scan_stream_free(struct scan_stream *st)
{
    if (!st)
        return;
    buf_done(&st->item);
    buf_done(&st->rest);
    free(st);
}

static bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

/* A byte of a number or a literal. */
static bool is_scalar(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' ||
           c == 'E';
}

/* Marks the bytes that stand behind an escaping backslash. `n` bytes of the block count; *escaped
 * says whether the first one is such a byte, and afterwards whether the byte behind the block is.
 */
static uint64_t escaped_bytes(uint64_t backslash, unsigned n, bool *escaped)
{
    uint64_t marks = *escaped;
    *escaped = false;
    for (uint64_t left = backslash & ~marks; left != 0;) {
        unsigned i = (unsigned)__builtin_ctzll(left);
        if (i + 1 >= n) {
            *escaped = true;
            break;
        }
        marks |= UINT64_C(2) << i;
        left &= ~(UINT64_C(3) << i); /* the byte behind may be a backslash that escapes nothing */
    }
    return marks;
}

/* Every bit becomes the parity of itself and all lower ones: what lies between pairs of quotes is
 * set. */
static uint64_t prefix_xor(uint64_t x)
{
    for (unsigned shift = 1; shift < 64; shift *= 2)
        x ^= x << shift;
    return x;
}

/* Follows brackets from *p to behind the container's last one: true, or to the end of the piece:
 * false. Sixty-four bytes a step; where the depth can't reach zero within a step, counting the
 * brackets is enough. */
static bool walk_container(struct inside *in, const char **p_io, const char *end)
{
    const char *p = *p_io;
    while (p < end) {
        unsigned n = end - p < 64 ? (unsigned)(end - p) : 64;
        struct bytes_block block;
        if (n == 64) {
            block = bytes_block(p);
        } else {
            char padded[64] = {0};
            memcpy(padded, p, n);
            block = bytes_block(padded);
        }
        if (block.backslash != 0 || in->escaped)
            block.quote &= ~escaped_bytes(block.backslash, n, &in->escaped);
        uint64_t strings = prefix_xor(block.quote) ^ (in->in_string ? UINT64_MAX : 0);
        in->in_string = strings >> 63;
        uint64_t open = block.open & ~strings, close = block.close & ~strings;
        uint64_t opened = (uint64_t)__builtin_popcountll(open);
        uint64_t closed = (uint64_t)__builtin_popcountll(close);
        if (in->depth > closed) {
            in->depth += opened - closed;
            p += n;
            continue;
        }
        for (uint64_t both = open | close; both != 0; both &= both - 1) {
            if (both & -both & open) {
                in->depth++;
            } else if (--in->depth == 0) {
                *p_io = p + __builtin_ctzll(both) + 1;
                return true;
            }
        }
        p += n;
    }
    *p_io = p;
    return false;
}

/* The same for a string, from its opening quote on. */
static bool walk_string(struct inside *in, const char **p_io, const char *end)
{
    const char *p = *p_io;
    while (p < end) {
        if (in->escaped || !in->in_string) {
            in->escaped = false;
            in->in_string = true; /* the first byte is the opening quote */
            p++;
            continue;
        }
        p = bytes_find_quote(p, end);
        if (p == end)
            break;
        if (*p++ == '"') {
            *p_io = p;
            return true;
        }
        in->escaped = true;
    }
    *p_io = p;
    return false;
}

static bool walk_scalar(const char **p_io, const char *end)
{
    while (*p_io < end && is_scalar(**p_io))
        ++*p_io;
    return *p_io < end;
}

/* Goes on from *p; true when the value is over. */
static bool walk(struct inside *in, const char **p_io, const char *end)
{
    switch (in->kind) {
    case KIND_CONTAINER:
        return walk_container(in, p_io, end);
    case KIND_STRING:
        return walk_string(in, p_io, end);
    case KIND_SCALAR:
        break;
    }
    return walk_scalar(p_io, end);
}

static enum err_code end_with(struct scan_stream *st, enum err_code code)
{
    st->ended = code;
    return code;
}

static enum err_code bad(struct scan_stream *st, const char *why, uint64_t at, struct err *err)
{
    return end_with(
        st, err_set(err, ERR_BAD_REQUEST, "stream: %s at byte %llu", why, (unsigned long long)at));
}

/* A value starts at byte c, which is not consumed. False when none starts like this. */
static bool start_value(struct scan_stream *st, char c, enum target target, enum state after)
{
    st->in = (struct inside){0};
    st->large = false;
    if (c == '{' || c == '[')
        st->in.kind = KIND_CONTAINER;
    else if (c == '"')
        st->in.kind = KIND_STRING;
    else if (c == '-' || (c >= '0' && c <= '9') || c == 't' || c == 'f' || c == 'n')
        st->in.kind = KIND_SCALAR;
    else
        return false;
    st->target = target;
    st->after = after;
    st->state = IN_VALUE;
    return true;
}

/* Grammar of values that nobody else checks. */
static bool checks(struct str value)
{
    struct scan s = scan_start(value, SCAN_DEPTH_MAX, NULL);
    return scan_skip(&s) && scan_end(&s);
}

static enum err_code too_large(struct scan_stream *st, struct err *err)
{
    return end_with(
        st, err_set(err, ERR_TOO_LARGE, "stream: a value of more than %zu bytes", st->item_max));
}

static enum err_code hand_out(struct scan_stream *st, struct str value, uint64_t at,
                              struct err *err)
{
    if (st->large)
        return end_with(st, st->handler.large(st->handler.ctx, value, err));
    if (st->in.kind != KIND_CONTAINER && !checks(value))
        return bad(st, "no JSON value", at, err);
    if (!st->handler.item)
        return ERR_OK;
    return end_with(st, st->handler.item(st->handler.ctx, value, err));
}

/* Adds to the item or to the rest: a rest past its cap is the sender's fault, no memory is ours. */
static enum err_code gather(struct scan_stream *st, struct buf *b, struct str part, struct err *err)
{
    buf_add(b, part);
    if (!b->failed)
        return ERR_OK;
    if (part.n <= b->max - b->n)
        return end_with(st, err_set(err, ERR_NO_MEMORY, "stream: no memory"));
    return end_with(
        st, err_set(err, ERR_TOO_LARGE, "stream: a list's head of more than %zu bytes", b->max));
}

/* Room of one large item is not kept for all the small ones behind it. */
static void slim(struct scan_stream *st)
{
    if (st->item.cap <= ITEM_KEPT)
        return;
    buf_done(&st->item);
    buf_init(&st->item, st->item_max);
}

/* Of an item beyond the bound the head is enough: one sender's object must not end the stream for
 * all the others. */
static enum err_code keep_head(struct scan_stream *st, struct str part, struct err *err)
{
    size_t max = st->item_max < HEAD_MAX ? st->item_max : HEAD_MAX, n = st->item.n;
    char head[HEAD_MAX];
    if (!st->handler.large || st->target != TARGET_ITEM)
        return too_large(st, err);
    st->large = true;
    n = n < max ? n : max;
    if (n > 0)
        memcpy(head, st->item.p, n);
    st->item.n = 0;
    slim(st);
    part.n = part.n < max - n ? part.n : max - n;
    enum err_code rc = gather(st, &st->item, (struct str){head, n}, err);
    return rc ? rc : gather(st, &st->item, part, err);
}

/* Keeps the part of a value that this piece holds. Members of the rest are always kept, items only
 * when cut. */
static enum err_code keep(struct scan_stream *st, struct str part, struct err *err)
{
    if (st->target == TARGET_REST || st->target == TARGET_KEY)
        return gather(st, &st->rest, part, err);
    if (st->large)
        return ERR_OK;
    if (part.n > st->item_max - st->item.n)
        return keep_head(st, part, err);
    return gather(st, &st->item, part, err);
}

/* The rest of a value is `tail`: everything it is wanted for happens here. */
static enum err_code value_over(struct scan_stream *st, struct str tail, uint64_t at,
                                struct err *err)
{
    st->state = st->after;
    switch (st->target) {
    case TARGET_REST:
        return ERR_OK; /* collected already */
    case TARGET_KEY: {
        struct str key = {st->rest.p + st->key_at, st->rest.n - st->key_at};
        st->items_member = str_eq(key, STR("\"items\""));
        if (!st->items_member)
            return ERR_OK;
        if (st->items_seen)
            return bad(st, "a second \"items\"", at, err);
        st->items_seen = true;
        /* not a part of the rest, and neither is the comma in front of it */
        st->rest.n = st->key_at > 1 ? st->key_at - 1 : st->key_at;
        return ERR_OK;
    }
    case TARGET_ITEM:
    case TARGET_NO_ITEMS:
        break;
    }
    enum err_code rc = ERR_OK;
    struct str value = tail;
    if (st->item.n > 0 || tail.n > st->item_max) {
        rc = keep(st, tail, err);
        if (rc)
            return rc;
        value = (struct str){st->item.p, st->item.n};
    }
    st->item.n = 0; /* its bytes stay where they are while it is handed out */
    if (st->target == TARGET_ITEM)
        rc = hand_out(st, value, at, err);
    else if (!str_eq(value, STR("null")))
        rc = bad(st, "\"items\" is no array", at, err);
    slim(st);
    return rc;
}

/* IN_VALUE, from *p on. */
static enum err_code step_value(struct scan_stream *st, const char **p_io, const char *end,
                                uint64_t at, struct err *err)
{
    const char *from = *p_io;
    bool over = walk(&st->in, p_io, end);
    struct str part = {from, (size_t)(*p_io - from)};
    at += part.n;
    if (!over || st->target == TARGET_REST || st->target == TARGET_KEY) {
        enum err_code rc = keep(st, part, err);
        if (rc)
            return rc;
        part.n = 0;
    }
    return over ? value_over(st, part, at, err) : ERR_OK;
}

/* The list's '}' was read: hands out the rest. */
static enum err_code list_over(struct scan_stream *st, uint64_t at, struct err *err)
{
    enum err_code rc = gather(st, &st->rest, STR("}"), err);
    if (rc)
        return rc;
    st->state = LIST_DONE;
    struct str rest = {st->rest.p, st->rest.n};
    if (!checks(rest))
        return bad(st, "a list's members are no JSON", at, err);
    if (!st->handler.rest)
        return ERR_OK;
    return end_with(st, st->handler.rest(st->handler.ctx, rest, err));
}

/* The text of a rest: "{" first, commas between members. */
static enum err_code start_key(struct scan_stream *st, struct err *err)
{
    enum err_code rc = ERR_OK;
    if (st->rest.n > 1)
        rc = gather(st, &st->rest, STR(","), err);
    if (rc)
        return rc;
    st->key_at = st->rest.n;
    (void)start_value(st, '"', TARGET_KEY, LIST_COLON);
    return ERR_OK;
}

/* In front of the value of a member: at *p, which is consumed when it opens the items. */
static enum err_code start_member(struct scan_stream *st, const char **p_io, uint64_t at,
                                  struct err *err)
{
    char c = **p_io;
    if (st->items_member && c == '[') {
        st->state = LIST_ITEM_1ST;
        ++*p_io;
        return ERR_OK;
    }
    if (st->items_member && c != 'n')
        return bad(st, "\"items\" is no array", at, err);
    enum target target = st->items_member ? TARGET_NO_ITEMS : TARGET_REST;
    if (!start_value(st, c, target, LIST_NEXT))
        return bad(st, "a member without a value", at, err);
    return st->items_member ? ERR_OK : gather(st, &st->rest, STR(":"), err);
}

/* One byte that is neither white space nor inside a value: at *p, consumed where it is not the
 * start of a value. */
static enum err_code step_between(struct scan_stream *st, const char **p_io, uint64_t at,
                                  struct err *err)
{
    char c = **p_io;
    enum state next = st->state;
    switch (st->state) {
    case LINE_VALUE:
        return start_value(st, c, TARGET_ITEM, LINE_VALUE) ? ERR_OK
                                                           : bad(st, "no JSON value", at, err);
    case LIST_START:
        if (c != '{')
            return bad(st, "no object", at, err);
        if (gather(st, &st->rest, STR("{"), err))
            return st->ended;
        next = LIST_KEY_1ST;
        break;
    case LIST_KEY_1ST:
    case LIST_KEY:
        if (c == '"')
            return start_key(st, err);
        if (c != '}' || st->state == LIST_KEY)
            return bad(st, "expected a member", at, err);
        ++*p_io;
        return list_over(st, at, err);
    case LIST_COLON:
        if (c != ':')
            return bad(st, "expected ':'", at, err);
        next = LIST_MEMBER;
        break;
    case LIST_MEMBER:
        return start_member(st, p_io, at, err);
    case LIST_ITEM_1ST:
        if (c == ']') {
            next = LIST_NEXT;
            break;
        }
        /* fall through */
    case LIST_ITEM:
        return start_value(st, c, TARGET_ITEM, LIST_ITEM_END) ? ERR_OK
                                                              : bad(st, "no item", at, err);
    case LIST_ITEM_END:
        if (c != ',' && c != ']')
            return bad(st, "expected ',' or ']'", at, err);
        next = c == ',' ? LIST_ITEM : LIST_NEXT;
        break;
    case LIST_NEXT:
        if (c == '}') {
            ++*p_io;
            return list_over(st, at, err);
        }
        if (c != ',')
            return bad(st, "expected ',' or '}'", at, err);
        next = LIST_KEY;
        break;
    case LIST_DONE:
        return bad(st, "something follows the list", at, err);
    case IN_VALUE:
        break; /* not called then */
    }
    st->state = next;
    ++*p_io;
    return ERR_OK;
}

static enum err_code ended_before(const struct scan_stream *st, struct err *err)
{
    return err_set(err, st->ended, "stream: it ended before with %s", err_class(st->ended)->name);
}

enum err_code scan_stream_feed(struct scan_stream *st, struct str piece, struct err *err)
{
    if (st->ended)
        return ended_before(st, err);
    const char *p = piece.p, *end = piece.n ? piece.p + piece.n : piece.p;
    while (p < end) {
        uint64_t at = st->seen + (uint64_t)(p - piece.p);
        enum err_code rc = ERR_OK;
        if (st->state == IN_VALUE)
            rc = step_value(st, &p, end, at, err);
        else if (is_space(*p))
            p++;
        else
            rc = step_between(st, &p, at, err);
        if (rc)
            return rc;
    }
    st->seen += piece.n;
    return ERR_OK;
}

enum err_code scan_stream_finish(struct scan_stream *st, struct err *err)
{
    if (st->ended)
        return ended_before(st, err);
    if (st->state == IN_VALUE && st->mode == SCAN_STREAM_LINES && st->in.kind == KIND_SCALAR) {
        /* nothing but the end tells that a number is over */
        enum err_code rc = value_over(st, STR(""), st->seen, err);
        if (rc)
            return rc;
    }
    if (st->state == LINE_VALUE || st->state == LIST_DONE)
        return ERR_OK;
    return end_with(st, err_set(err, ERR_UNKNOWN, "stream: it was cut at byte %llu",
                                (unsigned long long)st->seen));
}
