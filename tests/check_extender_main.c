/* The program itself: started as a child, asked over its sockets, stopped by signals. */
#include "base/str.h"
#include "extender_client.h"

#include <check.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
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

struct child {
    pid_t pid;
    int log; /* its stderr */
    char text[1 << 16];
    size_t n;
};
static struct child child;
static char dir[64], cluster_flag[300];

static char *in_dir(const char *name)
{
    static char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

static void write_file(const char *name, const char *text)
{
    FILE *f = fopen(in_dir(name), "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, strlen(text), f), strlen(text));
    ck_assert_int_eq(fclose(f), 0);
}

static void setup(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/cardinald-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    write_file("cluster.yaml", CLUSTER);
    (void)snprintf(cluster_flag, sizeof(cluster_flag), "--cluster=%s", in_dir("cluster.yaml"));
    child = (struct child){.pid = -1, .log = -1};
}

static void teardown(void)
{
    if (child.pid > 0) {
        kill(child.pid, SIGKILL);
        waitpid(child.pid, NULL, 0);
    }
    if (child.log >= 0)
        close(child.log);
    static const char *const FILES[] = {"cluster.yaml", "broken.yaml", "kubeconfig", "device.yaml"};
    for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++)
        unlink(in_dir(FILES[i]));
    rmdir(dir);
}

/* Arguments up to NULL. */
static void spawn(const char *const *args)
{
    int pipes[2];
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    const char *program = getenv("CARDINALD");
    char *argv[16] = {(char *)(program ? program : "src/extender/cardinald")};
    for (size_t i = 0; args[i]; i++)
        argv[i + 1] = (char *)args[i];
    child.pid = fork();
    ck_assert_int_ge(child.pid, 0);
    if (child.pid == 0) {
        dup2(pipes[1], 1);
        dup2(pipes[1], 2);
        unsetenv("KUBECONFIG");
        setenv("HOME", "/nonexistent", 1);
        unsetenv("KUBERNETES_SERVICE_HOST");
        execv(argv[0], argv);
        _exit(127);
    }
    close(pipes[1]);
    child.log = pipes[0];
    child.n = 0;
}

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Reads what it writes until `want` is there (NULL: to its end). */
static bool read_until(const char *want)
{
    int64_t end = now_ms() + 20000;
    for (;;) {
        child.text[child.n] = '\0';
        if (want && strstr(child.text, want))
            return true;
        struct pollfd p = {.fd = child.log, .events = POLLIN};
        if (now_ms() > end || poll(&p, 1, 1000) < 0)
            return false;
        if (!(p.revents & (POLLIN | POLLHUP)))
            continue;
        ssize_t got = read(child.log, child.text + child.n, sizeof(child.text) - 1 - child.n);
        if (got <= 0)
            return want == NULL;
        child.n += (size_t)got;
    }
}

static int exit_status(void)
{
    int status = 0;
    ck_assert(read_until(NULL));
    ck_assert_int_eq(waitpid(child.pid, &status, 0), child.pid);
    child.pid = -1;
    ck_assert_msg(WIFEXITED(status), "ended by signal %d: %s", WTERMSIG(status), child.text);
    return WEXITSTATUS(status);
}

/* "127.0.0.1:40123" of the line of listeners. */
static const char *listening(const char *what)
{
    static char address[64];
    ck_assert_msg(read_until("msg=\"listening\"") || read_until("msg=listening"), "%s", child.text);
    ck_assert(read_until(" cluster="));
    char want[32];
    (void)snprintf(want, sizeof(want), " %s=", what);
    const char *line = strstr(child.text, "listening"), *at = strstr(line, want);
    ck_assert_msg(at != NULL, "%s", child.text);
    at += strlen(want);
    size_t n = strcspn(at, " \n");
    ck_assert_uint_lt(n, sizeof(address));
    memcpy(address, at, n);
    address[n] = '\0';
    return address;
}

static int call(const char *address, const char *method, const char *target, const char *body,
                const char *part)
{
    struct reply r;
    client_call_once(address, method, target, body, &r);
    int status = r.status;
    if (part)
        ck_assert_msg(r.body && strstr(r.body, part), "%s: want %s, got %s", target, part,
                      r.body ? r.body : r.head);
    reply_done(&r);
    return status;
}

static void wait_ready(const char *address)
{
    for (int i = 0; i < 500; i++) {
        if (call(address, "GET", "/readyz", NULL, NULL) == 200)
            return;
        struct timespec t = {.tv_nsec = 10000000};
        nanosleep(&t, NULL);
    }
    ck_abort_msg("not ready: %s", child.text);
}

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
    ck_assert_int_eq(call(extender, "GET", "/v1/nodes", NULL, "\"name\":\"node-1\""), 200);
    ck_assert_int_eq(call(extender, "GET", "/v1/objects/pods/default/pod-1", NULL, "\"pod-1\""),
                     200);
    ck_assert_int_eq(call(extender, "GET", "/metrics", NULL, NULL), 404);
    ck_assert_int_eq(call(metrics, "GET", "/metrics", NULL, "cardinald_nodes 1\n"), 200);
    ck_assert_int_eq(call(metrics, "GET", "/healthz", NULL, "ok"), 200);
    ck_assert_int_eq(call(metrics, "GET", "/version", NULL, "\"version\""), 200);
    ck_assert_int_eq(call(extender, "POST", "/filter",
                          "{\"Pod\":{\"metadata\":{\"name\":\"p\",\"namespace\":\"default\"},"
                          "\"spec\":{\"containers\":[]}},"
                          "\"NodeNames\":[\"node-1\"]}",
                          "\"NodeNames\":[\"node-1\"]"),
                     200);
    ck_assert_int_eq(call(metrics, "POST", "/filter", "{}", NULL), 404);
    int64_t before = now_ms();
    kill(child.pid, SIGTERM);
    ck_assert_int_eq(exit_status(), 0);
    ck_assert_int_lt(now_ms() - before, 5000);
}
END_TEST

