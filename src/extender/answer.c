/* Answers that are the same for all handlers, and the query of a request. What a verb answers to
 * kube-scheduler is a 200 whose text is wire.c's; any other number means that nobody looked at the
 * pod (kube-scheduler reads the body of a 200 only), so those are for people: plain text here, or a
 * Status of the read-only API. */
#include "extender/priv.h"

#include <stdarg.h>
#include <stdio.h>

enum { TEXT_MAX = 2048 };

void ext_answer_text(struct ext_answer *a, unsigned status, const char *fmt, ...)
{
    char text[TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args); /* a longer text is cut */
    va_end(args);
    a->status = status;
    a->content_type = "text/plain; charset=utf-8";
    buf_done(&a->body);
    buf_init(&a->body, TEXT_MAX);
    buf_add(&a->body, str_z(text));
}

void ext_answer_err(struct ext_answer *a, const struct err *err)
{
    const struct err_class *class = err_class(err->code);
    a->status = class->http_status;
    a->content_type = "application/json";
    buf_done(&a->body);
    buf_init(&a->body, 4 * TEXT_MAX);
    buf_add(&a->body,
            STR("{\"kind\":\"Status\",\"apiVersion\":\"cardinal/v1\",\"status\":\"Failure\","
                "\"message\":"));
    buf_json(&a->body, str_z(err->text));
    buf_add(&a->body, STR(",\"reason\":"));
    buf_json(&a->body, str_z(class->name));
    buf_fmt(&a->body, ",\"code\":%u}", class->http_status);
}

bool ext_query(const struct ext_request *r, const char *name, struct arena *arena, struct str *ret)
{
    struct str rest = r->query, pair, key;
    while (rest.p && str_split(&rest, '&', &pair)) {
        struct str value = pair;
        if (!str_split(&value, '=', &key))
            continue;
        if (!value.p)
            value = (struct str){"", 0};
        struct str plain;
        if (ext_url_decode(key, /* plus= */ true, arena, &plain) && str_eq(plain, str_z(name)))
            return ext_url_decode(value, /* plus= */ true, arena, ret);
    }
    return false;
}
