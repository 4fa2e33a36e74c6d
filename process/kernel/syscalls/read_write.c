/* read, write and their variants; lseek; truncation, allocation and synchronisation. */
#include <linux/fadvise.h>
#include <linux/falloc.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

#include "../files/location.h"
#include "../files/remote.h"
#include "../mm/shared.h"
#include "../rpc/node.h"
#include "file_calls.h"
#include "file_io.h"
#include "host_calls.h"

/* ---- read and write ---- */

typedef long io_fn(struct thread *, struct descriptor *, struct user_iov *, int64_t, uint32_t);

enum { RWF_KNOWN = RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND };

static long one(struct thread *t, const uint64_t a[6], io_fn *io, int64_t offset)
{
    struct descriptor d;
    struct user_iov v;
    long rc = descriptor_get(t->process->files, (int)a[0], &d);
    if (rc < 0)
        return rc;
    rc = user_iov_one(&v, a[1], a[2]);
    if (rc == 0)
        rc = io(t, &d, &v, offset, 0);
    descriptor_put(&d);
    return restartable(rc);
}

static long many(struct thread *t, const uint64_t a[6], io_fn *io, int64_t offset, uint32_t flags)
{
    struct descriptor d;
    struct user_iov v;
    long rc = descriptor_get(t->process->files, (int)a[0], &d);
    if (rc < 0)
        return rc;
    rc = user_iov_many(&v, a[1], a[2]);
    if (rc == 0)
        rc = flags & ~RWF_KNOWN ? -EOPNOTSUPP : io(t, &d, &v, offset, flags);
    descriptor_put(&d);
    return restartable(rc);
}

long sys_read(struct thread *t, const uint64_t a[6])
{
    return one(t, a, file_read, -1);
}

long sys_write(struct thread *t, const uint64_t a[6])
{
    return one(t, a, file_write, -1);
}

long sys_pread64(struct thread *t, const uint64_t a[6])
{
    return (int64_t)a[3] < 0 ? -EINVAL : one(t, a, file_read, (int64_t)a[3]);
}

long sys_pwrite64(struct thread *t, const uint64_t a[6])
{
    return (int64_t)a[3] < 0 ? -EINVAL : one(t, a, file_write, (int64_t)a[3]);
}

long sys_readv(struct thread *t, const uint64_t a[6])
{
    return many(t, a, file_read, -1, 0);
}

long sys_writev(struct thread *t, const uint64_t a[6])
{
    return many(t, a, file_write, -1, 0);
}

long sys_preadv(struct thread *t, const uint64_t a[6])
{
    return (int64_t)a[3] < 0 ? -EINVAL : many(t, a, file_read, (int64_t)a[3], 0);
}

long sys_pwritev(struct thread *t, const uint64_t a[6])
{
    return (int64_t)a[3] < 0 ? -EINVAL : many(t, a, file_write, (int64_t)a[3], 0);
}

long sys_preadv2(struct thread *t, const uint64_t a[6])
{
    return (int64_t)a[3] < -1 ? -EINVAL : many(t, a, file_read, (int64_t)a[3], (uint32_t)a[5]);
}

long sys_pwritev2(struct thread *t, const uint64_t a[6])
{
    return (int64_t)a[3] < -1 ? -EINVAL : many(t, a, file_write, (int64_t)a[3], (uint32_t)a[5]);
}

/* ---- lseek ---- */

static long seek_data(const struct descriptor *d, int64_t offset, bool hole)
{
    struct msg_file_seek request = {.file = d->file->id, .offset = (uint64_t)offset, .hole = hole};
    struct msg_file_seek_reply reply;
    struct rpc rpc;
    if (offset < 0)
        return -ENXIO;
    int rc = REMOTE_CALL(d, &rpc, FILE_SEEK, file_seek, &request, &reply);
    rpc_end(&rpc);
    return rc < 0 ? rc : (long)reply.offset;
}

