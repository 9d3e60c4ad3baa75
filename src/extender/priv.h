/* The edge: HTTP in, decisions out, wiring. Only this folder sees all the others.
 *
 * The way of a request: server.c gathers the body → route.c finds the handler → filter.c, prioritize.c, bind.c … (each
 * readable top to bottom) → server.c sends the answer. Handlers of short verbs run on a server thread and never wait;
 * handlers marked `waits` (bind) run on a worker while their connection is suspended. */
#ifndef CARDINAL_EXTENDER_PRIV_H
#define CARDINAL_EXTENDER_PRIV_H

#include "admission/admission.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/own.h"
#include "base/scan.h"
#include "base/str.h"
#include "cluster/cluster.h"
#include "kubeclient/kubeclient.h"
#include "lease/lease.h"
#include "score/score.h"
#include "sim/sim.h"
#include "vendor/vendor.h"

#include <stdatomic.h>

struct sockaddr;

/* ---- config.c: flags, one table (name, type, default, bounds, help) that also makes --help and the man page ---- */
struct ext_files { /* of a flag that may be repeated; borrowed from argv */
    const char **path;
    size_t n;
};
struct ext_config {
    struct ext_files cluster, vendor;
    bool print_vendors;
    bool sections[VENDOR_SECTION_FLAGS_N]; /* false: left out of the vendors */
    const char *kubeconfig, *kube_context;
    const char *listen_extender, *listen_webhook, *listen_metrics, *http_bind; /* NULL: not listening */
    const char *cert_file, *key_file, *client_ca_file;
    bool extender_tls;
    const char *extender_url; /* NULL: the listener's own address */
    const char *scheduler_config_file;
    bool print_scheduler_config;
    struct ext_files probe; /* URLs */
    const char *probe_ca_file;
    int probe_timeout_ms;
    const char *device_config_file;
    const char *scheduler_name, *node_policy, *card_policy, *node_label_selector;
    bool force_overwrite_default_scheduler, unknown_config_keys_warn, adopt_unbound;
    int shortlist;         /* 0: all */
    int score_max;
    int bind_timeout_ms;
    int64_t lock_expire_ms; /* --node-lock-timeout */
    int workers_max;        /* API calls at once: 16 */
    /* limits */
    size_t body_max;        /* 8 MiB */
    size_t webhook_body_max; /* 8 MiB */
    size_t bodies_max;       /* of all requests of a listener at once: 256 MiB */
    int connections_max, in_flight_max;
    int header_timeout_ms, body_timeout_ms, idle_timeout_s; /* idle ≥ 180 s */
    size_t request_memory_max; /* arena of one request */
    int threads;               /* of a listener; 0: by the number of processors */
    bool legacy_metrics;       /* HAMi's old metric names as well */
    bool leader_elect, leader_role_label;
    const char *leader_mode, *leader_name, *leader_namespace, *leader_identity;
    bool leader_own;           /* --leader-elect-mode=own; false: follow */
    int64_t leader_duration_ms, leader_renew_ms, leader_retry_ms;
    int verbosity;
    bool help, version;
    struct buf ignored; /* see ext_config_ignored() */
};
/* Parses; `--flag=value`, `--flag value`, `-v=4`, Go bools. ERR_BAD_REQUEST with the nearest known flag in the text.
 * Flags of HAMi without effect here are collected for one log line. */
MUST_USE enum err_code ext_config_parse(int argc, char **argv, struct ext_config *ret, struct err *err);
/* All defaults, nothing listens: for tests and for programs that use the server alone. */
void ext_config_init(struct ext_config *ret);
void ext_config_done(struct ext_config *c);
void ext_config_help(struct buf *out);
/* Whether the listener of this surface (EXT_ON_EXTENDER, EXT_ON_WEBHOOK) is there and speaks TLS. */
bool ext_config_tls(const struct ext_config *c, unsigned surface);
/* Whether a kube-scheduler of another host may call the verbs: by TLS, with a client certificate. */
bool ext_config_reachable(const struct ext_config *c);
/* "flag1, flag2" of the accepted flags that have no effect; "" when there are none. */
const char *ext_config_ignored(const struct ext_config *c);
/* The table, for the test that holds the man page against it. NULL after the last. */
struct ext_flag_view {
    const char *name, *type, *value, *help; /* value: the default as text */
    char bounds[48];                        /* "200ms to 10m"; empty: none */
    bool ignored;
};
bool ext_config_flag(size_t i, struct ext_flag_view *ret);

