/* Allocation lists: "GPU-a,NVIDIA,4000,10:;" (core.md 4.5, node-side.md 2.3). Written padded, one
 * slot a container, init containers first; read as HAMi v2.10 writes them too (core.md 6.5). A list
 * is never believed beyond its own bounds. */
#include "vendor/priv.h"

#include "base/scan.h"

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
    *ret = (struct vendor_alloc){.uuid = field[UUID],
                                 .type = field[TYPE],
                                 .mem_mib = mem,
                                 .cores_pct = (int32_t)cores,
                                 .shares = 1};
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

/* ---- what other annotations say of a list's shares ---- */

#define DEPTH_MAX 8 /* of these annotations */

MUST_USE static enum err_code bad_json(const struct scan *s, struct str key,
                                       const struct arena *arena, struct err *err)
{
    if (arena_failed(arena))
        return err_set(err, ERR_NO_MEMORY, STR_FMT, STR_ARG(key));
    (void)scan_err(s, "annotation", err);
    return err_prefix(err, ERR_INVALID, STR_FMT, STR_ARG(key));
}

/* One element of nvidia.md 8.3, read as Go's decoder does (errata E-12): names in any case, null is
 * absent, unknown members are nothing, absent numbers are 0. */
struct slice {
    struct slice *next;
    struct str uuid, profile, runtime;
    int64_t container, device, start, size;
    bool instance, compute; /* runtime members that are there */
};

static void read_u32(struct scan *s, int64_t *ret)
{
    if (scan_int(s, ret) && (*ret < 0 || *ret > UINT32_MAX))
        scan_fail(s, "a number is negative or beyond 32 bits");
}

static void read_placement(struct scan *s, struct slice *e)
{
    struct str key;
    if (!scan_object(s))
        return;
    while (scan_key(s, &key)) {
        if (scan_null(s))
            continue;
        if (str_eq_fold(key, STR("start")))
            read_u32(s, &e->start);
        else if (str_eq_fold(key, STR("size")))
            read_u32(s, &e->size);
        else
            scan_skip(s);
    }
}

static void read_slice(struct scan *s, struct slice *e)
{
    struct str key;
    int64_t id;
    if (!scan_object(s))
        return;
    while (scan_key(s, &key)) {
        if (scan_null(s))
            continue;
        if (str_eq_fold(key, STR("containerIndex")))
            scan_int(s, &e->container);
        else if (str_eq_fold(key, STR("deviceIndex")))
            scan_int(s, &e->device);
        else if (str_eq_fold(key, STR("gpuUUID")))
            scan_string(s, &e->uuid);
        else if (str_eq_fold(key, STR("profile")))
            scan_string(s, &e->profile);
        else if (str_eq_fold(key, STR("placement")))
            read_placement(s, e);
        else if (str_eq_fold(key, STR("migUUID")))
            scan_string(s, &e->runtime);
        else if (str_eq_fold(key, STR("gpuInstanceID")))
            read_u32(s, &id), e->instance = true;
        else if (str_eq_fold(key, STR("computeInstanceID")))
            read_u32(s, &id), e->compute = true;
        else
            scan_skip(s);
    }
}

static const char *slice_fault(const struct slice *e)
{
    if (e->container < 0 || e->device < 0)
        return "a negative index";
    if (e->uuid.n == 0 || e->profile.n == 0)
        return "a slice without its card or profile";
    if (e->size == 0 || e->start + e->size > 64)
        return "a placement of no size, or too far up";
    if ((e->runtime.n > 0) != e->instance || e->instance != e->compute)
        return "some of the runtime ids are there and some are not";
    return NULL;
}

/* Bits [start, start + size), of a place that was checked. */
static uint64_t run_of(int64_t start, int64_t size)
{
    assert(size >= 1 && size <= 64 && start >= 0 && start + size <= 64);
    return (UINT64_MAX >> (64 - size)) << start;
}

/* The first share of the card that has no slice yet. The reference matches them by card and order,
 * too (nvidia.md 8.4), so lists that it shifted are read right. *ret_known: the list has the card.
 */
static struct vendor_alloc *share_of(struct vendor_alloc *a, uint16_t n, struct str uuid,
                                     bool *ret_known)
{
    *ret_known = false;
    for (uint16_t i = 0; i < n; i++)
        if (str_eq(a[i].uuid, uuid)) {
            *ret_known = true;
            if (a[i].bits == 0)
                return &a[i];
        }
    return NULL;
}

