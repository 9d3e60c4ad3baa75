/* The in-process API store of file mode: an API server's memory without the server.
 *
 * An object is an immutable, counted text; a write reads the present text, makes the next one
 * without a lock held (rules.c), and puts it in place if nobody was faster, as kube-apiserver does
 * with etcd. Every change goes into its kind's history, from which watches are served. One lock
 * guards it all and is never held over JSON or a callback. */
#include "kubeclient/priv.h"

#include "base/hash.h"
#include "base/map.h"
#include "base/own.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    FIELDS_MAX = 10,
    EVENTS_KEPT_DEFAULT = 100000,
    WATCH_BATCH = 256,
    STOP_POLL_MS = 100, /* how soon a watch sees `stop` */
    BOOKMARK_S = 60,
    WATCH_MIN_S = 300, /* and up to twice that, as the server's clients do */
    FAULTS_MAX = 64,
    LATE_MAX = 4096,
    BODY_DEPTH_MAX = 512,
};
#define OBJECTS_DEFAULT ((size_t)1000000)
#define HISTORY_BYTES_MAX                                                                          \
    ((size_t)256 << 20) /* of texts that only the history holds on to, each kind */
#define OBJECT_BYTES_MAX ((size_t)3 << 20) /* the API server's bound of a request's body */

/* ---- one state of one object ---- */

struct text {
    _Atomic unsigned refs;
    enum kube_kind kind;
    uint64_t rv;
    size_t n;
    size_t rv_at, rv_n;            /* where the digits of resourceVersion stand */
    uint32_t field_at[FIELDS_MAX]; /* values of the field selectors, behind the text; 0: empty */
    char p[];
};

static struct text *text_ref(struct text *t)
{
    if (t)
        (void)atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

static void text_unref(struct text *t)
{
    if (t && atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) == 1)
        free(t);
}
DEFINE_CLEANUP(struct text *, text_unref)

/* The fields that a kind can be selected by (contract/kubernetes.md 2.2), as paths. */
static const char *const FIELDS[KUBE_KIND_COUNT_][FIELDS_MAX] = {
    [KUBE_NODE] = {"metadata.name", "spec.unschedulable"},
    [KUBE_POD] = {"metadata.name", "metadata.namespace", "spec.nodeName", "spec.restartPolicy",
                  "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork",
                  "status.phase", "status.podIP", "status.nominatedNodeName"},
    [KUBE_QUOTA] = {"metadata.name", "metadata.namespace"},
    [KUBE_LEASE] = {"metadata.name", "metadata.namespace"},
    [KUBE_EVENT] = {"metadata.name", "metadata.namespace", "involvedObject.kind",
                    "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
                    "reason", "type", "reportingComponent", "source"},
};

static const char *field_value(const json_t *object, const char *path)
{
    char part[64];
    const json_t *node = object;
    for (const char *p = path; *p; p += *p == '.') {
        size_t n = strcspn(p, ".");
        assert(n < sizeof(part));
        memcpy(part, p, n);
        part[n] = '\0';
        node = json_object_get(node, part);
        p += n;
    }
    bool flag = strcmp(path, "spec.unschedulable") == 0 || strcmp(path, "spec.hostNetwork") == 0;
    if (flag)
        return json_is_true(node) ? "true" : "false";
    const char *s = json_string_value(node);
    return s ? s : "";
}

static int add_bytes(const char *p, size_t n, void *ctx)
{
    struct buf *b = ctx;
    buf_add(b, (struct str){p, n});
    return b->failed ? -1 : 0;
}

/* By way of our own buffer, whose failure sticks: json_dumps() can lose a piece when memory is
 * short, and say nothing. */
static bool add_json(struct buf *b, const json_t *value)
{
    return json_dump_callback(value, add_bytes, b, JSON_COMPACT | JSON_ENCODE_ANY) == 0 &&
           !b->failed;
}

/* The text of `object` with room for a resourceVersion, which is written when its number is known.
 * NULL: no memory, or
 * (*ret_large) too large. */
static struct text *text_new(enum kube_kind kind, const json_t *object, bool *ret_large)
{
    struct buf b;
    buf_init(&b, OBJECT_BYTES_MAX * 2);
    const char *key;
    json_t *value;
    size_t rv_at = 0;
    bool good = true;
    buf_char(&b, '{');
    json_object_foreach((json_t *)object, key, value)
    {
        if (b.n > 1)
            buf_char(&b, ',');
        buf_json(&b, str_z(key));
        buf_char(&b, ':');
        good = good && add_json(&b, value);
        if (good && strcmp(key, "metadata") == 0 && !b.failed) {
            b.n--; /* its '}': resourceVersion is the last of metadata */
            buf_add(&b, STR(",\"resourceVersion\":\""));
            rv_at = b.n;
            buf_add(&b, STR("\"}"));
        }
    }
    buf_char(&b, '}');
    struct text *t = NULL;
    size_t n = b.n, fields = 0;
    *ret_large = !b.failed && n > OBJECT_BYTES_MAX;
    for (int i = 0; i < FIELDS_MAX && FIELDS[kind][i]; i++)
        fields += strlen(field_value(object, FIELDS[kind][i])) + 1;
    if (good && !b.failed && !*ret_large)
        t = malloc(sizeof(*t) + n + 21 + fields);
    if (t) {
        *t = (struct text){.refs = 1, .kind = kind, .n = n, .rv_at = rv_at};
        memcpy(t->p, b.p, n);
        size_t at = n + 21; /* 20 digits and the NUL */
        for (int i = 0; i < FIELDS_MAX && FIELDS[kind][i]; i++) {
            const char *s = field_value(object, FIELDS[kind][i]);
            size_t len = strlen(s) + 1;
            memcpy(t->p + at, s, len);
            t->field_at[i] = len == 1 ? 0 : (uint32_t)at;
            at += len;
        }
    }
    buf_done(&b);
    return t;
}

/* Room was left for it: cannot fail. Once per text. */
static void text_number(struct text *t, uint64_t rv)
{
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)rv);
    memmove(t->p + t->rv_at + n, t->p + t->rv_at, t->n - t->rv_at);
    memcpy(t->p + t->rv_at, digits, (size_t)n);
    t->rv = rv;
    t->rv_n = (size_t)n;
    t->n += (size_t)n;
    t->p[t->n] = '\0';
}

