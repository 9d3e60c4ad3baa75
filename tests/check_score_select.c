/* Which cards together: the contract's tables and examples, every algorithm against a search
 * written another way, and inputs that no maker would send. */
#include "score/select.h"

#include "check_score.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNTOUCHED 0xa5

/* ---- rows: positions and numbers as words ---- */

typedef bool select_fn(const int32_t *of, const uint8_t *at, uint16_t n, uint16_t want,
                       uint8_t *ret);

static bool any_blocks(const int32_t *index, const uint8_t *at, uint16_t n, uint16_t want,
                       uint8_t *ret)
{
    return select_blocks(index, false, at, n, want, ret);
}

static bool aligned_blocks(const int32_t *index, const uint8_t *at, uint16_t n, uint16_t want,
                           uint8_t *ret)
{
    return select_blocks(index, true, at, n, want, ret);
}

#define NONE    "-2147483648"
#define EIGHT   "0 1 2 3 4 5 6 7"
#define SIXTEEN "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"

// clang-format off
static const struct row {
    const char *name;
    select_fn *select;
    const char *of; /* zone or index of every card, by position */
    const char *at; /* candidates: positions, best first */
    uint16_t want;
    const char *get; /* positions in the order taken; NULL: no set */
} ROWS_OF[] = {
    /* vendors-a.md 1.7 T; equals: errata E-14 */
    {"zones: the larger group", select_zones, "0 0 0 0 1 1 1 1", "6 5 4 3 2 1 0", 4, "3 2 1 0"},
    {"zones: then the next", select_zones, "0 0 0 0 1 1 1 1", "6 5 4 3 2 1 0", 6, "3 2 1 0 6 5"},
    {"zones: one is the first, of whatever zone", select_zones, "0 0 0 0 1 1 1 1", "6 5 4 3 2 1 0", 1, "6"},
    {"zones: as many as wanted keep their order", select_zones, "0 0 0 1 1", "4 0 3 2 1", 5, "4 0 3 2 1"},
    {"zones: equal groups, the lower number", select_zones, "9 9 -3 -3", "0 1 2 3", 2, "2 3"},
    {"zones: equal groups, whichever is met first", select_zones, "-3 -3 9 9", "3 2 1 0", 3, "1 0 3"},
    {"zones: one too few", select_zones, "0 0 0", "0 1", 3, NULL},
    {"zones: the largest of three, then the larger of two", select_zones, "5 4 4 6 6 6", "0 1 2 3 4 5", 5, "3 4 5 1 2"},
    /* vendors-b.md 6g */
    {"zones: dies, three", select_zones, "1 1 1 1 2 2 2 2", "7 6 5 4 3 2", 3, "7 6 5"},
    {"zones: dies, five", select_zones, "1 1 1 1 2 2 2 2", "7 6 5 4 3 2", 5, "7 6 5 4 3"},
    {"ascend_defect_a4, cross_defect_d6_3: cards without a zone come last and count", select_zones,
     NONE " " NONE " " NONE " 7 8", "0 1 2 3 4", 4, "3 4 0 1"},
    /* vendors-b.md 1g */
    {"zones fit: the smallest that has enough, one", select_zones_fit, "1 1 2 2 2", "0 1 2 3 4", 1, "0"},
    {"zones fit: the smallest that has enough, two", select_zones_fit, "1 1 2 2 2", "0 1 2 3 4", 2, "0 1"},
    {"zones fit: the smallest that has enough, three", select_zones_fit, "1 1 2 2 2", "0 1 2 3 4", 3, "2 3 4"},
    {"zones fit: none has enough, from small to large", select_zones_fit, "1 1 2 2 2", "2 3 0 1 4", 4, "0 1 2 3"},
    {"zones fit: cards without a zone after all others", select_zones_fit, "0 1 1", "0 1 2", 3, "0 1 2"},
    {"zones fit: cards without a zone after all others, one over", select_zones_fit, "0 1 1 0", "3 0 1 2", 3, "1 2 3"},
    {"zones fit: one zone of no number is no zone", select_zones_fit, "0 0 0 1", "0 1 2 3", 2, "3 0"},
    {"metax_defect_d1_7: negative zones are none", select_zones_fit, "-4 -4 2 3", "0 1 2 3", 2, "2 3"},
    {"zones fit: no zone at all", select_zones_fit, NONE " 0 -1", "2 0 1", 2, "2 0"},
    {"zones fit: equal zones, the lower number", select_zones_fit, "6 6 5 5", "0 1 2 3", 2, "2 3"},
    {"zones fit: exactly enough goes before more than enough", select_zones_fit, "1 1 1 2 2", "0 1 2 3 4", 2, "3 4"},
    {"zones fit: as many as wanted keep their order", select_zones_fit, "2 1 2", "0 1 2", 3, "0 1 2"},
    {"zones fit: one too few", select_zones_fit, "1 1", "0 1", 3, NULL},
    /* vendors-a.md 1.7 P */
    {"modules: two whole ones", select_modules, EIGHT, "0 1 2 4 5", 4, "0 1 4 5"},
    {"modules: one whole one and three halves", select_modules, EIGHT, "0 1 2 4 6", 4, NULL},
    {"modules: two halves", select_modules, EIGHT, "0 2", 2, NULL},
    {"modules: neighbours of two modules", select_modules, EIGHT, "1 2", 2, NULL},
    {"modules: in the order of candidates", select_modules, EIGHT, "7 3 0 2 6 1", 4, "7 6 3 2"},
    {"modules: no more than wanted", select_modules, EIGHT, "0 1 2 3", 2, "0 1"},
    {"ascend_defect_a2: an odd number never fits", select_modules, EIGHT, "0 1 2 3", 3, NULL},
    {"modules: gaps in the indices", select_modules, "1 2 4 5 7", "0 1 2 3 4", 2, "2 3"},
    {"modules: a card below 0 is of none", select_modules, "-1 -2 0", "0 1 2", 2, NULL},
    {"modules: largest index", select_modules, "2147483646 2147483647", "1 0", 2, "1 0"},
    {"modules: two cards of one index are not a module", select_modules, "4 4", "0 1", 2, NULL},
    /* vendors-b.md 3g */
    {"wings: none used, one", select_wings, EIGHT, EIGHT, 1, "0"},
    {"wings: none used, two", select_wings, EIGHT, EIGHT, 2, "0 1"},
    {"wings: none used, four", select_wings, EIGHT, EIGHT, 4, "0 1 2 3"},
    {"wings: none used, eight", select_wings, EIGHT, "7 0 6 1 5 2 4 3", 8, EIGHT},
    {"wings: 1 used, one", select_wings, EIGHT, "0 2 3 4 5 6 7", 1, "0"},
    {"wings: 1 used, two", select_wings, EIGHT, "0 2 3 4 5 6 7", 2, "0 2"},
    {"wings: 1 used, four", select_wings, EIGHT, "0 2 3 4 5 6 7", 4, "4 5 6 7"},
    {"wings: 1 used, eight", select_wings, EIGHT, "0 2 3 4 5 6 7", 8, NULL},
    {"wings: 6 and 7 used, one", select_wings, EIGHT, "0 1 2 3 4 5", 1, "4"},
    {"wings: 6 and 7 used, two", select_wings, EIGHT, "0 1 2 3 4 5", 2, "4 5"},
    {"wings: 0 1 4 5 6 used, one", select_wings, EIGHT, "2 3 7", 1, "7"},
    {"wings: 0 1 4 5 6 used, two", select_wings, EIGHT, "2 3 7", 2, "2 3"},
    {"wings: 0 1 3 4 5 7 used, two", select_wings, EIGHT, "2 6", 2, "2 6"},
    {"wings: 0 1 2 5 6 7 used, two", select_wings, EIGHT, "3 4", 2, NULL},
    {"wings: 0 4 5 used, four", select_wings, EIGHT, "1 2 3 6 7", 4, "2 3 6 7"},
    {"wings: 1 4 used, four", select_wings, EIGHT, "0 2 3 5 6 7", 4, "2 3 6 7"},
    {"wings: 1 2 4 used, four", select_wings, EIGHT, "0 3 5 6 7", 4, NULL},
    {"wings: six free, the leftover pair decides", select_wings, EIGHT, "0 1 2 4 5 6", 4, "0 1 4 5"},
    {"wings: three", select_wings, EIGHT, EIGHT, 3, NULL},
    {"wings: five", select_wings, EIGHT, EIGHT, 5, NULL},
    {"wings: nobody is free", select_wings, EIGHT, "", 1, NULL},
    {"kunlun_defect_d3_1: 5 used, spread, four", select_wings, EIGHT, "0 1 2 3 4 6 7", 4, "0 1 2 3"},
    {"kunlun_defect_d3_1: 2 used, binpack, four", select_wings, EIGHT, "0 1 3 4 5 6 7", 4, "4 5 6 7"},
    {"kunlun_defect_d3_1: the policy's order does not count", select_wings, EIGHT, "4 7 3 1 6 0", 2, "0 1"},
    {"kunlun_defect_d3_1: 1 2 4 used, spread, four", select_wings, EIGHT, "7 6 5 3 0", 4, NULL},
    {"kunlun_defect_d3_1: by index where cards are missing", select_wings, "2 3 4 5 6 7", "0 1 2 3 4 5", 4, "2 3 4 5"},
    {"kunlun_defect_d3_4: eight of sixteen", select_wings, SIXTEEN, "0 1 2 3 8 9 10 11", 8, NULL},
    {"kunlun_defect_d3_4: the cards above 7 do not count", select_wings, SIXTEEN, "4 5 6 7 8 9 10 11", 4, "4 5 6 7"},
    {"wings: sixteen, none of the eight", select_wings, SIXTEEN, "8 9 10 11 12", 1, NULL},
    {"wings: a card below 0", select_wings, "-1 0", "0 1", 2, NULL},
    {"wings: an index twice is nobody's", select_wings, "0 0 1 2", "0 1 2 3", 2, "2 3"},
    {"wings: an index three times is nobody's", select_wings, "0 0 0 1", "0 1 2 3", 2, NULL},
    /* vendors-b.md 4g: 16 devices, 1 and 9 used */
#define BUT_1_AND_9 "15 14 13 12 11 10 8 7 6 5 4 3 2 0"
    {"blocks: any, two", any_blocks, SIXTEEN, BUT_1_AND_9, 2, "2 3"},
    {"blocks: any, four", any_blocks, SIXTEEN, BUT_1_AND_9, 4, "2 3 4 5"},
    {"blocks: any, six", any_blocks, SIXTEEN, BUT_1_AND_9, 6, "2 3 4 5 6 7"},
    {"blocks: any, seven", any_blocks, SIXTEEN, BUT_1_AND_9, 7, "2 3 4 5 6 7 8"},
    {"blocks: any, eight", any_blocks, SIXTEEN, BUT_1_AND_9, 8, NULL},
    {"blocks: aligned, two", aligned_blocks, SIXTEEN, BUT_1_AND_9, 2, NULL}, /* kept: D4.3 */
    {"blocks: aligned, four", aligned_blocks, SIXTEEN, BUT_1_AND_9, 4, "4 5 6 7"},
    {"blocks: aligned, six", aligned_blocks, SIXTEEN, BUT_1_AND_9, 6, NULL},
    {"blocks: aligned, eight", aligned_blocks, SIXTEEN, BUT_1_AND_9, 8, NULL},
    {"blocks: aligned, one", aligned_blocks, SIXTEEN, "3 2", 1, "2"},
    {"blocks: aligned, sixteen", aligned_blocks, SIXTEEN, SIXTEEN, 16, SIXTEEN},
    {"blocks: aligned, the second eight", aligned_blocks, SIXTEEN, "7 6 5 4 3 2 1 8 9 10 11 12 13 14 15", 8, "8 9 10 11 12 13 14 15"},
    {"blocks: aligned, a run across the border", aligned_blocks, SIXTEEN, "2 3 4 5 6", 4, NULL},
    {"blocks: any, a run across the border", any_blocks, SIXTEEN, "2 3 4 5 6", 4, "2 3 4 5"},
    {"blocks: any, at the end", any_blocks, SIXTEEN, "0 15 14 13", 3, "13 14 15"},
    {"blocks: a gap in the indices", any_blocks, "0 1 3 4 5", "0 1 2 3 4", 3, "2 3 4"},
    {"blocks: by index, not by position", aligned_blocks, "3 4 5 6 7", "0 1 2 3 4", 4, "1 2 3 4"},
    {"blocks: an index twice is one neighbour", any_blocks, "0 0 1 1 2", "0 1 2 3 4", 3, "0 2 4"},
    {"blocks: an index twice is not two", any_blocks, "0 0", "0 1", 2, NULL},
    {"blocks: below 0", any_blocks, "-2 -1 0", "0 1 2", 2, NULL},
    {"blocks: the largest indices", any_blocks, "2147483646 2147483647 2147483647", "0 1 2", 2, "0 1"},
    {"blocks: none beyond the largest", any_blocks, "2147483647 2147483647", "0 1", 2, NULL},
    {"blocks: one too few", any_blocks, "0 1", "0 1", 3, NULL},
};
// clang-format on

