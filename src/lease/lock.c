/* The node lock: who may have an allocation served on a node right now (contract/core.md 8,
 * node-side.md 2.4).
 *
 * It is an annotation that several programs write, so every write here is a JSON patch that tests
 * the old value of this one key: it never loses against a busy node's other updates, and never
 * overwrites what it did not read. */
#include "lease/lease.h"

#include "base/own.h"
#include "base/scan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TRIES = 3,          /* lost races before we say busy */
    DEPTH_MAX = 64,     /* of a node or pod object */
    TEXT_EXTRA = 1024,  /* of a patch, beside its values */
    ARENA_MAX = 1 << 22 /* strings with escapes of one object */
};

DEFINE_CLEANUP(struct arena *, arena_free)

/* ---- the value ---- */

static bool is_name(struct str s)
{
    if (s.n == 0 || s.n > 253)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
            return false;
    return true;
}

struct lease_lock lease_lock_parse(struct str value)
{
    struct lease_lock lock = {.form = LEASE_LOCK_NONE};
    struct str rest = value, part[4] = {{0}};
    unsigned n = 0;
    if (!value.p)
        return lock;
    while (n < 4 && str_split(&rest, ',', &part[n]))
        n++;
    if ((n == 1 || n == 3) && clock_parse_rfc3339(part[0], &lock.time_ns))
        lock.form = n == 1 ? LEASE_LOCK_LEGACY : LEASE_LOCK_OWNED;
    else
        lock.form = LEASE_LOCK_MALFORMED;
    if (lock.form == LEASE_LOCK_OWNED && (!is_name(part[1]) || !is_name(part[2])))
        lock.form = LEASE_LOCK_MALFORMED;
    if (lock.form == LEASE_LOCK_OWNED) {
        lock.ns = part[1];
        lock.pod = part[2];
    }
    if (lock.form == LEASE_LOCK_MALFORMED)
        lock.time_ns = 0;
    return lock;
}

bool lease_lock_format(int64_t wall_ns, struct str ns, struct str pod, char *out, size_t out_max)
{
    char when[CLOCK_TEXT_MAX];
    (void)clock_rfc3339(wall_ns, false, when);
    int n = snprintf(out, out_max, "%s," STR_FMT "," STR_FMT, when, STR_ARG(ns), STR_ARG(pod));
    return n > 0 && (size_t)n < out_max;
}

bool lease_lock_owned_by(const struct lease_lock *lock, struct str ns, struct str pod)
{
    return lock->form == LEASE_LOCK_OWNED && str_eq(lock->ns, ns) && str_eq(lock->pod, pod);
}

/* ---- what stands at the API server ---- */

/* Of one node: its annotation map, and the lock in it. */
struct seen {
    struct str resource_version;
    bool annotations; /* the map is there */
    struct str value; /* p NULL: no lock */
};

static bool read_annotations(struct scan *s, struct str key, struct seen *ret)
{
    struct str k;
    if (scan_peek(s) != SCAN_OBJECT)
        return scan_skip(s);
    ret->annotations = true;
    (void)scan_object(s);
    while (scan_key(s, &k))
        if (str_eq(k, key) && scan_peek(s) == SCAN_STRING) {
            (void)scan_string(s, &ret->value);
            if (!ret->value.p)
                ret->value.p = ""; /* there, and empty */
        } else {
            (void)scan_skip(s);
        }
    return !s->fault;
}

static enum err_code read_node(struct str object, struct str key, struct arena *arena,
                               struct seen *ret, struct err *err)
{
    struct scan s = scan_start(object, DEPTH_MAX, arena);
    struct str top, k;
    *ret = (struct seen){0};
    (void)scan_object(&s);
    while (scan_key(&s, &top)) {
        if (!str_eq(top, STR("metadata")) || scan_peek(&s) != SCAN_OBJECT) {
            (void)scan_skip(&s);
            continue;
        }
        (void)scan_object(&s);
        while (scan_key(&s, &k))
            if (str_eq(k, STR("annotations")))
                (void)read_annotations(&s, key, ret);
            else if (str_eq(k, STR("resourceVersion")))
                (void)scan_string(&s, &ret->resource_version);
            else
                (void)scan_skip(&s);
    }
    if (scan_end(&s))
        return ERR_OK;
    (void)scan_err(&s, "the node's object", err);
    return err_prefix(err, ERR_UNAVAILABLE, "the API server's answer can't be read");
}

