/* Allocation lists: "GPU-a,NVIDIA,4000,10:;" (core.md 4.5, node-side.md 2.3). Written padded, one
 * slot a container, init containers first; read as HAMi v2.10 writes them too (core.md 6.5). A list
 * is never believed beyond its own bounds. */
#include "vendor/priv.h"

#include <assert.h>
#include <string.h>

static const struct str ENTRY = STR_INIT("allocation list");

/* One device text "uuid,type,mem,cores[,…]" with at least one comma in it. */
MUST_USE static enum err_code parse_device(struct str text, struct vendor_alloc *ret,
                                           struct err *err)
{
    enum { UUID, TYPE, MEM, CORES, FIELDS };
    struct str field[FIELDS], rest = text;
    for (int i = 0; i < FIELDS; i++)
        if (!str_split(&rest, ',', &field[i]))
            return err_set(err, ERR_INVALID, STR_FMT ": a device has %d of 4 fields",
                           STR_ARG(ENTRY), i);
    int64_t mem, cores;
    if (field[UUID].n == 0)
        return err_set(err, ERR_INVALID, STR_FMT ": a device without an id", STR_ARG(ENTRY));
    if (!str_int(field[MEM], 0, INT32_MAX, &mem) || !str_int(field[CORES], 0, INT32_MAX, &cores))
        return err_set(err, ERR_INVALID,
                       STR_FMT ": memory or cores of a device are not between 0 and %d",
                       STR_ARG(ENTRY), INT32_MAX);
    *ret = (struct vendor_alloc){
        .uuid = field[UUID], .type = field[TYPE], .mem_mib = mem, .cores_pct = (int32_t)cores};
    return ERR_OK;
}

static bool is_device(struct str piece) { return piece.n > 0 && memchr(piece.p, ',', piece.n); }

/* What a walk over the text found. */
struct walk {
    size_t devices, slots, filled; /* slots: without the empty one behind the last ';' */
};

/* Walks all devices; with `out` it stores them, `container` being the slot's number. */
MUST_USE static enum err_code walk_list(struct str text, struct vendor_alloc *out, struct walk *ret,
                                        struct err *err)
{
    struct walk w = {0};
    struct str rest = text, slot;
    while (str_split(&rest, ';', &slot)) {
        bool last = !rest.p, filled = false;
        struct str pieces = slot, piece;
        while (str_split(&pieces, ':', &piece)) {
            if (!is_device(piece))
                continue; /* as the plugins read it: no comma, no device */
            struct vendor_alloc dev;
            enum err_code rc = parse_device(piece, &dev, err);
            if (rc)
                return rc;
            if (w.devices >= SCORE_PARTS_MAX)
                return err_set(err, ERR_INVALID, STR_FMT ": more than %d devices", STR_ARG(ENTRY),
                               SCORE_PARTS_MAX);
            /* Slots are bounded only after the walk: kept within the type here. */
            dev.container = w.slots < UINT16_MAX ? (uint16_t)w.slots : UINT16_MAX;
            if (out)
                out[w.devices] = dev;
            w.devices++;
            filled = true;
        }
        w.filled += filled;
        if (!last || filled)
            w.slots++;
    }
    *ret = w;
    return ERR_OK;
}

/* core.md 6.5: the list is shorter than the pod; HAMi v2.10 left out slots of containers that ask
 * for nothing. */
static void put_in_place(struct vendor_alloc *a, size_t n, size_t filled, const bool *asking,
                         uint16_t containers_n)
{
    uint16_t askers = 0;
    for (uint16_t c = 0; asking && c < containers_n; c++)
        askers = (uint16_t)(askers + asking[c]);
    if (!asking || askers != filled) {
        for (size_t i = 0; i < n; i++)
            a[i].container = (uint16_t)(containers_n - 1);
        return;
    }
    uint16_t to = 0;
    while (to < containers_n && !asking[to])
        to++;
    for (size_t i = 0; i < n; i++) {
        uint16_t from = a[i].container;
        a[i].container = to;
        if (i + 1 < n && a[i + 1].container != from)
            do
                to++;
            while (to < containers_n && !asking[to]);
    }
}

enum err_code vendor_alloc_decode(struct str text, const bool *asking, uint16_t containers_n,
                                  struct arena *arena, struct vendor_alloc **ret, uint16_t *ret_n,
                                  struct err *err)
{
    struct walk w;
    if (!text.p)
        text = STR("");
    enum err_code rc = walk_list(text, NULL, &w, err);
    if (rc)
        return rc;
    struct vendor_alloc *a = arena_array(arena, w.devices ? w.devices : 1, sizeof(*a));
    if (!a)
        return err_set(err, ERR_NO_MEMORY, STR_FMT, STR_ARG(ENTRY));
    rc = walk_list(text, a, &w, err);
    if (rc)
        return rc;
    if (w.devices > 0) {
        if (a[w.devices - 1].container >= containers_n)
            return err_set(err, ERR_INVALID, STR_FMT ": a device for container %u of %u",
                           STR_ARG(ENTRY), a[w.devices - 1].container + 1u, containers_n);
        if (w.slots < containers_n)
            put_in_place(a, w.devices, w.filled, asking, containers_n);
    }
    *ret = a;
    *ret_n = (uint16_t)w.devices;
    return ERR_OK;
}

void vendor_alloc_encode(const struct vendor_alloc *a, uint16_t n, uint16_t containers_n,
                         struct buf *out)
{
    uint16_t i = 0;
    for (uint16_t c = 0; c < containers_n; c++) {
        for (; i < n && a[i].container == c; i++) {
            buf_add(out, a[i].uuid);
            buf_char(out, ',');
            buf_add(out, a[i].type);
            buf_char(out, ',');
            buf_int(out, a[i].mem_mib);
            buf_char(out, ',');
            buf_int(out, a[i].cores_pct);
            buf_char(out, ':');
        }
        buf_char(out, ';');
    }
    assert(i == n); /* sorted, and within the containers */
}

bool vendor_alloc_left(struct str to_allocate) { return is_device(to_allocate); }