static const char *text_field(const struct text *t, unsigned field)
{
    return t->field_at[field] ? t->p + t->field_at[field] : "";
}

/* ---- field selectors ---- */

enum { SELECTOR_MAX = 8, SELECTOR_BYTES = 512 };
struct selector {
    unsigned n;
    struct {
        unsigned field;
        bool negated;
        const char *value;
    } term[SELECTOR_MAX];
    const char *ns; /* NULL: all */
    char bytes[SELECTOR_BYTES];
};

static enum err_code selector_parse(enum kube_kind kind, const char *text, const char *ns,
                                    struct selector *s, struct err *err)
{
    *s = (struct selector){.ns = ns && *ns ? ns : NULL};
    if (!text || !*text)
        return ERR_OK;
    if (strlen(text) >= sizeof(s->bytes))
        return err_set(err, ERR_BAD_REQUEST, "the field selector is too long");
    (void)strcpy(s->bytes, text);
    char *save = NULL;
    for (char *t = strtok_r(s->bytes, ",", &save); t; t = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(t, '=');
        if (!eq || s->n == SELECTOR_MAX)
            return err_set(err, ERR_BAD_REQUEST, "field selector \"%s\" can't be read", text);
        bool negated = eq > t && eq[-1] == '!';
        const char *value = eq[1] == '=' ? eq + 2 : eq + 1;
        eq[negated ? -1 : 0] = '\0';
        unsigned f = 0;
        while (f < FIELDS_MAX && FIELDS[kind][f] && strcmp(FIELDS[kind][f], t) != 0)
            f++;
        if (f == FIELDS_MAX || !FIELDS[kind][f])
            return err_set(err, ERR_BAD_REQUEST, "field label not supported: %s", t);
        s->term[s->n].field = f;
        s->term[s->n].negated = negated;
        s->term[s->n++].value = value;
    }
    return ERR_OK;
}

/* Where metadata.namespace stands in FIELDS of every namespaced kind. */
enum { FIELD_NAMESPACE = 1 };

static bool selected(const struct selector *s, const struct text *t)
{
    if (s->ns && kube_kind_row(t->kind)->namespaced &&
        strcmp(text_field(t, FIELD_NAMESPACE), s->ns) != 0)
        return false;
    for (unsigned i = 0; i < s->n; i++)
        if ((strcmp(text_field(t, s->term[i].field), s->term[i].value) == 0) == s->term[i].negated)
            return false;
    return true;
}

/* ---- the store ---- */

struct object {
    char *key; /* "namespace/name" */
    size_t key_n;
    struct text *now; /* NULL: a free slot */
    uint32_t next_free;
};

struct change {
    enum kube_event_type type;
    uint64_t rv;
    struct text *now, *before; /* `now` of a deletion: the last state under the deletion's number */
};

struct history { /* a ring */
    struct change *v;
    size_t cap, first, n, bytes;
    uint64_t first_seq; /* of the oldest kept one */
    uint64_t gone_rv;   /* what is not after this can't be resumed from */
};

struct table {
    struct map *index; /* key → slot */
    struct object *v;
    uint32_t n, cap, free; /* free: first free slot, UINT32_MAX: none */
    struct history history;
    pthread_cond_t changed;
};

struct late {
    struct kube_request req;
    char *bytes; /* what req's strings borrow */
    struct late *next;
};

struct kube_store {
    struct kube kube;
    struct kube_store_config cfg;
    struct clock clock;
    const struct kube_store_observer *_Atomic observer; /* NULL: nobody */
    pthread_mutex_t lock;                               /* guards everything below */
    struct table tables[KUBE_KIND_COUNT_];
    size_t objects;
    uint64_t rv, writes, uids, cut; /* cut: how often all watches were */
    struct kube_fault_rule faults[FAULTS_MAX];
    size_t faults_n;
    struct late *late, **late_end;
    size_t late_n;
};

static struct kube_store *store_of(struct kube *k) { return (struct kube_store *)k; }

const struct clock *kube_store_clock(const struct kube_store *st) { return &st->clock; }

void kube_store_uid(struct kube_store *st, struct str ns, struct str name, char out[KUBE_UID_MAX])
{
    pthread_mutex_lock(&st->lock);
    uint64_t n = ++st->uids;
    pthread_mutex_unlock(&st->lock);
    uint64_t h = hash_str(hash_str(n, ns), name);
    /* The form of a random one; the last part makes it unique in this store. */
    (void)snprintf(out, KUBE_UID_MAX, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)(h >> 32),
                   (unsigned)(h >> 16) & 0xffff, (unsigned)h & 0xfff, (unsigned)(h >> 12) & 0xfff,
                   (unsigned long long)n & 0xffffffffffffULL);
}

/* ---- history ---- */

static void change_done(struct change *c)
{
    text_unref(c->now);
    text_unref(c->before);
}

/* Where the i-th kept change stands; i may be n. */
static size_t ring_at(const struct history *h, size_t i)
{
    size_t at = h->first + i;
    return at < h->cap ? at : at - h->cap;
}

static void history_drop_first(struct history *h)
{
    struct change *c = &h->v[h->first];
    h->gone_rv = c->rv;
    h->bytes -= c->now->n;
    change_done(c);
    h->first = ring_at(h, 1);
    h->first_seq++;
    h->n--;
}

/* Room for `more`, so that publishing can't fail; where `kept` is reached the oldest will go. */
static bool history_reserve_locked(struct history *h, size_t more, size_t kept)
{
    size_t want = h->n + more < kept ? h->n + more : kept;
    if (want <= h->cap)
        return true;
    size_t cap = h->cap ? h->cap : 256;
    while (cap < want)
        cap *= 2;
    if (cap > kept)
        cap = kept;
    struct change *v = calloc(cap, sizeof(*v));
    if (!v)
        return false;
    for (size_t i = 0; i < h->n; i++)
        v[i] = h->v[ring_at(h, i)];
    free(h->v);
    h->v = v;
    h->cap = cap;
    h->first = 0;
    return true;
}

