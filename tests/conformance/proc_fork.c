/* fork, vfork, clone and posix_spawn: what the child has, what is refused, from many threads. */
#include "conformance.h"

#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

extern char **environ;

static int code_of(pid_t pid)
{
    int status = -1;
    if (waitpid(pid, &status, __WALL) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

/* Runs the expression in a fork child; its value (0 to 255) is the child's exit code. */
#define CHILD(expression)                                                                          \
    ({                                                                                             \
        pid_t pid_ = fork();                                                                       \
        if (pid_ == 0)                                                                             \
            _exit((expression)&0xff);                                                              \
        SHOW(#expression " in the child: %d", code_of(pid_));                                      \
    })

static long raw_clone(unsigned long flags, void *stack, int *parent, int *child, void *tls)
{
    return syscall(SYS_clone, flags, stack, parent, child, tls);
}

CASE(fork, exit_code)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(42);
    SHOW("%d", code_of(pid));
}

CASE(fork, exit_code_is_eight_bits)
{
    CHILD(0x1ff);
    CHILD(0x100);
    CHILD(-1);
}

CASE(fork, memory_is_a_copy)
{
    static int data = 1;
    int stack = 2, *heap = malloc(4);
    *heap = 3;
    pid_t pid = fork();
    if (pid == 0) {
        data = stack = *heap = 9;
        _exit(data + stack + *heap);
    }
    SHOW("%d: %d %d %d", code_of(pid), data, stack, *heap);
}

CASE(fork, parents_later_writes_are_not_seen)
{
    int go[2];
    static volatile int value = 1;
    char c;
    TRY(pipe(go));
    pid_t pid = fork();
    if (pid == 0) {
        if (read(go[0], &c, 1) < 0)
            _exit(99);
        _exit(value);
    }
    value = 7;
    TRY(write(go[1], "g", 1));
    SHOW("%d", code_of(pid));
}

CASE(fork, ids)
{
    pid_t me = getpid();
    CHILD(getppid() == me);
    CHILD(getpid() != me && getpid() == (pid_t)syscall(SYS_gettid));
    CHILD(getpgid(0) == getpgid(me));
    CHILD(getsid(0) == getsid(me));
}

CASE(fork, signal_mask_is_inherited)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGRTMIN + 3);
    TRY(sigprocmask(SIG_BLOCK, &set, NULL));
    pid_t pid = fork();
    if (pid == 0) {
        sigprocmask(SIG_BLOCK, NULL, &set);
        _exit(sigismember(&set, SIGUSR1) + 2 * sigismember(&set, SIGRTMIN + 3) +
              4 * sigismember(&set, SIGUSR2));
    }
    SHOW("%d", code_of(pid));
}

CASE(fork, pending_signals_are_not)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    TRY(kill(getpid(), SIGUSR1));
    pid_t pid = fork();
    if (pid == 0) {
        sigpending(&set);
        _exit(sigismember(&set, SIGUSR1));
    }
    SHOW("child %d", code_of(pid));
    sigpending(&set);
    SHOW("parent %d", sigismember(&set, SIGUSR1));
}

static void nothing(int signal)
{
    (void)signal;
}

CASE(fork, handlers_are_inherited)
{
    struct sigaction action;
    signal(SIGUSR1, nothing);
    signal(SIGUSR2, SIG_IGN);
    CHILD((sigaction(SIGUSR1, NULL, &action), action.sa_handler == nothing));
    CHILD((sigaction(SIGUSR2, NULL, &action), action.sa_handler == SIG_IGN));
    CHILD((sigaction(SIGTERM, NULL, &action), action.sa_handler == SIG_DFL));
}

CASE(fork, timers_are_not)
{
    struct itimerval t = {.it_value = {100, 0}}, now;
    setitimer(ITIMER_REAL, &t, NULL);
    CHILD((getitimer(ITIMER_REAL, &now), now.it_value.tv_sec || now.it_value.tv_usec));
    CHILD(alarm(0));
    timer_t id;
    timer_create(CLOCK_MONOTONIC, NULL, &id);
    struct itimerspec spec;
    CHILD(timer_gettime(id, &spec) == 0 ? 0 : errno);
}

