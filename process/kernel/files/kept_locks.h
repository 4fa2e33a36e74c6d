/*
 * Which record locks a process or a description has on a file, as the sComponent has answered: for
 * the case that its monitor is started again and does not know them any more.
 */
#ifndef ASHLAR_KERNEL_KEPT_LOCKS_H
#define ASHLAR_KERNEL_KEPT_LOCKS_H

#include <stdbool.h>
#include <stdint.h>

enum { KEPT_LOCKS_MAX = 40 };

struct kept_lock {
    uint64_t first, last; /* bytes, both within */
    uint64_t kind;        /* LOCK_KIND_READ, LOCK_KIND_WRITE */
};

/* The intervals do not overlap. All zero: none. */
struct kept_locks {
    uint32_t count;
    uint32_t lost; /* there were more than fit: what it has is not known any more */
    struct kept_lock locks[KEPT_LOCKS_MAX];
};

/* Interval [first, last] has become `kind`, LOCK_KIND_NONE being none. */
void kept_locks_set(struct kept_locks *kept, uint64_t first, uint64_t last, uint8_t kind);

#endif
