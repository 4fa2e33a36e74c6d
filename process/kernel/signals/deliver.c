/*
 * The host's signal handlers of the monitor, and delivery on the way out of a system call.
 *
 * on_async, for signals that the application handles, finds one of two things interrupted:
 *   application code: the frame is built at once, and the host resumes in the handler;
 *   the monitor: the signal goes to thread->queued, the host blocks all others for the thread, and
 *   where the monitor was about to block or to leave, it is sent another way (entry/entry.S).
 * on_fault, for faults and traps, lets the ExCache have the application window's first; a fault
 * that is the application's own becomes its signal; one of the monitor's copy routines makes them
 * fail; any other is a bug here.
 *
 * Both run on the alternate stack with every asynchronous signal blocked; on_fault may nest in
 * either, where a frame is written to memory that is not resident.
 */
#include <linux/errno.h>

#include "layout.h"
#include "signals.h"

#include "../entry/process.h"
#include "../entry/rewrite.h"
#include "../entry/sigsys.h"
#include "../excache/excache.h"
#include "../host/host.h"
#include "limits.h"

enum { TRAP_PAGE_FAULT = 14, FAULT_WRITE = 2 };

void signals_die(int signal)
{
    struct action plain = {.handler = (uint64_t)SIG_DFL};
    uint64_t mask = SIGNAL_BIT(signal);
    host_call(__NR_rt_sigaction, signal, &plain, NULL, SIGSET_SIZE);
    struct thread *t = current();
    host_call(__NR_tgkill, t->process->pid, t->tid, signal);
    host_call(__NR_rt_sigprocmask, SIG_UNBLOCK, &mask, NULL, SIGSET_SIZE);
    for (;;)
        host_call(__NR_exit_group, 128 + signal);
}

void send_again(struct thread *t, const struct siginfo_bytes *info)
{
    int signal = (int)info->words[0];
    host_call(__NR_rt_tgsigqueueinfo, t->process->pid, t->tid, signal, info);
}

static bool is_handler(const struct action *action)
{
    return action->handler != (uint64_t)SIG_DFL && action->handler != (uint64_t)SIG_IGN;
}

/*
 * A signal that must not be lost or ignored: SIGSEGV for a stack that takes no frame, or a fault.
 * Delivers it to c with its extended state, or ends the process.
 */
static void force(struct thread *t, struct sigcontext *c, struct fp_area fp,
                  const struct siginfo_bytes *info)
{
    int signal = (int)info->words[0];
    struct action action = action_get(t->process->actions, signal);
    if (!is_handler(&action) || (t->sigmask & SIGNAL_BIT(signal)))
        signals_die(signal);
    action = action_take(t->process->actions, signal);
    if (frame_push(t, c, fp, info, &action) == 0)
        return;
    if (signal == SIGSEGV)
        signals_die(SIGSEGV);
    struct siginfo_bytes segv = {0};
    siginfo_of(&segv)->si_signo = SIGSEGV;
    siginfo_of(&segv)->si_code = SI_KERNEL;
    force(t, c, fp, &segv);
}

/* Delivers to application code that was interrupted by the host's own frame uc. */
static void deliver_to_frame(struct thread *t, struct ucontext *uc,
                             const struct siginfo_bytes *info, bool forced)
{
    struct sigcontext *c = &uc->uc_mcontext;
    struct fp_area fp = fp_of_frame(c);
    int signal = (int)info->words[0];
    c->rip = rewrite_program_rip(c->rip);
    if (forced) {
        force(t, c, fp, info);
    } else {
        struct action action = action_take(t->process->actions, signal);
        if (action.handler == (uint64_t)SIG_IGN)
            return;
        if (action.handler == (uint64_t)SIG_DFL) {
            /* Since it was sent, another thread has reset the action: the host's default acts. */
            if (SIGNAL_BIT(signal) & SIGNALS_SYNC)
                signals_die(signal);
            send_again(t, info);
            return;
        }
        if (frame_push(t, c, fp, info, &action) < 0) {
            struct siginfo_bytes segv = {0};
            siginfo_of(&segv)->si_signo = SIGSEGV;
            siginfo_of(&segv)->si_code = SI_KERNEL;
            if (signal == SIGSEGV)
                signals_die(SIGSEGV);
            force(t, c, fp, &segv);
        }
    }
    c->fpstate = NULL; /* initial values in the handler */
    uc->uc_sigmask = signals_host_mask(t->sigmask);
}

/* Leaves a signal for the way out; uc shows the monitor interrupted. */
static void queue(struct thread *t, struct ucontext *uc, const struct siginfo_bytes *info)
{
    struct sigcontext *c = &uc->uc_mcontext;
    uc->uc_sigmask = SIGNALS_ASYNC;
    if (t->pending) {
        /* Only behind a SIGSEGV or the like that kill(2) sent, which no mask holds off. */
        send_again(t, info);
        return;
    }
    t->queued = *info;
    __atomic_store_n(&t->pending, 1, __ATOMIC_RELAXED); /* read by this thread only */
    if (c->rip >= (uint64_t)intr_begin && c->rip < (uint64_t)intr_end) {
        c->rip = (uint64_t)intr_abort;
    } else if (c->rip >= (uint64_t)exit_begin && c->rip < (uint64_t)exit_end) {
        c->rip = (uint64_t)exit_restart;
        c->rdi = (uint64_t)t;
        c->eflags &= ~(uint64_t)(RFLAGS_AC | RFLAGS_DF | RFLAGS_TF);
    }
}

void on_async(int signal, siginfo_t *info, void *ucontext)
{
    struct thread *t = current();
    struct ucontext *uc = ucontext;
    const struct siginfo_bytes *bytes = (const struct siginfo_bytes *)info;
    (void)signal;
    fp_learn(&uc->uc_mcontext);
    if (in_monitor(uc->uc_mcontext.rip))
        queue(t, uc, bytes);
    else
        deliver_to_frame(t, uc, bytes, false);
}

