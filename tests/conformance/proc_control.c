/* prctl, limits, scheduling, accounting, and the calls that look into other processes. */
#include "conformance.h"

#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/utsname.h>

static int code_of(pid_t pid)
{
    int status = -1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

#define IN_CHILD(...)                                                                              \
    do {                                                                                           \
        fflush(stdout);                                                                            \
        pid_t pid_ = fork();                                                                       \
        if (pid_ == 0) {                                                                           \
            __VA_ARGS__;                                                                           \
            fflush(stdout);                                                                        \
            _exit(0);                                                                              \
        }                                                                                          \
        SHOW("ended %d", code_of(pid_));                                                           \
    } while (0)

/* ---- prctl ---- */

CASE(prctl, name)
{
    char name[20] = "untouched";
    TRY(prctl(PR_SET_NAME, "a name that is too long for it"));
    TRY(prctl(PR_GET_NAME, name));
    SHOW("%s", name);
    TRY(prctl(PR_SET_NAME, ""));
    TRY(prctl(PR_GET_NAME, name));
    SHOW("<%s>", name);
    TRY(prctl(PR_SET_NAME, BAD_POINTER));
    TRY(prctl(PR_GET_NAME, BAD_POINTER));
    char *edge = before_a_hole(4);
    memcpy(edge, "abc", 4);
    TRY(prctl(PR_SET_NAME, edge));
    prctl(PR_GET_NAME, name);
    SHOW("%s", name);
}

CASE(prctl, name_with_a_hole)
{
    char *edge = before_a_hole(4);
    memcpy(edge, "abcd", 4);
    TRY(prctl(PR_SET_NAME, edge));
    TRY(prctl(PR_GET_NAME, edge));
}

CASE(prctl, unknown)
{
    TRY(prctl(9999));
    TRY(prctl(-1));
    TRY(prctl(0));
    TRY(prctl(PR_GET_UNALIGN, BAD_POINTER));
    TRY(prctl(PR_SET_FPEMU, 1));
    TRY(prctl(PR_SET_ENDIAN, 1));
}

CASE(prctl, pdeathsig)
{
    int value = 99;
    TRY(prctl(PR_GET_PDEATHSIG, &value));
    SHOW("%d", value == SIGKILL); /* the frame of this suite sets it */
    TRY(prctl(PR_SET_PDEATHSIG, SIGUSR2));
    TRY(prctl(PR_GET_PDEATHSIG, &value));
    SHOW("%d", value == SIGUSR2);
    TRY(prctl(PR_SET_PDEATHSIG, 65));
    TRY(prctl(PR_SET_PDEATHSIG, -1));
    TRY(prctl(PR_SET_PDEATHSIG, 0));
    TRY(prctl(PR_GET_PDEATHSIG, BAD_POINTER));
}

CASE(prctl, pdeathsig_arrives)
{
    int ends[2];
    char c = 'n';
    pipe(ends);
    pid_t pid = fork();
    if (pid == 0) {
        int go[2];
        pipe(go);
        if (fork() == 0) {
            sigset_t set;
            int got;
            sigemptyset(&set);
            sigaddset(&set, SIGUSR1);
            sigprocmask(SIG_BLOCK, &set, NULL);
            prctl(PR_SET_PDEATHSIG, SIGUSR1);
            if (write(go[1], "g", 1) != 1)
                _exit(1);
            sigwait(&set, &got);
            c = got == SIGUSR1 ? 'y' : '?';
            if (write(ends[1], &c, 1) != 1)
                _exit(1);
            _exit(0);
        }
        if (read(go[0], &c, 1) != 1)
            _exit(1);
        _exit(0);
    }
    TRY(code_of(pid));
    TRY(read(ends[0], &c, 1));
    SHOW("%c", c);
}

CASE(prctl, dumpable)
{
    TRY(prctl(PR_GET_DUMPABLE));
    TRY(prctl(PR_SET_DUMPABLE, 0));
    TRY(prctl(PR_GET_DUMPABLE));
    TRY(prctl(PR_SET_DUMPABLE, 2));
    TRY(prctl(PR_SET_DUMPABLE, 3));
    TRY(prctl(PR_SET_DUMPABLE, 1));
}

CASE(prctl, dumpable_over_fork_and_exec)
{
    prctl(PR_SET_DUMPABLE, 0);
    IN_CHILD(TRY(prctl(PR_GET_DUMPABLE)));
}

CASE(prctl, no_new_privs)
{
    TRY(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    TRY(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0));
    TRY(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    TRY(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    TRY(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
    IN_CHILD(TRY(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)));
}

CASE(prctl, keepcaps)
{
    TRY(prctl(PR_GET_KEEPCAPS));
    TRY(prctl(PR_SET_KEEPCAPS, 1));
    TRY(prctl(PR_GET_KEEPCAPS));
    TRY(prctl(PR_SET_KEEPCAPS, 2));
}

CASE(prctl, securebits)
{
    TRY(prctl(PR_GET_SECUREBITS));
    TRY(prctl(PR_SET_SECUREBITS, 1));
}

CASE(prctl, timer_slack)
{
    TRY(prctl(PR_GET_TIMERSLACK));
    TRY(prctl(PR_SET_TIMERSLACK, 70000));
    TRY(prctl(PR_GET_TIMERSLACK));
    IN_CHILD(TRY(prctl(PR_GET_TIMERSLACK)));
    TRY(prctl(PR_SET_TIMERSLACK, 0));
    TRY(prctl(PR_GET_TIMERSLACK));
}

CASE(prctl, capabilities)
{
    TRY(prctl(PR_CAPBSET_READ, 0));
    TRY(prctl(PR_CAPBSET_READ, 1000));
    TRY(prctl(PR_CAPBSET_DROP, 0));
    TRY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, 0, 0, 0));
    TRY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 0, 0, 0));
    TRY(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0));
    TRY(prctl(PR_CAP_AMBIENT, 99, 0, 0, 0));
}

