/* The KubeSchedulerConfiguration that stands beside us: what it would have to be for this process
 * to serve, printed; and one that is there, read and held against what this process does. The two
 * come from the same facts, so that what is printed passes.
 *
 * Sources: contract/kubernetes.md 1.2 (how urlPrefix and verbs make a URL, what a missing CA
 * means), 1.3 (fields and defaults of extenders), 1.6 and 1.7 (the sample of nodes), 1.8
 * (ignorable); defaults of leaderElection: k8s.io/component-base/config/v1alpha1. Fields that are
 * not named here are kube-scheduler's own to judge, and so is whatever its flags overrule. */
#include "extender/priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    TEXT_MAX = 480,
    NAME_SHOWN = 64,     /* bytes of one */
    NAMES_SHOWN = 6,     /* of resources, in one text */
    HTTP_TIMEOUT = 5000, /* kube-scheduler's, where none is set */
    ALL_NODES = 100,     /* percentageOfNodesToScore */
    LEASE_PARTS = 15,    /* leaseDuration : renewDeadline : retryPeriod = 15 : 10 : 2, its own */
};
#define API_VERSION "kubescheduler.config.k8s.io/v1"
#define KIND        "KubeSchedulerConfiguration"

/* How a kube-scheduler is to call this process. */
static enum err_code our_place(const struct ext_config *c, struct ext_place *ret, struct err *err)
{
    const char *listen = c->http_bind ? c->http_bind : c->listen_extender;
    if (!listen)
        return err_set(err, ERR_BAD_REQUEST,
                       "no listener for the verbs, so that kube-scheduler has nobody to call: give "
                       "--listen-extender an address");
    if (c->extender_url) /* seen to be one by config.c */
        return ext_place_of_url(c->extender_url, ret)
                   ? ERR_OK
                   : err_set(err, ERR_BAD_REQUEST, "--extender-url: no http or https URL");
    if (!ext_place_of_listener(listen, ext_config_tls(c, EXT_ON_EXTENDER), ret) || ret->port == 0)
        return err_set(err, ERR_BAD_REQUEST,
                       "--%s=%.64s: kube-scheduler's configuration needs an address with a port",
                       c->http_bind ? "http_bind" : "listen-extender", listen);
    return ERR_OK;
}

/* ---- names: all that make a pod ours ---- */
/* The i-th name of the table, each once; false: after the last. Walks what is a few dozen rows. */
struct names {
    const struct vendor_table *vendors;
    unsigned at;
};

static struct str name_at(const struct vendor_table *t, unsigned i)
{
    return vendor_resource_name(vendor_at(t, (uint16_t)(i / VENDOR_RES_COUNT_)),
                                (enum vendor_resource)(i % VENDOR_RES_COUNT_));
}

static bool next_name(struct names *it, struct str *ret)
{
    unsigned n = vendor_count(it->vendors) * (unsigned)VENDOR_RES_COUNT_;
    while (it->at < n) {
        struct str name = name_at(it->vendors, it->at++);
        bool again = name.n == 0;
        for (unsigned i = 0; !again && i + 1 < it->at; i++)
            again = str_eq(name_at(it->vendors, i), name);
        if (!again) {
            *ret = name;
            return true;
        }
    }
    return false;
}

/* ---- holding a file against us ---- */
struct look {
    const struct ext_config *c;
    const struct vendor_table *vendors;
    const struct ext_kubesched_report *report;
    const char *path;
    struct ext_place ours;
    unsigned refused;
};

static void say(struct look *l, bool refused, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct look *l, bool refused, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    l->refused += refused;
    l->report->say(l->report->ctx, refused, text);
}
#define refuse(l, ...) say(l, true, __VA_ARGS__)
#define warn(l, ...)   say(l, false, __VA_ARGS__)

