/* The program itself: started as a child, asked over its sockets, stopped by signals. */
#include "base/str.h"
#include "program.h"

#include <check.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const char CLUSTER[] = "apiVersion: v1\n"
                              "kind: Node\n"
                              "metadata:\n"
                              "  name: node-1\n"
                              "  uid: 0f0f0f0f-0000-4000-8000-000000000001\n"
                              "---\n"
                              "apiVersion: v1\n"
                              "kind: Pod\n"
                              "metadata:\n"
                              "  name: pod-1\n"
                              "  namespace: default\n"
                              "  uid: 0f0f0f0f-0000-4000-8000-000000000002\n"
                              "spec:\n"
                              "  containers:\n"
                              "  - name: main\n"
                              "    image: x\n";

static struct program child;
static const char *cluster_flag;

static void setup(void)
{
    program_folder();
    program_write("cluster.yaml", CLUSTER);
    cluster_flag = program_flag("--cluster", "cluster.yaml");
    child = (struct program){.pid = 0};
}

static void teardown(void)
{
    program_kill(&child);
    program_folder_done();
}

static void spawn(const char *const *args) { program_start(&child, args, NULL); }
static bool read_until(const char *want) { return program_says(&child, want); }
static int exit_status(void) { return program_status(&child); }
static const char *listening(const char *what) { return program_listens(&child, what); }
static void wait_ready(const char *address) { program_ready(&child, address); }

START_TEST(serves_a_file_and_stops)
{
    spawn((const char *[]){cluster_flag, "--listen-extender=127.0.0.1:0",
                           "--metrics-bind-address=127.0.0.1:0", "--debug", "-v=2", NULL});
    char extender[64], metrics[64];
    (void)snprintf(extender, sizeof(extender), "%s", listening("extender"));
    (void)snprintf(metrics, sizeof(metrics), "%s", listening("metrics"));
    ck_assert_ptr_nonnull(strstr(child.text, "webhook=none"));
    ck_assert_ptr_nonnull(strstr(child.text, "flags=debug"));
    wait_ready(extender);
    ck_assert_int_eq(program_ask(extender, "GET", "/v1/nodes", NULL, "\"name\":\"node-1\""), 200);
    ck_assert_int_eq(
        program_ask(extender, "GET", "/v1/objects/pods/default/pod-1", NULL, "\"pod-1\""), 200);
    ck_assert_int_eq(program_ask(extender, "GET", "/metrics", NULL, NULL), 404);
    ck_assert_int_eq(program_ask(metrics, "GET", "/metrics", NULL, "cardinald_nodes 1\n"), 200);
    ck_assert_int_eq(program_ask(metrics, "GET", "/healthz", NULL, "ok"), 200);
    ck_assert_int_eq(program_ask(metrics, "GET", "/version", NULL, "\"version\""), 200);
    ck_assert_int_eq(
        program_ask(extender, "POST", "/filter",
                    "{\"Pod\":{\"metadata\":{\"name\":\"p\",\"namespace\":\"default\"},"
                    "\"spec\":{\"containers\":[]}},"
                    "\"NodeNames\":[\"node-1\"]}",
                    "\"NodeNames\":[\"node-1\"]"),
        200);
    ck_assert_int_eq(program_ask(metrics, "POST", "/filter", "{}", NULL), 404);
    int64_t before = program_now_ms();
    kill(child.pid, SIGTERM);
    ck_assert_int_eq(exit_status(), 0);
    ck_assert_int_lt(program_now_ms() - before, 5000);
}
END_TEST

START_TEST(http_bind_has_both)
{
    spawn(
        (const char *[]){cluster_flag, "--http_bind=127.0.0.1:0", "--metrics-bind-address=", NULL});
    const char *address = listening("webhook");
    ck_assert_ptr_nonnull(strstr(child.text, "metrics=none"));
    wait_ready(address);
    ck_assert_int_eq(program_ask(address, "POST", "/webhook", "{}", "\"allowed\":false"), 200);
    ck_assert_int_eq(program_ask(address, "GET", "/filter", NULL, NULL), 405);
    kill(child.pid, SIGINT);
    ck_assert_int_eq(exit_status(), 0);
}
END_TEST

