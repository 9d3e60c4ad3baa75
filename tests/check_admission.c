/* Admission: core.md 12 and nvidia.md 3 as rows, each applied and mutated again (idempotent);
 * AdmissionReview by goldens and by malformed bodies; JSON Patch; failing allocations. JSON in rows
 * is written with ' for ". */
#include "admission/priv.h"
#include "base/own.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows say what matters to them and leave out the rest. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))

DEFINE_CLEANUP(struct vendor_table *, vendor_table_free)
DEFINE_CLEANUP(json_t *, json_decref)

/* ---- failing allocations: ours by the linker's --wrap, jansson's by its own hook ---- */

static int countdown;
static bool failed;

static bool fails_now(void)
{
    if (countdown == 0)
        return false;
    if (countdown > 1) {
        countdown--;
        return false;
    }
    failed = true;
    return true;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n) { return fails_now() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return fails_now() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return fails_now() ? NULL : __real_realloc(p, n); }

/* ---- helpers ---- */

/* A heap copy with ' made ". */
static char *requote(const char *quoted)
{
    char *text = str_dup_z(str_z(quoted));
    ck_assert_ptr_nonnull(text);
    for (char *c = text; *c; c++)
        if (*c == '\'')
            *c = '"';
    return text;
}

static json_t *js(const char *quoted)
{
    char *text CLEANUP(free_p) = requote(quoted);
    json_error_t fault;
    json_t *json = json_loads(text, JSON_DECODE_ANY, &fault);
    ck_assert_msg(json != NULL, "%s: %s", quoted, fault.text);
    return json;
}

static void ck_json(const char *name, const json_t *got, const json_t *want)
{
    if (json_equal(got, want))
        return;
    char *a CLEANUP(free_p) = json_dumps(got, JSON_SORT_KEYS | JSON_ENCODE_ANY);
    char *b CLEANUP(free_p) = json_dumps(want, JSON_SORT_KEYS | JSON_ENCODE_ANY);
    ck_abort_msg("%s:\n  want %s\n  got  %s", name, b, a);
}

enum table { CHART, CONFIGURED, OVERWRITE, NO_DEFAULT, TABLES };
static const char *const YAML[TABLES] = {
    [CONFIGURED] =
        "nvidia: {resourceCountName: nvidia.com/gpu, resourceMemoryName: nvidia.com/gpumem, "
        "resourceCoreName: nvidia.com/gpucores, resourcePriorityName: nvidia.com/priority, "
        "resourceMemoryPercentageName: nvidia.com/gpumem-percentage, defaultGPUNum: 2, "
        "gpuCorePolicy: force, runtimeClassName: nvidia}\n",
    [OVERWRITE] =
        "nvidia: {resourceCountName: nvidia.com/gpu, resourceMemoryName: nvidia.com/gpumem, "
        "overwriteEnv: true, gpuCorePolicy: disable}\n",
    [NO_DEFAULT] =
        "nvidia: {resourceCountName: nvidia.com/gpu, resourceMemoryName: nvidia.com/gpumem, "
        "resourceCoreName: nvidia.com/gpucores}\n",
};

static struct vendor_table *table(enum table which)
{
    struct vendor_table *t = NULL;
    struct err err = {0};
    enum err_code rc = YAML[which] ? vendor_table_parse(str_z(YAML[which]), "f", NULL, &t, &err)
                                   : vendor_table_builtin(&t, &err);
    ck_assert_msg(rc == ERR_OK, "%s", err.text);
    return t;
}

/* ---- the mutation ---- */

#define POD1(limits) "{'spec':{'containers':[{'name':'c','resources':{'limits':{" limits "}}}]}}"
#define GPU          "'nvidia.com/gpu'"
#define MEM          "'nvidia.com/gpumem'"
#define PCT          "'nvidia.com/gpumem-percentage'"
#define CORES        "'nvidia.com/gpucores'"
#define PRIO         "'nvidia.com/priority'"
#define SCHED        "{'op':'add','path':'/spec/schedulerName','value':'cardinal'}"
#define RES_AT(n)    "/spec/containers/" n "/resources/limits/nvidia.com~1"
#define ADD_CORES    "{'op':'add','path':'" RES_AT("0") "gpucores','value':'100'}"
#define ADD_GPU(n)   "{'op':'add','path':'" RES_AT("0") "gpu','value':'" n "'}"

