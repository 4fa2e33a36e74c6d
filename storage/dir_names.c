/*
 * The dir volume: making, removing and renaming names.
 *
 * Each works on one last name in a parent directory that is held and that lies where the caller may
 * write, so it is the host's own call relative to that descriptor, with the host's own errors; none
 * of these calls follows a last link. Where the parent may not be changed, the answer is that of a
 * file system mounted read-only.
 *
 * Five system calls (openat2, statx, readlink, the call itself, close); nine for a rename.
 */
#include "dir_volume.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A name under which something is to be made: -EEXIST comes before -EROFS, as on Linux. */
static int resolve_free(struct dir_volume *v, struct caller *who, const struct volume_path *path,
                        struct place_name *name)
{
    struct stat st;
    int rc = place_resolve_name(v, who, path, name);

    if (rc < 0)
        return rc;
    if (name->name[0] == 0)
        rc = -EEXIST;
    else if (!name->directory.writable)
        rc = fstatat(name->directory.fd, name->name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? -EEXIST
                                                                                    : -EROFS;
    if (rc < 0)
        place_close(&name->directory);
    return rc;
}

int dir_unlink(struct volume *volume, struct caller *who, const struct volume_path *path,
               bool directory)
{
    struct place_name name;
    int rc = place_resolve_name(dir_volume(volume), who, path, &name);

    if (rc < 0)
        return rc;
    if (name.name[0] == 0)
        rc = directory ? -EBUSY : -EISDIR;
    else if (!name.directory.writable)
        rc = -EROFS;
    else if (unlinkat(name.directory.fd, name.name, directory ? AT_REMOVEDIR : 0) < 0)
        rc = -errno;
    place_close(&name.directory);
    return rc;
}

int dir_rename(struct volume *volume, struct caller *who, const struct volume_path *from,
               const struct volume_path *to, uint32_t flags)
{
    struct place_name old, new;
    int rc;

    /* A whiteout would be a device, and is for overlay file systems only. */
    if (flags & ~(uint32_t)(RENAME_NOREPLACE | RENAME_EXCHANGE))
        return -EINVAL;
    rc = place_resolve_name(dir_volume(volume), who, from, &old);
    if (rc < 0)
        return rc;
    rc = place_resolve_name(dir_volume(volume), who, to, &new);
    if (rc < 0)
        goto close_old;
    if (old.name[0] == 0 || new.name[0] == 0)
        rc = -EBUSY;
    else if (!old.directory.writable || !new.directory.writable)
        rc = faccessat(old.directory.fd, old.name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : -EROFS;
    else if (renameat2(old.directory.fd, old.name, new.directory.fd, new.name, flags) < 0)
        rc = -errno;
    place_close(&new.directory);
close_old:
    place_close(&old.directory);
    return rc;
}

/*
 * Links what `source` refers to. A second name in a writable place would open a way to change a
 * file of a place that is not: so that is -EXDEV, as between two mounts, and callers copy.
 */
static int link_to(int source, bool writable, const struct place_name *to)
{
    if (!writable)
        return -EXDEV;
    if (linkat(AT_FDCWD, dir_fd_path(source).text, to->directory.fd, to->name, AT_SYMLINK_FOLLOW) <
        0)
        return -errno;
    return 0;
}

int dir_link(struct volume *volume, struct caller *who, struct volume_file *file,
             const struct volume_path *from, const struct volume_path *to, bool follow)
{
    struct dir_volume *v = dir_volume(volume);
    struct place_name name;
    struct place place = {.fd = -1};
    int rc = 0;

    if (!file)
        rc = place_resolve(v, who, from, follow ? 0 : PLACE_NOFOLLOW, &place);
    if (rc < 0)
        return rc;
    rc = resolve_free(v, who, to, &name);
    if (rc == 0) {
        if (file)
            rc = link_to(((struct dir_file *)file)->fds[DIR_FD_PLACE],
                         file->ops->writable(file, &who->rights), &name);
        else
            rc = link_to(place.fd, place.writable, &name);
        place_close(&name.directory);
    }
    place_close(&place);
    return rc;
}

int dir_symlink(struct volume *volume, struct caller *who, const char *target,
                const struct volume_path *path)
{
    struct place_name name;
    int rc = resolve_free(dir_volume(volume), who, path, &name);

    if (rc < 0)
        return rc;
    if (symlinkat(target, name.directory.fd, name.name) < 0)
        rc = -errno;
    place_close(&name.directory);
    return rc;
}

int dir_make(struct volume *volume, struct caller *who, const struct volume_path *path,
             uint32_t mode)
{
    struct place_name name;
    uint32_t type = mode & S_IFMT;

    if (type != S_IFDIR && type != S_IFREG && type != S_IFIFO && type != S_IFSOCK)
        return type == S_IFCHR || type == S_IFBLK ? -EPERM : -EINVAL;
    int rc = resolve_free(dir_volume(volume), who, path, &name);
    if (rc < 0)
        return rc;
    if (type == S_IFDIR)
        rc = mkdirat(name.directory.fd, name.name, mode & 07777);
    else
        rc = mknodat(name.directory.fd, name.name, mode, 0);
    rc = rc < 0 ? -errno : 0;
    place_close(&name.directory);
    return rc;
}