CASE(prctl, seccomp_state)
{
    TRY(prctl(PR_GET_SECCOMP));
}

CASE(prctl, tsc)
{
    int value = 0;
    TRY(prctl(PR_GET_TSC, &value));
    SHOW("%d", value);
    TRY(prctl(PR_SET_TSC, PR_TSC_ENABLE));
    TRY(prctl(PR_SET_TSC, 9));
}

CASE(prctl, tid_address)
{
    int *address = NULL, word;
    syscall(SYS_set_tid_address, &word);
    long rc = prctl(PR_GET_TID_ADDRESS, &address);
    /* Only there where the kernel can checkpoint. */
    SHOW("%d", rc < 0 ? errno == EINVAL : address == &word);
}

CASE(prctl, transparent_huge_pages)
{
    TRY(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    TRY(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
    TRY(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0));
    TRY(prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0));
}

CASE(prctl, machine_check)
{
    TRY(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0));
    TRY(prctl(PR_MCE_KILL, PR_MCE_KILL_CLEAR, 0, 0, 0));
    TRY(prctl(PR_MCE_KILL, 9, 0, 0, 0));
}

CASE(prctl, timing)
{
    TRY(prctl(PR_GET_TIMING));
    TRY(prctl(PR_SET_TIMING, PR_TIMING_STATISTICAL));
    TRY(prctl(PR_SET_TIMING, PR_TIMING_TIMESTAMP));
}

CASE(prctl, name_of_a_mapping)
{
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    long rc = prctl(0x53564d41 /* PR_SET_VMA */, 0, p, 4096, "name");
    SHOW("%d", rc == 0 || errno == EINVAL); /* a kernel without the option: EINVAL */
    TRY(prctl(0x53564d41, 7, p, 4096, "name"));
}

CASE(prctl, ptracer)
{
    long rc = prctl(0x59616d61 /* PR_SET_PTRACER */, 0, 0, 0, 0);
    SHOW("%d", rc == 0 || errno == EINVAL);
}

CASE(prctl, mm)
{
    TRY(prctl(PR_SET_MM, PR_SET_MM_START_CODE, 0, 0, 0));
}

CASE(arch_prctl, bases)
{
    unsigned long fs = 0, gs = 1;
    TRY(syscall(SYS_arch_prctl, 0x1003, &fs));
    TRY(syscall(SYS_arch_prctl, 0x1004, &gs));
    SHOW("%d %lx", fs != 0, gs);
    TRY(syscall(SYS_arch_prctl, 0x1001, 0x123456));
    TRY(syscall(SYS_arch_prctl, 0x1004, &gs));
    SHOW("%lx", gs);
    TRY(syscall(SYS_arch_prctl, 0x1003, BAD_POINTER));
    TRY(syscall(SYS_arch_prctl, 0x1001, 0x8000000000000000));
    TRY(syscall(SYS_arch_prctl, 0x9999, 0));
}

