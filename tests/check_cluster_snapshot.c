/* Snapshots, simulated nodes, the memory of classes, and lists for people. */
#include "check_cluster.h"

#include <string.h>

static struct world w;
static void setup(void) { world_open(&w); }
static void teardown(void) { world_close(&w); }

START_TEST(snapshots_do_not_change)
{
    struct cluster_snapshot *empty = cluster_store_snapshot(w.st);
    ck_assert_uint_eq(cluster_snapshot_nodes(empty), 0);
    ck_assert_ptr_null(cluster_snapshot_find(empty, STR("n1")));
    ck_assert_ptr_null(cluster_snapshot_at(empty, 0));
    for (int i = 0; i < 200; i++)
        NODE(&w, fmt(&w, "n%d", i), .list = cards(&w, "a", 0, 1));
    struct cluster_snapshot *before = cluster_store_snapshot(w.st);
    struct cluster_snapshot *again = cluster_store_snapshot(w.st);
    ck_assert_msg(before == again, "nothing has changed: shared");
    cluster_snapshot_unref(again);
    const struct cluster_node *n7 = cluster_snapshot_find(before, STR("n7"));
    POD(&w, "p1", .node = "n7", .gpu = "1", .mem = "100", .allocated = "GPU-a0,NVIDIA,100,1:;");
    cluster_delete_node(w.st, STR("n8"), STR(""));
    NODE(&w, "later", .list = cards(&w, "a", 0, 1));
    struct cluster_snapshot *after = cluster_store_snapshot(w.st);
    ck_assert_int_eq(n7->score.devices[0].mem_used_mib, 0);
    ck_assert_int_eq(cluster_snapshot_find(after, STR("n7"))->score.devices[0].mem_used_mib, 100);
    ck_assert_ptr_nonnull(cluster_snapshot_find(before, STR("n8")));
    ck_assert_ptr_null(cluster_snapshot_find(after, STR("n8")));
    ck_assert_ptr_null(cluster_snapshot_find(before, STR("later")));
    ck_assert_ptr_nonnull(cluster_snapshot_find(after, STR("later")));
    ck_assert_msg(cluster_snapshot_find(before, STR("n100")) ==
                      cluster_snapshot_find(after, STR("n100")),
                  "shared");
    ck_assert_uint_eq(cluster_snapshot_nodes(after), 200);
    ck_assert_uint_ge(cluster_snapshot_slots(after), 200);
    const struct cluster_node *n9 = cluster_snapshot_find(after, STR("n9"));
    ck_assert_ptr_eq(cluster_snapshot_at(after, n9->slot), n9);
    ck_assert_uint_eq((uintptr_t)n9->score.devices % 64, 0);
    cluster_snapshot_unref(empty);
    cluster_snapshot_unref(before);
    /* a snapshot outlives the store */
    struct err err;
    cluster_store_free(w.st);
    ck_assert(str_eq(cluster_snapshot_find(after, STR("n7"))->score.name, STR("n7")));
    uint32_t n;
    ck_assert(str_eq(cluster_snapshot_types(after, &n)[0], STR("")));
    ck_assert_uint_eq(n, 3);
    cluster_snapshot_unref(after);
    ck_assert(!cluster_store_new(&w.cfg, &w.st, &err));
}
END_TEST

START_TEST(many_names_at_once)
{
    enum { NAMES = 150 }; /* every third is a node, one stands there twice */
    struct str names[NAMES];
    const struct cluster_node *found[NAMES];
    for (int i = 0; i < NAMES; i++) {
        names[i] = str_z(fmt(&w, "n%d", i));
        if (i % 3 == 0)
            NODE(&w, fmt(&w, "n%d", i), .list = cards(&w, "a", 0, 1));
    }
    names[NAMES - 1] = STR("n3");
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    for (size_t n = 0; n <= NAMES; n++) {
        memset(found, 0xff, sizeof(found));
        cluster_snapshot_find_all(s, names, n, found);
        for (size_t i = 0; i < n; i++)
            ck_assert_msg(found[i] == cluster_snapshot_find(s, names[i]), "%zu of %zu", i, n);
    }
    ck_assert_ptr_nonnull(found[NAMES - 1]);
    ck_assert_ptr_null(found[1]);
    cluster_snapshot_unref(s);
}
END_TEST

START_TEST(sums_of_groups)
{
    NODE(&w, "n1", .list = cards(&w, "a", 0, 2), .acme = cards(&w, "z", 0, 1));
    POD(&w, "p1", .node = "n1", .gpu = "1", .mem = "100", .allocated = "GPU-a0,NVIDIA,100,1:;");
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    const struct score_node *n = &cluster_snapshot_find(s, STR("n1"))->score;
    ck_assert_uint_eq(n->groups_n, 2);
    ck_assert(n->groups[0].mem_total_mib == 2 * 24576 && n->groups[0].mem_used_mib == 100);
    ck_assert(n->groups[0].shares_total == 20 && n->groups[0].shares_used == 1);
    ck_assert(n->groups[0].cores_total_pct == 200 && n->groups[0].cores_used_pct == 1);
    ck_assert(n->groups[1].vendor == ACME && n->groups[1].first == 2 && n->groups[1].n == 1);
    ck_assert_int_eq(n->groups[1].mem_used_mib, 0);
    cluster_snapshot_unref(s);
}
END_TEST

