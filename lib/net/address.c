/*
 * Addresses and sockets: "HOST:PORT", "[HOST]:PORT" and "unix:PATH".
 */
#include "conn.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 256 };

struct endpoint {
    struct sockaddr_storage at;
    socklen_t size;
};

static const char *unix_path(const char *address)
{
    return strncmp(address, "unix:", 5) == 0 ? address + 5 : NULL;
}

static int resolve(const char *address, struct endpoint *out)
{
    memset(out, 0, sizeof *out);
    const char *path = unix_path(address);
    if (path) {
        struct sockaddr_un *un = (struct sockaddr_un *)&out->at;
        if (!*path || strlen(path) >= sizeof un->sun_path)
            return -ENAMETOOLONG;
        un->sun_family = AF_UNIX;
        strcpy(un->sun_path, path);
        out->size = (socklen_t)sizeof *un;
        return 0;
    }

    char host[ADDRESS_LIMIT];
    const char *colon = strrchr(address, ':');
    if (!colon || colon == address || (size_t)(colon - address) >= sizeof host)
        return -EINVAL;
    size_t length = (size_t)(colon - address);
    memcpy(host, address, length);
    host[length] = 0;
    char *name = host;
    if (host[0] == '[' && host[length - 1] == ']') {
        host[length - 1] = 0;
        name++;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *found;
    if (getaddrinfo(name, colon + 1, &hints, &found) != 0)
        return -EADDRNOTAVAIL;
    memcpy(&out->at, found->ai_addr, found->ai_addrlen);
    out->size = found->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static void set(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof value);
}

void address_tune(int fd)
{
    /* On a UNIX socket these fail, and nothing is lost. A host that vanished without a word is
       noticed by keepalive: after 10 seconds. Buffer sizes are left to the kernel's tuning: a fixed
       one is capped at 208 KiB by default, less than a batch of 64 lines, while tuning was seen to
       take one in a single receive. */
    set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPIDLE, 5);
    set(fd, IPPROTO_TCP, TCP_KEEPINTVL, 1);
    set(fd, IPPROTO_TCP, TCP_KEEPCNT, 5);
}

int address_connect(const char *address, unsigned timeout_ms)
{
    struct endpoint to;
    int rc = resolve(address, &to);
    if (rc < 0)
        return rc;
    int fd = socket(to.at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* connect() honours the send timeout. */
    struct timeval t = {.tv_sec = timeout_ms / 1000, .tv_usec = (long)(timeout_ms % 1000) * 1000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t);
    if (connect(fd, (struct sockaddr *)&to.at, to.size) < 0) {
        rc = errno == EINPROGRESS || errno == EAGAIN ? ASH_TIMEOUT : -errno;
        close(fd);
        return rc;
    }
    address_tune(fd);
    return fd;
}

/* A socket file whose server is gone is in the way of the next one, and is removed. */
static void remove_stale(const struct endpoint *at, const char *path)
{
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0)
        return;
    if (connect(probe, (const struct sockaddr *)&at->at, at->size) < 0 && errno == ECONNREFUSED)
        unlink(path);
    close(probe);
}

int address_listen(const char *address)
{
    struct endpoint at;
    int rc = resolve(address, &at);
    if (rc < 0)
        return rc;
    int fd = socket(at.at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (at.at.ss_family == AF_UNIX)
        remove_stale(&at, unix_path(address));
    else
        set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (bind(fd, (struct sockaddr *)&at.at, at.size) < 0 || listen(fd, BACKLOG) < 0) {
        rc = -errno;
        close(fd);
        return rc;
    }
    return fd;
}

int address_of(int fd, const char *asked, char out[], size_t size)
{
    if (unix_path(asked)) {
        if (strlen(asked) >= size)
            return -ENAMETOOLONG;
        strcpy(out, asked);
        return 0;
    }
    struct sockaddr_storage at;
    socklen_t at_size = sizeof at;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (getsockname(fd, (struct sockaddr *)&at, &at_size) < 0)
        return -errno;
    if (getnameinfo((struct sockaddr *)&at, at_size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return -EADDRNOTAVAIL;
    const char *form = at.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s";
    return snprintf(out, size, form, host, port) >= (int)size ? -ENAMETOOLONG : 0;
}
