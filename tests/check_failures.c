/* What fails around the program: descriptors, disk, memory, its log's reader. Each row of
 * docs/operations/failures.md that is about the process itself has its test here. */
#include "program.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const char CLUSTER[] =
    "apiVersion: v1\nkind: Node\n"
    "metadata: {name: node-1, uid: 0f0f0f0f-0000-4000-8000-000000000001, annotations: "
    "{hami.io/node-nvidia-register: "
    "'[{\"id\":\"GPU-1\",\"count\":10,\"devmem\":10000,\"devcore\":100,\"type\":\"NVIDIA-T\","
    "\"health\":true}]'}}\n"
    "status: {allocatable: {nvidia.com/gpu: 10}}\n"
    "---\napiVersion: v1\nkind: Pod\n"
    "metadata: {name: pod-1, namespace: default, uid: 0f0f0f0f-0000-4000-8000-000000000002}\n"
    "spec: {schedulerName: cardinal-scheduler, containers: [{name: main, image: x, "
    "resources: {limits: {nvidia.com/gpu: 1, nvidia.com/gpumem: 4000}}}]}\n";
static const char FILTER[] =
    "{\"Pod\":{\"metadata\":{\"name\":\"pod-2\",\"namespace\":\"default\",\"uid\":\"u-2\"},"
    "\"spec\":{\"containers\":[{\"name\":\"main\",\"resources\":{\"limits\":{\"nvidia.com/gpu\":"
    "\"1\",\"nvidia.com/gpumem\":\"1000\"}}}]}},\"NodeNames\":[\"node-1\"]}";
static const char BIND[] = "{\"PodName\":\"pod-1\",\"PodNamespace\":\"default\",\"PodUID\":"
                           "\"0f0f0f0f-0000-4000-8000-000000000002\",\"Node\":\"node-1\"}";

static struct program program;

static void setup(void)
{
    program_folder();
    program_write("cluster.yaml", CLUSTER);
    program = (struct program){.pid = 0};
}

static void teardown(void)
{
    program_kill(&program);
    program_folder_done();
}

static void start(const char *const *more, void (*prepare)(void), char address[64])
{
    static const char *const NONE[] = {"--metrics-bind-address=", NULL};
    const char *args[16] = {program_flag("--cluster", "cluster.yaml"),
                            "--listen-extender=127.0.0.1:0"};
    more = more ? more : NONE;
    for (size_t i = 0; more[i]; i++)
        args[2 + i] = more[i];
    program_start(&program, args, prepare);
    (void)snprintf(address, 64, "%s", program_listens(&program, "extender"));
    program_ready(&program, address);
}

static void stop(void)
{
    kill(program.pid, SIGTERM);
    ck_assert_int_eq(program_status(&program), 0);
}

/* A filter that fits, on a connection that is there already. */
static void filters(struct client *c, const char *when)
{
    struct reply r;
    client_call(c, "POST", "/filter", FILTER, &r);
    ck_assert_msg(r.status == 200 && strstr(r.body, "\"NodeNames\":[\"node-1\"]"), "%s: %d %s",
                  when, r.status, r.body ? r.body : "");
    reply_done(&r);
}

