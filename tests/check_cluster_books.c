/* The books of every kind of row: slices, cores given out one by one, several shares of a card,
 * classes and policies; charged, held, given back, and read again from annotations alone. Nodes are
 * said as decoded, so that only what pods say is under test. */
#include "check_cluster.h"

#include "cluster/priv.h"
#include "vendor/vendor.h"

#include <string.h>

static struct world w;
static void setup(void) { world_open_rows(&w); }
static void teardown(void) { world_close(&w); }

/* ---- saying it ---- */

static uint16_t row(const char *key)
{
    for (uint16_t i = 0; i < vendor_count(w.vendors); i++)
        if (str_eq(vendor_at(w.vendors, i)->core.key, str_z(key)))
            return i;
    ck_abort_msg("no row %s", key);
}

#define SLICED .mem_mib = 40960, .count = 7, .cores_pct = 203, .bits = 0xff, .mig = true
#define PLAIN  .mem_mib = 40960, .count = 10, .cores_pct = 100

/* Node n1 with these cards of one row. */
static void put_cards(const char *key, const struct vendor_device *like, int n)
{
    struct vendor_device list[8];
    struct err err;
    ck_assert_int_le(n, COUNT(list));
    for (int i = 0; i < n; i++) {
        list[i] = like[i];
        list[i].index = i;
        list[i].healthy = true;
        list[i].zone = SCORE_ZONE_NONE;
        if (!list[i].type.p)
            list[i].type = vendor_at(w.vendors, row(key))->core.key;
        list[i].mode = list[i].mig ? STR("mig") : STR("hami-core");
    }
    struct cluster_node_cards of = {
        .vendor = row(key), .devices = list, .devices_n = (uint16_t)n, .alive = true};
    struct cluster_node_object o = {.name = STR("n1"),
                                    .uid = STR("uid-n1"),
                                    .resource_version = STR("1"),
                                    .cards = &of,
                                    .cards_n = 1};
    ck_assert_msg(!cluster_apply_node(w.st, &o, &err), "%s", err.text);
}
#define CARDS(key, ...)                                                                            \
    put_cards(key, (const struct vendor_device[]){__VA_ARGS__},                                    \
              COUNT(((const struct vendor_device[]){__VA_ARGS__})))

#define NOTE(key, value)  member(&w, key, value)
#define LIMITS(name, ...) "{\"name\":\"" name "\",\"resources\":{\"limits\":{" __VA_ARGS__ "}}}"
#define APP(...)          "\"containers\":[" LIMITS("main", __VA_ARGS__) "]"
#define GPU(mem)          "\"nvidia.com/gpu\":1,\"nvidia.com/gpumem\":" #mem

/* `node` NULL: it waits. */
static struct cluster_pod pod(const char *uid, const char *node, const char *notes,
                              const char *spec)
{
    struct cluster_pod ret;
    struct err err;
    const char *json =
        fmt(&w,
            "{\"metadata\":{\"name\":\"%s\",\"namespace\":\"ml\",\"uid\":\"%s\",\"annotations\":{"
            "%s\"x\":\"y\"}},\"spec\":{%s%s}}",
            uid, uid, notes, member(&w, "nodeName", node), spec);
    ck_assert_msg(!cluster_pod_decode(&w.cfg, str_z(json), false, w.arena, &ret, &err), "%s",
                  err.text);
    return ret;
}

static void apply(const struct cluster_pod *p)
{
    struct err err;
    ck_assert_msg(!cluster_apply_pod(w.st, p, &err), "%s", err.text);
}

static void bound(const char *uid, const char *notes, const char *spec)
{
    const struct cluster_pod p = pod(uid, "n1", notes, spec);
    apply(&p);
}

/* The pod's parts on n1, decided by hand. */
static enum err_code decided(const struct cluster_pod *p, const struct score_part *parts, int n,
                             struct err *err)
{
    static struct score_placement place;
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    place.parts_n = (uint16_t)n;
    memcpy(place.parts, parts, (size_t)n * sizeof(*parts));
    enum err_code rc = cluster_assume(
        w.st, s, &(struct cluster_decision){p, cluster_snapshot_find(s, STR("n1")), &place}, err);
    cluster_snapshot_unref(s);
    return rc;
}
#define ASSUME(p, ...)                                                                             \
    do {                                                                                           \
        struct err err_;                                                                           \
        ck_assert_msg(!decided(p, (const struct score_part[]){__VA_ARGS__},                        \
                               COUNT(((const struct score_part[]){__VA_ARGS__})), &err_),          \
                      "%s", err_.text);                                                            \
    } while (0)

/* ---- looking at it ---- */

static const char *trait_text(const struct score_trait *t)
{
    return t->online || t->offline || t->qos
               ? fmt(&w, " %llx %d/%d/%d", (unsigned long long)t->bits_used, t->online, t->offline,
                     t->qos)
               : fmt(&w, " %llx", (unsigned long long)t->bits_used);
}

/* "shares/mem/cores bits[ online/offline/qos][ lent][ closed]" of each card of n1. */
static const char *books(void)
{
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    const struct score_node *n = &cluster_snapshot_find(s, STR("n1"))->score;
    const char *text = "";
    for (uint16_t g = 0; g < n->groups_n; g++)
        for (uint16_t i = 0; i < n->groups[g].n; i++) {
            const struct score_device *d = &n->devices[n->groups[g].first + i];
            text = fmt(&w, "%s%s%d/%lld/%d%s%s%s", text, *text ? ", " : "", d->shares_used,
                       (long long)d->mem_used_mib, d->cores_used_pct,
                       n->groups[g].traits ? trait_text(&n->groups[g].traits[i]) : "",
                       d->flags & SCORE_DEVICE_LENT ? " lent" : "",
                       n->groups[g].closed ? " closed" : "");
        }
    cluster_snapshot_unref(s);
    return text;
}
#define ck_books(want) ck_assert_str_eq(books(), want)

static const char *quota_of(const char *key)
{
    struct cluster_quota_view *q;
    size_t n;
    struct err err;
    long long mem = 0, cores = 0;
    ck_assert(!cluster_list_quotas(w.st, 1000, w.arena, &q, &n, &err));
    for (size_t i = 0; i < n; i++)
        if (q[i].vendor == row(key))
            *(q[i].mem ? &mem : &cores) = q[i].used;
    return fmt(&w, "%lld/%lld", mem, cores);
}

/* ---- slices of a card that it was cut into (nvidia.md 8) ---- */

#define LIST "hami.io/vgpu-devices-allocated"
#define MIG  "hami.io/vgpu-mig-allocations"
#define SLICE(container, device, uuid, profile, start, size)                                       \
    "{\"containerIndex\":" #container ",\"deviceIndex\":" #device ",\"gpuUUID\":\"" uuid           \
    "\",\"profile\":\"" profile "\",\"placement\":{\"start\":" #start ",\"size\":" #size "}}"
#define TWO_G(start) "[" SLICE(0, 0, "GPU-a", "2g.10gb", start, 2) "]"

static const char *sliced(const char *list, const char *slices)
{
    return fmt(&w, "%s%s", NOTE(LIST, list), slices ? NOTE(MIG, slices) : "");
}

START_TEST(a_slice_is_charged_confirmed_and_given_back)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED}, {.id = STR("GPU-b"), SLICED});
    struct cluster_pod p = pod("p1", NULL, "", APP(GPU(9000)));
    apply(&p);
    ASSUME(&p, {.device = 0, .mem_mib = 9984, .cores_pct = 29, .shares = 1, .bits = 0x0c});
    ck_books("1/9984/29 c, 0/0/0 0");
    const uint64_t g = generation(&w, "n1");
    cluster_confirm(w.st, STR("p1"));
    bound("p1", sliced("GPU-a,NVIDIA,9984,29:;", TWO_G(2)), APP(GPU(9000)));
    ck_books("1/9984/29 c, 0/0/0 0");
    ck_assert_uint_eq(generation(&w, "n1"), g);
    ck_assert_uint_eq(stats(&w).tampered, 0);
    ck_assert_str_eq(quota_of("NVIDIA"), "9984/29");
    /* the plugin writes runtime ids: the same slice */
    bound("p1",
          sliced("GPU-a,NVIDIA,9984,29:;",
                 "[{\"containerIndex\":0,\"deviceIndex\":0,\"gpuUUID\":\"GPU-a\",\"profile\":\"2g."
                 "10gb\",\"placement\":{\"start\":2,\"size\":2},\"migUUID\":\"MIG-1\","
                 "\"gpuInstanceID\":4,\"computeInstanceID\":0}]"),
          APP(GPU(9000)));
    ck_assert_uint_eq(stats(&w).tampered, 0);
    cluster_delete_pod(w.st, STR("p1"));
    ck_books("0/0/0 0, 0/0/0 0");
    ck_assert_str_eq(quota_of("NVIDIA"), "0/0");
}
END_TEST

