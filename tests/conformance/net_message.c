/* sendmsg, recvmsg and their kin: vectors, half-mapped buffers; netlink and names. */
#include "net.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netdb.h>

CASE(sendmsg, vectors)
{
    int fds[2];
    char b[16] = "";
    struct iovec v[3] = {{"ab", 2}, {NULL, 0}, {"cde", 3}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 3};
    datagrams(fds);
    TRY(sendmsg(fds[0], &m, 0));
    TRY(recv(fds[1], b, 16, 0));
    SHOW("%s", b);
    m.msg_iovlen = 0;
    TRY(sendmsg(fds[0], &m, 0));
    TRY(recv(fds[1], b, 16, 0));
    m.msg_iovlen = 1025;
    TRY(sendmsg(fds[0], &m, 0));
    m.msg_iovlen = (size_t)-1;
    TRY(sendmsg(fds[0], &m, 0));
    m.msg_iovlen = 2;
    m.msg_iov = BAD_POINTER;
    TRY(sendmsg(fds[0], &m, 0));
    TRY(sendmsg(fds[0], BAD_POINTER, 0));
    TRY(sendmsg(-1, &m, 0));
}

CASE(sendmsg, vector_lengths)
{
    int fds[2];
    struct iovec v[2] = {{"ab", 2}, {"cd", (size_t)-1}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
    streams(fds);
    TRY(sendmsg(fds[0], &m, MSG_DONTWAIT));
    v[1].iov_len = SIZE_MAX / 2 + 1;
    TRY(sendmsg(fds[0], &m, MSG_DONTWAIT));
}

CASE(sendmsg, bad_buffer)
{
    int fds[2];
    char b[16];
    struct iovec v[2] = {{"ab", 2}, {BAD_POINTER, 2}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 2};
    datagrams(fds);
    TRY(sendmsg(fds[0], &m, 0));
    TRY(recv(fds[1], b, 16, MSG_DONTWAIT));
    streams(fds);
    TRY(sendmsg(fds[0], &m, 0));
    TRY(recv(fds[1], b, 16, MSG_DONTWAIT));
    TRY(send(fds[0], before_a_hole(10), 20, 0));
    TRY(recv(fds[1], b, 16, MSG_DONTWAIT));
}

CASE(sendmsg, bad_buffer_of_tcp)
{
    int fds[2];
    char b[16];
    tcp_pair(fds);
    TRY(send(fds[0], BAD_POINTER, 5, 0));
    TRY(recv(fds[1], b, 16, MSG_DONTWAIT));
}

CASE(sendmsg, of_a_file)
{
    struct msghdr m = {0};
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    TRY(sendmsg(fd, &m, 0));
    TRY(recvmsg(fd, &m, 0));
    TRY(send(fd, "x", 1, 0));
    TRY(recv(fd, &m, 1, 0));
}

CASE(sendmsg, flags_not_served)
{
    int fds[2];
    streams(fds);
    TRY(send(fds[0], "x", 1, MSG_OOB) >= 0 || errno == EOPNOTSUPP);
    datagrams(fds);
    TRY(send(fds[0], "x", 1, MSG_OOB));
    TRY(send(fds[0], "x", 1, MSG_DONTROUTE));
    TRY(send(fds[0], "x", 1, MSG_MORE));
    TRY(send(fds[0], "x", 1, MSG_CONFIRM));
}

CASE(sendmsg, with_a_name_when_connected)
{
    int fds[2];
    struct sockaddr_un a = named("x");
    streams(fds);
    TRY(sendto(fds[0], "x", 1, 0, A(a), sizeof a));
    datagrams(fds);
    TRY(sendto(fds[0], "x", 1, 0, A(a), sizeof a));
    struct sockaddr_in in = loopback(9);
    TRY(sendto(fds[0], "x", 1, 0, A(in), sizeof in));
    tcp_pair(fds);
    TRY(sendto(fds[0], "x", 1, 0, A(in), sizeof in));
}

CASE(recvmsg, vectors)
{
    int fds[2];
    char a[3] = "", b[3] = "", c[8] = "";
    struct iovec v[3] = {{a, 2}, {b, 2}, {c, 7}};
    struct msghdr m = {.msg_iov = v, .msg_iovlen = 3};
    datagrams(fds);
    send(fds[0], "abcdefg", 7, 0);
    TRY(recvmsg(fds[1], &m, 0));
    SHOW("%s %s %s %x", a, b, c, m.msg_flags);
    send(fds[0], "abcdefg", 7, 0);
    m.msg_iovlen = 1;
    TRY(recvmsg(fds[1], &m, 0));
    SHOW("%x", m.msg_flags);
    send(fds[0], "abcdefg", 7, 0);
    m.msg_iovlen = 0;
    TRY(recvmsg(fds[1], &m, 0));
    SHOW("%x", m.msg_flags);
    m.msg_iovlen = 2000;
    TRY(recvmsg(fds[1], &m, 0));
    TRY(recvmsg(fds[1], BAD_POINTER, 0));
}

CASE(recvmsg, what_it_writes_back)
{
    int fds[2];
    char b[8], name[100], control[100];
    struct iovec v = {b, 8};
    struct msghdr m = {.msg_name = name,
                       .msg_namelen = 100,
                       .msg_iov = &v,
                       .msg_iovlen = 1,
                       .msg_control = control,
                       .msg_controllen = 100,
                       .msg_flags = 0x7777};
    datagrams(fds);
    send(fds[0], "x", 1, 0);
    TRY(recvmsg(fds[1], &m, 0));
    SHOW("%u %zu %x %zu", m.msg_namelen, m.msg_controllen, m.msg_flags, v.iov_len);
    m.msg_namelen = 100;
    m.msg_flags = 0x7777;
    TRY(recvmsg(fds[1], &m, MSG_DONTWAIT));
    SHOW("%u %x", m.msg_namelen, m.msg_flags);
}

CASE(recvmsg, name_length)
{
    struct sockaddr_in a, b, from;
    int x = bound(SOCK_DGRAM, &a), y = bound(SOCK_DGRAM, &b);
    char data[4];
    struct iovec v = {data, 4};
    struct msghdr m = {.msg_name = &from, .msg_namelen = 4, .msg_iov = &v, .msg_iovlen = 1};
    sendto(x, "x", 1, 0, A(b), sizeof b);
    readable(y);
    TRY(recvmsg(y, &m, 0));
    SHOW("%u", m.msg_namelen);
    m.msg_namelen = (socklen_t)-1;
    TRY(recvmsg(y, &m, MSG_DONTWAIT));
    m.msg_namelen = 4000;
    sendto(x, "x", 1, 0, A(b), sizeof b);
    readable(y);
    TRY(recvmsg(y, &m, 0));
    SHOW("%u", m.msg_namelen);
    m.msg_name = BAD_POINTER;
    m.msg_namelen = 16;
    sendto(x, "x", 1, 0, A(b), sizeof b);
    readable(y);
    TRY(recvmsg(y, &m, 0));
    TRY(recvmsg(y, &m, MSG_DONTWAIT));
}

CASE(recvmsg, bad_buffer_eats_a_datagram)
{
    int fds[2];
    char b[8];
    udp_pair(fds);
    send(fds[0], "one", 3, 0);
    send(fds[0], "two!", 4, 0);
    readable(fds[1]);
    TRY(recv(fds[1], BAD_POINTER, 8, 0));
    TRY(recv(fds[1], b, 8, MSG_DONTWAIT));
}

CASE(recvmsg, bad_buffer_of_a_stream)
{
    int fds[2];
    char b[8] = "";
    streams(fds);
    send(fds[0], "abcd", 4, 0);
    TRY(recv(fds[1], BAD_POINTER, 4, 0));
    TRY(recv(fds[1], b, 8, MSG_DONTWAIT));
    tcp_pair(fds);
    send(fds[0], "abcd", 4, 0);
    readable(fds[1]);
    TRY(recv(fds[1], BAD_POINTER, 4, 0));
    TRY(recv(fds[1], b, 8, MSG_DONTWAIT));
}

CASE(recvmsg, half_a_buffer)
{
    int fds[2];
    char b[64];
    streams(fds);
    send(fds[0], "0123456789abcdef", 16, 0);
    TRY(recv(fds[1], before_a_hole(8), 16, 0) < 16);
    datagrams(fds);
    send(fds[0], "0123456789abcdef", 16, 0);
    TRY(recv(fds[1], before_a_hole(8), 64, 0));
    TRY(recv(fds[1], b, 64, MSG_DONTWAIT));
    send(fds[0], "01234567", 8, 0);
    TRY(recv(fds[1], before_a_hole(8), 64, 0));
}

CASE(recvmsg, zero_bytes)
{
    int fds[2];
    char b;
    streams(fds);
    send(fds[0], "x", 1, 0);
    TRY(recv(fds[1], &b, 0, 0));
    TRY(recv(fds[1], NULL, 0, 0));
    TRY(read(fds[1], &b, 0));
    TRY(send(fds[0], NULL, 0, 0));
    TRY(recv(fds[1], &b, 1, 0));
    datagrams(fds);
    send(fds[0], "x", 1, 0);
    TRY(recv(fds[1], &b, 0, 0));
    TRY(recv(fds[1], &b, 1, MSG_DONTWAIT));
}

CASE(recvfrom, address_pointers)
{
    struct sockaddr_in a, b, from;
    int x = bound(SOCK_DGRAM, &a), y = bound(SOCK_DGRAM, &b);
    char data[4];
    socklen_t n = (socklen_t)-1;
    sendto(x, "x", 1, 0, A(b), sizeof b);
    readable(y);
    TRY(recvfrom(y, data, 4, 0, A(from), &n));
    sendto(x, "x", 1, 0, A(b), sizeof b);
    readable(y);
    TRY(recvfrom(y, data, 4, 0, A(from), NULL));
    n = sizeof from;
    sendto(x, "x", 1, 0, A(b), sizeof b);
    readable(y);
    TRY(recvfrom(y, data, 4, 0, NULL, &n));
    SHOW("%u", n);
}

CASE(recvfrom, of_a_stream)
{
    int fds[2];
    char b[4];
    struct sockaddr_in from;
    socklen_t n = sizeof from;
    tcp_pair(fds);
    send(fds[0], "x", 1, 0);
    readable(fds[1]);
    TRY(recvfrom(fds[1], b, 4, 0, A(from), &n));
    SHOW("%u", n);
}

CASE(recvfrom, flags)
{
    int fds[2];
    char b[4];
    streams(fds);
    TRY(recv(fds[0], b, 4, MSG_DONTWAIT));
    TRY(recv(fds[0], b, 4, MSG_ERRQUEUE | MSG_DONTWAIT));
    TRY(recv(fds[0], b, 4, MSG_OOB));
    tcp_pair(fds);
    TRY(recv(fds[0], b, 4, MSG_OOB));
    TRY(recv(fds[0], b, 4, MSG_ERRQUEUE));
}

CASE(writev, over_a_socket)
{
    int fds[2];
    char b[16] = "";
    struct iovec v[2] = {{"ab", 2}, {"cde", 3}};
    datagrams(fds);
    TRY(writev(fds[0], v, 2));
    TRY(read(fds[1], b, 16));
    SHOW("%s", b);
    TRY(pwrite(fds[0], "x", 1, 0));
}

CASE(netlink, link_list)
{
    struct {
        struct nlmsghdr h;
        struct rtgenmsg g;
    } request = {{.nlmsg_len = sizeof request,
                  .nlmsg_type = RTM_GETLINK,
                  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP,
                  .nlmsg_seq = 7},
                 {AF_UNSPEC}};
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK}, own = {.nl_family = AF_NETLINK};
    int fd = OK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    static char b[65536];
    socklen_t n = sizeof own;
    TRY(bind(fd, A(own), sizeof own));
    TRY(getsockname(fd, A(own), &n));
    SHOW("%u %d", n, own.nl_pid != 0);
    TRY(sendto(fd, &request, sizeof request, 0, A(kernel), sizeof kernel));
    n = sizeof kernel;
    long got = recvfrom(fd, b, sizeof b, 0, A(kernel), &n);
    struct nlmsghdr *h = (struct nlmsghdr *)b;
    SHOW("%d %d %u %u", got > 100, h->nlmsg_type, h->nlmsg_seq, n);
    SHOW("%s", got > 0 && memmem(b, (size_t)got, "lo", 3) ? "lo" : "none");
}

