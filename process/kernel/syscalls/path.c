/* Calls that change names: directories, links, renames, special files. */
#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

#include "../files/location.h"
#include "../files/placeholder.h"
#include "../files/remote.h"
#include "../proc/proc.h"
#include "file_calls.h"

#define CWD ((uint64_t)AT_FDCWD)

/* ---- making ---- */

static long make_node(struct thread *t, uint64_t dirfd, uint64_t path, uint32_t mode,
                      uint64_t device)
{
    struct location l;
    uint32_t type = mode & S_IFMT;
    uint32_t masked = mode & ~files_umask(t->process->files);
    struct msg_path_make request = {.mode = masked, .path = l.path};
    struct msg_path_make_reply reply;

    long rc = locate(t, dirfd, path, LOCATE_NOFOLLOW, &l);
    if (rc < 0)
        return rc;
    if (!l.local && (type == S_IFCHR || type == S_IFBLK))
        return -EPERM;
    return LOCATION_CALL(t, &l,
                         type == S_IFDIR ? host_call(__NR_mkdir, l.path, mode & 07777)
                                         : host_call(__NR_mknod, l.path, mode, device),
                         PATH_MAKE, path_make, &request, &reply, );
}

static long make_directory(struct thread *t, uint64_t dirfd, uint64_t path, uint32_t mode)
{
    return make_node(t, dirfd, path, (mode & 01777) | S_IFDIR, 0);
}

long sys_mkdir(struct thread *t, const uint64_t a[6])
{
    return make_directory(t, CWD, a[0], (uint32_t)a[1]);
}

long sys_mkdirat(struct thread *t, const uint64_t a[6])
{
    return make_directory(t, a[0], a[1], (uint32_t)a[2]);
}

static long make_special(struct thread *t, uint64_t dirfd, uint64_t path, uint32_t mode,
                         uint64_t device)
{
    switch (mode & S_IFMT) {
    case 0:
        mode |= S_IFREG;
        break;
    case S_IFREG:
    case S_IFCHR:
    case S_IFBLK:
    case S_IFIFO:
    case S_IFSOCK:
        break;
    case S_IFDIR:
        return -EPERM;
    default:
        return -EINVAL;
    }
    return make_node(t, dirfd, path, mode & (S_IFMT | 07777), device);
}

long sys_mknod(struct thread *t, const uint64_t a[6])
{
    return make_special(t, CWD, a[0], (uint32_t)a[1], a[2]);
}

long sys_mknodat(struct thread *t, const uint64_t a[6])
{
    return make_special(t, a[0], a[1], (uint32_t)a[2], a[3]);
}

/* ---- removing ---- */

static long remove_name(struct thread *t, uint64_t dirfd, uint64_t path, bool directory)
{
    struct location l;
    struct msg_path_unlink request = {.directory = directory, .path = l.path};
    struct msg_path_unlink_reply reply;
    long rc = locate(t, dirfd, path, LOCATE_NOFOLLOW, &l);
    if (rc < 0)
        return rc;
    rc = LOCATION_CALL(t, &l, host_call(directory ? __NR_rmdir : __NR_unlink, l.path), PATH_UNLINK,
                       path_unlink, &request, &reply, );
    if (rc == 0 && !l.local && !directory)
        holds_unlinked(t->process->files->holds);
    return rc;
}

long sys_unlink(struct thread *t, const uint64_t a[6])
{
    return remove_name(t, CWD, a[0], false);
}

long sys_rmdir(struct thread *t, const uint64_t a[6])
{
    return remove_name(t, CWD, a[0], true);
}

long sys_unlinkat(struct thread *t, const uint64_t a[6])
{
    uint32_t flags = (uint32_t)a[2];
    if (flags & ~AT_REMOVEDIR)
        return -EINVAL;
    return remove_name(t, a[0], a[1], flags & AT_REMOVEDIR);
}

/* ---- renaming and linking: two names ---- */

/*
 * The result of a request with two paths. One of them led, by a symbolic link, to the pComponent's
 * files: another file system than the other's.
 */
static long settle_two(int rc)
{
    return rc == ASH_ELSEWHERE ? -EXDEV : rpc_errno(rc);
}

static long rename_file(struct thread *t, uint64_t from_dir, uint64_t from, uint64_t to_dir,
                        uint64_t to, uint32_t flags)
{
    struct location old, new;
    struct msg_path_rename request = {.flags = flags, .from = old.path, .to = new.path};
    struct msg_path_rename_reply reply;
    struct rpc rpc;

    if (flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT) ||
        (flags & RENAME_EXCHANGE && flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)))
        return -EINVAL;
    long rc = locate(t, from_dir, from, LOCATE_NOFOLLOW, &old);
    if (rc == 0)
        rc = locate(t, to_dir, to, LOCATE_NOFOLLOW, &new);
    if (rc < 0)
        return rc;
    if (old.local && new.local)
        return host_call(__NR_renameat2, AT_FDCWD, old.path, AT_FDCWD, new.path, flags);
    if (old.local || new.local)
        return -EXDEV;
    request.from_base = old.base;
    request.to_base = new.base;
    rc = settle_two(RPC_CALL(&rpc, STORAGE, PATH_RENAME, path_rename, &request, &reply));
    rpc_end(&rpc);
    if (rc == 0)
        holds_unlinked(t->process->files->holds);
    return rc;
}

