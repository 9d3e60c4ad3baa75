/* Asks of every maker's pods: the worked lines of vendors-a.md and vendors-b.md (their parts 5, 6
 * and e, f), each edge of every table, and what is refused where the reference drops it. */
#include "check_vendor.h"

#include "base/own.h"

#include <stdio.h>
#include <string.h>

DEFINE_CLEANUP(struct vendor_table *, vendor_table_free)

#define REQUEST         (1 << 0) /* count, memory, cores stand in requests */
#define AMOUNTS_REQUEST (1 << 1) /* memory and cores do */
#define SOFT            (1 << 2)

struct row {
    const char *name, *key;
    const char *count, *mem, *cores, *slices; /* NULL: absent */
    struct score_ask want;                    /* count 0: asks for nothing */
    const char *text;                         /* refused with this in the text */
    int how;
    int32_t factor; /* 0: the row's */
};

#define ASK(n, m, p, c)                                                                            \
    {                                                                                              \
        .count = (n), .mem_mib = (m), .mem_pct = (p), .cores_pct = (c)                             \
    }

static struct vendor_wish wish_of(const struct row *r)
{
    const char *const texts[VENDOR_RES_COUNT_] = {[VENDOR_RES_COUNT] = r->count,
                                                  [VENDOR_RES_MEM] = r->mem,
                                                  [VENDOR_RES_CORES] = r->cores,
                                                  [VENDOR_RES_SLICES] = r->slices};
    struct vendor_wish w = {.soft = r->how & SOFT};
    for (int i = 0; i < VENDOR_RES_COUNT_; i++) {
        bool request = r->how & REQUEST || (r->how & AMOUNTS_REQUEST && i != VENDOR_RES_COUNT);
        w.value[i] = texts[i] ? str_z(texts[i]) : (struct str){0};
        w.limits |= texts[i] && !request ? 1u << i : 0;
    }
    return w;
}

