/* YAML and JSON texts, and cluster files: what is read, how it is typed, and what is refused at
 * which place. */
#include "check_kube_util.h"

#include "kubeclient/priv.h"

/* ---- values ---- */

static const struct {
    const char *name, *yaml, *json; /* json: the array of documents */
} VALUES[] = {
    {"nothing", "", "[]"},
    {"only a comment", "# x\n", "[]"},
    {"an empty document", "---\n", "[null]"},
    {"a plain word", "a", "[\"a\"]"},
    {"true and false", "[true, True, TRUE, false, False, FALSE]",
     "[[true,true,true,false,false,false]]"},
    {"null in five ways", "[null, Null, NULL, ~, ]", "[[null,null,null,null]]"},
    {"an empty value is null", "a:\nb: 1\n", "[{\"a\":null,\"b\":1}]"},
    {"words of YAML 1.1 are words", "[yes, No, on, OFF, y, n, 1:30]",
     "[[\"yes\",\"No\",\"on\",\"OFF\",\"y\",\"n\",\"1:30\"]]"},
    {"integers", "[0, -1, +7, 9223372036854775807, -9223372036854775808]",
     "[[0,-1,7,9223372036854775807,-9223372036854775808]]"},
    {"hex and octal", "[0x1f, 0o17, 0x, 0o8]", "[[31,15,\"0x\",\"0o8\"]]"},
    {"beyond 64 bits is a float", "[18446744073709551615]", "[[1.8446744073709552e19]]"},
    {"floats", "[1.5, -0.25, .5, 5., 1e3, 1.5E-2]", "[[1.5,-0.25,0.5,5.0,1000.0,0.015]]"},
    {"not quite numbers", "[., +, -, 1e, 1.2.3, 1_000, 0b1, e3, 10Gi, 1.5Gi]",
     "[[\".\",\"+\",\"-\",\"1e\",\"1.2.3\",\"1_000\",\"0b1\",\"e3\",\"10Gi\",\"1.5Gi\"]]"},
    {"quoted is a string", "[\"1\", 'true', \"null\", '~', \"0123\", '.inf']",
     "[[\"1\",\"true\",\"null\",\"~\",\"0123\",\".inf\"]]"},
    {"tagged as a string", "[!!str 1, !!str true, ! 2]", "[[\"1\",\"true\",\"2\"]]"},
    {"block scalars are strings", "a: |\n  1\nb: >-\n  true\n",
     "[{\"a\":\"1\\n\",\"b\":\"true\"}]"},
    {"two documents", "a: 1\n---\nb: 2\n", "[{\"a\":1},{\"b\":2}]"},
    {"JSON", "{\"a\":[1,2.5,\"x\",null,true,{\"b\":{}}],\"c\":[]}",
     "[{\"a\":[1,2.5,\"x\",null,true,{\"b\":{}}],\"c\":[]}]"},
    {"JSON with tabs", "{\n\t\"a\":\t1,\n\t\"b\": [\n\t\t2\n\t]\n}\n", "[{\"a\":1,\"b\":[2]}]"},
    {"JSON escapes", "{\"a\":\"\\u003c\\n\\t\\\"\\\\\\/\"}", "[{\"a\":\"<\\n\\t\\\"\\\\/\"}]"},
    {"JSON surrogates", "{\"a\":\"\\ud83d\\ude00x\"}", "[{\"a\":\"\\ud83d\\ude00x\"}]"},
    {"JSON: an escaped backslash is no escape", "{\"a\":\"\\\\ud83d\\\\ude00\"}",
     "[{\"a\":\"\\\\ud83d\\\\ude00\"}]"},
    {"those breaks as escapes", "{\"a\":\"\\u0085\\u2028\"}", "[{\"a\":\"\\u0085\\u2028\"}]"},
    {"an anchor that nobody uses", "a: &x 1\n", "[{\"a\":1}]"},
    {"a quoted merge key is a key", "\"<<\": 1\n", "[{\"<<\":1}]"},
    {"a byte order mark",
     "\xef\xbb\xbf"
     "a: 1\n",
     "[{\"a\":1}]"},
};

