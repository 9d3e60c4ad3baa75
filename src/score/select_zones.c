/* Cards by the zone they are in: whole zones where that does, and how much of one zone a set is. */
#include "score/select.h"

#include <assert.h>
#include <string.h>

#define CARDS_MAX SCORE_DEVICES_MAX

struct zones { /* the zones of some cards and how many of them each has */
    uint16_t n;
    int32_t zone[CARDS_MAX];
    uint16_t count[CARDS_MAX]; /* 0: done with */
};

static void zones_of(const int32_t *zone, const uint8_t *at, uint16_t n, struct zones *ret)
{
    ret->n = 0;
    for (uint16_t i = 0; i < n; i++) {
        uint16_t z = 0;
        while (z < ret->n && ret->zone[z] != zone[at[i]])
            z++;
        if (z == ret->n) {
            ret->zone[ret->n] = zone[at[i]];
            ret->count[ret->n++] = 0;
        }
        ret->count[z]++;
    }
}

/* Appends the candidates of a zone, as many as are still wanted. */
static uint16_t take_zone(const int32_t *zone, int32_t which, const uint8_t *at, uint16_t n,
                          uint16_t want, uint8_t *ret, uint16_t taken)
{
    for (uint16_t i = 0; i < n && taken < want; i++)
        if (zone[at[i]] == which)
            ret[taken++] = at[i];
    return taken;
}

/* The largest zone that is not done with, cards of no zone after all others; equals: the lower
 * number. */
static uint16_t largest(const struct zones *z)
{
    uint16_t best = z->n;
    for (uint16_t i = 0; i < z->n; i++) {
        if (z->count[i] == 0)
            continue;
        if (best == z->n || z->zone[best] == SCORE_ZONE_NONE ||
            (z->zone[i] != SCORE_ZONE_NONE &&
             (z->count[i] > z->count[best] ||
              (z->count[i] == z->count[best] && z->zone[i] < z->zone[best]))))
            best = i;
    }
    return best;
}

bool select_zones(const int32_t *zone, const uint8_t *at, uint16_t n, uint16_t want, uint8_t *ret)
{
    assert(want >= 1);
    assert(n <= CARDS_MAX);
    if (n < want)
        return false;
    if (n == want || want == 1) {
        memcpy(ret, at, want);
        return true;
    }
    struct zones z;
    zones_of(zone, at, n, &z);
    for (uint16_t taken = 0; taken < want;) {
        const uint16_t next = largest(&z);
        taken = take_zone(zone, z.zone[next], at, n, want, ret, taken);
        z.count[next] = 0;
    }
    return true;
}

/* The smallest zone of at least `least` candidates that is not done with; equals: the lower number.
 * z->n: none. Cards without a zone (≤ 0) are of none. */
static uint16_t smallest(const struct zones *z, uint16_t least)
{
    uint16_t best = z->n;
    for (uint16_t i = 0; i < z->n; i++)
        if (z->zone[i] > 0 && z->count[i] >= least &&
            (best == z->n || z->count[i] < z->count[best] ||
             (z->count[i] == z->count[best] && z->zone[i] < z->zone[best])))
            best = i;
    return best;
}

bool select_zones_fit(const int32_t *zone, const uint8_t *at, uint16_t n, uint16_t want,
                      uint8_t *ret)
{
    assert(want >= 1);
    assert(n <= CARDS_MAX);
    if (n < want)
        return false;
    if (n == want) {
        memcpy(ret, at, want);
        return true;
    }
    struct zones z;
    zones_of(zone, at, n, &z);
    uint16_t taken = 0;
    uint16_t next = smallest(&z, want);
    if (next == z.n)
        next = smallest(&z, 1);
    while (taken < want && next < z.n) {
        taken = take_zone(zone, z.zone[next], at, n, want, ret, taken);
        z.count[next] = 0;
        next = smallest(&z, 1);
    }
    for (uint16_t i = 0; i < n && taken < want; i++)
        if (zone[at[i]] <= 0)
            ret[taken++] = at[i];
    return true;
}

int64_t select_zones_quality(const int32_t *zone, const uint8_t *set, uint16_t n)
{
    assert(n <= CARDS_MAX);
    struct zones z;
    zones_of(zone, set, n, &z);
    int64_t most = 0;
    for (uint16_t i = 0; i < z.n; i++) {
        if (z.zone[i] == SCORE_ZONE_NONE)
            return 0;
        most = z.count[i] > most ? z.count[i] : most;
    }
    return n ? most * 1000000 / n : 0;
}

/* vendors-b.md 1i: S(X). Zones ≤ 0 are none here as well as in the choice (D1.7). */
static int64_t links(const int32_t *zone, const uint8_t *at, uint16_t n)
{
    struct zones z;
    zones_of(zone, at, n, &z);
    int64_t pairs = 0;
    for (uint16_t i = 0; i < z.n; i++)
        pairs += z.zone[i] > 0 ? (int64_t)z.count[i] * (z.count[i] - 1) / 2 : 0;
    return 10 * pairs;
}

int64_t select_links_quality(const int32_t *zone, const uint8_t *idle, uint16_t idle_n,
                             const uint8_t *set, uint16_t n)
{
    assert(idle_n <= CARDS_MAX);
    bool taken[CARDS_MAX] = {false};
    uint8_t once[CARDS_MAX], left[CARDS_MAX];
    uint16_t once_n = 0, left_n = 0;
    for (uint16_t i = 0; i < n; i++) { /* a card of two containers is one card (D1.6) */
        if (!taken[set[i]])
            once[once_n++] = set[i];
        taken[set[i]] = true;
    }
    for (uint16_t i = 0; i < idle_n; i++)
        if (!taken[idle[i]])
            left[left_n++] = idle[i];
    const int64_t kept = links(zone, once, once_n);
    return 10 * kept - (links(zone, idle, idle_n) - kept - links(zone, left, left_n));
}
