/* POST /bind: decide the cards on the picked node against the state of this moment, charge them,
 * lock the node where its plugin needs that, and write decision and binding in one request
 * (architecture 5).
 *
 * Decides where it arrives, on the server's thread, so that its charge takes the place of its holds
 * at once however many binds wait for workers; what may wait for the API server runs on those, and
 * holds none while it waits (turn.h). Undoing obeys one rule: a charge whose
 * write was sent ends only by proof. Where the outcome of the Binding is unknown it is fenced (a
 * status patch under the same resourceVersion: if that lands, the Binding never can); what can't be
 * settled while kube-scheduler waits is settled later (settle.c). */
#include "extender/bind.h"

#include "vendor/keys.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define DECIDE_TRIES    16 /* the node moved while we decided */
#define CONFLICT_TRIES  3  /* kube-scheduler itself may have moved the pod */
#define FENCE_TRIES     3  /* while kube-scheduler waits; then the settling thread goes on */
#define HOLDER_MAX      ((size_t)8 << 20) /* memory to look at who has a lock */
#define LOCK_ASK_MIN_MS 250  /* how often the API server is asked for a lock that somebody has, */
#define LOCK_ASK_MAX_MS 1000 /* each time less often: who lets go is seen by our watch */

static int64_t now_ms(const struct bind *b) { return clock_mono_ms(b->app->clock); }

/* A write that is begun with little time left is most likely one whose outcome nobody knows. */
static int64_t write_before_ms(const struct bind *b)
{
    const struct ext_config *c = &b->app->config;
    const int64_t eighth = c->bind_timeout_ms / 8, quarter = ext_write_ms(c) / 4;
    return b->turn.deadline_ms - (eighth < quarter ? eighth : quarter);
}

bool ext_bind_may_write(struct bind *b)
{
    return now_ms(b) < write_before_ms(b) && !ext_turn_cancelled(&b->turn) &&
           ext_may_write(b->app, &b->term);
}

enum err_code ext_bind_too_late(struct bind *b, struct err *err)
{
    if (ext_turn_cancelled(&b->turn))
        return err_set(err, ERR_CANCELLED, "bind: a newer call binds the pod to another node");
    if (now_ms(b) < write_before_ms(b))
        return err_set(err, ERR_CANCELLED, "bind: this instance does not lead any more; try again");
    return err_set(err, ERR_CANCELLED,
                   "bind: --bind-timeout is over before the Binding was sent; try again");
}

int ext_bind_write_ms(const struct bind *b)
{
    int64_t left = b->turn.deadline_ms - now_ms(b);
    int most = ext_write_ms(&b->app->config);
    return left < most ? (int)(left > 1 ? left : 1) : most;
}

static void copy_z(char *to, size_t max, struct str s)
{
    size_t n = s.n < max - 1 ? s.n : max - 1;
    if (n)
        memcpy(to, s.p, n);
    to[n] = '\0';
}

/* ---- the pod as it is ---- */

/* From our books; NULL: they don't have it. */
static struct cluster_pod *known_pod(const struct bind *b)
{
    struct cluster_pod *pod = cluster_pod_find(b->app->store, b->args.ns, b->args.pod, b->args.uid);
    if (pod && !pod->resource_version.n) { /* every Binding of ours has a precondition, or it could
                                              not be fenced */
        free(pod);
        pod = NULL;
    }
    return pod;
}

/* Bind may be ahead of our watch; "no such pod" needs a live 404. */
static enum err_code live_pod(struct bind *b, struct err *err)
{
    struct cluster_pod live;
    enum err_code rc = ext_pod_get(b->app, b->r->arena, b->args.ns, b->args.pod, &live, err);
    if (rc == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND, "pod \"" STR_FMT "\" not found", STR_ARG(b->args.pod));
    if (rc)
        return err_prefix(err, rc, "get pod");
    if (!str_eq(live.uid, b->args.uid))
        return err_set(err, ERR_NOT_FOUND, "pod \"" STR_FMT "\" has another UID now",
                       STR_ARG(b->args.pod));
    b->pod = cluster_pod_clone(&live);
    return b->pod ? ERR_OK : err_set(err, ERR_NO_MEMORY, "bind: no memory");
}

