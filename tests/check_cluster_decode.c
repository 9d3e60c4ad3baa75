/* Decoding: every field, and what hostile or odd JSON becomes. */
#include "check_cluster.h"

#include <stdio.h>
#include <string.h>

static struct world w;
static void setup(void) { world_open(&w); }
static void teardown(void) { world_close(&w); }

/* ---- a pod, told in one line ---- */

static const char *tell_asks(const struct cluster_pod *p)
{
    const char *s = "";
    for (uint16_t i = 0; i < p->request.asks_n; i++) {
        const struct score_ask *a = &p->request.asks[i];
        s = fmt(&w, "%s%s%d:%d=%dx%lld/%d%%/%d", s, i ? " " : "", a->container, a->vendor, a->count,
                (long long)a->mem_mib, a->mem_pct, a->cores_pct);
    }
    return s;
}

static const char *tell_shares(const struct cluster_pod *p)
{
    const char *s = "";
    for (uint16_t i = 0; i < p->shares_n; i++)
        s = fmt(&w, "%s%s%d:%d=" STR_FMT "/%lld/%d", s, i ? " " : "", p->shares[i].container,
                p->shares[i].vendor, STR_ARG(p->shares[i].uuid), (long long)p->shares[i].mem_mib,
                p->shares[i].cores_pct);
    return s;
}

static const char *tell(const char *json, bool fold)
{
    struct cluster_pod p;
    struct err err;
    enum err_code rc = cluster_pod_decode(&w.cfg, str_z(json), fold, w.arena, &p, &err);
    if (rc)
        return rc == ERR_BAD_REQUEST ? "bad" : rc == ERR_TOO_LARGE ? "large" : "error";
    struct cluster_pod *clone = cluster_pod_clone(&p); /* a copy says the same as the original */
    ck_assert_ptr_nonnull(clone);
    ck_assert_str_eq(tell_asks(clone), tell_asks(&p));
    ck_assert_str_eq(tell_shares(clone), tell_shares(&p));
    ck_assert(str_eq(clone->name, p.name) && str_eq(clone->uid, p.uid) &&
              str_eq(clone->node, p.node));
    ck_assert(str_eq(clone->refused_text, p.refused_text));
    free(clone);
    static const char *const WANTS[] = {"nothing", "cards", "refused"};
    return fmt(&w, "%s [%s] [%s]", WANTS[p.wants], tell_asks(&p), tell_shares(&p));
}

#define META    "\"metadata\":{\"name\":\"a\",\"uid\":\"u\"}"
#define GPU(n)  "\"resources\":{\"limits\":{\"nvidia.com/gpu\":" n "}}"
#define SPEC(c) "{" META ",\"spec\":{\"containers\":[" c "]}}"
#define NOTES(notes, c)                                                                            \
    "{\"metadata\":{\"name\":\"a\",\"annotations\":{" notes "}},\"spec\":{\"containers\":[" c "]}" \
    "}"
#define ALLOCATED "\"hami.io/vgpu-devices-allocated\":"