/* What decides whether a holder may be put aside. */
struct holder {
    struct str node, phase;
};

static enum err_code read_pod(struct str object, struct arena *arena, struct holder *ret,
                              struct err *err)
{
    struct scan s = scan_start(object, DEPTH_MAX, arena);
    struct str top, k;
    *ret = (struct holder){0};
    (void)scan_object(&s);
    while (scan_key(&s, &top)) {
        bool spec = str_eq(top, STR("spec"));
        if ((!spec && !str_eq(top, STR("status"))) || scan_peek(&s) != SCAN_OBJECT) {
            (void)scan_skip(&s);
            continue;
        }
        (void)scan_object(&s);
        while (scan_key(&s, &k))
            if (spec && str_eq(k, STR("nodeName")) && scan_peek(&s) == SCAN_STRING)
                (void)scan_string(&s, &ret->node);
            else if (!spec && str_eq(k, STR("phase")) && scan_peek(&s) == SCAN_STRING)
                (void)scan_string(&s, &ret->phase);
            else
                (void)scan_skip(&s);
    }
    if (scan_end(&s))
        return ERR_OK;
    (void)scan_err(&s, "the holder's object", err);
    return err_prefix(err, ERR_UNAVAILABLE, "the API server's answer can't be read");
}

/* Busy says here that somebody has the lock, who may let go soon. A server that turns calls away
 * says when. */
static enum err_code call(const struct lease_lock_args *a, const struct kube_request *req,
                          struct kube_response *ret, struct err *err)
{
    enum err_code rc = kube_call(a->kube, req, ret, err);
    if (a->retry_after_ms && ret->retry_after_ms > *a->retry_after_ms)
        *a->retry_after_ms = ret->retry_after_ms;
    return rc == ERR_BUSY ? err_prefix(err, ERR_UNAVAILABLE, "lock of node " STR_FMT "; try again",
                                       STR_ARG(a->node))
                          : rc;
}

static enum err_code get(const struct lease_lock_args *a, enum kube_kind kind, struct str ns,
                         struct str name, struct kube_response *ret, struct err *err)
{
    struct kube_request req = {
        .verb = KUBE_GET, .kind = kind, .ns = ns, .name = name, .timeout_ms = a->timeout_ms};
    return call(a, &req, ret, err);
}

static void response_done(struct kube_response *r) { kube_response_done(r); }

/* ---- one write ---- */

static void add_path(struct buf *b, struct str key)
{
    buf_add(b, STR("\"/metadata/annotations/"));
    for (size_t i = 0; i < key.n; i++) {
        if (key.p[i] == '~')
            buf_add(b, STR("~0"));
        else if (key.p[i] == '/')
            buf_add(b, STR("~1"));
        else
            buf_char(b, key.p[i]); /* keys of the vendor table: no character that JSON escapes */
    }
    buf_char(b, '"');
}

/* [test that all is as `seen`, make it `value`]; value.p NULL removes. `by_version`: a server that
 * does not take null as the value of what is not there needs another test of "no lock yet": the
 * node's own version. */
static void make_patch(struct buf *b, struct str key, const struct seen *seen, struct str value,
                       bool by_version)
{
    bool present = seen->value.p != NULL;
    buf_add(b, STR("[{\"op\":\"test\",\"path\":"));
    if (!present && by_version) {
        buf_add(b, STR("\"/metadata/resourceVersion\",\"value\":"));
        buf_json(b, seen->resource_version);
    } else if (seen->annotations) {
        add_path(b, key);
        buf_add(b, STR(",\"value\":"));
        if (present)
            buf_json(b, seen->value);
        else
            buf_add(b, STR("null"));
    } else {
        buf_add(b, STR("\"/metadata/annotations\",\"value\":null"));
    }
    buf_add(b, STR("},{\"op\":"));
    buf_add(b, !value.p ? STR("\"remove\"") : present ? STR("\"replace\"") : STR("\"add\""));
    buf_add(b, STR(",\"path\":"));
    if (seen->annotations)
        add_path(b, key);
    else
        buf_add(b, STR("\"/metadata/annotations\""));
    if (value.p) {
        buf_add(b, STR(",\"value\":"));
        if (!seen->annotations) {
            buf_char(b, '{');
            buf_json(b, key);
            buf_char(b, ':');
        }
        buf_json(b, value);
        if (!seen->annotations)
            buf_char(b, '}');
    }
    buf_add(b, STR("}]"));
}