/* What stands in the pod, nothing added. */
static const struct row DERIVE[] = {
    /* vendors-a.md 1.5 */
    {"one card", "Ascend910B3", "1", .want = ASK(1, 0, 100, 0)},
    {"a template", "Ascend910B3", "1", "16384", .want = ASK(1, 16384, 0, 0)},
    {"of requests", "Ascend910B3", "1", "16384", .how = REQUEST, .want = ASK(1, 16384, 0, 0)},
    {"around admission: what its plugin cuts", "Ascend910B3", "1", "10000",
     .want = ASK(1, 16384, 0, 0)},
    {"memory 0 is not given (A9)", "Ascend910B3", "1", "0", .want = ASK(1, 0, 100, 0)},
    {"soft: as it stands", "Ascend910B3", "1", "15360", "20", .how = SOFT,
     .want = {.count = 1, .mem_mib = 15360, .cores_pct = 20, .soft = true}},
    {"soft: whole", "Ascend910B3", "1", NULL, NULL, .how = SOFT,
     .want = {.count = 1, .mem_pct = 100, .soft = true}},
    {"soft: memory beyond a card is no template's", "Ascend910A", "1", "40000", .how = SOFT,
     .want = {.count = 1, .mem_mib = 40000, .soft = true}},
    {"soft is not of other rows", "DCU", "1", "2000", "60", .how = SOFT,
     .want = ASK(1, 2000, 0, 60)},
    {"negative memory", "Ascend910B3", "1", "-1",
     .text = "huawei.com/Ascend910B3-memory value \"-1\""},
    {"more memory than any card", "Ascend910A", "1", "40000",
     .text = "huawei.com/Ascend910A-memory of 40000 MiB is more than a card's 32768"},
    {"beyond 32 bits", "Ascend910B3", "1", "2147483648", .text = "huawei.com/Ascend910B3-memory"},
    {"a factor first, then templates (A6)", "Ascend910A", "1", "128", .factor = 10,
     .want = ASK(1, 2184, 0, 0)},
    {"beyond 32 bits by the factor", "Ascend910B3", "1", "214748365", .factor = 10,
     .text = "must be between 0 and 214748364 (the unit is 10 MiB)"},
    {"none", "Ascend910B3"},
    {"count 0", "Ascend910B3", "0", "16384"},
    {"memory alone", "Ascend910B3", NULL, "16384"},
    {"negative count", "Ascend910B3", "-1", .text = "huawei.com/Ascend910B3 value \"-1\""},

    /* vendors-a.md 2.5 */
    {"MLU", "MLU", "1", "20", "10", .want = ASK(1, 5120, 0, 10)},
    {"MLU alone", "MLU", "1", .want = ASK(1, 0, 100, 100)},
    {"MLU memory 0", "MLU", "1", "0", "10", .want = ASK(1, 0, 100, 10)},
    {"MLU memory in bytes", "MLU", "1", "16Gi",
     .text = "cambricon.com/mlu.smlu.vmemory value \"16Gi\""},
    {"MLU largest memory", "MLU", "1", "8388607", .want = ASK(1, 2147483392, 0, 100)},
    {"MLU memory + 1", "MLU", "1", "8388608",
     .text = "must be between 0 and 8388607 (the unit is 256 MiB)"},
    {"cambricon_defect_c6 count", "MLU", "4294967297",
     .text = "cambricon.com/vmlu value \"4294967297\""},
    {"cambricon_defect_c6 cores", "MLU", "1", NULL, "-10", .text = "vcore value \"-10\""},
    {"MLU cores above 100", "MLU", "1", NULL, "101", .want = ASK(1, 0, 100, 100)},
    {"MLU cores 0", "MLU", "1", "4", "0", .want = ASK(1, 1024, 0, 0)},

    /* vendors-a.md 3.5 */
    {"DCU", "DCU", "1", "2000", "60", .want = ASK(1, 2000, 0, 60)},
    {"DCU amounts in requests", "DCU", "1", "2000", "60", .how = AMOUNTS_REQUEST,
     .want = ASK(1, 2000, 0, 60)},
    {"DCU alone", "DCU", "2", .want = ASK(2, 0, 100, 100)},
    {"DCU memory in bytes", "DCU", "1", "16Gi", .text = "hygon.com/dcumem value \"16Gi\""},
    {"hygon_defect_h3", "DCU", "1", "16.0Gi", .text = "hygon.com/dcumem value \"16.0Gi\""},
    {"DCU factor", "DCU", "1", "3000000", .factor = 1024,
     .text = "hygon.com/dcumem value \"3000000\""},
    {"DCU largest by the factor", "DCU", "1", "2097151", .factor = 1024,
     .want = ASK(1, 2147482624, 0, 100)},

    /* vendors-a.md 4.5: of all cards together */
    {"Mthreads", "Mthreads", "1", "32", "8", .want = ASK(1, 16384, 0, 8)},
    {"Mthreads two", "Mthreads", "2", "192", "32", .want = ASK(2, 49152, 0, 16)},
    {"Mthreads alone", "Mthreads", "1", .want = ASK(1, 0, 100, 0)},
    {"Mthreads: a rest is rounded up", "Mthreads", "3", "4", "16", .want = ASK(3, 683, 0, 6)},
    {"Mthreads largest memory", "Mthreads", "1", "4194303", .want = ASK(1, 2147483136, 0, 0)},
    {"Mthreads memory + 1", "Mthreads", "1", "4194304", .text = "(the unit is 512 MiB)"},
    {"mthreads_defect_m6 negative", "Mthreads", "1", "2", "-8", .text = "sgpu-core value \"-8\""},
    {"mthreads_defect_m6 huge", "Mthreads", "1", "2", "4294967304", .text = "sgpu-core value"},
    {"Mthreads cores beyond a card are a card's", "Mthreads", "1", "2", "17",
     .want = ASK(1, 1024, 0, 16)},
    {"Mthreads all cores", "Mthreads", "1", "2", "16", .want = ASK(1, 1024, 0, 16)},

    /* vendors-a.md 5.5 */
    {"BI", "BI-V100", "1", "64", "50", .want = ASK(1, 16384, 0, 50)},
    {"BI alone", "BI-V100", "1", .want = ASK(1, 0, 100, 0)},
    {"BI after admission", "BI-V100", "2", NULL, "200", .want = ASK(2, 0, 100, 100)},
    {"BI bytes", "MR-V50", "1", "16Gi", .text = "iluvatar.ai/MR-V50.vMem value \"16Gi\""},
    {"iluvatar_defect_i4 count", "BI-V150", "4294967297", .text = "iluvatar.ai/BI-V150-vgpu value"},
    {"iluvatar_defect_i4 cores", "MR-V100", "1", NULL, "-1",
     .text = "iluvatar.ai/MR-V100.vCore value"},

    /* vendors-b.md 1e */
    {"Metax-GPU", "Metax-GPU", "3", .want = ASK(3, 0, 100, 100)},
    {"Metax-GPU in requests", "Metax-GPU", "3", .how = REQUEST, .want = ASK(3, 0, 100, 100)},
    {"cross_defect_d0_6 Metax-GPU", "Metax-GPU", "4294967297", .text = "metax-tech.com/gpu value"},
    {"sGPU alone", "Metax-SGPU", "1", .want = ASK(1, 0, 100, 100)},
    {"sGPU GiB", "Metax-SGPU", "1", "4", "60", .want = ASK(1, 4096, 0, 60)},
    {"sGPU Mi", "Metax-SGPU", "1", "2500Mi", "60", .want = ASK(1, 2500, 0, 60)},
    {"sGPU cores 0 stay 0", "Metax-SGPU", "1", "4", "0", .want = ASK(1, 4096, 0, 0)},
    {"sGPU in requests", "Metax-SGPU", "1", "4", "60", .how = REQUEST},
    {"sGPU amounts in requests are not asked for", "Metax-SGPU", "1", "4", "60",
     .how = AMOUNTS_REQUEST, .want = ASK(1, 0, 100, 100)},
    {"metax_defect_d1_1 below a MiB", "Metax-SGPU", "1", "512Ki",
     .text = "metax-tech.com/vmemory value \"512Ki\" must be between 1Mi and"},
    {"metax_defect_d1_1 a bare 4000 printed", "Metax-SGPU", "1", "4k", "30",
     .want = ASK(1, 4096000, 0, 30)},
    {"metax_defect_d1_1 a bare 4000", "Metax-SGPU", "1", "4000", "30",
     .want = ASK(1, 4096000, 0, 30)},
    {"metax_defect_d1_1 more than a bare number may be is bytes, rounded up", "Metax-SGPU", "1",
     "3M", "30", .want = ASK(1, 3, 0, 30)},
    {"sGPU one MiB", "Metax-SGPU", "1", "1Mi", .want = ASK(1, 1, 0, 100)},
    {"sGPU one byte less", "Metax-SGPU", "1", "1023Ki", .text = "must be between 1Mi and"},
    {"sGPU a MiB and more", "Metax-SGPU", "1", "1025Ki", .want = ASK(1, 2, 0, 100)},
    {"sGPU 1.5Gi", "Metax-SGPU", "1", "1.5Gi", .want = ASK(1, 1536, 0, 100)},
    {"sGPU 1.5", "Metax-SGPU", "1", "1.5", .text = "metax-tech.com/vmemory value \"1.5\""},
    {"sGPU memory 0", "Metax-SGPU", "1", "0", .want = ASK(1, 0, 100, 100)},
    {"sGPU 0Gi", "Metax-SGPU", "1", "0Gi", .want = ASK(1, 0, 100, 100)},
    {"sGPU largest bare number", "Metax-SGPU", "1", "2097151", .want = ASK(1, 2147482624, 0, 100)},
    {"sGPU bare number + 1", "Metax-SGPU", "1", "2097152", .text = "(the unit is 1024 MiB)"},
    {"sGPU largest bytes", "Metax-SGPU", "1", "2147483647Mi", .want = ASK(1, 2147483647, 0, 100)},
    {"sGPU bytes + 1", "Metax-SGPU", "1", "2147483648Mi", .text = "metax-tech.com/vmemory value"},
    {"sGPU negative memory", "Metax-SGPU", "1", "-1Gi",
     .text = "metax-tech.com/vmemory value \"-1Gi\""},
    {"sGPU cores 100", "Metax-SGPU", "1", "4", "100", .want = ASK(1, 4096, 0, 100)},
    {"sGPU cores 101 never fit", "Metax-SGPU", "1", "4", "101",
     .text = "metax-tech.com/vcore value \"101\" must be between 0 and 100"},

    /* vendors-b.md 2e */
    {"GCU", "GCU", "2", .want = ASK(2, 0, 100, 100)},
    {"slices", "Enflame", .slices = "4", .want = {.count = 1, .slices = 4}},
    {"slices before amounts", "Enflame", NULL, "x", "y", "4", .want = {.count = 1, .slices = 4}},
    {"memory and cores", "Enflame", NULL, "11000", "30",
     .want = {.count = 1, .mem_mib = 11000, .cores_pct = 30, .mem_guess = true}},
    {"cores alone", "Enflame", NULL, NULL, "50",
     .want = {.count = 1, .cores_pct = 50, .mem_guess = true}},
    {"memory alone", "Enflame", NULL, "6", NULL,
     .want = {.count = 1, .mem_mib = 6, .mem_guess = true}},
    {"slices: of requests", "Enflame", .slices = "2", .how = REQUEST,
     .want = {.count = 1, .slices = 2}},
    {"slices: no amounts", "Enflame"},
    {"slices beyond 16 bits", "Enflame", .slices = "65536",
     .text = "enflame.com/drs-gcu value \"65536\""},
    {"slices negative", "Enflame", .slices = "-1",
     .text = "enflame.com/drs-gcu must be greater than 0"},
    {"cores of a slice: 0", "Enflame", NULL, NULL, "0",
     .text = "enflame.com/gcu-core must be in range (0,100]"},
    {"cores of a slice: 1", "Enflame", NULL, NULL, "1",
     .want = {.count = 1, .cores_pct = 1, .mem_guess = true}},
    {"cores of a slice: 100", "Enflame", NULL, NULL, "100",
     .want = {.count = 1, .cores_pct = 100, .mem_guess = true}},
    {"cores of a slice: 101", "Enflame", NULL, NULL, "101", .text = "must be in range (0,100]"},
    {"memory of a slice in bytes", "Enflame", NULL, "16Gi", NULL,
     .text = "enflame.com/gcu-memory value"},

    /* vendors-b.md 3e */
    {"kunlun", "kunlun", "4", .want = ASK(4, 0, 100, 100)},
    {"vXPU whole", "XPU", "1", .want = ASK(1, 98304, 0, 100)},
    {"vXPU 1", "XPU", "1", "1", .want = ASK(1, 24576, 0, 25)},
    {"vXPU 40000", "XPU", "2", "40000", .want = ASK(2, 49152, 0, 50)},
    {"vXPU 60000", "XPU", "1", "60000", .want = ASK(1, 98304, 0, 100)},
    {"vXPU bytes are more than any step", "XPU", "1", "24Gi", .want = ASK(1, 98304, 0, 100)},
    {"vXPU 0 is not given", "XPU", "1", "0", .want = ASK(1, 98304, 0, 100)},
    {"vXPU negative", "XPU", "1", "-1", .text = "kunlunxin.com/vxpu-memory value \"-1\""},
    {"vXPU fraction", "XPU", "1", "1.5", .text = "kunlunxin.com/vxpu-memory value \"1.5\""},
    {"vXPU beyond all sense", "XPU", "1", "2Ti", .text = "kunlunxin.com/vxpu-memory value \"2Ti\""},

    /* vendors-b.md 4e; all cores of whole devices are 0 */
    {"neuron 1", "AWSNeuron", "1", .want = ASK(1, 0, 0, 0)},
    {"neuron 16", "AWSNeuron", "16", .want = ASK(16, 0, 0, 0)},
    {"neuroncore 1", "AWSNeuron", NULL, NULL, "1", .want = ASK(1, 0, 0, 1)},
    {"neuroncore 2", "AWSNeuron", NULL, NULL, "2", .want = ASK(1, 0, 0, 2)},
    {"neuroncore 3", "AWSNeuron", NULL, NULL, "3",
     .text = "aws.amazon.com/neuroncore must be 1 or a multiple of 2, got 3"},
    {"neuroncore 4", "AWSNeuron", NULL, NULL, "4", .want = {.count = 2, .by_cores = true}},
    {"neuroncore 6", "AWSNeuron", NULL, NULL, "6", .want = {.count = 3, .by_cores = true}},
    {"devices before cores", "AWSNeuron", "2", NULL, "junk", .want = ASK(2, 0, 0, 0)},
    {"neuroncore 0", "AWSNeuron", NULL, NULL, "0"},
    {"neuroncore of requests", "AWSNeuron", NULL, NULL, "2", .how = REQUEST,
     .want = ASK(1, 0, 0, 2)},
    {"most cores", "AWSNeuron", NULL, NULL, "2048", .want = {.count = 1024, .by_cores = true}},
    {"more cores", "AWSNeuron", NULL, NULL, "2050",
     .text = "aws.amazon.com/neuroncore value \"2050\""},
    {"neuron fraction", "AWSNeuron", "0.5", .text = "aws.amazon.com/neuron value \"0.5\""},

    /* vendors-b.md 5e */
    {"AMD", "AMD", "1", "32768", "40", .want = ASK(1, 32768, 0, 40)},
    {"AMD alone", "AMD", "1", .want = ASK(1, 0, 100, 100)},
    {"AMD in requests", "AMD", "1", .how = REQUEST},
    {"AMD cores 1", "AMD", "1", "1", "1", .want = ASK(1, 1, 0, 1)},
    {"AMD cores 0", "AMD", "1", "1", "0",
     .text = "amd.com/gpucores must be an integer percentage between 1 and 100"},
    {"AMD cores 101", "AMD", "1", "1", "101",
     .text = "amd.com/gpucores must be an integer percentage"},
    {"AMD memory 0", "AMD", "1", "0", "50", .want = ASK(1, 0, 100, 50)},

    /* vendors-b.md 6e, 7e */
    {"Vastai", "Vastai", "5", .want = ASK(5, 0, 0, 0)},
    {"Biren", "Biren", "2", .want = ASK(2, 0, 0, 0)},
    {"cross_defect_d0_6 Vastai", "Vastai", "4294967297", .text = "vastaitech.com/va value"},
    {"cross_defect_d0_6 Biren", "Biren", "4294967297", .text = "birentech.com/gpu value"},
    {"cross_defect_e13 a fraction", "Biren", "1500m", .text = "birentech.com/gpu value \"1500m\""},
    {"a count that is one", "Biren", "2000m", .want = ASK(2, 0, 0, 0)},
    {"the largest count", "Biren", "1024", .want = ASK(1024, 0, 0, 0)},
    {"one more", "Biren", "1025", .text = "birentech.com/gpu value \"1025\""},
};

