/* sendmmsg and recvmmsg: several messages at once, an error after some, descriptors among them. */
#include "net.h"

CASE(sendmmsg, several)
{
    int fds[2];
    char b[8];
    struct iovec v[3] = {{"a", 1}, {"bb", 2}, {"ccc", 3}};
    struct mmsghdr m[3] = {0};
    for (int i = 0; i < 3; i++)
        m[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
    datagrams(fds);
    TRY(sendmmsg(fds[0], m, 3, 0));
    SHOW("%u %u %u", m[0].msg_len, m[1].msg_len, m[2].msg_len);
    TRY(recv(fds[1], b, 8, 0));
    TRY(recv(fds[1], b, 8, 0));
    TRY(recv(fds[1], b, 8, 0));
    TRY(sendmmsg(fds[0], m, 0, 0));
    TRY(sendmmsg(fds[0], BAD_POINTER, 2, 0));
    TRY(sendmmsg(-1, m, 1, 0));
}

CASE(sendmmsg, partial)
{
    int fds[2];
    struct iovec v[3] = {{"a", 1}, {BAD_POINTER, 2}, {"ccc", 3}};
    struct mmsghdr m[3] = {0};
    for (int i = 0; i < 3; i++)
        m[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
    datagrams(fds);
    TRY(sendmmsg(fds[0], m, 3, 0));
    SHOW("%u %u", m[0].msg_len, m[1].msg_len);
    TRY(sendmmsg(fds[0], m + 1, 2, 0));
}

static void receive_many(int fd, unsigned count, int flags, struct timespec *timeout)
{
    static char b[4][8];
    struct iovec v[4];
    struct mmsghdr m[4] = {0};
    for (int i = 0; i < 4; i++) {
        v[i] = (struct iovec){b[i], 8};
        m[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
    }
    TRY(recvmmsg(fd, m, count, flags, timeout));
    SHOW("%u %u %u %u", m[0].msg_len, m[1].msg_len, m[2].msg_len, m[3].msg_len);
}

CASE(recvmmsg, several)
{
    int fds[2];
    datagrams(fds);
    send(fds[0], "a", 1, 0);
    send(fds[0], "bb", 2, 0);
    receive_many(fds[1], 4, MSG_DONTWAIT, NULL);
    receive_many(fds[1], 4, MSG_DONTWAIT, NULL);
    send(fds[0], "a", 1, 0);
    receive_many(fds[1], 4, MSG_WAITFORONE, NULL);
    receive_many(fds[1], 0, 0, NULL);
}

CASE(recvmmsg, timeouts)
{
    int fds[2];
    struct timespec t = {0, 0}, bad = {0, 2000000000}, negative = {-1, 0};
    datagrams(fds);
    send(fds[0], "a", 1, 0);
    send(fds[0], "b", 1, 0);
    receive_many(fds[1], 4, 0, &t);
    receive_many(fds[1], 4, 0, &bad);
    receive_many(fds[1], 4, 0, &negative);
    receive_many(fds[1], 4, MSG_DONTWAIT, BAD_POINTER);
    t = (struct timespec){5, 0};
    receive_many(fds[1], 1, 0, &t);
    SHOW("%d", t.tv_sec == 4 || t.tv_sec == 5);
}

/* What a socket says of the error that it keeps, twice: asking takes it away. */
static void kept_error(int fd)
{
    int error = -1;
    socklen_t size = sizeof error;
    struct pollfd p = {fd, 0, 0};
    poll(&p, 1, 0);
    SHOW("POLLERR %d", (p.revents & POLLERR) != 0);
    for (int i = 0; i < 2; i++) {
        TRY(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
        SHOW("%s", error ? strerrorname_np(error) : "none");
    }
}

static struct iovec many_v[4];
static struct mmsghdr many[4];
static char many_b[4][8];

/* Four messages of 8 bytes each, the second one's vector as given. */
static void second_is(void *base, size_t size)
{
    for (int i = 0; i < 4; i++) {
        many_v[i] = i == 1 ? (struct iovec){base, size} : (struct iovec){many_b[i], 8};
        many[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &many_v[i], .msg_iovlen = 1}};
    }
}

static void send_letters(int fd, const char *letters)
{
    for (; *letters; letters++)
        send(fd, letters, 1, 0);
}

CASE(recvmmsg, error_after_some)
{
    int fds[2];
    char b[8] = "";
    datagrams(fds);
    send_letters(fds[0], "abcde");
    second_is(BAD_POINTER, 8);
    TRY(recvmmsg(fds[1], many, 4, MSG_DONTWAIT, NULL));
    SHOW("%s %u %u", many_b[0], many[0].msg_len, many[1].msg_len);
    kept_error(fds[1]);
    TRY(recv(fds[1], b, 8, MSG_DONTWAIT));
    SHOW("%s", b);
    TRY(recvmmsg(fds[1], many, 4, MSG_DONTWAIT, NULL));
    TRY(recv(fds[1], b, 8, MSG_DONTWAIT)); /* the error */
    TRY(recv(fds[1], b, 8, MSG_DONTWAIT));
    TRY(recvmmsg(fds[1], many + 1, 3, MSG_DONTWAIT, NULL));
    kept_error(fds[1]);
}

CASE(recvmmsg, error_for_the_next_recvmmsg)
{
    int fds[2];
    udp_pair(fds);
    send_letters(fds[0], "abc");
    second_is(BAD_POINTER, 8);
    readable(fds[1]);
    TRY(recvmmsg(fds[1], many, 4, 0, NULL));
    second_is(many_b[1], 8);
    TRY(recvmmsg(fds[1], many, 4, MSG_DONTWAIT, NULL));
    TRY(recvmmsg(fds[1], many, 4, MSG_DONTWAIT, NULL));
    SHOW("%s", many_b[0]);
    TRY(recvmmsg(fds[1], many, 4, MSG_DONTWAIT, NULL));
    kept_error(fds[1]);
}

CASE(recvmmsg, error_for_the_next_send)
{
    int fds[2];
    udp_pair(fds);
    send_letters(fds[0], "ab");
    second_is(BAD_POINTER, 8);
    readable(fds[1]);
    TRY(recvmmsg(fds[1], many, 2, 0, NULL));
    TRY(send(fds[1], "x", 1, 0));
    TRY(send(fds[1], "x", 1, 0));
}

CASE(recvmmsg, bad_descriptions_after_some)
{
    int fds[2];
    datagrams(fds);
    send_letters(fds[0], "abcdefghijklmno");
    second_is(many_b[1], (size_t)-1);
    TRY(recvmmsg(fds[1], many, 4, MSG_DONTWAIT, NULL));
    kept_error(fds[1]);
    second_is((void *)(uintptr_t)0xffff800000000000, 8);
    TRY(recvmmsg(fds[1], many, 4, MSG_DONTWAIT, NULL));
    kept_error(fds[1]);
    second_is(many_b[1], 8);
    many[1].msg_hdr.msg_iovlen = 1025;
    TRY(recvmmsg(fds[1], many, 4, MSG_DONTWAIT, NULL));
    kept_error(fds[1]);
    many[1].msg_hdr.msg_iovlen = 1;
    many[1].msg_hdr.msg_iov = BAD_POINTER;
    TRY(recvmmsg(fds[1], many, 4, MSG_DONTWAIT, NULL));
    kept_error(fds[1]);
    second_is(many_b[1], 8);
    many[1].msg_hdr.msg_name = many_b[3];
    many[1].msg_hdr.msg_namelen = (socklen_t)-1;
    TRY(recvmmsg(fds[1], many, 4, MSG_DONTWAIT, NULL));
    kept_error(fds[1]);
    struct mmsghdr *last = before_a_hole(sizeof *last);
    second_is(many_b[1], 8);
    *last = many[0];
    TRY(recvmmsg(fds[1], last, 2, MSG_DONTWAIT, NULL));
    kept_error(fds[1]);
    TRY(recvmmsg(fds[1], BAD_POINTER, 2, MSG_DONTWAIT, NULL));
    kept_error(fds[1]);
    TRY(recvmmsg(fds[1], many, 4, MSG_DONTWAIT, NULL));
    SHOW("%s%s%s%s", many_b[0], many_b[1], many_b[2], many_b[3]);
}

CASE(recvmmsg, names_and_control_that_cannot_be_written)
{
    struct sockaddr_in a, b, from = {0};
    int x = bound(SOCK_DGRAM, &a), y = bound(SOCK_DGRAM, &b), one = 1;
    char control[64];
    setsockopt(y, IPPROTO_IP, IP_PKTINFO, &one, sizeof one);
    for (int i = 0; i < 6; i++)
        sendto(x, "abcdef" + i, 1, 0, A(b), sizeof b);
    readable(y);
    second_is(many_b[1], 8);
    many[0].msg_hdr.msg_name = &from;
    many[0].msg_hdr.msg_namelen = sizeof from;
    many[0].msg_hdr.msg_control = control;
    many[0].msg_hdr.msg_controllen = sizeof control;
    many[1].msg_hdr.msg_control = BAD_POINTER;
    many[1].msg_hdr.msg_controllen = 64;
    many[2].msg_hdr.msg_name = BAD_POINTER;
    many[2].msg_hdr.msg_namelen = 16;
    TRY(recvmmsg(y, many, 4, MSG_DONTWAIT, NULL));
    SHOW("%u %d %zu %x", many[0].msg_hdr.msg_namelen, from.sin_port == a.sin_port,
         many[0].msg_hdr.msg_controllen, many[0].msg_hdr.msg_flags);
    SHOW("%zu %x", many[1].msg_hdr.msg_controllen, many[1].msg_hdr.msg_flags);
    kept_error(y);
    second_is(many_b[1], 0);
    many[2].msg_hdr.msg_name = before_a_hole(sizeof from);
    many[2].msg_hdr.msg_namelen = 100;
    TRY(recvmmsg(y, many, 4, MSG_DONTWAIT, NULL));
    SHOW("%c%c %u %u %x", many_b[0][0], many_b[2][0], many[1].msg_len, many[2].msg_hdr.msg_namelen,
         many[1].msg_hdr.msg_flags);
    kept_error(y);
}

/* The second message of a stream: what cannot be written is not taken from it. */
CASE(recvmmsg, bad_buffer_of_a_stream)
{
    int fds[2];
    char b[16] = "";
    for (int tcp = 0; tcp < 2; tcp++) {
        if (tcp)
            tcp_pair(fds);
        else
            streams(fds);
        send(fds[0], "0123456789abcdef", 16, 0);
        readable(fds[1]);
        second_is(BAD_POINTER, 8);
        TRY(recvmmsg(fds[1], many, 4, MSG_DONTWAIT, NULL));
        kept_error(fds[1]);
        memset(b, 0, sizeof b);
        TRY(recv(fds[1], b, 8, MSG_DONTWAIT));
        SHOW("%.8s", b);
        send(fds[0], "0123456789abcdef", 16, 0);
        second_is(memset(before_a_hole(4), 0, 4), tcp ? 8 : 4);
        many_v[0].iov_len = 2;
        TRY(recvmmsg(fds[1], many, 2, MSG_DONTWAIT, NULL));
        SHOW("%u %.*s", many[1].msg_len, (int)many[1].msg_len, (char *)many_v[1].iov_base);
    }
}

/* Another process has the error come while this one waits for its second message. */
static void refused_while_waiting(int fds[2])
{
    struct sockaddr_in gone;
    int nobody = bound(SOCK_DGRAM, &gone), left = 1;
    fds[1] = bound(SOCK_DGRAM, &gone);
    socklen_t size = sizeof gone;
    getsockname(nobody, A(gone), &size);
    connect(fds[1], A(gone), sizeof gone);
    getsockname(fds[1], A(gone), &size);
    sendto(nobody, "a", 1, 0, A(gone), sizeof gone);
    close(nobody);
    readable(fds[1]);
    fflush(stdout);
    if (fork() == 0) {
        while (left) /* until the first message was taken */
            ioctl(fds[1], FIONREAD, &left);
        send(fds[1], "x", 1, 0);
        _exit(0);
    }
}

CASE(recvmmsg, refused_after_some)
{
    int fds[2];
    second_is(many_b[1], 8);
    refused_while_waiting(fds);
    TRY(recvmmsg(fds[1], many, 4, 0, NULL));
    kept_error(fds[1]);
    refused_while_waiting(fds);
    TRY(recvmmsg(fds[1], many, 4, 0, NULL));
    TRY(recv(fds[1], many_b[0], 8, MSG_DONTWAIT));
    TRY(recv(fds[1], many_b[0], 8, MSG_DONTWAIT));
}

CASE(recvmmsg, descriptors)
{
    int fds[2], pipes[2], got[4] = {-1, -1, -1, -1};
    char control[4][CMSG_SPACE(sizeof(int))] __attribute__((aligned(8)));
    datagrams(fds);
    pipe(pipes);
    second_is(many_b[1], 8);
    for (int i = 0; i < 4; i++) {
        many[i].msg_hdr.msg_control = control[i];
        many[i].msg_hdr.msg_controllen = sizeof control[i];
        struct cmsghdr *c = CMSG_FIRSTHDR(&many[i].msg_hdr);
        *c = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(c), &pipes[i & 1], sizeof(int));
    }
    TRY(sendmmsg(fds[0], many, 4, 0));
    memset(control, 0, sizeof control);
    TRY(recvmmsg(fds[1], many, 4, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL));
    for (int i = 0; i < 4; i++) {
        memcpy(&got[i], CMSG_DATA(CMSG_FIRSTHDR(&many[i].msg_hdr)), sizeof(int));
        SHOW("%zu %d", many[i].msg_hdr.msg_controllen, fcntl(got[i], F_GETFD));
    }
    TRY(write(got[3], "x", 1));
    TRY(read(got[0], many_b[0], 1));
}

/* How many descriptors there are below 64. */
static int open_ones(void)
{
    int n = 0;
    for (int fd = 0; fd < 64; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void send_descriptor(int to, const char *text, size_t size)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec v = {(void *)text, size};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    int fd = 0;
    *c = (struct cmsghdr){CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    if (sendmsg(to, &m, 0) < 0)
        perror("sendmsg");
}

CASE(recvmsg, no_descriptors_with_a_bad_buffer)
{
    int s[2];
    char control[64], text[8];
    struct iovec v = {BAD_POINTER, 8};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    socketpair(AF_UNIX, SOCK_DGRAM, 0, s);
    send_descriptor(s[0], "first", 5);
    send_descriptor(s[0], "second", 6);
    int before = open_ones();
    TRY(recvmsg(s[1], &m, 0));
    SHOW("%d more", open_ones() - before);
    v.iov_base = text;
    m.msg_controllen = sizeof control;
    TRY(recvmsg(s[1], &m, 0));
    SHOW("%d more", open_ones() - before);
}

CASE(recvmmsg, control_that_is_half_there)
{
    int s[2];
    char text[3][8], control[64];
    struct iovec v[3];
    struct mmsghdr m[3] = {0};
    socketpair(AF_UNIX, SOCK_DGRAM, 0, s);
    for (int i = 0; i < 3; i++) {
        send_descriptor(s[0], "text", 4);
        v[i] = (struct iovec){text[i], 8};
        m[i].msg_hdr = (struct msghdr){.msg_iov = &v[i], .msg_iovlen = 1};
    }
    m[1].msg_hdr.msg_control = before_a_hole(8);
    m[1].msg_hdr.msg_controllen = sizeof control;
    int before = open_ones();
    TRY(recvmmsg(s[1], m, 3, MSG_DONTWAIT, NULL));
    SHOW("%d more", open_ones() - before);
    SHOW("%u %u %u", m[0].msg_len, m[1].msg_len, m[2].msg_len);
}

/* More than any buffer of the kernel's for one call. */
CASE(recvmmsg, many_large_ones)
{
    enum { COUNT = 48, SIZE = 40000 };
    static struct mmsghdr m[COUNT];
    static struct iovec v[COUNT][3];
    int fds[2], room = COUNT * SIZE * 2;
    char *sent = malloc(SIZE), *back = malloc((size_t)COUNT * SIZE);
    unsigned right = 0;
    streams(fds);
    for (int i = 0; i < COUNT; i++) {
        char *at = back + (size_t)i * SIZE;
        v[i][0] = (struct iovec){at, 1};
        v[i][1] = (struct iovec){at + 1, SIZE / 2};
        v[i][2] = (struct iovec){at + 1 + SIZE / 2, SIZE - 1 - SIZE / 2};
        m[i].msg_hdr = (struct msghdr){.msg_iov = v[i], .msg_iovlen = 3};
    }
    fflush(stdout);
    if (fork() == 0) {
        for (int i = 0; i < COUNT; i++) {
            memset(sent, 'A' + i, SIZE);
            send(fds[0], sent, SIZE, 0);
        }
        _exit(0);
    }
    TRY(recvmmsg(fds[1], m, COUNT, MSG_WAITALL, NULL));
    for (int i = 0; i < COUNT; i++) {
        memset(sent, 'A' + i, SIZE);
        right += m[i].msg_len == SIZE && !memcmp(sent, back + (size_t)i * SIZE, SIZE);
    }
    SHOW("%u", right);
}

CASE(recvmmsg, peeked_and_cut)
{
    int fds[2];
    datagrams(fds);
    send(fds[0], "0123456789", 10, 0);
    send(fds[0], "x", 1, 0);
    second_is(many_b[1], 8);
    TRY(recvmmsg(fds[1], many, 2, MSG_DONTWAIT | MSG_PEEK | MSG_TRUNC, NULL));
    SHOW("%u %u %x %x", many[0].msg_len, many[1].msg_len, many[0].msg_hdr.msg_flags,
         many[1].msg_hdr.msg_flags);
    TRY(recvmmsg(fds[1], many, 4, MSG_DONTWAIT, NULL));
    SHOW("%u %u %x", many[0].msg_len, many[1].msg_len, many[0].msg_hdr.msg_flags);
    TRY(recvmmsg(0, many, 2, MSG_DONTWAIT, NULL));
    TRY(recvmmsg(-1, BAD_POINTER, 2, MSG_DONTWAIT, NULL));
    TRY(recvmmsg(0, BAD_POINTER, 0, MSG_DONTWAIT, NULL));
}