START_TEST(a_forgotten_slice_is_free)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED});
    struct cluster_pod p = pod("p1", NULL, "", APP(GPU(9000)));
    apply(&p);
    ASSUME(&p, {.device = 0, .mem_mib = 9984, .cores_pct = 29, .shares = 1, .bits = 3});
    ck_books("1/9984/29 3");
    cluster_forget(w.st, STR("p1"));
    ck_books("0/0/0 0");
}
END_TEST

START_TEST(slices_follow_from_annotations_alone)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED});
    const char *two = sliced(
        "GPU-a,NVIDIA,9984,29:GPU-a,NVIDIA,9984,29:;",
        "[" SLICE(0, 0, "GPU-a", "2g.10gb", 2, 2) "," SLICE(0, 1, "GPU-a", "2g.10gb", 4, 2) "]");
    bound("p1", two, APP("\"nvidia.com/gpu\":2,\"nvidia.com/gpumem\":9000"));
    bound("p2", sliced("GPU-a,NVIDIA,9984,29:;", TWO_G(0)), APP(GPU(9000)));
    const char *before = books();
    ck_assert_str_eq(before, "3/29952/87 3f"); /* nvidia.md 8.3: the worked example's card */
    world_restart(&w);
    bound("p2", sliced("GPU-a,NVIDIA,9984,29:;", TWO_G(0)), APP(GPU(9000)));
    bound("p1", two, APP("\"nvidia.com/gpu\":2,\"nvidia.com/gpumem\":9000"));
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED}); /* pods before nodes */
    ck_books(before);
}
END_TEST

static const struct {
    const char *name, *slices;
} UNREADABLE[] = {
    {"none", NULL},
    {"empty", ""},
    {"not JSON", "[{"},
    {"null as an element", "[null]"}, /* errata E-12 */
    {"no size", "[" SLICE(0, 0, "GPU-a", "1g.5gb", 0, 0) "]"},
    {"beyond 64", "[" SLICE(0, 0, "GPU-a", "1g.5gb", 63, 2) "]"},
    {"of another card", "[" SLICE(0, 0, "GPU-z", "1g.5gb", 0, 1) "]"},
    {"more than the list has",
     "[" SLICE(0, 0, "GPU-a", "1g.5gb", 0, 1) "," SLICE(0, 1, "GPU-a", "1g.5gb", 1, 1) "]"},
};

/* Nobody can tell which slices: the pod's cards take nothing more, all others do (nvidia.md 8.4).
 */
START_TEST(nvidia_8_4_unreadable_slices_close_the_pods_cards)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED}, {.id = STR("GPU-b"), SLICED},
          {.id = STR("GPU-c"), PLAIN});
    bound("p1", sliced("GPU-a,NVIDIA,4864,14:;", UNREADABLE[_i].slices), APP(GPU(4000)));
    ck_assert_msg(strcmp(books(), "1/4864/30 ff, 0/0/0 0, 0/0/0 0") == 0 ||
                      strcmp(books(), "1/4864/14 ff, 0/0/0 0, 0/0/0 0") == 0,
                  "%s: %s", UNREADABLE[_i].name, books());
    ck_assert_uint_eq(stats(&w).fail_closed, 1);
    ck_assert(view_of(&w, "p1").fail_closed);
    ck_assert_uint_eq(view_of(&w, "p1").shares_n, 1); /* the row stays open */
    cluster_delete_pod(w.st, STR("p1"));
    ck_assert_uint_eq(stats(&w).fail_closed, 0);
    ck_books("0/0/0 0, 0/0/0 0, 0/0/0 0");
}
END_TEST

START_TEST(plain_cards_of_the_pod_need_no_slices)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), PLAIN}, {.id = STR("GPU-b"), SLICED});
    bound("p1", sliced("GPU-a,NVIDIA,4000,0:;", NULL), APP(GPU(4000)));
    ck_books("1/4000/0 0, 0/0/0 0");
}
END_TEST

START_TEST(a_card_that_is_cut_while_in_use_takes_nothing_more)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), PLAIN});
    bound("p1", sliced("GPU-a,NVIDIA,4000,0:;", NULL), APP(GPU(4000)));
    ck_books("1/4000/0");
    ck_assert_uint_eq(stats(&w).fail_closed, 0);
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED});
    ck_books("1/4000/0 ff");
    ck_assert_uint_eq(stats(&w).fail_closed, 1);
    /* and the other way round: slices of a card that is whole again */
    bound("p2", sliced("GPU-a,NVIDIA,9984,29:;", TWO_G(0)), APP(GPU(9000)));
    CARDS("NVIDIA", {.id = STR("GPU-a"), PLAIN});
    ck_books("2/13984/29 lent");
    cluster_delete_pod(w.st, STR("p2"));
    ck_books("1/4000/0");
}
END_TEST

START_TEST(a_slice_of_two_pods_counts_once_and_lends_the_card)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED}, {.id = STR("GPU-b"), SLICED});
    bound("p1", sliced("GPU-a,NVIDIA,9984,29:;", TWO_G(2)), APP(GPU(9000)));
    bound("p2", sliced("GPU-a,NVIDIA,20096,43:;", "[" SLICE(0, 0, "GPU-a", "3g.20gb", 0, 4) "]"),
          APP(GPU(20000)));
    ck_books("2/30080/72 f lent, 0/0/0 0");
    cluster_delete_pod(w.st, STR("p1"));
    ck_books("1/20096/43 f, 0/0/0 0");
    bound("p3", sliced("GPU-b,NVIDIA,9984,29:;", "[" SLICE(0, 0, "GPU-b", "2g.10gb", 7, 2) "]"),
          APP(GPU(9000)));
    ck_books("1/20096/43 f, 1/9984/29 80 lent"); /* one slice is not of the card */
}
END_TEST

START_TEST(a_slice_has_its_own_cores)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED});
    bound("p1", sliced("GPU-a,NVIDIA,9984,29:;", TWO_G(2)),
          APP(GPU(9000) ",\"nvidia.com/gpucores\":60"));
    ck_books("1/9984/29 c");
}
END_TEST

/* C4: the peak of one init container is the sum over its slices, not one of them. */
START_TEST(core_defect_c4_slices_of_an_init_container_add_up)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED});
    bound("p1",
          sliced("GPU-a,NVIDIA,9984,29:GPU-a,NVIDIA,9984,29:;GPU-a,NVIDIA,4864,14:;",
                 "[" SLICE(0, 0, "GPU-a", "2g.10gb", 0, 2) "," SLICE(
                     0, 1, "GPU-a", "2g.10gb", 2, 2) "," SLICE(1, 0, "GPU-a", "1g.5gb", 6, 1) "]"),
          "\"initContainers\":[" LIMITS(
              "first", "\"nvidia.com/gpu\":2,\"nvidia.com/gpumem\":9000") "]," APP(GPU(4000)));
    ck_books("2/19968/58 4f");
}
END_TEST

/* C10: slices that were decided for another node's card are nobody's. */
START_TEST(core_defect_c10_slices_of_another_node_close_nothing)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), PLAIN}, {.id = STR("GPU-b"), SLICED});
    bound("p1", sliced("GPU-a,NVIDIA,4000,0:;", "[" SLICE(0, 0, "GPU-z", "1g.5gb", 0, 1) "]"),
          APP(GPU(4000)));
    ck_books("1/4000/0 0, 0/0/0 0");
}
END_TEST

