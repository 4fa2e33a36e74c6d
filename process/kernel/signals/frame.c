/*
 * Signal frames: pushed as Linux does (arch/x86/kernel/signal_64.c), and read back by rt_sigreturn.
 *
 * From the stack pointer downwards: the red zone, the extended state (64-byte aligned), struct
 * signal_frame (so that its end is 8 modulo 16, as after a call). The way back goes through the
 * host's own rt_sigreturn with a checked copy of the frame on the kernel stack: that alone restores
 * every register, the extended state and the mask in one step.
 */
#include <linux/errno.h>

#include "layout.h"
#include "signals.h"

#include "../entry/process.h"
#include "../files/opened.h"
#include "../host/host.h"
#include "../mm/uaccess.h"

/*
 * This CPU's extended state, as the host lays it out; learnt from its first frame. Every thread
 * would write the same: `xstate_size` last (release), read first (acquire).
 */
static struct _fpx_sw_bytes fp_layout;

static const struct _fpx_sw_bytes *fp_software(const uint8_t *area)
{
    return (const struct _fpx_sw_bytes *)(area + FP_SW_RESERVED);
}

void fp_learn(const struct sigcontext *c)
{
    if (__atomic_load_n(&fp_layout.xstate_size, __ATOMIC_RELAXED) || !c->fpstate)
        return;
    const struct _fpx_sw_bytes *sw = fp_software((const uint8_t *)c->fpstate);
    host_assert(sw->magic1 == FP_XSTATE_MAGIC1 && sw->extended_size <= FP_AREA_MAX);
    fp_layout.magic1 = sw->magic1;
    fp_layout.extended_size = sw->extended_size;
    fp_layout.xfeatures = sw->xfeatures;
    __atomic_store_n(&fp_layout.xstate_size, sw->xstate_size, __ATOMIC_RELEASE);
}

struct fp_area fp_of_frame(const struct sigcontext *c)
{
    const uint8_t *bytes = (const uint8_t *)c->fpstate;
    if (!bytes)
        return (struct fp_area){NULL, 0};
    const struct _fpx_sw_bytes *sw = fp_software(bytes);
    return (struct fp_area){bytes, sw->magic1 == FP_XSTATE_MAGIC1 ? sw->extended_size : FP_LEGACY};
}

struct fp_area fp_save(uint8_t *buffer)
{
    /* A host frame was seen: the signal that is being delivered came in one. */
    uint32_t size = __atomic_load_n(&fp_layout.xstate_size, __ATOMIC_ACQUIRE);
    host_assert(size >= FP_LEGACY + 64);
    memset(buffer, 0, fp_layout.extended_size);
    asm volatile("xsave64 (%0)"
                 :
                 : "r"(buffer), "a"((uint32_t)fp_layout.xfeatures),
                   "d"((uint32_t)(fp_layout.xfeatures >> 32))
                 : "memory");
    memcpy(buffer + FP_SW_RESERVED, &fp_layout, sizeof fp_layout);
    uint32_t magic2 = FP_XSTATE_MAGIC2;
    memcpy(buffer + size, &magic2, sizeof magic2);
    return (struct fp_area){buffer, fp_layout.extended_size};
}

void fp_reset(void)
{
    /* An empty header means initial values; MXCSR is taken from here all the same. */
    static const struct {
        uint32_t legacy[FP_LEGACY / 4];
        uint64_t header[8];
    } __attribute__((aligned(64))) initial = {.legacy[6] = 0x1f80};
    asm volatile("xrstor64 (%0)"
                 :
                 : "r"(&initial), "a"((uint32_t)fp_layout.xfeatures),
                   "d"((uint32_t)(fp_layout.xfeatures >> 32))
                 : "memory");
}

