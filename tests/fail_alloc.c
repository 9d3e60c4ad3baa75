/* The counter behind fail_alloc.h. The names with two underscores are the linker's (ld --wrap). */
#include "fail_alloc.h"

#include <stdatomic.h>
#include <stddef.h>

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);

static _Atomic unsigned left; /* calls until the one that fails; 0: none will */
static _Atomic bool failed;

void fail_alloc_at(unsigned n)
{
    failed = false;
    left = n;
}

bool fail_alloc_off(void)
{
    left = 0;
    return failed;
}

static bool fails(void)
{
    unsigned now = left;
    while (now > 0)
        if (atomic_compare_exchange_weak(&left, &now, now - 1)) {
            if (now > 1)
                return false;
            failed = true;
            return true;
        }
    return false;
}

void *__wrap_malloc(size_t n) { return fails() ? NULL : __real_malloc(n); }

void *__wrap_calloc(size_t count, size_t n) { return fails() ? NULL : __real_calloc(count, n); }

void *__wrap_realloc(void *p, size_t n) { return fails() ? NULL : __real_realloc(p, n); }
