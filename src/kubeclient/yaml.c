/* YAML or JSON text → JSON trees, as strictly as a cluster file deserves: a value that could be
 * read in two ways is refused with its place, never guessed. Plain scalars are typed by YAML 1.2's
 * core schema (true, null, 3, 0x1f, 1.5); quoted ones are strings. JSON is read as the subset of
 * YAML that it is. */
#include "kubeclient/priv.h"

#include "base/own.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum {
    DEPTH_MAX = 64,
    NUMBER_MAX = 64, /* characters of a plain scalar that is read as a number */
};
#define TEXT_MAX      ((size_t)512 << 20)
#define DOCUMENTS_MAX 1000000

struct frame {
    json_t *node;     /* borrowed: it hangs in its parent */
    char *key;        /* a mapping's key that waits for its value; owned */
    bool marks_items; /* the elements of the root's `items` */
};

struct reading {
    const char *path;
    struct err *err;
    json_t *documents;
    struct kube_marks *marks; /* may be NULL */
    struct frame stack[DEPTH_MAX];
    unsigned depth;
};

static enum err_code fault_at(const struct reading *r, const yaml_mark_t *at, const char *what)
{
    return err_set(r->err, ERR_BAD_REQUEST, "%s:%zu:%zu: %s", r->path, at->line + 1, at->column + 1,
                   what);
}

static enum err_code no_memory(const struct reading *r)
{
    return err_set(r->err, ERR_NO_MEMORY, "%s: no memory", r->path);
}

/* ---- scalars ---- */

