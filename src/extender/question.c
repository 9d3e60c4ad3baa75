/* Steps 1 to 4 of a filter or prioritize call (ARCHITECTURE.md, "the way of a request"). */
#include "extender/question.h"

#include <assert.h>
#include <string.h>

static enum err_code read_names(struct ext_request *r, struct ext_question *q, struct err *err)
{
    struct str *names = NULL;
    enum err_code rc =
        ext_wire_names(q->args.node_names, cluster_store_config(r->app->store)->nodes_max, r->arena,
                       &names, &q->n, err);
    if (rc)
        return rc;
    q->candidates = arena_array(r->arena, q->n + 1, sizeof(*q->candidates));
    if (!q->candidates)
        return err_set(err, ERR_NO_MEMORY, "extender args: out of request memory");
    for (size_t i = 0; i < q->n; i++)
        q->candidates[i].name = names[i];
    return ERR_OK;
}

static void find_nodes(struct ext_question *q)
{
    enum { TOGETHER = 256 };
    struct str name[TOGETHER];
    const struct cluster_node *node[TOGETHER];
    for (size_t at = 0; at < q->n; at += TOGETHER) {
        const size_t n = q->n - at < TOGETHER ? q->n - at : TOGETHER;
        for (size_t i = 0; i < n; i++)
            name[i] = q->candidates[at + i].name;
        cluster_snapshot_find_all(q->snapshot, name, n, node);
        for (size_t i = 0; i < n; i++)
            q->candidates[at + i].node = node[i];
    }
}

/* The question in the terms of the snapshot at hand. */
static enum err_code prepare(struct ext_request *r, struct ext_question *q, struct err *err)
{
    struct ext_app *app = r->app;
    if (!q->items)
        find_nodes(q);
    q->pod.request.quotas_n =
        cluster_quota_left(app->store, q->pod.ns, q->pod.uid, clock_mono_ms(app->clock), q->quotas);
    q->pod.request.quotas = q->quotas;
    uint32_t types_n = 0;
    const struct str *types = cluster_snapshot_types(q->snapshot, &types_n);
    enum err_code rc = score_prepare(&q->pod.request, types, types_n, r->arena, &q->prepared, err);
    if (rc)
        return rc;
    if (cluster_pod_state(app->store, q->pod.uid, q->own, sizeof(q->own)) != CLUSTER_STATE_ASSUMED)
        q->own[0] = '\0';
    return ERR_OK;
}

/* Whole Node objects: inventory from the object, use from the ledger. Source: architecture 3,
 * nodeCacheCapable=false. */
static enum err_code read_items(struct ext_request *r, struct ext_question *q, struct err *err)
{
    enum err_code rc = ext_wire_items(q->args.nodes, cluster_store_config(r->app->store)->nodes_max,
                                      r->arena, &q->items, &q->n, err);
    if (rc)
        return rc;
    q->candidates = arena_array(r->arena, q->n + 1, sizeof(*q->candidates));
    if (!q->candidates)
        return err_set(err, ERR_NO_MEMORY, "extender args: out of request memory");
    for (size_t i = 0; i < q->n; i++) {
        struct cluster_node_object object;
        rc = cluster_node_decode(&r->app->cluster, q->items[i], true, r->arena, &object, err);
        if (rc)
            return err_prefix(err, rc, "Nodes.items[%zu]", i);
        struct cluster_node *node = arena_alloc(r->arena, sizeof(*node));
        if (!node)
            return err_set(err, ERR_NO_MEMORY, "extender args: out of request memory");
        rc = cluster_snapshot_simulate(q->snapshot, &r->app->cluster, &object, r->arena, node, err);
        if (rc)
            return err_prefix(err, rc, "Nodes.items[%zu]", i);
        q->candidates[i].name = node->score.name;
        q->candidates[i].node = node;
    }
    return ERR_OK;
}

