/* Runs the tests of the decision: tables, placements of several containers, properties. */
#include "check_score.h"

#include <stdlib.h>

int main(void)
{
    SRunner *runner = srunner_create(suite_tables());
    srunner_add_suite(runner, suite_place());
    srunner_add_suite(runner, suite_props());
    srunner_add_suite(runner, suite_ways());
    srunner_add_suite(runner, suite_ways_props());
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