static enum err_code patch(const struct lease_lock_args *a, const struct seen *seen,
                           struct str value, bool by_version, struct err *err)
{
    struct buf b;
    buf_init(&b, (seen->value.n + value.n + a->key.n) * 6 + TEXT_EXTRA);
    make_patch(&b, a->key, seen, value, by_version);
    enum err_code rc = ERR_NO_MEMORY;
    if (b.failed) {
        (void)err_set(err, ERR_NO_MEMORY, "lock of node " STR_FMT ": no memory", STR_ARG(a->node));
    } else {
        struct kube_request req = {.verb = KUBE_PATCH,
                                   .kind = KUBE_NODE,
                                   .name = a->node,
                                   .patch_type = KUBE_PATCH_JSON,
                                   .body = {b.p, b.n},
                                   .timeout_ms = a->timeout_ms};
        struct kube_response resp CLEANUP(response_done) = {0};
        rc = call(a, &req, &resp, err);
    }
    buf_done(&b);
    return rc;
}

/* ---- take ---- */

/* A duration as Go prints it: "5m0s", "1h0m0s", "1.5s", "300ms". */
static void go_duration(int64_t ms, char out[32])
{
    long long h = ms / 3600000, m = ms / 60000 % 60, s = ms / 1000 % 60;
    if (ms > 0 && ms < 1000) {
        (void)snprintf(out, 32, "%lldms", (long long)ms);
        return;
    }
    int n = 0;
    if (h)
        n = snprintf(out, 32, "%lldh", h);
    if (h || m)
        n += snprintf(out + n, (size_t)(32 - n), "%lldm", m);
    n += snprintf(out + n, (size_t)(32 - n), "%lld.%03lld", s, (long long)(ms % 1000));
    while (out[n - 1] == '0')
        n--;
    if (out[n - 1] == '.')
        n--;
    (void)snprintf(out + n, (size_t)(32 - n), "s");
}

static enum err_code contention(const struct lease_lock_args *a, struct err *err)
{
    char within[32];
    go_duration(a->expire_ms, within);
    return err_set(err, ERR_BUSY,
                   "node " STR_FMT " has been locked within %s: node lock contention",
                   STR_ARG(a->node), within);
}

static int64_t age_ms(const struct lease_lock_args *a, const struct lease_lock *lock)
{
    return clock_wall_ns(a->clock) / 1000000 - lock->time_ns / 1000000;
}

/* Older than it may get; or from so far in the future that its time says nothing. */
static bool expired(const struct lease_lock_args *a, const struct lease_lock *lock)
{
    int64_t age = age_ms(a, lock);
    return age > a->expire_ms || age < -a->expire_ms;
}

