/* TCP and UDP over the loopback address, v4 and v6. */
#include "net.h"

CASE(socket, kinds)
{
    TRY(socket(99, SOCK_STREAM, 0));
    TRY(socket(-1, SOCK_STREAM, 0));
    TRY(socket(AF_INET, 99, 0));
    TRY(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
    TRY(socket(AF_INET, SOCK_DGRAM, IPPROTO_TCP));
    TRY(socket(AF_INET, SOCK_STREAM, 9999));
    OK(socket(AF_INET, SOCK_STREAM, IPPROTO_TCP));
    OK(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDP));
    TRY(socket(AF_INET, SOCK_SEQPACKET, 0));
    TRY(socket(AF_INET, SOCK_STREAM | 0x400000, 0));
}

CASE(socket, raw_is_refused)
{
    TRY(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP));
    TRY(socket(AF_INET, SOCK_RAW, 0));
    TRY(socket(AF_PACKET, SOCK_RAW, 0));
    TRY(socket(AF_PACKET, SOCK_DGRAM, 0));
    TRY(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6));
}

CASE(socket, flags)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    SHOW("%d %d", fcntl(fd, F_GETFD), (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    SHOW("%d %d", fcntl(fd, F_GETFD), (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
}

CASE(socket, is_not_a_file)
{
    struct stat st;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    TRY(fstat(fd, &st));
    SHOW("%d", S_ISSOCK(st.st_mode));
    TRY(lseek(fd, 0, SEEK_SET));
    TRY(pread(fd, &st, 1, 0));
    TRY(ftruncate(fd, 0));
    TRY(fsync(fd));
}

CASE(tcp, not_connected)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char b;
    struct sockaddr_in a;
    socklen_t n = sizeof a;
    TRY(read(fd, &b, 1));
    TRY(send(fd, "x", 1, MSG_NOSIGNAL));
    TRY(getpeername(fd, A(a), &n));
    TRY(shutdown(fd, SHUT_RDWR));
    TRY(accept(fd, NULL, NULL));
    n = sizeof a;
    TRY(getsockname(fd, A(a), &n));
    SHOW("%u %d %d", n, a.sin_port, a.sin_addr.s_addr);
}

CASE(tcp, write_raises_sigpipe)
{
    write(socket(AF_INET, SOCK_STREAM, 0), "x", 1);
}

CASE(tcp, connect_and_names)
{
    int fds[2];
    struct sockaddr_in a, b;
    socklen_t n = sizeof a;
    tcp_pair(fds);
    getsockname(fds[0], A(a), &n);
    TRY(getpeername(fds[1], A(b), &n));
    SHOW("%u %d", n, a.sin_port == b.sin_port && a.sin_addr.s_addr == b.sin_addr.s_addr);
    n = 4;
    TRY(getsockname(fds[0], A(a), &n));
    SHOW("%u", n);
}

CASE(tcp, connect_errors)
{
    struct sockaddr_in a;
    int unused = bound(SOCK_STREAM, &a), fd = socket(AF_INET, SOCK_STREAM, 0);
    TRY(connect(fd, A(a), sizeof a));
    TRY(connect(fd, A(a), 3));
    TRY(connect(fd, BAD_POINTER, sizeof a));
    a.sin_family = 77;
    TRY(connect(fd, A(a), sizeof a));
    TRY(connect(-1, A(a), sizeof a));
    a = loopback(80);
    a.sin_addr.s_addr = htonl(INADDR_BROADCAST);
    TRY(connect(fd, A(a), sizeof a));
    close(unused);
    int fds[2];
    tcp_pair(fds);
    a = loopback(1);
    TRY(connect(fds[0], A(a), sizeof a));
}

CASE(tcp, connect_without_waiting)
{
    struct sockaddr_in a;
    int listener = bound(SOCK_STREAM, &a), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    listen(listener, 5);
    TRY(connect(fd, A(a), sizeof a));
    struct pollfd p = {fd, POLLOUT, 0};
    TRY(poll(&p, 1, 2000));
    int error = 77;
    socklen_t n = sizeof error;
    TRY(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n));
    SHOW("%d", error);
    TRY(connect(fd, A(a), sizeof a));
    TRY(connect(fd, A(a), sizeof a));
}

CASE(tcp, connect_refused_without_waiting)
{
    struct sockaddr_in a;
    int unused = bound(SOCK_STREAM, &a), fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    TRY(connect(fd, A(a), sizeof a));
    struct pollfd p = {fd, POLLOUT, 0};
    TRY(poll(&p, 1, 2000));
    SHOW("%x", p.revents);
    int error = 0;
    socklen_t n = sizeof error;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n);
    SHOW("%s", strerrorname_np(error));
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n);
    SHOW("%d", error);
    close(unused);
}