CASE(fork, descriptors_share_the_offset)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    TRY(write(fd, "0123456789", 10));
    pid_t pid = fork();
    if (pid == 0)
        _exit(lseek(fd, 4, SEEK_SET));
    SHOW("%d %ld", code_of(pid), (long)lseek(fd, 0, SEEK_CUR));
}

CASE(fork, close_on_exec_is_kept)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHILD(fcntl(fd, F_GETFD));
}

CASE(fork, umask_and_directory)
{
    umask(0137);
    mkdir("d", 0700);
    if (chdir("d") < 0)
        return;
    char there[PATH_MAX];
    CHILD(umask(0));
    CHILD((getcwd(there, sizeof there), strcmp(there + strlen(there) - 2, "/d") == 0));
}

CASE(fork, name_is_kept)
{
    char name[16];
    prctl(PR_SET_NAME, "forker");
    CHILD((prctl(PR_GET_NAME, name), strcmp(name, "forker")));
}

CASE(fork, pdeathsig_is_not)
{
    int got;
    prctl(PR_SET_PDEATHSIG, SIGUSR1);
    CHILD((prctl(PR_GET_PDEATHSIG, &got), got));
}

CASE(fork, usage_begins_at_zero)
{
    struct rusage u;
    for (volatile long i = 0; i < 30000000; i++)
        ;
    CHILD((getrusage(RUSAGE_SELF, &u), u.ru_utime.tv_sec == 0 && u.ru_utime.tv_usec < 15000));
    CHILD((getrusage(RUSAGE_CHILDREN, &u), u.ru_utime.tv_sec + u.ru_utime.tv_usec));
}

CASE(fork, stdio_buffer_is_copied)
{
    FILE *f = fopen("f", "w");
    fputs("once ", f);
    pid_t pid = fork();
    if (pid == 0) {
        fclose(f);
        _exit(0);
    }
    code_of(pid);
    fclose(f);
    char text[64] = "";
    int fd = open("f", O_RDONLY);
    TRY(read(fd, text, sizeof text));
    SHOW("%s", text);
}

CASE(fork, of_a_child_of_a_child)
{
    pid_t pid = fork();
    if (pid == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0)
            _exit(5);
        _exit(code_of(grandchild) + 1);
    }
    SHOW("%d", code_of(pid));
}

CASE(fork, sixty_children_at_once)
{
    pid_t pids[60];
    int sum = 0;
    for (int i = 0; i < 60; i++) {
        pids[i] = fork();
        if (pids[i] == 0)
            _exit(i);
    }
    for (int i = 0; i < 60; i++)
        sum += code_of(pids[i]);
    SHOW("%d", sum);
}

static void *fork_some(void *arg)
{
    long sum = 0;
    for (int i = 0; i < 8; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(i + (int)(long)arg);
        sum += code_of(pid);
    }
    return (void *)sum;
}

CASE(fork, from_eight_threads_at_once)
{
    pthread_t threads[8];
    long sum = 0;
    void *part;
    for (long i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, fork_some, (void *)i);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], &part);
        sum += (long)part;
    }
    SHOW("%ld", sum);
}

static void *fork_and_count(void *arg)
{
    (void)arg;
    pid_t pid = fork();
    if (pid == 0) {
        int tasks = 0;
        char line[256];
        FILE *f = fopen("/proc/self/status", "r");
        while (f && fgets(line, sizeof line, f))
            if (sscanf(line, "Threads: %d", &tasks) == 1)
                break;
        _exit(tasks);
    }
    return (void *)(long)code_of(pid);
}

CASE(fork, only_the_caller_lives_on)
{
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, fork_and_count, NULL);
    pthread_join(thread, &result);
    SHOW("threads in the child: %ld", (long)result);
}

static int before, after, child_after;
static void count_before(void)
{
    before++;
}
static void count_after(void)
{
    after++;
}
static void count_child(void)
{
    child_after++;
}

CASE(fork, atfork_handlers)
{
    pthread_atfork(count_before, count_after, count_child);
    CHILD(before * 100 + after * 10 + child_after);
    SHOW("%d %d %d", before, after, child_after);
}

