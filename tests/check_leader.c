/* Who leads (docs/design/leadership.md): the pure steps by tables, the keeper over the in-process
 * API store on virtual time and in its own threads. */
#include "base/log.h"
#include "check_kube_util.h"
#include "fail_alloc.h"
#include "lease/priv.h"
#include "outcomes.h"

#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <time.h>

/* ---- names ---- */

static const struct {
    const char *name, *holder, *host;
    bool want;
} HOLDERS[] = {
    {"host and uuid", "node1_5f2c1a", "node1", true},
    {"core_defect_c26: a host whose name is a prefix", "node10_5f2c1a", "node1", false},
    {"core_defect_c26: a host whose name is longer", "node1_5f2c1a", "node10", false},
    {"up to the last underscore", "my_host_5f2c1a", "my_host", true},
    {"not up to the first", "my_host_5f2c1a", "my", false},
    {"no underscore: as a whole", "node1", "node1", true},
    {"no underscore: no prefix", "node10", "node1", false},
    {"empty uuid", "node1_", "node1", true},
    {"empty holder", "", "node1", false},
    {"empty host", "_5f2c1a", "", false},
    {"nothing at all", "", "", false},
    {"other case", "Node1_5f2c1a", "node1", false},
};
START_TEST(holders)
{
    bool got = lease_holder_is_host(str_z(HOLDERS[_i].holder), str_z(HOLDERS[_i].host));
    ck_assert_msg(got == HOLDERS[_i].want, "%s: got %d", HOLDERS[_i].name, got);
}
END_TEST

START_TEST(uuids_differ)
{
    char a[LEASE_UUID_MAX], b[LEASE_UUID_MAX];
    ck_assert(lease_uuid(a, NULL) == ERR_OK && lease_uuid(b, NULL) == ERR_OK);
    ck_assert_uint_eq(strlen(a), LEASE_UUID_MAX - 1);
    ck_assert_int_eq(a[14], '4');
    ck_assert_str_ne(a, b);
}
END_TEST

/* ---- the record ---- */

#define NEVER INT64_MIN
/* clang-format off */
#define META  "\"metadata\":{\"name\":\"l\",\"uid\":\"u-1\",\"resourceVersion\":\"42\"}"
static const struct {
    const char *name, *object;
    struct lease_record want;
} RECORDS[] = {
    {"as kube-scheduler writes it",
     "{" META ",\"spec\":{\"holderIdentity\":\"h_1\",\"leaseDurationSeconds\":15,"
     "\"acquireTime\":\"2026-11-22T03:00:00.000001Z\",\"renewTime\":\"2026-11-22T03:44:05.999999Z\","
     "\"leaseTransitions\":7}}",
     {.holder = "h_1", .uid = "u-1", .version = 42, .duration_s = 15, .transitions = 7,
      .acquire_s = 1795316400, .renew_s = 1795319045}},
    {"no spec", "{" META "}",
     {.uid = "u-1", .version = 42, .acquire_s = NEVER, .renew_s = NEVER}},
    {"null members", "{" META ",\"spec\":{\"holderIdentity\":null,\"leaseDurationSeconds\":null,\"renewTime\":null}}",
     {.uid = "u-1", .version = 42, .acquire_s = NEVER, .renew_s = NEVER}},
    {"other types", "{" META ",\"spec\":{\"holderIdentity\":7,\"leaseDurationSeconds\":\"15\",\"renewTime\":[],\"leaseTransitions\":1.5}}",
     {.uid = "u-1", .version = 42, .acquire_s = NEVER, .renew_s = NEVER}},
    {"numbers out of range", "{" META ",\"spec\":{\"leaseDurationSeconds\":-3,\"leaseTransitions\":99999999999}}",
     {.uid = "u-1", .version = 42, .transitions = INT32_MAX, .acquire_s = NEVER, .renew_s = NEVER}},
    {"a version that is no number", "{\"metadata\":{\"resourceVersion\":\"a1\"}}",
     {.acquire_s = NEVER, .renew_s = NEVER}},
    {"an offset instead of Z, and before 1970", "{\"spec\":{\"renewTime\":\"2026-11-22T04:44:05.000000+01:00\",\"acquireTime\":\"1969-12-31T23:59:59.500000Z\"}}",
     {.acquire_s = -1, .renew_s = 1795319045}},
};
/* clang-format on */
static bool same_record(const struct lease_record *got, const struct lease_record *want)
{
    return got->there && !got->long_holder && !strcmp(got->holder, want->holder) &&
           !strcmp(got->uid, want->uid) && got->version == want->version &&
           got->duration_s == want->duration_s && got->transitions == want->transitions &&
           got->acquire_s == want->acquire_s && got->renew_s == want->renew_s;
}
START_TEST(records)
{
    struct lease_record got;
    struct err err = {0};
    enum err_code rc = lease_record_decode(str_z(RECORDS[_i].object), &got, &err);
    const struct lease_record *want = &RECORDS[_i].want;
    ck_assert_msg(!rc, "%s: %s", RECORDS[_i].name, err.text);
    ck_assert_msg(
        same_record(&got, want),
        "%s: holder %s, duration %" PRId64 ", transitions %" PRId64 ", times %" PRId64 " %" PRId64,
        RECORDS[_i].name, got.holder, got.duration_s, got.transitions, got.acquire_s, got.renew_s);
}
END_TEST

START_TEST(no_records)
{
    static const char *const BAD[] = {"", "{", "[]", "7", "{\"spec\":{}}x"};
    struct lease_record r;
    for (size_t i = 0; i < COUNT(BAD); i++)
        ck_assert_msg(lease_record_decode(str_z(BAD[i]), &r, NULL) == ERR_BAD_REQUEST, "%s",
                      BAD[i]);
}
END_TEST

