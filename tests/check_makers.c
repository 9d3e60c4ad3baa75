/* Every maker's cards from registration to release, as stories in tests/golden/vendors/MAKER/NAME.json:
 * objects of a cluster, and steps with what must come out. A step is a JSON object:
 *
 *   {"admit": POD, "changed": {PATH: VALUE…}}   the webhook's mutation; the pod is stored as it became.
 *                                               PATH: members by '/', list elements by index; null: absent.
 *                                               Pods that name no changes must not be changed but for spec.schedulerName.
 *   {"admit": POD, "denied": TEXT}              refused, and the message begins so
 *   {"filter": POD, "fits": [NODE…], "full": {NODE: CODES…}, "never": {NODE: CODES…}}   all three, exactly
 *   {"bind": POD, "node": NODE, "annotations": {KEY: VALUE…}, "lock": {KEY: VALUE…}}    exactly these annotations of
 *                                               the pod under the program's keys, those of the node named
 *   {"bind": POD, "node": NODE, "refused": TEXT}
 *   {"used": NODE, "cards": {UUID: [shares, memory, cores, bits]…}}   exactly; cards that are not named are unused;
 *                                               "none": true: the node has no cards; "alive": true: none is unhealthy
 *   {"best": POD, "node": NODE}                 of all nodes, prioritize likes this one best, and no other as much
 *   {"capacity": NODE, "is": {RESOURCE: TEXT or null…}}   of its status, and allocatable
 *   {"plugin": NODE, "pod": POD}                the plugin has done its part: lists empty, phase success, locks gone
 *   {"annotate": "pods/NS/NAME" or "nodes/NAME", "with": {KEY: VALUE…}}
 *   {"finish": POD}, {"restart": true}, {"wait": SECONDS}   on the monotonic clock: holds end
 *
 * POD to admit is an object (namespace default), elsewhere its name. */
#include "admission/admission.h"
#include "verbs_fixture.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FOLDER      TEST_DATA "/golden/vendors"
#define STORIES_MAX 256

static char stories[STORIES_MAX][256];
static int stories_n;

static struct fx fx;
static const char *story; /* for texts */
static size_t step_no;

#define must_be(cond, ...)                                                                         \
    do {                                                                                           \
        char text_[2048];                                                                          \
        (void)snprintf(text_, sizeof(text_), __VA_ARGS__);                                         \
        ck_assert_msg(cond, "%s, step %zu: %s", story, step_no, text_);                            \
    } while (0)

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    must_be(s != NULL, "\"%s\" must be a text", key);
    return s;
}

/* ---- admission ---- */

static const json_t *at_path(const json_t *in, const char *path)
{
    char part[512];
    while (in && *path) {
        /* Keys of annotations and resources hold slashes: '~' stands for one. */
        size_t n = strcspn(path, "/");
        must_be(n < sizeof(part), "path too long");
        memcpy(part, path, n);
        part[n] = '\0';
        for (char *c = part; *c; c++)
            *c = *c == '~' ? '/' : *c;
        path += n + (path[n] == '/');
        in = json_is_array(in) ? json_array_get(in, (size_t)atoi(part)) : json_object_get(in, part);
    }
    return in;
}

