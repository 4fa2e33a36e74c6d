/* Each call that takes a descriptor, on each kind of descriptor. */
#include "files.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>
#include <sys/xattr.h>

static int regular(void)
{
    return file_with("f", "0123456789");
}

static int read_only(void)
{
    file_with("f", "0123456789");
    return open("f", O_RDONLY);
}

static int write_only(void)
{
    file_with("f", "0123456789");
    return open("f", O_WRONLY);
}

static int appending(void)
{
    file_with("f", "0123456789");
    return open("f", O_RDWR | O_APPEND);
}

static int unlinked(void)
{
    int fd = file_with("f", "0123456789");
    unlink("f");
    return fd;
}

static int path_only(void)
{
    file_with("f", "0123456789");
    return open("f", O_PATH);
}

static int directory(void)
{
    return open(".", O_RDONLY | O_DIRECTORY);
}

static int ends[2];

static int pipe_out(void)
{
    pipe2(ends, O_NONBLOCK);
    write(ends[1], "hello", 5);
    return ends[0];
}

static int pipe_in(void)
{
    pipe2(ends, O_NONBLOCK);
    return ends[1];
}

static int stream_socket(void)
{
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends);
    return ends[0];
}

static int event_counter(void)
{
    return eventfd(0, EFD_NONBLOCK);
}

static int epoll_set(void)
{
    return epoll_create1(0);
}

static int null_device(void)
{
    return open("/dev/null", O_RDWR);
}

static int memory_file(void)
{
    int fd = memfd_create("m", 0);
    write(fd, "0123456789", 10);
    lseek(fd, 0, SEEK_SET);
    return fd;
}

static int proc_file(void)
{
    return open("/proc/self/status", O_RDONLY);
}

static int closed(void)
{
    return 99;
}

static int negative(void)
{
    return -1;
}

#define ON(call, kind, ...)                                                                        \
    CASE(call, on_##kind)                                                                          \
    {                                                                                              \
        int fd = kind();                                                                           \
        __VA_ARGS__;                                                                               \
    }

#define ON_ALL(call, ...)                                                                          \
    ON(call, regular, __VA_ARGS__)                                                                 \
    ON(call, read_only, __VA_ARGS__)                                                               \
    ON(call, write_only, __VA_ARGS__)                                                              \
    ON(call, appending, __VA_ARGS__)                                                               \
    ON(call, unlinked, __VA_ARGS__)                                                                \
    ON(call, path_only, __VA_ARGS__)                                                               \
    ON(call, directory, __VA_ARGS__)                                                               \
    ON(call, pipe_out, __VA_ARGS__)                                                                \
    ON(call, pipe_in, __VA_ARGS__)                                                                 \
    ON(call, stream_socket, __VA_ARGS__)                                                           \
    ON(call, event_counter, __VA_ARGS__)                                                           \
    ON(call, epoll_set, __VA_ARGS__)                                                               \
    ON(call, null_device, __VA_ARGS__)                                                             \
    ON(call, memory_file, __VA_ARGS__)                                                             \
    ON(call, closed, __VA_ARGS__)                                                                  \
    ON(call, negative, __VA_ARGS__)

static char b[16] = "abcdefgh";
static struct iovec v[2] = {{b, 2}, {b + 4, 2}};
static struct flock lock = {.l_type = F_RDLCK};
static struct stat st;
static struct statfs fs;

ON_ALL(read, TRY(read(fd, b, 4)); TRY(read(fd, b, 0)))
ON_ALL(write, TRY(write(fd, b, 4)); TRY(write(fd, b, 0)))
ON_ALL(pread64, TRY(pread(fd, b, 4, 2)))
ON_ALL(pwrite64, TRY(pwrite(fd, b, 4, 2)))
ON_ALL(readv, TRY(readv(fd, v, 2)))
ON_ALL(writev, TRY(writev(fd, v, 2)))
ON_ALL(preadv2, TRY(preadv2(fd, v, 2, -1, 0)); TRY(preadv2(fd, v, 2, 1, 0)))
ON_ALL(lseek, TRY(lseek(fd, 3, SEEK_SET)); TRY(lseek(fd, 0, SEEK_CUR)))
ON_ALL(ftruncate, TRY(ftruncate(fd, 5)))
ON_ALL(fallocate, TRY(fallocate(fd, 0, 0, 20)))
ON_ALL(fsync, TRY(fsync(fd)); TRY(fdatasync(fd)))
ON_ALL(fstat, TRY(fstat(fd, &st)); SHOW("%d", fd < 0 || fd == 99 ? 0 : (int)st.st_mode & S_IFMT))
ON_ALL(fstatfs, TRY(fstatfs(fd, &fs)))
ON_ALL(fchmod, TRY(fchmod(fd, 0600)))
ON_ALL(fchdir, TRY(fchdir(fd)))
ON_ALL(getdents64, TRY(syscall(SYS_getdents64, fd, b, 1)))
ON_ALL(f_getfl, TRY(fcntl(fd, F_GETFL) & ~O_LARGEFILE))
ON_ALL(f_setfl, TRY(fcntl(fd, F_SETFL, O_NONBLOCK)))
ON_ALL(f_getlk, TRY(fcntl(fd, F_GETLK, &lock)))
ON_ALL(f_getpipe_sz, TRY(fcntl(fd, F_GETPIPE_SZ)))
ON_ALL(flock, TRY(flock(fd, LOCK_SH | LOCK_NB)))
ON_ALL(dup, OK(dup(fd)))
ON_ALL(mmap, SHOW("%d", mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED))
ON_ALL(openat, OK(openat(fd, ".", O_RDONLY)))
ON_ALL(listen, TRY(listen(fd, 1)))
ON_ALL(getsockopt, int n = 0; socklen_t size = 4;
       TRY(getsockopt(fd, SOL_SOCKET, SO_TYPE, &n, &size)))
ON_ALL(epoll_ctl, struct epoll_event e = {.events = EPOLLIN}; int ep = epoll_create1(0);
       TRY(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e)))
ON_ALL(sendfile_from, int out = open("/dev/null", O_WRONLY); TRY(sendfile(out, fd, NULL, 4)))
ON_ALL(fgetxattr, TRY(fgetxattr(fd, "user.none", b, 4)))
ON_ALL(timerfd_gettime, struct itimerspec t; TRY(timerfd_gettime(fd, &t)))

ON(read, proc_file, TRY(read(fd, b, 5)); show_bytes("read", b, 5))
ON(write, proc_file, TRY(write(fd, b, 4)))
ON(lseek, proc_file, TRY(lseek(fd, 3, SEEK_SET)))
