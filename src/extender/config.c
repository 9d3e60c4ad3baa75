/* Flags: one table says how each is called, what it takes, its default and bounds and what it does.
 * It parses, makes --help, and the man page and docs/operations/flags.md are held against it by a
 * test. HAMi's names are spelled as HAMi spells them, underscores included. */
#include "extender/priv.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum type {
    TYPE_BOOL,  /* bool; Go's spellings; without a value: true */
    TYPE_TEXT,  /* const char *; NULL where the default is empty */
    TYPE_LIST,  /* struct ext_files: may be repeated */
    TYPE_URLS,  /* the same, of URLs */
    TYPE_INT,   /* int */
    TYPE_BYTES, /* size_t; a number, or one with Ki, Mi, Gi */
    TYPE_MS,    /* int, milliseconds; a Go duration */
    TYPE_MS64,  /* int64_t, milliseconds */
    TYPE_S,     /* int, seconds; a Go duration of whole seconds */
    TYPE_NONE,  /* text, accepted and without effect */
    TYPE_NONE_BOOL,
    TYPE_COUNT_
};
static const char *const TYPE_NAMES[TYPE_COUNT_] = {"bool",     "text",  "file",     "url",
                                                    "int",      "bytes", "duration", "duration",
                                                    "duration", "text",  "bool"};

struct flag {
    const char *name;
    enum type type;
    size_t at;         /* offsetof in ext_config */
    const char *value; /* the default as text */
    int64_t min, max;  /* of numbers, in the unit that is kept */
    const char *help;
};

#define AT(field)              offsetof(struct ext_config, field)
#define KI                     INT64_C(1024)
#define MI                     (KI * 1024)
#define GI                     (MI * 1024)
#define EXPIRE_VARIABLE        "HAMI_NODELOCK_EXPIRE"
#define NO_EFFECT              "HAMi's; accepted without effect"
#define VENDOR_TEXT(flag_name) {flag_name, TYPE_NONE, 0, "", 0, 0, NO_EFFECT},
#define VENDOR_SECTION(i, flag_name, section)                                                      \
    {flag_name,                                                                                    \
     TYPE_BOOL,                                                                                    \
     AT(sections[i]),                                                                              \
     "true",                                                                                       \
     0,                                                                                            \
     0,                                                                                            \
     "HAMi's; false: nothing of " section " in the device configuration is served"},
#define VENDOR_BOOL(flag_name) {flag_name, TYPE_NONE_BOOL, 0, "false", 0, 0, NO_EFFECT},