static void admit(const json_t *step)
{
    static unsigned uids;
    const struct admission_config cfg = {.vendors = fx.app.vendors,
                                         .scheduler_name = STR("cardinal-scheduler"),
                                         .force_overwrite_default_scheduler = true};
    json_t *pod = json_deep_copy(json_object_get(step, "admit"));
    struct admission_result result;
    struct err err;
    ck_assert_int_eq(admission_mutate(&cfg, pod, STR("default"), NULL, &result, &err), ERR_OK);
    const char *denied = json_string_value(json_object_get(step, "denied"));
    if (denied) {
        must_be(result.verdict != ADMISSION_ALLOW, "was not denied");
        must_be(strncmp(result.message, denied, strlen(denied)) == 0, "denied with \"%s\"",
                result.message);
        admission_result_done(&result);
        json_decref(pod);
        return;
    }
    must_be(result.verdict == ADMISSION_ALLOW, "denied: %s", result.message);
    json_t *after = NULL;
    ck_assert_int_eq(admission_apply(pod, result.patch, &after, &err), ERR_OK);
    admission_result_done(&result);
    const char *path;
    json_t *want, *changed = json_object_get(step, "changed");
    json_object_foreach(changed, path, want)
    {
        const json_t *got = at_path(after, path);
        char *text = got ? json_dumps(got, JSON_ENCODE_ANY | JSON_SORT_KEYS) : strdup("nothing");
        must_be(json_is_null(want) ? !got : got && json_equal(got, want), "%s is %s", path, text);
        free(text);
    }
    if (!changed) {
        json_t *same = json_deep_copy(pod);
        json_object_set_new(json_object_get(same, "spec"), "schedulerName",
                            json_string("cardinal-scheduler"));
        char *text = json_dumps(after, JSON_SORT_KEYS);
        must_be(json_equal(same, after), "was changed: %s", text);
        free(text);
        json_decref(same);
    }
    /* A second pass changes nothing. */
    ck_assert_int_eq(admission_mutate(&cfg, after, STR("default"), NULL, &result, &err), ERR_OK);
    must_be(result.verdict == ADMISSION_ALLOW && json_array_size(result.patch) == 0,
            "a second pass changes the pod");
    admission_result_done(&result);

    json_t *meta = json_object_get(after, "metadata");
    char uid[64], object[300];
    (void)snprintf(uid, sizeof(uid), "0f0f0f0f-0000-4000-8000-%012x", ++uids);
    json_object_set_new(meta, "uid", json_string(uid));
    json_object_set_new(meta, "namespace", json_string("default"));
    json_object_set_new(after, "apiVersion", json_string("v1"));
    json_object_set_new(after, "kind", json_string("Pod"));
    (void)snprintf(object, sizeof(object), "pods/default/%s", text_of(meta, "name"));
    char *body = json_dumps(after, JSON_COMPACT);
    fx_create(&fx, object, body);
    free(body);
    json_decref(after);
    json_decref(pod);
}

/* ---- filter ---- */

static size_t all_nodes(const char **ret, size_t max)
{
    static char names[64][256];
    struct cluster_snapshot *snap = cluster_store_snapshot(fx.app.store);
    size_t n = 0;
    for (uint32_t slot = 0; slot < cluster_snapshot_slots(snap); slot++) {
        const struct cluster_node *node = cluster_snapshot_at(snap, slot);
        if (!node)
            continue;
        ck_assert(n + 1 < max && n < 64);
        (void)snprintf(names[n], sizeof(names[n]), STR_FMT, STR_ARG(node->score.name));
        ret[n] = names[n];
        n++;
    }
    ret[n] = NULL;
    cluster_snapshot_unref(snap);
    return n;
}

static void same_map(const json_t *got, const json_t *want, const char *what)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)want, key, value)
    {
        const char *is = json_string_value(json_object_get(got, key));
        must_be(is && strcmp(is, json_string_value(value)) == 0, "%s: %s is \"%s\", not \"%s\"",
                what, key, is ? is : "nothing", json_string_value(value));
    }
    json_object_foreach((json_t *)got, key, value)
        must_be(json_object_get(want, key) != NULL, "%s: %s is \"%s\"", what, key,
                json_string_value(value));
}

