/*
 * Advisory locks on files: POSIX record locks and flock, between everyone who comes to this
 * sComponent.
 *
 * A lock belongs to (run, owner), and lives no longer than the connection that made it. The two
 * families do not see each other, as on Linux. Nothing here waits: a conflict is -EAGAIN, and who
 * wants to wait asks again.
 */
#ifndef ASHLAR_STORAGE_LOCKS_H
#define ASHLAR_STORAGE_LOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "messages.h"

struct locks;

struct lock_request {
    const void *client; /* the connection that it dies with */
    uint64_t run_id, owner;
    uint8_t kind;           /* enum lock_kind */
    uint64_t start, length; /* length 0: to the end of the file, however long it gets */
};

/* NULL: out of memory. */
struct locks *locks_new(void);
void locks_free(struct locks *locks);

/* Takes, changes or gives back. 0, -EAGAIN, -EINVAL, -EOVERFLOW, -ENOLCK, -ENOMEM. */
int locks_set(struct locks *locks, const struct file_id *file, const struct lock_request *request)
    __attribute__((warn_unused_result));
/* Fills reply with what would be in the way (kind LOCK_KIND_NONE: nothing). 0 or -EINVAL. */
int locks_probe(struct locks *locks, const struct file_id *file, const struct lock_request *request,
                struct msg_file_lock_reply *reply) __attribute__((warn_unused_result));
/* Everything that the connection has locked is free again. */
void locks_forget(struct locks *locks, const void *client);

size_t locks_count(struct locks *locks);

#endif
