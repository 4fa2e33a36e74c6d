/* Signals: actions, masks, queues, frames, alternate stacks, restarts of each blocking call. */
#include "conformance.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <ucontext.h>

static volatile sig_atomic_t count, order[16];
static siginfo_t last;

static void note(int signal)
{
    if (count < 16)
        order[count] = signal;
    count++;
}

static void note_info(int signal, siginfo_t *info, void *context)
{
    (void)context;
    last = *info;
    note(signal);
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaction(signal, &a, NULL);
}

static void block(int signal)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static void unblock(int signal)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

/* ---- restart rules: a signal during each call that can wait ---- */

static void soon(int flags)
{
    struct itimerval t = {.it_value = {0, 20000}};
    handle(SIGALRM, note_info, flags);
    setitimer(ITIMER_REAL, &t, NULL);
}

/* With and without SA_RESTART; `again` ends the call where it was restarted: another signal. */
static void jump_out(int signal, siginfo_t *info, void *context);
static sigjmp_buf out;

#define WAITS(name, setup, expression)                                                             \
    CASE(interrupted, name)                                                                        \
    {                                                                                              \
        setup;                                                                                     \
        soon(0);                                                                                   \
        TRY(expression);                                                                           \
        SHOW("%d", (int)count);                                                                    \
    }                                                                                              \
    CASE(restarted, name)                                                                          \
    {                                                                                              \
        setup;                                                                                     \
        struct itimerval t = {{0, 20000}, {0, 20000}};                                             \
        handle(SIGALRM, note_info, SA_RESTART);                                                    \
        handle(SIGVTALRM, jump_out, 0);                                                            \
        if (sigsetjmp(out, 1) == 0) {                                                              \
            handle(SIGALRM, jump_out, SA_RESTART);                                                 \
            setitimer(ITIMER_REAL, &t, NULL);                                                      \
            TRY(expression);                                                                       \
        } else {                                                                                   \
            SHOW("restarted");                                                                     \
        }                                                                                          \
    }

/* At the first signal the call is interrupted; at the third it must have been restarted. */
static void jump_out(int signal, siginfo_t *info, void *context)
{
    (void)signal, (void)info, (void)context;
    if (++count == 3)
        siglongjmp(out, 1);
}

static int ends[2], fd, status;
static char byte;
static struct pollfd polled;
static struct epoll_event event;
static sigset_t none, some;
static struct timespec minute = {60, 0};
static struct sockaddr_storage address;
static socklen_t length;
static uint32_t word;

static void a_child(void)
{
    if (fork() == 0) {
        for (int i = 0; i < 300; i++)
            usleep(10000);
        _exit(0);
    }
}

WAITS(read_of_a_pipe, pipe(ends), read(ends[0], &byte, 1))
WAITS(write_to_a_full_pipe, pipe(ends); fcntl(ends[1], F_SETPIPE_SZ, 4096);
      TRY(write(ends[1], memset(malloc(4096), 1, 4096), 4096)), write(ends[1], "x", 1))
WAITS(wait4, a_child(), wait4(-1, &status, 0, NULL))
WAITS(waitid, a_child(), waitid(P_ALL, 0, &last, WEXITED))
WAITS(pause, , pause())
WAITS(sigsuspend, sigemptyset(&none), sigsuspend(&none))
WAITS(sigtimedwait, sigemptyset(&some);
      sigaddset(&some, SIGUSR1), sigtimedwait(&some, &last, &minute))
WAITS(sigwaitinfo, sigemptyset(&some); sigaddset(&some, SIGUSR1), sigwaitinfo(&some, &last))
WAITS(nanosleep, , nanosleep(&minute, NULL))
WAITS(clock_nanosleep, , clock_nanosleep(CLOCK_MONOTONIC, 0, &minute, NULL))
WAITS(poll, pipe(ends); polled = ((struct pollfd){ends[0], POLLIN, 0}), poll(&polled, 1, 60000))
WAITS(ppoll, pipe(ends);
      polled = ((struct pollfd){ends[0], POLLIN, 0}), ppoll(&polled, 1, &minute, NULL))
