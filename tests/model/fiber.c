/* Fibers (fiber.h). */
#include "model/fiber.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

enum {
    FIBERS_MAX = 1024,
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    STACK_BYTES = 4 << 20
#else
    STACK_BYTES = 1 << 20 /* touched only as far as it is used */
#endif
};

struct fiber {
    ucontext_t context;
    char *stack;
    void *sanitizer; /* what a sanitizer knows of this stack */
    void (*run)(void *);
    void *(*thread)(void *);
    void *ctx;
    void (*lost)(void *);
    void *lost_ctx;
    const void *cond; /* waits for this, or for its time */
    int64_t wake_ms, hard_ms;
    uint64_t since; /* when it last ran */
    const char *name;
    int group;
    bool used, done, signalled;
};

static struct {
    struct fiber v[FIBERS_MAX];
    size_t n;
    struct fiber *now;
    ucontext_t main;
    void *main_sanitizer;
    const void *main_bottom;
    size_t main_size;
    int64_t now_ms, prompt_ms;
    uint64_t random, switches;
    bool active;
} all;

/* ---- chance ---- */

void chance_seed(uint64_t seed)
{
    uint64_t z = seed + UINT64_C(0x9e3779b97f4a7c15); /* splitmix64: near seeds are strangers */
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    all.random = (z ^ (z >> 31)) | 1;
}

uint32_t chance(uint32_t n)
{
    all.random ^= all.random << 13;
    all.random ^= all.random >> 7;
    all.random ^= all.random << 17;
    return n ? (uint32_t)((all.random >> 32) % n) : 0;
}

bool chance_of(uint32_t percent) { return chance(100) < percent; }

int64_t fiber_now_ms(void) { return all.now_ms; }

/* ---- switching ---- */

static void enter(struct fiber *f)
{
    struct fiber *before = all.now;
    assert(!before); /* fibers are resumed by the walk only */
    all.now = f;
    f->since = ++all.switches;
#ifdef __SANITIZE_THREAD__
    all.main_sanitizer = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(f->sanitizer, 0);
#endif
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&all.main_sanitizer, f->stack, STACK_BYTES);
#endif
    swapcontext(&all.main, &f->context);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(all.main_sanitizer, NULL, NULL);
#endif
    all.now = NULL;
}

static void leave(void)
{
    struct fiber *f = all.now;
#ifdef __SANITIZE_THREAD__
    __tsan_switch_to_fiber(all.main_sanitizer, 0);
#endif
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(f->done ? NULL : &f->sanitizer, all.main_bottom, all.main_size);
#endif
    swapcontext(&f->context, &all.main);
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(f->sanitizer, &all.main_bottom, &all.main_size);
#endif
}

static void begin(void)
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(NULL, &all.main_bottom, &all.main_size);
#endif
    struct fiber *f = all.now;
    if (f->thread)
        (void)f->thread(f->ctx);
    else
        f->run(f->ctx);
    f->done = true;
    for (size_t i = 0; i < all.n; i++) /* whoever joins it */
        if (all.v[i].used && all.v[i].cond == f)
            all.v[i].signalled = true;
    leave();
    abort();
}

static struct fiber *new_fiber(int group, const char *name)
{
    size_t i = 0;
    while (i < all.n && all.v[i].used)
        i++;
    assert(i < FIBERS_MAX);
    if (i == all.n)
        all.n++;
    struct fiber *f = &all.v[i];
    char *stack = f->stack ? f->stack : malloc(STACK_BYTES);
    assert(stack);
#ifdef __SANITIZE_THREAD__
    void *sanitizer = __tsan_create_fiber(0);
#else
    void *sanitizer = NULL;
#endif
    *f = (struct fiber){.stack = stack,
                        .sanitizer = sanitizer,
                        .group = group,
                        .name = name,
                        .hard_ms = FIBER_NEVER,
                        .since = all.switches,
                        .used = true};
    (void)getcontext(&f->context);
    f->context.uc_stack.ss_sp = stack;
    f->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&f->context, begin, 0);
    return f;
}

struct fiber *fiber_spawn(int group, const char *name, void (*run)(void *), void *ctx)
{
    struct fiber *f = new_fiber(group, name);
    f->run = run;
    f->ctx = ctx;
    return f;
}

