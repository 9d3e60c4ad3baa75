/* A list of cards with links, in names of its own (vendors-b.md 1d). What it says of use is not
 * read: that is the ledger's to know. */
#include "vendor/register.h"

static void read_member(struct scan *s, struct str key, const struct vendor *v,
                        struct register_card *card)
{
    static const struct str NUMBERS[] = {STR_INIT("availableDevCount"),
                                         STR_INIT("availableCompute"), STR_INIT("availableVRam")};
    struct vendor_device *dev = &card->dev;
    struct str text = STR("");
    int32_t number = 0;
    if (scan_null(s)) /* absent */
        return;
    if (str_eq_fold(key, STR("uuid"))) {
        scan_string(s, &dev->id);
    } else if (str_eq_fold(key, STR("totalDevCount"))) {
        register_i32(s, &dev->count);
    } else if (str_eq_fold(key, STR("totalCompute"))) {
        register_i32(s, &dev->cores_pct);
    } else if (str_eq_fold(key, STR("totalVRam"))) {
        register_i32(s, &number);
        dev->mem_mib = number;
    } else if (str_eq_fold(key, STR("numa"))) {
        register_i32(s, &dev->numa);
    } else if (str_eq_fold(key, STR("healthy"))) {
        scan_bool(s, &dev->healthy);
    } else if (str_eq_fold(key, STR("linkZone"))) {
        register_i32(s, &number);
        if (v->zone == VENDOR_ZONE_LINK)
            dev->zone = number > 0 ? number : SCORE_ZONE_NONE; /* 0 and below: no link (D1.7) */
    } else if (str_eq_fold(key, STR("qosPolicy")) || str_eq_fold(key, STR("model")) ||
               str_eq_fold(key, STR("bdf"))) {
        scan_string(s, &text); /* the policy of a card is that of the pods on it */
    } else {
        for (size_t i = 0; i < sizeof(NUMBERS) / sizeof(NUMBERS[0]); i++)
            if (str_eq_fold(key, NUMBERS[i])) {
                register_i32(s, &number);
                return;
            }
        scan_skip(s);
    }
}

enum err_code register_read_shared(struct register_list *l, struct err *err)
{
    const struct str text = l->text->list.p ? l->text->list : STR("");
    struct scan s = scan_start(text, REGISTER_DEPTH_MAX, l->arena);
    enum err_code rc = ERR_OK;
    struct str key;
    if (!scan_null(&s) && scan_array(&s))
        for (int32_t at = 0; !rc && scan_item(&s); at++) {
            struct register_card card = register_card_new();
            card.dev.type = l->v->core.key;
            card.dev.index = at;
            if (!scan_object(&s))
                break;
            while (scan_key(&s, &key))
                read_member(&s, key, l->v, &card);
            if (!s.fault)
                rc = register_add(l, &card, err);
        }
    if (!rc && !scan_end(&s))
        rc = register_scan_err(l, &s, "device list", err);
    if (rc)
        return err_prefix(err, rc, "annotation " STR_FMT, STR_ARG(l->v->node_register));
    return ERR_OK;
}