static long seek(struct descriptor *d, int64_t offset, unsigned whence)
{
    struct file_attr attr;
    long to = 0;

    if (d->file->flags & O_PATH)
        return -EBADF;
    if (whence > SEEK_MAX)
        return -EINVAL;
    int64_t now = offset_begin(d);
    if (now < 0)
        return now;
    switch (whence) {
    case SEEK_CUR:
        to = now;
        break;
    case SEEK_END:
        to = remote_stat(d, &attr);
        if (to == 0)
            to = (long)attr.size_bytes;
        break;
    case SEEK_DATA:
    case SEEK_HOLE:
        to = seek_data(d, offset, whence == SEEK_HOLE);
        break;
    }
    bool failed = to < 0;
    if (!failed && whence <= SEEK_END && (__builtin_add_overflow(to, offset, &to) || to < 0)) {
        to = -EINVAL;
        failed = true;
    }
    offset_end(d, failed ? -1 : to);
    return to;
}

static long seek_host(int fd, int64_t offset, unsigned whence)
{
    bool found = false;
    long at = 0;
    if ((whence == SEEK_DATA || whence == SEEK_HOLE) && host_call(__NR_lseek, fd, 0, SEEK_CUR) >= 0)
        at = shared_host_call(fd, SEGMENT_SEEK, whence == SEEK_HOLE, (uint64_t)offset, 0, &found);
    if (!found)
        return host_call(__NR_lseek, fd, offset, whence);
    return at < 0 ? at : host_call(__NR_lseek, fd, at, SEEK_SET);
}

long sys_lseek(struct thread *t, const uint64_t a[6])
{
    struct descriptor d;
    long rc = descriptor_get(t->process->files, (int)a[0], &d);
    if (rc < 0)
        return rc;
    if (d.kind == ENTRY_HOST_WATCH)
        rc = (unsigned)a[2] > SEEK_MAX ? -EINVAL : 0; /* as Linux has it: allowed, and nothing */
    else if (d.file)
        rc = seek(&d, (int64_t)a[1], (unsigned)a[2]);
    else
        rc = seek_host(d.fd, (int64_t)a[1], (unsigned)a[2]);
    descriptor_put(&d);
    return rc;
}

/* ---- size and allocation ---- */

static long truncate_file(const struct descriptor *d, uint64_t size)
{
    struct msg_file_truncate request = {.file = d->file->id, .size_bytes = size};
    struct msg_file_truncate_reply reply;
    struct rpc rpc;
    int rc = REMOTE_CALL(d, &rpc, FILE_TRUNCATE, file_truncate, &request, &reply);
    rpc_end(&rpc);
    return rc < 0 ? rc : shared_change(&d->file->id, SEGMENT_RESIZED, size, 0);
}

static bool writable(const struct descriptor *d)
{
    return !(d->file->flags & O_PATH) && (d->file->flags & O_ACCMODE) != O_RDONLY;
}

/* Whether RLIMIT_FSIZE lets a file be that long. */
static bool fits(struct thread *t, uint64_t size)
{
    return !size || limit_file_size(t, size - 1, 1);
}

static long truncate_host(int fd, uint64_t size)
{
    bool found = false;
    if (shared_host_files() && (host_call(__NR_fcntl, fd, F_GETFL) & O_ACCMODE) != O_RDONLY) {
        long rc = shared_host_call(fd, SEGMENT_TRUNCATE, 0, size, 0, &found);
        if (found)
            return rc;
    }
    return host_call(__NR_ftruncate, fd, size);
}

long sys_ftruncate(struct thread *t, const uint64_t a[6])
{
    struct descriptor d;
    if ((int64_t)a[1] < 0)
        return -EINVAL;
    long rc = descriptor_get(t->process->files, (int)a[0], &d);
    if (rc < 0)
        return rc;
    if (!d.file)
        rc = truncate_host(d.fd, a[1]);
    else if (d.file->flags & O_PATH)
        rc = -EBADF;
    else if (!writable(&d) || !S_ISREG(d.file->type))
        rc = -EINVAL;
    else
        rc = fits(t, a[1]) ? truncate_file(&d, a[1]) : -EFBIG;
    descriptor_put(&d);
    return rc;
}

