/* Error texts are made here and nowhere else, so the promises of err.h (one line, valid UTF-8,
 * always terminated, cut visibly) hold whatever the outside world put into the arguments. */
#include "base/err.h"

#include "base/utf8.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const char CUT[] = "\xe2\x80\xa6"; /* … */

/* Copies `in` to `out` with everything a log line or an event can't carry replaced by '?', and cut
 * to `size`. */
static void clean_copy(char *out, size_t size, const char *in, bool was_cut)
{
    const unsigned char *p = (const unsigned char *)in;
    size_t left = strlen(in), n = 0;
    size_t room = size - sizeof(CUT); /* text that is followed by more must end here */
    size_t cut_at = 0;                /* the last character border within room */
    while (left > 0 && n < size - 1) {
        size_t len = utf8_len(p, left);
        size_t put = len ? len : 1;
        if (n + put > size - 1)
            break;
        if (len == 0 || *p < 0x20 || *p == 0x7f)
            out[n] = '?';
        else
            memcpy(out + n, p, len);
        n += put;
        p += put;
        left -= put;
        if (n <= room)
            cut_at = n;
    }
    if (left > 0 || was_cut) {
        memcpy(out + cut_at, CUT, sizeof(CUT));
        return;
    }
    out[n] = '\0';
}

/* Formats into `out`; true when the text did not fit. */
__attribute__((format(printf, 3, 0))) static bool format_text(char *out, size_t size,
                                                              const char *fmt, va_list ap)
{
    int n = vsnprintf(out, size, fmt, ap);
    if (n < 0) {
        out[0] = '\0';
        return true;
    }
    return (size_t)n >= size;
}

enum err_code err_set(struct err *err, enum err_code code, const char *fmt, ...)
{
    if (!err)
        return code;
    char raw[sizeof(err->text) + 1]; /* apart from err->text: it may be among the arguments */
    va_list ap;
    va_start(ap, fmt);
    bool cut = format_text(raw, sizeof(raw), fmt, ap);
    va_end(ap);
    err->code = code;
    clean_copy(err->text, sizeof(err->text), raw, cut);
    return code;
}

enum err_code err_prefix(struct err *err, enum err_code code, const char *fmt, ...)
{
    if (!err)
        return code;
    char raw[2 * sizeof(err->text) + 8];
    va_list ap;
    va_start(ap, fmt);
    bool cut = format_text(raw, sizeof(err->text), fmt, ap);
    va_end(ap);
    err->code = code;
    if (!cut && err->text[0] != '\0') {
        size_t n = strlen(raw);
        raw[n] = ':';
        raw[n + 1] = ' ';
        memcpy(raw + n + 2, err->text, strlen(err->text) + 1);
    }
    clean_copy(err->text, sizeof(err->text), raw, cut);
    return code;
}

static const struct err_class CLASSES[ERR_COUNT_] = {
    [ERR_OK] = {"OK", 200, false},
    [ERR_BAD_REQUEST] = {"BadRequest", 400, false},
    [ERR_FORBIDDEN] = {"Forbidden", 403, false},
    [ERR_NOT_FOUND] = {"NotFound", 404, false},
    [ERR_CONFLICT] = {"Conflict", 409, false}, /* the caller must read again first */
    [ERR_GONE] = {"Gone", 410, false},
    [ERR_TOO_LARGE] = {"TooLarge", 413, false},
    [ERR_INVALID] = {"Invalid", 422, false},
    [ERR_BUSY] = {"Busy", 429, true},
    [ERR_UNAVAILABLE] = {"Unavailable", 503, true},
    [ERR_UNKNOWN] = {"Unknown", 504, false}, /* the caller must find out first what happened */
    [ERR_CANCELLED] = {"Cancelled", 503, false},
    [ERR_NO_MEMORY] = {"NoMemory", 503, true},
    [ERR_INTERNAL] = {"Internal", 500, false},
};

const struct err_class *err_class(enum err_code code)
{
    unsigned i = (unsigned)code;
    return &CLASSES[i < ERR_COUNT_ ? i : ERR_INTERNAL];
}
