/* Where a listener comes from: an address becomes a socket. */
#include "extender/priv.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 512 };

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
