/* An API server of canned answers on loopback, for the HTTP client's tests: it plays one script
 * step a request, and can do what real ones do on bad days: cut answers, stall, hang up, say
 * nothing. */
#ifndef CARDINAL_FAKE_API_H
#define CARDINAL_FAKE_API_H

#include <stdbool.h>
#include <stddef.h>

struct fake_step {
    const char *want; /* must be part of the request's head ("GET /api/v1/pods?limit=500"); NULL:
                         anything */
    const char *want_body; /* must be part of its body; NULL: anything */
    int status;            /* 0: nothing is answered */
    const char *headers;   /* more header lines, each with its \r\n; may be NULL */
    const char *body;
    bool chunked;
    size_t piece; /* chunked: bytes a chunk, sent one by one; 0: all at once */
    int cut; /* > 0: so many bytes of the answer, head included, then the connection is closed */
    int delay_ms;      /* before the answer */
    int hold_ms;       /* after the body, before its end: a watch that stays open */
    bool close, reset; /* afterwards: close in good order; or at once with RST, without an answer */
    bool from_start;   /* close or reset before the request is read */
};

enum fake_tls {
    FAKE_PLAIN,
    FAKE_TLS,
    FAKE_TLS_NAMED, /* a certificate for kube.test only */
    FAKE_TLS_SLOW   /* each handshake begins 2 s late */
};

struct fake_api;
struct fake_api *fake_api_start(const struct fake_step *steps, size_t n, enum fake_tls tls);
int fake_api_port(const struct fake_api *f);
/* Ends it; a text if what came was not what the script wants (wrong request, too many, too few),
 * else NULL. It lives until the next call of this function. */
const char *fake_api_stop(struct fake_api *f);
size_t fake_api_requests(struct fake_api *f);    /* so far */
size_t fake_api_connections(struct fake_api *f); /* so far */
/* PEM texts made for this process; `client` says who the client is. */
const char *fake_ca_pem(void);
const char *fake_other_ca_pem(void);
const char *fake_client_pem(void);
const char *fake_client_key_pem(void);
/* The name in the last client certificate that was shown and good; "" if none. */
const char *fake_api_client(struct fake_api *f);

#endif
