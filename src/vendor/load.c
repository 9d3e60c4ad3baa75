/* HAMi's device-config.yaml, as it is. The file becomes a small tree with the place of every value,
 * within bounds and without aliases; then tables of keys say what may stand where, of which type,
 * and into which field of a row it goes. Sections of makers that this build does not serve are
 * checked by the same tables and then only reported. Source of the keys: nvidia.md 2, vendors-a.md
 * and vendors-b.md (their config parts), core.md 15. */
#include "vendor/priv.h"

#include "base/own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#define DEPTH_MAX      16
#define NODES_MAX      50000 /* a full file has some 600 */
#define CHILDREN_MAX   1024  /* entries of one map or list */
#define NAME_MAX_BYTES 317   /* DNS name (253) / name (63) */

/* ---- the tree ---- */

enum kind { SCALAR, MAP, LIST };
struct node {
    enum kind kind;
    bool plain; /* a scalar without quotes or block style: may be a number, a bool or null */
    struct str text;
    size_t line, column;
    struct node **child; /* MAP: key, value, key, value … */
    size_t n, cap;
};

struct reader {
    const char *path;
    const struct vendor_load_handler *handler;
    struct arena *arena;
    struct err *err;
    yaml_parser_t *yaml;
    size_t nodes;
};

MUST_USE static enum err_code fail_at(const struct reader *r, size_t line, size_t column,
                                      const char *what)
{
    return err_set(r->err, ERR_BAD_REQUEST, "%s:%zu:%zu: %s", r->path, line, column, what);
}

#define fail_node(r, node, ...)                                                                    \
    __extension__({                                                                                \
        char what_[320];                                                                           \
        (void)snprintf(what_, sizeof(what_), __VA_ARGS__);                                         \
        fail_at((r), (node)->line, (node)->column, what_);                                         \
    })

DEFINE_CLEANUP(struct arena *, arena_free)

static void event_done(yaml_event_t *e) { yaml_event_delete(e); }

MUST_USE static enum err_code next_event(struct reader *r, yaml_event_t *ret)
{
    if (yaml_parser_parse(r->yaml, ret))
        return ERR_OK;
    const yaml_parser_t *y = r->yaml;
    if (y->error == YAML_MEMORY_ERROR)
        return err_set(r->err, ERR_NO_MEMORY, "%s", r->path);
    return fail_at(r, y->problem_mark.line + 1, y->problem_mark.column + 1,
                   y->problem ? y->problem : "not YAML");
}

MUST_USE static enum err_code read_node(struct reader *r, const yaml_event_t *at, unsigned depth,
                                        struct node **ret);

MUST_USE static enum err_code add_child(struct reader *r, struct node *to, struct node *child)
{
    if (to->n == CHILDREN_MAX)
        return fail_node(r, child, "more than %d entries", CHILDREN_MAX);
    if (to->n == to->cap) {
        size_t cap = to->cap ? to->cap * 2 : 8;
        struct node **more = arena_array(r->arena, cap, sizeof(struct node *));
        if (!more)
            return err_set(r->err, ERR_NO_MEMORY, "%s", r->path);
        for (size_t i = 0; i < to->n; i++)
            more[i] = to->child[i];
        to->child = more;
        to->cap = cap;
    }
    to->child[to->n++] = child;
    return ERR_OK;
}

MUST_USE static enum err_code check_key(struct reader *r, const struct node *map,
                                        const struct node *key)
{
    if (key->kind != SCALAR)
        return fail_node(r, key, "a key must be a text");
    for (size_t i = 0; i + 1 < map->n; i += 2)
        if (str_eq(map->child[i]->text, key->text))
            return fail_node(r, key, "key \"%.*s\" stands twice (first in line %zu)",
                             (int)(key->text.n > 64 ? 64 : key->text.n), key->text.p,
                             map->child[i]->line);
    return ERR_OK;
}

MUST_USE static enum err_code read_children(struct reader *r, struct node *to, unsigned depth,
                                            yaml_event_type_t end)
{
    for (;;) {
        yaml_event_t e CLEANUP(event_done) = {0};
        enum err_code rc = next_event(r, &e);
        if (rc)
            return rc;
        if (e.type == end)
            return ERR_OK;
        struct node *child;
        rc = read_node(r, &e, depth + 1, &child);
        if (!rc && to->kind == MAP && to->n % 2 == 0)
            rc = check_key(r, to, child);
        if (!rc)
            rc = add_child(r, to, child);
        if (rc)
            return rc;
    }
}