/* clang-format off */
static const struct flag FLAGS[] = {
    /* the cluster */
    {"cluster", TYPE_LIST, AT(cluster), "", 0, 0, "file mode: Kubernetes objects as kubectl get -o yaml (or json) prints them; may be repeated"},
    {"kubeconfig", TYPE_TEXT, AT(kubeconfig), "", 0, 0, "live mode: credentials of the API server; default: $KUBECONFIG, $HOME/.kube/config, in-cluster"},
    {"kube-context", TYPE_TEXT, AT(kube_context), "", 0, 0, "context of the kubeconfig; default: its current-context"},
    {"device-config-file", TYPE_TEXT, AT(device_config_file), "", 0, 0, "HAMi's device configuration; default: the built-in vendors and names"},
    {"unknown-config-keys-warn", TYPE_BOOL, AT(unknown_config_keys_warn), "false", 0, 0, "unknown keys of the device configuration are logged; false: they stop the start"},
    {"vendor-file", TYPE_LIST, AT(vendor), "", 0, 0, "more vendors, as --print-vendors prints them; may be repeated"},
    VENDOR_SECTION_FLAGS(VENDOR_SECTION)
    {"node-label-selector", TYPE_TEXT, AT(node_label_selector), "", 0, 0, "only nodes with these labels: k=v,k2=v2"},
    /* listeners */
    {"listen-extender", TYPE_TEXT, AT(listen_extender), "127.0.0.1:8080", 0, 0, "address of the verbs and the read-only API; empty: none"},
    {"listen-webhook", TYPE_TEXT, AT(listen_webhook), "", 0, 0, "address of the admission webhook; needs --cert_file and --key_file"},
    {"metrics-bind-address", TYPE_TEXT, AT(listen_metrics), ":9395", 0, 0, "address of metrics and probes; empty: none"},
    {"http_bind", TYPE_TEXT, AT(http_bind), "", 0, 0, "HAMi's spelling: extender and webhook on one address, instead of --listen-extender; TLS with certificate files, else plain"},
    {"cert_file", TYPE_TEXT, AT(cert_file), "", 0, 0, "certificate (PEM) of --listen-webhook, --http_bind and --extender-tls; a renewed one is taken without a restart"},
    {"key_file", TYPE_TEXT, AT(key_file), "", 0, 0, "its key"},
    {"extender-tls", TYPE_BOOL, AT(extender_tls), "false", 0, 0, "--listen-extender speaks TLS too: for a kube-scheduler of another host; needs --cert_file, --key_file and --client-ca-file"},
    {"extender-url", TYPE_TEXT, AT(extender_url), "", 0, 0, "how kube-scheduler calls the verbs, where that is not the listener's own address: a Service's URL; for --scheduler-config-file and --print-scheduler-config"},
    {"client-ca-file", TYPE_TEXT, AT(client_ca_file), "", 0, 0, "who has a client certificate of this authority may call the verbs from other addresses than loopback"},
    /* what is decided, and how */
    {"scheduler-name", TYPE_TEXT, AT(scheduler_name), "", 0, 0, "the webhook gives pods that ask for cards this scheduler; also the component of events"},
    {"scheduler-config-file", TYPE_TEXT, AT(scheduler_config_file), "", 0, 0, "the KubeSchedulerConfiguration of the kube-scheduler that calls us: what contradicts the flags stops the start"},
    {"force-overwrite-default-scheduler", TYPE_BOOL, AT(force_overwrite_default_scheduler), "true", 0, 0, "the webhook replaces default-scheduler too"},
    {"node-scheduler-policy", TYPE_TEXT, AT(node_policy), "binpack", 0, 0, "binpack or spread; a pod's annotation goes first"},
    {"gpu-scheduler-policy", TYPE_TEXT, AT(card_policy), "spread", 0, 0, "binpack, spread, numa, mutex, topology-aware or a chain of them; a pod's annotation goes first"},
    {"shortlist", TYPE_INT, AT(shortlist), "16", 0, 100000, "nodes that filter answers at most, the best first; 0: all that fit; 1: as HAMi does"},
    {"score-max", TYPE_INT, AT(score_max), "10", 1, 1000000, "highest score that prioritize gives; the protocol's bound is 10, kube-scheduler takes more"},
    {"bind-timeout", TYPE_MS, AT(bind_timeout_ms), "4s", 200, 600000, "of a whole bind; below the extender's httpTimeout in kube-scheduler's configuration (5s unless set)"},
    {"adopt-unbound", TYPE_BOOL, AT(adopt_unbound), "false", 0, 0, "for a migration: pods that HAMi has decided for and not bound yet count for a minute where their annotations say"},
    {"node-lock-timeout", TYPE_MS64, AT(lock_expire_ms), "5m", 1000, INT64_C(86400000), "age from which a bare node lock is taken over (that of a pod that is not bound: 10s, or this if shorter), and a node whose lock waits for a bound pod is refused; default: $HAMI_NODELOCK_EXPIRE"},
    {"workers", TYPE_INT, AT(workers_max), "16", 1, 1024, "binds that talk to the API server at once"},
    /* who leads */
    {"leader-elect", TYPE_BOOL, AT(leader_elect), "false", 0, 0, "answer the verbs only while this instance leads; needs --leader-elect-resource-name and -namespace; false: leads always"},
    {"leader-elect-resource-name", TYPE_TEXT, AT(leader_name), "", 0, 0, "the Lease: in follow mode the one of the kube-scheduler beside us"},
    {"leader-elect-resource-namespace", TYPE_TEXT, AT(leader_namespace), "", 0, 0, "its namespace"},
    {"leader-elect-mode", TYPE_TEXT, AT(leader_mode), "follow", 0, 0, "follow: lead while the kube-scheduler of our own host name holds the Lease; own: stand for election on a Lease of ours"},
    {"leader-elect-identity", TYPE_TEXT, AT(leader_identity), "", 0, 0, "name to use instead of the host's: what the holder has in front of its last underscore"},
    {"leader-elect-lease-duration", TYPE_MS64, AT(leader_duration_ms), "15s", 1000, INT64_C(3600000), "own: others take the Lease over when it was not renewed for so long; whole seconds"},
    {"leader-elect-renew-deadline", TYPE_MS64, AT(leader_renew_ms), "10s", 100, INT64_C(3600000), "own: no write is started so long after the last renewal"},
    {"leader-elect-retry-period", TYPE_MS64, AT(leader_retry_ms), "2s", 10, INT64_C(600000), "between renewals, tries and, while the watch is down, reads"},
    {"leader-elect-role-label", TYPE_BOOL, AT(leader_role_label), "false", 0, 0, "keep HAMi's label hami.io/scheduler-role on the pods of $POD_NAMESPACE in follow mode too; needs $POD_NAME"},
    /* limits */
    {"body-max", TYPE_BYTES, AT(body_max), "8Mi", 1024, GI, "of a verb's body; more is answered with 413"},
    {"webhook-body-max", TYPE_BYTES, AT(webhook_body_max), "8Mi", 1024, GI, "of an AdmissionReview"},
    {"bodies-max", TYPE_BYTES, AT(bodies_max), "256Mi", 1024, 64 * GI, "of all bodies that a listener holds at once; more is answered with 503"},
    {"connections-max", TYPE_INT, AT(connections_max), "4096", 1, 100000, "connections of a listener; more are answered with 503 and closed"},
    {"in-flight-max", TYPE_INT, AT(in_flight_max), "2048", 1, 100000, "requests of a listener at once; more are answered with 503"},
    {"header-timeout", TYPE_MS, AT(header_timeout_ms), "15s", 100, 600000, "total time for a request's header"},
    {"body-timeout", TYPE_MS, AT(body_timeout_ms), "60s", 100, 600000, "total time for a request's body, and for reading the answer"},
    {"idle-timeout", TYPE_S, AT(idle_timeout_s), "200s", 180, 86400, "of an idle connection; above the 90s of kube-scheduler's own end"},
    {"request-memory-max", TYPE_BYTES, AT(request_memory_max), "64Mi", MI, 16 * GI, "working memory of one request"},
    {"server-threads", TYPE_INT, AT(threads), "0", 0, 8, "threads of a listener; 0: by the number of processors"},
    /* looking at it */
    {"v", TYPE_INT, AT(verbosity), "0", 0, 10, "log level: 2 what changed, 4 each filter call, 5 why nothing fits"},
    {"legacy-metrics", TYPE_BOOL, AT(legacy_metrics), "false", 0, 0, "HAMi's old metric names beside the new ones"},
    {"probe", TYPE_URLS, AT(probe), "", 0, 0, "GET this http or https URL, say what it answers, and exit: 0 if the status is 2xx; may be repeated"},
    {"probe-ca-file", TYPE_TEXT, AT(probe_ca_file), "", 0, 0, "authority (PEM) of the certificates that --probe meets; default: the system's"},
    {"probe-timeout", TYPE_MS, AT(probe_timeout_ms), "5s", 100, 600000, "how long --probe tries, once a second"},
    {"print-scheduler-config", TYPE_BOOL, AT(print_scheduler_config), "false", 0, 0, "print the KubeSchedulerConfiguration that goes with the flags, and exit"},
    {"print-vendors", TYPE_BOOL, AT(print_vendors), "false", 0, 0, "print the vendors with their names and rules as --vendor-file reads them, and exit"},
    {"help", TYPE_BOOL, AT(help), "false", 0, 0, "print this and exit"},
    {"version", TYPE_BOOL, AT(version), "false", 0, 0, "print the version and exit"},
    /* HAMi's, without effect here (contract/core.md 15, chart.md 2) */
    {"kube-qps", TYPE_NONE, 0, "5", 0, 0, NO_EFFECT},
    {"kube-burst", TYPE_NONE, 0, "10", 0, 0, NO_EFFECT},
    {"kube-timeout", TYPE_NONE, 0, "0", 0, 0, NO_EFFECT},
    {"profiling", TYPE_NONE_BOOL, 0, "false", 0, 0, NO_EFFECT},
    {"debug", TYPE_NONE_BOOL, 0, "false", 0, 0, NO_EFFECT},
    {"node-lock-retry-timeout", TYPE_NONE, 0, "28s", 0, 0, NO_EFFECT},
    VENDOR_HAMI_FLAGS(VENDOR_TEXT)
    VENDOR_HAMI_FLAGS_BOOL(VENDOR_BOOL)
    /* klog's */
    {"add_dir_header", TYPE_NONE_BOOL, 0, "false", 0, 0, NO_EFFECT},
    {"alsologtostderr", TYPE_NONE_BOOL, 0, "false", 0, 0, NO_EFFECT},
    {"log_backtrace_at", TYPE_NONE, 0, "", 0, 0, NO_EFFECT},
    {"log_dir", TYPE_NONE, 0, "", 0, 0, NO_EFFECT},
    {"log_file", TYPE_NONE, 0, "", 0, 0, NO_EFFECT},
    {"log_file_max_size", TYPE_NONE, 0, "1800", 0, 0, NO_EFFECT},
    {"logtostderr", TYPE_NONE_BOOL, 0, "true", 0, 0, NO_EFFECT},
    {"one_output", TYPE_NONE_BOOL, 0, "false", 0, 0, NO_EFFECT},
    {"skip_headers", TYPE_NONE_BOOL, 0, "false", 0, 0, NO_EFFECT},
    {"skip_log_headers", TYPE_NONE_BOOL, 0, "false", 0, 0, NO_EFFECT},
    {"stderrthreshold", TYPE_NONE, 0, "2", 0, 0, NO_EFFECT},
    {"vmodule", TYPE_NONE, 0, "", 0, 0, NO_EFFECT},
};
/* clang-format on */
enum { FLAGS_N = sizeof(FLAGS) / sizeof(FLAGS[0]), FILES_MAX = 256, IGNORED_MAX = 4096 };

