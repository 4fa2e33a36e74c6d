/* Readiness: poll, select, epoll; eventfd, timerfd, signalfd; pipes. */
#include "files.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

static int ends[2];

static void make_pipe(int flags)
{
    if (pipe2(ends, flags) < 0)
        SHOW("pipe2: %s", strerrorname_np(errno));
}

static void show_poll(int fd, int events)
{
    struct pollfd p = {fd, events, 0x7777};
    TRY(poll(&p, 1, 0));
    SHOW("%#x", (unsigned)(unsigned short)p.revents);
}

CASE(poll, kinds)
{
    show_poll(file_with("f", "x"), POLLIN | POLLOUT);
    show_poll(open(".", O_RDONLY), POLLIN | POLLOUT);
    show_poll(open("/dev/null", O_RDWR), POLLIN | POLLOUT);
    make_pipe(0);
    show_poll(ends[0], POLLIN | POLLOUT);
    show_poll(ends[1], POLLIN | POLLOUT);
    show_poll(99, POLLIN);
    show_poll(-1, POLLIN);
    show_poll(open("f", O_PATH), POLLIN);
    show_poll(eventfd(0, 0), POLLIN | POLLOUT);
    show_poll(eventfd(1, 0), POLLIN | POLLOUT);
    show_poll(file_with("f", "x"), 0);
    show_poll(file_with("f", "x"), POLLPRI | POLLRDNORM | POLLWRNORM);
}

CASE(poll, pipe_ends)
{
    make_pipe(0);
    TRY(write(ends[1], "x", 1));
    show_poll(ends[0], POLLIN);
    close(ends[1]);
    show_poll(ends[0], POLLIN);
    char b;
    read(ends[0], &b, 1);
    show_poll(ends[0], POLLIN);
    show_poll(ends[0], 0);
    make_pipe(0);
    close(ends[0]);
    show_poll(ends[1], POLLOUT);
}

CASE(poll, counts)
{
    struct rlimit limit;
    struct pollfd p = {0, 0, 0};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 10;
    setrlimit(RLIMIT_NOFILE, &limit);
    TRY(poll(NULL, 0, 0));
    TRY(poll(BAD_POINTER, 1, 0));
    TRY(poll(NULL, 11, 0));
    TRY(poll(&p, 1, 1));
    TRY(poll(before_a_hole(sizeof p), 2, 0));
}

CASE(poll, waits)
{
    make_pipe(0);
    if (fork() == 0) {
        usleep(10000);
        write(ends[1], "x", 1);
        _exit(0);
    }
    struct pollfd p = {ends[0], POLLIN, 0};
    TRY(poll(&p, 1, -1));
    TRY(p.revents);
    wait(NULL);
}

static void nothing(int signal)
{
}

CASE(poll, interrupted)
{
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    make_pipe(0);
    struct pollfd p = {ends[0], POLLIN, 0};
    sigaction(SIGALRM, &action, NULL);
    alarm(1);
    TRY(poll(&p, 1, -1));
}

CASE(ppoll, times_and_masks)
{
    struct timespec none = {0, 0}, bad = {0, 1000000000}, negative = {-1, 0};
    sigset_t all;
    sigfillset(&all);
    make_pipe(0);
    struct pollfd p = {ends[1], POLLOUT, 0};
    TRY(ppoll(&p, 1, &none, NULL));
    TRY(ppoll(&p, 1, &bad, NULL));
    TRY(ppoll(&p, 1, &negative, NULL));
    TRY(ppoll(&p, 1, BAD_POINTER, NULL));
    TRY(ppoll(&p, 1, &none, &all));
    TRY(syscall(SYS_ppoll, &p, 1, NULL, &all, 4));
    TRY(syscall(SYS_ppoll, &p, 1, NULL, BAD_POINTER, 8));
}