static long truncate_local(const char *path, uint64_t size)
{
    bool found;
    long rc = file_cut_by_name(path, size, &found);
    return found ? rc : host_call(__NR_truncate, path, size);
}

/* By path: the file is opened for it, as there is no request that truncates a path. */
long sys_truncate(struct thread *t, const uint64_t a[6])
{
    struct location l;
    struct msg_file_open request = {
        .flags = O_WRONLY, .description = description_new(), .path = l.path};
    struct msg_file_open_reply reply;

    if ((int64_t)a[1] < 0)
        return -EINVAL;
    long rc = locate(t, (uint64_t)AT_FDCWD, a[0], 0, &l);
    if (rc == 0)
        rc = LOCATION_CALL(t, &l, truncate_local(l.path, a[1]), FILE_OPEN, file_open, &request,
                           &reply, );
    if (rc < 0 || l.local)
        return rc;
    if (!S_ISREG(reply.attr.mode))
        return -EINVAL;
    struct msg_file_truncate cut = {.file = reply.attr.id, .size_bytes = a[1]};
    struct msg_file_truncate_reply cut_reply;
    struct rpc rpc;
    if (fits(t, a[1])) {
        rc = rpc_errno(RPC_CALL(&rpc, STORAGE, FILE_TRUNCATE, file_truncate, &cut, &cut_reply));
        rpc_end(&rpc);
        if (rc == 0)
            rc = shared_change(&reply.attr.id, SEGMENT_RESIZED, a[1], 0);
    } else {
        rc = -EFBIG;
    }
    const struct held held = {reply.attr.id, request.description};
    (void)holds_take(t->process->files->holds, &held);
    holds_put(t->process->files->holds, &held, true);
    return rc;
}

static long allocate(const struct descriptor *d, uint32_t mode, int64_t offset, int64_t length)
{
    struct msg_file_allocate request = {
        .file = d->file->id,
        .mode = mode,
        .offset = (uint64_t)offset,
        .length = (uint64_t)length,
    };
    struct msg_file_allocate_reply reply;
    struct rpc rpc;
    int64_t end;

    if (d->file->flags & O_PATH)
        return -EBADF;
    if (offset < 0 || length <= 0)
        return -EINVAL;
    if (!writable(d))
        return -EBADF;
    if (!S_ISREG(d->file->type))
        return -ENODEV;
    if (__builtin_add_overflow(offset, length, &end))
        return -EFBIG;
    if (!(mode & FALLOC_FL_KEEP_SIZE) && !fits(current(), (uint64_t)end))
        return -EFBIG;
    int rc = shared_change(&d->file->id, SEGMENT_READ, request.offset, request.length);
    if (rc < 0)
        return rc;
    rc = REMOTE_CALL(d, &rpc, FILE_ALLOCATE, file_allocate, &request, &reply);
    rpc_end(&rpc);
    return rc < 0 ? rc
                  : shared_change(&d->file->id, SEGMENT_WRITTEN, request.offset, request.length);
}

/* What the host refuses of itself it is to refuse. */
static long allocate_host(int fd, uint32_t mode, int64_t offset, int64_t length)
{
    bool found = false;
    int64_t end;
    if ((!(mode & ~FALLOC_FL_KEEP_SIZE) || mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)) &&
        offset >= 0 && length > 0 && !__builtin_add_overflow(offset, length, &end) &&
        shared_host_files() && (host_call(__NR_fcntl, fd, F_GETFL) & O_ACCMODE) != O_RDONLY) {
        long rc = shared_host_call(fd, SEGMENT_ALLOCATE, mode, (uint64_t)offset, (uint64_t)length,
                                   &found);
        if (found)
            return rc;
    }
    return host_call(__NR_fallocate, fd, mode, offset, length);
}

long sys_fallocate(struct thread *t, const uint64_t a[6])
{
    struct descriptor d;
    long rc = descriptor_get(t->process->files, (int)a[0], &d);
    if (rc < 0)
        return rc;
    rc = d.file ? allocate(&d, (uint32_t)a[1], (int64_t)a[2], (int64_t)a[3])
                : allocate_host(d.fd, (uint32_t)a[1], (int64_t)a[2], (int64_t)a[3]);
    descriptor_put(&d);
    return rc;
}

