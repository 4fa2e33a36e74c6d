/*
 * futex: the host's, on the application's own addresses, the one exception to "copy".
 *
 * The host keys a private futex, and one in private anonymous memory, by address, so queues survive
 * the line's coming and going. It reads (and for some operations writes) the word itself: where the
 * line is away that is EFAULT, before anything was queued or woken, so the line is brought in and
 * the call repeated. Bounded: a line that leaves each time between the two means a cache of
 * nothing.
 */
#include <linux/futex.h>
#include <linux/time.h>
#include <linux/time_types.h>

#include "thread_calls.h"

enum { TRIES = 1000 };
/* No process has memory there: the host answers EFAULT, EINVAL where it is not aligned. */
#define NOBODYS (UINT64_C(1) << 63)

/* Whether the host writes the word itself. */
static bool changes(uint64_t flags)
{
    int op = (int)flags & FUTEX_CMD_MASK;
    return op == FUTEX_WAKE_OP || op == FUTEX_LOCK_PI || op == FUTEX_UNLOCK_PI ||
           op == FUTEX_TRYLOCK_PI || op == FUTEX_LOCK_PI2 || op == FUTEX_CMP_REQUEUE_PI ||
           op == FUTEX_WAIT_REQUEUE_PI;
}

/*
 * Brings the line of a futex word in, writable where the host will write. A shared futex, too,
 * wants its page writable: the host looks the page up to learn whether it is anonymous, and refuses
 * one that it may only read then; one in memory that is shared may be read-only.
 */
static int touch(uint64_t address, uint64_t flags)
{
    uint32_t word;
    if (address & 3)
        return -EINVAL;
    if (user_read(&word, address, sizeof word) < 0)
        return -EFAULT;
    if (!changes(flags) && flags & FUTEX_PRIVATE_FLAG)
        return 0;
    /* A compare-and-swap with what it is: brings the line in for writing and changes nothing. */
    int rc = user_touch_write(address);
    return changes(flags) ? rc : 0;
}

static bool has_timeout(int op)
{
    return op == FUTEX_WAIT || op == FUTEX_WAIT_BITSET || op == FUTEX_LOCK_PI ||
           op == FUTEX_LOCK_PI2 || op == FUTEX_WAIT_REQUEUE_PI;
}

static bool has_second(int op)
{
    return op == FUTEX_REQUEUE || op == FUTEX_CMP_REQUEUE || op == FUTEX_WAKE_OP ||
           op == FUTEX_CMP_REQUEUE_PI || op == FUTEX_WAIT_REQUEUE_PI;
}

/* A relative wait is restarted with what is left of it, so it becomes an absolute one. */
static long wait_for(const uint64_t a[6], int op, const struct __kernel_timespec *ts)
{
    struct __kernel_timespec end;
    uint64_t bitset = op == FUTEX_WAIT ? FUTEX_BITSET_MATCH_ANY : a[5];
    uint64_t flags = a[1] & (FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);

    if (op == FUTEX_WAIT && ts) {
        flags &= ~(uint64_t)FUTEX_CLOCK_REALTIME;
        uint64_t ns = host_now_ns() + (uint64_t)ts->tv_sec * 1000000000 + (uint64_t)ts->tv_nsec;
        end = (struct __kernel_timespec){(long)(ns / 1000000000), (long)(ns % 1000000000)};
        ts = &end;
    }
    for (int i = 0; i < TRIES; i++) {
        int rc = touch(a[0], a[1]);
        if (rc < 0)
            return rc;
        long n = host_call_intr(__NR_futex, a[0], FUTEX_WAIT_BITSET | flags, a[2], ts, 0, bitset);
        if (n != -EFAULT)
            return n != -EINTR ? n : ts ? -EINTR : -ERESTARTSYS;
    }
    return -EFAULT;
}

long sys_futex(struct thread *t, const uint64_t a[6])
{
    int op = (int)a[1] & FUTEX_CMD_MASK;
    struct __kernel_timespec ts;
    bool timed = has_timeout(op) && a[3];
    (void)t;

    if (!user_range_ok(a[0], 4) || (has_second(op) && !user_range_ok(a[4], 4)))
        return -EFAULT;
    if (timed && user_read(&ts, a[3], sizeof ts) < 0)
        return -EFAULT;
    if (timed && (ts.tv_sec < 0 || (uint64_t)ts.tv_nsec >= 1000000000))
        return -EINVAL;
    if (op == FUTEX_WAIT || op == FUTEX_WAIT_BITSET)
        return wait_for(a, op, timed ? &ts : NULL);
    uint64_t fourth = timed ? (uint64_t)&ts : has_timeout(op) ? 0 : a[3];
    for (int i = 0; i < TRIES; i++) {
        /* Who wakes does not wait, and no signal may keep it from what it has to do. */
        long n = has_timeout(op) ? host_call_intr(__NR_futex, a[0], a[1], a[2], fourth, a[4], a[5])
                                 : host_call(__NR_futex, a[0], a[1], a[2], fourth, a[4], a[5]);
        if (n != -EFAULT)
            return restartable(n);
        int rc = touch(a[0], a[1]);
        if (rc == 0 && has_second(op))
            rc = touch(a[4], a[1]);
        if (rc < 0)
            return rc;
    }
    return -EFAULT;
}

/*
 * futex_waitv: the host's on a copy of the vector. Nothing is queued any more when it answers
 * EFAULT, so all words are brought in and it is called again, as in wait_for(). The words' own
 * errors are the host's to find, in its order: an address that is not the program's becomes one
 * that is nobody's. The time is absolute, and a wait that a handler ended goes on as it was.
 */
long sys_futex_waitv(struct thread *t, const uint64_t a[6])
{
    struct futex_waitv v[FUTEX_WAITV_MAX];
    struct __kernel_timespec ts;
    unsigned count = (unsigned)a[1];
    (void)t;

    if ((unsigned)a[2] || !count || count > FUTEX_WAITV_MAX || !a[0])
        return -EINVAL;
    if (a[3] && (int)a[4] != CLOCK_REALTIME && (int)a[4] != CLOCK_MONOTONIC)
        return -EINVAL;
    if (a[3] && user_read(&ts, a[3], sizeof ts) < 0)
        return -EFAULT;
    if (a[3] && (ts.tv_sec < 0 || (uint64_t)ts.tv_nsec >= 1000000000))
        return -EINVAL;
    if (user_read(v, a[0], count * sizeof *v) < 0)
        return -EFAULT;
    for (unsigned i = 0; i < count; i++)
        if (!user_range_ok(v[i].uaddr, 4))
            v[i].uaddr = NOBODYS | (v[i].uaddr & 3);
    for (int tries = 0; tries < TRIES; tries++) {
        long n = host_call_intr(__NR_futex_waitv, v, count, 0, a[3] ? &ts : NULL, a[4]);
        if (n != -EFAULT)
            return restartable(n);
        for (unsigned i = 0; i < count; i++) {
            int rc = touch(v[i].uaddr, v[i].flags & FUTEX_PRIVATE_FLAG);
            if (rc < 0)
                return rc;
        }
    }
    return -EFAULT;
}

long sys_set_tid_address(struct thread *t, const uint64_t a[6])
{
    t->clear_child_tid = a[0];
    return t->tid;
}
