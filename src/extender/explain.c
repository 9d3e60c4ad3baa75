/* Words made from reasons, in one place: codes for kube-scheduler (stable bytes: no counts, no
 * amounts), sentences with amounts for events and logs. */
#include "extender/priv.h"

#include <string.h>

void ext_reasons_text(score_reasons set, struct buf *out)
{
    const char *codes[SCORE_REASON_COUNT_] = {NULL};
    size_t n = 0;
    for (unsigned reason = SCORE_FITS + 1; reason < SCORE_REASON_COUNT_; reason++) {
        if (!(set & SCORE_BIT(reason)))
            continue;
        const char *code = score_reason_code((enum score_reason)reason);
        size_t at = n++;
        for (; at > 0 && strcmp(codes[at - 1], code) > 0; at--)
            codes[at] = codes[at - 1];
        codes[at] = code;
    }
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_add(out, STR(", "));
        buf_add(out, str_z(codes[i]));
    }
}

void ext_detail_text(const struct score_detail *d, struct buf *out)
{
    const char *what = NULL;
    const char *unit = "";
    switch (d->reason) {
    case SCORE_CARD_INSUFFICIENT_MEMORY:
        what = "device memory", unit = " MiB";
        break;
    case SCORE_CARD_INSUFFICIENT_CORE:
        what = "device cores", unit = " %";
        break;
    case SCORE_CARD_TIME_SLICING_EXHAUSTED:
        what = "shares";
        break;
    case SCORE_NODE_INSUFFICIENT_DEVICE:
    case SCORE_ALLOCATED_CARDS_INSUFFICIENT_REQUEST:
        what = "cards";
        break;
    default:
        break;
    }
    buf_add(out, str_z(score_reason_code(d->reason)));
    if (what)
        buf_fmt(out, " (%s: wanted %lld%s, free %lld of %lld)", what, (long long)d->wanted, unit,
                (long long)d->free, (long long)d->total);
}