WAITS(select, , select(0, NULL, NULL, NULL, &(struct timeval){60, 0}))
WAITS(pselect, , pselect(0, NULL, NULL, NULL, &minute, NULL))
WAITS(epoll_wait, fd = epoll_create1(0), epoll_wait(fd, &event, 1, 60000))
WAITS(epoll_pwait, fd = epoll_create1(0), epoll_pwait(fd, &event, 1, 60000, NULL))
WAITS(accept, fd = socket(AF_UNIX, SOCK_STREAM, 0);
      address = (struct sockaddr_storage){.ss_family = AF_UNIX}; bind(fd, (void *)&address, 2);
      listen(fd, 1), accept(fd, NULL, NULL))
WAITS(recv, socketpair(AF_UNIX, SOCK_STREAM, 0, ends), recv(ends[0], &byte, 1, 0))
WAITS(recvmsg, socketpair(AF_UNIX, SOCK_DGRAM, 0, ends),
      recvfrom(ends[0], &byte, 1, 0, (void *)&address, &length))
WAITS(recv_with_a_timeout, socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
      setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){60, 0},
                 sizeof(struct timeval)),
      recv(ends[0], &byte, 1, 0))
WAITS(futex_wait, , syscall(SYS_futex, &word, 0, 0, NULL, NULL, 0))
WAITS(futex_wait_for_a_time, , syscall(SYS_futex, &word, 0, 0, &minute, NULL, 0))
WAITS(futex_wait_bitset, , syscall(SYS_futex, &word, 9, 0, NULL, NULL, 1))
WAITS(flock, fd = open("f", O_CREAT | O_RDWR, 0600); flock(fd, LOCK_EX);
      fd = open("f", O_RDWR), flock(fd, LOCK_EX))
WAITS(eventfd, fd = (int)syscall(SYS_eventfd2, 0, 0), read(fd, &address, 8))
WAITS(signalfd, sigemptyset(&some); sigaddset(&some, SIGUSR1);
      fd = signalfd(-1, &some, 0), read(fd, &address, sizeof(struct signalfd_siginfo)))
WAITS(fifo_open, mkfifo("fifo", 0600), open("fifo", O_RDONLY))

/* ---- siginfo of each kind ---- */

#define SENT(name, expression)                                                                     \
    CASE(siginfo, name)                                                                            \
    {                                                                                              \
        handle(SIGUSR1, note_info, 0);                                                             \
        TRY(expression);                                                                           \
        SHOW("%d %d %d %d %d", last.si_signo == SIGUSR1, last.si_code, last.si_pid == getpid(),    \
             last.si_uid == getuid(), last.si_errno);                                              \
    }
SENT(kill, kill(getpid(), SIGUSR1))
SENT(raise, raise(SIGUSR1))
SENT(tgkill, syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1))
SENT(tkill, syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR1))
SENT(pthread_kill, pthread_kill(pthread_self(), SIGUSR1))
SENT(killpg, ({
         setpgid(0, 0);
         kill(0, SIGUSR1);
     }))

CASE(siginfo, sigqueue)
{
    handle(SIGRTMIN + 2, note_info, 0);
    TRY(sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = 1234567}));
    SHOW("%d %d", last.si_code, last.si_value.sival_int);
}

CASE(siginfo, own_codes)
{
    siginfo_t i = {.si_code = -77};
    handle(SIGUSR1, note_info, 0);
    i.si_value.sival_int = 8;
    TRY(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &i));
    SHOW("%d %d", last.si_code, last.si_value.sival_int);
    i.si_code = 5;
    TRY(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &i));
    TRY(syscall(SYS_rt_sigqueueinfo, getpid(), 65, &i));
    TRY(syscall(SYS_rt_sigqueueinfo, 99999999, SIGUSR1, &i));
    TRY(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, BAD_POINTER));
    i.si_code = -1;
    TRY(syscall(SYS_rt_tgsigqueueinfo, getpid(), getpid(), SIGUSR1, &i));
    TRY(syscall(SYS_rt_tgsigqueueinfo, getpid(), -1, SIGUSR1, &i));
}

