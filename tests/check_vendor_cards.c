/* What cards every maker's nodes have, from their registrations, capacities and what stands beside
 * them: the built-in rows' chapters (nvidia.md 7.1, 8.1; vendors-a.md 1.4 to 5.4; the parts d of
 * vendors-b.md), good, sick, malformed and hostile. */
#include "check_vendor.h"

#include "base/own.h"

#include <string.h>

DEFINE_CLEANUP(struct arena *, arena_free)

static struct vendor_table *table;
static void setup(void) { ck_assert_int_eq(vendor_table_builtin(&table, NULL), ERR_OK); }
static void teardown(void) { vendor_table_free(table); }

struct row {
    const char *name, *key;                 /* the row's key */
    const char *list, *count, *mem, *cores; /* register annotation; capacities */
    const char *pairs, *soft, *loss, *gain, *kind;
    const char *want;  /* as shown; NULL: refused */
    const char *fault; /* in the text of the refusal, or of the card or topology that is at fault */
    int dropped;
};

/* id,index,count,mem,cores,type,numa,mode,health and what only some have, for each card */
static void show_device(const struct vendor_device *d, struct buf *out)
{
    buf_add(out, d->id);
    buf_fmt(out, ",%d,%d,%lld,%d,", d->index, d->count, (long long)d->mem_mib, d->cores_pct);
    buf_add(out, d->type);
    buf_fmt(out, ",%d,", d->numa);
    buf_add(out, d->mode);
    buf_fmt(out, ",%d", d->healthy);
    buf_fmt(out, "%s%s%s", d->mig ? ",mig" : "", d->foreign ? ",foreign" : "",
            d->soft ? ",soft" : "");
    if (d->zone != SCORE_ZONE_NONE)
        buf_fmt(out, ",z%d", d->zone);
    if (d->bits)
        buf_fmt(out, ",b%llx", (unsigned long long)d->bits);
    if (d->profiles_n > 0)
        buf_fmt(out, ",p%u+%u", d->profile, d->profiles_n);
    buf_char(out, ';');
}

static void show_profile(const struct score_profile *p, struct buf *out)
{
    buf_add(out, STR(" | "));
    buf_add(out, p->name);
    buf_char(out, '/');
    buf_add(out, p->id);
    buf_fmt(out, " %lld %d %d", (long long)p->mem_mib, p->cores_pct, p->slices);
    for (uint16_t i = 0; i < p->placements_n; i++)
        buf_fmt(out, "%s%u+%u", i ? "," : " @", p->placements[i].start, p->placements[i].size);
}

static void show_numbers(const char *name, const int32_t *of, size_t n, struct buf *out)
{
    if (!of)
        return;
    buf_fmt(out, " %s", name);
    for (size_t i = 0; i < n; i++)
        if (of[i] == SCORE_TABLE_NONE)
            buf_add(out, STR(" -"));
        else
            buf_fmt(out, " %d", of[i]);
}

static void show(const struct vendor_cards *c, struct buf *out)
{
    const struct score_topology *t = &c->topology;
    for (uint16_t i = 0; i < c->devices_n; i++)
        show_device(&c->devices[i], out);
    for (uint16_t i = 0; i < c->profiles_n; i++)
        show_profile(&c->profiles[i], out);
    if (t->n > 0)
        buf_fmt(out, " # %u%s", t->n, t->aligned ? " aligned" : "");
    show_numbers("pairs", t->pair, (size_t)t->n * t->n, out);
    show_numbers("loss", t->loss, t->counts_n, out);
    show_numbers("gain", t->gain, t->counts_n, out);
}

static struct vendor_node_text text_of(const struct row *r)
{
    struct vendor_node_text text = {.node = STR("n1")};
    const struct {
        const char *from;
        struct str *to;
    } parts[] = {{r->list, &text.list},
                 {r->count, &text.capacity[VENDOR_RES_COUNT]},
                 {r->mem, &text.capacity[VENDOR_RES_MEM]},
                 {r->cores, &text.capacity[VENDOR_RES_CORES]},
                 {r->pairs, &text.pairs},
                 {r->soft, &text.soft},
                 {r->loss, &text.loss},
                 {r->gain, &text.gain},
                 {r->kind, &text.kind}};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        if (parts[i].from)
            *parts[i].to = str_z(parts[i].from);
    return text;
}

static void run_row(const struct row *r)
{
    struct arena *arena CLEANUP(arena_free_p) = arena_new(4 << 20);
    const struct vendor_node_text text = text_of(r);
    struct vendor_cards cards = {0};
    struct err err = {0};
    enum err_code rc = vendor_cards_decode(row_of(table, r->key), &text, arena, &cards, &err);
    if (!r->want) {
        ck_assert_msg(rc == ERR_INVALID && err.code == ERR_INVALID, "%s: got %d", r->name, rc);
        ck_assert_msg(strstr(err.text, r->fault), "%s: %s", r->name, err.text);
        ck_assert_ptr_null(cards.devices);
        return;
    }
    ck_assert_msg(rc == ERR_OK, "%s: %s", r->name, err.text);
    struct buf got;
    buf_init(&got, 100000);
    show(&cards, &got);
    ck_str(r->name, ((struct str){got.p, got.n}), str_z(r->want));
    buf_done(&got);
    const struct str fault = cards.card_fault.p ? cards.card_fault : cards.topology_fault;
    ck_assert_msg((fault.p != NULL) == (r->fault != NULL), "%s: fault " STR_FMT, r->name,
                  STR_ARG(fault));
    ck_assert_msg(!r->fault || str_contains(fault, str_z(r->fault)), "%s: " STR_FMT, r->name,
                  STR_ARG(fault));
    ck_assert_msg(cards.dropped == r->dropped, "%s: dropped %u", r->name, cards.dropped);
}

/* ---- slices with placements: nvidia.md 8.1, 8.2 ---- */

#define MIG(profiles)                                                                              \
    "[{\"id\":\"a\",\"count\":7,\"devmem\":40960,\"devcore\":100,\"type\":\"T\",\"mode\":\"mig\"," \
    "\"health\":true,\"migProfiles\":" profiles "}]"
#define P(name, mb, core, n, at)                                                                   \
    "{\"name\":\"" name "\",\"memoryMB\":" #mb ",\"core\":" #core ",\"sliceCount\":" #n            \
    ",\"placements\":[" at "]}"
#define AT(start, size) "{\"start\":" #start ",\"size\":" #size "}"
#define ONES            AT(0, 1) "," AT(1, 1) "," AT(2, 1) "," AT(3, 1) "," AT(4, 1) "," AT(5, 1) "," AT(6, 1)