/* As admission would have changed the pod. */
static const struct row ADMITTED[] = {
    /* vendors-a.md 1.6 */
    {"slice", "Ascend910B3", "1", "10000", .want = ASK(1, 16384, 0, 0)},
    {"whole", "Ascend910B3", "2", .want = ASK(2, 65536, 0, 0)},
    {"310P whole (A8)", "Ascend310P", "1", "24576", .want = ASK(1, 21527, 0, 0)},
    {"no slices of two", "Ascend910A", "2", "8738",
     .text = "vNPU not supported for multiple devices"},
    {"beyond", "Ascend910A", "1", "40000", .text = "huawei.com/Ascend910A-memory 40000 is invalid"},
    {"20000 is a whole card", "Ascend910A", "1", "20000", .want = ASK(1, 32768, 0, 0)},
    {"ascend_defect_a6", "Ascend910A", "1", "128", .factor = 10, .want = ASK(1, 2184, 0, 0)},
    {"ascend_defect_a9 hard", "Ascend910A", "1", "0", .want = ASK(1, 32768, 0, 0)},
    {"ascend_defect_a9 soft", "Ascend910A", "1", "0", .how = SOFT,
     .want = {.count = 1, .mem_mib = 32768, .soft = true}},
    {"cores of a hard slice", "Ascend910B3", "1", "16384", "20",
     .text = "huawei.com/Ascend910B3-core is only supported in"},
    {"cores of a soft one", "Ascend910B3", "1", "15360", "20", .how = SOFT,
     .want = {.count = 1, .mem_mib = 15360, .cores_pct = 20, .soft = true}},
    {"one becomes a pair", "Ascend910C", "1", .want = ASK(2, 65536, 0, 0)},
    {"a pair", "Ascend910C", "2", .want = ASK(2, 65536, 0, 0)},
    {"three", "Ascend910C", "3", .text = "Ascend910C device request must be 1 or 2*n, got 3"},
    {"ascend_defect_a1", "Ascend910C", "1", "16384",
     .text = "vNPU not supported for multiple devices"},
    /* vendors-a.md 4.6 */
    {"Mthreads one", "Mthreads", "1", .want = ASK(1, 49152, 0, 16)},
    {"Mthreads one with cores", "Mthreads", "1", NULL, "4", .want = ASK(1, 49152, 0, 16)},
    {"Mthreads two", "Mthreads", "2", "4", "4", .want = ASK(2, 49152, 0, 16)},
    {"Mthreads slice", "Mthreads", "1", "32", "8", .want = ASK(1, 16384, 0, 8)},
    {"mthreads_defect_m2 kept: a slice without cores has none", "Mthreads", "1", "2",
     .want = ASK(1, 1024, 0, 0)},
    {"Mthreads no slice", "Mthreads", "1", "3",
     .text = "valid values are [2, 4, 8, 16, 32, 64, 96]"},
    {"Mthreads 0", "Mthreads", "0", .text = "mthreads.com/vgpu must be greater than 0"},
    /* vendors-a.md 5.6 */
    {"BI two", "BI-V100", "2", .want = ASK(2, 0, 100, 100)},
    {"BI two with cores (I2, I3)", "BI-V100", "2", "64", "30", .want = ASK(2, 16384, 0, 100)},
    {"iluvatar_defect_i1 kept: one has the cores that it names", "BI-V100", "1",
     .want = ASK(1, 0, 100, 0)},
    /* unchanged */
    {"MLU", "MLU", "1", "20", "10", .want = ASK(1, 5120, 0, 10)},
    {"DCU", "DCU", "1", "2000", "60", .want = ASK(1, 2000, 0, 60)},
    {"Metax-GPU", "Metax-GPU", "1", .want = ASK(1, 0, 100, 100)},
    {"sGPU", "Metax-SGPU", "1", "4", "60", .want = ASK(1, 4096, 0, 60)},
    {"sGPU bytes are not multiplied", "Metax-SGPU", "1", "2500Mi", .want = ASK(1, 2500, 0, 100)},
    {"XPU", "XPU", "1", "26000", .want = ASK(1, 49152, 0, 50)},
    {"XPU alone", "XPU", "1", .want = ASK(1, 98304, 0, 100)},
    /* vendors-b.md 2f, 4f, 5f */
    {"slices 0", "Enflame", .slices = "0", .text = "enflame.com/drs-gcu must be greater than 0"},
    {"memory 0", "Enflame", NULL, "0", "50",
     .text = "enflame.com/gcu-memory must be greater than 0"},
    {"slices", "Enflame", .slices = "6", .want = {.count = 1, .slices = 6}},
    {"neuron 0", "AWSNeuron", "0", .text = "aws.amazon.com/neuron must be greater than 0"},
    {"neuroncore 0", "AWSNeuron", NULL, NULL, "0",
     .text = "aws.amazon.com/neuroncore must be greater than 0"},
    {"neuroncore 5", "AWSNeuron", NULL, NULL, "5", .text = "must be 1 or a multiple of 2, got 5"},
    {"amd_defect_d5_2 memory alone asks for a card", "AMD", NULL, "1000",
     .want = ASK(1, 1000, 0, 100)},
    {"amd_defect_d5_2 cores alone", "AMD", NULL, NULL, "50", .want = ASK(1, 0, 100, 50)},
    {"AMD memory in requests alone", "AMD", NULL, "1000", .how = REQUEST},
};