/* C11: from the decision on, without waiting for the pod's annotations. */
START_TEST(core_defect_c11_a_decision_has_its_slices_at_once)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED});
    struct cluster_pod p = pod("p1", NULL, "", APP(GPU(9000)));
    apply(&p);
    ASSUME(&p, {.device = 0, .mem_mib = 9984, .cores_pct = 29, .shares = 1, .bits = 3});
    ck_books("1/9984/29 3");
    apply(&p); /* as kube-scheduler's own updates show it meanwhile */
    ck_books("1/9984/29 3");
}
END_TEST

/* kept: C12, slices of finished init containers stay: a sandbox that starts again runs them again
 * (architecture 3). */
START_TEST(core_defect_c12_slices_of_init_containers_stay_for_the_pods_life)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED});
    struct cluster_pod p =
        pod("p1", "n1",
            sliced("GPU-a,NVIDIA,9984,29:;GPU-a,NVIDIA,4864,14:;",
                   "[" SLICE(0, 0, "GPU-a", "2g.10gb", 0, 2) "," SLICE(1, 0, "GPU-a", "1g.5gb", 6,
                                                                       1) "]"),
            "\"initContainers\":[" LIMITS("first", GPU(9000)) "]," APP(GPU(4000)));
    p.phase = CLUSTER_RUNNING;
    p.started = true;
    apply(&p);
    ck_books("1/9984/29 43");
}
END_TEST

START_TEST(anothers_slice_of_the_same_card_is_anothers_binding)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED});
    struct cluster_pod p = pod("p1", NULL, "", APP(GPU(9000)));
    apply(&p);
    ASSUME(&p, {.device = 0, .mem_mib = 9984, .cores_pct = 29, .shares = 1, .bits = 3});
    bound("p1", sliced("GPU-a,NVIDIA,9984,29:;", TWO_G(4)), APP(GPU(9000)));
    ck_books("1/9984/29 30"); /* what the plugin will make of it */
}
END_TEST

START_TEST(a_slice_written_over_later_is_tampered_with)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED});
    struct cluster_pod p = pod("p1", NULL, "", APP(GPU(9000)));
    apply(&p);
    ASSUME(&p, {.device = 0, .mem_mib = 9984, .cores_pct = 29, .shares = 1, .bits = 3});
    cluster_confirm(w.st, STR("p1"));
    bound("p1", sliced("GPU-a,NVIDIA,9984,29:;", TWO_G(4)), APP(GPU(9000)));
    ck_books("1/9984/29 3");
    ck_assert_uint_eq(stats(&w).tampered, 1);
}
END_TEST

START_TEST(a_slice_is_given_once)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED});
    struct cluster_pod p = pod("p1", NULL, "", APP(GPU(9000)));
    struct cluster_pod q = pod("p2", NULL, "", APP(GPU(9000)));
    apply(&p);
    apply(&q);
    ASSUME(&p, {.device = 0, .mem_mib = 9984, .cores_pct = 29, .shares = 1, .bits = 3});
    struct err err;
    const struct score_part same = {
        .device = 0, .mem_mib = 4864, .cores_pct = 14, .shares = 1, .bits = 2};
    ck_assert_int_eq(decided(&q, &same, 1, &err), ERR_CONFLICT);
    ck_books("1/9984/29 3");
}
END_TEST

START_TEST(the_plain_books_of_a_mixed_up_relist_are_right)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED});
    bound("p1", sliced("GPU-a,NVIDIA,9984,29:;", TWO_G(2)), APP(GPU(9000)));
    cluster_relist_begin(w.st, CLUSTER_PODS);
    bound("p1", sliced("GPU-a,NVIDIA,9984,29:;", TWO_G(2)), APP(GPU(9000)));
    cluster_relist_end(w.st, CLUSTER_PODS);
    ck_books("1/9984/29 c");
    ck_assert_uint_eq(stats(&w).repairs, 0);
}
END_TEST

/* What a debug build does after every change, and the end of a relist in all: bits, classes and
 * policies that no record accounts for are found, and put right. */
START_TEST(wrong_books_are_found)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED});
    bound("p1", sliced("GPU-a,NVIDIA,9984,29:;", TWO_G(2)), APP(GPU(9000)));
    ck_books("1/9984/29 c");
    struct record *r = ledger_find(w.st, STR("p1"));
    struct score_trait *t = w.st->entries[r->slot]->cur->traits;
    ck_sound(&w);
    r->rare[0].use_bits = 3;
    ck_assert_uint_eq(cluster_store_verify(w.st),
                      2); /* the use, and the node that does not show it */
    r->rare[0].use_bits = 0x0c;
    r->uses[0].qos = 1;
    ck_assert_uint_eq(cluster_store_verify(w.st), 2);
    r->uses[0].qos = 0;
    r->uses[0].app_class = SCORE_CLASS_ONLINE;
    ck_assert_uint_eq(cluster_store_verify(w.st), 2);
    r->uses[0].app_class = SCORE_CLASS_NONE;
    t->bits_used = 0xff;
    ck_assert_uint_eq(cluster_store_verify(w.st), 1);
    t->bits_used = 0x0c;
    t->offline = 1;
    ck_assert_uint_eq(cluster_store_verify(w.st), 1);
    cluster_relist_begin(w.st, CLUSTER_PODS);
    r->flags |= REC_SEEN; /* as if the list had it: builds that check would stop at its event */
    cluster_relist_end(w.st, CLUSTER_PODS);
    ck_assert_uint_eq(stats(&w).repairs, 1);
    ck_books("1/9984/29 c");
}
END_TEST

/* ---- cores given out one by one (vendors-b.md 4) ---- */

#define NEURONS  "hami.io/aws-neuron-devices-allocated"
#define PAIR     .count = 2, .cores_pct = 2, .bits = 3
#define CORES(n) "\"aws.amazon.com/neuroncore\":" #n

START_TEST(cores_are_counted_and_their_mask_kept)
{
    CARDS("AWSNeuron", {.id = STR("d0"), PAIR}, {.id = STR("d1"), PAIR});
    bound("p1", NOTE(NEURONS, "d0,AWSNeuron,0,2:;"), APP(CORES(1)));
    ck_books("1/0/1 2, 0/0/0 0");
    bound("p2", NOTE(NEURONS, "d1,AWSNeuron,0,3:;"), APP("\"aws.amazon.com/neuron\":1"));
    ck_books("1/0/1 2, 1/0/2 3");
    /* D4.7: as quota sees it, three cores and not masks 2 + 3 */
    ck_assert_str_eq(quota_of("AWSNeuron"), "0/3");
}
END_TEST

/* D4.5: bit 0 of an app container and bit 1 of an init container are both in use. */
START_TEST(neuron_defect_d4_5_masks_are_joined)
{
    CARDS("AWSNeuron", {.id = STR("d0"), PAIR});
    bound("p1", NOTE(NEURONS, "d0,AWSNeuron,0,2:;d0,AWSNeuron,0,1:;"),
          "\"initContainers\":[" LIMITS("first", CORES(1)) "]," APP(CORES(1)));
    ck_books("1/0/1 3");
}
END_TEST

/* D4.7 */
START_TEST(neuron_defect_d4_7_quota_counts_cores_not_masks)
{
    CARDS("AWSNeuron", {.id = STR("d0"), PAIR});
    struct cluster_pod p = pod("p1", NULL, "", APP(CORES(2)));
    apply(&p);
    ASSUME(&p, {.device = 0, .cores_pct = 2, .shares = 1, .bits = 3});
    ck_assert_str_eq(quota_of("AWSNeuron"), "0/2");
    cluster_confirm(w.st, STR("p1"));
    bound("p1", NOTE(NEURONS, "d0,AWSNeuron,0,3:;"), APP(CORES(2)));
    ck_assert_str_eq(quota_of("AWSNeuron"), "0/2");
    ck_assert_uint_eq(stats(&w).tampered, 0);
}
END_TEST

