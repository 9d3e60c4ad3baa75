/* What is true in the model's cluster: rebuilt from API objects by code of its own, and the
 * invariants (docs/design/ledger.md 1 says what counts and what frees; contract/node-side.md 2.3
 * how lists are written). */
#include "model/world.h"

#include "kubeclient/priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct t_node t_nodes[NODES_MAX];
struct t_pod t_pods[PODS_MAX];
struct t_space t_spaces[SPACES];

/* ---- looking things up ---- */

struct t_node *truth_node(const char *name)
{
    for (int i = 0; i < NODES_MAX; i++)
        if (strcmp(t_nodes[i].name, name) == 0)
            return &t_nodes[i];
    return NULL;
}

struct t_pod *truth_pod(const char *uid)
{
    for (int i = 0; i < PODS_MAX; i++)
        if (t_pods[i].used && strcmp(t_pods[i].uid, uid) == 0)
            return &t_pods[i];
    return NULL;
}

struct t_pod *truth_pod_named(const char *ns, const char *name)
{
    for (int i = 0; i < PODS_MAX; i++)
        if (t_pods[i].used && t_pods[i].there && strcmp(t_pods[i].name, name) == 0 &&
            strcmp(t_pods[i].ns, ns) == 0)
            return &t_pods[i];
    return NULL;
}

static struct t_space *space_of(const char *ns)
{
    for (int i = 0; i < SPACES; i++)
        if (strcmp(t_spaces[i].name, ns) == 0)
            return &t_spaces[i];
    return NULL;
}

static void copy(char *to, size_t max, const char *from)
{
    (void)snprintf(to, max, "%s", from ? from : "");
}

static const json_t *at(const json_t *o, const char *a, const char *b)
{
    return json_object_get(json_object_get(o, a), b);
}

static uint64_t last_rv; /* a deletion has a later one */

static uint64_t version_of(const json_t *o)
{
    const char *text = json_string_value(at(o, "metadata", "resourceVersion"));
    uint64_t rv = text ? strtoull(text, NULL, 10) : last_rv + 1;
    last_rv = rv > last_rv ? rv : last_rv;
    return rv;
}

/* ---- nodes ---- */

static void read_cards(struct t_node *n, const char *text)
{
    json_auto_t *list = json_loads(text ? text : "[]", 0, NULL);
    size_t i;
    json_t *c;
    n->cards_n = 0;
    json_array_foreach(list, i, c)
    {
        struct t_card *card = &n->cards[n->cards_n++];
        copy(card->uuid, sizeof(card->uuid), json_string_value(json_object_get(c, "id")));
        card->count = (int)json_integer_value(json_object_get(c, "count"));
        card->cores = (int)json_integer_value(json_object_get(c, "devcore"));
        card->mem = json_integer_value(json_object_get(c, "devmem"));
        card->healthy = json_is_true(json_object_get(c, "health"));
    }
}

static void read_lock(struct t_node *n, const char *text)
{
    n->lock_lost = n->lock_lost && text && strcmp(text, n->lock) == 0;
    copy(n->lock, sizeof(n->lock), text);
    n->lock_ns[0] = n->lock_pod[0] = '\0';
    const char *first = text ? strchr(text, ',') : NULL,
               *second = first ? strchr(first + 1, ',') : NULL;
    if (!second)
        return;
    (void)snprintf(n->lock_ns, sizeof(n->lock_ns), "%.*s", (int)(second - first - 1), first + 1);
    copy(n->lock_pod, sizeof(n->lock_pod), second + 1);
}

static const struct t_card *card_of(const struct t_node *n, const char *uuid)
{
    for (int i = 0; i < n->cards_n; i++)
        if (strcmp(n->cards[i].uuid, uuid) == 0)
            return &n->cards[i];
    return NULL;
}

/* Whether somebody who saw `was` may give what `is` has not. */
static bool is_worse(const struct t_node *was, const struct t_node *is)
{
    if (was->there && (!is->there || (was->alive && !is->alive)))
        return true;
    for (int i = 0; i < was->cards_n; i++) {
        const struct t_card *a = &was->cards[i], *b = card_of(is, a->uuid);
        if (!b || b->count < a->count || b->mem < a->mem || b->cores < a->cores ||
            b->healthy < a->healthy)
            return true;
    }
    return false;
}

