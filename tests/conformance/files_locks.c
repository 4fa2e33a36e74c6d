/* What locks belong to: processes, and descriptions over fork, exec and messages. */
#include "children.h"
#include "files.h"

#include <poll.h>
#include <pthread.h>
#include <sys/file.h>
#include <sys/socket.h>

extern char **environ;

/* Of another description: the file's flock, OFD locks, and for another process POSIX locks. */
static void show_locks(const char *when)
{
    int fd = open("f", O_RDWR);
    int rc = flock(fd, LOCK_EX | LOCK_NB);
    struct flock l = {.l_type = F_WRLCK};
    fcntl(fd, F_OFD_GETLK, &l);
    SHOW("%s: flock %s, records %s of %s", when, rc ? "held" : "free",
         l.l_type == F_UNLCK ? "none" : "some", l.l_pid == -1 ? "a description" : "a process");
    close(fd);
}

static int record(int fd, int command, int type, long start, long length)
{
    struct flock l = {.l_type = type, .l_start = start, .l_len = length};
    return fcntl(fd, command, &l);
}

/* A child that does nothing until it is told to end, by the closing of what it is given. */
struct child {
    pid_t pid;
    int until;
};

static struct child start(const char *program)
{
    int ends[2];
    pipe2(ends, O_CLOEXEC);
    pid_t pid = must_fork();
    if (pid == 0) {
        char byte;
        char *argv[] = {"cat", NULL};
        close(ends[1]);
        dup2(ends[0], 0);
        if (program)
            execve(program, argv, environ);
        else
            read(0, &byte, 1);
        _exit(0);
    }
    close(ends[0]);
    return (struct child){pid, ends[1]};
}

static void end(struct child c)
{
    close(c.until);
    SHOW("child ends with %d", code_of(c.pid));
}

CASE(flock, over_fork)
{
    int fd = file_with("f", "x");
    TRY(flock(fd, LOCK_EX));
    struct child c = start(NULL);
    close(fd);
    show_locks("closed here, open in the child");
    end(c);
    show_locks("the child has ended");
}

