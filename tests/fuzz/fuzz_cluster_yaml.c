/* Cluster files: whatever the text, it parses or is refused with a place; what parses, printed as
 * JSON, parses to the same again; and a store that refused a file is as empty as before. */
#include "kubeclient/kubeclient.h"
#include "kubeclient/priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Numbers of other forms (1e3) are printed in another form, and NUL is refused: all else is stable.
 */
static void round_trip(const json_t *documents)
{
    for (size_t i = 0; i < json_array_size(documents); i++) {
        char *text = json_dumps(json_array_get(documents, i), JSON_COMPACT | JSON_ENCODE_ANY);
        json_t *again = NULL;
        struct err err;
        assert(text);
        enum err_code rc = kube_yaml_parse(str_z(text), "again", &again, &err);
        /* a plain scalar at the top is printed without the quotes' context only if it is no string
         */
        if (rc == ERR_OK)
            assert(json_array_size(again) == 1 &&
                   json_equal(json_array_get(again, 0), json_array_get(documents, i)));
        json_decref(again);
        free(text);
    }
}

static enum err_code count(void *ctx, struct str object, struct err *err)
{
    json_t *o = json_loadb(object.p, object.n, 0, NULL);
    struct kube_refusal r;
    (void)err;
    assert(json_is_object(o)); /* the store's own text is JSON */
    assert(kube_rules_valid(*(enum kube_kind *)ctx, o, &r));
    json_decref(o);
    return ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = {(const char *)data, size};
    struct err err = {.code = ERR_OK};
    json_t *documents = NULL;
    enum err_code rc = kube_yaml_parse(text, "f", &documents, &err);
    assert(rc == ERR_OK || rc == ERR_BAD_REQUEST);
    if (rc == ERR_OK)
        round_trip(documents);
    else
        assert(strncmp(err.text, "f:", 2) == 0 && err.text[2] >= '1' && err.text[2] <= '9');
    json_decref(documents);

    char path[64];
    int fd = memfd_create("cluster", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    const char *paths[] = {path};
    struct kube *k = NULL;
    struct kube_store *st = NULL;
    rc = kube_store_new(NULL, &CLOCK_SYSTEM, &k, &st, &err);
    assert(rc == ERR_OK);
    rc = kube_store_load(st, paths, 1, NULL, NULL, &err);
    assert(rc == ERR_OK || rc == ERR_BAD_REQUEST);
    for (int kind = 0; kind < KUBE_KIND_COUNT_; kind++) {
        enum kube_kind which = (enum kube_kind)kind;
        struct kube_list_handler handler = {.item = count, .ctx = &which};
        char rv[KUBE_RV_MAX];
        enum err_code listed = kube_list(k, which, NULL, NULL, &handler, rv, &err);
        assert(listed == ERR_OK && (rc == ERR_OK || strcmp(rv, "0") == 0));
    }
    kube_free(k);
    (void)close(fd);
    return 0;
}
