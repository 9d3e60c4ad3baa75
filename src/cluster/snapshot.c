/* Snapshots: what readers see. A node as it was at one moment is a block that never changes
 * (snode); 64 of them make a chunk, and a snapshot is an array of chunks. Publishing after a change
 * makes the chunks in which something changed and the array anew and shares the rest. It happens
 * when somebody asks for a snapshot, not with each event, so that a list of 15,000 nodes, or a
 * storm of events between two requests, is published once. */
#include "cluster/priv.h"

#include "cluster/decode.h"

#include <assert.h>
#include <stdlib.h>

/* ---- counted references ---- */

static void ref(_Atomic uint32_t *refs)
{
    atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

/* Whether that was the last one. */
static bool unref(_Atomic uint32_t *refs)
{
    return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

struct snode_parts { /* where they are in a node's block, and its size */
    size_t devices, traits, end;
};

static struct snode_parts snode_parts(uint16_t groups_n, uint16_t devices_n, bool traits)
{
    struct snode_parts at;
    at.devices = sizeof(struct snode) + groups_n * sizeof(struct score_group);
    at.devices = (at.devices + 63) & ~(size_t)63;
    at.traits = at.devices + devices_n * sizeof(struct score_device);
    at.end = at.traits + (traits ? devices_n * sizeof(struct score_trait) : 0);
    return at;
}

static void snode_point(struct snode *s, const struct snode_parts *at)
{
    s->groups = (struct score_group *)(void *)(s + 1);
    s->devices = (struct score_device *)(void *)((char *)s + at->devices);
    s->traits = NULL;
    if (at->end > at->traits)
        s->traits = (struct score_trait *)(void *)((char *)s + at->traits);
    s->pub.score.groups = s->groups;
    s->pub.score.devices = s->devices;
    for (uint16_t g = 0; g < s->pub.score.groups_n; g++)
        if (s->groups[g].traits)
            s->groups[g].traits = s->traits + s->groups[g].first;
}

struct snode *snode_new(uint16_t groups_n, uint16_t devices_n, bool traits)
{
    const struct snode_parts at = snode_parts(groups_n, devices_n, traits);
    struct snode *s = aligned_alloc(64, (at.end + 63) & ~(size_t)63);
    if (!s)
        return NULL;
    memset(s, 0, at.end);
    atomic_init(&s->refs, 1);
    s->pub.score.groups_n = groups_n;
    s->pub.score.devices_n = devices_n;
    snode_point(s, &at);
    return s;
}

struct snode *snode_copy(const struct snode *from)
{
    const struct snode_parts at = snode_parts(from->pub.score.groups_n, from->pub.score.devices_n,
                                              from->traits != NULL);
    struct snode *s = aligned_alloc(64, (at.end + 63) & ~(size_t)63);
    if (!s)
        return NULL;
    /* all but the references, which readers change meanwhile */
    memcpy((char *)s + sizeof(*s), (const char *)from + sizeof(*from), at.end - sizeof(*s));
    s->pub = from->pub;
    s->inv = from->inv;
    atomic_init(&s->refs, 1);
    snode_point(s, &at);
    ref(&s->inv->refs);
    return s;
}

void snode_unref(struct snode *s)
{
    if (!unref(&s->refs))
        return;
    if (s->inv && unref(&s->inv->refs))
        free(s->inv);
    free(s);
}

void chunk_unref(struct chunk *c)
{
    if (!c || !unref(&c->refs))
        return;
    for (int i = 0; i < CHUNK; i++)
        if (c->node[i])
            snode_unref(c->node[i]);
    free(c);
}

void types_unref(struct types *t)
{
    if (!t || !unref(&t->refs))
        return;
    for (uint32_t i = 0; i < t->n; i++)
        free((char *)t->text[i].p);
    free(t);
}

void cluster_snapshot_unref(struct cluster_snapshot *s)
{
    if (!s || !unref(&s->refs))
        return;
    for (uint32_t i = 0; i < s->chunks_n; i++)
        chunk_unref(s->chunk[i]);
    if (s->names && unref(&s->names->refs))
        free(s->names);
    types_unref(s->types);
    free(s);
}

/* ---- publishing ---- */

static struct chunk *chunk_new(const struct cluster_store *st, uint32_t chunk)
{
    struct chunk *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    atomic_init(&c->refs, 1);
    for (uint32_t i = 0; i < CHUNK && chunk * CHUNK + i < st->slots; i++) {
        const struct entry *e = st->entries[chunk * CHUNK + i];
        if (!e || !e->cur)
            continue;
        c->node[i] = e->cur;
        ref(&e->cur->refs);
    }
    return c;
}

static struct names *names_new(const struct cluster_store *st)
{
    uint32_t cap = 16, at = 0;
    size_t text = 0;
    while (cap < 2 * st->nodes_n)
        cap *= 2;
    for (uint32_t slot = 0; slot < st->slots; slot++)
        if (st->entries[slot] && st->entries[slot]->cur)
            text += sizeof(uint16_t) + st->entries[slot]->name_n;
    if (text > UINT32_MAX)
        return NULL;
    struct names *names = malloc(sizeof(*names) + cap * sizeof(names->of[0]) + text);
    if (!names)
        return NULL;
    atomic_init(&names->refs, 1);
    names->mask = cap - 1;
    names->text = (char *)(names->of + cap);
    for (uint32_t i = 0; i < cap; i++)
        names->of[i].slot = NO_SLOT;
    for (uint32_t slot = 0; slot < st->slots; slot++) {
        const struct entry *e = st->entries[slot];
        if (!e || !e->cur)
            continue;
        uint32_t i = e->hash & names->mask;
        while (names->of[i].slot != NO_SLOT)
            i = (i + 1) & names->mask;
        names->of[i].hash = e->hash;
        names->of[i].slot = slot;
        names->of[i].at = at;
        memcpy(names->text + at, &e->name_n, sizeof(e->name_n));
        memcpy(names->text + at + sizeof(e->name_n), e->name, e->name_n);
        at += (uint32_t)sizeof(e->name_n) + e->name_n;
    }
    return names;
}

static bool refresh_all(struct cluster_store *st)
{
    while (st->dirty) {
        struct entry *e = st->dirty;
        if (e->cur && !ledger_refresh(st, e))
            return false;
        ledger_clean(e);
    }
    return true;
}

static bool renew_chunks(struct cluster_store *st, uint32_t chunks_n)
{
    for (uint32_t i = 0; i < chunks_n; i++) {
        if (st->chunks[i] && !st->chunk_dirty[i])
            continue;
        struct chunk *c = chunk_new(st, i);
        if (!c)
            return false;
        chunk_unref(st->chunks[i]);
        st->chunks[i] = c;
        st->chunk_dirty[i] = false;
    }
    return true;
}

bool snapshot_publish_locked(struct cluster_store *st)
{
    if (!st->changed && st->current)
        return true;
    const uint32_t chunks_n = (st->slots + CHUNK - 1) / CHUNK;
    if (!refresh_all(st) || !renew_chunks(st, chunks_n))
        return false;
    struct cluster_snapshot *s = malloc(sizeof(*s) + chunks_n * sizeof(struct chunk *));
    bool new_names = st->names_changed || !st->current;
    struct names *names = new_names ? names_new(st) : st->current->names;
    if (!s || !names) {
        free(s);
        if (new_names)
            free(names);
        return false;
    }
    *s = (struct cluster_snapshot){.nodes = st->nodes_n,
                                   .slots = st->slots,
                                   .types_n = st->types->n,
                                   .seed = st->cfg.hash_seed,
                                   .types = st->types,
                                   .names = names,
                                   .chunks_n = chunks_n};
    atomic_init(&s->refs, 1);
    ref(&st->types->refs);
    if (!new_names)
        ref(&names->refs);
    for (uint32_t i = 0; i < chunks_n; i++) {
        s->chunk[i] = st->chunks[i];
        ref(&s->chunk[i]->refs);
    }
    cluster_snapshot_unref(st->current);
    st->current = s;
    st->changed = st->names_changed = false;
    return true;
}

struct cluster_snapshot *cluster_store_snapshot(struct cluster_store *st)
{
    pthread_mutex_lock(&st->lock);
    /* Without memory the last one is shown: whoever decides by it is told so when it assumes. */
    bool fresh = snapshot_publish_locked(st);
    struct cluster_snapshot *s = st->current;
    assert(s);
    (void)fresh;
    ref(&s->refs);
    pthread_mutex_unlock(&st->lock);
    return s;
}

/* ---- reading ---- */

uint32_t cluster_snapshot_nodes(const struct cluster_snapshot *s) { return s->nodes; }
uint32_t cluster_snapshot_slots(const struct cluster_snapshot *s) { return s->slots; }

const struct cluster_node *cluster_snapshot_at(const struct cluster_snapshot *s, uint32_t slot)
{
    if (slot >= s->slots)
        return NULL;
    const struct snode *node = s->chunk[slot / CHUNK]->node[slot % CHUNK];
    return node ? &node->pub : NULL;
}

const struct cluster_node *cluster_snapshot_find(const struct cluster_snapshot *s, struct str name)
{
    const struct names *names = s->names;
    const uint32_t hash = (uint32_t)hash_text(s->seed, name);
    for (uint32_t i = hash & names->mask; names->of[i].slot != NO_SLOT; i = (i + 1) & names->mask) {
        if (names->of[i].hash != hash)
            continue;
        uint16_t n;
        const char *text = names->text + names->of[i].at;
        memcpy(&n, text, sizeof(n));
        if (n == name.n && memcmp(text + sizeof(n), name.p, n) == 0)
            return cluster_snapshot_at(s, names->of[i].slot);
    }
    return NULL;
}

const struct str *cluster_snapshot_types(const struct cluster_snapshot *s, uint32_t *ret_n)
{
    *ret_n = s->types_n;
    return s->types->text;
}

/* ---- from a decoded object to a node ---- */

/* Index of a text of a device; NO_SLOT: no memory; SCORE_TYPES_MAX: there are too many, or it is
 * too long. */
static uint32_t intern(struct types *t, struct str text)
{
    for (uint32_t i = 0; i < t->n; i++)
        if (str_eq(t->text[i], text))
            return i;
    if (t->n == SCORE_TYPES_MAX || text.n > TYPE_TEXT_MAX)
        return SCORE_TYPES_MAX;
    char *copy = str_dup_z(text);
    if (!copy)
        return NO_SLOT;
    t->text[t->n] = (struct str){copy, text.n};
    return t->n++;
}

static bool in_list(struct str list, struct str entry)
{
    struct str piece;
    while (list.p && str_split(&list, ',', &piece))
        if (str_eq(str_trim(piece), entry))
            return true;
    return false;
}

static struct score_device device_of(const struct cluster_node_cards *cards,
                                     const struct vendor_device *from, struct str uuid)
{
    struct score_device d = {.mem_total_mib = from->mem_mib,
                             .cores_total_pct = from->cores_pct,
                             .shares_total = from->count,
                             .index = from->index,
                             .numa = from->numa,
                             .uuid = uuid};
    if (!from->healthy || !cards->alive)
        d.flags |= SCORE_DEVICE_UNHEALTHY;
    if (in_list(cards->cordon, from->id))
        d.flags |= SCORE_DEVICE_CORDONED;
    if (from->mig)
        d.flags |= SCORE_DEVICE_MIG;
    return d;
}

static uint16_t count_groups(const struct cluster_node_object *o, size_t *ret_devices)
{
    uint16_t groups = 0;
    size_t devices = 0;
    for (uint16_t i = 0; i < o->cards_n; i++) {
        groups = (uint16_t)(groups + (o->cards[i].devices_n > 0));
        devices += o->cards[i].devices_n;
    }
    *ret_devices = devices;
    return groups;
}

static uint16_t count_broken(const struct cluster_node_object *o)
{
    uint16_t n = 0;
    for (uint16_t i = 0; i < o->cards_n; i++)
        n = (uint16_t)(n + (o->cards[i].broken.p != NULL));
    return n;
}

static struct inventory *inventory_new(const struct cluster_node_object *o)
{
    size_t n = o->name.n + o->uid.n + o->lock.n;
    for (uint16_t i = 0; i < o->cards_n; i++)
        for (uint16_t k = 0; k < o->cards[i].devices_n; k++)
            n += o->cards[i].devices[k].id.n;
    struct inventory *inv = malloc(sizeof(*inv) + n + 1);
    if (inv)
        atomic_init(&inv->refs, 1);
    return inv;
}

static struct str keep(char **at, struct str s)
{
    struct str kept = {*at, s.n};
    if (s.n > 0)
        memcpy(*at, s.p, s.n);
    *at += s.n;
    return kept;
}

/* (index, UUID), as everywhere; decoders sort, but callers may have made the object themselves */
static int device_cmp(const void *a, const void *b)
{
    const struct score_device *x = a, *y = b;
    if (x->index != y->index)
        return x->index < y->index ? -1 : 1;
    return str_cmp(x->uuid, y->uuid);
}

struct snode *snode_from_object(struct cluster_store *st, const struct cluster_node_object *o)
{
    size_t devices = 0;
    const uint16_t groups = count_groups(o, &devices);
    if (devices > UINT16_MAX)
        return NULL;
    struct snode *s = snode_new(groups, (uint16_t)devices, false);
    struct inventory *inv = s ? inventory_new(o) : NULL;
    if (!inv) {
        free(s);
        return NULL;
    }
    s->inv = inv;
    char *at = inv->text;
    s->pub.score.name = keep(&at, o->name);
    s->pub.uid = keep(&at, o->uid);
    if (o->lock.p)
        s->pub.lock = keep(&at, o->lock);
    s->pub.broken_n = count_broken(o);
    s->pub.score.cpu_alloc_milli = o->cpu_alloc_milli;
    s->pub.score.memory_alloc_mib = o->memory_alloc_mib;
    uint16_t g = 0, n = 0;
    for (uint16_t i = 0; i < o->cards_n; i++) {
        const struct cluster_node_cards *cards = &o->cards[i];
        if (cards->devices_n == 0)
            continue;
        s->groups[g++] =
            (struct score_group){.vendor = cards->vendor, .first = n, .n = cards->devices_n};
        for (uint16_t k = 0; k < cards->devices_n; k++, n++) {
            struct score_device d =
                device_of(cards, &cards->devices[k], keep(&at, cards->devices[k].id));
            uint32_t type = intern(st->types, cards->devices[k].type);
            uint32_t mode = intern(st->types, cards->devices[k].mode);
            if (type == NO_SLOT || mode == NO_SLOT) {
                snode_unref(s);
                return NULL;
            }
            if (type == SCORE_TYPES_MAX || mode == SCORE_TYPES_MAX) {
                d.flags |= SCORE_DEVICE_UNHEALTHY; /* nobody could tell what it is */
                s->pub.broken_n++;
            } else {
                d.type = (uint16_t)type;
                d.mode = mode;
            }
            s->devices[n] = d;
        }
        qsort(&s->devices[n - cards->devices_n], cards->devices_n, sizeof(struct score_device),
              device_cmp);
    }
    s->pub.score.types = st->types->text;
    s->pub.score.types_n = st->types->n;
    return s;
}

/* ---- nodes from outside ---- */

static const struct score_device *find_card(const struct cluster_node *node, uint16_t vendor,
                                            struct str uuid)
{
    for (uint16_t g = 0; node && g < node->score.groups_n; g++) {
        const struct score_group *group = &node->score.groups[g];
        for (uint16_t i = group->first; group->vendor == vendor && i < group->first + group->n; i++)
            if (str_eq(node->score.devices[i].uuid, uuid))
                return &node->score.devices[i];
    }
    return NULL;
}

static bool closed_on(const struct cluster_node *node, uint16_t vendor)
{
    for (uint16_t g = 0; node && g < node->score.groups_n; g++)
        if (node->score.groups[g].vendor == vendor)
            return node->score.groups[g].closed;
    return false;
}

struct texts { /* the snapshot's types, and behind them what only this node has */
    const struct cluster_snapshot *s;
    struct str *own;
    uint32_t n;
    size_t room;
};

static uint32_t find_text(struct texts *t, struct str text)
{
    const struct str *in = t->own ? t->own : t->s->types->text;
    for (uint32_t i = 0; i < t->n; i++)
        if (str_eq(in[i], text))
            return i;
    return NO_SLOT;
}

/* Adds texts that the snapshot lacks; false: no memory. */
static bool gather_texts(struct texts *t, const struct cluster_node_object *o, size_t devices,
                         struct arena *arena)
{
    for (uint16_t i = 0; i < o->cards_n; i++)
        for (uint32_t k = 0; k < 2u * o->cards[i].devices_n; k++) {
            const struct vendor_device *d = &o->cards[i].devices[k / 2];
            struct str text = k % 2 ? d->mode : d->type;
            if (find_text(t, text) != NO_SLOT || t->n == SCORE_TYPES_MAX)
                continue;
            if (!t->own) {
                t->own = arena_array(arena, t->n + 2 * devices, sizeof(*t->own));
                if (!t->own)
                    return false;
                memcpy(t->own, t->s->types->text, t->n * sizeof(*t->own));
            }
            t->own[t->n++] = text;
        }
    return true;
}

static void add_card(const struct cluster_node *known, uint16_t vendor, struct texts *texts,
                     const struct vendor_device *from, struct score_device *d)
{
    const struct score_device *used = find_card(known, vendor, from->id);
    uint32_t type = find_text(texts, from->type), mode = find_text(texts, from->mode);
    if (type == NO_SLOT || mode == NO_SLOT) {
        d->flags |= SCORE_DEVICE_UNHEALTHY;
    } else {
        d->type = (uint16_t)type;
        d->mode = mode;
    }
    if (!used)
        return;
    d->mem_used_mib = used->mem_used_mib;
    d->cores_used_pct = used->cores_used_pct;
    d->shares_used = used->shares_used;
    if (d->mem_used_mib > d->mem_total_mib || d->cores_used_pct > d->cores_total_pct ||
        d->shares_used > d->shares_total)
        d->flags |= SCORE_DEVICE_LENT;
}

enum err_code cluster_snapshot_simulate(const struct cluster_snapshot *s,
                                        const struct cluster_config *cfg,
                                        const struct cluster_node_object *o, struct arena *arena,
                                        struct cluster_node *ret, struct err *err)
{
    (void)cfg;
    const struct cluster_node *known = cluster_snapshot_find(s, o->name);
    if (known && !str_eq(known->uid, o->uid))
        known = NULL; /* another node that once had this name */
    size_t devices = 0;
    const uint16_t groups_n = count_groups(o, &devices);
    if (devices > SCORE_DEVICES_MAX)
        return err_set(err, ERR_TOO_LARGE, "node " STR_FMT ": more than %d cards", STR_ARG(o->name),
                       SCORE_DEVICES_MAX);
    struct texts texts = {.s = s, .n = s->types_n};
    struct score_group *groups = arena_array(arena, groups_n, sizeof(*groups));
    struct score_device *list = arena_array(arena, devices, sizeof(*list));
    if (!groups || !list || !gather_texts(&texts, o, devices, arena))
        return err_set(err, ERR_NO_MEMORY, "node " STR_FMT ": no memory", STR_ARG(o->name));
    uint16_t g = 0, n = 0;
    for (uint16_t i = 0; i < o->cards_n; i++) {
        const struct cluster_node_cards *cards = &o->cards[i];
        if (cards->devices_n == 0)
            continue;
        struct score_group group = {.vendor = cards->vendor, .first = n, .n = cards->devices_n};
        group.closed = closed_on(known, cards->vendor);
        for (uint16_t k = 0; k < cards->devices_n; k++, n++) {
            struct score_device *d = &list[n];
            *d = device_of(cards, &cards->devices[k], cards->devices[k].id);
            add_card(known, cards->vendor, &texts, &cards->devices[k], d);
            group.mem_total_mib += d->mem_total_mib;
            group.mem_used_mib += d->mem_used_mib;
            group.cores_total_pct += d->cores_total_pct;
            group.cores_used_pct += d->cores_used_pct;
            group.shares_total += d->shares_total;
            group.shares_used += d->shares_used;
        }
        qsort(&list[group.first], group.n, sizeof(*list), device_cmp);
        groups[g++] = group;
    }
    *ret = (struct cluster_node){
        .score = {.name = o->name,
                  .groups = groups,
                  .devices = list,
                  .types = texts.own ? texts.own : s->types->text,
                  .groups_n = groups_n,
                  .devices_n = (uint16_t)devices,
                  .types_n = texts.n,
                  .cpu_alloc_milli = o->cpu_alloc_milli,
                  .memory_alloc_mib = o->memory_alloc_mib,
                  .cpu_used_milli = known ? known->score.cpu_used_milli : 0,
                  .memory_used_mib = known ? known->score.memory_used_mib : 0},
        .generation = 0, /* never remembered */
        .slot = known ? known->slot : NO_SLOT,
        .uid = o->uid,
        .lock = o->lock,
        .pods = known ? known->pods : 0,
        .broken_n = count_broken(o)};
    return ERR_OK;
}
