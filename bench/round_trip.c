/*
 * The baseline of a line miss: TCP's bare 64 B request and 4 KiB reply between two processes on
 * the loopback interface, with nothing around it.
 *
 *   round_trip blocking|spinning [COUNT]
 *
 * spinning is the policy of ashlar-exec and of the memory monitor: try for up to SPIN_US, then
 * sleep, and where that did not pay sleep at once the next 1, 3, 7, ... BACKOFF_MAX times.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "limits.h"

enum { REQUEST_BYTES = 64, REPLY_BYTES = 4096, WARM_UP = 1000, BACKOFF_MAX = 63 };

static bool spinning;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static size_t receive_some(int fd, uint8_t *to, size_t room)
{
    static unsigned skip, backoff;
    if (spinning && skip) {
        skip--;
    } else if (spinning) {
        uint64_t until = bench_ns() + SPIN_US * 1000;
        do {
            ssize_t n = recv(fd, to, room, MSG_DONTWAIT);
            if (n >= 0) {
                backoff = 0;
                return (size_t)n;
            }
            if (errno != EAGAIN && errno != EINTR)
                fail("recv");
            for (unsigned i = 0; i < SPIN_PAUSES; i++)
                __builtin_ia32_pause();
        } while (bench_ns() < until);
        backoff = backoff < BACKOFF_MAX ? backoff * 2 + 1 : BACKOFF_MAX;
        skip = backoff;
    }
    ssize_t n = recv(fd, to, room, 0);
    if (n < 0)
        fail("recv");
    return (size_t)n;
}

/* false: the other end has closed. */
static bool receive_all(int fd, uint8_t *to, size_t size)
{
    while (size) {
        size_t n = receive_some(fd, to, size);
        if (!n)
            return false;
        to += n;
        size -= n;
    }
    return true;
}

static void send_all(int fd, const uint8_t *data, size_t size)
{
    if (send(fd, data, size, MSG_NOSIGNAL) != (ssize_t)size)
        fail("send");
}

static void no_delay(int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

static void serve(int listener)
{
    uint8_t request[REQUEST_BYTES];
    static uint8_t reply[REPLY_BYTES];
    int fd = accept(listener, NULL, NULL);
    no_delay(fd);
    while (receive_all(fd, request, sizeof request))
        send_all(fd, reply, sizeof reply);
    _exit(0);
}

int main(int argc, char **argv)
{
    spinning = argc > 1 && strcmp(argv[1], "spinning") == 0;
    size_t count = bench_argument(argc, argv, 2, 20000);
    uint32_t *ns = malloc(count * sizeof *ns);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (!ns || bind(listener, (struct sockaddr *)&at, size) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *)&at, &size) < 0)
        fail("listen");
    pid_t child = fork();
    if (child == 0)
        serve(listener);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&at, size) < 0)
        fail("connect");
    no_delay(fd);

    uint8_t request[REQUEST_BYTES] = {0};
    static uint8_t reply[REPLY_BYTES];
    for (size_t i = 0; i < WARM_UP + count; i++) {
        uint64_t since = bench_ns();
        send_all(fd, request, sizeof request);
        if (!receive_all(fd, reply, sizeof reply))
            fail("the server has ended");
        if (i >= WARM_UP)
            ns[i - WARM_UP] = (uint32_t)(bench_ns() - since);
    }
    close(fd);
    waitpid(child, NULL, 0);
    printf("{");
    bench_print(ns, count);
    printf("}\n");
    return 0;
}
