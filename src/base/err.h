/* Errors: a code for the machine and one line of text for the human, made where the fault is seen.
 */
#ifndef CARDINAL_BASE_ERR_H
#define CARDINAL_BASE_ERR_H

#include <stdbool.h>

#define MUST_USE __attribute__((warn_unused_result))

enum err_code {
    ERR_OK,
    ERR_BAD_REQUEST, /* what was sent can't be understood (400) */
    ERR_FORBIDDEN,   /* 401, 403 */
    ERR_NOT_FOUND,   /* 404 */
    ERR_CONFLICT,    /* 409: a precondition (UID, resourceVersion) or the state stands against it */
    ERR_GONE,        /* 410: resourceVersion too old, list again */
    ERR_TOO_LARGE,   /* 413, or a limit of ours */
    ERR_INVALID,     /* 422: understood and refused; of a JSON patch: a test failed */
    ERR_BUSY,        /* 429: surely not done; try again later */
    ERR_UNAVAILABLE, /* surely not done: nobody there, or not ready */
    ERR_UNKNOWN,     /* a write was sent and nobody knows whether it was, or will be, done */
    ERR_CANCELLED,   /* we were told to stop */
    ERR_NO_MEMORY,
    ERR_INTERNAL,
    ERR_COUNT_
};

struct err {
    enum err_code code;
    char text[512]; /* one line, always terminated, no '\n', cut with "…" */
};

/* What a code means at the edge. One table, never NULL. */
struct err_class {
    const char *name; /* "Conflict" */
    unsigned http_status;
    bool retriable; /* the same call may succeed later without a change by the caller */
};

/* Both return `code`, so that `return err_set(…);` is the whole failure path. err may be NULL.
 * Control characters in the formatted text are replaced by '?'. err_prefix keeps the present text
 * behind ": ". */
enum err_code err_set(struct err *err, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
enum err_code err_prefix(struct err *err, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
const struct err_class *err_class(enum err_code code);

/* A result dropped on purpose. */
static inline void err_ignore(enum err_code code) { (void)code; }

#endif
