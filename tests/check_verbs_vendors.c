/* Every kind of maker through the verbs: filter, bind, what then stands on the pod and on the node,
 * the plugin's end of it, and the room that is free again. */
#include "verbs_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Rows say what matters to them and leave out the rest. */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))
#define NOW      "1790000000"
#define NS       "1790000000000000000"
#define LOCKED   "2026-09-21T14:13:20Z,ml,p-0"
#define BARE     "2026-09-21T14:13:20.000000Z"
#define SHARED   "hami.io/mutex.lock"
#define DSMLU    "cambricon.com/dsmlu.lock"

/* ---- clusters ---- */

#define NODE(meta, amounts)                                                                        \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n1\",\"uid\":\"uid-n1" \
    "\"," meta "},\"status\":{\"capacity\":{" amounts "},\"allocatable\":{" amounts "}}}\n"
#define NOTES(notes) "\"annotations\":{" notes "}"
#define POD(name, notes, containers)                                                               \
    "---\n{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"" name                  \
    "\",\"namespace\":\"ml\",\"uid\":\"uid-" name "\",\"annotations\":{" notes                     \
    "}},\"spec\":{\"schedulerName\":\"cardinal-scheduler\"," containers                            \
    "},\"status\":{\"phase\":\"Pending\"}}\n"
#define WITH(name, limits)                                                                         \
    "{\"name\":\"" name "\",\"image\":\"x\",\"resources\":{\"limits\":{" limits "}}}"
#define APP(limits)       "\"containers\":[" WITH("app", limits) "]"
#define SECOND_OF(limits) "\"containers\":[" WITH("idle", "") "," WITH("app", limits) "]"

#define MIG_NODE                                                                                   \
    NODE(                                                                                          \
        NOTES("\"hami.io/node-nvidia-register\":'[{\"id\":\"GPU-a\",\"count\":7,\"devmem\":40960," \
              "\"devcore\":100,\"type\":\"NVIDIA A100\",\"mode\":\"mig\",\"health\":true,"         \
              "\"migProfiles\":["                                                                  \
              "{\"name\":\"1g.5gb\",\"memoryMB\":4864,\"core\":15,\"sliceCount\":1,"               \
              "\"placements\":[{\"start\":0,\"size\":1},{\"start\":1,\"size\":1},{\"start\":2,"    \
              "\"size\":1},{\"start\":3,\"size\":1},{\"start\":4,\"size\":1},{\"start\":5,"        \
              "\"size\":1},{\"start\":6,\"size\":1}]},"                                            \
              "{\"name\":\"2g.10gb\",\"memoryMB\":9984,\"core\":29,\"sliceCount\":2,"              \
              "\"placements\":[{\"start\":0,\"size\":2},{\"start\":2,\"size\":2},{\"start\":4,"    \
              "\"size\":2}]},"                                                                     \
              "{\"name\":\"3g.20gb\",\"memoryMB\":20096,\"core\":43,\"sliceCount\":3,"             \
              "\"placements\":[{\"start\":0,\"size\":4},{\"start\":4,\"size\":4}]},"               \
              "{\"name\":\"7g.40gb\",\"memoryMB\":40192,\"core\":100,\"sliceCount\":7,"            \
              "\"placements\":[{\"start\":0,\"size\":8}]}]}]'"),                                   \
        "\"nvidia.com/gpu\":\"7\"")
#define MIG_POD(name, cards, mib)                                                                  \
    POD(name, "", APP("\"nvidia.com/gpu\":\"" cards "\",\"nvidia.com/gpumem\":\"" mib "\""))
#define NPU(id, index, type, network)                                                              \
    "{\"id\":\"" id "\",\"index\":" #index ",\"count\":4,\"devmem\":65536,\"devcore\":20,"         \
    "\"type\":\"" type "\",\"health\":true,\"custominfo\":{\"NetworkID\":" #network "}}"
#define PAIRS                                                                                      \
    NODE(NOTES("\"hami.io/node-register-Ascend910C\":'[" NPU("A0", 0, "Ascend910C", 0) "," NPU(    \
             "A1", 1, "Ascend910C", 0) "," NPU("A2", 2, "Ascend910C",                              \
                                               0) "," NPU("A3", 3, "Ascend910C", 0) "]'"),         \
         "\"huawei.com/Ascend910C\":\"4\"")
#define CUT                                                                                        \
    NODE(NOTES("\"hami.io/node-register-Ascend910B3\":'[" NPU("A0", 0, "Ascend910B3",              \
                                                              0) "]',"                             \
                                                                 "\"hami-vnpu-core\":\"true\""),   \
         "\"huawei.com/Ascend910B3\":\"4\"")
