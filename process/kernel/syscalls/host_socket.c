/*
 * Sockets: names, connections, options. Data goes through host_message.c.
 *
 * Sockets are the host's. A UNIX socket with a path name is a file of the vNode, and keeps the name
 * that it was given where that means the same to the host; else its path is made absolute here. The
 * default vNode's directories are the host's, so the host can bind and connect it there; binding
 * asks for a writable directory of the run, as the creation of any file does.
 */
#include <asm/socket.h>
#include <linux/filter.h>
#include <linux/fcntl.h>

#include "../files/files.h"
#include "../rpc/rpc.h"
#include "../signals/signals.h"
#include "host_calls.h"
#include "socket_abi.h"

enum {
    UNIX_PATH_AT = 2,
    UNIX_PATH_MAX_ = 108,
    OPTION_MAX = 64 * 1024,
    TCP_ZEROCOPY_RECEIVE_ = 35,
    TABLE_REPLACE = 64, /* IPT_SO_SET_REPLACE and IP6T's: the host would write behind a pointer */
    ARP_TABLE_REPLACE = 96,
};

int socket_check(struct thread *t, int fd)
{
    return files_closed(t->process->files, fd) ? -EBADF : 0;
}

int socket_option(int fd, int option)
{
    int value = 0;
    uint32_t size = sizeof value;
    return host_call(__NR_getsockopt, fd, SOL_SOCKET, option, &value, &size) < 0 ? 0 : value;
}

static bool has_timeout(int fd)
{
    int64_t timeval[2] = {0, 0};
    uint32_t size = sizeof timeval;
    host_call(__NR_getsockopt, fd, SOL_SOCKET, SO_RCVTIMEO, timeval, &size);
    if (timeval[0] || timeval[1])
        return true;
    size = sizeof timeval;
    host_call(__NR_getsockopt, fd, SOL_SOCKET, SO_SNDTIMEO, timeval, &size);
    return timeval[0] || timeval[1];
}

long socket_waited(struct thread *t, int fd, long result)
{
    if (result != -EINTR || !t->pending)
        return result;
    return has_timeout(fd) ? -EINTR : -ERESTARTSYS;
}

/* ---- addresses ---- */

/* Whether `path` (canonical) is `dir` or below it. */
static bool is_below(const char *path, const char *dir, size_t length)
{
    if (length == 1 && dir[0] == '/')
        return true;
    return strncmp(path, dir, length) == 0 && (path[length] == '/' || path[length] == 0);
}

static bool is_writable(const struct process *p, const char *dir)
{
    const char *at = p->writable;
    while (*at) {
        const char *end = strchr(at, ':');
        size_t length = end ? (size_t)(end - at) : strlen(at);
        if (length && is_below(dir, at, length))
            return true;
        at += length + (end != NULL);
    }
    return false;
}

/* Checks that path, which ends in a name, may be made; the path's directory is made canonical. */
static int check_make(struct thread *t, char *path)
{
    char dir[PATH_LIMIT], name[UNIX_PATH_MAX_ + 1];
    char *slash = strrchr(path, '/');
    if (text_copy(name, sizeof name, slash + 1) >= sizeof name)
        return -ENAMETOOLONG;
    slash[slash == path] = 0;
    int rc = files_real_path(path, dir);
    if (rc < 0)
        return (int)rpc_errno(rc);
    if (!is_writable(t->process, dir))
        return -EROFS;
    size_t n = text_copy(path, PATH_LIMIT, dir);
    text_format(path + n, PATH_LIMIT - n, "%s%s", n == 1 ? "" : "/", name);
    return 0;
}

/*
 * Whether the host finds the same file by the path as it was given, so that the name stays that: it
 * does by absolute ones outside /proc and /dev, and by relative ones where its own working
 * directory followed the program's.
 */
static bool means_the_same(struct thread *t, const char *given)
{
    char cwd[PATH_LIMIT];
    if (given[0] == '/')
        return !text_begins(given, "/proc/") && !text_begins(given, "/dev/");
    return host_call(__NR_getcwd, cwd, sizeof cwd) > 0 &&
           !strcmp(cwd, files_cwd(t->process->files));
}

