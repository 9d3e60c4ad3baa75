/* Who we are at the API server and how to reach it: kubeconfig files, or what every pod is given.
 * Source: contract/kubernetes.md 2.1. What we can't honour is refused by name, never passed over: a
 * setting that is silently ignored would make us somebody else. */
#include "kubeclient/http.h"

#include "base/own.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { FILES_MAX = 32 };
#define CONFIG_MAX ((size_t)4 << 20)
#define PEM_MAX    ((size_t)1 << 20)
#define TOKEN_MAX  ((size_t)64 << 10)

/* ---- base64 ---- */

static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Standard alphabet; line breaks are passed over, as Go's decoder does. NULL: none, or no memory
 * (errno ENOMEM). */
static char *base64_decode(const char *s, size_t *ret_n)
{
    char *out = malloc(strlen(s) / 4 * 3 + 4);
    size_t n = 0, quantum = 0, pads = 0;
    uint32_t bits = 0;
    if (!out)
        return NULL;
    errno = EINVAL;
    for (; *s; s++) {
        if (*s == '\n' || *s == '\r')
            continue;
        int v = sextet(*s);
        if (*s == '=') {
            pads++;
            v = 0;
        } else if (v < 0 || pads > 0) {
            free(out);
            return NULL;
        }
        bits = bits << 6 | (uint32_t)v;
        if (++quantum % 4 == 0) {
            out[n++] = (char)(bits >> 16);
            out[n++] = (char)(bits >> 8);
            out[n++] = (char)bits;
        }
    }
    if (quantum % 4 || pads > 2 || n < pads) {
        free(out);
        return NULL;
    }
    n -= pads;
    out[n] = '\0';
    *ret_n = n;
    return out;
}

/* ---- kubeconfig ---- */

struct config_file {
    char *dir; /* what relative paths are relative to; "" or with its '/' */
    char *path;
    json_t *root;
};

struct config {
    struct config_file file[FILES_MAX];
    size_t n;
};