static void shake(struct t_node *n, uint64_t node_rv, uint64_t pod_rv)
{
    n->shaky = true;
    n->shaky_heard = false;
    if (node_rv)
        n->shaky_node_rv = node_rv;
    if (pod_rv)
        n->shaky_pod_rv = pod_rv;
}

static void saw_node(const char *name, const json_t *o, const struct wire *by)
{
    struct t_node *n = truth_node(name);
    if (!n)
        return;
    struct t_node was = *n;
    const json_t *notes = at(o, "metadata", "annotations");
    n->there = o != NULL;
    const char *gpus =
        json_string_value(json_object_get(at(o, "status", "allocatable"), maker->count));
    n->alive = gpus && strcmp(gpus, "0") != 0;
    read_cards(n, json_string_value(json_object_get(notes, maker->reg)));
    read_lock(n, json_string_value(json_object_get(notes, maker->lock)));
    uint64_t rv = version_of(o);
    if (is_worse(&was, n))
        shake(n, rv, 0);
    if (strcmp(was.lock, n->lock) == 0)
        return;
    if (by && by != instances[by->instance].wire) /* of a process that was killed */
        n->lock_lost = true;
    tell("lock of %s: \"%s\"", name, n->lock);
}

/* ---- pods ---- */

static void read_asks(struct t_pod *p, const json_t *containers, bool init)
{
    size_t i;
    json_t *c;
    json_array_foreach(containers, i, c)
    {
        const json_t *limits = at(c, "resources", "limits");
        const char *const key[] = {maker->count, maker->memory, maker->cores, maker->percent};
        int64_t v[4];
        for (int k = 0; k < 4; k++) {
            const char *text = key[k] ? json_string_value(json_object_get(limits, key[k])) : NULL;
            v[k] = text ? strtoll(text, NULL, 10) : 0;
        }
        p->asks[p->containers_n++] = (struct t_ask){.init = init,
                                                    .n = (int)v[0],
                                                    .mem = maker_size(v[1]),
                                                    .cores = (int)v[2],
                                                    .mem_pct = (int)v[3]};
    }
}

/* "uuid,type,mem,cores:…;…;": a slot for each container. */
static bool read_list(struct t_pod *p, const char *text)
{
    char buf[2048], *slot_end = NULL, *one_end = NULL;
    copy(buf, sizeof(buf), text);
    p->shares_n = 0;
    int container = 0;
    for (char *slot = buf; *slot; slot = slot_end + 1, container++) {
        slot_end = strchr(slot, ';');
        if (!slot_end)
            return false;
        *slot_end = '\0';
        for (char *one = strtok_r(slot, ":", &one_end); one; one = strtok_r(NULL, ":", &one_end)) {
            char uuid[NAME_MAX_], key[NAME_MAX_];
            long long mem;
            int cores;
            if (sscanf(one, "%63[^,],%63[^,],%lld,%d", uuid, key, &mem, &cores) != 4 ||
                strcmp(key, maker->key) != 0 || p->shares_n == SHARES_MAX)
                return false;
            struct t_share *s = &p->shares[p->shares_n++];
            *s = (struct t_share){.container = container, .mem = mem, .cores = cores};
            copy(s->uuid, sizeof(s->uuid), uuid);
        }
    }
    return container == p->containers_n;
}

