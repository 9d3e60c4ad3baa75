/* The label hami.io/vgpu-node, by which HAMi's monitor finds a pod (contract/node-side.md 2.1).
 * From 1.35 on kube-apiserver takes it from the Binding; before, a pod is bound without it. It must
 * not be added at once: a write between the Binding and its plugin's answer breaks plugins, which
 * patch the pod as they read it (node-side.md 5). So a pod that our watch shows without it, though
 * its annotation says the same, is patched when its plugin has said success or failed, or it runs.
 *
 * Bounded: the queue, the writes of a round, and a pause after a write that the server refused or
 * did not answer. What does not fit in waits for the pod's next event. */
#include "base/own.h"
#include "extender/priv.h"
#include "vendor/keys.h"

#include <pthread.h>
#include <string.h>

enum {
    QUEUE_MAX = 4096,
    A_ROUND = 4, /* 40 writes a second at most, as the waking thread's rounds are 100 ms apart */
    PAUSE_MS = 5000,
    NAME_MAX_BYTES = 63, /* of a label's value: longer node names are none (node-side.md 2.1) */
};

struct unlabelled { /* a pod, as its last event had it */
    struct unlabelled *next;
    struct str uid, ns, name, node, resource_version; /* into text */
    char text[];
};

struct ext_labels {
    struct ext_app *app;
    pthread_mutex_t lock; /* guards everything below; held for memory work only */
    struct unlabelled *first, **last;
    _Atomic size_t n;
    int64_t again_ms; /* the rounds' own: no write before */
};

enum err_code ext_labels_new(struct ext_app *app, struct ext_labels **ret, struct err *err)
{
    struct ext_labels *l = calloc(1, sizeof(*l));
    if (!l)
        return err_set(err, ERR_NO_MEMORY, "labels");
    l->app = app;
    l->last = &l->first;
    pthread_mutex_init(&l->lock, NULL);
    *ret = l;
    return ERR_OK;
}

void ext_labels_free(struct ext_labels *l)
{
    if (!l)
        return;
    for (struct unlabelled *u; (u = l->first);) {
        l->first = u->next;
        free(u);
    }
    pthread_mutex_destroy(&l->lock);
    free(l);
}

size_t ext_labels_waiting(const struct ext_labels *l) { return l ? atomic_load(&l->n) : 0; }

/* ---- who lacks it ---- */

/* The decision is on the pod, and nobody reads it to allocate any more. */
static bool lacks_label(const struct cluster_pod *pod)
{
    const bool begun = pod->phase == CLUSTER_RUNNING ||
                       str_eq(pod->bind_phase, STR(KEY_PHASE_SUCCESS)) ||
                       str_eq(pod->bind_phase, STR(KEY_PHASE_FAILED));
    return begun && pod->vendors_asked && pod->node.n > 0 && pod->node.n <= NAME_MAX_BYTES &&
           str_eq(pod->vgpu_node, pod->node) && !str_eq(pod->node_label, pod->node);
}

static struct str keep(char **at, struct str s)
{
    struct str copy = {*at, s.n};
    memcpy(*at, s.n ? s.p : "", s.n);
    *at += s.n;
    return copy;
}

static struct unlabelled *new_entry(const struct cluster_pod *pod)
{
    struct unlabelled *u = malloc(sizeof(*u) + pod->uid.n + pod->ns.n + pod->name.n + pod->node.n +
                                  pod->resource_version.n);
    if (!u)
        return NULL;
    char *at = u->text;
    *u = (struct unlabelled){.next = NULL};
    u->uid = keep(&at, pod->uid);
    u->ns = keep(&at, pod->ns);
    u->name = keep(&at, pod->name);
    u->node = keep(&at, pod->node);
    u->resource_version = keep(&at, pod->resource_version);
    return u;
}

static struct unlabelled *take_locked(struct ext_labels *l, struct unlabelled **at)
{
    struct unlabelled *u = *at;
    if (!u)
        return NULL;
    *at = u->next;
    if (!u->next)
        l->last = at;
    atomic_fetch_sub(&l->n, 1);
    return u;
}

