/* One interface of verbs to a Kubernetes API, two back ends: HTTP (a real kube-apiserver) and the in-process API store
 * of file mode. Callers can't tell them apart. Objects travel as JSON bytes; nobody above builds trees of lists.
 *
 * All calls block, up to the request's timeout; call them from workers, never from a server thread. Thread-safe. */
#ifndef CARDINAL_KUBECLIENT_KUBECLIENT_H
#define CARDINAL_KUBECLIENT_KUBECLIENT_H

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

#include <jansson.h>

enum kube_kind { KUBE_NODE, KUBE_POD, KUBE_QUOTA, KUBE_LEASE, KUBE_EVENT, KUBE_KIND_COUNT_ };

struct kube;
void kube_free(struct kube *k); /* NULL is fine; no call may be under way */

enum kube_verb { KUBE_GET, KUBE_LIST, KUBE_WATCH, KUBE_CREATE, KUBE_UPDATE, KUBE_PATCH, KUBE_DELETE, KUBE_BIND, KUBE_VERB_COUNT_ };
enum kube_patch_type { KUBE_PATCH_MERGE, KUBE_PATCH_JSON, KUBE_PATCH_STRATEGIC };

/* DELETE: a body, if any, holds DeleteOptions. As at a kube-apiserver, a pod that has a node and has not ended gets a
 * deletionTimestamp only, unless the body says {"gracePeriodSeconds":0}. CREATE: the server resets a pod's status. */
struct kube_request {
    enum kube_verb verb;
    enum kube_kind kind;
    struct str ns, name;      /* ns empty for nodes, and for lists of all namespaces; name empty for list, watch, create */
    bool status;              /* PATCH, UPDATE: the status subresource */
    enum kube_patch_type patch_type;
    struct str body;          /* CREATE, UPDATE, PATCH, BIND: JSON */
    int timeout_ms;           /* of the whole call; writes also carry ?timeout=, what is left of it when there is a connection */
    const _Atomic bool *stop; /* LIST, WATCH and waits: true ends the call with ERR_CANCELLED; may be NULL */
};

struct kube_response {
    char *body; /* the object, or the Status; NUL-terminated, owned by the caller; NULL when there was none */
    size_t body_n;
    int http_status;       /* 0: no answer */
    int retry_after_ms;    /* of 429 and 503; 0: not said */
    bool sent;             /* bytes of the request may have reached the server */
};
void kube_response_done(struct kube_response *r);

/* One call that is neither list nor watch. What went wrong:
 *   ERR_BAD_REQUEST 400   ERR_FORBIDDEN 401, 403   ERR_NOT_FOUND 404   ERR_CONFLICT 409   ERR_GONE 410
 *   ERR_TOO_LARGE 413     ERR_INVALID 422          ERR_BUSY 429
 *   ERR_UNAVAILABLE  surely not done: no connection, nothing sent, or a read failed in any way
 *   ERR_UNKNOWN      a write: time-out, cut connection, 5xx: it may be done now or later
 * The text holds the server's message, bounded. `ret` is filled in every case (free it). */
MUST_USE enum err_code kube_call(struct kube *k, const struct kube_request *req, struct kube_response *ret, struct err *err);

/* ---- list and watch ---- */
struct kube_list_options {
    int page;                     /* items a page; 0: 500 */
    const char *field_selector;   /* may be NULL */
    const char *resource_version; /* NULL: most recent */
    const char *ns;               /* NULL: all namespaces */
    int timeout_ms;               /* of a page; 0: 120 s */
};
struct kube_list_handler {
    enum err_code (*item)(void *ctx, struct str object, struct err *err); /* borrowed bytes of one object */
    void *ctx;
    /* An object beyond object_max: the bytes it begins with, borrowed, and why it is not handed out. The list goes on.
     * NULL: it ends with ERR_TOO_LARGE. */
    void (*unread)(void *ctx, struct str head, const char *why);
    int *retry_after_ms; /* set when a 429 or 503 says when to come again; may be NULL */
};
/* All pages; ret_rv (≥ 64 bytes) is the list's resourceVersion. ERR_GONE: a page token expired, start again. */
#define KUBE_RV_MAX 64
MUST_USE enum err_code kube_list(struct kube *k, enum kube_kind kind, const struct kube_list_options *opt,
                                 const _Atomic bool *stop, const struct kube_list_handler *handler,
                                 char ret_rv[KUBE_RV_MAX], struct err *err);

