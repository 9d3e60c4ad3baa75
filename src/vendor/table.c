/* The table: rows side by side, and one hash look-up from any name that arrives (a resource, an
 * annotation, a quota key) to its row and meaning. Immutable once made. */
#include "vendor/priv.h"

#include "base/own.h"
#include "vendor/keys.h"

#include <assert.h>
#include <sys/random.h>

struct str vendor_resource_name(const struct vendor *v, enum vendor_resource what)
{
    const struct str names[VENDOR_RES_COUNT_] = {
        [VENDOR_RES_COUNT] = v->res_count,       [VENDOR_RES_MEM] = v->res_mem,
        [VENDOR_RES_MEM_PCT] = v->res_mem_pct,   [VENDOR_RES_CORES] = v->res_cores,
        [VENDOR_RES_PRIORITY] = v->res_priority, [VENDOR_RES_SLICES] = v->res_slices,
    };
    assert(what < VENDOR_RES_COUNT_);
    return names[what];
}

static struct str key_name(const struct vendor *v, enum vendor_key key)
{
    const struct str names[VENDOR_KEY_COUNT_] = {
        [VENDOR_KEY_NODE_REGISTER] = v->node_register,
        [VENDOR_KEY_NODE_SCORE] = v->node_score,
        [VENDOR_KEY_NODE_HANDSHAKE] = v->node_handshake,
        [VENDOR_KEY_NODE_CORDON] = v->node_cordon,
        [VENDOR_KEY_NODE_LOCK] = v->node_lock,
        [VENDOR_KEY_POD_TO_ALLOCATE] = v->pod_to_allocate,
        [VENDOR_KEY_POD_ALLOCATED] = v->pod_allocated,
        [VENDOR_KEY_POD_MIG] = v->pod_mig,
        [VENDOR_KEY_POD_USE_TYPE] = v->pod_use_type,
        [VENDOR_KEY_POD_NOUSE_TYPE] = v->pod_nouse_type,
        [VENDOR_KEY_POD_USE_UUID] = v->pod_use_uuid,
        [VENDOR_KEY_POD_NOUSE_UUID] = v->pod_nouse_uuid,
        [VENDOR_KEY_POD_MODE] = v->pod_mode,
        [VENDOR_KEY_POD_NUMA_BIND] = v->pod_numa_bind,
        [VENDOR_KEY_NODE_SOFT] = v->node_soft,
        [VENDOR_KEY_NODE_LOSS] = v->node_loss,
        [VENDOR_KEY_NODE_GAIN] = v->node_gain,
        [VENDOR_KEY_POD_USE_UUID2] = v->pod_use_uuid2,
        [VENDOR_KEY_POD_NOUSE_UUID2] = v->pod_nouse_uuid2,
        [VENDOR_KEY_POD_SOFT] = v->pod_soft,
        [VENDOR_KEY_POD_CLASS] = v->pod_class,
        [VENDOR_KEY_POD_QOS] = v->pod_qos,
        [VENDOR_KEY_POD_TOPOLOGY] = v->pod_topology,
        [VENDOR_KEY_POD_ASSIGNED] = v->pod_assigned,
    };
    return names[key];
}

/* Names come from configuration, look-ups from anybody. The seed only keeps look-ups cheap; results
 * never depend on it, so a system without getrandom() loses nothing but that. */
static uint64_t map_seed(const void *salt)
{
    uint64_t seed;
    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != (ssize_t)sizeof(seed))
        seed = (uint64_t)(uintptr_t)salt;
    return seed;
}

static uint32_t pack(uint16_t row, unsigned what) { return (uint32_t)row << 8 | what; }

/* Puts a name unless it is empty or there already (the first row keeps it). */
MUST_USE static enum err_code put_first(struct map *m, struct str name, uint32_t value,
                                        bool *ret_new)
{
    uint32_t old;
    *ret_new = false;
    if (name.n == 0 || map_get(m, name, &old))
        return ERR_OK;
    *ret_new = true;
    return map_put(m, name, value);
}

static struct str quota_key(struct arena *arena, struct str resource)
{
    static const struct str PREFIX = STR_INIT("limits.");
    if (resource.n == 0)
        return STR("");
    char *p = arena_alloc(arena, PREFIX.n + resource.n + 1);
    if (!p)
        return STR("");
    for (size_t i = 0; i < PREFIX.n; i++)
        p[i] = PREFIX.p[i];
    for (size_t i = 0; i < resource.n; i++)
        p[PREFIX.n + i] = resource.p[i];
    return (struct str){p, PREFIX.n + resource.n};
}