#define TWO_CHIPS                                                                                  \
    NODE(NOTES("\"hami.io/node-register-Ascend910B3\":'[" NPU(                                     \
             "A0", 0, "Ascend910B3",                                                               \
             0) "]',"                                                                              \
                "\"hami.io/node-register-Ascend310P\":'[" NPU("P0", 0, "Ascend310P", 0) "]'"),     \
         "\"huawei.com/Ascend910B3\":\"4\",\"huawei.com/Ascend310P\":\"4\"")
#define SLICES                                                                                     \
    NODE(NOTES("\"enflame.com/gcu-drs-capacity\":'{\"devices\":[{\"index\":\"0\",\"minor\":\"5\"," \
               "\"capacity\":6}],\"profiles\":{\"1g.5gb\":\"7\",\"2g.12gb\":\"8\",\"4g.24gb\":"    \
               "\"9\",\"6g.36gb\":\"5\"}}'"),                                                      \
         "\"enflame.com/drs-gcu\":\"6\"")
#define CORES                                                                                      \
    NODE("\"labels\":{\"node.kubernetes.io/instance-type\":\"trn1.32xlarge\"}",                    \
         "\"aws.amazon.com/neuron\":\"16\",\"aws.amazon.com/neuroncore\":\"32\"")
#define LINKED                                                                                     \
    NODE(NOTES("\"metax-tech.com/node-gpu-devices\":'[{\"uuid\":\"GPU-a\",\"totalDevCount\":16,"   \
               "\"totalCompute\":100,\"totalVRam\":65536,\"healthy\":true,\"linkZone\":1}]'"),     \
         "\"metax-tech.com/sgpu\":\"16\"")
#define UNITS                                                                                      \
    NODE(NOTES("\"hami.io/node-amd-register\":'[{\"id\":\"card-a\",\"count\":4,\"devmem\":196592," \
               "\"devcore\":304,\"type\":\"AMD Instinct MI300X VF\",\"health\":true}]'"),          \
         "\"amd.com/gpu\":\"4\"")
#define MADE_UP                                                                                    \
    NODE("\"labels\":{}", "\"cambricon.com/vmlu\":\"100\",\"cambricon.com/mlu.smlu.vcore\":"       \
                          "\"100\",\"cambricon.com/mlu.smlu.vmemory\":\"96\"")
#define TEXT_LIST                                                                                  \
    NODE(NOTES("\"hami.io/node-dcu-register\":\"DCU-T1,4,65520,100,DCU-K100_AI,0,true,0,"          \
               "hami-core:\""),                                                                    \
         "\"hygon.com/dcunum\":\"4\"")
#define SIXTEENTHS                                                                                 \
    NODE("\"labels\":{}", "\"mthreads.com/vgpu\":\"100\",\"mthreads.com/sgpu-core\":\"16\","       \
                          "\"mthreads.com/sgpu-memory\":\"96\"")
#define WINGS NODE("\"labels\":{}", "\"kunlunxin.com/xpu\":\"8\"")
#define MIXED                                                                                      \
    NODE(NOTES("\"hami.io/node-nvidia-register\":'[{\"id\":\"GPU-a\",\"count\":10,\"devmem\":"     \
               "24576,\"devcore\":100,\"type\":\"NVIDIA A10\",\"mode\":\"hami-core\",\"health\":"  \
               "true}]',\"hami.io/node-register-Ascend910B3\":'[" NPU("A0", 0, "Ascend910B3",      \
                                                                      0) "]'"),                    \
         "\"nvidia.com/gpu\":\"10\",\"huawei.com/Ascend910B3\":\"4\",\"cambricon.com/vmlu\":"      \
         "\"100\",\"cambricon.com/mlu.smlu.vcore\":\"100\",\"cambricon.com/mlu.smlu.vmemory\":"    \
         "\"96\"")
#define NVIDIA_LIMITS                                                                              \
    "\"nvidia.com/gpu\":\"1\",\"nvidia.com/gpumem\":\"4000\",\"nvidia.com/gpucores\":\"10\""
#define MLU_LIMITS                                                                                 \
    "\"cambricon.com/vmlu\":\"1\",\"cambricon.com/mlu.smlu.vmemory\":\"20\","                      \
    "\"cambricon.com/mlu.smlu.vcore\":\"10\""
#define NEURON(mask, ids)                                                                          \
    "hami.io/aws-neuron-devices-allocated=n1-AWSNeuron-15,AWSNeuron,0," mask ":;\n"                \
    "AWS_NEURON_IDS=" ids "\nNEURON_RESOURCE_TYPE=aws.amazon.com/neuroncore\n"                     \
    "NEURON_ALLOC_TIME=" NS "\nNEURON_ALLOCATED=false\naws.amazon.com/predicate-node=n1\n"
