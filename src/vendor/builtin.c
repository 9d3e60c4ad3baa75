/* The rows that the program is built with, named as HAMi's chart names things. A new maker is a new
 * row here. Source: contract/nvidia.md 1, 2 and 5. */
#include "vendor/priv.h"

/* clang-format off */
const struct vendor VENDOR_BUILTIN[] = {
    {
        .core = {
            .key = STR_INIT("NVIDIA"),
            .checks = {
                SCORE_CHECK_HEALTH, SCORE_CHECK_CORDON, SCORE_CHECK_TYPE, SCORE_CHECK_UUID, SCORE_CHECK_SLOTS,
                SCORE_CHECK_MUTEX, SCORE_CHECK_QUOTA, SCORE_CHECK_MEMORY, SCORE_CHECK_CORES,
                SCORE_CHECK_EXCLUSIVE, SCORE_CHECK_ZERO_CORES, SCORE_CHECK_PLACEMENT, SCORE_CHECK_END,
            },
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
        .node_lock = STR_INIT("hami.io/mutex.lock"),
        .mem_factor = 1,
        .default_count = 1,
        .core_policy = STR_INIT("default"),
        .env_priority = STR_INIT("CUDA_TASK_PRIORITY"),
        .env_core_policy = STR_INIT("GPU_CORE_UTILIZATION_POLICY"),
        .env_visible = STR_INIT("NVIDIA_VISIBLE_DEVICES"),
    },
};
/* clang-format on */
const uint16_t VENDOR_BUILTIN_N = sizeof(VENDOR_BUILTIN) / sizeof(VENDOR_BUILTIN[0]);
