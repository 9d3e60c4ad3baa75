/* What a decision writes for each row's plugins: every example of vendors-a.md (parts 10), of
 * vendors-b.md (parts j) and of nvidia.md 8.3 byte for byte, by the built-in rows; and what is read
 * back of it. */
#include "check_vendor.h"

#include "base/own.h"

#include <stdio.h>
#include <string.h>

DEFINE_CLEANUP(struct arena *, arena_free)
DEFINE_CLEANUP(struct vendor_table *, vendor_table_free)

#define NOW_NS INT64_C(1785578400000000001)
#define NS     "1785578400000000001"

static const struct vendor *row(const struct vendor_table *t, const char *key, uint16_t *ret_at)
{
    for (uint16_t i = 0; i < vendor_count(t); i++)
        if (str_eq(vendor_at(t, i)->core.key, str_z(key))) {
            *ret_at = i;
            return vendor_at(t, i);
        }
    ck_abort_msg("no row %s", key);
}

static struct vendor_table *builtin(void)
{
    struct vendor_table *t = NULL;
    struct err err;
    ck_assert_int_eq(vendor_table_builtin(&t, &err), ERR_OK);
    return t;
}

static void add_line(void *ctx, struct str key, struct str value)
{
    buf_fmt(ctx, STR_FMT "=" STR_FMT "\n", STR_ARG(key), STR_ARG(value));
}

/* ---- the chapters' examples ---- */

#define S(text) STR_INIT(text)
static const struct score_profile MIG_2G = {.name = S("2g.10gb"), .mem_mib = 9984, .slices = 2};
static const struct score_profile DRS_4G = {.name = S("4g.24gb"), .id = S("9"), .slices = 4};
static const struct score_profile DRS_1G = {.name = S("1g.5gb"), .slices = 1};

