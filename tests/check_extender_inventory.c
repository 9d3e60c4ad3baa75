/* The read-only API and /metrics, over a ledger that was filled from a file: goldens in
 * tests/golden/v1, paging, and that a long answer comes in pieces. UPDATE_GOLDEN=1 rewrites the
 * goldens. */
#include "verbs_fixture.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DIR TEST_DATA "/golden/v1/"
static struct fx fx;

static void setup(void) { fx_open(&fx, DIR "cluster.yaml", NULL); }
static void setup_makers(void) { fx_open(&fx, DIR "makers.yaml", NULL); }
static void teardown(void) { fx_close(&fx); }

/* ---- goldens ---- */
static char *read_file(const char *path)
{
    FILE *f = fopen(path, "re");
    ck_assert_msg(f != NULL, "%s is there (UPDATE_GOLDEN=1 makes it)", path);
    char *text = calloc(1, 1 << 20);
    ck_assert_uint_lt(fread(text, 1, (1 << 20) - 1, f), (1 << 20) - 1);
    (void)fclose(f);
    return text;
}

static void compare_text(const char *name, const char *got)
{
    char path[512];
    (void)snprintf(path, sizeof(path), DIR "%s", name);
    if (getenv("UPDATE_GOLDEN")) {
        FILE *f = fopen(path, "we");
        ck_assert_ptr_nonnull(f);
        ck_assert_int_ge(fputs(got, f), 0);
        ck_assert_int_eq(fclose(f), 0);
    }
    char *want = read_file(path);
    size_t at = 0, line = 1;
    for (; want[at] && want[at] == got[at]; at++)
        line += want[at] == '\n';
    ck_assert_msg(want[at] == got[at], "%s:%zu: want %.200s, got %.200s", name, line, want + at,
                  got + at);
    free(want);
}

/* Generations depend on the order in which the lists came: any number, but a number. */
static void no_generations(json_t *json)
{
    const char *key;
    json_t *value;
    size_t i;
    if (json_is_array(json)) {
        json_array_foreach(json, i, value) no_generations(value);
        return;
    }
    json_object_foreach(json, key, value)
    {
        if (strcmp(key, "generation") == 0) {
            ck_assert_int_gt(json_integer_value(value), 0);
            json_integer_set(value, 0);
        }
        no_generations(value);
    }
}

static void compare_json(const char *name, json_t *got)
{
    ck_assert_msg(got != NULL, "%s: no JSON", name);
    no_generations(got);
    char *text = json_dumps(got, JSON_INDENT(2) | JSON_SORT_KEYS);
    char *lines = malloc(strlen(text) + 2);
    (void)sprintf(lines, "%s\n", text);
    compare_text(name, lines);
    free(lines);
    free(text);
    json_decref(got);
}

static const struct {
    const char *name, *target;
    unsigned status;
} GOLDENS[] = {
    {"nodes.json", "/v1/nodes", 200},
    {"node.json", "/v1/nodes/alpha", 200},
    {"node-without-cards.json", "/v1/nodes/gamma", 200},
    {"node-unknown.json", "/v1/nodes/omega%22%0a", 404},
    {"pods.json", "/v1/pods", 200},
    {"pods-of-node.json", "/v1/pods?node=beta", 200},
    {"summary.json", "/v1/summary", 200},
    {"object-elsewhere.json", "/v1/objects/nodes/alpha", 404}, /* the fixture is not in file mode */
    {"limit-not-a-number.json", "/v1/nodes?limit=many", 400},
    {"token-of-others.json", "/v1/pods?continue=xyz", 400},
};

START_TEST(golden)
{
    unsigned status;
    ck_assert(fx_wait_used(&fx, "alpha", "GPU-a0", 2,
                           4096)); /* max(init, main + side) of memory, sum of shares */
    json_t *got = fx_call(&fx, "GET", GOLDENS[_i].target, NULL, &status);
    ck_assert_msg(status == GOLDENS[_i].status, "%s: %u", GOLDENS[_i].name, status);
    compare_json(GOLDENS[_i].name, got);
}
END_TEST

/* What only some makers' cards have, and what of them could not be taken. */
static const struct {
    const char *name, *target;
} MAKERS[] = {
    {"makers.json", "/v1/nodes"},
    {"makers-cores.json", "/v1/nodes/cores"},
    {"makers-links.json", "/v1/nodes/links"},
    {"makers-sizes.json", "/v1/nodes/sizes"},
    {"makers-pods.json", "/v1/pods"},
};

