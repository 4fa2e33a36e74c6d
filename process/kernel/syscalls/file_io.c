/* See file_io.h. */
#include "file_io.h"

#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

#include "../files/remote.h"
#include "../files/watch.h"
#include "../host/host.h"
#include "../mm/shared.h"
#include "host_calls.h"
#include "../proc/proc.h"

/* ---- host descriptors ---- */

enum { MEMORY_MAJOR = 1, TMPFS = 0x01021994 }; /* /dev/zero and its like; statfs */

/*
 * Whether a read that was filled can go on without a wait: a pipe's or a terminal's may not, while
 * a file is read until its end.
 */
static bool reads_on(int fd)
{
    struct stat st;
    if (host_call(__NR_fstat, fd, &st) < 0)
        return false;
    return S_ISREG(st.st_mode) || (S_ISCHR(st.st_mode) && (st.st_rdev >> 8) == MEMORY_MAJOR);
}

/*
 * A memory file of the host that somebody may have mapped: what is in it may be elsewhere. The
 * node reads and writes it then.
 */
static long memory_io(bool write, int fd, void *bytes, size_t size, int64_t offset, bool *found)
{
    struct stat st;
    bool own = offset < 0;
    long flags = host_call(__NR_fcntl, fd, F_GETFL);
    *found = false;
    if (flags < 0 || (flags & O_ACCMODE) == (write ? O_RDONLY : O_WRONLY) || flags & O_PATH ||
        host_call(__NR_fstat, fd, &st) < 0 || !S_ISREG(st.st_mode))
        return 0;
    if (write && flags & O_APPEND)
        offset = st.st_size;
    else if (own)
        offset = host_call(__NR_lseek, fd, 0, SEEK_CUR);
    uint32_t n = size < SEGMENT_IO_MAX ? (uint32_t)size : SEGMENT_IO_MAX;
    long done = write ? shared_push(fd, (uint64_t)offset, bytes, n, found)
                      : shared_pull(fd, (uint64_t)offset, bytes, n, found);
    if (*found && own && done > 0)
        host_call(__NR_lseek, fd, offset + done, SEEK_SET);
    return done;
}

bool file_is_mapped(const struct descriptor *d)
{
    struct stat st;
    bool found = false;
    if (!d->file && shared_host_files() && host_call(__NR_fstat, d->fd, &st) == 0 &&
        S_ISREG(st.st_mode))
        (void)shared_pull(d->fd, 0, NULL, 0, &found);
    return found;
}

long file_seals(int fd, uint32_t command, uint32_t seals, bool *mapped)
{
    bool adds = command == F_ADD_SEALS;
    long rc =
        shared_host_call(fd, adds ? SEGMENT_ADD_SEALS : SEGMENT_GET_SEALS, seals, 0, 0, mapped);
    return *mapped ? rc : host_call(__NR_fcntl, fd, command, seals);
}

/* Whether a descriptor is of a file in memory. */
static bool is_tmpfs_file(int fd)
{
    struct statfs64 fs;
    struct stat st;
    return host_call(__NR_fstat, fd, &st) == 0 && S_ISREG(st.st_mode) &&
           host_call(__NR_fstatfs, fd, &fs) == 0 && fs.f_type == TMPFS;
}

static long open_to_write(int fd)
{
    char link[32];
    text_format(link, sizeof link, "/proc/self/fd/%d", fd);
    return host_call(__NR_open, link, O_WRONLY | O_CLOEXEC);
}

long file_cut_by_name(const char *path, uint64_t size, bool *mapped)
{
    *mapped = false;
    if (!shared_host_files())
        return 0;
    long place = host_call(__NR_open, path, O_PATH | O_CLOEXEC);
    if (place < 0)
        return 0;
    long fd = is_tmpfs_file((int)place) ? open_to_write((int)place) : -ENODEV, rc = 0;
    host_call(__NR_close, place);
    if (fd >= 0) {
        rc = shared_host_call((int)fd, SEGMENT_TRUNCATE, 0, size, 0, mapped);
        host_call(__NR_close, fd);
    }
    return rc;
}

long file_cut_opened(int fd, uint64_t flags)
{
    bool mapped, reads = (flags & O_ACCMODE) == O_RDONLY;
    if (!is_tmpfs_file(fd))
        return 0;
    long to = reads ? open_to_write(fd) : fd;
    if (to < 0)
        return to;
    long rc = shared_host_call((int)to, SEGMENT_TRUNCATE, 0, 0, 0, &mapped);
    if (!mapped)
        rc = host_call(__NR_ftruncate, to, 0);
    if (reads)
        host_call(__NR_close, to);
    return rc;
}

