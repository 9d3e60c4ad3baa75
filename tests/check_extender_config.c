/* The table of flags: every spelling, every bound, what does not go together; and that the man page
 * and docs/operations/flags.md say what the table says. */
#include "extender/priv.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARGS_MAX = 16 };

/* Arguments in one text, one blank between them. */
static enum err_code parse(const char *line, struct ext_config *c, struct err *err)
{
    static char text[4096]; /* the config borrows from it */
    char *argv[ARGS_MAX] = {"cardinald"};
    int argc = 1;
    (void)snprintf(text, sizeof(text), "%s", line);
    char *save = NULL;
    for (char *arg = strtok_r(text, " ", &save); arg; arg = strtok_r(NULL, " ", &save)) {
        ck_assert_int_lt(argc, ARGS_MAX);
        argv[argc++] = strcmp(arg, "''") == 0 ? "" : arg;
    }
    *err = (struct err){0};
    return ext_config_parse(argc, argv, c, err);
}

START_TEST(defaults)
{
    struct ext_config c;
    struct err err;
    ck_assert_int_eq(parse("", &c, &err), ERR_OK);
    ck_assert_str_eq(c.listen_extender, "127.0.0.1:8080");
    ck_assert_str_eq(c.listen_metrics, ":9395");
    ck_assert_ptr_null(c.listen_webhook);
    ck_assert_ptr_null(c.http_bind);
    ck_assert_ptr_null(c.scheduler_name);
    ck_assert_str_eq(c.node_policy, "binpack");
    ck_assert_str_eq(c.card_policy, "spread");
    ck_assert(c.force_overwrite_default_scheduler);
    ck_assert_int_eq(c.shortlist, 16);
    ck_assert_int_eq(c.score_max, 10);
    ck_assert_int_eq(c.bind_timeout_ms, 4000);
    ck_assert_int_eq(c.lock_expire_ms, 300000);
    ck_assert_uint_eq(c.body_max, 8u << 20);
    ck_assert_uint_eq(c.webhook_body_max, 8u << 20);
    ck_assert_int_ge(c.idle_timeout_s, 180);
    ck_assert_int_eq(c.workers_max, 16);
    ck_assert_int_eq(c.verbosity, 0);
    ck_assert_uint_eq(c.cluster.n, 0);
    ck_assert_str_eq(ext_config_ignored(&c), "");
    ext_config_done(&c);
}
END_TEST

/* A value that each type takes, and is not the default. */
static const char *sample(const struct ext_flag_view *f, const char **ret_bad)
{
    static const struct {
        const char *name, *value, *bad;
    } OWN[] = {
        {"idle-timeout", "300s", "179s"},
        {"bodies-max", "1Gi", "x"},
        {"request-memory-max", "128Mi", "x"},
        {"node-lock-timeout", "10m", "5"},
        {"server-threads", "3", "9"},
        {"v", "7", "11"},
        {"shortlist", "5", "-1"},
        {"score-max", "100", "0"},
        {"bind-timeout", "9s", "100ms"},
        {"leader-elect-mode", "own", "mine"},
        {"leader-elect-lease-duration", "30s", "15"},
        {"leader-elect-renew-deadline", "9s", "10ms"},
        {"leader-elect-retry-period", "1s", "x"},
        {"listen-webhook", "", NULL},
        {"cert_file", "", NULL},
        {"key_file", "", NULL},
        {"client-ca-file", "", NULL},
        {"extender-url", "", NULL},
        {"probe", "http://h:1/p", "tcp://h"},
        {"probe-ca-file", "", NULL},
    };
    for (size_t i = 0; i < sizeof(OWN) / sizeof(OWN[0]); i++) {
        if (strcmp(f->name, OWN[i].name) == 0) {
            *ret_bad = OWN[i].bad;
            return OWN[i].value;
        }
    }
    *ret_bad = NULL;
    if (strcmp(f->type, "bool") == 0) {
        *ret_bad = "maybe";
        return "true";
    }
    if (strcmp(f->type, "int") == 0) {
        *ret_bad = "12x";
        return "12";
    }
    if (strcmp(f->type, "bytes") == 0) {
        *ret_bad = "8MB";
        return "4Mi";
    }
    if (strcmp(f->type, "duration") == 0) {
        *ret_bad = "15";
        return "30s";
    }
    return "some-text:1";
}

