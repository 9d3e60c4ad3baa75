/* The pull scanner: one pass over the bytes, every byte checked once. Strings are the bulk of every
 * input, so their plain stretches are walked by bytes.h; the rest is plain code. Nothing here
 * recurses: nesting is a counter, and scan_skip remembers object or array in one bit a level. */
#include "base/scan.h"

#include "base/bytes.h"
#include "base/utf8.h"
#include <assert.h>
#include <string.h>

static const char FAULT_MEMORY[] = "no memory left for a string";

_Static_assert(SCAN_DEPTH_MAX <= 64, "scan_skip keeps a bit a level in 64 bits");

struct scan scan_start(struct str text, unsigned depth_max, struct arena *arena)
{
    assert(depth_max <= SCAN_DEPTH_MAX);
    const char *p = text.p ? text.p : "";
    struct scan s;
    s.p = s.start = p;
    s.end = p + text.n;
    s.arena = arena;
    s.fault = s.fault_at = NULL;
    s.depth = 0;
    s.depth_max = depth_max;
    s.first[0] = true; /* the other levels are set when they are entered */
    return s;
}

static bool fail_at(struct scan *s, const char *at, const char *why)
{
    if (!s->fault) {
        s->fault = why;
        s->fault_at = at;
    }
    return false;
}

bool scan_fail(struct scan *s, const char *why) { return fail_at(s, s->p, why); }

enum err_code scan_err(const struct scan *s, const char *what, struct err *err)
{
    assert(s->fault);
    return err_set(err, s->fault == FAULT_MEMORY ? ERR_NO_MEMORY : ERR_BAD_REQUEST,
                   "%s: %s at byte %zu", what, s->fault, (size_t)(s->fault_at - s->start));
}

static inline const char *skip_space(const char *p, const char *end)
{
    while (p < end && (unsigned char)*p <= ' ') {
        if (*p != ' ' && *p != '\n' && *p != '\r' && *p != '\t')
            break;
        p++;
    }
    return p;
}

/* White space, then the byte that must come next; faults already seen stay. */
static inline bool expect(struct scan *s, char c, const char *why)
{
    if (s->fault)
        return false;
    s->p = skip_space(s->p, s->end);
    if (s->p == s->end)
        return fail_at(s, s->p, "text ends where more is expected");
    if (*s->p != c)
        return fail_at(s, s->p, why);
    s->p++;
    return true;
}

enum scan_type scan_peek(struct scan *s)
{
    if (s->fault)
        return SCAN_FAULT;
    s->p = skip_space(s->p, s->end);
    if (s->p == s->end) {
        fail_at(s, s->p, "text ends where a value is expected");
        return SCAN_FAULT;
    }
    switch (*s->p) {
    case '{':
        return SCAN_OBJECT;
    case '[':
        return SCAN_ARRAY;
    case '"':
        return SCAN_STRING;
    case 't':
        return SCAN_TRUE;
    case 'f':
        return SCAN_FALSE;
    case 'n':
        return SCAN_NULL;
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return SCAN_NUMBER;
    default:
        fail_at(s, s->p, "no value starts like this");
        return SCAN_FAULT;
    }
}

static bool enter(struct scan *s, char open, const char *why)
{
    if (!expect(s, open, why))
        return false;
    if (s->depth >= s->depth_max) {
        s->p--;
        return fail_at(s, s->p, "nested too deeply");
    }
    s->first[++s->depth] = true;
    return true;
}

bool scan_object(struct scan *s) { return enter(s, '{', "expected an object"); }

bool scan_array(struct scan *s) { return enter(s, '[', "expected an array"); }

/* In front of the next member or element: takes the comma, or the closing bracket (false then). */
static bool next(struct scan *s, char close, const char *why)
{
    if (s->fault)
        return false;
    assert(s->depth > 0);
    s->p = skip_space(s->p, s->end);
    if (s->p == s->end)
        return fail_at(s, s->p, "text ends within a value");
    if (*s->p == close) {
        s->p++;
        s->depth--;
        return false;
    }
    if (s->first[s->depth]) {
        s->first[s->depth] = false;
        return true;
    }
    if (*s->p != ',')
        return fail_at(s, s->p, why);
    s->p++;
    return true;
}

/* Four hex digits at p; -1 when they are none. */
static int32_t hex4(const char *p)
{
    int32_t v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int d;
        if (c >= '0' && c <= '9')
            d = c - '0';
        else if (c >= 'a' && c <= 'f')
            d = c - 'a' + 10;
        else if (c >= 'A' && c <= 'F')
            d = c - 'A' + 10;
        else
            return -1;
        v = v * 16 + d;
    }
    return v;
}

/* Walks a string from behind its opening quote to behind its closing one, checking all of it. NULL
 * after a fault. */
