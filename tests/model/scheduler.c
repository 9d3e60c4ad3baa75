/* kube-scheduler in miniature (contract/kubernetes.md 1): one scheduling cycle after the other,
 * binds beside them, pods that were refused wait until something that it knows of happens, errors
 * back off. It hears of writes at once, before any cardinald does, but may hold an older copy of a
 * pod. With two pairs the one that holds the Lease schedules. */
#include "model/world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ENTRIES_MAX = 256,
    CALLS_MAX = 512,
    GIVE_UP_MS = 10000,
    BACKOFF_MAX_MS = 10000,
    WRITE_MS = 2000
};
enum state { FREE, ACTIVE, ASKING, BACKOFF, UNSCHEDULABLE, BINDING };

struct entry {
    enum state state;
    char ns[NAME_MAX_], name[NAME_MAX_], uid[NAME_MAX_];
    json_t *seen; /* the copy that its cache has */
    int64_t until_ms, back_ms;
    uint64_t call; /* the bind that it waits for */
    bool moved;    /* something happened while it was being asked about */
};
struct call { /* a bind on its way, also when nobody waits for it any more */
    bool used;
    int instance;
    uint64_t number;
    char ns[NAME_MAX_], name[NAME_MAX_], uid[NAME_MAX_], node[NAME_MAX_];
};
struct sched {
    int instance;
    bool leads;
    struct entry *asking;
    struct entry v[ENTRIES_MAX];
};

static struct sched scheds[INSTANCES_MAX];
static struct call calls[CALLS_MAX];
static uint64_t calls_n;

/* ---- what is under way ---- */

uint64_t scheduler_calls(void) { return calls_n; }

uint64_t scheduler_oldest(void)
{
    uint64_t oldest = UINT64_MAX;
    for (int i = 0; i < CALLS_MAX; i++)
        if (calls[i].used && calls[i].number < oldest)
            oldest = calls[i].number;
    return oldest;
}

bool scheduler_in_flight(const char *ns, const char *name, const char *node)
{
    for (int i = 0; i < CALLS_MAX; i++)
        if (calls[i].used && strcmp(calls[i].name, name) == 0 && strcmp(calls[i].ns, ns) == 0 &&
            strcmp(calls[i].node, node) == 0)
            return true;
    return false;
}

/* ---- the queue ---- */

static struct entry *find(struct sched *s, const char *uid)
{
    for (int i = 0; i < ENTRIES_MAX; i++)
        if (s->v[i].state != FREE && strcmp(s->v[i].uid, uid) == 0)
            return &s->v[i];
    return NULL;
}

static void drop(struct entry *e)
{
    json_decref(e->seen);
    *e = (struct entry){0};
}

static void back_off(struct entry *e)
{
    e->back_ms = e->back_ms == 0                   ? 1000
                 : 2 * e->back_ms > BACKOFF_MAX_MS ? BACKOFF_MAX_MS
                                                   : 2 * e->back_ms;
    e->until_ms = fiber_now_ms() + e->back_ms;
    e->state = BACKOFF;
}

static void move(struct entry *e)
{
    if (e->state == UNSCHEDULABLE)
        back_off(e);
    else
        e->moved = true;
}

static void add(struct sched *s, const struct t_pod *pod)
{
    for (int i = 0; i < ENTRIES_MAX; i++) {
        struct entry *e = &s->v[i];
        if (e->state != FREE)
            continue;
        *e = (struct entry){.state = ACTIVE};
        (void)snprintf(e->ns, sizeof(e->ns), "%s", pod->ns);
        (void)snprintf(e->name, sizeof(e->name), "%s", pod->name);
        (void)snprintf(e->uid, sizeof(e->uid), "%s", pod->uid);
        return;
    }
}

static void heard_pod(struct sched *s, const struct t_pod *pod, bool frees)
{
    struct entry *e = find(s, pod->uid);
    bool waits = pod->there && !pod->ended && !pod->deleting && !pod->node[0];
    if (!e && waits)
        add(s, pod);
    else if (e && waits)
        move(e);
    else if (e && e != s->asking && e->state != BINDING)
        drop(e);
    for (int i = 0; i < ENTRIES_MAX && frees; i++)
        if (s->v[i].state != FREE)
            move(&s->v[i]);
}