static struct ext_flag_view flag_at(int i)
{
    struct ext_flag_view f = {0};
    ck_assert(ext_config_flag((size_t)i, &f));
    return f;
}

static size_t flags_n(void)
{
    struct ext_flag_view f;
    size_t n = 0;
    while (ext_config_flag(n, &f))
        n++;
    return n;
}

static void expect_ok(const char *flag, bool ignored, const char *name)
{
    struct ext_config c;
    struct err err;
    char line[512]; /* with what it does not go without */
    bool tls = strcmp(name, "extender-tls") == 0;
    (void)snprintf(line, sizeof(line), "%s%s",
                   tls ? "--listen-webhook=:1 --cert_file=a --key_file=b " : "", flag);
    if (tls && !strstr(flag, "=F"))
        (void)strcat(line, " --client-ca-file=c");
    ck_assert_msg(parse(line, &c, &err) == ERR_OK, "%s: %s", line, err.text);
    if (ignored)
        ck_assert_msg(strcmp(ext_config_ignored(&c), name) == 0, "%s: ignored is %s", line,
                      ext_config_ignored(&c));
    else
        ck_assert_msg(*ext_config_ignored(&c) == '\0', "%s: ignored is %s", line,
                      ext_config_ignored(&c));
    ext_config_done(&c);
}

START_TEST(every_flag_in_every_spelling)
{
    struct ext_flag_view f = flag_at(_i);
    const char *bad, *value = sample(&f, &bad);
    bool is_bool = strcmp(f.type, "bool") == 0;
    char line[256];
    (void)snprintf(line, sizeof(line), "--%s=%s", f.name, value);
    expect_ok(line, f.ignored, f.name);
    (void)snprintf(line, sizeof(line), "-%s=%s", f.name, value);
    expect_ok(line, f.ignored, f.name);
    if (is_bool)
        (void)snprintf(line, sizeof(line), "--%s", f.name);
    else
        (void)snprintf(line, sizeof(line), "--%s %s", f.name, *value ? value : "''");
    expect_ok(line, f.ignored, f.name);
    if (is_bool) {
        (void)snprintf(line, sizeof(line), "--%s=F", f.name);
        expect_ok(line, f.ignored, f.name);
    }
    if (f.ignored) { /* named once */
        (void)snprintf(line, sizeof(line), "--%s=%s --%s=%s", f.name, value, f.name, value);
        expect_ok(line, true, f.name);
    }
    struct ext_config c;
    struct err err;
    if (bad) {
        (void)snprintf(line, sizeof(line), "--%s=%s", f.name, bad);
        ck_assert_msg(parse(line, &c, &err) == ERR_BAD_REQUEST, "%s", line);
        ck_assert_msg(strstr(err.text, f.name) && strstr(err.text, bad), "%s: %s", line, err.text);
    }
    if (!is_bool) {
        (void)snprintf(line, sizeof(line), "--%s", f.name);
        ck_assert_msg(parse(line, &c, &err) == ERR_BAD_REQUEST, "%s", line);
        ck_assert_ptr_nonnull(strstr(err.text, "no value"));
    }
}
END_TEST

START_TEST(verbosity_in_every_spelling)
{
    static const char *const LINES[] = {"-v=4", "--v=4", "-v 4", "--v 4", "-v4"};
    struct ext_config c;
    struct err err;
    ck_assert_msg(parse(LINES[_i], &c, &err) == ERR_OK, "%s: %s", LINES[_i], err.text);
    ck_assert_msg(c.verbosity == 4, "%s: %d", LINES[_i], c.verbosity);
    ext_config_done(&c);
}
END_TEST