static ucontext_t caught;
static void catch (int signal, siginfo_t *info, void *context)
{
    last = *info;
    caught = *(ucontext_t *)context;
    (void)signal;
    siglongjmp(out, 1);
}

#define FAULT(name, number, statement)                                                             \
    CASE(fault, name)                                                                              \
    {                                                                                              \
        handle(number, catch, 0);                                                                  \
        char *ro = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);                \
        (void)ro;                                                                                  \
        if (sigsetjmp(out, 1) == 0) {                                                              \
            statement;                                                                             \
            SHOW("nothing happened");                                                              \
        }                                                                                          \
        SHOW("%d %d %d", last.si_signo == number, last.si_code,                                    \
             last.si_addr == (void *)0x1238 || last.si_addr == ro);                                \
        SHOW("%lld %llx", caught.uc_mcontext.gregs[REG_TRAPNO],                                    \
             caught.uc_mcontext.gregs[REG_ERR]);                                                   \
    }
FAULT(read_of_nothing, SIGSEGV, (void)*(volatile char *)0x1238)
FAULT(write_to_nothing, SIGSEGV, *(volatile char *)0x1238 = 1)
FAULT(write_to_read_only, SIGSEGV, *(volatile char *)ro = 1)
FAULT(run_of_data, SIGSEGV, ((void (*)(void))ro)())
FAULT(jump_to_nothing, SIGSEGV, ((void (*)(void))0x1238)())
FAULT(not_canonical, SIGSEGV, *(volatile char *)0x8000000000001238 = 1)
FAULT(kernel_address, SIGSEGV, *(volatile char *)0xffffffff81000000 = 1)
FAULT(privileged, SIGSEGV, asm volatile("hlt"))
FAULT(undefined, SIGILL, asm volatile("ud2"))
FAULT(division, SIGFPE, ({
          volatile int z = 0;
          z = 1 / z;
      }))
FAULT(breakpoint, SIGTRAP, asm volatile("int3"))
FAULT(one_step, SIGTRAP, asm volatile("pushfq; orq $0x100,(%rsp); popfq; nop; nop"))
FAULT(software_interrupt, SIGSEGV, asm volatile("int $0x55"))

/* ---- actions ---- */

CASE(sigaction, errors)
{
    struct sigaction a = {.sa_handler = SIG_IGN};
    TRY(sigaction(SIGKILL, &a, NULL));
    TRY(sigaction(SIGSTOP, &a, NULL));
    TRY(syscall(SYS_rt_sigaction, SIGKILL, NULL, NULL, 8));
    TRY(syscall(SYS_rt_sigaction, 0, NULL, NULL, 8));
    TRY(syscall(SYS_rt_sigaction, 65, NULL, NULL, 8));
    TRY(syscall(SYS_rt_sigaction, SIGUSR1, NULL, NULL, 4));
    TRY(syscall(SYS_rt_sigaction, SIGUSR1, BAD_POINTER, NULL, 8));
    TRY(syscall(SYS_rt_sigaction, SIGUSR1, NULL, BAD_POINTER, 8));
}

CASE(sigaction, unknown_flags_are_cleared)
{
    struct sigaction a = {.sa_handler = note, .sa_flags = 0x2000 | SA_RESTART}, b;
    sigaction(SIGUSR1, &a, NULL);
    sigaction(SIGUSR1, NULL, &b);
    SHOW("%x", b.sa_flags & ~0x04000000);
}

