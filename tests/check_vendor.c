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
        SCORE_CHECK_HEALTH,    SCORE_CHECK_CORDON, SCORE_CHECK_TYPE,      SCORE_CHECK_NUMA,
        SCORE_CHECK_UUID,      SCORE_CHECK_SLOTS,  SCORE_CHECK_MUTEX,     SCORE_CHECK_QUOTA,
        SCORE_CHECK_MEMORY,    SCORE_CHECK_CORES,  SCORE_CHECK_EXCLUSIVE, SCORE_CHECK_ZERO_CORES,
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

/* ---- the rows: vendors-a.md 6 and vendors-b.md 8, and the checks of their chapters ---- */

#define H          SCORE_CHECK_HEALTH
#define T          SCORE_CHECK_TYPE
#define U          SCORE_CHECK_UUID
#define S          SCORE_CHECK_SLOTS
#define X          SCORE_CHECK_MUTEX
#define Q          SCORE_CHECK_QUOTA
#define M          SCORE_CHECK_MEMORY
#define C          SCORE_CHECK_CORES
#define E          SCORE_CHECK_EXCLUSIVE
#define Z          SCORE_CHECK_ZERO_CORES
#define COMMON     H, T, U, S, X, Q, M, C, E, Z
#define MUTEX_LOCK "hami.io/mutex.lock"

