/* Equal asks on unchanged nodes are not computed twice. A class is what a question says, in
 * canonical bytes that are compared whole; its memory is one word a node: the node's generation and
 * the verdict, read and written in one piece, so that no lock is needed and a torn or late write
 * can't be taken for another generation's. */
#include "cluster/priv.h"

#include <assert.h>
#include <stdlib.h>

enum {
    CLASSES_MAX = 64, /* kinds of asks that come again and again; the least used goes */
    CLASSES_BYTES_MAX = 8 * 1024 * 1024, /* all classes together */
    CLASS_KEY_MAX = 64 * 1024, /* a pod with longer selection lists is computed each time */
};

/* A word: generation's low 32 bits, fits, unresolvable, 30 bits of score (fits) or reasons. */
#define WORD_FITS         ((uint64_t)1 << 31)
#define WORD_UNRESOLVABLE ((uint64_t)1 << 30)
#define WORD_PAYLOAD      (WORD_UNRESOLVABLE - 1)
_Static_assert(SCORE_REASON_COUNT_ <= 30, "the reasons of a verdict fit into a word");
_Static_assert(SCORE_MAX < 1 << 30, "so does the score");

struct cluster_class {
    _Atomic uint32_t refs; /* one of them is the table's */
    uint32_t slots;        /* of memo */
    uint32_t epoch; /* the generation's high 32 bits: of another epoch nothing is remembered */
    uint64_t hash, used;
    size_t key_n;
    _Atomic(_Atomic uint64_t *) memo; /* NULL until the class is asked for a second time */
    char key[];
};
struct classes {
    pthread_mutex_t lock; /* guards everything here; taken inside no other lock */
    struct cluster_class *of[CLASSES_MAX];
    uint32_t n;
    size_t bytes;
    uint64_t tick;
};

struct classes *classes_new(void)
{
    struct classes *c = calloc(1, sizeof(*c));
    if (c)
        pthread_mutex_init(&c->lock, NULL);
    return c;
}

void cluster_class_unref(struct cluster_class *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    free((void *)atomic_load_explicit(&c->memo, memory_order_relaxed));
    free(c);
}

static size_t class_bytes(const struct cluster_class *c)
{
    bool memo = atomic_load_explicit(&c->memo, memory_order_relaxed) != NULL;
    return sizeof(*c) + c->key_n + (memo ? c->slots * sizeof(uint64_t) : 0);
}

void classes_free(struct classes *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->n; i++)
        cluster_class_unref(c->of[i]);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

/* ---- the key: everything that a verdict depends on but the node ---- */

static void put(struct buf *b, int64_t v) { buf_add(b, (struct str){(const char *)&v, sizeof(v)}); }

static void put_str(struct buf *b, struct str s)
{
    put(b, (int64_t)s.n);
    buf_add(b, s);
}

static void put_list(struct buf *b, const struct str *list, uint16_t n)
{
    put(b, n);
    for (uint16_t i = 0; i < n; i++)
        put_str(b, list[i]);
}

static void put_selection(struct buf *b, const struct score_selection *s)
{
    put(b, s->vendor);
    put(b, s->use_type_set | s->use_uuid_set << 1 | s->mode_set << 2 | s->numa_bind << 3 |
               s->links << 4);
    put(b, s->app_class);
    put(b, s->qos);
    put_list(b, s->use_types, s->use_types_n);
    put_list(b, s->nouse_types, s->nouse_types_n);
    put_list(b, s->use_uuids, s->use_uuids_n);
    put_list(b, s->nouse_uuids, s->nouse_uuids_n);
    put_str(b, s->mode);
}

