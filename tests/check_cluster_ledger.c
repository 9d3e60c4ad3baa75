/* The ledger, story by story: what counts, what frees, and what others wrote. */
#include "check_cluster.h"

#include "cluster/priv.h"

static struct world w;
static void setup(void) { world_open(&w); }
static void teardown(void) { world_close(&w); }

#define LIST_A "GPU-a0,NVIDIA,4000,10:;"
/* a pod that HAMi placed on GPU-a0 of node n1 */
#define HAMI .node = "n1", .gpu = "1", .mem = "4000", .cores = "10", .allocated = LIST_A

static struct cluster_pod waiting(const char *uid, const char *mem, const char *cores)
{
    struct t_pod p = {.uid = uid, .gpu = "1", .mem = mem, .cores = cores};
    put_pod(&w, p);
    return pod_of(&w, p);
}

START_TEST(bound_pods_count)
{
    NODE(&w, "n1", .list = cards(&w, "a", 0, 2));
    ck_use(&w, "n1", "GPU-a0", "0/0/0");
    POD(&w, "p1", HAMI);
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    ck_use(&w, "n1", "GPU-a1", "0/0/0");
    uint64_t g = generation(&w, "n1");
    POD(&w, "p1", HAMI); /* said again: nothing changes */
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    ck_assert_uint_eq(generation(&w, "n1"), g);
    POD(&w, "p1", HAMI, .phase = "Running");
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    ck_assert_str_eq(quota_use(&w, "ml"), "4000/10");
    cluster_delete_pod(w.st, STR("p1"));
    ck_use(&w, "n1", "GPU-a0", "0/0/0");
    ck_assert_str_eq(quota_use(&w, "ml"), "0/0");
}
END_TEST

#define ENDED    "\"containerStatuses\":[{\"name\":\"main\",\"state\":{\"terminated\":{}}}],"
#define RUNS     "\"containerStatuses\":[{\"name\":\"main\",\"state\":{\"running\":{}}}],"
#define DELETING "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\","
static const struct {
    const char *name, *phase, *meta, *status;
    bool frees;
} ENDS[] = {
    {"Succeeded", "Succeeded", NULL, NULL, true},
    {"Failed", "Failed", NULL, NULL, true},
    {"a deletion timestamp alone", "Running", DELETING, RUNS, false},
    {"a deletion timestamp and no status", "Running", DELETING, NULL, false},
    {"a crash between restarts", "Running", NULL, ENDED, false},
    {"deleting and every container terminated", "Running", DELETING, ENDED, true},
    {"an empty status", NULL, NULL, NULL, false},
    {"an unknown phase", "Unknown", NULL, NULL, false},
};

START_TEST(ends)
{
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    POD(&w, "p1", HAMI, .phase = "Running", .status = RUNS);
    POD(&w, "p1", HAMI, .phase = ENDS[_i].phase, .meta = ENDS[_i].meta, .status = ENDS[_i].status);
    ck_assert_msg(strcmp(use(&w, "n1", "GPU-a0"), ENDS[_i].frees ? "0/0/0" : "1/4000/10") == 0,
                  "%s", ENDS[_i].name);
    ck_assert_str_eq(quota_use(&w, "ml"), ENDS[_i].frees ? "0/0" : "4000/10");
}
END_TEST

START_TEST(core_defect_c6_unbound_annotations_do_not_count)
{
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    POD(&w, "p1", .gpu = "1", .mem = "4000", .allocated = LIST_A);
    ck_use(&w, "n1", "GPU-a0", "0/0/0");
    ck_assert_uint_eq(stats(&w).pods_waiting, 1);
}
END_TEST

/* Who is gated waits, and nobody asks about it until its gates are gone. */
START_TEST(gated_pods_are_told_apart)
{
    POD(&w, "p1", .gpu = "1");
    POD(&w, "p2", .gpu = "1", .meta = "\"resourceVersion\":\"1\",",
        .spec = "\"schedulingGates\":[{\"name\":\"queue\"}],");
    ck_assert_uint_eq(stats(&w).pods_waiting, 2);
    ck_assert_uint_eq(stats(&w).pods_gated, 1);
    POD(&w, "p2", .gpu = "1", .meta = "\"resourceVersion\":\"2\",");
    ck_assert_uint_eq(stats(&w).pods_waiting, 2);
    ck_assert_uint_eq(stats(&w).pods_gated, 0);
}
END_TEST

START_TEST(core_defect_s2_tenants_cannot_block_cards)
{
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    POD(&w, "p1", .node = "n1", .allocated = LIST_A); /* asks for nothing */
    ck_use(&w, "n1", "GPU-a0", "0/0/0");
    POD(&w, "p2", .node = "n1", .allocated = "GPU-a0,NVIDIA,-100000,-100:;");
    ck_use(&w, "n1", "GPU-a0", "0/0/0");
    ck_assert_uint_eq(stats(&w).fail_closed, 0);
    /* the list of another vendor than the one it asks for */
    POD(&w, "p3", .node = "n1", .allocated = LIST_A,
        .containers = "[{\"name\":\"m\",\"resources\":{\"limits\":{\"acme.example/npu\":1}}}]");
    ck_use(&w, "n1", "GPU-a0", "0/0/0");
}
END_TEST

START_TEST(a_card_is_node_and_uuid)
{
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    NODE(&w, "n2", .list = cards(&w, "a", 0, 1)); /* a forged UUID */
    POD(&w, "p1", HAMI);
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    ck_use(&w, "n2", "GPU-a0", "0/0/0");
}
END_TEST

START_TEST(the_larger_of_annotation_and_ask)
{
    NODE(&w, "n1", .list = cards(&w, "a", 0, 4));
    POD(&w, "p1", .node = "n1", .gpu = "1", .mem = "4000", .cores = "10",
        .allocated = "GPU-a0,NVIDIA,1,0:;");
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    POD(&w, "p2", .node = "n1", .gpu = "1", .mem = "4000", .cores = "10",
        .allocated = "GPU-a1,NVIDIA,5000,20:;");
    ck_use(&w, "n1", "GPU-a1", "1/5000/20");
    POD(&w, "p3", .node = "n1", .gpu = "1",
        .allocated = "GPU-a2,NVIDIA,1,0:;"); /* a whole card: percent of it */
    ck_use(&w, "n1", "GPU-a2", "1/24576/0");
    POD(&w, "p4", .node = "n1", .gpu = "1", .mem = "100",
        .allocated = "GPU-a3,NVIDIA,100,0:GPU-a3,NVIDIA,200,0:;");
    ck_use(&w, "n1", "GPU-a3", "2/300/0"); /* names more than it asks for */
    ck_assert_uint_eq(stats(&w).fail_closed, 0);
}
END_TEST

