/* Lives of pods of every built-in row at random: decided by the core on nodes that carry all
 * makers' cards, written as the row's plugins expect it, read back from those annotations alone.
 * What the ledger shows is held against a list of decisions that shares no code with it.
 * PROP_SEED=n repeats a walk. */
#include "check_cluster.h"

#include "cluster/priv.h"

#include <stdio.h>
#include <string.h>

static uint64_t rng;
static uint32_t chance(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 32) % n;
}

static struct world w;
static void setup(void) { world_open_rows(&w); }
static void teardown(void) { world_close(&w); }

/* ---- what there is ---- */

#define AT(s, n)                                                                                   \
    {                                                                                              \
        .start = s, .size = n                                                                      \
    }
static const struct score_profile SLICED[] = {
    {.name = STR_INIT("1g.5gb"),
     .mem_mib = 4864,
     .cores_pct = 14,
     .slices = 1,
     .placements_n = 7,
     .placements = {AT(6, 1), AT(5, 1), AT(4, 1), AT(3, 1), AT(2, 1), AT(1, 1), AT(0, 1)}},
    {.name = STR_INIT("2g.10gb"),
     .mem_mib = 9984,
     .cores_pct = 29,
     .slices = 2,
     .placements_n = 3,
     .placements = {AT(0, 2), AT(2, 2), AT(4, 2)}},
    {.name = STR_INIT("3g.20gb"),
     .mem_mib = 20096,
     .cores_pct = 43,
     .slices = 3,
     .placements_n = 2,
     .placements = {AT(4, 4), AT(0, 4)}},
};
static const struct score_profile PARTED[] = {
    {.name = STR_INIT("1g.5gb"),
     .id = STR_INIT("7"),
     .mem_mib = 5120,
     .cores_pct = 17,
     .slices = 1},
    {.name = STR_INIT("2g.12gb"),
     .id = STR_INIT("8"),
     .mem_mib = 12288,
     .cores_pct = 34,
     .slices = 2},
    {.name = STR_INIT("6g.36gb"),
     .id = STR_INIT("5"),
     .mem_mib = 36864,
     .cores_pct = 100,
     .slices = 6},
};