static bool takes_value(const struct flag *f)
{
    return f->type != TYPE_BOOL && f->type != TYPE_NONE_BOOL;
}

/* ---- one value ---- */
static enum err_code bad(const struct flag *f, const char *value, const char *why, struct err *err)
{
    return err_set(err, ERR_BAD_REQUEST, "--%s=%.64s: %s", f->name, value, why);
}

static enum err_code bounds(const struct flag *f, const char *value, int64_t got, struct err *err)
{
    if (got >= f->min && got <= f->max)
        return ERR_OK;
    const char *unit = f->type == TYPE_MS || f->type == TYPE_MS64 ? " ms"
                       : f->type == TYPE_S                        ? " s"
                       : f->type == TYPE_BYTES                    ? " bytes"
                                                                  : "";
    return err_set(err, ERR_BAD_REQUEST, "--%s=%.64s: not between %lld and %lld%s", f->name, value,
                   (long long)f->min, (long long)f->max, unit);
}

static bool parse_bytes(struct str text, int64_t *ret)
{
    static const struct {
        struct str suffix;
        int64_t factor;
    } UNITS[] = {{STR_INIT("Ki"), KI}, {STR_INIT("Mi"), MI}, {STR_INIT("Gi"), GI}};
    int64_t factor = 1;
    for (size_t i = 0; i < sizeof(UNITS) / sizeof(UNITS[0]); i++) {
        if (str_has_suffix(text, UNITS[i].suffix)) {
            factor = UNITS[i].factor;
            text.n -= UNITS[i].suffix.n;
            break;
        }
    }
    int64_t n;
    return str_int(text, 0, INT64_MAX / GI, &n) && !__builtin_mul_overflow(n, factor, ret);
}