/* Takes both references. */
static void publish_locked(struct kube_store *st, struct table *t, enum kube_event_type type,
                           struct text *now, struct text *before)
{
    struct history *h = &t->history;
    while (h->n > 0 && (h->n == h->cap || h->bytes + now->n > HISTORY_BYTES_MAX))
        history_drop_first(h);
    h->v[ring_at(h, h->n)] = (struct change){type, st->rv, now, before};
    h->n++;
    h->bytes += now->n;
    pthread_cond_broadcast(&t->changed);
}

/* ---- objects ---- */

static bool make_key(struct str ns, struct str name, struct buf *b)
{
    buf_add(b, ns);
    buf_char(b, '/');
    buf_add(b, name);
    return !b->failed;
}

static struct object *find_locked(const struct table *t, struct str key)
{
    uint32_t slot;
    return map_get(t->index, key, &slot) ? &t->v[slot] : NULL;
}

/* A slot for a new object under `key` (copied), not published yet; NULL: no memory. */
static struct object *insert_locked(struct kube_store *st, struct table *t, struct str key)
{
    if (t->free == UINT32_MAX && t->n == t->cap) {
        uint32_t cap = t->cap ? t->cap * 2 : 256;
        struct object *v = reallocarray(t->v, cap, sizeof(*v));
        if (!v)
            return NULL;
        t->v = v;
        t->cap = cap;
    }
    char *copy = str_dup_z(key);
    if (!copy)
        return NULL;
    uint32_t slot = t->free != UINT32_MAX ? t->free : t->n;
    if (map_put(t->index, (struct str){copy, key.n}, slot)) {
        free(copy);
        return NULL;
    }
    if (slot == t->n)
        t->n++;
    else
        t->free = t->v[slot].next_free;
    t->v[slot] = (struct object){.key = copy, .key_n = key.n};
    st->objects++;
    return &t->v[slot];
}

static void remove_locked(struct kube_store *st, struct table *t, struct object *o)
{
    (void)map_del(t->index, (struct str){o->key, o->key_n});
    free(o->key);
    text_unref(o->now);
    *o = (struct object){.next_free = t->free};
    t->free = (uint32_t)(o - t->v);
    st->objects--;
}

/* ---- faults ---- */

void kube_store_fault(struct kube_store *st, const struct kube_fault_rule *rule)
{
    pthread_mutex_lock(&st->lock);
    assert(st->faults_n < FAULTS_MAX);
    st->faults[st->faults_n] = *rule;
    if (rule->times == 0)
        st->faults[st->faults_n].times = 1;
    st->faults_n++;
    pthread_mutex_unlock(&st->lock);
}

void kube_store_fault_clear(struct kube_store *st)
{
    pthread_mutex_lock(&st->lock);
    st->faults_n = 0;
    pthread_mutex_unlock(&st->lock);
}

void kube_store_observe(struct kube_store *st, const struct kube_store_observer *o)
{
    atomic_store(&st->observer, o);
}

static void tell(struct kube_store *st, const struct kube_request *req)
{
    const struct kube_store_observer *o = atomic_load(&st->observer);
    if (o)
        o->call(o->ctx, req);
}

/* The fault that this call meets: of those that match, each counts it, and the first that is due
 * strikes. */
static struct kube_fault_rule next_fault(struct kube_store *st, enum kube_verb verb,
                                         enum kube_kind kind)
{
    struct kube_fault_rule hit = {.fault = KUBE_FAULT_NONE};
    pthread_mutex_lock(&st->lock);
    for (size_t i = 0; i < st->faults_n; i++) {
        struct kube_fault_rule *f = &st->faults[i];
        if ((f->verb >= 0 && f->verb != (int)verb) || (f->kind >= 0 && f->kind != (int)kind))
            continue;
        if (f->after > 0) {
            f->after--;
            continue;
        }
        if (hit.fault != KUBE_FAULT_NONE)
            continue;
        hit = *f;
        if (--f->times == 0) {
            memmove(f, f + 1, (st->faults_n - i - 1) * sizeof(*f));
            st->faults_n--;
            i--;
        }
    }
    pthread_mutex_unlock(&st->lock);
    return hit;
}

static bool put_off(struct kube_store *st, const struct kube_request *req)
{
    struct late *l = calloc(1, sizeof(*l));
    if (!l)
        return false;
    l->req = *req;
    l->bytes = malloc(req->ns.n + req->name.n + req->body.n + 1);
    if (!l->bytes) {
        free(l);
        return false;
    }
    struct str *parts[] = {&l->req.ns, &l->req.name, &l->req.body};
    char *p = l->bytes;
    for (size_t i = 0; i < 3; i++) {
        if (parts[i]->n)
            memcpy(p, parts[i]->p, parts[i]->n);
        parts[i]->p = p;
        p += parts[i]->n;
    }
    l->req.stop = NULL;
    pthread_mutex_lock(&st->lock);
    bool room = st->late_n < LATE_MAX;
    if (room) {
        *st->late_end = l;
        st->late_end = &l->next;
        st->late_n++;
    }
    pthread_mutex_unlock(&st->lock);
    if (!room) {
        free(l->bytes);
        free(l);
    }
    return room;
}

/* ---- single calls ---- */

/* The answer: an HTTP status and a text that is an object or a Status. */
struct answer {
    int status; /* 0: no memory */
    char *body;
    size_t body_n;
};

static struct answer answer_status(int status, const char *reason, const char *message)
{
    struct answer a = {.status = status};
    a.body = kube_status_text(status, reason, message);
    if (!a.body)
        return (struct answer){0};
    a.body_n = strlen(a.body);
    return a;
}

static struct answer answer_refusal(const struct kube_refusal *r)
{
    return r->status ? answer_status(r->status, r->reason, r->message) : (struct answer){0};
}

static struct answer answer_text(int status, const struct text *t)
{
    struct answer a = {.status = status, .body_n = t->n};
    a.body = str_dup_z((struct str){t->p, t->n});
    return a.body ? a : (struct answer){0};
}

static struct answer answer_not_found(const struct kube_request *req)
{
    struct kube_refusal r;
    (void)kube_refuse(&r, 404, "%s \"" STR_FMT "\" not found", kube_kind_row(req->kind)->resource,
                      STR_ARG(req->name));
    return answer_refusal(&r);
}