static const struct {
    const char *name, *allocated, *gpu, *want;
} CLOSED[] = {
    {"no list", NULL, "1", "0/0/0 closed"},
    {"an empty list", "", "1", "0/0/0 closed"},
    {"broken", "GPU-a0,NVIDIA", "1", "0/0/0 closed"},
    {"negative", "GPU-a0,NVIDIA,-1,0:;", "1", "0/0/0 closed"},
    {"too few", LIST_A, "2", "1/4000/10 closed"},
    {"the ask can't be read", LIST_A, "-1", "1/4000/10 closed"},
    {"more containers than the pod has", ";;GPU-a0,NVIDIA,1,1:;", "1", "0/0/0 closed"},
    {"enough", LIST_A, "1", "1/4000/10"},
};

START_TEST(fail_closed)
{
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1), .acme = cards(&w, "z", 0, 1));
    POD(&w, "p1", .node = "n1", .gpu = CLOSED[_i].gpu, .mem = "4000", .cores = "10",
        .allocated = CLOSED[_i].allocated);
    ck_assert_msg(strcmp(use(&w, "n1", "GPU-a0"), CLOSED[_i].want) == 0, "%s: %s", CLOSED[_i].name,
                  use(&w, "n1", "GPU-a0"));
    ck_use(&w, "n1", "GPU-z0", "0/0/0"); /* the other vendor stays open */
    bool closed = strstr(CLOSED[_i].want, "closed");
    ck_assert_uint_eq(stats(&w).fail_closed, closed);
    struct cluster_pod_view v = view_of(&w, "p1");
    ck_assert_int_eq(v.fail_closed, closed);
    ck_assert_int_eq(v.shares[v.shares_n - 1].uuid.n == 0, closed);
    /* until it ends, whatever its annotations become */
    POD(&w, "p1", .node = "n1", .gpu = CLOSED[_i].gpu, .mem = "4000", .cores = "10",
        .allocated = LIST_A);
    ck_assert_str_eq(use(&w, "n1", "GPU-a0"), CLOSED[_i].want);
    POD(&w, "p1", .node = "n1", .gpu = CLOSED[_i].gpu, .phase = "Failed");
    ck_use(&w, "n1", "GPU-a0", "0/0/0");
}
END_TEST

START_TEST(decisions)
{
    struct err err;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    struct cluster_pod p = waiting("p1", "4000", "10");
    ck_assert(!assume(&w, &p, "n1", &err));
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    ck_assert_str_eq(quota_use(&w, "ml"), "4000/10");
    char node[64];
    ck_assert_int_eq(cluster_pod_state(w.st, STR("p1"), node, sizeof(node)), CLUSTER_STATE_ASSUMED);
    ck_assert_str_eq(node, "n1");
    ck_assert_uint_eq(stats(&w).assumed, 1);
    /* forgotten once, and once more */
    cluster_forget(w.st, STR("p1"));
    ck_use(&w, "n1", "GPU-a0", "0/0/0");
    ck_assert_str_eq(quota_use(&w, "ml"), "0/0");
    cluster_forget(w.st, STR("p1"));
    cluster_confirm(w.st, STR("p1"));
    ck_use(&w, "n1", "GPU-a0", "0/0/0");
    ck_assert_int_eq(cluster_pod_state(w.st, STR("p1"), NULL, 0), CLUSTER_STATE_WAITING);
    struct cluster_pod *found = cluster_pod_find(w.st, STR("ml"), STR("p1"), STR("p1"));
    ck_assert_msg(found, "bind finds it still");
    free(found);
    /* confirmed: forget comes too late */
    ck_assert(!assume(&w, &p, "n1", &err));
    cluster_confirm(w.st, STR("p1"));
    cluster_forget(w.st, STR("p1"));
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    ck_assert_int_eq(cluster_pod_state(w.st, STR("p1"), NULL, 0), CLUSTER_STATE_BOUND);
    waiting("p1", "4000", "10"); /* an older event */
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    POD(&w, "p1", HAMI);
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    ck_assert_uint_eq(stats(&w).tampered, 0);
    cluster_delete_pod(w.st, STR("p1"));
    ck_use(&w, "n1", "GPU-a0", "0/0/0");
}
END_TEST

START_TEST(the_watch_was_faster)
{
    struct err err;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    struct cluster_pod p = waiting("p1", "4000", "10");
    ck_assert(!assume(&w, &p, "n1", &err));
    POD(&w, "p1", HAMI);
    cluster_forget(w.st, STR("p1")); /* it was bound all the same */
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    cluster_confirm(w.st, STR("p1"));
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    ck_assert_uint_eq(stats(&w).assumed, 0);
    ck_assert_msg(!view_of(&w, "p1").fail_closed && view_of(&w, "p1").shares_n == 1, "one charge");
}
END_TEST

/* Another process of ours, before a restart or a change of leaders, was first on the same node. */
START_TEST(bound_by_others_on_our_node)
{
    struct err err;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 2));
    struct cluster_pod p = waiting("p1", "4000", "10");
    ck_assert(!assume(&w, &p, "n1", &err));
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    POD(&w, "p1", .node = "n1", .gpu = "1", .mem = "4000", .cores = "10",
        .allocated = "GPU-a1,NVIDIA,4000,10:;");
    ck_use(&w, "n1", "GPU-a0", "0/0/0");
    ck_use(&w, "n1", "GPU-a1", "1/4000/10");
    ck_assert_uint_eq(stats(&w).tampered, 0);
    cluster_confirm(w.st, STR("p1"));
    cluster_forget(w.st, STR("p1"));
    ck_use(&w, "n1", "GPU-a1", "1/4000/10");
    /* without a list nobody knows which */
    p = waiting("p2", "4000", "10");
    ck_assert(!assume(&w, &p, "n1", &err));
    POD(&w, "p2", .node = "n1", .gpu = "1", .mem = "4000", .cores = "10");
    ck_assert(view_of(&w, "p2").fail_closed);
    ck_assert_uint_eq(stats(&w).tampered + stats(&w).repairs, 0);
}
END_TEST

