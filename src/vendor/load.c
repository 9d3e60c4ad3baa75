/* HAMi's device-config.yaml, as it is: tables of keys say what may stand where, of which type, and
 * into which field of a row it goes. Source of the keys: nvidia.md 2, the config parts of
 * vendors-a.md and vendors-b.md, core.md 15. */
#include "vendor/priv.h"
#include "vendor/schema.h"

#include "base/own.h"

#include <assert.h>
#include <string.h>

DEFINE_CLEANUP(struct arena *, arena_free)

#define N_OF(a) (sizeof(a) / sizeof((a)[0]))

/* What a section says: of its rows the fields that its keys name, and what is no field of a row. */
#define ROWS_OF_SECTION 2
struct said {
    struct vendor row[ROWS_OF_SECTION];
    struct str slices_old; /* the name of slices in files of older versions */
    bool paired;
};
struct said_list { /* of a section with a row an entry */
    struct said *of;
    uint16_t n;
    bool soft;
};

/* clang-format off */
#define FIELD(f) offsetof(struct said, row[0].f)
#define SECOND(f) offsetof(struct said, row[1].f)
#define TEXT(n) { .name = (n), .type = T_TEXT, .field = NOWHERE }
#define NAME(n, to) { .name = (n), .type = T_RESOURCE, .field = (to) }
#define COUNT_NAME(n, to) { .name = (n), .type = T_RESOURCE, .field = (to), .needed = true }
#define BOOL(n, to) { .name = (n), .type = T_BOOL, .field = (to) }
#define FACTOR(n, to) { .name = (n), .type = T_INT, .field = (to), .min = INT32_MIN, .max = INT32_MAX }
#define WHOLE(n) { .name = (n), .type = T_INT, .field = NOWHERE, .min = INT32_MIN, .max = INT32_MAX }
#define MEMORY(n, to, least) \
    { .name = (n), .type = T_INT64, .field = (to), .min = (least), .max = INT32_MAX, .needed = (least) > 0 }
#define END { .name = NULL }

static const struct key MIG_ENTRY[] = {
    { .name = "models", .type = T_TEXTS, .field = NOWHERE, .needed = true },
    { .name = "profiles", .type = T_PROFILES, .field = NOWHERE, .needed = true },
    END };
static const struct key NVIDIA[] = {
    COUNT_NAME("resourceCountName", FIELD(res_count)),
    NAME("resourceMemoryName", FIELD(res_mem)),
    NAME("resourceMemoryPercentageName", FIELD(res_mem_pct)),
    NAME("resourceCoreName", FIELD(res_cores)),
    NAME("resourcePriorityName", FIELD(res_priority)),
    BOOL("overwriteEnv", FIELD(overwrite_env)),
    { .name = "defaultMemory", .type = T_INT, .field = FIELD(default_mem_mib), .max = INT32_MAX },
    { .name = "defaultCores", .type = T_INT, .field = FIELD(default_cores_pct), .max = 100 },
    { .name = "defaultGPUNum", .type = T_INT, .field = FIELD(default_count), .max = SCORE_PARTS_MAX },
    FACTOR("memoryFactor", FIELD(mem_factor)),
    { .name = "gpuCorePolicy", .type = T_POLICY, .field = FIELD(core_policy) },
    { .name = "runtimeClassName", .type = T_CLASS, .field = FIELD(runtime_class) },
    /* the plugin's */
    BOOL("disableCoreLimit", NOWHERE),
    { .name = "migProfileAllowlist", .type = T_MAPS, .field = NOWHERE, .sub = MIG_ENTRY },
    { .name = "deviceSplitCount", .type = T_INT, .field = NOWHERE, .max = INT32_MAX },
    { .name = "deviceMemoryScaling", .type = T_FACTOR, .field = NOWHERE },
    { .name = "deviceCoreScaling", .type = T_FACTOR, .field = NOWHERE },
    { .name = "preConfiguredDeviceMemory", .type = T_INT, .field = NOWHERE, .max = INT64_MAX },
    { .name = "libCudaLogLevel", .type = T_LOG_LEVEL, .field = NOWHERE },
    BOOL("enableNumaTopology", NOWHERE),
    END };
static const struct key METAX[] = {
    NAME("resourceCountName", FIELD(res_count)), NAME("resourceVCountName", SECOND(res_count)),
    NAME("resourceVMemoryName", SECOND(res_mem)), NAME("resourceVCoreName", SECOND(res_cores)),
    BOOL("sgpuTopologyAware", SECOND(topology_on)), END };
