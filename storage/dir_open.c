/*
 * The dir volume: opening files, as open(2) does it, with Linux's errors in Linux's order.
 *
 * Nothing is changed before the place is known and allowed: an existing file is reached as a place
 * first and opened through it; a new one is made with O_EXCL in a parent directory that is held,
 * and that lies where the caller may write. A last symbolic link is followed by hand, link by link.
 * A FIFO, socket or device is never opened, only described.
 *
 * Opening an existing file for reading is four system calls (openat2, statx, readlink, open), and
 * two (close) when it is let go; for writing one open and one statx more; making one is three more.
 */
#include "dir_volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "descriptors.h"

enum {
    OPEN_RETRIES = 64, /* of a name that comes and goes while it is being opened */
};

static bool wants_read(uint32_t flags)
{
    return (flags & O_ACCMODE) != O_WRONLY;
}

static bool wants_write(uint32_t flags)
{
    return (flags & O_ACCMODE) != O_RDONLY;
}

static int new_file(struct dir_volume *v, struct place *place, struct dir_file **out)
{
    if (!descriptors_take(1))
        return -ENFILE;
    int rc = dir_file_new(v, place, out);
    if (rc < 0)
        descriptors_give();
    return rc;
}

/* Fills *out from a file that has all its descriptors; frees it on failure. */
static int finish(struct dir_file *file, const struct place *place, struct volume_opened *out)
{
    struct statx st = place->stat;
    int rc = 0;
    /* Opening for writing may have copied the file up (overlayfs): its id is what it is now. */
    if (file->fds[DIR_FD_WRITE] >= 0)
        rc = dir_statx(file->fds[DIR_FD_WRITE], &st);
    if (rc < 0) {
        dir_file_close(&file->file);
        return rc;
    }
    dir_attr(&st, &out->attr);
    out->attr.writable = place->writable;
    strcpy(out->path, place->path);
    file->file.id = out->attr.id;
    out->file = &file->file;
    return 0;
}

/* Wants to change what may not be changed: the host's own refusal comes first. */
static int refuse_write(const struct place *place, uint32_t flags)
{
    int mode = W_OK | (wants_read(flags) ? R_OK : 0);
    if (flags & O_TRUNC)
        return -EROFS;
    if (faccessat(AT_FDCWD, dir_fd_path(place->fd).text, mode, AT_EACCESS) < 0)
        return -errno;
    return -EROFS;
}

static int open_regular(struct dir_volume *v, struct place *place, uint32_t flags,
                        struct volume_opened *out)
{
    struct dir_file *file;
    bool changes = wants_write(flags) || flags & O_TRUNC;

    if (changes && !place->writable)
        return refuse_write(place, flags);
    if (flags & O_NOATIME && geteuid() != 0 && geteuid() != place->stat.stx_uid)
        return -EPERM;
    int rc = new_file(v, place, &file);
    if (rc < 0)
        return rc;
    if (wants_read(flags))
        rc = dir_file_need(file, DIR_FD_READ);
    if (rc == 0 && changes)
        rc = dir_file_need(file, DIR_FD_WRITE);
    if (rc < 0) {
        dir_file_close(&file->file);
        return rc;
    }
    return finish(file, place, out);
}

/* Opens what is there. Takes the place's descriptor over, or leaves it to be closed. */
static int open_existing(struct dir_volume *v, const struct caller *who, struct place *place,
                         uint32_t flags, struct volume_opened *out)
{
    struct dir_file *file;
    uint32_t type = place->stat.stx_mode & S_IFMT;
    int rc;

    if (who->execute && type != S_IFLNK &&
        faccessat(AT_FDCWD, dir_fd_path(place->fd).text, X_OK, AT_EACCESS) < 0)
        return -errno;
    if (flags & O_DIRECTORY && type != S_IFDIR)
        return -ENOTDIR;
    if (flags & O_PATH || type == S_IFDIR) {
        if (!(flags & O_PATH) && (wants_write(flags) || flags & (O_CREAT | O_TRUNC)))
            return -EISDIR;
        rc = new_file(v, place, &file);
        if (rc == 0 && !(flags & O_PATH)) {
            rc = dir_file_need(file, DIR_FD_READ);
            if (rc < 0)
                dir_file_close(&file->file);
        }
        return rc < 0 ? rc : finish(file, place, out);
    }
    if (type == S_IFLNK)
        return -ELOOP;
    if (type == S_IFREG)
        return open_regular(v, place, flags, out);
    dir_attr(&place->stat, &out->attr);
    out->attr.writable = place->writable;
    strcpy(out->path, place->path);
    return 0;
}