/* ---- metrics.c ---- */
enum ext_verb { EXT_VERB_FILTER, EXT_VERB_PRIORITIZE, EXT_VERB_BIND, EXT_VERB_WEBHOOK, EXT_VERB_API, EXT_VERB_PROBE, EXT_VERB_METRICS, EXT_VERB_COUNT_ };
struct ext_metrics;
struct ext_metrics *ext_metrics_new(void); /* NULL: no memory */
void ext_metrics_free(struct ext_metrics *m);
void ext_metrics_verb(struct ext_metrics *m, enum ext_verb verb, unsigned status, int64_t ns);
enum ext_counter { /* monotonic */
    EXT_FILTER_FITS, EXT_FILTER_REFUSED, EXT_FILTER_PASSED, EXT_FILTER_ERRORS,
    EXT_BIND_OK, EXT_BIND_JOINED, EXT_BIND_CONFLICT, EXT_BIND_BUSY, EXT_BIND_ERRORS, EXT_BIND_UNKNOWN,
    EXT_WATCH_EVENTS, EXT_RELISTS, EXT_DECODE_ERRORS, EXT_WAKES, EXT_LABELS,
    EXT_WEBHOOK_UNCHANGED, EXT_WEBHOOK_CHANGED, EXT_WEBHOOK_REFUSED, EXT_WEBHOOK_UNREADABLE,
    EXT_REJECTED_BODY, EXT_REJECTED_BUSY, EXT_REJECTED_SLOW, EXT_REJECTED_PEER,
    EXT_COUNTER_COUNT_
};
void ext_metrics_count(struct ext_metrics *m, enum ext_counter c, uint64_t n);
/* All of the above as Prometheus text. */
void ext_metrics_text(const struct ext_metrics *m, struct buf *out);
void ext_metrics_head(struct buf *out, const char *name, const char *type, const char *help);

/* ---- the program ---- */
enum ext_sync { EXT_SYNC_NODES, EXT_SYNC_PODS, EXT_SYNC_QUOTAS, EXT_SYNC_COUNT_ };
struct ext_watch { /* what others see of a kind's list and watch; reflector.c's */
    _Atomic int64_t as_of_ms;  /* when the last complete list was asked for (monotonic); 0: none yet */
    _Atomic int64_t wanted_ms; /* one that is asked for then, or later, is wanted */
    _Atomic bool stop;         /* ends the call under way */
};
struct ext_app {
    struct ext_config config;
    const struct clock *clock;
    struct vendor_table *vendors;
    struct cluster_config cluster;
    struct cluster_store *store;
    struct kube *kube;
    struct kube_store *file_store; /* file mode, else NULL */
    struct kube_events *events;
    struct ext_certs *certs; /* NULL: no listener uses TLS */
    struct ext_metrics *metrics;
    struct ext_workers *workers;
    struct ext_binds *binds;
    struct ext_turns *turns;
    struct ext_wake *wake; /* NULL: nobody is woken */
    struct ext_labels *labels; /* NULL: nobody is labelled */
    struct ext_leader *leader; /* NULL: leads always */
    int64_t writes_from_ms;    /* then: what a process before this one sent has landed; 0: there was none */
    struct admission_config admission;
    _Atomic bool synced[EXT_SYNC_COUNT_];
    struct ext_watch watches[EXT_SYNC_COUNT_];
    _Atomic bool stopping;
    _Atomic bool auditing; /* one audit at a time */
    _Atomic uint64_t request_ids;
};
bool ext_ready(struct ext_app *app); /* everything synced and not stopping */