static const struct {
    const char *name, *list, *spec, *want;
} MASKS[] = {
    {"no core at all (D4.2)", "d0,AWSNeuron,0,0:;", APP(CORES(1)), "1/0/2 3"},
    {"fewer than asked for", "d0,AWSNeuron,0,2:;", APP(CORES(2)), "1/0/2 3"},
    {"less than the whole device", "d0,AWSNeuron,0,1:;", APP("\"aws.amazon.com/neuron\":1"),
     "1/0/2 3"},
    {"more than asked for", "d0,AWSNeuron,0,3:;", APP(CORES(1)), "1/0/2 3"},
    {"cores that the device lacks", "d0,AWSNeuron,0,4:;", APP(CORES(1)), "1/0/2 3 lent"},
    {"no list", "", APP(CORES(1)), "0/0/0 0 closed"},
};

START_TEST(masks_are_never_less_than_the_ask)
{
    CARDS("AWSNeuron", {.id = STR("d0"), PAIR});
    bound("p1", NOTE(NEURONS, MASKS[_i].list), MASKS[_i].spec);
    ck_assert_msg(strcmp(books(), MASKS[_i].want) == 0, "%s: %s", MASKS[_i].name, books());
    world_restart(&w);
    bound("p1", NOTE(NEURONS, MASKS[_i].list), MASKS[_i].spec);
    CARDS("AWSNeuron", {.id = STR("d0"), PAIR});
    ck_assert_msg(strcmp(books(), MASKS[_i].want) == 0, "%s: %s", MASKS[_i].name, books());
    ck_assert_uint_eq(stats(&w).repairs, 0);
}
END_TEST

/* ---- several shares of a card (vendors-b.md 2) ---- */

#define DRS      "hami.io/enflame-vgpu-devices-allocated"
#define ASSIGNED "assigned-containers"
#define SIX      .mem_mib = 36864, .count = 6, .cores_pct = 100

/* D2.2: a slice of 4g is four of the card's six, also for a process that did not decide it. */
START_TEST(enflame_defect_d2_2_slices_count_after_a_restart)
{
    CARDS("Enflame", {.id = STR("d0"), SIX});
    const char *notes =
        fmt(&w, "%s%s", NOTE(DRS, "d0,Enflame,24576,67:;"),
            NOTE(ASSIGNED, "{\"main\":{\"allocated\":false,\"request\":4,\"profileID\":\"9\","
                           "\"profileName\":\"4g.24gb\"}}"));
    struct cluster_pod p = pod("p1", NULL, "", APP("\"enflame.com/drs-gcu\":4"));
    apply(&p);
    ASSUME(&p, {.device = 0, .mem_mib = 24576, .cores_pct = 67, .shares = 4});
    ck_books("4/24576/67");
    cluster_confirm(w.st, STR("p1"));
    bound("p1", notes, APP("\"enflame.com/drs-gcu\":4"));
    ck_books("4/24576/67");
    ck_assert_uint_eq(stats(&w).tampered, 0);
    world_restart(&w);
    CARDS("Enflame", {.id = STR("d0"), SIX});
    bound("p1", notes, APP("\"enflame.com/drs-gcu\":4"));
    ck_books("4/24576/67");
    cluster_delete_pod(w.st, STR("p1"));
    ck_books("0/0/0");
}
END_TEST

START_TEST(sizes_that_nobody_knows_close_the_row)
{
    CARDS("Enflame", {.id = STR("d0"), SIX});
    bound("p1", fmt(&w, "%s%s", NOTE(DRS, "d0,Enflame,24576,67:;"), NOTE(ASSIGNED, "{\"main\":")),
          APP("\"enflame.com/gcu-core\":50"));
    ck_books("0/0/0 closed");
    ck_assert_uint_eq(stats(&w).fail_closed, 1);
    cluster_delete_pod(w.st, STR("p1"));
    ck_books("0/0/0");
}
END_TEST

START_TEST(slices_are_never_fewer_than_the_ask)
{
    CARDS("Enflame", {.id = STR("d0"), SIX});
    bound("p1", NOTE(DRS, "d0,Enflame,24576,67:;"), APP("\"enflame.com/drs-gcu\":4"));
    ck_books("4/24576/67"); /* without the sizes, as an old plugin may leave it */
    bound("p2",
          fmt(&w, "%s%s", NOTE(DRS, "d0,Enflame,5120,17:;"),
              NOTE(ASSIGNED, "{\"main\":{\"request\":1}}")),
          APP("\"enflame.com/drs-gcu\":2"));
    ck_books("6/29696/84");
}
END_TEST

/* ---- cores in units of the card (vendors-b.md 5) ---- */

#define AMD_CARD                                                                                   \
    .mem_mib = 196608, .count = 10, .cores_pct = 304, .type = STR("AMD Instinct MI300X")
#define AMD(percent) "\"amd.com/gpu\":1,\"amd.com/gpumem\":32768,\"amd.com/gpucores\":" #percent

START_TEST(units_are_never_fewer_than_the_ask)
{
    CARDS("AMD", {.id = STR("card-a"), AMD_CARD}, {.id = STR("card-b"), AMD_CARD});
    const char *key = "hami.io/amd-devices-allocated";
    bound("p1", NOTE(key, "card-a,AMD Instinct MI300X,32768,121:;"), APP(AMD(40)));
    ck_books("1/32768/121, 0/0/0"); /* 40 % of 304 units: the list's own number */
    bound("p2", NOTE(key, "card-b,AMD Instinct MI300X,32768,1:;"), APP(AMD(40)));
    ck_books("1/32768/121, 1/32768/121");
    bound("p3", NOTE(key, "card-b,AMD Instinct MI300X,32768,200:;"), APP(AMD(1)));
    ck_books("1/32768/121, 2/65536/321 lent");
}
END_TEST

/* ---- classes and policies (vendors-b.md 1) ---- */

#define SGPU_LIST "hami.io/metax-sgpu-devices-allocated"
#define SGPU(mem, cores)                                                                           \
    "\"metax-tech.com/sgpu\":1,\"metax-tech.com/vmemory\":" #mem ",\"metax-tech.com/"              \
    "vcore\":" #cores
enum { BEST_EFFORT = 1, FIXED_SHARE = 2 };

/* The pod with a class and a policy, whatever its annotations say. */
static struct cluster_pod classed(struct cluster_pod p, enum score_class app_class, uint8_t qos)
{
    struct score_selection *sel = arena_alloc(w.arena, sizeof(*sel));
    *sel =
        (struct score_selection){.vendor = row("Metax-SGPU"), .app_class = app_class, .qos = qos};
    p.request.selections = sel;
    p.request.selections_n = 1;
    return p;
}

static void bound_as(const char *uid, const char *list, const char *spec,
                     enum score_class app_class, uint8_t qos)
{
    const struct cluster_pod p =
        classed(pod(uid, "n1", NOTE(SGPU_LIST, list), spec), app_class, qos);
    apply(&p);
}

#define SGPU_CARD .mem_mib = 65536, .count = 16, .cores_pct = 100

START_TEST(classes_are_counted_in_pods)
{
    CARDS("Metax-SGPU", {.id = STR("a"), SGPU_CARD}, {.id = STR("b"), SGPU_CARD});
    bound_as("p1", "a,Metax-SGPU,4096,0:;", APP(SGPU(4, 60)), SCORE_CLASS_ONLINE, 0);
    ck_books("1/4096/0 0 1/0/0, 0/0/0 0"); /* is given no cores, so none are made up */
    bound_as("p2", "a,Metax-SGPU,4096,30:;", APP(SGPU(4, 30)), SCORE_CLASS_OFFLINE, BEST_EFFORT);
    ck_books("2/8192/30 0 1/1/1, 0/0/0 0");
    /* two containers of one pod on one card: one pod */
    bound_as("p3", "b,Metax-SGPU,4096,30:;b,Metax-SGPU,4096,30:;",
             "\"containers\":[" LIMITS("one", SGPU(4, 30)) "," LIMITS("two", SGPU(4, 30)) "]",
             SCORE_CLASS_OFFLINE, 0);
    ck_books("2/8192/30 0 1/1/1, 2/8192/60 0 0/1/0");
    cluster_delete_pod(w.st, STR("p1"));
    cluster_delete_pod(w.st, STR("p3"));
    ck_books("1/4096/30 0 0/1/1, 0/0/0 0");
}
END_TEST

