/* What a node says of one maker, line by line: list, capacities of count, memory and cores, pairs,
 * soft, losses, gains, kind. Read for every built-in row: what comes out is bounded, sorted, fits
 * together, and comes out again. */
#include "vendor/vendor.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct vendor_table *vendors; /* read only once it is there */

static void check_device(const struct vendor_cards *c, uint16_t i)
{
    const struct vendor_device *d = &c->devices[i], *before = i ? d - 1 : NULL;
    assert(d->id.n > 0 && str_utf8_valid(d->id) && !memchr(d->id.p, ';', d->id.n));
    assert(d->count >= 0 && d->mem_mib >= 0 && d->mem_mib <= INT32_MAX);
    assert(d->cores_pct >= 0 && d->index >= 0);
    assert(!before || before->index < d->index ||
           (before->index == d->index && str_cmp(before->id, d->id) < 0));
    assert(d->profile + d->profiles_n <= c->profiles_n);
    assert(d->type.p && d->mode.p);
}

static void check_profile(const struct score_profile *p)
{
    assert(p->name.n > 0 && p->mem_mib > 0 && p->cores_pct >= 0 && p->slices >= 0);
    assert(p->placements_n <= SCORE_PLACEMENTS_MAX);
    for (uint16_t i = 0; i < p->placements_n; i++)
        assert(p->placements[i].size > 0 && p->placements[i].start + p->placements[i].size <= 64);
}

static void check_topology(const struct vendor_cards *c)
{
    const struct score_topology *t = &c->topology;
    assert(t->n == 0 || t->n == c->devices_n);
    assert(t->n > 0 || (!t->pair && !t->loss && !t->gain));
    assert(!c->topology_fault.p || (!t->pair && !t->loss && !t->gain));
    for (uint16_t i = 0; t->pair && i < t->n; i++)
        for (uint16_t j = 0; j < t->n; j++) {
            const int32_t v = t->pair[i * t->n + j];
            assert(v == t->pair[j * t->n + i] && v >= -SCORE_PAIR_MAX && v <= SCORE_PAIR_MAX);
            assert(i != j || v == 0);
        }
}

static bool same(const struct vendor_cards *a, const struct vendor_cards *b)
{
    bool is = a->devices_n == b->devices_n && a->profiles_n == b->profiles_n &&
              a->dropped == b->dropped && a->topology.n == b->topology.n &&
              str_eq(a->card_fault, b->card_fault) && str_eq(a->topology_fault, b->topology_fault);
    for (uint16_t i = 0; is && i < a->devices_n; i++) {
        const struct vendor_device *x = &a->devices[i], *y = &b->devices[i];
        is = str_eq(x->id, y->id) && x->zone == y->zone && x->bits == y->bits &&
             x->healthy == y->healthy && x->foreign == y->foreign && x->profile == y->profile;
    }
    return is;
}

static void check(const struct vendor *v, const struct vendor_node_text *text)
{
    struct arena *arena = arena_new(64 << 20);
    struct vendor_cards c = {0}, again = {0};
    struct err err = {0};
    assert(arena);
    enum err_code rc = vendor_cards_decode(v, text, arena, &c, &err);
    assert(vendor_cards_decode(v, text, arena, &again, NULL) == rc);
    if (rc) {
        assert(rc == ERR_INVALID && err.code == rc && err.text[0]);
        assert(!c.devices && c.devices_n == 0);
    } else {
        assert(c.devices_n + c.dropped <= SCORE_DEVICES_MAX && same(&c, &again));
        for (uint16_t i = 0; i < c.devices_n; i++)
            check_device(&c, i);
        for (uint16_t i = 0; i < c.profiles_n; i++)
            check_profile(&c.profiles[i]);
        check_topology(&c);
    }
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vendor_node_text text = {.node = STR("n1")};
    struct str rest = {(const char *)data, size}, *const PARTS[] = {
                                                      &text.list,
                                                      &text.capacity[VENDOR_RES_COUNT],
                                                      &text.capacity[VENDOR_RES_MEM],
                                                      &text.capacity[VENDOR_RES_CORES],
                                                      &text.pairs,
                                                      &text.soft,
                                                      &text.loss,
                                                      &text.gain,
                                                      &text.kind,
                                                  };
    if (!vendors)
        assert(vendor_table_builtin(&vendors, NULL) == ERR_OK);
    for (size_t i = 0; i < sizeof(PARTS) / sizeof(PARTS[0]) && rest.p; i++)
        (void)str_split(&rest, '\n', PARTS[i]);
    for (uint16_t i = 0; i < vendor_count(vendors); i++)
        check(vendor_at(vendors, i), &text);
    return 0;
}
