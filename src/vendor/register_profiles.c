/* Slices of fixed size that a card can be cut into, as plugins name them (nvidia.md 8.1). */
#include "vendor/register.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 64 /* places of a card: bits of score_trait */

struct score_profile *register_profile_new(struct register_list *l)
{
    if (l->profiles_n == l->profiles_cap) {
        size_t cap = l->profiles_cap ? l->profiles_cap * 2 : 16;
        struct score_profile *more = arena_array(l->arena, cap, sizeof(*more));
        if (!more)
            return NULL;
        if (l->profiles_n > 0)
            memcpy(more, l->profiles, l->profiles_n * sizeof(*more));
        l->profiles = more;
        l->profiles_cap = cap;
    }
    struct score_profile *p = &l->profiles[l->profiles_n++];
    *p = (struct score_profile){.name = STR(""), .id = STR("")};
    return p;
}

/* ---- reading ---- */

/* What is well-formed and yet no slice is marked so and makes the card sick, not the list. */
enum { BAD = UINT16_MAX };

static bool read_u32(struct scan *s, int64_t *ret)
{
    int64_t v;
    if (scan_null(s))
        return true;
    if (!scan_int(s, &v))
        return false;
    if (v < 0 || v > UINT32_MAX)
        return scan_fail(s, "a number beyond 32 bits");
    *ret = v;
    return true;
}

static void read_placement(struct scan *s, struct score_profile *p)
{
    int64_t start = 0, size = 0;
    struct str key;
    if (!scan_null(s)) {
        if (!scan_object(s))
            return;
        while (scan_key(s, &key))
            if (str_eq_fold(key, STR("start")))
                read_u32(s, &start);
            else if (str_eq_fold(key, STR("size")))
                read_u32(s, &size);
            else
                scan_skip(s);
    }
    if (p->placements_n == BAD)
        return;
    if (p->placements_n == SCORE_PLACEMENTS_MAX || size == 0 || start + size > SLOTS) {
        p->placements_n = BAD;
        return;
    }
    p->placements[p->placements_n++] =
        (struct score_placement_at){.start = (uint8_t)start, .size = (uint8_t)size};
}

static void read_i32_or_null(struct scan *s, int32_t *ret)
{
    if (!scan_null(s))
        register_i32(s, ret);
}

static void read_profile(struct scan *s, struct score_profile *p)
{
    struct str key;
    int32_t mib = 0;
    if (scan_null(s) || !scan_object(s))
        return;
    while (scan_key(s, &key)) {
        if (str_eq_fold(key, STR("name"))) {
            if (!scan_null(s))
                scan_string(s, &p->name);
        } else if (str_eq_fold(key, STR("memoryMB"))) {
            read_i32_or_null(s, &mib);
        } else if (str_eq_fold(key, STR("core"))) {
            read_i32_or_null(s, &p->cores_pct);
        } else if (str_eq_fold(key, STR("sliceCount"))) {
            read_i32_or_null(s, &p->slices);
        } else if (str_eq_fold(key, STR("placements"))) {
            p->placements_n = 0; /* the last of several counts */
            if (!scan_null(s) && scan_array(s))
                while (scan_item(s))
                    read_placement(s, p);
        } else {
            scan_skip(s);
        }
    }
    p->mem_mib = mib;
}

void register_profiles_read(struct scan *s, struct register_list *l)
{
    const size_t first = l->profiles_n;
    struct score_profile spare = {.name = STR("")};
    if (!scan_array(s))
        return;
    while (scan_item(s)) {
        struct score_profile *p = &spare; /* one too many is enough to tell that it is */
        if (l->profiles_n - first <= REGISTER_PROFILES_MAX && !(p = register_profile_new(l))) {
            scan_fail(s, "no memory");
            return;
        }
        read_profile(s, p);
    }
}

/* ---- checking and order ---- */

static const char *profile_fault(const struct score_profile *p)
{
    if (p->name.n == 0)
        return "a slice without a name";
    if (p->mem_mib <= 0 || p->cores_pct < 0 || p->slices < 0)
        return "a slice without memory, or with a negative amount";
    if (p->placements_n == BAD)
        return "a slice of more than 32 placements, or one outside the card";
    if (p->placements_n == 0)
        return "a slice without a placement";
    return NULL;
}

