/* What a pod's annotations say about which cards and nodes it likes: selection lists, classes,
 * policies, weights. Grammar: nvidia.md 6.1, core.md 5.2, 5.3, 5.5; vendors-b.md 1f, 1i. */
#include "vendor/priv.h"

#include <assert.h>
#include <stdio.h>

/* ---- selection lists ---- */

/* Comma list → entries, trimmed, empty ones left out. A blank text is no list at all. */
MUST_USE static enum err_code read_list(struct str text, struct arena *arena, bool *ret_set,
                                        const struct str **ret, uint16_t *ret_n, struct err *err)
{
    *ret_set = false;
    *ret = NULL;
    *ret_n = 0;
    if (!text.p || str_trim(text).n == 0)
        return ERR_OK;
    size_t n = 0;
    struct str rest = text, piece;
    while (str_split(&rest, ',', &piece))
        n += str_trim(piece).n > 0;
    if (n > VENDOR_SELECTION_MAX)
        return err_set(err, ERR_INVALID, "a selection list of %zu entries, at most %d", n,
                       VENDOR_SELECTION_MAX);
    struct str *list = arena_array(arena, n ? n : 1, sizeof(*list));
    if (!list)
        return err_set(err, ERR_NO_MEMORY, "selection list");
    uint16_t filled = 0;
    for (rest = text; str_split(&rest, ',', &piece);)
        if ((piece = str_trim(piece)).n > 0)
            list[filled++] = piece;
    *ret_set = true;
    *ret = list;
    *ret_n = filled;
    return ERR_OK;
}

/* Where both spellings say which cards may be used, a card must be in both lists (vendors-b.md 3g).
 */
static void both_lists(bool *set, const struct str **list, uint16_t *n, bool set2,
                       const struct str *list2, uint16_t n2, struct arena *arena)
{
    if (!set2)
        return;
    if (!*set) {
        *set = true;
        *list = list2;
        *n = n2;
        return;
    }
    struct str *common = arena_array(arena, *n ? *n : 1u, sizeof(*common));
    uint16_t kept = 0;
    for (uint16_t i = 0; common && i < *n; i++)
        for (uint16_t j = 0; j < n2; j++)
            if (str_eq((*list)[i], list2[j])) {
                common[kept++] = (*list)[i];
                break;
            }
    *list = common;
    *n = common ? kept : 0;
}

/* What either spelling forbids is forbidden. */
static void either_list(const struct str **list, uint16_t *n, const struct str *list2, uint16_t n2,
                        struct arena *arena)
{
    if (n2 == 0)
        return;
    struct str *all = arena_array(arena, (size_t)*n + n2, sizeof(*all));
    for (uint16_t i = 0; all && i < *n; i++)
        all[i] = (*list)[i];
    for (uint16_t i = 0; all && i < n2; i++)
        all[*n + i] = list2[i];
    *list = all;
    *n = all ? (uint16_t)(*n + n2) : 0;
}

/* 1 + the place of a text among names; 0: the annotation is absent. */
MUST_USE static enum err_code read_name(struct str text, struct str key, const struct str *names,
                                        uint16_t names_n, uint16_t *ret, struct err *err)
{
    char list[160] = "";
    size_t used = 0;
    *ret = 0;
    if (!text.p || names_n == 0)
        return ERR_OK;
    for (uint16_t i = 0; i < names_n; i++) {
        if (str_eq(text, names[i])) {
            *ret = (uint16_t)(i + 1);
            return ERR_OK;
        }
        if (used < sizeof(list))
            used += (size_t)snprintf(list + used, sizeof(list) - used, "%s" STR_FMT, i ? ", " : "",
                                     STR_ARG(names[i]));
    }
    return err_set(err, ERR_INVALID, "annotation " STR_FMT " must be set one of [%s]", STR_ARG(key),
                   list);
}