/* The same, told by a GET before the watch does. */
START_TEST(adopted)
{
    struct err err;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 2));
    struct cluster_pod bound =
        pod_of(&w, (struct t_pod){"p1", .node = "n1", .gpu = "1", .mem = "4000", .cores = "10",
                                  .allocated = "GPU-a1,NVIDIA,4000,10:;"});
    ck_assert(!cluster_adopt(w.st, &bound, &err));
    ck_assert_msg(stats(&w).pods == 0, "no decision of ours: the watch tells");
    struct cluster_pod p = waiting("p1", "4000", "10");
    ck_assert(!cluster_adopt(w.st, &bound, &err));
    ck_use(&w, "n1", "GPU-a1", "0/0/0");
    ck_assert(!assume(&w, &p, "n1", &err));
    cluster_relist_begin(w.st, CLUSTER_PODS);
    ck_assert(!cluster_adopt(w.st, &bound, &err));
    cluster_relist_end(w.st, CLUSTER_PODS); /* older than the pod */
    cluster_confirm(w.st, STR("p1"));
    ck_use(&w, "n1", "GPU-a0", "0/0/0");
    ck_use(&w, "n1", "GPU-a1", "1/4000/10");
    ck_assert_int_eq(cluster_pod_state(w.st, STR("p1"), NULL, 0), CLUSTER_STATE_BOUND);
    /* ours after all */
    p = waiting("p2", "100", "0");
    ck_assert(!assume(&w, &p, "n1", &err));
    struct cluster_share s = view_of(&w, "p2").shares[0];
    const char *on = use(&w, "n1", fmt(&w, STR_FMT, STR_ARG(s.uuid)));
    bound =
        pod_of(&w, (struct t_pod){"p2", .node = "n1", .gpu = "1", .mem = "100", .cores = "0",
                                  .allocated = fmt(&w, STR_FMT ",NVIDIA,%lld,%d:;", STR_ARG(s.uuid),
                                                   (long long)s.mem_mib, s.cores_pct)});
    ck_assert(!cluster_adopt(w.st, &bound, &err));
    cluster_forget(w.st, STR("p2"));
    ck_use(&w, "n1", fmt(&w, STR_FMT, STR_ARG(s.uuid)), on);
    cluster_delete_pod(w.st, STR("p1"));
    ck_assert(!cluster_adopt(w.st, &bound, &err));
    ck_use(&w, "n1", "GPU-a1", str_eq(s.uuid, STR("GPU-a1")) ? "1/100/0" : "0/0/0");
    ck_assert_uint_eq(stats(&w).tampered + stats(&w).repairs, 0);
}
END_TEST

START_TEST(core_defect_c8_the_truth_wins_over_an_earlier_decision)
{
    struct err err;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    NODE(&w, "n2", .list = cards(&w, "b", 0, 1));
    struct cluster_pod p = waiting("p1", "4000", "10");
    ck_assert(!assume(&w, &p, "n1", &err));
    POD(&w, "p1", .node = "n2", .gpu = "1", .mem = "4000", .cores = "10",
        .allocated = "GPU-b0,NVIDIA,4000,10:;");
    ck_use(&w, "n1", "GPU-a0", "0/0/0"); /* the truth wins */
    ck_use(&w, "n2", "GPU-b0", "1/4000/10");
    cluster_forget(w.st, STR("p1"));
    ck_use(&w, "n2", "GPU-b0", "1/4000/10");
    ck_assert_str_eq(quota_use(&w, "ml"), "4000/10");
}
END_TEST

START_TEST(refused_decisions)
{
    struct err err;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    NODE(&w, "n2", .list = cards(&w, "b", 0, 1));
    struct cluster_pod p = waiting("p1", "20000", "10"), q = waiting("p2", "20000", "10");
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    const struct cluster_node *n1 = cluster_snapshot_find(s, STR("n1"));
    struct score_placement place = {.parts_n = 1, .parts = {{.mem_mib = 20000, .cores_pct = 10}}};
    struct cluster_decision d = {&q, n1, &place};
    ck_assert(!assume(&w, &p, "n1", &err));
    ck_assert_msg(cluster_assume(w.st, s, &d, &err) == ERR_CONFLICT,
                  "the node has changed since the snapshot");
    ck_use(&w, "n1", "GPU-a0", "1/20000/10");
    ck_assert_int_eq(assume(&w, &p, "n2", &err), ERR_INVALID);
    ck_assert(str_contains(str_z(err.text), STR("n1")));
    d.pod = &p;
    ck_assert_msg(!cluster_assume(w.st, s, &d, &err), "the same decision again");
    ck_use(&w, "n1", "GPU-a0", "1/20000/10");
    place.parts[0].mem_mib = 10;
    ck_assert_int_eq(cluster_assume(w.st, s, &d, &err), ERR_INVALID);
    cluster_snapshot_unref(s);
    /* a card that is no longer where the decision saw it */
    s = cluster_store_snapshot(w.st);
    place.parts[0].mem_mib = 10;
    d = (struct cluster_decision){&q, cluster_snapshot_find(s, STR("n2")), &place};
    NODE(&w, "n2", .list = cards(&w, "b", 1, 1));
    ck_assert_int_eq(cluster_assume(w.st, s, &d, &err), ERR_CONFLICT);
    cluster_snapshot_unref(s);
    /* a placement that does not fit the node as it is */
    s = cluster_store_snapshot(w.st);
    d = (struct cluster_decision){&q, cluster_snapshot_find(s, STR("n1")), &place};
    place.parts[0].mem_mib = 20000;
    ck_assert_int_eq(cluster_assume(w.st, s, &d, &err), ERR_CONFLICT);
    /* ended, deleted, bound, gone */
    d.node = cluster_snapshot_find(s, STR("n2"));
    struct cluster_pod gone = q;
    gone.phase = CLUSTER_FAILED;
    d.pod = &gone;
    ck_assert_int_eq(cluster_assume(w.st, s, &d, &err), ERR_INVALID);
    gone = q;
    gone.deleting = true;
    ck_assert_int_eq(cluster_assume(w.st, s, &d, &err), ERR_INVALID);
    d.pod = &q;
    POD(&w, "p2", .gpu = "1", .mem = "20000", .cores = "10", .meta = DELETING);
    ck_assert_int_eq(cluster_assume(w.st, s, &d, &err), ERR_INVALID);
    POD(&w, "p2", .gpu = "1", .node = "n1");
    ck_assert_int_eq(cluster_assume(w.st, s, &d, &err), ERR_INVALID);
    cluster_delete_pod(w.st, STR("p2"));
    cluster_delete_node(w.st, STR("n2"), STR(""));
    ck_assert_int_eq(cluster_assume(w.st, s, &d, &err), ERR_CONFLICT);
    cluster_snapshot_unref(s);
}
END_TEST

/* Two questions at once see the same last share, and the same rest of a quota. */
START_TEST(core_defect_c34_one_snapshot_gives_a_share_once)
{
    struct err err;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    NODE(&w, "n2", .list = cards(&w, "b", 0, 1));
    put_quota(&w, "ml", "q", "20000", NULL);
    struct cluster_pod p = waiting("p1", "20000", "10"), q = waiting("p2", "20000", "10"),
                       r = pod_of(&w, (struct t_pod){.uid = "p3",
                                                     .ns = "other",
                                                     .gpu = "1",
                                                     .mem = "20000",
                                                     .cores = "10"});
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    struct score_placement place = {.parts_n = 1, .parts = {{.mem_mib = 20000, .cores_pct = 10}}};
    struct cluster_decision d = {&p, cluster_snapshot_find(s, STR("n1")), &place};
    ck_assert(!cluster_assume(w.st, s, &d, &err));
    d.pod = &r;
    ck_assert_msg(cluster_assume(w.st, s, &d, &err) == ERR_CONFLICT, "the card is taken");
    d = (struct cluster_decision){&q, cluster_snapshot_find(s, STR("n2")), &place};
    ck_assert_msg(cluster_assume(w.st, s, &d, &err) == ERR_CONFLICT, "the quota is");
    cluster_snapshot_unref(s);
    ck_use(&w, "n1", "GPU-a0", "1/20000/10");
    ck_use(&w, "n2", "GPU-b0", "0/0/0");
}
END_TEST

