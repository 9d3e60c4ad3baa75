/* The older list of colons and commas (core.md 2.2, vendors-a.md S6). */
#include "vendor/register.h"

enum {
    F_ID,
    F_COUNT,
    F_MEM,
    F_CORE,
    F_TYPE,
    F_NUMA,
    F_HEALTH,
    F_SHORT,
    F_INDEX = F_SHORT,
    F_MODE,
    F_LONG
};

MUST_USE static enum err_code read_fields(struct str segment, struct register_card *ret,
                                          struct err *err)
{
    struct str field[F_LONG], rest = segment, piece;
    int n = 0;
    for (; str_split(&rest, ',', &piece); n++)
        if (n < F_LONG)
            field[n] = piece;
    if (n == 1)
        return err_set(err, ERR_INVALID, "malformed node annotation segment: \"" STR_FMT "\"",
                       STR_ARG(segment));
    if (n != F_SHORT && n != F_LONG)
        return err_set(err, ERR_INVALID, "unexpected field count %d in node annotation", n);
    static const struct {
        int field;
        const char *name;
    } NUMBERS[] = {{F_COUNT, "count"}, {F_MEM, "devmem"}, {F_CORE, "devcore"}};
    int64_t number[3], numa, index = 0;
    bool healthy;
    for (int i = 0; i < 3; i++)
        if (!str_int(field[NUMBERS[i].field], INT32_MIN, INT32_MAX, &number[i]))
            return err_set(err, ERR_INVALID, "%s \"" STR_FMT "\" is not a 32-bit number",
                           NUMBERS[i].name, STR_ARG(field[NUMBERS[i].field]));
    if (!str_go_bool(field[F_HEALTH], &healthy))
        return err_set(err, ERR_INVALID, "health \"" STR_FMT "\" is not a bool",
                       STR_ARG(field[F_HEALTH]));
    if (!str_int(field[F_NUMA], INT64_MIN, INT64_MAX, &numa))
        return err_set(err, ERR_INVALID, "numa \"" STR_FMT "\" is not a number",
                       STR_ARG(field[F_NUMA]));
    if (n == F_LONG) {
        if (!str_int(field[F_INDEX], INT64_MIN, INT32_MAX, &index))
            return err_set(err, ERR_INVALID, "index \"" STR_FMT "\" is not a number",
                           STR_ARG(field[F_INDEX]));
        if (index < 0)
            return err_set(err, ERR_INVALID, "index field must not be negative: %lld",
                           (long long)index);
    }
    ret->dev.id = field[F_ID];
    ret->dev.type = field[F_TYPE];
    ret->dev.mode = n == F_LONG ? field[F_MODE] : STR("hami-core");
    ret->dev.mem_mib = number[1];
    ret->dev.index = (int32_t)index;
    ret->dev.count = (int32_t)number[0];
    ret->dev.cores_pct = (int32_t)number[2];
    ret->dev.numa = register_numa(numa);
    ret->dev.healthy = healthy;
    ret->dev.mig = str_eq(ret->dev.mode, STR("mig"));
    return ERR_OK;
}

MUST_USE static enum err_code read_cards(struct register_list *l, struct err *err)
{
    const struct str text = l->text->list.p ? l->text->list : STR("");
    if (!str_contains(text, STR(":")))
        return err_set(err, ERR_INVALID, "node annotation missing device separator");
    if (!str_utf8_valid(text))
        return err_set(err, ERR_INVALID, "node annotation is not UTF-8");
    struct str rest = text, segment;
    while (str_split(&rest, ':', &segment)) {
        struct register_card card = register_card_new();
        if (segment.n == 0)
            continue;
        enum err_code rc = read_fields(segment, &card, err);
        if (!rc)
            rc = register_add(l, &card, err);
        if (rc)
            return rc;
    }
    return ERR_OK;
}

enum err_code register_read_text(struct register_list *l, struct err *err)
{
    enum err_code rc = read_cards(l, err);
    if (rc)
        return err_prefix(err, rc, "annotation " STR_FMT, STR_ARG(l->v->node_register));
    return ERR_OK;
}