/* ---- decide and charge ---- */

/* Of the card's group; NULL: no card of it has any. */
static const struct score_trait *trait_of(const struct score_node *node, uint16_t device)
{
    for (uint16_t g = 0; g < node->groups_n; g++) {
        const struct score_group *group = &node->groups[g];
        if (device >= group->first && device - group->first < group->n)
            return group->traits ? &group->traits[device - group->first] : NULL;
    }
    return NULL;
}

static const struct score_profile *copy_profile(struct arena *arena, const struct score_node *node,
                                                uint16_t number)
{
    if (number == 0)
        return NULL;
    assert(number <= node->profiles_n);
    struct score_profile *copy = arena_alloc(arena, sizeof(*copy));
    if (!copy)
        return NULL; /* sticky: remember_written() looks */
    *copy = node->profiles[number - 1];
    copy->name = arena_str(arena, copy->name);
    copy->id = arena_str(arena, copy->id);
    return copy;
}

/* The snapshot goes; what it says of the cards is needed until the Binding is written. */
static enum err_code remember_written(struct bind *b, const struct score_node *node,
                                      struct err *err)
{
    struct arena *arena = b->r->arena;
    b->written = arena_array(arena, b->placement->parts_n + 1u, sizeof(*b->written));
    for (uint16_t p = 0; b->written && p < b->placement->parts_n; p++) {
        const struct score_part *part = &b->placement->parts[p];
        const struct score_device *card = &node->devices[part->device];
        const struct score_trait *trait = trait_of(node, part->device);
        const uint16_t container = b->pod->request.asks[part->ask].container;
        b->written[p] =
            (struct vendor_written){.container = container,
                                    .container_name = b->pod->container_names[container],
                                    .shares = part->shares ? part->shares : 1,
                                    .uuid = arena_str(arena, card->uuid),
                                    .type = arena_str(arena, node->types[card->type]),
                                    .minor = arena_str(arena, node->types[card->mode]),
                                    .index = card->index,
                                    .mem_mib = part->mem_mib,
                                    .cores_pct = part->cores_pct,
                                    .bits = part->bits,
                                    .bits_total = trait ? trait->bits_total : 0,
                                    .profile = copy_profile(arena, node, part->profile)};
    }
    return arena_failed(arena) ? err_set(err, ERR_NO_MEMORY, "bind: out of request memory")
                               : ERR_OK;
}

/* A bind may be parked for long, and most have a part or two of the many that there is room for. */
static struct score_placement *keep_placement(struct arena *arena, const struct score_placement *p)
{
    const size_t bytes = offsetof(struct score_placement, parts) + p->parts_n * sizeof(p->parts[0]);
    struct score_placement *copy = arena_alloc(arena, bytes);
    if (copy)
        memcpy(copy, p, bytes);
    return copy;
}

static enum err_code decide_on(struct bind *b, const struct cluster_snapshot *snap, struct err *err)
{
    struct cluster_store *store = b->app->store;
    const struct cluster_node *node = cluster_snapshot_find(snap, b->args.node);
    if (!node)
        return err_set(err, ERR_NOT_FOUND, "node \"" STR_FMT "\" is not known",
                       STR_ARG(b->args.node));
    struct score_quota quotas[SCORE_VENDORS_MAX];
    struct score_request req = b->pod->request;
    req.quotas = quotas;
    const int64_t without_holds = INT64_MAX; /* none is alive then: the bind at hand goes first */
    req.quotas_n = cluster_quota_left(store, b->pod->ns, b->pod->uid, without_holds, quotas);
    uint32_t types_n = 0;
    const struct str *types = cluster_snapshot_types(snap, &types_n);
    struct score_prepared prepared;
    enum err_code rc = score_prepare(&req, types, types_n, b->r->arena, &prepared, err);
    if (rc)
        return rc;
    struct score_verdict verdict;
    struct score_placement placement;
    struct score_detail detail = {0};
    score_node_place(&prepared, &node->score, NULL, &verdict, &placement, &detail);
    if (!verdict.fits) {
        struct buf why;
        buf_init(&why, 1024);
        ext_detail_text(&detail, &why);
        rc = err_set(err, ERR_INVALID, "node \"" STR_FMT "\" has no room any more: %.*s",
                     STR_ARG(b->args.node), (int)why.n, why.p ? why.p : "");
        buf_done(&why);
        return rc;
    }
    b->placement = keep_placement(b->r->arena, &placement);
    if (!b->placement)
        return err_set(err, ERR_NO_MEMORY, "bind: out of request memory");
    struct cluster_decision d = {.pod = b->pod, .node = node, .placement = b->placement};
    rc = cluster_assume(store, snap, &d, err);
    if (rc)
        return rc;
    b->charged = true;
    return remember_written(b, &node->score, err);
}

