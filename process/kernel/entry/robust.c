/*
 * Robust futexes: what a thread that ends has locked is marked, and one sleeper woken for each.
 *
 * The thread walks its list itself, as Linux does (kernel/futex/core.c, exit_robust_list), before it
 * leaves: lines may be away. Who ends the whole process walks those of its other threads too, a moment
 * before they stop. A process that is killed walks none: for that the host has the lists as well
 * (docs/decisions/0028-the-host-marks-what-a-killed-process-held.md). Where a thread has walked its
 * own the host is told that there is none, for the list may be gone when the host looks.
 */
#include <linux/futex.h>

#include "../host/host.h"
#include "../mm/uaccess.h"
#include "life.h"
#include "process.h"
#include "thread.h"

enum { PI = 1 }; /* in the lowest bit of a link */

/* One lock of thread `tid`. `pending`: it was being taken or released. false: a wild address. */
static bool mark(uint64_t address, int tid, bool pi, bool pending)
{
    uint32_t value, next;
    int rc;

    if (address & 3)
        return false;
    do {
        if (user_read(&value, address, sizeof value) < 0)
            return false;
        /* Released already, but perhaps without the wake that was to follow. */
        if (pending && !pi && value == 0)
            break;
        if ((value & FUTEX_TID_MASK) != (uint32_t)tid)
            return true;
        next = (value & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
        rc = user_exchange(address, value, next);
        if (rc < 0)
            return false;
    } while (rc > 0);
    if (!pi && (value == 0 || value & FUTEX_WAITERS))
        while (host_call(__NR_futex, address, FUTEX_WAKE, 1) == -EFAULT &&
               user_touch_write(address) == 0)
            ;
    return true;
}

static void walk(uint64_t list, int tid)
{
    struct {
        uint64_t next;
        int64_t offset;
        uint64_t pending;
    } head;

    if (!list || user_read(&head, list, sizeof head) < 0)
        return;
    uint64_t at = head.next;
    for (int i = 0; i < ROBUST_LIST_LIMIT && (at & ~(uint64_t)PI) != list; i++) {
        uint64_t entry = at & ~(uint64_t)PI, next;
        bool more = user_read(&next, entry, sizeof next) == 0;
        if (entry != (head.pending & ~(uint64_t)PI) &&
            !mark(entry + (uint64_t)head.offset, tid, at & PI, false))
            break;
        if (!more)
            return;
        at = next;
    }
    if (head.pending)
        (void)mark((head.pending & ~(uint64_t)PI) + (uint64_t)head.offset, tid, head.pending & PI,
                   true);
}

void robust_end(struct thread *t)
{
    uint64_t list = t->robust_list;
    if (!list)
        return;
    t->robust_list = 0;
    walk(list, t->tid);
    host_call(__NR_set_robust_list, 0, ROBUST_HEAD_SIZE);
}

void robust_end_all(struct thread *t)
{
    struct process *p = t->process;
    struct {
        uint64_t list;
        int tid;
    } *lists = (void *)thread_bounce(t);
    size_t count = 0;

    robust_end(t);
    mutex_lock(&p->threads_lock);
    for (struct thread *o = p->threads; lists && o; o = o->next)
        if (o->robust_list && (count + 1) * sizeof *lists <= BOUNCE_SIZE) {
            lists[count].list = o->robust_list;
            lists[count++].tid = o->tid;
        }
    mutex_unlock(&p->threads_lock);
    for (size_t i = 0; i < count; i++)
        walk(lists[i].list, lists[i].tid);
}

long robust_of(struct process *p, int tid, uint64_t *list)
{
    long rc = -ESRCH;
    mutex_lock(&p->threads_lock);
    for (struct thread *o = p->threads; o; o = o->next)
        if (o->tid == tid) {
            *list = o->robust_list;
            rc = 0;
        }
    mutex_unlock(&p->threads_lock);
    return rc < 0 && tid > 0 && host_call(__NR_kill, tid, 0) != -ESRCH ? -EPERM : rc;
}
