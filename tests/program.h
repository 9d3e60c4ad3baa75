/* cardinald as a child process: started with flags, asked over its sockets, ended by signals. Every
 * wait is bounded; what fails shows what the program said. */
#ifndef CARDINAL_TESTS_PROGRAM_H
#define CARDINAL_TESTS_PROGRAM_H

#include "extender_client.h"

#include <stdint.h>
#include <sys/types.h>

struct program {
    pid_t pid;
    int log; /* its stdout and stderr; -1: went elsewhere */
    char text[1 << 16];
    size_t n;
};

/* A folder of its own for files; program_folder_done() removes it and the files written there. */
void program_folder(void);
void program_folder_done(void);
const char *program_path(const char *name); /* borrowed until the next call */
void program_write(const char *name, const char *text);
const char *program_flag(const char *flag, const char *name); /* "--flag=PATH"; one of eight, in turn */

/* Arguments up to NULL. `prepare` (may be NULL) runs in the child before the program does; what it
 * leaves of descriptors 1 and 2 is the program's. */
void program_start(struct program *p, const char *const *args, void (*prepare)(void));
void program_kill(struct program *p); /* and forgets it; nothing if it does not run */
/* Reads what it writes until `want` is there (NULL: to its end); at most 20 s. */
bool program_says(struct program *p, const char *want);
int program_status(struct program *p);  /* waits for the end; fails on one by a signal */
bool program_runs(const struct program *p);
int64_t program_cpu_ms(const struct program *p);
/* "127.0.0.1:40123" of the line of listeners; borrowed until the next call. */
const char *program_listens(struct program *p, const char *what);
/* Nobody listens there right now; for a program that can't say where it does. */
const char *program_free_address(void);
void program_ready(struct program *p, const char *address);
/* One request on a connection of its own; the status. The body has `part` in it (NULL: anything). */
int program_ask(const char *address, const char *method, const char *target, const char *body,
                const char *part);
int64_t program_now_ms(void);

#endif