static const struct {
    const char *name, *json, *want;
    bool fold;
} PODS[] = {
    /* what is asked for */
    {"no cards", SPEC("{\"name\":\"m\"}"), "nothing [] []", false},
    {"one card", SPEC("{" GPU("\"1\"") "}"), "cards [0:0=1x0/100%/0] []", false},
    {"a number as a quantity", SPEC("{" GPU("2") "}"), "cards [0:0=2x0/100%/0] []", false},
    {"spaces around a quantity", SPEC("{" GPU("\" 2 \"") "}"), "cards [0:0=2x0/100%/0] []", false},
    {"zero cards", SPEC("{" GPU("\"0\"") "}"), "nothing [] []", false},
    {"null is zero", SPEC("{" GPU("null") "}"), "nothing [] []", false},
    {"requests where limits are silent",
     SPEC("{\"resources\":{\"requests\":{\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"5\"},"
          "\"limits\":{\"nvidia.com/gpumem\":\"7\"}}}"),
     "cards [0:0=1x7/0%/0] []", false},
    {"all amounts",
     SPEC("{\"resources\":{\"limits\":{\"nvidia.com/gpu\":\"2\",\"nvidia.com/gpumem\":\"3000\","
          "\"nvidia.com/gpucores\":\"30\",\"nvidia.com/priority\":\"1\"}}}"),
     "cards [0:0=2x3000/0%/30] []", false},
    {"percent",
     SPEC("{\"resources\":{\"limits\":{\"nvidia.com/gpu\":\"1\",\"nvidia.com/"
          "gpumem-percentage\":50}}}"),
     "cards [0:0=1x0/50%/0] []", false},
    {"vendors in the table's order",
     SPEC("{\"resources\":{\"limits\":{\"acme.example/npu\":1,\"acme.example/"
          "npumem\":8,\"nvidia.com/gpu\":1}}}"),
     "cards [0:0=1x0/100%/0 0:1=1x16/0%/0] []", false},
    {"init containers first",
     "{" META ",\"spec\":{\"containers\":[{" GPU("1") "}],\"initContainers\":[{},{" GPU("3") "}]}}",
     "cards [1:0=3x0/100%/0 2:0=1x0/100%/0] []", false},
    {"negative", SPEC("{" GPU("\"-1\"") "}"), "refused [] []", false},
    {"a fraction", SPEC("{" GPU("\"1500m\"") "}"), "refused [] []", false},
    {"no quantity", SPEC("{" GPU("\"one\"") "}"), "refused [] []", false},
    {"beyond 64 bits", SPEC("{" GPU("\"99999999999999999999\"") "}"), "refused [] []", false},
    {"memory beyond 32 bits",
     SPEC("{\"resources\":{\"limits\":{\"nvidia.com/gpu\":1,\"nvidia.com/gpumem\":\"16Gi\"}}}"),
     "refused [] []", false},
    {"an object as a quantity", SPEC("{" GPU("{}") "}"), "bad", false},
    {"a bool as a quantity", SPEC("{" GPU("true") "}"), "bad", false},
    {"too many cards in all", SPEC("{" GPU("1000") "},{" GPU("1000") "}"),
     "refused [0:0=1000x0/100%/0 1:0=1000x0/100%/0] []", false},
    /* how Go reads */
    {"the last duplicate wins", SPEC("{" GPU("1") "," GPU("2") "}"), "cards [0:0=2x0/100%/0] []",
     false},
    {"objects are merged",
     "{\"metadata\":{\"name\":\"a\"},\"metadata\":{\"uid\":\"u\"},\"spec\":{\"containers\":[{" GPU(
         "1") "}]},"
              "\"spec\":{\"nodeName\":\"n\"}}",
     "cards [0:0=1x0/100%/0] []", false},
    {"arrays are replaced",
     "{" META ",\"spec\":{\"containers\":[{" GPU("1") "}],\"containers\":[{}]}}", "nothing [] []",
     false},
    {"null empties an array",
     "{" META ",\"spec\":{\"containers\":[{" GPU("1") "}],\"containers\":null}}", "nothing [] []",
     false},
    {"null leaves a struct alone",
     "{" META ",\"metadata\":null,\"spec\":{\"containers\":[{" GPU("1") "}]},\"spec\":null}",
     "cards [0:0=1x0/100%/0] []", false},
    {"a null container", SPEC("null,{" GPU("1") "}"), "cards [1:0=1x0/100%/0] []", false},
    {"other case, folded",
     "{\"MetaData\":{\"NAME\":\"a\"},\"SPEC\":{\"Containers\":[{" GPU("1") "}]}}",
     "cards [0:0=1x0/100%/0] []", true},
    {"other case, not folded", "{\"MetaData\":{\"NAME\":\"a\"}}", "bad", false},
    {"the keys of maps are never folded",
     SPEC("{\"resources\":{\"LIMITS\":{\"NVIDIA.com/gpu\":1}}}"), "nothing [] []", true},
    /* no pods */
    {"null", "null", "bad", true},
    {"an array", "[]", "bad", true},
    {"[null]", "[null]", "bad", false},
    {"empty", "", "bad", true},
    {"no name", "{\"metadata\":{\"uid\":\"u\"}}", "bad", true},
    {"another kind", "{\"kind\":\"Node\"," META "}", "bad", false},
    {"text behind it", SPEC("") "x", "bad", true},
    {"cut", "{" META ",\"spec\":{\"containers\":[", "bad", true},
    {"not UTF-8 in a name", "{\"metadata\":{\"name\":\"\xff\"}}", "bad", true},
    {"not UTF-8 in what is skipped", "{" META ",\"spec\":{\"volumes\":[\"\xc0\xaf\"]}}", "bad",
     true},
    {"a number as a name", "{\"metadata\":{\"name\":7}}", "bad", true},
    {"a text as containers", "{" META ",\"spec\":{\"containers\":\"m\"}}", "bad", true},
    {"priority beyond 32 bits", "{" META ",\"spec\":{\"priority\":2147483648}}", "bad", true},
    {"priority with a fraction", "{" META ",\"spec\":{\"priority\":1.5}}", "bad", true},
    /* annotations */
    {"a list", NOTES(ALLOCATED "\"GPU-a,NVIDIA,4000,10:;\"", "{" GPU("1") "}"),
     "cards [0:0=1x0/100%/0] [0:0=GPU-a/4000/10]", false},
    {"a list of HAMi v2.10, shifted",
     "{\"metadata\":{\"name\":\"a\",\"annotations\":{" ALLOCATED
     "\"GPU-a,NVIDIA,4000,10:;\"}},\"spec\":"
     "{\"initContainers\":[{}],\"containers\":[{" GPU("1") "}]}}",
     "cards [1:0=1x0/100%/0] [1:0=GPU-a/4000/10]", false},
    {"a list of a vendor that it does not ask for",
     NOTES(ALLOCATED "\"GPU-a,NVIDIA,4000,10:;\"", "{}"), "nothing [] [0:0=GPU-a/4000/10]", false},
    {"negative amounts", NOTES(ALLOCATED "\"GPU-a,NVIDIA,-4000,10:;\"", "{" GPU("1") "}"),
     "cards [0:0=1x0/100%/0] []", false},
    {"null as an annotation", NOTES(ALLOCATED "null", "{" GPU("1") "}"),
     "cards [0:0=1x0/100%/0] []", false},
    {"null as annotations",
     "{\"metadata\":{\"name\":\"a\",\"annotations\":{" ALLOCATED
     "\"GPU-a,NVIDIA,1,1:;\"},\"annotations\":null},\"spec\":{\"containers\":[{" GPU("1") "}]}}",
     "cards [0:0=1x0/100%/0] []", false},
    {"a number as an annotation", NOTES(ALLOCATED "7", "{" GPU("1") "}"), "bad", false},
    {"bad weights", NOTES("\"hami.io/device-scoring-weights\":\"slot=1\"", "{" GPU("1") "}"),
     "refused [0:0=1x0/100%/0] []", false},
    {"bad weights of a pod without cards",
     NOTES("\"hami.io/device-scoring-weights\":\"slot=1\"", "{}"), "nothing [] []", false},
    {"topology", NOTES("\"hami.io/gpu-scheduler-policy\":\"topology-aware\"", "{" GPU("1") "}"),
     "cards [0:0=1x0/100%/0] []", false},
    {"MIG", NOTES("\"nvidia.com/vgpu-mode\":\"mig\"", "{" GPU("1") "}"),
     "cards [0:0=1x0/100%/0] []", false},
    {"numa-bind", NOTES("\"nvidia.com/numa-bind\":\"true\"", "{" GPU("1") "}"),
     "cards [0:0=1x0/100%/0] []", false},
};

