/* What programs say and ask about ranges of their memory: madvise, mincore, msync, mlock. */
#include <linux/capability.h>
#include <linux/mman.h>
#include <linux/resource.h>

#include "../excache/excache.h"
#include "../mm/mm.h"
#include "../mm/shared.h"
#include "memory_calls.h"

#ifndef MADV_POPULATE_READ /* Linux 5.14 */
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif
#define MCL_CURRENT 1
#define MCL_FUTURE  2
#define MCL_ONFAULT 4

static uint64_t lines_in(uint64_t length)
{
    return length / LINE_SIZE + (length % LINE_SIZE != 0);
}

/* ---- madvise ---- */

/* The flags of vmas for which Linux refuses an advice. */
static unsigned refused_for(int advice)
{
    return advice == MADV_NORMAL || advice == MADV_RANDOM || advice == MADV_SEQUENTIAL ||
                   advice == MADV_WILLNEED || advice == MADV_HUGEPAGE ||
                   advice == MADV_NOHUGEPAGE || advice == MADV_DONTDUMP || advice == MADV_DODUMP ||
                   advice == MADV_MERGEABLE || advice == MADV_UNMERGEABLE
               ? 0
               : VMA_LOCKED;
}

static bool is_known(int advice)
{
    switch (advice) {
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_DONTNEED:
    case MADV_FREE:
    case MADV_REMOVE:
    case MADV_DONTFORK:
    case MADV_DOFORK:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_WIPEONFORK:
    case MADV_KEEPONFORK:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
        return true;
    }
    return false;
}

long sys_madvise(struct thread *t, const uint64_t a[6])
{
    int advice = (int)a[2];
    uint64_t length = lines_in(a[1]) << LINE_SHIFT;
    (void)t;
    if (!is_known(advice) || a[0] & (LINE_SIZE - 1) || (a[1] && !length) || a[0] + length < a[0])
        return -EINVAL;
    if (!length)
        return 0;
    long rc;
    switch (advice) {
    case MADV_DONTNEED:
        rc = mm_check(a[0], length, VMA_LOCKED, false);
        return rc == -EINVAL ? rc : mm_discard(a[0], length);
    case MADV_REMOVE:
        return shared_remove(a[0], length);
    case MADV_DONTFORK:
        return mm_set_flags(a[0], length, VMA_NO_FORK, 0);
    case MADV_DOFORK:
        return mm_set_flags(a[0], length, 0, VMA_NO_FORK);
    case MADV_WIPEONFORK:
        return mm_set_flags(a[0], length, VMA_WIPE, 0);
    case MADV_KEEPONFORK:
        return mm_set_flags(a[0], length, 0, VMA_WIPE);
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
        return mm_populate(a[0], length, advice == MADV_POPULATE_WRITE);
    case MADV_FREE: /* may be done at any time: at once, before the lines have to be sent anywhere
                     */
        rc = mm_check(a[0], length, VMA_LOCKED, true);
        return rc == -EINVAL ? rc : mm_discard(a[0], length);
    }
    return mm_check(a[0], length, refused_for(advice), false);
}

/* Advice for another process, by its pidfd: for the rightful only, and there are none. */
long sys_process_madvise(struct thread *t, const uint64_t a[6])
{
    (void)t;
    if (a[4])
        return -EINVAL;
    return (int)a[0] < 0 || host_call(__NR_fcntl, a[0], 1 /* F_GETFD */) < 0 ? -EBADF : -EPERM;
}

/* ---- mincore, msync ---- */

/* What is resident in the ExCache. */
long sys_mincore(struct thread *t, const uint64_t a[6])
{
    uint64_t lines = lines_in(a[1]);
    uint8_t *bounce = thread_bounce(t);
    if (a[0] & (LINE_SIZE - 1))
        return -EINVAL;
    if (lines && !user_range_ok(a[0], a[1]))
        return -ENOMEM;
    if (a[2] >= WINDOW_END)
        return -EFAULT;
    if (!bounce)
        return -EAGAIN;
    for (uint64_t done = 0; done < lines;) {
        uint64_t n = lines - done < BOUNCE_SIZE ? lines - done : BOUNCE_SIZE;
        long rc = mm_resident((struct vpn){vpn_of(a[0]).n + done}, n, bounce);
        if (rc < 0)
            return rc;
        if (user_write(a[2] + done, bounce, n) < 0)
            return -EFAULT;
        done += n;
    }
    return 0;
}