START_TEST(reads_values)
{
    json_t *got = NULL;
    struct err err = {0};
    enum err_code rc = kube_yaml_parse(str_z(VALUES[_i].yaml), "f", &got, &err);
    ck_assert_msg(rc == ERR_OK, "%s: %s", VALUES[_i].name, err.text);
    json_t *want = json_loads(VALUES[_i].json, 0, NULL);
    ck_assert_msg(want != NULL, "%s: the row itself", VALUES[_i].name);
    char *text = json_dumps(got, JSON_COMPACT);
    ck_assert_msg(json_equal(got, want), "%s: got %s", VALUES[_i].name, text);
    free(text);
    json_decref(want);
    json_decref(got);
}
END_TEST

static const struct {
    const char *name, *yaml, *want; /* the whole text */
} FAULTS[] = {
    {"a duplicate key", "a: 1\nb: 2\na: 3\n", "f:3:1: key \"a\" is there twice"},
    {"a duplicate key within", "x:\n  a: 1\n  \"a\": 3\n", "f:3:3: key \"a\" is there twice"},
    {"an alias", "a: &x 1\nb: *x\n", "f:2:4: aliases are not read"},
    {"a merge key", "a: &x {b: 1}\nc:\n  <<: {d: 1}\n", "f:3:3: merge keys are not read"},
    {"a number as key", "1: a\n", "f:1:1: a key must be a string: quote it"},
    {"true as key", "a: {true: b}\n", "f:1:5: a key must be a string: quote it"},
    {"null as key", "~: b\n", "f:1:1: a key must be a string: quote it"},
    {"a list as key", "? [a]\n: b\n", "f:1:3: a key must be a string"},
    {"a map as key", "{{a: 1}: b}", "f:1:2: a key must be a string"},
    {"infinity", "a: .inf\n", "f:1:4: infinities and NaN have no form in JSON"},
    {"minus infinity", "a: -.Inf\n", "f:1:4: infinities and NaN have no form in JSON"},
    {"not a number", "a: .NaN\n", "f:1:4: infinities and NaN have no form in JSON"},
    {"leading zero", "mode: 0644\n",
     "f:1:7: a number with leading zeros can be read in two ways: quote it, or write 0o…"},
    {"too large a number", "a: 1e999\n", "f:1:4: a number out of range"},
    {"too long a number", "a: 11111111111111111111111111111111111111111111111111111111111111111\n",
     "f:1:4: a number of that many digits: quote it"},
    {"hex beyond 64 bits", "a: 0xffffffffffffffffff\n", "f:1:4: a number beyond 64 bits"},
    {"a tag", "a: !!binary aGk=\n", "f:1:4: tags other than !!str are not read"},
    {"a tag of the user's", "a: !x b\n", "f:1:4: tags other than !!str are not read"},
    {"a tag on a map", "a: !x {b: 1}\n", "f:1:4: tags other than !!str are not read"},
    {"a NUL", "a: \"x\\0y\"\n", "f:1:4: a NUL character"},
    {"a lone surrogate", "{\"a\":\"\\ud83d\"}",
     "f:1:9: found invalid Unicode character escape code"},
    {"a tab as indent", "a:\n\tb: 1\n", "f:2:1: found character that cannot start any token"},
    {"an open bracket", "a: [1, 2\n", "f:2:1: did not find expected ',' or ']'"},
    {"a closing bracket too many", "a: 1]\nb: ]\n", "f:2:4: did not find expected node content"},
    {"not indented", "a:\n  b: 1\n c: 2\n", "f:3:2: did not find expected key"},
    {"bytes that are not UTF-8", "a: 1\nb: \xff\n", "f:2:4: invalid leading UTF-8 octet"},
    {"a next-line character in JSON", "{\n \"a\": \"x\xc2\x85y\"}",
     "f:2:9: a line break of other worlds (U+0085, U+2028, U+2029): escape it"},
    {"a line separator", "a: 1\nb: \"\xe2\x80\xa8\"\n",
     "f:2:5: a line break of other worlds (U+0085, U+2028, U+2029): escape it"},
    {"a control character", "a: 1\nb: \x01\n", "f:2:4: control characters are not allowed"},
};

START_TEST(tells_faults)
{
    json_t *got = NULL;
    struct err err = {0};
    enum err_code rc = kube_yaml_parse(str_z(FAULTS[_i].yaml), "f", &got, &err);
    ck_assert_msg(rc == ERR_BAD_REQUEST, "%s: want a fault, got %s", FAULTS[_i].name,
                  err_class(rc)->name);
    ck_assert_msg(strcmp(err.text, FAULTS[_i].want) == 0, "%s: got \"%s\"", FAULTS[_i].name,
                  err.text);
    ck_assert_ptr_null(got);
}
END_TEST

