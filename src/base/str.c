/* Borrowed strings: comparisons, cutting, small parsers. Nothing here
 * allocates but str_dup_z. */
#include "base/str.h"

#include "base/utf8.h"
#include <stdlib.h>
#include <string.h>

struct str str_z(const char *z) { return z ? (struct str){z, strlen(z)} : STR(""); }

/* memcmp that allows NULL for no bytes. */
static int bytes_cmp(const char *a, const char *b, size_t n)
{
    return n == 0 ? 0 : memcmp(a, b, n);
}

static unsigned fold(char c)
{
    unsigned u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? u | 0x20 : u;
}

static bool bytes_eq_fold(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (fold(a[i]) != fold(b[i]))
            return false;
    return true;
}

bool str_eq(struct str a, struct str b) { return a.n == b.n && bytes_cmp(a.p, b.p, a.n) == 0; }

bool str_eq_fold(struct str a, struct str b) { return a.n == b.n && bytes_eq_fold(a.p, b.p, a.n); }

int str_cmp(struct str a, struct str b)
{
    int c = bytes_cmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    if (c != 0)
        return c < 0 ? -1 : 1;
    return a.n == b.n ? 0 : a.n < b.n ? -1 : 1;
}

bool str_has_prefix(struct str s, struct str prefix)
{
    return s.n >= prefix.n && bytes_cmp(s.p, prefix.p, prefix.n) == 0;
}

bool str_has_suffix(struct str s, struct str suffix)
{
    return s.n >= suffix.n &&
           (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

bool str_contains(struct str s, struct str part)
{
    return part.n == 0 || (s.n >= part.n && memmem(s.p, s.n, part.p, part.n) != NULL);
}

bool str_contains_fold(struct str s, struct str part)
{
    if (part.n == 0)
        return true;
    for (size_t i = 0; i + part.n <= s.n; i++)
        if (bytes_eq_fold(s.p + i, part.p, part.n))
            return true;
    return false;
}

/* Bytes of the white space character at p, 0 when there is none. The set is Go's unicode.IsSpace.
 */
static size_t space_len(const char *at, size_t n)
{
    const unsigned char *p = (const unsigned char *)at;
    if (n == 0)
        return 0;
    if (p[0] == ' ' || (p[0] >= '\t' && p[0] <= '\r'))
        return 1;
    if (p[0] < 0x80 || utf8_len(p, n) == 0)
        return 0;
    if (p[0] == 0xc2)
        return p[1] == 0x85 || p[1] == 0xa0 ? 2 : 0; /* U+0085, U+00A0 */
    if (utf8_len(p, n) != 3)
        return 0;
    uint32_t c = ((p[0] & 0xfu) << 12) | ((p[1] & 0x3fu) << 6) | (p[2] & 0x3fu);
    bool space = c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
                 c == 0x202f || c == 0x205f || c == 0x3000;
    return space ? 3 : 0;
}

struct str str_trim(struct str s)
{
    for (size_t n; (n = space_len(s.p, s.n)) > 0;) {
        s.p += n;
        s.n -= n;
    }
    /* From behind: white space takes one to three bytes. */
    for (size_t n = 1; n <= 3 && n <= s.n;) {
        if (space_len(s.p + s.n - n, n) == n) {
            s.n -= n;
            n = 1;
        } else {
            n++;
        }
    }
    return s;
}

bool str_split(struct str *rest, char sep, struct str *ret)
{
    if (!rest->p)
        return false;
    const char *at = rest->n ? memchr(rest->p, sep, rest->n) : NULL;
    if (!at) {
        *ret = *rest;
        *rest = (struct str){NULL, 0};
        return true;
    }
    size_t n = (size_t)(at - rest->p);
    *ret = (struct str){rest->p, n};
    *rest = (struct str){at + 1, rest->n - n - 1};
    return true;
}

bool str_int(struct str s, int64_t min, int64_t max, int64_t *ret)
{
    size_t i = 0;
    bool negative = false;
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+')) {
        negative = s.p[0] == '-';
        i = 1;
    }
    if (i == s.n)
        return false;
    int64_t v = 0;
    for (; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        int digit = s.p[i] - '0';
        if (__builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, negative ? -digit : digit, &v))
            return false;
    }
    if (v < min || v > max)
        return false;
    *ret = v;
    return true;
}

bool str_go_bool(struct str s, bool *ret)
{
    static const struct {
        struct str text;
        bool value;
    } TEXTS[] = {
        {STR_INIT("1"), true},      {STR_INIT("t"), true},      {STR_INIT("T"), true},
        {STR_INIT("TRUE"), true},   {STR_INIT("true"), true},   {STR_INIT("True"), true},
        {STR_INIT("0"), false},     {STR_INIT("f"), false},     {STR_INIT("F"), false},
        {STR_INIT("FALSE"), false}, {STR_INIT("false"), false}, {STR_INIT("False"), false},
    };
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++)
        if (str_eq(s, TEXTS[i].text)) {
            *ret = TEXTS[i].value;
            return true;
        }
    return false;
}

bool str_utf8_valid(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;
    while (i < s.n) {
        uint64_t word;
        while (i + sizeof(word) <= s.n) { /* eight ASCII bytes at a time */
            memcpy(&word, p + i, sizeof(word));
            if (word & 0x8080808080808080u)
                break;
            i += sizeof(word);
        }
        if (i == s.n)
            break;
        size_t len = utf8_len(p + i, s.n - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

char *str_dup_z(struct str s)
{
    char *z = s.n < SIZE_MAX ? malloc(s.n + 1) : NULL;
    if (!z)
        return NULL;
    if (s.n > 0)
        memcpy(z, s.p, s.n);
    z[s.n] = '\0';
    return z;
}