CASE(fork, threads_from_the_child)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        void *result;
        pthread_create(&thread, NULL, fork_some, (void *)1l);
        pthread_join(thread, &result);
        _exit((int)(long)result);
    }
    SHOW("%d", code_of(pid));
}

CASE(fork, protection_is_inherited)
{
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    p[0] = 1;
    mprotect(p, 4096, PROT_READ);
    pid_t pid = fork();
    if (pid == 0) {
        p[4096] = 1;
        p[0] = 2;
        _exit(0);
    }
    SHOW("%d", code_of(pid));
}

CASE(fork, child_changes_its_own_mappings)
{
    char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    p[0] = 5;
    pid_t pid = fork();
    if (pid == 0) {
        munmap(p, 8192);
        _exit(0);
    }
    SHOW("%d %d", code_of(pid), p[0]);
}

CASE(fork, orphan_goes_to_a_reaper)
{
    int ends[2];
    char c = 0;
    TRY(pipe(ends));
    pid_t pid = fork();
    if (pid == 0) {
        pid_t parent = getpid();
        if (fork() == 0) {
            while (getppid() == parent)
                sched_yield();
            c = 'r';
            if (write(ends[1], &c, 1) != 1)
                _exit(1);
            _exit(0);
        }
        _exit(0);
    }
    SHOW("%d", code_of(pid));
    TRY(read(ends[0], &c, 1));
    SHOW("%c", c);
}

/* ---- vfork ---- */

CASE(vfork, parent_waits_for_exit)
{
    static volatile int order;
    pid_t pid = vfork();
    if (pid == 0) {
        order = 1;
        _exit(3);
    }
    SHOW("%d %d", order, code_of(pid));
}

CASE(vfork, shares_memory)
{
    volatile int value = 1;
    pid_t pid = vfork();
    if (pid == 0) {
        value = 2;
        _exit(0);
    }
    SHOW("%d %d", value, code_of(pid));
}

CASE(vfork, failing_exec_tells_its_errno)
{
    volatile int error = 0;
    pid_t pid = vfork();
    if (pid == 0) {
        execl("/nowhere/at/all", "x", NULL);
        error = errno;
        _exit(127);
    }
    SHOW("%s %d", strerrorname_np(error), code_of(pid));
}

CASE(vfork, descriptors_are_its_own)
{
    int fd = open("/dev/null", O_RDONLY);
    pid_t pid = vfork();
    if (pid == 0) {
        close(fd);
        _exit(0);
    }
    SHOW("%d %d", code_of(pid), fcntl(fd, F_GETFD));
}

CASE(vfork, handlers_are_its_own)
{
    struct sigaction action;
    pid_t pid = vfork();
    if (pid == 0) {
        signal(SIGUSR1, SIG_IGN);
        _exit(0);
    }
    sigaction(SIGUSR1, NULL, &action);
    SHOW("%d %d", code_of(pid), action.sa_handler == SIG_DFL);
}

CASE(vfork, mask_is_its_own)
{
    sigset_t set, now;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pid_t pid = vfork();
    if (pid == 0) {
        sigprocmask(SIG_BLOCK, &set, NULL);
        _exit(0);
    }
    sigprocmask(SIG_BLOCK, NULL, &now);
    SHOW("%d %d", code_of(pid), sigismember(&now, SIGUSR1));
}

CASE(vfork, exec)
{
    pid_t pid = vfork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", "exit 9", NULL);
        _exit(127);
    }
    SHOW("%d", code_of(pid));
}

CASE(vfork, killed)
{
    pid_t pid = vfork();
    if (pid == 0)
        kill(getpid(), SIGKILL);
    SHOW("%d", code_of(pid));
}

CASE(vfork, maps_memory_for_its_parent)
{
    char *volatile p = NULL;
    pid_t pid = vfork();
    if (pid == 0) {
        p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        p[10] = 3;
        _exit(0);
    }
    SHOW("%d %d", code_of(pid), p[10]);
}

/* ---- posix_spawn ---- */

static void spawn(const char *path, char **argv, const posix_spawn_file_actions_t *files,
                  const posix_spawnattr_t *attributes)
{
    pid_t pid = -1;
    int error = posix_spawn(&pid, path, files, attributes, argv, environ);
    if (error)
        SHOW("%s: %s", path, strerrorname_np(error));
    else
        SHOW("%s: %d", path, code_of(pid));
}

