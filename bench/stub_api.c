/* A stand-in for kube-apiserver that makes up a cluster as it is asked for it: list pages and
 * watches (streaming lists too) of nodes, pods and resource quotas, chunked, in the shape and size
 * of the real thing. Nothing is stored; writes are answered and forgotten. Loopback only; ends by
 * itself.
 *
 *   stub_api [--address=127.0.0.1:0] [--nodes=5000] [--cards=8] [--split=20] [--card-mem=81920]
 *            [--pods=0 --pod-cards=1 --pod-mem=1000 --pod-cores=1] [--plain-pods=0]
 * [--pod-bytes=8192]
 *            [--node-bytes=6144] [--no-watch-list] [--churn=0] [--seconds=600] [--shape=FILE]
 *
 * Node n is node-NNNNN with cards GPU-NNNNN-0 …; pod j of --pods holds shares on node j mod nodes,
 * on the cards from (j / nodes) * pod-cards on, in turn. --churn: so many pod events a second on
 * the pod watch (shares come and go). --shape: what nodes and pods have besides, for cards of other
 * makers (then --cards=0, --pod-cards=0): lines of a word and JSON members, "annotations",
 * "labels", "resources", "pod-annotations", "pod-limits"; in them %N is the node's number in five
 * digits, %C the pod's turn on its node, from 0. Prints "listening ADDRESS"; a line of figures on
 * SIGUSR1 and at the end. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { OUT_MAX = 262144, REQUEST_MAX = 65536, CARDS_MAX = 64 };
#define FIRST_RV 1000000 /* the resourceVersion of everything that is there at the start */

struct options {
    long nodes, cards, split, card_mem, pods, pod_cards, pod_mem, pod_cores, plain_pods, pod_bytes,
        node_bytes;
    long churn, seconds, port;
    bool watch_list;
};
static struct options opt = {.nodes = 5000,
                             .cards = 8,
                             .split = 20,
                             .card_mem = 81920,
                             .pod_cards = 1,
                             .pod_mem = 1000,
                             .pod_cores = 1,
                             .pod_bytes = 8192,
                             .node_bytes = 6144,
                             .seconds = 600,
                             .watch_list = true};
static _Atomic long version = FIRST_RV, sent_events, sent_items;
enum shape { ANNOTATIONS, LABELS, RESOURCES, POD_ANNOTATIONS, POD_LIMITS, SHAPES };
static const char *const SHAPE[] = {"annotations", "labels", "resources", "pod-annotations",
                                    "pod-limits"};
static char *shape[SHAPES]; /* NULL: nothing */
static char *filler;        /* managedFields and such, as long as the longest object needs */

struct out { /* a chunked answer on its way */
    int fd;
    bool broken;
    size_t n;
    char p[OUT_MAX];
};

static void flush(struct out *o)
{
    if (o->n == 0 || o->broken)
        return;
    char head[32];
    size_t head_n = (size_t)snprintf(head, sizeof(head), "%zx\r\n", o->n);
    struct {
        const char *p;
        size_t n;
    } parts[] = {{head, head_n}, {o->p, o->n}, {"\r\n", 2}};
    for (size_t i = 0; i < 3 && !o->broken; i++) {
        while (parts[i].n && !o->broken) {
            ssize_t got =
                send(o->fd, parts[i].p, parts[i].n, MSG_NOSIGNAL | (i < 2 ? MSG_MORE : 0));
            if (got < 0 && errno != EINTR)
                o->broken = true;
            if (got > 0) {
                parts[i].p += got;
                parts[i].n -= (size_t)got;
            }
        }
    }
    o->n = 0;
}

static void add(struct out *o, const char *p, size_t n)
{
    while (n && !o->broken) {
        size_t room = OUT_MAX - o->n, take = n < room ? n : room;
        memcpy(o->p + o->n, p, take);
        o->n += take;
        p += take;
        n -= take;
        if (o->n == OUT_MAX)
            flush(o);
    }
}

__attribute__((format(printf, 2, 3))) static void put(struct out *o, const char *fmt, ...)
{
    char text[16384];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof(text))
        o->broken = true;
    else
        add(o, text, (size_t)n);
}