static const char *tag_of(const yaml_event_t *at)
{
    const yaml_char_t *tag = at->type == YAML_SCALAR_EVENT           ? at->data.scalar.tag
                             : at->type == YAML_MAPPING_START_EVENT  ? at->data.mapping_start.tag
                             : at->type == YAML_SEQUENCE_START_EVENT ? at->data.sequence_start.tag
                                                                     : NULL;
    return (const char *)tag;
}

enum err_code read_node(struct reader *r, const yaml_event_t *at, unsigned depth, struct node **ret)
{
    size_t line = at->start_mark.line + 1, column = at->start_mark.column + 1;
    if (depth > DEPTH_MAX)
        return fail_at(r, line, column, "nested too deeply");
    if (++r->nodes > NODES_MAX)
        return fail_at(r, line, column, "too many values");
    if (at->type == YAML_ALIAS_EVENT)
        return fail_at(r, line, column, "aliases are not supported, write the value out");
    if (tag_of(at))
        return fail_at(r, line, column, "tags are not supported");
    struct node *node = arena_alloc(r->arena, sizeof(*node));
    if (!node)
        return err_set(r->err, ERR_NO_MEMORY, "%s", r->path);
    node->line = line;
    node->column = column;
    *ret = node;
    switch ((int)at->type) {
    case YAML_MAPPING_START_EVENT:
        node->kind = MAP;
        return read_children(r, node, depth, YAML_MAPPING_END_EVENT);
    case YAML_SEQUENCE_START_EVENT:
        node->kind = LIST;
        return read_children(r, node, depth, YAML_SEQUENCE_END_EVENT);
    case YAML_SCALAR_EVENT:
        node->kind = SCALAR;
        node->plain = at->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        node->text = arena_str(
            r->arena, (struct str){(const char *)at->data.scalar.value, at->data.scalar.length});
        return arena_failed(r->arena) ? err_set(r->err, ERR_NO_MEMORY, "%s", r->path) : ERR_OK;
    default:
        return fail_at(r, line, column, "expected a value");
    }
}

/* The one document's root; NULL when the stream is empty. */
MUST_USE static enum err_code read_document(struct reader *r, struct node **ret)
{
    *ret = NULL;
    for (;;) {
        yaml_event_t e CLEANUP(event_done) = {0};
        enum err_code rc = next_event(r, &e);
        if (rc)
            return rc;
        switch ((int)e.type) {
        case YAML_STREAM_START_EVENT:
        case YAML_DOCUMENT_END_EVENT:
            break;
        case YAML_STREAM_END_EVENT:
            return ERR_OK;
        case YAML_DOCUMENT_START_EVENT:
            if (*ret)
                return fail_at(r, e.start_mark.line + 1, e.start_mark.column + 1,
                               "more than one document");
            break;
        default:
            rc = read_node(r, &e, 1, ret);
            if (rc)
                return rc;
        }
    }
}

/* ---- what may stand where ---- */

enum type {
    T_TEXT,     /* any scalar; null is "" */
    T_RESOURCE, /* a resource name, or "" */
    T_CLASS,    /* a runtime class, or "" */
    T_POLICY,   /* gpuCorePolicy */
    T_LOG_LEVEL,
    T_BOOL,
    T_INT,      /* min … max */
    T_FACTOR,   /* a decimal fraction, not negative */
    T_TEXTS,    /* list of texts */
    T_PROFILES, /* list of MIG profile names */
    T_MAP,      /* of `sub` */
    T_MAPS      /* list of maps of `sub` */
};
#define NOWHERE SIZE_MAX /* checked and not kept: the plugin's business */

struct key {
    const char *name;
    enum type type;
    size_t field; /* offset in struct vendor: struct str, bool or int32_t by type */
    int64_t min, max;
    const struct key *sub; /* ended by a NULL name */
    bool needed;           /* must be there and not empty */
};

static bool is_null(const struct node *n)
{
    static const char *const NULLS[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; n->kind == SCALAR && n->plain && i < sizeof(NULLS) / sizeof(NULLS[0]); i++)
        if (str_eq(n->text, str_z(NULLS[i])))
            return true;
    return false;
}

static bool is_empty(const struct node *n)
{
    return is_null(n) || (n->kind == SCALAR ? n->text.n == 0 : n->n == 0);
}

static bool one_of(struct str s, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(s, str_z(words[i])))
            return true;
    return false;
}
#define ONE_OF(s, ...)                                                                             \
    one_of(s, (const char *const[]){__VA_ARGS__},                                                  \
           sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static bool only(struct str s, const char *set)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] == '\0' || !strchr(set, s.p[i]))
            return false;
    return true;
}
#define DIGITS "0123456789"
#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