static int unix_path(struct thread *t, struct host_address *h, bool make)
{
    char given[UNIX_PATH_MAX_ + 1], path[PATH_LIMIT];
    size_t size = h->size - UNIX_PATH_AT;
    if (size > UNIX_PATH_MAX_)
        return -EINVAL;
    memcpy(given, h->bytes + UNIX_PATH_AT, size);
    given[size] = 0;
    int rc = files_absolute(t->process->files, AT_FDCWD, given, path);
    if (rc == 0 && make)
        rc = check_make(t, path);
    if (rc < 0)
        return rc;
    if (means_the_same(t, given))
        return 0;
    char *out = (char *)h->bytes + UNIX_PATH_AT;
    size_t length = strlen(path);
    if (length >= UNIX_PATH_MAX_) {
        char *slash = strrchr(path, '/');
        *slash = 0;
        h->dir_fd = (int)host_call(__NR_openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (h->dir_fd < 0)
            return h->dir_fd;
        length = text_format(out, UNIX_PATH_MAX_, "/proc/self/fd/%d/%s", h->dir_fd, slash + 1);
        if (length + 1 >= UNIX_PATH_MAX_)
            return -ENAMETOOLONG;
    } else {
        text_copy(out, UNIX_PATH_MAX_, path);
    }
    h->size = (uint32_t)(UNIX_PATH_AT + length + 1);
    return 0;
}

int address_read(struct thread *t, struct host_address *h, uint64_t at, uint64_t size, bool make)
{
    h->dir_fd = -1;
    if ((uint32_t)size > ADDRESS_MAX)
        return -EINVAL;
    h->size = (uint32_t)size;
    if (user_read(h->bytes, at, h->size) < 0)
        return -EFAULT;
    uint16_t family = 0;
    if (h->size > UNIX_PATH_AT)
        memcpy(&family, h->bytes, sizeof family);
    if (family == FAMILY_UNIX && h->bytes[UNIX_PATH_AT])
        return unix_path(t, h, make);
    return 0;
}

void address_free(struct host_address *h)
{
    if (h->dir_fd >= 0)
        host_call(__NR_close, h->dir_fd);
}

int address_write(const uint8_t *bytes, uint32_t size, uint64_t at, uint64_t size_at)
{
    int32_t room;
    if (!at)
        return 0;
    if (user_read(&room, size_at, sizeof room) < 0)
        return -EFAULT;
    if (room < 0)
        return -EINVAL;
    uint32_t n = size < ADDRESS_MAX ? size : ADDRESS_MAX;
    if (n > (uint32_t)room)
        n = (uint32_t)room;
    if (user_write(at, bytes, n) < 0)
        return -EFAULT;
    return user_write(size_at, &size, sizeof size);
}

long sys_socketpair(struct thread *t, const uint64_t a[6])
{
    int pair[2];
    long result = host_call(__NR_socketpair, a[0], a[1], a[2], pair);
    return result < 0 ? result : new_pair(t, pair, a[3]);
}

long sys_bind(struct thread *t, const uint64_t a[6])
{
    struct host_address h;
    int fd = (int)a[0];
    long result = socket_check(t, fd);
    if (result < 0)
        return result;
    result = address_read(t, &h, a[1], a[2], true);
    if (result == 0) {
        /* The mode of a socket's file follows the umask, which on the host is nobody else's. */
        host_call(__NR_umask, files_umask(t->process->files));
        result = host_call(__NR_bind, fd, h.bytes, h.size);
    }
    address_free(&h);
    return result;
}

long sys_connect(struct thread *t, const uint64_t a[6])
{
    struct host_address h;
    int fd = (int)a[0];
    long result = socket_check(t, fd);
    if (result < 0)
        return result;
    result = address_read(t, &h, a[1], a[2], false);
    if (result == 0)
        result = socket_waited(t, fd, host_call_intr(__NR_connect, fd, h.bytes, h.size));
    address_free(&h);
    return result;
}

static long accept_with(struct thread *t, const uint64_t a[6], int flags)
{
    uint8_t address[ADDRESS_MAX];
    uint32_t size = sizeof address;
    int fd = (int)a[0];
    long result = socket_check(t, fd);
    if (result < 0)
        return result;
    result = host_call_intr(__NR_accept4, fd, a[1] ? address : NULL, a[1] ? &size : NULL, flags);
    if (result < 0)
        return socket_waited(t, fd, result);
    result = files_new_host(t->process->files, result);
    if (result < 0)
        return result;
    int rc = address_write(address, size, a[1], a[2]);
    if (rc < 0) {
        host_call(__NR_close, result);
        return rc;
    }
    return result;
}

long sys_accept(struct thread *t, const uint64_t a[6])
{
    return accept_with(t, a, 0);
}

long sys_accept4(struct thread *t, const uint64_t a[6])
{
    return accept_with(t, a, (int)a[3]);
}

static long name_of(struct thread *t, const uint64_t a[6], long call)
{
    uint8_t address[ADDRESS_MAX];
    uint32_t size = sizeof address;
    int fd = (int)a[0];
    long result = socket_check(t, fd);
    if (result == 0)
        result = host_call(call, fd, address, &size);
    if (result < 0)
        return result;
    return a[1] ? address_write(address, size, a[1], a[2]) : -EFAULT;
}

long sys_getsockname(struct thread *t, const uint64_t a[6])
{
    return name_of(t, a, __NR_getsockname);
}

long sys_getpeername(struct thread *t, const uint64_t a[6])
{
    return name_of(t, a, __NR_getpeername);
}

/* ---- options ---- */

/* A packet filter: its instructions lie behind a pointer. */
static long attach_filter(struct thread *t, int fd, int option, uint64_t at, uint32_t size)
{
    struct {
        uint16_t count;
        uint64_t filter;
    } program;
    if (size != sizeof program)
        return -EINVAL;
    if (user_read(&program, at, sizeof program) < 0)
        return -EFAULT;
    uint8_t *bounce = thread_bounce(t);
    size_t bytes = program.count * sizeof(struct sock_filter);
    if (program.count > BPF_MAXINSNS)
        return -EINVAL;
    if (!bounce)
        return -ENOMEM;
    if (user_read(bounce, program.filter, bytes) < 0)
        return -EFAULT;
    program.filter = (uint64_t)bounce;
    return host_call(__NR_setsockopt, fd, SOL_SOCKET, option, &program, sizeof program);
}

/*
 * Only the first `got` bytes of a value are there: the host reads as many as the option has, so it
 * is given them before a page that is not there either.
 */
static long set_from_a_part(int fd, int level, int option, const uint8_t *bytes, size_t got,
                            uint32_t size)
{
    size_t room = (got + LINE_SIZE - 1) & ~(size_t)(LINE_SIZE - 1);
    uint8_t *p = host_pages(room + LINE_SIZE);
    if (!p)
        return -ENOMEM;
    long result = host_call(__NR_mprotect, p + room, LINE_SIZE, 0 /* PROT_NONE */);
    memcpy(p + room - got, bytes, got);
    if (result == 0)
        result = host_call(__NR_setsockopt, fd, level, option, p + room - got, size);
    host_pages_free(p, room + LINE_SIZE);
    return result;
}

long sys_setsockopt(struct thread *t, const uint64_t a[6])
{
    int fd = (int)a[0], level = (int)a[1], option = (int)a[2];
    uint32_t size = (uint32_t)a[4];
    long result = socket_check(t, fd);
    if (result < 0)
        return result;
    if (level == SOL_SOCKET && (option == SO_ATTACH_FILTER || option == SO_ATTACH_REUSEPORT_CBPF))
        return attach_filter(t, fd, option, a[3], size);
    /* The host would go on reading bounce memory after the call. */
    if (level == SOL_SOCKET && option == SO_ZEROCOPY)
        return -EOPNOTSUPP;
    if ((level == LEVEL_IP || level == LEVEL_IPV6) &&
        (option == TABLE_REPLACE || option == ARP_TABLE_REPLACE))
        return -ENOPROTOOPT;
    if (size > OPTION_MAX)
        return -EINVAL;
    uint8_t *bounce = thread_bounce(t);
    if (!bounce)
        return -ENOMEM;
    size_t got = a[3] ? user_read_some(bounce, a[3], size) : 0;
    if (a[3] && got < size)
        return set_from_a_part(fd, level, option, bounce, got, size);
    return host_call(__NR_setsockopt, fd, level, option, a[3] ? bounce : NULL, size);
}

long sys_getsockopt(struct thread *t, const uint64_t a[6])
{
    int fd = (int)a[0], level = (int)a[1], option = (int)a[2];
    int32_t size;
    long result = socket_check(t, fd);
    if (result < 0)
        return result;
    if (user_read(&size, a[4], sizeof size) < 0)
        return -EFAULT;
    if (size < 0)
        return -EINVAL;
    if ((level == PROTOCOL_TCP && option == TCP_ZEROCOPY_RECEIVE_) ||
        (level == SOL_SOCKET && option == SO_GET_FILTER))
        return -ENOPROTOOPT;
    if (size > OPTION_MAX)
        size = OPTION_MAX;
    uint8_t *bounce = thread_bounce(t);
    if (!bounce)
        return -ENOMEM;
    if (a[3]) { /* some options read it too */
        size_t got = user_read_some(bounce, a[3], (size_t)size);
        memset(bounce + got, 0, (size_t)size - got);
    }
    result = host_call(__NR_getsockopt, fd, level, option, a[3] ? bounce : NULL, &size);
    if (result < 0)
        return result;
    if (a[3] && user_write(a[3], bounce, (size_t)size) < 0)
        return -EFAULT;
    return user_write(a[4], &size, sizeof size);
}
