/* Holds: who is held where, for how long, and against whom. */
#include "check_cluster.h"

static struct world w;
static struct cluster_snapshot *snap;
static void setup(void)
{
    world_open(&w);
    for (int i = 1; i <= 20; i++)
        NODE(&w, fmt(&w, "n%d", i), .list = cards(&w, "a", 0, 2));
    snap = cluster_store_snapshot(w.st);
}
static void teardown(void)
{
    cluster_snapshot_unref(snap);
    world_close(&w);
}

static const struct cluster_node *node(const char *name)
{
    const struct cluster_node *n = cluster_snapshot_find(snap, str_z(name));
    ck_assert_ptr_nonnull(n);
    return n;
}

static struct score_placement place(uint16_t device, int64_t mem)
{
    return (struct score_placement){.parts_n = 1,
                                    .parts = {{.device = device, .mem_mib = mem, .cores_pct = 10}}};
}

static struct cluster_pod pod(const char *uid, const char *nominated)
{
    struct t_pod p = {.uid = uid, .gpu = "1", .mem = "100", .cores = "10"};
    if (nominated)
        p.status = fmt(&w, "\"nominatedNodeName\":\"%s\",", nominated);
    return pod_of(&w, p);
}

/* Holds 100 MiB of card 0 on nodes n1…n<n>. */
static void hold(const struct cluster_pod *p, int n, bool certain, int64_t now_ms)
{
    static struct score_placement at;
    struct cluster_hold holds[20];
    at = place(0, 100);
    for (int i = 0; i < n; i++)
        holds[i] = (struct cluster_hold){node(fmt(&w, "n%d", i + 1)), &at};
    cluster_hold(w.st, p, holds, (uint16_t)n, certain, now_ms);
}

static int64_t held(const char *on, const char *except, bool certain_only, int64_t now_ms)
{
    struct score_extra extra[4] = {{0}};
    uint32_t likely = 99;
    bool any =
        cluster_hold_extra(w.st, node(on), str_z(except), certain_only, now_ms, extra, &likely);
    ck_assert(any || extra[0].mem_mib == 0);
    ck_assert_int_eq(extra[0].shares * 100, extra[0].mem_mib);
    ck_assert_int_eq(extra[0].cores_pct * 10, extra[0].mem_mib);
    return extra[0].mem_mib;
}

START_TEST(who)
{
    struct cluster_pod a = pod("a", NULL), b = pod("b", NULL);
    hold(&a, 2, false, 0);
    hold(&b, 1, true, 0);
    ck_assert_int_eq(held("n1", "", false, 1), 200);
    ck_assert_int_eq(held("n1", "a", false, 1), 100);
    ck_assert_int_eq(held("n1", "", true, 1), 100);
    ck_assert_int_eq(held("n2", "", true, 1), 0);
    ck_assert_int_eq(held("n2", "", false, 1), 100);
    ck_assert_int_eq(held("n3", "", false, 1), 0);
    struct score_extra extra[4];
    uint32_t likely = 0;
    ck_assert(!cluster_hold_extra(w.st, node("n2"), STR(""), true, 1, extra, &likely));
    ck_assert_msg(likely == 1, "likely ones are counted all the same");
    (void)cluster_hold_extra(w.st, node("n1"), STR(""), true, 1, extra, &likely);
    ck_assert_msg(likely == CLUSTER_HOLD_NODES_MAX, "a's first is its likeliest, b's is certain");
    ck_assert_uint_eq(cluster_holds_count(w.st), 3);
}
END_TEST

START_TEST(replaced_and_dropped)
{
    struct cluster_pod a = pod("a", NULL);
    hold(&a, 5, false, 0);
    hold(&a, 1, true, 10);
    ck_assert_int_eq(held("n1", "", true, 11), 100);
    ck_assert_msg(held("n2", "", false, 11) == 0, "its next filter replaces them");
    ck_assert_uint_eq(cluster_holds_count(w.st), 1);
    hold(&a, 0, false, 20);
    ck_assert_int_eq(held("n1", "", false, 21), 0);
    hold(&a, 2, false, 30);
    cluster_hold_drop(w.st, STR("a"));
    cluster_hold_drop(w.st, STR("a"));
    ck_assert_uint_eq(cluster_holds_count(w.st), 0);
    hold(&a, 20, false, 40);
    ck_assert_uint_eq(cluster_holds_count(w.st), CLUSTER_HOLD_NODES_MAX);
}
END_TEST