/* What the API server takes as an extended resource: "domain/name". */
static bool is_resource_name(struct str s)
{
    struct str rest = s, domain, name;
    return s.n <= NAME_MAX_BYTES && str_split(&rest, '/', &domain) && rest.p &&
           str_split(&rest, '/', &name) && !rest.p && domain.n > 0 && name.n > 0 && name.n <= 63 &&
           only(domain, LOWER DIGITS "-.") && only(name, LOWER UPPER DIGITS "-._");
}

static bool is_factor(struct str s)
{
    struct quantity q; /* takes 1, 1.5, .5, 1e3; a unit behind it is none of ours */
    return s.n > 0 && only(s, DIGITS ".eE+-") && !quantity_parse(s, &q, NULL) &&
           quantity_sign(&q) >= 0;
}

/* "2g.10gb": text ending in g of at least two bytes, a dot, a rest (nvidia.md 8.1). */
static bool is_profile(struct str s)
{
    struct str rest = s, slices;
    return str_split(&rest, '.', &slices) && rest.p && rest.n > 0 && slices.n >= 2 &&
           slices.p[slices.n - 1] == 'g';
}

static void *field_at(struct vendor *row, size_t offset) { return (char *)row + offset; }

MUST_USE static enum err_code read_map(struct reader *r, const struct node *map,
                                       const struct key *keys, const char *section,
                                       struct vendor *row);

MUST_USE static enum err_code wrong_type(struct reader *r, const struct node *value,
                                         const struct key *k, const char *want)
{
    int n = value->kind != SCALAR ? 0 : (int)(value->text.n > 64 ? 64 : value->text.n);
    return fail_node(r, value, "%s must be %s, not %s%.*s%s", k->name, want,
                     value->kind == MAP    ? "a map"
                     : value->kind == LIST ? "a list"
                                           : "\"",
                     n, value->kind == SCALAR ? value->text.p : "",
                     value->kind == SCALAR ? "\"" : "");
}

MUST_USE static enum err_code read_scalar(struct reader *r, const struct node *value,
                                          const struct key *k, struct vendor *row)
{
    struct str s = is_null(value) ? STR("") : value->text;
    bool keep = row && k->field != NOWHERE;
    const char *want = NULL;
    int64_t number = 0;
    bool yes = false;
    char range[80];
    if (value->kind != SCALAR)
        return wrong_type(r, value, k, "a text or a number");
    switch (k->type) {
    case T_BOOL:
        yes = value->plain && ONE_OF(s, "true", "True", "TRUE", "yes", "on");
        if (!yes && s.n > 0 && !(value->plain && ONE_OF(s, "false", "False", "FALSE", "no", "off")))
            want = "true or false";
        if (keep)
            *(bool *)field_at(row, k->field) = yes;
        break;
    case T_INT:
        if (s.n > 0 && (!value->plain || !str_int(s, k->min, k->max, &number))) {
            (void)snprintf(range, sizeof(range), "a whole number between %lld and %lld",
                           (long long)k->min, (long long)k->max);
            want = range;
        }
        if (keep)
            *(int32_t *)field_at(row, k->field) = (int32_t)number;
        break;
    case T_FACTOR:
        if (s.n > 0 && (!value->plain || !is_factor(s)))
            want = "a number that is not negative";
        break;
    case T_RESOURCE:
        if (s.n > 0 && !is_resource_name(s))
            want = "a resource name as example.com/name";
        break;
    case T_CLASS:
        if (s.n > 253 || !only(s, LOWER DIGITS "-."))
            want = "the name of a runtime class";
        break;
    case T_POLICY:
        if (s.n > 0 && !ONE_OF(s, "default", "force", "disable"))
            want = "default, force or disable";
        break;
    case T_LOG_LEVEL:
        if (s.n > 0 && !ONE_OF(s, "0", "1", "2", "3", "4"))
            want = "a level from 0 to 4";
        break;
    default:
        break;
    }
    if (want)
        return wrong_type(r, value, k, want);
    if (keep && k->type != T_BOOL && k->type != T_INT)
        *(struct str *)field_at(row, k->field) = s;
    return ERR_OK;
}