static enum err_code decide(struct bind *b, struct err *err)
{
    for (int i = 0; i < DECIDE_TRIES; i++) {
        struct cluster_snapshot *snap = cluster_store_snapshot(b->app->store);
        enum err_code rc = decide_on(b, snap, err);
        cluster_snapshot_unref(snap);
        if (rc != ERR_CONFLICT)
            return rc;
    }
    return err_set(err, ERR_BUSY, "node \"" STR_FMT "\" kept changing while we decided; try again",
                   STR_ARG(b->args.node));
}

/* ---- locks ---- */

static bool lock_may_write(void *ctx) { return ext_bind_may_write(ctx); }

/* Of this node only. Who waits here behind us, or at another node, has not written this lock: it is
 * of a process of before, and waiting for each other would end with both budgets. */
static bool in_flight(void *ctx, struct str ns, struct str pod)
{
    const struct bind *b = ctx;
    return ext_turns_writes(b->app->turns, ns, pod, b->args.node) ||
           ext_settle_is(b->app->binds, ns, pod, b->args.node);
}

/* Its containers have begun, and its lists are empty: whoever handed the cards out has died, or
 * could not give the lock back (node-side.md 6 E). */
static bool is_served(void *ctx, struct str object)
{
    const struct ext_app *app = ((const struct bind *)ctx)->app;
    struct arena *arena = arena_new(HOLDER_MAX);
    struct cluster_pod pod = {0};
    const bool read =
        arena && cluster_pod_decode(&app->cluster, object, false, arena, &pod, NULL) == ERR_OK;
    const bool served = read && pod.started && !pod.to_allocate_left;
    arena_free(arena);
    return served;
}

/* As far as our watch knows. */
static bool is_locked(const struct bind *b)
{
    struct cluster_snapshot *snap = cluster_store_snapshot(b->app->store);
    const struct cluster_node *node = cluster_snapshot_find(snap, b->args.node);
    bool locked = node && node->lock.p;
    cluster_snapshot_unref(snap);
    return locked;
}

static struct lease_lock_args lock_args(struct bind *b, const struct ext_lock *lock)
{
    return (struct lease_lock_args){
        .kube = b->app->kube,
        .clock = b->app->clock,
        .node = b->args.node,
        .key = lock->key,
        .ns = b->args.ns,
        .pod = b->args.pod,
        .uid = b->args.uid,
        .time_only = lock->time_only,
        .believed_free = !lock->time_only && !b->lock_expected && !is_locked(b),
        .timeout_ms = ext_bind_write_ms(b),
        .expire_ms = lock->time_only ? LEASE_LOCK_TIME_ONLY_MS : b->app->config.lock_expire_ms,
        .may_write = lock_may_write,
        .in_flight = in_flight,
        .served = is_served,
        .ctx = b};
}

/* The kinds of locks that the asked vendors' plugins need, in sorted order so that two binds can't
 * wait for each other. Init containers count: their devices are allocated by the same plugin
 * (vendors-a.md S12 D7, core.md D C42). */
