/* POST /filter: the best nodes that fit, or why none does (ARCHITECTURE.md, "the way of a request",
 * steps 1 to 5 and 7). Nothing here waits, and no lock is held while deciding. */
#include "extender/question.h"

#include <assert.h>
#include <string.h>

#define CHOOSE_TRIES 4 /* the nodes moved while we chose */

/* ---- 7: the answer ---- */

/* ExtenderFilterResult with an error text; kube-scheduler reads bodies of 200 answers only. */
static void answer_error(struct ext_answer *a, const struct err *err)
{
    if (err->code == ERR_UNAVAILABLE) { /* nobody looked at the pod */
        ext_answer_text(a, 503, "%s\n", err->text);
        return;
    }
    a->status = 200;
    a->content_type = "application/json";
    buf_add(&a->body, STR("{\"Nodes\":null,\"NodeNames\":null,\"FailedNodes\":null,"
                          "\"FailedAndUnresolvableNodes\":null,\"Error\":"));
    buf_json(&a->body, str_z(err->text));
    buf_char(&a->body, '}');
}

/* A pod that is none of our business: what came in goes out. */
static void answer_pass(const struct ext_question *q, struct ext_answer *a)
{
    a->status = 200;
    a->content_type = "application/json";
    buf_reserve(&a->body, q->args.nodes.n + q->args.node_names.n + 128);
    buf_add(&a->body, STR("{\"Nodes\":"));
    buf_add(&a->body, q->args.nodes.p ? q->args.nodes : STR("null"));
    buf_add(&a->body, STR(",\"NodeNames\":"));
    buf_add(&a->body, q->args.node_names.p ? q->args.node_names : STR("null"));
    buf_add(&a->body,
            STR(",\"FailedNodes\":null,\"FailedAndUnresolvableNodes\":null,\"Error\":\"\"}"));
}

/* Texts of reason sets, each made once a call, quoted for JSON. */
struct texts {
    struct arena *arena;
    struct {
        score_reasons set;
        struct str quoted;
    } known[32];
    size_t n;
};

static struct str text_of(struct texts *t, score_reasons set)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->known[i].set == set)
            return t->known[i].quoted;
    struct buf plain, quoted;
    buf_init(&plain, 4096);
    buf_init(&quoted, 8192);
    ext_reasons_text(set, &plain);
    buf_json(&quoted, (struct str){plain.p, plain.n});
    struct str text = arena_str(t->arena, (struct str){quoted.p, quoted.n});
    buf_done(&plain);
    buf_done(&quoted);
    if (t->n < sizeof(t->known) / sizeof(t->known[0])) {
        t->known[t->n].set = set;
        t->known[t->n++].quoted = text;
    }
    return text;
}

static void add_failed(const struct ext_question *q, bool unresolvable, const struct str *same,
                       struct texts *texts, struct buf *out)
{
    bool any = false;
    for (size_t i = 0; i < q->n; i++) {
        const struct ext_candidate *c = &q->candidates[i];
        if (c->verdict.fits || c->verdict.unresolvable != unresolvable)
            continue;
        buf_char(out, any ? ',' : '{');
        any = true;
        buf_json(out, c->name);
        buf_char(out, ':');
        buf_add(out, same ? *same : text_of(texts, c->verdict.reasons));
    }
    buf_add(out, any ? STR("}") : STR("null"));
}

/* `same`: one text (quoted) for all refused nodes; NULL: each its own codes. */
static void answer_refusals(const struct ext_question *q, const struct str *same,
                            struct arena *arena, struct buf *out)
{
    struct texts texts = {.arena = arena};
    buf_add(out, STR(",\"FailedNodes\":"));
    add_failed(q, false, same, &texts, out);
    buf_add(out, STR(",\"FailedAndUnresolvableNodes\":"));
    add_failed(q, true, same, &texts, out);
}