static long host_io(bool write, int fd, void *bytes, size_t size, int64_t offset, uint32_t flags)
{
    bool found = false;
    if (shared_host_files()) {
        long done = memory_io(write, fd, bytes, size, offset, &found);
        if (found)
            return done;
    }
    if (flags) {
        struct {
            void *base;
            size_t size;
        } piece = {bytes, size};
        return host_call_intr(write ? __NR_pwritev2 : __NR_preadv2, fd, &piece, 1, offset, 0,
                              flags);
    }
    if (offset >= 0)
        return host_call_intr(write ? __NR_pwrite64 : __NR_pread64, fd, bytes, size, offset);
    return host_call_intr(write ? __NR_write : __NR_read, fd, bytes, size);
}

static long host_read(struct thread *t, int fd, struct user_iov *v, int64_t offset, uint32_t flags)
{
    uint8_t *bounce = thread_bounce(t);
    long done = 0;

    if (!bounce)
        return -ENOMEM;
    for (;;) {
        size_t want = v->total < BOUNCE_SIZE ? v->total : BOUNCE_SIZE;
        long got = host_io(false, fd, bounce, want, offset, flags);
        if (got < 0)
            return done ? done : got;
        size_t put = user_iov_put(v, bounce, (size_t)got);
        done += (long)put;
        if (put < (size_t)got)
            return done ? done : -EFAULT;
        if (got < BOUNCE_SIZE || !v->total || !reads_on(fd))
            return done;
        if (offset >= 0)
            offset += got;
    }
}

/* A pipe takes a page's worth at a time, whole or not at all. */
enum { PIPE_PIECE = 4096 };

static bool is_pipe(int fd)
{
    return host_call(__NR_fcntl, fd, F_GETPIPE_SZ) >= 0;
}

static long host_write(struct thread *t, int fd, struct user_iov *v, int64_t offset, uint32_t flags)
{
    uint8_t *bounce = thread_bounce(t);
    long done = 0;

    if (!bounce)
        return -ENOMEM;
    do {
        size_t want = v->total < BOUNCE_SIZE ? v->total : BOUNCE_SIZE;
        size_t got = user_iov_get(v, bounce, want);
        if (got < want && is_pipe(fd))
            got &= ~(size_t)(PIPE_PIECE - 1);
        if (got == 0 && want)
            return done ? done : -EFAULT;
        long put = host_io(true, fd, bounce, got, offset, flags);
        if (put < 0)
            return done ? done : put;
        done += put;
        if ((size_t)put < got || got < want)
            break;
        if (offset >= 0)
            offset += put;
    } while (v->total);
    return done;
}

/* ---- placeholders ---- */

/* Opened with both bits of the access mode, a file is for neither (ioctl alone). */
static int may_read(const struct open_file *file)
{
    uint32_t access = file->flags & O_ACCMODE;
    if (file->flags & O_PATH || (access != O_RDONLY && access != O_RDWR))
        return -EBADF;
    return S_ISDIR(file->type) ? -EISDIR : 0;
}

static int may_write(const struct open_file *file)
{
    uint32_t access = file->flags & O_ACCMODE;
    return file->flags & O_PATH || (access != O_WRONLY && access != O_RDWR) ? -EBADF : 0;
}

/* How many of `size` bytes RLIMIT_FSIZE lets be written, or a negative errno. */
static int64_t limited(struct descriptor *d, int64_t offset, bool append, uint64_t size)
{
    struct thread *t = current();
    struct file_attr attr;
    if (!limit_file_size_set(t))
        return (int64_t)size;
    if (append) {
        int rc = remote_stat(d, &attr);
        if (rc < 0)
            return rc;
        offset = (int64_t)attr.size_bytes;
    }
    uint64_t room = limit_file_size(t, (uint64_t)offset, size);
    return room ? (int64_t)room : -EFBIG;
}

/*
 * The offset's mutex is held while the program's memory is touched, which no lock that a miss takes
 * can wait for: only calls like this one take it.
 */
static long remote_read_user(struct thread *t, struct descriptor *d, struct user_iov *v,
                             int64_t offset)
{
    uint8_t *bounce = thread_bounce(t);
    bool own = offset < 0;
    long done = 0;
    int rc = may_read(d->file);

    if (rc < 0 || !v->total)
        return rc;
    if (!bounce)
        return -ENOMEM;
    if (own && (offset = offset_begin(d)) < 0)
        return offset;
    while (v->total) {
        uint32_t want = v->total < BOUNCE_SIZE ? (uint32_t)v->total : BOUNCE_SIZE;
        long got = remote_read(d, (uint64_t)(offset + done), bounce, want);
        if (got < 0) {
            done = done ? done : got;
            break;
        }
        size_t put = user_iov_put(v, bounce, (size_t)got);
        done += (long)put;
        if (put < (size_t)got) {
            done = done ? done : -EFAULT;
            break;
        }
        if (got < want)
            break;
    }
    if (own)
        offset_end(d, done > 0 ? offset + done : -1);
    return done;
}

