/* The in-process API store against what kube-apiserver does: each row is one call on the same small
 * cluster, with what it answers and what stands afterwards. Then watches, faults, races, and
 * failing allocations. */
#include "check_kube_util.h"
#include "fail_alloc.h"

#include "kubeclient/priv.h"

#include <pthread.h>
#include <time.h>

static const char CLUSTER[] =
    "apiVersion: v1\nkind: List\nitems:\n"
    "- {apiVersion: v1, kind: Node, metadata: {name: n1}, spec: {}, status: {allocatable: {cpu: "
    "'4'}}}\n"
    "- {apiVersion: v1, kind: Node, metadata: {name: n2, uid: u-n2, annotations: "
    "{hami.io/mutex.lock: old, "
    "b: '2'}}}\n"
    "- apiVersion: v1\n  kind: Pod\n"
    "  metadata: {name: free, namespace: ml, uid: u-free, labels: {app: x}, annotations: {a: "
    "'1'}}\n"
    "  spec: {schedulerName: s, containers: [{name: c, image: i1}], tolerations: [{key: k}]}\n"
    "  status: {phase: Pending, nominatedNodeName: n2, conditions: [{type: PodScheduled, status: "
    "'False', "
    "reason: Unschedulable}]}\n"
    "- apiVersion: v1\n  kind: Pod\n  metadata: {name: bound, namespace: ml, uid: u-bound}\n"
    "  spec: {nodeName: n1, containers: [{name: c}], terminationGracePeriodSeconds: 7}\n"
    "  status: {phase: Running}\n"
    "- apiVersion: v1\n  kind: Pod\n  metadata: {name: dying, namespace: ml, uid: u-dying, "
    "deletionTimestamp: '2026-01-01T00:00:00Z', deletionGracePeriodSeconds: 30}\n  spec: {}\n"
    "- apiVersion: v1\n  kind: Pod\n  metadata: {name: gated, namespace: ml, uid: u-gated}\n"
    "  spec: {schedulingGates: [{name: g1}, {name: g2}]}\n"
    "- apiVersion: v1\n  kind: Pod\n  metadata: {name: done, namespace: ml, uid: u-done}\n"
    "  spec: {nodeName: n1}\n  status: {phase: Succeeded}\n"
    "- apiVersion: v1\n  kind: Pod\n  metadata: {name: held, namespace: ml, uid: u-held, "
    "finalizers: [x/y]}\n"
    "  spec: {}\n"
    "- apiVersion: v1\n  kind: ResourceQuota\n  metadata: {name: q, namespace: ml}\n  spec: {hard: "
    "{x: '5'}}\n"
    "- apiVersion: coordination.k8s.io/v1\n  kind: Lease\n  metadata: {name: l, namespace: ml, "
    "uid: u-l}\n"
    "  spec: {holderIdentity: me}\n";
enum { CLUSTER_OBJECTS = 10 };
/* resourceVersions of the objects, in the order of the text */
#define RV_FREE  "3"
#define RV_LEASE "10"

struct fixture {
    struct test_clock tc;
    struct clock clock;
    struct kube *k;
    struct kube_store *st;
};

static void setup_cfg(struct fixture *f, const struct kube_store_config *cfg)
{
    *f = (struct fixture){.tc = {.wall = WALL_START}};
    f->clock = test_clock_of(&f->tc);
    ck_ok(kube_store_new(cfg, &f->clock, &f->k, &f->st, why));
    ck_ok(test_load(f->st, CLUSTER, NULL, NULL, why));
}

static void setup(struct fixture *f)
{
    setup_cfg(f, &(struct kube_store_config){.binding_labels = true, .watch_initial = true});
}

/* ---- single calls ---- */

#define LONG_63 "a23456789012345678901234567890123456789012345678901234567890123"
#define MERGE   .verb = KUBE_PATCH, .type = KUBE_PATCH_MERGE
#define JSON    .verb = KUBE_PATCH, .type = KUBE_PATCH_JSON
#define BIND    .verb = KUBE_BIND, .kind = KUBE_POD, .ns = "ml"
#define ON_POD  .kind = KUBE_POD, .ns = "ml"
#define ON_NODE .kind = KUBE_NODE

