/* Allocation lists. The first byte says which containers ask. What is read stays within the pod and
 * is never negative; written padded and read again it is the same, whoever asks; nothing that was
 * read is lost from "left". */
#include "vendor/vendor.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CONTAINERS ((uint16_t)7)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    bool asking[CONTAINERS];
    uint16_t containers = 1;
    for (uint16_t c = 0; c < CONTAINERS; c++) {
        asking[c] = data[0] >> c & 1;
        if (asking[c])
            containers = (uint16_t)(c + 1);
    }
    struct str text = {(const char *)data + 1, size - 1};
    struct arena *arena = arena_new(64 << 20);
    assert(arena);
    struct vendor_alloc *a = NULL, *b = NULL;
    uint16_t n = 0, again = 0;
    struct err err = {0};
    enum err_code rc =
        vendor_alloc_decode(text, data[0] >> 7 ? NULL : asking, containers, arena, &a, &n, &err);
    if (rc) {
        assert(rc == ERR_INVALID && err.text[0] && !a);
        arena_free(arena);
        return 0;
    }
    assert(n <= SCORE_PARTS_MAX);
    assert(n == 0 || vendor_alloc_left(text));
    for (uint16_t i = 0; i < n; i++) {
        assert(a[i].container < containers && (i == 0 || a[i - 1].container <= a[i].container));
        assert(a[i].uuid.n > 0 && a[i].mem_mib >= 0 && a[i].cores_pct >= 0);
    }
    struct buf one, two;
    buf_init(&one, 64 << 20);
    buf_init(&two, 64 << 20);
    vendor_alloc_encode(a, n, containers, &one);
    assert(!one.failed);
    assert(vendor_alloc_decode((struct str){one.p, one.n}, asking, containers, arena, &b, &again,
                               &err) == ERR_OK);
    assert(again == n);
    for (uint16_t i = 0; i < n; i++) {
        assert(a[i].container == b[i].container && str_eq(a[i].uuid, b[i].uuid));
        assert(a[i].mem_mib == b[i].mem_mib && a[i].cores_pct == b[i].cores_pct);
    }
    vendor_alloc_encode(b, again, containers, &two);
    assert(str_eq((struct str){one.p, one.n}, (struct str){two.p, two.n}));
    buf_done(&one);
    buf_done(&two);
    arena_free(arena);
    return 0;
}