static const struct row SLICED[] = {
    {"1g. and 3g. descend, others ascend, by memory (8.2)", "NVIDIA",
     MIG("[" P("7g.40gb", 40192, 100, 7, AT(0, 8)) "," P(
         "3g.20gb", 20096, 43, 3,
         AT(0, 4) "," AT(4, 4)) "," P("2g.10gb", 9984, 29, 2,
                                      AT(4, 2) "," AT(0, 2) "," AT(2, 2)) "," P("1g.5gb", 4864, 15,
                                                                                1, ONES) "]"),
     .want = "a,0,7,40960,105,T,0,mig,1,mig,bff,p0+4; | 1g.5gb/ 4864 15 1 "
             "@6+1,5+1,4+1,3+1,2+1,1+1,0+1 | 2g.10gb/ 9984 29 2 @0+2,2+2,4+2 | 3g.20gb/ 20096 43 3 "
             "@4+4,0+4 | 7g.40gb/ 40192 100 7 @0+8"},
    {"equal memory: fewer slices, then the name", "NVIDIA",
     MIG("[" P("2g.x", 5, 1, 2, AT(0, 1)) "," P("b", 5, 1, 1, AT(0, 1)) "," P("a", 5, 1, 1,
                                                                              AT(0, 1)) "]"),
     .want = "a,0,7,40960,100,T,0,mig,1,mig,b1,p0+3; | a/ 5 1 1 @0+1 | b/ 5 1 1 @0+1 | 2g.x/ 5 1 2 "
             "@0+1"},
    {"cores: what disjoint slices can take (N 5)", "NVIDIA",
     MIG("[" P("1g.a", 5, 40, 1, AT(0, 1) "," AT(1, 1) "," AT(2, 1)) "," P("2g.b", 9, 85, 2,
                                                                           AT(1, 2)) "]"),
     .want = "a,0,7,40960,125,T,0,mig,1,mig,b7,p0+2; | 1g.a/ 5 40 1 @2+1,1+1,0+1 | 2g.b/ 9 85 2 "
             "@1+2"},
    {"the last place of 64", "NVIDIA", MIG("[" P("x", 1, 0, 0, AT(63, 1)) "]"),
     .want = "a,0,7,40960,100,T,0,mig,1,mig,b8000000000000000,p0+1; | x/ 1 0 0 @63+1"},
    {"names in any case, null is absent, the last list counts (E-9)", "NVIDIA",
     MIG("[{\"name\":\"x\",\"memoryMB\":1,\"placements\":[{\"start\":0,\"size\":1}]}],"
         "\"migprofiles\":[{\"Name\":\"y\",\"MEMORYmb\":2,\"core\":null,\"Placements\":[{\"Size\":"
         "2}],"
         "\"more\":[1]}]"),
     .want = "a,0,7,40960,100,T,0,mig,1,mig,b3,p0+1; | y/ 2 0 0 @0+2"},
    {"no list: nothing to cut", "NVIDIA", MIG("null"), .want = "a,0,7,40960,100,T,0,mig,1,mig;"},
    {"equal cards share a list, others do not", "NVIDIA",
     "[{\"id\":\"a\",\"mode\":\"mig\",\"migProfiles\":[" P(
         "x", 1, 0, 0, AT(0, 1)) "]},"
                                 "{\"id\":\"b\",\"mode\":\"mig\",\"migProfiles\":[" P(
                                     "x", 1, 0, 0,
                                     AT(0, 1)) "]},"
                                               "{\"id\":\"c\",\"mode\":\"mig\",\"migProfiles\":[" P(
                                                   "x", 2, 0, 0, AT(0, 1)) "]}]",
     .want = "a,0,0,0,0,,0,mig,0,mig,b1,p0+1;b,0,0,0,0,,0,mig,0,mig,b1,p0+1;c,0,0,0,0,,0,mig,0,mig,"
             "b1,p1+1; | x/ 1 0 0 @0+1 | x/ 2 0 0 @0+1"},
    {"a card that is not cut has no slices", "NVIDIA",
     "[{\"id\":\"a\",\"migProfiles\":[" P("x", 1, 0, 0, AT(0, 1)) "]}]",
     .want = "a,0,0,0,0,,0,,0;"},
    /* the card is sick, the list stands */
    {"beyond the card", "NVIDIA", MIG("[" P("x", 1, 0, 0, AT(60, 5)) "]"),
     .want = "a,0,7,40960,100,T,0,mig,0,mig;", .fault = "card a: a slice of more than 32"},
    {"as far as numbers go", "NVIDIA", MIG("[" P("x", 1, 0, 0, AT(4294967295, 4294967295)) "]"),
     .want = "a,0,7,40960,100,T,0,mig,0,mig;", .fault = "outside the card"},
    {"no size", "NVIDIA", MIG("[" P("x", 1, 0, 0, AT(1, 0)) "]"),
     .want = "a,0,7,40960,100,T,0,mig,0,mig;", .fault = "outside the card"},
    {"a null placement", "NVIDIA", MIG("[" P("x", 1, 0, 0, "null") "]"),
     .want = "a,0,7,40960,100,T,0,mig,0,mig;", .fault = "outside the card"},
    {"no placement", "NVIDIA", MIG("[" P("x", 1, 0, 0, "") "]"),
     .want = "a,0,7,40960,100,T,0,mig,0,mig;", .fault = "without a placement"},
    {"33 placements", "NVIDIA",
     MIG("[" P("x", 1, 0, 0,
               ONES "," ONES "," ONES "," ONES
                    "," AT(0, 1) "," AT(0, 1) "," AT(0, 1) "," AT(0, 1) "," AT(0, 1)) "]"),
     .want = "a,0,7,40960,100,T,0,mig,0,mig;", .fault = "more than 32 placements"},
    {"no name", "NVIDIA", MIG("[" P("", 1, 0, 0, AT(0, 1)) "]"),
     .want = "a,0,7,40960,100,T,0,mig,0,mig;", .fault = "without a name"},
    {"no memory", "NVIDIA", MIG("[" P("x", 0, 0, 0, AT(0, 1)) "]"),
     .want = "a,0,7,40960,100,T,0,mig,0,mig;", .fault = "without memory"},
    {"negative cores", "NVIDIA", MIG("[" P("x", 1, -1, 0, AT(0, 1)) "]"),
     .want = "a,0,7,40960,100,T,0,mig,0,mig;", .fault = "negative amount"},
    {"a null profile", "NVIDIA", MIG("[null]"), .want = "a,0,7,40960,100,T,0,mig,0,mig;",
     .fault = "without a name"},
    {"twice, with different slices", "NVIDIA",
     "[{\"id\":\"a\",\"health\":true,\"mode\":\"mig\",\"migProfiles\":[" P(
         "x", 1, 0, 0,
         AT(0, 1)) "]},"
                   "{\"id\":\"a\",\"health\":true,\"mode\":\"mig\",\"migProfiles\":[" P(
                       "x", 1, 0, 0, AT(1, 1)) "]}]",
     .want = "a,0,0,0,0,,0,mig,0,mig,p0+1; | x/ 1 0 0 @0+1 | x/ 1 0 0 @1+1",
     .fault = "with different slices", .dropped = 1},
    /* the list is no list */
    {"a fraction as a start", "NVIDIA", MIG("[" P("x", 1, 0, 0, AT(0.5, 1)) "]"),
     .fault = "device list"},
    {"a negative start", "NVIDIA", MIG("[" P("x", 1, 0, 0, AT(-1, 1)) "]"), .fault = "32 bits"},
    {"a start of 33 bits", "NVIDIA", MIG("[" P("x", 1, 0, 0, AT(4294967296, 1)) "]"),
     .fault = "32 bits"},
    {"memory of 33 bits", "NVIDIA", MIG("[" P("x", 4294967296, 0, 0, AT(0, 1)) "]"),
     .fault = "32 bits"},
    {"a name that is a number", "NVIDIA", MIG("[{\"name\":1}]"), .fault = "device list"},
    {"placements as an object", "NVIDIA", MIG("[{\"placements\":{}}]"), .fault = "device list"},
    {"profiles of numbers", "NVIDIA", MIG("[1]"), .fault = "device list"},
};

