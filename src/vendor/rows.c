/* Rows of the table as YAML: reading a maker that the program was not built with, and printing the
 * rows there are in the same format. One table of keys says both, so that what is printed is what
 * can be read. docs/operations/add-a-vendor.md is for who writes such a file. */
#include "vendor/priv.h"
#include "vendor/schema.h"

#include "base/own.h"

#include <assert.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* ---- names of choices ---- */

static const char *const CHECKS[SCORE_CHECK_COUNT_] = {
    [SCORE_CHECK_HEALTH] = "health",
    [SCORE_CHECK_CORDON] = "cordon",
    [SCORE_CHECK_TYPE] = "type",
    [SCORE_CHECK_NUMA] = "numa",
    [SCORE_CHECK_UUID] = "uuid",
    [SCORE_CHECK_SLOTS] = "slots",
    [SCORE_CHECK_MUTEX] = "mutex",
    [SCORE_CHECK_QUOTA] = "quota",
    [SCORE_CHECK_MEMORY] = "memory",
    [SCORE_CHECK_CORES] = "cores",
    [SCORE_CHECK_EXCLUSIVE] = "exclusive",
    [SCORE_CHECK_ZERO_CORES] = "zero-cores",
    [SCORE_CHECK_PLACEMENT] = "placement",
    [SCORE_CHECK_ONE_CARD] = "one-card",
    [SCORE_CHECK_EQUAL] = "equal",
    [SCORE_CHECK_CLASS] = "class",
    [SCORE_CHECK_QOS] = "qos",
    [SCORE_CHECK_SOFT] = "soft",
    [SCORE_CHECK_FREE] = "free",
    [SCORE_CHECK_ZONE_MUTEX] = "zone-mutex",
};
static const char *const AMOUNTS[] = {
    [SCORE_AMOUNT_PLAIN] = "plain",
    [SCORE_AMOUNT_UNITS] = "units",
    [SCORE_AMOUNT_BITS] = "bits",
    [SCORE_AMOUNT_PROFILE] = "profile",
};
static const char *const SELECTS[] = {
    [SCORE_SELECT_EACH] = "each",         [SCORE_SELECT_PAIRS] = "pairs",
    [SCORE_SELECT_ZONES] = "zones",       [SCORE_SELECT_ZONES_FIT] = "zones-fit",
    [SCORE_SELECT_MODULES] = "modules",   [SCORE_SELECT_WINGS] = "wings",
    [SCORE_SELECT_BLOCKS] = "blocks",
};
static const char *const QUALITIES[] = {
    [SCORE_QUALITY_NONE] = "none",   [SCORE_QUALITY_PAIRS] = "pairs",
    [SCORE_QUALITY_ZONES] = "zones", [SCORE_QUALITY_TABLE] = "table",
    [SCORE_QUALITY_LINKS] = "links", [SCORE_QUALITY_WINGS] = "wings",
};
static const char *const RULES[] = { /* by bit of enum vendor_rule */
    "lock",        "count-from-parts", "exclusive-cores", "limits-only", "totals",
    "no-memory",   "memory-in-bytes",  "soft",            "pairs",       "list-names-type",
    "list-has-bits", "count-positive",
};
static const char *const INVENTORIES[] = {
    [VENDOR_INVENTORY_JSON] = "json",         [VENDOR_INVENTORY_TEXT] = "text",
    [VENDOR_INVENTORY_CAPACITY] = "capacity", [VENDOR_INVENTORY_CORES] = "capacity-and-cores",
    [VENDOR_INVENTORY_SHARED] = "shared",     [VENDOR_INVENTORY_SLICES] = "slices",
};
static const char *const ZONES[] = {
    [VENDOR_ZONE_NONE] = "none",
    [VENDOR_ZONE_NETWORK] = "network",
    [VENDOR_ZONE_CARD] = "card",
    [VENDOR_ZONE_LINK] = "link",
};
static const char *const ASKINGS[] = {
    [VENDOR_ASKING_PLAIN] = "plain",   [VENDOR_ASKING_ROUNDED] = "rounded",
    [VENDOR_ASKING_STEPS] = "steps",   [VENDOR_ASKING_SLICES] = "slices",
    [VENDOR_ASKING_CORES] = "cores",
};
static const char *const EXTRAS[] = {
    [VENDOR_EXTRA_NONE] = "none",
    [VENDOR_EXTRA_SLICES_LIST] = "slices-list",
    [VENDOR_EXTRA_OBJECTS] = "objects",
    [VENDOR_EXTRA_PROFILE] = "profile",
    [VENDOR_EXTRA_INDEX] = "index",
    [VENDOR_EXTRA_BY_CONTAINER] = "by-container",
    [VENDOR_EXTRA_ASSIGNED] = "assigned",
    [VENDOR_EXTRA_IDX] = "idx",
    [VENDOR_EXTRA_CORE_IDS] = "core-ids",
};
/* The codes as users read them; filled from the core's table once, before any thread. */
static const char *REASONS[SCORE_REASON_COUNT_];

