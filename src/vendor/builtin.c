/* The rows that the program is built with, named as HAMi's chart names things. A new maker is a new
 * row here. Source: contract/nvidia.md 1, 2 and 5; vendors-a.md and vendors-b.md, a chapter a
 * maker, whose order of checks the rows keep. Quota is a check of every row whose resources a quota
 * can name: it stands where the reference has it, before memory. */
#include "vendor/priv.h"

#define N_OF(a) (sizeof(a) / sizeof((a)[0]))

/* clang-format off */

/* The walk that most makers share (vendors-a.md S4); rows add what comes before and behind it. */
#define CHECKS_COMMON                                                                              \
    SCORE_CHECK_HEALTH, SCORE_CHECK_TYPE, SCORE_CHECK_UUID, SCORE_CHECK_SLOTS, SCORE_CHECK_MUTEX,  \
    SCORE_CHECK_QUOTA, SCORE_CHECK_MEMORY, SCORE_CHECK_CORES, SCORE_CHECK_EXCLUSIVE,               \
    SCORE_CHECK_ZERO_CORES

#define LOCK_SHARED .node_lock = STR_INIT("hami.io/mutex.lock")

/* ---- vendors-a.md 1 ---- */

/* vendors-a.md 1.2: name, memory, AI cores, AI CPUs; ascending. */
static const struct vendor_template ASCEND_910A[] = {
    { STR_INIT("vir02"), 2184, 2, 0 }, { STR_INIT("vir04"), 4369, 4, 0 },
    { STR_INIT("vir08"), 8738, 8, 0 }, { STR_INIT("vir16"), 17476, 16, 0 },
};
static const struct vendor_template ASCEND_910B2[] = {
    { STR_INIT("vir03_1c_8g"), 8192, 3, 1 }, { STR_INIT("vir06_1c_16g"), 16384, 6, 1 },
    { STR_INIT("vir12_3c_32g"), 32768, 12, 3 },
};
static const struct vendor_template ASCEND_910B3[] = { /* and 910B4-1, 910C */
    { STR_INIT("vir05_1c_16g"), 16384, 5, 1 }, { STR_INIT("vir10_3c_32g"), 32768, 10, 3 },
};
static const struct vendor_template ASCEND_910B4[] = {
    { STR_INIT("vir05_1c_8g"), 8192, 5, 1 }, { STR_INIT("vir10_3c_16g"), 16384, 10, 3 },
};
static const struct vendor_template ASCEND_310P[] = {
    { STR_INIT("vir01"), 3072, 1, 1 }, { STR_INIT("vir02"), 6144, 2, 2 },
    { STR_INIT("vir04"), 12288, 4, 4 },
};

/* `whole`: memoryAllocatable; `most`: memoryCapacity. A card's type equals the key: "Ascend910B4"
 * is no part of "Ascend910B4-1" (A3). */
#define ASCEND(name, whole, most, list)                                                            \
    .section = STR_INIT("vnpus"),                                                                  \
    .res_count = STR_INIT("huawei.com/" name),                                                     \
    .res_mem = STR_INIT("huawei.com/" name "-memory"),                                             \
    .res_cores = STR_INIT("huawei.com/" name "-core"),                                             \
    .node_register = STR_INIT("hami.io/node-register-" name),                                      \
    .node_handshake = STR_INIT("hami.io/node-handshake-" name),                                    \
    .node_soft = STR_INIT("hami-vnpu-core"),                                                       \
    .pod_to_allocate = STR_INIT("hami.io/" name "-devices-to-allocate"),                           \
    .pod_allocated = STR_INIT("hami.io/" name "-devices-allocated"),                               \
    .pod_use_uuid = STR_INIT("hami.io/use-" name "-uuid"),                                         \
    .pod_nouse_uuid = STR_INIT("hami.io/no-use-" name "-uuid"),                                    \
    .pod_soft = STR_INIT("huawei.com/vnpu-mode"),                                                  \
    LOCK_SHARED,                                                                                   \
    .inventory = VENDOR_INVENTORY_JSON,                                                            \
    .type_word = STR_INIT(name),                                                                   \
    .type_exact = true,                                                                            \
    .asking = VENDOR_ASKING_ROUNDED,                                                               \
    .mem_factor = 1,                                                                               \
    .mem_whole_mib = (whole),                                                                      \
    .mem_most_mib = (most),                                                                        \
    .templates = (list),                                                                           \
    .templates_n = N_OF(list),                                                                     \
    .env_visible = STR_INIT("ASCEND_VISIBLE_DEVICES"),                                             \
    .extra = VENDOR_EXTRA_OBJECTS

