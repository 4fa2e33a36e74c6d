/*
 * Advisory locks on files: POSIX record locks, OFD locks and flock, between everyone who comes to
 * this sComponent.
 *
 * A POSIX lock belongs to a process, the others to an open file description, and each lives as long
 * as its owner. Record locks (POSIX and OFD) and flocks do not see each other, as on Linux. Nothing
 * here waits: a conflict is -EAGAIN, and who wants to wait asks again.
 */
#ifndef ASHLAR_STORAGE_LOCKS_H
#define ASHLAR_STORAGE_LOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "messages.h"

struct locks;

enum { LOCK_NO_PID = UINT32_MAX }; /* of a description's locks, as F_GETLK tells it */

struct lock_owner {
    const void *of; /* a client or a description; compared, not looked at */
    uint32_t pid;
};

struct lock_request {
    struct lock_owner owner;
    uint8_t kind;           /* enum lock_kind */
    uint8_t wait;           /* enum lock_wait; heeded for POSIX locks */
    uint64_t start, length; /* length 0: to the end of the file, however long it gets */
};

/* NULL: out of memory. */
struct locks *locks_new(void);
void locks_free(struct locks *locks);

/* Takes, changes or gives back. 0, -EAGAIN, -EDEADLK, -EINVAL, -EOVERFLOW, -ENOLCK, -ENOMEM. */
int locks_set(struct locks *locks, const struct file_id *file, const struct lock_request *request)
    __attribute__((warn_unused_result));
/* Fills reply with what would be in the way (kind LOCK_KIND_NONE: nothing). 0 or -EINVAL. */
int locks_probe(struct locks *locks, const struct file_id *file, const struct lock_request *request,
                struct msg_file_lock_reply *reply) __attribute__((warn_unused_result));
/* An owner has ended: what it has locked is free again, of one file or of all. */
void locks_forget(struct locks *locks, const struct file_id *file, const void *of);
void locks_forget_all(struct locks *locks, const void *of);

size_t locks_count(struct locks *locks);

#endif