static void answer_fits(struct ext_request *r, const struct ext_question *q, const size_t *picked,
                        size_t picked_n, struct ext_answer *a)
{
    a->status = 200;
    a->content_type = "application/json";
    struct buf *out = &a->body;
    if (q->items) {
        buf_add(out, STR("{\"Nodes\":{\"metadata\":{},\"items\":["));
        for (size_t i = 0; i < picked_n; i++) {
            if (i)
                buf_char(out, ',');
            buf_add(out, q->items[picked[i]]);
        }
        buf_add(out, STR("]},\"NodeNames\":null"));
    } else {
        buf_add(out, STR("{\"Nodes\":null,\"NodeNames\":["));
        for (size_t i = 0; i < picked_n; i++) {
            if (i)
                buf_char(out, ',');
            buf_json(out, q->candidates[picked[i]].name);
        }
        buf_char(out, ']');
    }
    struct str all;
    if (ext_query(r, "reasons", r->arena, &all) && str_eq(all, STR("all")))
        answer_refusals(q, NULL, r->arena, out);
    else
        buf_add(out, STR(",\"FailedNodes\":null,\"FailedAndUnresolvableNodes\":null"));
    buf_add(out, STR(",\"Error\":\"\"}"));
}

/* ---- 4: which of those that fit ---- */

static bool better(const struct ext_candidate *a, const struct ext_candidate *b)
{
    if (a->verdict.score != b->verdict.score)
        return a->verdict.score > b->verdict.score;
    return str_cmp(a->name, b->name) < 0;
}

/* The best `max` candidates that fit and are worse than `after` (NULL: from the top), best first.
 * One pass over the candidates with a heap of `max` whose top is the worst kept. */
static size_t rank_best(const struct ext_question *q, const struct ext_candidate *after, size_t max,
                        size_t *ret)
{
    const struct ext_candidate *all = q->candidates;
    size_t n = 0;
    for (size_t i = 0; i < q->n; i++) {
        const struct ext_candidate *c = &all[i];
        if (!c->verdict.fits || (after && !better(after, c)))
            continue;
        size_t at;
        if (n < max) {
            at = n++;
            for (; at > 0 && better(&all[ret[(at - 1) / 2]], c); at = (at - 1) / 2)
                ret[at] = ret[(at - 1) / 2];
        } else {
            if (!better(c, &all[ret[0]]))
                continue;
            at = 0;
            for (size_t child; (child = 2 * at + 1) < n; at = child) {
                if (child + 1 < n && better(&all[ret[child]], &all[ret[child + 1]]))
                    child++;
                if (!better(c, &all[ret[child]]))
                    break;
                ret[at] = ret[child];
            }
        }
        ret[at] = i;
    }
    for (size_t end = n; end > 1; end--) { /* heap → best first */
        size_t worst = ret[0], last = ret[end - 1], at = 0;
        for (size_t child; (child = 2 * at + 1) < end - 1; at = child) {
            if (child + 1 < end - 1 && better(&all[ret[child]], &all[ret[child + 1]]))
                child++;
            if (!better(&all[last], &all[ret[child]]))
                break;
            ret[at] = ret[child];
        }
        ret[at] = last;
        ret[end - 1] = worst;
    }
    return n;
}

static bool holds_of_others(struct ext_request *r, const struct ext_question *q,
                            const struct cluster_node *node, bool certain_only,
                            struct score_extra *ret, uint32_t *ret_likely)
{
    const struct cluster_hold_query query = {.except_uid = q->pod.uid,
                                             .priority = q->pod.priority,
                                             .certain_only = certain_only,
                                             .now_ms = clock_mono_ms(r->app->clock)};
    return cluster_hold_extra_for(r->app->store, node, &query, ret, ret_likely);
}

/* May the node be answered: does it still take the pod with the holds of others on top, and may its
 * bind hope for a turn there in time? */
static bool may_answer(struct ext_request *r, struct ext_question *q, const struct ext_candidate *c,
                       bool certain_only, uint32_t *ret_likely)
{
    if (ret_likely)
        *ret_likely = 0;
    const struct cluster_node *node = cluster_snapshot_find(q->snapshot, c->name);
    if (!node || (q->items && !str_eq(node->uid, c->node->uid)))
        return true; /* simulated: nobody is told that it has room */
    if (ext_turns_full(r->app, &q->pod.request, c->name))
        return false;
    struct score_extra extra[SCORE_DEVICES_MAX];
    if (!holds_of_others(r, q, node, certain_only, extra, ret_likely))
        return true;
    struct score_verdict verdict;
    score_node_check(&q->prepared, &node->score, extra, &verdict);
    return verdict.fits;
}

/* Fills `picked` (room for q->n) with the nodes to answer, best first; 0: none that fits bears the
 * holds. */
