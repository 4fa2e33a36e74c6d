/* UNIX sockets: names, kinds, credentials, descriptors. */
#include "net.h"

#define PAIR(fds, type) socketpair(AF_UNIX, type, 0, fds)

static void show_name(const struct sockaddr_un *a, socklen_t size)
{
    const char *path = a->sun_path;
    if (size <= offsetof(struct sockaddr_un, sun_path))
        SHOW("size %u, no name", size);
    else if (path[0])
        SHOW("size %u, %s", size, path);
    else
        SHOW("size %u, abstract %.*s", size, (int)(size - 3), path + 1);
}

static void name_of(int fd)
{
    struct sockaddr_un a = {0};
    socklen_t size = sizeof a;
    TRY(getsockname(fd, A(a), &size));
    show_name(&a, size);
}

CASE(unix, bind_makes_a_file)
{
    struct sockaddr_un a = named("s");
    struct stat st;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    TRY(bind(fd, A(a), sizeof a));
    TRY(stat("s", &st));
    SHOW("%o", st.st_mode);
    name_of(fd);
    TRY(bind(fd, A(a), sizeof a));
    TRY(open("s", O_RDONLY));
    TRY(unlink("s"));
    TRY(stat("s", &st));
}

CASE(unix, bind_twice)
{
    struct sockaddr_un a = named("s");
    TRY(bind(socket(AF_UNIX, SOCK_STREAM, 0), A(a), sizeof a));
    TRY(bind(socket(AF_UNIX, SOCK_STREAM, 0), A(a), sizeof a));
    close(open("f", O_CREAT | O_RDWR, 0644));
    a = named("f");
    TRY(bind(socket(AF_UNIX, SOCK_STREAM, 0), A(a), sizeof a));
}

CASE(unix, bind_errors)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    struct sockaddr_un a = named("no/such");
    TRY(bind(fd, A(a), sizeof a));
    a = named("/proc/x");
    TRY(bind(fd, A(a), sizeof a) < 0);
    a = named("s");
    TRY(bind(fd, A(a), 1));
    TRY(bind(fd, A(a), sizeof a + 1));
    TRY(bind(fd, A(a), 1000));
    TRY(bind(fd, A(a), -1));
    TRY(bind(fd, BAD_POINTER, sizeof a));
    TRY(bind(-1, A(a), sizeof a));
    TRY(bind(open("f", O_CREAT | O_RDWR, 0644), A(a), sizeof a));
    a.sun_family = AF_INET;
    TRY(bind(fd, A(a), sizeof a));
    a = named("d/s");
    mkdir("d", 0555);
    TRY(bind(fd, A(a), sizeof a));
    close(open("plain", O_CREAT | O_RDWR, 0644));
    a = named("plain/s");
    TRY(bind(fd, A(a), sizeof a));
}

CASE(unix, autobind)
{
    struct sockaddr_un a = named("");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    socklen_t size = sizeof a;
    TRY(bind(fd, A(a), sizeof(sa_family_t)));
    TRY(getsockname(fd, A(a), &size));
    SHOW("%u %d", size, a.sun_path[0]);
}

CASE(unix, umask_of_the_file)
{
    struct sockaddr_un a = named("s");
    struct stat st;
    umask(0177);
    TRY(bind(socket(AF_UNIX, SOCK_DGRAM, 0), A(a), sizeof a));
    stat("s", &st);
    SHOW("%o", st.st_mode);
    TRY(chmod("s", 0666));
    stat("s", &st);
    SHOW("%o", st.st_mode);
}

CASE(unix, abstract_names)
{
    struct sockaddr_un a = named(""), b = named("");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0), other = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(a.sun_path + 1, 60, "ashlar-conformance-%d", 7);
    socklen_t size = offsetof(struct sockaddr_un, sun_path) + 21;
    TRY(bind(fd, A(a), size));
    name_of(fd);
    TRY(bind(other, A(a), size));
    TRY(connect(other, A(a), size));
    listen(fd, 1);
    TRY(connect(other, A(a), size - 1));
    TRY(connect(other, A(a), size));
    socklen_t n = sizeof b;
    TRY(getpeername(other, A(b), &n));
    show_name(&b, n);
}