CASE(sigaction, reset_hand)
{
    struct sigaction a;
    handle(SIGUSR1, note_info, SA_RESETHAND);
    raise(SIGUSR1);
    sigaction(SIGUSR1, NULL, &a);
    SHOW("%d %d", (int)count, a.sa_handler == SIG_DFL);
}

static void raise_again(int signal)
{
    note(signal);
    if (count < 3)
        raise(signal);
    order[8] = count;
}

CASE(sigaction, no_defer)
{
    struct sigaction a = {.sa_handler = raise_again, .sa_flags = SA_NODEFER};
    sigaction(SIGUSR1, &a, NULL);
    raise(SIGUSR1);
    SHOW("%d %d", (int)count, (int)order[8]);
}

CASE(sigaction, deferred)
{
    signal(SIGUSR1, raise_again);
    raise(SIGUSR1);
    SHOW("%d", (int)count);
}

CASE(sigaction, mask_of_the_handler)
{
    struct sigaction a = {.sa_handler = note};
    void handler(int number)
    {
        raise(SIGUSR2);
        SHOW("in the handler %d", (int)count);
        note(number);
    }
    sigaction(SIGUSR2, &a, NULL);
    a.sa_handler = handler;
    sigaddset(&a.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &a, NULL);
    raise(SIGUSR1);
    SHOW("%d %d %d", (int)count, order[0] == SIGUSR1, order[1] == SIGUSR2);
}

CASE(sigaction, ignoring_discards)
{
    block(SIGUSR1);
    raise(SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR1, note);
    unblock(SIGUSR1);
    SHOW("%d", (int)count);
}

CASE(sigaction, default_ignored_is_discarded)
{
    block(SIGCHLD);
    raise(SIGCHLD);
    sigpending(&some);
    SHOW("%d", sigismember(&some, SIGCHLD));
    signal(SIGCHLD, SIG_DFL);
    sigpending(&some);
    SHOW("%d", sigismember(&some, SIGCHLD));
}

/* ---- masks and queues ---- */

CASE(sigprocmask, errors)
{
    uint64_t set = 0;
    TRY(syscall(SYS_rt_sigprocmask, 5, &set, NULL, 8));
    TRY(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 7));
    TRY(syscall(SYS_rt_sigprocmask, SIG_BLOCK, BAD_POINTER, NULL, 8));
    TRY(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, BAD_POINTER, 8));
    TRY(syscall(SYS_rt_sigprocmask, 99, NULL, &set, 8));
}

CASE(sigprocmask, not_all_can_be_blocked)
{
    uint64_t set = ~0ull, now = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, NULL, 8);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &now, 8);
    SHOW("%lx", (unsigned long)now);
}

CASE(queue, order_of_delivery)
{
    int signals[] = {SIGRTMIN + 5, SIGUSR2, SIGRTMIN + 1, SIGUSR1, SIGRTMIN + 1, SIGHUP};
    for (int i = 0; i < 6; i++) {
        signal(signals[i], note);
        block(signals[i]);
        raise(signals[i]);
    }
    for (int i = 0; i < 6; i++)
        sigaddset(&some, signals[i]);
    for (int i = 0; i < 6; i++)
        SHOW("%d", sigtimedwait(&some, &last, &(struct timespec){0, 0}));
    TRY(sigtimedwait(&some, &last, &(struct timespec){0, 0}));
}

CASE(queue, plain_signals_are_not_counted)
{
    signal(SIGUSR1, note);
    block(SIGUSR1);
    for (int i = 0; i < 5; i++)
        kill(getpid(), SIGUSR1);
    unblock(SIGUSR1);
    SHOW("%d", (int)count);
}

CASE(queue, real_time_signals_are_counted)
{
    handle(SIGRTMIN, note_info, 0);
    block(SIGRTMIN);
    for (int i = 0; i < 10; i++)
        sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
    unblock(SIGRTMIN);
    SHOW("%d %d", (int)count, last.si_value.sival_int);
}