/* The present state of an object, counted; NULL: there is none. */
static struct text *present(struct kube_store *st, enum kube_kind kind, struct str key)
{
    pthread_mutex_lock(&st->lock);
    struct object *o = find_locked(&st->tables[kind], key);
    struct text *t = o ? text_ref(o->now) : NULL;
    pthread_mutex_unlock(&st->lock);
    return t;
}

enum put { PUT_DONE, PUT_RACE, PUT_FULL, PUT_NO_MEMORY };

/* Puts `next` where `old` stands, if it still does; or removes the object, with `next` as the state
 * that is told. */
static enum put put_locked(struct kube_store *st, enum kube_kind kind, struct str key,
                           struct text *old, struct text *next, bool removed)
{
    struct table *t = &st->tables[kind];
    struct object *o = find_locked(t, key);
    if ((o ? o->now : NULL) != old)
        return PUT_RACE;
    if (!history_reserve_locked(&t->history, 1, st->cfg.events_kept))
        return PUT_NO_MEMORY;
    if (!o) {
        if (st->objects >= st->cfg.objects_max)
            return PUT_FULL;
        o = insert_locked(st, t, key);
        if (!o)
            return PUT_NO_MEMORY;
    }
    st->rv++;
    st->writes++;
    text_number(next, st->rv);
    enum kube_event_type type = removed ? KUBE_DELETED : old ? KUBE_MODIFIED : KUBE_ADDED;
    publish_locked(st, t, type, text_ref(next), TAKE(o->now));
    if (removed)
        remove_locked(st, t, o);
    else
        o->now = text_ref(next);
    return PUT_DONE;
}

static struct answer try_write(struct kube_store *st, const struct kube_request *req,
                               struct str key, const json_t *body, const char *uid, bool *ret_again)
{
    struct text *old CLEANUP(text_unref_p) = present(st, req->kind, key);
    json_auto_t *old_tree = old ? json_loadb(old->p, old->n, 0, NULL) : NULL;
    if (old && !old_tree)
        return (struct answer){0};
    char old_rv[24] = "";
    if (old)
        (void)snprintf(old_rv, sizeof(old_rv), "%llu", (unsigned long long)old->rv);
    struct kube_write w = {.req = req,
                           .body = body,
                           .old = old_tree,
                           .old_rv = old_rv,
                           .uid = uid,
                           .now_ns = clock_wall_ns(&st->clock),
                           .binding_labels = st->cfg.binding_labels};
    struct kube_refusal refusal = {0};
    json_auto_t *next_tree = NULL;
    enum kube_outcome out = kube_rules_apply(&w, &next_tree, &refusal);
    if (out == KUBE_REFUSED)
        return answer_refusal(&refusal);
    if (out == KUBE_SAME)
        return answer_text(200, old);
    bool large = false;
    struct text *next CLEANUP(text_unref_p) = text_new(req->kind, next_tree, &large);
    if (!next)
        return large ? answer_status(413, "RequestEntityTooLarge", "the object is too large")
                     : (struct answer){0};
    pthread_mutex_lock(&st->lock);
    enum put put = put_locked(st, req->kind, key, old, next, out == KUBE_REMOVED);
    pthread_mutex_unlock(&st->lock);
    switch (put) {
    case PUT_RACE:
        *ret_again = true;
        return (struct answer){0};
    case PUT_FULL:
        return answer_status(403, "Forbidden", "the store is full");
    case PUT_NO_MEMORY:
        return (struct answer){0};
    default:
        break;
    }
    if (req->verb == KUBE_BIND)
        return answer_status(201, NULL, NULL);
    return answer_text(old ? 200 : 201, next);
}

/* The name of an object to be created; false: it has none. */
static bool new_name(const json_t *body, const char *uid, struct buf *out)
{
    const json_t *m = json_object_get(body, "metadata");
    const char *name = json_string_value(json_object_get(m, "name"));
    const char *prefix = json_string_value(json_object_get(m, "generateName"));
    if (name && *name)
        buf_add(out, str_z(name));
    else if (prefix && *prefix)
        buf_fmt(out, "%s%s", prefix, uid + strlen(uid) - 5);
    return out->n > 0;
}

static bool too_deep(const json_t *v, unsigned left)
{
    const char *key;
    json_t *item;
    size_t i;
    if (left == 0)
        return true;
    json_object_foreach((json_t *)v, key, item) if (too_deep(item, left - 1)) return true;
    json_array_foreach(v, i, item) if (too_deep(item, left - 1)) return true;
    return false;
}

static struct answer do_write(struct kube_store *st, const struct kube_request *req)
{
    json_auto_t *body = NULL;
    if (req->body.n > OBJECT_BYTES_MAX)
        return answer_status(413, "RequestEntityTooLarge",
                             "Request entity too large: limit is 3145728");
    if (req->body.n >
        0) /* a real server warns of a member that comes twice; here it is a mistake */
        body = json_loadb(req->body.p, req->body.n, JSON_REJECT_DUPLICATES, NULL);
    if (!body && (req->verb != KUBE_DELETE || req->body.n > 0))
        return answer_status(400, "BadRequest", "the body of the request can't be read as JSON");
    if (body && too_deep(body, BODY_DEPTH_MAX))
        return answer_status(400, "BadRequest", "the body of the request is nested too deeply");
    char uid[KUBE_UID_MAX] = "";
    struct str name = req->name;
    struct buf key, made;
    buf_init(&key, 1024);
    buf_init(&made, 1024);
    struct answer a = {0};
    bool named = true;
    if (req->verb == KUBE_CREATE || req->verb == KUBE_UPDATE) /* an update may make a lease */
        kube_store_uid(st, req->ns, STR(""), uid);
    if (req->verb == KUBE_CREATE) {
        named = new_name(body, uid, &made);
        name = (struct str){made.p, made.n};
    }
    if (named && req->verb == KUBE_CREATE && !made.failed) {
        json_t *m = json_object_get(body, "metadata");
        if (json_object_set_new(m, "name", json_stringn(made.p, made.n)))
            made.failed = true;
    }
    if (!named && !made.failed)
        a = answer_status(422, "Invalid",
                          "metadata.name: Required value: name or generateName is required");
    else if (!made.failed && make_key(req->ns, name, &key))
        for (bool again = true; again;) {
            again = false;
            a = try_write(st, req, (struct str){key.p, key.n}, body, uid, &again);
        }
    buf_done(&key);
    buf_done(&made);
    return a;
}