/* ---- the keys ---- */

/* clang-format off */
#define FIELD(f) offsetof(struct vendor, f)
#define TEXT(n, f, h) { .name = (n), .type = T_TEXT, .field = FIELD(f), .help = (h) }
#define NAME(n, f, h) { .name = (n), .type = T_RESOURCE, .field = FIELD(f), .help = (h) }
#define BOOL(n, f, h) { .name = (n), .type = T_BOOL, .field = FIELD(f), .help = (h) }
#define INT(n, f, most, h) { .name = (n), .type = T_INT, .field = FIELD(f), .max = (most), .help = (h) }
#define LONG(n, f, h) { .name = (n), .type = T_INT64, .field = FIELD(f), .max = SCORE_AMOUNT_MAX, .help = (h) }
#define CHOICE(n, f, of, h) { .name = (n), .type = T_ENUM, .field = FIELD(f), .names = (of), .names_n = COUNT(of), .help = (h) }
#define SUB(n, keys) { .name = (n), .type = T_MAP, .field = NOWHERE, .sub = (keys) }
#define END { .name = NULL }

static const struct key TEMPLATE[] = {
    { .name = "name", .type = T_TEXT, .field = offsetof(struct vendor_template, name), .help = "what the plugin calls it" },
    { .name = "memoryMiB", .type = T_INT64, .field = offsetof(struct vendor_template, mem_mib), .min = 1,
      .max = SCORE_AMOUNT_MAX, .needed = true, .help = "its memory" },
    { .name = "cores", .type = T_INT, .field = offsetof(struct vendor_template, cores), .max = INT32_MAX,
      .help = "its cores; percent of a card where `ask.from` is `steps`" },
    { .name = "cpus", .type = T_INT, .field = offsetof(struct vendor_template, cpus), .max = INT32_MAX, .help = "its CPUs, for people" },
    END };
static const struct key RESOURCES[] = {
    NAME("count", res_count, "how many cards"),
    NAME("memory", res_mem, "memory of each card, in units of `ask.memoryFactor` MiB"),
    NAME("memoryPercentage", res_mem_pct, "the same as percent of the card"),
    NAME("cores", res_cores, "cores of each card, in percent unless `ask.coresUnit` says otherwise"),
    NAME("priority", res_priority, "handed to the container as an environment variable"),
    NAME("slices", res_slices, "slices of one card (`ask.from: slices`)"),
    END };
static const struct key MADE[] = {
    TEXT("infix", made.infix, "the cards' ids are node name, this text, and a number from 0"),
    BOOL("perCores", made.per_cores, "count the capacity of `resources.cores`, not of `resources.count`"),
    INT("perCard", made.per_card, INT32_MAX, "so much of it is one card"),
    INT("count", made.count, INT32_MAX, "shares of a card"),
    INT("cores", made.cores, INT32_MAX, "cores of a card"),
    LONG("memoryMiB", made.mem_mib, "memory of a card; 0: from the capacity of `resources.memory`"),
    BOOL("halves", made.halves, "the upper half of the cards is NUMA node 1"),
    END };