static inline const char *check_string(struct scan *s, const char *p, bool *ret_escapes)
{
    const char *end = s->end;
    *ret_escapes = false;
    for (;;) {
        p = bytes_find_special(p, end);
        if (p == end) {
            fail_at(s, p, "text ends within a string");
            return NULL;
        }
        unsigned char c = (unsigned char)*p;
        if (c == '"')
            return p + 1;
        if (c >= 0x80) {
            size_t len = utf8_len((const unsigned char *)p, (size_t)(end - p));
            if (len == 0) {
                fail_at(s, p, "string is not UTF-8");
                return NULL;
            }
            p += len;
            continue;
        }
        if (c != '\\') {
            fail_at(s, p, "control character within a string");
            return NULL;
        }
        *ret_escapes = true;
        if (end - p < 2) {
            fail_at(s, end, "text ends within a string");
            return NULL;
        }
        switch (p[1]) {
        case '"':
        case '\\':
        case '/':
        case 'b':
        case 'f':
        case 'n':
        case 'r':
        case 't':
            p += 2;
            break;
        case 'u':
            if (end - p < 6 || hex4(p + 2) < 0) {
                fail_at(s, p, "\\u without four hex digits");
                return NULL;
            }
            p += 6;
            break;
        default:
            fail_at(s, p, "unknown escape in a string");
            return NULL;
        }
    }
}

/* The escape at p (checked before): writes its text, returns where it ends. */
static const char *decode_escape(const char *p, const char *end, char **out)
{
    char c = p[1];
    if (c != 'u') {
        static const char FROM[] = "bfnrt", TO[] = "\b\f\n\r\t";
        const char *at = strchr(FROM, c);
        *(*out)++ = (char)(at ? TO[at - FROM] : c);
        return p + 2;
    }
    uint32_t u = (uint32_t)hex4(p + 2);
    p += 6;
    if (u >= 0xd800 && u < 0xe000) {
        /* a surrogate counts only as the first of a pair; a second half that doesn't fit stands for
         * itself */
        uint32_t low = 0;
        if (u < 0xdc00 && end - p >= 6 && p[0] == '\\' && p[1] == 'u')
            low = (uint32_t)hex4(p + 2);
        if (low >= 0xdc00 && low < 0xe000) {
            u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
            p += 6;
        } else {
            u = 0xfffd;
        }
    }
    *out += utf8_put(*out, u);
    return p;
}

/* A checked string with escapes, decoded into the arena. No escape is shorter than its text. */
static bool decode(struct scan *s, const char *p, const char *end, struct str *ret)
{
    if (!s->arena)
        return fail_at(s, p, "escapes in a string that must have none");
    char *text = arena_alloc(s->arena, (size_t)(end - p));
    if (!text)
        return fail_at(s, p, FAULT_MEMORY);
    char *out = text;
    while (p < end) {
        const char *stop = memchr(p, '\\', (size_t)(end - p));
        size_t n = (size_t)((stop ? stop : end) - p);
        memcpy(out, p, n);
        out += n;
        p += n;
        if (stop)
            p = decode_escape(p, end, &out);
    }
    *ret = (struct str){text, (size_t)(out - text)};
    return true;
}

bool scan_string(struct scan *s, struct str *ret)
{
    if (!expect(s, '"', "expected a string"))
        return false;
    bool escapes;
    const char *from = s->p;
    const char *end = check_string(s, from, &escapes);
    if (!end)
        return false;
    s->p = end;
    if (__builtin_expect(escapes, 0))
        return decode(s, from, end - 1, ret);
    *ret = (struct str){from, (size_t)(end - 1 - from)};
    return true;
}

bool scan_key(struct scan *s, struct str *ret_key)
{
    return next(s, '}', "expected ',' or '}'") && scan_string(s, ret_key) &&
           expect(s, ':', "expected ':'");
}

bool scan_item(struct scan *s)
{
    if (!next(s, ']', "expected ',' or ']'"))
        return false;
    /* behind a comma the bracket would be taken for an end by nobody, but as a fault by everybody
     */
    return scan_peek(s) != SCAN_FAULT;
}