static void context_of_regs(struct sigcontext *c, const struct regs *r)
{
    c->r8 = r->r8, c->r9 = r->r9, c->r10 = r->r10, c->r11 = r->r11;
    c->r12 = r->r12, c->r13 = r->r13, c->r14 = r->r14, c->r15 = r->r15;
    c->rdi = r->rdi, c->rsi = r->rsi, c->rbp = r->rbp, c->rbx = r->rbx;
    c->rdx = r->rdx, c->rax = r->rax, c->rcx = r->rcx, c->rsp = r->rsp;
    c->rip = r->rip, c->eflags = r->rflags;
}

static void regs_of_context(struct regs *r, const struct sigcontext *c)
{
    r->r8 = c->r8, r->r9 = c->r9, r->r10 = c->r10, r->r11 = c->r11;
    r->r12 = c->r12, r->r13 = c->r13, r->r14 = c->r14, r->r15 = c->r15;
    r->rdi = c->rdi, r->rsi = c->rsi, r->rbp = c->rbp, r->rbx = c->rbx;
    r->rdx = c->rdx, r->rax = c->rax, r->rcx = c->rcx, r->rsp = c->rsp;
    r->rip = c->rip, r->rflags = c->eflags;
}

int frame_push(struct thread *t, struct sigcontext *c, struct fp_area fp,
               const struct siginfo_bytes *info, const struct action *action)
{
    uint64_t sp = c->rsp - RED_ZONE;
    bool nested = on_altstack(t, c->rsp);
    bool entering = (action->flags & SA_ONSTACK) && t->altstack_size && !on_altstack(t, sp);
    if (entering)
        sp = t->altstack_base + t->altstack_size;
    uint64_t fp_at = 0;
    if (fp.bytes) {
        fp_at = (sp - fp.size) & ~63ull;
        sp = fp_at;
    }
    opened_end(t); /* a signal is news */
    sp = ((sp - sizeof(struct signal_frame)) & ~15ull) - 8;
    /* Never below an alternate stack that this frame belongs on: Linux kills for that. */
    if ((nested || entering) &&
        (sp <= t->altstack_base || sp - t->altstack_base > t->altstack_size))
        return -EFAULT;
    if (!(action->flags & SA_RESTORER))
        return -EFAULT;

    int signal = siginfo_of((struct siginfo_bytes *)info)->si_signo;
    uint64_t saved = t->restore_sigmask ? t->saved_sigmask : t->sigmask;
    struct signal_frame frame = {
        .restorer = action->restorer,
        .uc = {.uc_flags = UC_FP_XSTATE_FLAG | UC_SIGCONTEXT_SS_FLAG | UC_STRICT_RESTORE_SS_FLAG,
               .uc_stack = {.ss_sp = (void *)t->altstack_base,
                            .ss_flags = (int)t->altstack_flags,
                            .ss_size = t->altstack_size},
               .uc_sigmask = saved},
        .info = *info,
    };
    struct sigcontext *mc = &frame.uc.uc_mcontext;
    *mc = *c;
    mc->cs = USER_CS, mc->ss = USER_SS, mc->fs = mc->gs = 0;
    mc->oldmask = saved;
    mc->fpstate = (struct _fpstate *)fp_at;
    memset(mc->reserved1, 0, sizeof mc->reserved1);
    if (fp_at && user_write(fp_at, fp.bytes, fp.size) < 0)
        return -EFAULT;
    if (user_write(sp, &frame, sizeof frame) < 0)
        return -EFAULT;

    c->rdi = (uint64_t)signal;
    c->rsi = sp + offsetof(struct signal_frame, info);
    c->rdx = sp + offsetof(struct signal_frame, uc);
    c->rax = 0;
    c->rip = action->handler;
    c->rsp = sp;
    c->eflags &= ~(uint64_t)(RFLAGS_DF | RFLAGS_TF | RFLAGS_RF);
    if (t->altstack_flags & SS_AUTODISARM) {
        t->altstack_base = t->altstack_size = 0;
        t->altstack_flags = SS_DISABLE;
    }
    t->restore_sigmask = false;
    t->sigmask |= action->mask;
    if (!(action->flags & SA_NODEFER))
        t->sigmask |= SIGNAL_BIT(signal);
    return 0;
}

