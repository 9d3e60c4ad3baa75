/* The certificate files of the listeners: read, seen to fit together, and read again when they
 * change.
 *
 * The kernel says at once that something happened in their folders (kubelet swaps a link, others
 * rename or write in place); every ten seconds they are looked at anyway, for where it can't say
 * so. What is read counts only if it is whole: a half-written pair leaves the last good one in use.
 * Connections keep the state of the files that they began with. */
#include "extender/priv.h"

#include <assert.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

enum {
    FILE_MAX = 1024 * 1024, /* of a certificate file */
    FILES = 3,
    LOOK_MS = 10000,
    GONE_MS = 1000,    /* between looks while a folder is not there */
    SETTLE_MS = 50,    /* without news: a pair is two files, written one after the other */
    SETTLE_MAX = 20,   /* times; who writes all the time is not waited for longer */
    SWEEP_MS = 1000,   /* the library may still be taking the last connection's session apart */
    WARN_DAYS = 14,    /* before the end */
    DAY_S = 24 * 3600, /* between two warnings */
};

struct texts { /* PEM; the authority of clients may be NULL */
    char *p[FILES];
};

struct ext_tls { /* one state of the files; freed when no connection has it */
    struct texts texts;
    gnutls_certificate_credentials_t credentials; /* of them */
    int64_t until_s;                              /* when the first of the chain ends (Unix time) */
    int64_t for_s;                                /* how long the certificate is for */
    unsigned refs;
    int64_t unused_ms; /* no connection has it since then (monotonic); -1: one has */
    struct ext_tls *older;
};

struct ext_certs {
    const char *paths[FILES]; /* certificate, key, authority of clients; the flags' */
    const struct clock *clock;
    int look_ms;
    int notify_fd, stop_fd; /* -1: none */
    pthread_t thread;
    bool runs;
    /* of the thread alone, or of who calls ext_certs_look() without one */
    int64_t warned_s; /* monotonic; -1: not yet */
    bool unwatched;   /* a folder that can't be watched was told */
    struct err told;  /* why the files could not be used; told once */

    pthread_mutex_t lock; /* guards everything below; nothing waits under it */
    struct ext_tls *newest;
    bool good; /* the last look found files that can be used */
};

/* ---- reading ---- */
static enum err_code bad_file(const char *path, int rc, struct err *err)
{
    return err_set(err, rc == GNUTLS_E_MEMORY_ERROR ? ERR_NO_MEMORY : ERR_BAD_REQUEST, "%s: %s",
                   path, gnutls_strerror(rc));
}

static gnutls_datum_t datum(char *text)
{
    return (gnutls_datum_t){(unsigned char *)text, (unsigned)strlen(text)};
}

static void texts_done(struct texts *t)
{
    for (size_t i = 0; i < FILES; i++) {
        if (t->p[i])
            explicit_bzero(t->p[i], strlen(t->p[i])); /* one is a key */
        free(t->p[i]);
    }
    *t = (struct texts){{NULL}};
}

static enum err_code texts_read(const struct ext_certs *c, struct texts *ret, struct err *err)
{
    struct texts t = {{NULL}};
    for (size_t i = 0; i < FILES; i++) {
        size_t n;
        if (!c->paths[i])
            continue;
        enum err_code rc = kube_read_file(c->paths[i], FILE_MAX, &t.p[i], &n, err);
        if (rc) {
            texts_done(&t);
            return rc == ERR_NO_MEMORY ? rc : ERR_BAD_REQUEST;
        }
    }
    *ret = t;
    return ERR_OK;
}

static bool texts_equal(const struct texts *a, const struct texts *b)
{
    for (size_t i = 0; i < FILES; i++)
        if (!a->p[i] != !b->p[i] || (a->p[i] && strcmp(a->p[i], b->p[i]) != 0))
            return false;
    return true;
}

/* When the first of them ends: one intermediate that is over is as bad as the certificate's end. */
static int64_t chain_until_s(const gnutls_x509_crt_t *chain, unsigned n)
{
    int64_t until = INT64_MAX;
    for (unsigned i = 0; i < n; i++) {
        int64_t s = gnutls_x509_crt_get_expiration_time(chain[i]);
        until = s < until ? s : until;
    }
    return until;
}

/* Whether the key is the first certificate's; the library's own test leaves memory behind when it
 * is not (3.7), and does not say which file is wrong. */
