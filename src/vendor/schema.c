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

enum err_code read_value(struct reader *r, const struct node *value, const struct key *k,
                         const char *section, void *row)
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
