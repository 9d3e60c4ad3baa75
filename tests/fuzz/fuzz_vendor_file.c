/* A file of --vendor-file. What is refused says where and changes nothing; a table that comes out is
 * printed, read again, and prints the same. */
#include "vendor/vendor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *printed(const struct vendor_table *t, size_t *n)
{
    struct buf out;
    buf_init(&out, 16 << 20);
    vendor_table_print(t, &out);
    assert(!out.failed);
    return buf_take(&out, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vendor_table *t = NULL, *again = NULL;
    struct err err = {0};
    assert(vendor_table_builtin(&t, &err) == ERR_OK);
    const struct vendor_table *before = t;
    enum err_code rc = vendor_table_extend(&t, (struct str){(const char *)data, size}, "f", &err);
    if (rc) {
        assert(rc == ERR_BAD_REQUEST && t == before && strncmp(err.text, "f:", 2) == 0);
        vendor_table_free(t);
        return 0;
    }
    size_t n, m;
    char *once = printed(t, &n);
    if (vendor_count(t) > 0) {
        assert(vendor_table_builtin(&again, &err) == ERR_OK);
        assert(vendor_table_extend(&again, (struct str){once, n}, "f", &err) == ERR_OK);
        char *twice = printed(again, &m);
        assert(n == m && memcmp(once, twice, n) == 0);
        free(twice);
    }
    free(once);
    vendor_table_free(t);
    vendor_table_free(again);
    return 0;
}