#define ASCEND_CORE(name, how, good)                                                               \
    .core = {                                                                                      \
        .key = STR_INIT(name),                                                                     \
        .checks = { SCORE_CHECK_SOFT, CHECKS_COMMON, SCORE_CHECK_END },                            \
        .select = (how),                                                                           \
        .quality = (good),                                                                         \
    }
/* Cards of one network are near each other. */
#define ASCEND_910(name, whole, most, list)                                                        \
    {                                                                                              \
        ASCEND_CORE(name, SCORE_SELECT_ZONES, SCORE_QUALITY_ZONES),                                \
        .rules = VENDOR_RULE_LOCK | VENDOR_RULE_SOFT,                                              \
        .zone = VENDOR_ZONE_NETWORK,                                                               \
        ASCEND(name, whole, most, list),                                                           \
    }

/* ---- vendors-a.md 5 ---- */

#define ILUVATAR(name)                                                                             \
    {                                                                                              \
        .core = { .key = STR_INIT(name), .checks = { CHECKS_COMMON, SCORE_CHECK_END } },           \
        .section = STR_INIT("iluvatars"),                                                          \
        .rules = VENDOR_RULE_LOCK,                                                                 \
        .res_count = STR_INIT("iluvatar.ai/" name "-vgpu"),                                        \
        .res_mem = STR_INIT("iluvatar.ai/" name ".vMem"),                                          \
        .res_cores = STR_INIT("iluvatar.ai/" name ".vCore"),                                       \
        .node_register = STR_INIT("hami.io/node-" name "-register"),                               \
        .node_handshake = STR_INIT("hami.io/node-handshake-" name),                                \
        .pod_to_allocate = STR_INIT("hami.io/" name "-devices-to-allocate"),                       \
        .pod_allocated = STR_INIT("hami.io/" name "-devices-allocated"),                           \
        .pod_use_uuid = STR_INIT("hami.io/use-" name "-uuid"),                                     \
        .pod_nouse_uuid = STR_INIT("hami.io/no-use-" name "-uuid"),                                \
        LOCK_SHARED,                                                                               \
        .inventory = VENDOR_INVENTORY_TEXT,                                                        \
        .type_word = STR_INIT(name),                                                               \
        .mem_factor = 256,                                                                         \
        .mem_max = 8388607,                                                                        \
        .env_name = STR_INIT("SOL_CONTINER_NAME"), /* the wire's spelling */                       \
        .admit_above = 1,                                                                          \
        .admit_cores = 100,                                                                        \
    }

/* ---- what some makers' rows point at ---- */

static const int32_t MTHREADS_SLICES[] = { 2, 4, 8, 16, 32, 64, 96 };
static const struct str METAX_QOS[] = {
    STR_INIT("best-effort"), STR_INIT("fixed-share"), STR_INIT("burst-share"),
};
static const struct str METAX_CLASSES[] = { STR_INIT("online"), STR_INIT("offline") };
static const struct vendor_template XPU_STEPS[] = { /* vendors-b.md 3e; cores in percent */
    { STR_INIT(""), 24576, 25, 0 }, { STR_INIT(""), 49152, 50, 0 }, { STR_INIT(""), 98304, 100, 0 },
};

/* Both rows of vendors-b.md 3 read both spellings, and both must allow a card. */
#define XPU_UUIDS                                                                                  \
    .pod_use_uuid = STR_INIT("hami.io/use-xpu-uuid"),                                              \
    .pod_nouse_uuid = STR_INIT("hami.io/no-use-xpu-uuid"),                                         \
    .pod_use_uuid2 = STR_INIT("baidu.com/use-gpuuuid"),                                            \
    .pod_nouse_uuid2 = STR_INIT("baidu.com/nouse-gpuuuid")