enum err_code ext_question_open(struct ext_request *r, struct ext_question *q, enum ext_opened *ret,
                                struct err *err)
{
    struct ext_app *app = r->app;
    enum err_code rc = ext_wire_args(r->body, r->arena, &q->args, err);
    if (rc)
        return rc;
    if (!q->args.pod.p)
        return err_set(err, ERR_BAD_REQUEST, "extender args missing pod");
    rc = cluster_pod_decode(&app->cluster, q->args.pod, true, r->arena, &q->pod, err);
    if (rc)
        return err_prefix(err, rc, "Pod");
    if (q->pod.wants == CLUSTER_WANTS_NOTHING) {
        *ret = EXT_OPENED_PASS;
        return ERR_OK;
    }
    if (!q->args.nodes.p && !q->args.node_names.p)
        return err_set(
            err, ERR_BAD_REQUEST,
            "extender args: NodeNames and Nodes are both null; one of them names the nodes");
    if (!ext_ready(app))
        return err_set(err, ERR_UNAVAILABLE,
                       "not ready: nodes, pods or quotas of the cluster are not read yet");
    /* A simulation over whole nodes writes nothing, so a follower may answer it as well: the
     * cluster autoscaler does not know who leads (core.md 16, C25). */
    rc = q->args.node_names.p ? ext_lead_check(app, err) : ERR_OK;
    if (rc)
        return rc;
    cluster_adopted_age(app->store, clock_mono_ms(app->clock));
    cluster_adopted_drop(app->store, q->pod.uid);
    cluster_locks_age(app->store, clock_wall_ns(app->clock) / 1000000);
    q->snapshot = cluster_store_snapshot(app->store);
    rc = q->args.node_names.p ? read_names(r, q, err) : read_items(r, q, err);
    if (rc)
        return rc;
    if (q->pod.wants == CLUSTER_WANTS_REFUSED) {
        *ret = EXT_OPENED_REFUSED;
        return ERR_OK;
    }
    rc = prepare(r, q, err);
    if (rc)
        return rc;
    *ret = EXT_OPENED_ASKING;
    return ERR_OK;
}

enum err_code ext_question_again(struct ext_request *r, struct ext_question *q, struct err *err)
{
    cluster_class_unref(q->class);
    q->class = NULL;
    cluster_snapshot_unref(q->snapshot);
    q->snapshot = cluster_store_snapshot(r->app->store);
    enum err_code rc = prepare(r, q, err);
    return rc ? rc : ext_question_ask(r, q, err);
}

/* A verdict for each name, from the class's memory or afresh. */
static void check_names(struct ext_question *q)
{
    enum { TOGETHER = 256 };
    for (size_t at = 0; at < q->n; at += TOGETHER) {
        const struct cluster_node *nodes[TOGETHER];
        struct score_verdict verdicts[TOGETHER];
        size_t n = q->n - at < TOGETHER ? q->n - at : TOGETHER;
        for (size_t i = 0; i < n; i++) {
            nodes[i] = q->candidates[at + i].node;
            if (!nodes[i])
                verdicts[i] = (struct score_verdict){.unresolvable = true,
                                                     .reasons = SCORE_BIT(SCORE_NODE_UNKNOWN)};
        }
        cluster_class_check_all(q->class, &q->prepared, nodes, n, verdicts);
        for (size_t i = 0; i < n; i++)
            q->candidates[at + i].verdict = verdicts[i];
    }
}

enum err_code ext_question_ask(struct ext_request *r, struct ext_question *q, struct err *err)
{
    if (!q->items)
        q->class = cluster_class_get(r->app->store, &q->pod.request);
    if (!q->items)
        check_names(q);
    for (size_t i = 0; q->items && i < q->n; i++) {
        struct ext_candidate *c = &q->candidates[i];
        enum err_code rc = ext_question_place(r, q, c->node, NULL, &c->verdict, NULL, NULL, err);
        if (rc)
            return rc;
    }
    if (!q->own[0])
        return ERR_OK;
    /* A bind of this pod is on its way to that node: its share is charged there already. */
    for (size_t i = 0; i < q->n; i++)
        if (str_eq(q->candidates[i].name, str_z(q->own)))
            q->candidates[i].verdict = (struct score_verdict){.fits = true, .score = SCORE_MAX};
    return ERR_OK;
}

enum err_code ext_question_place(struct ext_request *r, struct ext_question *q,
                                 const struct cluster_node *node, const struct score_extra *extra,
                                 struct score_verdict *ret, struct score_placement *placement,
                                 struct score_detail *detail, struct err *err)
{
    struct score_prepared own, *prepared = &q->prepared;
    if (q->items) { /* a node from outside brings its own texts */
        enum err_code rc = score_prepare(&q->pod.request, node->score.types, node->score.types_n,
                                         r->arena, &own, err);
        if (rc)
            return rc;
        prepared = &own;
    }
    if (placement)
        score_node_place(prepared, &node->score, extra, ret, placement, detail);
    else
        score_node_check(prepared, &node->score, extra, ret);
    return ERR_OK;
}

void ext_question_done(struct ext_question *q)
{
    cluster_class_unref(q->class);
    cluster_snapshot_unref(q->snapshot);
    q->class = NULL;
    q->snapshot = NULL;
}
