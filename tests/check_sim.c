/* The simulated plugin: what it makes of a bound pod's lists, and that it leaves everything else
 * alone. */
#include "check_kube_util.h"

#include "sim/sim.h"
#include "vendor/vendor.h"

#include <time.h>

#define LIST       "hami.io/vgpu-devices-to-allocate"
#define LIST_PATH  "/metadata/annotations/hami.io~1vgpu-devices-to-allocate"
#define PHASE_PATH "/metadata/annotations/hami.io~1bind-phase"
#define LOCK_PATH  "/metadata/annotations/hami.io~1mutex.lock"

struct fixture {
    struct kube *k;
    struct kube_store *st;
    struct vendor_table *vendors;
    struct sim *sim;
};

static void setup(struct fixture *f, const char *yaml)
{
    *f = (struct fixture){0};
    ck_ok(kube_store_new(NULL, &CLOCK_SYSTEM, &f->k, &f->st, why));
    ck_ok(vendor_table_builtin(&f->vendors, why));
    ck_ok(test_load(f->st, yaml, NULL, NULL, why));
}

static void done(struct fixture *f)
{
    sim_stop(f->sim);
    vendor_table_free(f->vendors);
    kube_free(f->k);
}

/* Until the pod's phase is `phase`; false after five seconds. */
static bool wait_phase(struct fixture *f, const char *pod, const char *phase)
{
    for (int i = 0; i < 500; i++) {
        json_t *p = test_get(f->k, KUBE_POD, "ml", pod);
        bool is = strcmp(test_text_at(p, "/status/phase"), phase) == 0;
        json_decref(p);
        if (is)
            return true;
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return false;
}

#define OURS "2026-09-21T14:13:20Z,ml,p"

/* clang-format off */
static const struct {
    const char *name, *lock, *list, *phase, *want_list, *want_phase, *want_pod;
    bool lock_stays;
} SERVES[] = {
    {"one container, one card", OURS, "GPU-a,NVIDIA,3000,50:;", "allocating", ";;", "success", "Running", false},
    {"two cards in one container", OURS, "GPU-a,NVIDIA,1,1:GPU-b,NVIDIA,1,1:;", "allocating", ";;", "success", "Running", false},
    {"two containers", OURS, "GPU-a,NVIDIA,1,1:;GPU-b,NVIDIA,1,1:;", "allocating", ";;;;", "success", "Running", false},
    {"the second only", OURS, ";GPU-a,NVIDIA,1,1:;", "allocating", ";;;", "success", "Running", false},
    {"with an init container", OURS, "GPU-i,NVIDIA,1,1:;;GPU-a,NVIDIA,1,1:;", "allocating", ";;;;;", "success", "Running", false},
    {"nothing left", OURS, ";;", "allocating", ";;", "success", "Running", false},
    {"another pod's lock stays", "2026-09-21T14:13:20Z,ml,other", "GPU-a,NVIDIA,1,1:;", "allocating", ";;", "success", "Running", true},
    {"a lock whose pod ends alike stays", "2026-09-21T14:13:20Z,ml,top", "GPU-a,NVIDIA,1,1:;", "allocating", ";;", "success", "Running", true},
    {"a legacy lock goes", "2026-09-21T14:13:20Z", "GPU-a,NVIDIA,1,1:;", "allocating", ";;", "success", "Running", false},
    {"too few fields", OURS, "GPU-a,NVIDIA,3000:;", "allocating", "GPU-a,NVIDIA,3000:;", "failed", "Failed", false},
    {"memory is no number", OURS, "GPU-a,NVIDIA,x,1:;", "allocating", "GPU-a,NVIDIA,x,1:;", "failed", "Failed", false},
    {"cores beyond 32 bits", OURS, "GPU-a,NVIDIA,1,2147483648:;", "allocating", "GPU-a,NVIDIA,1,2147483648:;", "failed", "Failed", false},
    {"a piece without comma is passed over", OURS, "x:GPU-a,NVIDIA,1,1:;", "allocating", ";;", "success", "Running", false},
    {"more fields are passed over", OURS, "GPU-a,NVIDIA,1,1,extra:;", "allocating", ";;", "success", "Running", false},
};
/* clang-format on */

static void make_cluster(char *out, size_t n, const char *lock, const char *pod)
{
    (void)snprintf(out, n,
                   "apiVersion: v1\nkind: Node\nmetadata: {name: n1, annotations: "
                   "{hami.io/mutex.lock: '%s'}}\n---\n"
                   "apiVersion: v1\nkind: Pod\n%s",
                   lock, pod);
}

START_TEST(serves)
{
    char pod[1024], yaml[2048];
    (void)snprintf(
        pod, sizeof(pod),
        "metadata: {name: p, namespace: ml, annotations: {%s: '%s', hami.io/bind-phase: %s, "
        "hami.io/vgpu-devices-allocated: '%s'}}\n"
        "spec: {nodeName: n1, initContainers: [{name: i}], containers: [{name: a, image: x}, "
        "{name: b}]}\n"
        "status: {phase: Pending, conditions: [{type: PodScheduled, status: 'True'}]}\n",
        LIST, SERVES[_i].list, SERVES[_i].phase, SERVES[_i].list);
    make_cluster(yaml, sizeof(yaml), SERVES[_i].lock, pod);
    struct fixture f;
    setup(&f, yaml);
    const char *name = SERVES[_i].name;
    ck_ok(sim_start(f.k, f.vendors, &CLOCK_SYSTEM, &f.sim, why));
    ck_assert_msg(wait_phase(&f, "p", SERVES[_i].want_pod), "%s: not %s", name,
                  SERVES[_i].want_pod);
    json_t *p = test_get(f.k, KUBE_POD, "ml", "p"), *n1 = test_get(f.k, KUBE_NODE, "", "n1");
    ck_assert_msg(strcmp(test_text_at(p, LIST_PATH), SERVES[_i].want_list) == 0, "%s: left \"%s\"",
                  name, test_text_at(p, LIST_PATH));
    ck_assert_msg(strcmp(test_text_at(p, PHASE_PATH), SERVES[_i].want_phase) == 0, "%s: bind-phase",
                  name);
    ck_assert_msg((test_at(n1, LOCK_PATH) != NULL) == SERVES[_i].lock_stays, "%s: the lock", name);
    ck_assert_str_eq(test_text_at(p, "/metadata/annotations/hami.io~1vgpu-devices-allocated"),
                     SERVES[_i].list);
    bool good = strcmp(SERVES[_i].want_pod, "Running") == 0;
    ck_assert_uint_eq(json_array_size(test_at(p, "/status/containerStatuses")), good ? 2 : 0);
    ck_assert_uint_eq(json_array_size(test_at(p, "/status/initContainerStatuses")), good ? 1 : 0);
    ck_assert_str_eq(test_text_at(p, "/status/conditions/0/type"), "PodScheduled");
    ck_assert_str_eq(test_text_at(p, "/status/reason"), good ? "" : "UnexpectedAdmissionError");
    json_decref(p);
    json_decref(n1);
    done(&f);
}
END_TEST

/* A JSON pointer to an annotation. */
static const char *path_of(struct str key, char *out, size_t max)
{
    size_t n = (size_t)snprintf(out, max, "/metadata/annotations/");
    for (size_t i = 0; i < key.n && n + 3 < max; i++)
        if (key.p[i] == '/')
            n += (size_t)snprintf(out + n, max - n, "~1");
        else
            out[n++] = key.p[i];
    out[n] = '\0';
    return out;
}

/* Every maker's list is emptied and its lock given back in its own habit: with an owner, or a bare
 * time; a row that writes no list, and takes no lock, is served all the same. */
START_TEST(serves_every_maker)
{
    struct vendor_table *vendors;
    ck_ok(vendor_table_builtin(&vendors, why));
    for (uint16_t i = 0; i < vendor_count(vendors); i++) {
        const struct vendor *v = vendor_at(vendors, i);
        const struct str any = v->node_lock.n ? v->node_lock : STR("x/no-lock");
        const struct str list = v->pod_to_allocate.n ? v->pod_to_allocate : STR("x/no-list");
        char yaml[2048], path[512];
        (void)snprintf(yaml, sizeof(yaml),
                       "apiVersion: v1\nkind: Node\nmetadata: {name: n1, annotations: {" STR_FMT
                       ": '%s'}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: ml, "
                       "annotations: {hami.io/bind-phase: allocating, " STR_FMT ": 'a," STR_FMT
                       ",1,1:;'}}\nspec: {nodeName: n1, containers: [{name: a}]}\n"
                       "status: {phase: Pending}\n",
                       STR_ARG(any), v->lock_time_only ? "2026-09-21T14:13:20Z" : OURS, STR_ARG(list),
                       STR_ARG(v->core.key));
        struct fixture f;
        setup(&f, yaml);
        ck_ok(sim_start(f.k, f.vendors, &CLOCK_SYSTEM, &f.sim, why));
        ck_assert_msg(wait_phase(&f, "p", "Running"), STR_FMT, STR_ARG(v->core.key));
        json_t *p = test_get(f.k, KUBE_POD, "ml", "p"), *n1 = test_get(f.k, KUBE_NODE, "", "n1");
        ck_assert_str_eq(test_text_at(p, PHASE_PATH), "success");
        if (v->pod_to_allocate.n) {
            ck_assert_str_eq(test_text_at(p, path_of(list, path, sizeof(path))), ";;");
            ck_assert_msg(!v->node_lock.n || !test_at(n1, path_of(any, path, sizeof(path))),
                          STR_FMT ": the lock", STR_ARG(v->core.key));
        }
        json_decref(p);
        json_decref(n1);
        done(&f);
    }
    vendor_table_free(vendors);
}
END_TEST

/* clang-format off */
static const struct {
    const char *name, *pod;
} LEAVES[] = {
    {"not bound", "metadata: {name: p, namespace: ml, annotations: {hami.io/bind-phase: allocating}}\nspec: {}\n"},
    {"without phase", "metadata: {name: p, namespace: ml}\nspec: {nodeName: n1}\n"},
    {"done already", "metadata: {name: p, namespace: ml, annotations: {hami.io/bind-phase: success}}\nspec: {nodeName: n1}\n"},
    {"failed already", "metadata: {name: p, namespace: ml, annotations: {hami.io/bind-phase: failed}}\nspec: {nodeName: n1}\n"},
    {"runs already", "metadata: {name: p, namespace: ml, annotations: {hami.io/bind-phase: allocating}}\nspec: {nodeName: n1}\nstatus: {phase: Running}\n"},
    {"being deleted", "metadata: {name: p, namespace: ml, deletionTimestamp: '2026-01-01T00:00:00Z', annotations: {hami.io/bind-phase: allocating}}\nspec: {nodeName: n1}\n"},
};
/* clang-format on */

START_TEST(leaves_alone)
{
    char yaml[2048];
    make_cluster(yaml, sizeof(yaml), OURS, LEAVES[_i].pod);
    struct fixture f;
    setup(&f, yaml);
    ck_ok(sim_start(f.k, f.vendors, &CLOCK_SYSTEM, &f.sim, why));
    (void)nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    ck_assert_msg(kube_store_writes(f.st) == 0, "%s: it wrote", LEAVES[_i].name);
    done(&f);
}
END_TEST

static const char WAITING[] =
    "apiVersion: v1\nkind: Node\nmetadata: {name: n1, annotations: {hami.io/mutex.lock: '" OURS
    "'}}\n---\n"
    "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: ml}\nspec: {containers: [{name: "
    "c}]}\n";

static void bind_it(struct fixture *f)
{
    struct kube_request bind = {
        .verb = KUBE_BIND,
        .kind = KUBE_POD,
        .ns = STR("ml"),
        .name = STR("p"),
        .body = STR("{\"metadata\":{\"name\":\"p\",\"annotations\":{\"hami.io/"
                    "bind-phase\":\"allocating\",\"" LIST
                    "\":\"GPU-a,NVIDIA,10,10:;\"}},\"target\":{\"name\":\"n1\"}}")};
    ck_ok(test_call(f->k, bind, NULL, NULL, why));
}

/* Bound while it watches; through lists and watches that fail, cuts, and an expired version. */
START_TEST(follows_bindings_through_faults)
{
    static const struct kube_fault_rule RULES[] = {
        {.fault = KUBE_FAULT_NONE, .verb = -1, .kind = -1},
        {.fault = KUBE_FAULT_REFUSED, .verb = KUBE_LIST, .kind = -1, .times = 2},
        {.fault = KUBE_FAULT_STATUS, .verb = KUBE_WATCH, .kind = -1, .status = 410},
        {.fault = KUBE_FAULT_CUT_DONE, .verb = KUBE_WATCH, .kind = -1, .times = 2},
        {.fault = KUBE_FAULT_TIMEOUT_NEVER, .verb = KUBE_PATCH, .kind = KUBE_POD, .times = 2},
        {.fault = KUBE_FAULT_CUT_DONE, .verb = KUBE_PATCH, .kind = -1, .times = 2},
        {.fault = KUBE_FAULT_STATUS,
         .verb = KUBE_PATCH,
         .kind = KUBE_NODE,
         .status = 409,
         .times = 2},
    };
    struct fixture f;
    setup(&f, WAITING);
    bool has_fault = RULES[_i].fault != KUBE_FAULT_NONE;
    bool of_watch = RULES[_i].verb == KUBE_LIST || RULES[_i].verb == KUBE_WATCH;
    if (has_fault && of_watch)
        kube_store_fault(f.st, &RULES[_i]);
    ck_ok(sim_start(f.k, f.vendors, &CLOCK_SYSTEM, &f.sim, why));
    (void)nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
    if (has_fault && !of_watch)
        kube_store_fault(f.st, &RULES[_i]);
    bind_it(&f);
    ck_assert(wait_phase(&f, "p", "Running"));
    json_t *p = test_get(f.k, KUBE_POD, "ml", "p"), *n1 = test_get(f.k, KUBE_NODE, "", "n1");
    ck_assert_str_eq(test_text_at(p, PHASE_PATH), "success");
    ck_assert_ptr_null(test_at(n1, LOCK_PATH));
    json_decref(p);
    json_decref(n1);
    done(&f);
}
END_TEST

START_TEST(stops_at_once)
{
    struct fixture f;
    setup(&f, WAITING);
    ck_ok(sim_start(f.k, f.vendors, &CLOCK_SYSTEM, &f.sim, why));
    (void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    struct timespec t0, t1;
    (void)clock_gettime(CLOCK_MONOTONIC, &t0);
    done(&f);
    (void)clock_gettime(CLOCK_MONOTONIC, &t1);
    ck_assert_int_lt((t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000, 1000);
    sim_stop(NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("sim");
    TCase *tc = tcase_create("sim");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, serves, 0, (int)COUNT(SERVES));
    tcase_add_test(tc, serves_every_maker);
    tcase_add_loop_test(tc, leaves_alone, 0, (int)COUNT(LEAVES));
    tcase_add_loop_test(tc, follows_bindings_through_faults, 0, 7);
    tcase_add_test(tc, stops_at_once);
    suite_add_tcase(s, tc);
    return test_run(s);
}