static enum err_code check_pair(const struct ext_certs *c, struct ext_tls *t, struct err *err)
{
    gnutls_datum_t cert = datum(t->texts.p[0]), key = datum(t->texts.p[1]);
    gnutls_x509_crt_t *chain = NULL;
    unsigned n = 0;
    gnutls_x509_privkey_t private = NULL;
    unsigned char ids[2][64];
    size_t sizes[2] = {sizeof(ids[0]), sizeof(ids[1])};
    enum err_code code = ERR_OK;
    int rc = gnutls_x509_crt_list_import2(&chain, &n, &cert, GNUTLS_X509_FMT_PEM, 0);
    if (rc >= 0)
        rc = gnutls_x509_crt_get_key_id(chain[0], 0, ids[0], &sizes[0]);
    if (rc < 0)
        code = bad_file(c->paths[0], rc, err);
    if (!code) {
        t->until_s = chain_until_s(chain, n);
        t->for_s = gnutls_x509_crt_get_expiration_time(chain[0]) -
                   gnutls_x509_crt_get_activation_time(chain[0]);
        rc = gnutls_x509_privkey_init(&private);
        if (rc >= 0)
            rc = gnutls_x509_privkey_import2(private, &key, GNUTLS_X509_FMT_PEM, NULL, 0);
        if (rc >= 0)
            rc = gnutls_x509_privkey_get_key_id(private, 0, ids[1], &sizes[1]);
        if (rc < 0)
            code = bad_file(c->paths[1], rc, err);
    }
    if (!code && (sizes[0] != sizes[1] || memcmp(ids[0], ids[1], sizes[0]) != 0))
        code = err_set(err, ERR_BAD_REQUEST, "%s is not the key of %s", c->paths[1], c->paths[0]);
    for (unsigned i = 0; i < n; i++)
        gnutls_x509_crt_deinit(chain[i]);
    gnutls_free(chain);
    if (private)
        gnutls_x509_privkey_deinit(private);
    return code;
}

static enum err_code make_credentials(const struct ext_certs *c, struct ext_tls *t, struct err *err)
{
    assert(t->texts.p[0] && t->texts.p[1]);
    enum err_code code = check_pair(c, t, err);
    if (code)
        return code;
    if (gnutls_certificate_allocate_credentials(&t->credentials) != GNUTLS_E_SUCCESS)
        return err_set(err, ERR_NO_MEMORY, "TLS credentials: no memory");
    gnutls_datum_t cert = datum(t->texts.p[0]), key = datum(t->texts.p[1]);
    int rc = gnutls_certificate_set_x509_key_mem(t->credentials, &cert, &key, GNUTLS_X509_FMT_PEM);
    if (rc < 0)
        return err_set(err, ERR_BAD_REQUEST, "%s with %s: %s", c->paths[0], c->paths[1],
                       gnutls_strerror(rc));
    if (!t->texts.p[2])
        return ERR_OK;
    gnutls_datum_t ca = datum(t->texts.p[2]);
    rc = gnutls_certificate_set_x509_trust_mem(t->credentials, &ca, GNUTLS_X509_FMT_PEM);
    if (rc <= 0)
        return err_set(err, ERR_BAD_REQUEST, "%s: %s", c->paths[2],
                       rc < 0 ? gnutls_strerror(rc) : "no certificate in it");
    return ERR_OK;
}

static void tls_free(struct ext_tls *t)
{
    texts_done(&t->texts);
    if (t->credentials)
        gnutls_certificate_free_credentials(t->credentials);
    free(t);
}

/* The files as they are now; *ret stays NULL when they say what `known` says. */
static enum err_code tls_read(const struct ext_certs *c, const struct ext_tls *known,
                              struct ext_tls **ret, struct err *err)
{
    struct texts texts;
    enum err_code rc = texts_read(c, &texts, err);
    if (rc)
        return rc;
    if (known && texts_equal(&texts, &known->texts)) {
        texts_done(&texts);
        return ERR_OK;
    }
    struct ext_tls *t = calloc(1, sizeof(*t));
    if (!t) {
        texts_done(&texts);
        return err_set(err, ERR_NO_MEMORY, "certificates: no memory");
    }
    t->texts = texts;
    t->unused_ms = clock_mono_ms(c->clock);
    rc = make_credentials(c, t, err);
    if (rc)
        tls_free(t);
    else
        *ret = t;
    return rc;
}

/* ---- looking ---- */
/* States of the files that no connection has had for a while. */
static void sweep_locked(struct ext_certs *c)
{
    int64_t now = clock_mono_ms(c->clock);
    for (struct ext_tls **at = &c->newest->older, *t; (t = *at) != NULL;) {
        if (t->refs > 0 || now - t->unused_ms < SWEEP_MS) {
            at = &t->older;
            continue;
        }
        *at = t->older;
        tls_free(t);
    }
}

/* Once a day, from two weeks before the end; of a short-lived one, in its last quarter: whoever
 * renews those does so before (cert-manager after two thirds). */
