/* A node's kubelet and device plugin, written after contract/node-side.md 2.5, 4 and 5: pods are
 * admitted one after the other, a call for each container with cards, and the plugin finds "its"
 * pod by the node's lock. It takes its time, unlocks after the first container on some nodes, and
 * fails now and then. That it serves the pod which the kubelet admits is the invariant that the
 * lock is there for. Plugins of makers whose lock names nobody, or that have none, know the pod
 * from the kubelet. */
#include "model/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool faults_on = true;

void node_faults(bool on) { faults_on = on; }

static const char *note_of(const json_t *o, const char *key)
{
    const char *v = json_string_value(
        json_object_get(json_object_get(json_object_get(o, "metadata"), "annotations"), key));
    return v ? v : "";
}

static const char *text_at(const json_t *o, const char *a, const char *b)
{
    const char *v = json_string_value(json_object_get(json_object_get(o, a), b));
    return v ? v : "";
}

static void annotate(const struct t_pod *pod, const char *key, const char *value)
{
    (void)api_call(
        KUBE_PATCH, KUBE_POD, pod->ns, pod->name, false,
        json_pack("{s:{s:s,s:{s:s}}}", "metadata", "uid", pod->uid, "annotations", key, value),
        NULL);
}

static void pause(void) /* between two calls of a program on the node */
{
    if (chance_of(70))
        fiber_yield(FIBER_NEVER);
    else
        fiber_sleep(chance(chance_of(90) ? 50 : 3000));
}

/* ---- the plugin ---- */

static void unlock(const char *node, const struct t_pod *pod)
{
    for (int i = 0; i < 5; i++) {
        json_auto_t *o = api_get(KUBE_NODE, "", node);
        const char *lock = note_of(o, maker->lock), *comma = strchr(lock, ',');
        char owner[2 * NAME_MAX_ + 2];
        (void)snprintf(owner, sizeof(owner), ",%s,%s", pod->ns, pod->name);
        if (maker->habit == LOCK_OWNED ? !comma || strcmp(comma, owner) != 0 : !*lock)
            return;
        pause();
        if (api_call(KUBE_PATCH, KUBE_NODE, "", node, false,
                     json_pack("{s:{s:s,s:{s:n}}}", "metadata", "resourceVersion",
                               text_at(o, "metadata", "resourceVersion"), "annotations",
                               maker->lock),
                     NULL))
            return;
    }
}

/* The lock's owner, whatever it is; without a lock the first pod that looks as if it waits (2.5
 * step 3). */
static const struct t_pod *find_pod(const char *node)
{
    json_auto_t *o = api_get(KUBE_NODE, "", node);
    char ns[NAME_MAX_], name[NAME_MAX_];
    if (sscanf(note_of(o, maker->lock), "%*[^,],%63[^,],%63s", ns, name) == 2)
        return truth_pod_named(ns, name);
    const struct t_pod *best = NULL;
    for (int i = 0; i < PODS_MAX; i++) {
        const struct t_pod *p = &t_pods[i];
        if (!p->used || !p->there || p->ended || strcmp(p->node, node) != 0)
            continue;
        json_auto_t *pod = api_get(KUBE_POD, p->ns, p->name);
        const char *phase = note_of(pod, "hami.io/bind-phase");
        bool waits = strcmp(text_at(pod, "status", "phase"), "Pending") == 0 &&
                     *note_of(pod, "hami.io/bind-time") &&
                     (strcmp(phase, "allocating") == 0 || strcmp(phase, "success") == 0) &&
                     strcmp(note_of(pod, "hami.io/vgpu-node"), node) == 0;
        int order = best ? strcmp(p->ns, best->ns) : -1; /* API list order: by namespace and name */
        if (waits && (!best || order < 0 || (order == 0 && strcmp(p->name, best->name) < 0)))
            best = p;
    }
    return best;
}

/* Empties the first full slot of a list; how many cards it named, 0: none is left. */
static int pop(char *list)
{
    int n = 0;
    char *slot = list;
    while (*slot && n == 0) {
        char *end = strchr(slot, ';');
        if (!end)
            break;
        for (char *c = slot; c < end; c++)
            n += *c == ':';
        if (n > 0)
            memmove(slot, end, strlen(end) + 1);
        else
            slot = end + 1;
    }
    return n;
}

static bool fail(const struct t_pod *pod, const char *node, const char *why)
{
    tell("plugin of %s: %s fails: %s", node, pod->name, why);
    annotate(pod, "hami.io/bind-phase", "failed");
    unlock(node, pod);
    return false;
}