CASE(tcp, bind_errors)
{
    struct sockaddr_in a, b;
    int first = bound(SOCK_STREAM, &a), fd = socket(AF_INET, SOCK_STREAM, 0);
    listen(first, 1);
    TRY(bind(fd, A(a), sizeof a));
    b = loopback(0);
    b.sin_addr.s_addr = htonl(0x08080808);
    TRY(bind(fd, A(b), sizeof b));
    b = loopback(0);
    TRY(bind(fd, A(b), 8));
    TRY(bind(fd, A(b), sizeof b));
    TRY(bind(fd, A(b), sizeof b));
    b.sin_family = AF_INET6;
    TRY(bind(socket(AF_INET, SOCK_STREAM, 0), A(b), sizeof b));
}

CASE(tcp, privileged_port)
{
    struct sockaddr_in a = loopback(81);
    TRY(bind(socket(AF_INET, SOCK_STREAM, 0), A(a), sizeof a) >= 0 || errno == EACCES);
}

CASE(tcp, data_both_ways)
{
    int fds[2];
    char b[16] = "";
    tcp_pair(fds);
    TRY(write(fds[0], "question", 8));
    readable(fds[1]);
    TRY(read(fds[1], b, 16));
    TRY(write(fds[1], "answer", 6));
    readable(fds[0]);
    TRY(recv(fds[0], b, 3, MSG_PEEK));
    TRY(recv(fds[0], b, 16, 0));
    SHOW("%.6s", b);
    TRY(recv(fds[0], b, 16, MSG_DONTWAIT));
}

CASE(tcp, wait_for_all)
{
    int fds[2];
    char b[10];
    tcp_pair(fds);
    fflush(stdout);
    if (fork() == 0) {
        for (int i = 0; i < 10; i++) {
            send(fds[0], "0123456789" + i, 1, 0);
            usleep(1000);
        }
        _exit(0);
    }
    TRY(recv(fds[1], b, 10, MSG_WAITALL));
    SHOW("%.10s", b);
    wait(NULL);
}

CASE(tcp, truncating_receive_drops)
{
    int fds[2];
    char b[8] = "zzzzzzz";
    tcp_pair(fds);
    write(fds[0], "abcdef", 6);
    readable(fds[1]);
    TRY(recv(fds[1], b, 4, MSG_TRUNC));
    SHOW("%.4s", b);
    TRY(recv(fds[1], b, 8, 0));
    SHOW("%.2s", b);
    write(fds[0], "ghi", 3);
    readable(fds[1]);
    TRY(recv(fds[1], NULL, 2, MSG_TRUNC));
    TRY(recv(fds[1], b, 8, 0));
}

CASE(tcp, urgent_data)
{
    int fds[2], mark;
    char b[8] = "";
    tcp_pair(fds);
    TRY(send(fds[0], "ab", 2, 0));
    TRY(send(fds[0], "!", 1, MSG_OOB));
    struct pollfd p = {fds[1], POLLPRI, 0};
    TRY(poll(&p, 1, 2000));
    TRY(read(fds[1], b, 8));
    TRY(ioctl(fds[1], SIOCATMARK, &mark));
    SHOW("%d", mark);
    TRY(recv(fds[1], b, 1, MSG_OOB));
    SHOW("%c", b[0]);
    TRY(recv(fds[1], b, 1, MSG_OOB));
}