/* Private mappings have nothing to write to a file. */
long sys_msync(struct thread *t, const uint64_t a[6])
{
    uint64_t length = lines_in(a[1]) << LINE_SHIFT;
    (void)t;
    if (a[0] & (LINE_SIZE - 1) || a[2] & ~(uint64_t)(MS_ASYNC | MS_SYNC | MS_INVALIDATE) ||
        (a[2] & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC))
        return -EINVAL;
    if (a[0] + length < a[0])
        return -ENOMEM;
    if (!length)
        return 0;
    long rc = mm_check(a[0], length, a[2] & MS_INVALIDATE ? VMA_LOCKED : 0, false);
    if (rc < 0)
        return rc == -EINVAL ? -EBUSY : rc;
    return a[2] & MS_SYNC ? shared_sync(a[0], a[1], true) : 0;
}

/* ---- mlock: see mm/advise.c ---- */

static bool is_privileged(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
    return host_call(__NR_capget, &head, data) == 0 && data[0].effective >> CAP_IPC_LOCK & 1;
}

static uint64_t limit_lines(void)
{
    struct rlimit64 l = {0};
    host_call(__NR_prlimit64, 0, RLIMIT_MEMLOCK, NULL, &l);
    return l.rlim_cur / LINE_SIZE;
}

bool lock_allowed(uint64_t more)
{
    return mm_locked_lines() + more <= limit_lines() || is_privileged();
}

static long lock_range(uint64_t address, uint64_t length, bool on_fault)
{
    if (!limit_lines() && !is_privileged())
        return -EPERM;
    uint64_t first = address & ~(uint64_t)(LINE_SIZE - 1);
    length = lines_in(length + (address - first)) << LINE_SHIFT;
    uint64_t locked = mm_locked_lines() - mm_locked_within(first, length);
    if (locked + length / LINE_SIZE > limit_lines() && !is_privileged())
        return -ENOMEM;
    if (first + length < first)
        return -EINVAL;
    if (!length)
        return 0;
    long rc = mm_set_flags(first, length, VMA_LOCKED, 0);
    if (rc < 0 || on_fault)
        return rc;
    rc = mm_populate(first, length, false);
    return rc < 0 ? -ENOMEM : 0;
}

long sys_mlock(struct thread *t, const uint64_t a[6])
{
    (void)t;
    return lock_range(a[0], a[1], false);
}

long sys_mlock2(struct thread *t, const uint64_t a[6])
{
    (void)t;
    return a[2] & ~(uint64_t)MLOCK_ONFAULT ? -EINVAL : lock_range(a[0], a[1], a[2]);
}

long sys_munlock(struct thread *t, const uint64_t a[6])
{
    uint64_t first = a[0] & ~(uint64_t)(LINE_SIZE - 1);
    uint64_t length = lines_in(a[1] + (a[0] - first)) << LINE_SHIFT;
    (void)t;
    if (first + length < first)
        return -EINVAL;
    return length ? mm_set_flags(first, length, 0, VMA_LOCKED) : 0;
}

long sys_mlockall(struct thread *t, const uint64_t a[6])
{
    int flags = (int)a[0];
    (void)t;
    if (!flags || flags & ~(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) || flags == MCL_ONFAULT)
        return -EINVAL;
    if (!is_privileged()) {
        if (!limit_lines())
            return -EPERM;
        if (flags & MCL_CURRENT && mm_lines() > limit_lines())
            return -ENOMEM;
    }
    mm_set_lock_future(flags & MCL_FUTURE);
    if (flags & MCL_CURRENT) {
        mm_set_all_flags(VMA_LOCKED, 0);
        if (!(flags & MCL_ONFAULT))
            mm_populate_all();
    }
    return 0;
}

long sys_munlockall(struct thread *t, const uint64_t a[6])
{
    (void)t;
    (void)a;
    mm_set_lock_future(false);
    mm_set_all_flags(0, VMA_LOCKED);
    return 0;
}