static size_t pick(struct ext_request *r, struct ext_question *q, size_t want, size_t *picked)
{
    bool ask = cluster_holds_count(r->app->store) > 0 || ext_turns_any(r->app->turns);
    if (want == 0 || want >= q->n) { /* all of them: in the order asked */
        size_t n = 0;
        for (size_t i = 0; i < q->n; i++)
            if (q->candidates[i].verdict.fits &&
                (!ask || may_answer(r, q, &q->candidates[i], false, NULL)))
                picked[n++] = i;
        return n;
    }
    size_t n = 0;
    const struct ext_candidate *after = NULL;
    for (size_t batch = want; n < want; batch *= 4) {
        size_t *next = picked + n; /* room: q->n - n ≥ what is still unseen */
        size_t room = q->n - n;
        size_t seen = rank_best(q, after, batch < room ? batch : room, next);
        if (seen == 0)
            break;
        after = &q->candidates[next[seen - 1]];
        for (size_t i = 0; i < seen && n < want; i++)
            if (!ask || may_answer(r, q, &q->candidates[next[i]], false, NULL))
                picked[n++] = next[i];
    }
    return n;
}

/* No node bears all holds: the one that bears charges and certain holds, with the fewest likely
 * ones, pins the pick; of equal ones the worst. All pods like the same nodes: one of the best is
 * what kube-scheduler has just picked for the pod before us, and its bind is on the way there. */
static size_t pick_pinned(struct ext_request *r, struct ext_question *q, size_t *picked)
{
    const struct ext_candidate *best = NULL;
    uint32_t best_likely = 0;
    for (size_t i = 0; i < q->n; i++) {
        const struct ext_candidate *c = &q->candidates[i];
        uint32_t likely;
        if (!c->verdict.fits || !may_answer(r, q, c, true, &likely))
            continue;
        if (!best || likely < best_likely || (likely == best_likely && better(best, c))) {
            best = c;
            best_likely = likely;
            picked[0] = i;
        }
    }
    return best ? 1 : 0;
}

/* ---- 5: hold what was promised ---- */

/* The best of those that were answered, best first. */
static size_t best_of(const struct ext_question *q, const size_t *picked, size_t picked_n,
                      size_t best[CLUSTER_HOLD_NODES_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < picked_n; i++) {
        const struct ext_candidate *c = &q->candidates[picked[i]];
        if (n == CLUSTER_HOLD_NODES_MAX && !better(c, &q->candidates[best[n - 1]]))
            continue;
        size_t at = n < CLUSTER_HOLD_NODES_MAX ? n++ : n - 1;
        for (; at > 0 && better(c, &q->candidates[best[at - 1]]); at--)
            best[at] = best[at - 1];
        best[at] = picked[i];
    }
    return n;
}

static void hold(struct ext_request *r, struct ext_question *q, const size_t *picked,
                 size_t picked_n)
{
    if (!q->pod.uid.n)
        return; /* a question of a person: nobody to hold for */
    struct cluster_hold holds[CLUSTER_HOLD_NODES_MAX];
    uint16_t n = 0;
    struct score_placement scratch;
    size_t best[CLUSTER_HOLD_NODES_MAX];
    const size_t best_n = best_of(q, picked, picked_n, best);
    for (size_t i = 0; i < best_n; i++) {
        const struct ext_candidate *c = &q->candidates[best[i]];
        const struct cluster_node *node = cluster_snapshot_find(q->snapshot, c->name);
        if (!node || (q->items && !str_eq(node->uid, c->node->uid)))
            continue;
        struct score_extra extra[SCORE_DEVICES_MAX];
        bool held = holds_of_others(r, q, node, false, extra, NULL);
        struct score_verdict verdict;
        score_node_place(&q->prepared, &node->score, held ? extra : NULL, &verdict, &scratch, NULL);
        if (!verdict.fits && held) { /* pinned over likely holds, beside the certain ones */
            held = holds_of_others(r, q, node, true, extra, NULL);
            score_node_place(&q->prepared, &node->score, held ? extra : NULL, &verdict, &scratch,
                             NULL);
        }
        if (!verdict.fits)
            continue;
        size_t bytes =
            offsetof(struct score_placement, parts) + scratch.parts_n * sizeof(scratch.parts[0]);
        struct score_placement *placement = arena_alloc(r->arena, bytes);
        if (!placement)
            return; /* a hold is a courtesy: bind decides */
        memcpy(placement, &scratch, bytes);
        holds[n++] = (struct cluster_hold){.node = node, .placement = placement};
    }
    cluster_hold(r->app->store, &q->pod, holds, n, /* certain= */ picked_n == 1,
                 clock_mono_ms(r->app->clock));
}

