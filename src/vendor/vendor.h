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
    VENDOR_RULE_LOCK = 1 << 0,           /* its plugin needs the node lock (node_lock) */
    VENDOR_RULE_COUNT_FROM_PARTS = 1 << 1, /* memory, percent or cores without a count: default_count at admission */
    VENDOR_RULE_EXCLUSIVE_CORES = 1 << 2, /* whole-card memory and no cores: cores 100 at admission */
    VENDOR_RULE_LIMITS_ONLY = 1 << 3,    /* amounts count only where they stand in limits */
    VENDOR_RULE_TOTALS = 1 << 4,         /* memory and cores are of all cards of the container together */
    VENDOR_RULE_NO_MEMORY = 1 << 5,      /* no memory is asked for or given */
    VENDOR_RULE_MEM_BYTES = 1 << 6,      /* memory with a suffix is bytes, a bare number mem_factor MiB: derive.c */
    VENDOR_RULE_SOFT = 1 << 7,           /* pod_soft says "hami-core": cards split in software; else in templates */
    VENDOR_RULE_PAIRS = 1 << 8,          /* cards come in pairs: one becomes two, odd counts are refused */
    VENDOR_RULE_ALLOC_TYPE = 1 << 9,     /* allocation lists name the registered type, not the key */
    VENDOR_RULE_BITS = 1 << 10,          /* cores of allocation lists are a mask of the card's bits */
    VENDOR_RULE_COUNT_POSITIVE = 1 << 11, /* admission refuses a count of 0; else it asks for nothing */
};

/* Where a node's cards are read from. */
enum vendor_inventory {
    VENDOR_INVENTORY_JSON,     /* node_register: core.md 2.1 */
    VENDOR_INVENTORY_TEXT,     /* node_register: core.md 2.2, vendors-a.md S6 CSV */
    VENDOR_INVENTORY_CAPACITY, /* status.capacity and `made` */
    VENDOR_INVENTORY_CORES,    /* status.capacity of devices and of cores: vendors-b.md 4d */
    VENDOR_INVENTORY_SHARED,   /* node_register: vendors-b.md 1d */
    VENDOR_INVENTORY_SLICES,   /* node_register: vendors-b.md 2d */
};
struct vendor_made { /* cards made up from a capacity */
    struct str infix;    /* id: <node><infix><i> */
    bool per_cores;      /* the capacity that counts is that of res_cores; else of res_count */
    int32_t per_card;    /* of it one card; ≥ 1 */
    int32_t count, cores;
    int64_t mem_mib;     /* 0: capacity of res_mem · mem_factor · per_card / that capacity */
    bool halves;         /* the upper half of the cards is NUMA node 1 */
};
/* What custominfo members of a registration mean. */
enum vendor_zone { VENDOR_ZONE_NONE, VENDOR_ZONE_NETWORK, VENDOR_ZONE_CARD, VENDOR_ZONE_LINK };

/* How an ask comes from quantities, beyond units and defaults. */
enum vendor_asking {
    VENDOR_ASKING_PLAIN,
    VENDOR_ASKING_ROUNDED, /* memory is rounded up to a template */
    VENDOR_ASKING_STEPS,   /* as ROUNDED, cores by the template's share of the largest: vendors-b.md 3e */
    VENDOR_ASKING_SLICES,  /* vendors-b.md 2e: slices of one card, or memory and cores of one */
    VENDOR_ASKING_CORES,   /* vendors-b.md 4e: whole devices, or cores */
};
struct vendor_template {
    struct str name;
    int64_t mem_mib;
    int32_t cores, cpus; /* cores: percent where ASKING_STEPS, else informative */
};
/* What a decision writes on the pod beyond the two lists. */
enum vendor_extra {
    VENDOR_EXTRA_NONE,
    VENDOR_EXTRA_SLICES_LIST, /* nvidia.md 8.3: pod_mig */
    VENDOR_EXTRA_OBJECTS,     /* vendors-a.md 1.10 */
    VENDOR_EXTRA_PROFILE,     /* vendors-a.md 2.10 */
    VENDOR_EXTRA_INDEX,       /* vendors-a.md 4.10 */
    VENDOR_EXTRA_BY_CONTAINER, /* vendors-b.md 1j */
    VENDOR_EXTRA_ASSIGNED,    /* vendors-b.md 2j */
    VENDOR_EXTRA_IDX,         /* vendors-b.md 3j */
    VENDOR_EXTRA_CORE_IDS,    /* vendors-b.md 4j */
};