/* A field of the wrong type is said, and read as if it were not there. */
static const json_t *field(struct look *l, const json_t *in, const char *key, json_type type,
                           const char *what)
{
    const json_t *v = json_object_get(in, key);
    if (!v || json_is_null(v) || json_typeof(v) == type)
        return json_is_null(v) ? NULL : v;
    refuse(l, "%s is not %s", key, what);
    return NULL;
}

static const char *text_of(struct look *l, const json_t *in, const char *key, const char *preset)
{
    const json_t *v = field(l, in, key, JSON_STRING, "a text");
    return v && *json_string_value(v) ? json_string_value(v) : preset;
}

static bool bool_of(struct look *l, const json_t *in, const char *key, bool preset)
{
    const json_t *v = json_object_get(in, key);
    if (!v || json_is_null(v))
        return preset;
    if (!json_is_boolean(v))
        refuse(l, "%s is neither true nor false", key);
    return json_is_true(v);
}

static int64_t ms_of(struct look *l, const json_t *in, const char *key, int64_t preset)
{
    const char *text = text_of(l, in, key, NULL);
    int64_t ns;
    if (!text)
        return preset;
    if (!clock_parse_duration(str_z(text), &ns)) {
        refuse(l, "%s: %.64s is no duration (like 15s)", key, text);
        return preset;
    }
    return ns == 0 ? preset : ns / 1000000;
}

/* ---- one extender ---- */
static void check_verb(struct look *l, const json_t *ext, const struct ext_place *at,
                       const char *key, const char *name, enum ext_verb verb, const char *why)
{
    const char *given = text_of(l, ext, key, NULL);
    if (!given) {
        refuse(l, "%s is not set: set it to \"%s\": %s", key, name, why);
        return;
    }
    char path[EXT_PLACE_TEXT_MAX];
    const char *allow;
    (void)snprintf(path, sizeof(path), "%s/%.60s", at->path, given);
    const struct ext_route *r =
        ext_route_find(EXT_ROUTES, STR("POST"), str_z(path), EXT_ON_EXTENDER, &allow);
    if (!r || r->verb != verb)
        refuse(l, "urlPrefix and %s make %.128s, which is not ours: it is /%s", key, path, name);
}

static void check_verbs(struct look *l, const json_t *ext, const struct ext_place *at)
{
    check_verb(l, ext, at, "filterVerb", "filter", EXT_VERB_FILTER, "nodes are chosen by it");
    check_verb(l, ext, at, "prioritizeVerb", "prioritize", EXT_VERB_PRIORITIZE,
               "without it the best node is not preferred");
    check_verb(l, ext, at, "bindVerb", "bind", EXT_VERB_BIND,
               "a pod bound by kube-scheduler itself gets no cards");
    if (text_of(l, ext, "preemptVerb", NULL))
        refuse(l, "preemptVerb is set, and cardinald has no such verb: leave it out");
}

struct noted { /* names for one text: how many, and the first of them */
    unsigned n;
    char text[TEXT_MAX / 2];
};

static void note(struct noted *into, struct str name)
{
    size_t used = strlen(into->text);
    int n = name.n < NAME_SHOWN ? (int)name.n : NAME_SHOWN;
    if (into->n++ < NAMES_SHOWN)
        (void)snprintf(into->text + used, sizeof(into->text) - used, "%s%.*s", used ? ", " : "", n,
                       name.p);
}

