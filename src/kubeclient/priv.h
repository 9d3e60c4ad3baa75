/* What the files of this folder share: the two back ends' table of verbs, what a kind is called,
 * and the pieces that the in-process store is made of. */
#ifndef CARDINAL_KUBECLIENT_PRIV_H
#define CARDINAL_KUBECLIENT_PRIV_H

#include "kubeclient/kubeclient.h"

#include <stdint.h>

/* ---- a back end ---- */
struct kube_backend {
    enum err_code (*call)(struct kube *k, const struct kube_request *req, struct kube_response *ret,
                          struct err *err);
    enum err_code (*list)(struct kube *k, enum kube_kind kind, const struct kube_list_options *opt,
                          const _Atomic bool *stop, const struct kube_list_handler *handler,
                          char ret_rv[KUBE_RV_MAX], struct err *err);
    enum err_code (*watch)(struct kube *k, enum kube_kind kind,
                           const struct kube_watch_options *opt, const _Atomic bool *stop,
                           const struct kube_watch_handler *handler, struct err *err);
    const char *(*describe)(const struct kube *k);
    void (*free)(struct kube *k);
};
struct kube { /* first member of a back end's own struct */
    const struct kube_backend *backend;
};

/* ---- kinds ---- */
struct kube_kind_row {
    const char *kind;        /* "Pod" */
    const char *api_version; /* "v1", "coordination.k8s.io/v1" */
    const char *resource;    /* "pods", as the server's messages and URLs have it */
    bool namespaced, has_status;
    bool loaded; /* a cluster file may hold it */
};
const struct kube_kind_row *kube_kind_row(enum kube_kind kind);
bool kube_kind_find(const char *api_version, const char *kind, enum kube_kind *ret);
bool kube_verb_writes(enum kube_verb verb);
const char *kube_verb_name(enum kube_verb verb);

/* What an HTTP status means for a call; 0: no answer. `text` is the body, as far as it came: its
 * message goes into err. `whole`: all of the answer arrived. */
enum err_code kube_status_err(const struct kube_request *req, int status, struct str text,
                              bool whole, struct err *err);
/* A write without an answer, or a read: ERR_UNKNOWN or ERR_UNAVAILABLE. */
enum err_code kube_no_answer(const struct kube_request *req, bool sent, const char *why,
                             struct err *err);

/* ---- yaml.c ---- */
struct kube_mark {
    size_t line, column; /* from 1 */
};
struct kube_marks {
    struct kube_mark *v;
    size_t n, cap;
};
int kube_marks_add(struct kube_marks *m, size_t line, size_t column); /* 0, or -1: no memory */
void kube_marks_done(struct kube_marks *m);
/* As kube_yaml_parse; `marks` gets the place of each document's root and, after it, of each element
 * of its `items`. */
MUST_USE enum err_code kube_yaml_parse_marked(struct str text, const char *path, json_t **ret,
                                              struct kube_marks *marks, struct err *err);

/* ---- rules.c: what the API server does to one object. Pure. ---- */
struct kube_refusal {
    int status; /* HTTP; 0: no memory */
    const char *reason;
    char message[512];
};
bool kube_refuse(struct kube_refusal *r, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4))); /* returns false */
/* The Status object of a refusal; malloc; NULL: no memory. */
char *kube_status_text(int code, const char *reason, const char *message);

struct kube_write {
    const struct kube_request *req;
    const json_t *body; /* NULL: the request has none */
    const json_t *old;  /* NULL: no such object */
    const char *old_rv;
    const char *uid; /* for a new object */
    int64_t now_ns;  /* wall clock */
    bool binding_labels;
};
enum kube_outcome { KUBE_REFUSED, KUBE_SAME, KUBE_WRITTEN, KUBE_REMOVED };
/* *ret: the object as it shall stand (WRITTEN) or its last state (REMOVED), without
 * resourceVersion. */
enum kube_outcome kube_rules_apply(const struct kube_write *w, json_t **ret,
                                   struct kube_refusal *refusal);
/* Whether an object from outside can stand in the store: names, labels, annotations, types of the
 * fields we read. */
bool kube_rules_valid(enum kube_kind kind, const json_t *object, struct kube_refusal *refusal);
/* A copy with apiVersion, kind, uid and creationTimestamp filled in where they are missing; NULL:
 * no memory. */
json_t *kube_rules_fill(enum kube_kind kind, const json_t *object, const char *uid, int64_t now_ns);

/* ---- patch.c: pure ---- */
/* The patched copy in *ret. 400: the patch can't be read; 422: it does not apply. */
bool kube_patch_apply(enum kube_patch_type type, const json_t *object, const json_t *patch,
                      json_t **ret, struct kube_refusal *refusal);

/* ---- store.c, for load.c ---- */
struct kube_store_item {
    enum kube_kind kind;
    json_t *object;
    const char *path;
    struct kube_mark at;
};
/* Adds all or none. */
MUST_USE enum err_code kube_store_add_all(struct kube_store *st, struct kube_store_item *items,
                                          size_t n, struct err *err);
/* The next UID of this store, a function of how many there were before. */
#define KUBE_UID_MAX 37
void kube_store_uid(struct kube_store *st, struct str ns, struct str name, char out[KUBE_UID_MAX]);
const struct clock *kube_store_clock(const struct kube_store *st);

#endif
