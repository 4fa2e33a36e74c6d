/* See location.h. */
#include "location.h"

#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "../entry/process.h"
#include "../entry/thread.h"
#include "../host/host.h"
#include "../mm/uaccess.h"
#include "../proc/proc.h"
#include "path_text.h"

/* The rest of a path relative to a directory whose name cannot be put before it. */
static int leave_relative(char path[PATH_LIMIT], size_t skip, struct path_base *base)
{
    while (path[skip] == '/')
        skip++;
    base->length = 0;
    return path_make_room(path, skip, 0);
}

/* Puts the working directory in the place of the first `skip` bytes of path. */
static int put_cwd(struct files *f, char path[PATH_LIMIT], size_t skip, bool slash,
                   struct path_base *base)
{
    mutex_lock(&f->lock);
    size_t size = strlen(f->cwd);
    *base = (struct path_base){f->cwd_id, (uint32_t)size};
    slash = slash && size && f->cwd[size - 1] != '/';
    int rc = size ? path_make_room(path, skip, size + slash) : -ENAMETOOLONG;
    if (rc == 0) {
        memcpy(path, f->cwd, size);
        if (slash)
            path[size] = '/';
    }
    mutex_unlock(&f->lock);
    return rc < 0 && base->directory.inode ? leave_relative(path, skip, base) : rc;
}

/* The same with the path of a placeholder. */
static int put_placeholder(const struct descriptor *d, char path[PATH_LIMIT], size_t skip,
                           bool slash, struct path_base *base)
{
    uint32_t size = d->file->path_length;
    *base = (struct path_base){d->file->id, size};
    slash = slash && size > 1; /* the root's has one */
    if (!size || path_make_room(path, skip, size + slash) < 0)
        return leave_relative(path, skip, base);
    int rc = placeholder_path(d->fd, path, size);
    if (rc == 0 && slash)
        path[size] = '/';
    return rc;
}

/* Puts a host directory's path before a relative one. */
static int put_host(int fd, char path[PATH_LIMIT])
{
    char link[32], base[PATH_LIMIT];
    struct stat st;
    if (host_call(__NR_fstat, fd, &st) < 0)
        return -EBADF;
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    text_format(link, sizeof link, "/proc/self/fd/%d", fd);
    long size = host_call(__NR_readlink, link, base, sizeof base - 1);
    if (size < 0)
        return -EBADF;
    base[size] = 0;
    return base[0] == '/' ? path_join(path, base) : -ENOTDIR;
}

int location_put_base(struct files *f, int dirfd, char path[PATH_LIMIT], struct path_base *base)
{
    struct descriptor d;

    *base = (struct path_base){0};
    if (dirfd == AT_FDCWD)
        return put_cwd(f, path, 0, true, base);
    int rc = descriptor_get(f, dirfd, &d);
    if (rc < 0)
        return rc;
    if (!d.file)
        rc = put_host(dirfd, path);
    else if (!S_ISDIR(d.file->type))
        rc = -ENOTDIR;
    else
        rc = put_placeholder(&d, path, 0, true, base);
    descriptor_put(&d);
    return rc;
}

/*
 * Where path names something of the calling process in /proc: the offset of what follows "self/";
 * else 0.
 */
static size_t own_proc(const struct thread *t, const char *path)
{
    const char *at = path + 6;
    if (!text_begins(path, "/proc/"))
        return 0;
    if (text_begins(at, "self/")) {
        at += 5;
    } else if (text_begins(at, "thread-self/")) {
        at += 12;
    } else {
        int pid = path_number(&at);
        if ((pid != t->process->pid && pid != t->tid) || *at++ != '/')
            return 0;
    }
    if (text_begins(at, "task/")) {
        const char *task = at + 5;
        if (path_number(&task) >= 0 && *task == '/')
            at = task + 1;
    }
    return (size_t)(at - path);
}

int location_foreign_exe(const char *path)
{
    const char *at = path + 6;
    int pid = text_begins(path, "/proc/") ? path_number(&at) : -1;
    return pid > 0 && !strcmp(at, "/exe") ? pid : -1;
}

enum local_kind location_kind(const struct thread *t, const struct location *l)
{
    size_t at = own_proc(t, l->path);
    const char *tail = l->path + at;
    if (at && (!strcmp(tail, "exe") || !strcmp(tail, "cwd") || !strcmp(tail, "root")))
        return LOCAL_LINK;
    if (at && text_begins(tail, "fd/")) {
        tail += 3;
        if (path_number(&tail) >= 0 && !*tail)
            return LOCAL_LINK;
    }
    return LOCAL_PLAIN;
}

/* /dev/fd/N and /dev/stdin by their names in /proc. */
static int rename_devices(char path[PATH_LIMIT], bool nofollow)
{
    static const struct {
        const char *name, *target;
        bool directory;
    } links[] = {
        {"/dev/fd", "/proc/self/fd", true},
        {"/dev/stdin", "/proc/self/fd/0", false},
        {"/dev/stdout", "/proc/self/fd/1", false},
        {"/dev/stderr", "/proc/self/fd/2", false},
    };
    for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
        size_t size = strlen(links[i].name);
        if (!path_under(path, links[i].name) || (path[size] && !links[i].directory) ||
            (!path[size] && nofollow))
            continue;
        size_t target = strlen(links[i].target);
        int rc = path_make_room(path, size, target);
        if (rc == 0)
            memcpy(path, links[i].target, target);
        return rc;
    }
    return 0;
}