/* ---- pairs and tables ---- */

#define THREE       "[{\"id\":\"GPU-a\"},{\"id\":\"GPU-b\"},{\"id\":\"GPU-c\"}]"
#define THREE_SHOWN "GPU-a,0,0,0,0,,0,,0;GPU-b,0,0,0,0,,0,,0;GPU-c,0,0,0,0,,0,,0;"
#define PAIRS(name, text, shown, ...)                                                              \
    {                                                                                              \
        name, "NVIDIA", THREE, .pairs = text, .want = THREE_SHOWN shown, __VA_ARGS__               \
    }
#define ALL                                                                                        \
    "[{\"uuid\":\"GPU-a\",\"score\":{\"GPU-b\":420,\"GPU-c\":10}},"                                \
    "{\"uuid\":\"GPU-b\",\"score\":{\"GPU-a\":420,\"GPU-c\":10}},"                                 \
    "{\"uuid\":\"GPU-c\",\"score\":{\"GPU-a\":10,\"GPU-b\":10}}]"
#define BOTH(value)                                                                                \
    "[{\"uuid\":\"GPU-a\",\"score\":{\"GPU-b\":" value "}},{\"uuid\":\"GPU-b\",\"score\":"         \
    "{\"GPU-a\":" value "}}]"

static const struct row PAIRED[] = {
    PAIRS("the contract's example (7.1)", ALL, " # 3 pairs 0 420 10 420 0 10 10 10 0"),
    PAIRS("missing: 0", NULL, ""),
    PAIRS("null, [], [{}], [null] are fine (E-7)", "null", ""),
    PAIRS("an empty list", "[]", ""),
    PAIRS("an entry of nothing", "[{}]", ""),
    PAIRS("a null entry", "[null,{\"uuid\":null,\"score\":null}]", ""),
    PAIRS("unknown cards are nothing",
          "[{\"uuid\":\"GPU-x\",\"score\":{\"GPU-a\":5}},{\"uuid\":\"GPU-a\",\"score\":{\"GPU-x\":"
          "5}}]",
          ""),
    PAIRS("negative values are legal", BOTH("-7"), " # 3 pairs 0 -7 0 -7 0 0 0 0 0"),
    PAIRS("the largest", BOTH("1000000"), " # 3 pairs 0 1000000 0 1000000 0 0 0 0 0"),
    PAIRS("a card with itself is nothing", "[{\"uuid\":\"GPU-a\",\"score\":{\"GPU-a\":5}}]", ""),
    PAIRS("the first entry of a card wins; any case; score before uuid (E-11)",
          "[{\"SCORE\":{\"GPU-b\":3},\"UUID\":\"GPU-a\"},{\"uuid\":\"GPU-a\",\"score\":{\"GPU-b\":"
          "9}},"
          "{\"uuid\":\"GPU-b\",\"score\":{\"GPU-a\":1,\"GPU-a\":3}}]",
          " # 3 pairs 0 3 0 3 0 0 0 0 0"),
    PAIRS("a null value is 0", BOTH("null"), ""),
    PAIRS("the two sides differ",
          "[{\"uuid\":\"GPU-a\",\"score\":{\"GPU-b\":5}},"
          "{\"uuid\":\"GPU-b\",\"score\":{\"GPU-a\":6}}]",
          "", .fault = "two sides of a pair differ"),
    PAIRS("one side is silent", "[{\"uuid\":\"GPU-a\",\"score\":{\"GPU-b\":5}}]", "",
          .fault = "hami.io/node-nvidia-score"),
    PAIRS("the other side is silent", "[{\"uuid\":\"GPU-b\",\"score\":{\"GPU-a\":5}}]", "",
          .fault = "two sides of a pair differ"),
    PAIRS("too large", BOTH("1000001"), "", .fault = "beyond 1,000,000"),
    PAIRS("too small", BOTH("-1000001"), "", .fault = "beyond 1,000,000"),
    PAIRS("beyond 64 bits", BOTH("99999999999999999999"), "", .fault = "topology"),
    PAIRS("an object (E-7)", "{}", "", .fault = "topology"),
    PAIRS("a fraction (E-7)", BOTH("1.5"), "", .fault = "topology"),
    PAIRS("a text (E-7)", BOTH("\"5\""), "", .fault = "topology"),
    PAIRS("cut off", "[{\"uuid\":\"GPU-a\"", "", .fault = "topology"),
    PAIRS("deep", "[{\"x\":[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]}]", "", .fault = "topology"),
    {"positions are those of sorted cards", "NVIDIA",
     "[{\"id\":\"GPU-a\",\"index\":2},{\"id\":\"GPU-b\",\"index\":1},{\"id\":\"GPU-c\"}]",
     .pairs = ALL,
     .want = "GPU-c,0,0,0,0,,0,,0;GPU-b,1,0,0,0,,0,,0;GPU-a,2,0,0,0,,0,,0; # 3 pairs 0 10 10 10 0 "
             "420 10 420 0"},
    /* tables: vendors-b.md 1d */
    {"tables", "Metax-GPU", .count = "2", .loss = "{\"1\":0,\"2\":150,\"4\":420}",
     .gain = "{\"2\":330}",
     .want = "n1-metax-0,0,1,65536,100,Metax-GPU,0,,1;n1-metax-1,1,1,65536,100,Metax-GPU,0,,1; # 2 "
             "loss - 0 150 gain - - 330"},
    {"an empty table", "Metax-GPU", .count = "1", .gain = "{}",
     .want = "n1-metax-0,0,1,65536,100,Metax-GPU,0,,1; # 1 gain - -"},
    {"a table of a list", "Metax-GPU", .count = "1", .loss = "[]", .gain = "{\"1\":2}",
     .want = "n1-metax-0,0,1,65536,100,Metax-GPU,0,,1;", .fault = "gpu.topology.losses"},
    {"a count that is no number", "Metax-GPU", .count = "1", .gain = "{\"one\":2}",
     .want = "n1-metax-0,0,1,65536,100,Metax-GPU,0,,1;", .fault = "a count that is no number"},
    {"a value that is too large", "Metax-GPU", .count = "1", .gain = "{\"9\":1000001}",
     .want = "n1-metax-0,0,1,65536,100,Metax-GPU,0,,1;", .fault = "gpu.topology.scores"},
    {"hostile counts", "Metax-GPU", .count = "1",
     .gain = "{\"-1\":1,\"9223372036854775807\":1,\"2\":1,\"1\":7}",
     .want = "n1-metax-0,0,1,65536,100,Metax-GPU,0,,1; # 1 gain - 7"},
};

