/* The nearest cards by the values of their pairs: which (bind), and how near at most (filter,
 * prioritize: one look-up a node where the topology has its table). */
#include "score/select.h"

#include <assert.h>
#include <string.h>

#define CARDS_MAX SCORE_DEVICES_MAX

static inline int32_t pair_of(const struct score_topology *t, uint8_t a, uint8_t b)
{
    return t->pair[(uint32_t)a * t->n + b];
}

/* ---- exactly, for few cards ---- */

struct search {
    int32_t pair[SELECT_EXACT_MAX][SELECT_EXACT_MAX]; /* of candidates, not positions */
    int32_t most;                                     /* value of the best pair */
    uint8_t n, want;
    uint8_t set[SELECT_EXACT_MAX], best[SELECT_EXACT_MAX];
    int64_t floor;  /* only more than this is better than what was found */
    int64_t target; /* the greatest sum, where it is known: whoever reaches it is done */
    bool found;
    uint32_t steps;
};

/* Completes `set`, which has `depth` candidates before `from`. In lexicographic order, and only a
 * greater sum replaces what was found: so of equals the first is kept. */
static void descend(struct search *s, uint8_t depth, uint8_t from, int64_t sum)
{
    if (depth == s->want) {
        memcpy(s->best, s->set, s->want);
        s->floor = sum;
        s->found = true;
        return;
    }
    const int64_t pairs_left = s->want * (s->want - 1) / 2 - depth * (depth + 1) / 2;
    for (uint8_t i = from; i + (s->want - depth) <= s->n; i++) {
        int64_t with = sum;
        for (uint8_t k = 0; k < depth; k++)
            /* search_exact() sets pairs [0, n) but a card's with itself, which no set has */
            with += s->pair[s->set[k]][i]; /* NOLINT(clang-analyzer-core.uninitialized.Assign) */
        s->steps++;
        if (with + pairs_left * s->most <= s->floor)
            continue;
        s->set[depth] = i;
        descend(s, depth + 1, i + 1, with);
        if (s->floor == s->target)
            return;
    }
}

static void search_exact(const struct score_topology *t, const uint8_t *at, uint16_t n,
                         uint16_t want, uint8_t *ret, uint32_t *ret_steps)
{
    struct search s; /* member by member: clearing the pairs would take as long as the rest */
    s.n = (uint8_t)n;
    s.want = (uint8_t)want;
    s.most = INT32_MIN;
    s.floor = INT64_MIN;
    s.target = INT64_MAX;
    s.found = false;
    s.steps = 0;
    if (t->bound) {
        s.target = select_pairs_most(t, at, n, want);
        s.floor = s.target - 1;
    }
    for (uint16_t i = 0; i < n; i++)
        for (uint16_t j = i + 1; j < n; j++) {
            const int32_t value = pair_of(t, at[i], at[j]);
            s.pair[i][j] = s.pair[j][i] = value;
            s.most = value > s.most ? value : s.most;
        }
    descend(&s, 0, 0, 0);
    assert(s.found);
    for (uint16_t i = 0; i < want; i++)
        ret[i] = at[s.best[i]];
    *ret_steps = s.steps;
}

/* ---- nearly, for many ---- */

struct climb {
    const struct score_topology *t;
    const uint8_t *at;
    uint16_t n;
    bool in[CARDS_MAX];
    int64_t near[CARDS_MAX]; /* sum of the candidate's pairs with the set */
};

static void climb_put(struct climb *c, uint16_t i, bool in)
{
    c->in[i] = in;
    for (uint16_t j = 0; j < c->n; j++)
        if (j != i) {
            const int64_t value = pair_of(c->t, c->at[i], c->at[j]);
            c->near[j] += in ? value : -value;
        }
}

/* The first of the best pairs, then always the candidate that is nearest to those taken. */
static void climb_greedy(struct climb *c, uint16_t want)
{
    uint16_t a = 0, b = 1;
    for (uint16_t i = 0; i < c->n; i++)
        for (uint16_t j = i + 1; j < c->n; j++)
            if (pair_of(c->t, c->at[i], c->at[j]) > pair_of(c->t, c->at[a], c->at[b])) {
                a = i;
                b = j;
            }
    climb_put(c, a, true);
    climb_put(c, b, true);
    for (uint16_t taken = 2; taken < want; taken++) {
        uint16_t next = c->n;
        for (uint16_t i = 0; i < c->n; i++)
            if (!c->in[i] && (next == c->n || c->near[i] > c->near[next]))
                next = i;
        climb_put(c, next, true);
    }
}

