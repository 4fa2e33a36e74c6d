/*
 * For the programs of tests/signals: each prints what it sees, a line a fact, nothing that may
 * differ from run to run; compare.py runs it natively and inside, and compares. CHECK is for what
 * has no value worth printing.
 */
#ifndef ASHLAR_TESTS_SIGNALS_CHECK_H
#define ASHLAR_TESTS_SIGNALS_CHECK_H

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHECK(c)                                                                                   \
    do {                                                                                           \
        if (!(c)) {                                                                                \
            printf("%s:%d: %s fails (errno %d)\n", __FILE__, __LINE__, #c, errno);                 \
            fflush(stdout);                                                                        \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

#define SHOW(...)                                                                                  \
    do {                                                                                           \
        printf(__VA_ARGS__);                                                                       \
        putchar('\n');                                                                             \
        fflush(stdout);                                                                            \
    } while (0)

static inline void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(signal, &action, NULL) == 0);
}

static inline void block(int signal)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
}

static inline void unblock(int signal)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    CHECK(sigprocmask(SIG_UNBLOCK, &set, NULL) == 0);
}

/* The low 34 bits of the thread's mask: those that a program of today may have set. */
static inline unsigned long mask_now(void)
{
    sigset_t set;
    sigprocmask(SIG_SETMASK, NULL, &set);
    return *(unsigned long *)&set;
}

static inline double now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

#endif