static const struct {
    const char *key;
    enum score_check checks[SCORE_CHECK_COUNT_];
    const char *node_register, *handshake, *to_allocate, *allocated, *use, *nouse, *lock;
    int factor, default_cores;
    int64_t mem_max;
} ROWS[] = {
    {"Ascend910A",
     {SCORE_CHECK_SOFT, COMMON},
     "hami.io/node-register-Ascend910A",
     "hami.io/node-handshake-Ascend910A",
     "hami.io/Ascend910A-devices-to-allocate",
     "hami.io/Ascend910A-devices-allocated",
     "hami.io/use-Ascend910A-uuid",
     "hami.io/no-use-Ascend910A-uuid",
     MUTEX_LOCK,
     1,
     0,
     0},
    {"Ascend910B4-1",
     {SCORE_CHECK_SOFT, COMMON},
     "hami.io/node-register-Ascend910B4-1",
     "hami.io/node-handshake-Ascend910B4-1",
     "hami.io/Ascend910B4-1-devices-to-allocate",
     "hami.io/Ascend910B4-1-devices-allocated",
     "hami.io/use-Ascend910B4-1-uuid",
     "hami.io/no-use-Ascend910B4-1-uuid",
     MUTEX_LOCK,
     1,
     0,
     0},
    {"Ascend310P",
     {SCORE_CHECK_SOFT, COMMON},
     "hami.io/node-register-Ascend310P",
     "hami.io/node-handshake-Ascend310P",
     "hami.io/Ascend310P-devices-to-allocate",
     "hami.io/Ascend310P-devices-allocated",
     "hami.io/use-Ascend310P-uuid",
     "hami.io/no-use-Ascend310P-uuid",
     MUTEX_LOCK,
     1,
     0,
     0},
    {"Ascend910C",
     {SCORE_CHECK_SOFT, COMMON},
     "hami.io/node-register-Ascend910C",
     "hami.io/node-handshake-Ascend910C",
     "hami.io/Ascend910C-devices-to-allocate",
     "hami.io/Ascend910C-devices-allocated",
     "hami.io/use-Ascend910C-uuid",
     "hami.io/no-use-Ascend910C-uuid",
     MUTEX_LOCK,
     1,
     0,
     0},
    {"MLU",
     {COMMON},
     "",
     "",
     "hami.io/cambricon-mlu-devices-to-allocate",
     "hami.io/cambricon-mlu-devices-allocated",
     "cambricon.com/use-gpuuuid",
     "cambricon.com/nouse-gpuuuid",
     "cambricon.com/dsmlu.lock",
     256,
     100,
     8388607},
    {"DCU",
     {COMMON},
     "hami.io/node-dcu-register",
     "hami.io/node-handshake-dcu",
     "hami.io/dcu-devices-to-allocate",
     "hami.io/dcu-devices-allocated",
     "hygon.com/use-gpuuuid",
     "hygon.com/nouse-gpuuuid",
     MUTEX_LOCK,
     1,
     100,
     0},
    {"Mthreads",
     {COMMON, SCORE_CHECK_ONE_CARD},
     "",
     "",
     "",
     "hami.io/mthreads-vgpu-devices-allocated",
     "mthreads.ai/use-gpuuuid",
     "mthreads.ai/nouse-gpuuuid",
     "",
     512,
     0,
     4194303},
    {"MR-V50",
     {COMMON},
     "hami.io/node-MR-V50-register",
     "hami.io/node-handshake-MR-V50",
     "hami.io/MR-V50-devices-to-allocate",
     "hami.io/MR-V50-devices-allocated",
     "hami.io/use-MR-V50-uuid",
     "hami.io/no-use-MR-V50-uuid",
     MUTEX_LOCK,
     256,
     0,
     8388607},
    {"BI-V100",
     {COMMON},
     "hami.io/node-BI-V100-register",
     "hami.io/node-handshake-BI-V100",
     "hami.io/BI-V100-devices-to-allocate",
     "hami.io/BI-V100-devices-allocated",
     "hami.io/use-BI-V100-uuid",
     "hami.io/no-use-BI-V100-uuid",
     MUTEX_LOCK,
     256,
     0,
     8388607},
    {"Metax-GPU",
     {H, T, S, X, M, C, E, Z, SCORE_CHECK_ONE_CARD},
     "",
     "",
     "hami.io/metax-gpu-devices-to-allocate",
     "hami.io/metax-gpu-devices-allocated",
     "",
     "",
     "",
     1,
     100,
     0},
    {"Metax-SGPU",
     {T, H, SCORE_CHECK_CLASS, SCORE_CHECK_QOS, U, S, X, Q, M, C, E, Z},
     "metax-tech.com/node-gpu-devices",
     "",
     "hami.io/metax-sgpu-devices-to-allocate",
     "hami.io/metax-sgpu-devices-allocated",
     "metax-tech.com/use-gpuuuid",
     "metax-tech.com/nouse-gpuuuid",
     MUTEX_LOCK,
     1024,
     100,
     2097151},
    {"GCU",
     {H, T, SCORE_CHECK_FREE},
     "",
     "",
     "hami.io/enflame-gcu-devices-to-allocate",
     "hami.io/enflame-gcu-devices-allocated",
     "",
     "",
     "",
     1,
     100,
     0},
    {"Enflame",
     {SCORE_CHECK_PLACEMENT, H, T, U, S, X, Q, M, C},
     "enflame.com/gcu-drs-capacity",
     "",
     "",
     "hami.io/enflame-vgpu-devices-allocated",
     "enflame.com/use-gpuuuid",
     "enflame.com/nouse-gpuuuid",
     "",
     1,
     0,
     0},
    {"kunlun",
     {T, U, SCORE_CHECK_FREE, H},
     "",
     "",
     "",
     "hami.io/kunlun-allocated",
     "hami.io/use-xpu-uuid",
     "hami.io/no-use-xpu-uuid",
     "",
     1,
     100,
     0},
    {"XPU",
     {T, U, X, H, Q, M, SCORE_CHECK_EQUAL},
     "hami.io/node-register-xpu",
     "hami.io/node-handshake-xpu",
     "hami.io/xpu-devices-to-allocate",
     "hami.io/xpu-devices-allocated",
     "hami.io/use-xpu-uuid",
     "hami.io/no-use-xpu-uuid",
     MUTEX_LOCK,
     1,
     0,
     SCORE_AMOUNT_MAX},
    {"AWSNeuron",
     {H, T, U, S, X, Q, C},
     "",
     "",
     "",
     "hami.io/aws-neuron-devices-allocated",
     "aws.amazon.com/use-neuron-uuid",
     "aws.amazon.com/nouse-neuron-uuid",
     "",
     1,
     0,
     0},
    {"AMD",
     {H, T, U, S, X, Q, M, C},
     "hami.io/node-amd-register",
     "",
     "hami.io/amd-devices-to-allocate",
     "hami.io/amd-devices-allocated",
     "amd.com/use-gpu-uuid",
     "amd.com/nouse-gpu-uuid",
     MUTEX_LOCK,
     1,
     100,
     0},
    {"Vastai",
     {H, T, U, S, SCORE_CHECK_ZONE_MUTEX},
     "hami.io/node-va-register",
     "hami.io/node-handshake-va",
     "hami.io/Vastai-devices-to-allocate",
     "hami.io/Vastai-devices-allocated",
     "vastaitech.com/use-gpuuuid",
     "vastaitech.com/nouse-gpuuuid",
     MUTEX_LOCK,
     1,
     0,
     0},
    {"Biren",
     {H, T, U, S, X},
     "hami.io/node-biren-register",
     "hami.io/node-handshake-biren",
     "hami.io/Biren-devices-to-allocate",
     "hami.io/Biren-devices-allocated",
     "birentech.com/use-gpuuuid",
     "birentech.com/nouse-gpuuuid",
     MUTEX_LOCK,
     1,
     0,
     0},
};
#undef H
#undef T
#undef U
#undef S
#undef X
#undef Q
#undef M
#undef C
#undef E
#undef Z