/* `n` brackets of one kind around nothing. */
static enum err_code nested(size_t n, char open, char close)
{
    char text[512];
    struct err err = {0};
    json_t *got = NULL;
    memset(text, open, n);
    memset(text + n, close, n);
    enum err_code rc = kube_yaml_parse((struct str){text, 2 * n}, "f", &got, &err);
    json_decref(got);
    return rc;
}

START_TEST(bounds_depth)
{
    ck_assert_int_eq(nested(64, '[', ']'), ERR_OK);
    ck_assert_int_eq(nested(65, '[', ']'), ERR_BAD_REQUEST);
    char *deep = malloc(8 << 20);
    struct err err = {0};
    json_t *got = NULL;
    memset(deep, '[', 8 << 20);
    ck_assert_int_eq(kube_yaml_parse((struct str){deep, 8 << 20}, "f", &got, &err),
                     ERR_BAD_REQUEST);
    ck_assert_str_eq(err.text, "f:1:65: nested deeper than 64 levels");
    free(deep);
}
END_TEST

static const char SAMPLE[] =
    "# nodes and pods\n"
    "apiVersion: v1\n"
    "kind: List\n"
    "items:\n"
    "- apiVersion: v1\n"
    "  kind: Node\n"
    "  metadata:\n"
    "    name: n1\n"
    "    annotations: {\"a/b\": \"[{\\\"id\\\":\\\"\\u00fc\\\"}]\", c: 'it''s'}\n"
    "  status:\n"
    "    allocatable: {cpu: \"4\", memory: 8Gi}\n"
    "- {\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"p\", "
    "\"namespace\": \"ml\"}, \"spec\": {\"containers\": [{\"name\": \"c\"}]}}\n"
    "---\n"
    "apiVersion: v1\n"
    "kind: ResourceQuota\n"
    "metadata:\n"
    "  name: q\n"
    "  namespace: ml\n"
    "spec:\n"
    "  hard: {x: |\n"
    "      5\n"
    "    }\n";

static size_t objects(struct kube *k);

START_TEST(every_truncation)
{
    struct test_clock tc = {.wall = WALL_START};
    struct clock clock = test_clock_of(&tc);
    struct kube *k = NULL;
    struct kube_store *st = NULL;
    ck_ok(kube_store_new(NULL, &clock, &k, &st, why));
    size_t refused = 0;
    for (size_t n = 0; n < sizeof(SAMPLE); n++) {
        json_t *got = NULL;
        struct err err = {0};
        char *exact = malloc(n ? n : 1); /* nothing behind it, so that a sanitizer sees overreads */
        memcpy(exact, SAMPLE, n);
        enum err_code rc = kube_yaml_parse((struct str){exact, n}, "f", &got, &err);
        ck_assert_msg(rc == ERR_OK || rc == ERR_BAD_REQUEST, "%zu: %s", n, err.text);
        json_decref(got);
        char *path = test_file(exact, n);
        const char *paths[] = {path};
        struct kube_store *one = NULL;
        struct kube *ok = NULL;
        ck_ok(kube_store_new(NULL, &clock, &ok, &one, why));
        rc = kube_store_load(one, paths, 1, NULL, NULL, &err);
        if (rc) {
            refused++;
            ck_assert_uint_eq(objects(ok), 0);
        }
        kube_free(ok);
        (void)unlink(path);
        free(path);
        free(exact);
    }
    ck_assert_uint_gt(refused, 100);
    kube_free(k);
}
END_TEST

/* ---- cluster files ---- */

static enum err_code count_item(void *ctx, struct str object, struct err *err)
{
    (void)object;
    (void)err;
    ++*(size_t *)ctx;
    return ERR_OK;
}

static size_t objects(struct kube *k)
{
    size_t n = 0;
    struct kube_list_handler count = {.item = count_item, .ctx = &n};
    char rv[KUBE_RV_MAX];
    for (int kind = 0; kind < KUBE_KIND_COUNT_; kind++)
        ck_ok(kube_list(k, (enum kube_kind)kind, NULL, NULL, &count, rv, why));
    return n;
}

#define NODE "apiVersion: v1\nkind: Node\n"
#define POD  "apiVersion: v1\nkind: Pod\n"