CASE(unix, connect_by_relative_path)
{
    struct sockaddr_un a = named("s");
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char b[8] = "";
    mkdir("d", 0755);
    bind(listener, A(a), sizeof a);
    listen(listener, 2);
    chdir("d");
    a = named("../s");
    TRY(connect(fd, A(a), sizeof a));
    int got = accept(listener, NULL, NULL);
    write(fd, "hi", 2);
    TRY(read(got, b, sizeof b));
    SHOW("%s", b);
    name_of(got);
    struct sockaddr_un peer = {0};
    socklen_t n = sizeof peer;
    TRY(getpeername(fd, A(peer), &n));
    show_name(&peer, n);
    n = sizeof peer;
    TRY(getpeername(got, A(peer), &n));
    show_name(&peer, n);
}

CASE(unix, connect_errors)
{
    struct sockaddr_un a = named("none");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    TRY(connect(fd, A(a), sizeof a));
    a = named("s");
    int plain = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(plain, A(a), sizeof a);
    TRY(connect(fd, A(a), sizeof a));
    listen(plain, 1);
    int dgram = socket(AF_UNIX, SOCK_DGRAM, 0);
    TRY(connect(dgram, A(a), sizeof a));
    TRY(connect(fd, A(a), sizeof a));
    TRY(connect(fd, A(a), sizeof a));
    close(open("f", O_CREAT | O_RDWR, 0644));
    a = named("f");
    TRY(connect(socket(AF_UNIX, SOCK_STREAM, 0), A(a), sizeof a));
    TRY(connect(socket(AF_UNIX, SOCK_STREAM, 0), BAD_POINTER, sizeof a));
}

CASE(unix, connect_without_permission)
{
    struct sockaddr_un a = named("s");
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(listener, A(a), sizeof a);
    listen(listener, 1);
    chmod("s", 0);
    TRY(connect(socket(AF_UNIX, SOCK_STREAM, 0), A(a), sizeof a));
}

CASE(unix, connect_through_a_link)
{
    struct sockaddr_un a = named("s"), l = named("l");
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(listener, A(a), sizeof a);
    listen(listener, 1);
    symlink("s", "l");
    TRY(connect(socket(AF_UNIX, SOCK_STREAM, 0), A(l), sizeof l));
    rename("s", "t");
    TRY(connect(socket(AF_UNIX, SOCK_STREAM, 0), A(l), sizeof l));
    TRY(bind(socket(AF_UNIX, SOCK_STREAM, 0), A(l), sizeof l));
}

CASE(unix, longest_names)
{
    struct sockaddr_un a = named("");
    memset(a.sun_path, 'x', 108);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    TRY(bind(fd, A(a), sizeof a));
    struct sockaddr_storage out;
    socklen_t n = sizeof out;
    TRY(getsockname(fd, A(out), &n));
    SHOW("%u", n);
    listen(fd, 1);
    TRY(connect(socket(AF_UNIX, SOCK_STREAM, 0), A(a), sizeof a));
    a.sun_path[100] = 0;
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    TRY(bind(fd, A(a), sizeof a));
    n = sizeof out;
    getsockname(fd, A(out), &n);
    SHOW("%u", n);
}

CASE(unix, short_room_for_a_name)
{
    struct sockaddr_un a = named("socket"), out;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    bind(fd, A(a), sizeof a);
    memset(&out, 'z', sizeof out);
    socklen_t n = 5;
    TRY(getsockname(fd, A(out), &n));
    SHOW("%u %.5s", n, out.sun_path);
    n = 0;
    TRY(getsockname(fd, A(out), &n));
    SHOW("%u", n);
    n = (socklen_t)-1;
    TRY(getsockname(fd, A(out), &n));
    TRY(getsockname(fd, A(out), BAD_POINTER));
    n = sizeof out;
    TRY(getsockname(fd, BAD_POINTER, &n));
    TRY(getpeername(fd, A(out), &n));
}

CASE(unix, pair_has_no_names)
{
    int fds[2];
    PAIR(fds, SOCK_STREAM);
    name_of(fds[0]);
    struct sockaddr_un a;
    socklen_t n = sizeof a;
    TRY(getpeername(fds[0], A(a), &n));
    SHOW("%u", n);
}

