/* The ledger: which pod holds what on which card. A record says what one pod has; everything else
 * follows from the records and is computed anew after a change: a node's use from the records of
 * its pods, never by adding and taking away. Only a namespace's sums are kept running, each record
 * taking away exactly what it added (its `uses`). Everything here runs under the store's lock, and
 * makes what it needs before it changes anything, so that a want of memory leaves the state as it
 * was. */
#include "cluster/priv.h"

#include "base/clock.h"
#include "cluster/decode.h"

#include <assert.h>
#include <stdlib.h>

/* ---- table ---- */

static uint32_t hash_of(const void *item) { return *(const uint32_t *)item; }

bool table_reserve(struct table *t)
{
    if ((uint64_t)(t->n + 1) * 4 <= (uint64_t)t->cap * 3)
        return true;
    struct table more = {.cap = t->cap ? 2 * t->cap : 16};
    more.slot = calloc(more.cap, sizeof(*more.slot));
    if (!more.slot)
        return false;
    for (uint32_t i = 0; i < t->cap; i++)
        if (t->slot[i])
            table_put(&more, t->slot[i]);
    free(t->slot);
    *t = more;
    return true;
}

void table_put(struct table *t, void *item)
{
    uint32_t i = hash_of(item) & (t->cap - 1);
    while (t->slot[i])
        i = (i + 1) & (t->cap - 1);
    t->slot[i] = item;
    t->n++;
}

static uint32_t slot_of(const struct table *t, const void *item)
{
    uint32_t i = hash_of(item) & (t->cap - 1);
    while (t->slot[i] != item) {
        assert(t->slot[i]);
        i = (i + 1) & (t->cap - 1);
    }
    return i;
}

void table_replace(struct table *t, const void *old, void *item)
{
    assert(hash_of(old) == hash_of(item));
    t->slot[slot_of(t, old)] = item;
}

void table_del(struct table *t, const void *item)
{
    const uint32_t mask = t->cap - 1;
    uint32_t hole = slot_of(t, item);
    t->n--;
    /* whoever stands behind the hole and could not stand where it belongs moves up */
    for (uint32_t i = (hole + 1) & mask; t->slot[i]; i = (i + 1) & mask) {
        uint32_t home = hash_of(t->slot[i]) & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue;
        t->slot[hole] = t->slot[i];
        hole = i;
    }
    t->slot[hole] = NULL;
}

void table_done(struct table *t)
{
    free(t->slot);
    *t = (struct table){0};
}

/* ---- names ---- */

struct str record_uid(const struct record *r) { return (struct str){r->text, r->uid_n}; }
struct str record_name(const struct record *r)
{
    return (struct str){r->text + r->uid_n, r->name_n};
}
struct str space_name(const struct space *s) { return (struct str){s->name, s->name_n}; }
struct str entry_name(const struct entry *e) { return (struct str){e->name, e->name_n}; }

static uint32_t hash32(const struct cluster_store *st, struct str s)
{
    return (uint32_t)hash_str(st->cfg.hash_seed, s);
}

struct record *ledger_find(const struct cluster_store *st, struct str uid)
{
    uint32_t at = 0, hash = hash32(st, uid);
    struct record *r;
    while ((r = table_find(&st->records, hash, &at)) && !str_eq(record_uid(r), uid))
        ;
    return r;
}

/* ---- namespaces ---- */

struct space *ledger_space_find(const struct cluster_store *st, struct str ns)
{
    uint32_t at = 0, hash = hash32(st, ns);
    struct space *s;
    while ((s = table_find(&st->spaces, hash, &at)) && !str_eq(space_name(s), ns))
        ;
    return s;
}

struct space *ledger_space_get(struct cluster_store *st, struct str ns)
{
    struct space *s = ledger_space_find(st, ns);
    if (s)
        return s;
    if (ns.n > UINT16_MAX || !table_reserve(&st->spaces))
        return NULL;
    s = calloc(1, sizeof(*s) + ns.n);
    if (!s)
        return NULL;
    s->hash = hash32(st, ns);
    s->name_n = (uint16_t)ns.n;
    if (ns.n > 0)
        memcpy(s->name, ns.p, ns.n);
    table_put(&st->spaces, s);
    return s;
}

void ledger_space_release(struct cluster_store *st, struct space *s)
{
    if (s->refs > 0 || s->quotas)
        return;
    table_del(&st->spaces, s);
    free(s->use);
    free(s);
}

static struct space_use *space_use_of(const struct space *s, uint16_t vendor)
{
    for (uint16_t i = 0; i < s->use_n; i++)
        if (s->use[i].vendor == vendor)
            return &s->use[i];
    return NULL;
}

static bool space_reserve(struct space *s, uint16_t vendor)
{
    if (space_use_of(s, vendor))
        return true;
    if (s->use_n == s->use_cap) {
        uint16_t cap = (uint16_t)(s->use_cap ? 2 * s->use_cap : 1);
        struct space_use *use = realloc(s->use, cap * sizeof(*use));
        if (!use)
            return false;
        s->use = use;
        s->use_cap = cap;
    }
    s->use[s->use_n++] = (struct space_use){.vendor = vendor};
    return true;
}

bool space_limit(const struct space *s, uint16_t vendor, bool mem, int64_t *ret)
{
    bool found = false;
    for (const struct quota *q = s->quotas; q; q = q->next)
        for (uint16_t i = 0; i < q->limits_n; i++) {
            if (q->limits[i].vendor != vendor || q->limits[i].mem != mem)
                continue;
            /* Kubernetes enforces every quota object of a namespace: the tightest one counts. */
            if (!found || q->limits[i].limit < *ret)
                *ret = q->limits[i].limit;
            found = true;
        }
    return found;
}

/* ---- nodes ---- */

struct entry *ledger_entry_find(const struct cluster_store *st, struct str name)
{
    uint32_t at = 0, hash = hash32(st, name);
    struct entry *e;
    while ((e = table_find(&st->nodes, hash, &at)) && !str_eq(entry_name(e), name))
        ;
    return e;
}

/* Room for one more slot in everything that is indexed by slots. */
static bool reserve_slot(struct cluster_store *st)
{
    if (st->free_n > 0 || st->slots < st->slots_cap)
        return true;
    uint32_t cap = st->slots_cap ? 2 * st->slots_cap : CHUNK;
    struct entry **entries = realloc(st->entries, cap * sizeof(struct entry *));
    if (entries)
        st->entries = entries;
    uint32_t *free_slots = realloc(st->free_slots, cap * sizeof(*free_slots));
    if (free_slots)
        st->free_slots = free_slots;
    struct chunk **chunks = realloc(st->chunks, cap / CHUNK * sizeof(struct chunk *));
    if (chunks)
        st->chunks = chunks;
    bool *chunk_dirty = realloc(st->chunk_dirty, cap / CHUNK * sizeof(*chunk_dirty));
    if (chunk_dirty)
        st->chunk_dirty = chunk_dirty;
    if (!entries || !free_slots || !chunks || !chunk_dirty)
        return false;
    for (uint32_t i = st->slots_cap / CHUNK; i < cap / CHUNK; i++) {
        st->chunks[i] = NULL;
        st->chunk_dirty[i] = false;
    }
    st->slots_cap = cap;
    return true;
}

