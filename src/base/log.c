/* One line a write(2), so that lines of several threads don't mix and nothing is lost in a buffer
 * at a crash. The format is walked here piece by piece: only that way is it known which bytes are
 * ours and which came from outside, and the latter can neither end the line nor start a key of
 * their own. */
#include "base/log.h"

#include "base/clock.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

_Atomic int log_level = 0;
static _Atomic uint64_t lost;
/* Guards `told`, and makes the look and the write one step: of two lines that saw the same room the
 * second would wait. */
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;
static uint64_t told; /* of `lost`, those that a line has spoken of */

enum { LINE_MAX_BYTES = 2048 };

struct line {
    char text[LINE_MAX_BYTES];
    size_t n;
    bool cut;
};

static const char CUT_END[] = "\xe2\x80\xa6\n"; /* … */

/* All of s or nothing: an escape is never cut in half, and once something was left out nothing
 * follows. */
static void add(struct line *l, const char *s, size_t n)
{
    if (l->cut || n > sizeof(l->text) - sizeof(CUT_END) - l->n) {
        l->cut = true;
        return;
    }
    memcpy(l->text + l->n, s, n);
    l->n += n;
}

/* One byte of a text from outside. Bytes above ASCII pass as they are: they can't end anything. */
static void add_escaped(struct line *l, char c, bool quoted)
{
    static const char HEX[] = "0123456789abcdef";
    unsigned char u = (unsigned char)c;
    if (u == '\n') {
        add(l, "\\n", 2);
    } else if (u == '\t') {
        add(l, "\\t", 2);
    } else if (u == '"' || u == '\\') {
        add(l, (const char[]){'\\', c}, 2);
    } else if (u < 0x20 || u == 0x7f || (u == ' ' && !quoted)) {
        add(l, (const char[]){'\\', 'x', HEX[u >> 4], HEX[u & 15]}, 4);
    } else {
        add(l, &c, 1);
    }
}

/* Where a %s stands in the format: decides how its text is kept together. */
enum place {
    PLACE_QUOTED, /* between quotes of the format */
    PLACE_ALONE,  /* key=%s, the whole value: gets quotes where it needs them */
    PLACE_PART    /* pod=%s/%s: no quotes can be added, blanks are written \x20 */
};

static void add_string(struct line *l, const char *s, int precision, enum place place)
{
    if (!s)
        s = precision == 0 ? "" : "(null)";
    size_t n = precision < 0 ? strlen(s) : strnlen(s, (size_t)precision);
    bool quotes = false;
    if (place == PLACE_ALONE) {
        quotes = n == 0;
        for (size_t i = 0; i < n && !quotes; i++)
            quotes = (unsigned char)s[i] <= 0x20 || s[i] == '"' || s[i] == '\\' || s[i] == '=' ||
                     s[i] == 0x7f;
    }
    if (quotes)
        add(l, "\"", 1);
    for (size_t i = 0; i < n; i++)
        add_escaped(l, s[i], quotes || place == PLACE_QUOTED);
    if (quotes)
        add(l, "\"", 1);
}

/* One conversion, taken apart. */
struct conv {
    char spec[16]; /* "%" flags, then "*.*" and the length and type: given to snprintf */
    size_t spec_n;
    int width, precision; /* precision -1: none */
    char length[3];
    char type;
};

/* Reads the conversion behind '%' at f; returns where it ends. Takes the arguments of '*' from ap.
 */
static const char *read_conv(const char *f, va_list *ap, struct conv *c)
{
    *c = (struct conv){.precision = -1};
    c->spec[c->spec_n++] = '%';
    for (; *f && strchr("-+ #0", *f); f++)
        if (c->spec_n < 6)
            c->spec[c->spec_n++] = *f;
    if (*f == '*') {
        c->width = va_arg(*ap, int);
        f++;
    }
    for (; *f >= '0' && *f <= '9'; f++)
        c->width = c->width < 1000 ? c->width * 10 + (*f - '0') : c->width;
    if (*f == '.') {
        f++;
        c->precision = 0;
        if (*f == '*') {
            c->precision = va_arg(*ap, int);
            f++;
        }
        for (; *f >= '0' && *f <= '9'; f++)
            c->precision =
                c->precision < LINE_MAX_BYTES ? c->precision * 10 + (*f - '0') : c->precision;
    }
    for (size_t i = 0; *f && strchr("hljztL", *f); f++)
        if (i < 2)
            c->length[i++] = *f;
    c->type = *f;
    return *f ? f + 1 : f;
}

/* An integer argument of the length the conversion says; an unsigned one as the bits it has. */
static intmax_t take_integer(const struct conv *c, va_list *ap)
{
    /* NOLINTBEGIN(bugprone-branch-clone): types of one width here, and not everywhere */
    if (c->length[0] == 'l' && c->length[1] == 'l')
        return va_arg(*ap, long long);
    if (c->length[0] == 'l')
        return va_arg(*ap, long);
    if (c->length[0] == 'j')
        return va_arg(*ap, intmax_t);
    if (c->length[0] == 'z' || c->length[0] == 't')
        return va_arg(*ap, ptrdiff_t);
    /* NOLINTEND(bugprone-branch-clone) */
    int i = va_arg(*ap, int);
    return c->type == 'd' || c->type == 'i' ? i : (intmax_t)(unsigned)i;
}

