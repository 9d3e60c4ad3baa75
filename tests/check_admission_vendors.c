/* Admission of every maker's cards: one file a case under golden/admission (vendors-a.md and
 * vendors-b.md, their parts 6 and f), each applied, mutated again, and derived both ways; then pods
 * put together at random. A case: the pod, the configuration if it is not the chart's, and the
 * patch, or code and message of the refusal. UPDATE_GOLDEN=1 writes what is said now. */
#include "admission/admission.h"
#include "base/own.h"
#include "kubeclient/kubeclient.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))
#define GOLDEN   TEST_DATA "/golden/admission/"

DEFINE_CLEANUP(struct vendor_table *, vendor_table_free)
DEFINE_CLEANUP(json_t *, json_decref)

/* `yaml` a device configuration, `rows` a file of further rows; NULL: none. */
static struct vendor_table *table(const char *yaml, const char *rows)
{
    struct vendor_table *t = NULL;
    struct err err = {0};
    enum err_code rc = yaml ? vendor_table_parse(str_z(yaml), "f", NULL, &t, &err)
                            : vendor_table_builtin(&t, &err);
    if (!rc && rows)
        rc = vendor_table_extend(&t, str_z(rows), "rows", &err);
    ck_assert_msg(rc == ERR_OK, "%s", err.text);
    return t;
}

static struct admission_config config(const struct vendor_table *t)
{
    return (struct admission_config){
        .vendors = t, .scheduler_name = STR("cardinal"), .force_overwrite_default_scheduler = true};
}

static struct str text_of(const json_t *v)
{
    return json_is_string(v) ? (struct str){json_string_value(v), json_string_length(v)}
                             : (struct str){0};
}

/* ---- derive(admit(pod)) is derive_admitted(pod) ---- */

typedef char quantities[VENDOR_RES_COUNT_][24];

static struct str quantity_of(const json_t *v, char digits[24])
{
    if (!json_is_integer(v))
        return text_of(v);
    (void)snprintf(digits, 24, "%lld", (long long)json_integer_value(v));
    return str_z(digits);
}

/* What a container wants of a row's cards, read from the pod as the API server stores it: a limit,
 * else the request. */
static struct vendor_wish wish_of(const json_t *pod, const json_t *container,
                                  const struct vendor *v, quantities digits)
{
    struct vendor_wish w = {0};
    const json_t *resources = json_object_get(container, "resources");
    const json_t *limits = json_object_get(resources, "limits");
    const json_t *requests = json_object_get(resources, "requests");
    for (unsigned i = 0; i < VENDOR_RES_COUNT_; i++) {
        struct str name = vendor_resource_name(v, (enum vendor_resource)i);
        if (name.n == 0)
            continue;
        const json_t *limit = json_object_getn(limits, name.p, name.n);
        if (limit)
            w.limits |= UINT32_C(1) << i;
        w.value[i] =
            quantity_of(limit ? limit : json_object_getn(requests, name.p, name.n), digits[i]);
    }
    const json_t *annotations = json_object_get(json_object_get(pod, "metadata"), "annotations");
    struct str soft = text_of(json_object_getn(annotations, v->pod_soft.p, v->pod_soft.n));
    w.soft = v->pod_soft.n > 0 && soft.p && vendor_soft(v, soft);
    return w;
}

/* ---- what the API server takes, it still takes: limits of such resources equal requests ---- */

static bool taken(const json_t *container, struct str name)
{
    const json_t *resources = json_object_get(container, "resources");
    const json_t *limit = json_object_getn(json_object_get(resources, "limits"), name.p, name.n);
    const json_t *request =
        json_object_getn(json_object_get(resources, "requests"), name.p, name.n);
    char digits[2][24];
    struct quantity a, b;
    int64_t x = 0, y = 0;
    if (!request)
        return true;
    return limit && quantity_parse(quantity_of(limit, digits[0]), &a, NULL) == ERR_OK &&
           quantity_parse(quantity_of(request, digits[1]), &b, NULL) == ERR_OK &&
           quantity_ceil(&a, 0, &x) && quantity_ceil(&b, 0, &y) && x == y;
}

