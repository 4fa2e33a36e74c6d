/*
 * The monitor's budget of host descriptors for files, out of RLIMIT_NOFILE.
 *
 * Sockets and the short-lived descriptors of path look-ups have a reserve of their own, so a
 * program that holds very many files cannot keep others from connecting. One budget a process, as
 * the limit is the process's.
 */
#ifndef ASHLAR_STORAGE_DESCRIPTORS_H
#define ASHLAR_STORAGE_DESCRIPTORS_H

#include <stdbool.h>

/* Raises RLIMIT_NOFILE to its hard limit and shares it out. Returns the budget for files. */
unsigned descriptors_start(void);
/* Called, with any file's lock held, when the budget is used up: gives up `wanted` or fewer. */
void descriptors_relieve_by(unsigned (*relieve)(void *self, unsigned wanted), void *self);

/* So many more will be opened: false where they are not there even after relief (-ENFILE). */
bool descriptors_take(unsigned count) __attribute__((warn_unused_result));
/* One was closed, or was not opened after all. */
void descriptors_give(void);
unsigned descriptors_used(void);

#endif
