/* The read-only API under /v1: nodes, cards, shares, totals, as the ledger has them at this moment.
 * What it looks like is written in docs/operations/api.md and changes like an API. */
#include "extender/priv.h"

#include <assert.h>
#include <string.h>

enum {
    LIMIT_DEFAULT = 100,
    LIMIT_MAX = 500,
    NODE_PODS_MAX = 2000, /* pods shown with one node; kubelets take a few hundred */
    QUOTAS_MAX = 2000,
    PAGE_BYTES = 8 * 1024 * 1024, /* a page of nodes with very many cards ends here */
};
#define HEAD "{\"apiVersion\":\"cardinal/v1\",\"kind\":"

static void fail(struct ext_answer *a, enum err_code code, const char *text)
{
    struct err err;
    err_ignore(err_set(&err, code, "%s", text));
    ext_answer_err(a, &err);
}

static void fail_name(struct ext_answer *a, const char *what, struct str name)
{
    struct err err;
    err_ignore(err_set(&err, ERR_NOT_FOUND, "%s " STR_FMT ": not known", what,
                       (int)(name.n < 300 ? name.n : 300), name.p));
    ext_answer_err(a, &err);
}

/* ---- pages ---- */
/* A continue token is the last name of the page before, in hex: opaque, and still right when that
 * object is gone. */
static void add_token(struct buf *out, struct str ns, struct str name)
{
    static const char DIGITS[] = "0123456789abcdef";
    struct str parts[] = {ns, ns.n ? STR("/") : STR(""), name};
    for (size_t i = 0; i < 3; i++)
        for (size_t j = 0; j < parts[i].n; j++) {
            buf_char(out, DIGITS[(unsigned char)parts[i].p[j] >> 4]);
            buf_char(out, DIGITS[parts[i].p[j] & 15]);
        }
}