static void run(const struct row *r, bool admitted)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    ck_assert_int_eq(vendor_table_builtin(&t, NULL), ERR_OK);
    struct vendor v = *row_of(t, r->key);
    struct vendor_wish wish = wish_of(r);
    struct score_ask got = {0};
    struct err err = {0};
    bool asks = false;
    if (r->factor)
        v.mem_factor = r->factor;
    enum err_code rc = vendor_derive(&v, &wish, admitted, &got, &asks, &err);
    if (r->text) {
        ck_assert_msg(rc == ERR_INVALID, "%s: want ERR_INVALID, got %d", r->name, rc);
        ck_assert_msg(strstr(err.text, r->text), "%s: text \"%s\"", r->name, err.text);
        return;
    }
    ck_assert_msg(rc == ERR_OK, "%s: %s", r->name, err.text);
    ck_assert_msg(asks == (r->want.count > 0), "%s: asks %d", r->name, asks);
    if (!asks)
        return;
    ck_assert_msg(got.count == r->want.count && got.mem_mib == r->want.mem_mib &&
                      got.mem_pct == r->want.mem_pct && got.cores_pct == r->want.cores_pct,
                  "%s: got (%d, %lld, %d, %d)", r->name, got.count, (long long)got.mem_mib,
                  got.mem_pct, got.cores_pct);
    ck_assert_msg(got.slices == r->want.slices && got.soft == r->want.soft &&
                      got.mem_guess == r->want.mem_guess && got.by_cores == r->want.by_cores,
                  "%s: slices %d, soft %d, guess %d, by cores %d", r->name, got.slices, got.soft,
                  got.mem_guess, got.by_cores);
}

