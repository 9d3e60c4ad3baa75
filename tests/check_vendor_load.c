/* device-config.yaml: the whole file of HAMi's chart, each key, and each way to be wrong with its
 * place. */
#include "check_vendor.h"

#include "base/own.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

DEFINE_CLEANUP(struct vendor_table *, vendor_table_free)

struct heard {
    char unknown[1024];
};

static void on_unknown(void *ctx, const char *text)
{
    struct heard *h = ctx;
    size_t n = strlen(h->unknown);
    (void)snprintf(h->unknown + n, sizeof(h->unknown) - n, "%s|", text);
}

static enum err_code parse(const char *yaml, struct heard *heard, struct vendor_table **ret,
                           struct err *err)
{
    struct vendor_load_handler handler = {heard ? on_unknown : NULL, heard};
    return vendor_table_parse(str_z(yaml), "f", &handler, ret, err);
}

/* Every row with all its members, as text. */
static char *printed(const struct vendor_table *t)
{
    struct buf out;
    size_t n;
    buf_init(&out, 1 << 20);
    vendor_table_print(t, &out);
    buf_char(&out, '\0');
    ck_assert(!out.failed);
    return buf_take(&out, &n);
}

/* The chart's values are the built-in rows. */
START_TEST(hamis_file)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL,
                           *b CLEANUP(vendor_table_free_p) = NULL;
    struct heard heard = {""};
    struct vendor_load_handler handler = {on_unknown, &heard};
    struct err err = {0};
    enum err_code rc =
        vendor_table_load(TEST_DATA "/fuzz/corpus/device_config/chart.yaml", &handler, &t, &err);
    ck_assert_msg(rc == ERR_OK, "%s", err.text);
    ck_assert_str_eq(heard.unknown, "");
    ck_assert_int_eq(vendor_table_builtin(&b, NULL), ERR_OK);
    ck_assert_int_eq(vendor_count(t), vendor_count(b));
    char *got CLEANUP(free_p) = printed(t), *want CLEANUP(free_p) = printed(b);
    const char *g = got, *w = want;
    while (*g && *w && strcspn(g, "\n") == strcspn(w, "\n") &&
           strncmp(g, w, strcspn(w, "\n")) == 0) {
        g += strcspn(g, "\n") + 1;
        w += strcspn(w, "\n") + 1;
    }
    ck_assert_msg(!*g && !*w, "the file's rows say %.*s, the built-in ones %.*s",
                  (int)strcspn(g, "\n"), g, (int)strcspn(w, "\n"), w);
    for (uint16_t i = 0; i < vendor_count(t); i++) {
        ck_str("quota", vendor_at(t, i)->quota_mem, vendor_at(b, i)->quota_mem);
        ck_str("quota", vendor_at(t, i)->quota_cores, vendor_at(b, i)->quota_cores);
    }
}
END_TEST

/* Each resource that the file can name, by section and key, and where it must arrive. */
static const struct {
    const char *section, *key, *row;
    enum vendor_resource what;
} NAMES[] = {
    {"nvidia", "resourceCountName", "NVIDIA", VENDOR_RES_COUNT},
    {"nvidia", "resourceMemoryName", "NVIDIA", VENDOR_RES_MEM},
    {"nvidia", "resourceMemoryPercentageName", "NVIDIA", VENDOR_RES_MEM_PCT},
    {"nvidia", "resourceCoreName", "NVIDIA", VENDOR_RES_CORES},
    {"nvidia", "resourcePriorityName", "NVIDIA", VENDOR_RES_PRIORITY},
    {"metax", "resourceCountName", "Metax-GPU", VENDOR_RES_COUNT},
    {"metax", "resourceVCountName", "Metax-SGPU", VENDOR_RES_COUNT},
    {"metax", "resourceVMemoryName", "Metax-SGPU", VENDOR_RES_MEM},
    {"metax", "resourceVCoreName", "Metax-SGPU", VENDOR_RES_CORES},
    {"hygon", "resourceCountName", "DCU", VENDOR_RES_COUNT},
    {"hygon", "resourceMemoryName", "DCU", VENDOR_RES_MEM},
    {"hygon", "resourceCoreName", "DCU", VENDOR_RES_CORES},
    {"cambricon", "resourceCountName", "MLU", VENDOR_RES_COUNT},
    {"cambricon", "resourceMemoryName", "MLU", VENDOR_RES_MEM},
    {"cambricon", "resourceCoreName", "MLU", VENDOR_RES_CORES},
    {"mthreads", "resourceCountName", "Mthreads", VENDOR_RES_COUNT},
    {"mthreads", "resourceMemoryName", "Mthreads", VENDOR_RES_MEM},
    {"mthreads", "resourceCoreName", "Mthreads", VENDOR_RES_CORES},
    {"iluvatars", "resourceCountName", "BI-V100", VENDOR_RES_COUNT},
    {"iluvatars", "resourceMemoryName", "BI-V100", VENDOR_RES_MEM},
    {"iluvatars", "resourceCoreName", "BI-V100", VENDOR_RES_CORES},
    {"enflame", "resourceNameGCU", "GCU", VENDOR_RES_COUNT},
    {"enflame", "resourceNameDRSGCU", "Enflame", VENDOR_RES_SLICES},
    {"enflame", "resourceNameGCUMemory", "Enflame", VENDOR_RES_MEM},
    {"enflame", "resourceNameGCUCore", "Enflame", VENDOR_RES_CORES},
    {"kunlun", "resourceCountName", "kunlun", VENDOR_RES_COUNT},
    {"kunlun", "resourceVCountName", "XPU", VENDOR_RES_COUNT},
    {"kunlun", "resourceVMemoryName", "XPU", VENDOR_RES_MEM},
    {"awsneuron", "resourceCountName", "AWSNeuron", VENDOR_RES_COUNT},
    {"awsneuron", "resourceCoreName", "AWSNeuron", VENDOR_RES_CORES},
    {"amd", "resourceCountName", "AMD", VENDOR_RES_COUNT},
    {"amd", "resourceMemoryName", "AMD", VENDOR_RES_MEM},
    {"amd", "resourceCoreName", "AMD", VENDOR_RES_CORES},
    {"vastai", "resourceCountName", "Vastai", VENDOR_RES_COUNT},
    {"biren", "resourceCountName", "Biren", VENDOR_RES_COUNT},
    {"vnpus", "resourceName", "Ascend910B3", VENDOR_RES_COUNT},
    {"vnpus", "resourceMemoryName", "Ascend910B3", VENDOR_RES_MEM},
    {"vnpus", "resourceCoreName", "Ascend910B3", VENDOR_RES_CORES},
};

