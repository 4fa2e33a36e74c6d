/* wait4 and waitid in all their forms; process groups and sessions. */
#include "conformance.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define P_PIDFD_ 3

static pid_t child_that_exits(int code)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(code);
    return pid;
}

static pid_t child_that_waits(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    return pid;
}

static void end(pid_t pid)
{
    int status;
    kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
}

static void show_info(const siginfo_t *i, pid_t pid)
{
    SHOW("signo %d code %d status %d pid %d uid %d", i->si_signo, i->si_code, i->si_status,
         i->si_pid == pid, i->si_uid == getuid());
}

CASE(wait4, nobody)
{
    int status = 77;
    TRY(wait4(-1, &status, 0, NULL));
    TRY(wait4(-1, &status, WNOHANG, NULL));
    TRY(wait4(getpid(), &status, 0, NULL));
    TRY(wait4(1, &status, 0, NULL));
    TRY(wait4(0, &status, 0, NULL));
    TRY(wait4(-12345678, &status, 0, NULL));
    TRY(wait4(INT_MIN, &status, 0, NULL));
    SHOW("%d", status);
}

CASE(wait4, wrong_options)
{
    TRY(wait4(-1, NULL, 0x100, NULL));
    TRY(wait4(-1, NULL, WEXITED, NULL));
    TRY(wait4(-1, NULL, WNOWAIT, NULL));
    TRY(wait4(-1, NULL, -1, NULL));
}

CASE(wait4, bad_status_pointer)
{
    pid_t pid = child_that_exits(3);
    errno = 0;
    SHOW("%d %s", (int)syscall(SYS_wait4, pid, BAD_POINTER, 0, NULL) == -1, strerrorname_np(errno));
    /* It is reaped all the same. */
    TRY(wait4(pid, NULL, 0, NULL));
}

CASE(wait4, bad_usage_pointer)
{
    pid_t pid = child_that_exits(3);
    int status = 0;
    TRY(syscall(SYS_wait4, pid, &status, 0, BAD_POINTER));
    TRY(wait4(pid, NULL, 0, NULL));
}

CASE(wait4, without_status)
{
    pid_t pid = child_that_exits(3);
    SHOW("%d", wait4(pid, NULL, 0, NULL) == pid);
}

CASE(wait4, no_hang)
{
    int status = 99;
    pid_t pid = child_that_waits();
    TRY(wait4(pid, &status, WNOHANG, NULL));
    SHOW("%d", status);
    TRY(wait4(-1, &status, WNOHANG, NULL));
    TRY(wait4(0, &status, WNOHANG, NULL));
    end(pid);
}

CASE(wait4, stopped_and_continued)
{
    int status = 0;
    pid_t pid = child_that_waits();
    kill(pid, SIGSTOP);
    SHOW("%d", wait4(pid, &status, WUNTRACED, NULL) == pid);
    SHOW("%x %d %d", status, WIFSTOPPED(status), WSTOPSIG(status));
    TRY(wait4(pid, &status, WUNTRACED | WNOHANG, NULL));
    kill(pid, SIGCONT);
    SHOW("%d", wait4(pid, &status, WCONTINUED, NULL) == pid);
    SHOW("%x %d", status, WIFCONTINUED(status));
    TRY(wait4(pid, &status, WCONTINUED | WNOHANG, NULL));
    end(pid);
}

CASE(wait4, stopped_is_not_seen_without_the_flag)
{
    int status;
    pid_t pid = child_that_waits();
    siginfo_t info;
    kill(pid, SIGSTOP);
    waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT);
    TRY(wait4(pid, &status, WNOHANG, NULL));
    end(pid);
}

CASE(wait4, killed_while_stopped)
{
    int status;
    pid_t pid = child_that_waits();
    kill(pid, SIGSTOP);
    waitpid(pid, &status, WUNTRACED);
    kill(pid, SIGKILL);
    waitpid(pid, &status, WUNTRACED);
    SHOW("%x", status);
}

CASE(wait4, stop_and_continue_itself)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        raise(SIGSTOP);
        _exit(12);
    }
    waitpid(pid, &status, WUNTRACED);
    SHOW("%x", status);
    kill(pid, SIGCONT);
    waitpid(pid, &status, 0);
    SHOW("%x", status);
}

