/* Registrations, JSON and text: what is read is bounded, sorted, without twins, and, written as
 * JSON and read again, the same. */
#include "vendor/vendor.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct vendor JSON = {.inventory = VENDOR_INVENTORY_JSON};
static const struct vendor TEXT = {.inventory = VENDOR_INVENTORY_TEXT};

static void write_json(const struct vendor_device *d, uint16_t n, struct buf *out)
{
    buf_char(out, '[');
    for (uint16_t i = 0; i < n; i++) {
        buf_add(out, i ? STR(",{\"id\":") : STR("{\"id\":"));
        buf_json(out, d[i].id);
        buf_fmt(out,
                ",\"index\":%d,\"count\":%d,\"devmem\":%lld,\"devcore\":%d,\"numa\":%d,\"type\":",
                d[i].index, d[i].count, (long long)d[i].mem_mib, d[i].cores_pct, d[i].numa);
        buf_json(out, d[i].type);
        buf_add(out, STR(",\"mode\":"));
        buf_json(out, d[i].mode);
        buf_add(out, d[i].healthy ? STR(",\"health\":true}") : STR("}"));
    }
    buf_char(out, ']');
}

static enum err_code decode(const struct vendor *v, struct str text, struct arena *arena,
                            struct vendor_device **ret, uint16_t *ret_n, uint16_t *ret_dropped,
                            struct err *err)
{
    const struct vendor_node_text node = {.node = STR("n1"), .list = text};
    struct vendor_cards cards = {0};
    enum err_code rc = vendor_cards_decode(v, &node, arena, &cards, err);
    if (rc)
        return rc;
    *ret = cards.devices;
    *ret_n = cards.devices_n;
    *ret_dropped = cards.dropped;
    return ERR_OK;
}

static void check(const struct vendor *v, struct str text)
{
    struct arena *arena = arena_new(64 << 20);
    assert(arena);
    struct vendor_device *a = NULL, *b = NULL;
    uint16_t n = 0, again = 0, dropped = 0;
    struct err err = {0};
    enum err_code rc = decode(v, text, arena, &a, &n, &dropped, &err);
    if (rc) {
        assert(rc == ERR_INVALID);
        assert(err.code == rc && err.text[0]);
        assert(!a && n == 0);
        arena_free(arena);
        return;
    }
    assert(n + dropped <= SCORE_DEVICES_MAX);
    for (uint16_t i = 0; i < n; i++) {
        assert(a[i].id.n > 0 && str_utf8_valid(a[i].id));
        assert(a[i].count >= 0 && a[i].mem_mib >= 0 && a[i].cores_pct >= 0 && a[i].index >= 0);
        assert(i == 0 || a[i - 1].index < a[i].index ||
               (a[i - 1].index == a[i].index && str_cmp(a[i - 1].id, a[i].id) < 0));
    }
    struct buf out;
    buf_init(&out, 64 << 20);
    write_json(a, n, &out);
    assert(!out.failed);
    assert(decode(&JSON, (struct str){out.p, out.n}, arena, &b, &again, &dropped,
                                  &err) == ERR_OK);
    assert(again == n && dropped == 0);
    for (uint16_t i = 0; i < n; i++) {
        assert(str_eq(a[i].id, b[i].id) && str_eq(a[i].type, b[i].type));
        assert(str_eq(a[i].mode, b[i].mode) && a[i].mig == b[i].mig);
        assert(a[i].index == b[i].index && a[i].count == b[i].count && a[i].numa == b[i].numa);
        assert(a[i].mem_mib == b[i].mem_mib && a[i].cores_pct == b[i].cores_pct);
        assert(a[i].healthy == b[i].healthy);
    }
    buf_done(&out);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    check(&JSON, text);
    check(&TEXT, text);
    return 0;
}