MUST_USE static enum err_code read_value(struct reader *r, const struct node *value,
                                         const struct key *k, const char *section,
                                         struct vendor *row)
{
    if (k->type < T_TEXTS)
        return read_scalar(r, value, k, row);
    if (is_null(value))
        return ERR_OK;
    if (k->type == T_MAP) {
        if (value->kind != MAP)
            return wrong_type(r, value, k, "a map");
        return read_map(r, value, k->sub, section, row);
    }
    if (value->kind != LIST)
        return wrong_type(r, value, k, "a list");
    for (size_t i = 0; i < value->n; i++) {
        const struct node *item = value->child[i];
        enum err_code rc = ERR_OK;
        if (k->type == T_MAPS) {
            if (item->kind != MAP)
                return wrong_type(r, item, k, "a list of maps");
            rc = read_map(r, item, k->sub, section, row);
        } else if (item->kind != SCALAR) {
            return wrong_type(r, item, k, "a list of texts");
        } else if (k->type == T_PROFILES && !is_profile(item->text)) {
            return wrong_type(r, item, k, "a list of profiles as 1g.10gb");
        }
        if (rc)
            return rc;
    }
    return ERR_OK;
}

MUST_USE static enum err_code unknown(struct reader *r, const struct node *key, const char *section)
{
    char text[160];
    (void)snprintf(text, sizeof(text), "%s key \"%.*s\"%s%s", "unknown",
                   (int)(key->text.n > 64 ? 64 : key->text.n), key->text.p,
                   section[0] ? " in " : "", section);
    if (!r->handler || !r->handler->on_unknown)
        return fail_at(r, key->line, key->column, text);
    char placed[224];
    (void)snprintf(placed, sizeof(placed), "%zu:%zu: %s", key->line, key->column, text);
    for (char *c = placed; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            *c = '?';
    r->handler->on_unknown(r->handler->ctx, placed);
    return ERR_OK;
}

enum err_code read_map(struct reader *r, const struct node *map, const struct key *keys,
                       const char *section, struct vendor *row)
{
    for (size_t i = 0; i + 1 < map->n; i += 2) {
        const struct key *k = keys;
        while (k->name && !str_eq(str_z(k->name), map->child[i]->text))
            k++;
        enum err_code rc = k->name ? read_value(r, map->child[i + 1], k, section, row)
                                   : unknown(r, map->child[i], section);
        if (rc)
            return rc;
    }
    for (const struct key *k = keys; k->name; k++) {
        bool there = !k->needed;
        for (size_t i = 0; !there && i + 1 < map->n; i += 2)
            there = str_eq(str_z(k->name), map->child[i]->text) && !is_empty(map->child[i + 1]);
        if (!there)
            return fail_node(r, map, "%s: %s is missing or empty", section, k->name);
    }
    return ERR_OK;
}

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

static void yaml_done(yaml_parser_t *y) { yaml_parser_delete(y); }

enum err_code vendor_table_parse(struct str yaml, const char *path,
                                 const struct vendor_load_handler *handler,
                                 struct vendor_table **ret, struct err *err)
{
    if (yaml.n > VENDOR_CONFIG_MAX)
        return err_set(err, ERR_BAD_REQUEST, "%s:1:1: larger than %d bytes", path,
                       VENDOR_CONFIG_MAX);
    struct arena *arena CLEANUP(arena_free_p) = arena_new(VENDOR_ARENA_MAX);
    yaml_parser_t parser CLEANUP(yaml_done) = {0};
    if (!arena || !yaml_parser_initialize(&parser))
        return err_set(err, ERR_NO_MEMORY, "%s", path);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(yaml.p ? yaml.p : ""), yaml.n);
    struct reader r = {
        .path = path, .handler = handler, .arena = arena, .err = err, .yaml = &parser};
    struct node *root = NULL;
    struct vendor rows[SECTIONS_N];
    uint16_t n = 0;
    enum err_code rc = read_document(&r, &root);
    if (!rc)
        rc = read_root(&r, root, rows, &n);
    if (!rc)
        rc = vendor_table_make(rows, n, arena, ret, err);
    if (rc)
        return rc;
    (void)TAKE(arena); /* the table's from here on */
    return ERR_OK;
}

static void fd_done(const int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

enum err_code vendor_table_load(const char *path, const struct vendor_load_handler *handler,
                                struct vendor_table **ret, struct err *err)
{
    int fd CLEANUP(fd_done) = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, ERR_BAD_REQUEST, "%s: %m", path);
    char *bytes CLEANUP(free_p) = malloc(VENDOR_CONFIG_MAX + 1);
    if (!bytes)
        return err_set(err, ERR_NO_MEMORY, "%s", path);
    size_t n = 0;
    while (n <= VENDOR_CONFIG_MAX) {
        ssize_t got = read(fd, bytes + n, VENDOR_CONFIG_MAX + 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_set(err, ERR_BAD_REQUEST, "%s: %m", path);
        if (got == 0)
            break;
        n += (size_t)got;
    }
    return vendor_table_parse((struct str){bytes, n}, path, handler, ret, err);
}