/* ---- lists with members of their own ---- */

#define ASC(info)                                                                                  \
    "[{\"id\":\"A\",\"count\":4,\"devmem\":65536,\"devcore\":20,"                                  \
    "\"type\":\"Ascend910B3\",\"health\":true,\"custominfo\":" info "}]"
#define ASC_SHOWN(more) "A,0,4,65536,20,Ascend910B3,0,,1" more ";"
#define NET(name, info, more)                                                                      \
    {                                                                                              \
        name, "Ascend910B3", ASC(info), .want = ASC_SHOWN(more)                                    \
    }
#define DIE(name, info, more)                                                                      \
    {                                                                                              \
        name, "Vastai",                                                                            \
            "[{\"id\":\"d\",\"devcore\":3,\"type\":\"Vastai\",\"custominfo\":" info "}]",          \
            .want = "d,0,0,0,100,Vastai,0,,0" more ";"                                             \
    }

static const struct row LISTED[] = {
    {"the contract's example (S6)", "Ascend910B3",
     "[{\"id\":\"A0\",\"count\":4,\"devmem\":65536,\"devcore\":20,\"type\":\"Ascend910B3\","
     "\"health\":"
     "true,\"custominfo\":{\"NetworkID\":0}},{\"id\":\"A1\",\"index\":1,\"count\":4,\"devmem\":"
     "65536,"
     "\"devcore\":20,\"type\":\"Ascend910B3\",\"health\":true,\"custominfo\":{\"NetworkID\":0}}]",
     .want = "A0,0,4,65536,20,Ascend910B3,0,,1,z0;A1,1,4,65536,20,Ascend910B3,0,,1,z0;"},
    {"unhealthy: health is absent (S6)", "Ascend910B3", "[{\"id\":\"A\",\"type\":\"Ascend910B3\"}]",
     .want = "A,0,0,0,0,Ascend910B3,0,,0;"},
    NET("a network", "{\"NetworkID\":1}", ",z1"),
    NET("a network is cut to an integer", "{\"NetworkID\":1.9}", ",z1"),
    NET("a negative one too, towards 0", "{\"NetworkID\":-1.9}", ",z-1"),
    NET("an exponent", "{\"NetworkID\":1e3}", ",z1000"),
    NET("no network", "{}", ""),
    NET("null", "null", ""),
    NET("a text is no network (A4)", "{\"NetworkID\":\"1\"}", ""),
    NET("names of custominfo as they are", "{\"networkid\":1}", ""),
    NET("the last one counts", "{\"NetworkID\":1,\"NetworkID\":2}", ",z2"),
    NET("beyond 32 bits", "{\"NetworkID\":4294967296}", ""),
    NET("beyond everything", "{\"NetworkID\":1e999}", ""),
    NET("the least of 32 bits", "{\"NetworkID\":-2147483648}", ""),
    {"custominfo as a list", "Ascend910B3", ASC("[]"), .fault = "custominfo"},
    {"no networks of this chip (1.4)", "Ascend310P",
     "[{\"id\":\"P\",\"type\":\"Ascend310P\",\"custominfo\":{\"NetworkID\":1}}]",
     .want = "P,0,0,0,0,Ascend310P,0,,0;"},
    {"split in software: 100 cores (1.7)", "Ascend910B3", ASC("{}"), .soft = "true",
     .want = "A,0,4,65536,100,Ascend910B3,0,,1,soft;"},
    {"split in templates", "Ascend910B3", ASC("{}"), .soft = "false", .want = ASC_SHOWN("")},
    {"any other text is no", "Ascend910B3", ASC("{}"), .soft = "True", .want = ASC_SHOWN("")},
    {"a card of another chip (ascend_defect_a3)", "Ascend910B4",
     "[{\"id\":\"A\",\"type\":\"Ascend910B4-1\"},{\"id\":\"B\",\"type\":\"ascend910b4\"}]",
     .want = "A,0,0,0,0,Ascend910B4-1,0,,0,foreign;B,0,0,0,0,ascend910b4,0,,0;"},
    {"[null]", "Ascend910B3", "[null]", .fault = "hami.io/node-register-Ascend910B3"},
    {"deep", "Ascend910B3", ASC("{\"x\":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}"),
     .fault = "device list"},

    {"the contract's example (S6 CSV)", "DCU",
     "DCU-TPXS320016070601,4,65520,100,DCU-K100_AI,0,true,0,hami-core:",
     .want = "DCU-TPXS320016070601,0,4,65520,100,DCU-K100_AI,0,hami-core,1;"},
    {"unhealthy", "DCU", "D,4,65520,100,DCU,0,F:", .want = "D,0,4,65520,100,DCU,0,hami-core,0;"},
    {"not one of the maker's", "DCU",
     "D,4,65520,100,K100,0,T:", .want = "D,0,4,65520,100,K100,0,hami-core,1,foreign;"},
    {"JSON is not read here", "DCU", "[{\"id\":\"a\"}]", .fault = "malformed"},
    {"huge numbers", "DCU", "D,99999999999999999999,65520,100,DCU,0,T:", .fault = "count"},
    {"the model holds the key", "BI-V100", "I,1,32768,100,Iluvatar BI-V100,0,true:",
     .want = "I,0,1,32768,100,Iluvatar BI-V100,0,hami-core,1;"},
    {"iluvatar_defect_i5: a model without the key is silent no more", "BI-V100",
     "I,1,32768,100,MR-V100,0,true:", .want = "I,0,1,32768,100,MR-V100,0,hami-core,1,foreign;"},
    {"a bad segment fails all", "BI-V100", "I,1,32768,100,BI-V100,0,true:x:", .fault = "malformed"},

    {"XPU", "XPU",
     "[{\"id\":\"xpu-3\",\"index\":3,\"devmem\":98304,\"type\":\"XPU-P800\",\"health\":true}]",
     .want = "xpu-3,3,0,98304,0,XPU-P800,0,,1;"},
    {"an id that would tear the lists (kunlun_defect_d3_8)", "XPU",
     "[{\"id\":\"0000:3b:00.0\",\"type\":\"XPU\"}]", .fault = "separator"},
    {"XPU: not the maker's", "XPU", "[{\"id\":\"x\",\"type\":\"K\"}]",
     .want = "x,0,0,0,0,K,0,,0,foreign;"},

    {"AMD: units are the cores, spaces in a name", "AMD",
     "[{\"id\":\"card-a\",\"count\":1,\"devmem\":196608,\"devcore\":304,\"type\":\"AMD Instinct "
     "MI300X "
     "VF\",\"health\":true}]",
     .want = "card-a,0,1,196608,304,AMD Instinct MI300X VF,0,,1;"},
    {"AMD: any case", "AMD", "[{\"id\":\"c\",\"type\":\"amd x\"}]",
     .want = "c,0,0,0,0,amd x,0,,0;"},
    {"AMD: an object", "AMD", "{\"id\":\"c\"}", .fault = "hami.io/node-amd-register"},

    {"Biren: cores are 100", "Biren",
     "[{\"id\":\"b-0\",\"count\":1,\"devmem\":65536,\"type\":\"Biren\",\"health\":true}]",
     .want = "b-0,0,1,65536,100,Biren,0,,1;"},
    {"Biren: not the maker's", "Biren", "[{\"id\":\"b\",\"type\":\"BR\"}]",
     .want = "b,0,0,0,100,BR,0,,0,foreign;"},
    {"Biren: health of a wrong type", "Biren", "[{\"id\":\"b\",\"health\":\"true\"}]",
     .fault = "device list"},

    {"the contract's example (6d)", "Vastai",
     "[{\"id\":\"d4\",\"index\":4,\"count\":1,\"devmem\":16384,\"type\":\"Vastai\",\"health\":true,"
     "\"custominfo\":{\"DeviceStrategy\":\"die\",\"AIC\":\"2\"}}]",
     .want = "d4,4,1,16384,100,Vastai,0,,1,z0;"},
    {"cards are numbered as their dies stand, not as the list does", "Vastai",
     "[{\"id\":\"c\",\"index\":2,\"type\":\"Vastai\",\"custominfo\":{\"DeviceStrategy\":\"die\","
     "\"AIC\":\"y\"}},"
     "{\"id\":\"b\",\"index\":1,\"type\":\"Vastai\",\"custominfo\":{\"AIC\":\"x\","
     "\"DeviceStrategy\":\"die\"}},"
     "{\"id\":\"a\",\"index\":0,\"type\":\"Vastai\",\"custominfo\":{\"DeviceStrategy\":\"die\","
     "\"AIC\":\"y\"}}]",
     .want = "a,0,0,0,100,Vastai,0,,0,z0;b,1,0,0,100,Vastai,0,,0,z1;c,2,0,0,100,Vastai,0,,0,z0;"},
    DIE("whole cards lie nowhere, each for itself (vastai_defect_d6_2)",
        "{\"DeviceStrategy\":\"card\",\"AIC\":\"2\"}", ""),
    DIE("no strategy", "{\"AIC\":\"2\"}", ""),
    DIE("no card", "{\"DeviceStrategy\":\"die\"}", ""),
    DIE("a card that is a number (E-6)", "{\"DeviceStrategy\":\"die\",\"AIC\":2}", ""),
    DIE("a strategy that is a number (E-6)", "{\"DeviceStrategy\":1,\"AIC\":\"2\"}", ""),
    DIE("an empty name is a name", "{\"DeviceStrategy\":\"die\",\"AIC\":\"\"}", ",z0"),
    DIE("the last ones count", "{\"DeviceStrategy\":\"die\",\"AIC\":\"2\",\"AIC\":null}", ""),
};