struct vendor { /* one row; strings live as long as the table */
    struct score_vendor core; /* key and checks */
    struct str section;       /* of device-config.yaml: "nvidia" */
    uint32_t rules;
    /* resource names; empty = the vendor has none */
    struct str res_count, res_mem, res_mem_pct, res_cores, res_priority;
    struct str res_slices; /* slices of a card (ASKING_SLICES) */
    /* annotations */
    struct str node_register, node_score, node_handshake, node_cordon;
    struct str node_soft;              /* "true": the node splits cards in software */
    struct str node_loss, node_gain;   /* tables by number of cards */
    struct str node_kind_label;        /* label that names the machine's kind */
    struct str pod_to_allocate, pod_allocated, pod_mig;
    struct str pod_use_type, pod_nouse_type, pod_use_uuid, pod_nouse_uuid, pod_mode, pod_numa_bind;
    struct str pod_use_uuid2, pod_nouse_uuid2; /* a second spelling; both count */
    struct str pod_soft, pod_class, pod_qos, pod_topology;
    bool topology_on; /* pod_topology absent or no bool: as if "true" */
    struct str pod_assigned; /* JSON by container name: sizes of slices */
    struct str node_lock; /* "hami.io/mutex.lock" */
    bool lock_time_only;  /* its value is a time without owner: vendors-a.md 2.4 */
    struct str quota_mem, quota_cores; /* "limits.nvidia.com/gpumem" */
    /* inventory */
    enum vendor_inventory inventory;
    struct vendor_made made;
    struct str type_word; /* a card's type must hold it (ASCII case folded), else it is foreign; empty: any */
    bool type_exact;      /* must equal it */
    bool soft_default;    /* node_soft absent: as if "true" */
    int32_t forced_cores; /* of every card; 0: as registered */
    enum vendor_zone zone;
    /* units and defaults */
    enum vendor_asking asking;
    int32_t mem_factor;   /* MiB a unit of res_mem, ≥ 1 */
    int32_t quota_factor; /* MiB a unit of quota_mem; 0: mem_factor */
    int32_t default_count, default_mem_mib, default_cores_pct; /* 0: none */
    int32_t cores_min, cores_max; /* of a value that is given; 0, 0: 0…2^31-1; more than cores_unit is cores_unit */
    int32_t cores_unit;   /* units of res_cores a whole card, and the most that an ask means; 0: 100 */
    int64_t mem_max;      /* raw value of res_mem; 0: what fits 2^31-1 MiB */
    int64_t mem_whole_mib, mem_most_mib; /* ROUNDED: above the last template, and the highest accepted */
    const struct vendor_template *templates; /* ascending by memory */
    uint16_t templates_n;
    /* admission */
    struct str runtime_class, core_policy; /* empty: none */
    struct str env_priority, env_core_policy, env_visible; /* names of variables */
    struct str env_hidden; /* what env_visible becomes in containers without cards, where overwrite_env */
    struct str env_name;  /* gets the container's name, unless the container sets it */
    bool overwrite_env;
    /* more than admit_above cards: limits of cores and memory become count times these; 0: untouched */
    int32_t admit_above, admit_cores, admit_mem; /* admit_mem: one card without memory gets both as well */
    const int32_t *admit_slices; /* legal values of res_mem for one card; ascending */
    uint16_t admit_slices_n;
    struct str pod_request_count; /* annotation that says how many cards; empty: none */
    const struct str *qos;        /* names of QoS policies; the first is the default */
    uint16_t qos_n;
    const struct str *classes;    /* names of enum score_class 1, 2 */
    uint16_t classes_n;           /* 0 or 2 */
    bool mirror;                  /* limits are copied to requests and back */
    struct str cores_text; /* what is said of cores out of range, behind the resource's name; empty: value and range */
    /* bind */
    enum vendor_extra extra;
};