static const struct key NODE[] = {
    CHOICE("inventory", inventory, INVENTORIES, "where a node's cards are read from"),
    SUB("made", MADE),
    TEXT("register", node_register, "annotation with the list of cards"),
    TEXT("pairs", node_score, "annotation with the values of pairs of cards"),
    TEXT("handshake", node_handshake, "annotation with the plugin's sign of life; read, never written"),
    TEXT("cordon", node_cordon, "annotation with the ids of cards that take nothing more"),
    TEXT("soft", node_soft, "annotation that is `true` where cards are split in software"),
    BOOL("softDefault", soft_default, "what holds where `node.soft` is absent"),
    TEXT("losses", node_loss, "annotation: what taking so many cards costs"),
    TEXT("gains", node_gain, "annotation: what taking so many cards yields"),
    TEXT("kindLabel", node_kind_label, "label that names the kind of machine"),
    TEXT("lock", node_lock, "annotation of the node lock that the plugin reads (rule `lock`)"),
    BOOL("lockTimeOnly", lock_time_only, "its value is a time, without an owner"),
    TEXT("typeWord", type_word, "a card's type must hold this text, in any case; others take nothing"),
    BOOL("typeExact", type_exact, "must be this very text"),
    INT("forcedCores", forced_cores, INT32_MAX, "cores of every card, whatever is registered"),
    CHOICE("zone", zone, ZONES, "which member of `custominfo` says which cards are near each other"),
    END };
static const struct key POD[] = {
    TEXT("toAllocate", pod_to_allocate, "annotation with the list that the plugin consumes"),
    TEXT("allocated", pod_allocated, "annotation with the list that stays"),
    TEXT("slices", pod_mig, "annotation with the placements of slices"),
    TEXT("assigned", pod_assigned, "annotation with the sizes of slices by container"),
    TEXT("useType", pod_use_type, "annotation: only cards whose type holds one of these texts"),
    TEXT("nouseType", pod_nouse_type, "annotation: no cards whose type holds one of these texts"),
    TEXT("useUUID", pod_use_uuid, "annotation: only these cards"),
    TEXT("nouseUUID", pod_nouse_uuid, "annotation: not these cards"),
    TEXT("useUUID2", pod_use_uuid2, "a second spelling of `useUUID`; both count"),
    TEXT("nouseUUID2", pod_nouse_uuid2, "a second spelling of `nouseUUID`; both count"),
    TEXT("mode", pod_mode, "annotation: only cards whose mode is part of this text"),
    TEXT("numaBind", pod_numa_bind, "annotation: all cards of a container on one NUMA node"),
    TEXT("soft", pod_soft, "annotation that is `hami-core` for cards split in software"),
    TEXT("class", pod_class, "annotation with the pod's class (`admission.classes`)"),
    TEXT("qos", pod_qos, "annotation with the pod's QoS policy (`admission.qos`)"),
    TEXT("topology", pod_topology, "annotation: whether links between cards count in the node's score"),
    BOOL("topologyOn", topology_on, "they count where the annotation is absent"),
    TEXT("requestCount", pod_request_count, "annotation that admission sets to the number of cards"),
    CHOICE("extra", extra, EXTRAS, "further annotations that the plugin expects of a decision"),
    END };
static const struct key ASK[] = {
    CHOICE("from", asking, ASKINGS, "how amounts become an ask"),
    INT("memoryFactor", mem_factor, 1 << 20, "MiB of a unit of `resources.memory`; 0 is 1"),
    INT("quotaFactor", quota_factor, 1 << 20, "MiB of a unit of a namespace's quota; 0: `memoryFactor`"),
    INT("defaultCount", default_count, SCORE_PARTS_MAX, "cards, where only amounts are asked for (rule `count-from-parts`)"),
    INT("defaultMemoryMiB", default_mem_mib, INT32_MAX, "memory where none is asked for; 0: the whole card"),
    INT("defaultCores", default_cores_pct, INT32_MAX, "cores where none are asked for"),
    INT("coresMin", cores_min, INT32_MAX, "least value of `resources.cores`"),
    INT("coresMax", cores_max, INT32_MAX, "greatest value of `resources.cores`; 0: more than a card is a card"),
    INT("coresUnit", cores_unit, INT32_MAX, "cores of a whole card; 0: 100"),
    LONG("memoryMax", mem_max, "greatest value of `resources.memory`; 0: what is 2^31-1 MiB"),
    LONG("memoryWholeMiB", mem_whole_mib, "what more than the largest template becomes"),
    LONG("memoryMostMiB", mem_most_mib, "more than this is refused"),
    { .name = "templates", .type = T_ROWS, .field = FIELD(templates), .count = FIELD(templates_n),
      .sub = TEMPLATE, .size = sizeof(struct vendor_template), .help = "sizes that memory is rounded up to, ascending" },
    END };
