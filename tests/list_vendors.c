/* The facts of a maker's page (docs/vendors) as the table of rows has them, in Markdown:
 *     list_vendors SECTION      the rows of a section of HAMi's device configuration
 * tests/check_vendor_pages holds the pages to it. */
#include "base/own.h"
#include "vendor/vendor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

DEFINE_CLEANUP(struct vendor_table *, vendor_table_free)

static struct str section; /* whose rows are told */
static const struct vendor_table *table;

/* The next row of the section behind `row`; NULL: there is none. */
static const struct vendor *next(const struct vendor *row)
{
    for (uint16_t i = 0; i < vendor_count(table); i++) {
        const struct vendor *v = vendor_at(table, i);
        if ((!row || v > row) && str_eq(v->section, section))
            return v;
    }
    return NULL;
}

/* ---- tables: lines that several rows have in common are told once, with the keys they hold for
 * ---- */

#define LINE_MAX_BYTES  512
#define TEMPLATES_SHOWN 16 /* more lines than any row has */
#define KEY_WORD                                                                                   \
    "KEY" /* stands for the row's own key in names, where the section has several rows */

/* Writes the cells of line `i` of a row; nothing: the row has no such line. */
typedef void write_line(const struct vendor *v, size_t i, FILE *out);

static bool alone(void) { return next(next(NULL)) == NULL; }

/* Whether the section's rows are one maker's chips, whose names hold their keys. */
static bool by_key(void)
{
    for (const struct vendor *v = NULL; (v = next(v)) != NULL;)
        if (!str_contains(v->res_count, v->core.key))
            return false;
    return !alone();
}

static void write_name(const struct vendor *v, struct str name, FILE *out)
{
    (void)fputc('`', out);
    for (size_t i = 0; i < name.n;) {
        struct str rest = {name.p + i, name.n - i};
        if (by_key() && str_has_prefix(rest, v->core.key)) {
            (void)fputs(KEY_WORD, out);
            i += v->core.key.n;
        } else {
            (void)fputc(name.p[i++], out);
        }
    }
    (void)fputc('`', out);
}

static void line_of(const struct vendor *v, write_line *write, size_t i, char line[LINE_MAX_BYTES])
{
    memset(line, 0, LINE_MAX_BYTES);
    FILE *out = fmemopen(line, LINE_MAX_BYTES - 1, "w");
    if (!out)
        abort();
    write(v, i, out);
    (void)fclose(out);
}

/* The keys of the rows that have this line, of which `v` is the first. */
static void print_holders(const struct vendor *v, write_line *write, size_t i, const char *line)
{
    size_t rows = 0, holders = 0;
    char keys[LINE_MAX_BYTES] = "", other[LINE_MAX_BYTES];
    for (const struct vendor *w = NULL; (w = next(w)) != NULL; rows++) {
        line_of(w, write, i, other);
        if (w < v || strcmp(line, other) != 0)
            continue;
        size_t used = strlen(keys);
        (void)snprintf(keys + used, sizeof(keys) - used, " `" STR_FMT "`", STR_ARG(w->core.key));
        holders++;
    }
    printf("%s", holders == rows ? " all" : keys);
}

static void print_table(const char *title, const char *head, write_line *write, size_t n)
{
    bool any = false;
    for (const struct vendor *v = NULL; (v = next(v)) != NULL;)
        for (size_t i = 0; i < n; i++) {
            char line[LINE_MAX_BYTES], other[LINE_MAX_BYTES];
            line_of(v, write, i, line);
            bool told = line[0] == '\0';
            for (const struct vendor *w = next(NULL); w && w < v && !told; w = next(w)) {
                line_of(w, write, i, other);
                told = strcmp(line, other) == 0;
            }
            if (told)
                continue;
            if (!any) {
                printf("\n### %s\n\n| %s |%s\n|", title, head, alone() ? "" : " of |");
                for (const char *c = head; *c; c++)
                    if (*c == '|')
                        printf("---|");
                printf("---|%s\n", alone() ? "" : "---|");
            }
            any = true;
            printf("| %s |", line);
            if (!alone())
                print_holders(v, write, i, line);
            printf("%s\n", alone() ? "" : " |");
        }
}

/* ---- resources ---- */

static const char *each(const struct vendor *v)
{
    return v->rules & VENDOR_RULE_TOTALS ? "of all cards together" : "of each card";
}

static void write_memory(const struct vendor *v, FILE *out)
{
    if (v->mem_factor > 1)
        (void)fprintf(out, "memory %s, in units of %d MiB", each(v), v->mem_factor);
    else
        (void)fprintf(out, "memory %s, in MiB", each(v));
}

