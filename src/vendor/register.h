/* What the readers of registrations share: cards as they come, before order and duplicates. One reader a kind of
 * inventory (enum vendor_inventory); register.c calls them and makes the result. */
#ifndef CARDINAL_VENDOR_REGISTER_H
#define CARDINAL_VENDOR_REGISTER_H

#include "base/scan.h"
#include "vendor/vendor.h"

#define REGISTER_DEPTH_MAX 16
#define REGISTER_PROFILES_MAX 64 /* of one card; makers name a dozen at most */

struct register_card {
    struct vendor_device dev; /* zone: a number that the maker gives */
    struct str zone;          /* or a name, numbered when all cards are known; p NULL: none */
};
struct register_list {
    const struct vendor *v;
    const struct vendor_node_text *text;
    struct arena *arena;
    struct register_card *card;
    size_t n, cap;
    struct score_profile *profiles; /* the cards' lists one behind the other; equal lists once */
    size_t profiles_n, profiles_cap;
    struct str card_fault;
};

/* Nothing said: no texts, no zone. */
struct register_card register_card_new(void);
/* Why this can't be a card; NULL: it can. */
const char *register_card_fault(const struct vendor_device *dev);
/* ERR_INVALID: too many, or no card. */
MUST_USE enum err_code register_add(struct register_list *l, const struct register_card *card, struct err *err);
/* The card stays, sick. `why` is a constant; the first fault of a list is told. */
void register_sick(struct register_list *l, struct register_card *card, const char *why);
/* "<a><b><number>"; arena_failed() says whether it is there. */
struct str register_join(struct arena *arena, struct str a, struct str b, int64_t number);
/* The scanner's fault, or the arena's, as ERR_INVALID or ERR_NO_MEMORY. */
MUST_USE enum err_code register_scan_err(const struct register_list *l, const struct scan *s, const char *what,
                                         struct err *err);
bool register_i32(struct scan *s, int32_t *ret); /* an integer of 32 bits */
int32_t register_numa(int64_t numa);             /* cut to 32 bits: it is only compared */

MUST_USE enum err_code register_read_json(struct register_list *l, struct err *err);
MUST_USE enum err_code register_read_text(struct register_list *l, struct err *err);
MUST_USE enum err_code register_read_made(struct register_list *l, struct err *err);
MUST_USE enum err_code register_read_cores(struct register_list *l, struct err *err);
MUST_USE enum err_code register_read_shared(struct register_list *l, struct err *err);
MUST_USE enum err_code register_read_slices(struct register_list *l, struct err *err);

/* ---- profiles (register_profiles.c) ---- */
struct score_profile *register_profile_new(struct register_list *l); /* at the end; NULL: no memory */
/* Reads a list of slices (nvidia.md 8.1) to the end of l->profiles. */
void register_profiles_read(struct scan *s, struct register_list *l);
/* The profiles from `first` on become the card's: checked, in the order in which they are to be tried, one list for all
 * cards that have the same; its cores become what its slices can add up to. */
void register_profiles_take(struct register_list *l, size_t first, struct register_card *card);

/* Pairs, tables and kind of machine (register_pairs.c). Only ERR_NO_MEMORY: what can't be read is ret->topology_fault. */
MUST_USE enum err_code register_topology(const struct vendor *v, const struct vendor_node_text *text,
                                         struct arena *arena, struct vendor_cards *ret, struct err *err);

#endif