/* ---- nothing fits ---- */

/* What the ask meets in the whole cluster: one text for all nodes, so that kube-scheduler's
 * rotating sample does not change the pod's condition from call to call
 * (contract/kubernetes.md 1.8). Cheap: the class remembers each node. */
static score_reasons cluster_reasons(struct ext_request *r, struct ext_question *q)
{
    score_reasons set = 0;
    bool held = cluster_holds_count(r->app->store) > 0;
    uint32_t slots = cluster_snapshot_slots(q->snapshot);
    for (uint32_t slot = 0; slot < slots; slot++) {
        const struct cluster_node *node = cluster_snapshot_at(q->snapshot, slot);
        if (!node)
            continue;
        struct score_verdict verdict;
        cluster_class_check(q->class, &q->prepared, node, &verdict);
        const struct ext_candidate c = {.name = node->score.name, .node = node};
        if (!verdict.fits)
            set |= verdict.reasons;
        else if (ext_turns_full(r->app, &q->pod.request, c.name))
            set |= SCORE_BIT(SCORE_NODE_LOCKED);
        else if (held && !(set & SCORE_BIT(SCORE_NODE_HELD)) &&
                 !may_answer(r, q, &c, /* certain_only= */ true, NULL))
            set |= SCORE_BIT(SCORE_NODE_HELD);
    }
    return set;
}

static bool is_sample(const struct ext_question *q)
{
    size_t known = 0;
    for (size_t i = 0; i < q->n; i++)
        known += q->candidates[i].node != NULL;
    return !q->items && known < cluster_snapshot_nodes(q->snapshot);
}

/* The pod's event: counts and the nearest misses, bounded. The queue keeps it to one in ten
 * seconds. */
static void post_refusal(struct ext_request *r, struct ext_question *q)
{
    if (!q->pod.uid.n)
        return;
    size_t counts[SCORE_REASON_COUNT_] = {0};
    for (size_t i = 0; i < q->n; i++)
        for (unsigned reason = 1; reason < SCORE_REASON_COUNT_; reason++)
            counts[reason] += (q->candidates[i].verdict.reasons & SCORE_BIT(reason)) != 0;
    struct buf text;
    buf_init(&text, 4096);
    buf_fmt(&text, "no available node, %zu nodes do not meet:", q->n);
    for (unsigned reason = 1; reason < SCORE_REASON_COUNT_; reason++)
        if (counts[reason])
            buf_fmt(&text, " %zu %s,", counts[reason],
                    score_reason_code((enum score_reason)reason));
    if (text.n)
        text.n--; /* the last comma */
    const struct ext_candidate *near[3];
    size_t near_n = 0;
    for (size_t i = 0; i < q->n; i++) { /* the first few by name that lack only room */
        const struct ext_candidate *c = &q->candidates[i];
        if (!c->node || c->verdict.fits || c->verdict.unresolvable)
            continue;
        size_t at = near_n;
        for (; at > 0 && str_cmp(c->name, near[at - 1]->name) < 0; at--)
            if (at < 3)
                near[at] = near[at - 1];
        if (at < 3)
            near[at] = c;
        if (near_n < 3)
            near_n++;
    }
    for (size_t i = 0; i < near_n; i++) {
        struct score_verdict verdict;
        struct score_placement placement;
        struct score_detail detail = {0};
        struct err err;
        if (ext_question_place(r, q, near[i]->node, NULL, &verdict, &placement, &detail, &err) ||
            verdict.fits)
            continue;
        buf_fmt(&text, "; " STR_FMT ": ", STR_ARG(near[i]->name));
        ext_detail_text(&detail, &text);
    }
    struct kube_event event = {.ns = q->pod.ns,
                               .pod = q->pod.name,
                               .uid = q->pod.uid,
                               .warning = true,
                               .reason = STR("FilteringFailed"),
                               .message = {text.p, text.n}};
    kube_events_post(r->app->events, &event);
    log_info(5, "filter refused", "id=%llu pod=" STR_FMT "/" STR_FMT " why=\"" STR_FMT "\"",
             (unsigned long long)r->id, STR_ARG(q->pod.ns), STR_ARG(q->pod.name), (int)text.n,
             text.p);
    buf_done(&text);
}