static void write_unit(const struct vendor *v, enum vendor_resource what, FILE *out)
{
    switch (what) {
    case VENDOR_RES_COUNT:
        (void)fprintf(out, "cards, up to %d%s", SCORE_PARTS_MAX,
                      v->rules & VENDOR_RULE_PAIRS ? "; 1 or an even number" : "");
        return;
    case VENDOR_RES_MEM:
        if (v->core.amount == SCORE_AMOUNT_PROFILE)
            (void)fprintf(out, "memory of one slice: MiB, or GB where the number is small");
        else if (v->rules & VENDOR_RULE_MEM_BYTES)
            (void)fprintf(out, "memory %s: bytes with a suffix (`4Gi`), else %d MiB", each(v),
                          v->mem_factor);
        else
            write_memory(v, out);
        return;
    case VENDOR_RES_MEM_PCT:
        (void)fprintf(out, "percent of each card's memory");
        return;
    case VENDOR_RES_CORES:
        if (v->asking == VENDOR_ASKING_CORES)
            (void)fprintf(out, "cores: up to %d of one card, or a multiple of %d", v->cores_unit,
                          v->cores_unit);
        else if (v->cores_unit > 0)
            (void)fprintf(out, "cores %s, a card has %d", each(v), v->cores_unit);
        else
            (void)fprintf(out, "percent of the cores %s", each(v));
        if (v->cores_max > 0)
            (void)fprintf(out, ", %d to %d", v->cores_min, v->cores_max);
        if (v->rules & VENDOR_RULE_SOFT)
            (void)fprintf(out, "; only in soft split mode");
        return;
    case VENDOR_RES_SLICES:
        (void)fprintf(out, "slices of one card");
        return;
    case VENDOR_RES_PRIORITY:
        (void)fprintf(out, "value of the variable `" STR_FMT "`", STR_ARG(v->env_priority));
        return;
    case VENDOR_RES_COUNT_:
        break;
    }
}

static void write_default(const struct vendor *v, enum vendor_resource what, FILE *out)
{
    const bool whole = v->asking != VENDOR_ASKING_SLICES;
    if (what == VENDOR_RES_COUNT && v->rules & VENDOR_RULE_COUNT_FROM_PARTS)
        (void)fprintf(out, "%d, if another one is given", v->default_count);
    else if (what == VENDOR_RES_MEM && v->admit_mem > 0)
        (void)fprintf(out, "%d of each card", v->admit_mem);
    else if (what == VENDOR_RES_MEM && whole)
        (void)fprintf(out, "the whole card");
    else if (what == VENDOR_RES_CORES && v->rules & VENDOR_RULE_EXCLUSIVE_CORES)
        (void)fprintf(out, "100 with a whole card's memory, else none");
    else if (what == VENDOR_RES_CORES && v->admit_mem > 0)
        (void)fprintf(out, "%d of each card without memory or with more cards, else none",
                      v->admit_cores);
    else if (what == VENDOR_RES_CORES && v->admit_cores > 0)
        (void)fprintf(out, "none; %d of each with more than %d cards", v->admit_cores,
                      v->admit_above);
    else if (what == VENDOR_RES_CORES && v->default_cores_pct > 0)
        (void)fprintf(out, "%d", v->default_cores_pct);
    else
        (void)fprintf(out, "none");
}

static void write_resource(const struct vendor *v, size_t i, FILE *out)
{
    enum vendor_resource what = (enum vendor_resource)i;
    struct str name = vendor_resource_name(v, what);
    if (name.n == 0)
        return;
    write_name(v, name, out);
    (void)fprintf(out, " | ");
    write_unit(v, what, out);
    (void)fprintf(out, " | ");
    write_default(v, what, out);
}

/* Line 0: the quota of memory, 1: of cores. */
static void write_quota(const struct vendor *v, size_t i, FILE *out)
{
    struct str name = i == 0 ? v->quota_mem : v->quota_cores;
    if (name.n == 0)
        return;
    write_name(v, name, out);
    if (i == 0)
        (void)fprintf(out, " | %d MiB", v->quota_factor > 0 ? v->quota_factor : v->mem_factor);
    else
        (void)fprintf(out, v->core.amount == SCORE_AMOUNT_UNITS ? " | units of the cards"
                                                                : " | as the resource");
}

/* Line templates_n: the whole card. */
static void write_template(const struct vendor *v, size_t i, FILE *out)
{
    if (i < v->templates_n)
        (void)fprintf(out, "%lld | %lld | " STR_FMT, (long long)v->templates[i].mem_mib,
                      (long long)v->templates[i].mem_mib,
                      STR_ARG(v->templates[i].name.n > 0 ? v->templates[i].name : STR("–")));
    else if (i == v->templates_n && v->mem_most_mib > 0)
        (void)fprintf(out, "%lld | %lld | whole card", (long long)v->mem_most_mib,
                      (long long)v->mem_whole_mib);
}

/* ---- annotations ---- */

struct key {
    size_t field; /* of struct vendor */
    const char *meaning;
};
#define KEY(f, meaning)                                                                            \
    {                                                                                              \
        offsetof(struct vendor, f), meaning                                                        \
    }

