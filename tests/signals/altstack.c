/* sigaltstack: what it says, when it is used, and how it is left. */
#include <setjmp.h>
#include <ucontext.h>

#include "check.h"

static char stack_memory[65536];
static ucontext_t outside;
static sigjmp_buf back;

static int on_it(void)
{
    char local;
    return (uintptr_t)&local - (uintptr_t)stack_memory < sizeof stack_memory;
}

static void say(const char *what)
{
    stack_t now_set;
    CHECK(sigaltstack(NULL, &now_set) == 0);
    SHOW("%s: on it %d flags %x size %zu base %s", what, on_it(), now_set.ss_flags, now_set.ss_size,
         now_set.ss_sp == stack_memory ? "ours"
         : now_set.ss_sp               ? "other"
                                       : "none");
}

static void handler(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    (void)info;
    SHOW("handler %d frame says flags %x size %zu", signal, uc->uc_stack.ss_flags,
         uc->uc_stack.ss_size);
    say("in handler");
    stack_t other = {.ss_flags = SS_DISABLE};
    int rc = sigaltstack(&other, NULL);
    SHOW("change in handler %d errno %d", rc, rc ? errno : 0);
    if (signal == SIGUSR1)
        raise(SIGUSR2);
}

static void jump(int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    SHOW("jump from %d, on it %d", signal, on_it());
    siglongjmp(back, 1);
}

static void leave(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    say("leaving by setcontext");
    setcontext(&outside);
}

static void too_small(int signal, siginfo_t *info, void *context)
{
    volatile char fill[512];
    (void)info;
    (void)context;
    fill[0] = (char)signal;
    SHOW("small %d", fill[0]);
}

int main(void)
{
    say("at start");
    stack_t stack = {.ss_sp = stack_memory, .ss_size = 100};
    int rc = sigaltstack(&stack, NULL);
    SHOW("too small %d errno %d", rc, errno);
    stack.ss_size = sizeof stack_memory;
    stack.ss_flags = 77;
    rc = sigaltstack(&stack, NULL);
    SHOW("bad flags %d errno %d", rc, errno);
    stack.ss_flags = 0;
    CHECK(sigaltstack(&stack, NULL) == 0);
    say("set");
    handle(SIGUSR1, handler, SA_ONSTACK);
    handle(SIGUSR2, handler, SA_ONSTACK);
    raise(SIGUSR1);
    handle(SIGUSR2, handler, 0);
    raise(SIGUSR1);
    raise(SIGUSR2);
    say("after");

    handle(SIGHUP, jump, SA_ONSTACK);
    for (int i = 0; i < 3; i++)
        if (!sigsetjmp(back, 1))
            raise(SIGHUP);
    say("after jumps");

    volatile int round = 0;
    handle(SIGTERM, leave, SA_ONSTACK | SA_NODEFER);
    getcontext(&outside);
    if (round++ < 3)
        raise(SIGTERM);
    say("after contexts");

    stack.ss_flags = (int)(1u << 31); /* SS_AUTODISARM */
    CHECK(sigaltstack(&stack, NULL) == 0);
    say("autodisarm");
    handle(SIGUSR2, handler, SA_ONSTACK);
    raise(SIGUSR2);
    say("after autodisarm");

    stack.ss_flags = SS_DISABLE;
    CHECK(sigaltstack(&stack, NULL) == 0);
    say("disabled");
    handle(SIGUSR1, too_small, SA_ONSTACK);
    raise(SIGUSR1);
    return 0;
}
