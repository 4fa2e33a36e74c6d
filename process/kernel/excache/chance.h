/*
 * Whether second chances pay, measured as they are given.
 *
 * A clean line that leaves can be dropped at once, all of a round's lines in one host call; or it
 * is moved to the staging region, where a touch takes it back without a message. Moving costs one
 * flush of the TLB a line, which takes from 1 us to 40 with the host; what a rescue saves is a
 * fetch, which takes what the network takes. So both are measured: chances pay while the rescues of
 * some lines have saved more time than moving and rescuing them has taken. Where they do not, a
 * sample of the lines still gets one, so that a change is noticed.
 *
 * Dirty lines are moved in any case, which keeps them unchanged while they are sent.
 */
#ifndef ASHLAR_KERNEL_CHANCE_H
#define ASHLAR_KERNEL_CHANCE_H

#include <stdbool.h>
#include <stdint.h>

/* Whether the clean lines of the next round get one. These three: evict_lock is held. */
bool chance_pays(void);
/* Clean lines were staged, which took so long. */
void chance_given(uint64_t ns);
/* The chance of so many lines is over, taken or not. */
void chance_over(uint32_t lines);
/* A clean line was rescued, which took so long. Any thread. */
void chance_taken(uint64_t ns);
/* Lines were fetched, which took so long. Any thread. */
void chance_fetched(uint32_t lines, uint64_t ns);

#endif