CASE(queue, limit)
{
    struct rlimit l = {0, 0};
    block(SIGRTMIN);
    setrlimit(RLIMIT_SIGPENDING, &l);
    TRY(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 1}));
    TRY(kill(getpid(), SIGRTMIN));
    sigpending(&some);
    SHOW("%d", sigismember(&some, SIGRTMIN));
}

CASE(sigtimedwait, errors)
{
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    TRY(syscall(SYS_rt_sigtimedwait, &some, &last, &minute, 4));
    TRY(syscall(SYS_rt_sigtimedwait, BAD_POINTER, &last, &minute, 8));
    TRY(syscall(SYS_rt_sigtimedwait, &some, &last, BAD_POINTER, 8));
    TRY(syscall(SYS_rt_sigtimedwait, &some, &last, &(struct timespec){0, -1}, 8));
    TRY(syscall(SYS_rt_sigtimedwait, &some, &last, &(struct timespec){0, 1000}, 8));
    block(SIGUSR1);
    raise(SIGUSR1);
    TRY(syscall(SYS_rt_sigtimedwait, &some, BAD_POINTER, &minute, 8));
}

CASE(sigpending, errors)
{
    TRY(syscall(SYS_rt_sigpending, BAD_POINTER, 8));
    TRY(syscall(SYS_rt_sigpending, &some, 9));
    TRY(syscall(SYS_rt_sigpending, &some, 4));
    TRY(syscall(SYS_rt_sigsuspend, &some, 4));
    TRY(syscall(SYS_rt_sigsuspend, BAD_POINTER, 8));
}

CASE(signalfd, reads)
{
    struct signalfd_siginfo i[3];
    sigemptyset(&some);
    sigaddset(&some, SIGUSR1);
    sigaddset(&some, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &some, NULL);
    int f = signalfd(-1, &some, SFD_NONBLOCK);
    TRY(read(f, i, sizeof i));
    raise(SIGUSR1);
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 5});
    TRY(read(f, i, 100));
    TRY(read(f, i, sizeof i));
    SHOW("%u %d %u", i[0].ssi_signo == SIGUSR1, i[0].ssi_code, i[0].ssi_pid == (uint32_t)getpid());
    SHOW("%u %d %d", i[1].ssi_signo == (uint32_t)SIGRTMIN, i[1].ssi_code, i[1].ssi_int);
    TRY(signalfd(f, &some, 0) == f);
    TRY(signalfd(0, &some, 0));
    TRY(signalfd(-1, &some, 1));
    TRY(signalfd(-7, &some, 0) >= 0);
}

/* ---- alternate stacks ---- */

static char stack[65536];
static volatile int on_it;
static void where(int signal)
{
    char here;
    (void)signal;
    on_it = &here > stack && &here < stack + sizeof stack;
}

CASE(sigaltstack, used)
{
    stack_t s = {.ss_sp = stack, .ss_size = sizeof stack}, old;
    struct sigaction a = {.sa_handler = where, .sa_flags = SA_ONSTACK};
    TRY(sigaltstack(&s, NULL));
    sigaction(SIGUSR1, &a, NULL);
    raise(SIGUSR1);
    SHOW("%d", on_it);
    a.sa_flags = 0;
    sigaction(SIGUSR1, &a, NULL);
    raise(SIGUSR1);
    SHOW("%d", on_it);
    TRY(sigaltstack(NULL, &old));
    SHOW("%d %d %zu", old.ss_sp == stack, old.ss_flags, old.ss_size);
}

CASE(sigaltstack, errors)
{
    stack_t s = {.ss_sp = stack, .ss_size = 100};
    TRY(sigaltstack(&s, NULL));
    s = (stack_t){.ss_sp = stack, .ss_size = sizeof stack, .ss_flags = 77};
    TRY(sigaltstack(&s, NULL));
    TRY(syscall(SYS_sigaltstack, BAD_POINTER, NULL));
    TRY(syscall(SYS_sigaltstack, NULL, BAD_POINTER));
    s = (stack_t){.ss_flags = SS_DISABLE};
    TRY(sigaltstack(&s, &s));
    SHOW("%d", s.ss_flags);
}