/* The format is put together from a checked one: compilers saw it at the call of log_line. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static void add_number(struct line *l, struct conv *c, va_list *ap)
{
    char out[512];
    int n = -1;
    char *spec = c->spec + c->spec_n; /* behind the flags */
    if (c->type == '\0') {
        l->cut = true;
        return;
    }
    if (strchr("di", c->type)) {
        memcpy(spec, "*.*jd", sizeof("*.*jd"));
        n = snprintf(out, sizeof(out), c->spec, c->width, c->precision, take_integer(c, ap));
    } else if (strchr("uoxX", c->type)) {
        memcpy(spec, (const char[]){'*', '.', '*', 'j', c->type, '\0'}, 6);
        n = snprintf(out, sizeof(out), c->spec, c->width, c->precision,
                     (uintmax_t)take_integer(c, ap));
    } else if (strchr("efg", c->type)) {
        memcpy(spec, (const char[]){'*', '.', '*', c->type, '\0'}, 5);
        n = snprintf(out, sizeof(out), c->spec, c->width, c->precision, va_arg(*ap, double));
    } else if (c->type == 'p') {
        n = snprintf(out, sizeof(out), "%p", va_arg(*ap, void *));
    }
    if (n < 0) {
        l->cut = true; /* an unknown conversion: the arguments behind it can't be found either */
        return;
    }
    add(l, out, (size_t)n < sizeof(out) ? (size_t)n : sizeof(out) - 1);
}
#pragma GCC diagnostic pop

static void add_format(struct line *l, const char *fmt, va_list *ap)
{
    bool in_quotes = false;
    for (const char *f = fmt; *f && !l->cut;) {
        if (*f != '%') {
            in_quotes ^= *f == '"';
            char c = (char)(*f == '\n' ? ' ' : *f);
            add(l, &c, 1);
            f++;
            continue;
        }
        const char *start = f;
        struct conv c;
        f = read_conv(f + 1, ap, &c);
        if (c.type == '%') {
            add(l, "%", 1);
        } else if (c.type == 'c') {
            add_escaped(l, (char)va_arg(*ap, int), in_quotes);
        } else if (c.type == 's') {
            bool alone = start > fmt && start[-1] == '=' && (*f == ' ' || *f == '\0');
            add_string(l, va_arg(*ap, const char *), c.precision,
                       in_quotes ? PLACE_QUOTED
                       : alone   ? PLACE_ALONE
                                 : PLACE_PART);
        } else {
            add_number(l, &c, ap);
        }
    }
}

/* The time with milliseconds: 2026-11-22T03:44:05.123Z */
static void add_time(struct line *l)
{
    char text[CLOCK_TEXT_MAX];
    size_t n = clock_rfc3339(clock_wall_ns(&CLOCK_SYSTEM), true, text);
    add(l, "time=", 5);
    add(l, text, n - 4); /* without three of the six digits and the Z */
    add(l, "Z", 1);
}

static void begin(struct line *l, const char *level, const char *msg)
{
    l->n = 0;
    l->cut = false;
    add_time(l);
    add(l, " level=", 7);
    add(l, level, strlen(level));
    add(l, " msg=\"", 6);
    add_string(l, msg, -1, PLACE_QUOTED);
    add(l, "\"", 1);
}

static void end(struct line *l)
{
    if (l->cut) { /* not within a character */
        while (l->n > 0 && ((unsigned char)l->text[l->n - 1] & 0xc0) == 0x80)
            l->n--;
        if (l->n > 0 && (unsigned char)l->text[l->n - 1] >= 0xc0)
            l->n--;
    }
    const char *last = l->cut ? CUT_END : "\n";
    size_t n = strlen(last);
    memcpy(l->text + l->n, last, n); /* add() keeps room for it */
    l->n += n;
}

/* Whoever logs may be answering kube-scheduler: a reader that stands still must not stop it. A pipe
 * that shows room takes a whole line (LINE_MAX_BYTES is below its atomic size); a file always does,
 * or fails at once. */
static bool write_locked(const struct line *l)
{
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&out, 1, 0) != 1 || out.revents != POLLOUT)
        return false; /* no room, nobody who reads, or not open */
    ssize_t wrote;
    do
        wrote = write(STDERR_FILENO, l->text, l->n);
    while (wrote < 0 && errno == EINTR);
    return wrote == (ssize_t)l->n;
}

/* What is missing in front of the next line is said there. */
static void tell_locked(uint64_t lines)
{
    struct line l;
    char text[40];
    begin(&l, "warn", "log lines lost");
    int n = snprintf(text, sizeof(text), " lines=%llu", (unsigned long long)(lines - told));
    add(&l, text, (size_t)n);
    end(&l);
    if (write_locked(&l))
        told = lines;
}

void log_line(enum log_severity sev, const char *msg, const char *fmt, ...)
{
    static const char *const LEVELS[] = {
        [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error"};
    int saved_errno = errno;
    struct line l;
    begin(&l, LEVELS[sev], msg);
    while (*fmt == ' ')
        fmt++;
    if (*fmt) {
        add(&l, " ", 1);
        va_list ap;
        va_start(ap, fmt);
        add_format(&l, fmt, &ap);
        va_end(ap);
    }
    end(&l);
    pthread_mutex_lock(&writing);
    uint64_t lines = atomic_load_explicit(&lost, memory_order_relaxed);
    if (lines != told)
        tell_locked(lines);
    if (!write_locked(&l))
        atomic_fetch_add_explicit(&lost, 1, memory_order_relaxed);
    pthread_mutex_unlock(&writing);
    errno = saved_errno;
}

uint64_t log_lost(void) { return atomic_load_explicit(&lost, memory_order_relaxed); }