static const struct key ADMISSION[] = {
    { .name = "runtimeClass", .type = T_CLASS, .field = FIELD(runtime_class), .help = "runtime class of pods that have none" },
    { .name = "corePolicy", .type = T_POLICY, .field = FIELD(core_policy), .help = "value of `envCorePolicy`; `default`: it is not set" },
    TEXT("envPriority", env_priority, "variable with the value of `resources.priority`"),
    TEXT("envCorePolicy", env_core_policy, "variable with the core policy"),
    TEXT("envVisible", env_visible, "variable that hides the cards from containers that ask for none"),
    TEXT("envHidden", env_hidden, "what `envVisible` becomes in containers that ask for none of the row\'s cards"),
    TEXT("envName", env_name, "variable with the container's name"),
    BOOL("overwriteEnv", overwrite_env, "set `envVisible` in containers that ask for none"),
    INT("above", admit_above, INT32_MAX, "for more cards than this, limits become what `cores` and `memory` say"),
    INT("cores", admit_cores, INT32_MAX, "limit of cores for each card"),
    INT("memory", admit_mem, INT32_MAX, "limit of memory for each card"),
    { .name = "slices", .type = T_INTS, .field = FIELD(admit_slices), .count = FIELD(admit_slices_n),
      .min = 1, .max = INT32_MAX, .help = "values of `resources.memory` that are legal for one card, ascending" },
    { .name = "qos", .type = T_STRS, .field = FIELD(qos), .count = FIELD(qos_n), .help = "names of QoS policies; the first is given to pods that name none" },
    { .name = "classes", .type = T_STRS, .field = FIELD(classes), .count = FIELD(classes_n), .help = "names of the online and of the offline class" },
    BOOL("mirror", mirror, "limits are copied to requests, and requests to limits"),
    TEXT("coresText", cores_text, "what is said of cores out of range, behind the resource's name"),
    END };
static const struct key ROW[] = {
    { .name = "key", .type = T_TEXT, .field = FIELD(core.key), .needed = true,
      .help = "name of the vendor in allocation lists; letters, digits, `-`, `_`, `.`" },
    TEXT("section", section, "section of HAMi's device configuration that names its resources"),
    { .name = "rules", .type = T_BITS, .field = FIELD(rules), .names = RULES, .names_n = COUNT(RULES), .help = "see below" },
    { .name = "checks", .type = T_SEQUENCE, .field = FIELD(core.checks), .names = CHECKS,
      .names_n = COUNT(CHECKS), .size = SCORE_CHECK_COUNT_, .needed = true,
      .help = "what a card is checked for; the first that fails names the reason" },
    { .name = "reasons", .type = T_BY_NAME, .field = FIELD(core.reasons), .names = CHECKS,
      .names_n = COUNT(CHECKS), .values = REASONS, .values_n = COUNT(REASONS),
      .help = "code of a failing check, where it is not the usual one (docs/operations/reasons.md)" },
    { .name = "selectReason", .type = T_ENUM, .field = FIELD(core.select_reason), .names = REASONS,
      .names_n = COUNT(REASONS), .help = "code for enough cards of which no set will do" },
    CHOICE("amount", core.amount, AMOUNTS, "how an ask's amounts become a card's"),
    CHOICE("select", core.select, SELECTS, "which cards together"),
    CHOICE("quality", core.quality, QUALITIES, "how good a set of cards is, beside how full they are"),
    SUB("resources", RESOURCES), SUB("node", NODE), SUB("pod", POD), SUB("ask", ASK), SUB("admission", ADMISSION),
    END };