enum err_code ledger_entry_get(struct cluster_store *st, struct str name, struct entry **ret,
                               struct err *err)
{
    struct entry *e = ledger_entry_find(st, name);
    if (!e) {
        if (st->nodes.n >= st->entries_max || name.n > UINT16_MAX)
            return err_set(err, ERR_TOO_LARGE, "more than %u nodes are known or named by pods",
                           st->entries_max);
        e = calloc(1, sizeof(*e) + name.n);
        if (!e || !table_reserve(&st->nodes) || !reserve_slot(st)) {
            free(e);
            return err_set(err, ERR_NO_MEMORY, "ledger: no memory for a node");
        }
        e->hash = hash32(st, name);
        e->name_n = (uint16_t)name.n;
        memcpy(e->name, name.p, name.n);
        e->slot = st->free_n > 0 ? st->free_slots[--st->free_n] : st->slots++;
        st->entries[e->slot] = e;
        table_put(&st->nodes, e);
    }
    *ret = e;
    return ERR_OK;
}

void ledger_clean(struct entry *e)
{
    assert(e->dirty);
    *e->dirty_at = e->dirty_next;
    if (e->dirty_next)
        e->dirty_next->dirty_at = e->dirty_at;
    e->dirty = false;
}

void ledger_entry_release(struct cluster_store *st, struct entry *e)
{
    if (e->cur || e->pods_n > 0 || e->cpu_pods > 0)
        return;
    if (e->dirty)
        ledger_clean(e);
    table_del(&st->nodes, e);
    st->entries[e->slot] = NULL;
    st->free_slots[st->free_n++] = e->slot;
    for (uint32_t i = 0; i < e->cards_n; i++)
        free(e->cards[i].uuid);
    free(e->cards);
    free(e->pods);
    free(e);
}

void ledger_dirty(struct cluster_store *st, struct entry *e)
{
    if (e->dirty || !e->cur)
        return;
    e->dirty = true;
    e->dirty_next = st->dirty;
    e->dirty_at = &st->dirty;
    if (st->dirty)
        st->dirty->dirty_at = &e->dirty_next;
    st->dirty = e;
    st->changed = true;
}

/* ---- cards ---- */

static int32_t find_device(const struct snode *s, uint16_t vendor, struct str uuid)
{
    for (uint16_t g = 0; s && g < s->pub.score.groups_n; g++)
        for (uint16_t i = s->groups[g].first;
             s->groups[g].vendor == vendor && i < s->groups[g].first + s->groups[g].n; i++)
            if (str_eq(s->devices[i].uuid, uuid))
                return i;
    return -1;
}

static uint32_t card_hash(const struct cluster_store *st, uint16_t vendor, struct str uuid)
{
    return (uint32_t)hash_str(st->cfg.hash_seed + vendor, uuid);
}

/* Adds a reference. NO_SLOT: no memory, or too many (*ret_full). */
static uint32_t card_ref(const struct cluster_store *st, struct entry *e, uint16_t vendor,
                         struct str uuid)
{
    uint32_t hash = card_hash(st, vendor, uuid), at = e->cards_n;
    for (uint32_t i = 0; i < e->cards_n; i++) {
        struct card *c = &e->cards[i];
        if (!c->uuid) {
            at = i;
        } else if (c->hash == hash && c->vendor == vendor && c->uuid_n == uuid.n &&
                   memcmp(c->uuid, uuid.p, uuid.n) == 0) {
            c->refs++;
            return i;
        }
    }
    if (at == e->cards_cap) {
        uint32_t cap = e->cards_cap ? 2 * e->cards_cap : 2;
        struct card *cards = realloc(e->cards, cap * sizeof(*cards));
        if (!cards)
            return NO_SLOT;
        e->cards = cards;
        e->cards_cap = cap;
    }
    char *text = malloc(uuid.n + 1);
    if (!text)
        return NO_SLOT;
    memcpy(text, uuid.p, uuid.n);
    if (at == e->cards_n)
        e->cards_n++;
    e->cards[at] = (struct card){.uuid = text,
                                 .hash = hash,
                                 .refs = 1,
                                 .device = find_device(e->cur, vendor, uuid),
                                 .uuid_n = (uint16_t)uuid.n,
                                 .vendor = vendor};
    return at;
}

static void card_unref(struct entry *e, uint32_t card)
{
    struct card *c = &e->cards[card];
    assert(c->refs > 0);
    if (--c->refs > 0)
        return;
    free(c->uuid);
    c->uuid = NULL;
    while (e->cards_n > 0 && !e->cards[e->cards_n - 1].uuid)
        e->cards_n--;
}

/* ---- records ---- */

static int32_t at_least(int32_t n, int64_t least) { return least > n ? (int32_t)least : n; }

/* Whether nobody can tell which of the card's bits are the share's: it names none of them, or fewer
 * than it asks for. `rare` NULL: it has none. */
static bool bits_unknown(const struct rare *rare, uint64_t all)
{
    const uint64_t own = rare ? rare->bits & all : 0;
    int least = rare ? rare->bits_least : 0;
    if (least == BITS_ALL)
        least = __builtin_popcountll(all);
    return all && (!own || __builtin_popcountll(own) < least);
}

/* The least that a share has of bits and cores, on the card as it is now. Bits that are unknown may
 * be any: then all of the card's are taken to be its. */
static void raise_rare(const struct rare *rare, const struct score_device *d,
                       const struct score_trait *t, struct score_part *part)
{
    const uint64_t all = t ? t->bits_total : 0;
    part->bits = rare->bits;
    if (bits_unknown(rare, all)) {
        part->bits |= all;
        if (rare->bits_least > 0)
            part->cores_pct = at_least(part->cores_pct, __builtin_popcountll(all));
    }
    if (rare->units_pct > 0) { /* vendors-b.md 5g */
        const int64_t units = (int64_t)d->cores_total_pct * rare->units_pct / 100;
        part->cores_pct = at_least(part->cores_pct, units > 0 ? units : 1);
    }
}

/* From shares to what the pod takes of each card for its life. Percentages are of the card's memory
 * as it is now. */
static uint16_t effective_use(struct cluster_store *st, const struct entry *e,
                              const struct record *r, struct score_use *ret)
{
    struct scratch *s = st->scratch;
    for (uint16_t i = 0; i < r->shares_n; i++) {
        const struct share *sh = &r->shares[i];
        struct score_part *part = &s->parts[i];
        *part = (struct score_part){.ask = i,
                                    .device = sh->card,
                                    .mem_mib = sh->mem_mib,
                                    .cores_pct = sh->cores_pct,
                                    .shares = sh->shares,
                                    .bits = r->rare ? r->rare[i].bits : 0};
        const int32_t device = e->cards[sh->card].device;
        if (device >= 0) {
            const struct score_device *d = &e->cur->devices[device];
            const int64_t mem = d->mem_total_mib * sh->mem_pct / 100;
            part->mem_mib = mem > part->mem_mib ? mem : part->mem_mib;
            if (r->rare)
                raise_rare(&r->rare[i], d, e->cur->traits ? &e->cur->traits[device] : NULL, part);
        }
        s->steps[sh->container] = (enum score_step)sh->step;
        s->asks[i] = (struct score_ask){.container = sh->container, .vendor = sh->vendor};
    }
    if (r->shares_n == 0)
        return 0;
    const uint16_t n = score_effective_use(s->steps, s->asks, s->parts, r->shares_n, ret);
    for (uint16_t i = 0; i < n; i++) /* sizes that annotations claim: a card has no more, so full */
        ret[i].shares = ret[i].shares > UINT16_MAX ? UINT16_MAX : ret[i].shares;
    return n;
}

