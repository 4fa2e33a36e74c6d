/* What a process may use and has used: limits, accounting, scheduling and priorities. */
#include "children.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/times.h>

/* ---- limits ---- */

#define LIMIT_ROUND(name, resource)                                                                \
    CASE(limits, name)                                                                             \
    {                                                                                              \
        struct rlimit old, l;                                                                      \
        TRY(getrlimit(resource, &old));                                                            \
        l = (struct rlimit){old.rlim_max == RLIM_INFINITY ? 1000000 : old.rlim_max / 2,            \
                            old.rlim_max == RLIM_INFINITY ? 2000000 : old.rlim_max};               \
        TRY(setrlimit(resource, &l));                                                              \
        struct rlimit now = {1, 1};                                                                \
        TRY(getrlimit(resource, &now));                                                            \
        SHOW("%d", now.rlim_cur == l.rlim_cur && now.rlim_max == l.rlim_max);                      \
        l.rlim_cur = l.rlim_max + 1;                                                               \
        TRY(setrlimit(resource, &l));                                                              \
        l = (struct rlimit){0, RLIM_INFINITY};                                                     \
        SHOW("%d", old.rlim_max == RLIM_INFINITY ? setrlimit(resource, &l) < 0 : 1);               \
        IN_CHILD({                                                                                 \
            struct rlimit inherited;                                                               \
            getrlimit(resource, &inherited);                                                       \
            SHOW("%d", inherited.rlim_cur == now.rlim_cur && inherited.rlim_max == now.rlim_max);  \
        });                                                                                        \
    }
LIMIT_ROUND(cpu, RLIMIT_CPU)
LIMIT_ROUND(core, RLIMIT_CORE)
LIMIT_ROUND(nproc, RLIMIT_NPROC)
LIMIT_ROUND(stack, RLIMIT_STACK)
LIMIT_ROUND(rss, RLIMIT_RSS)
LIMIT_ROUND(locks, RLIMIT_LOCKS)
LIMIT_ROUND(memlock, RLIMIT_MEMLOCK)
LIMIT_ROUND(msgqueue, RLIMIT_MSGQUEUE)
LIMIT_ROUND(nice, RLIMIT_NICE)
LIMIT_ROUND(rtprio, RLIMIT_RTPRIO)
LIMIT_ROUND(rttime, RLIMIT_RTTIME)
LIMIT_ROUND(sigpending, RLIMIT_SIGPENDING)

CASE(limits, errors)
{
    struct rlimit l;
    TRY(getrlimit((__rlimit_resource_t)16, &l));
    TRY(getrlimit((__rlimit_resource_t)-1, &l));
    TRY(setrlimit((__rlimit_resource_t)16, &l));
    TRY(syscall(SYS_getrlimit, RLIMIT_CPU, BAD_POINTER));
    TRY(syscall(SYS_setrlimit, RLIMIT_CPU, BAD_POINTER));
    TRY(syscall(SYS_prlimit64, 99999999, RLIMIT_CPU, NULL, NULL));
    TRY(syscall(SYS_prlimit64, -1, RLIMIT_CPU, NULL, NULL));
    TRY(syscall(SYS_prlimit64, 1, RLIMIT_CPU, NULL, &l));
    TRY(syscall(SYS_prlimit64, 0, RLIMIT_CPU, BAD_POINTER, NULL));
    TRY(syscall(SYS_prlimit64, 0, RLIMIT_CPU, NULL, BAD_POINTER));
}

CASE(limits, of_a_child)
{
    struct rlimit l = {100, 200}, now = {0, 0};
    pid_t pid = fork();
    if (pid == 0) {
        pause();
        _exit(0);
    }
    TRY(prlimit(pid, RLIMIT_CORE, &l, NULL));
    TRY(prlimit(pid, RLIMIT_CORE, NULL, &now));
    SHOW("%ld %ld", (long)now.rlim_cur, (long)now.rlim_max);
    kill(pid, SIGKILL);
    SHOW("%d", code_of(pid));
}