static const struct key SELECTING[] = {
    KEY(pod_use_type, "only cards whose type holds one of these texts, in any case"),
    KEY(pod_nouse_type, "no cards whose type holds one of these texts"),
    KEY(pod_use_uuid, "only these cards"),
    KEY(pod_nouse_uuid, "not these cards"),
    KEY(pod_use_uuid2, "only these cards; both lists must allow a card"),
    KEY(pod_nouse_uuid2, "not these cards either"),
    KEY(pod_mode, "only cards whose mode is part of this text"),
    KEY(pod_numa_bind, "`true`: all cards of a container on one NUMA node"),
    KEY(pod_soft, "`hami-core`: cards are split in software; else by templates"),
    KEY(pod_class, "class of the pod"),
    KEY(pod_qos, "QoS policy of the pod"),
    KEY(pod_topology, "whether links between cards count in the node's score"),
};
static const struct key WRITTEN[] = {
    KEY(pod_allocated, "the cards by container, for as long as the pod is there"),
    KEY(pod_to_allocate, "the same list; the plugin empties it"),
    KEY(pod_mig, "placements of slices"),
    KEY(pod_assigned, "sizes of slices by container"),
    KEY(pod_request_count, "number of cards (admission)"),
};
static const struct key ON_NODES[] = {
    KEY(node_register, "annotation: the cards"),
    KEY(node_score, "annotation: values of pairs of cards"),
    KEY(node_handshake, "annotation: the plugin's sign of life; read, never written"),
    KEY(node_cordon, "annotation: cards that take nothing more"),
    KEY(node_soft, "annotation: `true` where cards are split in software"),
    KEY(node_loss, "annotation: what taking so many cards costs"),
    KEY(node_gain, "annotation: what taking so many cards yields"),
    KEY(node_kind_label, "label: the kind of machine"),
    KEY(node_lock, "annotation: the lock that bind takes and the plugin gives back"),
};

static struct str field(const struct vendor *v, const struct key *k)
{
    return *(const struct str *)(const void *)((const char *)v + k->field);
}

static void write_key(const struct vendor *v, const struct key *key, FILE *out)
{
    struct str name = field(v, key);
    if (name.n == 0 ||
        (key->field == offsetof(struct vendor, node_lock) && !(v->rules & VENDOR_RULE_LOCK)))
        return;
    write_name(v, name, out);
    (void)fprintf(out, " | %s", key->meaning);
}
static void write_selecting(const struct vendor *v, size_t i, FILE *out)
{
    write_key(v, &SELECTING[i], out);
}
static void write_written(const struct vendor *v, size_t i, FILE *out)
{
    write_key(v, &WRITTEN[i], out);
}
static void write_on_node(const struct vendor *v, size_t i, FILE *out)
{
    write_key(v, &ON_NODES[i], out);
}

static void print_inventory(void)
{
    for (const struct vendor *v = NULL; (v = next(v)) != NULL;) {
        if (v->inventory != VENDOR_INVENTORY_CAPACITY && v->inventory != VENDOR_INVENTORY_CORES)
            continue;
        printf("\n`" STR_FMT "`: cards are made from the node's capacity of `" STR_FMT "`",
               STR_ARG(v->core.key), STR_ARG(v->made.per_cores ? v->res_cores : v->res_count));
        if (v->made.per_card > 1)
            printf(", %d of it a card", v->made.per_card);
        printf("; their ids are `NODE" STR_FMT "0` and so on.\n", STR_ARG(v->made.infix));
    }
}

/* ---- why a card is refused ---- */

static void write_reason(const struct vendor *v, size_t i, FILE *out)
{
    enum score_reason reason = (enum score_reason)i;
    bool has = (v->core.select_reason ? v->core.select_reason
                                      : SCORE_ALLOCATED_CARDS_INSUFFICIENT_REQUEST) == reason;
    for (unsigned c = 0; c < SCORE_CHECK_COUNT_ && v->core.checks[c] != SCORE_CHECK_END; c++)
        has = has || score_check_reason(&v->core, v->core.checks[c]) == reason;
    if (has)
        (void)fprintf(out, "`%s` | %s", score_reason_code(reason), score_reason_help(reason));
}

int main(int argc, char **argv)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct err err = {0};
    if (argc != 2 || vendor_table_builtin(&t, &err)) {
        (void)fprintf(stderr, "usage: list_vendors SECTION%s\n", err.text);
        return EXIT_FAILURE;
    }
    section = str_z(argv[1]);
    table = t;
    if (!next(NULL)) {
        (void)fprintf(stderr, "no row of section %s\n", argv[1]);
        return EXIT_FAILURE;
    }
    if (by_key())
        printf("Below, `" KEY_WORD
               "` in a name stands for each of the keys that the line is of.\n");
    print_table("Resources", "resource | what it says | left out", write_resource,
                VENDOR_RES_COUNT_);
    print_table("What memory is rounded up to", "up to MiB | becomes | template", write_template,
                TEMPLATES_SHOWN);
    print_table("Quota of a namespace", "hard limit | unit", write_quota, 2);
    print_table("Annotations that a pod may carry", "name | meaning", write_selecting,
                COUNT(SELECTING));
    print_table("Annotations that are written on a pod", "name | meaning", write_written,
                COUNT(WRITTEN));
    print_table("On nodes", "name | meaning", write_on_node, COUNT(ON_NODES));
    print_inventory();
    print_table("Why a card is refused", "code | means", write_reason, SCORE_REASON_COUNT_);
    return EXIT_SUCCESS;
}