/* D1.5: the policy is that of the pods on the card, so none stays behind, and a restart knows it.
 */
START_TEST(metax_defect_d1_5_d1_8_policy_follows_from_the_pods)
{
    CARDS("Metax-SGPU", {.id = STR("a"), SGPU_CARD});
    bound_as("p1", "a,Metax-SGPU,4096,30:;", APP(SGPU(4, 30)), SCORE_CLASS_NONE, FIXED_SHARE);
    bound_as("p2", "a,Metax-SGPU,4096,30:;", APP(SGPU(4, 30)), SCORE_CLASS_NONE, FIXED_SHARE);
    ck_books("2/8192/60 0 0/0/2");
    cluster_delete_pod(w.st, STR("p1"));
    ck_books("1/4096/30 0 0/0/2");
    world_restart(&w);
    CARDS("Metax-SGPU", {.id = STR("a"), SGPU_CARD});
    bound_as("p2", "a,Metax-SGPU,4096,30:;", APP(SGPU(4, 30)), SCORE_CLASS_NONE, FIXED_SHARE);
    ck_books("1/4096/30 0 0/0/2");
    cluster_delete_pod(w.st, STR("p2"));
    ck_books("0/0/0 0");
    bound_as("p3", "a,Metax-SGPU,4096,30:;", APP(SGPU(4, 30)), SCORE_CLASS_NONE, BEST_EFFORT);
    ck_books("1/4096/30 0 0/0/1");
}
END_TEST

START_TEST(whole_cards_and_online_pods_bring_no_policy)
{
    CARDS("Metax-SGPU", {.id = STR("a"), SGPU_CARD});
    bound_as("p1", "a,Metax-SGPU,65536,100:;", APP("\"metax-tech.com/sgpu\":1"), SCORE_CLASS_NONE,
             FIXED_SHARE);
    ck_books("1/65536/100 0");
    cluster_delete_pod(w.st, STR("p1"));
    bound_as("p2", "a,Metax-SGPU,4096,0:;", APP(SGPU(4, 60)), SCORE_CLASS_ONLINE, FIXED_SHARE);
    ck_books("1/4096/0 0 1/0/0");
}
END_TEST

START_TEST(policies_that_contradict_are_nobodys)
{
    CARDS("Metax-SGPU", {.id = STR("a"), SGPU_CARD});
    bound_as("p1", "a,Metax-SGPU,4096,30:;", APP(SGPU(4, 30)), SCORE_CLASS_NONE, FIXED_SHARE);
    bound_as("p2", "a,Metax-SGPU,4096,30:;", APP(SGPU(4, 30)), SCORE_CLASS_NONE, BEST_EFFORT);
    bound_as("p3", "a,Metax-SGPU,4096,30:;", APP(SGPU(4, 30)), SCORE_CLASS_NONE, FIXED_SHARE);
    ck_books("3/12288/90 0 0/0/255");
    cluster_delete_pod(w.st, STR("p2"));
    ck_books("2/8192/60 0 0/0/2");
}
END_TEST

START_TEST(a_decision_brings_class_and_policy)
{
    CARDS("Metax-SGPU", {.id = STR("a"), SGPU_CARD}, {.id = STR("b"), SGPU_CARD});
    struct cluster_pod p = classed(pod("p1", NULL, "", APP(SGPU(4, 30))), SCORE_CLASS_OFFLINE, 2);
    apply(&p);
    const uint64_t g = generation(&w, "n1");
    ASSUME(&p, {.device = 1, .mem_mib = 4096, .cores_pct = 30, .shares = 1});
    ck_books("0/0/0 0, 1/4096/30 0 0/1/2");
    ck_assert_uint_ne(generation(&w, "n1"), g);
    cluster_forget(w.st, STR("p1"));
    ck_books("0/0/0 0, 0/0/0 0");
}
END_TEST

/* Everything else being equal, who uses the card is another state of the node. */
START_TEST(generations_know_classes_and_bits)
{
    CARDS("Metax-SGPU", {.id = STR("a"), SGPU_CARD});
    bound_as("p1", "a,Metax-SGPU,4096,30:;", APP(SGPU(4, 30)), SCORE_CLASS_NONE, BEST_EFFORT);
    uint64_t g = generation(&w, "n1");
    const struct {
        enum score_class app_class;
        uint8_t qos;
    } other[] = {{SCORE_CLASS_NONE, FIXED_SHARE}, {SCORE_CLASS_OFFLINE, FIXED_SHARE}};
    for (int i = 0; i < COUNT(other); i++) {
        cluster_delete_pod(w.st, STR("p1"));
        bound_as("p1", "a,Metax-SGPU,4096,30:;", APP(SGPU(4, 30)), other[i].app_class,
                 other[i].qos);
        ck_assert_uint_ne(generation(&w, "n1"), g);
        g = generation(&w, "n1");
    }
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED});
    bound("p2", sliced("GPU-a,NVIDIA,9984,29:;", TWO_G(2)), APP(GPU(9000)));
    g = generation(&w, "n1");
    cluster_delete_pod(w.st, STR("p2"));
    bound("p2", sliced("GPU-a,NVIDIA,9984,29:;", TWO_G(4)), APP(GPU(9000)));
    ck_assert_uint_ne(generation(&w, "n1"), g);
    g = generation(&w, "n1");
    cluster_delete_pod(w.st, STR("p2"));
    bound("p2", sliced("GPU-a,NVIDIA,9984,29:;", TWO_G(4)), APP(GPU(9000)));
    ck_assert_uint_eq(generation(&w, "n1"), g); /* the same state once more */
}
END_TEST

/* ---- what no check of a row looks at ---- */

/* D3.7, kept: shares of these cards are counted and do not stand in the way. */
START_TEST(kunlun_defect_d3_7_what_the_row_does_not_look_at_lends_no_card)
{
    const char *key = "hami.io/xpu-devices-allocated";
    CARDS("XPU", {.id = STR("x0"), .mem_mib = 98304, .count = 1, .cores_pct = 100});
    bound("p1", NOTE(key, "x0,XPU,24576,25:;"),
          APP("\"kunlunxin.com/vxpu\":1,\"kunlunxin.com/vxpu-memory\":24576"));
    struct cluster_pod p =
        pod("p2", NULL, "", APP("\"kunlunxin.com/vxpu\":1,\"kunlunxin.com/vxpu-memory\":24576"));
    apply(&p);
    ASSUME(&p, {.device = 0, .mem_mib = 24576, .cores_pct = 25, .shares = 1});
    ck_books("2/49152/50");
    bound("p3", NOTE(key, "x0,XPU,98304,100:;"), APP("\"kunlunxin.com/vxpu\":1"));
    ck_books("3/147456/150 lent"); /* memory is what counts there */
}
END_TEST

/* ---- holds ---- */

static const char *held(const char *except)
{
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    const struct cluster_node *n = cluster_snapshot_find(s, STR("n1"));
    struct score_extra extra[SCORE_DEVICES_MAX];
    const char *text = "none";
    if (cluster_hold_extra(w.st, n, str_z(except), false, 0, extra, NULL))
        for (uint16_t i = 0; i < n->score.devices_n; i++)
            text =
                fmt(&w, "%s%s%d/%lld/%d %llx-%llx %d/%d/%d", i ? text : "", i ? ", " : "",
                    extra[i].shares, (long long)extra[i].mem_mib, extra[i].cores_pct,
                    (unsigned long long)extra[i].bits_set, (unsigned long long)extra[i].bits_clear,
                    extra[i].online, extra[i].offline, extra[i].qos);
    cluster_snapshot_unref(s);
    return text;
}

static void hold(const struct cluster_pod *p, struct score_part part)
{
    static struct score_placement place;
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    place.parts_n = 1;
    place.parts[0] = part;
    const struct cluster_hold of = {cluster_snapshot_find(s, STR("n1")), &place};
    cluster_hold(w.st, p, &of, 1, true, 0);
    cluster_snapshot_unref(s);
}