CASE(select, sets)
{
    fd_set in, out, except;
    struct timeval none = {0, 0};
    make_pipe(0);
    TRY(write(ends[1], "x", 1));
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_ZERO(&except);
    FD_SET(ends[0], &in);
    FD_SET(ends[1], &in);
    FD_SET(ends[1], &out);
    FD_SET(ends[0], &except);
    TRY(select(ends[1] + 1, &in, &out, &except, &none));
    SHOW("%d %d %d %d", FD_ISSET(ends[0], &in) != 0, FD_ISSET(ends[1], &in) != 0,
         FD_ISSET(ends[1], &out) != 0, FD_ISSET(ends[0], &except) != 0);
}

CASE(select, errors)
{
    fd_set in;
    struct timeval none = {0, 0}, bad = {-1, 0}, large = {0, 2000000};
    FD_ZERO(&in);
    FD_SET(99, &in);
    TRY(select(-1, NULL, NULL, NULL, &none));
    TRY(select(99, &in, NULL, NULL, &none));
    TRY(select(0, NULL, NULL, NULL, &bad));
    TRY(select(1, BAD_POINTER, NULL, NULL, &none));
    TRY(select(1, NULL, NULL, NULL, BAD_POINTER));
    TRY(select(0, BAD_POINTER, NULL, NULL, &none));
    large.tv_sec = 0;
    large.tv_usec = 1000;
    TRY(select(0, NULL, NULL, NULL, &large));
    SHOW("%ld %ld", (long)large.tv_sec, (long)large.tv_usec);
}

CASE(select, files_are_ready)
{
    fd_set in, out;
    int fd = file_with("f", "x");
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(fd, &in);
    FD_SET(fd, &out);
    TRY(select(fd + 1, &in, &out, NULL, NULL));
}

CASE(select, beyond_the_set)
{
    unsigned long sets[64] = {0};
    struct timeval none = {0, 0};
    make_pipe(0);
    TRY(dup2(ends[1], 1023));
    sets[15] = 1ul << 63;
    TRY(syscall(SYS_select, 1024, NULL, sets, NULL, &none));
    SHOW("%lx", sets[15]);
    TRY(syscall(SYS_select, 4096, NULL, sets, NULL, &none));
    TRY(syscall(SYS_select, INT_MAX, NULL, NULL, NULL, &none));
}

CASE(pselect, mask)
{
    struct timespec none = {0, 0}, bad = {0, -1};
    sigset_t set;
    sigemptyset(&set);
    TRY(pselect(0, NULL, NULL, NULL, &none, &set));
    TRY(pselect(0, NULL, NULL, NULL, &bad, &set));
    TRY(syscall(SYS_pselect6, 0, NULL, NULL, NULL, &none, BAD_POINTER));
}

CASE(epoll_create, forms)
{
    OK(epoll_create(1));
    TRY(epoll_create(0));
    TRY(epoll_create(-1));
    TRY(fcntl(epoll_create1(EPOLL_CLOEXEC), F_GETFD));
    TRY(epoll_create1(1));
}

static long control(int ep, int op, int fd, unsigned events)
{
    struct epoll_event e = {.events = events, .data.u64 = fd};
    return epoll_ctl(ep, op, fd, &e);
}

CASE(epoll_ctl, errors)
{
    int ep = epoll_create1(0), other = epoll_create1(0);
    make_pipe(0);
    TRY(control(ep, EPOLL_CTL_ADD, ends[0], EPOLLIN));
    TRY(control(ep, EPOLL_CTL_ADD, ends[0], EPOLLIN));
    TRY(control(ep, EPOLL_CTL_MOD, ends[1], EPOLLOUT));
    TRY(control(ep, EPOLL_CTL_DEL, ends[1], 0));
    TRY(epoll_ctl(ep, EPOLL_CTL_DEL, ends[0], NULL));
    TRY(epoll_ctl(ep, EPOLL_CTL_ADD, ends[0], NULL));
    TRY(epoll_ctl(ep, EPOLL_CTL_ADD, ends[0], BAD_POINTER));
    TRY(control(ep, 9, ends[0], EPOLLIN));
    TRY(control(ep, EPOLL_CTL_ADD, 99, EPOLLIN));
    TRY(control(99, EPOLL_CTL_ADD, ends[0], EPOLLIN));
    TRY(control(ends[0], EPOLL_CTL_ADD, ends[1], EPOLLIN));
    TRY(control(ep, EPOLL_CTL_ADD, ep, EPOLLIN));
    TRY(control(ep, EPOLL_CTL_ADD, file_with("f", ""), EPOLLIN));
    TRY(control(ep, EPOLL_CTL_ADD, open(".", O_RDONLY), EPOLLIN));
    TRY(control(ep, EPOLL_CTL_ADD, other, EPOLLIN));
    TRY(control(other, EPOLL_CTL_ADD, ep, EPOLLIN));
    TRY(control(ep, EPOLL_CTL_ADD, other, EPOLLIN | EPOLLEXCLUSIVE));
}

