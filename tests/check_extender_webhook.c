/* POST /webhook over the ledger: what the namespace's quota leaves is asked for; everything else is
 * src/admission's. */
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
} PODS[] = {
    {"within the quota", "team", "{\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"3904\"}", true,
     NULL},
    {"one MiB over", "team", "{\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"3905\"}", false,
     "quota"},
    {"two cards, together over", "team",
     "{\"nvidia.com/gpu\":\"2\",\"nvidia.com/gpumem\":\"1953\"}", false, "quota"},
    {"no quota there", "other", "{\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"3905\"}", true,
     NULL},
    {"no cards", "team", "{\"cpu\":\"1\"}", true, NULL},
};

START_TEST(quota)
{
    char body[2048];
    (void)snprintf(body, sizeof(body),
                   "{\"apiVersion\":\"admission.k8s.io/"
                   "v1\",\"kind\":\"AdmissionReview\",\"request\":{\"uid\":\"u-1\","
                   "\"kind\":{\"group\":\"\",\"version\":\"v1\",\"kind\":\"Pod\"},\"namespace\":\"%"
                   "s\",\"operation\":\"CREATE\","
                   "\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":"
                   "\"p\",\"namespace\":\"%s\"},"
                   "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"x\",\"resources\":{"
                   "\"limits\":%s}}]}}}}",
                   PODS[_i].ns, PODS[_i].ns, PODS[_i].limits);
    unsigned status;
    json_t *got = fx_call(&fx, "POST", "/webhook", body, &status);
    ck_assert_uint_eq(status, 200);
    json_t *response = json_object_get(got, "response");
    ck_assert_str_eq(json_string_value(json_object_get(response, "uid")), "u-1");
    char *text = json_dumps(got, 0);
    ck_assert_msg(json_is_true(json_object_get(response, "allowed")) == PODS[_i].allowed, "%s: %s",
                  PODS[_i].name, text);
    ck_assert_msg(!PODS[_i].text || strstr(text, PODS[_i].text), "%s: %s", PODS[_i].name, text);
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
    tcase_add_loop_test(tc, broken, 0, sizeof(BROKEN) / sizeof(BROKEN[0]));
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
