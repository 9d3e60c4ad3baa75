/* The KubeSchedulerConfiguration beside us: what is printed for a set of flags passes with them,
 * and each change that makes it contradict them is refused, or warned of, by a text that names it.
 */
#include "extender/priv.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARGS_MAX = 24 };

static struct vendor_table *vendors;
static char arguments[4096]; /* the config borrows from it */

static void setup(void)
{
    struct err err;
    ck_assert_msg(vendor_table_builtin(&vendors, &err) == ERR_OK, "%s", err.text);
}

static void teardown(void) { vendor_table_free(vendors); }

static void flags(const char *line, struct ext_config *c)
{
    char *argv[ARGS_MAX] = {"cardinald"}, *save = NULL;
    int argc = 1;
    struct err err;
    (void)snprintf(arguments, sizeof(arguments), "%s", line);
    for (char *arg = strtok_r(arguments, " ", &save); arg; arg = strtok_r(NULL, " ", &save)) {
        ck_assert_int_lt(argc, ARGS_MAX);
        argv[argc++] = arg;
    }
    ck_assert_msg(ext_config_parse(argc, argv, c, &err) == ERR_OK, "%s: %s", line, err.text);
}

/* What is printed for the flags; the caller frees. */
static char *printed(const char *line)
{
    struct ext_config c;
    struct buf out;
    struct err err;
    size_t n;
    flags(line, &c);
    buf_init(&out, 1 << 20);
    ck_assert_msg(ext_kubesched_print(&c, vendors, &out, &err) == ERR_OK, "%s: %s", line, err.text);
    ext_config_done(&c);
    char *text = buf_take(&out, &n);
    ck_assert_ptr_nonnull(text);
    return text;
}

struct said {
    unsigned refused, warned;
    char text[8192];
};

static void say(void *ctx, bool refused, const char *text)
{
    struct said *s = ctx;
    *(refused ? &s->refused : &s->warned) += 1;
    (void)snprintf(s->text + strlen(s->text), sizeof(s->text) - strlen(s->text), "%s\n", text);
}

static enum err_code check_text(const char *line, const char *text, struct said *said,
                                struct err *err)
{
    struct ext_config c;
    *said = (struct said){0};
    const struct ext_kubesched_report report = {.say = say, .ctx = said};
    flags(line, &c);
    enum err_code rc = ext_kubesched_check(&c, vendors, str_z(text), "ks.yaml", &report, err);
    ext_config_done(&c);
    return rc;
}

#define NAMED  "--scheduler-name=hami-scheduler "
#define LEASE  "--leader-elect-resource-name=cards --leader-elect-resource-namespace=sys "
#define FOLLOW NAMED "--leader-elect " LEASE
#define MUTUAL                                                                                     \
    NAMED "--listen-extender=:8444 --extender-tls --cert_file=a --key_file=b --client-ca-file=c "
#define ELSEWHERE MUTUAL "--extender-url=https://cards.sys.svc:443 --print-scheduler-config "

static const char *const LINES[] = {
    "",
    NAMED,
    NAMED "--listen-extender=:9000 --bind-timeout=10s",
    NAMED "--listen-extender=[::1]:9000 --bind-timeout=300ms",
    NAMED "--listen-extender=localhost:9000",
    NAMED "--extender-url=http://localhost:8080/ --print-scheduler-config",
    FOLLOW,
    FOLLOW "--leader-elect-lease-duration=6s",
    FOLLOW "--http_bind=0.0.0.0:443 --cert_file=a --key_file=b", /* HAMi's */
    FOLLOW "--http_bind=127.0.0.1:443 --cert_file=a --key_file=b --client-ca-file=c",
    ELSEWHERE,
    ELSEWHERE "--leader-elect --leader-elect-mode=own " LEASE,
};

/* The same as JSON. */
static char *as_json(const char *yaml)
{
    json_t *docs = NULL;
    struct err err;
    ck_assert_int_eq(kube_yaml_parse(str_z(yaml), "ks.yaml", &docs, &err), ERR_OK);
    char *text = json_dumps(json_array_get(docs, 0), JSON_INDENT(2));
    ck_assert_ptr_nonnull(text);
    json_decref(docs);
    return text;
}

