/* A load generator for one HTTP/1.1 server on this machine: N keep-alive connections, each sending
 * its next request as soon as the answer to the last one is complete. One thread, epoll, so that it
 * takes little from the server that it measures. Bounded in requests and in time; prints one line
 * of JSON.
 *
 *   load --address=127.0.0.1:PORT --path=/filter --body=FILE --connections=16 --requests=1000
 *        [--seconds=30] [--warmup=0] [--first=0] [--lines] [--want=TEXT] [--answer=FILE]
 *
 * In the body, '#' and a letter and more '#' is a mark of that many characters, filled in for each
 * request from its number n (which starts at --first): #u n, #s 100 + n mod 900 (3 wide), #t
 * 10 + n / 900 mod 80 (2 wide).
 * --lines: each line of the file is the body of one request, in turn. A request is right if its
 * status is 200 and its body holds TEXT; wrong ones are counted as errors. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNECTIONS_MAX = 256, REQUESTS_MAX = 2000000, MARKS_MAX = 16, HEAD_MAX = 512 };

struct text {
    char *p;
    size_t n;
};
struct mark {
    size_t at, width;
    char kind;
};
struct connection {
    int fd;
    char *out; /* the request: head and body, marks filled in */
    size_t out_n, sent;
    char *in;
    size_t in_n, in_cap;
    int64_t began_ns;
    bool busy;
};
struct load {
    const char *host, *path, *want, *answer_file;
    int port;
    long connections, requests, warmup, first, seconds;
    bool by_line;
    struct text body;   /* the template, or all lines */
    struct text *lines; /* by_line */
    size_t lines_n;
    struct mark marks[MARKS_MAX];
    size_t marks_n;
    uint32_t *latency_ns;
    long started, done, errors;
    uint64_t answer_bytes;
    bool answer_kept;
    struct connection conn[CONNECTIONS_MAX];
};

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fputs("load: ", stderr);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    exit(2);
}

static struct text read_file(const char *path)
{
    struct text t = {NULL, 0};
    FILE *f = fopen(path, "rb");
    if (!f)
        die("%s: %s", path, strerror(errno));
    size_t cap = 0;
    for (;;) {
        if (cap - t.n < 65536) {
            cap = cap ? cap * 2 : 262144;
            t.p = realloc(t.p, cap + 1);
            if (!t.p)
                die("out of memory");
        }
        size_t got = fread(t.p + t.n, 1, cap - t.n, f);
        if (got == 0)
            break;
        t.n += got;
    }
    fclose(f);
    t.p[t.n] = '\0';
    return t;
}

static void find_marks(struct load *l)
{
    for (size_t i = 0; i + 1 < l->body.n; i++) {
        if (l->body.p[i] != '#' || !strchr("ust", l->body.p[i + 1]))
            continue;
        size_t end = i + 2;
        while (end < l->body.n && l->body.p[end] == '#')
            end++;
        if (l->marks_n == MARKS_MAX)
            die("more than %d marks in the body", MARKS_MAX);
        l->marks[l->marks_n++] = (struct mark){.at = i, .width = end - i, .kind = l->body.p[i + 1]};
        i = end - 1;
    }
}

static void split_lines(struct load *l)
{
    size_t cap = 1024;
    l->lines = calloc(cap, sizeof(*l->lines));
    for (char *p = l->body.p, *end = l->body.p + l->body.n; p < end;) {
        char *stop = memchr(p, '\n', (size_t)(end - p));
        if (!stop)
            stop = end;
        if (l->lines_n == cap) {
            cap *= 2;
            l->lines = realloc(l->lines, cap * sizeof(*l->lines));
        }
        if (!l->lines)
            die("out of memory");
        if (stop > p)
            l->lines[l->lines_n++] = (struct text){p, (size_t)(stop - p)};
        p = stop + 1;
    }
    if (!l->lines_n)
        die("no lines in the body file");
}

static void put_number(char *at, size_t width, long value)
{
    for (size_t i = width; i-- > 0; value /= 10)
        at[i] = (char)('0' + value % 10);
}

static size_t put_head(const struct load *l, char *at, size_t body_n)
{
    int n = snprintf(
        at, HEAD_MAX,
        "POST %s HTTP/1.1\r\nHost: %s:%d\r\nUser-Agent: Go-http-client/1.1\r\n"
        "Content-Length: %zu\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n",
        l->path, l->host, l->port, body_n);
    if (n < 0 || n >= HEAD_MAX)
        die("the path is too long");
    return (size_t)n;
}

static void connect_one(const struct load *l, struct connection *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)l->port)};
    if (inet_pton(AF_INET, l->host, &to.sin_addr) != 1 || (ntohl(to.sin_addr.s_addr) >> 24) != 127)
        die("%s is not an address of the loopback network", l->host);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        die("connect to %s:%d: %s", l->host, l->port, strerror(errno));
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0)
        die("fcntl: %s", strerror(errno));
}

