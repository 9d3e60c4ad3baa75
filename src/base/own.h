/* Ownership by scope: cleanup variables and TAKE. */
#ifndef CARDINAL_BASE_OWN_H
#define CARDINAL_BASE_OWN_H

#include <stdlib.h>

#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define DEFINE_CLEANUP(type, fn)                                                                   \
    static inline void fn##_p(type *p) /* NOLINT(bugprone-macro-parentheses): a type */            \
    {                                                                                              \
        if (*p)                                                                                    \
            fn(*p);                                                                                \
        *p = NULL;                                                                                 \
    }
#define TAKE(var)                                                                                  \
    __extension__({                                                                                \
        __typeof__(var) v_ = (var);                                                                \
        (var) = NULL;                                                                              \
        v_;                                                                                        \
    })

static inline void free_p(void *p)
{
    void **pp = p;
    free(*pp);
    *pp = NULL;
}

#endif