/* ---- cards made from capacities ---- */

static const struct row MADE[] = {
    {"8 cards of 24 GiB (vendors-a.md 2.4)", "MLU", .cores = "200", .mem = "192",
     .want = "n1-cambricon-mlu-0,0,100,24576,100,MLU,0,,1;n1-cambricon-mlu-1,1,100,24576,100,MLU,0,"
             ",1;"},
    {"one unit", "MLU", .cores = "1", .mem = "1",
     .want = "n1-cambricon-mlu-0,0,100,25600,100,MLU,0,,1;"},
    {"a part of a card is a card", "MLU", .cores = "250",
     .want = "n1-cambricon-mlu-0,0,100,0,100,MLU,0,,1;n1-cambricon-mlu-1,1,100,0,100,MLU,0,,1;"
             "n1-cambricon-mlu-2,2,100,0,100,MLU,0,,1;"},
    {"none any more (cambricon: D4)", "MLU", .cores = "0", .mem = "768", .want = ""},
    {"never any", "MLU", .want = ""},
    {"a fraction", "MLU", .cores = "1500m", .fault = "cambricon.com/mlu.smlu.vcore"},
    {"negative", "MLU", .cores = "-100", .fault = "whole number"},
    {"no quantity", "MLU", .cores = "many", .fault = "\"many\""},
    {"one too many", "MLU", .cores = "25601", .fault = "more than 256 cards"},
    {"beyond 64 bits (E-2)", "MLU", .cores = "10E", .fault = "whole number"},
    {"memory wraps nowhere (E-3)", "MLU", .cores = "100", .mem = "9223372036854775807",
     .fault = "cambricon.com/mlu.smlu.vmemory"},
    {"a product that wraps to a little (E-3)", "MLU", .cores = "100", .mem = "720575940379280",
     .fault = "2^31-1 MiB"},
    {"memory of 33 bits", "MLU", .cores = "100", .mem = "8388608", .fault = "2^31-1 MiB"},
    {"memory of 32 bits", "MLU", .cores = "100", .mem = "8388607",
     .want = "n1-cambricon-mlu-0,0,100,2147483392,100,MLU,0,,1;"},

    {"8 cards (vendors-a.md 4.4)", "Mthreads", .cores = "32", .mem = "192",
     .want =
         "n1-mthreads-0,0,100,49152,16,Mthreads,0,,1;n1-mthreads-1,1,100,49152,16,Mthreads,0,,1;"},
    {"one core", "Mthreads", .cores = "1", .mem = "1",
     .want = "n1-mthreads-0,0,100,8192,16,Mthreads,0,,1;"},
    {"Moore Threads: not a number", "Mthreads", .cores = "x", .fault = "mthreads.com/sgpu-core"},

    {"whole cards of MetaX (1d)", "Metax-GPU", .count = "1",
     .want = "n1-metax-0,0,1,65536,100,Metax-GPU,0,,1;"},
    {"MetaX: one too many", "Metax-GPU", .count = "257", .fault = "more than 256 cards"},
    {"MetaX: far too many", "Metax-GPU", .count = "999999999999999999",
     .fault = "more than 256 cards"},
    {"whole cards of Enflame (2d)", "GCU", .count = "1", .want = "n1-GCU-0,0,1,100,100,GCU,0,,1;"},
    {"Enflame: negative", "GCU", .count = "-1", .fault = "enflame.com/gcu"},
    {"halves of Kunlunxin (3d)", "kunlun", .count = "3",
     .want = "n1-kunlun-0,0,100,98304,100,kunlun,0,,1;n1-kunlun-1,1,100,98304,100,kunlun,1,,1;"
             "n1-kunlun-2,2,100,98304,100,kunlun,1,,1;"},
    {"cross_defect_d0_5 Kunlunxin: none any more", "kunlun", .count = "0", .want = ""},

    {"cores of devices (4d)", "AWSNeuron", .count = "2", .cores = "4", .kind = "trn1.32xlarge",
     .want =
         "n1-AWSNeuron-0,0,2,0,2,AWSNeuron,0,,1,b3;n1-AWSNeuron-1,1,2,0,2,AWSNeuron,0,,1,b3; # 2 "
         "aligned"},
    {"all cores are given out (neuron_defect_d4_2)", "AWSNeuron", .count = "1", .cores = "4",
     .kind = "inf1.xlarge", .want = "n1-AWSNeuron-0,0,4,0,4,AWSNeuron,0,,1,bf; # 1"},
    {"no label", "AWSNeuron", .count = "1", .cores = "8",
     .want = "n1-AWSNeuron-0,0,8,0,8,AWSNeuron,0,,1,bff; # 1 aligned"},
    {"Inf", "AWSNeuron", .count = "1", .cores = "1", .kind = "xInfy",
     .want = "n1-AWSNeuron-0,0,1,0,1,AWSNeuron,0,,1,b1; # 1"},
    {"64 cores", "AWSNeuron", .count = "1", .cores = "64", .kind = "inf",
     .want = "n1-AWSNeuron-0,0,64,0,64,AWSNeuron,0,,1,bffffffffffffffff; # 1"},
    {"65 cores", "AWSNeuron", .count = "1", .cores = "65", .fault = "1 to 64 a device"},
    {"no cores", "AWSNeuron", .count = "1", .fault = "aws.amazon.com/neuroncore"},
    {"fewer cores than devices", "AWSNeuron", .count = "4", .cores = "3",
     .fault = "3 for 4 devices"},
    {"cores that are none", "AWSNeuron", .count = "1", .cores = "x",
     .fault = "aws.amazon.com/neuroncore"},
    {"Neuron: too many", "AWSNeuron", .count = "257", .cores = "514",
     .fault = "more than 256 cards"},
    {"no devices", "AWSNeuron", .cores = "4", .want = ""},
};