START_TEST(held_slices_are_set_for_others)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), SLICED}, {.id = STR("GPU-b"), SLICED});
    struct cluster_pod p = pod("p1", NULL, "", APP(GPU(9000))),
                       q = pod("p2", NULL, "", APP(GPU(9000)));
    const struct score_part first = {
        .device = 1, .mem_mib = 9984, .cores_pct = 29, .shares = 1, .bits = 3};
    struct score_part second = first;
    second.bits = 0x0c;
    hold(&p, first);
    ck_assert_str_eq(held("p1"), "none");
    ck_assert_str_eq(held("p2"), "0/0/0 0-0 0/0/0, 1/9984/29 3-0 0/0/0");
    hold(&q, second);
    ck_assert_str_eq(held("p3"), "0/0/0 0-0 0/0/0, 2/19968/58 f-0 0/0/0");
    ck_assert_str_eq(held("p2"), "0/0/0 0-0 0/0/0, 1/9984/29 3-0 0/0/0");
    cluster_hold_drop(w.st, STR("p1"));
    ck_assert_str_eq(held("p3"), "0/0/0 0-0 0/0/0, 1/9984/29 c-0 0/0/0");
    ck_books("0/0/0 0, 0/0/0 0"); /* beside the snapshot, not in it */
}
END_TEST

START_TEST(held_classes_count_for_others)
{
    CARDS("Metax-SGPU", {.id = STR("a"), SGPU_CARD});
    const struct score_part part = {.mem_mib = 4096, .cores_pct = 30, .shares = 1};
    struct cluster_pod p = classed(pod("p1", NULL, "", APP(SGPU(4, 30))), SCORE_CLASS_ONLINE, 2);
    struct cluster_pod q = classed(pod("p2", NULL, "", APP(SGPU(4, 30))), SCORE_CLASS_OFFLINE, 2);
    struct cluster_pod r = classed(pod("p3", NULL, "", APP(SGPU(4, 30))), SCORE_CLASS_NONE, 1);
    hold(&p, part);
    ck_assert_str_eq(held("x"), "1/4096/30 0-0 1/0/0");
    hold(&q, part);
    ck_assert_str_eq(held("x"), "2/8192/60 0-0 1/1/2");
    hold(&r, part);
    ck_assert_str_eq(held("x"), "3/12288/90 0-0 1/1/255");
    ck_assert_str_eq(held("p2"), "2/8192/60 0-0 1/0/1");
}
END_TEST

START_TEST(held_shares_of_slices)
{
    CARDS("Enflame", {.id = STR("d0"), SIX});
    struct cluster_pod p = pod("p1", NULL, "", APP("\"enflame.com/drs-gcu\":4"));
    hold(&p, (struct score_part){.mem_mib = 24576, .cores_pct = 67, .shares = 4});
    ck_assert_str_eq(held("x"), "4/24576/67 0-0 0/0/0");
}
END_TEST

/* The card is held under another policy: the pod is told of that, not of a card that it can't have.
 */
START_TEST(held_policies_keep_others_off)
{
    CARDS("Metax-SGPU", {.id = STR("a"), SGPU_CARD});
    const char *key = "metax-tech.com/sgpu-qos-policy";
    struct cluster_pod p = pod("p1", NULL, NOTE(key, "fixed-share"), APP(SGPU(4, 30)));
    hold(&p, (struct score_part){.mem_mib = 4096, .cores_pct = 30, .shares = 1});
    static const struct {
        const char *policy;
        score_reasons want;
    } others[] = {{"fixed-share", 0}, {"burst-share", SCORE_BIT(SCORE_CARD_QOS_POLICY_MISMATCH)}};
    for (int i = 0; i < COUNT(others); i++) {
        struct cluster_pod q = pod("p2", NULL, NOTE(key, others[i].policy), APP(SGPU(4, 30)));
        struct cluster_snapshot *s = cluster_store_snapshot(w.st);
        const struct cluster_node *n = cluster_snapshot_find(s, STR("n1"));
        struct score_extra extra[SCORE_DEVICES_MAX];
        struct score_prepared prep;
        struct score_verdict v;
        struct err err;
        uint32_t types_n;
        const struct str *types = cluster_snapshot_types(s, &types_n);
        ck_assert(!score_prepare(&q.request, types, types_n, w.arena, &prep, &err));
        ck_assert(cluster_hold_extra(w.st, n, q.uid, false, 0, extra, NULL));
        score_node_check(&prep, &n->score, extra, &v);
        ck_assert_msg(v.reasons == others[i].want, "%s: %x", others[i].policy, v.reasons);
        cluster_snapshot_unref(s);
    }
}
END_TEST

/* ---- texts that rows share, and what lists of several rows do to each other ---- */

START_TEST(texts_are_read_by_each_row_that_knows_them)
{
    const char *mode = NOTE("huawei.com/vnpu-mode", "hami-core");
    struct cluster_pod p = pod("p", NULL, mode, APP("\"huawei.com/Ascend910B4\":1"));
    ck_assert(p.request.asks_n == 1 && p.request.asks[0].soft);
    p = pod("p", NULL, NOTE("huawei.com/vnpu-mode", "else"), APP("\"huawei.com/Ascend910B4\":1"));
    ck_assert(p.request.asks_n == 1 && !p.request.asks[0].soft);
    p = pod("p", NULL, mode, APP(GPU(4000))); /* nothing to this row */
    ck_assert(p.request.asks_n == 1 && !p.request.asks[0].soft);
    static const char *const both[] = {"\"kunlunxin.com/xpu\":1", "\"kunlunxin.com/vxpu\":1"};
    const struct vendor *xpu = vendor_at(w.vendors, row("XPU"));
    const char *one = fmt(&w, STR_FMT, STR_ARG(xpu->pod_use_uuid)),
               *two = fmt(&w, STR_FMT, STR_ARG(xpu->pod_use_uuid2)),
               *not2 = fmt(&w, STR_FMT, STR_ARG(xpu->pod_nouse_uuid2));
    for (int i = 0; i < COUNT(both); i++) {
        p = pod("p", NULL, fmt(&w, "%s%s%s", NOTE(one, "a,b"), NOTE(two, "b,c"), NOTE(not2, "d")),
                fmt(&w, "\"containers\":[{\"name\":\"main\",\"resources\":{\"limits\":{%s}}}]",
                    both[i]));
        ck_assert_msg(p.request.selections_n == 1, "%s", both[i]);
        const struct score_selection *sel = &p.request.selections[0];
        ck_assert(sel->use_uuids_n == 1 && str_eq(sel->use_uuids[0], STR("b")));
        ck_assert(sel->nouse_uuids_n == 1 && str_eq(sel->nouse_uuids[0], STR("d")));
    }
}
END_TEST

START_TEST(classes_and_policies_are_read)
{
    const char *app_class = "metax-tech.com/sgpu-app-class",
               *qos = "metax-tech.com/sgpu-qos-policy";
    struct cluster_pod p = pod("p", NULL, NOTE(app_class, "offline"), APP(SGPU(4, 30)));
    ck_assert_uint_eq(p.request.selections_n, 1);
    ck_assert_int_eq(p.request.selections[0].app_class, SCORE_CLASS_OFFLINE);
    ck_assert_int_eq(p.request.selections[0].qos, BEST_EFFORT); /* as admission writes it */
    p = pod("p", NULL, NOTE(qos, "fixed-share"), APP(SGPU(4, 30)));
    ck_assert_int_eq(p.request.selections[0].app_class, SCORE_CLASS_NONE);
    ck_assert_int_eq(p.request.selections[0].qos, FIXED_SHARE);
    p = pod("p", NULL, NOTE(app_class, "middle"), APP(SGPU(4, 30)));
    ck_assert_int_eq(p.refused_reason, SCORE_REQUEST_INVALID);
    p = pod("p", NULL, NOTE(app_class, "middle"), APP(GPU(4000)));
    ck_assert_int_eq(p.wants, CLUSTER_WANTS_CARDS);
}
END_TEST

