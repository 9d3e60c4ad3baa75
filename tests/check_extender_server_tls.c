/* The server over TLS: certificates made on the spot, clients with a certificate of the right
 * authority, of another one, for another purpose, and with none. */
#include "extender/priv.h"
#include "program.h"

#include <arpa/inet.h>
#include <check.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <ifaddrs.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- certificates ---- */
struct identity {
    gnutls_x509_crt_t crt;
    gnutls_x509_privkey_t key;
};
static struct identity authority, stranger, server_id, good_client, strange_client,
    server_as_client;

static void must(int rc, const char *what)
{
    ck_assert_msg(rc >= 0, "%s: %s", what, gnutls_strerror(rc));
}

static int64_t valid_s = 3600; /* of what is made next, from now on */

static void make(struct identity *id, const char *name, const struct identity *signer,
                 const char *purpose)
{
    static unsigned char serial = 1;
    must(gnutls_x509_privkey_init(&id->key), "key");
    must(gnutls_x509_privkey_generate(id->key, GNUTLS_PK_ECDSA,
                                      GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
         "generate");
    must(gnutls_x509_crt_init(&id->crt), "crt");
    must(gnutls_x509_crt_set_version(id->crt, 3), "version");
    serial++;
    must(gnutls_x509_crt_set_serial(id->crt, &serial, 1), "serial");
    must(gnutls_x509_crt_set_activation_time(id->crt, time(NULL) - 3600), "from");
    must(gnutls_x509_crt_set_expiration_time(id->crt, time(NULL) + valid_s), "to");
    must(gnutls_x509_crt_set_dn_by_oid(id->crt, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                       (unsigned)strlen(name)),
         "name");
    must(gnutls_x509_crt_set_key(id->crt, id->key), "set key");
    if (purpose) {
        must(gnutls_x509_crt_set_key_purpose_oid(id->crt, purpose, 0), "purpose");
        must(gnutls_x509_crt_set_subject_alt_name(id->crt, GNUTLS_SAN_DNSNAME, name,
                                                  (unsigned)strlen(name), GNUTLS_FSAN_SET),
             "other name");
    } else {
        must(gnutls_x509_crt_set_basic_constraints(id->crt, 1, -1), "ca");
        must(gnutls_x509_crt_set_key_usage(id->crt, GNUTLS_KEY_KEY_CERT_SIGN), "usage");
    }
    const struct identity *by = signer ? signer : id;
    must(gnutls_x509_crt_sign2(id->crt, by->crt, by->key, GNUTLS_DIG_SHA256, 0), "sign");
}

static void drop(struct identity *id)
{
    gnutls_x509_crt_deinit(id->crt);
    gnutls_x509_privkey_deinit(id->key);
}

static char dir[64], paths[4][128]; /* cert, key, ca, text */
static char *strangers;             /* its certificate's file */

static void write_file(size_t i, const char *name, const void *p, size_t n)
{
    char path[sizeof(paths[i])];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (strcmp(path, paths[i]) != 0) /* a thread of the server's may be reading it */
        (void)snprintf(paths[i], sizeof(paths[i]), "%s", path);
    FILE *f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(p, 1, n, f), n);
    ck_assert_int_eq(fclose(f), 0);
}

static void write_crt(size_t i, const char *name, gnutls_x509_crt_t crt)
{
    gnutls_datum_t pem;
    must(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem), "export");
    write_file(i, name, pem.data, pem.size);
    gnutls_free(pem.data);
}

static void write_key(size_t i, const char *name, gnutls_x509_privkey_t key)
{
    gnutls_datum_t pem;
    must(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem), "export");
    write_file(i, name, pem.data, pem.size);
    gnutls_free(pem.data);
}

/* ---- the server ---- */
static struct ext_app app;
static struct ext_server *server;

static void on_echo(struct ext_request *r, struct ext_answer *a)
{
    a->status = 200;
    buf_add(&a->body, r->body);
}