static const struct {
    const char *name, *key;
    uint16_t containers;
    struct vendor_written shares[6]; /* to the first without a uuid */
    struct score_ask asks[3];        /* to the first without a count */
    const char *want;
} EXAMPLES[] = {
    {"core.md 4.5: one container, two cards",
     "NVIDIA",
     1,
     {{.uuid = S("GPU-a"), .mem_mib = 8000, .cores_pct = 30},
      {.uuid = S("GPU-b"), .mem_mib = 8000, .cores_pct = 30}},
     {{0}},
     "hami.io/vgpu-devices-allocated=GPU-a,NVIDIA,8000,30:GPU-b,NVIDIA,8000,30:;\n"
     "hami.io/vgpu-devices-to-allocate=GPU-a,NVIDIA,8000,30:GPU-b,NVIDIA,8000,30:;\n"},
    {"core.md D C1: none, GPU, none; the card is a product, the list says the key",
     "NVIDIA",
     3,
     {{.container = 1,
       .uuid = S("GPU-a"),
       .type = S("NVIDIA A100-SXM4-80GB"),
       .mem_mib = 4000,
       .cores_pct = 10}},
     {{0}},
     "hami.io/vgpu-devices-allocated=;GPU-a,NVIDIA,4000,10:;;\n"
     "hami.io/vgpu-devices-to-allocate=;GPU-a,NVIDIA,4000,10:;;\n"},
    {"nvidia.md 8.3",
     "NVIDIA",
     1,
     {{.uuid = S("GPU-a"), .mem_mib = 9984, .cores_pct = 29, .bits = 0xc, .profile = &MIG_2G},
      {.uuid = S("GPU-a"), .mem_mib = 9984, .cores_pct = 29, .bits = 0x30, .profile = &MIG_2G}},
     {{0}},
     "hami.io/vgpu-devices-allocated=GPU-a,NVIDIA,9984,29:GPU-a,NVIDIA,9984,29:;\n"
     "hami.io/vgpu-devices-to-allocate=GPU-a,NVIDIA,9984,29:GPU-a,NVIDIA,9984,29:;\n"
     "hami.io/vgpu-mig-allocations=[{\"containerIndex\":0,\"deviceIndex\":0,\"gpuUUID\":\"GPU-a\","
     "\"profile\":\"2g.10gb\",\"placement\":{\"start\":2,\"size\":2}},{\"containerIndex\":0,"
     "\"deviceIndex\":1,\"gpuUUID\":\"GPU-a\",\"profile\":\"2g.10gb\",\"placement\":{\"start\":4,"
     "\"size\":2}}]\n"},
    {"nvidia.md 8.3: by position, also behind whole cards and idle containers",
     "NVIDIA",
     3,
     {{.container = 1, .uuid = S("GPU-b"), .mem_mib = 100, .cores_pct = 1},
      {.container = 1, .uuid = S("GPU-a"), .mem_mib = 9984, .bits = 3, .profile = &MIG_2G},
      {.container = 2, .uuid = S("GPU-a"), .mem_mib = 9984, .bits = 0xc, .profile = &MIG_2G}},
     {{0}},
     "hami.io/vgpu-devices-allocated=;GPU-b,NVIDIA,100,1:GPU-a,NVIDIA,9984,0:;"
     "GPU-a,NVIDIA,9984,0:;\n"
     "hami.io/vgpu-devices-to-allocate=;GPU-b,NVIDIA,100,1:GPU-a,NVIDIA,9984,0:;"
     "GPU-a,NVIDIA,9984,0:;\n"
     "hami.io/vgpu-mig-allocations=[{\"containerIndex\":1,\"deviceIndex\":1,\"gpuUUID\":\"GPU-a\","
     "\"profile\":\"2g.10gb\",\"placement\":{\"start\":0,\"size\":2}},{\"containerIndex\":2,"
     "\"deviceIndex\":0,\"gpuUUID\":\"GPU-a\",\"profile\":\"2g.10gb\",\"placement\":{\"start\":2,"
     "\"size\":2}}]\n"},
    {"vendors-a.md 1.10: cut by a template",
     "Ascend910B3",
     1,
     {{.uuid = S("A1"), .mem_mib = 16384}},
     {{.count = 1, .mem_mib = 16384}},
     "hami.io/Ascend910B3-devices-allocated=A1,Ascend910B3,16384,0:;\n"
     "hami.io/Ascend910B3-devices-to-allocate=A1,Ascend910B3,16384,0:;\n"
     "predicate-time=1785578400\n"
     "huawei.com/Ascend910B3=[{\"UUID\":\"A1\",\"temp\":\"vir05_1c_16g\",\"memory\":16384}]\n"},
    {"vendors-a.md 1.10: a whole card",
     "Ascend310P",
     1,
     {{.uuid = S("P0"), .mem_mib = 21527}},
     {{.count = 1, .mem_mib = 21527}},
     "hami.io/Ascend310P-devices-allocated=P0,Ascend310P,21527,0:;\n"
     "hami.io/Ascend310P-devices-to-allocate=P0,Ascend310P,21527,0:;\n"
     "predicate-time=1785578400\n"
     "huawei.com/Ascend310P=[{\"UUID\":\"P0\",\"memory\":21527}]\n"},
    {"vendors-a.md 1.10: split in software",
     "Ascend910B3",
     1,
     {{.uuid = S("A1"), .mem_mib = 15360, .cores_pct = 20}},
     {{.count = 1, .mem_mib = 15360, .cores_pct = 20, .soft = true}},
     "hami.io/Ascend910B3-devices-allocated=A1,Ascend910B3,15360,20:;\n"
     "hami.io/Ascend910B3-devices-to-allocate=A1,Ascend910B3,15360,20:;\n"
     "predicate-time=1785578400\n"
     "huawei.com/Ascend910B3=[{\"UUID\":\"A1\",\"memory\":15360,\"core\":20}]\n"},
    {"vendors-a.md 1.10: all containers in one array",
     "Ascend910C",
     3,
     {{.container = 0, .uuid = S("A0"), .mem_mib = 65536},
      {.container = 0, .uuid = S("A1"), .mem_mib = 65536},
      {.container = 2, .uuid = S("A4"), .mem_mib = 65536},
      {.container = 2, .uuid = S("A5"), .mem_mib = 65536}},
     {{.count = 2, .mem_mib = 65536}, {.container = 2, .count = 2, .mem_mib = 65536}},
     "hami.io/Ascend910C-devices-allocated=A0,Ascend910C,65536,0:A1,Ascend910C,65536,0:;;"
     "A4,Ascend910C,65536,0:A5,Ascend910C,65536,0:;\n"
     "hami.io/Ascend910C-devices-to-allocate=A0,Ascend910C,65536,0:A1,Ascend910C,65536,0:;;"
     "A4,Ascend910C,65536,0:A5,Ascend910C,65536,0:;\n"
     "predicate-time=1785578400\n"
     "huawei.com/Ascend910C=[{\"UUID\":\"A0\",\"memory\":65536},{\"UUID\":\"A1\",\"memory\":65536},"
     "{\"UUID\":\"A4\",\"memory\":65536},{\"UUID\":\"A5\",\"memory\":65536}]\n"},
    {"vendors-a.md 2.10",
     "MLU",
     1,
     {{.uuid = S("node1-cambricon-mlu-3"), .index = 3, .mem_mib = 5120, .cores_pct = 10}},
     {{0}},
     "hami.io/cambricon-mlu-devices-allocated=node1-cambricon-mlu-3,MLU,5120,10:;\n"
     "hami.io/cambricon-mlu-devices-to-allocate=node1-cambricon-mlu-3,MLU,5120,10:;\n"
     "CAMBRICON_DSMLU_ASSIGNED=false\n"
     "CAMBRICON_DSMLU_PROFILE=3_10_20\n"},
    {"vendors-a.md 2.10: a whole card behind a container without",
     "MLU",
     2,
     {{.container = 1, .uuid = S("node1-cambricon-mlu-0"), .mem_mib = 24576, .cores_pct = 100}},
     {{0}},
     "hami.io/cambricon-mlu-devices-allocated=;node1-cambricon-mlu-0,MLU,24576,100:;\n"
     "hami.io/cambricon-mlu-devices-to-allocate=;node1-cambricon-mlu-0,MLU,24576,100:;\n"
     "CAMBRICON_DSMLU_ASSIGNED=false\n"
     "CAMBRICON_DSMLU_PROFILE=0_100_96\n"},
    {"cambricon_defect_c7 kept (vendors-a.md 2.11): the first card's profile alone",
     "MLU",
     2,
     {{.uuid = S("m3"), .index = 3, .mem_mib = 5120, .cores_pct = 10},
      {.container = 1, .uuid = S("m5"), .index = 5, .mem_mib = 256, .cores_pct = 7}},
     {{0}},
     "hami.io/cambricon-mlu-devices-allocated=m3,MLU,5120,10:;m5,MLU,256,7:;\n"
     "hami.io/cambricon-mlu-devices-to-allocate=m3,MLU,5120,10:;m5,MLU,256,7:;\n"
     "CAMBRICON_DSMLU_ASSIGNED=false\n"
     "CAMBRICON_DSMLU_PROFILE=3_10_20\n"},
    {"vendors-a.md 3.11 H1, S12 D1: the model is not the key, the first slot is empty",
     "DCU",
     2,
     {{.container = 1,
       .uuid = S("DCU-TPXS320016070601"),
       .type = S("DCU-K100_AI"),
       .mem_mib = 2000,
       .cores_pct = 60}},
     {{0}},
     "hami.io/dcu-devices-allocated=;DCU-TPXS320016070601,DCU,2000,60:;\n"
     "hami.io/dcu-devices-to-allocate=;DCU-TPXS320016070601,DCU,2000,60:;\n"},
    {"vendors-a.md 4.10",
     "Mthreads",
     1,
     {{.uuid = S("node1-mthreads-7"), .index = 7, .mem_mib = 16384, .cores_pct = 8}},
     {{0}},
     "hami.io/mthreads-vgpu-devices-allocated=node1-mthreads-7,Mthreads,16384,8:;\n"
     "mthreads.com/gpu-index=7\n"
     "mthreads.com/predicate-time=" NS "\n"
     "mthreads.com/predicate-node=node1\n"},
    {"mthreads_defect_m1 kept (vendors-a.md 4.10): two cards, of the last container",
     "Mthreads",
     3,
     {{.uuid = S("m1"), .index = 1, .mem_mib = 1, .cores_pct = 1},
      {.container = 1, .uuid = S("m7"), .index = 7, .mem_mib = 49152, .cores_pct = 16},
      {.container = 1, .uuid = S("m6"), .index = 6, .mem_mib = 49152, .cores_pct = 16}},
     {{0}},
     "hami.io/mthreads-vgpu-devices-allocated=m1,Mthreads,1,1:;m7,Mthreads,49152,16:"
     "m6,Mthreads,49152,16:;;\n"
     "mthreads.com/gpu-index=7,6\n"
     "mthreads.com/predicate-time=" NS "\n"
     "mthreads.com/predicate-node=node1\n"},
    {"vendors-a.md 5.10",
     "BI-V100",
     1,
     {{.uuid = S("GPU-7f"), .type = S("Iluvatar BI-V100"), .mem_mib = 16384, .cores_pct = 50}},
     {{0}},
     "hami.io/BI-V100-devices-allocated=GPU-7f,BI-V100,16384,50:;\n"
     "hami.io/BI-V100-devices-to-allocate=GPU-7f,BI-V100,16384,50:;\n"},
    {"vendors-b.md 1j: whole",
     "Metax-GPU",
     1,
     {{.uuid = S("n1-metax-7"), .index = 7, .mem_mib = 65536, .cores_pct = 100},
      {.uuid = S("n1-metax-6"), .index = 6, .mem_mib = 65536, .cores_pct = 100}},
     {{0}},
     "hami.io/metax-gpu-devices-allocated=n1-metax-7,Metax-GPU,65536,100:"
     "n1-metax-6,Metax-GPU,65536,100:;\n"
     "hami.io/metax-gpu-devices-to-allocate=n1-metax-7,Metax-GPU,65536,100:"
     "n1-metax-6,Metax-GPU,65536,100:;\n"},
    {"vendors-b.md 1j: shared, the second of two containers",
     "Metax-SGPU",
     2,
     {{.container = 1, .uuid = S("GPU-a"), .mem_mib = 4096, .cores_pct = 60}},
     {{0}},
     "hami.io/metax-sgpu-devices-allocated=;GPU-a,Metax-SGPU,4096,60:;\n"
     "hami.io/metax-sgpu-devices-to-allocate=;GPU-a,Metax-SGPU,4096,60:;\n"
     "metax-tech.com/"
     "gpu-devices-allocated=[[],[{\"uuid\":\"GPU-a\",\"compute\":60,\"vRam\":4096}]]\n"
     "metax-tech.com/predicate-time=" NS "\n"},
    {"vendors-b.md 1j: shared, an online pod",
     "Metax-SGPU",
     1,
     {{.uuid = S("GPU-a"), .mem_mib = 4096}},
     {{0}},
     "hami.io/metax-sgpu-devices-allocated=GPU-a,Metax-SGPU,4096,0:;\n"
     "hami.io/metax-sgpu-devices-to-allocate=GPU-a,Metax-SGPU,4096,0:;\n"
     "metax-tech.com/gpu-devices-allocated=[[{\"uuid\":\"GPU-a\",\"vRam\":4096}]]\n"
     "metax-tech.com/predicate-time=" NS "\n"},
    {"vendors-b.md 1j: shared, two cards, then none, then one",
     "Metax-SGPU",
     3,
     {{.uuid = S("a"), .mem_mib = 1, .cores_pct = 2},
      {.uuid = S("b"), .mem_mib = 1, .cores_pct = 2},
      {.container = 2, .uuid = S("a"), .mem_mib = 3, .cores_pct = 4}},
     {{0}},
     "hami.io/metax-sgpu-devices-allocated=a,Metax-SGPU,1,2:b,Metax-SGPU,1,2:;;a,Metax-SGPU,3,4:;\n"
     "hami.io/metax-sgpu-devices-to-allocate=a,Metax-SGPU,1,2:b,Metax-SGPU,1,2:;;"
     "a,Metax-SGPU,3,4:;\n"
     "metax-tech.com/gpu-devices-allocated=[[{\"uuid\":\"a\",\"compute\":2,\"vRam\":1},{\"uuid\":"
     "\"b\",\"compute\":2,\"vRam\":1}],[],[{\"uuid\":\"a\",\"compute\":4,\"vRam\":3}]]\n"
     "metax-tech.com/predicate-time=" NS "\n"},
    {"vendors-b.md 2j: whole",
     "GCU",
     1,
     {{.uuid = S("n1-GCU-3"), .index = 3, .mem_mib = 100, .cores_pct = 100}},
     {{0}},
     "hami.io/enflame-gcu-devices-allocated=n1-GCU-3,GCU,100,100:;\n"
     "hami.io/enflame-gcu-devices-to-allocate=n1-GCU-3,GCU,100,100:;\n"},
    {"vendors-b.md 2j: slices",
     "Enflame",
     1,
     {{.container_name = S("c1"),
       .uuid = S("n1-enflame-drs-0"),
       .minor = S("0"),
       .mem_mib = 24576,
       .cores_pct = 67,
       .shares = 4,
       .profile = &DRS_4G}},
     {{0}},
     "hami.io/enflame-vgpu-devices-allocated=n1-enflame-drs-0,Enflame,24576,67:;\n"
     "enflame.com/gcu-assigned=false\n"
     "enflame.com/gcu-assigned-time=" NS "\n"
     "enflame.com/gcu-assigned-index=0\n"
     "enflame.com/gcu-assigned-id=0\n"
     "enflame.com/gcu-assigned-minor=0\n"
     "enflame.com/gcu-request-size=4\n"
     "assigned-containers={\"c1\":{\"allocated\":false,\"request\":4,\"profileID\":\"9\","
     "\"profileName\":\"4g.24gb\"}}\n"},
    {"enflame_defect_d2_5 kept (vendors-b.md 2j): names sorted, empty strings left out, the first container's",
     "Enflame",
     4,
     {{.container = 1,
       .container_name = S("zoo"),
       .uuid = S("d1"),
       .index = 1,
       .minor = S("7"),
       .mem_mib = 5120,
       .cores_pct = 17,
       .shares = 1,
       .profile = &DRS_1G},
      {.container = 2,
       .container_name = S("app"),
       .uuid = S("d0"),
       .minor = S("3"),
       .mem_mib = 24576,
       .cores_pct = 67,
       .shares = 4,
       .profile = &DRS_4G},
      {.container = 3, .uuid = S("d0"), .mem_mib = 5120, .cores_pct = 17, .shares = 1}},
     {{0}},
     "hami.io/enflame-vgpu-devices-allocated=;d1,Enflame,5120,17:;d0,Enflame,24576,67:;"
     "d0,Enflame,5120,17:;\n"
     "enflame.com/gcu-assigned=false\n"
     "enflame.com/gcu-assigned-time=" NS "\n"
     "enflame.com/gcu-assigned-index=1\n"
     "enflame.com/gcu-assigned-id=1\n"
     "enflame.com/gcu-assigned-minor=7\n"
     "enflame.com/gcu-request-size=1\n"
     "assigned-containers={\"app\":{\"allocated\":false,\"request\":4,\"profileID\":\"9\","
     "\"profileName\":\"4g.24gb\"},\"container-3\":{\"allocated\":false,\"request\":1},"
     "\"zoo\":{\"allocated\":false,\"request\":1,\"profileName\":\"1g.5gb\"}}\n"},
    {"vendors-b.md 3j: whole",
     "kunlun",
     1,
     {{.uuid = S("n1-kunlun-0"), .mem_mib = 98304, .cores_pct = 100},
      {.uuid = S("n1-kunlun-1"), .index = 1, .mem_mib = 98304, .cores_pct = 100}},
     {{0}},
     "hami.io/kunlun-allocated=n1-kunlun-0,kunlun,98304,100:n1-kunlun-1,kunlun,98304,100:;\n"
     "BAIDU_COM_DEVICE_IDX=0,1\n"},
    {"kunlun_defect_d3_5 kept (vendors-b.md 3j): the last container's cards",
     "kunlun",
     2,
     {{.uuid = S("k0"), .mem_mib = 1}, {.container = 1, .uuid = S("k5"), .index = 5, .mem_mib = 1}},
     {{0}},
     "hami.io/kunlun-allocated=k0,kunlun,1,0:;k5,kunlun,1,0:;\n"
     "BAIDU_COM_DEVICE_IDX=5\n"},
    {"vendors-b.md 3j: shared",
     "XPU",
     1,
     {{.uuid = S("xpu-3"), .index = 3, .mem_mib = 49152, .cores_pct = 50}},
     {{0}},
     "hami.io/xpu-devices-allocated=xpu-3,XPU,49152,50:;\n"
     "hami.io/xpu-devices-to-allocate=xpu-3,XPU,49152,50:;\n"},
    {"vendors-b.md 4j: the first core",
     "AWSNeuron",
     1,
     {{.uuid = S("n1-AWSNeuron-15"), .index = 15, .cores_pct = 1, .bits = 1, .bits_total = 3}},
     {{.count = 1, .cores_pct = 1}},
     "hami.io/aws-neuron-devices-allocated=n1-AWSNeuron-15,AWSNeuron,0,1:;\n"
     "AWS_NEURON_IDS=30\n"
     "NEURON_RESOURCE_TYPE=aws.amazon.com/neuroncore\n"
     "NEURON_ALLOC_TIME=" NS "\n"
     "NEURON_ALLOCATED=false\n"
     "aws.amazon.com/predicate-node=node1\n"},
    {"vendors-b.md 4j: the second core",
     "AWSNeuron",
     1,
     {{.uuid = S("n1-AWSNeuron-15"), .index = 15, .cores_pct = 1, .bits = 2, .bits_total = 3}},
     {{.count = 1, .cores_pct = 1}},
     "hami.io/aws-neuron-devices-allocated=n1-AWSNeuron-15,AWSNeuron,0,2:;\n"
     "AWS_NEURON_IDS=31\n"
     "NEURON_RESOURCE_TYPE=aws.amazon.com/neuroncore\n"
     "NEURON_ALLOC_TIME=" NS "\n"
     "NEURON_ALLOCATED=false\n"
     "aws.amazon.com/predicate-node=node1\n"},
    {"vendors-b.md 4j: whole devices",
     "AWSNeuron",
     1,
     {{.uuid = S("d4"), .index = 4, .cores_pct = 2, .bits = 3, .bits_total = 3},
      {.uuid = S("d5"), .index = 5, .cores_pct = 2, .bits = 3, .bits_total = 3},
      {.uuid = S("d6"), .index = 6, .cores_pct = 2, .bits = 3, .bits_total = 3},
      {.uuid = S("d7"), .index = 7, .cores_pct = 2, .bits = 3, .bits_total = 3}},
     {{.count = 4}},
     "hami.io/aws-neuron-devices-allocated=d4,AWSNeuron,0,3:d5,AWSNeuron,0,3:d6,AWSNeuron,0,3:"
     "d7,AWSNeuron,0,3:;\n"
     "AWS_NEURON_IDS=4,5,6,7\n"
     "NEURON_ALLOC_TIME=" NS "\n"
     "NEURON_ALLOCATED=false\n"
     "aws.amazon.com/predicate-node=node1\n"},
    {"vendors-b.md 4j: whole devices that were asked for by their cores",
     "AWSNeuron",
     1,
     {{.uuid = S("d4"), .index = 4, .cores_pct = 2, .bits = 3, .bits_total = 3},
      {.uuid = S("d5"), .index = 5, .cores_pct = 2, .bits = 3, .bits_total = 3}},
     {{.count = 2, .by_cores = true}},
     "hami.io/aws-neuron-devices-allocated=d4,AWSNeuron,0,3:d5,AWSNeuron,0,3:;\n"
     "AWS_NEURON_IDS=8,9,10,11\n"
     "NEURON_RESOURCE_TYPE=aws.amazon.com/neuroncore\n"
     "NEURON_ALLOC_TIME=" NS "\n"
     "NEURON_ALLOCATED=false\n"
     "aws.amazon.com/predicate-node=node1\n"},
    {"vendors-b.md 4k D4.2: every core of a device with four has its id",
     "AWSNeuron",
     1,
     {{.uuid = S("d3"), .index = 3, .cores_pct = 2, .bits = 0xc, .bits_total = 0xf}},
     {{.count = 1, .cores_pct = 2}},
     "hami.io/aws-neuron-devices-allocated=d3,AWSNeuron,0,12:;\n"
     "AWS_NEURON_IDS=14,15\n"
     "NEURON_RESOURCE_TYPE=aws.amazon.com/neuroncore\n"
     "NEURON_ALLOC_TIME=" NS "\n"
     "NEURON_ALLOCATED=false\n"
     "aws.amazon.com/predicate-node=node1\n"},
    {"neuron_defect_d4_8 kept (vendors-b.md 4j): devices and cores in one list",
     "AWSNeuron",
     2,
     {{.uuid = S("d4"), .index = 4, .cores_pct = 2, .bits = 3, .bits_total = 3},
      {.container = 1, .uuid = S("d5"), .index = 5, .cores_pct = 1, .bits = 1, .bits_total = 3}},
     {{.count = 1}, {.container = 1, .count = 1, .cores_pct = 1}},
     "hami.io/aws-neuron-devices-allocated=d4,AWSNeuron,0,3:;d5,AWSNeuron,0,1:;\n"
     "AWS_NEURON_IDS=4,10\n"
     "NEURON_RESOURCE_TYPE=aws.amazon.com/neuroncore\n"
     "NEURON_ALLOC_TIME=" NS "\n"
     "NEURON_ALLOCATED=false\n"
     "aws.amazon.com/predicate-node=node1\n"},
    {"vendors-b.md 5j; 5k D5.1, 0.14 D0.1: the product in the list, and the empty slot before it",
     "AMD",
     2,
     {{.container = 1,
       .uuid = S("card-a"),
       .type = S("AMD Instinct MI300X VF"),
       .mem_mib = 32768,
       .cores_pct = 121}},
     {{0}},
     "hami.io/amd-devices-allocated=;card-a,AMD Instinct MI300X VF,32768,121:;\n"
     "hami.io/amd-devices-to-allocate=;card-a,AMD Instinct MI300X VF,32768,121:;\n"},
    {"vendors-b.md 6j",
     "Vastai",
     1,
     {{.uuid = S("d7"), .index = 7}, {.uuid = S("d6"), .index = 6}},
     {{0}},
     "hami.io/Vastai-devices-allocated=d7,Vastai,0,0:d6,Vastai,0,0:;\n"
     "hami.io/Vastai-devices-to-allocate=d7,Vastai,0,0:d6,Vastai,0,0:;\n"},
    {"vendors-b.md 7j",
     "Biren",
     1,
     {{.uuid = S("b-3"), .index = 3}, {.uuid = S("b-2"), .index = 2}},
     {{0}},
     "hami.io/Biren-devices-allocated=b-3,Biren,0,0:b-2,Biren,0,0:;\n"
     "hami.io/Biren-devices-to-allocate=b-3,Biren,0,0:b-2,Biren,0,0:;\n"},
};