#define LISTS(stem, list)                                                                          \
    "hami.io/" stem "-devices-allocated=" list "\nhami.io/" stem "-devices-to-allocate=" list "\n"

/* p-0, p-1, … in turn; the first is bound, ends, and its card is free. */
static const struct story {
    const char *name, *cluster;
    const char *want[3]; /* of each pod: its reserved annotations but the four; NULL: no more */
    const char *lock;    /* key of the lock that the first takes; NULL: none */
    const char *card;    /* of the first */
    int shares;          /* what of it is used then */
    int mem_mib;
    const char *refused; /* what the next pod is told; NULL: there is none */
} STORIES[] = {
    {"slices with placements (nvidia.md 8.3)",
     MIG_NODE MIG_POD("p-0", "1", "9000") MIG_POD("p-1", "1", "4000") MIG_POD("p-2", "1", "15000"),
     {LISTS("vgpu",
            "GPU-a,NVIDIA,9984,29:;") "hami.io/vgpu-mig-allocations=[{\"containerIndex\":0,"
                                      "\"deviceIndex\":0,\"gpuUUID\":\"GPU-a\",\"profile\":"
                                      "\"2g.10gb\",\"placement\":{\"start\":0,\"size\":2}}]\n",
      LISTS("vgpu",
            "GPU-a,NVIDIA,4864,15:;") "hami.io/vgpu-mig-allocations=[{\"containerIndex\":0,"
                                      "\"deviceIndex\":0,\"gpuUUID\":\"GPU-a\",\"profile\":"
                                      "\"1g.5gb\",\"placement\":{\"start\":6,\"size\":1}}]\n"},
     SHARED,
     "GPU-a",
     1,
     9984,
     "CardMigTopologyInfeasible"},
    {"pairs (vendors-a.md 1.7)",
     PAIRS POD("p-0", "", APP("\"huawei.com/Ascend910C\":\"2\"")),
     {LISTS(
         "Ascend910C",
         "A0,Ascend910C,65536,0:A1,Ascend910C,65536,0:;") "predicate-time=" NOW "\nhuawei.com/"
                                                          "Ascend910C=[{\"UUID\":\"A0\",\"memory\":"
                                                          "65536},{\"UUID\":\"A1\",\"memory\":"
                                                          "65536}]\n"},
     SHARED,
     "A1",
     1,
     65536,
     NULL},
    {"a card cut by a template (vendors-a.md 1.10)",
     CUT POD("p-0", "",
             APP("\"huawei.com/Ascend910B3\":\"1\",\"huawei.com/Ascend910B3-memory\":\"10000\"")),
     {LISTS("Ascend910B3", "A0,Ascend910B3,16384,0:;") "predicate-time=" NOW "\nhuawei.com/"
                                                       "Ascend910B3=[{\"UUID\":\"A0\",\"temp\":"
                                                       "\"vir05_1c_16g\",\"memory\":16384}]\n"},
     SHARED,
     "A0",
     1,
     16384,
     NULL},
    {"two kinds of chips say one time",
     TWO_CHIPS POD("p-0", "",
                   "\"containers\":[" WITH("a", "\"huawei.com/Ascend910B3\":\"1\"") "," WITH(
                       "b", "\"huawei.com/Ascend310P\":\"1\","
                            "\"huawei.com/Ascend310P-memory\":\"3000\"") "]"),
     {LISTS("Ascend910B3", "A0,Ascend910B3,65536,0:;;")
          LISTS("Ascend310P",
                ";P0,Ascend310P,3072,0:;") "predicate-time=" NOW "\nhuawei.com/"
                                           "Ascend910B3=[{\"UUID\":\"A0\",\"memory\":65536}]\n"
                                           "huawei.com/"
                                           "Ascend310P=[{\"UUID\":\"P0\",\"temp\":\"vir01\","
                                           "\"memory\":3072}]\n"},
     SHARED,
     "P0",
     1,
     3072,
     NULL},
    {"a card split in software (vendors-a.md 1.10)",
     CUT POD("p-0", "\"huawei.com/vnpu-mode\":\"hami-core\"",
             APP("\"huawei.com/Ascend910B3\":\"1\",\"huawei.com/Ascend910B3-memory\":\"15360\","
                 "\"huawei.com/Ascend910B3-core\":\"20\"")),
     {LISTS("Ascend910B3", "A0,Ascend910B3,15360,20:;") "predicate-time=" NOW "\nhuawei.com/"
                                                        "Ascend910B3=[{\"UUID\":\"A0\",\"memory\":"
                                                        "15360,\"core\":20}]\n"},
     SHARED,
     "A0",
     1,
     15360,
     NULL},
    {"slices without placements (vendors-b.md 2j)",
     SLICES POD("p-0", "", APP("\"enflame.com/drs-gcu\":\"4\"")),
     {"hami.io/enflame-vgpu-devices-allocated=n1-enflame-drs-0,Enflame,24576,67:;\n"
      "enflame.com/gcu-assigned=false\nenflame.com/gcu-assigned-time=" NS
      "\nenflame.com/gcu-assigned-index=0\nenflame.com/gcu-assigned-id=0\n"
      "enflame.com/gcu-assigned-minor=5\nenflame.com/gcu-request-size=4\n"
      "assigned-containers={\"app\":{\"allocated\":false,\"request\":4,\"profileID\":\"9\","
      "\"profileName\":\"4g.24gb\"}}\n"},
     NULL,
     "n1-enflame-drs-0",
     4,
     24576,
     NULL},
    {"cores one by one (vendors-b.md 4j)",
     CORES POD("p-0", "\"aws.amazon.com/use-neuron-uuid\":\"n1-AWSNeuron-15\"",
               APP("\"aws.amazon.com/neuroncore\":\"1\""))
         POD("p-1", "\"aws.amazon.com/use-neuron-uuid\":\"n1-AWSNeuron-15\"",
             APP("\"aws.amazon.com/neuroncore\":\"1\""))
             POD("p-2", "\"aws.amazon.com/use-neuron-uuid\":\"n1-AWSNeuron-15\"",
                 APP("\"aws.amazon.com/neuroncore\":\"1\"")),
     {NEURON("1", "30"), NEURON("2", "31")},
     NULL,
     "n1-AWSNeuron-15",
     1,
     0,
     "CardTimeSlicingExhausted"},
    {"whole devices of cores (vendors-b.md 4g)",
     CORES POD("p-0", "", APP("\"aws.amazon.com/neuron\":\"4\"")),
     {"hami.io/aws-neuron-devices-allocated=n1-AWSNeuron-0,AWSNeuron,0,3:n1-AWSNeuron-1,AWSNeuron,"
      "0,3:n1-AWSNeuron-2,AWSNeuron,0,3:n1-AWSNeuron-3,AWSNeuron,0,3:;\nAWS_NEURON_IDS=0,1,2,3\n"
      "NEURON_ALLOC_TIME=" NS "\nNEURON_ALLOCATED=false\naws.amazon.com/predicate-node=n1\n"},
     NULL,
     "n1-AWSNeuron-3",
     1,
     0,
     NULL},
    {"the second of two containers (vendors-b.md 1j)",
     LINKED POD("p-0", "\"metax-tech.com/sgpu-qos-policy\":\"best-effort\"",
                SECOND_OF("\"metax-tech.com/sgpu\":\"1\",\"metax-tech.com/vcore\":\"60\","
                          "\"metax-tech.com/vmemory\":\"4\"")),
     {LISTS("metax-sgpu",
            ";GPU-a,Metax-SGPU,4096,60:;") "metax-tech.com/gpu-devices-allocated=[[],"
                                           "[{\"uuid\":\"GPU-a\",\"compute\":60,\"vRam\":4096}]]"
                                           "\nmetax-tech.com/predicate-time=" NS "\n"},
     SHARED,
     "GPU-a",
     1,
     4096,
     NULL},
    {"an online pod (vendors-b.md 1j)",
     LINKED POD("p-0", "\"metax-tech.com/sgpu-app-class\":\"online\"",
                APP("\"metax-tech.com/sgpu\":\"1\",\"metax-tech.com/vmemory\":\"4\"")),
     {LISTS("metax-sgpu", "GPU-a,Metax-SGPU,4096,0:;") "metax-tech.com/gpu-devices-allocated=[["
                                                       "{\"uuid\":\"GPU-a\",\"vRam\":4096}]]"
                                                       "\nmetax-tech.com/predicate-time=" NS "\n"},
     SHARED,
     "GPU-a",
     1,
     4096,
     NULL},
    {"amd_defect_d5_1_d0_1: units of a product, behind a container without (vendors-b.md 5j)",
     UNITS POD("p-0", "",
               SECOND_OF("\"amd.com/gpu\":\"1\",\"amd.com/gpumem\":\"32768\","
                         "\"amd.com/gpucores\":\"40\"")),
     {LISTS("amd", ";card-a,AMD Instinct MI300X VF,32768,121:;")},
     SHARED,
     "card-a",
     1,
     32768,
     NULL},
    {"a lock of its own (vendors-a.md 2.4, 2.10)",
     MADE_UP POD("p-0", "", APP(MLU_LIMITS)),
     {LISTS("cambricon-mlu",
            "n1-cambricon-mlu-0,MLU,5120,10:;") "CAMBRICON_DSMLU_ASSIGNED=false\n"
                                                "CAMBRICON_DSMLU_PROFILE=0_10_20\n"},
     DSMLU,
     "n1-cambricon-mlu-0",
     1,
     5120,
     NULL},
    {"hygon_defect_h1: the key for the model, behind a container without (vendors-a.md 3.10)",
     TEXT_LIST POD("p-0", "",
                   SECOND_OF("\"hygon.com/dcunum\":\"1\",\"hygon.com/dcumem\":\"2000\","
                             "\"hygon.com/dcucores\":\"60\"")),
     {LISTS("dcu", ";DCU-T1,DCU,2000,60:;")},
     SHARED,
     "DCU-T1",
     1,
     2000,
     NULL},
    {"an index and no lock (vendors-a.md 4.10)",
     SIXTEENTHS POD("p-0", "",
                    APP("\"mthreads.com/vgpu\":\"1\",\"mthreads.com/sgpu-memory\":"
                        "\"32\",\"mthreads.com/sgpu-core\":\"8\"")),
     {"hami.io/mthreads-vgpu-devices-allocated=n1-mthreads-0,Mthreads,16384,8:;\n"
      "mthreads.com/gpu-index=0\nmthreads.com/predicate-time=" NS
      "\nmthreads.com/predicate-node=n1\n"},
     NULL,
     "n1-mthreads-0",
     1,
     16384,
     NULL},
    {"cards of two wings (vendors-b.md 3j)",
     WINGS POD("p-0", "", APP("\"kunlunxin.com/xpu\":\"2\"")),
     {"hami.io/kunlun-allocated=n1-kunlun-0,kunlun,98304,100:n1-kunlun-1,kunlun,98304,100:;\n"
      "BAIDU_COM_DEVICE_IDX=0,1\n"},
     NULL,
     "n1-kunlun-1",
     1,
     98304,
     NULL},
    {"cross_defect_d5_d0_2: nothing of a maker that the pod did not ask",
     MIXED POD("p-0", "", APP(NVIDIA_LIMITS)),
     {LISTS("vgpu", "GPU-a,NVIDIA,4000,10:;")},
     SHARED,
     "GPU-a",
     1,
     4000,
     NULL},
    {"cross_defect_d7: a lock for an init container alone",
     MIXED POD("p-0", "",
               "\"initContainers\":[" WITH("first",
                                           NVIDIA_LIMITS) "],\"containers\":[" WITH("app", "") "]"),
     {LISTS("vgpu", "GPU-a,NVIDIA,4000,10:;;")},
     SHARED,
     "GPU-a",
     1,
     4000,
     NULL},
};

