/* POST /webhook over the ledger: what the namespace's quota leaves is asked for; everything else is
 * src/admission's. */
#include "admission/priv.h"
#include "verbs_fixture.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

static struct fx fx;

static void setup(void)
{
    fx_open(&fx, TEST_DATA "/golden/v1/cluster.yaml", NULL);
    fx.app.admission = (struct admission_config){.vendors = fx.app.vendors,
                                                 .scheduler_name = STR("our-scheduler"),
                                                 .force_overwrite_default_scheduler = true};
    ck_assert(
        fx_wait_used(&fx, "alpha", "GPU-a0", 2, 4096)); /* the team has 4096 of its 8000 MiB */
}
static void teardown(void) { fx_close(&fx); }

static const struct {
    const char *name, *ns, *limits;
    bool allowed;
    const char *text; /* in the status of a denial */
    const char *counted;
} PODS[] = {
    {"within the quota", "team", "{\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"3904\"}", true,
     NULL, "changed"},
    {"one MiB over", "team", "{\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"3905\"}", false,
     "quota", "refused"},
    {"two cards, together over", "team",
     "{\"nvidia.com/gpu\":\"2\",\"nvidia.com/gpumem\":\"1953\"}", false, "quota", "refused"},
    {"no quota there", "other", "{\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"3905\"}", true,
     NULL, "changed"},
    {"no cards", "team", "{\"cpu\":\"1\"}", true, NULL, "unchanged"},
};

static json_t *ask(const char *ns, const char *limits)
{
    char body[2048];
    unsigned status;
    (void)snprintf(body, sizeof(body),
                   "{\"apiVersion\":\"admission.k8s.io/"
                   "v1\",\"kind\":\"AdmissionReview\",\"request\":{\"uid\":\"u-1\","
                   "\"kind\":{\"group\":\"\",\"version\":\"v1\",\"kind\":\"Pod\"},\"namespace\":\"%"
                   "s\",\"operation\":\"CREATE\","
                   "\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":"
                   "\"p\",\"namespace\":\"%s\"},"
                   "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"x\",\"resources\":{"
                   "\"limits\":%s}}]}}}}",
                   ns, ns, limits);
    json_t *got = fx_call(&fx, "POST", "/webhook", body, &status);
    ck_assert_uint_eq(status, 200);
    return got;
}

static void ck_counted(const char *name, const char *result)
{
    static const char *const RESULTS[] = {"unchanged", "changed", "refused", "unreadable"};
    struct buf out;
    buf_init(&out, 1 << 20);
    ext_metrics_text(fx.app.metrics, &out);
    buf_char(&out, '\0');
    for (size_t i = 0; i < sizeof(RESULTS) / sizeof(RESULTS[0]); i++) {
        char line[80];
        (void)snprintf(line, sizeof(line), "cardinald_webhook_total{result=\"%s\"} %d\n",
                       RESULTS[i], strcmp(RESULTS[i], result) == 0);
        ck_assert_msg(strstr(out.p, line) != NULL, "%s: no %s", name, line);
    }
    buf_done(&out);
}

START_TEST(quota)
{
    json_t *got = ask(PODS[_i].ns, PODS[_i].limits);
    json_t *response = json_object_get(got, "response");
    ck_assert_str_eq(json_string_value(json_object_get(response, "uid")), "u-1");
    char *text = json_dumps(got, 0);
    ck_assert_msg(json_is_true(json_object_get(response, "allowed")) == PODS[_i].allowed, "%s: %s",
                  PODS[_i].name, text);
    ck_assert_msg(!PODS[_i].text || strstr(text, PODS[_i].text), "%s: %s", PODS[_i].name, text);
    ck_counted(PODS[_i].name, PODS[_i].counted);
    free(text);
    json_decref(got);
}
END_TEST

START_TEST(unreadable_reviews_are_counted)
{
    unsigned status;
    json_decref(fx_call(&fx, "POST", "/webhook", "{\"kind\":\"Pod\"}", &status));
    ck_assert_uint_eq(status, 200);
    ck_counted("no review", "unreadable");
}
END_TEST

