/* Topologies of nodes, each kept once: machines of one kind say the same of how their cards lie to
 * each other, and there are thousands of them. Whatever is equal here is the same pointer, so that
 * decisions may be remembered by it. */
#include "cluster/priv.h"

#include <stdlib.h>

/* Tables of bounds are 18 KiB each at most: 1024 of them are what is spent on it. Further ones do
 * without, which costs time where they are decided on, and nothing else. */
enum { BOUNDS_MAX = 1024, SWEEP_MIN = 1024 };

void topology_unref(struct topology *t)
{
    if (t && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1) {
        free((void *)(uintptr_t)t->pub.bound);
        free(t);
    }
}

static size_t pairs_n(const struct score_topology *t) { return t->pair ? (size_t)t->n * t->n : 0; }

static size_t numbers_of(const struct score_topology *t)
{
    return pairs_n(t) + (t->loss ? t->counts_n : 0) + (t->gain ? t->counts_n : 0);
}

static struct topology *topology_new(const struct score_topology *like)
{
    const size_t bytes = numbers_of(like) * sizeof(int32_t);
    struct topology *t = malloc(sizeof(*t) + bytes);
    if (!t)
        return NULL;
    *t = (struct topology){
        .bytes = bytes,
        .pub = {.n = like->n, .counts_n = like->counts_n, .aligned = like->aligned}};
    atomic_init(&t->refs, 1);
    int32_t *at = t->numbers;
    if (like->pair) {
        t->pub.pair = memcpy(at, like->pair, pairs_n(like) * sizeof(*at));
        at += pairs_n(like);
        if (t->pub.n <= SCORE_NEAR_CARDS) {
            score_topology_near(t->pub.pair, t->pub.n, t->near);
            t->pub.near = t->near;
        }
    }
    if (like->loss) {
        t->pub.loss = memcpy(at, like->loss, like->counts_n * sizeof(*at));
        at += like->counts_n;
    }
    if (like->gain)
        t->pub.gain = memcpy(at, like->gain, like->counts_n * sizeof(*at));
    return t;
}

/* False: no memory. */
static bool add_bound(struct topology *t)
{
    if (!t->pub.pair || t->pub.n > SCORE_BOUND_CARDS)
        return true;
    int64_t *bound = malloc(((size_t)(t->pub.n + 1) << t->pub.n) * sizeof(*bound));
    if (bound)
        score_topology_bound(t->pub.pair, t->pub.n, bound);
    t->pub.bound = bound;
    return bound;
}

static bool same(const struct topology *a, const struct topology *b)
{
    return a->bytes == b->bytes && a->pub.n == b->pub.n && a->pub.counts_n == b->pub.counts_n &&
           a->pub.aligned == b->pub.aligned && !a->pub.pair == !b->pub.pair &&
           !a->pub.loss == !b->pub.loss && !a->pub.gain == !b->pub.gain &&
           memcmp(a->numbers, b->numbers, a->bytes) == 0;
}

/* Lets go of those that only the table knows: nobody gets at them but through it. */
static void sweep(struct topologies *all)
{
    for (uint32_t i = 0; i < all->of.cap;) {
        struct topology *t = all->of.slot[i];
        if (!t || atomic_load_explicit(&t->refs, memory_order_acquire) > 1) {
            i++;
            continue;
        }
        all->bounds_n -= t->pub.bound != NULL;
        table_del(&all->of, t); /* moves another one here */
        topology_unref(t);
    }
    all->sweep_at = 2 * all->of.n > SWEEP_MIN ? 2 * all->of.n : SWEEP_MIN;
}

struct topology *topology_get(struct cluster_store *st, const struct score_topology *like)
{
    struct topologies *all = &st->topologies;
    struct topology *fresh = topology_new(like), *t;
    if (!fresh)
        return NULL;
    fresh->hash =
        (uint32_t)hash_str(st->cfg.hash_seed, (struct str){(char *)fresh->numbers, fresh->bytes});
    for (uint32_t at = 0; (t = table_find(&all->of, fresh->hash, &at));)
        if (same(t, fresh)) {
            topology_unref(fresh);
            atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
            return t;
        }
    if (all->of.n >= all->sweep_at)
        sweep(all);
    if (!table_reserve(&all->of) || (all->bounds_n < BOUNDS_MAX && !add_bound(fresh))) {
        topology_unref(fresh);
        return NULL;
    }
    all->bounds_n += fresh->pub.bound != NULL;
    table_put(&all->of, fresh);
    atomic_fetch_add_explicit(&fresh->refs, 1, memory_order_relaxed);
    return fresh;
}

void topologies_done(struct topologies *all)
{
    for (uint32_t i = 0; i < all->of.cap; i++)
        topology_unref(all->of.slot[i]);
    table_done(&all->of);
}
