/* Changing what files are: mode, owner, times. */
#include <linux/fcntl.h>
#include <linux/stat.h>
#include <linux/time_types.h>
#include <linux/utime.h>

#include "../files/location.h"
#include "../files/remote.h"
#include "file_calls.h"

#define CWD ((uint64_t)AT_FDCWD)

/* ---- by path and by descriptor ---- */

static void set_by_host(struct msg_file_setattr *request, const char *path, bool nofollow,
                        long *result)
{
    uint32_t flags = nofollow ? AT_SYMLINK_NOFOLLOW : 0;
    struct __kernel_timespec times[2] = {
        {.tv_sec = request->atime_s, .tv_nsec = request->atime_ns},
        {.tv_sec = request->mtime_s, .tv_nsec = request->mtime_ns},
    };
    if (request->what & SETATTR_MODE)
        *result = nofollow ? -EOPNOTSUPP : host_call(__NR_fchmodat, AT_FDCWD, path, request->mode);
    else if (request->what & SETATTR_OWNER)
        *result = host_call(__NR_fchownat, AT_FDCWD, path, request->uid, request->gid, flags);
    else
        *result = host_call(__NR_utimensat, AT_FDCWD, path, times, flags);
}

static long set_location(struct thread *t, struct location *l, struct msg_file_setattr *request)
{
    struct msg_file_setattr_reply reply;
    long host = 0;
    request->path = l->path;
    if (l->nofollow)
        request->what |= SETATTR_NOFOLLOW;
    return LOCATION_CALL(t, l, (set_by_host(request, l->path, l->nofollow, &host), host),
                         FILE_SETATTR, file_setattr, request, &reply, );
}

static long set_path(struct thread *t, uint64_t dirfd, uint64_t path, unsigned flags,
                     struct msg_file_setattr *request)
{
    struct location l;
    struct descriptor d;
    struct msg_file_setattr_reply reply;
    struct rpc rpc;

    long rc = locate(t, dirfd, path, flags, &l);
    if (rc < 0)
        return rc;
    if (l.local || l.fd < 0)
        return set_location(t, &l, request);
    rc = descriptor_get(t->process->files, l.fd, &d);
    if (rc < 0)
        return rc;
    if (!d.file) {
        descriptor_put(&d);
        return -EBADF;
    }
    request->file = d.file->id;
    request->path = "";
    rc = REMOTE_CALL(&d, &rpc, FILE_SETATTR, file_setattr, request, &reply);
    rpc_end(&rpc);
    descriptor_put(&d);
    return rc;
}

/* The descriptor itself; `with_path`: one opened with O_PATH will do. */
static long set_descriptor(struct thread *t, int fd, bool with_path,
                           struct msg_file_setattr *request)
{
    struct descriptor d;
    long rc = descriptor_get(t->process->files, fd, &d);
    if (rc < 0)
        return rc;
    if (d.file && d.file->flags & O_PATH && !with_path)
        rc = -EBADF;
    else if (!d.file && host_call(__NR_fcntl, fd, F_GETFD) < 0)
        rc = -EBADF;
    descriptor_put(&d);
    return rc < 0 ? rc : set_path(t, (uint64_t)fd, 0, LOCATE_EMPTY, request);
}

/* ---- mode ---- */

static struct msg_file_setattr mode_request(uint64_t mode)
{
    return (struct msg_file_setattr){.what = SETATTR_MODE, .mode = (uint32_t)mode & 07777};
}

long sys_chmod(struct thread *t, const uint64_t a[6])
{
    struct msg_file_setattr request = mode_request(a[1]);
    return set_path(t, CWD, a[0], 0, &request);
}

long sys_fchmod(struct thread *t, const uint64_t a[6])
{
    struct msg_file_setattr request = mode_request(a[1]);
    return set_descriptor(t, (int)a[0], false, &request);
}

long sys_fchmodat(struct thread *t, const uint64_t a[6])
{
    struct msg_file_setattr request = mode_request(a[2]);
    return set_path(t, a[0], a[1], 0, &request);
}

/* ---- owner ---- */

static struct msg_file_setattr owner_request(uint64_t uid, uint64_t gid)
{
    return (struct msg_file_setattr){
        .what = SETATTR_OWNER, .uid = (uint32_t)uid, .gid = (uint32_t)gid};
}

long sys_chown(struct thread *t, const uint64_t a[6])
{
    struct msg_file_setattr request = owner_request(a[1], a[2]);
    return set_path(t, CWD, a[0], 0, &request);
}