/* A pod of every maker through the door: what comes back is a patch, or the maker's own words. */
#define LIMIT "{\"op\":\"add\",\"path\":\"/spec/containers/0/resources/limits/"
#define SCHED "{\"op\":\"add\",\"path\":\"/spec/schedulerName\",\"value\":\"our-scheduler\"}]"
static const struct {
    const char *limits, *patch, *text; /* patch or, where it is refused, text */
} MAKERS[] = {
    {"{\"nvidia.com/gpu\":\"1\"}", "[" LIMIT "nvidia.com~1gpucores\",\"value\":\"100\"}," SCHED,
     NULL},
    {"{\"huawei.com/Ascend310P\":\"1\"}",
     "[" LIMIT "huawei.com~1Ascend310P-memory\",\"value\":\"21527\"},{\"op\":\"add\",\"path\":"
     "\"/spec/containers/0/resources/requests\",\"value\":{}},{\"op\":\"add\",\"path\":\"/spec/"
     "containers/0/resources/requests/huawei.com~1Ascend310P-memory\",\"value\":\"21527\"}," SCHED,
     NULL},
    {"{\"huawei.com/Ascend910C\":\"3\"}", NULL, "must be 1 or 2*n, got 3"},
    {"{\"cambricon.com/vmlu\":\"1\"}", "[" SCHED, NULL},
    {"{\"hygon.com/dcunum\":\"1\"}", "[" SCHED, NULL},
    {"{\"mthreads.com/vgpu\":\"1\"}",
     "[" LIMIT "mthreads.com~1sgpu-memory\",\"value\":\"96\"}," LIMIT
     "mthreads.com~1sgpu-core\",\"value\":\"16\"}," SCHED,
     NULL},
    {"{\"iluvatar.ai/MR-V50-vgpu\":\"1\"}",
     "[{\"op\":\"add\",\"path\":\"/spec/containers/0/env\",\"value\":[{\"name\":"
     "\"SOL_CONTINER_NAME\",\"value\":\"c\"}]}," SCHED,
     NULL},
    {"{\"metax-tech.com/gpu\":\"1\"}", "[" SCHED, NULL},
    {"{\"metax-tech.com/sgpu\":\"1\"}",
     "[{\"op\":\"add\",\"path\":\"/metadata/annotations\",\"value\":{}},{\"op\":\"add\",\"path\":"
     "\"/metadata/annotations/metax-tech.com~1sgpu-qos-policy\",\"value\":\"best-effort\"}," SCHED,
     NULL},
    {"{\"enflame.com/gcu\":\"1\"}", "[" SCHED, NULL},
    {"{\"enflame.com/drs-gcu\":\"0\"}", NULL, "enflame.com/drs-gcu must be greater than 0"},
    {"{\"kunlunxin.com/xpu\":\"2\"}", "[" SCHED, NULL},
    {"{\"kunlunxin.com/vxpu\":\"1\"}", "[" SCHED, NULL},
    {"{\"aws.amazon.com/neuroncore\":\"3\"}", NULL, "must be 1 or a multiple of 2, got 3"},
    {"{\"amd.com/gpumem\":\"4096\"}", "[" LIMIT "amd.com~1gpu\",\"value\":\"1\"}," SCHED, NULL},
    {"{\"vastaitech.com/va\":\"1\"}", "[" SCHED, NULL},
    {"{\"birentech.com/gpu\":\"1\"}", "[" SCHED, NULL},
};

START_TEST(makers)
{
    json_t *got = ask("other", MAKERS[_i].limits);
    json_t *response = json_object_get(got, "response");
    char *text = json_dumps(got, 0);
    if (MAKERS[_i].patch) {
        struct buf want;
        buf_init(&want, 4096);
        admission_base64(str_z(MAKERS[_i].patch), &want);
        const char *patch = json_string_value(json_object_get(response, "patch"));
        ck_assert_msg(patch && str_eq(str_z(patch), (struct str){want.p, want.n}), "%s: %s",
                      MAKERS[_i].limits, text);
        buf_done(&want);
    } else {
        ck_assert_msg(json_is_false(json_object_get(response, "allowed")) &&
                          strstr(text, MAKERS[_i].text),
                      "%s: %s", MAKERS[_i].limits, text);
    }
    free(text);
    json_decref(got);
}
END_TEST

static const char *const BROKEN[] = {
    "",
    "{",
    "null",
    "[]",
    "{\"kind\":\"AdmissionReview\"}",
    "{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"request\":null}"};

START_TEST(broken)
{
    unsigned status;
    json_t *got = fx_call(&fx, "POST", "/webhook", BROKEN[_i], &status);
    ck_assert_uint_eq(status, 200);
    ck_assert_msg(json_is_false(json_object_get(json_object_get(got, "response"), "allowed")), "%s",
                  BROKEN[_i]);
    json_decref(got);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("extender webhook");
    TCase *tc = tcase_create("webhook");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, quota, 0, sizeof(PODS) / sizeof(PODS[0]));
    tcase_add_test(tc, unreadable_reviews_are_counted);
    tcase_add_loop_test(tc, makers, 0, sizeof(MAKERS) / sizeof(MAKERS[0]));
    tcase_add_loop_test(tc, broken, 0, sizeof(BROKEN) / sizeof(BROKEN[0]));
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