static const struct {
    const char *name;
    enum kube_verb verb;
    enum kube_kind kind;
    const char *ns, *object;
    bool status;
    enum kube_patch_type type;
    const char *body;
    int http;
    enum err_code code;
    const char *says;         /* part of the text of a refusal */
    unsigned writes;          /* how many were done */
    const char *path, *value; /* of the object afterwards; value NULL: not there */
    const char *look_at;      /* another name to look at; NULL: the same */
} CALLS[] = {
    {"get", .verb = KUBE_GET, ON_POD, .object = "free", .http = 200, .path = "/metadata/uid",
     .value = "u-free"},
    {"get: not there", .verb = KUBE_GET, ON_POD, .object = "nobody", .http = 404,
     .code = ERR_NOT_FOUND, .says = "pods \"nobody\" not found"},
    {"get: another namespace", .verb = KUBE_GET, .kind = KUBE_POD, .ns = "x", .object = "free",
     .http = 404, .code = ERR_NOT_FOUND},
    {"get: a name that can't be", .verb = KUBE_GET, ON_POD, .object = "../x", .http = 0,
     .code = ERR_BAD_REQUEST},
    {"get: no namespace", .verb = KUBE_GET, .kind = KUBE_POD, .ns = "", .object = "x",
     .code = ERR_BAD_REQUEST},
    {"get: a node in a namespace", .verb = KUBE_GET, .kind = KUBE_NODE, .ns = "ml", .object = "n1",
     .code = ERR_BAD_REQUEST},

    /* merge patches */
    {"merge: a new annotation", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"annotations\":{\"x/y\":\"v\"}}}", .http = 200, .writes = 1,
     .path = "/metadata/annotations/x~1y", .value = "v"},
    {"merge: the others stay", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"annotations\":{\"x\":\"v\"}}}", .http = 200, .writes = 1,
     .path = "/metadata/annotations/a", .value = "1"},
    {"merge: null deletes", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"annotations\":{\"a\":null}}}", .http = 200, .writes = 1,
     .path = "/metadata/annotations", .value = NULL},
    {"merge: where there was no map", MERGE, ON_NODE, .object = "n1",
     .body = "{\"metadata\":{\"annotations\":{\"a\":\"1\"}}}", .http = 200, .writes = 1,
     .path = "/metadata/annotations/a", .value = "1"},
    {"merge: nothing changes, nothing is written", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"annotations\":{\"a\":\"1\"}}}", .http = 200, .writes = 0,
     .path = "/metadata/resourceVersion", .value = RV_FREE},
    {"merge: empty patch", MERGE, ON_POD, .object = "free", .body = "{}", .http = 200},
    {"merge: null of what is not there", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"annotations\":{\"zz\":null}}}", .http = 200, .writes = 0},
    {"merge: right resourceVersion", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"resourceVersion\":\"" RV_FREE "\",\"annotations\":{\"a\":\"2\"}}}",
     .http = 200, .writes = 1, .path = "/metadata/annotations/a", .value = "2"},
    {"merge: stale resourceVersion", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"resourceVersion\":\"2\",\"annotations\":{\"a\":\"2\"}}}",
     .http = 409, .code = ERR_CONFLICT, .says = "the object has been modified",
     .path = "/metadata/annotations/a", .value = "1"},
    {"merge: stale resourceVersion, no change", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"resourceVersion\":\"2\"}}", .http = 409, .code = ERR_CONFLICT},
    {"merge: right uid", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"uid\":\"u-free\",\"labels\":{\"l\":\"v\"}}}", .http = 200,
     .writes = 1},
    {"merge: wrong uid", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"uid\":\"u-other\",\"labels\":{\"l\":\"v\"}}}", .http = 422,
     .code = ERR_INVALID, .says = "metadata.uid", .path = "/metadata/labels/l", .value = NULL},
    {"merge: no such pod", MERGE, ON_POD, .object = "nobody", .body = "{}", .http = 404,
     .code = ERR_NOT_FOUND},
    {"merge: not JSON", MERGE, ON_POD, .object = "free", .body = "{", .http = 400,
     .code = ERR_BAD_REQUEST},
    {"merge: no body", MERGE, ON_POD, .object = "free", .body = "", .http = 400,
     .code = ERR_BAD_REQUEST},
    {"merge: a list", MERGE, ON_POD, .object = "free", .body = "[]", .http = 400,
     .code = ERR_BAD_REQUEST},
    {"merge: the main resource leaves status alone", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"labels\":{\"n\":\"1\"}},\"status\":{\"phase\":\"Running\"}}",
     .http = 200, .writes = 1, .path = "/status/phase", .value = "Pending"},
    {"merge: only status, so nothing", MERGE, ON_POD, .object = "free",
     .body = "{\"status\":{\"phase\":\"Running\"}}", .http = 200, .writes = 0},
    {"merge: renamed", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"name\":\"other\"}}", .http = 400, .code = ERR_BAD_REQUEST,
     .says = "does not match"},
    {"merge: creationTimestamp stays", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"creationTimestamp\":\"2020-01-01T00:00:00Z\"}}", .http = 200,
     .writes = 0},
    {"merge: deletionTimestamp can't be set", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"deletionTimestamp\":\"2020-01-01T00:00:00Z\"}}", .http = 422,
     .code = ERR_INVALID},
    {"merge: a label of 63 bytes", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"labels\":{\"l\":\"" LONG_63 "\"}}}", .http = 200, .writes = 1},
    {"merge: a label of 64 bytes", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"labels\":{\"l\":\"" LONG_63 "4\"}}}", .http = 422,
     .code = ERR_INVALID, .says = "metadata.labels", .path = "/metadata/labels/l", .value = NULL},
    {"merge: an empty label", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"labels\":{\"l\":\"\"}}}", .http = 200, .writes = 1},
    {"merge: a label with a slash", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"labels\":{\"l\":\"a/b\"}}}", .http = 422, .code = ERR_INVALID},
    {"merge: a label that ends in a dash", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"labels\":{\"l\":\"a-\"}}}", .http = 422, .code = ERR_INVALID},
    {"merge: a bad annotation key", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"annotations\":{\"a b\":\"1\"}}}", .http = 422, .code = ERR_INVALID},
    {"merge: an annotation that is a number", MERGE, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"annotations\":{\"n\":1}}}", .http = 422, .code = ERR_INVALID},
    {"merge: metadata is text", MERGE, ON_POD, .object = "free", .body = "{\"metadata\":\"x\"}",
     .http = 422, .code = ERR_INVALID},
    {"merge: the pod's node", MERGE, ON_POD, .object = "free",
     .body = "{\"spec\":{\"nodeName\":\"n1\"}}", .http = 422, .code = ERR_INVALID,
     .says = "may not change fields", .path = "/spec/nodeName", .value = NULL},
    {"merge: an image may change", MERGE, ON_POD, .object = "free",
     .body = "{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i2\"}]}}", .http = 200,
     .writes = 1, .path = "/spec/containers/0/image", .value = "i2"},
    {"merge: a container's name may not", MERGE, ON_POD, .object = "free",
     .body = "{\"spec\":{\"containers\":[{\"name\":\"d\",\"image\":\"i1\"}]}}", .http = 422,
     .code = ERR_INVALID},
    {"merge: a toleration more", MERGE, ON_POD, .object = "free",
     .body = "{\"spec\":{\"tolerations\":[{\"key\":\"k\"},{\"key\":\"l\"}]}}", .http = 200,
     .writes = 1},
    {"merge: a toleration less", MERGE, ON_POD, .object = "free",
     .body = "{\"spec\":{\"tolerations\":[]}}", .http = 422, .code = ERR_INVALID,
     .says = "tolerations"},
    {"merge: a gate less", MERGE, ON_POD, .object = "gated",
     .body = "{\"spec\":{\"schedulingGates\":[{\"name\":\"g2\"}]}}", .http = 200, .writes = 1},
    {"merge: a gate more", MERGE, ON_POD, .object = "free",
     .body = "{\"spec\":{\"schedulingGates\":[{\"name\":\"g2\"}]}}", .http = 422,
     .code = ERR_INVALID},
    {"merge: nodeSelector while gated", MERGE, ON_POD, .object = "gated",
     .body = "{\"spec\":{\"nodeSelector\":{\"a\":\"b\"}}}", .http = 200, .writes = 1},
    {"merge: nodeSelector otherwise", MERGE, ON_POD, .object = "free",
     .body = "{\"spec\":{\"nodeSelector\":{\"a\":\"b\"}}}", .http = 422, .code = ERR_INVALID},
    {"merge: a node's spec", MERGE, ON_NODE, .object = "n1",
     .body = "{\"spec\":{\"unschedulable\":true}}", .http = 200, .writes = 1},
    {"merge: the last finalizer of what is not deleted", MERGE, ON_POD, .object = "held",
     .body = "{\"metadata\":{\"finalizers\":null}}", .http = 200, .writes = 1},

    /* the status part */
    {"status: phase", MERGE, ON_POD, .status = true, .object = "free",
     .body = "{\"status\":{\"phase\":\"Running\"}}", .http = 200, .writes = 1,
     .path = "/status/phase", .value = "Running"},
    {"status: annotations come along", MERGE, ON_POD, .status = true, .object = "free",
     .body = "{\"metadata\":{\"annotations\":{\"fence\":\"1\"}}}", .http = 200, .writes = 1,
     .path = "/metadata/annotations/fence", .value = "1"},
    {"status: labels come along", MERGE, ON_POD, .status = true, .object = "free",
     .body = "{\"metadata\":{\"labels\":{\"l\":\"1\"}}}", .http = 200, .writes = 1,
     .path = "/metadata/labels/l", .value = "1"},
    {"status: the spec does not", MERGE, ON_POD, .status = true, .object = "free",
     .body = "{\"spec\":{\"nodeName\":\"n1\"},\"status\":{\"phase\":\"Failed\"}}", .http = 200,
     .writes = 1, .path = "/spec/nodeName", .value = NULL},
    {"status: only the spec, so nothing", MERGE, ON_POD, .status = true, .object = "free",
     .body = "{\"spec\":{\"nodeName\":\"n1\"}}", .http = 200, .writes = 0},
    {"status: finalizers come along as well", MERGE, ON_POD, .status = true, .object = "free",
     .body = "{\"metadata\":{\"finalizers\":[\"a/b\"]}}", .http = 200, .writes = 1},
    {"status: nominatedNodeName", MERGE, ON_POD, .status = true, .object = "free",
     .body = "{\"status\":{\"nominatedNodeName\":\"n1\"}}", .http = 200, .writes = 1,
     .path = "/status/nominatedNodeName", .value = "n1"},
    {"status: stale resourceVersion", MERGE, ON_POD, .status = true, .object = "free",
     .body = "{\"metadata\":{\"resourceVersion\":\"1\"},\"status\":{\"phase\":\"Running\"}}",
     .http = 409, .code = ERR_CONFLICT, .path = "/status/phase", .value = "Pending"},
    {"status: a label of 64 bytes", MERGE, ON_POD, .status = true, .object = "free",
     .body = "{\"metadata\":{\"labels\":{\"l\":\"" LONG_63 "4\"}}}", .http = 422,
     .code = ERR_INVALID},
    {"status: of a node", MERGE, ON_NODE, .status = true, .object = "n1",
     .body = "{\"status\":{\"allocatable\":{\"x/y\":\"8\"}}}", .http = 200, .writes = 1,
     .path = "/status/allocatable/x~1y", .value = "8"},
    {"status: a lease has none", MERGE, .kind = KUBE_LEASE, .ns = "ml", .status = true,
     .object = "l", .body = "{}", .code = ERR_BAD_REQUEST},

    /* JSON patches */
    {"json: test and replace", JSON, ON_NODE, .object = "n2",
     .body =
         "[{\"op\":\"test\",\"path\":\"/metadata/annotations/"
         "hami.io~1mutex.lock\",\"value\":\"old\"},{\"op\":"
         "\"replace\",\"path\":\"/metadata/annotations/hami.io~1mutex.lock\",\"value\":\"new\"}]",
     .http = 200, .writes = 1, .path = "/metadata/annotations/hami.io~1mutex.lock", .value = "new"},
    {"json: the test fails", JSON, ON_NODE, .object = "n2",
     .body = "[{\"op\":\"test\",\"path\":\"/metadata/annotations/"
             "hami.io~1mutex.lock\",\"value\":\"other\"},{\"op\":"
             "\"remove\",\"path\":\"/metadata/annotations/hami.io~1mutex.lock\"}]",
     .http = 422, .code = ERR_INVALID, .says = "test failed",
     .path = "/metadata/annotations/hami.io~1mutex.lock", .value = "old"},
    {"json: the test fails after other operations", JSON, ON_NODE, .object = "n2",
     .body = "[{\"op\":\"remove\",\"path\":\"/metadata/annotations/b\"},{\"op\":\"test\",\"path\":"
             "\"/metadata/annotations/b\",\"value\":\"2\"}]",
     .http = 422, .code = ERR_INVALID, .path = "/metadata/annotations/b", .value = "2"},
    {"json: add without the map", JSON, ON_NODE, .object = "n1",
     .body = "[{\"op\":\"add\",\"path\":\"/metadata/annotations/a\",\"value\":\"1\"}]", .http = 422,
     .code = ERR_INVALID, .says = "no such path"},
    {"json: null is the value of what is not there", JSON, ON_NODE, .object = "n1",
     .body = "[{\"op\":\"test\",\"path\":\"/metadata/"
             "annotations\",\"value\":null},{\"op\":\"add\",\"path\":"
             "\"/metadata/annotations\",\"value\":{\"a\":\"1\"}}]",
     .http = 200, .writes = 1, .path = "/metadata/annotations/a", .value = "1"},
    {"json: null is not the value of what is there", JSON, ON_NODE, .object = "n2",
     .body = "[{\"op\":\"test\",\"path\":\"/metadata/"
             "annotations\",\"value\":null},{\"op\":\"add\",\"path\":"
             "\"/metadata/annotations\",\"value\":{\"a\":\"1\"}}]",
     .http = 422, .code = ERR_INVALID, .path = "/metadata/annotations/b", .value = "2"},
    {"json: the version as test", JSON, ON_POD, .object = "free",
     .body = "[{\"op\":\"test\",\"path\":\"/metadata/resourceVersion\",\"value\":\"" RV_FREE
             "\"},{\"op\":\"add\",\"path\":\"/metadata/labels/z\",\"value\":\"1\"}]",
     .http = 200, .writes = 1},
    {"json: the uid as test", JSON, ON_POD, .object = "free",
     .body = "[{\"op\":\"test\",\"path\":\"/metadata/uid\",\"value\":\"u-other\"}]", .http = 422,
     .code = ERR_INVALID},
    {"json: only tests", JSON, ON_POD, .object = "free",
     .body = "[{\"op\":\"test\",\"path\":\"/metadata/uid\",\"value\":\"u-free\"}]", .http = 200,
     .writes = 0},
    {"json: an object", JSON, ON_POD, .object = "free", .body = "{}", .http = 400,
     .code = ERR_BAD_REQUEST},
    {"json: a list of numbers", JSON, ON_POD, .object = "free", .body = "[1]", .http = 400,
     .code = ERR_BAD_REQUEST},
    {"json: the whole document", JSON, ON_POD, .object = "free",
     .body = "[{\"op\":\"remove\",\"path\":\"\"}]", .http = 422, .code = ERR_INVALID},
    {"json: the metadata goes", JSON, ON_POD, .object = "free",
     .body = "[{\"op\":\"remove\",\"path\":\"/metadata\"}]", .http = 400, .code = ERR_BAD_REQUEST},
    {"strategic: maps", .verb = KUBE_PATCH, .type = KUBE_PATCH_STRATEGIC, ON_POD, .object = "free",
     .body = "{\"metadata\":{\"annotations\":{\"s\":\"1\",\"a\":null}}}", .http = 200, .writes = 1,
     .path = "/metadata/annotations/s", .value = "1"},
    {"strategic: directives", .verb = KUBE_PATCH, .type = KUBE_PATCH_STRATEGIC, ON_POD,
     .object = "free", .body = "{\"metadata\":{\"annotations\":{\"$patch\":\"delete\"}}}",
     .http = 422, .code = ERR_INVALID},

    /* bindings */
    {"bind", BIND, .object = "free",
     .body = "{\"metadata\":{\"name\":\"free\",\"namespace\":\"ml\",\"uid\":\"u-free\","
             "\"resourceVersion\":\"" RV_FREE "\"},\"target\":{\"kind\":\"Node\",\"name\":\"n1\"}}",
     .http = 201, .writes = 1, .path = "/spec/nodeName", .value = "n1"},
    {"bind: without uid and version", BIND, .object = "free",
     .body = "{\"metadata\":{\"name\":\"free\"},\"target\":{\"name\":\"n9\"}}", .http = 201,
     .writes = 1, .path = "/spec/nodeName", .value = "n9"},
    {"bind: annotations are merged", BIND, .object = "free",
     .body = "{\"metadata\":{\"name\":\"free\",\"annotations\":{\"a\":\"9\",\"b\":\"8\"}},"
             "\"target\":{\"name\":\"n1\"}}",
     .http = 201, .writes = 1, .path = "/metadata/annotations/a", .value = "9"},
    {"bind: labels are merged, the others stay", BIND, .object = "free",
     .body =
         "{\"metadata\":{\"name\":\"free\",\"labels\":{\"l\":\"v\"}},\"target\":{\"name\":\"n1\"}}",
     .http = 201, .writes = 1, .path = "/metadata/labels/app", .value = "x"},
    {"bind: equal labels are overwritten", BIND, .object = "free",
     .body = "{\"metadata\":{\"name\":\"free\",\"labels\":{\"app\":\"y\"}},\"target\":{\"name\":"
             "\"n1\"}}",
     .http = 201, .writes = 1, .path = "/metadata/labels/app", .value = "y"},
    {"bind: PodScheduled becomes true", BIND, .object = "free",
     .body = "{\"metadata\":{\"name\":\"free\"},\"target\":{\"name\":\"n1\"}}", .http = 201,
     .writes = 1, .path = "/status/conditions/0/status", .value = "True"},
    {"bind: the old condition's reason goes", BIND, .object = "free",
     .body = "{\"metadata\":{\"name\":\"free\"},\"target\":{\"name\":\"n1\"}}", .http = 201,
     .writes = 1, .path = "/status/conditions/0/reason", .value = NULL},
    {"bind: nominatedNodeName is cleared", BIND, .object = "free",
     .body = "{\"metadata\":{\"name\":\"free\"},\"target\":{\"name\":\"n1\"}}", .http = 201,
     .writes = 1, .path = "/status/nominatedNodeName", .value = NULL},
    {"bind: wrong uid", BIND, .object = "free",
     .body = "{\"metadata\":{\"name\":\"free\",\"uid\":\"u-x\"},\"target\":{\"name\":\"n1\"}}",
     .http = 409, .code = ERR_CONFLICT, .says = "UID in precondition: u-x",
     .path = "/spec/nodeName", .value = NULL},
    {"bind: stale version", BIND, .object = "free",
     .body = "{\"metadata\":{\"name\":\"free\",\"resourceVersion\":\"1\"},\"target\":{\"name\":"
             "\"n1\"}}",
     .http = 409, .code = ERR_CONFLICT, .says = "ResourceVersion in precondition: 1",
     .path = "/spec/nodeName", .value = NULL},
    {"bind: already assigned, to the same node", BIND, .object = "bound",
     .body = "{\"metadata\":{\"name\":\"bound\"},\"target\":{\"name\":\"n1\"}}", .http = 409,
     .code = ERR_CONFLICT, .says = "is already assigned to node \"n1\""},
    {"bind: being deleted", BIND, .object = "dying",
     .body = "{\"metadata\":{\"name\":\"dying\"},\"target\":{\"name\":\"n1\"}}", .http = 409,
     .code = ERR_CONFLICT, .says = "is being deleted"},
    {"bind: gated", BIND, .object = "gated",
     .body = "{\"metadata\":{\"name\":\"gated\"},\"target\":{\"name\":\"n1\"}}", .http = 409,
     .code = ERR_CONFLICT, .says = "schedulingGates"},
    {"bind: no such pod", BIND, .object = "nobody",
     .body = "{\"metadata\":{\"name\":\"nobody\"},\"target\":{\"name\":\"n1\"}}", .http = 404,
     .code = ERR_NOT_FOUND},
    {"bind: another name in the body", BIND, .object = "free",
     .body = "{\"metadata\":{\"name\":\"x\"},\"target\":{\"name\":\"n1\"}}", .http = 400,
     .code = ERR_BAD_REQUEST, .says = "name in URL does not match"},
    {"bind: another namespace in the body", BIND, .object = "free",
     .body = "{\"metadata\":{\"name\":\"free\",\"namespace\":\"x\"},\"target\":{\"name\":\"n1\"}}",
     .http = 400, .code = ERR_BAD_REQUEST},
    {"bind: to a pod", BIND, .object = "free",
     .body = "{\"metadata\":{\"name\":\"free\"},\"target\":{\"kind\":\"Pod\",\"name\":\"n1\"}}",
     .http = 500, .code = ERR_UNKNOWN, .says = "target.kind"},
    {"bind: to nothing", BIND, .object = "free",
     .body = "{\"metadata\":{\"name\":\"free\"},\"target\":{}}", .http = 500, .code = ERR_UNKNOWN,
     .says = "target.name"},
    {"bind: not JSON", BIND, .object = "free", .body = "x", .http = 400, .code = ERR_BAD_REQUEST},
    {"bind: an annotation that is a number", BIND, .object = "free",
     .body = "{\"metadata\":{\"name\":\"free\",\"annotations\":{\"a\":1}},\"target\":{\"name\":"
             "\"n1\"}}",
     .http = 400, .code = ERR_BAD_REQUEST, .path = "/spec/nodeName", .value = NULL},
    {"bind: goes past the validation of labels", BIND, .object = "free",
     .body = "{\"metadata\":{\"name\":\"free\",\"labels\":{\"l\":\"" LONG_63
             "4\"}},\"target\":{\"name\":\"n1\"}}",
     .http = 201, .writes = 1},
    {"bind: a node", .verb = KUBE_BIND, ON_NODE, .object = "n1", .body = "{}",
     .code = ERR_BAD_REQUEST},

    /* create */
    {"create", .verb = KUBE_CREATE, ON_POD, .object = "",
     .body = "{\"metadata\":{\"name\":\"new\"},\"spec\":{}}", .http = 201, .writes = 1,
     .look_at = "new", .path = "/status/phase", .value = "Pending"},
    {"create: the status of a pod is the server's", .verb = KUBE_CREATE, ON_POD, .object = "",
     .body =
         "{\"metadata\":{\"name\":\"new\",\"uid\":\"mine\"},\"status\":{\"phase\":\"Running\"}}",
     .http = 201, .writes = 1, .look_at = "new", .path = "/status/phase", .value = "Pending"},
    {"create: that of a node is not", .verb = KUBE_CREATE, ON_NODE, .ns = "", .object = "",
     .body = "{\"kind\":\"Node\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"n3\"},\"status\":{"
             "\"allocatable\":{\"a\":\"1\"}}}",
     .http = 201, .writes = 1, .look_at = "n3", .path = "/status/allocatable/a", .value = "1"},
    {"create: there already", .verb = KUBE_CREATE, ON_POD, .object = "",
     .body = "{\"metadata\":{\"name\":\"free\"}}", .http = 409, .code = ERR_CONFLICT,
     .says = "already exists"},
    {"create: no name", .verb = KUBE_CREATE, ON_POD, .object = "", .body = "{\"metadata\":{}}",
     .http = 422, .code = ERR_INVALID},
    {"create: another kind", .verb = KUBE_CREATE, ON_POD, .object = "",
     .body = "{\"kind\":\"Node\",\"metadata\":{\"name\":\"new\"}}", .http = 400,
     .code = ERR_BAD_REQUEST},
    {"create: another namespace", .verb = KUBE_CREATE, ON_POD, .object = "",
     .body = "{\"metadata\":{\"name\":\"new\",\"namespace\":\"x\"}}", .http = 400,
     .code = ERR_BAD_REQUEST},
    {"create: with a version", .verb = KUBE_CREATE, ON_POD, .object = "",
     .body = "{\"metadata\":{\"name\":\"new\",\"resourceVersion\":\"1\"}}", .http = 500,
     .code = ERR_UNKNOWN},
    {"create: a bad name", .verb = KUBE_CREATE, ON_POD, .object = "",
     .body = "{\"metadata\":{\"name\":\"a_b\"}}", .http = 422, .code = ERR_INVALID},
    {"create: with a name in the URL", .verb = KUBE_CREATE, ON_POD, .object = "x", .body = "{}",
     .code = ERR_BAD_REQUEST},

    /* update */
    {"update: a lease under its version", .verb = KUBE_UPDATE, .kind = KUBE_LEASE, .ns = "ml",
     .object = "l",
     .body = "{\"metadata\":{\"name\":\"l\",\"namespace\":\"ml\",\"resourceVersion\":\"" RV_LEASE
             "\"},\"spec\":{\"holderIdentity\":\"you\"}}",
     .http = 200, .writes = 1, .path = "/spec/holderIdentity", .value = "you"},
    {"update: a lease under an old version", .verb = KUBE_UPDATE, .kind = KUBE_LEASE, .ns = "ml",
     .object = "l",
     .body = "{\"metadata\":{\"name\":\"l\",\"resourceVersion\":\"1\"},\"spec\":{"
             "\"holderIdentity\":\"you\"}}",
     .http = 409, .code = ERR_CONFLICT, .path = "/spec/holderIdentity", .value = "me"},
    {"update: a lease without version", .verb = KUBE_UPDATE, .kind = KUBE_LEASE, .ns = "ml",
     .object = "l", .body = "{\"metadata\":{\"name\":\"l\"},\"spec\":{}}", .http = 422,
     .code = ERR_INVALID},
    {"update: a lease that is not there is made", .verb = KUBE_UPDATE, .kind = KUBE_LEASE,
     .ns = "ml", .object = "m",
     .body = "{\"metadata\":{\"name\":\"m\"},\"spec\":{\"holderIdentity\":\"me\"}}", .http = 201,
     .writes = 1, .path = "/spec/holderIdentity", .value = "me"},
    {"update: another uid", .verb = KUBE_UPDATE, .kind = KUBE_LEASE, .ns = "ml", .object = "l",
     .body = "{\"metadata\":{\"name\":\"l\",\"uid\":\"x\",\"resourceVersion\":\"" RV_LEASE "\"}}",
     .http = 409, .code = ERR_CONFLICT, .says = "UID in precondition"},
    {"update: another name", .verb = KUBE_UPDATE, ON_NODE, .object = "n1",
     .body = "{\"metadata\":{\"name\":\"n2\"}}", .http = 400, .code = ERR_BAD_REQUEST},
    {"update: not there", .verb = KUBE_UPDATE, ON_NODE, .object = "n9",
     .body = "{\"metadata\":{\"name\":\"n9\"}}", .http = 404, .code = ERR_NOT_FOUND},

    /* delete */
    {"delete: a pod that waits goes at once", .verb = KUBE_DELETE, ON_POD, .object = "free",
     .http = 200, .writes = 1, .path = "/metadata/uid", .value = NULL},
    {"delete: a bound one is given time", .verb = KUBE_DELETE, ON_POD, .object = "bound",
     .http = 200, .writes = 1, .path = "/metadata/deletionTimestamp",
     .value = "2026-09-21T14:13:27Z"},
    {"delete: a bound one, at once", .verb = KUBE_DELETE, ON_POD, .object = "bound",
     .body = "{\"gracePeriodSeconds\":0}", .http = 200, .writes = 1, .path = "/metadata/uid",
     .value = NULL},
    {"delete: a finished one goes at once", .verb = KUBE_DELETE, ON_POD, .object = "done",
     .http = 200, .writes = 1, .path = "/metadata/uid", .value = NULL},
    {"delete: with a finalizer", .verb = KUBE_DELETE, ON_POD, .object = "held", .http = 200,
     .writes = 1, .path = "/metadata/deletionTimestamp", .value = "2026-09-21T14:13:20Z"},
    {"delete: right uid", .verb = KUBE_DELETE, ON_POD, .object = "free",
     .body = "{\"preconditions\":{\"uid\":\"u-free\"}}", .http = 200, .writes = 1},
    {"delete: wrong uid", .verb = KUBE_DELETE, ON_POD, .object = "free",
     .body = "{\"preconditions\":{\"uid\":\"x\"}}", .http = 409, .code = ERR_CONFLICT,
     .path = "/metadata/uid", .value = "u-free"},
    {"delete: stale version", .verb = KUBE_DELETE, ON_POD, .object = "free",
     .body = "{\"preconditions\":{\"resourceVersion\":\"1\"}}", .http = 409, .code = ERR_CONFLICT},
    {"delete: a node", .verb = KUBE_DELETE, ON_NODE, .object = "n2", .http = 200, .writes = 1,
     .path = "/metadata/name", .value = NULL},
    {"delete: not there", .verb = KUBE_DELETE, ON_NODE, .object = "n9", .http = 404,
     .code = ERR_NOT_FOUND},
    {"list is no call", .verb = KUBE_LIST, ON_NODE, .object = "", .code = ERR_BAD_REQUEST},
};