/* ---- the steps ---- */

static const char *const N1[] = {"n1", NULL};

static const char *note_of(const json_t *object, const char *key)
{
    return json_string_value(
        json_object_get(json_object_get(json_object_get(object, "metadata"), "annotations"), key));
}

static void want_bind(struct fx *fx, const char *name, const char *pod, const char *error)
{
    unsigned status;
    json_t *got = fx_call(fx, "POST", "/bind", fx_bind_args(fx, "ml", pod, "n1"), &status);
    const char *text = json_string_value(json_object_get(got, "Error"));
    ck_assert_msg(text && (*error ? strstr(text, error) != NULL : !*text), "%s: %s: %s", name, pod,
                  text ? text : "(none)");
    json_decref(got);
}

/* Exactly these keys of a decision, and the four of every one. */
static void want_notes(struct fx *fx, const char *name, const char *pod, const char *want)
{
    char path[64], all[4096];
    snprintf(path, sizeof(path), "pods/ml/%s", pod);
    snprintf(all, sizeof(all),
             "%shami.io/vgpu-node=n1\nhami.io/vgpu-time=" NOW "\nhami.io/bind-time=" NOW
             "\nhami.io/bind-phase=allocating\n",
             want);
    json_t *object = fx_object(fx, path), *value;
    json_t *notes = json_object_get(json_object_get(object, "metadata"), "annotations");
    size_t lines = 0, reserved = 0;
    const char *key;
    struct str rest = str_z(all), line;
    while (str_split(&rest, '\n', &line)) {
        struct str value_of = line, of;
        if (line.n == 0)
            continue;
        lines++;
        (void)str_split(&value_of, '=', &of);
        const json_t *got = json_object_getn(notes, of.p, of.n);
        ck_assert_msg(json_is_string(got) && str_eq(str_z(json_string_value(got)), value_of),
                      "%s: %s: " STR_FMT ": %s", name, pod, STR_ARG(line),
                      got ? json_string_value(got) : "(none)");
    }
    json_object_foreach(notes, key, value)
    {
        reserved += vendor_key_reserved(fx->app.vendors, str_z(key));
    }
    ck_assert_msg(reserved == lines, "%s: %s: %zu keys, not %zu", name, pod, reserved, lines);
    json_decref(object);
}