static void ck_taken(const char *name, const struct vendor_table *t, const json_t *before,
                     const json_t *after)
{
    for (uint16_t row = 0; row < vendor_count(t); row++)
        for (unsigned i = 0; i < VENDOR_RES_COUNT_; i++) {
            struct str resource = vendor_resource_name(vendor_at(t, row), (enum vendor_resource)i);
            ck_assert_msg(resource.n == 0 || !taken(before, resource) || taken(after, resource),
                          "%s: " STR_FMT ": limit and request differ", name, STR_ARG(resource));
        }
}

static bool same_ask(const struct score_ask *a, const struct score_ask *b)
{
    return a->count == b->count && a->mem_mib == b->mem_mib && a->mem_pct == b->mem_pct &&
           a->cores_pct == b->cores_pct && a->slices == b->slices && a->soft == b->soft &&
           a->mem_guess == b->mem_guess;
}

static int ck_derived(const char *name, const struct vendor_table *t, const json_t *pod,
                      const json_t *patched)
{
    static const char *const LISTS[] = {"initContainers", "containers"};
    int asked = 0;
    for (int l = 0; l < COUNT(LISTS); l++) {
        const json_t *before = json_object_get(json_object_get(pod, "spec"), LISTS[l]);
        const json_t *after = json_object_get(json_object_get(patched, "spec"), LISTS[l]);
        for (size_t i = 0; i < json_array_size(before); i++) {
            ck_taken(name, t, json_array_get(before, i), json_array_get(after, i));
            for (uint16_t row = 0; row < vendor_count(t); row++) {
                const struct vendor *v = vendor_at(t, row);
                quantities was, is;
                struct vendor_wish old = wish_of(pod, json_array_get(before, i), v, was);
                struct vendor_wish new = wish_of(patched, json_array_get(after, i), v, is);
                struct score_ask a = {0}, b = {0};
                bool a_asks = false, b_asks = false;
                struct err err = {0};
                ck_assert_msg(vendor_derive(v, &old, true, &a, &a_asks, &err) == ERR_OK, "%s: %s",
                              name, err.text);
                ck_assert_msg(vendor_derive(v, &new, false, &b, &b_asks, &err) == ERR_OK, "%s: %s",
                              name, err.text);
                ck_assert_msg(a_asks == b_asks && (!a_asks || same_ask(&a, &b)),
                              "%s: " STR_FMT ": as if admitted %d: %d × (%lld MiB, %d %%, %d, %d), "
                              "admitted %d: %d × (%lld MiB, %d %%, %d, %d)",
                              name, STR_ARG(v->core.key), a_asks, a.count, (long long)a.mem_mib,
                              a.mem_pct, a.cores_pct, a.slices, b_asks, b.count,
                              (long long)b.mem_mib, b.mem_pct, b.cores_pct, b.slices);
                asked += a_asks;
            }
        }
    }
    return asked;
}

/* Applies the patch, asks again (nothing to do), derives both ways. How many asks there are. */
static int ck_admitted(const char *name, const struct admission_config *cfg, const json_t *pod,
                       const struct admission_result *r)
{
    json_t *patched CLEANUP(json_decref_p) = NULL;
    struct admission_result again;
    struct err err = {0};
    ck_assert_msg(admission_apply(pod, r->patch, &patched, &err) == ERR_OK, "%s: %s", name,
                  err.text);
    ck_assert_int_eq(admission_mutate(cfg, patched, STR("ml"), NULL, &again, NULL), ERR_OK);
    char *ops = again.patch ? json_dumps(again.patch, JSON_COMPACT) : NULL;
    ck_assert_msg(again.verdict == ADMISSION_ALLOW && json_array_size(again.patch) == 0,
                  "%s: a second time: %s %s", name, again.message, ops ? ops : "");
    ck_assert_msg(again.has_resource == r->has_resource, "%s", name);
    free(ops);
    admission_result_done(&again);
    int asked = r->message[0] ? 0 : ck_derived(name, cfg->vendors, pod, patched);
    ck_assert_msg(r->has_resource == (asked > 0), "%s: %d asks", name, asked);
    return asked;
}

