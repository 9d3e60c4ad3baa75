/* What filter and prioritize have in common: "this pod, these nodes?" made ready for the core, one
 * verdict a node. */
#ifndef CARDINAL_EXTENDER_QUESTION_H
#define CARDINAL_EXTENDER_QUESTION_H

#include "extender/priv.h"

struct ext_candidate {
    struct str name;
    const struct cluster_node *node; /* NULL: the cluster has no such node */
    struct score_verdict verdict;
};

struct ext_question { /* init with {0}; ext_question_done() once, whatever happened */
    struct ext_args args;
    struct cluster_pod pod;
    struct cluster_snapshot *snapshot;
    struct cluster_class *class;
    struct score_prepared
        prepared; /* over the snapshot's types; simulated nodes are prepared one by one */
    struct score_quota quotas[SCORE_VENDORS_MAX];
    struct ext_candidate *candidates; /* in the order asked */
    struct str *items; /* nodeCacheCapable=false: the raw Node of each candidate; else NULL */
    size_t n;
    char own[256]; /* node where a bind of this very pod is charged; "" */
};

enum ext_opened {
    EXT_OPENED_ASKING,  /* candidates are there, ext_question_ask() comes next */
    EXT_OPENED_PASS,    /* the pod asks for none of our resources */
    EXT_OPENED_REFUSED, /* the ask can't be served anywhere: pod.refused_reason, refused_text */
};
/* Steps 1 to 3. ERR_UNAVAILABLE: not ready (only for pods that ask for cards). Borrowed from the
 * request. */
MUST_USE enum err_code ext_question_open(struct ext_request *r, struct ext_question *q,
                                         enum ext_opened *ret, struct err *err);
/* Step 4: a verdict for each candidate, without holds. */
MUST_USE enum err_code ext_question_ask(struct ext_request *r, struct ext_question *q,
                                        struct err *err);
/* Steps 3 and 4 once more, for names: the nodes moved while we looked. */
MUST_USE enum err_code ext_question_again(struct ext_request *r, struct ext_question *q,
                                          struct err *err);
/* Fits, and on which cards, with `extra` on top (may be NULL). */
MUST_USE enum err_code
ext_question_place(struct ext_request *r, struct ext_question *q, const struct cluster_node *node,
                   const struct score_extra *extra, struct score_verdict *ret,
                   struct score_placement *placement, struct score_detail *detail, struct err *err);
void ext_question_done(struct ext_question *q);

#endif
