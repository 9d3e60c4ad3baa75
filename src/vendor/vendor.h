/* What each maker calls things, as data; and what can be said from that data alone: what a container asks for,
 * what a node registered, how an allocation is written. No I/O but reading the configuration file.
 *
 * A vendor is a row of strings, units, factors and rule bits. Everything here is immutable after load and may be
 * used from any thread. Source of the facts: contract/nvidia.md, vendors-a.md, vendors-b.md, node-side.md 2. */
#ifndef CARDINAL_VENDOR_VENDOR_H
#define CARDINAL_VENDOR_VENDOR_H

#include "base/err.h"
#include "base/quantity.h"
#include "base/str.h"
#include "score/score.h"

enum vendor_rule {
    VENDOR_RULE_LOCK = 1 << 0,           /* its plugin needs the node lock */
    VENDOR_RULE_REGISTER_JSON = 1 << 1,  /* core.md 2.1 */
    VENDOR_RULE_REGISTER_TEXT = 1 << 2,  /* core.md 2.2 */
    VENDOR_RULE_COUNT_FROM_PARTS = 1 << 3, /* memory, percent or cores without a count: default_count at admission */
    VENDOR_RULE_EXCLUSIVE_CORES = 1 << 4, /* whole-card memory and no cores: cores 100 at admission */
};

struct vendor { /* one row; strings live as long as the table */
    struct score_vendor core; /* key and checks */
    uint32_t rules;
    /* resource names; empty = the vendor has none */
    struct str res_count, res_mem, res_mem_pct, res_cores, res_priority;
    /* annotations */
    struct str node_register, node_score, node_handshake, node_cordon;
    struct str pod_to_allocate, pod_allocated, pod_mig;
    struct str pod_use_type, pod_nouse_type, pod_use_uuid, pod_nouse_uuid, pod_mode, pod_numa_bind;
    struct str node_lock; /* "hami.io/mutex.lock" */
    struct str quota_mem, quota_cores; /* "limits.nvidia.com/gpumem" */
    /* units and defaults */
    int32_t mem_factor;   /* MiB a unit of res_mem, ≥ 1 */
    int32_t default_count, default_mem_mib, default_cores_pct; /* 0: none */
    /* admission */
    struct str runtime_class, core_policy; /* empty: none */
    struct str env_priority, env_core_policy, env_visible; /* names of variables */
    bool overwrite_env;
};

struct vendor_table;
/* The built-in rows with the chart's default names. Only fails for want of memory. */
MUST_USE enum err_code vendor_table_builtin(struct vendor_table **ret, struct err *err);
/* HAMi's device-config.yaml over the built-in rows, as it is (contract/core.md 15, nvidia.md 2; node-level keys such as
 * deviceSplitCount are the plugin's and are accepted). A vendor section that is absent or empty switches that vendor
 * off. Within a section HAMi's rule holds: a key that is absent means "", 0 or false, not the chart's default; names of
 * annotations are the built-in row's. Files of more than 1 MiB, aliases, tags, duplicate keys: ERR_BAD_REQUEST.
 *   on_unknown  called for each unknown key with "line:column: text"; NULL: an unknown key is an error
 *   on_unbuilt  called once for each section of a vendor that this build does not serve yet
 * ERR_BAD_REQUEST "file:line:column: what is wrong". */
struct vendor_load_handler {
    void (*on_unknown)(void *ctx, const char *text);
    void (*on_unbuilt)(void *ctx, const char *section);
    void *ctx;
};
MUST_USE enum err_code vendor_table_load(const char *path, const struct vendor_load_handler *handler,
                                         struct vendor_table **ret, struct err *err);
MUST_USE enum err_code vendor_table_parse(struct str yaml, const char *path, const struct vendor_load_handler *handler,
                                          struct vendor_table **ret, struct err *err);
void vendor_table_free(struct vendor_table *t);

uint16_t vendor_count(const struct vendor_table *t);
const struct vendor *vendor_at(const struct vendor_table *t, uint16_t i);
const struct score_vendor *vendor_cores(const struct vendor_table *t); /* contiguous: score_request.vendors */