/* The last known object of a deletion that nobody saw may lack what HAMi frees by. */
START_TEST(core_defect_c35_an_end_needs_no_annotations)
{
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    for (int missed = 0; missed < 2; missed++) {
        POD(&w, "p1", HAMI);
        POD(&w, "p1", .node = "n1", .gpu = "1", .mem = "4000", .cores = "10");
        ck_use(&w, "n1", "GPU-a0", "1/4000/10");
        if (missed) { /* a list without it */
            cluster_relist_begin(w.st, CLUSTER_PODS);
            cluster_relist_end(w.st, CLUSTER_PODS);
        } else {
            cluster_delete_pod(w.st, STR("p1"));
        }
        ck_use(&w, "n1", "GPU-a0", "0/0/0");
        ck_assert_str_eq(quota_use(&w, "ml"), "0/0");
        ck_assert_uint_eq(stats(&w).pods, 0);
    }
}
END_TEST

/* Seen as added again, with another allocation: cards and quota are charged as one. */
START_TEST(core_defect_c45_quota_follows_the_cards)
{
    NODE(&w, "n1", .list = cards(&w, "a", 0, 2));
    NODE(&w, "n2", .list = cards(&w, "b", 0, 1));
    POD(&w, "p1", HAMI);
    ck_assert_str_eq(quota_use(&w, "ml"), "4000/10");
    POD(&w, "p1", .node = "n2", .gpu = "1", .mem = "5000", .cores = "20",
        .allocated = "GPU-b0,NVIDIA,5000,20:;");
    ck_use(&w, "n1", "GPU-a0", "0/0/0");
    ck_use(&w, "n2", "GPU-b0", "1/5000/20");
    ck_assert_str_eq(quota_use(&w, "ml"), "5000/20");
    cluster_delete_pod(w.st, STR("p1"));
    POD(&w, "p1", .node = "n1", .gpu = "1", .mem = "6000", .cores = "30",
        .allocated = "GPU-a1,NVIDIA,6000,30:;");
    ck_use(&w, "n1", "GPU-a1", "1/6000/30");
    ck_use(&w, "n2", "GPU-b0", "0/0/0");
    ck_assert_str_eq(quota_use(&w, "ml"), "6000/30");
    cluster_delete_pod(w.st, STR("p1"));
    ck_assert_str_eq(quota_use(&w, "ml"), "0/0");
}
END_TEST

/* What nobody is in and nothing limits is forgotten, and comes back as if it had never been. */
START_TEST(core_defect_c44_namespaces_and_nodes_are_forgotten)
{
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    for (int i = 0; i < 3; i++) {
        const char *ns = fmt(&w, "ns-%d", i);
        put_quota(&w, ns, "q", "100", NULL);
        POD(&w, "p1", .ns = ns, HAMI);
        ck_assert_ptr_nonnull(ledger_space_find(w.st, str_z(ns)));
        cluster_delete_pod(w.st, STR("p1"));
        ck_assert_ptr_nonnull(ledger_space_find(w.st, str_z(ns)));
        cluster_delete_quota(w.st, str_z(ns), STR("q"));
        ck_assert_ptr_null(ledger_space_find(w.st, str_z(ns)));
    }
    cluster_delete_node(w.st, STR("n1"), STR(""));
    ck_assert_ptr_null(ledger_entry_find(w.st, STR("n1")));
}
END_TEST

/* HAMi builds all usage anew for each call, and every 15 s from every registration. */
START_TEST(core_defect_p1_p4_what_did_not_change_is_shared)
{
    struct cluster_snapshot *s[3];
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    NODE(&w, "n2", .list = cards(&w, "b", 0, 1));
    s[0] = cluster_store_snapshot(w.st);
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1)); /* the same once more */
    s[1] = cluster_store_snapshot(w.st);
    ck_assert_ptr_eq(s[0], s[1]);
    POD(&w, "p1", HAMI);
    s[2] = cluster_store_snapshot(w.st);
    ck_assert_ptr_ne(cluster_snapshot_find(s[2], STR("n1")),
                     cluster_snapshot_find(s[1], STR("n1")));
    ck_assert_ptr_eq(cluster_snapshot_find(s[2], STR("n2")),
                     cluster_snapshot_find(s[1], STR("n2")));
    for (int i = 0; i < 3; i++)
        cluster_snapshot_unref(s[i]);
}
END_TEST

START_TEST(core_defect_c17_the_tightest_of_several_quotas_counts)
{
    struct err err;
    struct score_quota left[SCORE_VENDORS_MAX];
    NODE(&w, "n1", .list = cards(&w, "a", 0, 2));
    ck_assert_uint_eq(cluster_quota_left(w.st, STR("ml"), STR(""), 0, left), 0);
    put_quota(&w, "ml", "q1", "8000", NULL);
    put_quota(&w, "ml", "q2", "9000", "50"); /* the tightest of several counts */
    ck_assert_uint_eq(cluster_quota_left(w.st, STR("ml"), STR(""), 0, left), 1);
    ck_assert(left[0].mem_set && left[0].mem_left_mib == 8000 && left[0].cores_left_pct == 50);
    struct cluster_pod p = waiting("p1", "4000", "10"), q = waiting("p2", "4001", "10"),
                       r = waiting("p3", "4000", "41");
    ck_assert(!assume(&w, &p, "n1", &err));
    ck_assert_msg(assume(&w, &q, "n1", &err) == ERR_CONFLICT, "one MiB over");
    ck_assert_msg(assume(&w, &r, "n1", &err) == ERR_CONFLICT, "one percent over");
    ck_assert_uint_eq(cluster_quota_left(w.st, STR("ml"), STR("p1"), 0, left), 1);
    ck_assert_msg(left[0].mem_left_mib == 8000, "its own use is given back");
    cluster_quota_left(w.st, STR("ml"), STR("p2"), 0, left);
    ck_assert(left[0].mem_left_mib == 4000 && left[0].cores_left_pct == 40);
    struct cluster_pod exact = waiting("p4", "4000", "40");
    ck_assert_msg(!assume(&w, &exact, "n1", &err), "exactly full");
    cluster_delete_quota(w.st, STR("ml"), STR("q1"));
    cluster_quota_left(w.st, STR("ml"), STR(""), 0, left);
    ck_assert(left[0].mem_left_mib == 1000 && left[0].cores_left_pct == 0);
    cluster_delete_quota(w.st, STR("ml"), STR("q2"));
    ck_assert_uint_eq(cluster_quota_left(w.st, STR("ml"), STR(""), 0, left), 0);
    put_quota(&w, "ml", "q1", "much", NULL); /* unreadable: nothing more */
    cluster_quota_left(w.st, STR("ml"), STR(""), 0, left);
    ck_assert_int_eq(left[0].mem_left_mib, -8000);
}
END_TEST