START_TEST(answers_calls)
{
    struct fixture f;
    setup(&f);
    struct kube_response resp;
    struct err err = {0};
    const char *ns = CALLS[_i].ns ? CALLS[_i].ns : "", *name = CALLS[_i].name;
    struct kube_request req = {.verb = CALLS[_i].verb,
                               .kind = CALLS[_i].kind,
                               .ns = str_z(ns),
                               .name = str_z(CALLS[_i].object),
                               .status = CALLS[_i].status,
                               .patch_type = CALLS[_i].type,
                               .body = str_z(CALLS[_i].body)};
    json_t *body = NULL;
    enum err_code rc = test_call(f.k, req, &body, &resp, &err);
    ck_assert_msg(rc == CALLS[_i].code, "%s: want %s, got %s: %s", name,
                  err_class(CALLS[_i].code)->name, err_class(rc)->name, err.text);
    ck_assert_msg(resp.http_status == CALLS[_i].http, "%s: HTTP %d", name, resp.http_status);
    ck_assert_msg(!CALLS[_i].says || strstr(err.text, CALLS[_i].says), "%s: says \"%s\"", name,
                  err.text);
    unsigned writes = (unsigned)kube_store_writes(f.st);
    ck_assert_msg(writes == CALLS[_i].writes, "%s: %u writes", name, writes);
    if (CALLS[_i].path) {
        const char *look_at = CALLS[_i].look_at ? CALLS[_i].look_at : CALLS[_i].object;
        json_t *now = test_get(f.k, CALLS[_i].kind, ns, look_at),
               *value = test_at(now, CALLS[_i].path);
        if (CALLS[_i].value)
            ck_assert_msg(value && strcmp(json_string_value(value), CALLS[_i].value) == 0,
                          "%s: %s is \"%s\"", name, CALLS[_i].path,
                          test_text_at(now, CALLS[_i].path));
        else
            ck_assert_msg(!value, "%s: %s is there", name, CALLS[_i].path);
        /* the answer to a write is the object as it stands */
        if (!rc && CALLS[_i].verb == KUBE_PATCH)
            ck_assert_msg(json_equal(now, body), "%s: the answer differs from the object", name);
        json_decref(now);
    }
    if (rc && resp.http_status) {
        ck_assert_str_eq(test_text_at(body, "/kind"), "Status");
        ck_assert_int_eq((int)json_integer_value(test_at(body, "/code")), resp.http_status);
    }
    json_decref(body);
    kube_free(f.k);
}
END_TEST

START_TEST(old_servers_leave_labels_of_bindings_out)
{
    struct fixture f;
    setup_cfg(&f, &(struct kube_store_config){.binding_labels = false});
    struct kube_request req = {
        .verb = KUBE_BIND,
        .kind = KUBE_POD,
        .ns = STR("ml"),
        .name = STR("free"),
        .body = STR("{\"metadata\":{\"name\":\"free\",\"labels\":{\"l\":\"v\"},"
                    "\"annotations\":{\"z\":\"1\"}},\"target\":{\"name\":\"n1\"}}")};
    ck_ok(test_call(f.k, req, NULL, NULL, why));
    json_t *pod = test_get(f.k, KUBE_POD, "ml", "free");
    ck_assert_str_eq(test_text_at(pod, "/metadata/labels/l"), "");
    ck_assert_str_eq(test_text_at(pod, "/metadata/annotations/z"), "1");
    json_decref(pod);
    struct kube_watch_handler none = {0};
    struct kube_watch_options opt = {.initial = true};
    ck_assert_int_eq(kube_watch(f.k, KUBE_POD, &opt, NULL, &none, NULL), ERR_INVALID);
    kube_free(f.k);
}
END_TEST

/* After a fence (a status patch that changed something) a Binding under the old version can't land.
 */
START_TEST(a_fence_holds)
{
    struct fixture f;
    setup(&f);
    kube_store_fault(f.st, &(struct kube_fault_rule){
                               .fault = KUBE_FAULT_TIMEOUT_LATER, .verb = KUBE_BIND, .kind = -1});
    struct kube_request bind = {
        .verb = KUBE_BIND,
        .kind = KUBE_POD,
        .ns = STR("ml"),
        .name = STR("free"),
        .body = STR("{\"metadata\":{\"name\":\"free\",\"resourceVersion\":\"" RV_FREE
                    "\"},\"target\":{\"name\":\"n1\"}}")};
    ck_assert_int_eq(test_call(f.k, bind, NULL, NULL, NULL), ERR_UNKNOWN);
    struct kube_request fence = {.verb = KUBE_PATCH,
                                 .kind = KUBE_POD,
                                 .ns = STR("ml"),
                                 .name = STR("free"),
                                 .status = true,
                                 .body = STR("{\"metadata\":{\"resourceVersion\":\"" RV_FREE
                                             "\",\"annotations\":{\"fence\":\"1\"}}}")};
    ck_ok(test_call(f.k, fence, NULL, NULL, why));
    ck_assert_uint_eq(kube_store_late(f.st), 1);
    json_t *pod = test_get(f.k, KUBE_POD, "ml", "free");
    ck_assert_ptr_null(test_at(pod, "/spec/nodeName"));
    json_decref(pod);
    kube_free(f.k);
}
END_TEST

START_TEST(deletion_ends_with_the_last_finalizer)
{
    struct fixture f;
    setup(&f);
    struct kube_request del = {
        .verb = KUBE_DELETE, .kind = KUBE_POD, .ns = STR("ml"), .name = STR("held")};
    struct kube_request patch = {.verb = KUBE_PATCH,
                                 .kind = KUBE_POD,
                                 .ns = STR("ml"),
                                 .name = STR("held"),
                                 .body = STR("{\"metadata\":{\"finalizers\":null}}")};
    ck_ok(test_call(f.k, del, NULL, NULL, why));
    ck_ok(test_call(f.k, del, NULL, NULL, why)); /* again: nothing more */
    ck_assert_uint_eq(kube_store_writes(f.st), 1);
    ck_ok(test_call(f.k, patch, NULL, NULL, why));
    ck_assert_ptr_null(test_get(f.k, KUBE_POD, "ml", "held"));
    kube_free(f.k);
}
END_TEST

