/* HAMi's device-config.yaml, as it is: tables of keys say what may stand where, of which type, and
 * into which field of a row it goes. Sections of makers that this build does not serve are checked
 * by the same tables and then only reported. Source of the keys: nvidia.md 2, vendors-a.md and
 * vendors-b.md (their config parts), core.md 15. */
#include "vendor/priv.h"
#include "vendor/schema.h"

#include "base/own.h"

DEFINE_CLEANUP(struct arena *, arena_free)

/* clang-format off */
#define FIELD(f) offsetof(struct vendor, f)
#define TEXT(n) { .name = (n), .type = T_TEXT, .field = NOWHERE }
#define NAME(n) { .name = (n), .type = T_RESOURCE, .field = NOWHERE }
#define BOOL(n) { .name = (n), .type = T_BOOL, .field = NOWHERE }
#define INT32(n) { .name = (n), .type = T_INT, .field = NOWHERE, .min = INT32_MIN, .max = INT32_MAX }
#define INT64(n) { .name = (n), .type = T_INT, .field = NOWHERE, .min = INT64_MIN, .max = INT64_MAX }
#define END { .name = NULL }

static const struct key MIG_ENTRY[] = {
    { .name = "models", .type = T_TEXTS, .field = NOWHERE, .needed = true },
    { .name = "profiles", .type = T_PROFILES, .field = NOWHERE, .needed = true },
    END };
static const struct key NVIDIA[] = {
    { .name = "resourceCountName", .type = T_RESOURCE, .field = FIELD(res_count), .needed = true },
    { .name = "resourceMemoryName", .type = T_RESOURCE, .field = FIELD(res_mem) },
    { .name = "resourceMemoryPercentageName", .type = T_RESOURCE, .field = FIELD(res_mem_pct) },
    { .name = "resourceCoreName", .type = T_RESOURCE, .field = FIELD(res_cores) },
    { .name = "resourcePriorityName", .type = T_RESOURCE, .field = FIELD(res_priority) },
    { .name = "overwriteEnv", .type = T_BOOL, .field = FIELD(overwrite_env) },
    { .name = "defaultMemory", .type = T_INT, .field = FIELD(default_mem_mib), .max = INT32_MAX },
    { .name = "defaultCores", .type = T_INT, .field = FIELD(default_cores_pct), .max = 100 },
    { .name = "defaultGPUNum", .type = T_INT, .field = FIELD(default_count), .max = SCORE_PARTS_MAX },
    { .name = "memoryFactor", .type = T_INT, .field = FIELD(mem_factor), .min = INT32_MIN, .max = INT32_MAX },
    { .name = "gpuCorePolicy", .type = T_POLICY, .field = FIELD(core_policy) },
    { .name = "runtimeClassName", .type = T_CLASS, .field = FIELD(runtime_class) },
    /* the plugin's */
    BOOL("disableCoreLimit"),
    { .name = "migProfileAllowlist", .type = T_MAPS, .field = NOWHERE, .sub = MIG_ENTRY },
    { .name = "deviceSplitCount", .type = T_INT, .field = NOWHERE, .max = INT32_MAX },
    { .name = "deviceMemoryScaling", .type = T_FACTOR, .field = NOWHERE },
    { .name = "deviceCoreScaling", .type = T_FACTOR, .field = NOWHERE },
    { .name = "preConfiguredDeviceMemory", .type = T_INT, .field = NOWHERE, .max = INT64_MAX },
    { .name = "libCudaLogLevel", .type = T_LOG_LEVEL, .field = NOWHERE },
    BOOL("enableNumaTopology"),
    END };

/* Makers not served yet: known by name, checked, not kept. */
static const struct key METAX[] = {
    NAME("resourceCountName"), NAME("resourceVCountName"), NAME("resourceVMemoryName"),
    NAME("resourceVCoreName"), BOOL("sgpuTopologyAware"), END };
static const struct key THREE_NAMES[] = { /* cambricon, mthreads, amd */
    NAME("resourceCountName"), NAME("resourceMemoryName"), NAME("resourceCoreName"), END };