/* clang-format on */

static void name_reasons(void)
{
    /* 0 means "the usual code": it is no choice. */
    for (unsigned i = 1; i < SCORE_REASON_COUNT_; i++)
        REASONS[i] = score_reason_code((enum score_reason)i);
}

/* ---- printing ---- */

static const void *at(const void *row, size_t offset) { return (const char *)row + offset; }

static void indent(struct buf *out, unsigned depth)
{
    for (unsigned i = 0; i < depth; i++)
        buf_add(out, STR("  "));
}

static void start(struct buf *out, unsigned depth, const struct key *k)
{
    indent(out, depth);
    buf_add(out, str_z(k->name));
    buf_add(out, STR(": "));
}

static void print_map(struct buf *out, unsigned depth, const struct key *keys, const void *row,
                      bool in_list);

static void print_list(struct buf *out, unsigned depth, const struct key *k, const void *row)
{
    bool any = false;
    uint16_t n = k->count ? *(const uint16_t *)at(row, k->count) : 0;
    const void *list = k->count ? *(const void *const *)at(row, k->field) : NULL;
    const unsigned *of = at(row, k->field);
    const size_t steps = k->type == T_SEQUENCE  ? k->size
                         : k->type == T_BITS    ? k->names_n
                         : k->type == T_BY_NAME ? k->names_n
                                                : n;
    for (size_t i = 0; i < steps; i++) {
        if (k->type == T_SEQUENCE && of[i] == 0)
            break;
        if ((k->type == T_BITS && !(of[0] >> i & 1)) || (k->type == T_BY_NAME && of[i] == 0))
            continue;
        if (!any && k->type != T_ROWS) {
            start(out, depth, k);
            buf_char(out, k->type == T_BY_NAME ? '{' : '[');
        } else if (!any) {
            indent(out, depth);
            buf_add(out, str_z(k->name));
            buf_add(out, STR(":\n"));
        } else if (k->type != T_ROWS) {
            buf_add(out, STR(", "));
        }
        any = true;
        if (k->type == T_SEQUENCE) {
            buf_add(out, str_z(k->names[of[i]]));
        } else if (k->type == T_BITS) {
            buf_add(out, str_z(k->names[i]));
        } else if (k->type == T_BY_NAME) {
            buf_add(out, str_z(k->names[i]));
            buf_add(out, STR(": "));
            buf_add(out, str_z(k->values[of[i]]));
        } else if (k->type == T_STRS) {
            buf_json(out, ((const struct str *)list)[i]); /* NOLINT: so has T_STRS */
        } else if (k->type == T_INTS) {
            buf_int(out, ((const int32_t *)list)[i]); /* NOLINT: T_INTS has a count and a list */
        } else {
            print_map(out, depth, k->sub, (const char *)list + i * k->size, true);
        }
    }
    if (any && k->type != T_ROWS)
        buf_add(out, k->type == T_BY_NAME ? STR("}\n") : STR("]\n"));
}

/* Whether a key's value differs from nothing. */
static bool says(const struct key *k, const void *row)
{
    switch (k->type) {
    case T_MAP:
        for (const struct key *sub = k->sub; sub->name; sub++)
            if (says(sub, row))
                return true;
        return false;
    case T_BOOL:
        return *(const bool *)at(row, k->field);
    case T_INT:
        return *(const int32_t *)at(row, k->field) != 0;
    case T_INT64:
        return *(const int64_t *)at(row, k->field) != 0;
    case T_ENUM:
        return *(const unsigned *)at(row, k->field) != 0;
    case T_BITS:
    case T_SEQUENCE:
        return *(const unsigned *)at(row, k->field) != 0;
    case T_BY_NAME:
        for (size_t i = 0; i < k->names_n; i++)
            if (((const unsigned *)at(row, k->field))[i] != 0)
                return true;
        return false;
    case T_STRS:
    case T_INTS:
    case T_ROWS:
        return *(const uint16_t *)at(row, k->count) != 0;
    default:
        return ((const struct str *)at(row, k->field))->n > 0;
    }
}

