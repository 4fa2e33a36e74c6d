/*
 * Bytes in and out of descriptors, whatever they refer to: the engine of read and write, of their
 * variants, and of the calls that copy between descriptors.
 *
 * Host descriptors may block: they are read and written through the thread's bounce memory, and a
 * signal ends the wait. Results are Linux's: what was done before a fault, a signal or an error
 * counts, if it is anything.
 */
#ifndef ASHLAR_KERNEL_FILE_IO_H
#define ASHLAR_KERNEL_FILE_IO_H

#include "../entry/thread.h"
#include "../files/descriptor.h"
#include "user_iov.h"

/* offset -1: the description's own. flags: RWF_*. */
long file_read(struct thread *t, struct descriptor *d, struct user_iov *v, int64_t offset,
               uint32_t flags);
long file_write(struct thread *t, struct descriptor *d, struct user_iov *v, int64_t offset,
                uint32_t flags);

/*
 * The same between a descriptor and monitor memory of at most BOUNCE_SIZE bytes, in one piece:
 * fewer bytes are read where no more are there, and written where a signal came.
 */
long file_read_kernel(struct descriptor *d, void *to, uint32_t size, int64_t offset);
long file_write_kernel(struct descriptor *d, const void *from, uint32_t size, int64_t offset);

/*
 * Memory files of the host that somebody has mapped: what is in them may be elsewhere, and the node
 * does what is to be done to them.
 */
bool file_is_mapped(const struct descriptor *d);
/* F_GET_SEALS, F_ADD_SEALS of a host descriptor; *mapped: it is one of those. */
long file_seals(int fd, uint32_t command, uint32_t seals, bool *mapped);
/* Truncates one, found by its name; *mapped: it was one, else nothing is done. */
long file_cut_by_name(const char *path, uint64_t size, bool *mapped);
/* What O_TRUNC does to a file of the host that was opened, with these flags but for that. */
long file_cut_opened(int fd, uint64_t flags);

#endif
