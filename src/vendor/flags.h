/* Flags of HAMi v2.10's scheduler about makers. Those that name resources have no effect there
 * either: the device configuration file overwrites them (contract/core.md 15, C37; vendors-b.md 2b). */
#ifndef CARDINAL_VENDOR_FLAGS_H
#define CARDINAL_VENDOR_FLAGS_H

/* X(name): a flag with a text value */
#define VENDOR_HAMI_FLAGS(X)                                                                       \
    X("cambricon-mlu-name")                                                                        \
    X("cambricon-mlu-memory")                                                                      \
    X("cambricon-mlu-cores")                                                                       \
    X("dcu-name")                                                                                  \
    X("dcu-memory")                                                                                \
    X("dcu-cores")                                                                                 \
    X("mthreads-name")                                                                             \
    X("mthreads-memory")                                                                           \
    X("mthreads-cores")                                                                            \
    X("kunlun-name")                                                                               \
    X("kunlun-vcount")                                                                             \
    X("kunlun-vmemory")                                                                            \
    X("metax-name")                                                                                \
    X("metax-vcount")                                                                              \
    X("metax-vcore")                                                                               \
    X("metax-vmemory")                                                                             \
    X("enflame-gcu-resource-name")                                                                 \
    X("enflame-drs-gcu-resource-name")                                                             \
    X("enflame-gcu-memory-resource-name")                                                          \
    X("enflame-gcu-core-resource-name")                                                            \
    X("enflame-vgcu-resource-name")                                                                \
    X("enflame-vgcu-legacy-resource-name")                                                         \
    X("enflame-vgcu-percentage-resource-name")
/* X(name): a bool */
#define VENDOR_HAMI_FLAGS_BOOL(X)                                                                  \
    X("sgpu-topology-aware")
/* X(number, name, section): a bool; given as false, the rows of this section are left out */
#define VENDOR_SECTION_FLAGS(X)                                                                    \
    X(0, "enable-ascend", "vnpus")                                                                 \
    X(1, "enable-iluvatar", "iluvatars")
#define VENDOR_SECTION_FLAGS_N 2

#endif
