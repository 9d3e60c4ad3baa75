/* What a node's plugin registered: the JSON list (core.md 2.1) or the older text list (2.2), by the
 * row's rule bit. Read as Go's decoder reads it: names in any case, the last duplicate wins, null
 * is absent (errata E-9); and refused as a whole when anything in it can't be a card, for half a
 * list would be a wrong node. */
#include "vendor/priv.h"

#include "base/scan.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 16
#define ID_MAX    512 /* bytes; made-up ids hold a node name (253) and a maker's word */

/* Cards as they come, before order and duplicates. */
struct list {
    struct vendor_device *dev;
    size_t n, cap;
    struct arena *arena;
};

MUST_USE static enum err_code list_add(struct list *l, const struct vendor_device *dev,
                                       struct err *err)
{
    if (l->n == SCORE_DEVICES_MAX)
        return err_set(err, ERR_INVALID, "more than %d devices", SCORE_DEVICES_MAX);
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        struct vendor_device *more = arena_array(l->arena, cap, sizeof(*more));
        if (!more)
            return err_set(err, ERR_NO_MEMORY, "devices");
        if (l->n > 0)
            memcpy(more, l->dev, l->n * sizeof(*more));
        l->dev = more;
        l->cap = cap;
    }
    l->dev[l->n++] = *dev;
    return ERR_OK;
}

/* What holds for both spellings. */
static const char *device_fault(const struct vendor_device *dev)
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

static int32_t clamp_numa(int64_t numa)
{
    return numa > INT32_MAX ? INT32_MAX : numa < INT32_MIN ? INT32_MIN : (int32_t)numa;
}

/* ---- JSON ---- */

static bool read_i32(struct scan *s, int32_t *ret)
{
    int64_t v;
    if (!scan_int(s, &v))
        return false;
    if (v < INT32_MIN || v > INT32_MAX)
        return scan_fail(s, "a number beyond 32 bits");
    *ret = (int32_t)v;
    return true;
}

/* An array of objects whose members are not used by this build; only its shape is checked. */
static void skip_objects(struct scan *s)
{
    if (!scan_array(s))
        return;
    while (scan_item(s)) {
        if (scan_peek(s) == SCAN_OBJECT)
            scan_skip(s);
        else if (!scan_null(s))
            scan_fail(s, "expected an object");
    }
}

static void read_member(struct scan *s, struct str key, struct vendor_device *dev)
{
    int64_t number;
    if (scan_null(s)) /* absent */
        return;
    if (str_eq_fold(key, STR("id"))) {
        scan_string(s, &dev->id);
    } else if (str_eq_fold(key, STR("index"))) {
        read_i32(s, &dev->index);
    } else if (str_eq_fold(key, STR("count"))) {
        read_i32(s, &dev->count);
    } else if (str_eq_fold(key, STR("devmem"))) {
        int32_t mib = 0;
        read_i32(s, &mib);
        dev->mem_mib = mib;
    } else if (str_eq_fold(key, STR("devcore"))) {
        read_i32(s, &dev->cores_pct);
    } else if (str_eq_fold(key, STR("type"))) {
        scan_string(s, &dev->type);
    } else if (str_eq_fold(key, STR("numa"))) {
        if (scan_int(s, &number))
            dev->numa = clamp_numa(number);
    } else if (str_eq_fold(key, STR("mode"))) {
        scan_string(s, &dev->mode);
    } else if (str_eq_fold(key, STR("health"))) {
        scan_bool(s, &dev->healthy);
    } else if (str_eq_fold(key, STR("migProfiles")) || str_eq_fold(key, STR("migtemplate"))) {
        skip_objects(s);
    } else if (str_eq_fold(key, STR("devicevendor"))) {
        struct str text; /* overwritten by every reader */
        scan_string(s, &text);
    } else if (str_eq_fold(key, STR("custominfo"))) {
        if (scan_peek(s) == SCAN_OBJECT)
            scan_skip(s);
        else
            scan_fail(s, "custominfo is not an object");
    } else {
        scan_skip(s);
    }
}

MUST_USE static enum err_code read_json(struct str text, struct list *l, struct err *err)
{
    struct scan s = scan_start(text, DEPTH_MAX, l->arena);
    struct str key;
    if (!scan_null(&s) && scan_array(&s))
        while (scan_item(&s)) {
            struct vendor_device dev = {.id = STR(""), .type = STR(""), .mode = STR("")};
            if (!scan_object(&s))
                break;
            while (scan_key(&s, &key))
                read_member(&s, key, &dev);
            if (s.fault)
                break;
            dev.mig = str_eq(dev.mode, STR("mig"));
            const char *fault = device_fault(&dev);
            if (fault) {
                scan_fail(&s, fault);
                break;
            }
            enum err_code rc = list_add(l, &dev, err);
            if (rc)
                return rc;
        }
    if (scan_end(&s))
        return ERR_OK;
    if (arena_failed(l->arena))
        return err_set(err, ERR_NO_MEMORY, "devices");
    (void)scan_err(&s, "device list", err);
    if (err)
        err->code = ERR_INVALID;
    return ERR_INVALID;
}

/* ---- the older text ---- */

enum {
    F_ID,
    F_COUNT,
    F_MEM,
    F_CORE,
    F_TYPE,
    F_NUMA,
    F_HEALTH,
    F_SHORT,
    F_INDEX = F_SHORT,
    F_MODE,
    F_LONG
};

