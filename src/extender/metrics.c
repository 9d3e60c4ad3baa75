/* What is counted while serving: a histogram and statuses per verb, and plain counters. Counting
 * costs a few atomic additions; what the ledger can tell is not counted here but asked for when
 * somebody reads (exposition.c). */
#include "extender/priv.h"

#include <stdio.h>

/* ---- counting ---- */
static const int64_t BOUNDS_NS[] = {50000,      100000,     250000,    500000,     1000000,
                                    2500000,    5000000,    10000000,  25000000,   50000000,
                                    100000000,  250000000,  500000000, 1000000000, 2500000000,
                                    5000000000, 10000000000};
static const char *const BOUNDS_TEXT[] = {
    "0.00005", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025",
    "0.05",    "0.1",    "0.25",    "0.5",    "1",     "2.5",    "5",     "10"};
enum { BOUNDS_N = sizeof(BOUNDS_NS) / sizeof(BOUNDS_NS[0]) };
static const unsigned STATUSES[] = {200, 400, 403, 404, 405,
                                    413, 415, 500, 503}; /* the last slot: any other */
enum { STATUSES_N = sizeof(STATUSES) / sizeof(STATUSES[0]) };
static const char *const VERBS[EXT_VERB_COUNT_] = {
    [EXT_VERB_FILTER] = "filter",  [EXT_VERB_PRIORITIZE] = "prioritize",
    [EXT_VERB_BIND] = "bind",      [EXT_VERB_WEBHOOK] = "webhook",
    [EXT_VERB_API] = "api",        [EXT_VERB_PROBE] = "probe",
    [EXT_VERB_METRICS] = "metrics"};

struct verb_counts {
    _Atomic uint64_t buckets[BOUNDS_N + 1]; /* not cumulative; the last: beyond all bounds */
    _Atomic uint64_t sum_ns;
    _Atomic uint64_t statuses[STATUSES_N + 1];
};

struct ext_metrics {
    struct verb_counts verbs[EXT_VERB_COUNT_];
    _Atomic uint64_t counters[EXT_COUNTER_COUNT_];
};

struct ext_metrics *ext_metrics_new(void) { return calloc(1, sizeof(struct ext_metrics)); }

void ext_metrics_free(struct ext_metrics *m) { free(m); }

static void add(_Atomic uint64_t *to, uint64_t n)
{
    atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}
static unsigned long long get(const _Atomic uint64_t *from)
{
    return atomic_load_explicit(from, memory_order_relaxed);
}

void ext_metrics_verb(struct ext_metrics *m, enum ext_verb verb, unsigned status, int64_t ns)
{
    struct verb_counts *v = &m->verbs[verb];
    size_t bucket = 0, code = 0;
    while (bucket < BOUNDS_N && ns > BOUNDS_NS[bucket])
        bucket++;
    while (code < STATUSES_N && status != STATUSES[code])
        code++;
    add(&v->buckets[bucket], 1);
    add(&v->sum_ns, (uint64_t)ns);
    add(&v->statuses[code], 1);
}

void ext_metrics_count(struct ext_metrics *m, enum ext_counter c, uint64_t n)
{
    add(&m->counters[c], n);
}

