/*
 * Sockets: an echo server on epoll with many clients, over TCP and UNIX; datagrams, descriptors and
 * large messages; names, options, and what fails.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "check.h"

enum { CLIENTS = 40, ROUNDS = 25, LARGE = 5 << 20 };

static void set_nonblocking(int fd)
{
    CHECK(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0);
}

/* Serves until `clients` connections have come and gone. Returns the bytes echoed. */
static long serve(int listener, int clients)
{
    static char buffer[4096];
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[16];
    int ep = epoll_create1(EPOLL_CLOEXEC), closed = 0;
    long total = 0;
    set_nonblocking(listener);
    CHECK(ep >= 0 && epoll_ctl(ep, EPOLL_CTL_ADD, listener, &event) == 0);
    while (closed < clients) {
        int n = epoll_wait(ep, events, 16, 20000);
        CHECK(n > 0);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int c = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (c < 0) {
                    CHECK(errno == EAGAIN);
                    continue;
                }
                event = (struct epoll_event){.events = EPOLLIN | EPOLLRDHUP, .data.fd = c};
                CHECK(epoll_ctl(ep, EPOLL_CTL_ADD, c, &event) == 0);
                continue;
            }
            ssize_t got = recv(fd, buffer, sizeof buffer, 0);
            CHECK(got >= 0 || errno == EAGAIN);
            if (got == 0) {
                CHECK(epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL) == 0);
                close(fd);
                closed++;
            } else if (got > 0) {
                CHECK(send(fd, buffer, (size_t)got, MSG_NOSIGNAL) == got);
                total += got;
            }
        }
    }
    close(ep);
    return total;
}

struct client {
    struct sockaddr_storage address;
    socklen_t size;
    int number;
};

static void *client(void *arg)
{
    struct client *c = arg;
    char out[500], in[500];
    int fd = socket(c->address.ss_family, SOCK_STREAM, 0);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&c->address, c->size) == 0);
    for (int i = 0; i < ROUNDS; i++) {
        memset(out, c->number + i, sizeof out);
        CHECK(write(fd, out, sizeof out) == sizeof out);
        CHECK(recv(fd, in, sizeof in, MSG_WAITALL) == sizeof in);
        CHECK(memcmp(in, out, sizeof in) == 0);
    }
    close(fd);
    return NULL;
}

static void echo(const char *what, int listener, struct sockaddr *address, socklen_t size)
{
    static struct client clients[CLIENTS];
    pthread_t threads[CLIENTS / 2];
    fflush(stdout);
    pid_t child = fork(); /* half of the clients from another process */
    for (int i = 0; i < CLIENTS / 2; i++) {
        clients[i].number = i + (child ? 0 : 100);
        clients[i].size = size;
        memcpy(&clients[i].address, address, size);
        CHECK(pthread_create(&threads[i], NULL, client, &clients[i]) == 0);
    }
    if (child) {
        long total = serve(listener, CLIENTS);
        SHOW("%s: echoed %ld", what, total);
    }
    for (int i = 0; i < CLIENTS / 2; i++)
        pthread_join(threads[i], NULL);
    if (!child)
        _exit(0);
    int status;
    waitpid(child, &status, 0);
    SHOW("%s: clients %x", what, status);
}

static void tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET}, name;
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, value = 0;
    CHECK(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
    socklen_t value_size = sizeof value;
    CHECK(getsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &value, &value_size) == 0);
    SHOW("option %d size %u", value, value_size);
    CHECK(bind(listener, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(listener, 64) == 0);
    CHECK(getsockname(listener, (struct sockaddr *)&name, &size) == 0);
    SHOW("name: family %d loopback %d port %d size %u", name.sin_family,
         name.sin_addr.s_addr == address.sin_addr.s_addr, name.sin_port != 0, size);
    int rc = getpeername(listener, (struct sockaddr *)&name, &size);
    SHOW("no peer: %d errno %d", rc, errno);
    size = sizeof name;
    getsockname(listener, (struct sockaddr *)&name, &size);
    echo("tcp", listener, (struct sockaddr *)&name, size);
    close(listener);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    rc = connect(fd, (struct sockaddr *)&name, size);
    SHOW("refused: %d errno %d", rc, errno);
    close(fd);
}