CASE(unix, kinds_of_pairs)
{
    int fds[2];
    TRY(PAIR(fds, SOCK_STREAM));
    TRY(PAIR(fds, SOCK_DGRAM));
    TRY(PAIR(fds, SOCK_SEQPACKET));
    TRY(PAIR(fds, SOCK_RAW));
    TRY(PAIR(fds, SOCK_RDM));
    TRY(PAIR(fds, 99));
    TRY(socketpair(AF_UNIX, SOCK_STREAM, 1, fds));
    TRY(socketpair(AF_UNIX, SOCK_STREAM, 2, fds));
    TRY(socketpair(AF_INET, SOCK_STREAM, 0, fds));
    TRY(socketpair(99, SOCK_STREAM, 0, fds));
    TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, BAD_POINTER));
    TRY(PAIR(fds, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK));
    SHOW("%d %d", fcntl(fds[0], F_GETFD), fcntl(fds[1], F_GETFL) & O_NONBLOCK);
}

CASE(unix, socketpair_bad_pointer_leaks_nothing)
{
    int before = open("/dev/null", O_RDONLY);
    close(before);
    TRY(socketpair(AF_UNIX, SOCK_STREAM, 0, BAD_POINTER));
    SHOW("%d", open("/dev/null", O_RDONLY) == before);
}

CASE(unix, stream_shutdown)
{
    int fds[2];
    char b[8];
    signal(SIGPIPE, SIG_IGN);
    PAIR(fds, SOCK_STREAM);
    TRY(shutdown(fds[0], SHUT_WR));
    TRY(read(fds[1], b, 8));
    TRY(write(fds[0], "x", 1));
    TRY(write(fds[1], "x", 1));
    TRY(shutdown(fds[0], SHUT_RD));
    TRY(read(fds[0], b, 8));
    TRY(write(fds[1], "x", 1));
    TRY(shutdown(fds[0], 3));
    TRY(shutdown(-1, 0));
    TRY(shutdown(open("f", O_CREAT, 0644), 0));
}

CASE(unix, peer_gone)
{
    int fds[2];
    char b[8];
    PAIR(fds, SOCK_STREAM);
    write(fds[1], "last", 4);
    close(fds[1]);
    TRY(send(fds[0], "x", 1, MSG_NOSIGNAL));
    TRY(read(fds[0], b, 8));
    TRY(read(fds[0], b, 8));
    TRY(write(fds[0], "x", 1));
}

CASE(unix, peer_gone_unread)
{
    int fds[2];
    char b[8];
    PAIR(fds, SOCK_STREAM);
    write(fds[0], "x", 1);
    close(fds[1]);
    TRY(read(fds[0], b, 8));
    TRY(read(fds[0], b, 8));
}

CASE(unix, datagram_keeps_borders)
{
    int fds[2];
    char b[8];
    PAIR(fds, SOCK_DGRAM);
    TRY(send(fds[0], "one", 3, 0));
    TRY(send(fds[0], "", 0, 0));
    TRY(send(fds[0], "three", 5, 0));
    TRY(recv(fds[1], b, 8, 0));
    TRY(recv(fds[1], b, 8, 0));
    TRY(recv(fds[1], b, 2, 0));
    TRY(recv(fds[1], b, 8, MSG_DONTWAIT));
    TRY(send(fds[0], "longer", 6, 0));
    TRY(recv(fds[1], b, 2, MSG_TRUNC));
}

CASE(unix, datagram_by_name)
{
    struct sockaddr_un a = named("a"), b = named("b"), from = {0};
    int x = socket(AF_UNIX, SOCK_DGRAM, 0), y = socket(AF_UNIX, SOCK_DGRAM, 0);
    char data[8];
    bind(x, A(a), sizeof a);
    TRY(sendto(y, "q", 1, 0, A(a), sizeof a));
    socklen_t n = sizeof from;
    TRY(recvfrom(x, data, 8, 0, A(from), &n));
    show_name(&from, n);
    bind(y, A(b), sizeof b);
    TRY(sendto(y, "q", 1, 0, A(a), sizeof a));
    n = sizeof from;
    TRY(recvfrom(x, data, 8, 0, A(from), &n));
    show_name(&from, n);
    TRY(sendto(x, "r", 1, 0, A(from), n));
    TRY(send(x, "r", 1, 0));
    b = named("nobody");
    TRY(sendto(x, "r", 1, 0, A(b), sizeof b));
    TRY(connect(x, A(from), sizeof from));
    TRY(send(x, "r", 1, 0));
    close(y);
    TRY(send(x, "r", 1, 0));
}

