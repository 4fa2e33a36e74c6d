/* kcmp: what processes and threads share; the order of what they do not share is not shown. */
#include "conformance.h"

#include <linux/kcmp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/sem.h>

/* Same, other, or the errno's name: "greater" and "less" differ from run to run. */
static void compare(const char *what, pid_t one, pid_t two, int type, unsigned long a,
                    unsigned long b)
{
    errno = 0;
    long rc = syscall(SYS_kcmp, one, two, type, a, b);
    SHOW("%s: %s", what, rc == 0 ? "same" : rc > 0 ? "other" : strerrorname_np(errno));
}

/* What is no file, between this process and another. */
static void compare_all(pid_t one, pid_t two)
{
    compare("vm", one, two, KCMP_VM, 0, 0);
    compare("files", one, two, KCMP_FILES, 0, 0);
    compare("fs", one, two, KCMP_FS, 0, 0);
    compare("sighand", one, two, KCMP_SIGHAND, 0, 0);
    compare("sysvsem", one, two, KCMP_SYSVSEM, 0, 0);
}

CASE(kcmp, oneself)
{
    compare_all(getpid(), getpid());
}

CASE(kcmp, files)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644), again = open("f", O_RDWR), copy = dup(fd), p[2];
    int null = open("/dev/null", O_RDWR), path = open(".", O_PATH);
    pipe(p);
    compare("itself", getpid(), getpid(), KCMP_FILE, fd, fd);
    compare("duplicate", getpid(), getpid(), KCMP_FILE, fd, copy);
    compare("opened again", getpid(), getpid(), KCMP_FILE, fd, again);
    compare("ends of a pipe", getpid(), getpid(), KCMP_FILE, p[0], p[1]);
    compare("device", getpid(), getpid(), KCMP_FILE, null, null);
    compare("O_PATH", getpid(), getpid(), KCMP_FILE, path, path);
    close(copy);
    compare("closed", getpid(), getpid(), KCMP_FILE, fd, copy);
    compare("closed", getpid(), getpid(), KCMP_FILE, copy, fd);
    compare("negative", getpid(), getpid(), KCMP_FILE, fd, -1);
    compare("beyond", getpid(), getpid(), KCMP_FILE, 1 << 30, fd);
}

/* Runs `f` while a child waits for the end of a pipe. */
static void with_child(void (*f)(pid_t child))
{
    int p[2];
    pipe(p);
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(p[1]);
        read(p[0], &byte, 1);
        _exit(0);
    }
    close(p[0]);
    f(child);
    close(p[1]);
    waitpid(child, NULL, 0);
}

static int inherited;

static void look_at_child(pid_t child)
{
    int later = open("f", O_RDWR);
    compare_all(getpid(), child);
    compare_all(child, child);
    compare("inherited", getpid(), child, KCMP_FILE, inherited, inherited);
    compare("not inherited", getpid(), child, KCMP_FILE, later, later);
    compare("not inherited", child, getpid(), KCMP_FILE, inherited, later);
}

CASE(kcmp, child)
{
    inherited = open("f", O_RDWR | O_CREAT, 0644);
    with_child(look_at_child);
}

static void look_at_undo(pid_t child)
{
    int id = semget(IPC_PRIVATE, 1, 0600);
    struct sembuf up = {0, 1, SEM_UNDO};
    semop(id, &up, 1);
    compare("sysvsem", getpid(), child, KCMP_SYSVSEM, 0, 0);
    semctl(id, 0, IPC_RMID);
}

CASE(kcmp, semaphores_to_undo)
{
    with_child(look_at_undo);
}

static void *a_thread(void *arg)
{
    compare_all(getpid(), (pid_t)syscall(SYS_gettid));
    return NULL;
}

CASE(kcmp, thread)
{
    pthread_t thread;
    pthread_create(&thread, NULL, a_thread, NULL);
    pthread_join(thread, NULL);
}

CASE(kcmp, vfork_child)
{
    pid_t parent = getpid(), child = vfork();
    if (child == 0) {
        compare_all(parent, getpid());
        _exit(0);
    }
    waitpid(child, NULL, 0);
}

CASE(kcmp, files_of_an_epoll)
{
    int epoll = epoll_create1(0), p[2], q[2];
    struct epoll_event event = {EPOLLIN};
    pipe(p);
    pipe(q);
    epoll_ctl(epoll, EPOLL_CTL_ADD, p[0], &event);
    struct kcmp_epoll_slot slot = {epoll, p[0], 0};
    compare("in it", getpid(), getpid(), KCMP_EPOLL_TFD, p[0], (uintptr_t)&slot);
    compare("another", getpid(), getpid(), KCMP_EPOLL_TFD, q[0], (uintptr_t)&slot);
    slot.toff = 1;
    compare("second of one", getpid(), getpid(), KCMP_EPOLL_TFD, p[0], (uintptr_t)&slot);
    slot = (struct kcmp_epoll_slot){epoll, q[0], 0};
    compare("not in it", getpid(), getpid(), KCMP_EPOLL_TFD, q[0], (uintptr_t)&slot);
    slot = (struct kcmp_epoll_slot){p[0], p[0], 0};
    compare("no epoll", getpid(), getpid(), KCMP_EPOLL_TFD, p[0], (uintptr_t)&slot);
    slot.efd = 1000;
    compare("closed", getpid(), getpid(), KCMP_EPOLL_TFD, p[0], (uintptr_t)&slot);
    compare("nowhere", getpid(), getpid(), KCMP_EPOLL_TFD, p[0], (uintptr_t)BAD_POINTER);
    compare("null", getpid(), getpid(), KCMP_EPOLL_TFD, p[0], 0);
}

CASE(kcmp, errors)
{
    pid_t gone = fork();
    if (gone == 0)
        _exit(0);
    waitpid(gone, NULL, 0);
    compare("gone", gone, getpid(), KCMP_VM, 0, 0);
    compare("gone", getpid(), gone, KCMP_FILE, 0, 0);
    compare("gone", gone, gone, KCMP_FILE, 1 << 30, 0);
    compare("zero", 0, getpid(), KCMP_VM, 0, 0);
    compare("init", 1, getpid(), KCMP_VM, 0, 0);
    compare("type", getpid(), getpid(), KCMP_TYPES, 0, 0);
    compare("type", getpid(), getpid(), -1, 0, 0);
}
