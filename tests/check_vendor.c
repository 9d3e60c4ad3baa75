/* Runs the tests of src/vendor; failing allocations by the linker's --wrap; the table itself. */
#include "check_vendor.h"

#include "base/own.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- failing allocations ---- */

static int countdown;
static bool failed;

void fail_from(int nth)
{
    countdown = nth;
    failed = false;
}

bool fail_happened(void) { return failed; }

static bool fails_now(void)
{
    if (countdown == 0)
        return false;
    if (countdown > 1) {
        countdown--;
        return false;
    }
    failed = true;
    return true;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n) { return fails_now() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return fails_now() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return fails_now() ? NULL : __real_realloc(p, n); }

uint64_t prop_seed(void)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is one thread */
    const char *text = getenv("PROP_SEED");
    uint64_t seed = text ? strtoull(text, NULL, 0) : 0;
    return seed ? seed : UINT64_C(20261122);
}

/* ---- the table ---- */

DEFINE_CLEANUP(struct vendor_table *, vendor_table_free)

static struct vendor_table *builtin(void)
{
    struct vendor_table *t = NULL;
    struct err err;
    ck_assert_int_eq(vendor_table_builtin(&t, &err), ERR_OK);
    return t;
}

static const struct {
    struct str name;
    enum vendor_resource what;
} RESOURCES[] = {
    {STR_INIT("nvidia.com/gpu"), VENDOR_RES_COUNT},
    {STR_INIT("nvidia.com/gpumem"), VENDOR_RES_MEM},
    {STR_INIT("nvidia.com/gpumem-percentage"), VENDOR_RES_MEM_PCT},
    {STR_INIT("nvidia.com/gpucores"), VENDOR_RES_CORES},
    {STR_INIT("nvidia.com/priority"), VENDOR_RES_PRIORITY},
};

static const struct {
    struct str name;
    enum vendor_key what;
} KEYS[] = {
    {STR_INIT("hami.io/node-nvidia-register"), VENDOR_KEY_NODE_REGISTER},
    {STR_INIT("hami.io/node-nvidia-score"), VENDOR_KEY_NODE_SCORE},
    {STR_INIT("hami.io/node-handshake"), VENDOR_KEY_NODE_HANDSHAKE},
    {STR_INIT("hami.io/device-cordon"), VENDOR_KEY_NODE_CORDON},
    {STR_INIT("hami.io/mutex.lock"), VENDOR_KEY_NODE_LOCK},
    {STR_INIT("hami.io/vgpu-devices-to-allocate"), VENDOR_KEY_POD_TO_ALLOCATE},
    {STR_INIT("hami.io/vgpu-devices-allocated"), VENDOR_KEY_POD_ALLOCATED},
    {STR_INIT("hami.io/vgpu-mig-allocations"), VENDOR_KEY_POD_MIG},
    {STR_INIT("nvidia.com/use-gputype"), VENDOR_KEY_POD_USE_TYPE},
    {STR_INIT("nvidia.com/nouse-gputype"), VENDOR_KEY_POD_NOUSE_TYPE},
    {STR_INIT("nvidia.com/use-gpuuuid"), VENDOR_KEY_POD_USE_UUID},
    {STR_INIT("nvidia.com/nouse-gpuuuid"), VENDOR_KEY_POD_NOUSE_UUID},
    {STR_INIT("nvidia.com/vgpu-mode"), VENDOR_KEY_POD_MODE},
    {STR_INIT("nvidia.com/numa-bind"), VENDOR_KEY_POD_NUMA_BIND},
};

