/*
 * Calls that move bytes between descriptors: sendfile, copy_file_range, splice and their kin.
 *
 * Between two host descriptors the host does it. Where an sComponent's file takes part, the bytes
 * go through bounce memory; what could not be written is not counted, and of a file's offset only
 * what was written is used up.
 */
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

#include "../files/remote.h"
#include "file_calls.h"
#include "file_io.h"

#include <asm/stat.h>

#define SPLICE_F_NONBLOCK 2
#define SPLICE_F_KNOWN    15

struct end {
    struct descriptor d;
    uint64_t address; /* of the program's offset; 0: the description's own */
    int64_t offset;   /* -1: the description's own */
    bool wraps;       /* a negative offset is one that the length overflows */
};

static long begin(struct thread *t, struct end *e, uint64_t fd, uint64_t address)
{
    e->address = address;
    e->offset = -1;
    long rc = descriptor_get(t->process->files, (int)fd, &e->d);
    if (rc == 0 && e->d.kind == ENTRY_HOST_WATCH) {
        descriptor_put(&e->d);
        return -EINVAL;
    }
    if (rc == 0 && address) {
        if (user_read(&e->offset, address, sizeof e->offset) < 0)
            rc = -EFAULT;
        else if (e->offset < 0)
            rc = e->wraps ? -EOVERFLOW : -EINVAL;
        if (rc < 0)
            descriptor_put(&e->d);
    }
    return rc;
}

static long finish(struct end *e, long result)
{
    descriptor_put(&e->d);
    if (result >= 0 && e->address && user_write(e->address, &e->offset, sizeof e->offset) < 0)
        return -EFAULT;
    return result;
}

/* Writes all of it, but for a signal or an error. */
static long write_all(struct end *out, const uint8_t *from, uint32_t size)
{
    uint32_t done = 0;
    while (done < size) {
        long put = file_write_kernel(&out->d, from + done, size - done, out->offset);
        if (put < 0)
            return done ? done : put;
        done += (uint32_t)put;
        if (out->offset >= 0)
            out->offset += put;
        if (put == 0)
            break;
    }
    return done;
}

/* Whether the host is to move the bytes: it has both ends, and what is in them. */
static bool is_hosts(const struct end *in, const struct end *out)
{
    return !in->d.file && !out->d.file && !file_is_mapped(&in->d) && !file_is_mapped(&out->d);
}

/* Sets the description's own offset back by what was read and not written. */
static void read_less(struct end *in, long bytes)
{
    if (!in->d.file) {
        host_call(__NR_lseek, in->d.fd, -bytes, SEEK_CUR); /* of a pipe nothing can be given back */
        return;
    }
    int64_t offset = offset_begin(&in->d);
    if (offset >= 0)
        offset_end(&in->d, offset - bytes);
}

/* Copies until count is done, the input ends, or (a pipe) has nothing more for now. */
static long copy(struct thread *t, struct end *in, struct end *out, uint64_t count)
{
    uint8_t *bounce = thread_bounce(t);
    long done = 0;

    if (!bounce)
        return -ENOMEM;
    while (count) {
        uint32_t want = count < BOUNCE_SIZE ? (uint32_t)count : BOUNCE_SIZE;
        long got = file_read_kernel(&in->d, bounce, want, in->offset);
        if (got <= 0)
            return done ? done : got;
        long put = write_all(out, bounce, (uint32_t)got);
        long written = put < 0 ? 0 : put;
        if (in->offset >= 0)
            in->offset += written;
        else if (written < got)
            read_less(in, got - written);
        if (put < 0)
            return done ? done : put;
        done += put;
        count -= (uint64_t)put;
        if (put < got || got < want)
            break;
    }
    return done;
}

/* ---- sendfile ---- */

static bool is_pipe(const struct descriptor *d)
{
    return !d->file && host_call(__NR_fcntl, d->fd, F_GETPIPE_SZ) >= 0;
}

static bool reads_at_offset(struct descriptor *d)
{
    struct stat st;
    if (d->file)
        return S_ISREG(d->file->type);
    return host_call(__NR_fstat, d->fd, &st) == 0 && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode);
}

/* To the end of a file, which no call here does. */
static bool appends(const struct descriptor *d)
{
    return !is_pipe(d) && placeholder_host_flags(d->fd) & O_APPEND;
}

