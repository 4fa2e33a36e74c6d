/* Descriptors as such: dup, close, fcntl, limits, locks, what exec and fork leave. */
#include "files.h"

#include <linux/close_range.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/socket.h>

CASE(dup, forms)
{
    int fd = open("/dev/null", O_RDONLY);
    TRY(dup(fd) - fd);
    TRY(dup(-1));
    TRY(dup(999));
    TRY(dup(INT_MAX));
    TRY(fcntl(dup(open("/dev/null", O_CLOEXEC)), F_GETFD));
}

CASE(dup2, forms)
{
    int fd = file_with("f", "hello");
    TRY(dup2(fd, 50));
    TRY(dup2(fd, fd) == fd);
    TRY(dup2(99, 50));
    TRY(dup2(fd, -1));
    TRY(dup2(99, 99));
    TRY(dup2(fd, 1 << 30));
    TRY(dup2(fd, INT_MAX));
    AT(50);
    TRY(fcntl(50, F_GETFD));
}

CASE(dup2, same_keeps_flags)
{
    int fd = open("/dev/null", O_CLOEXEC);
    TRY(dup2(fd, fd) == fd);
    TRY(fcntl(fd, F_GETFD));
    TRY(dup2(fd, 60));
    TRY(fcntl(60, F_GETFD));
}

CASE(dup2, closes_the_old)
{
    int ends[2];
    char b;
    TRY(pipe(ends));
    TRY(dup2(open("/dev/null", O_RDONLY), ends[1]) == ends[1]);
    TRY(read(ends[0], &b, 1));
}

CASE(dup3, forms)
{
    int fd = open("/dev/null", O_RDONLY);
    TRY(dup3(fd, 50, O_CLOEXEC));
    TRY(fcntl(50, F_GETFD));
    TRY(dup3(fd, 50, 0));
    TRY(fcntl(50, F_GETFD));
    TRY(dup3(fd, fd, 0));
    TRY(dup3(fd, 50, O_NONBLOCK));
    TRY(dup3(99, 50, 0));
    TRY(dup3(99, 99, 0));
    TRY(dup3(fd, -1, 0));
}

CASE(close, forms)
{
    int fd = open("/dev/null", O_RDONLY);
    TRY(close(fd));
    TRY(close(fd));
    TRY(close(-1));
    TRY(close(INT_MAX));
    TRY(close(100000));
}

CASE(close, of_a_duplicate)
{
    char b[8];
    int fd = file_with("f", "hello"), copy = dup(fd);
    TRY(close(fd));
    TRY(read(copy, b, 8));
}

CASE(close_range, forms)
{
    for (int i = 40; i < 50; i++)
        dup2(1, i);
    TRY(close_range(42, 44, 0));
    for (int i = 40; i < 50; i++)
        SHOW("%d %d", i, fcntl(i, F_GETFD));
    TRY(close_range(46, 45, 0));
    TRY(close_range(46, 47, CLOSE_RANGE_CLOEXEC));
    TRY(fcntl(46, F_GETFD));
    TRY(fcntl(48, F_GETFD));
    TRY(close_range(46, 47, 1 << 5));
    TRY(close_range(45, ~0u, 0));
    TRY(fcntl(49, F_GETFD));
    TRY(fcntl(41, F_GETFD));
    TRY(close_range(41, 41, CLOSE_RANGE_UNSHARE));
    TRY(fcntl(41, F_GETFD));
}

CASE(fcntl, dupfd)
{
    int fd = file_with("f", "hello");
    TRY(fcntl(fd, F_DUPFD, 70));
    TRY(fcntl(fd, F_DUPFD, 70));
    TRY(fcntl(fd, F_DUPFD_CLOEXEC, 80));
    TRY(fcntl(80, F_GETFD));
    TRY(fcntl(70, F_GETFD));
    TRY(fcntl(fd, F_DUPFD, -1));
    TRY(fcntl(fd, F_DUPFD, 1 << 30));
    TRY(fcntl(99, F_DUPFD, 0));
}

CASE(fcntl, descriptor_flags)
{
    int fd = file_with("f", "hello");
    TRY(fcntl(fd, F_SETFD, FD_CLOEXEC));
    TRY(fcntl(fd, F_GETFD));
    TRY(fcntl(fd, F_SETFD, 0xfe));
    TRY(fcntl(fd, F_GETFD));
    TRY(fcntl(fd, F_SETFD, -1));
    TRY(fcntl(fd, F_GETFD));
    TRY(fcntl(99, F_GETFD));
    TRY(fcntl(99, F_SETFD, 1));
}