START_TEST(long_texts_refuse_those_who_ask_there)
{
    static const char LONG[] =
        "0123456789012345678901234567890123456789012345678901234567890123456";
    w.cfg.annotation_max = 64;
    const char *longer = NOTE("hami.io/use-Ascend910B4-uuid", LONG);
    struct cluster_pod p = pod("p", NULL, longer, APP("\"huawei.com/Ascend910B4\":1"));
    ck_assert_int_eq(p.refused_reason, SCORE_REQUEST_INVALID);
    p = pod("p", NULL, longer, APP(GPU(4000)));
    ck_assert_int_eq(p.wants, CLUSTER_WANTS_CARDS);
    longer = NOTE("huawei.com/vnpu-mode", LONG); /* another row's key first */
    p = pod("p", NULL, longer, APP("\"huawei.com/Ascend910C\":2"));
    ck_assert_int_eq(p.refused_reason, SCORE_REQUEST_INVALID);
}
END_TEST

START_TEST(what_another_decision_left_is_to_be_cleaned)
{
    const char *drs = APP("\"enflame.com/drs-gcu\":1");
    ck_assert(!pod("p", NULL, NOTE(DRS, ""), drs).reserved_keys); /* a Binding overwrites it */
    ck_assert(!pod("p", NULL, NOTE(ASSIGNED, "{}"), drs).reserved_keys);
    ck_assert(pod("p", NULL, NOTE(ASSIGNED, "{}"), APP(GPU(1))).reserved_keys);
    ck_assert(pod("p", NULL, NOTE(NEURONS, ""), APP(GPU(1))).reserved_keys);
    ck_assert(pod("p", NULL, NOTE("AWS_NEURON_IDS", "3"), APP(GPU(1))).reserved_keys);
    ck_assert(pod("p", NULL, NOTE(MIG, "[]"), APP(GPU(1))).reserved_keys); /* it may not write it */
    ck_assert(!pod("p", NULL, NOTE("huawei.com/vnpu-mode", "x"), APP(GPU(1))).reserved_keys);
}
END_TEST

/* C1, D1, H1, D0.1, D5.1: a container's entry is its own, whatever types a node registers, also in
 * a list that left out a container without cards. */
static const struct {
    const char *row, *key, *list, *limits, *want;
} SHIFTED[] = {
    {"NVIDIA", LIST, "GPU-a,NVIDIA,4000,0:;", GPU(4000), "1/4000/0"},
    {"DCU", "hami.io/dcu-devices-allocated", "GPU-a,DCU,2000,60:;",
     "\"hygon.com/dcunum\":1,\"hygon.com/dcumem\":2000,\"hygon.com/dcucores\":60", "1/2000/60"},
    {"AMD", "hami.io/amd-devices-allocated", "GPU-a,AMD Instinct MI300X,2000,60:;",
     "\"amd.com/gpu\":1,\"amd.com/gpumem\":2000,\"amd.com/gpucores\":60", "1/2000/60"},
};

START_TEST(core_defect_c1_entries_are_their_containers)
{
    const uint16_t asking = row(SHIFTED[_i].row);
    put_cards(SHIFTED[_i].row,
              &(struct vendor_device){.id = STR("GPU-a"), PLAIN, .type = STR("a model")}, 1);
    const char *spec = fmt(&w,
                           "\"initContainers\":[{\"name\":\"first\"}],\"containers\":[{\"name\":"
                           "\"main\",\"resources\":{\"limits\":{%s}}}]",
                           SHIFTED[_i].limits);
    for (int padded = 0; padded < 2; padded++) {
        const char *list = fmt(&w, "%s%s", padded ? ";" : "", SHIFTED[_i].list);
        struct cluster_pod p = pod("p1", "n1", NOTE(SHIFTED[_i].key, list), spec);
        ck_assert(p.shares_n == 1 && p.shares[0].vendor == asking && p.shares[0].container == 1);
        p.phase = CLUSTER_RUNNING; /* the init container is over: in use all the same */
        p.started = true;
        apply(&p);
        ck_books(SHIFTED[_i].want);
        ck_assert_uint_eq(stats(&w).fail_closed, 0);
    }
}
END_TEST

/* C3: a sidecar runs beside the others: a sum, not a maximum. */
START_TEST(core_defect_c3_sidecars_add_up)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), PLAIN});
    bound("p1", NOTE(LIST, "GPU-a,NVIDIA,3000,0:;GPU-a,NVIDIA,4000,0:;"),
          "\"initContainers\":[{\"name\":\"side\",\"restartPolicy\":\"Always\",\"resources\":{"
          "\"limits\":{" GPU(3000) "}}}]," APP(GPU(4000)));
    ck_books("2/7000/0");
}
END_TEST

/* C2, C5: quota is asked about what is recorded: the sum over cards of what each is used at most.
 */
START_TEST(core_defect_c5_quota_sees_what_is_recorded)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), PLAIN}, {.id = STR("GPU-b"), PLAIN});
    put_quota(&w, "ml", "q", "15000", NULL);
    struct cluster_pod p = pod(
        "p1", NULL, "", "\"initContainers\":[" LIMITS("first", GPU(10000)) "]," APP(GPU(10000)));
    apply(&p);
    struct err err;
    const struct score_part apart[] = {
        {.ask = 0, .device = 0, .mem_mib = 10000, .shares = 1},
        {.ask = 1, .device = 1, .mem_mib = 10000, .shares = 1},
    };
    ck_assert_int_eq(decided(&p, apart, 2, &err), ERR_CONFLICT);
    ASSUME(&p, {.ask = 0, .device = 0, .mem_mib = 10000, .shares = 1},
           {.ask = 1, .device = 0, .mem_mib = 10000, .shares = 1});
    ck_assert_str_eq(quota_of("NVIDIA"), "10000/0");
}
END_TEST

/* C9: a pod that was terminating when we started still has its cards. */
START_TEST(core_defect_c9_terminating_pods_count_after_a_restart)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), PLAIN});
    struct cluster_pod p = pod("p1", "n1", NOTE(LIST, "GPU-a,NVIDIA,4000,0:;"), APP(GPU(4000)));
    p.deleting = true;
    apply(&p);
    ck_books("1/4000/0");
}
END_TEST

/* C33: a card is of the row that registered it, whatever its type or id reads like. */
START_TEST(core_defect_c33_cards_of_equal_names)
{
    CARDS("Ascend910B4-1", {.id = STR("A0"), PLAIN});
    const char *key = "hami.io/Ascend910B4-devices-allocated";
    bound("p1", NOTE(key, "A0,Ascend910B4,8192,0:;"),
          APP("\"huawei.com/Ascend910B4\":1,\"huawei.com/Ascend910B4-memory\":8192"));
    ck_books("0/0/0");
    ck_assert_str_eq(quota_of("Ascend910B4"), "8192/0");
    ck_assert_str_eq(quota_of("Ascend910B4-1"), "0/0");
}
END_TEST

/* C36: one list that can't be read says nothing against the others. */
START_TEST(core_defect_c36_a_broken_list_hides_no_other)
{
    CARDS("NVIDIA", {.id = STR("GPU-a"), PLAIN});
    bound("p1",
          fmt(&w, "%s%s", NOTE(LIST, "GPU-a,NVIDIA,4000,0:;"),
              NOTE("hami.io/dcu-devices-allocated", "GPU-a,DCU,-5,0:;")),
          APP(GPU(4000) ",\"hygon.com/dcunum\":1"));
    ck_books("1/4000/0");
    ck_assert_uint_eq(stats(&w).fail_closed, 1); /* the other row only */
    CARDS("DCU", {.id = STR("GPU-a"), PLAIN});
    ck_books("0/0/0 closed");
}
END_TEST

/* ---- classes of asks ---- */

static struct score_ask key_ask;
static struct score_selection key_sel;
static struct str key_text;
static struct score_request key_req;

static void key_start(void)
{
    static const enum score_step steps[] = {SCORE_STEP_APP};
    key_text = STR("t");
    key_ask = (struct score_ask){.count = 1, .mem_mib = 1};
    key_sel = (struct score_selection){.use_types = &key_text,
                                       .nouse_types = &key_text,
                                       .use_uuids = &key_text,
                                       .nouse_uuids = &key_text,
                                       .mode = STR("")};
    key_req = (struct score_request){.vendors = vendor_cores(w.vendors),
                                     .vendors_n = vendor_count(w.vendors),
                                     .steps = steps,
                                     .containers_n = 1,
                                     .asks = &key_ask,
                                     .asks_n = 1,
                                     .selections = &key_sel,
                                     .selections_n = 1,
                                     .policy = SCORE_POLICY_DEFAULT};
}

