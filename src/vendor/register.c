/* What cards a node has, from what its object says of one maker: the register annotation or the
 * capacity, by the row's kind of inventory. Refused as a whole when anything in it can't be a card,
 * for half a list would be a wrong node. */
#include "vendor/register.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ID_MAX 512 /* bytes; made-up ids hold a node name (253) and a maker's word */

struct register_card register_card_new(void)
{
    return (struct register_card){
        .dev = {.id = STR(""), .type = STR(""), .mode = STR(""), .zone = SCORE_ZONE_NONE}};
}

const char *register_card_fault(const struct vendor_device *dev)
{
    if (dev->id.n == 0)
        return "a device without an id";
    if (dev->id.n > ID_MAX)
        return "a device id is too long";
    for (size_t i = 0; i < dev->id.n; i++)
        if (strchr(",:;", dev->id.p[i])) /* strchr finds NUL too: no id holds one */
            return "a device id holds a separator of allocation lists";
    if (dev->count < 0)
        return "negative count";
    if (dev->mem_mib < 0)
        return "negative devmem";
    if (dev->cores_pct < 0)
        return "negative devcore";
    if (dev->index < 0)
        return "negative index";
    return NULL;
}

enum err_code register_add(struct register_list *l, const struct register_card *card,
                           struct err *err)
{
    const char *fault = register_card_fault(&card->dev);
    if (fault)
        return err_set(err, ERR_INVALID, "%s", fault);
    if (l->n == SCORE_DEVICES_MAX)
        return err_set(err, ERR_INVALID, "more than %d devices", SCORE_DEVICES_MAX);
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        struct register_card *more = arena_array(l->arena, cap, sizeof(*more));
        if (!more)
            return err_set(err, ERR_NO_MEMORY, "devices");
        if (l->n > 0)
            memcpy(more, l->card, l->n * sizeof(*more));
        l->card = more;
        l->cap = cap;
    }
    l->card[l->n++] = *card;
    return ERR_OK;
}

void register_sick(struct register_list *l, struct register_card *card, const char *why)
{
    card->dev.healthy = false;
    if (l->card_fault.p)
        return;
    struct err text;
    err_ignore(err_set(&text, ERR_INVALID, "card " STR_FMT ": %s",
                       (int)(card->dev.id.n < 64 ? card->dev.id.n : 64), card->dev.id.p, why));
    l->card_fault = arena_str(l->arena, str_z(text.text));
}

struct str register_join(struct arena *arena, struct str a, struct str b, int64_t number)
{
    char digits[24];
    size_t n = 0, at = 0;
    uint64_t rest = number < 0 ? (uint64_t)0 - (uint64_t)number : (uint64_t)number;
    do
        digits[n++] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0)
        digits[n++] = '-';
    char *p = arena_alloc(arena, a.n + b.n + n);
    if (!p)
        return STR("");
    for (size_t i = 0; i < a.n; i++)
        p[at++] = a.p[i];
    for (size_t i = 0; i < b.n; i++)
        p[at++] = b.p[i];
    while (n > 0)
        p[at++] = digits[--n];
    return (struct str){p, at};
}

enum err_code register_scan_err(const struct register_list *l, const struct scan *s,
                                const char *what, struct err *err)
{
    if (arena_failed(l->arena))
        return err_set(err, ERR_NO_MEMORY, "devices");
    (void)scan_err(s, what, err);
    if (err)
        err->code = ERR_INVALID;
    return ERR_INVALID;
}

bool register_i32(struct scan *s, int32_t *ret)
{
    int64_t v;
    if (!scan_int(s, &v))
        return false;
    if (v < INT32_MIN || v > INT32_MAX)
        return scan_fail(s, "a number beyond 32 bits");
    *ret = (int32_t)v;
    return true;
}

int32_t register_numa(int64_t numa)
{
    return numa > INT32_MAX ? INT32_MAX : numa < INT32_MIN ? INT32_MIN : (int32_t)numa;
}

/* ---- duplicates ---- */

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

/* Of two entries of one card the lesser of each: plugins write their lists in any order, and a card
 * must not change with it. */
static void merge(struct register_list *l, struct register_card *of,
                  const struct register_card *other)
{
    struct vendor_device *to = &of->dev;
    const struct vendor_device *from = &other->dev;
    const bool slices = to->mig && from->mig &&
                        (to->profile != from->profile || to->profiles_n != from->profiles_n);
    if (from->mig && !to->mig) {
        to->profile = from->profile;
        to->profiles_n = from->profiles_n;
        to->bits = from->bits;
    } else if (from->mig == to->mig) {
        to->bits &= from->bits;
    }
    const bool mode = str_cmp(from->mode, to->mode) < 0;
    if (from->mig != to->mig ? from->mig : mode)
        to->mode = from->mode;
    if (str_cmp(from->type, to->type) < 0)
        to->type = from->type;
    to->mem_mib = from->mem_mib < to->mem_mib ? from->mem_mib : to->mem_mib;
    to->count = least(from->count, to->count);
    to->cores_pct = least(from->cores_pct, to->cores_pct);
    to->index = least(from->index, to->index);
    to->numa = least(from->numa, to->numa);
    to->healthy = from->healthy && to->healthy;
    to->mig = from->mig || to->mig;
    if (from->zone != to->zone)
        to->zone = SCORE_ZONE_NONE;
    if (!of->zone.p || !other->zone.p || !str_eq(of->zone, other->zone))
        of->zone = (struct str){NULL, 0};
    if (slices)
        register_sick(l, of, "registered twice, with different slices");
}