/* A holder that does not fit must not become the holder that its first bytes name. */
START_TEST(long_holder)
{
    char text[1024], name[LEASE_HOLDER_MAX];
    memset(name, 'x', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    (void)snprintf(text, sizeof(text), "{\"spec\":{\"holderIdentity\":\"%s_1\"}}", name);
    struct lease_record r;
    ck_assert(lease_record_decode(str_z(text), &r, NULL) == ERR_OK);
    struct lease_rules own = {.own = true, .identity = str_z(name)};
    ck_assert(r.long_holder && !lease_is_mine(&own, &r));
}
END_TEST

/* ---- what was seen, what follows: stories on virtual time ---- */

/* clang-format off */
enum op_kind { END, EVENT, READ, WROTE, BEAT, STOPPED, LEADS, WRITES, DOUBT, TERM, NEXT, DONE };
struct op {
    enum op_kind kind;
    int64_t at, want; /* at: ms; want: LEADS, WRITES, DOUBT: bool; TERM: number; NEXT: until */
    struct lease_record record;
    enum lease_do what;
    enum err_code rc;
    int64_t start;
};
#define REC(h, t, renew, v)                                                                        \
    {.there = true, .holder = (h), .uid = "u", .duration_s = 15, .transitions = (t),               \
     .acquire_s = 1000, .renew_s = (renew), .version = (v)}
#define GONE(v)               {.version = (v), .acquire_s = NEVER, .renew_s = NEVER}
#define ON_EVENT(t, ...)      {.kind = EVENT, .at = (t), .record = __VA_ARGS__}
#define ON_READ(from, t, ...) {.kind = READ, .start = (from), .at = (t), .record = __VA_ARGS__}
#define ON_WRITE(from, t, ...) {.kind = WROTE, .start = (from), .at = (t), .record = __VA_ARGS__}
#define ON_BEAT(t)            {.kind = BEAT, .at = (t)}
#define ON_STOP(until)        {.kind = STOPPED, .at = (until)}
#define IS(k, t, w)           {.kind = (k), .at = (t), .want = (w)}
#define ON_NEXT(t, w, until)  {.kind = NEXT, .at = (t), .what = (w), .want = (until)}
#define ON_DONE(t, w, code)   {.kind = DONE, .at = (t), .what = (w), .rc = (code)}

/* Our host is node1 in follow mode, our identity me_1 in own mode; lease 15 s, renewal until 10 s,
 * retry 2 s, writes 2 s. Time begins at 0. The process runs between the steps, but for STOPPED:
 * until `at`. */
static const struct story {
    const char *name;
    bool own;
    struct op ops[24];
} STORIES[] = {
    {"follow: a renewal that we saw counts for two thirds, exactly", false,
     {ON_READ(0, 0, REC("node1_a", 3, 50, 10)), IS(LEADS, 0, 1), IS(TERM, 0, 1),
      ON_EVENT(1000, REC("node1_a", 3, 51, 11)), IS(WRITES, 1999, 0), IS(WRITES, 2000, 1),
      IS(WRITES, 10999, 1), IS(WRITES, 11000, 0), IS(LEADS, 15999, 1), IS(LEADS, 16000, 0)}},
    {"follow: what we did not see happen is no renewal", false,
     {ON_READ(0, 0, REC("node1_a", 3, 50, 10)), IS(LEADS, 14999, 1), IS(LEADS, 15000, 0),
      IS(WRITES, 2500, 0), IS(WRITES, 9000, 0)}},
    {"follow: somebody else's", false,
     {ON_READ(0, 0, REC("node2_a", 3, 50, 10)), ON_EVENT(1000, REC("node2_a", 3, 52, 11)),
      IS(LEADS, 1000, 0), IS(WRITES, 4000, 0), IS(TERM, 4000, 0)}},
    {"core_defect_c26 follow: node10 holds it, we are node1", false,
     {ON_READ(0, 0, REC("node10_a", 3, 50, 10)), ON_EVENT(1000, REC("node10_a", 3, 52, 11)),
      IS(LEADS, 1000, 0), IS(TERM, 1000, 0)}},
    {"follow: takes over by an event, filters at once, writes two seconds later", false,
     {ON_READ(0, 0, REC("node2_a", 3, 50, 10)), ON_EVENT(4000, REC("node1_b", 4, 54, 11)),
      IS(LEADS, 4000, 1), IS(WRITES, 4000, 0), IS(WRITES, 5999, 0), IS(WRITES, 6000, 1),
      IS(WRITES, 13999, 1), IS(WRITES, 14000, 0)}},
    {"follow: loses it", false,
     {ON_READ(0, 0, REC("node1_a", 3, 50, 10)), ON_EVENT(2000, REC("node1_a", 3, 52, 11)),
      IS(WRITES, 2000, 1), ON_EVENT(2500, REC("node2_b", 4, 52, 12)), IS(WRITES, 2500, 0),
      IS(LEADS, 2500, 0), IS(TERM, 2500, 1)}},
    {"follow: released (holder empty)", false,
     {ON_READ(0, 0, REC("node1_a", 3, 50, 10)), ON_EVENT(2000, REC("node1_a", 3, 52, 11)),
      ON_EVENT(2500, REC("", 3, 53, 12)), IS(LEADS, 2500, 0), IS(WRITES, 2500, 0)}},
    {"follow: deleted", false,
     {ON_READ(0, 0, REC("node1_a", 3, 50, 10)), ON_EVENT(2000, REC("node1_a", 3, 52, 11)),
      ON_EVENT(2500, GONE(12)), IS(LEADS, 2500, 0), IS(WRITES, 2500, 0)}},
    {"follow: there is none, then it is ours", false,
     {ON_READ(0, 0, GONE(0)), IS(LEADS, 0, 0), ON_EVENT(3000, REC("node1_a", 0, 53, 12)),
      IS(LEADS, 3000, 1), IS(WRITES, 4999, 0), IS(WRITES, 5000, 1)}},
    {"follow: another process of the same host is a new term", false,
     {ON_READ(0, 0, REC("node1_a", 3, 50, 10)), ON_EVENT(3000, REC("node1_a", 3, 52, 11)),
      IS(WRITES, 3000, 1), ON_EVENT(3500, REC("node1_b", 4, 53, 12)), IS(TERM, 3500, 2),
      IS(LEADS, 3500, 1), IS(WRITES, 5499, 0), IS(WRITES, 5500, 1)}},
    {"follow: the same holder, but somebody was between (transitions)", false,
     {ON_READ(0, 0, REC("node1_a", 3, 50, 10)), ON_EVENT(3000, REC("node1_a", 5, 52, 20)),
      IS(TERM, 3000, 2), IS(WRITES, 4999, 0), IS(WRITES, 5000, 1)}},
    {"follow: expired and renewed by the same holder: nobody was between", false,
     {ON_READ(0, 0, REC("node1_a", 3, 50, 10)), ON_EVENT(1000, REC("node1_a", 3, 51, 11)),
      IS(LEADS, 16000, 0), ON_READ(16000, 16000, REC("node1_a", 3, 51, 11)),
      ON_EVENT(16100, REC("node1_a", 3, 66, 12)), IS(LEADS, 16100, 1), IS(TERM, 16100, 1),
      IS(WRITES, 16100, 1), IS(WRITES, 26100, 0)}},
    {"follow: changes within one second are none", false,
     {ON_READ(0, 0, REC("node1_a", 3, 50, 10)), ON_EVENT(1000, REC("node1_a", 3, 51, 11)),
      ON_EVENT(1900, REC("node1_a", 3, 51, 12)), IS(WRITES, 10999, 1), IS(WRITES, 11000, 0),
      IS(LEADS, 16000, 0)}},
    {"follow: the holder's clock jumps back an hour: a change like any other", false,
     {ON_READ(0, 0, REC("node1_a", 3, 90000, 10)), ON_EVENT(2000, REC("node1_a", 3, 86400, 11)),
      IS(WRITES, 11999, 1), IS(WRITES, 12000, 0), IS(LEADS, 16999, 1), IS(LEADS, 17000, 0)}},
    {"follow: an older event after a read says nothing", false,
     {ON_READ(0, 0, REC("node1_a", 3, 50, 10)), ON_READ(1000, 1010, REC("node2_b", 4, 51, 15)),
      ON_EVENT(1020, REC("node1_a", 3, 51, 12)), IS(LEADS, 1020, 0),
      ON_EVENT(1030, REC("node2_b", 4, 51, 15)), IS(LEADS, 1030, 0)}},
    {"follow: a slow read is overtaken by an event", false,
     {ON_READ(0, 0, REC("node1_a", 3, 50, 10)), ON_EVENT(1000, REC("node2_b", 4, 51, 15)),
      ON_READ(900, 1010, REC("node1_a", 3, 50, 10)), IS(LEADS, 1010, 0)}},
    {"follow: a server restored from a backup counts from a smaller number", false,
     {ON_READ(0, 0, REC("node2_a", 9, 50, 900)), ON_READ(5000, 5010, REC("node1_a", 3, 40, 100)),
      IS(LEADS, 5010, 1), ON_EVENT(6000, REC("node1_a", 3, 42, 101)), IS(WRITES, 7010, 1)}},
    {"follow: after a pause the events that waited are old ones", false,
     {ON_READ(0, 0, REC("node1_a", 3, 50, 10)), ON_EVENT(2000, REC("node1_a", 3, 52, 11)),
      IS(WRITES, 2000, 1), ON_STOP(13000), IS(WRITES, 13000, 0), ON_EVENT(13000, REC("node1_a", 3, 54, 12)), IS(DOUBT, 13000, 1),
      IS(WRITES, 13000, 0), ON_EVENT(13000, REC("node1_a", 3, 56, 13)), IS(WRITES, 13000, 0),
      ON_EVENT(13001, REC("node2_b", 4, 57, 14)), IS(LEADS, 13001, 0)}},
    {"follow: after a pause shorter than the deadline too", false,
     {ON_READ(0, 0, REC("node1_a", 3, 50, 10)), ON_EVENT(2000, REC("node1_a", 3, 52, 11)),
      ON_STOP(9000), ON_BEAT(9000), IS(DOUBT, 9000, 1), ON_EVENT(9000, REC("node1_a", 3, 54, 12)),
      IS(WRITES, 11999, 1), IS(WRITES, 12000, 0), /* from 2 s, not from 9 s */
      ON_READ(9100, 9150, REC("node1_a", 3, 58, 15)), IS(DOUBT, 9150, 0), IS(WRITES, 12000, 0),
      ON_EVENT(10000, REC("node1_a", 3, 60, 16)), IS(WRITES, 19999, 1), IS(WRITES, 20000, 0)}},
    {"follow: a read that took long leaves the doubt", false,
     {ON_READ(0, 0, REC("node1_a", 3, 50, 10)), ON_EVENT(2000, REC("node1_a", 3, 52, 11)),
      ON_READ(2500, 4001, REC("node1_a", 3, 54, 12)), IS(DOUBT, 4001, 0), ON_STOP(9000),
      ON_BEAT(9000), ON_READ(9000, 10501, REC("node1_a", 3, 58, 14)), IS(DOUBT, 10501, 1),
      ON_READ(10501, 12001, REC("node1_a", 3, 60, 15)), IS(DOUBT, 12001, 0)}},
    {"follow: silence for a third of the duration is doubt", false,
     {ON_READ(0, 0, REC("node1_a", 3, 50, 10)), ON_EVENT(1000, REC("node1_a", 3, 51, 11)),
      ON_BEAT(6000), IS(DOUBT, 6000, 0),
      ON_BEAT(6001), IS(DOUBT, 6001, 1)}},
    {"follow: nobody's Lease may be silent", false,
     {ON_READ(0, 0, REC("", 3, 50, 10)), ON_BEAT(60000), IS(DOUBT, 60000, 0)}},
    {"follow: a duration of nothing", false,
     {ON_READ(0, 0, {.there = true, .holder = "node1_a", .uid = "u", .renew_s = 1, .version = 1}),
      IS(LEADS, 0, 0), IS(WRITES, 2000, 0)}},
    {"follow: a duration too short for our writes", false,
     {ON_READ(0, 0, {.there = true, .holder = "node1_a", .uid = "u", .duration_s = 3, .renew_s = 1, .version = 1}),
      ON_EVENT(900, {.there = true, .holder = "node1_a", .uid = "u", .duration_s = 3, .renew_s = 2, .version = 2}),
      ON_EVENT(1800, {.there = true, .holder = "node1_a", .uid = "u", .duration_s = 3, .renew_s = 3, .version = 3}),
      ON_EVENT(2700, {.there = true, .holder = "node1_a", .uid = "u", .duration_s = 3, .renew_s = 4, .version = 4}),
      IS(WRITES, 3699, 1), IS(WRITES, 3700, 0), IS(LEADS, 5699, 1)}},
    {"follow: the Lease was made anew between two looks", false,
     {ON_READ(0, 0, REC("node1_a", 0, 50, 10)),
      ON_EVENT(3000, {.there = true, .holder = "node1_a", .uid = "v", .duration_s = 15, .renew_s = 53, .version = 20}),
      IS(TERM, 3000, 2), IS(WRITES, 4999, 0), IS(WRITES, 5000, 1)}},
    {"own: nothing there, creates, leads after the answer", true,
     {ON_NEXT(0, LEASE_READ, 0), ON_READ(0, 10, GONE(0)), ON_DONE(10, LEASE_READ, ERR_OK),
      ON_NEXT(10, LEASE_CREATE, 10), IS(LEADS, 10, 0), ON_WRITE(10, 30, REC("me_1", 0, 50, 5)),
      ON_DONE(30, LEASE_CREATE, ERR_OK), IS(LEADS, 30, 1), IS(WRITES, 2029, 0),
      IS(WRITES, 2030, 1), ON_NEXT(30, LEASE_WAIT, 2030), ON_NEXT(2030, LEASE_WRITE, 2030),
      IS(WRITES, 10009, 1), IS(WRITES, 10010, 0), IS(LEADS, 10010, 0)}},
    {"own: held by another: waits until its duration since the change, exactly", true,
     {ON_READ(0, 0, REC("you_1", 3, 50, 10)), ON_DONE(0, LEASE_READ, ERR_OK),
      ON_NEXT(0, LEASE_WAIT, 15000), ON_EVENT(1000, REC("you_1", 3, 51, 11)),
      ON_NEXT(15000, LEASE_WAIT, 16000), ON_NEXT(15999, LEASE_WAIT, 16000),
      ON_NEXT(16000, LEASE_WRITE, 16000), IS(LEADS, 16000, 0)}},
    {"own: its duration counts, not ours", true,
     {ON_READ(0, 0, {.there = true, .holder = "you_1", .uid = "u", .duration_s = 60, .version = 1}),
      ON_DONE(0, LEASE_READ, ERR_OK), ON_NEXT(16000, LEASE_WAIT, 60000)}},
    {"own: a second change within one second does not count", true,
     {ON_READ(0, 0, REC("you_1", 3, 50, 10)), ON_DONE(0, LEASE_READ, ERR_OK),
      ON_EVENT(900, REC("you_1", 3, 50, 11)), ON_NEXT(1000, LEASE_WAIT, 15000)}},
    {"own: released: at once, whatever pause there was", true,
     {ON_READ(0, 0, REC("you_1", 3, 50, 10)), ON_DONE(0, LEASE_WRITE, ERR_CONFLICT),
      ON_DONE(0, LEASE_WRITE, ERR_CONFLICT), ON_DONE(0, LEASE_READ, ERR_UNAVAILABLE),
      ON_EVENT(100, {.there = true, .uid = "u", .duration_s = 1, .transitions = 3, .renew_s = 51, .version = 12}),
      ON_NEXT(100, LEASE_READ, 100), ON_READ(100, 110, REC("", 3, 51, 12)),
      ON_DONE(110, LEASE_READ, ERR_OK), ON_NEXT(110, LEASE_WRITE, 110)}},
    {"own: deleted: creates at once", true,
     {ON_READ(0, 0, REC("you_1", 3, 50, 10)), ON_DONE(0, LEASE_READ, ERR_OK),
      ON_EVENT(100, GONE(12)), ON_NEXT(100, LEASE_CREATE, 100)}},
    {"own: lost the race: looks, and waits for the winner", true,
     {ON_READ(0, 0, REC("", 3, 50, 10)), ON_DONE(0, LEASE_READ, ERR_OK),
      ON_NEXT(0, LEASE_WRITE, 0), ON_DONE(20, LEASE_WRITE, ERR_CONFLICT),
      ON_NEXT(20, LEASE_READ, 20), ON_READ(20, 30, REC("you_1", 4, 50, 11)),
      ON_DONE(30, LEASE_READ, ERR_OK), ON_NEXT(30, LEASE_WAIT, 15030), IS(LEADS, 30, 0)}},
    {"own: the second failure in a row pauses", true,
     {ON_READ(0, 0, REC("", 3, 50, 10)), ON_DONE(0, LEASE_READ, ERR_OK),
      ON_DONE(20, LEASE_WRITE, ERR_UNKNOWN), ON_NEXT(20, LEASE_READ, 20),
      ON_READ(20, 30, REC("", 3, 50, 10)), ON_DONE(30, LEASE_READ, ERR_OK),
      ON_NEXT(30, LEASE_WRITE, 30), ON_DONE(40, LEASE_WRITE, ERR_UNKNOWN),
      ON_NEXT(40, LEASE_WAIT, 2040)}},
    {"own: renews every retry period; a failed renewal is looked at and tried again", true,
     {ON_READ(0, 0, GONE(0)), ON_DONE(0, LEASE_READ, ERR_OK),
      ON_WRITE(0, 0, REC("me_1", 0, 50, 5)), ON_DONE(0, LEASE_CREATE, ERR_OK),
      ON_NEXT(2000, LEASE_WRITE, 2000), ON_DONE(4000, LEASE_WRITE, ERR_UNKNOWN),
      ON_NEXT(4000, LEASE_READ, 4000), ON_READ(4000, 4010, REC("me_1", 0, 52, 6)),
      ON_DONE(4010, LEASE_READ, ERR_OK), ON_NEXT(4010, LEASE_WRITE, 4010),
      IS(WRITES, 9999, 1), IS(WRITES, 10000, 0), /* the read proves 0 s only: nobody saw when */
      ON_WRITE(4010, 4020, REC("me_1", 0, 54, 7)), IS(WRITES, 14009, 1), IS(WRITES, 14010, 0)}},
    {"own: renewals all fail: over at the renew deadline, not at the lease's end", true,
     {ON_READ(0, 0, GONE(0)), ON_DONE(0, LEASE_READ, ERR_OK),
      ON_WRITE(0, 0, REC("me_1", 0, 50, 5)), ON_DONE(0, LEASE_CREATE, ERR_OK),
      ON_DONE(2000, LEASE_WRITE, ERR_UNAVAILABLE), ON_DONE(2000, LEASE_READ, ERR_UNAVAILABLE),
      ON_NEXT(2000, LEASE_WAIT, 4000), IS(WRITES, 9999, 1), IS(LEADS, 9999, 1),
      IS(WRITES, 10000, 0), IS(LEADS, 10000, 0)}},
    {"own: another took it while we stood still", true,
     {ON_READ(0, 0, GONE(0)), ON_DONE(0, LEASE_READ, ERR_OK),
      ON_WRITE(0, 0, REC("me_1", 0, 50, 5)), ON_DONE(0, LEASE_CREATE, ERR_OK),
      IS(WRITES, 60000, 0), IS(LEADS, 60000, 0), ON_NEXT(60000, LEASE_WRITE, 60000),
      ON_DONE(60010, LEASE_WRITE, ERR_CONFLICT), ON_NEXT(60010, LEASE_READ, 60010),
      ON_READ(60010, 60020, REC("you_1", 1, 80, 9)), ON_DONE(60020, LEASE_READ, ERR_OK),
      ON_NEXT(60020, LEASE_WAIT, 75020), IS(LEADS, 60020, 0), IS(TERM, 60020, 1)}},
    {"own: a prefix of our identity is somebody else", true,
     {ON_READ(0, 0, REC("me_", 3, 50, 10)), IS(LEADS, 0, 0), ON_DONE(0, LEASE_READ, ERR_OK),
      ON_NEXT(0, LEASE_WAIT, 15000)}},
    {"own: the watch is faster than the answer: counted from the sending", true,
     {ON_READ(0, 0, GONE(0)), ON_DONE(0, LEASE_READ, ERR_OK),
      ON_EVENT(400, REC("me_1", 0, 50, 5)), ON_WRITE(100, 500, REC("me_1", 0, 50, 5)),
      IS(WRITES, 10099, 1), IS(WRITES, 10100, 0)}},
};

/* clang-format on */

static void run_story(const struct story *st)
{
    struct lease_rules r = {.own = st->own,
                            .identity = st->own ? STR("me_1") : STR("node1"),
                            .write_ms = 2000,
                            .duration_ms = 15000,
                            .renew_deadline_ms = 10000,
                            .retry_ms = 2000};
    struct lease_state s;
    lease_state_init(&s, 0);
    int64_t ran = 0;
    for (size_t i = 0; i < COUNT(st->ops) && st->ops[i].kind != END; i++) {
        const struct op *op = &st->ops[i];
        struct lease_lead lead = lease_lead_at(&s, &r, op->at);
        struct lease_next next;
        int64_t got = op->want;
        if (op->kind < STOPPED)
            for (; ran + LEASE_BEAT_MS < op->at; ran += LEASE_BEAT_MS)
                lease_beat(&s, ran + LEASE_BEAT_MS);
        switch (op->kind) {
        case STOPPED:
            ran = op->at;
            break;
        case EVENT:
            (void)lease_saw_event(&s, &r, &op->record, op->at);
            break;
        case READ:
            (void)lease_saw_read(&s, &r, &op->record, op->start, op->at);
            break;
        case WROTE:
            (void)lease_saw_write(&s, &r, &op->record, op->start, op->at);
            break;
        case BEAT:
            lease_beat(&s, op->at);
            break;
        case LEADS:
            got = lead.leads;
            break;
        case WRITES:
            got = lead.leads && op->at >= lead.writes_from_ms && op->at < lead.writes_until_ms;
            break;
        case DOUBT:
            got = s.doubt;
            break;
        case TERM:
            got = (int64_t)lead.term;
            break;
        case NEXT:
            next = lease_own_next(&s, &r, op->at);
            ck_assert_msg(next.what == op->what, "%s: step %zu: want %d, got %d", st->name, i,
                          op->what, next.what);
            got = next.at_ms;
            break;
        case DONE:
            lease_own_done(&s, &r, op->what, op->rc, 0, op->at, 0);
            break;
        default:
            break;
        }
        ck_assert_msg(got == op->want,
                      "%s: step %zu (at %" PRId64 " ms): want %" PRId64 ", got %" PRId64, st->name,
                      i, op->at, op->want, got);
    }
}
START_TEST(stories) { run_story(&STORIES[_i]); }
END_TEST

START_TEST(pauses_of_candidates_spread)
{
    struct lease_rules r = {.own = true, .identity = STR("me_1"), .retry_ms = 2000};
    struct lease_state s;
    int64_t least = INT64_MAX, most = 0;
    for (uint64_t random = 0; random < 1024; random++) {
        lease_state_init(&s, 0);
        lease_own_done(&s, &r, LEASE_READ, ERR_UNAVAILABLE, 0, 0, random);
        least = s.try_ms < least ? s.try_ms : least;
        most = s.try_ms > most ? s.try_ms : most;
    }
    ck_assert_int_eq(least, 2000); /* client-go: the period times 1 to 2.2 */
    ck_assert(most > 4390 && most <= 4400);
    lease_state_init(&s, 0);
    lease_own_done(&s, &r, LEASE_READ, ERR_BUSY, /* Retry-After */ 7000, 0, 0);
    ck_assert_int_eq(s.try_ms, 7000);
}
END_TEST

/* ---- what is written ---- */

static json_t *body_of(const struct lease_body_args *a)
{
    size_t n = 0;
    char *text = lease_body(a, &n);
    ck_assert_ptr_nonnull(text);
    json_t *body = json_loadb(text, n, 0, NULL);
    free(text);
    ck_assert_ptr_nonnull(body);
    return body;
}
static void ck_json(const json_t *got, const char *want)
{
    json_t *w = json_loads(want, 0, NULL);
    char *text = json_dumps(got, JSON_SORT_KEYS);
    ck_assert_msg(json_equal(got, w), "got %s", text);
    free(text);
    json_decref(w);
}
#define WALL INT64_C(1795319045000001000) /* 2026-11-22T03:44:05.000001Z */
#define OLD                                                                                        \
    "{\"metadata\":{\"resourceVersion\":\"7\",\"annotations\":{\"a\":\"b\"}},\"spec\":{"           \
    "\"holderIdentity\":\"%s\",\"leaseDurationSeconds\":30,\"leaseTransitions\":4,"                \
    "\"acquireTime\":\"2026-11-22T01:00:00.000000Z\",\"renewTime\":\"2026-11-22T02:00:00."         \
    "000000Z\","                                                                                   \
    "\"strategy\":\"OldestEmulationVersion\",\"later\":{\"x\":[1]}},\"more\":1}"

START_TEST(body_of_a_new_lease)
{
    struct lease_body_args a = {.ns = STR("ns"),
                                .name = STR("l"),
                                .identity = STR("me_1"),
                                .duration_s = 15,
                                .wall_ns = WALL};
    json_t *got = body_of(&a);
    ck_json(got, "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{"
                 "\"name\":\"l\",\"namespace\":\"ns\"},\"spec\":{\"holderIdentity\":\"me_1\","
                 "\"leaseDurationSeconds\":15,\"leaseTransitions\":0,\"acquireTime\":"
                 "\"2026-11-22T03:44:05.000001Z\",\"renewTime\":\"2026-11-22T03:44:05.000001Z\"}}");
    json_decref(got);
}
END_TEST

static const struct {
    const char *name, *holder, *want_holder, *want_acquire;
    bool held, release;
    int want_duration, want_transitions;
} BODIES[] = {
    {"takes over", "you", "me_1", "2026-11-22T03:44:05.000001Z", false, false, 15, 5},
    {"takes what was released", "", "me_1", "2026-11-22T03:44:05.000001Z", false, false, 15, 5},
    {"renews", "me_1", "me_1", "2026-11-22T01:00:00.000000Z", true, false, 15, 4},
    {"releases", "me_1", "", "2026-11-22T03:44:05.000001Z", true, true, 1, 4},
};
START_TEST(bodies_keep_what_they_do_not_know)
{
    char old[1024], want[1024];
    (void)snprintf(old, sizeof(old), OLD, BODIES[_i].holder);
    struct lease_body_args a = {.object = str_z(old),
                                .identity = STR("me_1"),
                                .duration_s = 15,
                                .wall_ns = WALL,
                                .held = BODIES[_i].held,
                                .release = BODIES[_i].release};
    json_t *got = body_of(&a);
    (void)snprintf(
        want, sizeof(want),
        "{\"metadata\":{\"resourceVersion\":\"7\",\"annotations\":{\"a\":\"b\"}},\"spec\":{"
        "\"holderIdentity\":\"%s\",\"leaseDurationSeconds\":%d,\"leaseTransitions\":%d,"
        "\"acquireTime\":\"%s\",\"renewTime\":\"2026-11-22T03:44:05.000001Z\","
        "\"strategy\":\"OldestEmulationVersion\",\"later\":{\"x\":[1]}},\"more\":1}",
        BODIES[_i].want_holder, BODIES[_i].want_duration, BODIES[_i].want_transitions,
        BODIES[_i].want_acquire);
    ck_json(got, want);
    json_decref(got);
}
END_TEST

/* Without memory there is no body and no record, never half of one. */
START_TEST(all_of_it_or_nothing)
{
    char old[1024];
    (void)snprintf(old, sizeof(old), OLD, "you");
    struct lease_body_args a = {
        .object = str_z(old), .identity = STR("me_1"), .duration_s = 15, .wall_ns = WALL};
    json_t *whole = body_of(&a);
    size_t n = 1;
    for (bool failed = true; failed; n++) {
        size_t body_n = 0;
        fail_alloc_at((unsigned)n);
        char *text = lease_body(&a, &body_n);
        failed = fail_alloc_off();
        json_t *got = text ? json_loadb(text, body_n, 0, NULL) : NULL;
        ck_assert_msg(text ? json_equal(got, whole) : failed, "body, allocation %zu", n);
        json_decref(got);
        free(text);
    }
    ck_assert_uint_gt(n, 3);
    struct lease_record want, got;
    ck_assert(lease_record_decode(str_z(old), &want, NULL) == ERR_OK);
    unsigned at = 0;
    for (bool failed = true; failed;) {
        fail_alloc_at(++at);
        enum err_code rc = lease_record_decode(str_z(old), &got, NULL);
        failed = fail_alloc_off();
        ck_assert_msg(rc ? failed : same_record(&got, &want), "record, allocation %u", at);
    }
    json_decref(whole);
}
END_TEST

/* ---- keepers over the API store, on virtual time ---- */

enum { HOSTS = 3, WRITE_MS = 2000 };
struct side { /* one host: its keeper, and how far its watch has come */
    struct lease_keeper *keeper;
    int64_t stopped_until_ms, lag_ms;
    uint64_t seen;    /* of world.history */
    int64_t wrote_ms; /* when it last found that it may write */
    int64_t led_ms;
    bool leads, may_write;
    bool scheduler; /* plays a kube-scheduler: what it would write is not ours */
};
struct version { /* what the Lease was from a time on */
    int64_t at_ms;
    enum kube_event_type type;
    char *text;
};
struct world {
    struct test_clock time;
    struct clock clock;
    struct kube *kube;
    struct kube_store *store;
    struct side sides[2 * HOSTS];
    size_t sides_n;
    struct version history[4096];
    uint64_t history_n;
    uint64_t last_version;
    bool was_there;
};

static int64_t world_ms(const struct world *w) { return atomic_load(&w->time.mono) / 1000000; }

static void world_open(struct world *w)
{
    *w = (struct world){.time = {.mono = 1000000000, .wall = WALL_START}};
    w->clock = test_clock_of(&w->time);
    struct kube_store_config cfg = {.watch_initial = true};
    ck_assert(kube_store_new(&cfg, &w->clock, &w->kube, &w->store, NULL) == ERR_OK);
}

static struct lease_keeper_config keeper_config(struct world *w, bool own, const char *identity)
{
    return (struct lease_keeper_config){.kube = w->kube,
                                        .clock = &w->clock,
                                        .ns = STR("kube-system"),
                                        .name = STR("cardinal"),
                                        .own = own,
                                        .identity = str_z(identity),
                                        .duration_ms = 15000,
                                        .renew_deadline_ms = 10000,
                                        .retry_ms = 2000,
                                        .write_ms = WRITE_MS};
}

static struct side *world_add(struct world *w, bool own, const char *identity)
{
    struct side *side = &w->sides[w->sides_n++];
    struct lease_keeper_config cfg = keeper_config(w, own, identity);
    struct err err;
    ck_assert_msg(lease_keeper_make(&cfg, &side->keeper, &err) == ERR_OK, "%s", err.text);
    side->wrote_ms = side->led_ms = NEVER;
    side->seen = w->history_n;
    return side;
}

static void world_close(struct world *w)
{
    for (size_t i = 0; i < w->sides_n; i++)
        lease_keeper_free(w->sides[i].keeper, false);
    for (uint64_t i = 0; i < w->history_n; i++)
        free(w->history[i].text);
    kube_free(w->kube);
}

static enum err_code keep_item(void *ctx, struct str object, struct err *err)
{
    (void)err;
    *(char **)ctx = str_dup_z(object);
    return ERR_OK;
}
/* The Lease, as JSON text; NULL: none. The caller frees. By a list: faults are for the keepers. */
static char *world_lease(struct world *w)
{
    char *text = NULL, rv[KUBE_RV_MAX];
    struct kube_list_options opt = {0};
    struct kube_list_handler handler = {.item = keep_item, .ctx = &text};
    ck_assert(kube_list(w->kube, KUBE_LEASE, &opt, NULL, &handler, rv, NULL) == ERR_OK);
    return text;
}

static void world_note(struct world *w)
{
    char *text = world_lease(w);
    struct lease_record r = {0};
    if (text)
        ck_assert(lease_record_decode(str_z(text), &r, NULL) == ERR_OK);
    if (text ? r.version == w->last_version : !w->was_there) {
        free(text);
        return;
    }
    ck_assert_uint_lt(w->history_n, COUNT(w->history));
    struct version *v = &w->history[w->history_n++];
    *v = (struct version){world_ms(w), KUBE_MODIFIED, text};
    if (!text) {
        char gone[128];
        (void)snprintf(gone, sizeof(gone), "{\"metadata\":{\"resourceVersion\":\"%" PRIu64 "\"}}",
                       w->last_version + 1);
        *v = (struct version){world_ms(w), KUBE_DELETED, strdup(gone)};
    }
    w->was_there = text != NULL;
    w->last_version = text ? r.version : 0;
}

static void side_look(struct world *w, struct side *side)
{
    struct lease_lead lead = lease_keeper_lead(side->keeper);
    int64_t now = world_ms(w);
    side->leads = lead.leads;
    side->may_write = lead.leads && now >= lead.writes_from_ms && now < lead.writes_until_ms;
    if (side->leads)
        side->led_ms = now;
    if (side->may_write)
        side->wrote_ms = now;
}

/* Nobody may write while a write of somebody else can still land. */
static void world_check(struct world *w, const char *what, uint64_t seed)
{
    for (size_t i = 0; i < w->sides_n; i++)
        for (size_t j = 0; j < w->sides_n; j++) {
            const struct side *a = &w->sides[i], *b = &w->sides[j];
            if (i == j || a->scheduler || b->scheduler || !a->may_write || b->wrote_ms == NEVER)
                continue;
            ck_assert_msg(a->wrote_ms - b->wrote_ms >= WRITE_MS,
                          "%s (seed %" PRIu64 "): %zu writes at %" PRId64
                          " ms, %zu wrote at %" PRId64,
                          what, seed, i, a->wrote_ms, j, b->wrote_ms);
        }
}

/* 50 ms: whoever runs looks what it may do, hears what its watch brings, and has its turn. */
static void world_step(struct world *w)
{
    w->time.mono += 50000000;
    w->time.wall += 50000000;
    int64_t now = world_ms(w);
    for (size_t i = 0; i < w->sides_n; i++) {
        struct side *side = &w->sides[i];
        side->may_write = false;
        if (!side->keeper || now < side->stopped_until_ms)
            continue;
        side_look(w, side); /* a process that goes on after a stop looks before it hears */
        while (side->seen < w->history_n && w->history[side->seen].at_ms + side->lag_ms <= now) {
            const struct version *v = &w->history[side->seen++];
            lease_keeper_event(side->keeper, v->type, str_z(v->text));
        }
        side_look(w, side);
        (void)lease_keeper_turn(side->keeper);
        world_note(w);
        side_look(w, side);
    }
}

static void world_run(struct world *w, int64_t ms, const char *what)
{
    for (int64_t end = world_ms(w) + ms; world_ms(w) < end;) {
        world_step(w);
        world_check(w, what, 0);
    }
}

/* Runs until the side leads; how long that took. */
static int64_t world_until_leads(struct world *w, const struct side *side, int64_t at_most_ms)
{
    int64_t since = world_ms(w);
    while (!side->leads && world_ms(w) - since <= at_most_ms) {
        world_step(w);
        world_check(w, "until leads", 0);
    }
    ck_assert_msg(side->leads, "does not lead after %" PRId64 " ms", at_most_ms);
    return world_ms(w) - since;
}

static void world_delete(struct world *w)
{
    struct kube_request req = {.verb = KUBE_DELETE,
                               .kind = KUBE_LEASE,
                               .ns = STR("kube-system"),
                               .name = STR("cardinal"),
                               .timeout_ms = 1000};
    struct kube_response resp = {0};
    err_ignore(kube_call(w->kube, &req, &resp, NULL));
    kube_response_done(&resp);
    world_note(w);
}

static void stop_side(struct world *w, struct side *side, bool release)
{
    lease_keeper_free(side->keeper, release);
    side->keeper = NULL;
    side->leads = side->may_write = false;
    world_note(w);
}

START_TEST(own_first_and_standby)
{
    struct world w;
    world_open(&w);
    struct side *a = world_add(&w, true, "a_1"), *b = world_add(&w, true, "b_1");
    world_run(&w, 60000, "idle");
    ck_assert(a->leads && !b->leads);
    char *text = world_lease(&w);
    struct lease_record r;
    ck_assert(lease_record_decode(str_z(text), &r, NULL) == ERR_OK);
    ck_assert_str_eq(r.holder, "a_1");
    ck_assert_int_eq(r.transitions, 0);
    ck_assert_int_eq(r.duration_s, 15);
    ck_assert(r.renew_s > r.acquire_s);
    free(text);
    struct lease_view view;
    lease_keeper_view(a->keeper, &view);
    ck_assert_uint_le(view.writes, 32); /* one each retry period */
    lease_keeper_view(b->keeper, &view);
    ck_assert_uint_eq(view.writes, 0);
    ck_assert_str_eq(view.holder, "a_1");
    world_close(&w);
}
END_TEST

START_TEST(own_takeover_times)
{
    struct world w;
    world_open(&w);
    struct side *a = world_add(&w, true, "a_1"), *b = world_add(&w, true, "b_1");
    world_run(&w, 10000, "a leads");
    stop_side(&w, a, /* release= */ true);
    int64_t released = world_until_leads(&w, b, 1000);
    struct side *c = world_add(&w, true, "c_1");
    world_run(&w, 10000, "b leads");
    stop_side(&w, b, /* release= */ false); /* as kill -9 */
    int64_t killed = world_until_leads(&w, c, 16000);
    printf("takeover, virtual: %" PRId64 " ms after a release, %" PRId64
           " ms after kill -9 (lease 15 s)\n",
           released, killed);
    ck_assert_int_le(released, 1000);
    ck_assert_int_le(killed, 16000);
    ck_assert_int_gt(killed, 12000); /* and not before the lease ran out */
    struct side *d = world_add(&w, true, "d_1");
    world_run(&w, 3000, "c leads");
    world_delete(&w);
    world_run(&w, 1000, "deleted");
    ck_assert(c->leads != d->leads);
    world_close(&w);
}
END_TEST

START_TEST(own_turns)
{
    struct world w;
    world_open(&w);
    struct side *a = world_add(&w, true, "a_1"), *b = world_add(&w, true, "b_1");
    for (int i = 0; i < 6; i++) { /* the leader is cut off for 40 s, again and again */
        world_run(&w, 10000, "turns");
        struct side *leader = a->leads ? a : b, *other = a->leads ? b : a;
        ck_assert_msg(leader->leads && !other->leads, "round %d", i);
        leader->stopped_until_ms = world_ms(&w) + 40000;
        (void)world_until_leads(&w, other, 16000);
        world_run(&w, 40000, "cut off");
        ck_assert(other->leads && !leader->leads);
    }
    char *text = world_lease(&w);
    struct lease_record r;
    ck_assert(lease_record_decode(str_z(text), &r, NULL) == ERR_OK);
    ck_assert_int_eq(r.transitions, 6);
    free(text);
    world_close(&w);
}
END_TEST

/* A leader that stands still and goes on starts nothing after its deadline, whatever its watch has
 * kept for it. */
START_TEST(paused_writes_nothing)
{
    bool own = _i == 0;
    for (int64_t stop = 8000; stop <= 40000; stop += 1850) {
        struct world w;
        world_open(&w);
        struct side *scheduler = NULL, *mine = world_add(&w, own, own ? "a_1" : "a");
        if (!own) {
            scheduler = world_add(&w, true, "a_uuid");
            scheduler->scheduler = true;
        }
        world_run(&w, 10000, "leads");
        ck_assert(mine->may_write);
        int64_t from = mine->wrote_ms;
        mine->stopped_until_ms = world_ms(&w) + stop;
        if (scheduler) { /* its kube-scheduler dies a moment later */
            world_run(&w, 3000, "alone");
            stop_side(&w, scheduler, false);
        }
        struct side *other = world_add(&w, true, "b_1");
        while (world_ms(&w) + 50 < mine->stopped_until_ms)
            world_step(&w);
        ck_assert_int_eq(mine->wrote_ms, from);
        world_run(&w, 30000, "goes on");
        if (stop >= (own ? 15000 : 10000)) /* before that its own Lease may still be renewed */
            ck_assert_msg(mine->wrote_ms == from && other->may_write,
                          "stop of %" PRId64 " ms: writes at %" PRId64, stop, mine->wrote_ms);
        world_close(&w);
    }
}
END_TEST

/* Two hosts for six seconds with these faults from a moment on, and twenty without: never two at
 * once, and one leads in the end. */
static void go_through(const struct kube_fault_rule *rules, size_t rules_n, unsigned from,
                       const char *what)
{
    struct world w;
    world_open(&w);
    struct side *a = world_add(&w, true, "a_1"), *b = world_add(&w, true, "b_1");
    for (unsigned i = 0; i < 12; i++) {
        for (size_t r = 0; i == from && r < rules_n; r++)
            kube_store_fault(w.store, &rules[r]);
        w.time.mono += 500000000;
        w.time.wall += 500000000;
        (void)lease_keeper_turn(a->keeper);
        (void)lease_keeper_turn(b->keeper);
        side_look(&w, a);
        side_look(&w, b);
        ck_assert_msg(!(a->may_write && b->may_write), "%s from %u: both write", what, from);
        (void)kube_store_late(w.store);
    }
    kube_store_fault_clear(w.store);
    world_run(&w, 20000, what);
    ck_assert_msg(a->leads != b->leads && (a->may_write || b->may_write),
                  "%s from %u: %d and %d lead", what, from, a->leads, b->leads);
    world_close(&w);
}

static const int LEASE_CALLS[] = {KUBE_GET, KUBE_CREATE, KUBE_UPDATE};
static const char *const VERB_NAMES[] = {[KUBE_GET] = "get",
                                         [KUBE_CREATE] = "create",
                                         [KUBE_UPDATE] = "update",
                                         [KUBE_WATCH] = "watch",
                                         [KUBE_LIST] = "list"};

/* Every call of the keeper may fail in every way. */
START_TEST(own_through_faults)
{
    for (size_t v = 0; v < COUNT(LEASE_CALLS); v++)
        for (int o = 0; o < OUTCOMES_N; o++)
            for (unsigned from = 0; from < 8; from++) {
                char what[128];
                (void)snprintf(what, sizeof(what), "%s: %s", VERB_NAMES[LEASE_CALLS[v]],
                               OUTCOMES[o].name);
                struct kube_fault_rule rule =
                    outcome_rule(&OUTCOMES[o], LEASE_CALLS[v], KUBE_LEASE, 0);
                rule.times = 2;
                go_through(&rule, 1, from, what);
            }
}
END_TEST

/* Each allocation of the beginning, of a take-over and of a renewal (the store's as well) fails
 * once: a failed call like any other. */
START_TEST(own_through_lack_of_memory)
{
    for (unsigned n = 1;; n++) {
        struct world w;
        world_open(&w);
        struct side *a = world_add(&w, true, "a_1");
        world_run(&w, 1000, "a");
        struct lease_keeper_config cfg = keeper_config(&w, true, "b_1");
        struct side *b = &w.sides[w.sides_n];
        struct lease_keeper *made = NULL;
        b->wrote_ms = b->led_ms = NEVER;
        fail_alloc_at(n);
        enum err_code rc = lease_keeper_make(&cfg, &made, NULL);
        for (int i = 0; i < 12; i++) {
            w.time.mono += 500000000;
            w.time.wall += 500000000;
            (void)lease_keeper_turn(a->keeper);
            if (made)
                (void)lease_keeper_turn(made);
        }
        bool failed = fail_alloc_off();
        ck_assert_msg(!rc || (failed && rc == ERR_NO_MEMORY), "allocation %u: %d", n, (int)rc);
        if (!rc) {
            b->keeper = made;
            w.sides_n++;
        }
        world_note(&w);
        world_run(&w, 20000, "after");
        ck_assert_msg(a->may_write && !b->may_write, "allocation %u", n);
        stop_side(&w, a, true);
        if (!rc)
            (void)world_until_leads(&w, b, 1000);
        world_close(&w);
        if (!failed)
            break;
        ck_assert_uint_lt(n, 5000);
    }
}
END_TEST

static uint64_t prop_seed(void)
{
    const char *text = getenv("PROP_SEED"); // NOLINT(concurrency-mt-unsafe)
    return text ? strtoull(text, NULL, 10) : 20261122;
}
static uint64_t draw(uint64_t *random, uint64_t below)
{
    if (below == 0)
        return 0;
    *random = *random * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (*random >> 33) % below;
}

/* Two of them at any calls: the outcome of the one leads into what the other meets. */
START_TEST(own_through_pairs_of_faults)
{
    const uint64_t seed = prop_seed(), pairs = outcomes_setting("FAULTS_PAIRS", 300);
    uint64_t random = seed;
    for (uint64_t i = 0; i < pairs; i++) {
        struct kube_fault_rule rules[2];
        char what[256];
        int n = snprintf(what, sizeof(what), "PROP_SEED=%" PRIu64 ", pair %" PRIu64, seed, i);
        for (int k = 0; k < 2; k++) {
            const struct outcome *o = &OUTCOMES[draw(&random, OUTCOMES_N)];
            const int verb = LEASE_CALLS[draw(&random, COUNT(LEASE_CALLS))];
            rules[k] = outcome_rule(o, verb, KUBE_LEASE, (unsigned)draw(&random, 3));
            n += snprintf(what + n, sizeof(what) - (size_t)n, "; %s no. %u: %s", VERB_NAMES[verb],
                          rules[k].after + 1, o->name);
        }
        go_through(rules, 2, (unsigned)draw(&random, 8), what);
    }
}
END_TEST

/* Hosts stop and go on, watches lag, calls fail, wall clocks jump, the Lease is deleted; in follow
 * mode each host has a kube-scheduler that stops by itself. Never may one write while a write of
 * another can land; and in the end somebody leads. */
START_TEST(random_walks)
{
    bool own = _i % 2 == 0;
    uint64_t seed = prop_seed() + (uint64_t)_i, random = seed;
    static const char *const SCHEDULERS[HOSTS] = {"h1_x", "h10_x", "h_1_x"};
    static const char *const NAMES[HOSTS] = {"h1", "h10", "h_1"};
    struct world w;
    world_open(&w);
    for (size_t i = 0; i < HOSTS; i++)
        world_add(&w, true, SCHEDULERS[i])->scheduler = !own;
    for (size_t i = 0; i < HOSTS && !own; i++)
        (void)world_add(&w, false, NAMES[i]);
    int64_t writing = 0;
    for (int step = 0; step < 12000; step++) {
        struct side *side = &w.sides[draw(&random, w.sides_n)];
        switch (draw(&random, 400)) {
        case 0:
        case 1:
            side->stopped_until_ms = world_ms(&w) + (int64_t)draw(&random, 25000);
            break;
        case 2:
            side->lag_ms = (int64_t)draw(&random, 5) ? (int64_t)draw(&random, 4900) : 0;
            break;
        case 3: {
            static const int VERBS[] = {KUBE_GET, KUBE_UPDATE, KUBE_UPDATE, KUBE_CREATE};
            struct kube_fault_rule rule = {
                .fault = (enum kube_fault)(1 + draw(&random, KUBE_FAULT_STATUS_LATER)),
                .verb = VERBS[draw(&random, 4)],
                .kind = KUBE_LEASE,
                .times = (unsigned)draw(&random, 6),
                .status = draw(&random, 2) ? 409 : 500};
            kube_store_fault(w.store, &rule);
            break;
        }
        case 4:
            w.time.wall += ((int64_t)draw(&random, 7200) - 3600) * 1000000000;
            break;
        case 5:
            (void)kube_store_late(w.store);
            break;
        default:
            break;
        }
        world_step(&w);
        world_check(&w, own ? "own" : "follow", seed);
        for (size_t i = 0; i < w.sides_n; i++)
            writing += w.sides[i].may_write && !w.sides[i].scheduler;
    }
    ck_assert_msg(writing > 3000,
                  "seed %" PRIu64 ": somebody could write in %" PRId64 " of 12000 steps only", seed,
                  writing);
    for (size_t i = 0; i < w.sides_n; i++)
        w.sides[i].lag_ms = w.sides[i].stopped_until_ms = 0;
    kube_store_fault_clear(w.store);
    for (int step = 0; step < 800; step++)
        world_step(&w);
    bool any = false;
    for (size_t i = own ? 0 : HOSTS; i < w.sides_n; i++)
        any = any || w.sides[i].may_write;
    ck_assert_msg(any, "seed %" PRIu64 ": nobody leads in the end", seed);
    world_close(&w);
}
END_TEST

/* ---- keepers with threads of their own, on the system's clock ---- */

struct live {
    struct kube *kube;
    struct kube_store *store;
};
static void live_open(struct live *l)
{
    struct kube_store_config cfg = {.watch_initial = true};
    ck_assert(kube_store_new(&cfg, &CLOCK_SYSTEM, &l->kube, &l->store, NULL) == ERR_OK);
}
static struct lease_keeper *live_start(struct live *l, bool own, const char *identity)
{
    struct lease_keeper_config cfg = {.kube = l->kube,
                                      .clock = &CLOCK_SYSTEM,
                                      .ns = STR("ns"),
                                      .name = STR("l"),
                                      .own = own,
                                      .identity = str_z(identity),
                                      .duration_ms = 3000,
                                      .renew_deadline_ms = 2000,
                                      .retry_ms = 500,
                                      .write_ms = 400};
    struct lease_keeper *k = NULL;
    struct err err;
    ck_assert_msg(lease_keeper_start(&cfg, &k, &err) == ERR_OK, "%s", err.text);
    return k;
}
static int64_t live_wait(struct lease_keeper *k, bool leads, int64_t at_most_ms)
{
    int64_t since = clock_mono_ms(&CLOCK_SYSTEM), took;
    while (lease_keeper_lead(k).leads != leads) {
        took = clock_mono_ms(&CLOCK_SYSTEM) - since;
        ck_assert_msg(took <= at_most_ms, "not within %" PRId64 " ms", at_most_ms);
        struct timespec t = {.tv_nsec = 2000000};
        nanosleep(&t, NULL);
    }
    return clock_mono_ms(&CLOCK_SYSTEM) - since;
}

START_TEST(live_takeover)
{
    struct live l;
    live_open(&l);
    struct lease_keeper *a = live_start(&l, true, "a_1");
    (void)live_wait(a, true, 5000);
    struct lease_keeper *b = live_start(&l, true, "b_1"), *fa = live_start(&l, false, "a"),
                        *fb = live_start(&l, false, "b");
    (void)live_wait(fa, true, 2000);
    ck_assert(!lease_keeper_lead(b).leads && !lease_keeper_lead(fb).leads);
    lease_keeper_free(a, true);
    int64_t released = live_wait(b, true, 1000), followed = live_wait(fb, true, 1000);
    ck_assert(!lease_keeper_lead(fa).leads);
    struct lease_keeper *c = live_start(&l, true, "c_1");
    kube_store_drop_watches(l.store, true); /* and the reads go on */
    struct timespec t = {.tv_sec = 1};
    nanosleep(&t, NULL);
    ck_assert(lease_keeper_lead(b).leads);
    lease_keeper_free(b, false);
    int64_t killed = live_wait(c, true, 4000);
    printf("takeover, threads: %" PRId64 " ms after a release (its follower %" PRId64
           " ms later), %" PRId64 " ms after kill -9 (lease 3 s)\n",
           released, followed, killed);
    (void)live_wait(fb, false, 1000);
    lease_keeper_free(c, true);
    lease_keeper_free(fa, false);
    lease_keeper_free(fb, false);
    kube_free(l.kube);
}
END_TEST

/* Its watch is cut, and what it does then to hear again fails, in each way: it reads by GETs
 * meanwhile, so that a standby and a follower learn of a change all the same. */
START_TEST(live_through_deaf_watches)
{
    static const int VERBS[] = {KUBE_WATCH, KUBE_LIST};
    const uint64_t first = outcomes_setting("PROP_SEED", (uint64_t)time(NULL)),
                   ends = outcomes_setting("FAULTS_ENDS", 3);
    static const char *const NAMES[] = {"a", "b"};
    struct live l;
    live_open(&l);
    struct lease_keeper *follow[2], *leader = live_start(&l, true, "a_1");
    for (int i = 0; i < 2; i++)
        follow[i] = live_start(&l, false, NAMES[i]);
    (void)live_wait(follow[0], true, 5000);
    for (uint64_t i = 0; i < ends; i++) {
        const uint64_t at = (first + i) % (OUTCOMES_N * COUNT(VERBS));
        const struct outcome *o = &OUTCOMES[at / COUNT(VERBS)];
        const int next = i % 2 == 0;
        struct lease_keeper *standby = live_start(&l, true, next ? "b_1" : "a_1");
        printf("PROP_SEED=%" PRIu64 ": %s: %s\n", first + i, VERB_NAMES[VERBS[at % COUNT(VERBS)]],
               o->name);
        (void)fflush(stdout);
        struct kube_fault_rule rule = outcome_rule(o, VERBS[at % COUNT(VERBS)], KUBE_LEASE, 0);
        rule.times = 1000; /* all of them, for as long as it takes */
        kube_store_fault(l.store, &rule);
        kube_store_drop_watches(l.store, true);
        lease_keeper_free(leader, true);
        (void)live_wait(standby, true, 5000);
        (void)live_wait(follow[next], true, 5000);
        (void)live_wait(follow[!next], false, 5000);
        kube_store_fault_clear(l.store);
        leader = standby;
    }
    lease_keeper_free(leader, true);
    lease_keeper_free(follow[0], false);
    lease_keeper_free(follow[1], false);
    kube_free(l.kube);
}
END_TEST

/* Whoever is about to refuse asks the API server once; all who ask together share its answers. */
static void *look_thread(void *ctx) { return lease_keeper_look(ctx, 1000).leads ? ctx : NULL; }
START_TEST(live_look)
{
    struct live l;
    live_open(&l);
    struct kube_fault_rule deaf = {
        .fault = KUBE_FAULT_REFUSED, .verb = KUBE_WATCH, .kind = -1, .times = 1000};
    kube_store_fault(l.store, &deaf); /* no watch will ever tell */
    struct lease_keeper *k = live_start(&l, false, "node1");
    ck_assert(!lease_keeper_look(k, 1000).leads);
    struct kube_request req = {
        .verb = KUBE_CREATE,
        .kind = KUBE_LEASE,
        .ns = STR("ns"),
        .timeout_ms = 1000,
        .body = STR("{\"metadata\":{\"name\":\"l\",\"namespace\":\"ns\"},\"spec\":{"
                    "\"holderIdentity\":\"node1_x\",\"leaseDurationSeconds\":15,"
                    "\"renewTime\":\"2026-11-22T03:44:05.000000Z\"}}")};
    struct kube_response resp = {0};
    ck_assert(kube_call(l.kube, &req, &resp, NULL) == ERR_OK);
    kube_response_done(&resp);
    struct lease_view before, after;
    lease_keeper_view(k, &before);
    pthread_t threads[16];
    for (size_t i = 0; i < COUNT(threads); i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, look_thread, k), 0);
    for (size_t i = 0; i < COUNT(threads); i++) {
        void *led = NULL;
        pthread_join(threads[i], &led);
        ck_assert_msg(led != NULL, "asker %zu is refused", i);
    }
    lease_keeper_view(k, &after);
    ck_assert_uint_le(after.reads - before.reads, COUNT(threads) + 2);
    struct kube_fault_rule down = {
        .fault = KUBE_FAULT_TIMEOUT_NEVER, .verb = KUBE_GET, .kind = -1, .times = 1000};
    kube_store_fault(l.store, &down); /* no answer: what is known holds */
    ck_assert(lease_keeper_look(k, 50).leads);
    lease_keeper_free(k, false);
    kube_free(l.kube);
}
END_TEST