static bool allocate(const char *node, const struct t_pod *for_pod, int n)
{
    struct t_pod pod;
    pause();
    const struct t_pod *found =
        maker->habit == LOCK_OWNED ? find_pod(node) : truth_pod(for_pod->uid);
    if (!found)
        return false;
    if (strcmp(found->uid, for_pod->uid) != 0) {
        if (for_pod->there && !for_pod->ended)
            broken("the cards of another pod", "%s: the kubelet admits %s, the plugin found %s",
                   node, for_pod->name, found->name);
        return false;
    }
    pod = *found; /* its slot may be used again while we wait */
    pause();
    json_auto_t *o = api_get(KUBE_POD, pod.ns, pod.name);
    char list[2048];
    (void)snprintf(list, sizeof(list), "%s", note_of(o, maker->todo));
    int got = pop(list);
    if (strcmp(text_at(o, "metadata", "uid"), pod.uid) != 0)
        return false;
    if (got != n) {
        broken("a list that is not the pod's", "%s wants %d cards, its list has %d", pod.name, n,
               got);
        return fail(&pod, node, "the list");
    }
    if (faults_on && chance_of(options.plugin_faults_pct))
        return fail(&pod, node, "chance");
    (void)snprintf(list + strlen(list), 2, ";"); /* each write-back is one longer */
    annotate(&pod, maker->todo, list);
    pause();
    if (strstr(list, maker->key) && !options.first_container)
        return true;
    annotate(&pod, "hami.io/bind-phase", "success");
    pause();
    unlock(node, &pod);
    return true;
}

/* ---- the kubelet ---- */

static json_t *statuses(const struct t_pod *pod, bool init, bool terminated)
{
    json_t *list = json_array();
    for (int c = 0; c < pod->containers_n; c++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "c%d", c);
        if (pod->asks[c].init != init)
            continue;
        json_t *state = terminated || init ? json_pack("{s:{s:i}}", "terminated", "exitCode", 0)
                                           : json_pack("{s:{s:s}}", "running", "startedAt",
                                                       "2026-09-21T14:13:20Z");
        json_array_append_new(list, json_pack("{s:s,s:o}", "name", name, "state", state));
    }
    return list;
}

static void say(const struct t_pod *pod, const char *phase, bool terminated)
{
    (void)api_call(KUBE_PATCH, KUBE_POD, pod->ns, pod->name, true,
                   json_pack("{s:{s:s},s:{s:s,s:o,s:o}}", "metadata", "uid", pod->uid, "status",
                             "phase", phase, "containerStatuses", statuses(pod, false, terminated),
                             "initContainerStatuses", statuses(pod, true, terminated)),
                   NULL);
}

static void fail_pod(const struct t_pod *pod)
{
    (void)api_call(KUBE_PATCH, KUBE_POD, pod->ns, pod->name, true,
                   json_pack("{s:{s:s},s:{s:s,s:s}}", "metadata", "uid", pod->uid, "status",
                             "phase", "Failed", "reason", "UnexpectedAdmissionError"),
                   NULL);
}

static void admit(const char *node, const struct t_pod *at)
{
    char uid[NAME_MAX_];
    (void)snprintf(uid, sizeof(uid), "%s", at->uid);
    struct t_pod *pod = truth_pod(uid);
    pod->admitted = true;
    const struct t_pod copy = *pod;
    if (faults_on && chance_of(options.plugin_faults_pct)) { /* no plugin there: nobody unlocks */
        fail_pod(&copy);
        return;
    }
    bool good = true;
    for (int c = 0; c < copy.containers_n && good; c++) {
        pod = truth_pod(uid);
        if (!pod || !pod->there)
            return;
        if (copy.asks[c].n)
            good = allocate(node, pod, copy.asks[c].n);
    }
    pod = truth_pod(uid);
    if (!pod || !pod->there)
        return;
    pause();
    pod = truth_pod(uid);
    if (!pod || !pod->there || pod->ended)
        return;
    if (good)
        say(&copy, "Running", false);
    else
        fail_pod(&copy);
    pod->served = good;
}

/* Pods that are to go: their containers end, then the object goes. */
static void reap(const struct t_pod *at)
{
    const struct t_pod pod = *at;
    if (!pod.terminated)
        say(&pod, pod.served ? "Running" : "Pending", true);
    pause();
    (void)api_call(
        KUBE_DELETE, KUBE_POD, pod.ns, pod.name, false,
        json_pack("{s:i,s:{s:s}}", "gracePeriodSeconds", 0, "preconditions", "uid", pod.uid), NULL);
}

static void kubelet(void *ctx)
{
    const struct t_node *n = ctx;
    for (;;) {
        const struct t_pod *next = NULL, *dying = NULL;
        for (int i = 0; i < PODS_MAX && n->there; i++) {
            const struct t_pod *p = &t_pods[i];
            if (!p->used || !p->there || strcmp(p->node, n->name) != 0)
                continue;
            if (p->deleting && (!dying || p->rv < dying->rv))
                dying = p;
            if (!p->deleting && !p->ended && !p->admitted &&
                (!next || p->bound_rv < next->bound_rv))
                next = p;
        }
        if (next)
            admit(n->name, next);
        else if (dying)
            reap(dying);
        fiber_sleep(next || dying ? chance(20) : 100);
    }
}

void node_start(int n) { (void)fiber_spawn(0, "kubelet", kubelet, &t_nodes[n]); }