/* ---- what a name means: one hash look-up for names that arrive by the thousand ---- */
enum vendor_resource { VENDOR_RES_COUNT, VENDOR_RES_MEM, VENDOR_RES_MEM_PCT, VENDOR_RES_CORES, VENDOR_RES_PRIORITY, VENDOR_RES_COUNT_ };
/* A name that several rows share (the node lock) gives the first of them. */
bool vendor_find_resource(const struct vendor_table *t, struct str name, uint16_t *ret_vendor, enum vendor_resource *ret_what);

enum vendor_key { /* annotation keys of pods and nodes that we read; per vendor unless said otherwise */
    VENDOR_KEY_NODE_REGISTER, VENDOR_KEY_NODE_SCORE, VENDOR_KEY_NODE_HANDSHAKE, VENDOR_KEY_NODE_CORDON, VENDOR_KEY_NODE_LOCK,
    VENDOR_KEY_POD_TO_ALLOCATE, VENDOR_KEY_POD_ALLOCATED, VENDOR_KEY_POD_MIG,
    VENDOR_KEY_POD_USE_TYPE, VENDOR_KEY_POD_NOUSE_TYPE, VENDOR_KEY_POD_USE_UUID, VENDOR_KEY_POD_NOUSE_UUID,
    VENDOR_KEY_POD_MODE, VENDOR_KEY_POD_NUMA_BIND,
    VENDOR_KEY_COUNT_
};
bool vendor_find_key(const struct vendor_table *t, struct str name, uint16_t *ret_vendor, enum vendor_key *ret_what);
bool vendor_find_quota(const struct vendor_table *t, struct str hard_key, uint16_t *ret_vendor, bool *ret_is_mem);
/* Whether a pod's annotation or label of this name is the scheduler's and its plugins' alone to write: what a decision
 * leaves on a pod (core.md 0.2), of every maker. Admission removes such keys from new pods, bind cleans them. */
bool vendor_key_reserved(const struct vendor_table *t, struct str name);

/* ---- pod: what a container asks for (nvidia.md 4, with errata E-1…E-13) ---- */
struct vendor_wish { /* quantities of one container for one vendor as they stand in the pod */
    struct str value[VENDOR_RES_COUNT_]; /* limit, else request; p NULL = absent */
};
/* What admission adds to a container's limits (nvidia.md 3 d, e), and whether it asks for cards then. A percentage or a
 * memory of 0 counts as not given here as in the derivation, so a whole card is exclusive however it is spelled (N 9). */
struct vendor_defaults {
    bool asks;
    int32_t count;     /* 0: leave the count as it is */
    int32_t cores_pct; /* 0: leave the cores as they are */
};
/* ERR_INVALID as vendor_derive. */
MUST_USE enum err_code vendor_defaults(const struct vendor *v, const struct vendor_wish *wish,
                                       struct vendor_defaults *ret, struct err *err);
/* Derives the ask; ret->container and ret->vendor are the caller's to set.
 * *ret_asks false: asks for nothing. That is: count absent (admitted: and no amount either), or count 0 whatever
 * amounts stand beside it, for amounts are per card (N 8).
 * `admitted`: count and cores as admission would have set them where they are absent (file mode, by-passed webhook).
 * ERR_INVALID with resource and value in the text: the reference would silently drop it (errata E-13), we refuse:
 * fractions, negative amounts, counts above SCORE_PARTS_MAX, memory above 2^31-1 MiB. Quantities are compared by value
 * ("2000m" is 2). As in the reference a percentage above 100 is 100, of 0 or less not given; cores above 100 are 100. */
MUST_USE enum err_code vendor_derive(const struct vendor *v, const struct vendor_wish *wish, bool admitted,
                                     struct score_ask *ret, bool *ret_asks, struct err *err);

