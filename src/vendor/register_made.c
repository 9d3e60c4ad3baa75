/* Cards that no list names: made up from what the kubelet says that the node has of the maker's
 * resources. The resource is the registration; without it there is nothing to read. */
#include "vendor/register.h"

enum { BITS_MAX = 64 };

/* A capacity as a whole number of 0 or more; absent: 0. */
MUST_USE static enum err_code read_capacity(const struct register_list *l,
                                            enum vendor_resource what, int64_t *ret,
                                            struct err *err)
{
    const struct str text = l->text->capacity[what];
    const struct str name = vendor_resource_name(l->v, what);
    struct quantity q;
    int64_t v = 0;
    if (!text.p) {
        *ret = 0;
        return ERR_OK;
    }
    if (quantity_parse(text, &q, NULL) || !quantity_int(&q, &v) || v < 0)
        return err_set(err, ERR_INVALID,
                       "capacity of " STR_FMT ": \"" STR_FMT "\" is not a whole number from 0",
                       STR_ARG(name), (int)(text.n < 64 ? text.n : 64), text.p);
    *ret = v;
    return ERR_OK;
}

MUST_USE static enum err_code too_many(const struct register_list *l, enum vendor_resource what,
                                       struct err *err)
{
    const struct str name = vendor_resource_name(l->v, what);
    return err_set(err, ERR_INVALID, "capacity of " STR_FMT ": more than %d cards", STR_ARG(name),
                   SCORE_DEVICES_MAX);
}

/* Memory of one card, MiB: `made` says it, or it is the capacity's even part. */
MUST_USE static enum err_code memory_of(const struct register_list *l, int64_t units, int64_t *ret,
                                        struct err *err)
{
    const struct vendor_made *made = &l->v->made;
    const struct str name = vendor_resource_name(l->v, VENDOR_RES_MEM);
    int64_t mem = 0;
    if (made->mem_mib > 0) {
        *ret = made->mem_mib;
        return ERR_OK;
    }
    enum err_code rc = read_capacity(l, VENDOR_RES_MEM, &mem, err);
    if (rc)
        return rc;
    if (__builtin_mul_overflow(mem, (int64_t)l->v->mem_factor, &mem) ||
        __builtin_mul_overflow(mem, (int64_t)made->per_card, &mem) || mem / units > INT32_MAX)
        return err_set(err, ERR_INVALID, "capacity of " STR_FMT ": beyond 2^31-1 MiB a card",
                       STR_ARG(name));
    *ret = mem / units;
    return ERR_OK;
}

/* n cards like this one, numbered. */
MUST_USE static enum err_code add_cards(struct register_list *l, const struct register_card *like,
                                        int64_t n, struct err *err)
{
    enum err_code rc = ERR_OK;
    for (int64_t i = 0; i < n && !rc; i++) {
        struct register_card card = *like;
        card.dev.index = (int32_t)i;
        card.dev.id = register_join(l->arena, l->text->node, l->v->made.infix, i);
        if (arena_failed(l->arena))
            return err_set(err, ERR_NO_MEMORY, "devices");
        if (l->v->made.halves && i >= n / 2)
            card.dev.numa = 1;
        rc = register_add(l, &card, err);
    }
    return rc;
}

enum err_code register_read_made(struct register_list *l, struct err *err)
{
    const struct vendor_made *made = &l->v->made;
    const enum vendor_resource what = made->per_cores ? VENDOR_RES_CORES : VENDOR_RES_COUNT;
    const int64_t per_card = made->per_card > 1 ? made->per_card : 1;
    struct register_card card = register_card_new();
    int64_t units = 0;
    enum err_code rc = read_capacity(l, what, &units, err);
    if (rc || units == 0)
        return rc;
    if (units > SCORE_DEVICES_MAX * per_card)
        return too_many(l, what, err);
    rc = memory_of(l, units, &card.dev.mem_mib, err);
    if (rc)
        return rc;
    card.dev.type = l->v->core.key;
    card.dev.count = made->count;
    card.dev.cores_pct = made->cores;
    card.dev.healthy = true;
    return add_cards(l, &card, (units + per_card - 1) / per_card, err);
}

/* vendors-b.md 4d; cores of a device are this node's, not the first node's (D4.1), and all of them
 * are given out, not the first two (D4.2). */
enum err_code register_read_cores(struct register_list *l, struct err *err)
{
    struct register_card card = register_card_new();
    int64_t devices = 0, cores = 0;
    enum err_code rc = read_capacity(l, VENDOR_RES_COUNT, &devices, err);
    if (rc || devices == 0)
        return rc;
    if (devices > SCORE_DEVICES_MAX)
        return too_many(l, VENDOR_RES_COUNT, err);
    rc = read_capacity(l, VENDOR_RES_CORES, &cores, err);
    if (rc)
        return rc;
    const int64_t each = cores / devices;
    if (each < 1 || each > BITS_MAX)
        return err_set(err, ERR_INVALID,
                       "capacity of " STR_FMT ": %lld for %lld devices, want 1 to %d a device",
                       STR_ARG(l->v->res_cores), (long long)cores, (long long)devices, BITS_MAX);
    card.dev.type = l->v->core.key;
    card.dev.count = (int32_t)each;
    card.dev.cores_pct = (int32_t)each;
    card.dev.bits = UINT64_MAX >> (BITS_MAX - each);
    card.dev.healthy = true;
    return add_cards(l, &card, devices, err);
}
