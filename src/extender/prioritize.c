/* POST /prioritize: how good each listed node would be with the pod on it, 0…--score-max (steps 1
 * to 4 and 7). kube-scheduler adds these to its own plugins' scores; hosts that are left out get
 * nothing. */
#include "extender/question.h"

/* A node where binds wait for their turn is worth less, in proportion to a bind's time that the
 * wait would take. */
static int64_t less_the_wait(const struct ext_request *r, struct str node, int64_t score)
{
    const int64_t wait_ms = ext_turns_wait_ms(r->app->turns, node);
    const int64_t less = wait_ms * r->app->config.score_max / r->app->config.bind_timeout_ms;
    return score > less ? score - less : 0;
}

static enum err_code scores(struct ext_request *r, struct ext_question *q, struct ext_answer *a,
                            struct err *err)
{
    enum err_code rc = ext_question_ask(r, q, err);
    if (rc)
        return rc;
    int64_t *raw = arena_array(r->arena, q->n + 1, sizeof(*raw));
    int64_t *scaled = arena_array(r->arena, q->n + 1, sizeof(*scaled));
    if (!raw || !scaled)
        return err_set(err, ERR_NO_MEMORY, "prioritize: out of request memory");
    size_t n = 0; /* min–max over the nodes that fit; one that moved since filter gets 0 */
    for (size_t i = 0; i < q->n; i++)
        if (q->candidates[i].verdict.fits)
            raw[n++] = q->candidates[i].verdict.score;
    score_scale(raw, n, r->app->config.score_max, scaled);
    a->status = 200;
    a->content_type = "application/json";
    buf_reserve(&a->body, q->n * 48 + 8);
    buf_char(&a->body, '[');
    n = 0;
    for (size_t i = 0; i < q->n; i++) {
        const struct ext_candidate *c = &q->candidates[i];
        buf_add(&a->body, i ? STR(",{\"Host\":") : STR("{\"Host\":"));
        buf_json(&a->body, c->name);
        buf_add(&a->body, STR(",\"Score\":"));
        buf_int(&a->body, c->verdict.fits ? less_the_wait(r, c->name, scaled[n++]) : 0);
        buf_char(&a->body, '}');
    }
    buf_char(&a->body, ']');
    return ERR_OK;
}

void ext_prioritize(struct ext_request *r, struct ext_answer *a)
{
    struct ext_question q = {0};
    struct err err;
    enum ext_opened opened;
    enum err_code rc = ext_question_open(r, &q, &opened, &err);
    if (!rc) {
        if (opened == EXT_OPENED_ASKING) {
            rc = scores(r, &q, a, &err);
        } else { /* no opinion */
            a->status = 200;
            a->content_type = "application/json";
            buf_add(&a->body, STR("[]"));
        }
    }
    if (rc) /* the protocol has no place for a text here: kube-scheduler goes on without us */
        ext_answer_text(a, err_class(err.code)->http_status, "%s\n", err.text);
    ext_question_done(&q);
}