static struct answer do_get(struct kube_store *st, const struct kube_request *req)
{
    struct buf key;
    buf_init(&key, 1024);
    if (!make_key(req->ns, req->name, &key)) {
        buf_done(&key);
        return (struct answer){0};
    }
    struct text *t CLEANUP(text_unref_p) = present(st, req->kind, (struct str){key.p, key.n});
    buf_done(&key);
    return t ? answer_text(200, t) : answer_not_found(req);
}

static struct answer execute(struct kube_store *st, const struct kube_request *req)
{
    return req->verb == KUBE_GET ? do_get(st, req) : do_write(st, req);
}

static struct answer answer_fault(const struct kube_fault_rule *f, struct kube_response *ret)
{
    ret->retry_after_ms = f->retry_after_s * 1000;
    return answer_status(f->status, NULL, "a fault of the test");
}

static enum err_code store_call(struct kube *k, const struct kube_request *req,
                                struct kube_response *ret, struct err *err)
{
    struct kube_store *st = store_of(k);
    tell(st, req);
    struct kube_fault_rule f = next_fault(st, req->verb, req->kind);
    ret->sent = f.fault != KUBE_FAULT_REFUSED;
    struct answer a = {0};
    switch (f.fault) {
    case KUBE_FAULT_REFUSED:
        return kube_no_answer(req, false, "connection refused", err);
    case KUBE_FAULT_TIMEOUT_LATER:
        if (kube_verb_writes(req->verb) && !put_off(st, req))
            return err_set(err, ERR_NO_MEMORY, "no memory");
        return kube_no_answer(req, true, "no answer in time", err);
    case KUBE_FAULT_TIMEOUT_NEVER:
        return kube_no_answer(req, true, "no answer in time", err);
    case KUBE_FAULT_CUT_DONE:
        a = execute(st, req);
        free(a.body);
        return kube_no_answer(req, true, "the connection was cut", err);
    case KUBE_FAULT_STATUS_LATER:
        if (kube_verb_writes(req->verb) && !put_off(st, req))
            return err_set(err, ERR_NO_MEMORY, "no memory");
        a = answer_fault(&f, ret);
        break;
    case KUBE_FAULT_STATUS_DONE:
        a = execute(st, req);
        free(a.body);
        a = answer_fault(&f, ret);
        break;
    case KUBE_FAULT_STATUS:
        a = answer_fault(&f, ret);
        break;
    default:
        a = execute(st, req);
        break;
    }
    if (!a.status)
        return err_set(err, ERR_NO_MEMORY, "%s %s: no memory", kube_verb_name(req->verb),
                       kube_kind_row(req->kind)->resource);
    ret->http_status = a.status;
    ret->body = a.body;
    ret->body_n = a.body_n;
    return kube_status_err(req, a.status, (struct str){a.body, a.body_n}, true, err);
}

size_t kube_store_late(struct kube_store *st)
{
    pthread_mutex_lock(&st->lock);
    struct late *l = st->late;
    size_t n = st->late_n;
    st->late = NULL;
    st->late_end = &st->late;
    st->late_n = 0;
    pthread_mutex_unlock(&st->lock);
    while (l) {
        struct late *next = l->next;
        struct answer a = execute(st, &l->req);
        free(a.body);
        free(l->bytes);
        free(l);
        l = next;
    }
    return n;
}

/* ---- list ---- */

struct snapshot {
    struct text **v;
    size_t n;
    uint64_t rv, next_seq, cut;
};

static void snapshot_done(struct snapshot *s)
{
    for (size_t i = 0; i < s->n; i++)
        text_unref(s->v[i]);
    free(s->v);
    *s = (struct snapshot){0};
}

/* By key, as etcd keeps them. FIELDS of every kind start with the name, then the namespace. */
static int by_key(const void *a, const void *b)
{
    const struct text *x = *(struct text *const *)a, *y = *(struct text *const *)b;
    if (kube_kind_row(x->kind)->namespaced) {
        int c = strcmp(text_field(x, FIELD_NAMESPACE), text_field(y, FIELD_NAMESPACE));
        if (c)
            return c;
    }
    return strcmp(text_field(x, 0), text_field(y, 0));
}

static enum err_code take_snapshot(struct kube_store *st, enum kube_kind kind,
                                   const struct selector *sel, struct snapshot *ret,
                                   struct err *err)
{
    struct table *t = &st->tables[kind];
    struct snapshot s = {0};
    pthread_mutex_lock(&st->lock);
    s.v = calloc(t->n ? t->n : 1, sizeof(struct text *));
    if (s.v)
        for (uint32_t i = 0; i < t->n; i++)
            if (t->v[i].now && selected(sel, t->v[i].now))
                s.v[s.n++] = text_ref(t->v[i].now);
    s.rv = st->rv;
    s.next_seq = t->history.first_seq + t->history.n;
    s.cut = st->cut;
    pthread_mutex_unlock(&st->lock);
    if (!s.v)
        return err_set(err, ERR_NO_MEMORY, "list %s: no memory", kube_kind_row(kind)->resource);
    qsort(s.v, s.n, sizeof(struct text *), by_key);
    *ret = s;
    return ERR_OK;
}

/* A list or watch that a fault ends before it begins; *ret_cut: it breaks off in its course
 * instead. */
static enum err_code stream_fault(struct kube_store *st, enum kube_verb verb, enum kube_kind kind,
                                  int *ret_retry_ms, bool *ret_cut, struct err *err)
{
    struct kube_request req = {.verb = verb, .kind = kind};
    tell(st, &req);
    struct kube_fault_rule f = next_fault(st, verb, kind);
    *ret_cut = f.fault == KUBE_FAULT_CUT_DONE;
    switch (f.fault) {
    case KUBE_FAULT_REFUSED:
        return kube_no_answer(&req, false, "connection refused", err);
    case KUBE_FAULT_TIMEOUT_NEVER:
    case KUBE_FAULT_TIMEOUT_LATER:
        return kube_no_answer(&req, true, "no answer in time", err);
    case KUBE_FAULT_STATUS:
    case KUBE_FAULT_STATUS_DONE:
    case KUBE_FAULT_STATUS_LATER:
        if (ret_retry_ms)
            *ret_retry_ms = f.retry_after_s * 1000;
        return kube_status_err(&req, f.status, STR("a fault of the test"), true, err);
    default:
        return ERR_OK;
    }
}