static uint16_t read_numbers(const char *text, int32_t *ret)
{
    uint16_t n = 0;
    char *end = NULL;
    for (const char *p = text; *p; p = *end ? end + 1 : end)
        ret[n++] = (int32_t)strtol(p, &end, 10);
    return n;
}

static uint16_t read_positions(const char *text, uint8_t *ret)
{
    int32_t numbers[SCORE_DEVICES_MAX];
    const uint16_t n = read_numbers(text, numbers);
    for (uint16_t i = 0; i < n; i++)
        ret[i] = (uint8_t)numbers[i];
    return n;
}

static const char *write_positions(const uint8_t *at, uint16_t n)
{
    static char text[2][4 * SCORE_DEVICES_MAX + 1];
    static unsigned which;
    char *const start = text[which++ % 2];
    char *p = start;
    *p = '\0';
    for (uint16_t i = 0; i < n; i++)
        p += sprintf(p, "%s%d", i ? " " : "", at[i]);
    return start;
}

START_TEST(by_hand)
{
    const struct row *row = &ROWS_OF[_i];
    int32_t of[SCORE_DEVICES_MAX];
    uint8_t at[SCORE_DEVICES_MAX], got[SCORE_DEVICES_MAX];
    (void)read_numbers(row->of, of);
    const uint16_t n = read_positions(row->at, at);
    memset(got, UNTOUCHED, sizeof(got));
    const bool there = row->select(of, at, n, row->want, got);
    ck_assert_msg(there == (row->get != NULL), "%s: %s, got %s", row->name,
                  row->get ? "refused" : "not refused", write_positions(got, row->want));
    for (unsigned i = there ? row->want : 0; i < sizeof(got); i++)
        ck_assert_msg(got[i] == UNTOUCHED, "%s: wrote beyond its answer at %u", row->name, i);
    if (there)
        ck_assert_msg(strcmp(write_positions(got, row->want), row->get) == 0, "%s: want %s, got %s",
                      row->name, row->get, write_positions(got, row->want));
}
END_TEST

/* ---- pairs ---- */

struct topo { /* values of pairs of up to 256 cards */
    struct score_topology t;
    int32_t pair[SCORE_DEVICES_MAX * SCORE_DEVICES_MAX];
    int64_t bound[(1 << SCORE_BOUND_CARDS) * (SCORE_BOUND_CARDS + 1)];
    struct score_near near[SCORE_NEAR_CARDS];
};
static struct topo TOPO;