CASE(fcntl, status_flags)
{
    int fd = file_with("f", "hello"), copy = dup(fd);
    TRY(fcntl(fd, F_SETFL, O_APPEND));
    SHOW("%#x", fcntl(copy, F_GETFL));
    TRY(write(copy, "!", 1));
    show_file("f");
    TRY(fcntl(fd, F_SETFL, O_NONBLOCK));
    SHOW("%#x", fcntl(copy, F_GETFL));
    TRY(fcntl(fd, F_SETFL, O_RDONLY | O_CREAT | O_TRUNC));
    SHOW("%#x", fcntl(copy, F_GETFL));
    TRY(size_of("f"));
    TRY(fcntl(fd, F_SETFL, O_SYNC));
    SHOW("%#x", fcntl(copy, F_GETFL));
    TRY(fcntl(99, F_GETFL));
}

CASE(fcntl, pipe_flags)
{
    int ends[2];
    TRY(pipe2(ends, O_NONBLOCK | O_CLOEXEC));
    SHOW("%#x %#x", fcntl(ends[0], F_GETFL), fcntl(ends[1], F_GETFL));
    TRY(fcntl(ends[0], F_GETFD));
    TRY(fcntl(ends[0], F_SETFL, 0));
    SHOW("%#x", fcntl(ends[0], F_GETFL));
    TRY(fcntl(ends[0], F_SETFL, O_APPEND | O_ASYNC));
    SHOW("%#x", fcntl(ends[0], F_GETFL));
}

CASE(fcntl, unknown)
{
    int fd = file_with("f", "hello");
    TRY(fcntl(fd, 9999, 0));
    TRY(fcntl(fd, -1, 0));
    TRY(fcntl(99, 9999, 0));
    TRY(fcntl(fd, F_GETPIPE_SZ));
    TRY(fcntl(fd, F_SETPIPE_SZ, 4096));
}

CASE(fcntl, leases)
{
    int fd = file_with("f", "hello");
    TRY(fcntl(fd, F_GETLEASE));
    TRY(fcntl(fd, F_SETLEASE, 77));
    TRY(fcntl(fd, F_GETLEASE));
}

CASE(fcntl, owner)
{
    struct f_owner_ex owner = {F_OWNER_PID, getpid()};
    int ends[2];
    TRY(pipe(ends));
    TRY(fcntl(ends[0], F_GETOWN));
    TRY(fcntl(ends[0], F_SETOWN, getpid()));
    TRY(fcntl(ends[0], F_GETOWN) == getpid());
    TRY(fcntl(ends[0], F_SETOWN_EX, &owner));
    TRY(fcntl(ends[0], F_GETOWN_EX, &owner));
    SHOW("%d %d", owner.type, owner.pid == getpid());
    owner.type = 9;
    TRY(fcntl(ends[0], F_SETOWN_EX, &owner));
    TRY(fcntl(ends[0], F_SETOWN_EX, BAD_POINTER));
    TRY(fcntl(ends[0], F_GETOWN_EX, BAD_POINTER));
    TRY(fcntl(ends[0], F_SETOWN, INT_MAX));
    TRY(fcntl(ends[0], F_SETSIG, SIGUSR1));
    TRY(fcntl(ends[0], F_GETSIG));
    TRY(fcntl(ends[0], F_SETSIG, 200));
}

CASE(fcntl, signal_driven)
{
    int ends[2];
    sigset_t set;
    siginfo_t info;
    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    sigprocmask(SIG_BLOCK, &set, NULL);
    socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
    TRY(fcntl(ends[0], F_SETOWN, getpid()));
    TRY(fcntl(ends[0], F_SETFL, O_ASYNC));
    TRY(write(ends[1], "x", 1));
    TRY(sigwaitinfo(&set, &info) == SIGIO);
}

CASE(fcntl, seals)
{
    int fd = memfd_create("m", MFD_ALLOW_SEALING), closed = memfd_create("n", 0);
    TRY(fcntl(fd, F_GET_SEALS));
    TRY(fcntl(closed, F_GET_SEALS));
    TRY(write(fd, "hello", 5));
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    TRY(ftruncate(fd, 2));
    TRY(ftruncate(fd, 20));
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    TRY(write(fd, "x", 1));
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    TRY(fcntl(closed, F_ADD_SEALS, F_SEAL_WRITE));
    TRY(fcntl(fd, F_ADD_SEALS, 0x1000));
}