START_TEST(selectors)
{
    static const struct str SELECTOR[] = {STR_INIT("gpu"), STR_INIT("on")};
    struct err err;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    POD(&w, "p1", .node = "n1", .gpu = "1", .mem = "100", .allocated = "GPU-a0,NVIDIA,100,1:;");
    w.cfg.node_selector = SELECTOR;
    w.cfg.node_selector_n = 2;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1)); /* no longer matched */
    ck_use(&w, "n1", "GPU-a0", "no node");
    w.cfg.node_selector_n = 0;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    ck_use(&w, "n1", "GPU-a0", "1/100/1");
    (void)err;
}
END_TEST

START_TEST(too_many_types)
{
    struct err err;
    struct vendor_device d[2] = {{.id = STR("a"), .count = 1, .healthy = true},
                                 {.id = STR("b"), .index = 1, .count = 1, .healthy = true}};
    struct cluster_node_cards c = {.devices = d, .devices_n = 2, .alive = true};
    struct cluster_node_object o = {.uid = STR("u"), .cards = &c, .cards_n = 1};
    for (int i = 0; i < SCORE_TYPES_MAX; i++) {
        o.name = str_z(fmt(&w, "n%d", i));
        d[0].type = str_z(fmt(&w, "type %d", i));
        ck_assert(!cluster_apply_node(w.st, &o, &err));
    }
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    const struct cluster_node *last = cluster_snapshot_find(s, o.name);
    ck_assert(last->score.devices[0].flags & SCORE_DEVICE_UNHEALTHY);
    ck_assert(!(last->score.devices[1].flags & SCORE_DEVICE_UNHEALTHY));
    ck_assert_uint_eq(last->broken_n, 1);
    uint32_t n;
    cluster_snapshot_types(s, &n);
    ck_assert_uint_eq(n, SCORE_TYPES_MAX);
    cluster_snapshot_unref(s);
}
END_TEST

START_TEST(broken_registration)
{
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    POD(&w, "p1", .node = "n1", .gpu = "1", .mem = "100", .allocated = "GPU-a0,NVIDIA,100,1:;");
    NODE(&w, "n1", .list = "[null]");
    ck_use(&w, "n1", "GPU-a0", "no card");
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    ck_assert_uint_eq(cluster_snapshot_find(s, STR("n1"))->broken_n, 1);
    cluster_snapshot_unref(s);
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    ck_use(&w, "n1", "GPU-a0", "1/100/1");
}
END_TEST

static struct cluster_node_object object(const char *name, const char *uid, const char *list)
{
    struct cluster_node_object o;
    struct err err;
    struct buf b;
    buf_init(&b, 1 << 20);
    buf_json(&b, str_z(list));
    size_t n;
    char *text = buf_take(&b, &n);
    const char *json =
        fmt(&w,
            "{\"metadata\":{\"name\":\"%s\",\"uid\":\"%s\",\"annotations\":{"
            "\"hami.io/node-nvidia-register\":%s}},\"status\":{\"allocatable\":{\"nvidia.com/"
            "gpu\":9}}}",
            name, uid, text);
    free(text);
    ck_assert(!cluster_node_decode(&w.cfg, str_z(json), true, w.arena, &o, &err));
    return o;
}

START_TEST(simulated)
{
    struct err err;
    struct cluster_node n;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 2));
    POD(&w, "p1", .node = "n1", .gpu = "1", .mem = "100", .allocated = "GPU-a1,NVIDIA,100,1:;");
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    /* the object's inventory, the ledger's use */
    struct cluster_node_object o = object("n1", "uid-n1", cards(&w, "a", 1, 2));
    ck_assert(!cluster_snapshot_simulate(s, &w.cfg, &o, w.arena, &n, &err));
    ck_assert_uint_eq(n.score.devices_n, 2);
    ck_assert(str_eq(n.score.devices[0].uuid, STR("GPU-a1")) &&
              n.score.devices[0].mem_used_mib == 100);
    ck_assert(n.score.groups[0].mem_used_mib == 100 &&
              n.score.groups[0].mem_total_mib == 2 * 24576);
    ck_assert_ptr_eq(n.score.types, cluster_snapshot_types(s, &(uint32_t){0}));
    /* another node of that name: nobody uses it; types of its own */
    o = object("n1", "other", "[{\"id\":\"GPU-a1\",\"type\":\"new\",\"count\":1,\"health\":true}]");
    ck_assert(!cluster_snapshot_simulate(s, &w.cfg, &o, w.arena, &n, &err));
    ck_assert_int_eq(n.score.devices[0].mem_used_mib, 0);
    ck_assert(str_eq(n.score.types[n.score.devices[0].type], STR("new")));
    /* a vendor that is closed there */
    POD(&w, "p2", .node = "n1", .gpu = "1");
    cluster_snapshot_unref(s);
    s = cluster_store_snapshot(w.st);
    o = object("n1", "uid-n1", cards(&w, "a", 0, 1));
    ck_assert(!cluster_snapshot_simulate(s, &w.cfg, &o, w.arena, &n, &err));
    ck_assert(n.score.groups[0].closed);
    cluster_snapshot_unref(s);
}
END_TEST