START_TEST(names_are_found)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    uint16_t row = 99;
    for (int i = 0; i < COUNT(RESOURCES); i++) {
        enum vendor_resource what = VENDOR_RES_COUNT_;
        ck_assert_msg(vendor_find_resource(t, RESOURCES[i].name, &row, &what), STR_FMT,
                      STR_ARG(RESOURCES[i].name));
        ck_assert_int_eq(row, 0);
        ck_assert_int_eq(what, RESOURCES[i].what);
    }
    for (int i = 0; i < COUNT(KEYS); i++) {
        enum vendor_key what = VENDOR_KEY_COUNT_;
        ck_assert_msg(vendor_find_key(t, KEYS[i].name, &row, &what), STR_FMT,
                      STR_ARG(KEYS[i].name));
        ck_assert_int_eq(row, 0);
        ck_assert_int_eq(what, KEYS[i].what);
    }
    bool is_mem = false;
    ck_assert(vendor_find_quota(t, STR("limits.nvidia.com/gpumem"), &row, &is_mem) && is_mem);
    ck_assert(vendor_find_quota(t, STR("limits.nvidia.com/gpucores"), &row, &is_mem) && !is_mem);
}
END_TEST

START_TEST(other_names_are_not_found)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    static const struct str NAMES[] = {
        STR_INIT(""),
        STR_INIT("cpu"),
        STR_INIT("nvidia.com/gp"),
        STR_INIT("nvidia.com/gpux"),
        STR_INIT("NVIDIA.com/gpu"),
        STR_INIT("limits.nvidia.com/gpu"),
        STR_INIT("requests.nvidia.com/gpumem"),
        STR_INIT("limits.nvidia.com/gpumem-percentage"),
    };
    uint16_t row;
    enum vendor_resource what;
    enum vendor_key key;
    bool is_mem;
    for (int i = 0; i < COUNT(NAMES); i++) {
        ck_assert(!vendor_find_resource(t, NAMES[i], &row, &what));
        ck_assert(!vendor_find_key(t, NAMES[i], &row, &key));
        ck_assert(!vendor_find_quota(t, NAMES[i], &row, &is_mem));
    }
}
END_TEST

START_TEST(nvidia_row)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    static const enum score_check ORDER[] = {
        SCORE_CHECK_HEALTH,    SCORE_CHECK_CORDON,     SCORE_CHECK_TYPE,      SCORE_CHECK_NUMA,
        SCORE_CHECK_UUID,      SCORE_CHECK_SLOTS,      SCORE_CHECK_MUTEX,     SCORE_CHECK_QUOTA,
        SCORE_CHECK_MEMORY,    SCORE_CHECK_CORES,      SCORE_CHECK_EXCLUSIVE, SCORE_CHECK_ZERO_CORES,
        SCORE_CHECK_PLACEMENT, SCORE_CHECK_END};
    ck_assert_int_eq(vendor_count(t), 25);
    const struct vendor *v = vendor_at(t, 0);
    ck_str("key", v->core.key, STR("NVIDIA"));
    ck_str("core's key", vendor_cores(t)[0].key, STR("NVIDIA"));
    for (int i = 0; i < COUNT(ORDER); i++)
        ck_assert_int_eq(v->core.checks[i], ORDER[i]);
    ck_assert_int_eq(v->mem_factor, 1);
    ck_assert_int_eq(v->default_count, 1);
}
END_TEST