CASE(memfd_create, forms)
{
    OK(memfd_create("", 0));
    OK(memfd_create("a/b", MFD_CLOEXEC));
    OK(memfd_create(long_name(249), 0));
    TRY(memfd_create(long_name(250), 0));
    TRY(memfd_create(BAD_POINTER, 0));
    TRY(memfd_create("x", 0x1000));
}

CASE(rlimit_nofile, binds)
{
    struct rlimit limit, was;
    TRY(getrlimit(RLIMIT_NOFILE, &was));
    limit = was;
    limit.rlim_cur = 20;
    TRY(setrlimit(RLIMIT_NOFILE, &limit));
    int fd = open("/dev/null", O_RDONLY), last = fd;
    while (fd >= 0) {
        last = fd;
        fd = open("/dev/null", O_RDONLY);
    }
    TRY(last);
    TRY(open("/dev/null", O_RDONLY));
    TRY(open("new", O_RDWR | O_CREAT, 0644));
    TRY(size_of("new"));
    TRY(dup(0));
    TRY(dup2(0, 20));
    TRY(dup2(0, 19));
    TRY(fcntl(0, F_DUPFD, 20));
    TRY(fcntl(0, F_DUPFD, 5));
    int pair[2];
    TRY(pipe(pair));
    TRY(socket(AF_UNIX, SOCK_STREAM, 0));
    TRY(memfd_create("x", 0));
    TRY(setrlimit(RLIMIT_NOFILE, &was));
    OK(open("/dev/null", O_RDONLY));
}

CASE(rlimit_nofile, many)
{
    struct rlimit limit;
    TRY(getrlimit(RLIMIT_NOFILE, &limit));
    if (limit.rlim_max >= 5000)
        limit.rlim_cur = 5000;
    TRY(setrlimit(RLIMIT_NOFILE, &limit));
    int last = 0;
    for (int i = 0; i < 4500; i++)
        last = dup(0);
    TRY(last > 4400);
    TRY(dup2(0, 4999));
    TRY(dup2(0, 5000));
}

/* Whether a number is new among `seen`, and open. */
static int is_new(unsigned char *seen, int fd)
{
    struct stat st;
    return fd >= 0 && fd < 4096 && !seen[fd] && (seen[fd] = 1) && fstat(fd, &st) == 0;
}

/* Whatever makes a descriptor, with over a thousand open. */
CASE(rlimit_nofile, every_kind_of_many)
{
    static unsigned char seen[4096];
    struct rlimit limit;
    int pair[2], received, sockets[2], right = 0;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max >= 4000)
        limit.rlim_cur = 4000;
    TRY(setrlimit(RLIMIT_NOFILE, &limit));
    for (int i = 0; i < 1150; i++)
        (void)!dup(0);
    TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
    for (int i = 0; i < 20; i++) {
        right += is_new(seen, open("/dev/null", O_RDONLY));
        right += is_new(seen, open("new", O_RDWR | O_CREAT, 0644));
        right += is_new(seen, dup(0)) + is_new(seen, fcntl(1, F_DUPFD, 1100));
        right += is_new(seen, eventfd(0, 0)) + is_new(seen, epoll_create1(EPOLL_CLOEXEC));
        right += is_new(seen, memfd_create("x", MFD_CLOEXEC)) + is_new(seen, inotify_init());
        right += pipe(pair) == 0 && is_new(seen, pair[0]) && is_new(seen, pair[1]) &&
                 write(pair[1], "x", 1) == 1 && read(pair[0], &(char){0}, 1) == 1;
        right += socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0 && is_new(seen, pair[0]) &&
                 is_new(seen, pair[1]) && write(pair[1], "x", 1) == 1;
        union {
            struct cmsghdr head;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control = {.head = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
        struct msghdr m = {.msg_iov = &(struct iovec){"x", 1},
                           .msg_iovlen = 1,
                           .msg_control = &control,
                           .msg_controllen = sizeof control};
        memcpy(CMSG_DATA(&control.head), &pair[0], sizeof(int));
        char byte;
        right += sendmsg(sockets[0], &m, 0) == 1;
        m.msg_iov->iov_base = &byte;
        m.msg_controllen = sizeof control;
        right += recvmsg(sockets[1], &m, MSG_CMSG_CLOEXEC) == 1;
        memcpy(&received, CMSG_DATA(&control.head), sizeof(int));
        right += is_new(seen, received) && (fcntl(received, F_GETFD) & FD_CLOEXEC) &&
                 recv(received, &byte, 1, 0) == 1;
    }
    SHOW("%d", right);
    TRY(dup2(0, 3999));
    TRY(dup2(0, 1024));
    TRY(dup2(0, 2048));
    fflush(stdout);
    if (fork() == 0)
        _exit(fcntl(received, F_GETFD) == FD_CLOEXEC && dup(received) > 1200 ? 7 : 0);
    int status = 0;
    wait(&status);
    SHOW("%d", WEXITSTATUS(status));
    TRY(close_range(3, ~0u, 0));
    TRY(fcntl(received, F_GETFD));
    TRY(fcntl(3999, F_GETFD));
    SHOW("%d", open("/dev/null", O_RDONLY));
}

CASE(rlimit_nofile, the_highest)
{
    struct rlimit limit;
    TRY(getrlimit(RLIMIT_NOFILE, &limit));
    int highest = (int)limit.rlim_cur - 1;
    SHOW("%d", fcntl(0, F_DUPFD, highest) == highest);
    TRY(fcntl(0, F_DUPFD, highest + 1));
    TRY(dup2(0, highest + 1));
}

CASE(rlimit_nofile, lowered_below_open_ones)
{
    struct rlimit limit;
    TRY(dup2(1, 30));
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 10;
    TRY(setrlimit(RLIMIT_NOFILE, &limit));
    TRY(fcntl(30, F_GETFD));
    TRY(dup2(30, 31));
    TRY(close(30));
}

CASE(rlimit_nofile, over_exec)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = 77;
    setrlimit(RLIMIT_NOFILE, &limit);
    fflush(stdout);
    if (fork() == 0)
        execlp("sh", "sh", "-c", "ulimit -n", NULL);
    wait(NULL);
}