/* ---- the cases ---- */

static void write_case(const char *path, const json_t *old, const struct admission_result *r)
{
    json_t *now CLEANUP(json_decref_p) = json_object();
    static const char *const KEPT[] = {"why", "config", "rows", "pod"};
    FILE *f = fopen(path, "w");
    ck_assert_msg(f != NULL, "%s", path);
    for (int i = 0; i < COUNT(KEPT); i++)
        if (json_object_get(old, KEPT[i]))
            json_object_set(now, KEPT[i], json_object_get(old, KEPT[i]));
    if (r->patch)
        json_object_set(now, "patch", r->patch);
    else
        json_object_set_new(now, "code", json_integer(r->code));
    if (r->message[0])
        json_object_set_new(now, "message", json_string(r->message));
    ck_assert_int_eq(json_dumpf(now, f, JSON_INDENT(1)), 0);
    ck_assert_int_eq(fputc('\n', f), '\n');
    ck_assert_int_eq(fclose(f), 0);
}

static void run_case(const char *name)
{
    char path[4096];
    json_error_t fault;
    (void)snprintf(path, sizeof(path), GOLDEN "%s", name);
    json_t *c CLEANUP(json_decref_p) = json_load_file(path, JSON_REJECT_DUPLICATES, &fault);
    ck_assert_msg(c != NULL, "%s: %s", path, fault.text);
    struct vendor_table *t CLEANUP(vendor_table_free_p) =
        table(json_string_value(json_object_get(c, "config")),
              json_string_value(json_object_get(c, "rows")));
    struct admission_config cfg = config(t);
    const json_t *pod = json_object_get(c, "pod");
    const json_t *patch = json_object_get(c, "patch");
    const char *message = json_string_value(json_object_get(c, "message"));
    struct admission_result r;
    ck_assert_int_eq(admission_mutate(&cfg, pod, STR("ml"), NULL, &r, NULL), ERR_OK);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread */
    if (getenv("UPDATE_GOLDEN")) {
        write_case(path, c, &r);
        admission_result_done(&r);
        return;
    }
    char *got = r.patch ? json_dumps(r.patch, JSON_COMPACT) : NULL;
    char *want = patch ? json_dumps(patch, JSON_COMPACT) : NULL;
    ck_assert_msg(strcmp(r.message, message ? message : "") == 0, "%s: %u \"%s\"", name, r.code,
                  r.message);
    ck_assert_msg((patch && r.patch) ? json_equal(patch, r.patch) : !patch && !r.patch,
                  "%s:\n  want %s\n  got  %s", name, want ? want : "a refusal",
                  got ? got : r.message);
    ck_assert_msg((json_int_t)r.code == json_integer_value(json_object_get(c, "code")), "%s: %u",
                  name, r.code);
    free(got);
    free(want);
    if (r.patch)
        ck_admitted(name, &cfg, pod, &r);
    admission_result_done(&r);
}

/* The names of the cases, sorted, so that each is a test of its own. */
#define CASES_MAX 512
static char *cases[CASES_MAX];
static int cases_n;

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void find_cases(void)
{
    DIR *dir = opendir(GOLDEN);
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread */
    for (const struct dirent *e; dir && (e = readdir(dir)) != NULL;)
        if (str_has_suffix(str_z(e->d_name), STR(".json")) && cases_n < CASES_MAX)
            cases[cases_n++] = str_dup_z(str_z(e->d_name));
    if (dir)
        closedir(dir);
    qsort(cases, (size_t)cases_n, sizeof(cases[0]), by_name);
}

START_TEST(golden) { run_case(cases[_i]); }
END_TEST

static const char *const MAKERS[] = {"nvidia",   "ascend", "cambricon", "hygon",     "mthreads",
                                     "iluvatar", "metax",  "enflame",   "kunlunxin", "awsneuron",
                                     "amd",      "vastai", "biren"};