START_TEST(what_is_printed_passes)
{
    struct said said;
    struct err err = {0};
    char *text = printed(LINES[_i]);
    enum err_code rc = check_text(LINES[_i], text, &said, &err);
    ck_assert_msg(rc == ERR_OK, "%s: %s%s", LINES[_i], said.text, err.text);
    ck_assert_msg(said.warned == 0, "%s: %s", LINES[_i], said.text);
    char *json = as_json(text);
    rc = check_text(LINES[_i], json, &said, &err);
    ck_assert_msg(rc == ERR_OK && said.warned == 0, "%s, JSON: %s", LINES[_i], said.text);
    free(json);
    free(text);
}
END_TEST

static const struct {
    const char *name;
    const char *line;      /* flags; the file is what is printed for them */
    const char *old, *new; /* with this change; old NULL: new is the whole file */
    bool refused;
    const char *text;
} CHANGES[] = {
    /* what it is */
    {"another kind", NAMED, "kind: KubeScheduler", "kind: Kube", true,
     "KubeConfiguration, and not"},
    {"an old version", NAMED, "/v1\n", "/v1beta3\n", true, "v1beta3 KubeSchedulerConfiguration"},
    /* which extender */
    {"no extender", NAMED, "extenders:", "others:", true, "no extenders"},
    {"extenders of the wrong type", NAMED, NULL,
     "{apiVersion: kubescheduler.config.k8s.io/v1, kind: KubeSchedulerConfiguration, extenders: 3}",
     true, "extenders is not a list"},
    {"two, and none is ours", NAMED, "- urlPrefix: \"http://127.0.0.1:8080\"",
     "- urlPrefix: http://127.0.0.1:1\n- urlPrefix: http://127.0.0.1:2", true,
     "0 of 2 extenders have an urlPrefix that is this process, http://127.0.0.1:8080"},
    {"two, and both are ours", NAMED,
     "- urlPrefix:", "- urlPrefix: http://127.0.0.1:8080/\n- urlPrefix:", true, "2 of 2 extenders"},
    {"two, and one is ours", NAMED "--bind-timeout=9s",
     "- urlPrefix:", "- {urlPrefix: http://other:8080, httpTimeout: 1s}\n- urlPrefix:", false, ""},
    {"no URL", NAMED, "urlPrefix: \"http://", "urlPrefix: \"tcp://", true,
     "extenders[0].urlPrefix: tcp://127.0.0.1:8080 is no http"},
    {"another port", NAMED, ":8080", ":8081", true,
     "urlPrefix names 127.0.0.1:8081, and this process is called at http://127.0.0.1:8080"},
    {"another loopback address", NAMED, "127.0.0.1:", "127.0.0.2:", true, "names 127.0.0.2:8080"},
    {"not the URL that was said", ELSEWHERE, "cards.sys.svc", "cards.other.svc", true,
     "urlPrefix names cards.other.svc:443, and this process is called at "
     "https://cards.sys.svc:443"},
    {"a Service before a listener that others reach", MUTUAL "--print-scheduler-config", NULL,
     "FILE OF ELSEWHERE", false, ""},
    {"from elsewhere, and loopback alone is answered", NAMED, "127.0.0.1:8080", "10.0.0.7:8080",
     true, "urlPrefix is called from elsewhere"},
    {"https to a plain listener", NAMED, "\"http:", "\"https:", true,
     "urlPrefix is https, and the listener of the verbs is plain"},
    {"http to a TLS listener", ELSEWHERE, "\"https:", "\"http:", true,
     "urlPrefix is http, and the listener of the verbs speaks TLS"},
    {"enableHTTPS to a plain listener", NAMED, "enableHTTPS: false", "enableHTTPS: true", true,
     "enableHTTPS must be false"},
    {"no enableHTTPS to a TLS listener", ELSEWHERE, "enableHTTPS: true", "enableHTTPS: null", true,
     "enableHTTPS must be true"},
    {"no client certificate", ELSEWHERE, "certFile:", "certfile:", true,
     "tlsConfig has no client certificate"},
    {"no key of it", ELSEWHERE, "keyFile:", "keyfile:", true,
     "tlsConfig has no client certificate"},
    {"a client certificate as data", ELSEWHERE, "certFile:", "certData:", false, ""},
    {"no CA", ELSEWHERE, "caFile:", "cafile:", false, "tlsConfig has no CA, or is insecure"},
    {"insecure", ELSEWHERE, "caFile:", "insecure: true\n    caFile:", false, "or is insecure"},
    /* its verbs */
    {"no filter", NAMED, "filterVerb: filter", "filterVerb: ''", true, "filterVerb is not set"},
    {"no prioritize", NAMED, "prioritizeVerb: prioritize\n", "\n", true,
     "prioritizeVerb is not set"},
    {"no bind", NAMED, "bindVerb: bind\n", "\n", true, "bindVerb is not set"},
    {"another path", NAMED, "127.0.0.1:8080", "127.0.0.1:8080/scheduler", true,
     "urlPrefix and filterVerb make /scheduler/filter, which is not ours: it is /filter"},
    {"verbs exchanged", NAMED, "filterVerb: filter", "filterVerb: bind", true,
     "filterVerb make /bind"},
    {"preempt", NAMED, "  bindVerb", "  preemptVerb: preempt\n  bindVerb", true,
     "preemptVerb is set"},
    {"a verb that is no text", NAMED, "bindVerb: bind", "bindVerb: [bind]", true,
     "bindVerb is not a text"},
    {"ignorable", NAMED, "  weight", "  ignorable: true\n  weight", true, "ignorable is true"},
    {"not ignorable", NAMED, "  weight", "  ignorable: false\n  weight", false, ""},
    {"whole nodes", NAMED, "nodeCacheCapable: true", "nodeCacheCapable: false", false,
     "nodeCacheCapable is not true"},
    {"an unknown field", NAMED, "  weight", "  unheardOf: 3\n  weight", false, ""},
    /* time */
    {"a time that is too short", NAMED "--bind-timeout=8s", "httpTimeout: 12s", "httpTimeout: 8s",
     true, "httpTimeout is 8000 ms, and a bind may take 8000"},
    {"a time that is just long enough", NAMED "--bind-timeout=8s", "httpTimeout: 12s",
     "httpTimeout: 8001ms", false, ""},
    {"no time", NAMED "--bind-timeout=5s", "httpTimeout: 7500ms", "", true,
     "httpTimeout is 5000 ms (not set)"},
    {"no time is needed", NAMED, "httpTimeout: 6s", "", false, ""},
    {"a time of 0 is none", NAMED "--bind-timeout=5s", "httpTimeout: 7500ms", "httpTimeout: 0s",
     true, "httpTimeout is 5000 ms"},
    {"a time without unit", NAMED, "httpTimeout: 6s", "httpTimeout: 6", true,
     "httpTimeout is not a text"},
    {"no time at all", NAMED, "httpTimeout: 6s", "httpTimeout: soon", true, "soon is no duration"},
    /* names */
    {"a resource is missing", NAMED, "\"nvidia.com/gpumem\"", "nvidia.com/memory", true,
     "managedResources lacks 1 resources that are served (nvidia.com/gpumem)"},
    {"a resource that is not served", NAMED, "  managedResources:\n",
     "  managedResources:\n  - {name: example.com/fpga, ignoredByScheduler: true}\n", false,
     "managedResources has 1 resources that are not served (example.com/fpga)"},
    {"a resource that counts for kube-scheduler", NAMED,
     "{name: \"nvidia.com/gpu\", ignoredByScheduler: true}", "{name: nvidia.com/gpu}", false,
     "managedResources without ignoredByScheduler: true (nvidia.com/gpu)"},
    {"a resource without a name", NAMED, "{name: \"nvidia.com/gpu\",", "{", true,
     "managedResources[0] has no name"},
    {"a resource that is no map", NAMED, "  managedResources:\n", "  managedResources:\n  - 3\n",
     true, "managedResources[0] has no name"},
    {"no resources: every pod", NAMED, "  managedResources:\n", "  others:\n", false,
     "managedResources is empty: every pod"},
    /* who leads */
    {"election there alone", NAMED, "leaderElect: false", "leaderElect: true", true,
     "leaderElection.leaderElect is true, and --leader-elect is false"},
    {"election there alone, unsaid", NAMED, "  leaderElect: false", "  leaseDuration: 15s", true,
     "leaderElection.leaderElect is true (not set)"},
    {"election here alone", FOLLOW, "leaderElect: true", "leaderElect: false", true,
     "leaderElection.leaderElect is false, and --leader-elect is true"},
    {"another Lease", FOLLOW, "resourceName: \"cards\"", "resourceName: others", true,
     "leaderElection is about the Lease sys/others"},
    {"a Lease elsewhere", FOLLOW, "resourceNamespace: \"sys\"", "resourceNamespace: other", true,
     "leaderElection is about the Lease other/cards"},
    {"no Lease named", FOLLOW, "  resourceName: \"cards\"\n", "", true,
     "leaderElection is about the Lease sys/kube-scheduler"},
    {"another duration", FOLLOW, "leaseDuration: 15s", "leaseDuration: 30s", true,
     "leaderElection.leaseDuration is 30000 ms, and --leader-elect-lease-duration 15000"},
    {"no duration is the usual one", FOLLOW, "  leaseDuration: 15s\n", "", false, ""},
    {"own election beside a sidecar", NAMED "--leader-elect --leader-elect-mode=own " LEASE, NULL,
     "FILE OF NAMED", true, "--leader-elect-mode=own beside a kube-scheduler that calls over"},
    {"one Lease for both", ELSEWHERE "--leader-elect --leader-elect-mode=own " LEASE,
     "profiles:", "leaderElection: {resourceName: cards, resourceNamespace: sys}\nprofiles:", true,
     "on which this process stands for election itself"},
    {"a Lease each", ELSEWHERE "--leader-elect --leader-elect-mode=own " LEASE, "profiles:",
     "leaderElection: {resourceName: others, resourceNamespace: sys}\nprofiles:", false, ""},
    {"following from elsewhere", FOLLOW, "127.0.0.1:8080", "10.0.0.7:8080", true,
     "--leader-elect-mode=follow leads with the kube-scheduler of its own host"},
    /* profiles */
    {"no profile of ours", NAMED, "\"hami-scheduler\"", "other", true,
     "no profile has schedulerName hami-scheduler"},
    {"no profiles", NAMED, "profiles:\n- schedulerName: \"hami-scheduler\"\n", "", true,
     "no profile has schedulerName hami-scheduler"},
    {"no profiles, and the default one is wanted", "--scheduler-name=default-scheduler",
     "profiles:\n- schedulerName: \"default-scheduler\"\n", "", false, ""},
    {"a sample of nodes", NAMED, "percentageOfNodesToScore: 100\n", "", false,
     "percentageOfNodesToScore is not 100"},
    {"a sample of nodes, of the profile", NAMED,
     "- schedulerName:", "- percentageOfNodesToScore: 50\n  schedulerName:", false,
     "percentageOfNodesToScore is not 100"},
    {"all nodes, of the profile", NAMED, "percentageOfNodesToScore: 100\nprofiles:\n- ",
     "profiles:\n- percentageOfNodesToScore: 100\n  ", false, ""},
    {"a sample of nodes, of another profile", NAMED, "profiles:\n",
     "profiles:\n- {schedulerName: other, percentageOfNodesToScore: 5}\n", false, ""},
};

