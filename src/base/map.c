/* Linear probing over one array of slots; a deletion shifts the followers back, so that there are
 * no tombstones and lookups stay short however often names come and go. The whole hash is kept: it
 * is compared before the bytes, and growing needs no key. */
#include "base/map.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

struct slot {
    uint64_t hash; /* 0: empty */
    const char *key;
    uint32_t key_n;
    uint32_t value;
};

struct map {
    uint64_t seed;
    size_t mask; /* slots less one; a power of two */
    size_t count;
    struct slot *slots;
};

enum { SLOTS_MIN = 16 };

/* Full at three quarters: the longest runs stay within a few cache lines. */
static size_t room_of(size_t slots_n) { return slots_n / 4 * 3; }

static uint64_t hash_of(const struct map *m, struct str key)
{
    uint64_t h = hash_str(m->seed, key);
    return h ? h : 1;
}

struct map *map_new(uint64_t seed, size_t expect)
{
    size_t slots_n = SLOTS_MIN;
    while (room_of(slots_n) < expect) {
        if (slots_n > SIZE_MAX / 2 / sizeof(struct slot))
            return NULL;
        slots_n *= 2;
    }
    struct map *m = malloc(sizeof(*m));
    if (!m)
        return NULL;
    *m = (struct map){.seed = seed, .mask = slots_n - 1};
    m->slots = calloc(slots_n, sizeof(*m->slots));
    if (!m->slots) {
        free(m);
        return NULL;
    }
    return m;
}

void map_free(struct map *m)
{
    if (!m)
        return;
    free(m->slots);
    free(m);
}

struct map *map_clone(const struct map *m)
{
    struct map *copy = malloc(sizeof(*copy));
    if (!copy)
        return NULL;
    *copy = *m;
    copy->slots = malloc((m->mask + 1) * sizeof(*m->slots));
    if (!copy->slots) {
        free(copy);
        return NULL;
    }
    memcpy(copy->slots, m->slots, (m->mask + 1) * sizeof(*m->slots));
    return copy;
}

/* The key's slot, or the empty one where it would go. There always is an empty one. */
static size_t find(const struct map *m, uint64_t hash, struct str key)
{
    size_t i = (size_t)hash & m->mask;
    for (;; i = (i + 1) & m->mask) {
        const struct slot *s = &m->slots[i];
        if (s->hash == 0)
            return i;
        if (s->hash == hash && str_eq((struct str){s->key, s->key_n}, key))
            return i;
    }
}

static bool grow(struct map *m)
{
    size_t slots_n = (m->mask + 1) * 2;
    if (slots_n > SIZE_MAX / sizeof(struct slot))
        return false;
    struct slot *slots = calloc(slots_n, sizeof(*slots));
    if (!slots)
        return false;
    for (size_t i = 0; i <= m->mask; i++) {
        if (m->slots[i].hash == 0)
            continue;
        size_t to = (size_t)m->slots[i].hash & (slots_n - 1);
        while (slots[to].hash != 0)
            to = (to + 1) & (slots_n - 1);
        slots[to] = m->slots[i];
    }
    free(m->slots);
    m->slots = slots;
    m->mask = slots_n - 1;
    return true;
}

enum err_code map_put(struct map *m, struct str key, uint32_t value)
{
    if (key.n > UINT32_MAX)
        return ERR_TOO_LARGE;
    uint64_t hash = hash_of(m, key);
    size_t i = find(m, hash, key);
    if (m->slots[i].hash == 0) {
        if (m->count >= UINT32_MAX)
            return ERR_TOO_LARGE;
        if (m->count >= room_of(m->mask + 1)) {
            if (!grow(m))
                return ERR_NO_MEMORY;
            i = find(m, hash, key);
        }
        m->count++;
    }
    m->slots[i] = (struct slot){hash, key.p, (uint32_t)key.n, value};
    return ERR_OK;
}

bool map_get(const struct map *m, struct str key, uint32_t *ret)
{
    const struct slot *s = &m->slots[find(m, hash_of(m, key), key)];
    if (s->hash == 0)
        return false;
    *ret = s->value;
    return true;
}

bool map_del(struct map *m, struct str key)
{
    size_t hole = find(m, hash_of(m, key), key);
    if (m->slots[hole].hash == 0)
        return false;
    m->count--;
    /* Whoever stands behind the hole and may move into it, does: its home is not between hole and
     * itself. */
    for (size_t i = (hole + 1) & m->mask; m->slots[i].hash != 0; i = (i + 1) & m->mask) {
        size_t home = (size_t)m->slots[i].hash & m->mask;
        if (((i - home) & m->mask) >= ((i - hole) & m->mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct slot){0};
    return true;
}

size_t map_count(const struct map *m) { return m->count; }
