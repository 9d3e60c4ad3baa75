/* One thread accepts; each connection has a thread of its own that takes the script's next step for
 * each request. All waits are bounded: a test that goes wrong ends. */
#include "fake_api.h"

#include <arpa/inet.h>
#include <assert.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CONNS_MAX = 64, HEAD_MAX = 65536, IDLE_MS = 10000, POLL_MS = 20 };

struct conn {
    struct fake_api *f;
    int fd;
    gnutls_session_t tls;
    pthread_t thread;
};

struct fake_api {
    const struct fake_step *steps;
    size_t steps_n;
    enum fake_tls tls;
    gnutls_certificate_credentials_t cred;
    int fd, port;
    pthread_t thread;
    _Atomic bool stop;
    pthread_mutex_t lock; /* guards the rest */
    size_t next, conns_n;
    struct conn conns[CONNS_MAX];
    char fault[1024], client[64];
};

/* ---- certificates ---- */

struct pair {
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
    char pem[4096], key_pem[4096];
};

static struct pair ca, other_ca, server, named, client;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void must(int rc)
{
    if (rc < 0) {
        fprintf(stderr, "fake_api: %s\n", gnutls_strerror(rc));
        abort();
    }
}

static void make_pair(struct pair *p, const char *name, const struct pair *by, const char *dns,
                      const char *ip)
{
    static unsigned char serial = 1;
    size_t n = sizeof(p->pem);
    must(gnutls_x509_privkey_init(&p->key));
    must(gnutls_x509_privkey_generate(p->key, GNUTLS_PK_ECDSA,
                                      GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
    must(gnutls_x509_crt_init(&p->crt));
    must(gnutls_x509_crt_set_version(p->crt, 3));
    serial++;
    must(gnutls_x509_crt_set_serial(p->crt, &serial, 1));
    must(gnutls_x509_crt_set_activation_time(p->crt, time(NULL) - 3600));
    must(gnutls_x509_crt_set_expiration_time(p->crt, time(NULL) + 86400));
    must(gnutls_x509_crt_set_dn_by_oid(p->crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                       (unsigned)strlen(name)));
    must(gnutls_x509_crt_set_key(p->crt, p->key));
    if (dns)
        must(gnutls_x509_crt_set_subject_alt_name(p->crt, GNUTLS_SAN_DNSNAME, dns,
                                                  (unsigned)strlen(dns), GNUTLS_FSAN_SET));
    if (ip) {
        struct in_addr a;
        (void)inet_pton(AF_INET, ip, &a);
        must(gnutls_x509_crt_set_subject_alt_name(p->crt, GNUTLS_SAN_IPADDRESS, &a, sizeof(a),
                                                  GNUTLS_FSAN_APPEND));
    }
    must(gnutls_x509_crt_set_basic_constraints(p->crt, by == NULL, -1));
    must(gnutls_x509_crt_set_key_usage(p->crt, by ? GNUTLS_KEY_DIGITAL_SIGNATURE
                                                  : GNUTLS_KEY_KEY_CERT_SIGN));
    must(gnutls_x509_crt_sign2(p->crt, by ? by->crt : p->crt, by ? by->key : p->key,
                               GNUTLS_DIG_SHA256, 0));
    must(gnutls_x509_crt_export(p->crt, GNUTLS_X509_FMT_PEM, p->pem, &n));
    p->pem[n] = '\0';
    n = sizeof(p->key_pem);
    must(gnutls_x509_privkey_export(p->key, GNUTLS_X509_FMT_PEM, p->key_pem, &n));
    p->key_pem[n] = '\0';
}

static void pair_done(struct pair *p)
{
    gnutls_x509_crt_deinit(p->crt);
    gnutls_x509_privkey_deinit(p->key);
}

static void make_certificates(void)
{
    make_pair(&ca, "fake-ca", NULL, NULL, NULL);
    make_pair(&other_ca, "other-ca", NULL, NULL, NULL);
    make_pair(&server, "fake-api", &ca, "localhost", "127.0.0.1");
    make_pair(&named, "kube.test", &ca, "kube.test", NULL);
    make_pair(&client, "cardinal", &ca, NULL, NULL);
    struct pair *all[] = {&ca, &other_ca, &server, &named, &client};
    for (size_t i = 0; i < 5; i++)
        pair_done(all[i]);
}

const char *fake_ca_pem(void)
{
    pthread_once(&once, make_certificates);
    return ca.pem;
}
const char *fake_other_ca_pem(void)
{
    pthread_once(&once, make_certificates);
    return other_ca.pem;
}
const char *fake_client_pem(void)
{
    pthread_once(&once, make_certificates);
    return client.pem;
}
const char *fake_client_key_pem(void)
{
    pthread_once(&once, make_certificates);
    return client.key_pem;
}

/* ---- bytes ---- */

static bool readable(struct conn *c, int ms)
{
    for (int t = 0; t < ms && !atomic_load(&c->f->stop); t += POLL_MS) {
        struct pollfd p = {c->fd, POLLIN, 0};
        if (poll(&p, 1, POLL_MS) > 0)
            return true;
    }
    return false;
}

static ssize_t get(struct conn *c, char *p, size_t n)
{
    if (!(c->tls && gnutls_record_check_pending(c->tls)) && !readable(c, IDLE_MS))
        return -1;
    return c->tls ? gnutls_record_recv(c->tls, p, n) : recv(c->fd, p, n, 0);
}

static bool put(struct conn *c, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = c->tls ? gnutls_record_send(c->tls, p, n) : send(c->fd, p, n, MSG_NOSIGNAL);
        if (k <= 0)
            return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static void wait_ms(struct conn *c, int ms)
{
    for (int t = 0; t < ms && !atomic_load(&c->f->stop); t += 10)
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
}

/* ---- one request ---- */

struct request {
    char head[HEAD_MAX];
    char *body;
};

static bool read_request(struct conn *c, struct request *r)
{
    size_t n = 0;
    char *end = NULL;
    while (!end) {
        ssize_t k = n < sizeof(r->head) - 1 ? get(c, r->head + n, sizeof(r->head) - 1 - n) : -1;
        if (k <= 0)
            return false;
        n += (size_t)k;
        r->head[n] = '\0';
        end = strstr(r->head, "\r\n\r\n");
    }
    const char *len = strcasestr(r->head, "\r\ncontent-length:");
    size_t body_n = len ? (size_t)strtoul(len + 17, NULL, 10) : 0;
    size_t have = n - (size_t)(end + 4 - r->head);
    r->body = calloc(1, body_n + 1);
    memcpy(r->body, end + 4, have < body_n ? have : body_n);
    end[4] = '\0';
    while (have < body_n) {
        ssize_t k = get(c, r->body + have, body_n - have);
        if (k <= 0)
            break;
        have += (size_t)k;
    }
    return true;
}

static void tell(struct fake_api *f, const char *what, const char *a, const char *b)
{
    if (!f->fault[0])
        (void)snprintf(f->fault, sizeof(f->fault), "%s: want \"%.300s\", got \"%.500s\"", what, a,
                       b);
}

static const struct fake_step *next_step(struct fake_api *f, const struct request *r)
{
    const struct fake_step *s = NULL;
    pthread_mutex_lock(&f->lock);
    if (f->next < f->steps_n)
        s = &f->steps[f->next];
    else
        tell(f, "a request too many", "", r ? r->head : "");
    f->next++;
    if (s && r && s->want && !strstr(r->head, s->want))
        tell(f, "the request", s->want, r->head);
    if (s && r && s->want_body && !strstr(r->body, s->want_body))
        tell(f, "its body", s->want_body, r->body);
    pthread_mutex_unlock(&f->lock);
    return s;
}

/* The next step, if it closes before it reads. */
static const struct fake_step *early_step(struct fake_api *f)
{
    pthread_mutex_lock(&f->lock);
    const struct fake_step *s =
        f->next < f->steps_n && f->steps[f->next].from_start ? &f->steps[f->next] : NULL;
    if (s)
        f->next++;
    pthread_mutex_unlock(&f->lock);
    return s;
}

static void set_reset(struct conn *c)
{
    struct linger l = {1, 0};
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &l, sizeof(l));
}

/* What of `n` bytes may still go out; false: that was all. */
static bool put_some(struct conn *c, const struct fake_step *s, const char *p, size_t n,
                     size_t *sent)
{
    if (s->cut > 0 && *sent + n >= (size_t)s->cut) {
        (void)put(c, p, (size_t)s->cut - *sent);
        return false;
    }
    *sent += n;
    return put(c, p, n);
}

/* False: the connection is done. */
static bool answer(struct conn *c, const struct fake_step *s)
{
    char head[4096];
    size_t body_n = s->body ? strlen(s->body) : 0, sent = 0;
    int n = snprintf(head, sizeof(head), "HTTP/1.1 %d X\r\nContent-Type: application/json\r\n%s",
                     s->status, s->headers ? s->headers : "");
    if (s->chunked)
        n += snprintf(head + n, sizeof(head) - (size_t)n, "Transfer-Encoding: chunked\r\n\r\n");
    else
        n += snprintf(head + n, sizeof(head) - (size_t)n, "Content-Length: %zu\r\n\r\n", body_n);
    if (!put_some(c, s, head, (size_t)n, &sent))
        return false;
    if (!s->chunked)
        return put_some(c, s, s->body ? s->body : "", body_n, &sent) && !s->close;
    size_t piece = s->piece ? s->piece : body_n;
    for (size_t at = 0; at < body_n; at += piece) {
        size_t len = body_n - at < piece ? body_n - at : piece;
        n = snprintf(head, sizeof(head), "%zx\r\n", len);
        if (!put_some(c, s, head, (size_t)n, &sent) || !put_some(c, s, s->body + at, len, &sent) ||
            !put_some(c, s, "\r\n", 2, &sent))
            return false;
    }
    if (s->hold_ms)
        wait_ms(c, s->hold_ms);
    return put_some(c, s, "0\r\n\r\n", 5, &sent) && !s->close;
}

static bool serve_one(struct conn *c)
{
    struct request *r = calloc(1, sizeof(*r));
    bool more = false;
    if (read_request(c, r)) {
        const struct fake_step *s = next_step(c->f, r);
        if (s && s->reset) {
            set_reset(c);
        } else if (s && s->status) {
            wait_ms(c, s->delay_ms);
            more = answer(c, s);
        } else if (s && !s->close) {
            wait_ms(c, IDLE_MS); /* says nothing */
        }
    }
    free(r->body);
    free(r);
    return more;
}

static bool shake_hands(struct conn *c)
{
    struct fake_api *f = c->f;
    if (f->tls == FAKE_PLAIN)
        return true;
    if (f->tls == FAKE_TLS_SLOW)
        nanosleep(&(struct timespec){.tv_sec = 2}, NULL);
    must(gnutls_init(&c->tls, GNUTLS_SERVER));
    must(gnutls_set_default_priority(c->tls));
    must(gnutls_credentials_set(c->tls, GNUTLS_CRD_CERTIFICATE, f->cred));
    gnutls_certificate_server_set_request(c->tls, GNUTLS_CERT_REQUEST);
    gnutls_transport_set_int(c->tls, c->fd);
    gnutls_handshake_set_timeout(c->tls, 5000);
    int rc;
    do
        rc = gnutls_handshake(c->tls);
    while (rc < 0 && !gnutls_error_is_fatal(rc));
    if (rc < 0)
        return false;
    unsigned n = 0, status = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(c->tls, &n);
    gnutls_x509_crt_t crt;
    if (!chain || n == 0 || gnutls_certificate_verify_peers2(c->tls, &status) < 0 || status)
        return true;
    must(gnutls_x509_crt_init(&crt));
    must(gnutls_x509_crt_import(crt, &chain[0], GNUTLS_X509_FMT_DER));
    size_t len = sizeof(f->client);
    pthread_mutex_lock(&f->lock);
    if (gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, f->client, &len) < 0)
        f->client[0] = '\0';
    pthread_mutex_unlock(&f->lock);
    gnutls_x509_crt_deinit(crt);
    return true;
}

static void *run_conn(void *ctx)
{
    struct conn *c = ctx;
    const struct fake_step *early = early_step(c->f);
    if (early && early->reset)
        set_reset(c);
    if (!early && shake_hands(c))
        while (!atomic_load(&c->f->stop) && serve_one(c))
            ;
    if (c->tls)
        gnutls_deinit(c->tls);
    close(c->fd);
    return NULL;
}

static void *run(void *ctx)
{
    struct fake_api *f = ctx;
    while (!atomic_load(&f->stop)) {
        struct pollfd p = {f->fd, POLLIN, 0};
        if (poll(&p, 1, POLL_MS) <= 0)
            continue;
        int fd = accept(f->fd, NULL, NULL);
        if (fd < 0)
            continue;
        pthread_mutex_lock(&f->lock);
        struct conn *c = f->conns_n < CONNS_MAX ? &f->conns[f->conns_n] : NULL;
        if (c) {
            *c = (struct conn){.f = f, .fd = fd};
            f->conns_n++;
            pthread_create(&c->thread, NULL, run_conn, c);
        } else {
            close(fd);
        }
        pthread_mutex_unlock(&f->lock);
    }
    return NULL;
}

/* ---- */

static void set_certificate(struct fake_api *f)
{
    const struct pair *p = f->tls == FAKE_TLS_NAMED ? &named : &server;
    gnutls_datum_t crt = {(unsigned char *)p->pem, (unsigned)strlen(p->pem)};
    gnutls_datum_t key = {(unsigned char *)p->key_pem, (unsigned)strlen(p->key_pem)};
    gnutls_datum_t trust = {(unsigned char *)ca.pem, (unsigned)strlen(ca.pem)};
    must(gnutls_certificate_allocate_credentials(&f->cred));
    must(gnutls_certificate_set_x509_key_mem(f->cred, &crt, &key, GNUTLS_X509_FMT_PEM));
    must(gnutls_certificate_set_x509_trust_mem(f->cred, &trust, GNUTLS_X509_FMT_PEM));
}

struct fake_api *fake_api_start(const struct fake_step *steps, size_t n, enum fake_tls tls)
{
    pthread_once(&once, make_certificates);
    struct fake_api *f = calloc(1, sizeof(*f));
    f->steps = steps;
    f->steps_n = n;
    f->tls = tls;
    (void)pthread_mutex_init(&f->lock, NULL);
    if (tls)
        set_certificate(f);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(f->fd, (struct sockaddr *)&a, sizeof(a)) || listen(f->fd, 64) ||
        getsockname(f->fd, (struct sockaddr *)&a, &len)) {
        perror("fake_api");
        abort();
    }
    f->port = ntohs(a.sin_port);
    pthread_create(&f->thread, NULL, run, f);
    return f;
}

