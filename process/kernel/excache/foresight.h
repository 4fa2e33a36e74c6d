/*
 * Whether a line that comes for a read will be written to.
 *
 * It comes write-protected, so that a first write is seen; that write is a fault of its own. A line
 * that was written to when it was here last (LINE_WRITTEN), and then again (LINE_AGAIN), is likely
 * to be written to the next time: it can come writable, counted as dirty, and spare the fault.
 * Where that is wrong, it is sent back for nothing. So what became of lines that had been written
 * to and came protected is counted; while most of them were written to again, those that were twice
 * come writable, but for a sample, so that a change is noticed.
 */
#ifndef ASHLAR_KERNEL_FORESIGHT_H
#define ASHLAR_KERNEL_FORESIGHT_H

#include <stdbool.h>

/* Whether the lines that come next and were written to the last times come writable. Any thread. */
bool foresee_writes(void);
/* A line that was written to last time and came protected was written to again, or has left
   without. Any thread. */
void foresight_learn(bool written);

#endif