CASE(unix, datagram_too_long)
{
    int fds[2];
    char *big = calloc(1, 1 << 20);
    PAIR(fds, SOCK_DGRAM);
    TRY(send(fds[0], big, 1 << 20, 0));
    TRY(send(fds[0], big, 100000, 0));
    TRY(recv(fds[1], big, 1 << 20, 0));
}

CASE(unix, sequenced_packets)
{
    int fds[2];
    char b[16];
    struct iovec v = {b, 3};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    PAIR(fds, SOCK_SEQPACKET);
    TRY(send(fds[0], "abcdef", 6, MSG_EOR));
    TRY(recvmsg(fds[1], &m, 0));
    SHOW("%x", m.msg_flags);
    send(fds[0], "xy", 2, 0);
    TRY(recvmsg(fds[1], &m, 0));
    SHOW("%x", m.msg_flags);
    close(fds[0]);
    TRY(recv(fds[1], b, 8, 0));
}

CASE(unix, peer_credentials)
{
    int fds[2];
    struct ucred c;
    socklen_t n = sizeof c;
    PAIR(fds, SOCK_STREAM);
    TRY(getsockopt(fds[0], SOL_SOCKET, SO_PEERCRED, &c, &n));
    SHOW("%u %d %d %d", n, c.pid == getpid(), c.uid == getuid(), c.gid == getgid());
    n = 4;
    TRY(getsockopt(fds[0], SOL_SOCKET, SO_PEERCRED, &c, &n));
    SHOW("%u", n);
    n = sizeof c;
    TRY(getsockopt(socket(AF_UNIX, SOCK_STREAM, 0), SOL_SOCKET, SO_PEERCRED, &c, &n));
    SHOW("%d %d", c.pid, c.uid);
}

/* Sends control data of one kind with a byte. */
static long send_control(int fd, int type, const void *data, size_t size)
{
    char control[CMSG_SPACE(300)] = {0}, byte = 'x';
    struct iovec v = {&byte, 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = CMSG_SPACE(size)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(c), data, size);
    return sendmsg(fd, &m, MSG_NOSIGNAL);
}

/* Receives a byte and shows the control data; descriptors go to fds. */
static int receive_control(int fd, size_t room, int flags, int *fds)
{
    char control[600] = {0}, byte;
    struct iovec v = {&byte, 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = room};
    int count = 0;
    TRY(recvmsg(fd, &m, flags));
    SHOW("flags %x, %zu", m.msg_flags, m.msg_controllen);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        SHOW("level %d type %d size %zu", c->cmsg_level, c->cmsg_type, c->cmsg_len);
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            count = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(fds, CMSG_DATA(c), (size_t)count * sizeof(int));
        }
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
            struct ucred u;
            memcpy(&u, CMSG_DATA(c), sizeof u);
            SHOW("%d %d", u.pid == getpid(), u.uid == getuid());
        }
    }
    return count;
}

CASE(unix, passing_a_file)
{
    int fds[2], got[8] = {-1};
    char b[8] = "";
    PAIR(fds, SOCK_STREAM);
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    write(fd, "abcdef", 6);
    lseek(fd, 2, SEEK_SET);
    TRY(send_control(fds[0], SCM_RIGHTS, &fd, sizeof fd));
    TRY(receive_control(fds[1], 100, 0, got));
    TRY(read(got[0], b, 2));
    SHOW("%s", b);
    TRY(lseek(fd, 0, SEEK_CUR));
    SHOW("%d", fcntl(got[0], F_GETFD));
    close(fd);
    TRY(read(got[0], b, 2));
}

CASE(unix, passing_several)
{
    int fds[2], got[8], sent[3], ends[2];
    char b[4];
    PAIR(fds, SOCK_DGRAM);
    pipe(ends);
    sent[0] = ends[1];
    sent[1] = open("f", O_RDWR | O_CREAT, 0644);
    sent[2] = open("/dev/null", O_RDONLY);
    TRY(send_control(fds[0], SCM_RIGHTS, sent, sizeof sent));
    TRY(receive_control(fds[1], 200, MSG_CMSG_CLOEXEC, got));
    TRY(write(got[0], "x", 1));
    TRY(read(ends[0], b, 1));
    SHOW("%d %d", fcntl(got[0], F_GETFD), fcntl(got[1], F_GETFD));
    TRY(write(got[1], "yy", 2));
    TRY(lseek(sent[1], 0, SEEK_CUR));
}

