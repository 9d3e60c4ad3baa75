/* What the walk can do to the model's world, and how it lets it come to rest. */
#include "model/world.h"

#include "kubeclient/priv.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct options options;
unsigned bound_n, rests_n;

/* ---- what happened ---- */

enum { LINES = 80, LINE_MAX_ = 220 };
static char lines[LINES][LINE_MAX_];
static unsigned lines_n;
static char what_broke[80], how_broke[400];

void tell(const char *fmt, ...)
{
    static int aloud = -1;
    char *line = lines[lines_n++ % LINES];
    int n = snprintf(line, LINE_MAX_, "%8lld ms  ", (long long)fiber_now_ms());
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(line + n, (size_t)(LINE_MAX_ - n), fmt, ap);
    va_end(ap);
    if (aloud < 0)
        aloud = getenv("MODEL_TRACE") != NULL;
    if (aloud)
        (void)fprintf(stderr, "%s\n", line);
}

void tell_last(FILE *to)
{
    for (unsigned i = lines_n > LINES ? lines_n - LINES : 0; i < lines_n; i++)
        (void)fprintf(to, "  %s\n", lines[i % LINES]);
}

void broken(const char *what, const char *fmt, ...)
{
    if (what_broke[0])
        return;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(how_broke, sizeof(how_broke), fmt, ap);
    va_end(ap);
    (void)snprintf(what_broke, sizeof(what_broke), "%s", what);
    tell("BROKEN: %s: %s", what, how_broke);
}

bool is_broken(void) { return what_broke[0] != '\0'; }
const char *broken_what(void) { return what_broke; }