CASE(epoll_wait, levels_and_edges)
{
    struct epoll_event got[4];
    int ep = epoll_create1(0);
    make_pipe(0);
    control(ep, EPOLL_CTL_ADD, ends[0], EPOLLIN);
    TRY(epoll_wait(ep, got, 4, 0));
    TRY(write(ends[1], "xy", 2));
    TRY(epoll_wait(ep, got, 4, 0));
    TRY(epoll_wait(ep, got, 4, 0));
    control(ep, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLET);
    TRY(epoll_wait(ep, got, 4, 0));
    TRY(epoll_wait(ep, got, 4, 0));
    TRY(write(ends[1], "z", 1));
    TRY(epoll_wait(ep, got, 4, 0));
    control(ep, EPOLL_CTL_MOD, ends[0], EPOLLIN | EPOLLONESHOT);
    TRY(epoll_wait(ep, got, 4, 0));
    TRY(epoll_wait(ep, got, 4, 0));
    close(ends[1]);
    control(ep, EPOLL_CTL_MOD, ends[0], EPOLLIN);
    TRY(epoll_wait(ep, got, 4, 0));
    SHOW("%#x %d", got[0].events, got[0].data.u64 == ends[0]);
}

CASE(epoll_wait, errors)
{
    struct epoll_event got[4];
    int ep = epoll_create1(0);
    make_pipe(0);
    control(ep, EPOLL_CTL_ADD, ends[1], EPOLLOUT);
    TRY(epoll_wait(ep, got, 0, 0));
    TRY(epoll_wait(ep, got, -1, 0));
    TRY(epoll_wait(ep, BAD_POINTER, 4, 0));
    TRY(epoll_wait(ends[0], got, 4, 0));
    TRY(epoll_wait(99, got, 4, 0));
    TRY(epoll_wait(ep, got, INT_MAX, 0));
    TRY(epoll_wait(ep, got, 1 << 20, 0));
}

CASE(epoll_wait, closed_descriptor)
{
    struct epoll_event got[4];
    int ep = epoll_create1(0);
    make_pipe(0);
    control(ep, EPOLL_CTL_ADD, ends[1], EPOLLOUT);
    int copy = dup(ends[1]);
    close(ends[1]);
    TRY(epoll_wait(ep, got, 4, 0));
    close(copy);
    TRY(epoll_wait(ep, got, 4, 0));
}

CASE(epoll_pwait2, times)
{
    struct epoll_event got[4];
    struct timespec soon = {0, 1000}, bad = {0, -1};
    int ep = epoll_create1(0);
    TRY(epoll_pwait2(ep, got, 4, &soon, NULL));
    TRY(epoll_pwait2(ep, got, 4, &bad, NULL));
    TRY(syscall(SYS_epoll_pwait2, ep, got, 4, BAD_POINTER, NULL, 8));
}

CASE(eventfd, counts)
{
    uint64_t n;
    int fd = eventfd(3, EFD_NONBLOCK);
    TRY(read(fd, &n, 8));
    TRY((long)n);
    TRY(read(fd, &n, 8));
    n = 5;
    TRY(write(fd, &n, 8));
    TRY(write(fd, &n, 8));
    TRY(read(fd, &n, 7));
    TRY(read(fd, &n, 16));
    TRY((long)n);
    n = -1;
    TRY(write(fd, &n, 8));
    n = -2;
    TRY(write(fd, &n, 8));
    n = 1;
    TRY(write(fd, &n, 8));
    TRY(write(fd, &n, 4));
    TRY(write(fd, BAD_POINTER, 8));
    TRY(read(fd, BAD_POINTER, 8));
    TRY(pread(fd, &n, 8, 0));
}