static const struct ext_route ROUTES[] = {
    {.method = "POST",
     .path = "/open",
     .surfaces = EXT_ON_EXTENDER,
     .verb = EXT_VERB_WEBHOOK,
     .handle = on_echo},
    {.method = "POST",
     .path = "/trusted",
     .surfaces = EXT_ON_EXTENDER,
     .trusted = true,
     .verb = EXT_VERB_FILTER,
     .handle = on_echo},
    {.path = NULL},
};

static bool nobody(const struct sockaddr *peer)
{
    (void)peer;
    return false;
}

static void setup(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/cardinald-tls-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    make(&authority, "authority", NULL, NULL);
    make(&stranger, "stranger", NULL, NULL);
    make(&server_id, "localhost", &authority, GNUTLS_KP_TLS_WWW_SERVER);
    make(&good_client, "kube-scheduler", &authority, GNUTLS_KP_TLS_WWW_CLIENT);
    make(&strange_client, "kube-scheduler", &stranger, GNUTLS_KP_TLS_WWW_CLIENT);
    make(&server_as_client, "other server", &authority, GNUTLS_KP_TLS_WWW_SERVER);
    write_crt(0, "tls.crt", server_id.crt);
    write_key(1, "tls.key", server_id.key);
    write_crt(2, "ca.crt", authority.crt);
    write_crt(3, "stranger.crt", stranger.crt);
    strangers = strdup(paths[3]);
    write_file(3, "text", "no PEM\n", 7);
    app = (struct ext_app){.clock = &CLOCK_SYSTEM};
    ext_config_init(&app.config);
    app.config.cert_file = paths[0];
    app.config.key_file = paths[1];
    app.metrics = ext_metrics_new();
    server = NULL;
}

static void teardown(void)
{
    ext_server_stop(server);
    ext_certs_free(app.certs);
    ext_metrics_free(app.metrics);
    ext_config_done(&app.config);
    struct identity *all[] = {&authority,   &stranger,       &server_id,
                              &good_client, &strange_client, &server_as_client};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        drop(all[i]);
    for (size_t i = 0; i < 4; i++)
        unlink(paths[i]);
    unlink(strangers);
    free(strangers);
    rmdir(dir);
}

static int look_ms = 3600000; /* far off: what is seen was told */
static const char *versions;  /* that a client speaks; NULL: GnuTLS' own choice */
static unsigned char shown;   /* serial number of the certificate that the server showed last */

static enum err_code try_start(struct err *err)
{
    enum err_code rc =
        ext_certs_new(&app.config, app.clock, /* thread= */ true, look_ms, &app.certs, err);
    if (rc)
        return rc;
    const struct ext_server_config cfg = {.address = "127.0.0.1:0",
                                          .surfaces = EXT_ON_EXTENDER,
                                          .tls = true,
                                          .threads = 2,
                                          .routes = ROUTES,
                                          .peer_trusted = nobody};
    return ext_server_start(&app, &cfg, &server, err);
}

static void start(void)
{
    struct err err;
    ck_assert_msg(try_start(&err) == ERR_OK, "%s", err.text);
}

/* One request over a connection of its own; 0: no answer. Checks that the server shows its
 * certificate. */
