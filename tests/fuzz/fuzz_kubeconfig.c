/* Kubeconfig files: whatever the text, a client stands afterwards that knows its server, or there
 * is a text that says why not; no file but those named is looked at, no connection made. */
#include "kubeclient/kubeclient.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd = memfd_create("kubeconfig", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct kube_http_config cfg = {.kubeconfig = path};
    struct kube *k = NULL;
    struct err err = {.code = ERR_OK};
    enum err_code rc = kube_http_new(&cfg, &CLOCK_SYSTEM, &k, &err);
    if (rc == ERR_OK) {
        const char *server = kube_describe(k);
        assert(strncmp(server, "http://", 7) == 0 || strncmp(server, "https://", 8) == 0);
        assert(!strpbrk(server, " \r\n\t@?#"));
    } else {
        assert(rc == ERR_BAD_REQUEST || rc == ERR_TOO_LARGE);
        assert(err.text[0] != '\0' && !strchr(err.text, '\n'));
    }
    kube_free(k);
    (void)close(fd);
    return 0;
}