static enum err_code parse_rv(const char *text, uint64_t *ret, struct err *err)
{
    int64_t v;
    if (!str_int(str_z(text), 0, INT64_MAX, &v))
        return err_set(err, ERR_BAD_REQUEST, "resourceVersion \"%s\" can't be read", text);
    *ret = (uint64_t)v;
    return ERR_OK;
}

static enum err_code store_list(struct kube *k, enum kube_kind kind,
                                const struct kube_list_options *opt, const _Atomic bool *stop,
                                const struct kube_list_handler *handler, char ret_rv[KUBE_RV_MAX],
                                struct err *err)
{
    struct kube_store *st = store_of(k);
    bool cut = false;
    uint64_t wanted = 0;
    struct selector sel;
    enum err_code rc = stream_fault(st, KUBE_LIST, kind, handler->retry_after_ms, &cut, err);
    if (!rc)
        rc = selector_parse(kind, opt->field_selector, opt->ns, &sel, err);
    if (!rc && opt->resource_version && *opt->resource_version)
        rc = parse_rv(opt->resource_version, &wanted, err);
    if (rc)
        return rc;
    struct snapshot s = {0};
    rc = take_snapshot(st, kind, &sel, &s, err);
    if (rc)
        return rc;
    if (wanted > s.rv)
        rc = err_set(err, ERR_UNAVAILABLE, "list %s: Too large resource version",
                     kube_kind_row(kind)->resource);
    size_t n = cut ? s.n / 2 : s.n;
    for (size_t i = 0; i < n && !rc; i++) {
        rc = stop && *stop ? err_set(err, ERR_CANCELLED, "the list was stopped")
                           : handler->item(handler->ctx, (struct str){s.v[i]->p, s.v[i]->n}, err);
    }
    if (!rc && cut)
        rc = err_set(err, ERR_UNAVAILABLE, "list %s: the connection was cut",
                     kube_kind_row(kind)->resource);
    if (!rc)
        (void)snprintf(ret_rv, KUBE_RV_MAX, "%llu", (unsigned long long)s.rv);
    snapshot_done(&s);
    return rc;
}

/* ---- watch ---- */

struct watching {
    struct kube_store *st;
    enum kube_kind kind;
    struct selector sel;
    const struct kube_watch_handler *handler;
    const _Atomic bool *stop;
    struct err *err;
    uint64_t next_seq, rv, cut; /* the next change to hand out; the last number seen */
    bool cut_next;              /* a fault: breaks off after the first event */
};

static enum err_code hand_out(struct watching *w, enum kube_event_type type, struct str object,
                              uint64_t rv)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)rv);
    enum err_code rc =
        w->handler->event(w->handler->ctx, type, object, (struct str){text, (size_t)n}, w->err);
    if (!rc && w->cut_next)
        rc = err_set(w->err, ERR_UNAVAILABLE, "watch %s: the connection was cut",
                     kube_kind_row(w->kind)->resource);
    if (rv > w->rv)
        w->rv = rv;
    return rc;
}

/* BOOKMARK or INITIAL_END: metadata only. */
static enum err_code hand_mark(struct watching *w, enum kube_event_type type, uint64_t rv)
{
    const struct kube_kind_row *row = kube_kind_row(w->kind);
    char text[256];
    int n = snprintf(
        text, sizeof(text),
        "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{\"resourceVersion\":\"%llu\"%s}}",
        row->kind, row->api_version, (unsigned long long)rv,
        type == KUBE_INITIAL_END ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}"
                                 : "");
    return hand_out(w, type, (struct str){text, (size_t)n}, rv);
}

/* The state `t` as it stood, under another number: what leaves a selection is told so. */
static enum err_code hand_renumbered(struct watching *w, enum kube_event_type type,
                                     const struct text *t, uint64_t rv)
{
    struct buf b;
    buf_init(&b, t->n + 32);
    buf_add(&b, (struct str){t->p, t->rv_at});
    buf_fmt(&b, "%llu", (unsigned long long)rv);
    buf_add(&b, (struct str){t->p + t->rv_at + t->rv_n, t->n - t->rv_at - t->rv_n});
    enum err_code rc = b.failed ? err_set(w->err, ERR_NO_MEMORY, "watch: no memory")
                                : hand_out(w, type, (struct str){b.p, b.n}, rv);
    buf_done(&b);
    return rc;
}

static enum err_code hand_change(struct watching *w, const struct change *c)
{
    bool is = c->type != KUBE_DELETED && selected(&w->sel, c->now);
    bool was = c->before && selected(&w->sel, c->before);
    if (c->type == KUBE_DELETED && was)
        return hand_out(w, KUBE_DELETED, (struct str){c->now->p, c->now->n}, c->rv);
    if (is)
        return hand_out(w, was ? KUBE_MODIFIED : KUBE_ADDED, (struct str){c->now->p, c->now->n},
                        c->rv);
    if (was)
        return hand_renumbered(w, KUBE_DELETED, c->before, c->rv);
    w->rv = c->rv;
    return ERR_OK;
}

static enum err_code gone(struct watching *w)
{
    return err_set(w->err, ERR_GONE, "watch %s: too old resource version: %llu",
                   kube_kind_row(w->kind)->resource, (unsigned long long)w->rv);
}

/* Where to go on after w->rv: the first change behind it. */
static enum err_code seek(struct watching *w)
{
    struct kube_store *st = w->st;
    struct history *h = &st->tables[w->kind].history;
    pthread_mutex_lock(&st->lock);
    bool old = w->rv<h->gone_rv, future = w->rv> st->rv;
    size_t lo = 0, hi = h->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (h->v[ring_at(h, mid)].rv <= w->rv)
            lo = mid + 1;
        else
            hi = mid;
    }
    w->next_seq = h->first_seq + lo;
    w->cut = st->cut;
    pthread_mutex_unlock(&st->lock);
    if (old)
        return gone(w);
    if (future)
        return err_set(w->err, ERR_UNAVAILABLE, "watch %s: Too large resource version",
                       kube_kind_row(w->kind)->resource);
    return ERR_OK;
}