START_TEST(asks_as_they_stand) { run(&DERIVE[_i], false); }
END_TEST

START_TEST(asks_admitted) { run(&ADMITTED[_i], true); }
END_TEST

/* ---- rounding: each edge of each table, one below, on it, one above ---- */

#define WHOLE NULL
static const struct {
    const char *key;
    struct {
        int64_t upto, mib;
        const char *name; /* WHOLE: no template */
    } steps[5];
} ROUNDING[] = {
    {"Ascend910A",
     {{2184, 2184, "vir02"},
      {4369, 4369, "vir04"},
      {8738, 8738, "vir08"},
      {17476, 17476, "vir16"},
      {32768, 32768, WHOLE}}},
    {"Ascend910B2",
     {{8192, 8192, "vir03_1c_8g"},
      {16384, 16384, "vir06_1c_16g"},
      {32768, 32768, "vir12_3c_32g"},
      {65536, 65536, WHOLE}}},
    {"Ascend910B3",
     {{16384, 16384, "vir05_1c_16g"}, {32768, 32768, "vir10_3c_32g"}, {65536, 65536, WHOLE}}},
    {"Ascend910B4-1",
     {{16384, 16384, "vir05_1c_16g"}, {32768, 32768, "vir10_3c_32g"}, {65536, 65536, WHOLE}}},
    {"Ascend910C",
     {{16384, 16384, "vir05_1c_16g"}, {32768, 32768, "vir10_3c_32g"}, {65536, 65536, WHOLE}}},
    {"Ascend910B4",
     {{8192, 8192, "vir05_1c_8g"}, {16384, 16384, "vir10_3c_16g"}, {32768, 32768, WHOLE}}},
    {"Ascend310P",
     {{3072, 3072, "vir01"},
      {6144, 6144, "vir02"},
      {12288, 12288, "vir04"},
      {24576, 21527, WHOLE}}},
    {"XPU", {{24576, 24576, ""}, {49152, 49152, ""}, {98304, 98304, ""}}},
};

