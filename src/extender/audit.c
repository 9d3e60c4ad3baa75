/* GET /v1/audit: is the ledger what the cluster says at this moment? Builds a second ledger from a
 * fresh list of everything, as after a restart, and compares it with the running one, node by node
 * and pod by pod. Changes nothing.
 *
 * Both move while one looks, so a difference is told only when it is still there after PASSES
 * looks. Costs a list of all nodes, pods and quotas: one audit at a time. */
#include "extender/priv.h"

#include <string.h>
#include <time.h>

enum { PASSES = 3, PAUSE_MS = 300, FINDINGS_MAX = 500, NODE_PODS_MAX = 4096 };
#define ITEM_MEMORY_MAX ((size_t)8 << 20)

struct audit {
    struct ext_app *app;
    struct arena *arena; /* of one pass */
    struct buf out;      /* findings of one pass */
    size_t findings, in_flight, unread, locks;
    bool more; /* findings beyond FINDINGS_MAX */
};

/* ---- the second ledger ---- */

struct feed {
    struct audit *a;
    struct cluster_store *store;
    struct arena *arena; /* of one object */
};

static enum err_code take_node(void *ctx, struct str text, struct err *err)
{
    struct feed *f = ctx;
    struct cluster_node_object node;
    arena_reset(f->arena);
    enum err_code rc = cluster_node_decode(&f->a->app->cluster, text, false, f->arena, &node, err);
    if (!rc)
        rc = cluster_apply_node(f->store, &node, err);
    f->a->unread += rc != ERR_OK;
    return rc == ERR_NO_MEMORY ? rc : ERR_OK;
}

static enum err_code take_pod(void *ctx, struct str text, struct err *err)
{
    struct feed *f = ctx;
    struct cluster_pod pod;
    arena_reset(f->arena);
    enum err_code rc = cluster_pod_decode(&f->a->app->cluster, text, false, f->arena, &pod, err);
    if (!rc)
        rc = cluster_apply_pod(f->store, &pod, err);
    f->a->unread += rc != ERR_OK;
    return rc == ERR_NO_MEMORY ? rc : ERR_OK;
}

static enum err_code read_cluster(struct audit *a, struct cluster_store *store, struct err *err)
{
    struct feed feed = {.a = a, .store = store, .arena = arena_new(ITEM_MEMORY_MAX)};
    if (!feed.arena)
        return err_set(err, ERR_NO_MEMORY, "audit: no memory");
    const struct kube_list_options opt = {0};
    const struct {
        enum kube_kind kind;
        enum err_code (*item)(void *, struct str, struct err *);
    } kinds[] = {{KUBE_NODE, take_node}, {KUBE_POD, take_pod}};
    enum err_code rc = ERR_OK;
    for (size_t i = 0; !rc && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        char version[KUBE_RV_MAX];
        struct kube_list_handler handler = {.item = kinds[i].item, .ctx = &feed};
        rc =
            kube_list(a->app->kube, kinds[i].kind, &opt, &a->app->stopping, &handler, version, err);
    }
    arena_free(feed.arena);
    return rc;
}

/* ---- findings ---- */

static bool finding(struct audit *a, const char *kind, struct str node)
{
    if (a->findings == FINDINGS_MAX) {
        a->more = true;
        return false;
    }
    buf_fmt(&a->out, "%s{\"what\":\"%s\",\"node\":", a->findings++ ? "," : "", kind);
    buf_json(&a->out, node);
    return true;
}

static void card_use(struct buf *out, const char *key, const struct score_device *d)
{
    if (!d)
        buf_fmt(out, ",\"%s\":null", key);
    else
        buf_fmt(
            out,
            ",\"%s\":{\"shares\":\"%d/%d\",\"memoryMiB\":\"%lld/%lld\",\"coresPercent\":\"%d/%d\"}",
            key, d->shares_used, d->shares_total, (long long)d->mem_used_mib,
            (long long)d->mem_total_mib, d->cores_used_pct, d->cores_total_pct);
}

static void card_finding(struct audit *a, struct str node, const struct score_device *ledger,
                         const struct score_device *cluster)
{
    if (!finding(a, "card", node))
        return;
    buf_add(&a->out, STR(",\"card\":"));
    buf_json(&a->out, (ledger ? ledger : cluster)->uuid);
    card_use(&a->out, "ledger", ledger);
    card_use(&a->out, "cluster", cluster);
    buf_add(&a->out, STR(",\"done\":\"the watch brings it, or the next relist repairs it\"}"));
}