/* What a new file takes out of the budget: its place, and what it is opened for. */
static unsigned descriptors_for(uint32_t flags)
{
    return 2 + (wants_read(flags) && wants_write(flags));
}

static void give_back(unsigned count)
{
    while (count-- > 0)
        descriptors_give();
}

/*
 * A file around a descriptor that has just been made (or an error of making it), opened as the
 * caller wants it. Its part of the budget was taken before, so that a file is not made that cannot
 * be opened.
 */
static int wrap_new(struct dir_volume *v, int fd, uint32_t flags, struct volume_opened *out)
{
    struct place place = {.fd = -1, .writable = true};
    struct dir_file *file;
    int rc = fd;

    if (fd >= 0) {
        place.fd = open(dir_fd_path(fd).text, O_PATH | O_CLOEXEC);
        rc = place.fd < 0 ? -errno : dir_statx(place.fd, &place.stat);
    }
    if (rc >= 0 && dir_last_path(v, place.fd, &place.stat, place.path) < 0)
        place.path[0] = 0;
    if (rc >= 0)
        rc = dir_file_new(v, &place, &file);
    place_close(&place);
    if (rc < 0) {
        if (fd >= 0)
            close(fd);
        give_back(descriptors_for(flags));
        return rc;
    }
    dir_file_give(file, wants_write(flags) ? DIR_FD_WRITE : DIR_FD_READ, fd);
    if (wants_read(flags) && wants_write(flags)) {
        /* Its mode may not let it be opened once more: what is open then has to do for both. */
        int other = open(dir_fd_path(fd).text, O_RDONLY | O_CLOEXEC | O_NOCTTY);
        if (other < 0)
            other = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (other < 0) {
            rc = -errno;
            give_back(1);
            dir_file_close(&file->file);
            return rc;
        }
        dir_file_give(file, DIR_FD_READ, other);
    }
    out->created = true;
    return finish(file, &place, out);
}

/* Makes a file under a name that was free a moment ago; -EEXIST where it no longer is. */
static int create(struct dir_volume *v, const struct place_name *name, uint32_t flags,
                  uint32_t mode, struct volume_opened *out)
{
    if (!name->directory.writable)
        return -EROFS;
    if (!descriptors_take(descriptors_for(flags)))
        return -ENFILE;
    int fd =
        openat(name->directory.fd, name->name,
               (int)(flags & O_ACCMODE) | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 07777);
    return wrap_new(v, fd < 0 ? -errno : fd, flags, out);
}

/* Puts the path that a link leads to into text, and makes it the path. */
static int follow(const struct place_name *name, const struct place *link, char *text,
                  struct volume_path *path)
{
    char target[PATH_LIMIT];
    int rc = place_readlink(link, target);

    if (rc < 0)
        return rc;
    if (target[0] == 0)
        return -ENOENT;
    if (target[0] != '/' && !name->directory.path[0])
        return -ENAMETOOLONG;
    int length = target[0] == '/'
                     ? snprintf(text, PATH_LIMIT, "%s", target)
                     : snprintf(text, PATH_LIMIT, "%s/%s", name->directory.path, target);
    *path = (struct volume_path){.text = text};
    return length < PATH_LIMIT ? 0 : -ENAMETOOLONG;
}

/* A last name that is a directory without being looked at: the root, "." or "..". */
static bool is_dots(const char *name)
{
    size_t dots = strspn(name, ".");
    return dots <= 2 && (name[dots] == 0 || (dots > 0 && name[dots] == '/'));
}

/*
 * One round of an O_CREAT open. Returns 0, an error, or 1 to go round again: with path changed
 * where a link was followed, unchanged where the name came or went meanwhile.
 */
