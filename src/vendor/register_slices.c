/* Cards that are cut into slices of a few sizes, one set of sizes for the node (vendors-b.md 2d).
 */
#include "vendor/register.h"

#include <assert.h>
#include <stdlib.h>

enum {
    GB_MIB = 1024,
    CAPACITY_MAX = 256, /* slices of a card, for the sum below; makers have twelve */
};

/* ---- the sizes ---- */

static bool digits_before(struct str text, struct str unit, int64_t *ret)
{
    if (text.n >= unit.n && str_eq_fold((struct str){text.p + text.n - unit.n, unit.n}, unit))
        text.n -= unit.n;
    return str_int(text, 0, INT32_MAX / GB_MIB, ret);
}

struct sizes { /* greatest of all profiles */
    int64_t slices, gb;
};

/* "4g.24gb": 4 slices, 24 GB; *ret_gb 0: not said. A name that says no size is none of ours. */
static void read_name(struct str name, int64_t *ret_slices, int64_t *ret_gb)
{
    struct str rest = str_trim(name), size, memory;
    *ret_slices = *ret_gb = 0;
    if (!str_split(&rest, '.', &size) || !str_split(&rest, '.', &memory) ||
        !digits_before(size, STR("g"), ret_slices)) {
        *ret_slices = 0;
        return;
    }
    if (!digits_before(memory, STR("gb"), ret_gb))
        *ret_gb = 0;
}

static struct sizes read_profiles(struct scan *s, struct register_list *l)
{
    struct sizes most = {0, 0};
    struct str key;
    l->profiles_n = 0; /* the last of several counts */
    if (!scan_object(s))
        return most;
    while (scan_key(s, &key)) {
        struct str id = STR("");
        int64_t slices, gb;
        if (!scan_null(s) && !scan_string(s, &id))
            return most;
        read_name(key, &slices, &gb);
        most.slices = slices > most.slices ? slices : most.slices;
        most.gb = gb > most.gb ? gb : most.gb;
        if (slices == 0 || gb == 0)
            continue;
        if (l->profiles_n == REGISTER_PROFILES_MAX) {
            scan_fail(s, "more than 64 profiles");
            return most;
        }
        struct score_profile *p = register_profile_new(l);
        if (!p) {
            scan_fail(s, "no memory");
            return most;
        }
        p->name = key;
        p->id = id;
        p->slices = (int32_t)slices;
        p->mem_mib = gb * GB_MIB;
    }
    return most;
}

static int profile_cmp(const void *a, const void *b)
{
    const struct score_profile *x = a, *y = b;
    if (x->slices != y->slices)
        return x->slices < y->slices ? -1 : 1;
    if (x->mem_mib != y->mem_mib)
        return x->mem_mib < y->mem_mib ? -1 : 1;
    return str_cmp(x->name, y->name);
}

/* In the order in which they are to be tried, with their percent of a card, rounded up. A name that
 * stands there twice is one profile, the last of them as in a Go map. */
static void order_profiles(struct register_list *l, int64_t slices)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->profiles_n; i++) {
        struct score_profile *p = &l->profiles[i];
        size_t j = 0;
        assert(slices >= p->slices && p->slices > 0);
        p->cores_pct = (int32_t)((100 * (int64_t)p->slices + slices - 1) / slices);
        while (j < kept && !str_eq(l->profiles[j].name, p->name))
            j++;
        l->profiles[j] = *p;
        kept += j == kept;
    }
    l->profiles_n = kept;
    if (kept > 1)
        qsort(l->profiles, kept, sizeof(*l->profiles), profile_cmp);
}

/* The most percent that slices of one card can add up to: rounded up one by one they come to more
 * than 100, and the last slice must not be refused for that (D2.1). */
static int32_t most_cores(const struct register_list *l, int32_t capacity)
{
    int32_t most[CAPACITY_MAX + 1] = {0};
    for (int32_t used = 1; used <= capacity; used++) {
        most[used] = most[used - 1];
        for (size_t i = 0; i < l->profiles_n; i++) {
            const struct score_profile *p = &l->profiles[i];
            if (p->slices <= used && most[used - p->slices] + p->cores_pct > most[used])
                most[used] = most[used - p->slices] + p->cores_pct;
        }
    }
    return most[capacity] > 100 ? most[capacity] : 100;
}

/* ---- the cards ---- */

struct piece { /* of the list, as it stands */
    struct str index, minor;
    int64_t capacity;
};

