/* Tells systemd how far we are (Type=notify in packaging/cardinald.service): a datagram to the
 * socket that $NOTIFY_SOCKET names. So `systemctl start` ends when the listeners are there, fails
 * when they can't be, and what is ordered after us finds them.
 * Source: sd_notify(3): a path, or a name in the abstract namespace behind '@'. */
#include "extender/priv.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void ext_notify(const char *state)
{
    const char *name = getenv("NOTIFY_SOCKET"); // NOLINT(concurrency-mt-unsafe): nobody sets it
    if (!name || !*name)
        return;
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = strlen(name);
    if ((name[0] != '/' && name[0] != '@') || n < 2 || n >= sizeof(to.sun_path)) {
        log_warn("notify", "socket=%s err=%s", name, "neither a path nor @name of a socket");
        return;
    }
    memcpy(to.sun_path, name, n); /* zeros behind it: it is shorter */
    if (name[0] == '@')
        to.sun_path[0] = '\0'; /* of such a name every byte counts, so the length is given */
    socklen_t length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL,
                         (const struct sockaddr *)(const void *)&to, length) < 0)
        log_warn("notify", "socket=%s err=%s", name, strerrordesc_np(errno));
    if (fd >= 0)
        (void)close(fd);
}