/* Of one that has only just begun, by each way. */
CASE(prlimit64, of_a_new_process)
{
    static const struct rlimit few = {20, 80};
    struct rlimit was;
    long wrong = 0;
    for (int i = 0; i < 60; i++) {
        int ends[2];
        char text[16] = "";
        if (pipe(ends) < 0)
            return;
        pid_t pid = i % 2 ? vfork() : fork();
        if (pid == 0) {
            dup2(ends[1], 1);
            execl("/bin/sh", "sh", "-c", "kill -STOP $$; ulimit -n", NULL);
            _exit(1);
        }
        wrong += prlimit(pid, RLIMIT_NOFILE, NULL, &was) < 0 || was.rlim_cur < 100;
        wrong += prlimit(pid, RLIMIT_NOFILE, &few, NULL) < 0;
        waitpid(pid, NULL, WUNTRACED);
        kill(pid, SIGCONT);
        waitpid(pid, NULL, 0);
        ssize_t n = read(ends[0], text, sizeof text - 1);
        wrong += n != 3 || strcmp(text, "20\n");
        close(ends[0]);
        close(ends[1]);
    }
    SHOW("%ld wrong", wrong);
}

/* Limits that bind only where the process itself looks at them. */
CASE(prlimit64, of_another_process)
{
    static const struct rlimit few = {20, 80}, little = {256 << 20, 1 << 30}, wrong = {90, 80};
    struct rlimit was;
    int begun[2], go[2];
    char c;
    if (pipe(begun) < 0 || pipe(go) < 0)
        return;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_NOFILE, &(struct rlimit){50, 100});
        if (write(begun[1], "x", 1) != 1 || read(go[0], &c, 1) != 1)
            _exit(1);
        int fd = 0;
        while (fd >= 0 && fd < 19)
            fd = dup(0);
        SHOW("up to %d", fd);
        OK(dup(0));
        getrlimit(RLIMIT_NOFILE, &was);
        SHOW("%lu of %lu", was.rlim_cur, was.rlim_max);
        OK(mmap(NULL, 1l << 29, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        fflush(stdout);
        _exit(0);
    }
    if (read(begun[0], &c, 1) != 1)
        return;
    TRY(prlimit(pid, RLIMIT_NOFILE, NULL, &was));
    SHOW("%lu of %lu", was.rlim_cur, was.rlim_max);
    TRY(prlimit(pid, RLIMIT_NOFILE, &wrong, NULL));
    TRY(prlimit(pid, RLIMIT_NOFILE, &few, &was));
    SHOW("%lu of %lu", was.rlim_cur, was.rlim_max);
    TRY(prlimit(pid, RLIMIT_AS, &little, NULL));
    if (write(go[1], "x", 1) == 1)
        waitpid(pid, NULL, 0);
    TRY(prlimit(pid, RLIMIT_NOFILE, NULL, &was));
}

