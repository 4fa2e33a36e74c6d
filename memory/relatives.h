/*
 * Address spaces that share frames with each other, as those that forks made do. A copy that is
 * made anew begins as a copy of a relative's, where that is, and shares frames there as well.
 */
#ifndef ASHLAR_MEMORY_RELATIVES_H
#define ASHLAR_MEMORY_RELATIVES_H

#include "memory.h"

struct relative {
    struct space *space;  /* NULL: there is none; else with a reference */
    struct component at;  /* where its replica is */
    unsigned own_percent; /* of the lines of the other: those that it does not share, about */
};

/*
 * That primary of the same run which has most lines in common with `space`, at least half of them,
 * and has a replica at a component that gets new ones and is not `failed`. By a sample of its
 * `lines` lines: no more than a guess.
 */
struct relative relative_of(struct memory *memory, struct space *space, uint64_t lines,
                            struct component failed);

#endif