/* `held`: some nodes fit but for the holds of pods that were told so before, or for the pods that
 * wait there for their turn. */
static void refuse(struct ext_request *r, struct ext_question *q, bool held, struct ext_answer *a)
{
    if (held)
        for (size_t i = 0; i < q->n; i++)
            if (q->candidates[i].verdict.fits)
                q->candidates[i].verdict = (struct score_verdict){
                    .reasons = ext_turns_full(r->app, &q->pod.request, q->candidates[i].name)
                                   ? SCORE_BIT(SCORE_NODE_LOCKED)
                                   : SCORE_BIT(SCORE_NODE_HELD)};
    struct str *same = NULL;
    struct texts texts = {.arena = r->arena};
    struct str text;
    struct str all;
    bool each = ext_query(r, "reasons", r->arena, &all) && str_eq(all, STR("all"));
    if (!each && is_sample(q)) {
        score_reasons set = cluster_reasons(r, q);
        if (held && !(set & (SCORE_BIT(SCORE_NODE_HELD) | SCORE_BIT(SCORE_NODE_LOCKED))))
            set |= SCORE_BIT(SCORE_NODE_HELD);
        text = text_of(&texts, set);
        same = &text;
    }
    a->status = 200;
    a->content_type = "application/json";
    buf_reserve(&a->body, q->n * 64 + 256);
    buf_add(&a->body, STR("{\"Nodes\":null,\"NodeNames\":null"));
    answer_refusals(q, same, r->arena, &a->body);
    buf_add(&a->body, STR(",\"Error\":\"\"}"));
    if (q->pod.uid.n)
        cluster_hold(r->app->store, &q->pod, NULL, 0, false, clock_mono_ms(r->app->clock));
    ext_wake_refused(r->app->wake, &q->pod, is_sample(q));
    post_refusal(r, q);
}

/* The ask itself can't be served: the same for every node, and emptier nodes would not help. */
static void refuse_ask(struct ext_request *r, struct ext_question *q, struct ext_answer *a)
{
    struct buf plain, quoted;
    buf_init(&plain, 4096);
    buf_init(&quoted, 8192);
    buf_fmt(&plain, "%s: " STR_FMT, score_reason_code(q->pod.refused_reason),
            STR_ARG(q->pod.refused_text));
    buf_json(&quoted, (struct str){plain.p, plain.n});
    for (size_t i = 0; i < q->n; i++)
        q->candidates[i].verdict = (struct score_verdict){
            .unresolvable = true, .reasons = SCORE_BIT(q->pod.refused_reason)};
    struct str same = {quoted.p, quoted.n};
    a->status = 200;
    a->content_type = "application/json";
    buf_add(&a->body, STR("{\"Nodes\":null,\"NodeNames\":null"));
    answer_refusals(q, &same, r->arena, &a->body);
    buf_add(&a->body, STR(",\"Error\":\"\"}"));
    struct kube_event event = {.ns = q->pod.ns,
                               .pod = q->pod.name,
                               .uid = q->pod.uid,
                               .warning = true,
                               .reason = STR("FilteringFailed"),
                               .message = {plain.p, plain.n}};
    if (q->pod.uid.n)
        kube_events_post(r->app->events, &event);
    buf_done(&plain);
    buf_done(&quoted);
}

/* ---- in order ---- */

/* A bind that was decided after our look at the nodes and before the one at the holds has taken its
 * hold away: the picked node was judged with neither hold nor charge. Whoever charges after this
 * look here finds us among the holds. */
static bool has_moved(struct ext_request *r, const struct ext_question *q, const size_t *picked,
                      size_t picked_n)
{
    if (q->items)
        return false; /* simulated: nobody is told that there is room */
    struct cluster_snapshot *now = cluster_store_snapshot(r->app->store);
    bool moved = false;
    for (size_t i = 0; now != q->snapshot && i < picked_n && !moved; i++) {
        const struct cluster_node *before = q->candidates[picked[i]].node;
        const struct cluster_node *after = cluster_snapshot_at(now, before->slot);
        moved = !after || after->generation != before->generation;
    }
    cluster_snapshot_unref(now);
    return moved;
}