START_TEST(every_makers_row)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    const char *key = ROWS[_i].key;
    const struct vendor *v = row_of(t, key);
    for (int i = 0; i < SCORE_CHECK_COUNT_; i++)
        ck_assert_msg(v->core.checks[i] == ROWS[_i].checks[i], "%s: check %d", key, i);
    ck_str(key, v->node_register, str_z(ROWS[_i].node_register));
    ck_str(key, v->node_handshake, str_z(ROWS[_i].handshake));
    ck_str(key, v->pod_to_allocate, str_z(ROWS[_i].to_allocate));
    ck_str(key, v->pod_allocated, str_z(ROWS[_i].allocated));
    ck_str(key, v->pod_use_uuid, str_z(ROWS[_i].use));
    ck_str(key, v->pod_nouse_uuid, str_z(ROWS[_i].nouse));
    ck_str(key, v->node_lock, str_z(ROWS[_i].lock));
    ck_assert_int_eq((v->rules & VENDOR_RULE_LOCK) != 0, ROWS[_i].lock[0] != '\0');
    ck_assert_int_eq(v->mem_factor, ROWS[_i].factor);
    ck_assert_int_eq(v->default_cores_pct, ROWS[_i].default_cores);
    ck_assert_int_eq(v->mem_max, ROWS[_i].mem_max);
    /* the names lead back to the row */
    const struct str own[] = {v->node_register, v->pod_allocated, v->pod_to_allocate};
    for (int i = 0; i < COUNT(own); i++) {
        uint16_t row = 99;
        enum vendor_key what;
        if (own[i].n > 0)
            ck_assert(vendor_find_key(t, own[i], &row, &what) && vendor_at(t, row) == v);
    }
    ck_assert(vendor_key_reserved(t, v->pod_allocated));
    /* what a quota can name is checked, where it is checked as one of memory or cores */
    bool checked = false;
    for (int i = 0; i < SCORE_CHECK_COUNT_; i++)
        checked |= v->core.checks[i] == SCORE_CHECK_QUOTA;
    ck_assert_int_eq(checked, v->quota_mem.n > 0 || v->quota_cores.n > 0);
}
END_TEST

/* Rows that share an annotation find it under the first of them. */
static const struct {
    const char *key;
    enum vendor_key what;
    const char *home; /* NULL: the row has none */
} HOMES[] = {
    {"NVIDIA", VENDOR_KEY_NODE_LOCK, "NVIDIA"},
    {"Biren", VENDOR_KEY_NODE_LOCK, "NVIDIA"},
    {"MLU", VENDOR_KEY_NODE_LOCK, "MLU"},
    {"Mthreads", VENDOR_KEY_NODE_LOCK, NULL},
    {"Ascend910C", VENDOR_KEY_NODE_SOFT, "Ascend910A"},
    {"Ascend310P", VENDOR_KEY_POD_SOFT, "Ascend910A"},
    {"XPU", VENDOR_KEY_POD_USE_UUID2, "kunlun"},
    {"XPU", VENDOR_KEY_POD_NOUSE_UUID, "kunlun"},
    {"kunlun", VENDOR_KEY_POD_USE_UUID, "kunlun"},
    {"AMD", VENDOR_KEY_POD_USE_UUID2, NULL},
};

START_TEST(shared_annotations_have_a_home)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    for (uint16_t i = 0; i < vendor_count(t); i++) {
        if (!str_eq(vendor_at(t, i)->core.key, str_z(HOMES[_i].key)))
            continue;
        uint16_t home = 99;
        enum vendor_key what = VENDOR_KEY_COUNT_;
        bool found = vendor_key_home(t, i, HOMES[_i].what, &home, &what);
        ck_assert_int_eq(found, HOMES[_i].home != NULL);
        if (!found)
            return;
        ck_str("home", vendor_at(t, home)->core.key, str_z(HOMES[_i].home));
        ck_assert_int_eq(what, HOMES[_i].what);
        return;
    }
    ck_abort_msg("no row %s", HOMES[_i].key);
}
END_TEST

/* A chip's key that begins another's (A3): only the whole type is one of its cards. */
START_TEST(ascend_defect_a3_types_are_whole_words)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    for (uint16_t i = 0; i < vendor_count(t); i++) {
        const struct vendor *v = vendor_at(t, i);
        for (uint16_t j = 0; j < vendor_count(t); j++) {
            const struct vendor *other = vendor_at(t, j);
            if (i != j && v->type_word.n > 0 && str_contains(other->core.key, v->type_word))
                ck_assert_msg(v->type_exact, STR_FMT " is part of " STR_FMT, STR_ARG(v->core.key),
                              STR_ARG(other->core.key));
        }
    }
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
    tcase_add_loop_test(tc, every_makers_row, 0, COUNT(ROWS));
    tcase_add_loop_test(tc, shared_annotations_have_a_home, 0, COUNT(HOMES));
    tcase_add_test(tc, ascend_defect_a3_types_are_whole_words);
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
    check_vendor_places(suite);
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