static int digit(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

struct page {
    size_t limit;
    struct str after; /* "" from the start; "name" or "ns/name" */
};

/* False: answered already. */
static bool page_of(struct ext_request *r, struct ext_answer *a, struct page *ret)
{
    *ret = (struct page){.limit = LIMIT_DEFAULT, .after = STR("")};
    struct str text;
    int64_t limit;
    if (ext_query(r, "limit", r->arena, &text)) {
        if (!str_int(text, 1, INT64_MAX, &limit)) {
            fail(a, ERR_BAD_REQUEST, "limit: not a number from 1");
            return false;
        }
        ret->limit = limit < LIMIT_MAX ? (size_t)limit : LIMIT_MAX;
    }
    if (!ext_query(r, "continue", r->arena, &text) || text.n == 0)
        return true;
    char *plain = arena_alloc(r->arena, text.n / 2 + 1);
    bool ok = plain && text.n % 2 == 0;
    for (size_t i = 0; ok && i < text.n; i += 2) {
        int hi = digit(text.p[i]), lo = digit(text.p[i + 1]);
        ok = hi >= 0 && lo >= 0;
        plain[i / 2] = (char)(hi * 16 + lo);
    }
    if (!ok) {
        fail(a, ERR_BAD_REQUEST, "continue: not a token that this API gave");
        return false;
    }
    ret->after = (struct str){plain, text.n / 2};
    return true;
}

/* ---- one card ---- */
struct amounts { /* of one dimension */
    int64_t total, used, held;
};
enum dimension { DIM_SHARES, DIM_MEM, DIM_CORES, DIM_COUNT_ };
static const char *const DIMENSIONS[DIM_COUNT_] = {"shares", "memoryMiB", "coresPercent"};

static void card_amounts(const struct score_device *d, const struct score_extra *held,
                         struct amounts ret[DIM_COUNT_])
{
    ret[DIM_SHARES] = (struct amounts){d->shares_total, d->shares_used, held ? held->shares : 0};
    ret[DIM_MEM] = (struct amounts){d->mem_total_mib, d->mem_used_mib, held ? held->mem_mib : 0};
    ret[DIM_CORES] =
        (struct amounts){d->cores_total_pct, d->cores_used_pct, held ? held->cores_pct : 0};
}

static int64_t free_of(const struct amounts *x)
{
    int64_t left = x->total - x->used - x->held;
    return left > 0 ? left : 0;
}

static void add_amounts(struct buf *out, const struct amounts of[DIM_COUNT_],
                        const int64_t free[DIM_COUNT_])
{
    for (int i = 0; i < DIM_COUNT_; i++)
        buf_fmt(out, ",\"%s\":{\"total\":%lld,\"used\":%lld,\"held\":%lld,\"free\":%lld}",
                DIMENSIONS[i], (long long)of[i].total, (long long)of[i].used, (long long)of[i].held,
                (long long)free[i]);
}

static void add_text(struct buf *out, const char *key, struct str value)
{
    buf_fmt(out, ",\"%s\":", key);
    buf_json(out, value);
}

static void add_bool(struct buf *out, const char *key, bool value)
{
    buf_fmt(out, ",\"%s\":%s", key, value ? "true" : "false");
}

static struct str vendor_key(struct ext_app *app, uint16_t vendor)
{
    return vendor_at(app->vendors, vendor)->core.key;
}

static void add_share_amounts(const struct cluster_share *s, struct buf *out)
{
    buf_fmt(out, ",\"memoryMiB\":%lld,\"coresPercent\":%d", (long long)s->mem_mib, s->cores_pct);
    if (s->shares > 1)
        buf_fmt(out, ",\"shares\":%u", s->shares);
    if (s->bits)
        buf_fmt(out, ",\"bits\":\"0x%llx\"", (unsigned long long)s->bits);
    buf_char(out, '}');
}

/* The shares of the node's pods on this card, in the order of pods. */
static void add_card_pods(struct buf *out, uint16_t vendor, struct str uuid,
                          const struct cluster_pod_view *pods, size_t pods_n)
{
    bool any = false;
    buf_add(out, STR(",\"pods\":["));
    for (size_t i = 0; i < pods_n; i++) {
        const struct cluster_pod_view *p = &pods[i];
        for (uint16_t j = 0; j < p->shares_n; j++) {
            const struct cluster_share *s = &p->shares[j];
            if (s->vendor != vendor || !str_eq(s->uuid, uuid))
                continue;
            buf_add(out, any ? STR(",{\"namespace\":") : STR("{\"namespace\":"));
            any = true;
            buf_json(out, p->ns);
            add_text(out, "name", p->name);
            add_text(out, "uid", p->uid);
            buf_fmt(out, ",\"container\":%u", s->container);
            add_text(out, "containerName", p->share_containers[j]);
            add_share_amounts(s, out);
        }
    }
    buf_char(out, ']');
}

struct node_pods { /* only of a node shown alone */
    const struct cluster_pod_view *pods;
    size_t n;
    bool more;
};

/* What only some makers' cards have; members that say nothing are left out. */
static void add_trait(struct ext_app *app, const struct cluster_node *node,
                      const struct score_group *g, uint16_t at, struct buf *out)
{
    const struct score_device *d = &node->score.devices[at];
    if (d->flags & SCORE_DEVICE_FOREIGN)
        add_bool(out, "foreign", true);
    if (d->flags & SCORE_DEVICE_SOFT)
        add_bool(out, "softSplit", true);
    if (!g->traits)
        return;
    const struct score_trait *t = &g->traits[at - g->first];
    const struct vendor *v = vendor_at(app->vendors, g->vendor);
    if (t->zone != SCORE_ZONE_NONE)
        buf_fmt(out, ",\"zone\":%d", t->zone);
    if (t->bits_total)
        buf_fmt(out, ",\"bits\":{\"total\":\"0x%llx\",\"used\":\"0x%llx\"}",
                (unsigned long long)t->bits_total, (unsigned long long)t->bits_used);
    if (t->profiles_n > 0) {
        buf_add(out, STR(",\"profiles\":["));
        for (uint16_t i = 0; i < t->profiles_n; i++) {
            if (i > 0)
                buf_char(out, ',');
            buf_json(out, node->score.profiles[t->profile + i].name);
        }
        buf_char(out, ']');
    }
    if (t->online > 0)
        buf_fmt(out, ",\"onlinePods\":%u", t->online);
    if (t->offline > 0)
        buf_fmt(out, ",\"offlinePods\":%u", t->offline);
    if (t->qos > 0 && t->qos <= v->qos_n)
        add_text(out, "qosPolicy", v->qos[t->qos - 1]);
}

static void add_numbers(struct buf *out, const char *key, const int32_t *of, size_t n)
{
    buf_fmt(out, ",\"%s\":[", key);
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_char(out, ',');
        if (of[i] == SCORE_TABLE_NONE)
            buf_add(out, STR("null"));
        else
            buf_int(out, of[i]);
    }
    buf_char(out, ']');
}