/* What the chart of HAMi starts its scheduler with (contract/chart.md 2), and what users add. */
START_TEST(the_chart)
{
    struct ext_config c;
    struct err err;
    ck_assert_int_eq(parse("--http_bind=0.0.0.0:443 --cert_file=/tls/tls.crt "
                           "--key_file=/tls/tls.key --scheduler-name=s "
                           "--metrics-bind-address=:9395 --node-scheduler-policy=binpack "
                           "--gpu-scheduler-policy=spread "
                           "--force-overwrite-default-scheduler=true --device-config-file=/d.yaml "
                           "--leader-elect=true "
                           "--leader-elect-resource-name=n --leader-elect-resource-namespace=ns "
                           "--enable-ascend=true",
                           &c, &err),
                     ERR_OK);
    ck_assert_str_eq(c.http_bind, "0.0.0.0:443");
    ck_assert_ptr_null(c.listen_extender);
    ck_assert_str_eq(ext_config_ignored(&c), "");
    ck_assert(c.sections[0] && c.sections[1]);
    ck_assert(c.leader_elect && !c.leader_own);
    ck_assert_str_eq(c.leader_name, "n");
    ck_assert_str_eq(c.leader_namespace, "ns");
    ext_config_done(&c);
}
END_TEST

START_TEST(values_arrive)
{
    struct ext_config c;
    struct err err;
    ck_assert_int_eq(
        parse("--cluster=a.yaml --cluster b.json --metrics-bind-address= --body-max=64Ki "
              "--bind-timeout=1.5s "
              "--idle-timeout=5m --node-lock-timeout=1h --score-max=100 --legacy-metrics "
              "--force-overwrite-default-scheduler=0 --listen-extender=[::1]:0",
              &c, &err),
        ERR_OK);
    ck_assert_uint_eq(c.cluster.n, 2);
    ck_assert_str_eq(c.cluster.path[0], "a.yaml");
    ck_assert_str_eq(c.cluster.path[1], "b.json");
    ck_assert_ptr_null(c.listen_metrics);
    ck_assert_uint_eq(c.body_max, 65536);
    ck_assert_int_eq(c.bind_timeout_ms, 1500);
    ck_assert_int_eq(c.idle_timeout_s, 300);
    ck_assert_int_eq(c.lock_expire_ms, 3600000);
    ck_assert_int_eq(c.score_max, 100);
    ck_assert(c.legacy_metrics);
    ck_assert(!c.force_overwrite_default_scheduler);
    ck_assert_str_eq(c.listen_extender, "[::1]:0");
    ext_config_done(&c);
}
END_TEST

#define REMOTE                                                                                     \
    "--listen-extender=:8444 --extender-tls --cert_file=a --key_file=b --client-ca-file=c"

/* Flags that go together, however odd they look (docs/operations/flags.md, "What goes together").
 */
static const char *const ACCEPTED[] = {
    "--listen-extender=0.0.0.0:8080", /* plain: probes answer all, verbs loopback */
    "--leader-elect --listen-extender=0.0.0.0:8080",
    "--leader-elect --http_bind=0.0.0.0:443 --cert_file=a --key_file=b",
    "--leader-elect --http_bind=127.0.0.1:443 --cert_file=a --key_file=b --client-ca-file=c",
    "--leader-elect --leader-elect-mode=own --http_bind=:443 --cert_file=a --key_file=b",
    "--leader-elect --leader-elect-mode=own",
    "--leader-elect --leader-elect-mode=own " REMOTE,
    "--leader-elect --extender-tls --cert_file=a --key_file=b --client-ca-file=c",
    REMOTE,
    REMOTE " --listen-webhook=:1",
};

START_TEST(accepted)
{
    struct ext_config c;
    struct err err;
    ck_assert_msg(parse(ACCEPTED[_i], &c, &err) == ERR_OK, "%s: %s", ACCEPTED[_i], err.text);
    ext_config_done(&c);
}
END_TEST

