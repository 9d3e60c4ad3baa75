/* The model test: seeded random walks over everything that can happen to a cluster with one or two
 * cardinalds in it, against a model that shares no code with them; in one thread, on virtual time
 * (tests/model/).
 *
 * MODEL_STEPS=n   how many events in all (50,000)
 * MODEL_SEED=n    the first walk's seed (31); the next walks count up
 * MODEL_TRACE=1   every walk tells what happens, as it happens
 *
 * Each walk plays in a process of its own. One that fails is played again with events left out, as
 * long as it breaks the same invariant, and the shortest list that was found is printed with its
 * story. */
#include "model/world.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STEPS_DEFAULT = 16000 }; /* they are ten times as slow */
#else
enum { STEPS_DEFAULT = 50000 };
#endif
enum {
    WALK = 2000,       /* events of one walk, which ends with a rest */
    WALK_SECONDS = 60, /* more: it hangs */
    SHRINK_SECONDS = 30
};

struct result { /* what a walk's process leaves behind */
    char what[80];
    unsigned step, binds, rests;
    uint64_t switches;
};

/* ---- one walk ---- */

static uint64_t seed_of(uint64_t walk, unsigned step, unsigned which)
{
    return walk * UINT64_C(0x9e3779b97f4a7c15) + step * 4ull + which;
}

static enum event event_of(uint64_t walk, unsigned step)
{
    chance_seed(seed_of(walk, step, 0));
    return world_draw();
}

/* keep[i]: event i happens; NULL: all do. */
static void play(uint64_t walk, const bool *keep, unsigned steps, bool aloud, struct result *ret)
{
    world_open(walk);
    for (unsigned i = 0; i < steps && !is_broken(); i++) {
        ret->step = i;
        if (keep && !keep[i])
            continue;
        world_do(event_of(walk, i), seed_of(walk, i, 1));
    }
    if (!is_broken()) {
        ret->step = steps;
        chance_seed(seed_of(walk, steps, 2));
        world_rest();
    }
    (void)snprintf(ret->what, sizeof(ret->what), "%s", broken_what());
    ret->binds = bound_n;
    ret->rests = rests_n;
    ret->switches = fiber_switches();
    if (aloud) {
        tell_last(stderr);
        scheduler_tell(stderr);
    }
}

/* In a process of its own. */
static void try_walk(uint64_t walk, const bool *keep, unsigned steps, bool aloud,
                     struct result *ret)
{
    *ret = (struct result){.step = 0};
    (void)fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        (void)alarm(WALK_SECONDS);
        if (!aloud && keep &&
            !freopen("/dev/null", "w", stderr)) /* what asserts say, over and over */
            _exit(1);
        play(walk, keep, steps, aloud, ret);
        (void)fflush(NULL);
        _exit(0);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    if (WIFSIGNALED(status))
        (void)snprintf(ret->what, sizeof(ret->what), "%s",
                       WTERMSIG(status) == SIGALRM ? "it hangs" : strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) != 0)
        (void)snprintf(ret->what, sizeof(ret->what), "it ends with %d", WEXITSTATUS(status));
}

/* ---- a shorter one ---- */

static unsigned kept(const bool *keep, unsigned steps)
{
    unsigned n = 0;
    for (unsigned i = 0; i < steps; i++)
        n += keep[i];
    return n;
}

/* Leaves out runs of events, halves first, as long as the same invariant breaks. Returns how many
 * steps are left to look at. */
static unsigned shrink(uint64_t walk, bool *keep, unsigned steps, const char *what,
                       struct result *result)
{
    const time_t end = time(NULL) + SHRINK_SECONDS;
    bool *tried = malloc(steps * sizeof(bool));
    ck_assert_ptr_nonnull(tried);
    for (unsigned run = steps / 2; run > 0 && time(NULL) < end; run /= 2)
        for (unsigned at = 0; at < steps && time(NULL) < end; at += run) {
            memcpy(tried, keep, steps * sizeof(bool));
            bool any = false;
            for (unsigned i = at; i < at + run && i < steps; i++) {
                any |= tried[i];
                tried[i] = false;
            }
            if (!any)
                continue;
            try_walk(walk, tried, steps, false, result);
            if (strcmp(result->what, what) != 0)
                continue;
            memcpy(keep, tried, steps * sizeof(bool));
            if (result->step + 1 < steps) { /* it breaks earlier now */
                steps = result->step + 1;
                at = 0;
            }
        }
    free(tried);
    return steps;
}

static void tell_failure(uint64_t walk, unsigned steps, struct result *result)
{
    char what[sizeof(result->what)];
    memcpy(what, result->what, sizeof(what));
    unsigned failed_at = result->step;
    bool *keep = malloc(steps + 1);
    ck_assert_ptr_nonnull(keep);
    memset(keep, true, steps + 1);
    unsigned look = failed_at < steps ? failed_at + 1 : steps;
    look = shrink(walk, keep, look, what, result);
    (void)fprintf(
        stderr,
        "walk %llu (MODEL_SEED=%llu MODEL_STEPS=%u) breaks at step %u: %s\n%u events do it:\n",
        (unsigned long long)walk, (unsigned long long)walk, steps, failed_at, what,
        kept(keep, look));
    try_walk(walk, keep, look, true, result);
    (void)fprintf(stderr, "its events:");
    for (unsigned i = 0; i < look; i++)
        if (keep[i])
            (void)fprintf(stderr, " %u:%s", i, event_name(event_of(walk, i)));
    (void)fprintf(stderr, "\n");
    free(keep);
}

/* ---- many ---- */

static uint64_t number_of(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

START_TEST(random_walks)
{
    const uint64_t first = number_of("MODEL_SEED", 31),
                   all = number_of("MODEL_STEPS", STEPS_DEFAULT);
    struct result *result =
        mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(result, MAP_FAILED);
    uint64_t walk = first, done = 0, binds = 0, rests = 0, switches = 0;
    for (; done < all; walk++) {
        unsigned steps = all - done < WALK ? (unsigned)(all - done) : WALK;
        try_walk(walk, NULL, steps, false, result);
        if (result->what[0]) {
            tell_failure(walk, steps, result);
            ck_abort_msg("walk %llu failed", (unsigned long long)walk);
        }
        done += steps;
        binds += result->binds;
        rests += result->rests;
        switches += result->switches;
    }
    printf("%llu events in %llu walks (seeds %llu to %llu): %llu pods bound, %llu rests, %llu "
           "turns of threads\n",
           (unsigned long long)done, (unsigned long long)(walk - first), (unsigned long long)first,
           (unsigned long long)walk - 1, (unsigned long long)binds, (unsigned long long)rests,
           (unsigned long long)switches);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *walks = tcase_create("walks");
    tcase_set_timeout(walks, 3600);
    tcase_add_test(walks, random_walks);
    suite_add_tcase(suite, walks);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
