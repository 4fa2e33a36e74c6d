/* Bytes and descriptors from one place to another: splice and its kin, sockets, terminals. */
#include "files.h"

#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

static int ends[2];

static void make_pipe(int flags)
{
    if (pipe2(ends, flags) < 0)
        SHOW("pipe2: %s", strerrorname_np(errno));
}

/* What lies in a pipe. */
static void show_pipe(int fd)
{
    char b[64];
    fcntl(fd, F_SETFL, O_NONBLOCK);
    ssize_t n = read(fd, b, sizeof b);
    if (n < 0)
        SHOW("pipe: %s", strerrorname_np(errno));
    else
        show_bytes("pipe", b, n);
}

CASE(sendfile, to_a_pipe)
{
    off_t at = 2;
    int fd = file_with("f", "0123456789");
    make_pipe(0);
    TRY(sendfile(ends[1], fd, &at, 5));
    TRY((long)at);
    AT(fd);
    show_pipe(ends[0]);
    TRY(sendfile(ends[1], fd, NULL, 4));
    AT(fd);
    TRY(sendfile(ends[1], fd, NULL, 100));
    TRY(sendfile(ends[1], fd, NULL, 100));
    show_pipe(ends[0]);
}

CASE(sendfile, to_a_file)
{
    int fd = file_with("f", "0123456789"), out = file_with("g", "abc");
    lseek(out, 0, SEEK_END);
    TRY(sendfile(out, fd, NULL, 4));
    show_file("g");
    AT(out);
    AT(fd);
}

CASE(sendfile, errors)
{
    off_t at = -1;
    int fd = file_with("f", "0123456789");
    make_pipe(0);
    TRY(sendfile(ends[1], fd, &at, 5));
    TRY(sendfile(ends[1], fd, BAD_POINTER, 5));
    TRY(sendfile(ends[1], 99, NULL, 5));
    TRY(sendfile(99, fd, NULL, 5));
    TRY(sendfile(ends[0], fd, NULL, 5));
    TRY(sendfile(ends[1], ends[0], NULL, 5));
    TRY(sendfile(ends[1], open(".", O_RDONLY), NULL, 5));
    TRY(sendfile(ends[1], open("f", O_WRONLY), NULL, 5));
    TRY(sendfile(open("f", O_RDONLY), fd, NULL, 5));
    TRY(sendfile(open("f", O_WRONLY | O_APPEND), fd, NULL, 5));
    TRY(sendfile(ends[1], fd, NULL, 0));
    at = 1000;
    TRY(sendfile(ends[1], fd, &at, 5));
}

CASE(copy_file_range, forms)
{
    off_t in = 2, out = 4;
    int a = file_with("a", "0123456789"), b = file_with("b", "");
    TRY(copy_file_range(a, &in, b, &out, 3, 0));
    SHOW("%ld %ld", (long)in, (long)out);
    TRY(copy_file_range(a, NULL, b, NULL, 4, 0));
    AT(a);
    AT(b);
    show_file("b");
    TRY(copy_file_range(a, NULL, b, NULL, 100, 0));
    TRY(copy_file_range(a, NULL, b, NULL, 100, 0));
    TRY(copy_file_range(a, NULL, b, NULL, 0, 0));
}

CASE(copy_file_range, errors)
{
    off_t at = -1;
    int a = file_with("a", "0123456789"), b = file_with("b", "");
    make_pipe(0);
    TRY(copy_file_range(a, NULL, b, NULL, 1, 1));
    TRY(copy_file_range(99, NULL, b, NULL, 1, 0));
    TRY(copy_file_range(a, NULL, 99, NULL, 1, 0));
    TRY(copy_file_range(a, NULL, ends[1], NULL, 1, 0));
    TRY(copy_file_range(a, NULL, open("b", O_RDONLY), NULL, 1, 0));
    TRY(copy_file_range(open("a", O_WRONLY), NULL, b, NULL, 1, 0));
    TRY(copy_file_range(a, NULL, open("b", O_WRONLY | O_APPEND), NULL, 1, 0));
    TRY(copy_file_range(open(".", O_RDONLY), NULL, b, NULL, 1, 0));
    TRY(copy_file_range(a, &at, b, NULL, 1, 0));
}

CASE(copy_file_range, within_a_file)
{
    off_t in = 0, out = 5;
    int a = file_with("a", "0123456789");
    TRY(copy_file_range(a, &in, a, &out, 5, 0));
    show_file("a");
    in = 0;
    out = 2;
    TRY(copy_file_range(a, &in, a, &out, 5, 0));
}