static void set_pair(struct topo *x, unsigned a, unsigned b, int32_t value)
{
    x->pair[a * x->t.n + b] = x->pair[b * x->t.n + a] = value;
}

static struct topo *topo_of(uint16_t n, int32_t all)
{
    struct topo *x = &TOPO;
    x->t = (struct score_topology){.n = n, .pair = x->pair};
    for (unsigned i = 0; i < n; i++) /* a card's value to itself is nobody's business */
        for (unsigned j = 0; j < n; j++)
            x->pair[i * n + j] = i == j ? INT32_MAX : all;
    return x;
}

static struct topo *topo_bound(struct topo *x)
{
    score_topology_bound(x->pair, x->t.n, x->bound);
    x->t.bound = x->bound;
    return x;
}

static struct topo *topo_near(struct topo *x)
{
    score_topology_near(x->pair, x->t.n, x->near);
    x->t.near = x->near;
    return x;
}

/* Cards a…h; pairs as "ab420", all others `other`. */
// clang-format off
static const struct pairs_row {
    const char *name;
    uint16_t cards;
    int32_t other;
    const char *pairs;
    const char *at;
    uint16_t want;
    const char *get;
    int64_t sum;
} PAIRS[] = {
    /* nvidia.md 7.2 */
    {"two of two equal pairs: the first met", 4, 10, "ab420 cd420", "dcba", 2, "dc", 420},
    {"one, all alike: the first", 4, 10, "ab420 cd420", "dcba", 1, "d", 0},
    {"one, c is full: the least connected", 4, 10, "ab420 cd420", "dba", 1, "d", 0},
    {"one, the least connected is the last", 4, 10, "ab420 cd420", "bad", 1, "d", 0},
    {"as many as wanted: in their order", 4, 10, "ab420 cd420", "bdac", 4, "bdac", 880},
    {"as many as wanted: one", 4, 10, "ab420 cd420", "b", 1, "b", 0},
    {"one too few", 4, 10, "ab420 cd420", "b", 2, NULL, 0},
    {"nobody", 4, 10, "ab420 cd420", "", 1, NULL, 0},
    {"no values but 0: one", 4, 0, "", "cab", 1, "c", 0},
    {"no values but 0: two", 4, 0, "", "cabd", 2, "ca", 0},
    {"the answer keeps the order of candidates", 4, 0, "ad5", "dcba", 2, "da", 5},
    {"three: a triangle before a strong pair", 6, 0, "ab100 cd70 de70 ce70", "abcdef", 3, "cde", 210},
    {"three: the pair and whoever comes first", 5, 0, "de9", "abcde", 3, "ade", 9},
    {"equals: lexicographically first", 5, 0, "bc7 ae7", "abcde", 2, "ae", 7},
    {"equals by several ways", 6, 0, "ab1 cd1 ef1", "fabcde", 4, "fabe", 2},
    {"negative: the least bad", 4, -5, "bc-1", "abcd", 2, "bc", -1},
    {"negative: a card to be avoided", 4, 0, "ab-3 ac-3 ad-3", "abcd", 3, "bcd", 0},
    {"negative: one is the most avoided", 4, 0, "cb-3 cd-3", "abcd", 1, "c", 0},
    {"the greatest is not among the first", 8, 1, "gh9", "abcdefgh", 2, "gh", 9},
};
// clang-format on

static uint16_t read_letters(const char *text, uint8_t *ret)
{
    uint16_t n = 0;
    for (; text[n]; n++)
        ret[n] = (uint8_t)(text[n] - 'a');
    return n;
}

static struct topo *read_pairs(uint16_t cards, int32_t other, const char *text)
{
    struct topo *x = topo_of(cards, other);
    for (const char *p = text; *p; p += *p == ' ') {
        char *end = NULL;
        set_pair(x, (unsigned)(p[0] - 'a'), (unsigned)(p[1] - 'a'),
                 (int32_t)strtol(p + 2, &end, 10));
        p = end;
    }
    return x;
}

START_TEST(pairs)
{
    const struct pairs_row *row = &PAIRS[_i];
    const struct topo *x = topo_bound(read_pairs(row->cards, row->other, row->pairs));
    uint8_t at[8], got[8], want[8] = {0};
    const uint16_t n = read_letters(row->at, at);
    memset(got, UNTOUCHED, sizeof(got));
    const bool there = select_pairs(&x->t, at, n, row->want, got);
    ck_assert_msg(there == (row->get != NULL), "%s: %d", row->name, there);
    for (unsigned i = there ? row->want : 0; i < sizeof(got); i++)
        ck_assert_msg(got[i] == UNTOUCHED, "%s: wrote beyond its answer", row->name);
    if (!there)
        return;
    (void)read_letters(row->get, want);
    ck_assert_msg(memcmp(got, want, row->want) == 0, "%s: got %s, as numbers", row->name,
                  write_positions(got, row->want));
    ck_assert_msg(select_pairs_sum(&x->t, got, row->want) == row->sum, "%s: sum", row->name);
    if (row->want > 1)
        ck_assert_msg(select_pairs_most(&x->t, at, n, row->want) == row->sum, "%s: most",
                      row->name);
}
END_TEST

START_TEST(pairs_not_known)
{
    const struct score_topology t = {.n = 4};
    const uint8_t at[] = {3, 1, 0, 2};
    uint8_t got[4];
    for (uint16_t want = 1; want <= 4; want++) {
        ck_assert(select_pairs(&t, at, 4, want, got));
        ck_assert_int_eq(memcmp(got, at, want), 0);
        ck_assert_int_eq(select_pairs_most(&t, at, 4, want), 0);
    }
    ck_assert(!select_pairs(&t, at, 4, 5, got));
    ck_assert_int_eq(select_pairs_sum(&t, at, 4), 0);
}
END_TEST

static void shuffle(struct rnd *r, uint8_t *at, uint16_t n)
{
    for (uint16_t i = n; i > 1; i--) {
        const uint16_t j = (uint16_t)rnd_in(r, 0, i - 1);
        const uint8_t swap = at[i - 1];
        at[i - 1] = at[j];
        at[j] = swap;
    }
}

/* Some of the cards [0, cards) in any order. */
static uint16_t some_of(struct rnd *r, uint16_t cards, uint8_t *ret)
{
    uint8_t all[SCORE_DEVICES_MAX];
    for (uint16_t i = 0; i < cards; i++)
        all[i] = (uint8_t)i;
    shuffle(r, all, cards);
    const uint16_t n = (uint16_t)rnd_in(r, 0, cards);
    memcpy(ret, all, n);
    return n;
}

static struct topo *random_pairs(struct rnd *r, uint16_t cards)
{
    struct topo *x = topo_of(cards, 0);
    static const int32_t RANGES[][2] = {{0, 1},
                                        {-1, 1},
                                        {0, 60},
                                        {-1000, -900},
                                        {-SCORE_PAIR_MAX, SCORE_PAIR_MAX},
                                        {INT32_MIN, INT32_MAX}};
    const int32_t *range = RANGES[rnd_in(r, 0, ROWS(RANGES) - 1)];
    for (unsigned i = 0; i < cards; i++)
        for (unsigned j = i + 1; j < cards; j++)
            set_pair(x, i, j, (int32_t)rnd_in(r, range[0], range[1]));
    return x;
}

/* All sets as numbers from the greatest: the first candidate is the highest bit, so that sets come
 * in lexicographic order. */