static const struct {
    const char *line, *text;
} REFUSED[] = {
    {"--shortlst=3", "did you mean --shortlist?"},
    {"--schedular-name=x", "did you mean --scheduler-name?"},
    {"--http-bind=:80", "did you mean --http_bind?"},
    {"--cert-file=x", "did you mean --cert_file?"},
    {"--clusters=x", "did you mean --cluster?"},
    {"--listen=:80", "unknown flag --listen:"},
    {"--"
     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
     "a",
     "did you mean"},
    {"--", "unknown flag --:"},
    {"--=x", "unknown flag --:"},
    {"stray", "argument stray: flags only"},
    {"--debug true", "argument true: flags only"},
    {"--cluster=", "no file given"},
    {"--cluster=a --kubeconfig=b", "--cluster and --kubeconfig"},
    {"--cluster=a --kube-context=b", "--cluster and --kube-context"},
    {"--cert_file=a", "--cert_file without --key_file"},
    {"--key_file=a", "--key_file without --cert_file"},
    {"--client-ca-file=a", "--client-ca-file without"},
    {"--client-ca-file=a --cert_file=b --key_file=c --listen-webhook=:1",
     "--client-ca-file without --extender-tls"},
    {"--http_bind=:80 --client-ca-file=a", "--client-ca-file without --extender-tls"},
    {"--cert_file=a --key_file=b", "no listener would use it"},
    {"--extender-tls", "--extender-tls without --cert_file and --key_file"},
    {"--extender-tls --cert_file=a --key_file=b", "--extender-tls without --client-ca-file"},
    {"--extender-tls --listen-extender=", "--extender-tls without --listen-extender"},
    {"--extender-tls --http_bind=:1", "--extender-tls and --http_bind"},
    {"--probe=", "--probe: no url given"},
    {"--probe=http://h --probe=h", "--probe=h: no http or https URL"},
    {"--probe-ca-file=a", "--probe-ca-file without --probe"},
    {"--extender-url=tcp://h --print-scheduler-config", "no http or https URL"},
    {"--extender-url=http://h", "--extender-url without --scheduler-config-file"},
    {"--leader-elect " REMOTE, "--client-ca-file and --leader-elect-mode=follow"},
    {"--leader-elect --http_bind=0.0.0.0:443 --cert_file=a --key_file=b --client-ca-file=c",
     "--client-ca-file and --leader-elect-mode=follow"},
    {"--listen-webhook=:443", "--listen-webhook without --cert_file"},
    {"--http_bind=:443 --cert_file=a --key_file=b --listen-webhook=:1",
     "--listen-webhook and --http_bind"},
    {"--http_bind=:443 --listen-extender=:80", "--listen-extender and --http_bind"},
    {"--listen-extender= --metrics-bind-address=", "no listener is left"},
    {"--shortlist=-1", "not between 0 and 100000"},
    {"--shortlist=99999999999999999999", "not a number"},
    {"--score-max=0", "not between 1 and"},
    {"--bind-timeout=199ms", "not between 200 and 600000 ms"},
    {"--bind-timeout=4", "not a duration"},
    {"--bind-timeout=1h", "not between 200 and 600000 ms"},
    {"--bind-timeout=1.0000001s", "whole milliseconds"},
    {"--idle-timeout=179s", "not between 180 and 86400 s"},
    {"--idle-timeout=180.5s", "whole seconds"},
    {"--body-max=99999999999Gi", "not a number of bytes"},
    {"--body-max=1", "not between 1024 and"},
    {"--bodies-max=1Mi", "--bodies-max is less than one body"},
    {"--request-memory-max=2Mi", "--request-memory-max is less than --body-max"},
    {"--legacy-metrics=yes", "not true or false"},
    {"--debug=yes", "not true or false"},
};

