/* fork, vfork, clone and posix_spawn: what the child has, what is refused, from many threads. */
#include "children.h"

#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

extern char **environ;

/* Runs the expression in a fork child; its value (0 to 255) is the child's exit code. */
#define CHILD(expression)                                                                          \
    ({                                                                                             \
        pid_t pid_ = fork();                                                                       \
        if (pid_ == 0)                                                                             \
            _exit((expression)&0xff);                                                              \
        SHOW(#expression " in the child: %d", code_of(pid_));                                      \
    })

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
    int code = code_of(pid);
    SHOW("%d %ld", code, (long)lseek(fd, 0, SEEK_CUR));
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
