/* Time as a dependency: monotonic for waits, wall clock for what is written down. Tests pass a
 * clock of their own. */
#ifndef CARDINAL_BASE_CLOCK_H
#define CARDINAL_BASE_CLOCK_H

#include "base/str.h"
#include <stdint.h>

struct clock {
    int64_t (*mono_ns)(void *ctx);
    int64_t (*wall_ns)(void *ctx); /* Unix time */
    void *ctx;
};
extern const struct clock CLOCK_SYSTEM;

static inline int64_t clock_mono_ms(const struct clock *c) { return c->mono_ns(c->ctx) / 1000000; }
static inline int64_t clock_mono_ns(const struct clock *c) { return c->mono_ns(c->ctx); }
static inline int64_t clock_wall_s(const struct clock *c)
{
    return c->wall_ns(c->ctx) / 1000000000;
}
static inline int64_t clock_wall_ns(const struct clock *c) { return c->wall_ns(c->ctx); }

#define CLOCK_TEXT_MAX 40
/* RFC 3339 in UTC, "2026-11-22T03:44:05Z"; micro: six fraction digits (Lease MicroTime). Returns
 * the length. */
size_t clock_rfc3339(int64_t wall_ns, bool micro, char out[CLOCK_TEXT_MAX]);
/* RFC 3339 with any fraction and offset; false when it is none. */
bool clock_parse_rfc3339(struct str s, int64_t *ret_wall_ns);
/* A Go duration text ("5m", "1h30m", "1.5s", "300ms"); false when it is none or negative or beyond
 * 100 years. */
bool clock_parse_duration(struct str s, int64_t *ret_ns);

#endif
