/* Masks, host structures and labels that the files of signals/ share. */
#ifndef ASHLAR_KERNEL_SIGNALS_LAYOUT_H
#define ASHLAR_KERNEL_SIGNALS_LAYOUT_H

#include <asm/sigcontext.h>
#include <linux/signal.h>
#include <asm/ucontext.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../entry/thread.h"

struct signal_actions;

enum { SIGNAL_COUNT = 64, SIGSET_SIZE = 8 };

#define SIGNAL_BIT(n) (1ull << ((n)-1))
/* Raised by the program's own instructions and by our machinery: never blocked on the host. */
#define SIGNALS_SYNC                                                                               \
    (SIGNAL_BIT(SIGILL) | SIGNAL_BIT(SIGTRAP) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGFPE) |          \
     SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGSYS))
#define SIGNALS_UNBLOCKABLE (SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP))
#define SIGNALS_ASYNC       (~(uint64_t)(SIGNALS_SYNC | SIGNALS_UNBLOCKABLE))

/* An action, as rt_sigaction's structure has it. */
struct action {
    uint64_t handler, flags, restorer, mask;
};

/* The frame that Linux pushes and rt_sigreturn reads. */
struct signal_frame {
    uint64_t restorer;
    struct ucontext uc;
    struct siginfo_bytes info;
};
_Static_assert(offsetof(struct signal_frame, info) == 312, "as in Linux");
_Static_assert(sizeof(struct siginfo_bytes) == sizeof(siginfo_t), "a siginfo");

enum {
    UC_FP_XSTATE_FLAG = 1,
    UC_SIGCONTEXT_SS_FLAG = 2,
    UC_STRICT_RESTORE_SS_FLAG = 4,
    USER_CS = 0x33,
    USER_SS = 0x2b,
    RFLAGS_TF = 0x100,
    RFLAGS_DF = 0x400,
    RFLAGS_RF = 0x10000,
    RFLAGS_AC = 0x40000,
    RED_ZONE = 128,
    FP_AREA_MAX = 12 * 1024, /* bytes of extended state, AMX included */
    FP_LEGACY = 512,
    FP_SW_RESERVED = 464, /* offset of struct _fpx_sw_bytes */
};

static inline siginfo_t *siginfo_of(struct siginfo_bytes *bytes)
{
    return (siginfo_t *)bytes;
}

/* actions.c */

/*
 * The action to run for a signal that is being delivered; a handler with SA_RESETHAND is reset in
 * the same step.
 */
struct action action_take(struct signal_actions *a, int signal);
struct action action_get(struct signal_actions *a, int signal);
/* Sets both the table and the host's disposition. */
void action_set(struct signal_actions *a, int signal, const struct action *to, struct action *old);
/* Held over the host's fork, so that the child's copy is whole. */
void actions_lock(struct signal_actions *a);
void actions_unlock(struct signal_actions *a);
/* The host's action for its own handlers: see deliver.c. */
void on_async(int signal, siginfo_t *info, void *ucontext);
void on_fault(int signal, siginfo_t *info, void *ucontext);

/*
 * User-sent SIGSEGV and kin that the application blocks: the host cannot hold them, so they are
 * held here, one of each, for the whole process.
 */
void held_put(struct signal_actions *a, const struct siginfo_bytes *info);
/* Takes one that is in `mask`; false: none. */
bool held_take(struct signal_actions *a, uint64_t mask, struct siginfo_bytes *info);
uint64_t held_set(struct signal_actions *a);

/* frame.c */

/* The extended state in a frame: `size` bytes with the software's part and the magic words. */
struct fp_area {
    const uint8_t *bytes;
    uint32_t size;
};
struct fp_area fp_of_frame(const struct sigcontext *c);
/* Saves the live registers; buffer has FP_AREA_MAX bytes and is aligned to 64. */
struct fp_area fp_save(uint8_t *buffer);
/* Gives the live registers their initial values, as Linux does at a handler's entry. */
void fp_reset(void);
/* Learns from a host frame how large this CPU's state is. */
void fp_learn(const struct sigcontext *c);

/*
 * Pushes the frame for a handler on the stack that c and the action say, and changes c, t->sigmask
 * and the alternate stack for its entry. -EFAULT: the stack can't be written, nothing has changed.
 */
int frame_push(struct thread *t, struct sigcontext *c, struct fp_area fp,
               const struct siginfo_bytes *info, const struct action *action);

/* The same for the context in t->regs, with the live extended state. */
int frame_push_regs(struct thread *t, const struct siginfo_bytes *info,
                    const struct action *action);

/* deliver.c */

/* Makes a signal pending on the host again, for this thread. */
void send_again(struct thread *t, const struct siginfo_bytes *info);

/* calls.c */

/* Gives the host an application's mask. -EINTR: nothing done, a signal is queued. */
int signals_mask_host(uint64_t mask);
/* Sends again what was held for being blocked and is not any more; it arrives at once. */
void signals_release_held(struct thread *t);
/* What sigaltstack says about a stack pointer. */
bool on_altstack(const struct thread *t, uint64_t sp);
int altstack_set(struct thread *t, const stack_t *to, uint64_t sp);

/* entry/entry.S */
extern char intr_begin[], intr_end[], intr_abort[];
extern char exit_begin[], exit_end[], exit_restart[];
extern char user_copy_begin[], user_copy_end[], user_copy_fault[];
extern char host_restorer[];

#endif