/* Whether the pod that holds the lock has no more use for it. */
static enum err_code holder_is_done(const struct lease_lock_args *a, const struct lease_lock *lock,
                                    bool *ret, struct err *err)
{
    struct kube_response resp CLEANUP(response_done) = {0};
    struct arena *arena CLEANUP(arena_free_p) = arena_new(ARENA_MAX);
    if (!arena)
        return err_set(err, ERR_NO_MEMORY, "lock of node " STR_FMT ": no memory", STR_ARG(a->node));
    /* Before the look at the pod: a bind that ends between the two is seen in the pod. */
    const bool flies = a->in_flight && a->in_flight(a->ctx, lock->ns, lock->pod);
    enum err_code rc = get(a, KUBE_POD, lock->ns, lock->pod, &resp, err);
    if (rc == ERR_NOT_FOUND || rc == ERR_BAD_REQUEST) { /* nobody can have such a name */
        *ret = true;
        return ERR_OK;
    }
    struct holder h;
    if (!rc)
        rc = read_pod((struct str){resp.body, resp.body_n}, arena, &h, err);
    if (rc)
        return err_prefix(err, rc, "holder of node " STR_FMT, STR_ARG(a->node));
    if (h.node.n == 0) /* not bound: its Binding is on the way, or it will never come */
        *ret = !flies &&
               (expired(a, lock) || (a->in_flight && age_ms(a, lock) > LEASE_LOCK_UNBOUND_MS));
    else if (str_eq(h.node, a->node))
        *ret = a->served && a->served(a->ctx, (struct str){resp.body, resp.body_n});
    else
        *ret = true;
    if (str_eq(h.phase, STR("Succeeded")) || str_eq(h.phase, STR("Failed")))
        *ret = true;
    return ERR_OK;
}

/* Whether what stands there may be replaced. */
static enum err_code may_replace(const struct lease_lock_args *a, const struct lease_lock *lock,
                                 bool *ret, struct err *err)
{
    if (a->time_only) { /* whatever else stands in the value, nobody can be asked */
        *ret = lock->form != LEASE_LOCK_LEGACY || expired(a, lock);
        return ERR_OK;
    }
    switch (lock->form) {
    case LEASE_LOCK_NONE:
    case LEASE_LOCK_MALFORMED: /* every plugin fails on it until somebody removes it */
        *ret = true;
        return ERR_OK;
    case LEASE_LOCK_LEGACY:
        *ret = expired(a, lock);
        return ERR_OK;
    default:
        return holder_is_done(a, lock, ret, err);
    }
}

/* Whether a lock names this pod; a bare time names nobody. */
static bool is_ours(const struct lease_lock_args *a, const struct lease_lock *lock)
{
    return !a->time_only && lease_lock_owned_by(lock, a->ns, a->pod);
}

/* Whether what we wrote is there still. */
static bool stands(const struct lease_lock_args *a, const struct seen *seen, struct str value)
{
    struct lease_lock lock = lease_lock_parse(seen->value);
    return value.n > 0 && str_eq(value, seen->value) && (a->time_only || is_ours(a, &lock));
}

static bool new_value(const struct lease_lock_args *a, char out[LEASE_LOCK_MAX])
{
    int64_t now = clock_wall_ns(a->clock);
    if (!a->time_only)
        return lease_lock_format(now, a->ns, a->pod, out, LEASE_LOCK_MAX);
    (void)clock_rfc3339(now, true, out);
    return true;
}

enum try { TRY_AGAIN, TRY_OVER };

static enum try write_once(const struct lease_lock_args *a, const struct seen *seen,
                           bool by_version, char ret_value[LEASE_LOCK_MAX], enum err_code *ret_rc,
                           struct err *err)
{
    char value[LEASE_LOCK_MAX];
    if (!new_value(a, value)) {
        *ret_rc = err_set(err, ERR_BAD_REQUEST, "the pod's name is too long for a lock");
        return TRY_OVER;
    }
    if (a->may_write && !a->may_write(a->ctx)) {
        *ret_rc = err_set(err, ERR_CANCELLED, "lock of node " STR_FMT ": too late to write",
                          STR_ARG(a->node));
        return TRY_OVER;
    }
    *ret_rc = patch(a, seen, str_z(value), by_version, err);
    if (*ret_rc == ERR_OK || *ret_rc == ERR_UNKNOWN)
        memcpy(ret_value, value, strlen(value) + 1);
    return *ret_rc == ERR_INVALID || *ret_rc == ERR_CONFLICT ? TRY_AGAIN : TRY_OVER;
}

