/* What files are: stat and its variants, access, statfs. */
#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "../files/location.h"
#include "../files/remote.h"
#include "file_calls.h"

/* ---- the attributes of what a path names ---- */

/* 0 and *out; 1 where it is the host's: l says where. */
static long look(struct thread *t, struct location *l, struct file_attr *out)
{
    struct msg_path_stat request = {.nofollow = l->nofollow, .path = l->path};
    struct msg_path_stat_reply reply;
    struct descriptor d;

    if (!l->local && l->fd >= 0) {
        long rc = descriptor_get(t->process->files, l->fd, &d);
        if (rc < 0)
            return rc;
        rc = d.file ? remote_stat(&d, out) : 1;
        descriptor_put(&d);
        return rc;
    }
    return LOCATION_CALL(t, l, 1, PATH_STAT, path_stat, &request, &reply, *out = reply.attr);
}

/* The device numbers of a file_attr are Linux's own encoding, as st_dev has it. */
static uint32_t major(uint64_t device)
{
    return (uint32_t)((device >> 8 & 0xfff) | (device >> 32 & ~0xfffull));
}

static uint32_t minor(uint64_t device)
{
    return (uint32_t)((device & 0xff) | (device >> 12 & ~0xffull));
}

/*
 * The size of requests that serves a regular file best. stdio and its kin take it for their
 * buffers, and each request is a round trip: as network file systems do, larger than the disk's own
 * blocks.
 */
static uint32_t preferred_size(const struct file_attr *attr)
{
    const uint32_t remote = 64 * 1024;
    bool regular = (attr->mode & S_IFMT) == S_IFREG;
    return regular && attr->block_size < remote ? remote : attr->block_size;
}

static void to_stat(const struct file_attr *attr, struct stat *st)
{
    *st = (struct stat){
        .st_dev = attr->id.device,
        .st_ino = attr->id.inode,
        .st_nlink = attr->nlink,
        .st_mode = attr->mode,
        .st_uid = attr->uid,
        .st_gid = attr->gid,
        .st_rdev = attr->rdev,
        .st_size = (long)attr->size_bytes,
        .st_blksize = preferred_size(attr),
        .st_blocks = (long)attr->blocks,
        .st_atime = (unsigned long)attr->atime_s,
        .st_atime_nsec = attr->atime_ns,
        .st_mtime = (unsigned long)attr->mtime_s,
        .st_mtime_nsec = attr->mtime_ns,
        .st_ctime = (unsigned long)attr->ctime_s,
        .st_ctime_nsec = attr->ctime_ns,
    };
}

static void to_statx(const struct file_attr *attr, struct statx *st)
{
    *st = (struct statx){
        .stx_mask = STATX_BASIC_STATS | STATX_BTIME,
        .stx_blksize = preferred_size(attr),
        .stx_nlink = attr->nlink,
        .stx_uid = attr->uid,
        .stx_gid = attr->gid,
        .stx_mode = (uint16_t)attr->mode,
        .stx_ino = attr->id.inode,
        .stx_size = attr->size_bytes,
        .stx_blocks = attr->blocks,
        .stx_atime = {.tv_sec = attr->atime_s, .tv_nsec = attr->atime_ns},
        .stx_btime = {.tv_sec = attr->btime_s, .tv_nsec = attr->btime_ns},
        .stx_ctime = {.tv_sec = attr->ctime_s, .tv_nsec = attr->ctime_ns},
        .stx_mtime = {.tv_sec = attr->mtime_s, .tv_nsec = attr->mtime_ns},
        .stx_rdev_major = major(attr->rdev),
        .stx_rdev_minor = minor(attr->rdev),
        .stx_dev_major = major(attr->id.device),
        .stx_dev_minor = minor(attr->id.device),
    };
    if (!attr->btime_s && !attr->btime_ns)
        st->stx_mask &= ~STATX_BTIME;
}

/* ---- stat ---- */

static long stat_location(struct thread *t, struct location *l, uint64_t out)
{
    struct file_attr attr;
    struct stat st;
    long rc = look(t, l, &attr);
    if (rc == 0)
        to_stat(&attr, &st);
    else if (rc == 1 && l->fd >= 0)
        rc = host_call(__NR_fstat, l->fd, &st);
    else if (rc == 1)
        rc = host_call(l->nofollow ? __NR_lstat : __NR_stat, l->path, &st);
    return rc < 0 ? rc : user_write(out, &st, sizeof st);
}

static long stat_path(struct thread *t, uint64_t dirfd, uint64_t path, unsigned flags, uint64_t out)
{
    struct location l;
    long rc = locate(t, dirfd, path, flags, &l);
    return rc < 0 ? rc : stat_location(t, &l, out);
}

long sys_stat(struct thread *t, const uint64_t a[6])
{
    return stat_path(t, (uint64_t)AT_FDCWD, a[0], 0, a[1]);
}

long sys_lstat(struct thread *t, const uint64_t a[6])
{
    return stat_path(t, (uint64_t)AT_FDCWD, a[0], LOCATE_NOFOLLOW, a[1]);
}

/* Without the path, which would only be read to be thrown away. */
static long stat_descriptor(struct thread *t, int fd, uint64_t out)
{
    struct descriptor d;
    struct stat st;
    struct file_attr attr;
    long rc = descriptor_get(t->process->files, fd, &d);
    if (rc < 0)
        return rc;
    if (d.file) {
        rc = remote_stat(&d, &attr);
        if (rc == 0)
            to_stat(&attr, &st);
    } else {
        rc = host_call(__NR_fstat, fd, &st);
        if (d.kind == ENTRY_HOST_WATCH)
            st.st_mode &= 0777; /* an anonymous inode of no type, not a pipe */
    }
    descriptor_put(&d);
    return rc < 0 ? rc : user_write(out, &st, sizeof st);
}