CASE(tcp, urgent_data_inline)
{
    int fds[2], on = 1;
    char b[8] = "";
    tcp_pair(fds);
    setsockopt(fds[1], SOL_SOCKET, SO_OOBINLINE, &on, sizeof on);
    send(fds[0], "ab", 2, 0);
    send(fds[0], "!", 1, MSG_OOB);
    struct pollfd p = {fds[1], POLLPRI, 0};
    poll(&p, 1, 2000);
    TRY(recv(fds[1], b, 1, MSG_OOB));
    TRY(read(fds[1], b, 8));
    TRY(read(fds[1], b, 8));
}

CASE(tcp, shutdown)
{
    int fds[2];
    char b[4];
    tcp_pair(fds);
    TRY(shutdown(fds[0], SHUT_WR));
    TRY(read(fds[1], b, 4));
    TRY(send(fds[0], "x", 1, MSG_NOSIGNAL));
    TRY(write(fds[1], "y", 1));
    readable(fds[0]);
    TRY(read(fds[0], b, 4));
    TRY(shutdown(fds[1], SHUT_RDWR));
    TRY(read(fds[0], b, 4));
    TRY(shutdown(fds[0], 9));
}

CASE(tcp, reset)
{
    int fds[2];
    char b[4];
    struct linger l = {1, 0};
    tcp_pair(fds);
    TRY(setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &l, sizeof l));
    close(fds[0]);
    readable(fds[1]);
    TRY(read(fds[1], b, 4));
    TRY(send(fds[1], "x", 1, MSG_NOSIGNAL));
}

CASE(tcp, receive_timeout)
{
    int fds[2];
    char b;
    struct timeval v = {0, 20000};
    tcp_pair(fds);
    TRY(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &v, sizeof v));
    TRY(recv(fds[0], &b, 1, 0));
    socklen_t n = sizeof v;
    TRY(getsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &v, &n));
    SHOW("%u %ld %d", n, v.tv_sec, v.tv_usec > 0);
    v.tv_usec = 2000000;
    TRY(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &v, sizeof v));
    TRY(setsockopt(fds[0], SOL_SOCKET, SO_RCVTIMEO, &v, 4));
}

CASE(tcp, accept_timeout)
{
    struct sockaddr_in a;
    struct timeval v = {0, 20000};
    int fd = bound(SOCK_STREAM, &a);
    listen(fd, 1);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &v, sizeof v);
    TRY(accept(fd, NULL, NULL));
}

CASE(tcp, full_buffers)
{
    int fds[2], n = 0;
    static char data[65536];
    tcp_pair(fds);
    fcntl(fds[0], F_SETFL, O_NONBLOCK);
    while (send(fds[0], data, sizeof data, 0) > 0)
        n++;
    SHOW("%s %d", strerrorname_np(errno), n > 2);
    struct pollfd p = {fds[0], POLLOUT, 0};
    TRY(poll(&p, 1, 0));
}

CASE(tcp, send_timeout)
{
    int fds[2];
    static char data[1 << 20];
    struct timeval v = {0, 20000};
    tcp_pair(fds);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDTIMEO, &v, sizeof v);
    long got = 0;
    for (int i = 0; i < 100 && (got = send(fds[0], data, sizeof data, 0)) == sizeof data; i++)
        ;
    SHOW("%d", got < (long)sizeof data);
    TRY(send(fds[0], data, sizeof data, 0));
}