/* Fills in the connection's next request. */
static void prepare(struct load *l, struct connection *c)
{
    long n = l->first + l->started;
    if (l->by_line) {
        struct text line = l->lines[(size_t)n % l->lines_n];
        c->out = realloc(c->out, HEAD_MAX + line.n);
        if (!c->out)
            die("out of memory");
        size_t head = put_head(l, c->out, line.n);
        memcpy(c->out + head, line.p, line.n);
        c->out_n = head + line.n;
        return;
    }
    size_t head;
    if (!c->out) {
        c->out = malloc(HEAD_MAX + l->body.n);
        if (!c->out)
            die("out of memory");
        head = put_head(l, c->out, l->body.n);
        memcpy(c->out + head, l->body.p, l->body.n);
        c->out_n = head + l->body.n;
    }
    head = c->out_n - l->body.n;
    for (size_t i = 0; i < l->marks_n; i++) {
        const struct mark *m = &l->marks[i];
        long value = m->kind == 'u' ? n : m->kind == 's' ? 100 + n % 900 : 10 + n / 900 % 80;
        put_number(c->out + head + m->at, m->width, value);
    }
}

static bool push(struct connection *c)
{
    while (c->sent < c->out_n) {
        ssize_t n = send(c->fd, c->out + c->sent, c->out_n - c->sent, MSG_NOSIGNAL);
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        c->sent += (size_t)n;
    }
    return true;
}

static bool begin(struct load *l, struct connection *c)
{
    prepare(l, c);
    l->started++;
    c->sent = 0;
    c->in_n = 0;
    c->busy = true;
    c->began_ns = now_ns();
    return push(c);
}

/* 1: an answer is complete; 0: not yet; -1: what came is no answer. */
static int answer(const struct connection *c, int *ret_status, struct text *ret_body)
{
    const char *end = memmem(c->in, c->in_n, "\r\n\r\n", 4);
    if (!end)
        return c->in_n > 65536 ? -1 : 0;
    if (c->in_n < 12 || strncmp(c->in, "HTTP/1.1 ", 9) != 0)
        return -1;
    *ret_status = atoi(c->in + 9);
    size_t head = (size_t)(end - c->in) + 4, body = 0;
    bool known = false;
    for (const char *p = c->in; p < end; p++) {
        if (*p == '\n' && strncasecmp(p + 1, "content-length:", 15) == 0) {
            body = strtoul(p + 16, NULL, 10);
            known = true;
        }
    }
    if (!known)
        return -1;
    if (c->in_n < head + body)
        return 0;
    if (c->in_n > head + body)
        return -1;
    *ret_body = (struct text){c->in + head, body};
    return 1;
}

static void keep_answer(struct load *l, struct text body)
{
    if (!l->answer_file || l->answer_kept)
        return;
    FILE *f = fopen(l->answer_file, "wb");
    if (!f || fwrite(body.p, 1, body.n, f) != body.n || fclose(f) != 0)
        die("%s: %s", l->answer_file, strerror(errno));
    l->answer_kept = true;
}