static bool parse_int(struct str text, int64_t *ret)
{
    return str_int(text, INT_MIN, INT_MAX, ret);
}

/* A duration in the flag's unit; a bare number is not taken: nobody knows its unit. */
static bool parse_time(const struct flag *f, struct str text, int64_t *ret)
{
    int64_t ns, unit = f->type == TYPE_S ? INT64_C(1000000000) : 1000000;
    if (!clock_parse_duration(text, &ns) || ns % unit != 0)
        return false;
    *ret = ns / unit;
    return true;
}

static enum err_code set_number(const struct flag *f, const char *value, char *field,
                                struct err *err)
{
    struct str text = str_z(value);
    int64_t n;
    bool ok;
    const char *why;
    switch (f->type) {
    case TYPE_INT:
        ok = parse_int(text, &n);
        why = "not a number";
        break;
    case TYPE_BYTES:
        ok = parse_bytes(text, &n);
        why = "not a number of bytes (like 8388608 or 8Mi)";
        break;
    default:
        ok = parse_time(f, text, &n);
        why = f->type == TYPE_S ? "not a duration of whole seconds (like 180s)"
                                : "not a duration of whole milliseconds (like 4s or 300ms)";
        break;
    }
    if (!ok)
        return bad(f, value, why, err);
    enum err_code rc = bounds(f, value, n, err);
    if (rc)
        return rc;
    if (f->type == TYPE_BYTES)
        *(size_t *)(void *)field = (size_t)n;
    else if (f->type == TYPE_MS64)
        *(int64_t *)(void *)field = n;
    else
        *(int *)(void *)field = (int)n;
    return ERR_OK;
}

