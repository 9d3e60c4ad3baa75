/* The hash of all tables here. Keyed, so that names from outside can't be made to collide by whoever
 * does not know the seed; a few nanoseconds a name, since one filter looks five thousand up. Inline
 * for that reason. Values never leave the process: byte order does not matter. */
#ifndef CARDINAL_BASE_HASH_H
#define CARDINAL_BASE_HASH_H

#include "base/str.h"

#include <string.h>

static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t hash_str(uint64_t seed, struct str s)
{
    uint64_t h = seed ^ hash_fold(s.n ^ 0x9e3779b97f4a7c15u, 0xd1b54a32d192ed03u), word;
    const char *p = s.p;
    size_t n = s.n;
    for (; n >= sizeof(word); p += sizeof(word), n -= sizeof(word)) {
        memcpy(&word, p, sizeof(word));
        h = hash_fold(h ^ word, seed ^ 0xa0761d6478bd642fu);
    }
    word = 0;
    if (n > 0)
        memcpy(&word, p, n);
    return hash_fold(h ^ word, 0xe7037ed1a0b428dbu ^ (seed << 1 | 1));
}

#endif