/* A file that names every resource "own.example/<row>-<what>". */
static void renamed_file(struct buf *out)
{
    const char *section = "";
    buf_init(out, 1 << 16);
    for (int i = 0; i < COUNT(NAMES); i++) {
        const bool list = strcmp(NAMES[i].section, "iluvatars") == 0,
                   configs = strcmp(NAMES[i].section, "vnpus") == 0;
        if (strcmp(section, NAMES[i].section) != 0) {
            section = NAMES[i].section;
            buf_fmt(out, "%s:\n%s", section, configs ? "  configs:\n" : "");
            if (list || configs)
                buf_fmt(out, "  - commonWord: %s\n", NAMES[i].row);
            if (configs)
                buf_add(out, STR("    memoryAllocatable: 1024\n    memoryCapacity: 1024\n"));
        }
        buf_fmt(out, "%s%s: own.example/%s-%d\n", list || configs ? "    " : "  ", NAMES[i].key,
                NAMES[i].row, NAMES[i].what);
    }
}

/* Names of the file are the names everywhere: look-ups, quotas, texts; none of the chart's is left.
 */
START_TEST(core_defect_c37_names_of_the_file_are_the_names)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL,
                           *b CLEANUP(vendor_table_free_p) = NULL;
    struct buf yaml;
    struct err err = {0};
    renamed_file(&yaml);
    ck_assert_msg(vendor_table_parse((struct str){yaml.p, yaml.n}, "f", NULL, &t, &err) == ERR_OK,
                  "%s", err.text);
    buf_done(&yaml);
    ck_assert_int_eq(vendor_table_builtin(&b, NULL), ERR_OK);
    for (int i = 0; i < COUNT(NAMES); i++) {
        char name[128], quota[160];
        uint16_t row = 99;
        enum vendor_resource what = VENDOR_RES_COUNT_;
        bool is_mem = false;
        (void)snprintf(name, sizeof(name), "own.example/%s-%d", NAMES[i].row, NAMES[i].what);
        (void)snprintf(quota, sizeof(quota), "limits.%s", name);
        ck_assert_msg(vendor_find_resource(t, str_z(name), &row, &what), "%s", name);
        const struct vendor *v = vendor_at(t, row);
        ck_str("row", v->core.key, str_z(NAMES[i].row));
        ck_assert_int_eq(what, NAMES[i].what);
        bool charged = what == VENDOR_RES_MEM || what == VENDOR_RES_CORES;
        ck_assert_msg(vendor_find_quota(t, str_z(quota), &row, &is_mem) == charged, "%s", quota);
        ck_assert(!charged || (is_mem == (what == VENDOR_RES_MEM) &&
                               str_eq(vendor_at(t, row)->core.key, v->core.key)));
        /* what is wrong is told under the file's name */
        struct vendor_wish wish = {.limits = ~UINT32_C(0)};
        struct score_ask ask;
        bool asks;
        if (what == VENDOR_RES_PRIORITY)
            continue;
        wish.value[what] = STR("1.5");
        if (what != VENDOR_RES_COUNT && v->res_count.n > 0 && v->asking != VENDOR_ASKING_CORES)
            wish.value[VENDOR_RES_COUNT] = STR("1");
        ck_assert_msg(vendor_derive(v, &wish, true, &ask, &asks, &err) == ERR_INVALID, "%s", name);
        ck_assert_msg(strncmp(err.text, name, strlen(name)) == 0, "%s: %s", name, err.text);
    }
    for (uint16_t i = 0; i < vendor_count(b); i++)
        for (unsigned what = 0; what < VENDOR_RES_COUNT_; what++) {
            struct str name = vendor_resource_name(vendor_at(b, i), (enum vendor_resource)what);
            uint16_t row;
            enum vendor_resource found;
            ck_assert(!vendor_find_resource(t, name, &row, &found));
        }
}
END_TEST

