/* The rows, what nodes register and the core together: the worked placements of vendors-a.md 1.7,
 * 2, 4, and vendors-b.md 2g, 3g, 4g, 5g, 6g, from the texts of a node and a pod to cards and codes.
 * Cards that are alike are taken by our ties (lowest index first), where HAMi takes the last. */
#include "check_vendor.h"

#include "base/own.h"

#include <stdio.h>
#include <string.h>

DEFINE_CLEANUP(struct vendor_table *, vendor_table_free)
DEFINE_CLEANUP(struct arena *, arena_free)

#define CARDS_MAX 32

struct story {
    const char *name, *key;
    const char *list; /* the register annotation; NULL: capacities below */
    const char *has_count, *has_mem, *has_cores, *kind; /* of the node */
    const char *used; /* indices of cards that somebody has whole, "0,3" */
    const char *count, *mem, *cores, *slices, *use_uuid, *use_uuid2, *policy;
    bool soft;
    const char
        *want; /* "index:mem/cores index:…" in the order taken, sorted here; or reason codes */
};

static struct str opt(const char *z) { return z ? str_z(z) : (struct str){0}; }

static bool in_list(const char *list, int32_t index)
{
    struct str rest = opt(list), piece;
    int64_t n;
    while (list && str_split(&rest, ',', &piece))
        if (str_int(piece, 0, 100, &n) && n == index)
            return true;
    return false;
}

struct setup {
    struct score_device devices[CARDS_MAX];
    struct score_trait traits[CARDS_MAX];
    struct str types[2 * CARDS_MAX];
    struct score_group group;
    struct score_node node;
};

static void fill_node(const struct story *st, const struct vendor_cards *cards, uint16_t vendor,
                      struct setup *s)
{
    ck_assert_int_le(cards->devices_n, CARDS_MAX);
    *s = (struct setup){.group = {.vendor = vendor, .n = cards->devices_n, .traits = s->traits}};
    if (cards->topology.n)
        s->group.topology = &cards->topology;
    for (uint16_t i = 0; i < cards->devices_n; i++) {
        const struct vendor_device *d = &cards->devices[i];
        const bool used = in_list(st->used, d->index);
        s->types[2 * i] = d->type;
        s->types[2 * i + 1] = d->mode;
        s->devices[i] =
            (struct score_device){.mem_total_mib = d->mem_mib,
                                  .mem_used_mib = used ? d->mem_mib : 0,
                                  .cores_total_pct = d->cores_pct,
                                  .cores_used_pct = used ? d->cores_pct : 0,
                                  .shares_total = d->count,
                                  .shares_used = used,
                                  .index = d->index,
                                  .numa = d->numa,
                                  .flags = (uint16_t)((d->healthy ? 0 : SCORE_DEVICE_UNHEALTHY) |
                                                      (d->foreign ? SCORE_DEVICE_FOREIGN : 0) |
                                                      (d->soft ? SCORE_DEVICE_SOFT : 0) |
                                                      (d->mig ? SCORE_DEVICE_MIG : 0)),
                                  .type = (uint16_t)(2 * i),
                                  .mode = 2 * i + 1u,
                                  .uuid = d->id};
        s->traits[i] = (struct score_trait){.bits_total = d->bits,
                                            .bits_used = used ? d->bits : 0,
                                            .zone = d->zone,
                                            .profile = d->profile,
                                            .profiles_n = d->profiles_n};
        s->group.mem_total_mib += d->mem_mib;
        s->group.cores_total_pct += d->cores_pct;
        s->group.shares_total += d->count;
        s->group.mem_used_mib += s->devices[i].mem_used_mib;
        s->group.cores_used_pct += s->devices[i].cores_used_pct;
        s->group.shares_used += s->devices[i].shares_used;
    }
    s->node = (struct score_node){.name = STR("n1"),
                                  .groups = &s->group,
                                  .groups_n = 1,
                                  .devices = s->devices,
                                  .devices_n = cards->devices_n,
                                  .types = s->types,
                                  .types_n = 2u * cards->devices_n,
                                  .profiles = cards->profiles,
                                  .profiles_n = cards->profiles_n};
}