static const struct key THREE_NAMES[] = { /* cambricon, mthreads, amd */
    COUNT_NAME("resourceCountName", FIELD(res_count)), NAME("resourceMemoryName", FIELD(res_mem)),
    NAME("resourceCoreName", FIELD(res_cores)), END };
static const struct key HYGON[] = {
    COUNT_NAME("resourceCountName", FIELD(res_count)), NAME("resourceMemoryName", FIELD(res_mem)),
    NAME("resourceCoreName", FIELD(res_cores)), FACTOR("memoryFactor", FIELD(mem_factor)), END };
static const struct key ENFLAME[] = {
    NAME("resourceNameGCU", FIELD(res_count)), NAME("resourceNameDRSGCU", SECOND(res_slices)),
    NAME("resourceNameGCUMemory", SECOND(res_mem)), NAME("resourceNameGCUCore", SECOND(res_cores)),
    NAME("resourceNameVGCU", offsetof(struct said, slices_old)), NAME("resourceNameVGCUPercentage", NOWHERE),
    END };
static const struct key KUNLUN[] = {
    NAME("resourceCountName", FIELD(res_count)), NAME("resourceVCountName", SECOND(res_count)),
    NAME("resourceVMemoryName", SECOND(res_mem)), END };
static const struct key NEURON[] = {
    COUNT_NAME("resourceCountName", FIELD(res_count)), NAME("resourceCoreName", FIELD(res_cores)), END };
static const struct key ONE_NAME[] = { COUNT_NAME("resourceCountName", FIELD(res_count)), END }; /* vastai, biren */

#define CHIP_KEY \
    { .name = "commonWord", .type = T_TEXT, .field = FIELD(core.key), .needed = true }, TEXT("chipName")
static const struct key ILUVATAR[] = {
    CHIP_KEY, COUNT_NAME("resourceCountName", FIELD(res_count)), NAME("resourceMemoryName", FIELD(res_mem)),
    NAME("resourceCoreName", FIELD(res_cores)), END };
static const struct key TEMPLATE[] = {
    { .name = "name", .type = T_TEXT, .field = offsetof(struct vendor_template, name), .needed = true },
    MEMORY("memory", offsetof(struct vendor_template, mem_mib), 1),
    { .name = "aiCore", .type = T_INT, .field = offsetof(struct vendor_template, cores), .max = INT32_MAX },
    { .name = "aiCPU", .type = T_INT, .field = offsetof(struct vendor_template, cpus), .max = INT32_MAX }, END };
static const struct key VNPU[] = {
    CHIP_KEY, COUNT_NAME("resourceName", FIELD(res_count)), NAME("resourceMemoryName", FIELD(res_mem)),
    NAME("resourceCoreName", FIELD(res_cores)), MEMORY("memoryAllocatable", FIELD(mem_whole_mib), 1),
    MEMORY("memoryCapacity", FIELD(mem_most_mib), 0), FACTOR("memoryFactor", FIELD(mem_factor)), WHOLE("aiCore"),
    WHOLE("aiCPU"), { .name = "runtimeClassName", .type = T_CLASS, .field = FIELD(runtime_class) },
    BOOL("overwriteEnv", FIELD(overwrite_env)), BOOL("superPod", offsetof(struct said, paired)),
    { .name = "templates", .type = T_ROWS, .field = FIELD(templates), .count = FIELD(templates_n), .sub = TEMPLATE,
      .size = sizeof(struct vendor_template) },
    END };
static const struct key VNPUS[] = {
    BOOL("hamiVnpuCore", offsetof(struct said_list, soft)),
    { .name = "configs", .type = T_ROWS, .field = offsetof(struct said_list, of), .count = offsetof(struct said_list, n),
      .sub = VNPU, .size = sizeof(struct said) },
    END };