/* ---- server.c, route.c ---- */
struct ext_request {
    struct ext_app *app;
    uint64_t id;
    struct str method, path, query; /* path is decoded and has no query; query as sent */
    struct str content_type;
    struct str body;
    struct arena *arena;  /* of this request; dropped when it is answered */
    int64_t started_ms;   /* monotonic, of the first byte */
    /* For routes with `later`: the answer is complete. Called once, from any thread; request and answer are gone then. */
    void (*answered)(struct ext_request *r);
};
/* An answer that is too long to be built at once: the server asks for more while the peer reads. One thread at a time;
 * other threads than the handler's. */
struct ext_stream {
    bool (*more)(void *ctx, struct buf *out); /* appends the next piece; false: that was the last */
    void (*done)(void *ctx);                  /* called once, also when the peer went away */
    void *ctx;
};
#define EXT_ANSWER_MAX ((size_t)64 << 20)
struct ext_answer { /* the handler fills it once */
    unsigned status;
    const char *content_type; /* static; NULL: application/json */
    struct buf body;          /* empty, with a cap of EXT_ANSWER_MAX; taken by the server */
    struct ext_stream stream; /* instead of body, if `more` is set; taken by the server */
    const char *allow;        /* of 405; static */
    int retry_after_s;        /* of 503; 0: not said */
    bool close;               /* the connection ends with this answer */
};
/* answer.c */
void ext_answer_text(struct ext_answer *a, unsigned status, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void ext_answer_err(struct ext_answer *a, const struct err *err); /* a Status-like JSON of the /v1 API */
bool ext_query(const struct ext_request *r, const char *name, struct arena *arena, struct str *ret); /* decoded value */

typedef void (*ext_handler)(struct ext_request *r, struct ext_answer *a);

enum ext_surface { EXT_ON_EXTENDER = 1, EXT_ON_WEBHOOK = 2, EXT_ON_METRICS = 4, EXT_ON_ALL = 7 };
struct ext_route {
    const char *method, *path;
    bool prefix;  /* path is a prefix that ends in '/' */
    unsigned surfaces;
    bool trusted; /* loopback peers and verified client certificates only */
    bool waits;   /* runs on a worker */
    bool later;   /* its handler, on a thread of the server, returns before the answer is complete and says when it is: r->answered() */
    bool (*waits_if)(struct ext_app *app); /* may be NULL; runs on a worker while this is true */
    bool always;  /* probes: answered beyond the limits of load too, and while stopping */
    enum ext_verb verb;
    ext_handler handle;
};
/* routes.c: the table of cardinald; ends with a row without path. */
extern const struct ext_route EXT_ROUTES[];
/* route.c. HEAD finds GET routes. NULL: no such path (404), or *ret_allow set: other methods only (405). */
const struct ext_route *ext_route_find(const struct ext_route *routes, struct str method, struct str path,
                                       unsigned surfaces, const char **ret_allow);
/* A request target as sent → decoded path, and query as sent (p NULL: none). False: not a path, a broken or a NUL escape. */
bool ext_route_target(struct str target, struct arena *arena, struct str *ret_path, struct str *ret_query);
/* Percent-decoding into the arena; `plus`: '+' is a blank. */
bool ext_url_decode(struct str text, bool plus, struct arena *arena, struct str *ret);

struct ext_server;
#define EXT_CONNECTIONS_SLACK 64 /* connections beyond --connections-max that are still told 503 */
struct ext_server_config {
    const char *address; /* "127.0.0.1:8080", "[::1]:0", ":9395" */
    unsigned surfaces;
    bool tls; /* with app->certs */
    int threads; /* 0: by the number of processors */
    const struct ext_route *routes; /* EXT_ROUTES, or others; ends with a row without path */
    bool (*peer_trusted)(const struct sockaddr *peer); /* NULL: loopback addresses are */
    int stop_ms;                    /* what ext_server_stop waits for answers; 0: 8 s */
};
/* Of app it uses config (limits, files), clock, metrics, workers (for routes that wait), stopping and request_ids. */
MUST_USE enum err_code ext_server_start(struct ext_app *app, const struct ext_server_config *cfg, struct ext_server **ret, struct err *err);
const char *ext_server_address(const struct ext_server *s); /* really bound, "127.0.0.1:40123" */
void ext_server_quiesce(struct ext_server *s); /* no new connections; answers in flight go on */
void ext_server_stop(struct ext_server *s);    /* waits for answers in flight, at most 8 s; frees */

/* place.c: where something listens or is called, as text */
#define EXT_PLACE_TEXT_MAX 560
struct ext_place {
    char host[256]; /* without brackets; of a wildcard listener 127.0.0.1 */
    int64_t port;
    bool tls, wildcard;
    char path[256]; /* "" or "/…", without slashes at its end */
};
bool ext_place_of_url(const char *url, struct ext_place *ret); /* false: no http or https URL */
bool ext_place_of_listener(const char *address, bool tls, struct ext_place *ret);
bool ext_place_is_loopback(const struct ext_place *p);
bool ext_place_reaches(const struct ext_place *called, const struct ext_place *listens); /* names that are not loopback's are compared as text */
void ext_place_text(const struct ext_place *p, char ret[EXT_PLACE_TEXT_MAX]);

/* kubesched.c: the KubeSchedulerConfiguration that stands beside us */
struct ext_kubesched_report { /* each point in which a file does not go with the flags; `refused`: the process must not start so */
    void (*say)(void *ctx, bool refused, const char *text);
    void *ctx;
};
/* ERR_BAD_REQUEST names the file, after every point was reported. `path` is for texts alone. */
MUST_USE enum err_code ext_kubesched_check(const struct ext_config *c, const struct vendor_table *vendors, struct str text, const char *path, const struct ext_kubesched_report *report, struct err *err);
/* One that passes, whole. ERR_BAD_REQUEST: the flags don't say enough. */
MUST_USE enum err_code ext_kubesched_print(const struct ext_config *c, const struct vendor_table *vendors, struct buf *out, struct err *err);

/* listen.c */
#define EXT_ADDRESS_MAX 80
/* "HOST:PORT", "[V6]:PORT", ":PORT" (both families) → a listening socket and the address really bound. ERR_BAD_REQUEST: no
 * address; ERR_UNAVAILABLE: it can't be had. */
MUST_USE enum err_code ext_listen(const char *address, int *ret_fd, char ret_text[EXT_ADDRESS_MAX], struct err *err);

/* certs.c: the files of --cert_file, --key_file and --client-ca-file, read again when they change. Any thread. */
struct ext_certs;
/* Reads them and checks that they fit together (ERR_BAD_REQUEST names the file); outlives the servers that use it. `thread`: follows the
 * files on its own, told by the kernel and by a look each look_ms (0: 10 s); without: ext_certs_look(). */
MUST_USE enum err_code ext_certs_new(const struct ext_config *cfg, const struct clock *clock, bool thread, int look_ms, struct ext_certs **ret, struct err *err);
void ext_certs_free(struct ext_certs *c); /* NULL is fine */
void ext_certs_look(struct ext_certs *c);
/* One state of the files; kept as long as it is referred to. */
struct ext_tls;
struct ext_tls *ext_certs_ref(struct ext_certs *c); /* the newest that is whole */
void ext_certs_unref(struct ext_certs *c, struct ext_tls *t);
struct ext_pem { /* texts; borrowed; ca may be NULL */
    char *cert, *key, *ca;
};
struct ext_pem ext_tls_pem(const struct ext_tls *t);
struct gnutls_session_int;
int ext_tls_use(const struct ext_tls *t, struct gnutls_session_int *session); /* GnuTLS' result */
void ext_certs_metrics(struct ext_certs *c, const struct ext_config *cfg, struct buf *out);

/* workers.c: a small pool, threads started as needed */
struct ext_workers;
struct ext_workers *ext_workers_new(int max); /* 0: no threads, see ext_workers_step() */
/* false: the queue (1024) is full or stopping. */
bool ext_workers_run(struct ext_workers *w, void (*run)(void *ctx), void *ctx);
bool ext_workers_step(struct ext_workers *w); /* runs one job here; false: none is queued */
void ext_workers_free(struct ext_workers *w); /* finishes what is queued, joins */

/* ---- verbs ---- */
void ext_filter(struct ext_request *r, struct ext_answer *a);
void ext_prioritize(struct ext_request *r, struct ext_answer *a);
void ext_bind(struct ext_request *r, struct ext_answer *a);
void ext_webhook(struct ext_request *r, struct ext_answer *a);
/* turn.c: how long a bind that came now would wait for the node's turn, as far as can be told; 0: there is no queue. NULL is
 * fine. */
struct ext_turns;
int64_t ext_turns_wait_ms(struct ext_turns *turns, struct str node);
bool ext_turns_any(struct ext_turns *turns); /* whether any node has a queue */
/* Whether the ask's plugins need the node's lock, and the wait for it there would take more than half of a bind's time. */
bool ext_turns_full(struct ext_app *app, const struct score_request *req, struct str node);
/* settle.c: binds of unknown outcome, and the thread that settles them (without: ext_settle_round()). Made before the extender listens, freed after its workers are
 * gone. */
struct ext_binds;
MUST_USE enum err_code ext_binds_new(struct ext_app *app, bool thread, struct ext_binds **ret, struct err *err);
size_t ext_binds_unsettled(struct ext_binds *binds); /* binds whose outcome is not known yet */
void ext_binds_free(struct ext_binds *binds);
/* wake.c: refused pods, and the thread that touches those that fit now and that kube-scheduler does not ask about.
 * All but new and free take NULL. */
struct ext_wake;
MUST_USE enum err_code ext_wake_new(struct ext_app *app, struct ext_wake **ret, struct err *err);
void ext_wake_refused(struct ext_wake *w, const struct cluster_pod *pod, bool sampled); /* sampled: nodes were left out */
/* In a list of all pods: who refused it before us, and what has become free since, nobody remembers. Touched when it fits
 * and kube-scheduler has not asked about it for longer than its own back-offs last. */
void ext_wake_found(struct ext_wake *w, const struct cluster_pod *pod);
void ext_wake_done(struct ext_wake *w, struct str uid); /* answered with a node, or gone */
void ext_wake_round(struct ext_wake *w, struct arena *arena); /* one look at all; the thread's, and tests' */
size_t ext_wake_waiting(struct ext_wake *w);
void ext_wake_free(struct ext_wake *w);
/* label.c: bound pods that lack the label, because the API server did not take it from the Binding. The waking thread works
 * them off. All but new take NULL. */
struct ext_labels;
MUST_USE enum err_code ext_labels_new(struct ext_app *app, struct ext_labels **ret, struct err *err);
void ext_labels_see(struct ext_labels *l, const struct cluster_pod *pod); /* as an event shows it */
void ext_labels_round(struct ext_labels *l); /* a few writes; one caller at a time */
size_t ext_labels_waiting(const struct ext_labels *l);
void ext_labels_free(struct ext_labels *l);
/* inventory.c */
void ext_v1_nodes(struct ext_request *r, struct ext_answer *a);   /* /v1/nodes */
void ext_v1_node(struct ext_request *r, struct ext_answer *a);    /* /v1/nodes/NAME */
void ext_v1_pods(struct ext_request *r, struct ext_answer *a);    /* /v1/pods */
void ext_v1_summary(struct ext_request *r, struct ext_answer *a); /* /v1/summary */
void ext_v1_object(struct ext_request *r, struct ext_answer *a);  /* /v1/objects/pods/NS/NAME, /v1/objects/nodes/NAME; file mode */
/* audit.c */
void ext_v1_audit(struct ext_request *r, struct ext_answer *a); /* /v1/audit */
/* health.c */
void ext_healthz(struct ext_request *r, struct ext_answer *a);
void ext_livez(struct ext_request *r, struct ext_answer *a);
void ext_readyz(struct ext_request *r, struct ext_answer *a);
void ext_version(struct ext_request *r, struct ext_answer *a);
/* exposition.c */
void ext_metrics_get(struct ext_request *r, struct ext_answer *a);

/* ---- leader.c: may this instance act? Everything says yes without --leader-elect. ---- */
MUST_USE enum err_code ext_leader_start(struct ext_app *app, struct err *err); /* sets app->leader, or writes_from_ms */
/* `release`: nothing that we wrote can land any more, so our own Lease is given back at once. */
void ext_leader_stop(struct ext_app *app, bool release);
bool ext_leading(struct ext_app *app); /* never waits */
bool ext_not_leading(struct ext_app *app);
/* The Lease names somebody else, whether or not it is renewed. Never waits. */
bool ext_led_by_another(struct ext_app *app);
/* Before a refusal: one live GET, since kube-scheduler may be faster than our watch. ERR_UNAVAILABLE says who leads. */
MUST_USE enum err_code ext_lead_check(struct ext_app *app, struct err *err);
/* The leading that writes happen under. A new leader (without election: a new process) waits until the last one's have landed and are known: ERR_BUSY, with the time to come
 * again in *ret_again_ms (may be NULL) if that is before deadline_ms, else 0. For workers: one live GET, at most. */
struct ext_term {
    uint64_t number;
    int64_t until_ms; /* as of the last look: no write is started then or later */
    bool writing;     /* a write was allowed, and its end is not told yet */
};
MUST_USE enum err_code ext_term_enter(struct ext_app *app, int64_t deadline_ms, struct ext_term *ret, int64_t *ret_again_ms,
                                      struct err *err);
/* How long one write may take at most, which is also its ?timeout=, and how long a new leader waits for those of the last one.
 * By the budget of a bind: a server that takes seconds for each answer is waited for where there is time for it. At most a
 * third of the Lease, so that its last writes land before it can be taken. Pods of one Service have the same flags. */
int ext_write_ms(const struct ext_config *c);
/* Asked immediately before each write is sent (undoing is always right and does not ask); and told when it is back, which
 * finds a stop of this process in between. */
bool ext_may_write(struct ext_app *app, struct ext_term *term);
void ext_wrote(struct ext_app *app, struct ext_term *term);
void ext_leadz(struct ext_request *r, struct ext_answer *a);
void ext_leader_metrics(struct ext_app *app, struct buf *out);

/* ---- wire.c: the extender's JSON ---- */
struct ext_args { /* ExtenderArgs; keys in any case, duplicates: the last */
    struct str pod;        /* raw bytes; p NULL: absent or null */
    struct str nodes;      /* raw NodeList; p NULL: null */
    struct str node_names; /* raw array; p NULL: null */
};
MUST_USE enum err_code ext_wire_args(struct str body, struct arena *arena, struct ext_args *ret, struct err *err);
/* The names of a raw array, bounded; borrowed or from the arena. */
MUST_USE enum err_code ext_wire_names(struct str raw, size_t max, struct arena *arena, struct str **ret, size_t *ret_n, struct err *err);
/* Raw items of a NodeList. */
MUST_USE enum err_code ext_wire_items(struct str raw, size_t max, struct arena *arena, struct str **ret, size_t *ret_n, struct err *err);
struct ext_bind_args {
    struct str pod, ns, uid, node;
};
MUST_USE enum err_code ext_wire_bind_args(struct str body, struct arena *arena, struct ext_bind_args *ret, struct err *err);

/* ---- reflector.c: list and watch → store ---- */
struct ext_reflector;
MUST_USE enum err_code ext_reflector_start(struct ext_app *app, struct ext_reflector **ret, struct err *err); /* all three kinds */
void ext_reflector_stop(struct ext_reflector *rf); /* joins */
/* Whether all pods were read anew since then (monotonic): everything that was bound before is in the ledger. If not, they will
 * be: ask again. */
bool ext_pods_as_of(struct ext_app *app, int64_t at_ms);

/* ---- notify.c: "READY=1" and the like for systemd, if it asked for them; never fails ---- */
void ext_notify(const char *state);

/* ---- explain.c: words from refusals, for v=5 logs, events and people ---- */
void ext_reasons_text(score_reasons set, struct buf *out); /* sorted codes, ", " between */
void ext_detail_text(const struct score_detail *d, struct buf *out); /* "Code (device memory: wanted …, free … of …)" */

#endif