#define TWO_STEPS                                                                                  \
    .spec = "\"initContainers\":[{\"name\":\"side\",\"restartPolicy\":\"Always\",\"resources\":{"  \
            "\"limits\":"                                                                          \
            "{\"nvidia.com/gpu\":1,\"nvidia.com/gpumem\":1000,\"nvidia.com/gpucores\":5}}},"       \
            "{\"name\":\"init\",\"resources\":{\"limits\":{\"nvidia.com/gpu\":1,\"nvidia.com/"     \
            "gpumem\":20000,"                                                                      \
            "\"nvidia.com/gpucores\":60}}}],",                                                     \
    .gpu = "1", .mem = "8000", .cores = "20"

START_TEST(core_defect_c31_peaks_of_init_stay)
{
    struct err err;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    struct t_pod t = {"p1", TWO_STEPS};
    put_pod(&w, t);
    struct cluster_pod p = pod_of(&w, t);
    ck_assert(!assume(&w, &p, "n1", &err));
    /* the init step beside the sidecar: 21000 MiB and 65 %, two shares */
    ck_use(&w, "n1", "GPU-a0", "2/21000/65");
    ck_assert_str_eq(quota_use(&w, "ml"), "21000/65");
    t.node = "n1";
    t.allocated = "GPU-a0,NVIDIA,1000,5:;GPU-a0,NVIDIA,20000,60:;GPU-a0,NVIDIA,8000,20:;";
    put_pod(&w, t);
    ck_use(&w, "n1", "GPU-a0", "2/21000/65");
    t.phase = "Running"; /* init is over; a sandbox that starts again runs it again */
    t.status = RUNS;
    put_pod(&w, t);
    ck_use(&w, "n1", "GPU-a0", "2/21000/65");
    ck_assert_uint_eq(stats(&w).tampered, 0);
    struct cluster_pod_view v = view_of(&w, "p1");
    ck_assert_int_eq(v.shares_n, 3);
    ck_assert(str_eq(v.share_containers[0], STR("side")) &&
              str_eq(v.share_containers[2], STR("main")));
    /* from annotations alone the same */
    cluster_delete_pod(w.st, STR("p1"));
    put_pod(&w, t);
    ck_use(&w, "n1", "GPU-a0", "2/21000/65");
}
END_TEST

START_TEST(tampered)
{
    struct err err;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 2));
    struct cluster_pod p = waiting("p1", "4000", "10");
    ck_assert(!assume(&w, &p, "n1", &err));
    const char *on = use(&w, "n1", "GPU-a0");
    cluster_confirm(w.st, STR("p1"));
    POD(&w, "p1", .node = "n1", .gpu = "1", .mem = "4000", .cores = "10",
        .allocated = "GPU-a1,NVIDIA,1,0:;");
    ck_use(&w, "n1", "GPU-a0", on); /* our charge stays */
    ck_assert_uint_eq(stats(&w).tampered, 1);
    ck_assert(view_of(&w, "p1").tampered);
    POD(&w, "p1", .node = "n1", .gpu = "1", .mem = "4000", .cores = "10");
    ck_use(&w, "n1", "GPU-a0", on);
    ck_assert_msg(stats(&w).tampered == 1, "a pod is counted once");
    /* of pods that others placed, what was seen first stands as well */
    POD(&w, "p2", .node = "n1", .gpu = "1", .mem = "100", .allocated = "GPU-a1,NVIDIA,100,0:;");
    const char *a1 = use(&w, "n1", "GPU-a1");
    POD(&w, "p2", .node = "n1", .gpu = "1", .mem = "100", .allocated = "GPU-a0,NVIDIA,100,0:;");
    ck_use(&w, "n1", "GPU-a1", a1);
    ck_assert_uint_eq(stats(&w).tampered, 2);
    cluster_relist_begin(w.st, CLUSTER_PODS);
    POD(&w, "p1", .node = "n1", .gpu = "1", .mem = "4000", .cores = "10");
    POD(&w, "p2", .node = "n1", .gpu = "1", .mem = "100", .allocated = "GPU-a0,NVIDIA,100,0:;");
    cluster_relist_end(w.st, CLUSTER_PODS);
    ck_use(&w, "n1", "GPU-a1", a1);
    ck_assert_uint_eq(stats(&w).repairs, 0);
}
END_TEST

static uint32_t asked(uint16_t at, int64_t mem_mib)
{
    struct cluster_ask_shape asks[CLUSTER_ASKS_MAX];
    uint16_t n = cluster_recent_asks(w.st, asks);
    for (uint16_t i = 1; i < n; i++)
        ck_assert_uint_le(asks[i].n, asks[i - 1].n);
    return at < n && asks[at].mem_mib == mem_mib ? asks[at].n : 0;
}

START_TEST(recent_asks)
{
    struct err err;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 3));
    for (int i = 0; i < 3; i++)
        POD(&w, fmt(&w, "p%d", i), .gpu = "1", .mem = i ? "2000" : "1000", .cores = "7");
    ck_assert_uint_eq(asked(0, 2000), 2);
    ck_assert_uint_eq(asked(1, 1000), 1);
    POD(&w, "p1", .gpu = "1", .mem = "2000", .cores = "7"); /* known */
    struct cluster_pod known = waiting("p2", "2000", "7"), ahead = waiting("p3", "1000", "7");
    ck_assert(!assume(&w, &known, "n1", &err));
    ck_assert(!assume(&w, &ahead, "n1", &err)); /* of the watch: which shows it later */
    POD(&w, "p3", .node = "n1", .gpu = "1", .mem = "1000", .cores = "7",
        .allocated = "GPU-a0,NVIDIA,1000,7:;");
    POD(&w, "p4", .node = "n1", .gpu = "1", .mem = "9000", .cores = "7",
        .allocated = "GPU-a0,NVIDIA,9000,7:;"); /* bound long ago */
    ck_assert_uint_eq(asked(0, 2000), 2);
    ck_assert_uint_eq(asked(1, 1000), 2);
    ck_assert_uint_eq(asked(2, 9000), 0);
    for (int i = 0; i < 100; i++) /* more shapes than there are places: the rarest make room */
        POD(&w, fmt(&w, "q%d", i), .gpu = "1", .mem = fmt(&w, "%d", 3000 + i), .cores = "7");
    ck_assert_uint_eq(asked(0, 2000), 2);
    ck_assert_uint_eq(asked(CLUSTER_ASKS_MAX - 1, 3099), 1);
    char many[64 * 128] = "["; /* yesterday's come to nothing */
    for (int i = 0; i < 64; i++)
        strcat(many, i ? ",{\"name\":\"c\",\"resources\":{\"limits\":{\"nvidia.com/"
                         "gpu\":1,\"nvidia.com/gpumem\":500}}}"
                       : "{\"name\":\"c\",\"resources\":{\"limits\":{\"nvidia.com/"
                         "gpu\":1,\"nvidia.com/gpumem\":500}}}");
    strcat(many, "]");
    for (int i = 0; i < 128; i++)
        POD(&w, fmt(&w, "r%d", i), .containers = many);
    struct cluster_ask_shape asks[CLUSTER_ASKS_MAX];
    ck_assert_uint_eq(cluster_recent_asks(w.st, asks), 1);
    ck_assert(asks[0].mem_mib == 500 && asks[0].n >= 2048 && asks[0].n < 4096);
}
END_TEST