static const struct row {
    const char *name, *pod;
    const char *patch; /* allowed with this patch; NULL: not allowed */
    unsigned code;
    const char *message; /* what it must hold */
    enum table table;
    bool asks;           /* has_resource, when allowed */
    bool keep_scheduler; /* --force-overwrite-default-scheduler=false */
    bool no_scheduler;   /* --scheduler-name is empty */
} ROWS[] = {
    /* nvidia.md 3, the table */
    {"gpu 1", POD1(GPU ":'1'"), "[" ADD_CORES "," SCHED "]", .asks = true},
    {"gpu 1, gpumem 8192", POD1(GPU ":'1'," MEM ":'8192'"), "[" SCHED "]", .asks = true},
    {"gpu 1, percentage 100", POD1(GPU ":'1'," PCT ":'100'"), "[" ADD_CORES "," SCHED "]",
     .asks = true},
    {"gpu 1, percentage 50", POD1(GPU ":'1'," PCT ":'50'"), "[" SCHED "]", .asks = true},
    {"gpu 1, gpucores 70", POD1(GPU ":'1'," CORES ":'70'"), "[" SCHED "]", .asks = true},
    {"gpumem 4000", POD1(MEM ":'4000'"), "[" ADD_GPU("1") "," SCHED "]", .asks = true},
    {"gpucores 30", POD1(CORES ":'30'"), "[" ADD_GPU("1") "," SCHED "]", .asks = true},
    {"percentage 100 alone", POD1(PCT ":'100'"), "[" ADD_GPU("1") "," ADD_CORES "," SCHED "]",
     .asks = true},
    {"nvidia_defect_n9: percentage 0 is exclusive", POD1(GPU ":'1'," PCT ":'0'"),
     "[" ADD_CORES "," SCHED "]", .asks = true},
    {"amounts as JSON numbers", POD1(GPU ":1," MEM ":8192"), "[" SCHED "]", .asks = true},
    {"requests count like limits",
     "{'spec':{'containers':[{'name':'c','resources':{'requests':{" GPU ":'1'," MEM ":'1'}}}]}}",
     "[" SCHED "]", .asks = true},
    {"requests alone: limits are made",
     "{'spec':{'containers':[{'name':'c','resources':{'requests':{" GPU ":'1'}}}]}}",
     "[{'op':'add','path':'/spec/containers/0/resources/limits','value':{}}," ADD_CORES "," SCHED
     "]",
     .asks = true},
    {"limits null",
     "{'spec':{'containers':[{'name':'c','resources':{'limits':null,'requests':{" GPU ":'1'}}}]}}",
     "[{'op':'replace','path':'/spec/containers/0/resources/limits','value':{}}," ADD_CORES
     "," SCHED "]",
     .asks = true},
    {"defaultGPUNum 2", POD1(MEM ":'4000'"),
     "[{'op':'add','path':'/spec/containers/0/env','value':[{'name':'GPU_CORE_UTILIZATION_POLICY',"
     "'value':'force'}]}," ADD_GPU("2") ",{'op':'add','path':'/spec/runtimeClassName','value':"
                                        "'nvidia'}," SCHED "]",
     .table = CONFIGURED, .asks = true},
    {"defaultGPUNum 0", POD1(MEM ":'4000'"), "[]", .table = NO_DEFAULT},
    /* what asks for nothing */
    {"no resources", "{'spec':{'containers':[{'name':'c'}]}}", "[]"},
    {"other resources", POD1("'cpu':'1','example.com/gpu':'x'"), "[]"},
    {"nvidia_defect_n8: gpu 0", POD1(GPU ":'0'"), "[]"},
    {"nvidia_defect_n8: gpu 0 with gpumem", POD1(GPU ":'0'," MEM ":'4000'"), "[]"},
    {"nvidia_defect_n8: gpu 0 and privileged",
     "{'spec':{'containers':[{'name':'c','securityContext':{'privileged':true},'resources':"
     "{'limits':{" GPU ":'0'}}}]}}",
     "[]"},
    {"priority alone", POD1(PRIO ":'1'"),
     "[{'op':'add','path':'/spec/containers/0/env','value':[{'name':'CUDA_TASK_PRIORITY','value':"
     "'1'}]}]"},
    /* env: put, replaced, left (N 7) */
    {"priority rounds up", POD1(GPU ":'1'," MEM ":'1'," PRIO ":'1500m'"),
     "[{'op':'add','path':'/spec/containers/0/env','value':[{'name':'CUDA_TASK_PRIORITY','value':"
     "'2'}]}," SCHED "]",
     .asks = true},
    {"priority behind other variables",
     "{'spec':{'containers':[{'name':'c','env':[{'name':'A','value':'b'}],'resources':{'limits':"
     "{" GPU ":'1'," MEM ":'1'," PRIO ":'0'}}}]}}",
     "[{'op':'add','path':'/spec/containers/0/env/-','value':{'name':'CUDA_TASK_PRIORITY','value':"
     "'0'}}," SCHED "]",
     .asks = true},
    {"nvidia_defect_n7: priority over the user's own, the last of them",
     "{'spec':{'containers':[{'name':'c','env':[{'name':'CUDA_TASK_PRIORITY','value':'0'},"
     "{'name':'A'},{'name':'CUDA_TASK_PRIORITY','value':'7'}],'resources':{'limits':{" GPU
     ":'1'," MEM ":'1'," PRIO ":'1'}}}]}}",
     "[{'op':'replace','path':'/spec/containers/0/env/2','value':{'name':'CUDA_TASK_PRIORITY',"
     "'value':'1'}}," SCHED "]",
     .asks = true},
    {"nvidia_defect_n7: priority over a reference",
     "{'spec':{'containers':[{'name':'c','env':[{'name':'CUDA_TASK_PRIORITY','valueFrom':{}}],"
     "'resources':{'limits':{" GPU ":'1'," MEM ":'1'," PRIO ":'1'}}}]}}",
     "[{'op':'replace','path':'/spec/containers/0/env/0','value':{'name':'CUDA_TASK_PRIORITY',"
     "'value':'1'}}," SCHED "]",
     .asks = true},
    {"nvidia_defect_n7: priority there already",
     "{'spec':{'schedulerName':'cardinal','containers':[{'name':'c','env':[{'name':"
     "'CUDA_TASK_PRIORITY','value':'1'}],'resources':{'limits':{" GPU ":'1'," MEM ":'1'," PRIO
     ":'1'}}}]}}",
     "[]", .asks = true},
    {"nvidia_defect_n7: core policy for asking containers only",
     "{'spec':{'runtimeClassName':'x','containers':[{'name':'a'},{'name':'b','resources':{'limits':"
     "{" GPU ":'1'," MEM ":'1'}}}]}}",
     "[{'op':'add','path':'/spec/containers/1/env','value':[{'name':'GPU_CORE_UTILIZATION_POLICY',"
     "'value':'force'}]}," SCHED "]",
     .table = CONFIGURED, .asks = true},
    {"nvidia_defect_n7: core policy not for pods without cards",
     "{'spec':{'containers':[{'name':'a'}]}}", "[]", .table = CONFIGURED},
    {"runtime class of the user stays",
     "{'spec':{'schedulerName':'cardinal','runtimeClassName':'mine','containers':[{'name':'c','env'"
     ":"
     "[{'name':'GPU_CORE_UTILIZATION_POLICY','value':'force'}],'resources':{'limits':{" GPU
     ":'1'," MEM ":'1'}}}]}}",
     "[]", .table = CONFIGURED, .asks = true},
    {"runtime class empty",
     "{'spec':{'schedulerName':'cardinal','runtimeClassName':'','containers':[{'name':'c','env':"
     "[{'name':'GPU_CORE_UTILIZATION_POLICY','value':'force'}],'resources':{'limits':{" GPU
     ":'1'," MEM ":'1'}}}]}}",
     "[{'op':'replace','path':'/spec/runtimeClassName','value':'nvidia'}]", .table = CONFIGURED,
     .asks = true},
    {"overwriteEnv hides cards from those who ask for none",
     "{'spec':{'initContainers':[{'name':'i'}],'containers':[{'name':'c','resources':{'limits':"
     "{" GPU ":'1'," MEM ":'1'}}},{'name':'d','env':[],'resources':{'limits':{" GPU ":'0'}}}]}}",
     "[{'op':'add','path':'/spec/initContainers/0/env','value':[{'name':'NVIDIA_VISIBLE_DEVICES',"
     "'value':'none'}]},{'op':'add','path':'/spec/containers/0/env','value':[{'name':"
     "'GPU_CORE_UTILIZATION_POLICY','value':'disable'}]},{'op':'add','path':"
     "'/spec/containers/1/env/-','value':{'name':'NVIDIA_VISIBLE_DEVICES','value':'none'}}," SCHED
     "]",
     .table = OVERWRITE, .asks = true},
    {"overwriteEnv and no cards at all", "{'spec':{'containers':[{'name':'c'}]}}",
     "[{'op':'add','path':'/spec/containers/0/env','value':[{'name':'NVIDIA_VISIBLE_DEVICES',"
     "'value':'none'}]}]",
     .table = OVERWRITE},
    /* several containers */
    {"init container asks",
     "{'spec':{'initContainers':[{'name':'i','resources':{'limits':{" MEM
     ":'5'}}}],'containers':[{'name':'c'}]}}",
     "[{'op':'add','path':'/spec/initContainers/0/resources/limits/"
     "nvidia.com~1gpu','value':'1'}," SCHED "]",
     .asks = true},
    /* the scheduler's name, core.md 12 step 3 and 7 */
    {"default scheduler",
     "{'spec':{'schedulerName':'default-scheduler','containers':[{'name':'c','resources':{'limits':"
     "{" GPU ":'1'," MEM ":'1'}}}]}}",
     "[{'op':'replace','path':'/spec/schedulerName','value':'cardinal'}]", .asks = true},
    {"default scheduler, not overwritten",
     "{'spec':{'schedulerName':'default-scheduler','containers':[{'name':'c','resources':{'limits':"
     "{" GPU ":'1'}}}]}}",
     "[]", 0, "pod already has different scheduler assigned", .keep_scheduler = true},
    {"no scheduler, not overwritten", POD1(GPU ":'1'," MEM ":'1'"), "[" SCHED "]",
     .keep_scheduler = true, .asks = true},
    {"ours already",
     "{'spec':{'schedulerName':'cardinal','containers':[{'name':'c','resources':{'limits':{" GPU
     ":'1'," MEM ":'1'}}}]}}",
     "[]", .asks = true},
    {"another's",
     "{'spec':{'schedulerName':'volcano','containers':[{'name':'c','resources':{'limits':{" GPU
     ":'16Gi'}}}]}}",
     "[]", 0, "pod already has different scheduler assigned"},
    {"another's, and we have no name",
     "{'spec':{'schedulerName':'volcano','containers':[{'name':'c','resources':{'limits':{" GPU
     ":'1'}}}]}}",
     "[]", 0, "pod already has different scheduler assigned", .no_scheduler = true},
    {"default, and we have no name",
     "{'spec':{'schedulerName':'default-scheduler','nodeName':'n','containers':[{'name':'c',"
     "'resources':{'limits':{" GPU ":'1'," MEM ":'1'}}}]}}",
     "[]", .no_scheduler = true, .asks = true},
    {"default, no name, not overwritten",
     "{'spec':{'schedulerName':'default-scheduler','containers':[{'name':'c','resources':{'limits':"
     "{" GPU ":'1'}}}]}}",
     "[]", 0, "pod already has different scheduler assigned", .no_scheduler = true,
     .keep_scheduler = true},
    /* reserved keys (S 2, K3) */
    {"core_defect_s2: a forged allocation on a plain pod",
     "{'metadata':{'annotations':{'hami.io/vgpu-node':'n','hami.io/vgpu-devices-allocated':"
     "';GPU-a,NVIDIA,-100000,-100:;','a':'b'},'labels':{'hami.io/vgpu-node':'n','app':'x'}},'spec':"
     "{'containers':[{'name':'c'}]}}",
     "[{'op':'remove','path':'/metadata/annotations/hami.io~1vgpu-node'},{'op':'remove','path':"
     "'/metadata/annotations/hami.io~1vgpu-devices-allocated'},{'op':'remove','path':"
     "'/metadata/labels/hami.io~1vgpu-node'}]"},
    {"all of them",
     "{'metadata':{'annotations':{'hami.io/vgpu-time':'1','hami.io/bind-time':'1',"
     "'hami.io/bind-phase':'success','hami.io/vgpu-devices-to-allocate':'','hami.io/"
     "vgpu-mig-allocations':'[]','hami.io/dcu-devices-allocated':'','hami.io/gpu-scheduler-policy':"
     "'binpack'}},'spec':{'containers':[{'name':'c'}]}}",
     "[{'op':'remove','path':'/metadata/annotations/hami.io~1vgpu-time'},{'op':'remove','path':"
     "'/metadata/annotations/hami.io~1bind-time'},{'op':'remove','path':'/metadata/annotations/"
     "hami.io~1bind-phase'},{'op':'remove','path':'/metadata/annotations/hami.io~1vgpu-devices-"
     "to-allocate'},{'op':'remove','path':'/metadata/annotations/hami.io~1vgpu-mig-allocations'},"
     "{'op':'remove','path':'/metadata/annotations/hami.io~1dcu-devices-allocated'}]"},
    {"of a pod for another scheduler too",
     "{'metadata':{'annotations':{'hami.io/vgpu-node':'n'}},'spec':{'schedulerName':'volcano',"
     "'containers':[{'name':'c'}]}}",
     "[{'op':'remove','path':'/metadata/annotations/hami.io~1vgpu-node'}]", 0,
     "pod already has different scheduler assigned"},
    /* odd but legal JSON */
    {"nulls",
     "{'metadata':{'annotations':null,'labels':null},'spec':{'initContainers':null,'nodeName':null,"
     "'schedulerName':null,'containers':[{'name':'c','env':null,'securityContext':{'privileged':"
     "null},'resources':{'limits':{" GPU ":null}}}]}}",
     "[]"},
    {"metadata null", "{'metadata':null,'spec':{'containers':[{'name':'c'}]}}", "[]"},
    {"weights that are bad, and no ask (E-16)",
     "{'metadata':{'annotations':{'hami.io/device-scoring-weights':'x'}},'spec':{'containers':[{"
     "'name':'c'}]}}",
     "[]"},
    /* denied */
    {"no containers", "{'spec':{'containers':[]}}", NULL, 403, "pod has no containers"},
    {"no spec", "{}", NULL, 403, "pod has no containers"},
    {"percentage 101", POD1(PCT ":'101'"), NULL, 422,
     "invalid nvidia.com/gpumem-percentage value 101 in container c: must be an integer between 0 "
     "and 100"},
    {"percentage -1", POD1(GPU ":'0'," PCT ":'-1'"), NULL, 422, "value -1 in container c"},
    {"percentage of a half", POD1(PCT ":'50500m'"), NULL, 422, "value 50500m in container c"},
    {"percentage in requests",
     "{'spec':{'containers':[{'name':'c','resources':{'requests':{" PCT ":'101'}}}]}}", NULL, 422,
     "value 101"},
    {"gpumem 16Gi (C 19)", POD1(GPU ":'1'," MEM ":'16Gi'"), NULL, 422,
     "container c: nvidia.com/gpumem value \"16Gi\" must be between 0 and 2147483647"},
    {"fractional count", POD1(GPU ":'1500m'"), NULL, 422,
     "container c: nvidia.com/gpu value \"1500m\""},
    {"fractional count as a number", POD1(GPU ":1.5"), NULL, 422, "nvidia.com/gpu value \"1.5\""},
    {"negative count", POD1(GPU ":-1"), NULL, 422, "nvidia.com/gpu value \"-1\""},
    {"not a quantity", POD1(GPU ":'one'"), NULL, 422,
     "nvidia.com/gpu value \"one\" is not a quantity"},
    {"second container",
     "{'spec':{'containers':[{'name':'a'},{'name':'b\\nx','resources':{'limits':{" CORES
     ":'x'}}}]}}",
     NULL, 422, "container b?x: nvidia.com/gpucores value \"x\""},
    {"bad priority", POD1(PRIO ":'high'"), NULL, 422, "invalid nvidia.com/priority value high"},
    {"privileged",
     "{'spec':{'containers':[{'name':'c','resources':{'limits':{" GPU
     ":'1'}}},{'name':'p','securityContext':{'privileged':true}}]}}",
     NULL, 403, "container p is privileged"},
    {"privileged init container first",
     "{'spec':{'initContainers':[{'name':'i','securityContext':{'privileged':true}}],'containers':"
     "[{'name':'c','securityContext':{'privileged':true},'resources':{'limits':{" GPU ":'1'}}}]}}",
     NULL, 403, "container i is privileged"},
    {"privileged without cards",
     "{'spec':{'containers':[{'name':'p','securityContext':{'privileged':true}}]}}", "[]"},
    {"node assigned",
     "{'spec':{'nodeName':'n','containers':[{'name':'c','resources':{'limits':{" GPU ":'1'}}}]}}",
     NULL, 403, "pod has node assigned"},
    {"node assigned without cards", "{'spec':{'nodeName':'n','containers':[{'name':'c'}]}}", "[]"},
    {"bad weights (E-16)",
     "{'metadata':{'annotations':{'hami.io/device-scoring-weights':'slot=1'}},'spec':{'containers':"
     "[{'name':'c','resources':{'limits':{" GPU ":'1'}}}]}}",
     NULL, 422, "invalid hami.io/device-scoring-weights annotation \"slot=1\": expected slot"},
    /* not a pod */
    {"a list", "[]", NULL, 400, "the pod must be an object"},
    {"metadata is a text", "{'metadata':'x','spec':{'containers':[{'name':'c'}]}}", NULL, 400,
     "metadata must be an object"},
    {"annotations is a list",
     "{'metadata':{'annotations':[]},'spec':{'containers':[{'name':'c'}]}}", NULL, 400,
     "metadata.annotations must be an object"},
    {"spec is a number", "{'spec':1}", NULL, 400, "spec must be an object"},
    {"containers is an object", "{'spec':{'containers':{}}}", NULL, 400,
     "spec.containers must be an array"},
    {"a container is a text", "{'spec':{'containers':['c']}}", NULL, 400,
     "spec.containers[0] must be an object"},
    {"limits is a list", "{'spec':{'containers':[{'resources':{'limits':[]}}]}}", NULL, 400,
     "spec.containers[0].resources.limits must be an object"},
    {"env is an object", "{'spec':{'initContainers':[{'env':{}}],'containers':[{}]}}", NULL, 400,
     "spec.initContainers[0].env must be an array"},
    {"an env entry is null", "{'spec':{'containers':[{'env':[null]}]}}", NULL, 400,
     "spec.containers[0].env[0] must be an object"},
    {"privileged is a text", "{'spec':{'containers':[{'securityContext':{'privileged':'yes'}}]}}",
     NULL, 400, "spec.containers[0].securityContext.privileged must be true or false"},
    {"a quantity is an object", POD1(GPU ":{}"), NULL, 400,
     "container c: nvidia.com/gpu must be a quantity"},
    {"schedulerName is a bool", "{'spec':{'schedulerName':true,'containers':[{}]}}", NULL, 400,
     "spec.schedulerName must be a string"},
    {"not privileged",
     "{'spec':{'schedulerName':'cardinal','containers':[{'name':'c','securityContext':{"
     "'privileged':false},'resources':{'limits':{" GPU ":'1'," MEM ":'1'}}}]}}",
     "[]", .asks = true},
    {"schedulerName is a number", "{'spec':{'schedulerName':1,'containers':[{}]}}", NULL, 400,
     "spec.schedulerName must be a string"},
};