CASE(eventfd, semaphore)
{
    uint64_t n;
    int fd = eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE);
    TRY(read(fd, &n, 8));
    TRY((long)n);
    TRY(read(fd, &n, 8));
    TRY(read(fd, &n, 8));
    TRY(eventfd(0, 2));
    TRY(fcntl(eventfd(0, EFD_CLOEXEC), F_GETFD));
}

CASE(timerfd, expires)
{
    uint64_t n = 0;
    struct itimerspec t = {.it_value = {0, 1000000}}, now;
    int fd = timerfd_create(CLOCK_MONOTONIC, 0);
    TRY(timerfd_gettime(fd, &now));
    SHOW("%ld %ld", (long)now.it_value.tv_sec, (long)now.it_value.tv_nsec);
    TRY(timerfd_settime(fd, 0, &t, NULL));
    TRY(read(fd, &n, 8));
    TRY((long)n);
    TRY(fcntl(fd, F_SETFL, O_NONBLOCK));
    TRY(read(fd, &n, 8));
    TRY(read(fd, &n, 4));
    t.it_value.tv_nsec = 0;
    t.it_value.tv_sec = 100;
    TRY(timerfd_settime(fd, 0, &t, &now));
    show_poll(fd, POLLIN);
}

CASE(timerfd, errors)
{
    struct itimerspec t = {.it_value = {0, 1000000000}};
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    TRY(fcntl(fd, F_GETFD));
    TRY(timerfd_settime(fd, 0, &t, NULL));
    t.it_value = (struct timespec){-1, 0};
    TRY(timerfd_settime(fd, 0, &t, NULL));
    t.it_value = (struct timespec){1, 0};
    TRY(timerfd_settime(fd, 64, &t, NULL));
    TRY(timerfd_settime(99, 0, &t, NULL));
    TRY(timerfd_settime(0, 0, &t, NULL));
    TRY(timerfd_settime(fd, 0, BAD_POINTER, NULL));
    TRY(timerfd_settime(fd, 0, &t, BAD_POINTER));
    TRY(timerfd_gettime(fd, BAD_POINTER));
    TRY(timerfd_create(77, 0));
    TRY(timerfd_create(CLOCK_REALTIME, 1));
    t.it_value = (struct timespec){1, 0};
    TRY(timerfd_settime(fd, TFD_TIMER_ABSTIME, &t, NULL));
    uint64_t n;
    TRY(read(fd, &n, 8));
    TRY((long)n);
}

CASE(signalfd, reads_signals)
{
    struct signalfd_siginfo info[2];
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    TRY(read(fd, info, sizeof info));
    kill(getpid(), SIGUSR2);
    kill(getpid(), SIGUSR1);
    show_poll(fd, POLLIN);
    TRY(read(fd, info, sizeof info) / sizeof *info);
    SHOW("%d %d", info[0].ssi_signo == SIGUSR1, info[1].ssi_signo == SIGUSR2);
    TRY(read(fd, info, 8));
    TRY(write(fd, info, 8));
    sigdelset(&set, SIGUSR2);
    TRY(signalfd(fd, &set, 0) == fd);
    kill(getpid(), SIGUSR2);
    TRY(read(fd, info, sizeof info));
    TRY(signalfd(0, &set, 0));
    TRY(signalfd(99, &set, 0));
    TRY(signalfd(-1, &set, 1));
    TRY(signalfd(-1, BAD_POINTER, 0));
    TRY(syscall(SYS_signalfd4, -1, &set, 4, 0));
}

/* ---- pipes ---- */

CASE(pipe, forms)
{
    TRY(pipe(BAD_POINTER));
    TRY(pipe2(ends, 0x40000000));
    TRY(pipe2(ends, O_RDWR));
    TRY(pipe2(ends, O_DIRECT));
    SHOW("%#x", fcntl(ends[1], F_GETFL));
    TRY(pipe(before_a_hole(4)));
}