static int64_t all_pairs(const struct topo *x, const uint8_t *at, uint16_t n, uint16_t want,
                         uint8_t *ret)
{
    int64_t best = INT64_MIN;
    for (uint32_t set = 1u << n; set-- > 0;) {
        if (__builtin_popcount(set) != want)
            continue;
        uint8_t cards[16];
        uint16_t k = 0;
        for (unsigned i = 0; i < n; i++)
            if (set >> (n - 1u - i) & 1)
                cards[k++] = at[i];
        int64_t twice = 0;
        for (unsigned i = 0; i < k; i++)
            for (unsigned j = 0; j < k; j++)
                twice += i == j ? 0 : x->pair[cards[i] * x->t.n + cards[j]];
        if (twice / 2 > best) {
            best = twice / 2;
            memcpy(ret, cards, k);
        }
    }
    return best;
}

/* The lowest sum to the others, in the order of candidates. */
static uint8_t loneliest(const struct topo *x, const uint8_t *at, uint16_t n)
{
    int64_t least = INT64_MAX;
    uint8_t ret = 0;
    for (unsigned i = n; i-- > 0;) {
        int64_t sum = -(int64_t)x->pair[at[i] * x->t.n + at[i]];
        for (unsigned j = 0; j < n; j++)
            sum += x->pair[at[i] * x->t.n + at[j]];
        if (sum <= least) {
            least = sum;
            ret = at[i];
        }
    }
    return ret;
}

static int64_t choose(int n, int k)
{
    int64_t c = 1;
    for (int i = 1; i <= k; i++)
        c = c * (n - k + i) / i;
    return c;
}

static void agree_on_pairs(const struct topo *x, const uint8_t *at, uint16_t n, uint16_t want)
{
    uint8_t got[16] = {0}, again[16] = {0}, best[16] = {0};
    uint32_t steps = 0;
    ck_assert(select_pairs_counted(&x->t, at, n, want, got, &steps));
    ck_assert(select_pairs(&x->t, at, n, want, again));
    ck_assert_msg(memcmp(got, again, want) == 0, "PROP_SEED=%" PRIu64 ": twice", case_seed);
    ck_assert_msg(steps <= choose(n + 1, want) - 1, "PROP_SEED=%" PRIu64 ": %u steps for %d of %d",
                  case_seed, steps, want, n);
    const int64_t sum = all_pairs(x, at, n, want, best);
    if (want == 1 && n > 1)
        best[0] = loneliest(x, at, n);
    else
        ck_assert_msg(select_pairs_sum(&x->t, got, want) == sum,
                      "PROP_SEED=%" PRIu64 ": %d of %s: sum", case_seed, want,
                      write_positions(at, n));
    ck_assert_msg(memcmp(got, best, want) == 0, "PROP_SEED=%" PRIu64 ": %d of %s: want %s, got %s",
                  case_seed, want, write_positions(at, n), write_positions(best, want),
                  write_positions(got, want));
    const int64_t most = select_pairs_most(&x->t, at, n, want);
    ck_assert_msg(x->t.bound ? most == sum : most >= sum,
                  "PROP_SEED=%" PRIu64 ": %d of %d: most %lld, best %lld", case_seed, want, n,
                  (long long)most, (long long)sum);
}

/* Every set of candidates of eight cards, every number of them. */
START_TEST(pairs_all_masks)
{
    struct rnd r = {case_seed = seed_start() + (uint64_t)_i};
    struct topo *x = random_pairs(&r, 8);
    for (unsigned mask = 1; mask < 256; mask++) {
        uint8_t at[8];
        uint16_t n = 0;
        for (unsigned i = 0; i < 8; i++)
            if (mask >> i & 1)
                at[n++] = (uint8_t)i;
        shuffle(&r, at, n);
        for (uint16_t want = 1; want <= n; want++) {
            x->t.bound = NULL;
            agree_on_pairs(x, at, n, want);
            (void)topo_bound(x);
            agree_on_pairs(x, at, n, want);
        }
    }
}
END_TEST

/* What is known of each card beforehand changes no answer, neither the cards nor the bound. */
START_TEST(near_cards_say_the_same)
{
    for (unsigned i = 0; i < 300; i++) {
        struct rnd r = {case_seed = seed_start() + i};
        struct topo *x = random_pairs(&r, (uint16_t)rnd_in(&r, 1, SCORE_NEAR_CARDS));
        uint8_t at[16], slow[16], quick[16];
        const uint16_t n = some_of(&r, x->t.n, at);
        for (uint16_t want = 1; want <= n; want++) {
            x->t.near = NULL;
            ck_assert(select_pairs(&x->t, at, n, want, slow));
            const int64_t most = select_pairs_most(&x->t, at, n, want);
            (void)topo_near(x);
            ck_assert(select_pairs(&x->t, at, n, want, quick));
            ck_assert_msg(memcmp(slow, quick, want) == 0, "PROP_SEED=%" PRIu64 ": %d of %d",
                          case_seed, want, n);
            ck_assert_msg(select_pairs_most(&x->t, at, n, want) == most,
                          "PROP_SEED=%" PRIu64 ": the bound of %d of %d", case_seed, want, n);
        }
    }
}
END_TEST

START_TEST(near_cards)
{
    struct topo *x = topo_near(read_pairs(4, 10, "ab420 cd420 bd-7"));
    ck_assert_int_eq(x->near[0].sum, 440);
    ck_assert_int_eq(x->near[1].sum, 423);
    ck_assert_int_eq(memcmp(x->near[0].order, (uint8_t[]){1, 2, 3}, 3), 0); /* equals: in order */
    ck_assert_int_eq(memcmp(x->near[1].order, (uint8_t[]){0, 2, 3}, 3), 0);
    ck_assert_int_eq(memcmp(x->near[3].order, (uint8_t[]){2, 0, 1}, 3), 0);
}
END_TEST

START_TEST(pairs_up_to_ten)
{
    for (unsigned i = 0; i < 60; i++) {
        struct rnd r = {case_seed = seed_start() + i};
        const struct topo *x = random_pairs(&r, 10);
        uint8_t at[10];
        const uint16_t n = some_of(&r, 10, at);
        for (uint16_t want = 1; want <= n; want++)
            agree_on_pairs(x, at, n, want);
    }
}
END_TEST

START_TEST(pairs_up_to_sixteen)
{
    struct rnd r = {case_seed = seed_start() + (uint64_t)_i};
    const struct topo *x = random_pairs(&r, 40);
    uint8_t at[40];
    uint16_t n = 0;
    while (n < 11)
        n = some_of(&r, 40, at);
    n = n < SELECT_EXACT_MAX && _i ? n : SELECT_EXACT_MAX;
    agree_on_pairs(x, at, n, (uint16_t)rnd_in(&r, 1, n));
    if (n == SELECT_EXACT_MAX)
        agree_on_pairs(x, at, n, 8);
}
END_TEST

/* The table of greatest sums, without any of our own functions. */
START_TEST(bounds)
{
    for (uint16_t cards = 0; cards <= SCORE_BOUND_CARDS; cards++) {
        struct rnd r = {case_seed = seed_start() + cards};
        struct topo *x = topo_bound(random_pairs(&r, cards));
        for (unsigned mask = 0; mask < 1u << cards; mask++) {
            uint8_t at[8], best[8];
            uint16_t n = 0;
            for (unsigned i = 0; i < cards; i++)
                if (mask >> i & 1)
                    at[n++] = (uint8_t)i;
            for (uint16_t k = 0; k <= cards; k++) {
                const int64_t want = all_pairs(x, at, n, k, best);
                ck_assert_msg(x->bound[mask * (cards + 1u) + k] == want,
                              "%d cards, mask %#x, %d: want %lld, got %lld", cards, mask, k,
                              (long long)want, (long long)x->bound[mask * (cards + 1u) + k]);
            }
        }
    }
}
END_TEST