/* A row's cards; amounts of 0 as usual. Asks of one container, notes of the pod. */
static const struct kind {
    const char *key;
    int cards;
    struct vendor_device like;
    const char *asks[4], *notes[3];
} KINDS[] = {
    {"NVIDIA",
     2,
     {.mode = STR_INIT("hami-core")},
     {"\"nvidia.com/gpu\":1,\"nvidia.com/gpumem\":4000",
      "\"nvidia.com/gpu\":2,\"nvidia.com/gpumem\":9000,\"nvidia.com/gpucores\":20",
      "\"nvidia.com/gpu\":1,\"nvidia.com/gpumem-percentage\":10"},
     {"", "\"nvidia.com/vgpu-mode\":\"mig\",", "\"nvidia.com/vgpu-mode\":\"hami-core\","}},
    {"Ascend910B3",
     4,
     {.soft = true, .zone = 1},
     {"\"huawei.com/Ascend910B3\":1,\"huawei.com/Ascend910B3-memory\":16384",
      "\"huawei.com/Ascend910B3\":2"},
     {"", "\"huawei.com/vnpu-mode\":\"hami-core\","}},
    {"Ascend910C", 4, {.zone = 1}, {"\"huawei.com/Ascend910C\":2"}, {""}},
    {"MLU",
     2,
     {.count = 100},
     {"\"cambricon.com/vmlu\":1,\"cambricon.com/mlu.smlu.vmemory\":20,"
      "\"cambricon.com/mlu.smlu.vcore\":10"},
     {""}},
    {"DCU",
     2,
     {.count = 4},
     {"\"hygon.com/dcunum\":1,\"hygon.com/dcumem\":2000,\"hygon.com/dcucores\":20",
      "\"hygon.com/dcunum\":1"},
     {""}},
    {"Mthreads",
     2,
     {.count = 100, .cores_pct = 16},
     {"\"mthreads.com/vgpu\":1,\"mthreads.com/sgpu-memory\":16,\"mthreads.com/sgpu-core\":4"},
     {""}},
    {"BI-V100",
     2,
     {.count = 10},
     {"\"iluvatar.ai/BI-V100-vgpu\":1,\"iluvatar.ai/BI-V100.vMem\":16,\"iluvatar.ai/"
      "BI-V100.vCore\":20"},
     {""}},
    {"Metax-GPU", 2, {.count = 1}, {"\"metax-tech.com/gpu\":1"}, {""}},
    {"Metax-SGPU",
     4,
     {.count = 16, .zone = 1},
     {"\"metax-tech.com/sgpu\":1,\"metax-tech.com/vmemory\":4,\"metax-tech.com/vcore\":20",
      "\"metax-tech.com/sgpu\":1,\"metax-tech.com/vmemory\":8,\"metax-tech.com/vcore\":30",
      "\"metax-tech.com/sgpu\":1"},
     {"\"metax-tech.com/sgpu-qos-policy\":\"fixed-share\",",
      "\"metax-tech.com/sgpu-app-class\":\"online\",",
      "\"metax-tech.com/sgpu-app-class\":\"offline\","}},
    {"GCU", 2, {.count = 1, .mem_mib = 100}, {"\"enflame.com/gcu\":1"}, {""}},
    {"Enflame",
     2,
     {.count = 6, .mem_mib = 36864, .mode = STR_INIT("3"), .profiles_n = 3},
     {"\"enflame.com/drs-gcu\":1", "\"enflame.com/drs-gcu\":2", "\"enflame.com/gcu-core\":30",
      "\"enflame.com/gcu-memory\":6"},
     {""}},
    {"kunlun",
     8,
     {.count = 100, .mem_mib = 98304},
     {"\"kunlunxin.com/xpu\":1", "\"kunlunxin.com/xpu\":2"},
     {""}},
    {"XPU",
     4,
     {.count = 1, .mem_mib = 98304},
     {"\"kunlunxin.com/vxpu\":1,\"kunlunxin.com/vxpu-memory\":24576",
      "\"kunlunxin.com/vxpu\":2,\"kunlunxin.com/vxpu-memory\":49152"},
     {""}},
    {"AWSNeuron",
     4,
     {.count = 2, .cores_pct = 2, .bits = 3},
     {"\"aws.amazon.com/neuroncore\":1", "\"aws.amazon.com/neuroncore\":2",
      "\"aws.amazon.com/neuron\":1", "\"aws.amazon.com/neuron\":4"},
     {""}},
    {"AMD",
     2,
     {.cores_pct = 304, .type = STR_INIT("AMD Instinct MI300X")},
     {"\"amd.com/gpu\":1,\"amd.com/gpumem\":8192,\"amd.com/gpucores\":10"},
     {""}},
    {"Vastai",
     4,
     {.count = 1, .zone = 1},
     {"\"vastaitech.com/va\":1", "\"vastaitech.com/va\":2"},
     {""}},
    {"Biren", 2, {.count = 1}, {"\"birentech.com/gpu\":1"}, {""}},
};
enum { KINDS_N = sizeof(KINDS) / sizeof(KINDS[0]), NODES = 2, PODS = 60, PARTS_MAX = 16 };

static uint16_t row_of(const struct kind *k)
{
    for (uint16_t i = 0; i < vendor_count(w.vendors); i++)
        if (str_eq(vendor_at(w.vendors, i)->core.key, str_z(k->key)))
            return i;
    ck_abort_msg("no row %s", k->key);
}

static struct str named(const char *what, int n) { return str_z(fmt(&w, "%s%d", what, n)); }

static void put_all_cards(int node)
{
    static struct vendor_device list[KINDS_N + 1][8];
    static struct cluster_node_cards of[KINDS_N];
    for (int k = 0; k < KINDS_N; k++) {
        const struct kind *kind = &KINDS[k];
        of[k] =
            (struct cluster_node_cards){.vendor = row_of(kind), .devices = list[k], .alive = true};
        if (kind->like.profiles_n) {
            of[k].profiles = PARTED;
            of[k].profiles_n = COUNT(PARTED);
        }
        for (int i = 0; i < kind->cards; i++) {
            struct vendor_device d = kind->like;
            d.id = str_z(fmt(&w, "%s-%d-%d", kind->key, node, i));
            d.index = i;
            d.healthy = true;
            d.type = d.type.p ? d.type : str_z(kind->key);
            d.mode = d.mode.p ? d.mode : STR("");
            d.mem_mib = d.mem_mib ? d.mem_mib : 65536;
            d.count = d.count ? d.count : 10;
            d.cores_pct = d.cores_pct ? d.cores_pct : 100;
            d.zone = d.zone ? 1 + i / 2 : SCORE_ZONE_NONE;
            list[k][of[k].devices_n++] = d;
        }
    }
    for (int i = 0; i < 2; i++) { /* the first row's are of two modes */
        struct vendor_device d = list[0][i];
        d.id = str_z(fmt(&w, "sliced-%d-%d", node, i));
        d.index = 2 + i;
        d.mode = STR("mig");
        d.mig = true;
        d.count = 7;
        d.mem_mib = 40960;
        d.cores_pct = 203;
        d.bits = 0xff;
        d.profiles_n = COUNT(SLICED);
        list[0][of[0].devices_n++] = d;
    }
    of[0].profiles = SLICED;
    of[0].profiles_n = COUNT(SLICED);
    const struct cluster_node_object o = {.name = named("n", node),
                                          .uid = named("uid-n", node),
                                          .resource_version = STR("1"),
                                          .cards = of,
                                          .cards_n = KINDS_N};
    struct err err;
    ck_assert_msg(!cluster_apply_node(w.st, &o, &err), "%s", err.text);
}

