/* Bodies of the verbs: whatever comes is read to a value or refused; what was read lies inside the
 * body or the arena, and the raw parts, put together again, are read to the same. */
#include "extender/priv.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(struct buf *out, const char *key, struct str raw)
{
    buf_fmt(out, "%s\"%s\":", out->n > 1 ? "," : "", key);
    buf_add(out, raw.p ? raw : STR("null"));
}

static void names_are_stable(struct str raw, struct arena *arena)
{
    struct str *names, *again;
    size_t n, again_n;
    struct err err;
    if (ext_wire_names(raw, 1000, arena, &names, &n, &err)) {
        assert(err.text[0]);
        return;
    }
    assert(n <= 1000);
    struct buf text;
    buf_init(&text, 64 << 20);
    buf_char(&text, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_char(&text, ',');
        buf_json(&text, names[i]);
    }
    buf_char(&text, ']');
    assert(!text.failed);
    assert(!ext_wire_names((struct str){text.p, text.n}, 1000, arena, &again, &again_n, &err));
    assert(again_n == n);
    for (size_t i = 0; i < n; i++)
        assert(str_eq(names[i], again[i]));
    buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(64 << 20);
    struct str body = {(const char *)data, size};
    struct ext_args args, again;
    struct err err;
    if (!ext_wire_args(body, arena, &args, &err)) {
        struct buf text;
        buf_init(&text, 64 << 20);
        buf_char(&text, '{');
        add(&text, "pod", args.pod);
        add(&text, "NODES", args.nodes);
        add(&text, "nodeNames", args.node_names);
        buf_char(&text, '}');
        assert(!ext_wire_args((struct str){text.p, text.n}, arena, &again, &err));
        assert(str_eq(args.pod, again.pod) && str_eq(args.nodes, again.nodes) &&
               str_eq(args.node_names, again.node_names));
        if (args.node_names.p)
            names_are_stable(args.node_names, arena);
        struct str *items;
        size_t n;
        if (args.nodes.p && !ext_wire_items(args.nodes, 100, arena, &items, &n, &err))
            assert(n <= 100);
        buf_done(&text);
    }
    struct ext_bind_args bind;
    if (!ext_wire_bind_args(body, arena, &bind, &err))
        assert(bind.pod.n && bind.ns.n && bind.uid.n && bind.node.n);
    arena_free(arena);
    return 0;
}
