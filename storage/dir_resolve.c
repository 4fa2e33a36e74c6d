/*
 * The dir volume: from a path to a place.
 *
 * The usual case is three system calls: openat2 with the whole path, statx, readlink of
 * /proc/self/fd/N. Only what fails, or ends up in /proc, /sys or /dev, is looked at component by
 * component, to find out whether and where the path left the volume: those three belong to the
 * pComponent, whatever the volume's root is, and the daemon's own /proc/self must not be seen.
 *
 * A path that is plainly not there costs two calls, and four more for each link on its way.
 *
 * The slow walk keeps a canonical path (no links, no ..) as text, and asks the host for one more
 * component at a time, never following; it gives out no descriptor, so a race can make it name a
 * wrong place to the client, but not open one.
 */
#include "dir_volume.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    RETRIES = 128,     /* of EAGAIN: a ".." that the kernel could not vouch for amid a rename */
    CLIMB_MOST = 8192, /* directories above a place that are asked for their names */
};

static int open_beneath(int directory, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = {
        .flags = flags | O_PATH | O_CLOEXEC,
        .resolve = resolve | RESOLVE_NO_MAGICLINKS,
    };
    for (int i = 0; i < RETRIES; i++) {
        int fd = (int)syscall(SYS_openat2, directory, path, &how, sizeof how);
        if (fd >= 0)
            return fd;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
    }
    return -EAGAIN;
}

struct dir_fd_path dir_fd_path(int fd)
{
    struct dir_fd_path path;
    snprintf(path.text, sizeof path.text, "/proc/self/fd/%d", fd);
    return path;
}

int dir_statx(int fd, struct statx *out)
{
    if (statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, out) < 0)
        return -errno;
    return 0;
}

void dir_attr(const struct statx *from, struct file_attr *to)
{
    *to = (struct file_attr){
        .id = {.device = makedev(from->stx_dev_major, from->stx_dev_minor), .inode = from->stx_ino},
        .size_bytes = from->stx_size,
        .blocks = from->stx_blocks,
        .rdev = makedev(from->stx_rdev_major, from->stx_rdev_minor),
        .atime_s = from->stx_atime.tv_sec,
        .mtime_s = from->stx_mtime.tv_sec,
        .ctime_s = from->stx_ctime.tv_sec,
        .atime_ns = from->stx_atime.tv_nsec,
        .mtime_ns = from->stx_mtime.tv_nsec,
        .ctime_ns = from->stx_ctime.tv_nsec,
        .mode = from->stx_mode,
        .nlink = from->stx_nlink,
        .uid = from->stx_uid,
        .gid = from->stx_gid,
        .block_size = from->stx_blksize,
    };
    if (from->stx_mask & STATX_BTIME) {
        to->btime_s = from->stx_btime.tv_sec;
        to->btime_ns = from->stx_btime.tv_nsec;
        to->id.generation = (uint64_t)to->btime_s * 1000000000ull + to->btime_ns;
    }
}

static int fd_path(int fd, char *out)
{
    ssize_t length = readlink(dir_fd_path(fd).text, out, PATH_LIMIT);
    if (length < 0)
        return -errno;
    if (length >= PATH_LIMIT)
        return -ENAMETOOLONG;
    out[length] = 0;
    return out[0] == '/' ? 0 : -ENOENT;
}

int dir_path_inside(const struct dir_volume *v, char *path)
{
    char root[PATH_LIMIT];
    if (v->is_host_root)
        return 0;
    /* Read anew each time: the root directory may be renamed while it is served. */
    int rc = fd_path(v->root, root);
    if (rc < 0)
        return rc;
    size_t length = strlen(root);
    if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != 0))
        return -ENOENT;
    if (path[length] == 0)
        strcpy(path, "/");
    else
        memmove(path, path + length, strlen(path + length) + 1);
    return 0;
}

int dir_real_path(const struct dir_volume *v, int fd, char *out)
{
    int rc = fd_path(fd, out);
    return rc < 0 ? rc : dir_path_inside(v, out);
}

