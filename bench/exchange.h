/*
 * TCP's bare exchange of a line miss: 64 B there and 4 KiB back, between two processes on the
 * loopback interface, with nothing around it.
 *
 * `spinning` is the policy of ashlar-exec and of the memory monitor: try for up to SPIN_US, then
 * sleep, and where that did not pay sleep at once the next 0, 1, 3, 7, ... EXCHANGE_BACKOFF_MAX / 2
 * times.
 */
#ifndef ASHLAR_BENCH_EXCHANGE_H
#define ASHLAR_BENCH_EXCHANGE_H

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "limits.h"

enum { EXCHANGE_REQUEST = 64, EXCHANGE_REPLY = 4096, EXCHANGE_BACKOFF_MAX = 127 };

struct exchange {
    int fd;
    pid_t server;
    bool spinning;
    unsigned skip, backoff;
};

static void exchange_fail(const char *what)
{
    perror(what);
    exit(1);
}

static size_t exchange_receive_some(struct exchange *x, uint8_t *to, size_t room)
{
    if (x->spinning && x->skip) {
        x->skip--;
    } else if (x->spinning) {
        uint64_t until = bench_ns() + SPIN_US * 1000;
        do {
            ssize_t n = recv(x->fd, to, room, MSG_DONTWAIT);
            if (n >= 0) {
                x->backoff = 0;
                return (size_t)n;
            }
            if (errno != EAGAIN && errno != EINTR)
                exchange_fail("recv");
            for (unsigned i = 0; i < SPIN_PAUSES; i++)
                __builtin_ia32_pause();
        } while (bench_ns() < until);
        x->backoff = x->backoff < EXCHANGE_BACKOFF_MAX ? x->backoff * 2 + 1 : EXCHANGE_BACKOFF_MAX;
        x->skip = x->backoff / 2;
    }
    ssize_t n = recv(x->fd, to, room, 0);
    if (n < 0)
        exchange_fail("recv");
    return (size_t)n;
}

/* false: the other end has closed. */
static bool exchange_receive(struct exchange *x, uint8_t *to, size_t size)
{
    while (size) {
        size_t n = exchange_receive_some(x, to, size);
        if (!n)
            return false;
        to += n;
        size -= n;
    }
    return true;
}

static void exchange_send(struct exchange *x, const uint8_t *data, size_t size)
{
    if (send(x->fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
        exchange_fail("send");
}

static void exchange_no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void exchange_serve(struct exchange *x, int listener)
{
    uint8_t request[EXCHANGE_REQUEST];
    static uint8_t reply[EXCHANGE_REPLY];
    x->fd = accept(listener, NULL, NULL);
    exchange_no_delay(x->fd);
    while (exchange_receive(x, request, sizeof request))
        exchange_send(x, reply, sizeof reply);
    _exit(0);
}

/* Starts the other end and connects to it. */
static inline void exchange_begin(struct exchange *x, bool spinning)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&at, size) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *)&at, &size) < 0)
        exchange_fail("listen");
    *x = (struct exchange){.spinning = spinning};
    x->server = fork();
    if (x->server == 0)
        exchange_serve(x, listener);
    x->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(x->fd, (struct sockaddr *)&at, size) < 0)
        exchange_fail("connect");
    close(listener);
    exchange_no_delay(x->fd);
}

/* One request and its reply of EXCHANGE_REPLY bytes. */
static inline void exchange_once(struct exchange *x, uint8_t *reply)
{
    static const uint8_t request[EXCHANGE_REQUEST];
    exchange_send(x, request, sizeof request);
    if (!exchange_receive(x, reply, EXCHANGE_REPLY))
        exchange_fail("the other end");
}

static inline void exchange_end(struct exchange *x)
{
    close(x->fd);
    waitpid(x->server, NULL, 0);
}

#endif