static enum err_code list_locks(struct bind *b, struct err *err)
{
    const struct score_request *req = &b->pod->request;
    struct ext_lock *locks = b->undo.locks;
    size_t n = 0;
    for (uint16_t i = 0; i < req->asks_n; i++) {
        const struct vendor *v = vendor_at(b->app->vendors, req->asks[i].vendor);
        if (!(v->rules & VENDOR_RULE_LOCK))
            continue;
        size_t at = 0;
        while (at < n && str_cmp(locks[at].key, v->node_lock) < 0)
            at++;
        if (at < n && str_eq(locks[at].key, v->node_lock))
            continue;
        if (n == EXT_LOCKS_MAX)
            return err_set(err, ERR_INTERNAL, "more than %d kinds of node locks for one pod",
                           EXT_LOCKS_MAX);
        memmove(&locks[at + 1], &locks[at], (n - at) * sizeof(locks[0]));
        locks[at] = (struct ext_lock){.key = v->node_lock, .time_only = v->lock_time_only};
        n++;
    }
    b->locks_n = n;
    return ERR_OK;
}

/* Some plugins unlock after the first container and find the pod of the next call by a search,
 * which a lock goes before (node-side.md 7): nobody has the node's lock while the lists of a pod
 * that is bound there are not served. */
static bool is_serving(const struct bind *b, const struct ext_lock *lock)
{
    return !lock->time_only && cluster_node_serving(b->app->store, b->args.node, b->args.uid);
}

static void ask_later(struct bind *b)
{
    b->lock_pause_ms = b->lock_pause_ms ? 2 * b->lock_pause_ms : LOCK_ASK_MIN_MS;
    if (b->lock_pause_ms > LOCK_ASK_MAX_MS)
        b->lock_pause_ms = LOCK_ASK_MAX_MS;
    b->lock_ask_ms = now_ms(b) + b->lock_pause_ms;
}

/* Whether it is worth asking for the lock now. Our books show the shared lock only. */
static bool may_ask(struct bind *b, const struct ext_lock *lock)
{
    if (is_serving(b, lock))
        return false;
    const bool locked = !lock->time_only && is_locked(b);
    if (locked)
        b->lock_expected = false;
    if (now_ms(b) >= b->lock_ask_ms) {
        if (locked && b->lock_ask_ms == 0) { /* its end is a watch event: no reason to ask yet */
            ask_later(b);
            return false;
        }
        return true;
    }
    return !lock->time_only && !locked && !b->lock_expected;
}

/* Gives back what was taken so far. */
static enum err_code unlock(struct bind *b, struct err *err)
{
    b->undo.binding = false;
    const bool done = ext_settle_act(&b->undo, EXT_PROOF_NEVER);
    b->undo.since_ms = 0; /* there are writes to come */
    if (done)
        return ERR_OK;
    ext_settle_later(b->app->binds, &b->undo);
    b->undo.locks_n = 0; /* the settling thread's */
    return err_set(err, ERR_BUSY, "node " STR_FMT ": a lock could not be given back; try again",
                   STR_ARG(b->args.node));
}

/* Takes the locks that it does not have yet. ERR_BUSY with *ret_wait: somebody has one; to be tried
 * again when the node changes, or at lock_ask_ms. What was taken is in b->undo. */
static enum err_code take_locks(struct bind *b, bool *ret_wait, struct err *err)
{
    *ret_wait = false;
    while (b->undo.locks_n < b->locks_n) {
        struct ext_lock *lock = &b->undo.locks[b->undo.locks_n];
        enum err_code rc = ERR_BUSY;
        if (may_ask(b, lock)) {
            struct lease_lock_args args = lock_args(b, lock);
            rc = lease_lock_take(&args, lock->value, err);
            ext_wrote(b->app, &b->term);
            ask_later(b);
            /* An event that came meanwhile may have been its end: then none is to be expected. */
            b->lock_expected = rc == ERR_BUSY && !lock->time_only && !ext_turn_kicked(&b->turn);
            if (rc == ERR_CANCELLED)
                rc = ext_bind_too_late(b, err);
        } else {
            rc = err_set(err, ERR_BUSY, "node " STR_FMT " %s: node lock contention",
                         STR_ARG(b->args.node),
                         is_serving(b, lock) ? "hands out the cards of a pod that was bound before"
                                             : "is locked for another pod");
        }
        *ret_wait = rc == ERR_BUSY;
        if (!rc || rc == ERR_UNKNOWN) /* perhaps ours, now or later: to be released */
            b->undo.locks_n++;
        if (rc)
            return rc;
        if (is_serving(b, lock)) { /* it came and unlocked while we asked */
            rc = unlock(b, err);
            *ret_wait = !rc;
            return rc ? rc : err_set(err, ERR_BUSY, "node lock contention");
        }
    }
    return ERR_OK;
}