static int open_or_create(struct dir_volume *v, struct caller *who, struct volume_path *path,
                          char *text, uint32_t flags, uint32_t mode, struct volume_opened *out,
                          unsigned *links)
{
    struct place_name name;
    struct place place;
    int rc = place_resolve_name(v, who, path, &name);

    if (rc < 0)
        return rc;
    if (is_dots(name.name)) {
        rc = flags & O_EXCL ? -EEXIST : -EISDIR;
        goto done;
    }
    if (strchr(name.name, '/')) {
        rc = -EISDIR;
        goto done;
    }
    rc = place_look(v, who, &name, &place);
    if (rc == -ENOENT) {
        rc = create(v, &name, flags, mode, out);
        if (rc == -EEXIST && !(flags & O_EXCL))
            rc = 1;
    } else if (rc == 0) {
        if (flags & O_EXCL) {
            rc = -EEXIST;
        } else if (S_ISLNK(place.stat.stx_mode) && !(flags & O_NOFOLLOW) && who->resolve) {
            rc = -ELOOP; /* one that leads nowhere: what leads somewhere was opened before */
        } else if (S_ISLNK(place.stat.stx_mode) && !(flags & O_NOFOLLOW)) {
            rc = ++*links > SYMLINK_MAX ? -ELOOP : follow(&name, &place, text, path);
            rc = rc < 0 ? rc : 1;
        } else {
            rc = open_existing(v, who, &place, flags, out);
        }
        place_close(&place);
    }
done:
    place_close(&name.directory);
    return rc;
}

static int open_temporary(struct dir_volume *v, struct caller *who, const struct volume_path *path,
                          uint32_t flags, uint32_t mode, struct volume_opened *out)
{
    struct place directory;

    if ((flags & O_TMPFILE) != O_TMPFILE || !wants_write(flags))
        return -EINVAL;
    int rc = place_resolve(v, who, path, PLACE_DIRECTORY, &directory);
    if (rc < 0)
        return rc;
    if (!directory.writable) {
        rc = -EROFS;
    } else if (!descriptors_take(descriptors_for(flags))) {
        rc = -ENFILE;
    } else {
        int fd = open(dir_fd_path(directory.fd).text,
                      (int)(flags & (O_TMPFILE | O_ACCMODE | O_EXCL)) | O_CLOEXEC, mode & 07777);
        rc = wrap_new(v, fd < 0 ? -errno : fd, flags, out);
    }
    place_close(&directory);
    return rc;
}

int dir_open(struct volume *volume, struct caller *who, const struct volume_path *path,
             uint32_t flags, uint32_t mode, struct volume_opened *out)
{
    struct dir_volume *v = dir_volume(volume);
    struct place place;

    out->file = NULL;
    out->created = false;
    out->path[0] = 0;
    if (flags & O_PATH)
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW;
    if (flags & O_TMPFILE & ~O_DIRECTORY)
        return open_temporary(v, who, path, flags, mode, out);
    if (flags & O_CREAT) {
        char followed[PATH_LIMIT];
        struct volume_path at = *path;
        unsigned links = 0, rounds = 0;
        if (flags & O_DIRECTORY)
            return -EINVAL;
        if (who->resolve && !(flags & O_EXCL)) {
            int rc = place_resolve(v, who, path, flags & O_NOFOLLOW ? PLACE_NOFOLLOW : 0, &place);
            if (rc == 0) {
                rc = open_existing(v, who, &place, flags, out);
                place_close(&place);
            }
            if (rc != -ENOENT)
                return rc;
        }
        int rc;
        do
            rc = open_or_create(v, who, &at, followed, flags, mode, out, &links);
        while (rc == 1 && ++rounds < OPEN_RETRIES + SYMLINK_MAX);
        return rc == 1 ? -EBUSY : rc;
    }
    int rc = place_resolve(v, who, path, flags & O_NOFOLLOW ? PLACE_NOFOLLOW : 0, &place);
    if (rc < 0)
        return rc;
    rc = open_existing(v, who, &place, flags, out);
    place_close(&place);
    return rc;
}

int dir_reopen(struct volume *volume, struct caller *who, const char *path, uint32_t flags,
               const struct file_id *id, struct volume_opened *out)
{
    struct dir_volume *v = dir_volume(volume);
    struct place place;
    struct file_attr attr;

    out->file = NULL;
    out->created = false;
    out->path[0] = 0;
    flags &= O_ACCMODE | O_PATH | O_DIRECTORY | O_NOFOLLOW;
    const struct volume_path named = {.text = path};
    int rc = place_resolve(v, who, &named, flags & O_NOFOLLOW ? PLACE_NOFOLLOW : 0, &place);
    if (rc == -ENOENT || rc == -ENOTDIR || rc == ASH_ELSEWHERE)
        return ASH_STALE_FILE;
    if (rc < 0)
        return rc;
    dir_attr(&place.stat, &attr);
    if (memcmp(&attr.id, id, sizeof *id) != 0)
        rc = ASH_STALE_FILE;
    else
        rc = open_existing(v, who, &place, flags, out);
    place_close(&place);
    if (rc == 0 && !out->file)
        rc = ASH_STALE_FILE;
    return rc;
}