static enum err_code add_file(const struct flag *f, struct ext_files *files, const char *value,
                              struct err *err)
{
    if (!*value)
        return err_set(err, ERR_BAD_REQUEST, "--%s: no %s given", f->name, TYPE_NAMES[f->type]);
    if (files->n == FILES_MAX)
        return err_set(err, ERR_BAD_REQUEST, "--%s: more than %d", f->name, FILES_MAX);
    const char **grown = realloc(files->path, (files->n + 1) * sizeof(files->path[0]));
    if (!grown)
        return err_set(err, ERR_NO_MEMORY, "flags: no memory");
    files->path = grown;
    files->path[files->n++] = value;
    return ERR_OK;
}

static enum err_code set(struct ext_config *c, const struct flag *f, const char *value,
                         struct err *err)
{
    char *field = (char *)c + f->at;
    bool on;
    switch (f->type) {
    case TYPE_BOOL:
        if (!str_go_bool(str_z(value), &on))
            return bad(f, value, "not true or false", err);
        *(bool *)(void *)field = on;
        return ERR_OK;
    case TYPE_NONE_BOOL:
        return str_go_bool(str_z(value), &on) ? ERR_OK : bad(f, value, "not true or false", err);
    case TYPE_NONE:
        return ERR_OK;
    case TYPE_TEXT:
        *(const char **)(void *)field = *value ? value : NULL;
        return ERR_OK;
    case TYPE_LIST:
    case TYPE_URLS:
        return add_file(f, (struct ext_files *)(void *)field, value, err);
    default:
        return set_number(f, value, field, err);
    }
}

/* ---- names ---- */
static const struct flag *find(struct str name)
{
    for (size_t i = 0; i < FLAGS_N; i++)
        if (str_eq(name, str_z(FLAGS[i].name)))
            return &FLAGS[i];
    return NULL;
}

enum { NAME_MAX_ = 64 };

/* Letters to change, add or drop (Levenshtein); '-' and '_' are one letter. */
static size_t distance(struct str a, struct str b)
{
    size_t row[NAME_MAX_ + 1];
    assert(b.n <= NAME_MAX_);
    for (size_t j = 0; j <= b.n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            char x = a.p[i - 1] == '_' ? '-' : a.p[i - 1];
            char y = b.p[j - 1] == '_' ? '-' : b.p[j - 1];
            size_t change = corner + (x != y), drop = row[j] + 1, add = row[j - 1] + 1;
            corner = row[j];
            row[j] = change < drop ? change : drop;
            row[j] = row[j] < add ? row[j] : add;
        }
    }
    return row[b.n];
}

static enum err_code unknown(struct str name, struct err *err)
{
    struct str cut = {name.p, name.n < NAME_MAX_ ? name.n : NAME_MAX_};
    const struct flag *nearest = &FLAGS[0];
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < FLAGS_N; i++) {
        size_t d = distance(cut, str_z(FLAGS[i].name));
        if (d < least) {
            least = d;
            nearest = &FLAGS[i];
        }
    }
    return err_set(err, ERR_BAD_REQUEST, "unknown flag --" STR_FMT ": did you mean --%s?",
                   STR_ARG(cut), nearest->name);
}