/* ---- to durable storage ---- */

static long synchronise(struct thread *t, int fd, long nr, enum sync_kind kind)
{
    struct descriptor d;
    long rc = descriptor_get(t->process->files, fd, &d);
    if (rc < 0)
        return rc;
    if (!d.file)
        rc = host_call(nr, fd);
    else
        rc = d.file->flags & O_PATH ? -EBADF : remote_sync(&d, kind);
    descriptor_put(&d);
    return rc;
}

long sys_fsync(struct thread *t, const uint64_t a[6])
{
    return synchronise(t, (int)a[0], __NR_fsync, SYNC_ALL);
}

long sys_fdatasync(struct thread *t, const uint64_t a[6])
{
    return synchronise(t, (int)a[0], __NR_fdatasync, SYNC_DATA);
}

long sys_syncfs(struct thread *t, const uint64_t a[6])
{
    return synchronise(t, (int)a[0], __NR_syncfs, SYNC_VOLUME);
}

/* What this process has open for writing; files that it has closed are written back by and by. */
long sys_sync(struct thread *t, const uint64_t a[6])
{
    struct files *f = t->process->files;
    for (int fd = 0; fd < fd_numbers.most; fd++) {
        struct descriptor d;
        if (!f->chunks[fd / ENTRIES_PER_CHUNK] || descriptor_get(f, fd, &d) < 0)
            continue;
        if (d.file && writable(&d))
            (void)!remote_sync(&d, SYNC_ALL);
        descriptor_put(&d);
    }
    return 0;
}

/* ---- advice ---- */

/* What is advised about: its descriptor's flags and type. Linux's own errors for others. */
struct advised {
    bool host;
    uint32_t flags, type;
};

static long advised(struct thread *t, int fd, struct advised *out)
{
    struct descriptor d;
    long rc = descriptor_get(t->process->files, fd, &d);
    if (rc < 0)
        return rc;
    out->host = !d.file;
    if (d.file) {
        out->flags = d.file->flags;
        out->type = d.file->type;
        if (out->flags & O_PATH)
            rc = -EBADF;
    }
    descriptor_put(&d);
    return rc;
}

long sys_fadvise64(struct thread *t, const uint64_t a[6])
{
    struct advised what;
    long rc = advised(t, (int)a[0], &what);
    if (rc < 0)
        return rc;
    if (what.host)
        return host_call(__NR_fadvise64, a[0], a[1], a[2], a[3]);
    return (int64_t)a[2] < 0 || (unsigned)a[3] > POSIX_FADV_NOREUSE ? -EINVAL : 0;
}

long sys_readahead(struct thread *t, const uint64_t a[6])
{
    struct advised what;
    long rc = advised(t, (int)a[0], &what);
    if (rc < 0)
        return rc;
    if (what.host)
        return host_call(__NR_readahead, a[0], a[1], a[2]);
    if ((what.flags & O_ACCMODE) == O_WRONLY)
        return -EBADF;
    return S_ISREG(what.type) ? 0 : -EINVAL;
}

/* All of the file is made durable: a promise larger than what was asked for. */
long sys_sync_file_range(struct thread *t, const uint64_t a[6])
{
    struct advised what;
    int64_t from = (int64_t)a[1], size = (int64_t)a[2], end;
    long rc = advised(t, (int)a[0], &what);
    if (rc < 0)
        return rc;
    if (what.host)
        return host_call(__NR_sync_file_range, a[0], a[1], a[2], a[3]);
    if (a[3] & ~(uint64_t)(SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                           SYNC_FILE_RANGE_WAIT_AFTER) ||
        from < 0 || __builtin_add_overflow(from, size, &end) || end < from)
        return -EINVAL;
    if (!S_ISREG(what.type) && !S_ISDIR(what.type))
        return -ESPIPE;
    return a[3] ? synchronise(t, (int)a[0], __NR_fdatasync, SYNC_DATA) : 0;
}