START_TEST(a_recreated_object_has_another_uid)
{
    struct fixture f;
    setup(&f);
    struct kube_request create = {.verb = KUBE_CREATE,
                                  .kind = KUBE_POD,
                                  .ns = STR("ml"),
                                  .body = STR("{\"metadata\":{\"name\":\"x\",\"uid\":\"mine\"}}")};
    struct kube_request del = {
        .verb = KUBE_DELETE, .kind = KUBE_POD, .ns = STR("ml"), .name = STR("x")};
    char uid[2][64];
    for (int i = 0; i < 2; i++) {
        json_t *pod = NULL;
        ck_ok(test_call(f.k, create, &pod, NULL, why));
        (void)snprintf(uid[i], sizeof(uid[i]), "%s", test_text_at(pod, "/metadata/uid"));
        json_decref(pod);
        ck_ok(test_call(f.k, del, NULL, NULL, why));
    }
    ck_assert_uint_eq(strlen(uid[0]), 36);
    ck_assert_str_ne(uid[0], uid[1]);
    kube_free(f.k);
}
END_TEST

START_TEST(bounds)
{
    struct fixture f;
    setup_cfg(&f, &(struct kube_store_config){.objects_max = CLUSTER_OBJECTS + 1});
    struct kube_request create = {.verb = KUBE_CREATE,
                                  .kind = KUBE_POD,
                                  .ns = STR("ml"),
                                  .body = STR("{\"metadata\":{\"generateName\":\"x-\"}}")};
    ck_ok(test_call(f.k, create, NULL, NULL, why));
    ck_assert_int_eq(test_call(f.k, create, NULL, NULL, NULL), ERR_FORBIDDEN);
    /* 256 KiB of annotations, and one byte more */
    for (size_t extra = 0; extra < 2; extra++) {
        size_t n = ((size_t)256 << 10) - 1 + extra; /* the key is one byte */
        char *body = malloc(n + 64), *p = body;
        p += sprintf(p, "{\"metadata\":{\"annotations\":{\"k\":\"");
        memset(p, 'x', n);
        (void)strcpy(p + n, "\"}}}");
        struct kube_request patch = {
            .verb = KUBE_PATCH, .kind = KUBE_NODE, .name = STR("n1"), .body = str_z(body)};
        ck_assert_int_eq(test_call(f.k, patch, NULL, NULL, NULL), extra ? ERR_INVALID : ERR_OK);
        free(body);
    }
    size_t n = ((size_t)3 << 20) + 1;
    char *large = malloc(n);
    memset(large, ' ', n);
    struct kube_request patch = {
        .verb = KUBE_PATCH, .kind = KUBE_NODE, .name = STR("n1"), .body = {large, n}};
    ck_assert_int_eq(test_call(f.k, patch, NULL, NULL, NULL), ERR_TOO_LARGE);
    memset(large, '[', n);
    patch.body.n = 100000;
    ck_assert_int_eq(test_call(f.k, patch, NULL, NULL, NULL), ERR_BAD_REQUEST);
    free(large);
    _Atomic bool stop = true;
    patch.body = STR("{}");
    patch.stop = &stop;
    ck_assert_int_eq(test_call(f.k, patch, NULL, NULL, NULL), ERR_CANCELLED);
    kube_free(f.k);
}
END_TEST

/* ---- patches, by themselves ---- */

static const struct {
    const char *name;
    enum kube_patch_type type;
    const char *object, *patch, *want; /* want NULL: refused */
    int status;
} PATCHES[] = {
    /* RFC 7386, appendix A, where the target is an object */
    {"7386: replace", KUBE_PATCH_MERGE, "{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}", 0},
    {"7386: add", KUBE_PATCH_MERGE, "{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}",
     0},
    {"7386: delete", KUBE_PATCH_MERGE, "{\"a\":\"b\"}", "{\"a\":null}", "{}", 0},
    {"7386: delete one of two", KUBE_PATCH_MERGE, "{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}",
     "{\"b\":\"c\"}", 0},
    {"7386: a list by a text", KUBE_PATCH_MERGE, "{\"a\":[\"b\"]}", "{\"a\":\"c\"}",
     "{\"a\":\"c\"}", 0},
    {"7386: a text by a list", KUBE_PATCH_MERGE, "{\"a\":\"c\"}", "{\"a\":[\"b\"]}",
     "{\"a\":[\"b\"]}", 0},
    {"7386: within", KUBE_PATCH_MERGE, "{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
     "{\"a\":{\"b\":\"d\"}}", 0},
    {"7386: lists are replaced", KUBE_PATCH_MERGE, "{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}",
     "{\"a\":[1]}", 0},
    {"7386: null inside a list stays", KUBE_PATCH_MERGE, "{}", "{\"a\":[null]}", "{\"a\":[null]}",
     0},
    {"7386: null in a new map goes", KUBE_PATCH_MERGE, "{}", "{\"a\":{\"bb\":{\"ccc\":null}}}",
     "{\"a\":{\"bb\":{}}}", 0},
    {"7386: e stays", KUBE_PATCH_MERGE, "{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}", 0},
    {"a scalar by a map", KUBE_PATCH_MERGE, "{\"a\":1}", "{\"a\":{\"b\":2}}", "{\"a\":{\"b\":2}}",
     0},
    {"a text as patch", KUBE_PATCH_MERGE, "{}", "\"x\"", NULL, 400},
    /* RFC 6902, appendix A */
    {"6902: add a member", KUBE_PATCH_JSON, "{\"foo\":\"bar\"}",
     "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\"}]", "{\"baz\":\"qux\",\"foo\":\"bar\"}",
     0},
    {"6902: add an element", KUBE_PATCH_JSON, "{\"foo\":[\"bar\",\"baz\"]}",
     "[{\"op\":\"add\",\"path\":\"/foo/1\",\"value\":\"qux\"}]",
     "{\"foo\":[\"bar\",\"qux\",\"baz\"]}", 0},
    {"6902: remove a member", KUBE_PATCH_JSON, "{\"baz\":\"qux\",\"foo\":\"bar\"}",
     "[{\"op\":\"remove\",\"path\":\"/baz\"}]", "{\"foo\":\"bar\"}", 0},
    {"6902: remove an element", KUBE_PATCH_JSON, "{\"foo\":[\"bar\",\"qux\",\"baz\"]}",
     "[{\"op\":\"remove\",\"path\":\"/foo/1\"}]", "{\"foo\":[\"bar\",\"baz\"]}", 0},
    {"6902: replace", KUBE_PATCH_JSON, "{\"baz\":\"qux\"}",
     "[{\"op\":\"replace\",\"path\":\"/baz\",\"value\":\"boo\"}]", "{\"baz\":\"boo\"}", 0},
    {"6902: replace an element", KUBE_PATCH_JSON, "{\"a\":[1,2]}",
     "[{\"op\":\"replace\",\"path\":\"/a/1\",\"value\":3}]", "{\"a\":[1,3]}", 0},
    {"6902: move a member", KUBE_PATCH_JSON,
     "{\"foo\":{\"bar\":\"baz\",\"waldo\":\"fred\"},\"qux\":{\"corge\":\"grault\"}}",
     "[{\"op\":\"move\",\"from\":\"/foo/waldo\",\"path\":\"/qux/thud\"}]",
     "{\"foo\":{\"bar\":\"baz\"},\"qux\":{\"corge\":\"grault\",\"thud\":\"fred\"}}", 0},
    {"6902: move an element", KUBE_PATCH_JSON, "{\"foo\":[\"all\",\"grass\",\"cows\",\"eat\"]}",
     "[{\"op\":\"move\",\"from\":\"/foo/1\",\"path\":\"/foo/3\"}]",
     "{\"foo\":[\"all\",\"cows\",\"eat\",\"grass\"]}", 0},
    {"6902: copy", KUBE_PATCH_JSON, "{\"a\":{\"b\":[1]}}",
     "[{\"op\":\"copy\",\"from\":\"/a/b\",\"path\":\"/c\"},{\"op\":\"add\","
     "\"path\":\"/c/-\",\"value\":2}]",
     "{\"a\":{\"b\":[1]},\"c\":[1,2]}", 0},
    {"6902: test", KUBE_PATCH_JSON, "{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}",
     "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"qux\"},{\"op\":\"test\",\"path\":\"/foo/"
     "1\",\"value\":2}]",
     "{\"baz\":\"qux\",\"foo\":[\"a\",2,\"c\"]}", 0},
    {"6902: test fails", KUBE_PATCH_JSON, "{\"baz\":\"qux\"}",
     "[{\"op\":\"test\",\"path\":\"/baz\",\"value\":\"bar\"}]", NULL, 422},
    {"6902: add a nested member", KUBE_PATCH_JSON, "{\"foo\":\"bar\"}",
     "[{\"op\":\"add\",\"path\":\"/child\",\"value\":{\"g\":{}}}]",
     "{\"foo\":\"bar\",\"child\":{\"g\":{}}}", 0},
    {"6902: unknown members are ignored", KUBE_PATCH_JSON, "{}",
     "[{\"op\":\"add\",\"path\":\"/baz\",\"value\":\"qux\",\"xyz\":123}]", "{\"baz\":\"qux\"}", 0},
    {"6902: add to a target that is not there", KUBE_PATCH_JSON, "{\"foo\":\"bar\"}",
     "[{\"op\":\"add\",\"path\":\"/baz/bat\",\"value\":\"qux\"}]", NULL, 422},
    {"6902: ~ and /", KUBE_PATCH_JSON, "{\"/\":9,\"~1\":10}",
     "[{\"op\":\"test\",\"path\":\"/~01\",\"value\":10},{\"op\":\"remove\","
     "\"path\":\"/~1\"}]",
     "{\"~1\":10}", 0},
    {"6902: texts and numbers differ", KUBE_PATCH_JSON, "{\"a\":10}",
     "[{\"op\":\"test\",\"path\":\"/a\",\"value\":\"10\"}]", NULL, 422},
    {"6902: append", KUBE_PATCH_JSON, "{\"foo\":[\"bar\"]}",
     "[{\"op\":\"add\",\"path\":\"/foo/-\",\"value\":[\"abc\"]}]", "{\"foo\":[\"bar\",[\"abc\"]]}",
     0},
    {"add replaces what is there", KUBE_PATCH_JSON, "{\"a\":1}",
     "[{\"op\":\"add\",\"path\":\"/a\",\"value\":2}]", "{\"a\":2}", 0},
    {"add behind the end", KUBE_PATCH_JSON, "{\"a\":[1]}",
     "[{\"op\":\"add\",\"path\":\"/a/2\",\"value\":2}]", NULL, 422},
    {"add at the end by number", KUBE_PATCH_JSON, "{\"a\":[1]}",
     "[{\"op\":\"add\",\"path\":\"/a/1\",\"value\":2}]", "{\"a\":[1,2]}", 0},
    {"an index with a leading zero", KUBE_PATCH_JSON, "{\"a\":[1,2]}",
     "[{\"op\":\"remove\",\"path\":\"/a/01\"}]", NULL, 422},
    {"a negative index", KUBE_PATCH_JSON, "{\"a\":[1,2]}",
     "[{\"op\":\"remove\",\"path\":\"/a/-1\"}]", NULL, 422},
    {"an index that is text", KUBE_PATCH_JSON, "{\"a\":[1,2]}",
     "[{\"op\":\"replace\",\"path\":\"/a/x\",\"value\":1}]", NULL, 422},
    {"remove '-'", KUBE_PATCH_JSON, "{\"a\":[1,2]}", "[{\"op\":\"remove\",\"path\":\"/a/-\"}]",
     NULL, 422},
    {"remove what is not there", KUBE_PATCH_JSON, "{\"a\":1}",
     "[{\"op\":\"remove\",\"path\":\"/b\"}]", NULL, 422},
    {"replace makes what is not there", KUBE_PATCH_JSON, "{\"a\":1}",
     "[{\"op\":\"replace\",\"path\":\"/b\",\"value\":1}]", "{\"a\":1,\"b\":1}", 0},
    {"replace an element that is not there", KUBE_PATCH_JSON, "{\"a\":[1]}",
     "[{\"op\":\"replace\",\"path\":\"/a/1\",\"value\":1}]", NULL, 422},
    {"move what is not there", KUBE_PATCH_JSON, "{\"a\":1}",
     "[{\"op\":\"move\",\"from\":\"/b\",\"path\":\"/c\"}]", NULL, 422},
    {"move into itself", KUBE_PATCH_JSON, "{\"a\":{\"b\":1}}",
     "[{\"op\":\"move\",\"from\":\"/a\",\"path\":\"/a/c\"}]", NULL, 422},
    {"through a text", KUBE_PATCH_JSON, "{\"a\":\"x\"}",
     "[{\"op\":\"add\",\"path\":\"/a/b\",\"value\":1}]", NULL, 422},
    {"no op", KUBE_PATCH_JSON, "{}", "[{\"path\":\"/a\",\"value\":1}]", NULL, 422},
    {"an unknown op", KUBE_PATCH_JSON, "{}", "[{\"op\":\"frob\",\"path\":\"/a\",\"value\":1}]",
     NULL, 422},
    {"no path", KUBE_PATCH_JSON, "{}", "[{\"op\":\"add\",\"value\":1}]", NULL, 422},
    {"no value", KUBE_PATCH_JSON, "{}", "[{\"op\":\"add\",\"path\":\"/a\"}]", NULL, 422},
    {"no from", KUBE_PATCH_JSON, "{}", "[{\"op\":\"copy\",\"path\":\"/a\"}]", NULL, 422},
    {"a relative path", KUBE_PATCH_JSON, "{\"a\":1}", "[{\"op\":\"remove\",\"path\":\"a\"}]", NULL,
     422},
    {"nothing to do", KUBE_PATCH_JSON, "{\"a\":1}", "[]", "{\"a\":1}", 0},
    {"strategic: a directive deep inside", KUBE_PATCH_STRATEGIC, "{}",
     "{\"a\":[{\"$retainKeys\":[]}]}", NULL, 422},
};

