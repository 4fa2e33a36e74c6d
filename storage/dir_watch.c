/*
 * The dir volume: watching files, by an inotify of the host for each watcher.
 *
 * So what is seen is what happens to the host's files, whoever does it: any pComponent through this
 * monitor, or a process of this host. Opening, reading and closing are events of this monitor's own
 * descriptors (dir_file.c), which are fewer than the programs'.
 */
#include "dir_volume.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "descriptors.h"

/* A place is what it is: the path to it was followed, or not, when it was resolved. */
static int add(struct volume_watcher *watcher, struct volume_file *file, uint32_t mask)
{
    int place = ((struct dir_file *)file)->fds[DIR_FD_PLACE];
    int wd = inotify_add_watch(watcher->fd, dir_fd_path(place).text, mask & ~IN_DONT_FOLLOW);
    return wd < 0 ? -errno : wd;
}

static int remove_watch(struct volume_watcher *watcher, int wd)
{
    return inotify_rm_watch(watcher->fd, wd) < 0 ? -errno : 0;
}

static int64_t read_events(struct volume_watcher *watcher, void *to, size_t size)
{
    ssize_t n = read(watcher->fd, to, size);
    return n >= 0 ? n : errno == EAGAIN ? 0 : -errno;
}

static void close_watcher(struct volume_watcher *watcher)
{
    close(watcher->fd);
    descriptors_give();
    free(watcher);
}

static const struct watcher_ops dir_watcher_ops = {
    .add = add,
    .remove = remove_watch,
    .read = read_events,
    .close = close_watcher,
};

int dir_watch(struct volume *volume, struct volume_watcher **out)
{
    (void)volume;
    struct volume_watcher *watcher = calloc(1, sizeof *watcher);
    if (!watcher)
        return -ENOMEM;
    if (!descriptors_take(1)) {
        free(watcher);
        return -ENFILE;
    }
    watcher->ops = &dir_watcher_ops;
    watcher->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watcher->fd < 0) {
        int rc = -errno;
        descriptors_give();
        free(watcher);
        return rc;
    }
    *out = watcher;
    return 0;
}
