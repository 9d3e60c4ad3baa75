/* The makers whose cards a walk can be about: one that cardinald brings, and three that differ from
 * it in what the books and the turns go by: no lock, a lock that is a bare time and names nobody,
 * and sizes that memory is rounded up to. How each real maker writes its annotations is tested
 * elsewhere (check_makers, the stories `vendors`). */
#include "model/world.h"

static const struct maker ROWS[MAKERS] = {
    {"NVIDIA",
     "nvidia.com/gpu",
     "nvidia.com/gpumem",
     "nvidia.com/gpumem-percentage",
     "nvidia.com/gpucores",
     "hami.io/node-nvidia-register",
     "hami.io/vgpu-devices-to-allocate",
     "hami.io/vgpu-devices-allocated",
     LOCK_OWNED,
     "hami.io/mutex.lock",
     {0}},
    {"Free",
     "free.example/card",
     "free.example/memory",
     "free.example/percent",
     "free.example/cores",
     "free.example/register",
     "free.example/to-allocate",
     "free.example/allocated",
     LOCK_NONE,
     "",
     {0}},
    {"Timed",
     "timed.example/card",
     "timed.example/memory",
     "timed.example/percent",
     "timed.example/cores",
     "timed.example/register",
     "timed.example/to-allocate",
     "timed.example/allocated",
     LOCK_TIME,
     "timed.example/lock",
     {0}},
    {"Sizes",
     "sizes.example/card",
     "sizes.example/memory",
     NULL,
     NULL,
     "sizes.example/register",
     "sizes.example/to-allocate",
     "sizes.example/allocated",
     LOCK_OWNED,
     "hami.io/mutex.lock",
     {3072, 6144, 12288, 24576}},
};
#define CHECKS                                                                                     \
    "  checks: [health, type, uuid, slots, mutex, quota, memory, cores, exclusive, zero-cores]\n"
#define RESOURCES(name)                                                                            \
    "  resources: {count: " name "/card, memory: " name "/memory, memoryPercentage: " name         \
    "/percent, cores: " name "/cores}\n"
#define POD(name) "  pod: {toAllocate: " name "/to-allocate, allocated: " name "/allocated}\n"
const char MAKER_ROWS[] = "vendors:\n"
                          "- key: Free\n" RESOURCES("free.example") CHECKS
    "  rules: [exclusive-cores]\n"
    "  node: {register: free.example/register}\n" POD("free.example") "- key: Timed\n" RESOURCES(
        "timed.example") CHECKS
    "  rules: [lock, exclusive-cores]\n"
    "  node: {register: timed.example/register, lock: timed.example/lock, lockTimeOnly: "
    "true}\n" POD("timed.example") "- key: Sizes\n"
                                   "  resources: {count: sizes.example/card, memory: "
                                   "sizes.example/memory}\n" CHECKS "  rules: [lock]\n"
                                   "  node: {register: sizes.example/register, lock: "
                                   "hami.io/mutex.lock}\n" POD(
                                       "sizes.example") "  ask:\n"
                                                        "    from: rounded\n"
                                                        "    memoryFactor: 1\n"
                                                        "    memoryWholeMiB: 24576\n"
                                                        "    memoryMostMiB: 24576\n"
                                                        "    templates:\n"
                                                        "    - {name: eighth, memoryMiB: 3072}\n"
                                                        "    - {name: quarter, memoryMiB: 6144}\n"
                                                        "    - {name: half, memoryMiB: 12288}\n"
                                                        "    - {name: whole, memoryMiB: 24576}\n";

const struct maker *maker = &ROWS[0];

/* Every third walk is about others'. */
void maker_choose(uint64_t seed) { maker = &ROWS[seed % 3 == 0 ? 1 + seed / 3 % (MAKERS - 1) : 0]; }

int64_t maker_size(int64_t mem)
{
    for (int i = 0; i < 4; i++)
        if (mem > 0 && maker->size[i] >= mem)
            return maker->size[i];
    return mem;
}