static const struct {
    const char *name, *yaml;
    size_t objects, skipped;
    const char *fault; /* behind the file's name; NULL: loads */
} LOADS[] = {
    {"an empty file", "", 0, 0, NULL},
    {"empty documents", "---\n---\n", 0, 0, NULL},
    {"a List",
     "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Node, metadata: {name: a}}\n"
     "- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n",
     2, 0, NULL},
    {"a List without items", "apiVersion: v1\nkind: List\nitems: null\n", 0, 0, NULL},
    {"a list of one kind, as the API gives it",
     "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a, namespace: x}\n", 1, 0, NULL},
    {"a List in a List",
     "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: NodeList\n  items: [{metadata: "
     "{name: a}}]\n",
     1, 0, NULL},
    {"all four kinds",
     NODE "metadata: {name: a}\n---\n" POD "metadata: {name: a}\n---\napiVersion: v1\nkind: "
          "ResourceQuota\nmetadata: {name: a}\n---\napiVersion: coordination.k8s.io/v1\nkind: "
          "Lease\nmetadata: {name: a}\n",
     4, 0, NULL},
    {"other kinds are counted",
     "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\napiVersion: apps/v1\nkind: "
     "Deployment\n---\napiVersion: v1\nkind: Event\nmetadata: {name: e}\n---\napiVersion: "
     "metrics.k8s.io/v1beta1\nkind: Node\n",
     0, 4, NULL},
    {"the same name in two namespaces",
     POD "metadata: {name: a, namespace: x}\n---\n" POD "metadata: {name: a, namespace: y}\n", 2, 0,
     NULL},
    {"a scalar", "hello\n", 0, 0, "1:1: not a Kubernetes object: a map is wanted"},
    {"no kind", "apiVersion: v1\nmetadata: {name: a}\n", 0, 0, "1:1: an object without kind"},
    {"no apiVersion", "kind: Pod\nmetadata: {name: a}\n", 0, 0,
     "1:1: an object without apiVersion"},
    {"items is no list", "apiVersion: v1\nkind: List\nitems: {}\n", 0, 0,
     "1:1: the items of a List must be a list"},
    {"no metadata", "---\n" NODE, 0, 0, "2:1: Node without metadata"},
    {"no name", NODE "metadata: {}\n", 0, 0,
     "1:1: Node : metadata.name: Invalid value: \"\": a lower-case DNS name is wanted"},
    {"a name with capitals", NODE "metadata: {name: N1}\n", 0, 0,
     "1:1: Node N1: metadata.name: Invalid value: \"N1\": a lower-case DNS name is wanted"},
    {"a name that is a number", NODE "metadata: {name: 1}\n", 0, 0,
     "1:1: Node : metadata.name must be a string"},
    {"a node with a namespace", NODE "metadata: {name: a, namespace: x}\n", 0, 0,
     "1:1: Node a: metadata.namespace: Forbidden: a Node has no namespace"},
    {"the second of two in a List, by its place",
     "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Node\n  metadata: {name: a}\n"
     "- apiVersion: v1\n  kind: Node\n  metadata: {name: a}\n",
     0, 0, "7:3: Node \"a\" is there twice"},
    {"a pod twice",
     POD "metadata: {name: a}\n---\n" POD "metadata: {name: a, namespace: default}\n", 0, 0,
     "5:1: Pod \"default/a\" is there twice"},
    {"an annotation that is a number", NODE "metadata: {name: a, annotations: {x: 1}}\n", 0, 0,
     "1:1: Node a: metadata.annotations: the value of \"x\" must be a string"},
    {"a label value that is too long",
     NODE "metadata: {name: a, labels: {x: "
          "a234567890123456789012345678901234567890123456789012345678901234}}\n",
     0, 0,
     "1:1: Node a: metadata.labels: Invalid value: "
     "\"a234567890123456789012345678901234567890123456789012345678901234\": at most 63 of letters, "
     "digits, "
     "'-', '_', '.', the first and the last a letter or digit"},
    {"spec is a list", POD "metadata: {name: a}\nspec: []\n", 0, 0,
     "1:1: Pod a: spec must be a map"},
    {"containers is a map", POD "metadata: {name: a}\nspec: {containers: {}}\n", 0, 0,
     "1:1: Pod a: spec.containers must be a list of maps"},
    {"a container that is none", POD "metadata: {name: a}\nspec: {containers: [x]}\n", 0, 0,
     "1:1: Pod a: spec.containers must be a list of maps"},
    {"nodeName is a number", POD "metadata: {name: a}\nspec: {nodeName: 7}\n", 0, 0,
     "1:1: Pod a: spec.nodeName must be a string"},
    {"good ones before a broken one",
     NODE "metadata: {name: a}\n---\n" POD "metadata: {name: b}\n---\n{", 0, 0,
     "10:1: did not find expected node content"},
};