/* ---- the Binding ---- */

static enum err_code send(struct bind *b, struct err *err)
{
    for (int i = 0; i < CONFLICT_TRIES; i++) {
        enum err_code rc = ERR_OK;
        if (b->charged && b->reserved_keys)
            rc = ext_binding_clean(b, err);
        if (!rc)
            rc = ext_binding_post(b, err);
        if (rc != ERR_CONFLICT)
            return rc;
        struct cluster_pod live;
        struct err why = *err;
        rc = ext_pod_get(b->app, b->r->arena, b->args.ns, b->args.pod, &live, err);
        if (rc) /* the 409 was definite all the same */
            return rc == ERR_NOT_FOUND
                       ? rc
                       : err_set(err, ERR_BUSY, "%s; and the pod can't be read", why.text);
        if (!str_eq(live.uid, b->args.uid))
            return err_set(err, ERR_NOT_FOUND, "pod \"" STR_FMT "\" has another UID now",
                           STR_ARG(b->args.pod));
        if (live.node.n && str_eq(live.node, b->args.node)) /* our own earlier write; perhaps of a
                                                               process before this one */
            return cluster_adopt(b->app->store, &live, err)
                       ? err_prefix(err, ERR_UNKNOWN, "bound, and not charged")
                       : ERR_OK;
        if (live.node.n) /* by others; the books know now what the watch will say */
            err_ignore(cluster_adopt(b->app->store, &live, err));
        if (live.node.n || live.deleting || live.gated)
            return err_set(err, ERR_INVALID, "%s", why.text);
        b->resource_version = live.resource_version;
        b->reserved_keys = live.reserved_keys;
    }
    return err_set(err, ERR_BUSY, "pod \"" STR_FMT "\" kept changing; try again",
                   STR_ARG(b->args.pod));
}

/* Takes back what did not become a Binding, or what may have. The code to answer. */
static enum err_code undo(struct bind *b, enum err_code rc)
{
    b->undo.binding = true;
    enum ext_proof proof = rc == ERR_UNKNOWN && b->sent ? EXT_PROOF_NONE : EXT_PROOF_NEVER;
    for (int i = 0; proof == EXT_PROOF_NONE && i < FENCE_TRIES; i++) {
        if (i > 0 && (now_ms(b) >= b->turn.deadline_ms || b->undo.retry_after_ms > 0))
            break; /* nobody waits for the answer any more, or we are asked to wait */
        proof = ext_settle_fence(b->r->arena, &b->undo);
    }
    if (proof == EXT_PROOF_NONE || !ext_settle_act(&b->undo, proof))
        ext_settle_later(b->app->binds, &b->undo);
    if (proof == EXT_PROOF_NONE)
        ext_metrics_count(b->app->metrics, EXT_BIND_UNKNOWN, 1);
    return proof == EXT_PROOF_BOUND ? ERR_OK : rc;
}

/* ---- the end ---- */

static void answer(struct ext_answer *a, const char *error)
{
    a->status = 200; /* kube-scheduler reads bodies of 200 answers only */
    a->content_type = "application/json";
    buf_add(&a->body, STR("{\"Error\":"));
    buf_json(&a->body, str_z(error));
    buf_char(&a->body, '}');
}

