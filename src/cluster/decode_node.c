/* A Node's JSON becomes what we keep of a node: cards by vendor, cordon list, lock, whether a
 * plugin lives there. A registration that can't be read takes that vendor's cards away and nothing
 * else; the node stays. */
#include "cluster/decode.h"

struct raw_key { /* an annotation of ours: several rows may read it, each by its own name for it */
    struct str name, value;
};
struct raw_amounts { /* what the kubelet says of one row's resources */
    uint16_t vendor;
    struct str capacity[VENDOR_RES_COUNT_], allocatable; /* allocatable: of the count */
};
struct raw_node {
    struct decode d;
    struct cluster_node_object *node;
    struct raw_key *keys;
    size_t keys_n, keys_cap;
    struct raw_amounts *of;
    size_t n, cap;
    struct str lock;
    bool *matched;    /* one a pair of the node selector */
    struct str *kind; /* one a row: the value of its node_kind_label */
    bool kinds;       /* some row has one */
    struct str cpu, memory;
};

enum err_code decode_failed(const struct decode *d, const char *what, struct err *err)
{
    if (arena_failed(d->arena)) /* whatever the scanner met afterwards is of our making */
        return err_set(err, ERR_NO_MEMORY, "%s: no memory", what);
    return scan_err(&d->s, what, err);
}

bool decode_grow(struct arena *arena, void **array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap)
        return true;
    size_t more = *cap ? 2 * *cap : 4;
    void *to = arena_array(arena, more, size);
    if (!to)
        return false;
    if (n > 0)
        memcpy(to, *array, n * size);
    *array = to;
    *cap = more;
    return true;
}

static struct raw_amounts *amounts_of(struct raw_node *r, uint16_t vendor)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->of[i].vendor == vendor)
            return &r->of[i];
    if (!DECODE_GROW(r->d.arena, r->of, r->n, r->cap))
        return NULL;
    r->of[r->n] = (struct raw_amounts){.vendor = vendor};
    return &r->of[r->n++];
}

static void keep_key(struct raw_node *r, struct str name, struct str value)
{
    size_t i = 0;
    while (i < r->keys_n && !str_eq(r->keys[i].name, name))
        i++;
    if (i == r->keys_n && !DECODE_GROW(r->d.arena, r->keys, r->keys_n, r->keys_cap))
        return;
    r->keys[i] = (struct raw_key){name, value};
    r->keys_n += i == r->keys_n;
}

/* p NULL: the node has no such annotation. */
static struct str key_of(const struct raw_node *r, struct str name)
{
    for (size_t i = 0; i < r->keys_n; i++)
        if (str_eq(r->keys[i].name, name))
            return r->keys[i].value;
    return (struct str){NULL, 0};
}

static bool is_node_key(enum vendor_key what)
{
    return what == VENDOR_KEY_NODE_REGISTER || what == VENDOR_KEY_NODE_SCORE ||
           what == VENDOR_KEY_NODE_CORDON || what == VENDOR_KEY_NODE_SOFT ||
           what == VENDOR_KEY_NODE_LOSS || what == VENDOR_KEY_NODE_GAIN;
}

static void read_annotations(struct raw_node *r)
{
    struct decode *d = &r->d;
    struct str key;
    if (scan_null(&d->s)) { /* a Go map: null empties it */
        r->keys_n = 0;
        r->lock = (struct str){NULL, 0};
        return;
    }
    if (!scan_object(&d->s))
        return;
    while (scan_key(&d->s, &key)) {
        uint16_t vendor;
        enum vendor_key what;
        struct str value = STR("");
        const bool known = vendor_find_key(d->cfg->vendors, key, &vendor, &what);
        if (!known || (what != VENDOR_KEY_NODE_LOCK && !is_node_key(what))) {
            scan_skip(&d->s);
            continue;
        }
        decode_map_text(d, &value);
        if (what != VENDOR_KEY_NODE_LOCK)
            keep_key(r, key, value);
        else if (!vendor_at(d->cfg->vendors, vendor)->lock_time_only)
            r->lock = value; /* the one that says whose it is */
    }
}

static void read_labels(struct raw_node *r)
{
    struct decode *d = &r->d;
    const struct cluster_config *cfg = d->cfg;
    const uint16_t rows = vendor_count(cfg->vendors);
    struct str key;
    if (scan_null(&d->s)) {
        for (size_t i = 0; i + 1 < cfg->node_selector_n; i += 2)
            r->matched[i / 2] = false;
        for (uint16_t i = 0; i < rows; i++)
            r->kind[i] = (struct str){NULL, 0};
        return;
    }
    if (!scan_object(&d->s))
        return;
    while (scan_key(&d->s, &key)) {
        struct str value = STR("");
        decode_map_text(d, &value);
        for (size_t i = 0; i + 1 < cfg->node_selector_n; i += 2)
            if (str_eq(cfg->node_selector[i], key))
                r->matched[i / 2] = str_eq(cfg->node_selector[i + 1], value);
        for (uint16_t i = 0; i < rows && r->kinds; i++)
            if (str_eq(vendor_at(cfg->vendors, i)->node_kind_label, key))
                r->kind[i] = value;
    }
}