static const struct section {
    struct key key;             /* read into struct said, or said_list where there is `chip` */
    const char *rows[ROWS_OF_SECTION]; /* keys of the built-in rows that it configures */
    const struct key *chip;     /* a row for every entry of a list, read by these keys */
} SECTIONS[] = {
    { .key = { .name = "nvidia", .type = T_MAP, .sub = NVIDIA }, .rows = { "NVIDIA" } },
    { .key = { .name = "metax", .type = T_MAP, .sub = METAX }, .rows = { "Metax-GPU", "Metax-SGPU" } },
    { .key = { .name = "hygon", .type = T_MAP, .sub = HYGON }, .rows = { "DCU" } },
    { .key = { .name = "cambricon", .type = T_MAP, .sub = THREE_NAMES }, .rows = { "MLU" } },
    { .key = { .name = "mthreads", .type = T_MAP, .sub = THREE_NAMES }, .rows = { "Mthreads" } },
    { .key = { .name = "iluvatars", .type = T_ROWS, .sub = ILUVATAR, .field = offsetof(struct said_list, of),
               .count = offsetof(struct said_list, n), .size = sizeof(struct said) }, .chip = ILUVATAR },
    { .key = { .name = "enflame", .type = T_MAP, .sub = ENFLAME }, .rows = { "GCU", "Enflame" } },
    { .key = { .name = "kunlun", .type = T_MAP, .sub = KUNLUN }, .rows = { "kunlun", "XPU" } },
    { .key = { .name = "awsneuron", .type = T_MAP, .sub = NEURON }, .rows = { "AWSNeuron" } },
    { .key = { .name = "amd", .type = T_MAP, .sub = THREE_NAMES }, .rows = { "AMD" } },
    { .key = { .name = "vastai", .type = T_MAP, .sub = ONE_NAME }, .rows = { "Vastai" } },
    { .key = { .name = "biren", .type = T_MAP, .sub = ONE_NAME }, .rows = { "Biren" } },
    { .key = { .name = "vnpus", .type = T_MAP, .sub = VNPUS }, .chip = VNPU },
};

/* Chips that the program was not built with are like these of their section; the longest prefix first. */
static const struct family {
    const char *section, *prefix, *row;
} FAMILIES[] = {
    { "vnpus", "Ascend910", "Ascend910A" },
    { "vnpus", "", "Ascend310P" },
    { "iluvatars", "", "MR-V100" },
};
/* clang-format on */

static const struct vendor *built_in(const char *section, struct str key)
{
    for (uint16_t i = 0; i < VENDOR_BUILTIN_N; i++)
        if (str_eq(VENDOR_BUILTIN[i].core.key, key) &&
            str_eq(VENDOR_BUILTIN[i].section, str_z(section)))
            return &VENDOR_BUILTIN[i];
    return NULL;
}

/* ---- from what is said to rows ---- */

static size_t size_of(enum type type)
{
    switch (type) {
    case T_BOOL:
        return sizeof(bool);
    case T_INT:
        return sizeof(int32_t);
    case T_INT64:
        return sizeof(int64_t);
    case T_ROWS:
        return sizeof(void *);
    default:
        return sizeof(struct str);
    }
}

/* Every field that the keys name, also where the file is silent: HAMi knows no defaults for absent
 * keys. */
static void take_said(struct said *to, const struct said *from, const struct key *keys)
{
    for (const struct key *k = keys; k->name; k++) {
        if (k->field == NOWHERE)
            continue;
        memcpy((char *)to + k->field, (const char *)from + k->field, size_of(k->type));
        if (k->type == T_ROWS)
            memcpy((char *)to + k->count, (const char *)from + k->count, sizeof(uint16_t));
    }
}

/* The three names of slices that HAMi does have defaults for (vendors-b.md 2b). */
static void default_names(struct vendor *row, const struct vendor *built, struct str slices_old)
{
    if (row->asking != VENDOR_ASKING_SLICES)
        return;
    if (row->res_slices.n == 0)
        row->res_slices = slices_old.n > 0 ? slices_old : built->res_slices;
    if (row->res_mem.n == 0)
        row->res_mem = built->res_mem;
    if (row->res_cores.n == 0)
        row->res_cores = built->res_cores;
}

MUST_USE static enum err_code add_row(struct reader *r, const struct node *at, const char *section,
                                      struct vendor *row, struct vendor *rows, uint16_t *n)
{
    bool named = row->res_count.n > 0 || row->res_slices.n > 0;
    if (!named && (row->res_mem.n > 0 || row->res_cores.n > 0))
        return fail_node(r, at, "%s: cards have names for amounts and none to be counted by",
                         section);
    if (!named)
        return ERR_OK; /* nobody can ask for it */
    if (row->mem_factor < 1)
        row->mem_factor = 1; /* nvidia.md 2 */
    if (*n == SCORE_VENDORS_MAX)
        return fail_node(r, at, "more than %d vendors", SCORE_VENDORS_MAX);
    enum err_code rc = check_clashes(r, at, row, rows, *n);
    if (!rc)
        rows[(*n)++] = *row;
    return rc;
}

MUST_USE static enum err_code read_makers(struct reader *r, const struct section *s,
                                          const struct node *value, struct vendor *rows,
                                          uint16_t *n)
{
    struct said said = {.paired = false}, all = {.paired = false};
    enum err_code rc = read_value(r, value, &s->key, s->key.name, &said);
    for (size_t i = 0; i < ROWS_OF_SECTION && s->rows[i]; i++) {
        const struct vendor *built = built_in(s->key.name, str_z(s->rows[i]));
        assert(built); /* the table of sections names built-in rows */
        all.row[i] = *built;
    }
    if (!rc)
        take_said(&all, &said, s->key.sub);
    for (size_t i = 0; !rc && i < ROWS_OF_SECTION && s->rows[i]; i++) {
        default_names(&all.row[i], built_in(s->key.name, str_z(s->rows[i])), all.slices_old);
        rc = add_row(r, value, s->key.name, &all.row[i], rows, n);
    }
    return rc;
}