static struct vendor_write write_of(const struct vendor_written *shares, uint16_t shares_max,
                                    const struct score_ask *asks, uint16_t asks_max,
                                    uint16_t containers)
{
    struct vendor_write w = {.shares = shares,
                             .containers_n = containers,
                             .node = STR("node1"),
                             .now_ns = NOW_NS,
                             .asks = asks};
    while (w.shares_n < shares_max && shares[w.shares_n].uuid.n > 0)
        w.shares_n++;
    while (w.asks_n < asks_max && asks[w.asks_n].count > 0)
        w.asks_n++;
    return w;
}

START_TEST(examples)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
    uint16_t at;
    struct vendor_write w =
        write_of(EXAMPLES[_i].shares, COUNT(EXAMPLES[_i].shares), EXAMPLES[_i].asks,
                 COUNT(EXAMPLES[_i].asks), EXAMPLES[_i].containers);
    struct buf got;
    struct err err = {0};
    buf_init(&got, 100000);
    enum err_code rc =
        vendor_annotate(row(t, EXAMPLES[_i].key, &at), &w, arena, add_line, &got, &err);
    ck_assert_msg(rc == ERR_OK, "%s: %s", EXAMPLES[_i].name, err.text);
    ck_str(EXAMPLES[_i].name, ((struct str){got.p, got.n}), str_z(EXAMPLES[_i].want));
    /* every key of it is the scheduler's alone */
    struct str rest = {got.p, got.n}, line, key;
    while (str_split(&rest, '\n', &line))
        if (line.n > 0 && str_split(&line, '=', &key))
            ck_assert_msg(vendor_key_reserved(t, key), "%s: " STR_FMT " is not reserved",
                          EXAMPLES[_i].name, STR_ARG(key));
    buf_done(&got);
}
END_TEST