static bool descends(struct str name)
{
    return str_has_prefix(name, STR("1g.")) || str_has_prefix(name, STR("3g."));
}

/* The order in which HAMi tries them (nvidia.md 8.2): the hardware's holes stay usable. */
static void sort_placements(struct score_profile *p)
{
    const int sign = descends(p->name) ? -1 : 1;
    for (uint16_t i = 1; i < p->placements_n; i++)
        for (uint16_t j = i; j > 0; j--) {
            struct score_placement_at *a = &p->placements[j - 1], *b = &p->placements[j];
            if (sign * (a->start - b->start) <= 0)
                break;
            struct score_placement_at tmp = *a;
            *a = *b;
            *b = tmp;
        }
}

static int profile_cmp(const void *a, const void *b)
{
    const struct score_profile *x = a, *y = b;
    if (x->mem_mib != y->mem_mib)
        return x->mem_mib < y->mem_mib ? -1 : 1;
    if (x->slices != y->slices)
        return x->slices < y->slices ? -1 : 1;
    return str_cmp(x->name, y->name);
}

static bool same_profile(const struct score_profile *a, const struct score_profile *b)
{
    if (!str_eq(a->name, b->name) || a->mem_mib != b->mem_mib || a->cores_pct != b->cores_pct ||
        a->slices != b->slices || a->placements_n != b->placements_n)
        return false;
    for (uint16_t i = 0; i < a->placements_n; i++)
        if (a->placements[i].start != b->placements[i].start ||
            a->placements[i].size != b->placements[i].size)
            return false;
    return true;
}

/* Where the same list stands for an earlier card; `first` itself: nowhere. */
static size_t find_list(const struct register_list *l, size_t first, size_t n)
{
    for (size_t i = 0; i < l->n; i++) {
        const struct vendor_device *d = &l->card[i].dev;
        size_t k = 0;
        while (k < n && d->profiles_n == n &&
               same_profile(&l->profiles[d->profile + k], &l->profiles[first + k]))
            k++;
        if (k == n)
            return d->profile;
    }
    return first;
}

/* The most cores that slices can take which do not overlap: rounded up as they are they come to
 * more than the card says it has (N 5), and a card must not look overbooked for that. */
static int64_t most_cores(const struct score_profile *p, size_t n)
{
    int64_t most[SLOTS + 1] = {0}; /* of the first so many places */
    for (int end = 1; end <= SLOTS; end++) {
        most[end] = most[end - 1];
        for (size_t i = 0; i < n; i++)
            for (uint16_t k = 0; k < p[i].placements_n; k++) {
                const struct score_placement_at *at = &p[i].placements[k];
                if (at->start + at->size == end && most[at->start] + p[i].cores_pct > most[end])
                    most[end] = most[at->start] + p[i].cores_pct;
            }
    }
    return most[SLOTS];
}

static uint64_t places(const struct score_profile *p, size_t n)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < n; i++)
        for (uint16_t k = 0; k < p[i].placements_n; k++)
            bits |= UINT64_MAX >> (SLOTS - p[i].placements[k].size) << p[i].placements[k].start;
    return bits;
}

void register_profiles_take(struct register_list *l, size_t first, struct register_card *card)
{
    const size_t n = l->profiles_n - first;
    if (n == 0)
        return;
    struct score_profile *p = l->profiles + first;
    const char *fault = n > REGISTER_PROFILES_MAX ? "more than 64 kinds of slices" : NULL;
    for (size_t i = 0; i < n && !fault; i++)
        fault = profile_fault(&p[i]);
    if (fault) {
        l->profiles_n = first;
        register_sick(l, card, fault);
        return;
    }
    for (size_t i = 0; i < n; i++)
        sort_placements(&p[i]);
    qsort(p, n, sizeof(*p), profile_cmp);
    const int64_t cores = most_cores(p, n);
    if (cores > card->dev.cores_pct)
        card->dev.cores_pct = cores < INT32_MAX ? (int32_t)cores : INT32_MAX;
    card->dev.bits = places(p, n);
    card->dev.profile = (uint16_t)find_list(l, first, n);
    card->dev.profiles_n = (uint16_t)n;
    if (card->dev.profile != first)
        l->profiles_n = first;
}
