/*
 * The dir volume: an open file, its host descriptors, and what is done with its content.
 *
 * A file has up to three descriptors: the place (O_PATH, always), one for reading and one for
 * writing, each opened when it is first needed, through /proc/self/fd of the place, so it is the
 * same file whatever its name has become. Reading and writing rights are the host's, per
 * descriptor. A read or write is one system call and one copy (page cache to the connection's
 * buffer, or back); an append is two, because its end must be learnt.
 *
 * A descriptor in use (users > 0) is not closed under its user. The lock is held over opens,
 * appends, seeks and directory reads (they share a position), never over reads and writes.
 */
#include "dir_volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "descriptors.h"
#include "identity.h"

static struct dir_file *dir_file(struct volume_file *file)
{
    return (struct dir_file *)file;
}

int dir_file_new(const struct dir_volume *v, struct place *place, struct dir_file **out)
{
    struct file_attr attr;
    struct dir_file *file;

    file = calloc(1, sizeof *file);
    if (!file)
        return -ENOMEM;
    dir_attr(&place->stat, &attr);
    file->file.ops = &dir_file_ops;
    file->file.id = attr.id;
    file->type = place->stat.stx_mode & S_IFMT;
    file->volume = v;
    pthread_mutex_init(&file->lock, NULL);
    file->fds[DIR_FD_PLACE] = place->fd;
    file->fds[DIR_FD_READ] = file->fds[DIR_FD_WRITE] = -1;
    place->fd = -1;
    *out = file;
    return 0;
}

static int need_locked(struct dir_file *file, enum dir_fd which)
{
    if (file->fds[which] >= 0)
        return 0;
    if (file->type != S_IFREG && file->type != S_IFDIR)
        return -EBADF; /* as for O_PATH: opening a FIFO would block, a device do who knows what */
    if (!descriptors_take(1))
        return -ENFILE;
    int access = which == DIR_FD_READ ? O_RDONLY : O_WRONLY;
    int fd = open(dir_fd_path(file->fds[DIR_FD_PLACE]).text, access | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        int rc = -errno;
        descriptors_give();
        return rc;
    }
    file->fds[which] = fd;
    return 0;
}

/* For who opened it once, when he might: it may have been closed since (relax). */
static int have_locked(struct dir_file *file, enum dir_fd which)
{
    if (file->fds[which] >= 0)
        return 0;
    enum identity_rights before = identity_monitor_begin();
    int rc = need_locked(file, which);
    identity_monitor_end(before);
    return rc;
}

int dir_file_need(struct dir_file *file, enum dir_fd which)
{
    pthread_mutex_lock(&file->lock);
    int rc = need_locked(file, which);
    pthread_mutex_unlock(&file->lock);
    return rc;
}

void dir_file_give(struct dir_file *file, enum dir_fd which, int fd)
{
    file->fds[which] = fd;
}

/* The descriptor, which stays open until done(); or a negative errno. */
static int use(struct dir_file *file, enum dir_fd which)
{
    pthread_mutex_lock(&file->lock);
    int rc = have_locked(file, which);
    if (rc == 0) {
        file->users[which]++;
        rc = file->fds[which];
    }
    pthread_mutex_unlock(&file->lock);
    return rc;
}

static void done(struct dir_file *file, enum dir_fd which)
{
    pthread_mutex_lock(&file->lock);
    file->users[which]--;
    pthread_mutex_unlock(&file->lock);
}

static void drop(struct dir_file *file, enum dir_fd which)
{
    if (file->fds[which] < 0)
        return;
    close(file->fds[which]);
    file->fds[which] = -1;
    descriptors_give();
}

void dir_file_close(struct volume_file *volume_file)
{
    struct dir_file *file = dir_file(volume_file);

    for (enum dir_fd which = 0; which < DIR_FDS; which++)
        drop(file, which);
    pthread_mutex_destroy(&file->lock);
    free(file);
}