/* Every maker has its cases. */
START_TEST(every_maker)
{
    for (int m = 0; m < COUNT(MAKERS); m++) {
        int n = 0;
        for (int i = 0; i < cases_n; i++)
            n += str_has_prefix(str_z(cases[i]), str_z(MAKERS[m]));
        ck_assert_msg(n >= 2, "%s: %d cases", MAKERS[m], n);
    }
}
END_TEST

/* ---- the examples of the documents ---- */

#define EXAMPLES TEST_DATA "/../examples/vendors/"

static struct buf slurp(const char *path)
{
    struct buf text;
    char part[4096];
    size_t n;
    FILE *f = fopen(path, "r");
    ck_assert_msg(f != NULL, "%s", path);
    buf_init(&text, 1 << 20);
    while ((n = fread(part, 1, sizeof(part), f)) > 0)
        buf_add(&text, (struct str){part, n});
    (void)fclose(f);
    return text;
}

/* For another scheduler nothing is changed; privileged containers get no cards. */
static void ck_left_alone(const struct admission_config *cfg, const json_t *pod)
{
    json_t *other CLEANUP(json_decref_p) = json_deep_copy(pod);
    json_t *spec = json_object_get(other, "spec");
    struct admission_result r;
    json_object_set_new(spec, "schedulerName", json_string("volcano"));
    ck_assert_int_eq(admission_mutate(cfg, other, STR("ml"), NULL, &r, NULL), ERR_OK);
    ck_assert(r.verdict == ADMISSION_ALLOW && json_array_size(r.patch) == 0 && !r.has_resource);
    admission_result_done(&r);
    json_object_del(spec, "schedulerName");
    json_array_append_new(
        json_object_get(spec, "containers"),
        json_pack("{s:s,s:{s:b}}", "name", "p", "securityContext", "privileged", 1));
    ck_assert_int_eq(admission_mutate(cfg, other, STR("ml"), NULL, &r, NULL), ERR_OK);
    ck_assert_str_eq(r.message, "container p is privileged");
    ck_assert_uint_eq(r.code, 403);
    admission_result_done(&r);
}

/* Every pod of every maker's examples asks for cards and is admitted. */
START_TEST(examples)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = table(NULL, NULL);
    struct admission_config cfg = config(t);
    char path[4096];
    (void)snprintf(path, sizeof(path), EXAMPLES "%s.yaml", MAKERS[_i]);
    struct buf text = slurp(path);
    json_t *pods CLEANUP(json_decref_p) = NULL;
    struct err err = {0};
    ck_assert_msg(kube_yaml_parse((struct str){text.p, text.n}, path, &pods, &err) == ERR_OK, "%s",
                  err.text);
    ck_assert_uint_gt(json_array_size(pods), 0);
    for (size_t i = 0; i < json_array_size(pods); i++) {
        const json_t *pod = json_array_get(pods, i);
        struct admission_result r;
        ck_assert_int_eq(admission_mutate(&cfg, pod, STR("ml"), NULL, &r, NULL), ERR_OK);
        ck_assert_msg(r.verdict == ADMISSION_ALLOW && r.has_resource && !r.message[0],
                      "%s, pod %zu: %s", path, i, r.message);
        ck_admitted(path, &cfg, pod, &r);
        admission_result_done(&r);
        ck_left_alone(&cfg, pod);
    }
    buf_done(&text);
}
END_TEST

/* ---- quota: what a pod takes of it as far as it is known before a node is (S10, 0.10) ---- */

struct asked {
    const char *key; /* of the row */
    const struct vendor_table *t;
    int64_t mem, cores;
    int others;
};

static bool fits(void *ctx, struct str ns, uint16_t vendor, int64_t mem_mib, int64_t cores_pct,
                 char *msg, size_t msg_max)
{
    struct asked *a = ctx;
    ck_assert(ns.n > 0 && msg_max > 0 && msg[0] == '\0');
    if (!str_eq(vendor_at(a->t, vendor)->core.key, str_z(a->key))) {
        a->others++;
        return true;
    }
    a->mem = mem_mib;
    a->cores = cores_pct;
    return false;
}