/* ---- as text ---- */
static const struct {
    const char *name, *label, *help; /* label NULL: none; rows of one name stand together */
} COUNTERS[EXT_COUNTER_COUNT_] = {
    [EXT_FILTER_FITS] = {"cardinald_filter_total", "result=\"fits\"",
                         "filter calls by what came of them"},
    [EXT_FILTER_REFUSED] = {"cardinald_filter_total", "result=\"refused\"", NULL},
    [EXT_FILTER_PASSED] = {"cardinald_filter_total", "result=\"passed\"", NULL},
    [EXT_FILTER_ERRORS] = {"cardinald_filter_total", "result=\"error\"", NULL},
    [EXT_BIND_OK] = {"cardinald_bind_total", "result=\"ok\"", "bind calls by what came of them"},
    [EXT_BIND_JOINED] = {"cardinald_bind_total", "result=\"joined\"", NULL},
    [EXT_BIND_CONFLICT] = {"cardinald_bind_total", "result=\"conflict\"", NULL},
    [EXT_BIND_BUSY] = {"cardinald_bind_total", "result=\"busy\"", NULL},
    [EXT_BIND_ERRORS] = {"cardinald_bind_total", "result=\"error\"", NULL},
    [EXT_BIND_UNKNOWN] = {"cardinald_bind_total", "result=\"unknown\"", NULL},
    [EXT_WEBHOOK_UNCHANGED] = {"cardinald_webhook_total", "result=\"unchanged\"",
                               "reviews by what came of them"},
    [EXT_WEBHOOK_CHANGED] = {"cardinald_webhook_total", "result=\"changed\"", NULL},
    [EXT_WEBHOOK_REFUSED] = {"cardinald_webhook_total", "result=\"refused\"", NULL},
    [EXT_WEBHOOK_UNREADABLE] = {"cardinald_webhook_total", "result=\"unreadable\"", NULL},
    [EXT_WATCH_EVENTS] = {"cardinald_watch_events_total", NULL, "objects received by watches"},
    [EXT_RELISTS] = {"cardinald_relists_total", NULL,
                     "lists made from the start; more than one a kind: a watch could not go on"},
    [EXT_DECODE_ERRORS] = {"cardinald_decode_errors_total", NULL,
                           "objects of the API that could not be read"},
    [EXT_LABELS] = {"cardinald_labels_total", NULL,
                    "bound pods labelled because the API server took no label from the Binding"},
    [EXT_WAKES] = {"cardinald_wakes_total", NULL, "waiting pods touched because they fit now"},
    [EXT_REJECTED_BODY] = {"cardinald_rejected_total", "why=\"body\"",
                           "requests and connections turned away"},
    [EXT_REJECTED_BUSY] = {"cardinald_rejected_total", "why=\"busy\"", NULL},
    [EXT_REJECTED_SLOW] = {"cardinald_rejected_total", "why=\"slow\"", NULL},
    [EXT_REJECTED_PEER] = {"cardinald_rejected_total", "why=\"peer\"", NULL},
};

void ext_metrics_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_fmt(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_verbs(const struct ext_metrics *m, struct buf *out)
{
    const char *name = "cardinald_verb_duration_seconds";
    ext_metrics_head(out, name, "histogram",
                     "from a request's complete header to its answer, by verb");
    for (size_t v = 0; v < EXT_VERB_COUNT_; v++) {
        unsigned long long sum = 0;
        for (size_t i = 0; i < BOUNDS_N; i++) {
            sum += get(&m->verbs[v].buckets[i]);
            buf_fmt(out, "%s_bucket{verb=\"%s\",le=\"%s\"} %llu\n", name, VERBS[v], BOUNDS_TEXT[i],
                    sum);
        }
        sum += get(&m->verbs[v].buckets[BOUNDS_N]);
        unsigned long long ns = get(&m->verbs[v].sum_ns);
        buf_fmt(out, "%s_bucket{verb=\"%s\",le=\"+Inf\"} %llu\n", name, VERBS[v], sum);
        buf_fmt(out, "%s_sum{verb=\"%s\"} %llu.%09llu\n", name, VERBS[v], ns / 1000000000,
                ns % 1000000000);
        buf_fmt(out, "%s_count{verb=\"%s\"} %llu\n", name, VERBS[v], sum);
    }
    name = "cardinald_verb_answers_total";
    ext_metrics_head(out, name, "counter", "answers by verb and status");
    for (size_t v = 0; v < EXT_VERB_COUNT_; v++) {
        for (size_t i = 0; i <= STATUSES_N; i++) {
            unsigned long long n = get(&m->verbs[v].statuses[i]);
            char status[8] = "other";
            if (n == 0)
                continue;
            if (i < STATUSES_N)
                (void)snprintf(status, sizeof(status), "%u", STATUSES[i]);
            buf_fmt(out, "%s{verb=\"%s\",code=\"%s\"} %llu\n", name, VERBS[v], status, n);
        }
    }
}

void ext_metrics_text(const struct ext_metrics *m, struct buf *out)
{
    write_verbs(m, out);
    for (size_t i = 0; i < EXT_COUNTER_COUNT_; i++) {
        if (COUNTERS[i].help)
            ext_metrics_head(out, COUNTERS[i].name, "counter", COUNTERS[i].help);
        unsigned long long n = get(&m->counters[i]);
        if (COUNTERS[i].label)
            buf_fmt(out, "%s{%s} %llu\n", COUNTERS[i].name, COUNTERS[i].label, n);
        else
            buf_fmt(out, "%s %llu\n", COUNTERS[i].name, n);
    }
}