static const char *skip_digits(const char *p, const char *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* Walks the number at p; NULL after a fault. */
static const char *check_number(struct scan *s, const char *p, bool *ret_integer)
{
    const char *end = s->end;
    *ret_integer = true;
    if (p < end && *p == '-')
        p++;
    const char *digits = p;
    p = skip_digits(p, end);
    if (p == digits) {
        fail_at(s, p, "number without digits");
        return NULL;
    }
    if (*digits == '0' && p - digits > 1) {
        fail_at(s, digits, "number with a leading zero");
        return NULL;
    }
    if (p < end && *p == '.') {
        *ret_integer = false;
        digits = ++p;
        p = skip_digits(p, end);
        if (p == digits) {
            fail_at(s, p, "number without digits behind the dot");
            return NULL;
        }
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        *ret_integer = false;
        p++;
        if (p < end && (*p == '+' || *p == '-'))
            p++;
        digits = p;
        p = skip_digits(p, end);
        if (p == digits) {
            fail_at(s, p, "number without digits in its exponent");
            return NULL;
        }
    }
    return p;
}

bool scan_int(struct scan *s, int64_t *ret)
{
    enum scan_type type = scan_peek(s);
    if (type == SCAN_FAULT)
        return false;
    if (type != SCAN_NUMBER)
        return fail_at(s, s->p, "expected a number");
    bool integer;
    const char *from = s->p;
    const char *end = check_number(s, from, &integer);
    if (!end)
        return false;
    if (!integer)
        return fail_at(s, from, "expected an integer");
    if (!str_int((struct str){from, (size_t)(end - from)}, INT64_MIN, INT64_MAX, ret))
        return fail_at(s, from, "integer out of range");
    s->p = end;
    return true;
}

static bool literal_at(const char *p, const char *end, struct str word)
{
    return (size_t)(end - p) >= word.n && memcmp(p, word.p, word.n) == 0;
}

bool scan_bool(struct scan *s, bool *ret)
{
    if (scan_peek(s) == SCAN_FAULT)
        return false;
    if (literal_at(s->p, s->end, STR("true"))) {
        s->p += 4;
        *ret = true;
        return true;
    }
    if (literal_at(s->p, s->end, STR("false"))) {
        s->p += 5;
        *ret = false;
        return true;
    }
    return fail_at(s, s->p, "expected true or false");
}

bool scan_null(struct scan *s)
{
    if (s->fault)
        return false;
    s->p = skip_space(s->p, s->end);
    if (!literal_at(s->p, s->end, STR("null")))
        return false;
    s->p += 4;
    return true;
}

/* A number, true, false or null at p; NULL after a fault. */
static const char *check_scalar(struct scan *s, const char *p)
{
    bool integer;
    if (*p == '-' || (*p >= '0' && *p <= '9'))
        return check_number(s, p, &integer);
    if (literal_at(p, s->end, STR("true")) || literal_at(p, s->end, STR("null")))
        return p + 4;
    if (literal_at(p, s->end, STR("false")))
        return p + 5;
    fail_at(s, p, "no value starts like this");
    return NULL;
}

/* A key with its colon at p, behind '{' or a comma; NULL after a fault. */
static const char *check_key(struct scan *s, const char *p)
{
    bool escapes;
    p = skip_space(p, s->end);
    if (p == s->end || *p != '"') {
        fail_at(s, p, "expected a string");
        return NULL;
    }
    p = check_string(s, p + 1, &escapes);
    if (!p)
        return NULL;
    p = skip_space(p, s->end);
    if (p == s->end || *p != ':') {
        fail_at(s, p, "expected ':'");
        return NULL;
    }
    return p + 1;
}

bool scan_skip(struct scan *s)
{
    if (s->fault)
        return false;
    const char *p = s->p, *end = s->end;
    const unsigned room = s->depth_max - s->depth;
    unsigned depth = 0;
    uint64_t objects = 0; /* lowest bit: the innermost level is an object */
    for (;;) {
        /* a value comes */
        p = skip_space(p, end);
        if (p == end)
            return fail_at(s, p, "text ends where a value is expected");
        if (*p == '"') {
            bool escapes;
            p = check_string(s, p + 1, &escapes);
        } else if (*p == '{' || *p == '[') {
            bool object = *p == '{';
            if (depth == room)
                return fail_at(s, p, "nested too deeply");
            p = skip_space(p + 1, end);
            if (p == end || *p != (object ? '}' : ']')) {
                depth++;
                objects = objects << 1 | object;
                if (object && !(p = check_key(s, p)))
                    return false;
                continue;
            }
            p++; /* empty: a value that is over */
        } else {
            p = check_scalar(s, p);
        }
        if (!p)
            return false;
        /* a value is over: leave every level that ends here */
        for (;;) {
            if (depth == 0) {
                s->p = p;
                return true;
            }
            bool object = objects & 1;
            p = skip_space(p, end);
            if (p == end)
                return fail_at(s, p, "text ends within a value");
            if (*p == ',') {
                p++;
                if (object && !(p = check_key(s, p)))
                    return false;
                break;
            }
            if (*p != (object ? '}' : ']'))
                return fail_at(s, p, object ? "expected ',' or '}'" : "expected ',' or ']'");
            p++;
            depth--;
            objects >>= 1;
        }
    }
}

bool scan_raw(struct scan *s, struct str *ret)
{
    if (s->fault)
        return false;
    const char *from = skip_space(s->p, s->end);
    if (!scan_skip(s))
        return false;
    *ret = (struct str){from, (size_t)(s->p - from)};
    return true;
}

bool scan_end(struct scan *s)
{
    if (s->fault)
        return false;
    s->p = skip_space(s->p, s->end);
    if (s->depth > 0)
        return fail_at(s, s->p, "the value is not over yet");
    if (s->p < s->end)
        return fail_at(s, s->p, "something follows the value");
    return true;
}
