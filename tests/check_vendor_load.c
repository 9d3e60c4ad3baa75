/* device-config.yaml: the whole file of HAMi's chart, each key, and each way to be wrong with its
 * place. */
#include "check_vendor.h"

#include "base/own.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

DEFINE_CLEANUP(struct vendor_table *, vendor_table_free)

struct heard {
    char unknown[1024], unbuilt[1024];
};

static void add(char *to, size_t max, const char *text)
{
    size_t n = strlen(to);
    (void)snprintf(to + n, max - n, "%s|", text);
}
static void on_unknown(void *ctx, const char *text)
{
    struct heard *h = ctx;
    add(h->unknown, sizeof(h->unknown), text);
}
static void on_unbuilt(void *ctx, const char *section)
{
    struct heard *h = ctx;
    add(h->unbuilt, sizeof(h->unbuilt), section);
}

static enum err_code parse(const char *yaml, struct heard *heard, struct vendor_table **ret,
                           struct err *err)
{
    struct vendor_load_handler handler = {heard ? on_unknown : NULL, on_unbuilt, heard};
    struct heard nobody = {"", ""};
    if (!heard)
        handler.ctx = &nobody;
    return vendor_table_parse(str_z(yaml), "f", &handler, ret, err);
}

START_TEST(hamis_file)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct heard heard = {"", ""};
    struct vendor_load_handler handler = {on_unknown, on_unbuilt, &heard};
    struct err err = {0};
    enum err_code rc =
        vendor_table_load(TEST_DATA "/fuzz/corpus/device_config/chart.yaml", &handler, &t, &err);
    ck_assert_msg(rc == ERR_OK, "%s", err.text);
    ck_assert_str_eq(heard.unknown, "");
    ck_assert_str_eq(heard.unbuilt, "metax|hygon|cambricon|mthreads|iluvatars|enflame|kunlun|"
                                    "awsneuron|amd|vastai|biren|vnpus|");
    ck_assert_int_eq(vendor_count(t), 1);
    struct vendor_table *b CLEANUP(vendor_table_free_p) = NULL;
    ck_assert_int_eq(vendor_table_builtin(&b, NULL), ERR_OK);
    const struct vendor *got = vendor_at(t, 0), *want = vendor_at(b, 0);
    ck_str("key", got->core.key, want->core.key);
    ck_str("count", got->res_count, want->res_count);
    ck_str("mem", got->res_mem, want->res_mem);
    ck_str("pct", got->res_mem_pct, want->res_mem_pct);
    ck_str("cores", got->res_cores, want->res_cores);
    ck_str("priority", got->res_priority, want->res_priority);
    ck_str("policy", got->core_policy, want->core_policy);
    ck_str("class", got->runtime_class, want->runtime_class);
    ck_str("register", got->node_register, want->node_register);
    ck_str("quota", got->quota_mem, want->quota_mem);
    ck_assert_int_eq(got->mem_factor, want->mem_factor);
    ck_assert_int_eq(got->default_count, want->default_count);
    ck_assert_int_eq(got->default_mem_mib, want->default_mem_mib);
    ck_assert_int_eq(got->default_cores_pct, want->default_cores_pct);
    ck_assert_int_eq(got->rules, want->rules);
    ck_assert(got->overwrite_env == want->overwrite_env);
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
    const char *unknown, *unbuilt;
} GOOD[] = {
    {"only another maker: ours is off", "hygon: {resourceCountName: hygon.com/dcunum}\n", 0, "",
     "hygon|"},
    {"an empty section is off", "nvidia:\namd: {resourceCountName: amd.com/gpu}\n", 0, "", "amd|"},
    {"an empty map is off", "nvidia: {}\nkunlun: ~\nvastai: {resourceCountName: v.a/va}\n", 0, "",
     "vastai|"},
    {"unknown keys are told",
     "nvidia:\n  resourceCountName: a.b/c\n  knownMigGeometries: [1]\nx: 1\n", 1,
     "3:3: unknown key \"knownMigGeometries\" in nvidia|4:1: unknown key \"x\"|", ""},
    {"unknown in another maker's", "hygon:\n  resourceCountName: a.b/c\n  blue: 1\n", 0,
     "3:3: unknown key \"blue\" in hygon|", "hygon|"},
    {"unknown control characters", "\"a\\nb\": 1\nbiren: {resourceCountName: a.b/c}\n", 0,
     "1:1: unknown key \"a?b\"|", "biren|"},
    {"JSON is YAML", "{\"nvidia\": {\"resourceCountName\": \"a.b/c\"}}", 1, "", ""},
    {"document marks", "---\nnvidia: {resourceCountName: a.b/c}\n...\n", 1, "", ""},
    {"null values",
     "nvidia: {resourceCountName: a.b/c, defaultMemory: null, overwriteEnv: ~, "
     "resourceCoreName: , migProfileAllowlist: }\n",
     1, "", ""},
    {"bool words", "nvidia: {resourceCountName: a.b/c, overwriteEnv: no, disableCoreLimit: on}\n",
     1, "", ""},
    {"factors",
     "nvidia: {resourceCountName: a.b/c, deviceMemoryScaling: 1.8, deviceCoreScaling: 1e0}\n", 1,
     "", ""},
    {"log level as a number", "nvidia: {resourceCountName: a.b/c, libCudaLogLevel: 3}\n", 1, "",
     ""},
    {"empty texts",
     "nvidia: {resourceCountName: a.b/c, libCudaLogLevel: '', gpuCorePolicy: '', "
     "runtimeClassName: ''}\n",
     1, "", ""},
    {"as deep as can be", "a: [[[[[[[[[[[[[[[]]]]]]]]]]]]]]]\nnvidia: {resourceCountName: a.b/c}\n",
     1, "1:1: unknown key \"a\"|", ""},
    {"an anchor nobody follows", "nvidia: &n {resourceCountName: a.b/c}\n", 1, "", ""},
};

START_TEST(good_files)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct heard heard = {"", ""};
    struct err err = {0};
    enum err_code rc = parse(GOOD[_i].yaml, &heard, &t, &err);
    ck_assert_msg(rc == ERR_OK, "%s: %s", GOOD[_i].name, err.text);
    ck_assert_msg(vendor_count(t) == GOOD[_i].rows, "%s", GOOD[_i].name);
    ck_assert_str_eq(heard.unknown, GOOD[_i].unknown);
    ck_assert_str_eq(heard.unbuilt, GOOD[_i].unbuilt);
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
    {"one name twice", OK "  resourceCoreName: a.b/c\n",
     "f:2:3: resource name a.b/c is used twice"},
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
    tcase_add_test(tc, hamis_file);
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