static int call_at(struct in_addr host, int port, const char *request,
                   const struct identity *client)
{
    gnutls_certificate_credentials_t cred;
    gnutls_session_t session;
    must(gnutls_certificate_allocate_credentials(&cred), "credentials");
    must(gnutls_certificate_set_x509_trust(cred, &authority.crt, 1), "trust");
    if (client)
        must(gnutls_certificate_set_x509_key(cred, (gnutls_x509_crt_t[]){client->crt}, 1,
                                             client->key),
             "client key");
    must(gnutls_init(&session, GNUTLS_CLIENT | GNUTLS_FORCE_CLIENT_CERT), "session");
    must(versions ? gnutls_priority_set_direct(session, versions, NULL)
                  : gnutls_set_default_priority(session),
         "priority");
    must(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, cred), "set");
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = host};
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    gnutls_transport_set_int(session, fd);
    gnutls_handshake_set_timeout(session, 5000);
    int rc, status = 0;
    while ((rc = gnutls_handshake(session)) < 0 && !gnutls_error_is_fatal(rc))
        ;
    if (rc == 0) {
        unsigned why = 1;
        must(gnutls_certificate_verify_peers2(session, &why), "verify");
        ck_assert_uint_eq(why, 0);
        unsigned n_certs = 0;
        const gnutls_datum_t *peer = gnutls_certificate_get_peers(session, &n_certs);
        ck_assert_uint_ge(n_certs, 1);
        gnutls_x509_crt_t crt;
        size_t one = 1;
        must(gnutls_x509_crt_init(&crt), "crt");
        must(gnutls_x509_crt_import(crt, peer, GNUTLS_X509_FMT_DER), "import");
        must(gnutls_x509_crt_get_serial(crt, &shown, &one), "serial");
        gnutls_x509_crt_deinit(crt);
        char text[1024];
        (void)gnutls_record_send(session, request, strlen(request));
        ssize_t got;
        while ((got = gnutls_record_recv(session, text, sizeof(text) - 1)) == GNUTLS_E_AGAIN ||
               got == GNUTLS_E_INTERRUPTED)
            ;
        if (got > 0) {
            text[got] = '\0';
            (void)sscanf(text, "HTTP/1.1 %d", &status);
        }
    }
    close(fd);
    gnutls_deinit(session);
    gnutls_certificate_free_credentials(cred);
    return status;
}

static int call(const char *target, const struct identity *client)
{
    const struct in_addr here = {.s_addr = htonl(INADDR_LOOPBACK)};
    char request[256];
    (void)snprintf(request, sizeof(request),
                   "POST %s HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}", target);
    return call_at(here, atoi(strrchr(ext_server_address(server), ':') + 1), request, client);
}

START_TEST(without_client_authority)
{
    start();
    ck_assert_int_eq(call("/open", NULL), 200);
    ck_assert_int_eq(call("/trusted", NULL), 403);
    ck_assert_int_eq(call("/trusted", &good_client), 403);
}
END_TEST

START_TEST(with_client_authority)
{
    app.config.client_ca_file = paths[2];
    start();
    ck_assert_int_eq(call("/open", NULL), 200); /* kube-apiserver has no certificate for webhooks */
    ck_assert_int_eq(call("/trusted", NULL), 403);
    ck_assert_int_eq(call("/trusted", &good_client), 200);
    ck_assert_int_ne(call("/trusted", &strange_client), 200);
    ck_assert_int_ne(call("/trusted", &server_as_client), 200);
}
END_TEST

START_TEST(versions_of_tls)
{
    static const struct {
        const char *versions;
        int want;
    } rows[] = {{"NORMAL:-VERS-ALL:+VERS-TLS1.3", 200},
                {"NORMAL:-VERS-ALL:+VERS-TLS1.2", 200},
                {"NORMAL:-VERS-ALL:+VERS-TLS1.1", 0},
                {"NORMAL:-VERS-ALL:+VERS-TLS1.0", 0}};
    start();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        versions = rows[i].versions;
        ck_assert_msg(call("/open", NULL) == rows[i].want, "%s", versions);
    }
    versions = NULL;
}
END_TEST

START_TEST(plain_text_on_the_tls_port)
{
    start();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(strrchr(ext_server_address(server), ':') + 1))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    ck_assert_int_gt(send(fd, "GET / HTTP/1.1\r\n\r\n", 18, MSG_NOSIGNAL), 0);
    char text[256];
    while (recv(fd, text, sizeof(text), 0) > 0)
        ;
    close(fd);
    ck_assert_int_eq(call("/open", NULL), 200);
}
END_TEST

START_TEST(a_silent_handshake_is_cut)
{
    app.config.header_timeout_ms = 200;
    start();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atoi(strrchr(ext_server_address(server), ':') + 1))};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct timeval limit = {.tv_sec = 3};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    char byte;
    ck_assert_int_eq(recv(fd, &byte, 1, 0), 0);
    close(fd);
}
END_TEST