int dir_last_path(const struct dir_volume *v, int fd, const struct statx *stat, char *out)
{
    int rc = dir_real_path(v, fd, out);
    size_t length = rc < 0 ? 0 : strlen(out), end = sizeof DIR_DELETED - 1;

    if (length > end && stat->stx_nlink == 0 && !strcmp(out + length - end, DIR_DELETED))
        out[length - end] = 0;
    return rc;
}

/* Whether a canonical path lies in a directory that belongs to the pComponent. */
static bool path_is_elsewhere(const char *path)
{
    return (!strncmp(path, "/proc", 5) && (path[5] == 0 || path[5] == '/')) ||
           (!strncmp(path, "/sys", 4) && (path[4] == 0 || path[4] == '/')) ||
           (!strncmp(path, "/dev", 4) && (path[4] == 0 || path[4] == '/'));
}

/* Whether it is on a file system that shows the daemon's own host, wherever it is mounted. */
static bool fd_is_elsewhere(int fd)
{
    struct statfs fs;
    return fstatfs(fd, &fs) == 0 && (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC ||
                                     fs.f_type == DEVPTS_SUPER_MAGIC);
}

static int say_elsewhere(struct caller *who, const char *at, const char *rest)
{
    int length = snprintf(who->elsewhere, sizeof who->elsewhere, "%s%s", at, rest);
    return length < (int)sizeof who->elsewhere ? ASH_ELSEWHERE : -ENAMETOOLONG;
}

/* The next component of *at, its length in *length; NULL at the end. Moves *at behind it. */
static const char *next_component(const char **at, size_t *length)
{
    const char *start = *at + strspn(*at, "/");
    *length = strcspn(start, "/");
    *at = start + *length;
    return *length ? start : NULL;
}

/*
 * Whether `rest`, taken as it is written, leaves the one directory that it is relative to; then
 * *rest is what follows that "..".
 */
static bool leaves(const char **rest)
{
    int depth = 1;
    size_t length;
    const char *at = *rest, *component;

    while ((component = next_component(&at, &length))) {
        if (length == 2 && !memcmp(component, "..", 2)) {
            if (--depth == 0) {
                *rest = at;
                return true;
            }
        } else if (length != 1 || component[0] != '.') {
            depth++;
        }
    }
    return false;
}

/* Whether a path says so itself: the first component, where no ".." can take it back. */
static bool starts_elsewhere(const char *path)
{
    path += strspn(path, "/");
    while (path[0] == '.' && path[1] == '/')
        path += 1 + strspn(path + 1, "/");
    return path_is_elsewhere(path - 1) && !strstr(path, "..");
}

/* Where the host begins a path, and how. */
struct start {
    int fd;           /* nobody's to close */
    const char *path; /* relative to it; "": it is the place itself */
    uint64_t resolve;
};

/*
 * The base itself, so that no rename comes between it and what follows. A volume that is not the
 * host's root has to be resolved within its own; there the base's name is what there is.
 */
static int start_of(const struct dir_volume *v, const struct volume_path *path, struct start *out)
{
    *out = (struct start){v->root, path->text, RESOLVE_IN_ROOT};
    if (!path->base)
        return 0;
    if (!v->is_host_root)
        return path->nameless;
    out->fd = ((struct dir_file *)path->base)->fds[DIR_FD_PLACE];
    out->resolve = 0;
    out->path += path->base_length;
    if (*out->path) {
        out->path += strspn(out->path, "/");
        if (!*out->path)
            out->path = ".";
    }
    return 0;
}

/* Whether a path that failed has neither a link nor ".." on the way: nothing leads it away then. */
static bool fails_plainly(const struct start *at, uint64_t flags, int error)
{
    if ((error != -ENOENT && error != -ENOTDIR) || strstr(at->path, ".."))
        return false;
    int fd = open_beneath(at->fd, at->path, flags | O_NOFOLLOW, at->resolve | RESOLVE_NO_SYMLINKS);
    if (fd >= 0)
        close(fd);
    return fd == error;
}

struct walk {
    char at[PATH_LIMIT];   /* canonical; "" is the root */
    char rest[PATH_LIMIT]; /* still to go */
};

static void up(struct walk *w)
{
    char *slash = strrchr(w->at, '/');
    if (slash)
        *slash = 0;
}

