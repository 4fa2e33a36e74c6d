/* The small calls: identity, limits, clocks, scheduling, what a process says about itself. */
#include <asm/prctl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include "check.h"

#define RC(...)                                                                                    \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long result = (long)(__VA_ARGS__);                                                         \
        SHOW(#__VA_ARGS__ ": %ld errno %d", result, result < 0 ? errno : 0);                       \
    } while (0)

static void identity(void)
{
    uid_t r, e, s;
    gid_t groups[64];
    struct utsname u;
    CHECK(getresuid(&r, &e, &s) == 0);
    SHOW("uid %d %d %d gid %d", r, e, s, getgid());
    CHECK(syscall(SYS_gettid) == getpid() && getppid() > 0);
    int n = getgroups(64, groups);
    SHOW("groups %d same %d", n, getgroups(0, NULL) == n);
    volatile int negative = -1;
    RC(getgroups(negative, groups));
    CHECK(uname(&u) == 0);
    SHOW("%s %s %s", u.sysname, u.release, u.machine);
    RC(setuid(getuid()));
    RC(getpgrp() > 0 && getsid(0) > 0);
}

static void limits(void)
{
    struct rlimit limit;
    RC(getrlimit(99, &limit));
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    SHOW("descriptors plausible %d", limit.rlim_cur >= 256 && limit.rlim_cur <= limit.rlim_max);
    limit.rlim_cur = 400;
    RC(setrlimit(RLIMIT_NOFILE, &limit));
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    SHOW("descriptors %lu", (unsigned long)limit.rlim_cur);
    RC(setrlimit(RLIMIT_CPU, &(struct rlimit){5, 4}));
    limit = (struct rlimit){1ul << 40, 1ul << 40};
    RC(setrlimit(RLIMIT_AS, &limit));
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    SHOW("address space %lx", (unsigned long)limit.rlim_cur);
    CHECK(getrlimit(RLIMIT_STACK, &limit) == 0);
    limit.rlim_cur = 4 << 20;
    RC(setrlimit(RLIMIT_STACK, &limit));
    CHECK(getrlimit(RLIMIT_STACK, &limit) == 0);
    SHOW("stack %lx", (unsigned long)limit.rlim_cur);
    RC(prlimit(1 << 22, RLIMIT_CPU, NULL, &limit));
    RC(getpriority(PRIO_PROCESS, 0));
    RC(setpriority(PRIO_PROCESS, 0, 5));
    RC(getpriority(PRIO_PROCESS, 0));
    struct rusage usage;
    RC(getrusage(RUSAGE_SELF, &usage));
    SHOW("time used %d", usage.ru_utime.tv_sec >= 0 && usage.ru_maxrss > 0);
    RC(getrusage(77, &usage));
}

static void clocks(void)
{
    struct timespec a, b, resolution;
    struct timeval tv;
    struct tms tms;
    CHECK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &a) == 0);
    CHECK(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &b) == 0);
    SHOW("forward %d", b.tv_sec > a.tv_sec || b.tv_nsec >= a.tv_nsec);
    CHECK(syscall(SYS_gettimeofday, &tv, NULL) == 0 && syscall(SYS_time, NULL) >= tv.tv_sec);
    RC(syscall(SYS_clock_gettime, 99, &a));
    RC(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, 8));
    CHECK(syscall(SYS_clock_getres, CLOCK_MONOTONIC, &resolution) == 0);
    SHOW("resolution %ld", resolution.tv_nsec);
    RC(times(&tms) != -1);
    struct timespec ms = {0, 1000000}, bad = {0, 2000000000};
    RC(nanosleep(&ms, NULL));
    RC(nanosleep(&bad, NULL));
    RC(clock_nanosleep(99, 0, &ms, NULL));
    RC(syscall(SYS_nanosleep, 8, NULL));
    struct sysinfo info;
    RC(sysinfo(&info));
    SHOW("memory %d", info.totalram > 0 && info.mem_unit > 0);
}

static void scheduling(void)
{
    cpu_set_t set;
    RC(sched_yield());
    CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
    SHOW("cpus %d", CPU_COUNT(&set));
    RC(sched_setaffinity(0, sizeof set, &set));
    CPU_ZERO(&set);
    RC(sched_setaffinity(0, sizeof set, &set));
    RC(sched_getscheduler(0));
    RC(sched_get_priority_max(SCHED_FIFO));
    struct sched_param param;
    RC(sched_getparam(0, &param));
    unsigned cpu = 99, node = 99;
    CHECK(syscall(SYS_getcpu, &cpu, &node, NULL) == 0);
    SHOW("cpu %d node %u", cpu < 4096, node);
    RC(syscall(SYS_membarrier, 0, 0, 0) > 0);
    struct timespec slice;
    RC(sched_rr_get_interval(0, &slice));
}

