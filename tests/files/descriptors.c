/* Descriptors: duplicates, flags, limits, and what forks, execs and sockets do with them. */
#include "show.h"

#include <linux/close_range.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/poll.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>

static void duplicates(void)
{
    char b[16];
    make_file("f", "0123456789");
    int fd = R(open("f", O_RDWR));
    int copy = R(dup(fd));
    R(read(fd, b, 3));
    R(lseek(copy, 0, SEEK_CUR));
    R(read(copy, b, 2));
    R(lseek(fd, 0, SEEK_CUR));
    R(dup2(fd, 20));
    R(dup2(fd, fd));
    R(dup2(99, 98));
    R(dup2(99, 99));
    R(dup2(fd, -1));
    R(dup3(fd, fd, 0));
    R(dup3(fd, 21, O_CLOEXEC));
    R(dup3(fd, 22, O_APPEND));
    R(fcntl(21, F_GETFD));
    R(fcntl(20, F_GETFD));
    R(fcntl(fd, F_DUPFD, 10));
    R(fcntl(fd, F_DUPFD_CLOEXEC, 10));
    R(fcntl(11, F_GETFD));
    R(fcntl(fd, F_DUPFD, -1));
    R(fcntl(99, F_DUPFD, 10));
    R(close(fd));
    R(lseek(copy, 0, SEEK_CUR));
    R(lseek(20, 1, SEEK_SET));
    R(read(21, b, 1));
    SHOW("%c", b[0]);
    /* a pipe's end over a file, and a file over a pipe's end */
    int pair[2];
    R(pipe(pair));
    R(dup2(pair[1], 20));
    R(write(20, "pipe", 4));
    R(read(pair[0], b, 16));
    R(dup2(copy, pair[0]));
    R(lseek(pair[0], 0, SEEK_CUR));
    R(write(20, "x", 1) == -1 && errno == EPIPE);
    R(close(pair[0]));
    R(close(pair[1]));
    R(fcntl(20, F_GETFL));
    R(fcntl(copy, F_SETFD, FD_CLOEXEC));
    R(fcntl(copy, F_GETFD));
    R(ioctl(copy, FIONCLEX));
    R(fcntl(copy, F_GETFD));
    R(ioctl(copy, FIOCLEX));
    R(fcntl(copy, F_GETFD));
    int on = 1;
    R(ioctl(copy, FIONBIO, &on));
    R(fcntl(copy, F_GETFL));
    R(fcntl(copy, F_SETFL, O_APPEND));
    R(fcntl(copy, F_GETFL));
    R(fcntl(copy, F_GETFL) == fcntl(21, F_GETFL));
    R(fcntl(copy, 9999));
    R(fcntl(copy, F_GETPIPE_SZ));
    R(fcntl(copy, F_GETOWN));
    R(fcntl(copy, F_GETLEASE));
    R(syscall(SYS_close_range, 10, 30, 0));
    R(fcntl(11, F_GETFD));
    R(fcntl(21, F_GETFD));
    R(syscall(SYS_close_range, 30, 10, 0));
    R(syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC));
    R(syscall(SYS_close_range, 3, 5, 77));
    R(syscall(SYS_close_range, 3, ~0u, 0));
    R(open("f", O_RDONLY));
    R(close(3));
}

static void many(void)
{
    enum { COUNT = 700 };
    static int fds[COUNT];
    make_file("m", "x");
    int worked = 0;
    for (int i = 0; i < COUNT; i++)
        worked += (fds[i] = open("m", O_RDONLY)) >= 0;
    SHOW("opened %d, the last %d", worked, fds[COUNT - 1]);
    char b;
    worked = 0;
    for (int i = 0; i < COUNT; i++)
        worked += read(fds[i], &b, 1) == 1;
    SHOW("read %d", worked);
    for (int i = 0; i < COUNT; i++)
        close(fds[i]);
    R(open("m", O_RDONLY));
    R(close(3));
    struct rlimit limit = {20, 20};
    R(setrlimit(RLIMIT_NOFILE, &limit));
    for (int i = 3; i < 20; i++)
        MUST(open("m", O_RDONLY));
    R(open("m", O_RDONLY));
    R(open("m-new", O_CREAT | O_WRONLY, 0600));
    R(access("m-new", F_OK));
    R(dup(3));
    R(fcntl(3, F_DUPFD, 0));
    R(dup2(3, 30));
    int pair[2];
    R(pipe(pair));
    R(syscall(SYS_close_range, 3, 19, 0));
}

