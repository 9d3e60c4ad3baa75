/* What may stand where in a configuration file: tables of keys, read into the fields of a row. */
#include "vendor/schema.h"

#include <string.h>

#define NAME_MAX_BYTES 317 /* DNS name (253) / name (63) */

bool is_null(const struct node *n)
{
    static const char *const NULLS[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; n->kind == SCALAR && n->plain && i < sizeof(NULLS) / sizeof(NULLS[0]); i++)
        if (str_eq(n->text, str_z(NULLS[i])))
            return true;
    return false;
}

bool is_empty(const struct node *n)
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

static void *field_at(void *row, size_t offset) { return (char *)row + offset; }

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
                                          const struct key *k, void *row)
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
    case T_INT64:
        if (s.n > 0 && (!value->plain || !str_int(s, k->min, k->max, &number))) {
            (void)snprintf(range, sizeof(range), "a whole number between %lld and %lld",
                           (long long)k->min, (long long)k->max);
            want = range;
        }
        if (keep && k->type == T_INT)
            *(int32_t *)field_at(row, k->field) = (int32_t)number;
        else if (keep)
            *(int64_t *)field_at(row, k->field) = number;
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
    if (keep && k->type != T_BOOL && k->type != T_INT && k->type != T_INT64)
        *(struct str *)field_at(row, k->field) = s;
    return ERR_OK;
}

/* ---- choices and lists of rows that are described whole ---- */

/* The index of a name; what is none of the choices is told with all of them. */
MUST_USE static enum err_code read_name(struct reader *r, const struct node *value,
                                        const struct key *k, const char *const *names, size_t n,
                                        unsigned *ret)
{
    char choices[280];
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (!names[i])
            continue;
        if (value->kind == SCALAR && str_eq(value->text, str_z(names[i]))) {
            *ret = (unsigned)i;
            return ERR_OK;
        }
        int more = snprintf(choices + at, sizeof(choices) - at, "%s%s", at ? ", " : "", names[i]);
        at = more > 0 && at + (size_t)more < sizeof(choices) ? at + (size_t)more : at;
    }
    choices[at] = '\0';
    return fail_node(r, value, "%s must be one of %s", k->name, choices);
}

MUST_USE static enum err_code read_bits(struct reader *r, const struct node *list,
                                        const struct key *k, void *row)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < list->n; i++) {
        unsigned bit = 0;
        enum err_code rc = read_name(r, list->child[i], k, k->names, k->names_n, &bit);
        if (rc)
            return rc;
        bits |= (uint32_t)1 << bit;
    }
    *(uint32_t *)field_at(row, k->field) = bits;
    return ERR_OK;
}

MUST_USE static enum err_code read_sequence(struct reader *r, const struct node *list,
                                            const struct key *k, void *row)
{
    unsigned *to = field_at(row, k->field);
    if (list->n >= k->size)
        return fail_node(r, list, "%s has more than %zu entries", k->name, k->size - 1);
    for (size_t i = 0; i < list->n; i++) {
        enum err_code rc = read_name(r, list->child[i], k, k->names, k->names_n, &to[i]);
        if (rc)
            return rc;
        for (size_t j = 0; j < i; j++)
            if (to[j] == to[i])
                return fail_node(r, list->child[i], "%s: %s stands twice", k->name,
                                 k->names[to[i]]);
    }
    return ERR_OK;
}

MUST_USE static enum err_code read_by_name(struct reader *r, const struct node *map,
                                           const struct key *k, void *row)
{
    unsigned *to = field_at(row, k->field);
    for (size_t i = 0; i + 1 < map->n; i += 2) {
        unsigned at = 0, value = 0;
        enum err_code rc = read_name(r, map->child[i], k, k->names, k->names_n, &at);
        if (!rc)
            rc = read_name(r, map->child[i + 1], k, k->values, k->values_n, &value);
        if (rc)
            return rc;
        to[at] = value;
    }
    return ERR_OK;
}

/* A list into an array of the arena: texts, numbers or rows. */
MUST_USE static enum err_code read_array(struct reader *r, const struct node *list,
                                         const struct key *k, const char *section, void *row)
{
    const size_t size = k->type == T_STRS   ? sizeof(struct str)
                        : k->type == T_INTS ? sizeof(int32_t)
                                            : k->size;
    char *to = arena_array(r->arena, list->n ? list->n : 1, size);
    if (!to)
        return err_set(r->err, ERR_NO_MEMORY, "%s", r->path);
    for (size_t i = 0; i < list->n; i++) {
        const struct node *item = list->child[i];
        struct key one = {.name = k->name, .min = k->min, .max = k->max, .field = 0};
        enum err_code rc;
        if (k->type == T_ROWS && item->kind != MAP)
            return wrong_type(r, item, k, "a list of maps");
        if (k->type == T_ROWS) {
            rc = read_map(r, item, k->sub, section, to + i * size);
        } else {
            one.type = k->type == T_STRS ? T_TEXT : T_INT;
            rc = read_scalar(r, item, &one, to + i * size);
        }
        if (rc)
            return rc;
    }
    *(void **)field_at(row, k->field) = to;
    *(uint16_t *)field_at(row, k->count) = (uint16_t)list->n;
    return ERR_OK;
}

MUST_USE static enum err_code read_choice(struct reader *r, const struct node *value,
                                          const struct key *k, const char *section, void *row)
{
    unsigned at = 0;
    enum err_code rc;
    switch (k->type) {
    case T_ENUM:
        rc = read_name(r, value, k, k->names, k->names_n, &at);
        if (!rc)
            *(unsigned *)field_at(row, k->field) = at;
        return rc;
    case T_BY_NAME:
        return value->kind != MAP ? wrong_type(r, value, k, "a map")
                                  : read_by_name(r, value, k, row);
    default:
        break;
    }
    if (value->kind != LIST)
        return wrong_type(r, value, k, "a list");
    return k->type == T_BITS       ? read_bits(r, value, k, row)
           : k->type == T_SEQUENCE ? read_sequence(r, value, k, row)
                                   : read_array(r, value, k, section, row);
}

enum err_code read_value(struct reader *r, const struct node *value, const struct key *k,
                         const char *section, void *row)
{
    if (k->type < T_TEXTS || k->type == T_INT64)
        return read_scalar(r, value, k, row);
    if (is_null(value))
        return ERR_OK;
    if (k->type > T_INT64)
        return read_choice(r, value, k, section, row);
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

enum err_code unknown(struct reader *r, const struct node *key, const char *section)
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
                       const char *section, void *row)
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