START_TEST(restart)
{
    struct err err;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 3));
    const char *before[3];
    for (int i = 0; i < 6; i++) {
        struct cluster_pod p = waiting(fmt(&w, "p%d", i), fmt(&w, "%d", 1000 * (i + 1)), "7");
        ck_assert(!assume(&w, &p, "n1", &err));
    }
    for (int i = 0; i < 3; i++)
        before[i] = use(&w, "n1", fmt(&w, "GPU-a%d", i));
    const char *list[6];
    for (int i = 0; i < 6; i++) {
        struct cluster_share s = view_of(&w, fmt(&w, "p%d", i)).shares[0];
        list[i] = fmt(&w, STR_FMT ",NVIDIA,%lld,%d:;", STR_ARG(s.uuid), (long long)s.mem_mib,
                      s.cores_pct);
    }
    const char *quota = quota_use(&w, "ml");
    cluster_store_free(w.st);
    ck_assert(!cluster_store_new(&w.cfg, &w.st, &err));
    for (int i = 0; i < 6; i++) /* pods before nodes, as lists may come */
        POD(&w, fmt(&w, "p%d", i), .node = "n1", .gpu = "1", .mem = fmt(&w, "%d", 1000 * (i + 1)),
            .cores = "7", .allocated = list[i]);
    NODE(&w, "n1", .list = cards(&w, "a", 0, 3));
    for (int i = 0; i < 3; i++)
        ck_use(&w, "n1", fmt(&w, "GPU-a%d", i), before[i]);
    ck_assert_str_eq(quota_use(&w, "ml"), quota);
}
END_TEST

START_TEST(nodes_come_and_go)
{
    NODE(&w, "n1", .list = cards(&w, "a", 0, 2));
    POD(&w, "p1", HAMI);
    POD(&w, "p2", .node = "n1", .gpu = "1", .mem = "1",
        .allocated = "GPU-a2,NVIDIA,1,0:;"); /* unknown yet */
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    cluster_delete_node(w.st, STR("n1"), STR("another"));
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    cluster_delete_node(w.st, STR("n1"), STR("uid-n1"));
    ck_use(&w, "n1", "GPU-a0", "no node");
    ck_assert_uint_eq(stats(&w).nodes, 0);
    ck_assert_uint_eq(stats(&w).pods_charged, 2);
    NODE(&w, "n1", .list = cards(&w, "a", 1, 2)); /* one fewer, one more */
    ck_use(&w, "n1", "GPU-a0", "no card");
    ck_use(&w, "n1", "GPU-a2", "1/1/0");
    NODE(&w, "n1", .list = cards(&w, "a", 0, 3));
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    cluster_delete_pod(w.st, STR("p1"));
    cluster_delete_pod(w.st, STR("p2"));
    cluster_delete_node(w.st, STR("n1"), STR("uid-n1"));
    ck_assert_uint_eq(stats(&w).pods, 0);
}
END_TEST

START_TEST(percent_follows_the_card)
{
    POD(&w, "p1", .node = "n1", .allocated = "GPU-a0,NVIDIA,10,0:;",
        .containers = "[{\"name\":\"m\",\"resources\":{\"limits\":{\"nvidia.com/gpu\":1,"
                      "\"nvidia.com/gpumem-percentage\":50}}}]");
    ck_assert_str_eq(quota_use(&w, "ml"), "10/0");
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    ck_use(&w, "n1", "GPU-a0", "1/12288/0");
    ck_assert_str_eq(quota_use(&w, "ml"), "12288/0");
    NODE(&w, "n1",
         .list = "[{\"id\":\"GPU-a0\",\"count\":10,\"devmem\":1000,\"devcore\":100,\"type\":\"t\","
                 "\"health\":true}]");
    ck_use(&w, "n1", "GPU-a0", "1/500/0");
    cluster_delete_node(w.st, STR("n1"), STR(""));
    ck_assert_str_eq(quota_use(&w, "ml"), "10/0");
}
END_TEST

START_TEST(core_defect_p7_generations_follow_the_set)
{
    const char *a = "{\"id\":\"GPU-a0\",\"count\":10,\"devmem\":100,\"devcore\":100,\"type\":\"t\","
                    "\"health\":true}";
    const char *b = "{\"id\":\"GPU-a1\",\"index\":1,\"count\":10,\"devmem\":100,\"devcore\":100,"
                    "\"type\":\"t\",\"health\":true}";
    NODE(&w, "n1", .list = fmt(&w, "[%s,%s]", a, b));
    uint64_t g = generation(&w, "n1");
    NODE(&w, "n1", .list = fmt(&w, "[%s,%s]", b, a));
    ck_assert_msg(generation(&w, "n1") == g, "the same list in new order");
    NODE(&w, "n1", .list = fmt(&w, "[%s,%s]", b, a), .lock = "t,ml,p1", .uid = "other");
    ck_assert_msg(generation(&w, "n1") == g, "a lock decides nothing");
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    ck_assert(str_eq(cluster_snapshot_find(s, STR("n1"))->lock, STR("t,ml,p1")));
    cluster_snapshot_unref(s);
    POD(&w, "cpu", .node = "n1", .cpu = "3");
    s = cluster_store_snapshot(w.st);
    ck_assert_int_eq(cluster_snapshot_find(s, STR("n1"))->score.cpu_used_milli, 3000);
    cluster_snapshot_unref(s);
    ck_assert_msg(generation(&w, "n1") == g, "nor does CPU");
    NODE(&w, "n1", .list = fmt(&w, "[%s]", a));
    ck_assert_uint_gt(generation(&w, "n1"), g);
    g = generation(&w, "n1");
    NODE(&w, "n1", .list = fmt(&w, "[%s]", a), .cordon = " GPU-a0 ,");
    ck_use(&w, "n1", "GPU-a0", "0/0/0 cordoned");
    ck_assert_uint_gt(generation(&w, "n1"), g);
    NODE(&w, "n1", .list = fmt(&w, "[%s]", a), .alloc = "0");
    ck_use(&w, "n1", "GPU-a0", "0/0/0 unhealthy");
    g = generation(&w, "n1");
    cluster_delete_node(w.st, STR("n1"), STR(""));
    NODE(&w, "n1", .list = fmt(&w, "[%s]", a), .alloc = "0");
    ck_assert_msg(generation(&w, "n1") > g, "generations never repeat");
}
END_TEST