static void pod_finding(struct audit *a, struct str node, const struct cluster_pod_view *pod,
                        const char *why, const char *done)
{
    if (!finding(a, "pod", node))
        return;
    buf_add(&a->out, STR(",\"namespace\":"));
    buf_json(&a->out, pod->ns);
    buf_add(&a->out, STR(",\"name\":"));
    buf_json(&a->out, pod->name);
    buf_add(&a->out, STR(",\"uid\":"));
    buf_json(&a->out, pod->uid);
    buf_fmt(&a->out, ",\"why\":\"%s\",\"done\":\"%s\"}", why, done);
}

/* ---- comparing ---- */

static bool same_card(const struct score_device *a, const struct score_device *b)
{
    return str_eq(a->uuid, b->uuid) && a->mem_total_mib == b->mem_total_mib &&
           a->mem_used_mib == b->mem_used_mib && a->cores_total_pct == b->cores_total_pct &&
           a->cores_used_pct == b->cores_used_pct && a->shares_total == b->shares_total &&
           a->shares_used == b->shares_used && a->flags == b->flags;
}

static const struct score_device *card_of(const struct cluster_node *node, struct str uuid)
{
    for (uint16_t i = 0; node && i < node->score.devices_n; i++)
        if (str_eq(node->score.devices[i].uuid, uuid))
            return &node->score.devices[i];
    return NULL;
}

static bool same_shares(const struct cluster_pod_view *a, const struct cluster_pod_view *b)
{
    if (a->shares_n != b->shares_n)
        return false;
    for (uint16_t i = 0; i < a->shares_n; i++) {
        const struct cluster_share *x = &a->shares[i], *y = &b->shares[i];
        if (x->container != y->container || x->vendor != y->vendor || x->mem_mib != y->mem_mib ||
            x->cores_pct != y->cores_pct || x->shares != y->shares || x->bits != y->bits ||
            !str_eq(x->uuid, y->uuid))
            return false;
    }
    return true;
}

static const struct cluster_pod_view *pod_of(const struct cluster_pod_view *pods, size_t n,
                                             struct str uid)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(pods[i].uid, uid))
            return &pods[i];
    return NULL;
}

/* What stands behind a card whose use differs: the pods of the node that do. True: only binds in
 * flight. */
static bool compare_pods(struct audit *a, struct cluster_store *fresh, struct str node)
{
    struct cluster_pod_view *ours, *theirs;
    size_t ours_n, theirs_n, before = a->findings, flights = 0;
    bool more;
    struct err err;
    const struct str none = STR("");
    if (cluster_list_pods(a->app->store, node, none, none, NODE_PODS_MAX, a->arena, &ours, &ours_n,
                          &more, &err) ||
        cluster_list_pods(fresh, node, none, none, NODE_PODS_MAX, a->arena, &theirs, &theirs_n,
                          &more, &err))
        return false;
    for (size_t i = 0; i < ours_n; i++) {
        const struct cluster_pod_view *pod = &ours[i], *there = pod_of(theirs, theirs_n, pod->uid);
        if (pod->state == CLUSTER_STATE_ASSUMED)
            flights++;
        else if (!there)
            pod_finding(a, node, pod, "charged here, and the cluster has no such pod on the node",
                        "the charge ends with the watch's deletion, or with the next relist");
        else if (!same_shares(pod, there))
            pod_finding(a, node, pod, "its annotations do not say what was decided for it",
                        "the decision stays charged as long as the pod runs");
    }
    for (size_t i = 0; i < theirs_n; i++)
        if (!pod_of(ours, ours_n, theirs[i].uid))
            pod_finding(a, node, &theirs[i], "holds cards in the cluster and is not charged here",
                        "the watch brings it, or the next relist repairs it");
    a->in_flight += flights;
    return flights > 0 && a->findings == before;
}

static void compare_node(struct audit *a, struct cluster_store *fresh, struct str name,
                         const struct cluster_node *ours, const struct cluster_node *theirs)
{
    bool differ = false;
    for (int side = 0; side < 2; side++) {
        const struct cluster_node *from = side ? theirs : ours, *other = side ? ours : theirs;
        for (uint16_t i = 0; from && i < from->score.devices_n; i++) {
            const struct score_device *d = &from->score.devices[i], *o = card_of(other, d->uuid);
            differ |= !o || !same_card(d, o);
        }
    }
    if (!differ || compare_pods(a, fresh, name))
        return;
    for (int side = 0; side < 2; side++) {
        const struct cluster_node *from = side ? theirs : ours, *other = side ? ours : theirs;
        for (uint16_t i = 0; from && i < from->score.devices_n; i++) {
            const struct score_device *d = &from->score.devices[i], *o = card_of(other, d->uuid);
            if (side == 0 && (!o || !same_card(d, o)))
                card_finding(a, name, d, o);
            else if (side == 1 && !o)
                card_finding(a, name, NULL, d);
        }
    }
}