static void sleep_ms(int ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000L};
    nanosleep(&t, NULL);
}

static unsigned char serial_of(const struct identity *id)
{
    unsigned char serial;
    size_t one = 1;
    must(gnutls_x509_crt_get_serial(id->crt, &serial, &one), "serial");
    return serial;
}

/* Within `limit_ms` the server shows this certificate, and answers all the while. */
static bool shows(const struct identity *id, int limit_ms)
{
    for (int ms = 0; ms < limit_ms; ms += 20) {
        ck_assert_int_eq(call("/open", NULL), 200);
        if (shown == serial_of(id))
            return true;
        sleep_ms(20);
    }
    return false;
}

/* The server goes on showing it, although something happened to the files. */
static void keeps(const struct identity *id)
{
    sleep_ms(200);
    ck_assert_int_eq(call("/open", NULL), 200);
    ck_assert_uint_eq(shown, serial_of(id));
}

/* Far below the hour after which the files are looked at unasked. */
enum { TOLD_MS = 5000 };

START_TEST(certificates_are_read_again)
{
    app.config.client_ca_file = paths[2];
    start();
    ck_assert(shows(&server_id, TOLD_MS));
    /* half-written: the old one stays */
    write_file(0, "tls.crt", "-----BEGIN CERTIFICATE-----\nMIIB", 32);
    keeps(&server_id);
    /* a certificate without its key: still the old one */
    struct identity fresh;
    make(&fresh, "localhost", &authority, GNUTLS_KP_TLS_WWW_SERVER);
    write_crt(0, "tls.crt", fresh.crt);
    keeps(&server_id);
    /* both */
    write_key(1, "tls.key", fresh.key);
    ck_assert(shows(&fresh, TOLD_MS));
    /* and another authority for clients */
    ck_assert_int_eq(call("/trusted", &good_client), 200);
    write_crt(2, "ca.crt", stranger.crt);
    int status = 200;
    for (int i = 0; i < 100 && status == 200; i++) {
        sleep_ms(20);
        status = call("/trusted", &good_client);
    }
    ck_assert_int_ne(status, 200);
    ck_assert_int_eq(call("/trusted", &strange_client), 200);
    drop(&fresh);
}
END_TEST

/* Without a word from the kernel: the look of every ten seconds finds it. */
START_TEST(certificates_are_looked_at)
{
    struct err err;
    ck_assert_int_eq(ext_certs_new(&app.config, app.clock, false, 0, &app.certs, &err), ERR_OK);
    struct ext_tls *first = ext_certs_ref(app.certs), *second;
    struct identity fresh;
    make(&fresh, "localhost", &authority, GNUTLS_KP_TLS_WWW_SERVER);
    write_crt(0, "tls.crt", fresh.crt);
    write_key(1, "tls.key", fresh.key);
    ext_certs_look(app.certs);
    second = ext_certs_ref(app.certs);
    ck_assert_ptr_ne(first, second);
    ext_certs_look(app.certs); /* the same files are no news */
    ck_assert_ptr_eq(ext_certs_ref(app.certs), second);
    sleep_ms(1100);
    ext_certs_look(app.certs); /* what is referred to stays, however old */
    ck_assert_ptr_nonnull(strstr(ext_tls_pem(first).cert, "BEGIN CERTIFICATE"));
    ext_certs_unref(app.certs, first);
    ext_certs_unref(app.certs, second);
    ext_certs_unref(app.certs, second);
    sleep_ms(1100);
    ext_certs_look(app.certs); /* sweeps the first: AddressSanitizer sees what is left */
    drop(&fresh);
}
END_TEST

/* As the kubelet mounts a Secret: files are links to ..data/NAME, and ..data is a link that is
 * swapped whole. */
