/* Quantities as digits and an exponent, turned into integers with every step checked. The reference
 * keeps small values as int64 and large ones as decimals; which of the two it took shows through in
 * INT(q), so its rule is written out in quantity_int. */
#include "base/quantity.h"

#include <string.h>

typedef unsigned __int128 u128;

enum {
    DIGITS_MAX = 38, /* 10^38 - 1 fits 128 bits */
    EXP_MAX = 60,
    QUOTE_MAX = 48, /* bytes of the text shown in an error */
};

static enum err_code refuse(struct str s, const char *why, struct err *err)
{
    bool cut = s.n > QUOTE_MAX;
    return err_set(err, ERR_BAD_REQUEST, "quantity \"%.*s%s\" %s", cut ? QUOTE_MAX : (int)s.n,
                   s.n ? s.p : "", cut ? "\xe2\x80\xa6" : "", why);
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static const struct {
    struct str text;
    int16_t exp;
    bool binary;
} SUFFIXES[] = {
    {STR_INIT(""), 0, false},   {STR_INIT("n"), -9, false}, {STR_INIT("u"), -6, false},
    {STR_INIT("m"), -3, false}, {STR_INIT("k"), 3, false},  {STR_INIT("M"), 6, false},
    {STR_INIT("G"), 9, false},  {STR_INIT("T"), 12, false}, {STR_INIT("P"), 15, false},
    {STR_INIT("E"), 18, false}, {STR_INIT("Ki"), 10, true}, {STR_INIT("Mi"), 20, true},
    {STR_INIT("Gi"), 30, true}, {STR_INIT("Ti"), 40, true}, {STR_INIT("Pi"), 50, true},
    {STR_INIT("Ei"), 60, true},
};

/* Why the text behind the number is no suffix, or NULL: it is one, and *q knows. */
static const char *read_suffix(struct str s, struct quantity *q)
{
    for (size_t i = 0; i < sizeof(SUFFIXES) / sizeof(SUFFIXES[0]); i++)
        if (str_eq(s, SUFFIXES[i].text)) {
            q->exp = SUFFIXES[i].exp;
            q->binary = SUFFIXES[i].binary;
            return NULL;
        }
    if (s.p[0] != 'e' && s.p[0] != 'E')
        return "has an unknown suffix";
    struct str number = {s.p + 1, s.n - 1};
    int64_t exp;
    if (!str_int(number, INT64_MIN, INT64_MAX, &exp)) {
        for (size_t i = 0; i < number.n; i++)
            if (!is_digit(number.p[i]) && (i > 0 || (number.p[0] != '-' && number.p[0] != '+')))
                return "has an unknown suffix";
        return number.n > 1 ? "has an exponent beyond 60" : "has an exponent without digits";
    }
    if (exp > EXP_MAX || exp < -EXP_MAX)
        return "has an exponent beyond 60";
    q->exp = (int16_t)exp;
    return NULL;
}

enum err_code quantity_parse(struct str s, struct quantity *ret, struct err *err)
{
    struct quantity q = {0};
    size_t i = 0;
    if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
        q.negative = s.p[i++] == '-';
    bool dot = false, any = false;
    for (; i < s.n; i++) {
        char c = s.p[i];
        if (c == '.' && !dot) {
            dot = true;
            continue;
        }
        if (!is_digit(c))
            break;
        any = true;
        if (!dot && c == '0' && q.digits_n == 0)
            continue; /* leading zeros say nothing (E-1) */
        if (q.digits_n == DIGITS_MAX)
            return refuse(s, "has more than 38 digits", err);
        q.digits[q.digits_n++] = (uint8_t)(c - '0');
        q.frac_n = (uint8_t)(q.frac_n + dot);
    }
    if (!any)
        return refuse(s, "has no digits", err);
    const char *why = read_suffix((struct str){s.p + i, s.n - i}, &q);
    if (why)
        return refuse(s, why, err);
    *ret = q;
    return ERR_OK;
}

int quantity_sign(const struct quantity *q)
{
    for (unsigned i = 0; i < q->digits_n; i++)
        if (q->digits[i] != 0)
            return q->negative ? -1 : 1;
    return 0;
}

static u128 digits_value(const struct quantity *q)
{
    u128 v = 0;
    for (unsigned i = 0; i < q->digits_n; i++)
        v = v * 10 + q->digits[i];
    return v;
}

/* |value| · 10^scale as a whole number, and whether a fraction was left over; false when it is
 * beyond 2^63. */
static bool magnitude(const struct quantity *q, unsigned scale, uint64_t *ret, bool *ret_fraction)
{
    const u128 limit = (u128)1 << 63;
    u128 v = digits_value(q);
    *ret = 0;
    *ret_fraction = false;
    if (v == 0)
        return true;
    if (scale > 1000) /* beyond int64 whatever the other exponents (at least -98) are */
        return false;
    int tens = (int)scale - q->frac_n + (q->binary ? 0 : q->exp);
    int twos = q->binary ? q->exp : 0;
    for (; tens > 0; tens--) {
        if (v > limit)
            return false;
        v *= 10;
    }
    if (tens < -DIGITS_MAX) { /* less than one: v is below 10^38. No binary quantity comes here */
        *ret_fraction = true;
        return true;
    }
    u128 divisor = 1;
    for (; tens < 0; tens++)
        divisor *= 10;
    u128 whole = v / divisor, rest = v % divisor;
    /* times 2 at a time, so that whole · 2^n and rest · 2^n stay exact: rest < divisor <= 10^38 <
     * 2^127 */
    for (; twos > 0 && (whole > 0 || rest > 0); twos--) {
        rest *= 2;
        bool carry = rest >= divisor;
        if (carry)
            rest -= divisor;
        whole = whole * 2 + carry;
        if (whole > limit)
            return false;
    }
    if (whole > limit)
        return false;
    *ret = (uint64_t)whole;
    *ret_fraction = rest > 0;
    return true;
}

/* The magnitude with its sign, when int64 can hold it. */
static bool with_sign(bool negative, uint64_t magn, int64_t *ret)
{
    if (magn > (uint64_t)INT64_MAX + negative)
        return false;
    *ret = negative ? (int64_t)(0 - magn) : (int64_t)magn;
    return true;
}

bool quantity_ceil(const struct quantity *q, unsigned scale, int64_t *ret)
{
    uint64_t magn;
    bool fraction;
    if (!magnitude(q, scale, &magn, &fraction))
        return false;
    return with_sign(q->negative, magn + fraction, ret);
}

bool quantity_floor(const struct quantity *q, unsigned scale, int64_t *ret)
{
    uint64_t magn;
    bool fraction;
    if (!magnitude(q, scale, &magn, &fraction))
        return false;
    return with_sign(q->negative, magn + (fraction && q->negative), ret);
}

bool quantity_int(const struct quantity *q, int64_t *ret)
{
    /* The reference counts "0" for a number that has no digits (left) before the dot. */
    int before_dot = q->digits_n > q->frac_n ? q->digits_n - q->frac_n : 1;
    if (q->binary) {
        if (q->frac_n > 0 || 15 - before_dot - q->exp * 3 / 10 - 1 < 0)
            return false;
    } else if (before_dot + q->frac_n > 18 || q->exp - q->frac_n < 0) {
        return false;
    }
    return quantity_ceil(q, 0, ret);
}