/* Without a table: nothing is lost where each card has as good a set around it. */
START_TEST(bound_of_islands)
{
    struct topo *x = topo_of(16, 10);
    for (unsigned i = 0; i < 16; i++)
        for (unsigned j = 0; j < 16; j++)
            if (i != j && i / 8 == j / 8)
                set_pair(x, i, j, 420);
    const uint8_t halves[] = {0, 8, 1, 9, 2, 10, 3, 11};
    uint8_t got[16];
    ck_assert(select_pairs(&x->t, halves, 8, 4, got));
    ck_assert_str_eq(write_positions(got, 4), "0 1 2 3");
    ck_assert_int_eq(select_pairs_most(&x->t, halves, 8, 4), 6 * 420);
    ck_assert_int_eq(select_pairs_most(&x->t, halves, 8, 8), 12 * 420 + 16 * 10);
    ck_assert_int_eq(select_pairs_most(&x->t, halves, 8, 1), 0);
    for (unsigned i = 0; i < 16; i++)
        for (unsigned j = 0; j < 16; j++)
            if (i != j)
                x->pair[i * 16 + j] = -x->pair[i * 16 + j];
    ck_assert_int_eq(select_pairs_most(&x->t, halves, 8, 2), -10);
    ck_assert_int_eq(select_pairs_most(&x->t, halves, 8, 8), -(12 * 420 + 16 * 10));
}
END_TEST

/* Cards that are all alike are not searched through. */
START_TEST(pairs_alike_are_cheap)
{
    const struct topo *x = topo_of(16, 1800);
    uint8_t at[16], got[16];
    for (uint8_t i = 0; i < 16; i++)
        at[i] = i;
    uint32_t steps = 0;
    ck_assert(select_pairs_counted(&x->t, at, 16, 8, got, &steps));
    ck_assert_uint_le(steps, 8 * 9);
    ck_assert_str_eq(write_positions(got, 8), "0 1 2 3 4 5 6 7");
}
END_TEST

/* Where the cut never bites: one great pair at the end makes every set hopeful. */
START_TEST(core_defect_s6_nvidia_defect_n2_pairs_worst_case)
{
    struct topo *x = topo_of(16, 0);
    set_pair(x, 14, 15, SCORE_PAIR_MAX);
    uint8_t at[16], got[16];
    for (uint8_t i = 0; i < 16; i++)
        at[i] = i;
    uint32_t steps = 0;
    ck_assert(select_pairs_counted(&x->t, at, 16, 8, got, &steps));
    ck_assert_uint_gt(steps, 1000); /* or this is no worst case */
    ck_assert_uint_le(steps, 24309);
    ck_assert_str_eq(write_positions(got, 8), "0 1 2 3 4 5 14 15");
}
END_TEST

/* ---- more cards than are searched exactly ---- */

/* No exchange of one card makes it better. */
static bool at_top(const struct topo *x, const uint8_t *at, uint16_t n, const uint8_t *set,
                   uint16_t want)
{
    const int64_t sum = select_pairs_sum(&x->t, set, want);
    for (unsigned i = 0; i < want; i++)
        for (unsigned j = 0; j < n; j++) {
            uint8_t other[SCORE_DEVICES_MAX];
            memcpy(other, set, want);
            if (memchr(set, at[j], want))
                continue;
            other[i] = at[j];
            if (select_pairs_sum(&x->t, other, want) > sum)
                return false;
        }
    return true;
}

static bool in_order_of(const uint8_t *at, uint16_t n, const uint8_t *set, uint16_t want)
{
    uint16_t k = 0;
    for (uint16_t i = 0; i < n && k < want; i++)
        k = (uint16_t)(k + (at[i] == set[k]));
    return k == want;
}

START_TEST(pairs_of_many)
{
    struct rnd r = {case_seed = seed_start() + (uint64_t)_i};
    const struct topo *x = random_pairs(&r, 40);
    uint8_t at[40], got[40], again[40];
    uint16_t n = 0;
    while (n <= SELECT_EXACT_MAX)
        n = some_of(&r, 40, at);
    for (uint16_t want = 1; want <= n; want = (uint16_t)(want + 3)) {
        memset(got, UNTOUCHED, sizeof(got));
        ck_assert(select_pairs(&x->t, at, n, want, got));
        ck_assert(select_pairs(&x->t, at, n, want, again));
        ck_assert_int_eq(memcmp(got, again, want), 0);
        ck_assert_msg(in_order_of(at, n, got, want), "PROP_SEED=%" PRIu64, case_seed);
        if (want == 1)
            ck_assert_int_eq(got[0], loneliest(x, at, n));
        else
            ck_assert_msg(at_top(x, at, n, got, want), "PROP_SEED=%" PRIu64 ": %d of %d", case_seed,
                          want, n);
        ck_assert(want == 1 ||
                  select_pairs_most(&x->t, at, n, want) >= select_pairs_sum(&x->t, got, want));
    }
}
END_TEST

START_TEST(pairs_of_many_islands)
{
    struct topo *x = topo_of(64, 10);
    for (unsigned i = 0; i < 64; i++)
        for (unsigned j = 0; j < 64; j++)
            if (i != j && i % 8 == j % 8) /* eight islands, their cards far apart in the order */
                set_pair(x, i, j, 1800);
    uint8_t at[64], got[64];
    for (uint8_t i = 0; i < 64; i++)
        at[i] = i;
    ck_assert(select_pairs(&x->t, at, 64, 8, got));
    ck_assert_str_eq(write_positions(got, 8), "0 8 16 24 32 40 48 56");
    ck_assert(select_pairs(&x->t, at + 1, 63, 8, got)); /* card 0 is gone: the next island */
    ck_assert_str_eq(write_positions(got, 8), "1 9 17 25 33 41 49 57");
    ck_assert(select_pairs(&x->t, at, 64, 16, got));
    ck_assert_int_eq(select_pairs_sum(&x->t, got, 16), 2 * 28 * 1800 + 64 * 10);
    x = topo_of(64, 7); /* all alike: the first */
    ck_assert(select_pairs(&x->t, at, 64, 5, got));
    ck_assert_str_eq(write_positions(got, 5), "0 1 2 3 4");
}
END_TEST

/* A greedy start that has to be taken back: the best pair is not in the best set. */
START_TEST(pairs_of_many_exchanges)
{
    struct topo *x = topo_of(20, 0);
    set_pair(x, 0, 1, 100);
    for (unsigned i = 10; i < 14; i++)
        for (unsigned j = 10; j < i; j++)
            set_pair(x, i, j, 90);
    for (unsigned i = 10; i < 14; i++)
        set_pair(x, 0, i, 5);
    uint8_t at[20], got[20];
    for (uint8_t i = 0; i < 20; i++)
        at[i] = i;
    ck_assert(select_pairs(&x->t, at, 20, 4, got));
    ck_assert_str_eq(write_positions(got, 4), "10 11 12 13");
}
END_TEST

START_TEST(pairs_of_the_most)
{
    struct rnd r = {case_seed = seed_start()};
    struct topo *x = topo_of(256, INT32_MAX);
    uint8_t at[256], got[256], again[256];
    for (unsigned i = 0; i < 256; i++)
        at[i] = (uint8_t)i;
    shuffle(&r, at, 256);
    const int64_t all = (int64_t)INT32_MAX * 32640;
    ck_assert_int_eq(select_pairs_sum(&x->t, at, 256), all);
    ck_assert_int_eq(select_pairs_most(&x->t, at, 256, 256), all);
    ck_assert_int_eq(select_pairs_most(&x->t, at, 256, 128), (int64_t)INT32_MAX * 8128);
    ck_assert(select_pairs(&x->t, at, 256, 256, got));
    ck_assert_int_eq(memcmp(got, at, 256), 0);
    x = topo_of(256, INT32_MIN);
    ck_assert_int_eq(select_pairs_most(&x->t, at, 256, 256), (int64_t)INT32_MIN * 32640);
    ck_assert(select_pairs(&x->t, at, 256, 128, got));
    ck_assert_int_eq(memcmp(got, at, 128), 0);
    x = random_pairs(&r, 256);
    ck_assert(select_pairs(&x->t, at, 256, 128, got));
    ck_assert(select_pairs(&x->t, at, 256, 128, again));
    ck_assert_int_eq(memcmp(got, again, 128), 0);
    ck_assert(in_order_of(at, 256, got, 128));
    ck_assert_int_ge(select_pairs_most(&x->t, at, 256, 128), select_pairs_sum(&x->t, got, 128));
}
END_TEST