static char *changed(int i)
{
    if (!CHANGES[i].old && strcmp(CHANGES[i].new, "FILE OF ELSEWHERE") == 0)
        return printed(ELSEWHERE);
    if (!CHANGES[i].old && strcmp(CHANGES[i].new, "FILE OF NAMED") == 0)
        return printed(NAMED);
    if (!CHANGES[i].old)
        return strdup(CHANGES[i].new);
    char *text = printed(CHANGES[i].line), *at = strstr(text, CHANGES[i].old), *out;
    ck_assert_msg(at != NULL, "%s: nothing to change in\n%s", CHANGES[i].name, text);
    *at = '\0';
    ck_assert_int_gt(asprintf(&out, "%s%s%s", text, CHANGES[i].new, at + strlen(CHANGES[i].old)),
                     0);
    free(text);
    return out;
}

START_TEST(what_contradicts_is_said)
{
    struct said said;
    struct err err = {0};
    const char *name = CHANGES[_i].name;
    char *text = changed(_i);
    enum err_code rc = check_text(CHANGES[_i].line, text, &said, &err);
    ck_assert_msg((rc == ERR_BAD_REQUEST) == CHANGES[_i].refused, "%s: %s%s", name, said.text,
                  err.text);
    ck_assert_msg((said.refused > 0) == CHANGES[_i].refused, "%s: %s", name, said.text);
    ck_assert_msg(strstr(said.text, CHANGES[_i].text), "%s: %s", name, said.text);
    /* nothing else is found wrong, and what is fine is not spoken of */
    if (!CHANGES[_i].refused)
        ck_assert_msg(said.warned == (*CHANGES[_i].text != '\0'), "%s: %s", name, said.text);
    if (CHANGES[_i].refused)
        ck_assert_msg(strstr(err.text, "ks.yaml: contradicts"), "%s: %s", name, err.text);
    free(text);
}
END_TEST