/* Every row has an example, so no row's keys are untried. */
START_TEST(every_kind_has_an_example)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    for (uint16_t i = 0; i < vendor_count(t); i++) {
        bool found = false;
        for (int e = 0; e < COUNT(EXAMPLES); e++) {
            uint16_t at;
            const struct vendor *v = row(t, EXAMPLES[e].key, &at);
            found = found || str_eq(v->section, vendor_at(t, i)->section);
        }
        ck_assert_msg(found, STR_FMT, STR_ARG(vendor_at(t, i)->core.key));
    }
}
END_TEST

/* ---- what can't be written ---- */

static const struct {
    const char *name, *key;
    struct vendor_written share;
} REFUSED[] = {
    {"amd_defect_d5_6: a product with a separator", "AMD", {.uuid = S("u"), .type = S("AMD, Instinct")}},
    {"a product with a colon", "AMD", {.uuid = S("u"), .type = S("AMD:1")}},
    {"a product with a semicolon", "AMD", {.uuid = S("u"), .type = S("AMD;")}},
    {"memory beyond 32 bits", "NVIDIA", {.uuid = S("u"), .mem_mib = INT64_C(1) << 31}},
    {"negative memory", "NVIDIA", {.uuid = S("u"), .mem_mib = -1}},
    {"negative cores", "NVIDIA", {.uuid = S("u"), .cores_pct = -1}},
    {"a mask beyond 32 bits", "AWSNeuron", {.uuid = S("u"), .bits = UINT64_C(1) << 31}},
};

