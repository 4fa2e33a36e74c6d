/* Handlers: siginfo, nesting, masks, flags, the way back, and ways that do not come back. */
#include <setjmp.h>
#include <ucontext.h>

#include "check.h"

static volatile sig_atomic_t depth, count;
static sigjmp_buf back;

static void show(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    SHOW("signal %d code %d mine %d value %d in-mask %lx saved-mask %lx", signal, info->si_code,
         info->si_pid == getpid(), info->si_code == SI_QUEUE ? info->si_value.sival_int : 0,
         mask_now(), *(unsigned long *)&uc->uc_sigmask);
    count++;
}

static void nest(int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    depth++;
    SHOW("enter %d depth %d", signal, (int)depth);
    if (signal == SIGUSR1)
        raise(SIGUSR2);
    if (signal == SIGUSR2 && depth < 6)
        raise(SIGUSR2); /* SA_NODEFER: at once */
    SHOW("leave %d depth %d", signal, (int)depth);
    depth--;
}

static void jump(int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    siglongjmp(back, signal);
}

static void change(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)signal;
    (void)info;
    sigaddset(&uc->uc_sigmask, SIGTERM); /* takes effect on return */
    uc->uc_mcontext.gregs[REG_RBX] = 0x1234567890;
}

static unsigned long registers_after(void)
{
    register unsigned long rbx asm("rbx") = 1;
    asm volatile("mov $39, %%eax; syscall; mov %%eax, %%edi; mov %1, %%esi; mov $62, %%eax; syscall"
                 : "+r"(rbx)
                 : "i"(SIGHUP)
                 : "rax", "rdi", "rsi", "rcx", "r11", "memory");
    return rbx;
}

static void quiet(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    count++;
}

int main(void)
{
    struct sigaction old;

    handle(SIGUSR1, show, 0);
    kill(getpid(), SIGUSR1);
    raise(SIGUSR1);
    union sigval value = {.sival_int = 4711};
    sigqueue(getpid(), SIGUSR1, value);
    SHOW("mask after %lx", mask_now());

    /* What was set is what is told. */
    struct sigaction set = {.sa_sigaction = show, .sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER};
    sigfillset(&set.sa_mask);
    CHECK(sigaction(SIGSEGV, &set, NULL) == 0);
    CHECK(sigaction(SIGSEGV, NULL, &old) == 0);
    SHOW("flags %x same %d mask %lx", old.sa_flags, old.sa_sigaction == show,
         *(unsigned long *)&old.sa_mask);
    CHECK(sigaction(SIGKILL, &set, NULL) == -1 && errno == EINVAL);
    CHECK(sigaction(65, &set, NULL) == -1 && errno == EINVAL);
    CHECK(sigaction(0, NULL, &old) == -1 && errno == EINVAL);
    /* One sent by kill(2), not by a fault. */
    kill(getpid(), SIGSEGV);
    raise(SIGSEGV);
    block(SIGSEGV);
    kill(getpid(), SIGSEGV);
    sigset_t pending;
    sigpending(&pending);
    SHOW("blocked SIGSEGV pending %d", sigismember(&pending, SIGSEGV));
    unblock(SIGSEGV);
    signal(SIGSEGV, SIG_DFL);

    handle(SIGUSR1, nest, 0);
    handle(SIGUSR2, nest, SA_NODEFER);
    raise(SIGUSR1);

    /* A blocked signal waits, once; realtime ones queue in order. */
    handle(SIGUSR1, show, 0);
    handle(SIGRTMIN, show, 0);
    handle(SIGRTMIN + 1, show, 0);
    block(SIGUSR1);
    block(SIGRTMIN);
    block(SIGRTMIN + 1);
    for (int i = 0; i < 3; i++) {
        raise(SIGUSR1);
        value.sival_int = i;
        sigqueue(getpid(), SIGRTMIN + 1, value);
        sigqueue(getpid(), SIGRTMIN, value);
    }
    sigpending(&pending);
    SHOW("pending %lx", *(unsigned long *)&pending);
    sigset_t three;
    sigemptyset(&three);
    sigaddset(&three, SIGUSR1);
    sigaddset(&three, SIGRTMIN);
    sigaddset(&three, SIGRTMIN + 1);
    sigprocmask(SIG_UNBLOCK, &three, NULL);
    SHOW("count %d", (int)count);

    handle(SIGUSR1, show, SA_RESETHAND);
    raise(SIGUSR1);
    sigaction(SIGUSR1, NULL, &old);
    SHOW("reset to default %d", old.sa_handler == SIG_DFL);

    handle(SIGUSR1, jump, 0);
    for (int i = 0; i < 3; i++) {
        int from = sigsetjmp(back, 1);
        if (!from)
            raise(SIGUSR1);
        SHOW("jumped from %d mask %lx", from, mask_now());
    }

    handle(SIGHUP, change, 0);
    SHOW("changed register %lx", registers_after());
    SHOW("changed mask %lx", mask_now());

    signal(SIGUSR2, SIG_IGN);
    raise(SIGUSR2);

    /* sigsuspend: the handler runs with its mask, and the old one is back after it. */
    handle(SIGUSR1, show, 0);
    block(SIGUSR1);
    raise(SIGUSR1);
    sigset_t wait;
    sigemptyset(&wait);
    sigaddset(&wait, SIGINT);
    int rc = sigsuspend(&wait);
    SHOW("sigsuspend %d errno %d mask %lx", rc, errno, mask_now());

    /* Many quick ones. */
    handle(SIGUSR2, quiet, 0);
    count = 0;
    for (int i = 0; i < 20000; i++)
        raise(SIGUSR2);
    SHOW("quick %d", (int)count);
    return 0;
}
