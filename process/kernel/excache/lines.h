/*
 * The line words: four bytes for each line of the address space, in tables of one vRegion each that
 * are made when the first line of it is touched.
 */
#ifndef ASHLAR_KERNEL_LINES_H
#define ASHLAR_KERNEL_LINES_H

#include <stdint.h>

#include "types.h"

enum line_state {
    LINE_ABSENT = 0,
    LINE_BUSY = 1,
    LINE_CLEAN = 2,
    LINE_DIRTY = 3,
    LINE_STAGED = 4,
    LINE_STATE_MASK = 7,
    LINE_REMOTE = 8,   /* the owner holds content for it */
    LINE_WRITTEN = 16, /* it was written to when it was here last, or is now */
    LINE_AGAIN = 32,   /* it was also the time before, when it came protected */
    LINE_KEPT = LINE_REMOTE | LINE_WRITTEN | LINE_AGAIN, /* what stays when it leaves */
    LINE_WAITED = 64,                                    /* somebody sleeps on the word */
    LINE_SLOT_SHIFT = 7, /* the slot it owns, where it is resident or staged */
};
enum { LINE_SLOTS_MAX = 1 << 25 };

/* The word of a line; makes its table. NULL: out of memory. */
uint32_t *line_word(struct vpn page);
/* The same without making it: NULL where no line of that vRegion was ever touched. */
uint32_t *line_word_if_any(struct vpn page);
/* Where the table of a vRegion is named: NULL there for one like that. An atomic (acquire). */
uint32_t **line_table(uint64_t vregion);

/* From state `from` to BUSY, keeping the other bits; false if the word is not in that state now. */
bool line_claim(uint32_t *word, uint32_t from_state);
/* Ends BUSY: stores `value` (state, what is kept, slot) and wakes who waits. */
void line_release(uint32_t *word, uint32_t value);
/* Sleeps until the word is not BUSY. */
void line_wait(uint32_t *word);

#endif