START_TEST(patches)
{
    json_t *object = json_loads(PATCHES[_i].object, 0, NULL), *before = json_deep_copy(object);
    json_t *patch = json_loads(PATCHES[_i].patch, JSON_DECODE_ANY, NULL), *got = NULL;
    ck_assert_msg(object && patch, "%s: the row itself", PATCHES[_i].name);
    struct kube_refusal r = {0};
    bool good = kube_patch_apply(PATCHES[_i].type, object, patch, &got, &r);
    ck_assert_msg(good == (PATCHES[_i].want != NULL), "%s: %d %s", PATCHES[_i].name, r.status,
                  r.message);
    ck_assert_msg(good || r.status == PATCHES[_i].status, "%s: %d %s", PATCHES[_i].name, r.status,
                  r.message);
    if (good) {
        json_t *want = json_loads(PATCHES[_i].want, 0, NULL);
        char *text = json_dumps(got, JSON_COMPACT);
        ck_assert_msg(json_equal(got, want), "%s: got %s", PATCHES[_i].name, text);
        free(text);
        json_decref(want);
        json_decref(got);
    }
    ck_assert_msg(json_equal(object, before), "%s: the object itself was changed",
                  PATCHES[_i].name);
    json_decref(object);
    json_decref(before);
    json_decref(patch);
}
END_TEST

START_TEST(patch_of_too_many_operations)
{
    json_t *object = json_pack("{s:i}", "a", 1), *patch = json_array(), *got = NULL;
    for (int i = 0; i < 10000; i++)
        json_array_append_new(patch,
                              json_pack("{s:s,s:s,s:i}", "op", "test", "path", "/a", "value", 1));
    struct kube_refusal r = {0};
    ck_assert(kube_patch_apply(KUBE_PATCH_JSON, object, patch, &got, &r));
    json_decref(got);
    json_array_append_new(patch,
                          json_pack("{s:s,s:s,s:i}", "op", "test", "path", "/a", "value", 1));
    ck_assert(!kube_patch_apply(KUBE_PATCH_JSON, object, patch, &got, &r));
    ck_assert_int_eq(r.status, 413);
    json_decref(object);
    json_decref(patch);
}
END_TEST

/* ---- lists and watches ---- */

struct seen {
    _Atomic bool stop;
    size_t stop_after; /* events; 0: never */
    size_t n;
    char text[8192]; /* "A free@3 M free@11 …" */
    uint64_t rv;
    bool ordered;
};

static void note(struct seen *s, const char *what, struct str object, struct str rv)
{
    json_t *o = json_loadb(object.p, object.n, 0, NULL);
    size_t at = strlen(s->text);
    (void)snprintf(s->text + at, sizeof(s->text) - at, "%s%s%s%s@%.*s", at ? " " : "", what,
                   *test_text_at(o, "/metadata/name") ? " " : "", test_text_at(o, "/metadata/name"),
                   (int)rv.n, rv.p);
    ck_assert_msg(str_eq(str_z(test_text_at(o, "/metadata/resourceVersion")), rv),
                  "the object's own number differs");
    json_decref(o);
}

static enum err_code see_event(void *ctx, enum kube_event_type type, struct str object,
                               struct str rv, struct err *err)
{
    struct seen *s = ctx;
    static const char *const NAMES[] = {"A", "M", "D", "B", "END"};
    (void)err;
    note(s, NAMES[type], object, rv);
    if (++s->n == s->stop_after)
        s->stop = true;
    return ERR_OK;
}

static enum err_code watch(struct fixture *f, enum kube_kind kind, struct kube_watch_options opt,
                           struct seen *s)
{
    struct kube_watch_handler handler = {.event = see_event, .ctx = s};
    f->tc.step_ns = INT64_C(400000000); /* time passes by looking at it */
    enum err_code rc = kube_watch(f->k, kind, &opt, &s->stop, &handler, NULL);
    f->tc.step_ns = 0;
    return rc;
}

static void patch_label(struct fixture *f, enum kube_kind kind, const char *name, const char *value)
{
    char body[128];
    (void)snprintf(body, sizeof(body), "{\"metadata\":{\"labels\":{\"l\":\"%s\"}}}", value);
    struct kube_request req = {.verb = KUBE_PATCH,
                               .kind = kind,
                               .ns = str_z(kind == KUBE_POD ? "ml" : ""),
                               .name = str_z(name),
                               .body = str_z(body)};
    ck_ok(test_call(f->k, req, NULL, NULL, why));
}

static void bind_pod(struct fixture *f, const char *name, const char *node)
{
    char body[256];
    (void)snprintf(body, sizeof(body),
                   "{\"metadata\":{\"name\":\"%s\"},\"target\":{\"name\":\"%s\"}}", name, node);
    struct kube_request req = {.verb = KUBE_BIND,
                               .kind = KUBE_POD,
                               .ns = STR("ml"),
                               .name = str_z(name),
                               .body = str_z(body)};
    ck_ok(test_call(f->k, req, NULL, NULL, why));
}

static void set_phase(struct fixture *f, const char *name, const char *phase)
{
    char body[128];
    (void)snprintf(body, sizeof(body), "{\"status\":{\"phase\":\"%s\"}}", phase);
    struct kube_request req = {.verb = KUBE_PATCH,
                               .kind = KUBE_POD,
                               .ns = STR("ml"),
                               .name = str_z(name),
                               .status = true,
                               .body = str_z(body)};
    ck_ok(test_call(f->k, req, NULL, NULL, why));
}

static void delete_pod(struct fixture *f, const char *name)
{
    struct kube_request req = {.verb = KUBE_DELETE,
                               .kind = KUBE_POD,
                               .ns = STR("ml"),
                               .name = str_z(name),
                               .body = STR("{\"gracePeriodSeconds\":0}")};
    ck_ok(test_call(f->k, req, NULL, NULL, why));
}

static const struct {
    const char *name;
    enum kube_kind kind;
    struct kube_watch_options opt;
    const char *want;
    enum err_code code;
} WATCHES[] = {
    /* The course of things: 11 label of n1, 12 label of free, 13 free bound to n1, 14 bound Failed,
       15 done deleted. */
    {"from a version on",
     KUBE_POD,
     {.resource_version = "10"},
     "M free@12 M free@13 M bound@14 D done@15 B@15",
     ERR_OK},
    {"from the middle",
     KUBE_POD,
     {.resource_version = "12"},
     "M free@13 M bound@14 D done@15 B@15",
     ERR_OK},
    {"from the version of another kind's change",
     KUBE_POD,
     {.resource_version = "11"},
     "M free@12 M free@13 M bound@14 D done@15 B@15",
     ERR_OK},
    {"from the end", KUBE_POD, {.resource_version = "15"}, "B@15", ERR_OK},
    {"nodes", KUBE_NODE, {.resource_version = "10"}, "M n1@11 B@15", ERR_OK},
    {"all that was loaded", KUBE_NODE, {.resource_version = "1"}, "A n2@2 M n1@11 B@15", ERR_OK},
    {"initial", KUBE_NODE, {.initial = true}, "A n1@11 A n2@2 END@15 B@15", ERR_OK},
    {"initial, selected",
     KUBE_POD,
     {.initial = true, .field_selector = "spec.nodeName=n1"},
     "A bound@14 A free@13 END@15 B@15",
     ERR_OK},
    {"no version: what there is, as added", KUBE_NODE, {0}, "A n1@11 A n2@2 B@15", ERR_OK},
    {"into the selection and out of it",
     KUBE_POD,
     {.resource_version = "10", .field_selector = "spec.nodeName="},
     "M free@12 D free@13 B@15",
     ERR_OK},
    {"into it",
     KUBE_POD,
     {.resource_version = "10", .field_selector = "spec.nodeName=n1"},
     "A free@13 M bound@14 D done@15 B@15",
     ERR_OK},
    {"not Succeeded, not Failed",
     KUBE_POD,
     {.resource_version = "10", .field_selector = "status.phase!=Succeeded,status.phase!=Failed"},
     "M free@12 M free@13 D bound@14 B@15",
     ERR_OK},
    {"one by name",
     KUBE_POD,
     {.resource_version = "10", .field_selector = "metadata.name=bound"},
     "M bound@14 B@15",
     ERR_OK},
    {"another namespace", KUBE_POD, {.resource_version = "10", .ns = "x"}, "B@15", ERR_OK},
    {"a version to come", KUBE_POD, {.resource_version = "16"}, "", ERR_UNAVAILABLE},
    {"a version that is none", KUBE_POD, {.resource_version = "x"}, "", ERR_BAD_REQUEST},
    {"a field that is none",
     KUBE_POD,
     {.resource_version = "10", .field_selector = "spec.nodename=x"},
     "",
     ERR_BAD_REQUEST},
    {"a selector that is none",
     KUBE_POD,
     {.resource_version = "10", .field_selector = "x"},
     "",
     ERR_BAD_REQUEST},
};

START_TEST(watches)
{
    struct fixture f;
    setup(&f);
    patch_label(&f, KUBE_NODE, "n1", "1");
    patch_label(&f, KUBE_POD, "free", "1");
    bind_pod(&f, "free", "n1");
    set_phase(&f, "bound", "Failed");
    delete_pod(&f, "done");
    struct seen s = {0};
    struct kube_watch_options opt = WATCHES[_i].opt;
    opt.timeout_s = 1;
    enum err_code rc = watch(&f, WATCHES[_i].kind, opt, &s);
    ck_assert_msg(rc == WATCHES[_i].code, "%s: %s", WATCHES[_i].name, err_class(rc)->name);
    ck_assert_msg(strcmp(s.text, WATCHES[_i].want) == 0, "%s: got \"%s\"", WATCHES[_i].name,
                  s.text);
    kube_free(f.k);
}
END_TEST

START_TEST(history_has_an_end)
{
    struct fixture f;
    setup_cfg(&f, &(struct kube_store_config){.events_kept = 4});
    for (int i = 0; i < 10; i++) { /* 11 … 20 */
        char value[8];
        (void)snprintf(value, sizeof(value), "%d", i);
        patch_label(&f, KUBE_POD, "free", value);
    }
    static const struct {
        const char *rv;
        enum err_code code;
        const char *want;
    } ROWS[] = {{"10", ERR_GONE, ""},
                {"15", ERR_GONE, ""},
                {"16", ERR_OK, "M free@17 M free@18 M free@19 M free@20 B@20"},
                {"20", ERR_OK, "B@20"}};
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        struct seen s = {0};
        struct kube_watch_options opt = {.resource_version = ROWS[i].rv, .timeout_s = 1};
        ck_assert_msg(watch(&f, KUBE_POD, opt, &s) == ROWS[i].code, "%s", ROWS[i].rv);
        ck_assert_str_eq(s.text, ROWS[i].want);
    }
    kube_store_drop_watches(f.st, true);
    struct seen s = {0};
    ck_assert_int_eq(watch(&f, KUBE_POD,
                           (struct kube_watch_options){.resource_version = "20", .timeout_s = 1},
                           &s),
                     ERR_GONE);
    ck_assert_int_eq(watch(&f, KUBE_NODE,
                           (struct kube_watch_options){.resource_version = "20", .timeout_s = 1},
                           &s),
                     ERR_GONE);
    char rv[KUBE_RV_MAX];
    struct kube_list_handler none = {0};
    ck_ok(kube_list(f.k, KUBE_EVENT, NULL, NULL, &none, rv, why));
    ck_assert_int_eq(watch(&f, KUBE_POD,
                           (struct kube_watch_options){.resource_version = rv, .timeout_s = 1}, &s),
                     ERR_OK);
    kube_free(f.k);
}
END_TEST

struct cut {
    struct fixture *f;
    struct seen seen;
    enum err_code rc;
};

static void *watch_long(void *ctx)
{
    struct cut *c = ctx;
    struct kube_watch_handler handler = {.event = see_event, .ctx = &c->seen};
    struct kube_watch_options opt = {.resource_version = "10"};
    c->rc = kube_watch(c->f->k, KUBE_POD, &opt, &c->seen.stop, &handler, NULL);
    return NULL;
}