/* ---- chips ---- */

START_TEST(an_ascend_entry)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct err err = {0};
    enum err_code rc = parse("vnpus:\n"
                             "  hamiVnpuCore: true\n"
                             "  configs:\n"
                             "  - chipName: 910D1\n"
                             "    commonWord: Ascend910D1\n"
                             "    resourceName: own.example/npu\n"
                             "    resourceMemoryName: own.example/npu-mem\n"
                             "    memoryAllocatable: 40000\n"
                             "    memoryCapacity: 50000\n"
                             "    memoryFactor: 10\n"
                             "    runtimeClassName: npu\n"
                             "    overwriteEnv: true\n"
                             "    templates:\n"
                             "    - {name: big, memory: 30000, aiCore: 8, aiCPU: 3}\n"
                             "    - {name: small, memory: 10000, aiCore: 2, aiCPU: 1}\n",
                             NULL, &t, &err);
    ck_assert_msg(rc == ERR_OK, "%s", err.text);
    ck_assert_int_eq(vendor_count(t), 1);
    const struct vendor *v = vendor_at(t, 0);
    ck_str("key", v->core.key, STR("Ascend910D1"));
    ck_str("core's key", vendor_cores(t)[0].key, STR("Ascend910D1"));
    ck_str("register", v->node_register, STR("hami.io/node-register-Ascend910D1"));
    ck_str("handshake", v->node_handshake, STR("hami.io/node-handshake-Ascend910D1"));
    ck_str("to allocate", v->pod_to_allocate, STR("hami.io/Ascend910D1-devices-to-allocate"));
    ck_str("allocated", v->pod_allocated, STR("hami.io/Ascend910D1-devices-allocated"));
    ck_str("use", v->pod_use_uuid, STR("hami.io/use-Ascend910D1-uuid"));
    ck_str("nouse", v->pod_nouse_uuid, STR("hami.io/no-use-Ascend910D1-uuid"));
    ck_str("type", v->type_word, STR("Ascend910D1"));
    ck_str("lock", v->node_lock, STR("hami.io/mutex.lock"));
    ck_str("class", v->runtime_class, STR("npu"));
    ck_assert(v->overwrite_env && v->soft_default && v->type_exact);
    ck_assert_int_eq(v->core.select, SCORE_SELECT_ZONES); /* as all of Ascend910 */
    ck_assert_int_eq(v->zone, VENDOR_ZONE_NETWORK);
    ck_assert(v->res_cores.n == 0 && v->mem_factor == 10);
    ck_assert(v->mem_whole_mib == 40000 && v->mem_most_mib == 50000);
    ck_assert_int_eq(v->templates_n, 2); /* sorted at load */
    ck_str("smallest", v->templates[0].name, STR("small"));
    ck_assert(v->templates[0].mem_mib == 10000 && v->templates[1].mem_mib == 30000);
    ck_assert(v->templates[1].cores == 8 && v->templates[1].cpus == 3);
}
END_TEST

static const struct {
    const char *key;
    bool super_pod;
    enum score_select select;
    enum vendor_zone zone;
    bool pairs;
} CHIPS[] = {
    {"Ascend910C", true, SCORE_SELECT_MODULES, VENDOR_ZONE_NETWORK, true},
    {"Ascend910C", false, SCORE_SELECT_MODULES, VENDOR_ZONE_NETWORK, false},
    {"Ascend910B3", true, SCORE_SELECT_ZONES, VENDOR_ZONE_NETWORK, false},
    {"Ascend910B1", false, SCORE_SELECT_ZONES, VENDOR_ZONE_NETWORK, false},
    {"Ascend910C2", true, SCORE_SELECT_ZONES, VENDOR_ZONE_NETWORK, false}, /* not that key */
    {"Ascend310P", false, SCORE_SELECT_EACH, VENDOR_ZONE_NONE, false},
    {"Ascend310B4", false, SCORE_SELECT_EACH, VENDOR_ZONE_NONE, false},
    {"Davinci", false, SCORE_SELECT_EACH, VENDOR_ZONE_NONE, false},
};

START_TEST(chips_are_of_a_family)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    char yaml[512];
    struct err err = {0};
    (void)snprintf(yaml, sizeof(yaml),
                   "vnpus: {configs: [{commonWord: %s, resourceName: a.b/c, memoryAllocatable: 5, "
                   "superPod: %s}]}",
                   CHIPS[_i].key, CHIPS[_i].super_pod ? "true" : "false");
    ck_assert_msg(parse(yaml, NULL, &t, &err) == ERR_OK, "%s", err.text);
    const struct vendor *v = vendor_at(t, 0);
    ck_str("key", v->core.key, str_z(CHIPS[_i].key));
    ck_assert_int_eq(v->core.select, CHIPS[_i].select);
    ck_assert_int_eq(v->zone, CHIPS[_i].zone);
    ck_assert_int_eq((v->rules & VENDOR_RULE_PAIRS) != 0, CHIPS[_i].pairs);
    ck_assert(v->rules & VENDOR_RULE_SOFT && v->rules & VENDOR_RULE_LOCK);
    ck_assert(!v->soft_default && v->templates_n == 0 && v->mem_factor == 1);
}
END_TEST