static void unix_path(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "echo.sock"};
    socklen_t size = sizeof address;
    struct stat st;
    umask(027);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 64) == 0);
    int rc = bind(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, size);
    SHOW("bound twice: %d errno %d", rc, errno);
    CHECK(stat("echo.sock", &st) == 0);
    SHOW("socket file: %d mode %o", S_ISSOCK(st.st_mode), st.st_mode & 0777);
    echo("unix", listener, (struct sockaddr *)&address, size);
    CHECK(unlink("echo.sock") == 0);
    rc = connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&address, size);
    SHOW("gone: %d errno %d", rc, errno);
    close(listener);

    struct sockaddr_un abstract = {.sun_family = AF_UNIX};
    snprintf(abstract.sun_path + 1, sizeof abstract.sun_path - 1, "ashlar-test-%d", getpid());
    size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(abstract.sun_path + 1));
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK(bind(listener, (struct sockaddr *)&abstract, size) == 0 && listen(listener, 64) == 0);
    echo("abstract", listener, (struct sockaddr *)&abstract, size);
    close(listener);
}

static void *large_sender(void *arg)
{
    int fd = *(int *)arg;
    char *data = malloc(LARGE);
    for (int i = 0; i < LARGE; i++)
        data[i] = (char)(i * 7 + i / 4096);
    SHOW("sent %ld", (long)send(fd, data, LARGE, 0));
    shutdown(fd, SHUT_WR);
    free(data);
    return NULL;
}

static void large(void)
{
    int pair[2];
    pthread_t thread;
    char *data = malloc(LARGE);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    CHECK(pthread_create(&thread, NULL, large_sender, &pair[0]) == 0);
    long got = recv(pair[1], data, LARGE, MSG_WAITALL);
    pthread_join(thread, NULL);
    int bad = 0;
    for (int i = 0; i < LARGE; i++)
        bad += data[i] != (char)(i * 7 + i / 4096);
    SHOW("received %ld bad %d", got, bad);
    SHOW("end %ld", (long)recv(pair[1], data, 1, 0));
    close(pair[0]), close(pair[1]);

    /* One datagram that is larger than any buffer of the monitor. */
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    long sent = send(pair[0], data, 180000, MSG_DONTWAIT);
    memset(data + 200000, 0, 200000);
    got = recv(pair[1], data + 200000, 200000, 0);
    SHOW("packet %ld %ld same %d", sent, got, memcmp(data, data + 200000, 180000) == 0);
    sent = send(pair[0], data, 1000, 0);
    got = recv(pair[1], data, 10, MSG_TRUNC);
    SHOW("cut packet %ld %ld", sent, got);
    close(pair[0]), close(pair[1]);
    free(data);
}

static void datagrams(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET}, from;
    socklen_t size = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int a = socket(AF_INET, SOCK_DGRAM, 0), b = socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(bind(a, (struct sockaddr *)&address, size) == 0);
    CHECK(bind(b, (struct sockaddr *)&address, size) == 0);
    CHECK(getsockname(a, (struct sockaddr *)&address, &size) == 0);
    CHECK(sendto(b, "one", 3, 0, (struct sockaddr *)&address, size) == 3);
    char text[100];
    size = sizeof from;
    long got = recvfrom(a, text, sizeof text, 0, (struct sockaddr *)&from, &size);
    SHOW("datagram %ld %.*s from family %d size %u", got, (int)got, text, from.sin_family, size);

    struct iovec pieces[3] = {{"two", 3}, {"-", 1}, {"three", 5}};
    struct msghdr m = {
        .msg_name = &address, .msg_namelen = sizeof address, .msg_iov = pieces, .msg_iovlen = 3};
    CHECK(sendmsg(b, &m, 0) == 9);
    struct mmsghdr many[4] = {0};
    struct iovec v[4];
    for (int i = 0; i < 4; i++) {
        v[i] = (struct iovec){i % 2 ? "even" : "odd", i % 2 ? 4 : 3};
        many[i].msg_hdr = (struct msghdr){
            .msg_name = &address, .msg_namelen = sizeof address, .msg_iov = &v[i], .msg_iovlen = 1};
    }
    int n = sendmmsg(b, many, 4, 0);
    SHOW("sendmmsg %d lengths %u %u", n, many[0].msg_len, many[3].msg_len);
    char in[6][16];
    struct mmsghdr back[6] = {0};
    struct iovec w[6];
    for (int i = 0; i < 6; i++) {
        w[i] = (struct iovec){in[i], sizeof in[i]};
        back[i].msg_hdr = (struct msghdr){.msg_iov = &w[i], .msg_iovlen = 1};
    }
    n = recvmmsg(a, back, 6, MSG_WAITFORONE, NULL);
    for (int i = 0; i < n; i++)
        SHOW("got %.*s", (int)back[i].msg_len, in[i]);
    long rc = recv(a, text, sizeof text, MSG_DONTWAIT);
    SHOW("empty %ld errno %d", rc, errno);
    struct timeval timeout = {0, 50000};
    CHECK(setsockopt(a, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) == 0);
    double start = now();
    rc = recv(a, text, sizeof text, 0);
    SHOW("timeout %ld errno %d waited %d", rc, errno, now() - start > 0.045);
    close(a), close(b);
}