static enum try take_once(const struct lease_lock_args *a, bool by_version,
                          char ret_value[LEASE_LOCK_MAX], enum err_code *ret_rc, bool *ret_none,
                          struct err *err)
{
    struct kube_response resp CLEANUP(response_done) = {0};
    struct arena *arena CLEANUP(arena_free_p) = arena_new(ARENA_MAX);
    if (!arena) {
        *ret_rc =
            err_set(err, ERR_NO_MEMORY, "lock of node " STR_FMT ": no memory", STR_ARG(a->node));
        return TRY_OVER;
    }
    struct seen seen;
    *ret_rc = get(a, KUBE_NODE, STR(""), a->node, &resp, err);
    if (!*ret_rc)
        *ret_rc = read_node((struct str){resp.body, resp.body_n}, a->key, arena, &seen, err);
    if (*ret_rc)
        return TRY_OVER;
    *ret_none = seen.value.p == NULL;
    struct lease_lock lock = lease_lock_parse(seen.value);
    /* Our own is written anew: whoever wrote it, perhaps the leader before us, may still give it
     * back by its value. */
    bool replace = is_ours(a, &lock);
    *ret_rc = replace ? ERR_OK : may_replace(a, &lock, &replace, err);
    if (*ret_rc)
        return TRY_OVER;
    if (!replace) {
        *ret_rc = contention(a, err);
        return TRY_OVER;
    }
    return write_once(a, &seen, by_version, ret_value, ret_rc, err);
}

enum err_code lease_lock_take(const struct lease_lock_args *a, char ret_value[LEASE_LOCK_MAX],
                              struct err *err)
{
    enum err_code rc = ERR_OK;
    bool none_before = false;
    if (a->believed_free) { /* then one call is enough, or it says that the belief was wrong */
        const struct seen nothing = {.annotations = true};
        if (write_once(a, &nothing, false, ret_value, &rc, err) == TRY_OVER)
            return rc;
        none_before = true;
    }
    for (int i = 0; i < TRIES; i++) {
        bool none = false;
        rc = ERR_OK;
        /* Refused although nothing was there, and nothing is there now: test the version instead.
         */
        if (take_once(a, none_before, ret_value, &rc, &none, err) == TRY_OVER)
            return rc;
        none_before = none;
    }
    return err_set(err, ERR_BUSY, "node " STR_FMT " is locked: node lock contention",
                   STR_ARG(a->node));
}

/* ---- release ---- */

static enum try release_once(const struct lease_lock_args *a, struct str value,
                             enum err_code *ret_rc, bool *ret_removed, struct err *err)
{
    struct kube_response resp CLEANUP(response_done) = {0};
    struct arena *arena CLEANUP(arena_free_p) = arena_new(ARENA_MAX);
    if (!arena) {
        *ret_rc =
            err_set(err, ERR_NO_MEMORY, "lock of node " STR_FMT ": no memory", STR_ARG(a->node));
        return TRY_OVER;
    }
    struct seen seen;
    *ret_rc = get(a, KUBE_NODE, STR(""), a->node, &resp, err);
    if (*ret_rc == ERR_NOT_FOUND) { /* the node went, and its lock with it */
        *ret_rc = ERR_OK;
        *ret_removed = true;
        return TRY_OVER;
    }
    if (!*ret_rc)
        *ret_rc = read_node((struct str){resp.body, resp.body_n}, a->key, arena, &seen, err);
    if (*ret_rc)
        return TRY_OVER;
    if (!stands(a, &seen, value))
        return TRY_OVER;
    *ret_rc = patch(a, &seen, (struct str){0}, false, err);
    if (*ret_rc == ERR_NOT_FOUND)
        *ret_rc = ERR_OK;
    *ret_removed = *ret_rc == ERR_OK;
    return *ret_rc == ERR_INVALID || *ret_rc == ERR_CONFLICT ? TRY_AGAIN : TRY_OVER;
}

enum err_code lease_lock_release(const struct lease_lock_args *a, struct str value,
                                 bool *ret_removed, struct err *err)
{
    bool removed = false;
    if (!ret_removed)
        ret_removed = &removed;
    *ret_removed = false;
    for (int i = 0; i < TRIES; i++) {
        enum err_code rc = ERR_OK;
        if (release_once(a, value, &rc, ret_removed, err) == TRY_OVER)
            return rc;
    }
    return err_set(err, ERR_BUSY, "lock of node " STR_FMT ": it changed again and again",
                   STR_ARG(a->node));
}