/* ---- the pods, and what was decided for each ---- */

enum state { NONE, WAITING, ASSUMED, CONFIRMED, BOUND };
static struct life {
    enum state state;
    int node, parts_n;
    const char *spec, *notes; /* notes: the user's, then also those that the decision wrote */
    struct cluster_pod pod;
    struct score_part parts[PARTS_MAX];
} lives[PODS];
static unsigned bits_held; /* seen in all: the test is of something */

static struct cluster_pod read_pod(int i, const char *notes, bool is_bound)
{
    struct cluster_pod ret;
    struct err err;
    const char *node = is_bound ? fmt(&w, "\"nodeName\":\"n%d\",", lives[i].node) : "";
    const char *json = fmt(&w,
                           "{\"metadata\":{\"name\":\"p%d\",\"namespace\":\"s%d\",\"uid\":\"u%d\","
                           "\"annotations\":{%s\"x\":\"y\"}},\"spec\":{%s%s}}",
                           i, i % 3, i, notes, node, lives[i].spec);
    ck_assert_msg(!cluster_pod_decode(&w.cfg, str_z(json), false, w.arena, &ret, &err), "%s: %s",
                  err.text, json);
    ck_assert_msg(ret.refused_text.n == 0, "%.*s: %s", (int)ret.refused_text.n, ret.refused_text.p,
                  json);
    return ret;
}

static void apply(const struct cluster_pod *p)
{
    struct err err;
    ck_assert_msg(!cluster_apply_pod(w.st, p, &err), "%s", err.text);
}

static const char *random_container(const struct kind *k, int n, const char *more)
{
    int asks = 0;
    while (asks < COUNT(k->asks) && k->asks[asks])
        asks++;
    return fmt(&w, "{\"name\":\"c%d\",%s\"resources\":{\"limits\":{%s}}}", n, more,
               chance(4) ? k->asks[chance((uint32_t)asks)] : "\"cpu\":\"1\"");
}

static void random_pod(int i)
{
    struct life *l = &lives[i];
    const int first = chance(4) ? (int)chance(KINDS_N) : 0; /* the one with slices, often */
    const struct kind *one = &KINDS[first], *other = chance(3) ? one : &KINDS[chance(KINDS_N)];
    const char *init = "";
    int notes = 0;
    while (notes < COUNT(one->notes) && one->notes[notes])
        notes++;
    if (chance(3) == 0)
        init = fmt(&w, "\"initContainers\":[%s],",
                   random_container(one, 0, chance(2) ? "\"restartPolicy\":\"Always\"," : ""));
    const char *last = chance(3) ? "" : fmt(&w, ",%s", random_container(other, 2, ""));
    l->spec = fmt(&w, "%s\"containers\":[%s%s]", init, random_container(one, 1, ""), last);
    l->notes = one->notes[chance((uint32_t)notes)];
    l->pod = read_pod(i, l->notes, false);
    if (l->pod.wants != CLUSTER_WANTS_CARDS)
        return;
    l->state = WAITING;
    apply(&l->pod);
}

/* The core's decision, beside what others hold. */
static bool place(int i, int node, struct score_placement *ret, struct cluster_snapshot **ret_s,
                  const struct cluster_node **ret_node)
{
    struct life *l = &lives[i];
    struct score_extra extra[SCORE_DEVICES_MAX];
    struct score_prepared prep;
    struct score_verdict v;
    struct err err;
    uint32_t types_n;
    *ret_s = cluster_store_snapshot(w.st);
    *ret_node = cluster_snapshot_find(*ret_s, named("n", node));
    const struct str *types = cluster_snapshot_types(*ret_s, &types_n);
    ck_assert(!score_prepare(&l->pod.request, types, types_n, w.arena, &prep, &err));
    const bool any =
        cluster_hold_extra(w.st, *ret_node, l->pod.uid, false, /* now_ms= */ 0, extra, NULL);
    score_node_place(&prep, &(*ret_node)->score, any ? extra : NULL, &v, ret, NULL);
    ck_assert(!v.fits || ret->parts_n <= PARTS_MAX);
    return v.fits;
}