/* Puts a link's target before what is left; false: too long. */
static bool put_target(struct walk *w, const char *target, const char *rest)
{
    char joined[2 * PATH_LIMIT];
    int length = snprintf(joined, sizeof joined, "%s%s", target, rest);
    if (length >= PATH_LIMIT)
        return false;
    strcpy(w->rest, joined);
    if (target[0] == '/')
        w->at[0] = 0;
    else
        up(w);
    return true;
}

/*
 * One component on from w->at, which names it. Returns 1 where it is a link whose target has been
 * put in place, 0 to go on, ASH_ELSEWHERE, or an error.
 */
static int step(struct dir_volume *v, struct walk *w, const char *rest, bool follow)
{
    char target[PATH_LIMIT];
    int rc = 0;
    int fd = open_beneath(v->root, w->at, O_NOFOLLOW, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);

    if (fd < 0)
        return fd;
    ssize_t length = readlinkat(fd, "", target, sizeof target);
    if (fd_is_elsewhere(fd)) {
        rc = ASH_ELSEWHERE;
    } else if (length > 0 && length < PATH_LIMIT && follow) {
        target[length] = 0;
        rc = put_target(w, target, rest) ? 1 : -ENAMETOOLONG;
    }
    close(fd);
    return rc;
}

/* The usual end of a walk: after a link has been put in place there is none left on the way. */
static bool rest_fails_plainly(struct dir_volume *v, const struct walk *w, int error)
{
    char path[2 * PATH_LIMIT];
    const struct start from_root = {v->root, path, RESOLVE_IN_ROOT};
    snprintf(path, sizeof path, "%s/%s", w->at, w->rest);
    return !starts_elsewhere(path) && fails_plainly(&from_root, 0, error);
}

/*
 * Finds where a path goes elsewhere: ASH_ELSEWHERE, with who->elsewhere filled, or `verdict` where
 * it does not.
 */
static int find_crossing(struct dir_volume *v, struct caller *who, const char *path, bool nofollow,
                         int verdict)
{
    struct walk w = {.at = ""};
    unsigned links = 0;
    size_t length;

    strcpy(w.rest, path);
    for (;;) {
        const char *rest = w.rest;
        const char *component = next_component(&rest, &length);
        if (!component)
            return verdict;
        if (length == 2 && !memcmp(component, "..", 2)) {
            up(&w);
        } else if (length != 1 || component[0] != '.') {
            size_t used = strlen(w.at);
            if (used + 1 + length >= sizeof w.at)
                return verdict;
            w.at[used] = '/';
            memcpy(w.at + used + 1, component, length);
            w.at[used + 1 + length] = 0;

            int rc = ASH_ELSEWHERE;
            if (path_is_elsewhere(w.at)) {
                if (leaves(&rest)) {
                    up(&w);
                    rc = 0;
                }
            } else {
                rc = step(v, &w, rest, *rest || !nofollow);
            }
            if (rc == ASH_ELSEWHERE)
                return say_elsewhere(who, w.at, rest);
            if (rc < 0 || (rc == 1 && ++links > SYMLINK_MAX) ||
                (rc == 1 && rest_fails_plainly(v, &w, verdict)))
                return verdict;
            if (rc == 1)
                continue; /* w.rest is new */
        }
        memmove(w.rest, rest, strlen(rest) + 1);
    }
}

/* Fills a place from its descriptor. ASH_ELSEWHERE without a path: the caller finds it. */
static int look_around(struct dir_volume *v, struct caller *who, struct place *out)
{
    int rc = dir_statx(out->fd, &out->stat);
    if (rc < 0)
        return rc;
    rc = dir_last_path(v, out->fd, &out->stat, out->path);
    if (rc < 0 && rc != -ENAMETOOLONG)
        return rc;
    if (rc < 0)
        out->path[0] = 0;
    size_t hidden = strlen(v->hidden);
    if (hidden && !strncmp(out->path, v->hidden, hidden))
        return -ENOENT;
    out->writable = out->path[0] && rights_cover(&who->rights, out->path);
    /* Only file systems without a block device can show the host; most files spare the call. */
    if (path_is_elsewhere(out->path) || (out->stat.stx_dev_major == 0 && fd_is_elsewhere(out->fd)))
        return ASH_ELSEWHERE;
    return 0;
}

