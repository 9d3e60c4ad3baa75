/* Selection lists, policies and weights: the annotations that a pod's author writes. Total on every
 * text, and what comes out is a request that the core takes; the lists hold only trimmed, non-empty
 * pieces of their text. */
#include "vendor/vendor.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_list(const struct str *list, uint16_t n, struct str text)
{
    assert(n <= 2 * VENDOR_SELECTION_MAX); /* of two spellings */
    for (uint16_t i = 0; i < n; i++) {
        assert(list[i].n > 0 && str_eq(str_trim(list[i]), list[i]));
        assert(list[i].p >= text.p && list[i].p + list[i].n <= text.p + text.n);
    }
}

static void check_row(const struct vendor_table *t, uint16_t row,
                      const struct vendor_selection_text *in, struct str text, struct arena *arena)
{
    enum score_step step = SCORE_STEP_APP;
    struct score_ask ask = {.count = 1, .mem_mib = 1, .vendor = row};
    struct score_selection sel = {0};
    struct score_request req = {.vendors = vendor_cores(t),
                                .vendors_n = vendor_count(t),
                                .steps = &step,
                                .containers_n = 1,
                                .asks = &ask,
                                .asks_n = 1,
                                .selections = &sel,
                                .selections_n = 1,
                                .policy = SCORE_POLICY_DEFAULT};
    struct err err = {0};
    enum err_code rc = vendor_selection(vendor_at(t, row), in, arena, &sel, &err);
    assert(rc == ERR_OK || (rc == ERR_INVALID && err.text[0]));
    sel.vendor = row;
    check_list(sel.use_types, sel.use_types_n, text);
    check_list(sel.use_uuids, sel.use_uuids_n, text);
    check_list(sel.nouse_uuids, sel.nouse_uuids_n, text);
    assert(sel.qos <= vendor_at(t, row)->qos_n);
    bool numa = vendor_numa_bind(in);
    assert(vendor_policy(text, text, (struct str){0}, numa, &req.policy, &err) == ERR_OK);
    assert(score_request_check(&req, &err) == ERR_OK);
    rc = vendor_policy(text, text, text, numa, &req.policy, &err);
    assert(rc == ERR_OK || rc == ERR_INVALID);
    assert(rc == ERR_OK || str_has_prefix(str_z(err.text), STR("invalid hami.io/device-scoring")));
    assert(score_request_check(&req, &err) == ERR_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct vendor_table *t = NULL;
    struct arena *arena = arena_new(64 << 20);
    assert(arena && vendor_table_builtin(&t, NULL) == ERR_OK);
    struct vendor_selection_text in = {.use_type = text,
                                       .nouse_type = text,
                                       .use_uuid = text,
                                       .nouse_uuid = text,
                                       .mode = text,
                                       .numa_bind = text,
                                       .use_uuid2 = text,
                                       .nouse_uuid2 = text,
                                       .app_class = text,
                                       .qos = text,
                                       .topology = text};
    for (uint16_t i = 0; i < vendor_count(t); i++)
        check_row(t, i, &in, text, arena);
    vendor_table_free(t);
    arena_free(arena);
    return 0;
}