static void print_value(struct buf *out, unsigned depth, const struct key *k, const void *row)
{
    switch (k->type) {
    case T_MAP:
        indent(out, depth);
        buf_add(out, str_z(k->name));
        buf_add(out, STR(":\n"));
        print_map(out, depth + 1, k->sub, row, false);
        return;
    case T_BITS:
    case T_SEQUENCE:
    case T_BY_NAME:
    case T_STRS:
    case T_INTS:
    case T_ROWS:
        print_list(out, depth, k, row);
        return;
    default:
        break;
    }
    start(out, depth, k);
    if (k->type == T_BOOL)
        buf_add(out, STR("true"));
    else if (k->type == T_INT)
        buf_int(out, *(const int32_t *)at(row, k->field));
    else if (k->type == T_INT64)
        buf_int(out, *(const int64_t *)at(row, k->field));
    else if (k->type == T_ENUM)
        buf_add(out, str_z(k->names[*(const unsigned *)at(row, k->field)]));
    else
        buf_json(out, *(const struct str *)at(row, k->field));
    buf_char(out, '\n');
}

/* In a list the first key stands behind the dash. */
void print_map(struct buf *out, unsigned depth, const struct key *keys, const void *row,
               bool in_list)
{
    for (const struct key *k = keys; k->name; k++) {
        if (!says(k, row))
            continue;
        if (in_list) {
            indent(out, depth);
            buf_add(out, STR("- "));
            print_value(out, 0, k, row);
            depth++;
        } else {
            print_value(out, depth, k, row);
        }
        in_list = false;
    }
}

void vendor_table_print(const struct vendor_table *t, struct buf *out)
{
    name_reasons();
    buf_add(out, STR("# The vendors as --vendor-file reads them. replaceAll: these rows are all there are.\n"
                     "replaceAll: true\nvendors:\n"));
    for (uint16_t i = 0; i < t->n; i++)
        print_map(out, 0, ROW, &t->rows[i], true);
}

/* ---- for the page that describes the format ---- */

static void describe(struct buf *out, const char *prefix, const struct key *keys)
{
    static const char *const TYPES[] = {
        [T_TEXT] = "text",         [T_RESOURCE] = "resource name", [T_CLASS] = "runtime class",
        [T_POLICY] = "policy",     [T_BOOL] = "bool",              [T_INT] = "number",
        [T_INT64] = "number",      [T_ENUM] = "one of",            [T_BITS] = "any of",
        [T_SEQUENCE] = "list of",  [T_BY_NAME] = "map from check to code",
        [T_STRS] = "list of texts", [T_INTS] = "list of numbers",  [T_ROWS] = "list of maps",
    };
    char path[64];
    for (const struct key *k = keys; k->name; k++) {
        (void)snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", k->name);
        if (k->type != T_MAP) {
            assert(k->help && TYPES[k->type]);
            buf_fmt(out, "| `%s` | %s", path, TYPES[k->type]);
            for (size_t i = 0; i < k->names_n && k->names != REASONS && k->type != T_BY_NAME; i++)
                if (k->names[i])
                    buf_fmt(out, " `%s`", k->names[i]);
            buf_fmt(out, "%s | %s |\n", k->names == REASONS ? " the codes" : "", k->help);
        }
        if (k->sub)
            describe(out, path, k->sub);
    }
}

void vendor_rows_describe(struct buf *out) { describe(out, "", ROW); }

/* ---- reading ---- */

/* Where a text stands, for what is only found out when all is read. */
static const struct node *place_of(const struct node *in, struct str text)
{
    if (in->kind == SCALAR)
        return str_eq(in->text, text) ? in : NULL;
    for (size_t i = in->kind == MAP; i < in->n; i += in->kind == MAP ? 2 : 1) {
        const struct node *found = place_of(in->child[i], text);
        if (found)
            return found;
    }
    return NULL;
}