/* ---- zones, modules, wings, blocks against searches ---- */

struct sorted { /* a candidate and what it is sorted by */
    int64_t key[4];
    uint8_t at;
};

static int by_key(const void *a, const void *b)
{
    const struct sorted *x = a, *y = b;
    for (unsigned i = 0; i < 4; i++)
        if (x->key[i] != y->key[i])
            return x->key[i] < y->key[i] ? -1 : 1;
    return 0;
}

static int64_t alike(const int32_t *zone, const uint8_t *at, uint16_t n, uint8_t card)
{
    int64_t count = 0;
    for (unsigned i = 0; i < n; i++)
        count += zone[at[i]] == zone[card];
    return count;
}

static bool zones_by_sorting(const int32_t *zone, const uint8_t *at, uint16_t n, uint16_t want,
                             uint8_t *ret)
{
    struct sorted s[SCORE_DEVICES_MAX];
    for (unsigned i = 0; i < n; i++) {
        const bool ordered = n != want && want != 1;
        const bool none = zone[at[i]] == SCORE_ZONE_NONE;
        s[i] = (struct sorted){{ordered && none, ordered && !none ? -alike(zone, at, n, at[i]) : 0,
                                ordered ? zone[at[i]] : 0, i},
                               at[i]};
    }
    qsort(s, n, sizeof(s[0]), by_key);
    for (unsigned i = 0; i < want && n >= want; i++)
        ret[i] = s[i].at;
    return n >= want;
}

static bool zones_fit_by_sorting(const int32_t *zone, const uint8_t *at, uint16_t n, uint16_t want,
                                 uint8_t *ret)
{
    struct sorted s[SCORE_DEVICES_MAX];
    for (unsigned i = 0; i < n; i++) {
        const int64_t count = alike(zone, at, n, at[i]);
        const bool none = zone[at[i]] <= 0;
        /* zones that have enough, then those that have not, then no zone */
        s[i] = (struct sorted){
            {none ? 2 : count < want, none ? 0 : count, none ? 0 : zone[at[i]], i}, at[i]};
        if (n == want)
            s[i].key[0] = s[i].key[1] = s[i].key[2] = 0;
    }
    qsort(s, n, sizeof(s[0]), by_key);
    for (unsigned i = 0; i < want && n >= want; i++)
        ret[i] = s[i].at;
    return n >= want;
}

static bool modules_by_pairs(const int32_t *index, const uint8_t *at, uint16_t n, uint16_t want,
                             uint8_t *ret)
{
    uint8_t set[2 * SCORE_DEVICES_MAX];
    unsigned k = 0;
    for (unsigned i = 0; i < n; i++)
        for (unsigned j = i + 1; j < n; j++) {
            const int64_t a = index[at[i]], b = index[at[j]];
            if (a < 0 || b < 0 || a == b || a / 2 != b / 2)
                continue;
            set[k++] = at[i];
            set[k++] = at[j];
        }
    if (want % 2 || k < want)
        return false;
    memcpy(ret, set, want);
    return true;
}

/* The contract's words, one after the other. */
static const int WINGS_GROUPS[6][4] = {{0, 1, 4, 5}, {2, 3, 6, 7}, {0, 2, 4, 6},
                                       {1, 3, 5, 7}, {0, 3, 4, 7}, {1, 2, 5, 6}};

static bool in_words_linked(int a, int b) { return a / 4 == b / 4 || a - b == 4 || b - a == 4; }

static unsigned wings_four_in_words(const bool *free, const int *wing_n)
{
    for (int w = 0; w < 2; w++)
        if (wing_n[w] == 4)
            return 0xfu << 4 * w;
    const int all = wing_n[0] + wing_n[1];
    unsigned last = 0;
    for (int g = 0; g < 6 && all >= 4 && all <= 6; g++) {
        unsigned group = 0;
        bool inside = true;
        for (int i = 0; i < 4; i++) {
            inside = inside && free[WINGS_GROUPS[g][i]];
            group |= 1u << WINGS_GROUPS[g][i];
        }
        if (!inside)
            continue;
        int left[4], left_n = 0;
        for (int i = 0; i < 8; i++)
            if (free[i] && !(group >> i & 1))
                left[left_n++] = i;
        if (all < 6 || in_words_linked(left[0], left[1]))
            return group;
        last = group;
    }
    return last;
}

static unsigned wings_in_words(const bool *free, uint16_t want)
{
    int wing[2][4], wing_n[2] = {0, 0};
    for (int i = 0; i < 8; i++)
        if (free[i])
            wing[i / 4][wing_n[i / 4]++] = i;
    static const int ONE[] = {1, 3, 2, 4}, TWO[] = {2, 3, 4};
    if (want == 1)
        for (int f = 0; f < 4; f++)
            for (int w = 0; w < 2; w++)
                if (wing_n[w] == ONE[f])
                    return 1u << wing[w][0];
    if (want == 2) {
        for (int f = 0; f < 3; f++)
            for (int w = 0; w < 2; w++)
                if (wing_n[w] == TWO[f])
                    return 1u << wing[w][0] | 1u << wing[w][1];
        for (int i = 0; i < 4; i++)
            if (free[i] && free[i + 4])
                return 1u << i | 1u << (i + 4);
    }
    if (want == 4)
        return wings_four_in_words(free, wing_n);
    return want == 8 && wing_n[0] + wing_n[1] == 8 ? 0xff : 0;
}

static bool wings_by_words(const int32_t *index, const uint8_t *at, uint16_t n, uint16_t want,
                           uint8_t *ret)
{
    bool free[8] = {false};
    uint8_t position[8] = {0};
    for (int card = 0; card < 8; card++) {
        unsigned times = 0;
        for (unsigned i = 0; i < n; i++)
            if (index[at[i]] == card) {
                position[card] = at[i];
                times++;
            }
        free[card] = times == 1;
    }
    const unsigned set = wings_in_words(free, want);
    uint16_t k = 0;
    for (int i = 0; i < 8; i++)
        if (set >> i & 1)
            ret[k++] = position[i];
    return set != 0;
}

static const uint8_t *with_index(const int32_t *index, const uint8_t *at, uint16_t n, int64_t which)
{
    const uint8_t *found = NULL; /* the lowest position, if there are several */
    for (unsigned i = 0; i < n; i++)
        if (index[at[i]] == which && (!found || at[i] < *found))
            found = &at[i];
    return found;
}

static bool blocks_by_starts(const int32_t *index, bool aligned, const uint8_t *at, uint16_t n,
                             uint16_t want, uint8_t *ret)
{
    if (aligned && want != 1 && want != 4 && want != 8 && want != 16)
        return false;
    int64_t best = INT64_MAX; /* every run starts at a candidate */
    for (unsigned i = 0; i < n; i++) {
        const int64_t start = index[at[i]];
        bool all = start >= 0 && (!aligned || start % want == 0);
        for (uint16_t k = 0; all && k < want; k++)
            all = with_index(index, at, n, start + k) != NULL;
        best = all && start < best ? start : best;
    }
    for (uint16_t k = 0; best != INT64_MAX && k < want; k++)
        ret[k] = *with_index(index, at, n, best + k);
    return best != INT64_MAX;
}

static bool any_by_starts(const int32_t *index, const uint8_t *at, uint16_t n, uint16_t want,
                          uint8_t *ret)
{
    return blocks_by_starts(index, false, at, n, want, ret);
}

