/* Quantities: whatever parses has a floor, a ceiling and an integer that agree with each other. */
#include "base/quantity.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct quantity q, again;
    struct err err = {0};
    memset(&q, 0x5a, sizeof(q));
    again = q;
    struct str text = {(const char *)data, size};
    enum err_code rc = quantity_parse(text, &q, &err);
    if (rc) {
        assert(rc == ERR_BAD_REQUEST);
        assert(err.text[0] != '\0');
        assert(memcmp(&q, &again, sizeof(q)) == 0); /* untouched on failure */
        return 0;
    }
    int sign = quantity_sign(&q);
    int64_t ceil, floor, exact, ceil_milli, floor_milli;
    bool has_ceil = quantity_ceil(&q, 0, &ceil);
    bool has_floor = quantity_floor(&q, 0, &floor);
    if (has_ceil && has_floor) {
        assert(ceil >= floor);
        assert(ceil - floor <= 1);
    }
    if (has_ceil) { /* rounding up is away from zero: the sign survives */
        assert((ceil > 0) - (ceil < 0) == sign);
    }
    if (quantity_int(&q, &exact)) {
        assert(has_ceil && ceil == exact);
        assert(has_floor && floor == exact);
    }
    bool has_ceil_milli = quantity_ceil(&q, 3, &ceil_milli);
    bool has_floor_milli = quantity_floor(&q, 3, &floor_milli);
    if (has_ceil_milli) { /* smaller units have no less to say */
        assert(has_ceil);
        assert(ceil_milli / 1000 + (ceil_milli % 1000 > 0) - (ceil_milli % 1000 < 0) == ceil);
    }
    if (has_floor_milli) {
        assert(has_floor);
        assert(floor_milli / 1000 - (floor_milli % 1000 < 0) == floor);
    }
    /* the opposite sign mirrors the ceiling */
    again = q;
    again.negative = !q.negative;
    int64_t mirror;
    if (has_ceil && ceil != INT64_MIN) {
        assert(quantity_ceil(&again, 0, &mirror));
        assert(mirror == -ceil);
    }
    return 0;
}
