/* What a decision writes on the pod for one row's plugins: the allocation lists (core.md 4.5), and
 * what some makers' node sides want beside them, an algorithm a kind (enum vendor_extra; the parts
 * 10 and j of vendors-a.md and -b.md). JSON is written member by member, in the chapter's order and
 * without blanks: these are texts that others compare. */
#include "vendor/priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (256 << 10) /* Kubernetes' limit of an object's annotations together */

/* Keys beside the lists that no row names, for nobody may choose them. */
enum extra_key {
    OBJECTS_TIME,
    PROFILE_ASSIGNED,
    PROFILE_TEXT,
    INDEX_LIST,
    INDEX_TIME,
    INDEX_NODE,
    BY_CONTAINER_LIST,
    BY_CONTAINER_TIME,
    ASSIGNED_DONE,
    ASSIGNED_TIME,
    ASSIGNED_INDEX,
    ASSIGNED_ID,
    ASSIGNED_MINOR,
    ASSIGNED_SIZE,
    IDX_LIST,
    CORE_IDS_LIST,
    CORE_IDS_RESOURCE,
    CORE_IDS_TIME,
    CORE_IDS_DONE,
    CORE_IDS_NODE,
    EXTRA_KEYS_N
};
static const struct str KEYS[EXTRA_KEYS_N] = {
    [OBJECTS_TIME] = STR_INIT("predicate-time"),
    [PROFILE_ASSIGNED] = STR_INIT("CAMBRICON_DSMLU_ASSIGNED"),
    [PROFILE_TEXT] = STR_INIT("CAMBRICON_DSMLU_PROFILE"),
    [INDEX_LIST] = STR_INIT("mthreads.com/gpu-index"),
    [INDEX_TIME] = STR_INIT("mthreads.com/predicate-time"),
    [INDEX_NODE] = STR_INIT("mthreads.com/predicate-node"),
    [BY_CONTAINER_LIST] = STR_INIT("metax-tech.com/gpu-devices-allocated"),
    [BY_CONTAINER_TIME] = STR_INIT("metax-tech.com/predicate-time"),
    [ASSIGNED_DONE] = STR_INIT("enflame.com/gcu-assigned"),
    [ASSIGNED_TIME] = STR_INIT("enflame.com/gcu-assigned-time"),
    [ASSIGNED_INDEX] = STR_INIT("enflame.com/gcu-assigned-index"),
    [ASSIGNED_ID] = STR_INIT("enflame.com/gcu-assigned-id"),
    [ASSIGNED_MINOR] = STR_INIT("enflame.com/gcu-assigned-minor"),
    [ASSIGNED_SIZE] = STR_INIT("enflame.com/gcu-request-size"),
    [IDX_LIST] = STR_INIT("BAIDU_COM_DEVICE_IDX"),
    [CORE_IDS_LIST] = STR_INIT("AWS_NEURON_IDS"),
    [CORE_IDS_RESOURCE] = STR_INIT("NEURON_RESOURCE_TYPE"),
    [CORE_IDS_TIME] = STR_INIT("NEURON_ALLOC_TIME"),
    [CORE_IDS_DONE] = STR_INIT("NEURON_ALLOCATED"),
    [CORE_IDS_NODE] = STR_INIT("aws.amazon.com/predicate-node"),
};
/* VENDOR_EXTRA_OBJECTS: this and the row's key. */
static const struct str OBJECTS_PREFIX = STR_INIT("huawei.com/");

bool vendor_extra_key(const struct vendor_table *t, struct str name)
{
    for (size_t i = 0; i < EXTRA_KEYS_N; i++)
        if (str_eq(name, KEYS[i]))
            return true;
    if (!str_has_prefix(name, OBJECTS_PREFIX))
        return false;
    struct str rest = {name.p + OBJECTS_PREFIX.n, name.n - OBJECTS_PREFIX.n};
    if (str_has_prefix(rest, STR("Ascend"))) /* as all are called, served or not */
        return true;
    for (uint16_t i = 0; i < t->n; i++)
        if (t->rows[i].extra == VENDOR_EXTRA_OBJECTS && str_eq(rest, t->rows[i].core.key))
            return true;
    return false;
}

struct writer {
    const struct vendor *v;
    const struct vendor_write *w;
    struct arena *arena;
    void (*add)(void *ctx, struct str key, struct str value);
    void *ctx;
    struct buf text; /* of one annotation after the other */
};

/* Nothing for a key that the row doesn't have. */
static void put(struct writer *o, struct str key)
{
    if (key.n > 0 && !o->text.failed)
        o->add(o->ctx, key, (struct str){o->text.p, o->text.n});
    o->text.n = 0;
}

