/* key=value lines on stderr, one write a line, at most 2 KiB. Levels as HAMi's users know them: 0
 * always, 2 what changed, 4 per node, 5 per card. Thread-safe. Never waits for whoever reads: a line
 * that finds no room (a full pipe, no reader, ENOSPC) is counted and left out, and the next that is
 * written says how many were. */
#ifndef CARDINAL_BASE_LOG_H
#define CARDINAL_BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_severity { LOG_INFO, LOG_WARN, LOG_ERROR };

extern _Atomic int log_level; /* the one mutable global: -v=N */

/* `msg` is a constant; `fmt` formats the rest as key=value pairs (may be "" in the macros below).
 * Values from outside go through %s, whose text can't break out of its value: control characters,
 * quotes and backslashes are escaped, and a value that is one %s alone (key=%s) is put in quotes
 * where it needs them. */
void log_line(enum log_severity sev, const char *msg, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
uint64_t log_lost(void); /* lines that could not be written */

/* The blank in front lets `fmt` be "" without a warning about empty formats. */
#define LOG_V(v) (atomic_load_explicit(&log_level, memory_order_relaxed) >= (v))
#define log_info(v, msg, ...)                                                                      \
    do {                                                                                           \
        if (LOG_V(v))                                                                              \
            log_line(LOG_INFO, msg, " " __VA_ARGS__);                                              \
    } while (0)
#define log_warn(msg, ...)  log_line(LOG_WARN, msg, " " __VA_ARGS__)
#define log_error(msg, ...) log_line(LOG_ERROR, msg, " " __VA_ARGS__)

#endif