static void read_metadata(struct raw_node *r)
{
    struct decode *d = &r->d;
    struct str key;
    if (!decode_object(d))
        return;
    while (scan_key(&d->s, &key)) {
        if (decode_is(d, key, STR("name")))
            decode_text(d, &r->node->name);
        else if (decode_is(d, key, STR("uid")))
            decode_text(d, &r->node->uid);
        else if (decode_is(d, key, STR("resourceVersion")))
            decode_text(d, &r->node->resource_version);
        else if (decode_is(d, key, STR("annotations")))
            read_annotations(r);
        else if (decode_is(d, key, STR("labels")) && (d->cfg->node_selector_n > 0 || r->kinds))
            read_labels(r);
        else
            scan_skip(&d->s);
    }
}

/* `capacity`: else allocatable, of which CPU, memory and the count of cards are used. */
static void read_amounts(struct raw_node *r, bool capacity)
{
    struct decode *d = &r->d;
    struct str key;
    if (scan_null(&d->s)) {
        for (size_t i = 0; i < r->n; i++)
            if (capacity)
                memset(r->of[i].capacity, 0, sizeof(r->of[i].capacity));
            else
                r->of[i].allocatable = (struct str){NULL, 0};
        if (!capacity)
            r->cpu = r->memory = (struct str){NULL, 0};
        return;
    }
    if (!scan_object(&d->s))
        return;
    while (scan_key(&d->s, &key)) {
        uint16_t vendor;
        enum vendor_resource what;
        struct str value = STR("0");
        if (!capacity && str_eq(key, STR("cpu"))) {
            decode_quantity(d, &r->cpu);
        } else if (!capacity && str_eq(key, STR("memory"))) {
            decode_quantity(d, &r->memory);
        } else if (vendor_find_resource(d->cfg->vendors, key, &vendor, &what) &&
                   (capacity || what == VENDOR_RES_COUNT)) {
            decode_quantity(d, &value);
            struct raw_amounts *of = amounts_of(r, vendor);
            if (of)
                *(capacity ? &of->capacity[what] : &of->allocatable) = value;
        } else {
            scan_skip(&d->s);
        }
    }
}

static void read_status(struct raw_node *r)
{
    struct decode *d = &r->d;
    struct str key;
    if (!decode_object(d))
        return;
    while (scan_key(&d->s, &key)) {
        if (decode_is(d, key, STR("allocatable")))
            read_amounts(r, false);
        else if (decode_is(d, key, STR("capacity")))
            read_amounts(r, true);
        else
            scan_skip(&d->s); /* images and all */
    }
}

static bool read_node(struct raw_node *r)
{
    struct decode *d = &r->d;
    struct str key;
    if (!scan_object(&d->s))
        return false;
    while (scan_key(&d->s, &key)) {
        if (decode_is(d, key, STR("metadata"))) {
            read_metadata(r);
        } else if (decode_is(d, key, STR("status"))) {
            read_status(r);
        } else if (decode_is(d, key, STR("kind"))) {
            struct str kind = STR("");
            decode_text(d, &kind);
            if (kind.n > 0 && !str_eq(kind, STR("Node")))
                scan_fail(&d->s, "the object's kind is not Node");
        } else {
            scan_skip(&d->s);
        }
    }
    return scan_end(&d->s);
}

/* ---- one row's cards ---- */

static struct vendor_node_text text_of(const struct raw_node *r, uint16_t row,
                                       const struct raw_amounts *amounts)
{
    const struct vendor *v = vendor_at(r->d.cfg->vendors, row);
    struct vendor_node_text text = {.node = r->node->name,
                                    .list = key_of(r, v->node_register),
                                    .pairs = key_of(r, v->node_score),
                                    .soft = key_of(r, v->node_soft),
                                    .loss = key_of(r, v->node_loss),
                                    .gain = key_of(r, v->node_gain),
                                    .kind = r->kind[row]};
    if (amounts)
        memcpy(text.capacity, amounts->capacity, sizeof(text.capacity));
    return text;
}

/* Whether there is a registration to read: the list, or the resource that cards are made from. */
static bool is_registered(const struct vendor *v, const struct vendor_node_text *text)
{
    switch (v->inventory) {
    case VENDOR_INVENTORY_CAPACITY:
        return text->capacity[v->made.per_cores ? VENDOR_RES_CORES : VENDOR_RES_COUNT].p;
    case VENDOR_INVENTORY_CORES:
        return text->capacity[VENDOR_RES_COUNT].p;
    default:
        return text->list.p;
    }
}

