/*
 * The system call table: one row a call (table.c), handlers by family.
 *
 * A handler gets its thread and the six raw arguments, and returns the result: a value, a negative
 * errno, or -ERESTARTSYS / -ERESTARTNOHAND where a signal interrupted it before it had an effect
 * (dispatch.c then restarts it or returns -EINTR, as Linux does). Pointers among the arguments are
 * application addresses: mm/uaccess.h.
 */
#ifndef ASHLAR_KERNEL_SYSCALLS_H
#define ASHLAR_KERNEL_SYSCALLS_H

#include <stddef.h>
#include <stdint.h>

#include "../entry/process.h"
#include "../entry/thread.h"
#include "../host/host.h"
#include "../mm/uaccess.h"

typedef long syscall_fn(struct thread *t, const uint64_t a[6]);

struct syscall_row {
    syscall_fn *fn;   /* NULL: refused */
    uint16_t refused; /* the errno; 0: ENOSYS */
    bool host;        /* the host's, with a handler of ours around it; for the trace */
    /* Arguments that a generic host call (host_row) copies in and out: see describe.h. */
    uint8_t arg[6];
    uint16_t size[6];
};

enum { SYSCALL_COUNT = 512 };
extern const struct syscall_row syscall_table[SYSCALL_COUNT];
/* A call's name; "?" for a number without one. */
const char *syscall_name(uint64_t nr);

/* Serves t->regs.orig_rax and sets t->regs.rax. Called by entry.S on the kernel stack. */
void syscall_dispatch(struct thread *t);
/* The same for a call that came by a signal: its site may be rewritten first. */
void syscall_dispatched(struct thread *t);

/* -EINTR from a host call as a restartable result: -ERESTARTSYS where `result` is -EINTR. */
static inline long restartable(long result)
{
    return result == -EINTR ? -ERESTARTSYS : result;
}

#endif