/* How the cards lie to each other, in the order of the vendor's cards; nothing where nothing is
 * known. */
static void add_topologies(struct ext_app *app, const struct cluster_node *node, struct buf *out)
{
    bool any = false;
    for (uint16_t i = 0; i < node->score.groups_n; i++) {
        const struct score_topology *t = node->score.groups[i].topology;
        if (!t)
            continue;
        buf_add(out, any ? STR(",{\"vendor\":") : STR(",\"topology\":[{\"vendor\":"));
        any = true;
        buf_json(out, vendor_key(app, node->score.groups[i].vendor));
        if (t->aligned)
            add_bool(out, "aligned", true);
        if (t->pair)
            add_numbers(out, "pairs", t->pair, (size_t)t->n * t->n);
        if (t->loss)
            add_numbers(out, "losses", t->loss, t->counts_n);
        if (t->gain)
            add_numbers(out, "scores", t->gain, t->counts_n);
        buf_char(out, '}');
    }
    if (any)
        buf_char(out, ']');
}

static void add_faults(struct ext_app *app, const struct cluster_node *node, struct buf *out)
{
    for (uint16_t i = 0; i < node->faults_n; i++) {
        buf_add(out, i ? STR(",{\"vendor\":") : STR(",\"faults\":[{\"vendor\":"));
        buf_json(out, vendor_key(app, node->faults[i].vendor));
        add_text(out, "text", node->faults[i].text);
        buf_char(out, '}');
    }
    if (node->faults_n > 0)
        buf_char(out, ']');
}

static void add_card(struct ext_app *app, const struct cluster_node *node,
                     const struct score_group *g, uint16_t at, const struct score_extra *held,
                     const struct node_pods *pods, struct buf *out)
{
    const struct score_device *d = &node->score.devices[at];
    buf_add(out, STR("{\"uuid\":"));
    buf_json(out, d->uuid);
    buf_fmt(out, ",\"index\":%d", d->index);
    add_text(out, "vendor", vendor_key(app, g->vendor));
    add_text(out, "type", node->score.types[d->type]);
    add_text(out, "mode", node->score.types[d->mode]);
    buf_fmt(out, ",\"numa\":%d", d->numa);
    add_bool(out, "healthy", !(d->flags & SCORE_DEVICE_UNHEALTHY));
    add_bool(out, "cordoned", (d->flags & SCORE_DEVICE_CORDONED) != 0);
    add_bool(out, "lent", (d->flags & SCORE_DEVICE_LENT) != 0);
    add_trait(app, node, g, at, out);
    struct amounts of[DIM_COUNT_];
    int64_t free[DIM_COUNT_];
    card_amounts(d, held, of);
    for (int i = 0; i < DIM_COUNT_; i++)
        free[i] = free_of(&of[i]);
    add_amounts(out, of, free);
    if (pods)
        add_card_pods(out, g->vendor, d->uuid, pods->pods, pods->n);
    buf_char(out, '}');
}