static void add_note(void *ctx, struct str key, struct str value)
{
    const char **notes = ctx, *text = fmt(&w, "%.*s", (int)value.n, value.p);
    *notes = fmt(&w, "%s%s", *notes, member(&w, fmt(&w, "%.*s", (int)key.n, key.p), text));
}

/* What bind writes for one row. */
static void annotate(struct life *l, uint16_t row, const struct score_node *n)
{
    struct vendor_written shares[PARTS_MAX];
    struct score_ask asks[PARTS_MAX];
    struct vendor_write write = {.shares = shares,
                                 .containers_n = l->pod.containers_n,
                                 .node = n->name,
                                 .now_ns = 1,
                                 .asks = asks};
    for (uint16_t a = 0; a < l->pod.request.asks_n; a++)
        if (l->pod.request.asks[a].vendor == row)
            asks[write.asks_n++] = l->pod.request.asks[a];
    for (int k = 0; k < l->parts_n; k++) {
        const struct score_part *part = &l->parts[k];
        const struct score_ask *ask = &l->pod.request.asks[part->ask];
        const struct score_device *d = &n->devices[part->device];
        if (ask->vendor != row)
            continue;
        uint64_t bits_total = 0;
        for (uint16_t g = 0; g < n->groups_n; g++)
            if (n->groups[g].vendor == row && n->groups[g].traits)
                bits_total = n->groups[g].traits[part->device - n->groups[g].first].bits_total;
        shares[write.shares_n++] = (struct vendor_written){
            .container = ask->container,
            .shares = part->shares,
            .container_name = l->pod.container_names[ask->container],
            .uuid = d->uuid,
            .type = n->types[d->type],
            .minor = n->types[d->mode],
            .index = d->index,
            .mem_mib = part->mem_mib,
            .cores_pct = part->cores_pct,
            .bits = part->bits,
            .bits_total = bits_total,
            .profile = part->profile ? &n->profiles[part->profile - 1] : NULL};
    }
    struct err err;
    if (write.shares_n > 0)
        ck_assert_msg(
            !vendor_annotate(vendor_at(w.vendors, row), &write, w.arena, add_note, &l->notes, &err),
            "%s", err.text);
}

static void decide(int i)
{
    static struct score_placement placement;
    struct life *l = &lives[i];
    struct cluster_snapshot *s;
    const struct cluster_node *n;
    struct err err;
    const int node = (int)chance(NODES);
    if (place(i, node, &placement, &s, &n)) {
        ck_assert_msg(
            !cluster_assume(w.st, s, &(struct cluster_decision){&l->pod, n, &placement}, &err),
            "%s: %s", err.text, l->spec);
        l->state = ASSUMED;
        l->node = node;
        l->parts_n = placement.parts_n;
        memcpy(l->parts, placement.parts, placement.parts_n * sizeof(l->parts[0]));
    }
    cluster_snapshot_unref(s);
}

static void hold(int i)
{
    static struct score_placement placement[NODES];
    struct cluster_snapshot *s[NODES];
    struct cluster_hold holds[NODES];
    uint16_t n = 0;
    for (int node = 0; node < NODES; node++)
        if (place(i, node, &placement[node], &s[node], &holds[n].node))
            holds[n++].placement = &placement[node];
    cluster_hold(w.st, &lives[i].pod, holds, n, n == 1, 0);
    for (int node = 0; node < NODES; node++)
        cluster_snapshot_unref(s[node]);
}

/* The watch shows the pod as bind wrote it. */
static void show(int i)
{
    struct life *l = &lives[i];
    if (l->state != BOUND) {
        struct cluster_snapshot *s = cluster_store_snapshot(w.st);
        const struct cluster_node *n = cluster_snapshot_find(s, named("n", l->node));
        for (uint16_t v = 0; v < vendor_count(w.vendors); v++)
            annotate(l, v, &n->score);
        cluster_snapshot_unref(s);
    }
    const struct cluster_pod p = read_pod(i, l->notes, true);
    ck_assert_msg(!p.shares_broken, "%s", l->notes);
    apply(&p);
    l->state = BOUND;
}