long sys_rename(struct thread *t, const uint64_t a[6])
{
    return rename_file(t, CWD, a[0], CWD, a[1], 0);
}

long sys_renameat(struct thread *t, const uint64_t a[6])
{
    return rename_file(t, a[0], a[1], a[2], a[3], 0);
}

long sys_renameat2(struct thread *t, const uint64_t a[6])
{
    return rename_file(t, a[0], a[1], a[2], a[3], (uint32_t)a[4]);
}

/* The file of a descriptor (AT_EMPTY_PATH, /proc/self/fd/N) is linked though it has no name. */
static long id_of(struct thread *t, int fd, struct file_id *id)
{
    struct descriptor d;
    long rc = descriptor_get(t->process->files, fd, &d);
    if (rc < 0)
        return rc;
    if (d.file)
        *id = d.file->id;
    else
        rc = -EXDEV;
    descriptor_put(&d);
    return rc;
}

/* Whether there is something of that name, for which symbolic links are not followed. */
static long look_at(struct thread *t, struct location *l)
{
    struct msg_path_access request = {.nofollow = 1, .path = l->path};
    struct msg_path_access_reply reply;
    struct stat st;
    return LOCATION_CALL(t, l, host_call(__NR_lstat, l->path, &st), PATH_ACCESS, path_access,
                         &request, &reply, );
}

/*
 * A link from one file system to another is refused, after what else is wrong with the names. What
 * the host has against a new name of its own it says of a file of its /proc as well, of which it
 * makes no link anywhere.
 */
static long link_across(struct thread *t, struct location *old, struct location *new)
{
    long rc = look_at(t, old);
    if (rc < 0)
        return rc;
    if (new->local)
        rc = host_call(__NR_link, "/proc/self/comm", new->path);
    else if (look_at(t, new) == 0)
        rc = -EEXIST;
    return rc == -EEXIST || rc == -ENOENT || rc == -ENOTDIR || rc == -EACCES ? rc : -EXDEV;
}

static long link_file(struct thread *t, uint64_t from_dir, uint64_t from, uint64_t to_dir,
                      uint64_t to, uint32_t flags)
{
    struct location old, new;
    struct msg_path_link request = {
        .follow = (flags & AT_SYMLINK_FOLLOW) != 0, .from = old.path, .to = new.path};
    struct msg_path_link_reply reply;
    struct rpc rpc;
    unsigned how = (flags & AT_SYMLINK_FOLLOW ? 0 : LOCATE_NOFOLLOW) |
                   (flags & AT_EMPTY_PATH ? LOCATE_EMPTY : 0);

    if (flags & ~(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH))
        return -EINVAL;
    long rc = locate(t, from_dir, from, how, &old);
    if (rc == 0)
        rc = locate(t, to_dir, to, LOCATE_NOFOLLOW, &new);
    if (rc < 0)
        return rc;
    if (old.local && new.local)
        return host_call(__NR_linkat, AT_FDCWD, old.path, AT_FDCWD, new.path,
                         flags & AT_SYMLINK_FOLLOW);
    if (old.local || new.local)
        return link_across(t, &old, &new);
    if (old.fd >= 0 && (rc = id_of(t, old.fd, &request.file)) < 0)
        return rc;
    request.from_base = old.base;
    request.to_base = new.base;
    rc = settle_two(RPC_CALL(&rpc, STORAGE, PATH_LINK, path_link, &request, &reply));
    rpc_end(&rpc);
    return rc;
}

long sys_link(struct thread *t, const uint64_t a[6])
{
    return link_file(t, CWD, a[0], CWD, a[1], 0);
}

long sys_linkat(struct thread *t, const uint64_t a[6])
{
    return link_file(t, a[0], a[1], a[2], a[3], (uint32_t)a[4]);
}

/* ---- symbolic links ---- */

static long make_symlink(struct thread *t, uint64_t target, uint64_t dirfd, uint64_t path)
{
    struct location l;
    char text[PATH_LIMIT];
    struct msg_path_symlink request = {.target = text, .path = l.path};
    struct msg_path_symlink_reply reply;

    long rc = user_read_text(text, target, sizeof text);
    if (rc == 0)
        rc = -ENOENT;
    if (rc > 0)
        rc = locate(t, dirfd, path, LOCATE_NOFOLLOW, &l);
    return rc < 0 ? rc
                  : LOCATION_CALL(t, &l, host_call(__NR_symlink, text, l.path), PATH_SYMLINK,
                                  path_symlink, &request, &reply, );
}

