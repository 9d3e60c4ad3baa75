/* What a bind writes of the pod: the Binding that carries the decision, and before it, where it is
 * needed, a patch that takes the keys of other decisions away (architecture 5). */
#include "extender/bind.h"

#include "base/scan.h"
#include "vendor/keys.h"

#include <stdio.h>
#include <string.h>

#define NOTES_MAX_BYTES (256 << 10) /* Kubernetes' limit of an object's annotations together */
#define EVENTS_YIELD_MS 250         /* after a Binding: events wait for who binds */

static void add_pair(struct buf *out, bool *any, struct str key, struct str value)
{
    if (*any)
        buf_char(out, ',');
    *any = true;
    buf_json(out, key);
    buf_char(out, ':');
    buf_json(out, value);
}

struct notes { /* of a Binding, as they are written */
    struct buf *out;
    struct arena *arena;
    struct str *keys; /* so far */
    size_t keys_n, bytes;
    bool any;
    struct vendor_written *shares; /* room for those of one vendor */
    struct score_ask *asks;
};

static void add_note(void *ctx, struct str key, struct str value)
{
    struct notes *notes = ctx;
    for (size_t i = 0; i < notes->keys_n; i++)
        if (str_eq(notes->keys[i], key))
            return; /* rows of one maker share some: the time of the decision */
    notes->keys[notes->keys_n++] = arena_str(notes->arena, key);
    notes->bytes += key.n + value.n;
    add_pair(notes->out, &notes->any, key, value);
}

/* What one vendor's plugins are to read; nothing for vendors without a share (vendors-a.md S12 D5,
 * vendors-b.md D0.2). Shares and asks of one vendor are sorted by container, as the request is. */
static enum err_code add_vendor(struct bind *b, uint16_t vendor, struct notes *notes,
                                struct err *err)
{
    const struct score_request *req = &b->pod->request;
    struct vendor_write w = {.shares = notes->shares,
                             .containers_n = b->pod->containers_n,
                             .node = b->args.node,
                             .now_ns = clock_wall_ns(b->app->clock),
                             .asks = notes->asks};
    for (uint16_t p = 0; p < b->placement->parts_n; p++)
        if (req->asks[b->placement->parts[p].ask].vendor == vendor)
            notes->shares[w.shares_n++] = b->written[p];
    for (uint16_t i = 0; i < req->asks_n; i++)
        if (req->asks[i].vendor == vendor)
            notes->asks[w.asks_n++] = req->asks[i];
    if (w.shares_n == 0)
        return ERR_OK;
    enum err_code rc =
        vendor_annotate(vendor_at(b->app->vendors, vendor), &w, b->r->arena, add_note, notes, err);
    return rc ? err_prefix(err, rc, "bind") : ERR_OK;
}

/* The decision: what each vendor's plugins read, and what all do. */
static enum err_code add_notes(struct bind *b, struct buf *out, struct err *err)
{
    struct arena *arena = b->r->arena;
    const size_t most = (size_t)vendor_count(b->app->vendors) * VENDOR_ANNOTATIONS_MAX + 4;
    struct notes notes = {
        .out = out,
        .arena = arena,
        .keys = arena_array(arena, most, sizeof(*notes.keys)),
        .shares = arena_array(arena, b->placement->parts_n + 1u, sizeof(*notes.shares)),
        .asks = arena_array(arena, b->pod->request.asks_n + 1u, sizeof(*notes.asks))};
    if (!notes.keys || !notes.shares || !notes.asks)
        return err_set(err, ERR_NO_MEMORY, "bind: out of request memory");
    for (uint16_t vendor = 0; vendor < vendor_count(b->app->vendors); vendor++) {
        enum err_code rc = add_vendor(b, vendor, &notes, err);
        if (rc)
            return rc;
    }
    char seconds[24];
    struct str now = {seconds, (size_t)snprintf(seconds, sizeof(seconds), "%lld",
                                                (long long)clock_wall_s(b->app->clock))};
    add_note(&notes, STR(KEY_POD_NODE), b->args.node);
    add_note(&notes, STR(KEY_POD_TIME), now);
    add_note(&notes, STR(KEY_POD_BIND_TIME), now);
    add_note(&notes, STR(KEY_POD_BIND_PHASE), STR(KEY_PHASE_ALLOCATING));
    if (arena_failed(arena))
        return err_set(err, ERR_NO_MEMORY, "bind: out of request memory");
    if (notes.bytes > NOTES_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE,
                       "bind: the allocation takes %zu bytes of annotations, an object has at most "
                       "%d; ask for fewer cards or containers",
                       notes.bytes, NOTES_MAX_BYTES);
    return ERR_OK;
}

