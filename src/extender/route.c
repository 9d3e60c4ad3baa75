/* From the bytes of a request target to the row of the table that answers it. Knows no handler: the
 * table comes as an argument, so that other programs (bench's floor) can use the server with
 * theirs.
 */
#include "extender/priv.h"

#include <string.h>

/* A path is short; whatever is longer is no path of ours. */
enum { TARGET_MAX = 8192 };

const struct ext_route *ext_route_find(const struct ext_route *routes, struct str method,
                                       struct str path, unsigned surfaces, const char **ret_allow)
{
    if (str_eq(method, STR("HEAD")))
        method = STR("GET");
    for (const struct ext_route *r = routes; r->path; r++) {
        if ((r->surfaces & surfaces) == 0)
            continue;
        struct str want = str_z(r->path);
        if (r->prefix ? !str_has_prefix(path, want) || path.n == want.n : !str_eq(path, want))
            continue;
        if (str_eq(method, str_z(r->method)))
            return r;
        *ret_allow = str_eq(str_z(r->method), STR("GET")) ? "GET, HEAD" : r->method;
        return NULL; /* no path of ours takes two methods */
    }
    return NULL;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool ext_url_decode(struct str text, bool plus, struct arena *arena, struct str *ret)
{
    char *out = arena_alloc(arena, text.n + 1);
    if (!out)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];
        if (c == '%') {
            if (text.n - i < 3)
                return false;
            int hi = hex(text.p[i + 1]), lo = hex(text.p[i + 2]);
            if (hi < 0 || lo < 0 || (hi == 0 && lo == 0))
                return false;
            c = (char)(hi * 16 + lo);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        out[n++] = c;
    }
    *ret = (struct str){out, n};
    return true;
}

bool ext_route_target(struct str target, struct arena *arena, struct str *ret_path,
                      struct str *ret_query)
{
    if (target.n > TARGET_MAX)
        return false;
    /* "http://host/path" is what a proxy is sent, and any server has to take (RFC 9112, 3.2.2) */
    if (str_has_prefix(target, STR("http://")) || str_has_prefix(target, STR("https://"))) {
        const char *host = (const char *)memchr(target.p, '/', target.n) + 2;
        size_t left = target.n - (size_t)(host - target.p);
        const char *path = memchr(host, '/', left);
        if (!path)
            return false;
        target = (struct str){path, left - (size_t)(path - host)};
    }
    if (target.n == 0 || target.p[0] != '/')
        return false;
    const char *mark = memchr(target.p, '?', target.n);
    *ret_query = (struct str){NULL, 0};
    if (mark) {
        size_t at = (size_t)(mark - target.p);
        *ret_query = arena_str(arena, (struct str){mark + 1, target.n - at - 1});
        target.n = at;
        if (!ret_query->p)
            return false;
    }
    return ext_url_decode(target, /* plus= */ false, arena, ret_path);
}