static struct admission_config config(const struct row *r, const struct vendor_table *t)
{
    return (struct admission_config){.vendors = t,
                                     .scheduler_name = r->no_scheduler ? STR("") : STR("cardinal"),
                                     .force_overwrite_default_scheduler = !r->keep_scheduler};
}

START_TEST(mutate)
{
    const struct row *r = &ROWS[_i];
    struct vendor_table *t CLEANUP(vendor_table_free_p) = table(r->table);
    struct admission_config cfg = config(r, t);
    json_t *pod CLEANUP(json_decref_p) = js(r->pod);
    json_t *before CLEANUP(json_decref_p) = json_deep_copy(pod);
    struct admission_result got;
    ck_assert_int_eq(admission_mutate(&cfg, pod, STR("ml"), NULL, &got, NULL), ERR_OK);
    ck_json(r->name, pod, before); /* not changed */
    ck_assert_msg(strstr(got.message, r->message ? r->message : ""), "%s: message \"%s\"", r->name,
                  got.message);
    if (!r->patch) {
        ck_assert_msg(got.verdict != ADMISSION_ALLOW && got.code == r->code, "%s: verdict %d, %u",
                      r->name, got.verdict, got.code);
        ck_assert_msg((got.verdict == ADMISSION_ERROR) == (r->code == 400), "%s", r->name);
        ck_assert_msg(r->code != 400 || strcmp(got.message, r->message) == 0, "%s: \"%s\"", r->name,
                      got.message);
        ck_assert_ptr_null(got.patch);
        return;
    }
    json_t *want CLEANUP(json_decref_p) = js(r->patch);
    ck_assert_msg(got.verdict == ADMISSION_ALLOW, "%s: %u %s", r->name, got.code, got.message);
    ck_assert_msg(got.message[0] == '\0' || r->message, "%s: %s", r->name, got.message);
    ck_assert_msg(got.has_resource == r->asks, "%s: has_resource", r->name);
    ck_json(r->name, got.patch, want);
    json_t *patched CLEANUP(json_decref_p) = NULL;
    struct err err = {0};
    ck_assert_msg(admission_apply(pod, got.patch, &patched, &err) == ERR_OK, "%s: %s", r->name,
                  err.text);
    admission_result_done(&got);
    ck_assert_int_eq(admission_mutate(&cfg, patched, STR("ml"), NULL, &got, NULL), ERR_OK);
    ck_assert_msg(got.verdict == ADMISSION_ALLOW && json_array_size(got.patch) == 0,
                  "%s: not idempotent", r->name);
    admission_result_done(&got);
}
END_TEST