int fake_api_port(const struct fake_api *f) { return f->port; }

size_t fake_api_requests(struct fake_api *f)
{
    pthread_mutex_lock(&f->lock);
    size_t n = f->next;
    pthread_mutex_unlock(&f->lock);
    return n;
}

size_t fake_api_connections(struct fake_api *f)
{
    pthread_mutex_lock(&f->lock);
    size_t n = f->conns_n;
    pthread_mutex_unlock(&f->lock);
    return n;
}

const char *fake_api_client(struct fake_api *f)
{
    static char name[64];
    pthread_mutex_lock(&f->lock);
    (void)snprintf(name, sizeof(name), "%s", f->client);
    pthread_mutex_unlock(&f->lock);
    return name;
}

const char *fake_api_stop(struct fake_api *f)
{
    static char fault[1024];
    atomic_store(&f->stop, true);
    pthread_join(f->thread, NULL);
    for (size_t i = 0; i < f->conns_n; i++)
        pthread_join(f->conns[i].thread, NULL);
    if (!f->fault[0] && f->next < f->steps_n)
        (void)snprintf(f->fault, sizeof(f->fault), "only %zu requests of %zu came", f->next,
                       f->steps_n);
    (void)snprintf(fault, sizeof(fault), "%s", f->fault);
    if (f->cred)
        gnutls_certificate_free_credentials(f->cred);
    close(f->fd);
    (void)pthread_mutex_destroy(&f->lock);
    free(f);
    return fault[0] ? fault : NULL;
}