/* ---- lists in names of their own ---- */

#define DRS(devices)                                                                               \
    "{\"devices\":" devices ",\"profiles\":{\"1g.5gb\":\"7\",\"2g.12gb\":\"8\","                   \
    "\"4g.24gb\":\"9\",\"6g.36gb\":\"5\"}}"
#define DRS_PROFILES                                                                               \
    " | 1g.5gb/7 5120 17 1 | 2g.12gb/8 12288 34 2 | 4g.24gb/9 24576 67 4 | "                       \
    "6g.36gb/5 36864 100 6"
#define ONE_DRS(name, device, shown)                                                               \
    {                                                                                              \
        name, "Enflame", DRS("[" device "]"), .want = shown DRS_PROFILES                           \
    }

static const struct row OWN[] = {
    {"the contract's example (1d)", "Metax-SGPU",
     "[{\"uuid\":\"GPU-a\",\"totalDevCount\":16,\"totalCompute\":100,\"totalVRam\":65536,"
     "\"healthy\":true,"
     "\"qosPolicy\":\"best-effort\",\"linkZone\":1}]",
     .want = "GPU-a,0,16,65536,100,Metax-SGPU,0,,1,z1;"},
    {"no link, and less than none (metax_defect_d1_7)", "Metax-SGPU",
     "[{\"uuid\":\"a\",\"linkZone\":0},{\"uuid\":\"b\",\"linkZone\":-3,\"numa\":-1}]",
     .want = "a,0,0,0,0,Metax-SGPU,0,,0;b,1,0,0,0,Metax-SGPU,-1,,0;"},
    {"any case, unknown members, null", "Metax-SGPU",
     "[{\"UUID\":\"a\",\"TOTALvram\":7,\"model\":null,\"new\":{},\"availableVRam\":3,\"bdf\":\"x\"}"
     "]",
     .want = "a,0,0,7,0,Metax-SGPU,0,,0;"},
    {"none", "Metax-SGPU", "[]", .want = ""},
    {"[null] (1d)", "Metax-SGPU", "[null]", .fault = "metax-tech.com/node-gpu-devices"},
    {"no uuid", "Metax-SGPU", "[{}]", .fault = "without an id"},
    {"a policy that is a number", "Metax-SGPU", "[{\"uuid\":\"a\",\"qosPolicy\":1}]",
     .fault = "device list"},
    {"a free amount that is a text", "Metax-SGPU", "[{\"uuid\":\"a\",\"availableCompute\":\"1\"}]",
     .fault = "device list"},
    {"memory of 33 bits", "Metax-SGPU", "[{\"uuid\":\"a\",\"totalVRam\":4294967296}]",
     .fault = "32 bits"},
    {"negative memory", "Metax-SGPU", "[{\"uuid\":\"a\",\"totalVRam\":-1}]",
     .fault = "negative devmem"},
    {"twice one card", "Metax-SGPU",
     "[{\"uuid\":\"a\",\"linkZone\":1},{\"uuid\":\"a\",\"linkZone\":2}]",
     .want = "a,0,0,0,0,Metax-SGPU,0,,0;", .dropped = 1},

    ONE_DRS("the contract's example (2d); six slices of one fit (enflame_defect_d2_1)",
            "{\"index\":\"0\",\"minor\":\"3\",\"capacity\":6}",
            "n1-enflame-drs-0,0,6,36864,102,Enflame,0,3,1,p0+4;"),
    ONE_DRS("an index that is no number is the position, and an empty minor that (E-5)",
            "{\"index\":\"x\",\"minor\":\" \",\"capacity\":1}",
            "n1-enflame-drs-0,0,1,36864,100,Enflame,0,0,1,p0+4;"),
    ONE_DRS("the minor is trimmed; a capacity as a text",
            "{\"index\":\"7\",\"minor\":\" 4 \",\"capacity\":\" 6 \"}",
            "n1-enflame-drs-7,7,6,36864,102,Enflame,0,4,1,p0+4;"),
    ONE_DRS("a capacity is cut to an integer", "{\"index\":\"0\",\"capacity\":5.9}",
            "n1-enflame-drs-0,0,5,36864,100,Enflame,0,0,1,p0+4;"),
    ONE_DRS("a text beyond 32 bits is clamped", "{\"index\":\"0\",\"capacity\":\"99999999999\"}",
            "n1-enflame-drs-0,0,2147483647,36864,4352,Enflame,0,0,1,p0+4;"),
    {"one card twice", "Enflame",
     DRS("[{\"index\":\"0\",\"capacity\":6},{\"index\":\"0\",\"capacity\":4}]"),
     .want = "n1-enflame-drs-0,0,4,36864,100,Enflame,0,0,1,p0+4;" DRS_PROFILES, .dropped = 1},
    {"names: case, blanks, more parts, and what says nothing", "Enflame",
     "{\"devices\":[{\"index\":\"0\",\"capacity\":4}],\"profiles\":{\" 2G.8GB.x "
     "\":\"a\",\"4g.16gb\":null,"
     "\"g.1gb\":\"b\",\"1g\":\"c\",\"8g.x\":\"d\",\"-1g.1gb\":\"e\"}}",
     .want = "n1-enflame-drs-0,0,4,16384,100,Enflame,0,0,1,p0+2; |  2G.8GB.x /a 8192 25 2 | "
             "4g.16gb/ 16384 50 4"},
    {"no memory in any name: a GB a slice", "Enflame",
     "{\"devices\":[{\"index\":\"0\",\"capacity\":4}],\"profiles\":{\"4g.x\":\"a\"}}",
     .want = "n1-enflame-drs-0,0,4,4096,100,Enflame,0,0,1;"},
    {"no devices", "Enflame", DRS("[]"), .want = DRS_PROFILES},
    {"null", "Enflame", "null", .want = ""},
    {"no profiles", "Enflame", "{\"devices\":[{\"index\":\"0\",\"capacity\":6}]}",
     .fault = "no profile"},
    {"a capacity of 0", "Enflame", DRS("[{\"index\":\"0\",\"capacity\":0}]"),
     .fault = "without capacity"},
    {"a capacity of 33 bits", "Enflame", DRS("[{\"index\":\"0\",\"capacity\":4294967296}]"),
     .fault = "without capacity"},
    {"a capacity that is a bool", "Enflame", DRS("[{\"index\":\"0\",\"capacity\":true}]"),
     .fault = "without capacity"},
    {"a null device", "Enflame", DRS("[null]"), .fault = "enflame.com/gcu-drs-capacity"},
    {"an index that is a number", "Enflame", DRS("[{\"index\":0,\"capacity\":6}]"),
     .fault = "slices"},
    {"a negative index", "Enflame", DRS("[{\"index\":\"-1\",\"capacity\":6}]"),
     .fault = "negative index"},
    {"an id that is a number", "Enflame", "{\"profiles\":{\"1g.5gb\":7}}", .fault = "slices"},
    {"a list", "Enflame", "[]", .fault = "slices"},
    {"cut off", "Enflame", "{\"devices\":[", .fault = "slices"},
};