CASE(splice, file_to_pipe)
{
    loff_t at = 3;
    int fd = file_with("f", "0123456789");
    make_pipe(0);
    TRY(splice(fd, &at, ends[1], NULL, 4, 0));
    TRY((long)at);
    show_pipe(ends[0]);
    TRY(splice(fd, NULL, ends[1], NULL, 4, 0));
    AT(fd);
    TRY(splice(fd, NULL, ends[1], NULL, 100, 0));
    TRY(splice(fd, NULL, ends[1], NULL, 100, 0));
    show_pipe(ends[0]);
}

CASE(splice, pipe_to_file)
{
    loff_t at = 2;
    int fd = file_with("f", "0123456789");
    make_pipe(0);
    write(ends[1], "abcdef", 6);
    TRY(splice(ends[0], NULL, fd, &at, 3, 0));
    TRY((long)at);
    TRY(splice(ends[0], NULL, fd, NULL, 100, 0));
    AT(fd);
    show_file("f");
}

CASE(splice, errors)
{
    loff_t at = 0;
    int fd = file_with("f", "0123456789"), other = file_with("g", "");
    make_pipe(O_NONBLOCK);
    TRY(splice(fd, NULL, other, NULL, 4, 0));
    TRY(splice(ends[0], &at, fd, NULL, 4, 0));
    TRY(splice(fd, NULL, ends[1], &at, 4, 0));
    TRY(splice(ends[0], NULL, fd, NULL, 4, SPLICE_F_NONBLOCK));
    TRY(splice(fd, NULL, ends[0], NULL, 4, 0));
    TRY(splice(ends[1], NULL, fd, NULL, 4, 0));
    TRY(splice(99, NULL, ends[1], NULL, 4, 0));
    TRY(splice(fd, NULL, 99, NULL, 4, 0));
    TRY(splice(fd, NULL, ends[1], NULL, 4, 0x100));
    TRY(splice(fd, NULL, ends[1], NULL, 0, 0));
    write(ends[1], "x", 1);
    TRY(splice(ends[0], NULL, open("f", O_WRONLY | O_APPEND), NULL, 4, 0));
    TRY(splice(ends[0], NULL, ends[1], NULL, 4, 0));
}

CASE(splice, pipe_to_pipe)
{
    int other[2];
    make_pipe(0);
    pipe(other);
    write(ends[1], "hello", 5);
    TRY(splice(ends[0], NULL, other[1], NULL, 3, 0));
    show_pipe(other[0]);
    show_pipe(ends[0]);
}

CASE(splice, ends_of_pipes)
{
    int fd = file_with("f", "0123456789");
    make_pipe(0);
    close(ends[1]);
    TRY(splice(ends[0], NULL, fd, NULL, 4, 0));
    make_pipe(0);
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    TRY(splice(fd, NULL, ends[1], NULL, 4, 0));
}

CASE(tee, forms)
{
    int other[2];
    make_pipe(0);
    pipe(other);
    write(ends[1], "hello", 5);
    TRY(tee(ends[0], other[1], 3, 0));
    show_pipe(other[0]);
    show_pipe(ends[0]);
    TRY(tee(ends[0], ends[1], 3, 0));
    TRY(tee(ends[0], file_with("f", ""), 3, 0));
    TRY(tee(ends[0], other[1], 3, SPLICE_F_NONBLOCK));
    TRY(tee(99, other[1], 3, 0));
}

CASE(vmsplice, forms)
{
    struct iovec v[2] = {{"hello", 5}, {" you", 4}};
    char b[16] = "";
    make_pipe(O_NONBLOCK);
    TRY(vmsplice(ends[1], v, 2, 0));
    struct iovec to = {b, sizeof b};
    TRY(vmsplice(ends[0], &to, 1, 0));
    show_bytes("got", b, 9);
    TRY(vmsplice(ends[1], v, 0, 0));
    TRY(vmsplice(file_with("f", ""), v, 1, 0));
    TRY(vmsplice(99, v, 1, 0));
    TRY(vmsplice(ends[1], BAD_POINTER, 1, 0));
    TRY(vmsplice(ends[1], v, 1025, 0));
    TRY(vmsplice(ends[1], v, 1, 0x100));
}

/* ---- passing descriptors ---- */

static int pair[2];

static long send_fd(int socket, int fd, const char *text)
{
    char control[CMSG_SPACE(sizeof fd)] = "";
    struct iovec v = {(void *)text, strlen(text)};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    return sendmsg(socket, &m, 0);
}

