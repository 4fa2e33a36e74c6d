/* clone in the forms that libcs use and those that are refused; unshare; how processes end. */
#include "children.h"

#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static long raw_clone(unsigned long flags, void *stack, int *parent, int *child, void *tls)
{
    return syscall(SYS_clone, flags, stack, parent, child, tls);
}

/* ---- clone ---- */

CASE(clone, plain)
{
    long pid = raw_clone(SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(4);
    SHOW("%d", code_of((pid_t)pid));
}

CASE(clone, no_exit_signal)
{
    long pid = raw_clone(0, NULL, NULL, NULL, NULL);
    int status;
    if (pid == 0)
        _exit(4);
    TRY(waitpid((pid_t)pid, &status, 0));
    SHOW("%d", waitpid((pid_t)pid, &status, __WCLONE) == pid);
    SHOW("%d", WEXITSTATUS(status));
}

static volatile int caught;
static void note(int signal)
{
    caught = signal;
}

CASE(clone, another_exit_signal)
{
    signal(SIGUSR2, note);
    long pid = raw_clone(SIGUSR2, NULL, NULL, NULL, NULL);
    if (pid == 0)
        _exit(0);
    SHOW("%d", code_of((pid_t)pid));
    SHOW("%d", caught == SIGUSR2);
}

CASE(clone, child_settid)
{
    static int tid;
    long pid = raw_clone(SIGCHLD | CLONE_CHILD_SETTID, NULL, NULL, &tid, NULL);
    if (pid == 0)
        _exit(tid == getpid());
    SHOW("%d %d", code_of((pid_t)pid), tid);
}

CASE(clone, parent_settid)
{
    static int tid;
    long pid = raw_clone(SIGCHLD | CLONE_PARENT_SETTID, NULL, &tid, NULL, NULL);
    if (pid == 0)
        _exit(tid == 0 ? 1 : tid == getpid() ? 2 : 3);
    SHOW("%d", tid == pid);
    code_of((pid_t)pid);
}

CASE(clone, parent_settid_to_nowhere)
{
    long pid = raw_clone(SIGCHLD | CLONE_PARENT_SETTID, NULL, BAD_POINTER, NULL, NULL);
    if (pid == 0)
        _exit(1);
    SHOW("%s", pid > 0 ? "ok" : strerrorname_np(errno));
}

CASE(clone, pidfd)
{
    int fd = -1;
    long pid = raw_clone(SIGCHLD | CLONE_PIDFD, NULL, &fd, NULL, NULL);
    if (pid == 0)
        _exit(8);
    siginfo_t info = {0};
    SHOW("%d %d", fd >= 0, fcntl(fd, F_GETFD));
    TRY(waitid((idtype_t)3 /* P_PIDFD */, (id_t)fd, &info, WEXITED));
    SHOW("%d %d", info.si_status, info.si_pid == pid);
}

CASE(clone, pidfd_with_parent_settid)
{
    int fd = -1;
    TRY(raw_clone(SIGCHLD | CLONE_PIDFD | CLONE_PARENT_SETTID, NULL, &fd, NULL, NULL));
}

CASE(clone, refused_flags)
{
    TRY(raw_clone(CLONE_THREAD | SIGCHLD, NULL, NULL, NULL, NULL));
    TRY(raw_clone(CLONE_SIGHAND | SIGCHLD, NULL, NULL, NULL, NULL));
    TRY(raw_clone(CLONE_THREAD | CLONE_SIGHAND, NULL, NULL, NULL, NULL));
    TRY(raw_clone(CLONE_THREAD | CLONE_VM, NULL, NULL, NULL, NULL));
    TRY(raw_clone(CLONE_FS | CLONE_NEWNS | SIGCHLD, NULL, NULL, NULL, NULL));
    TRY(raw_clone(CLONE_PIDFD | CLONE_DETACHED | SIGCHLD, NULL, NULL, NULL, NULL));
}

CASE(clone, namespaces_of_an_ordinary_user)
{
    TRY(raw_clone(CLONE_NEWNS | SIGCHLD, NULL, NULL, NULL, NULL));
    TRY(raw_clone(CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL));
    TRY(raw_clone(CLONE_NEWNET | SIGCHLD, NULL, NULL, NULL, NULL));
    TRY(raw_clone(CLONE_NEWUTS | SIGCHLD, NULL, NULL, NULL, NULL));
    TRY(raw_clone(CLONE_NEWIPC | SIGCHLD, NULL, NULL, NULL, NULL));
    TRY(raw_clone(CLONE_NEWCGROUP | SIGCHLD, NULL, NULL, NULL, NULL));
}

CASE(clone, settls_in_a_process)
{
    static char block[4096];
    unsigned long fs;
    syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, &fs);
    /* The thread's own block again, so that the child's library goes on. */
    long pid = raw_clone(SIGCHLD | CLONE_SETTLS, NULL, NULL, NULL, (void *)fs);
    if (pid == 0)
        _exit(7);
    SHOW("%d", code_of((pid_t)pid));
    (void)block;
}