/* A number, cut to an integer, or a text of one, cut to 32 bits; else 0, which no card has. */
static void read_capacity(struct scan *s, int64_t *ret)
{
    struct str text = STR("");
    struct quantity q;
    *ret = 0;
    switch (scan_peek(s)) {
    case SCAN_STRING:
        if (scan_string(s, &text) && !str_int(str_trim(text), INT64_MIN, INT64_MAX, ret))
            *ret = 0;
        *ret = *ret > INT32_MAX ? INT32_MAX : *ret;
        return;
    case SCAN_NUMBER:
        if (scan_raw(s, &text) &&
            (quantity_parse(text, &q, NULL) || !quantity_floor(&q, 0, ret) || *ret > INT32_MAX))
            *ret = 0;
        return;
    default:
        scan_skip(s);
    }
}

static bool read_piece(struct scan *s, struct piece *ret)
{
    struct str key;
    *ret = (struct piece){.index = STR(""), .minor = STR("")};
    if (!scan_object(s))
        return false;
    while (scan_key(s, &key)) {
        if (str_eq_fold(key, STR("capacity")))
            read_capacity(s, &ret->capacity);
        else if (str_eq_fold(key, STR("index")) && !scan_null(s))
            scan_string(s, &ret->index);
        else if (str_eq_fold(key, STR("minor")) && !scan_null(s))
            scan_string(s, &ret->minor);
        else if (!str_eq_fold(key, STR("index")) && !str_eq_fold(key, STR("minor")))
            scan_skip(s);
    }
    return !s->fault;
}

static enum err_code read_devices(struct scan *s, struct register_list *l, struct err *err)
{
    enum err_code rc = ERR_OK;
    l->n = 0; /* the last of several counts */
    if (!scan_array(s))
        return ERR_OK;
    for (int64_t at = 0; !rc && scan_item(s); at++) {
        struct register_card card = register_card_new();
        struct piece piece;
        int64_t index = at;
        if (!read_piece(s, &piece))
            return ERR_OK;
        if (piece.capacity <= 0) {
            scan_fail(s, "a device without capacity");
            return ERR_OK;
        }
        if (!str_int(piece.index, INT32_MIN, INT32_MAX, &index))
            index = at;
        card.dev.index = (int32_t)index;
        card.dev.id = register_join(l->arena, l->text->node, l->v->made.infix, index);
        card.dev.mode = str_trim(piece.minor);
        if (card.dev.mode.n == 0) /* the index as it was understood (E-5) */
            card.dev.mode = register_join(l->arena, STR(""), STR(""), index);
        card.dev.type = l->v->core.key;
        card.dev.count = (int32_t)piece.capacity;
        card.dev.healthy = true;
        if (arena_failed(l->arena))
            return err_set(err, ERR_NO_MEMORY, "devices");
        rc = register_add(l, &card, err);
    }
    return rc;
}

static enum err_code read_all(struct register_list *l, struct err *err)
{
    const struct str text = l->text->list.p ? l->text->list : STR("");
    struct scan s = scan_start(text, REGISTER_DEPTH_MAX, l->arena);
    struct sizes most = {0, 0};
    struct str key;
    enum err_code rc = ERR_OK;
    if (!scan_null(&s) && scan_object(&s))
        while (!rc && scan_key(&s, &key)) {
            if (scan_null(&s))
                continue;
            if (str_eq_fold(key, STR("devices")))
                rc = read_devices(&s, l, err);
            else if (str_eq_fold(key, STR("profiles")))
                most = read_profiles(&s, l);
            else
                scan_skip(&s);
        }
    if (!rc && !scan_end(&s))
        rc = register_scan_err(l, &s, "slices", err);
    if (rc)
        return rc;
    if (l->n > 0 && most.slices == 0)
        return err_set(err, ERR_INVALID, "no profile says how many slices a card has");
    order_profiles(l, most.slices);
    for (size_t i = 0; i < l->n; i++) {
        struct vendor_device *dev = &l->card[i].dev;
        dev->mem_mib = (most.gb > 0 ? most.gb : most.slices) * GB_MIB;
        dev->cores_pct = most_cores(l, dev->count < CAPACITY_MAX ? dev->count : CAPACITY_MAX);
        dev->profiles_n = (uint16_t)l->profiles_n;
    }
    return ERR_OK;
}

enum err_code register_read_slices(struct register_list *l, struct err *err)
{
    enum err_code rc = read_all(l, err);
    if (rc)
        return err_prefix(err, rc, "annotation " STR_FMT, STR_ARG(l->v->node_register));
    return ERR_OK;
}