/* Members of a node behind the opening brace, up to and with the closing one. */
static void add_node(struct ext_app *app, const struct cluster_node *node,
                     const struct node_pods *pods, struct buf *out)
{
    buf_add(out, STR("\"name\":"));
    buf_json(out, node->score.name);
    add_text(out, "uid", node->uid);
    buf_fmt(out, ",\"generation\":%llu", (unsigned long long)node->generation);
    if (node->lock.n)
        add_text(out, "lock", node->lock);
    else
        buf_add(out, STR(",\"lock\":null"));
    buf_fmt(out, ",\"podsCharged\":%u,\"brokenRegistrations\":%u,\"closedVendors\":[", node->pods,
            node->broken_n);
    bool any = false;
    for (uint16_t i = 0; i < node->score.groups_n; i++) {
        if (!node->score.groups[i].closed)
            continue;
        if (any)
            buf_char(out, ',');
        any = true;
        buf_json(out, vendor_key(app, node->score.groups[i].vendor));
    }
    buf_char(out, ']');
    add_faults(app, node, out);
    if (pods)
        add_topologies(app, node, out);
    buf_add(out, STR(",\"cards\":["));
    struct score_extra held[SCORE_DEVICES_MAX];
    bool holds =
        cluster_hold_extra(app->store, node, STR(""), false, clock_mono_ms(app->clock), held, NULL);
    any = false;
    for (uint16_t i = 0; i < node->score.groups_n; i++) {
        const struct score_group *g = &node->score.groups[i];
        for (uint16_t j = g->first; j < g->first + g->n; j++) {
            if (any)
                buf_char(out, ',');
            any = true;
            add_card(app, node, g, j, holds ? &held[j] : NULL, pods, out);
        }
    }
    buf_char(out, ']');
    if (pods)
        add_bool(out, "morePods", pods->more);
    buf_char(out, '}');
}

/* ---- nodes ---- */
static int by_name(const void *a, const void *b)
{
    const struct cluster_node *const *x = a, *const *y = b;
    return str_cmp((*x)->score.name, (*y)->score.name);
}

/* Nodes behind `after`, ordered by name. NULL: no memory. */
static const struct cluster_node **sorted_nodes(struct ext_request *r,
                                                const struct cluster_snapshot *snap,
                                                struct str after, size_t *ret_n)
{
    uint32_t slots = cluster_snapshot_slots(snap);
    const struct cluster_node **nodes = arena_array(r->arena, (size_t)slots + 1, sizeof(*nodes));
    size_t n = 0;
    for (uint32_t i = 0; nodes && i < slots; i++) {
        const struct cluster_node *node = cluster_snapshot_at(snap, i);
        if (node && (after.n == 0 || str_cmp(node->score.name, after) > 0))
            nodes[n++] = node;
    }
    if (n > 1)
        qsort(nodes, n, sizeof(*nodes), by_name);
    *ret_n = n;
    return nodes;
}

void ext_v1_nodes(struct ext_request *r, struct ext_answer *a)
{
    struct page page;
    if (!page_of(r, a, &page))
        return;
    struct cluster_snapshot *snap = cluster_store_snapshot(r->app->store);
    size_t n = 0, i = 0;
    const struct cluster_node **nodes = sorted_nodes(r, snap, page.after, &n);
    if (!nodes) {
        cluster_snapshot_unref(snap);
        fail(a, ERR_NO_MEMORY, "no memory");
        return;
    }
    struct buf *out = &a->body;
    a->status = 200;
    buf_add(out, STR(HEAD "\"NodeList\",\"items\":["));
    for (; i < n && i < page.limit && out->n < PAGE_BYTES; i++) {
        buf_add(out, i ? STR(",{") : STR("{"));
        add_node(r->app, nodes[i], NULL, out);
    }
    buf_add(out, STR("],\"continue\":\""));
    if (i < n)
        add_token(out, STR(""), nodes[i - 1]->score.name);
    buf_fmt(out, "\",\"remaining\":%zu}", n - i);
    cluster_snapshot_unref(snap);
}