static void check_names(struct look *l, const json_t *ext)
{
    const json_t *list = field(l, ext, "managedResources", JSON_ARRAY, "a list");
    if (json_array_size(list) == 0) {
        warn(l, "managedResources is empty: every pod is sent to cardinald, not only those that "
                "ask for cards");
        return;
    }
    struct noted missing = {.n = 0}, foreign = {.n = 0}, counted = {.n = 0};
    struct names it = {.vendors = l->vendors};
    for (struct str name; next_name(&it, &name);) {
        bool there = false;
        for (size_t i = 0; !there && i < json_array_size(list); i++)
            there = str_eq(
                str_z(json_string_value(json_object_get(json_array_get(list, i), "name"))), name);
        if (!there)
            note(&missing, name);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *r = json_array_get(list, i);
        struct str name = str_z(json_string_value(json_object_get(r, "name")));
        uint16_t vendor;
        enum vendor_resource what;
        if (name.n == 0)
            refuse(l, "managedResources[%zu] has no name", i);
        else if (!vendor_find_resource(l->vendors, name, &vendor, &what))
            note(&foreign, name);
        else if (!bool_of(l, r, "ignoredByScheduler", false))
            note(&counted, name);
    }
    if (missing.n)
        refuse(l,
               "managedResources lacks %u resources that are served (%s%s): pods that ask for them "
               "alone would be placed without cards, or not at all: add them "
               "(--print-scheduler-config prints the list)",
               missing.n, missing.text, missing.n > NAMES_SHOWN ? ", …" : "");
    if (foreign.n)
        warn(l,
             "managedResources has %u resources that are not served (%s%s): take them out, or "
             "see whether the device configuration is the right one",
             foreign.n, foreign.text, foreign.n > NAMES_SHOWN ? ", …" : "");
    if (counted.n)
        warn(l,
             "managedResources without ignoredByScheduler: true (%s%s): kube-scheduler places "
             "such pods only on nodes that offer these as capacity",
             counted.text, counted.n > NAMES_SHOWN ? ", …" : "");
}

/* A kube-scheduler elsewhere has to be known by its certificate. */
static void check_remote(struct look *l, const json_t *ext)
{
    const json_t *tls = field(l, ext, "tlsConfig", JSON_OBJECT, "a map");
    if (!ext_config_reachable(l->c))
        refuse(l, "urlPrefix is called from elsewhere, and this process answers its own host only: "
                  "use --extender-tls with --client-ca-file and an address that others reach");
    else if (!(text_of(l, tls, "certFile", NULL) || text_of(l, tls, "certData", NULL)) ||
             !(text_of(l, tls, "keyFile", NULL) || text_of(l, tls, "keyData", NULL)))
        refuse(l, "tlsConfig has no client certificate (certFile and keyFile): the verbs would "
                  "answer 403");
    if (bool_of(l, tls, "insecure", false) ||
        !(text_of(l, tls, "caFile", NULL) || text_of(l, tls, "caData", NULL)))
        warn(l, "tlsConfig has no CA, or is insecure: kube-scheduler would talk to whoever "
                "answers: set caFile");
}

static void check_reach(struct look *l, const json_t *ext, const struct ext_place *at)
{
    bool listens_tls = ext_config_tls(l->c, EXT_ON_EXTENDER);
    if (at->tls != listens_tls)
        refuse(l, "urlPrefix is %s, and the listener of the verbs %s", at->tls ? "https" : "http",
               listens_tls ? "speaks TLS" : "is plain: use http, or --extender-tls");
    else if (bool_of(l, ext, "enableHTTPS", false) != listens_tls)
        refuse(l, "enableHTTPS must be %s, as the listener of the verbs %s",
               listens_tls ? "true" : "false", listens_tls ? "speaks TLS" : "is plain");
    char ours[EXT_PLACE_TEXT_MAX];
    ext_place_text(&l->ours, ours);
    /* A Service or an address of the host may stand before a listener that others reach; for
     * loopback, and where we were told the URL, there is nothing in between. */
    bool exact = ext_place_is_loopback(at) || l->c->extender_url;
    if (exact && !ext_place_reaches(at, &l->ours))
        refuse(l, "urlPrefix names %.100s:%lld, and this process is called at %.200s", at->host,
               (long long)at->port, ours);
    if (!ext_place_is_loopback(at))
        check_remote(l, ext);
}