CASE(wait4, group)
{
    int status;
    pid_t pid = child_that_exits(6);
    pid_t other = fork();
    if (other == 0) {
        setpgid(0, 0);
        _exit(7);
    }
    setpgid(other, other);
    SHOW("%d", wait4(-other, &status, 0, NULL) == other);
    SHOW("%d", wait4(0, &status, 0, NULL) == pid);
    TRY(wait4(-other, &status, 0, NULL));
}

CASE(wait4, usage)
{
    struct rusage u;
    memset(&u, 0xff, sizeof u);
    pid_t pid = fork();
    if (pid == 0) {
        for (volatile long i = 0; i < 100000000; i++)
            ;
        _exit(0);
    }
    wait4(pid, NULL, 0, &u);
    SHOW("%d", u.ru_utime.tv_sec * 1000000 + u.ru_utime.tv_usec > 20000);
    SHOW("%ld %ld %ld", u.ru_nswap, u.ru_msgsnd, u.ru_nsignals);
    struct rusage all;
    getrusage(RUSAGE_CHILDREN, &all);
    SHOW("%d", all.ru_utime.tv_sec * 1000000 + all.ru_utime.tv_usec > 20000);
}

CASE(wait4, usage_is_not_written_for_nobody)
{
    struct rusage u;
    memset(&u, 0x11, sizeof u);
    pid_t pid = child_that_waits();
    TRY(wait4(pid, NULL, WNOHANG, &u));
    SHOW("%lx", u.ru_maxrss);
    end(pid);
}

CASE(wait4, clone_children)
{
    int status = 0;
    pid_t pid = (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(2);
    TRY(wait4(pid, &status, WNOHANG, NULL));
    SHOW("%d", wait4(pid, &status, __WALL, NULL) == pid);
    pid = child_that_exits(1);
    TRY(wait4(pid, &status, __WCLONE | WNOHANG, NULL));
    wait4(pid, &status, 0, NULL);
}

static void *wait_there(void *arg)
{
    int status = 0;
    pid_t pid = *(pid_t *)arg;
    return (void *)(long)(wait4(pid, &status, 0, NULL) == pid ? WEXITSTATUS(status) : -1);
}

CASE(wait4, child_of_another_thread)
{
    pthread_t t;
    void *result;
    pid_t pid = child_that_exits(21);
    pthread_create(&t, NULL, wait_there, &pid);
    pthread_join(t, &result);
    SHOW("%ld", (long)result);
}

CASE(wait4, not_of_another_thread)
{
    int status;
    pid_t pid = child_that_exits(1);
    SHOW("%d", wait4(pid, &status, __WNOTHREAD, NULL) == pid);
}

static void nothing(int signal)
{
    (void)signal;
}

CASE(wait4, interrupted)
{
    struct sigaction action = {.sa_handler = nothing};
    int status;
    sigaction(SIGALRM, &action, NULL);
    pid_t pid = child_that_waits();
    ualarm(20000, 0);
    TRY(wait4(pid, &status, 0, NULL));
    end(pid);
}

CASE(wait4, sigchld_ignored)
{
    int status = 5;
    signal(SIGCHLD, SIG_IGN);
    child_that_exits(1);
    child_that_exits(2);
    TRY(wait4(-1, &status, 0, NULL));
    SHOW("%d", status);
}

CASE(wait4, no_child_wait)
{
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_NOCLDWAIT};
    int status = 5;
    sigaction(SIGCHLD, &action, NULL);
    child_that_exits(1);
    TRY(wait4(-1, &status, 0, NULL));
    SHOW("%d", status);
}

static volatile sig_atomic_t count;
static siginfo_t last;
static void note(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)context;
    last = *info;
    count++;
}

CASE(sigchld, of_exit)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    sigaction(SIGCHLD, &action, NULL);
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &old);
    pid_t pid = child_that_exits(9);
    sigsuspend(&old);
    show_info(&last, pid);
    pid = child_that_waits();
    kill(pid, SIGTERM);
    sigsuspend(&old);
    show_info(&last, pid);
    SHOW("%d", count);
}