static void want_lock(struct fx *fx, const char *name, const char *key, const char *value)
{
    static const char *const KEYS[] = {SHARED, DSMLU};
    json_t *node = fx_object(fx, "nodes/n1");
    for (int i = 0; i < COUNT(KEYS); i++) {
        const char *got = note_of(node, KEYS[i]);
        const char *want = key && !strcmp(key, KEYS[i]) ? value : NULL;
        ck_assert_msg(want ? got && !strcmp(got, want) : !got, "%s: %s: %s", name, KEYS[i],
                      got ? got : "(none)");
    }
    json_decref(node);
}

static void take_lock_away(struct fx *fx, const char *key)
{
    char body[128];
    snprintf(body, sizeof(body), "{\"metadata\":{\"annotations\":{\"%s\":null}}}", key);
    fx_patch(fx, "nodes/n1", body);
}

/* What its plugin leaves of the pod's lists. */
static void serve(struct fx *fx, const char *pod, const char *left, const char *phase)
{
    char path[64];
    snprintf(path, sizeof(path), "pods/ml/%s", pod);
    json_t *object = fx_object(fx, path), *value;
    json_t *notes = json_pack("{s:s}", "hami.io/bind-phase", phase);
    const char *key;
    json_object_foreach(json_object_get(json_object_get(object, "metadata"), "annotations"), key,
                        value)
    {
        if (strstr(key, "-devices-to-allocate"))
            json_object_set_new(notes, key, json_string(left));
    }
    json_t *patch = json_pack("{s:{s:o}}", "metadata", "annotations", notes);
    char *body = json_dumps(patch, 0);
    fx_patch(fx, path, body);
    free(body);
    json_decref(patch);
    json_decref(object);
}

