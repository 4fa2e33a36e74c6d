/* Clocks, sleeps and timers. */
#include "conformance.h"

#include <pthread.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/timex.h>

static void note(int signal)
{
    (void)signal;
}

static long ms_since(const struct timespec *from)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - from->tv_sec) * 1000 + (now.tv_nsec - from->tv_nsec) / 1000000;
}

#define CLOCK(name, id)                                                                            \
    CASE(clock, name)                                                                              \
    {                                                                                              \
        struct timespec t = {0, 0};                                                                \
        TRY(clock_gettime(id, &t));                                                                \
        TRY(syscall(SYS_clock_gettime, id, &t));                                                   \
        SHOW("%d", t.tv_nsec >= 0 && t.tv_nsec < 1000000000);                                      \
        TRY(clock_getres(id, &t));                                                                 \
        SHOW("%ld %ld", (long)t.tv_sec, t.tv_nsec);                                                \
        TRY(clock_getres(id, NULL));                                                               \
        TRY(syscall(SYS_clock_gettime, id, BAD_POINTER));                                          \
        TRY(syscall(SYS_clock_getres, id, BAD_POINTER));                                           \
        t = (struct timespec){0, 1000000};                                                         \
        SHOW("%d", clock_nanosleep(id, 0, &t, NULL));                                              \
        SHOW("%d", clock_nanosleep(id, TIMER_ABSTIME, &t, NULL));                                  \
        t = (struct timespec){0, 1000000000};                                                      \
        SHOW("%d", clock_nanosleep(id, 0, &t, NULL));                                              \
    }
CLOCK(realtime, CLOCK_REALTIME)
CLOCK(monotonic, CLOCK_MONOTONIC)
CLOCK(thread_cpu, CLOCK_THREAD_CPUTIME_ID)
CLOCK(raw, CLOCK_MONOTONIC_RAW)
CLOCK(realtime_coarse, CLOCK_REALTIME_COARSE)
CLOCK(monotonic_coarse, CLOCK_MONOTONIC_COARSE)
CLOCK(boottime, CLOCK_BOOTTIME)
CLOCK(tai, CLOCK_TAI)
CLOCK(unknown, 17)
CLOCK(negative, -77)

CASE(clock, process_cpu)
{
    struct timespec a, b;
    TRY(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a));
    for (volatile long i = 0; i < 3000000; i++)
        ;
    TRY(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b));
    SHOW("%d", b.tv_sec > a.tv_sec || b.tv_nsec > a.tv_nsec);
    clockid_t id;
    TRY(clock_getcpuclockid(getpid(), &id));
    TRY(clock_gettime(id, &a));
    TRY(pthread_getcpuclockid(pthread_self(), &id));
    TRY(clock_gettime(id, &a));
}

CASE(clock, agree)
{
    struct timespec a, b;
    struct timeval v;
    clock_gettime(CLOCK_REALTIME, &a);
    gettimeofday(&v, NULL);
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &b);
    SHOW("%d %d", v.tv_sec - a.tv_sec < 5, b.tv_sec - a.tv_sec < 5);
    SHOW("%d", time(NULL) - a.tv_sec < 5);
}

CASE(time, forms)
{
    time_t t = 0;
    SHOW("%d", syscall(SYS_time, &t) == t && t > 0);
    OK(syscall(SYS_time, NULL));
    TRY(syscall(SYS_time, BAD_POINTER));
    TRY(syscall(SYS_gettimeofday, BAD_POINTER, NULL));
    TRY(syscall(SYS_gettimeofday, NULL, NULL));
    struct timezone z = {-1, -1};
    TRY(syscall(SYS_gettimeofday, NULL, &z));
    SHOW("%d", z.tz_dsttime);
}

CASE(nanosleep, errors)
{
    struct timespec t = {-1, 0};
    TRY(nanosleep(&t, NULL));
    t = (struct timespec){0, -1};
    TRY(nanosleep(&t, NULL));
    t = (struct timespec){0, 1000000000};
    TRY(nanosleep(&t, NULL));
    TRY(syscall(SYS_nanosleep, NULL, NULL));
    TRY(syscall(SYS_nanosleep, BAD_POINTER, NULL));
    t = (struct timespec){0, 0};
    TRY(nanosleep(&t, NULL));
    TRY(nanosleep(&t, BAD_POINTER));
}

