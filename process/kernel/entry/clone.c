/*
 * clone, fork and vfork.
 *
 * A thread: a block of its own, the host's clone with it as stack.
 * A fork: under mm's write lock nothing is filling or leaving and nothing is in flight, so the
 * home's copy-on-write clone of the address space and the host's copy of the resident lines are one
 * moment. The child gets its own seat, lifeline and connections before the host forks, so that it
 * can go on whatever the node does meanwhile. A vfork child shares the memory, the monitor's tables
 * for it and the connections, and has its own descriptors, handlers and seat; its parent's thread
 * sleeps until it execs or ends.
 *
 * Messages: thread none; fork SPACE_CLONE, PROCESS_FORK, PROCESS_STARTED, FILE_KEEP; vfork
 * PROCESS_FORK.
 */
#include <linux/fcntl.h>
#include <linux/futex.h>
#include <linux/sched.h>

#include "../excache/trail.h"
#include "../files/files.h"
#include "../host/host.h"
#include "../mm/mm.h"
#include "../proc/proc.h"
#include "../mm/shared.h"
#include "../mm/uaccess.h"
#include "../rpc/node.h"
#include "../rpc/rpc.h"
#include "../rpc/rpc_pool.h"
#include "../signals/signals.h"
#include "life.h"
#include "process.h"
#include "thread.h"
#include "thread_calls.h"

#define SIGNAL_MASK 0xff
#define NAMESPACES                                                                                 \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |  \
     CLONE_NEWNET)

struct clone_request {
    uint64_t flags, stack, parent_tid, child_tid, tls;
};

/* ---- threads ---- */

enum { TID_TO_WRITE, TID_BEING_WRITTEN, TID_WRITTEN };

/*
 * CLONE_PARENT_SETTID: the tid is there before clone returns in the parent and before the child
 * runs. Whoever comes first writes it and the other waits for that, so that none of them writes
 * when the child has ended and zeroed the same word (glibc has one for both).
 */