MUST_USE static enum err_code index_row(struct vendor_table *t, uint16_t i, struct err *err)
{
    const struct vendor *v = &t->rows[i];
    bool fresh;
    for (unsigned what = 0; what < VENDOR_RES_COUNT_; what++) {
        struct str name = vendor_resource_name(v, (enum vendor_resource)what);
        if (put_first(t->resources, name, pack(i, what), &fresh))
            return err_set(err, ERR_NO_MEMORY, "index vendors");
        if (name.n > 0 && !fresh)
            return err_set(err, ERR_BAD_REQUEST, "resource name " STR_FMT " is used twice",
                           STR_ARG(name));
    }
    for (unsigned key = 0; key < VENDOR_KEY_COUNT_; key++)
        if (put_first(t->keys, key_name(v, (enum vendor_key)key), pack(i, key), &fresh))
            return err_set(err, ERR_NO_MEMORY, "index vendors");
    if (put_first(t->quotas, v->quota_mem, pack(i, true), &fresh) ||
        put_first(t->quotas, v->quota_cores, pack(i, false), &fresh))
        return err_set(err, ERR_NO_MEMORY, "index vendors");
    return ERR_OK;
}

MUST_USE static enum err_code fill(struct vendor_table *t, const struct vendor *rows,
                                   struct arena *arena, struct err *err)
{
    const uint16_t n = t->n;
    t->rows = calloc(n ? n : 1u, sizeof(*t->rows));
    t->cores = calloc(n ? n : 1u, sizeof(*t->cores));
    t->resources = map_new(map_seed(t), (size_t)n * VENDOR_RES_COUNT_);
    t->keys = map_new(map_seed(t), (size_t)n * VENDOR_KEY_COUNT_);
    t->quotas = map_new(map_seed(t), (size_t)n * 2);
    if (!t->rows || !t->cores || !t->resources || !t->keys || !t->quotas)
        return err_set(err, ERR_NO_MEMORY, "vendor table");
    for (uint16_t i = 0; i < n; i++) {
        t->rows[i] = rows[i];
        t->rows[i].quota_mem = quota_key(arena, rows[i].res_mem);
        t->rows[i].quota_cores = quota_key(arena, rows[i].res_cores);
        t->cores[i] = rows[i].core;
        if (arena_failed(arena))
            return err_set(err, ERR_NO_MEMORY, "vendor table");
        enum err_code rc = index_row(t, i, err);
        if (rc)
            return rc;
    }
    return ERR_OK;
}

enum err_code vendor_table_make(const struct vendor *rows, uint16_t n, struct arena *arena,
                                struct vendor_table **ret, struct err *err)
{
    assert(n <= SCORE_VENDORS_MAX);
    struct vendor_table *t = calloc(1, sizeof(*t));
    if (!t)
        return err_set(err, ERR_NO_MEMORY, "vendor table");
    t->n = n;
    enum err_code rc = fill(t, rows, arena, err);
    if (rc) {
        vendor_table_free(t);
        return rc;
    }
    t->arena = arena;
    *ret = t;
    return ERR_OK;
}

DEFINE_CLEANUP(struct arena *, arena_free)

enum err_code vendor_table_builtin(struct vendor_table **ret, struct err *err)
{
    struct arena *arena CLEANUP(arena_free_p) = arena_new(VENDOR_ARENA_MAX);
    if (!arena)
        return err_set(err, ERR_NO_MEMORY, "vendor table");
    enum err_code rc = vendor_table_make(VENDOR_BUILTIN, VENDOR_BUILTIN_N, arena, ret, err);
    if (rc)
        return rc;
    (void)TAKE(arena); /* the table's from here on */
    return ERR_OK;
}

enum err_code vendor_table_leave_out(struct vendor_table **t, struct str section, struct err *err)
{
    struct vendor_table *old = *t, *made = NULL;
    struct vendor *rows = arena_array(old->arena, old->n ? old->n : 1u, sizeof(*rows));
    uint16_t n = 0;
    if (!rows)
        return err_set(err, ERR_NO_MEMORY, "vendor table");
    for (uint16_t i = 0; i < old->n; i++)
        if (!str_eq(old->rows[i].section, section))
            rows[n++] = old->rows[i];
    enum err_code rc = vendor_table_make(rows, n, old->arena, &made, err);
    if (rc)
        return rc;
    old->arena = NULL; /* the new table's */
    vendor_table_free(old);
    *t = made;
    return ERR_OK;
}