static void say(const struct setup *s, const struct score_verdict *v,
                const struct score_placement *placement, char *out, size_t max)
{
    size_t n = 0;
    out[0] = '\0';
    if (!v->fits) {
        for (unsigned r = 0; r < SCORE_REASON_COUNT_; r++)
            if (v->reasons & SCORE_BIT(r))
                n += (size_t)snprintf(out + n, max - n, "%s%s", n ? " " : "",
                                      score_reason_code((enum score_reason)r));
        return;
    }
    for (int32_t index = 0; index < 2 * CARDS_MAX; index++)
        for (uint16_t p = 0; p < placement->parts_n; p++) {
            const struct score_part *part = &placement->parts[p];
            if (s->devices[part->device].index == index)
                n += (size_t)snprintf(out + n, max - n, "%s%d:%lld/%d", n ? " " : "", index,
                                      (long long)part->mem_mib, part->cores_pct);
        }
}

static void run(const struct story *st)
{
    struct vendor_table *t CLEANUP(vendor_table_free_p) = NULL;
    struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 22);
    ck_assert_int_eq(vendor_table_builtin(&t, NULL), ERR_OK);
    const struct vendor *v = row_of(t, st->key);
    const uint16_t vendor = (uint16_t)(v - vendor_at(t, 0));
    struct vendor_node_text text = {
        .node = STR("n1"), .list = opt(st->list), .kind = opt(st->kind)};
    text.capacity[VENDOR_RES_COUNT] = opt(st->has_count);
    text.capacity[VENDOR_RES_MEM] = opt(st->has_mem);
    text.capacity[VENDOR_RES_CORES] = opt(st->has_cores);
    struct vendor_cards cards;
    struct err err = {0};
    ck_assert_msg(vendor_cards_decode(v, &text, arena, &cards, &err) == ERR_OK, "%s: %s", st->name,
                  err.text);
    struct setup s;
    fill_node(st, &cards, vendor, &s);
    struct vendor_wish wish = {.limits = ~UINT32_C(0), .soft = st->soft};
    wish.value[VENDOR_RES_COUNT] = opt(st->count);
    wish.value[VENDOR_RES_MEM] = opt(st->mem);
    wish.value[VENDOR_RES_CORES] = opt(st->cores);
    wish.value[VENDOR_RES_SLICES] = opt(st->slices);
    struct score_ask ask = {0};
    bool asks = false;
    ck_assert_msg(vendor_derive(v, &wish, true, &ask, &asks, &err) == ERR_OK, "%s: %s", st->name,
                  err.text);
    ck_assert(asks);
    ask.vendor = vendor;
    struct score_selection sel = {0};
    const struct vendor_selection_text selection = {.use_uuid = opt(st->use_uuid),
                                                    .use_uuid2 = opt(st->use_uuid2)};
    ck_assert_int_eq(vendor_selection(v, &selection, arena, &sel, &err), ERR_OK);
    sel.vendor = vendor;
    enum score_step step = SCORE_STEP_APP;
    struct score_request req = {.vendors = vendor_cores(t),
                                .vendors_n = vendor_count(t),
                                .steps = &step,
                                .containers_n = 1,
                                .asks = &ask,
                                .asks_n = 1,
                                .selections = &sel,
                                .selections_n = 1};
    ck_assert_int_eq(
        vendor_policy((struct str){0}, opt(st->policy), (struct str){0}, false, &req.policy, &err),
        ERR_OK);
    ck_assert_msg(score_request_check(&req, &err) == ERR_OK, "%s: %s", st->name, err.text);
    struct score_prepared prep;
    ck_assert_int_eq(score_prepare(&req, s.types, s.node.types_n, arena, &prep, &err), ERR_OK);
    struct score_verdict checked, placed;
    struct score_placement *placement = arena_alloc(arena, sizeof(*placement));
    score_node_check(&prep, &s.node, NULL, &checked);
    score_node_place(&prep, &s.node, NULL, &placed, placement, NULL);
    ck_assert_int_eq(checked.fits, placed.fits);
    char got[512];
    say(&s, &placed, placement, got, sizeof(got));
    ck_assert_msg(strcmp(got, st->want) == 0, "%s: want \"%s\", got \"%s\"", st->name, st->want,
                  got);
}