/* The pod's class and policy on the card: a pod has one of each for a maker's cards, but a share of
 * a whole card brings no policy. */
static void classify_use(const struct record *r, struct use *use)
{
    use->app_class = use->qos = 0;
    for (uint16_t i = 0; i < r->shares_n; i++) {
        if (r->shares[i].card != use->card)
            continue;
        use->app_class = r->shares[i].app_class;
        use->qos = r->shares[i].qos > use->qos ? r->shares[i].qos : use->qos;
    }
}

static bool any_class(const struct record *r)
{
    for (uint16_t i = 0; i < r->shares_n; i++)
        if (r->shares[i].app_class || r->shares[i].qos)
            return true;
    return false;
}

static bool is_vague(const struct entry *e, const struct record *r)
{
    for (uint16_t i = 0; e->cur && e->cur->traits && i < r->shares_n; i++) {
        const int32_t device = e->cards[r->shares[i].card].device;
        if (device >= 0 &&
            bits_unknown(r->rare ? &r->rare[i] : NULL, e->cur->traits[device].bits_total))
            return true;
    }
    return false;
}

static void resolve(struct cluster_store *st, const struct entry *e, struct record *r)
{
    struct score_use *uses = st->scratch->uses;
    const bool classes = any_class(r);
    r->flags = (uint8_t)(is_vague(e, r) ? r->flags | REC_VAGUE : r->flags & ~REC_VAGUE);
    r->uses_n = effective_use(st, e, r, uses);
    assert(r->uses_n <= r->shares_n);
    for (uint16_t i = 0; i < r->uses_n; i++) {
        r->uses[i] = (struct use){.mem_mib = uses[i].mem_mib,
                                  .cores_pct = uses[i].cores_pct,
                                  .card = uses[i].device,
                                  .vendor = uses[i].vendor,
                                  .shares = (uint16_t)uses[i].shares};
        if (classes)
            classify_use(r, &r->uses[i]);
        if (r->rare)
            r->rare[i].use_bits = uses[i].bits;
    }
}

/* Adds what the pod uses to its namespace's sums, or takes it away. */
static void count_space(struct record *r, int sign)
{
    for (uint16_t i = 0; i < r->uses_n; i++) {
        struct space_use *use = space_use_of(r->space, r->uses[i].vendor);
        assert(use);
        use->mem_mib += sign * r->uses[i].mem_mib;
        use->cores_pct += sign * r->uses[i].cores_pct;
    }
}

static void count_cpu(struct entry *e, const struct record *r, int sign)
{
    e->cpu_milli += sign * (int64_t)r->cpu_milli;
    e->memory_mib += sign * (int64_t)r->memory_mib;
}

static void attach(struct cluster_store *st, struct record *r)
{
    r->space->refs++;
    if (r->slot == NO_SLOT)
        return;
    struct entry *e = st->entries[r->slot];
    assert(e->pods_n < e->pods_cap);
    r->pos = e->pods_n;
    e->pods[e->pods_n++] = r;
    count_space(r, 1);
    count_cpu(e, r, 1);
    ledger_dirty(st, e);
}

static void detach(struct cluster_store *st, struct record *r)
{
    r->space->refs--;
    if (r->slot == NO_SLOT)
        return;
    struct entry *e = st->entries[r->slot];
    assert(e->pods[r->pos] == r);
    struct record *last = e->pods[--e->pods_n];
    e->pods[r->pos] = last;
    last->pos = r->pos;
    for (uint16_t i = 0; i < r->shares_n; i++)
        card_unref(e, r->shares[i].card);
    count_space(r, -1);
    count_cpu(e, r, -1);
    ledger_dirty(st, e);
}

static bool reserve_pod(struct entry *e)
{
    if (e->pods_n < e->pods_cap)
        return true;
    uint32_t cap = e->pods_cap ? e->pods_cap + e->pods_cap / 2 + 1 : 2;
    struct record **pods = realloc(e->pods, cap * sizeof(struct record *));
    if (!pods)
        return false;
    e->pods = pods;
    e->pods_cap = cap;
    return true;
}

static uint32_t clip(int64_t n) { return n < 0 ? 0 : n > UINT32_MAX ? UINT32_MAX : (uint32_t)n; }

static char *put_text(char *to, struct str s)
{
    if (s.n > 0)
        memcpy(to, s.p, s.n);
    return to + s.n;
}

static bool has_rare(const struct draft_share *sh)
{
    return sh->rare.bits || sh->rare.bits_least || sh->rare.units_pct;
}

static struct record *record_new(const struct cluster_store *st, const struct draft *draft)
{
    const struct draft_share *from = st->scratch->shares;
    size_t text = draft->uid.n + draft->name.n;
    bool rare = false;
    for (uint16_t i = 0; i < draft->shares_n; i++) {
        text += from[i].container_name.n > UINT8_MAX ? UINT8_MAX : from[i].container_name.n;
        rare = rare || has_rare(&from[i]);
    }
    size_t shares = draft->shares_n * sizeof(struct share),
           uses = draft->shares_n * sizeof(struct use),
           rares = rare ? draft->shares_n * sizeof(struct rare) : 0;
    struct record *r = malloc(sizeof(*r) + shares + uses + rares + text);
    if (!r)
        return NULL;
    *r = (struct record){.hash = hash32(st, draft->uid),
                         .slot = NO_SLOT,
                         .cpu_milli = clip(draft->cpu_milli),
                         .memory_mib = clip(draft->memory_mib),
                         .priority = draft->priority,
                         .mark = draft->mark,
                         .uid_n = (uint16_t)draft->uid.n,
                         .name_n = (uint16_t)draft->name.n,
                         .shares_n = draft->shares_n,
                         .state = (uint8_t)draft->state,
                         .flags = draft->flags,
                         .closed = draft->closed,
                         .clone = draft->clone};
    r->uses = (struct use *)(void *)((char *)(r + 1) + shares);
    r->rare = rare ? (struct rare *)(void *)((char *)(r + 1) + shares + uses) : NULL;
    r->text = (char *)(r + 1) + shares + uses + rares;
    char *end = put_text(put_text(r->text, draft->uid), draft->name);
    for (uint16_t i = 0; i < draft->shares_n; i++) {
        struct str name = from[i].container_name;
        if (name.n > UINT8_MAX)
            name.n = UINT8_MAX;
        /* one copy for the shares of one container, which stand together */
        bool again = i > 0 && from[i].container == from[i - 1].container;
        size_t at = again ? r->shares[i - 1].name_at : (size_t)(end - r->text);
        if (at + name.n > UINT16_MAX)
            name.n = at = 0;
        r->shares[i] = (struct share){.mem_mib = from[i].mem_mib,
                                      .cores_pct = from[i].cores_pct,
                                      .card = from[i].card,
                                      .name_at = (uint16_t)at,
                                      .shares = from[i].shares,
                                      .container = from[i].container,
                                      .vendor = from[i].vendor,
                                      .name_n = (uint8_t)name.n,
                                      .mem_pct = from[i].mem_pct,
                                      .step = from[i].step & 15u,
                                      .app_class = from[i].app_class & 15u,
                                      .qos = from[i].qos};
        if (rare)
            r->rare[i] = from[i].rare;
        if (!again)
            end = put_text(end, name);
    }
    return r;
}

