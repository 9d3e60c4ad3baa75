/* Binds under way (architecture 5). Of one pod there is one at a time; a second call for the same node gets the first one's
 * result, one for another node ends the first before its write. Binds that need a node's lock take turns there, in the order
 * of their arrival.
 *
 * A bind that waits is parked: it has its memory and its suspended connection, and no thread. It goes on, on a worker, when
 * what it waits for may have come (its turn, an event of its node, the end of the call before it) or at its time. */
#ifndef CARDINAL_EXTENDER_TURN_H
#define CARDINAL_EXTENDER_TURN_H

#include "extender/priv.h"

#define EXT_NAME_MAX 256 /* Kubernetes names have at most 253 bytes */

struct ext_queue;
enum ext_turn_state { EXT_TURN_RUNNING, EXT_TURN_PARKED, EXT_TURN_READY };
struct ext_turn { /* one call; the caller's memory from ext_turn_enter() to ext_turn_leave() */
    char ns[EXT_NAME_MAX], name[EXT_NAME_MAX], uid[EXT_NAME_MAX], node[EXT_NAME_MAX];
    void (*go)(struct ext_turn *t); /* the next step; on a worker, never two of one call at once */
    bool on_worker;                 /* the step at hand may wait for others; false: before the first `go` */
    int64_t deadline_ms;            /* monotonic; nothing waits longer */
    /* the rest belongs to turn.c */
    struct ext_turns *turns;
    struct ext_turn *prev, *next;   /* all calls, in order of arrival */
    struct ext_turn *namesake;      /* of its bucket of names */
    struct ext_turn *behind;        /* the call whose end this one waits for */
    struct ext_queue *queue;        /* it has or waits for the node's turn */
    struct ext_turn *queue_next;
    enum ext_turn_state state;
    bool entered, kicked, cancelled, joined;
    int64_t wake_ms;
    struct err result; /* joined: of the call that ended */
};

struct ext_turns;
/* `thread`: what is due is found by a thread of its own; else by ext_turns_step(). */
MUST_USE enum err_code ext_turns_new(struct ext_app *app, bool thread, struct ext_turns **ret, struct err *err);
/* Every call must have left. NULL is fine. */
void ext_turns_free(struct ext_turns *turns);
/* Ends the waiting of all calls (app->stopping is set: none parks again), and waits, bounded, until they have left. */
void ext_turns_stop(struct ext_turns *turns);

enum ext_entered {
    EXT_ENTERED,
    EXT_JOINED, /* another call for this pod and node ended meanwhile: *ret is its result */
    EXT_BEHIND, /* parked behind another call of the pod: `go` comes again, and enters again */
    EXT_LATE,   /* the other call had not ended by the deadline, or this process stops */
};
/* Names, go and deadline_ms are filled by the caller. */
enum ext_entered ext_turn_enter(struct ext_turns *turns, struct ext_turn *t, struct err *ret);
/* Queues for the node's turn, behind those who did before; true: it is this one's. */
bool ext_turn_mine(struct ext_turn *t);
/* Until `until_ms` at most; `go` comes then. Nothing of the call may be touched after this: it may be running already. */
void ext_turn_park(struct ext_turn *t, int64_t until_ms);
/* `go` comes on a worker, as soon as one is free. As for parking, nothing of the call may be touched after this. */
void ext_turn_go_on(struct ext_turn *t);
/* Something that it looks at changed since the step at hand began. */
bool ext_turn_kicked(struct ext_turn *t);
/* Another call wants the pod on another node: no write is to be begun. */
bool ext_turn_cancelled(struct ext_turn *t);
/* The end, with what those who joined are told. */
void ext_turn_leave(struct ext_turn *t, const struct err *result);

/* Something changed on the node (empty: on some): whose turn it is looks again. Never waits. */
void ext_turns_look(struct ext_turns *turns, struct str node);
/* Whether a call under way may be writing lock and Binding of that pod for the node. One that waits for its turn behind
 * another has written nothing yet. */
bool ext_turns_writes(struct ext_turns *turns, struct str ns, struct str name, struct str node);
size_t ext_turns_count(struct ext_turns *turns); /* calls under way */
/* Gives the calls whose time has come to the workers; false: there were none. The thread's, and tests'. */
bool ext_turns_step(struct ext_turns *turns);

#endif