START_TEST(what_does_not_go_into_a_list_is_refused)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
    uint16_t at;
    struct vendor_write w = write_of(&REFUSED[_i].share, 1, NULL, 0, 1);
    struct buf got;
    struct err err = {0};
    buf_init(&got, 100000);
    enum err_code rc =
        vendor_annotate(row(t, REFUSED[_i].key, &at), &w, arena, add_line, &got, &err);
    ck_assert_msg(rc == ERR_INVALID && err.text[0], "%s: %d", REFUSED[_i].name, rc);
    ck_assert_uint_eq(got.n, 0);
    buf_done(&got);
}
END_TEST

START_TEST(more_than_an_annotation_holds)
{
    static char id[513];
    static struct vendor_written shares[SCORE_PARTS_MAX];
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
    uint16_t at;
    memset(id, 'x', sizeof(id) - 1);
    for (int i = 0; i < COUNT(shares); i++)
        shares[i] = (struct vendor_written){.uuid = str_z(id)};
    struct vendor_write w = write_of(shares, SCORE_PARTS_MAX, NULL, 0, 1);
    struct buf got;
    buf_init(&got, 10 << 20);
    struct err err = {0};
    ck_assert_int_eq(vendor_annotate(row(t, "NVIDIA", &at), &w, arena, add_line, &got, &err),
                     ERR_TOO_LARGE);
    ck_assert_uint_eq(got.n, 0);
    buf_done(&got);
}
END_TEST