/* What cardinald wrote is what was asked for, on cards that the node has or had. */
static void check_shares(const struct t_pod *p, const struct t_node *n)
{
    for (int c = 0; c < p->containers_n; c++) {
        const struct t_ask *ask = &p->asks[c];
        int got = 0;
        for (int i = 0; i < p->shares_n; i++) {
            const struct t_share *s = &p->shares[i];
            if (s->container != c)
                continue;
            got++;
            for (int k = 0; k < i; k++)
                if (p->shares[k].container == c && strcmp(p->shares[k].uuid, s->uuid) == 0)
                    broken("a card twice", "%s has %s twice in one container", p->name, s->uuid);
            const struct t_card *card = card_of(n, s->uuid);
            if (!card && !n->shaky)
                broken("a card that is not there", "%s was given %s of %s", p->name, s->uuid,
                       n->name);
            if (s->cores != ask->cores || (ask->mem && s->mem != ask->mem) ||
                (ask->mem_pct && card && !n->shaky && s->mem != card->mem * ask->mem_pct / 100))
                broken("an amount that was not asked for", "%s: %lld MiB and %d", p->name,
                       (long long)s->mem, s->cores);
        }
        if (got != ask->n)
            broken("a number that was not asked for", "%s: %d cards for %d", p->name, got, ask->n);
    }
}

static struct t_use use_of(const struct t_pod *p, const char *uuid)
{
    struct t_use app = {0}, most = {0};
    for (int pass = 0; pass < 2; pass++)
        for (int c = 0; c < p->containers_n; c++) {
            struct t_use one = {0};
            for (int i = 0; i < p->shares_n; i++)
                if (p->shares[i].container == c && strcmp(p->shares[i].uuid, uuid) == 0) {
                    one.shares++;
                    one.mem += p->shares[i].mem;
                    one.cores += p->shares[i].cores;
                }
            if (p->asks[c].init && pass == 0) { /* one after the other, before the apps */
                most.shares = one.shares > most.shares ? one.shares : most.shares;
                most.mem = one.mem > most.mem ? one.mem : most.mem;
                most.cores = one.cores > most.cores ? one.cores : most.cores;
            } else if (!p->asks[c].init && pass == 1) {
                app.shares += one.shares;
                app.mem += one.mem;
                app.cores += one.cores;
            }
        }
    return (struct t_use){.shares = app.shares > most.shares ? app.shares : most.shares,
                          .mem = app.mem > most.mem ? app.mem : most.mem,
                          .cores = app.cores > most.cores ? app.cores : most.cores};
}

struct t_use truth_use(const struct t_node *node, const char *uuid, const struct wire *known_to)
{
    struct t_use sum = {0};
    for (int i = 0; i < PODS_MAX; i++) {
        const struct t_pod *p = &t_pods[i];
        if (!p->used || p->ended || !p->node[0] || strcmp(p->node, node->name) != 0)
            continue;
        if (known_to && p->by != known_to && known_to->seen[KUBE_POD] < p->bound_rv)
            continue;
        struct t_use one = use_of(p, uuid);
        sum.shares += one.shares;
        sum.mem += one.mem;
        sum.cores += one.cores;
    }
    return sum;
}

static void quota_use(const char *ns, int64_t *ret_mem, int64_t *ret_cores)
{
    *ret_mem = *ret_cores = 0;
    for (int i = 0; i < PODS_MAX; i++) {
        const struct t_pod *p = &t_pods[i];
        if (!p->used || p->ended || !p->node[0] || strcmp(p->ns, ns) != 0)
            continue;
        for (int s = 0; s < p->shares_n; s++) {
            bool before = false; /* each card once: use_of() sums it */
            for (int k = 0; k < s; k++)
                before |= strcmp(p->shares[k].uuid, p->shares[s].uuid) == 0;
            struct t_use one = before ? (struct t_use){0} : use_of(p, p->shares[s].uuid);
            *ret_mem += one.mem;
            *ret_cores += one.cores;
        }
    }
}

/* A lock that names nobody is for one pod at a time: from its Binding until its plugin is there. */
static void check_alone(const struct t_pod *p, const struct t_node *n)
{
    if (!n->lock[0])
        broken("bound without the lock", "%s on %s", p->name, n->name);
    for (int i = 0; i < PODS_MAX; i++) {
        const struct t_pod *q = &t_pods[i];
        if (q != p && q->used && q->by && !q->ended && !q->admitted &&
            strcmp(q->node, n->name) == 0)
            broken("two under one lock", "%s on %s, and %s waits there", p->name, n->name, q->name);
    }
}

