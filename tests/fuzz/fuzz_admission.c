/* AdmissionReviews: every body gets one answer that is JSON; an allowed pod, patched, needs no
 * second patch; and no reserved key survives. */
#include "admission/admission.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Everything switched on that a file can switch on. */
static const char CONFIG[] =
    "nvidia: {resourceCountName: nvidia.com/gpu, resourceMemoryName: nvidia.com/gpumem, "
    "resourceMemoryPercentageName: nvidia.com/gpumem-percentage, resourceCoreName: "
    "nvidia.com/gpucores, resourcePriorityName: nvidia.com/priority, defaultGPUNum: 1, "
    "overwriteEnv: true, gpuCorePolicy: force, runtimeClassName: nvidia}";

static bool fits(void *ctx, struct str ns, uint16_t vendor, int64_t mem_mib, int64_t cores_pct,
                 char *msg, size_t msg_max)
{
    (void)ctx, (void)ns;
    assert(vendor < SCORE_VENDORS_MAX && mem_mib >= 0 && cores_pct >= 0 && mem_mib + cores_pct > 0);
    assert(msg_max > 0 && msg[0] == '\0');
    return mem_mib < 100000;
}

static struct admission_config config(struct vendor_table *t)
{
    return (struct admission_config){
        .vendors = t, .scheduler_name = STR("cardinal"), .force_overwrite_default_scheduler = true};
}

/* The pod of the body, if there is one: decided on directly, patched, and decided on again. */
static void check_pod(const struct admission_config *cfg, const json_t *pod)
{
    struct admission_result first, second;
    struct admission_quota quota = {fits, NULL};
    assert(admission_mutate(cfg, pod, STR("ns"), &quota, &first, NULL) == ERR_OK);
    assert((first.verdict == ADMISSION_ALLOW) == (first.patch != NULL));
    assert(first.verdict == ADMISSION_ALLOW || (first.code >= 400 && first.message[0]));
    json_t *patched = NULL;
    if (first.patch && admission_apply(pod, first.patch, &patched, NULL) == ERR_OK) {
        assert(admission_mutate(cfg, patched, STR("ns"), &quota, &second, NULL) == ERR_OK);
        assert(second.verdict == ADMISSION_ALLOW && json_array_size(second.patch) == 0);
        assert(second.has_resource == first.has_resource);
        const char *key;
        json_t *value;
        json_t *annotations = json_object_get(json_object_get(patched, "metadata"), "annotations");
        json_object_foreach(annotations, key, value)
            assert(!vendor_key_reserved(cfg->vendors, str_z(key)));
        json_decref(patched);
        admission_result_done(&second);
    } else {
        assert(!first.patch); /* our own patch applies to the pod that it was made for */
    }
    admission_result_done(&first);
}

static void check_body(const struct admission_config *cfg, struct str data)
{
    struct buf out;
    buf_init(&out, 256 << 20);
    assert(admission_review(cfg, NULL, data, &out, NULL, NULL) == ERR_OK);
    json_t *answer = json_loadb(out.p, out.n, JSON_ALLOW_NUL, NULL);
    const json_t *response = json_object_get(answer, "response");
    assert(json_is_boolean(json_object_get(response, "allowed")));
    assert(json_is_string(json_object_get(response, "uid")));
    assert(!json_object_get(response, "patch") == !json_object_get(response, "patchType"));
    assert(json_is_true(json_object_get(response, "allowed")) ||
           json_object_get(json_object_get(response, "status"), "code"));
    json_decref(answer);
    buf_done(&out);
    json_t *body = json_loadb(data.p, data.n, JSON_ALLOW_NUL, NULL);
    const json_t *pod = json_object_get(json_object_get(body, "request"), "object");
    if (pod)
        check_pod(cfg, pod);
    json_decref(body);
}

/* With everything of one maker switched on, and with every maker as the chart has it. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int chart = 0; chart < 2; chart++) {
        struct vendor_table *t = NULL;
        assert((chart ? vendor_table_builtin(&t, NULL)
                      : vendor_table_parse(str_z(CONFIG), "f", NULL, &t, NULL)) == ERR_OK);
        struct admission_config cfg = config(t);
        check_body(&cfg, (struct str){(const char *)data, size});
        vendor_table_free(t);
    }
    return 0;
}