static void filter(const json_t *step)
{
    const char *nodes[65];
    unsigned status;
    all_nodes(nodes, 65);
    json_t *answer = fx_call(&fx, "POST", "/filter?reasons=all",
                             fx_args(&fx, "default", text_of(step, "filter"), nodes), &status);
    must_be(status == 200 && answer, "status %u", status);
    const json_t *error = json_object_get(answer, "Error");
    must_be(!error || json_string_length(error) == 0, "%s", json_string_value(error));
    const json_t *names = json_object_get(answer, "NodeNames");
    const json_t *want = json_object_get(step, "fits");
    char *text = json_dumps(answer, JSON_COMPACT);
    must_be(json_array_size(names) == json_array_size(want), "answer: %s", text);
    for (size_t i = 0; i < json_array_size(want); i++) {
        bool found = false;
        for (size_t k = 0; k < json_array_size(names); k++)
            found |= json_equal(json_array_get(names, k), json_array_get(want, i));
        must_be(found, "%s does not fit: %s", json_string_value(json_array_get(want, i)), text);
    }
    same_map(json_object_get(answer, "FailedNodes"), json_object_get(step, "full"), "full");
    same_map(json_object_get(answer, "FailedAndUnresolvableNodes"), json_object_get(step, "never"),
             "never");
    free(text);
    json_decref(answer);
}

/* ---- bind ---- */

static json_t *annotations_of(const char *path)
{
    json_t *object = fx_object(&fx, path);
    must_be(object != NULL, "no %s", path);
    json_t *notes =
        json_incref(json_object_get(json_object_get(object, "metadata"), "annotations"));
    json_decref(object);
    return notes ? notes : json_object();
}

static void bind(const json_t *step)
{
    const char *name = text_of(step, "bind"), *node = text_of(step, "node");
    char path[300];
    unsigned status;
    json_t *answer =
        fx_call(&fx, "POST", "/bind", fx_bind_args(&fx, "default", name, node), &status);
    const char *error = json_string_value(json_object_get(answer, "Error"));
    const char *refused = json_string_value(json_object_get(step, "refused"));
    must_be(status == 200 && answer, "status %u", status);
    if (refused) {
        must_be(error && strstr(error, refused), "refused with \"%s\"", error ? error : "");
        json_decref(answer);
        return;
    }
    must_be(!error || !*error, "%s", error);
    json_decref(answer);
    (void)snprintf(path, sizeof(path), "pods/default/%s", name);
    json_t *notes = annotations_of(path), *value;
    const json_t *want = json_object_get(step, "annotations");
    const char *key;
    json_object_foreach((json_t *)want, key, value)
    {
        const char *is = json_string_value(json_object_get(notes, key));
        must_be(is && strcmp(is, json_string_value(value)) == 0,
                "annotation %s is \"%s\", not \"%s\"", key, is ? is : "nothing",
                json_string_value(value));
    }
    json_object_foreach(notes, key, value)
        must_be(!vendor_key_reserved(fx.app.vendors, str_z(key)) || json_object_get(want, key) ||
                    strncmp(key, "hami.io/vgpu-", 13) == 0 || strncmp(key, "hami.io/bind-", 13) == 0,
                "annotation %s is there: \"%s\"", key, json_string_value(value));
    json_decref(notes);
    (void)snprintf(path, sizeof(path), "nodes/%s", node);
    notes = annotations_of(path);
    json_object_foreach(json_object_get(step, "lock"), key, value)
    {
        const char *is = json_string_value(json_object_get(notes, key));
        must_be(json_is_null(value) ? !is : is && strcmp(is, json_string_value(value)) == 0,
                "lock %s is \"%s\"", key, is ? is : "nothing");
    }
    json_decref(notes);
}

/* ---- what is used ---- */

struct used {
    int64_t shares, mem, cores;
    uint64_t bits;
};

static struct used used_of(const struct cluster_node *n, uint16_t device)
{
    const struct score_device *d = &n->score.devices[device];
    struct used u = {d->shares_used, d->mem_used_mib, d->cores_used_pct, 0};
    for (uint16_t g = 0; g < n->score.groups_n; g++) {
        const struct score_group *group = &n->score.groups[g];
        if (group->traits && device >= group->first && device < group->first + group->n)
            u.bits = group->traits[device - group->first].bits_used;
    }
    return u;
}

