/*
 * Locks of ashlar-exec: a mutex and a writer-preferring readers-writer lock, on host futexes.
 *
 * Both are private to the address space (a vfork child included). docs/locking.md has the order.
 * None may be held while application memory is touched (mm/uaccess.h): the miss that this can cause
 * takes mm->lock itself.
 */
#ifndef ASHLAR_KERNEL_LOCK_H
#define ASHLAR_KERNEL_LOCK_H

#include <stdbool.h>
#include <stdint.h>

struct mutex {
    uint32_t word; /* 0 free, 1 held, 2 held and waited for */
};
void mutex_lock(struct mutex *m);
bool mutex_trylock(struct mutex *m);
void mutex_unlock(struct mutex *m);

struct rwlock {
    uint32_t readers; /* how many hold it */
    uint32_t writer;  /* 0 none, 1 one holds it or waits for readers to go, 2 and a reader sleeps */
    struct mutex writers;
};
void rwlock_read(struct rwlock *l);
void rwlock_read_end(struct rwlock *l);
void rwlock_write(struct rwlock *l);
void rwlock_write_end(struct rwlock *l);

/* Sleeps while *word == value, at most timeout_ns (0: for ever); spurious returns are normal. */
void futex_wait(uint32_t *word, uint32_t value, uint64_t timeout_ns);
void futex_wake(uint32_t *word, int count);

#endif
