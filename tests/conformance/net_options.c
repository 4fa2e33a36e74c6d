/* Options of sockets: what they are at first, what is taken, and their lengths. */
#include "net.h"

static void show(int fd, int level, int option, const char *name)
{
    int v = 0x5a5a5a5a;
    socklen_t n = sizeof v;
    errno = 0;
    int rc = getsockopt(fd, level, option, &v, &n);
    if (rc < 0)
        SHOW("%s: %s", name, strerrorname_np(errno));
    else
        SHOW("%s: %d (%u)", name, v, n);
}
#define GET(fd, level, option) show(fd, level, option, #option)

static void change(int fd, int level, int option, int v, const char *name)
{
    errno = 0;
    int rc = setsockopt(fd, level, option, &v, sizeof v);
    SHOW("set %s to %d: %d %s", name, v, rc, rc ? strerrorname_np(errno) : "");
    show(fd, level, option, name);
}
#define SET(fd, level, option, v) change(fd, level, option, v, #option)

static void each(int fd)
{
    GET(fd, SOL_SOCKET, SO_TYPE);
    GET(fd, SOL_SOCKET, SO_DOMAIN);
    GET(fd, SOL_SOCKET, SO_PROTOCOL);
    GET(fd, SOL_SOCKET, SO_ACCEPTCONN);
    GET(fd, SOL_SOCKET, SO_ERROR);
    GET(fd, SOL_SOCKET, SO_REUSEADDR);
    GET(fd, SOL_SOCKET, SO_KEEPALIVE);
    GET(fd, SOL_SOCKET, SO_BROADCAST);
    GET(fd, SOL_SOCKET, SO_OOBINLINE);
    GET(fd, SOL_SOCKET, SO_PRIORITY);
    GET(fd, SOL_SOCKET, SO_RCVLOWAT);
    GET(fd, SOL_SOCKET, SO_SNDLOWAT);
    GET(fd, SOL_SOCKET, SO_TIMESTAMP);
    GET(fd, SOL_SOCKET, SO_PASSCRED);
    GET(fd, SOL_SOCKET, SO_MARK);
    GET(fd, SOL_SOCKET, SO_REUSEPORT);
    GET(fd, SOL_SOCKET, SO_DONTROUTE);
    GET(fd, SOL_SOCKET, SO_PEEK_OFF);
    GET(fd, SOL_SOCKET, SO_INCOMING_CPU);
    GET(fd, SOL_SOCKET, SO_RCVBUF);
    GET(fd, SOL_SOCKET, SO_SNDBUF);
    GET(fd, SOL_SOCKET, 9999);
}

CASE(sockopt, of_tcp)
{
    each(socket(AF_INET, SOCK_STREAM, 0));
}

CASE(sockopt, of_udp)
{
    each(socket(AF_INET, SOCK_DGRAM, 0));
}

CASE(sockopt, of_unix_stream)
{
    each(socket(AF_UNIX, SOCK_STREAM, 0));
}

CASE(sockopt, of_unix_datagram)
{
    each(socket(AF_UNIX, SOCK_DGRAM, 0));
}

CASE(sockopt, of_ipv6)
{
    each(socket(AF_INET6, SOCK_STREAM, 0));
}

