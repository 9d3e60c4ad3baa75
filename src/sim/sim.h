/* File mode's device plugin: a client like any other that watches pods bound to nodes and serves their lists at once, as
 * the real plugin does (node-side.md 5, 14): empties to-allocate, sets bind-phase, removes the lock, sets the pod
 * Running. It knows vendors by their rows only. */
#ifndef CARDINAL_SIM_SIM_H
#define CARDINAL_SIM_SIM_H

#include "base/clock.h"
#include "base/err.h"
#include "kubeclient/kubeclient.h"
#include "vendor/vendor.h"

struct sim;
MUST_USE enum err_code sim_start(struct kube *k, const struct vendor_table *vendors, const struct clock *clock,
                                 struct sim **ret, struct err *err);
void sim_stop(struct sim *s); /* joins its thread; NULL is fine */

#endif