/* ---- what does not go together ---- */
static enum err_code check(const struct ext_config *c, struct err *err)
{
    if (c->cluster.n > 0 && (c->kubeconfig || c->kube_context))
        return err_set(err, ERR_BAD_REQUEST,
                       "--cluster and --%s: the cluster is a file or an API server, not both",
                       c->kubeconfig ? "kubeconfig" : "kube-context");
    if (!c->cert_file != !c->key_file)
        return err_set(err, ERR_BAD_REQUEST, "--%s without --%s",
                       c->cert_file ? "cert_file" : "key_file",
                       c->cert_file ? "key_file" : "cert_file");
    if (c->listen_webhook && !c->cert_file)
        return err_set(err, ERR_BAD_REQUEST,
                       "--listen-webhook without --cert_file and --key_file: "
                       "kube-apiserver calls webhooks over TLS only");
    if (c->listen_webhook && c->http_bind)
        return err_set(err, ERR_BAD_REQUEST,
                       "--listen-webhook and --http_bind: --http_bind serves the webhook already");
    if (c->extender_tls && c->http_bind)
        return err_set(err, ERR_BAD_REQUEST,
                       "--extender-tls and --http_bind: that speaks TLS where it has --cert_file");
    if (c->extender_tls && !c->listen_extender)
        return err_set(err, ERR_BAD_REQUEST, "--extender-tls without --listen-extender");
    if (c->extender_tls && (!c->cert_file || !c->client_ca_file))
        return err_set(err, ERR_BAD_REQUEST,
                       "--extender-tls without %s: callers are known by their certificates",
                       c->cert_file ? "--client-ca-file" : "--cert_file and --key_file");
    if (c->client_ca_file && !ext_config_tls(c, EXT_ON_EXTENDER))
        return err_set(err, ERR_BAD_REQUEST,
                       "--client-ca-file without --extender-tls, or --http_bind with --cert_file: "
                       "the verbs' listener sees no certificates");
    if (c->cert_file && !ext_config_tls(c, EXT_ON_EXTENDER) && !ext_config_tls(c, EXT_ON_WEBHOOK))
        return err_set(err, ERR_BAD_REQUEST,
                       "--cert_file without --listen-webhook, --http_bind or --extender-tls: no "
                       "listener would use it");
    struct ext_place at;
    for (size_t i = 0; i < c->probe.n; i++)
        if (!ext_place_of_url(c->probe.path[i], &at))
            return err_set(err, ERR_BAD_REQUEST, "--probe=%.128s: no http or https URL",
                           c->probe.path[i]);
    if (c->probe_ca_file && c->probe.n == 0)
        return err_set(err, ERR_BAD_REQUEST, "--probe-ca-file without --probe");
    if (c->extender_url && !ext_place_of_url(c->extender_url, &at))
        return err_set(err, ERR_BAD_REQUEST, "--extender-url=%.128s: no http or https URL",
                       c->extender_url);
    if (c->extender_url && !c->scheduler_config_file && !c->print_scheduler_config)
        return err_set(
            err, ERR_BAD_REQUEST,
            "--extender-url without --scheduler-config-file or --print-scheduler-config");
    if (c->bodies_max < c->body_max || c->bodies_max < c->webhook_body_max)
        return err_set(err, ERR_BAD_REQUEST, "--bodies-max is less than one body may have");
    if (c->request_memory_max < c->body_max)
        return err_set(err, ERR_BAD_REQUEST, "--request-memory-max is less than --body-max");
    if (!c->listen_extender && !c->http_bind && !c->listen_webhook && !c->listen_metrics)
        return err_set(err, ERR_BAD_REQUEST, "no listener is left");
    return ERR_OK;
}

static enum err_code check_leader(struct ext_config *c, struct err *err)
{
    struct str mode = str_z(c->leader_mode);
    c->leader_own = str_eq(mode, STR("own"));
    if (!c->leader_own && !str_eq(mode, STR("follow")))
        return err_set(err, ERR_BAD_REQUEST, "--leader-elect-mode=%.64s: neither follow nor own",
                       c->leader_mode ? c->leader_mode : "");
    if (c->leader_elect && !c->leader_own && ext_config_reachable(c))
        return err_set(err, ERR_BAD_REQUEST,
                       "--client-ca-file and --leader-elect-mode=follow: one leads with the "
                       "kube-scheduler of one's own host, and one of another host may call: use "
                       "--leader-elect-mode=own, or let the verbs listen on loopback");
    if (!c->leader_elect || !c->leader_own)
        return ERR_OK;
    if (c->leader_duration_ms % 1000 != 0)
        return err_set(err, ERR_BAD_REQUEST,
                       "--leader-elect-lease-duration: a Lease counts whole seconds");
    if (c->leader_duration_ms <= c->leader_renew_ms ||
        c->leader_renew_ms * 10 <= c->leader_retry_ms * 12)
        return err_set(err, ERR_BAD_REQUEST,
                       "--leader-elect-lease-duration must be longer than "
                       "--leader-elect-renew-deadline, and that longer than 1.2 times "
                       "--leader-elect-retry-period");
    if (c->leader_duration_ms < 3000)
        return err_set(err, ERR_BAD_REQUEST,
                       "--leader-elect-lease-duration: less than 3 s leaves no time for writes");
    return ERR_OK;
}