/* The Binding of a cardinald has just landed. */
static void check_landing(const struct t_pod *p)
{
    const struct t_node *n = truth_node(p->node);
    check_shares(p, n);
    if (maker->habit == LOCK_TIME)
        check_alone(p, n);
    for (int i = 0; i < p->shares_n && !n->shaky; i++) {
        const char *uuid = p->shares[i].uuid;
        const struct t_card *card = card_of(n, uuid);
        struct t_use use = truth_use(n, uuid, NULL);
        if (card && (use.shares > card->count || use.mem > card->mem || use.cores > card->cores))
            broken("a card over its total",
                   "%s on %s: %d of %d shares, %lld of %lld MiB, %d of %d%%", uuid, n->name,
                   use.shares, card->count, (long long)use.mem, (long long)card->mem, use.cores,
                   card->cores);
        if (card && card->cores == 100)
            for (int c = 0; c < p->containers_n; c++)
                if (p->shares[i].container == c && p->asks[c].cores == 100 &&
                    use.shares > use_of(p, uuid).shares)
                    broken("an exclusive card shared", "%s on %s", uuid, n->name);
    }
    const struct t_space *space = space_of(p->ns);
    int64_t mem, cores;
    quota_use(p->ns, &mem, &cores);
    if (space && !space->shaky &&
        ((space->mem_limit >= 0 && mem > space->mem_limit) ||
         (space->cores_limit >= 0 && cores > space->cores_limit)))
        broken("a quota exceeded", "%s: %lld of %lld MiB, %lld of %lld%%", p->ns, (long long)mem,
               (long long)space->mem_limit, (long long)cores, (long long)space->cores_limit);
}

static bool all_terminated(const json_t *o, const char *key, size_t want)
{
    const json_t *list = at(o, "status", key);
    size_t i, n = 0;
    json_t *c;
    json_array_foreach(list, i, c) n +=
        json_is_object(json_object_get(json_object_get(c, "state"), "terminated"));
    return n >= want;
}

static struct t_pod *new_pod(const char *ns, const char *name, const char *uid, const json_t *o)
{
    struct t_pod *oldest = NULL;
    for (int i = 0; i < PODS_MAX; i++) {
        struct t_pod *p = &t_pods[i];
        if (!p->used) {
            oldest = p;
            break;
        }
        if (!p->there && (!oldest || p->rv < oldest->rv)) /* gone ones are remembered for a while */
            oldest = p;
    }
    *oldest = (struct t_pod){.used = true};
    copy(oldest->ns, sizeof(oldest->ns), ns);
    copy(oldest->name, sizeof(oldest->name), name);
    copy(oldest->uid, sizeof(oldest->uid), uid);
    read_asks(oldest, at(o, "spec", "initContainers"), true);
    read_asks(oldest, at(o, "spec", "containers"), false);
    return oldest;
}

static void saw_gone(const char *ns, const char *name)
{
    struct t_pod *p = truth_pod_named(ns, name);
    if (!p)
        return;
    bool frees = p->node[0] && !p->ended;
    p->there = false;
    p->ended = true;
    scheduler_heard(KUBE_POD, p, frees);
}