static void change_it(int signal)
{
    stack_t s = {.ss_sp = stack, .ss_size = sizeof stack}, old;
    (void)signal;
    TRY(sigaltstack(&s, NULL));
    TRY(sigaltstack(NULL, &old));
    SHOW("%d", old.ss_flags);
}

CASE(sigaltstack, while_on_it)
{
    stack_t s = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction a = {.sa_handler = change_it, .sa_flags = SA_ONSTACK};
    sigaltstack(&s, NULL);
    sigaction(SIGUSR1, &a, NULL);
    raise(SIGUSR1);
}

CASE(sigaltstack, disarmed_while_on_it)
{
    stack_t s = {.ss_sp = stack, .ss_size = sizeof stack, .ss_flags = (int)(1u << 31)}, old;
    struct sigaction a = {.sa_handler = change_it, .sa_flags = SA_ONSTACK};
    TRY(sigaltstack(&s, NULL));
    sigaction(SIGUSR1, &a, NULL);
    raise(SIGUSR1); /* which of the two is in force then depends on the Linux */
    sigaltstack(NULL, &old);
    SHOW("%d", old.ss_sp == stack);
}

static int deep(int n)
{
    volatile char block[1024];
    block[0] = (char)n;
    return deep(n + 1) + block[0];
}

CASE(sigaltstack, overflow_of_the_stack)
{
    stack_t s = {.ss_sp = stack, .ss_size = sizeof stack};
    struct rlimit l = {0, 0};
    setrlimit(RLIMIT_CORE, &l);
    sigaltstack(&s, NULL);
    handle(SIGSEGV, catch, SA_ONSTACK);
    if (sigsetjmp(out, 1) == 0)
        SHOW("%d", deep(0));
    SHOW("%d %d", last.si_signo, last.si_code);
}

/* ---- what a frame holds ---- */

static void change_registers(int signal, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    (void)signal, (void)info;
    u->uc_mcontext.gregs[REG_R12] = 0x1234;
    sigaddset(&u->uc_sigmask, SIGUSR2);
}

CASE(frame, registers_can_be_changed)
{
    handle(SIGUSR1, change_registers, 0);
    register long value asm("r12") = 1;
    asm volatile("mov $1, %%r12; mov $62, %%eax; syscall"
                 : "+r"(value)
                 : "D"(getpid()), "S"(SIGUSR1)
                 : "rax", "rcx", "r11", "memory");
    SHOW("%lx", value);
    sigprocmask(SIG_BLOCK, NULL, &some);
    SHOW("%d", sigismember(&some, SIGUSR2));
}

static void spoil_vectors(int signal)
{
    (void)signal;
    asm volatile("pxor %%xmm7, %%xmm7; fninit; fldz" : : : "xmm7");
}

CASE(frame, vectors_survive)
{
    uint64_t in[2] = {0x1122334455667788, 0x99aabbccddeeff00}, now[2];
    signal(SIGUSR1, spoil_vectors);
    asm volatile("movdqu (%1), %%xmm7; mov $62, %%eax; syscall; movdqu %%xmm7, (%0)"
                 :
                 : "r"(now), "r"(in), "D"(getpid()), "S"(SIGUSR1)
                 : "rax", "rcx", "r11", "memory", "xmm7");
    SHOW("%d", memcmp(in, now, 16) == 0);
}

CASE(longjmp, out_of_nested_handlers)
{
    handle(SIGUSR1, catch, 0);
    for (volatile int i = 0; i < 50; i++)
        if (sigsetjmp(out, 1) == 0)
            raise(SIGUSR1);
    SHOW("50 times");
}
