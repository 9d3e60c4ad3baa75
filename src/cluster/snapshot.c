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
    s->pub.near = (uint32_t)(at->end - sizeof(*s));
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
    const struct snode_parts at =
        snode_parts(from->pub.score.groups_n, from->pub.score.devices_n, from->traits != NULL);
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

static void inventory_unref(struct inventory *inv)
{
    if (!inv || !unref(&inv->refs))
        return;
    for (uint16_t i = 0; i < inv->topologies_n; i++)
        topology_unref(inv->topologies[i]);
    free(inv);
}

void snode_unref(struct snode *s)
{
    if (!unref(&s->refs))
        return;
    inventory_unref(s->inv);
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

static const struct cluster_node *find_hashed(const struct cluster_snapshot *s, struct str name,
                                              uint32_t hash)
{
    const struct names *names = s->names;
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

const struct cluster_node *cluster_snapshot_find(const struct cluster_snapshot *s, struct str name)
{
    return find_hashed(s, name, (uint32_t)hash_str(s->seed, name));
}

void cluster_snapshot_find_all(const struct cluster_snapshot *s, const struct str *name, size_t n,
                               const struct cluster_node **ret)
{
    enum { TOGETHER = 32 }; /* each step fetches what the next one reads of all of them */
    uint32_t hash[TOGETHER];
    const struct names *names = s->names;
    for (size_t at = 0; at < n; at += TOGETHER) {
        const size_t end = n - at < TOGETHER ? n - at : TOGETHER;
        for (size_t i = 0; i < end; i++) {
            hash[i] = (uint32_t)hash_str(s->seed, name[at + i]);
            __builtin_prefetch(&names->of[hash[i] & names->mask]);
        }
        for (size_t i = 0; i < end; i++) {
            const uint32_t first = hash[i] & names->mask, slot = names->of[first].slot;
            if (slot == NO_SLOT)
                continue;
            __builtin_prefetch(names->text + names->of[first].at);
            __builtin_prefetch(&s->chunk[slot / CHUNK]->node[slot % CHUNK]);
        }
        for (size_t i = 0; i < end; i++)
            ret[at + i] = find_hashed(s, name[at + i], hash[i]);
    }
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
    if (from->foreign)
        d.flags |= SCORE_DEVICE_FOREIGN;
    if (from->soft)
        d.flags |= SCORE_DEVICE_SOFT;
    return d;
}

/* Nobody uses it yet. */
static struct score_trait trait_of(const struct vendor_device *from, uint16_t profiles_at)
{
    return (struct score_trait){.bits_total = from->bits,
                                .zone = from->zone,
                                .profile =
                                    from->profiles_n ? (uint16_t)(profiles_at + from->profile) : 0,
                                .profiles_n = from->profiles_n};
}

/* Whether there is something to say of the cards, or of who uses them, beyond amounts. */
static bool have_traits(const struct vendor *v, const struct cluster_node_cards *cards)
{
    if (v->pod_class.n > 0 || v->pod_qos.n > 0)
        return true;
    for (uint16_t i = 0; i < cards->devices_n; i++) {
        const struct vendor_device *d = &cards->devices[i];
        if (d->bits || d->zone != SCORE_ZONE_NONE || d->profiles_n > 0)
            return true;
    }
    return false;
}

struct sizes { /* of all cards of an object */
    size_t devices, profiles;
    uint16_t groups, topologies, broken, faults;
    bool traits;
};

static struct sizes sizes_of(const struct cluster_config *cfg, const struct cluster_node_object *o)
{
    struct sizes s = {0};
    for (uint16_t i = 0; i < o->cards_n; i++) {
        const struct cluster_node_cards *c = &o->cards[i];
        s.devices += c->devices_n;
        s.profiles += c->profiles_n;
        s.groups = (uint16_t)(s.groups + (c->devices_n > 0));
        s.topologies = (uint16_t)(s.topologies + (c->topology.n > 0));
        s.broken = (uint16_t)(s.broken + (c->broken.p != NULL));
        s.faults = (uint16_t)(s.faults + (c->broken.p != NULL) + (c->card_fault.p != NULL) +
                              (c->topology_fault.p != NULL));
        s.traits =
            s.traits || (c->devices_n > 0 && have_traits(vendor_at(cfg->vendors, c->vendor), c));
    }
    return s;
}

/* By (index, UUID), as everywhere; decoders sort, but callers may have made the object themselves.
 * True: they stood so already. */
static bool order_of(const struct cluster_node_cards *cards, uint16_t order[SCORE_DEVICES_MAX])
{
    bool stood = true;
    for (uint16_t i = 0; i < cards->devices_n; i++) {
        const struct vendor_device *d = &cards->devices[i];
        uint16_t at = i;
        for (; at > 0; at--) {
            const struct vendor_device *before = &cards->devices[order[at - 1]];
            if (before->index < d->index ||
                (before->index == d->index && str_cmp(before->id, d->id) <= 0))
                break;
            order[at] = order[at - 1];
        }
        order[at] = i;
        stood = stood && at == i;
    }
    return stood;
}

static uint16_t faults_of(const struct cluster_node_cards *c, struct cluster_fault *ret)
{
    const struct str texts[] = {c->broken, c->card_fault, c->topology_fault};
    uint16_t n = 0;
    for (size_t i = 0; i < 3; i++)
        if (texts[i].p)
            ret[n++] = (struct cluster_fault){c->vendor, texts[i]};
    return n;
}

/* ---- an inventory: one block ---- */

static size_t text_bytes(const struct cluster_node_object *o)
{
    size_t n = o->name.n + o->uid.n + o->lock.n;
    for (uint16_t i = 0; i < o->cards_n; i++) {
        const struct cluster_node_cards *c = &o->cards[i];
        struct cluster_fault faults[3];
        for (uint16_t k = 0; k < c->devices_n; k++)
            n += c->devices[k].id.n;
        for (uint16_t k = 0; k < c->profiles_n; k++)
            n += c->profiles[k].name.n + c->profiles[k].id.n;
        for (uint16_t k = faults_of(c, faults); k > 0; k--)
            n += faults[k - 1].text.n;
    }
    return n;
}

static struct inventory *inventory_new(const struct cluster_node_object *o, const struct sizes *z)
{
    struct inventory *inv = calloc(1, sizeof(*inv) + z->topologies * sizeof(*inv->topologies) +
                                          z->profiles * sizeof(*inv->profiles) +
                                          z->faults * sizeof(*inv->faults) + text_bytes(o));
    if (!inv)
        return NULL;
    atomic_init(&inv->refs, 1);
    inv->topologies = (struct topology **)(void *)(inv + 1);
    inv->profiles = (struct score_profile *)(void *)(inv->topologies + z->topologies);
    inv->faults = (struct cluster_fault *)(void *)(inv->profiles + z->profiles);
    inv->text = (char *)(inv->faults + z->faults);
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

static void keep_profiles(struct inventory *inv, uint16_t first,
                          const struct cluster_node_cards *cards, char **at)
{
    for (uint16_t i = 0; i < cards->profiles_n; i++) {
        struct score_profile *p = &inv->profiles[first + i];
        *p = cards->profiles[i];
        p->name = keep(at, p->name);
        p->id = keep(at, p->id);
    }
}

/* The type and mode of a card; false: no memory. */
static bool name_device(struct cluster_store *st, const struct vendor_device *from,
                        struct score_device *d, uint16_t *broken_n)
{
    const uint32_t type = intern(st->types, from->type), mode = intern(st->types, from->mode);
    if (type == NO_SLOT || mode == NO_SLOT)
        return false;
    if (type == SCORE_TYPES_MAX || mode == SCORE_TYPES_MAX) {
        d->flags |= SCORE_DEVICE_UNHEALTHY; /* nobody could tell what it is */
        ++*broken_n;
        return true;
    }
    d->type = (uint16_t)type;
    d->mode = mode;
    return true;
}

struct filling { /* where the next group goes */
    struct cluster_store *st;
    struct snode *s;
    uint16_t group, device, profile, fault;
    char *text;
};

static bool add_group(struct filling *f, const struct cluster_node_cards *cards)
{
    struct snode *s = f->s;
    struct score_group *group = &s->groups[f->group++];
    uint16_t order[SCORE_DEVICES_MAX];
    const bool stood = order_of(cards, order);
    *group =
        (struct score_group){.vendor = cards->vendor, .first = f->device, .n = cards->devices_n};
    if (s->traits && have_traits(vendor_at(f->st->cfg.vendors, cards->vendor), cards))
        group->traits = s->traits + f->device;
    for (uint16_t k = 0; k < cards->devices_n; k++, f->device++) {
        const struct vendor_device *from = &cards->devices[order[k]];
        struct score_device *d = &s->devices[f->device];
        *d = device_of(cards, from, keep(&f->text, from->id));
        if (s->traits)
            s->traits[f->device] = trait_of(from, f->profile);
        if (!name_device(f->st, from, d, &s->pub.broken_n))
            return false;
    }
    if (stood && cards->topology.n == cards->devices_n) {
        struct topology *t = topology_get(f->st, &cards->topology);
        if (!t)
            return false;
        s->inv->topologies[s->inv->topologies_n++] = t;
        group->topology = &t->pub;
    }
    return true;
}

struct snode *snode_from_object(struct cluster_store *st, const struct cluster_node_object *o)
{
    const struct sizes z = sizes_of(&st->cfg, o);
    if (z.devices > SCORE_DEVICES_MAX || z.profiles > UINT16_MAX)
        return NULL;
    struct snode *s = snode_new(z.groups, (uint16_t)z.devices, z.traits);
    struct inventory *inv = s ? inventory_new(o, &z) : NULL;
    if (!inv) {
        free(s);
        return NULL;
    }
    struct filling f = {.st = st, .s = s, .text = inv->text};
    s->inv = inv;
    s->pub.score.name = keep(&f.text, o->name);
    s->pub.uid = keep(&f.text, o->uid);
    if (o->lock.p)
        s->pub.lock = keep(&f.text, o->lock);
    s->pub.broken_n = z.broken;
    s->pub.faults = inv->faults;
    s->pub.faults_n = z.faults;
    s->pub.score.profiles = inv->profiles;
    s->pub.score.profiles_n = (uint16_t)z.profiles;
    s->pub.score.cpu_alloc_milli = o->cpu_alloc_milli;
    s->pub.score.memory_alloc_mib = o->memory_alloc_mib;
    for (uint16_t i = 0; i < o->cards_n; i++) {
        const struct cluster_node_cards *cards = &o->cards[i];
        const uint16_t first = f.fault;
        f.fault = (uint16_t)(f.fault + faults_of(cards, inv->faults + first));
        for (uint16_t k = first; k < f.fault; k++)
            inv->faults[k].text = keep(&f.text, inv->faults[k].text);
        keep_profiles(inv, f.profile, cards, &f.text);
        if (cards->devices_n > 0 && !add_group(&f, cards)) {
            snode_unref(s);
            return NULL;
        }
        f.profile = (uint16_t)(f.profile + cards->profiles_n);
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

static const struct score_group *find_group(const struct cluster_node *node, uint16_t vendor)
{
    for (uint16_t g = 0; node && g < node->score.groups_n; g++)
        if (node->score.groups[g].vendor == vendor)
            return &node->score.groups[g];
    return NULL;
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

static const struct score_trait *find_trait(const struct cluster_node *node,
                                            const struct score_device *card)
{
    const uint16_t at = (uint16_t)(card - node->score.devices);
    for (uint16_t g = 0; g < node->score.groups_n; g++) {
        const struct score_group *group = &node->score.groups[g];
        if (group->traits && at >= group->first && at < group->first + group->n)
            return &group->traits[at - group->first];
    }
    return NULL;
}

static void add_use(const struct cluster_node *known, const struct score_vendor *row,
                    uint16_t vendor, struct score_device *d, struct score_trait *t)
{
    const struct score_device *used = find_card(known, vendor, d->uuid);
    if (!used)
        return;
    d->mem_used_mib = used->mem_used_mib;
    d->cores_used_pct = used->cores_used_pct;
    d->shares_used = used->shares_used;
    if (ledger_over_total(row, d))
        d->flags |= SCORE_DEVICE_LENT;
    const struct score_trait *by = t ? find_trait(known, used) : NULL;
    if (!by)
        return;
    d->flags |= used->flags & SCORE_DEVICE_LENT; /* for its bits, if not for its amounts */
    t->bits_used = by->bits_used;
    t->online = by->online;
    t->offline = by->offline;
    t->qos = by->qos;
}

struct simulated {
    struct score_group *groups;
    struct score_device *devices;
    struct score_trait *traits; /* NULL: none */
    struct score_profile *profiles;
    struct cluster_fault *faults;
    uint16_t groups_n, devices_n, profiles_n, faults_n;
};

static void simulate_group(struct simulated *sim, const struct vendor *v,
                           const struct cluster_node_cards *cards, const struct cluster_node *known,
                           struct texts *texts)
{
    const bool traits = have_traits(v, cards);
    struct score_group *group = &sim->groups[sim->groups_n++];
    const struct score_group *like = find_group(known, cards->vendor);
    uint16_t order[SCORE_DEVICES_MAX];
    *group = (struct score_group){.vendor = cards->vendor,
                                  .first = sim->devices_n,
                                  .n = cards->devices_n,
                                  .closed = like && like->closed,
                                  .locked = like && like->locked};
    if (order_of(cards, order) && cards->topology.n == cards->devices_n)
        group->topology = &cards->topology; /* as long as the object: both are the request's */
    if (traits)
        group->traits = sim->traits + group->first;
    for (uint16_t k = 0; k < cards->devices_n; k++) {
        const struct vendor_device *from = &cards->devices[order[k]];
        struct score_device *d = &sim->devices[sim->devices_n];
        struct score_trait *t = traits ? &sim->traits[sim->devices_n] : NULL;
        *d = device_of(cards, from, from->id);
        if (t)
            *t = trait_of(from, sim->profiles_n);
        const uint32_t type = find_text(texts, from->type), mode = find_text(texts, from->mode);
        if (type == NO_SLOT || mode == NO_SLOT) {
            d->flags |= SCORE_DEVICE_UNHEALTHY;
        } else {
            d->type = (uint16_t)type;
            d->mode = mode;
        }
        add_use(known, &v->core, cards->vendor, d, t);
        group->mem_total_mib += d->mem_total_mib;
        group->mem_used_mib += d->mem_used_mib;
        group->cores_total_pct += d->cores_total_pct;
        group->cores_used_pct += d->cores_used_pct;
        group->shares_total += d->shares_total;
        group->shares_used += d->shares_used;
        sim->devices_n++;
    }
}

enum err_code cluster_snapshot_simulate(const struct cluster_snapshot *s,
                                        const struct cluster_config *cfg,
                                        const struct cluster_node_object *o, struct arena *arena,
                                        struct cluster_node *ret, struct err *err)
{
    const struct cluster_node *known = cluster_snapshot_find(s, o->name);
    if (known && !str_eq(known->uid, o->uid))
        known = NULL; /* another node that once had this name */
    const struct sizes z = sizes_of(cfg, o);
    if (z.devices > SCORE_DEVICES_MAX || z.profiles > UINT16_MAX)
        return err_set(err, ERR_TOO_LARGE, "node " STR_FMT ": more than %d cards", STR_ARG(o->name),
                       SCORE_DEVICES_MAX);
    struct texts texts = {.s = s, .n = s->types_n};
    struct simulated sim = {
        .groups = arena_array(arena, z.groups, sizeof(*sim.groups)),
        .devices = arena_array(arena, z.devices, sizeof(*sim.devices)),
        .traits = arena_array(arena, z.traits ? z.devices : 0, sizeof(*sim.traits)),
        .profiles = arena_array(arena, z.profiles, sizeof(*sim.profiles)),
        .faults = arena_array(arena, z.faults, sizeof(*sim.faults)),
    };
    if (arena_failed(arena) || !gather_texts(&texts, o, z.devices, arena))
        return err_set(err, ERR_NO_MEMORY, "node " STR_FMT ": no memory", STR_ARG(o->name));
    for (uint16_t i = 0; i < o->cards_n; i++) {
        const struct cluster_node_cards *cards = &o->cards[i];
        sim.faults_n = (uint16_t)(sim.faults_n + faults_of(cards, sim.faults + sim.faults_n));
        if (cards->devices_n > 0)
            simulate_group(&sim, vendor_at(cfg->vendors, cards->vendor), cards, known, &texts);
        if (cards->profiles_n > 0)
            memcpy(sim.profiles + sim.profiles_n, cards->profiles,
                   cards->profiles_n * sizeof(*sim.profiles));
        sim.profiles_n = (uint16_t)(sim.profiles_n + cards->profiles_n);
    }
    *ret = (struct cluster_node){
        .score = {.name = o->name,
                  .groups = sim.groups,
                  .devices = sim.devices,
                  .types = texts.own ? texts.own : s->types->text,
                  .profiles = sim.profiles,
                  .groups_n = sim.groups_n,
                  .devices_n = sim.devices_n,
                  .profiles_n = sim.profiles_n,
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
        .broken_n = z.broken,
        .faults = sim.faults,
        .faults_n = sim.faults_n};
    return ERR_OK;
}