static void check_rounded(const struct vendor *v, int64_t asked, int64_t want, const char *name)
{
    char text[32];
    int64_t mib = 0;
    bool asks;
    struct score_ask got = {0};
    struct err err = {0};
    struct vendor_wish wish = {.value = {[VENDOR_RES_COUNT] = STR("1")}, .limits = ~UINT32_C(0)};
    (void)snprintf(text, sizeof(text), "%lld", (long long)asked);
    wish.value[VENDOR_RES_MEM] = str_z(text);
    ck_assert_msg(vendor_derive(v, &wish, false, &got, &asks, &err) == ERR_OK, "%s", err.text);
    ck_assert_msg(got.mem_mib == want, STR_FMT " %s: got %lld", STR_ARG(v->core.key), text,
                  (long long)got.mem_mib);
    ck_assert(vendor_round(v, asked, &mib) && mib == want);
    const struct vendor_template *t = vendor_template_for(v, asked);
    ck_assert_msg(!t == !name, STR_FMT " %s", STR_ARG(v->core.key), text);
    if (t)
        ck_str("template", t->name, str_z(name));
    /* What admission writes is on an edge and stays there. */
    if (v->rules & VENDOR_RULE_PAIRS)
        return; /* one is two there, and two are whole */
    struct vendor_defaults d;
    ck_assert_int_eq(vendor_defaults(v, &wish, &d, NULL), ERR_OK);
    ck_assert(d.both && d.writes == 1u << VENDOR_RES_MEM && d.value[VENDOR_RES_MEM] == want);
}