static void saw_pod(const char *ns, const char *name, const json_t *o, const struct wire *by,
                    enum kube_verb verb)
{
    const char *uid = json_string_value(at(o, "metadata", "uid"));
    if (!uid) {
        saw_gone(ns, name);
        return;
    }
    struct t_pod *p = truth_pod(uid);
    if (!p)
        p = new_pod(ns, name, uid, o);
    p->there = true;
    p->rv = version_of(o);
    const char *node = json_string_value(at(o, "spec", "nodeName")),
               *phase = json_string_value(at(o, "status", "phase"));
    size_t inits = json_array_size(at(o, "spec", "initContainers")),
           apps = json_array_size(at(o, "spec", "containers"));
    p->deleting = json_string_value(at(o, "metadata", "deletionTimestamp")) != NULL;
    p->terminated = all_terminated(o, "initContainerStatuses", inits) &&
                    all_terminated(o, "containerStatuses", apps);
    bool ended = phase && (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0);
    ended |= p->deleting && p->terminated;
    bool frees = ended && !p->ended && p->node[0];
    p->ended = ended;
    p->admitted |= phase && strcmp(phase, "Pending") != 0;
    const char *served =
        json_string_value(json_object_get(at(o, "metadata", "annotations"), "hami.io/bind-phase"));
    if (by && verb == KUBE_PATCH && p->node[0] && !p->foreign && !p->admitted && served &&
        strcmp(served, "allocating") == 0)
        broken("a write while its plugin works", "%s (contract/node-side.md 14)", name);
    if (node && !p->node[0]) {
        copy(p->node, sizeof(p->node), node);
        p->bound_rv = p->rv;
        p->by = by;
        const char *list =
            json_string_value(json_object_get(at(o, "metadata", "annotations"), maker->allocated));
        if (!read_list(p, list ? list : ""))
            broken("a list that can't be read", "%s: %s", name, list ? list : "(none)");
        tell("bound %s to %s: %s", name, node, list ? list : "");
        p->foreign = verb != KUBE_BIND;
        struct t_node *n = truth_node(node);
        if (!p->foreign) {
            bound_n++;
            check_landing(p);
        } else if (n) {
            shake(n, 0, p->rv);
        }
    }
    scheduler_heard(KUBE_POD, p, frees);
}

/* ---- quotas ---- */

static void saw_quota(const char *ns, const json_t *o)
{
    struct t_space *s = space_of(ns);
    if (!s)
        return;
    struct t_space was = *s;
    const json_t *hard = at(o, "spec", "hard");
    char key[2][NAME_MAX_];
    (void)snprintf(key[0], NAME_MAX_, "limits.%s", maker->memory);
    (void)snprintf(key[1], NAME_MAX_, "limits.%s", maker->cores ? maker->cores : "");
    const char *mem = json_string_value(json_object_get(hard, key[0]));
    const char *cores = json_string_value(json_object_get(hard, key[1]));
    s->mem_limit = mem ? strtoll(mem, NULL, 10) : -1;
    s->cores_limit = cores ? strtoll(cores, NULL, 10) : -1;
    bool lower = (s->mem_limit >= 0 && (was.mem_limit < 0 || s->mem_limit < was.mem_limit)) ||
                 (s->cores_limit >= 0 && (was.cores_limit < 0 || s->cores_limit < was.cores_limit));
    if (lower) {
        s->shaky = true;
        s->shaky_heard = false;
        s->shaky_rv = version_of(o);
    }
}

void truth_saw(enum kube_kind kind, const char *ns, const char *name, const struct wire *by,
               enum kube_verb verb)
{
    if (kind != KUBE_NODE && kind != KUBE_POD && kind != KUBE_QUOTA)
        return;
    json_auto_t *o = api_get(kind, ns, name);
    if (kind == KUBE_NODE) {
        saw_node(name, o, by);
        scheduler_heard(KUBE_NODE, NULL, false);
    } else if (kind == KUBE_POD) {
        saw_pod(ns, name, o, by, verb);
    } else {
        saw_quota(ns, o);
    }
}

/* ---- does it fit ---- */

/* Cards that take what all containers with an ask want together, as many as the largest of them
 * wants: then it fits whichever way cards are picked. Exclusive asks want a card that nobody uses.
 */