START_TEST(annotate_without_memory)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    for (int e = 0; e < COUNT(EXAMPLES); e++) {
        uint16_t at;
        const struct vendor *v = row(t, EXAMPLES[e].key, &at);
        struct vendor_write w =
            write_of(EXAMPLES[e].shares, COUNT(EXAMPLES[e].shares), EXAMPLES[e].asks,
                     COUNT(EXAMPLES[e].asks), EXAMPLES[e].containers);
        for (int n = 1;; n++) {
            struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
            struct buf got;
            buf_init(&got, 100000);
            buf_reserve(&got, 10000);
            fail_from(n);
            enum err_code rc = vendor_annotate(v, &w, arena, add_line, &got, NULL);
            bool happened = fail_happened();
            fail_from(0);
            buf_done(&got);
            if (!happened) {
                ck_assert_int_eq(rc, ERR_OK);
                break;
            }
            ck_assert_msg(rc == ERR_NO_MEMORY || rc == ERR_TOO_LARGE, "%s, allocation %d: %d",
                          EXAMPLES[e].name, n, rc);
        }
    }
}
END_TEST

/* ---- what is read back ---- */

static const char *const NAMES[] = {"init", "app", "side"};

/* Shares as one text: uuid bits shares cores; */
static void show(const struct vendor_alloc *a, uint16_t n, struct buf *out)
{
    for (uint16_t i = 0; i < n; i++)
        buf_fmt(out, STR_FMT " %llx %u %d;", STR_ARG(a[i].uuid), (unsigned long long)a[i].bits,
                a[i].shares, a[i].cores_pct);
}

#define MIG(c, d, uuid, start, size)                                                               \
    "{\"containerIndex\":" #c ",\"deviceIndex\":" #d ",\"gpuUUID\":\"" uuid                        \
    "\",\"profile\":\"p\",\"placement\":{\"start\":" #start ",\"size\":" #size "}}"
