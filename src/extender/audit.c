/* GET /v1/audit: is the ledger what the cluster says at this moment? Builds a second ledger from a
 * fresh list of everything, as after a restart, and compares it with the running one, node by node
 * and pod by pod. And where does the cluster contradict itself, so that both ledgers agree on
 * something that is nobody's wish? Changes nothing.
 *
 * Both move while one looks, so a difference is told only when it is still there after PASSES
 * looks. Costs a list of all nodes, pods and quotas: one audit at a time. */
#include "extender/priv.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { PASSES = 3, PAUSE_MS = 300, FINDINGS_MAX = 500, NODE_PODS_MAX = 4096, PAGE_PODS = 2000 };
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

struct card { /* d NULL: none */
    const struct score_device *d;
    const struct score_trait *t; /* NULL: it has none */
};

static void card_use(struct buf *out, const char *key, struct card c)
{
    if (!c.d) {
        buf_fmt(out, ",\"%s\":null", key);
        return;
    }
    buf_fmt(out,
            ",\"%s\":{\"shares\":\"%d/%d\",\"memoryMiB\":\"%lld/%lld\",\"coresPercent\":\"%d/%d\"",
            key, c.d->shares_used, c.d->shares_total, (long long)c.d->mem_used_mib,
            (long long)c.d->mem_total_mib, c.d->cores_used_pct, c.d->cores_total_pct);
    if (c.t)
        buf_fmt(out,
                ",\"bits\":\"0x%llx/0x%llx\",\"onlinePods\":%u,\"offlinePods\":%u,\"qosPolicy\":%u",
                (unsigned long long)c.t->bits_used, (unsigned long long)c.t->bits_total,
                c.t->online, c.t->offline, c.t->qos);
    buf_char(out, '}');
}

static void card_finding(struct audit *a, struct str node, struct card ledger, struct card cluster)
{
    if (!finding(a, "card", node))
        return;
    buf_add(&a->out, STR(",\"card\":"));
    buf_json(&a->out, (ledger.d ? ledger : cluster).d->uuid);
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

static struct score_trait trait_of(const struct card *c)
{
    return c->t ? *c->t : (struct score_trait){.zone = SCORE_ZONE_NONE};
}

/* Slices, classes and policies: two cards can have the same amounts and differ in these. */
static bool same_trait(const struct card *x, const struct card *y)
{
    const struct score_trait a = trait_of(x), b = trait_of(y);
    return a.bits_total == b.bits_total && a.bits_used == b.bits_used && a.zone == b.zone &&
           a.profiles_n == b.profiles_n && a.online == b.online && a.offline == b.offline &&
           a.qos == b.qos;
}

static bool same_card(struct card x, struct card y)
{
    const struct score_device *a = x.d, *b = y.d;
    if (!a || !b)
        return a == b;
    return str_eq(a->uuid, b->uuid) && a->mem_total_mib == b->mem_total_mib &&
           a->mem_used_mib == b->mem_used_mib && a->cores_total_pct == b->cores_total_pct &&
           a->cores_used_pct == b->cores_used_pct && a->shares_total == b->shares_total &&
           a->shares_used == b->shares_used && a->flags == b->flags && same_trait(&x, &y);
}

static struct card card_at(const struct cluster_node *node, uint16_t i)
{
    struct card c = {.d = &node->score.devices[i]};
    for (uint16_t g = 0; g < node->score.groups_n; g++) {
        const struct score_group *group = &node->score.groups[g];
        if (group->traits && i >= group->first && i - group->first < group->n)
            c.t = &group->traits[i - group->first];
    }
    return c;
}

static struct card card_of(const struct cluster_node *node, struct str uuid)
{
    for (uint16_t i = 0; node && i < node->score.devices_n; i++)
        if (str_eq(node->score.devices[i].uuid, uuid))
            return card_at(node, i);
    return (struct card){0};
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
            struct card c = card_at(from, i);
            differ |= !same_card(c, card_of(other, c.d->uuid));
        }
    }
    if (!differ || compare_pods(a, fresh, name))
        return;
    for (int side = 0; side < 2; side++) {
        const struct cluster_node *from = side ? theirs : ours, *other = side ? ours : theirs;
        for (uint16_t i = 0; from && i < from->score.devices_n; i++) {
            struct card c = card_at(from, i), o = card_of(other, c.d->uuid);
            if (side == 0 && !same_card(c, o))
                card_finding(a, name, c, o);
            else if (side == 1 && !o.d)
                card_finding(a, name, (struct card){0}, c);
        }
    }
}