/* Nobody listens at the API server's address: alive, not ready, keeps trying; stops in good order.
 */
START_TEST(starts_without_api_server)
{
    program_write("kubeconfig", "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
                                "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n"
                                "users: [{name: u, user: {}}]\n"
                                "contexts: [{name: c, context: {cluster: c, user: u}}]\n");
    spawn((const char *[]){program_flag("--kubeconfig", "kubeconfig"),
                           "--listen-extender=127.0.0.1:0", "--metrics-bind-address=", NULL});
    const char *address = listening("extender");
    ck_assert_int_eq(program_ask(address, "GET", "/livez", NULL, "ok"), 200);
    ck_assert_int_eq(program_ask(address, "GET", "/readyz", NULL, "[-]nodes-sync failed"), 500);
    ck_assert_int_eq(program_ask(address, "GET", "/readyz/shutdown", NULL, "ok"), 200);
    ck_assert_int_eq(program_ask(address, "GET", "/readyz/pods-sync", NULL, "[-]pods-sync failed"),
                     500);
    ck_assert_int_eq(program_ask(address, "GET", "/readyz/nothing", NULL, NULL), 404);
    ck_assert_int_eq(program_ask(address, "GET",
                                 "/readyz?exclude=nodes-sync&exclude=pods-sync&exclude=quotas-sync",
                                 NULL, "ok"),
                     200);
    ck_assert_int_eq(
        program_ask(address, "GET", "/v1/objects/nodes/node-1", NULL, "file mode only"), 404);
    kill(child.pid, SIGTERM);
    ck_assert_int_eq(exit_status(), 0);
}
END_TEST

/* What can't be read of objects that are taken is said, with what is wrong. */
START_TEST(tells_what_can_not_be_read)
{
    program_write(
        "cluster.yaml",
        "apiVersion: v1\nkind: Node\n"
        "metadata: {name: node-2, annotations: {hami.io/node-nvidia-register: '[null]'}}\n"
        "status: {allocatable: {nvidia.com/gpu: 10}}\n"
        "---\napiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q, namespace: team}\n"
        "spec: {hard: {limits.nvidia.com/gpumem: much}}\n");
    spawn((const char *[]){cluster_flag, "--listen-extender=127.0.0.1:0",
                           "--metrics-bind-address=", "-v=2", NULL});
    char address[64];
    (void)snprintf(address, sizeof(address), "%s", listening("extender"));
    ck_assert_msg(read_until("registration not taken\" node=node-2 vendor=NVIDIA err="), "%s",
                  child.text);
    ck_assert_msg(read_until("quota counts as 0\" quota=team/q"), "%s", child.text);
    wait_ready(address);
    ck_assert_int_eq(
        program_ask(address, "GET", "/v1/nodes/node-2", NULL, "\"brokenRegistrations\":1"), 200);
    kill(child.pid, SIGTERM);
    ck_assert_int_eq(exit_status(), 0);
}
END_TEST

/* Beside a kube-scheduler whose configuration is the one that was printed, and one that is worse.
 */