CASE(arch_prctl, gs_is_inherited)
{
    unsigned long gs = 1;
    syscall(SYS_arch_prctl, 0x1001, 0x77000);
    IN_CHILD({
        syscall(SYS_arch_prctl, 0x1004, &gs);
        SHOW("%lx", gs);
    });
}

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

CASE(uname, fields)
{
    struct utsname u;
    TRY(uname(&u));
    SHOW("%s %s", u.sysname, u.machine);
    TRY(syscall(SYS_uname, BAD_POINTER));
    TRY(syscall(SYS_uname, before_a_hole(300)));
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

CASE(getrandom, forms)
{
    char bytes[64];
    TRY(syscall(SYS_getrandom, bytes, 64, 0));
    TRY(syscall(SYS_getrandom, bytes, 0, 0));
    TRY(syscall(SYS_getrandom, bytes, 64, 0x40));
    TRY(syscall(SYS_getrandom, bytes, 64, 1));
    TRY(syscall(SYS_getrandom, bytes, 64, 4));
    TRY(syscall(SYS_getrandom, bytes, 64, 6));
    TRY(syscall(SYS_getrandom, BAD_POINTER, 64, 0));
    char *large = malloc(300000);
    TRY(syscall(SYS_getrandom, large, 300000, 0));
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

/* ---- the kernel's other services ---- */

CASE(membarrier, commands)
{
    SHOW("%d", syscall(SYS_membarrier, 0, 0, 0) > 0);
    TRY(syscall(SYS_membarrier, 1, 0, 0));
    TRY(syscall(SYS_membarrier, 8, 0, 0));
    TRY(syscall(SYS_membarrier, 16, 0, 0));
    TRY(syscall(SYS_membarrier, 8, 0, 0));
    TRY(syscall(SYS_membarrier, 1 << 20, 0, 0));
    TRY(syscall(SYS_membarrier, 0, 7, 0));
}

CASE(personality, forms)
{
    TRY(personality(0xffffffff));
    TRY(personality(ADDR_NO_RANDOMIZE));
    TRY(personality(0xffffffff));
    IN_CHILD(TRY(personality(0xffffffff)));
    TRY(personality(0));
}

CASE(personality, no_randomization)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        execl("/bin/sh", "sh", "-c",
              "where() { setarch -R grep -E 'heap|stack' /proc/self/maps; };"
              "test \"$(where)\" = \"$(where)\" && echo the same",
              NULL);
    SHOW("%d", code_of(pid));
}

/* What is readable can be executed then, whoever mapped it how; in children, which keep it. */
CASE(personality, read_implies_exec)
{
    static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42, %eax; ret */
    unsigned char *at[3];
    TRY(personality(READ_IMPLIES_EXEC));
    TRY(personality(0xffffffff));
    at[0] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    at[1] = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TRY(mprotect(at[1], 4096, PROT_READ | PROT_WRITE));
    at[2] = sbrk(4096);
    for (int i = 0; i < 3; i++) {
        memcpy(at[i], code, sizeof code);
        IN_CHILD(SHOW("%d: %d", i, ((int (*)(void))at[i])()));
    }
    IN_CHILD(TRY(personality(0xffffffff)));
    TRY(personality(0));
    at[0] = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(at[0], code, sizeof code);
    IN_CHILD(SHOW("%d", ((int (*)(void))at[0])()));
}

CASE(process_vm_readv, own)
{
    char from[100] = "the quick brown fox", to[100] = "";
    struct iovec local = {to, sizeof to}, remote = {from, sizeof from};
    TRY(process_vm_readv(getpid(), &local, 1, &remote, 1, 0));
    SHOW("%s", to);
    strcpy(to, "jumps over");
    TRY(process_vm_writev(getpid(), &local, 1, &remote, 1, 0));
    SHOW("%s", from);
}

CASE(process_vm_readv, pieces)
{
    char from[100] = "0123456789abcdef", to[100] = "";
    struct iovec local[2] = {{to, 3}, {to + 10, 20}}, remote[2] = {{from + 8, 4}, {from, 6}};
    TRY(process_vm_readv(getpid(), local, 2, remote, 2, 0));
    SHOW("%.3s %.7s", to, to + 10);
}

CASE(process_vm_readv, errors)
{
    char from[100] = "x", to[100];
    struct iovec local = {to, sizeof to}, remote = {from, sizeof from};
    struct iovec wild = {BAD_POINTER, 10}, half = {before_a_hole(7), 20};
    TRY(process_vm_readv(getpid(), &local, 1, &remote, 1, 1));
    TRY(process_vm_readv(99999999, &local, 1, &remote, 1, 0));
    TRY(process_vm_readv(getpid(), &local, 1, &wild, 1, 0));
    TRY(process_vm_readv(getpid(), &wild, 1, &remote, 1, 0));
    TRY(process_vm_readv(getpid(), &local, 1, &half, 1, 0));
    TRY(process_vm_readv(getpid(), &local, 0, &remote, 1, 0));
    TRY(process_vm_readv(getpid(), &local, 1, &remote, 0, 0));
    TRY(process_vm_readv(getpid(), &local, 2000, &remote, 1, 0));
    TRY(process_vm_readv(getpid(), BAD_POINTER, 1, &remote, 1, 0));
    TRY(process_vm_readv(getpid(), &local, 1, BAD_POINTER, 1, 0));
    TRY(process_vm_readv(1, &local, 1, &remote, 1, 0));
}

CASE(ptrace, refused_where_nothing_is_traced)
{
    TRY(ptrace(PTRACE_CONT, getpid(), NULL, NULL));
    TRY(ptrace(PTRACE_ATTACH, 99999999, NULL, NULL));
    TRY(ptrace(PTRACE_ATTACH, 1, NULL, NULL));
    TRY(ptrace(PTRACE_ATTACH, getpid(), NULL, NULL));
}

CASE(capget, forms)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    TRY(syscall(SYS_capget, &head, data));
    SHOW("%x %x %x", data[0].effective, data[0].permitted, data[0].inheritable);
    head.version = 0;
    TRY(syscall(SYS_capget, &head, data));
    SHOW("%x", head.version);
    head.version = 0;
    TRY(syscall(SYS_capget, &head, NULL));
    head = (struct __user_cap_header_struct){_LINUX_CAPABILITY_VERSION_3, -1};
    TRY(syscall(SYS_capget, &head, data));
    head.pid = 99999999;
    TRY(syscall(SYS_capget, &head, data));
    TRY(syscall(SYS_capget, BAD_POINTER, data));
    head.pid = 0;
    TRY(syscall(SYS_capget, &head, BAD_POINTER));
}

