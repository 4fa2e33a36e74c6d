/*
 * The pComponent's ExCache budget: how much of its memory the processes' caches may fill.
 *
 * A grant is never taken back while its process lives, and the sum of grants never exceeds the
 * total. A run's first process gets what was asked for, or what is left; a forked one at most a
 * quarter of what is left, so that a tree of processes thins out instead of hitting a wall.
 * Not thread-safe: the owner's lock protects it. Everything is in whole lines.
 */
#ifndef ASHLAR_PROCESS_BUDGET_H
#define ASHLAR_PROCESS_BUDGET_H

#include <stdint.h>

#define BUDGET_DEFAULT (64ull << 20)  /* of a process that did not ask */
#define BUDGET_LEAST   (256ull << 10) /* with less a process could not hold its pinned lines */

struct budget {
    uint64_t total_bytes, used_bytes;
};

/* Grants for a run's first process: min(asked, left); 0 where less than BUDGET_LEAST is left. */
uint64_t budget_grant(struct budget *b, uint64_t asked_bytes);
/* Grants for a forked process of a run whose processes get `asked_bytes`; 0 as above. */
uint64_t budget_grant_child(struct budget *b, uint64_t asked_bytes);
void budget_return(struct budget *b, uint64_t bytes);

#endif