void vendor_table_free(struct vendor_table *t)
{
    if (!t)
        return;
    map_free(t->resources);
    map_free(t->keys);
    map_free(t->quotas);
    free(t->rows);
    free(t->cores);
    arena_free(t->arena);
    free(t);
}

uint16_t vendor_count(const struct vendor_table *t) { return t->n; }

const struct vendor *vendor_at(const struct vendor_table *t, uint16_t i)
{
    assert(i < t->n);
    return &t->rows[i];
}

bool vendor_locks_by_owner(const struct vendor *v)
{
    return v->rules & VENDOR_RULE_LOCK && !v->lock_time_only;
}

bool vendor_serves_locked(const struct vendor *v)
{
    return vendor_locks_by_owner(v) && v->pod_to_allocate.n > 0;
}

const struct score_vendor *vendor_cores(const struct vendor_table *t) { return t->cores; }

bool vendor_find_resource(const struct vendor_table *t, struct str name, uint16_t *ret_vendor,
                          enum vendor_resource *ret_what)
{
    uint32_t packed;
    if (!map_get(t->resources, name, &packed))
        return false;
    *ret_vendor = (uint16_t)(packed >> 8);
    *ret_what = (enum vendor_resource)(packed & 0xff);
    return true;
}

bool vendor_find_key(const struct vendor_table *t, struct str name, uint16_t *ret_vendor,
                     enum vendor_key *ret_what)
{
    uint32_t packed;
    if (!map_get(t->keys, name, &packed))
        return false;
    *ret_vendor = (uint16_t)(packed >> 8);
    *ret_what = (enum vendor_key)(packed & 0xff);
    return true;
}

bool vendor_key_home(const struct vendor_table *t, uint16_t vendor, enum vendor_key what,
                     uint16_t *ret_vendor, enum vendor_key *ret_what)
{
    struct str name = key_name(vendor_at(t, vendor), what);
    return name.n > 0 && vendor_find_key(t, name, ret_vendor, ret_what);
}

bool vendor_find_quota(const struct vendor_table *t, struct str hard_key, uint16_t *ret_vendor,
                       bool *ret_is_mem)
{
    uint32_t packed;
    if (!map_get(t->quotas, hard_key, &packed))
        return false;
    *ret_vendor = (uint16_t)(packed >> 8);
    *ret_is_mem = (packed & 0xff) != 0;
    return true;
}

bool vendor_key_reserved(const struct vendor_table *t, struct str name)
{
    /* Of no maker in particular (core.md 0.2). */
    static const struct str FIXED[] = {
        STR_INIT(KEY_POD_NODE),
        STR_INIT(KEY_POD_TIME),
        STR_INIT(KEY_POD_BIND_TIME),
        STR_INIT(KEY_POD_BIND_PHASE),
    };
    for (size_t i = 0; i < sizeof(FIXED) / sizeof(FIXED[0]); i++)
        if (str_eq(name, FIXED[i]))
            return true;
    /* Makers that this table doesn't serve: their plugins would believe a forged list all the same.
     */
    static const struct str OTHERS[] = {
        STR_INIT("hami.io/vgpu-mig-allocations"),
        STR_INIT("hami.io/kunlun-allocated"),
        STR_INIT("assigned-containers"),
    };
    for (size_t i = 0; i < sizeof(OTHERS) / sizeof(OTHERS[0]); i++)
        if (str_eq(name, OTHERS[i]))
            return true;
    if (str_has_prefix(name, STR("hami.io/")) &&
        (str_has_suffix(name, STR("-devices-to-allocate")) ||
         str_has_suffix(name, STR("-devices-allocated"))))
        return true;
    if (vendor_extra_key(t, name))
        return true;
    uint16_t row;
    enum vendor_key what;
    return vendor_find_key(t, name, &row, &what) &&
           (what == VENDOR_KEY_POD_TO_ALLOCATE || what == VENDOR_KEY_POD_ALLOCATED ||
            what == VENDOR_KEY_POD_MIG || what == VENDOR_KEY_POD_ASSIGNED);
}