/* Keeps one of each id. At most 256 cards: the plain double loop is the quickest to read and to
 * run. */
static uint16_t drop_duplicates(struct register_list *l)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++) {
        size_t j = 0;
        while (j < kept && !str_eq(l->card[j].dev.id, l->card[i].dev.id))
            j++;
        if (j == kept)
            l->card[kept++] = l->card[i];
        else
            merge(l, &l->card[j], &l->card[i]);
    }
    uint16_t dropped = (uint16_t)(l->n - kept);
    l->n = kept;
    return dropped;
}

/* ---- what the row says of every card ---- */

/* vendors-a.md 1.4: the annotation says it, and without one the configuration. */
static bool is_soft(const struct vendor *v, struct str text)
{
    return text.p ? str_eq(text, STR("true")) : v->soft_default;
}

/* Stock HAMi takes a card for the row's if its type holds the key; where one maker's chip is named
 * like the beginning of another's that gives one's cards to the other (A3). */
static bool is_foreign(const struct vendor *v, struct str type)
{
    if (v->type_word.n == 0)
        return false;
    return !(v->type_exact ? str_eq_fold(type, v->type_word)
                           : str_contains_fold(type, v->type_word));
}

static void finish_card(const struct vendor *v, bool soft, struct vendor_device *dev)
{
    if (v->forced_cores > 0)
        dev->cores_pct = v->forced_cores;
    if (soft)
        dev->cores_pct = 100; /* vendors-a.md 1.7 */
    dev->soft = soft;
    dev->foreign = is_foreign(v, dev->type);
}

/* ---- order ---- */

static int by_index(const void *a, const void *b)
{
    const struct vendor_device *x = &((const struct register_card *)a)->dev;
    const struct vendor_device *y = &((const struct register_card *)b)->dev;
    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    return str_cmp(x->id, y->id);
}

/* Named zones are numbered in the order of cards, not of the list, which means nothing. */
static void number_zones(struct register_list *l)
{
    int32_t next = 0;
    for (size_t i = 0; i < l->n; i++) {
        if (!l->card[i].zone.p)
            continue;
        size_t j = 0;
        while (j < i && !(l->card[j].zone.p && str_eq(l->card[j].zone, l->card[i].zone)))
            j++;
        l->card[i].dev.zone = j < i ? l->card[j].dev.zone : next++;
    }
}

enum err_code vendor_cards_decode(const struct vendor *v, const struct vendor_node_text *text,
                                  struct arena *arena, struct vendor_cards *ret, struct err *err)
{
    static enum err_code (*const READ[])(struct register_list *, struct err *) = {
        [VENDOR_INVENTORY_JSON] = register_read_json,
        [VENDOR_INVENTORY_TEXT] = register_read_text,
        [VENDOR_INVENTORY_CAPACITY] = register_read_made,
        [VENDOR_INVENTORY_CORES] = register_read_cores,
        [VENDOR_INVENTORY_SHARED] = register_read_shared,
        [VENDOR_INVENTORY_SLICES] = register_read_slices,
    };
    struct register_list l = {.v = v, .text = text, .arena = arena};
    enum err_code rc = READ[v->inventory](&l, err);
    if (rc)
        return rc;
    struct vendor_cards cards = {.dropped = drop_duplicates(&l)};
    const bool soft = is_soft(v, text->soft);
    for (size_t i = 0; i < l.n; i++)
        finish_card(v, soft, &l.card[i].dev);
    if (l.n > 1)
        qsort(l.card, l.n, sizeof(*l.card), by_index);
    number_zones(&l);
    cards.devices = arena_array(arena, l.n, sizeof(*cards.devices));
    if (!cards.devices || arena_failed(arena))
        return err_set(err, ERR_NO_MEMORY, "devices");
    for (size_t i = 0; i < l.n; i++)
        cards.devices[i] = l.card[i].dev;
    assert(l.profiles_n <= SCORE_DEVICES_MAX * REGISTER_PROFILES_MAX);
    cards.devices_n = (uint16_t)l.n;
    cards.profiles = l.profiles;
    cards.profiles_n = (uint16_t)l.profiles_n;
    cards.card_fault = l.card_fault;
    rc = register_topology(v, text, arena, &cards, err);
    if (rc)
        return rc;
    *ret = cards;
    return ERR_OK;
}

bool vendor_alive(const struct vendor *v, struct str allocatable)
{
    struct quantity q;
    const bool listed =
        v->inventory == VENDOR_INVENTORY_JSON || v->inventory == VENDOR_INVENTORY_TEXT;
    if (!allocatable.p)
        return !listed;
    return quantity_parse(allocatable, &q, NULL) == ERR_OK && quantity_sign(&q) > 0;
}
