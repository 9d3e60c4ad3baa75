/* A ResourceQuota's limits on cards, in effective units; and the name of any object. Source:
 * core.md 7. */
#include "cluster/decode.h"

/* Adds or replaces the limit; a limit that can't be read blocks everything and is told. */
static void put_limit(const struct cluster_config *cfg, struct str value, uint16_t vendor, bool mem,
                      bool *broken, struct cluster_quota_object *quota)
{
    struct quantity q;
    int64_t limit = 0;
    bool bad = quantity_parse(value, &q, NULL) || quantity_sign(&q) < 0;
    if (!bad && !quantity_floor(&q, 0, &limit))
        limit = INT64_MAX;
    const int32_t factor = mem ? vendor_at(cfg->vendors, vendor)->mem_factor : 1;
    if (__builtin_mul_overflow(limit, factor, &limit) || limit > INT64_MAX / 4)
        limit = INT64_MAX / 4; /* what is left of it can be added to */
    uint16_t i = 0;
    while (i < quota->limits_n &&
           (quota->limits[i].vendor != vendor || quota->limits[i].mem != mem))
        i++;
    if (i == quota->limits_n)
        quota->limits_n++;
    quota->limits[i].vendor = vendor;
    quota->limits[i].mem = mem;
    quota->limits[i].limit = limit;
    broken[i] = bad;
}

static void read_hard(struct decode *d, bool *broken, struct cluster_quota_object *quota)
{
    struct str key;
    if (scan_null(&d->s)) {
        quota->limits_n = 0;
        return;
    }
    if (!scan_object(&d->s))
        return;
    while (scan_key(&d->s, &key)) {
        uint16_t vendor;
        bool mem;
        struct str value = STR("0");
        if (!vendor_find_quota(d->cfg->vendors, key, &vendor, &mem)) {
            scan_skip(&d->s);
            continue;
        }
        decode_quantity(d, &value);
        if (!d->s.fault)
            put_limit(d->cfg, value, vendor, mem, broken, quota);
    }
}

struct identity {
    struct str ns, name, uid;
};

static void read_identity(struct decode *d, struct identity *id)
{
    struct str key;
    if (!decode_object(d))
        return;
    while (scan_key(&d->s, &key)) {
        if (decode_is(d, key, STR("name")))
            decode_text(d, &id->name);
        else if (decode_is(d, key, STR("namespace")))
            decode_text(d, &id->ns);
        else if (decode_is(d, key, STR("uid")))
            decode_text(d, &id->uid);
        else
            scan_skip(&d->s);
    }
}

static void read_spec(struct decode *d, bool *broken, struct cluster_quota_object *quota)
{
    struct str key;
    if (!decode_object(d))
        return;
    while (scan_key(&d->s, &key)) {
        if (decode_is(d, key, STR("hard")))
            read_hard(d, broken, quota);
        else
            scan_skip(&d->s);
    }
}

enum err_code cluster_quota_decode(const struct cluster_config *cfg, struct str text,
                                   struct arena *arena, struct cluster_quota_object *ret,
                                   struct err *err)
{
    struct cluster_quota_object quota = {.ns = STR("")};
    bool broken[sizeof(quota.limits) / sizeof(quota.limits[0])] = {false};
    struct identity id = {STR(""), STR(""), STR("")};
    struct decode d = decode_start(cfg, text, false, arena);
    struct str key;
    if (scan_object(&d.s))
        while (scan_key(&d.s, &key)) {
            if (decode_is(&d, key, STR("metadata")))
                read_identity(&d, &id);
            else if (decode_is(&d, key, STR("spec")))
                read_spec(&d, broken, &quota);
            else
                scan_skip(&d.s);
        }
    if (!scan_end(&d.s) || arena_failed(arena))
        return decode_failed(&d, "quota", err);
    if (id.name.n == 0)
        return err_set(err, ERR_BAD_REQUEST, "quota: metadata.name is missing");
    quota.ns = id.ns;
    quota.name = id.name;
    for (uint16_t i = 0; i < quota.limits_n; i++)
        quota.broken = quota.broken || broken[i];
    *ret = quota;
    return ERR_OK;
}

enum err_code cluster_identity_decode(struct str text, struct arena *arena, struct str *ret_ns,
                                      struct str *ret_name, struct str *ret_uid, struct err *err)
{
    struct identity id = {STR(""), STR(""), STR("")};
    struct decode d = decode_start(NULL, text, false, arena);
    struct str key;
    if (scan_object(&d.s))
        while (scan_key(&d.s, &key)) {
            if (decode_is(&d, key, STR("metadata")))
                read_identity(&d, &id);
            else
                scan_skip(&d.s);
        }
    const bool known = id.name.n > 0 && id.uid.n > 0;
    if (!known && (!scan_end(&d.s) || arena_failed(arena)))
        return decode_failed(&d, "object", err);
    if (id.name.n == 0)
        return err_set(err, ERR_BAD_REQUEST, "object: metadata.name is missing");
    *ret_ns = id.ns;
    *ret_name = id.name;
    *ret_uid = id.uid;
    return ERR_OK;
}
