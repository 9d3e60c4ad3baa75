/* What a placed pod takes of each card for its whole life: Kubernetes' rule for init containers and
 * sidecars, per card. The one place that says it for records; decide.c applies the same rule while
 * it places. */
#include "score/priv.h"

#include <assert.h>
#include <string.h>

struct sum {
    int64_t mem_mib, cores_pct, shares;
    uint64_t bits;
};

static void add(struct sum *to, const struct sum *s)
{
    to->mem_mib += s->mem_mib;
    to->cores_pct += s->cores_pct;
    to->shares += s->shares;
    to->bits |= s->bits;
}

static void raise(struct sum *to, const struct sum *s)
{
    to->mem_mib = s->mem_mib > to->mem_mib ? s->mem_mib : to->mem_mib;
    to->cores_pct = s->cores_pct > to->cores_pct ? s->cores_pct : to->cores_pct;
    to->shares = s->shares > to->shares ? s->shares : to->shares;
    to->bits |= s->bits; /* of a step that is over as well: what it had is the pod's for its life */
}

static int32_t narrow(int64_t v) { return v > INT32_MAX ? INT32_MAX : (int32_t)v; }

/* One card: the sums of each container, then the walk through the pod's life. Sidecars stand among
 * the init containers, so that whoever comes later in the list runs beside them. */
static struct sum one_card(const enum score_step *steps, const struct score_ask *asks,
                           const struct score_part *parts, uint16_t parts_n, uint16_t device)
{
    struct sum of[SCORE_CONTAINERS_MAX];
    memset(of, 0, sizeof(of));
    for (uint16_t i = 0; i < parts_n; i++) {
        if (parts[i].device != device)
            continue;
        const uint16_t c = asks[parts[i].ask].container;
        assert(c < SCORE_CONTAINERS_MAX);
        add(&of[c], &(struct sum){parts[i].mem_mib, parts[i].cores_pct,
                                  parts[i].shares ? parts[i].shares : 1, parts[i].bits});
    }
    struct sum running = {0}, most = {0};
    for (unsigned c = 0; c < SCORE_CONTAINERS_MAX; c++) {
        if (of[c].shares == 0)
            continue;
        if (steps[c] == SCORE_STEP_INIT) {
            struct sum step = running;
            add(&step, &of[c]);
            raise(&most, &step);
        } else {
            add(&running, &of[c]);
        }
    }
    raise(&most, &running);
    return most;
}

uint16_t score_effective_use(const enum score_step *steps, const struct score_ask *asks,
                             const struct score_part *parts, uint16_t parts_n,
                             struct score_use *ret)
{
    uint16_t n = 0;
    for (uint16_t i = 0; i < parts_n; i++) { /* the distinct cards, in order */
        uint16_t at = 0;
        while (at < n && ret[at].device < parts[i].device)
            at++;
        if (at < n && ret[at].device == parts[i].device)
            continue;
        memmove(ret + at + 1, ret + at, (size_t)(n - at) * sizeof(*ret));
        ret[at] =
            (struct score_use){.device = parts[i].device, .vendor = asks[parts[i].ask].vendor};
        n++;
    }
    for (uint16_t i = 0; i < n; i++) {
        const struct sum s = one_card(steps, asks, parts, parts_n, ret[i].device);
        ret[i].mem_mib = s.mem_mib;
        ret[i].cores_pct = narrow(s.cores_pct);
        ret[i].shares = narrow(s.shares);
        ret[i].bits = s.bits;
    }
    return n;
}

uint8_t score_qos_join(uint8_t card, uint8_t pod)
{
    return card == 0 || pod == 0 || card == pod ? card | pod : SCORE_QOS_MIXED;
}