START_TEST(pods)
{
    const char *got = tell(PODS[_i].json, PODS[_i].fold);
    ck_assert_msg(strcmp(got, PODS[_i].want) == 0, "%s: want %s, got %s", PODS[_i].name,
                  PODS[_i].want, got);
}
END_TEST

static struct cluster_pod decode(const char *json, bool fold)
{
    struct cluster_pod p;
    struct err err;
    ck_assert_msg(!cluster_pod_decode(&w.cfg, str_z(json), fold, w.arena, &p, &err), "%s",
                  err.text);
    return p;
}

START_TEST(pod_fields)
{
    struct cluster_pod p = decode(
        "{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\",\"uid\":\"u-1\",\"resourceVersion\":"
        "\"77\","
        "\"managedFields\":[{\"f\":{\"a\":[1,2,{}]}}],\"deletionTimestamp\":\"2026-01-01T00:00:"
        "00Z\","
        "\"annotations\":{\"hami.io/vgpu-node\":\"n1\",\"hami.io/bind-phase\":\"success\","
        "\"hami.io/vgpu-devices-to-allocate\":\"GPU-a,NVIDIA,1,1:;\",\"nvidia.com/"
        "use-gputype\":\"A10,a100\","
        "\"nvidia.com/nouse-gpuuuid\":\"GPU-z\",\"hami.io/node-scheduler-policy\":\"spread\"}},"
        "\"spec\":{\"nodeName\":\"n2\",\"schedulerName\":\"s\",\"priority\":-5,\"schedulingGates\":"
        "[{\"name\":\"g\"}],"
        "\"affinity\":{\"nodeAffinity\":{\"preferredDuringSchedulingIgnoredDuringExecution\":[{}]}}"
        ","
        "\"overhead\":{\"cpu\":\"250m\",\"memory\":\"1Mi\"},"
        "\"initContainers\":[{\"name\":\"side\",\"restartPolicy\":\"Always\",\"resources\":{"
        "\"requests\":"
        "{\"cpu\":\"100m\",\"memory\":\"10Mi\"}}},"
        "{\"name\":\"init\",\"resources\":{\"requests\":{\"cpu\":\"2\",\"memory\":\"5Mi\"}}}],"
        "\"containers\":[{\"name\":\"main\",\"resources\":{\"limits\":{\"nvidia.com/"
        "gpu\":\"1\",\"cpu\":\"1\","
        "\"memory\":\"100Mi\"}}}]},"
        "\"status\":{\"phase\":\"Running\",\"nominatedNodeName\":\"n3\",\"containerStatuses\":[{"
        "\"name\":\"main\","
        "\"state\":{\"terminated\":{\"exitCode\":0}}}],\"initContainerStatuses\":[{\"name\":"
        "\"init\",\"state\":"
        "{\"terminated\":{}}},{\"name\":\"side\",\"state\":{\"running\":{}}}]}}",
        false);
    ck_assert(str_eq(p.name, STR("p")) && str_eq(p.ns, STR("ns")) && str_eq(p.uid, STR("u-1")));
    ck_assert(str_eq(p.resource_version, STR("77")) && str_eq(p.node, STR("n2")));
    ck_assert(str_eq(p.nominated_node, STR("n3")) && str_eq(p.scheduler_name, STR("s")));
    ck_assert(str_eq(p.vgpu_node, STR("n1")) && str_eq(p.bind_phase, STR("success")));
    ck_assert_int_eq(p.phase, CLUSTER_RUNNING);
    ck_assert(p.deleting && p.started && p.gated && p.soft_wishes && p.to_allocate_left);
    ck_assert_msg(!p.terminated, "a sidecar still runs");
    ck_assert(!p.reserved_keys && !p.shares_broken);
    ck_assert_int_eq(p.priority, -5);
    ck_assert_int_eq(p.cpu_milli, 2100 + 250); /* the init step beside the sidecar */
    ck_assert_int_eq(p.memory_mib, 110 + 1);   /* the app beside the sidecar */
    ck_assert_int_eq(p.containers_n, 3);
    ck_assert_int_eq(p.steps[0], SCORE_STEP_SIDECAR);
    ck_assert_int_eq(p.steps[1], SCORE_STEP_INIT);
    ck_assert_int_eq(p.steps[2], SCORE_STEP_APP);
    ck_assert(str_eq(p.container_names[2], STR("main")));
    ck_assert_int_eq(p.request.selections_n, 1);
    ck_assert_int_eq(p.request.selections[0].use_types_n, 2);
    ck_assert_int_eq(p.request.selections[0].nouse_uuids_n, 1);
    ck_assert(p.request.policy.node_spread);
    ck_assert_uint_eq(p.vendors_asked, 1);
    struct cluster_pod *c = cluster_pod_clone(&p);
    ck_assert(str_eq(c->request.selections[0].use_types[1], STR("a100")));
    ck_assert(c->request.selections[0].use_types[1].p != p.request.selections[0].use_types[1].p);
    ck_assert_ptr_eq(c->request.steps, c->steps);
    free(c);
}
END_TEST