void ext_v1_node(struct ext_request *r, struct ext_answer *a)
{
    size_t prefix = sizeof("/v1/nodes/") - 1;
    struct str name = {r->path.p + prefix, r->path.n - prefix};
    struct cluster_snapshot *snap = cluster_store_snapshot(r->app->store);
    const struct cluster_node *node = cluster_snapshot_find(snap, name);
    struct cluster_pod_view *views = NULL;
    struct node_pods pods = {0};
    struct err err;
    if (!node) {
        fail_name(a, "node", name);
    } else if (cluster_list_pods(r->app->store, name, STR(""), STR(""), NODE_PODS_MAX, r->arena,
                                 &views, &pods.n, &pods.more, &err)) {
        ext_answer_err(a, &err);
    } else {
        pods.pods = views;
        a->status = 200;
        buf_add(&a->body, STR(HEAD "\"Node\","));
        add_node(r->app, node, &pods, &a->body);
    }
    cluster_snapshot_unref(snap);
}

/* ---- pods ---- */
static const char *state_name(enum cluster_state state)
{
    switch (state) {
    case CLUSTER_STATE_WAITING:
        return "waiting";
    case CLUSTER_STATE_ASSUMED:
        return "assumed";
    case CLUSTER_STATE_BOUND:
        return "bound";
    default:
        return "unknown";
    }
}

static void add_pod(struct ext_app *app, const struct cluster_pod_view *p, struct buf *out)
{
    buf_add(out, STR("{\"namespace\":"));
    buf_json(out, p->ns);
    add_text(out, "name", p->name);
    add_text(out, "uid", p->uid);
    add_text(out, "node", p->node);
    buf_fmt(out, ",\"state\":\"%s\"", state_name(p->state));
    add_bool(out, "failClosed", p->fail_closed);
    add_bool(out, "tampered", p->tampered);
    buf_add(out, STR(",\"shares\":["));
    for (uint16_t i = 0; i < p->shares_n; i++) {
        const struct cluster_share *s = &p->shares[i];
        buf_fmt(out, "%s{\"container\":%u", i ? "," : "", s->container);
        add_text(out, "containerName", p->share_containers[i]);
        add_text(out, "vendor", vendor_key(app, s->vendor));
        add_text(out, "uuid", s->uuid);
        add_share_amounts(s, out);
    }
    buf_add(out, STR("]}"));
}

void ext_v1_pods(struct ext_request *r, struct ext_answer *a)
{
    struct page page;
    if (!page_of(r, a, &page))
        return;
    struct str node = STR(""), name = page.after, ns = STR("");
    if (!ext_query(r, "node", r->arena, &node))
        node = STR("");
    if (page.after.n && (!str_split(&name, '/', &ns) || !name.p)) {
        fail(a, ERR_BAD_REQUEST, "continue: not a token that this API gave");
        return;
    }
    struct cluster_pod_view *pods = NULL;
    size_t n = 0, i = 0;
    bool more = false;
    struct err err;
    if (cluster_list_pods(r->app->store, node, ns, name, page.limit, r->arena, &pods, &n, &more,
                          &err)) {
        ext_answer_err(a, &err);
        return;
    }
    struct buf *out = &a->body;
    a->status = 200;
    buf_add(out, STR(HEAD "\"PodList\",\"items\":["));
    for (; i < n && out->n < PAGE_BYTES; i++) {
        if (i)
            buf_char(out, ',');
        add_pod(r->app, &pods[i], out);
    }
    buf_add(out, STR("],\"continue\":\""));
    if (i > 0 && (more || i < n))
        add_token(out, pods[i - 1].ns, pods[i - 1].name);
    buf_add(out, STR("\"}"));
}