/* HAMi overwrites what the environment says by the default of a flag that nobody gave. */
START_TEST(core_defect_c22_the_lock_timeout_of_the_environment_counts)
{
    static const struct {
        const char *env, *line;
        int64_t want_ms; /* 0: refused, naming the variable */
    } ROWS[] = {
        {NULL, "", 300000},
        {"", "", 300000},
        {"7m", "", 420000},
        {"90s", "--node-lock-timeout=6m", 360000},
        {"90s", "--node-lock-timeout=5m", 300000}, /* the default, but given */
        {"soon", "", 0},
        {"1ms", "", 0},
    };
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(ROWS[0]); i++) {
        struct ext_config c;
        struct err err;
        if (ROWS[i].env)
            setenv("HAMI_NODELOCK_EXPIRE", ROWS[i].env, 1); // NOLINT(concurrency-mt-unsafe)
        enum err_code rc = parse(ROWS[i].line, &c, &err);
        unsetenv("HAMI_NODELOCK_EXPIRE"); // NOLINT(concurrency-mt-unsafe): one thread
        if (!ROWS[i].want_ms) {
            ck_assert_int_eq(rc, ERR_BAD_REQUEST);
            ck_assert_msg(strstr(err.text, "HAMI_NODELOCK_EXPIRE") != NULL, "%s", err.text);
            continue;
        }
        ck_assert_msg(rc == ERR_OK, "%zu: %s", i, err.text);
        ck_assert_msg(c.lock_expire_ms == ROWS[i].want_ms, "%zu: %lld ms", i,
                      (long long)c.lock_expire_ms);
        ext_config_done(&c);
    }
}
END_TEST

START_TEST(refused)
{
    struct ext_config c;
    struct err err;
    ck_assert_msg(parse(REFUSED[_i].line, &c, &err) == ERR_BAD_REQUEST, "%s", REFUSED[_i].line);
    ck_assert_msg(strstr(err.text, REFUSED[_i].text), "%s: want %s, got %s", REFUSED[_i].line,
                  REFUSED[_i].text, err.text);
}
END_TEST

START_TEST(help_and_version_need_nothing_else)
{
    struct ext_config c;
    struct err err;
    ck_assert_int_eq(parse("--help --cert_file=a", &c, &err), ERR_OK);
    ck_assert(c.help);
    ext_config_done(&c);
    ck_assert_int_eq(parse("-h", &c, &err), ERR_OK);
    ck_assert(c.help);
    ext_config_done(&c);
    ck_assert_int_eq(parse("version", &c, &err), ERR_OK);
    ck_assert(c.version);
    ext_config_done(&c);
}
END_TEST

/* ---- documents ---- */
static char *read_doc(const char *name)
{
    char path[1024];
    (void)snprintf(path, sizeof(path), "%s/../docs/%s", TEST_DATA, name);
    FILE *f = fopen(path, "re");
    ck_assert_msg(f != NULL, "%s is there", path);
    char *text = calloc(1, 1 << 18);
    ck_assert_uint_lt(fread(text, 1, (1 << 18) - 1, f), (1 << 18) - 1);
    (void)fclose(f);
    return text;
}

START_TEST(help_says_what_the_table_says)
{
    struct ext_flag_view f = flag_at(_i);
    struct buf help;
    buf_init(&help, 1 << 18);
    ext_config_help(&help);
    buf_char(&help, '\0');
    char want[512];
    (void)snprintf(want, sizeof(want), f.ignored ? " --%s" : "  --%s", f.name);
    ck_assert_msg(strstr(help.p, want), "--help has --%s", f.name);
    ck_assert(f.ignored || strstr(help.p, f.help));
    (void)snprintf(want, sizeof(want), "%s (default %s; %s)", f.help, f.value, f.bounds);
    ck_assert_msg(!*f.bounds || strstr(help.p, want), "--help lacks: %s", want);
    buf_done(&help);
}
END_TEST

/* A row of the table in flags.md: | `--name` | type | bounds | `default` | help | */
START_TEST(flags_md_says_what_the_table_says)
{
    struct ext_flag_view f = flag_at(_i);
    char *doc = read_doc("operations/flags.md"), want[1024];
    const char *space = *f.bounds ? " " : "";
    if (f.ignored)
        (void)snprintf(want, sizeof(want), "`--%s`", f.name);
    else if (*f.value)
        (void)snprintf(want, sizeof(want), "| `--%s` | %s |%s%s | `%s` | %s |", f.name, f.type,
                       space, f.bounds, f.value, f.help);
    else
        (void)snprintf(want, sizeof(want), "| `--%s` | %s |%s%s | | %s |", f.name, f.type, space,
                       f.bounds, f.help);
    ck_assert_msg(strstr(doc, want), "flags.md lacks: %s", want);
    free(doc);
}
END_TEST