static const struct {
    const char *name, *key, *limits, *notes;
    int64_t mem, cores; /* both 0: nothing is asked for */
} QUOTAS[] = {
    {"a whole card of known size", "Ascend910B3", "'huawei.com/Ascend910B3':'1'", "", 65536, 0},
    {"what it is rounded to", "Ascend910B3",
     "'huawei.com/Ascend910B3':'1','huawei.com/Ascend910B3-memory':'10000'", "", 16384, 0},
    {"one becomes two", "Ascend910C", "'huawei.com/Ascend910C':'1'", "", 131072, 0},
    {"soft splits have cores", "Ascend910B3",
     "'huawei.com/Ascend910B3':'2','huawei.com/Ascend910B3-memory':'1000',"
     "'huawei.com/Ascend910B3-core':'30'",
     "'huawei.com/vnpu-mode':'hami-core'", 2000, 60},
    {"units of memory", "MLU",
     "'cambricon.com/vmlu':'1','cambricon.com/mlu.smlu.vmemory':'20',"
     "'cambricon.com/mlu.smlu.vcore':'10'",
     "", 5120, 10},
    {"whole cards: memory isn't known, cores are", "MLU", "'cambricon.com/vmlu':'2'", "", 0, 200},
    {"cards times memory", "DCU",
     "'hygon.com/dcunum':'2','hygon.com/dcumem':'2000','hygon.com/dcucores':'60'", "", 4000, 120},
    {"totals are no more than that", "Mthreads", "'mthreads.com/vgpu':'2'", "", 98304, 32},
    {"iluvatar_defect_i3: 100 of each card, not 200", "BI-V100", "'iluvatar.ai/BI-V100-vgpu':'2'",
     "", 0, 200},
    {"a bare number is GiB", "Metax-SGPU",
     "'metax-tech.com/sgpu':'1','metax-tech.com/vmemory':'4','metax-tech.com/vcore':'60'", "", 4096,
     60},
    {"metax_defect_d1_10: online pods have no cores", "Metax-SGPU",
     "'metax-tech.com/sgpu':'1','metax-tech.com/vmemory':'4','metax-tech.com/vcore':'60'",
     "'metax-tech.com/sgpu-app-class':'online'", 4096, 0},
    {"enflame_defect_d2_6: slices are no MiB", "Enflame", "'enflame.com/drs-gcu':'4'", "", 0, 0},
    {"enflame_defect_d2_6: nor is a guess", "Enflame",
     "'enflame.com/gcu-memory':'30','enflame.com/gcu-core':'30'", "", 0, 30},
    {"steps", "XPU", "'kunlunxin.com/vxpu':'2','kunlunxin.com/vxpu-memory':'26000'", "", 98304,
     100},
    {"awsneuron_defect_d4_7: a core is a core", "AWSNeuron", "'aws.amazon.com/neuroncore':'2'", "",
     0, 2},
    {"cores that fill devices", "AWSNeuron", "'aws.amazon.com/neuroncore':'6'", "", 0, 6},
    {"devices of a size that isn't known", "AWSNeuron", "'aws.amazon.com/neuron':'4'", "", 0, 0},
    {"amd_defect_d5_3: percent are no units", "AMD",
     "'amd.com/gpu':'2','amd.com/gpumem':'1000','amd.com/gpucores':'40'", "", 2000, 0},
    {"no amounts", "Vastai", "'vastaitech.com/va':'2'", "", 0, 0},
};

START_TEST(quota)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = table(NULL, NULL);
    struct admission_config cfg = config(t);
    struct asked asked = {.key = QUOTAS[_i].key, .t = t};
    struct admission_quota q = {fits, &asked};
    struct admission_result r;
    char text[1024];
    (void)snprintf(text, sizeof(text),
                   "{'metadata':{'annotations':{%s}},'spec':{'containers':[{'name':'c','resources':"
                   "{'limits':{%s}}}]}}",
                   QUOTAS[_i].notes, QUOTAS[_i].limits);
    for (char *c = text; *c; c++)
        if (*c == '\'')
            *c = '"';
    json_t *pod CLEANUP(json_decref_p) = json_loads(text, 0, NULL);
    ck_assert_ptr_nonnull(pod);
    ck_assert_int_eq(admission_mutate(&cfg, pod, STR("ml"), &q, &r, NULL), ERR_OK);
    ck_assert_msg(asked.mem == QUOTAS[_i].mem && asked.cores == QUOTAS[_i].cores && !asked.others,
                  "%s: %lld, %lld, %d others: %s", QUOTAS[_i].name, (long long)asked.mem,
                  (long long)asked.cores, asked.others, r.message);
    ck_assert_msg(r.has_resource && r.code == (asked.mem || asked.cores ? 403u : 0u), "%s: %u %s",
                  QUOTAS[_i].name, r.code, r.message);
    admission_result_done(&r);
}
END_TEST