/* ---- quota ---- */

struct asked {
    int times;
    uint16_t vendor;
    int64_t mem, cores, mem_limit;
};

static bool fits(void *ctx, struct str ns, uint16_t vendor, int64_t mem_mib, int64_t cores_pct,
                 char *msg, size_t msg_max)
{
    struct asked *a = ctx;
    ck_assert(str_eq(ns, STR("ml")));
    a->times++;
    a->vendor = vendor;
    a->mem = mem_mib;
    a->cores = cores_pct;
    if (mem_mib <= a->mem_limit)
        return true;
    (void)snprintf(msg, msg_max, "memory %lld of %lld", (long long)mem_mib,
                   (long long)a->mem_limit);
    return false;
}

#define C(name, limits) "{'name':'" name "','resources':{'limits':{" limits "}}}"
#define SIDE(name, limits)                                                                         \
    "{'name':'" name "','restartPolicy':'Always','resources':{'limits':{" limits "}}}"
static const struct {
    const char *name, *pod;
    int64_t mem, cores; /* asked; both 0: not asked at all */
    bool denied;
} QUOTAS[] = {
    {"cards times memory",
     "{'spec':{'containers':[" C("a", GPU ":'2'," MEM ":'3000'," CORES ":'30'") "]}}", 6000, 60},
    {"app containers add up",
     "{'spec':{'containers':[" C("a", GPU ":'1'," MEM ":'1000'") "," C("b", GPU ":'1'," MEM
                                                                                ":'500'") "]}}",
     1500, 0},
    {"the largest init container",
     "{'spec':{'initContainers':[" C("i", GPU ":'1'," MEM ":'4000'") "," C(
         "j", GPU ":'1'," MEM ":'3000'") "],'containers':[" C("a", GPU ":'1'," MEM ":'1000'") "]}}",
     4000, 0},
    {"sidecars run beside the app (C 3)",
     "{'spec':{'initContainers':[" SIDE("s", GPU ":'1'," MEM ":'2000'") "],'containers':[" C(
         "a", GPU ":'1'," MEM ":'1000'") "]}}",
     3000, 0},
    {"an init step beside the sidecars before it (C 3)",
     "{'spec':{'initContainers':[" SIDE("s", GPU ":'1'," MEM ":'2000'") "," C(
         "i", GPU ":'1'," MEM ":'5000'") "," SIDE("z", GPU
                                                  ":'1'," MEM
                                                  ":'100'") "],'containers':[" C("a", GPU
                                                                                 ":'1'," MEM
                                                                                 ":'1000'") "]}}",
     7000, 0},
    {"percent isn't resolved here", "{'spec':{'containers':[" C("a", GPU ":'1'," PCT ":'50'") "]}}",
     0, 0},
    {"exclusive cores count", "{'spec':{'containers':[" C("a", GPU ":'2'") "]}}", 0, 200},
    {"nothing asked", "{'spec':{'containers':[{'name':'a'}]}}", 0, 0},
    {"exactly the limit", "{'spec':{'containers':[" C("a", GPU ":'1'," MEM ":'10000'") "]}}", 10000,
     0},
    {"one over", "{'spec':{'containers':[" C("a", GPU ":'1'," MEM ":'10001'") "]}}", 10001, 0,
     true},
    {"largest", "{'spec':{'containers':[" C("a", GPU ":'1024'," MEM ":'2147483647'") "]}}",
     INT64_C(2147483647) * 1024, 0, true},
};

