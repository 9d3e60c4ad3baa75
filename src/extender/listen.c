/* Where a listener comes from: an address becomes a socket, certificate files become texts that
 * were seen to fit together. */
#include "extender/priv.h"

#include <assert.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 512, FILE_MAX = 1024 * 1024 /* of a certificate file */ };

enum err_code ext_listen(const char *address, int *ret_fd, char ret_text[EXT_ADDRESS_MAX],
                         struct err *err)
{
    char host[EXT_ADDRESS_MAX];
    const char *colon = strrchr(address, ':');
    size_t n = colon ? (size_t)(colon - address) : 0;
    if (!colon || n >= sizeof(host))
        return err_set(err, ERR_BAD_REQUEST, "address %s: not HOST:PORT", address);
    memcpy(host, address, n);
    host[n] = '\0';
    char *name = host;
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = '\0';
        name++;
    }
    int64_t port;
    if (!str_int(str_z(colon + 1), 0, 65535, &port))
        return err_set(err, ERR_BAD_REQUEST, "address %s: no port between 0 and 65535", address);
    char service[8];
    (void)snprintf(service, sizeof(service), "%d", (int)port);
    struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                             .ai_family = *name ? AF_UNSPEC : AF_INET6,
                             .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(*name ? name : NULL, service, &hints, &found);
    if (rc != 0)
        return err_set(err, ERR_BAD_REQUEST, "address %s: %s", address, gai_strerror(rc));
    int fd = -1, saved = 0;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct addrinfo v4 = {
        .ai_family = AF_INET, .ai_addr = (struct sockaddr *)&any, .ai_addrlen = sizeof(any)};
    struct addrinfo *tries[2] = {found, *name ? NULL : &v4}; /* a machine without IPv6 */
    for (size_t i = 0; i < 2 && tries[i] && fd < 0; i++) {
        fd = socket(tries[i]->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        int one = 1, zero = 0;
        if (fd >= 0) {
            (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* inherited */
            if (tries[i]->ai_family == AF_INET6)
                (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, *name ? &one : &zero, sizeof(one));
        }
        if (fd >= 0 &&
            (bind(fd, tries[i]->ai_addr, tries[i]->ai_addrlen) != 0 || listen(fd, BACKLOG) != 0)) {
            saved = errno;
            close(fd);
            fd = -1;
            errno = saved;
        }
        saved = errno;
    }
    freeaddrinfo(found);
    if (fd < 0)
        return err_set(err, ERR_UNAVAILABLE, "listen on %s: %s", address, strerrordesc_np(saved));

    struct sockaddr_storage bound;
    socklen_t bound_n = sizeof(bound);
    char ip[64] = "", num[8] = "";
    if (getsockname(fd, (struct sockaddr *)&bound, &bound_n) == 0)
        (void)getnameinfo((struct sockaddr *)&bound, bound_n, ip, sizeof(ip), num, sizeof(num),
                          NI_NUMERICHOST | NI_NUMERICSERV);
    (void)snprintf(ret_text, EXT_ADDRESS_MAX, strchr(ip, ':') ? "[%s]:%s" : "%s:%s", ip, num);
    *ret_fd = fd;
    return ERR_OK;
}

static enum err_code read_file(const char *path, char **ret, struct err *err)
{
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set(err, ERR_BAD_REQUEST, "%s: %s", path, strerrordesc_np(errno));
    char *text = malloc(FILE_MAX);
    size_t n = text ? fread(text, 1, FILE_MAX, f) : 0;
    bool bad = ferror(f) != 0;
    (void)fclose(f);
    if (!text)
        return err_set(err, ERR_NO_MEMORY, "%s: no memory", path);
    if (bad || n == FILE_MAX) {
        free(text);
        return err_set(err, ERR_BAD_REQUEST, "%s: %s", path, bad ? "can't be read" : "too large");
    }
    text[n] = '\0';
    *ret = text;
    return ERR_OK;
}

static enum err_code bad_file(const char *path, int rc, struct err *err)
{
    return err_set(err, rc == GNUTLS_E_MEMORY_ERROR ? ERR_NO_MEMORY : ERR_BAD_REQUEST, "%s: %s",
                   path, gnutls_strerror(rc));
}

/* Whether the key is the first certificate's; the library's own test leaves memory behind when it
 * is not (3.7), and does not say which file is wrong. */
static enum err_code check_pair(const struct ext_config *cfg, const gnutls_datum_t *cert,
                                const gnutls_datum_t *key, struct err *err)
{
    gnutls_x509_crt_t *chain = NULL;
    unsigned n = 0;
    gnutls_x509_privkey_t private = NULL;
    unsigned char ids[2][64];
    size_t sizes[2] = {sizeof(ids[0]), sizeof(ids[1])};
    enum err_code code = ERR_OK;
    int rc = gnutls_x509_crt_list_import2(&chain, &n, cert, GNUTLS_X509_FMT_PEM, 0);
    if (rc >= 0)
        rc = gnutls_x509_crt_get_key_id(chain[0], 0, ids[0], &sizes[0]);
    if (rc < 0)
        code = bad_file(cfg->cert_file, rc, err);
    if (!code) {
        rc = gnutls_x509_privkey_init(&private);
        if (rc >= 0)
            rc = gnutls_x509_privkey_import2(private, key, GNUTLS_X509_FMT_PEM, NULL, 0);
        if (rc >= 0)
            rc = gnutls_x509_privkey_get_key_id(private, 0, ids[1], &sizes[1]);
        if (rc < 0)
            code = bad_file(cfg->key_file, rc, err);
    }
    if (!code && (sizes[0] != sizes[1] || memcmp(ids[0], ids[1], sizes[0]) != 0))
        code =
            err_set(err, ERR_BAD_REQUEST, "%s is not the key of %s", cfg->key_file, cfg->cert_file);
    for (unsigned i = 0; i < n; i++)
        gnutls_x509_crt_deinit(chain[i]);
    gnutls_free(chain);
    if (private)
        gnutls_x509_privkey_deinit(private);
    return code;
}

static enum err_code make_credentials(const struct ext_config *cfg, struct ext_tls *t,
                                      struct err *err)
{
    assert(t->cert && t->key);
    gnutls_datum_t cert = {(unsigned char *)t->cert, (unsigned)strlen(t->cert)};
    gnutls_datum_t key = {(unsigned char *)t->key, (unsigned)strlen(t->key)};
    enum err_code code = check_pair(cfg, &cert, &key, err);
    if (code)
        return code;
    if (gnutls_certificate_allocate_credentials(&t->credentials) != GNUTLS_E_SUCCESS)
        return err_set(err, ERR_NO_MEMORY, "TLS credentials: no memory");
    int rc = gnutls_certificate_set_x509_key_mem(t->credentials, &cert, &key, GNUTLS_X509_FMT_PEM);
    if (rc < 0)
        return err_set(err, ERR_BAD_REQUEST, "%s with %s: %s", cfg->cert_file, cfg->key_file,
                       gnutls_strerror(rc));
    if (!t->ca)
        return ERR_OK;
    gnutls_datum_t ca = {(unsigned char *)t->ca, (unsigned)strlen(t->ca)};
    rc = gnutls_certificate_set_x509_trust_mem(t->credentials, &ca, GNUTLS_X509_FMT_PEM);
    if (rc <= 0)
        return err_set(err, ERR_BAD_REQUEST, "%s: %s", cfg->client_ca_file,
                       rc < 0 ? gnutls_strerror(rc) : "no certificate in it");
    return ERR_OK;
}

enum err_code ext_tls_read(const struct ext_config *cfg, struct ext_tls *ret, struct err *err)
{
    struct ext_tls t = {0};
    enum err_code rc = read_file(cfg->cert_file, &t.cert, err);
    if (!rc)
        rc = read_file(cfg->key_file, &t.key, err);
    if (!rc && cfg->client_ca_file)
        rc = read_file(cfg->client_ca_file, &t.ca, err);
    if (!rc)
        rc = make_credentials(cfg, &t, err);
    if (rc)
        ext_tls_done(&t);
    else
        *ret = t;
    return rc;
}

void ext_tls_done(struct ext_tls *t)
{
    free(t->cert);
    free(t->key);
    free(t->ca);
    if (t->credentials)
        gnutls_certificate_free_credentials(t->credentials);
    *t = (struct ext_tls){0};
}