START_TEST(an_iluvatar_entry)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct err err = {0};
    ck_assert_msg(parse("iluvatars:\n- {commonWord: MR-V200, resourceCountName: a.b/c}\n"
                        "- {commonWord: BI-V150, resourceCountName: a.b/d}\n",
                        NULL, &t, &err) == ERR_OK,
                  "%s", err.text);
    ck_assert_int_eq(vendor_count(t), 2);
    const struct vendor *v = vendor_at(t, 0);
    ck_str("register", v->node_register, STR("hami.io/node-MR-V200-register"));
    ck_str("handshake", v->node_handshake, STR("hami.io/node-handshake-MR-V200"));
    ck_str("allocated", v->pod_allocated, STR("hami.io/MR-V200-devices-allocated"));
    ck_str("use", v->pod_use_uuid, STR("hami.io/use-MR-V200-uuid"));
    ck_assert_int_eq(v->mem_factor, 256); /* fixed, unlike others' */
    ck_str("second", vendor_at(t, 1)->core.key, STR("BI-V150"));
}
END_TEST

/* vendors-b.md 2b: the one section with defaults in the reference's code. */
static const struct {
    const char *yaml, *slices, *mem, *cores;
    int rows;
} SLICES[] = {
    {"enflame: {resourceNameGCU: a.b/gcu}", "enflame.com/drs-gcu", "enflame.com/gcu-memory",
     "enflame.com/gcu-core", 2},
    {"enflame: {resourceNameVGCU: a.b/old}", "a.b/old", "enflame.com/gcu-memory",
     "enflame.com/gcu-core", 1},
    {"enflame: {resourceNameVGCU: a.b/old, resourceNameDRSGCU: a.b/new}", "a.b/new",
     "enflame.com/gcu-memory", "enflame.com/gcu-core", 1},
    {"enflame: {resourceNameGCUMemory: a.b/m, resourceNameGCUCore: a.b/c}", "enflame.com/drs-gcu",
     "a.b/m", "a.b/c", 1},
};

START_TEST(names_of_slices)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct err err = {0};
    ck_assert_msg(parse(SLICES[_i].yaml, NULL, &t, &err) == ERR_OK, "%s", err.text);
    ck_assert_int_eq(vendor_count(t), SLICES[_i].rows);
    const struct vendor *v = row_of(t, "Enflame");
    ck_str("slices", v->res_slices, str_z(SLICES[_i].slices));
    ck_str("memory", v->res_mem, str_z(SLICES[_i].mem));
    ck_str("cores", v->res_cores, str_z(SLICES[_i].cores));
}
END_TEST

START_TEST(links_by_the_file)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    ck_assert_int_eq(
        parse("metax: {resourceVCountName: a.b/c, sgpuTopologyAware: true}", NULL, &t, NULL),
        ERR_OK);
    ck_assert_int_eq(vendor_count(t), 1); /* without a name nobody asks for whole cards */
    ck_assert(vendor_at(t, 0)->topology_on);
    ck_assert_int_eq(vendor_at(t, 0)->mem_factor, 1024);
}
END_TEST

START_TEST(sections_left_out)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    ck_assert_int_eq(vendor_table_builtin(&t, NULL), ERR_OK);
    const int all = vendor_count(t);
    ck_assert_int_eq(vendor_table_leave_out(&t, STR("vnpus"), NULL), ERR_OK);
    ck_assert_int_eq(vendor_count(t), all - 7);
    ck_assert_int_eq(vendor_table_leave_out(&t, STR("iluvatars"), NULL), ERR_OK);
    ck_assert_int_eq(vendor_count(t), all - 11);
    ck_assert_int_eq(vendor_table_leave_out(&t, STR("none of that name"), NULL), ERR_OK);
    ck_assert_int_eq(vendor_count(t), all - 11);
    uint16_t row;
    enum vendor_resource what;
    ck_assert(!vendor_find_resource(t, STR("huawei.com/Ascend910A"), &row, &what));
    ck_assert(vendor_find_resource(t, STR("hygon.com/dcumem"), &row, &what));
    ck_str("row", vendor_at(t, row)->core.key, STR("DCU"));
    fail_from(1);
    enum err_code rc = vendor_table_leave_out(&t, STR("amd"), NULL);
    fail_from(0);
    ck_assert_int_eq(rc, ERR_NO_MEMORY);
    ck_assert_int_eq(vendor_count(t), all - 11);
}
END_TEST