static bool used_as(const json_t *step, char *why, size_t max)
{
    const json_t *cards = json_object_get(step, "cards");
    struct cluster_snapshot *snap = cluster_store_snapshot(fx.app.store);
    const struct cluster_node *n = cluster_snapshot_find(snap, str_z(text_of(step, "used")));
    bool same = n != NULL;
    size_t named = 0;
    (void)snprintf(why, max, "no such node");
    for (uint16_t i = 0; same && i < n->score.devices_n; i++) {
        char uuid[300];
        (void)snprintf(uuid, sizeof(uuid), STR_FMT, STR_ARG(n->score.devices[i].uuid));
        const json_t *want = json_object_get(cards, uuid);
        const struct used u = used_of(n, i);
        named += want != NULL;
        same = u.shares == json_integer_value(json_array_get(want, 0)) &&
               u.mem == json_integer_value(json_array_get(want, 1)) &&
               u.cores == json_integer_value(json_array_get(want, 2)) &&
               u.bits == (uint64_t)json_integer_value(json_array_get(want, 3));
        (void)snprintf(why, max, "%s is used [%lld, %lld, %lld, %llu]", uuid, (long long)u.shares,
                       (long long)u.mem, (long long)u.cores, (unsigned long long)u.bits);
    }
    for (uint16_t i = 0; same && json_object_get(step, "alive") && i < n->score.devices_n; i++)
        same = !(n->score.devices[i].flags & SCORE_DEVICE_UNHEALTHY);
    if (same && json_object_get(step, "none"))
        same = n->score.devices_n == 0;
    if (same && named != json_object_size(cards)) {
        same = false;
        (void)snprintf(why, max, "the node lacks a card");
    }
    cluster_snapshot_unref(snap);
    return same;
}

static void used(const json_t *step)
{
    char why[600];
    bool same = false;
    for (int i = 0; i < 1000 && !(same = used_as(step, why, sizeof(why))); i++)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    must_be(same, "%s", why);
}

/* ---- others ---- */

static void best(const json_t *step)
{
    const char *nodes[65], *want = text_of(step, "node");
    unsigned status;
    all_nodes(nodes, 65);
    json_t *answer = fx_call(&fx, "POST", "/prioritize",
                             fx_args(&fx, "default", text_of(step, "best"), nodes), &status),
           *host;
    must_be(status == 200 && json_is_array(answer), "status %u", status);
    json_int_t its = -1, others = -1;
    size_t i;
    json_array_foreach(answer, i, host)
    {
        const json_int_t score = json_integer_value(json_object_get(host, "Score"));
        if (strcmp(text_of(host, "Host"), want) == 0)
            its = score;
        else
            others = score > others ? score : others;
    }
    must_be(its > others, "%s has %d, the best other %d", want, (int)its, (int)others);
    json_decref(answer);
}

static void capacity(const json_t *step)
{
    char path[300];
    const json_t *is = json_object_get(step, "is");
    json_t *body = json_pack("{s:{s:O,s:O}}", "status", "capacity", is, "allocatable", is);
    char *text = json_dumps(body, JSON_COMPACT);
    (void)snprintf(path, sizeof(path), "nodes/%s", text_of(step, "capacity"));
    fx_patch(&fx, path, text);
    free(text);
    json_decref(body);
}

static void annotate(const char *path, const json_t *with)
{
    json_t *body = json_pack("{s:{s:O}}", "metadata", "annotations", with);
    char *text = json_dumps(body, JSON_COMPACT);
    fx_patch(&fx, path, text);
    free(text);
    json_decref(body);
}

