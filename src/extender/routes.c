/* Everything that cardinald answers: one row a path. */
#include "extender/priv.h"

/* clang-format off */
const struct ext_route EXT_ROUTES[] = {
    /* the verbs that kube-scheduler calls (contract/kubernetes.md 1.2) */
    {.method = "POST", .path = "/filter", .surfaces = EXT_ON_EXTENDER, .trusted = true, .waits_if = ext_not_leading, .verb = EXT_VERB_FILTER, .handle = ext_filter},
    {.method = "POST", .path = "/prioritize", .surfaces = EXT_ON_EXTENDER, .trusted = true, .waits_if = ext_not_leading, .verb = EXT_VERB_PRIORITIZE, .handle = ext_prioritize},
    {.method = "POST", .path = "/bind", .surfaces = EXT_ON_EXTENDER, .trusted = true, .later = true, .verb = EXT_VERB_BIND, .handle = ext_bind},
    /* kube-apiserver comes from elsewhere */
    {.method = "POST", .path = "/webhook", .surfaces = EXT_ON_WEBHOOK, .verb = EXT_VERB_WEBHOOK, .handle = ext_webhook},
    /* people and programs that look */
    {.method = "GET", .path = "/v1/nodes", .surfaces = EXT_ON_EXTENDER, .trusted = true, .verb = EXT_VERB_API, .handle = ext_v1_nodes},
    {.method = "GET", .path = "/v1/nodes/", .prefix = true, .surfaces = EXT_ON_EXTENDER, .trusted = true, .verb = EXT_VERB_API, .handle = ext_v1_node},
    {.method = "GET", .path = "/v1/pods", .surfaces = EXT_ON_EXTENDER, .trusted = true, .verb = EXT_VERB_API, .handle = ext_v1_pods},
    {.method = "GET", .path = "/v1/summary", .surfaces = EXT_ON_EXTENDER, .trusted = true, .verb = EXT_VERB_API, .handle = ext_v1_summary},
    {.method = "GET", .path = "/v1/audit", .surfaces = EXT_ON_EXTENDER, .trusted = true, .waits = true, .verb = EXT_VERB_API, .handle = ext_v1_audit},
    {.method = "GET", .path = "/v1/objects/", .prefix = true, .surfaces = EXT_ON_EXTENDER, .trusted = true, .waits = true, .verb = EXT_VERB_API, .handle = ext_v1_object},
    /* probes, on every listener */
    {.method = "GET", .path = "/healthz", .surfaces = EXT_ON_ALL, .always = true, .verb = EXT_VERB_PROBE, .handle = ext_healthz},
    {.method = "GET", .path = "/livez", .surfaces = EXT_ON_ALL, .always = true, .verb = EXT_VERB_PROBE, .handle = ext_livez},
    {.method = "GET", .path = "/readyz", .surfaces = EXT_ON_ALL, .always = true, .verb = EXT_VERB_PROBE, .handle = ext_readyz},
    {.method = "GET", .path = "/readyz/", .prefix = true, .surfaces = EXT_ON_ALL, .always = true, .verb = EXT_VERB_PROBE, .handle = ext_readyz},
    {.method = "GET", .path = "/leadz", .surfaces = EXT_ON_ALL, .always = true, .verb = EXT_VERB_PROBE, .handle = ext_leadz},
    {.method = "GET", .path = "/version", .surfaces = EXT_ON_ALL, .always = true, .verb = EXT_VERB_PROBE, .handle = ext_version},
    {.method = "GET", .path = "/metrics", .surfaces = EXT_ON_METRICS, .verb = EXT_VERB_METRICS, .handle = ext_metrics_get},
    {.path = NULL},
};
/* clang-format on */
