/* Prints the table of reason codes, one a line: code, "full" or "never", sentence; for tests/check_reasons, which holds
 * docs/operations/reasons.md against it. */
#include "score/score.h"

#include <stdio.h>

int main(void)
{
    for (int i = SCORE_FITS + 1; i < SCORE_REASON_COUNT_; i++) {
        enum score_reason reason = (enum score_reason)i;
        printf("%s|%s|%s\n", score_reason_code(reason),
               score_reason_unresolvable(reason) ? "never" : "full", score_reason_help(reason));
    }
    return 0;
}