/*
 * Of a place whose name does not fit: whether it may be changed, by the nearest directory above it
 * whose name does. A file that a link led to may not.
 */
static void look_up(struct dir_volume *v, struct caller *who, const struct start *from,
                    struct place *place)
{
    char path[PATH_LIMIT];
    struct stat st;
    int at, rc = -ENAMETOOLONG;

    if (place->path[0])
        return;
    if (S_ISDIR(place->stat.stx_mode)) {
        at = fcntl(place->fd, F_DUPFD_CLOEXEC, 0);
    } else {
        const char *slash = strrchr(from->path, '/'), *name = slash ? slash + 1 : from->path;
        snprintf(path, sizeof path, "./%.*s", (int)(name - from->path), from->path);
        at = open_beneath(from->fd, path, O_DIRECTORY, from->resolve);
        if (at >= 0 && (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
                        st.st_ino != place->stat.stx_ino || st.st_mode != place->stat.stx_mode))
            rc = -ENOENT;
    }
    for (int climbed = 0; at >= 0 && rc == -ENAMETOOLONG && climbed < CLIMB_MOST; climbed++) {
        int above = open_beneath(at, "..", O_DIRECTORY, 0);
        close(at);
        at = above;
        if (at >= 0)
            rc = dir_real_path(v, at, path);
    }
    place->writable = at >= 0 && rc == 0 && rights_cover(&who->rights, path);
    if (at >= 0)
        close(at);
}

/*
 * A path of openat2 with RESOLVE_*, which the host itself sees to, from the base on. Where that
 * leads to the pComponent's files, or fails among the daemon's own, the client goes on from the
 * crossing, with the same restrictions: only a path that may leave file systems gets there, and
 * one that has to stay beneath its base only where that is the root.
 */
static int resolve_restricted(struct dir_volume *v, struct caller *who,
                              const struct volume_path *path, bool nofollow, uint64_t open_flags,
                              struct place *out)
{
    char base[PATH_LIMIT];
    uint32_t length = path->base_length;
    uint64_t resolve = who->resolve & ~(uint64_t)RESOLVE_CACHED;
    bool scoped = resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT);
    bool crosses = !(resolve & RESOLVE_NO_XDEV) && !(scoped && length > 1) && !path->nameless;
    const char *rest = path->text + length;
    struct start at;

    int rc = start_of(v, path, &at);
    if (rc < 0)
        return rc;
    if (length > 0)
        rest += strspn(rest, "/");
    memcpy(base, path->text, length);
    base[length] = 0;
    int start = at.fd;
    if (length > 0 && at.fd == v->root)
        start = open_beneath(v->root, base, O_DIRECTORY, RESOLVE_IN_ROOT);
    if (start < 0)
        return start;
    out->fd = open_beneath(start, *rest ? rest : ".", open_flags,
                           resolve | (scoped || v->is_host_root ? 0 : RESOLVE_IN_ROOT));
    if (start != at.fd)
        close(start);
    rc = out->fd < 0 ? out->fd : look_around(v, who, out);
    if (rc == 0) {
        at.path = *rest ? rest : ".";
        look_up(v, who, &at, out);
        return 0;
    }
    place_close(out);
    /* These are the host's verdict on a way that the client may not go: not to be gone round. */
    if (rc == -EXDEV || (rc == -ELOOP && resolve & RESOLVE_NO_SYMLINKS))
        return rc;
    int verdict = rc == ASH_ELSEWHERE ? -EXDEV : rc;
    return crosses ? find_crossing(v, who, path->text, nofollow, verdict) : verdict;
}

/* ASH_ELSEWHERE for one that says so itself. */
static int check_path(struct caller *who, const struct volume_path *path)
{
    if (strlen(path->text) >= PATH_LIMIT)
        return -ENAMETOOLONG;
    if (path->nameless)
        return 0;
    if (path->text[0] != '/')
        return path->text[0] ? -EINVAL : -ENOENT;
    return starts_elsewhere(path->text) ? say_elsewhere(who, path->text, "") : 0;
}