MUST_USE static enum err_code clash(struct reader *r, const struct node *in, struct str name,
                                    const char *what, struct str other)
{
    const struct node *place = place_of(in, name);
    return fail_node(r, place ? place : in, "%s \"" STR_FMT "\" is already " STR_FMT "'s", what,
                     STR_ARG(name), STR_ARG(other));
}

enum err_code check_clashes(struct reader *r, const struct node *in, const struct vendor *v,
                            const struct vendor *rows, uint16_t n)
{
    for (uint16_t i = 0; i <= n; i++) { /* the last of all is the row itself */
        const struct vendor *other = i < n ? &rows[i] : v;
        const bool self = i == n;
        if (!self && str_eq_fold(v->core.key, other->core.key))
            return clash(r, in, v->core.key, "key", other->core.key);
        for (unsigned a = 0; a < VENDOR_RES_COUNT_; a++)
            for (unsigned b = self ? a + 1 : 0; b < VENDOR_RES_COUNT_; b++) {
                struct str name = vendor_resource_name(v, (enum vendor_resource)a);
                if (name.n > 0 &&
                    str_eq(name, vendor_resource_name(other, (enum vendor_resource)b)))
                    return clash(r, in, name, "resource", other->core.key);
            }
        const struct str own[] = {v->node_register, v->pod_allocated, v->pod_to_allocate};
        const struct str theirs[] = {other->node_register, other->pod_allocated,
                                     other->pod_to_allocate};
        for (size_t a = 0; a < COUNT(own); a++)
            for (size_t b = self ? a + 1 : 0; b < COUNT(theirs); b++)
                if (own[a].n > 0 && str_eq(own[a], theirs[b]))
                    return clash(r, in, own[a], "annotation", other->core.key);
    }
    return ERR_OK;
}

bool is_key(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        const char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.'))
            return false;
    }
    return s.n > 0 && s.n <= 63;
}

/* What a row needs so that cards can be read, asked for and written down. */
static const char *missing_of(const struct vendor *v)
{
    const bool listed = v->inventory == VENDOR_INVENTORY_JSON ||
                        v->inventory == VENDOR_INVENTORY_TEXT ||
                        v->inventory == VENDOR_INVENTORY_SHARED ||
                        v->inventory == VENDOR_INVENTORY_SLICES;
    if (!is_key(v->core.key))
        return "key must be of letters, digits, '-', '_' and '.', at most 63";
    if (v->res_count.n == 0 && v->res_slices.n == 0)
        return "resources.count is missing";
    if (v->pod_allocated.n == 0)
        return "pod.allocated is missing";
    if (listed && v->node_register.n == 0)
        return "node.register is missing";
    if (v->inventory == VENDOR_INVENTORY_CAPACITY &&
        (v->made.infix.n == 0 || v->made.per_card < 1 || v->made.count < 1))
        return "node.made needs infix, perCard and count";
    if (v->inventory == VENDOR_INVENTORY_CORES && v->res_cores.n == 0)
        return "resources.cores is missing";
    if ((v->rules & VENDOR_RULE_LOCK) && v->node_lock.n == 0)
        return "node.lock is missing";
    if ((v->asking == VENDOR_ASKING_ROUNDED || v->asking == VENDOR_ASKING_STEPS) &&
        v->templates_n == 0)
        return "ask.templates is missing";
    if (v->mirror && (v->rules & VENDOR_RULE_LIMITS_ONLY))
        return "admission.mirror makes limits of requests, which the rule limits-only leaves out";
    if (v->asking == VENDOR_ASKING_CORES && v->cores_unit < 1)
        return "ask.coresUnit is missing";
    for (uint16_t i = 1; i < v->templates_n; i++)
        if (v->templates[i].mem_mib <= v->templates[i - 1].mem_mib)
            return "ask.templates must ascend by memoryMiB";
    for (uint16_t i = 1; i < v->admit_slices_n; i++)
        if (v->admit_slices[i] <= v->admit_slices[i - 1])
            return "admission.slices must ascend";
    if (v->classes_n != 0 && v->classes_n != 2)
        return "admission.classes are two: online and offline";
    if (v->qos_n > UINT8_MAX - 1)
        return "admission.qos has too many names";
    if (v->cores_max > 0 && v->cores_min > v->cores_max)
        return "ask.coresMin is above ask.coresMax";
    return NULL;
}