/* ---- the other list: sums over all decisions ---- */

struct sums {
    int64_t mem, cores, shares;
    uint64_t bits;
    bool part; /* some share is not the whole card's cores */
};

static void add(struct sums *to, const struct sums *s)
{
    to->mem += s->mem;
    to->cores += s->cores;
    to->shares += s->shares;
    to->bits |= s->bits;
    to->part |= s->part;
}

static void most(struct sums *to, const struct sums *s)
{
    to->mem = s->mem > to->mem ? s->mem : to->mem;
    to->cores = s->cores > to->cores ? s->cores : to->cores;
    to->shares = s->shares > to->shares ? s->shares : to->shares;
    to->bits |= s->bits;
    to->part |= s->part;
}

/* At most three containers, the first of them an init step or a sidecar if there is one. */
static struct sums life_use(const struct life *l, uint16_t device)
{
    struct sums first = {0}, rest = {0}, ret = {0};
    for (int k = 0; k < l->parts_n; k++) {
        const struct score_part *p = &l->parts[k];
        const uint16_t c = l->pod.request.asks[p->ask].container;
        if (p->device == device)
            add(l->pod.steps[c] == SCORE_STEP_INIT ? &first : &rest,
                &(struct sums){p->mem_mib, p->cores_pct, p->shares, p->bits, p->cores_pct < 100});
    }
    most(&ret, &first);
    most(&ret, &rest);
    return ret;
}

static const struct score_selection *selection(const struct life *l, uint16_t row)
{
    static const struct score_selection none;
    for (uint16_t i = 0; i < l->pod.request.selections_n; i++)
        if (l->pod.request.selections[i].vendor == row)
            return &l->pod.request.selections[i];
    return &none;
}

static void compare_card(int node, const struct score_node *n, const struct score_group *g,
                         uint16_t device)
{
    const struct score_device *d = &n->devices[device];
    struct sums all = {0};
    struct score_trait want = {0};
    for (int i = 0; i < PODS; i++) {
        const struct life *l = &lives[i];
        if (l->state < ASSUMED || l->node != node)
            continue;
        const struct sums use = life_use(l, device);
        if (use.shares == 0)
            continue;
        const struct score_selection *sel = selection(l, g->vendor);
        ck_assert_msg(!(all.bits & use.bits), "%.*s: bits given twice", (int)d->uuid.n, d->uuid.p);
        add(&all, &use);
        want.online = (uint16_t)(want.online + (sel->app_class == SCORE_CLASS_ONLINE));
        want.offline = (uint16_t)(want.offline + (sel->app_class == SCORE_CLASS_OFFLINE));
        if (sel->app_class != SCORE_CLASS_ONLINE && sel->qos && use.part)
            want.qos = sel->qos;
    }
    ck_assert_int_eq(d->mem_used_mib, all.mem);
    ck_assert_int_eq(d->cores_used_pct, all.cores);
    ck_assert_int_eq(d->shares_used, all.shares);
    ck_assert_msg(!(d->flags & SCORE_DEVICE_LENT), "%.*s", (int)d->uuid.n, d->uuid.p);
    if (!g->traits) {
        ck_assert_uint_eq(all.bits, 0);
        return;
    }
    const struct score_trait *t = &g->traits[device - g->first];
    ck_assert_uint_eq(t->bits_used, all.bits);
    ck_assert_uint_eq(t->bits_used & ~t->bits_total, 0);
    ck_assert_uint_eq(t->online, want.online);
    ck_assert_uint_eq(t->offline, want.offline);
    ck_assert_uint_eq(t->qos, want.qos);
}

static void compare(void)
{
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    for (int node = 0; node < NODES; node++) {
        const struct score_node *n = &cluster_snapshot_find(s, named("n", node))->score;
        for (uint16_t g = 0; g < n->groups_n; g++) {
            ck_assert(!n->groups[g].closed);
            for (uint16_t i = 0; i < n->groups[g].n; i++)
                compare_card(node, n, &n->groups[g], (uint16_t)(n->groups[g].first + i));
        }
    }
    cluster_snapshot_unref(s);
    ck_sound(&w);
    ck_assert_uint_eq(stats(&w).tampered, 0);
    ck_assert_uint_eq(stats(&w).repairs, 0);
    ck_assert_uint_eq(stats(&w).fail_closed, 0);
}