static int receive_fd(int socket, int flags, int *out_flags)
{
    char control[256], b[16];
    struct iovec v = {b, sizeof b};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (recvmsg(socket, &m, flags) < 0)
        return -errno;
    if (out_flags)
        *out_flags = m.msg_flags;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    int fd = -1;
    if (c && c->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

CASE(scm_rights, volume_file)
{
    char b[16];
    int fd = file_with("f", "hello");
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    TRY(send_fd(pair[0], fd, "x"));
    int got = receive_fd(pair[1], MSG_CMSG_CLOEXEC, NULL);
    TRY(fcntl(got, F_GETFD));
    TRY(read(got, b, 2));
    AT(fd);
    TRY(fcntl(got, F_SETFL, O_APPEND));
    SHOW("%#x", fcntl(fd, F_GETFL));
}

CASE(scm_rights, to_another_process)
{
    char b[16];
    int status;
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    if (fork() == 0) {
        int fd = file_with("f", "hello");
        lseek(fd, 1, SEEK_SET);
        send_fd(pair[0], fd, "x");
        unlink("f");
        read(pair[0], b, 1);
        _exit(0);
    }
    int got = receive_fd(pair[1], 0, NULL);
    TRY(read(got, b, 2));
    write(pair[1], "x", 1);
    wait(&status);
    TRY(status);
    TRY(read(got, b, 16));
    show_bytes("got", b, 2);
    struct stat st;
    TRY(fstat(got, &st));
    TRY((long)st.st_nlink);
}

CASE(scm_rights, pipe_end)
{
    char b[16];
    make_pipe(0);
    socketpair(AF_UNIX, SOCK_DGRAM, 0, pair);
    TRY(send_fd(pair[0], ends[1], "x"));
    close(ends[1]);
    int got = receive_fd(pair[1], 0, NULL);
    TRY(write(got, "hello", 5));
    TRY(read(ends[0], b, 16));
    close(got);
    TRY(read(ends[0], b, 16));
}

CASE(scm_rights, errors)
{
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    TRY(send_fd(pair[0], 99, "x"));
    TRY(send_fd(pair[0], -1, "x"));
    TRY(send_fd(pair[0], file_with("f", ""), "x"));
    char b[4];
    TRY(read(pair[1], b, 4));
    TRY(receive_fd(pair[1], MSG_DONTWAIT, NULL));
}

CASE(scm_rights, no_room)
{
    char b[4];
    struct iovec v = {b, 4};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    send_fd(pair[0], 0, "x");
    TRY(recvmsg(pair[1], &m, 0));
    TRY(m.msg_flags);
}

CASE(scm_rights, directory)
{
    mkdir("d", 0755);
    file_with("d/f", "hello");
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    TRY(send_fd(pair[0], open("d", O_RDONLY), "x"));
    int got = receive_fd(pair[1], 0, NULL);
    rename("d", "e");
    OK(openat(got, "f", O_RDONLY));
}

/* ---- UNIX sockets ---- */

static struct sockaddr_un name_of(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strcpy(a.sun_path, path);
    return a;
}

CASE(unix_socket, in_a_volume)
{
    struct sockaddr_un a = name_of("s");
    char b[8];
    int l = socket(AF_UNIX, SOCK_STREAM, 0);
    TRY(bind(l, (void *)&a, sizeof a));
    TRY(bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, sizeof a));
    TRY(listen(l, 5));
    int c = socket(AF_UNIX, SOCK_STREAM, 0);
    TRY(connect(c, (void *)&a, sizeof a));
    int s = OK(accept(l, NULL, NULL));
    TRY(write(c, "hello", 5));
    TRY(read(s, b, 8));
    struct stat st;
    TRY(stat("s", &st));
    TRY(S_ISSOCK(st.st_mode));
    TRY(unlink("s"));
    TRY(connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, sizeof a));
}

CASE(unix_socket, errors)
{
    struct sockaddr_un a = name_of("none/s"), f = name_of("f");
    file_with("f", "");
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    TRY(bind(s, (void *)&a, sizeof a));
    TRY(connect(s, (void *)&a, sizeof a));
    TRY(connect(s, (void *)&f, sizeof f));
    TRY(bind(s, (void *)&f, sizeof f));
    TRY(bind(s, (void *)&f, 1));
    TRY(bind(s, (void *)&f, 1000));
    TRY(bind(s, BAD_POINTER, sizeof f));
    TRY(listen(s, 1));
    TRY(accept(s, NULL, NULL));
}

CASE(socketpair, kinds)
{
    char b[8];
    socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair);
    TRY(write(pair[0], "hello", 5));
    TRY(write(pair[0], "", 0));
    TRY(read(pair[1], b, 2));
    TRY(read(pair[1], b, 8));
    TRY(read(pair[1], b, 8));
    socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair);
    TRY(write(pair[0], "hello", 5));
    TRY(recv(pair[1], b, 2, MSG_TRUNC));
    close(pair[0]);
    TRY(read(pair[1], b, 8));
    TRY(socketpair(AF_INET, SOCK_STREAM, 0, pair));
    TRY(socketpair(AF_UNIX, 99, 0, pair));
    TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, BAD_POINTER));
    TRY(socket(AF_UNIX, SOCK_STREAM, 5));
    TRY(socket(999, SOCK_STREAM, 0));
}