static void put_request(struct buf *b, const struct score_request *req)
{
    put(b, req->containers_n);
    for (uint16_t i = 0; i < req->containers_n; i++)
        put(b, req->steps[i]);
    put(b, req->asks_n);
    for (uint16_t i = 0; i < req->asks_n; i++) {
        const struct score_ask *a = &req->asks[i];
        put(b, a->container);
        put(b, a->vendor);
        put(b, a->count);
        put(b, a->mem_mib);
        put(b, a->mem_pct);
        put(b, a->cores_pct);
        put(b, a->slices);
        put(b, a->soft | a->mem_guess << 1);
    }
    put(b, req->selections_n);
    for (uint16_t i = 0; i < req->selections_n; i++)
        put_selection(b, &req->selections[i]);
    put(b, req->quotas_n);
    for (uint16_t i = 0; i < req->quotas_n; i++) {
        const struct score_quota *q = &req->quotas[i];
        put(b, q->vendor);
        put(b, q->mem_set | q->cores_set << 1);
        put(b, q->mem_set ? q->mem_left_mib : 0);
        put(b, q->cores_set ? q->cores_left_pct : 0);
    }
    const struct score_policy *p = &req->policy;
    put(b, p->node_spread | p->card_mutex << 1 | p->topology_aware << 2);
    for (size_t i = 0; i < sizeof(p->card) / sizeof(p->card[0]); i++)
        put(b, p->card[i]);
    put(b, p->weight_slot);
    put(b, p->weight_core);
    put(b, p->weight_mem);
}

/* ---- the table ---- */

static void drop(struct classes *c, uint32_t at)
{
    c->bytes -= class_bytes(c->of[at]);
    cluster_class_unref(c->of[at]);
    c->of[at] = c->of[--c->n];
}

static void make_room(struct classes *c, size_t bytes, const struct cluster_class *keep)
{
    while (c->n > 0 && (c->n >= CLASSES_MAX || c->bytes + bytes > CLASSES_BYTES_MAX)) {
        uint32_t oldest = NO_SLOT;
        for (uint32_t i = 0; i < c->n; i++)
            if (c->of[i] != keep && (oldest == NO_SLOT || c->of[i]->used < c->of[oldest]->used))
                oldest = i;
        if (oldest == NO_SLOT)
            return;
        drop(c, oldest);
    }
}

static struct cluster_class *class_new(struct str key, uint64_t hash, uint32_t slots,
                                       uint32_t epoch)
{
    struct cluster_class *c = malloc(sizeof(*c) + key.n);
    if (!c)
        return NULL;
    *c = (struct cluster_class){.slots = slots, .epoch = epoch, .hash = hash, .key_n = key.n};
    atomic_init(&c->refs, 1);
    atomic_init(&c->memo, NULL);
    memcpy(c->key, key.p, key.n);
    return c;
}

/* Its second time: it is worth a memory. */
static void remember(struct classes *c, struct cluster_class *class)
{
    if (atomic_load_explicit(&class->memo, memory_order_relaxed) ||
        class->slots * sizeof(uint64_t) > CLASSES_BYTES_MAX / 2)
        return;
    make_room(c, class->slots * sizeof(uint64_t), class);
    _Atomic uint64_t *memo = calloc(class->slots, sizeof(*memo));
    if (!memo)
        return;
    atomic_store_explicit(&class->memo, memo, memory_order_release);
    c->bytes += class->slots * sizeof(uint64_t);
}

static struct cluster_class *get_locked(struct classes *c, struct str key, uint64_t hash,
                                        uint32_t slots, uint32_t epoch)
{
    struct cluster_class *found = NULL;
    for (uint32_t i = 0; i < c->n && !found; i++) {
        struct cluster_class *class = c->of[i];
        if (class->hash != hash || class->key_n != key.n || memcmp(class->key, key.p, key.n) != 0)
            continue;
        if (class->slots >= slots && class->epoch == epoch)
            found = class;
        else
            drop(c, i--); /* the cluster outgrew it */
    }
    if (found) {
        remember(c, found);
    } else {
        make_room(c, sizeof(*found) + key.n, NULL);
        found = class_new(key, hash, slots, epoch);
        if (!found)
            return NULL;
        c->of[c->n++] = found;
        c->bytes += class_bytes(found);
    }
    found->used = ++c->tick;
    atomic_fetch_add_explicit(&found->refs, 1, memory_order_relaxed);
    return found;
}