CASE(tcp, large_transfer)
{
    int fds[2];
    size_t size = 3 << 20;
    char *data = malloc(size), *back = malloc(size);
    for (size_t i = 0; i < size; i++)
        data[i] = (char)(i * 31 >> 3);
    tcp_pair(fds);
    fflush(stdout);
    if (fork() == 0) {
        size_t done = 0;
        while (done < size)
            done += (size_t)write(fds[0], data + done, size - done);
        _exit(0);
    }
    close(fds[0]);
    size_t done = 0;
    long got;
    while ((got = read(fds[1], back + done, size - done)) > 0)
        done += (size_t)got;
    SHOW("%zu %d", done, memcmp(data, back, size));
    wait(NULL);
}

CASE(tcp, information)
{
    int fds[2];
    struct tcp_info i;
    socklen_t n = sizeof i;
    tcp_pair(fds);
    TRY(getsockopt(fds[0], IPPROTO_TCP, TCP_INFO, &i, &n));
    SHOW("%d %d", n == sizeof i, i.tcpi_state);
    n = 1;
    TRY(getsockopt(fds[0], IPPROTO_TCP, TCP_INFO, &i, &n));
    SHOW("%u %d", n, i.tcpi_state);
}

CASE(udp, datagrams)
{
    int fds[2];
    char b[8];
    udp_pair(fds);
    TRY(send(fds[0], "one", 3, 0));
    TRY(send(fds[0], "", 0, 0));
    TRY(send(fds[0], "longer", 6, 0));
    readable(fds[1]);
    TRY(recv(fds[1], b, 8, 0));
    TRY(recv(fds[1], b, 8, 0));
    TRY(recv(fds[1], b, 2, MSG_PEEK | MSG_TRUNC));
    TRY(recv(fds[1], b, 2, 0));
    TRY(recv(fds[1], b, 2, MSG_DONTWAIT));
}

CASE(udp, addresses)
{
    struct sockaddr_in a, b, from;
    int x = bound(SOCK_DGRAM, &a), y = bound(SOCK_DGRAM, &b);
    char data[4];
    socklen_t n = sizeof from;
    TRY(sendto(x, "q", 1, 0, A(b), sizeof b));
    readable(y);
    TRY(recvfrom(y, data, 4, 0, A(from), &n));
    SHOW("%u %d", n, from.sin_port == a.sin_port);
    TRY(sendto(x, "q", 1, 0, A(b), 4));
    TRY(sendto(x, "q", 1, 0, BAD_POINTER, sizeof b));
    TRY(send(x, "q", 1, 0));
    b.sin_port = 0;
    TRY(sendto(x, "q", 1, 0, A(b), sizeof b));
    b.sin_family = 77;
    TRY(sendto(x, "q", 1, 0, A(b), sizeof b));
}

CASE(udp, port_unreachable)
{
    struct sockaddr_in a;
    int gone = bound(SOCK_DGRAM, &a), fd = socket(AF_INET, SOCK_DGRAM, 0);
    char b;
    close(gone);
    connect(fd, A(a), sizeof a);
    TRY(send(fd, "x", 1, 0));
    readable(fd);
    TRY(recv(fd, &b, 1, MSG_DONTWAIT));
    TRY(recv(fd, &b, 1, MSG_DONTWAIT));
}

CASE(udp, error_queue)
{
    struct sockaddr_in a;
    int gone = bound(SOCK_DGRAM, &a), fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    char b[16], control[256];
    struct iovec v = {b, 16};
    struct sockaddr_in name;
    struct msghdr m = {.msg_name = &name,
                       .msg_namelen = sizeof name,
                       .msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = sizeof control};
    close(gone);
    TRY(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on));
    TRY(sendto(fd, "lost", 4, 0, A(a), sizeof a));
    struct pollfd p = {fd, POLLERR, 0};
    TRY(poll(&p, 1, 2000));
    TRY(recvmsg(fd, &m, MSG_ERRQUEUE));
    SHOW("%x %.4s %d", m.msg_flags, b, name.sin_port == a.sin_port);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c)
        SHOW("%d %d %zu", c->cmsg_level, c->cmsg_type, c->cmsg_len);
    TRY(recvmsg(fd, &m, MSG_ERRQUEUE));
}

