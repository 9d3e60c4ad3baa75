/* device-config.yaml. A table that comes out answers for every name in it; what is refused says
 * where. */
#include "vendor/vendor.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_unknown(void *ctx, const char *text)
{
    (void)ctx;
    assert(text[0]);
}

static void check_names(const struct vendor_table *t, uint16_t i)
{
    const struct vendor *v = vendor_at(t, i);
    uint16_t row;
    enum vendor_resource what;
    bool is_mem;
    assert(v->core.key.n > 0 && v->mem_factor >= 1 && v->default_count >= 0);
    assert(v->res_count.n > 0 || v->res_slices.n > 0);
    for (int n = 0; n < VENDOR_RES_COUNT_; n++) {
        struct str name = vendor_resource_name(v, (enum vendor_resource)n);
        if (name.n == 0)
            continue;
        assert(vendor_find_resource(t, name, &row, &what));
        assert(row == i && (int)what == n);
    }
    assert(v->res_mem.n == 0 || (vendor_find_quota(t, v->quota_mem, &row, &is_mem) && is_mem));
    for (uint16_t k = 1; k < v->templates_n; k++)
        assert(v->templates[k - 1].mem_mib <= v->templates[k].mem_mib);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vendor_load_handler handler = {on_unknown, NULL};
    struct vendor_table *t = NULL;
    struct err err = {0};
    enum err_code rc =
        vendor_table_parse((struct str){(const char *)data, size}, "f", &handler, &t, &err);
    if (rc) {
        assert(rc == ERR_BAD_REQUEST && !t);
        assert(strncmp(err.text, "f:", 2) == 0);
        return 0;
    }
    for (uint16_t i = 0; i < vendor_count(t); i++)
        check_names(t, i);
    vendor_table_free(t);
    return 0;
}