#define ONE "g,NVIDIA,1,2:;"
#define DRS "d,Enflame,1,2:;"
static const struct {
    const char *name, *key, *list;
    const char *text; /* pod_mig or pod_assigned; NULL: absent */
    const char *want; /* NULL: refused */
} EXTRAS[] = {
    {"nothing said", "NVIDIA", ONE, NULL, "g 0 1 2;"},
    {"empty", "NVIDIA", ONE, "", "g 0 1 2;"},
    {"null", "NVIDIA", ONE, "null", "g 0 1 2;"},
    {"no slices", "NVIDIA", ONE, " [ ] ", "g 0 1 2;"},
    {"one", "NVIDIA", ONE, "[" MIG(0, 0, "g", 4, 2) "]", "g 30 1 2;"},
    {"the highest", "NVIDIA", ONE, "[" MIG(0, 0, "g", 63, 1) "]", "g 8000000000000000 1 2;"},
    {"all", "NVIDIA", ONE, "[" MIG(0, 0, "g", 0, 64) "]", "g ffffffffffffffff 1 2;"},
    {"two of one card, in order", "NVIDIA", "g,NVIDIA,1,2:g,NVIDIA,3,4:;",
     "[" MIG(0, 0, "g", 0, 1) "," MIG(0, 1, "g", 1, 1) "]", "g 1 1 2;g 2 1 4;"},
    {"beside a whole card", "NVIDIA", "h,NVIDIA,1,2:g,NVIDIA,3,4:;", "[" MIG(0, 1, "g", 0, 1) "]",
     "h 0 1 2;g 1 1 4;"},
    {"of a shifted list (core.md D C1)", "NVIDIA", ";" ONE, "[" MIG(0, 0, "g", 0, 1) "]",
     "g 1 1 2;"},
    {"core_defect_c10: of a node that the pod is not on", "NVIDIA", ONE,
     "[" MIG(0, 0, "elsewhere", 0, 1) "]", "g 0 1 2;"},
    {"numbers absent are 0 (E-12)", "NVIDIA", ONE,
     "[{\"gpuUUID\":\"g\",\"profile\":\"p\",\"placement\":{\"size\":1}}]", "g 1 1 2;"},
    {"names in any case, unknown members, nulls", "NVIDIA", ONE,
     "[{\"GPUuuid\":\"g\",\"PROFILE\":\"p\",\"x\":[1],\"migUUID\":null,\"placement\":{\"SIZE\":1,"
     "\"y\":{},\"start\":null}}]",
     "g 1 1 2;"},
    {"runtime ids", "NVIDIA", ONE,
     "[{\"gpuUUID\":\"g\",\"profile\":\"p\",\"placement\":{\"start\":0,\"size\":1},\"migUUID\":"
     "\"MIG-1\",\"gpuInstanceID\":0,\"computeInstanceID\":0}]",
     "g 1 1 2;"},
    {"bad JSON", "NVIDIA", ONE, "[", NULL},
    {"no list", "NVIDIA", ONE, "{}", NULL},
    {"something behind it", "NVIDIA", ONE, "[]x", NULL},
    {"a null in the list (E-12)", "NVIDIA", ONE, "[null]", NULL},
    {"a negative container", "NVIDIA", ONE, "[" MIG(-1, 0, "g", 0, 1) "]", NULL},
    {"a negative device", "NVIDIA", ONE, "[" MIG(0, -1, "g", 0, 1) "]", NULL},
    {"no card", "NVIDIA", ONE, "[" MIG(0, 0, "", 0, 1) "]", NULL},
    {"no profile", "NVIDIA", ONE, "[{\"gpuUUID\":\"g\",\"placement\":{\"size\":1}}]", NULL},
    {"no placement", "NVIDIA", ONE, "[{\"gpuUUID\":\"g\",\"profile\":\"p\"}]", NULL},
    {"size 0", "NVIDIA", ONE, "[" MIG(0, 0, "g", 0, 0) "]", NULL},
    {"beyond any card", "NVIDIA", ONE, "[" MIG(0, 0, "g", 60, 5) "]", NULL},
    {"a negative start", "NVIDIA", ONE, "[" MIG(0, 0, "g", -1, 1) "]", NULL},
    {"a start beyond 32 bits", "NVIDIA", ONE, "[" MIG(0, 0, "g", 4294967296, 1) "]", NULL},
    {"a fraction", "NVIDIA", ONE, "[" MIG(0, 0, "g", 0.5, 1) "]", NULL},
    {"a text for a number", "NVIDIA", ONE, "[" MIG(0, 0, "g", "0", 1) "]", NULL},
    {"one runtime id of three", "NVIDIA", ONE,
     "[{\"gpuUUID\":\"g\",\"profile\":\"p\",\"placement\":{\"size\":1},\"gpuInstanceID\":0}]",
     NULL},
    {"two runtime ids of three", "NVIDIA", ONE,
     "[{\"gpuUUID\":\"g\",\"profile\":\"p\",\"placement\":{\"size\":1},\"migUUID\":\"M\","
     "\"gpuInstanceID\":0}]",
     NULL},
    {"two of one place", "NVIDIA", "g,NVIDIA,1,2:g,NVIDIA,3,4:;",
     "[" MIG(0, 0, "g", 0, 1) "," MIG(0, 0, "g", 1, 1) "]", NULL},
    {"more slices of a card than shares", "NVIDIA", ONE,
     "[" MIG(0, 0, "g", 0, 1) "," MIG(0, 1, "g", 1, 1) "]", NULL},
    /* vendors-b.md 2j; 2k D2.2: a share takes as many as it has slices */
    {"slices: nothing said", "Enflame", DRS ";", NULL, "d 0 1 2;"},
    {"slices: four", "Enflame", DRS ";", "{\"init\":{\"allocated\":false,\"request\":4}}",
     "d 0 4 2;"},
    {"slices: with what the reader adds", "Enflame", ";" DRS,
     "{\"app\":{\"allocated\":true,\"request\":6,\"profileID\":\"9\",\"instanceID\":\"1\"}}",
     "d 0 6 2;"},
    {"slices: of two containers", "Enflame", DRS "e,Enflame,3,4:;",
     "{\"app\":{\"request\":2},\"init\":{\"request\":1}}", "d 0 1 2;e 0 2 4;"},
    {"slices: bad JSON", "Enflame", DRS ";", "{", NULL},
    {"slices: not told", "Enflame", DRS ";", "{}", NULL},
    {"slices: of a container without cards", "Enflame", DRS ";",
     "{\"init\":{\"request\":1},\"app\":{\"request\":1}}", NULL},
    {"slices: of nobody", "Enflame", DRS ";", "{\"init\":{\"request\":1},\"x\":{\"request\":1}}",
     NULL},
    {"slices: none", "Enflame", DRS ";", "{\"init\":{\"request\":0}}", NULL},
    {"slices: negative", "Enflame", DRS ";", "{\"init\":{\"request\":-1}}", NULL},
    {"slices: too many", "Enflame", DRS ";", "{\"init\":{\"request\":65537}}", NULL},
    {"slices: a text", "Enflame", DRS ";", "{\"init\":{\"request\":\"1\"}}", NULL},
    /* vendors-b.md 4d: the list has masks */
    {"a mask", "AWSNeuron", "d,AWSNeuron,0,3:e,AWSNeuron,0,2:;", NULL, "d 3 1 2;e 2 1 1;"},
    {"a large mask", "AWSNeuron", "d,AWSNeuron,0,2147483647:;", NULL, "d 7fffffff 1 31;"},
    {"cores elsewhere are a number", "AMD", "d,AMD X,0,121:;", NULL, "d 0 1 121;"},
};

