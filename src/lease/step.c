/* Who leads: what was seen of one Lease → what that means now. Pure: time comes in as an argument,
 * always of our own monotonic clock; the times in the Lease are only ever compared with each other,
 * and only for being different (contract/kubernetes.md 3.2, 5).
 *
 * Two times are kept of each record. observed_ms is client-go's: the moment in which we saw it
 * change, perhaps long after it did; whoever wants to take the Lease counts from there. renewed_ms
 * is a moment that is surely not after the change; whoever acts on the Lease counts from there. */
#include "lease/priv.h"

#include "base/own.h"
#include "base/scan.h"

#include <string.h>

enum {
    JITTER_PERCENT = 120,    /* client-go's JitterFactor */
    ARENA_MAX = 4 << 20,     /* strings of one Lease that hold escapes */
    BODY_MAX = 2 * (4 << 20) /* an object of the API server's own bound, escaped again */
};
DEFINE_CLEANUP(struct arena *, arena_free)

/* ---- the record ---- */

static int64_t seconds_of(struct str time)
{
    int64_t ns;
    if (!clock_parse_rfc3339(time, &ns))
        return INT64_MIN;
    int64_t s = ns / 1000000000;
    return ns % 1000000000 < 0 ? s - 1 : s;
}

/* An int32 of the API; 0 for anything else. */
static int64_t count_of(struct str number)
{
    int64_t n;
    if (!str_int(number, 0, INT64_MAX, &n))
        return 0;
    return n > INT32_MAX ? INT32_MAX : n;
}

static bool copy(char *to, size_t max, struct str text)
{
    bool whole = text.n < max;
    size_t n = whole ? text.n : max - 1;
    if (n)
        memcpy(to, text.p, n);
    to[n] = '\0';
    return whole;
}

static bool text_or_skip(struct scan *s, struct str *ret)
{
    *ret = (struct str){0};
    return scan_peek(s) == SCAN_STRING ? scan_string(s, ret) : scan_skip(s);
}

static void decode_meta(struct scan *s, struct lease_record *r)
{
    struct str key, text;
    (void)scan_object(s);
    while (scan_key(s, &key)) {
        (void)text_or_skip(s, &text);
        int64_t version;
        if (str_eq(key, STR("uid")))
            (void)copy(r->uid, sizeof(r->uid), text);
        else if (str_eq(key, STR("resourceVersion")))
            r->version = str_int(text, 1, INT64_MAX, &version) ? (uint64_t)version : 0;
    }
}

static void decode_spec(struct scan *s, struct lease_record *r)
{
    struct str key, text;
    (void)scan_object(s);
    while (scan_key(s, &key)) {
        if (str_eq(key, STR("leaseDurationSeconds")) || str_eq(key, STR("leaseTransitions"))) {
            if (scan_raw(s, &text))
                *(key.n == 16 ? &r->transitions : &r->duration_s) = count_of(text);
            continue;
        }
        (void)text_or_skip(s, &text);
        if (str_eq(key, STR("holderIdentity")))
            r->long_holder = !copy(r->holder, sizeof(r->holder), text);
        else if (str_eq(key, STR("acquireTime")))
            r->acquire_s = seconds_of(text);
        else if (str_eq(key, STR("renewTime")))
            r->renew_s = seconds_of(text);
    }
}

enum err_code lease_record_decode(struct str object, struct lease_record *ret, struct err *err)
{
    struct arena *arena CLEANUP(arena_free_p) = arena_new(ARENA_MAX);
    if (!arena)
        return err_set(err, ERR_NO_MEMORY, "Lease: no memory");
    struct lease_record r;
    memset(&r, 0, sizeof(r));
    r.there = true;
    r.acquire_s = r.renew_s = INT64_MIN;
    struct scan s = scan_start(object, SCAN_DEPTH_MAX, arena);
    struct str key;
    (void)scan_object(&s);
    while (scan_key(&s, &key))
        if (str_eq(key, STR("metadata")) && scan_peek(&s) == SCAN_OBJECT)
            decode_meta(&s, &r);
        else if (str_eq(key, STR("spec")) && scan_peek(&s) == SCAN_OBJECT)
            decode_spec(&s, &r);
        else
            (void)scan_skip(&s);
    if (!scan_end(&s))
        return scan_err(&s, "Lease", err);
    *ret = r;
    return ERR_OK;
}