MUST_USE static enum err_code read_slices(const struct vendor *v, struct str text,
                                          struct arena *arena, struct vendor_alloc *a, uint16_t n,
                                          struct err *err)
{
    struct scan s = scan_start(text, DEPTH_MAX, arena);
    struct slice *seen = NULL, **last = &seen;
    size_t count = 0;
    if (!scan_null(&s) && scan_array(&s))
        while (scan_item(&s)) {
            struct slice *e = arena_alloc(arena, sizeof(*e));
            if (!e)
                return err_set(err, ERR_NO_MEMORY, STR_FMT, STR_ARG(v->pod_mig));
            read_slice(&s, e);
            const char *fault = s.fault ? NULL : slice_fault(e);
            for (const struct slice *o = seen; !fault && o; o = o->next)
                if (o->container == e->container && o->device == e->device)
                    fault = "two slices of one place";
            if (!fault && ++count > SCORE_PARTS_MAX)
                fault = "too many slices";
            if (fault)
                scan_fail(&s, fault);
            if (s.fault)
                break;
            *last = e;
            last = &e->next;
        }
    if (!scan_end(&s))
        return bad_json(&s, v->pod_mig, arena, err);
    for (const struct slice *e = seen; e; e = e->next) {
        bool known;
        struct vendor_alloc *share = share_of(a, n, e->uuid, &known);
        if (share)
            share->bits = run_of(e->start, e->size);
        else if (known)
            return err_set(err, ERR_INVALID,
                           STR_FMT ": more slices of card " STR_FMT " than the list has shares",
                           STR_ARG(v->pod_mig), STR_ARG(e->uuid));
        /* else: of a node that the pod was tried on before (core.md D C10) */
    }
    return ERR_OK;
}

static bool is_container(struct str name, uint16_t c, const struct str *names, uint16_t names_n)
{
    return c < names_n && str_eq(names[c], name);
}

/* vendors-b.md 2j: {"<container>":{"request":<slices>,…},…} */
MUST_USE static enum err_code read_assigned(const struct vendor *v, struct str text,
                                            const struct str *names, uint16_t names_n,
                                            struct arena *arena, struct vendor_alloc *a, uint16_t n,
                                            struct err *err)
{
    struct scan s = scan_start(text, DEPTH_MAX, arena);
    struct str name, key;
    bool told[SCORE_CONTAINERS_MAX] = {false};
    assert(names_n <= SCORE_CONTAINERS_MAX);
    if (scan_object(&s))
        while (scan_key(&s, &name)) {
            int64_t slices = 0;
            if (!scan_object(&s))
                break;
            while (scan_key(&s, &key))
                if (str_eq_fold(key, STR("request")) && scan_peek(&s) == SCAN_NUMBER)
                    scan_int(&s, &slices);
                else
                    scan_skip(&s);
            bool used = false;
            for (uint16_t i = 0; !s.fault && i < n; i++)
                if (is_container(name, a[i].container, names, names_n)) {
                    used = told[a[i].container] = true;
                    a[i].shares = (uint16_t)slices;
                }
            if (used && (slices < 1 || slices > UINT16_MAX))
                scan_fail(&s, "a number of slices that can't be");
            if (!used)
                scan_fail(&s, "slices of a container that has no card in the list");
        }
    if (!scan_end(&s))
        return bad_json(&s, v->pod_assigned, arena, err);
    for (uint16_t i = 0; i < n; i++)
        if (!told[a[i].container])
            return err_set(err, ERR_INVALID, STR_FMT ": says nothing of container %u",
                           STR_ARG(v->pod_assigned), a[i].container);
    return ERR_OK;
}

enum err_code vendor_alloc_extra(const struct vendor *v, struct str slices, struct str assigned,
                                 const struct str *container_names, uint16_t containers_n,
                                 struct arena *arena, struct vendor_alloc *a, uint16_t n,
                                 struct err *err)
{
    enum err_code rc = ERR_OK;
    for (uint16_t i = 0; v->rules & VENDOR_RULE_BITS && i < n; i++) {
        a[i].bits = (uint32_t)a[i].cores_pct;
        a[i].cores_pct = __builtin_popcountll(a[i].bits);
    }
    if (v->extra == VENDOR_EXTRA_SLICES_LIST && slices.n > 0)
        rc = read_slices(v, slices, arena, a, n, err);
    if (!rc && v->extra == VENDOR_EXTRA_ASSIGNED && assigned.p)
        rc = read_assigned(v, assigned, container_names, containers_n, arena, a, n, err);
    return rc;
}