CASE(exec, descriptors)
{
    file_with("f", "hello");
    dup2(open("f", O_RDONLY), 30);
    dup3(open("f", O_RDONLY), 31, O_CLOEXEC);
    char b;
    TRY(read(30, &b, 1));
    fflush(stdout);
    if (fork() == 0)
        execlp("sh", "sh", "-c", "cat <&30; echo; cat <&31 2>/dev/null || echo closed", NULL);
    wait(NULL);
    AT(30);
}

/* ---- locks ---- */

static long lock(int fd, int command, int type, long start, long length)
{
    struct flock l = {.l_type = type, .l_start = start, .l_len = length};
    return fcntl(fd, command, &l);
}

/* What another process sees in the way. */
static void show_lock(const char *name, int type, long start, long length)
{
    fflush(stdout);
    pid_t parent = getpid();
    if (fork() == 0) {
        struct flock l = {.l_type = type, .l_start = start, .l_len = length};
        if (fcntl(open(name, O_RDWR), F_GETLK, &l) < 0)
            SHOW("%s", strerrorname_np(errno));
        else if (l.l_type == F_UNLCK)
            SHOW("free");
        else
            SHOW("%s %ld+%ld %s", l.l_type == F_RDLCK ? "read" : "write", (long)l.l_start,
                 (long)l.l_len,
                 l.l_pid == parent ? "parent"
                 : l.l_pid == -1   ? "-1"
                                   : "other");
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

CASE(posix_lock, ranges)
{
    int fd = file_with("f", "0123456789");
    TRY(lock(fd, F_SETLK, F_WRLCK, 2, 4));
    show_lock("f", F_RDLCK, 0, 2);
    show_lock("f", F_RDLCK, 0, 3);
    show_lock("f", F_WRLCK, 5, 0);
    show_lock("f", F_WRLCK, 6, 0);
    TRY(lock(fd, F_SETLK, F_UNLCK, 3, 1));
    show_lock("f", F_WRLCK, 3, 1);
    show_lock("f", F_WRLCK, 4, 1);
    TRY(lock(fd, F_SETLK, F_RDLCK, 2, 4));
    show_lock("f", F_RDLCK, 0, 0);
    show_lock("f", F_WRLCK, 0, 0);
    TRY(lock(fd, F_SETLK, F_UNLCK, 0, 0));
    show_lock("f", F_WRLCK, 0, 0);
}

CASE(posix_lock, errors)
{
    int fd = file_with("f", "0123456789");
    TRY(lock(fd, F_SETLK, 9, 0, 0));
    TRY(lock(fd, F_SETLK, F_WRLCK, -1, 0));
    TRY(lock(fd, F_SETLK, F_WRLCK, 0, -1));
    TRY(lock(fd, F_SETLK, F_WRLCK, 5, -5));
    TRY(lock(fd, F_SETLK, F_WRLCK, LONG_MAX, 2));
    TRY(lock(open("f", O_RDONLY), F_SETLK, F_WRLCK, 0, 0));
    TRY(lock(open("f", O_WRONLY), F_SETLK, F_RDLCK, 0, 0));
    TRY(lock(99, F_SETLK, F_WRLCK, 0, 0));
    TRY(fcntl(fd, F_SETLK, BAD_POINTER));
    TRY(lock(fd, F_GETLK, F_UNLCK, 0, 0));
    struct flock l = {.l_type = F_RDLCK, .l_whence = 9};
    TRY(fcntl(fd, F_SETLK, &l));
}

CASE(posix_lock, whence)
{
    int fd = file_with("f", "0123456789");
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -3, .l_len = 2};
    TRY(fcntl(fd, F_SETLK, &l));
    show_lock("f", F_WRLCK, 0, 0);
    TRY(lseek(fd, 4, SEEK_SET));
    l = (struct flock){.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_start = -4, .l_len = 1};
    TRY(fcntl(fd, F_SETLK, &l));
    show_lock("f", F_WRLCK, 0, 0);
}

CASE(posix_lock, any_close_ends_it)
{
    int fd = file_with("f", "0123456789");
    TRY(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    TRY(close(open("f", O_RDONLY)));
    show_lock("f", F_WRLCK, 0, 0);
}

CASE(posix_lock, not_over_fork)
{
    int fd = file_with("f", "0123456789");
    TRY(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    fflush(stdout);
    if (fork() == 0) {
        TRY(lock(fd, F_SETLK, F_WRLCK, 0, 0));
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
    show_lock("f", F_WRLCK, 0, 0);
}

CASE(posix_lock, ends_with_the_process)
{
    int fd = file_with("f", "0123456789");
    if (fork() == 0) {
        lock(fd, F_SETLK, F_WRLCK, 0, 0);
        kill(getpid(), SIGKILL);
    }
    wait(NULL);
    TRY(lock(fd, F_SETLKW, F_WRLCK, 0, 0));
}

CASE(posix_lock, waits)
{
    int fd = file_with("f", "0123456789"), ends[2];
    char b;
    pipe(ends);
    if (fork() == 0) {
        lock(fd, F_SETLK, F_WRLCK, 0, 0);
        write(ends[1], "x", 1);
        usleep(20000);
        _exit(0);
    }
    TRY(read(ends[0], &b, 1));
    TRY(lock(fd, F_SETLK, F_WRLCK, 0, 0));
    TRY(lock(fd, F_SETLKW, F_WRLCK, 0, 0));
    wait(NULL);
}

static void nothing(int signal)
{
}

CASE(posix_lock, wait_interrupted)
{
    struct sigaction action = {.sa_handler = nothing};
    int fd = file_with("f", "0123456789"), ends[2];
    char b;
    pipe(ends);
    pid_t child = fork();
    if (child == 0) {
        lock(fd, F_SETLK, F_WRLCK, 0, 0);
        write(ends[1], "x", 1);
        pause();
    }
    read(ends[0], &b, 1);
    sigaction(SIGALRM, &action, NULL);
    alarm(1);
    TRY(lock(fd, F_SETLKW, F_WRLCK, 0, 0));
    kill(child, SIGKILL);
    wait(NULL);
}

CASE(posix_lock, over_exec)
{
    int fd = file_with("f", "0123456789");
    fflush(stdout);
    mkfifo("go", 0600);
    pid_t child = fork();
    if (child == 0) {
        lock(fd, F_SETLK, F_WRLCK, 0, 5);
        execlp("sh", "sh", "-c", "echo x > ready; read line < go", NULL);
    }
    while (size_of("ready") <= 0)
        usleep(1000);
    show_lock("f", F_WRLCK, 0, 0);
    int go = open("go", O_WRONLY);
    write(go, "\n", 1);
    wait(NULL);
    show_lock("f", F_WRLCK, 0, 0);
}

CASE(ofd_lock, between_descriptions)
{
    int a = file_with("f", "0123456789"), b = open("f", O_RDWR), c = dup(a);
    TRY(lock(a, F_OFD_SETLK, F_WRLCK, 0, 5));
    TRY(lock(b, F_OFD_SETLK, F_WRLCK, 4, 2));
    TRY(lock(b, F_OFD_SETLK, F_WRLCK, 5, 2));
    TRY(lock(c, F_OFD_SETLK, F_WRLCK, 0, 5));
    show_lock("f", F_WRLCK, 0, 0);
    TRY(close(a));
    TRY(lock(b, F_OFD_SETLK, F_WRLCK, 0, 2));
    TRY(close(c));
    TRY(lock(b, F_OFD_SETLK, F_WRLCK, 0, 2));
}

CASE(ofd_lock, errors)
{
    int fd = file_with("f", "0123456789");
    struct flock l = {.l_type = F_WRLCK, .l_pid = 1};
    TRY(fcntl(fd, F_OFD_SETLK, &l));
    TRY(fcntl(fd, F_OFD_GETLK, &l));
    TRY(lock(open("f", O_RDONLY), F_OFD_SETLK, F_WRLCK, 0, 0));
}

CASE(flock, kinds)
{
    int a = file_with("f", ""), b = open("f", O_RDONLY), c = dup(a);
    TRY(flock(a, LOCK_SH));
    TRY(flock(b, LOCK_SH | LOCK_NB));
    TRY(flock(b, LOCK_EX | LOCK_NB));
    TRY(flock(a, LOCK_UN));
    TRY(flock(b, LOCK_EX | LOCK_NB));
    TRY(flock(c, LOCK_SH | LOCK_NB));
    TRY(close(b));
    TRY(flock(c, LOCK_EX | LOCK_NB));
    TRY(flock(a, LOCK_EX | LOCK_NB));
    TRY(flock(a, 0));
    TRY(flock(a, LOCK_SH | LOCK_EX));
    TRY(flock(99, LOCK_SH));
    TRY(flock(open("f", O_PATH), LOCK_SH));
}

CASE(flock, duplicate_keeps_it)
{
    int a = file_with("f", ""), b = open("f", O_RDONLY), c = dup(a);
    TRY(flock(a, LOCK_EX));
    TRY(close(a));
    TRY(flock(b, LOCK_EX | LOCK_NB));
    TRY(close(c));
    TRY(flock(b, LOCK_EX | LOCK_NB));
}

CASE(flock, unlocked_by_a_child)
{
    int a = file_with("f", ""), b = open("f", O_RDONLY);
    TRY(flock(a, LOCK_EX));
    if (fork() == 0)
        _exit(flock(a, LOCK_UN) < 0);
    wait(NULL);
    TRY(flock(b, LOCK_EX | LOCK_NB));
}

CASE(flock, and_posix_locks_are_apart)
{
    int a = file_with("f", ""), b = open("f", O_RDWR);
    TRY(flock(a, LOCK_EX));
    TRY(lock(b, F_SETLK, F_WRLCK, 0, 0));
    TRY(lock(b, F_OFD_SETLK, F_WRLCK, 0, 0));
}

CASE(flock, directory)
{
    int a = open(".", O_RDONLY), b = open(".", O_RDONLY);
    TRY(flock(a, LOCK_EX | LOCK_NB));
    TRY(flock(b, LOCK_EX | LOCK_NB));
}

CASE(ioctl, of_files)
{
    int n, fd = file_with("f", "0123456789");
    TRY(lseek(fd, 4, SEEK_SET));
    TRY(syscall(SYS_ioctl, fd, 0x541B /* FIONREAD */, &n));
    SHOW("%d", n);
    TRY(syscall(SYS_ioctl, fd, 0x5451 /* FIOCLEX */));
    TRY(fcntl(fd, F_GETFD));
    TRY(syscall(SYS_ioctl, fd, 0x5450 /* FIONCLEX */));
    TRY(fcntl(fd, F_GETFD));
    TRY(syscall(SYS_ioctl, fd, 0x5401 /* TCGETS */, &n));
    TRY(syscall(SYS_ioctl, fd, 0x541B, BAD_POINTER));
    TRY(syscall(SYS_ioctl, 99, 0x541B, &n));
    n = 1;
    TRY(syscall(SYS_ioctl, fd, 0x5421 /* FIONBIO */, &n));
    SHOW("%#x", fcntl(fd, F_GETFL) & O_NONBLOCK);
}