struct cluster_class *cluster_class_get(struct cluster_store *st, const struct score_request *req)
{
    struct buf b;
    buf_init(&b, CLASS_KEY_MAX);
    put_request(&b, req);
    struct cluster_class *class = NULL;
    if (!b.failed) {
        struct str key = {b.p, b.n};
        pthread_mutex_lock(&st->lock);
        const uint32_t slots = st->slots_cap, epoch = (uint32_t)(st->generation >> 32);
        pthread_mutex_unlock(&st->lock);
        pthread_mutex_lock(&st->classes->lock);
        class = get_locked(st->classes, key, hash_str(st->cfg.hash_seed, key), slots, epoch);
        pthread_mutex_unlock(&st->classes->lock);
    }
    buf_done(&b);
    return class;
}

/* ---- the memory ---- */

static void unpack(uint64_t word, struct score_verdict *ret)
{
    *ret =
        (struct score_verdict){.fits = word & WORD_FITS, .unresolvable = word & WORD_UNRESOLVABLE};
    if (ret->fits)
        ret->score = (int64_t)(word & WORD_PAYLOAD);
    else
        ret->reasons = (score_reasons)(word & WORD_PAYLOAD);
}

static uint64_t pack(uint64_t generation, const struct score_verdict *v)
{
    uint64_t payload = v->fits ? (uint64_t)v->score : v->reasons;
    assert(payload <= WORD_PAYLOAD);
    return generation << 32 | (v->fits ? WORD_FITS : 0) |
           (v->unresolvable ? WORD_UNRESOLVABLE : 0) | payload;
}

void cluster_class_check(struct cluster_class *c, const struct score_prepared *prep,
                         const struct cluster_node *node, struct score_verdict *ret)
{
    _Atomic uint64_t *memo = c ? atomic_load_explicit(&c->memo, memory_order_acquire) : NULL;
    const uint64_t generation = node->generation;
    if (!memo || node->slot >= c->slots || (uint32_t)(generation >> 32) != c->epoch ||
        (uint32_t)generation == 0) { /* an empty word says generation 0 */
        score_node_check(prep, &node->score, NULL, ret);
        return;
    }
    uint64_t word = atomic_load_explicit(&memo[node->slot], memory_order_relaxed);
    if (word >> 32 == (uint32_t)generation) {
        unpack(word, ret);
        return;
    }
    score_node_check(prep, &node->score, NULL, ret);
    atomic_store_explicit(&memo[node->slot], pack(generation, ret), memory_order_relaxed);
}

static void prefetch_head(const struct cluster_node *node)
{
    __builtin_prefetch(&node->score.groups);
    __builtin_prefetch(&node->generation);
}

/* What score_node_check() will read of a node: groups, devices and traits stand behind it in one
 * block. */
static void prefetch_cards(const struct cluster_node *node)
{
    enum { LINES_MAX = 16 }; /* eight cards; more are met by the processor's own prefetching */
    const char *at = (const char *)node->score.groups;
    const char *end = at + node->near;
    for (int i = 0; i < LINES_MAX && at < end; i++, at += 64)
        __builtin_prefetch(at);
}

static bool remembers(const struct cluster_class *c, const _Atomic uint64_t *memo,
                      const struct cluster_node *node)
{
    return memo && node->slot < c->slots &&
           atomic_load_explicit(&memo[node->slot], memory_order_relaxed) >> 32 ==
               (uint32_t)node->generation;
}

void cluster_class_check_all(struct cluster_class *c, const struct score_prepared *prep,
                             const struct cluster_node *const *nodes, size_t n,
                             struct score_verdict *ret)
{
    /* Nodes on their way while one is looked at: first where their cards are, then the cards. */
    enum { HEADS = 10, CARDS = 4 };
    const _Atomic uint64_t *memo = c ? atomic_load_explicit(&c->memo, memory_order_acquire) : NULL;
    for (size_t at = 0; at < n + HEADS; at++) {
        if (at < n && nodes[at])
            prefetch_head(nodes[at]);
        const size_t soon = at - (HEADS - CARDS), now = at - HEADS; /* huge before there is any */
        if (soon < n && nodes[soon] && !remembers(c, memo, nodes[soon]))
            prefetch_cards(nodes[soon]);
        if (now < n && nodes[now])
            cluster_class_check(c, prep, nodes[now], &ret[now]);
    }
}