CASE(clone, vfork_flag_alone)
{
    int ends[2];
    char c;
    TRY(pipe2(ends, O_NONBLOCK));
    long pid = raw_clone(SIGCHLD | CLONE_VFORK, NULL, NULL, NULL, NULL);
    if (pid == 0) {
        struct timespec t = {0, 20000000};
        nanosleep(&t, NULL);
        if (write(ends[1], "x", 1) != 1)
            _exit(1);
        _exit(0);
    }
    TRY(read(ends[0], &c, 1)); /* the parent goes on after the child's end only */
    SHOW("%d", code_of((pid_t)pid));
}

static int in_vm_child(void *arg)
{
    *(volatile int *)arg = 5;
    return 6;
}

CASE(clone, vm_and_vfork_on_a_stack)
{
    static char stack[65536] __attribute__((aligned(16)));
    volatile int value = 0;
    int pid =
        clone(in_vm_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, (void *)&value);
    SHOW("%d", pid > 0);
    SHOW("%d %d", code_of(pid), value);
}

static int in_copy_child(void *arg)
{
    *(volatile int *)arg = 5;
    return 7;
}

CASE(clone, process_on_a_stack)
{
    static char stack[65536] __attribute__((aligned(16)));
    volatile int value = 0;
    int pid = clone(in_copy_child, stack + sizeof stack, SIGCHLD, (void *)&value);
    SHOW("%d %d", code_of(pid), value);
}

static int close_it(void *arg)
{
    close(*(int *)arg);
    return 0;
}

CASE(clone, files_without_vm)
{
    static char stack[65536] __attribute__((aligned(16)));
    int fd = open("/dev/null", O_RDONLY);
    int pid = clone(close_it, stack + sizeof stack, CLONE_FILES | SIGCHLD, &fd);
    /* Shared, or refused; never a copy that passes for shared. */
    if (pid > 0)
        code_of(pid);
    SHOW("%d", pid < 0 ? errno == ENOSYS : fcntl(fd, F_GETFD) < 0);
}

static int change_directory(void *arg)
{
    return chdir(arg) < 0;
}

CASE(clone, fs_without_vm)
{
    static char stack[65536] __attribute__((aligned(16)));
    mkdir("inner", 0755);
    int pid = clone(change_directory, stack + sizeof stack, CLONE_FS | SIGCHLD, "inner");
    if (pid > 0)
        code_of(pid);
    char where[PATH_MAX];
    SHOW("%d", pid < 0 ? errno == ENOSYS : strstr(getcwd(where, sizeof where), "inner") != NULL);
}

CASE(clone, parent)
{
    int ends[2];
    pid_t mine = getpid(), reported = 0;
    TRY(pipe(ends));
    long pid = fork();
    if (pid == 0) {
        long sibling = raw_clone(SIGCHLD | CLONE_PARENT, NULL, NULL, NULL, NULL);
        if (sibling == 0)
            _exit(getppid() == mine ? 11 : 12);
        if (write(ends[1], &sibling, 4) != 4)
            _exit(1);
        _exit(0);
    }
    code_of((pid_t)pid);
    TRY(read(ends[0], &reported, 4));
    SHOW("%d", code_of(reported));
}

CASE(clone, clear_sighand_needs_clone3)
{
    struct {
        uint64_t words[11];
    } args = {{0}};
    /* Either it is there or it is ENOSYS: glibc goes on with clone. */
    long rc = syscall(SYS_clone3, &args, 1);
    SHOW("%s", rc < 0 && (errno == EINVAL || errno == ENOSYS) ? "refused" : "?");
}

