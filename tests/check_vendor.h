/* The test cases of src/vendor, one function a file; check_vendor.c runs them. */
#ifndef CARDINAL_TESTS_CHECK_VENDOR_H
#define CARDINAL_TESTS_CHECK_VENDOR_H

#include "vendor/vendor.h"
#include <check.h>

/* Rows say what matters to them and leave out the rest. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

#define ck_str(name, got, want)                                                                    \
    do {                                                                                           \
        struct str got_ = (got), want_ = (want);                                                   \
        ck_assert_msg(str_eq(got_, want_), "%s: want \"" STR_FMT "\", got \"" STR_FMT "\"", name,  \
                      STR_ARG(want_), STR_ARG(got_));                                              \
    } while (0)

/* The n-th allocation of our code from now on fails, and all after it; 0: none. */
void fail_from(int nth);
/* Whether one failed since. */
bool fail_happened(void);

/* xorshift64*; the seed is printed by whoever uses it. */
static inline uint64_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * UINT64_C(2685821657736338717);
}
uint64_t prop_seed(void); /* PROP_SEED, or a fixed one */

/* The row of a key. */
static inline const struct vendor *row_of(const struct vendor_table *t, const char *key)
{
    for (uint16_t i = 0; i < vendor_count(t); i++)
        if (str_eq(vendor_at(t, i)->core.key, str_z(key)))
            return vendor_at(t, i);
    ck_abort_msg("no row %s", key);
}

void check_vendor_table(Suite *suite);
void check_vendor_derive(Suite *suite);
void check_vendor_asks(Suite *suite);
void check_vendor_places(Suite *suite);
void check_vendor_select(Suite *suite);
void check_vendor_register(Suite *suite);
void check_vendor_cards(Suite *suite);
void check_vendor_alloc(Suite *suite);
void check_vendor_annotate(Suite *suite);
void check_vendor_load(Suite *suite);
void check_vendor_rows(Suite *suite);

#endif