START_TEST(every_key)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct err err = {0};
    enum err_code rc = parse("nvidia:\n"
                             "  resourceCountName: a.b/count\n"
                             "  resourceMemoryName: 'a.b/mem'\n"
                             "  resourceMemoryPercentageName: \"a.b/pct\"\n"
                             "  resourceCoreName: a.b/cores\n"
                             "  resourcePriorityName: a.b/prio\n"
                             "  overwriteEnv: true\n"
                             "  defaultMemory: 512\n"
                             "  defaultCores: 10\n"
                             "  defaultGPUNum: 2\n"
                             "  memoryFactor: 3\n"
                             "  gpuCorePolicy: force\n"
                             "  runtimeClassName: nvidia\n",
                             NULL, &t, &err);
    ck_assert_msg(rc == ERR_OK, "%s", err.text);
    const struct vendor *v = vendor_at(t, 0);
    ck_str("count", v->res_count, STR("a.b/count"));
    ck_str("mem", v->res_mem, STR("a.b/mem"));
    ck_str("pct", v->res_mem_pct, STR("a.b/pct"));
    ck_str("cores", v->res_cores, STR("a.b/cores"));
    ck_str("priority", v->res_priority, STR("a.b/prio"));
    ck_str("policy", v->core_policy, STR("force"));
    ck_str("class", v->runtime_class, STR("nvidia"));
    ck_str("quota", v->quota_cores, STR("limits.a.b/cores"));
    ck_assert_int_eq(v->default_mem_mib, 512);
    ck_assert_int_eq(v->default_cores_pct, 10);
    ck_assert_int_eq(v->default_count, 2);
    ck_assert_int_eq(v->mem_factor, 3);
    ck_assert(v->overwrite_env);
    uint16_t row;
    enum vendor_resource what;
    bool is_mem;
    ck_assert(vendor_find_resource(t, STR("a.b/pct"), &row, &what) && what == VENDOR_RES_MEM_PCT);
    ck_assert(!vendor_find_resource(t, STR("nvidia.com/gpu"), &row, &what));
    ck_assert(vendor_find_quota(t, STR("limits.a.b/mem"), &row, &is_mem) && is_mem);
}
END_TEST

/* nvidia.md 2: no defaults in code, an absent key is zero or empty. */
START_TEST(absent_is_zero)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    ck_assert_int_eq(
        parse("nvidia: {resourceCountName: a.b/c, memoryFactor: -5}\n", NULL, &t, NULL), ERR_OK);
    const struct vendor *v = vendor_at(t, 0);
    ck_assert(v->res_mem.n == 0 && v->res_mem_pct.n == 0 && v->res_cores.n == 0);
    ck_assert(v->core_policy.n == 0 && v->quota_mem.n == 0 && v->default_count == 0);
    ck_assert_int_eq(v->mem_factor, 1); /* below 1 acts as 1 */
    uint16_t row;
    enum vendor_resource what;
    enum vendor_key key;
    bool is_mem;
    ck_assert(!vendor_find_resource(t, STR(""), &row, &what)); /* no name is no name */
    ck_assert(!vendor_find_key(t, STR(""), &row, &key));
    ck_assert(!vendor_find_quota(t, STR(""), &row, &is_mem));
    ck_str("annotations stay", v->pod_allocated, STR("hami.io/vgpu-devices-allocated"));
}
END_TEST

static const struct {
    const char *name, *yaml;
    int rows;
    const char *unknown;
} GOOD[] = {
    {"only another maker: ours is off", "hygon: {resourceCountName: hygon.com/dcunum}\n", 1, ""},
    {"an empty section is off", "nvidia:\namd: {resourceCountName: amd.com/gpu}\n", 1, ""},
    {"an empty map is off", "nvidia: {}\nkunlun: ~\nvastai: {resourceCountName: v.a/va}\n", 1, ""},
    {"unknown keys are told",
     "nvidia:\n  resourceCountName: a.b/c\n  knownMigGeometries: [1]\nx: 1\n", 1,
     "3:3: unknown key \"knownMigGeometries\" in nvidia|4:1: unknown key \"x\"|"},
    {"unknown in another maker's", "hygon:\n  resourceCountName: a.b/c\n  blue: 1\n", 1,
     "3:3: unknown key \"blue\" in hygon|"},
    {"unknown in a section of two rows is told once",
     "kunlun: {resourceCountName: a.b/c, resourceVCountName: a.b/d, blue: 1}\n", 2,
     "1:63: unknown key \"blue\" in kunlun|"},
    {"unknown in a chip",
     "vnpus:\n  configs:\n  - commonWord: Ascend1\n    resourceName: a.b/c\n"
     "    memoryAllocatable: 1\n    topologyPairs: []\n",
     1, "6:5: unknown key \"topologyPairs\" in vnpus|"},
    {"no chips", "vnpus: {hamiVnpuCore: true}\n", 0, ""},
    {"unknown control characters", "\"a\\nb\": 1\nbiren: {resourceCountName: a.b/c}\n", 1,
     "1:1: unknown key \"a?b\"|"},
    {"JSON is YAML", "{\"nvidia\": {\"resourceCountName\": \"a.b/c\"}}", 1, ""},
    {"document marks", "---\nnvidia: {resourceCountName: a.b/c}\n...\n", 1, ""},
    {"null values",
     "nvidia: {resourceCountName: a.b/c, defaultMemory: null, overwriteEnv: ~, "
     "resourceCoreName: , migProfileAllowlist: }\n",
     1, ""},
    {"bool words", "nvidia: {resourceCountName: a.b/c, overwriteEnv: no, disableCoreLimit: on}\n",
     1, ""},
    {"factors",
     "nvidia: {resourceCountName: a.b/c, deviceMemoryScaling: 1.8, deviceCoreScaling: 1e0}\n", 1,
     ""},
    {"log level as a number", "nvidia: {resourceCountName: a.b/c, libCudaLogLevel: 3}\n", 1, ""},
    {"empty texts",
     "nvidia: {resourceCountName: a.b/c, libCudaLogLevel: '', gpuCorePolicy: '', "
     "runtimeClassName: ''}\n",
     1, ""},
    {"as deep as can be", "a: [[[[[[[[[[[[[[[]]]]]]]]]]]]]]]\nnvidia: {resourceCountName: a.b/c}\n",
     1, "1:1: unknown key \"a\"|"},
    {"an anchor nobody follows", "nvidia: &n {resourceCountName: a.b/c}\n", 1, ""},
};