/* ---- who leads ---- */
static void check_election(struct look *l, const json_t *root, bool remote)
{
    const struct ext_config *c = l->c;
    const json_t *el = field(l, root, "leaderElection", JSON_OBJECT, "a map");
    bool elect = bool_of(l, el, "leaderElect", true);
    const char *name = text_of(l, el, "resourceName", "kube-scheduler");
    const char *ns = text_of(l, el, "resourceNamespace", "kube-system");
    bool same =
        str_eq(str_z(name), str_z(c->leader_name)) && str_eq(str_z(ns), str_z(c->leader_namespace));
    if (remote) {
        if (c->leader_elect && !c->leader_own)
            refuse(l, "urlPrefix is called from elsewhere, and --leader-elect-mode=follow leads "
                      "with the kube-scheduler of its own host: use --leader-elect-mode=own");
        else if (c->leader_elect && elect && same)
            refuse(l,
                   "leaderElection is about the Lease %.128s/%.128s, on which this process stands "
                   "for election itself: give it another --leader-elect-resource-name",
                   ns, name);
        return;
    }
    if (c->leader_elect && c->leader_own)
        refuse(l, "--leader-elect-mode=own beside a kube-scheduler that calls over loopback: the "
                  "one that leads may call one that does not: use --leader-elect-mode=follow");
    else if (elect != c->leader_elect)
        refuse(l, "leaderElection.leaderElect is %s%s, and --leader-elect is %s: both or neither",
               elect ? "true" : "false", json_object_get(el, "leaderElect") ? "" : " (not set)",
               c->leader_elect ? "true" : "false");
    else if (elect && !same)
        refuse(l,
               "leaderElection is about the Lease %.128s/%.128s, and "
               "--leader-elect-resource-namespace and -name are %.128s/%.128s",
               ns, name, c->leader_namespace ? c->leader_namespace : "",
               c->leader_name ? c->leader_name : "");
    int64_t lease_ms = ms_of(l, el, "leaseDuration", 15000);
    if (elect && c->leader_elect && !c->leader_own && lease_ms != c->leader_duration_ms)
        refuse(l,
               "leaderElection.leaseDuration is %lld ms, and --leader-elect-lease-duration %lld "
               "ms: make them equal",
               (long long)lease_ms, (long long)c->leader_duration_ms);
}

/* ---- profiles ---- */
static int64_t percentage_of(struct look *l, const json_t *in, int64_t preset)
{
    const json_t *v = field(l, in, "percentageOfNodesToScore", JSON_INTEGER, "a number");
    return v ? json_integer_value(v) : preset;
}

static void check_profiles(struct look *l, const json_t *root)
{
    const json_t *profiles = field(l, root, "profiles", JSON_ARRAY, "a list");
    const char *want = l->c->scheduler_name; /* NULL: whichever profile the pods name */
    int64_t everywhere = percentage_of(l, root, 0);
    bool none = json_array_size(profiles) == 0; /* kube-scheduler makes one */
    bool found = none && (!want || strcmp(want, "default-scheduler") == 0);
    bool all = !none || everywhere == ALL_NODES;
    for (size_t i = 0; i < json_array_size(profiles); i++) {
        const json_t *p = json_array_get(profiles, i);
        if (want && strcmp(text_of(l, p, "schedulerName", "default-scheduler"), want) != 0)
            continue;
        found = true;
        all &= percentage_of(l, p, everywhere) == ALL_NODES;
    }
    if (!found)
        refuse(l,
               "no profile has schedulerName %.128s, which the webhook gives to pods "
               "(--scheduler-name): they would wait for ever",
               want);
    else if (!all)
        warn(l, "percentageOfNodesToScore is not 100: a pod may be refused although a node that "
                "was left out has room");
}