START_TEST(pod_flags)
{
    struct cluster_pod p = decode(NOTES("\"hami.io/vgpu-devices-allocated\":\"\"", "{}"), false);
    ck_assert_msg(p.reserved_keys,
                  "a Binding would leave a list of a vendor that is not asked for");
    p = decode(NOTES("\"hami.io/vgpu-devices-allocated\":\";\"", "{" GPU("1") "}"), false);
    ck_assert(!p.reserved_keys);
    p = decode(NOTES("\"hami.io/vgpu-mig-allocations\":\"[]\"", "{" GPU("1") "}"), false);
    ck_assert(p.reserved_keys);
    p = decode(NOTES("\"hami.io/dcu-devices-to-allocate\":\"x\"", "{" GPU("1") "}"), false);
    ck_assert_msg(p.reserved_keys, "a maker that we don't serve");
    p = decode(NOTES("\"hami.io/bind-time\":\"1\",\"hami.io/vgpu-time\":\"1\"", "{" GPU("1") "}"),
               false);
    ck_assert_msg(!p.reserved_keys, "a Binding overwrites these");
    p = decode(NOTES("\"hami.io/vgpu-devices-to-allocate\":\";;\"", "{" GPU("1") "}"), false);
    ck_assert(!p.to_allocate_left);
    p = decode(NOTES(ALLOCATED "\"GPU-a,NVIDIA,-1,0:;\"", "{" GPU("1") "}"), false);
    ck_assert(p.shares_broken && p.shares_broken_vendors == 1);
    p = decode(SPEC("{" GPU("\"-1\"") "}"), false);
    ck_assert(p.vendors_asked == 1 && p.vendors_broken == 1);
    ck_assert_int_eq(p.refused_reason, SCORE_REQUEST_INVALID);
    ck_assert(str_contains(p.refused_text, STR("nvidia.com/gpu")));
    p = decode(NOTES("\"nvidia.com/numa-bind\":\"true\"", "{" GPU("1") "}"), false);
    ck_assert(p.request.selections_n == 1 && p.request.selections[0].numa_bind);
    p = decode(
        "{" META
        ",\"spec\":{\"topologySpreadConstraints\":[{\"whenUnsatisfiable\":\"ScheduleAnyway\"}]}}",
        false);
    ck_assert(p.soft_wishes);
    p = decode(
        "{" META
        ",\"spec\":{\"topologySpreadConstraints\":[{\"whenUnsatisfiable\":\"DoNotSchedule\"}],"
        "\"affinity\":{\"podAffinity\":{\"preferredDuringSchedulingIgnoredDuringExecution\":[]}}}}",
        false);
    ck_assert(!p.soft_wishes);
    p = decode("{\"metadata\":{\"name\":\"a\",\"deletionTimestamp\":null}}", false);
    ck_assert(!p.deleting);
}
END_TEST

