/* See extender_client.h. */
#include "extender_client.h"

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

bool client_try(struct client *c, const char *address)
{
    const char *colon = strrchr(address, ':');
    ck_assert_ptr_nonnull(colon);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->n = 0;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(c->fd, 0);
    struct timeval limit = {.tv_sec = 10};
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    int on =
        1; /* head and body are written apart: the second would wait for an answer to the first */
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(c->fd, (struct sockaddr *)&to, sizeof(to)) == 0)
        return true;
    client_close(c);
    return false;
}

void client_open(struct client *c, const char *address)
{
    ck_assert_msg(client_try(c, address), "connect %s: %s", address, strerror(errno));
}

void client_close(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

bool client_send(struct client *c, const void *p, size_t n)
{
    const char *at = p;
    while (n > 0) {
        ssize_t sent = send(c->fd, at, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        at += sent;
        n -= (size_t)sent;
    }
    return true;
}

void client_text(struct client *c, const char *text)
{
    ck_assert(client_send(c, text, strlen(text)));
}

static bool fill(struct client *c)
{
    if (c->n == sizeof(c->buf))
        return false;
    ssize_t got = recv(c->fd, c->buf + c->n, sizeof(c->buf) - c->n, 0);
    if (got <= 0)
        return false;
    c->n += (size_t)got;
    return true;
}

static void use(struct client *c, size_t n)
{
    memmove(c->buf, c->buf + n, c->n - n);
    c->n -= n;
}

bool reply_header(const struct reply *r, const char *name, char *ret, size_t max)
{
    char want[128];
    (void)snprintf(want, sizeof(want), "\r\n%s: ", name);
    const char *at = strcasestr(r->head, want);
    if (!at)
        return false;
    at += strlen(want);
    size_t n = strcspn(at, "\r");
    ck_assert_uint_lt(n, max);
    memcpy(ret, at, n);
    ret[n] = '\0';
    return true;
}

/* Moves n bytes of the body over; false: the connection ended. */
static bool take(struct client *c, struct reply *r, size_t n)
{
    r->body = realloc(r->body, r->n + n + 1);
    while (n > 0) {
        if (c->n == 0 && !fill(c))
            return false;
        size_t part = n < c->n ? n : c->n;
        memcpy(r->body + r->n, c->buf, part);
        r->n += part;
        n -= part;
        use(c, part);
    }
    r->body[r->n] = '\0';
    return true;
}

static bool take_chunks(struct client *c, struct reply *r)
{
    for (;;) {
        char *end;
        while (!(end = memmem(c->buf, c->n, "\r\n", 2)))
            if (!fill(c))
                return false;
        unsigned long n = strtoul(c->buf, NULL, 16);
        use(c, (size_t)(end - c->buf) + 2);
        struct reply crlf = {0};
        bool ok = take(c, r, n) && take(c, &crlf, 2) && memcmp(crlf.body, "\r\n", 2) == 0;
        free(crlf.body);
        if (!ok || n == 0)
            return ok;
    }
}

void client_read(struct client *c, bool no_body, struct reply *ret)
{
    *ret = (struct reply){0};
    char *end;
again:
    while (!(end = memmem(c->buf, c->n, "\r\n\r\n", 4)))
        if (!fill(c))
            return;
    size_t head = (size_t)(end - c->buf) + 4;
    ck_assert_uint_lt(head, sizeof(ret->head));
    memcpy(ret->head, c->buf, head);
    ret->head[head] = '\0';
    use(c, head);
    ck_assert_int_eq(sscanf(ret->head, "HTTP/1.1 %d", &ret->status), 1);
    if (ret->status == 100)
        goto again;
    char text[64];
    bool ok = true;
    if (no_body)
        ok = true;
    else if (reply_header(ret, "Content-Length", text, sizeof(text)))
        ok = take(c, ret, strtoul(text, NULL, 10));
    else if (reply_header(ret, "Transfer-Encoding", text, sizeof(text)))
        ok = take_chunks(c, ret);
    if (!ok)
        ret->status = 0;
}

bool client_closed(struct client *c, int ms)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    int64_t end = t.tv_sec * 1000 + t.tv_nsec / 1000000 + ms;
    for (;;) {
        clock_gettime(CLOCK_MONOTONIC, &t);
        int64_t left = end - (t.tv_sec * 1000 + t.tv_nsec / 1000000);
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)left) <= 0)
            return false;
        char drop[4096];
        if (recv(c->fd, drop, sizeof(drop), 0) <= 0)
            return true;
    }
}

void reply_done(struct reply *r)
{
    free(r->body);
    r->body = NULL;
}

void client_call(struct client *c, const char *method, const char *target, const char *body,
                 struct reply *ret)
{
    char head[4096];
    int n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: test\r\n", method, target);
    if (body)
        n += snprintf(head + n, sizeof(head) - (size_t)n,
                      "Content-Type: application/json\r\nContent-Length: %zu\r\n", strlen(body));
    n += snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
    bool sent = client_send(c, head, (size_t)n) && (!body || client_send(c, body, strlen(body)));
    (void)sent; /* an answer may be there all the same */
    client_read(c, strcmp(method, "HEAD") == 0, ret);
}

void client_call_once(const char *address, const char *method, const char *target, const char *body,
                      struct reply *ret)
{
    struct client *c = malloc(sizeof(*c));
    ck_assert_ptr_nonnull(c);
    client_open(c, address);
    client_call(c, method, target, body, ret);
    client_close(c);
    free(c);
}