struct vendor_table;
/* The built-in rows with the chart's default names. Only fails for want of memory. */
MUST_USE enum err_code vendor_table_builtin(struct vendor_table **ret, struct err *err);
/* HAMi's device-config.yaml over the built-in rows, as it is (contract/core.md 15, nvidia.md 2; node-level keys such as
 * deviceSplitCount are the plugin's and are accepted). A vendor section that is absent or empty switches that vendor
 * off, and so does a row of a section that has no name to be counted by. Within a section HAMi's rule holds: a key that
 * is absent means "", 0 or false, not the chart's default, but for the names of slices (vendors-b.md 2b); names of
 * annotations are the built-in row's, those of a chip are made of its commonWord. Files of more than 1 MiB, aliases,
 * tags, duplicate keys, a name of two rows: ERR_BAD_REQUEST.
 *   on_unknown  called for each unknown key with "line:column: text"; NULL: an unknown key is an error
 * ERR_BAD_REQUEST "file:line:column: what is wrong". */
struct vendor_load_handler {
    void (*on_unknown)(void *ctx, const char *text);
    void *ctx;
};
MUST_USE enum err_code vendor_table_load(const char *path, const struct vendor_load_handler *handler,
                                         struct vendor_table **ret, struct err *err);
MUST_USE enum err_code vendor_table_parse(struct str yaml, const char *path, const struct vendor_load_handler *handler,
                                          struct vendor_table **ret, struct err *err);
/* The table without the rows of a section of device-config.yaml: a flag says that they are not wanted. On failure the
 * old one stays. */
MUST_USE enum err_code vendor_table_leave_out(struct vendor_table **t, struct str section, struct err *err);
void vendor_table_free(struct vendor_table *t);

/* ---- rows as YAML: --vendor-file and --print-vendors ----
 * Adds the rows of a file (docs/operations/add-a-vendor.md) to the table, which is replaced by a new one; on an error
 * *t stays as it was (after ERR_NO_MEMORY it can't be extended again). Strict: an unknown key, a wrong type, a row that lacks what it needs, and names that another row
 * has are ERR_BAD_REQUEST "file:line:column: what is wrong". Not thread-safe: before anything else uses the table. */
MUST_USE enum err_code vendor_table_extend(struct vendor_table **t, struct str yaml, const char *path, struct err *err);
MUST_USE enum err_code vendor_table_extend_file(struct vendor_table **t, const char *path, struct err *err);
/* All rows in that format. Loaded with "replaceAll" they make an equal table. */
void vendor_table_print(const struct vendor_table *t, struct buf *out);
/* The keys of such a file, each with its type and meaning: rows of a Markdown table. */
void vendor_rows_describe(struct buf *out);

uint16_t vendor_count(const struct vendor_table *t);
const struct vendor *vendor_at(const struct vendor_table *t, uint16_t i);
const struct score_vendor *vendor_cores(const struct vendor_table *t); /* contiguous: score_request.vendors */

/* Whether the row's plugin serves to-allocate lists under the node lock that names its owner. */
bool vendor_serves_locked(const struct vendor *v);
/* Whether it needs that lock at all. */
bool vendor_locks_by_owner(const struct vendor *v);

/* ---- what a name means: one hash look-up for names that arrive by the thousand ---- */
enum vendor_resource {
    VENDOR_RES_COUNT, VENDOR_RES_MEM, VENDOR_RES_MEM_PCT, VENDOR_RES_CORES, VENDOR_RES_PRIORITY, VENDOR_RES_SLICES,
    VENDOR_RES_COUNT_
};
/* A name that several rows share (the node lock) gives the first of them. */
bool vendor_find_resource(const struct vendor_table *t, struct str name, uint16_t *ret_vendor, enum vendor_resource *ret_what);
/* The name of resource `what` in the row; empty when it has none. */
struct str vendor_resource_name(const struct vendor *v, enum vendor_resource what);

