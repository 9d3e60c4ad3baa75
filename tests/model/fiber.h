/* Threads without threads: every pthread of the program under test becomes a fiber of one thread, on virtual time. The
 * linker gives pthread_create, _join, _cond_wait, _cond_timedwait, _cond_signal, _cond_broadcast, nanosleep and
 * clock_gettime to us (--wrap); mutexes stay what they are, because nobody who holds one waits for anything else.
 * So the real threads of cardinald run, and the walk decides which of them goes on, and when. */
#ifndef CARDINAL_TESTS_MODEL_FIBER_H
#define CARDINAL_TESTS_MODEL_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FIBER_NEVER INT64_MAX

/* ---- chance: all of it comes from the event at hand, so that a list of events replays ---- */
void chance_seed(uint64_t seed);
uint32_t chance(uint32_t n); /* 0 … n-1 */
bool chance_of(uint32_t percent);

/* ---- time ---- */
int64_t fiber_now_ms(void); /* virtual, monotonic */
#define FIBER_WALL_S INT64_C(1790000000) /* the wall clock when it starts */

/* ---- fibers ---- */
struct fiber;
/* `group`: who is killed together; 0: the world. From anywhere. */
struct fiber *fiber_spawn(int group, const char *name, void (*run)(void *ctx), void *ctx);
int fiber_group(void); /* of the fiber that runs; 0: none does */
/* The rest are for fibers only. hard_ms: the walk lets no time pass beyond it without resuming the fiber. */
void fiber_yield(int64_t hard_ms);
void fiber_sleep(int64_t ms);
void fiber_sleep_hard(int64_t ms, int64_t hard_ms); /* and resumed by then */
/* A call on the wire: what shall happen to it when its process is killed here. NULL: nothing. */
void fiber_on_kill(void (*lost)(void *ctx), void *ctx);

/* ---- for the walk, outside of fibers ---- */
void fiber_start(void); /* once a process: time begins */
size_t fiber_runnable(void);
void fiber_resume_one(void); /* any runnable one, by chance; none: nothing */
void fiber_resume_in_turn(void); /* the one that has waited longest */
int64_t fiber_next_ms(void); /* when the next one becomes runnable; FIBER_NEVER: none will by time */
void fiber_advance(int64_t ms); /* time passes; hard ones that become due run meanwhile */
/* Whoever is signalled runs within so much time: no process stands still. FIBER_NEVER (at first): in its own time. */
void fiber_prompt(int64_t ms);
void fiber_kill(int group); /* they never run again; what they own is lost */
size_t fiber_alive(int group);
uint64_t fiber_switches(void);
const char *fiber_name(void);

#endif
