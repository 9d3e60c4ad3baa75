/* Looking for the few bytes that matter, sixteen at a time: the inner loops of scan, scan_stream
 * and buf_json. With SSE2 (every x86-64) or else eight at a time in a word; both give the same
 * answers. */
#ifndef CARDINAL_BASE_BYTES_H
#define CARDINAL_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__) && !defined(CARDINAL_NO_SIMD)
#include <emmintrin.h>
#define BYTES_STEP 16

/* One bit a byte of the block at p: the bytes that end a plain run inside a JSON string, that is
 * the quote, the backslash, control characters, and whatever is not ASCII (negative as a signed
 * byte). */
static inline unsigned bytes_special(const char *p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)p);
    __m128i hit =
        _mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')), _mm_cmpeq_epi8(x, _mm_set1_epi8('\\')));
    hit = _mm_or_si128(hit, _mm_cmplt_epi8(x, _mm_set1_epi8(0x20)));
    return (unsigned)_mm_movemask_epi8(hit);
}

/* The same and '<', '>', '&', which Go escapes. */
static inline unsigned bytes_special_out(const char *p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)p);
    __m128i hit = _mm_cmpeq_epi8(x, _mm_set1_epi8('&'));
    /* '<' is 0x3c and '>' is 0x3e: one comparison without the bit between them */
    hit = _mm_or_si128(hit,
                       _mm_cmpeq_epi8(_mm_andnot_si128(_mm_set1_epi8(2), x), _mm_set1_epi8('<')));
    return bytes_special(p) | (unsigned)_mm_movemask_epi8(hit);
}

static inline unsigned bytes_quote(const char *p)
{
    __m128i x = _mm_loadu_si128((const __m128i *)p);
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')),
                                                    _mm_cmpeq_epi8(x, _mm_set1_epi8('\\'))));
}

/* 64 bytes as bits, the lowest for the byte at p. */
struct bytes_block {
    uint64_t quote, backslash, open, close; /* close: '}' and ']' */
};

static inline struct bytes_block bytes_block(const char *p)
{
    struct bytes_block b = {0};
    for (unsigned i = 0; i < 64; i += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(p + i));
        /* '[' and '{', ']' and '}' differ in bit 0x20 only */
        __m128i y = _mm_or_si128(x, _mm_set1_epi8(0x20));
        __m128i quote = _mm_cmpeq_epi8(x, _mm_set1_epi8('"'));
        __m128i backslash = _mm_cmpeq_epi8(x, _mm_set1_epi8('\\'));
        __m128i open = _mm_cmpeq_epi8(y, _mm_set1_epi8('{'));
        __m128i close = _mm_cmpeq_epi8(y, _mm_set1_epi8('}'));
        b.quote |= (uint64_t)(unsigned)_mm_movemask_epi8(quote) << i;
        b.backslash |= (uint64_t)(unsigned)_mm_movemask_epi8(backslash) << i;
        b.open |= (uint64_t)(unsigned)_mm_movemask_epi8(open) << i;
        b.close |= (uint64_t)(unsigned)_mm_movemask_epi8(close) << i;
    }
    return b;
}

static inline size_t bytes_first(unsigned mask) { return (size_t)__builtin_ctz(mask); }

#else
#define BYTES_STEP 8

static inline uint64_t bytes_load(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

#define BYTES_ALL(c) (UINT64_C(0x0101010101010101) * (uint8_t)(c))
/* The high bit of every byte that equals c. Exact up to the first hit (a borrow may mark bytes
 * behind it), and only the first hit is asked for. */
static inline uint64_t bytes_equal(uint64_t word, char c)
{
    uint64_t x = word ^ BYTES_ALL(c);
    return (x - BYTES_ALL(1)) & ~x & BYTES_ALL(0x80);
}

static inline uint64_t bytes_special(const char *p)
{
    uint64_t x = bytes_load(p);
    return bytes_equal(x, '"') | bytes_equal(x, '\\') |
           ((((x - BYTES_ALL(0x20)) & ~x) | x) & BYTES_ALL(0x80));
}

static inline uint64_t bytes_special_out(const char *p)
{
    uint64_t x = bytes_load(p);
    return bytes_special(p) | bytes_equal(x, '&') | bytes_equal(x, '<') | bytes_equal(x, '>');
}

static inline uint64_t bytes_quote(const char *p)
{
    uint64_t x = bytes_load(p);
    return bytes_equal(x, '"') | bytes_equal(x, '\\');
}

struct bytes_block {
    uint64_t quote, backslash, open, close;
};

/* One bit for each of eight bytes that equals c; exact for all of them. */
static inline uint64_t bytes_bits(uint64_t word, char c)
{
    uint64_t x = word ^ BYTES_ALL(c);
    uint64_t zero = ~(((x & BYTES_ALL(0x7f)) + BYTES_ALL(0x7f)) | x | BYTES_ALL(0x7f));
    return ((zero >> 7) * UINT64_C(0x0102040810204080)) >> 56; /* gathers the low bits */
}

static inline struct bytes_block bytes_block(const char *p)
{
    struct bytes_block b = {0};
    for (unsigned i = 0; i < 64; i += 8) {
        uint64_t x = bytes_load(p + i), y = x | BYTES_ALL(0x20);
        b.quote |= bytes_bits(x, '"') << i;
        b.backslash |= bytes_bits(x, '\\') << i;
        b.open |= bytes_bits(y, '{') << i;
        b.close |= bytes_bits(y, '}') << i;
    }
    return b;
}

static inline size_t bytes_first(uint64_t mask) { return (size_t)__builtin_ctzll(mask) / 8; }

#endif

/* Each: the first byte of the kind in [p, end), or end. Reads nothing behind end. */
#define BYTES_FIND(name, block, one)                                                               \
    static inline const char *name(const char *p, const char *end)                                 \
    {                                                                                              \
        for (; end - p >= BYTES_STEP; p += BYTES_STEP) {                                           \
            __typeof__(block(p)) mask = block(p);                                                  \
            if (mask)                                                                              \
                return p + bytes_first(mask);                                                      \
        }                                                                                          \
        for (; p < end; p++) {                                                                     \
            unsigned char c = (unsigned char)*p;                                                   \
            if (one)                                                                               \
                break;                                                                             \
        }                                                                                          \
        return p;                                                                                  \
    }

/* What a JSON string can't hold as plain ASCII. */
BYTES_FIND(bytes_find_special, bytes_special, c == '"' || c == '\\' || c < 0x20 || c >= 0x80)
/* What buf_json can't copy. */
BYTES_FIND(bytes_find_special_out, bytes_special_out,
           c == '"' || c == '\\' || c < 0x20 || c >= 0x80 || c == '<' || c == '>' || c == '&')
/* What can end or prolong a string. */
BYTES_FIND(bytes_find_quote, bytes_quote, c == '"' || c == '\\')
#endif