CASE(sockopt, switches)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SET(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    SET(fd, SOL_SOCKET, SO_REUSEADDR, 7);
    SET(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    SET(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    SET(fd, SOL_SOCKET, SO_OOBINLINE, 1);
    SET(fd, SOL_SOCKET, SO_BROADCAST, 1);
    SET(fd, SOL_SOCKET, SO_DONTROUTE, 1);
    SET(fd, SOL_SOCKET, SO_TIMESTAMP, 1);
    SET(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    SET(fd, SOL_SOCKET, SO_NO_CHECK, 1);
}

CASE(sockopt, read_only_ones)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SET(fd, SOL_SOCKET, SO_TYPE, 1);
    SET(fd, SOL_SOCKET, SO_ERROR, 1);
    SET(fd, SOL_SOCKET, SO_ACCEPTCONN, 1);
    SET(fd, SOL_SOCKET, SO_DOMAIN, 1);
    SET(fd, SOL_SOCKET, SO_PROTOCOL, 1);
}

CASE(sockopt, buffers)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SET(fd, SOL_SOCKET, SO_RCVBUF, 10000);
    SET(fd, SOL_SOCKET, SO_SNDBUF, 10000);
    SET(fd, SOL_SOCKET, SO_RCVBUF, 0);
    SET(fd, SOL_SOCKET, SO_SNDBUF, -1);
    SET(fd, SOL_SOCKET, SO_SNDBUF, INT_MAX);
    SET(fd, SOL_SOCKET, SO_RCVBUFFORCE, 100000);
    SET(fd, SOL_SOCKET, SO_RCVLOWAT, 10);
    SET(fd, SOL_SOCKET, SO_RCVLOWAT, -5);
    SET(fd, SOL_SOCKET, SO_SNDLOWAT, 10);
}

CASE(sockopt, privileged_ones)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SET(fd, SOL_SOCKET, SO_MARK, 5);
    SET(fd, SOL_SOCKET, SO_PRIORITY, 6);
    SET(fd, SOL_SOCKET, SO_PRIORITY, 7);
    SET(fd, SOL_SOCKET, SO_DEBUG, 1);
    TRY(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
    TRY(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "nodevice", 9));
}

CASE(sockopt, lengths_given)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    long v = 1;
    TRY(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &v, 0));
    TRY(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &v, 1));
    TRY(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &v, 8));
    TRY(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &v, -1));
    TRY(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, NULL, 4));
    TRY(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, BAD_POINTER, 4));
    TRY(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, before_a_hole(2), 4));
    TRY(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, before_a_hole(4), 4));
    TRY(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, before_a_hole(4), 4096));
    TRY(setsockopt(fd, 999, 1, &v, 4));
    TRY(setsockopt(fd, SOL_SOCKET, 999, &v, 4));
    TRY(setsockopt(-1, SOL_SOCKET, SO_REUSEADDR, &v, 4));
    TRY(setsockopt(open("f", O_CREAT, 0644), SOL_SOCKET, SO_REUSEADDR, &v, 4));
}

CASE(sockopt, lengths_asked)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char v[64];
    socklen_t n;
    for (int i = 0; i < 10; i += 3) {
        memset(v, 'z', sizeof v);
        n = (socklen_t)i;
        TRY(getsockopt(fd, SOL_SOCKET, SO_TYPE, v, &n));
        SHOW("%u %d %d", n, v[0], v[4]);
    }
    n = (socklen_t)-1;
    TRY(getsockopt(fd, SOL_SOCKET, SO_TYPE, v, &n));
    n = 4;
    TRY(getsockopt(fd, SOL_SOCKET, SO_TYPE, BAD_POINTER, &n));
    TRY(getsockopt(fd, SOL_SOCKET, SO_TYPE, NULL, &n));
    TRY(getsockopt(fd, SOL_SOCKET, SO_TYPE, v, BAD_POINTER));
    TRY(getsockopt(fd, SOL_SOCKET, SO_TYPE, v, NULL));
    TRY(getsockopt(-1, SOL_SOCKET, SO_TYPE, v, &n));
    TRY(getsockopt(open("f", O_CREAT, 0644), SOL_SOCKET, SO_TYPE, v, &n));
    n = 4096;
    TRY(getsockopt(fd, SOL_SOCKET, SO_TYPE, before_a_hole(4), &n));
    SHOW("%u", n);
    n = 2;
    TRY(getsockopt(fd, SOL_SOCKET, SO_TYPE, before_a_hole(2), &n));
}