/* Gives every share of the draft its card's number. A node whose pods name too many cards gets no
 * more of them: the vendor is closed there instead. */
static bool ref_cards(struct cluster_store *st, struct entry *e, struct draft *draft)
{
    struct draft_share *shares = st->scratch->shares;
    uint16_t n = 0;
    for (uint16_t i = 0; i < draft->shares_n; i++) {
        struct draft_share sh = shares[i];
        if (e->cards_n >= CARDS_MAX && find_device(e->cur, sh.vendor, sh.uuid) < 0) {
            draft->closed |= UINT64_C(1) << sh.vendor;
            continue;
        }
        uint32_t card = card_ref(st, e, sh.vendor, sh.uuid);
        if (card == NO_SLOT) {
            while (n > 0)
                card_unref(e, shares[--n].card);
            return false;
        }
        sh.card = (uint16_t)card;
        shares[n++] = sh;
    }
    draft->shares_n = n;
    return true;
}

static bool reserve_all(struct cluster_store *st, struct entry *e, struct space *space, bool is_new,
                        const struct draft *draft)
{
    for (uint16_t i = 0; i < draft->shares_n; i++)
        if (!space_reserve(space, st->scratch->shares[i].vendor))
            return false;
    return (!e || reserve_pod(e)) && (!is_new || table_reserve(&st->records));
}

enum err_code ledger_put(struct cluster_store *st, struct record *old, struct draft *draft,
                         struct err *err)
{
    if (draft->uid.n > UINT16_MAX / 4 || draft->name.n > UINT16_MAX / 4)
        return err_set(err, ERR_TOO_LARGE, "a pod's name or UID is too long");
    /* A bound pod's cards are in use whether we have room for it or not: as many again. */
    const uint64_t pods_max = (draft->node.n > 0 ? 2 : 1) * (uint64_t)st->cfg.pods_max;
    if (!old && (uint64_t)st->records.n + st->cpu.n >= pods_max)
        return err_set(err, ERR_TOO_LARGE, "more than %llu pods", (unsigned long long)pods_max);
    struct entry *e = NULL;
    if (draft->node.n > 0) {
        enum err_code rc = ledger_entry_get(st, draft->node, &e, err);
        if (rc)
            return rc;
    }
    struct record *r = NULL;
    bool cards = false;
    struct space *space = ledger_space_get(st, draft->ns);
    if (space && (!e || (cards = ref_cards(st, e, draft))) &&
        reserve_all(st, e, space, !old, draft))
        r = record_new(st, draft);
    if (!r) {
        for (uint16_t i = 0; cards && i < draft->shares_n; i++)
            card_unref(e, st->scratch->shares[i].card);
        if (space)
            ledger_space_release(st, space);
        if (e)
            ledger_entry_release(st, e);
        return err_set(err, ERR_NO_MEMORY, "ledger: no memory for a pod");
    }
    /* From here on nothing fails. */
    r->space = space;
    if (e) {
        r->slot = e->slot;
        resolve(st, e, r);
    }
    attach(st, r);
    if (old) {
        table_replace(&st->records, old, r);
        detach(st, old);
        if (old->slot != NO_SLOT)
            ledger_entry_release(st, st->entries[old->slot]);
        ledger_space_release(st, old->space);
        free(old->clone);
        free(old);
    } else {
        table_put(&st->records, r);
    }
    return ERR_OK;
}

void ledger_remove(struct cluster_store *st, struct record *r)
{
    table_del(&st->records, r);
    detach(st, r);
    if (r->slot != NO_SLOT)
        ledger_entry_release(st, st->entries[r->slot]);
    ledger_space_release(st, r->space);
    free(r->clone);
    free(r);
}

void ledger_uncharge(struct cluster_store *st, struct record *r)
{
    struct entry *e = st->entries[r->slot];
    assert(r->clone);
    detach(st, r);
    r->space->refs++; /* it still belongs there */
    r->slot = NO_SLOT;
    r->state = REC_WAITING;
    r->flags &= (uint8_t) ~(REC_OURS | REC_TAMPERED | REC_FRESH | REC_VAGUE | REC_SERVING);
    r->shares_n = r->uses_n = 0;
    r->rare = NULL;
    r->closed = 0;
    ledger_entry_release(st, e);
}

void ledger_cpu_change(struct cluster_store *st, struct record *r, int64_t cpu_milli,
                       int64_t memory_mib)
{
    if (r->slot == NO_SLOT ||
        (r->cpu_milli == clip(cpu_milli) && r->memory_mib == clip(memory_mib)))
        return;
    struct entry *e = st->entries[r->slot];
    count_cpu(e, r, -1);
    r->cpu_milli = clip(cpu_milli);
    r->memory_mib = clip(memory_mib);
    count_cpu(e, r, 1);
    ledger_dirty(st, e);
}

/* ---- what a bound pod that we did not place holds ---- */

uint32_t share_mark(const struct cluster_store *st, const struct cluster_share *sh)
{
    uint64_t h =
        hash_str(st->cfg.hash_seed ^ ((uint64_t)sh->vendor << 16 | sh->container), sh->uuid);
    h = hash_fold(h ^ (uint64_t)sh->mem_mib,
                  0x9e3779b97f4a7c15u ^ (uint64_t)(uint32_t)sh->cores_pct);
    h = hash_fold(h ^ sh->bits, 0xd1b54a32d192ed03u ^ sh->shares);
    return (uint32_t)(h ^ h >> 32) | 1;
}

static const struct score_selection *selection_of(const struct cluster_pod *pod, uint16_t vendor)
{
    for (uint16_t i = 0; i < pod->request.selections_n; i++)
        if (pod->request.selections[i].vendor == vendor)
            return &pod->request.selections[i];
    return NULL;
}

void ledger_classify(const struct cluster_pod *pod, struct draft_share *sh)
{
    const struct score_selection *sel = selection_of(pod, sh->vendor);
    if (!sel)
        return;
    sh->app_class = (uint8_t)sel->app_class;
    /* vendors-b.md 1h: online pods and whole cards leave the card's policy alone. It follows from
     * the pods that are on the card, so that nothing is left behind when they end (D1.5). */
    if (sel->app_class != SCORE_CLASS_ONLINE && sh->cores_pct < 100)
        sh->qos = sel->qos;
}

static const struct score_ask *ask_of(const struct cluster_pod *pod, uint16_t container,
                                      uint16_t vendor)
{
    for (uint16_t i = 0; i < pod->request.asks_n; i++)
        if (pod->request.asks[i].container == container && pod->request.asks[i].vendor == vendor)
            return &pod->request.asks[i];
    return NULL;
}

/* Vendors of which the pod does not name all the cards that it asks for: any card of theirs may be
 * its. */
static uint64_t unnamed(const struct cluster_pod *pod)
{
    uint64_t closed = pod->vendors_broken | (pod->shares_broken_vendors & pod->vendors_asked);
    for (uint16_t i = 0; i < pod->request.asks_n; i++) {
        const struct score_ask *ask = &pod->request.asks[i];
        int32_t named = 0;
        for (uint16_t k = 0; k < pod->shares_n; k++)
            named +=
                pod->shares[k].container == ask->container && pod->shares[k].vendor == ask->vendor;
        if (named < ask->count)
            closed |= UINT64_C(1) << ask->vendor;
    }
    return closed;
}

