/*
 * What common services of the kernel take, one after the other in one process:
 *
 *   abi getpid|pipe|signal|thread|epoll|spawn [COUNT]
 *
 * pipe: 4 KiB written to a pipe and read back. signal: to the thread itself, its handler run.
 * thread: created and joined. epoll: a byte there and back over a TCP connection on the loopback
 * device, both ends of which one thread serves by epoll. spawn: fork, exec of /bin/true, wait.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

static void check(bool right, const char *what)
{
    if (right)
        return;
    perror(what);
    exit(1);
}

static void use_getpid(void)
{
    syscall(SYS_getpid);
}

static void use_pipe(void)
{
    static int fds[2];
    static char bytes[4096];
    if (!fds[1])
        check(pipe(fds) == 0, "pipe");
    check(write(fds[1], bytes, sizeof bytes) == sizeof bytes, "write");
    check(read(fds[0], bytes, sizeof bytes) == sizeof bytes, "read");
}

static volatile sig_atomic_t caught;

static void on_signal(int signal)
{
    caught += signal != 0;
}

static void use_signal(void)
{
    int before = caught;
    if (!before)
        signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    check(caught != before, "raise");
}

static void *nothing(void *unused)
{
    return unused;
}

static void use_thread(void)
{
    pthread_t thread;
    check(pthread_create(&thread, NULL, nothing, NULL) == 0, "pthread_create");
    pthread_join(thread, NULL);
}

static int connected(int ends[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM, 0), epoll = epoll_create1(0);
    check(bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 1) == 0 &&
              getsockname(listener, (struct sockaddr *)&at, &size) == 0,
          "listen");
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    check(connect(ends[0], (struct sockaddr *)&at, sizeof at) == 0, "connect");
    ends[1] = accept(listener, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.fd = ends[i]};
        check(epoll_ctl(epoll, EPOLL_CTL_ADD, ends[i], &event) == 0, "epoll_ctl");
    }
    return epoll;
}

static void use_epoll(void)
{
    static int epoll, ends[2];
    char byte = 0;
    if (!epoll)
        epoll = connected(ends);
    check(send(ends[0], &byte, 1, 0) == 1, "send");
    for (int i = 1; i >= 0; i--) {
        struct epoll_event event;
        check(epoll_wait(epoll, &event, 1, -1) == 1 && event.data.fd == ends[i], "epoll_wait");
        check(recv(ends[i], &byte, 1, 0) == 1, "recv");
        if (i)
            check(send(ends[i], &byte, 1, 0) == 1, "send");
    }
}

static void use_spawn(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/true", "true", NULL);
        _exit(1);
    }
    check(child > 0 && waitpid(child, &status, 0) == child && status == 0, "fork");
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*use)(void);
    } services[] = {{"getpid", use_getpid}, {"pipe", use_pipe},   {"signal", use_signal},
                    {"thread", use_thread}, {"epoll", use_epoll}, {"spawn", use_spawn}};
    size_t count = bench_argument(argc, argv, 2, 1000);
    for (size_t i = 0; argc > 1 && i < sizeof services / sizeof *services; i++) {
        if (strcmp(argv[1], services[i].name) != 0)
            continue;
        for (size_t k = 0; k < count / 10 + 1; k++)
            services[i].use();
        uint64_t begin = bench_ns();
        for (size_t k = 0; k < count; k++)
            services[i].use();
        printf("{\"each_ns\": %lu}\n", (unsigned long)((bench_ns() - begin) / count));
        return 0;
    }
    fprintf(stderr, "usage: abi getpid|pipe|signal|thread|epoll|spawn [COUNT]\n");
    return 2;
}