START_TEST(watches_end_when_they_are_cut_or_stopped)
{
    for (int how = 0; how < 2; how++) {
        struct fixture f;
        setup(&f);
        struct cut c = {.f = &f};
        pthread_t thread;
        pthread_create(&thread, NULL, watch_long, &c);
        (void)nanosleep(&(struct timespec){.tv_nsec = 30000000}, NULL);
        struct timespec t0, t1;
        (void)clock_gettime(CLOCK_MONOTONIC, &t0);
        if (how == 0)
            kube_store_drop_watches(f.st, false);
        else
            c.seen.stop = true;
        pthread_join(thread, NULL);
        (void)clock_gettime(CLOCK_MONOTONIC, &t1);
        ck_assert_int_eq(c.rc, how == 0 ? ERR_UNAVAILABLE : ERR_CANCELLED);
        ck_assert_int_lt((t1.tv_sec - t0.tv_sec) * 1000 + (t1.tv_nsec - t0.tv_nsec) / 1000000,
                         1000);
        /* what was cut, without being gone, resumes */
        struct seen s = {0};
        ck_assert_int_eq(
            watch(&f, KUBE_POD,
                  (struct kube_watch_options){.resource_version = "10", .timeout_s = 1}, &s),
            ERR_OK);
        kube_free(f.k);
    }
}
END_TEST

static enum err_code see_item(void *ctx, struct str object, struct err *err)
{
    struct seen *s = ctx;
    (void)err;
    json_t *o = json_loadb(object.p, object.n, 0, NULL);
    note(s, "-", object, str_z(test_text_at(o, "/metadata/resourceVersion")));
    json_decref(o);
    if (++s->n == s->stop_after)
        s->stop = true;
    return ERR_OK;
}

START_TEST(lists)
{
    struct fixture f;
    setup(&f);
    static const struct {
        const char *name;
        enum kube_kind kind;
        struct kube_list_options opt;
        const char *want;
        enum err_code code;
    } ROWS[] = {
        {"nodes", KUBE_NODE, {0}, "- n1@1 - n2@2", ERR_OK},
        {"pods, by name",
         KUBE_POD,
         {0},
         "- bound@4 - done@7 - dying@5 - free@3 - gated@6 - held@8",
         ERR_OK},
        {"pods of a node",
         KUBE_POD,
         {.field_selector = "spec.nodeName=n1"},
         "- bound@4 - done@7",
         ERR_OK},
        {"two terms",
         KUBE_POD,
         {.field_selector = "spec.nodeName==n1,status.phase!=Succeeded"},
         "- bound@4",
         ERR_OK},
        {"a namespace that is empty", KUBE_POD, {.ns = "x"}, "", ERR_OK},
        {"an old version will do", KUBE_NODE, {.resource_version = "0"}, "- n1@1 - n2@2", ERR_OK},
        {"a version to come", KUBE_NODE, {.resource_version = "99"}, "", ERR_UNAVAILABLE},
        {"an unknown field",
         KUBE_NODE,
         {.field_selector = "spec.nodeName=n1"},
         "",
         ERR_BAD_REQUEST},
    };
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        struct seen s = {0};
        struct kube_list_handler handler = {.item = see_item, .ctx = &s};
        char rv[KUBE_RV_MAX] = "untouched";
        enum err_code rc = kube_list(f.k, ROWS[i].kind, &ROWS[i].opt, NULL, &handler, rv, NULL);
        ck_assert_msg(rc == ROWS[i].code, "%s: %s", ROWS[i].name, err_class(rc)->name);
        ck_assert_msg(strcmp(s.text, ROWS[i].want) == 0, "%s: got \"%s\"", ROWS[i].name, s.text);
        ck_assert_str_eq(rv, rc ? "untouched" : "10");
    }
    struct seen s = {.stop_after = 2};
    struct kube_list_handler handler = {.item = see_item, .ctx = &s};
    char rv[KUBE_RV_MAX];
    ck_assert_int_eq(kube_list(f.k, KUBE_POD, NULL, &s.stop, &handler, rv, NULL), ERR_CANCELLED);
    ck_assert_uint_eq(s.n, 2);
    kube_free(f.k);
}
END_TEST

/* ---- faults ---- */

static const struct {
    const char *name;
    struct kube_fault_rule rule;
    enum kube_verb verb; /* KUBE_PATCH: a label of n1; KUBE_GET: n1 */
    enum err_code code;
    int http, retry_ms;
    bool sent, done, done_late;
} FAULT_ROWS[] = {
    {"refused write",
     {.fault = KUBE_FAULT_REFUSED, .verb = -1, .kind = -1},
     KUBE_PATCH,
     ERR_UNAVAILABLE,
     0,
     0,
     false,
     false,
     false},
    {"refused read",
     {.fault = KUBE_FAULT_REFUSED, .verb = -1, .kind = -1},
     KUBE_GET,
     ERR_UNAVAILABLE,
     0,
     0,
     false,
     false,
     false},
    {"500 on a write",
     {.fault = KUBE_FAULT_STATUS, .verb = -1, .kind = -1, .status = 500},
     KUBE_PATCH,
     ERR_UNKNOWN,
     500,
     0,
     true,
     false,
     false},
    {"500 on a read",
     {.fault = KUBE_FAULT_STATUS, .verb = -1, .kind = -1, .status = 500},
     KUBE_GET,
     ERR_UNAVAILABLE,
     500,
     0,
     true,
     false,
     false},
    {"503 on a write",
     {.fault = KUBE_FAULT_STATUS, .verb = -1, .kind = -1, .status = 503, .retry_after_s = 2},
     KUBE_PATCH,
     ERR_UNKNOWN,
     503,
     2000,
     true,
     false,
     false},
    {"429",
     {.fault = KUBE_FAULT_STATUS, .verb = -1, .kind = -1, .status = 429, .retry_after_s = 3},
     KUBE_PATCH,
     ERR_BUSY,
     429,
     3000,
     true,
     false,
     false},
    {"401",
     {.fault = KUBE_FAULT_STATUS, .verb = -1, .kind = -1, .status = 401},
     KUBE_PATCH,
     ERR_FORBIDDEN,
     401,
     0,
     true,
     false,
     false},
    {"403",
     {.fault = KUBE_FAULT_STATUS, .verb = -1, .kind = -1, .status = 403},
     KUBE_GET,
     ERR_FORBIDDEN,
     403,
     0,
     true,
     false,
     false},
    {"409",
     {.fault = KUBE_FAULT_STATUS, .verb = -1, .kind = -1, .status = 409},
     KUBE_PATCH,
     ERR_CONFLICT,
     409,
     0,
     true,
     false,
     false},
    {"410",
     {.fault = KUBE_FAULT_STATUS, .verb = -1, .kind = -1, .status = 410},
     KUBE_GET,
     ERR_GONE,
     410,
     0,
     true,
     false,
     false},
    {"413",
     {.fault = KUBE_FAULT_STATUS, .verb = -1, .kind = -1, .status = 413},
     KUBE_PATCH,
     ERR_TOO_LARGE,
     413,
     0,
     true,
     false,
     false},
    {"422",
     {.fault = KUBE_FAULT_STATUS, .verb = -1, .kind = -1, .status = 422},
     KUBE_PATCH,
     ERR_INVALID,
     422,
     0,
     true,
     false,
     false},
    {"415",
     {.fault = KUBE_FAULT_STATUS, .verb = -1, .kind = -1, .status = 415},
     KUBE_PATCH,
     ERR_BAD_REQUEST,
     415,
     0,
     true,
     false,
     false},
    {"302",
     {.fault = KUBE_FAULT_STATUS, .verb = -1, .kind = -1, .status = 302},
     KUBE_PATCH,
     ERR_UNAVAILABLE,
     302,
     0,
     true,
     false,
     false},
    {"time-out, never done",
     {.fault = KUBE_FAULT_TIMEOUT_NEVER, .verb = -1, .kind = -1},
     KUBE_PATCH,
     ERR_UNKNOWN,
     0,
     0,
     true,
     false,
     false},
    {"time-out, done later",
     {.fault = KUBE_FAULT_TIMEOUT_LATER, .verb = -1, .kind = -1},
     KUBE_PATCH,
     ERR_UNKNOWN,
     0,
     0,
     true,
     false,
     true},
    {"time-out of a read",
     {.fault = KUBE_FAULT_TIMEOUT_LATER, .verb = -1, .kind = -1},
     KUBE_GET,
     ERR_UNAVAILABLE,
     0,
     0,
     true,
     false,
     false},
    {"cut, done",
     {.fault = KUBE_FAULT_CUT_DONE, .verb = -1, .kind = -1},
     KUBE_PATCH,
     ERR_UNKNOWN,
     0,
     0,
     true,
     true,
     true},
    {"cut read",
     {.fault = KUBE_FAULT_CUT_DONE, .verb = -1, .kind = -1},
     KUBE_GET,
     ERR_UNAVAILABLE,
     0,
     0,
     true,
     false,
     false},
    {"of another verb",
     {.fault = KUBE_FAULT_REFUSED, .verb = KUBE_BIND, .kind = -1},
     KUBE_PATCH,
     ERR_OK,
     200,
     0,
     true,
     true,
     true},
    {"of another kind",
     {.fault = KUBE_FAULT_REFUSED, .verb = -1, .kind = KUBE_POD},
     KUBE_PATCH,
     ERR_OK,
     200,
     0,
     true,
     true,
     true},
    {"one call later",
     {.fault = KUBE_FAULT_REFUSED, .verb = -1, .kind = -1, .after = 1},
     KUBE_PATCH,
     ERR_OK,
     200,
     0,
     true,
     true,
     true},
};

static bool labelled(struct fixture *f)
{
    json_t *n = test_get(f->k, KUBE_NODE, "", "n1");
    bool is = *test_text_at(n, "/metadata/labels/l");
    json_decref(n);
    return is;
}

START_TEST(faults)
{
    struct fixture f;
    setup(&f);
    kube_store_fault(f.st, &FAULT_ROWS[_i].rule);
    struct kube_request req = {.verb = FAULT_ROWS[_i].verb,
                               .kind = KUBE_NODE,
                               .name = STR("n1"),
                               .body = STR("{\"metadata\":{\"labels\":{\"l\":\"v\"}}}")};
    struct kube_response resp;
    enum err_code rc = test_call(f.k, req, NULL, &resp, NULL);
    const char *name = FAULT_ROWS[_i].name;
    ck_assert_msg(rc == FAULT_ROWS[_i].code, "%s: %s", name, err_class(rc)->name);
    ck_assert_msg(resp.http_status == FAULT_ROWS[_i].http, "%s: HTTP %d", name, resp.http_status);
    ck_assert_msg(resp.retry_after_ms == FAULT_ROWS[_i].retry_ms, "%s: %d", name,
                  resp.retry_after_ms);
    ck_assert_msg(resp.sent == FAULT_ROWS[_i].sent, "%s: sent", name);
    kube_store_fault_clear(f.st);
    ck_assert_msg(labelled(&f) == FAULT_ROWS[_i].done, "%s: done", name);
    ck_assert_uint_eq(kube_store_late(f.st),
                      FAULT_ROWS[_i].done_late && !FAULT_ROWS[_i].done ? 1 : 0);
    ck_assert_msg(labelled(&f) == FAULT_ROWS[_i].done_late, "%s: done late", name);
    ck_assert_uint_eq(kube_store_late(f.st), 0);
    kube_free(f.k);
}
END_TEST

START_TEST(faults_are_counted)
{
    struct fixture f;
    setup(&f);
    kube_store_fault(f.st, &(struct kube_fault_rule){.fault = KUBE_FAULT_STATUS,
                                                     .verb = KUBE_GET,
                                                     .kind = KUBE_NODE,
                                                     .after = 2,
                                                     .times = 2,
                                                     .status = 500});
    kube_store_fault(
        f.st, &(struct kube_fault_rule){
                  .fault = KUBE_FAULT_STATUS, .verb = -1, .kind = -1, .after = 3, .status = 429});
    static const enum err_code WANT[] = {ERR_OK,          ERR_OK,   ERR_UNAVAILABLE,
                                         ERR_UNAVAILABLE, ERR_BUSY, ERR_OK};
    struct kube_request req = {.verb = KUBE_GET, .kind = KUBE_NODE, .name = STR("n1")};
    for (size_t i = 0; i < COUNT(WANT); i++)
        ck_assert_msg(test_call(f.k, req, NULL, NULL, NULL) == WANT[i], "call %zu", i);
    kube_free(f.k);
}
END_TEST

START_TEST(faults_of_lists_and_watches)
{
    static const struct {
        struct kube_fault_rule rule;
        enum err_code code;
        size_t seen_list, seen_watch;
    } ROWS[] = {
        {{.fault = KUBE_FAULT_REFUSED, .verb = -1, .kind = -1, .times = 2}, ERR_UNAVAILABLE, 0, 0},
        {{.fault = KUBE_FAULT_STATUS, .verb = -1, .kind = -1, .times = 2, .status = 410},
         ERR_GONE,
         0,
         0},
        {{.fault = KUBE_FAULT_STATUS, .verb = -1, .kind = -1, .times = 2, .status = 429},
         ERR_BUSY,
         0,
         0},
        {{.fault = KUBE_FAULT_STATUS, .verb = -1, .kind = -1, .times = 2, .status = 403},
         ERR_FORBIDDEN,
         0,
         0},
        {{.fault = KUBE_FAULT_TIMEOUT_LATER, .verb = -1, .kind = -1, .times = 2},
         ERR_UNAVAILABLE,
         0,
         0},
        {{.fault = KUBE_FAULT_CUT_DONE, .verb = -1, .kind = -1, .times = 2}, ERR_UNAVAILABLE, 3, 1},
    };
    for (size_t i = 0; i < COUNT(ROWS); i++) {
        struct fixture f;
        setup(&f);
        kube_store_fault(f.st, &ROWS[i].rule);
        struct seen s = {0};
        struct kube_list_handler items = {.item = see_item, .ctx = &s};
        char rv[KUBE_RV_MAX];
        ck_assert_int_eq(kube_list(f.k, KUBE_POD, NULL, NULL, &items, rv, NULL), ROWS[i].code);
        ck_assert_uint_eq(s.n, ROWS[i].seen_list);
        s = (struct seen){0};
        ck_assert_int_eq(
            watch(&f, KUBE_POD, (struct kube_watch_options){.initial = true, .timeout_s = 1}, &s),
            ROWS[i].code);
        ck_assert_uint_eq(s.n, ROWS[i].seen_watch);
        ck_assert_uint_eq(kube_store_late(f.st), 0);
        kube_free(f.k);
    }
}
END_TEST