static bool same(const struct lease_record *a, const struct lease_record *b)
{
    if (a->there != b->there)
        return false;
    return !a->there || (strcmp(a->holder, b->holder) == 0 && strcmp(a->uid, b->uid) == 0 &&
                         a->duration_s == b->duration_s && a->transitions == b->transitions &&
                         a->acquire_s == b->acquire_s && a->renew_s == b->renew_s);
}

/* Nobody else can have held it between these two: a change of holder counts transitions up, and a
 * new Lease has a new UID. */
static bool same_term(const struct lease_record *a, const struct lease_record *b)
{
    return strcmp(a->holder, b->holder) == 0 && strcmp(a->uid, b->uid) == 0 &&
           a->transitions == b->transitions;
}

bool lease_holder_is_host(struct str holder, struct str host)
{
    for (size_t i = holder.n; i > 0; i--)
        if (holder.p[i - 1] == '_') {
            holder.n = i - 1;
            break;
        }
    return host.n > 0 && str_eq(holder, host);
}

bool lease_is_mine(const struct lease_rules *r, const struct lease_record *record)
{
    struct str holder = str_z(record->holder);
    if (!record->there || record->long_holder || !holder.n)
        return false;
    return r->own ? str_eq(holder, r->identity) : lease_holder_is_host(holder, r->identity);
}

static bool has_holder(const struct lease_record *record)
{
    return record->there && record->holder[0];
}

/* ---- what was seen ---- */

void lease_state_init(struct lease_state *s, int64_t now_ms)
{
    *s = (struct lease_state){.observed_ms = INT64_MIN,
                              .renewed_ms = INT64_MIN,
                              .current_ms = INT64_MIN,
                              .beat_ms = now_ms,
                              .doubt = true,
                              .since_ms = INT64_MIN,
                              .try_ms = now_ms};
}

static bool silent(const struct lease_state *s, int64_t now_ms)
{
    return s->seen && has_holder(&s->record) &&
           (s->current_ms == INT64_MIN || now_ms - s->current_ms > s->record.duration_s * 1000 / 3);
}

void lease_beat(struct lease_state *s, int64_t now_ms)
{
    if (now_ms - s->beat_ms > LEASE_STALL_MS || silent(s, now_ms))
        s->doubt = true;
    if (now_ms > s->beat_ms)
        s->beat_ms = now_ms;
}

static void take(struct lease_state *s, const struct lease_rules *r,
                 const struct lease_record *record, int64_t renewed_ms, int64_t now_ms)
{
    bool was_mine = s->seen && lease_is_mine(r, &s->record);
    bool had_holder = !s->seen || has_holder(&s->record);
    if (lease_is_mine(r, record) && !(was_mine && same_term(&s->record, record))) {
        s->term++;
        s->since_ms = now_ms;
    }
    if (had_holder && !has_holder(record)) /* released, or deleted: at once */
        s->try_ms = now_ms;
    s->seen = true;
    s->record = *record;
    s->observed_ms = now_ms;
    s->renewed_ms = renewed_ms;
}

bool lease_saw_event(struct lease_state *s, const struct lease_rules *r,
                     const struct lease_record *record, int64_t now_ms)
{
    lease_beat(s, now_ms);
    if (s->seen && record->version && record->version <= s->record.version)
        return false; /* older than what was read, or the same again */
    bool changed = !s->seen || !same(&s->record, record);
    if (changed)
        take(s, r, record, s->doubt ? s->current_ms : now_ms, now_ms);
    s->record.version = record->version;
    if (!s->doubt)
        s->current_ms = now_ms;
    return changed;
}

/* The state has later news than this answer. A smaller version alone does not say so: a server
 * restored from a backup counts from there. */
static bool overtaken(const struct lease_state *s, const struct lease_record *record,
                      int64_t start_ms)
{
    return s->seen && s->record.version && record->version < s->record.version &&
           s->observed_ms >= start_ms;
}

