/* Tests of src/base: each part alone, rows by name, refusals as carefully as successes. */
#include "check_base.h"

#include <stdlib.h>

int main(void)
{
    Suite *suite = suite_create("base");
    check_base_str(suite);
    check_base_num(suite);
    check_base_scan(suite);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