enum vendor_key { /* annotation keys of pods and nodes that we read; per vendor unless said otherwise */
    VENDOR_KEY_NODE_REGISTER, VENDOR_KEY_NODE_SCORE, VENDOR_KEY_NODE_HANDSHAKE, VENDOR_KEY_NODE_CORDON, VENDOR_KEY_NODE_LOCK,
    VENDOR_KEY_NODE_SOFT, VENDOR_KEY_NODE_LOSS, VENDOR_KEY_NODE_GAIN,
    VENDOR_KEY_POD_TO_ALLOCATE, VENDOR_KEY_POD_ALLOCATED, VENDOR_KEY_POD_MIG,
    VENDOR_KEY_POD_USE_TYPE, VENDOR_KEY_POD_NOUSE_TYPE, VENDOR_KEY_POD_USE_UUID, VENDOR_KEY_POD_NOUSE_UUID,
    VENDOR_KEY_POD_MODE, VENDOR_KEY_POD_NUMA_BIND,
    VENDOR_KEY_POD_USE_UUID2, VENDOR_KEY_POD_NOUSE_UUID2,
    VENDOR_KEY_POD_SOFT, VENDOR_KEY_POD_CLASS, VENDOR_KEY_POD_QOS, VENDOR_KEY_POD_TOPOLOGY, VENDOR_KEY_POD_ASSIGNED,
    VENDOR_KEY_COUNT_
};
bool vendor_find_key(const struct vendor_table *t, struct str name, uint16_t *ret_vendor, enum vendor_key *ret_what);
/* Several rows may read one annotation (a lock, the mode of a pod): vendor_find_key() gives the first of them, and who
 * keeps what it found by (row, key) looks a row's own up under this one. False: the row has no such key. */
bool vendor_key_home(const struct vendor_table *t, uint16_t vendor, enum vendor_key what, uint16_t *ret_vendor,
                     enum vendor_key *ret_what);
bool vendor_find_quota(const struct vendor_table *t, struct str hard_key, uint16_t *ret_vendor, bool *ret_is_mem);
/* Whether a pod's annotation or label of this name is the scheduler's and its plugins' alone to write: what a decision
 * leaves on a pod (core.md 0.2), of every maker. Admission removes such keys from new pods, bind cleans them. */
bool vendor_key_reserved(const struct vendor_table *t, struct str name);

/* ---- pod: what a container asks for (nvidia.md 4, with errata E-1…E-13) ---- */
struct vendor_wish { /* quantities of one container for one vendor as they stand in the pod */
    struct str value[VENDOR_RES_COUNT_]; /* limit, else request; p NULL = absent */
    uint32_t limits; /* bit n: value[n] stands in limits */
    bool soft;       /* the pod wants cards split in software (vendor_soft()) */
};
/* What admission makes of a container's amounts (nvidia.md 3 d, e; vendors-a.md and -b.md, their parts 6 and f), and
 * whether it asks for cards then. Values are as a pod spells them, in the unit of the resource. A percentage or a
 * memory of 0 counts as not given here as in the derivation, so a whole card is exclusive however it is spelled (N 9,
 * A9). A second look at the changed container changes nothing. */
struct vendor_defaults {
    bool asks;
    uint32_t writes; /* bit n: limits of resource n become value[n], requests too where they stand there or `both` */
    bool both;
    int64_t value[VENDOR_RES_COUNT_];
    int32_t cards; /* what pod_request_count is to say; 0: nothing */
};
/* ERR_INVALID as vendor_derive, and where the maker's admission refuses: the text is the chapter's. */
MUST_USE enum err_code vendor_defaults(const struct vendor *v, const struct vendor_wish *wish,
                                       struct vendor_defaults *ret, struct err *err);
/* The smallest of the row's templates that has so much memory; NULL: none has. */
const struct vendor_template *vendor_template_for(const struct vendor *v, int64_t mem_mib);
/* What a card is cut to for an ask of so much memory where cards are cut by templates (ASKING_ROUNDED, not soft, and
 * ASKING_STEPS): the template's memory, or a whole card's. False: more than the row accepts. */
bool vendor_round(const struct vendor *v, int64_t mem_mib, int64_t *ret_mib);
/* Derives the ask; ret->container and ret->vendor are the caller's to set.
 * *ret_asks false: asks for nothing. That is: count absent (admitted: and no amount either), or count 0 whatever
 * amounts stand beside it, for amounts are per card (N 8). Where rows are asked for by slices or cores, those ask.
 * `admitted`: the amounts as admission would have changed them (file mode, by-passed webhook): vendor_defaults().
 * ERR_INVALID with resource and value in the text: the reference would silently drop it (errata E-13), we refuse:
 * fractions, negative amounts, counts above SCORE_PARTS_MAX, memory above 2^31-1 MiB, cores out of the row's range.
 * Quantities are compared by value ("2000m" is 2). As in the reference a percentage above 100 is 100, of 0 or less not
 * given; cores above a whole card's are a whole card's. Memory that cards are cut to by templates is the template's,
 * admitted or not: no less than the plugin cuts is charged. */