START_TEST(extras_are_read)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
    uint16_t at, n = 0;
    const struct vendor *v = row(t, EXTRAS[_i].key, &at);
    const struct str names[] = {str_z(NAMES[0]), str_z(NAMES[1]), str_z(NAMES[2])};
    struct vendor_alloc *a = NULL;
    struct err err = {0};
    const bool asking[] = {true, true, false};
    ck_assert_int_eq(vendor_alloc_decode(str_z(EXTRAS[_i].list), asking, 2, arena, &a, &n, &err),
                     ERR_OK);
    struct str text = {EXTRAS[_i].text, EXTRAS[_i].text ? strlen(EXTRAS[_i].text) : 0};
    enum err_code rc = vendor_alloc_extra(v, text, text, names, 2, arena, a, n, &err);
    if (!EXTRAS[_i].want) {
        ck_assert_msg(rc == ERR_INVALID && err.text[0], "%s: %d", EXTRAS[_i].name, rc);
        return;
    }
    ck_assert_msg(rc == ERR_OK, "%s: %s", EXTRAS[_i].name, err.text);
    struct buf got;
    buf_init(&got, 10000);
    show(a, n, &got);
    ck_str(EXTRAS[_i].name, ((struct str){got.p, got.n}), str_z(EXTRAS[_i].want));
    buf_done(&got);
}
END_TEST

/* ---- what we write, we read back, for every row ---- */

struct notes {
    struct arena *arena;
    const struct vendor *v;
    struct str list, slices, assigned;
};

static void keep(void *ctx, struct str key, struct str value)
{
    struct notes *n = ctx;
    if (str_eq(key, n->v->pod_allocated))
        n->list = arena_str(n->arena, value);
    else if (n->v->pod_mig.n && str_eq(key, n->v->pod_mig))
        n->slices = arena_str(n->arena, value);
    else if (n->v->pod_assigned.n && str_eq(key, n->v->pod_assigned))
        n->assigned = arena_str(n->arena, value);
}

enum { SHARES_MOST = 12 };

static uint16_t random_shares(const struct vendor *v, uint64_t *state, uint16_t containers,
                              struct vendor_written *ret)
{
    static const char *const IDS[] = {"whole-0", "whole-1", "cut-0", "cut-1"};
    static const struct score_profile PROFILE = {.name = S("p\"1"), .id = S("7")};
    uint16_t n = 0;
    for (uint16_t c = 0; c < containers; c++)
        for (uint64_t k = next_random(state) % 3; k > 0 && n < SHARES_MOST; k--) {
            struct vendor_written s = {
                .container = c,
                .container_name = str_z(NAMES[c]),
                .shares = 1,
                .uuid = str_z(IDS[next_random(state) % COUNT(IDS)]),
                .type = STR("Some Product 1"),
                .index = (int32_t)(next_random(state) % 16),
                .mem_mib = (int64_t)(next_random(state) % 2147483648u),
                .cores_pct = (int32_t)(next_random(state) % 201),
            };
            if (v->rules & VENDOR_RULE_BITS) {
                s.bits_total = 0xff;
                s.bits = 1 + next_random(state) % 255;
                s.cores_pct = __builtin_popcountll(s.bits);
            } else if (v->extra == VENDOR_EXTRA_SLICES_LIST && s.uuid.p[0] == 'c') {
                s.profile = &PROFILE;
                s.bits = (UINT64_MAX >> (63 - next_random(state) % 8)) << next_random(state) % 56;
            } else if (v->extra == VENDOR_EXTRA_ASSIGNED) {
                s.profile = &PROFILE;
                s.shares = (uint16_t)(1 + next_random(state) % 9);
                k = 1; /* of one card */
            }
            ret[n++] = s;
        }
    return n;
}

START_TEST(written_then_read)
{
    uint64_t seed = prop_seed(), state = seed;
    struct vendor_table *t CLEANUP(vendor_table_free_p) = builtin();
    const struct str names[] = {str_z(NAMES[0]), str_z(NAMES[1]), str_z(NAMES[2])};
    for (int round = 0; round < 300; round++)
        for (uint16_t i = 0; i < vendor_count(t); i++) {
            struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
            struct notes notes = {.arena = arena, .v = vendor_at(t, i)};
            struct vendor_written shares[SHARES_MOST];
            struct vendor_alloc *a = NULL;
            struct err err = {0};
            uint16_t n = 0;
            struct vendor_write w = {.shares = shares,
                                     .containers_n = (uint16_t)(1 + next_random(&state) % 3),
                                     .now_ns = NOW_NS};
            w.shares_n = random_shares(notes.v, &state, w.containers_n, shares);
            if (w.shares_n == 0)
                continue;
            ck_assert_int_eq(vendor_annotate(notes.v, &w, arena, keep, &notes, &err), ERR_OK);
            ck_assert_int_eq(
                vendor_alloc_decode(notes.list, NULL, w.containers_n, arena, &a, &n, &err), ERR_OK);
            ck_assert_msg(vendor_alloc_extra(notes.v, notes.slices, notes.assigned, names,
                                             w.containers_n, arena, a, n, &err) == ERR_OK,
                          "%s", err.text);
            ck_assert_uint_eq(n, w.shares_n);
            for (uint16_t s = 0; s < n; s++)
                ck_assert_msg(a[s].container == shares[s].container &&
                                  str_eq(a[s].uuid, shares[s].uuid) &&
                                  a[s].mem_mib == shares[s].mem_mib &&
                                  a[s].cores_pct == shares[s].cores_pct &&
                                  a[s].bits == shares[s].bits && a[s].shares == shares[s].shares,
                              STR_FMT ", seed %llu round %d share %u", STR_ARG(notes.v->core.key),
                              (unsigned long long)seed, round, s);
        }
}
END_TEST

void check_vendor_annotate(Suite *suite)
{
    TCase *tc = tcase_create("annotate");
    tcase_set_timeout(tc, 60); /* a busy machine */
    tcase_add_loop_test(tc, examples, 0, COUNT(EXAMPLES));
    tcase_add_test(tc, every_kind_has_an_example);
    tcase_add_loop_test(tc, what_does_not_go_into_a_list_is_refused, 0, COUNT(REFUSED));
    tcase_add_test(tc, more_than_an_annotation_holds);
    tcase_add_test(tc, annotate_without_memory);
    tcase_add_loop_test(tc, extras_are_read, 0, COUNT(EXTRAS));
    tcase_add_test(tc, written_then_read);
    suite_add_tcase(suite, tc);
}