/* ---- the whole ---- */
/* Of several extenders, the one that calls us. */
static const json_t *our_extender(struct look *l, const json_t *all, struct ext_place *ret_at)
{
    const json_t *found = NULL;
    unsigned n = 0;
    char ours[EXT_PLACE_TEXT_MAX];
    ext_place_text(&l->ours, ours);
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *ext = json_array_get(all, i);
        struct ext_place at;
        const char *url = json_string_value(json_object_get(ext, "urlPrefix"));
        if (!url || !ext_place_of_url(url, &at)) {
            refuse(l, "extenders[%zu].urlPrefix: %.128s is no http or https URL", i,
                   url ? url : "nothing");
            return NULL;
        }
        if (json_array_size(all) > 1 && !ext_place_reaches(&at, &l->ours))
            continue;
        n++;
        found = ext;
        *ret_at = at;
    }
    if (n == 1)
        return found;
    if (json_array_size(all) == 0)
        refuse(l, "no extenders: kube-scheduler would not call this process: add what "
                  "--print-scheduler-config prints");
    else
        refuse(l, "%u of %zu extenders have an urlPrefix that is this process, %s: one is wanted%s",
               n, json_array_size(all), ours,
               n == 0 ? " (--extender-url says how it is reached)" : "");
    return NULL;
}

static void check_root(struct look *l, const json_t *root)
{
    const char *api = text_of(l, root, "apiVersion", ""), *kind = text_of(l, root, "kind", "");
    if (strcmp(api, API_VERSION) != 0 || strcmp(kind, KIND) != 0) {
        refuse(l, "it is %.64s %.64s, and not " API_VERSION " " KIND, *api ? api : "no apiVersion",
               *kind ? kind : "and no kind");
        return;
    }
    struct ext_place at;
    const json_t *ext = our_extender(l, field(l, root, "extenders", JSON_ARRAY, "a list"), &at);
    if (ext) {
        check_reach(l, ext, &at);
        check_verbs(l, ext, &at);
        check_names(l, ext);
        int64_t timeout = ms_of(l, ext, "httpTimeout", HTTP_TIMEOUT);
        if (timeout <= l->c->bind_timeout_ms)
            refuse(l,
                   "httpTimeout is %lld ms%s, and a bind may take %d: make it longer than "
                   "--bind-timeout, so that binds end with an answer",
                   (long long)timeout, json_object_get(ext, "httpTimeout") ? "" : " (not set)",
                   l->c->bind_timeout_ms);
        if (bool_of(l, ext, "ignorable", false))
            refuse(l, "ignorable is true: kube-scheduler would bind by itself what this process "
                      "refused: leave it out");
        if (!bool_of(l, ext, "nodeCacheCapable", false))
            warn(l, "nodeCacheCapable is not true: whole nodes are sent, which is slow, and "
                    "kube-scheduler's own scores are then wrong");
        check_election(l, root, !ext_place_is_loopback(&at));
    }
    check_profiles(l, root);
}

enum err_code ext_kubesched_check(const struct ext_config *c, const struct vendor_table *vendors,
                                  struct str text, const char *path,
                                  const struct ext_kubesched_report *report, struct err *err)
{
    struct look l = {.c = c, .vendors = vendors, .path = path, .report = report};
    json_auto_t *docs = NULL;
    enum err_code rc = our_place(c, &l.ours, err);
    if (rc)
        return err_prefix(err, rc, "--scheduler-config-file=%.128s", path);
    rc = kube_yaml_parse(text, path, &docs, err);
    if (rc)
        return rc;
    const json_t *root = json_array_get(docs, 0);
    if (json_array_size(docs) != 1 || !json_is_object(root))
        return err_set(err, ERR_BAD_REQUEST, "%s: one " KIND " is wanted", path);
    check_root(&l, root);
    if (l.refused)
        return err_set(err, ERR_BAD_REQUEST,
                       "%s: contradicts the flags of this process (%u %s): change the file (and "
                       "restart kube-scheduler), or the flags",
                       path, l.refused, l.refused == 1 ? "point" : "points");
    return ERR_OK;
}

/* ---- printing one ---- */
static void print_key(struct buf *out, const char *key, const char *value)
{
    buf_fmt(out, "%s: ", key);
    buf_json(out, str_z(value)); /* a YAML text too */
    buf_char(out, '\n');
}

static void print_ms(struct buf *out, const char *key, int64_t ms)
{
    buf_fmt(out, ms % 1000 == 0 ? "%s: %llds\n" : "%s: %lldms\n", key,
            (long long)(ms % 1000 == 0 ? ms / 1000 : ms));
}

