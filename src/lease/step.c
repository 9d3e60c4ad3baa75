/* Who leads: what was seen of one Lease → what that means now. Pure: time comes in as an argument,
 * always of our own monotonic clock; the times in the Lease are only ever compared with each other,
 * and only for being different (contract/kubernetes.md 3.2, 5).
 *
 * Two times are kept of each record. observed_ms is client-go's: the moment in which we saw it
 * change, perhaps long after it did; whoever wants to take the Lease counts from there. renewed_ms
 * is a moment that is surely not after the change; whoever acts on the Lease counts from there. */
#include "lease/priv.h"

#include "base/own.h"

#include <string.h>

enum { JITTER_PERCENT = 120 }; /* client-go's JitterFactor */

/* ---- the record ---- */

static int64_t seconds_of(const json_t *time)
{
    int64_t ns;
    const char *text = json_string_value(time);
    if (!text || !clock_parse_rfc3339(str_z(text), &ns))
        return INT64_MIN;
    int64_t s = ns / 1000000000;
    return ns % 1000000000 < 0 ? s - 1 : s;
}

static int64_t count_of(const json_t *number)
{
    json_int_t n = json_integer_value(number); /* 0 for anything else */
    return n < 0 ? 0 : n > INT32_MAX ? INT32_MAX : n;
}

static bool copy(char *to, size_t max, const json_t *text)
{
    size_t n = json_string_length(text);
    bool whole = n < max;
    if (!whole)
        n = max - 1;
    if (n)
        memcpy(to, json_string_value(text), n);
    to[n] = '\0';
    return whole;
}

enum err_code lease_record_decode(struct str object, struct lease_record *ret, struct err *err)
{
    json_error_t why;
    json_auto_t *lease = json_loadb(object.p ? object.p : "", object.n, 0, &why);
    if (!json_is_object(lease))
        return err_set(err, ERR_BAD_REQUEST, "Lease: %s", lease ? "no object" : why.text);
    const json_t *meta = json_object_get(lease, "metadata"), *spec = json_object_get(lease, "spec");
    struct lease_record r = {.there = true};
    r.long_holder = !copy(r.holder, sizeof(r.holder), json_object_get(spec, "holderIdentity"));
    (void)copy(r.uid, sizeof(r.uid), json_object_get(meta, "uid"));
    int64_t version;
    const char *text = json_string_value(json_object_get(meta, "resourceVersion"));
    if (text && str_int(str_z(text), 1, INT64_MAX, &version))
        r.version = (uint64_t)version;
    r.duration_s = count_of(json_object_get(spec, "leaseDurationSeconds"));
    r.transitions = count_of(json_object_get(spec, "leaseTransitions"));
    r.acquire_s = seconds_of(json_object_get(spec, "acquireTime"));
    r.renew_s = seconds_of(json_object_get(spec, "renewTime"));
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

static bool put(json_t *in, const char *key, json_t *value)
{
    return json_object_set_new(in, key, value) == 0; /* takes value, also NULL and on failure */
}

static json_t *member(json_t *in, const char *key)
{
    json_t *value = json_object_get(in, key);
    if (!json_is_object(value) && put(in, key, json_object()))
        value = json_object_get(in, key);
    return value;
}

static json_t *text_of(struct str s) { return json_stringn(s.p ? s.p : "", s.n); }

static json_t *new_object(const struct lease_body_args *a)
{
    json_auto_t *lease = json_object();
    json_t *meta = lease ? member(lease, "metadata") : NULL;
    bool good = meta && put(lease, "apiVersion", json_string("coordination.k8s.io/v1")) &&
                put(lease, "kind", json_string("Lease")) && put(meta, "name", text_of(a->name)) &&
                put(meta, "namespace", text_of(a->ns));
    return good ? TAKE(lease) : NULL;
}

char *lease_body(const struct lease_body_args *a, size_t *ret_n)
{
    json_auto_t *lease =
        a->object.p ? json_loadb(a->object.p, a->object.n, 0, NULL) : new_object(a);
    json_t *spec = json_is_object(lease) ? member(lease, "spec") : NULL;
    if (!spec)
        return NULL;
    char now[CLOCK_TEXT_MAX];
    (void)clock_rfc3339(a->wall_ns, /* micro= */ true, now);
    int64_t transitions = count_of(json_object_get(spec, "leaseTransitions"));
    if (a->object.p && !a->held && !a->release && transitions < INT32_MAX)
        transitions++;
    bool good = put(spec, "holderIdentity", text_of(a->release ? STR("") : a->identity)) &&
                put(spec, "leaseDurationSeconds",
                    json_integer(a->release ? 1 : (json_int_t)a->duration_s)) &&
                put(spec, "leaseTransitions", json_integer((json_int_t)transitions)) &&
                put(spec, "renewTime", json_string(now));
    if (!a->held || a->release)
        good = good && put(spec, "acquireTime", json_string(now));
    if (!good)
        return NULL;
    size_t n = json_dumpb(lease, NULL, 0, JSON_COMPACT);
    char *text = n ? malloc(n + 1) : NULL;
    if (!text)
        return NULL;
    if (json_dumpb(lease, text, n, JSON_COMPACT) != n) {
        free(text);
        return NULL;
    }
    text[n] = '\0';
    *ret_n = n;
    return text;
}
