/* What the files of the HTTP back end share: credentials, and one exchange over a pooled
 * connection. */
#ifndef CARDINAL_KUBECLIENT_HTTP_H
#define CARDINAL_KUBECLIENT_HTTP_H

#include "kubeclient/priv.h"

#include <curl/curl.h>
#include <pthread.h>
#include <sys/stat.h>

/* ---- creds.c ---- */

struct kube_pem { /* PEM text, or the file that holds it; both NULL: none */
    char *data;
    size_t data_n;
    char *path;
};

struct kube_creds { /* immutable after load, but for the token */
    char *server;   /* "https://host:port[/path]", no slash at the end */
    char *tls_server_name, *proxy_url, *username, *password;
    struct kube_pem ca, cert, key;
    bool insecure;
    char *token_path;     /* NULL: the token stays what it is */
    pthread_mutex_t lock; /* guards the rest */
    char *token;
    struct timespec token_mtime;
    off_t token_size;
    ino_t token_inode;
};
/* From kubeconfig files. */
MUST_USE enum err_code kube_creds_load(const char *paths, const char *context,
                                       struct kube_creds **ret, struct err *err);
/* From what a pod is given: `dir` holds token and ca.crt. */
MUST_USE enum err_code kube_creds_in_cluster(const char *host, const char *port, const char *dir,
                                             struct kube_creds **ret, struct err *err);
void kube_creds_free(struct kube_creds *c);
/* The bearer token of this moment, malloc; *ret NULL: there is none. `again`: the server did not
 * take the last one. */
MUST_USE enum err_code kube_creds_token(struct kube_creds *c, bool again, char **ret,
                                        struct err *err);

/* ---- http.c ---- */

struct kube_http;
struct kube_exchange {
    const struct kube_request *req; /* verb, kind and names make the URL's path */
    const char *query;              /* without '?'; may be NULL */
    const _Atomic bool *stop;
    int timeout_ms;      /* of all of it */
    int connect_ms;      /* what a connection that has to be made may take of that; 0: all */
    bool own_connection; /* long: not one of the pool's */
    size_t body_max;     /* of an answer that is kept */
    /* Bytes of a 200 as they come, instead of keeping them; may be NULL. Anything but ERR_OK ends
     * the exchange. */
    enum err_code (*piece)(void *ctx, struct str bytes, struct err *err);
    void *ctx;
};
struct kube_exchanged {
    int status;       /* 0: no answer */
    bool sent, whole; /* whole: the answer came to its end */
    bool cancelled;
    int retry_after_ms;
    enum err_code piece_rc; /* what `piece` ended it with */
    bool too_large;
    char *body; /* NUL-terminated; may be NULL */
    size_t body_n;
    char why[256]; /* what the library says went wrong; "": nothing */
};
/* ERR_OK: there is something to look at in *ret (free its body); else nothing was sent. */
MUST_USE enum err_code kube_exchange(struct kube_http *h, const struct kube_exchange *x,
                                     struct kube_exchanged *ret, struct err *err);
size_t kube_http_object_max(const struct kube_http *h);
const struct clock *kube_http_clock(const struct kube_http *h);
/* What became of it, in the words of the interface. ERR_OK: answered 2xx, whole. */
enum err_code kube_exchange_err(const struct kube_exchange *x, const struct kube_exchanged *r,
                                struct err *err);
/* `text` escaped for a query; malloc. */
char *kube_query_escape(const char *text);

/* ---- watch.c ---- */
enum err_code kube_http_list(struct kube *k, enum kube_kind kind,
                             const struct kube_list_options *opt, const _Atomic bool *stop,
                             const struct kube_list_handler *handler, char ret_rv[KUBE_RV_MAX],
                             struct err *err);
enum err_code kube_http_watch(struct kube *k, enum kube_kind kind,
                              const struct kube_watch_options *opt, const _Atomic bool *stop,
                              const struct kube_watch_handler *handler, struct err *err);

#endif