static const struct {
    const char *name, *spec, *status;
    bool terminated;
} LIVES[] = {
    {"no status", "\"containers\":[{\"name\":\"a\"}]", "", false},
    {"all ended", "\"containers\":[{\"name\":\"a\"}]",
     "\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":{}}}]", true},
    {"only the last state", "\"containers\":[{\"name\":\"a\"}]",
     "\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"waiting\":{}},\"lastState\":{"
     "\"terminated\":{}}}]",
     false},
    {"terminated null", "\"containers\":[{\"name\":\"a\"}]",
     "\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":null}}]", false},
    {"one of two", "\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]",
     "\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":{}}}]", false},
    {"an init container has no status",
     "\"initContainers\":[{\"name\":\"i\"}],\"containers\":[{\"name\":\"a\"}]",
     "\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":{}}}]", false},
    {"one name twice, once running", "\"containers\":[{\"name\":\"a\"}]",
     "\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":{}}},{\"name\":\"a\","
     "\"state\":{}}]",
     false},
    {"no containers", "\"containers\":[]", "\"containerStatuses\":[]", false},
};

START_TEST(lives)
{
    struct cluster_pod p = decode(
        fmt(&w, "{" META ",\"spec\":{%s},\"status\":{%s}}", LIVES[_i].spec, LIVES[_i].status),
        false);
    ck_assert_msg(p.terminated == LIVES[_i].terminated, "%s", LIVES[_i].name);
}
END_TEST

static const char *containers(int n, const char *last)
{
    const char *list = "";
    for (int i = 0; i < n; i++)
        list = fmt(&w, "%s{\"name\":\"c%d\"},", list, i);
    return fmt(&w, "{" META ",\"spec\":{\"containers\":[%s{\"name\":\"last\",%s}]}}", list, last);
}

START_TEST(many_containers)
{
    struct cluster_pod p = decode(containers(63, GPU("1")), false);
    ck_assert_int_eq(p.containers_n, 64);
    ck_assert_int_eq(p.wants, CLUSTER_WANTS_CARDS);
    p = decode(containers(64, GPU("1")), false);
    ck_assert_int_eq(p.wants, CLUSTER_WANTS_REFUSED);
    ck_assert_msg(p.vendors_asked == 1 && p.vendors_broken == 1,
                  "what it holds when bound can't be told");
    p = decode(containers(64, "\"x\":1"), false);
    ck_assert_int_eq(p.wants, CLUSTER_WANTS_NOTHING);
    p = decode(
        fmt(&w, "{" META ",\"spec\":{\"initContainers\":[%s{}],\"containers\":[{" GPU("1") "}]}}",
            ""),
        false);
    ck_assert_int_eq(p.wants, CLUSTER_WANTS_CARDS);
}
END_TEST