START_TEST(rounding)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    ck_assert_int_eq(vendor_table_builtin(&t, NULL), ERR_OK);
    const struct vendor *v = row_of(t, ROUNDING[_i].key);
    int64_t before = 0;
    int n = 0;
    for (; n < COUNT(ROUNDING[_i].steps) && ROUNDING[_i].steps[n].upto; n++) {
        const int64_t upto = ROUNDING[_i].steps[n].upto, want = ROUNDING[_i].steps[n].mib;
        const int64_t asked[] = {before + 1, upto - 1, upto};
        for (int i = 0; i < COUNT(asked); i++)
            check_rounded(v, asked[i], want, ROUNDING[_i].steps[n].name);
        before = upto;
    }
    ck_assert_int_eq(n, v->templates_n + (v->asking == VENDOR_ASKING_ROUNDED)); /* none forgotten */
    int64_t mib;
    ck_assert(vendor_round(v, before + 1, &mib) == (v->asking == VENDOR_ASKING_STEPS));
}
END_TEST

/* Whatever stands in a pod, of every row: an ask that comes out is one that the core takes, and an
 * ask of the admitted pod is the same a second time. */
START_TEST(every_row_s_asks_are_sound)
{
    static const char *const TEXTS[] = {
        NULL,  "0",  "1",    "2",          "3",   "-1",   "100",   "101", "1024", "1025", "16Gi",
        "1.5", "",   "x",    "2147483647", "1e3", "10E",  "8",     "96",  "99",   "1Ki",  "4k",
        "3M",  "32", "9999", "4194303",    "2Ti", "-2Gi", "65535", "16",  "50",   "2048", "17476"};
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    ck_assert_int_eq(vendor_table_builtin(&t, NULL), ERR_OK);
    uint64_t seed = prop_seed(), state = seed;
    int asked[SCORE_VENDORS_MAX] = {0};
    for (int i = 0; i < 50000; i++) {
        uint16_t row = (uint16_t)(next_random(&state) % vendor_count(t));
        struct vendor_wish wish = {.limits = (uint32_t)(next_random(&state) % 64),
                                   .soft = next_random(&state) & 1};
        struct score_ask ask = {0};
        bool asks = false;
        if (next_random(&state) % 4)
            wish.limits = ~UINT32_C(0);
        for (int w = 0; w < VENDOR_RES_COUNT_; w++) {
            const char *z = TEXTS[next_random(&state) % COUNT(TEXTS)];
            wish.value[w] = z && next_random(&state) % 4 ? str_z(z) : (struct str){0};
        }
        const struct vendor *v = vendor_at(t, row);
        struct err err = {0};
        if (vendor_derive(v, &wish, next_random(&state) & 1, &ask, &asks, &err)) {
            ck_assert_msg(err.text[0] && !strchr(err.text, '\n'), "no text");
            continue;
        }
        if (!asks)
            continue;
        asked[row]++;
        ask.vendor = row;
        enum score_step step = SCORE_STEP_APP;
        struct score_request req = {.vendors = vendor_cores(t),
                                    .vendors_n = vendor_count(t),
                                    .steps = &step,
                                    .containers_n = 1,
                                    .asks = &ask,
                                    .asks_n = 1,
                                    .policy = SCORE_POLICY_DEFAULT};
        ck_assert_msg(score_request_check(&req, &err) == ERR_OK, "seed %llu case %d: %s",
                      (unsigned long long)seed, i, err.text);
        ck_assert_int_le(ask.cores_pct, 100);
        ck_assert(ask.mem_mib <= 2147483647 && !(ask.soft && !(v->rules & VENDOR_RULE_SOFT)));
    }
    for (uint16_t i = 0; i < vendor_count(t); i++)
        ck_assert_msg(asked[i] > 10, STR_FMT " asked %d times", STR_ARG(vendor_at(t, i)->core.key),
                      asked[i]);
}
END_TEST

void check_vendor_asks(Suite *suite)
{
    TCase *tc = tcase_create("asks");
    tcase_set_timeout(tc, 60); /* a busy machine */
    tcase_add_loop_test(tc, asks_as_they_stand, 0, COUNT(DERIVE));
    tcase_add_loop_test(tc, asks_admitted, 0, COUNT(ADMITTED));
    tcase_add_loop_test(tc, rounding, 0, COUNT(ROUNDING));
    tcase_add_test(tc, every_row_s_asks_are_sound);
    suite_add_tcase(suite, tc);
}