CASE(sigchld, of_stop)
{
    struct sigaction action = {.sa_sigaction = note, .sa_flags = SA_SIGINFO};
    sigaction(SIGCHLD, &action, NULL);
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, &old);
    pid_t pid = child_that_waits();
    kill(pid, SIGSTOP);
    sigsuspend(&old);
    show_info(&last, pid);
    kill(pid, SIGCONT);
    sigsuspend(&old);
    show_info(&last, pid);
    action.sa_flags |= SA_NOCLDSTOP;
    sigaction(SIGCHLD, &action, NULL);
    kill(pid, SIGSTOP);
    int status;
    waitpid(pid, &status, WUNTRACED);
    sigpending(&set);
    SHOW("%d", sigismember(&set, SIGCHLD));
    end(pid);
}

/* ---- waitid ---- */

CASE(waitid, errors)
{
    siginfo_t info;
    TRY(waitid(P_ALL, 0, &info, WEXITED));
    TRY(waitid(P_ALL, 0, &info, 0));
    TRY(waitid(P_ALL, 0, &info, WNOHANG));
    TRY(waitid(P_ALL, 0, &info, 0x40 | WEXITED));
    TRY(waitid((idtype_t)9, 0, &info, WEXITED));
    TRY(waitid(P_PID, 0, &info, WEXITED));
    TRY(waitid(P_PID, (id_t)-1, &info, WEXITED));
    TRY(waitid(P_PGID, (id_t)-1, &info, WEXITED));
    TRY(waitid(P_PGID, 0, &info, WEXITED));
    TRY(waitid((idtype_t)P_PIDFD_, (id_t)-1, &info, WEXITED));
    TRY(waitid((idtype_t)P_PIDFD_, 0, &info, WEXITED));
    TRY(waitid((idtype_t)P_PIDFD_, 999, &info, WEXITED));
}

CASE(waitid, exited)
{
    siginfo_t info;
    memset(&info, 0xee, sizeof info);
    pid_t pid = child_that_exits(33);
    TRY(waitid(P_PID, (id_t)pid, &info, WEXITED));
    show_info(&info, pid);
    SHOW("%d", info.si_errno);
}

CASE(waitid, killed)
{
    siginfo_t info;
    pid_t pid = child_that_waits();
    kill(pid, SIGUSR1);
    TRY(waitid(P_ALL, 0, &info, WEXITED));
    show_info(&info, pid);
}

CASE(waitid, dumped)
{
    siginfo_t info;
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
    pid_t pid = child_that_waits();
    kill(pid, SIGABRT);
    TRY(waitid(P_ALL, 0, &info, WEXITED));
    show_info(&info, pid);
}

CASE(waitid, no_wait_leaves_it)
{
    siginfo_t info;
    pid_t pid = child_that_exits(4);
    for (int i = 0; i < 3; i++) {
        TRY(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
        show_info(&info, pid);
    }
    TRY(waitid(P_PID, (id_t)pid, &info, WEXITED));
    TRY(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG));
}

CASE(waitid, no_hang)
{
    siginfo_t info;
    memset(&info, 0xee, sizeof info);
    pid_t pid = child_that_waits();
    TRY(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG));
    SHOW("%d %d %x", info.si_signo, info.si_pid, info.si_code);
    end(pid);
}

CASE(waitid, stopped_and_continued)
{
    siginfo_t info;
    pid_t pid = child_that_waits();
    kill(pid, SIGSTOP);
    TRY(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOWAIT));
    show_info(&info, pid);
    TRY(waitid(P_PID, (id_t)pid, &info, WSTOPPED));
    show_info(&info, pid);
    kill(pid, SIGCONT);
    TRY(waitid(P_PID, (id_t)pid, &info, WCONTINUED));
    show_info(&info, pid);
    end(pid);
}

CASE(waitid, group)
{
    siginfo_t info;
    pid_t pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        _exit(3);
    }
    setpgid(pid, pid);
    TRY(waitid(P_PGID, (id_t)pid, &info, WEXITED));
    show_info(&info, pid);
    TRY(waitid(P_PGID, (id_t)getpgrp(), &info, WEXITED | WNOHANG));
}

CASE(waitid, pidfd)
{
    siginfo_t info;
    pid_t pid = child_that_exits(44);
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    TRY(waitid((idtype_t)P_PIDFD_, (id_t)fd, &info, WEXITED));
    show_info(&info, pid);
    TRY(waitid((idtype_t)P_PIDFD_, (id_t)fd, &info, WEXITED));
}

