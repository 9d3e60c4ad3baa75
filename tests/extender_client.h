/* A plain HTTP client over a socket for tests of the server: sends bytes as they are, reads one
 * answer at a time. */
#ifndef CARDINAL_TESTS_EXTENDER_CLIENT_H
#define CARDINAL_TESTS_EXTENDER_CLIENT_H

#include "base/str.h"

struct client {
    int fd;
    char buf[1 << 16]; /* received and not yet used */
    size_t n;
};
struct reply {
    int status; /* 0: the connection ended before an answer */
    char head[8192];
    char *body; /* free() it; NUL-terminated */
    size_t n;
};
void client_open(struct client *c, const char *address);
bool client_try(struct client *c, const char *address); /* false: nobody listens there */
void client_close(struct client *c);
bool client_send(struct client *c, const void *p, size_t n); /* false: the peer has closed */
void client_text(struct client *c, const char *text);
/* Waits at most 10 s. `no_body`: of HEAD. */
void client_read(struct client *c, bool no_body, struct reply *ret);
/* True: the peer closes within `ms`. */
bool client_closed(struct client *c, int ms);
bool reply_header(const struct reply *r, const char *name, char *ret, size_t max);
void reply_done(struct reply *r);
/* One request with Content-Length (body NULL: none), one answer. */
void client_call(struct client *c, const char *method, const char *target, const char *body,
                 struct reply *ret);
void client_call_once(const char *address, const char *method, const char *target, const char *body,
                      struct reply *ret);

#endif