/* Descriptors of a file of the vNode and of a pipe, to a process and back. */
static void descriptors(void)
{
    int pair[2], pipe_fds[2];
    char control[CMSG_SPACE(2 * sizeof(int))], byte = 'x';
    struct iovec v = {&byte, 1};
    struct msghdr m = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0 && pipe(pipe_fds) == 0);
    int fd = open("passed", O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, "hello world", 11) == 11 && lseek(fd, 6, SEEK_SET) == 6);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        close(fd), close(pipe_fds[0]), close(pipe_fds[1]);
        CHECK(recvmsg(pair[1], &m, MSG_CMSG_CLOEXEC) == 1);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        CHECK(c && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(2 * sizeof(int)));
        int got[2];
        char text[6] = {0};
        memcpy(got, CMSG_DATA(c), sizeof got);
        SHOW("close-on-exec %d", fcntl(got[0], F_GETFD));
        CHECK(read(got[0], text, 5) == 5); /* the shared offset */
        SHOW("read %s", text);
        CHECK(lseek(got[0], 0, SEEK_SET) == 0 && write(got[0], "HELLO", 5) == 5);
        CHECK(write(got[1], "done", 4) == 4);
        _exit(0);
    }
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(2 * sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(c), (int[]){fd, pipe_fds[1]}, 2 * sizeof(int));
    CHECK(sendmsg(pair[0], &m, 0) == 1);
    char text[16] = {0};
    CHECK(read(pipe_fds[0], text, sizeof text) == 4);
    SHOW("offset moved to %ld", (long)lseek(fd, 0, SEEK_CUR));
    CHECK(pread(fd, text, 11, 0) == 11);
    SHOW("content %s", text);
    int status;
    waitpid(child, &status, 0);
    SHOW("child %x", status);
    unlink("passed");
    close(fd), close(pair[0]), close(pair[1]), close(pipe_fds[0]), close(pipe_fds[1]);
}

static void refusals(void)
{
    int fd = open("/etc/passwd", O_RDONLY);
    char c;
    long rc = recv(fd, &c, 1, 0);
    SHOW("not a socket: %ld errno %d", rc, errno);
    rc = recv(999, &c, 1, 0);
    SHOW("not open: %ld errno %d", rc, errno);
    rc = send(socket(AF_INET, SOCK_STREAM, 0), "x", 1, MSG_NOSIGNAL);
    SHOW("not connected: %ld errno %d", rc, errno);
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    close(pair[1]);
    rc = send(pair[0], "x", 1, MSG_NOSIGNAL);
    SHOW("broken: %ld errno %d", rc, errno);
    char *nowhere = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    rc = connect(pair[0], (struct sockaddr *)nowhere, 16);
    SHOW("bad address: %ld errno %d", rc, errno);
    struct epoll_event event = {.events = EPOLLIN};
    int ep = epoll_create1(0);
    rc = epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event);
    SHOW("epoll of a file: %ld errno %d", rc, errno);
    rc = epoll_wait(ep, &event, 0, 0);
    SHOW("epoll for none: %ld errno %d", rc, errno);
    rc = socket(99, 0, 0);
    SHOW("bad family: %ld errno %d", rc, errno);
    fflush(stdout);
    if (fork() == 0) {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
        close(pair[1]);
        send(pair[0], "x", 1, 0); /* SIGPIPE */
        _exit(0);
    }
    int status;
    wait(&status);
    SHOW("broken pipe: signal %d", WTERMSIG(status));
}

int main(void)
{
    tcp();
    unix_path();
    large();
    datagrams();
    descriptors();
    refusals();
    return 0;
}