START_TEST(good_files)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct heard heard = {""};
    struct err err = {0};
    enum err_code rc = parse(GOOD[_i].yaml, &heard, &t, &err);
    ck_assert_msg(rc == ERR_OK, "%s: %s", GOOD[_i].name, err.text);
    ck_assert_msg(vendor_count(t) == GOOD[_i].rows, "%s", GOOD[_i].name);
    ck_assert_str_eq(heard.unknown, GOOD[_i].unknown);
}
END_TEST

#define OK "nvidia:\n  resourceCountName: a.b/c\n"
static const struct {
    const char *name, *yaml, *want;
} BAD[] = {
    {"empty", "", "f:1:1: all configurations are empty"},
    {"only a comment", "# nothing\n", "f:1:1: all configurations are empty"},
    {"null", "null\n", "f:1:1: all configurations are empty"},
    {"all sections empty", "nvidia:\namd: {}\n", "f:1:1: all configurations are empty"},
    {"a list", "- nvidia\n", "f:1:1: expected a map of vendor sections"},
    {"a text", "nvidia\n", "f:1:1: expected a map of vendor sections"},
    {"section is a list", "nvidia:\n  - a\n", "f:2:3: nvidia must be a map, not a list"},
    {"section is a text", "nvidia: yes\n", "f:1:9: nvidia must be a map, not \"yes\""},
    {"list section is a map", "iluvatars: {chipName: x}\n",
     "f:1:12: iluvatars must be a list, not a map"},
    {"list section of texts", "iluvatars: [x]\n",
     "f:1:13: iluvatars must be a list of maps, not \"x\""},
    {"no count", "nvidia:\n  resourceMemoryName: a.b/m\n",
     "f:2:3: nvidia: resourceCountName is missing or empty"},
    {"empty count", "nvidia:\n  resourceCountName: ''\n  resourceMemoryName: a.b/m\n",
     "f:2:3: nvidia: resourceCountName is missing or empty"},
    {"unknown key", OK "  resourceCountname: x\n",
     "f:3:3: unknown key \"resourceCountname\" in nvidia"},
    {"unknown section", OK "nvidias: {}\n", "f:3:1: unknown key \"nvidias\""},
    {"duplicate key", OK "  defaultCores: 1\n  defaultCores: 2\n",
     "f:4:3: key \"defaultCores\" stands twice (first in line 3)"},
    {"duplicate section", OK OK, "f:3:1: key \"nvidia\" stands twice (first in line 1)"},
    {"duplicate in a part not used", OK "zzz:\n  a: 1\n  a: 2\n", "f:5:3: key \"a\" stands twice"},
    {"alias", "a: &x 1\nnvidia: *x\n", "f:2:9: aliases are not supported"},
    {"bomb", "a: &a [x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\n",
     "f:2:8: aliases are not supported"},
    {"tag", OK "  defaultCores: !!int 1\n", "f:3:17: tags are not supported"},
    {"tag of a list", "a: !x [1]\n", "f:1:4: tags are not supported"},
    {"tag of a map", "a: !x {}\n", "f:1:4: tags are not supported"},
    {"two documents", OK "---\n" OK, "f:3:1: more than one document"},
    {"not YAML", "nvidia: [\n", "f:2:1: "},
    {"a tab", "nvidia:\n\ta: 1\n", "f:2:1: "},
    {"not UTF-8", "nvidia: \"\xff\"\n", "f:1:"},
    {"a map as key", "{a: 1}: 2\n", "f:1:1: a key must be a text"},
    {"too deep", "a: [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]\n", "f:1:19: nested too deeply"},
    {"int: text", OK "  defaultMemory: lots\n",
     "f:3:18: defaultMemory must be a whole number between 0 and 2147483647, not \"lots\""},
    {"int: quoted", OK "  defaultMemory: \"512\"\n",
     "f:3:18: defaultMemory must be a whole number"},
    {"int: fraction", OK "  defaultCores: 1.5\n", "f:3:17: defaultCores must be a whole number"},
    {"int: negative", OK "  defaultMemory: -1\n", "f:3:18: defaultMemory must be"},
    {"int: beyond 32 bits", OK "  memoryFactor: 2147483648\n", "f:3:17: memoryFactor must be"},
    {"cores above 100", OK "  defaultCores: 101\n", "between 0 and 100"},
    {"too many cards", OK "  defaultGPUNum: 1025\n", "between 0 and 1024"},
    {"int: map", OK "  defaultMemory: {}\n",
     "f:3:18: defaultMemory must be a text or a number, not a map"},
    {"bool: number", OK "  overwriteEnv: 1\n",
     "f:3:17: overwriteEnv must be true or false, not \"1\""},
    {"bool: quoted", OK "  overwriteEnv: \"true\"\n", "f:3:17: overwriteEnv must be true or false"},
    {"factor: negative", OK "  deviceMemoryScaling: -1\n", "f:3:24: deviceMemoryScaling must be"},
    {"factor: text", OK "  deviceCoreScaling: 2Gi\n", "f:3:22: deviceCoreScaling must be"},
    {"policy", OK "  gpuCorePolicy: hard\n",
     "f:3:18: gpuCorePolicy must be default, force or disable"},
    {"log level", OK "  libCudaLogLevel: 9\n", "f:3:20: libCudaLogLevel must be a level"},
    {"resource without a domain", "nvidia:\n  resourceCountName: gpu\n",
     "f:2:22: resourceCountName must be a resource name"},
    {"resource with two slashes", "nvidia:\n  resourceCountName: a/b/c\n", "f:2:22: "},
    {"resource with a space", "nvidia:\n  resourceCountName: a.b/c d\n", "f:2:22: "},
    {"resource name is empty before the slash", "nvidia:\n  resourceCountName: /c\n", "f:2:22: "},
    {"resource name is empty behind the slash", "nvidia:\n  resourceCountName: a.b/\n", "f:2:22: "},
    {"runtime class", OK "  runtimeClassName: Nvidia\n", "f:3:21: runtimeClassName must be"},
    {"one name twice", OK "  resourceCoreName: a.b/c\n", "resource \"a.b/c\" is already NVIDIA's"},
    {"allow-list: no models", OK "  migProfileAllowlist:\n    - profiles: [1g.5gb]\n",
     "f:4:7: nvidia: models is missing or empty"},
    {"allow-list: no profiles",
     OK "  migProfileAllowlist:\n    - models: [A30]\n      profiles: []\n",
     "f:4:7: nvidia: profiles is missing or empty"},
    {"allow-list: bad profile",
     OK "  migProfileAllowlist:\n    - models: [A30]\n      profiles: [g.5gb]\n",
     "f:5:18: profiles must be a list of profiles as 1g.10gb, not \"g.5gb\""},
    {"allow-list: a profile without a size",
     OK "  migProfileAllowlist:\n    - models: [A30]\n      profiles: [1g.]\n", "not \"1g.\""},
    {"allow-list: a number", OK "  migProfileAllowlist: 5\n",
     "f:3:24: migProfileAllowlist must be a list, not \"5\""},
    {"a name of two makers", OK "amd: {resourceCountName: a.b/c}\n",
     "f:3:26: resource \"a.b/c\" is already NVIDIA's"},
    {"a chip twice",
     "iluvatars:\n- {commonWord: X, resourceCountName: a.b/c}\n"
     "- {commonWord: X, resourceCountName: a.b/d}\n",
     "key \"X\" is already X's"},
    {"a chip without a name", "iluvatars: [{resourceCountName: a.b/c}]\n",
     "f:1:13: iluvatars: commonWord is missing or empty"},
    {"a chip of a bad name", "iluvatars: [{commonWord: 'a:b', resourceCountName: a.b/c}]\n",
     "iluvatars: commonWord must be of letters"},
    {"a chip without a count", "vnpus: {configs: [{commonWord: X, memoryAllocatable: 1}]}\n",
     "vnpus: resourceName is missing or empty"},
    {"a chip without memory", "vnpus: {configs: [{commonWord: X, resourceName: a.b/c}]}\n",
     "vnpus: memoryAllocatable is missing or empty"},
    {"a chip of no memory",
     "vnpus: {configs: [{commonWord: X, resourceName: a.b/c, memoryAllocatable: 0}]}\n",
     "memoryAllocatable must be a whole number between 1 and"},
    {"a template of no memory",
     "vnpus: {configs: [{commonWord: X, resourceName: a.b/c, memoryAllocatable: 1, templates: "
     "[{name: t, memory: 0}]}]}\n",
     "memory must be a whole number between 1 and"},
    {"amounts without a count", "metax: {resourceVMemoryName: a.b/m}\n",
     "f:1:8: metax: cards have names for amounts and none to be counted by"},
    {"another maker's count", "hygon: {resourceMemoryName: a.b/m}\n",
     "f:1:8: hygon: resourceCountName is missing or empty"},
    {"another maker's type", "vnpus:\n  configs:\n    - memoryFactor: x\n",
     "f:3:21: memoryFactor must be a whole number"},
};