/* Makes the exchange that wins most; false: none wins. */
static bool climb_exchange(struct climb *c)
{
    uint16_t out = 0, in = 0;
    int64_t most = 0;
    for (uint16_t i = 0; i < c->n; i++)
        for (uint16_t j = 0; c->in[i] && j < c->n; j++) {
            if (c->in[j])
                continue;
            const int64_t wins = c->near[j] - c->near[i] - pair_of(c->t, c->at[i], c->at[j]);
            if (wins > most) {
                most = wins;
                out = i;
                in = j;
            }
        }
    if (most == 0)
        return false;
    climb_put(c, out, false);
    climb_put(c, in, true);
    return true;
}

static void search_climb(const struct score_topology *t, const uint8_t *at, uint16_t n,
                         uint16_t want, uint8_t *ret)
{
    struct climb c = {.t = t, .at = at, .n = n};
    climb_greedy(&c, want);
    for (uint16_t round = 0; round < n && climb_exchange(&c); round++)
        ;
    for (uint16_t i = 0, taken = 0; i < n; i++)
        if (c.in[i])
            ret[taken++] = at[i];
}

/* ---- which ---- */

/* The cards that are no candidates, where they are fewer than those that are: what is left of a
 * card's sum over all is found by taking these off. */
static uint16_t left_out(const struct score_topology *t, const uint8_t *at, uint16_t n,
                         uint8_t *ret)
{
    unsigned mask = 0;
    for (uint16_t i = 0; i < n; i++)
        mask |= 1u << at[i];
    uint16_t out_n = 0;
    for (uint16_t i = 0; i < t->n; i++) {
        ret[out_n] = (uint8_t)i;
        out_n = (uint16_t)(out_n + !(mask >> i & 1));
    }
    return out_n;
}

void select_pairs_others(const struct score_topology *t, const uint8_t *at, uint16_t n,
                         int64_t *ret)
{
    uint8_t out[SCORE_NEAR_CARDS + 1];
    if (t->near && t->n - n < n) {
        const uint16_t out_n = left_out(t, at, n, out);
        for (uint16_t i = 0; i < n; i++) {
            ret[i] = t->near[at[i]].sum;
            for (uint16_t j = 0; j < out_n; j++)
                ret[i] -= pair_of(t, at[i], out[j]);
        }
        return;
    }
    for (uint16_t i = 0; i < n; i++) {
        ret[i] = 0;
        for (uint16_t j = 0; j < n; j++)
            ret[i] += j == i ? 0 : pair_of(t, at[i], at[j]);
    }
}

static uint8_t least_connected(const struct score_topology *t, const uint8_t *at, uint16_t n)
{
    int64_t others[CARDS_MAX];
    select_pairs_others(t, at, n, others);
    uint16_t least = 0;
    for (uint16_t i = 1; i < n; i++)
        least = others[i] < others[least] ? i : least;
    return at[least];
}

bool select_pairs_counted(const struct score_topology *t, const uint8_t *at, uint16_t n,
                          uint16_t want, uint8_t *ret, uint32_t *ret_steps)
{
    assert(want >= 1);
    assert(n <= CARDS_MAX);
    *ret_steps = 0;
    if (n < want)
        return false;
    for (uint16_t i = 0; t->pair && i < n; i++)
        assert(at[i] < t->n);
    if (n == want || !t->pair) /* without values all sets are alike, and the first is the first */
        memcpy(ret, at, want);
    else if (want == 1)
        ret[0] = least_connected(t, at, n);
    else if (n <= SELECT_EXACT_MAX)
        search_exact(t, at, n, want, ret, ret_steps);
    else
        search_climb(t, at, n, want, ret);
    return true;
}

bool select_pairs(const struct score_topology *t, const uint8_t *at, uint16_t n, uint16_t want,
                  uint8_t *ret)
{
    uint32_t steps;
    return select_pairs_counted(t, at, n, want, ret, &steps);
}

int64_t select_pairs_sum(const struct score_topology *t, const uint8_t *at, uint16_t n)
{
    int64_t sum = 0;
    for (uint16_t i = 0; t->pair && i < n; i++)
        for (uint16_t j = i + 1; j < n; j++)
            sum += pair_of(t, at[i], at[j]);
    return sum;
}

/* ---- how near at most ---- */

/* Sum of the `k` greatest of v[0, n); v is left in another order. Every round halves the range of
 * the values in which the k-th lies: no more rounds than the range has bits. */