int frame_push_regs(struct thread *t, const struct siginfo_bytes *info, const struct action *action)
{
    uint8_t buffer[FP_AREA_MAX] __attribute__((aligned(64)));
    struct sigcontext c = {0};
    context_of_regs(&c, &t->regs);
    if (frame_push(t, &c, fp_save(buffer), info, action) < 0)
        return -EFAULT;
    regs_of_context(&t->regs, &c);
    fp_reset();
    return 0;
}

/* Leaves through the host's rt_sigreturn. Asynchronous signals are blocked and none is queued. */
static void __attribute__((noreturn)) leave(struct thread *t, const uint8_t *fp)
{
    struct signal_frame frame = {
        .uc = {.uc_flags = UC_FP_XSTATE_FLAG | UC_SIGCONTEXT_SS_FLAG | UC_STRICT_RESTORE_SS_FLAG,
               /* Refused and then ignored by the host: its alternate stack stays ours. */
               .uc_stack = {.ss_flags = 0x7},
               .uc_sigmask = signals_host_mask(t->sigmask)},
    };
    struct sigcontext *c = &frame.uc.uc_mcontext;
    context_of_regs(c, &t->regs);
    c->cs = USER_CS, c->ss = USER_SS;
    c->fpstate = (struct _fpstate *)fp;
    asm volatile("mov %0, %%rsp\n\t"
                 "syscall\n\t"
                 "ud2"
                 :
                 : "r"((uint8_t *)&frame + sizeof frame.restorer), "a"(__NR_rt_sigreturn)
                 : "memory");
    __builtin_unreachable();
}

/* Copies the extended state that an application's frame names; NULL there is initial values. */
static int fp_read(uint64_t at, uint8_t *buffer)
{
    if (user_read(buffer, at, FP_LEGACY) < 0)
        return -EFAULT;
    const struct _fpx_sw_bytes *sw = fp_software(buffer);
    if (sw->magic1 == FP_XSTATE_MAGIC1 && sw->extended_size > FP_LEGACY + 64 &&
        sw->extended_size <= FP_AREA_MAX)
        return user_read(buffer + FP_LEGACY, at + FP_LEGACY, sw->extended_size - FP_LEGACY);
    /* Without the extended part: the host then takes the legacy one alone. */
    memset(buffer + FP_SW_RESERVED, 0, sizeof *sw);
    return 0;
}

long sys_rt_sigreturn(struct thread *t, const uint64_t a[6])
{
    uint8_t buffer[FP_AREA_MAX] __attribute__((aligned(64)));
    struct signal_frame frame;
    (void)a;
    /* From here to the host's rt_sigreturn nothing may be queued. What was is delivered first. */
    uint64_t all = SIGNALS_ASYNC;
    if (host_call_intr(__NR_rt_sigprocmask, SIG_SETMASK, &all, NULL, SIGSET_SIZE) == -EINTR)
        return -ERESTARTNOINTR;
    if (user_read(&frame, t->regs.rsp - sizeof frame.restorer, sizeof frame) < 0)
        signals_die(SIGSEGV);
    const struct sigcontext *c = &frame.uc.uc_mcontext;
    if (c->fpstate && fp_read((uint64_t)c->fpstate, buffer) < 0)
        signals_die(SIGSEGV);
    regs_of_context(&t->regs, c);
    t->regs.orig_rax = (uint64_t)-1;
    t->sigmask = frame.uc.uc_sigmask & ~SIGNALS_UNBLOCKABLE;
    (void)altstack_set(t, &frame.uc.uc_stack, t->regs.rsp);
    struct siginfo_bytes held;
    if (held_take(t->process->actions, ~t->sigmask, &held)) {
        /* It is to arrive in the application, not here. */
        uint64_t set = SIGNAL_BIT(held.words[0] & 0xff);
        host_call(__NR_rt_sigprocmask, SIG_BLOCK, &set, NULL, SIGSET_SIZE);
        send_again(t, &held);
    }
    leave(t, c->fpstate ? buffer : NULL);
}