static void pause_ms(int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

/* ---- descriptors ---- */

enum { FILES = 512, SERVED = (FILES - 256) / 2 - 64, TOLD = 64, HELD = SERVED + TOLD + 100 };

static void few_files(void)
{
    struct rlimit limit = {FILES, FILES};
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Nothing spins: processor time over a time in which nobody asks for anything. */
static void ck_rests(void)
{
    int64_t before = program_cpu_ms(&program);
    pause_ms(1000);
    int64_t spent = program_cpu_ms(&program) - before;
    ck_assert_msg(spent < 250, "%lld ms of processor time in a second of waiting",
                  (long long)spent);
}

/* One listener is flooded: whoever is connected is served, who comes then is told 503 or closed,
 * the other listener has its own share, and all is as before when connections close. */
START_TEST(a_flooded_listener_leaves_the_others_theirs)
{
    char address[64], metrics[64];
    static struct client held[HELD];
    struct client *kept = calloc(1, sizeof(*kept));
    start((const char *[]){"--metrics-bind-address=127.0.0.1:0", NULL}, few_files, address);
    (void)snprintf(metrics, sizeof(metrics), "%s", program_listens(&program, "metrics"));
    ck_assert_ptr_nonnull(strstr(program.text, "msg=\"fewer connections\""));
    client_open(kept, address);
    filters(kept, "before");
    for (int i = 0; i < HELD; i++)
        client_open(&held[i], address);
    filters(kept, "while it is flooded");
    ck_assert(client_closed(&held[HELD - 1], 10000)); /* beyond those that are told */
    ck_rests();
    ck_assert_int_eq(program_ask(metrics, "GET", "/metrics", NULL, "process_max_fds 512\n"), 200);
    filters(kept, "after a while");
    for (int i = 0; i < HELD; i++)
        client_close(&held[i]);
    client_close(kept);
    /* It sees them close one after the other: until then whoever comes is told so, or closed. */
    struct reply r;
    client_call_once(address, "POST", "/bind", BIND, &r);
    for (int i = 0; i < 500 && (r.status == 503 || r.status == 0); i++) {
        reply_done(&r);
        pause_ms(20);
        client_call_once(address, "POST", "/bind", BIND, &r);
    }
    ck_assert_msg(r.status == 200 && strstr(r.body, "\"Error\":\"\""), "%d %s", r.status,
                  r.body ? r.body : r.head);
    reply_done(&r);
    free(kept);
    stop();
}
END_TEST

/* There are none left for the whole process, or the system: the same, and whoever comes waits. */
START_TEST(descriptors_run_out)
{
    char address[64], metrics[64];
    struct client *c = calloc(4, sizeof(*c));
    struct reply r;
    start((const char *[]){"--metrics-bind-address=127.0.0.1:0", NULL}, NULL, address);
    (void)snprintf(metrics, sizeof(metrics), "%s", program_listens(&program, "metrics"));
    struct rlimit before, none;
    client_open(&c[0], address);
    filters(&c[0], "before");
    ck_assert_int_eq(prlimit(program.pid, RLIMIT_NOFILE, NULL, &before), 0);
    none = (struct rlimit){3, before.rlim_max}; /* only who is root may raise that again */
    ck_assert_int_eq(prlimit(program.pid, RLIMIT_NOFILE, &none, NULL), 0);
    client_open(&c[1], address);
    client_open(&c[2], metrics); /* the listeners' queues take them */
    client_open(&c[3], metrics);
    filters(&c[0], "while none are left");
    ck_rests();
    client_call(&c[0], "POST", "/bind", BIND, &r);
    ck_assert_msg(r.status == 200 && strstr(r.body, "\"Error\":\"\""), "%d %s", r.status, r.body);
    reply_done(&r);
    ck_assert_int_eq(prlimit(program.pid, RLIMIT_NOFILE, &before, NULL), 0);
    client_close(&c[0]);
    client_call(&c[2], "GET", "/healthz", NULL, &r);
    ck_assert_int_eq(r.status, 200);
    reply_done(&r);
    filters(&c[1], "when there are some again");
    for (int i = 1; i < 4; i++)
        client_close(&c[i]);
    free(c);
    stop();
}
END_TEST

static void too_few_files(void)
{
    struct rlimit limit = {500, 500};
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

START_TEST(too_few_descriptors_are_told_at_the_start)
{
    const char *args[] = {program_flag("--cluster", "cluster.yaml"), NULL};
    program_start(&program, args, too_few_files);
    ck_assert_int_eq(program_status(&program), 2);
    ck_assert_ptr_nonnull(strstr(program.text, "limit of this process is 500 and 512 are needed"));
}
END_TEST

/* ---- the log ---- */

static uint64_t figure(const char *address, const char *name)
{
    struct reply r;
    client_call_once(address, "GET", "/metrics", NULL, &r);
    char want[80];
    (void)snprintf(want, sizeof(want), "\n%s ", name);
    const char *at = r.body ? strstr(r.body, want) : NULL;
    ck_assert_msg(at != NULL, "no %s", name);
    uint64_t n = strtoull(at + strlen(want), NULL, 10);
    reply_done(&r);
    return n;
}

/* All verbs, each of which logs at this level. */
static void verbs_go_on(const char *address, const char *when)
{
    struct client *c = calloc(1, sizeof(*c));
    client_open(c, address);
    for (int i = 0; i < 200; i++)
        filters(c, when);
    client_close(c);
    free(c);
    ck_assert_int_eq(program_ask(address, "POST", "/bind", BIND, "\"Error\":\"\""), 200);
}

static void small_pipe(void) { (void)fcntl(STDERR_FILENO, F_SETPIPE_SZ, 16384); }

static const char *const LOUD[] = {"--metrics-bind-address=127.0.0.1:0", "-v=5", NULL};

START_TEST(a_log_pipe_that_nobody_empties)
{
    char address[64], metrics[64];
    start(LOUD, small_pipe, address);
    (void)snprintf(metrics, sizeof(metrics), "%s", program_listens(&program, "metrics"));
    verbs_go_on(address, "with a full pipe");
    ck_assert_uint_gt(figure(metrics, "cardinald_log_lines_lost_total"), 0);
    kill(program.pid, SIGTERM);
    ck_assert_int_eq(program_status(&program), 0); /* which reads what there is */
    ck_assert_ptr_nonnull(strstr(program.text, "msg=\"log lines lost\" lines="));
}
END_TEST

START_TEST(a_log_pipe_without_a_reader)
{
    char address[64], metrics[64];
    start(LOUD, NULL, address);
    (void)snprintf(metrics, sizeof(metrics), "%s", program_listens(&program, "metrics"));
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ck_assert_int_eq(dup2(null, program.log), program.log);
    close(null);
    verbs_go_on(address, "without a reader");
    ck_assert_uint_gt(figure(metrics, "cardinald_log_lines_lost_total"), 200);
    stop();
}
END_TEST

static void no_space(void) { (void)dup2(open("/dev/full", O_WRONLY | O_CLOEXEC), STDERR_FILENO); }

START_TEST(no_space_for_the_log)
{
    char address[64], flag[96], metrics[96];
    struct client spot = {.fd = -1};
    (void)snprintf(address, sizeof(address), "%s", program_free_address());
    (void)snprintf(flag, sizeof(flag), "--listen-extender=%s", address);
    (void)snprintf(metrics, sizeof(metrics), "--metrics-bind-address=%s", program_free_address());
    const char *args[] = {program_flag("--cluster", "cluster.yaml"), flag, metrics, "-v=5", NULL};
    program_start(&program, args, no_space);
    for (int i = 0; i < 1000 && !client_try(&spot, address); i++)
        pause_ms(10);
    client_close(&spot);
    program_ready(&program, address);
    verbs_go_on(address, "without space");
    ck_assert_uint_gt(figure(strchr(metrics, '=') + 1, "cardinald_log_lines_lost_total"), 200);
    stop();
}
END_TEST

/* ---- memory ---- */

/* The sanitizers' own memory is address space, too. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
enum { BIG_N = 24, BIG_BYTES = 7 << 20, LEFT_BYTES = 1 << 20 };

static uint64_t address_space(void)
{
    char path[64];
    unsigned long long pages = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/statm", (int)program.pid);
    FILE *f = fopen(path, "re");
    ck_assert(f && fscanf(f, "%llu", &pages) == 1);
    (void)fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* FILTER with megabytes in front that nobody needs. */
static char *big_filter(size_t *ret_n)
{
    char *text = NULL;
    int n = asprintf(&text, "{\"Ballast\":\"%0*d\",%s", BIG_BYTES, 0, FILTER + 1);
    ck_assert_int_gt(n, BIG_BYTES);
    *ret_n = (size_t)n;
    return text;
}

/* Requests that there is no memory for are refused, those that there is memory for are answered,
 * and the books are right all the time. */
START_TEST(memory_runs_out)
{
    char address[64], head[160];
    size_t n;
    static struct client big[BIG_N];
    char *body = big_filter(&n);
    int refused = 0;
    start(NULL, NULL, address);
    struct rlimit before, tight;
    ck_assert_int_eq(prlimit(program.pid, RLIMIT_AS, NULL, &before), 0);
    tight = (struct rlimit){address_space() + LEFT_BYTES, before.rlim_max};
    ck_assert_int_eq(prlimit(program.pid, RLIMIT_AS, &tight, NULL), 0);
    (void)snprintf(head, sizeof(head),
                   "POST /filter HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n", n);
    for (int i = 0; i < BIG_N; i++) {
        client_open(&big[i], address);
        (void)(client_send(&big[i], head, strlen(head)) && client_send(&big[i], body, n / 2));
    }
    for (int i = 0; i < BIG_N; i++) {
        struct reply r = {0};
        (void)client_send(&big[i], body + n / 2, n - n / 2);
        client_read(&big[i], false, &r);
        bool fits = r.status == 200 && strstr(r.body, "\"NodeNames\":[\"node-1\"]");
        ck_assert_msg(fits || r.status == 503 || r.status == 500 || r.status == 0, "%d: %d %s", i,
                      r.status, r.body ? r.body : r.head);
        refused += !fits;
        reply_done(&r);
        client_close(&big[i]);
    }
    free(body);
    ck_assert_msg(refused > 0, "nothing was refused");
    ck_assert_int_eq(program_ask(address, "GET", "/livez", NULL, "ok"), 200);
    ck_assert_int_eq(program_ask(address, "POST", "/filter", FILTER, "[\"node-1\"]"), 200);
    ck_assert_int_eq(prlimit(program.pid, RLIMIT_AS, &before, NULL), 0);
    ck_assert_int_eq(program_ask(address, "POST", "/bind", BIND, "\"Error\":\"\""), 200);
    ck_assert_int_eq(program_ask(address, "GET", "/v1/audit", NULL, "\"consistent\":true"), 200);
    ck_assert_int_eq(program_ask(address, "GET", "/v1/nodes", NULL, "\"used\":4000"), 200);
    stop();
}
END_TEST
#endif

/* ---- files ---- */

/* Files are read at the start. One that is broken later changes nothing until the next start, which
 * says what is wrong; a hang-up is no reason to end. */
START_TEST(a_file_that_breaks_later_is_not_read)
{
    char address[64];
    start(NULL, NULL, address);
    program_write("cluster.yaml", "kind: [");
    kill(program.pid, SIGHUP);
    ck_assert_int_eq(program_ask(address, "POST", "/filter", FILTER, "[\"node-1\"]"), 200);
    ck_assert_int_eq(program_ask(address, "POST", "/bind", BIND, "\"Error\":\"\""), 200);
    stop();
    const char *args[] = {program_flag("--cluster", "cluster.yaml"), NULL};
    program_start(&program, args, NULL);
    ck_assert_int_eq(program_status(&program), 2);
    ck_assert_ptr_nonnull(strstr(program.text, "cluster.yaml:"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("failures");
    TCase *tc = tcase_create("process");
    tcase_set_timeout(tc, 120);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_flooded_listener_leaves_the_others_theirs);
    tcase_add_test(tc, descriptors_run_out);
    tcase_add_test(tc, too_few_descriptors_are_told_at_the_start);
    tcase_add_test(tc, a_log_pipe_that_nobody_empties);
    tcase_add_test(tc, a_log_pipe_without_a_reader);
    tcase_add_test(tc, no_space_for_the_log);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    tcase_add_test(tc, memory_runs_out);
#endif
    tcase_add_test(tc, a_file_that_breaks_later_is_not_read);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