/* ---- classes ---- */

START_TEST(classes)
{
    struct err err;
    for (int i = 0; i < 70; i++)
        NODE(&w, fmt(&w, "n%d", i), .list = cards(&w, "a", 0, 1));
    struct cluster_pod p =
        pod_of(&w, (struct t_pod){"p", .gpu = "1", .mem = "4000", .cores = "10"});
    struct cluster_pod q =
        pod_of(&w, (struct t_pod){"q", .gpu = "1", .mem = "4001", .cores = "10"});
    struct score_prepared prep, prep_q;
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    uint32_t n;
    const struct str *types = cluster_snapshot_types(s, &n);
    ck_assert(!score_prepare(&p.request, types, n, w.arena, &prep, &err));
    ck_assert(!score_prepare(&q.request, types, n, w.arena, &prep_q, &err));
    struct cluster_class *first = cluster_class_get(w.st, &p.request),
                         *c = cluster_class_get(w.st, &p.request);
    ck_assert_ptr_eq(first, c);
    struct cluster_class *other = cluster_class_get(w.st, &q.request);
    ck_assert_msg(other != c, "another amount is another class");
    struct score_quota quota = {.mem_set = true, .mem_left_mib = 1};
    struct score_request limited = p.request;
    limited.quotas = &quota;
    limited.quotas_n = 1;
    struct cluster_class *third = cluster_class_get(w.st, &limited);
    ck_assert_msg(third != c, "so is another quota");
    struct score_verdict a, b;
    for (int round = 0; round < 3; round++)
        for (uint32_t slot = 0; slot < cluster_snapshot_slots(s); slot++) {
            const struct cluster_node *node = cluster_snapshot_at(s, slot);
            cluster_class_check(c, &prep, node, &a);
            score_node_check(&prep, &node->score, NULL, &b);
            ck_assert(a.fits == b.fits && a.score == b.score && a.reasons == b.reasons &&
                      a.unresolvable == b.unresolvable);
        }
    /* many at once say the same, known ones, unknown ones and none */
    const struct cluster_node *list[80] = {NULL};
    static struct score_verdict all[80];
    for (uint32_t slot = 0; slot < 70; slot++)
        list[slot + slot / 8] = cluster_snapshot_at(s, slot);
    for (int with = 0; with < 2; with++) {
        memset(all, 0xff, sizeof(all));
        cluster_class_check_all(with ? c : NULL, &prep, list, 80, all);
        for (int i = 0; i < 80; i++)
            if (list[i]) {
                score_node_check(&prep, &list[i]->score, NULL, &b);
                ck_assert(all[i].fits == b.fits && all[i].score == b.score &&
                          all[i].reasons == b.reasons);
            } else {
                ck_assert_msg(all[i].score == -1, "skipped");
            }
    }
    /* it remembers: a question that would be answered otherwise is not asked */
    const struct cluster_node *node = cluster_snapshot_at(s, 0);
    struct score_device full = node->score.devices[0];
    full.shares_used = full.shares_total;
    struct score_node changed = node->score;
    changed.devices = &full;
    struct cluster_node pretend = *node;
    pretend.score = changed;
    cluster_class_check(c, &prep, &pretend, &a);
    ck_assert_msg(a.fits, "same slot, same generation");
    pretend.generation++;
    cluster_class_check(c, &prep, &pretend, &a);
    ck_assert_msg(!a.fits && a.reasons == SCORE_BIT(SCORE_CARD_TIME_SLICING_EXHAUSTED),
                  "a new generation");
    cluster_class_check(c, &prep, &pretend, &a);
    ck_assert_msg(!a.fits && a.reasons == SCORE_BIT(SCORE_CARD_TIME_SLICING_EXHAUSTED),
                  "a refusal is remembered whole");
    pretend.generation = (uint64_t)1 << 32 | pretend.generation;
    pretend.score = node->score;
    cluster_class_check(c, &prep, &pretend, &a);
    ck_assert_msg(a.fits, "another epoch");
    cluster_class_check(NULL, &prep, node, &a);
    ck_assert(a.fits);
    /* many classes: the oldest go, those in use live on */
    for (int i = 0; i < 200; i++) {
        struct score_request r = p.request;
        struct score_ask ask = r.asks[0];
        ask.mem_mib = i + 1;
        r.asks = &ask;
        cluster_class_unref(cluster_class_get(w.st, &r));
    }
    cluster_class_check(c, &prep, node, &a);
    ck_assert(a.fits);
    cluster_class_unref(first);
    cluster_class_unref(c);
    cluster_class_unref(other);
    cluster_class_unref(third);
    cluster_class_unref(NULL);
    cluster_snapshot_unref(s);
}
END_TEST