MUST_USE static enum err_code read_rows(struct reader *r, const struct node *list,
                                        struct vendor *rows, uint16_t *n)
{
    if (list->kind != LIST)
        return fail_node(r, list, "vendors must be a list");
    for (size_t i = 0; i < list->n; i++) {
        const struct node *item = list->child[i];
        struct vendor v = {.mem_factor = 0};
        if (item->kind != MAP)
            return fail_node(r, item, "vendors must be a list of maps");
        if (*n == SCORE_VENDORS_MAX)
            return fail_node(r, item, "more than %d vendors", SCORE_VENDORS_MAX);
        enum err_code rc = read_map(r, item, ROW, "a vendor", &v);
        if (rc)
            return rc;
        const char *missing = missing_of(&v);
        if (missing)
            return fail_node(r, item, "vendor \"" STR_FMT "\": %s", STR_ARG(v.core.key), missing);
        if (v.mem_factor < 1)
            v.mem_factor = 1;
        rc = check_clashes(r, item, &v, rows, *n);
        if (rc)
            return rc;
        rows[(*n)++] = v;
    }
    return ERR_OK;
}

MUST_USE static enum err_code read_root(struct reader *r, const struct node *root,
                                        struct vendor *rows, uint16_t *n)
{
    static const struct key REPLACE_ALL = {.name = "replaceAll", .type = T_BOOL, .field = 0};
    bool replace_all = false;
    const struct node *list = NULL;
    if (!root || root->kind != MAP)
        return err_set(r->err, ERR_BAD_REQUEST, "%s:1:1: expected a map with vendors", r->path);
    for (size_t i = 0; i + 1 < root->n; i += 2) {
        enum err_code rc = ERR_OK;
        if (str_eq(root->child[i]->text, STR("vendors")))
            list = root->child[i + 1];
        else if (str_eq(root->child[i]->text, str_z(REPLACE_ALL.name)))
            rc = read_value(r, root->child[i + 1], &REPLACE_ALL, "", &replace_all);
        else
            rc = unknown(r, root->child[i], "");
        if (rc)
            return rc;
    }
    if (!list)
        return fail_node(r, root, "vendors is missing");
    if (replace_all)
        *n = 0;
    return read_rows(r, list, rows, n);
}

enum err_code vendor_table_extend(struct vendor_table **t, struct str yaml, const char *path,
                                  struct err *err)
{
    struct vendor_table *old = *t, *made = NULL;
    struct vendor *rows = arena_array(old->arena, SCORE_VENDORS_MAX, sizeof(*rows));
    if (!rows)
        return err_set(err, ERR_NO_MEMORY, "%s", path);
    name_reasons();
    uint16_t n = old->n;
    for (uint16_t i = 0; i < n; i++)
        rows[i] = old->rows[i];
    struct reader r = {.path = path, .arena = old->arena, .err = err};
    struct node *root = NULL;
    enum err_code rc = read_yaml(&r, yaml, &root);
    if (!rc)
        rc = read_root(&r, root, rows, &n);
    if (!rc)
        rc = vendor_table_make(rows, n, old->arena, &made, err);
    if (rc)
        return rc;
    old->arena = NULL; /* the new table's */
    vendor_table_free(old);
    *t = made;
    return ERR_OK;
}

enum err_code vendor_table_extend_file(struct vendor_table **t, const char *path, struct err *err)
{
    char *bytes CLEANUP(free_p) = NULL;
    size_t n = 0;
    enum err_code rc = read_file(path, &bytes, &n, err);
    if (rc)
        return rc;
    return vendor_table_extend(t, (struct str){bytes, n}, path, err);
}
