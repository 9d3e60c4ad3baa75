/* AdmissionReview (contract/kubernetes.md 4): the envelope is walked by the byte scanner, only the
 * pod becomes a tree. Whatever comes, one review goes back, in the version that came; what can't be
 * read says so in its status. Dry runs need no care: nothing here has an effect beyond the answer.
 */
#include "admission/priv.h"

#include "base/own.h"
#include "base/scan.h"

#include <stdio.h>

#define ARENA_EXTRA                                                                                \
    (64 * 1024) /* beyond the body: unescaped texts are never longer than the body itself */

DEFINE_CLEANUP(struct arena *, arena_free)
DEFINE_CLEANUP(json_t *, json_decref)

void admission_base64(struct str bytes, struct buf *out)
{
    static const char DIGITS[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = (const unsigned char *)bytes.p;
    for (size_t i = 0; i < bytes.n; i += 3) {
        size_t left = bytes.n - i;
        uint32_t bits = (uint32_t)p[i] << 16 | (left > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                        (left > 2 ? p[i + 2] : 0);
        buf_char(out, DIGITS[bits >> 18]);
        buf_char(out, DIGITS[bits >> 12 & 63]);
        buf_char(out, left > 1 ? DIGITS[bits >> 6 & 63] : '=');
        buf_char(out, left > 2 ? DIGITS[bits & 63] : '=');
    }
}

struct request {
    struct str api_version, kind;
    struct str uid, operation, sub_resource, ns;
    struct str object_group, object_kind; /* of what is admitted: "", "Pod" */
    struct str object;                    /* its bytes; p NULL: none */
    bool there;                           /* the review has a request */
};

/* A string member; null leaves it as it is, as Go does. */
static void read_string(struct scan *s, struct str *ret)
{
    if (!scan_null(s))
        scan_string(s, ret);
}

static void read_kind(struct scan *s, struct request *q)
{
    struct str key;
    if (scan_null(s) || !scan_object(s))
        return;
    while (scan_key(s, &key))
        if (str_eq(key, STR("group")))
            read_string(s, &q->object_group);
        else if (str_eq(key, STR("kind")))
            read_string(s, &q->object_kind);
        else
            scan_skip(s);
}

static void read_request(struct scan *s, struct request *q)
{
    struct str key;
    if (scan_null(s) || !scan_object(s))
        return;
    q->there = true;
    while (scan_key(s, &key))
        if (str_eq(key, STR("uid")))
            read_string(s, &q->uid);
        else if (str_eq(key, STR("operation")))
            read_string(s, &q->operation);
        else if (str_eq(key, STR("subResource")))
            read_string(s, &q->sub_resource);
        else if (str_eq(key, STR("namespace")))
            read_string(s, &q->ns);
        else if (str_eq(key, STR("kind")))
            read_kind(s, q);
        else if (str_eq(key, STR("object"))) {
            if (scan_null(s))
                q->object = (struct str){0};
            else
                scan_raw(s, &q->object);
        } else
            scan_skip(s);
}

/* What was read before a fault stays: an answer that carries the request's uid is worth more than
 * one that doesn't. */
static bool read_review(struct scan *s, struct request *q)
{
    struct str key;
    if (!scan_object(s))
        return false;
    while (scan_key(s, &key))
        if (str_eq(key, STR("apiVersion")))
            read_string(s, &q->api_version);
        else if (str_eq(key, STR("kind")))
            read_string(s, &q->kind);
        else if (str_eq(key, STR("request")))
            read_request(s, q);
        else
            scan_skip(s);
    return scan_end(s);
}

/* ---- the answer ---- */

static const struct str V1 = STR_INIT("admission.k8s.io/v1");
static const struct str V1BETA1 = STR_INIT("admission.k8s.io/v1beta1");

static const char *reason_of(unsigned code)
{
    return code == 400   ? "BadRequest"
           : code == 403 ? "Forbidden"
           : code == 422 ? "Invalid"
                         : "InternalError";
}

static void write_answer(const struct request *q, const struct admission_result *r,
                         struct str patch_text, struct buf *out)
{
    bool allowed = r->verdict == ADMISSION_ALLOW;
    buf_add(out, STR("{\"kind\":\"AdmissionReview\",\"apiVersion\":"));
    buf_json(out, str_eq(q->api_version, V1BETA1) ? V1BETA1 : V1);
    buf_add(out, STR(",\"response\":{\"uid\":"));
    buf_json(out, q->uid);
    buf_add(out, allowed ? STR(",\"allowed\":true") : STR(",\"allowed\":false"));
    if (!allowed) {
        buf_add(out, STR(",\"status\":{\"metadata\":{},\"status\":\"Failure\",\"message\":"));
        buf_json(out, str_z(r->message));
        buf_add(out, STR(",\"reason\":"));
        buf_json(out, str_z(reason_of(r->code)));
        buf_fmt(out, ",\"code\":%u}", r->code);
    } else if (r->message[0]) {
        buf_add(out, STR(",\"status\":{\"metadata\":{},\"message\":"));
        buf_json(out, str_z(r->message));
        buf_add(out, STR(",\"code\":200}"));
    }
    if (patch_text.n > 0) {
        buf_add(out, STR(",\"patch\":\""));
        admission_base64(patch_text, out);
        buf_add(out, STR("\",\"patchType\":\"JSONPatch\""));
    }
    buf_add(out, STR("}}"));
}

static void refuse(struct admission_result *r, const char *why)
{
    r->verdict = ADMISSION_ERROR;
    r->code = 400;
    (void)snprintf(r->message, sizeof(r->message), "%s", why);
}

/* Decides on a request that was read without a fault. */
MUST_USE static enum err_code decide(const struct admission_config *cfg,
                                     const struct admission_quota *quota, const struct request *q,
                                     struct admission_result *r, struct err *err)
{
    if (!str_eq(q->kind, STR("AdmissionReview")) ||
        !(str_eq(q->api_version, V1) || str_eq(q->api_version, V1BETA1))) {
        refuse(r, "expected an AdmissionReview of admission.k8s.io/v1 or v1beta1");
        return ERR_OK;
    }
    if (!q->there || q->uid.n == 0) {
        refuse(r, "the review has no request with a uid");
        return ERR_OK;
    }
    /* A configuration that sends us more than new pods: not ours to judge. */
    bool a_pod =
        q->object_group.n == 0 && (q->object_kind.n == 0 || str_eq(q->object_kind, STR("Pod")));
    if (!str_eq(q->operation, STR("CREATE")) || q->sub_resource.n > 0 || !a_pod)
        return ERR_OK;
    if (!q->object.p) {
        refuse(r, "the request has no object");
        return ERR_OK;
    }
    json_error_t fault;
    json_t *pod CLEANUP(json_decref_p) =
        json_loadb(q->object.p, q->object.n, JSON_ALLOW_NUL, &fault);
    if (!pod && fault.text[0] == '\0') /* jansson names every fault but this one */
        return err_set(err, ERR_NO_MEMORY, "decode pod");
    if (!pod) {
        refuse(r, "");
        (void)snprintf(r->message, sizeof(r->message), "object: %s at byte %d", fault.text,
                       fault.position);
        return ERR_OK;
    }
    return admission_mutate(cfg, pod, q->ns, quota, r, err);
}

enum err_code admission_review(const struct admission_config *cfg,
                               const struct admission_quota *quota, struct str body,
                               struct buf *out, enum admission_outcome *ret, struct err *err)
{
    struct arena *arena CLEANUP(arena_free_p) = arena_new(body.n + ARENA_EXTRA);
    if (!arena)
        return err_set(err, ERR_NO_MEMORY, "admission review");
    struct request q = {.uid = STR("")};
    struct admission_result r = {.verdict = ADMISSION_ALLOW};
    struct scan s = scan_start(body, ADMISSION_DEPTH_MAX, arena);
    if (read_review(&s, &q)) {
        enum err_code rc = decide(cfg, quota, &q, &r, err);
        if (rc)
            return rc;
    } else if (arena_failed(arena)) {
        return err_set(err, ERR_NO_MEMORY, "admission review");
    } else {
        struct err why;
        err_ignore(scan_err(&s, "body", &why));
        refuse(&r, why.text);
    }
    json_t *patch CLEANUP(json_decref_p) = r.patch;
    char *text CLEANUP(free_p) = NULL;
    if (json_array_size(patch) > 0) {
        text = json_dumps(patch, JSON_COMPACT);
        if (!text)
            return err_set(err, ERR_NO_MEMORY, "encode patch");
    }
    write_answer(&q, &r, str_z(text), out);
    if (out->failed)
        return err_set(err, ERR_NO_MEMORY, "admission answer");
    if (ret)
        *ret = r.verdict == ADMISSION_DENY    ? ADMISSION_REFUSED
               : r.verdict == ADMISSION_ERROR ? ADMISSION_UNREADABLE
               : text                         ? ADMISSION_CHANGED
                                              : ADMISSION_UNCHANGED;
    return ERR_OK;
}
