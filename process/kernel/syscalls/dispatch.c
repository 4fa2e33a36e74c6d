/*
 * From the number to the handler, with the counts and the trace.
 *
 * A handler's restart code stays in regs.rax where a signal of the application waits:
 * signals_deliver decides with the handler's flags. Where none waits (the host was interrupted by a
 * stop, say) the call simply begins again.
 */
#include "../entry/rewrite.h"
#include "../files/opened.h"
#include "syscalls.h"
#include "trace.h"

static bool restarts(long result)
{
    return result == -ERESTARTSYS || result == -ERESTARTNOHAND || result == -513;
}

void syscall_dispatched(struct thread *t)
{
    STAT_ADD(dispatched_calls, 1);
    rewrite_dispatched(t);
    syscall_dispatch(t);
}

void syscall_dispatch(struct thread *t)
{
    uint64_t nr = t->regs.orig_rax;
    const uint64_t a[6] = {t->regs.rdi, t->regs.rsi, t->regs.rdx,
                           t->regs.r10, t->regs.r8,  t->regs.r9};
    const struct syscall_row *row = nr < SYSCALL_COUNT ? &syscall_table[nr] : NULL;
    bool trace = t->process->boot_flags & BOOT_TRACE;
    long result = -ENOSYS;

    struct trace_start start;

    if (row) {
        STAT_ADD(syscalls[nr], 1);
        opened_look(t, nr, a);
        if (trace)
            trace_begin(t, nr, a, &start);
        if (row->fn)
            result = row->fn(t, a);
        else if (row->refused)
            result = -row->refused;
        if (trace && !row->fn)
            trace_unserved(t, nr, result);
    }
    /* rt_sigreturn and exec's failure paths set the registers themselves. */
    if (t->regs.orig_rax == (uint64_t)-1)
        return;
    if (trace && row)
        trace_end(t, nr, a, result, &start);
    t->regs.rax = (uint64_t)result;
    if (restarts(result) && !__atomic_load_n(&t->pending, __ATOMIC_RELAXED)) {
        t->regs.rip -= 2;
        t->regs.rax = nr;
    }
}