static void absorb(struct volume_file *volume_file, struct volume_file *fresh_file)
{
    struct dir_file *file = dir_file(volume_file), *fresh = dir_file(fresh_file);
    struct stat st;

    pthread_mutex_lock(&file->lock);
    for (enum dir_fd which = DIR_FD_READ; which < DIR_FDS; which++) {
        if (file->fds[which] >= 0)
            continue;
        file->fds[which] = fresh->fds[which];
        fresh->fds[which] = -1;
    }
    /* Of several names the last opener's is the place; the number stays, for those who use it. */
    if (fstat(fresh->fds[DIR_FD_PLACE], &st) == 0 && st.st_nlink > 1)
        (void)dup3(fresh->fds[DIR_FD_PLACE], file->fds[DIR_FD_PLACE], O_CLOEXEC);
    pthread_mutex_unlock(&file->lock);
    dir_file_close(fresh_file);
}

static void rest(struct volume_file *volume_file)
{
    struct dir_file *file = dir_file(volume_file);

    pthread_mutex_lock(&file->lock);
    if (file->users[DIR_FD_WRITE] == 0)
        drop(file, DIR_FD_WRITE);
    pthread_mutex_unlock(&file->lock);
}

static int access_place(struct dir_file *file, int mode)
{
    return faccessat(AT_FDCWD, dir_fd_path(file->fds[DIR_FD_PLACE]).text, mode, AT_EACCESS) < 0
               ? -errno
               : 0;
}

/* Whether the host would open it again: its permissions may have changed since. */
static bool can_reopen(struct dir_file *file, enum dir_fd which)
{
    enum identity_rights before = identity_monitor_begin();
    int rc = access_place(file, which == DIR_FD_READ ? R_OK : W_OK);
    identity_monitor_end(before);
    return rc == 0;
}

static unsigned relax(struct volume_file *volume_file)
{
    struct dir_file *file = dir_file(volume_file);
    unsigned count = 0;

    if (pthread_mutex_trylock(&file->lock) != 0)
        return 0;
    for (enum dir_fd which = DIR_FD_READ; which < DIR_FDS; which++) {
        if (file->fds[which] >= 0 && file->users[which] == 0 && can_reopen(file, which)) {
            drop(file, which);
            file->position = 0;
            count++;
        }
    }
    pthread_mutex_unlock(&file->lock);
    return count;
}

static bool writable(struct volume_file *volume_file, const struct rights *rights)
{
    struct dir_file *file = dir_file(volume_file);
    char path[PATH_LIMIT];

    return rights->count > 0 && dir_real_path(file->volume, file->fds[DIR_FD_PLACE], path) == 0 &&
           rights_cover(rights, path);
}

static int file_path(struct volume_file *volume_file, char *out)
{
    struct dir_file *file = dir_file(volume_file);
    struct stat st, named;
    int rc = dir_real_path(file->volume, file->fds[DIR_FD_PLACE], out);

    if (rc < 0)
        return rc;
    if (fstat(file->fds[DIR_FD_PLACE], &st) < 0)
        return -errno;
    if (st.st_nlink == 0)
        return -ENOENT;
    /* A name that is gone while others are left looks like one that ends in " (deleted)". */
    size_t length = strlen(out), end = sizeof DIR_DELETED - 1;
    if (length > end && !strcmp(out + length - end, DIR_DELETED) &&
        (fstatat(file->volume->root, out + 1, &named, AT_SYMLINK_NOFOLLOW) < 0 ||
         named.st_ino != st.st_ino))
        return -ENOENT;
    return 0;
}

static int file_statfs(struct volume_file *volume_file, struct msg_file_statfs_reply *out)
{
    return dir_statfs_fd(dir_file(volume_file)->fds[DIR_FD_PLACE], out);
}

static int permits(struct volume_file *volume_file, uint32_t flags)
{
    bool reads = (flags & O_ACCMODE) != O_WRONLY;
    bool writes = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
    return access_place(dir_file(volume_file), (reads ? R_OK : 0) | (writes ? W_OK : 0));
}

static int want(struct volume_file *volume_file, uint32_t flags)
{
    struct dir_file *file = dir_file(volume_file);
    uint32_t access = flags & O_ACCMODE;
    int rc = access != O_WRONLY ? dir_file_need(file, DIR_FD_READ) : 0;
    if (rc == 0 && access != O_RDONLY)
        rc = dir_file_need(file, DIR_FD_WRITE);
    return rc;
}

static int file_stat(struct volume_file *volume_file, struct file_attr *attr)
{
    struct statx st;
    int rc = dir_statx(dir_file(volume_file)->fds[DIR_FD_PLACE], &st);
    if (rc == 0)
        dir_attr(&st, attr);
    return rc;
}