CASE(waitid, nonblocking_pidfd)
{
    siginfo_t info;
    pid_t pid = child_that_waits();
    int fd = (int)syscall(SYS_pidfd_open, pid, O_NONBLOCK);
    TRY(waitid((idtype_t)P_PIDFD_, (id_t)fd, &info, WEXITED));
    end(pid);
}

CASE(waitid, without_info)
{
    pid_t pid = child_that_exits(4);
    TRY(waitid(P_PID, (id_t)pid, NULL, WEXITED));
}

CASE(waitid, bad_pointer)
{
    pid_t pid = child_that_exits(4);
    siginfo_t info;
    TRY(syscall(SYS_waitid, P_PID, pid, BAD_POINTER, WEXITED, NULL));
    TRY(waitid(P_PID, (id_t)pid, &info, WEXITED));
}

CASE(waitid, usage)
{
    struct rusage u;
    siginfo_t info;
    memset(&u, 0xff, sizeof u);
    pid_t pid = child_that_exits(4);
    TRY(syscall(SYS_waitid, P_PID, pid, &info, WEXITED, &u));
    SHOW("%ld %d", u.ru_nswap, u.ru_maxrss > 0);
}

/* ---- process groups and sessions ---- */

#define IN_CHILD(...)                                                                              \
    do {                                                                                           \
        fflush(stdout);                                                                            \
        pid_t pid_ = fork();                                                                       \
        if (pid_ == 0) {                                                                           \
            __VA_ARGS__;                                                                           \
            fflush(stdout);                                                                        \
            _exit(0);                                                                              \
        }                                                                                          \
        waitpid(pid_, NULL, 0);                                                                    \
    } while (0)

CASE(setpgid, own)
{
    IN_CHILD({
        TRY(setpgid(0, 0));
        SHOW("%d", getpgrp() == getpid());
        TRY(setpgid(0, 0));
        TRY(setpgid(getpid(), getpid()));
    });
}

CASE(setpgid, errors)
{
    TRY(setpgid(0, -1));
    TRY(setpgid(-1, 0));
    TRY(setpgid(1, 0));
    TRY(setpgid(0, 1));
    TRY(setpgid(99999999, 0));
    TRY(setpgid(0, 99999999));
}

CASE(setpgid, of_a_child)
{
    pid_t pid = child_that_waits();
    TRY(setpgid(pid, 0));
    SHOW("%d", getpgid(pid) == pid);
    TRY(setpgid(pid, getpgrp()));
    SHOW("%d", getpgid(pid) == getpgrp());
    end(pid);
}

CASE(setpgid, after_exec)
{
    int ends[2];
    char c;
    pipe2(ends, O_CLOEXEC);
    pid_t pid = fork();
    if (pid == 0)
        execl("/bin/sleep", "sleep", "20", NULL);
    close(ends[1]);
    if (read(ends[0], &c, 1) != 0) /* end of file: the exec has happened */
        return;
    TRY(setpgid(pid, pid));
    end(pid);
}

CASE(setpgid, of_a_leader_of_a_session)
{
    IN_CHILD({
        setsid();
        TRY(setpgid(0, 0));
        TRY(setpgid(getpid(), getppid()));
    });
}

CASE(setsid, once)
{
    IN_CHILD({
        SHOW("%d", setsid() == getpid());
        SHOW("%d %d", getsid(0) == getpid(), getpgrp() == getpid());
        TRY(setsid());
    });
}

CASE(setsid, leader_of_a_group)
{
    IN_CHILD({
        setpgid(0, 0);
        TRY(setsid());
    });
}

CASE(getsid, others)
{
    SHOW("%d", getsid(0) == getsid(getpid()));
    TRY(getsid(-1));
    TRY(getsid(99999999));
    TRY(getpgid(-1));
    TRY(getpgid(99999999));
    SHOW("%d", getpgid(0) == getpgrp());
}