START_TEST(quota)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = table(CHART);
    struct row plain = {0};
    struct admission_config cfg = config(&plain, t);
    struct asked asked = {.mem_limit = 10000};
    struct admission_quota q = {fits, &asked};
    json_t *pod CLEANUP(json_decref_p) = js(QUOTAS[_i].pod);
    struct admission_result got;
    ck_assert_int_eq(admission_mutate(&cfg, pod, STR("ml"), &q, &got, NULL), ERR_OK);
    ck_assert_msg(asked.times == (QUOTAS[_i].mem || QUOTAS[_i].cores), "%s: asked %d times",
                  QUOTAS[_i].name, asked.times);
    ck_assert_msg(asked.mem == QUOTAS[_i].mem && asked.cores == QUOTAS[_i].cores, "%s: %lld, %lld",
                  QUOTAS[_i].name, (long long)asked.mem, (long long)asked.cores);
    ck_assert_msg((got.verdict == ADMISSION_DENY) == QUOTAS[_i].denied, "%s", QUOTAS[_i].name);
    if (QUOTAS[_i].denied) {
        ck_assert_int_eq(got.code, 403);
        ck_assert_msg(strncmp(got.message, "exceeding resource quota: memory ", 33) == 0, "%s",
                      got.message);
    }
    admission_result_done(&got);
}
END_TEST

/* ---- JSON Patch ---- */

static const struct {
    const char *name, *doc, *patch;
    const char *want; /* NULL: refused */
    enum err_code code;
} PATCHES[] = {
    {"none", "{'a':1}", "[]", "{'a':1}"},
    {"add", "{}", "[{'op':'add','path':'/a','value':1}]", "{'a':1}"},
    {"add replaces", "{'a':1}", "[{'op':'add','path':'/a','value':null}]", "{'a':null}"},
    {"replace", "{'a':1}", "[{'op':'replace','path':'/a','value':[2]}]", "{'a':[2]}"},
    {"remove", "{'a':1,'b':2}", "[{'op':'remove','path':'/a'}]", "{'b':2}"},
    {"escapes", "{'m':{}}", "[{'op':'add','path':'/m/a~1b~0c~01','value':1}]",
     "{'m':{'a/b~c~1':1}}"},
    {"empty key", "{}", "[{'op':'add','path':'/','value':1}]", "{'':1}"},
    {"into a list", "{'l':[1,3]}", "[{'op':'add','path':'/l/1','value':2}]", "{'l':[1,2,3]}"},
    {"behind a list", "{'l':[1]}", "[{'op':'add','path':'/l/-','value':2}]", "{'l':[1,2]}"},
    {"at a list's end", "{'l':[1]}", "[{'op':'add','path':'/l/1','value':2}]", "{'l':[1,2]}"},
    {"in a list", "{'l':[1,2]}", "[{'op':'replace','path':'/l/0','value':9}]", "{'l':[9,2]}"},
    {"out of a list", "{'l':[1,2]}", "[{'op':'remove','path':'/l/0'}]", "{'l':[2]}"},
    {"through a list", "{'l':[{'a':1}]}", "[{'op':'add','path':'/l/0/b','value':2}]",
     "{'l':[{'a':1,'b':2}]}"},
    {"one after the other", "{}",
     "[{'op':'add','path':'/a','value':{}},{'op':'add','path':'/a/b','value':1}]", "{'a':{'b':1}}"},
    {"no parent", "{}", "[{'op':'add','path':'/a/b','value':1}]", NULL, ERR_INVALID},
    {"nothing to replace", "{}", "[{'op':'replace','path':'/a','value':1}]", NULL, ERR_INVALID},
    {"nothing to remove", "{}", "[{'op':'remove','path':'/a'}]", NULL, ERR_INVALID},
    {"index too large", "{'l':[1]}", "[{'op':'add','path':'/l/2','value':2}]", NULL, ERR_INVALID},
    {"index with a zero", "{'l':[1,2]}", "[{'op':'remove','path':'/l/01'}]", NULL, ERR_INVALID},
    {"index with a sign", "{'l':[1,2]}", "[{'op':'remove','path':'/l/+1'}]", NULL, ERR_INVALID},
    {"remove behind the end", "{'l':[1]}", "[{'op':'remove','path':'/l/-'}]", NULL, ERR_INVALID},
    {"into a number", "{'a':1}", "[{'op':'add','path':'/a/b','value':2}]", NULL, ERR_INVALID},
    {"not an array", "{}", "{}", NULL, ERR_BAD_REQUEST},
    {"another op", "{}", "[{'op':'move','path':'/a','from':'/b'}]", NULL, ERR_BAD_REQUEST},
    {"no op", "{}", "[{'path':'/a'}]", NULL, ERR_BAD_REQUEST},
    {"an operation is a number", "{}", "[1]", NULL, ERR_BAD_REQUEST},
    {"no path", "{}", "[{'op':'remove'}]", NULL, ERR_BAD_REQUEST},
    {"path without a slash", "{}", "[{'op':'remove','path':'a'}]", NULL, ERR_BAD_REQUEST},
    {"no value", "{}", "[{'op':'add','path':'/a'}]", NULL, ERR_BAD_REQUEST},
    {"bad escape", "{}", "[{'op':'add','path':'/a~2','value':1}]", NULL, ERR_BAD_REQUEST},
    {"bad escape on the way", "{}", "[{'op':'add','path':'/~/a','value':1}]", NULL,
     ERR_BAD_REQUEST},
};