START_TEST(limits)
{
    char *deep = arena_alloc(w.arena, 200);
    memset(deep, '[', 199);
    ck_assert_str_eq(tell(fmt(&w, "{" META ",\"spec\":{\"volumes\":%s", deep), true), "bad");
    /* a long list closes the vendor rather than being left out */
    w.cfg.annotation_max = 16;
    struct cluster_pod p =
        decode(NOTES(ALLOCATED "\"GPU-aaaaaaaaaa,NVIDIA,1,1:;\"", "{" GPU("1") "}"), false);
    ck_assert(p.shares_broken && p.shares_n == 0);
    p = decode(NOTES("\"nvidia.com/use-gputype\":\"aaaaaaaaaaaaaaaaa\"", "{" GPU("1") "}"), false);
    ck_assert_int_eq(p.wants, CLUSTER_WANTS_REFUSED);
    p = decode(NOTES("\"hami.io/gpu-scheduler-policy\":\"aaaaaaaaaaaaaaaaa\"", "{" GPU("1") "}"),
               false);
    ck_assert_int_eq(p.wants, CLUSTER_WANTS_REFUSED);
    w.cfg.annotation_max = 0;
    char *uuid = arena_alloc(w.arena, 300);
    memset(uuid, 'u', 299);
    p = decode(fmt(&w, NOTES(ALLOCATED "\"%s,NVIDIA,1,1:;\"", "{" GPU("1") "}"), uuid), false);
    ck_assert(p.shares_broken);
    /* an arena that is too small is an error, not a fault */
    struct arena *small = arena_new(64);
    struct err err;
    ck_assert_int_eq(
        cluster_pod_decode(&w.cfg, str_z(SPEC("{" GPU("1") "}")), true, small, &p, &err),
        ERR_NO_MEMORY);
    arena_free(small);
}
END_TEST

START_TEST(admission)
{
    const char *json = SPEC("{\"resources\":{\"limits\":{\"nvidia.com/gpumem\":\"4000\"}}}");
    ck_assert_str_eq(tell(json, false), "nothing [] []");
    w.cfg.assume_admitted = true;
    ck_assert_str_eq(tell(json, false), "cards [0:0=1x4000/0%/0] []");
    ck_assert_str_eq(tell(SPEC("{" GPU("1") "}"), false), "cards [0:0=1x0/100%/100] []");
}
END_TEST

/* ---- nodes ---- */

static const char *tell_node(const char *json, bool fold)
{
    struct cluster_node_object o;
    struct err err;
    if (cluster_node_decode(&w.cfg, str_z(json), fold, w.arena, &o, &err))
        return "bad";
    const char *s = fmt(&w, STR_FMT "%s", STR_ARG(o.name), o.ignored ? " ignored" : "");
    for (uint16_t i = 0; i < o.cards_n; i++)
        s = fmt(&w, "%s %d:%d%s%s", s, o.cards[i].vendor, o.cards[i].devices_n,
                o.cards[i].alive ? "" : " dead", o.cards[i].broken.p ? " broken" : "");
    return s;
}

#define NODE_OF(notes) "{\"metadata\":{\"name\":\"n\",\"annotations\":{" notes "}}}"
#define REG            "\"hami.io/node-nvidia-register\":"
#define ALIVE(notes)                                                                               \
    "{\"metadata\":{\"name\":\"n\",\"annotations\":{" notes                                        \
    "}},\"status\":{\"allocatable\":{\"nvidia.com/gpu\":\"10\"}}}"

static const struct {
    const char *name, *json, *want;
    bool fold;
} NODES[] = {
    {"no cards", NODE_OF(""), "n", false},
    {"one card", ALIVE(REG "\"[{\\\"id\\\":\\\"a\\\",\\\"count\\\":1}]\""), "n 0:1", false},
    {"no plugin", NODE_OF(REG "\"[{\\\"id\\\":\\\"a\\\"}]\""), "n 0:1 dead", false},
    {"no list", NODE_OF(REG "\"[]\""), "n 0:0 dead", false},
    {"a null list", ALIVE(REG "\"[null]\""), "n 0:0 broken", false},
    {"a negative amount", ALIVE(REG "\"[{\\\"id\\\":\\\"a\\\",\\\"devmem\\\":-1}]\""),
     "n 0:0 broken", false},
    {"no JSON", ALIVE(REG "\"GPU-a\""), "n 0:0 broken", false},
    {"null as an annotation", ALIVE(REG "null"), "n 0:0 broken", false},
    {"both vendors in order",
     NODE_OF("\"acme.example/register\":\"[{\\\"id\\\":\\\"b\\\"}]\"," REG
             "\"[{\\\"id\\\":\\\"a\\\"}]\""),
     "n 0:1 dead 1:1 dead", false},
    {"folded", "{\"METADATA\":{\"Name\":\"n\"}}", "n", true},
    {"null annotations", "{\"metadata\":{\"name\":\"n\",\"annotations\":null}}", "n", false},
    {"null", "null", "bad", true},
    {"no name", "{\"metadata\":{}}", "bad", true},
    {"another kind", "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"n\"}}", "bad", true},
    {"a number as an annotation", NODE_OF(REG "5"), "bad", true},
    {"a bool as a quantity",
     "{\"metadata\":{\"name\":\"n\"},\"status\":{\"allocatable\":{\"cpu\":true}}}", "bad", true},
    {"an unreadable count is none",
     "{\"metadata\":{\"name\":\"n\",\"annotations\":{" REG "\"[]\"}},"
     "\"status\":{\"allocatable\":{\"nvidia.com/gpu\":\"x\"}}}",
     "n 0:0 dead", true},
};