long sys_lchown(struct thread *t, const uint64_t a[6])
{
    struct msg_file_setattr request = owner_request(a[1], a[2]);
    return set_path(t, CWD, a[0], LOCATE_NOFOLLOW, &request);
}

long sys_fchown(struct thread *t, const uint64_t a[6])
{
    struct msg_file_setattr request = owner_request(a[1], a[2]);
    return set_descriptor(t, (int)a[0], false, &request);
}

long sys_fchownat(struct thread *t, const uint64_t a[6])
{
    struct msg_file_setattr request = owner_request(a[2], a[3]);
    uint32_t flags = (uint32_t)a[4];
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    return set_path(t, a[0], a[1],
                    (flags & AT_SYMLINK_NOFOLLOW ? LOCATE_NOFOLLOW : 0) |
                        (flags & AT_EMPTY_PATH ? LOCATE_EMPTY : 0),
                    &request);
}

/* ---- times ---- */

#define NSEC_NOW  0x3fffffff /* UTIME_NOW */
#define NSEC_OMIT 0x3ffffffe /* UTIME_OMIT */

static const struct msg_file_setattr now = {
    .what = SETATTR_TIMES, .atime_ns = NSEC_NOW, .mtime_ns = NSEC_NOW};

static bool nsec_good(int64_t nsec)
{
    return nsec == NSEC_NOW || nsec == NSEC_OMIT || (nsec >= 0 && nsec < 1000000000);
}

long sys_utimensat(struct thread *t, const uint64_t a[6])
{
    struct msg_file_setattr request = now;
    struct __kernel_timespec times[2];
    uint32_t flags = (uint32_t)a[3];

    if (a[2]) {
        if (user_read(times, a[2], sizeof times) < 0)
            return -EFAULT;
        if (times[0].tv_nsec == NSEC_OMIT && times[1].tv_nsec == NSEC_OMIT)
            return 0;
        if (!nsec_good(times[0].tv_nsec) || !nsec_good(times[1].tv_nsec))
            return -EINVAL;
        request.atime_s = times[0].tv_sec;
        request.atime_ns = (uint32_t)times[0].tv_nsec;
        request.mtime_s = times[1].tv_sec;
        request.mtime_ns = (uint32_t)times[1].tv_nsec;
    }
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    if (!a[1] && (int)a[0] != AT_FDCWD)
        return flags ? -EINVAL : set_descriptor(t, (int)a[0], false, &request);
    if (!a[1])
        return -EFAULT;
    return set_path(t, a[0], a[1],
                    (flags & AT_SYMLINK_NOFOLLOW ? LOCATE_NOFOLLOW : 0) |
                        (flags & AT_EMPTY_PATH ? LOCATE_EMPTY : 0),
                    &request);
}

/* Two struct timeval. */
static long read_times(uint64_t address, struct msg_file_setattr *request)
{
    struct {
        int64_t s, us;
    } times[2];

    *request = now;
    if (!address)
        return 0;
    if (user_read(times, address, sizeof times) < 0)
        return -EFAULT;
    if (times[0].us < 0 || times[0].us >= 1000000 || times[1].us < 0 || times[1].us >= 1000000)
        return -EINVAL;
    request->atime_s = times[0].s;
    request->atime_ns = (uint32_t)times[0].us * 1000;
    request->mtime_s = times[1].s;
    request->mtime_ns = (uint32_t)times[1].us * 1000;
    return 0;
}

long sys_utimes(struct thread *t, const uint64_t a[6])
{
    struct msg_file_setattr request;
    long rc = read_times(a[1], &request);
    return rc < 0 ? rc : set_path(t, CWD, a[0], 0, &request);
}

long sys_futimesat(struct thread *t, const uint64_t a[6])
{
    struct msg_file_setattr request;
    long rc = read_times(a[2], &request);
    if (rc < 0)
        return rc;
    if (!a[1] && (int)a[0] != AT_FDCWD)
        return set_descriptor(t, (int)a[0], false, &request);
    return set_path(t, a[0], a[1], 0, &request);
}

long sys_utime(struct thread *t, const uint64_t a[6])
{
    struct msg_file_setattr request = now;
    struct utimbuf times;
    if (a[1]) {
        if (user_read(&times, a[1], sizeof times) < 0)
            return -EFAULT;
        request.atime_s = times.actime;
        request.mtime_s = times.modtime;
        request.atime_ns = request.mtime_ns = 0;
    }
    return set_path(t, CWD, a[0], 0, &request);
}