static void note_ignored(struct ext_config *c, const struct flag *f)
{
    char *at = c->ignored.p ? strstr(c->ignored.p, f->name) : NULL;
    size_t n = strlen(f->name);
    for (; at; at = strstr(at + 1, f->name)) /* named once */
        if ((at == c->ignored.p || at[-1] == ' ') && (at[n] == '\0' || at[n] == ','))
            return;
    if (c->ignored.n > 0)
        buf_add(&c->ignored, STR(", "));
    buf_add(&c->ignored, str_z(f->name));
    buf_char(&c->ignored, '\0');
    if (!c->ignored.failed)
        c->ignored.n--;
}

/* ---- all of it ---- */
void ext_config_init(struct ext_config *ret)
{
    *ret = (struct ext_config){0};
    buf_init(&ret->ignored, IGNORED_MAX);
    for (size_t i = 0; i < FLAGS_N; i++) {
        if (FLAGS[i].type == TYPE_LIST || FLAGS[i].type == TYPE_URLS)
            continue;
        struct err err;
        enum err_code rc = set(ret, &FLAGS[i], FLAGS[i].value, &err);
        assert(!rc); /* the table's own defaults */
    }
    ret->listen_extender = ret->listen_metrics = NULL;
}

static enum err_code parse_one(struct ext_config *c, int argc, char **argv, int *i,
                               bool *extender_named, struct err *err)
{
    const char *arg = argv[*i];
    if (arg[0] != '-' || arg[1] == '\0') {
        if (strcmp(arg, "version") != 0) /* HAMi's only subcommand */
            return err_set(err, ERR_BAD_REQUEST, "argument %.64s: flags only", arg);
        c->version = true;
        return ERR_OK;
    }
    struct str name = str_z(arg + (arg[1] == '-' ? 2 : 1)), rest = name;
    const char *value = memchr(name.p, '=', name.n);
    if (value) {
        (void)str_split(&rest, '=', &name);
        value++;
    }
    const struct flag *f = find(name);
    if (!f && str_eq(name, STR("h")))
        f = find(STR("help"));
    if (!f && arg[1] == 'v' && arg[2] >= '0' && arg[2] <= '9') { /* -v4 */
        f = find(STR("v"));
        value = arg + 2;
    }
    if (!f)
        return unknown(name, err);
    if (!value && takes_value(f)) {
        if (*i + 1 >= argc)
            return err_set(err, ERR_BAD_REQUEST, "--%s: no value given", f->name);
        value = argv[++*i];
    }
    if (f->at == AT(listen_extender) && f->type == TYPE_TEXT)
        *extender_named = true;
    enum err_code rc = set(c, f, value ? value : "true", err);
    if (!rc && (f->type == TYPE_NONE || f->type == TYPE_NONE_BOOL))
        note_ignored(c, f);
    return rc;
}

/* The default of a flag that is in the table. */
static const char *preset(struct str name)
{
    const struct flag *f = find(name);
    assert(f);
    return f ? f->value : NULL;
}

/* Defaults that HAMi's chart sets in the environment: a flag goes first (contract/core.md 15;
 * HAMi's flag overwrites the variable even where nobody gives it: core.md 16, C22). */
static enum err_code read_environment(struct ext_config *c, struct err *err)
{
    const char *expire = getenv(EXPIRE_VARIABLE); // NOLINT(concurrency-mt-unsafe): nobody sets it
    if (!expire || !*expire)
        return ERR_OK;
    const struct flag *flag = find(STR("node-lock-timeout"));
    assert(flag);
    enum err_code rc = set(c, flag, expire, err);
    return rc ? err_prefix(err, rc, "$" EXPIRE_VARIABLE) : ERR_OK;
}

enum err_code ext_config_parse(int argc, char **argv, struct ext_config *ret, struct err *err)
{
    struct ext_config c;
    ext_config_init(&c);
    c.listen_extender = preset(STR("listen-extender"));
    c.listen_metrics = preset(STR("metrics-bind-address"));
    bool extender_named = false;
    enum err_code rc = read_environment(&c, err);
    for (int i = 1; !rc && i < argc; i++)
        rc = parse_one(&c, argc, argv, &i, &extender_named, err);
    if (!rc && c.http_bind) {
        if (extender_named && c.listen_extender)
            rc = err_set(err, ERR_BAD_REQUEST,
                         "--listen-extender and --http_bind: one address for the verbs");
        c.listen_extender = NULL;
    }
    if (!rc && !c.help && !c.version)
        rc = check(&c, err);
    if (!rc && !c.help && !c.version)
        rc = check_leader(&c, err);
    if (rc) {
        ext_config_done(&c);
        return rc;
    }
    *ret = c;
    return ERR_OK;
}