START_TEST(nodes)
{
    const char *got = tell_node(NODES[_i].json, NODES[_i].fold);
    ck_assert_msg(strcmp(got, NODES[_i].want) == 0, "%s: want %s, got %s", NODES[_i].name,
                  NODES[_i].want, got);
}
END_TEST

START_TEST(node_fields)
{
    struct cluster_node_object o;
    struct err err;
    const char *json =
        "{\"metadata\":{\"name\":\"n\",\"uid\":\"u\",\"resourceVersion\":\"5\",\"annotations\":{"
        "\"hami.io/mutex.lock\":\"t,ml,p\",\"cambricon.com/dsmlu.lock\":\"t\",\"hami.io/"
        "device-cordon\":\"a, b\"," REG
        "\"[{\\\"id\\\":\\\"b\\\",\\\"index\\\":1},{\\\"id\\\":\\\"a\\\"}]\"}},"
        "\"status\":{\"allocatable\":{\"cpu\":\"1500m\",\"memory\":\"1048577Ki\",\"nvidia.com/"
        "gpu\":\"1\"}}}";
    ck_assert(!cluster_node_decode(&w.cfg, str_z(json), false, w.arena, &o, &err));
    ck_assert(str_eq(o.uid, STR("u")) && str_eq(o.lock, STR("t,ml,p")));
    ck_assert(str_eq(o.resource_version, STR("5")) && str_eq(o.cards[0].cordon, STR("a, b")));
    ck_assert_int_eq(o.cpu_alloc_milli, 1500);
    ck_assert_int_eq(o.memory_alloc_mib, 1024); /* rounded down */
    ck_assert(str_eq(o.cards[0].devices[0].id, STR("a")));
    static const struct str SELECTOR[] = {STR_INIT("gpu"), STR_INIT("on"), STR_INIT("zone"),
                                          STR_INIT("x")};
    w.cfg.node_selector = SELECTOR;
    w.cfg.node_selector_n = 4;
    ck_assert_str_eq(
        tell_node("{\"metadata\":{\"name\":\"n\",\"labels\":{\"gpu\":\"on\",\"zone\":\"x\"}}}",
                  false),
        "n");
    ck_assert_str_eq(
        tell_node("{\"metadata\":{\"name\":\"n\",\"labels\":{\"gpu\":\"on\"}}}", false),
        "n ignored");
    ck_assert_str_eq(tell_node("{\"metadata\":{\"name\":\"n\"}}", false), "n ignored");
    ck_assert_str_eq(tell_node("{\"metadata\":{\"name\":\"n\",\"labels\":{\"gpu\":\"on\",\"zone\":"
                               "\"x\",\"gpu\":\"off\"}}}",
                               false),
                     "n ignored");
}
END_TEST

START_TEST(node_too_many_cards)
{
    struct cluster_node_object o;
    struct err err;
    const char *list = cards(&w, "x", 0, 200);
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_json(&b, str_z(list));
    size_t n;
    char *text = buf_take(&b, &n);
    const char *json = fmt(&w,
                           "{\"metadata\":{\"name\":\"n\",\"annotations\":{" REG
                           "%s,\"acme.example/register\":%s}}}",
                           text, text);
    free(text);
    ck_assert(!cluster_node_decode(&w.cfg, str_z(json), false, w.arena, &o, &err));
    ck_assert_int_eq(o.cards[0].devices_n, 200);
    ck_assert_ptr_nonnull(o.cards[1].broken.p);
    ck_assert_int_eq(o.cards[1].devices_n, 0);
}
END_TEST

/* ---- quotas ---- */