void scheduler_heard(enum kube_kind kind, const struct t_pod *pod, bool frees)
{
    for (unsigned k = 0; k < options.instances; k++) {
        struct sched *s = &scheds[k];
        if (kind == KUBE_POD) {
            heard_pod(s, pod, frees);
            continue;
        }
        for (int i = 0; i < ENTRIES_MAX; i++)
            if (s->v[i].state != FREE)
                move(&s->v[i]);
    }
}

/* ---- a cycle ---- */

static json_t *names_of_nodes(void)
{
    json_t *names = json_array();
    const bool sample = chance_of(10); /* percentageOfNodesToScore */
    for (int i = 0; i < NODES_MAX; i++)
        if (t_nodes[i].there && (!sample || chance_of(50)))
            json_array_append_new(names, json_string(t_nodes[i].name));
    return names;
}

static char *args_of(const struct entry *e, json_t *names)
{
    json_t *args = json_pack("{s:O,s:n,s:O}", "Pod", e->seen, "Nodes", "NodeNames", names);
    char *text = json_dumps(args, JSON_COMPACT);
    json_decref(args);
    return text;
}

static const char *best_of(const json_t *scores, const json_t *names)
{
    int most = -1;
    const char *best =
        json_string_value(json_array_get(names, chance((uint32_t)json_array_size(names))));
    size_t i;
    json_t *one;
    if (chance_of(25)) /* other plugins have opinions, too */
        return best;
    json_array_foreach(scores, i, one)
    {
        int score = (int)json_integer_value(json_object_get(one, "Score"));
        if (score > most) {
            most = score;
            best = json_string_value(json_object_get(one, "Host"));
        }
    }
    return best;
}

struct binding {
    struct sched *sched;
    struct call *call;
    uint64_t number;
};

static void bind_fiber(void *ctx)
{
    struct binding *b = ctx;
    struct call *c = b->call;
    char body[512];
    (void)snprintf(body, sizeof(body),
                   "{\"PodName\":\"%s\",\"PodNamespace\":\"%s\",\"PodUID\":\"%s\",\"Node\":\"%s\"}",
                   c->name, c->ns, c->uid, c->node);
    unsigned status;
    json_t *got = instance_call(c->instance, "POST", "/bind", body, &status);
    const char *error = json_string_value(json_object_get(got, "Error"));
    tell("%d: bind %s to %s -> %u %s", c->instance, c->name, c->node, status,
         error ? error : "(no answer)");
    struct entry *e = find(b->sched, c->uid);
    if (e && e->state == BINDING && e->call == b->number) {
        const struct t_pod *pod = truth_pod(c->uid);
        if (!pod || !pod->there || pod->ended || pod->node[0])
            drop(e);
        else if (error && !*error)
            broken("a success that is none", "%s is not bound", c->name);
        else
            back_off(e);
    }
    json_decref(got);
    c->used = false;
    free(b);
}

static void give_up(struct sched *s) /* its own time-out of a call */
{
    for (int i = 0; i < ENTRIES_MAX; i++) {
        struct entry *e = &s->v[i];
        if (e->state != BINDING || fiber_now_ms() < e->until_ms)
            continue;
        const struct t_pod *pod = truth_pod(e->uid);
        if (!pod || !pod->there || pod->ended || pod->node[0])
            drop(e);
        else
            back_off(e);
    }
}

/* false: beside the one that it waits for, as a client that lost an answer calls again. */
static void start_bind(struct sched *s, struct entry *e, const char *node, bool waits)
{
    struct call *c = NULL;
    for (int i = 0; i < CALLS_MAX && !c; i++)
        if (!calls[i].used)
            c = &calls[i];
    struct binding *b = malloc(sizeof(*b));
    assert(c && b);
    *c = (struct call){.used = true, .instance = s->instance, .number = calls_n++};
    (void)snprintf(c->ns, sizeof(c->ns), "%s", e->ns);
    (void)snprintf(c->name, sizeof(c->name), "%s", e->name);
    (void)snprintf(c->uid, sizeof(c->uid), "%s", e->uid);
    (void)snprintf(c->node, sizeof(c->node), "%s", node);
    if (waits) {
        e->state = BINDING;
        e->call = c->number;
        e->until_ms = fiber_now_ms() + GIVE_UP_MS;
    }
    *b = (struct binding){s, c, c->number};
    (void)fiber_spawn(s->instance + 1, "bind", bind_fiber, b);
}

static void start_binds(struct sched *s, struct entry *e, const json_t *scores, const json_t *fit)
{
    const char *node = best_of(scores, fit);
    start_bind(s, e, node, true);
    if (chance_of(5)) /* to the same, or another */
        start_bind(s, e, chance_of(50) ? node : best_of(NULL, fit), false);
}