static bool aligned_by_starts(const int32_t *index, const uint8_t *at, uint16_t n, uint16_t want,
                              uint8_t *ret)
{
    return blocks_by_starts(index, true, at, n, want, ret);
}

static const struct search_row {
    const char *name;
    select_fn *select, *search;
    bool sorted; /* numbers are indices, which cards stand by */
    bool twice;  /* some numbers may be there twice */
} SEARCHES[] = {
    {"zones", select_zones, zones_by_sorting, false, true},
    {"zones fit", select_zones_fit, zones_fit_by_sorting, false, true},
    {"modules", select_modules, modules_by_pairs, true, false},
    {"wings", select_wings, wings_by_words, true, true},
    {"any blocks", any_blocks, any_by_starts, true, true},
    {"aligned blocks", aligned_blocks, aligned_by_starts, true, true},
};

static void agree(const struct search_row *row, const int32_t *of, const uint8_t *at, uint16_t n,
                  uint16_t want)
{
    uint8_t got[SCORE_DEVICES_MAX], again[SCORE_DEVICES_MAX], best[SCORE_DEVICES_MAX];
    memset(got, UNTOUCHED, sizeof(got));
    memset(again, UNTOUCHED, sizeof(again));
    memset(best, UNTOUCHED, sizeof(best));
    const bool there = row->select(of, at, n, want, got);
    ck_assert_int_eq(row->select(of, at, n, want, again), there);
    const bool expected = row->search(of, at, n, want, best);
    ck_assert_msg(there == expected, "PROP_SEED=%" PRIu64 ": %s: %d of %s: there is %d, got %d",
                  case_seed, row->name, want, write_positions(at, n), expected, there);
    ck_assert_msg(memcmp(got, best, sizeof(got)) == 0,
                  "PROP_SEED=%" PRIu64 ": %s: %d of %s: want %s, got %s", case_seed, row->name,
                  want, write_positions(at, n), write_positions(best, want),
                  write_positions(got, want));
    ck_assert_int_eq(memcmp(got, again, sizeof(got)), 0);
}

/* Every set of candidates of eight cards in random orders, every number of them. */
START_TEST(searches_all_masks)
{
    const struct search_row *row = &SEARCHES[_i];
    for (unsigned mask = 0; mask < 256; mask++) {
        struct rnd r = {case_seed = seed_start() + mask};
        int32_t of[8];
        for (int32_t i = 0; i < 8; i++)
            of[i] = row->sorted ? i : (int32_t)rnd_in(&r, 0, 2);
        for (unsigned order = 0; order < 4; order++) {
            uint8_t at[8];
            uint16_t n = 0;
            for (unsigned i = 0; i < 8; i++)
                if (mask >> i & 1)
                    at[n++] = (uint8_t)i;
            if (order > 0)
                shuffle(&r, at, n);
            for (uint16_t want = 1; want <= 9; want++)
                agree(row, of, at, n, want);
        }
    }
}
END_TEST

/* Other numbers of cards, gaps, repetitions, and numbers at the ends of their range. */
static void random_numbers(struct rnd *r, const struct search_row *row, uint16_t cards,
                           int32_t *ret)
{
    static const int32_t ENDS[] = {INT32_MIN, INT32_MIN + 1, -1, 0, 1, INT32_MAX - 1, INT32_MAX};
    int64_t next = rnd_one_in(r, 4) ? -3 : 0;
    const int gaps = (int)rnd_in(r, 2, 30);
    const bool hostile = rnd_one_in(r, 4);
    for (uint16_t i = 0; i < cards; i++) {
        if (row->sorted) {
            ret[i] = (int32_t)next;
            next += rnd_one_in(r, gaps) ? rnd_in(r, row->twice ? 0 : 1, 4) : 1;
        } else {
            ret[i] = (int32_t)rnd_in(r, -1, 1 + cards / 4);
            if (hostile && rnd_one_in(r, 3))
                ret[i] = ENDS[rnd_in(r, 0, ROWS(ENDS) - 1)];
        }
    }
    if (row->sorted && hostile) /* the last of all numbers that there are */
        for (uint16_t i = 0; i < cards; i++)
            ret[i] = (int32_t)(INT32_MAX - next + 1 + ret[i]);
}

START_TEST(searches_at_random)
{
    const struct search_row *row = &SEARCHES[_i];
    for (unsigned i = 0; i < 1500; i++) {
        struct rnd r = {case_seed = seed_start() + i};
        const uint16_t cards = (uint16_t)(i % 50 ? rnd_in(&r, 1, 24) : 256);
        int32_t of[SCORE_DEVICES_MAX];
        uint8_t at[SCORE_DEVICES_MAX];
        random_numbers(&r, row, cards, of);
        const uint16_t n = some_of(&r, cards, at);
        static const uint16_t USUAL[] = {1, 2, 4, 8, 16, 256};
        agree(row, of, at, n, (uint16_t)rnd_in(&r, 1, cards));
        agree(row, of, at, n, USUAL[rnd_in(&r, 0, ROWS(USUAL) - 1)]);
        if (n > 0)
            agree(row, of, at, n, n);
    }
}
END_TEST

/* Whatever comes out is a set of distinct candidates, and more candidates never turn yes into no.
 */
START_TEST(sets_are_of_candidates)
{
    const struct search_row *row = &SEARCHES[_i];
    for (unsigned i = 0; i < 1500; i++) {
        struct rnd r = {case_seed = seed_start() + i};
        int32_t of[24];
        uint8_t at[24], got[24], more[24];
        random_numbers(&r, &(struct search_row){.sorted = row->sorted}, 24, of);
        const uint16_t n = some_of(&r, 24, at);
        const uint16_t want = (uint16_t)rnd_in(&r, 1, 8);
        const uint16_t less = (uint16_t)rnd_in(&r, 0, n);
        const bool there = row->select(of, at, n, want, got);
        ck_assert_msg(there || !row->select(of, at, less, want, more),
                      "PROP_SEED=%" PRIu64 ": %s: %d of %d cards, not of %d", case_seed, row->name,
                      want, less, n);
        for (uint16_t k = 0; there && k < want; k++) {
            ck_assert(memchr(at, got[k], n) != NULL);
            ck_assert(memchr(got, got[k], k) == NULL);
        }
    }
}
END_TEST

/* ---- how good ---- */

// clang-format off
static const struct zones_row {
    const char *name, *zone, *set;
    int64_t want;
} ZONES_QUALITY[] = {
    {"vendors-a.md 1.9: three of four", "0 0 0 1", "0 1 2 3", 750000},
    {"vendors-a.md 1.9: all of one", "0 0 1 1", "2 3", 1000000},
    {"vendors-b.md 6i: three of three", "1 1 1 1 2 2 2 2", "7 6 5", 1000000},
    {"vendors-b.md 6i: four of five", "1 1 1 1 2 2 2 2", "7 6 5 4 3", 800000},
    {"one card", "-7", "0", 1000000},
    {"rounded down", "1 2 3", "0 1 2", 333333},
    {"two thirds", "1 2 2", "0 1 2", 666666},
    {"one card has no zone", "0 0 0 " NONE, "0 1 2 3", 0},
    {"only cards without a zone", NONE " " NONE, "0 1", 0},
    {"a card without a zone that is not of the set", "0 0 0 " NONE, "0 1 2", 1000000},
    {"nobody", "0", "", 0},
};
// clang-format on

START_TEST(zones_quality)
{
    const struct zones_row *row = &ZONES_QUALITY[_i];
    int32_t zone[8];
    uint8_t set[8];
    (void)read_numbers(row->zone, zone);
    const uint16_t n = read_positions(row->set, set);
    const int64_t got = select_zones_quality(zone, set, n);
    ck_assert_msg(got == row->want, "%s: want %lld, got %lld", row->name, (long long)row->want,
                  (long long)got);
}
END_TEST

