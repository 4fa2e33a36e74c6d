/*
 * inotify descriptors: the read end of a pipe that the node fills (process/node/inotify.h). Their
 * events are the node's to give out; the pipe's bytes only make the descriptor readable, and are
 * never read here.
 */
#ifndef ASHLAR_KERNEL_WATCH_H
#define ASHLAR_KERNEL_WATCH_H

#include "../entry/thread.h"
#include "descriptor.h"

struct user_iov;

/* What marks one among the pipes, and is not shown to the program (F_GETFL, fdinfo). */
#define WATCH_MARK O_SYNC
/* Whether a pipe's descriptor is one. */
bool watch_is(int fd);

/* read of an ENTRY_HOST_WATCH; offset -1: none. */
long watch_read(struct thread *t, struct descriptor *d, struct user_iov *v, int64_t offset);
/*
 * Before a look at whether descriptors are readable that does not wait: what happened until now is
 * seen. Does nothing for other descriptors.
 */
void watch_catch_up(struct thread *t, int fd);
/* FIONREAD: bytes of events, or a negative errno. */
long watch_unread(struct thread *t, struct descriptor *d);

#endif
