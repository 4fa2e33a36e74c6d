/*
 * Every system call with arguments that nobody means: wild and half-mapped pointers, absurd sizes,
 * random flags. usage: calls SEED [FIRST LAST]
 *
 * Each number is tried in a child of its own, a few dozen times; what it answers does not matter,
 * nor whether the child dies of it. A child that hangs does: it is killed after a while and
 * counted. Signals go to the child itself only, and nothing forks but where it is meant to.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRIES = 24, NUMBERS = 470, PAGE = 4096 };

static uint64_t state;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static char *readable, *writable, *forbidden, *edge;

static void make_memory(void)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    writable = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
    readable = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
    forbidden = mmap(NULL, PAGE, PROT_NONE, flags, -1, 0);
    edge = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
    strcpy(readable, "./a/file/that/is/not/there");
    for (int i = 0; i < PAGE; i++)
        edge[i] = (char)next();
    mprotect(readable, PAGE, PROT_READ);
    munmap(edge + PAGE, PAGE);
}

static uint64_t argument(void)
{
    static const uint64_t odd[] = {0,
                                   1,
                                   ~0ull,
                                   0x1000,
                                   0x7fffffff,
                                   0x80000000,
                                   0xffffffff,
                                   1 << 20,
                                   1ull << 40,
                                   1ull << 46,
                                   0x7fffffffe000ull,
                                   0x400000000000ull,
                                   1ull << 63,
                                   4096,
                                   65536,
                                   0x1fff,
                                   ~0xfffull,
                                   0xffff800000000000ull,
                                   0x800000000000ull,
                                   1023,
                                   1024,
                                   65535};
    switch (next() % 10) {
    case 0:
    case 1:
        return next() % 16; /* a descriptor, a small flag */
    case 2:
        return odd[next() % (sizeof odd / sizeof *odd)];
    case 3:
        return (uint64_t)edge + PAGE - next() % 80;
    case 4:
        return (uint64_t)readable;
    case 5:
        return (uint64_t)forbidden;
    case 6:
        return 1ull << next() % 64;
    case 7:
        return next() >> next() % 64;
    case 8:
        return 0x400000000000ull + next() % 0x3fff00000000ull; /* above the window */
    default:
        return (uint64_t)writable + next() % (8 * PAGE);
    }
}

static void tick(int signal)
{
    (void)signal;
}

/* Sends to somebody, makes a process, or ends this one for certain. */
static int left_out(long nr)
{
    return nr == SYS_fork || nr == SYS_vfork || nr == SYS_clone || nr == SYS_clone3 ||
           nr == SYS_exit || nr == SYS_exit_group || nr == SYS_rt_sigreturn;
}

static int takes_a_pid(long nr)
{
    return nr == SYS_kill || nr == SYS_tkill || nr == SYS_tgkill || nr == SYS_rt_sigqueueinfo ||
           nr == SYS_rt_tgsigqueueinfo || nr == SYS_prlimit64 || nr == SYS_sched_setscheduler ||
           nr == SYS_sched_setaffinity || nr == SYS_sched_setparam || nr == SYS_sched_setattr ||
           nr == SYS_setpgid || nr == SYS_ptrace || nr == SYS_process_vm_writev;
}

static void child(long nr)
{
    struct sigaction action = {.sa_handler = tick};
    struct itimerval often = {{0, 20000}, {0, 20000}};
    int ends[2];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (!freopen("/dev/null", "w", stdout) || dup2(1, 2) < 0)
        _exit(1);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    if (pipe2(ends, O_NONBLOCK) < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        _exit(1);
    epoll_create1(0);
    eventfd(1, EFD_NONBLOCK);
    open("file", O_RDWR | O_CREAT, 0600);
    for (int i = 0; i < 32; i++)
        ((uint64_t *)writable)[i] = argument();
    for (int i = 0; i < TRIES; i++) {
        uint64_t a[6];
        for (int j = 0; j < 6; j++)
            a[j] = argument();
        if (takes_a_pid(nr))
            a[0] = (uint64_t)getpid();
        if (nr == SYS_setpriority || nr == SYS_ioprio_set) {
            a[0] = nr == SYS_ioprio_set;
            a[1] = (uint64_t)getpid();
        }
        if (nr == SYS_pidfd_send_signal)
            a[0] = ~0ull;
        syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
    _exit(0);
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    long first = argc > 2 ? atol(argv[2]) : 0, last = argc > 3 ? atol(argv[3]) : NUMBERS;
    int died = 0, hung = 0;

    for (long nr = first; nr <= last; nr++) {
        if (left_out(nr))
            continue;
        state = (seed * 1000003 + (uint64_t)nr) * 0x9e3779b97f4a7c15ull | 1;
        make_memory();
        pid_t pid = fork();
        if (pid == 0)
            child(nr);
        int status, fd = (int)syscall(SYS_pidfd_open, pid, 0);
        struct pollfd ended = {fd, POLLIN, 0};
        if (poll(&ended, 1, 10000) == 0) {
            printf("call %ld, seed %lu: hangs\n", nr, seed);
            hung++;
            kill(pid, SIGKILL);
        }
        waitpid(pid, &status, 0);
        died += WIFSIGNALED(status);
        close(fd);
        munmap(writable, 64 * PAGE);
        munmap(readable, PAGE);
        munmap(forbidden, PAGE);
        munmap(edge, PAGE);
    }
    printf("%d died, %d hung\n", died, hung);
    return hung != 0;
}
