/* Borrowed bytes, the request's arena, and a growing output buffer. */
#ifndef CARDINAL_BASE_STR_H
#define CARDINAL_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
    const char *p; /* borrowed, no NUL promised; may be NULL when n is 0 */
    size_t n;
};
#define STR_INIT(lit)                                                                              \
    {                                                                                              \
        "" lit, sizeof(lit) - 1                                                                    \
    }
#define STR(lit)   ((struct str)STR_INIT(lit))
#define STR_FMT    "%.*s"
#define STR_ARG(s) (int)(s).n, (s).p

struct str str_z(const char *z); /* NULL is the empty string */
bool str_eq(struct str a, struct str b);
bool str_eq_fold(struct str a, struct str b); /* ASCII case folded */
int str_cmp(struct str a, struct str b);      /* bytewise, a proper prefix first */
bool str_has_prefix(struct str s, struct str prefix);
bool str_has_suffix(struct str s, struct str suffix);
bool str_contains(struct str s, struct str part);      /* an empty part is contained */
bool str_contains_fold(struct str s, struct str part); /* ASCII case folded */
struct str str_trim(struct str s); /* Unicode white space, both ends (Go's strings.TrimSpace) */
/* Cuts the text before the next `sep` off *rest into *ret; false when nothing was left (*rest->p is
 * NULL). "a,b" gives "a", "b"; "" gives one empty piece; Go's strings.Split. Start with *rest = the
 * text, p not NULL. */
bool str_split(struct str *rest, char sep, struct str *ret);
/* Base 10, optional sign, no spaces, whole text, within [min, max]. */
bool str_int(struct str s, int64_t min, int64_t max, int64_t *ret);
bool str_go_bool(struct str s, bool *ret); /* Go's strconv.ParseBool; false = not a bool text */
bool str_utf8_valid(struct str s);
char *str_dup_z(struct str s); /* malloc; NULL: no memory */

/* A capped bump allocator: everything of one request. Not thread-safe.
 * Running out of memory, or past the cap, is sticky: alloc gives NULL from then on and
 * arena_failed() says so. Under AddressSanitizer the unused tail is poisoned. */
struct arena;
struct arena *arena_new(size_t max_bytes); /* NULL: no memory */
void arena_free(struct arena *a);          /* NULL is fine */
void arena_reset(struct arena *a);         /* forgets everything, keeps the first block */
void *arena_alloc(struct arena *a, size_t n)
    __attribute__((malloc, alloc_size(2)));                    /* zeroed, aligned for any type */
void *arena_array(struct arena *a, size_t count, size_t size); /* overflow-checked, zeroed */
struct str arena_str(struct arena *a, struct str s);           /* a copy; NUL-terminated behind n */
bool arena_failed(const struct arena *a);
size_t arena_used(const struct arena *a);

/* Growing output with a cap; failure is sticky like the arena's. */
struct buf {
    char *p; /* heap; take with buf_take() */
    size_t n, cap, max;
    bool failed;
};
void buf_init(struct buf *b, size_t max_bytes);
void buf_done(struct buf *b);
void buf_reserve(struct buf *b, size_t more);
void buf_add(struct buf *b, struct str s);
void buf_char(struct buf *b, char c);
void buf_fmt(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_int(struct buf *b, int64_t v);
/* A JSON string with its quotes. Go's escapes: \u003c \u003e \u0026, \u2028 \u2029; invalid UTF-8
 * becomes \ufffd. */
void buf_json(struct buf *b, struct str s);
char *buf_take(struct buf *b, size_t *ret_n); /* NUL-terminated, caller frees; NULL when failed */

#endif