START_TEST(starts_beside_what_it_prints)
{
    char listen[96]; /* an address of its own, so that the port may be said */
    (void)snprintf(listen, sizeof(listen), "--listen-extender=127.99.%d.%d:8080",
                   (int)(getpid() >> 8 & 255), (int)(getpid() & 255));
    spawn((const char *[]){"--print-scheduler-config", listen, "--scheduler-name=s", NULL});
    ck_assert_int_eq(exit_status(), 0);
    for (int worse = 0; worse < 2; worse++) {
        char *at = strstr(child.text, "percentageOfNodesToScore: 100");
        ck_assert_ptr_nonnull(at);
        if (worse)
            memcpy(at, "percentageOfNodesToScore:  50", 29);
        program_write("ks.yaml", child.text);
        spawn((const char *[]){cluster_flag, listen, "--scheduler-name=s",
                               program_flag("--scheduler-config-file", "ks.yaml"),
                               "--metrics-bind-address=", NULL});
        (void)listening("extender");
        ck_assert_msg(!strstr(child.text, "msg=\"scheduler-config\"") == !worse, "%s", child.text);
        kill(child.pid, SIGTERM);
        ck_assert_int_eq(exit_status(), 0);
        if (!worse) {
            spawn((const char *[]){"--print-scheduler-config", listen, "--scheduler-name=s", NULL});
            ck_assert_int_eq(exit_status(), 0);
        }
    }
}
END_TEST

/* A proxy may stand before it: said, not refused. */
START_TEST(own_election_on_loopback_is_said)
{
    static const char *const MODES[] = {"--leader-elect-mode=follow", "--leader-elect-mode=own"};
    for (int own = 0; own < 2; own++) {
        spawn((const char *[]){cluster_flag, "--listen-extender=127.0.0.1:0",
                               "--metrics-bind-address=", "--leader-elect", MODES[own],
                               "--leader-elect-resource-name=cards",
                               "--leader-elect-resource-namespace=sys", NULL});
        (void)listening("extender");
        ck_assert_msg(!strstr(child.text, "own-mode-on-loopback") == !own, "%s", child.text);
        kill(child.pid, SIGTERM);
        ck_assert_int_eq(exit_status(), 0);
    }
}
END_TEST

/* A look by the program itself, at another that is ready, or not. */
START_TEST(probes_another)
{
    static struct program other;
    program_start(&other,
                  (const char *[]){cluster_flag, "--listen-extender=127.0.0.1:0",
                                   "--metrics-bind-address=", NULL},
                  NULL);
    char address[64], good[128], bad[128], nobody[128];
    (void)snprintf(address, sizeof(address), "%s", program_listens(&other, "extender"));
    program_ready(&other, address);
    (void)snprintf(good, sizeof(good), "--probe=http://%s/readyz", address);
    (void)snprintf(bad, sizeof(bad), "--probe=http://%s/no", address);
    (void)snprintf(nobody, sizeof(nobody), "--probe=http://127.0.0.1:1/");
    spawn((const char *[]){good, good, NULL});
    ck_assert_int_eq(exit_status(), 0);
    ck_assert_ptr_nonnull(strstr(child.text, "/readyz: 200 ok\n"));
    spawn((const char *[]){good, bad, "--probe-timeout=1200ms", NULL}); /* tried twice */
    ck_assert_int_eq(exit_status(), 1);
    const char *line = strstr(child.text, "/no: 404 404 page not found\n");
    ck_assert_ptr_nonnull(line);
    ck_assert_ptr_nonnull(strstr(line + 1, "/no: 404 "));
    int64_t before = program_now_ms();
    spawn((const char *[]){nobody, good, "--probe-timeout=300ms", NULL});
    ck_assert_int_eq(exit_status(), 1);
    ck_assert_int_lt(program_now_ms() - before, 3000);
    ck_assert_ptr_null(strstr(child.text, "200"));
    ck_assert_ptr_nonnull(strstr(child.text, "cardinald: http://"));
    /* one that is silent is not waited for longer than was said */
    int stopped;
    kill(other.pid, SIGSTOP);
    ck_assert_int_eq(waitpid(other.pid, &stopped, WUNTRACED), other.pid); /* all its threads */
    before = program_now_ms();
    spawn((const char *[]){good, "--probe-timeout=500ms", NULL});
    ck_assert_int_eq(exit_status(), 1);
    ck_assert_int_lt(program_now_ms() - before, 3000);
    kill(other.pid, SIGCONT);
    program_kill(&other);
}
END_TEST

