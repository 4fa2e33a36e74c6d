/* See host.h. */
#include "host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

int host_speaker_prepare(int fd)
{
    int on = 1;
    return setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ? -errno : 0;
}

pid_t host_speaker(int fd)
{
    char byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    union {
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
        struct cmsghdr align;
    } control;
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof control,
    };
    struct pollfd readable = {.fd = fd, .events = POLLIN};
    while (poll(&readable, 1, -1) < 0 && errno == EINTR)
        ;
    /* The socket may have a receive timeout: what was waited for is taken without waiting. */
    ssize_t got = recvmsg(fd, &msg, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got <= 0)
        return got < 0 ? -errno : 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS)
            continue;
        struct ucred who;
        memcpy(&who, CMSG_DATA(c), sizeof who);
        /* What root started may have become another user since: su, or a daemon. */
        bool known = who.uid == geteuid() || geteuid() == 0;
        return known && who.pid > 0 ? who.pid : -EPERM;
    }
    return -EPERM;
}

int host_pidfd(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : fd;
}

void host_pidfd_kill(int pidfd)
{
    /* ESRCH: it has ended already, which is what was wanted. */
    (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

uint32_t host_threads(pid_t pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    if (got <= 0)
        return 0;
    text[got] = '\0';
    /* The command's name, in parentheses, may hold anything: count fields after the last one. */
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 20; field++)
        at = strchr(at + 1, ' ');
    return at ? (uint32_t)strtoul(at + 1, NULL, 10) : 0;
}

uint64_t host_memory_bytes(void)
{
    struct sysinfo info;
    return sysinfo(&info) < 0 ? 0 : (uint64_t)info.totalram * info.mem_unit;
}

uint64_t host_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
