/* The test cases of src/base, one function a file; check_base.c runs them. */
#ifndef CARDINAL_TESTS_CHECK_BASE_H
#define CARDINAL_TESTS_CHECK_BASE_H

#include "base/str.h"
#include <check.h>

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

/* Equal texts, shown when they are not. */
#define ck_str(name, got, want)                                                                    \
    do {                                                                                           \
        struct str got_ = (got), want_ = (want);                                                   \
        ck_assert_msg(str_eq(got_, want_), "%s: want \"" STR_FMT "\", got \"" STR_FMT "\"", name,  \
                      STR_ARG(want_), STR_ARG(got_));                                              \
    } while (0)

void check_base_str(Suite *suite);
void check_base_num(Suite *suite);
void check_base_scan(Suite *suite);

#endif