static bool prepare_slowly(void *ctx, uint64_t term)
{
    (void)term;
    return ++*(int *)ctx >= 3;
}
static void count_changes(void *ctx, const struct lease_view *view)
{
    (void)view;
    ++*(int *)ctx;
}
/* A new term is shown when it is prepared, and what changed is told once. */
START_TEST(prepared_first)
{
    struct world w;
    world_open(&w);
    int asked = 0;
    struct lease_keeper_config cfg = keeper_config(&w, true, "a_1");
    cfg.prepare = prepare_slowly;
    cfg.ctx = &asked;
    struct side *side = &w.sides[w.sides_n++];
    side->wrote_ms = side->led_ms = NEVER;
    side->scheduler = true;
    ck_assert(lease_keeper_make(&cfg, &side->keeper, NULL) == ERR_OK);
    world_run(&w, 3900, "unprepared");
    ck_assert(asked == 2 && !side->leads);
    world_run(&w, 1000, "prepared");
    ck_assert(asked == 3 && side->leads);
    world_run(&w, 20000, "prepared");
    ck_assert(asked == 3 && side->leads);
    int told = 0;
    cfg = keeper_config(&w, false, "a");
    cfg.changed = count_changes;
    cfg.ctx = &told;
    struct side *follower = &w.sides[w.sides_n++];
    ck_assert(lease_keeper_make(&cfg, &follower->keeper, NULL) == ERR_OK);
    follower->wrote_ms = NEVER;
    world_run(&w, 20000, "followed");
    ck_assert_int_eq(told, 1);
    world_close(&w);
}
END_TEST