CASE(limits, address_space)
{
    struct rlimit l = {1ul << 30, RLIM_INFINITY};
    TRY(setrlimit(RLIMIT_AS, &l));
    void *p = mmap(NULL, 2ul << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SHOW("%s", p == MAP_FAILED ? strerrorname_np(errno) : "mapped");
    p = mmap(NULL, 2ul << 30, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    SHOW("%s", p == MAP_FAILED ? strerrorname_np(errno) : "mapped");
    p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SHOW("%s", p == MAP_FAILED ? strerrorname_np(errno) : "mapped");
    void *q = mremap(p, 1 << 20, 2ul << 30, MREMAP_MAYMOVE);
    SHOW("%s", q == MAP_FAILED ? strerrorname_np(errno) : "mapped");
    SHOW("%d", malloc(2ul << 30) == NULL);
    SHOW("%d", malloc(1 << 20) != NULL);
    IN_CHILD(SHOW("%d", malloc(2ul << 30) == NULL));
}

CASE(limits, data)
{
    struct rlimit l = {64 << 20, RLIM_INFINITY};
    TRY(setrlimit(RLIMIT_DATA, &l));
    void *p = mmap(NULL, 128 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SHOW("%s", p == MAP_FAILED ? strerrorname_np(errno) : "mapped");
    p = mmap(NULL, 128 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SHOW("%s", p == MAP_FAILED ? strerrorname_np(errno) : "mapped");
    TRY(mprotect(p, 128 << 20, PROT_READ | PROT_WRITE));
    SHOW("%d", sbrk(128 << 20) == (void *)-1);
    SHOW("%d", sbrk(1 << 20) != (void *)-1);
}

CASE(limits, cpu_time)
{
    IN_CHILD({
        struct rlimit l = {1, 2};
        setrlimit(RLIMIT_CPU, &l);
        for (;;)
            ;
    });
}

CASE(limits, cpu_time_handled)
{
    IN_CHILD({
        struct rlimit l = {1, 5};
        sigset_t set;
        int got;
        sigemptyset(&set);
        sigaddset(&set, SIGXCPU);
        sigprocmask(SIG_BLOCK, &set, NULL);
        setrlimit(RLIMIT_CPU, &l);
        do
            sigpending(&set);
        while (!sigismember(&set, SIGXCPU));
        sigwait(&set, &got);
        SHOW("%d", got == SIGXCPU);
    });
}

CASE(limits, processes)
{
    struct rlimit l = {0, 0};
    TRY(setrlimit(RLIMIT_NPROC, &l));
    TRY(fork());
    pthread_t t;
    SHOW("%d", pthread_create(&t, NULL, (void *(*)(void *))pause, NULL));
}

static int depth_of(int n)
{
    volatile char block[4096];
    block[0] = (char)n;
    return n == 0 ? block[0] : depth_of(n - 1) + block[0] * 0;
}

CASE(limits, default_stack_holds_seven_megabytes)
{
    IN_CHILD(depth_of(1700));
}

CASE(limits, stack_overflow)
{
    IN_CHILD({
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        depth_of(100000);
    });
}

CASE(limits, larger_stack_for_the_next_program)
{
    struct rlimit l;
    getrlimit(RLIMIT_STACK, &l);
    l.rlim_cur = 64 << 20;
    TRY(setrlimit(RLIMIT_STACK, &l));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) /* a recursion that needs more than 8 MiB */
        execl("/bin/bash", "bash", "-c",
              "f() { if [ $1 -gt 0 ]; then f $(($1 - 1)); fi; }; ulimit -s; f 200; echo deep",
              NULL);
    SHOW("%d", code_of(pid));
}

CASE(limits, no_stack_limit_for_the_next_program)
{
    struct rlimit l;
    getrlimit(RLIMIT_STACK, &l);
    l.rlim_cur = l.rlim_max;
    TRY(setrlimit(RLIMIT_STACK, &l));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        execl("/bin/sh", "sh", "-c",
              "ulimit -s; grep stack /proc/self/limits; exec setarch -R sh -c 'ulimit -s'", NULL);
    SHOW("%d", code_of(pid));
}

CASE(limits, smaller_stack_for_the_next_program)
{
    struct rlimit l;
    getrlimit(RLIMIT_STACK, &l);
    l.rlim_cur = 1 << 20;
    TRY(setrlimit(RLIMIT_STACK, &l));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        execl("/bin/sh", "sh", "-c", "ulimit -s; echo runs", NULL);
    SHOW("%d", code_of(pid));
}

/* ---- accounting ---- */

CASE(getrusage, kinds)
{
    struct rusage u;
    TRY(getrusage(RUSAGE_SELF, &u));
    SHOW("%d", u.ru_maxrss > 0);
    TRY(getrusage(RUSAGE_CHILDREN, &u));
    TRY(getrusage(RUSAGE_THREAD, &u));
    TRY(getrusage((__rusage_who_t)5, &u));
    TRY(syscall(SYS_getrusage, RUSAGE_SELF, BAD_POINTER));
}

CASE(times, forms)
{
    struct tms t;
    OK(times(&t));
    OK(times(NULL));
    TRY(syscall(SYS_times, BAD_POINTER));
}

CASE(sysinfo, fields)
{
    struct sysinfo s;
    TRY(sysinfo(&s));
    SHOW("%d %d", s.procs > 0, s.uptime > 0);
    TRY(syscall(SYS_sysinfo, BAD_POINTER));
}

CASE(getcpu, forms)
{
    unsigned cpu = 999, node = 999;
    TRY(syscall(SYS_getcpu, &cpu, &node, NULL));
    SHOW("%d %d", cpu < 999, node < 999);
    TRY(syscall(SYS_getcpu, NULL, NULL, NULL));
    TRY(syscall(SYS_getcpu, BAD_POINTER, NULL, NULL));
}

/* ---- scheduling ---- */

CASE(sched, policies)
{
    struct sched_param p = {0};
    TRY(sched_getscheduler(0));
    TRY(sched_getparam(0, &p));
    SHOW("%d", p.sched_priority);
    TRY(sched_setscheduler(0, SCHED_BATCH, &p));
    TRY(sched_getscheduler(0));
    TRY(sched_setscheduler(0, SCHED_IDLE, &p));
    TRY(sched_setscheduler(0, 99, &p));
    TRY(sched_setscheduler(0, -1, &p));
    TRY(sched_setscheduler(99999999, SCHED_OTHER, &p));
    TRY(sched_setscheduler(-1, SCHED_OTHER, &p));
    p.sched_priority = 5;
    TRY(sched_setscheduler(0, SCHED_OTHER, &p));
    TRY(sched_setparam(0, &p));
    TRY(sched_getparam(-1, &p));
    TRY(syscall(SYS_sched_setparam, 0, NULL));
    TRY(syscall(SYS_sched_getparam, 0, NULL));
    TRY(syscall(SYS_sched_getparam, 0, BAD_POINTER));
    TRY(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, NULL));
}

CASE(sched, real_time_needs_a_right)
{
    struct sched_param p = {10};
    TRY(sched_setscheduler(0, SCHED_FIFO, &p));
    TRY(sched_setscheduler(0, SCHED_RR, &p));
}

CASE(sched, priorities)
{
    TRY(sched_get_priority_max(SCHED_FIFO));
    TRY(sched_get_priority_min(SCHED_FIFO));
    TRY(sched_get_priority_max(SCHED_OTHER));
    TRY(sched_get_priority_min(SCHED_RR));
    TRY(sched_get_priority_max(77));
}

CASE(sched, interval)
{
    struct timespec t;
    TRY(sched_rr_get_interval(0, &t));
    TRY(sched_rr_get_interval(-1, &t));
    TRY(syscall(SYS_sched_rr_get_interval, 0, BAD_POINTER));
}

CASE(sched, affinity)
{
    unsigned long mask[32] = {0}, none[32] = {0};
    SHOW("%d", syscall(SYS_sched_getaffinity, 0, sizeof mask, mask) > 0);
    TRY(syscall(SYS_sched_getaffinity, 0, 3, mask));
    TRY(syscall(SYS_sched_getaffinity, 0, 9, mask));
    TRY(syscall(SYS_sched_getaffinity, 0, sizeof mask, BAD_POINTER));
    TRY(syscall(SYS_sched_getaffinity, 99999999, sizeof mask, mask));
    TRY(syscall(SYS_sched_setaffinity, 0, sizeof mask, mask));
    TRY(syscall(SYS_sched_setaffinity, 0, sizeof none, none));
    TRY(syscall(SYS_sched_setaffinity, 0, 0, mask));
    TRY(syscall(SYS_sched_setaffinity, 0, sizeof mask, BAD_POINTER));
    TRY(syscall(SYS_sched_setaffinity, 99999999, sizeof mask, mask));
}

CASE(sched, affinity_is_inherited)
{
    cpu_set_t all, one, now;
    sched_getaffinity(0, sizeof all, &all);
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (CPU_ISSET(i, &all)) {
            CPU_SET(i, &one);
            break;
        }
    TRY(sched_setaffinity(0, sizeof one, &one));
    IN_CHILD({
        sched_getaffinity(0, sizeof now, &now);
        SHOW("%d", CPU_EQUAL(&now, &one));
    });
    TRY(sched_setaffinity(0, sizeof all, &all));
}

CASE(sched, attributes)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
        uint32_t least, most;
    } a = {.size = sizeof a}, b;
    TRY(syscall(SYS_sched_getattr, 0, &b, sizeof b, 0));
    SHOW("%u %u %d", b.size, b.policy, b.nice);
    TRY(syscall(SYS_sched_getattr, 0, &b, 4, 0));
    TRY(syscall(SYS_sched_getattr, 0, &b, 4097, 0));
    TRY(syscall(SYS_sched_getattr, 0, &b, sizeof b, 1));
    TRY(syscall(SYS_sched_getattr, 0, NULL, sizeof b, 0));
    TRY(syscall(SYS_sched_getattr, -1, &b, sizeof b, 0));
    TRY(syscall(SYS_sched_getattr, 99999999, &b, sizeof b, 0));
    TRY(syscall(SYS_sched_getattr, 0, BAD_POINTER, sizeof b, 0));
    a.nice = 4;
    TRY(syscall(SYS_sched_setattr, 0, &a, 0));
    TRY(getpriority(PRIO_PROCESS, 0));
    a.policy = 33;
    TRY(syscall(SYS_sched_setattr, 0, &a, 0));
    a.policy = 0;
    TRY(syscall(SYS_sched_setattr, 0, &a, 1));
    TRY(syscall(SYS_sched_setattr, 0, NULL, 0));
    TRY(syscall(SYS_sched_setattr, -1, &a, 0));
    a.size = 20;
    TRY(syscall(SYS_sched_setattr, 0, &a, 0));
    a.size = 5000;
    TRY(syscall(SYS_sched_setattr, 0, &a, 0));
}