static void write_parent_tid(struct thread *n, uint64_t address, int tid)
{
    uint32_t state = TID_TO_WRITE;
    if (__atomic_compare_exchange_n(&n->tid_state, &state, TID_BEING_WRITTEN, false,
                                    __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        /* As on Linux, the thread runs even where this address is wrong. */
        (void)user_write_some(address, &tid, sizeof tid);
        __atomic_store_n(&n->tid_state, TID_WRITTEN, __ATOMIC_RELEASE);
        futex_wake(&n->tid_state, 1);
        return;
    }
    while (__atomic_load_n(&n->tid_state, __ATOMIC_ACQUIRE) != TID_WRITTEN)
        futex_wait(&n->tid_state, TID_BEING_WRITTEN, 0);
}

void thread_begin(struct thread *t)
{
    int tid = (int)host_call(__NR_gettid);
    t->tid = tid;
    thread_arm(t);
    if (t->start_flags & CLONE_PARENT_SETTID)
        write_parent_tid(t, t->start_parent_tid, tid);
    if (t->start_flags & CLONE_CHILD_SETTID && user_write(t->start_child_tid, &tid, 4) < 0)
        t->start_flags &= ~(uint64_t)CLONE_CHILD_SETTID;
    if (t->start_flags & CLONE_VFORK) {
        t->process->pid = tid;
        node_watch(t->process->lifeline_fd);
    }
    signals_thread_begin(t);
    thread_return(t);
}

/* The block of a thread that starts where `t` is, in process p. */
static struct thread *make_thread(struct thread *t, struct process *p,
                                  const struct clone_request *r)
{
    struct thread *n = thread_new(p, t->mm);
    if (!n)
        return NULL;
    n->regs = t->regs;
    n->regs.rax = 0;
    n->regs.orig_rax = (uint64_t)-1;
    if (r->stack)
        n->regs.rsp = r->stack;
    n->sigmask = t->sigmask;
    n->owns_gs = t->owns_gs;
    n->identity = t->identity;
    n->start_flags = r->flags;
    n->start_parent_tid = r->parent_tid;
    n->start_child_tid = r->child_tid;
    if (r->flags & CLONE_CHILD_CLEARTID)
        n->clear_child_tid = r->child_tid;
    return n;
}

static long clone_thread(struct thread *t, const struct clone_request *r)
{
    threads_reap(t->process);
    struct thread *n = make_thread(t, t->process, r);
    if (!n)
        return -EAGAIN;
    /* Set by the host in the child as well; here so that nobody takes the block for a dead one. */
    n->alive = 1;
    n->held = 1;
    thread_link(n);
    uint64_t flags = (r->flags & ~(uint64_t)(CLONE_CHILD_SETTID | CLONE_PARENT_SETTID |
                                             CLONE_DETACHED | CLONE_PTRACE)) |
                     CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID;
    long tid = host_clone(flags, (uint8_t *)n + KERNEL_STACK_TOP, NULL, &n->alive, r->tls);
    if (tid < 0) {
        thread_unlink(n);
        thread_free(n);
        return tid;
    }
    if (r->flags & CLONE_PARENT_SETTID)
        write_parent_tid(n, r->parent_tid, (int)tid);
    __atomic_store_n(&n->held, 0, __ATOMIC_RELEASE);
    return tid;
}

/* ---- fork ---- */

static void fork_child(struct thread *t, const struct clone_request *r,
                       const struct node_child *seat, struct asid asid, struct files *files)
{
    struct process *p = t->process;
    int tid = (int)host_call(__NR_gettid);

    host_populate_image();
    thread_populate(t);
    p->pid = t->tid = tid;
    t->main = true;
    t->alive = 0;
    p->threads_lock = p->node_lock = (struct mutex){0};
    p->node_posted = 0;
    while (p->threads) { /* the other threads stayed with the parent */
        struct thread *other = p->threads;
        p->threads = other->next;
        if (other != t)
            thread_free(other);
    }
    p->thread_count = 0;
    thread_link(t);
    host_call(__NR_close, p->node_fd);
    host_call(__NR_close, p->lifeline_fd);
    p->node_fd = seat->node_fd;
    p->lifeline_fd = seat->lifeline_fd;
    int segments_fd = node_started(p);
    node_watch(p->lifeline_fd);
    rpc_fork_child(p, seat->memory_fd, seat->storage_fd);
    mm_fork_child(asid);
    trail_fork_child();
    p->files = files;
    if (segments_fd == 0)
        segments_fd = node_started_end(p);
    if (segments_fd < 0)
        host_die("the node (ashlar-process) does not know this fork");
    shared_init(p, segments_fd);
    shared_fork_child();
    STAT_ADD(processes, 1);
    files_fork_child(p->files, &p->text);
    proc_fork_child();
    t->clear_child_tid = r->flags & CLONE_CHILD_CLEARTID ? r->child_tid : 0;
    robust_fork_child(t);
    if (r->stack)
        t->regs.rsp = r->stack;
    thread_arm(t);
    signals_fork_child(t);
    if (r->flags & CLONE_CHILD_SETTID && user_write(r->child_tid, &tid, 4) < 0)
        t->clear_child_tid = 0;
}

static void close_seat(const struct node_child *seat)
{
    const int fds[] = {seat->node_fd, seat->lifeline_fd, seat->memory_fd, seat->storage_fd};
    for (int i = 0; i < 4; i++)
        if (fds[i] >= 0)
            host_call(__NR_close, fds[i]);
}

/* Every part of the address space is copied; the first one's answer names the child. */
static int clone_space(struct asid *child)
{
    int rc = 0;
    *child = (struct asid){0};
    for (uint32_t part = 0; part < PARTS_MAX && rc == 0; part++) {
        struct rpc rpc;
        struct msg_space_clone request = {.asid = asid_part(mm.asid, part)};
        struct msg_space_clone_reply reply;
        if (part && !rpc_part_known(part))
            continue;
        if (part)
            request.child = asid_part(*child, part);
        rc = RPC_CALL_PART(&rpc, part, SPACE_CLONE, space_clone, &request, &reply);
        rpc_end(&rpc);
        if (rc == 0 && part == 0)
            *child = reply.child;
    }
    return rc;
}

/* What the call leaves in the parent's memory. As on Linux the child runs even if that is gone. */
static void tell_parent(struct thread *t, const struct clone_request *r, int pidfd, int pid)
{
    int out = pid;
    if (r->flags & CLONE_PIDFD)
        out = (int)files_new_host(t->process->files, pidfd);
    if (r->flags & (CLONE_PARENT_SETTID | CLONE_PIDFD))
        (void)user_write_some(r->parent_tid, &out, sizeof out);
}

static long clone_fork(struct thread *t, const struct clone_request *r)
{
    struct node_child seat;
    struct asid child;
    struct files *files = files_copy(t->process->files);
    if (!files)
        return -ENOMEM;

    signals_fork_prepare(t);
    mm_fork_prepare();
    long rc = clone_space(&child);
    if (rc == 0)
        rc = node_fork(t->process, child, &seat);
    if (rc == 0) {
        /* Under the locks with CLONE_VFORK too: the other threads wait with this one. */
        uint64_t flags = r->flags & (CLONE_PARENT | CLONE_PIDFD | CLONE_VFORK | SIGNAL_MASK);
        int pidfd = -1;
        rc = host_call(__NR_clone, flags, 0, &pidfd, 0, 0);
        if (rc == 0) {
            fork_child(t, r, &seat, child, files);
            return 0;
        }
        close_seat(&seat);
        mm_fork_parent();
        signals_fork_parent(t);
        files_free(files);
        if (rc > 0)
            tell_parent(t, r, pidfd, (int)rc);
        return rc;
    }
    mm_fork_parent();
    signals_fork_parent(t);
    files_free(files);
    return rpc_errno((int)rc) == -EIO ? -EAGAIN : rpc_errno((int)rc);
}

/* ---- vfork ---- */

static long clone_vfork(struct thread *t, const struct clone_request *r)
{
    struct process *p = host_alloc(sizeof *p);
    struct node_child seat = {-1, -1, -1, -1};
    struct thread *n = NULL;
    int pidfd = -1;
    long rc = -ENOMEM;

    if (!p)
        return -ENOMEM;
    memcpy(p, t->process, sizeof *p);
    p->threads_lock = p->node_lock = (struct mutex){0};
    p->threads = NULL;
    p->thread_count = 0;
    p->vforked = true;
    p->rpc_limit = rpc_two_of_each();
    p->files = files_copy(t->process->files);
    p->actions = signals_copy(t->process->actions);
    if (p->files && p->actions)
        rc = node_fork(t->process, (struct asid){0}, &seat);
    if (rc == 0) {
        p->node_fd = seat.node_fd;
        p->lifeline_fd = seat.lifeline_fd;
        n = make_thread(t, p, r);
        rc = n ? 0 : -ENOMEM;
    }
    if (rc == 0) {
        n->main = true;
        n->altstack_base = t->altstack_base;
        n->altstack_size = t->altstack_size;
        n->altstack_flags = t->altstack_flags;
        thread_link(n);
        uint64_t flags = CLONE_VM | CLONE_VFORK |
                         (r->flags & (CLONE_PARENT | CLONE_PIDFD | CLONE_SETTLS | SIGNAL_MASK));
        rc = host_clone(flags, (uint8_t *)n + KERNEL_STACK_TOP, &pidfd, NULL, r->tls);
        if (rc > 0 && r->flags & CLONE_PIDFD)
            tell_parent(t, r, pidfd, (int)rc);
    }
    close_seat(&seat);
    exec_leftovers_free(p);
    if (n)
        thread_free(n);
    if (p->files)
        files_free(p->files);
    if (p->actions)
        signals_free(p->actions);
    host_free(p, sizeof *p);
    return rc < -4095 ? -EAGAIN : rc;
}

/* ---- the calls ---- */

static bool all_of(uint64_t flags, uint64_t wanted)
{
    return (flags & wanted) == wanted;
}

/* Combinations that Linux knows not to make sense. */
static bool contradictory(uint64_t flags)
{
    return (flags & CLONE_THREAD && !(flags & CLONE_SIGHAND)) ||
           (flags & CLONE_SIGHAND && !(flags & CLONE_VM)) ||
           all_of(flags, CLONE_NEWNS | CLONE_FS) || all_of(flags, CLONE_NEWUSER | CLONE_FS) ||
           all_of(flags, CLONE_NEWIPC | CLONE_SYSVSEM) ||
           (flags & CLONE_PIDFD && flags & (CLONE_DETACHED | CLONE_PARENT_SETTID));
}

static long clone_any(struct thread *t, struct clone_request *r)
{
    /* Descriptors and directories are shared where memory is, and only there. */
    const uint64_t tables = CLONE_FILES | CLONE_FS;
    if (contradictory(r->flags))
        return -EINVAL;
    if (r->flags & NAMESPACES)
        return -EPERM;
    if (r->flags & CLONE_PIDFD && user_touch_write(r->parent_tid) < 0)
        return -EFAULT;
    if (r->flags & CLONE_THREAD)
        return !all_of(r->flags, tables) ? -ENOSYS
               : r->flags & CLONE_PIDFD  ? -EINVAL
                                         : clone_thread(t, r);
    if (r->flags & tables)
        return -ENOSYS;
    if (r->flags & CLONE_VM)
        return all_of(r->flags, CLONE_VFORK) && !(r->flags & CLONE_SIGHAND) ? clone_vfork(t, r)
                                                                            : -ENOSYS;
    return clone_fork(t, r);
}

long sys_clone(struct thread *t, const uint64_t a[6])
{
    struct clone_request r = {a[0], a[1], a[2], a[3], a[4]};
    return clone_any(t, &r);
}

long sys_fork(struct thread *t, const uint64_t a[6])
{
    struct clone_request r = {.flags = 17 /* SIGCHLD */};
    (void)a;
    return clone_any(t, &r);
}

long sys_vfork(struct thread *t, const uint64_t a[6])
{
    struct clone_request r = {.flags = CLONE_VM | CLONE_VFORK | 17 /* SIGCHLD */};
    (void)a;
    return clone_any(t, &r);
}

/*
 * unshare: a process shares no table with another, so there is nothing to undo for one thread.
 * Threads cannot part, and namespaces are not an ordinary user's.
 */
long sys_unshare(struct thread *t, const uint64_t a[6])
{
    const uint64_t tables = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM;
    const uint64_t threads = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM;
    struct process *p = t->process;
    if (a[0] & ~(tables | threads | NAMESPACES))
        return -EINVAL;
    if (a[0] & NAMESPACES)
        return -EPERM;
    mutex_lock(&p->threads_lock);
    bool alone = p->thread_count == 1;
    mutex_unlock(&p->threads_lock);
    return alone || !a[0] ? 0 : a[0] & threads ? -EINVAL : -ENOSYS;
}

long sys_setns(struct thread *t, const uint64_t a[6])
{
    bool open = !files_hidden((int)a[0]) && host_call(__NR_fcntl, (int)a[0], F_GETFD) >= 0;
    return open ? -EPERM : -EBADF;
}

/* ---- ends of threads ---- */

void threads_reap(struct process *p)
{
    mutex_lock(&p->threads_lock);
    for (struct thread **at = &p->dead; *at;) {
        struct thread *t = *at;
        if (__atomic_load_n(&t->alive, __ATOMIC_ACQUIRE) ||
            __atomic_load_n(&t->held, __ATOMIC_ACQUIRE)) {
            at = &t->next;
            continue;
        }
        *at = t->next;
        thread_free(t);
    }
    mutex_unlock(&p->threads_lock);
}

long sys_exit(struct thread *t, const uint64_t a[6])
{
    struct process *p = t->process;
    mutex_lock(&p->threads_lock);
    bool last = p->thread_count == 1;
    mutex_unlock(&p->threads_lock);
    robust_end(t);
    if (last) {
        trail_leave(p);
        files_exit(p->files, p->pid, p->vforked);
    }
    if (last && !t->clear_child_tid)
        host_call(__NR_exit_group, a[0]);
    if (t->clear_child_tid) {
        int zero = 0;
        /* The host looks at the line for a shared futex, which may have left since. Only touched
           then: the word may be another's by now. */
        if (user_write(t->clear_child_tid, &zero, 4) == 0)
            while (host_call(__NR_futex, t->clear_child_tid, FUTEX_WAKE, 1) == -EFAULT &&
                   user_touch_write(t->clear_child_tid) == 0)
                ;
    }
    signals_thread_end(t);
    thread_unlink(t);
    if (t->main) { /* its block stays: the host may still look at its alternate stack */
        host_call(__NR_exit, a[0]);
    } else {
        mutex_lock(&p->threads_lock);
        t->next = p->dead;
        p->dead = t;
        mutex_unlock(&p->threads_lock);
        host_call(__NR_exit, a[0]);
    }
    return 0;
}

long sys_exit_group(struct thread *t, const uint64_t a[6])
{
    robust_end_all(t);
    trail_leave(t->process);
    files_exit(t->process->files, t->process->pid, t->process->vforked);
    host_call(__NR_exit_group, a[0]);
    return 0;
}
