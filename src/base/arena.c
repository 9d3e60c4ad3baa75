/* The request's memory: blocks of growing size, filled from the front, freed together. The cap
 * counts what was handed out, so whether a request fits does not depend on how it fell into blocks.
 */
#include "base/str.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define ARENA_POISON 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define ARENA_POISON 1
#endif

#ifdef ARENA_POISON
#include <sanitizer/asan_interface.h>
enum { GAP = 16 }; /* poisoned bytes behind every allocation, so that one byte too far is seen */
static void poison(void *p, size_t n) { ASAN_POISON_MEMORY_REGION(p, n); }
static void unpoison(void *p, size_t n) { ASAN_UNPOISON_MEMORY_REGION(p, n); }
#else
enum { GAP = 0 };
static void poison(void *p, size_t n) { (void)p, (void)n; }
static void unpoison(void *p, size_t n) { (void)p, (void)n; }
#endif

enum {
    ALIGN = 16,              /* of max_align_t on every platform of ours */
    BLOCK_FIRST = 16 * 1024, /* a small request needs one block */
    BLOCK_LARGEST =
        1 << 20, /* growth doubles up to here; what is larger gets a block of its own size */
};
_Static_assert(_Alignof(max_align_t) <= ALIGN, "arena alignment");

struct block {
    struct block *older;
    size_t size, used; /* of data */
    _Alignas(ALIGN) char data[];
};

struct arena {
    struct block *current; /* the head of the chain; allocations come from here */
    struct block *first;   /* what a reset keeps */
    size_t max, used;
    size_t block_next; /* size of the next block */
    bool failed;
};

static struct block *block_new(size_t size)
{
    struct block *b = malloc(sizeof(*b) + size);
    if (!b)
        return NULL;
    b->older = NULL;
    b->size = size;
    b->used = 0;
    poison(b->data, size);
    return b;
}

static void block_free(struct block *b)
{
    unpoison(b->data, b->size);
    free(b);
}

struct arena *arena_new(size_t max_bytes)
{
    struct arena *a = malloc(sizeof(*a));
    if (!a)
        return NULL;
    *a = (struct arena){.max = max_bytes, .block_next = (size_t)2 * BLOCK_FIRST};
    a->first = a->current = block_new(BLOCK_FIRST);
    if (!a->first) {
        free(a);
        return NULL;
    }
    return a;
}

void arena_free(struct arena *a)
{
    if (!a)
        return;
    for (struct block *b = a->current, *older; b; b = older) {
        older = b->older;
        block_free(b);
    }
    free(a);
}

void arena_reset(struct arena *a)
{
    for (struct block *b = a->current, *older; b; b = older) {
        older = b->older;
        if (b != a->first)
            block_free(b);
    }
    a->current = a->first;
    a->first->older = NULL;
    a->first->used = 0;
    poison(a->first->data, a->first->size);
    a->used = 0;
    a->block_next = (size_t)2 * BLOCK_FIRST;
    a->failed = false;
}

static void *fail(struct arena *a)
{
    a->failed = true;
    return NULL;
}

/* Adds a block that has room for `need`. The block of one large allocation goes behind the current
 * one, whose room stays in use. */
static struct block *grow(struct arena *a, size_t need)
{
    bool own = need > a->block_next;
    struct block *b = block_new(own ? need : a->block_next);
    if (!b)
        return NULL;
    if (own) {
        b->older = a->current->older;
        a->current->older = b;
        return b;
    }
    b->older = a->current;
    a->current = b;
    if (a->block_next < BLOCK_LARGEST)
        a->block_next *= 2;
    return b;
}

/* n bytes as they are. */
static void *take(struct arena *a, size_t n)
{
    if (a->failed || n > a->max - a->used)
        return fail(a);
    if (n > SIZE_MAX / 2)
        return fail(a);
    size_t need =
        (n + (n == 0) + ALIGN - 1) / ALIGN * ALIGN; /* no two allocations at one address */
    if (need > a->max - a->used)
        need = n; /* the last one may use the cap up to its last byte */
    size_t room = (need + (need == 0) + ALIGN - 1) / ALIGN * ALIGN + GAP;
    struct block *b = a->current;
    if (room > b->size - b->used) {
        b = grow(a, room);
        if (!b)
            return fail(a);
    }
    char *p = b->data + b->used;
    b->used += room;
    a->used += need;
    unpoison(p, n);
    return p;
}

void *arena_alloc(struct arena *a, size_t n)
{
    void *p = take(a, n);
    if (p)
        memset(p, 0, n);
    return p;
}

void *arena_array(struct arena *a, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n))
        return fail(a);
    return arena_alloc(a, n);
}

struct str arena_str(struct arena *a, struct str s)
{
    char *p = s.n < SIZE_MAX ? take(a, s.n + 1) : fail(a);
    if (!p)
        return (struct str){NULL, 0};
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return (struct str){p, s.n};
}

bool arena_failed(const struct arena *a) { return a->failed; }

size_t arena_used(const struct arena *a) { return a->used; }