long sys_fstat(struct thread *t, const uint64_t a[6])
{
    return stat_descriptor(t, (int)a[0], a[1]);
}

static unsigned locate_flags(uint32_t at_flags)
{
    return (at_flags & AT_SYMLINK_NOFOLLOW ? LOCATE_NOFOLLOW : 0) |
           (at_flags & AT_EMPTY_PATH ? LOCATE_EMPTY : 0);
}

long sys_newfstatat(struct thread *t, const uint64_t a[6])
{
    uint32_t flags = (uint32_t)a[3];
    char first = 0;
    if (flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE))
        return -EINVAL;
    /* fstat(), as the C library calls it */
    if (flags & AT_EMPTY_PATH && (int)a[0] != AT_FDCWD &&
        (!a[1] || (user_read(&first, a[1], 1) == 0 && !first)))
        return stat_descriptor(t, (int)a[0], a[2]);
    return stat_path(t, a[0], a[1], locate_flags(flags), a[2]);
}

long sys_statx(struct thread *t, const uint64_t a[6])
{
    struct location l;
    struct file_attr attr;
    struct statx st;
    uint32_t flags = (uint32_t)a[2], mask = (uint32_t)a[3];

    if (mask & STATX__RESERVED || (flags & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE ||
        flags & ~(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE))
        return -EINVAL;
    long rc = locate(t, a[0], a[1], locate_flags(flags), &l);
    if (rc == 0)
        rc = look(t, &l, &attr);
    if (rc == 0)
        to_statx(&attr, &st);
    else if (rc == 1 && l.fd >= 0)
        rc = host_call(__NR_statx, l.fd, "", AT_EMPTY_PATH, mask, &st);
    else if (rc == 1)
        rc = host_call(__NR_statx, AT_FDCWD, l.path, flags & ~AT_EMPTY_PATH, mask, &st);
    return rc < 0 ? rc : user_write(a[4], &st, sizeof st);
}

/* ---- access ---- */

static long access_local(const char *path, uint32_t mode, bool real)
{
    return real ? host_call(__NR_faccessat, AT_FDCWD, path, mode)
                : host_call(__NR_faccessat2, AT_FDCWD, path, mode, AT_EACCESS);
}

static long access_path(struct thread *t, uint64_t dirfd, uint64_t path, uint32_t mode,
                        unsigned flags, bool real)
{
    struct location l;
    struct msg_path_access request = {.mode = mode, .real = real, .path = l.path};
    struct msg_path_access_reply reply;

    if (mode & ~7u)
        return -EINVAL;
    long rc = locate(t, dirfd, path, flags, &l);
    request.nofollow = l.nofollow;
    return rc < 0 ? rc
                  : LOCATION_CALL(t, &l, access_local(l.path, mode, real), PATH_ACCESS, path_access,
                                  &request, &reply, );
}

long sys_access(struct thread *t, const uint64_t a[6])
{
    return access_path(t, (uint64_t)AT_FDCWD, a[0], (uint32_t)a[1], 0, true);
}

long sys_faccessat(struct thread *t, const uint64_t a[6])
{
    return access_path(t, a[0], a[1], (uint32_t)a[2], 0, true);
}

long sys_faccessat2(struct thread *t, const uint64_t a[6])
{
    uint32_t flags = (uint32_t)a[3];
    if (flags & ~(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    return access_path(t, a[0], a[1], (uint32_t)a[2], locate_flags(flags), !(flags & AT_EACCESS));
}

/* ---- statfs ---- */

static void to_statfs(const struct msg_file_statfs_reply *reply, struct statfs *st)
{
    *st = (struct statfs){
        .f_type = (long)reply->type,
        .f_bsize = (long)reply->block_size,
        .f_blocks = (long)reply->blocks,
        .f_bfree = (long)reply->blocks_free,
        .f_bavail = (long)reply->blocks_available,
        .f_files = (long)reply->files,
        .f_ffree = (long)reply->files_free,
        .f_namelen = (long)reply->name_max,
        .f_frsize = (long)reply->block_size,
        .f_flags = (long)reply->flags,
    };
}

long sys_statfs(struct thread *t, const uint64_t a[6])
{
    struct location l;
    struct msg_file_statfs request = {.path = l.path};
    struct msg_file_statfs_reply reply;
    struct statfs st;
    long rc = locate(t, (uint64_t)AT_FDCWD, a[0], 0, &l);
    if (rc == 0)
        rc = LOCATION_CALL(t, &l, host_call(__NR_statfs, l.path, &st), FILE_STATFS, file_statfs,
                           &request, &reply, to_statfs(&reply, &st));
    return rc < 0 ? rc : user_write(a[1], &st, sizeof st);
}

long sys_fstatfs(struct thread *t, const uint64_t a[6])
{
    struct descriptor d;
    struct statfs st;
    long rc = descriptor_get(t->process->files, (int)a[0], &d);
    if (rc < 0)
        return rc;
    if (d.file) {
        struct msg_file_statfs request = {.file = d.file->id, .path = ""};
        struct msg_file_statfs_reply reply;
        struct rpc rpc;
        rc = REMOTE_CALL(&d, &rpc, FILE_STATFS, file_statfs, &request, &reply);
        if (rc == 0)
            to_statfs(&reply, &st);
        rpc_end(&rpc);
    } else {
        rc = host_call(__NR_fstatfs, (int)a[0], &st);
    }
    descriptor_put(&d);
    return rc < 0 ? rc : user_write(a[1], &st, sizeof st);
}