enum err_code vendor_selection(const struct vendor *v, const struct vendor_selection_text *text,
                               struct arena *arena, struct score_selection *ret, struct err *err)
{
    struct score_selection sel = {0};
    bool unused, use2_set; /* of "nouse": a list of no entries forbids nothing */
    const struct str *use2, *nouse2;
    uint16_t use2_n, nouse2_n, app_class, qos;
    const struct {
        struct str text, key;
        bool *set;
        const struct str **list;
        uint16_t *n;
    } lists[] = {
        {text->use_type, v->pod_use_type, &sel.use_type_set, &sel.use_types, &sel.use_types_n},
        {text->nouse_type, v->pod_nouse_type, &unused, &sel.nouse_types, &sel.nouse_types_n},
        {text->use_uuid, v->pod_use_uuid, &sel.use_uuid_set, &sel.use_uuids, &sel.use_uuids_n},
        {text->nouse_uuid, v->pod_nouse_uuid, &unused, &sel.nouse_uuids, &sel.nouse_uuids_n},
        {text->use_uuid2, v->pod_use_uuid2, &use2_set, &use2, &use2_n},
        {text->nouse_uuid2, v->pod_nouse_uuid2, &unused, &nouse2, &nouse2_n},
    };
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        enum err_code rc =
            read_list(lists[i].text, arena, lists[i].set, lists[i].list, lists[i].n, err);
        if (rc)
            return err_prefix(err, rc, "annotation " STR_FMT, STR_ARG(lists[i].key));
    }
    both_lists(&sel.use_uuid_set, &sel.use_uuids, &sel.use_uuids_n, use2_set, use2, use2_n, arena);
    either_list(&sel.nouse_uuids, &sel.nouse_uuids_n, nouse2, nouse2_n, arena);
    if (arena_failed(arena))
        return err_set(err, ERR_NO_MEMORY, "selection list");
    enum err_code rc =
        read_name(text->app_class, v->pod_class, v->classes, v->classes_n, &app_class, err);
    /* Pods of the first class bring no policy and meet none (vendors-b.md 1f, 1g). */
    if (!rc && app_class != SCORE_CLASS_ONLINE)
        rc = read_name(text->qos, v->pod_qos, v->qos, v->qos_n, &qos, err);
    if (rc)
        return rc;
    sel.app_class = (enum score_class)app_class;
    if (app_class != SCORE_CLASS_ONLINE && v->qos_n > 0)
        sel.qos = (uint8_t)(qos > 0 ? qos : 1); /* admission writes the first (1f) */
    bool links;
    sel.links = text->topology.p && str_go_bool(text->topology, &links) ? links : v->topology_on;
    sel.mode_set = text->mode.p != NULL;
    sel.mode = sel.mode_set ? text->mode : STR("");
    sel.numa_bind = v->pod_numa_bind.n > 0 && vendor_numa_bind(text);
    *ret = sel;
    return ERR_OK;
}

bool vendor_numa_bind(const struct vendor_selection_text *text)
{
    bool on;
    return text->numa_bind.p && str_go_bool(text->numa_bind, &on) && on;
}

bool vendor_soft(const struct vendor *v, struct str text)
{
    return v->rules & VENDOR_RULE_SOFT && str_eq(text, STR("hami-core")); /* vendors-a.md 1.3 */
}

/* ---- policies ---- */

static bool has_token(struct str policy, struct str token)
{
    struct str rest = policy, piece;
    while (str_split(&rest, ',', &piece))
        if (str_eq(str_trim(piece), token))
            return true;
    return false;
}

struct chain {
    enum score_key key[3]; /* binpack, spread, numa: each once at most */
    unsigned n;
};

static void chain_add(struct chain *c, enum score_key key)
{
    for (unsigned i = 0; i < c->n; i++)
        if (c->key[i] == key)
            return;
    assert(c->n < sizeof(c->key) / sizeof(c->key[0]));
    c->key[c->n++] = key;
}

/* The order of cards, core.md 5.3 from top to bottom. */
static struct chain card_chain(struct str policy, bool numa_bind)
{
    struct chain c = {0};
    if (numa_bind)
        chain_add(&c, SCORE_KEY_NUMA);
    bool chained = str_contains(policy, STR(",")) || str_eq(policy, STR("numa"));
    if (!chained) {
        if (str_eq(policy, STR("binpack")))
            chain_add(&c, SCORE_KEY_BINPACK);
        else if (!str_eq(policy, STR("mutex"))) /* mutex: cards nobody uses have no score */
            chain_add(&c, SCORE_KEY_SPREAD);
        chain_add(&c, SCORE_KEY_NUMA);
        return c;
    }
    static const struct {
        struct str token;
        enum score_key key;
    } TOKENS[] = {
        {STR_INIT("binpack"), SCORE_KEY_BINPACK},
        {STR_INIT("spread"), SCORE_KEY_SPREAD},
        {STR_INIT("numa"), SCORE_KEY_NUMA},
    };
    bool any = false;
    struct str rest = policy, piece;
    while (str_split(&rest, ',', &piece))
        for (size_t i = 0; i < sizeof(TOKENS) / sizeof(TOKENS[0]); i++)
            if (str_eq(str_trim(piece), TOKENS[i].token)) {
                chain_add(&c, TOKENS[i].key);
                any = true;
            }
    if (!any)
        chain_add(&c, SCORE_KEY_SPREAD);
    return c;
}