/* /proc/self/fd/N, with digits at `digits`: by what the descriptor refers to. */
static int through_descriptor(struct thread *t, struct location *l, size_t digits)
{
    const char *rest = l->path + digits;
    int fd = path_number(&rest);
    size_t skip = (size_t)(rest - l->path);
    struct descriptor d;

    if (fd < 0 || (*rest && *rest != '/') || (!*rest && l->nofollow))
        return 0;
    int rc = descriptor_get(t->process->files, fd, &d);
    if (rc < 0)
        return -ENOENT;
    if (d.file) {
        l->fd = *rest ? -1 : fd;
        rc = put_placeholder(&d, l->path, skip, false, &l->base);
    } else if (!*rest) {
        l->fd = fd;
    }
    descriptor_put(&d);
    return rc;
}

/* /proc/PID/exe of another process of a run: the program that it executes, not ashlar-exec. */
static int foreign_program(struct location *l)
{
    char path[PATH_LIMIT];
    int pid = location_foreign_exe(l->path);
    if (pid > 0 && !l->nofollow && proc_program(pid, path) == 0)
        text_copy(l->path, PATH_LIMIT, path);
    return 0;
}

/* Turns a path to the process's own things into what it stands for. */
static int see_through(struct thread *t, struct location *l)
{
    int rc = rename_devices(l->path, l->nofollow);
    size_t at = rc < 0 ? 0 : own_proc(t, l->path);
    const char *tail = l->path + at;

    if (at == 0)
        return rc < 0 ? rc : foreign_program(l);
    if (text_begins(tail, "fd/"))
        return through_descriptor(t, l, at + 3);
    bool cwd = path_under(tail, "cwd"), root = path_under(tail, "root");
    bool exe = !strcmp(tail, "exe");
    bool last = exe || ((cwd || root) && !tail[cwd ? 3 : 4]);
    if (!(cwd || root || exe) || (last && l->nofollow))
        return 0;
    if (cwd)
        return put_cwd(t->process->files, l->path, at + 3, false, &l->base);
    if (root) {
        rc = path_make_room(l->path, at + 4, last);
        if (last)
            l->path[0] = '/';
        return rc;
    }
    text_copy(l->path, PATH_LIMIT, t->process->program);
    return 0;
}

int locate_text(struct thread *t, unsigned flags, struct location *l)
{
    l->nofollow = flags & LOCATE_NOFOLLOW;
    l->as_written = false;
    l->moves = 0;
    l->fd = -1;
    l->base = (struct path_base){0};
    for (int turns = 0; turns < 8; turns++) {
        l->local = path_is_local(l->path);
        if (!l->local)
            return 0;
        path_normalise(l->path);
        if (!path_is_local(l->path))
            continue;
        int rc = see_through(t, l);
        if (rc < 0)
            return rc;
        if (path_is_local(l->path))
            return 0;
    }
    return -ELOOP;
}

void locate_as_written(struct location *l, unsigned flags, const struct path_base *base)
{
    l->local = l->empty = false;
    l->nofollow = flags & LOCATE_NOFOLLOW;
    l->as_written = true;
    l->moves = 0;
    l->fd = -1;
    l->base = *base;
}

/* dirfd itself. */
static int locate_descriptor(struct thread *t, int fd, struct location *l)
{
    struct files *f = t->process->files;
    struct descriptor d;

    l->path[0] = 0;
    if (fd == AT_FDCWD) {
        struct path_base base;
        int rc = put_cwd(f, l->path, 0, false, &base);
        if (rc == 0)
            rc = locate_text(t, 0, l);
        if (rc == 0 && !l->local)
            l->base = base;
        return rc;
    }
    int rc = descriptor_get(f, fd, &d);
    if (rc < 0)
        return rc;
    l->nofollow = l->as_written = false;
    l->moves = 0;
    l->fd = fd;
    l->local = !d.file;
    l->base = (struct path_base){0};
    if (d.file)
        rc = put_placeholder(&d, l->path, 0, false, &l->base);
    else
        text_format(l->path, PATH_LIMIT, "/proc/self/fd/%d", fd);
    descriptor_put(&d);
    return rc;
}

int locate(struct thread *t, uint64_t dirfd, uint64_t path, unsigned flags, struct location *l)
{
    l->empty = true;
    if (!path && flags & LOCATE_EMPTY)
        return locate_descriptor(t, (int)dirfd, l);
    long length = user_read_text(l->path, path, PATH_LIMIT);
    if (length < 0)
        return (int)length;
    if (length == 0)
        return flags & LOCATE_EMPTY ? locate_descriptor(t, (int)dirfd, l) : -ENOENT;
    l->empty = false;
    struct path_base base = {0};
    if (l->path[0] != '/') {
        int rc = location_put_base(t->process->files, (int)dirfd, l->path, &base);
        if (rc < 0)
            return rc;
    }
    bool remote = !path_is_local(l->path);
    int rc = locate_text(t, flags, l);
    if (rc == 0 && remote)
        l->base = base;
    return rc;
}

int location_settle(struct thread *t, struct location *l, const struct rpc *rpc, int rc)
{
    struct msg_elsewhere_reply reply;

    if (rc != ASH_ELSEWHERE)
        return (int)rpc_errno(rc);
    if (msg_elsewhere_reply_decode(&reply, rpc->reply, rpc->reply_size) < 0)
        return -EIO;
    uint8_t moves = l->moves;
    if (reply.path[0] != '/' || text_copy(l->path, PATH_LIMIT, reply.path) >= PATH_LIMIT)
        return -EIO;
    if (l->as_written) {
        l->local = true;
        return LOCATION_MOVED;
    }
    rc = locate_text(t, l->nofollow ? LOCATE_NOFOLLOW : 0, l);
    l->moves = moves + 1;
    /* A path that the volume gives up and that does not lead to the host would come back for ever.
     */
    if (rc == 0 && !l->local && l->moves > 8)
        rc = -ELOOP;
    return rc < 0 ? rc : LOCATION_MOVED;
}