int place_resolve(struct dir_volume *v, struct caller *who, const struct volume_path *path,
                  unsigned flags, struct place *out)
{
    bool nofollow = flags & PLACE_NOFOLLOW, directory = flags & PLACE_DIRECTORY;
    uint64_t open_flags = (nofollow ? O_NOFOLLOW : 0) | (directory ? O_DIRECTORY : 0);
    struct start at;

    out->fd = -1;
    int rc = check_path(who, path);
    if (rc < 0)
        return rc;
    if (who->resolve)
        return resolve_restricted(v, who, path, nofollow, open_flags, out);
    rc = start_of(v, path, &at);
    if (rc < 0)
        return rc;

    int fd = *at.path ? open_beneath(at.fd, at.path, open_flags, at.resolve)
                      : fcntl(at.fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0 && !*at.path)
        return -errno;
    if (fd < 0 && (path->nameless || fails_plainly(&at, open_flags, fd)))
        return fd;
    if (fd < 0)
        return find_crossing(v, who, path->text, nofollow, fd);

    out->fd = fd;
    rc = look_around(v, who, out);
    if (rc == 0 && directory && !S_ISDIR(out->stat.stx_mode))
        rc = -ENOTDIR;
    if (rc == 0)
        look_up(v, who, &at, out);
    else
        place_close(out);
    if (rc == ASH_ELSEWHERE && path->nameless)
        return -ENOENT;
    /* The host knew the daemon's own /proc: only the walk knows the path up to the crossing. */
    return rc == ASH_ELSEWHERE ? find_crossing(v, who, path->text, nofollow, -ENOENT) : rc;
}

int place_resolve_name(struct dir_volume *v, struct caller *who, const struct volume_path *path,
                       struct place_name *out)
{
    char text[PATH_LIMIT];
    struct volume_path parent = *path;
    size_t end = strlen(path->text);

    out->directory.fd = -1;
    int rc = check_path(who, path);
    if (rc < 0)
        return rc;

    bool slash = false;
    for (; end > 1 && path->text[end - 1] == '/'; end--)
        slash = true;
    size_t start = end;
    while (start > 0 && path->text[start - 1] != '/')
        start--;
    if (end - start > NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(out->name, path->text + start, end - start);
    snprintf(out->name + (end - start), 2, "%s", slash && end > start ? "/" : "");
    memcpy(text, path->text, start);
    text[start] = 0;
    parent.text = text;
    if (start < path->base_length || !path->text[0]) { /* the base's own name */
        if (who->resolve || path->nameless)
            return who->resolve ? -EISDIR : path->nameless;
        parent.base = NULL;
        parent.base_length = 0;
    }

    rc = place_resolve(v, who, &parent, PLACE_DIRECTORY, &out->directory);
    if (rc == ASH_ELSEWHERE) {
        size_t used = strlen(who->elsewhere);
        int more = snprintf(who->elsewhere + used, sizeof who->elsewhere - used, "%s%s",
                            used && who->elsewhere[used - 1] == '/' ? "" : "/", out->name);
        if (used + (size_t)more >= sizeof who->elsewhere)
            rc = -ENAMETOOLONG;
    }
    return rc;
}

int place_look(struct dir_volume *v, struct caller *who, const struct place_name *name,
               struct place *out)
{
    /* One name: neither a link nor ".." can lead it away, but the host is asked to see to it. */
    int fd = open_beneath(name->directory.fd, name->name, O_NOFOLLOW,
                          RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
    out->fd = fd;
    if (fd < 0)
        return fd;
    int rc = look_around(v, who, out);
    if (rc == 0 && !out->path[0])
        out->writable = name->directory.writable;
    if (rc == ASH_ELSEWHERE)
        rc = say_elsewhere(who, out->path, "");
    if (rc < 0)
        place_close(out);
    return rc;
}

int place_readlink(const struct place *place, char *out)
{
    if (!S_ISLNK(place->stat.stx_mode))
        return -EINVAL;
    ssize_t length = readlinkat(place->fd, "", out, PATH_LIMIT);
    if (length < 0)
        return -errno;
    if (length >= PATH_LIMIT)
        return -ENAMETOOLONG;
    out[length] = 0;
    return 0;
}

void place_close(struct place *place)
{
    if (place->fd >= 0)
        close(place->fd);
    place->fd = -1;
}