enum kube_event_type { KUBE_ADDED, KUBE_MODIFIED, KUBE_DELETED, KUBE_BOOKMARK, KUBE_INITIAL_END };
struct kube_watch_options {
    const char *resource_version; /* resume after this; NULL or "" with `initial` */
    bool initial;                 /* streaming list: sendInitialEvents; ADDED …, then KUBE_INITIAL_END */
    const char *field_selector;
    int timeout_s;                /* of the server's side; 0: random 300…600 */
    const char *ns;               /* NULL: all namespaces */
};
struct kube_watch_handler {
    /* `object` is borrowed; of BOOKMARK and INITIAL_END it holds metadata only. */
    enum err_code (*event)(void *ctx, enum kube_event_type type, struct str object, struct str resource_version, struct err *err);
    void *ctx;
    /* An object (ADDED, MODIFIED, DELETED) that is beyond object_max, too deep or no JSON: the bytes it begins with, borrowed,
     * and why it is not handed out. The watch goes on. NULL: it ends. */
    void (*unread)(void *ctx, enum kube_event_type type, struct str head, const char *why);
    int *retry_after_ms; /* as above */
};
/* Blocks until the watch ends: ERR_OK (the server closed it in good order), ERR_GONE (410 as status or as event),
 * ERR_INVALID (`initial` is not served here: use list), ERR_UNAVAILABLE, ERR_BUSY, ERR_FORBIDDEN, ERR_CANCELLED, or what
 * the handler returned. */
MUST_USE enum err_code kube_watch(struct kube *k, enum kube_kind kind, const struct kube_watch_options *opt,
                                  const _Atomic bool *stop, const struct kube_watch_handler *handler, struct err *err);

/* ---- waiting between tries ---- */
/* 0.8 s doubling to 30 s, plus up to 100 % by `random` (any 64 bits), never beyond 30 s. Start with zeros, and set to
 * zeros again after a success that lasted. */
#define KUBE_BACKOFF_MIN_MS 800
#define KUBE_BACKOFF_MAX_MS 30000
struct kube_backoff {
    int64_t next_ms;
};
/* A pause of our own, or as long as the API server said (retry_after_ms), at most a minute. */
#define KUBE_RETRY_AFTER_MAX_MS 60000
int64_t kube_pause_ms(int64_t own_ms, int retry_after_ms);
int64_t kube_backoff_next_ms(struct kube_backoff *b, uint64_t random);

/* ---- the HTTP back end ---- */
struct kube_http_config {
    const char *kubeconfig; /* a path (or several, ':' between); NULL: in-cluster */
    const char *context;    /* NULL: current-context */
    size_t object_max;      /* bytes of one object; 0: 16 MiB */
    unsigned connections_max; /* 0: 32 */
};
/* Reads credentials; no connection is made yet. Token files are read again when they change; exec and auth-provider
 * plugins, and insecure-skip-tls-verify together with a CA, are refused with a text that says what to do.
 * Source: contract/kubernetes.md 2.1. */
MUST_USE enum err_code kube_http_new(const struct kube_http_config *cfg, const struct clock *clock, struct kube **ret, struct err *err);

/* ---- the in-process API store ---- */
struct kube_store; /* owned by its kube */
struct kube_store_config {
    size_t objects_max;  /* 0: 1,000,000 */
    unsigned events_kept; /* history for watches before 410; 0: 100,000 */
    bool binding_labels; /* a Binding's labels reach the pod (kube-apiserver 1.35 and later) */
    bool watch_initial;  /* streaming lists are served */
};
MUST_USE enum err_code kube_store_new(const struct kube_store_config *cfg, const struct clock *clock, struct kube **ret,
                                      struct kube_store **ret_store, struct err *err);
/* Loads YAML or JSON files as kubectl prints them: several documents, List and single objects; Node, Pod,
 * ResourceQuota (and Lease); other kinds are counted in *ret_skipped. All or nothing: on an error the store is as before.
 * `mutate` (may be NULL) is called for each Pod and may return a changed copy in *ret (file mode's admission).
 * ERR_BAD_REQUEST "file:line:column: what is wrong". Aliases, merge keys, duplicate keys, non-string keys and depth
 * beyond 64 are refused. */