static void report(struct bind *b, const struct err *result)
{
    struct ext_app *app = b->app;
    enum ext_counter counter = EXT_BIND_ERRORS;
    if (result->code == ERR_OK)
        counter = EXT_BIND_OK;
    else if (result->code == ERR_BUSY)
        counter = EXT_BIND_BUSY;
    else if (result->code == ERR_CONFLICT || result->code == ERR_INVALID)
        counter = EXT_BIND_CONFLICT;
    ext_metrics_count(app->metrics, counter, 1);
    struct buf text;
    buf_init(&text, 2048);
    if (result->code == ERR_OK)
        buf_fmt(&text, "Successfully binding node [" STR_FMT "] to " STR_FMT "/" STR_FMT,
                STR_ARG(b->args.node), STR_ARG(b->args.ns), STR_ARG(b->args.pod));
    else
        buf_add(&text, str_z(result->text));
    struct kube_event event = {.ns = b->args.ns,
                               .pod = b->args.pod,
                               .uid = b->args.uid,
                               .warning = result->code != ERR_OK,
                               .reason = result->code == ERR_OK ? STR("BindingSucceed")
                                                                : STR("BindingFailed"),
                               .message = {text.p, text.n}};
    if (b->pod && b->pod->wants != CLUSTER_WANTS_NOTHING &&
        result->code != ERR_BUSY) /* a busy node is told once, by kube-scheduler */
        kube_events_post(app->events, &event);
    log_info(2, "bind",
             "id=%llu pod=" STR_FMT "/" STR_FMT " uid=" STR_FMT " node=" STR_FMT
             " ms=%lld result=\"%s\"",
             (unsigned long long)b->r->id, STR_ARG(b->args.ns), STR_ARG(b->args.pod),
             STR_ARG(b->args.uid), STR_ARG(b->args.node), (long long)(now_ms(b) - b->r->started_ms),
             result->code ? result->text : "ok");
    buf_done(&text);
}

/* Nothing of the bind may be touched afterwards. */
static void finish(struct bind *b, const struct err *result)
{
    struct ext_request *r = b->r;
    report(b, result);
    answer(b->answer, result->code ? result->text : "");
    free(b->pod);
    ext_turn_leave(&b->turn, result);
    r->answered(r);
}

static void finish_undone(struct bind *b, struct err *result)
{
    copy_z(b->undo.resource_version, sizeof(b->undo.resource_version), b->resource_version);
    if (result->code && b->charged)
        result->code = undo(b, result->code);
    else if (b->charged)
        cluster_confirm(b->app->store, b->args.uid);
    finish(b, result);
}

/* ---- the steps, in order; each ends parked or with the next ---- */

static struct bind *bind_of(struct ext_turn *t)
{
    return (struct bind *)(void *)((char *)t - offsetof(struct bind, turn));
}

/* It was decided on arrival; is it right still? If not, the locks that it has go first: what is
 * decided anew may find no room. */
static enum err_code recheck(struct bind *b, struct err *err)
{
    char node[EXT_NAME_MAX];
    if (cluster_decision_stands(b->app->store, b->args.uid))
        return ERR_OK;
    enum err_code rc = b->undo.locks_n > 0 ? unlock(b, err) : ERR_OK;
    if (rc)
        return rc;
    if (cluster_pod_state(b->app->store, b->args.uid, node, sizeof(node)) !=
        CLUSTER_STATE_ASSUMED) {
        b->charged = false;
        return err_set(err, ERR_INVALID,
                       "pod \"" STR_FMT "\" was bound by others, ended or was deleted while it "
                       "waited for its turn",
                       STR_ARG(b->args.pod));
    }
    cluster_forget(b->app->store, b->args.uid);
    b->charged = false;
    return decide(b, err);
}

static void step_send(struct bind *b)
{
    struct err err = {0};
    err.code = send(b, &err);
    finish_undone(b, &err);
}