bool truth_fits(const struct t_pod *pod, const struct t_node *n)
{
    int want = 0, cores = 0, cards = 0, good = 0, asks = 0, least = 101;
    int64_t mem = 0, left_mem = INT64_MAX, left_cores = INT64_MAX;
    if (!n->there || !n->alive || n->shaky)
        return false;
    for (int c = 0; c < pod->containers_n; c++) {
        const struct t_ask *a = &pod->asks[c];
        asks += a->n > 0;
        want = a->n > want ? a->n : want;
        cards += a->n;
        cores += a->n ? a->cores : 0;
        least = a->n && a->cores < least ? a->cores : least;
    }
    const struct t_space *s = space_of(pod->ns);
    if (s) {
        quota_use(pod->ns, &mem, &left_cores);
        left_mem = s->mem_limit >= 0 ? s->mem_limit - mem : INT64_MAX;
        left_cores = s->cores_limit >= 0 ? s->cores_limit - left_cores : INT64_MAX;
    }
    int64_t quota_mem = 0, quota_cores = (int64_t)cards * cores;
    for (int i = 0; i < n->cards_n; i++) {
        const struct t_card *card = &n->cards[i];
        const struct t_use use = truth_use(n, card->uuid, NULL);
        mem = 0;
        for (int c = 0; c < pod->containers_n; c++)
            if (pod->asks[c].n)
                mem += pod->asks[c].mem_pct ? card->mem * pod->asks[c].mem_pct / 100
                                            : pod->asks[c].mem;
        quota_mem = mem * cards > quota_mem ? mem * cards : quota_mem;
        bool over = use.mem > card->mem || use.cores > card->cores || use.shares > card->count;
        bool exclusive = cores >= 100 && use.shares > 0;
        bool idle = least == 0 && use.cores + cores >= card->cores; /* none left to share */
        good += card->healthy && !over && !exclusive && !idle && use.shares + asks <= card->count &&
                use.mem + mem <= card->mem && use.cores + cores <= card->cores;
    }
    return good >= want && quota_mem <= left_mem && quota_cores <= left_cores;
}

/* ---- invariants ---- */

/* Everybody has heard, and what was begun before that is over. */
static bool is_over(bool heard_by_all, bool *heard, uint64_t *call)
{
    if (!heard_by_all)
        return false;
    if (!*heard) {
        *heard = true;
        *call = scheduler_calls();
    }
    return scheduler_oldest() >= *call && api_late() == 0;
}

static void calm_down(void)
{
    for (int i = 0; i < NODES_MAX; i++) {
        struct t_node *n = &t_nodes[i];
        bool heard = n->shaky;
        for (unsigned k = 0; n->shaky && k < options.instances; k++) {
            const struct instance *in = &instances[k];
            heard &= instance_ready((int)k) && in->wire->seen[KUBE_NODE] >= n->shaky_node_rv &&
                     in->wire->seen[KUBE_POD] >= n->shaky_pod_rv;
        }
        if (n->shaky && is_over(heard, &n->shaky_heard, &n->shaky_call))
            n->shaky = false;
    }
    for (int i = 0; i < SPACES; i++) {
        struct t_space *s = &t_spaces[i];
        bool heard = s->shaky;
        for (unsigned k = 0; s->shaky && k < options.instances; k++)
            heard &= instance_ready((int)k) && instances[k].wire->seen[KUBE_QUOTA] >= s->shaky_rv;
        if (s->shaky && is_over(heard, &s->shaky_heard, &s->shaky_call))
            s->shaky = false;
    }
}

static bool
was_there(const struct t_node *n) /* a pod of the lock's name that was bound here, and is no more */
{
    for (int i = 0; i < PODS_MAX; i++)
        if (t_pods[i].used && t_pods[i].ended && strcmp(t_pods[i].node, n->name) == 0 &&
            strcmp(t_pods[i].name, n->lock_pod) == 0 && strcmp(t_pods[i].ns, n->lock_ns) == 0)
            return true;
    return false;
}

static void check_lock(struct t_node *n)
{
    if (!n->lock[0] || n->lock_lost || maker->habit == LOCK_TIME) /* that one names nobody */
        return;
    for (int i = 0; i < PODS_MAX; i++)
        if (t_pods[i].used && !t_pods[i].ended && strcmp(t_pods[i].node, n->name) == 0 &&
            strcmp(t_pods[i].name, n->lock_pod) == 0 && strcmp(t_pods[i].ns, n->lock_ns) == 0)
            return;
    if (scheduler_in_flight(n->lock_ns, n->lock_pod, n->name) || api_late_of("", n->name) ||
        api_late_of(n->lock_ns, n->lock_pod))
        return;
    if (was_there(n)) { /* the plugin was too late for it; whoever comes next replaces it */
        n->lock_lost = true;
        return;
    }
    for (unsigned k = 0; k < options.instances; k++)
        if (instances[k].stopping ||
            (instances[k].running && ext_binds_unsettled(instances[k].app.binds) > 0))
            return;
    broken("a lock without an owner", "%s: %s", n->name, n->lock);
}