START_TEST(ages)
{
    struct cluster_pod a = pod("a", NULL);
    hold(&a, 1, true, 1000);
    hold(&a, 1, true, 20000); /* no more time */
    ck_assert_int_eq(held("n1", "", false, 30999), 100);
    ck_assert_int_eq(held("n1", "", false, 31000), 0);
    hold(&a, 1, true, 31000);
    ck_assert_msg(held("n1", "", false, 31000) == 0, "the pause");
    hold(&a, 1, true, 90999);
    ck_assert_int_eq(held("n1", "", false, 91000), 0);
    hold(&a, 1, true, 91000);
    ck_assert_msg(held("n1", "", false, 91000) == 100, "after it");
    ck_assert_int_eq(held("n1", "", false, 121000), 0);
    /* filters that fitted nowhere use up none of the time */
    struct cluster_pod b = pod("b", NULL);
    hold(&b, 0, false, 200000);
    hold(&b, 1, true, 229000);
    ck_assert_int_eq(held("n1", "", false, 258000), 100);
}
END_TEST

START_TEST(ends)
{
    struct err err;
    struct cluster_pod a = pod("a", NULL);
    ck_assert(!cluster_apply_pod(w.st, &a, &err));
    hold(&a, 3, false, 0);
    ck_assert(!assume(&w, &a, "n1", &err));
    ck_assert_msg(cluster_holds_count(w.st) == 0, "one charge in the place of all");
    cluster_forget(w.st, STR("a"));
    hold(&a, 3, false, 100000);
    ck_assert_msg(held("n1", "", false, 129999) == 100,
                  "counted from the first filter since its last bind");
    POD(&w, "a", .gpu = "1", .phase = "Failed");
    ck_assert_uint_eq(cluster_holds_count(w.st), 0);
    hold(&a, 3, false, 100000);
    POD(&w, "a", .gpu = "1", .node = "n9");
    ck_assert_uint_eq(cluster_holds_count(w.st), 0);
    hold(&a, 3, false, 100000);
    cluster_delete_pod(w.st, STR("a"));
    ck_assert_uint_eq(cluster_holds_count(w.st), 0);
}
END_TEST

START_TEST(nominated)
{
    struct cluster_pod a = pod("a", "n2");
    hold(&a, 3, false, 0);
    ck_assert_int_eq(held("n1", "", false, 30000), 0);
    ck_assert_int_eq(held("n2", "", false, 30000), 100);
    struct cluster_pod b = pod("b", NULL);
    hold(&b, 0, false, 40000); /* sweeps */
    ck_assert_uint_eq(cluster_holds_count(w.st), 1);
    hold(&a, 3, false, 50000); /* a repeat within the pause keeps it */
    ck_assert_int_eq(held("n2", "", false, 599999), 100);
    ck_assert_int_eq(held("n2", "", false, 600000), 0);
    /* against a higher priority only the usual time counts */
    struct cluster_pod c = pod("c", "n5");
    c.priority = 10;
    hold(&c, 5, false, 1000000);
    struct score_extra extra[4];
    struct cluster_hold_query q = {.except_uid = STR(""), .priority = 11, .now_ms = 1000001};
    ck_assert(cluster_hold_extra_for(w.st, node("n5"), &q, extra, NULL));
    q.now_ms = 1040000;
    ck_assert(!cluster_hold_extra_for(w.st, node("n5"), &q, extra, NULL));
    q.priority = 10;
    ck_assert(cluster_hold_extra_for(w.st, node("n5"), &q, extra, NULL));
}
END_TEST

START_TEST(cards_move)
{
    struct cluster_pod a = pod("a", NULL);
    struct score_placement at = place(1, 100); /* GPU-a1 */
    struct cluster_hold h = {node("n1"), &at};
    cluster_hold(w.st, &a, &h, 1, true, 0);
    NODE(&w, "n1", .list = cards(&w, "a", 1, 2)); /* GPU-a1 is the first now */
    NODE(&w, "n2", .list = cards(&w, "b", 0, 2));
    cluster_snapshot_unref(snap);
    snap = cluster_store_snapshot(w.st);
    struct score_extra extra[4] = {{0}};
    ck_assert(cluster_hold_extra(w.st, node("n1"), STR(""), false, 1, extra, NULL));
    ck_assert_int_eq(extra[0].mem_mib, 100);
    ck_assert_int_eq(extra[1].mem_mib, 0);
    /* another node in the same slot has nothing of it */
    uint32_t slot = node("n1")->slot;
    cluster_delete_node(w.st, STR("n1"), STR(""));
    NODE(&w, "new", .list = cards(&w, "a", 1, 2));
    cluster_snapshot_unref(snap);
    snap = cluster_store_snapshot(w.st);
    ck_assert_uint_eq(node("new")->slot, slot);
    ck_assert_int_eq(held("new", "", false, 1), 0);
}
END_TEST

