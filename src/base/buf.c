/* Output that grows up to a cap. Every function may be called after a failure and then does
 * nothing, so that a whole document is written first and buf_take() tells. */
#include "base/str.h"

#include "base/bytes.h"
#include "base/utf8.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CAP_FIRST = 256 };

void buf_init(struct buf *b, size_t max_bytes) { *b = (struct buf){.max = max_bytes}; }

void buf_done(struct buf *b)
{
    free(b->p);
    b->p = NULL;
    b->n = b->cap = 0;
}

/* Room for `more` bytes and the NUL of buf_take; false when failed. */
static bool reserve(struct buf *b, size_t more)
{
    if (b->failed)
        return false;
    if (more < b->cap - b->n) /* never true of an empty buffer, where both are 0 */
        return true;
    if (more > b->max - b->n || more > SIZE_MAX / 4 - b->n) {
        b->failed = true;
        return false;
    }
    size_t need = b->n + more + 1;
    size_t cap = b->cap ? b->cap : CAP_FIRST;
    while (cap < need)
        cap *= 2;
    if (cap - 1 > b->max)
        cap = b->max + 1;
    char *p = realloc(b->p, cap);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->p = p;
    b->cap = cap;
    return true;
}

void buf_reserve(struct buf *b, size_t more) { (void)reserve(b, more); }

void buf_add(struct buf *b, struct str s)
{
    if (s.n == 0 || !reserve(b, s.n))
        return;
    memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
}

void buf_char(struct buf *b, char c)
{
    if (reserve(b, 1))
        b->p[b->n++] = c;
}

void buf_fmt(struct buf *b, const char *fmt, ...)
{
    if (!reserve(b, 0))
        return;
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
    va_end(ap);
    if (n < 0) {
        b->failed = true;
        return;
    }
    if ((size_t)n >= b->cap - b->n) {
        if (!reserve(b, (size_t)n))
            return;
        va_start(ap, fmt);
        n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, ap);
        va_end(ap);
        if (n < 0 || (size_t)n >= b->cap - b->n) { /* an argument changed between the calls */
            b->failed = true;
            return;
        }
    }
    b->n += (size_t)n;
}

void buf_int(struct buf *b, int64_t v)
{
    char text[24];
    size_t at = sizeof(text);
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do {
        text[--at] = (char)('0' + u % 10);
        u /= 10;
    } while (u > 0);
    if (v < 0)
        text[--at] = '-';
    buf_add(b, (struct str){text + at, sizeof(text) - at});
}

/* The escape of one ASCII byte that needs one; `out` has room for six. Short forms are those of
 * Go's encoding/json since 1.22 (\b and \f too). */
static size_t escape(char out[6], unsigned char c)
{
    static const char SHORT[] = "\"\"\\\\\bb\ff\nn\rr\tt"; /* pairs: the byte, its letter */
    static const char HEX[] = "0123456789abcdef";
    for (size_t i = 0; i + 1 < sizeof(SHORT); i += 2)
        if ((unsigned char)SHORT[i] == c) {
            out[0] = '\\';
            out[1] = SHORT[i + 1];
            return 2;
        }
    memcpy(out, (const char[]){'\\', 'u', '0', '0'}, 4);
    out[4] = HEX[c >> 4];
    out[5] = HEX[c & 15];
    return 6;
}

void buf_json(struct buf *b, struct str s)
{
    if (!reserve(b, s.n) || !reserve(b, s.n + 2)) /* the first looks whether s.n + 2 can overflow */
        return;
    b->p[b->n++] = '"';
    const char *p = s.p, *end = s.n ? s.p + s.n : s.p;
    while (p < end) {
        const char *stop = bytes_find_special_out(p, end);
        buf_add(b, (struct str){p, (size_t)(stop - p)});
        p = stop;
        if (p == end)
            break;
        unsigned char c = (unsigned char)*p;
        if (c < 0x80) {
            char out[6];
            buf_add(b, (struct str){out, escape(out, c)});
            p++;
            continue;
        }
        size_t len = utf8_len((const unsigned char *)p, (size_t)(end - p));
        if (len == 0) {
            buf_add(b, STR("\\ufffd")); /* one for each bad byte, as Go does */
            len = 1;
        } else if (len == 3 && memcmp(p, "\xe2\x80\xa8", 3) == 0) {
            buf_add(b, STR("\\u2028"));
        } else if (len == 3 && memcmp(p, "\xe2\x80\xa9", 3) == 0) {
            buf_add(b, STR("\\u2029"));
        } else {
            buf_add(b, (struct str){p, len});
        }
        p += len;
    }
    buf_char(b, '"');
}

char *buf_take(struct buf *b, size_t *ret_n)
{
    if (!reserve(b, 0)) {
        buf_done(b);
        return NULL;
    }
    char *p = b->p;
    p[b->n] = '\0';
    *ret_n = b->n;
    buf_init(b, b->max);
    return p;
}