CASE(posix_spawn, errors)
{
    char *argv[] = {"x", NULL};
    close(open("plain", O_CREAT | O_WRONLY, 0755));
    close(open("private", O_CREAT | O_WRONLY, 0644));
    symlink("loop", "loop");
    spawn("/nowhere", argv, NULL, NULL);
    spawn("./plain", argv, NULL, NULL);
    spawn("./private", argv, NULL, NULL);
    spawn("./loop", argv, NULL, NULL);
    spawn("/tmp", argv, NULL, NULL);
    spawn("./plain/x", argv, NULL, NULL);
    spawn("", argv, NULL, NULL);
}

CASE(posix_spawn, runs)
{
    char *argv[] = {"sh", "-c", "exit 6", NULL};
    spawn("/bin/sh", argv, NULL, NULL);
}

CASE(posix_spawn, file_actions)
{
    char *argv[] = {"sh", "-c", "echo to the file; echo x >&5; test ! -e /proc/self/fd/6", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    dup2(0, 6);
    posix_spawn_file_actions_addopen(&actions, 1, "out", O_CREAT | O_WRONLY, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 5);
    posix_spawn_file_actions_addclose(&actions, 6);
    spawn("/bin/sh", argv, &actions, NULL);
    struct stat s;
    TRY(stat("out", &s));
    SHOW("%ld", (long)s.st_size);
}

CASE(posix_spawn, failing_file_action)
{
    char *argv[] = {"true", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 3, "/nowhere/x", O_RDONLY, 0);
    spawn("/bin/true", argv, &actions, NULL);
}

CASE(posix_spawn, group_and_mask)
{
    char *argv[] = {"sh", "-c", "kill -TERM $$; exit 3", NULL};
    posix_spawnattr_t a;
    sigset_t set;
    posix_spawnattr_init(&a);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    posix_spawnattr_setsigmask(&a, &set);
    posix_spawnattr_setpgroup(&a, 0);
    posix_spawnattr_setflags(&a, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    spawn("/bin/sh", argv, NULL, &a);
}

CASE(posix_spawn, default_signals)
{
    char *argv[] = {"sh", "-c", "kill -TERM $$; exit 3", NULL};
    posix_spawnattr_t a;
    sigset_t set;
    signal(SIGTERM, SIG_IGN);
    spawn("/bin/sh", argv, NULL, NULL);
    posix_spawnattr_init(&a);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    posix_spawnattr_setsigdefault(&a, &set);
    posix_spawnattr_setflags(&a, POSIX_SPAWN_SETSIGDEF);
    spawn("/bin/sh", argv, NULL, &a);
}

CASE(posix_spawn, session)
{
    char *argv[] = {"sh", "-c", "set -- $(cat /proc/$$/stat); test $1 = $6", NULL};
    posix_spawnattr_t a;
    posix_spawnattr_init(&a);
    posix_spawnattr_setflags(&a, POSIX_SPAWN_SETSID);
    spawn("/bin/sh", argv, NULL, &a);
}

static void *spawn_some(void *arg)
{
    char *argv[] = {"true", NULL};
    long good = 0;
    (void)arg;
    for (int i = 0; i < 3; i++) {
        pid_t pid;
        if (posix_spawn(&pid, "/bin/true", NULL, NULL, argv, environ) == 0)
            good += code_of(pid) == 0;
    }
    return (void *)good;
}

CASE(posix_spawn, from_four_threads)
{
    pthread_t threads[4];
    void *part;
    long good = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, spawn_some, NULL);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &part);
        good += (long)part;
    }
    SHOW("%ld", good);
}

CASE(posix_spawn, system_and_popen)
{
    TRY(system("exit 7"));
    TRY(system("kill -9 $$"));
    TRY(system(NULL));
    FILE *f = popen("echo through; exit 2", "r");
    char line[32] = "";
    if (fgets(line, sizeof line, f))
        printf("%s", line);
    TRY(pclose(f));
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

CASE(exit, atexit_runs)
{
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        atexit(count_before);
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