static void put_text(struct writer *o, enum extra_key key, struct str value)
{
    buf_add(&o->text, value);
    put(o, KEYS[key]);
}

static void put_int(struct writer *o, enum extra_key key, int64_t value)
{
    buf_int(&o->text, value);
    put(o, KEYS[key]);
}

/* A member of a JSON object; what is empty or 0 is left out. */
static void member(struct buf *b, const char *name)
{
    if (b->n > 0 && b->p[b->n - 1] != '{')
        buf_char(b, ',');
    buf_json(b, str_z(name));
    buf_char(b, ':');
}

static void text_member(struct buf *b, const char *name, struct str value)
{
    if (value.n == 0)
        return;
    member(b, name);
    buf_json(b, value);
}

static void int_member(struct buf *b, const char *name, int64_t value)
{
    if (value == 0)
        return;
    member(b, name);
    buf_int(b, value);
}

/* ---- the lists ---- */

/* A list is read as 32-bit numbers between separators (node-side.md 2.3): what does not go in would
 * be read as something else. */
MUST_USE static enum err_code fits_list(struct str type, const struct vendor_written *s,
                                        int64_t cores, struct err *err)
{
    for (size_t i = 0; i < type.n; i++)
        if (memchr(",:;", type.p[i], 3))
            return err_set(err, ERR_INVALID,
                           "card " STR_FMT ": its type \"" STR_FMT
                           "\" holds a separator of allocation lists",
                           STR_ARG(s->uuid), STR_ARG(type));
    if (s->mem_mib < 0 || s->mem_mib > INT32_MAX || cores < 0 || cores > INT32_MAX)
        return err_set(err, ERR_INVALID,
                       "card " STR_FMT ": its memory or cores are too much for an allocation list",
                       STR_ARG(s->uuid));
    return ERR_OK;
}

/* Padded to all containers by the row, not by what types the node has (core.md D C1, vendors-a.md
 * S12 D1, vendors-b.md D0.1). */
MUST_USE static enum err_code put_lists(struct writer *o, struct err *err)
{
    const struct vendor_write *w = o->w;
    struct vendor_alloc *list = arena_array(o->arena, w->shares_n, sizeof(*list));
    if (!list)
        return err_set(err, ERR_NO_MEMORY, "allocation list");
    for (uint16_t i = 0; i < w->shares_n; i++) {
        const struct vendor_written *s = &w->shares[i];
        struct str type = o->v->rules & VENDOR_RULE_ALLOC_TYPE ? s->type : o->v->core.key;
        bool mask = (o->v->rules & VENDOR_RULE_BITS) != 0;
        int64_t cores = !mask ? s->cores_pct : s->bits > INT32_MAX ? -1 : (int64_t)s->bits;
        enum err_code rc = fits_list(type, s, cores, err);
        if (rc)
            return rc;
        list[i] = (struct vendor_alloc){.container = s->container,
                                        .uuid = s->uuid,
                                        .type = type,
                                        .mem_mib = s->mem_mib,
                                        .cores_pct = (int32_t)cores};
    }
    const struct str keys[] = {o->v->pod_allocated, o->v->pod_to_allocate};
    for (size_t i = 0; i < 2; i++) {
        vendor_alloc_encode(list, w->shares_n, w->containers_n, &o->text);
        put(o, keys[i]);
    }
    return ERR_OK;
}

/* ---- nvidia.md 8.3 ---- */

static void put_slices_list(struct writer *o)
{
    uint16_t at = 0; /* in its container's slot */
    bool any = false;
    for (uint16_t i = 0; i < o->w->shares_n; i++) {
        const struct vendor_written *s = &o->w->shares[i];
        at = i > 0 && o->w->shares[i - 1].container == s->container ? (uint16_t)(at + 1) : 0;
        if (!s->profile || s->bits == 0)
            continue;
        buf_char(&o->text, any ? ',' : '[');
        any = true;
        buf_fmt(&o->text, "{\"containerIndex\":%u,\"deviceIndex\":%u", s->container, at);
        text_member(&o->text, "gpuUUID", s->uuid);
        text_member(&o->text, "profile", s->profile->name);
        buf_fmt(&o->text, ",\"placement\":{\"start\":%d,\"size\":%d}}", __builtin_ctzll(s->bits),
                __builtin_popcountll(s->bits));
    }
    if (!any)
        return;
    buf_char(&o->text, ']');
    put(o, o->v->pod_mig);
}

/* ---- vendors-a.md 1.10 ---- */

static bool is_soft(const struct vendor_write *w, uint16_t container)
{
    for (uint16_t i = 0; i < w->asks_n; i++)
        if (w->asks[i].container == container)
            return w->asks[i].soft;
    return false;
}

