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

#endif
