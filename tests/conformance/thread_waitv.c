/* futex_waitv: vectors of words, private and shared, what is wrong with them, what ends a wait. */
#include "conformance.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>

enum { PRIVATE = FUTEX_32 | FUTEX_PRIVATE_FLAG, SHARED = FUTEX_32, PAGE = 4096 };

static uint32_t words[4];

static long waitv(const struct futex_waitv *v, unsigned count, unsigned flags, const void *until,
                  clockid_t clock)
{
    return syscall(SYS_futex_waitv, v, count, flags, until, clock);
}

static struct futex_waitv entry(const uint32_t *word, uint64_t value, uint32_t flags)
{
    return (struct futex_waitv){value, (uintptr_t)word, flags, 0};
}

static long wake(uint32_t *word, int flags)
{
    return syscall(SYS_futex, word, FUTEX_WAKE | flags, INT_MAX, NULL, NULL, 0);
}

static struct timespec in_ms(clockid_t clock, long ms)
{
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += ms % 1000 * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    return t;
}

CASE(futex_waitv, another_value)
{
    struct futex_waitv v[2] = {entry(&words[0], 0, PRIVATE), entry(&words[1], 5, PRIVATE)};
    TRY(waitv(v, 2, 0, NULL, 0));
    v[0].val = 1;
    TRY(waitv(v, 1, 0, NULL, 0));
    v[0].flags = v[1].flags = SHARED;
    v[0].val = 0;
    TRY(waitv(v, 2, 0, NULL, 0));
}

CASE(futex_waitv, wrong_arguments)
{
    struct futex_waitv v[130];
    struct timespec past = {0, 0};
    for (int i = 0; i < 130; i++)
        v[i] = entry(&words[0], 1, PRIVATE);
    TRY(waitv(v, 0, 0, NULL, 0));
    TRY(waitv(v, 128, 0, NULL, 0));
    TRY(waitv(v, 129, 0, NULL, 0));
    TRY(waitv(v, 1, 1, NULL, 0));
    TRY(waitv(NULL, 1, 0, NULL, 0));
    TRY(waitv(BAD_POINTER, 1, 0, NULL, 0));
    struct futex_waitv *half = before_a_hole(sizeof *half);
    *half = v[0];
    TRY(waitv(half, 1, 0, NULL, 0));
    TRY(waitv(half, 2, 0, NULL, 0));
    TRY(waitv(v, 1, 0, &past, CLOCK_PROCESS_CPUTIME_ID));
    TRY(waitv(v, 1, 0, &past, -1));
    TRY(waitv(v, 1, 0, NULL, -1));
}

CASE(futex_waitv, wrong_entries)
{
    char *none = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct futex_waitv v[2] = {entry(&words[0], 0, PRIVATE), entry(&words[1], 1, PRIVATE)};
    const struct futex_waitv good = v[1];
    v[1].flags = FUTEX_PRIVATE_FLAG;
    TRY(waitv(v, 2, 0, NULL, 0));
    v[1].flags = PRIVATE | 64;
    TRY(waitv(v, 2, 0, NULL, 0));
    v[1] = good;
    v[1].__reserved = 1;
    TRY(waitv(v, 2, 0, NULL, 0));
    for (int shared = 0; shared < 2; shared++) {
        v[0].flags = v[1].flags = shared ? SHARED : PRIVATE;
        v[1].__reserved = 0;
        v[1].uaddr = (uintptr_t)&words[1] + 1;
        TRY(waitv(v, 2, 0, NULL, 0));
        v[1].uaddr = (uintptr_t)BAD_POINTER;
        TRY(waitv(v, 2, 0, NULL, 0));
        v[1].uaddr = (uintptr_t)none;
        TRY(waitv(v, 2, 0, NULL, 0));
        v[1].uaddr = 0;
        TRY(waitv(v, 2, 0, NULL, 0));
        v[1].uaddr = -(uint64_t)PAGE;
        TRY(waitv(v, 2, 0, NULL, 0));
        v[1].uaddr = -(uint64_t)PAGE + 2;
        TRY(waitv(v, 2, 0, NULL, 0));
    }
}

CASE(futex_waitv, times_out)
{
    struct futex_waitv v[2] = {entry(&words[0], 0, PRIVATE), entry(&words[1], 0, SHARED)};
    struct timespec t = {0, 0};
    TRY(waitv(v, 2, 0, &t, CLOCK_MONOTONIC));
    TRY(waitv(v, 2, 0, &t, CLOCK_REALTIME));
    t = in_ms(CLOCK_MONOTONIC, 5);
    TRY(waitv(v, 2, 0, &t, CLOCK_MONOTONIC));
    SHOW("late %d", in_ms(CLOCK_MONOTONIC, 0).tv_sec >= t.tv_sec);
    t = in_ms(CLOCK_REALTIME, 5);
    TRY(waitv(v, 2, 0, &t, CLOCK_REALTIME));
}

