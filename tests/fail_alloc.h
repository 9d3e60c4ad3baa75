/* Makes the n-th allocation of the code under test fail. The linker sends malloc, calloc and
 * realloc of our own objects through here (FAIL_ALLOC_LINK in base.inc.am); shared libraries keep
 * theirs.
 *
 *     for (unsigned n = 1; ; n++) {
 *         fail_alloc_at(n);
 *         … run the code …
 *         if (!fail_alloc_off())
 *             break;            // it made less than n allocations: nothing failed
 *         … the code must have said ERR_NO_MEMORY …
 *     } */
#ifndef CARDINAL_TESTS_FAIL_ALLOC_H
#define CARDINAL_TESTS_FAIL_ALLOC_H

#include <stdbool.h>

void fail_alloc_at(unsigned n); /* the n-th call from now on gives NULL; n from 1 */
bool fail_alloc_off(void);      /* ends it; whether a call failed */

#endif
