/*
 * The thread that keeps replicas' lines within their budget of DRAM: it logs those that were not
 * used lately, empties wasteful segments of the log, brings back what is a primary's now, and bears
 * the loss of an sComponent that had some of it.
 */
#ifndef ASHLAR_MEMORY_LOGGER_H
#define ASHLAR_MEMORY_LOGGER_H

#include "memory.h"

int logger_start(struct memory *memory) __attribute__((warn_unused_result));
void logger_stop(struct memory *memory);

/*
 * Before up to `lines` lines of replicas are stored, with no lock held: has room made for them
 * within the budget, as far as the log can be written to. logger_leave() is owed with what it
 * returns.
 */
uint32_t logger_enter(struct memory *memory, uint32_t lines);
void logger_leave(struct memory *memory, uint32_t entered);

#endif