/* The members of `which` behind others, or as the first. */
static void put_shape(struct out *o, enum shape which, bool first, long node, long turn)
{
    if (!shape[which])
        return;
    if (!first)
        add(o, ",", 1);
    for (const char *p = shape[which]; *p;) {
        const size_t n = strcspn(p, "%");
        add(o, p, n);
        p += n;
        if (p[0] == '%' && p[1] == 'N')
            put(o, "%05ld", node);
        else if (p[0] == '%' && p[1] == 'C')
            put(o, "%ld", turn);
        p += *p ? 2 : 0;
    }
}

/* managedFields of about `bytes`, the kind of noise that real objects carry. */
static void put_fields(struct out *o, long bytes)
{
    if (bytes <= 0)
        return;
    put(o, ",\"managedFields\":[{\"manager\":\"kubelet\",\"operation\":\"Update\",\"apiVersion\":"
           "\"v1\","
           "\"time\":\"2026-11-20T16:02:40Z\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:"
           "status\":{");
    long whole = bytes / 64 * 64;
    add(o, filler, (size_t)(whole < 64 ? 64 : whole));
    put(o, "\"f:last\":{}}},\"subresource\":\"status\"}]");
}

static void put_node(struct out *o, long n)
{
    put(o,
        "{\"kind\":\"Node\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"node-%05ld\","
        "\"uid\":\"00000000-0000-4000-9000-%012ld\",\"resourceVersion\":\"%d\","
        "\"creationTimestamp\":\"2026-11-02T08:11:20Z\",\"labels\":{\"gpu\":\"on\",\"kubernetes.io/"
        "hostname\":"
        "\"node-%05ld\",\"kubernetes.io/os\":\"linux\"",
        n, n, FIRST_RV, n);
    put_shape(o, LABELS, false, n, 0);
    put(o, "},\"annotations\":{");
    if (opt.cards > 0)
        put(o, "\"hami.io/node-handshake\":\"Reported 2026-11-21 09:40:12\","
               "\"hami.io/node-nvidia-register\":\"[");
    for (long c = 0; c < opt.cards; c++)
        put(o,
            "%s{\\\"id\\\":\\\"GPU-%05ld-%ld\\\",\\\"index\\\":%ld,\\\"count\\\":%ld,"
            "\\\"devmem\\\":%ld,"
            "\\\"devcore\\\":100,\\\"type\\\":\\\"NVIDIA "
            "A100-SXM4-80GB\\\",\\\"numa\\\":%ld,\\\"mode\\\":"
            "\\\"hami-core\\\",\\\"health\\\":true}",
            c ? "," : "", n, c, c, opt.split, opt.card_mem, c / 4);
    if (opt.cards > 0)
        put(o, "]\"");
    put_shape(o, ANNOTATIONS, opt.cards == 0, n, 0);
    put(o, "}");
    put_fields(o, opt.node_bytes);
    put(o, "},\"spec\":{\"podCIDR\":\"10.0.0.0/24\"},\"status\":{");
    for (int i = 0; i < 2; i++) {
        put(o,
            "\"%s\":{\"cpu\":\"128\",\"memory\":\"1056427532Ki\",\"pods\":\"250\",\"nvidia.com/"
            "gpu\":\"%ld\"",
            i ? "allocatable" : "capacity", opt.cards * opt.split);
        put_shape(o, RESOURCES, false, n, 0);
        put(o, "},");
    }
    put(o, "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}");
}

