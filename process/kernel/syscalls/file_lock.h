/* Advisory locks, for fcntl and close. */
#ifndef ASHLAR_KERNEL_FILE_LOCK_H
#define ASHLAR_KERNEL_FILE_LOCK_H

#include "../entry/thread.h"
#include "../files/descriptor.h"

/* F_GETLK and its like; argument is the program's struct flock. */
long file_lock(struct thread *t, struct descriptor *d, uint32_t command, uint64_t argument);
/* A descriptor of the file is being closed: the process's POSIX locks on it end. */
void file_locks_closed(const struct descriptor *d);

#endif