CASE(unshare, refused_to_an_ordinary_user)
{
    SHOW("%d", unshare(CLONE_NEWNS) < 0);
    SHOW("%d", unshare(CLONE_NEWPID) < 0);
    TRY(setns(-1, 0));
}

CASE(unshare, files)
{
    TRY(unshare(0));
    TRY(unshare(CLONE_FILES));
    TRY(unshare(CLONE_FS));
    TRY(unshare(0x40));
}

/* ---- ends ---- */

CASE(exit, thread_leader_first)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        pthread_create(&t, NULL, (void *(*)(void *))(void (*)(void))sleep, (void *)0);
        pthread_exit((void *)3);
    }
    SHOW("%d", code_of(pid));
}

static void *leave_group(void *arg)
{
    struct timespec t = {0, 20000000};
    nanosleep(&t, NULL);
    _exit((int)(long)arg);
}

CASE(exit, group_from_another_thread)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        pthread_create(&t, NULL, leave_group, (void *)23l);
        pthread_join(t, NULL);
    }
    SHOW("%d", code_of(pid));
}

CASE(exit, group_after_the_leader_left)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        pthread_create(&t, NULL, leave_group, (void *)24l);
        syscall(SYS_exit, 1);
    }
    SHOW("%d", code_of(pid));
}

CASE(exit, race_of_exit_groups)
{
    int good = 0;
    for (int round = 0; round < 10; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            pthread_t t[4];
            for (int i = 0; i < 4; i++)
                pthread_create(&t[i], NULL, leave_group, (void *)31l);
            for (int i = 0; i < 4; i++)
                pthread_join(t[i], NULL);
        }
        good += code_of(pid) == 31;
    }
    SHOW("%d", good);
}

CASE(exit, last_thread_gives_the_code)
{
    pid_t pid = fork();
    if (pid == 0)
        syscall(SYS_exit, 17);
    SHOW("%d", code_of(pid));
}

static void leave_a_word(void)
{
    SHOW("at exit");
}

CASE(exit, atexit_runs)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        atexit(leave_a_word);
        exit(9);
    }
    SHOW("%d", code_of(pid));
}

#define ENDS_BY(name, number)                                                                      \
    CASE(exit, by_##name)                                                                          \
    {                                                                                              \
        pid_t pid = fork();                                                                        \
        if (pid == 0) {                                                                            \
            struct rlimit none = {0, 0};                                                           \
            setrlimit(RLIMIT_CORE, &none);                                                         \
            kill(getpid(), number);                                                                \
            for (int i = 0; i < 100; i++)                                                          \
                sched_yield();                                                                     \
            _exit(1);                                                                              \
        }                                                                                          \
        int status;                                                                                \
        waitpid(pid, &status, 0);                                                                  \
        SHOW("%x", status);                                                                        \
    }
ENDS_BY(hup, SIGHUP)
ENDS_BY(int, SIGINT)
ENDS_BY(quit, SIGQUIT)
ENDS_BY(ill, SIGILL)
ENDS_BY(trap, SIGTRAP)
ENDS_BY(abrt, SIGABRT)
ENDS_BY(bus, SIGBUS)
ENDS_BY(fpe, SIGFPE)
ENDS_BY(kill, SIGKILL)
ENDS_BY(usr1, SIGUSR1)
ENDS_BY(segv, SIGSEGV)
ENDS_BY(pipe, SIGPIPE)
ENDS_BY(alrm, SIGALRM)
ENDS_BY(term, SIGTERM)
ENDS_BY(stkflt, SIGSTKFLT)
ENDS_BY(chld, SIGCHLD)
ENDS_BY(cont, SIGCONT)
ENDS_BY(urg, SIGURG)
ENDS_BY(xcpu, SIGXCPU)
ENDS_BY(xfsz, SIGXFSZ)
ENDS_BY(vtalrm, SIGVTALRM)
ENDS_BY(winch, SIGWINCH)
ENDS_BY(io, SIGIO)
ENDS_BY(pwr, SIGPWR)
ENDS_BY(sys, SIGSYS)
ENDS_BY(rtmin, SIGRTMIN)
ENDS_BY(rtmax, SIGRTMAX)