START_TEST(lent)
{
    struct err err;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    POD(&w, "p1", .node = "n1", .gpu = "1", .mem = "20000", .allocated = "GPU-a0,NVIDIA,20000,0:;");
    POD(&w, "p2", .node = "n1", .gpu = "1", .mem = "20000", .allocated = "GPU-a0,NVIDIA,20000,0:;");
    ck_use(&w, "n1", "GPU-a0", "2/40000/0 lent");
    ck_assert_uint_eq(stats(&w).lent, 1);
    struct cluster_pod p = waiting("p3", "1", "0");
    ck_assert_int_eq(assume(&w, &p, "n1", &err), ERR_UNAVAILABLE);
    cluster_delete_pod(w.st, STR("p1"));
    ck_use(&w, "n1", "GPU-a0", "1/20000/0");
}
END_TEST

/* A bind that comes after the pod's deletion was seen leaves nothing behind. */
START_TEST(forgotten_after_the_end)
{
    struct err err;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    struct cluster_pod p = waiting("p1", "4000", "10");
    cluster_delete_pod(w.st, STR("p1"));
    ck_assert(!assume(&w, &p, "n1", &err));
    cluster_forget(w.st, STR("p1"));
    ck_use(&w, "n1", "GPU-a0", "0/0/0");
    ck_assert_uint_eq(stats(&w).pods, 0);
}
END_TEST

START_TEST(relists)
{
    struct err err;
    NODE(&w, "n1", .list = cards(&w, "a", 0, 2));
    NODE(&w, "n2", .list = cards(&w, "b", 0, 2));
    POD(&w, "p1", HAMI);
    POD(&w, "p2", HAMI);
    POD(&w, "c1", .node = "n1", .cpu = "1");
    POD(&w, "c2", .node = "n1", .cpu = "1");
    struct cluster_pod p3 = waiting("p3", "100", "0"), p4 = waiting("p4", "100", "0"),
                       p5 = waiting("p5", "100", "0");
    ck_assert(!assume(&w, &p3, "n2", &err)); /* in flight */
    ck_assert(!assume(&w, &p4, "n2", &err));
    ck_assert(!assume(&w, &p5, "n2", &err));
    cluster_confirm(w.st, STR("p4")); /* answered before the list began */
    cluster_relist_begin(w.st, CLUSTER_PODS);
    cluster_confirm(w.st, STR("p5")); /* and while it went on */
    POD(&w, "p1", HAMI);
    POD(&w, "c1", .node = "n1", .cpu = "1");
    ck_use(&w, "n1", "GPU-a0", "2/8000/20"); /* nothing goes before the end */
    cluster_relist_end(w.st, CLUSTER_PODS);
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    ck_assert_uint_eq(stats(&w).pods, 4);
    ck_assert_int_eq(cluster_pod_state(w.st, STR("c2"), NULL, 0), CLUSTER_STATE_UNKNOWN);
    ck_assert_int_eq(cluster_pod_state(w.st, STR("p3"), NULL, 0), CLUSTER_STATE_ASSUMED);
    ck_assert_int_eq(cluster_pod_state(w.st, STR("p4"), NULL, 0), CLUSTER_STATE_UNKNOWN);
    ck_assert_int_eq(cluster_pod_state(w.st, STR("p5"), NULL, 0), CLUSTER_STATE_BOUND);
    /* aborted: nothing goes; and the next one starts afresh */
    cluster_relist_begin(w.st, CLUSTER_PODS);
    cluster_relist_abort(w.st, CLUSTER_PODS);
    cluster_relist_end(w.st, CLUSTER_PODS);
    ck_assert_uint_eq(stats(&w).pods, 4);
    /* in the list, and can't be read: stays as it was */
    cluster_relist_begin(w.st, CLUSTER_PODS);
    cluster_relist_keep_pod(w.st, STR("p1"));
    cluster_relist_keep_pod(w.st, STR("c1"));
    cluster_relist_keep_pod(w.st, STR("nobody"));
    cluster_relist_end(w.st, CLUSTER_PODS);
    ck_assert_uint_eq(stats(&w).pods, 3);
    ck_assert_int_eq(cluster_pod_state(w.st, STR("p1"), NULL, 0), CLUSTER_STATE_BOUND);
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    cluster_relist_begin(w.st, CLUSTER_PODS);
    cluster_relist_end(w.st, CLUSTER_PODS);
    ck_assert_uint_eq(stats(&w).pods, 1);
    ck_assert_uint_eq(stats(&w).repairs, 0);
    /* nodes and quotas */
    put_quota(&w, "ml", "q", "10", NULL);
    put_quota(&w, "other", "q", "10", NULL);
    put_quota(&w, "kept", "q", "10", NULL);
    cluster_relist_begin(w.st, CLUSTER_NODES);
    NODE(&w, "n2", .list = cards(&w, "b", 0, 2));
    cluster_relist_end(w.st, CLUSTER_NODES);
    cluster_relist_begin(w.st, CLUSTER_QUOTAS);
    put_quota(&w, "other", "q", "10", NULL);
    cluster_relist_keep_quota(w.st, STR("kept"), STR("q"));
    cluster_relist_keep_quota(w.st, STR("ml"), STR("none"));
    cluster_relist_keep_quota(w.st, STR("nobody's"), STR("q"));
    cluster_relist_end(w.st, CLUSTER_QUOTAS);
    struct score_quota left[SCORE_VENDORS_MAX];
    ck_use(&w, "n1", "GPU-a0", "no node");
    ck_use(&w, "n2", "GPU-b0", use(&w, "n2", "GPU-b0"));
    ck_assert_uint_eq(cluster_quota_left(w.st, STR("ml"), STR(""), 0, left), 0);
    ck_assert_uint_eq(cluster_quota_left(w.st, STR("other"), STR(""), 0, left), 1);
    ck_assert_uint_eq(cluster_quota_left(w.st, STR("kept"), STR(""), 0, left), 1);
}
END_TEST

START_TEST(repairs)
{
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    POD(&w, "p1", HAMI);
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    cluster_relist_begin(w.st, CLUSTER_PODS);
    POD(&w, "p1", HAMI);
    /* three bugs that we don't have: a sum, a node, a record's use */
    ledger_space_find(w.st, STR("ml"))->use[0].mem_mib += 5;
    ck_assert_uint_eq(cluster_store_verify(w.st), 1);
    struct entry *e = ledger_entry_find(w.st, STR("n1"));
    e->cur->devices[0].mem_used_mib += 7;
    ck_assert_uint_eq(cluster_store_verify(w.st), 2);
    e->pods[0]->uses[0].cores_pct += 1;
    ck_assert_uint_ge(cluster_store_verify(w.st), 3);
    cluster_relist_end(w.st, CLUSTER_PODS);
    ck_assert_uint_ge(stats(&w).repairs, 3);
    ck_sound(&w);
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
    ck_assert_str_eq(quota_use(&w, "ml"), "4000/10");
    /* and one that the fresh reading finds */
    uint64_t before = stats(&w).repairs;
    e->pods[0]->shares[0].mem_mib = 1;
    cluster_relist_begin(w.st, CLUSTER_PODS);
    POD(&w, "p1", HAMI);
    cluster_relist_end(w.st, CLUSTER_PODS);
    ck_assert_uint_gt(stats(&w).repairs, before);
    ck_use(&w, "n1", "GPU-a0", "1/4000/10");
}
END_TEST