#define CARD(id, index, mem, cores, type, network)                                                 \
    "{\"id\":\"" id "\",\"index\":" index ",\"count\":4,\"devmem\":" mem ",\"devcore\":" cores     \
    ",\"type\":\"" type "\",\"health\":true,\"custominfo\":{" network "}}"
#define B3(i, net) CARD("A" i, i, "65536", "20", "Ascend910B3", "\"NetworkID\":" net)
#define EIGHT_B3                                                                                   \
    "[" B3("0", "0") "," B3("1", "0") "," B3("2", "0") "," B3("3", "0") "," B3("4", "1") "," B3(   \
        "5", "1") "," B3("6", "1") "," B3("7", "1") "]"
#define C910(i) CARD("C" i, i, "65536", "20", "Ascend910C", "\"NetworkID\":0")
#define EIGHT_910C                                                                                 \
    "[" C910("0") "," C910("1") "," C910("2") "," C910("3") "," C910("4") "," C910("5") "," C910(  \
        "6") "," C910("7") "]"
#define B4(id, i, type) CARD(id, i, "32768", "20", type, "\"NetworkID\":0")
#define DRS                                                                                        \
    "{\"devices\":[{\"index\":\"0\",\"minor\":\"0\",\"capacity\":6}],\"profiles\":{\"1g.5gb\":"    \
    "\"7\",\"2g.12gb\":\"8\",\"4g.24gb\":\"9\",\"6g.36gb\":\"5\"}}"
#define XPU(i)                                                                                     \
    "{\"id\":\"x" i "\",\"index\":" i                                                              \
    ",\"count\":4,\"devmem\":98304,\"devcore\":100,\"type\":\"XPU\",\"health\":true}"
#define AMD1                                                                                       \
    "[{\"id\":\"card-a\",\"count\":8,\"devmem\":196608,\"devcore\":304,\"type\":\"AMD Instinct "   \
    "MI300X VF\",\"health\":true}]"
#define DIE(i, aic)                                                                                \
    "{\"id\":\"d" i "\",\"index\":" i                                                              \
    ",\"count\":1,\"devmem\":16384,\"type\":\"Vastai\",\"health\":true,\"custominfo\":{"           \
    "\"DeviceStrategy\":\"die\",\"AIC\":\"" aic "\"}}"
#define DIES                                                                                       \
    "[" DIE("0", "1") "," DIE("1", "1") "," DIE("2", "1") "," DIE("3", "1") "," DIE(               \
        "4", "2") "," DIE("5", "2") "," DIE("6", "2") "," DIE("7", "2") "]"