long sys_sendfile(struct thread *t, const uint64_t a[6])
{
    struct end out = {.wraps = false}, in = {.wraps = false};
    uint64_t count = a[3] > 0x7ffff000 ? 0x7ffff000 : a[3];

    long rc = begin(t, &in, a[1], a[2]);
    if (rc < 0)
        return rc;
    rc = begin(t, &out, a[0], 0);
    if (rc < 0)
        return finish(&in, rc);
    if (is_hosts(&in, &out)) {
        rc =
            host_call_intr(__NR_sendfile, out.d.fd, in.d.fd, in.address ? &in.offset : NULL, count);
    } else if (!reads_at_offset(&in.d)) {
        rc = -EINVAL;
    } else if (appends(&out.d)) {
        rc = -EINVAL;
    } else {
        rc = copy(t, &in, &out, count);
    }
    (void)finish(&out, 0);
    return finish(&in, restartable(rc));
}

/* ---- copy_file_range ---- */

/* What both ends must be; one that the host would refuse it may refuse itself. */
static long range_ends(struct end *in, struct end *out)
{
    struct end *ends[2] = {in, out};
    for (int i = 0; i < 2; i++) {
        struct descriptor *d = &ends[i]->d;
        if (!d->file)
            continue;
        if (d->file->flags & O_PATH ||
            (d->file->flags & O_ACCMODE) == (i == 0 ? O_WRONLY : O_RDONLY))
            return S_ISDIR(d->file->type) ? -EISDIR : -EBADF;
        if (S_ISDIR(d->file->type))
            return -EISDIR;
    }
    if (out->d.file && placeholder_host_flags(out->d.fd) & O_APPEND)
        return -EBADF;
    return 0;
}