static const struct score_trait *trait_at(const struct score_node *n, uint16_t device)
{
    for (uint16_t g = 0; g < n->groups_n; g++)
        if (n->groups[g].traits && device >= n->groups[g].first &&
            device < n->groups[g].first + n->groups[g].n)
            return &n->groups[g].traits[device - n->groups[g].first];
    return NULL;
}

/* Each bit is held by one pod at most (without it, it is not held), and by none that it is charged
 * to. */
static void compare_holds(void)
{
    for (int node = 0; node < NODES; node++) {
        struct cluster_snapshot *s = cluster_store_snapshot(w.st);
        const struct cluster_node *n = cluster_snapshot_find(s, named("n", node));
        struct score_extra all[SCORE_DEVICES_MAX], but[SCORE_DEVICES_MAX];
        int own[SCORE_DEVICES_MAX] = {0};
        const bool any = cluster_hold_extra(w.st, n, STR(""), false, 0, all, NULL);
        for (int i = 0; any && i < PODS; i++) {
            if (lives[i].state != WAITING)
                continue;
            if (!cluster_hold_extra(w.st, n, lives[i].pod.uid, false, 0, but, NULL))
                memset(but, 0, sizeof(but));
            for (uint16_t d = 0; d < n->score.devices_n; d++)
                own[d] += __builtin_popcountll(all[d].bits_set & ~but[d].bits_set);
        }
        for (uint16_t d = 0; any && d < n->score.devices_n; d++) {
            const struct score_trait *t = trait_at(&n->score, d);
            ck_assert_int_eq(own[d], __builtin_popcountll(all[d].bits_set));
            ck_assert(!t ? all[d].bits_set == 0 : !(all[d].bits_set & t->bits_used));
            bits_held += (unsigned)own[d];
        }
        cluster_snapshot_unref(s);
    }
}

static void restart(void)
{
    for (int i = 0; i < PODS; i++)
        if (lives[i].state == ASSUMED || lives[i].state == CONFIRMED)
            show(i);
    compare();
    world_restart(&w);
    const int from = (int)chance(PODS);
    const bool nodes_first = chance(2);
    for (int node = 0; nodes_first && node < NODES; node++)
        put_all_cards(node);
    for (int k = 0; k < PODS; k++) {
        const int i = (from + k) % PODS;
        if (lives[i].state == BOUND)
            show(i);
        else if (lives[i].state == WAITING)
            apply(&lives[i].pod);
    }
    for (int node = 0; !nodes_first && node < NODES; node++)
        put_all_cards(node);
}

static void step(void)
{
    const int i = (int)chance(PODS);
    struct life *l = &lives[i];
    switch (l->state) {
    case NONE:
        random_pod(i);
        return;
    case WAITING:
        if (chance(2))
            hold(i);
        else
            decide(i);
        return;
    case ASSUMED:
        if (chance(4) == 0) {
            cluster_forget(w.st, l->pod.uid);
            l->state = WAITING;
        } else if (chance(2)) {
            cluster_confirm(w.st, l->pod.uid);
            l->state = CONFIRMED;
        } else {
            show(i);
        }
        return;
    case CONFIRMED:
        show(i);
        return;
    case BOUND:
        if (chance(2))
            show(i); /* said again */
        else {
            cluster_delete_pod(w.st, l->pod.uid);
            l->state = NONE;
        }
        return;
    }
}

START_TEST(lives_of_every_row)
{
    const char *seed = getenv("PROP_SEED");
    const uint64_t start = seed ? strtoull(seed, NULL, 10) : 1000 + (uint64_t)_i;
    rng = start * 0x9e3779b97f4a7c15u + 1;
    printf("PROP_SEED=%llu\n", (unsigned long long)start);
    memset(lives, 0, sizeof(lives));
    bits_held = 0;
    for (int node = 0; node < NODES; node++)
        put_all_cards(node);
    for (int k = 0; k < 400; k++) {
        step();
        if (k % 8 == 0)
            compare();
        if (k % 16 == 0)
            compare_holds();
        if (k % 130 == 129)
            restart();
    }
    restart();
    compare();
    for (int i = 0; i < PODS; i++)
        if (lives[i].state != NONE) {
            cluster_delete_pod(w.st, lives[i].pod.uid);
            lives[i].state = NONE;
        }
    compare(); /* all is given back */
    ck_assert_msg(bits_held > 0, "nobody held a slice");
}
END_TEST

void check_cluster_rows(Suite *suite)
{
    TCase *tc = tcase_create("rows");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, lives_of_every_row, 0, 4);
    suite_add_tcase(suite, tc);
}
