/* The system calls about signals, and the thread's masks; see signals.h. */
#include <linux/errno.h>
#include <linux/time_types.h>

#include "layout.h"
#include "signals.h"

#include "../entry/process.h"
#include "../files/files.h"
#include "../host/host.h"
#include "../mm/uaccess.h"

/* Flags of sigaction that this kernel knows; the rest are cleared, by which programs probe. */
#define ACTION_FLAGS                                                                               \
    (SA_NOCLDSTOP | SA_NOCLDWAIT | SA_SIGINFO | SA_ONSTACK | SA_RESTART | SA_NODEFER |             \
     SA_RESETHAND | SA_RESTORER)

/* ---- masks ---- */

uint64_t signals_host_mask(uint64_t mask)
{
    return mask & SIGNALS_ASYNC;
}

/* Blocks every asynchronous signal, whatever is queued. */
static void block_all(void)
{
    uint64_t all = SIGNALS_ASYNC;
    host_call(__NR_rt_sigprocmask, SIG_SETMASK, &all, NULL, SIGSET_SIZE);
}

int signals_mask_host(uint64_t mask)
{
    uint64_t host = signals_host_mask(mask);
    return (int)host_call_intr(__NR_rt_sigprocmask, SIG_SETMASK, &host, NULL, SIGSET_SIZE);
}

/* Sends again what was held for being blocked and is not any more; it arrives at once. */
void signals_release_held(struct thread *t)
{
    struct siginfo_bytes info;
    if (held_take(t->process->actions, ~t->sigmask, &info))
        send_again(t, &info);
}

int signals_read_mask(uint64_t address, uint64_t size, uint64_t *mask, bool *given)
{
    *given = address != 0;
    if (!address)
        return 0;
    if (size != SIGSET_SIZE)
        return -EINVAL;
    if (user_read(mask, address, sizeof *mask) < 0)
        return -EFAULT;
    *mask &= ~SIGNALS_UNBLOCKABLE;
    return 0;
}

long signals_waited(struct thread *t, const uint64_t *mask, long result, long restart)
{
    if (result != -EINTR || !t->pending)
        return result;
    if (!mask)
        return restart;
    int signal = (int)t->queued.words[0];
    if (*mask & SIGNAL_BIT(signal))
        return -ERESTARTNOINTR;
    t->saved_sigmask = t->sigmask;
    t->sigmask = *mask;
    t->restore_sigmask = true;
    return restart;
}

/* ---- life of threads ---- */

void signals_thread_begin(struct thread *t)
{
    (void)signals_mask_host(t->sigmask);
}

void signals_fork_prepare(struct thread *t)
{
    block_all();
    actions_lock(t->process->actions);
}

void signals_fork_parent(struct thread *t)
{
    actions_unlock(t->process->actions);
    (void)signals_mask_host(t->sigmask);
}

void signals_fork_child(struct thread *t)
{
    actions_unlock(t->process->actions);
    t->pending = 0;
    (void)signals_mask_host(t->sigmask);
}

void signals_thread_end(struct thread *t)
{
    block_all();
    if (!t->pending)
        return;
    t->pending = 0;
    int signal = (int)t->queued.words[0];
    if (siginfo_of(&t->queued)->si_code == SI_TKILL && t->process->thread_count > 1)
        return; /* it was for this thread alone */
    int pid = t->process->pid;
    /* The host lets only the main thread pass on the sender's name. */
    if (host_call(__NR_rt_sigqueueinfo, pid, signal, &t->queued) < 0)
        host_call(__NR_kill, pid, signal);
}

/* ---- calls ---- */

long sys_rt_sigaction(struct thread *t, const uint64_t a[6])
{
    int signal = (int)a[0];
    struct action action, old;
    if (a[3] != SIGSET_SIZE)
        return -EINVAL;
    if (a[1] && user_read(&action, a[1], sizeof action) < 0)
        return -EFAULT;
    if (signal < 1 || signal > SIGNAL_COUNT || (a[1] && (SIGNAL_BIT(signal) & SIGNALS_UNBLOCKABLE)))
        return -EINVAL;
    action.flags &= ACTION_FLAGS;
    action.mask &= ~SIGNALS_UNBLOCKABLE;
    action_set(t->process->actions, signal, a[1] ? &action : NULL, &old);
    return a[2] ? user_write(a[2], &old, sizeof old) : 0;
}