CASE(nanosleep, sleeps_long_enough)
{
    struct timespec begin, t = {0, 30000000};
    clock_gettime(CLOCK_MONOTONIC, &begin);
    TRY(nanosleep(&t, NULL));
    SHOW("%d", ms_since(&begin) >= 30);
}

CASE(nanosleep, what_is_left)
{
    struct timespec t = {5, 0}, left = {99, 99};
    signal(SIGALRM, note);
    struct itimerval i = {.it_value = {0, 30000}};
    setitimer(ITIMER_REAL, &i, NULL);
    TRY(nanosleep(&t, &left));
    SHOW("%ld", (long)left.tv_sec);
    setitimer(ITIMER_REAL, &i, NULL);
    TRY(syscall(SYS_nanosleep, &t, BAD_POINTER));
    setitimer(ITIMER_REAL, &i, NULL);
    left.tv_sec = 99;
    SHOW("%d", clock_nanosleep(CLOCK_MONOTONIC, 0, &t, &left));
    SHOW("%ld", (long)left.tv_sec);
    setitimer(ITIMER_REAL, &i, NULL);
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += 5;
    left.tv_sec = 99;
    SHOW("%d", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, &left));
    SHOW("%ld", (long)left.tv_sec);
}

CASE(nanosleep, never_restarts_by_flag)
{
    struct timespec t = {5, 0};
    struct sigaction a = {.sa_handler = note, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &a, NULL);
    struct itimerval i = {.it_value = {0, 30000}};
    setitimer(ITIMER_REAL, &i, NULL);
    TRY(nanosleep(&t, NULL));
}

CASE(nanosleep, goes_on_after_a_stop)
{
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        struct timespec begin, t = {0, 200000000};
        clock_gettime(CLOCK_MONOTONIC, &begin);
        int rc = nanosleep(&t, NULL);
        _exit(rc == 0 && ms_since(&begin) >= 200);
    }
    struct timespec t = {0, 30000000};
    nanosleep(&t, NULL);
    kill(pid, SIGSTOP);
    waitpid(pid, &status, WUNTRACED);
    kill(pid, SIGCONT);
    waitpid(pid, &status, 0);
    SHOW("%x", status);
}

CASE(clock_nanosleep, flags)
{
    struct timespec t = {0, 1};
    SHOW("%d", clock_nanosleep(CLOCK_MONOTONIC, 2, &t, NULL));
    SHOW("%ld", syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, BAD_POINTER, NULL));
    clock_gettime(CLOCK_REALTIME, &t);
    SHOW("%d", clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL));
}

#define ITIMER(name, which, number)                                                                \
    CASE(itimer, name)                                                                             \
    {                                                                                              \
        struct itimerval t = {.it_value = {0, 20000}}, old;                                        \
        sigset_t set;                                                                              \
        int got;                                                                                   \
        sigemptyset(&set);                                                                         \
        sigaddset(&set, number);                                                                   \
        sigprocmask(SIG_BLOCK, &set, NULL);                                                        \
        TRY(setitimer(which, &t, NULL));                                                           \
        do                                                                                         \
            sigpending(&set);                                                                      \
        while (!sigismember(&set, number));                                                        \
        sigwait(&set, &got);                                                                       \
        SHOW("%d", got == number);                                                                 \
        TRY(getitimer(which, &old));                                                               \
        SHOW("%ld %ld", old.it_value.tv_sec, old.it_value.tv_usec);                                \
        t = (struct itimerval){{3, 0}, {100, 0}};                                                  \
        TRY(setitimer(which, &t, &old));                                                           \
        TRY(setitimer(which, &old, &t));                                                           \
        SHOW("%ld %d", t.it_interval.tv_sec, t.it_value.tv_sec >= 99);                             \
    }
ITIMER(real, ITIMER_REAL, SIGALRM)
ITIMER(virtual, ITIMER_VIRTUAL, SIGVTALRM)
ITIMER(prof, ITIMER_PROF, SIGPROF)

CASE(itimer, errors)
{
    struct itimerval t = {.it_value = {0, 1000000}};
    TRY(setitimer(ITIMER_REAL, &t, NULL));
    t.it_value = (struct timeval){-1, 0};
    TRY(setitimer(ITIMER_REAL, &t, NULL));
    t.it_value = (struct timeval){0, 0};
    TRY(setitimer((__itimer_which_t)5, &t, NULL));
    TRY(getitimer((__itimer_which_t)5, &t));
    TRY(syscall(SYS_getitimer, ITIMER_REAL, BAD_POINTER));
    TRY(syscall(SYS_setitimer, ITIMER_REAL, BAD_POINTER, NULL));
    TRY(syscall(SYS_setitimer, ITIMER_REAL, NULL, NULL));
}