/* .TP / .BR or .B \-\-name=TYPE, the help, the default, the bounds */
START_TEST(man_page_says_what_the_table_says)
{
    struct ext_flag_view f = flag_at(_i);
    char *doc = read_doc("man/cardinald.8"), name[128], want[1024];
    size_t n = 0;
    for (const char *p = f.name; *p; p++) {
        if (*p == '-')
            name[n++] = '\\';
        name[n++] = *p;
    }
    name[n] = '\0';
    bool is_bool = strcmp(f.type, "bool") == 0;
    if (f.ignored)
        (void)snprintf(want, sizeof(want), "\\-\\-%s", name);
    else if (is_bool)
        (void)snprintf(want, sizeof(want), "\n.B \\-\\-%s\n", name);
    else
        (void)snprintf(want, sizeof(want), "\n.BI \\-\\-%s= %s\n", name, f.type);
    char *at = strstr(doc, want);
    ck_assert_msg(at != NULL, "cardinald.8 lacks: %s", want);
    if (!f.ignored && *f.value && strcmp(f.value, "false") != 0) {
        char *end = strstr(at + 1, "\n.TP");
        ck_assert_ptr_nonnull(end);
        *end = '\0';
        (void)snprintf(want, sizeof(want), "Default: %s.", f.value);
        ck_assert_msg(strstr(at, want), "cardinald.8, %s lacks: %s", f.name, want);
        (void)snprintf(want, sizeof(want), "Bounds: %s.", f.bounds);
        ck_assert_msg(!*f.bounds || strstr(at, want), "cardinald.8, %s lacks: %s", f.name, want);
    }
    free(doc);
}
END_TEST

/* And no document knows a flag that there is not. */
START_TEST(documents_know_no_other_flag)
{
    static const char *const DOCS[] = {"operations/flags.md", "operations/limits.md",
                                       "operations/api.md", "operations/metrics.md"};
    for (size_t d = 0; d < sizeof(DOCS) / sizeof(DOCS[0]); d++) {
        char *doc = read_doc(DOCS[d]);
        for (char *at = strstr(doc, "`--"); at; at = strstr(at + 1, "`--")) {
            size_t n = strcspn(at + 3, "`= \n");
            struct ext_flag_view f = {.name = ""};
            for (size_t i = 0; ext_config_flag(i, &f); i++)
                if (strlen(f.name) == n && strncmp(f.name, at + 3, n) == 0)
                    break;
            ck_assert_msg(strlen(f.name) == n && strncmp(f.name, at + 3, n) == 0, "%s names --%.*s",
                          DOCS[d], (int)n, at + 3);
        }
        free(doc);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("extender config");
    TCase *tc = tcase_create("config");
    int n = (int)flags_n();
    tcase_add_test(tc, defaults);
    tcase_add_loop_test(tc, every_flag_in_every_spelling, 0, n);
    tcase_add_loop_test(tc, verbosity_in_every_spelling, 0, 5);
    tcase_add_test(tc, the_chart);
    tcase_add_test(tc, core_defect_c22_the_lock_timeout_of_the_environment_counts);
    tcase_add_test(tc, values_arrive);
    tcase_add_loop_test(tc, accepted, 0, sizeof(ACCEPTED) / sizeof(ACCEPTED[0]));
    tcase_add_loop_test(tc, refused, 0, sizeof(REFUSED) / sizeof(REFUSED[0]));
    tcase_add_test(tc, help_and_version_need_nothing_else);
    tcase_add_loop_test(tc, help_says_what_the_table_says, 0, n);
    tcase_add_loop_test(tc, flags_md_says_what_the_table_says, 0, n);
    tcase_add_loop_test(tc, man_page_says_what_the_table_says, 0, n);
    tcase_add_test(tc, documents_know_no_other_flag);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
