/* Configurations of kube-scheduler: any text is refused with a text that names the file, or passes;
 * what is said of it is whole. The first byte chooses the flags that it is held against. */
#include "extender/priv.h"

#include <assert.h>
#include <string.h>

enum { FLAGS_MAX = 16 };
static const char *const FLAGS[][FLAGS_MAX] = {
    {"cardinald", "--scheduler-name=hami-scheduler", NULL},
    {"cardinald", "--leader-elect", "--leader-elect-resource-name=cards",
     "--leader-elect-resource-namespace=sys", NULL},
    {"cardinald", "--listen-extender=:8444", "--extender-tls", "--cert_file=a", "--key_file=b",
     "--client-ca-file=c", "--leader-elect", "--leader-elect-mode=own",
     "--leader-elect-resource-name=cards", "--leader-elect-resource-namespace=sys", NULL},
};
static const char VENDORS[] = "nvidia:\n  resourceCountName: nvidia.com/gpu\n"
                              "  resourceMemoryName: nvidia.com/gpumem\n";

struct said {
    unsigned refused, warned;
};

static void say(void *ctx, bool refused, const char *text)
{
    struct said *s = ctx;
    *(refused ? &s->refused : &s->warned) += 1;
    assert(*text != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vendor_table *vendors; /* the same for each; reachable at the end */
    struct ext_config c;
    struct said said = {0};
    struct err err = {0};
    char *argv[FLAGS_MAX];
    int argc = 0;
    if (size == 0)
        return 0;
    const char *const *flags = FLAGS[data[0] % (sizeof(FLAGS) / sizeof(FLAGS[0]))];
    for (; flags[argc]; argc++)
        argv[argc] = (char *)flags[argc];
    enum err_code rc = ext_config_parse(argc, argv, &c, &err);
    assert(!rc);
    if (!vendors)
        rc = vendor_table_parse(str_z(VENDORS), "d.yaml", &(struct vendor_load_handler){0},
                                &vendors, &err);
    assert(!rc);
    const struct ext_kubesched_report report = {.say = say, .ctx = &said};
    rc = ext_kubesched_check(&c, vendors, (struct str){(const char *)data + 1, size - 1}, "ks.yaml",
                             &report, &err);
    assert(rc == ERR_OK || rc == ERR_BAD_REQUEST || rc == ERR_TOO_LARGE);
    assert(!rc || strstr(err.text, "ks.yaml"));
    assert(rc || said.refused == 0);
    ext_config_done(&c);
    return 0;
}