/* ---- all together ---- */
struct vendor_sum {
    uint64_t nodes, cards, healthy, cordoned;
    struct amounts of[DIM_COUNT_];
    int64_t free[DIM_COUNT_];
};

static void sum_node(struct ext_app *app, const struct cluster_node *node, bool any_holds,
                     struct vendor_sum *sums)
{
    struct score_extra held[SCORE_DEVICES_MAX];
    bool holds = any_holds && cluster_hold_extra(app->store, node, STR(""), false,
                                                 clock_mono_ms(app->clock), held, NULL);
    for (uint16_t i = 0; i < node->score.groups_n; i++) {
        const struct score_group *g = &node->score.groups[i];
        assert(g->vendor < SCORE_VENDORS_MAX);
        struct vendor_sum *sum = &sums[g->vendor];
        sum->nodes += g->n > 0;
        for (uint16_t j = g->first; j < g->first + g->n; j++) {
            const struct score_device *d = &node->score.devices[j];
            struct amounts of[DIM_COUNT_];
            card_amounts(d, holds ? &held[j] : NULL, of);
            sum->cards++;
            sum->healthy += !(d->flags & SCORE_DEVICE_UNHEALTHY);
            sum->cordoned += (d->flags & SCORE_DEVICE_CORDONED) != 0;
            for (int k = 0; k < DIM_COUNT_; k++) {
                sum->of[k].total += of[k].total;
                sum->of[k].used += of[k].used;
                sum->of[k].held += of[k].held;
                sum->free[k] +=
                    free_of(&of[k]); /* a card beyond its total lends nothing to its neighbours */
            }
        }
    }
}

static void add_quotas(struct ext_request *r, struct buf *out)
{
    struct cluster_quota_view *views = NULL;
    size_t n = 0;
    struct err err;
    if (cluster_list_quotas(r->app->store, QUOTAS_MAX, r->arena, &views, &n, &err))
        n = 0;
    for (size_t i = 0; i < n; i++) {
        const struct cluster_quota_view *q = &views[i];
        const struct vendor *v = vendor_at(r->app->vendors, q->vendor);
        buf_add(out, i ? STR(",{\"namespace\":") : STR("{\"namespace\":"));
        buf_json(out, q->ns);
        add_text(out, "vendor", v->core.key);
        add_text(out, "resource", q->mem ? v->quota_mem : v->quota_cores);
        buf_fmt(out, ",\"used\":%lld,\"limit\":", (long long)q->used);
        if (q->limit_set)
            buf_int(out, q->limit);
        else
            buf_add(out, STR("null"));
        buf_char(out, '}');
    }
}

static void add_asks(struct ext_app *app, struct buf *out)
{
    struct cluster_ask_shape asks[CLUSTER_ASKS_MAX];
    const uint16_t n = cluster_recent_asks(app->store, asks);
    for (uint16_t i = 0; i < n; i++) {
        const struct cluster_ask_shape *s = &asks[i];
        buf_add(out, i ? STR(",{\"vendor\":") : STR("{\"vendor\":"));
        buf_json(out, vendor_key(app, s->vendor));
        buf_fmt(out, ",\"cards\":%d,\"memoryMiB\":%lld,\"memoryPercent\":%d,\"coresPercent\":%d",
                s->cards, (long long)s->mem_mib, s->mem_pct, s->cores_pct);
        if (s->slices)
            buf_fmt(out, ",\"slices\":%d", s->slices);
        buf_fmt(out, ",\"count\":%u}", s->n);
    }
}