static enum err_code print_election(const struct ext_config *c, bool remote, struct buf *out,
                                    struct err *err)
{
    if (remote) {
        buf_add(out, STR("# leaderElection is that kube-scheduler's own matter, with a Lease of "
                         "its own\n"));
        return ERR_OK;
    }
    if (c->leader_elect && c->leader_own)
        return err_set(err, ERR_BAD_REQUEST,
                       "--leader-elect-mode=own beside a kube-scheduler that calls over loopback: "
                       "use follow, or say with --extender-url how it is called from elsewhere");
    buf_fmt(out, "leaderElection:\n  leaderElect: %s\n", c->leader_elect ? "true" : "false");
    if (!c->leader_elect)
        return ERR_OK;
    if (!c->leader_name || !c->leader_namespace)
        return err_set(err, ERR_BAD_REQUEST,
                       "--leader-elect without --leader-elect-resource-name and "
                       "--leader-elect-resource-namespace: which Lease?");
    print_key(out, "  resourceName", c->leader_name);
    print_key(out, "  resourceNamespace", c->leader_namespace);
    print_ms(out, "  leaseDuration", c->leader_duration_ms);
    print_ms(out, "  renewDeadline", c->leader_duration_ms * 10 / LEASE_PARTS);
    print_ms(out, "  retryPeriod", c->leader_duration_ms * 2 / LEASE_PARTS);
    return ERR_OK;
}

enum err_code ext_kubesched_print(const struct ext_config *c, const struct vendor_table *vendors,
                                  struct buf *out, struct err *err)
{
    struct ext_place ours = {.port = 0};
    enum err_code rc = our_place(c, &ours, err);
    if (rc)
        return rc;
    if (ext_config_reachable(c) && !c->extender_url)
        return err_set(err, ERR_BAD_REQUEST,
                       "--print-scheduler-config: say with --extender-url how the kube-scheduler "
                       "elsewhere reaches this process");
    bool remote = !ext_place_is_loopback(&ours);
    char url[EXT_PLACE_TEXT_MAX];
    ext_place_text(&ours, url);
    buf_add(out, STR("apiVersion: " API_VERSION "\nkind: " KIND "\n"));
    rc = print_election(c, remote, out, err);
    if (rc)
        return rc;
    buf_fmt(out, "percentageOfNodesToScore: %d\nprofiles:\n", ALL_NODES);
    print_key(out, "- schedulerName", c->scheduler_name ? c->scheduler_name : "default-scheduler");
    buf_add(out, STR("extenders:\n"));
    print_key(out, "- urlPrefix", url);
    buf_fmt(out,
            "  filterVerb: filter\n  prioritizeVerb: prioritize\n  bindVerb: bind\n"
            "  weight: 1\n  nodeCacheCapable: true\n  enableHTTPS: %s\n",
            ours.tls ? "true" : "false");
    if (ours.tls && remote)
        buf_add(out, STR("  tlsConfig: # files on kube-scheduler's side\n"
                         "    caFile: /etc/kubernetes/cardinal/ca.crt\n"
                         "    certFile: /etc/kubernetes/cardinal/tls.crt\n"
                         "    keyFile: /etc/kubernetes/cardinal/tls.key\n"));
    else if (ours.tls)
        buf_add(out, STR("  tlsConfig: {insecure: true} # it does not leave the host\n"));
    int64_t more = c->bind_timeout_ms / 2;
    print_ms(out, "  httpTimeout", c->bind_timeout_ms + (more < 1000 ? 1000 : more));
    buf_add(out, STR("  managedResources:\n"));
    struct names it = {.vendors = vendors};
    for (struct str name; next_name(&it, &name);) {
        buf_add(out, STR("  - {name: "));
        buf_json(out, name);
        buf_add(out, STR(", ignoredByScheduler: true}\n"));
    }
    return ERR_OK;
}