static bool is_word(const char *s, const char *const words[], size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(s, words[i]) == 0)
            return true;
    return false;
}
#define IS_WORD(s, ...)                                                                            \
    is_word(s, (const char *const[]){__VA_ARGS__},                                                 \
            sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static const char *digits(const char *s)
{
    while (*s >= '0' && *s <= '9')
        s++;
    return s;
}

enum number { NUMBER_NONE, NUMBER_INT, NUMBER_FLOAT, NUMBER_UNCLEAR };

/* [-+]?[0-9]+ | 0o[0-7]+ | 0x[0-9a-fA-F]+ | [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static enum number number_form(const char *s, int *ret_base)
{
    *ret_base = 10;
    if (s[0] == '0' && (s[1] == 'o' || s[1] == 'x')) {
        const char *set = s[1] == 'o' ? "01234567" : "0123456789abcdefABCDEF";
        *ret_base = s[1] == 'o' ? 8 : 16;
        return s[2] && s[2 + strspn(s + 2, set)] == '\0' ? NUMBER_INT : NUMBER_NONE;
    }
    if (*s == '-' || *s == '+')
        s++;
    const char *whole = s, *p = digits(s);
    bool any = p > whole;
    bool zeros = p - whole > 1 && whole[0] == '0';
    if (any && *p == '\0')
        return zeros ? NUMBER_UNCLEAR : NUMBER_INT;
    if (*p == '.') {
        const char *frac = p + 1;
        p = digits(frac);
        any = any || p > frac;
    }
    if (!any)
        return NUMBER_NONE;
    if (*p == 'e' || *p == 'E') {
        p++;
        if (*p == '-' || *p == '+')
            p++;
        const char *exp = p;
        p = digits(exp);
        if (p == exp)
            return NUMBER_NONE;
    }
    if (*p)
        return NUMBER_NONE;
    return zeros ? NUMBER_UNCLEAR : NUMBER_FLOAT;
}

/* The value of a plain scalar; *ret is NULL on a fault, which is returned as a constant text (NULL:
 * no memory). */
static const char *plain_value(const char *s, size_t n, json_t **ret)
{
    *ret = NULL;
    if (n == 0 || IS_WORD(s, "~", "null", "Null", "NULL")) {
        *ret = json_null();
        return NULL;
    }
    if (IS_WORD(s, "true", "True", "TRUE", "false", "False", "FALSE")) {
        *ret = json_boolean(s[0] == 't' || s[0] == 'T');
        return NULL;
    }
    if (IS_WORD(s, ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF",
                ".nan", ".NaN", ".NAN"))
        return "infinities and NaN have no form in JSON";
    int base;
    enum number form = number_form(s, &base);
    if (form == NUMBER_NONE) {
        *ret = json_stringn(s, n);
        return NULL;
    }
    if (form == NUMBER_UNCLEAR)
        return "a number with leading zeros can be read in two ways: quote it, or write 0o…";
    if (n > NUMBER_MAX)
        return "a number of that many digits: quote it";
    if (form == NUMBER_INT) {
        errno = 0;
        long long v = strtoll(base == 10 ? s : s + 2, NULL, base);
        if (errno == 0) {
            *ret = json_integer(v);
            return NULL;
        }
        if (base != 10)
            return "a number beyond 64 bits";
    }
    double d = strtod(s, NULL);
    if (!isfinite(d))
        return "a number out of range";
    *ret = json_real(d);
    return NULL;
}

static enum err_code scalar(struct reading *r, const yaml_event_t *ev, json_t **ret)
{
    const char *tag = (const char *)ev->data.scalar.tag;
    const char *s = (const char *)ev->data.scalar.value;
    size_t n = ev->data.scalar.length;
    bool text = ev->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (tag) {
        if (strcmp(tag, "!") != 0 && strcmp(tag, YAML_STR_TAG) != 0)
            return fault_at(r, &ev->start_mark, "tags other than !!str are not read");
        text = true;
    }
    if (memchr(s, '\0', n))
        return fault_at(r, &ev->start_mark, "a NUL character");
    const char *fault = NULL;
    if (text)
        *ret = json_stringn(s, n);
    else
        fault = plain_value(s, n, ret);
    if (fault)
        return fault_at(r, &ev->start_mark, fault);
    return *ret ? ERR_OK : no_memory(r);
}

/* ---- structure ---- */

static enum err_code take_key(struct reading *r, struct frame *top, const yaml_event_t *ev)
{
    if (ev->type != YAML_SCALAR_EVENT)
        return fault_at(r, &ev->start_mark, "a key must be a string");
    if (ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !ev->data.scalar.tag &&
        strcmp((const char *)ev->data.scalar.value, "<<") == 0)
        return fault_at(r, &ev->start_mark, "merge keys are not read");
    json_t *key = NULL;
    enum err_code rc = scalar(r, ev, &key);
    if (rc)
        return rc;
    if (!json_is_string(key)) {
        json_decref(key);
        return fault_at(r, &ev->start_mark, "a key must be a string: quote it");
    }
    bool again = json_object_get(top->node, json_string_value(key)) != NULL;
    top->key = again ? NULL : strdup(json_string_value(key));
    json_decref(key);
    if (again) {
        char text[160];
        (void)snprintf(text, sizeof(text), "key \"%.100s\" is there twice", ev->data.scalar.value);
        return fault_at(r, &ev->start_mark, text);
    }
    return top->key ? ERR_OK : no_memory(r);
}

/* Hangs `value` (taken) where the text has it: in the innermost container, or as a document. */
static enum err_code put(struct reading *r, json_t *value, const yaml_event_t *ev)
{
    if (r->depth == 0) {
        if (json_array_size(r->documents) >= DOCUMENTS_MAX) {
            json_decref(value);
            return fault_at(r, &ev->start_mark, "too many documents");
        }
        if (kube_marks_add(r->marks, ev->start_mark.line + 1, ev->start_mark.column + 1)) {
            json_decref(value);
            return no_memory(r);
        }
        return json_array_append_new(r->documents, value) ? no_memory(r) : ERR_OK;
    }
    struct frame *top = &r->stack[r->depth - 1];
    if (json_is_array(top->node)) {
        if (top->marks_items &&
            kube_marks_add(r->marks, ev->start_mark.line + 1, ev->start_mark.column + 1)) {
            json_decref(value);
            return no_memory(r);
        }
        return json_array_append_new(top->node, value) ? no_memory(r) : ERR_OK;
    }
    char *key CLEANUP(free_p) = TAKE(top->key);
    return json_object_set_new(top->node, key, value) ? no_memory(r) : ERR_OK;
}

static enum err_code open_container(struct reading *r, const yaml_event_t *ev)
{
    bool map = ev->type == YAML_MAPPING_START_EVENT;
    const char *tag =
        (const char *)(map ? ev->data.mapping_start.tag : ev->data.sequence_start.tag);
    if (tag && strcmp(tag, map ? YAML_MAP_TAG : YAML_SEQ_TAG) != 0)
        return fault_at(r, &ev->start_mark, "tags other than !!str are not read");
    if (r->depth == DEPTH_MAX)
        return fault_at(r, &ev->start_mark, "nested deeper than 64 levels");
    struct frame *up = r->depth ? &r->stack[r->depth - 1] : NULL;
    bool items = !map && r->depth == 1 && up->key && strcmp(up->key, "items") == 0;
    json_t *node = map ? json_object() : json_array();
    if (!node)
        return no_memory(r);
    enum err_code rc = put(r, node, ev);
    if (rc)
        return rc;
    r->stack[r->depth++] = (struct frame){.node = node, .marks_items = items};
    return ERR_OK;
}

static enum err_code on_event(struct reading *r, const yaml_event_t *ev)
{
    struct frame *top = r->depth ? &r->stack[r->depth - 1] : NULL;
    switch (ev->type) {
    case YAML_ALIAS_EVENT:
        return fault_at(r, &ev->start_mark, "aliases are not read");
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        r->depth--;
        return ERR_OK;
    case YAML_SCALAR_EVENT:
    case YAML_MAPPING_START_EVENT:
    case YAML_SEQUENCE_START_EVENT:
        break;
    default: /* stream and document borders */
        return ERR_OK;
    }
    if (top && json_is_object(top->node) && !top->key)
        return take_key(r, top, ev);
    if (ev->type != YAML_SCALAR_EVENT)
        return open_container(r, ev);
    json_t *value = NULL;
    enum err_code rc = scalar(r, ev, &value);
    return rc ? rc : put(r, value, ev);
}

static yaml_mark_t mark_of(struct str text, size_t offset)
{
    yaml_mark_t at = {0};
    for (size_t i = 0; i < text.n && i < offset; i++) {
        at.column++;
        if (text.p[i] == '\n') {
            at.line++;
            at.column = 0;
        }
    }
    return at;
}

/* libyaml's own complaint. Its reader's faults carry a byte offset instead of a mark. */
static enum err_code library_fault(struct reading *r, const yaml_parser_t *p, struct str text)
{
    if (p->error == YAML_MEMORY_ERROR)
        return no_memory(r);
    const char *problem = p->problem ? p->problem : "not YAML";
    if (p->error != YAML_READER_ERROR)
        return fault_at(r, &p->problem_mark, problem);
    yaml_mark_t at = mark_of(text, p->problem_offset);
    return fault_at(r, &at, problem);
}

/* The value of a \u escape at `at`; 0: there is none. */
static uint32_t escaped_unit(struct str text, size_t at)
{
    uint32_t v = 0;
    if (at + 6 > text.n || text.p[at] != '\\' || text.p[at + 1] != 'u')
        return 0;
    for (size_t i = at + 2; i < at + 6; i++) {
        char c = text.p[i];
        if (c >= '0' && c <= '9')
            v = v << 4 | (uint32_t)(c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            v = v << 4 | (uint32_t)((c | 0x20) - 'a' + 10);
        else
            return 0;
    }
    return v;
}

/* JSON spells characters beyond U+FFFF as two \u escapes, which YAML knows as \U and eight digits.
 * Rewrites them in a text that starts as JSON does; *ret stays NULL when there is nothing to do. */
static enum err_code join_surrogates(struct str text, char **ret, size_t *ret_n)
{
    size_t i = 0;
    while (i < text.n &&
           (text.p[i] == ' ' || text.p[i] == '\n' || text.p[i] == '\t' || text.p[i] == '\r'))
        i++;
    if (i == text.n || (text.p[i] != '{' && text.p[i] != '['))
        return ERR_OK;
    if (!memmem(text.p, text.n, "\\ud", 3) && !memmem(text.p, text.n, "\\uD", 3))
        return ERR_OK;
    char *out = malloc(text.n + 1);
    if (!out)
        return ERR_NO_MEMORY;
    size_t n = 0;
    for (i = 0; i < text.n;) {
        if (text.p[i] != '\\' || text.n - i < 2) {
            out[n++] = text.p[i++];
            continue;
        }
        uint32_t hi = escaped_unit(text, i), lo = escaped_unit(text, i + 6);
        if (hi >= 0xd800 && hi < 0xdc00 && lo >= 0xdc00 && lo < 0xe000) {
            uint32_t code = 0x10000 + ((hi - 0xd800) << 10) + (lo - 0xdc00);
            n += (size_t)sprintf(out + n, "\\U%08x", code); /* 10 characters for 12 */
            i += 12;
            continue;
        }
        out[n++] = text.p[i++]; /* the escape's two characters together: "\\\\ud83d" is no escape */
        out[n++] = text.p[i++];
    }
    *ret = out;
    *ret_n = n;
    return ERR_OK;
}

static enum err_code parse_text(struct str text, const char *path, json_t **ret,
                                struct kube_marks *marks, struct err *err)
{
    struct reading r = {.path = path, .err = err, .marks = marks};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser))
        return no_memory(&r);
    yaml_parser_set_input_string(&parser, (const unsigned char *)(text.p ? text.p : ""), text.n);
    enum err_code rc = ERR_OK;
    r.documents = json_array();
    if (!r.documents)
        rc = no_memory(&r);
    for (bool more = true; more && !rc;) {
        yaml_event_t ev;
        if (!yaml_parser_parse(&parser, &ev)) {
            rc = library_fault(&r, &parser, text);
            break;
        }
        more = ev.type != YAML_STREAM_END_EVENT;
        rc = on_event(&r, &ev);
        yaml_event_delete(&ev);
    }
    for (unsigned i = 0; i < r.depth; i++)
        free(r.stack[i].key);
    yaml_parser_delete(&parser);
    if (rc) {
        json_decref(r.documents);
        return rc;
    }
    *ret = r.documents;
    return ERR_OK;
}