static enum err_code binding_body(struct bind *b, struct buf *out, struct err *err)
{
    buf_add(out, STR("{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":"));
    buf_json(out, b->args.pod);
    buf_add(out, STR(",\"namespace\":"));
    buf_json(out, b->args.ns);
    buf_add(out, STR(",\"uid\":"));
    buf_json(out, b->args.uid);
    if (b->charged) {
        if (b->resource_version.n) {
            buf_add(out, STR(",\"resourceVersion\":"));
            buf_json(out, b->resource_version);
        }
        buf_add(out, STR(",\"annotations\":{"));
        enum err_code rc = add_notes(b, out, err);
        if (rc)
            return rc;
        buf_char(out, '}');
        if (b->args.node.n <= 63) { /* a longer name is no label value (node-side.md 2.1) */
            buf_add(out, STR(",\"labels\":{"));
            bool any = false;
            add_pair(out, &any, STR(KEY_POD_NODE), b->args.node);
            buf_char(out, '}');
        }
    }
    buf_add(out, STR("},\"target\":{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":"));
    buf_json(out, b->args.node);
    buf_add(out, STR("}}"));
    return out->failed ? err_set(err, ERR_TOO_LARGE, "bind: annotations too long") : ERR_OK;
}

/* One annotation map: a null for each key of a decision but those that every Binding overwrites. */
static void null_reserved(struct bind *b, struct scan *s, struct buf *out)
{
    struct str key;
    bool any = false;
    if (scan_null(s) || !scan_object(s))
        return;
    while (scan_key(s, &key)) {
        scan_skip(s);
        if (!vendor_key_reserved(b->app->vendors, key) || str_eq(key, STR(KEY_POD_NODE)) ||
            str_eq(key, STR(KEY_POD_TIME)) || str_eq(key, STR(KEY_POD_BIND_TIME)) ||
            str_eq(key, STR(KEY_POD_BIND_PHASE)))
            continue;
        if (any)
            buf_char(out, ',');
        any = true;
        buf_json(out, key);
        buf_add(out, STR(":null"));
    }
}

/* The members of a merge patch's "annotations" that take reserved keys off the pod as it is stored.
 * By their own names: makers that we don't serve have keys, too. */
static enum err_code reserved_of(struct bind *b, struct buf *out, struct err *err)
{
    struct kube_request req = {.verb = KUBE_GET,
                               .kind = KUBE_POD,
                               .ns = b->args.ns,
                               .name = b->args.pod,
                               .timeout_ms = ext_bind_write_ms(b)};
    struct kube_response resp = {0};
    enum err_code rc = kube_call(b->app->kube, &req, &resp, err);
    if (rc) {
        kube_response_done(&resp);
        return err_prefix(err, rc, "get pod");
    }
    struct scan s = scan_start((struct str){resp.body, resp.body_n}, SCAN_DEPTH_MAX, b->r->arena);
    struct str top, key;
    (void)scan_object(&s);
    while (scan_key(&s, &top)) {
        if (!str_eq(top, STR("metadata")) || scan_peek(&s) != SCAN_OBJECT) {
            scan_skip(&s);
            continue;
        }
        (void)scan_object(&s);
        while (scan_key(&s, &key)) {
            if (str_eq(key, STR("annotations")))
                null_reserved(b, &s, out);
            else
                scan_skip(&s);
        }
    }
    rc = scan_end(&s) ? ERR_OK : scan_err(&s, "the pod's object", err);
    kube_response_done(&resp);
    return rc;
}

enum err_code ext_binding_clean(struct bind *b, struct err *err)
{
    struct buf body;
    buf_init(&body, 1 << 16);
    buf_add(&body, STR("{\"metadata\":{\"uid\":"));
    buf_json(&body, b->args.uid);
    buf_add(&body, STR(",\"resourceVersion\":"));
    buf_json(&body, b->resource_version);
    buf_add(&body, STR(",\"annotations\":{"));
    enum err_code rc = reserved_of(b, &body, err);
    buf_add(&body, STR("}}}"));
    if (!rc && body.failed)
        rc = err_set(err, ERR_TOO_LARGE, "bind: too many keys to remove");
    if (!rc && !ext_bind_may_write(b))
        rc = ext_bind_too_late(b, err);
    if (rc) {
        buf_done(&body);
        return rc;
    }
    struct kube_request req = {.verb = KUBE_PATCH,
                               .kind = KUBE_POD,
                               .ns = b->args.ns,
                               .name = b->args.pod,
                               .status = true,
                               .patch_type = KUBE_PATCH_MERGE,
                               .body = {body.p, body.n},
                               .timeout_ms = ext_bind_write_ms(b)};
    struct kube_response resp = {0};
    rc = kube_call(b->app->kube, &req, &resp, err);
    ext_wrote(b->app, &b->term);
    if (!rc) {
        struct str text = arena_str(b->r->arena, (struct str){resp.body, resp.body_n});
        struct cluster_pod now = {0};
        rc = arena_failed(b->r->arena)
                 ? err_set(err, ERR_NO_MEMORY, "bind: out of request memory")
                 : cluster_pod_decode(&b->app->cluster, text, false, b->r->arena, &now, err);
        if (!rc) {
            b->resource_version = now.resource_version;
            b->reserved_keys = false;
        }
    }
    kube_response_done(&resp);
    buf_done(&body);
    return rc;
}

enum err_code ext_binding_post(struct bind *b, struct err *err)
{
    struct buf body;
    buf_init(&body, 1 << 20);
    enum err_code rc = binding_body(b, &body, err);
    if (!rc && !ext_bind_may_write(b))
        rc = ext_bind_too_late(b, err);
    if (!rc) {
        struct kube_request req = {.verb = KUBE_BIND,
                                   .kind = KUBE_POD,
                                   .ns = b->args.ns,
                                   .name = b->args.pod,
                                   .body = {body.p, body.n},
                                   .timeout_ms = ext_bind_write_ms(b)};
        struct kube_response resp = {0};
        b->sent = true;
        kube_events_yield(b->app->events, EVENTS_YIELD_MS);
        rc = kube_call(b->app->kube, &req, &resp, err);
        ext_wrote(b->app, &b->term);
        kube_response_done(&resp);
    }
    buf_done(&body);
    return rc;
}