long sys_rt_sigprocmask(struct thread *t, const uint64_t a[6])
{
    uint64_t set, old = t->sigmask, mask = old;
    if (a[3] != SIGSET_SIZE)
        return -EINVAL;
    if (a[1]) {
        if (user_read(&set, a[1], sizeof set) < 0)
            return -EFAULT;
        switch ((int)a[0]) {
        case SIG_BLOCK:
            mask = old | set;
            break;
        case SIG_UNBLOCK:
            mask = old & ~set;
            break;
        case SIG_SETMASK:
            mask = set;
            break;
        default:
            return -EINVAL;
        }
        mask &= ~SIGNALS_UNBLOCKABLE;
    }
    if (mask != old) {
        /* A signal that came before the new mask is handled under the old one, before this call. */
        if (signals_mask_host(mask) == -EINTR)
            return -ERESTARTNOINTR;
        t->sigmask = mask;
        signals_release_held(t);
    }
    return a[2] ? user_write(a[2], &old, sizeof old) : 0;
}

long sys_rt_sigpending(struct thread *t, const uint64_t a[6])
{
    uint64_t set = 0;
    if (a[1] > SIGSET_SIZE)
        return -EINVAL;
    host_call(__NR_rt_sigpending, &set, SIGSET_SIZE);
    set = (set | held_set(t->process->actions)) & t->sigmask;
    return user_write(a[0], &set, a[1]);
}

long sys_rt_sigsuspend(struct thread *t, const uint64_t a[6])
{
    uint64_t mask;
    bool given;
    int rc = signals_read_mask(a[0], a[1], &mask, &given);
    if (rc < 0 || !given)
        return rc < 0 ? rc : -EFAULT;
    uint64_t host = signals_host_mask(mask);
    long result = host_call_intr(__NR_rt_sigsuspend, &host, SIGSET_SIZE);
    return signals_waited(t, &mask, result, -ERESTARTNOHAND);
}

long sys_pause(struct thread *t, const uint64_t a[6])
{
    (void)a;
    return signals_waited(t, NULL, host_call_intr(__NR_pause), -ERESTARTNOHAND);
}

long sys_rt_sigtimedwait(struct thread *t, const uint64_t a[6])
{
    uint64_t set;
    struct siginfo_bytes info;
    struct __kernel_timespec timeout;
    if (a[3] != SIGSET_SIZE)
        return -EINVAL;
    if (user_read(&set, a[0], sizeof set) < 0 ||
        (a[2] && user_read(&timeout, a[2], sizeof timeout) < 0))
        return -EFAULT;
    long result;
    if (held_take(t->process->actions, set, &info)) {
        result = (long)(info.words[0] & 0xff);
    } else {
        set &= SIGNALS_ASYNC;
        result =
            host_call_intr(__NR_rt_sigtimedwait, &set, &info, a[2] ? &timeout : NULL, SIGSET_SIZE);
    }
    if (result > 0 && a[1] && user_write(a[1], &info, sizeof info) < 0)
        return -EFAULT;
    return result;
}

/*
 * A program may send itself a fault's signal with the fault's own siginfo (crash reporters do): the
 * host's notice of that could not be told from a fault of the monitor, so it takes no way through
 * the host.
 */
static long send_fault_to_self(struct thread *t, const struct siginfo_bytes *info)
{
    int signal = (int)info->words[0];
    struct action action = action_get(t->process->actions, signal);
    if (action.handler == (uint64_t)SIG_IGN)
        return 0;
    if (t->sigmask & SIGNAL_BIT(signal)) {
        held_put(t->process->actions, info);
        return 0;
    }
    if (action.handler == (uint64_t)SIG_DFL)
        signals_die(signal);
    uint64_t all = SIGNALS_ASYNC;
    if (host_call_intr(__NR_rt_sigprocmask, SIG_SETMASK, &all, NULL, SIGSET_SIZE) == -EINTR)
        return -ERESTARTNOINTR;
    t->queued = *info;
    t->pending = 1;
    return 0;
}

