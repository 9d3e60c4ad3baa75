/* The list that most plugins write (core.md 2.1, vendors-b.md 0.6). Read as Go's decoder reads it:
 * names in any case, the last duplicate wins, null is absent (errata E-9). */
#include "vendor/register.h"

/* An array of objects whose members are not used; only its shape is checked. */
static void skip_objects(struct scan *s)
{
    if (!scan_array(s))
        return;
    while (scan_item(s)) {
        if (scan_peek(s) == SCAN_OBJECT)
            scan_skip(s);
        else if (!scan_null(s))
            scan_fail(s, "expected an object");
    }
}

/* A number as Go's float64 cut to an integer; anything else is no zone (vendors-a.md 1.7 T). */
static void read_zone_number(struct scan *s, int32_t *ret)
{
    struct str raw;
    struct quantity q;
    int64_t zone;
    const bool number = scan_peek(s) == SCAN_NUMBER;
    *ret = SCORE_ZONE_NONE;
    if (!scan_raw(s, &raw) || !number || quantity_parse(raw, &q, NULL))
        return;
    const bool negative = quantity_sign(&q) < 0;
    q.negative = false;
    if (quantity_floor(&q, 0, &zone) && zone <= INT32_MAX)
        *ret = (int32_t)(negative ? -zone : zone);
}

/* What members of custominfo mean is the row's; it is a Go map: names as they are. */
struct custom {
    struct str card;
    bool dies;
};

static void read_custominfo(struct scan *s, const struct vendor *v, struct register_card *card,
                            struct custom *custom)
{
    struct str key, text;
    if (scan_peek(s) != SCAN_OBJECT) {
        scan_fail(s, "custominfo is not an object");
        return;
    }
    (void)scan_object(s);
    while (scan_key(s, &key)) {
        const bool string = scan_peek(s) == SCAN_STRING;
        if (v->zone == VENDOR_ZONE_NETWORK && str_eq(key, STR("NetworkID"))) {
            read_zone_number(s, &card->dev.zone);
        } else if (v->zone == VENDOR_ZONE_CARD && str_eq(key, STR("AIC"))) {
            custom->card = (struct str){NULL, 0};
            if (string)
                scan_string(s, &custom->card);
            else
                scan_skip(s);
        } else if (v->zone == VENDOR_ZONE_CARD && str_eq(key, STR("DeviceStrategy"))) {
            custom->dies = string && scan_string(s, &text) && str_eq(text, STR("die"));
            if (!string)
                scan_skip(s);
        } else {
            scan_skip(s);
        }
    }
}

static void read_member(struct scan *s, struct str key, struct register_list *l,
                        struct register_card *card, size_t first, struct custom *custom)
{
    struct vendor_device *dev = &card->dev;
    int64_t number;
    int32_t mib = 0;
    struct str text;
    if (scan_null(s)) /* absent */
        return;
    if (str_eq_fold(key, STR("id"))) {
        scan_string(s, &dev->id);
    } else if (str_eq_fold(key, STR("index"))) {
        register_i32(s, &dev->index);
    } else if (str_eq_fold(key, STR("count"))) {
        register_i32(s, &dev->count);
    } else if (str_eq_fold(key, STR("devmem"))) {
        register_i32(s, &mib);
        dev->mem_mib = mib;
    } else if (str_eq_fold(key, STR("devcore"))) {
        register_i32(s, &dev->cores_pct);
    } else if (str_eq_fold(key, STR("type"))) {
        scan_string(s, &dev->type);
    } else if (str_eq_fold(key, STR("numa"))) {
        if (scan_int(s, &number))
            dev->numa = register_numa(number);
    } else if (str_eq_fold(key, STR("mode"))) {
        scan_string(s, &dev->mode);
    } else if (str_eq_fold(key, STR("health"))) {
        scan_bool(s, &dev->healthy);
    } else if (str_eq_fold(key, STR("migProfiles"))) {
        l->profiles_n = first; /* the last of several counts */
        register_profiles_read(s, l);
    } else if (str_eq_fold(key, STR("migtemplate"))) {
        skip_objects(s);
    } else if (str_eq_fold(key, STR("devicevendor"))) {
        scan_string(s, &text); /* overwritten by every reader */
    } else if (str_eq_fold(key, STR("custominfo"))) {
        read_custominfo(s, l->v, card, custom);
    } else {
        scan_skip(s);
    }
}

static enum err_code read_card(struct scan *s, struct register_list *l, struct err *err)
{
    struct register_card card = register_card_new();
    struct custom custom = {0};
    const size_t first = l->profiles_n;
    struct str key;
    if (!scan_object(s))
        return ERR_OK;
    while (scan_key(s, &key))
        read_member(s, key, l, &card, first, &custom);
    if (s->fault)
        return ERR_OK;
    const char *fault = register_card_fault(&card.dev);
    if (fault) {
        scan_fail(s, fault); /* says where */
        return ERR_OK;
    }
    if (custom.dies)
        card.zone = custom.card;
    card.dev.mig = str_eq(card.dev.mode, STR("mig"));
    if (card.dev.mig)
        register_profiles_take(l, first, &card);
    else
        l->profiles_n = first;
    return register_add(l, &card, err);
}

enum err_code register_read_json(struct register_list *l, struct err *err)
{
    const struct str text = l->text->list.p ? l->text->list : STR("");
    struct scan s = scan_start(text, REGISTER_DEPTH_MAX, l->arena);
    enum err_code rc = ERR_OK;
    if (!scan_null(&s) && scan_array(&s))
        while (!rc && scan_item(&s))
            rc = read_card(&s, l, err);
    if (!rc && !scan_end(&s))
        rc = register_scan_err(l, &s, "device list", err);
    if (rc)
        return err_prefix(err, rc, "annotation " STR_FMT, STR_ARG(l->v->node_register));
    return ERR_OK;
}
