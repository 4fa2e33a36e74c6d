/*
 * The way in: Syscall User Dispatch and its signal.
 *
 * The handler only moves the application's registers from the host's signal frame into the thread
 * and lets the host resume at syscall_entry on the kernel stack: the call is then served in
 * ordinary context, where it may block, fork or be interrupted.
 */
#include <asm/sigcontext.h>
#include <asm/siginfo.h>
#include <linux/prctl.h>
#include <linux/signal.h>
#include <asm/ucontext.h>

#include "../host/host.h"
#include "rewrite.h"
#include "sigsys.h"
#include "thread.h"

_Static_assert(offsetof(struct thread, pending) == 152, "entry.S");
_Static_assert(offsetof(struct thread, self) == 168, "entry.S");
_Static_assert(offsetof(struct regs, orig_rax) == 8 * 15, "entry.S");
_Static_assert(offsetof(struct regs, rsp) == 8 * 18, "entry.S");
_Static_assert(sizeof(struct thread) < 4096, "the kernel stack begins above it");

extern char __executable_start[], etext[];
extern char syscall_entry[];

enum { FLAGS_TO_CLEAR = 0x40500 }; /* AC, DF, TF: the monitor runs without them */

bool in_monitor(uint64_t rip)
{
    return rip >= (uint64_t)__executable_start && rip < (uint64_t)etext;
}

long sigsys_arm(void)
{
    return host_call(__NR_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
                     __executable_start, etext - __executable_start, NULL);
}

void entry_sigsys(int signal, void *info, void *ucontext)
{
    struct thread *t = current();
    struct sigcontext_64 *c = (struct sigcontext_64 *)&((struct ucontext *)ucontext)->uc_mcontext;
    const siginfo_t *si = info;

    /* int $0x80 (32-bit calls) is answered like a kernel without them. */
    if (si->si_arch != 0xc000003e) {
        c->ax = (uint64_t)-ENOSYS;
        return;
    }
    uint64_t from_stub = rewrite_return_of(c->ip);
    t->regs = (struct regs){
        .r15 = c->r15,
        .r14 = c->r14,
        .r13 = c->r13,
        .r12 = c->r12,
        .rbp = c->bp,
        .rbx = c->bx,
        .r11 = c->r11,
        .r10 = c->r10,
        .r9 = c->r9,
        .r8 = c->r8,
        .rax = (uint64_t)-ENOSYS,
        .rcx = c->cx,
        .rdx = c->dx,
        .rsi = c->si,
        .rdi = c->di,
        .orig_rax = c->ax,
        .rip = from_stub ? from_stub : c->ip,
        .rflags = c->flags,
        .rsp = c->sp,
    };
    c->ip = (uint64_t)syscall_entry;
    c->sp = (uint64_t)t + KERNEL_STACK_TOP;
    c->flags &= ~(uint64_t)FLAGS_TO_CLEAR;
    (void)signal;
}