START_TEST(loads_files)
{
    struct test_clock tc = {.wall = WALL_START};
    struct clock clock = test_clock_of(&tc);
    struct kube *k = NULL;
    struct kube_store *st = NULL;
    struct err err = {0};
    size_t skipped = 99;
    ck_ok(kube_store_new(NULL, &clock, &k, &st, why));
    ck_ok(test_load(st, NODE "metadata: {name: before}\n", NULL, NULL, why));
    enum err_code rc = test_load(st, LOADS[_i].yaml, NULL, &skipped, &err);
    if (!LOADS[_i].fault) {
        ck_assert_msg(rc == ERR_OK, "%s: %s", LOADS[_i].name, err.text);
        ck_assert_msg(skipped == LOADS[_i].skipped, "%s: skipped %zu", LOADS[_i].name, skipped);
    } else {
        ck_assert_msg(rc == ERR_BAD_REQUEST, "%s: want a fault", LOADS[_i].name);
        const char *text = strchr(err.text, ':') ? strchr(err.text, ':') + 1 : err.text;
        ck_assert_msg(strcmp(text, LOADS[_i].fault) == 0, "%s: got \"%s\"", LOADS[_i].name, text);
        ck_assert_uint_eq(skipped, 99); /* results are untouched on failure */
    }
    ck_assert_msg(objects(k) == LOADS[_i].objects + 1, "%s: %zu objects", LOADS[_i].name,
                  objects(k) - 1);
    ck_assert_uint_eq(kube_store_writes(st), 0);
    kube_free(k);
}
END_TEST

START_TEST(fills_what_is_missing)
{
    struct test_clock tc = {.wall = WALL_START};
    struct clock clock = test_clock_of(&tc);
    struct kube *k = NULL;
    struct kube_store *st = NULL;
    ck_ok(kube_store_new(NULL, &clock, &k, &st, why));
    ck_ok(test_load(st,
                    "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a, labels: {}, "
                    "generateName: a-, resourceVersion: \"77\"}\n- metadata: {name: b, uid: given, "
                    "creationTimestamp: \"2026-01-01T00:00:00Z\"}\n  status: {phase: Running}\n",
                    NULL, NULL, why));
    json_t *a = test_get(k, KUBE_POD, "default", "a"), *b = test_get(k, KUBE_POD, "default", "b");
    ck_assert_str_eq(test_text_at(a, "/kind"), "Pod");
    ck_assert_str_eq(test_text_at(a, "/apiVersion"), "v1");
    ck_assert_str_eq(test_text_at(a, "/status/phase"), "Pending");
    ck_assert_str_eq(test_text_at(a, "/metadata/namespace"), "default");
    ck_assert_str_eq(test_text_at(a, "/metadata/generateName"), "a-");
    ck_assert_str_eq(test_text_at(a, "/metadata/resourceVersion"), "1");
    ck_assert_str_eq(test_text_at(a, "/metadata/creationTimestamp"), "2026-09-21T14:13:20Z");
    ck_assert_uint_eq(strlen(test_text_at(a, "/metadata/uid")), 36);
    ck_assert_ptr_null(test_at(a, "/metadata/labels"));
    ck_assert_str_eq(test_text_at(b, "/metadata/uid"), "given");
    ck_assert_str_eq(test_text_at(b, "/metadata/creationTimestamp"), "2026-01-01T00:00:00Z");
    ck_assert_str_eq(test_text_at(b, "/status/phase"), "Running");
    json_decref(a);
    json_decref(b);
    kube_free(k);
}
END_TEST

