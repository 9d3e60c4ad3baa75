/* Lease objects: whatever can be read can be written over, and then says what was to be written and
 * nothing else that it did not say before. */
#include "lease/priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define WALL_S INT64_C(1795319045)

static struct lease_record rewritten(struct str object, bool held, bool release)
{
    struct lease_body_args a = {.object = object,
                                .identity = STR("me_1"),
                                .duration_s = 15,
                                .wall_ns = WALL_S * 1000000000,
                                .held = held,
                                .release = release};
    struct lease_record r;
    size_t n = 0;
    char *body = lease_body(&a, &n);
    assert(body != NULL);
    assert(strlen(body) == n);
    enum err_code rc = lease_record_decode((struct str){body, n}, &r, NULL);
    assert(rc == ERR_OK);
    free(body);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct lease_record r, before, next;
    struct err err = {0};
    memset(&r, 0x5a, sizeof(r));
    before = r;
    struct str object = {(const char *)data, size};
    enum err_code rc = lease_record_decode(object, &r, &err);
    if (rc) {
        assert(rc == ERR_BAD_REQUEST && err.text[0] != '\0');
        assert(r.version == before.version && r.duration_s == before.duration_s); /* untouched */
        return 0;
    }
    assert(r.there && r.duration_s >= 0 && r.transitions >= 0);
    assert(strlen(r.holder) < sizeof(r.holder) && strlen(r.uid) < sizeof(r.uid));

    next = rewritten(object, /* held= */ false, false); /* taken over */
    assert(strcmp(next.holder, "me_1") == 0 && strcmp(next.uid, r.uid) == 0);
    assert(next.version == r.version && next.duration_s == 15);
    assert(next.transitions == (r.transitions < INT32_MAX ? r.transitions + 1 : INT32_MAX));
    assert(next.renew_s == WALL_S && next.acquire_s == WALL_S);
    next = rewritten(object, /* held= */ true, false); /* renewed */
    assert(next.transitions == r.transitions && next.renew_s == WALL_S);
    assert(next.acquire_s == r.acquire_s);
    next = rewritten(object, true, /* release= */ true);
    assert(next.holder[0] == '\0' && next.duration_s == 1 && next.transitions == r.transitions);

    struct lease_rules rules = {.identity = STR("node1"), .write_ms = 2000};
    struct lease_state s; /* what one look at it makes of us: never a write */
    lease_state_init(&s, 0);
    (void)lease_saw_read(&s, &rules, &r, 0, 0);
    struct lease_lead lead = lease_lead_at(&s, &rules, 3000);
    assert(lead.writes_until_ms == INT64_MIN);
    assert(!lead.leads || lease_holder_is_host(str_z(r.holder), STR("node1")));
    return 0;
}