struct kube_load_handler {
    enum err_code (*pod)(void *ctx, const json_t *pod, json_t **ret, struct err *err);
    void *ctx;
};
MUST_USE enum err_code kube_store_load(struct kube_store *st, const char *const *paths, size_t paths_n,
                                       const struct kube_load_handler *mutate, size_t *ret_skipped, struct err *err);
/* GET of any http or https URL, for a look whether somebody answers; no redirects. With `ca_file` (may be NULL: the system's) the
 * peer's certificate must be of that authority. The body's first ret_body->max bytes. ERR_UNAVAILABLE: no answer, with why. */
MUST_USE enum err_code kube_probe(const char *url, const char *ca_file, int timeout_ms, int *ret_status, struct buf *ret_body, struct err *err);
/* One YAML or JSON text → tree with the same strictness; for tests and for other loaders. */
MUST_USE enum err_code kube_yaml_parse(struct str text, const char *path, json_t **ret_array_of_documents, struct err *err);
/* The whole of a file, at most `max` bytes; NUL-terminated. ERR_BAD_REQUEST names it; ERR_TOO_LARGE. */
MUST_USE enum err_code kube_read_file(const char *path, size_t max, char **ret, size_t *ret_n, struct err *err);

/* Faults: the n-th call that matches from now on ends so. Several may be armed. Tests only arm them. */
enum kube_fault {
    KUBE_FAULT_NONE,
    KUBE_FAULT_REFUSED,       /* no connection: surely not done */
    KUBE_FAULT_STATUS,        /* answers `status` without doing it */
    KUBE_FAULT_TIMEOUT_NEVER, /* no answer, never done */
    KUBE_FAULT_TIMEOUT_LATER, /* no answer, done when kube_store_late() is called */
    KUBE_FAULT_CUT_DONE,      /* done, the answer is cut */
    KUBE_FAULT_STATUS_DONE,   /* done, and answers `status` all the same, as a server whose etcd was slow */
    KUBE_FAULT_STATUS_LATER,  /* answers `status`, done when kube_store_late() is called */
};
struct kube_fault_rule {
    enum kube_fault fault;
    int verb, kind; /* enum values; -1: any */
    unsigned after; /* let this many matching calls pass first */
    unsigned times; /* 0: once */
    int status, retry_after_s;
};
void kube_store_fault(struct kube_store *st, const struct kube_fault_rule *rule);
void kube_store_fault_clear(struct kube_store *st);
size_t kube_store_late(struct kube_store *st); /* carries out the writes that were put off, in order; how many were tried */
/* Tells of every call, list and watch right before anything comes of it: tests count them, and let late writes land between
 * two of them. In the caller's thread, without a lock held; of lists and watches only verb and kind. `o` must
 * outlive the store, or the next call of this; NULL: nobody. */
struct kube_store_observer {
    void (*call)(void *ctx, const struct kube_request *req);
    void *ctx;
};
void kube_store_observe(struct kube_store *st, const struct kube_store_observer *o);
/* Cuts all watches; with `gone` their resourceVersions are too old afterwards. */
void kube_store_drop_watches(struct kube_store *st, bool gone);
uint64_t kube_store_writes(const struct kube_store *st); /* successful writes since start */

/* ---- credentials of a back end that is up (for /readyz and logs) ---- */
const char *kube_describe(const struct kube *k); /* "https://10.0.0.1:6443", "cluster file"; lives as long as k */

/* ---- events: a bounded queue and its worker ---- */
struct kube_events;
struct kube_event {
    struct str ns, pod, uid; /* about this pod */
    bool warning;
    struct str reason, message; /* message is cut at 1024 bytes */
};
/* component: source.component and reportingController. Core/v1 events; repeats of the same (pod, reason, message)
 * patch the count, at most one write a pod, reason and ten seconds, of at most 4096 of these; what is beyond, or finds the
 * queue (8192) full, is dropped and counted. */
MUST_USE enum err_code kube_events_new(struct kube *k, const char *component, const struct clock *clock, struct kube_events **ret, struct err *err);
void kube_events_post(struct kube_events *ev, const struct kube_event *e); /* copies; never blocks */
/* For so long at most twenty events a second are written: what others write goes before. Any thread. */
void kube_events_yield(struct kube_events *ev, int ms);
uint64_t kube_events_dropped(const struct kube_events *ev);
void kube_events_free(struct kube_events *ev); /* gives the queue up to 1 s to empty */

#endif