static const struct {
    const char *name;
    const char *args[4];
    int status;
    const char *text;
} STARTS[] = {
    {"help", {"--help"}, 0, "--shortlist=int"},
    {"version", {"version"}, 0, "cardinald "},
    {"unknown flag",
     {"--shortlst=3"},
     2,
     "cardinald: unknown flag --shortlst: did you mean --shortlist?\n"},
    {"no such cluster file", {"--cluster=/nonexistent/file.yaml"}, 2, "/nonexistent/file.yaml"},
    {"no such device configuration",
     {"CLUSTER", "--device-config-file=/nonexistent/d.yaml"},
     2,
     "/nonexistent/d.yaml"},
    {"no such certificate",
     {"CLUSTER", "--http_bind=127.0.0.1:0", "--cert_file=/nonexistent/c",
      "--key_file=/nonexistent/k"},
     2,
     "/nonexistent/c"},
    {"no cluster at all",
     {"--listen-extender=127.0.0.1:0"},
     2,
     "no --cluster=FILE, no --kubeconfig=FILE"},
    {"no address",
     {"CLUSTER", "--listen-extender=8080", "--metrics-bind-address="},
     2,
     "address 8080: not HOST:PORT"},
    {"what is printed for kube-scheduler",
     {"--print-scheduler-config", "--scheduler-name=s"},
     0,
     "- schedulerName: \"s\"\n"},
    {"nothing to print for kube-scheduler",
     {"--print-scheduler-config", "--listen-extender="},
     2,
     "no listener for the verbs"},
    {"no such configuration of kube-scheduler",
     {"CLUSTER", "--scheduler-config-file=/nonexistent/ks.yaml"},
     2,
     "cardinald: /nonexistent/ks.yaml: "},
    {"another kube-scheduler's configuration",
     {"CLUSTER", "KUBESCHED", "--scheduler-name=s", "--metrics-bind-address="},
     2,
     "ks.yaml: no extenders: "},
    {"bad selector", {"CLUSTER", "--node-label-selector=a"}, 2, "not k=v,k2=v2"},
    {"broken cluster", {"BROKEN"}, 2, "broken.yaml:5:1: "},
};

START_TEST(ends_at_the_start)
{
    const char *args[5] = {NULL};
    program_write("broken.yaml", "apiVersion: v1\nkind: Node\nmetadata:\n  name: [unclosed\n");
    program_write("ks.yaml", "apiVersion: kubescheduler.config.k8s.io/v1\n"
                             "kind: KubeSchedulerConfiguration\n"
                             "profiles: [{schedulerName: s}]\n");
    const char *broken = program_flag("--cluster", "broken.yaml");
    const char *kubesched = program_flag("--scheduler-config-file", "ks.yaml");
    for (size_t i = 0; i < 4 && STARTS[_i].args[i]; i++) {
        args[i] = STARTS[_i].args[i];
        args[i] = strcmp(args[i], "CLUSTER") == 0 ? cluster_flag : args[i];
        args[i] = strcmp(args[i], "BROKEN") == 0 ? broken : args[i];
        args[i] = strcmp(args[i], "KUBESCHED") == 0 ? kubesched : args[i];
    }
    spawn(args);
    int status = exit_status();
    ck_assert_msg(status == STARTS[_i].status, "%s: exit %d: %s", STARTS[_i].name, status,
                  child.text);
    ck_assert_msg(strstr(child.text, STARTS[_i].text), "%s: %s", STARTS[_i].name, child.text);
}
END_TEST

START_TEST(an_address_in_use)
{
    spawn((const char *[]){cluster_flag, "--listen-extender=127.0.0.1:0",
                           "--metrics-bind-address=", NULL});
    char flag[128];
    (void)snprintf(flag, sizeof(flag), "--listen-extender=%s", listening("extender"));
    struct program first = child;
    spawn((const char *[]){cluster_flag, flag, "--metrics-bind-address=", NULL});
    ck_assert_int_eq(exit_status(), 1);
    ck_assert_ptr_nonnull(strstr(child.text, "Address already in use"));
    child = first;
    kill(child.pid, SIGTERM);
    ck_assert_int_eq(exit_status(), 0);
}
END_TEST

