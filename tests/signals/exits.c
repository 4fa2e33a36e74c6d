/* How processes end by signals, as their parent sees it; stopping and going on; SIGCHLD. */
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "check.h"

static volatile sig_atomic_t children, code, status_of;

static void on_child(int signal, siginfo_t *info, void *context)
{
    (void)context;
    (void)signal;
    code = info->si_code;
    status_of = info->si_status;
    children++;
}

/* To be awaited before the wait: Linux fills si_status from what a wait takes away. */
static void await_notice(int n)
{
    while (children < n)
        sched_yield();
    SHOW("SIGCHLD code %d status %d", (int)code, (int)status_of);
}

static void leave(int signal)
{
    _exit(signal + 1);
}

static void nothing(int signal)
{
    (void)signal;
}

static void fault(void)
{
    volatile char *volatile nowhere = (volatile char *)16;
    *nowhere = 1;
}

enum how {
    RAISE,
    FAULT,
    FAULT_BLOCKED,
    FAULT_IGNORED,
    HANDLER_EXITS,
    HANDLER_FAULTS,
    BAD_STACK,
    ABORT
};

static void end(const char *name, enum how how, int signal)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        switch (how) {
        case RAISE:
            raise(signal);
            break;
        case FAULT:
            fault();
            break;
        case FAULT_BLOCKED:
            block(SIGSEGV);
            fault();
            break;
        case FAULT_IGNORED:
            sigaction(SIGSEGV, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
            fault();
            break;
        case HANDLER_EXITS:
            sigaction(signal, &(struct sigaction){.sa_handler = leave}, NULL);
            raise(signal);
            break;
        case HANDLER_FAULTS: /* returns to the same instruction; the second time it is reset */
            sigaction(SIGSEGV,
                      &(struct sigaction){.sa_handler = nothing, .sa_flags = (int)SA_RESETHAND},
                      NULL);
            fault();
            break;
        case BAD_STACK: {
            stack_t stack = {.ss_sp = (void *)4096, .ss_size = 65536};
            sigaltstack(&stack, NULL);
            sigaction(signal, &(struct sigaction){.sa_handler = leave, .sa_flags = SA_ONSTACK},
                      NULL);
            raise(signal);
            break;
        }
        case ABORT:
            sigaction(SIGABRT, &(struct sigaction){.sa_handler = nothing}, NULL);
            abort();
        }
        _exit(99);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    SHOW("%s: exited %d code %d signalled %d signal %d", name, WIFEXITED(status),
         WIFEXITED(status) ? WEXITSTATUS(status) : 0, WIFSIGNALED(status),
         WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

/* The program that the first one becomes. */
static int second(void)
{
    struct sigaction action;
    sigset_t pending;
    sigpending(&pending);
    SHOW("mask %lx pending %lx", mask_now(), *(unsigned long *)&pending);
    const int signals[] = {SIGUSR1, SIGUSR2, SIGCHLD, SIGSEGV};
    for (int i = 0; i < 4; i++) {
        sigaction(signals[i], NULL, &action);
        SHOW("signal %d: %s", signals[i],
             action.sa_handler == SIG_DFL   ? "default"
             : action.sa_handler == SIG_IGN ? "ignored"
                                            : "handled");
    }
    raise(SIGUSR1);
    SHOW("still here");
    raise(SIGUSR2);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return second();
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    const int fatal[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGILL,  SIGTRAP,  SIGABRT,
                         SIGBUS,  SIGFPE,  SIGKILL, SIGUSR1, SIGSEGV,  SIGUSR2,
                         SIGPIPE, SIGALRM, SIGTERM, SIGSYS,  SIGRTMIN, SIGVTALRM};
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        end("default", RAISE, fatal[i]);
    end("ignored by default", RAISE, SIGCHLD);
    end("fault", FAULT, 0);
    end("fault, blocked", FAULT_BLOCKED, 0);
    end("fault, ignored", FAULT_IGNORED, 0);
    end("handler exits", HANDLER_EXITS, SIGTERM);
    end("handler exits", HANDLER_EXITS, SIGSEGV);
    end("handler, then default", HANDLER_FAULTS, 0);
    end("no stack for the handler", BAD_STACK, SIGTERM);
    end("abort with a handler", ABORT, 0);

    /* A stopped child. */
    handle(SIGCHLD, on_child, 0);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    int status;
    kill(child, SIGSTOP);
    await_notice(1);
    CHECK(waitpid(child, &status, WUNTRACED) == child);
    SHOW("stopped %d by %d", WIFSTOPPED(status), WSTOPSIG(status));
    kill(child, SIGCONT);
    await_notice(2);
    CHECK(waitpid(child, &status, WCONTINUED) == child);
    SHOW("continued %d", WIFCONTINUED(status));
    kill(child, SIGTERM);
    while (waitpid(child, &status, 0) < 0)
        CHECK(errno == EINTR);
    await_notice(3);
    SHOW("ended by %d", WTERMSIG(status));

    /* Children that nobody waits for. */
    signal(SIGCHLD, SIG_IGN);
    child = fork();
    if (child == 0)
        _exit(3);
    CHECK(waitpid(child, &status, 0) == -1);
    SHOW("ignored child: errno %d", errno);

    /* Inheritance: ignored stays, handled is reset, the mask stays. */
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, leave);
    block(SIGTERM);
    raise(SIGTERM); /* stays pending over exec */
    fflush(stdout);
    execv(argv[0], (char *[]){argv[0], "second", NULL});
    return 1;
}
