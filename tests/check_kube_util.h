/* What the tests of kubeclient, lease and sim share: a clock of their own, temporary files,
 * one-line calls. */
#ifndef CARDINAL_CHECK_KUBE_UTIL_H
#define CARDINAL_CHECK_KUBE_UTIL_H

#include "base/own.h"
#include "kubeclient/kubeclient.h"

#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Stands still until it is moved; `step_ns` moves it at every look. */
struct test_clock {
    _Atomic int64_t mono, wall;
    int64_t step_ns;
};
static inline int64_t test_mono(void *ctx)
{
    struct test_clock *c = ctx;
    return atomic_fetch_add(&c->mono, c->step_ns) + c->step_ns;
}
static inline int64_t test_wall(void *ctx)
{
    return atomic_load(&((struct test_clock *)ctx)->wall);
}
#define WALL_START INT64_C(1790000000000000000) /* 2026-09-21T14:13:20Z */

static inline struct clock test_clock_of(struct test_clock *c)
{
    return (struct clock){test_mono, test_wall, c};
}

/* A file with this text; unlink and free it. */
static inline char *test_file(const char *text, size_t n)
{
    char *path = strdup("/tmp/check_kube.XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq((int)write(fd, text, n), (int)n);
    (void)close(fd);
    return path;
}

static inline enum err_code test_load(struct kube_store *st, const char *yaml,
                                      const struct kube_load_handler *mutate, size_t *skipped,
                                      struct err *err)
{
    char *path = test_file(yaml, strlen(yaml));
    const char *paths[] = {path};
    enum err_code rc = kube_store_load(st, paths, 1, mutate, skipped, err);
    (void)unlink(path);
    free(path);
    return rc;
}

/* Sends; the answer's body as JSON in *ret (may be NULL). */
static inline enum err_code test_call(struct kube *k, struct kube_request req, json_t **ret,
                                      struct kube_response *ret_resp, struct err *err)
{
    struct kube_response resp;
    if (req.timeout_ms == 0)
        req.timeout_ms = 5000;
    enum err_code rc = kube_call(k, &req, &resp, err);
    if (ret)
        *ret = resp.body ? json_loadb(resp.body, resp.body_n, 0, NULL) : NULL;
    if (ret_resp) {
        *ret_resp = resp;
        ret_resp->body = NULL;
    }
    kube_response_done(&resp);
    return rc;
}

static inline json_t *test_get(struct kube *k, enum kube_kind kind, const char *ns,
                               const char *name)
{
    json_t *object = NULL;
    struct kube_request req = {
        .verb = KUBE_GET, .kind = kind, .ns = str_z(ns), .name = str_z(name)};
    enum err_code rc = test_call(k, req, &object, NULL, NULL);
    if (rc) {
        json_decref(object);
        return NULL;
    }
    return object;
}

/* The value at "/a/b~1c/0"; borrowed; NULL: not there. */
static inline json_t *test_at(json_t *root, const char *path)
{
    json_t *node = root;
    while (node && *path == '/') {
        char part[256];
        size_t n = 0;
        for (path++; *path && *path != '/'; path++) {
            char c = *path;
            if (c == '~')
                c = *++path == '1' ? '/' : '~';
            part[n++] = c;
        }
        part[n] = '\0';
        node = json_is_array(node) ? json_array_get(node, (size_t)atoi(part))
                                   : json_object_get(node, part);
    }
    return node;
}

static inline const char *test_text_at(json_t *root, const char *path)
{
    const char *s = json_string_value(test_at(root, path));
    return s ? s : "";
}

/* `expr` writes its fault to `why`. */
#define ck_ok(expr)                                                                                \
    do {                                                                                           \
        struct err why_ = {.code = ERR_OK}, *why = &why_;                                          \
        enum err_code rc_ = (expr);                                                                \
        ck_assert_msg(rc_ == ERR_OK, "%s: %s: %s", #expr, err_class(rc_)->name, why->text);        \
    } while (0)

static inline int test_run(Suite *s)
{
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
