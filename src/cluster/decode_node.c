/* A Node's JSON becomes what we keep of a node: cards by vendor, cordon list, lock, whether a
 * plugin lives there. A registration that can't be read takes that vendor's cards away and nothing
 * else; the node stays. */
#include "cluster/decode.h"

struct raw_vendor { /* what the node says of one vendor */
    uint16_t vendor;
    bool registered, alive;
    struct str list, cordon;
};
struct raw_node {
    struct decode d;
    struct cluster_node_object *node;
    struct raw_vendor *of;
    size_t n, cap;
    struct str lock;
    bool *matched; /* one a pair of the node selector */
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

static struct raw_vendor *vendor_of(struct raw_node *r, uint16_t vendor)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->of[i].vendor == vendor)
            return &r->of[i];
    if (!DECODE_GROW(r->d.arena, r->of, r->n, r->cap))
        return NULL;
    r->of[r->n] = (struct raw_vendor){.vendor = vendor};
    return &r->of[r->n++];
}

static void read_annotations(struct raw_node *r)
{
    struct decode *d = &r->d;
    struct str key;
    if (scan_null(&d->s)) { /* a Go map: null empties it */
        for (size_t i = 0; i < r->n; i++) {
            r->of[i].registered = false;
            r->of[i].cordon = (struct str){NULL, 0};
        }
        r->lock = (struct str){NULL, 0};
        return;
    }
    if (!scan_object(&d->s))
        return;
    while (scan_key(&d->s, &key)) {
        uint16_t vendor;
        enum vendor_key what;
        struct str value = STR("");
        if (!vendor_find_key(d->cfg->vendors, key, &vendor, &what) ||
            (what != VENDOR_KEY_NODE_REGISTER && what != VENDOR_KEY_NODE_CORDON &&
             what != VENDOR_KEY_NODE_LOCK)) {
            scan_skip(&d->s);
            continue;
        }
        decode_map_text(d, &value);
        if (what == VENDOR_KEY_NODE_LOCK) {
            r->lock = value;
            continue;
        }
        struct raw_vendor *of = vendor_of(r, vendor);
        if (!of)
            continue;
        if (what == VENDOR_KEY_NODE_CORDON) {
            of->cordon = value;
        } else {
            of->registered = true;
            of->list = value;
        }
    }
}

static void read_labels(struct raw_node *r)
{
    struct decode *d = &r->d;
    const struct cluster_config *cfg = d->cfg;
    struct str key;
    if (scan_null(&d->s)) {
        for (size_t i = 0; i + 1 < cfg->node_selector_n; i += 2)
            r->matched[i / 2] = false;
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
        else if (decode_is(d, key, STR("labels")) && r->d.cfg->node_selector_n > 0)
            read_labels(r);
        else
            scan_skip(&d->s);
    }
}

static void read_allocatable(struct raw_node *r)
{
    struct decode *d = &r->d;
    struct str key;
    if (scan_null(&d->s)) {
        for (size_t i = 0; i < r->n; i++)
            r->of[i].alive = false;
        r->cpu = r->memory = (struct str){NULL, 0};
        return;
    }
    if (!scan_object(&d->s))
        return;
    while (scan_key(&d->s, &key)) {
        uint16_t vendor;
        enum vendor_resource what;
        struct str value = STR("0");
        if (str_eq(key, STR("cpu"))) {
            decode_quantity(d, &r->cpu);
        } else if (str_eq(key, STR("memory"))) {
            decode_quantity(d, &r->memory);
        } else if (vendor_find_resource(d->cfg->vendors, key, &vendor, &what) &&
                   what == VENDOR_RES_COUNT) {
            decode_quantity(d, &value);
            struct raw_vendor *of = vendor_of(r, vendor);
            if (of)
                of->alive = decode_amount(value, 0, true) > 0;
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
            read_allocatable(r);
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

static void sort_vendors(struct raw_node *r)
{
    for (size_t i = 1; i < r->n; i++)
        for (size_t j = i; j > 0 && r->of[j].vendor < r->of[j - 1].vendor; j--) {
            struct raw_vendor tmp = r->of[j];
            r->of[j] = r->of[j - 1];
            r->of[j - 1] = tmp;
        }
}

/* Only a want of memory is an error. */
MUST_USE static enum err_code judge_vendor(struct raw_node *r, const struct raw_vendor *of,
                                           size_t *devices, struct cluster_node_cards *ret,
                                           struct err *err)
{
    struct cluster_node_cards cards = {
        .vendor = of->vendor, .alive = of->alive, .cordon = of->cordon};
    struct vendor_device *list = NULL;
    uint16_t n = 0, dropped = 0;
    struct err why;
    enum err_code rc;
    if (of->list.n > decode_annotation_max(r->d.cfg))
        rc = err_set(&why, ERR_INVALID, "the registration is longer than %u bytes",
                     decode_annotation_max(r->d.cfg));
    else
        rc = vendor_register_decode(vendor_at(r->d.cfg->vendors, of->vendor), of->list, r->d.arena,
                                    &list, &n, &dropped, &why);
    if (rc == ERR_NO_MEMORY)
        return err_set(err, rc, "%s", why.text);
    if (!rc && *devices + n > SCORE_DEVICES_MAX)
        rc = err_set(&why, ERR_INVALID, "more than %d cards on one node", SCORE_DEVICES_MAX);
    if (rc) {
        cards.broken = arena_str(r->d.arena, str_z(why.text));
    } else {
        *devices += n;
        cards.devices = list;
        cards.devices_n = n;
    }
    *ret = cards;
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
    if (!r.matched || !read_node(&r) || arena_failed(arena))
        return decode_failed(&r.d, "node", err);
    if (node.name.n == 0)
        return err_set(err, ERR_BAD_REQUEST, "node: metadata.name is missing");
    node.lock = r.lock;
    for (size_t i = 0; i + 1 < cfg->node_selector_n; i += 2)
        if (!r.matched[i / 2])
            node.ignored = true;
    node.cpu_alloc_milli = decode_amount(r.cpu, 3, false);
    node.memory_alloc_mib = decode_mib(r.memory, false);
    sort_vendors(&r);
    struct cluster_node_cards *cards = arena_array(arena, r.n, sizeof(*cards));
    if (!cards)
        return decode_failed(&r.d, "node", err);
    size_t devices = 0;
    for (size_t i = 0; i < r.n; i++) {
        if (!r.of[i].registered ||
            vendor_at(cfg->vendors, r.of[i].vendor)->inventory != VENDOR_INVENTORY_JSON)
            continue;
        enum err_code rc = judge_vendor(&r, &r.of[i], &devices, &cards[node.cards_n], err);
        if (rc)
            return rc;
        node.cards_n++;
    }
    if (arena_failed(arena))
        return decode_failed(&r.d, "node", err);
    node.cards = cards;
    *ret = node;
    return ERR_OK;
}
