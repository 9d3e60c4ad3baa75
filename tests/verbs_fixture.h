/* A cardinald without its sockets: app, ledger and reflector over the in-process API store, with a
 * clock that stands at 2026-09-21T14:13:20Z. Requests go through the real route table to the real
 * handlers. */
#ifndef CARDINAL_TESTS_VERBS_FIXTURE_H
#define CARDINAL_TESTS_VERBS_FIXTURE_H

#include "extender/priv.h"

#include <jansson.h>

#define FX_WALL_S INT64_C(1790000000)

struct fx {
    struct ext_app app;
    struct kube_store *store;
    struct ext_reflector *reflector;
    _Atomic int64_t mono_skew_ms; /* added to the monotonic clock: lets holds age */
    _Atomic int64_t wall_skew_ms; /* added to the wall clock */
    bool labels;
    void (*_Atomic looked)(struct fx *fx); /* called whenever anybody looks at the monotonic clock */
    int64_t request_age_ms;       /* the first byte of the next requests came so long ago */
    struct clock clock;
};
struct fx_options {
    const char *node_policy, *card_policy; /* NULL: binpack, spread */
    int shortlist;                         /* -1: 16 */
    int score_max;                         /* 0: 10 */
    int bind_timeout_ms;                   /* 0: 4000 */
    bool old_server;                       /* no streaming lists */
    bool adopt_unbound;                    /* --adopt-unbound */
    bool labels_dropped;                   /* a Binding's labels don't reach the pod */
    bool labels;                           /* the queue of pods without label is there; rounds are the test's */
    const char *vendors;                   /* rows as YAML, beside the built-in ones; NULL: none */
    bool reprinted;                        /* all rows printed as --print-vendors, and read again */
};
/* `cluster`: a path, or YAML text when it has a newline. Fails the test on any error. */
void fx_open(struct fx *fx, const char *cluster, const struct fx_options *opt);
void fx_close(struct fx *fx);
/* The ledger forgotten, and built anew from the objects as they stand. */
void fx_restart(struct fx *fx);
/* One request; the answer's JSON (decref it; NULL when the body is no JSON), *ret_status. `target`
 * as in HTTP. */
json_t *fx_call(struct fx *fx, const char *method, const char *target, const char *body,
                unsigned *ret_status);
/* The same in two steps, for what answers later: begin returns as soon as the handler does. */
struct fx_pending;
struct fx_pending *fx_begin(struct fx *fx, const char *method, const char *target, const char *body);
bool fx_answered(struct fx_pending *p);
json_t *fx_end(struct fx_pending *p, unsigned *ret_status); /* waits; frees */
/* Reads an object of the store: "pods/NS/NAME" or "nodes/NAME"; NULL: not there. */
json_t *fx_object(struct fx *fx, const char *path);
/* A merge patch, or a deletion with body NULL, by the API. */
void fx_patch(struct fx *fx, const char *path, const char *body);
void fx_create(struct fx *fx, const char *path, const char *body);
/* ExtenderArgs of a stored pod. Borrowed until the next call. */
const char *fx_args(struct fx *fx, const char *ns, const char *name, const char *const *nodes);
const char *fx_bind_args(struct fx *fx, const char *ns, const char *name, const char *node);
/* Waits (bounded) until the card shows so many used shares / MiB; false: it did not in time. */
bool fx_wait_used(struct fx *fx, const char *node, const char *uuid, int shares, int64_t mem_mib);
/* The value of a metric without labels; fails the test when there is none. */
int fx_metric(struct fx *fx, const char *name);
bool fx_wait_state(struct fx *fx, const char *uid, enum cluster_state state);

#endif
