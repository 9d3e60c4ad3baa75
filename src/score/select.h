/* Which cards together: the named algorithms that a vendor's row selects (enum score_select), and how good a set is
 * (enum score_quality). Pure functions over plain arrays, so that each can be held against a brute-force search.
 *
 * `at[n]`: the candidates, positions of cards in the group, best first as the card policy likes them; distinct.
 * `zone`, `index`: of every card of the group, by position; a group's cards stand by index (score.h). `want`: how
 * many, 1 ≤ want.
 * They write `want` positions to `ret` in the order taken and return true, or return false: no set will do (ret is
 * untouched). n < want is always false. All are deterministic; ties go to the earlier candidate, zones to the lower
 * number. No function costs more than its comment says. */
#ifndef CARDINAL_SCORE_SELECT_H
#define CARDINAL_SCORE_SELECT_H

#include "score/score.h"

/* contract/nvidia.md 7.2, with want = 1: the candidate with the lowest sum to the others; else the greatest sum of
 * pairs, exactly for n ≤ SELECT_EXACT_MAX (branch and bound, at most C(16,8) leaves), beyond it greedy with exchanges.
 * n = want: all, in order. `ret` keeps the candidates' order. */
#define SELECT_EXACT_MAX 16
bool select_pairs(const struct score_topology *t, const uint8_t *at, uint16_t n, uint16_t want, uint8_t *ret);
/* The same, and how many candidates the exact search tried, of at most C(n + 1, want) − 1 (24,309); 0: there was none. */
bool select_pairs_counted(const struct score_topology *t, const uint8_t *at, uint16_t n, uint16_t want, uint8_t *ret,
                          uint32_t *ret_steps);
/* Sum of the pairs of the set. */
int64_t select_pairs_sum(const struct score_topology *t, const uint8_t *at, uint16_t n);
/* By candidate: sum of its pairs with all others. */
void select_pairs_others(const struct score_topology *t, const uint8_t *at, uint16_t n, int64_t *ret);
/* No set of `want` of the candidates has a greater sum (want ≤ n). Exact, and one look-up, where t->bound is there;
 * else a looser bound in O(n²) at most, in a third of the time where t->near is there. */
int64_t select_pairs_most(const struct score_topology *t, const uint8_t *at, uint16_t n, uint16_t want);

/* vendors-a.md 1.7 T, vendors-b.md 6g: candidates grouped by zone, the largest group first. n = want: all, in order;
 * want = 1: the first. Only called when every card of the group has a zone. */
bool select_zones(const int32_t *zone, const uint8_t *at, uint16_t n, uint16_t want, uint8_t *ret);
/* vendors-b.md 1g: the smallest zone that has enough; else zones from small to large, then cards of no zone (≤ 0). */
bool select_zones_fit(const int32_t *zone, const uint8_t *at, uint16_t n, uint16_t want, uint8_t *ret);
/* vendors-a.md 1.7 P, want > 1: modules (index / 2) of which both cards are candidates, whole. want must be even. */
bool select_modules(const int32_t *index, const uint8_t *at, uint16_t n, uint16_t want, uint8_t *ret);
/* vendors-b.md 3g: 1, 2, 4 or 8 of eight cards; index outside 0…7 or repeated: never. Wings by card index, not by
 * position (D3.1, D3.4 repaired). */
bool select_wings(const int32_t *index, const uint8_t *at, uint16_t n, uint16_t want, uint8_t *ret);
/* vendors-b.md 4g: a run of `want` indices that are all candidates; aligned: want is 1, 4, 8 or 16 and the run starts at
 * a multiple of it. The lowest start. */
bool select_blocks(const int32_t *index, bool aligned, const uint8_t *at, uint16_t n, uint16_t want, uint8_t *ret);

/* ---- how good a set is; raw, in the unit of the contract; what decide.c makes a node's score of ---- */
/* vendors-a.md 1.9, vendors-b.md 6i: share of the commonest zone among the set, in millionths; 0 if a card has none. */
int64_t select_zones_quality(const int32_t *zone, const uint8_t *set, uint16_t n);
/* vendors-b.md 1i: 10·S(P) − (S(A) − S(P) − S(F)); `idle`: cards that nobody used before, `set`: the pod's whole cards,
 * of all its containers (one that is there twice counts once, D1.6). */
int64_t select_links_quality(const int32_t *zone, const uint8_t *idle, uint16_t idle_n, const uint8_t *set, uint16_t n);
/* vendors-b.md 3i: 0, 1000, 2000 or 3000; bit i of the masks: the card of index i. */
int32_t select_wings_quality(uint8_t used, uint8_t set);

#endif