static void warn_of_the_end(struct ext_certs *c)
{
    int64_t left_s = c->newest->until_s - clock_wall_s(c->clock);
    int64_t now_s = clock_mono_ms(c->clock) / 1000;
    int64_t near_s = (int64_t)WARN_DAYS * DAY_S, quarter_s = c->newest->for_s / 4;
    near_s = quarter_s < near_s ? quarter_s : near_s;
    if (left_s > near_s || (c->warned_s >= 0 && now_s - c->warned_s < DAY_S))
        return;
    c->warned_s = now_s;
    if (left_s <= 0)
        log_error("certificate-expired", "file=%s days=%lld text=%s", c->paths[0],
                  (long long)(-left_s / DAY_S),
                  "peers refuse it: renew it; a new one is taken without a restart");
    else
        log_warn("certificate-expires", "file=%s days=%lld text=%s", c->paths[0],
                 (long long)(left_s / DAY_S), "renew it; a new one is taken without a restart");
}

void ext_certs_look(struct ext_certs *c)
{
    struct ext_tls *fresh = NULL;
    struct err err = {0};
    enum err_code rc = tls_read(c, c->newest, &fresh, &err); /* newest: ours to change alone */
    int64_t now_s = clock_wall_s(c->clock);
    if (fresh && fresh->until_s <= now_s && c->newest->until_s > now_s) {
        rc = err_set(&err, ERR_BAD_REQUEST,
                     "%s: its time is over, and that of the one in use is not", c->paths[0]);
        tls_free(fresh);
        fresh = NULL;
    }
    pthread_mutex_lock(&c->lock);
    c->good = !rc;
    if (fresh) {
        fresh->older = c->newest;
        c->newest = fresh;
    }
    sweep_locked(c);
    pthread_mutex_unlock(&c->lock);
    if (rc && strcmp(err.text, c->told.text) != 0)
        log_warn("certificate-not-reloaded", "err=%s", err.text);
    c->told = rc ? err : (struct err){0};
    if (fresh) {
        char until[CLOCK_TEXT_MAX];
        (void)clock_rfc3339(fresh->until_s * 1000000000, false, until);
        log_info(0, "certificate-reloaded", "file=%s until=%s", c->paths[0], until);
        c->warned_s = -1;
    }
    warn_of_the_end(c);
}

/* ---- being told ---- */
/* The folder of a file. */
static bool folder_of(const char *path, char ret[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) : 0;
    if (n >= PATH_MAX)
        return false;
    memcpy(ret, path, n);
    ret[n] = '\0';
    if (n == 0)
        (void)strcpy(ret, slash ? "/" : ".");
    return true;
}

/* Asks to be told of the folders, again and again: one that was replaced is another one. Returns
 * how long the wait for that may last. */
static int watch_folders(struct ext_certs *c)
{
    int wait_ms = c->look_ms;
    for (size_t i = 0; i < FILES && c->notify_fd >= 0; i++) {
        char folder[PATH_MAX];
        if (!c->paths[i] || !folder_of(c->paths[i], folder))
            continue;
        if (inotify_add_watch(c->notify_fd, folder,
                              IN_ONLYDIR | IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_ATTRIB |
                                  IN_DELETE | IN_MOVE_SELF) >= 0)
            continue;
        bool gone = errno == ENOENT || errno == ENOTDIR;
        wait_ms = gone && wait_ms > GONE_MS ? GONE_MS : wait_ms;
        if (!gone && !c->unwatched) {
            c->unwatched = true;
            log_warn("certificate-folder-unwatched", "folder=%s err=%s look_s=%d", folder,
                     strerrordesc_np(errno), c->look_ms / 1000);
        }
    }
    return wait_ms;
}

/* A folder that was moved away is no longer ours; which files changed is no matter. */
static void drain(struct ext_certs *c)
{
    union {
        struct inotify_event event;
        char bytes[4096];
    } buf;
    ssize_t n;
    while ((n = read(c->notify_fd, &buf, sizeof(buf))) > 0) {
        for (ssize_t at = 0; at < n;) {
            struct inotify_event event;
            memcpy(&event, buf.bytes + at, sizeof(event));
            if (event.mask & IN_MOVE_SELF)
                (void)inotify_rm_watch(c->notify_fd, event.wd);
            at += (ssize_t)(sizeof(event) + event.len);
        }
    }
}

/* False: the end. */
static bool wait_for_news(struct ext_certs *c, int wait_ms)
{
    for (int i = 0; i <= SETTLE_MAX; i++) {
        struct pollfd fds[] = {{.fd = c->stop_fd, .events = POLLIN},
                               {.fd = c->notify_fd, .events = POLLIN}};
        (void)poll(fds, 2, wait_ms);
        if (fds[0].revents)
            return false;
        if (!fds[1].revents)
            break;
        drain(c);
        wait_ms = SETTLE_MS;
    }
    return true;
}