static enum err_code refuse_item(void *ctx, struct str object, struct err *err)
{
    (void)ctx;
    (void)object;
    return err_set(err, ERR_INTERNAL, "no more");
}

static enum err_code refuse_event(void *ctx, enum kube_event_type type, struct str object,
                                  struct str rv, struct err *err)
{
    (void)type;
    (void)rv;
    return refuse_item(ctx, object, err);
}

START_TEST(what_the_handler_says)
{
    struct fixture f;
    setup(&f);
    struct kube_list_handler items = {.item = refuse_item, .ctx = NULL};
    struct kube_watch_handler events = {.event = refuse_event, .ctx = NULL};
    struct kube_watch_options opt = {.initial = true};
    char rv[KUBE_RV_MAX];
    struct err err = {0};
    ck_assert_int_eq(kube_list(f.k, KUBE_POD, NULL, NULL, &items, rv, &err), ERR_INTERNAL);
    ck_assert_str_eq(err.text, "no more");
    ck_assert_int_eq(kube_watch(f.k, KUBE_POD, &opt, NULL, &events, NULL), ERR_INTERNAL);
    kube_free(f.k);
}
END_TEST

/* ---- against a naive model ---- */

enum { MODEL_PODS = 4, MODEL_STEPS = 3000, MODEL_KEYS = 3 };
struct model_pod {
    bool exists;
    char uid[64], node[8];
    int value[MODEL_KEYS]; /* 0: no such annotation */
    uint64_t rv;
};

static uint64_t rng(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* What the model says of a patch of key := value (0: delete) under `stale`. */
static enum err_code model_patch(struct model_pod *m, int key, int value, bool stale, bool *changed)
{
    *changed = false;
    if (!m->exists)
        return ERR_NOT_FOUND;
    if (stale)
        return ERR_CONFLICT;
    *changed = m->value[key] != value;
    m->value[key] = value;
    return ERR_OK;
}

struct replay {
    struct model_pod pod[MODEL_PODS];
    uint64_t rv, last; /* last: where it ends */
    _Atomic bool stop;
};

static void replay_object(struct model_pod *m, json_t *o)
{
    m->exists = true;
    (void)snprintf(m->uid, sizeof(m->uid), "%s", test_text_at(o, "/metadata/uid"));
    (void)snprintf(m->node, sizeof(m->node), "%s", test_text_at(o, "/spec/nodeName"));
    for (int key = 0; key < MODEL_KEYS; key++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/metadata/annotations/k%d", key);
        m->value[key] = atoi(test_text_at(o, path));
    }
    m->rv = strtoull(test_text_at(o, "/metadata/resourceVersion"), NULL, 10);
}

static enum err_code replay_event(void *ctx, enum kube_event_type type, struct str object,
                                  struct str rv, struct err *err)
{
    struct replay *r = ctx;
    (void)err;
    json_t *o = json_loadb(object.p, object.n, 0, NULL);
    uint64_t now = strtoull(rv.p, NULL, 10);
    ck_assert_uint_gt(now, r->rv);
    r->rv = now;
    r->stop = now == r->last;
    struct model_pod *m = &r->pod[atoi(test_text_at(o, "/metadata/name") + 1)];
    ck_assert_int_eq(m->exists, type != KUBE_ADDED);
    *m = (struct model_pod){0};
    if (type != KUBE_DELETED)
        replay_object(m, o);
    json_decref(o);
    return ERR_OK;
}

START_TEST(agrees_with_a_model)
{
    const char *given = getenv("PROP_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : (uint64_t)_i + 1, state = seed;
    struct fixture f = {.tc = {.wall = WALL_START}};
    f.clock = test_clock_of(&f.tc);
    ck_ok(kube_store_new(NULL, &f.clock, &f.k, &f.st, why));
    struct model_pod model[MODEL_PODS] = {0};
    struct kube_request first = {.verb = KUBE_CREATE,
                                 .kind = KUBE_LEASE,
                                 .ns = STR("ml"),
                                 .body = STR("{\"metadata\":{\"name\":\"first\"}}")};
    ck_ok(test_call(f.k, first, NULL, NULL, why)); /* version 1, to watch from */
    uint64_t rv = 1;
    for (int step = 0; step < MODEL_STEPS; step++) {
        unsigned i = (unsigned)(rng(&state) % MODEL_PODS), op = (unsigned)(rng(&state) % 10);
        struct model_pod *m = &model[i];
        char name[8], body[512];
        (void)snprintf(name, sizeof(name), "p%u", i);
        struct kube_request req = {.kind = KUBE_POD, .ns = STR("ml"), .name = str_z(name)};
        enum err_code want = ERR_OK;
        bool changed = false, stale = rng(&state) % 4 == 0, guard = stale || rng(&state) % 2;
        int key = (int)(rng(&state) % MODEL_KEYS), value = (int)(rng(&state) % 3);
        if (op < 5) { /* merge patch of one annotation, perhaps under a version */
            char version[64] = "", text[16] = "null";
            if (guard)
                (void)snprintf(version, sizeof(version), "\"resourceVersion\":\"%llu\",",
                               (unsigned long long)(stale ? m->rv + 1 : m->rv));
            if (value)
                (void)snprintf(text, sizeof(text), "\"%d\"", value);
            (void)snprintf(body, sizeof(body), "{\"metadata\":{%s\"annotations\":{\"k%d\":%s}}}",
                           version, key, text);
            req.verb = KUBE_PATCH;
            req.status = rng(&state) % 2;
            want = model_patch(m, key, value, stale, &changed);
        } else if (op < 7) { /* JSON patch: test the old value, replace */
            int old = stale ? 9 : m->value[key];
            (void)snprintf(body, sizeof(body),
                           "[{\"op\":\"test\",\"path\":\"/metadata/annotations/"
                           "k%d\",\"value\":\"%d\"},{\"op\":"
                           "\"replace\",\"path\":\"/metadata/annotations/k%d\",\"value\":\"%d\"}]",
                           key, old, key, value + 1);
            req.verb = KUBE_PATCH;
            req.patch_type = KUBE_PATCH_JSON;
            want = !m->exists                ? ERR_NOT_FOUND
                   : stale || !m->value[key] ? ERR_INVALID
                                             : model_patch(m, key, value + 1, false, &changed);
        } else if (op == 7) {
            (void)snprintf(
                body, sizeof(body),
                "{\"metadata\":{\"name\":\"%s\",\"uid\":\"%s\",\"annotations\":{\"k%d\":\"%d\"}},"
                "\"target\":{\"name\":\"n%d\"}}",
                name, stale ? "x" : m->uid, key, value + 1, value);
            req.verb = KUBE_BIND;
            want = !m->exists ? ERR_NOT_FOUND : stale || *m->node ? ERR_CONFLICT : ERR_OK;
            if (want == ERR_OK) {
                changed = true;
                m->value[key] = value + 1;
                (void)snprintf(m->node, sizeof(m->node), "n%d", value);
            }
        } else if (op == 8) {
            (void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\"},\"spec\":{}}",
                           name);
            req.verb = KUBE_CREATE;
            req.name = STR("");
            want = m->exists ? ERR_CONFLICT : ERR_OK;
            if (want == ERR_OK) {
                *m = (struct model_pod){.exists = true};
                changed = true;
            }
        } else {
            (void)snprintf(body, sizeof(body), "{\"gracePeriodSeconds\":0}");
            req.verb = KUBE_DELETE;
            want = m->exists ? ERR_OK : ERR_NOT_FOUND;
            if (want == ERR_OK) {
                *m = (struct model_pod){0};
                changed = true;
            }
        }
        req.body = str_z(body);
        json_t *answer = NULL;
        struct err err = {0};
        enum err_code rc = test_call(f.k, req, &answer, NULL, &err);
        ck_assert_msg(rc == want, "PROP_SEED=%llu step %d op %u: want %s, got %s: %s",
                      (unsigned long long)seed, step, op, err_class(want)->name,
                      err_class(rc)->name, err.text);
        rv += changed;
        ck_assert_uint_eq(kube_store_writes(f.st), rv);
        if (changed && m->exists) {
            m->rv = rv;
            if (op == 8)
                (void)snprintf(m->uid, sizeof(m->uid), "%s", test_text_at(answer, "/metadata/uid"));
        }
        json_decref(answer);
        json_t *now = test_get(f.k, KUBE_POD, "ml", name);
        struct model_pod got = {0};
        if (now)
            replay_object(&got, now);
        json_decref(now);
        ck_assert_msg(got.exists == m->exists && got.rv == m->rv && strcmp(got.uid, m->uid) == 0 &&
                          strcmp(got.node, m->node) == 0 &&
                          memcmp(got.value, m->value, sizeof(got.value)) == 0,
                      "PROP_SEED=%llu step %d op %u: %s differs", (unsigned long long)seed, step,
                      op, name);
    }
    /* the watch's history, replayed, gives the same */
    struct replay r = {.last = rv};
    struct kube_watch_handler handler = {.event = replay_event, .ctx = &r};
    struct kube_watch_options opt = {.resource_version = "1"};
    ck_assert_int_eq(kube_watch(f.k, KUBE_POD, &opt, &r.stop, &handler, NULL), ERR_CANCELLED);
    ck_assert_mem_eq(r.pod, model, sizeof(model));
    kube_free(f.k);
}
END_TEST

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 200 };
struct worker {
    struct fixture *f;
    int id, won;
};

static void *patch_many(void *ctx)
{
    struct worker *w = ctx;
    for (int i = 0; i < ROUNDS; i++) {
        char body[160];
        (void)snprintf(body, sizeof(body), "{\"metadata\":{\"annotations\":{\"w%d\":\"%d\"}}}",
                       w->id, i);
        struct kube_request req = {
            .verb = KUBE_PATCH, .kind = KUBE_NODE, .name = STR("n1"), .body = str_z(body)};
        w->won += test_call(w->f->k, req, NULL, NULL, NULL) == ERR_OK;
    }
    return NULL;
}

/* Takes and gives back one lock; whoever holds it must be alone. */
static void *lock_many(void *ctx)
{
    struct worker *w = ctx;
    static const char TAKE_[] =
        "[{\"op\":\"test\",\"path\":\"/metadata/annotations/lock\",\"value\":null},{\"op\":\"add\","
        "\"path\":\"/metadata/annotations/lock\",\"value\":\"%d\"}]";
    static const char GIVE[] = "[{\"op\":\"test\",\"path\":\"/metadata/annotations/"
                               "lock\",\"value\":\"%d\"},{\"op\":\"remove\","
                               "\"path\":\"/metadata/annotations/lock\"}]";
    for (int i = 0; i < ROUNDS; i++) {
        char body[256];
        struct kube_request req = {.verb = KUBE_PATCH,
                                   .kind = KUBE_NODE,
                                   .name = STR("n2"),
                                   .patch_type = KUBE_PATCH_JSON};
        (void)snprintf(body, sizeof(body), TAKE_, w->id);
        req.body = str_z(body);
        if (test_call(w->f->k, req, NULL, NULL, NULL) != ERR_OK)
            continue;
        w->won++;
        (void)snprintf(body, sizeof(body), GIVE, w->id);
        req.body = str_z(body);
        if (test_call(w->f->k, req, NULL, NULL, NULL) != ERR_OK)
            w->won = -1000000; /* somebody else had it as well */
    }
    return NULL;
}

struct follower {
    struct fixture *f;
    size_t n;
    uint64_t rv;
    bool ordered;
    _Atomic bool stop;
    enum err_code rc;
};

static enum err_code follow_event(void *ctx, enum kube_event_type type, struct str object,
                                  struct str rv, struct err *err)
{
    struct follower *w = ctx;
    (void)err;
    (void)type;
    (void)object;
    uint64_t now = strtoull(rv.p, NULL, 10);
    w->ordered = w->ordered && now > w->rv;
    w->rv = now;
    if (++w->n == (size_t)THREADS * ROUNDS)
        w->stop = true;
    return ERR_OK;
}

static void *follow_all(void *ctx)
{
    struct follower *w = ctx;
    struct kube_watch_handler handler = {.event = follow_event, .ctx = w};
    struct kube_watch_options opt = {.resource_version = "10"};
    w->rc = kube_watch(w->f->k, KUBE_NODE, &opt, &w->stop, &handler, NULL);
    return NULL;
}

START_TEST(writers_lose_nothing)
{
    struct fixture f;
    setup(&f);
    struct follower watch_it = {.f = &f, .ordered = true};
    struct worker w[THREADS];
    pthread_t t[THREADS + 1];
    pthread_create(&t[THREADS], NULL, follow_all, &watch_it);
    for (int i = 0; i < THREADS; i++) {
        w[i] = (struct worker){.f = &f, .id = i};
        pthread_create(&t[i], NULL, patch_many, &w[i]);
    }
    for (int i = 0; i <= THREADS; i++)
        pthread_join(t[i], NULL);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(w[i].won, ROUNDS);
    ck_assert_int_eq(watch_it.rc, ERR_CANCELLED);
    ck_assert(watch_it.ordered);
    ck_assert_uint_eq(watch_it.n, THREADS * ROUNDS);
    ck_assert_uint_eq(kube_store_writes(f.st), THREADS * ROUNDS);
    json_t *n1 = test_get(f.k, KUBE_NODE, "", "n1");
    for (int i = 0; i < THREADS; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "/metadata/annotations/w%d", i);
        ck_assert_int_eq(atoi(test_text_at(n1, path)), ROUNDS - 1);
    }
    json_decref(n1);
    kube_free(f.k);
}
END_TEST

