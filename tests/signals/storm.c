/* 100 000 signals at calls that block: none is lost, none wakes nobody. A lost one hangs. */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>

#include "check.h"

enum { ROUNDS = 12000 };

static volatile sig_atomic_t got;
static sigset_t empty;
static pid_t peer;

static void count(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    got++;
}

enum { SUSPEND, PPOLL, PSELECT, EPOLL, TIMEDWAIT, READ, KINDS };
static const char *const names[] = {"sigsuspend",  "ppoll",        "pselect",
                                    "epoll_pwait", "sigtimedwait", "read"};

/* Waits for one signal of the peer's; blocked but in the waits. */
static void wait_one(int kind, int ep, int fd)
{
    struct epoll_event event;
    sigset_t set;
    char c;
    int before = got;
    switch (kind) {
    case SUSPEND:
        while (got == before)
            sigsuspend(&empty);
        break;
    case PPOLL:
        while (got == before)
            CHECK(ppoll(NULL, 0, NULL, &empty) == -1 && errno == EINTR);
        break;
    case PSELECT:
        while (got == before)
            CHECK(pselect(0, NULL, NULL, NULL, NULL, &empty) == -1 && errno == EINTR);
        break;
    case EPOLL:
        while (got == before)
            CHECK(epoll_pwait(ep, &event, 1, -1, &empty) == -1 && errno == EINTR);
        break;
    case TIMEDWAIT:
        sigemptyset(&set);
        sigaddset(&set, SIGUSR1);
        CHECK(sigtimedwait(&set, NULL, NULL) == SIGUSR1);
        break;
    case READ: /* the peer writes after its signal: the read is restarted */
        CHECK(read(fd, &c, 1) == 1);
        break;
    }
}

static void run(int kind, int ep, int in, int out)
{
    for (int i = 0; i < ROUNDS; i++) {
        if (peer) {
            kill(peer, SIGUSR1);
            if (kind == READ)
                CHECK(write(out, "x", 1) == 1);
            wait_one(kind, ep, in);
        } else {
            wait_one(kind, ep, in);
            kill(getppid(), SIGUSR1);
            if (kind == READ)
                CHECK(write(out, "x", 1) == 1);
        }
    }
}

static volatile int stop;
static void *sender(void *arg)
{
    pthread_t to = *(pthread_t *)arg;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < ROUNDS && !stop; i++) {
        int before = got;
        pthread_kill(to, SIGUSR2);
        while (got == before && !stop)
            sched_yield();
    }
    stop = 1;
    return NULL;
}

int main(void)
{
    sigemptyset(&empty);
    handle(SIGUSR1, count, SA_RESTART);
    handle(SIGUSR2, count, 0);
    for (int kind = 0; kind < KINDS; kind++) {
        int ep = epoll_create1(0), there[2], here[2];
        CHECK(ep >= 0 && pipe(there) == 0 && pipe(here) == 0);
        fflush(stdout);
        got = 0;
        if (kind == READ)
            unblock(SIGUSR1);
        else
            block(SIGUSR1);
        peer = fork();
        if (peer == 0) {
            run(kind, ep, there[0], here[1]);
            _exit(0);
        }
        run(kind, ep, here[0], there[1]);
        int status;
        CHECK(waitpid(peer, &status, 0) == peer);
        SHOW("%s: %s, status %x", names[kind], kind == TIMEDWAIT || got >= 1 ? "all" : "none",
             status);
        close(ep), close(there[0]), close(there[1]), close(here[0]), close(here[1]);
    }

    /* A thread hammers another one that makes short calls and sleeps for ever in between. */
    unblock(SIGUSR1);
    pthread_t self = pthread_self(), thread;
    got = 0;
    CHECK(pthread_create(&thread, NULL, sender, &self) == 0);
    while (!stop) {
        getppid();
        struct timespec long_time = {0, 2000000};
        nanosleep(&long_time, NULL);
        poll(NULL, 0, 2);
    }
    pthread_join(thread, NULL);
    SHOW("thread: %d", (int)got);
    return 0;
}