CASE(kill, errors)
{
    TRY(kill(99999999, 0));
    TRY(kill(getpid(), 65));
    TRY(kill(getpid(), -1));
    TRY(kill(getpid(), 0));
    TRY(kill(1, 0));
    TRY(kill(-99999999, 0));
    TRY(kill(INT_MIN, 0));
    TRY(syscall(SYS_tgkill, getpid(), 99999999, 0));
    TRY(syscall(SYS_tgkill, -1, getpid(), 0));
    TRY(syscall(SYS_tgkill, getpid(), -1, 0));
    TRY(syscall(SYS_tgkill, 1, getpid(), 0));
    TRY(syscall(SYS_tkill, -1, 0));
    TRY(syscall(SYS_tkill, getpid(), 65));
}

CASE(kill, zombie)
{
    pid_t pid = child_that_exits(0);
    siginfo_t info;
    waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT);
    TRY(kill(pid, 0));
    TRY(kill(pid, SIGKILL));
    waitpid(pid, NULL, 0);
    TRY(kill(pid, 0));
}

CASE(kill, group)
{
    pid_t leader = child_that_waits();
    setpgid(leader, leader);
    pid_t other = child_that_waits();
    TRY(setpgid(other, leader));
    TRY(kill(-leader, SIGTERM));
    int status;
    waitpid(leader, &status, 0);
    SHOW("%x", status);
    waitpid(other, &status, 0);
    SHOW("%x", status);
    TRY(kill(-leader, SIGTERM));
}

CASE(kill, own_group_as_zero)
{
    IN_CHILD({
        setpgid(0, 0);
        signal(SIGUSR1, nothing);
        TRY(kill(0, SIGUSR1));
        TRY(killpg(0, SIGUSR1));
    });
}

CASE(subreaper, takes_orphans)
{
    int ends[2], value = 0;
    pid_t grandchild = 0;
    pipe(ends);
    TRY(prctl(PR_SET_CHILD_SUBREAPER, 1));
    TRY(prctl(PR_GET_CHILD_SUBREAPER, &value));
    SHOW("%d", value);
    pid_t me = getpid(), pid = fork();
    if (pid == 0) {
        pid_t middle = getpid();
        pid_t g = fork();
        if (g == 0) {
            while (getppid() == middle)
                sched_yield();
            _exit(getppid() == me ? 5 : 6);
        }
        if (write(ends[1], &g, sizeof g) < 0)
            _exit(1);
        _exit(0);
    }
    waitpid(pid, &value, 0);
    TRY(read(ends[0], &grandchild, sizeof grandchild));
    SHOW("%d", waitpid(-1, &value, 0) == grandchild);
    SHOW("%x", value);
}

CASE(subreaper, is_not_inherited)
{
    int value = 9;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    IN_CHILD({
        prctl(PR_GET_CHILD_SUBREAPER, &value);
        SHOW("%d", value);
    });
}

/* ---- pidfds ---- */

CASE(pidfd_open, errors)
{
    TRY(syscall(SYS_pidfd_open, -1, 0));
    TRY(syscall(SYS_pidfd_open, 0, 0));
    TRY(syscall(SYS_pidfd_open, 99999999, 0));
    TRY(syscall(SYS_pidfd_open, getpid(), 0x40000000));
    int fd = (int)OK(syscall(SYS_pidfd_open, getpid(), 0));
    TRY(fcntl(fd, F_GETFD));
    char c;
    TRY(read(fd, &c, 1));
    TRY(write(fd, &c, 1));
}

CASE(pidfd_send_signal, child)
{
    pid_t pid = child_that_waits();
    int fd = (int)syscall(SYS_pidfd_open, pid, 0), status;
    TRY(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
    TRY(syscall(SYS_pidfd_send_signal, fd, 65, NULL, 0));
    TRY(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0x80));
    TRY(syscall(SYS_pidfd_send_signal, fd, SIGTERM, BAD_POINTER, 0));
    TRY(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
    waitpid(pid, &status, 0);
    SHOW("%x", status);
    TRY(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
    TRY(syscall(SYS_pidfd_send_signal, 0, SIGTERM, NULL, 0));
    TRY(syscall(SYS_pidfd_send_signal, -1, SIGTERM, NULL, 0));
}

CASE(pidfd_getfd, own)
{
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    TRY(syscall(SYS_pidfd_getfd, fd, 0, 1));
    TRY(syscall(SYS_pidfd_getfd, -1, 0, 0));
    TRY(syscall(SYS_pidfd_getfd, 0, 0, 0));
}
