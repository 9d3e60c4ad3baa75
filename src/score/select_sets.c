/* Cards that only go together in fixed sets: modules of two, wings of four, runs of neighbours.
 * Such a set is there or it is not; which cards the policy likes decides between sets only where
 * the maker's rule leaves that open. */
#include "score/select.h"

#include <assert.h>
#include <string.h>

#define CARDS_MAX SCORE_DEVICES_MAX

struct members { /* a set of positions */
    uint64_t bits[CARDS_MAX / 64];
};

static struct members members_of(const uint8_t *at, uint16_t n)
{
    struct members m = {{0}};
    for (uint16_t i = 0; i < n; i++)
        m.bits[at[i] / 64] |= UINT64_C(1) << (at[i] % 64);
    return m;
}

static bool has(const struct members *m, int position)
{
    return position >= 0 && position < CARDS_MAX && m->bits[position / 64] >> (position % 64) & 1;
}

static void drop(struct members *m, int position)
{
    m->bits[position / 64] &= ~(UINT64_C(1) << (position % 64));
}

/* ---- modules ---- */

bool select_modules(const int32_t *index, const uint8_t *at, uint16_t n, uint16_t want,
                    uint8_t *ret)
{
    assert(want >= 1);
    assert(n <= CARDS_MAX);
    if (n < want || want % 2)
        return false;
    struct members free = members_of(at, n);
    uint8_t set[CARDS_MAX];
    uint16_t taken = 0;
    for (uint16_t i = 0; i < n && taken < want; i++) {
        /* cards stand by index, so the other one of the module is a neighbour */
        const int here = at[i], other = index[here] % 2 ? here - 1 : here + 1;
        if (index[here] < 0 || !has(&free, here) || !has(&free, other) ||
            index[other] != (index[here] ^ 1))
            continue;
        drop(&free, here);
        drop(&free, other);
        set[taken++] = (uint8_t)here;
        set[taken++] = (uint8_t)other;
    }
    if (taken < want)
        return false;
    memcpy(ret, set, want);
    return true;
}

/* ---- wings ---- */

/* Two wings of four, 0–3 and 4–7. The cards of a wing are linked to each other, and card i to card
 * i + 4. Masks: bit i is the card of index i. */
#define WING        4
#define LEFT        0x0fu
#define WING_OF(i)  (LEFT << ((i)&WING))
#define CROSS_OF(i) (1u << ((i) ^ WING))

static unsigned count(unsigned mask) { return (unsigned)__builtin_popcount(mask); }

static unsigned lowest(unsigned mask, unsigned n)
{
    unsigned set = 0;
    for (; n > 0; n--)
        set |= (mask & ~set) & -(mask & ~set);
    return set;
}

/* The lowest `want` cards of a wing that has as many free ones as the rule likes best. */
static unsigned wing_with(unsigned free, unsigned want, const uint8_t *counts, unsigned counts_n)
{
    for (unsigned i = 0; i < counts_n; i++) {
        if (count(free & LEFT) == counts[i])
            return lowest(free & LEFT, want);
        if (count(free & ~LEFT) == counts[i])
            return lowest(free & ~LEFT, want);
    }
    return 0;
}

static unsigned wings_two(unsigned free)
{
    static const uint8_t COUNTS[] = {2, 3, 4};
    const unsigned set = wing_with(free, 2, COUNTS, 3);
    const unsigned crossed = free & free >> WING & LEFT;
    if (set || !crossed)
        return set;
    const unsigned one = lowest(crossed, 1);
    return one | one << WING;
}

/* Two cards of each wing, linked crosswise, in the order of the contract. It takes the first group
 * of which the leftover pair of six free cards is linked, or else the last; that is always the
 * first one inside: three free cross links leave the third over, and with only two there is one
 * group. */
static const uint8_t GROUPS[] = {0x33, 0xcc, 0x55, 0xaa, 0x99, 0x66};

static unsigned wings_four(unsigned free)
{
    if ((free & LEFT) == LEFT)
        return LEFT;
    if ((free & ~LEFT) == LEFT << WING)
        return LEFT << WING;
    for (unsigned i = 0; i < sizeof(GROUPS); i++)
        if ((free & GROUPS[i]) == GROUPS[i])
            return GROUPS[i];
    return 0;
}

static unsigned wings_take(unsigned free, uint16_t want)
{
    static const uint8_t COUNTS[] = {1, 3, 2, 4};
    switch (want) {
    case 1:
        return wing_with(free, 1, COUNTS, 4);
    case 2:
        return wings_two(free);
    case 4:
        return wings_four(free);
    case 8:
        return free == 0xff ? free : 0;
    default:
        return 0;
    }
}

bool select_wings(const int32_t *index, const uint8_t *at, uint16_t n, uint16_t want, uint8_t *ret)
{
    assert(want >= 1);
    uint8_t position[2 * WING] = {0};
    unsigned seen = 0, repeated = 0;
    for (uint16_t i = 0; i < n; i++) {
        if (index[at[i]] < 0 || index[at[i]] >= 2 * WING)
            continue;
        const unsigned bit = 1u << index[at[i]];
        repeated |= seen & bit;
        seen |= bit;
        position[index[at[i]]] = at[i];
    }
    const unsigned set = wings_take(seen & ~repeated, want);
    if (!set)
        return false;
    for (unsigned i = 0, taken = 0; i < 2 * WING; i++)
        if (set >> i & 1)
            ret[taken++] = position[i];
    return true;
}

int32_t select_wings_quality(uint8_t used, uint8_t set)
{
    static const int8_t PIECES[WING + 1] = {1, 2, 1, 1, 0};
    /* nothing used is the best start */
    const int before = used ? PIECES[count(used & LEFT)] + PIECES[count(used & ~LEFT)] : 1;
    const int after = set ? PIECES[count(set & LEFT)] + PIECES[count(set & ~LEFT)] : 1;
    static const int32_t SCORE[] = {3000, 2000, 1000,
                                    0}; /* of one piece less, none, one, two more */
    const int more = after - before;
    return more >= -1 && more <= 2 ? SCORE[more + 1] : 1000;
}

/* ---- blocks ---- */

bool select_blocks(const int32_t *index, bool aligned, const uint8_t *at, uint16_t n, uint16_t want,
                   uint8_t *ret)
{
    assert(want >= 1);
    assert(n <= CARDS_MAX);
    if (n < want || (aligned && want != 1 && want != 4 && want != 8 && want != 16))
        return false;
    const struct members free = members_of(at, n);
    uint8_t run[CARDS_MAX] = {0};
    uint16_t taken = 0;
    for (int here = 0; here < CARDS_MAX && taken < want; here++) { /* by index, as cards stand */
        if (!has(&free, here) || index[here] < 0)
            continue;
        if (taken > 0 && index[here] == index[run[taken - 1]])
            continue;
        if (taken > 0 && index[here] - 1 != index[run[taken - 1]])
            taken = 0;
        if (taken > 0 || !aligned || index[here] % want == 0)
            run[taken++] = (uint8_t)here;
    }
    if (taken < want)
        return false;
    memcpy(ret, run, want);
    return true;
}