int fiber_group(void) { return all.now ? all.now->group : 0; }
const char *fiber_name(void) { return all.now ? all.now->name : "walk"; }
uint64_t fiber_switches(void) { return all.switches; }

static void free_fiber(struct fiber *f)
{
#ifdef __SANITIZE_THREAD__
    __tsan_destroy_fiber(f->sanitizer);
#endif
    f->used = false;
}

/* ---- waiting ---- */

static void wait_until(const void *cond, int64_t wake_ms, int64_t hard_ms)
{
    struct fiber *f = all.now;
    assert(f);
    f->cond = cond;
    f->wake_ms = wake_ms;
    f->hard_ms = hard_ms;
    f->signalled = false;
    leave();
    f->cond = NULL;
    f->hard_ms = FIBER_NEVER;
}

void fiber_yield(int64_t hard_ms) { wait_until(NULL, all.now_ms, hard_ms); }
void fiber_sleep(int64_t ms) { wait_until(NULL, all.now_ms + ms, FIBER_NEVER); }
void fiber_sleep_hard(int64_t ms, int64_t hard_ms) { wait_until(NULL, all.now_ms + ms, hard_ms); }

void fiber_on_kill(void (*lost)(void *), void *ctx)
{
    assert(all.now);
    all.now->lost = lost;
    all.now->lost_ctx = ctx;
}

static bool may_run(const struct fiber *f)
{
    return f->used && !f->done && (f->signalled || f->wake_ms <= all.now_ms);
}

/* ---- the walk's side ---- */

void fiber_start(void)
{
    all.active = true;
    all.prompt_ms = FIBER_NEVER;
}

void fiber_prompt(int64_t ms) { all.prompt_ms = ms; }

size_t fiber_runnable(void)
{
    size_t n = 0;
    for (size_t i = 0; i < all.n; i++)
        n += may_run(&all.v[i]);
    return n;
}

static void resume(struct fiber *f)
{
    enter(f);
    bool joined = false;
    for (size_t i = 0; i < all.n; i++)
        joined |= all.v[i].used && all.v[i].cond == f;
    if (f->done && (!f->thread || joined)) /* a thread is kept until it is joined */
        free_fiber(f);
}

void fiber_resume_one(void)
{
    size_t n = fiber_runnable();
    if (n == 0)
        return;
    size_t pick = chance((uint32_t)n);
    for (size_t i = 0; i < all.n; i++)
        if (may_run(&all.v[i]) && pick-- == 0) {
            resume(&all.v[i]);
            return;
        }
}

void fiber_resume_in_turn(void)
{
    struct fiber *best = NULL;
    for (size_t i = 0; i < all.n; i++)
        if (may_run(&all.v[i]) && (!best || all.v[i].since < best->since))
            best = &all.v[i];
    if (best)
        resume(best);
}

int64_t fiber_next_ms(void)
{
    int64_t next = FIBER_NEVER;
    for (size_t i = 0; i < all.n; i++)
        if (all.v[i].used && !all.v[i].done && all.v[i].wake_ms < next)
            next = all.v[i].wake_ms;
    return next;
}

void fiber_advance(int64_t ms)
{
    const int64_t to = all.now_ms + ms;
    for (;;) {
        struct fiber *due = NULL;
        for (size_t i = 0; i < all.n; i++) {
            struct fiber *f = &all.v[i];
            if (f->used && !f->done && f->hard_ms <= to && (!due || f->hard_ms < due->hard_ms))
                due = f;
        }
        if (!due)
            break;
        if (due->hard_ms > all.now_ms)
            all.now_ms = due->hard_ms;
        resume(due);
    }
    all.now_ms = to;
}

void fiber_kill(int group)
{
    for (size_t i = 0; i < all.n; i++) {
        struct fiber *f = &all.v[i];
        if (!f->used || f->group != group)
            continue;
        if (f->lost && !f->done)
            f->lost(f->lost_ctx);
        f->done = true;
        f->stack = NULL; /* what stands on it is lost, not freed */
        free_fiber(f);
    }
}