enum wait { WAIT_SOME, WAIT_NONE, WAIT_CUT, WAIT_GONE };

/* Up to WATCH_BATCH changes that are next, counted; waits a little when there are none. */
static enum wait next_changes(struct watching *w, struct change *batch, size_t *ret_n,
                              uint64_t *ret_rv)
{
    struct kube_store *st = w->st;
    struct table *t = &st->tables[w->kind];
    struct history *h = &t->history;
    enum wait out = WAIT_NONE;
    *ret_n = 0;
    pthread_mutex_lock(&st->lock);
    if (w->cut == st->cut && w->next_seq == h->first_seq + h->n) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += STOP_POLL_MS * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        (void)pthread_cond_timedwait(&t->changed, &st->lock, &until);
    }
    if (w->cut != st->cut) {
        out = WAIT_CUT;
    } else if (w->next_seq < h->first_seq) {
        out = WAIT_GONE;
    } else {
        size_t at = (size_t)(w->next_seq - h->first_seq), n = h->n - at;
        if (n > WATCH_BATCH)
            n = WATCH_BATCH;
        for (size_t i = 0; i < n; i++) {
            batch[i] = h->v[ring_at(h, at + i)];
            (void)text_ref(batch[i].now);
            (void)text_ref(batch[i].before);
        }
        *ret_n = n;
        out = n ? WAIT_SOME : WAIT_NONE;
    }
    *ret_rv = st->rv;
    pthread_mutex_unlock(&st->lock);
    return out;
}

static enum err_code follow(struct watching *w, int64_t end_ms)
{
    struct change batch[WATCH_BATCH];
    int64_t mark_ms = clock_mono_ms(&w->st->clock) + BOOKMARK_S * 1000;
    for (;;) {
        if (w->stop && *w->stop)
            return err_set(w->err, ERR_CANCELLED, "the watch was stopped");
        size_t n;
        uint64_t store_rv;
        enum wait wait = next_changes(w, batch, &n, &store_rv);
        if (wait == WAIT_CUT)
            return err_set(w->err, ERR_UNAVAILABLE, "watch %s: the connection was cut",
                           kube_kind_row(w->kind)->resource);
        if (wait == WAIT_GONE)
            return gone(w);
        enum err_code rc = ERR_OK;
        for (size_t i = 0; i < n; i++) {
            if (!rc)
                rc = hand_change(w, &batch[i]);
            change_done(&batch[i]);
        }
        w->next_seq += n;
        if (rc)
            return rc;
        int64_t now_ms = clock_mono_ms(&w->st->clock);
        bool over = now_ms >= end_ms;
        if (n == 0 && (over || now_ms >= mark_ms)) {
            rc = hand_mark(w, KUBE_BOOKMARK, store_rv);
            mark_ms = now_ms + BOOKMARK_S * 1000;
        }
        if (rc || over)
            return rc;
    }
}

static enum err_code store_watch(struct kube *k, enum kube_kind kind,
                                 const struct kube_watch_options *opt, const _Atomic bool *stop,
                                 const struct kube_watch_handler *handler, struct err *err)
{
    struct watching w = {
        .st = store_of(k), .kind = kind, .handler = handler, .stop = stop, .err = err};
    enum err_code rc =
        stream_fault(w.st, KUBE_WATCH, kind, handler->retry_after_ms, &w.cut_next, err);
    if (!rc)
        rc = selector_parse(kind, opt->field_selector, opt->ns, &w.sel, err);
    if (!rc && opt->initial && !w.st->cfg.watch_initial)
        rc = err_set(err, ERR_INVALID,
                     "sendInitialEvents is forbidden: streaming lists are not served");
    const char *from = opt->resource_version ? opt->resource_version : "";
    if (!rc && *from)
        rc = parse_rv(from, &w.rv, err);
    if (rc)
        return rc;
    int64_t now_ms = clock_mono_ms(&w.st->clock);
    int64_t span_s = opt->timeout_s > 0 ? opt->timeout_s : WATCH_MIN_S + (now_ms / 7) % WATCH_MIN_S;
    if (opt->initial || w.rv == 0) {
        struct snapshot s = {0};
        rc = take_snapshot(w.st, kind, &w.sel, &s, err);
        if (!rc && w.rv > s.rv)
            rc = err_set(err, ERR_UNAVAILABLE, "watch %s: Too large resource version",
                         kube_kind_row(kind)->resource);
        for (size_t i = 0; i < s.n && !rc; i++)
            rc = stop && *stop
                     ? err_set(err, ERR_CANCELLED, "the watch was stopped")
                     : hand_out(&w, KUBE_ADDED, (struct str){s.v[i]->p, s.v[i]->n}, s.v[i]->rv);
        w.next_seq = s.next_seq;
        w.cut = s.cut;
        if (!rc && opt->initial)
            rc = hand_mark(&w, KUBE_INITIAL_END, s.rv);
        snapshot_done(&s);
    } else {
        rc = seek(&w);
    }
    return rc ? rc : follow(&w, now_ms + span_s * 1000);
}

void kube_store_drop_watches(struct kube_store *st, bool make_gone)
{
    pthread_mutex_lock(&st->lock);
    st->cut++;
    if (make_gone)
        st->rv++; /* as a compaction: every number handed out so far is now before the horizon */
    for (int i = 0; i < KUBE_KIND_COUNT_; i++) {
        struct history *h = &st->tables[i].history;
        while (make_gone && h->n > 0)
            history_drop_first(h);
        if (make_gone)
            h->gone_rv = st->rv;
        pthread_cond_broadcast(&st->tables[i].changed);
    }
    pthread_mutex_unlock(&st->lock);
}

uint64_t kube_store_writes(const struct kube_store *st)
{
    struct kube_store *s = (struct kube_store *)st;
    pthread_mutex_lock(&s->lock);
    uint64_t n = s->writes;
    pthread_mutex_unlock(&s->lock);
    return n;
}

/* ---- loading ---- */

