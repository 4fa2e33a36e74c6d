/*
 * What an open brought along: the file's attributes and first bytes, which the calls that follow it
 * at once (fstat, read, mmap: what every dynamic linker does) are answered from, without a message.
 *
 * Why nobody can see that as stale: it serves only a process of one thread, without memory that it
 * shares (nor does anybody map this file shared), whose calls since the open were about that very
 * file or about its own memory alone. So nothing that another process did since can have been told
 * to it, but by the clock, and OPENED_NS bounds that. Any other call ends it (opened_look, on each
 * call).
 */
#ifndef ASHLAR_KERNEL_FILES_OPENED_H
#define ASHLAR_KERNEL_FILES_OPENED_H

#include <stdbool.h>
#include <stdint.h>

#include "descriptor.h"

struct thread;

enum { OPENED_BYTES = LINE_SIZE, OPENED_NS = 2000000 };

struct opened {
    bool valid;
    int fd;
    struct description_id description;
    uint64_t since_ns;
    struct file_attr attr;
    uint32_t size; /* of bytes[]: as far as the file goes */
    uint8_t bytes[OPENED_BYTES];
};

/* How many bytes an open with these flags is to bring along. */
uint32_t opened_wanted(struct thread *t, uint32_t flags);
/* The answer to an open of this thread... */
void opened_bring(struct thread *t, const struct msg_file_open_reply *reply);
/* ... and the descriptor and description that it has become. */
void opened_keep(struct thread *t, int fd, const struct description_id *description);
/* A call is made: what it does may be what ends it. */
void opened_look(struct thread *t, uint64_t nr, const uint64_t a[6]);
/* A handler of the program is about to run. */
void opened_end(struct thread *t);
/* What is kept about d's file, or NULL. */
const struct opened *opened_of(const struct descriptor *d);

#endif