static void cycle(struct sched *s, struct entry *e)
{
    if (!e->seen || chance_of(80)) { /* else the copy of the time before */
        json_decref(e->seen);
        e->seen = api_get(KUBE_POD, e->ns, e->name);
    }
    const char *uid =
        json_string_value(json_object_get(json_object_get(e->seen, "metadata"), "uid"));
    if (!uid || strcmp(uid, e->uid) != 0) {
        drop(e);
        return;
    }
    e->state = ASKING;
    e->moved = false;
    s->asking = e;
    json_t *names = names_of_nodes();
    char *body = args_of(e, names);
    unsigned status;
    json_t *got = instance_call(s->instance, "POST", "/filter", body, &status), *scores = NULL;
    json_t *fit = json_object_get(got, "NodeNames");
    const char *error = json_string_value(json_object_get(got, "Error"));
    free(body);
    if (json_array_size(fit) > 0) {
        body = args_of(e, fit);
        scores = instance_call(s->instance, "POST", "/prioritize", body, &status);
        free(body);
    }
    s->asking = NULL;
    const struct t_pod *pod = truth_pod(e->uid);
    const char *why = "";
    json_t *failed = json_object_get(got, "FailedNodes");
    void *at = json_object_iter(failed);
    if (!at)
        at = json_object_iter(json_object_get(got, "FailedAndUnresolvableNodes"));
    if (at)
        why = json_string_value(json_object_iter_value(at));
    tell("%d: filter %s -> %u, %zu of %zu %s", s->instance, e->name, status, json_array_size(fit),
         json_array_size(names), why);
    if (!pod || !pod->there || pod->ended || pod->deleting || pod->node[0])
        drop(e);
    else if (json_array_size(fit) > 0)
        start_binds(s, e, scores, fit);
    else if (!got || (error && *error) || e->moved)
        back_off(e);
    else
        e->state = UNSCHEDULABLE;
    json_decref(scores);
    json_decref(got);
    json_decref(names);
}

/* Any of those whose turn it may be. */
static struct entry *next(struct sched *s)
{
    struct entry *ready[ENTRIES_MAX];
    uint32_t n = 0;
    for (int i = 0; i < ENTRIES_MAX; i++) {
        struct entry *e = &s->v[i];
        if (e->state == BACKOFF && fiber_now_ms() >= e->until_ms)
            e->state = ACTIVE;
        if (e->state == ACTIVE)
            ready[n++] = e;
    }
    return n ? ready[chance(n)] : NULL;
}

static void schedule(void *ctx)
{
    struct sched *s = ctx;
    for (;;) {
        give_up(s);
        const bool asks =
            options.own ? instance_leads(s->instance) : s->leads && instance_ready(s->instance);
        struct entry *e = asks ? next(s) : NULL;
        if (e)
            cycle(s, e);
        fiber_sleep(e ? 0 : 100);
    }
}

/* ---- the Lease: renewed every 2 s by whoever holds it (contract/kubernetes.md 3) ---- */

static int holder = -1, holder_before = -1;
static int64_t since_ms, renewed_ms; /* of the holder; of whoever renewed last */
static int64_t held_ms;              /* how long the holder before had it */
static bool taking_over;

static void sleep_exactly(int64_t ms) { fiber_sleep_hard(ms, fiber_now_ms() + ms); }

static void renew_now(void)
{
    static const char *const HOST[] = {"host-a_0000", "host-b_1111"};
    static int transitions, was = -1;
    char now[CLOCK_TEXT_MAX];
    if (holder < 0)
        return;
    (void)clock_rfc3339((FIBER_WALL_S * 1000 + fiber_now_ms()) * 1000000, true, now);
    if (was >= 0 && was != holder) {
        transitions++;
        holder_before = was;
        held_ms = fiber_now_ms() - since_ms;
        since_ms = fiber_now_ms();
    }
    was = holder;
    renewed_ms = fiber_now_ms();
    json_t *spec =
        json_pack("{s:s,s:i,s:s,s:s,s:i}", "holderIdentity", HOST[holder], "leaseDurationSeconds",
                  15, "renewTime", now, "acquireTime", now, "leaseTransitions", transitions);
    if (!api_call(KUBE_PATCH, KUBE_LEASE, "kube-system", "kube-scheduler", false,
                  json_pack("{s:O}", "spec", spec), NULL))
        (void)api_call(KUBE_CREATE, KUBE_LEASE, "kube-system", "", false,
                       json_pack("{s:s,s:s,s:{s:s,s:s},s:O}", "apiVersion",
                                 "coordination.k8s.io/v1", "kind", "Lease", "metadata", "name",
                                 "kube-scheduler", "namespace", "kube-system", "spec", spec),
                       NULL);
    json_decref(spec);
}