static void put_objects(struct writer *o)
{
    put_int(o, OBJECTS_TIME, o->w->now_ns / 1000000000);
    for (uint16_t i = 0; i < o->w->shares_n; i++) {
        const struct vendor_written *s = &o->w->shares[i];
        buf_add(&o->text, i > 0 ? STR(",{") : STR("[{"));
        /* The slice that the plugin cuts; none: the whole card (vendors-a.md 1.5). */
        const struct vendor_template *cut =
            is_soft(o->w, s->container) ? NULL : vendor_template_for(o->v, s->mem_mib);
        text_member(&o->text, "UUID", s->uuid);
        if (cut)
            text_member(&o->text, "temp", cut->name);
        int_member(&o->text, "memory", s->mem_mib);
        int_member(&o->text, "core", s->cores_pct);
        buf_char(&o->text, '}');
    }
    buf_char(&o->text, ']');
    struct str parts[] = {OBJECTS_PREFIX, o->v->core.key};
    char *key = arena_alloc(o->arena, parts[0].n + parts[1].n + 1);
    if (!key)
        return; /* sticky: vendor_annotate() looks */
    memcpy(key, parts[0].p, parts[0].n);
    memcpy(key + parts[0].n, parts[1].p, parts[1].n);
    put(o, (struct str){key, parts[0].n + parts[1].n});
}

/* ---- vendors-a.md 2.10 ---- */

/* kept: one profile a pod, of its first card (2.11 C7); the spelling of v2.10 (C8). */
static void put_profile(struct writer *o)
{
    const struct vendor_written *s = &o->w->shares[0];
    put_text(o, PROFILE_ASSIGNED, STR("false"));
    buf_fmt(&o->text, "%d_%d_%lld", s->index, s->cores_pct,
            (long long)(s->mem_mib / o->v->mem_factor));
    put(o, KEYS[PROFILE_TEXT]);
}

/* ---- vendors-a.md 4.10, vendors-b.md 3j ---- */

/* kept: of the last container that has cards (4.11 M1, D3.5): the reader takes them for that one's.
 */
static void add_last_indices(struct writer *o)
{
    const struct vendor_write *w = o->w;
    uint16_t first = (uint16_t)(w->shares_n - 1);
    while (first > 0 && w->shares[first - 1].container == w->shares[first].container)
        first--;
    for (uint16_t i = first; i < w->shares_n; i++) {
        if (i > first)
            buf_char(&o->text, ',');
        buf_int(&o->text, w->shares[i].index);
    }
}

static void put_index(struct writer *o)
{
    add_last_indices(o);
    put(o, KEYS[INDEX_LIST]);
    put_int(o, INDEX_TIME, o->w->now_ns);
    put_text(o, INDEX_NODE, o->w->node);
}

static void put_idx(struct writer *o)
{
    add_last_indices(o);
    put(o, KEYS[IDX_LIST]);
}

/* ---- vendors-b.md 1j ---- */

static void put_by_container(struct writer *o)
{
    const struct vendor_write *w = o->w;
    uint16_t i = 0;
    buf_char(&o->text, '[');
    for (uint16_t c = 0; c < w->containers_n; c++) {
        buf_add(&o->text, c > 0 ? STR(",[") : STR("["));
        for (bool any = false; i < w->shares_n && w->shares[i].container == c; i++, any = true) {
            buf_add(&o->text, any ? STR(",{") : STR("{"));
            text_member(&o->text, "uuid", w->shares[i].uuid);
            int_member(&o->text, "compute", w->shares[i].cores_pct);
            int_member(&o->text, "vRam", w->shares[i].mem_mib);
            buf_char(&o->text, '}');
        }
        buf_char(&o->text, ']');
    }
    buf_char(&o->text, ']');
    put(o, KEYS[BY_CONTAINER_LIST]);
    put_int(o, BY_CONTAINER_TIME, w->now_ns);
}

/* ---- vendors-b.md 2j ---- */

struct named { /* a container's first share */
    struct str name;
    const struct vendor_written *share;
};

static int by_name(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int c = str_cmp(x->name, y->name);
    return c ? c : (int)x->share->container - (int)y->share->container;
}

static struct str name_of(const struct vendor_written *s, struct arena *arena)
{
    char text[32];
    if (s->container_name.n > 0)
        return s->container_name;
    int n = snprintf(text, sizeof(text), "container-%u", s->container);
    return arena_str(arena, (struct str){text, (size_t)n});
}