START_TEST(bad_configs)
{
    struct world w;
    world_open(&w);
    struct lease_keeper_config good = keeper_config(&w, true, "a_1"),
                               bad[] = {good, good, good, good, good};
    bad[0].ns = STR("");
    bad[1].identity = STR("");
    bad[2].renew_deadline_ms = 15000;
    bad[3].renew_deadline_ms = 2400;
    bad[4].write_ms = 0;
    struct lease_keeper *k = NULL;
    for (size_t i = 0; i < COUNT(bad); i++)
        ck_assert_msg(lease_keeper_make(&bad[i], &k, NULL) == ERR_BAD_REQUEST, "row %zu", i);
    world_close(&w);
}
END_TEST

int main(void)
{
    json_object_seed(1);
    atomic_store(&log_level, -1);
    Suite *suite = suite_create("leader");
    TCase *pure = tcase_create("pure");
    tcase_add_loop_test(pure, holders, 0, COUNT(HOLDERS));
    tcase_add_test(pure, uuids_differ);
    tcase_add_loop_test(pure, records, 0, COUNT(RECORDS));
    tcase_add_test(pure, no_records);
    tcase_add_test(pure, long_holder);
    tcase_add_loop_test(pure, stories, 0, COUNT(STORIES));
    tcase_add_test(pure, pauses_of_candidates_spread);
    tcase_add_test(pure, body_of_a_new_lease);
    tcase_add_loop_test(pure, bodies_keep_what_they_do_not_know, 0, COUNT(BODIES));
    tcase_add_test(pure, all_of_it_or_nothing);
    suite_add_tcase(suite, pure);
    TCase *keepers = tcase_create("keepers");
    tcase_set_timeout(keepers, 60);
    tcase_add_test(keepers, own_first_and_standby);
    tcase_add_test(keepers, own_takeover_times);
    tcase_add_test(keepers, own_turns);
    tcase_add_loop_test(keepers, paused_writes_nothing, 0, 2);
    tcase_add_test(keepers, own_through_faults);
    tcase_add_test(keepers, own_through_pairs_of_faults);
    tcase_add_test(keepers, own_through_lack_of_memory);
    tcase_add_loop_test(keepers, random_walks, 0, 12);
    tcase_add_test(keepers, prepared_first);
    tcase_add_test(keepers, bad_configs);
    suite_add_tcase(suite, keepers);
    TCase *live = tcase_create("live");
    tcase_set_timeout(live, 60);
    tcase_add_test(live, live_takeover);
    tcase_add_test(live, live_through_deaf_watches);
    tcase_add_test(live, live_look);
    suite_add_tcase(suite, live);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