/* The program's own words belong to the story. */
void __wrap_log_line(enum log_severity sev, const char *msg, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void __wrap_log_line(enum log_severity sev, const char *msg, const char *fmt, ...)
{
    static const char *const SEVERITY[] = {"", "warning: ", "error: "};
    char text[160];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    tell("%d: %s%s%s", fiber_group() - 1, SEVERITY[sev], msg, text);
}

/* ---- nodes ---- */

static uint64_t cards_made;

static void new_card(struct t_card *c, const char *node)
{
    static const int64_t MEM[] = {8192, 16384, 24576};
    *c = (struct t_card){
        .count = 2 + (int)chance(4), .cores = 100, .mem = MEM[chance(3)], .healthy = true};
    (void)snprintf(c->uuid, sizeof(c->uuid), "GPU-%s-%llu", node, (unsigned long long)cards_made++);
}

/* As a plugin writes it: the same list in any order. */
static json_t *registration(const struct t_card *cards, int n)
{
    json_auto_t *list = json_array();
    int first = n ? (int)chance((uint32_t)n) : 0;
    for (int i = 0; i < n; i++) {
        const struct t_card *c = &cards[(first + i) % n];
        json_t *one = json_pack("{s:s,s:i,s:i,s:I,s:i,s:s,s:s}", "id", c->uuid, "index",
                                (first + i) % n, "count", c->count, "devmem", (json_int_t)c->mem,
                                "devcore", c->cores, "type", "NVIDIA A10", "mode", "hami-core");
        if (c->healthy)
            json_object_set_new(one, "health", json_true());
        json_array_append_new(list, one);
    }
    char *text = json_dumps(list, JSON_COMPACT);
    json_t *v = json_string(text);
    free(text);
    return v;
}

static void create_node(struct t_node *n)
{
    struct t_card cards[CARDS_MAX];
    int cards_n = 1 + (int)chance(4);
    for (int i = 0; i < cards_n; i++)
        new_card(&cards[i], n->name);
    json_t *o =
        json_pack("{s:s,s:s,s:{s:s,s:{s:o}}}", "apiVersion", "v1", "kind", "Node", "metadata",
                  "name", n->name, "annotations", maker->reg, registration(cards, cards_n));
    (void)api_call(KUBE_CREATE, KUBE_NODE, "", "", false, o, NULL);
    (void)api_call(KUBE_PATCH, KUBE_NODE, "", n->name, true,
                   json_pack("{s:{s:{s:s,s:s,s:s}}}", "status", "allocatable", "cpu", "64",
                             "memory", "256Gi", maker->count, "40"),
                   NULL);
}

static struct t_node *any_node(bool there)
{
    struct t_node *of[NODES_MAX];
    uint32_t n = 0;
    for (int i = 0; i < NODES_MAX; i++)
        if (t_nodes[i].name[0] && t_nodes[i].there == there)
            of[n++] = &t_nodes[i];
    return n ? of[chance(n)] : NULL;
}

static void reregister(struct t_node *n, const struct t_card *cards, int cards_n)
{
    (void)api_call(KUBE_PATCH, KUBE_NODE, "", n->name, false,
                   json_pack("{s:{s:{s:o}}}", "metadata", "annotations", maker->reg,
                             registration(cards, cards_n)),
                   NULL);
}

static void shrink(struct t_node *n)
{
    struct t_card cards[CARDS_MAX];
    int cards_n = n->cards_n;
    memcpy(cards, n->cards, sizeof(cards));
    struct t_card *c = &cards[chance((uint32_t)(cards_n ? cards_n : 1))];
    switch (cards_n ? chance(5) : 4) {
    case 0:
        c->healthy = !c->healthy;
        break;
    case 1:
        c->mem = c->mem > 8192 ? c->mem / 2 : c->mem;
        break;
    case 2:
        c->count = c->count > 1 ? c->count - 1 : 1;
        break;
    case 3:
        *c = cards[--cards_n];
        break;
    default:
        (void)api_call(KUBE_PATCH, KUBE_NODE, "", n->name, true,
                       json_pack("{s:{s:{s:s}}}", "status", "allocatable", maker->count,
                                 n->alive ? "0" : "40"),
                       NULL);
        return;
    }
    reregister(n, cards, cards_n);
}

static void heal(struct t_node *n)
{
    struct t_card cards[CARDS_MAX];
    int cards_n = n->cards_n;
    memcpy(cards, n->cards, sizeof(cards));
    for (int i = 0; i < cards_n; i++)
        cards[i].healthy = true;
    if (cards_n < 3)
        new_card(&cards[cards_n++], n->name);
    reregister(n, cards, cards_n);
    if (!n->alive)
        (void)api_call(KUBE_PATCH, KUBE_NODE, "", n->name, true,
                       json_pack("{s:{s:{s:s}}}", "status", "allocatable", maker->count, "40"),
                       NULL);
}

static void node_gone(void)
{
    struct t_node *n = any_node(true);
    if (!n)
        return;
    (void)api_call(KUBE_DELETE, KUBE_NODE, "", n->name, false, NULL, NULL);
    for (int i = 0; i < PODS_MAX; i++) { /* the garbage collector */
        struct t_pod *p = &t_pods[i];
        if (p->used && p->there && strcmp(p->node, n->name) == 0)
            (void)api_call(KUBE_DELETE, KUBE_POD, p->ns, p->name, false,
                           json_pack("{s:i}", "gracePeriodSeconds", 0), NULL);
    }
}

/* ---- pods ---- */

static json_t *new_limits(void)
{
    static const int64_t MEM[] = {2048, 4096, 8192, 16384};
    static const int CORES[] = {0, 10, 30, 50, 100};
    json_t *limits = json_object();
    char text[24];
    (void)snprintf(text, sizeof(text), "%u", chance_of(80) || maker->size[0] ? 1 : 2);
    json_object_set_new(limits, maker->count, json_string(text));
    if (chance_of(85) || !maker->percent) {
        (void)snprintf(text, sizeof(text), "%lld", (long long)MEM[chance(4)]);
        json_object_set_new(limits, maker->memory, json_string(text));
    } else {
        json_object_set_new(limits, maker->percent, json_string(chance_of(50) ? "30" : "50"));
    }
    (void)snprintf(text, sizeof(text), "%d", CORES[chance(5)]);
    if (maker->cores)
        json_object_set_new(limits, maker->cores, json_string(text));
    return limits;
}

static json_t *container(int index, bool cards)
{
    char name[8];
    (void)snprintf(name, sizeof(name), "c%d", index);
    json_t *resources = cards ? json_pack("{s:o}", "limits", new_limits()) : json_object();
    return json_pack("{s:s,s:s,s:o}", "name", name, "image", "x", "resources", resources);
}

static json_t *new_spec(void)
{
    json_t *inits = json_array(), *apps = json_array();
    int index = 0;
    if (chance_of(10))
        json_array_append_new(inits, container(index++, chance_of(50)));
    if (chance_of(20)) /* a second one, in front */
        json_array_append_new(apps, container(index++, chance_of(70)));
    json_array_append_new(apps, container(index, true));
    return json_pack("{s:s,s:o,s:o}", "schedulerName", "cardinal-scheduler", "initContainers",
                     inits, "containers", apps);
}

static const char *const SPACE[SPACES] = {"ml", "web"};

/* Of a set whose pods keep their names. */
static void create_pod(void)
{
    char name[16];
    const char *ns = SPACE[chance(SPACES)];
    (void)snprintf(name, sizeof(name), "p-%u", chance(options.pods));
    if (truth_pod_named(ns, name))
        return;
    (void)api_call(KUBE_CREATE, KUBE_POD, ns, "", false,
                   json_pack("{s:s,s:s,s:{s:s,s:s},s:o}", "apiVersion", "v1", "kind", "Pod",
                             "metadata", "name", name, "namespace", ns, "spec", new_spec()),
                   NULL);
}

/* Somebody else's: bound when it comes, with lists that say what it asks for. */
static void create_foreign(void)
{
    char name[16], list[128], mem[16];
    const struct t_node *n = any_node(true);
    if (!n || !n->cards_n)
        return;
    (void)snprintf(name, sizeof(name), "f-%u", chance(4));
    if (truth_pod_named("web", name))
        return;
    const struct t_card *c = &n->cards[chance((uint32_t)n->cards_n)];
    (void)snprintf(mem, sizeof(mem), "%lld", (long long)maker_size(1024 * (1 + chance(4))));
    (void)snprintf(list, sizeof(list), "%s,%s,%s,%d:;", c->uuid, maker->key, mem,
                   maker->cores ? 10 : 0);
    json_t *limits = json_pack("{s:s,s:s}", maker->count, "1", maker->memory, mem);
    if (maker->cores)
        json_object_set_new(limits, maker->cores, json_string("10"));
    json_t *spec = json_pack("{s:s,s:[{s:s,s:s,s:{s:o}}]}", "nodeName", n->name, "containers",
                             "name", "c0", "image", "x", "resources", "limits", limits);
    json_t *notes = json_pack("{s:s,s:s,s:s}", "hami.io/vgpu-node", n->name, maker->allocated, list,
                              maker->todo, ";;");
    if (!api_call(KUBE_CREATE, KUBE_POD, "web", "", false,
                  json_pack("{s:s,s:s,s:{s:s,s:s,s:o},s:o}", "apiVersion", "v1", "kind", "Pod",
                            "metadata", "name", name, "namespace", "web", "annotations", notes,
                            "spec", spec),
                  NULL))
        return;
    struct t_pod *p = truth_pod_named("web", name);
    p->admitted = p->served = true;
    (void)api_call(KUBE_PATCH, KUBE_POD, "web", name, true,
                   json_pack("{s:{s:s}}", "status", "phase", "Running"), NULL);
}

enum which { ANY, SERVED };
static struct t_pod *any_pod(enum which which)
{
    struct t_pod *of[PODS_MAX];
    uint32_t n = 0;
    for (int i = 0; i < PODS_MAX; i++)
        if (t_pods[i].used && t_pods[i].there &&
            (which == ANY || (t_pods[i].served && !t_pods[i].ended)))
            of[n++] = &t_pods[i];
    return n ? of[chance(n)] : NULL;
}

static void end_pod(void)
{
    const struct t_pod *p = any_pod(SERVED);
    if (p)
        (void)api_call(
            KUBE_PATCH, KUBE_POD, p->ns, p->name, true,
            json_pack("{s:{s:s}}", "status", "phase", chance_of(50) ? "Succeeded" : "Failed"),
            NULL);
}

static void delete_pod(bool at_once)
{
    const struct t_pod *p = any_pod(ANY);
    if (p)
        (void)api_call(KUBE_DELETE, KUBE_POD, p->ns, p->name, false,
                       at_once ? json_pack("{s:i}", "gracePeriodSeconds", 0) : NULL, NULL);
}

static void set_quota(void)
{
    const char *ns = SPACE[chance(SPACES)];
    char mem[16], cores[16], key[2][NAME_MAX_];
    (void)snprintf(key[0], NAME_MAX_, "limits.%s", maker->memory);
    (void)snprintf(key[1], NAME_MAX_, "limits.%s", maker->cores ? maker->cores : "free.example/x");
    (void)snprintf(mem, sizeof(mem), "%u", 8192 * (1 + chance(8)));
    (void)snprintf(cores, sizeof(cores), "%u", 50 * (1 + chance(8)));
    json_t *hard = json_pack("{s:s,s:s}", key[0], mem, key[1], cores);
    if (chance_of(30)) {
        (void)api_call(KUBE_DELETE, KUBE_QUOTA, ns, "cards", false, NULL, NULL);
        json_decref(hard);
        return;
    }
    if (!api_call(KUBE_PATCH, KUBE_QUOTA, ns, "cards", false,
                  json_pack("{s:{s:O}}", "spec", "hard", hard), NULL))
        (void)api_call(KUBE_CREATE, KUBE_QUOTA, ns, "", false,
                       json_pack("{s:s,s:s,s:{s:s,s:s},s:{s:O}}", "apiVersion", "v1", "kind",
                                 "ResourceQuota", "metadata", "name", "cards", "namespace", ns,
                                 "spec", "hard", hard),
                       NULL);
    json_decref(hard);
}

/* ---- rest ---- */

static void let_run(int64_t ms)
{
    const int64_t end = fiber_now_ms() + ms;
    while (fiber_now_ms() < end && !is_broken()) {
        if (fiber_runnable() > 0) {
            fiber_resume_in_turn();
            continue;
        }
        int64_t next = fiber_next_ms();
        fiber_advance((next < end ? next : end) - fiber_now_ms());
        truth_check();
    }
}

static bool audit_done;
static void audit(void *ctx)
{
    const int i = (int)(intptr_t)ctx;
    unsigned status;
    json_t *got = instance_call(i, "GET", "/v1/audit", "", &status);
    if (status != 200 || !json_is_true(json_object_get(got, "consistent"))) {
        char *text = got ? json_dumps(got, JSON_COMPACT) : NULL;
        broken("the audit finds something", "%u %s", status, text ? text : "");
        free(text);
    }
    json_decref(got);
    audit_done = true;
}

#define REST_MS                                                                                    \
    150000 /* holds, back-offs, pauses of waking and the watches' own reconnects are over by then  \
            */

void world_rest(void)
{
    tell("rest");
    rests_n++;
    api_faults(false);
    node_faults(false);
    let_run(REST_MS);
    if (!is_broken())
        truth_check_quiet();
    for (unsigned i = 0; i < options.instances && !is_broken(); i++) {
        audit_done = false;
        (void)fiber_spawn((int)i + 1, "audit", audit, (void *)(intptr_t)i);
        for (int k = 0; k < 600 && !audit_done && !is_broken(); k++)
            let_run(100);
        if (!audit_done)
            broken("an audit that never ends", "instance %u", i);
    }
    api_faults(true);
    node_faults(true);
}

/* ---- events ---- */

static const struct {
    const char *name;
    unsigned weight;
} EVENTS[EV_COUNT_] = {
    [EV_RUN] = {"run", 6400},         [EV_TIME] = {"time", 1500},
    [EV_POD] = {"pod", 1000},         [EV_END] = {"end", 500},
    [EV_DELETE] = {"delete", 120},    [EV_KILL_POD] = {"kill-pod", 30},
    [EV_REGISTER] = {"register", 60}, [EV_SHRINK] = {"shrink", 14},
    [EV_HEAL] = {"heal", 20},         [EV_NODE_GONE] = {"node-gone", 3},
    [EV_QUOTA] = {"quota", 12},       [EV_FOREIGN] = {"foreign", 8},
    [EV_OUTAGE] = {"outage", 15},     [EV_CUT] = {"cut", 10},
    [EV_GONE] = {"gone", 25},         [EV_LEAD] = {"lead", 80},
    [EV_CRASH] = {"crash", 30},       [EV_RESTART] = {"restart", 3},
    [EV_REST] = {"rest", 10},
};

const char *event_name(enum event e) { return EVENTS[e].name; }

static bool is_on(enum event e)
{
    switch (e) {
    case EV_SHRINK:
    case EV_NODE_GONE:
        return options.shrinks;
    case EV_QUOTA:
        return options.quotas;
    case EV_FOREIGN:
        return options.foreign;
    case EV_LEAD:
        return options.instances > 1;
    case EV_CUT:
    case EV_GONE: /* of the Lease as well, whose news must be fresh; api.c cuts the others */
        return options.instances == 1;
    case EV_CRASH:
        return options.kills;
    default:
        return true;
    }
}

/* Of those that elect one of themselves: it gives the Lease back, or can't. */
static void end_leader(void)
{
    const int leader = instance_leads(1);
    if (!instance_leads(leader))
        return;
    if (options.kills && chance_of(50))
        instance_kill(leader);
    else
        instance_stop(leader);
}

enum event world_draw(void)
{
    unsigned sum = 0, at;
    for (int e = 0; e < EV_COUNT_; e++)
        sum += is_on((enum event)e) ? EVENTS[e].weight : 0;
    at = chance(sum);
    for (int e = 0; e < EV_COUNT_; e++) {
        unsigned weight = is_on((enum event)e) ? EVENTS[e].weight : 0;
        if (at < weight)
            return (enum event)e;
        at -= weight;
    }
    return EV_RUN;
}

static void pass_time(void)
{
    static const uint32_t MS[] = {5, 50, 300, 1500, 8000};
    const uint32_t most = MS[chance_of(3) ? 4 : chance(options.slow ? 2 : 4)];
    fiber_advance(1 + chance(options.slow && chance_of(80) ? most / 4 : most));
}

void world_do(enum event e, uint64_t seed)
{
    struct t_node *n;
    chance_seed(seed);
    if (e > EV_TIME)
        tell("%s", EVENTS[e].name);
    switch (e) {
    case EV_RUN:
        for (uint32_t i = 1 + chance(8); i > 0; i--)
            fiber_resume_one();
        break;
    case EV_TIME:
        pass_time();
        break;
    case EV_POD:
        create_pod();
        break;
    case EV_END:
        end_pod();
        break;
    case EV_DELETE:
        delete_pod(false);
        break;
    case EV_KILL_POD:
        delete_pod(true);
        break;
    case EV_REGISTER:
        if ((n = any_node(true)))
            reregister(n, n->cards, n->cards_n);
        break;
    case EV_SHRINK:
        if ((n = any_node(true)))
            shrink(n);
        break;
    case EV_HEAL:
        if ((n = any_node(chance_of(50)))) {
            if (n->there)
                heal(n);
            else
                create_node(n);
        }
        break;
    case EV_NODE_GONE:
        node_gone();
        break;
    case EV_QUOTA:
        set_quota();
        break;
    case EV_FOREIGN:
        create_foreign();
        break;
    case EV_CUT:
    case EV_GONE:
        kube_store_drop_watches(api_store(), e == EV_GONE);
        break;
    case EV_OUTAGE:
        api_outage(1000 + chance(15000));
        break;
    case EV_LEAD:
        if (options.own)
            end_leader();
        else
            scheduler_lead((int)chance(2));
        break;
    case EV_CRASH:
        instance_kill((int)chance(options.instances));
        break;
    case EV_RESTART:
        instance_stop((int)chance(options.instances));
        break;
    case EV_REST:
        world_rest();
        break;
    default:
        break;
    }
    if (!is_broken())
        truth_check();
}

/* ---- the beginning ---- */

void world_open(uint64_t seed)
{
    chance_seed(seed);
    static const int SHORTLIST[] = {1, 16, 0};
    options = (struct options){.nodes = 1 + chance(4),
                               .pods = 4 + chance(16),
                               .instances = chance_of(35) ? 2 : 1,
                               .old_server = chance_of(25),
                               .kills = chance_of(30),
                               .foreign = chance_of(30),
                               .quotas = chance_of(30),
                               .shrinks = chance_of(40),
                               .faults_pct = chance_of(25) ? 0 : 1 + chance(12),
                               .plugin_faults_pct = chance_of(50) ? 0 : 1 + chance(8),
                               .first_container = chance_of(25),
                               .shortlist = SHORTLIST[chance(3)],
                               .slow = chance_of(40)};
    maker_choose(seed);
    options.own = options.instances > 1 && seed % 2 == 0;
    if (maker->habit == LOCK_TIME) /* it would give back the next one's, too */
        options.first_container = false;
    tell("walk %llu: %s, %u nodes, %u pods, %u instances%s, faults %u%%%s%s%s%s%s%s",
         (unsigned long long)seed, maker->key, options.nodes, options.pods, options.instances,
         options.own ? " with a Lease of their own" : "", options.faults_pct,
         options.kills ? ", kills" : "", options.foreign ? ", foreign pods" : "",
         options.quotas ? ", quotas" : "", options.shrinks ? ", shrinks" : "",
         options.first_container ? ", plugins that unlock early" : "",
         options.old_server ? ", an old server" : "");
    fiber_start();
    if (options.instances > 1)
        fiber_prompt(NEWS_MS);
    api_open();
    for (unsigned i = 0; i < SPACES; i++) {
        t_spaces[i] = (struct t_space){.mem_limit = -1, .cores_limit = -1};
        (void)snprintf(t_spaces[i].name, sizeof(t_spaces[i].name), "%s", SPACE[i]);
    }
    for (unsigned i = 0; i < options.nodes; i++) {
        (void)snprintf(t_nodes[i].name, sizeof(t_nodes[i].name), "node-%u", i);
        create_node(&t_nodes[i]);
        node_start((int)i);
    }
    for (unsigned i = 0; i < options.instances; i++) {
        instance_start((int)i);
        scheduler_start((int)i);
    }
}
