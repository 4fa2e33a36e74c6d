/*
 * Whose rights a thread has at the sComponent's files: FILE_IDENTITY.
 *
 * Where root runs the rack a program may become another user. Ids are a thread's own, as on Linux:
 * each call that may change them has the thread looked at anew, and it goes by a number that is
 * made of its ids and groups. A connection to the sComponent knows which it was told last (rpc.c),
 * and is told another one before the next request. Nothing is told where the number is 0: of root,
 * for whom the monitor's own rights are right, and of whoever runs in another user's rack, whose
 * rights all of its processes have.
 *
 * Of more than GROUPS_MAX groups those with the highest numbers are left out.
 */
#ifndef ASHLAR_KERNEL_IDENTITY_H
#define ASHLAR_KERNEL_IDENTITY_H

#include <stddef.h>
#include <stdint.h>

struct process;

/* A number that is no thread's: what a connection was told is not known. */
#define IDENTITY_UNKNOWN 1

enum { IDENTITY_BYTES = 1024 };

/* The number of the calling thread, as the host has it now. */
uint64_t identity_now(const struct process *p);
/* The same of a program that begins, from what the host told it: no call where it is 0. */
uint64_t identity_at_start(const struct process *p);
/* The body of the FILE_IDENTITY that tells of the calling thread; IDENTITY_BYTES. Its size. */
int identity_encode(uint8_t *body);

#endif
