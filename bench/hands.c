/* Hands at a real cluster that are quick enough not to be what is measured: one creates pods, one
 * plays the NVIDIA device plugin of all nodes and answers at once, with the calls of the real one
 * in their order (contract node-side.md 2.4, 2.5 and 5).
 *
 *   hands create --kubeconfig=FILE --file=POD --count=N    each '#' of the file becomes a number
 *   hands plugin --kubeconfig=FILE    prints "watching"; ends on SIGTERM with what it counted */
#include "base/own.h"
#include "kubeclient/kubeclient.h"
#include "vendor/keys.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define KEY_NODE_LOCK   "hami.io/mutex.lock"
#define KEY_TO_ALLOCATE "hami.io/vgpu-devices-to-allocate"

enum { HANDS = 16, QUEUE_MAX = 65536, CALL_MS = 30000, TRIES = 5, PAUSE_MS = 100 };

static struct kube *kube;
static _Atomic bool stopping;
static _Atomic unsigned done, failed;

static void object_free(json_t *object) { json_decref(object); }
DEFINE_CLEANUP(json_t *, object_free)

static bool threads_run(void *(*run)(void *), pthread_t threads[HANDS])
{
    for (size_t i = 0; i < HANDS; i++)
        if (pthread_create(&threads[i], NULL, run, NULL))
            return false;
    return true;
}

static void threads_join(const pthread_t threads[HANDS])
{
    for (size_t i = 0; i < HANDS; i++)
        pthread_join(threads[i], NULL);
}

static enum err_code call(struct kube_request req, json_t **ret, struct err *err)
{
    struct kube_response resp = {0};
    req.timeout_ms = CALL_MS;
    enum err_code rc = kube_call(kube, &req, &resp, err);
    if (!rc && ret) {
        *ret = json_loadb(resp.body, resp.body_n, 0, NULL);
        if (!*ret)
            rc = err_set(err, ERR_UNAVAILABLE, "an answer that is no JSON");
    }
    kube_response_done(&resp);
    return rc;
}

static void complain(const char *what, const char *name, const struct err *err)
{
    atomic_fetch_add(&failed, 1);
    fprintf(stderr, "hands: %s %s: %s\n", what, name, err->text);
}

/* ---- create ---- */

static struct {
    char *text; /* the template */
    unsigned count;
    _Atomic unsigned next;
} work;

static void *create(void *unused)
{
    (void)unused;
    for (unsigned i; (i = atomic_fetch_add(&work.next, 1)) < work.count;) {
        struct buf body;
        buf_init(&body, 1 << 20);
        for (const char *c = work.text; *c; c++)
            if (*c == '#')
                buf_fmt(&body, "%05u", i);
            else
                buf_char(&body, *c);
        const struct kube_request req = {
            .verb = KUBE_CREATE, .kind = KUBE_POD, .ns = STR("e2e"), .body = {body.p, body.n}};
        struct err err;
        if (call(req, NULL, &err))
            complain("create", "a pod", &err);
        else
            atomic_fetch_add(&done, 1);
        buf_done(&body);
    }
    return NULL;
}

static int create_pods(const char *path, unsigned count)
{
    pthread_t threads[HANDS];
    json_t *pod CLEANUP(object_free_p) = json_load_file(path, 0, NULL);
    work.text = pod ? json_dumps(pod, JSON_COMPACT) : NULL;
    work.count = count;
    if (!work.text || !threads_run(create, threads)) {
        fprintf(stderr, "hands: %s\n", pod ? "no threads" : "--file is no JSON");
        return 1;
    }
    threads_join(threads);
    free(work.text);
    printf("created %u failed %u\n", done, failed);
    return failed != 0;
}

/* ---- the plugin ---- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    char *nodes[QUEUE_MAX]; /* names of nodes on which a pod was bound */
    size_t first, n;
} queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void enqueue(const char *node)
{
    pthread_mutex_lock(&queue.lock);
    if (queue.n < QUEUE_MAX)
        queue.nodes[(queue.first + queue.n++) % QUEUE_MAX] = strdup(node);
    pthread_cond_signal(&queue.changed);
    pthread_mutex_unlock(&queue.lock);
}

