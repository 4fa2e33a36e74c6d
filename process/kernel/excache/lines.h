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
    LINE_REMOTE = 8,     /* the owner holds content for it */
    LINE_WAITED = 16,    /* somebody sleeps on the word */
    LINE_SLOT_SHIFT = 5, /* the slot it owns, where it is resident or staged */
};
enum { LINE_SLOTS_MAX = 1 << 26 };

/* The word of a line; makes its table. NULL: out of memory. */
uint32_t *line_word(struct vpn page);
/* The same without making it: NULL where no line of that vRegion was ever touched. */
uint32_t *line_word_if_any(struct vpn page);

/* From state `from` to BUSY, keeping the other bits; false if the word is not in that state now. */
bool line_claim(uint32_t *word, uint32_t from_state);
/* Ends BUSY: stores `value` (state, LINE_REMOTE, slot) and wakes who waits. */
void line_release(uint32_t *word, uint32_t value);
/* Sleeps until the word is not BUSY. */
void line_wait(uint32_t *word);

#endif