/* ---- chips ---- */

/* The key in a name becomes another. */
static struct str renamed(struct arena *arena, struct str name, struct str from, struct str to)
{
    size_t at = 0;
    while (at + from.n <= name.n && memcmp(name.p + at, from.p, from.n) != 0)
        at++;
    if (at + from.n > name.n)
        return name;
    char *p = arena_alloc(arena, name.n - from.n + to.n);
    if (!p)
        return STR("");
    memcpy(p, name.p, at);
    memcpy(p + at, to.p, to.n);
    memcpy(p + at + to.n, name.p + at + from.n, name.n - at - from.n);
    return (struct str){p, name.n - from.n + to.n};
}

/* The row of a chip: the built-in one, or that of its family under its own name. */
MUST_USE static bool chip_row(struct arena *arena, const char *section, struct str key,
                              struct vendor *ret)
{
    const struct vendor *built = built_in(section, key);
    for (size_t i = 0; !built && i < N_OF(FAMILIES); i++)
        if (strcmp(FAMILIES[i].section, section) == 0 &&
            str_has_prefix(key, str_z(FAMILIES[i].prefix)))
            built = built_in(section, str_z(FAMILIES[i].row));
    assert(built);
    *ret = *built;
    struct str *const names[] = {&ret->node_register, &ret->node_handshake, &ret->pod_to_allocate,
                                 &ret->pod_allocated, &ret->pod_use_uuid,   &ret->pod_nouse_uuid,
                                 &ret->type_word,     &ret->core.key};
    for (size_t i = 0; i < N_OF(names); i++)
        *names[i] = renamed(arena, *names[i], built->core.key, key);
    return !arena_failed(arena);
}

static void sort_templates(struct vendor *row)
{
    struct vendor_template *t = (struct vendor_template *)row->templates; /* the arena's */
    for (uint16_t i = 1; i < row->templates_n; i++)
        for (uint16_t j = i; j > 0 && t[j].mem_mib < t[j - 1].mem_mib; j--) {
            struct vendor_template tmp = t[j];
            t[j] = t[j - 1];
            t[j - 1] = tmp;
        }
}

MUST_USE static enum err_code read_chips(struct reader *r, const struct section *s,
                                         const struct node *value, struct vendor *rows, uint16_t *n)
{
    struct said_list list = {.n = 0};
    enum err_code rc = read_value(r, value, &s->key, s->key.name, &list);
    for (uint16_t i = 0; !rc && i < list.n; i++) {
        struct said chip = {.paired = false};
        struct str key = list.of[i].row[0].core.key;
        if (!is_key(key))
            return fail_node(r, value,
                             "%s: commonWord must be of letters, digits, '-', '_' and '.', at most "
                             "63, not \"%.*s\"",
                             s->key.name, (int)(key.n > 64 ? 64 : key.n), key.p);
        if (!chip_row(r->arena, s->key.name, key, &chip.row[0]))
            return err_set(r->err, ERR_NO_MEMORY, "%s", r->path);
        take_said(&chip, &list.of[i], s->chip);
        if (!chip.paired)
            chip.row[0].rules &= ~(uint32_t)VENDOR_RULE_PAIRS;
        chip.row[0].soft_default = list.soft;
        if (chip.row[0].asking == VENDOR_ASKING_ROUNDED)
            sort_templates(&chip.row[0]);
        rc = add_row(r, value, s->key.name, &chip.row[0], rows, n);
    }
    return rc;
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
        while (at < N_OF(SECTIONS) && !str_eq(str_z(SECTIONS[at].key.name), key->text))
            at++;
        enum err_code rc = ERR_OK;
        if (at == N_OF(SECTIONS)) {
            rc = unknown(r, key, "");
        } else if (!is_empty(value)) {
            any = true;
            rc = SECTIONS[at].chip ? read_chips(r, &SECTIONS[at], value, rows, n)
                                   : read_makers(r, &SECTIONS[at], value, rows, n);
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
    struct vendor *rows = arena ? arena_array(arena, SCORE_VENDORS_MAX, sizeof(*rows)) : NULL;
    if (!rows)
        return err_set(err, ERR_NO_MEMORY, "%s", path);
    struct reader r = {.path = path, .handler = handler, .arena = arena, .err = err};
    struct node *root = NULL;
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
