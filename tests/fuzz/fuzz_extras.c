/* What other annotations say of a list's shares. The first byte picks the kind of row, the first
 * line is the list, what follows is the annotation. What is read stays within its bounds; written
 * as a decision and read again it is the same. */
#include "vendor/vendor.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONTAINERS ((uint16_t)3)
static const struct str NAMES[CONTAINERS] = {STR_INIT("a"), STR_INIT("b"), STR_INIT("c")};
static const struct score_profile PROFILE = {.name = STR_INIT("1g")};

#define LISTS .core = {.key = STR_INIT("K")}, .pod_allocated = STR_INIT("list"), .mem_factor = 1
static const struct vendor ROWS[] = {
    {LISTS, .extra = VENDOR_EXTRA_SLICES_LIST, .pod_mig = STR_INIT("more")},
    {LISTS, .extra = VENDOR_EXTRA_ASSIGNED, .pod_assigned = STR_INIT("more")},
    {LISTS, .extra = VENDOR_EXTRA_CORE_IDS, .rules = VENDOR_RULE_BITS},
};

struct written {
    struct arena *arena;
    struct str list, more;
};

static void keep(void *ctx, struct str key, struct str value)
{
    struct written *w = ctx;
    if (str_eq(key, STR("list")))
        w->list = arena_str(w->arena, value);
    else if (str_eq(key, STR("more")))
        w->more = arena_str(w->arena, value);
}

static enum err_code read_all(const struct vendor *v, const struct written *w,
                              struct vendor_alloc **ret, uint16_t *ret_n, struct err *err)
{
    enum err_code rc = vendor_alloc_decode(w->list, NULL, CONTAINERS, w->arena, ret, ret_n, err);
    return rc ? rc
              : vendor_alloc_extra(v, w->more, w->more, NAMES, CONTAINERS, w->arena, *ret, *ret_n,
                                   err);
}

static void write_all(const struct vendor *v, const struct vendor_alloc *a, uint16_t n,
                      struct written *ret)
{
    struct vendor_written *shares = arena_array(ret->arena, n, sizeof(*shares));
    assert(shares);
    for (uint16_t i = 0; i < n; i++)
        shares[i] = (struct vendor_written){.container = a[i].container,
                                            .container_name = NAMES[a[i].container],
                                            .shares = a[i].shares,
                                            .uuid = a[i].uuid,
                                            .mem_mib = a[i].mem_mib,
                                            .cores_pct = a[i].cores_pct,
                                            .bits = a[i].bits,
                                            .profile = a[i].bits ? &PROFILE : NULL};
    struct vendor_write w = {.shares = shares, .shares_n = n, .containers_n = CONTAINERS};
    struct err err;
    assert(vendor_annotate(v, &w, ret->arena, keep, ret, &err) == ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > 1 << 16) /* what is written back still fits an annotation */
        return 0;
    const struct vendor *v = &ROWS[data[0] % 3];
    struct written in = {.arena = arena_new(64 << 20)}, out = {.arena = in.arena};
    assert(in.arena);
    struct str rest = {(const char *)data + 1, size - 1};
    (void)str_split(&rest, '\n', &in.list);
    in.more = rest;
    struct vendor_alloc *a = NULL, *b = NULL;
    uint16_t n = 0, again = 0;
    struct err err = {0};
    enum err_code rc = read_all(v, &in, &a, &n, &err);
    assert(rc == ERR_OK || (rc == ERR_INVALID && err.text[0]));
    if (!rc && n > 0) {
        for (uint16_t i = 0; i < n; i++)
            assert(a[i].shares >= 1 && a[i].cores_pct >= 0);
        write_all(v, a, n, &out);
        assert(read_all(v, &out, &b, &again, &err) == ERR_OK);
        assert(again == n);
        for (uint16_t i = 0; i < n; i++)
            assert(a[i].container == b[i].container && str_eq(a[i].uuid, b[i].uuid) &&
                   a[i].mem_mib == b[i].mem_mib && a[i].cores_pct == b[i].cores_pct &&
                   a[i].bits == b[i].bits && a[i].shares == b[i].shares);
    }
    arena_free(in.arena);
    return 0;
}