/* At least what the spec asks for, in the row's own measure, whatever the list says. */
static void raise_to_ask(const struct score_vendor *row, const struct score_ask *ask,
                         struct draft_share *sh)
{
    const int32_t cores = ask->cores_pct > 100 ? 100 : ask->cores_pct; /* as Fit caps them */
    sh->mem_mib = ask->mem_mib > sh->mem_mib ? ask->mem_mib : sh->mem_mib;
    sh->mem_pct = (uint8_t)ask->mem_pct;
    if (ask->slices > sh->shares)
        sh->shares = ask->slices > UINT16_MAX ? UINT16_MAX : (uint16_t)ask->slices;
    if (sh->app_class == SCORE_CLASS_ONLINE)
        return; /* is given no cores (vendors-b.md 1g) */
    if (row->amount == SCORE_AMOUNT_BITS)
        sh->rare.bits_least = cores > 0 ? (uint8_t)cores : BITS_ALL;
    else if (row->amount == SCORE_AMOUNT_UNITS)
        sh->rare.units_pct = (uint8_t)cores;
    else if (!sh->rare.bits) /* a slice has its own cores, whatever was asked for (nvidia.md 8.3) */
        sh->cores_pct = cores > sh->cores_pct ? cores : sh->cores_pct;
}

void ledger_read_truth(struct cluster_store *st, const struct cluster_pod *pod, bool floor,
                       struct draft *draft)
{
    struct draft_share *shares = st->scratch->shares;
    uint16_t n = 0;
    *draft =
        (struct draft){.uid = pod->uid,
                       .ns = pod->ns,
                       .name = pod->name,
                       .node = pod->node,
                       .state = REC_BOUND,
                       .closed = floor ? unnamed(pod) : 0,
                       .cpu_milli = pod->cpu_milli,
                       .memory_mib = pod->memory_mib,
                       .priority = pod->priority,
                       .flags = pod->deleting ? REC_DELETING : 0,
                       .mark = (uint32_t)(pod->shares_broken_vendors & pod->vendors_asked) * 2};
    for (uint16_t i = 0; i < pod->shares_n && n < SCORE_PARTS_MAX; i++) {
        const struct cluster_share *from = &pod->shares[i];
        if (!(pod->vendors_asked >> from->vendor & 1) || from->container >= pod->containers_n)
            continue; /* lists of vendors that it does not ask for are nobody's business (core.md
                         S2) */
        draft->mark += share_mark(st, from);
        struct draft_share sh = {.uuid = from->uuid,
                                 .container_name = pod->container_names[from->container],
                                 .mem_mib = from->mem_mib,
                                 .cores_pct = from->cores_pct,
                                 .container = (uint8_t)from->container,
                                 .vendor = (uint8_t)from->vendor,
                                 .step = (uint8_t)pod->steps[from->container],
                                 .shares = from->shares,
                                 .rare.bits = from->bits};
        const struct score_ask *ask = floor ? ask_of(pod, from->container, from->vendor) : NULL;
        ledger_classify(pod, &sh);
        if (ask)
            raise_to_ask(&vendor_cores(st->cfg.vendors)[from->vendor], ask, &sh);
        shares[n++] = sh;
    }
    draft->shares_n = n;
}

static bool same_rare(const struct record *r, uint16_t i, const struct draft_share *want)
{
    if (!r->rare)
        return !has_rare(want);
    return r->rare[i].bits == want->rare.bits && r->rare[i].bits_least == want->rare.bits_least &&
           r->rare[i].units_pct == want->rare.units_pct;
}

bool ledger_says_the_same(const struct cluster_store *st, const struct record *r,
                          const struct draft *draft)
{
    if (r->closed != draft->closed || r->shares_n != draft->shares_n || r->slot == NO_SLOT)
        return false;
    const struct entry *e = st->entries[r->slot];
    for (uint16_t i = 0; i < r->shares_n; i++) {
        const struct draft_share *want = &st->scratch->shares[i];
        const struct share *sh = &r->shares[i];
        const struct card *card = &e->cards[sh->card];
        if (sh->container != want->container || sh->vendor != want->vendor ||
            sh->mem_mib != want->mem_mib || sh->cores_pct != want->cores_pct ||
            sh->mem_pct != want->mem_pct || sh->step != want->step || sh->shares != want->shares ||
            sh->app_class != want->app_class || sh->qos != want->qos || !same_rare(r, i, want) ||
            !str_eq((struct str){card->uuid, card->uuid_n}, want->uuid))
            return false;
    }
    return str_eq(entry_name(e), draft->node);
}

/* ---- CPU-only pods ---- */

/* A UUID in its usual spelling is its own key; of other texts a keyed hash, marked with a version
 * that UUIDs lack. */