CASE(unix, passing_without_room)
{
    int fds[2], got[8], sent[2];
    PAIR(fds, SOCK_STREAM);
    sent[0] = open("f", O_RDWR | O_CREAT, 0644);
    sent[1] = open("/dev/null", O_RDONLY);
    send_control(fds[0], SCM_RIGHTS, sent, sizeof sent);
    TRY(receive_control(fds[1], 0, 0, got));
    send_control(fds[0], SCM_RIGHTS, sent, sizeof sent);
    TRY(receive_control(fds[1], CMSG_LEN(4), 0, got));
    send_control(fds[0], SCM_RIGHTS, sent, sizeof sent);
    TRY(receive_control(fds[1], 8, 0, got));
}

CASE(unix, passing_what_is_not_open)
{
    int fds[2], bad = 999;
    PAIR(fds, SOCK_STREAM);
    TRY(send_control(fds[0], SCM_RIGHTS, &bad, sizeof bad));
    bad = -1;
    TRY(send_control(fds[0], SCM_RIGHTS, &bad, sizeof bad));
    bad = 65530;
    TRY(send_control(fds[0], SCM_RIGHTS, &bad, sizeof bad));
}

CASE(unix, passing_too_many)
{
    int fds[2], many[64];
    static char control[CMSG_SPACE(254 * 4)];
    char byte = 0;
    struct iovec v = {&byte, 1};
    PAIR(fds, SOCK_STREAM);
    for (int n = 253; n <= 254; n++) {
        struct msghdr m = {.msg_iov = &v,
                           .msg_iovlen = 1,
                           .msg_control = control,
                           .msg_controllen = CMSG_SPACE((size_t)n * 4)};
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)n * 4);
        memset(CMSG_DATA(c), 0, (size_t)n * 4);
        TRY(sendmsg(fds[0], &m, 0));
    }
    (void)many;
}

CASE(unix, passing_with_bad_headers)
{
    int fds[2];
    char control[64] = {0}, byte = 0;
    struct iovec v = {&byte, 1};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control};
    struct cmsghdr *c = (struct cmsghdr *)control;
    PAIR(fds, SOCK_STREAM);
    m.msg_controllen = 8;
    TRY(sendmsg(fds[0], &m, 0));
    m.msg_controllen = 20;
    c->cmsg_len = 8;
    TRY(sendmsg(fds[0], &m, 0));
    c->cmsg_len = 64;
    TRY(sendmsg(fds[0], &m, 0));
    c->cmsg_len = 20;
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = 77;
    TRY(sendmsg(fds[0], &m, 0));
    c->cmsg_level = 77;
    TRY(sendmsg(fds[0], &m, 0));
    m.msg_control = BAD_POINTER;
    TRY(sendmsg(fds[0], &m, 0));
    m.msg_controllen = 1 << 30;
    TRY(sendmsg(fds[0], &m, 0));
}

CASE(unix, passing_a_socket_to_a_child)
{
    int fds[2], inner[2], got[8];
    char b[4] = "";
    PAIR(fds, SOCK_STREAM);
    PAIR(inner, SOCK_STREAM);
    fflush(stdout);
    if (fork() == 0) {
        receive_control(fds[1], 100, 0, got);
        write(got[0], "ok", 2);
        _exit(0);
    }
    send_control(fds[0], SCM_RIGHTS, &inner[1], sizeof(int));
    close(inner[1]);
    TRY(read(inner[0], b, 2));
    SHOW("%s", b);
    wait(NULL);
}

CASE(unix, passing_over_peek)
{
    int fds[2], got[8] = {-1};
    PAIR(fds, SOCK_STREAM);
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    send_control(fds[0], SCM_RIGHTS, &fd, sizeof fd);
    TRY(receive_control(fds[1], 100, MSG_PEEK, got));
    SHOW("%d", got[0] > 2);
    TRY(receive_control(fds[1], 100, 0, got));
}

