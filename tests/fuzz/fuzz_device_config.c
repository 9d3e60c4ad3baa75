/* device-config.yaml. A table that comes out answers for every name in it; what is refused says
 * where. The names of a table, written as a file and read again, give the same table. */
#include "vendor/vendor.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_unknown(void *ctx, const char *text)
{
    (void)ctx;
    assert(text[0]);
}

static void on_unbuilt(void *ctx, const char *section)
{
    (void)ctx;
    assert(section[0]);
}

static void check_names(const struct vendor_table *t, uint16_t i)
{
    const struct vendor *v = vendor_at(t, i);
    const struct str names[VENDOR_RES_COUNT_] = {v->res_count, v->res_mem, v->res_mem_pct,
                                                 v->res_cores, v->res_priority};
    uint16_t row;
    enum vendor_resource what;
    bool is_mem;
    assert(v->res_count.n > 0 && v->mem_factor >= 1 && v->default_count >= 0);
    for (int n = 0; n < VENDOR_RES_COUNT_; n++)
        if (names[n].n > 0) {
            assert(vendor_find_resource(t, names[n], &row, &what));
            assert(row == i && (int)what == n);
        }
    assert(v->res_mem.n == 0 || (vendor_find_quota(t, v->quota_mem, &row, &is_mem) && is_mem));
}

static void write_back(const struct vendor *v, struct buf *out)
{
    const struct {
        const char *key;
        struct str text;
    } texts[] = {
        {"resourceCountName", v->res_count},
        {"resourceMemoryName", v->res_mem},
        {"resourceMemoryPercentageName", v->res_mem_pct},
        {"resourceCoreName", v->res_cores},
        {"resourcePriorityName", v->res_priority},
        {"gpuCorePolicy", v->core_policy},
        {"runtimeClassName", v->runtime_class},
    };
    buf_add(out, STR("nvidia:\n"));
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        buf_fmt(out, "  %s: \"" STR_FMT "\"\n", texts[i].key, STR_ARG(texts[i].text));
    buf_fmt(out, "  overwriteEnv: %s\n  defaultMemory: %d\n  defaultCores: %d\n",
            v->overwrite_env ? "true" : "false", v->default_mem_mib, v->default_cores_pct);
    buf_fmt(out, "  defaultGPUNum: %d\n  memoryFactor: %d\n", v->default_count, v->mem_factor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vendor_load_handler handler = {on_unknown, on_unbuilt, NULL};
    struct vendor_table *t = NULL, *again = NULL;
    struct err err = {0};
    enum err_code rc =
        vendor_table_parse((struct str){(const char *)data, size}, "f", &handler, &t, &err);
    if (rc) {
        assert(rc == ERR_BAD_REQUEST && !t);
        assert(strncmp(err.text, "f:", 2) == 0);
        return 0;
    }
    for (uint16_t i = 0; i < vendor_count(t); i++) {
        struct buf out;
        check_names(t, i);
        buf_init(&out, 1 << 20);
        write_back(vendor_at(t, i), &out);
        assert(vendor_table_parse((struct str){out.p, out.n}, "g", NULL, &again, &err) == ERR_OK);
        const struct vendor *a = vendor_at(t, i), *b = vendor_at(again, 0);
        assert(str_eq(a->res_count, b->res_count) && str_eq(a->quota_cores, b->quota_cores));
        assert(a->mem_factor == b->mem_factor && a->default_count == b->default_count);
        assert(a->overwrite_env == b->overwrite_env && str_eq(a->core_policy, b->core_policy));
        vendor_table_free(again);
        buf_done(&out);
    }
    vendor_table_free(t);
    return 0;
}