static const struct {
    const char *name, *hard, *want;
} QUOTAS[] = {
    {"none of ours", "\"pods\":\"3\",\"requests.nvidia.com/gpu\":\"1\"", ""},
    {"memory", "\"limits.nvidia.com/gpumem\":\"100\"", "0m100"},
    {"a factor", "\"limits.acme.example/npumem\":\"100\"", "1m200"},
    {"core_defect_c18: a fraction is rounded down", "\"limits.nvidia.com/gpucores\":\"1500m\"",
     "0c1"},
    {"zero", "\"limits.nvidia.com/gpumem\":\"0\"", "0m0"},
    {"negative", "\"limits.nvidia.com/gpumem\":\"-5\"", "0m0 broken"},
    {"unreadable", "\"limits.nvidia.com/gpumem\":\"much\"", "0m0 broken"},
    {"unreadable, then readable",
     "\"limits.nvidia.com/gpumem\":\"much\",\"limits.nvidia.com/gpumem\":\"7\"", "0m7"},
    {"beyond 64 bits", "\"limits.nvidia.com/gpumem\":\"1e30\"", "0m2305843009213693951"},
};

START_TEST(quotas)
{
    struct cluster_quota_object o;
    struct err err;
    const char *json =
        fmt(&w, "{\"metadata\":{\"name\":\"q\",\"namespace\":\"ml\"},\"spec\":{\"hard\":{%s}}}",
            QUOTAS[_i].hard);
    ck_assert(!cluster_quota_decode(&w.cfg, str_z(json), w.arena, &o, &err));
    const char *got = "";
    for (uint16_t i = 0; i < o.limits_n; i++)
        got = fmt(&w, "%s%d%c%lld", got, o.limits[i].vendor, o.limits[i].mem ? 'm' : 'c',
                  (long long)o.limits[i].limit);
    got = fmt(&w, "%s%s", got, o.broken ? " broken" : "");
    ck_assert_msg(strcmp(got, QUOTAS[_i].want) == 0, "%s: want %s, got %s", QUOTAS[_i].name,
                  QUOTAS[_i].want, got);
}
END_TEST

START_TEST(identity)
{
    struct str ns, name, uid;
    struct err err;
    ck_assert(!cluster_identity_decode(STR("{\"spec\":[1],\"metadata\":{\"uid\":\"u\",\"name\":"
                                           "\"n\",\"namespace\":\"s\",\"x\":{}}}"),
                                       w.arena, &ns, &name, &uid, &err));
    ck_assert(str_eq(ns, STR("s")) && str_eq(name, STR("n")) && str_eq(uid, STR("u")));
    ck_assert_int_eq(
        cluster_identity_decode(STR("{\"metadata\":{}}"), w.arena, &ns, &name, &uid, &err),
        ERR_BAD_REQUEST);
    ck_assert_int_eq(cluster_identity_decode(STR("[]"), w.arena, &ns, &name, &uid, &err),
                     ERR_BAD_REQUEST);
    /* the beginning of an object, if it has come to them */
    static const struct str HEADS[] = {
        STR_INIT(
            "{\"metadata\":{\"name\":\"p\",\"namespace\":\"t\",\"uid\":\"v\",\"labels\":{\"name"),
        STR_INIT("{\"metadata\":{\"name\":\"p\",\"namespace\":\"t\",\"uid\":\"v\"},\"spec\":nil}"),
        STR_INIT("{\"metadata\":{\"name\":\"p\",\"namespace\":\"t\",\"uid\":\"v"),
        STR_INIT("{\"metadata\":{\"uid\":\"v\",\"labels\":{\"name\":\"q\""),
    };
    for (int i = 0; i < COUNT(HEADS); i++) {
        enum err_code rc = cluster_identity_decode(HEADS[i], w.arena, &ns, &name, &uid, &err);
        ck_assert_int_eq(rc, i < 2 ? ERR_OK : ERR_BAD_REQUEST);
        ck_assert(rc || (str_eq(ns, STR("t")) && str_eq(name, STR("p")) && str_eq(uid, STR("v"))));
    }
}
END_TEST

void check_cluster_decode(Suite *suite)
{
    TCase *tc = tcase_create("decode");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, pods, 0, COUNT(PODS));
    tcase_add_test(tc, pod_fields);
    tcase_add_test(tc, pod_flags);
    tcase_add_loop_test(tc, lives, 0, COUNT(LIVES));
    tcase_add_test(tc, many_containers);
    tcase_add_test(tc, limits);
    tcase_add_test(tc, admission);
    tcase_add_loop_test(tc, nodes, 0, COUNT(NODES));
    tcase_add_test(tc, node_fields);
    tcase_add_test(tc, node_too_many_cards);
    tcase_add_loop_test(tc, quotas, 0, COUNT(QUOTAS));
    tcase_add_test(tc, identity);
    suite_add_tcase(suite, tc);
}
