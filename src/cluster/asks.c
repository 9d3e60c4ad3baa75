/* What recent pods asked for: a small histogram of the shapes of their asks, for policies that
 * weigh what will come next (architecture 3, scores). Each pod counts once, when it is first known.
 * Bounded: beyond ASKS_MAX shapes the rarest makes room; beyond RECENT asks all counts are halved,
 * so that those of the last few thousand pods decide. Integers, and the same order of events gives
 * the same numbers. */
#include "cluster/priv.h"

#define RECENT 4096

static bool same_shape(const struct cluster_ask_shape *s, const struct score_ask *ask)
{
    return s->vendor == ask->vendor && s->cards == ask->count && s->mem_mib == ask->mem_mib &&
           s->mem_pct == ask->mem_pct && s->cores_pct == ask->cores_pct && s->slices == ask->slices;
}

/* Those that come to nothing go: their places are the last ones. */
static void halve(struct asks *a)
{
    uint16_t kept = 0;
    a->total = 0;
    for (uint16_t i = 0; i < a->n; i++) {
        a->of[i].n /= 2;
        a->total += a->of[i].n;
        if (a->of[i].n > 0)
            a->of[kept++] = a->of[i];
    }
    a->n = kept;
}

/* The place of the ask's shape, made where it is new. */
static uint16_t place_of(struct asks *a, const struct score_ask *ask)
{
    uint16_t at = 0;
    while (at < a->n && !same_shape(&a->of[at], ask))
        at++;
    if (at < a->n)
        return at;
    if (at == CLUSTER_ASKS_MAX) /* in falling order: the last is the rarest */
        a->total -= a->of[--at].n;
    else
        a->n++;
    a->of[at] = (struct cluster_ask_shape){.vendor = ask->vendor,
                                           .cards = ask->count,
                                           .mem_mib = ask->mem_mib,
                                           .mem_pct = ask->mem_pct,
                                           .cores_pct = ask->cores_pct,
                                           .slices = ask->slices};
    return at;
}

static void count(struct asks *a, const struct score_ask *ask)
{
    uint16_t at = place_of(a, ask);
    a->of[at].n++;
    a->total++;
    for (; at > 0 && a->of[at].n > a->of[at - 1].n; at--) {
        struct cluster_ask_shape up = a->of[at];
        a->of[at] = a->of[at - 1];
        a->of[at - 1] = up;
    }
    if (a->total >= RECENT)
        halve(a);
}

void asks_count(struct asks *a, const struct score_request *req)
{
    for (uint16_t i = 0; i < req->asks_n; i++)
        count(a, &req->asks[i]);
}

uint16_t cluster_recent_asks(struct cluster_store *st, struct cluster_ask_shape *ret)
{
    pthread_mutex_lock(&st->lock);
    const uint16_t n = st->asks.n;
    memcpy(ret, st->asks.of, n * sizeof(*ret));
    pthread_mutex_unlock(&st->lock);
    return n;
}