static char *dequeue(void)
{
    char *node = NULL;
    pthread_mutex_lock(&queue.lock);
    while (queue.n == 0 && !stopping)
        pthread_cond_wait(&queue.changed, &queue.lock);
    if (queue.n) {
        node = queue.nodes[queue.first];
        queue.first = (queue.first + 1) % QUEUE_MAX;
        queue.n--;
    }
    pthread_mutex_unlock(&queue.lock);
    return node;
}

static const char *note_of(const json_t *object, const char *key)
{
    return json_string_value(
        json_object_get(json_object_get(json_object_get(object, "metadata"), "annotations"), key));
}

static enum err_code get(enum kube_kind kind, const char *ns, const char *name, json_t **ret,
                         struct err *err)
{
    return call(
        (struct kube_request){.verb = KUBE_GET, .kind = kind, .ns = str_z(ns), .name = str_z(name)},
        ret, err);
}

/* One annotation; value NULL removes it; `version` may be NULL. */
static enum err_code annotate(enum kube_kind kind, const char *ns, const char *name,
                              const char *version, const char *key, const char *value,
                              struct err *err)
{
    struct buf body;
    buf_init(&body, 1 << 16);
    buf_add(&body, STR("{\"metadata\":{"));
    if (version)
        buf_fmt(&body, "\"resourceVersion\":\"%s\",", version);
    buf_add(&body, STR("\"annotations\":{"));
    buf_json(&body, str_z(key));
    buf_char(&body, ':');
    if (value)
        buf_json(&body, str_z(value));
    else
        buf_add(&body, STR("null"));
    buf_add(&body, STR("}}}"));
    enum err_code rc = call((struct kube_request){.verb = KUBE_PATCH,
                                                  .kind = kind,
                                                  .ns = str_z(ns),
                                                  .name = str_z(name),
                                                  .patch_type = KUBE_PATCH_MERGE,
                                                  .body = {body.p, body.n}},
                            NULL, err);
    buf_done(&body);
    return rc;
}

/* Under the node's version, so that a write in between is seen. */
static enum err_code release(const char *node, const char *owner, struct err *err)
{
    enum err_code rc = ERR_OK;
    for (int i = 0; i < TRIES; i++) {
        json_t *object CLEANUP(object_free_p) = NULL;
        rc = get(KUBE_NODE, NULL, node, &object, err);
        const char *lock = rc ? NULL : note_of(object, KEY_NODE_LOCK);
        if (!rc && (!lock || !strstr(lock, owner)))
            return ERR_OK;
        if (!rc)
            rc = annotate(KUBE_NODE, NULL, node,
                          json_string_value(json_object_get(json_object_get(object, "metadata"),
                                                            "resourceVersion")),
                          KEY_NODE_LOCK, NULL, err);
        if (!rc)
            return ERR_OK;
        (void)nanosleep(&(struct timespec){.tv_nsec = PAUSE_MS * 1000000}, NULL);
    }
    return rc;
}

/* One container with one share: what is left of its list is the two empty slots that the real
 * encoder writes (node-side.md 2.3). */
static enum err_code hand_out(const char *node, struct err *err)
{
    json_t *object CLEANUP(object_free_p) = NULL, *pod CLEANUP(object_free_p) = NULL,
                   *again CLEANUP(object_free_p) = NULL;
    enum err_code rc = get(KUBE_NODE, NULL, node, &object, err);
    if (rc)
        return rc;
    const char *lock = note_of(object, KEY_NODE_LOCK), *owner = lock ? strchr(lock, ',') : NULL;
    char ns[256], name[256];
    if (!owner || sscanf(owner, ",%255[^,],%255[^,]", ns, name) != 2)
        return err_set(err, ERR_NOT_FOUND, "no lock that names a pod: %s", lock ? lock : "none");
    rc = get(KUBE_POD, ns, name, &pod, err);
    const char *list = rc ? NULL : note_of(pod, KEY_TO_ALLOCATE);
    if (!rc && (!list || !strchr(list, ',')))
        rc = err_set(err, ERR_NOT_FOUND, "%s has nothing to be handed out: %s", name,
                     list ? list : "no list");
    if (!rc)
        rc = annotate(KUBE_POD, ns, name, NULL, KEY_TO_ALLOCATE, ";;", err);
    if (!rc)
        rc = get(KUBE_POD, ns, name, &again, err);
    if (!rc)
        rc = annotate(KUBE_POD, ns, name, NULL, KEY_POD_BIND_PHASE, "success", err);
    return rc ? rc : release(node, owner, err);
}

