/*
 * Signals: the application's handlers, masks and frames over the host's.
 *
 * The host keeps what it is good at: which thread gets a signal, what is pending, default actions,
 * stopping, child notices, timers. Its disposition of each signal follows the application's
 * (SIG_DFL and SIG_IGN as they are), and a handler of the application stands there as ours
 * (deliver.c), which runs on the thread's alternate stack, builds the application's frame itself,
 * or, where the monitor was interrupted, leaves the signal in thread->queued until the way out.
 *
 * One slot for that is enough: while it is full (thread->pending), the host blocks every
 * asynchronous signal for the thread, so others wait where they are. From this follows the rule for
 * all of the monitor: nobody else sets the host's mask of a thread, and a mask of the application
 * reaches the host only through signals_host_mask() and host_call_intr().
 */
#ifndef ASHLAR_KERNEL_SIGNALS_H
#define ASHLAR_KERNEL_SIGNALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../entry/thread.h"

struct process;
struct signal_actions;

/* The way of a call that a signal interrupted without effect: restarted in every case, after the
   handler. ERESTARTSYS and ERESTARTNOHAND are in host.h. */
#define ERESTARTNOINTR 513

/* ---- life of a process and of its threads; signals/README.md says who calls them when ---- */

/* The actions of a program that was just started: default, or ignored where `ignored` says; unless
   that is `known` to be all, the host is asked too. NULL: out of memory. */
struct signal_actions *signals_new(uint64_t ignored, bool known);
/* Which signals are ignored: for the next program. */
uint64_t signals_ignored(struct signal_actions *a);
/* A copy, for a vfork child. NULL: out of memory. */
struct signal_actions *signals_copy(struct signal_actions *from);
void signals_free(struct signal_actions *a);
/* Installs the monitor's own host handlers; before any code of the application runs. */
void signals_init(struct process *p);
/*
 * Around the host's clone for a fork or vfork: prepare in the parent, then one of the other two,
 * also where it failed. A signal that the parent had queued stays the parent's alone. A vfork child
 * has a thread and actions (signals_copy) of its own, so it calls signals_thread_begin() instead.
 */
void signals_fork_prepare(struct thread *t);
void signals_fork_parent(struct thread *t);
void signals_fork_child(struct thread *t);

/* On a new host thread, before it enters the application: gives the host its mask, t->sigmask. */
void signals_thread_begin(struct thread *t);
/* Last but for leaving the host thread, and just before the host's execve: from here on no signal
   is queued; one that was goes back to the host. Where that execve fails: signals_thread_begin().
 */
void signals_thread_end(struct thread *t);

/* ---- the way out, for entry/ ---- */

/*
 * On the kernel stack, before the application goes on: delivers t->queued, if there is one, and
 * decides about a restart code in t->regs.rax. Another signal may be queued when it returns.
 */
void signals_deliver(struct thread *t);

/* ---- for system calls ---- */

/* What the host is to block for an application that blocks `mask`. */
uint64_t signals_host_mask(uint64_t mask);
/* Reads a signal set argument; 0 is none: *given tells. 0, -EINVAL (size not 8) or -EFAULT. */
int signals_read_mask(uint64_t address, uint64_t size, uint64_t *mask, bool *given)
    __attribute__((warn_unused_result));
/*
 * The result of a host_call_intr() that may have waited with the mask *mask of its own (NULL: with
 * the thread's): `result` itself, or, where a signal of the application ended the wait, `restart`
 * (-EINTR, -ERESTARTSYS, -ERESTARTNOHAND) with the mask left in force for the handler, or
 * -ERESTARTNOINTR where that signal came before the wait and is blocked in it.
 */
long signals_waited(struct thread *t, const uint64_t *mask, long result, long restart);
/* The program's own masks, for /proc: bit n-1 is signal n. `blocked` is the caller's to fill. */
struct signal_sets {
    uint64_t blocked, ignored, caught;
};
struct signal_sets signals_sets(struct signal_actions *a);
/* The same of a copy, signals_size() bytes long: no lock is taken. */
struct signal_sets signals_sets_of(const struct signal_actions *copy);
size_t signals_size(void);
/* Ends the process as the default action of a fatal signal does. */
void signals_die(int signal) __attribute__((noreturn));

typedef long signals_call(struct thread *t, const uint64_t a[6]);
signals_call sys_rt_sigaction, sys_rt_sigprocmask, sys_rt_sigpending, sys_rt_sigsuspend,
    sys_rt_sigtimedwait, sys_rt_sigqueueinfo, sys_rt_tgsigqueueinfo, sys_rt_sigreturn,
    sys_sigaltstack, sys_pause, sys_signalfd, sys_signalfd4;

#endif