START_TEST(bad_files)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct err err = {0};
    enum err_code rc = parse(BAD[_i].yaml, NULL, &t, &err);
    ck_assert_msg(rc == ERR_BAD_REQUEST, "%s: got %d", BAD[_i].name, rc);
    ck_assert_msg(strstr(err.text, BAD[_i].want), "%s: want \"%s\", got \"%s\"", BAD[_i].name,
                  BAD[_i].want, err.text);
    ck_assert_ptr_null(t);
}
END_TEST

START_TEST(size_bounds)
{
    enum { MAX = 1024 * 1024 };
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct err err = {0};
    char *text CLEANUP(free_p) = malloc(MAX + 1);
    ck_assert_ptr_nonnull(text);
    memset(text, '#', MAX + 1);
    memcpy(text, OK, sizeof(OK) - 1);
    ck_assert_int_eq(vendor_table_parse((struct str){text, MAX}, "f", NULL, &t, &err), ERR_OK);
    vendor_table_free(t);
    t = NULL;
    ck_assert_int_eq(vendor_table_parse((struct str){text, MAX + 1}, "f", NULL, &t, &err),
                     ERR_BAD_REQUEST);
    ck_assert_msg(strstr(err.text, "larger than 1048576 bytes"), "%s", err.text);
    for (size_t i = 0; i < MAX; i++) /* a list of a million nothings */
        text[i] = i < 3 ? "x: "[i] : i == 3 ? '[' : i % 2 ? ',' : 'a';
    ck_assert_int_eq(vendor_table_parse((struct str){text, MAX}, "f", NULL, &t, &err),
                     ERR_BAD_REQUEST);
    ck_assert_msg(strstr(err.text, "more than 1024 entries"), "%s", err.text);
}
END_TEST