static void *serve(void *unused)
{
    (void)unused;
    for (char *node; (node = dequeue());) {
        struct err err;
        if (hand_out(node, &err))
            complain("node", node, &err);
        else
            atomic_fetch_add(&done, 1);
        free(node);
    }
    return NULL;
}

/* A pod that was bound and that nobody has served yet, once: a watch that begins again tells of all
 * of them again. `ctx` has the UIDs seen. */
static enum err_code on_event(void *ctx, enum kube_event_type type, struct str object,
                              struct str version, struct err *err)
{
    (void)version, (void)err;
    json_t *seen = ctx;
    if (type != KUBE_ADDED && type != KUBE_MODIFIED)
        return ERR_OK;
    json_t *pod CLEANUP(object_free_p) = json_loadb(object.p, object.n, 0, NULL);
    const char *node = json_string_value(json_object_get(json_object_get(pod, "spec"), "nodeName"));
    const char *phase = note_of(pod, KEY_POD_BIND_PHASE);
    const char *list = note_of(pod, KEY_TO_ALLOCATE);
    const char *uid = json_string_value(json_object_get(json_object_get(pod, "metadata"), "uid"));
    if (node && phase && strcmp(phase, KEY_PHASE_ALLOCATING) == 0 && list && strchr(list, ',') &&
        uid && !json_object_get(seen, uid)) {
        (void)json_object_set_new(seen, uid, json_true());
        enqueue(node);
    }
    return ERR_OK;
}

static void *watch(void *unused)
{
    (void)unused;
    json_t *seen CLEANUP(object_free_p) = json_object();
    const struct kube_watch_handler handler = {.event = on_event, .ctx = seen};
    while (seen && !stopping) {
        const struct kube_watch_options opt = {.initial = true,
                                               .field_selector = "spec.nodeName!="};
        struct err err;
        enum err_code rc = kube_watch(kube, KUBE_POD, &opt, &stopping, &handler, &err);
        if (rc && !stopping)
            complain("watch", "pods", &err);
    }
    return NULL;
}

static int play_plugin(void)
{
    pthread_t threads[HANDS], watcher;
    sigset_t set;
    int got;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (!threads_run(serve, threads) || pthread_create(&watcher, NULL, watch, NULL))
        return 1;
    printf("watching\n");
    fflush(stdout);
    sigwait(&set, &got);
    pthread_mutex_lock(&queue.lock);
    stopping = true;
    pthread_cond_broadcast(&queue.changed);
    pthread_mutex_unlock(&queue.lock);
    pthread_join(watcher, NULL);
    threads_join(threads);
    printf("served %u failed %u\n", done, failed);
    return failed != 0;
}

int main(int argc, char **argv)
{
    const char *file = NULL, *kubeconfig = NULL;
    unsigned count = 1;
    for (int i = 2; i < argc; i++) {
        if (strncmp(argv[i], "--kubeconfig=", 13) == 0)
            kubeconfig = argv[i] + 13;
        else if (strncmp(argv[i], "--file=", 7) == 0)
            file = argv[i] + 7;
        else if (strncmp(argv[i], "--count=", 8) == 0)
            count = (unsigned)atoi(argv[i] + 8);
    }
    const bool creates = argc > 1 && strcmp(argv[1], "create") == 0;
    if (!kubeconfig || (creates && !file) || (!creates && strcmp(argv[1], "plugin") != 0)) {
        fprintf(stderr, "usage: hands create|plugin --kubeconfig=FILE [--file=POD] [--count=N]\n");
        return 2;
    }
    const struct kube_http_config cfg = {.kubeconfig = kubeconfig};
    struct err err;
    if (kube_http_new(&cfg, &CLOCK_SYSTEM, &kube, &err)) {
        fprintf(stderr, "hands: %s\n", err.text);
        return 1;
    }
    int rc = creates ? create_pods(file, count) : play_plugin();
    kube_free(kube);
    return rc;
}