START_TEST(several_files_all_or_none)
{
    struct test_clock tc = {.wall = WALL_START};
    struct clock clock = test_clock_of(&tc);
    struct kube *k = NULL;
    struct kube_store *st = NULL;
    struct err err = {0};
    ck_ok(kube_store_new(&(struct kube_store_config){.objects_max = 3}, &clock, &k, &st, why));
    static const char *const TEXTS[] = {NODE "metadata: {name: a}\n", NODE "metadata: {name: b}\n",
                                        NODE "metadata: {name: a}\n"};
    char *path[3];
    for (int i = 0; i < 3; i++)
        path[i] = test_file(TEXTS[i], strlen(TEXTS[i]));
    const char *paths[] = {path[0], path[1], path[2]};
    ck_assert_int_eq(kube_store_load(st, paths, 3, NULL, NULL, &err), ERR_BAD_REQUEST);
    ck_assert_ptr_nonnull(strstr(err.text, path[2]));
    ck_assert_ptr_nonnull(strstr(err.text, "Node \"a\" is there twice"));
    ck_assert_uint_eq(objects(k), 0);
    const char *missing[] = {path[0], "/nonexistent/cluster.yaml"};
    ck_assert_int_eq(kube_store_load(st, missing, 2, NULL, NULL, &err), ERR_BAD_REQUEST);
    ck_assert_str_eq(err.text, "/nonexistent/cluster.yaml: No such file or directory");
    const char *folder[] = {"/tmp"};
    ck_assert_int_eq(kube_store_load(st, folder, 1, NULL, NULL, &err), ERR_BAD_REQUEST);
    ck_assert_uint_eq(objects(k), 0);
    ck_ok(kube_store_load(st, paths, 2, NULL, NULL, why));
    ck_assert_uint_eq(objects(k), 2);
    /* what is already there counts as well, and so does the limit */
    ck_assert_int_eq(kube_store_load(st, paths + 2, 1, NULL, NULL, &err), ERR_BAD_REQUEST);
    ck_assert_int_eq(test_load(st, NODE "metadata: {name: c}\n---\n" NODE "metadata: {name: d}\n",
                               NULL, NULL, &err),
                     ERR_TOO_LARGE);
    ck_assert_uint_eq(objects(k), 2);
    ck_ok(test_load(st, NODE "metadata: {name: c}\n", NULL, NULL, why));
    for (int i = 0; i < 3; i++) {
        (void)unlink(path[i]);
        free(path[i]);
    }
    kube_free(k);
}
END_TEST

/* Admission: what = 0 leaves alone, 1 sets a label, 2 refuses, 3 renames. */
static enum err_code mutate(void *ctx, const json_t *pod, json_t **ret, struct err *err)
{
    int what = *(int *)ctx;
    if (what == 2)
        return err_set(err, ERR_INVALID, "gpu count -1");
    if (what == 0)
        return ERR_OK;
    *ret = json_deep_copy(pod);
    json_object_set_new(test_at(*ret, "/metadata"), what == 1 ? "labels" : "name",
                        what == 1 ? json_pack("{s:s}", "admitted", "yes") : json_string("other"));
    return ERR_OK;
}

START_TEST(admits_pods)
{
    static const char TEXT[] = NODE "metadata: {name: a}\n---\n" POD "metadata: {name: p}\n";
    for (int what = 0; what < 4; what++) {
        struct test_clock tc = {.wall = WALL_START};
        struct clock clock = test_clock_of(&tc);
        struct kube *k = NULL;
        struct kube_store *st = NULL;
        struct err err = {0};
        struct kube_load_handler handler = {mutate, &what};
        ck_ok(kube_store_new(NULL, &clock, &k, &st, why));
        enum err_code rc = test_load(st, TEXT, &handler, NULL, &err);
        static const enum err_code WANT[] = {ERR_OK, ERR_OK, ERR_INVALID, ERR_INTERNAL};
        ck_assert_msg(rc == WANT[what], "%d: %s", what, err.text);
        ck_assert_uint_eq(objects(k), rc ? 0 : 2);
        if (what == 2)
            ck_assert_ptr_nonnull(strstr(err.text, ":5:1: Pod default/p: gpu count -1"));
        json_t *p = test_get(k, KUBE_POD, "default", "p");
        ck_assert_str_eq(test_text_at(p, "/metadata/labels/admitted"), what == 1 ? "yes" : "");
        json_decref(p);
        kube_free(k);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kube_yaml");
    TCase *tc = tcase_create("yaml");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, reads_values, 0, (int)COUNT(VALUES));
    tcase_add_loop_test(tc, tells_faults, 0, (int)COUNT(FAULTS));
    tcase_add_test(tc, bounds_depth);
    tcase_add_test(tc, every_truncation);
    suite_add_tcase(s, tc);
    tc = tcase_create("load");
    tcase_add_loop_test(tc, loads_files, 0, (int)COUNT(LOADS));
    tcase_add_test(tc, fills_what_is_missing);
    tcase_add_test(tc, several_files_all_or_none);
    tcase_add_test(tc, admits_pods);
    suite_add_tcase(s, tc);
    return test_run(s);
}