START_TEST(sliced) { run_row(&SLICED[_i]); }
END_TEST
START_TEST(paired) { run_row(&PAIRED[_i]); }
END_TEST
START_TEST(listed) { run_row(&LISTED[_i]); }
END_TEST
START_TEST(made) { run_row(&MADE[_i]); }
END_TEST
START_TEST(own) { run_row(&OWN[_i]); }
END_TEST

/* 65 kinds of slices make a card sick, 64 don't; 257 shared cards are refused, 256 are not. */
START_TEST(bounds)
{
    for (int over = 0; over < 2; over++) {
        struct arena *arena CLEANUP(arena_free_p) = arena_new(8 << 20);
        struct buf text;
        struct vendor_cards cards;
        struct vendor_node_text node = {.node = STR("n1")};
        buf_init(&text, 1 << 20);
        buf_add(&text, STR("[{\"id\":\"a\",\"mode\":\"mig\",\"health\":true,\"migProfiles\":["));
        for (int i = 0; i < 64 + over; i++)
            buf_fmt(&text, "%s{\"name\":\"p%d\",\"memoryMB\":%d,\"placements\":[{\"size\":1}]}",
                    i ? "," : "", i, i + 1);
        buf_add(&text, STR("]}]"));
        node.list = (struct str){text.p, text.n};
        ck_assert_int_eq(vendor_cards_decode(row_of(table, "NVIDIA"), &node, arena, &cards, NULL),
                         ERR_OK);
        ck_assert_int_eq(cards.devices[0].healthy, !over);
        ck_assert_int_eq(cards.profiles_n, over ? 0 : 64);
        buf_done(&text);

        buf_init(&text, 1 << 20);
        for (int i = 0; i < SCORE_DEVICES_MAX + over; i++)
            buf_fmt(&text, "%s{\"uuid\":\"u%d\"}", i ? "," : "[", i);
        buf_char(&text, ']');
        node.list = (struct str){text.p, text.n};
        ck_assert_int_eq(
            vendor_cards_decode(row_of(table, "Metax-SGPU"), &node, arena, &cards, NULL),
            over ? ERR_INVALID : ERR_OK);
        buf_done(&text);
    }
}
END_TEST

/* Amounts of what is made up do not depend on the name; a name of any length is an id, or none. */
START_TEST(long_names)
{
    static char name[600];
    memset(name, 'n', sizeof(name));
    for (size_t n = 490; n < 510; n++) {
        struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
        struct vendor_cards cards;
        const struct vendor_node_text node = {.node = {name, n},
                                              .capacity = {[VENDOR_RES_COUNT] = STR("1")}};
        enum err_code rc =
            vendor_cards_decode(row_of(table, "Metax-GPU"), &node, arena, &cards, NULL);
        ck_assert_int_eq(rc, n + strlen("-metax-0") <= 512 ? ERR_OK : ERR_INVALID);
        if (!rc)
            ck_assert(str_has_suffix(cards.devices[0].id, STR("n-metax-0")));
    }
}
END_TEST