/* Texts that are too long are not read; what they would say is not known then. */
static const char *cut_topology(struct vendor_node_text *text, size_t max)
{
    struct str *const parts[] = {&text->pairs, &text->loss, &text->gain};
    const char *fault = NULL;
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (parts[i]->n > max) {
            *parts[i] = (struct str){NULL, 0};
            fault = "the annotations of its topology are too long";
        }
    return fault;
}

/* Only a want of memory is an error. */
MUST_USE static enum err_code judge_vendor(struct raw_node *r, uint16_t row,
                                           struct vendor_node_text *text, struct str allocatable,
                                           size_t *devices, struct cluster_node_cards *ret,
                                           struct err *err)
{
    const struct vendor *v = vendor_at(r->d.cfg->vendors, row);
    const uint32_t max = decode_annotation_max(r->d.cfg);
    struct cluster_node_cards cards = {
        .vendor = row, .alive = vendor_alive(v, allocatable), .cordon = key_of(r, v->node_cordon)};
    struct vendor_cards got = {0};
    struct err why;
    enum err_code rc;
    const char *fault = cut_topology(text, max);
    if (text->list.n > max)
        rc = err_set(&why, ERR_INVALID, "the registration is longer than %u bytes", max);
    else
        rc = vendor_cards_decode(v, text, r->d.arena, &got, &why);
    if (rc == ERR_NO_MEMORY)
        return err_set(err, rc, "%s", why.text);
    if (!rc && *devices + got.devices_n > SCORE_DEVICES_MAX)
        rc = err_set(&why, ERR_INVALID, "more than %d cards on one node", SCORE_DEVICES_MAX);
    if (rc) {
        cards.broken = arena_str(r->d.arena, str_z(why.text));
    } else {
        *devices += got.devices_n;
        cards.devices = got.devices;
        cards.devices_n = got.devices_n;
        cards.profiles = got.profiles;
        cards.profiles_n = got.profiles_n;
        cards.topology = got.topology;
        cards.card_fault = got.card_fault;
        cards.topology_fault = fault ? str_z(fault) : got.topology_fault;
    }
    *ret = cards;
    return ERR_OK;
}

MUST_USE static enum err_code judge(struct raw_node *r, struct err *err)
{
    const uint16_t rows = vendor_count(r->d.cfg->vendors);
    struct cluster_node_cards *cards = arena_array(r->d.arena, rows, sizeof(*cards));
    size_t devices = 0;
    if (!cards)
        return decode_failed(&r->d, "node", err);
    r->node->cards = cards;
    if (r->keys_n == 0 && r->n == 0) /* most nodes of most clusters */
        return ERR_OK;
    for (uint16_t row = 0; row < rows; row++) {
        const struct raw_amounts *amounts = NULL;
        for (size_t i = 0; i < r->n; i++)
            if (r->of[i].vendor == row)
                amounts = &r->of[i];
        struct vendor_node_text text = text_of(r, row, amounts);
        if (!is_registered(vendor_at(r->d.cfg->vendors, row), &text))
            continue;
        enum err_code rc =
            judge_vendor(r, row, &text, amounts ? amounts->allocatable : (struct str){NULL, 0},
                         &devices, &cards[r->node->cards_n], err);
        if (rc)
            return rc;
        r->node->cards_n++;
    }
    return ERR_OK;
}

enum err_code cluster_node_decode(const struct cluster_config *cfg, struct str text, bool fold,
                                  struct arena *arena, struct cluster_node_object *ret,
                                  struct err *err)
{
    struct cluster_node_object node = {
        .name = STR(""), .uid = STR(""), .resource_version = STR("")};
    struct raw_node r = {.d = decode_start(cfg, text, fold, arena), .node = &node};
    r.matched = arena_array(arena, cfg->node_selector_n / 2 + 1, sizeof(*r.matched));
    r.kind = arena_array(arena, vendor_count(cfg->vendors), sizeof(*r.kind));
    for (uint16_t i = 0; i < vendor_count(cfg->vendors); i++)
        r.kinds = r.kinds || vendor_at(cfg->vendors, i)->node_kind_label.n > 0;
    if (!r.matched || !r.kind || !read_node(&r) || arena_failed(arena))
        return decode_failed(&r.d, "node", err);
    if (node.name.n == 0)
        return err_set(err, ERR_BAD_REQUEST, "node: metadata.name is missing");
    node.lock = r.lock;
    for (size_t i = 0; i + 1 < cfg->node_selector_n; i += 2)
        if (!r.matched[i / 2])
            node.ignored = true;
    node.cpu_alloc_milli = decode_amount(r.cpu, 3, false);
    node.memory_alloc_mib = decode_mib(r.memory, false);
    enum err_code rc = judge(&r, err);
    if (rc)
        return rc;
    if (arena_failed(arena))
        return decode_failed(&r.d, "node", err);
    *ret = node;
    return ERR_OK;
}