START_TEST(every_point_is_said)
{
    struct said said;
    struct err err = {0};
    char *text = printed(FOLLOW), *end;
    end = strstr(text, "  managedResources:");
    ck_assert_ptr_nonnull(end);
    *end = '\0';
    char *file;
    ck_assert_int_gt(asprintf(&file,
                              "%s  ignorable: true\n  preemptVerb: x\n"
                              "  managedResources: [{name: nvidia.com/gpu}]\n",
                              text),
                     0);
    ck_assert_int_eq(check_text(FOLLOW "--bind-timeout=9s", file, &said, &err), ERR_BAD_REQUEST);
    ck_assert_msg(said.refused == 4, "%s", said.text);
    ck_assert_ptr_nonnull(strstr(said.text, ", …)"));
    ck_assert_ptr_nonnull(strstr(err.text, "4 points"));
    free(file);
    free(text);
}
END_TEST

static const struct {
    const char *name, *text;
} BROKEN[] = {
    {"nothing", ""},
    {"a list", "[]"},
    {"two documents", "{}\n---\n{}\n"},
    {"no YAML", "a: [b"},
    {"a text", "hello"},
    {"no kind", "{}"},
    {"types all wrong",
     "{apiVersion: kubescheduler.config.k8s.io/v1, kind: KubeSchedulerConfiguration,"
     " leaderElection: [], profiles: {a: b}, percentageOfNodesToScore: all, extenders:"
     " [{urlPrefix: 'http://127.0.0.1:8080', tlsConfig: 1, weight: x, httpTimeout: {},"
     " managedResources: {}, enableHTTPS: 1, ignorable: x, nodeCacheCapable: []}]}"},
    {"extenders of nothing", "{\"apiVersion\": \"kubescheduler.config.k8s.io/v1\", \"kind\":"
                             " \"KubeSchedulerConfiguration\", \"extenders\": [null]}"},
    {"JSON", "{\"apiVersion\": \"v1\", \"kind\": \"Policy\", \"extenders\": []}"},
};

