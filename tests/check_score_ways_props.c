/* Properties of rows of every kind. */
#include "check_score.h"

Suite *suite_ways_props(void)
{
    Suite *suite = suite_create("score ways properties");
    TCase *tc = tcase_create("properties");
    suite_add_tcase(suite, tc);
    return suite;
}
