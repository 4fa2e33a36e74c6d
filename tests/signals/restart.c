/* Calls that a handler interrupts: restarted, or EINTR, as signal(7) says, and with the time left.
 */
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "check.h"

static volatile sig_atomic_t hits;
static int pipe_fds[2];

static void on_alarm(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    hits++;
    if (hits == 3) /* lets a restarted read end */
        CHECK(write(pipe_fds[1], "x", 1) == 1);
}

/* Alarms each 30 ms from now on; the third one writes to the pipe. */
static void begin(int flags)
{
    handle(SIGALRM, on_alarm, flags);
    hits = 0;
    struct itimerval every = {{0, 30000}, {0, 30000}};
    setitimer(ITIMER_REAL, &every, NULL);
}

static void end(const char *what, long result, int error)
{
    struct itimerval none = {0};
    setitimer(ITIMER_REAL, &none, NULL);
    SHOW("%s: %ld errno %d, %s", what, result, result < 0 ? error : 0,
         hits >= 3 ? "restarted" : "interrupted");
    char c;
    if (hits >= 3) {
        struct pollfd p = {pipe_fds[0], POLLIN, 0};
        if (poll(&p, 1, 0) == 1)
            CHECK(read(pipe_fds[0], &c, 1) == 1);
    }
}

#define TRY(flags, call)                                                                           \
    do {                                                                                           \
        begin(flags);                                                                              \
        errno = 0;                                                                                 \
        long result = (call);                                                                      \
        int error = errno;                                                                         \
        end(#call " " #flags, result, error);                                                      \
    } while (0)

static void child_waits(void)
{
    pid_t child = fork();
    if (child == 0) {
        usleep(150000);
        _exit(7);
    }
    int status = 0;
    begin(SA_RESTART);
    pid_t got = waitpid(child, &status, 0);
    end("waitpid restart", got == child, errno);
    SHOW("status %x", status);
}

int main(void)
{
    char c;
    CHECK(pipe(pipe_fds) == 0);
    TRY(SA_RESTART, read(pipe_fds[0], &c, 1));
    TRY(0, read(pipe_fds[0], &c, 1));

    struct pollfd p = {pipe_fds[0], POLLIN, 0};
    TRY(SA_RESTART, poll(&p, 1, 2000));
    TRY(SA_RESTART, poll(&p, 1, -1));
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pipe_fds[0], &set);
    TRY(SA_RESTART, select(pipe_fds[0] + 1, &set, NULL, NULL, NULL));
    struct timespec two = {2, 0};
    TRY(SA_RESTART, ppoll(&p, 1, &two, NULL));
    int ep = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, pipe_fds[0], &event) == 0);
    TRY(SA_RESTART, epoll_wait(ep, &event, 1, 2000));

    /* nanosleep tells what is left, and a loop over it sleeps the whole time. */
    struct timespec request = {0, 200000000}, left = {0, 0};
    begin(SA_RESTART);
    double start = now();
    int rc = nanosleep(&request, &left);
    double rest = (double)left.tv_sec + (double)left.tv_nsec * 1e-9;
    SHOW("nanosleep %d errno %d left plausible %d", rc, errno, rest > 0.1 && rest < 0.19);
    while (rc < 0) {
        request = left;
        rc = nanosleep(&request, &left);
    }
    double took = now() - start;
    SHOW("slept plausibly %d", took >= 0.2 && took < 0.5);
    begin(0);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 5;
    rc = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    SHOW("clock_nanosleep %d", rc);

    child_waits();
    TRY(0, pause());
    TRY(SA_RESTART, pause());
    sem_t sem;
    sem_init(&sem, 0, 0);
    TRY(0, sem_wait(&sem));

    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    TRY(0, recv(pair[0], &c, 1, 0));
    struct timeval timeout = {3, 0};
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    TRY(SA_RESTART, recv(pair[0], &c, 1, 0));

    /* ppoll with a mask: a signal blocked until then ends it; the mask is back afterwards. */
    begin(0);
    struct itimerval none = {0};
    setitimer(ITIMER_REAL, &none, NULL);
    block(SIGALRM);
    raise(SIGALRM);
    sigset_t empty;
    sigemptyset(&empty);
    rc = ppoll(NULL, 0, &two, &empty);
    SHOW("ppoll %d errno %d hits %d mask %lx", rc, errno, (int)hits, mask_now());
    raise(SIGALRM);
    rc = pselect(0, NULL, NULL, NULL, &two, &empty);
    SHOW("pselect %d errno %d hits %d mask %lx", rc, errno, (int)hits, mask_now());
    raise(SIGALRM);
    rc = epoll_pwait(epoll_create1(0), &event, 1, 2000, &empty);
    SHOW("epoll_pwait %d errno %d hits %d mask %lx", rc, errno, (int)hits, mask_now());
    return 0;
}