static void step_lock(struct ext_turn *t)
{
    struct bind *b = bind_of(t);
    struct err err = {0};
    bool wait = !ext_turn_mine(t);
    if (!wait && !t->on_worker) {
        ext_turn_go_on(t);
        return;
    }
    if (wait)
        err_ignore(err_set(&err, ERR_BUSY,
                           "node " STR_FMT
                           ": other pods are bound there first: node lock contention",
                           STR_ARG(b->args.node)));
    else
        err.code = recheck(b, &err);
    if (!wait && !err.code)
        err.code = take_locks(b, &wait, &err);
    if (wait && now_ms(b) < t->deadline_ms && !ext_turn_cancelled(t) &&
        !atomic_load(&b->app->stopping)) {
        ext_turn_park(t, b->lock_ask_ms > now_ms(b) ? b->lock_ask_ms : t->deadline_ms);
        return;
    }
    if (err.code == ERR_BUSY && ext_turn_cancelled(t))
        err_ignore(ext_bind_too_late(b, &err));
    if (err.code)
        finish_undone(b, &err);
    else
        step_send(b);
}

static void step_unlocked(struct ext_turn *t)
{
    struct bind *b = bind_of(t);
    struct err err = {0};
    if (b->charged)
        err.code = recheck(b, &err);
    if (err.code)
        finish_undone(b, &err);
    else
        step_send(b);
}

/* What comes next may wait for the API server. */
static void go_on(struct bind *b, void (*step)(struct ext_turn *t))
{
    b->turn.go = step;
    if (b->turn.on_worker)
        step(&b->turn);
    else
        ext_turn_go_on(&b->turn);
}

static void go_on_here(struct bind *b, void (*step)(struct ext_turn *t))
{
    b->turn.go = step;
    step(&b->turn);
}

static void step_lead(struct ext_turn *t);

static void step_decide(struct ext_turn *t)
{
    struct bind *b = bind_of(t);
    struct err err = {0};
    b->pod = known_pod(b);
    if (!b->pod && !t->on_worker) {
        go_on(b, step_decide);
        return;
    }
    if (!b->pod)
        err.code = live_pod(b, &err);
    const struct cluster_pod *pod = b->pod;
    assert(pod || err.code);
    if (pod) {
        b->resource_version = pod->resource_version;
        b->reserved_keys = pod->reserved_keys;
    }
    if (pod && pod->node.n && !str_eq(pod->node, b->args.node))
        err_ignore(err_set(&err, ERR_INVALID, "pod is bound to node \"" STR_FMT "\" already",
                           STR_ARG(pod->node)));
    else if (pod && !pod->node.n && pod->wants == CLUSTER_WANTS_REFUSED)
        err_ignore(err_set(&err, ERR_INVALID, "%s: " STR_FMT,
                           score_reason_code(pod->refused_reason), STR_ARG(pod->refused_text)));
    if (err.code || pod->node.n) {
        finish(b, &err);
        return;
    }
    if (pod->wants == CLUSTER_WANTS_CARDS) {
        err.code = decide(b, &err);
        if (!err.code)
            err.code = list_locks(b, &err);
        if (!err.code && b->locks_n > 0) /* at once: filter goes by the queue's length */
            (void)ext_turn_mine(t);
    }
    b->decided = true;
    if (err.code)
        finish_undone(b, &err);
    else
        go_on_here(b, step_lead);
}

/* A new leader waits for the last one's writes as for a turn: decided, so that nobody else is told
 * of that room meanwhile. */
static void step_lead(struct ext_turn *t)
{
    struct bind *b = bind_of(t);
    struct err err = {0};
    int64_t again_ms = 0;
    if (!t->on_worker &&
        !ext_leading(b->app)) { /* a live look at the Lease goes before a refusal */
        go_on(b, step_lead);
        return;
    }
    err.code = ext_term_enter(b->app, t->deadline_ms, &b->term, &again_ms, &err);
    const bool wait = err.code && again_ms && !atomic_load(&b->app->stopping);
    if (err.code && !wait)
        finish_undone(b, &err);
    else if (!b->decided)
        go_on_here(b, step_decide);
    else if (wait)
        ext_turn_park(t, again_ms);
    else if (b->locks_n > 0)
        go_on_here(b, step_lock);
    else
        go_on(b, step_unlocked);
}

