/* Clocks, and times as text. The calendar is computed here: libc's knows time zones and locales,
 * and may lock. */
#include "base/clock.h"

#include <string.h>
#include <time.h>

static const int64_t NS_PER_S = 1000000000;

static int64_t read_clock(clockid_t id)
{
    struct timespec ts;
    if (clock_gettime(id, &ts) != 0)
        __builtin_trap(); /* can't happen with these ids and a valid pointer */
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

static int64_t system_mono(void *ctx)
{
    (void)ctx;
    return read_clock(CLOCK_MONOTONIC);
}

static int64_t system_wall(void *ctx)
{
    (void)ctx;
    return read_clock(CLOCK_REALTIME);
}

const struct clock CLOCK_SYSTEM = {.mono_ns = system_mono, .wall_ns = system_wall, .ctx = NULL};

/* Days since 1970-01-01 of a date of the Gregorian calendar, and back. Years are counted from
 * March, so that the leap day is the last; 400 years are 146097 days, and 1970-01-01 is day 719468
 * from 0000-03-01. */
static int64_t days_of_date(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (INT64_C(153) * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of_days(int64_t days, int64_t *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t d = days - era * 146097;
    int64_t y = (d - d / 1460 + d / 36524 - d / 146096) / 365;
    int64_t of_year = d - (365 * y + y / 4 - y / 100);
    int64_t m = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = y + era * 400 + (*month <= 2);
}

static int days_of_month(int64_t year, int month)
{
    static const int DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return DAYS[month - 1] + (month == 2 && leap);
}

/* `width` decimal digits, zeros in front. */
static char *put_digits(char *out, int64_t v, int width)
{
    for (int i = width - 1; i >= 0; i--) {
        out[i] = (char)('0' + v % 10);
        v /= 10;
    }
    return out + width;
}

size_t clock_rfc3339(int64_t wall_ns, bool micro, char out[CLOCK_TEXT_MAX])
{
    int64_t s = wall_ns / NS_PER_S, ns = wall_ns % NS_PER_S;
    if (ns < 0) {
        ns += NS_PER_S;
        s--;
    }
    int64_t days = s / 86400, of_day = s % 86400;
    if (of_day < 0) {
        of_day += 86400;
        days--;
    }
    int64_t year; /* int64 nanoseconds reach from 1677 to 2262: always four digits */
    int month, day;
    date_of_days(days, &year, &month, &day);
    char *p = put_digits(out, year, 4);
    *p++ = '-';
    p = put_digits(p, month, 2);
    *p++ = '-';
    p = put_digits(p, day, 2);
    *p++ = 'T';
    p = put_digits(p, of_day / 3600, 2);
    *p++ = ':';
    p = put_digits(p, of_day / 60 % 60, 2);
    *p++ = ':';
    p = put_digits(p, of_day % 60, 2);
    if (micro) {
        *p++ = '.';
        p = put_digits(p, ns / 1000, 6);
    }
    *p++ = 'Z';
    *p = '\0';
    return (size_t)(p - out);
}

/* Takes `width` digits off *s that make a number within [min, max]. */
static bool take_digits(struct str *s, int width, int min, int max, int *ret)
{
    if (s->n < (size_t)width)
        return false;
    int v = 0;
    for (int i = 0; i < width; i++) {
        if (s->p[i] < '0' || s->p[i] > '9')
            return false;
        v = v * 10 + (s->p[i] - '0');
    }
    s->p += width;
    s->n -= (size_t)width;
    *ret = v;
    return v >= min && v <= max;
}

static bool take_char(struct str *s, char c)
{
    if (s->n == 0 || s->p[0] != c)
        return false;
    s->p++;
    s->n--;
    return true;
}

/* The digits behind a dot as nanoseconds; those beyond the ninth are dropped. */
static bool take_fraction(struct str *s, int64_t *ret_ns)
{
    int64_t ns = 0, unit = NS_PER_S / 10;
    size_t n = 0;
    for (; n < s->n && s->p[n] >= '0' && s->p[n] <= '9'; n++) {
        ns += (s->p[n] - '0') * unit;
        unit /= 10;
    }
    s->p += n;
    s->n -= n;
    *ret_ns = ns;
    return n > 0;
}

bool clock_parse_rfc3339(struct str s, int64_t *ret_wall_ns)
{
    int year, month, day, hour, minute, second, off_hour = 0, off_minute = 0;
    bool ok = take_digits(&s, 4, 0, 9999, &year) && take_char(&s, '-') &&
              take_digits(&s, 2, 1, 12, &month) && take_char(&s, '-') &&
              take_digits(&s, 2, 1, days_of_month(year, month), &day) && take_char(&s, 'T') &&
              take_digits(&s, 2, 0, 23, &hour) && take_char(&s, ':') &&
              take_digits(&s, 2, 0, 59, &minute) && take_char(&s, ':') &&
              take_digits(&s, 2, 0, 59, &second);
    if (!ok)
        return false;
    int64_t ns = 0;
    if (take_char(&s, '.') && !take_fraction(&s, &ns))
        return false;
    int sign = 0;
    if (!take_char(&s, 'Z')) {
        sign = take_char(&s, '+') ? 1 : take_char(&s, '-') ? -1 : 0;
        if (sign == 0 || !take_digits(&s, 2, 0, 23, &off_hour) || !take_char(&s, ':') ||
            !take_digits(&s, 2, 0, 59, &off_minute))
            return false;
    }
    if (s.n > 0)
        return false;
    int64_t offset = sign * (off_hour * INT64_C(3600) + off_minute * INT64_C(60));
    int64_t of_day = hour * INT64_C(3600) + minute * INT64_C(60) + second;
    int64_t seconds = days_of_date(year, month, day) * 86400 + of_day - offset;
    /* a second before the first whole one that fits still fits with its fraction: add before the
     * check */
    __int128 total = (__int128)seconds * NS_PER_S + ns;
    if (total < INT64_MIN || total > INT64_MAX)
        return false;
    *ret_wall_ns = (int64_t)total;
    return true;
}

/* Go's units; both spellings of micro (U+00B5 and U+03BC). Longer texts come before their prefixes.
 */
static const struct {
    struct str text;
    int64_t ns;
} UNITS[] = {
    {STR_INIT("ns"), 1},
    {STR_INIT("us"), 1000},
    {STR_INIT("\xc2\xb5s"), 1000},
    {STR_INIT("\xce\xbcs"), 1000},
    {STR_INIT("ms"), 1000000},
    {STR_INIT("s"), 1000000000},
    {STR_INIT("m"), 60LL * 1000000000},
    {STR_INIT("h"), 3600LL * 1000000000},
};

static int64_t take_unit(struct str *s)
{
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++)
        if (str_has_prefix(*s, UNITS[i].text)) {
            s->p += UNITS[i].text.n;
            s->n -= UNITS[i].text.n;
            return UNITS[i].ns;
        }
    return 0;
}

bool clock_parse_duration(struct str s, int64_t *ret_ns)
{
    const int64_t limit = 100LL * 8766 * 3600 * NS_PER_S; /* 100 years of 365.25 days */
    (void)take_char(&s, '+');
    if (str_eq(s, STR("0"))) {
        *ret_ns = 0;
        return true;
    }
    int64_t total = 0;
    bool any = false;
    while (s.n > 0) {
        /* digits [. digits] unit; digits on one side of the dot are enough */
        int64_t whole = 0;
        bool digits = false;
        for (; s.n > 0 && s.p[0] >= '0' && s.p[0] <= '9'; s.p++, s.n--) {
            if (whole > limit / 10)
                return false;
            whole = whole * 10 + (s.p[0] - '0');
            digits = true;
        }
        /* fraction / 10^18; digits behind the 18th are below a nanosecond of any unit */
        int64_t fraction = 0, digit = 100000000000000000;
        if (take_char(&s, '.'))
            for (; s.n > 0 && s.p[0] >= '0' && s.p[0] <= '9'; s.p++, s.n--) {
                fraction += (s.p[0] - '0') * digit;
                digit /= 10;
                digits = true;
            }
        int64_t unit = digits ? take_unit(&s) : 0;
        if (unit == 0)
            return false;
        __int128 sum =
            total + (__int128)whole * unit + (__int128)fraction * unit / 1000000000000000000;
        if (sum > limit)
            return false;
        total = (int64_t)sum;
        any = true;
    }
    if (!any)
        return false;
    *ret_ns = total;
    return true;
}