/* A SIGSEGV or the like that kill(2) sent: as an asynchronous one, but the host can't hold it. */
static void on_sent(struct thread *t, struct ucontext *uc, const struct siginfo_bytes *info)
{
    int signal = (int)info->words[0];
    bool inside = in_monitor(uc->uc_mcontext.rip);
    struct action action = action_get(t->process->actions, signal);
    if (action.handler == (uint64_t)SIG_IGN)
        return;
    if ((t->sigmask & SIGNAL_BIT(signal)) || (inside && t->pending))
        held_put(t->process->actions, info);
    else if (action.handler == (uint64_t)SIG_DFL)
        signals_die(signal);
    else if (inside)
        queue(t, uc, info);
    else
        deliver_to_frame(t, uc, info, false);
}

void on_fault(int signal, siginfo_t *info, void *ucontext)
{
    struct thread *t = current();
    struct ucontext *uc = ucontext;
    struct sigcontext *c = &uc->uc_mcontext;
    if (signal == SIGSYS && info->si_code == SYS_USER_DISPATCH) {
        entry_sigsys(signal, info, ucontext);
        return;
    }
    fp_learn(c);
    struct siginfo_bytes bytes = *(const struct siginfo_bytes *)info;
    if (info->si_code <= 0) {
        on_sent(t, uc, &bytes);
        return;
    }
    uint64_t address = (uint64_t)info->si_addr;
    if (signal == SIGBUS && c->trapno == TRAP_PAGE_FAULT && address >= WINDOW_START &&
        address < WINDOW_END) {
        int result = excache_fault(address, c->err & FAULT_WRITE, t);
        if (result == EXCACHE_OK)
            return;
        siginfo_t *real = siginfo_of(&bytes);
        real->si_signo = result == EXCACHE_BUSERR ? SIGBUS : SIGSEGV;
        real->si_code = result == EXCACHE_BUSERR   ? BUS_ADRERR
                        : result == EXCACHE_ACCERR ? SEGV_ACCERR
                                                   : SEGV_MAPERR;
    }
    if (signal == SIGSEGV && c->trapno == TRAP_PAGE_FAULT && info->si_code == SEGV_MAPERR &&
        address >= WINDOW_START && address < WINDOW_END && mm_grow(address)) {
        (void)excache_fault(address, c->err & FAULT_WRITE, t); /* what the next fault would be */
        return;
    }
    if (!in_monitor(c->rip)) {
        if (!rewrite_fault(t, signal, c->rip))
            deliver_to_frame(t, uc, &bytes, true);
    } else if (c->rip >= (uint64_t)user_copy_begin && c->rip < (uint64_t)user_copy_end) {
        c->rip = (uint64_t)user_copy_fault;
    } else if (signal != SIGTRAP) { /* which a program that steps itself causes on the way out */
        host_die("ashlar-exec: signal %d (code %d, address %lx) at %lx", signal, info->si_code,
                 address, (uint64_t)c->rip);
    }
}

/* The call starts again when the application goes on. */
static void restart(struct thread *t)
{
    t->regs.rax = t->regs.orig_rax;
    t->regs.rip -= 2;
}

static bool is_restart(const struct thread *t)
{
    long result = (long)t->regs.rax;
    return t->regs.orig_rax != (uint64_t)-1 &&
           (result == -ERESTARTSYS || result == -ERESTARTNOHAND || result == -ERESTARTNOINTR);
}

/* The result of an interrupted call before its handler runs. */
static void settle_result(struct thread *t, const struct action *action)
{
    if (!is_restart(t))
        return;
    long result = (long)t->regs.rax;
    if (result == -ERESTARTNOINTR || (result == -ERESTARTSYS && (action->flags & SA_RESTART)))
        restart(t);
    else
        t->regs.rax = (uint64_t)-EINTR;
}

/* Runs the handler of info on the way out. false: there is none to run. */
static bool deliver_to_regs(struct thread *t, const struct siginfo_bytes *info)
{
    int signal = (int)info->words[0];
    struct action action = action_take(t->process->actions, signal);
    if (action.handler == (uint64_t)SIG_IGN)
        return false;
    if (action.handler == (uint64_t)SIG_DFL) {
        if (SIGNAL_BIT(signal) & SIGNALS_SYNC)
            signals_die(signal);
        send_again(t, info);
        return false;
    }
    settle_result(t, &action);
    if (frame_push_regs(t, info, &action) == 0)
        return true;
    struct siginfo_bytes segv = {0};
    siginfo_of(&segv)->si_signo = SIGSEGV;
    siginfo_of(&segv)->si_code = SI_KERNEL;
    action = action_get(t->process->actions, SIGSEGV);
    if (signal == SIGSEGV || !is_handler(&action) || (t->sigmask & SIGNAL_BIT(SIGSEGV)))
        signals_die(SIGSEGV);
    action = action_take(t->process->actions, SIGSEGV);
    if (frame_push_regs(t, &segv, &action) < 0)
        signals_die(SIGSEGV);
    return true;
}

void signals_deliver(struct thread *t)
{
    /* While pending is set the host blocks all: nothing changes `queued` under us. */
    bool was_pending = t->pending;
    struct siginfo_bytes info = t->queued;
    if (!was_pending || !deliver_to_regs(t, &info)) {
        if (is_restart(t))
            restart(t);
        if (t->restore_sigmask) {
            t->sigmask = t->saved_sigmask;
            t->restore_sigmask = false;
        }
    }
    if (!was_pending)
        return;
    t->pending = 0;
    (void)signals_mask_host(t->sigmask);
    signals_release_held(t);
}