static bool looks_like_fault(int signal, const struct siginfo_bytes *info)
{
    return signal > 0 && signal < 32 && (SIGNAL_BIT(signal) & SIGNALS_SYNC) &&
           siginfo_of((struct siginfo_bytes *)info)->si_code > 0;
}

long sys_rt_sigqueueinfo(struct thread *t, const uint64_t a[6])
{
    struct siginfo_bytes info;
    int pid = (int)a[0], signal = (int)a[1];
    if (user_read(&info, a[2], sizeof info) < 0)
        return -EFAULT;
    siginfo_of(&info)->si_signo = signal;
    if (pid == t->process->pid && looks_like_fault(signal, &info))
        return send_fault_to_self(t, &info);
    return host_call(__NR_rt_sigqueueinfo, pid, signal, &info);
}

long sys_rt_tgsigqueueinfo(struct thread *t, const uint64_t a[6])
{
    struct siginfo_bytes info;
    int pid = (int)a[0], tid = (int)a[1], signal = (int)a[2];
    if (user_read(&info, a[3], sizeof info) < 0)
        return -EFAULT;
    siginfo_of(&info)->si_signo = signal;
    if (pid == t->process->pid && tid == t->tid && looks_like_fault(signal, &info))
        return send_fault_to_self(t, &info);
    return host_call(__NR_rt_tgsigqueueinfo, pid, tid, signal, &info);
}

/* ---- the alternate stack ---- */

bool on_altstack(const struct thread *t, uint64_t sp)
{
    /* One that disarms itself is never in use while it is set. */
    if (t->altstack_flags & SS_AUTODISARM)
        return false;
    return sp > t->altstack_base && sp - t->altstack_base <= t->altstack_size;
}

int altstack_set(struct thread *t, const stack_t *to, uint64_t sp)
{
    uint32_t mode = (uint32_t)to->ss_flags & ~SS_AUTODISARM;
    if (on_altstack(t, sp))
        return -EPERM;
    if (mode != SS_DISABLE && mode != SS_ONSTACK && mode != 0)
        return -EINVAL;
    if (mode == SS_DISABLE) {
        t->altstack_base = t->altstack_size = 0;
    } else {
        if (to->ss_size < MINSIGSTKSZ)
            return -ENOMEM;
        t->altstack_base = (uint64_t)to->ss_sp;
        t->altstack_size = to->ss_size;
    }
    t->altstack_flags = (uint32_t)to->ss_flags;
    return 0;
}

long sys_sigaltstack(struct thread *t, const uint64_t a[6])
{
    uint64_t sp = t->regs.rsp;
    stack_t to;
    uint32_t mode = !t->altstack_size ? SS_DISABLE : on_altstack(t, sp) ? SS_ONSTACK : 0;
    stack_t old = {.ss_sp = (void *)t->altstack_base,
                   .ss_flags = (int)(mode | (t->altstack_flags & SS_AUTODISARM)),
                   .ss_size = t->altstack_size};
    if (a[0]) {
        if (user_read(&to, a[0], sizeof to) < 0)
            return -EFAULT;
        int rc = altstack_set(t, &to, sp);
        if (rc < 0)
            return rc;
    }
    return a[1] ? user_write(a[1], &old, sizeof old) : 0;
}

/* ---- signalfd ---- */

static long signalfd(struct thread *t, const uint64_t a[6], int flags)
{
    uint64_t mask;
    int fd = (int)a[0];
    if (a[2] != SIGSET_SIZE)
        return -EINVAL;
    if (user_read(&mask, a[1], sizeof mask) < 0)
        return -EFAULT;
    if (fd >= 0 && files_hidden(fd))
        return -EBADF;
    mask &= SIGNALS_ASYNC;
    long result = host_call(__NR_signalfd4, fd, &mask, SIGSET_SIZE, flags);
    return fd >= 0 ? result : files_new_host(t->process->files, result);
}

long sys_signalfd(struct thread *t, const uint64_t a[6])
{
    return signalfd(t, a, 0);
}

long sys_signalfd4(struct thread *t, const uint64_t a[6])
{
    return signalfd(t, a, (int)a[3]);
}
