/* Command lines: whatever parses is within its bounds and free of contradictions; whatever does not
 * has a text. One argument a line. */
#include "extender/priv.h"

#include <assert.h>
#include <string.h>

enum { ARGS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *argv[ARGS_MAX] = {"cardinald"};
    int argc = 1;
    if (!text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    char *rest = text;
    while (rest && argc < ARGS_MAX)
        argv[argc++] = strsep(&rest, "\n");
    struct ext_config c, before;
    memset(&before, 0x5a, sizeof(before));
    c = before;
    struct err err = {0};
    enum err_code rc = ext_config_parse(argc, argv, &c, &err);
    if (rc) {
        assert(rc == ERR_BAD_REQUEST);
        assert(err.text[0] != '\0');
        assert(memcmp(&c, &before, sizeof(c)) == 0);
        free(text);
        return 0;
    }
    if (!c.help && !c.version) {
        assert(c.shortlist >= 0);
        assert(c.score_max >= 1);
        assert(c.bind_timeout_ms >= 200);
        assert(c.idle_timeout_s >= 180);
        assert(c.workers_max >= 1);
        assert(c.body_max >= 1024 && c.body_max <= c.bodies_max &&
               c.body_max <= c.request_memory_max);
        assert(c.connections_max >= 1 && c.in_flight_max >= 1);
        assert(c.header_timeout_ms >= 100 && c.body_timeout_ms >= 100);
        assert(!c.cert_file == !c.key_file);
        assert(!(c.cluster.n > 0 && c.kubeconfig));
        assert(!(c.http_bind && c.listen_extender));
        assert(!c.listen_webhook || c.cert_file);
    }
    assert(strlen(ext_config_ignored(&c)) < 4096);
    ext_config_done(&c);
    free(text);
    return 0;
}