/* False: the connection is of no use any more. */
static bool pull(struct load *l, struct connection *c)
{
    for (;;) {
        if (c->in_cap - c->in_n < 65536) {
            c->in_cap = c->in_cap ? c->in_cap * 2 : 131072;
            c->in = realloc(c->in, c->in_cap);
            if (!c->in)
                die("out of memory");
        }
        ssize_t n = recv(c->fd, c->in + c->in_n, c->in_cap - c->in_n, 0);
        if (n == 0)
            return false;
        if (n < 0)
            return errno == EAGAIN || errno == EINTR;
        c->in_n += (size_t)n;
        int status = 0;
        struct text body = {NULL, 0};
        int got = answer(c, &status, &body);
        if (got < 0)
            return false;
        if (got == 0)
            continue;
        int64_t spent = now_ns() - c->began_ns;
        c->busy = false;
        bool right =
            status == 200 && (!l->want || memmem(body.p, body.n, l->want, strlen(l->want)));
        if (!right && l->errors < 3)
            fprintf(stderr, "load: answer %d: %.*s\n", status, (int)(body.n < 300 ? body.n : 300),
                    body.p);
        l->errors += !right;
        keep_answer(l, body);
        if (l->done >= l->warmup) {
            l->latency_ns[l->done - l->warmup] = spent > UINT32_MAX ? UINT32_MAX : (uint32_t)spent;
            l->answer_bytes += body.n;
        }
        l->done++;
        return true;
    }
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double at_permille(const struct load *l, long n, long permille)
{
    return n ? l->latency_ns[(n - 1) * permille / 1000] / 1000.0 : 0;
}

/* "--name=value" of argv; NULL when it is another one. */
static const char *value_of(const char *arg, const char *name)
{
    size_t n = strlen(name);
    return strncmp(arg, name, n) == 0 && arg[n] == '=' ? arg + n + 1 : NULL;
}

static long number(const char *text, long min, long max)
{
    char *end;
    errno = 0;
    long v = strtol(text, &end, 10);
    if (errno || *end || end == text || v < min || v > max)
        die("'%s' is not a number from %ld to %ld", text, min, max);
    return v;
}

static void parse(struct load *l, int argc, char **argv)
{
    const char *v, *body = NULL;
    for (int i = 1; i < argc; i++) {
        if ((v = value_of(argv[i], "--address"))) {
            const char *colon = strrchr(v, ':');
            if (!colon)
                die("--address wants HOST:PORT");
            l->host = strndup(v, (size_t)(colon - v));
            l->port = (int)number(colon + 1, 1, 65535);
        } else if ((v = value_of(argv[i], "--path"))) {
            l->path = v;
        } else if ((v = value_of(argv[i], "--body"))) {
            body = v;
        } else if ((v = value_of(argv[i], "--connections"))) {
            l->connections = number(v, 1, CONNECTIONS_MAX);
        } else if ((v = value_of(argv[i], "--requests"))) {
            l->requests = number(v, 1, REQUESTS_MAX);
        } else if ((v = value_of(argv[i], "--seconds"))) {
            l->seconds = number(v, 1, 600);
        } else if ((v = value_of(argv[i], "--warmup"))) {
            l->warmup = number(v, 0, REQUESTS_MAX);
        } else if ((v = value_of(argv[i], "--first"))) {
            l->first = number(v, 0, 1000000000);
        } else if ((v = value_of(argv[i], "--want"))) {
            l->want = v;
        } else if ((v = value_of(argv[i], "--answer"))) {
            l->answer_file = v;
        } else if (strcmp(argv[i], "--lines") == 0) {
            l->by_line = true;
        } else {
            die("unknown argument %s", argv[i]);
        }
    }
    if (!l->host || !body)
        die("--address and --body are needed");
    l->body = read_file(body);
    if (l->by_line)
        split_lines(l);
    else
        find_marks(l);
}

int main(int argc, char **argv)
{
    static struct load load = {
        .path = "/filter", .connections = 1, .requests = 1000, .seconds = 60};
    struct load *l = &load;
    parse(l, argc, argv);
    long total = l->warmup + l->requests;
    l->latency_ns = calloc((size_t)l->requests, sizeof(*l->latency_ns));
    int ep = epoll_create1(EPOLL_CLOEXEC);
    if (!l->latency_ns || ep < 0)
        die("out of memory or descriptors");
    for (long i = 0; i < l->connections; i++) {
        connect_one(l, &l->conn[i]);
        struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &l->conn[i]};
        if (epoll_ctl(ep, EPOLL_CTL_ADD, l->conn[i].fd, &e) != 0)
            die("epoll: %s", strerror(errno));
    }
    enum { WARMUP_S = 60 }; /* a busy machine may take its time; the figures begin behind it */
    int64_t began = now_ns(), measured = l->warmup ? 0 : began,
            deadline = began + (measured ? l->seconds : WARMUP_S) * 1000000000L;
    for (long i = 0; i < l->connections && l->started < total; i++)
        if (!begin(l, &l->conn[i]))
            die("the server closed a connection");
    bool late = false;
    while (l->done < total && !(late && l->done == l->started)) {
        struct epoll_event events[64];
        int n = epoll_wait(ep, events, 64, 1000);
        int64_t now = now_ns();
        if (now > deadline) {
            if (now > deadline + 30 * 1000000000L)
                die("no answer for half a minute");
            late = true;
        }
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (!c->busy)
                continue;
            if (!push(c) || !pull(l, c))
                die("the server closed a connection, or its answer is not HTTP, after %ld answers",
                    l->done);
            if (!measured && l->done >= l->warmup) {
                measured = now_ns();
                deadline = measured + l->seconds * 1000000000L;
            }
            if (!c->busy && l->started < total && !late && !begin(l, c))
                die("the server closed a connection");
        }
    }
    double seconds = (double)(now_ns() - measured) / 1e9;
    long n = l->done - l->warmup;
    if (n <= 0)
        die("the time was over before the warm-up was");
    qsort(l->latency_ns, (size_t)n, sizeof(*l->latency_ns), compare);
    printf("{\"requests\":%ld,\"errors\":%ld,\"seconds\":%.3f,\"rps\":%.1f,\"p50_us\":%.1f,\"p90_"
           "us\":%.1f,"
           "\"p99_us\":%.1f,\"max_us\":%.1f,\"answer_bytes\":%.0f}\n",
           n, l->errors, seconds, (double)n / seconds, at_permille(l, n, 500),
           at_permille(l, n, 900), at_permille(l, n, 990), at_permille(l, n, 1000),
           (double)l->answer_bytes / (double)n);
    return l->errors ? 1 : 0;
}