static int64_t greatest_sum(int64_t *v, uint16_t n, uint16_t k)
{
    int64_t sum = 0;
    while (k > 0 && n > 0) {
        int64_t low = v[0], high = v[0];
        for (uint16_t i = 1; i < n; i++) {
            low = v[i] < low ? v[i] : low;
            high = v[i] > high ? v[i] : high;
        }
        if (low == high)
            return sum + low * (k < n ? k : n);
        const int64_t middle =
            low + (high - low) / 2; /* low ≤ middle < high: both sides get some */
        uint16_t upper = 0;
        int64_t upper_sum = 0;
        for (uint16_t i = 0; i < n; i++)
            if (v[i] > middle) {
                const int64_t swap = v[i];
                v[i] = v[upper];
                v[upper++] = swap;
                upper_sum += swap;
            }
        if (upper > k) {
            n = upper;
        } else {
            sum += upper_sum;
            v += upper;
            n = (uint16_t)(n - upper);
            k = (uint16_t)(k - upper);
        }
    }
    return sum;
}

/* The same for few values: the greatest so far in order. */
static int64_t few_greatest_sum(const int64_t *v, uint16_t n, uint16_t k)
{
    int64_t top[SCORE_NEAR_CARDS + 1] = {0}, sum = 0;
    assert(n <= SCORE_NEAR_CARDS);
    for (uint16_t i = 0; i < n; i++) {
        uint16_t to = i < k ? i : k;
        for (; to > 0 && top[to - 1] < v[i]; to--)
            top[to] = top[to - 1];
        top[to] = v[i];
    }
    for (uint16_t i = 0; i < k; i++)
        sum += top[i];
    return sum;
}

/* Of a card's pairs with cards of the mask, which has so many, the want − 1 greatest. */
static int64_t best_around(const struct score_topology *t, uint8_t card, unsigned mask,
                           uint16_t want)
{
    const uint8_t *order = t->near[card].order;
    int64_t sum = 0;
    for (int32_t left = want - 1; left > 0; order++) {
        const bool in = mask >> *order & 1;
        sum += in ? pair_of(t, card, *order) : 0;
        left -= in;
    }
    return sum;
}

int64_t select_pairs_most(const struct score_topology *t, const uint8_t *at, uint16_t n,
                          uint16_t want)
{
    assert(n >= want);
    if (!t->pair)
        return 0;
    unsigned mask = 0;
    if (t->bound) {
        for (uint16_t i = 0; i < n; i++)
            mask |= 1u << at[i];
        return t->bound[mask * (t->n + 1u) + want];
    }
    /* Each card of a set has want − 1 pairs in it, at best its best ones; each pair is counted from
     * both its ends. */
    int64_t best[CARDS_MAX];
    if (t->near) {
        for (uint16_t i = 0; i < n; i++)
            mask |= 1u << at[i];
        for (uint16_t i = 0; i < n; i++)
            best[i] = best_around(t, at[i], mask, want);
        return few_greatest_sum(best, n, want) / 2;
    }
    for (uint16_t i = 0; i < n; i++) {
        int64_t pairs[CARDS_MAX];
        uint16_t pairs_n = 0;
        for (uint16_t j = 0; j < n; j++)
            if (j != i)
                pairs[pairs_n++] = pair_of(t, at[i], at[j]);
        best[i] = greatest_sum(pairs, pairs_n, (uint16_t)(want - 1));
    }
    return greatest_sum(best, n, want) / 2;
}

void score_topology_bound(const int32_t *pair, uint16_t n, int64_t *ret)
{
    assert(n <= SCORE_BOUND_CARDS);
    for (uint32_t mask = 0; mask < 1u << n; mask++) {
        int64_t *best = &ret[mask * (n + 1u)];
        int64_t all = 0;
        for (uint16_t i = 0; i < n; i++)
            for (uint16_t j = i + 1; j < n; j++)
                all += (mask >> i & mask >> j & 1) ? pair[i * n + j] : 0;
        const int cards = __builtin_popcount(mask);
        for (uint16_t k = 0; k <= n; k++) {
            best[k] = k == cards ? all : INT64_MIN;
            /* fewer than all: without one of them */
            for (uint16_t i = 0; k < cards && i < n; i++)
                if (mask >> i & 1) {
                    const int64_t without = ret[(mask & ~(1u << i)) * (n + 1u) + k];
                    best[k] = without > best[k] ? without : best[k];
                }
        }
    }
}

void score_topology_near(const int32_t *pair, uint16_t n, struct score_near *ret)
{
    assert(n <= SCORE_NEAR_CARDS);
    for (uint16_t i = 0; i < n; i++) {
        struct score_near *near = &ret[i];
        uint16_t others = 0;
        *near = (struct score_near){.sum = 0};
        for (uint16_t j = 0; j < n; j++) {
            if (j == i)
                continue;
            uint16_t to = others++;
            for (; to > 0 && pair[i * n + near->order[to - 1]] < pair[i * n + j]; to--)
                near->order[to] = near->order[to - 1];
            near->order[to] = (uint8_t)j;
            near->sum += pair[i * n + j];
        }
    }
}