struct write_how {
    bool append, sync;
};

static struct write_how how_to_write(const struct descriptor *d, uint32_t flags)
{
    bool append = placeholder_host_flags(d->fd) & O_APPEND;
    return (struct write_how){
        .append = flags & RWF_APPEND || (append && !(flags & 0x20 /* RWF_NOAPPEND */)),
        .sync = flags & (RWF_SYNC | RWF_DSYNC) || d->file->flags & O_DSYNC,
    };
}

static long remote_write_user(struct thread *t, struct descriptor *d, struct user_iov *v,
                              int64_t offset, uint32_t flags)
{
    uint8_t *bounce = thread_bounce(t);
    struct write_how how = how_to_write(d, flags);
    bool own = offset < 0;
    uint64_t end = 0;
    long done = 0;
    int rc = may_write(d->file);

    if (rc < 0 || !v->total)
        return rc;
    if (!bounce)
        return -ENOMEM;
    if (own && (offset = offset_begin(d)) < 0)
        return offset;
    int64_t room = limited(d, offset, how.append, v->total);
    if (room < 0)
        done = room;
    else
        v->total = (uint64_t)room;
    while (room > 0 && v->total) {
        size_t want = v->total < BOUNCE_SIZE ? v->total : BOUNCE_SIZE;
        size_t got = user_iov_get(v, bounce, want);
        long put = got ? remote_write(d, (uint64_t)offset, how.append, how.sync, bounce,
                                      (uint32_t)got, &end)
                       : -EFAULT;
        if (put < 0) {
            done = done ? done : put;
            break;
        }
        done += put;
        offset = (int64_t)end;
        if ((size_t)put < want)
            break;
    }
    if (own)
        offset_end(d, done > 0 ? offset : -1);
    return done;
}

/* ---- both ---- */

long file_read(struct thread *t, struct descriptor *d, struct user_iov *v, int64_t offset,
               uint32_t flags)
{
    if (d->kind == ENTRY_HOST_PROC)
        return proc_read(t, d, v, offset);
    if (d->kind == ENTRY_HOST_WATCH)
        return watch_read(t, d, v, offset);
    if (!d->file)
        return host_read(t, d->fd, v, offset, flags);
    return flags & RWF_NOWAIT ? -EOPNOTSUPP : remote_read_user(t, d, v, offset);
}

long file_write(struct thread *t, struct descriptor *d, struct user_iov *v, int64_t offset,
                uint32_t flags)
{
    long own;
    if (d->kind == ENTRY_HOST_PROC && proc_write(t, d, v, offset, &own))
        return own;
    if (!d->file)
        return host_write(t, d->fd, v, offset, flags);
    return flags & RWF_NOWAIT ? -EOPNOTSUPP : remote_write_user(t, d, v, offset, flags);
}

long file_read_kernel(struct descriptor *d, void *to, uint32_t size, int64_t offset)
{
    if (d->kind == ENTRY_HOST_PROC)
        return proc_read_kernel(current(), d, to, size, offset);
    if (d->kind == ENTRY_HOST_WATCH)
        return -EINVAL;
    if (!d->file)
        return host_io(false, d->fd, to, size, offset, 0);
    bool own = offset < 0;
    long rc = may_read(d->file);
    if (rc < 0 || !size)
        return rc;
    if (own && (offset = offset_begin(d)) < 0)
        return offset;
    rc = remote_read(d, (uint64_t)offset, to, size);
    if (own)
        offset_end(d, rc > 0 ? offset + rc : -1);
    return rc;
}

long file_write_kernel(struct descriptor *d, const void *from, uint32_t size, int64_t offset)
{
    if (!d->file)
        return host_io(true, d->fd, (void *)from, size, offset, 0);
    struct write_how how = how_to_write(d, 0);
    bool own = offset < 0;
    uint64_t end = 0;
    long rc = may_write(d->file);
    if (rc < 0 || !size)
        return rc;
    if (own && (offset = offset_begin(d)) < 0)
        return offset;
    rc = limited(d, offset, how.append, size);
    if (rc > 0)
        rc = remote_write(d, (uint64_t)offset, how.append, how.sync, from, (uint32_t)rc, &end);
    if (own)
        offset_end(d, rc > 0 ? (int64_t)end : -1);
    return rc;
}
