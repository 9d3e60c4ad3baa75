/* The model test's world: an API store, what is true in it (kept by itself, from API objects alone), nodes with their
 * kubelets and plugins, kube-schedulers in miniature, controllers, and one or two cardinalds (ARCHITECTURE.md, "Tests").
 * One process plays one walk, so everything is in statics. */
#ifndef CARDINAL_TESTS_MODEL_WORLD_H
#define CARDINAL_TESTS_MODEL_WORLD_H

#include "model/fiber.h"

#include "extender/priv.h"

#include <jansson.h>

enum { NODES_MAX = 6, CARDS_MAX = 6, PODS_MAX = 512, CONTAINERS_MAX = 3, SHARES_MAX = 16, INSTANCES_MAX = 2, SPACES = 2 };
#define NAME_MAX_ 64

/* ---- whose cards they are: the same on all nodes of a walk ---- */
enum lock_habit { LOCK_NONE, LOCK_OWNED, LOCK_TIME };
struct maker {
    const char *key; /* in allocation lists */
    const char *count, *memory, *percent, *cores; /* resources; NULL: has none */
    const char *reg, *todo, *allocated;           /* annotations */
    enum lock_habit habit;
    const char *lock;
    int64_t size[4]; /* that memory is rounded up to, a card a container; 0: as asked */
};
enum { MAKERS = 4 };
extern const struct maker *maker;
extern const char MAKER_ROWS[]; /* those that cardinald does not bring, as --vendor-file reads them */
void maker_choose(uint64_t seed);
int64_t maker_size(int64_t mem); /* what an ask becomes */

/* ---- what a walk is about: drawn from its seed ---- */
struct options {
    unsigned nodes, pods;      /* pods that want to live at once */
    unsigned instances;        /* 2: follow mode, each beside a kube-scheduler of its own */
    bool own;                  /* of two: they elect one of themselves, and whoever leads is asked, as by a Service */
    bool old_server;           /* no streaming lists */
    bool kills;                /* kill -9 of a cardinald */
    bool foreign;              /* pods that others place */
    bool quotas;
    bool shrinks;              /* cards vanish, shrink, fall ill; nodes go */
    unsigned faults_pct;       /* of API calls */
    unsigned plugin_faults_pct;
    bool first_container;      /* plugins that unlock after it */
    int shortlist;
    bool slow; /* little time passes between two events: more happens while a call is on its way */
};

