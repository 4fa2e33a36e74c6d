/* What the cases about sockets share. */
#ifndef ASHLAR_TESTS_CONFORMANCE_NET_H
#define ASHLAR_TESTS_CONFORMANCE_NET_H

#include "conformance.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>

#define A(address) ((struct sockaddr *)&(address))

static inline struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static inline struct sockaddr_un named(const char *path)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    strncpy(a.sun_path, path, sizeof a.sun_path);
    return a;
}

/* A socket bound to a free port of the loopback address. */
static inline int bound(int type, struct sockaddr_in *at)
{
    int fd = socket(AF_INET, type, 0);
    socklen_t size = sizeof *at;
    *at = loopback(0);
    bind(fd, A(*at), sizeof *at);
    getsockname(fd, A(*at), &size);
    return fd;
}

/* A connected pair over TCP: [0] connected, [1] accepted. */
static inline void tcp_pair(int fds[2])
{
    struct sockaddr_in at;
    int listener = bound(SOCK_STREAM, &at);
    listen(listener, 5);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    connect(fds[0], A(at), sizeof at);
    fds[1] = accept(listener, NULL, NULL);
    close(listener);
}

static inline void udp_pair(int fds[2])
{
    struct sockaddr_in a, b;
    fds[0] = bound(SOCK_DGRAM, &a);
    fds[1] = bound(SOCK_DGRAM, &b);
    connect(fds[0], A(b), sizeof b);
    connect(fds[1], A(a), sizeof a);
}

static inline void datagrams(int fds[2])
{
    socketpair(AF_UNIX, SOCK_DGRAM, 0, fds);
}

static inline void streams(int fds[2])
{
    socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
}

static inline int readable(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, 2000);
}

#endif