static int64_t file_read(struct volume_file *volume_file, void *to, size_t size, uint64_t offset)
{
    struct dir_file *file = dir_file(volume_file);
    size_t got = 0;

    if (offset > INT64_MAX - size)
        return -EINVAL;
    int fd = use(file, DIR_FD_READ);
    if (fd < 0)
        return fd;
    int64_t rc = 0;
    while (got < size) {
        ssize_t n = pread(fd, (char *)to + got, size - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            rc = -errno;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    done(file, DIR_FD_READ);
    return got ? (int64_t)got : rc;
}

/* With the position -1 the host appends at the descriptor's own position, and moves it to the end.
 */
static ssize_t append_locked(struct dir_file *file, int fd, const struct iovec *data, int flags,
                             uint64_t *end)
{
    pthread_mutex_lock(&file->lock);
    ssize_t n = pwritev2(fd, data, 1, -1, flags | RWF_APPEND);
    if (n < 0)
        n = -errno;
    off_t at = data->iov_len ? lseek(fd, 0, SEEK_CUR) : lseek(fd, 0, SEEK_END);
    *end = at < 0 ? 0 : (uint64_t)at;
    pthread_mutex_unlock(&file->lock);
    return n;
}

static int64_t file_write(struct volume_file *volume_file, const void *from, size_t size,
                          uint64_t offset, bool append, bool sync, uint64_t *end)
{
    struct dir_file *file = dir_file(volume_file);
    struct iovec data = {.iov_base = (void *)from, .iov_len = size};
    int flags = sync ? RWF_DSYNC : 0;
    ssize_t n;

    if (!append && offset > INT64_MAX - size)
        return -EFBIG;
    int fd = use(file, DIR_FD_WRITE);
    if (fd < 0)
        return fd;
    if (append) {
        n = append_locked(file, fd, &data, flags, end);
    } else {
        n = pwritev2(fd, &data, 1, (off_t)offset, flags);
        n = n < 0 ? -errno : n;
        *end = offset + (n > 0 ? (size_t)n : 0);
    }
    done(file, DIR_FD_WRITE);
    return n;
}

static int file_truncate(struct volume_file *volume_file, uint64_t size_bytes)
{
    struct dir_file *file = dir_file(volume_file);

    if (size_bytes > INT64_MAX)
        return -EINVAL;
    int fd = use(file, DIR_FD_WRITE);
    if (fd < 0)
        return fd;
    int rc = ftruncate(fd, (off_t)size_bytes) < 0 ? -errno : 0;
    done(file, DIR_FD_WRITE);
    return rc;
}

static int file_allocate(struct volume_file *volume_file, uint32_t mode, uint64_t offset,
                         uint64_t length)
{
    struct dir_file *file = dir_file(volume_file);

    int fd = use(file, DIR_FD_WRITE);
    if (fd < 0)
        return fd;
    int rc = fallocate(fd, (int)mode, (off_t)offset, (off_t)length) < 0 ? -errno : 0;
    done(file, DIR_FD_WRITE);
    return rc;
}

/* Any descriptor of the file will do; one that is open already is likelier to know of an error. */
static int file_sync(struct volume_file *volume_file, enum sync_kind kind)
{
    struct dir_file *file = dir_file(volume_file);
    enum dir_fd which = DIR_FD_WRITE;

    pthread_mutex_lock(&file->lock);
    if (file->fds[which] < 0)
        which = DIR_FD_READ;
    pthread_mutex_unlock(&file->lock);
    int fd = use(file, which);
    if (fd == -EACCES)
        fd = use(file, which = DIR_FD_WRITE);
    if (fd < 0)
        return fd;
    int rc = (kind == SYNC_VOLUME ? syncfs(fd)
              : kind == SYNC_DATA ? fdatasync(fd)
                                  : fsync(fd)) < 0
                 ? -errno
                 : 0;
    done(file, which);
    return rc;
}

int dir_setattr_fd(int fd, const struct volume_setattr *change)
{
    /* The owner first: changing it takes the set-user-id bit away, which a mode may set again. */
    if (change->what & SETATTR_OWNER &&
        fchownat(fd, "", change->uid, change->gid, AT_EMPTY_PATH) < 0)
        return -errno;
    if (change->what & SETATTR_MODE &&
        fchmodat(AT_FDCWD, dir_fd_path(fd).text, change->mode & 07777, 0) < 0)
        return -errno;
    if (change->what & SETATTR_TIMES) {
        struct timespec times[2] = {{change->atime_s, change->atime_ns},
                                    {change->mtime_s, change->mtime_ns}};
        if (utimensat(fd, "", times, AT_EMPTY_PATH) < 0)
            return -errno;
    }
    return 0;
}

static int file_setattr(struct volume_file *volume_file, const struct volume_setattr *change)
{
    return dir_setattr_fd(dir_file(volume_file)->fds[DIR_FD_PLACE], change);
}

/* What only privileged users may set on Linux nobody sets through the daemon, whoever runs it. */
static bool is_privileged(const char *name)
{
    return !strncmp(name, "security.", 9) || !strncmp(name, "trusted.", 8);
}

int64_t dir_xattr_fd(int fd, const struct volume_xattr *x)
{
    struct dir_fd_path path = dir_fd_path(fd);
    ssize_t rc = -1;

    if ((x->op == XATTR_SET || x->op == XATTR_REMOVE) && is_privileged(x->name))
        return -EPERM;
    switch (x->op) {
    case XATTR_GET:
        rc = getxattr(path.text, x->name, x->to, x->size);
        break;
    case XATTR_SET:
        rc = setxattr(path.text, x->name, x->value, x->size, (int)x->flags);
        break;
    case XATTR_LIST:
        rc = listxattr(path.text, x->to, x->size);
        break;
    case XATTR_REMOVE:
        rc = removexattr(path.text, x->name);
        break;
    }
    return rc < 0 ? -errno : rc;
}

static int64_t file_xattr(struct volume_file *volume_file, const struct volume_xattr *x)
{
    return dir_xattr_fd(dir_file(volume_file)->fds[DIR_FD_PLACE], x);
}

static int file_seek(struct volume_file *volume_file, uint64_t offset, bool hole, uint64_t *out)
{
    struct dir_file *file = dir_file(volume_file);

    if (offset > INT64_MAX)
        return -ENXIO;
    int fd = use(file, DIR_FD_READ);
    if (fd < 0)
        return fd;
    off_t at = lseek(fd, (off_t)offset, hole ? SEEK_HOLE : SEEK_DATA);
    int rc = at < 0 ? -errno : 0;
    *out = (uint64_t)at;
    done(file, DIR_FD_READ);
    return rc;
}

/* lseek is left out where the last reader stopped just there: two calls at most, mostly one. */
static int64_t file_list(struct volume_file *volume_file, uint64_t cookie, void *to, size_t size)
{
    struct dir_file *file = dir_file(volume_file);
    int64_t rc;

    pthread_mutex_lock(&file->lock);
    rc = have_locked(file, DIR_FD_READ);
    int fd = file->fds[DIR_FD_READ];
    if (rc == 0 && (cookie == 0 || cookie != file->position)) {
        if (lseek(fd, (off_t)cookie, SEEK_SET) < 0)
            rc = -errno;
        file->position = cookie;
    }
    if (rc == 0) {
        rc = syscall(SYS_getdents64, fd, to, size);
        if (rc < 0)
            rc = -errno;
    }
    for (int64_t at = 0; at < rc;) {
        uint64_t next;
        uint16_t length;
        memcpy(&next, (char *)to + at + 8, sizeof next);
        memcpy(&length, (char *)to + at + 16, sizeof length);
        file->position = next;
        at += length;
    }
    pthread_mutex_unlock(&file->lock);
    return rc;
}

const struct file_ops dir_file_ops = {
    .absorb = absorb,
    .rest = rest,
    .relax = relax,
    .close = dir_file_close,
    .writable = writable,
    .path = file_path,
    .stat = file_stat,
    .statfs = file_statfs,
    .permits = permits,
    .want = want,
    .read = file_read,
    .write = file_write,
    .truncate = file_truncate,
    .allocate = file_allocate,
    .sync = file_sync,
    .setattr = file_setattr,
    .xattr = file_xattr,
    .seek = file_seek,
    .list = file_list,
};