MUST_USE static enum err_code read_fields(struct str segment, struct vendor_device *ret,
                                          struct err *err)
{
    struct str field[F_LONG], rest = segment, piece;
    int n = 0;
    for (; str_split(&rest, ',', &piece); n++)
        if (n < F_LONG)
            field[n] = piece;
    if (n == 1)
        return err_set(err, ERR_INVALID, "malformed node annotation segment: \"" STR_FMT "\"",
                       STR_ARG(segment));
    if (n != F_SHORT && n != F_LONG)
        return err_set(err, ERR_INVALID, "unexpected field count %d in node annotation", n);
    static const struct {
        int field;
        const char *name;
    } NUMBERS[] = {{F_COUNT, "count"}, {F_MEM, "devmem"}, {F_CORE, "devcore"}};
    int64_t number[3], numa, index = 0;
    bool healthy;
    for (int i = 0; i < 3; i++)
        if (!str_int(field[NUMBERS[i].field], INT32_MIN, INT32_MAX, &number[i]))
            return err_set(err, ERR_INVALID, "%s \"" STR_FMT "\" is not a 32-bit number",
                           NUMBERS[i].name, STR_ARG(field[NUMBERS[i].field]));
    if (!str_go_bool(field[F_HEALTH], &healthy))
        return err_set(err, ERR_INVALID, "health \"" STR_FMT "\" is not a bool",
                       STR_ARG(field[F_HEALTH]));
    if (!str_int(field[F_NUMA], INT64_MIN, INT64_MAX, &numa))
        return err_set(err, ERR_INVALID, "numa \"" STR_FMT "\" is not a number",
                       STR_ARG(field[F_NUMA]));
    if (n == F_LONG) {
        if (!str_int(field[F_INDEX], INT64_MIN, INT32_MAX, &index))
            return err_set(err, ERR_INVALID, "index \"" STR_FMT "\" is not a number",
                           STR_ARG(field[F_INDEX]));
        if (index < 0)
            return err_set(err, ERR_INVALID, "index field must not be negative: %lld",
                           (long long)index);
    }
    struct vendor_device dev = {
        .id = field[F_ID],
        .type = field[F_TYPE],
        .mode = n == F_LONG ? field[F_MODE] : STR("hami-core"),
        .mem_mib = number[1],
        .index = (int32_t)index,
        .count = (int32_t)number[0],
        .cores_pct = (int32_t)number[2],
        .numa = clamp_numa(numa),
        .healthy = healthy,
    };
    dev.mig = str_eq(dev.mode, STR("mig"));
    const char *fault = device_fault(&dev);
    if (fault)
        return err_set(err, ERR_INVALID, "%s", fault);
    *ret = dev;
    return ERR_OK;
}

MUST_USE static enum err_code read_text(struct str text, struct list *l, struct err *err)
{
    if (!str_contains(text, STR(":")))
        return err_set(err, ERR_INVALID, "node annotation missing device separator");
    if (!str_utf8_valid(text))
        return err_set(err, ERR_INVALID, "node annotation is not UTF-8");
    struct str rest = text, segment;
    while (str_split(&rest, ':', &segment)) {
        struct vendor_device dev;
        if (segment.n == 0)
            continue;
        enum err_code rc = read_fields(segment, &dev, err);
        if (!rc)
            rc = list_add(l, &dev, err);
        if (rc)
            return rc;
    }
    return ERR_OK;
}

/* ---- order ---- */

static int by_index(const void *a, const void *b)
{
    const struct vendor_device *x = a, *y = b;
    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    return str_cmp(x->id, y->id);
}

static int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }

/* Of two entries of one card the lesser of each: plugins write their lists in any order, and a card
 * must not change with it. */
static void merge(struct vendor_device *to, const struct vendor_device *from)
{
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
}

/* Keeps one of each id. At most 256 cards: the plain double loop is the quickest to read and to
 * run. */
static uint16_t drop_duplicates(struct list *l)
{
    size_t kept = 0;
    for (size_t i = 0; i < l->n; i++) {
        size_t j = 0;
        while (j < kept && !str_eq(l->dev[j].id, l->dev[i].id))
            j++;
        if (j == kept)
            l->dev[kept++] = l->dev[i];
        else
            merge(&l->dev[j], &l->dev[i]);
    }
    uint16_t dropped = (uint16_t)(l->n - kept);
    l->n = kept;
    return dropped;
}

enum err_code vendor_register_decode(const struct vendor *v, struct str text, struct arena *arena,
                                     struct vendor_device **ret, uint16_t *ret_n,
                                     uint16_t *ret_dropped, struct err *err)
{
    struct list l = {.arena = arena};
    if (!text.p)
        text = STR("");
    enum err_code rc = v->inventory == VENDOR_INVENTORY_TEXT ? read_text(text, &l, err)
                                                              : read_json(text, &l, err);
    if (rc)
        return err_prefix(err, rc, "annotation " STR_FMT, STR_ARG(v->node_register));
    uint16_t dropped = drop_duplicates(&l);
    if (l.n > 1)
        qsort(l.dev, l.n, sizeof(*l.dev), by_index);
    *ret = l.dev;
    *ret_n = (uint16_t)l.n;
    *ret_dropped = dropped;
    return ERR_OK;
}