/* ---- lists ---- */

START_TEST(lists_of_pods)
{
    struct cluster_pod_view *v;
    size_t n;
    bool more;
    struct err err;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    for (int i = 0; i < 10; i++)
        POD(&w, fmt(&w, "p%d", 9 - i), .ns = i % 2 ? "a" : "b", .node = i < 8 ? "n1" : NULL,
            .gpu = "1", .mem = "10", .allocated = "GPU-a0,NVIDIA,10,1:;");
    ck_assert(
        !cluster_list_pods(w.st, STR(""), STR(""), STR(""), 100, w.arena, &v, &n, &more, &err));
    ck_assert(n == 10 && !more);
    for (size_t i = 1; i < n; i++)
        ck_assert(str_cmp(v[i - 1].ns, v[i].ns) < 0 ||
                  (str_eq(v[i - 1].ns, v[i].ns) && str_cmp(v[i - 1].name, v[i].name) < 0));
    ck_assert(str_eq(v[0].ns, STR("a")) && str_eq(v[0].name, STR("p0")));
    ck_assert(v[0].state == CLUSTER_STATE_WAITING && v[0].node.n == 0 && v[0].shares_n == 0);
    ck_assert(v[1].state == CLUSTER_STATE_BOUND && str_eq(v[1].shares[0].uuid, STR("GPU-a0")));
    ck_assert(str_eq(v[1].share_containers[0], STR("main")));
    /* page by page the same */
    struct str ns = STR(""), name = STR("");
    size_t all = 0;
    do {
        struct cluster_pod_view *page;
        ck_assert(!cluster_list_pods(w.st, STR(""), ns, name, 3, w.arena, &page, &n, &more, &err));
        for (size_t i = 0; i < n; i++, all++)
            ck_assert(str_eq(page[i].uid, v[all].uid));
        ns = page[n - 1].ns;
        name = page[n - 1].name;
    } while (more);
    ck_assert_uint_eq(all, 10);
    ck_assert(
        !cluster_list_pods(w.st, STR("n1"), STR(""), STR(""), 100, w.arena, &v, &n, &more, &err));
    ck_assert_uint_eq(n, 8);
    ck_assert(
        !cluster_list_pods(w.st, STR("n1"), STR(""), STR(""), 0, w.arena, &v, &n, &more, &err));
    ck_assert(n == 0 && more);
}
END_TEST

START_TEST(lists_of_quotas)
{
    struct cluster_quota_view *v;
    size_t n;
    struct err err;
    put_quota(&w, "b", "q", "100", "5");
    put_quota(&w, "a", "q", "7", NULL);
    POD(&w, "p", .ns = "b", .node = "n1", .gpu = "1", .mem = "10",
        .allocated = "GPU-a0,NVIDIA,10,1:;");
    ck_assert(!cluster_list_quotas(w.st, 10, w.arena, &v, &n, &err));
    ck_assert_uint_eq(n, 3);
    ck_assert(str_eq(v[0].ns, STR("a")) && v[0].mem && v[0].limit == 7 && v[0].used == 0);
    ck_assert(str_eq(v[1].ns, STR("b")) && v[1].mem && v[1].limit_set && v[1].limit == 100 &&
              v[1].used == 10);
    ck_assert(!v[2].mem && v[2].limit == 5 && v[2].used == 1);
    ck_assert(!cluster_list_quotas(w.st, 1, w.arena, &v, &n, &err));
    ck_assert_uint_eq(n, 1);
}
END_TEST

void check_cluster_snapshot(Suite *suite)
{
    TCase *tc = tcase_create("snapshot");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, snapshots_do_not_change);
    tcase_add_test(tc, many_names_at_once);
    tcase_add_test(tc, sums_of_groups);
    tcase_add_test(tc, selectors);
    tcase_add_test(tc, too_many_types);
    tcase_add_test(tc, broken_registration);
    tcase_add_test(tc, simulated);
    tcase_add_test(tc, classes);
    tcase_add_test(tc, lists_of_pods);
    tcase_add_test(tc, lists_of_quotas);
    suite_add_tcase(suite, tc);
}
