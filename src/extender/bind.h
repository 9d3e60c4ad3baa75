/* One bind on its way through the steps (bind.c), and what it writes of the pod (binding.c). */
#ifndef CARDINAL_EXTENDER_BIND_H
#define CARDINAL_EXTENDER_BIND_H

#include "extender/settle.h"
#include "extender/turn.h"

struct bind { /* in the request's arena; of one thread at a time, parked between */
    struct ext_turn turn; /* names and deadline, too */
    struct ext_app *app;
    struct ext_request *r;
    struct ext_answer *answer;
    struct ext_bind_args args;
    struct ext_term term;    /* of the leading that it began in */
    struct cluster_pod *pod; /* heap clone */
    struct score_placement *placement; /* in the arena; no longer than its parts */
    struct vendor_written *written;    /* of them */
    struct str resource_version;    /* the Binding's precondition */
    bool reserved_keys;             /* to be cleaned first */
    bool decided; /* where its cards are, or that it asks for none */
    bool charged;
    bool sent;           /* a Binding left: its outcome needs a proof */
    size_t locks_n;      /* that it needs; those taken are undo.locks_n */
    int lock_pause_ms;   /* between the last two such questions */
    int64_t lock_ask_ms; /* the API server is not asked for the lock before, unless our books say that it is gone */
    bool lock_expected;  /* it said "locked", our books do not show that yet, and no event came since we asked */
    struct ext_settle undo; /* locks needed, those taken first; becomes a settling entry as it is */
};

/* No lock and no Binding is started after the deadline, nor so short before it that the answer would hardly come, when we may not lead, or when a newer call wants another node;
 * undoing is. Asked immediately before each write. */
bool ext_bind_may_write(struct bind *b);
enum err_code ext_bind_too_late(struct bind *b, struct err *err);
/* For ?timeout=. */
int ext_bind_write_ms(const struct bind *b);

/* binding.c: workers only; one call each but for what is said. */
/* Removes allocation keys of others that the Binding would merge with, under the pod's resourceVersion. A GET, a patch. */
MUST_USE enum err_code ext_binding_clean(struct bind *b, struct err *err);
/* Writes decision and node in one request; b->sent from then on. */
MUST_USE enum err_code ext_binding_post(struct bind *b, struct err *err);

#endif