/* Selection lists from annotation texts; absent ones have p NULL. Lists are allocated from the arena and borrow the
 * texts. ret->vendor is the caller's to set. ERR_INVALID: more than VENDOR_SELECTION_MAX entries in one list. */
#define VENDOR_SELECTION_MAX 1024
struct vendor_selection_text {
    struct str use_type, nouse_type, use_uuid, nouse_uuid, mode, numa_bind;
};
MUST_USE enum err_code vendor_selection(const struct vendor *v, const struct vendor_selection_text *text,
                                        struct arena *arena, struct score_selection *ret, struct err *err);
/* `gpu-scheduler-policy` (core.md 5.3) and `node-scheduler-policy` (5.5) texts → policy; weights grammar of 5.2.
 * Returns ERR_INVALID for bad weights; sets *ret_unsupported to a constant text when a token asks for what this
 * build does not do ("topology-aware", numa-bind), else NULL. Absent texts have p NULL: binpack, spread, 1,1,1.
 * A weight above 1,000,000 is refused (the core's bound). */
MUST_USE enum err_code vendor_policy(struct str node_policy, struct str card_policy, struct str weights,
                                     bool numa_bind, struct score_policy *ret, const char **ret_unsupported, struct err *err);
/* Whether numa-bind is on: its text is one of Go's true bools (nvidia.md 6.1). */
bool vendor_numa_bind(const struct vendor_selection_text *text);
/* What of a pod's selection and card policy this build does not do, as a constant text for SCORE_REQUEST_UNSUPPORTED;
 * NULL: nothing. Covers the mode annotation that leaves MIG cards only, numa-bind, and topology-aware. */
const char *vendor_unsupported(const struct vendor *v, const struct vendor_selection_text *text,
                               struct str card_policy);

/* ---- node: the register annotation ---- */
struct vendor_device {
    struct str id, type, mode; /* from the arena or the text */
    int64_t mem_mib;
    int32_t index, count, cores_pct, numa;
    bool healthy, mig;
};
/* Decodes the vendor's register annotation. Duplicate ids: one card, with the lesser of each amount; how many were
 * too many is told in *ret_dropped. Empty ids, ids with one of ",:;" (they would tear an allocation list), negative amounts, `[null]`, more
 * than SCORE_DEVICES_MAX, broken or wrongly typed JSON: ERR_INVALID, nothing decoded. `[]` and `null`: no devices.
 * Result sorted by (index, id). */
MUST_USE enum err_code vendor_register_decode(const struct vendor *v, struct str text, struct arena *arena,
                                              struct vendor_device **ret, uint16_t *ret_n, uint16_t *ret_dropped,
                                              struct err *err);

/* ---- pod: allocation lists (core.md 4.5; node-side.md 2.3) ---- */
struct vendor_alloc {
    uint16_t container; /* slot, init containers first */
    struct str uuid, type;
    int64_t mem_mib;
    int32_t cores_pct;
};
/* `containers_n` = init + app containers: shorter lists of HAMi v2.10 are put in place as core.md 6.5 says, with
 * `asking[c]` = container c asks for this vendor (NULL: unknown). Where they can't be put in place all are given
 * to the last container, an app container: more is charged than used, never less. Empty slots behind the last container
 * are residue of a plugin's write-back and carry nothing. Negative amounts, fields missing, a device behind the last
 * container, more than SCORE_PARTS_MAX devices: ERR_INVALID (the caller charges fail-closed). */
MUST_USE enum err_code vendor_alloc_decode(struct str text, const bool *asking, uint16_t containers_n,
                                           struct arena *arena, struct vendor_alloc **ret, uint16_t *ret_n,
                                           struct err *err);
/* Padded form: one slot a container. `a` sorted by container. Nothing of another vendor in it. */
void vendor_alloc_encode(const struct vendor_alloc *a, uint16_t n, uint16_t containers_n, struct buf *out);
/* Whether a to-allocate list has anything left (node-side.md 3.3: a device token). */
bool vendor_alloc_left(struct str to_allocate);

#include "vendor/flags.h" /* HAMi's flags that name resources of makers */

#endif