/* ---- at random ---- */

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15)); /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static json_t *random_container(const struct vendor_table *t, uint64_t *state, int n)
{
    static const char *const VALUES[] = {"0",    "1",    "1",    "1",     "2",      "2",   "3",
                                         "4",    "8",    "16",   "32",    "50",     "96",  "100",
                                         "101",  "6144", "8192", "8193",  "24576",  "1Ki", "16384",
                                         "1500", "1.0",  "1e3",  "30000", "100000", "4Gi", "-1"};
    json_t *limits = json_object(), *requests = json_object();
    for (uint64_t rows = next_random(state) % 3; rows > 0; rows--) {
        const struct vendor *v = vendor_at(t, (uint16_t)(next_random(state) % vendor_count(t)));
        for (unsigned i = 0; i < VENDOR_RES_COUNT_; i++) {
            struct str name = vendor_resource_name(v, (enum vendor_resource)i);
            uint64_t where = next_random(state) % 6;
            const char *value = VALUES[next_random(state) % COUNT(VALUES)];
            if (i == VENDOR_RES_COUNT && where > 3)
                where = 0;
            if (name.n > 0 && where <= 1)
                json_object_setn_new(limits, name.p, name.n, json_string(value));
            if (name.n > 0 && where >= 1 && where <= 2)
                json_object_setn_new(requests, name.p, name.n, json_string(value));
        }
    }
    json_t *env = next_random(state) % 4
                      ? NULL
                      : json_pack("[{s:s,s:s}]", "name", "SOL_CONTINER_NAME", "value", "x");
    char name[16];
    (void)snprintf(name, sizeof(name), "c%d", n);
    return json_pack("{s:s,s:{s:o,s:o},s:o*}", "name", name, "resources", "limits", limits,
                     "requests", requests, "env", env);
}

static json_t *random_pod(const struct vendor_table *t, uint64_t *state)
{
    static const char *const NOTES[][2] = {
        {"huawei.com/vnpu-mode", "hami-core"},
        {"metax-tech.com/sgpu-app-class", "online"},
        {"metax-tech.com/sgpu-app-class", "offline"},
        {"metax-tech.com/sgpu-qos-policy", "fixed-share"},
        {"mthreads.com/request-gpu-num", "7"},
    };
    json_t *init = json_array(), *app = json_array(), *notes = json_object();
    for (uint64_t i = next_random(state) % 2; i > 0; i--)
        json_array_append_new(init, random_container(t, state, 9));
    for (uint64_t i = next_random(state) % 3 + 1; i > 0; i--)
        json_array_append_new(app, random_container(t, state, (int)i));
    for (int i = 0; i < COUNT(NOTES); i++)
        if (next_random(state) % 4 == 0)
            json_object_set_new(notes, NOTES[i][0], json_string(NOTES[i][1]));
    return json_pack("{s:{s:o},s:{s:o,s:o}}", "metadata", "annotations", notes, "spec",
                     "initContainers", init, "containers", app);
}