// clang-format off
static const struct links_row { /* vendors-b.md 1i */
    const char *name, *zone, *idle, *set;
    int64_t want;
} LINKS[] = {
    {"4 + 4, two of one zone", "1 1 1 1 2 2 2 2", EIGHT, "0 1", 60},
    {"4 + 4, one of each", "1 1 1 1 2 2 2 2", EIGHT, "0 4", -60},
    {"4 + 4, a zone", "1 1 1 1 2 2 2 2", EIGHT, "4 5 6 7", 600},
    {"3 + 4, the three", "1 1 1 2 2 2 2", "0 1 2 3 4 5 6", "0 1 2", 300},
    {"3 + 4, three of the four", "1 1 1 2 2 2 2", "0 1 2 3 4 5 6", "6 4 5", 270},
    {"0 + 2, both", "2 2", "0 1", "0 1", 100},
    {"1 + 4, the lone one", "1 2 2 2 2", "0 1 2 3 4", "0", 0},
    {"used cards are neither left nor torn", "1 1 1 1", "0 1", "0 1", 100},
    {"a card of the pod that others use as well", "1 1 1", "1 2", "0 1", 100},
    {"nobody idle, nothing taken", "1 1", "", "", 0},
    {"no zones", "0 0 0 0", "0 1 2 3", "0 1", 0},
    {"metax_defect_d1_7: negative zones are no links", "-1 -1 -1 " NONE " " NONE, "0 1 2 3 4", "0 1", 0},
    {"metax_defect_d1_6: a card of two containers counts once", "1 1 1 1 2 2 2 2", EIGHT, "0 1 0", 60},
};
// clang-format on

START_TEST(links_quality)
{
    const struct links_row *row = &LINKS[_i];
    int32_t zone[8];
    uint8_t idle[8], set[8];
    (void)read_numbers(row->zone, zone);
    const uint16_t idle_n = read_positions(row->idle, idle), n = read_positions(row->set, set);
    const int64_t got = select_links_quality(zone, idle, idle_n, set, n);
    ck_assert_msg(got == row->want, "%s: want %lld, got %lld", row->name, (long long)row->want,
                  (long long)got);
}
END_TEST

static int64_t links_one_by_one(const int32_t *zone, const bool *in, unsigned cards)
{
    int64_t sum = 0;
    for (unsigned i = 0; i < cards; i++)
        for (unsigned j = 0; j < i; j++)
            sum += in[i] && in[j] && zone[i] == zone[j] && zone[i] > 0 ? 10 : 0;
    return sum;
}

START_TEST(qualities_at_random)
{
    for (unsigned i = 0; i < 1000; i++) {
        struct rnd r = {case_seed = seed_start() + i};
        const uint16_t cards = (uint16_t)(i % 50 ? rnd_in(&r, 1, 16) : 256);
        int32_t zone[SCORE_DEVICES_MAX];
        uint8_t idle[SCORE_DEVICES_MAX], set[SCORE_DEVICES_MAX];
        random_numbers(&r, &(struct search_row){.sorted = false}, cards, zone);
        const uint16_t idle_n = some_of(&r, cards, idle), n = some_of(&r, cards, set);
        bool a[SCORE_DEVICES_MAX] = {false}, p[SCORE_DEVICES_MAX] = {false}, f[SCORE_DEVICES_MAX];
        for (unsigned k = 0; k < idle_n; k++)
            a[idle[k]] = true;
        for (unsigned k = 0; k < n; k++)
            p[set[k]] = true;
        for (unsigned k = 0; k < cards; k++)
            f[k] = a[k] && !p[k];
        const int64_t kept = links_one_by_one(zone, p, cards);
        ck_assert_msg(select_links_quality(zone, idle, idle_n, set, n) ==
                          11 * kept + links_one_by_one(zone, f, cards) -
                              links_one_by_one(zone, a, cards),
                      "PROP_SEED=%" PRIu64 ": links", case_seed);
        int64_t most = 0;
        bool none = n == 0;
        for (unsigned k = 0; k < n; k++) {
            const int64_t count = alike(zone, set, n, set[k]);
            most = count > most ? count : most;
            none = none || zone[set[k]] == SCORE_ZONE_NONE;
        }
        ck_assert_msg(select_zones_quality(zone, set, n) == (none ? 0 : most * 1000000 / n),
                      "PROP_SEED=%" PRIu64 ": zones", case_seed);
    }
}
END_TEST

START_TEST(kunlun_defect_d3_2_d3_9_wings_quality)
{
    static const struct {
        uint8_t used, set;
        int32_t want;
    } rows[] = {/* vendors-b.md 3i */
                {0x00, 0x01, 0},    {0x00, 0x03, 1000}, {0x00, 0x0f, 2000}, {0x00, 0xff, 3000},
                {0x01, 0x06, 3000}, {0x0f, 0x10, 0},    {0x11, 0x0e, 1000}};
    for (unsigned i = 0; i < ROWS(rows); i++)
        ck_assert_msg(select_wings_quality(rows[i].used, rows[i].set) == rows[i].want,
                      "used %#x, set %#x: want %d, got %d", rows[i].used, rows[i].set, rows[i].want,
                      select_wings_quality(rows[i].used, rows[i].set));
}
END_TEST

static int pieces(unsigned mask)
{
    int total = 0;
    for (int w = 0; w < 2; w++) {
        int n = 0;
        for (int i = 0; i < 4; i++)
            n += (mask >> (4 * w + i) & 1) != 0;
        total += n == 4 ? 0 : n == 1 ? 2 : 1;
    }
    return mask == 0 ? 1 : total;
}

START_TEST(wings_quality_all)
{
    for (unsigned used = 0; used < 256; used++)
        for (unsigned set = 0; set < 256; set++) {
            const int more = pieces(set) - pieces(used);
            const int32_t want = more == -1 ? 3000 : more == 0 ? 2000 : more == 2 ? 0 : 1000;
            ck_assert_msg(select_wings_quality((uint8_t)used, (uint8_t)set) == want,
                          "used %#x, set %#x", used, set);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("score select");
    TCase *tc = tcase_create("select");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, by_hand, 0, ROWS(ROWS_OF));
    tcase_add_loop_test(tc, pairs, 0, ROWS(PAIRS));
    tcase_add_test(tc, pairs_not_known);
    tcase_add_loop_test(tc, pairs_all_masks, 0, 6);
    tcase_add_test(tc, near_cards_say_the_same);
    tcase_add_test(tc, near_cards);
    tcase_add_test(tc, pairs_up_to_ten);
    tcase_add_loop_test(tc, pairs_up_to_sixteen, 0, 12);
    tcase_add_test(tc, bounds);
    tcase_add_test(tc, bound_of_islands);
    tcase_add_test(tc, pairs_alike_are_cheap);
    tcase_add_test(tc, core_defect_s6_nvidia_defect_n2_pairs_worst_case);
    tcase_add_loop_test(tc, pairs_of_many, 0, 12);
    tcase_add_test(tc, pairs_of_many_islands);
    tcase_add_test(tc, pairs_of_many_exchanges);
    tcase_add_test(tc, pairs_of_the_most);
    tcase_add_loop_test(tc, searches_all_masks, 0, ROWS(SEARCHES));
    tcase_add_loop_test(tc, searches_at_random, 0, ROWS(SEARCHES));
    tcase_add_loop_test(tc, sets_are_of_candidates, 0, ROWS(SEARCHES));
    tcase_add_loop_test(tc, zones_quality, 0, ROWS(ZONES_QUALITY));
    tcase_add_loop_test(tc, links_quality, 0, ROWS(LINKS));
    tcase_add_test(tc, qualities_at_random);
    tcase_add_test(tc, kunlun_defect_d3_2_d3_9_wings_quality);
    tcase_add_test(tc, wings_quality_all);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