MUST_USE enum err_code vendor_derive(const struct vendor *v, const struct vendor_wish *wish, bool admitted,
                                     struct score_ask *ret, bool *ret_asks, struct err *err);

/* Selection lists from annotation texts; absent ones have p NULL. Lists are allocated from the arena and borrow the
 * texts. ret->vendor is the caller's to set. A second pair of UUID lists narrows the first: a card must be in both of
 * what may be used and in neither of what may not. A QoS policy that is absent is the row's first, as admission writes
 * it. ERR_INVALID: more than VENDOR_SELECTION_MAX entries in one list, or a class or policy that the row does not know.
 */
#define VENDOR_SELECTION_MAX 1024
struct vendor_selection_text {
    struct str use_type, nouse_type, use_uuid, nouse_uuid, mode, numa_bind;
    struct str use_uuid2, nouse_uuid2, app_class, qos, topology;
};
MUST_USE enum err_code vendor_selection(const struct vendor *v, const struct vendor_selection_text *text,
                                        struct arena *arena, struct score_selection *ret, struct err *err);
/* `gpu-scheduler-policy` (core.md 5.3) and `node-scheduler-policy` (5.5) texts → policy; weights grammar of 5.2.
 * ERR_INVALID: bad weights. Absent texts have p NULL: binpack, spread, 1,1,1, which is SCORE_POLICY_DEFAULT.
 * A weight above 1,000,000 is refused (the core's bound). */
MUST_USE enum err_code vendor_policy(struct str node_policy, struct str card_policy, struct str weights,
                                     bool numa_bind, struct score_policy *ret, struct err *err);
/* Whether numa-bind is on: its text is one of Go's true bools (nvidia.md 6.1). */
bool vendor_numa_bind(const struct vendor_selection_text *text);

/* ---- node: the register annotation ---- */
struct vendor_device {
    struct str id, type, mode; /* from the arena or the text */
    int64_t mem_mib;
    int32_t index, count, cores_pct, numa;
    bool healthy, mig, foreign, soft;
    int32_t zone;        /* SCORE_ZONE_NONE: none */
    uint64_t bits;       /* slices or cores that are given out one by one */
    uint16_t profile, profiles_n; /* of the registration's profiles */
};
/* What a node's object says for one row; absent: p NULL. */
struct vendor_node_text {
    struct str node;                        /* its name */
    struct str list;                        /* node_register */
    struct str capacity[VENDOR_RES_COUNT_]; /* status.capacity of the row's resources */
    struct str pairs, soft, loss, gain, kind; /* node_score, node_soft, node_loss, node_gain, node_kind_label */
};
struct vendor_cards { /* of one row on one node; from the arena or the text */
    struct vendor_device *devices; /* sorted by (index, id) */
    const struct score_profile *profiles;
    uint16_t devices_n, profiles_n, dropped; /* dropped: duplicates */
    /* n = devices_n, pair in the devices' order; bound NULL. All absent: topology.n 0. */
    struct score_topology topology;
    struct str topology_fault; /* why the pairs or tables are not known though the node names them; p NULL: none */
    struct str card_fault; /* why cards are unhealthy that were registered as healthy; p NULL: none */
};
/* Every kind of inventory (enum vendor_inventory); what is absent gives no cards, but for the lists: those are asked for
 * only where the annotation stands. Duplicate ids: one card, with the lesser of each amount; how many were too many is
 * told in `dropped`. Empty ids, ids with one of ",:;" (they would tear an allocation list, D3.8), negative amounts,
 * `[null]`, more than SCORE_DEVICES_MAX, broken or wrongly typed JSON, capacities that are no whole numbers:
 * ERR_INVALID, nothing decoded. `[]` and `null`: no devices. Pairs and tables never make it fail (E-7). */
MUST_USE enum err_code vendor_cards_decode(const struct vendor *v, const struct vendor_node_text *text,
                                           struct arena *arena, struct vendor_cards *ret, struct err *err);
/* Whether the row's plugin lives on a node whose status.allocatable has this for res_count (p NULL: nothing). Plugins
 * that answer a handshake, and those whose registration counts only beside the resource, live while it is above 0
 * (nvidia.md 9, vendors-b.md 5d); others until it is said to be 0. */