CASE(socket, shutdown)
{
    char b[8];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    TRY(shutdown(pair[0], SHUT_WR));
    TRY(read(pair[1], b, 8));
    TRY(write(pair[1], "back", 4));
    TRY(read(pair[0], b, 8));
    signal(SIGPIPE, SIG_IGN);
    TRY(write(pair[0], "x", 1));
    TRY(send(pair[0], "x", 1, MSG_NOSIGNAL));
    TRY(shutdown(pair[0], 9));
    TRY(shutdown(0, SHUT_RD));
    TRY(shutdown(99, SHUT_RD));
}

CASE(socket, bad_buffers)
{
    char b[8];
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair);
    TRY(send(pair[0], BAD_POINTER, 4, 0));
    TRY(write(pair[0], "hello", 5));
    TRY(recv(pair[1], b, 8, MSG_PEEK));
    TRY(recv(pair[1], b, 8, 0));
    TRY(recv(pair[1], b, 8, 0));
    TRY(recv(0, b, 8, 0));
    TRY(send(99, b, 8, 0));
    TRY(sendmsg(pair[0], BAD_POINTER, 0));
    TRY(recvmsg(pair[0], BAD_POINTER, 0));
}

/* ---- terminals ---- */

CASE(pty, line_discipline)
{
    char b[32];
    int master, slave;
    struct termios t;
    TRY(openpty(&master, &slave, NULL, NULL, NULL));
    TRY(isatty(slave));
    TRY(isatty(master));
    TRY(write(master, "hello\n", 6));
    TRY(read(slave, b, sizeof b));
    TRY(read(master, b, sizeof b));
    show_bytes("echo", b, 7);
    TRY(tcgetattr(slave, &t));
    t.c_lflag &= ~(ICANON | ECHO);
    TRY(tcsetattr(slave, TCSANOW, &t));
    TRY(write(master, "x", 1));
    TRY(read(slave, b, sizeof b));
    TRY(write(slave, "a\n", 2));
    TRY(read(master, b, sizeof b));
    TRY(tcgetattr(0, &t));
    close(slave);
    TRY(read(master, b, sizeof b));
}

CASE(pty, window_size)
{
    int master, slave;
    struct winsize w = {24, 80, 0, 0}, got;
    openpty(&master, &slave, NULL, NULL, &w);
    TRY(ioctl(slave, TIOCGWINSZ, &got));
    SHOW("%d %d", got.ws_row, got.ws_col);
    w.ws_row = 50;
    TRY(ioctl(master, TIOCSWINSZ, &w));
    TRY(ioctl(slave, TIOCGWINSZ, &got));
    SHOW("%d", got.ws_row);
    TRY(ioctl(slave, TIOCGWINSZ, BAD_POINTER));
    TRY(ioctl(file_with("f", ""), TIOCGWINSZ, &got));
}

CASE(pty, session)
{
    int master, status;
    char b[64];
    fflush(stdout);
    pid_t child = forkpty(&master, NULL, NULL, NULL);
    if (child == 0) {
        int tty = open("/dev/tty", O_RDWR);
        dprintf(tty, "%d %d", tcgetpgrp(tty) == getpgrp(), getsid(0) == getpid());
        _exit(tty < 0);
    }
    ssize_t n = read(master, b, sizeof b);
    show_bytes("said", b, n);
    waitpid(child, &status, 0);
    TRY(status);
    TRY(read(master, b, sizeof b));
}

CASE(pty, interrupt_character)
{
    int master, status;
    pid_t child = forkpty(&master, NULL, NULL, NULL);
    if (child == 0) {
        write(1, "r", 1);
        pause();
        _exit(0);
    }
    char b;
    TRY(read(master, &b, 1));
    TRY(write(master, "\003", 1));
    waitpid(child, &status, 0);
    TRY(WIFSIGNALED(status) ? WTERMSIG(status) : -1);
}

CASE(dev, zero_and_null)
{
    char b[16];
    memset(b, 'x', sizeof b);
    int zero = open("/dev/zero", O_RDWR), null = open("/dev/null", O_RDWR),
        full = open("/dev/full", O_RDWR);
    TRY(read(zero, b, 8));
    show_bytes("zero", b, 10);
    TRY(read(null, b, 8));
    TRY(write(null, b, 8));
    TRY(write(full, b, 8));
    TRY(read(full, b, 8));
    TRY(read(zero, BAD_POINTER, 8));
    TRY(lseek(null, 100, SEEK_SET));
    TRY(read(open("/dev/urandom", O_RDONLY), b, 16));
}