static const struct {
    const char *name, *key, *allocatable;
    bool want;
} ALIVE[] = {
    {"a list alone is nobody", "NVIDIA", NULL, false},
    {"a list beside 0", "DCU", "0", false},
    {"a list beside cards", "XPU", "8", true},
    {"what can't be read", "AMD", "x", false},
    {"made cards are their own word", "MLU", NULL, true},
    {"cross_defect_d0_5: until the kubelet says that they are gone", "kunlun", "0", false},
    {"slices are known by their list", "Enflame", NULL, true},
    {"cross_defect_d0_5: and gone with the resource", "Enflame", "0", false},
    {"shared cards too", "Metax-SGPU", NULL, true},
    {"and the other way", "Metax-SGPU", "16", true},
};
START_TEST(alive)
{
    struct str text = {NULL, 0};
    if (ALIVE[_i].allocatable)
        text = str_z(ALIVE[_i].allocatable);
    ck_assert_msg(vendor_alive(row_of(table, ALIVE[_i].key), text) == ALIVE[_i].want, "%s",
                  ALIVE[_i].name);
}
END_TEST

/* A default of the configuration, and a word of the node over it (vendors-a.md 1.4). */
START_TEST(soft_default)
{
    struct vendor v = *row_of(table, "Ascend910B3");
    static const struct {
        const char *node;
        bool want;
    } CASES[] = {{NULL, true}, {"true", true}, {"false", false}, {"", false}};
    v.soft_default = true;
    for (int i = 0; i < COUNT(CASES); i++) {
        struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
        struct vendor_cards cards;
        struct vendor_node_text node = {.node = STR("n1"), .list = STR("[{\"id\":\"a\"}]")};
        if (CASES[i].node)
            node.soft = str_z(CASES[i].node);
        ck_assert_int_eq(vendor_cards_decode(&v, &node, arena, &cards, NULL), ERR_OK);
        ck_assert_int_eq(cards.devices[0].soft, CASES[i].want);
        ck_assert_int_eq(cards.devices[0].cores_pct, CASES[i].want ? 100 : 0);
    }
}
END_TEST

/* Every reader ends in cards or in ERR_NO_MEMORY, wherever memory ends. */
START_TEST(without_memory)
{
    static const struct row *const ROWS[] = {&SLICED[0], &PAIRED[0], &LISTED[0],
                                             &MADE[0],   &OWN[0],    &OWN[11]};
    int refused = 0;
    for (int i = 0; i < COUNT(ROWS); i++)
        for (size_t max = 16; max < 20000; max += 16) {
            struct arena *arena CLEANUP(arena_free_p) = arena_new(max);
            const struct vendor_node_text node = text_of(ROWS[i]);
            struct vendor_cards cards;
            enum err_code rc =
                vendor_cards_decode(row_of(table, ROWS[i]->key), &node, arena, &cards, NULL);
            ck_assert_msg(rc == ERR_OK || rc == ERR_NO_MEMORY, "%s with %zu: %d", ROWS[i]->name,
                          max, rc);
            refused += rc == ERR_NO_MEMORY;
        }
    ck_assert_int_gt(refused, COUNT(ROWS));
}
END_TEST

/* Lists come in any order: what is read of dies, zones and pairs is the same (P 7, N 12). */
START_TEST(order_is_nothing)
{
    enum { CARDS = 6 };
    static const char *const KEYS[] = {"Vastai", "Ascend910B3", "NVIDIA"};
    uint64_t seed = prop_seed(), state = seed;
    for (int k = 0; k < COUNT(KEYS); k++) {
        char first[4096] = "";
        for (int round = 0; round < 100; round++) {
            int order[CARDS] = {0};
            for (int i = 0; i < CARDS; i++) {
                int j = (int)(next_random(&state) % (uint64_t)(i + 1));
                order[i] = order[j];
                order[j] = i;
            }
            struct buf list, pairs, got;
            buf_init(&list, 10000);
            buf_init(&pairs, 10000);
            buf_init(&got, sizeof(first) - 1);
            for (int i = 0; i < CARDS; i++) {
                buf_fmt(&list,
                        "%s{\"id\":\"c%d\",\"index\":%d,\"custominfo\":{\"DeviceStrategy\":\"die\","
                        "\"AIC\":\"%d\",\"NetworkID\":%d}}",
                        i ? "," : "[", order[i], order[i] / 2, order[i] * 7 % 3, order[i] / 3);
                buf_fmt(&pairs, "%s{\"uuid\":\"c%d\",\"score\":{", i ? "," : "[", order[i]);
                for (int j = 0; j < CARDS; j++)
                    buf_fmt(&pairs, "%s\"c%d\":%d", j ? "," : "", j, order[i] * j);
                buf_add(&pairs, STR("}}"));
            }
            buf_char(&list, ']');
            buf_char(&pairs, ']');
            struct arena *arena CLEANUP(arena_free_p) = arena_new(1 << 20);
            const struct vendor_node_text node = {
                .node = STR("n1"), .list = {list.p, list.n}, .pairs = {pairs.p, pairs.n}};
            struct vendor_cards cards;
            ck_assert_int_eq(
                vendor_cards_decode(row_of(table, KEYS[k]), &node, arena, &cards, NULL), ERR_OK);
            show(&cards, &got);
            buf_char(&got, '\0');
            if (round == 0)
                memcpy(first, got.p, got.n);
            ck_assert_msg(strcmp(first, got.p) == 0, "%s, seed %llu, round %d: %s", KEYS[k],
                          (unsigned long long)seed, round, got.p);
            buf_done(&list);
            buf_done(&pairs);
            buf_done(&got);
        }
    }
}
END_TEST

void check_vendor_cards(Suite *suite)
{
    TCase *tc = tcase_create("cards");
    tcase_set_timeout(tc, 60); /* a busy machine */
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, sliced, 0, COUNT(SLICED));
    tcase_add_loop_test(tc, paired, 0, COUNT(PAIRED));
    tcase_add_loop_test(tc, listed, 0, COUNT(LISTED));
    tcase_add_loop_test(tc, made, 0, COUNT(MADE));
    tcase_add_loop_test(tc, own, 0, COUNT(OWN));
    tcase_add_loop_test(tc, alive, 0, COUNT(ALIVE));
    tcase_add_test(tc, bounds);
    tcase_add_test(tc, long_names);
    tcase_add_test(tc, soft_default);
    tcase_add_test(tc, without_memory);
    tcase_add_test(tc, order_is_nothing);
    suite_add_tcase(suite, tc);
}