static void lock_finding(struct audit *a, const struct cluster_node *node, struct buf *out)
{
    struct lease_lock lock = lease_lock_parse(node->lock);
    if (lock.form == LEASE_LOCK_NONE || a->locks == FINDINGS_MAX)
        return;
    buf_add(out, a->locks++ ? STR(",{\"node\":") : STR("{\"node\":"));
    buf_json(out, node->score.name);
    buf_add(out, STR(",\"value\":"));
    buf_json(out, node->lock);
    buf_fmt(out, ",\"readable\":%s}", lock.form == LEASE_LOCK_MALFORMED ? "false" : "true");
}

static void compare(struct audit *a, struct cluster_store *fresh, struct buf *locks)
{
    struct cluster_snapshot *ours = cluster_store_snapshot(a->app->store),
                            *theirs = cluster_store_snapshot(fresh);
    for (uint32_t slot = 0; slot < cluster_snapshot_slots(ours); slot++) {
        const struct cluster_node *node = cluster_snapshot_at(ours, slot);
        if (!node)
            continue;
        lock_finding(a, node, locks);
        compare_node(a, fresh, node->score.name, node,
                     cluster_snapshot_find(theirs, node->score.name));
    }
    for (uint32_t slot = 0; slot < cluster_snapshot_slots(theirs); slot++) {
        const struct cluster_node *node = cluster_snapshot_at(theirs, slot);
        if (node && !cluster_snapshot_find(ours, node->score.name))
            compare_node(a, fresh, node->score.name, NULL, node);
    }
    cluster_snapshot_unref(theirs);
    cluster_snapshot_unref(ours);
}

static enum err_code look(struct audit *a, struct buf *locks, struct err *err)
{
    struct cluster_store *fresh = NULL;
    a->out.n = locks->n = 0;
    a->findings = a->in_flight = a->unread = a->locks = 0;
    a->more = false;
    arena_reset(a->arena);
    enum err_code rc = cluster_store_new(&a->app->cluster, &fresh, err);
    if (!rc)
        rc = read_cluster(a, fresh, err);
    if (!rc)
        compare(a, fresh, locks);
    if (fresh)
        cluster_store_free(fresh);
    return rc;
}

/* ---- the handler ---- */

static enum err_code audit(struct ext_request *r, struct ext_answer *answer, struct err *err)
{
    struct audit a = {.app = r->app, .arena = arena_new(r->app->config.request_memory_max)};
    struct buf locks;
    buf_init(&a.out, EXT_ANSWER_MAX / 2);
    buf_init(&locks, EXT_ANSWER_MAX / 4);
    enum err_code rc = a.arena ? ERR_OK : err_set(err, ERR_NO_MEMORY, "audit: no memory");
    for (int pass = 0; !rc && pass < PASSES; pass++) {
        if (pass > 0)
            nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000L}, NULL);
        rc = look(&a, &locks, err);
        if (!rc && a.findings == 0)
            break;
    }
    if (!rc) {
        struct cluster_stats stats;
        cluster_store_stats(r->app->store, &stats);
        answer->status = 200;
        buf_fmt(&answer->body,
                "{\"apiVersion\":\"cardinal/"
                "v1\",\"kind\":\"Audit\",\"consistent\":%s,\"nodes\":%llu,\"cards\":%llu,"
                "\"podsCharged\":%llu,\"bindsInFlight\":%zu,\"bindsUnsettled\":%zu,\"repairs\":%"
                "llu,\"objectsNotRead\":%zu,"
                "\"differences\":[",
                a.findings ? "false" : "true", (unsigned long long)stats.nodes,
                (unsigned long long)stats.devices, (unsigned long long)stats.pods_charged,
                a.in_flight, ext_binds_unsettled(r->app->binds), (unsigned long long)stats.repairs,
                a.unread);
        buf_add(&answer->body, (struct str){a.out.p, a.out.n});
        buf_fmt(&answer->body, "],\"more\":%s,\"locks\":[", a.more ? "true" : "false");
        buf_add(&answer->body, (struct str){locks.p, locks.n});
        buf_add(&answer->body, STR("]}\n"));
    }
    buf_done(&locks);
    buf_done(&a.out);
    arena_free(a.arena);
    return rc;
}

void ext_v1_audit(struct ext_request *r, struct ext_answer *a)
{
    struct err err;
    enum err_code rc = ERR_OK;
    if (!ext_ready(r->app))
        rc = err_set(&err, ERR_UNAVAILABLE, "audit: the cluster is not read yet");
    else if (atomic_exchange(&r->app->auditing, true))
        rc = err_set(&err, ERR_BUSY, "audit: another one is under way; try again");
    else {
        rc = audit(r, a, &err);
        atomic_store(&r->app->auditing, false);
    }
    if (rc)
        ext_answer_err(a, &err);
}