START_TEST(missing_file)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct err err = {0};
    ck_assert_int_eq(vendor_table_load(TEST_DATA "/no-such-file.yaml", NULL, &t, &err),
                     ERR_BAD_REQUEST);
    ck_assert_msg(strstr(err.text, "no-such-file.yaml: No such file"), "%s", err.text);
    ck_assert_int_eq(vendor_table_load(TEST_DATA, NULL, &t, &err), ERR_BAD_REQUEST);
}
END_TEST

/* A file is read whole or not at all: no byte behind the bound is lost in silence. */
START_TEST(large_file)
{
    enum { MAX = 1024 * 1024 };
    char path[] = "check_vendor_tmp.XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    static char text[MAX + 1];
    memset(text, '#', MAX + 1);
    memcpy(text, OK, sizeof(OK) - 1);
    ck_assert_int_eq(write(fd, text, MAX), MAX);
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL, *none = NULL;
    struct err err = {0};
    enum err_code exact = vendor_table_load(path, NULL, &t, &err);
    ck_assert_int_eq(write(fd, "#", 1), 1);
    enum err_code over = vendor_table_load(path, NULL, &none, &err);
    ck_assert_int_eq(close(fd), 0);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(exact, ERR_OK);
    ck_assert_int_eq(over, ERR_BAD_REQUEST);
    ck_assert_msg(strstr(err.text, "larger than 1048576 bytes"), "%s", err.text);
}
END_TEST

START_TEST(load_without_memory)
{
    int n = 1;
    for (;; n++) {
        struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
        fail_from(n);
        enum err_code rc =
            vendor_table_load(TEST_DATA "/fuzz/corpus/device_config/chart.yaml", NULL, &t, NULL);
        bool happened = fail_happened();
        fail_from(0);
        if (!happened) {
            ck_assert_int_eq(rc, ERR_OK);
            break;
        }
        ck_assert_int_eq(rc, ERR_NO_MEMORY);
        ck_assert_ptr_null(t);
    }
    ck_assert_int_gt(n, 8);
}
END_TEST

void check_vendor_load(Suite *suite)
{
    TCase *tc = tcase_create("load");
    tcase_set_timeout(tc, 60); /* a busy machine */
    tcase_add_test(tc, hamis_file);
    tcase_add_test(tc, core_defect_c37_names_of_the_file_are_the_names);
    tcase_add_test(tc, an_ascend_entry);
    tcase_add_loop_test(tc, chips_are_of_a_family, 0, COUNT(CHIPS));
    tcase_add_test(tc, an_iluvatar_entry);
    tcase_add_loop_test(tc, names_of_slices, 0, COUNT(SLICES));
    tcase_add_test(tc, links_by_the_file);
    tcase_add_test(tc, sections_left_out);
    tcase_add_test(tc, every_key);
    tcase_add_test(tc, absent_is_zero);
    tcase_add_loop_test(tc, good_files, 0, COUNT(GOOD));
    tcase_add_loop_test(tc, bad_files, 0, COUNT(BAD));
    tcase_add_test(tc, size_bounds);
    tcase_add_test(tc, missing_file);
    tcase_add_test(tc, large_file);
    tcase_add_test(tc, load_without_memory);
    suite_add_tcase(suite, tc);
}