/* Fills `picked` with the nodes to answer; *ret_fits: how many fit but for holds. */
static enum err_code choose(struct ext_request *r, struct ext_question *q, size_t *picked,
                            size_t *ret_n, size_t *ret_fits, struct err *err)
{
    const bool all = q->pod.soft_wishes || q->items || r->app->config.shortlist == 0;
    for (int i = 0;; i++) {
        *ret_fits = 0;
        for (size_t c = 0; c < q->n; c++)
            *ret_fits += q->candidates[c].verdict.fits;
        *ret_n = pick(r, q, all ? 0 : (size_t)r->app->config.shortlist, picked);
        if (*ret_n == 0 && *ret_fits > 0)
            *ret_n = pick_pinned(r, q, picked);
        if (i == CHOOSE_TRIES - 1 || !has_moved(r, q, picked, *ret_n))
            return ERR_OK;
        enum err_code rc = ext_question_again(r, q, err);
        if (rc)
            return rc;
    }
}

static enum err_code decide(struct ext_request *r, struct ext_question *q, struct ext_answer *a,
                            struct err *err)
{
    enum err_code rc = ext_question_ask(r, q, err);
    if (rc)
        return rc;
    size_t *picked = arena_array(r->arena, q->n + 1, sizeof(*picked));
    if (!picked)
        return err_set(err, ERR_NO_MEMORY, "filter: out of request memory");
    for (size_t i = 0; i < q->n; i++)
        if (q->own[0] && q->candidates[i].verdict.fits &&
            str_eq(q->candidates[i].name, str_z(q->own))) {
            picked[0] = i; /* its bind is under way there: the same answer again */
            answer_fits(r, q, picked, 1, a);
            ext_metrics_count(r->app->metrics, EXT_FILTER_FITS, 1);
            return ERR_OK;
        }
    size_t n = 0, fits = 0;
    rc = choose(r, q, picked, &n, &fits, err);
    if (rc)
        return rc;
    if (n == 0) {
        refuse(r, q, fits > 0, a);
        ext_metrics_count(r->app->metrics, EXT_FILTER_REFUSED, 1);
    } else {
        hold(r, q, picked, n);
        ext_wake_done(r->app->wake, q->pod.uid);
        answer_fits(r, q, picked, n, a);
        ext_metrics_count(r->app->metrics, EXT_FILTER_FITS, 1);
    }
    log_info(4, "filter",
             "id=%llu pod=" STR_FMT "/" STR_FMT " uid=" STR_FMT
             " asked=%zu fit=%zu answered=%zu first=\"" STR_FMT "\"",
             (unsigned long long)r->id, STR_ARG(q->pod.ns), STR_ARG(q->pod.name),
             STR_ARG(q->pod.uid), q->n, fits, n,
             STR_ARG(n ? q->candidates[picked[0]].name : STR("")));
    return ERR_OK;
}

void ext_filter(struct ext_request *r, struct ext_answer *a)
{
    struct ext_question q = {0};
    struct err err;
    enum ext_opened opened;
    enum err_code rc = ext_question_open(r, &q, &opened, &err);
    if (!rc) {
        switch (opened) {
        case EXT_OPENED_PASS:
            answer_pass(&q, a);
            ext_metrics_count(r->app->metrics, EXT_FILTER_PASSED, 1);
            break;
        case EXT_OPENED_REFUSED:
            refuse_ask(r, &q, a);
            ext_metrics_count(r->app->metrics, EXT_FILTER_REFUSED, 1);
            break;
        case EXT_OPENED_ASKING:
            rc = decide(r, &q, a, &err);
            break;
        }
    }
    if (rc) {
        answer_error(a, &err);
        ext_metrics_count(r->app->metrics, EXT_FILTER_ERRORS, 1);
        if (err.code == ERR_UNAVAILABLE) /* not ready, or another leads: 503 says it, each time */
            log_info(4, "filter turned away", "id=%llu err=\"%s\"", (unsigned long long)r->id,
                     err.text);
        else
            log_warn("filter failed", "id=%llu err=\"%s\"", (unsigned long long)r->id, err.text);
    }
    ext_question_done(&q);
}
