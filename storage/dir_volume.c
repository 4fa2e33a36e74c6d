/*
 * The dir volume: an existing directory of the host. Starting, stopping, and its table.
 */
#include "dir_volume.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static void stop(struct volume *volume)
{
    struct dir_volume *v = dir_volume(volume);
    close(v->root);
    free(v);
}

static int start(const char *source, struct volume **out)
{
    char real[PATH_LIMIT];
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT};
    struct dir_volume *v = calloc(1, sizeof *v);
    int rc;

    if (!v)
        return -ENOMEM;
    v->volume.ops = &dir_volume_ops;
    v->root = open(source, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (v->root < 0) {
        rc = -errno;
        free(v);
        return rc;
    }
    /* Everything rests on openat2 and on /proc: say at once where one is not there. */
    int fd = (int)syscall(SYS_openat2, v->root, "/", &how, sizeof how);
    rc = fd < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    v->is_host_root = true; /* so that the next call does not look for a prefix */
    if (rc == 0)
        rc = dir_real_path(v, v->root, real);
    if (rc < 0) {
        stop(&v->volume);
        return rc == -ENOENT ? -ENOSYS : rc;
    }
    v->is_host_root = !strcmp(real, "/");
    *out = &v->volume;
    return 0;
}

static int usage(struct volume *volume, uint64_t *size_bytes, uint64_t *used_bytes)
{
    struct statvfs fs;
    if (fstatvfs(dir_volume(volume)->root, &fs) < 0)
        return -errno;
    *size_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
    *used_bytes = (uint64_t)(fs.f_blocks - fs.f_bfree) * fs.f_frsize;
    return 0;
}

static void hide(struct volume *volume, const char *host_path)
{
    struct dir_volume *v = dir_volume(volume);
    strcpy(v->hidden, host_path);
    if (dir_path_inside(v, v->hidden) < 0)
        v->hidden[0] = 0;
}

const struct volume_ops dir_volume_ops = {
    .kind = "dir",
    .start = start,
    .stop = stop,
    .usage = usage,
    .hide = hide,
    .open = dir_open,
    .reopen = dir_reopen,
    .stat = dir_stat,
    .access = dir_access,
    .readlink = dir_readlink,
    .real = dir_real,
    .statfs = dir_statfs,
    .unlink = dir_unlink,
    .rename = dir_rename,
    .link = dir_link,
    .symlink = dir_symlink,
    .make = dir_make,
    .setattr = dir_setattr,
    .xattr = dir_xattr,
    .watch = dir_watch,
};