const struct vendor VENDOR_BUILTIN[] = {
    {
        .core = {
            .key = STR_INIT("NVIDIA"),
            .checks = {
                SCORE_CHECK_HEALTH, SCORE_CHECK_CORDON, SCORE_CHECK_TYPE, SCORE_CHECK_NUMA,
                SCORE_CHECK_UUID, SCORE_CHECK_SLOTS, SCORE_CHECK_MUTEX, SCORE_CHECK_QUOTA,
                SCORE_CHECK_MEMORY, SCORE_CHECK_CORES, SCORE_CHECK_EXCLUSIVE,
                SCORE_CHECK_ZERO_CORES, SCORE_CHECK_PLACEMENT, SCORE_CHECK_END,
            },
            .select = SCORE_SELECT_PAIRS,
            .quality = SCORE_QUALITY_PAIRS,
        },
        .section = STR_INIT("nvidia"),
        .rules = VENDOR_RULE_LOCK | VENDOR_RULE_COUNT_FROM_PARTS | VENDOR_RULE_EXCLUSIVE_CORES,
        .res_count = STR_INIT("nvidia.com/gpu"),
        .res_mem = STR_INIT("nvidia.com/gpumem"),
        .res_mem_pct = STR_INIT("nvidia.com/gpumem-percentage"),
        .res_cores = STR_INIT("nvidia.com/gpucores"),
        .res_priority = STR_INIT("nvidia.com/priority"),
        .node_register = STR_INIT("hami.io/node-nvidia-register"),
        .node_score = STR_INIT("hami.io/node-nvidia-score"),
        .node_handshake = STR_INIT("hami.io/node-handshake"),
        .node_cordon = STR_INIT("hami.io/device-cordon"),
        .pod_to_allocate = STR_INIT("hami.io/vgpu-devices-to-allocate"),
        .pod_allocated = STR_INIT("hami.io/vgpu-devices-allocated"),
        .pod_mig = STR_INIT("hami.io/vgpu-mig-allocations"),
        .pod_use_type = STR_INIT("nvidia.com/use-gputype"),
        .pod_nouse_type = STR_INIT("nvidia.com/nouse-gputype"),
        .pod_use_uuid = STR_INIT("nvidia.com/use-gpuuuid"),
        .pod_nouse_uuid = STR_INIT("nvidia.com/nouse-gpuuuid"),
        .pod_mode = STR_INIT("nvidia.com/vgpu-mode"),
        .pod_numa_bind = STR_INIT("nvidia.com/numa-bind"),
        LOCK_SHARED,
        .inventory = VENDOR_INVENTORY_JSON,
        .mem_factor = 1,
        .default_count = 1,
        .core_policy = STR_INIT("default"),
        .env_priority = STR_INIT("CUDA_TASK_PRIORITY"),
        .env_core_policy = STR_INIT("GPU_CORE_UTILIZATION_POLICY"),
        .env_visible = STR_INIT("NVIDIA_VISIBLE_DEVICES"),
        .env_hidden = STR_INIT("none"),
        .extra = VENDOR_EXTRA_SLICES_LIST,
    },

    ASCEND_910("Ascend910A", 32768, 32768, ASCEND_910A),
    ASCEND_910("Ascend910B2", 65536, 65536, ASCEND_910B2),
    ASCEND_910("Ascend910B3", 65536, 65536, ASCEND_910B3),
    ASCEND_910("Ascend910B4-1", 65536, 65536, ASCEND_910B3),
    ASCEND_910("Ascend910B4", 32768, 32768, ASCEND_910B4),
    {
        ASCEND_CORE("Ascend310P", SCORE_SELECT_EACH, SCORE_QUALITY_NONE),
        .rules = VENDOR_RULE_LOCK | VENDOR_RULE_SOFT,
        /* kept: 21528…24576 give the whole card, which has 21527 (A8) */
        ASCEND("Ascend310P", 21527, 24576, ASCEND_310P),
    },
    { /* pairs: vendors-a.md 1.1, 1.6 */
        ASCEND_CORE("Ascend910C", SCORE_SELECT_MODULES, SCORE_QUALITY_ZONES),
        .rules = VENDOR_RULE_LOCK | VENDOR_RULE_SOFT | VENDOR_RULE_PAIRS,
        .zone = VENDOR_ZONE_NETWORK,
        ASCEND("Ascend910C", 65536, 65536, ASCEND_910B3),
    },

    { /* vendors-a.md 2 */
        .core = { .key = STR_INIT("MLU"), .checks = { CHECKS_COMMON, SCORE_CHECK_END } },
        .section = STR_INIT("cambricon"),
        .rules = VENDOR_RULE_LOCK,
        .res_count = STR_INIT("cambricon.com/vmlu"),
        .res_mem = STR_INIT("cambricon.com/mlu.smlu.vmemory"),
        .res_cores = STR_INIT("cambricon.com/mlu.smlu.vcore"),
        .pod_to_allocate = STR_INIT("hami.io/cambricon-mlu-devices-to-allocate"),
        .pod_allocated = STR_INIT("hami.io/cambricon-mlu-devices-allocated"),
        .pod_use_uuid = STR_INIT("cambricon.com/use-gpuuuid"),
        .pod_nouse_uuid = STR_INIT("cambricon.com/nouse-gpuuuid"),
        .node_lock = STR_INIT("cambricon.com/dsmlu.lock"),
        .lock_time_only = true,
        .inventory = VENDOR_INVENTORY_CAPACITY,
        .made = { .infix = STR_INIT("-cambricon-mlu-"), .per_cores = true, .per_card = 100,
                  .count = 100, .cores = 100 },
        .type_word = STR_INIT("MLU"),
        .mem_factor = 256,
        .mem_max = 8388607,
        .default_cores_pct = 100,
        .extra = VENDOR_EXTRA_PROFILE,
    },
    { /* vendors-a.md 3 */
        .core = { .key = STR_INIT("DCU"), .checks = { CHECKS_COMMON, SCORE_CHECK_END } },
        .section = STR_INIT("hygon"),
        .rules = VENDOR_RULE_LOCK,
        .res_count = STR_INIT("hygon.com/dcunum"),
        .res_mem = STR_INIT("hygon.com/dcumem"),
        .res_cores = STR_INIT("hygon.com/dcucores"),
        .node_register = STR_INIT("hami.io/node-dcu-register"),
        .node_handshake = STR_INIT("hami.io/node-handshake-dcu"),
        .pod_to_allocate = STR_INIT("hami.io/dcu-devices-to-allocate"),
        .pod_allocated = STR_INIT("hami.io/dcu-devices-allocated"),
        .pod_use_type = STR_INIT("hygon.com/use-dcutype"),
        .pod_nouse_type = STR_INIT("hygon.com/nouse-dcutype"),
        .pod_use_uuid = STR_INIT("hygon.com/use-gpuuuid"),
        .pod_nouse_uuid = STR_INIT("hygon.com/nouse-gpuuuid"),
        LOCK_SHARED,
        .inventory = VENDOR_INVENTORY_TEXT,
        .type_word = STR_INIT("DCU"),
        .mem_factor = 1,
        .default_cores_pct = 100,
    },
    /* vendors-a.md 4; cores are sixteenths of a card. There is a to-allocate key, never written. */
    {
        .core = { .key = STR_INIT("Mthreads"),
                  .checks = { CHECKS_COMMON, SCORE_CHECK_ONE_CARD, SCORE_CHECK_END } },
        .section = STR_INIT("mthreads"),
        .rules = VENDOR_RULE_TOTALS | VENDOR_RULE_COUNT_POSITIVE,
        .res_count = STR_INIT("mthreads.com/vgpu"),
        .res_mem = STR_INIT("mthreads.com/sgpu-memory"),
        .res_cores = STR_INIT("mthreads.com/sgpu-core"),
        .pod_allocated = STR_INIT("hami.io/mthreads-vgpu-devices-allocated"),
        .pod_use_uuid = STR_INIT("mthreads.ai/use-gpuuuid"), /* .ai, unlike the rest */
        .pod_nouse_uuid = STR_INIT("mthreads.ai/nouse-gpuuuid"),
        .inventory = VENDOR_INVENTORY_CAPACITY,
        .made = { .infix = STR_INIT("-mthreads-"), .per_cores = true, .per_card = 16, .count = 100,
                  .cores = 16 },
        .type_word = STR_INIT("Mthreads"),
        .mem_factor = 512,
        .mem_max = 4194303,
        .cores_unit = 16,
        .admit_above = 1,
        .admit_cores = 16,
        .admit_mem = 96,
        .admit_slices = MTHREADS_SLICES,
        .admit_slices_n = N_OF(MTHREADS_SLICES),
        .pod_request_count = STR_INIT("mthreads.com/request-gpu-num"),
        .extra = VENDOR_EXTRA_INDEX,
    },

    ILUVATAR("MR-V100"),
    ILUVATAR("MR-V50"),
    ILUVATAR("BI-V150"),
    ILUVATAR("BI-V100"),

    { /* vendors-b.md 1, whole cards. Which ones, the node's plugin decides. */
        .core = {
            .key = STR_INIT("Metax-GPU"),
            .checks = {
                SCORE_CHECK_HEALTH, SCORE_CHECK_TYPE, SCORE_CHECK_SLOTS, SCORE_CHECK_MUTEX,
                SCORE_CHECK_MEMORY, SCORE_CHECK_CORES, SCORE_CHECK_EXCLUSIVE,
                SCORE_CHECK_ZERO_CORES,
                SCORE_CHECK_ONE_CARD, /* kept: one app container a pod has whole cards (D1.2) */
                SCORE_CHECK_END,
            },
            .quality = SCORE_QUALITY_TABLE,
        },
        .section = STR_INIT("metax"),
        .res_count = STR_INIT("metax-tech.com/gpu"),
        .node_loss = STR_INIT("metax-tech.com/gpu.topology.losses"),
        .node_gain = STR_INIT("metax-tech.com/gpu.topology.scores"),
        .pod_to_allocate = STR_INIT("hami.io/metax-gpu-devices-to-allocate"),
        .pod_allocated = STR_INIT("hami.io/metax-gpu-devices-allocated"),
        .inventory = VENDOR_INVENTORY_CAPACITY,
        .made = { .infix = STR_INIT("-metax-"), .per_card = 1, .count = 1, .cores = 100,
                  .mem_mib = 65536 },
        .type_word = STR_INIT("Metax-GPU"),
        .mem_factor = 1,
        .default_cores_pct = 100,
    },
    { /* vendors-b.md 1, shares. A bare number of memory is GiB. */
        .core = {
            .key = STR_INIT("Metax-SGPU"),
            .checks = {
                SCORE_CHECK_TYPE, SCORE_CHECK_HEALTH, SCORE_CHECK_CLASS, SCORE_CHECK_QOS,
                SCORE_CHECK_UUID, SCORE_CHECK_SLOTS, SCORE_CHECK_MUTEX, SCORE_CHECK_QUOTA,
                SCORE_CHECK_MEMORY, SCORE_CHECK_CORES, SCORE_CHECK_EXCLUSIVE,
                SCORE_CHECK_ZERO_CORES, SCORE_CHECK_END,
            },
            .reasons = { [SCORE_CHECK_HEALTH] = SCORE_CARD_UNHEALTHY },
            .select = SCORE_SELECT_ZONES_FIT,
            .quality = SCORE_QUALITY_LINKS,
        },
        .section = STR_INIT("metax"),
        .rules = VENDOR_RULE_LOCK | VENDOR_RULE_LIMITS_ONLY | VENDOR_RULE_MEM_BYTES,
        .res_count = STR_INIT("metax-tech.com/sgpu"),
        .res_mem = STR_INIT("metax-tech.com/vmemory"),
        .res_cores = STR_INIT("metax-tech.com/vcore"),
        .node_register = STR_INIT("metax-tech.com/node-gpu-devices"),
        .pod_to_allocate = STR_INIT("hami.io/metax-sgpu-devices-to-allocate"),
        .pod_allocated = STR_INIT("hami.io/metax-sgpu-devices-allocated"),
        .pod_use_uuid = STR_INIT("metax-tech.com/use-gpuuuid"),
        .pod_nouse_uuid = STR_INIT("metax-tech.com/nouse-gpuuuid"),
        .pod_class = STR_INIT("metax-tech.com/sgpu-app-class"),
        .pod_qos = STR_INIT("metax-tech.com/sgpu-qos-policy"),
        .pod_topology = STR_INIT("metax-tech.com/sgpu-topology-aware"),
        LOCK_SHARED,
        .inventory = VENDOR_INVENTORY_SHARED,
        .type_word = STR_INIT("Metax-SGPU"),
        .zone = VENDOR_ZONE_LINK,
        .mem_factor = 1024,
        .mem_max = 2097151,
        .default_cores_pct = 100,
        .cores_max = 100, /* more never fits: the reference does not cap it */
        .qos = METAX_QOS,
        .qos_n = N_OF(METAX_QOS),
        .classes = METAX_CLASSES,
        .classes_n = N_OF(METAX_CLASSES),
        .extra = VENDOR_EXTRA_BY_CONTAINER,
    },

    { /* vendors-b.md 2, whole cards */
        .core = { .key = STR_INIT("GCU"),
                  .checks = { SCORE_CHECK_HEALTH, SCORE_CHECK_TYPE, SCORE_CHECK_FREE,
                              SCORE_CHECK_END } },
        .section = STR_INIT("enflame"),
        .res_count = STR_INIT("enflame.com/gcu"),
        .pod_to_allocate = STR_INIT("hami.io/enflame-gcu-devices-to-allocate"),
        .pod_allocated = STR_INIT("hami.io/enflame-gcu-devices-allocated"),
        .inventory = VENDOR_INVENTORY_CAPACITY,
        .made = { .infix = STR_INIT("-GCU-"), .per_card = 1, .count = 1, .cores = 100,
                  .mem_mib = 100 },
        .type_word = STR_INIT("GCU"),
        .mem_factor = 1,
        .default_cores_pct = 100,
    },
    /* vendors-b.md 2, slices of one card. That no profile will do is told as ModeNotFit. */
    {
        .core = {
            .key = STR_INIT("Enflame"),
            .checks = {
                SCORE_CHECK_PLACEMENT, SCORE_CHECK_HEALTH, SCORE_CHECK_TYPE, SCORE_CHECK_UUID,
                SCORE_CHECK_SLOTS, SCORE_CHECK_MUTEX, SCORE_CHECK_QUOTA, SCORE_CHECK_MEMORY,
                SCORE_CHECK_CORES, SCORE_CHECK_END,
            },
            .reasons = { [SCORE_CHECK_PLACEMENT] = SCORE_MODE_NOT_FIT },
            .amount = SCORE_AMOUNT_PROFILE,
        },
        .section = STR_INIT("enflame"),
        .res_mem = STR_INIT("enflame.com/gcu-memory"),
        .res_cores = STR_INIT("enflame.com/gcu-core"),
        .res_slices = STR_INIT("enflame.com/drs-gcu"),
        .node_register = STR_INIT("enflame.com/gcu-drs-capacity"),
        .pod_allocated = STR_INIT("hami.io/enflame-vgpu-devices-allocated"),
        .pod_use_uuid = STR_INIT("enflame.com/use-gpuuuid"),
        .pod_nouse_uuid = STR_INIT("enflame.com/nouse-gpuuuid"),
        .pod_assigned = STR_INIT("assigned-containers"),
        .inventory = VENDOR_INVENTORY_SLICES,
        .made = { .infix = STR_INIT("-enflame-drs-"), .per_card = 1, .cores = 100 },
        .type_word = STR_INIT("Enflame"),
        .asking = VENDOR_ASKING_SLICES,
        .mem_factor = 1,
        .cores_min = 1,
        .cores_max = 100,
        .cores_text = STR_INIT("must be in range (0,100]"),
        .mirror = true,
        .extra = VENDOR_EXTRA_ASSIGNED,
    },

    /* vendors-b.md 3, whole cards. All that is in the way but the lists is told as NumaNotFit. */
    {
        .core = {
            .key = STR_INIT("kunlun"),
            .checks = { SCORE_CHECK_TYPE, SCORE_CHECK_UUID, SCORE_CHECK_FREE, SCORE_CHECK_HEALTH,
                        SCORE_CHECK_END },
            .reasons = { [SCORE_CHECK_FREE] = SCORE_NUMA_NOT_FIT,
                         [SCORE_CHECK_HEALTH] = SCORE_NUMA_NOT_FIT },
            .select_reason = SCORE_NUMA_NOT_FIT,
            .select = SCORE_SELECT_WINGS,
            .quality = SCORE_QUALITY_WINGS,
        },
        .section = STR_INIT("kunlun"),
        .res_count = STR_INIT("kunlunxin.com/xpu"),
        .pod_allocated = STR_INIT("hami.io/kunlun-allocated"),
        XPU_UUIDS,
        .inventory = VENDOR_INVENTORY_CAPACITY,
        .made = { .infix = STR_INIT("-kunlun-"), .per_card = 1, .count = 100, .cores = 100,
                  .mem_mib = 98304, .halves = true },
        .type_word = STR_INIT("kunlun"),
        .mem_factor = 1,
        .default_cores_pct = 100,
        .extra = VENDOR_EXTRA_IDX,
    },
    /* vendors-b.md 3, shares: a card is shared by slices of one size, however many (kept: D3.7) */
    {
        .core = {
            .key = STR_INIT("XPU"),
            .checks = {
                SCORE_CHECK_TYPE, SCORE_CHECK_UUID, SCORE_CHECK_MUTEX, SCORE_CHECK_HEALTH,
                SCORE_CHECK_QUOTA, SCORE_CHECK_MEMORY, SCORE_CHECK_EQUAL, SCORE_CHECK_END,
            },
            .reasons = { [SCORE_CHECK_HEALTH] = SCORE_NUMA_NOT_FIT,
                         [SCORE_CHECK_MEMORY] = SCORE_NUMA_NOT_FIT,
                         [SCORE_CHECK_EQUAL] = SCORE_NUMA_NOT_FIT },
            .select_reason = SCORE_NUMA_NOT_FIT,
            .select = SCORE_SELECT_WINGS,
        },
        .section = STR_INIT("kunlun"),
        .rules = VENDOR_RULE_LOCK,
        .res_count = STR_INIT("kunlunxin.com/vxpu"),
        .res_mem = STR_INIT("kunlunxin.com/vxpu-memory"),
        .node_register = STR_INIT("hami.io/node-register-xpu"),
        .node_handshake = STR_INIT("hami.io/node-handshake-xpu"),
        .pod_to_allocate = STR_INIT("hami.io/xpu-devices-to-allocate"),
        .pod_allocated = STR_INIT("hami.io/xpu-devices-allocated"),
        XPU_UUIDS,
        LOCK_SHARED,
        .inventory = VENDOR_INVENTORY_JSON,
        .type_word = STR_INIT("XPU"),
        .asking = VENDOR_ASKING_STEPS,
        .mem_factor = 1,
        /* kept: all above the last step but one is a whole card, 24Gi too */
        .mem_max = SCORE_AMOUNT_MAX,
        .mem_whole_mib = 98304,
        .templates = XPU_STEPS,
        .templates_n = N_OF(XPU_STEPS),
    },

    { /* vendors-b.md 4; cores are given out one by one */
        .core = {
            .key = STR_INIT("AWSNeuron"),
            .checks = {
                SCORE_CHECK_HEALTH, SCORE_CHECK_TYPE, SCORE_CHECK_UUID, SCORE_CHECK_SLOTS,
                SCORE_CHECK_MUTEX, SCORE_CHECK_QUOTA, SCORE_CHECK_CORES, SCORE_CHECK_END,
            },
            .select_reason = SCORE_NUMA_NOT_FIT,
            .amount = SCORE_AMOUNT_BITS,
            .select = SCORE_SELECT_BLOCKS,
        },
        .section = STR_INIT("awsneuron"),
        .rules = VENDOR_RULE_NO_MEMORY | VENDOR_RULE_BITS | VENDOR_RULE_COUNT_POSITIVE,
        .res_count = STR_INIT("aws.amazon.com/neuron"),
        .res_cores = STR_INIT("aws.amazon.com/neuroncore"),
        .node_kind_label = STR_INIT("node.kubernetes.io/instance-type"),
        .pod_allocated = STR_INIT("hami.io/aws-neuron-devices-allocated"),
        .pod_use_uuid = STR_INIT("aws.amazon.com/use-neuron-uuid"),
        .pod_nouse_uuid = STR_INIT("aws.amazon.com/nouse-neuron-uuid"),
        .inventory = VENDOR_INVENTORY_CORES,
        .made = { .infix = STR_INIT("-AWSNeuron-"), .per_card = 1 },
        .type_word = STR_INIT("AWSNeuron"),
        .asking = VENDOR_ASKING_CORES,
        .mem_factor = 1,
        /* of a device, of which the node may have more: asks come before nodes (D4.1) */
        .cores_unit = 2,
        .extra = VENDOR_EXTRA_CORE_IDS,
    },

    { /* vendors-b.md 5; cores are compute units, asked for in percent */
        .core = {
            .key = STR_INIT("AMD"),
            .checks = {
                SCORE_CHECK_HEALTH, SCORE_CHECK_TYPE, SCORE_CHECK_UUID, SCORE_CHECK_SLOTS,
                SCORE_CHECK_MUTEX, SCORE_CHECK_QUOTA, SCORE_CHECK_MEMORY, SCORE_CHECK_CORES,
                SCORE_CHECK_END,
            },
            .amount = SCORE_AMOUNT_UNITS,
        },
        .section = STR_INIT("amd"),
        .rules = VENDOR_RULE_LOCK | VENDOR_RULE_LIMITS_ONLY | VENDOR_RULE_ALLOC_TYPE |
                 VENDOR_RULE_COUNT_FROM_PARTS, /* amounts without a count ask for a card (D5.2) */
        .res_count = STR_INIT("amd.com/gpu"),
        .res_mem = STR_INIT("amd.com/gpumem"),
        .res_cores = STR_INIT("amd.com/gpucores"),
        .node_register = STR_INIT("hami.io/node-amd-register"),
        .pod_to_allocate = STR_INIT("hami.io/amd-devices-to-allocate"),
        .pod_allocated = STR_INIT("hami.io/amd-devices-allocated"),
        .pod_use_type = STR_INIT("amd.com/use-gputype"),
        .pod_nouse_type = STR_INIT("amd.com/nouse-gputype"),
        .pod_use_uuid = STR_INIT("amd.com/use-gpu-uuid"),
        .pod_nouse_uuid = STR_INIT("amd.com/nouse-gpu-uuid"),
        LOCK_SHARED,
        .inventory = VENDOR_INVENTORY_JSON,
        .type_word = STR_INIT("AMD"),
        .mem_factor = 1,
        .default_count = 1,
        .default_cores_pct = 100,
        .cores_min = 1,
        .cores_max = 100,
        .cores_text = STR_INIT("must be an integer percentage between 1 and 100"),
    },

    { /* vendors-b.md 6; memory is not accounted (kept: D6.1) */
        .core = {
            .key = STR_INIT("Vastai"),
            .checks = { SCORE_CHECK_HEALTH, SCORE_CHECK_TYPE, SCORE_CHECK_UUID, SCORE_CHECK_SLOTS,
                        SCORE_CHECK_ZONE_MUTEX, SCORE_CHECK_END },
            .select = SCORE_SELECT_ZONES,
            .quality = SCORE_QUALITY_ZONES,
        },
        .section = STR_INIT("vastai"),
        .rules = VENDOR_RULE_LOCK | VENDOR_RULE_NO_MEMORY,
        .res_count = STR_INIT("vastaitech.com/va"),
        .node_register = STR_INIT("hami.io/node-va-register"),
        .node_handshake = STR_INIT("hami.io/node-handshake-va"),
        .pod_to_allocate = STR_INIT("hami.io/Vastai-devices-to-allocate"),
        .pod_allocated = STR_INIT("hami.io/Vastai-devices-allocated"),
        .pod_use_uuid = STR_INIT("vastaitech.com/use-gpuuuid"),
        .pod_nouse_uuid = STR_INIT("vastaitech.com/nouse-gpuuuid"),
        LOCK_SHARED,
        .inventory = VENDOR_INVENTORY_JSON,
        .type_word = STR_INIT("Vastai"),
        .forced_cores = 100,
        .zone = VENDOR_ZONE_CARD,
        .mem_factor = 1,
    },
    { /* vendors-b.md 7 */
        .core = {
            .key = STR_INIT("Biren"),
            .checks = { SCORE_CHECK_HEALTH, SCORE_CHECK_TYPE, SCORE_CHECK_UUID, SCORE_CHECK_SLOTS,
                        SCORE_CHECK_MUTEX, SCORE_CHECK_END },
        },
        .section = STR_INIT("biren"),
        .rules = VENDOR_RULE_LOCK | VENDOR_RULE_NO_MEMORY,
        .res_count = STR_INIT("birentech.com/gpu"),
        .node_register = STR_INIT("hami.io/node-biren-register"),
        .node_handshake = STR_INIT("hami.io/node-handshake-biren"),
        .pod_to_allocate = STR_INIT("hami.io/Biren-devices-to-allocate"),
        .pod_allocated = STR_INIT("hami.io/Biren-devices-allocated"),
        .pod_use_uuid = STR_INIT("birentech.com/use-gpuuuid"),
        .pod_nouse_uuid = STR_INIT("birentech.com/nouse-gpuuuid"),
        LOCK_SHARED,
        .inventory = VENDOR_INVENTORY_JSON,
        .type_word = STR_INIT("Biren"),
        .forced_cores = 100,
        .mem_factor = 1,
    },
};
/* clang-format on */
const uint16_t VENDOR_BUILTIN_N = sizeof(VENDOR_BUILTIN) / sizeof(VENDOR_BUILTIN[0]);
_Static_assert(sizeof(VENDOR_BUILTIN) / sizeof(VENDOR_BUILTIN[0]) <= SCORE_VENDORS_MAX,
               "more rows than the core has room for");