CASE(futex_waitv, wrong_times)
{
    struct futex_waitv v[1] = {entry(&words[0], 0, PRIVATE)};
    struct timespec t = {0, 1000000000};
    TRY(waitv(v, 1, 0, &t, CLOCK_MONOTONIC));
    t = (struct timespec){-1, 0};
    TRY(waitv(v, 1, 0, &t, CLOCK_MONOTONIC));
    t = (struct timespec){0, -1};
    TRY(waitv(v, 1, 0, &t, CLOCK_MONOTONIC));
    TRY(waitv(v, 1, 0, BAD_POINTER, CLOCK_MONOTONIC));
}

struct waiter {
    struct futex_waitv *v;
    unsigned count;
    pthread_t thread;
    long result;
    int error;
};

static void *waiting(void *arg)
{
    struct waiter *w = arg;
    struct timespec t = in_ms(CLOCK_MONOTONIC, 20000);
    w->result = waitv(w->v, w->count, 0, &t, CLOCK_MONOTONIC);
    w->error = errno;
    return NULL;
}

/* Wakes the word until somebody slept on it. */
static void await_wake(uint32_t *word, int flags)
{
    while (wake(word, flags) < 1)
        sched_yield();
}

static void woken_at(struct futex_waitv *v, unsigned count, unsigned at)
{
    struct waiter w = {v, count};
    pthread_create(&w.thread, NULL, waiting, &w);
    await_wake((uint32_t *)(uintptr_t)v[at].uaddr, v[at].flags & FUTEX_PRIVATE_FLAG);
    pthread_join(w.thread, NULL);
    SHOW("woken: %ld", w.result);
}

CASE(futex_waitv, tells_who_woke_it)
{
    struct futex_waitv v[4];
    for (int i = 0; i < 4; i++)
        v[i] = entry(&words[i], 0, i & 1 ? SHARED : PRIVATE);
    for (int i = 0; i < 4; i++)
        woken_at(v, 4, i);
}

/* Every word in a line of its own, and more lines touched in between than the ExCache has. */
CASE(futex_waitv, words_far_apart)
{
    const size_t size = 128 * PAGE, more = 16 << 20;
    int flags[2] = {MAP_PRIVATE | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS};
    char *other = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int kind = 0; kind < 4; kind++) {
        char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, flags[kind & 1], -1, 0);
        struct futex_waitv v[128];
        for (int i = 0; i < 128; i++) {
            v[i] = entry((uint32_t *)(p + i * PAGE + 8), (uint32_t)i, kind & 2 ? SHARED : PRIVATE);
            *(uint32_t *)(p + i * PAGE + 8) = (uint32_t)i;
        }
        for (size_t i = 0; i < more; i += PAGE)
            other[i]++;
        woken_at(v, 128, 0);
        woken_at(v, 128, 127);
        for (size_t i = 0; i < more; i += PAGE)
            other[i]++;
        *(uint32_t *)(p + 127 * PAGE + 8) = 1;
        TRY(waitv(v, 128, 0, NULL, 0));
    }
}

CASE(futex_waitv, woken_by_another_process)
{
    uint32_t *p = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct futex_waitv v[3] = {entry(&words[0], 0, PRIVATE), entry(p, 0, SHARED),
                               entry(p + PAGE / 4, 0, SHARED)};
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        await_wake(p + PAGE / 4, 0);
        _exit(0);
    }
    struct timespec t = in_ms(CLOCK_MONOTONIC, 20000);
    TRY(waitv(v, 3, 0, &t, CLOCK_MONOTONIC));
    waitpid(pid, NULL, 0);
}

static void nothing(int number)
{
}

static void interrupted(int flags)
{
    struct sigaction action = {.sa_handler = nothing, .sa_flags = flags};
    struct futex_waitv v[2] = {entry(&words[0], 0, PRIVATE), entry(&words[1], 0, SHARED)};
    struct timespec t = in_ms(CLOCK_MONOTONIC, 300);
    timer_t timer;
    struct itimerspec soon = {{0, 0}, {0, 50000000}};
    sigaction(SIGUSR1, &action, NULL);
    timer_create(CLOCK_MONOTONIC,
                 &(struct sigevent){.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1}, &timer);
    timer_settime(timer, 0, &soon, NULL);
    TRY(waitv(v, 2, 0, &t, CLOCK_MONOTONIC));
    timer_delete(timer);
}

CASE(futex_waitv, interrupted)
{
    interrupted(0);
    interrupted(SA_RESTART);
}

CASE(futex_waitv, ended_by_a_signal)
{
    struct futex_waitv v[1] = {entry(&words[0], 0, PRIVATE)};
    alarm(1);
    TRY(waitv(v, 1, 0, NULL, 0));
}
