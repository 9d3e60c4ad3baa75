/* What the tests of src/cluster share: a small world (two vendors, a store, an arena) and short
 * ways to say node, pod and decision. Objects go through their JSON unless a test says otherwise.
 */
#ifndef CARDINAL_TESTS_CHECK_CLUSTER_H
#define CARDINAL_TESTS_CHECK_CLUSTER_H

#include "cluster/cluster.h"

#include <check.h>
#include <stdlib.h>

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))
#define NV       0 /* rows of the test's vendor table */
#define ACME     1

struct world {
    struct vendor_table *vendors;
    struct cluster_config cfg;
    struct cluster_store *st;
    struct arena *arena;
};
void world_open(struct world *w);
void world_open_rows(struct world *w); /* with every built-in row instead of those two */
void world_restart(struct world *w);   /* a store that knows nothing */
void world_close(struct world *w);

/* `index`-numbered cards GPU-<tag><i>, 24576 MiB, 100 cores, 10 shares each; the text of a register
 * annotation. */
const char *cards(struct world *w, const char *tag, int from, int n);
const char *fmt(struct world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A member of a JSON object with a comma behind it; value NULL: nothing. */
const char *member(struct world *w, const char *key, const char *value);

struct t_node { /* NULL: left out */
    const char *name, *uid, *list, *acme, *cordon, *lock, *alloc;
};
void put_node(struct world *w, struct t_node n);
#define NODE(w, ...) put_node(w, (struct t_node){__VA_ARGS__})

struct t_pod {
    const char *uid; /* also its name, in namespace "ml" unless ns is set */
    const char *ns, *node, *phase;
    const char *allocated, *acme;  /* annotations */
    const char *gpu, *mem, *cores; /* limits of container "main"; gpu NULL: asks for no cards */
    const char *cpu;
    const char *spec, *meta, *status; /* more members, ending in ',' */
    const char *containers;           /* instead of "main" */
};
struct cluster_pod pod_of(struct world *w, struct t_pod p);
void put_pod(struct world *w, struct t_pod p);
#define POD(w, ...) put_pod(w, (struct t_pod){__VA_ARGS__})
void put_quota(struct world *w, const char *ns, const char *name, const char *mem,
               const char *cores);

/* Decides by score_node_place() and assumes. */
enum err_code assume(struct world *w, const struct cluster_pod *pod, const char *node,
                     struct err *err);
/* Which card the pod's first share is on, by what list_pods says. */
struct cluster_pod_view view_of(struct world *w, const char *uid);

/* What a card carries, as a snapshot shows it: "shares/mem/cores" and flags C(losed group) L(ent)
 * U(nhealthy). */
const char *use(struct world *w, const char *node, const char *uuid);
#define ck_use(w, node, uuid, want) ck_assert_str_eq(use(w, node, uuid), want)
uint64_t generation(struct world *w, const char *node);
struct cluster_stats stats(struct world *w);
/* The namespace's use: "mem/cores" of a vendor. */
const char *quota_use(struct world *w, const char *ns);
#define ck_sound(w) ck_assert_uint_eq(cluster_store_verify((w)->st), 0)

void check_cluster_books(Suite *suite);
void check_cluster_decode(Suite *suite);
void check_cluster_ledger(Suite *suite);
void check_cluster_hold(Suite *suite);
void check_cluster_rows(Suite *suite);
void check_cluster_snapshot(Suite *suite);
void check_cluster_cards(Suite *suite);
void check_cluster_props(Suite *suite);

#endif
