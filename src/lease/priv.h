/* Who leads, as pure functions: what was seen of one Lease, and what follows from it at a moment of
 * our monotonic clock (docs/design/leadership.md). keeper.c does what they say; tests hold them
 * against tables. */
#ifndef CARDINAL_LEASE_PRIV_H
#define CARDINAL_LEASE_PRIV_H

#include "lease/lease.h"

#define LEASE_STALL_MS 1500 /* a pause of this process from which on events may be old ones */
#define LEASE_BEAT_MS  500  /* how often the keeper shows that the process runs */

/* A Lease, as client-go's election compares it: times in whole seconds. */
struct lease_record {
    bool there;
    bool long_holder; /* the holder's name was cut: it is nobody of ours */
    char holder[LEASE_HOLDER_MAX];
    char uid[64];
    uint64_t version; /* metadata.resourceVersion; 0: none, or no number */
    int64_t duration_s, transitions;
    int64_t acquire_s, renew_s; /* Unix time; INT64_MIN: not there */
};
/* What is not there, or of another type, counts as absent. ERR_BAD_REQUEST: no JSON object. */
MUST_USE enum err_code lease_record_decode(struct str object, struct lease_record *ret,
                                           struct err *err);

struct lease_rules {
    bool own;            /* false: follow */
    struct str identity; /* own: the whole holderIdentity; follow: the host name in front of '_' */
    int64_t write_ms;    /* the longest ?timeout= of our writes */
    int64_t duration_ms, renew_deadline_ms, retry_ms; /* own */
};

/* Times are of our monotonic clock; INT64_MIN: never. */
struct lease_state {
    bool seen;
    struct lease_record record;
    int64_t observed_ms; /* when it was last seen to change: client-go's observedTime */
    int64_t renewed_ms; /* no later than its last renewal really was; never: nobody saw it happen */
    int64_t current_ms; /* when it was last known to be the newest */
    int64_t beat_ms;    /* when this process was last known to run */
    bool doubt;         /* what the watch says may be old news: read it */
    uint64_t term;      /* of our leading; 0: never led */
    int64_t since_ms;   /* when the term was seen to begin */
    int64_t try_ms;     /* own: nothing is written or read before that */
    bool read;          /* own: read before writing */
    unsigned failed;    /* own: writes in a row that failed */
};
void lease_state_init(struct lease_state *s, int64_t now_ms);

/* The process runs. Afterwards s->doubt says whether a live read is due: the process stood still,
 * or the Lease has a holder and was silent for a third of its duration. */
void lease_beat(struct lease_state *s, int64_t now_ms);
/* A watch event (its object; `there` is false when it was deleted). True: something changed. */
bool lease_saw_event(struct lease_state *s, const struct lease_rules *r,
                     const struct lease_record *record, int64_t now_ms);
/* The answer of a live read, or of the first list, that was sent at start_ms. */
bool lease_saw_read(struct lease_state *s, const struct lease_rules *r,
                    const struct lease_record *record, int64_t start_ms, int64_t now_ms);
/* The answer of a write of ours. */
bool lease_saw_write(struct lease_state *s, const struct lease_rules *r,
                     const struct lease_record *record, int64_t start_ms, int64_t now_ms);

/* Is this holder the one that we lead with? */
bool lease_is_mine(const struct lease_rules *r, const struct lease_record *record);
struct lease_lead lease_lead_at(const struct lease_state *s, const struct lease_rules *r,
                                int64_t now_ms);

/* What the own election does next. WAIT: until at_ms, unless something is seen before. */
enum lease_do { LEASE_WAIT, LEASE_READ, LEASE_CREATE, LEASE_WRITE };
struct lease_next {
    enum lease_do what;
    int64_t at_ms;
};
struct lease_next lease_own_next(const struct lease_state *s, const struct lease_rules *r,
                                 int64_t now_ms);
/* How it went; after the lease_saw_…() of its answer, if there was one. `random`: any 64 bits. */
void lease_own_done(struct lease_state *s, const struct lease_rules *r, enum lease_do what,
                    enum err_code rc, int64_t retry_after_ms, int64_t now_ms, uint64_t random);

/* The Lease to write: `object` (NULL: a new one) with client-go's five fields set, all others as
 * they are. `held`: it is a renewal (acquireTime and leaseTransitions stay); `release`: nobody's.
 * NULL: no memory, or `object` is no JSON object; the caller frees. */
struct lease_body_args {
    struct str object, ns, name, identity;
    int64_t duration_s, wall_ns;
    bool held, release;
};
char *lease_body(const struct lease_body_args *a, size_t *ret_n);

/* ---- keeper.c, for tests: no threads, one turn at a time ---- */
MUST_USE enum err_code lease_keeper_make(const struct lease_keeper_config *cfg,
                                         struct lease_keeper **ret, struct err *err);
int64_t lease_keeper_turn(struct lease_keeper *k); /* ms until the next is due */
void lease_keeper_event(struct lease_keeper *k, enum kube_event_type type, struct str object);

#endif
