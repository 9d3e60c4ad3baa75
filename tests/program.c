/* See program.h. */
#include "program.h"

#include <arpa/inet.h>
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char dir[64];

/* ---- files ---- */

const char *program_path(const char *name)
{
    static char path[512];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

const char *program_flag(const char *flag, const char *name)
{
    static char flags[8][600];
    static unsigned next;
    char *out = flags[next++ % 8];
    (void)snprintf(out, sizeof(flags[0]), "%s=%s", flag, program_path(name));
    return out;
}

void program_write(const char *name, const char *text)
{
    FILE *f = fopen(program_path(name), "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, strlen(text), f), strlen(text));
    ck_assert_int_eq(fclose(f), 0);
}

void program_folder(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/cardinald-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

void program_folder_done(void)
{
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (const struct dirent *e; (e = readdir(d));)
        if (e->d_name[0] != '.')
            unlink(program_path(e->d_name));
    closedir(d);
    rmdir(dir);
}

/* ---- the process ---- */

void program_start(struct program *p, const char *const *args, void (*prepare)(void))
{
    int pipes[2];
    ck_assert_int_eq(pipe2(pipes, O_CLOEXEC), 0);
    const char *program = getenv("CARDINALD");
    char *argv[24] = {(char *)(program ? program : "src/extender/cardinald")};
    for (size_t i = 0; args[i]; i++) {
        ck_assert_uint_lt(i, 22);
        argv[i + 1] = (char *)args[i];
    }
    p->n = 0;
    p->log = pipes[0];
    p->pid = fork();
    ck_assert_int_ge(p->pid, 0);
    if (p->pid == 0) {
        dup2(pipes[1], 1);
        dup2(pipes[1], 2);
        unsetenv("KUBECONFIG");
        setenv("HOME", "/nonexistent", 1);
        unsetenv("KUBERNETES_SERVICE_HOST");
        if (prepare)
            prepare();
        execv(argv[0], argv);
        _exit(127);
    }
    close(pipes[1]);
}

void program_kill(struct program *p)
{
    if (p->pid > 0) {
        kill(p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
        close(p->log);
    }
    p->pid = 0;
}

int64_t program_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

bool program_says(struct program *p, const char *want)
{
    int64_t end = program_now_ms() + 20000;
    for (;;) {
        p->text[p->n] = '\0';
        if (want && strstr(p->text, want))
            return true;
        struct pollfd in = {.fd = p->log, .events = POLLIN};
        if (program_now_ms() > end || poll(&in, 1, 1000) < 0)
            return false;
        if (!(in.revents & (POLLIN | POLLHUP)))
            continue;
        ssize_t got = read(p->log, p->text + p->n, sizeof(p->text) - 1 - p->n);
        if (got <= 0)
            return want == NULL;
        p->n += (size_t)got;
    }
}

int program_status(struct program *p)
{
    int status = 0;
    ck_assert(program_says(p, NULL));
    ck_assert_int_eq(waitpid(p->pid, &status, 0), p->pid);
    p->pid = 0;
    close(p->log);
    ck_assert_msg(WIFEXITED(status), "ended by signal %d: %s", WTERMSIG(status), p->text);
    return WEXITSTATUS(status);
}

bool program_runs(const struct program *p) { return waitpid(p->pid, NULL, WNOHANG) == 0; }

int64_t program_cpu_ms(const struct program *p)
{
    clockid_t id;
    struct timespec t;
    ck_assert_int_eq(clock_getcpuclockid(p->pid, &id), 0);
    ck_assert_int_eq(clock_gettime(id, &t), 0);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- asking it ---- */

const char *program_listens(struct program *p, const char *what)
{
    static char address[64];
    ck_assert_msg(program_says(p, "msg=\"listening\""), "%s", p->text);
    ck_assert(program_says(p, " cluster="));
    char want[32];
    (void)snprintf(want, sizeof(want), " %s=", what);
    const char *line = strstr(p->text, "listening"), *at = strstr(line, want);
    ck_assert_msg(at != NULL, "%s", p->text);
    at += strlen(want);
    size_t n = strcspn(at, " \n");
    ck_assert_uint_lt(n, sizeof(address));
    memcpy(address, at, n);
    address[n] = '\0';
    return address;
}

const char *program_free_address(void)
{
    static char address[64];
    static unsigned tried;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), rc = -1, port = 0;
    ck_assert_int_ge(fd, 0);
    /* Below the ports that the system gives to connections: none of those takes it meanwhile. */
    for (int i = 0; i < 200 && rc != 0; i++) {
        port = 16000 + (int)(((unsigned)getpid() * 131u + tried++ * 7919u) % 12000u);
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        rc = bind(fd, (struct sockaddr *)&at, sizeof(at));
    }
    close(fd);
    ck_assert_int_eq(rc, 0);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    return address;
}

int program_ask(const char *address, const char *method, const char *target, const char *body,
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

void program_ready(struct program *p, const char *address)
{
    for (int i = 0; i < 500; i++) {
        if (program_ask(address, "GET", "/readyz", NULL, NULL) == 200)
            return;
        struct timespec t = {.tv_nsec = 10000000};
        nanosleep(&t, NULL);
    }
    ck_abort_msg("not ready: %s", p->text);
}