/* ---- saying what happened ---- */
void tell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The walk fails. `what` names the invariant; a walk is shrunk to the shortest that breaks the same one. First one counts. */
void broken(const char *what, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool is_broken(void);
const char *broken_what(void);
void tell_last(FILE *to); /* the last events */

/* ---- api.c: the wire between a program and the API server ---- */
struct wire { /* of one cardinald: a kube whose calls meet faults and let others go first */
    int instance;
    struct kube *kube;
    uint64_t seen[KUBE_KIND_COUNT_]; /* resourceVersion up to which its watches have told */
};
void api_open(void);
struct kube *api_kube(void); /* without faults; nothing else runs during its calls */
struct kube_store *api_store(void);
struct wire *api_wire(int instance); /* one an incarnation; lives for ever */
void api_faults(bool on);
#define NEWS_MS 50 /* how old news may be where somebody waits for it */
void api_outage(int64_t ms); /* so long most calls fail */
size_t api_late(void); /* writes that will still land */
bool api_late_of(const char *ns, const char *name);
/* A world's own call; false: refused. `ret` may be NULL, else decref it. */
bool api_call(enum kube_verb verb, enum kube_kind kind, const char *ns, const char *name, bool status, json_t *take_body, json_t **ret);
json_t *api_get(enum kube_kind kind, const char *ns, const char *name);

/* ---- truth.c: what is true, from API objects alone ---- */
struct t_card {
    char uuid[NAME_MAX_];
    int count, cores;
    int64_t mem;
    bool healthy;
};
struct t_node {
    char name[NAME_MAX_];
    bool there, alive;
    struct t_card cards[CARDS_MAX];
    int cards_n;
    char lock[256], lock_ns[NAME_MAX_], lock_pod[NAME_MAX_]; /* empty: none */
    bool lock_lost;       /* its owner's process was killed, or the owner went before its plugin came */
    /* Its cards changed for the worse, or somebody else placed a pod: until all have heard and what was begun before is
     * over, a card may be over its total by nobody's fault. */
    uint64_t shaky_node_rv, shaky_pod_rv, shaky_call;
    bool shaky, shaky_heard;
};
struct t_ask {
    bool init;
    int n, cores;
    int64_t mem;
    int mem_pct; /* instead of mem; 0: none */
};
struct t_share {
    int container;
    char uuid[NAME_MAX_];
    int64_t mem;
    int cores;
};
struct t_pod {
    bool used;          /* this slot */
    bool there;         /* the object exists */
    char ns[NAME_MAX_], name[NAME_MAX_], uid[NAME_MAX_], node[NAME_MAX_];
    uint64_t rv, bound_rv;
    bool deleting, terminated, ended; /* ended: takes nothing any more */
    bool foreign, admitted, served;   /* by its kubelet; by its plugin */
    int containers_n;
    struct t_ask asks[CONTAINERS_MAX];
    int shares_n;
    struct t_share shares[SHARES_MAX];
    const struct wire *by; /* whose Binding it was; NULL: somebody else's */
};
struct t_space {
    char name[NAME_MAX_];
    int64_t mem_limit, cores_limit; /* -1: none */
    bool shaky;                     /* its quota was lowered: as t_node.shaky */
    uint64_t shaky_rv, shaky_call;
    bool shaky_heard;
};
extern struct t_node t_nodes[NODES_MAX];
extern struct t_pod t_pods[PODS_MAX];
extern struct t_space t_spaces[SPACES];
void truth_saw(enum kube_kind kind, const char *ns, const char *name, const struct wire *by, enum kube_verb verb);
struct t_node *truth_node(const char *name);
struct t_pod *truth_pod(const char *uid);
struct t_pod *truth_pod_named(const char *ns, const char *name); /* that exists */
struct t_use {
    int shares, cores;
    int64_t mem;
};
/* Of one card, by all pods that take something; `known_to`: by those that this instance was told of, or bound itself. */
struct t_use truth_use(const struct t_node *node, const char *uuid, const struct wire *known_to);
bool truth_fits(const struct t_pod *pod, const struct t_node *node); /* surely; false may mean perhaps */
void truth_check(void);       /* the invariants of every step */
void truth_check_quiet(void); /* and those of a cluster at rest */

/* ---- cardinal.c: the program under test ---- */
struct instance {
    struct wire *wire; /* of this incarnation */
    struct ext_app app;
    struct ext_reflector *reflector;
    struct clock clock;
    bool running, starting, stopping;
    unsigned calls; /* handlers under way */
};
extern struct instance instances[INSTANCES_MAX];
void instance_start(int i);
void instance_stop(int i); /* in good order, from a fiber of its own */
void instance_kill(int i);
bool instance_ready(int i);
bool instance_leads(int i);
/* One request through the route table, on the fiber that calls; NULL: no JSON. *ret_status 0: nobody answered. */
json_t *instance_call(int i, const char *method, const char *target, const char *body, unsigned *ret_status);

/* ---- scheduler.c ---- */
void scheduler_start(int i);
void scheduler_lost(int i);  /* its cardinald was killed: connections are reset */
void scheduler_lead(int i);  /* takes over */
void scheduler_check_write(int i); /* a Binding of this instance is begun: may it be? */
void scheduler_heard(enum kube_kind kind, const struct t_pod *pod, bool frees);
bool scheduler_in_flight(const char *ns, const char *name, const char *node); /* a bind call */
uint64_t scheduler_calls(void);      /* begun so far */
uint64_t scheduler_oldest(void);     /* of those under way; UINT64_MAX: none */
void scheduler_tell(FILE *to);

/* ---- node.c: kubelets and device plugins ---- */
void node_start(int n);
void node_faults(bool on);

/* ---- events.c: what the walk can do to the world ---- */
enum event {
    EV_RUN, EV_TIME, EV_POD, EV_END, EV_DELETE, EV_KILL_POD, EV_REGISTER, EV_SHRINK, EV_HEAL, EV_NODE_GONE, EV_QUOTA, EV_FOREIGN,
    EV_CUT, EV_GONE, EV_OUTAGE, EV_LEAD, EV_CRASH, EV_RESTART, EV_REST, EV_COUNT_
};
extern struct options options;
void world_open(uint64_t seed);
enum event world_draw(void);  /* by weight */
void world_do(enum event e, uint64_t seed);
void world_rest(void);        /* everything comes to rest; then truth_check_quiet() */
const char *event_name(enum event e);
extern unsigned bound_n, rests_n;

#endif