static void plugin(const json_t *step)
{
    char path[300];
    json_t *gone = json_object();
    for (uint16_t v = 0; v < vendor_count(fx.app.vendors); v++) {
        struct str lock = vendor_at(fx.app.vendors, v)->node_lock;
        if (lock.n > 0)
            json_object_setn_new(gone, lock.p, lock.n, json_null());
    }
    (void)snprintf(path, sizeof(path), "nodes/%s", text_of(step, "plugin"));
    annotate(path, gone);
    json_decref(gone);
    (void)snprintf(path, sizeof(path), "pods/default/%s", text_of(step, "pod"));
    json_t *done = json_pack("{s:s}", "hami.io/bind-phase", "success"), *notes = annotations_of(path);
    for (uint16_t v = 0; v < vendor_count(fx.app.vendors); v++) {
        struct str list = vendor_at(fx.app.vendors, v)->pod_to_allocate;
        if (list.n > 0 && json_object_getn(notes, list.p, list.n))
            json_object_setn_new(done, list.p, list.n, json_string(";")); /* all handed out */
    }
    annotate(path, done);
    json_decref(notes);
    json_decref(done);
}

static void run_step(const json_t *step)
{
    char path[300];
    if (json_object_get(step, "admit")) {
        admit(step);
    } else if (json_object_get(step, "filter")) {
        filter(step);
    } else if (json_object_get(step, "bind")) {
        bind(step);
    } else if (json_object_get(step, "best")) {
        best(step);
    } else if (json_object_get(step, "capacity")) {
        capacity(step);
    } else if (json_object_get(step, "used")) {
        used(step);
    } else if (json_object_get(step, "plugin")) {
        plugin(step);
    } else if (json_object_get(step, "annotate")) {
        annotate(text_of(step, "annotate"), json_object_get(step, "with"));
    } else if (json_object_get(step, "finish")) {
        (void)snprintf(path, sizeof(path), "pods/default/%s", text_of(step, "finish"));
        fx_patch(&fx, path, "{\"status\":{\"phase\":\"Succeeded\"}}");
    } else if (json_object_get(step, "wait")) {
        fx.mono_skew_ms += 1000 * json_integer_value(json_object_get(step, "wait"));
    } else if (json_object_get(step, "restart")) {
        fx_restart(&fx);
    } else {
        must_be(false, "no such step");
    }
}

START_TEST(a_story)
{
    char path[600];
    json_error_t why;
    /* Each story twice: with the rows that the program has, and with those that it prints. */
    story = stories[_i / 2];
    (void)snprintf(path, sizeof(path), "%s/%s", FOLDER, story);
    json_t *file = json_load_file(path, JSON_REJECT_DUPLICATES, &why), *step;
    ck_assert_msg(file != NULL, "%s:%d: %s", path, why.line, why.text);
    json_t *list = json_pack("{s:s,s:s,s:O}", "apiVersion", "v1", "kind", "List", "items",
                             json_object_get(file, "objects"));
    char *text = json_dumps(list, JSON_INDENT(1));
    const struct fx_options options = {
        .shortlist = 0,
        .node_policy = json_string_value(json_object_get(file, "node-policy")),
        .card_policy = json_string_value(json_object_get(file, "card-policy")),
        .vendors = json_string_value(json_object_get(file, "vendors")),
        .reprinted = _i % 2 != 0};
    fx_open(&fx, text, &options);
    size_t i;
    const json_t *steps = json_object_get(file, "steps");
    ck_assert_uint_gt(json_array_size(steps), 0);
    json_array_foreach(steps, i, step)
    {
        step_no = i + 1;
        run_step(step);
    }
    fx_close(&fx);
    free(text);
    json_decref(list);
    json_decref(file);
}
END_TEST

/* ---- the examples of the documents ---- */

#define EXAMPLES TEST_DATA "/../examples/vendors"
static char examples[64][64];
static int examples_n;

static char *read_all(const char *path)
{
    FILE *f = fopen(path, "re");
    ck_assert_msg(f != NULL, "%s", path);
    char *text = calloc(1, 1 << 20);
    ck_assert_ptr_nonnull(text);
    ck_assert_uint_lt(fread(text, 1, 1 << 20, f), 1 << 20);
    (void)fclose(f);
    return text;
}