/* Everything that can fail: slots, keys, room in the history. How many were put in is in *done. */
static enum err_code insert_all_locked(struct kube_store *st, struct kube_store_item *items,
                                       struct text **texts, uint32_t *slots, size_t n, size_t *done,
                                       struct err *err)
{
    size_t count[KUBE_KIND_COUNT_] = {0};
    for (size_t i = 0; i < n; i++)
        count[items[i].kind]++;
    bool room = true;
    for (int k = 0; k < KUBE_KIND_COUNT_; k++)
        room =
            room && history_reserve_locked(&st->tables[k].history, count[k], st->cfg.events_kept);
    if (!room)
        return err_set(err, ERR_NO_MEMORY, "load: no memory");
    if (n > st->cfg.objects_max - st->objects)
        return err_set(err, ERR_TOO_LARGE, "more than %zu objects", st->cfg.objects_max);
    for (; *done < n; ++*done) {
        struct kube_store_item *it = &items[*done];
        struct text *text = texts[*done];
        struct table *t = &st->tables[it->kind];
        char key[512];
        const char *ns =
            kube_kind_row(it->kind)->namespaced ? text_field(text, FIELD_NAMESPACE) : "";
        int len = snprintf(key, sizeof(key), "%s/%s", ns, text_field(text, 0));
        assert(len > 0 && (size_t)len < sizeof(key)); /* names were checked: at most 63 + 1 + 253 */
        struct str k = {key, (size_t)len};
        if (find_locked(t, k))
            return err_set(err, ERR_BAD_REQUEST, "%s:%zu:%zu: %s \"%s\" is there twice", it->path,
                           it->at.line, it->at.column, kube_kind_row(it->kind)->kind,
                           *ns ? key : key + 1);
        struct object *o = insert_locked(st, t, k);
        if (!o)
            return err_set(err, ERR_NO_MEMORY, "load: no memory");
        o->now = text_ref(text);
        slots[*done] = (uint32_t)(o - t->v);
    }
    return ERR_OK;
}

static enum err_code make_texts(struct kube_store_item *items, struct text **texts, size_t n,
                                struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        bool large = false;
        texts[i] = text_new(items[i].kind, items[i].object, &large);
        if (large)
            return err_set(err, ERR_BAD_REQUEST, "%s:%zu:%zu: the object is too large",
                           items[i].path, items[i].at.line, items[i].at.column);
        if (!texts[i])
            return err_set(err, ERR_NO_MEMORY, "load: no memory");
    }
    return ERR_OK;
}

static enum err_code add_texts(struct kube_store *st, struct kube_store_item *items,
                               struct text **texts, uint32_t *slots, size_t n, struct err *err)
{
    enum err_code rc = make_texts(items, texts, n, err);
    if (!rc) {
        size_t done = 0;
        pthread_mutex_lock(&st->lock);
        rc = insert_all_locked(st, items, texts, slots, n, &done, err);
        for (size_t i = 0; i < done; i++) {
            struct table *t = &st->tables[items[i].kind];
            if (rc) {
                remove_locked(st, t, &t->v[slots[i]]);
                continue;
            }
            text_number(texts[i], ++st->rv);
            publish_locked(st, t, KUBE_ADDED, text_ref(texts[i]), NULL);
        }
        pthread_mutex_unlock(&st->lock);
    }
    for (size_t i = 0; i < n; i++)
        text_unref(texts[i]);
    return rc;
}

enum err_code kube_store_add_all(struct kube_store *st, struct kube_store_item *items, size_t n,
                                 struct err *err)
{
    struct text **texts = calloc(n + 1, sizeof(struct text *));
    uint32_t *slots = calloc(n + 1, sizeof(*slots));
    enum err_code rc = texts && slots ? add_texts(st, items, texts, slots, n, err)
                                      : err_set(err, ERR_NO_MEMORY, "load: no memory");
    free(texts);
    free(slots);
    return rc;
}

/* ---- beginning and end ---- */

static const char *store_describe(const struct kube *k)
{
    (void)k;
    return "cluster file";
}

static void store_free(struct kube *k)
{
    struct kube_store *st = store_of(k);
    for (int i = 0; i < KUBE_KIND_COUNT_; i++) {
        struct table *t = &st->tables[i];
        for (uint32_t o = 0; o < t->n; o++) {
            free(t->v[o].key);
            text_unref(t->v[o].now);
        }
        free(t->v);
        map_free(t->index);
        while (t->history.n > 0)
            history_drop_first(&t->history);
        free(t->history.v);
        (void)pthread_cond_destroy(&t->changed);
    }
    while (st->late) {
        struct late *next = st->late->next;
        free(st->late->bytes);
        free(st->late);
        st->late = next;
    }
    (void)pthread_mutex_destroy(&st->lock);
    free(st);
}

enum err_code kube_store_new(const struct kube_store_config *cfg, const struct clock *clock,
                             struct kube **ret, struct kube_store **ret_store, struct err *err)
{
    static const struct kube_backend BACKEND = {store_call, store_list, store_watch, store_describe,
                                                store_free};
    struct kube_store *st = calloc(1, sizeof(*st));
    if (!st)
        return err_set(err, ERR_NO_MEMORY, "the store: no memory");
    st->kube.backend = &BACKEND;
    if (cfg)
        st->cfg = *cfg;
    if (st->cfg.objects_max == 0)
        st->cfg.objects_max = OBJECTS_DEFAULT;
    if (st->cfg.events_kept == 0)
        st->cfg.events_kept = EVENTS_KEPT_DEFAULT;
    st->clock = *clock;
    st->late_end = &st->late;
    (void)pthread_mutex_init(&st->lock, NULL);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    bool good = true;
    for (int i = 0; i < KUBE_KIND_COUNT_; i++) {
        struct table *t = &st->tables[i];
        t->free = UINT32_MAX;
        (void)pthread_cond_init(&t->changed, &attr);
        t->index = map_new((uint64_t)clock_mono_ns(clock) + (uint64_t)i, 64);
        good = good && t->index;
    }
    (void)pthread_condattr_destroy(&attr);
    if (!good) {
        store_free(&st->kube);
        return err_set(err, ERR_NO_MEMORY, "the store: no memory");
    }
    *ret = &st->kube;
    if (ret_store)
        *ret_store = st;
    return ERR_OK;
}