CASE(udp, too_long)
{
    int fds[2];
    static char data[70000];
    udp_pair(fds);
    TRY(send(fds[0], data, 65507, 0));
    TRY(send(fds[0], data, 65508, 0));
    TRY(send(fds[0], data, 70000, 0));
    readable(fds[1]);
    TRY(recv(fds[1], data, sizeof data, 0));
}

CASE(udp, disconnect)
{
    int fds[2];
    struct sockaddr_in a = {.sin_family = AF_UNSPEC};
    socklen_t n = sizeof a;
    udp_pair(fds);
    TRY(connect(fds[0], A(a), sizeof a));
    TRY(send(fds[0], "x", 1, 0));
    TRY(getpeername(fds[0], A(a), &n));
}

CASE(udp, broadcast_needs_permission)
{
    struct sockaddr_in a = loopback(9);
    int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    a.sin_addr.s_addr = htonl(INADDR_BROADCAST);
    TRY(sendto(fd, "x", 1, 0, A(a), sizeof a));
    TRY(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on));
}

CASE(udp, packet_information)
{
    struct sockaddr_in a, b;
    int x = bound(SOCK_DGRAM, &a), y = bound(SOCK_DGRAM, &b), on = 1;
    char data[8], control[256];
    struct iovec v = {data, 8};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    TRY(setsockopt(y, IPPROTO_IP, IP_PKTINFO, &on, sizeof on));
    TRY(setsockopt(y, IPPROTO_IP, IP_RECVTTL, &on, sizeof on));
    sendto(x, "q", 1, 0, A(b), sizeof b);
    readable(y);
    TRY(recvmsg(y, &m, 0));
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        SHOW("%d %d %zu", c->cmsg_level, c->cmsg_type, c->cmsg_len);
}

CASE(udp, time_stamps)
{
    int fds[2], on = 1;
    char data[8], control[256];
    struct iovec v = {data, 8};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    udp_pair(fds);
    TRY(setsockopt(fds[1], SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on));
    send(fds[0], "q", 1, 0);
    readable(fds[1]);
    TRY(recvmsg(fds[1], &m, 0));
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    SHOW("%d", c ? c->cmsg_type : -1);
}

CASE(ipv6, loopback)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    socklen_t n = sizeof a;
    int listener = socket(AF_INET6, SOCK_STREAM, 0), fd = socket(AF_INET6, SOCK_STREAM, 0);
    char b[4];
    TRY(bind(listener, A(a), sizeof a));
    TRY(getsockname(listener, A(a), &n));
    SHOW("%u", n);
    TRY(listen(listener, 1));
    TRY(connect(fd, A(a), sizeof a));
    int got = OK(accept(listener, NULL, NULL));
    write(fd, "six", 3);
    readable(got);
    TRY(read(got, b, 4));
    TRY(connect(socket(AF_INET6, SOCK_STREAM, 0), A(a), 16));
}

CASE(ipv6, mapped_addresses)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6};
    struct sockaddr_in b;
    socklen_t n = sizeof a;
    int off = 0, fd = socket(AF_INET6, SOCK_STREAM, 0), c = socket(AF_INET, SOCK_STREAM, 0);
    TRY(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off));
    TRY(bind(fd, A(a), sizeof a));
    listen(fd, 1);
    getsockname(fd, A(a), &n);
    b = loopback(ntohs(a.sin6_port));
    TRY(connect(c, A(b), sizeof b));
    n = sizeof a;
    OK(accept(fd, A(a), &n));
    SHOW("%u %d", n, IN6_IS_ADDR_V4MAPPED(&a.sin6_addr));
}

CASE(ipv6, only)
{
    int on = 1, v = 7;
    socklen_t n = sizeof v;
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    TRY(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on));
    TRY(getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v, &n));
    SHOW("%d %u", v, n);
    TRY(setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &on, sizeof on));
    v = 300;
    TRY(setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &v, sizeof v));
}