START_TEST(broken_files_are_refused)
{
    struct said said;
    struct err err = {0};
    ck_assert_msg(check_text(NAMED, BROKEN[_i].text, &said, &err) == ERR_BAD_REQUEST, "%s",
                  BROKEN[_i].name);
    ck_assert_msg(strstr(err.text, "ks.yaml"), "%s: %s", BROKEN[_i].name, err.text);
}
END_TEST

static const struct {
    const char *line, *text;
} UNPRINTABLE[] = {
    {"--listen-extender=127.0.0.1:0", "an address with a port"},
    {"--listen-extender=", "no listener for the verbs"},
    {"--leader-elect", "which Lease?"},
    {"--leader-elect --leader-elect-mode=own " LEASE, "beside a kube-scheduler that calls over"},
    {MUTUAL, "say with --extender-url how"},
};

START_TEST(what_can_not_be_printed)
{
    struct ext_config c;
    struct buf out;
    struct err err = {0};
    flags(UNPRINTABLE[_i].line, &c);
    buf_init(&out, 1 << 20);
    ck_assert_msg(ext_kubesched_print(&c, vendors, &out, &err) == ERR_BAD_REQUEST, "%s",
                  UNPRINTABLE[_i].line);
    ck_assert_msg(strstr(err.text, UNPRINTABLE[_i].text), "%s: %s", UNPRINTABLE[_i].line, err.text);
    buf_done(&out);
    ext_config_done(&c);
}
END_TEST

/* The list is the vendors', whatever they are: a renamed resource is in it. */
START_TEST(names_follow_the_vendors)
{
    static const char CONFIG[] = "nvidia:\n  resourceCountName: example.com/card\n"
                                 "  resourceMemoryName: example.com/cardmem\n";
    struct err err = {0};
    struct said said;
    char *before = printed(NAMED);
    vendor_table_free(vendors);
    ck_assert_msg(vendor_table_parse(str_z(CONFIG), "d.yaml", &(struct vendor_load_handler){0},
                                     &vendors, &err) == ERR_OK,
                  "%s", err.text);
    char *after = printed(NAMED);
    ck_assert_ptr_nonnull(strstr(after, "\"example.com/card\""));
    ck_assert_ptr_null(strstr(after, "nvidia.com/gpu"));
    ck_assert_ptr_null(strstr(after, "huawei.com"));
    ck_assert_int_eq(check_text(NAMED, before, &said, &err), ERR_BAD_REQUEST);
    ck_assert_msg(strstr(said.text, "lacks 2 resources that are served (example.com/card, "
                                    "example.com/cardmem)"),
                  "%s", said.text);
    ck_assert_ptr_nonnull(strstr(said.text, "that are not served (nvidia.com/gpu, "));
    free(before);
    free(after);
}
END_TEST