START_TEST(a_maker_through_the_verbs)
{
    const struct story *s = &STORIES[_i];
    struct fx fx;
    char pod[8] = "p-0";
    unsigned status;
    fx_open(&fx, s->cluster, NULL);
    for (int i = 0; i < COUNT(s->want) && s->want[i]; i++) {
        pod[2] = (char)('0' + i);
        json_t *got = fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", pod, N1), &status);
        char *text = json_dumps(got, JSON_COMPACT);
        ck_assert_msg(json_array_size(json_object_get(got, "NodeNames")) == 1, "%s: %s: %s",
                      s->name, pod, text);
        free(text);
        json_decref(got);
        want_bind(&fx, s->name, pod, "");
        want_notes(&fx, s->name, pod, s->want[i]);
        if (i == 0) {
            want_lock(&fx, s->name, s->lock, s->lock && !strcmp(s->lock, DSMLU) ? BARE : LOCKED);
            ck_assert_msg(fx_wait_used(&fx, "n1", s->card, s->shares, s->mem_mib), "%s: use",
                          s->name);
        }
        serve(&fx, pod, ";;", "success");
        if (s->lock)
            take_lock_away(&fx, s->lock);
    }
    if (s->refused) {
        pod[2]++;
        json_t *got = fx_call(&fx, "POST", "/filter", fx_args(&fx, "ml", pod, N1), &status);
        char *text = json_dumps(got, JSON_COMPACT);
        ck_assert_msg(strstr(text, s->refused) != NULL, "%s: %s", s->name, text);
        free(text);
        json_decref(got);
    }
    for (int i = 0; i < COUNT(s->want) && s->want[i]; i++) {
        char path[64];
        snprintf(path, sizeof(path), "pods/ml/p-%d", i);
        fx_patch(&fx, path, "{\"status\":{\"phase\":\"Succeeded\"}}");
    }
    ck_assert_msg(fx_wait_used(&fx, "n1", s->card, 0, 0), "%s: room", s->name);
    fx_close(&fx);
}
END_TEST

/* ---- the lock that is a bare time ---- */