CASE(unix, credentials_with_messages)
{
    int fds[2], on = 1, none[4];
    struct ucred u = {getpid(), getuid(), getgid()};
    PAIR(fds, SOCK_DGRAM);
    TRY(setsockopt(fds[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    send(fds[0], "x", 1, 0);
    receive_control(fds[1], 200, 0, none);
    TRY(send_control(fds[0], SCM_CREDENTIALS, &u, sizeof u));
    receive_control(fds[1], 200, 0, none);
    u.pid = 1;
    TRY(send_control(fds[0], SCM_CREDENTIALS, &u, sizeof u));
    u.pid = getpid();
    u.uid = 12345;
    TRY(send_control(fds[0], SCM_CREDENTIALS, &u, sizeof u));
}

CASE(unix, both_kinds_of_control)
{
    int fds[2], on = 1, got[4];
    PAIR(fds, SOCK_STREAM);
    setsockopt(fds[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    TRY(send_control(fds[0], SCM_RIGHTS, &fd, sizeof fd));
    TRY(receive_control(fds[1], 300, 0, got));
}

CASE(unix, listen_backlog)
{
    struct sockaddr_un a = named("s");
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    TRY(listen(listener, 1));
    bind(listener, A(a), sizeof a);
    TRY(listen(listener, 0));
    TRY(connect(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), A(a), sizeof a));
    TRY(connect(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), A(a), sizeof a));
    TRY(listen(socket(AF_UNIX, SOCK_DGRAM, 0), 1));
    TRY(listen(-1, 1));
    TRY(listen(open("f", O_CREAT, 0644), 1));
}

CASE(unix, accept_errors)
{
    struct sockaddr_un a = named("s");
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    TRY(accept(listener, NULL, NULL));
    bind(listener, A(a), sizeof a);
    listen(listener, 4);
    TRY(accept(listener, NULL, NULL));
    TRY(accept4(listener, NULL, NULL, 1));
    connect(socket(AF_UNIX, SOCK_STREAM, 0), A(a), sizeof a);
    TRY(accept(listener, A(a), BAD_POINTER));
    connect(socket(AF_UNIX, SOCK_STREAM, 0), A(a), sizeof a);
    int fd = OK(accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
    SHOW("%d %d", fcntl(fd, F_GETFD), fcntl(fd, F_GETFL) & O_NONBLOCK);
    TRY(accept(open("f", O_CREAT, 0644), NULL, NULL));
    TRY(accept(-1, NULL, NULL));
}

CASE(unix, queue_sizes)
{
    int fds[2], n;
    PAIR(fds, SOCK_STREAM);
    write(fds[0], "12345", 5);
    TRY(ioctl(fds[1], FIONREAD, &n));
    SHOW("%d", n);
    PAIR(fds, SOCK_DGRAM);
    write(fds[0], "123", 3);
    write(fds[0], "12345", 5);
    TRY(ioctl(fds[1], FIONREAD, &n));
    SHOW("%d", n);
}

CASE(unix, bytes_in_pieces)
{
    int fds[2];
    PAIR(fds, SOCK_STREAM);
    char *data = malloc(300000), *back = malloc(300000);
    for (int i = 0; i < 300000; i++)
        data[i] = (char)(i * 7);
    fflush(stdout);
    if (fork() == 0) {
        write(fds[0], data, 300000);
        _exit(0);
    }
    close(fds[0]);
    TRY(recv(fds[1], back, 300000, MSG_WAITALL));
    SHOW("%d", memcmp(data, back, 300000));
    TRY(recv(fds[1], back, 1, MSG_WAITALL));
    wait(NULL);
}

CASE(unix, connected_datagram_refuses_others)
{
    struct sockaddr_un a = named("a"), b = named("b");
    int x = socket(AF_UNIX, SOCK_DGRAM, 0), y = socket(AF_UNIX, SOCK_DGRAM, 0),
        z = socket(AF_UNIX, SOCK_DGRAM, 0);
    bind(x, A(a), sizeof a);
    bind(y, A(b), sizeof b);
    TRY(connect(x, A(b), sizeof b));
    TRY(sendto(z, "q", 1, 0, A(a), sizeof a));
    a.sun_family = AF_UNSPEC;
    TRY(connect(x, A(a), sizeof a));
    a.sun_family = AF_UNIX;
    TRY(sendto(z, "q", 1, 0, A(a), sizeof a));
}