CASE(sockopt, linger)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct linger l = {1, 30};
    socklen_t n = sizeof l;
    TRY(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, sizeof l));
    l = (struct linger){0};
    TRY(getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &n));
    SHOW("%d %d %u", l.l_onoff, l.l_linger, n);
    TRY(setsockopt(fd, SOL_SOCKET, SO_LINGER, &l, 4));
    n = 4;
    TRY(getsockopt(fd, SOL_SOCKET, SO_LINGER, &l, &n));
    SHOW("%u", n);
}

CASE(sockopt, tcp_level)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SET(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    SET(fd, IPPROTO_TCP, TCP_CORK, 1);
    SET(fd, IPPROTO_TCP, TCP_MAXSEG, 500);
    SET(fd, IPPROTO_TCP, TCP_MAXSEG, 1);
    SET(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
    SET(fd, IPPROTO_TCP, TCP_KEEPIDLE, 0);
    SET(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);
    SET(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    SET(fd, IPPROTO_TCP, TCP_KEEPCNT, 1000);
    SET(fd, IPPROTO_TCP, TCP_SYNCNT, 3);
    SET(fd, IPPROTO_TCP, TCP_LINGER2, 10);
    SET(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5);
    SET(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, 10000);
    SET(fd, IPPROTO_TCP, TCP_QUICKACK, 0);
    SET(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 1000);
    SET(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, -1);
    SET(fd, IPPROTO_TCP, TCP_FASTOPEN, 5);
    SET(fd, IPPROTO_TCP, 999, 5);
}

CASE(sockopt, tcp_congestion)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char name[32] = "";
    socklen_t n = sizeof name;
    TRY(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &n));
    SHOW("%s %u", name, n);
    TRY(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
    n = sizeof name;
    getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &n);
    SHOW("%s", name);
    TRY(setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "nothing", 7));
    n = 2;
    TRY(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &n));
    SHOW("%u", n);
}

CASE(sockopt, tcp_level_of_udp)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    GET(fd, IPPROTO_TCP, TCP_NODELAY);
    GET(fd, IPPROTO_UDP, 1);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    GET(fd, IPPROTO_TCP, TCP_NODELAY);
    GET(fd, IPPROTO_IP, IP_TTL);
}

CASE(sockopt, ip_level)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    SET(fd, IPPROTO_IP, IP_TTL, 10);
    SET(fd, IPPROTO_IP, IP_TTL, 256);
    SET(fd, IPPROTO_IP, IP_TTL, 0);
    SET(fd, IPPROTO_IP, IP_TOS, 0x10);
    SET(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
    SET(fd, IPPROTO_IP, IP_MTU_DISCOVER, 99);
    SET(fd, IPPROTO_IP, IP_PKTINFO, 1);
    SET(fd, IPPROTO_IP, IP_RECVTOS, 1);
    SET(fd, IPPROTO_IP, IP_FREEBIND, 1);
    SET(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
    SET(fd, IPPROTO_IP, IP_HDRINCL, 1);
    GET(fd, IPPROTO_IP, IP_MTU);
    SET(fd, IPPROTO_IP, 999, 1);
}

CASE(sockopt, ip_options)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    unsigned char out[40], nop[4] = {1, 1, 1, 0};
    socklen_t n = sizeof out;
    TRY(getsockopt(fd, IPPROTO_IP, IP_OPTIONS, out, &n));
    SHOW("%u", n);
    TRY(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, nop, 4));
    n = sizeof out;
    TRY(getsockopt(fd, IPPROTO_IP, IP_OPTIONS, out, &n));
    SHOW("%u", n);
    TRY(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, nop, 44));
}

CASE(sockopt, multicast)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    SET(fd, IPPROTO_IP, IP_MULTICAST_TTL, 5);
    SET(fd, IPPROTO_IP, IP_MULTICAST_TTL, 300);
    SET(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 0);
    SET(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
    struct ip_mreq m = {.imr_multiaddr.s_addr = htonl(0xe0000105),
                        .imr_interface.s_addr = htonl(INADDR_LOOPBACK)};
    TRY(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m));
    TRY(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m));
    TRY(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &m, sizeof m));
    TRY(setsockopt(fd, IPPROTO_IP, IP_DROP_MEMBERSHIP, &m, sizeof m));
    m.imr_multiaddr.s_addr = htonl(0x01020304);
    TRY(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, sizeof m));
    TRY(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &m, 4));
    struct in_addr a = {htonl(INADDR_LOOPBACK)};
    TRY(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &a, sizeof a));
}