static void put_locked(struct ext_labels *l, struct unlabelled *u)
{
    u->next = NULL;
    *l->last = u;
    l->last = &u->next;
    atomic_fetch_add(&l->n, 1);
}

void ext_labels_see(struct ext_labels *l, const struct cluster_pod *pod)
{
    if (!l)
        return;
    const bool lacks = lacks_label(pod);
    if (!lacks && ext_labels_waiting(l) == 0)
        return;
    struct unlabelled *now CLEANUP(free_p) = lacks ? new_entry(pod) : NULL;
    pthread_mutex_lock(&l->lock);
    struct unlabelled **at = &l->first;
    while (*at && !str_eq((*at)->uid, pod->uid))
        at = &(*at)->next;
    struct unlabelled *old = take_locked(l, at);
    if (now && atomic_load(&l->n) < QUEUE_MAX)
        put_locked(l, TAKE(now));
    pthread_mutex_unlock(&l->lock);
    free(old);
}

/* ---- the write ---- */

static enum err_code patch(struct ext_app *app, const struct unlabelled *u, struct err *err)
{
    struct buf body;
    buf_init(&body, 4096);
    buf_add(&body, STR("{\"metadata\":{\"uid\":"));
    buf_json(&body, u->uid);
    buf_add(&body, STR(",\"resourceVersion\":"));
    buf_json(&body, u->resource_version);
    buf_add(&body, STR(",\"labels\":{\"" KEY_POD_NODE "\":"));
    buf_json(&body, u->node);
    buf_add(&body, STR("}}}"));
    struct kube_request req = {.verb = KUBE_PATCH,
                               .kind = KUBE_POD,
                               .ns = u->ns,
                               .name = u->name,
                               .status = true,
                               .patch_type = KUBE_PATCH_MERGE,
                               .body = {body.p, body.n},
                               .timeout_ms = ext_write_ms(&app->config)};
    struct kube_response resp = {0};
    enum err_code rc = kube_call(app->kube, &req, &resp, err);
    kube_response_done(&resp);
    buf_done(&body);
    return rc;
}

/* False: the server is in trouble, and so would the others' writes be. */
static bool label(struct ext_labels *l, struct unlabelled *u, struct ext_term *term)
{
    struct ext_app *app = l->app;
    struct err err = {0};
    enum err_code rc = patch(app, u, &err);
    ext_wrote(app, term);
    if (!rc) {
        ext_metrics_count(app->metrics, EXT_LABELS, 1);
        return true;
    }
    if (rc == ERR_CONFLICT || rc == ERR_NOT_FOUND)
        return true; /* it has changed or gone: its next event tells */
    log_warn("label not written", "pod=" STR_FMT "/" STR_FMT " err=\"%s\"", STR_ARG(u->ns),
             STR_ARG(u->name), err.text);
    return false;
}

/* Written meanwhile by the pod's next event: that one is the newer. */
static void put_back(struct ext_labels *l, struct unlabelled *u)
{
    pthread_mutex_lock(&l->lock);
    struct unlabelled *other = l->first;
    while (other && !str_eq(other->uid, u->uid))
        other = other->next;
    if (!other)
        put_locked(l, u);
    pthread_mutex_unlock(&l->lock);
    if (other)
        free(u);
}

void ext_labels_round(struct ext_labels *l)
{
    struct ext_term term;
    const int64_t now_ms = l ? clock_mono_ms(l->app->clock) : 0;
    if (ext_labels_waiting(l) == 0 || now_ms < l->again_ms ||
        ext_term_enter(l->app, /* don't wait */ 0, &term, NULL, NULL))
        return;
    for (int i = 0; i < A_ROUND; i++) {
        pthread_mutex_lock(&l->lock);
        struct unlabelled *u = take_locked(l, &l->first);
        pthread_mutex_unlock(&l->lock);
        if (!u)
            return;
        if (ext_may_write(l->app, &term) && label(l, u, &term)) {
            free(u);
            continue;
        }
        put_back(l, u); /* behind the others */
        l->again_ms = now_ms + PAUSE_MS;
        return;
    }
}