#define TWO_LOCKS                                                                                  \
    MIXED POD("p-0", "", APP(MLU_LIMITS)) POD("p-1", "", APP(NVIDIA_LIMITS))                       \
        POD("p-2", "", APP(MLU_LIMITS "," NVIDIA_LIMITS))

START_TEST(core_defect_c46_cambricon_defect_c1_a_failing_bind_leaves_the_lock_alone)
{
    struct fx fx;
    const struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 1200};
    fx_open(&fx, TWO_LOCKS, &opt);
    want_bind(&fx, "takes it", "p-0", "");
    want_lock(&fx, "taken", DSMLU, BARE);
    kube_store_fault(fx.store,
                     &(struct kube_fault_rule){
                         .fault = KUBE_FAULT_STATUS, .verb = KUBE_BIND, .kind = -1, .status = 403});
    want_bind(&fx, "another maker's, refused", "p-1", "403");
    kube_store_fault_clear(fx.store);
    want_lock(&fx, "the shared one is given back, the other stays", DSMLU, BARE);
    want_bind(&fx, "both, and one is held", "p-2", "node lock contention");
    want_lock(&fx, "a bind that found it held takes nothing away", DSMLU, BARE);
    ck_assert(fx_wait_used(&fx, "n1", "GPU-a", 0, 0));
    take_lock_away(&fx, DSMLU);
    want_bind(&fx, "both", "p-2", "");
    json_t *node = fx_object(&fx, "nodes/n1");
    ck_assert_str_eq(note_of(node, DSMLU), BARE);
    ck_assert_str_eq(note_of(node, SHARED), "2026-09-21T14:13:20Z,ml,p-2");
    json_decref(node);
    fx_close(&fx);
}
END_TEST

START_TEST(a_refused_binding_gives_the_bare_time_back)
{
    struct fx fx;
    fx_open(&fx, TWO_LOCKS, NULL);
    kube_store_fault(fx.store,
                     &(struct kube_fault_rule){
                         .fault = KUBE_FAULT_STATUS, .verb = KUBE_BIND, .kind = -1, .status = 403});
    want_bind(&fx, "refused", "p-0", "403");
    kube_store_fault_clear(fx.store);
    want_lock(&fx, "given back", NULL, NULL);
    ck_assert(fx_wait_used(&fx, "n1", "n1-cambricon-mlu-0", 0, 0));
    want_bind(&fx, "again", "p-0", "");
    fx_close(&fx);
}
END_TEST

/* Locks are taken in the order of their keys; what was taken goes when the next can't be had. */
START_TEST(the_first_of_two_locks_is_given_back)
{
    struct fx fx;
    const struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 1200};
    fx_open(&fx, TWO_LOCKS, &opt);
    want_bind(&fx, "takes the shared one", "p-1", "");
    want_bind(&fx, "takes the other, and finds the shared one held", "p-2", "node lock contention");
    want_lock(&fx, "the shared one stays", SHARED, "2026-09-21T14:13:20Z,ml,p-1");
    ck_assert(fx_wait_used(&fx, "n1", "n1-cambricon-mlu-0", 0, 0));
    want_bind(&fx, "the other is free", "p-0", "");
    fx_close(&fx);
}
END_TEST

START_TEST(a_bare_time_of_unknown_outcome_is_given_back)
{
    struct fx fx;
    fx_open(&fx, TWO_LOCKS, NULL);
    kube_store_fault(fx.store, &(struct kube_fault_rule){.fault = KUBE_FAULT_CUT_DONE,
                                                         .verb = KUBE_PATCH,
                                                         .kind = KUBE_NODE});
    want_bind(&fx, "unknown", "p-0", "connection");
    want_lock(&fx, "given back", NULL, NULL);
    fx_close(&fx);
}
END_TEST

/* ---- a plugin that unlocks too early ---- */

#define NPU_LIMITS "\"huawei.com/Ascend910B3\":\"1\",\"huawei.com/Ascend910B3-memory\":\"16384\""
#define EARLY                                                                                      \
    CUT POD("p-0", "", "\"containers\":[" WITH("a", NPU_LIMITS) "," WITH("b", NPU_LIMITS) "]")     \
        POD("p-1", "", APP(NPU_LIMITS))

static const struct {
    const char *name, *left, *phase, *status; /* what ends the turn */
} TURNS[] = {
    {"the second container is served", ";;;;", "success", NULL},
    {"its containers have begun", NULL, NULL,
     "{\"status\":{\"phase\":\"Pending\",\"containerStatuses\":[{\"name\":\"a\",\"state\":{"
     "\"waiting\":{\"reason\":\"ContainerCreating\"}}}]}}"},
    {"it runs", NULL, NULL, "{\"status\":{\"phase\":\"Running\"}}"},
    {"its plugin failed", ";A0,Ascend910B3,16384,0:;;", "failed", NULL},
    {"it failed", NULL, NULL, "{\"status\":{\"phase\":\"Failed\"}}"},
};

