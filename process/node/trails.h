/*
 * Trails: which lines of files the programs of this pComponent touch when they start, as a start of
 * each has told. A later start fetches them together (docs/decisions/0027-trails.md).
 *
 * Hints: a trail that is wrong costs fetches, of files that the program has mapped itself.
 */
#ifndef ASHLAR_PROCESS_TRAILS_H
#define ASHLAR_PROCESS_TRAILS_H

#include "messages.h"

struct trails;

/* NULL: no memory. */
struct trails *trails_new(void);
void trails_free(struct trails *trails);

/* Puts down a program's trail in place of the one that there was; without files: that one did not
   fit a start, and goes when it fits too few. -EINVAL where it makes no sense, -ENOMEM. Any thread. */
int trails_put(struct trails *trails, const struct msg_process_trail_left *trail)
    __attribute__((warn_unused_result));

/* Encodes a program's trail, an empty one where there is none. Returns bytes or a negative error.
   Any thread. */
int trails_get(struct trails *trails, const struct trail_file *program, uint8_t *out, size_t size)
    __attribute__((warn_unused_result));

#endif