START_TEST(apply)
{
    json_t *doc CLEANUP(json_decref_p) = js(PATCHES[_i].doc);
    json_t *before CLEANUP(json_decref_p) = json_deep_copy(doc);
    json_t *patch CLEANUP(json_decref_p) = js(PATCHES[_i].patch);
    json_t *got CLEANUP(json_decref_p) = NULL;
    struct err err = {0};
    enum err_code rc = admission_apply(doc, patch, &got, &err);
    ck_json(PATCHES[_i].name, doc, before);
    if (!PATCHES[_i].want) {
        ck_assert_msg(rc == PATCHES[_i].code && err.text[0], "%s: got %d", PATCHES[_i].name, rc);
        ck_assert_ptr_null(got);
        return;
    }
    json_t *want CLEANUP(json_decref_p) = js(PATCHES[_i].want);
    ck_assert_msg(rc == ERR_OK, "%s: %s", PATCHES[_i].name, err.text);
    ck_json(PATCHES[_i].name, got, want);
}
END_TEST

/* ---- reviews ---- */

/* What the caller is told is what the answer says. */
static void ck_outcome(enum admission_outcome outcome, const json_t *answer)
{
    const json_t *r = json_object_get(answer, "response");
    json_int_t code = json_integer_value(json_object_get(json_object_get(r, "status"), "code"));
    if (json_is_true(json_object_get(r, "allowed")))
        ck_assert_int_eq(outcome,
                         json_object_get(r, "patch") ? ADMISSION_CHANGED : ADMISSION_UNCHANGED);
    else
        ck_assert_int_eq(outcome,
                         code == 400 || code == 500 ? ADMISSION_UNREADABLE : ADMISSION_REFUSED);
}

static json_t *review(struct str body, const struct admission_quota *q)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = table(CHART);
    struct row plain = {0};
    struct admission_config cfg = config(&plain, t);
    struct buf out;
    buf_init(&out, 64 << 20);
    enum admission_outcome outcome;
    ck_assert_int_eq(admission_review(&cfg, q, body, &out, &outcome, NULL), ERR_OK);
    json_error_t fault;
    json_t *answer = json_loadb(out.p, out.n, 0, &fault);
    ck_assert_msg(answer != NULL, "the answer is no JSON: %s", fault.text);
    ck_outcome(outcome, answer);
    buf_done(&out);
    return answer;
}

#define REVIEW(request)                                                                            \
    "{'apiVersion':'admission.k8s.io/v1','kind':'AdmissionReview','request':" request "}"
#define POD_KIND "'kind':{'group':'','version':'v1','kind':'Pod'}"
#define OBJECT                                                                                     \
    "'object':{'spec':{'containers':[{'name':'c','resources':{'limits':{" GPU ":'1'}}}]}}"
static const struct {
    const char *name, *body;
    bool allowed;
    int code; /* not allowed */
    const char *message;
    const char *uid;
    bool beta;
} REVIEWS[] = {
    {"empty body", "", false, 400, "body", ""},
    {"not JSON", "hello", false, 400, "body", ""},
    {"null", "null", false, 400, "body", ""},
    {"a list", "[]", false, 400, "body", ""},
    {"an empty object", "{}", false, 400, "expected an AdmissionReview", ""},
    {"cut off",
     "{'apiVersion':'admission.k8s.io/"
     "v1beta1','kind':'AdmissionReview','request':{'uid':'u','object':{",
     false, 400, "body", "u", true},
    {"something behind", REVIEW("{'uid':'u'}") "x", false, 400, "body", "u"},
    {"another version",
     "{'apiVersion':'admission.k8s.io/v2','kind':'AdmissionReview','request':{'uid':'u'}}", false,
     400, "expected an AdmissionReview", "u"},
    {"another kind", "{'apiVersion':'admission.k8s.io/v1','kind':'Pod','request':{'uid':'u'}}",
     false, 400, "expected an AdmissionReview", "u"},
    {"no request", "{'apiVersion':'admission.k8s.io/v1','kind':'AdmissionReview'}", false, 400,
     "no request", ""},
    {"request null", REVIEW("null"), false, 400, "no request", ""},
    {"request a list", REVIEW("[]"), false, 400, "body", ""},
    {"no uid", REVIEW("{'operation':'CREATE'," OBJECT "}"), false, 400, "no request with a uid",
     ""},
    {"uid is a number", REVIEW("{'uid':1}"), false, 400, "body", ""},
    {"no object", REVIEW("{'uid':'u','operation':'CREATE'}"), false, 400, "no object", "u"},
    {"object null", REVIEW("{'uid':'u','operation':'CREATE','object':null}"), false, 400,
     "no object", "u"},
    {"object a text", REVIEW("{'uid':'u','operation':'CREATE','object':'x'}"), false, 400, "object",
     "u"},
    {"object without a spec", REVIEW("{'uid':'u','operation':'CREATE','object':{}}"), false, 403,
     "pod has no containers", "u"},
    {"a number beyond 64 bits",
     REVIEW("{'uid':'u','operation':'CREATE','object':{'x':99999999999999999999}}"), false, 400,
     "object: ", "u"},
    {"the last duplicate wins",
     REVIEW("{'uid':'t','uid':'u','operation':'DELETE','operation':'CREATE','object':{}}"), false,
     403, "pod has no containers", "u"},
    {"another operation", REVIEW("{'uid':'u','operation':'UPDATE'," OBJECT "}"), true, 0, NULL,
     "u"},
    {"delete without an object", REVIEW("{'uid':'u','operation':'DELETE','object':null}"), true, 0,
     NULL, "u"},
    {"no operation", REVIEW("{'uid':'u'," OBJECT "}"), true, 0, NULL, "u"},
    {"a subresource",
     REVIEW("{'uid':'u','operation':'CREATE','subResource':'ephemeralcontainers'," OBJECT "}"),
     true, 0, NULL, "u"},
    {"another kind of object",
     REVIEW("{'uid':'u','operation':'CREATE','kind':{'group':'apps','kind':'Pod'}," OBJECT "}"),
     true, 0, NULL, "u"},
    {"v1beta1",
     "{'apiVersion':'admission.k8s.io/v1beta1','kind':'AdmissionReview','request':{'uid':'u',"
     "'operation':'DELETE'}}",
     true, 0, NULL, "u", true},
};

