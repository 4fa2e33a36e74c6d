/*
 * Frames that run out: parts that move to where there is room, copies that are given up, and at
 * last the end of the run that holds the most. See docs/decisions/0029-the-largest-run-ends.md.
 */
#ifndef ASHLAR_MEMORY_PRESSURE_H
#define ASHLAR_MEMORY_PRESSURE_H

#include "memory.h"

enum { PRESSURE_WAIT_MS = 6000 }; /* for frames; less than a process waits for an answer */

/*
 * Before lines are stored in a primary here: waits until there are frames for those that need any,
 * until deadline_ms at most. ASH_NO_FRAMES: there are none; or what the space refuses requests
 * with. No lock of the space is held.
 */
int pressure_await(struct memory *memory, struct space *space, const struct line_ref *lines,
                   uint32_t count, const uint8_t *data, uint64_t deadline_ms)
    __attribute__((warn_unused_result));

/* A round of one of the replicator's threads. */
void pressure_round(struct memory *memory);

/* Whether replicas had to be given up here lately: no new one is made then. */
bool pressure_is_full(struct memory *memory);

#endif