static const struct key HYGON[] = {
    NAME("resourceCountName"), NAME("resourceMemoryName"), NAME("resourceCoreName"), INT32("memoryFactor"), END };
static const struct key ILUVATAR[] = {
    TEXT("chipName"), TEXT("commonWord"), NAME("resourceCountName"), NAME("resourceMemoryName"),
    NAME("resourceCoreName"), END };
static const struct key ENFLAME[] = {
    NAME("resourceNameGCU"), NAME("resourceNameDRSGCU"), NAME("resourceNameGCUMemory"), NAME("resourceNameGCUCore"),
    NAME("resourceNameVGCU"), NAME("resourceNameVGCUPercentage"), END };
static const struct key KUNLUN[] = {
    NAME("resourceCountName"), NAME("resourceVCountName"), NAME("resourceVMemoryName"), END };
static const struct key NEURON[] = { NAME("resourceCountName"), NAME("resourceCoreName"), END };
static const struct key ONE_NAME[] = { NAME("resourceCountName"), END }; /* vastai, biren */
static const struct key TEMPLATE[] = { TEXT("name"), INT64("memory"), INT32("aiCore"), INT32("aiCPU"), END };
static const struct key VNPU[] = {
    TEXT("commonWord"), TEXT("chipName"), NAME("resourceName"), NAME("resourceMemoryName"), NAME("resourceCoreName"),
    INT64("memoryAllocatable"), INT64("memoryCapacity"), INT32("memoryFactor"), INT32("aiCore"), INT32("aiCPU"),
    { .name = "runtimeClassName", .type = T_CLASS, .field = NOWHERE }, BOOL("overwriteEnv"), BOOL("superPod"),
    { .name = "templates", .type = T_MAPS, .field = NOWHERE, .sub = TEMPLATE },
    END };
static const struct key VNPUS[] = {
    BOOL("hamiVnpuCore"), { .name = "configs", .type = T_MAPS, .field = NOWHERE, .sub = VNPU }, END };

static const struct section {
    struct key key;
    const char *row; /* key of the built-in row that it configures; NULL: not served yet */
} SECTIONS[] = {
    { { .name = "nvidia", .type = T_MAP, .sub = NVIDIA }, "NVIDIA" },
    { { .name = "metax", .type = T_MAP, .sub = METAX }, NULL },
    { { .name = "hygon", .type = T_MAP, .sub = HYGON }, NULL },
    { { .name = "cambricon", .type = T_MAP, .sub = THREE_NAMES }, NULL },
    { { .name = "mthreads", .type = T_MAP, .sub = THREE_NAMES }, NULL },
    { { .name = "iluvatars", .type = T_MAPS, .sub = ILUVATAR }, NULL },
    { { .name = "enflame", .type = T_MAP, .sub = ENFLAME }, NULL },
    { { .name = "kunlun", .type = T_MAP, .sub = KUNLUN }, NULL },
    { { .name = "awsneuron", .type = T_MAP, .sub = NEURON }, NULL },
    { { .name = "amd", .type = T_MAP, .sub = THREE_NAMES }, NULL },
    { { .name = "vastai", .type = T_MAP, .sub = ONE_NAME }, NULL },
    { { .name = "biren", .type = T_MAP, .sub = ONE_NAME }, NULL },
    { { .name = "vnpus", .type = T_MAP, .sub = VNPUS }, NULL },
};
/* clang-format on */
#define SECTIONS_N (sizeof(SECTIONS) / sizeof(SECTIONS[0]))

/* The built-in row with everything that the file may say taken out: HAMi knows no defaults for
 * absent keys. */
static struct vendor blank_row(const char *key)
{
    struct vendor row = {0};
    for (uint16_t i = 0; i < VENDOR_BUILTIN_N; i++)
        if (str_eq(VENDOR_BUILTIN[i].core.key, str_z(key)))
            row = VENDOR_BUILTIN[i];
    row.res_count = row.res_mem = row.res_mem_pct = row.res_cores = row.res_priority = STR("");
    row.runtime_class = row.core_policy = STR("");
    row.overwrite_env = false;
    row.mem_factor = row.default_count = row.default_mem_mib = row.default_cores_pct = 0;
    return row;
}