bool vendor_alive(const struct vendor *v, struct str allocatable);
/* Whether a pod's pod_soft annotation asks for cards split in software. */
bool vendor_soft(const struct vendor *v, struct str text);

/* ---- pod: what a decision writes (vendors-a.md and -b.md, their parts 10 and j) ---- */
struct vendor_written { /* one share, sorted by container */
    uint16_t container;
    uint16_t shares;
    struct str container_name, uuid, type, minor; /* type, minor: the card's registered type and mode */
    int32_t index;                                /* the card's */
    int64_t mem_mib;
    int32_t cores_pct;
    uint64_t bits;
    uint64_t bits_total;                 /* of the card */
    const struct score_profile *profile; /* NULL: none */
};
struct vendor_write { /* borrowed */
    const struct vendor_written *shares; /* of this row, at least one */
    uint16_t shares_n, containers_n;
    struct str node;
    int64_t now_ns; /* wall clock */
    const struct score_ask *asks; /* of this row, for what only the ask says (whole devices or cores) */
    uint16_t asks_n;
};
#define VENDOR_ANNOTATIONS_MAX 16 /* of one row and decision */
/* Calls add() for every annotation that the row's plugins expect of a decision, the lists first; deterministic. The texts
 * are borrowed for the call. After a failure drop what was added.
 * ERR_INVALID: a card's type or amounts can't stand in a list. ERR_TOO_LARGE: more than an annotation may hold. */
MUST_USE enum err_code vendor_annotate(const struct vendor *v, const struct vendor_write *w, struct arena *arena,
                                       void (*add)(void *ctx, struct str key, struct str value), void *ctx,
                                       struct err *err);

/* ---- pod: allocation lists (core.md 4.5; node-side.md 2.3) ---- */
struct vendor_alloc {
    uint16_t container; /* slot, init containers first */
    struct str uuid, type;
    int64_t mem_mib;
    int32_t cores_pct; /* a number of cores, also where the list has a mask (VENDOR_RULE_BITS) */
    uint64_t bits;     /* of the card: from the list's mask, or from vendor_alloc_extra() */
    uint16_t shares;   /* of the card's shares: 1, or what vendor_alloc_extra() says */
};
/* What the row and other annotations of the pod say of the shares of a decoded list: cores that are a mask
 * (VENDOR_RULE_BITS; call it for every list), placements of slices (pod_mig), sizes of slices (pod_assigned). Absent text:
 * nothing more changes. ERR_INVALID: it contradicts the list or can't be read; the shares are as far as it was read.
 * Slices of cards that the list doesn't have are nothing (core.md D C10); a share of a sliced card without any has bits 0. */
MUST_USE enum err_code vendor_alloc_extra(const struct vendor *v, struct str slices, struct str assigned,
                                          const struct str *container_names, uint16_t containers_n,
                                          struct arena *arena, struct vendor_alloc *a, uint16_t n, struct err *err);
/* `containers_n` = init + app containers: shorter lists of HAMi v2.10 are put in place as core.md 6.5 says, with
 * `asking[c]` = container c asks for this vendor (NULL: unknown). Where they can't be put in place all are given
 * to the last container, an app container: more is charged than used, never less. Empty slots behind the last container
 * are residue of a plugin's write-back and carry nothing. Negative amounts, fields missing, a device behind the last
 * container, more than SCORE_PARTS_MAX devices: ERR_INVALID (the caller charges fail-closed). */
MUST_USE enum err_code vendor_alloc_decode(struct str text, const bool *asking, uint16_t containers_n,
                                           struct arena *arena, struct vendor_alloc **ret, uint16_t *ret_n,
                                           struct err *err);
/* Padded form: one slot a container. `a` sorted by container. Nothing of another vendor in it. Cores are written as they
 * are: vendor_annotate() puts masks there. */
void vendor_alloc_encode(const struct vendor_alloc *a, uint16_t n, uint16_t containers_n, struct buf *out);
/* Whether a to-allocate list has anything left (node-side.md 3.3: a device token). */
bool vendor_alloc_left(struct str to_allocate);

#include "vendor/flags.h" /* HAMi's flags that name resources of makers */

#endif