static void *watch(void *arg)
{
    struct ext_certs *c = arg;
    int wait_ms;
    do { /* looked at after asking to be told: what happens in between is seen or told */
        wait_ms = watch_folders(c);
        ext_certs_look(c);
    } while (wait_for_news(c, wait_ms));
    return NULL;
}

/* ---- start and end ---- */
enum err_code ext_certs_new(const struct ext_config *cfg, const struct clock *clock, bool thread,
                            int look_ms, struct ext_certs **ret, struct err *err)
{
    struct ext_certs *c = calloc(1, sizeof(*c));
    if (!c)
        return err_set(err, ERR_NO_MEMORY, "certificates: no memory");
    *c = (struct ext_certs){.paths = {cfg->cert_file, cfg->key_file, cfg->client_ca_file},
                            .clock = clock,
                            .look_ms = look_ms > 0 ? look_ms : LOOK_MS,
                            .notify_fd = -1,
                            .stop_fd = -1,
                            .warned_s = -1,
                            .good = true};
    pthread_mutex_init(&c->lock, NULL);
    enum err_code rc = tls_read(c, NULL, &c->newest, err);
    if (!rc && thread) {
        c->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (c->notify_fd < 0)
            log_warn("certificate-folder-unwatched", "err=%s look_s=%d", strerrordesc_np(errno),
                     c->look_ms / 1000);
        c->stop_fd = eventfd(0, EFD_CLOEXEC);
        c->runs = c->stop_fd >= 0 && pthread_create(&c->thread, NULL, watch, c) == 0;
        if (!c->runs)
            rc = err_set(err, ERR_NO_MEMORY, "certificates: no thread");
    }
    if (rc) {
        ext_certs_free(c);
        return rc;
    }
    *ret = c;
    return ERR_OK;
}

void ext_certs_free(struct ext_certs *c)
{
    if (!c)
        return;
    if (c->runs) {
        uint64_t one = 1;
        ssize_t n = write(c->stop_fd, &one, sizeof(one));
        assert(n == sizeof(one));
        (void)n;
        pthread_join(c->thread, NULL);
    }
    if (c->notify_fd >= 0)
        close(c->notify_fd);
    if (c->stop_fd >= 0)
        close(c->stop_fd);
    for (struct ext_tls *t = c->newest, *older; t; t = older) {
        older = t->older;
        tls_free(t);
    }
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ---- use ---- */
struct ext_tls *ext_certs_ref(struct ext_certs *c)
{
    pthread_mutex_lock(&c->lock);
    struct ext_tls *t = c->newest;
    t->refs++;
    pthread_mutex_unlock(&c->lock);
    return t;
}

void ext_certs_unref(struct ext_certs *c, struct ext_tls *t)
{
    pthread_mutex_lock(&c->lock);
    if (--t->refs == 0)
        t->unused_ms = clock_mono_ms(c->clock);
    pthread_mutex_unlock(&c->lock);
}

struct ext_pem ext_tls_pem(const struct ext_tls *t)
{
    return (struct ext_pem){t->texts.p[0], t->texts.p[1], t->texts.p[2]};
}

int ext_tls_use(const struct ext_tls *t, struct gnutls_session_int *session)
{
    return gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, t->credentials);
}

void ext_certs_metrics(struct ext_certs *c, const struct ext_config *cfg, struct buf *out)
{
    pthread_mutex_lock(&c->lock);
    long long until_s = c->newest->until_s;
    bool good = c->good;
    pthread_mutex_unlock(&c->lock);
    static const struct {
        unsigned surface;
        const char *name;
    } LISTENERS[] = {{EXT_ON_EXTENDER, "extender"}, {EXT_ON_WEBHOOK, "webhook"}};
    ext_metrics_head(out, "cardinald_certificate_expiry_seconds", "gauge",
                     "Unix time at which the certificate in use ends, or the first of its chain");
    for (size_t i = 0; i < sizeof(LISTENERS) / sizeof(LISTENERS[0]); i++)
        if (ext_config_tls(cfg, LISTENERS[i].surface))
            buf_fmt(out, "cardinald_certificate_expiry_seconds{listener=\"%s\"} %lld\n",
                    LISTENERS[i].name, until_s);
    ext_metrics_head(out, "cardinald_certificate_last_reload_successful", "gauge",
                     "1: the certificate files are in use as they are; 0: older ones stay in use");
    buf_fmt(out, "cardinald_certificate_last_reload_successful %d\n", good);
}