static void cpu_key(const struct cluster_store *st, struct str uid, uint64_t key[2])
{
    key[0] = key[1] = 0;
    unsigned digits = 0;
    for (size_t i = 0; i < uid.n && uid.n == 36; i++) {
        char c = uid.p[i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        unsigned v = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                                            : 16;
        if (dash ? c != '-' : v > 15)
            break;
        if (dash)
            continue;
        key[digits / 16] = key[digits / 16] << 4 | v;
        digits++;
    }
    if (digits == 32 && (key[0] >> 12 & 15) != 15 && (key[0] | key[1]) != 0) /* 0: a free place */
        return;
    key[0] = hash_str(st->cfg.hash_seed, uid) | 15 << 12;
    key[1] = hash_str(~st->cfg.hash_seed, uid);
}

static uint32_t cpu_home(const struct cpu_pods *t, const uint64_t key[2])
{
    return (uint32_t)(hash_fold(key[0] ^ 0x9e3779b97f4a7c15u, key[1] ^ 0xd1b54a32d192ed03u)) &
           (t->cap - 1);
}

static bool cpu_free(const struct cpu_pod *p) { return p->uid[0] == 0 && p->uid[1] == 0; }

static struct cpu_pod *cpu_at(const struct cpu_pods *t, const uint64_t key[2])
{
    uint32_t i = cpu_home(t, key);
    while (!cpu_free(&t->of[i]) && (t->of[i].uid[0] != key[0] || t->of[i].uid[1] != key[1]))
        i = (i + 1) & (t->cap - 1);
    return &t->of[i];
}

struct cpu_pod *ledger_cpu_find(const struct cluster_store *st, struct str uid)
{
    if (st->cpu.n == 0)
        return NULL;
    uint64_t key[2];
    cpu_key(st, uid, key);
    struct cpu_pod *p = cpu_at(&st->cpu, key);
    return cpu_free(p) ? NULL : p;
}

static bool cpu_reserve(struct cpu_pods *t)
{
    if ((uint64_t)(t->n + 1) * 8 <= (uint64_t)t->cap * 7)
        return true;
    struct cpu_pods more = {.cap = t->cap ? 2 * t->cap : 64, .n = t->n};
    more.of = calloc(more.cap, sizeof(*more.of));
    if (!more.of)
        return false;
    for (uint32_t i = 0; i < t->cap; i++)
        if (!cpu_free(&t->of[i]))
            *cpu_at(&more, t->of[i].uid) = t->of[i];
    free(t->of);
    *t = more;
    return true;
}

static void cpu_count(struct cluster_store *st, const struct cpu_pod *p, int sign)
{
    struct entry *e = st->entries[p->slot];
    e->cpu_milli += sign * (int64_t)p->cpu_milli;
    e->memory_mib += sign * (int64_t)p->memory_mib;
    e->cpu_pods += (uint32_t)sign;
    if (e->cur && e->cur->pub.score.devices_n > 0)
        ledger_dirty(st, e);
}

enum err_code ledger_cpu_put(struct cluster_store *st, const struct cluster_pod *pod,
                             struct err *err)
{
    struct entry *e = NULL;
    struct cpu_pod *old = ledger_cpu_find(st, pod->uid);
    if (!old && st->records.n + st->cpu.n >= st->cfg.pods_max)
        return err_set(err, ERR_TOO_LARGE, "more than %u pods", st->cfg.pods_max);
    enum err_code rc = ledger_entry_get(st, pod->node, &e, err);
    if (rc)
        return rc;
    assert(e);
    if (!old && !cpu_reserve(&st->cpu)) {
        ledger_entry_release(st, e);
        return err_set(err, ERR_NO_MEMORY, "ledger: no memory for a pod");
    }
    struct cpu_pod to = {.slot = e->slot,
                         .cpu_milli = clip(pod->cpu_milli),
                         .memory_mib = clip(pod->memory_mib),
                         .seen = true};
    cpu_key(st, pod->uid, to.uid);
    if (old && old->slot == to.slot && old->cpu_milli == to.cpu_milli &&
        old->memory_mib == to.memory_mib) {
        old->seen = true;
        return ERR_OK;
    }
    cpu_count(st, &to, 1);
    if (old) {
        cpu_count(st, old, -1);
        ledger_entry_release(st, st->entries[old->slot]);
    } else {
        old = cpu_at(&st->cpu, to.uid);
        st->cpu.n++;
    }
    *old = to;
    return ERR_OK;
}

void ledger_cpu_remove(struct cluster_store *st, struct cpu_pod *p)
{
    struct cpu_pods *t = &st->cpu;
    const uint32_t mask = t->cap - 1;
    cpu_count(st, p, -1);
    ledger_entry_release(st, st->entries[p->slot]);
    uint32_t hole = (uint32_t)(p - t->of);
    for (uint32_t i = (hole + 1) & mask; !cpu_free(&t->of[i]); i = (i + 1) & mask) {
        if (((i - cpu_home(t, t->of[i].uid)) & mask) < ((i - hole) & mask))
            continue;
        t->of[hole] = t->of[i];
        hole = i;
    }
    t->of[hole] = (struct cpu_pod){0};
    t->n--;
}

/* ---- a node's use, from the records of its pods ---- */

static bool looks_at(const struct score_vendor *row, enum score_check check)
{
    for (int i = 0; i < SCORE_CHECK_COUNT_ && row->checks[i] != SCORE_CHECK_END; i++)
        if (row->checks[i] == check)
            return true;
    return false;
}

static int32_t narrow(int64_t n) { return n > INT32_MAX ? INT32_MAX : (int32_t)n; }

void ledger_add_use(struct score_device *d, int64_t mem_mib, int64_t cores_pct, int64_t shares)
{
    d->mem_used_mib += mem_mib;
    d->cores_used_pct = narrow(d->cores_used_pct + cores_pct);
    d->shares_used = narrow(d->shares_used + shares);
}

bool ledger_over_total(const struct score_vendor *row, const struct score_device *d)
{
    return (d->mem_used_mib > d->mem_total_mib && looks_at(row, SCORE_CHECK_MEMORY)) ||
           (d->cores_used_pct > d->cores_total_pct && looks_at(row, SCORE_CHECK_CORES)) ||
           (d->shares_used > d->shares_total && looks_at(row, SCORE_CHECK_SLOTS));
}

static uint16_t one_more(uint16_t n) { return n < UINT16_MAX ? (uint16_t)(n + 1) : n; }

/* What the pod has of the card beside amounts. Bits that two pods name, or that the card lacks, are
 * somebody else's mistake (core.md 16, S2): they count as they are, and the card is lent. */
static void add_trait(struct score_trait *t, const struct use *use, uint64_t bits, uint16_t *flags)
{
    if (!bits)
        bits = t->bits_total; /* nobody knows which (nvidia.md 8.4) */
    if (bits & (t->bits_used | ~t->bits_total))
        *flags |= SCORE_DEVICE_LENT;
    t->bits_used |= bits & t->bits_total;
    if (use->app_class == SCORE_CLASS_ONLINE)
        t->online = one_more(t->online);
    else if (use->app_class == SCORE_CLASS_OFFLINE)
        t->offline = one_more(t->offline);
    t->qos = score_qos_join(t->qos, use->qos);
}

static void add_uses(const struct entry *e, struct snode *s, uint64_t *closed)
{
    for (uint32_t p = 0; p < e->pods_n; p++) {
        const struct record *r = e->pods[p];
        *closed |= r->closed;
        for (uint16_t i = 0; i < r->uses_n; i++) {
            const int32_t device = e->cards[r->uses[i].card].device;
            if (device < 0)
                continue; /* the node has no such card now */
            struct score_device *d = &s->devices[device];
            ledger_add_use(d, r->uses[i].mem_mib, r->uses[i].cores_pct, r->uses[i].shares);
            const uint64_t bits = r->rare ? r->rare[i].use_bits : 0;
            if (s->traits)
                add_trait(&s->traits[device], &r->uses[i], bits, &d->flags);
            else if (bits)
                d->flags |= SCORE_DEVICE_LENT; /* slices of a card that is not cut into any now */
        }
    }
}

static bool waits_for_cards(const struct entry *e, struct str ns, struct str name)
{
    for (uint32_t i = 0; i < e->pods_n; i++) {
        const struct record *r = e->pods[i];
        if (r->flags & REC_SERVING && (r->state == REC_CONFIRMED || r->state == REC_BOUND) &&
            str_eq(record_name(r), name) && str_eq(space_name(r->space), ns))
            return true;
    }
    return false;
}

/* Whether the node's lock is older than it may get, and its owner still waits for its cards here.
 */
static bool is_kubelet_away(struct cluster_store *st, const struct entry *e, struct str lock)
{
    struct str time, ns;
    int64_t taken_ns;
    if (!str_split(&lock, ',', &time) || !str_split(&lock, ',', &ns) ||
        !clock_parse_rfc3339(time, &taken_ns))
        return false;
    const int64_t due_ms = taken_ns / 1000000 + st->cfg.lock_expire_ms + 1;
    if (due_ms <= atomic_load(&st->wall_ms))
        return waits_for_cards(e, ns, lock);
    if (due_ms < atomic_load(&st->lock_due_ms))
        atomic_store(&st->lock_due_ms, due_ms);
    return false;
}

/* Fills in what the entry's pods use; `s` has the devices that the cards' numbers are of. */
static void fill_use(struct cluster_store *st, const struct entry *e, struct snode *s)
{
    uint64_t closed = 0;
    const bool away = s->pub.lock.p && is_kubelet_away(st, e, s->pub.lock);
    for (uint16_t i = 0; i < s->pub.score.devices_n; i++) {
        struct score_device *d = &s->devices[i];
        d->mem_used_mib = 0;
        d->cores_used_pct = d->shares_used = 0;
        d->flags &= (uint16_t)~SCORE_DEVICE_LENT;
        if (s->traits) {
            struct score_trait *t = &s->traits[i];
            t->bits_used = 0;
            t->online = t->offline = t->qos = 0;
        }
    }
    add_uses(e, s, &closed);
    for (uint16_t g = 0; g < s->pub.score.groups_n; g++) {
        struct score_group *group = &s->groups[g];
        const struct score_vendor *row = &vendor_cores(st->cfg.vendors)[group->vendor];
        struct score_group sum = {.vendor = group->vendor,
                                  .first = group->first,
                                  .n = group->n,
                                  .traits = group->traits,
                                  .topology = group->topology};
        sum.closed = closed >> group->vendor & 1;
        sum.locked = away && vendor_locks_by_owner(vendor_at(st->cfg.vendors, group->vendor));
        for (uint16_t i = group->first; i < group->first + group->n; i++) {
            struct score_device *d = &s->devices[i];
            /* Over its total through pods of others, or because it shrank: either way nothing more.
             */
            if (ledger_over_total(row, d))
                d->flags |= SCORE_DEVICE_LENT;
            sum.mem_total_mib += d->mem_total_mib;
            sum.mem_used_mib += d->mem_used_mib;
            sum.cores_total_pct += d->cores_total_pct;
            sum.cores_used_pct += d->cores_used_pct;
            sum.shares_total += d->shares_total;
            sum.shares_used += d->shares_used;
        }
        *group = sum;
    }
    s->pub.pods = e->pods_n;
    /* nobody asks for cards of a node without any: no new snapshot for each of its CPU-only pods */
    s->pub.score.cpu_used_milli = s->pub.score.devices_n > 0 ? e->cpu_milli : 0;
    s->pub.score.memory_used_mib = s->pub.score.devices_n > 0 ? e->memory_mib : 0;
}

static bool same_device(const struct score_device *a, const struct score_device *b)
{
    return a->mem_used_mib == b->mem_used_mib && a->cores_used_pct == b->cores_used_pct &&
           a->shares_used == b->shares_used && a->flags == b->flags &&
           a->mem_total_mib == b->mem_total_mib && a->cores_total_pct == b->cores_total_pct &&
           a->shares_total == b->shares_total && a->index == b->index && a->numa == b->numa &&
           a->type == b->type && a->mode == b->mode && str_eq(a->uuid, b->uuid);
}

static bool same_trait(const struct score_trait *a, const struct score_trait *b)
{
    return a->bits_total == b->bits_total && a->bits_used == b->bits_used && a->zone == b->zone &&
           a->profile == b->profile && a->profiles_n == b->profiles_n && a->online == b->online &&
           a->offline == b->offline && a->qos == b->qos;
}

static bool same_profile(const struct score_profile *a, const struct score_profile *b)
{
    if (!str_eq(a->name, b->name) || !str_eq(a->id, b->id) || a->mem_mib != b->mem_mib ||
        a->cores_pct != b->cores_pct || a->slices != b->slices ||
        a->placements_n != b->placements_n)
        return false;
    for (uint16_t i = 0; i < a->placements_n; i++)
        if (a->placements[i].start != b->placements[i].start ||
            a->placements[i].size != b->placements[i].size)
            return false;
    return true;
}

/* Topologies are kept once: equal ones are the same one. */
static bool same_group(const struct score_group *a, const struct score_group *b)
{
    if (a->vendor != b->vendor || a->first != b->first || a->n != b->n || a->closed != b->closed ||
        a->locked != b->locked || !a->traits != !b->traits || a->topology != b->topology)
        return false;
    for (uint16_t i = 0; a->traits && i < a->n; i++)
        if (!same_trait(&a->traits[i], &b->traits[i]))
            return false;
    return true;
}

/* Everything that decides: the two have one generation. */
static bool same_score(const struct snode *a, const struct snode *b)
{
    const struct score_node *x = &a->pub.score, *y = &b->pub.score;
    if (x->groups_n != y->groups_n || x->devices_n != y->devices_n ||
        x->profiles_n != y->profiles_n)
        return false;
    for (uint16_t i = 0; i < x->groups_n; i++)
        if (!same_group(&a->groups[i], &b->groups[i]))
            return false;
    for (uint16_t i = 0; i < x->devices_n; i++)
        if (!same_device(&a->devices[i], &b->devices[i]))
            return false;
    for (uint16_t i = 0; i < x->profiles_n && x->profiles != y->profiles; i++)
        if (!same_profile(&x->profiles[i], &y->profiles[i]))
            return false;
    return true;
}

static bool same_rest(const struct cluster_node *a, const struct cluster_node *b)
{
    for (uint16_t i = 0; i < a->faults_n && a->faults_n == b->faults_n; i++)
        if (a->faults[i].vendor != b->faults[i].vendor ||
            !str_eq(a->faults[i].text, b->faults[i].text))
            return false;
    return a->score.cpu_alloc_milli == b->score.cpu_alloc_milli &&
           a->score.memory_alloc_mib == b->score.memory_alloc_mib &&
           a->score.cpu_used_milli == b->score.cpu_used_milli &&
           a->score.memory_used_mib == b->score.memory_used_mib && a->pods == b->pods &&
           a->broken_n == b->broken_n && a->faults_n == b->faults_n && str_eq(a->uid, b->uid) &&
           (a->lock.p != NULL) == (b->lock.p != NULL) && str_eq(a->lock, b->lock);
}

/* Makes `to` (taken) the entry's node, with the generation that it deserves. */
static void replace_node(struct cluster_store *st, struct entry *e, struct snode *to)
{
    struct snode *from = e->cur;
    to->pub.slot = e->slot;
    if (from && same_score(from, to)) {
        if (same_rest(&from->pub, &to->pub)) {
            snode_unref(to);
            return;
        }
        to->pub.generation = from->pub.generation;
    } else {
        to->pub.generation = ++st->generation;
    }
    e->cur = to;
    st->chunk_dirty[e->slot / CHUNK] = true;
    st->changed = true;
    if (from)
        snode_unref(from);
}

bool ledger_refresh(struct cluster_store *st, struct entry *e)
{
    assert(e->cur);
    struct snode *to = snode_copy(e->cur);
    if (!to)
        return false;
    fill_use(st, e, to);
    replace_node(st, e, to);
    return true;
}

/* The numbers of the entry's cards, and amounts that depend on the card, follow the node's new
 * list. */
static void follow_devices(struct cluster_store *st, struct entry *e)
{
    for (uint32_t i = 0; i < e->cards_n; i++)
        if (e->cards[i].uuid)
            e->cards[i].device = find_device(e->cur, e->cards[i].vendor,
                                             (struct str){e->cards[i].uuid, e->cards[i].uuid_n});
    for (uint32_t p = 0; p < e->pods_n; p++) {
        count_space(e->pods[p], -1);
        resolve(st, e, e->pods[p]);
        count_space(e->pods[p], 1);
    }
}

void ledger_node_set(struct cluster_store *st, struct entry *e, struct snode *to)
{
    if (!to) {
        if (e->cur) {
            snode_unref(e->cur);
            e->cur = NULL;
            follow_devices(st, e);
            st->nodes_n--;
            st->chunk_dirty[e->slot / CHUNK] = true;
            st->changed = st->names_changed = true;
        }
        return;
    }
    struct snode *from = e->cur;
    e->cur = to;
    follow_devices(st, e);
    fill_use(st, e, to);
    e->cur = from;
    if (!from) {
        st->nodes_n++;
        st->names_changed = true;
    }
    replace_node(st, e, to);
}

/* ---- checking ---- */

static bool same_class(const struct record *r, const struct use *use)
{
    struct use fresh = *use;
    classify_use(r, &fresh);
    return fresh.app_class == use->app_class && fresh.qos == use->qos;
}

static size_t verify_uses(struct cluster_store *st, const struct entry *e, struct record *r,
                          bool repair)
{
    struct score_use *uses = st->scratch->uses;
    uint16_t n = effective_use(st, e, r, uses);
    bool same = n == r->uses_n;
    for (uint16_t i = 0; same && i < n; i++)
        same = uses[i].device == r->uses[i].card && uses[i].vendor == r->uses[i].vendor &&
               uses[i].mem_mib == r->uses[i].mem_mib && uses[i].cores_pct == r->uses[i].cores_pct &&
               uses[i].shares == r->uses[i].shares &&
               (!r->rare || uses[i].bits == r->rare[i].use_bits) && same_class(r, &r->uses[i]);
    if (!same && repair)
        resolve(st, e, r);
    return !same;
}

/* Cards: references and numbers; pods: places in the list, and uses. */
static size_t verify_entry(struct cluster_store *st, struct entry *e, bool repair)
{
    size_t bad = 0;
    for (uint32_t i = 0; i < e->cards_n; i++) {
        const struct card *c = &e->cards[i];
        uint32_t refs = 0;
        for (uint32_t p = 0; p < e->pods_n; p++)
            for (uint16_t k = 0; k < e->pods[p]->shares_n; k++)
                refs += e->pods[p]->shares[k].card == i;
        bad += refs != (c->uuid ? c->refs : 0);
        bad += c->uuid &&
               c->device != find_device(e->cur, c->vendor, (struct str){c->uuid, c->uuid_n});
    }
    for (uint32_t p = 0; p < e->pods_n; p++) {
        bad += e->pods[p]->pos != p || e->pods[p]->slot != e->slot;
        bad += verify_uses(st, e, e->pods[p], repair);
    }
    return bad;
}

/* What the sums of nodes and namespaces should be. */
static void sum_up(struct cluster_store *st)
{
    for (uint32_t i = 0; i < st->slots; i++)
        if (st->entries[i]) {
            st->entries[i]->check.cpu_milli = st->entries[i]->check.memory_mib = 0;
            st->entries[i]->check.cpu_pods = st->entries[i]->check.pods = 0;
        }
    for (uint32_t i = 0; i < st->spaces.cap; i++) {
        struct space *s = st->spaces.slot[i];
        if (!s)
            continue;
        s->check_refs = 0;
        for (uint16_t k = 0; k < s->use_n; k++)
            s->use[k].check_mem_mib = s->use[k].check_cores_pct = 0;
    }
    for (uint32_t i = 0; i < st->records.cap; i++) {
        const struct record *r = st->records.slot[i];
        if (!r)
            continue;
        r->space->check_refs++;
        if (r->slot == NO_SLOT)
            continue;
        struct entry *e = st->entries[r->slot];
        e->check.cpu_milli += r->cpu_milli;
        e->check.memory_mib += r->memory_mib;
        e->check.pods++;
        for (uint16_t k = 0; k < r->uses_n; k++) {
            struct space_use *use = space_use_of(r->space, r->uses[k].vendor);
            assert(use);
            use->check_mem_mib += r->uses[k].mem_mib;
            use->check_cores_pct += r->uses[k].cores_pct;
        }
    }
    for (uint32_t i = 0; i < st->cpu.cap; i++)
        if (!cpu_free(&st->cpu.of[i])) {
            struct entry *e = st->entries[st->cpu.of[i].slot];
            e->check.cpu_milli += st->cpu.of[i].cpu_milli;
            e->check.memory_mib += st->cpu.of[i].memory_mib;
            e->check.cpu_pods++;
        }
}

static size_t verify_sums(struct cluster_store *st, bool repair)
{
    size_t bad = 0;
    sum_up(st);
    for (uint32_t i = 0; i < st->slots; i++) {
        struct entry *e = st->entries[i];
        if (!e)
            continue;
        bad += e->check.cpu_milli != e->cpu_milli || e->check.memory_mib != e->memory_mib;
        bad += e->check.cpu_pods != e->cpu_pods || e->check.pods != e->pods_n || e->slot != i;
        if (!repair)
            continue;
        e->cpu_milli = e->check.cpu_milli;
        e->memory_mib = e->check.memory_mib;
    }
    for (uint32_t i = 0; i < st->spaces.cap; i++) {
        struct space *s = st->spaces.slot[i];
        for (uint16_t k = 0; s && k < s->use_n; k++) {
            struct space_use *use = &s->use[k];
            bad += use->check_mem_mib != use->mem_mib || use->check_cores_pct != use->cores_pct;
            if (!repair)
                continue;
            use->mem_mib = use->check_mem_mib;
            use->cores_pct = use->check_cores_pct;
        }
        bad += s && s->check_refs != s->refs;
    }
    return bad;
}

static size_t verify_records(struct cluster_store *st)
{
    size_t bad = 0, n = 0;
    for (uint32_t i = 0; i < st->records.cap; i++) {
        const struct record *r = st->records.slot[i];
        if (!r)
            continue;
        n++;
        bad += ledger_find(st, record_uid(r)) != r;
        bad += (r->state == REC_WAITING) != (r->slot == NO_SLOT);
        bad += r->state == REC_WAITING && (!r->clone || r->shares_n > 0);
        if (r->slot == NO_SLOT)
            continue;
        const struct entry *e = st->entries[r->slot];
        bad += !e || r->pos >= e->pods_n || e->pods[r->pos] != r;
    }
    return bad + (n != st->records.n);
}

/* Whether what snapshots show is what follows from the records. */
static size_t verify_node(struct cluster_store *st, struct entry *e, bool repair)
{
    if (!e->cur || e->dirty)
        return 0;
    struct snode *fresh = snode_copy(e->cur);
    if (!fresh)
        return 0; /* nobody can tell */
    fill_use(st, e, fresh);
    bool same = same_score(e->cur, fresh) && same_rest(&e->cur->pub, &fresh->pub);
    if (!same && repair)
        replace_node(st, e, fresh);
    else
        snode_unref(fresh);
    return !same;
}

size_t ledger_verify(struct cluster_store *st, bool repair)
{
    size_t bad = verify_records(st);
    for (uint32_t i = 0; i < st->slots; i++)
        if (st->entries[i])
            bad += verify_entry(st, st->entries[i], repair);
    bad += verify_sums(st, repair);
    for (uint32_t i = 0; i < st->slots; i++)
        if (st->entries[i])
            bad += verify_node(st, st->entries[i], repair);
    return bad;
}

#ifdef CARDINAL_LEDGER_CHECK
void ledger_check(struct cluster_store *st) { assert(ledger_verify(st, false) == 0); }
#endif