START_TEST(cpu_of_all_pods)
{
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    /* pods first, the node's cards later; odd UIDs too */
    POD(&w, "0f0f0f0f-1234-4abc-8def-000000000001", .node = "n2", .cpu = "1500m");
    POD(&w, "not-a-uuid", .node = "n2", .cpu = "500m");
    POD(&w, "p1", .node = "n2", .gpu = "1", .cpu = "2", .allocated = "GPU-b0,NVIDIA,1,1:;");
    NODE(&w, "n2", .list = cards(&w, "b", 0, 1));
    struct cluster_snapshot *s = cluster_store_snapshot(w.st);
    const struct cluster_node *n2 = cluster_snapshot_find(s, STR("n2"));
    ck_assert_int_eq(n2->score.cpu_used_milli, 4000);
    ck_assert_int_eq(n2->score.cpu_alloc_milli, 64000);
    cluster_snapshot_unref(s);
    POD(&w, "not-a-uuid", .node = "n2", .cpu = "700m"); /* resized */
    POD(&w, "p1", .node = "n2", .gpu = "1", .cpu = "3", .allocated = "GPU-b0,NVIDIA,1,1:;");
    POD(&w, "0f0f0f0f-1234-4abc-8def-000000000001", .node = "n2", .cpu = "1500m",
        .phase = "Succeeded");
    s = cluster_store_snapshot(w.st);
    ck_assert_int_eq(cluster_snapshot_find(s, STR("n2"))->score.cpu_used_milli, 3700);
    cluster_snapshot_unref(s);
    cluster_delete_pod(w.st, STR("not-a-uuid"));
    ck_assert_uint_eq(stats(&w).pods, 1);
    static const char ZEROS[] = "00000000-0000-0000-0000-000000000000";
    for (int i = 0; i < 3; i++)
        POD(&w, ZEROS, .node = "n2", .cpu = "1");
    ck_sound(&w);
    ck_assert_uint_eq(stats(&w).pods, 2);
    cluster_delete_pod(w.st, str_z(ZEROS));
    ck_assert_uint_eq(stats(&w).pods, 1);
}
END_TEST

START_TEST(bounds)
{
    struct err err;
    cluster_store_free(w.st);
    w.cfg.nodes_max = 2;
    w.cfg.pods_max = 3;
    ck_assert(!cluster_store_new(&w.cfg, &w.st, &err));
    NODE(&w, "n1", .list = cards(&w, "a", 0, 1));
    NODE(&w, "n2", .list = cards(&w, "b", 0, 1));
    struct cluster_node_object o = {.name = STR("n3"), .uid = STR("u")};
    ck_assert_int_eq(cluster_apply_node(w.st, &o, &err), ERR_TOO_LARGE);
    POD(&w, "p1", HAMI);
    POD(&w, "c1", .node = "n1");
    waiting("p2", "1", "1");
    struct cluster_pod p = pod_of(&w, (struct t_pod){"p3", .gpu = "1"});
    ck_assert_int_eq(cluster_apply_pod(w.st, &p, &err), ERR_TOO_LARGE);
    p = pod_of(&w, (struct t_pod){"c2", .node = "n1"});
    ck_assert_int_eq(cluster_apply_pod(w.st, &p, &err), ERR_TOO_LARGE);
    for (int i = 3; i < 6; i++) /* cards in use are charged, to twice as many */
        POD(&w, fmt(&w, "p%d", i), HAMI);
    ck_use(&w, "n1", "GPU-a0", "4/16000/40");
    p = pod_of(&w, (struct t_pod){"p6", HAMI});
    ck_assert_int_eq(cluster_apply_pod(w.st, &p, &err), ERR_TOO_LARGE);
    POD(&w, "p1", HAMI, .phase = "Running"); /* who is there already may change */
    p.uid = STR("");
    ck_assert_int_eq(cluster_apply_pod(w.st, &p, &err), ERR_INVALID);
}
END_TEST

void check_cluster_ledger(Suite *suite)
{
    TCase *tc = tcase_create("ledger");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, bound_pods_count);
    tcase_add_loop_test(tc, ends, 0, COUNT(ENDS));
    tcase_add_test(tc, core_defect_c6_unbound_annotations_do_not_count);
    tcase_add_test(tc, gated_pods_are_told_apart);
    tcase_add_test(tc, core_defect_s2_tenants_cannot_block_cards);
    tcase_add_test(tc, a_card_is_node_and_uuid);
    tcase_add_test(tc, the_larger_of_annotation_and_ask);
    tcase_add_loop_test(tc, fail_closed, 0, COUNT(CLOSED));
    tcase_add_test(tc, decisions);
    tcase_add_test(tc, the_watch_was_faster);
    tcase_add_test(tc, bound_by_others_on_our_node);
    tcase_add_test(tc, adopted);
    tcase_add_test(tc, core_defect_c8_the_truth_wins_over_an_earlier_decision);
    tcase_add_test(tc, refused_decisions);
    tcase_add_test(tc, core_defect_c34_one_snapshot_gives_a_share_once);
    tcase_add_test(tc, core_defect_c35_an_end_needs_no_annotations);
    tcase_add_test(tc, core_defect_c45_quota_follows_the_cards);
    tcase_add_test(tc, core_defect_c44_namespaces_and_nodes_are_forgotten);
    tcase_add_test(tc, core_defect_p1_p4_what_did_not_change_is_shared);
    tcase_add_test(tc, core_defect_c17_the_tightest_of_several_quotas_counts);
    tcase_add_test(tc, core_defect_c31_peaks_of_init_stay);
    tcase_add_test(tc, tampered);
    tcase_add_test(tc, recent_asks);
    tcase_add_test(tc, restart);
    tcase_add_test(tc, nodes_come_and_go);
    tcase_add_test(tc, percent_follows_the_card);
    tcase_add_test(tc, core_defect_p7_generations_follow_the_set);
    tcase_add_test(tc, lent);
    tcase_add_test(tc, forgotten_after_the_end);
    tcase_add_test(tc, relists);
    tcase_add_test(tc, repairs);
    tcase_add_test(tc, cpu_of_all_pods);
    tcase_add_test(tc, bounds);
    suite_add_tcase(suite, tc);
}