static const struct {
    struct str key;
    bool want;
} RESERVED[] = {
    {STR_INIT("hami.io/vgpu-node"), true},
    {STR_INIT("hami.io/vgpu-time"), true},
    {STR_INIT("hami.io/bind-time"), true},
    {STR_INIT("hami.io/bind-phase"), true},
    {STR_INIT("hami.io/vgpu-devices-to-allocate"), true},
    {STR_INIT("hami.io/vgpu-devices-allocated"), true},
    {STR_INIT("hami.io/vgpu-mig-allocations"), true},
    {STR_INIT("hami.io/dcu-devices-allocated"), true}, /* a maker not served yet */
    {STR_INIT("hami.io/Ascend910B3-devices-to-allocate"), true},
    {STR_INIT("hami.io/kunlun-allocated"), true},
    {STR_INIT("predicate-time"), true},
    {STR_INIT("huawei.com/Ascend910B3"), true},
    {STR_INIT("huawei.com/Ascend310P"), true},
    {STR_INIT("CAMBRICON_DSMLU_ASSIGNED"), true},
    {STR_INIT("CAMBRICON_DSMLU_PROFILE"), true},
    {STR_INIT("mthreads.com/gpu-index"), true},
    {STR_INIT("mthreads.com/predicate-time"), true},
    {STR_INIT("mthreads.com/predicate-node"), true},
    {STR_INIT("metax-tech.com/gpu-devices-allocated"), true},
    {STR_INIT("metax-tech.com/predicate-time"), true},
    {STR_INIT("enflame.com/gcu-assigned"), true},
    {STR_INIT("enflame.com/gcu-assigned-time"), true},
    {STR_INIT("enflame.com/gcu-assigned-index"), true},
    {STR_INIT("enflame.com/gcu-assigned-id"), true},
    {STR_INIT("enflame.com/gcu-assigned-minor"), true},
    {STR_INIT("enflame.com/gcu-request-size"), true},
    {STR_INIT("assigned-containers"), true},
    {STR_INIT("BAIDU_COM_DEVICE_IDX"), true},
    {STR_INIT("AWS_NEURON_IDS"), true},
    {STR_INIT("NEURON_RESOURCE_TYPE"), true},
    {STR_INIT("NEURON_ALLOC_TIME"), true},
    {STR_INIT("NEURON_ALLOCATED"), true},
    {STR_INIT("aws.amazon.com/predicate-node"), true},
    {STR_INIT("hami.io/gpu-scheduler-policy"), false}, /* the user's */
    {STR_INIT("huawei.com/vnpu-mode"), false},
    {STR_INIT("huawei.com/"), false},
    {STR_INIT("metax-tech.com/sgpu-qos-policy"), false},
    {STR_INIT("metax-tech.com/sgpu-app-class"), false},
    {STR_INIT("metax-tech.com/use-gpuuuid"), false},
    {STR_INIT("mthreads.com/request-gpu-num"), false}, /* admission's */
    {STR_INIT("hami.io/use-Ascend910B3-uuid"), false},
    {STR_INIT("enflame.com/use-gpuuuid"), false},
    {STR_INIT("hami.io/node-scheduler-policy"), false},
    {STR_INIT("hami.io/device-scoring-weights"), false},
    {STR_INIT("hami.io/webhook"), false},
    {STR_INIT("nvidia.com/use-gpuuuid"), false},
    {STR_INIT("example.com/my-devices-allocated"), false},
    {STR_INIT("hami.io/vgpu-nodes"), false},
    {STR_INIT(""), false},
};

START_TEST(reserved_keys)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    ck_assert_msg(vendor_key_reserved(t, RESERVED[_i].key) == RESERVED[_i].want, STR_FMT,
                  STR_ARG(RESERVED[_i].key));
}
END_TEST

START_TEST(builtin_without_memory)
{
    int n = 1;
    for (;; n++) {
        struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
        fail_from(n);
        enum err_code rc = vendor_table_builtin(&t, NULL);
        bool happened = fail_happened();
        fail_from(0);
        if (!happened) {
            ck_assert_int_eq(rc, ERR_OK);
            break;
        }
        ck_assert_int_eq(rc, ERR_NO_MEMORY);
        ck_assert_ptr_null(t);
    }
    ck_assert_int_gt(n, 5); /* something was really made to fail */
}
END_TEST

void check_vendor_table(Suite *suite)
{
    TCase *tc = tcase_create("table");
    tcase_add_test(tc, names_are_found);
    tcase_add_test(tc, other_names_are_not_found);
    tcase_add_test(tc, nvidia_row);
    tcase_add_loop_test(tc, reserved_keys, 0, COUNT(RESERVED));
    tcase_add_test(tc, builtin_without_memory);
    suite_add_tcase(suite, tc);
}

int main(void)
{
    Suite *suite = suite_create("vendor");
    check_vendor_table(suite);
    check_vendor_derive(suite);
    check_vendor_asks(suite);
    check_vendor_select(suite);
    check_vendor_register(suite);
    check_vendor_cards(suite);
    check_vendor_alloc(suite);
    check_vendor_annotate(suite);
    check_vendor_load(suite);
    check_vendor_rows(suite);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int bad = srunner_ntests_failed(runner);
    srunner_free(runner);
    return bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