START_TEST(golden_makers)
{
    unsigned status;
    ck_assert(fx_wait_used(&fx, "sizes", "sizes-enflame-drs-0", 4, 24576));
    json_t *got = fx_call(&fx, "GET", MAKERS[_i].target, NULL, &status);
    ck_assert_msg(status == 200, "%s: %u", MAKERS[_i].name, status);
    compare_json(MAKERS[_i].name, got);
}
END_TEST

START_TEST(held)
{
    unsigned status;
    ck_assert(fx_wait_used(&fx, "alpha", "GPU-a0", 2, 4096));
    json_decref(fx_call(&fx, "POST", "/filter",
                        fx_args(&fx, "team", "waits", (const char *[]){"alpha", "beta", NULL}),
                        &status));
    ck_assert_uint_eq(status, 200);
    compare_json("node-held.json", fx_call(&fx, "GET", "/v1/nodes/alpha", NULL, &status));
    compare_json("summary-held.json", fx_call(&fx, "GET", "/v1/summary", NULL, &status));
}
END_TEST

START_TEST(stored_objects)
{
    unsigned status;
    fx.app.file_store = fx.store;
    json_t *got = fx_call(&fx, "GET", "/v1/objects/nodes/gamma", NULL, &status);
    ck_assert_uint_eq(status, 200);
    ck_assert_str_eq(json_string_value(json_object_get(got, "kind")), "Node");
    json_decref(got);
    got = fx_call(&fx, "GET", "/v1/objects/pods/team/waits", NULL, &status);
    ck_assert_uint_eq(status, 200);
    ck_assert_str_eq(json_string_value(json_object_get(got, "kind")), "Pod");
    json_decref(got);
    static const char *const NOT_THERE[] = {
        "/v1/objects/pods/team/nobody", "/v1/objects/nodes/omega", "/v1/objects/pods/team",
        "/v1/objects/nodes/a/b",        "/v1/objects/secrets/a/b", "/v1/objects/pods/a/b/c"};
    for (size_t i = 0; i < sizeof(NOT_THERE) / sizeof(NOT_THERE[0]); i++) {
        json_decref(fx_call(&fx, "GET", NOT_THERE[i], NULL, &status));
        ck_assert_msg(status == 404, "%s: %u", NOT_THERE[i], status);
    }
}
END_TEST

/* ---- pages: every item once, in order, whatever the size of the page ---- */
static void walk(const char *path, size_t limit, size_t want_items)
{
    char token[600] = "", last[600] = "";
    size_t items = 0, pages = 0;
    do {
        char target[1024];
        (void)snprintf(target, sizeof(target), "%s?limit=%zu&continue=%s", path, limit, token);
        unsigned status;
        json_t *page = fx_call(&fx, "GET", target, NULL, &status), *item;
        ck_assert_uint_eq(status, 200);
        size_t i;
        json_array_foreach(json_object_get(page, "items"), i, item)
        {
            const char *ns = json_string_value(json_object_get(item, "namespace"));
            char name[600];
            (void)snprintf(name, sizeof(name), "%s/%s", ns ? ns : "",
                           json_string_value(json_object_get(item, "name")));
            ck_assert_msg(strcmp(name, last) > 0, "%s after %s", name, last);
            (void)snprintf(last, sizeof(last), "%s", name);
            items++;
        }
        ck_assert_uint_le(i, limit);
        (void)snprintf(token, sizeof(token), "%s",
                       json_string_value(json_object_get(page, "continue")));
        json_decref(page);
        ck_assert_uint_lt(++pages, 1000);
    } while (*token);
    ck_assert_msg(items == want_items, "%s limit %zu: %zu items", path, limit, items);
}