/* ---- where the cluster contradicts itself ---- */

static void pod_contradictions(struct audit *a, const struct cluster_snapshot *snap,
                               const struct cluster_pod_view *pod)
{
    const struct cluster_node *node = cluster_snapshot_find(snap, pod->node);
    if (pod->state == CLUSTER_STATE_WAITING)
        return;
    if (!node) {
        pod_finding(a, pod->node, pod, "is bound to a node that is not there",
                    "its charge stays, and counts there when the node comes");
        return;
    }
    if (pod->fail_closed)
        pod_finding(a, pod->node, pod,
                    "its annotations do not say which cards, or which parts of them, are its",
                    "all that may be its is taken until it ends");
    if (pod->tampered)
        pod_finding(a, pod->node, pod, "its annotations have changed since it was bound",
                    "what was charged then stays charged as long as it runs");
    for (uint16_t i = 0; i < pod->shares_n; i++)
        if (pod->shares[i].uuid.n > 0 && !card_of(node, pod->shares[i].uuid).d) {
            pod_finding(a, pod->node, pod, "has a card that the node does not have",
                        "its share of it stays charged, and counts when the card comes");
            break;
        }
}

static void node_contradictions(struct audit *a, const struct cluster_node *node)
{
    for (uint16_t i = 0; i < node->score.devices_n; i++)
        if (node->score.devices[i].flags & SCORE_DEVICE_LENT &&
            finding(a, "card", node->score.name)) {
            buf_add(&a->out, STR(",\"card\":"));
            buf_json(&a->out, node->score.devices[i].uuid);
            card_use(&a->out, "ledger", card_at(node, i));
            buf_add(&a->out,
                    STR(",\"why\":\"more of it is given away than there is\",\"done\":\"it "
                        "takes nothing more until pods there have ended\"}"));
        }
    for (uint16_t i = 0; i < node->faults_n; i++)
        if (finding(a, "node", node->score.name)) {
            buf_add(&a->out, STR(",\"why\":"));
            buf_json(&a->out, node->faults[i].text);
            buf_add(&a->out,
                    STR(",\"done\":\"what can't be read is left out until its plugin writes "
                        "it anew\"}"));
        }
}

/* Appends to a->out, which holds nothing else then. */
static enum err_code contradictions(struct audit *a, struct err *err)
{
    struct cluster_snapshot *snap = cluster_store_snapshot(a->app->store);
    char ns[256] = "", name[256] = "";
    bool more = true;
    enum err_code rc = ERR_OK;
    a->findings = 0;
    a->more = false;
    for (uint32_t slot = 0; slot < cluster_snapshot_slots(snap); slot++)
        if (cluster_snapshot_at(snap, slot))
            node_contradictions(a, cluster_snapshot_at(snap, slot));
    while (!rc && more && !a->more) {
        struct cluster_pod_view *pods = NULL;
        size_t n = 0;
        arena_reset(a->arena);
        rc = cluster_list_pods(a->app->store, STR(""), str_z(ns), str_z(name), PAGE_PODS, a->arena,
                               &pods, &n, &more, err);
        for (size_t i = 0; !rc && i < n; i++)
            pod_contradictions(a, snap, &pods[i]);
        if (rc || n == 0)
            break;
        (void)snprintf(ns, sizeof(ns), STR_FMT, STR_ARG(pods[n - 1].ns));
        (void)snprintf(name, sizeof(name), STR_FMT, STR_ARG(pods[n - 1].name));
    }
    cluster_snapshot_unref(snap);
    return rc;
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
    struct cluster_config cfg = a->app->cluster;
    cfg.adopt_unbound = false; /* what is in flight is ours alone to know */
    enum err_code rc = cluster_store_new(&cfg, &fresh, err);
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
        buf_fmt(&answer->body, "],\"more\":%s,\"contradictions\":[", a.more ? "true" : "false");
        a.out.n = 0;
        a.more = contradictions(&a, err) != ERR_OK || a.more; /* without memory: not all */
        buf_add(&answer->body, (struct str){a.out.p, a.out.n});
        buf_fmt(&answer->body, "],\"moreContradictions\":%s,\"locks\":[",
                a.more ? "true" : "false");
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