/* Pod j: with shares below opt.pods, plain from there on; `gone`: as it looks when it has ended. */
static void put_pod(struct out *o, long j, long resource_version, bool gone)
{
    bool holds = j < opt.pods || j >= opt.pods + opt.plain_pods; /* behind those: churn */
    long node = j % opt.nodes, turn = j / opt.nodes, first = turn * opt.pod_cards;
    long bytes = opt.pod_bytes - (holds ? 1450 : 1100);
    put(o,
        "{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"pod-%07ld\","
        "\"namespace\":\"ns-%02ld\","
        "\"uid\":\"00000000-0000-4000-8000-%012ld\",\"resourceVersion\":\"%ld\","
        "\"creationTimestamp\":\"2026-11-20T16:02:31Z\",\"labels\":{\"app\":\"load\",\"pod-"
        "template-hash\":\"5d8f9c\"}",
        j, j % 20, j, resource_version);
    if (holds) {
        put(o,
            ",\"annotations\":{\"hami.io/bind-phase\":\"success\",\"hami.io/"
            "bind-time\":\"1790000000\","
            "\"hami.io/vgpu-node\":\"node-%05ld\",\"hami.io/vgpu-time\":\"1790000000\"",
            node);
        if (opt.pod_cards > 0)
            put(o, ",\"hami.io/vgpu-devices-to-allocate\":\";;\",\"hami.io/"
                   "vgpu-devices-allocated\":\"");
        for (long c = 0; c < opt.pod_cards; c++)
            put(o, "GPU-%05ld-%ld,NVIDIA,%ld,%ld:", node, (first + c) % opt.cards, opt.pod_mem,
                opt.pod_cores);
        if (opt.pod_cards > 0)
            put(o, ";\"");
        put_shape(o, POD_ANNOTATIONS, false, node, turn);
        put(o, "}");
    }
    put_fields(o, bytes);
    put(o, "},\"spec\":{\"volumes\":[{\"name\":\"token\",\"projected\":{\"sources\":[{"
           "\"serviceAccountToken\":"
           "{\"expirationSeconds\":3607,\"path\":\"token\"}},{\"configMap\":{\"name\":\"kube-root-"
           "ca.crt\"}}]}}],"
           "\"containers\":[{\"name\":\"main\",\"image\":\"registry.example/"
           "train:1\",\"resources\":{\"limits\":{"
           "\"cpu\":\"2\",\"memory\":\"4Gi\"");
    if (holds && opt.pod_cards > 0)
        put(o,
            ",\"nvidia.com/gpu\":\"%ld\",\"nvidia.com/gpumem\":\"%ld\",\"nvidia.com/"
            "gpucores\":\"%ld\"",
            opt.pod_cards, opt.pod_mem, opt.pod_cores);
    if (holds)
        put_shape(o, POD_LIMITS, false, node, turn);
    put(o,
        "},\"requests\":{\"cpu\":\"1\",\"memory\":\"2Gi\"}},\"volumeMounts\":[{\"name\":\"token\","
        "\"readOnly\":true,"
        "\"mountPath\":\"/var/run/"
        "secrets\"}],\"imagePullPolicy\":\"IfNotPresent\"}],\"restartPolicy\":\"Always\","
        "\"nodeName\":\"node-%05ld\",\"schedulerName\":\"hami-scheduler\",\"priority\":0},"
        "\"status\":{\"phase\":\"%s\","
        "\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"},{\"type\":\"PodScheduled\","
        "\"status\":\"True\"}],"
        "\"podIP\":\"10.0.0.1\",\"startTime\":\"2026-11-20T16:02:33Z\",\"containerStatuses\":[{"
        "\"name\":\"main\","
        "\"state\":{\"running\":{\"startedAt\":\"2026-11-20T16:02:40Z\"}},\"ready\":true,"
        "\"restartCount\":0,"
        "\"image\":\"registry.example/train:1\",\"imageID\":\"\",\"containerID\":\"containerd://"
        "0\",\"started\":true}]}}",
        node, gone ? "Succeeded" : "Running");
}

enum kind { NODES, PODS, OTHER };

static long count_of(enum kind k)
{
    return k == NODES ? opt.nodes : k == PODS ? opt.pods + opt.plain_pods : 0;
}

static void put_item(struct out *o, enum kind k, long i)
{
    if (k == NODES)
        put_node(o, i);
    else
        put_pod(o, i, FIRST_RV, false);
    atomic_fetch_add(&sent_items, 1);
}

static void send_all(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t got = send(fd, p, n, MSG_NOSIGNAL);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return;
        }
        p += got;
        n -= (size_t)got;
    }
}