size_t fiber_alive(int group)
{
    size_t n = 0;
    for (size_t i = 0; i < all.n; i++)
        n += all.v[i].used && !all.v[i].done && all.v[i].group == group;
    return n;
}

/* ---- what the linker sends here; names with two underscores are its own ---- */

int __real_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __real_pthread_join(pthread_t, void **);
int __real_pthread_cond_wait(pthread_cond_t *, pthread_mutex_t *);
int __real_pthread_cond_timedwait(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
int __real_pthread_cond_signal(pthread_cond_t *);
int __real_pthread_cond_broadcast(pthread_cond_t *);
int __real_nanosleep(const struct timespec *, struct timespec *);
int __real_clock_gettime(clockid_t, struct timespec *);
int __wrap_pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int __wrap_pthread_join(pthread_t, void **);
int __wrap_pthread_cond_wait(pthread_cond_t *, pthread_mutex_t *);
int __wrap_pthread_cond_timedwait(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
int __wrap_pthread_cond_signal(pthread_cond_t *);
int __wrap_pthread_cond_broadcast(pthread_cond_t *);
int __wrap_nanosleep(const struct timespec *, struct timespec *);
int __wrap_clock_gettime(clockid_t, struct timespec *);

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *),
                          void *ctx)
{
    if (!all.now)
        return __real_pthread_create(ret, attr, run, ctx);
    struct fiber *f = new_fiber(all.now->group, "thread");
    f->thread = run;
    f->ctx = ctx;
    *ret = (pthread_t)(uintptr_t)f;
    return 0;
}

int __wrap_pthread_join(pthread_t id, void **ret)
{
    if (!all.now)
        return __real_pthread_join(id, ret);
    struct fiber *f = (struct fiber *)(uintptr_t)id;
    if (f->done)
        free_fiber(f);
    else
        wait_until(f, FIBER_NEVER, FIBER_NEVER);
    return 0;
}

int __wrap_pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex,
                                  const struct timespec *until)
{
    if (!all.now)
        return __real_pthread_cond_timedwait(cond, mutex, until);
    /* Rounded up: whoever waits for a time must not be back before it. */
    int64_t wake_ms = (int64_t)until->tv_sec * 1000 + (until->tv_nsec + 999999) / 1000000;
    pthread_mutex_unlock(mutex);
    wait_until(cond, wake_ms, FIBER_NEVER);
    bool signalled = all.now->signalled;
    pthread_mutex_lock(mutex);
    return signalled ? 0 : ETIMEDOUT;
}

int __wrap_pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    if (!all.now)
        return __real_pthread_cond_wait(cond, mutex);
    pthread_mutex_unlock(mutex);
    wait_until(cond, FIBER_NEVER, FIBER_NEVER);
    pthread_mutex_lock(mutex);
    return 0;
}

static void ring(const void *cond, bool everybody)
{
    for (size_t i = 0; i < all.n; i++)
        if (all.v[i].used && !all.v[i].signalled && all.v[i].cond == cond) {
            all.v[i].signalled = true;
            if (all.prompt_ms != FIBER_NEVER)
                all.v[i].hard_ms = all.now_ms + all.prompt_ms;
            if (!everybody)
                return;
        }
}

int __wrap_pthread_cond_signal(pthread_cond_t *cond)
{
    if (!all.active)
        return __real_pthread_cond_signal(cond);
    ring(cond, false);
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *cond)
{
    if (!all.active)
        return __real_pthread_cond_broadcast(cond);
    ring(cond, true);
    return 0;
}

int __wrap_nanosleep(const struct timespec *t, struct timespec *left)
{
    if (!all.now)
        return __real_nanosleep(t, left);
    int64_t ms = (int64_t)t->tv_sec * 1000 + (t->tv_nsec + 999999) / 1000000;
    fiber_sleep(ms);
    if (left)
        *left = (struct timespec){0};
    return 0;
}

int __wrap_clock_gettime(clockid_t id, struct timespec *ret)
{
    if (!all.active)
        return __real_clock_gettime(id, ret);
    int64_t ms = all.now_ms + (id == CLOCK_REALTIME ? FIBER_WALL_S * 1000 : 0);
    *ret = (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = ms % 1000 * 1000000};
    return 0;
}
