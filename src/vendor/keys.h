/* Annotation and label keys that all makers share (contract/core.md 0.2): one spelling for who reads and who writes. */
#ifndef CARDINAL_VENDOR_KEYS_H
#define CARDINAL_VENDOR_KEYS_H

#define KEY_POD_NODE "hami.io/vgpu-node" /* annotation and label */
#define KEY_POD_TIME "hami.io/vgpu-time"
#define KEY_POD_BIND_TIME "hami.io/bind-time"
#define KEY_POD_BIND_PHASE "hami.io/bind-phase"
#define KEY_PHASE_ALLOCATING "allocating"
#define KEY_PHASE_SUCCESS "success"
#define KEY_PHASE_FAILED "failed"
#define KEY_POD_NODE_POLICY "hami.io/node-scheduler-policy"
#define KEY_POD_CARD_POLICY "hami.io/gpu-scheduler-policy"
#define KEY_POD_WEIGHTS "hami.io/device-scoring-weights"
#define KEY_POD_FENCE "cardinal.io/fence" /* ours: architecture 5 */
#define KEY_POD_WAKE "cardinal.io/wake"   /* ours: architecture 9 */

#endif