/* What is known of the pod already. */
static void step_known(struct bind *b)
{
    struct ext_app *app = b->app;
    struct err err = {0};
    char charged_on[EXT_NAME_MAX];
    enum cluster_state state =
        cluster_pod_state(app->store, b->args.uid, charged_on, sizeof(charged_on));
    if (state == CLUSTER_STATE_BOUND && str_eq(str_z(charged_on), b->args.node)) {
        finish(b, &err); /* the answer to an earlier call was lost */
        return;
    }
    if (state == CLUSTER_STATE_BOUND)
        err_ignore(err_set(&err, ERR_INVALID, "pod is bound to node \"%s\" already", charged_on));
    else if (state == CLUSTER_STATE_ASSUMED)
        err_ignore(
            err_set(&err, ERR_BUSY,
                    "the outcome of an earlier bind to node \"%s\" is not known yet; try again",
                    charged_on));
    else if (ext_settle_is(app->binds, b->args.ns, b->args.pod, b->args.node))
        /* a lock of ours of the same second has the same value, and would be released for its */
        err_ignore(err_set(&err, ERR_BUSY,
                           "an earlier bind to node \"" STR_FMT "\" is not settled yet; try again",
                           STR_ARG(b->args.node)));
    if (err.code) {
        finish(b, &err);
        return;
    }
    go_on_here(b, step_lead);
}

static void step_enter(struct ext_turn *t)
{
    struct bind *b = bind_of(t);
    struct ext_request *r = b->r;
    struct err err = {0};
    switch (ext_turn_enter(b->app->turns, t, &err)) {
    case EXT_ENTERED:
        step_known(b);
        return;
    case EXT_BEHIND:
        return; /* parked; it may run already */
    case EXT_JOINED:
        ext_metrics_count(b->app->metrics, EXT_BIND_JOINED, 1);
        break;
    case EXT_LATE:
        err_ignore(
            err_set(&err, ERR_BUSY, "another bind of a pod of this name is under way; try again"));
        break;
    }
    answer(b->answer, err.code ? err.text : "");
    r->answered(r);
}

/* ---- the handler ---- */

static enum err_code read_args(struct bind *b, struct err *err)
{
    enum err_code rc = ext_wire_bind_args(b->r->body, b->r->arena, &b->args, err);
    if (rc)
        return rc;
    if (b->args.pod.n >= EXT_NAME_MAX || b->args.ns.n >= EXT_NAME_MAX ||
        b->args.uid.n >= EXT_NAME_MAX || b->args.node.n >= EXT_NAME_MAX)
        return err_set(err, ERR_BAD_REQUEST,
                       "binding args: a name is longer than Kubernetes allows");
    if (!ext_ready(b->app))
        return err_set(err, ERR_UNAVAILABLE,
                       "not ready: nodes, pods or quotas of the cluster are not read yet");
    return ERR_OK;
}

void ext_bind(struct ext_request *r, struct ext_answer *a)
{
    struct ext_app *app = r->app;
    struct err err = {0};
    struct bind *b = arena_alloc(r->arena, sizeof(*b));
    if (!b) {
        answer(a, "bind: out of request memory");
        r->answered(r);
        return;
    }
    *b = (struct bind){.app = app, .r = r, .answer = a};
    if (read_args(b, &err)) {
        answer(a, err.text);
        r->answered(r);
        return;
    }
    b->undo.app = app;
    copy_z(b->undo.ns, sizeof(b->undo.ns), b->args.ns);
    copy_z(b->undo.name, sizeof(b->undo.name), b->args.pod);
    copy_z(b->undo.uid, sizeof(b->undo.uid), b->args.uid);
    copy_z(b->undo.node, sizeof(b->undo.node), b->args.node);
    copy_z(b->turn.ns, sizeof(b->turn.ns), b->args.ns);
    copy_z(b->turn.name, sizeof(b->turn.name), b->args.pod);
    copy_z(b->turn.uid, sizeof(b->turn.uid), b->args.uid);
    copy_z(b->turn.node, sizeof(b->turn.node), b->args.node);
    b->turn.deadline_ms = r->started_ms + app->config.bind_timeout_ms;
    b->turn.go = step_enter;
    step_enter(&b->turn);
}