CASE(sockopt, unix_level)
{
    int fds[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    SET(fds[0], SOL_SOCKET, SO_PASSCRED, 1);
    SET(fds[0], SOL_SOCKET, SO_PEEK_OFF, 3);
    SET(fds[0], SOL_SOCKET, SO_SNDBUF, 20000);
    SET(fds[0], SOL_SOCKET, SO_PASSSEC, 1);
    char groups[64];
    socklen_t n = sizeof groups;
    TRY(getsockopt(fds[0], SOL_SOCKET, SO_PEERGROUPS, groups, &n));
    SHOW("%u", n);
}

CASE(sockopt, peek_offset)
{
    int fds[2], at = 2;
    char b[8] = "";
    socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    write(fds[0], "abcdef", 6);
    setsockopt(fds[1], SOL_SOCKET, SO_PEEK_OFF, &at, sizeof at);
    TRY(recv(fds[1], b, 2, MSG_PEEK));
    SHOW("%s", b);
    TRY(recv(fds[1], b, 2, MSG_PEEK));
    SHOW("%s", b);
}

CASE(sockopt, filter)
{
    struct {
        unsigned short code;
        unsigned char jt, jf;
        unsigned int k;
    } drop[] = {{0x06, 0, 0, 0}};
    struct {
        unsigned short count;
        void *code;
    } program = {1, drop};
    int fds[2], v = 0;
    char b;
    udp_pair(fds);
    TRY(setsockopt(fds[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
    send(fds[0], "x", 1, 0);
    TRY(recv(fds[1], &b, 1, MSG_DONTWAIT));
    TRY(setsockopt(fds[1], SOL_SOCKET, SO_DETACH_FILTER, &v, sizeof v));
    TRY(setsockopt(fds[1], SOL_SOCKET, SO_DETACH_FILTER, &v, sizeof v));
    program.count = 0;
    TRY(setsockopt(fds[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
    program.count = 1;
    program.code = BAD_POINTER;
    TRY(setsockopt(fds[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
    TRY(setsockopt(fds[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, 4));
}

CASE(sockopt, timeouts)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct timeval v = {3, 500000};
    socklen_t n = sizeof v;
    TRY(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &v, sizeof v));
    v = (struct timeval){0};
    TRY(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &v, &n));
    SHOW("%ld %ld %u", (long)v.tv_sec, (long)v.tv_usec, n);
    v = (struct timeval){-1, 0};
    TRY(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &v, sizeof v));
    v = (struct timeval){0, -1};
    TRY(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &v, sizeof v));
    n = 8;
    TRY(getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &v, &n));
    SHOW("%u", n);
}

CASE(sockopt, accepting)
{
    struct sockaddr_in a;
    int fd = bound(SOCK_STREAM, &a);
    GET(fd, SOL_SOCKET, SO_ACCEPTCONN);
    listen(fd, 3);
    GET(fd, SOL_SOCKET, SO_ACCEPTCONN);
}

CASE(sockopt, ports_shared)
{
    struct sockaddr_in a;
    int x = socket(AF_INET, SOCK_DGRAM, 0), y = socket(AF_INET, SOCK_DGRAM, 0), on = 1;
    socklen_t n = sizeof a;
    setsockopt(x, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    setsockopt(y, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    a = loopback(0);
    bind(x, A(a), sizeof a);
    getsockname(x, A(a), &n);
    TRY(bind(y, A(a), sizeof a));
    TRY(bind(socket(AF_INET, SOCK_DGRAM, 0), A(a), sizeof a));
}
