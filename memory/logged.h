/*
 * Frames of replicas go to the log, and come back.
 *
 * A frame is BACKED where it was stored by a replica, or by a space that was one and has lines in
 * the log. Such frames have a budget of DRAM; beyond it those that were not used lately are logged,
 * many at a time. What is logged is read back where it is fetched, and is hot then; what was a
 * replica's and is a primary's now is brought back as far as there is DRAM (logger.c).
 *
 * Any thread may call any of these, without a lock of a frame's.
 */
#ifndef ASHLAR_MEMORY_LOGGED_H
#define ASHLAR_MEMORY_LOGGED_H

#include "cold.h"

/* Logs up to LOG_LINES frames that were not used since it last looked at them. Returns how many. */
uint32_t logged_put_some(struct cold *cold);
/* Empties a segment that is mostly waste, where there is one. */
bool logged_compact(struct cold *cold);
/* Has the log give back what it has no use for. */
void logged_tidy(struct cold *cold);
/* Whether a frame that is kept by a lock is logged where it is lost. */
bool logged_is_lost(struct cold *cold, struct frame frame);

/* Makes those of `count` frames (at most FETCH_MAX_LINES) hot that are logged. The caller has
   pinned them. While the sComponent does not answer: waits, until it is lost, or, without `wait`,
   -EAGAIN. ASH_LOST, -EIO. */
int logged_heat(struct cold *cold, const struct frame *frames, uint32_t count, bool wait)
    __attribute__((warn_unused_result));
/* The bytes of those that are logged, each to its place in `lines`. Returns how many were not. */
int logged_read(struct cold *cold, const struct frame *frames, uint32_t count, uint8_t *lines)
    __attribute__((warn_unused_result));

#endif