START_TEST(quota)
{
    struct score_quota left[SCORE_VENDORS_MAX];
    put_quota(&w, "ml", "q", "1000", "100");
    struct cluster_pod a = pod("a", NULL), b = pod("b", NULL);
    hold(&a, 5, false, 0); /* on five nodes, but it will take one */
    hold(&b, 1, true, 0);
    cluster_quota_left(w.st, STR("ml"), STR("c"), 1, left);
    ck_assert(left[0].mem_left_mib == 800 && left[0].cores_left_pct == 80);
    cluster_quota_left(w.st, STR("ml"), STR("a"), 1, left);
    ck_assert_int_eq(left[0].mem_left_mib, 900);
    cluster_quota_left(w.st, STR("ml"), STR("c"), 30000, left);
    ck_assert_int_eq(left[0].mem_left_mib, 1000);
}
END_TEST

START_TEST(bind_finds_the_newer)
{
    struct cluster_pod a = pod("a", NULL);
    ck_assert_ptr_null(cluster_pod_find(w.st, STR("ml"), STR("a"), STR("a")));
    a.resource_version = STR("9");
    hold(&a, 1, true, 0); /* filter was ahead of the watch */
    struct cluster_pod *f = cluster_pod_find(w.st, STR("ml"), STR("a"), STR("a"));
    ck_assert(str_eq(f->resource_version, STR("9")));
    free(f);
    struct err err;
    a.resource_version = STR("10");
    ck_assert(!cluster_apply_pod(w.st, &a, &err));
    f = cluster_pod_find(w.st, STR("ml"), STR("a"), STR("a"));
    ck_assert(str_eq(f->resource_version, STR("10")));
    free(f);
    a.resource_version = STR("8");
    ck_assert(!cluster_apply_pod(w.st, &a, &err));
    f = cluster_pod_find(w.st, STR("ml"), STR("a"), STR("a"));
    ck_assert_msg(str_eq(f->resource_version, STR("10")), "an older one comes too late");
    free(f);
    ck_assert_ptr_null(cluster_pod_find(w.st, STR("ml"), STR("other"), STR("a")));
    ck_assert_ptr_null(cluster_pod_find(w.st, STR("other"), STR("a"), STR("a")));
}
END_TEST

START_TEST(at_most)
{
    struct score_placement at = place(0, 1);
    struct cluster_hold holds[16];
    for (int i = 0; i < 16; i++)
        holds[i] = (struct cluster_hold){node(fmt(&w, "n%d", i + 1)), &at};
    struct cluster_pod p = pod("x", NULL);
    for (int i = 0; i < CLUSTER_HOLDS_MAX / 16 + 10; i++) {
        p.uid = str_z(fmt(&w, "p%d", i));
        cluster_hold(w.st, &p, holds, 16, false, i / 100);
    }
    ck_assert_uint_eq(cluster_holds_count(w.st), CLUSTER_HOLDS_MAX);
    ck_assert_uint_eq(stats(&w).holds_dropped, 160);
    struct score_extra extra[4];
    ck_assert(cluster_hold_extra(w.st, node("n1"), STR("x"), false, 100, extra, NULL));
    ck_assert_int_eq(extra[0].shares, CLUSTER_HOLDS_MAX / 16);
    /* everything is over some day */
    p.uid = STR("late");
    for (int i = 0; i < 2000; i++)
        cluster_hold(w.st, &p, holds, 1, true, 1000000);
    ck_assert_uint_eq(cluster_holds_count(w.st), 1);
}
END_TEST

void check_cluster_hold(Suite *suite)
{
    TCase *tc = tcase_create("hold");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, who);
    tcase_add_test(tc, replaced_and_dropped);
    tcase_add_test(tc, ages);
    tcase_add_test(tc, ends);
    tcase_add_test(tc, nominated);
    tcase_add_test(tc, cards_move);
    tcase_add_test(tc, quota);
    tcase_add_test(tc, bind_finds_the_newer);
    tcase_add_test(tc, at_most);
    suite_add_tcase(suite, tc);
}