CASE(sched, yield)
{
    TRY(sched_yield());
}

CASE(priority, nice)
{
    TRY(getpriority(PRIO_PROCESS, 0));
    TRY(setpriority(PRIO_PROCESS, 0, 3));
    TRY(getpriority(PRIO_PROCESS, 0));
    TRY(setpriority(PRIO_PROCESS, 0, -3));
    TRY(setpriority(PRIO_PROCESS, 0, 100));
    TRY(getpriority(PRIO_PROCESS, 0));
    TRY(syscall(SYS_getpriority, PRIO_PROCESS, 0));
    IN_CHILD(TRY(getpriority(PRIO_PROCESS, 0)));
}

CASE(priority, errors)
{
    TRY(getpriority((__priority_which_t)7, 0));
    TRY(getpriority(PRIO_PROCESS, 99999999));
    TRY(setpriority((__priority_which_t)7, 0, 0));
    TRY(setpriority(PRIO_PROCESS, 99999999, 0));
    TRY(setpriority(PRIO_PROCESS, 1, 5));
    TRY(getpriority(PRIO_PGRP, 0));
    OK(getpriority(PRIO_USER, 0));
}

CASE(ioprio, forms)
{
    OK(syscall(SYS_ioprio_get, 1, 0));
    TRY(syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 5));
    TRY(syscall(SYS_ioprio_get, 1, 0));
    TRY(syscall(SYS_ioprio_set, 1, 0, 3 << 13));
    TRY(syscall(SYS_ioprio_get, 1, 0));
    TRY(syscall(SYS_ioprio_get, 9, 0));
    TRY(syscall(SYS_ioprio_set, 1, 0, 5 << 13));
    TRY(syscall(SYS_ioprio_get, 1, 99999999));
}