long sys_symlink(struct thread *t, const uint64_t a[6])
{
    return make_symlink(t, a[0], CWD, a[1]);
}

long sys_symlinkat(struct thread *t, const uint64_t a[6])
{
    return make_symlink(t, a[0], a[1], a[2]);
}

/* A host link into l->path; a placeholder's, of whatever process, shows the file it stands for. */
static long read_host_link(struct location *l)
{
    char *text = l->path;
    size_t prefix = strlen(PLACEHOLDER_LINK), suffix = strlen(PLACEHOLDER_LINK_END);
    char program[PATH_LIMIT];
    int pid = location_foreign_exe(l->path);
    if (pid > 0 && proc_program(pid, program) == 0) {
        text_copy(text, PATH_LIMIT, program);
        return 0;
    }
    long size = host_call(__NR_readlink, l->path, text, PATH_LIMIT - 1);
    if (size < 0)
        return size;
    text[size] = 0;
    if (!text_begins(text, PLACEHOLDER_LINK) || (size_t)size < prefix + suffix)
        return 0;
    text[(size_t)size - suffix] = 0;
    memmove(text, text + prefix, strlen(text + prefix) + 1);
    return 0;
}

/* What is open: where it is now. One that has no name there any more shows its last one. */
static long name_file(struct thread *t, struct location *l)
{
    struct msg_path_real request = {.path = l->path};
    struct msg_path_real_reply reply;

    long rc = LOCATION_CALL(t, l, 0, PATH_REAL, path_real, &request, &reply,
                            text_copy(l->path, PATH_LIMIT, reply.path));
    size_t length = strlen(l->path), end = strlen(PLACEHOLDER_LINK_END);
    if (rc == -ENOENT && length + end < PATH_LIMIT)
        text_copy(l->path + length, PATH_LIMIT - length, PLACEHOLDER_LINK_END);
    return rc == -ENAMETOOLONG ? rc : 0;
}

/* Of a host descriptor: as the host has it (1), but for a pipe that is none to the program. */
static long name_host(struct thread *t, struct location *l, int fd)
{
    struct descriptor d;
    long rc = descriptor_get(t->process->files, fd, &d);
    if (rc < 0)
        return -ENOENT;
    bool watch = d.kind == ENTRY_HOST_WATCH;
    descriptor_put(&d);
    if (watch)
        text_copy(l->path, PATH_LIMIT, "anon_inode:inotify");
    return !watch;
}

/* What /proc says of the calling process, from the program's point of view. 1: nothing. */
static long read_own_link(struct thread *t, struct location *l)
{
    struct location followed;
    enum local_kind kind = location_kind(t, l);

    if (kind != LOCAL_LINK)
        return 1;
    text_copy(followed.path, PATH_LIMIT, l->path);
    long rc = locate_text(t, 0, &followed);
    if (rc < 0)
        return rc;
    if (followed.local && followed.fd >= 0)
        return name_host(t, l, followed.fd);
    text_copy(l->path, PATH_LIMIT, followed.path);
    if (followed.local || !followed.base.directory.inode)
        return 0;
    l->local = false;
    l->base = followed.base;
    return name_file(t, l);
}

static long read_local_link(struct thread *t, struct location *l)
{
    long rc = read_own_link(t, l);
    return rc == 1 ? read_host_link(l) : rc;
}

static long read_symlink(struct thread *t, uint64_t dirfd, uint64_t path, uint64_t out,
                         int64_t size)
{
    struct location l;
    struct msg_path_readlink request = {.path = l.path};
    struct msg_path_readlink_reply reply;

    if (size <= 0)
        return -EINVAL;
    long rc = locate(t, dirfd, path, LOCATE_NOFOLLOW | LOCATE_EMPTY, &l);
    if (rc < 0)
        return rc;
    /* An empty path: only a symbolic link itself, opened by O_PATH, is one. */
    bool empty = l.empty;
    if (empty && l.local)
        return -ENOENT;
    rc = LOCATION_CALL(t, &l, read_local_link(t, &l), PATH_READLINK, path_readlink, &request,
                       &reply, text_copy(l.path, PATH_LIMIT, reply.target));
    if (rc == -EINVAL && empty)
        return -ENOENT;
    if (rc < 0)
        return rc;
    size_t length = strlen(l.path);
    if (length > (uint64_t)size)
        length = (size_t)size;
    return user_write(out, l.path, length) < 0 ? -EFAULT : (long)length;
}

long sys_readlink(struct thread *t, const uint64_t a[6])
{
    return read_symlink(t, CWD, a[0], a[1], (int)a[2]);
}

long sys_readlinkat(struct thread *t, const uint64_t a[6])
{
    return read_symlink(t, a[0], a[1], a[2], (int)a[3]);
}