START_TEST(a_lock_by_patch_has_one_holder)
{
    struct fixture f;
    setup(&f);
    struct worker w[THREADS];
    pthread_t t[THREADS];
    int won = 0;
    for (int i = 0; i < THREADS; i++) {
        w[i] = (struct worker){.f = &f, .id = i};
        pthread_create(&t[i], NULL, lock_many, &w[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(t[i], NULL);
        ck_assert_int_ge(w[i].won, 0);
        won += w[i].won;
    }
    ck_assert_uint_eq(kube_store_writes(f.st), 2 * (uint64_t)won);
    kube_free(f.k);
}
END_TEST

/* ---- failing allocations ---- */

static enum err_code count_item(void *ctx, struct str object, struct err *err)
{
    struct seen *s = ctx;
    (void)object;
    (void)err;
    if (++s->n == s->stop_after)
        s->stop = true;
    return ERR_OK;
}

static enum err_code count_event(void *ctx, enum kube_event_type type, struct str object,
                                 struct str rv, struct err *err)
{
    (void)type;
    (void)rv;
    return count_item(ctx, object, err);
}

static enum err_code story(struct fixture *f, char *path)
{
    const char *paths[] = {path};
    struct kube_list_handler count = {.item = count_item, .ctx = &(struct seen){0}};
    struct seen seen = {.stop_after = 3};
    struct kube_watch_handler events = {.event = count_event, .ctx = &seen};
    struct kube_watch_options initial = {.initial = true};
    char rv[KUBE_RV_MAX];
    f->clock = test_clock_of(&f->tc);
    f->k = NULL;
    enum err_code rc = kube_store_new(&(struct kube_store_config){.watch_initial = true}, &f->clock,
                                      &f->k, &f->st, NULL);
    if (!rc)
        rc = kube_store_load(f->st, paths, 1, NULL, NULL, NULL);
    static const struct kube_request CALLS_[] = {
        {.verb = KUBE_PATCH,
         .kind = KUBE_NODE,
         .name = STR_INIT("n1"),
         .body = STR_INIT("{\"metadata\":{\"labels\":{\"l\":\"v\"}}}")},
        {.verb = KUBE_PATCH,
         .kind = KUBE_NODE,
         .name = STR_INIT("n2"),
         .patch_type = KUBE_PATCH_JSON,
         .body = STR_INIT(
             "[{\"op\":\"test\",\"path\":\"/metadata/annotations/"
             "b\",\"value\":\"2\"},{\"op\":\"remove\",\"path\":\"/metadata/annotations/b\"}]")},
        {.verb = KUBE_BIND,
         .kind = KUBE_POD,
         .ns = STR_INIT("ml"),
         .name = STR_INIT("free"),
         .body = STR_INIT("{\"metadata\":{\"name\":\"free\",\"annotations\":{\"x\":\"y\"}},"
                          "\"target\":{\"name\":\"n1\"}}")},
        {.verb = KUBE_CREATE,
         .kind = KUBE_POD,
         .ns = STR_INIT("ml"),
         .body = STR_INIT("{\"metadata\":{\"name\":\"new\"},\"spec\":{}}")},
        {.verb = KUBE_GET, .kind = KUBE_POD, .ns = STR_INIT("ml"), .name = STR_INIT("free")},
        {.verb = KUBE_DELETE,
         .kind = KUBE_POD,
         .ns = STR_INIT("ml"),
         .name = STR_INIT("free"),
         .body = STR_INIT("{\"gracePeriodSeconds\":0}")},
    };
    for (size_t i = 0; i < COUNT(CALLS_) && !rc; i++)
        rc = test_call(f->k, CALLS_[i], NULL, NULL, NULL);
    if (!rc)
        rc = kube_list(f->k, KUBE_LEASE, NULL, NULL, &count, rv, NULL);
    if (!rc) {
        rc = kube_watch(f->k, KUBE_NODE, &initial, &seen.stop, &events, NULL);
        if (rc == ERR_CANCELLED)
            rc = ERR_OK;
    }
    return rc;
}

/* Of jansson's own allocations nobody can tell what they do: it calls want of memory bad syntax,
 * and may even lose a piece of a string. With them failing too, what is left to ask is: no crash,
 * no leak, a load of all or nothing. */
START_TEST(every_allocation_may_fail)
{
    bool with_jansson = _i;
    char *path = test_file(CLUSTER, sizeof(CLUSTER) - 1);
    if (with_jansson)
        json_set_alloc_funcs(malloc, free); /* the linker's replacements */
    unsigned n = 1;
    for (;; n++) {
        struct fixture f = {.tc = {.wall = WALL_START}};
        fail_alloc_at(n);
        enum err_code rc = story(&f, path);
        bool failed = fail_alloc_off();
        if (!with_jansson)
            ck_assert_msg(!failed || rc == ERR_NO_MEMORY, "allocation %u: %s", n,
                          err_class(rc)->name);
        ck_assert_msg(failed || rc == ERR_OK, "without a failure: %s", err_class(rc)->name);
        if (rc && f.k && kube_store_writes(f.st) == 0) {
            struct seen s = {0};
            struct kube_list_handler items = {.item = count_item, .ctx = &s};
            char rv[KUBE_RV_MAX];
            ck_ok(kube_list(f.k, KUBE_NODE, NULL, NULL, &items, rv, why));
            ck_assert(s.n == 0 || s.n == 2);
        }
        kube_free(f.k);
        if (!failed)
            break;
    }
    ck_assert_uint_gt(n, with_jansson ? 500 : 50);
    (void)unlink(path);
    free(path);
}
END_TEST

#define TREE                                                                                       \
    "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"p\",\"namespace\":\"ml\","   \
    "\"uid\":"                                                                                     \
    "\"u\",\"resourceVersion\":\"7\",\"labels\":{\"a\":\"1\"},\"annotations\":{\"b\":\"2\"}},"     \
    "\"spec\":{"                                                                                   \
    "\"containers\":[{\"name\":\"c\",\"image\":\"x\"}],\"nodeSelector\":{\"d\":\"3\"}},"           \
    "\"status\":{"                                                                                 \
    "\"phase\":\"Pending\"}}"

static const struct {
    const char *name;
    struct kube_request req;
    const char *body;
} TREES[] = {
    {"merge patch",
     {.verb = KUBE_PATCH, .kind = KUBE_POD, .ns = STR_INIT("ml"), .name = STR_INIT("p")},
     "{\"metadata\":{\"annotations\":{\"x\":\"y\"}}}"},
    {"patch of the status",
     {.verb = KUBE_PATCH,
      .kind = KUBE_POD,
      .ns = STR_INIT("ml"),
      .name = STR_INIT("p"),
      .status = true},
     "{\"metadata\":{\"annotations\":{\"x\":\"y\"}},\"status\":{\"nominatedNodeName\":\"n\"}}"},
    {"patch that changes nothing",
     {.verb = KUBE_PATCH, .kind = KUBE_POD, .ns = STR_INIT("ml"), .name = STR_INIT("p")},
     "{\"metadata\":{\"annotations\":{\"b\":\"2\"}}}"},
    {"binding",
     {.verb = KUBE_BIND, .kind = KUBE_POD, .ns = STR_INIT("ml"), .name = STR_INIT("p")},
     "{\"metadata\":{\"name\":\"p\",\"annotations\":{\"x\":\"y\"},\"labels\":{\"l\":\"m\"}},"
     "\"target\":{"
     "\"name\":\"n\"}}"},
    {"deletion",
     {.verb = KUBE_DELETE, .kind = KUBE_POD, .ns = STR_INIT("ml"), .name = STR_INIT("p")},
     "{\"gracePeriodSeconds\":5}"},
};

/* What the library's trees lose when memory is short is no change that anybody asked for. */
START_TEST(a_write_without_memory_loses_nothing)
{
    json_set_alloc_funcs(malloc, free); /* the linker's replacements */
    json_t *old = json_loads(TREE, 0, NULL), *body = json_loads(TREES[_i].body, 0, NULL);
    ck_assert(old && body);
    const struct kube_write w = {.req = &TREES[_i].req,
                                 .body = body,
                                 .old = old,
                                 .old_rv = "7",
                                 .uid = "u2",
                                 .now_ns = WALL_START,
                                 .binding_labels = true};
    json_t *want = NULL;
    struct kube_refusal refusal = {0};
    const enum kube_outcome outcome = kube_rules_apply(&w, &want, &refusal);
    ck_assert_msg(outcome != KUBE_REFUSED, "%s: %s", TREES[_i].name, refusal.message);
    unsigned n = 1;
    for (bool more = true; more; n++) {
        json_t *got = NULL;
        fail_alloc_at(n);
        enum kube_outcome out = kube_rules_apply(&w, &got, &refusal);
        more = fail_alloc_off();
        if (out == KUBE_REFUSED)
            ck_assert_msg(more && refusal.status == 0, "%s, allocation %u: %d %s", TREES[_i].name,
                          n, refusal.status, refusal.message);
        else
            ck_assert_msg(out == outcome && (!want || json_equal(got, want)),
                          "%s, allocation %u: another outcome", TREES[_i].name, n);
        json_decref(got);
    }
    ck_assert_uint_gt(n, 5);
    json_decref(want);
    json_decref(old);
    json_decref(body);
}
END_TEST

/* ---- waiting ---- */

START_TEST(backoff_doubles_and_is_bounded)
{
    struct kube_backoff b = {0};
    static const int64_t WANT[] = {800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
    for (size_t i = 0; i < COUNT(WANT); i++)
        ck_assert_int_eq(kube_backoff_next_ms(&b, 0), WANT[i]);
    b = (struct kube_backoff){0};
    for (int i = 0; i < 20; i++) {
        int64_t ms = kube_backoff_next_ms(&b, UINT64_MAX - (uint64_t)i * 977);
        ck_assert_int_ge(ms, 800);
        ck_assert_int_le(ms, 30000);
    }
    b = (struct kube_backoff){0};
    ck_assert_int_eq(kube_backoff_next_ms(&b, 799), 1599);
    ck_assert_int_eq(kube_backoff_next_ms(&b, 1600), 1600);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kube");
    TCase *tc = tcase_create("calls");
    tcase_add_loop_test(tc, answers_calls, 0, (int)COUNT(CALLS));
    tcase_add_test(tc, old_servers_leave_labels_of_bindings_out);
    tcase_add_test(tc, a_fence_holds);
    tcase_add_test(tc, deletion_ends_with_the_last_finalizer);
    tcase_add_test(tc, a_recreated_object_has_another_uid);
    tcase_add_test(tc, bounds);
    suite_add_tcase(s, tc);
    tc = tcase_create("patches");
    tcase_add_loop_test(tc, patches, 0, (int)COUNT(PATCHES));
    tcase_add_test(tc, patch_of_too_many_operations);
    suite_add_tcase(s, tc);
    tc = tcase_create("streams");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, watches, 0, (int)COUNT(WATCHES));
    tcase_add_test(tc, history_has_an_end);
    tcase_add_test(tc, watches_end_when_they_are_cut_or_stopped);
    tcase_add_test(tc, lists);
    tcase_add_test(tc, what_the_handler_says);
    suite_add_tcase(s, tc);
    tc = tcase_create("faults");
    tcase_add_loop_test(tc, faults, 0, (int)COUNT(FAULT_ROWS));
    tcase_add_test(tc, faults_are_counted);
    tcase_add_test(tc, faults_of_lists_and_watches);
    suite_add_tcase(s, tc);
    tc = tcase_create("properties");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, agrees_with_a_model, 0, 5);
    tcase_add_test(tc, writers_lose_nothing);
    tcase_add_test(tc, a_lock_by_patch_has_one_holder);
    tcase_add_loop_test(tc, every_allocation_may_fail, 0, 2);
    tcase_add_loop_test(tc, a_write_without_memory_loses_nothing, 0, (int)COUNT(TREES));
    tcase_add_test(tc, backoff_doubles_and_is_bounded);
    suite_add_tcase(s, tc);
    return test_run(s);
}