CASE(netlink, truncated)
{
    struct {
        struct nlmsghdr h;
        struct rtgenmsg g;
    } request = {{.nlmsg_len = sizeof request,
                  .nlmsg_type = RTM_GETADDR,
                  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                 {AF_INET}};
    int fd = socket(AF_NETLINK, SOCK_DGRAM, NETLINK_ROUTE);
    char b[20];
    struct iovec v = {b, 20};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    TRY(send(fd, &request, sizeof request, 0));
    TRY(recvmsg(fd, &m, MSG_PEEK | MSG_TRUNC) > 20);
    SHOW("%x", m.msg_flags & MSG_TRUNC);
    TRY(recvmsg(fd, &m, 0));
}

CASE(netlink, changes_are_refused)
{
    struct {
        struct nlmsghdr h;
        struct ifinfomsg i;
    } request = {{.nlmsg_len = sizeof request,
                  .nlmsg_type = RTM_DELLINK,
                  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
                 {.ifi_index = 1}};
    struct {
        struct nlmsghdr h;
        struct nlmsgerr e;
    } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    TRY(send(fd, &request, sizeof request, 0));
    TRY(recv(fd, &answer, sizeof answer, 0) > 0);
    SHOW("%d %s", answer.h.nlmsg_type, strerrorname_np(-answer.e.error));
}

CASE(netlink, protocols)
{
    OK(socket(AF_NETLINK, SOCK_DGRAM, NETLINK_KOBJECT_UEVENT));
    TRY(socket(AF_NETLINK, SOCK_STREAM, NETLINK_ROUTE));
    TRY(socket(AF_NETLINK, SOCK_RAW, 31));
    TRY(socket(AF_NETLINK, SOCK_RAW, 99));
}

CASE(names, localhost)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *r = NULL;
    TRY(getaddrinfo("localhost", "80", &hints, &r));
    if (r)
        SHOW("%s %d", inet_ntoa(((struct sockaddr_in *)r->ai_addr)->sin_addr),
             ntohs(((struct sockaddr_in *)r->ai_addr)->sin_port));
    TRY(getaddrinfo("127.0.0.1", "no such service", &hints, &r) != 0);
}

CASE(names, interfaces)
{
    char name[IF_NAMESIZE] = "";
    TRY(if_nametoindex("lo"));
    SHOW("%s", if_indextoname(1, name) ? name : "none");
    TRY(if_nametoindex("no such"));
    struct ifreq r = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    TRY(ioctl(fd, SIOCGIFFLAGS, &r));
    SHOW("%d", (r.ifr_flags & (IFF_UP | IFF_LOOPBACK)) == (IFF_UP | IFF_LOOPBACK));
    TRY(ioctl(fd, SIOCGIFADDR, &r));
    TRY(ioctl(fd, SIOCGIFMTU, &r));
    SHOW("%d", r.ifr_mtu);
    TRY(ioctl(fd, SIOCSIFFLAGS, &r));
    struct ifreq many[16];
    struct ifconf c = {.ifc_len = sizeof many, .ifc_req = many};
    TRY(ioctl(fd, SIOCGIFCONF, &c));
    SHOW("%d", c.ifc_len >= (int)sizeof(struct ifreq));
    strcpy(r.ifr_name, "none0");
    TRY(ioctl(fd, SIOCGIFFLAGS, &r));
}

CASE(names, host)
{
    char name[256];
    TRY(gethostname(name, sizeof name));
    TRY(gethostname(name, 1));
    TRY(sethostname("x", 1));
}