static void mount(const char *version, const struct identity *id, bool with_key)
{
    char name[64], to[160], temporary[160];
    (void)snprintf(to, sizeof(to), "%s/%s", dir, version);
    ck_assert_int_eq(mkdir(to, 0700), 0);
    (void)snprintf(name, sizeof(name), "%s/tls.crt", version);
    write_crt(0, name, id->crt);
    (void)snprintf(name, sizeof(name), "%s/tls.key", version);
    if (with_key)
        write_key(1, name, id->key);
    (void)snprintf(temporary, sizeof(temporary), "%s/..data_tmp", dir);
    (void)snprintf(to, sizeof(to), "%s/..data", dir);
    ck_assert_int_eq(symlink(version, temporary), 0);
    ck_assert_int_eq(rename(temporary, to), 0);
}

static void run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void run(const char *fmt, ...)
{
    char command[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(command, sizeof(command), fmt, args);
    va_end(args);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(a_mounted_secret_is_swapped)
{
    struct identity second, third;
    make(&second, "localhost", &authority, GNUTLS_KP_TLS_WWW_SERVER);
    make(&third, "localhost", &authority, GNUTLS_KP_TLS_WWW_SERVER);
    run("rm %s/tls.crt %s/tls.key && ln -s ..data/tls.crt ..data/tls.key %s", dir, dir, dir);
    mount("..1", &server_id, true);
    char crt[128], key[128];
    (void)snprintf(crt, sizeof(crt), "%s/tls.crt", dir);
    (void)snprintf(key, sizeof(key), "%s/tls.key", dir);
    app.config.cert_file = crt;
    app.config.key_file = key;
    start();
    ck_assert(shows(&server_id, TOLD_MS));
    mount("..2", &second, true);
    ck_assert(shows(&second, TOLD_MS));
    run("rm -r %s/..1", dir);
    keeps(&second);
    mount("..3", &third, false); /* swapped half way: no key */
    keeps(&second);
    write_key(1, "..3/tls.key", third.key);
    run("touch %s/..news", dir); /* the folder behind the link is not watched, the link's is */
    ck_assert(shows(&third, TOLD_MS));
    run("rm -r %s/..?* %s/tls.*", dir, dir);
    drop(&second);
    drop(&third);
}
END_TEST

START_TEST(the_folder_goes_and_comes_back)
{
    struct identity second, third;
    make(&second, "localhost", &authority, GNUTLS_KP_TLS_WWW_SERVER);
    make(&third, "localhost", &authority, GNUTLS_KP_TLS_WWW_SERVER);
    start();
    run("mv %s %s.away", dir, dir);
    keeps(&server_id);
    run("mkdir %s", dir);
    write_crt(0, "tls.crt", second.crt);
    write_key(1, "tls.key", second.key);
    ck_assert(shows(&second, TOLD_MS));
    run("rm -r %s && mv %s.away %s", dir, dir, dir); /* the old ones again */
    ck_assert(shows(&server_id, TOLD_MS));
    write_crt(0, "tls.crt", third.crt);
    write_key(1, "tls.key", third.key);
    ck_assert(shows(&third, TOLD_MS));
    drop(&second);
    drop(&third);
}
END_TEST

/* ---- the end of a certificate ---- */
static int64_t skew_s; /* of this test's clock */
static int64_t later_mono(void *ctx)
{
    (void)ctx;
    return clock_mono_ns(&CLOCK_SYSTEM) + skew_s * 1000000000;
}
static int64_t later_wall(void *ctx)
{
    (void)ctx;
    return clock_wall_ns(&CLOCK_SYSTEM) + skew_s * 1000000000;
}
static const struct clock LATER = {later_mono, later_wall, NULL};

/* What one look says in the log. */
static const char *look(void)
{
    static char text[2048];
    int ends[2], saved = dup(STDERR_FILENO);
    ck_assert(saved >= 0 && pipe(ends) == 0 && dup2(ends[1], STDERR_FILENO) >= 0);
    close(ends[1]);
    ext_certs_look(app.certs);
    ck_assert_int_ge(dup2(saved, STDERR_FILENO), 0);
    close(saved);
    ssize_t n = read(ends[0], text, sizeof(text) - 1);
    ck_assert_int_ge(n, 0);
    text[n] = '\0';
    close(ends[0]);
    return text;
}

static bool metric_says(const char *line)
{
    struct buf out;
    buf_init(&out, 1 << 16);
    ext_certs_metrics(app.certs, &app.config, &out);
    buf_char(&out, '\0');
    ck_assert(!out.failed);
    bool found = strstr(out.p, line) != NULL;
    buf_done(&out);
    return found;
}

START_TEST(the_end_is_told)
{
    struct identity quarter, over;
    struct err err;
    char line[128];
    valid_s = 90 * 86400;
    make(&quarter, "localhost", &authority, GNUTLS_KP_TLS_WWW_SERVER);
    valid_s = 3600;
    skew_s = 0;
    app.clock = &LATER;
    app.config.listen_webhook = "127.0.0.1:0";
    write_crt(0, "tls.crt", quarter.crt);
    write_key(1, "tls.key", quarter.key);
    ck_assert_int_eq(ext_certs_new(&app.config, app.clock, false, 0, &app.certs, &err), ERR_OK);
    (void)snprintf(line, sizeof(line),
                   "cardinald_certificate_expiry_seconds{listener=\"webhook\"} %lld\n",
                   (long long)gnutls_x509_crt_get_expiration_time(quarter.crt));
    ck_assert(metric_says(line));
    ck_assert(!metric_says("listener=\"extender\"")); /* it is plain */
    ck_assert(metric_says("cardinald_certificate_last_reload_successful 1\n"));
    ck_assert_str_eq(look(), "");
    skew_s = 75 * 86400;
    ck_assert_str_eq(look(), "");
    skew_s = 76 * 86400 + 60;
    ck_assert_ptr_nonnull(strstr(look(), "certificate-expires"));
    skew_s += 86300;
    ck_assert_str_eq(look(), ""); /* told today already */
    skew_s += 200;
    ck_assert_ptr_nonnull(strstr(look(), "days=12"));
    skew_s = 91 * 86400;
    ck_assert_ptr_nonnull(strstr(look(), "certificate-expired"));
    /* one that is over takes the place of one that is over as well */
    valid_s = -60;
    make(&over, "localhost", &authority, GNUTLS_KP_TLS_WWW_SERVER);
    valid_s = 3600;
    write_crt(0, "tls.crt", over.crt);
    write_key(1, "tls.key", over.key);
    ck_assert_ptr_nonnull(strstr(look(), "certificate-reloaded"));
    /* but not of one that is not */
    skew_s = 0;
    write_crt(0, "tls.crt", quarter.crt);
    write_key(1, "tls.key", quarter.key);
    ck_assert_ptr_nonnull(strstr(look(), "certificate-reloaded"));
    ck_assert_str_eq(look(), "");
    write_crt(0, "tls.crt", over.crt);
    write_key(1, "tls.key", over.key);
    ck_assert_ptr_nonnull(strstr(look(), "tls.crt: its time is over"));
    ck_assert_str_eq(look(), ""); /* told once */
    ck_assert(metric_says(line));
    ck_assert(metric_says("cardinald_certificate_last_reload_successful 0\n"));
    /* one that lives for two hours is not near its end after the first */
    write_crt(0, "tls.crt", server_id.crt);
    write_key(1, "tls.key", server_id.key);
    ck_assert_ptr_null(strstr(look(), "certificate-expires"));
    skew_s = 1900; /* in the last quarter it is */
    ck_assert_ptr_nonnull(strstr(look(), "certificate-expires"));
    drop(&quarter);
    drop(&over);
}
END_TEST

/* ---- the program, called from elsewhere ---- */
/* An address of this machine that is not loopback's. Where there is none, one is made, in a network
 * of this process' own. */
static struct in_addr elsewhere(void)
{
    struct ifaddrs *all;
    struct in_addr found = {0};
    ck_assert_int_eq(getifaddrs(&all), 0);
    for (struct ifaddrs *at = all; at && !found.s_addr; at = at->ifa_next) {
        const struct sockaddr_in *in = (const void *)at->ifa_addr;
        if (in && in->sin_family == AF_INET && ntohl(in->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
            found = in->sin_addr;
    }
    freeifaddrs(all);
    if (found.s_addr)
        return found;
    ck_assert(unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0);
    run("ip link set lo up && ip address add 192.0.2.1/32 dev lo");
    found.s_addr = htonl(0xc0000201);
    return found;
}

static const char FILTER[] = "POST /filter HTTP/1.1\r\nHost: t\r\nContent-Length: 56\r\n\r\n"
                             "{\"Pod\":{\"metadata\":{\"name\":\"p\"}},\"NodeNames\":[\"node-1\"]}";
static const char NODES[] = "GET /v1/nodes HTTP/1.1\r\nHost: t\r\n\r\n";
static const char ALIVE[] = "GET /livez HTTP/1.1\r\nHost: t\r\n\r\n";
static const char REVIEW[] = "POST /webhook HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\n{}";

START_TEST(the_verbs_for_another_host)
{
    static struct program child;
    char line[3][160];
    struct in_addr there = elsewhere(), here = {.s_addr = htonl(INADDR_LOOPBACK)};
    (void)snprintf(line[0], sizeof(line[0]), "--cert_file=%s", paths[0]);
    (void)snprintf(line[1], sizeof(line[1]), "--key_file=%s", paths[1]);
    (void)snprintf(line[2], sizeof(line[2]), "--client-ca-file=%s", paths[2]);
    program_folder();
    program_write("cluster.yaml", "apiVersion: v1\nkind: Node\nmetadata: {name: node-1, uid: u}\n");
    program_start(&child,
                  (const char *[]){program_flag("--cluster", "cluster.yaml"), line[0], line[1],
                                   line[2], "--listen-extender=0.0.0.0:0", "--extender-tls",
                                   "--listen-webhook=127.0.0.1:0",
                                   "--metrics-bind-address=127.0.0.1:0", NULL},
                  NULL);
    int extender = atoi(strrchr(program_listens(&child, "extender"), ':') + 1);
    int webhook = atoi(strrchr(program_listens(&child, "webhook"), ':') + 1);
    char metrics[64];
    (void)snprintf(metrics, sizeof(metrics), "%s", program_listens(&child, "metrics"));
    program_ready(&child, metrics);
    const struct {
        const char *name, *request;
        struct in_addr host;
        int port;
        const struct identity *client;
        int want; /* 0: no answer, or 403 */
    } rows[] = {
        {"filter with the right certificate", FILTER, there, extender, &good_client, 200},
        {"filter with none", FILTER, there, extender, NULL, 403},
        {"filter with another authority's", FILTER, there, extender, &strange_client, 0},
        {"filter with a server's", FILTER, there, extender, &server_as_client, 0},
        {"filter from this host", FILTER, here, extender, NULL, 200},
        {"nodes with the right certificate", NODES, there, extender, &good_client, 200},
        {"nodes with none", NODES, there, extender, NULL, 403},
        {"a probe with none", ALIVE, there, extender, NULL, 200},
        {"the webhook has a listener of its own", REVIEW, there, extender, &good_client, 404},
        {"kube-apiserver shows no certificate", REVIEW, here, webhook, NULL, 200},
        {"and there are no verbs there", FILTER, here, webhook, &good_client, 404},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int got = call_at(rows[i].host, rows[i].port, rows[i].request, rows[i].client);
        bool ok = rows[i].want ? got == rows[i].want : got == 0 || got == 403;
        ck_assert_msg(ok, "%s: %d", rows[i].name, got);
    }
    static const char *const TRUST[] = {"ca.crt", "stranger.crt", NULL};
    for (size_t i = 0; i < 3; i++) { /* the program as a client: by that authority, and no other */
        static struct program look;
        char url[96], ca[160];
        (void)snprintf(url, sizeof(url), "--probe=https://localhost:%d/readyz", webhook);
        (void)snprintf(ca, sizeof(ca), "--probe-ca-file=%s/%s", dir, TRUST[i] ? TRUST[i] : "");
        program_start(&look,
                      (const char *[]){url, "--probe-timeout=500ms", TRUST[i] ? ca : NULL, NULL},
                      NULL);
        int status = program_status(&look);
        ck_assert_msg(status == (i != 0), "%s: %d, %s", ca, status, look.text);
    }
    char expiry[96];
    static const char *const LISTENERS[] = {"extender", "webhook"};
    for (size_t i = 0; i < 2; i++) {
        (void)snprintf(expiry, sizeof(expiry),
                       "cardinald_certificate_expiry_seconds{listener=\"%s\"} %lld\n", LISTENERS[i],
                       (long long)gnutls_x509_crt_get_expiration_time(server_id.crt));
        ck_assert_int_eq(program_ask(metrics, "GET", "/metrics", NULL, expiry), 200);
    }
    /* both listeners take the renewed ones, and the new authority */
    struct identity fresh;
    make(&fresh, "localhost", &authority, GNUTLS_KP_TLS_WWW_SERVER);
    write_crt(0, "tls.crt", fresh.crt);
    write_key(1, "tls.key", fresh.key);
    write_crt(2, "ca.crt", stranger.crt);
    for (int i = 0; i < 250 && call_at(there, extender, FILTER, &strange_client) != 200; i++)
        sleep_ms(20);
    ck_assert_int_eq(call_at(there, extender, FILTER, &strange_client), 200);
    ck_assert_uint_eq(shown, serial_of(&fresh));
    ck_assert_int_ne(call_at(there, extender, FILTER, &good_client), 200);
    ck_assert_int_eq(call_at(here, webhook, REVIEW, NULL), 200);
    ck_assert_uint_eq(shown, serial_of(&fresh));
    kill(child.pid, SIGTERM);
    ck_assert_int_eq(program_status(&child), 0);
    program_folder_done();
    drop(&fresh);
}
END_TEST

static const struct {
    const char *name;
    int cert, key, ca; /* indices of paths; -1: none, -2: no such file */
    const char *text;
} BAD_FILES[] = {
    {"no such certificate", -2, 1, -1, "/nonexistent"},
    {"no such key", 0, -2, -1, "/nonexistent"},
    {"text for a certificate", 3, 1, -1, "/text: "},
    {"text for a key", 0, 3, -1, "/text: "},
    {"another certificate's key", 2, 1, -1, "tls.key is not the key of "},
    {"text for an authority", 0, 1, 3, "text: "},
};

static const char *path_of(int i) { return i == -1 ? NULL : i == -2 ? "/nonexistent" : paths[i]; }

START_TEST(bad_files)
{
    struct err err = {0};
    app.config.cert_file = path_of(BAD_FILES[_i].cert);
    app.config.key_file = path_of(BAD_FILES[_i].key);
    app.config.client_ca_file = path_of(BAD_FILES[_i].ca);
    ck_assert_msg(try_start(&err) == ERR_BAD_REQUEST, "%s", BAD_FILES[_i].name);
    ck_assert_msg(strstr(err.text, BAD_FILES[_i].text), "%s: %s", BAD_FILES[_i].name, err.text);
    ck_assert_ptr_null(server);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("extender server, TLS");
    TCase *tc = tcase_create("tls");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, without_client_authority);
    tcase_add_test(tc, with_client_authority);
    tcase_add_test(tc, versions_of_tls);
    tcase_add_test(tc, plain_text_on_the_tls_port);
    tcase_add_test(tc, a_silent_handshake_is_cut);
    tcase_add_test(tc, certificates_are_read_again);
    tcase_add_test(tc, certificates_are_looked_at);
    tcase_add_test(tc, a_mounted_secret_is_swapped);
    tcase_add_test(tc, the_folder_goes_and_comes_back);
    tcase_add_test(tc, the_end_is_told);
    tcase_add_test(tc, the_verbs_for_another_host);
    tcase_add_loop_test(tc, bad_files, 0, sizeof(BAD_FILES) / sizeof(BAD_FILES[0]));
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