void ext_v1_summary(struct ext_request *r, struct ext_answer *a)
{
    struct ext_app *app = r->app;
    struct vendor_sum *sums = arena_array(r->arena, SCORE_VENDORS_MAX, sizeof(*sums));
    if (!sums) {
        fail(a, ERR_NO_MEMORY, "no memory");
        return;
    }
    struct cluster_stats stats = {0};
    cluster_store_stats(app->store, &stats);
    struct cluster_snapshot *snap = cluster_store_snapshot(app->store);
    bool any_holds = cluster_holds_count(app->store) > 0;
    for (uint32_t i = 0; i < cluster_snapshot_slots(snap); i++) {
        const struct cluster_node *node = cluster_snapshot_at(snap, i);
        if (node)
            sum_node(app, node, any_holds, sums);
    }
    cluster_snapshot_unref(snap);

    struct buf *out = &a->body;
    a->status = 200;
    buf_add(out, STR(HEAD "\"Summary\""));
    const struct {
        const char *name;
        uint64_t value;
    } counts[] = {{"nodes", stats.nodes},
                  {"nodesWithCards", stats.nodes_with_cards},
                  {"cards", stats.devices},
                  {"podsCharged", stats.pods_charged},
                  {"podsWaiting", stats.pods_waiting},
                  {"podsAssumed", stats.assumed},
                  {"podsFailClosed", stats.fail_closed},
                  {"podsTampered", stats.tampered},
                  {"cardsLent", stats.lent},
                  {"holds", stats.holds}};
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        buf_fmt(out, ",\"%s\":%llu", counts[i].name, (unsigned long long)counts[i].value);
    add_bool(out, "ready", ext_ready(app));
    buf_add(out, STR(",\"vendors\":["));
    bool any = false;
    for (uint16_t v = 0; v < vendor_count(app->vendors); v++) {
        const struct vendor_sum *sum = &sums[v];
        if (sum->cards == 0)
            continue;
        buf_add(out, any ? STR(",{\"vendor\":") : STR("{\"vendor\":"));
        any = true;
        buf_json(out, vendor_key(app, v));
        buf_fmt(out, ",\"nodes\":%llu,\"cards\":%llu,\"healthy\":%llu,\"cordoned\":%llu",
                (unsigned long long)sum->nodes, (unsigned long long)sum->cards,
                (unsigned long long)sum->healthy, (unsigned long long)sum->cordoned);
        add_amounts(out, sum->of, sum->free);
        buf_char(out, '}');
    }
    buf_add(out, STR("],\"quotas\":["));
    add_quotas(r, out);
    buf_add(out, STR("],\"recentAsks\":["));
    add_asks(app, out);
    buf_add(out, STR("]}"));
}

/* ---- the stored objects, file mode ---- */
void ext_v1_object(struct ext_request *r, struct ext_answer *a)
{
    size_t prefix = sizeof("/v1/objects/") - 1;
    struct str rest = {r->path.p + prefix, r->path.n - prefix}, kind = STR(""), parts[3];
    size_t n = 0;
    if (!r->app->file_store) {
        fail(a, ERR_NOT_FOUND,
             "objects are served in file mode only (--cluster); ask the API server");
        return;
    }
    (void)str_split(&rest, '/', &kind);
    while (n < 3 && rest.p && str_split(&rest, '/', &parts[n]))
        n++;
    bool pod = str_eq(kind, STR("pods")) && n == 2, node = str_eq(kind, STR("nodes")) && n == 1;
    if (!pod && !node) {
        fail(a, ERR_NOT_FOUND, "/v1/objects/pods/NAMESPACE/NAME or /v1/objects/nodes/NAME");
        return;
    }
    struct kube_request req = {.verb = KUBE_GET,
                               .kind = pod ? KUBE_POD : KUBE_NODE,
                               .ns = pod ? parts[0] : STR(""),
                               .name = pod ? parts[1] : parts[0],
                               .timeout_ms = 1000};
    struct kube_response resp = {0};
    struct err err;
    if (kube_call(r->app->kube, &req, &resp, &err)) {
        ext_answer_err(a, &err);
    } else {
        a->status = 200;
        buf_add(&a->body, (struct str){resp.body, resp.body_n});
    }
    kube_response_done(&resp);
}