#define ALTER(what)                                                                                \
    {                                                                                              \
#what, alter_##what                                                                        \
    }
#define ALTERS(name, statement)                                                                    \
    static void alter_##name(void) { statement; }
ALTERS(vendor, key_ask.vendor = 1)
ALTERS(count, key_ask.count = 2)
ALTERS(mem, key_ask.mem_mib = 2)
ALTERS(mem_pct, key_ask.mem_pct = 1)
ALTERS(mem_guess, key_ask.mem_guess = true)
ALTERS(cores, key_ask.cores_pct = 1)
ALTERS(slices, key_ask.slices = 1)
ALTERS(soft, key_ask.soft = true)
ALTERS(use_type, key_sel.use_type_set = true)
ALTERS(use_uuid, key_sel.use_uuid_set = true)
ALTERS(use_types, key_sel.use_types_n = 1)
ALTERS(nouse_types, key_sel.nouse_types_n = 1)
ALTERS(use_uuids, key_sel.use_uuids_n = 1)
ALTERS(nouse_uuids, key_sel.nouse_uuids_n = 1)
ALTERS(mode_set, key_sel.mode_set = true)
ALTERS(mode, key_sel.mode = STR("mig"))
ALTERS(numa_bind, key_sel.numa_bind = true)
ALTERS(links, key_sel.links = true)
ALTERS(app_class, key_sel.app_class = SCORE_CLASS_OFFLINE)
ALTERS(qos, key_sel.qos = 1)
ALTERS(node_spread, key_req.policy.node_spread = true)
ALTERS(card_0, key_req.policy.card[0] = SCORE_KEY_BINPACK)
ALTERS(card_1, key_req.policy.card[1] = SCORE_KEY_BINPACK)
ALTERS(card_2, key_req.policy.card[2] = SCORE_KEY_BINPACK)
ALTERS(card_mutex, key_req.policy.card_mutex = true)
ALTERS(topology_aware, key_req.policy.topology_aware = true)
ALTERS(weight_slot, key_req.policy.weight_slot = 2)
ALTERS(weight_core, key_req.policy.weight_core = 2)
ALTERS(weight_mem, key_req.policy.weight_mem = 2)

static const struct {
    const char *name;
    void (*alter)(void);
} KEYS[] = {
    ALTER(vendor),      ALTER(count),          ALTER(mem),         ALTER(mem_pct),
    ALTER(mem_guess),   ALTER(cores),          ALTER(slices),      ALTER(soft),
    ALTER(use_type),    ALTER(use_uuid),       ALTER(use_types),   ALTER(nouse_types),
    ALTER(use_uuids),   ALTER(nouse_uuids),    ALTER(mode_set),    ALTER(mode),
    ALTER(numa_bind),   ALTER(links),          ALTER(app_class),   ALTER(qos),
    ALTER(node_spread), ALTER(card_0),         ALTER(card_1),      ALTER(card_2),
    ALTER(card_mutex),  ALTER(topology_aware), ALTER(weight_slot), ALTER(weight_core),
    ALTER(weight_mem),
};

/* A class is what its answers depend on: an ask that differs in one field is of another one. */
START_TEST(every_field_makes_another_class)
{
    key_start();
    struct cluster_class *one = cluster_class_get(w.st, &key_req);
    struct cluster_class *same = cluster_class_get(w.st, &key_req);
    ck_assert_ptr_nonnull(one);
    ck_assert_ptr_eq(one, same);
    for (int i = 0; i < COUNT(KEYS); i++) {
        key_start();
        KEYS[i].alter();
        struct cluster_class *other = cluster_class_get(w.st, &key_req);
        ck_assert_msg(other && other != one, "%s is not looked at", KEYS[i].name);
        cluster_class_unref(other);
    }
    cluster_class_unref(one);
    cluster_class_unref(same);
}
END_TEST

void check_cluster_books(Suite *suite)
{
    TCase *tc = tcase_create("books");
    tcase_set_timeout(tc, 60); /* a busy machine */
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_slice_is_charged_confirmed_and_given_back);
    tcase_add_test(tc, a_forgotten_slice_is_free);
    tcase_add_test(tc, slices_follow_from_annotations_alone);
    tcase_add_loop_test(tc, nvidia_8_4_unreadable_slices_close_the_pods_cards, 0,
                        COUNT(UNREADABLE));
    tcase_add_test(tc, plain_cards_of_the_pod_need_no_slices);
    tcase_add_test(tc, a_card_that_is_cut_while_in_use_takes_nothing_more);
    tcase_add_test(tc, a_slice_of_two_pods_counts_once_and_lends_the_card);
    tcase_add_test(tc, a_slice_has_its_own_cores);
    tcase_add_test(tc, core_defect_c4_slices_of_an_init_container_add_up);
    tcase_add_test(tc, core_defect_c10_slices_of_another_node_close_nothing);
    tcase_add_test(tc, core_defect_c11_a_decision_has_its_slices_at_once);
    tcase_add_test(tc, core_defect_c12_slices_of_init_containers_stay_for_the_pods_life);
    tcase_add_test(tc, anothers_slice_of_the_same_card_is_anothers_binding);
    tcase_add_test(tc, a_slice_written_over_later_is_tampered_with);
    tcase_add_test(tc, a_slice_is_given_once);
    tcase_add_test(tc, the_plain_books_of_a_mixed_up_relist_are_right);
    tcase_add_test(tc, wrong_books_are_found);
    tcase_add_test(tc, cores_are_counted_and_their_mask_kept);
    tcase_add_test(tc, neuron_defect_d4_5_masks_are_joined);
    tcase_add_test(tc, neuron_defect_d4_7_quota_counts_cores_not_masks);
    tcase_add_loop_test(tc, masks_are_never_less_than_the_ask, 0, COUNT(MASKS));
    tcase_add_test(tc, enflame_defect_d2_2_slices_count_after_a_restart);
    tcase_add_test(tc, sizes_that_nobody_knows_close_the_row);
    tcase_add_test(tc, slices_are_never_fewer_than_the_ask);
    tcase_add_test(tc, units_are_never_fewer_than_the_ask);
    tcase_add_test(tc, classes_are_counted_in_pods);
    tcase_add_test(tc, metax_defect_d1_5_d1_8_policy_follows_from_the_pods);
    tcase_add_test(tc, whole_cards_and_online_pods_bring_no_policy);
    tcase_add_test(tc, policies_that_contradict_are_nobodys);
    tcase_add_test(tc, a_decision_brings_class_and_policy);
    tcase_add_test(tc, generations_know_classes_and_bits);
    tcase_add_test(tc, kunlun_defect_d3_7_what_the_row_does_not_look_at_lends_no_card);
    tcase_add_test(tc, held_slices_are_set_for_others);
    tcase_add_test(tc, held_classes_count_for_others);
    tcase_add_test(tc, held_shares_of_slices);
    tcase_add_test(tc, held_policies_keep_others_off);
    tcase_add_test(tc, texts_are_read_by_each_row_that_knows_them);
    tcase_add_test(tc, classes_and_policies_are_read);
    tcase_add_test(tc, long_texts_refuse_those_who_ask_there);
    tcase_add_test(tc, what_another_decision_left_is_to_be_cleaned);
    tcase_add_loop_test(tc, core_defect_c1_entries_are_their_containers, 0, COUNT(SHIFTED));
    tcase_add_test(tc, core_defect_c3_sidecars_add_up);
    tcase_add_test(tc, core_defect_c5_quota_sees_what_is_recorded);
    tcase_add_test(tc, core_defect_c9_terminating_pods_count_after_a_restart);
    tcase_add_test(tc, core_defect_c33_cards_of_equal_names);
    tcase_add_test(tc, core_defect_c36_a_broken_list_hides_no_other);
    tcase_add_test(tc, every_field_makes_another_class);
    suite_add_tcase(suite, tc);
}