CASE(capset, refused)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    TRY(syscall(SYS_capset, &head, data));
    data[0].permitted = data[0].effective = 1;
    TRY(syscall(SYS_capset, &head, data));
    head.pid = 1;
    TRY(syscall(SYS_capset, &head, data));
    TRY(syscall(SYS_capset, &head, BAD_POINTER));
}

CASE(unknown, numbers)
{
    TRY(syscall(511));
    TRY(syscall(1023));
    TRY(syscall(100000));
    TRY(syscall(-1));
    TRY(syscall(SYS_uselib, 0));
    TRY(syscall(SYS__sysctl, 0));
    TRY(syscall(SYS_create_module, 0));
    TRY(syscall(SYS_tuxcall));
    TRY(syscall(SYS_security));
    TRY(syscall(SYS_vserver));
    TRY(syscall(SYS_getpmsg));
    TRY(syscall(SYS_afs_syscall));
    TRY(syscall(SYS_nfsservctl));
    TRY(syscall(SYS_set_thread_area));
    TRY(syscall(SYS_get_thread_area));
    TRY(syscall(SYS_epoll_ctl_old));
}

CASE(privileged, calls)
{
    struct timespec t = {0};
    TRY(clock_settime(CLOCK_REALTIME, &t));
    TRY(sethostname("x", 1));
    TRY(setdomainname("x", 1));
    TRY(syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL));
    TRY(syscall(SYS_acct, NULL));
    TRY(syscall(SYS_swapon, "x", 0));
    TRY(syscall(SYS_vhangup));
}
