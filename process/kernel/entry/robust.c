/*
 * Robust futexes: what a thread that ends has locked is marked, and one sleeper woken for each.
 *
 * The thread walks its list itself, as Linux does (kernel/futex/core.c, exit_robust_list), before
 * it leaves: lines may be away. Who ends the whole process walks those of its other threads too, a
 * moment before they stop. A process that is killed walks none: for that the host has the lists as
 * well, and the lines that they go through do not leave
 * (docs/decisions/0028-the-host-marks-what-a-killed-process-held.md). Where a thread has walked its
 * own the host is told that there is none, for the list may be gone when the host looks.
 */
#include <linux/futex.h>

#include "../host/host.h"
#include "../mm/mm.h"
#include "../mm/uaccess.h"
#include "robust_list.h"
#include "life.h"
#include "process.h"
#include "thread.h"

static SPARSE struct robust_table table; /* changed under table_lock; read without it */
static struct mutex table_lock; /* of this memory, which a vfork child shares; under threads_lock */

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

/* ---- the table ---- */

static void enter(struct thread *t, uint64_t list)
{
    uint32_t place = table.free;
    if (place) {
        table.free = (uint32_t)(table.heads[place - 1] >> 1);
    } else {
        if (table.end == ROBUST_HEADS)
            return;
        place = table.end + 1;
    }
    __atomic_store_n(&table.heads[place - 1], list, __ATOMIC_RELAXED);
    if (place > table.end)
        __atomic_store_n(&table.end, place, __ATOMIC_RELEASE);
    t->robust_place = place;
}

static void remove(struct thread *t)
{
    if (!t->robust_place)
        return;
    __atomic_store_n(&table.heads[t->robust_place - 1], (uint64_t)table.free << 1 | 1,
                     __ATOMIC_RELAXED);
    table.free = t->robust_place;
    t->robust_place = 0;
}

long robust_set(struct thread *t, uint64_t list)
{
    struct process *p = t->process;
    mutex_lock(&p->threads_lock);
    mutex_lock(&table_lock);
    remove(t);
    t->robust_list = list;
    if (list && !(list & 1))
        enter(t, list);
    mutex_unlock(&table_lock);
    mutex_unlock(&p->threads_lock);
    return host_call(__NR_set_robust_list, list, ROBUST_HEAD_SIZE);
}

void robust_fork_child(struct thread *t)
{
    t->robust_list = 0;
    t->robust_place = 0;
    table.end = table.free = 0;
    table_lock = (struct mutex){0};
}

uint64_t robust_table_address(void)
{
    return (uint64_t)&table;
}

struct lines {
    struct vpn *out;
    uint32_t count, most;
};

static void add_line(void *context, uint64_t address)
{
    struct lines *l = context;
    struct vpn page = vpn_of(address);
    for (uint32_t i = 0; i < l->count; i++)
        if (l->out[i].n == page.n)
            return;
    if (l->count < l->most)
        l->out[l->count++] = page;
}

static long read_own(int pid, const struct robust_piece *to, size_t to_count,
                     const struct robust_piece *from, size_t from_count)
{
    return host_call(__NR_process_vm_readv, pid, to, to_count, from, from_count, 0);
}

uint32_t robust_lines(struct vpn *out, uint32_t most)
{
    struct lines l = {.out = out, .most = most};
    struct robust_reader r = {
        .pid = current()->process->pid, .read = read_own, .seen = add_line, .context = &l};
    robust_walk(&r, robust_table_address());
    return l.count;
}

/* ---- ends ---- */

void robust_end(struct thread *t)
{
    uint64_t list = t->robust_list;
    if (!list)
        return;
    walk(list, t->tid);
    robust_set(t, 0);
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