static void check_books(const struct instance *in, bool exactly)
{
    struct cluster_snapshot *snap = cluster_store_snapshot(in->app.store);
    for (int i = 0; i < NODES_MAX; i++) {
        const struct t_node *n = &t_nodes[i];
        const struct cluster_node *node =
            n->name[0] ? cluster_snapshot_find(snap, str_z(n->name)) : NULL;
        if (exactly && n->there && n->cards_n && n->alive &&
            (!node || node->score.devices_n != n->cards_n))
            broken("books of other cards", "%s has %d cards, the books %d", n->name, n->cards_n,
                   node ? node->score.devices_n : 0);
        for (uint16_t d = 0; node && d < node->score.devices_n; d++) {
            const struct score_device *dev = &node->score.devices[d];
            char uuid[NAME_MAX_];
            (void)snprintf(uuid, sizeof(uuid), STR_FMT, STR_ARG(dev->uuid));
            const struct t_use use = truth_use(n, uuid, exactly ? NULL : in->wire);
            bool below = dev->shares_used < use.shares || dev->mem_used_mib < use.mem ||
                         dev->cores_used_pct < use.cores;
            bool above = dev->shares_used > use.shares || dev->mem_used_mib > use.mem ||
                         dev->cores_used_pct > use.cores;
            if (below || (exactly && above && n->there))
                broken(below ? "books below the truth" : "books above the truth",
                       "%d: %s on %s: books %d shares %lld MiB %d%%, truth %d %lld %d",
                       in->wire->instance, uuid, n->name, dev->shares_used,
                       (long long)dev->mem_used_mib, dev->cores_used_pct, use.shares,
                       (long long)use.mem, use.cores);
        }
    }
    cluster_snapshot_unref(snap);
}

void truth_check(void)
{
    calm_down();
    for (unsigned k = 0; k < options.instances; k++)
        if (instance_ready((int)k))
            check_books(&instances[k], false);
    for (int i = 0; i < NODES_MAX; i++)
        if (t_nodes[i].there)
            check_lock(&t_nodes[i]);
}

static void check_placed(void)
{
    for (int i = 0; i < PODS_MAX; i++) {
        const struct t_pod *p = &t_pods[i];
        if (!p->used || !p->there || p->ended || p->deleting || p->node[0])
            continue;
        for (int k = 0; k < NODES_MAX; k++)
            if (t_nodes[k].name[0] && truth_fits(p, &t_nodes[k])) {
                broken("a pod that fits waits", "%s fits on %s", p->name, t_nodes[k].name);
                return;
            }
    }
}

void truth_check_quiet(void)
{
    truth_check();
    for (unsigned k = 0; k < options.instances && !is_broken(); k++) {
        const struct instance *in = &instances[k];
        struct cluster_stats stats;
        if (!instance_ready((int)k)) {
            broken("never ready", "instance %u", k);
            return;
        }
        check_books(in, true);
        cluster_store_stats(in->app.store, &stats);
        if (stats.repairs || cluster_store_verify(in->app.store))
            broken("books repaired", "%llu", (unsigned long long)stats.repairs);
        if (stats.assumed || ext_binds_unsettled(in->app.binds))
            broken("a bind that never ends", "%llu assumed, %zu unsettled",
                   (unsigned long long)stats.assumed, ext_binds_unsettled(in->app.binds));
    }
    if (scheduler_oldest() != UINT64_MAX)
        broken("a bind that never ends", "call %llu", (unsigned long long)scheduler_oldest());
    for (int i = 0; i < NODES_MAX; i++)
        if (t_nodes[i].there && t_nodes[i].lock[0] && !t_nodes[i].lock_lost &&
            maker->habit == LOCK_OWNED)
            broken("a lock that stays", "%s: %s", t_nodes[i].name, t_nodes[i].lock);
    check_placed();
}
