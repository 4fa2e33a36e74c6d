/* Locks on host futexes; see lock.h. The word protocols are those of Drepper's "Futexes Are
 * Tricky". */
#include <linux/futex.h>
#include <linux/time_types.h>

#include "host.h"
#include "lock.h"

void futex_wait(uint32_t *word, uint32_t value, uint64_t timeout_ns)
{
    struct __kernel_timespec ts = {.tv_sec = (long)(timeout_ns / 1000000000),
                                   .tv_nsec = (long)(timeout_ns % 1000000000)};
    host_call(__NR_futex, word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, value, timeout_ns ? &ts : NULL);
}

void futex_wake(uint32_t *word, int count)
{
    host_call(__NR_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count);
}

bool mutex_trylock(struct mutex *m)
{
    uint32_t free = 0;
    return __atomic_compare_exchange_n(&m->word, &free, 1, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
}

void mutex_lock(struct mutex *m)
{
    if (mutex_trylock(m))
        return;
    for (int spin = 0; spin < 100; spin++) {
        __builtin_ia32_pause();
        if (mutex_trylock(m))
            return;
    }
    while (__atomic_exchange_n(&m->word, 2, __ATOMIC_ACQUIRE) != 0)
        futex_wait(&m->word, 2, 0);
}

void mutex_unlock(struct mutex *m)
{
    if (__atomic_exchange_n(&m->word, 0, __ATOMIC_RELEASE) == 2)
        futex_wake(&m->word, 1);
}

/*
 * A reader announces itself, then looks for a writer; a writer announces itself, then waits for the
 * readers to go. Sequentially consistent on both words, so one of the two always sees the other.
 */
void rwlock_read(struct rwlock *l)
{
    for (;;) {
        __atomic_add_fetch(&l->readers, 1, __ATOMIC_SEQ_CST);
        if (!__atomic_load_n(&l->writer, __ATOMIC_SEQ_CST))
            return;
        rwlock_read_end(l);
        uint32_t writer = 1;
        if (__atomic_compare_exchange_n(&l->writer, &writer, 2, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST) ||
            writer == 2)
            futex_wait(&l->writer, 2, 0);
    }
}

void rwlock_read_end(struct rwlock *l)
{
    if (__atomic_sub_fetch(&l->readers, 1, __ATOMIC_SEQ_CST) == 0 &&
        __atomic_load_n(&l->writer, __ATOMIC_SEQ_CST))
        futex_wake(&l->readers, 1);
}

void rwlock_write(struct rwlock *l)
{
    mutex_lock(&l->writers);
    __atomic_store_n(&l->writer, 1, __ATOMIC_SEQ_CST);
    uint32_t readers;
    while ((readers = __atomic_load_n(&l->readers, __ATOMIC_SEQ_CST)) != 0)
        futex_wait(&l->readers, readers, 0);
}

void rwlock_write_end(struct rwlock *l)
{
    if (__atomic_exchange_n(&l->writer, 0, __ATOMIC_SEQ_CST) == 2)
        futex_wake(&l->writer, INT32_MAX);
    mutex_unlock(&l->writers);
}