/* node-side.md 7: after the first container it unlocks and looks for the pod of the next call by a
 * search, which a lock goes before. */
START_TEST(nobody_locks_while_a_bound_pod_waits_for_its_cards)
{
    struct fx fx;
    const struct fx_options opt = {.shortlist = -1, .bind_timeout_ms = 1200};
    const char *name = TURNS[_i].name;
    fx_open(&fx, EARLY, &opt);
    want_bind(&fx, name, "p-0", "");
    serve(&fx, "p-0", ";A0,Ascend910B3,16384,0:;;", "success");
    take_lock_away(&fx, SHARED);
    want_bind(&fx, name, "p-1", "node lock contention");
    want_lock(&fx, name, NULL, NULL);
    ck_assert_msg(fx_wait_used(&fx, "n1", "A0", 2, 32768), "%s: use", name);
    if (TURNS[_i].left)
        serve(&fx, "p-0", TURNS[_i].left, TURNS[_i].phase);
    if (TURNS[_i].status)
        fx_patch(&fx, "pods/ml/p-0", TURNS[_i].status);
    for (int i = 0; i < 2500 && cluster_node_serving(fx.app.store, STR("n1"), STR("uid-p-1")); i++)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL); /* until our watch has seen it */
    want_bind(&fx, name, "p-1", "");
    want_lock(&fx, name, SHARED, "2026-09-21T14:13:20Z,ml,p-1");
    fx_close(&fx);
}
END_TEST

/* ---- more than an object holds ---- */

START_TEST(more_annotations_than_an_object_holds)
{
    enum { CARDS = 256, ID = 300 };
    struct fx fx;
    struct buf cluster;
    char id[ID + 1];
    buf_init(&cluster, 1 << 20);
    buf_add(&cluster, STR("---\n{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":"
                          "\"n1\",\"uid\":\"uid-n1\",\"annotations\":{"
                          "\"hami.io/node-biren-register\":'["));
    memset(id, 'x', ID);
    id[ID] = '\0';
    for (int i = 0; i < CARDS; i++)
        buf_fmt(&cluster, "%s{\"id\":\"b%d%s\",\"count\":1,\"type\":\"Biren\",\"health\":true}",
                i ? "," : "", i, id);
    buf_fmt(&cluster,
            "]'}},\"status\":{\"allocatable\":{\"birentech.com/gpu\":\"%d\"}}}\n"
            "---\n{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p-0\","
            "\"namespace\":\"ml\",\"uid\":\"uid-p-0\"},\"spec\":{"
            "\"schedulerName\":\"cardinal-scheduler\",\"initContainers\":["
            "{\"name\":\"first\",\"image\":\"x\",\"resources\":{\"limits\":{"
            "\"birentech.com/gpu\":\"%d\"}}}],\"containers\":[{\"name\":\"app\",\"image\":\"x\","
            "\"resources\":{\"limits\":{\"birentech.com/gpu\":\"%d\"}}}]},"
            "\"status\":{\"phase\":\"Pending\"}}\n",
            CARDS, CARDS, CARDS);
    size_t text_n;
    char *text = buf_take(&cluster, &text_n);
    ck_assert_ptr_nonnull(text);
    fx_open(&fx, text, NULL);
    want_bind(&fx, "too much", "p-0", "ask for fewer cards");
    want_lock(&fx, "none is left", NULL, NULL);
    ck_assert(fx_wait_state(&fx, "uid-p-0", CLUSTER_STATE_WAITING));
    free(text);
    fx_close(&fx);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("verbs-vendors");
    TCase *tc = tcase_create("stories");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_maker_through_the_verbs, 0, COUNT(STORIES));
    suite_add_tcase(suite, tc);
    tc = tcase_create("locks");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, core_defect_c46_cambricon_defect_c1_a_failing_bind_leaves_the_lock_alone);
    tcase_add_test(tc, a_refused_binding_gives_the_bare_time_back);
    tcase_add_test(tc, the_first_of_two_locks_is_given_back);
    tcase_add_test(tc, a_bare_time_of_unknown_outcome_is_given_back);
    tcase_add_loop_test(tc, nobody_locks_while_a_bound_pod_waits_for_its_cards, 0, COUNT(TURNS));
    tcase_add_test(tc, more_annotations_than_an_object_holds);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int bad = srunner_ntests_failed(runner);
    srunner_free(runner);
    return bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