static void begin_chunked(int fd)
{
    static const char head[] =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    send_all(fd, head, sizeof(head) - 1);
}

static bool end_chunked(struct out *o)
{
    flush(o);
    if (!o->broken)
        send_all(o->fd, "0\r\n\r\n", 5);
    return !o->broken;
}

static void answer(int fd, int status, const char *body)
{
    char text[1024];
    int n =
        snprintf(text, sizeof(text),
                 "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                 status, strlen(body), body);
    if (n > 0 && (size_t)n < sizeof(text))
        send_all(fd, text, (size_t)n);
}

/* The value of a query parameter as written, "" when it is absent. */
static void query(const char *q, const char *name, char ret[64])
{
    size_t name_n = strlen(name);
    ret[0] = '\0';
    for (const char *p = q; p && *p; p = strchr(p, '&') ? strchr(p, '&') + 1 : NULL) {
        if (strncmp(p, name, name_n) != 0 || p[name_n] != '=')
            continue;
        size_t n = strcspn(p + name_n + 1, "& ");
        if (n > 63)
            n = 63;
        memcpy(ret, p + name_n + 1, n);
        ret[n] = '\0';
        return;
    }
}

static const char *const KINDS[] = {"NodeList", "PodList", "ResourceQuotaList"};
static const char *const ONE[] = {"Node", "Pod", "ResourceQuota"};

static bool list(struct out *o, enum kind k, const char *q)
{
    char text[64];
    query(q, "limit", text);
    long limit = atol(text), total = count_of(k);
    query(q, "continue", text);
    long first = atol(text), last = limit > 0 && first + limit < total ? first + limit : total;
    begin_chunked(o->fd);
    put(o, "{\"kind\":\"%s\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"%d\"",
        KINDS[k], FIRST_RV);
    if (last < total)
        put(o, ",\"continue\":\"%ld\",\"remainingItemCount\":%ld", last, total - last);
    put(o, "},\"items\":[");
    for (long i = first; i < last && !o->broken; i++) {
        if (i > first)
            add(o, ",", 1);
        put_item(o, k, i);
    }
    put(o, "]}\n");
    return end_chunked(o);
}

static void bookmark(struct out *o, enum kind k, bool initial)
{
    put(o,
        "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"%s\",\"apiVersion\":\"v1\",\"metadata\":{"
        "\"resourceVersion\":\"%ld\"%s}}}\n",
        ONE[k], atomic_load(&version),
        initial ? ",\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}" : "");
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Shares come and go: pods behind the others are added, end, and are deleted, some hundreds at a
 * time. */
static void churn(struct out *o, int64_t until)
{
    enum { ALIVE = 256 };
    long base = opt.pods + opt.plain_pods, i = 0;
    int64_t began = now_ns();
    while (!o->broken && now_ns() < until) {
        long due = (long)((double)(now_ns() - began) / 1e9 * (double)opt.churn);
        for (; i < due && !o->broken; i++) {
            long rv = atomic_fetch_add(&version, 1) + 1, j = base + i / 3 % (ALIVE * 16);
            static const char *const types[] = {"ADDED", "MODIFIED", "DELETED"};
            put(o, "{\"type\":\"%s\",\"object\":", types[i % 3]);
            put_pod(o, j, rv, i % 3 != 0);
            add(o, "}\n", 2);
            atomic_fetch_add(&sent_events, 1);
        }
        flush(o);
        usleep(5000);
    }
}

static bool watch(struct out *o, enum kind k, const char *q)
{
    char text[64];
    query(q, "sendInitialEvents", text);
    bool initial = strcmp(text, "true") == 0;
    if (initial && !opt.watch_list) {
        answer(o->fd, 422,
               "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"message\":"
               "\"ListOptions.meta.k8s.io \\\"\\\" is invalid: "
               "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the "
               "WatchList feature gate is enabled\","
               "\"reason\":\"Invalid\",\"code\":422}");
        return true;
    }
    query(q, "timeoutSeconds", text);
    long timeout = atol(text);
    int64_t until =
        now_ns() + (timeout > 0 && timeout < opt.seconds ? timeout : opt.seconds) * 1000000000;
    begin_chunked(o->fd);
    if (initial) {
        for (long i = 0; i < count_of(k) && !o->broken; i++) {
            put(o, "{\"type\":\"ADDED\",\"object\":");
            put_item(o, k, i);
            add(o, "}\n", 2);
        }
        bookmark(o, k, true);
        flush(o);
    }
    if (k == PODS && opt.churn > 0)
        churn(o, until);
    for (int64_t next = now_ns(); !o->broken && now_ns() < until; usleep(100000)) {
        char byte;
        ssize_t got = recv(o->fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
        if (got == 0)
            return false;
        if (now_ns() >= next) {
            bookmark(o, k, false);
            flush(o);
            next = now_ns() + 20000000000;
        }
    }
    return end_chunked(o);
}

/* Answers one request; false: the connection ends. */
static bool serve(struct out *o, char *method, char *target)
{
    char *q = strchr(target, '?');
    if (q)
        *q++ = '\0';
    enum kind k = OTHER;
    if (strcmp(target, "/api/v1/nodes") == 0)
        k = NODES;
    else if (strcmp(target, "/api/v1/pods") == 0)
        k = PODS;
    else if (strcmp(target, "/api/v1/resourcequotas") != 0 || strcmp(method, "GET") != 0) {
        if (strcmp(method, "GET") != 0)
            answer(o->fd, 201,
                   "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Success\"}");
        else if (strcmp(target, "/version") == 0)
            answer(o->fd, 200, "{\"major\":\"1\",\"minor\":\"36\",\"gitVersion\":\"v1.36.3\"}");
        else
            answer(o->fd, 404,
                   "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\",\"reason\":"
                   "\"NotFound\",\"code\":404}");
        return true;
    }
    char text[64];
    query(q ? q : "", "watch", text);
    bool watching = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    return watching ? watch(o, k, q ? q : "") : list(o, k, q ? q : "");
}

static void *connection(void *ctx)
{
    int fd = (int)(intptr_t)ctx, one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct out *o = calloc(1, sizeof(*o));
    char *in = malloc(REQUEST_MAX + 1);
    size_t n = 0;
    while (o && in) {
        in[n] = '\0';
        char *end = strstr(in, "\r\n\r\n");
        if (!end) {
            ssize_t got = n < REQUEST_MAX ? recv(fd, in + n, REQUEST_MAX - n, 0) : 0;
            if (got <= 0)
                break;
            n += (size_t)got;
            continue;
        }
        /* head, then a body of known length that nobody reads */
        const char *length = strcasestr(in, "\r\ncontent-length:");
        size_t head = (size_t)(end - in) + 4,
               body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
        while (n < head + body && head + body <= REQUEST_MAX) {
            ssize_t got = recv(fd, in + n, REQUEST_MAX - n, 0);
            if (got <= 0)
                break;
            n += (size_t)got;
        }
        if (n < head + body)
            break;
        char method[16], target[2048];
        if (sscanf(in, "%15s %2047s", method, target) != 2)
            break;
        o->fd = fd;
        o->broken = false;
        o->n = 0;
        if (!serve(o, method, target))
            break;
        memmove(in, in + head + body, n - head - body);
        n -= head + body;
    }
    close(fd);
    free(in);
    free(o);
    return NULL;
}

static void *accepting(void *ctx)
{
    int listener = (int)(intptr_t)ctx;
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        pthread_t t;
        if (pthread_create(&t, NULL, connection, (void *)(intptr_t)fd) != 0)
            close(fd);
        else
            pthread_detach(t);
    }
    return NULL;
}

static void make_filler(void)
{
    size_t n = (size_t)(opt.pod_bytes > opt.node_bytes ? opt.pod_bytes : opt.node_bytes) + 256;
    filler = malloc(n);
    if (!filler)
        exit(2);
    for (size_t at = 0; at + 65 < n; at += 64) {
        char text[80];
        snprintf(text, sizeof(text),
                 "\"f:member%06zu\":{\".\":{},\"k:{\\\"uid\\\":\\\"%06zu\\\"}\":{\"f:a\":{}}},   ",
                 at, at);
        memcpy(filler + at, text, 64);
    }
}

static bool option(const char *arg, const char *name, long min, long max, long *ret)
{
    size_t n = strlen(name);
    if (strncmp(arg, name, n) != 0 || arg[n] != '=')
        return false;
    char *end;
    errno = 0;
    *ret = strtol(arg + n + 1, &end, 10);
    if (errno || *end || *ret < min || *ret > max) {
        fprintf(stderr, "stub_api: %s wants a number from %ld to %ld\n", name, min, max);
        exit(2);
    }
    return true;
}

static void read_shape(const char *path)
{
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    while (f && (n = getline(&line, &cap, f)) > 0) {
        line[strcspn(line, "\n")] = '\0';
        const size_t word = strcspn(line, " ");
        unsigned which = 0;
        while (which < SHAPES &&
               (strlen(SHAPE[which]) != word || strncmp(line, SHAPE[which], word) != 0))
            which++;
        if (which == SHAPES || !line[word])
            break;
        free(shape[which]);
        shape[which] = strdup(line + word + 1);
    }
    if (!f || !feof(f)) {
        fprintf(stderr, "stub_api: %s is no shape\n", path);
        exit(2);
    }
    free(line);
    fclose(f);
}

static void parse(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *a = argv[i];
        if (option(a, "--nodes", 1, 99999, &opt.nodes) ||
            option(a, "--cards", 0, CARDS_MAX, &opt.cards) ||
            option(a, "--split", 1, 100, &opt.split) ||
            option(a, "--card-mem", 1, 1000000, &opt.card_mem) ||
            option(a, "--pods", 0, 1000000, &opt.pods) ||
            option(a, "--pod-cards", 0, CARDS_MAX, &opt.pod_cards) ||
            option(a, "--pod-mem", 1, 1000000, &opt.pod_mem) ||
            option(a, "--pod-cores", 0, 100, &opt.pod_cores) ||
            option(a, "--plain-pods", 0, 1000000, &opt.plain_pods) ||
            option(a, "--pod-bytes", 0, 1000000, &opt.pod_bytes) ||
            option(a, "--node-bytes", 0, 1000000, &opt.node_bytes) ||
            option(a, "--churn", 0, 100000, &opt.churn) ||
            option(a, "--seconds", 1, 3600, &opt.seconds) ||
            option(a, "--port", 0, 65535, &opt.port))
            continue;
        if (strcmp(a, "--no-watch-list") == 0) {
            opt.watch_list = false;
            continue;
        }
        if (strncmp(a, "--shape=", 8) == 0) {
            read_shape(a + 8);
            continue;
        }
        fprintf(stderr, "stub_api: unknown argument %s\n", a);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    make_filler();
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)opt.port),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t a_n = sizeof(a);
    pthread_t t;
    if (bind(listener, (struct sockaddr *)&a, sizeof(a)) != 0 || listen(listener, 128) != 0 ||
        getsockname(listener, (struct sockaddr *)&a, &a_n) != 0 ||
        pthread_create(&t, NULL, accepting, (void *)(intptr_t)listener) != 0) {
        fprintf(stderr, "stub_api: can't listen: %s\n", strerror(errno));
        return 2;
    }
    printf("listening 127.0.0.1:%d\n", ntohs(a.sin_port));
    fflush(stdout);
    int64_t until = now_ns() + opt.seconds * 1000000000;
    for (;;) {
        struct timespec wait = {1, 0};
        int sig = sigtimedwait(&set, NULL, &wait);
        if (sig == SIGUSR1 || sig == SIGTERM || sig == SIGINT || now_ns() > until) {
            printf("items %ld events %ld\n", atomic_load(&sent_items), atomic_load(&sent_events));
            fflush(stdout);
        }
        if (sig == SIGTERM || sig == SIGINT || now_ns() > until)
            return 0; /* connections end with the process */
    }
}