CASE(pipe, ends)
{
    char b[4];
    make_pipe(0);
    TRY(read(ends[1], b, 1));
    TRY(write(ends[0], b, 1));
    signal(SIGPIPE, SIG_IGN);
    close(ends[0]);
    TRY(write(ends[1], b, 1));
    TRY(write(ends[1], b, 0));
    make_pipe(0);
    close(ends[1]);
    TRY(read(ends[0], b, 1));
    signal(SIGPIPE, SIG_DFL);
    make_pipe(0);
    close(ends[0]);
    fflush(stdout);
    TRY(write(ends[1], b, 1));
}

CASE(pipe, capacity)
{
    static char b[1 << 17];
    make_pipe(O_NONBLOCK);
    TRY(fcntl(ends[0], F_GETPIPE_SZ));
    TRY(write(ends[1], b, sizeof b));
    TRY(write(ends[1], b, 1));
    TRY(read(ends[0], b, 100));
    TRY(write(ends[1], b, 4096));
    TRY(write(ends[1], b, 4097));
    TRY(read(ends[0], b, 4096));
    TRY(write(ends[1], b, 4096));
    TRY(write(ends[1], b, 8192));
}

CASE(pipe, sizes)
{
    make_pipe(O_NONBLOCK);
    TRY(fcntl(ends[0], F_SETPIPE_SZ, 4096));
    TRY(fcntl(ends[1], F_GETPIPE_SZ));
    TRY(fcntl(ends[0], F_SETPIPE_SZ, 5000));
    TRY(fcntl(ends[0], F_SETPIPE_SZ, 0));
    TRY(fcntl(ends[0], F_SETPIPE_SZ, 1 << 30));
    TRY(fcntl(ends[0], F_SETPIPE_SZ, -1));
    static char b[8192];
    TRY(write(ends[1], b, 8192));
    TRY(fcntl(ends[0], F_SETPIPE_SZ, 4096));
}

CASE(pipe, packets)
{
    char b[16];
    make_pipe(O_DIRECT | O_NONBLOCK);
    TRY(write(ends[1], "hello", 5));
    TRY(write(ends[1], "you", 3));
    TRY(read(ends[0], b, 2));
    TRY(read(ends[0], b, 16));
    TRY(read(ends[0], b, 16));
}

CASE(pipe, waits_for_all_writers)
{
    char b[8];
    make_pipe(0);
    if (fork() == 0) {
        close(ends[0]);
        write(ends[1], "one", 3);
        usleep(10000);
        write(ends[1], "two", 3);
        _exit(0);
    }
    close(ends[1]);
    TRY(read(ends[0], b, 8));
    TRY(read(ends[0], b, 8));
    TRY(read(ends[0], b, 8));
    wait(NULL);
}

CASE(pipe, large_write_wholly)
{
    static char b[1 << 20];
    make_pipe(0);
    if (fork() == 0) {
        close(ends[1]);
        long sum = 0, n;
        while ((n = read(ends[0], b, 10000)) > 0)
            sum += n;
        _exit(sum == sizeof b ? 0 : 1);
    }
    close(ends[0]);
    TRY(write(ends[1], b, sizeof b));
    close(ends[1]);
    int status;
    wait(&status);
    TRY(status);
}

CASE(pipe, fionread)
{
    int n;
    make_pipe(0);
    write(ends[1], "hello", 5);
    TRY(ioctl(ends[0], FIONREAD, &n));
    TRY(n);
    TRY(ioctl(ends[0], FIONREAD, BAD_POINTER));
    struct stat st;
    TRY(fstat(ends[0], &st));
    SHOW("%o %ld", st.st_mode, (long)st.st_size);
}

CASE(pipe, write_interrupted_after_some)
{
    static char b[1 << 17];
    struct sigaction action = {.sa_handler = nothing};
    make_pipe(0);
    sigaction(SIGALRM, &action, NULL);
    alarm(1);
    TRY(write(ends[1], b, sizeof b));
    alarm(1);
    TRY(write(ends[1], b, sizeof b));
}
