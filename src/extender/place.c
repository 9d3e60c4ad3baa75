/* Where something listens or is called: HOST:PORT, or an http or https URL. Text only: no name is
 * looked up. */
#include "extender/priv.h"

#include <stdio.h>
#include <string.h>

static bool is_wildcard(const char *host)
{
    return !*host || strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

bool ext_place_is_loopback(const struct ext_place *p)
{
    return strcasecmp(p->host, "localhost") == 0 || strcmp(p->host, "::1") == 0 ||
           strncmp(p->host, "127.", 4) == 0;
}

/* "host", "host:port", "[v6]:port". */
static bool parse_authority(struct str text, int64_t port, struct ext_place *ret)
{
    const char *colon = text.n ? memrchr(text.p, ':', text.n) : NULL;
    const char *bracket = text.n ? memrchr(text.p, ']', text.n) : NULL;
    if (colon && (!bracket || colon > bracket)) {
        struct str digits = {colon + 1, text.n - (size_t)(colon - text.p) - 1};
        text.n -= digits.n + 1;
        if (!str_int(digits, 0, 65535, &port))
            return false;
    }
    if (text.n >= 2 && text.p[0] == '[' && text.p[text.n - 1] == ']')
        text = (struct str){text.p + 1, text.n - 2};
    if (text.n >= sizeof(ret->host))
        return false;
    for (size_t i = 0; i < text.n; i++) /* of a name, IPv4, IPv6 with its zone; no user@ */
        if (!strchr("-._:%", text.p[i]) &&
            !((text.p[i] | 0x20) >= 'a' && (text.p[i] | 0x20) <= 'z') &&
            !(text.p[i] >= '0' && text.p[i] <= '9'))
            return false;
    if (text.n)
        memcpy(ret->host, text.p, text.n);
    ret->host[text.n] = '\0';
    ret->port = port;
    return true;
}

bool ext_place_of_url(const char *url, struct ext_place *ret)
{
    struct str rest = str_z(url);
    struct ext_place p = {.tls = str_has_prefix(rest, STR("https://"))};
    if (!p.tls && !str_has_prefix(rest, STR("http://")))
        return false;
    size_t scheme = p.tls ? sizeof("https://") - 1 : sizeof("http://") - 1;
    rest = (struct str){rest.p + scheme, rest.n - scheme};
    const char *slash = memchr(rest.p, '/', rest.n);
    struct str authority = {rest.p, slash ? (size_t)(slash - rest.p) : rest.n};
    struct str path = {authority.p + authority.n, rest.n - authority.n};
    while (path.n > 0 && path.p[path.n - 1] == '/')
        path.n--;
    if (path.n >= sizeof(p.path) || memchr(path.p, '?', path.n) || memchr(path.p, '#', path.n) ||
        !parse_authority(authority, p.tls ? 443 : 80, &p) || !*p.host || p.port == 0)
        return false;
    memcpy(p.path, path.p, path.n);
    *ret = p;
    return true;
}

bool ext_place_of_listener(const char *address, bool tls, struct ext_place *ret)
{
    struct ext_place p = {.tls = tls};
    if (!strchr(address, ':') || !parse_authority(str_z(address), 0, &p))
        return false;
    p.wildcard = is_wildcard(p.host);
    if (p.wildcard)
        (void)strcpy(p.host, "127.0.0.1");
    *ret = p;
    return true;
}

bool ext_place_reaches(const struct ext_place *called, const struct ext_place *listens)
{
    bool both = ext_place_is_loopback(called) && ext_place_is_loopback(listens);
    bool named =
        strcasecmp(called->host, "localhost") == 0 || strcasecmp(listens->host, "localhost") == 0;
    return called->port == listens->port &&
           (strcasecmp(called->host, listens->host) == 0 || (both && (named || listens->wildcard)));
}

void ext_place_text(const struct ext_place *p, char ret[EXT_PLACE_TEXT_MAX])
{
    (void)snprintf(ret, EXT_PLACE_TEXT_MAX,
                   strchr(p->host, ':') ? "%s://[%s]:%lld%s" : "%s://%s:%lld%s",
                   p->tls ? "https" : "http", p->host, (long long)p->port, p->path);
}