static void config_done(struct config *c)
{
    for (size_t i = 0; i < c->n; i++) {
        free(c->file[i].dir);
        free(c->file[i].path);
        json_decref(c->file[i].root);
    }
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

static enum err_code no_memory(struct err *err)
{
    return err_set(err, ERR_NO_MEMORY, "credentials: no memory");
}

static enum err_code read_config(struct config *c, const char *path, struct err *err)
{
    char *text CLEANUP(free_p) = NULL;
    size_t n = 0;
    enum err_code rc = kube_read_file(path, CONFIG_MAX, &text, &n, err);
    if (rc)
        return rc;
    json_auto_t *docs = NULL;
    rc = kube_yaml_parse((struct str){text, n}, path, &docs, err);
    explicit_bzero(text, n); /* it may hold keys */
    if (rc)
        return rc;
    json_t *root = json_array_get(docs, 0);
    if (json_array_size(docs) != 1 || !json_is_object(root))
        return err_set(err, ERR_BAD_REQUEST, "%s: one kubeconfig document is wanted", path);
    const char *slash = strrchr(path, '/');
    struct config_file *f = &c->file[c->n];
    *f = (struct config_file){
        .path = strdup(path),
        .root = json_incref(root),
        .dir = slash ? str_dup_z((struct str){path, (size_t)(slash - path) + 1}) : strdup("")};
    c->n++;
    return f->path && f->dir ? ERR_OK : no_memory(err);
}

/* Several paths with ':' between: those that don't exist are passed over, as long as one does. */
static enum err_code read_configs(struct config *c, const char *paths, struct err *err)
{
    struct str rest = str_z(paths), one;
    bool list = strchr(paths, ':') != NULL;
    while (str_split(&rest, ':', &one)) {
        char *path CLEANUP(free_p) = str_dup_z(one);
        if (!path)
            return no_memory(err);
        if (!*path || (list && access(path, F_OK) != 0))
            continue;
        if (c->n == FILES_MAX)
            return err_set(err, ERR_BAD_REQUEST, "more than %d kubeconfig files", FILES_MAX);
        enum err_code rc = read_config(c, path, err);
        if (rc)
            return rc;
    }
    return c->n ? ERR_OK : err_set(err, ERR_BAD_REQUEST, "kubeconfig %s: no such file", paths);
}

/* The entry `name` of a list ("clusters"), from the first file that has it. */
static const json_t *find_entry(const struct config *c, const char *list, const char *part,
                                const char *name, const struct config_file **ret_file)
{
    for (size_t i = 0; i < c->n; i++) {
        size_t k;
        json_t *item;
        json_array_foreach(json_object_get(c->file[i].root, list), k, item)
        {
            if (strcmp(text_of(item, "name"), name) != 0)
                continue;
            *ret_file = &c->file[i];
            return json_object_get(item, part);
        }
    }
    return NULL;
}

/* ---- what a cluster and a user say ---- */

static bool copy_text(char **to, const char *from)
{
    if (!*from)
        return true;
    *to = strdup(from);
    return *to != NULL;
}

static enum err_code take_path(const struct config_file *f, const char *path, char **ret,
                               struct err *err)
{
    if (!*path)
        return ERR_OK;
    if (asprintf(ret, "%s%s", *path == '/' ? "" : f->dir, path) < 0) {
        *ret = NULL;
        return no_memory(err);
    }
    return ERR_OK;
}

/* `key`-data wins over the file named by `key`. */
static enum err_code take_pem(const struct config_file *f, const json_t *part, const char *key,
                              struct kube_pem *ret, struct err *err)
{
    char data_key[64];
    (void)snprintf(data_key, sizeof(data_key), "%s-data", key);
    const char *data = text_of(part, data_key);
    if (*data) {
        ret->data = base64_decode(data, &ret->data_n);
        if (!ret->data && errno == ENOMEM)
            return no_memory(err);
        if (!ret->data || !strstr(ret->data, "-----BEGIN"))
            return err_set(err, ERR_BAD_REQUEST, "%s: %s is no PEM text in base64", f->path,
                           data_key);
        return ERR_OK;
    }
    enum err_code rc = take_path(f, text_of(part, key), &ret->path, err);
    if (!rc && ret->path) {
        char *text CLEANUP(free_p) = NULL; /* seen once, for an early word about a wrong path */
        size_t n = 0;
        rc = kube_read_file(ret->path, PEM_MAX, &text, &n, err);
        if (text)
            explicit_bzero(text, n);
    }
    return rc ? err_prefix(err, rc, "%s: %s", f->path, key) : ERR_OK;
}

/* It becomes part of a header. */
static bool is_token(struct str s)
{
    bool good = s.n > 0;
    for (size_t i = 0; i < s.n; i++)
        good = good && s.p[i] > ' ' && s.p[i] < 0x7f;
    return good;
}

static bool has_pem(const struct kube_pem *p) { return p->data || p->path; }

static enum err_code take_server(struct kube_creds *c, const char *where, const char *server,
                                 struct err *err)
{
    size_t scheme = strncmp(server, "https://", 8) == 0  ? 8
                    : strncmp(server, "http://", 7) == 0 ? 7
                                                         : 0;
    bool good = scheme > 0 && strcspn(server + scheme, "/:") > 0; /* a host */
    for (const char *p = server; good && *p; p++)
        good = *p > ' ' && *p < 0x7f && *p != '?' && *p != '#' && *p != '@';
    if (!good)
        return err_set(err, ERR_BAD_REQUEST, "%s: server \"%.200s\" is no http or https URL", where,
                       server);
    size_t n = strlen(server);
    while (n > 0 && server[n - 1] == '/')
        n--;
    c->server = str_dup_z((struct str){server, n});
    return c->server ? ERR_OK : no_memory(err);
}

static enum err_code take_cluster(struct kube_creds *c, const struct config_file *f,
                                  const json_t *cluster, struct err *err)
{
    enum err_code rc = take_server(c, f->path, text_of(cluster, "server"), err);
    if (!rc)
        rc = take_pem(f, cluster, "certificate-authority", &c->ca, err);
    if (rc)
        return rc;
    c->insecure = json_is_true(json_object_get(cluster, "insecure-skip-tls-verify"));
    if (c->insecure && has_pem(&c->ca))
        return err_set(
            err, ERR_BAD_REQUEST,
            "%s: insecure-skip-tls-verify stands beside a certificate authority: remove one "
            "of the two",
            f->path);
    if (!copy_text(&c->tls_server_name, text_of(cluster, "tls-server-name")) ||
        !copy_text(&c->proxy_url, text_of(cluster, "proxy-url")))
        return no_memory(err);
    return ERR_OK;
}

static enum err_code take_user(struct kube_creds *c, const struct config_file *f,
                               const json_t *user, struct err *err)
{
    static const char *const AS[] = {"as", "as-uid", "as-groups", "as-user-extra"};
    if (json_object_get(user, "exec") || json_object_get(user, "auth-provider"))
        return err_set(err, ERR_BAD_REQUEST,
                       "%s: the user gets its credentials from %s, which is not served: give it a "
                       "token, a tokenFile or a client certificate (for one of a service account: "
                       "kubectl create token)",
                       f->path,
                       json_object_get(user, "exec") ? "an exec plugin" : "an auth-provider");
    for (size_t i = 0; i < sizeof(AS) / sizeof(AS[0]); i++)
        if (json_object_get(user, AS[i]))
            return err_set(err, ERR_BAD_REQUEST, "%s: impersonation (%s) is not served", f->path,
                           AS[i]);
    enum err_code rc = take_pem(f, user, "client-certificate", &c->cert, err);
    if (!rc)
        rc = take_pem(f, user, "client-key", &c->key, err);
    if (!rc)
        rc = take_path(f, text_of(user, "tokenFile"), &c->token_path, err);
    if (rc)
        return rc;
    if (has_pem(&c->cert) != has_pem(&c->key))
        return err_set(err, ERR_BAD_REQUEST, "%s: client-certificate and client-key come together",
                       f->path);
    const char *token = text_of(user, "token");
    if (*token && !is_token(str_z(token)))
        return err_set(err, ERR_BAD_REQUEST, "%s: the user's token is none", f->path);
    if (!copy_text(&c->token, token) || !copy_text(&c->username, text_of(user, "username")) ||
        !copy_text(&c->password, text_of(user, "password")))
        return no_memory(err);
    return ERR_OK;
}

static struct kube_creds *creds_new(void)
{
    struct kube_creds *c = calloc(1, sizeof(*c));
    if (c)
        (void)pthread_mutex_init(&c->lock, NULL);
    return c;
}

static void wipe(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    free(s);
}

static void pem_done(struct kube_pem *p)
{
    if (p->data)
        explicit_bzero(p->data, p->data_n);
    free(p->data);
    free(p->path);
}

void kube_creds_free(struct kube_creds *c)
{
    if (!c)
        return;
    free(c->server);
    free(c->tls_server_name);
    free(c->proxy_url);
    free(c->username);
    wipe(c->password);
    wipe(c->token);
    free(c->token_path);
    pem_done(&c->ca);
    pem_done(&c->cert);
    pem_done(&c->key);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

static enum err_code take_context(struct kube_creds *c, const struct config *cfg, const char *name,
                                  struct err *err)
{
    const struct config_file *f = NULL;
    for (size_t i = 0; !*name && i < cfg->n; i++)
        name = text_of(cfg->file[i].root, "current-context");
    if (!*name)
        return err_set(err, ERR_BAD_REQUEST, "%s: no current-context", cfg->file[0].path);
    const json_t *context = find_entry(cfg, "contexts", "context", name, &f);
    if (!context)
        return err_set(err, ERR_BAD_REQUEST, "%s: no context \"%.100s\"", cfg->file[0].path, name);
    const char *cluster_name = text_of(context, "cluster"), *user_name = text_of(context, "user");
    const json_t *cluster = find_entry(cfg, "clusters", "cluster", cluster_name, &f);
    if (!cluster)
        return err_set(err, ERR_BAD_REQUEST, "%s: no cluster \"%.100s\"", cfg->file[0].path,
                       cluster_name);
    enum err_code rc = take_cluster(c, f, cluster, err);
    if (rc || !*user_name)
        return rc;
    const json_t *user = find_entry(cfg, "users", "user", user_name, &f);
    if (!user)
        return err_set(err, ERR_BAD_REQUEST, "%s: no user \"%.100s\"", cfg->file[0].path,
                       user_name);
    return take_user(c, f, user, err);
}

/* The first look at a token, so that a wrong path is told at the start. */
static enum err_code first_token(struct kube_creds *c, struct err *err)
{
    char *token = NULL;
    enum err_code rc = kube_creds_token(c, false, &token, err);
    wipe(token);
    return rc;
}

enum err_code kube_creds_load(const char *paths, const char *context, struct kube_creds **ret,
                              struct err *err)
{
    struct config cfg = {0};
    struct kube_creds *c = creds_new();
    if (!c)
        return no_memory(err);
    enum err_code rc = read_configs(&cfg, paths, err);
    if (!rc)
        rc = take_context(c, &cfg, context ? context : "", err);
    config_done(&cfg);
    if (!rc)
        rc = first_token(c, err);
    if (rc) {
        kube_creds_free(c);
        return rc;
    }
    *ret = c;
    return ERR_OK;
}

enum err_code kube_creds_in_cluster(const char *host, const char *port, const char *dir,
                                    struct kube_creds **ret, struct err *err)
{
    if (!host || !*host || !port || !*port)
        return err_set(
            err, ERR_BAD_REQUEST,
            "not in a cluster (KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not "
            "set): give a kubeconfig");
    struct kube_creds *c = creds_new();
    if (!c)
        return no_memory(err);
    bool six = strchr(host, ':') != NULL;
    char url[512];
    (void)snprintf(url, sizeof(url), "https://%s%.300s%s:%.20s", six ? "[" : "", host,
                   six ? "]" : "", port);
    enum err_code rc = take_server(c, "in-cluster", url, err);
    if (!rc && (asprintf(&c->token_path, "%s/token", dir) < 0 ||
                asprintf(&c->ca.path, "%s/ca.crt", dir) < 0))
        rc = no_memory(err);
    if (!rc)
        rc = first_token(c, err);
    if (!rc) {
        char *text CLEANUP(free_p) = NULL;
        size_t n = 0;
        rc = kube_read_file(c->ca.path, PEM_MAX, &text, &n, err);
    }
    if (rc) {
        kube_creds_free(c);
        return rc;
    }
    *ret = c;
    return ERR_OK;
}

/* ---- the token ---- */

static enum err_code read_token(struct kube_creds *c, struct err *err)
{
    char *text CLEANUP(free_p) = NULL;
    size_t n = 0;
    enum err_code rc = kube_read_file(c->token_path, TOKEN_MAX, &text, &n, err);
    if (rc)
        return rc;
    struct str token = str_trim((struct str){text, n});
    char *copy = NULL;
    if (is_token(token)) {
        copy = str_dup_z(token);
        if (!copy)
            rc = no_memory(err);
    } else {
        rc = err_set(err, ERR_BAD_REQUEST, "%s: not a token", c->token_path);
    }
    explicit_bzero(text, n);
    if (!rc) {
        wipe(c->token);
        c->token = copy;
    }
    return rc;
}

enum err_code kube_creds_token(struct kube_creds *c, bool again, char **ret, struct err *err)
{
    struct stat st;
    enum err_code rc = ERR_OK;
    *ret = NULL;
    pthread_mutex_lock(&c->lock);
    if (c->token_path) {
        bool seen = stat(c->token_path, &st) == 0;
        bool changed = again || !seen || !c->token || st.st_ino != c->token_inode ||
                       st.st_size != c->token_size || st.st_mtim.tv_sec != c->token_mtime.tv_sec ||
                       st.st_mtim.tv_nsec != c->token_mtime.tv_nsec;
        if (changed && read_token(c, err) == ERR_OK && seen) {
            c->token_inode = st.st_ino;
            c->token_size = st.st_size;
            c->token_mtime = st.st_mtim;
        }
        if (!c->token) /* an old one goes on when the file can't be read */
            rc = err ? err->code : ERR_BAD_REQUEST;
    }
    if (!rc && c->token) {
        *ret = strdup(c->token);
        if (!*ret)
            rc = no_memory(err);
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}
