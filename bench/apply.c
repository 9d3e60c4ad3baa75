/* What one watch event costs once it is decoded, and what decoding costs: cluster_apply_pod() on a
 * ledger of NODES nodes with 8 cards that PODS pods already charge, each event followed by taking a
 * snapshot as filter does. Prints one line of JSON. Usage: apply [NODES [PODS [EVENTS]]] */
#include "cluster/cluster.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CARDS = 8, TEXT_MAX = 16384 };

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void must(enum err_code rc, const struct err *err)
{
    if (rc) {
        fprintf(stderr, "apply: %s\n", err->text);
        exit(1);
    }
}

static struct str node_text(char *out, int n)
{
    size_t at = (size_t)snprintf(out, TEXT_MAX,
                                 "{\"metadata\":{\"name\":\"node-%05d\",\"uid\":\"n-%d\","
                                 "\"resourceVersion\":\"1\",\"annotations\":{"
                                 "\"hami.io/node-nvidia-register\":\"[",
                                 n, n);
    for (int c = 0; c < CARDS; c++)
        at += (size_t)snprintf(
            out + at, TEXT_MAX - at,
            "%s{\\\"id\\\":\\\"GPU-%05d-%d\\\",\\\"index\\\":%d,\\\"count\\\":20,\\\"devmem\\\":"
            "81920,"
            "\\\"devcore\\\":100,\\\"type\\\":\\\"NVIDIA A100\\\",\\\"mode\\\":\\\"hami-core\\\","
            "\\\"health\\\":true}",
            c ? "," : "", n, c, c);
    at += (size_t)snprintf(out + at, TEXT_MAX - at,
                           "]\"}},\"status\":{\"allocatable\":{\"cpu\":\"64\",\"memory\":\"512Gi\","
                           "\"nvidia.com/gpu\":\"160\"}}}");
    assert(at < TEXT_MAX);
    return (struct str){out, at};
}

static struct str pod_text(char *out, int pod, int node, int version, bool ended)
{
    int n = snprintf(
        out, TEXT_MAX,
        "{\"metadata\":{\"name\":\"pod-%d\",\"namespace\":\"ns\",\"uid\":\"p-%d\","
        "\"resourceVersion\":\"%d\","
        "\"annotations\":{\"hami.io/vgpu-node\":\"node-%05d\",\"hami.io/bind-phase\":\"success\","
        "\"hami.io/"
        "vgpu-devices-allocated\":\"GPU-%05d-%d,NVIDIA,1000,1:;\"}},\"spec\":{\"nodeName\":\"node-%"
        "05d\","
        "\"containers\":[{\"name\":\"main\",\"resources\":{\"limits\":{\"nvidia.com/"
        "gpu\":\"1\",\"nvidia.com/gpumem\":"
        "\"1000\",\"nvidia.com/"
        "gpucores\":\"1\"}}}]},\"status\":{\"phase\":\"%s\",\"containerStatuses\":[{\"name\":"
        "\"main\",\"state\":{\"running\":{}}}]}}",
        pod, pod, version, node, node, pod % CARDS, node, ended ? "Succeeded" : "Running");
    assert(n > 0 && n < TEXT_MAX);
    return (struct str){out, (size_t)n};
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    int nodes = argc > 1 ? atoi(argv[1]) : 5000, pods = argc > 2 ? atoi(argv[2]) : 50000;
    int events = argc > 3 ? atoi(argv[3]) : 20000;
    struct vendor_table *vendors;
    struct cluster_store *store;
    struct err err;
    if (nodes < 1 || pods < 0 || events < 1)
        return 2;
    must(vendor_table_builtin(&vendors, &err), &err);
    struct cluster_config cfg = {.vendors = vendors,
                                 .node_policy = STR("binpack"),
                                 .card_policy = STR("spread"),
                                 .hash_seed = 1};
    must(cluster_store_new(&cfg, &store, &err), &err);
    struct arena *arena = arena_new((size_t)8 << 20);
    char *text = malloc(TEXT_MAX);
    int64_t *spent = calloc((size_t)events, sizeof(*spent));
    if (!arena || !text || !spent)
        return 1;
    cluster_relist_begin(store, CLUSTER_NODES);
    for (int n = 0; n < nodes; n++) {
        struct cluster_node_object node;
        must(cluster_node_decode(&cfg, node_text(text, n), false, arena, &node, &err), &err);
        must(cluster_apply_node(store, &node, &err), &err);
        arena_reset(arena);
    }
    cluster_relist_end(store, CLUSTER_NODES);
    cluster_relist_begin(store, CLUSTER_PODS);
    for (int p = 0; p < pods; p++) {
        struct cluster_pod pod;
        must(cluster_pod_decode(&cfg, pod_text(text, p, p % nodes, 1, false), false, arena, &pod,
                                &err),
             &err);
        must(cluster_apply_pod(store, &pod, &err), &err);
        arena_reset(arena);
    }
    cluster_relist_end(store, CLUSTER_PODS);

    int64_t decoding = 0;
    for (int e = 0; e < events; e++) { /* a pod comes, and ends with the next event but some */
        int number = pods + e / 2;
        struct cluster_pod pod;
        int64_t began = now_ns();
        must(cluster_pod_decode(&cfg, pod_text(text, number, number % nodes, 2 + e, e % 2 != 0),
                                false, arena, &pod, &err),
             &err);
        int64_t decoded = now_ns();
        must(cluster_apply_pod(store, &pod, &err), &err);
        cluster_snapshot_unref(cluster_store_snapshot(store));
        spent[e] = now_ns() - decoded;
        decoding += decoded - began;
        arena_reset(arena);
    }
    if (cluster_store_verify(store)) {
        fprintf(stderr, "apply: the ledger is not what its records say\n");
        return 1;
    }
    qsort(spent, (size_t)events, sizeof(*spent), compare);
    printf("{\"nodes\":%d,\"pods\":%d,\"events\":%d,\"apply_p50_us\":%.2f,\"apply_p99_us\":%.2f,"
           "\"apply_max_us\":%.2f,"
           "\"decode_us\":%.2f}\n",
           nodes, pods, events, (double)spent[events / 2] / 1000.0,
           (double)spent[(int64_t)events * 99 / 100] / 1000.0, (double)spent[events - 1] / 1000.0,
           (double)decoding / events / 1000.0);
    cluster_store_free(store);
    vendor_table_free(vendors);
    arena_free(arena);
    free(spent);
    free(text);
    return 0;
}