/* ---- weights ---- */

#define WEIGHT_MAX 1000000
#define QUOTE_MAX  160 /* of a value in a text; longer ones are cut */

/* Go's strconv.Quote for what err texts may hold: one line, controls escaped. */
static void quote(struct str s, char out[QUOTE_MAX + 16])
{
    size_t n = 0;
    bool utf8 = str_utf8_valid(s);
    out[n++] = '"';
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        static const char NAMED[] = "\a\b\f\n\r\t\v\\\"", LETTER[] = "abfnrtv\\\"";
        const char *named = NULL;
        for (const char *at = NAMED; *at; at++)
            if ((unsigned char)*at == c)
                named = at;
        if (n >= QUOTE_MAX) {
            for (int dots = 0; dots < 3; dots++)
                out[n++] = '.';
            break;
        }
        if (named) {
            out[n++] = '\\';
            out[n++] = LETTER[named - NAMED];
        } else if (c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8)) {
            n += (size_t)snprintf(out + n, 5, "\\x%02x", c);
        } else {
            out[n++] = (char)c;
        }
    }
    out[n++] = '"';
    out[n] = '\0';
}

MUST_USE static enum err_code bad_weights(struct str value, const char *what, struct err *err)
{
    char quoted[QUOTE_MAX + 16];
    quote(value, quoted);
    return err_set(err, ERR_INVALID, "invalid hami.io/device-scoring-weights annotation %s: %s",
                   quoted, what);
}

MUST_USE static enum err_code read_weights(struct str value, struct score_policy *ret,
                                           struct err *err)
{
    const struct {
        struct str key;
        int32_t *weight;
    } known[] = {
        {STR("slot"), &ret->weight_slot},
        {STR("core"), &ret->weight_core},
        {STR("memory"), &ret->weight_mem},
    };
    enum { PARTS = 3 };
    struct str rest = value, part, seen[PARTS];
    int parts = 0;
    while (str_split(&rest, ',', &part))
        parts++;
    if (parts != PARTS)
        return bad_weights(value, "expected slot, core, and memory weights", err);
    bool any = false;
    rest = value;
    for (int i = 0; i < PARTS && str_split(&rest, ',', &part); i++) {
        char quoted[QUOTE_MAX + 16], what[QUOTE_MAX + 64];
        struct str text = str_trim(part), key = {0};
        if (!str_split(&text, '=', &key) || !text.p)
            return bad_weights(value, "expected key=value entries", err);
        seen[i] = key = str_trim(key);
        text = str_trim(text);
        quote(key, quoted);
        for (int j = 0; j < i; j++)
            if (str_eq(seen[j], key)) {
                (void)snprintf(what, sizeof(what), "duplicate %s weight", quoted);
                return bad_weights(value, what, err);
            }
        const char *fault = NULL;
        int64_t weight;
        int32_t *to = NULL;
        for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
            if (str_eq(known[k].key, key))
                to = known[k].weight;
        if (!str_int(text, INT64_MIN, INT64_MAX, &weight))
            fault = "must be an integer";
        else if (weight < 0)
            fault = "must not be negative";
        else if (to && weight > WEIGHT_MAX)
            fault = "must not exceed 1000000";
        if (fault)
            (void)snprintf(what, sizeof(what), "%s weight %s", quoted, fault);
        else if (!to)
            (void)snprintf(what, sizeof(what), "unknown weight %s", quoted);
        if (fault || !to)
            return bad_weights(value, what, err);
        *to = (int32_t)weight;
        any = any || weight > 0;
    }
    if (!any)
        return bad_weights(value, "at least one weight must be positive", err);
    return ERR_OK;
}

enum err_code vendor_policy(struct str node_policy, struct str card_policy, struct str weights,
                            bool numa_bind, struct score_policy *ret, struct err *err)
{
    struct score_policy p = SCORE_POLICY_DEFAULT;
    p.node_spread = str_eq(node_policy, STR("spread"));
    if (weights.p) {
        enum err_code rc = read_weights(weights, &p, err);
        if (rc)
            return rc;
    }
    struct chain c = card_chain(card_policy, numa_bind);
    for (unsigned i = 0; i < sizeof(p.card) / sizeof(p.card[0]); i++)
        p.card[i] = i < c.n ? c.key[i] : SCORE_KEY_NONE;
    p.card_mutex = has_token(card_policy, STR("mutex"));
    p.topology_aware = has_token(card_policy, STR("topology-aware"));
    *ret = p;
    return ERR_OK;
}