CASE(alarm, forms)
{
    TRY(alarm(100));
    SHOW("%d", alarm(50) >= 99);
    SHOW("%d", alarm(0) >= 49);
    TRY(alarm(0));
}

CASE(alarm, kills)
{
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        ualarm(10000, 0);
        pause();
    }
    waitpid(pid, &status, 0);
    SHOW("%x", status);
}

/* ---- POSIX timers ---- */

static volatile sig_atomic_t fired;
static siginfo_t last;
static void info(int signal, siginfo_t *i, void *context)
{
    (void)signal;
    (void)context;
    last = *i;
    fired++;
}

CASE(timer, signal)
{
    struct sigaction a = {.sa_sigaction = info, .sa_flags = SA_SIGINFO};
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN};
    e.sigev_value.sival_int = 4711;
    timer_t id;
    struct itimerspec t = {.it_value = {0, 10000000}};
    sigaction(SIGRTMIN, &a, NULL);
    TRY(timer_create(CLOCK_MONOTONIC, &e, &id));
    TRY(timer_settime(id, 0, &t, NULL));
    while (!fired)
        pause();
    SHOW("%d %d %d", last.si_code == SI_TIMER, last.si_value.sival_int, last.si_overrun);
    TRY(timer_gettime(id, &t));
    SHOW("%ld %ld", (long)t.it_value.tv_sec, t.it_value.tv_nsec);
    TRY(timer_getoverrun(id));
    TRY(timer_delete(id));
    TRY(timer_delete(id));
}

CASE(timer, to_one_thread)
{
    struct sigevent e = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    struct itimerspec t = {.it_value = {0, 1000000}};
    sigset_t set;
    timer_t id;
    int got;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    e._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    TRY(timer_create(CLOCK_REALTIME, &e, &id));
    TRY(timer_settime(id, 0, &t, NULL));
    TRY(sigwait(&set, &got));
    SHOW("%d", got == SIGUSR1);
    e._sigev_un._tid = 1;
    TRY(timer_create(CLOCK_REALTIME, &e, &id));
}

static void called(union sigval v)
{
    fired = v.sival_int;
}

CASE(timer, in_a_thread)
{
    struct sigevent e = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = called};
    struct itimerspec t = {.it_value = {0, 1000000}};
    struct timespec ms = {0, 1000000};
    timer_t id;
    e.sigev_value.sival_int = 31;
    TRY(timer_create(CLOCK_MONOTONIC, &e, &id));
    TRY(timer_settime(id, 0, &t, NULL));
    while (!fired)
        nanosleep(&ms, NULL);
    SHOW("%d", fired);
    TRY(timer_delete(id));
}

CASE(timer, none)
{
    struct sigevent e = {.sigev_notify = SIGEV_NONE};
    struct itimerspec t = {.it_value = {100, 0}, .it_interval = {3, 5}}, old;
    timer_t id;
    TRY(timer_create(CLOCK_MONOTONIC, &e, &id));
    TRY(timer_settime(id, 0, &t, &old));
    SHOW("%ld", (long)old.it_value.tv_sec);
    TRY(timer_gettime(id, &old));
    SHOW("%d %ld %ld", old.it_value.tv_sec >= 99, (long)old.it_interval.tv_sec,
         old.it_interval.tv_nsec);
}

CASE(timer, overruns)
{
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec t = {.it_value = {0, 1000000}, .it_interval = {0, 1000000}};
    struct timespec pause = {0, 50000000};
    sigset_t set;
    timer_t id;
    siginfo_t i;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    timer_create(CLOCK_MONOTONIC, &e, &id);
    timer_settime(id, 0, &t, NULL);
    nanosleep(&pause, NULL);
    TRY(sigwaitinfo(&set, &i) == SIGUSR1);
    SHOW("%d %d", i.si_overrun >= 10, timer_getoverrun(id) >= 10);
}