static const struct {
    const char *url;
    const char *want; /* NULL: none */
} URLS[] = {
    {"http://h", "http://h:80"},
    {"https://h/", "https://h:443"},
    {"https://h:8443/a/b//", "https://h:8443/a/b"},
    {"http://[::1]:80", "http://[::1]:80"},
    {"http://[fe80::1%25eth0]/", "http://[fe80::1%25eth0]:80"},
    {"", NULL},
    {"h:80", NULL},
    {"ftp://h", NULL},
    {"http://", NULL},
    {"http:///a", NULL},
    {"http://h:", NULL},
    {"http://h:0", NULL},
    {"http://h:65536", NULL},
    {"http://h:x", NULL},
    {"http://user@h", NULL},
    {"http://h/?a", NULL},
    {"http://h/#a", NULL},
    {"http://a b", NULL},
};

START_TEST(urls)
{
    struct ext_place p;
    char text[EXT_PLACE_TEXT_MAX], longest[600];
    bool ok = ext_place_of_url(URLS[_i].url, &p);
    ck_assert_msg(ok == (URLS[_i].want != NULL), "%s", URLS[_i].url);
    if (ok) {
        ext_place_text(&p, text);
        ck_assert_str_eq(text, URLS[_i].want);
    }
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    memcpy(longest, "http://", 7);
    ck_assert(!ext_place_of_url(longest, &p)); /* a host that is too long */
    memcpy(longest, "http://h/", 9);
    ck_assert(!ext_place_of_url(longest, &p)); /* a path that is */
}
END_TEST

static const struct {
    const char *called, *listens;
    bool want;
} REACHES[] = {
    {"http://127.0.0.1:80", "127.0.0.1:80", true},  {"http://127.0.0.1:80", "127.0.0.1:81", false},
    {"http://127.0.0.1:80", "127.0.0.2:80", false}, {"http://127.0.0.2:80", ":80", true},
    {"http://[::1]:80", "0.0.0.0:80", true},        {"http://[::1]:80", "[::]:80", true},
    {"http://[::1]:80", "127.0.0.1:80", false},     {"http://localhost:80", "127.0.0.1:80", true},
    {"http://localhost:80", "[::1]:80", true},      {"http://127.0.0.1:80", "LOCALHOST:80", true},
    {"http://10.0.0.1:80", "10.0.0.1:80", true},    {"http://10.0.0.1:80", "10.0.0.2:80", false},
    {"http://10.0.0.1:80", ":80", false},           {"http://Node:80", "node:80", true},
};

START_TEST(who_reaches_whom)
{
    struct ext_place called, listens;
    ck_assert(ext_place_of_url(REACHES[_i].called, &called));
    ck_assert(ext_place_of_listener(REACHES[_i].listens, false, &listens));
    ck_assert_msg(ext_place_reaches(&called, &listens) == REACHES[_i].want, "%s %s",
                  REACHES[_i].called, REACHES[_i].listens);
}
END_TEST

#define ROWS(table) ((int)(sizeof(table) / sizeof((table)[0])))

int main(void)
{
    Suite *s = suite_create("kube-scheduler's configuration");
    TCase *tc = tcase_create("kubesched");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, what_is_printed_passes, 0, ROWS(LINES));
    tcase_add_loop_test(tc, what_contradicts_is_said, 0, ROWS(CHANGES));
    tcase_add_test(tc, every_point_is_said);
    tcase_add_loop_test(tc, broken_files_are_refused, 0, ROWS(BROKEN));
    tcase_add_loop_test(tc, what_can_not_be_printed, 0, ROWS(UNPRINTABLE));
    tcase_add_test(tc, names_follow_the_vendors);
    tcase_add_loop_test(tc, urls, 0, ROWS(URLS));
    tcase_add_loop_test(tc, who_reaches_whom, 0, ROWS(REACHES));
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