static void renew(void *ctx)
{
    (void)ctx;
    for (;;) {
        renew_now();
        sleep_exactly(2000);
    }
}

static void take_over(void *ctx)
{
    const int i = (int)(intptr_t)ctx;
    if (chance_of(30)) { /* it was killed, and its Lease runs out */
        holder = -1;
        sleep_exactly(15000);
    } /* else it released the Lease, and the other one was quick */
    holder = i;
    renew_now();
    for (unsigned k = 0; k < options.instances; k++)
        scheds[k].leads = (int)k == i;
    taking_over = false;
}

/* docs/design/leadership.md: nobody begins a write after its Lease was taken, as soon as it can
 * know, nor after two thirds of the Lease's duration without a renewal, nor before the other one's
 * have landed. */
void scheduler_check_write(int i)
{
    const int64_t now = fiber_now_ms();
    if (options.instances < 2)
        return;
    if (options.own) {
        static int64_t wrote_ms[INSTANCES_MAX] = {-WRITE_MS, -WRITE_MS};
        const int64_t before = wrote_ms[1 - i];
        wrote_ms[i] = now;
        if (now < before + WRITE_MS)
            broken("a write before the other's have landed", "%lld ms after it",
                   (long long)(now - before));
        return;
    }
    if (holder == i && holder_before >= 0 && held_ms >= WRITE_MS /* else it wrote nothing */ &&
        now < since_ms + WRITE_MS)
        broken("a write before the other's have landed", "%lld ms after the change",
               (long long)(now - since_ms));
    if (holder >= 0 && holder != i && now > since_ms + 2 * NEWS_MS)
        broken("a write by one that does not lead", "%d, %lld ms after the change", i,
               (long long)(now - since_ms));
    if (now > renewed_ms + 10000 + 2 * NEWS_MS)
        broken("a write after the deadline", "%lld ms after the last renewal",
               (long long)(now - renewed_ms));
}

/* The old pair's binds go on, the new pair's begin. */
void scheduler_lead(int i)
{
    if (options.instances < 2 || taking_over || holder == i)
        return;
    taking_over = true;
    for (unsigned k = 0; k < options.instances; k++)
        scheds[k].leads = false;
    tell("pair %d takes over", i);
    (void)fiber_spawn(0, "take over", take_over, (void *)(intptr_t)i);
}

/* ---- beginning and end ---- */

void scheduler_start(int i)
{
    struct sched *s = &scheds[i];
    s->instance = i;
    s->leads = i == 0;
    (void)fiber_spawn(i + 1, "schedule", schedule, s);
    if (i == 1 && !options.own) {
        holder = 0;
        (void)fiber_spawn(0, "renew", renew, NULL);
    }
}

void scheduler_lost(int i)
{
    struct sched *s = &scheds[i];
    for (int k = 0; k < CALLS_MAX; k++)
        if (calls[k].instance == i)
            calls[k].used = false;
    for (int k = 0; k < ENTRIES_MAX; k++) {
        struct entry *e = &s->v[k];
        const struct t_pod *pod = e->state != FREE ? truth_pod(e->uid) : NULL;
        if (e->state != FREE && (!pod || !pod->there || pod->ended || pod->node[0]))
            drop(e);
        else if (e->state == ASKING || e->state == BINDING)
            back_off(e);
    }
    s->asking = NULL;
    (void)fiber_spawn(i + 1, "schedule", schedule, s);
}

void scheduler_tell(FILE *to)
{
    static const char *const STATE[] = {"",        "active",        "asking",
                                        "backoff", "unschedulable", "binding"};
    for (unsigned k = 0; k < options.instances; k++)
        for (int i = 0; i < ENTRIES_MAX; i++)
            if (scheds[k].v[i].state != FREE)
                (void)fprintf(to, "  pair %u%s: %s %s\n", k, scheds[k].leads ? " (leads)" : "",
                              scheds[k].v[i].name, STATE[scheds[k].v[i].state]);
}