MUST_USE static enum err_code read_section(struct reader *r, const struct section *s,
                                           const struct node *value, struct vendor *rows,
                                           uint16_t *n)
{
    if (!s->row) {
        enum err_code rc = read_value(r, value, &s->key, s->key.name, NULL);
        if (!rc && r->handler && r->handler->on_unbuilt)
            r->handler->on_unbuilt(r->handler->ctx, s->key.name);
        return rc;
    }
    struct vendor row = blank_row(s->row);
    enum err_code rc = read_value(r, value, &s->key, s->key.name, &row);
    if (rc)
        return rc;
    if (row.mem_factor < 1)
        row.mem_factor = 1; /* nvidia.md 2 */
    rows[(*n)++] = row;
    return ERR_OK;
}

/* Two roles under one name would make an ask that nobody meant; told at the section's place. */
MUST_USE static enum err_code check_names(struct reader *r, const struct node *section,
                                          const struct vendor *row)
{
    for (unsigned a = 0; a < VENDOR_RES_COUNT_; a++)
        for (unsigned b = a + 1; b < VENDOR_RES_COUNT_; b++) {
            struct str name = vendor_resource_name(row, (enum vendor_resource)a);
            if (name.n > 0 && str_eq(name, vendor_resource_name(row, (enum vendor_resource)b)))
                return fail_node(r, section, "resource name " STR_FMT " is used twice",
                                 STR_ARG(name));
        }
    return ERR_OK;
}

MUST_USE static enum err_code read_root(struct reader *r, const struct node *root,
                                        struct vendor *rows, uint16_t *n)
{
    bool any = false;
    if (root && root->kind != MAP && !is_null(root))
        return fail_node(r, root, "expected a map of vendor sections");
    for (size_t i = 0; root && i + 1 < root->n; i += 2) {
        const struct node *key = root->child[i], *value = root->child[i + 1];
        size_t at = 0;
        while (at < SECTIONS_N && !str_eq(str_z(SECTIONS[at].key.name), key->text))
            at++;
        enum err_code rc = ERR_OK;
        if (at == SECTIONS_N) {
            rc = unknown(r, key, "");
        } else if (!is_empty(value)) {
            uint16_t before = *n;
            any = true;
            rc = read_section(r, &SECTIONS[at], value, rows, n);
            if (!rc && *n > before)
                rc = check_names(r, value, &rows[before]);
        }
        if (rc)
            return rc;
    }
    if (!any)
        return err_set(r->err, ERR_BAD_REQUEST, "%s:1:1: all configurations are empty", r->path);
    return ERR_OK;
}

enum err_code vendor_table_parse(struct str yaml, const char *path,
                                 const struct vendor_load_handler *handler,
                                 struct vendor_table **ret, struct err *err)
{
    struct arena *arena CLEANUP(arena_free_p) = arena_new(VENDOR_ARENA_MAX);
    if (!arena)
        return err_set(err, ERR_NO_MEMORY, "%s", path);
    struct reader r = {.path = path, .handler = handler, .arena = arena, .err = err};
    struct node *root = NULL;
    struct vendor rows[SECTIONS_N];
    uint16_t n = 0;
    enum err_code rc = read_yaml(&r, yaml, &root);
    if (!rc)
        rc = read_root(&r, root, rows, &n);
    if (!rc)
        rc = vendor_table_make(rows, n, arena, ret, err);
    if (rc)
        return rc;
    (void)TAKE(arena); /* the table's from here on */
    return ERR_OK;
}

enum err_code vendor_table_load(const char *path, const struct vendor_load_handler *handler,
                                struct vendor_table **ret, struct err *err)
{
    char *bytes CLEANUP(free_p) = NULL;
    size_t n = 0;
    enum err_code rc = read_file(path, &bytes, &n, err);
    if (rc)
        return rc;
    return vendor_table_parse((struct str){bytes, n}, path, handler, ret, err);
}