START_TEST(pages)
{
    for (int i = 0; i < 27; i++) {
        char path[64], body[512];
        (void)snprintf(path, sizeof(path), "pods/ns-%d/more-%d", i % 4, i);
        (void)snprintf(
            body, sizeof(body),
            "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"more-%d\","
            "\"namespace\":\"ns-%d\"},"
            "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"x\",\"resources\":{\"limits\":"
            "{\"nvidia.com/gpu\":\"1\"}}}]},\"status\":{\"phase\":\"Pending\"}}",
            i, i % 4);
        fx_create(&fx, path, body);
    }
    struct cluster_stats stats;
    for (int i = 0; i < 1000; i++) {
        cluster_store_stats(fx.app.store, &stats);
        if (stats.pods_waiting == 28)
            break;
        struct timespec t = {.tv_nsec = 5000000};
        nanosleep(&t, NULL);
    }
    ck_assert_uint_eq(stats.pods_waiting, 28);
    static const size_t LIMITS[] = {1, 2, 3, 7, 29, 30, 31, 500};
    for (size_t i = 0; i < sizeof(LIMITS) / sizeof(LIMITS[0]); i++) {
        walk("/v1/pods", LIMITS[i], 30);
        walk("/v1/nodes", LIMITS[i], 4);
    }
    /* a page goes on behind what is gone meanwhile */
    unsigned status;
    json_t *page = fx_call(&fx, "GET", "/v1/nodes?limit=2", NULL, &status);
    char target[256];
    (void)snprintf(target, sizeof(target), "/v1/nodes?continue=%s",
                   json_string_value(json_object_get(page, "continue")));
    json_decref(page);
    fx_patch(&fx, "nodes/beta", NULL);
    page = fx_call(&fx, "GET", target, NULL, &status);
    ck_assert_uint_eq(json_array_size(json_object_get(page, "items")), 2);
    json_decref(page);
}
END_TEST

/* ---- metrics ---- */
static char *scrape(size_t *ret_pieces)
{
    struct arena *arena = arena_new(1 << 20);
    struct ext_request r = {
        .app = &fx.app, .method = STR("GET"), .path = STR("/metrics"), .arena = arena};
    struct ext_answer a = {0};
    ext_metrics_get(&r, &a);
    ck_assert_uint_eq(a.status, 200);
    ck_assert_ptr_nonnull(a.stream.more);
    struct buf all;
    buf_init(&all, 256 << 20);
    size_t pieces = 0;
    for (bool more = true; more; pieces++) {
        struct buf piece;
        buf_init(&piece, 4 << 20);
        more = a.stream.more(a.stream.ctx, &piece);
        ck_assert(!piece.failed);
        ck_assert_uint_lt(piece.n, 256 << 10);
        buf_add(&all, (struct str){piece.p, piece.n});
        buf_done(&piece);
    }
    a.stream.done(a.stream.ctx);
    arena_free(arena);
    *ret_pieces = pieces;
    return buf_take(&all, &(size_t){0});
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool is_changing(const char *line)
{
    static const char *const CHANGING[] = {
        "process_",           "hami_build_info{",         "cardinald_watch_events_total ",
        "cardinald_applied_", "cardinald_relists_total ", "cardinald_verb_"};
    for (size_t i = 0; i < sizeof(CHANGING) / sizeof(CHANGING[0]); i++)
        if (strncmp(line, CHANGING[i], strlen(CHANGING[i])) == 0)
            return true;
    return false;
}

/* Without what differs from run to run and from machine to machine; the series of a family sorted,
 * because the order of nodes is that of their arrival. */
static char *settled(char *text)
{
    enum { SERIES_MAX = 1000 };
    char *out = calloc(1, strlen(text) + 2), *save = NULL, *series[SERIES_MAX];
    size_t n = 0;
    for (char *line = strtok_r(text, "\n", &save);; line = strtok_r(NULL, "\n", &save)) {
        if (line && line[0] != '#') {
            ck_assert_uint_lt(n, SERIES_MAX);
            if (!is_changing(line))
                series[n++] = line;
            continue;
        }
        qsort(series, n, sizeof(series[0]), by_text);
        for (size_t i = 0; i < n; i++)
            (void)strcat(strcat(out, series[i]), "\n");
        n = 0;
        if (!line)
            break;
        (void)strcat(strcat(out, line), "\n");
    }
    free(text);
    return out;
}

START_TEST(core_defect_c27_metrics_golden)
{
    size_t pieces;
    ck_assert(fx_wait_used(&fx, "alpha", "GPU-a0", 2, 4096));
    fx.app.config.legacy_metrics = _i == 1;
    char *text = settled(scrape(&pieces));
    compare_text(_i == 1 ? "metrics-legacy.txt" : "metrics.txt", text);
    free(text);
}
END_TEST

/* The grammar of the text, whatever is in it: HELP and TYPE once a family, samples behind them, no
 * series twice. */
static void check_grammar(char *text)
{
    char family[128] = "", *save = NULL;
    size_t n = 0;
    char **series = calloc(200000, sizeof(*series)), **families = calloc(1000, sizeof(*families));
    size_t families_n = 0;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (sscanf(line, "# HELP %127s", family) == 1) {
            families[families_n++] = strdup(family);
            continue;
        }
        if (line[0] == '#') {
            char typed[128];
            ck_assert_int_eq(sscanf(line, "# TYPE %127s", typed), 1);
            ck_assert_str_eq(typed, family);
            continue;
        }
        ck_assert_msg(strncmp(line, family, strlen(family)) == 0, "%s under %s", line, family);
        char *value = strrchr(line, ' ');
        ck_assert_ptr_nonnull(value);
        char *end;
        (void)strtod(value + 1, &end);
        ck_assert_msg(*end == '\0', "%s", line);
        *value = '\0';
        ck_assert_uint_lt(n, 200000);
        series[n++] = line;
    }
    qsort(series, n, sizeof(*series), by_text);
    for (size_t i = 1; i < n; i++)
        ck_assert_msg(strcmp(series[i - 1], series[i]) != 0, "twice: %s", series[i]);
    qsort(families, families_n, sizeof(*families), by_text);
    for (size_t i = 0; i < families_n; i++) {
        ck_assert_msg(i == 0 || strcmp(families[i - 1], families[i]) != 0, "twice: %s",
                      families[i]);
        if (i > 0)
            free(families[i - 1]);
    }
    if (families_n > 0)
        free(families[families_n - 1]);
    free(families);
    free(series);
}