static bool is_regular(const struct descriptor *d)
{
    struct stat st;
    if (d->file)
        return S_ISREG(d->file->type);
    return host_call(__NR_fstat, d->fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* The file of an end. Its generation is 0 where it is the host's, which gives none. */
static struct file_id id_of(const struct descriptor *d)
{
    struct stat st = {0};
    if (d->file)
        return d->file->id;
    host_call(__NR_fstat, d->fd, &st);
    return (struct file_id){.device = st.st_dev, .inode = st.st_ino};
}

static int64_t offset_of(struct end *e)
{
    if (e->offset >= 0)
        return e->offset;
    if (!e->d.file)
        return host_call(__NR_lseek, e->d.fd, 0, SEEK_CUR);
    int64_t at = offset_begin(&e->d);
    if (at >= 0)
        offset_end(&e->d, -1);
    return at;
}

static int64_t size_of(const struct descriptor *d)
{
    struct file_attr attr;
    struct stat st;
    if (d->file)
        return remote_stat(d, &attr) < 0 ? 0 : (int64_t)attr.size_bytes;
    return host_call(__NR_fstat, d->fd, &st) < 0 ? 0 : st.st_size;
}

/* Whether both ends are one file, and the ranges meet. */
static bool overlap(struct end *in, struct end *out, uint64_t count)
{
    const struct file_id a = id_of(&in->d), b = id_of(&out->d);
    if (a.inode != b.inode || a.device != b.device || a.generation != b.generation)
        return false;
    int64_t from = offset_of(in), to = offset_of(out), left = size_of(&in->d) - from;
    if (left <= 0)
        return false;
    if (count > (uint64_t)left)
        count = (uint64_t)left;
    int64_t to_end;
    if (__builtin_add_overflow(to, (int64_t)count, &to_end))
        to_end = INT64_MAX;
    return from + (int64_t)count > to && to_end > from;
}

static long copy_by_host(struct end *in, struct end *out, uint64_t count)
{
    return host_call(__NR_copy_file_range, in->d.fd, in->address ? &in->offset : NULL, out->d.fd,
                     out->address ? &out->offset : NULL, count, 0);
}

static long copy_range(struct thread *t, struct end *in, struct end *out, uint64_t count)
{
    if (is_hosts(in, out))
        return copy_by_host(in, out, count);
    long rc = range_ends(in, out);
    if (rc == 0 && !in->d.file && !out->d.file) {
        rc = copy_by_host(in, out, 0); /* what it has against them */
        if (rc == 0)
            return overlap(in, out, count) ? -EINVAL : copy(t, in, out, count);
    }
    if (rc < 0)
        return rc;
    if (!is_regular(&in->d) || !is_regular(&out->d))
        return -EINVAL;
    if (!in->d.file || !out->d.file)
        return -EXDEV; /* the pComponent's files are another file system */
    if (overlap(in, out, count))
        return -EINVAL;
    return copy(t, in, out, count);
}

long sys_copy_file_range(struct thread *t, const uint64_t a[6])
{
    struct end in = {.wraps = true}, out = {.wraps = true};
    uint64_t count = a[4] > 0x7ffff000 ? 0x7ffff000 : a[4];

    long rc = begin(t, &in, a[0], a[1]);
    if (rc < 0)
        return rc;
    rc = begin(t, &out, a[2], a[3]);
    if (rc < 0)
        return finish(&in, rc);
    rc = (uint32_t)a[5] ? -EINVAL : copy_range(t, &in, &out, count);
    rc = finish(&out, rc);
    return finish(&in, rc);
}

/* ---- splice, tee, vmsplice ---- */

/* Whether a pipe has something to read, or room to be written to. */
static bool is_ready(const struct descriptor *d, bool writes)
{
    struct {
        int fd;
        short events, revents;
    } p = {d->fd, writes ? 4 : 1, 0};
    return host_call(__NR_poll, &p, 1, 0) != 0;
}

static long splice(struct thread *t, struct end *in, struct end *out, uint64_t count,
                   uint32_t flags)
{
    bool from_pipe = is_pipe(&in->d), to_pipe = is_pipe(&out->d);

    if ((from_pipe && in->address) || (to_pipe && out->address))
        return -ESPIPE;
    if (is_hosts(in, out))
        return host_call_intr(__NR_splice, in->d.fd, in->address ? &in->offset : NULL, out->d.fd,
                              out->address ? &out->offset : NULL, count, flags);
    if (!from_pipe && !to_pipe)
        return -EINVAL;
    if (appends(&out->d))
        return -EINVAL;
    if (flags & SPLICE_F_NONBLOCK && !is_ready(from_pipe ? &in->d : &out->d, !from_pipe))
        return -EAGAIN;
    /* One pipe's worth: as much as would not have to wait twice. */
    return copy(t, in, out, count < 65536 ? count : 65536);
}

long sys_splice(struct thread *t, const uint64_t a[6])
{
    struct end in = {.wraps = false}, out = {.wraps = false};

    if ((uint32_t)a[5] & ~SPLICE_F_KNOWN)
        return -EINVAL;
    if (!a[4])
        return 0;
    long rc = begin(t, &in, a[0], a[1]);
    if (rc < 0)
        return rc;
    rc = begin(t, &out, a[2], a[3]);
    if (rc < 0)
        return finish(&in, rc);
    rc = restartable(splice(t, &in, &out, a[4], (uint32_t)a[5]));
    rc = finish(&out, rc);
    return finish(&in, rc);
}

long sys_tee(struct thread *t, const uint64_t a[6])
{
    if (files_hidden((int)a[0]) || files_hidden((int)a[1]))
        return -EBADF;
    return restartable(host_call_intr(__NR_tee, (int)a[0], (int)a[1], a[2], a[3]));
}

/* The pages are copied instead of lent: what a program can tell apart is only the time. */
long sys_vmsplice(struct thread *t, const uint64_t a[6])
{
    struct descriptor d;
    struct user_iov v;

    if ((uint32_t)a[3] & ~SPLICE_F_KNOWN)
        return -EINVAL;
    long rc = descriptor_get(t->process->files, (int)a[0], &d);
    if (rc < 0)
        return rc;
    bool writes = (host_call(__NR_fcntl, d.fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
    if (!is_pipe(&d))
        rc = -EBADF;
    else
        rc = user_iov_many(&v, a[1], a[2]);
    if (rc == 0 && v.total && a[3] & SPLICE_F_NONBLOCK && !is_ready(&d, writes))
        rc = -EAGAIN;
    else if (rc == 0)
        rc = writes ? file_write(t, &d, &v, -1, 0) : file_read(t, &d, &v, -1, 0);
    descriptor_put(&d);
    return restartable(rc);
}
