/* A hash map from borrowed strings to 32-bit numbers: node names to slots, UIDs to records.
 * Open addressing, keyed by a random seed so that hostile names can't collide on purpose. Not
 * thread-safe for writers; any number of readers while nobody writes. */
#ifndef CARDINAL_BASE_MAP_H
#define CARDINAL_BASE_MAP_H

#include "base/err.h"
#include "base/str.h"

struct map;
struct map *map_new(uint64_t seed, size_t expect); /* NULL: no memory */
void map_free(struct map *m);
struct map *map_clone(const struct map *m); /* same borrowed keys; NULL: no memory */
/* The key's bytes must outlive the entry. Replaces an equal key's value and key pointer. */
MUST_USE enum err_code map_put(struct map *m, struct str key, uint32_t value);
bool map_get(const struct map *m, struct str key, uint32_t *ret);
bool map_del(struct map *m, struct str key); /* false: wasn't there */
size_t map_count(const struct map *m);

#endif
