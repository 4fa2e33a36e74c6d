/*
 * The dir volume: what is asked of a path, and changes of attributes.
 *
 * Each is a place and at most one call on its descriptor: four or five system calls (openat2,
 * statx, readlink, close, and the call), no copies of file content.
 */
#include "dir_volume.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

static int resolve(struct volume *volume, struct caller *who, const struct volume_path *path,
                   bool nofollow, struct place *place)
{
    return place_resolve(dir_volume(volume), who, path, nofollow ? PLACE_NOFOLLOW : 0, place);
}

int dir_stat(struct volume *volume, struct caller *who, const struct volume_path *path,
             bool nofollow, struct file_attr *attr)
{
    struct place place;
    int rc = resolve(volume, who, path, nofollow, &place);

    if (rc < 0)
        return rc;
    dir_attr(&place.stat, attr);
    attr->writable = place.writable;
    place_close(&place);
    return 0;
}

int dir_access(struct volume *volume, struct caller *who, const struct volume_path *path,
               uint32_t mode, bool nofollow)
{
    struct place place;

    if (mode & ~(uint32_t)(R_OK | W_OK | X_OK))
        return -EINVAL;
    int rc = resolve(volume, who, path, nofollow, &place);
    if (rc < 0)
        return rc;
    uint32_t type = place.stat.stx_mode & S_IFMT;
    /* A link's own permissions are never asked for: everyone may read it. */
    if (type != S_IFLNK &&
        faccessat(AT_FDCWD, dir_fd_path(place.fd).text, (int)mode, AT_EACCESS) < 0)
        rc = -errno;
    else if (mode & W_OK && !place.writable &&
             (type == S_IFREG || type == S_IFDIR || type == S_IFLNK))
        rc = -EROFS; /* writing to a FIFO or a socket changes no volume */
    place_close(&place);
    return rc;
}

int dir_readlink(struct volume *volume, struct caller *who, const struct volume_path *path,
                 char *out)
{
    struct place place;
    int rc = resolve(volume, who, path, true, &place);

    if (rc < 0)
        return rc;
    rc = place_readlink(&place, out);
    place_close(&place);
    return rc;
}

int dir_real(struct volume *volume, struct caller *who, const struct volume_path *path, char *out,
             struct file_attr *attr)
{
    struct place place;
    int rc = resolve(volume, who, path, false, &place);

    if (rc < 0)
        return rc;
    dir_attr(&place.stat, attr);
    attr->writable = place.writable;
    strcpy(out, place.path);
    place_close(&place);
    return out[0] ? 0 : -ENAMETOOLONG;
}

int dir_statfs_fd(int fd, struct msg_file_statfs_reply *out)
{
    struct statfs fs;
    if (fstatfs(fd, &fs) < 0)
        return -errno;
    *out = (struct msg_file_statfs_reply){
        .type = (uint64_t)fs.f_type,
        .block_size = (uint64_t)fs.f_bsize,
        .blocks = fs.f_blocks,
        .blocks_free = fs.f_bfree,
        .blocks_available = fs.f_bavail,
        .files = fs.f_files,
        .files_free = fs.f_ffree,
        .name_max = (uint64_t)fs.f_namelen,
        .flags = (uint64_t)fs.f_flags,
    };
    return 0;
}

int dir_statfs(struct volume *volume, struct caller *who, const struct volume_path *path,
               struct msg_file_statfs_reply *out)
{
    struct place place;
    int rc = resolve(volume, who, path, false, &place);

    if (rc < 0)
        return rc;
    rc = dir_statfs_fd(place.fd, out);
    if (!place.writable)
        out->flags |= ST_RDONLY;
    place_close(&place);
    return rc;
}

int dir_setattr(struct volume *volume, struct caller *who, const struct volume_path *path,
                const struct volume_setattr *change)
{
    struct place place;
    int rc = resolve(volume, who, path, change->what & SETATTR_NOFOLLOW, &place);

    if (rc < 0)
        return rc;
    rc = place.writable ? dir_setattr_fd(place.fd, change) : -EROFS;
    place_close(&place);
    return rc;
}

int64_t dir_xattr(struct volume *volume, struct caller *who, const struct volume_path *path,
                  bool nofollow, const struct volume_xattr *x)
{
    struct place place;
    bool changes = x->op == XATTR_SET || x->op == XATTR_REMOVE;
    int64_t rc = resolve(volume, who, path, nofollow, &place);

    if (rc < 0)
        return rc;
    rc = changes && !place.writable ? -EROFS : dir_xattr_fd(place.fd, x);
    place_close(&place);
    return rc;
}
