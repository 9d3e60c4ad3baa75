/* Every allocation of src/base fails once: each time it is said, nothing leaks, and what was there
 * still is. */
#include "check_base.h"
#include "fail_alloc.h"

#include "base/map.h"
#include "base/own.h"
#include "base/scan.h"
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* Each story: true when it went well; false when it said that memory failed. Checks by assert,
 * as Check allocates too. */

static bool story_str(void)
{
    char *z CLEANUP(free_p) = str_dup_z(STR("abc"));
    return z != NULL;
}

static bool story_arena(void)
{
    struct arena *a = arena_new(16 << 20);
    if (!a)
        return false;
    bool ok = true;
    for (int i = 0; i < 2000; i++)
        if (!arena_alloc(a, 100))
            ok = false;
    ok = arena_str(a, STR("x")).p && ok;
    ok = arena_alloc(a, 2 << 20) && ok;
    assert(arena_failed(a) == !ok);
    arena_free(a);
    return ok;
}

static bool story_buf(void)
{
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 1000; i++) {
        buf_json(&b, STR("a\nb"));
        buf_fmt(&b, "%d%s", i, "more text than a first buffer has room for, so that it grows here");
    }
    size_t n = 0;
    char *text CLEANUP(free_p) = buf_take(&b, &n);
    return text != NULL;
}

static bool story_map(void)
{
    static char keys[100][16];
    struct map *m = map_new(1, 0);
    if (!m)
        return false;
    bool ok = true;
    uint32_t there = 0, v = 0;
    for (uint32_t i = 0; i < 100 && ok; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "k%u", i);
        enum err_code rc = map_put(m, str_z(keys[i]), i);
        assert(rc == ERR_OK || rc == ERR_NO_MEMORY);
        ok = rc == ERR_OK;
        there += ok;
    }
    assert(map_count(m) == there);
    for (uint32_t i = 0; i < there; i++)
        assert(map_get(m, str_z(keys[i]), &v) && v == i);
    struct map *copy = ok ? map_clone(m) : NULL;
    ok = copy && map_count(copy) == there;
    map_free(copy);
    map_free(m);
    return ok;
}

static bool story_stream(void)
{
    struct scan_stream_handler none = {0};
    struct scan_stream *st = scan_stream_new(SCAN_STREAM_LIST, 1 << 20, &none);
    if (!st)
        return false;
    struct str text =
        STR("{\"kind\":\"List\",\"a\":{\"b\":[1,2]},\"items\":[{\"c\":\"d\"},12],\"e\":1}");
    enum err_code rc = ERR_OK;
    for (int round = 0; round < 300 && rc == ERR_OK;
         round++) /* a long head, so that its buffer grows */
        rc = scan_stream_feed(st, round ? STR("\"key\":12,") : STR("{"), NULL);
    for (size_t i = 1; i < text.n && rc == ERR_OK; i++)
        rc = scan_stream_feed(st, (struct str){text.p + i, 1}, NULL);
    if (rc == ERR_OK)
        rc = scan_stream_finish(st, NULL);
    scan_stream_free(st);
    assert(rc == ERR_OK || rc == ERR_NO_MEMORY);
    return rc == ERR_OK;
}

static const struct {
    const char *name;
    bool (*run)(void);
    unsigned least; /* allocations it surely makes: a story that allocates nothing tests nothing */
} STORIES[] = {
    {"str", story_str, 1}, {"arena", story_arena, 5},   {"buf", story_buf, 5},
    {"map", story_map, 5}, {"stream", story_stream, 5},
};

START_TEST(nth_fails)
{
    for (unsigned n = 1;; n++) {
        fail_alloc_at(n);
        bool ok = STORIES[_i].run();
        bool failed = fail_alloc_off();
        ck_assert_msg(ok == !failed, "%s: allocation %u", STORIES[_i].name, n);
        if (!failed) {
            ck_assert_msg(n > STORIES[_i].least, "%s: only %u", STORIES[_i].name, n - 1);
            return;
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base memory");
    TCase *tc = tcase_create("memory");
    tcase_add_loop_test(tc, nth_fails, 0, COUNT(STORIES));
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