/* Every pod of every example finds a node among nodes of all makers, and is bound to it. */
START_TEST(an_example)
{
    char path[600];
    const struct fx_options options = {.shortlist = 0};
    const char *nodes[65];
    struct str rest;
    (void)snprintf(path, sizeof(path), "%s/%s", EXAMPLES, examples[_i]);
    char *pods = read_all(path), *cluster = read_all(FOLDER "/all-makers.json");
    const size_t n = strlen(cluster) + strlen(pods) + 16;
    char *both = calloc(1, n);
    ck_assert_ptr_nonnull(both);
    (void)snprintf(both, n, "%s---\n%s", cluster, pods);
    story = examples[_i];
    fx_open(&fx, both, &options);
    all_nodes(nodes, 65);
    step_no = 0;
    rest = str_z(pods);
    for (struct str line; str_split(&rest, '\n', &line);) {
        /* a pod's name is what stands two deep in its metadata, in files written for readers */
        if (!str_has_prefix(line, STR("  name: ")))
            continue;
        char name[64];
        unsigned status;
        (void)snprintf(name, sizeof(name), "%.*s", (int)line.n - 8, line.p + 8);
        step_no++;
        json_t *answer =
            fx_call(&fx, "POST", "/filter", fx_args(&fx, "default", name, nodes), &status);
        const char *node =
            json_string_value(json_array_get(json_object_get(answer, "NodeNames"), 0));
        char *text = json_dumps(answer, JSON_COMPACT);
        must_be(node != NULL, "%s fits nowhere: %.1500s", name, text);
        free(text);
        json_t *bound =
            fx_call(&fx, "POST", "/bind", fx_bind_args(&fx, "default", name, node), &status);
        const char *error = json_string_value(json_object_get(bound, "Error"));
        must_be(!error || !*error, "%s on %s: %s", name, node, error);
        json_t *done = json_pack("{s:s,s:s}", "plugin", node, "pod", name);
        plugin(done);
        json_decref(done);
        json_decref(bound);
        json_decref(answer);
    }
    must_be(step_no > 0, "no pods");
    fx_close(&fx);
    free(both);
    free(cluster);
    free(pods);
}
END_TEST

static void find_examples(void)
{
    DIR *d = opendir(EXAMPLES);
    for (struct dirent *f; d && (f = readdir(d));)
        if (strlen(f->d_name) > 5 && strcmp(f->d_name + strlen(f->d_name) - 5, ".yaml") == 0 &&
            examples_n < 64)
            (void)snprintf(examples[examples_n++], sizeof(examples[0]), "%.60s", f->d_name);
    if (d)
        closedir(d);
}

static int by_name(const void *a, const void *b) { return strcmp(a, b); }

static void find_stories(void)
{
    DIR *makers = opendir(FOLDER);
    for (struct dirent *m; makers && (m = readdir(makers));) {
        char path[600];
        (void)snprintf(path, sizeof(path), "%s/%s", FOLDER, m->d_name);
        DIR *maker = m->d_name[0] == '.' ? NULL : opendir(path);
        for (struct dirent *f; maker && (f = readdir(maker));) {
            const size_t n = strlen(f->d_name);
            if (n < 5 || strcmp(f->d_name + n - 5, ".json") != 0 || stories_n == STORIES_MAX)
                continue;
            (void)snprintf(stories[stories_n++], sizeof(stories[0]), "%.100s/%.100s", m->d_name,
                           f->d_name);
        }
        if (maker)
            closedir(maker);
    }
    if (makers)
        closedir(makers);
    qsort(stories, (size_t)stories_n, sizeof(stories[0]), by_name);
}

int main(void)
{
    find_stories();
    find_examples();
    Suite *s = suite_create("makers");
    TCase *tc = tcase_create("stories");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_story, 0, 2 * stories_n);
    tcase_add_loop_test(tc, an_example, 0, examples_n);
    suite_add_tcase(s, tc);
    SRunner *runner = srunner_create(s);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0 || stories_n == 0 || examples_n < 13 || stories_n == STORIES_MAX;
}