static const struct story STORIES[] = {
    /* vendors-a.md 1.7 */
    {"a slice", "Ascend910B3", EIGHT_B3, .count = "1", .mem = "10000", .want = "0:16384/0"},
    {"four of one network", "Ascend910B3", EIGHT_B3, .used = "7", .count = "4",
     .want = "0:65536/0 1:65536/0 2:65536/0 3:65536/0"},
    {"soft on a node of templates", "Ascend910B3", EIGHT_B3, .count = "1", .mem = "15360",
     .soft = true, .want = "ModeNotFit"},
    {"modules of two", "Ascend910C", EIGHT_910C, .used = "3,6,7", .count = "4",
     .want = "0:65536/0 1:65536/0 4:65536/0 5:65536/0"},
    {"one is a module", "Ascend910C", EIGHT_910C, .used = "0", .count = "1",
     .want = "2:65536/0 3:65536/0"},
    {"no whole modules", "Ascend910C", EIGHT_910C, .used = "1,3,5,6,7", .count = "2",
     .want = "CardInsufficientMemory AllocatedCardsInsufficientRequest"},
    {"ascend_defect_a3", "Ascend910B4",
     "[" B4("X", "0", "Ascend910B4-1") "," B4("Y", "1", "Ascend910B4") "]", .count = "1",
     .want = "1:32768/0"},
    /* vendors-a.md 2 and 4: cards of capacities */
    {"MLU", "MLU", .has_count = "8", .has_mem = "768", .has_cores = "800", .count = "1",
     .mem = "20", .cores = "10", .want = "0:5120/10"},
    {"MLU whole", "MLU", .has_count = "8", .has_mem = "768", .has_cores = "800", .used = "0",
     .count = "1", .want = "1:24576/100"},
    {"MLU more than a card", "MLU", .has_count = "8", .has_mem = "768", .has_cores = "800",
     .count = "1", .mem = "97", .want = "CardInsufficientMemory"},
    {"Mthreads two", "Mthreads", .has_count = "8", .has_mem = "768", .has_cores = "128",
     .count = "2", .want = "0:49152/16 1:49152/16"},
    {"Mthreads slice", "Mthreads", .has_count = "8", .has_mem = "768", .has_cores = "128",
     .count = "1", .mem = "32", .cores = "8", .want = "0:16384/8"},
    {"DCU", "DCU", "DCU-T0,4,65520,100,DCU-K100_AI,0,true,0,hami-core:", .count = "1",
     .mem = "2000", .cores = "60", .want = "0:2000/60"},
    {"BI", "BI-V100", "GPU-7f,4,32768,100,BI-V100,0,true:", .count = "1", .mem = "64",
     .cores = "50", .want = "0:16384/50"},
    /* vendors-b.md 1 */
    {"Metax-GPU", "Metax-GPU", .has_count = "2", .count = "2", .want = "0:65536/100 1:65536/100"},
    {"sGPU", "Metax-SGPU",
     "[{\"uuid\":\"GPU-a\",\"totalDevCount\":16,\"totalCompute\":100,\"totalVRam\":65536,"
     "\"healthy\":true,\"qosPolicy\":\"best-effort\",\"linkZone\":1}]",
     .count = "1", .mem = "4", .cores = "60", .want = "0:4096/60"},
    {"sGPU sick", "Metax-SGPU",
     "[{\"uuid\":\"GPU-a\",\"totalDevCount\":16,\"totalCompute\":100,\"totalVRam\":65536}]",
     .count = "1", .want = "CardUnhealthy"},
    /* vendors-b.md 2g */
    {"GCU", "GCU", .has_count = "2", .used = "0", .count = "1", .want = "1:100/100"},
    {"GCU full", "GCU", .has_count = "1", .used = "0", .count = "1",
     .want = "ExclusiveDeviceAllocateConflict"},
    {"slices 4", "Enflame", DRS, .slices = "4", .want = "0:24576/67"},
    {"slices 3", "Enflame", DRS, .slices = "3", .want = "ModeNotFit"},
    {"11000 MiB, 30 %", "Enflame", DRS, .mem = "11000", .cores = "30", .want = "0:12288/34"},
    {"50 %", "Enflame", DRS, .cores = "50", .want = "0:24576/67"},
    {"6 GB", "Enflame", DRS, .mem = "6", .want = "0:12288/34"},
    {"60 GB", "Enflame", DRS, .mem = "60", .want = "ModeNotFit"},
    {"73 MiB", "Enflame", DRS, .mem = "73", .want = "0:5120/17"},
    {"5120 MiB, 18 %", "Enflame", DRS, .mem = "5120", .cores = "18", .want = "0:12288/34"},
    {"36864 MiB", "Enflame", DRS, .mem = "36864", .want = "0:36864/100"},
    {"36865 MiB", "Enflame", DRS, .mem = "36865", .want = "ModeNotFit"},
    /* vendors-b.md 3g */
    {"kunlun idle 4", "kunlun", .has_count = "8", .count = "4",
     .want = "0:98304/100 1:98304/100 2:98304/100 3:98304/100"},
    {"kunlun 1 in use, 2", "kunlun", .has_count = "8", .used = "1", .count = "2",
     .want = "0:98304/100 2:98304/100"},
    {"kunlun 6, 7 in use, 2", "kunlun", .has_count = "8", .used = "6,7", .count = "2",
     .want = "4:98304/100 5:98304/100"},
    {"kunlun crossed", "kunlun", .has_count = "8", .used = "0,1,3,4,5,7", .count = "2",
     .want = "2:98304/100 6:98304/100"},
    {"kunlun_defect_d3_1", "kunlun", .has_count = "8", .used = "0,1,2,5,6,7", .count = "2",
     .want = "NumaNotFit"},
    {"kunlun of three", "kunlun", .has_count = "8", .count = "3", .want = "NumaNotFit"},
    {"vXPU", "XPU", "[" XPU("0") "," XPU("1") "," XPU("2") "," XPU("3") "]", .count = "1",
     .mem = "26000", .want = "0:49152/50"},
    {"vXPU by two lists", "XPU", "[" XPU("0") "," XPU("1") "," XPU("2") "," XPU("3") "]",
     .count = "1", .mem = "26000", .use_uuid = "x1,x3", .use_uuid2 = "x2,x3", .want = "3:49152/50"},
    {"vXPU by neither", "XPU", "[" XPU("0") "," XPU("1") "]", .count = "1", .use_uuid = "x0",
     .use_uuid2 = "x1", .want = "CardUuidMismatch"},
    /* vendors-b.md 4g */
    {"inf2 of 2", "AWSNeuron", .has_count = "16", .has_cores = "32", .kind = "inf2.48xlarge",
     .used = "1,9", .count = "2", .want = "2:0/2 3:0/2"},
    {"inf2 of 8", "AWSNeuron", .has_count = "16", .has_cores = "32", .kind = "inf2.48xlarge",
     .used = "1,9", .count = "8", .want = "CardInsufficientCore NumaNotFit"},
    {"trn1 of 4", "AWSNeuron", .has_count = "16", .has_cores = "32", .kind = "trn1.32xlarge",
     .used = "1,9", .count = "4", .want = "4:0/2 5:0/2 6:0/2 7:0/2"},
    {"trn1 of 2", "AWSNeuron", .has_count = "16", .has_cores = "32", .kind = "trn1.32xlarge",
     .count = "2", .want = "NumaNotFit"},
    {"a core", "AWSNeuron", .has_count = "16", .has_cores = "32", .cores = "1", .want = "0:0/1"},
    {"cores of devices", "AWSNeuron", .has_count = "16", .has_cores = "32", .cores = "8",
     .want = "0:0/2 1:0/2 2:0/2 3:0/2"},
    /* vendors-b.md 5g */
    {"AMD", "AMD", AMD1, .count = "1", .mem = "32768", .cores = "40", .want = "0:32768/121"},
    {"AMD 55", "AMD", AMD1, .count = "1", .mem = "1", .cores = "55", .want = "0:1/167"},
    {"AMD 10", "AMD", AMD1, .count = "1", .mem = "1", .cores = "10", .want = "0:1/30"},
    {"AMD whole", "AMD", AMD1, .count = "1", .want = "0:196608/304"},
    /* vendors-b.md 6g, 7g */
    {"dies of one card", "Vastai", DIES, .used = "0,1", .count = "3", .want = "4:0/0 5:0/0 6:0/0"},
    {"dies of two cards", "Vastai", DIES, .used = "0,1", .count = "5",
     .want = "2:0/0 4:0/0 5:0/0 6:0/0 7:0/0"},
    {"mutex of a card's dies", "Vastai", DIES, .used = "0,4", .count = "1", .policy = "mutex",
     .want = "CardTimeSlicingExhausted ExclusiveDeviceAllocateConflict"},
    {"Biren", "Biren",
     "[{\"id\":\"b-0\",\"count\":1,\"devmem\":65536,\"type\":\"Biren\",\"health\":true}]",
     .count = "1", .want = "0:0/0"},
};

START_TEST(stories) { run(&STORIES[_i]); }
END_TEST

void check_vendor_places(Suite *suite)
{
    TCase *tc = tcase_create("places");
    tcase_set_timeout(tc, 60); /* a busy machine */
    tcase_add_loop_test(tc, stories, 0, COUNT(STORIES));
    suite_add_tcase(suite, tc);
}