CASE(timer, errors)
{
    struct sigevent e = {.sigev_notify = 77, .sigev_signo = SIGUSR1};
    struct itimerspec t = {.it_value = {0, 1000000000}};
    timer_t id, wrong = (timer_t)12345;
    TRY(timer_create(CLOCK_MONOTONIC, &e, &id));
    e.sigev_notify = SIGEV_SIGNAL;
    e.sigev_signo = 99;
    TRY(timer_create(CLOCK_MONOTONIC, &e, &id));
    TRY(syscall(SYS_timer_create, 99, NULL, &id));
    TRY(syscall(SYS_timer_create, CLOCK_MONOTONIC, BAD_POINTER, &id));
    TRY(syscall(SYS_timer_create, CLOCK_MONOTONIC, NULL, BAD_POINTER));
    TRY(syscall(SYS_timer_settime, wrong, 0, &t, NULL));
    TRY(syscall(SYS_timer_gettime, wrong, &t));
    TRY(syscall(SYS_timer_getoverrun, wrong));
    TRY(syscall(SYS_timer_delete, wrong));
    TRY(timer_create(CLOCK_MONOTONIC, NULL, &id));
    TRY(timer_settime(id, 0, &t, NULL));
    TRY(syscall(SYS_timer_settime, id, 0, BAD_POINTER, NULL));
    TRY(syscall(SYS_timer_settime, id, 0, NULL, NULL));
    TRY(syscall(SYS_timer_gettime, id, BAD_POINTER));
}

CASE(timer, absolute_in_the_past)
{
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec t = {.it_value = {1, 0}};
    timer_t id;
    sigset_t set;
    int got = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    timer_create(CLOCK_MONOTONIC, &e, &id);
    TRY(timer_settime(id, TIMER_ABSTIME, &t, NULL));
    TRY(sigwait(&set, &got));
    SHOW("%d", got == SIGUSR1);
}

CASE(timer, of_cpu_time)
{
    struct sigevent e = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec t = {.it_value = {0, 20000000}};
    struct sigaction a = {.sa_sigaction = info, .sa_flags = SA_SIGINFO};
    timer_t id;
    sigaction(SIGUSR1, &a, NULL);
    TRY(timer_create(CLOCK_PROCESS_CPUTIME_ID, &e, &id));
    TRY(timer_settime(id, 0, &t, NULL));
    while (!fired)
        ;
    SHOW("%d", last.si_code == SI_TIMER);
}

/* ---- timerfd ---- */

CASE(timerfd, expirations)
{
    struct itimerspec t = {.it_value = {0, 5000000}, .it_interval = {0, 5000000}}, old;
    struct timespec pause = {0, 30000000};
    uint64_t n = 0;
    int fd = (int)OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    TRY(read(fd, &n, 8));
    TRY(timerfd_settime(fd, 0, &t, &old));
    nanosleep(&pause, NULL);
    TRY(read(fd, &n, 8));
    SHOW("%d", n >= 5);
    TRY(read(fd, &n, 7));
    TRY(timerfd_gettime(fd, &old));
    SHOW("%ld", old.it_interval.tv_nsec);
    TRY(write(fd, &n, 8));
    TRY(lseek(fd, 0, SEEK_SET) == -1 ? 1 : 0);
}

CASE(timerfd, errors)
{
    struct itimerspec t = {.it_value = {0, -1}};
    TRY(timerfd_create(99, 0));
    TRY(timerfd_create(CLOCK_MONOTONIC, 1));
    int fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
    TRY(fcntl(fd, F_GETFD));
    TRY(timerfd_settime(fd, 0, &t, NULL));
    TRY(timerfd_settime(fd, 99, &t, NULL));
    TRY(timerfd_settime(0, 0, &t, NULL));
    TRY(timerfd_settime(-1, 0, &t, NULL));
    TRY(syscall(SYS_timerfd_settime, fd, 0, BAD_POINTER, NULL));
    TRY(syscall(SYS_timerfd_gettime, fd, BAD_POINTER));
    TRY(timerfd_gettime(-1, &t));
}

CASE(adjtimex, read_only)
{
    struct timex t = {0};
    OK(adjtimex(&t));
    t.modes = ADJ_OFFSET;
    TRY(adjtimex(&t));
    TRY(syscall(SYS_adjtimex, BAD_POINTER));
    t.modes = 0;
    OK(clock_adjtime(CLOCK_REALTIME, &t));
    TRY(clock_adjtime(CLOCK_MONOTONIC, &t));
}
