/* Timers and waiting for signals without handlers. */
#include <poll.h>
#include <pthread.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include "check.h"

static volatile sig_atomic_t hits, last_value, last_code;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    hits++;
    last_code = info->si_code;
    last_value =
        info->si_code == SI_TIMER || info->si_code == SI_QUEUE ? info->si_value.sival_int : 0;
}

/* Until `n` of a signal that is blocked otherwise were handled. */
static void await(int signal, int n)
{
    sigset_t none;
    sigemptyset(&none);
    block(signal);
    while (hits < n)
        sigsuspend(&none);
    unblock(signal);
}

static void *notified(void *arg)
{
    (void)arg;
    return NULL;
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int calls;

static void on_thread(union sigval value)
{
    pthread_mutex_lock(&lock);
    calls += value.sival_int;
    pthread_cond_signal(&changed);
    pthread_mutex_unlock(&lock);
}

int main(void)
{
    handle(SIGALRM, on_signal, 0);
    struct itimerval timer = {{0, 0}, {0, 20000}}, old;
    CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
    await(SIGALRM, 1);
    SHOW("itimer: hits %d code %d", (int)hits, (int)last_code);
    alarm(100);
    unsigned left = alarm(0);
    SHOW("alarm left %d", left == 100 || left == 99);
    timer = (struct itimerval){{0, 5000}, {0, 5000}};
    setitimer(ITIMER_REAL, &timer, NULL);
    await(SIGALRM, 20);
    timer = (struct itimerval){0};
    setitimer(ITIMER_REAL, &timer, &old);
    SHOW("interval %ld", (long)old.it_interval.tv_usec);

    handle(SIGVTALRM, on_signal, 0);
    hits = 0;
    timer = (struct itimerval){{0, 0}, {0, 20000}};
    setitimer(ITIMER_VIRTUAL, &timer, NULL);
    while (!hits)
        ;
    SHOW("virtual timer: hits %d", (int)hits);

    /* POSIX timers: a signal with a value, and a thread. */
    handle(SIGRTMIN + 2, on_signal, 0);
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2};
    event.sigev_value.sival_int = 99;
    timer_t id;
    CHECK(timer_create(CLOCK_MONOTONIC, &event, &id) == 0);
    struct itimerspec spec = {{0, 0}, {0, 10000000}}, current;
    hits = 0;
    CHECK(timer_settime(id, 0, &spec, NULL) == 0);
    await(SIGRTMIN + 2, 1);
    SHOW("timer: code %d value %d overrun %d", (int)last_code, (int)last_value,
         timer_getoverrun(id));
    CHECK(timer_gettime(id, &current) == 0 && timer_delete(id) == 0);
    struct sigevent thread = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = on_thread};
    thread.sigev_value.sival_int = 5;
    CHECK(timer_create(CLOCK_MONOTONIC, &thread, &id) == 0);
    CHECK(timer_settime(id, 0, &spec, NULL) == 0);
    pthread_mutex_lock(&lock);
    while (!calls)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
    SHOW("timer thread: %d", calls);
    CHECK(timer_delete(id) == 0);

    /* sigwait and kin. */
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN);
    CHECK(sigprocmask(SIG_BLOCK, &set, NULL) == 0);
    union sigval value = {.sival_int = 7};
    sigqueue(getpid(), SIGRTMIN, value);
    raise(SIGUSR1);
    siginfo_t info;
    for (int i = 0; i < 2; i++) {
        int got = sigwaitinfo(&set, &info);
        SHOW("sigwaitinfo %d code %d value %d", got, info.si_code,
             info.si_code == SI_QUEUE ? info.si_value.sival_int : 0);
    }
    struct timespec short_time = {0, 30000000};
    int got = sigtimedwait(&set, &info, &short_time);
    SHOW("sigtimedwait %d errno %d", got, errno);
    pid_t child = fork();
    if (child == 0) {
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    int which = 0;
    CHECK(sigwait(&set, &which) == 0);
    SHOW("sigwait %d", which);
    waitpid(child, NULL, 0);

    /* Descriptors. */
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    CHECK(fd >= 0);
    value.sival_int = 8;
    sigqueue(getpid(), SIGRTMIN, value);
    struct signalfd_siginfo si;
    CHECK(read(fd, &si, sizeof si) == sizeof si);
    SHOW("signalfd %u value %d", si.ssi_signo, si.ssi_int);
    struct pollfd p = {fd, POLLIN, 0};
    SHOW("signalfd ready %d", poll(&p, 1, 0));
    int tfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    CHECK(tfd >= 0 && timerfd_settime(tfd, 0, &spec, NULL) == 0);
    uint64_t expirations = 0;
    CHECK(read(tfd, &expirations, 8) == 8);
    SHOW("timerfd %lu", (unsigned long)expirations);

    pthread_t t;
    CHECK(pthread_create(&t, NULL, notified, NULL) == 0 && pthread_join(t, NULL) == 0);
    return 0;
}