static void itself(void)
{
    char name[17] = {0};
    int value = 0;
    RC(prctl(PR_SET_NAME, "a long name of a thread"));
    RC(prctl(PR_GET_NAME, name));
    SHOW("name %s", name);
    RC(prctl(PR_SET_PDEATHSIG, SIGTERM));
    RC(prctl(PR_GET_PDEATHSIG, &value));
    SHOW("death signal %d", value);
    RC(prctl(PR_GET_DUMPABLE));
    RC(prctl(PR_SET_DUMPABLE, 0));
    RC(prctl(PR_GET_DUMPABLE));
    RC(prctl(PR_SET_DUMPABLE, 7));
    RC(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    RC(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    RC(prctl(PR_SET_CHILD_SUBREAPER, 1));
    RC(prctl(12345, 0, 0, 0, 0));
    unsigned long base = 0, fs;
    CHECK(syscall(SYS_arch_prctl, ARCH_GET_FS, &base) == 0);
    asm("mov %%fs:0, %0" : "=r"(fs));
    SHOW("fs %d", base == fs);
    static unsigned long there = 0x5a5a;
    CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, &there) == 0);
    unsigned long seen;
    asm volatile("mov %%gs:0, %0" : "=r"(seen));
    SHOW("gs %lx", seen);
    RC(syscall(SYS_arch_prctl, 0x7777, 0));
    struct {
        unsigned version;
        int pid;
    } head = {0x20080522, 0};
    unsigned data[6] = {0};
    RC(syscall(SYS_capget, &head, data));
    SHOW("capabilities %x %x", data[0], data[1]);
    head.version = 1;
    RC(syscall(SYS_capget, &head, NULL));
    SHOW("version %x", head.version);
    RC(syscall(SYS_personality, 0xffffffff));
    void *list;
    size_t size = 0;
    CHECK(syscall(SYS_get_robust_list, 0, &list, &size) == 0);
    SHOW("robust list %zu", size);
}

static void random_bytes(void)
{
    static unsigned char big[300000];
    size_t done = 0;
    while (done < sizeof big) {
        ssize_t n = getrandom(big + done, sizeof big - done, 0);
        CHECK(n > 0);
        done += (size_t)n;
    }
    int counts[2] = {0};
    for (size_t i = 0; i < sizeof big; i++)
        counts[big[i] & 1]++;
    SHOW("random %d", counts[0] > 140000 && counts[1] > 140000);
    RC(getrandom(big, 10, 0x1000));
}

static void readiness(void)
{
    int fds[2];
    CHECK(pipe(fds) == 0);
    static struct pollfd many[300];
    for (int i = 0; i < 300; i++)
        many[i] = (struct pollfd){i % 3 == 0   ? fds[0]
                                  : i % 3 == 1 ? fds[1]
                                               : -1,
                                  POLLIN | POLLOUT, 0};
    many[299].fd = 4000;
    RC(poll(many, 300, 0));
    SHOW("events %x %x %x %x", many[0].revents, many[1].revents, many[2].revents,
         many[299].revents);
    RC(poll(NULL, 0, 5));
    fd_set r, w;
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_SET(fds[0], &r);
    FD_SET(fds[1], &w);
    struct timeval tv = {1, 0};
    RC(select(fds[1] + 1, &r, &w, NULL, &tv));
    SHOW("select %d %d left %ld", FD_ISSET(fds[0], &r), FD_ISSET(fds[1], &w), (long)tv.tv_sec);
    FD_ZERO(&r);
    FD_SET(fds[0], &r);
    tv = (struct timeval){0, 20000};
    RC(select(fds[1] + 1, &r, NULL, NULL, &tv));
    SHOW("timed out, left %ld", (long)tv.tv_usec);
    RC(select(-1, NULL, NULL, NULL, &tv));
    CHECK(write(fds[1], "x", 1) == 1);
    FD_ZERO(&r);
    FD_SET(fds[0], &r);
    RC(pselect(fds[0] + 1, &r, NULL, NULL, NULL, NULL));
    int e = eventfd(3, EFD_NONBLOCK);
    struct pollfd p = {e, POLLIN, 0};
    RC(poll(&p, 1, 1000));
}

int main(void)
{
    identity();
    limits();
    clocks();
    scheduling();
    itself();
    random_bytes();
    readiness();
    return 0;
}