START_TEST(reviews)
{
    char *body CLEANUP(free_p) = requote(REVIEWS[_i].body);
    json_t *answer CLEANUP(json_decref_p) = review(str_z(body), NULL);
    const json_t *response = json_object_get(answer, "response");
    const json_t *status = json_object_get(response, "status");
    const char *message = json_string_value(json_object_get(status, "message"));
    ck_assert_str_eq(json_string_value(json_object_get(answer, "kind")), "AdmissionReview");
    ck_assert_str_eq(json_string_value(json_object_get(answer, "apiVersion")),
                     REVIEWS[_i].beta ? "admission.k8s.io/v1beta1" : "admission.k8s.io/v1");
    ck_assert_str_eq(json_string_value(json_object_get(response, "uid")), REVIEWS[_i].uid);
    ck_assert_msg(json_is_true(json_object_get(response, "allowed")) == REVIEWS[_i].allowed, "%s",
                  REVIEWS[_i].name);
    ck_assert_msg(!json_object_get(response, "patch") && !json_object_get(response, "patchType"),
                  "%s", REVIEWS[_i].name);
    if (REVIEWS[_i].allowed) {
        ck_assert_msg(!status, "%s", REVIEWS[_i].name);
        return;
    }
    ck_assert_msg(json_integer_value(json_object_get(status, "code")) == REVIEWS[_i].code, "%s",
                  REVIEWS[_i].name);
    ck_assert_msg(message && strstr(message, REVIEWS[_i].message), "%s: %s", REVIEWS[_i].name,
                  message);
}
END_TEST

/* 8 MiB of '[', where a member is skipped and where the pod stands: refused before anything
 * recurses. */
START_TEST(deep_reviews)
{
    static const char *const HEADS[] = {"", "{\"x\":",
                                        ("{\"apiVersion\":\"admission.k8s.io/"
                                         "v1\",\"kind\":\"AdmissionReview\",\"request\":{\"uid\":"
                                         "\"u\",\"operation\":\"CREATE\",\"object\":{\"x\":")};
    enum { DEEP = 8 * 1024 * 1024 };
    for (int i = 0; i < COUNT(HEADS); i++) {
        size_t head = strlen(HEADS[i]);
        char *body CLEANUP(free_p) = malloc(head + DEEP);
        ck_assert_ptr_nonnull(body);
        memcpy(body, HEADS[i], head);
        memset(body + head, '[', DEEP);
        json_t *answer CLEANUP(json_decref_p) = review((struct str){body, head + DEEP}, NULL);
        const json_t *response = json_object_get(answer, "response");
        ck_assert(json_is_false(json_object_get(response, "allowed")));
        ck_assert_int_eq(
            json_integer_value(json_object_get(json_object_get(response, "status"), "code")), 400);
    }
}
END_TEST

/* NOLINTBEGIN(readability-non-const-parameter): the callback's type */
static bool never_fits(void *ctx, struct str ns, uint16_t vendor, int64_t mem_mib,
                       int64_t cores_pct, char *msg, size_t msg_max)
{
    (void)ctx, (void)vendor, (void)mem_mib, (void)cores_pct, (void)msg, (void)msg_max;
    ck_assert(str_eq(ns, STR("team-a"))); /* the request's, not the object's */
    return false;
}
/* NOLINTEND(readability-non-const-parameter) */

START_TEST(review_quota)
{
    struct admission_quota q = {never_fits, NULL};
    json_t *answer CLEANUP(json_decref_p) = review(
        STR("{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"request\":{"
            "\"uid\":\"u\",\"namespace\":\"team-a\",\"operation\":\"CREATE\",\"object\":{"
            "\"metadata\":{\"namespace\":\"other\"},\"spec\":{\"containers\":[{\"name\":\"c\","
            "\"resources\":{\"limits\":{\"nvidia.com/gpu\":\"1\"}}}]}}}}"),
        &q);
    json_t *want CLEANUP(json_decref_p) =
        js("{'uid':'u','allowed':false,'status':{'metadata':{},'status':'Failure','code':403,"
           "'reason':'Forbidden','message':'exceeding resource quota'}}");
    ck_json("quota", json_object_get(answer, "response"), want);
}
END_TEST

/* RFC 4648, section 10 */
START_TEST(base64)
{
    static const char *const VECTORS[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"},
                                             {"\xfb\xff\xfe", "+//+"}};
    for (int i = 0; i < COUNT(VECTORS); i++) {
        struct buf out;
        buf_init(&out, 100);
        admission_base64(str_z(VECTORS[i][0]), &out);
        ck_assert_msg(str_eq((struct str){out.p, out.n}, str_z(VECTORS[i][1])), "%s",
                      VECTORS[i][1]);
        buf_done(&out);
    }
}
END_TEST

/* ---- goldens: request.json, response.json, and patch.json, the response's patch decoded ---- */

#define GOLDEN TEST_DATA "/golden/admission/"

static json_t *load(const char *story, const char *file)
{
    char path[4096];
    json_error_t fault;
    (void)snprintf(path, sizeof(path), GOLDEN "%s/%s", story, file);
    json_t *json = json_load_file(path, 0, &fault);
    ck_assert_msg(json != NULL, "%s: %s", path, fault.text);
    return json;
}

static void check_or_write(const char *story, const char *file, const json_t *got)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread */
    if (getenv("UPDATE_GOLDEN")) {
        char path[4096];
        (void)snprintf(path, sizeof(path), GOLDEN "%s/%s", story, file);
        FILE *f = fopen(path, "w");
        ck_assert_msg(f != NULL, "%s", path);
        ck_assert_int_eq(json_dumpf(got, f, JSON_INDENT(2) | JSON_SORT_KEYS), 0);
        ck_assert_int_eq(fputc('\n', f), '\n');
        ck_assert_int_eq(fclose(f), 0);
        return;
    }
    json_t *want CLEANUP(json_decref_p) = load(story, file);
    ck_json(story, got, want);
}

/* RFC 4648, written a second time on purpose. */
static char *from_base64(const char *text, size_t *ret_n)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *out = malloc(strlen(text) + 1);
    unsigned bits = 0, have = 0;
    *ret_n = 0;
    ck_assert_uint_eq(strlen(text) % 4, 0);
    for (; *text && *text != '='; text++) {
        const char *at = strchr(DIGITS, *text);
        ck_assert_ptr_nonnull(at);
        bits = bits << 6 | (unsigned)(at - DIGITS);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[(*ret_n)++] = (char)(bits >> have & 0xff);
        }
    }
    return out;
}

static int run_story(const char *story)
{
    json_t *request CLEANUP(json_decref_p) = load(story, "request.json");
    char *body CLEANUP(free_p) = json_dumps(request, JSON_COMPACT);
    json_t *answer CLEANUP(json_decref_p) = review(str_z(body), NULL);
    const char *patch =
        json_string_value(json_object_get(json_object_get(answer, "response"), "patch"));
    json_t *ops CLEANUP(json_decref_p) = json_array();
    if (patch) {
        size_t n;
        char *bytes CLEANUP(free_p) = from_base64(patch, &n);
        json_decref(ops);
        ops = json_loadb(bytes, n, 0, NULL);
        ck_assert_msg(json_array_size(ops) > 0, "%s: a patch of nothing", story);
    }
    check_or_write(story, "response.json", answer);
    check_or_write(story, "patch.json", ops);
    return 1;
}