static void readiness(void)
{
    int fd = R(open("f", O_RDWR));
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
    R(poll(&p, 1, 1000));
    SHOW("revents %x", p.revents);
    fd_set in, out;
    FD_ZERO(&in);
    FD_ZERO(&out);
    FD_SET(fd, &in);
    FD_SET(fd, &out);
    R(select(fd + 1, &in, &out, NULL, NULL));
    int ep = R(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN};
    R(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
    R(close(ep));
    R(close(fd));
}

static void wait_for(pid_t pid)
{
    int status = 0;
    MUST(waitpid(pid, &status, 0));
    SHOW("status %x", status);
}

static void forks(void)
{
    char b[16] = {0};
    make_file("k", "abcdefghij");
    int fd = R(open("k", O_RDWR));
    R(read(fd, b, 2));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        R(read(fd, b, 3));
        SHOW("%.3s", b);
        R(lseek(fd, 0, SEEK_CUR));
        R(fcntl(fd, F_SETFL, O_APPEND));
        R(chdir("/"));
        umask(0);
        R(close(fd));
        fflush(stdout);
        _exit(0);
    }
    wait_for(pid);
    R(lseek(fd, 0, SEEK_CUR));
    R(fcntl(fd, F_GETFL));
    R(access("k", F_OK));
    R(umask(022));
    R(unlink("k"));
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        R(pread(fd, b, 10, 0));
        SHOW("%.10s", b);
        fflush(stdout);
        _exit(0);
    }
    wait_for(pid);
    R(close(fd));
    /* writers that share one offset lose nothing of each other */
    fd = R(open("w", O_CREAT | O_RDWR, 0600));
    fflush(stdout);
    for (int i = 0; i < 4; i++) {
        if (fork() == 0) {
            for (int n = 0; n < 200; n++)
                if (write(fd, "0123456789abcde\n", 16) != 16)
                    _exit(1);
            _exit(0);
        }
    }
    int good = 0;
    for (int status; wait(&status) > 0;)
        good += status == 0;
    SHOW("good %d", good);
    R(lseek(fd, 0, SEEK_CUR));
    R(lseek(fd, 0, SEEK_END));
    R(close(fd));
}

static void execs(const char *self)
{
    make_file("x", "inherited");
    int fd = R(open("x", O_RDWR));
    char number[16];
    R(lseek(fd, 3, SEEK_SET));
    R(open("x", O_RDWR | O_CLOEXEC));
    int gone = R(open("gone", O_CREAT | O_RDWR, 0600));
    R(write(gone, "unlinked", 8));
    R(unlink("gone"));
    snprintf(number, sizeof number, "%d", fd);
    fflush(stdout);
    for (int shared = 0; shared < 2; shared++) {
        pid_t pid = shared ? vfork() : fork();
        if (pid == 0) {
            execl(self, self, "inherited", number, NULL);
            _exit(9);
        }
        wait_for(pid);
        R(lseek(fd, 0, SEEK_CUR));
        fflush(stdout);
    }
    R(close(fd));
    R(close(fd + 1));
    R(close(gone));
    R(system("echo from a shell > shell.txt; cat < shell.txt"));
    SHOW("%s", content("shell.txt"));
    R(system("exec 7< x; read line <&7; echo \"$line\"; (echo a; echo b >&2) > two.txt 2>&1; "
             "cat two.txt | tr ab cd | sort -r"));
}

static int inherited(int fd)
{
    char b[16] = {0};
    R(lseek(fd, 0, SEEK_CUR));
    R(read(fd, b, 3));
    SHOW("%s", b);
    R(fcntl(fd + 1, F_GETFD));
    R(pread(fd + 2, b, 16, 0));
    SHOW("%s", b);
    R(pwrite(fd + 2, "U", 1, 0));
    R(close(fd));
    R(read(fd, b, 1));
    return 5;
}

static void sockets(void)
{
    int pair[2];
    char b[16] = {0}, control[CMSG_SPACE(sizeof(int))] = {0};
    make_file("s", "sent over");
    R(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    int fd = R(open("s", O_RDWR));
    R(read(fd, b, 5));
    struct iovec iov = {b, 1};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    R(sendmsg(pair[0], &m, 0));
    R(unlink("s"));
    R(close(fd));
    make_file("other", "closed between the sending and the receiving");
    b[0] = 0;
    R(recvmsg(pair[1], &m, 0));
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
    SHOW("got %d", fd);
    R(lseek(fd, 0, SEEK_CUR));
    R(read(fd, b, 16));
    SHOW("%.4s", b);
    R(close(fd));
    R(close(pair[0]));
    R(close(pair[1]));
}

static void others(void)
{
    uint64_t n = 0;
    int e = R(eventfd(3, EFD_NONBLOCK));
    R(read(e, &n, 8));
    SHOW("%lu", n);
    R(read(e, &n, 8));
    R(read(e, &n, 4));
    n = 5;
    R(write(e, &n, 8));
    R(close(e));
    int m = R(memfd_create("mine", MFD_ALLOW_SEALING));
    R(write(m, "memory", 6));
    R(lseek(m, 0, SEEK_CUR));
    R(fcntl(m, F_ADD_SEALS, F_SEAL_WRITE));
    R(write(m, "memory", 6));
    R(fcntl(m, F_GET_SEALS));
    R(close(m));
    R(memfd_create("mine", 0xff00));
    int pair[2];
    R(pipe2(pair, O_NONBLOCK | O_CLOEXEC));
    R(fcntl(pair[0], F_GETFD));
    R(fcntl(pair[0], F_GETFL));
    R(read(pair[0], &n, 1));
    R(fcntl(pair[0], F_GETPIPE_SZ));
    R(fcntl(pair[0], F_SETPIPE_SZ, 4096));
    R(write(pair[1], "12345", 5));
    int left = 0;
    R(ioctl(pair[0], FIONREAD, &left));
    SHOW("left %d", left);
    R(pipe2(pair, 0x123));
    R(pipe(BAD));
    R(close(pair[0]));
    R(close(pair[1]));
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    if (argc == 3)
        return inherited(atoi(argv[2]));
    signal(SIGPIPE, SIG_IGN);
    duplicates();
    readiness();
    forks();
    execs(argv[0]);
    sockets();
    others();
    many();
    return 0;
}
