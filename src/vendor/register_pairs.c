/* How a node's cards lie to each other: values of pairs (nvidia.md 7.1), tables by number of cards
 * (vendors-b.md 1d), the kind of machine (vendors-b.md 4d). What is wrong with these takes no card
 * away: the topology is not known then, and why is said (errata E-7). */
#include "vendor/register.h"

#include <stdlib.h>
#include <string.h>

struct named { /* positions by id */
    struct str id;
    uint16_t at;
};

struct pairs {
    struct named *by_id;
    uint16_t n;
    int32_t *of; /* [i * n + j], as written from i's side */
    bool *told;  /* by i: its entry was read, later ones don't count (E-11) */
};

static int by_id(const void *a, const void *b)
{
    return str_cmp(((const struct named *)a)->id, ((const struct named *)b)->id);
}

static const struct named *find(const struct pairs *p, struct str id)
{
    const struct named key = {.id = id};
    return bsearch(&key, p->by_id, p->n, sizeof(key), by_id);
}

static bool read_value(struct scan *s, int32_t *ret)
{
    int64_t v;
    *ret = 0;
    if (scan_null(s))
        return true;
    if (!scan_int(s, &v))
        return false;
    if (v < -SCORE_PAIR_MAX || v > SCORE_PAIR_MAX)
        return scan_fail(s, "a value beyond 1,000,000");
    *ret = (int32_t)v;
    return true;
}

/* One element; `row` is scratch of n. */
static void read_entry(struct scan *s, struct pairs *p, int32_t *row)
{
    struct str key, other, uuid = STR("");
    memset(row, 0, p->n * sizeof(*row));
    if (scan_null(s) || !scan_object(s))
        return;
    while (scan_key(s, &key)) {
        if (str_eq_fold(key, STR("uuid"))) {
            if (!scan_null(s))
                scan_string(s, &uuid);
        } else if (str_eq_fold(key, STR("score"))) {
            if (scan_null(s)) {
                memset(row, 0, p->n * sizeof(*row));
                continue;
            }
            if (!scan_object(s))
                return;
            while (scan_key(s, &other)) {
                const struct named *to = find(p, other);
                int32_t value;
                if (read_value(s, &value) && to)
                    row[to->at] = value;
            }
        } else {
            scan_skip(s);
        }
    }
    const struct named *from = s->fault ? NULL : find(p, uuid);
    if (!from || p->told[from->at])
        return;
    p->told[from->at] = true;
    memcpy(p->of + (size_t)from->at * p->n, row, p->n * sizeof(*row));
}

/* Not known, and this is why. */
static void fault(struct arena *arena, struct str name, const char *why, struct vendor_cards *ret)
{
    struct err text;
    err_ignore(err_set(&text, ERR_INVALID, "annotation " STR_FMT ": %s", STR_ARG(name), why));
    ret->topology_fault = arena_str(arena, str_z(text.text));
}

static void scan_fault(struct arena *arena, struct str name, const struct scan *s,
                       struct vendor_cards *ret)
{
    struct err text;
    (void)scan_err(s, "topology", &text);
    fault(arena, name, text.text, ret);
}

/* Both sides of each pair must say the same; all 0 is as good as nothing. */
static bool is_symmetric(const struct pairs *p, bool *ret_any)
{
    *ret_any = false;
    for (size_t i = 0; i < p->n; i++)
        for (size_t j = 0; j < i; j++) {
            if (p->of[i * p->n + j] != p->of[j * p->n + i])
                return false;
            *ret_any = *ret_any || p->of[i * p->n + j] != 0;
        }
    return true;
}

static void read_pairs(const struct vendor *v, struct str text, struct arena *arena,
                       struct vendor_cards *ret)
{
    const uint16_t n = ret->devices_n;
    struct pairs p = {.by_id = arena_array(arena, n, sizeof(*p.by_id)),
                      .n = n,
                      .of = arena_array(arena, (size_t)n * n, sizeof(*p.of)),
                      .told = arena_array(arena, n, sizeof(*p.told))};
    int32_t *row = arena_array(arena, n, sizeof(*row));
    bool any;
    if (arena_failed(arena))
        return;
    for (uint16_t i = 0; i < n; i++)
        p.by_id[i] = (struct named){ret->devices[i].id, i};
    qsort(p.by_id, n, sizeof(*p.by_id), by_id);
    struct scan s = scan_start(text, REGISTER_DEPTH_MAX, arena);
    if (!scan_null(&s) && scan_array(&s))
        while (scan_item(&s))
            read_entry(&s, &p, row);
    if (!scan_end(&s)) {
        scan_fault(arena, v->node_score, &s, ret);
        return;
    }
    for (size_t i = 0; i < n; i++)
        p.of[i * n + i] = 0; /* a card has no value with itself */
    if (!is_symmetric(&p, &any))
        fault(arena, v->node_score, "the two sides of a pair differ", ret);
    else if (any)
        ret->topology.pair = p.of;
}

/* {"1":0,"2":150}: by number of cards, as far as the node has cards. */
static const int32_t *read_table(struct str name, struct str text, struct arena *arena,
                                 struct vendor_cards *ret)
{
    const size_t counts_n = (size_t)ret->devices_n + 1;
    int32_t *table = arena_array(arena, counts_n, sizeof(*table));
    struct str key;
    if (!table)
        return NULL;
    for (size_t i = 0; i < counts_n; i++)
        table[i] = SCORE_TABLE_NONE;
    struct scan s = scan_start(text, REGISTER_DEPTH_MAX, arena);
    if (!scan_null(&s) && scan_object(&s))
        while (scan_key(&s, &key)) {
            int64_t count;
            int32_t value;
            if (!str_int(key, INT64_MIN, INT64_MAX, &count)) {
                scan_fail(&s, "a count that is no number");
                break;
            }
            if (read_value(&s, &value) && count >= 0 && (uint64_t)count < counts_n)
                table[count] = value;
        }
    if (scan_end(&s))
        return table;
    scan_fault(arena, name, &s, ret);
    return NULL;
}

enum err_code register_topology(const struct vendor *v, const struct vendor_node_text *text,
                                struct arena *arena, struct vendor_cards *ret, struct err *err)
{
    struct score_topology *t = &ret->topology;
    if (ret->devices_n == 0)
        return ERR_OK;
    if (text->pairs.p)
        read_pairs(v, text->pairs, arena, ret);
    if (text->loss.p)
        t->loss = read_table(v->node_loss, text->loss, arena, ret);
    if (text->gain.p)
        t->gain = read_table(v->node_gain, text->gain, arena, ret);
    if (arena_failed(arena))
        return err_set(err, ERR_NO_MEMORY, "topology");
    if (t->loss || t->gain)
        t->counts_n = (uint16_t)(ret->devices_n + 1);
    /* vendors-b.md 4g: machines whose kind says so take any neighbours, others blocks in place */
    t->aligned = v->node_kind_label.n > 0 &&
                 !(text->kind.p &&
                   (str_contains(text->kind, STR("inf")) || str_contains(text->kind, STR("Inf"))));
    if (ret->topology_fault.p)
        *t = (struct score_topology){.aligned = t->aligned};
    if (t->pair || t->loss || t->gain || v->node_kind_label.n > 0)
        t->n = ret->devices_n;
    return ERR_OK;
}