static void put_assigned(struct writer *o)
{
    const struct vendor_write *w = o->w;
    const struct vendor_written *s = &w->shares[0];
    put_text(o, ASSIGNED_DONE, STR("false"));
    put_int(o, ASSIGNED_TIME, w->now_ns);
    /* kept: of the first container only (D2.5); the JSON below names all */
    put_int(o, ASSIGNED_INDEX, s->index);
    put_int(o, ASSIGNED_ID, s->index);
    put_text(o, ASSIGNED_MINOR, s->minor);
    put_int(o, ASSIGNED_SIZE, s->shares);
    struct named *named = arena_array(o->arena, w->shares_n, sizeof(*named));
    size_t n = 0;
    for (uint16_t i = 0; named && i < w->shares_n; i++)
        if (i == 0 || w->shares[i - 1].container != w->shares[i].container)
            named[n++] = (struct named){name_of(&w->shares[i], o->arena), &w->shares[i]};
    if (!named || arena_failed(o->arena))
        return; /* vendor_annotate() looks */
    qsort(named, n, sizeof(*named), by_name);
    buf_char(&o->text, '{');
    for (size_t i = 0; i < n; i++) {
        s = named[i].share;
        if (i > 0)
            buf_char(&o->text, ',');
        buf_json(&o->text, named[i].name);
        buf_fmt(&o->text, ":{\"allocated\":false,\"request\":%u", s->shares);
        if (s->profile) {
            text_member(&o->text, "profileID", s->profile->id);
            text_member(&o->text, "profileName", s->profile->name);
        }
        buf_char(&o->text, '}');
    }
    buf_char(&o->text, '}');
    put(o, o->v->pod_assigned);
}

/* ---- vendors-b.md 4j ---- */

/* By what the container asks for, wherever that stands (D4.6). */
static bool by_core(const struct vendor_write *w, uint16_t container)
{
    for (uint16_t i = 0; i < w->asks_n; i++)
        if (w->asks[i].container == container)
            return w->asks[i].cores_pct > 0 || w->asks[i].by_cores;
    return false;
}

static void add_id(struct writer *o, int64_t id)
{
    if (o->text.n > 0)
        buf_char(&o->text, ',');
    buf_int(&o->text, id);
}

/* kept: containers that ask for devices and for cores share one list with two spaces of numbers
 * (D4.8). */
static void put_core_ids(struct writer *o)
{
    const struct vendor_write *w = o->w;
    bool cores = false;
    for (uint16_t i = 0; i < w->shares_n; i++) {
        const struct vendor_written *s = &w->shares[i];
        if (!by_core(w, s->container)) {
            add_id(o, s->index);
            continue;
        }
        cores = true;
        const int64_t each = __builtin_popcountll(s->bits_total);
        for (unsigned bit = 0; bit < 64; bit++)
            if (s->bits >> bit & 1)
                add_id(o, each * s->index + bit);
    }
    put(o, KEYS[CORE_IDS_LIST]);
    if (cores)
        put_text(o, CORE_IDS_RESOURCE, o->v->res_cores);
    put_int(o, CORE_IDS_TIME, w->now_ns);
    put_text(o, CORE_IDS_DONE, STR("false"));
    put_text(o, CORE_IDS_NODE, w->node);
}

enum err_code vendor_annotate(const struct vendor *v, const struct vendor_write *w,
                              struct arena *arena,
                              void (*add)(void *ctx, struct str key, struct str value), void *ctx,
                              struct err *err)
{
    static void (*const EXTRAS[])(struct writer * o) = {
        [VENDOR_EXTRA_NONE] = NULL,
        [VENDOR_EXTRA_SLICES_LIST] = put_slices_list,
        [VENDOR_EXTRA_OBJECTS] = put_objects,
        [VENDOR_EXTRA_PROFILE] = put_profile,
        [VENDOR_EXTRA_INDEX] = put_index,
        [VENDOR_EXTRA_BY_CONTAINER] = put_by_container,
        [VENDOR_EXTRA_ASSIGNED] = put_assigned,
        [VENDOR_EXTRA_IDX] = put_idx,
        [VENDOR_EXTRA_CORE_IDS] = put_core_ids,
    };
    assert(w->shares_n > 0);
    struct writer o = {.v = v, .w = w, .arena = arena, .add = add, .ctx = ctx};
    buf_init(&o.text, TEXT_MAX);
    enum err_code rc = put_lists(&o, err);
    if (!rc && EXTRAS[v->extra])
        EXTRAS[v->extra](&o);
    if (!rc && arena_failed(arena))
        rc = err_set(err, ERR_NO_MEMORY, "annotations of a decision");
    if (!rc && o.text.failed)
        rc = err_set(err, ERR_TOO_LARGE, "the pod's allocation is too long for an annotation");
    buf_done(&o.text);
    return rc;
}