START_TEST(goldens)
{
    DIR *dir = opendir(GOLDEN);
    ck_assert_ptr_nonnull(dir);
    int stories = 0;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread */
    for (const struct dirent *e; (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.' && !str_has_suffix(str_z(e->d_name), STR(".json")))
            stories += run_story(e->d_name);
    closedir(dir);
    ck_assert_int_ge(stories, 8);
}
END_TEST

/* ---- no memory ---- */

#define MUCH                                                                                       \
    "{'metadata':{'annotations':{'hami.io/vgpu-node':'n','hami.io/device-scoring-weights':"        \
    "'slot=1,core=1,memory=1'}},'spec':{'schedulerName':'default-scheduler','initContainers':[{"   \
    "'name':'i','env':[{'name':'CUDA_TASK_PRIORITY','value':'9'}],'resources':{'limits':{" MEM     \
    ":'5'," PRIO ":'1'}}}],'containers':[{'name':'c','resources':{'requests':{" GPU ":'1'," PRIO   \
    ":'2'}}},{'name':'d','env':[{'name':'A','value':'b'}],'resources':{'limits':{" GPU             \
    ":'1'}}}]}}"

/* Every kind of change that other makers' rows make. */
#define MANY                                                                                       \
    "{'spec':{'containers':[{'name':'c','resources':{'limits':{'huawei.com/Ascend910C':'1',"       \
    "'metax-tech.com/sgpu':'1','mthreads.com/vgpu':'2','enflame.com/gcu-memory':'9'},'requests':{" \
    "'enflame.com/gcu-core':'5','huawei.com/"                                                      \
    "Ascend910C':'1'}}},{'name':'d','resources':{'limits':{"                                       \
    "'iluvatar.ai/BI-V100-vgpu':'1','kunlunxin.com/vxpu':'1','kunlunxin.com/"                      \
    "vxpu-memory':'1'}}}]}}"

static const struct {
    const char *pod;
    enum table table;
} ALLOCATING[] = {{MUCH, CONFIGURED}, {MANY, CHART}};

START_TEST(mutate_without_memory)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = table(ALLOCATING[_i].table);
    struct row plain = {0};
    struct admission_config cfg = config(&plain, t);
    json_set_alloc_funcs(__wrap_malloc, free);
    json_t *pod = js(ALLOCATING[_i].pod), *want = NULL;
    struct admission_result got;
    ck_assert_int_eq(admission_mutate(&cfg, pod, STR("ml"), NULL, &got, NULL), ERR_OK);
    want = got.patch;
    ck_assert_uint_gt(json_array_size(want), 8);
    int n = 1;
    for (bool more = true; more; n++) {
        countdown = n;
        failed = false;
        enum err_code rc = admission_mutate(&cfg, pod, STR("ml"), NULL, &got, NULL);
        more = failed;
        countdown = 0;
        ck_assert_int_eq(rc, more ? ERR_NO_MEMORY : ERR_OK);
        ck_assert((got.patch == NULL) == more);
        if (!more)
            ck_json("after all", got.patch, want);
        admission_result_done(&got);
    }
    ck_assert_int_gt(n, 50);
    json_decref(want);
    json_decref(pod);
}
END_TEST

START_TEST(apply_without_memory)
{
    json_set_alloc_funcs(__wrap_malloc, free);
    json_t *doc = js("{'l':[1],'m':{'a':{'b':1}}}");
    json_t *patch = js("[{'op':'add','path':'/l/-','value':{'x':'y'}},{'op':'add','path':'/m/c',"
                       "'value':[1]},{'op':'remove','path':'/m/a/b'}]");
    int n = 1;
    for (bool more = true; more; n++) {
        json_t *got = NULL;
        countdown = n;
        failed = false;
        enum err_code rc = admission_apply(doc, patch, &got, NULL);
        more = failed;
        countdown = 0;
        ck_assert_int_eq(rc, more ? ERR_NO_MEMORY : ERR_OK);
        ck_assert((got == NULL) == more);
        json_decref(got);
    }
    ck_assert_int_gt(n, 10);
    json_decref(doc);
    json_decref(patch);
}
END_TEST

START_TEST(review_without_memory)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = table(CONFIGURED);
    struct row plain = {0};
    struct admission_config cfg = config(&plain, t);
    json_set_alloc_funcs(__wrap_malloc, free);
    char *body CLEANUP(free_p) =
        requote(REVIEW("{'uid':'u','operation':'CREATE','object':" MUCH "}"));
    struct buf want;
    buf_init(&want, 1 << 20);
    ck_assert_int_eq(admission_review(&cfg, NULL, str_z(body), &want, NULL, NULL), ERR_OK);
    int n = 1;
    for (bool more = true; more; n++) {
        struct buf got;
        buf_init(&got, 1 << 20);
        countdown = n;
        failed = false;
        enum err_code rc = admission_review(&cfg, NULL, str_z(body), &got, NULL, NULL);
        more = failed;
        countdown = 0;
        ck_assert_msg(rc == (more ? ERR_NO_MEMORY : ERR_OK), "allocation %d: %d, %.*s", n, rc,
                      (int)got.n, got.p);
        if (!more)
            ck_assert(str_eq((struct str){got.p, got.n}, (struct str){want.p, want.n}));
        buf_done(&got);
    }
    ck_assert_int_gt(n, 100);
    buf_done(&want);
}
END_TEST

START_TEST(answer_too_large)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = table(CHART);
    struct row plain = {0};
    struct admission_config cfg = config(&plain, t);
    struct buf out;
    buf_init(&out, 20);
    ck_assert_int_eq(admission_review(&cfg, NULL, STR("{}"), &out, NULL, NULL), ERR_NO_MEMORY);
    buf_done(&out);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("admission");
    TCase *tc = tcase_create("mutate");
    tcase_add_loop_test(tc, mutate, 0, COUNT(ROWS));
    tcase_add_loop_test(tc, quota, 0, COUNT(QUOTAS));
    suite_add_tcase(suite, tc);
    tc = tcase_create("patch");
    tcase_add_loop_test(tc, apply, 0, COUNT(PATCHES));
    suite_add_tcase(suite, tc);
    tc = tcase_create("review");
    tcase_add_loop_test(tc, reviews, 0, COUNT(REVIEWS));
    tcase_add_test(tc, deep_reviews);
    tcase_add_test(tc, review_quota);
    tcase_add_test(tc, base64);
    tcase_add_test(tc, goldens);
    suite_add_tcase(suite, tc);
    tc = tcase_create("memory");
    tcase_add_loop_test(tc, mutate_without_memory, 0, COUNT(ALLOCATING));
    tcase_add_test(tc, apply_without_memory);
    tcase_add_test(tc, review_without_memory);
    tcase_add_test(tc, answer_too_large);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int bad = srunner_ntests_failed(runner);
    srunner_free(runner);
    return bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