/* Rows that no maker has, but that a file may say. */
static const char ODD[] =
    "replaceAll: true\n"
    "vendors:\n"
    "- key: Pairs\n"
    "  resources: {count: a.example/card, memory: a.example/memory, cores: a.example/cores}\n"
    "  rules: [pairs, count-positive, totals]\n"
    "  checks: [health, type, memory, cores]\n"
    "  node: {register: a.example/register}\n"
    "  pod: {allocated: a.example/allocated, requestCount: a.example/cards}\n"
    "  ask: {memoryFactor: 512, coresUnit: 8}\n"
    "  admission: {above: 2, cores: 8, memory: 4, slices: [1, 2, 4]}\n"
    "- key: Rounded\n"
    "  resources: {count: b.example/card, memory: b.example/memory, cores: b.example/cores}\n"
    "  rules: [soft, count-from-parts, exclusive-cores]\n"
    "  checks: [health, type, memory, cores]\n"
    "  node: {register: b.example/register}\n"
    "  pod: {allocated: b.example/allocated, soft: huawei.com/vnpu-mode}\n"
    "  ask: {from: rounded, memoryFactor: 7, defaultCount: 1, memoryWholeMiB: 5003,\n"
    "    memoryMostMiB: 6000, templates: [{memoryMiB: 100}, {memoryMiB: 103}, {memoryMiB: 1000}]}\n"
    "- key: Steps\n"
    "  resources: {count: c.example/card, memory: c.example/memory, cores: c.example/cores}\n"
    "  rules: [count-from-parts]\n"
    "  checks: [health, type, memory, cores]\n"
    "  node: {register: c.example/register}\n"
    "  pod: {allocated: c.example/allocated}\n"
    "  ask: {from: steps, memoryFactor: 3, defaultCount: 2, templates: [{memoryMiB: 8, cores: 1},\n"
    "    {memoryMiB: 9, cores: 5}, {memoryMiB: 25000, cores: 100}]}\n"
    "  admission: {mirror: true, above: 1, cores: 100}\n"
    "- key: Slices\n"
    "  resources: {slices: d.example/slices, memory: d.example/memory, cores: d.example/cores}\n"
    "  checks: [health, type, memory, cores]\n"
    "  amount: profile\n"
    "  node: {register: d.example/register}\n"
    "  pod: {allocated: d.example/allocated}\n"
    "  ask: {from: slices}\n"
    "  admission: {mirror: true}\n";

/* Whatever a pod asks for of whichever makers: what is admitted is admitted once and for all, and
 * is what a pod that nobody admitted is taken for. */
START_TEST(random_pods)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread */
    const char *given = getenv("PROP_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 0) : 20261122, state = seed;
    struct vendor_table *t CLEANUP(vendor_table_free_p) = table(NULL, _i == 0 ? NULL : ODD);
    struct admission_config cfg = config(t);
    int admitted = 0, asked = 0, refused = 0;
    for (int i = 0; i < 3000; i++) {
        json_t *pod CLEANUP(json_decref_p) = random_pod(t, &state);
        struct admission_result r;
        char name[64];
        (void)snprintf(name, sizeof(name), "seed %llu pod %d", (unsigned long long)seed, i);
        ck_assert_int_eq(admission_mutate(&cfg, pod, STR("ml"), NULL, &r, NULL), ERR_OK);
        ck_assert_msg(r.verdict == ADMISSION_ALLOW || (r.code == 422 && r.message[0]), "%s", name);
        refused += r.verdict != ADMISSION_ALLOW;
        admitted += r.verdict == ADMISSION_ALLOW;
        if (r.patch)
            asked += ck_admitted(name, &cfg, pod, &r);
        admission_result_done(&r);
    }
    ck_assert_msg(admitted > 500 && asked > 300 && refused > 300, "%d, %d, %d", admitted, asked,
                  refused);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("admission_vendors");
    TCase *tc = tcase_create("golden");
    tcase_set_timeout(tc, 60); /* a busy machine */
    find_cases();
    tcase_add_loop_test(tc, golden, 0, cases_n);
    tcase_add_test(tc, every_maker);
    tcase_add_loop_test(tc, examples, 0, COUNT(MAKERS));
    tcase_add_loop_test(tc, quota, 0, COUNT(QUOTAS));
    suite_add_tcase(suite, tc);
    tc = tcase_create("random");
    tcase_set_timeout(tc, 60); /* a busy machine */
    tcase_add_loop_test(tc, random_pods, 0, 2);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int bad = srunner_ntests_failed(runner);
    srunner_free(runner);
    for (int i = 0; i < cases_n; i++)
        free(cases[i]);
    return bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