CASE(flock, taken_in_the_child)
{
    int fd = file_with("f", "x");
    if (must_fork() == 0) {
        TRY(flock(fd, LOCK_EX | LOCK_NB));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    show_locks("taken by a child that ended");
    TRY(flock(fd, LOCK_EX | LOCK_NB));
    close(fd);
    show_locks("closed");
}

CASE(flock, given_back_in_the_child)
{
    int fd = file_with("f", "x");
    TRY(flock(fd, LOCK_EX));
    if (must_fork() == 0) {
        TRY(flock(fd, LOCK_UN));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    show_locks("given back by the child");
}

CASE(flock, closed_in_the_child)
{
    int fd = file_with("f", "x");
    TRY(flock(fd, LOCK_EX));
    if (must_fork() == 0) {
        close(fd);
        _exit(0);
    }
    wait(NULL);
    show_locks("closed by the child");
}

CASE(flock, over_exec)
{
    int fd = file_with("f", "x");
    TRY(flock(fd, LOCK_EX));
    struct child c = start("/bin/cat");
    close(fd);
    show_locks("open in the program that the child executed");
    end(c);
    show_locks("it has ended");
}

CASE(flock, over_exec_closed)
{
    int fd = file_with("f", "x");
    TRY(fcntl(fd, F_SETFD, FD_CLOEXEC));
    TRY(flock(fd, LOCK_EX));
    struct child c = start("/bin/cat");
    /* The exec is over when cat answers nothing: it has ended by then, at the latest. */
    close(fd);
    end(c);
    show_locks("closed on exec");
}

CASE(flock, shell_redirection)
{
    file_with("f", "x");
    fflush(stdout);
    SHOW("%d", system("exec 9>f; flock 9; flock -n f true; echo held: $?; (flock -n 9; echo $?);"
                      "exec 9>&-; flock -n f true; echo free: $?"));
    SHOW("%d", system("(flock 9; sleep 0.2 & ) 9>f; flock -n f true; echo held by what was left: $?"
                      "; flock f true; echo $?"));
}

CASE(flock, copies)
{
    int fd = file_with("f", "x"), copy = dup(fd);
    TRY(flock(fd, LOCK_EX));
    close(fd);
    show_locks("a copy is left");
    TRY(flock(copy, LOCK_SH));
    int other = open("f", O_RDONLY);
    TRY(flock(other, LOCK_SH | LOCK_NB));
    TRY(flock(other, LOCK_EX | LOCK_NB));
    show_locks("the first one's is left");
    close(copy);
    TRY(flock(other, LOCK_EX | LOCK_NB));
    show_locks("the other one's");
}

static void send_fd(int socket, int fd)
{
    char data = 'x';
    struct iovec iov = {&data, 1};
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
    TRY(sendmsg(socket, &m, 0));
}

static int receive_fd(int socket)
{
    char data;
    int fd = -1;
    struct iovec iov = {&data, 1};
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof control.bytes};
    TRY(recvmsg(socket, &m, 0));
    memcpy(&fd, CMSG_DATA(&control.head), sizeof fd);
    return fd;
}

CASE(flock, sent)
{
    int ends[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    pid_t pid = must_fork();
    if (pid == 0) {
        int fd = file_with("f", "x");
        TRY(flock(fd, LOCK_EX));
        send_fd(ends[1], fd);
        fflush(stdout);
        _exit(0);
    }
    code_of(pid);
    show_locks("on its way, its sender has ended");
    int fd = receive_fd(ends[0]);
    show_locks("received");
    TRY(flock(fd, LOCK_EX | LOCK_NB));
    close(fd);
    show_locks("closed");
}

CASE(flock, sent_to_itself)
{
    int ends[2], fd = file_with("f", "x");
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    TRY(flock(fd, LOCK_EX));
    send_fd(ends[1], fd);
    close(fd);
    show_locks("on its way");
    fd = receive_fd(ends[0]);
    show_locks("received");
    close(fd);
    show_locks("closed");
}

static void handler(int signal)
{
}

CASE(flock, interrupted)
{
    int fd = file_with("f", "x"), other = open("f", O_RDONLY);
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGALRM, &action, NULL);
    flock(fd, LOCK_EX);
    ualarm(50000, 0);
    TRY(flock(other, LOCK_EX));
    TRY(flock(fd, LOCK_UN));
    show_locks("who was interrupted has none");
}

CASE(flock, killed_waiter)
{
    int fd = file_with("f", "x");
    flock(fd, LOCK_EX);
    pid_t pid = must_fork();
    if (pid == 0) {
        int other = open("f", O_RDONLY);
        flock(other, LOCK_EX);
        _exit(1);
    }
    usleep(50000);
    kill(pid, SIGKILL);
    SHOW("%d", code_of(pid));
    TRY(flock(fd, LOCK_UN));
    show_locks("a killed waiter has none");
}

CASE(fcntl, ofd_over_fork)
{
    int fd = file_with("f", "0123456789");
    TRY(record(fd, F_OFD_SETLK, F_WRLCK, 0, 5));
    struct child c = start(NULL);
    close(fd);
    show_locks("closed here, open in the child");
    end(c);
    show_locks("the child has ended");
}

CASE(fcntl, ofd_over_exec)
{
    int fd = file_with("f", "0123456789");
    TRY(record(fd, F_OFD_SETLK, F_WRLCK, 0, 5));
    struct child c = start("/bin/cat");
    close(fd);
    show_locks("open in the program that the child executed");
    end(c);
    show_locks("it has ended");
}

CASE(fcntl, ofd_and_closing)
{
    int fd = file_with("f", "0123456789");
    TRY(record(fd, F_OFD_SETLK, F_WRLCK, 0, 5));
    close(open("f", O_RDWR));
    show_locks("closing another one leaves them");
    if (must_fork() == 0) {
        TRY(record(fd, F_OFD_SETLK, F_UNLCK, 0, 0));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    show_locks("given back by the child");
}

CASE(fcntl, ofd_waits)
{
    int fd = file_with("f", "0123456789"), other = open("f", O_RDWR);
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGALRM, &action, NULL);
    TRY(record(fd, F_OFD_SETLK, F_WRLCK, 0, 5));
    ualarm(50000, 0);
    TRY(record(other, F_OFD_SETLKW, F_WRLCK, 4, 5));
    TRY(record(other, F_OFD_SETLKW, F_WRLCK, 5, 5));
    pid_t pid = must_fork();
    if (pid == 0) {
        usleep(50000);
        record(fd, F_OFD_SETLK, F_UNLCK, 0, 0);
        _exit(0);
    }
    TRY(record(other, F_OFD_SETLKW, F_WRLCK, 0, 0));
    code_of(pid);
}

/* Who is in the way of another process. */
static void show_owner(const char *when, pid_t expected)
{
    if (must_fork() == 0) {
        int fd = open("f", O_RDWR);
        struct flock l = {.l_type = F_WRLCK};
        TRY(fcntl(fd, F_GETLK, &l));
        SHOW("%s: type %d from %ld length %ld, %s", when, l.l_type, (long)l.l_start, (long)l.l_len,
             l.l_type == F_UNLCK   ? "nobody"
             : l.l_pid == expected ? "the expected one"
             : l.l_pid == -1       ? "a description"
                                   : "another one");
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

CASE(fcntl, owners)
{
    int fd = file_with("f", "0123456789");
    record(fd, F_SETLK, F_WRLCK, 2, 3);
    show_owner("a process's", getpid());
    record(fd, F_SETLK, F_UNLCK, 0, 0);
    record(fd, F_OFD_SETLK, F_RDLCK, 2, 3);
    show_owner("a description's", getpid());
}

CASE(fcntl, posix_not_inherited)
{
    int fd = file_with("f", "0123456789");
    TRY(record(fd, F_SETLK, F_WRLCK, 0, 0));
    if (must_fork() == 0) {
        TRY(record(fd, F_SETLK, F_WRLCK, 0, 0));
        TRY(record(fd, F_SETLK, F_UNLCK, 0, 0));
        close(fd);
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    show_owner("what the child does changes nothing", getpid());
}

/* The locks of this process after it has executed cat, seen by a child that it had before. */
static void exec_with_locks(void (*before)(int fd), bool from_a_thread)
{
    int fd = file_with("f", "0123456789"), ends[2], told[2];
    pid_t self = getpid();
    pipe2(ends, 0);
    pipe2(told, O_CLOEXEC);
    if (must_fork() == 0) {
        char byte;
        close(ends[0]);
        close(told[1]);
        close(fd);
        read(told[0], &byte, 1); /* its end: the other one has executed */
        show_owner("after exec", self);
        fflush(stdout);
        _exit(0);
    }
    close(ends[1]);
    record(fd, F_SETLK, F_WRLCK, 1, 2);
    before(fd);
    dup2(ends[0], 0);
    char *argv[] = {"cat", NULL};
    execve("/bin/cat", argv, environ);
}

static void nothing(int fd)
{
}

static void close_on_exec(int fd)
{
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

static void copy_closed_on_exec(int fd)
{
    fcntl(fd, F_DUPFD_CLOEXEC, 100);
}

CASE(fcntl, posix_over_exec)
{
    exec_with_locks(nothing, false);
}

CASE(fcntl, posix_over_exec_closed)
{
    exec_with_locks(close_on_exec, false);
}

CASE(fcntl, posix_over_exec_copy_closed)
{
    exec_with_locks(copy_closed_on_exec, false);
}

static void *use_files(void *name)
{
    for (int i = 0; i < 200; i++) {
        int fd = open(name, O_RDWR | O_CREAT, 0644);
        char bytes[64];
        pwrite(fd, bytes, sizeof bytes, 0);
        pread(fd, bytes, sizeof bytes, 0);
        close(fd);
    }
    return NULL;
}

static void *exec_from_here(void *unused)
{
    exec_with_locks(nothing, true);
    return NULL;
}

CASE(fcntl, posix_over_exec_of_a_thread)
{
    pthread_t users[3], t;
    static char *const names[] = {"a", "b", "c"};
    for (int i = 0; i < 3; i++)
        pthread_create(&users[i], NULL, use_files, names[i]);
    for (int i = 0; i < 3; i++)
        pthread_join(users[i], NULL);
    pthread_create(&t, NULL, exec_from_here, NULL);
    pthread_join(t, NULL);
}

CASE(fcntl, closing_after_exec)
{
    int fd = file_with("f", "0123456789");
    record(fd, F_SETLK, F_WRLCK, 0, 0);
    fflush(stdout);
    /* Redirections of the new program open and close descriptors of the file. */
    execl("/bin/bash", "bash", "-c",
          "python3 -c 'import fcntl; f = open(\"f\", \"r+\"); fcntl.lockf(f, fcntl.LOCK_EX | "
          "fcntl.LOCK_NB)' "
          "2>/dev/null; echo held: $?; : <f; exec 8<f; exec 8<&-;"
          "python3 -c 'import fcntl; f = open(\"f\", \"r+\"); fcntl.lockf(f, fcntl.LOCK_EX | "
          "fcntl.LOCK_NB)' "
          "2>/dev/null; echo free: $?",
          NULL);
}

CASE(fcntl, deadlock)
{
    int fd = file_with("f", "0123456789"), ready[2];
    pipe2(ready, 0);
    fflush(stdout);
    record(fd, F_SETLK, F_WRLCK, 0, 1);
    pid_t pid = must_fork();
    if (pid == 0) {
        record(fd, F_SETLK, F_WRLCK, 5, 1);
        write(ready[1], "x", 1);
        int rc = record(fd, F_SETLKW, F_WRLCK, 0, 1);
        _exit(rc ? errno : 0);
    }
    char byte;
    read(ready[0], &byte, 1);
    usleep(100000);
    TRY(record(fd, F_SETLKW, F_WRLCK, 5, 1));
    TRY(record(fd, F_SETLK, F_UNLCK, 0, 1));
    SHOW("the other one: %d", code_of(pid));
    TRY(record(fd, F_SETLKW, F_WRLCK, 5, 1));
}

CASE(fcntl, no_deadlock_of_descriptions)
{
    int a = file_with("f", "0123456789"), b = open("f", O_RDWR);
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGALRM, &action, NULL);
    record(a, F_OFD_SETLK, F_WRLCK, 0, 1);
    record(b, F_OFD_SETLK, F_WRLCK, 5, 1);
    pid_t pid = must_fork();
    if (pid == 0) {
        alarm(1);
        record(a, F_OFD_SETLKW, F_WRLCK, 5, 1);
        _exit(0);
    }
    usleep(100000);
    ualarm(100000, 0);
    TRY(record(b, F_OFD_SETLKW, F_WRLCK, 0, 1));
    kill(pid, SIGKILL);
    code_of(pid);
}

static void *lock_in_a_thread(void *fd)
{
    return (void *)(long)record((int)(long)fd, F_SETLK, F_WRLCK, 0, 0);
}

CASE(fcntl, threads_are_one_owner)
{
    int fd = file_with("f", "0123456789");
    pthread_t t;
    void *rc;
    record(fd, F_SETLK, F_WRLCK, 0, 5);
    pthread_create(&t, NULL, lock_in_a_thread, (void *)(long)fd);
    pthread_join(t, &rc);
    SHOW("%ld", (long)rc);
    show_owner("the thread has ended", getpid());
}