void ext_config_done(struct ext_config *c)
{
    free(c->cluster.path);
    free(c->vendor.path);
    free(c->probe.path);
    c->cluster = c->vendor = c->probe = (struct ext_files){0};
    buf_done(&c->ignored);
}

bool ext_config_tls(const struct ext_config *c, unsigned surface)
{
    const unsigned both = EXT_ON_EXTENDER | EXT_ON_WEBHOOK;
    if (c->http_bind)
        return c->cert_file && (surface & both);
    if (surface == EXT_ON_EXTENDER)
        return c->listen_extender && c->extender_tls;
    return surface == EXT_ON_WEBHOOK && c->listen_webhook;
}

bool ext_config_reachable(const struct ext_config *c)
{
    const char *address = c->http_bind ? c->http_bind : c->listen_extender;
    struct ext_place at;
    return ext_config_tls(c, EXT_ON_EXTENDER) && c->client_ca_file &&
           ext_place_of_listener(address, true, &at) &&
           (at.wildcard || !ext_place_is_loopback(&at));
}

const char *ext_config_ignored(const struct ext_config *c)
{
    return c->ignored.p ? c->ignored.p : "";
}

/* A bound as one would write it on the command line. */
static void bound_text(const struct flag *f, int64_t n, char *ret, size_t max)
{
    static const struct unit {
        const char *name;
        int64_t size;
    } TIMES[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}},
      BYTES[] = {{"Gi", GI}, {"Mi", MI}, {"Ki", KI}, {"", 1}}, COUNT[] = {{"", 1}};
    const struct unit *u = f->type == TYPE_INT ? COUNT : f->type == TYPE_BYTES ? BYTES : TIMES;
    if (f->type == TYPE_S)
        n *= 1000;
    while (u->size > 1 && (n == 0 || n % u->size != 0))
        u++;
    (void)snprintf(ret, max, "%lld%s", (long long)(n / u->size), u->name);
}

static void bounds_text(const struct flag *f, char *ret, size_t max)
{
    char low[20], high[20];
    ret[0] = '\0';
    if (f->min >= f->max)
        return;
    bound_text(f, f->min, low, sizeof(low));
    bound_text(f, f->max, high, sizeof(high));
    (void)snprintf(ret, max, "%s to %s", low, high);
}

bool ext_config_flag(size_t i, struct ext_flag_view *ret)
{
    if (i >= FLAGS_N)
        return false;
    const struct flag *f = &FLAGS[i];
    *ret = (struct ext_flag_view){.name = f->name,
                                  .type = TYPE_NAMES[f->type],
                                  .value = f->value,
                                  .help = f->help,
                                  .ignored = f->type == TYPE_NONE || f->type == TYPE_NONE_BOOL};
    bounds_text(f, ret->bounds, sizeof(ret->bounds));
    return true;
}

void ext_config_help(struct buf *out)
{
    buf_add(out, STR("cardinald: places pods on nodes with accelerator cards\n\n"
                     "usage: cardinald [--flag=value ...]\n\n"));
    for (size_t i = 0; i < FLAGS_N; i++) {
        const struct flag *f = &FLAGS[i];
        if (f->type == TYPE_NONE || f->type == TYPE_NONE_BOOL)
            continue;
        buf_fmt(out, "  --%s", f->name);
        if (takes_value(f))
            buf_fmt(out, "=%s", TYPE_NAMES[f->type]);
        buf_fmt(out, "\n        %s", f->help);
        char limits[48];
        bounds_text(f, limits, sizeof(limits));
        if (*f->value && takes_value(f))
            buf_fmt(out, " (default %s%s%s)", f->value, *limits ? "; " : "", limits);
        else if (f->type == TYPE_BOOL && strcmp(f->value, "true") == 0)
            buf_add(out, STR(" (default true)"));
        buf_char(out, '\n');
    }
    buf_add(out, STR("\nHAMi's flags without effect, accepted:"));
    size_t column = 80;
    for (size_t i = 0; i < FLAGS_N; i++) {
        const struct flag *f = &FLAGS[i];
        if (f->type != TYPE_NONE && f->type != TYPE_NONE_BOOL)
            continue;
        if (column + strlen(f->name) > 76) {
            buf_add(out, STR("\n ")); /* a new line */
            column = 1;
        }
        buf_fmt(out, " --%s", f->name);
        column += strlen(f->name) + 3;
    }
    buf_char(out, '\n');
}