/* YAML 1.1, which the library reads, breaks lines at U+0085, U+2028 and U+2029, and would make
 * spaces of them within quotes; JSON and YAML 1.2 don't. The first one's offset; text.n: there is
 * none. */
static size_t odd_break(struct str text)
{
    static const char *const BREAKS[] = {"\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};
    size_t first = text.n;
    for (size_t i = 0; i < sizeof(BREAKS) / sizeof(BREAKS[0]); i++) {
        const char *p = first ? memmem(text.p, first, BREAKS[i], strlen(BREAKS[i])) : NULL;
        if (p)
            first = (size_t)(p - text.p);
    }
    return first;
}

enum err_code kube_yaml_parse_marked(struct str text, const char *path, json_t **ret,
                                     struct kube_marks *marks, struct err *err)
{
    if (text.n > TEXT_MAX)
        return err_set(err, ERR_TOO_LARGE, "%s: more than 512 MiB", path);
    size_t odd = odd_break(text);
    if (odd < text.n) {
        struct reading r = {.path = path, .err = err};
        yaml_mark_t at = mark_of(text, odd);
        return fault_at(&r, &at,
                        "a line break of other worlds (U+0085, U+2028, U+2029): escape it");
    }
    char *joined = NULL;
    size_t joined_n = 0;
    if (join_surrogates(text, &joined, &joined_n))
        return err_set(err, ERR_NO_MEMORY, "%s: no memory", path);
    enum err_code rc =
        parse_text(joined ? (struct str){joined, joined_n} : text, path, ret, marks, err);
    free(joined);
    return rc;
}

enum err_code kube_yaml_parse(struct str text, const char *path, json_t **ret_array_of_documents,
                              struct err *err)
{
    return kube_yaml_parse_marked(text, path, ret_array_of_documents, NULL, err);
}

/* ---- places of objects ---- */

int kube_marks_add(struct kube_marks *m, size_t line, size_t column)
{
    if (!m)
        return 0;
    if (m->n == m->cap) {
        size_t cap = m->cap ? m->cap * 2 : 64;
        struct kube_mark *v = reallocarray(m->v, cap, sizeof(*v));
        if (!v)
            return -1;
        m->v = v;
        m->cap = cap;
    }
    m->v[m->n++] = (struct kube_mark){line, column};
    return 0;
}

void kube_marks_done(struct kube_marks *m)
{
    free(m->v);
    *m = (struct kube_marks){0};
}