static bool saw_answer(struct lease_state *s, const struct lease_rules *r,
                       const struct lease_record *record, bool ours, int64_t start_ms,
                       int64_t now_ms)
{
    if (overtaken(s, record, start_ms))
        return false;
    bool changed = !s->seen || !same(&s->record, record);
    /* By us it changed after start_ms, by others at some time since it was last known to be the
     * newest. A second write within one second changes nothing: nobody else sees it. */
    if (changed)
        take(s, r, record, ours || s->current_ms > start_ms ? start_ms : s->current_ms, now_ms);
    else if (ours && record->version == s->record.version && s->renewed_ms > start_ms)
        s->renewed_ms = start_ms; /* the watch was faster than the answer */
    s->record.version = record->version;
    if (start_ms > s->current_ms)
        s->current_ms = start_ms;
    if (now_ms - start_ms <= LEASE_STALL_MS)
        s->doubt = false; /* events after this answer are news */
    return changed;
}

bool lease_saw_read(struct lease_state *s, const struct lease_rules *r,
                    const struct lease_record *record, int64_t start_ms, int64_t now_ms)
{
    return saw_answer(s, r, record, false, start_ms, now_ms);
}

bool lease_saw_write(struct lease_state *s, const struct lease_rules *r,
                     const struct lease_record *record, int64_t start_ms, int64_t now_ms)
{
    return saw_answer(s, r, record, true, start_ms, now_ms);
}

/* ---- what follows ---- */

static int64_t later(int64_t from_ms, int64_t by_ms)
{
    return from_ms == INT64_MIN ? INT64_MIN : from_ms + by_ms;
}

struct lease_lead lease_lead_at(const struct lease_state *s, const struct lease_rules *r,
                                int64_t now_ms)
{
    struct lease_lead lead = {
        .term = s->term, .writes_from_ms = INT64_MAX, .writes_until_ms = INT64_MIN};
    if (!s->seen || !lease_is_mine(r, &s->record))
        return lead;
    int64_t duration_ms = s->record.duration_s * 1000;
    int64_t act_ms = r->own ? r->renew_deadline_ms : duration_ms * 2 / 3;
    if (act_ms > duration_ms - r->write_ms) /* what is sent last lands before anybody may follow */
        act_ms = duration_ms - r->write_ms;
    lead.writes_from_ms = s->since_ms + r->write_ms;
    lead.writes_until_ms = later(s->renewed_ms, act_ms);
    int64_t until_ms =
        r->own ? later(s->renewed_ms, r->renew_deadline_ms) : later(s->observed_ms, duration_ms);
    lead.leads = now_ms < until_ms;
    return lead;
}

/* ---- our own election ---- */

static bool held_by_other(const struct lease_state *s, const struct lease_rules *r, int64_t now_ms)
{
    return has_holder(&s->record) && !lease_is_mine(r, &s->record) &&
           now_ms < s->observed_ms + s->record.duration_s * 1000;
}

struct lease_next lease_own_next(const struct lease_state *s, const struct lease_rules *r,
                                 int64_t now_ms)
{
    if (now_ms < s->try_ms)
        return (struct lease_next){LEASE_WAIT, s->try_ms};
    if (!s->seen || s->read)
        return (struct lease_next){LEASE_READ, now_ms};
    if (held_by_other(s, r, now_ms))
        return (struct lease_next){LEASE_WAIT, s->observed_ms + s->record.duration_s * 1000};
    return (struct lease_next){s->record.there ? LEASE_WRITE : LEASE_CREATE, now_ms};
}

void lease_own_done(struct lease_state *s, const struct lease_rules *r, enum lease_do what,
                    enum err_code rc, int64_t retry_after_ms, int64_t now_ms, uint64_t random)
{
    int64_t pause_ms = r->retry_ms;
    if (!s->seen || !lease_is_mine(r, &s->record)) /* candidates spread */
        pause_ms += (int64_t)(random % 1024) * r->retry_ms * JITTER_PERCENT / 100 / 1024;
    if (retry_after_ms > pause_ms)
        pause_ms = retry_after_ms;
    if (what == LEASE_READ) {
        s->read = rc != ERR_OK;
        s->try_ms = rc ? now_ms + pause_ms : now_ms;
    } else if (rc) { /* as client-go: first look what is there, at once */
        s->read = true;
        s->try_ms = s->failed++ || rc == ERR_BUSY ? now_ms + pause_ms : now_ms;
    } else {
        s->failed = 0;
        s->read = false;
        s->try_ms = now_ms + pause_ms;
    }
}