/* systemd's side of Type=notify: a socket in the folder, or in the abstract namespace. */
static char notify_name[128];
static void set_notify_socket(void) { setenv("NOTIFY_SOCKET", notify_name, 1); }
static int notify_listen(bool abstract)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    (void)snprintf(notify_name, sizeof(notify_name), "%s%s", abstract ? "@" : "",
                   program_path("notify"));
    size_t n = strlen(notify_name);
    ck_assert_uint_lt(n, sizeof(at.sun_path));
    memcpy(at.sun_path, notify_name, n);
    if (abstract)
        at.sun_path[0] = '\0';
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (const struct sockaddr *)(const void *)&at,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)),
                     0);
    struct timeval limit = {.tv_sec = 20};
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
    return fd;
}
static const char *notified(int fd, int flags)
{
    static char text[64];
    ssize_t n = recv(fd, text, sizeof(text) - 1, flags);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

/* Ready is said when the listeners are there, the API server or not; and the stop before it begins.
 */
START_TEST(tells_the_service_manager)
{
    int fd = notify_listen(/* abstract= */ _i == 1);
    program_write("kubeconfig", "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
                                "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n"
                                "users: [{name: u, user: {}}]\n"
                                "contexts: [{name: c, context: {cluster: c, user: u}}]\n");
    const char *address = program_free_address();
    char flag[96];
    (void)snprintf(flag, sizeof(flag), "--listen-extender=%s", address);
    program_start(&child,
                  (const char *[]){program_flag("--kubeconfig", "kubeconfig"), flag,
                                   "--metrics-bind-address=", NULL},
                  set_notify_socket);
    ck_assert_str_eq(notified(fd, 0), "READY=1");
    ck_assert_int_eq(program_ask(address, "GET", "/livez", NULL, "ok"), 200);
    ck_assert_str_eq(notified(fd, MSG_DONTWAIT), "");
    kill(child.pid, SIGTERM);
    ck_assert_str_eq(notified(fd, 0), "STOPPING=1");
    ck_assert_int_eq(exit_status(), 0);
    close(fd);
}
END_TEST

/* A start that fails says nothing; a socket that can't be told is no reason to stop. */
START_TEST(tells_no_service_manager)
{
    int fd = notify_listen(/* abstract= */ false);
    program_start(&child, (const char *[]){cluster_flag, "--listen-extender=192.0.2.1:1", NULL},
                  set_notify_socket);
    ck_assert_int_ne(exit_status(), 0);
    ck_assert_str_eq(notified(fd, MSG_DONTWAIT), "");
    close(fd);
    static const char *const NAMES[] = {"/nonexistent/notify", "vsock:2:1", "@"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
        program_kill(&child);
        (void)snprintf(notify_name, sizeof(notify_name), "%s", NAMES[i]);
        program_start(&child,
                      (const char *[]){cluster_flag, "--listen-extender=127.0.0.1:0",
                                       "--metrics-bind-address=", NULL},
                      set_notify_socket);
        ck_assert(read_until("msg=\"notify\" socket="));
        wait_ready(listening("extender"));
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cardinald");
    TCase *tc = tcase_create("main");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, serves_a_file_and_stops);
    tcase_add_test(tc, probes_another);
    tcase_add_test(tc, starts_beside_what_it_prints);
    tcase_add_test(tc, own_election_on_loopback_is_said);
    tcase_add_test(tc, http_bind_has_both);
    tcase_add_test(tc, starts_without_api_server);
    tcase_add_test(tc, tells_what_can_not_be_read);
    tcase_add_loop_test(tc, ends_at_the_start, 0, sizeof(STARTS) / sizeof(STARTS[0]));
    tcase_add_test(tc, an_address_in_use);
    tcase_add_loop_test(tc, tells_the_service_manager, 0, 2);
    tcase_add_test(tc, tells_no_service_manager);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