START_TEST(metrics_in_pieces)
{
    /* a forged list that names one card twice must not spoil the text */
    fx_create(&fx, "pods/team/twice",
              "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"twice\","
              "\"namespace\":\"team\",\"annotations\":"
              "{\"hami.io/vgpu-node\":\"alpha\",\"hami.io/vgpu-devices-allocated\":"
              "\"GPU-a0,NVIDIA,10,1:GPU-a0,NVIDIA,20,2:;\"}},\"spec\":{\"nodeName\":\"alpha\","
              "\"containers\":[{\"name\":\"c\","
              "\"image\":\"x\",\"resources\":{\"limits\":{\"nvidia.com/gpu\":\"2\",\"nvidia.com/"
              "gpumem\":\"20\"}}}]},"
              "\"status\":{\"phase\":\"Running\"}}");
    for (int i = 0; i < 300; i++) {
        char path[64];
        (void)snprintf(path, sizeof(path), "nodes/n-%03d", i);
        struct buf body;
        buf_init(&body, 1 << 20);
        buf_fmt(&body,
                "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"n-%03d\","
                "\"annotations\":{"
                "\"hami.io/node-nvidia-register\":\"[",
                i);
        for (int j = 0; j < 4; j++)
            buf_fmt(&body,
                    "%s{\\\"id\\\":\\\"GPU-%d-%d\\\",\\\"index\\\":%d,\\\"count\\\":10,"
                    "\\\"devmem\\\":1000,"
                    "\\\"devcore\\\":100,\\\"type\\\":\\\"T\\\",\\\"mode\\\":\\\"\\\","
                    "\\\"health\\\":true}",
                    j ? "," : "", i, j, j);
        buf_add(&body, STR("]\"}},\"status\":{\"allocatable\":{\"nvidia.com/gpu\":\"40\"}}}"));
        buf_char(&body, '\0');
        fx_create(&fx, path, body.p);
        buf_done(&body);
    }
    struct cluster_stats stats;
    for (int i = 0; i < 1000; i++) {
        cluster_store_stats(fx.app.store, &stats);
        if (stats.nodes == 304)
            break;
        struct timespec t = {.tv_nsec = 5000000};
        nanosleep(&t, NULL);
    }
    ck_assert_uint_eq(stats.nodes, 304);
    fx.app.config.legacy_metrics = true;
    size_t pieces;
    char *text = scrape(&pieces);
    ck_assert_uint_gt(pieces, 10);
    check_grammar(text);
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("extender inventory");
    TCase *tc = tcase_create("inventory");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, golden, 0, sizeof(GOLDENS) / sizeof(GOLDENS[0]));
    tcase_add_test(tc, held);
    tcase_add_test(tc, stored_objects);
    tcase_add_test(tc, pages);
    tcase_add_loop_test(tc, core_defect_c27_metrics_golden, 0, 2);
    tcase_add_test(tc, metrics_in_pieces);
    suite_add_tcase(s, tc);
    tc = tcase_create("makers");
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup_makers, teardown);
    tcase_add_loop_test(tc, golden_makers, 0, sizeof(MAKERS) / sizeof(MAKERS[0]));
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