/* ---- the object ---- */

static void add_key(struct buf *out, struct str key)
{
    if (out->n > 0 && out->p[out->n - 1] != '{')
        buf_char(out, ',');
    buf_json(out, key);
    buf_char(out, ':');
}

/* Members that we don't write, as they stand; *ret_transitions is what leaseTransitions was. */
static void keep_spec(struct scan *s, bool keep_acquired, struct buf *out, int64_t *ret_transitions)
{
    struct str key, raw;
    (void)scan_object(s);
    while (scan_key(s, &key)) {
        if (!scan_raw(s, &raw))
            return;
        if (str_eq(key, STR("leaseTransitions")))
            *ret_transitions = count_of(raw);
        else if (!str_eq(key, STR("holderIdentity")) && !str_eq(key, STR("leaseDurationSeconds")) &&
                 !str_eq(key, STR("renewTime")) &&
                 (keep_acquired || !str_eq(key, STR("acquireTime")))) {
            add_key(out, key);
            buf_add(out, raw);
        }
    }
}

/* All but spec, as it stands, to `out`; of spec what we don't write to `spec`. */
static bool keep_object(const struct lease_body_args *a, struct arena *arena, struct buf *out,
                        struct buf *spec, int64_t *ret_transitions)
{
    struct scan s = scan_start(a->object, SCAN_DEPTH_MAX, arena);
    struct str key, raw;
    (void)scan_object(&s);
    while (scan_key(&s, &key)) {
        if (str_eq(key, STR("spec")) && scan_peek(&s) == SCAN_OBJECT) {
            keep_spec(&s, a->held && !a->release, spec, ret_transitions);
        } else if (str_eq(key, STR("spec"))) {
            (void)scan_skip(&s);
        } else if (scan_raw(&s, &raw)) {
            add_key(out, key);
            buf_add(out, raw);
        }
    }
    return scan_end(&s);
}

static void new_object(const struct lease_body_args *a, struct buf *out)
{
    buf_add(out, STR("\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\","
                     "\"metadata\":{\"name\":"));
    buf_json(out, a->name);
    buf_add(out, STR(",\"namespace\":"));
    buf_json(out, a->ns);
    buf_char(out, '}');
}

static void add_spec(const struct lease_body_args *a, int64_t transitions, struct buf *spec)
{
    char text[CLOCK_TEXT_MAX];
    struct str now = {text, clock_rfc3339(a->wall_ns, /* micro= */ true, text)};
    if (a->object.p && !a->held && !a->release && transitions < INT32_MAX)
        transitions++;
    add_key(spec, STR("holderIdentity"));
    buf_json(spec, a->release ? STR("") : a->identity);
    add_key(spec, STR("leaseDurationSeconds"));
    buf_int(spec, a->release ? 1 : a->duration_s);
    add_key(spec, STR("leaseTransitions"));
    buf_int(spec, transitions);
    add_key(spec, STR("renewTime"));
    buf_json(spec, now);
    if (!a->held || a->release) {
        add_key(spec, STR("acquireTime"));
        buf_json(spec, now);
    }
}

char *lease_body(const struct lease_body_args *a, size_t *ret_n)
{
    struct arena *arena CLEANUP(arena_free_p) = arena_new(ARENA_MAX);
    struct buf out, spec;
    buf_init(&out, BODY_MAX);
    buf_init(&spec, BODY_MAX);
    int64_t transitions = 0;
    buf_char(&out, '{');
    bool good = arena != NULL;
    if (!a->object.p)
        new_object(a, &out);
    else
        good = good && keep_object(a, arena, &out, &spec, &transitions);
    add_spec(a, transitions, &spec);
    add_key(&out, STR("spec"));
    buf_char(&out, '{');
    buf_add(&out, (struct str){spec.p, spec.n});
    buf_add(&out, STR("}}"));
    good = good && !spec.failed;
    char *text = good ? buf_take(&out, ret_n) : NULL;
    buf_done(&out);
    buf_done(&spec);
    return text;
}