START_TEST(http_bind_has_both)
{
    spawn(
        (const char *[]){cluster_flag, "--http_bind=127.0.0.1:0", "--metrics-bind-address=", NULL});
    const char *address = listening("webhook");
    ck_assert_ptr_nonnull(strstr(child.text, "metrics=none"));
    wait_ready(address);
    ck_assert_int_eq(call(address, "POST", "/webhook", "{}", "\"allowed\":false"), 200);
    ck_assert_int_eq(call(address, "GET", "/filter", NULL, NULL), 405);
    kill(child.pid, SIGINT);
    ck_assert_int_eq(exit_status(), 0);
}
END_TEST

/* Nobody listens at the API server's address: alive, not ready, keeps trying; stops in good order.
 */
START_TEST(starts_without_api_server)
{
    write_file("kubeconfig", "apiVersion: v1\nkind: Config\ncurrent-context: c\n"
                             "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\n"
                             "users: [{name: u, user: {}}]\n"
                             "contexts: [{name: c, context: {cluster: c, user: u}}]\n");
    char flag[300];
    (void)snprintf(flag, sizeof(flag), "--kubeconfig=%s", in_dir("kubeconfig"));
    spawn((const char *[]){flag, "--listen-extender=127.0.0.1:0", "--metrics-bind-address=", NULL});
    const char *address = listening("extender");
    ck_assert_int_eq(call(address, "GET", "/livez", NULL, "ok"), 200);
    ck_assert_int_eq(call(address, "GET", "/readyz", NULL, "[-]nodes-sync failed"), 500);
    ck_assert_int_eq(call(address, "GET", "/readyz/shutdown", NULL, "ok"), 200);
    ck_assert_int_eq(call(address, "GET", "/readyz/pods-sync", NULL, "[-]pods-sync failed"), 500);
    ck_assert_int_eq(call(address, "GET", "/readyz/nothing", NULL, NULL), 404);
    ck_assert_int_eq(call(address, "GET",
                          "/readyz?exclude=nodes-sync&exclude=pods-sync&exclude=quotas-sync", NULL,
                          "ok"),
                     200);
    ck_assert_int_eq(call(address, "GET", "/v1/objects/nodes/node-1", NULL, "file mode only"), 404);
    kill(child.pid, SIGTERM);
    ck_assert_int_eq(exit_status(), 0);
}
END_TEST

/* What can't be read of objects that are taken is said, with what is wrong. */
START_TEST(tells_what_can_not_be_read)
{
    write_file("cluster.yaml",
               "apiVersion: v1\nkind: Node\n"
               "metadata: {name: node-2, annotations: {hami.io/node-nvidia-register: '[null]'}}\n"
               "status: {allocatable: {nvidia.com/gpu: 10}}\n"
               "---\napiVersion: v1\nkind: ResourceQuota\nmetadata: {name: q, namespace: team}\n"
               "spec: {hard: {limits.nvidia.com/gpumem: much}}\n");
    spawn((const char *[]){cluster_flag, "--listen-extender=127.0.0.1:0", "--metrics-bind-address=",
                           "-v=2", NULL});
    char address[64];
    (void)snprintf(address, sizeof(address), "%s", listening("extender"));
    ck_assert_msg(read_until("registration not taken\" node=node-2 vendor=NVIDIA err="), "%s",
                  child.text);
    ck_assert_msg(read_until("quota counts as 0\" quota=team/q"), "%s", child.text);
    wait_ready(address);
    ck_assert_int_eq(call(address, "GET", "/v1/nodes/node-2", NULL, "\"brokenRegistrations\":1"),
                     200);
    kill(child.pid, SIGTERM);
    ck_assert_int_eq(exit_status(), 0);
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
    {"bad selector", {"CLUSTER", "--node-label-selector=a"}, 2, "not k=v,k2=v2"},
    {"broken cluster", {"BROKEN"}, 2, "broken.yaml:5:1: "},
};

START_TEST(ends_at_the_start)
{
    char broken[300];
    const char *args[5] = {NULL};
    write_file("broken.yaml", "apiVersion: v1\nkind: Node\nmetadata:\n  name: [unclosed\n");
    (void)snprintf(broken, sizeof(broken), "--cluster=%s", in_dir("broken.yaml"));
    for (size_t i = 0; i < 4 && STARTS[_i].args[i]; i++) {
        args[i] = STARTS[_i].args[i];
        args[i] = strcmp(args[i], "CLUSTER") == 0 ? cluster_flag : args[i];
        args[i] = strcmp(args[i], "BROKEN") == 0 ? broken : args[i];
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
    struct child first = child;
    spawn((const char *[]){cluster_flag, flag, "--metrics-bind-address=", NULL});
    ck_assert_int_eq(exit_status(), 1);
    ck_assert_ptr_nonnull(strstr(child.text, "Address already in use"));
    close(child.log);
    child = first;
    kill(child.pid, SIGTERM);
    ck_assert_int_eq(exit_status(), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cardinald");
    TCase *tc = tcase_create("main");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, serves_a_file_and_stops);
    tcase_add_test(tc, http_bind_has_both);
    tcase_add_test(tc, starts_without_api_server);
    tcase_add_test(tc, tells_what_can_not_be_read);
    tcase_add_loop_test(tc, ends_at_the_start, 0, sizeof(STARTS) / sizeof(STARTS[0]));
    tcase_add_test(tc, an_address_in_use);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
