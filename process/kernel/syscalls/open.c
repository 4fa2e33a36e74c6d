/*
 * open and its variants.
 *
 * A file of an sComponent is opened there and gets a placeholder; one of the pComponent is opened
 * by the host. A FIFO that lives on an sComponent is, as on any network file system, a meeting
 * point for the processes of one machine: it is the host's FIFO of that name where the host sees
 * the same file, and else cannot be opened (ENXIO), like sockets and devices.
 */
#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>

#include "../files/location.h"
#include "../files/opened.h"
#include "../files/path_text.h"
#include "../files/remote.h"
#include "../mm/shared.h"
#include "../proc/proc.h"
#include "../rpc/node.h"
#include "file_calls.h"
#include "file_io.h"

#define TMPFILE_BIT __O_TMPFILE
#define OPEN_FLAGS                                                                                 \
    (O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC |          \
     O_DSYNC | FASYNC | O_DIRECT | O_LARGEFILE | O_DIRECTORY | O_NOFOLLOW | O_NOATIME |            \
     O_CLOEXEC | O_PATH | TMPFILE_BIT)
/* What is over once the file is open, or kept elsewhere. */
#define OPEN_ONLY (O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC | FASYNC)

struct opening {
    struct thread *t;
    struct files *files;
    uint32_t flags, mode, resolve;
    int fd;         /* of a placeholder that was made ahead; -1: none */
    uint32_t first; /* bytes that the answer is to bring along */
    struct description_id description;
    struct location where;
};

static bool is_temporary(uint32_t flags)
{
    return (flags & TMPFILE_BIT) != 0;
}

/* Makes the number ahead of the request, so that EMFILE leaves the file as it was. */
static int make(struct opening *o)
{
    if (o->fd >= 0)
        return 0;
    long fd = files_number(placeholder_make(o->where.path, o->flags & O_CLOEXEC));
    o->fd = (int)fd;
    return fd < 0 ? (int)fd : 0;
}

/* The file is open at the sComponent, and there will be no descriptor for it. */
static void let_go(struct opening *o, const struct file_id *id)
{
    const struct held held = {*id, o->description};
    (void)holds_take(o->files->holds, &held);
    holds_put(o->files->holds, &held, true);
}

/* The file is open at the sComponent and held: gives it its descriptor. */
static long finish(struct opening *o, const struct file_attr *attr, const char *path)
{
    struct placeholder p = {
        .description = o->description,
        .file = attr->id,
        .flags = (o->flags & ~OPEN_ONLY & ~PLACEHOLDER_HOST_FLAGS & ~O_DIRECT) | O_LARGEFILE,
        .type = attr->mode & S_IFMT,
        .state.direct = (o->flags & O_DIRECT) != 0,
    };
    int rc = make(o);
    if (o->flags & O_PATH)
        p.flags &= ~O_LARGEFILE;
    if (rc == 0)
        rc = placeholder_fill(o->fd, &p, path[0] ? path : location_name(&o->where), o->flags);
    if (rc == 0)
        rc = descriptor_install(o->files, o->fd, &p);
    if (rc < 0) {
        let_go(o, &attr->id);
        return rc;
    }
    int fd = o->fd;
    o->fd = -1;
    if (o->first)
        opened_keep(o->t, fd, &p.description);
    return fd;
}

/* ---- the host's ---- */

/*
 * Of the host, which knows its own files and what it may open of them. Memory that somebody has
 * mapped is truncated by the node, once it is known that it may be opened.
 */
static long open_host(struct opening *o, int dirfd, const char *path, bool restricted)
{
    bool cuts = o->flags & O_TRUNC && shared_host_files();
    struct open_how how = {.flags = o->flags & (cuts ? ~(uint64_t)O_TRUNC : ~0ull),
                           .mode = o->mode,
                           .resolve = o->resolve};
    long fd = restricted ? host_call_intr(__NR_openat2, dirfd, path, &how, sizeof how)
                         : host_call_intr(__NR_openat, dirfd, path, how.flags, how.mode);
    long rc = fd >= 0 && cuts ? file_cut_opened((int)fd, how.flags) : 0;
    if (rc < 0)
        host_call(__NR_close, fd);
    return files_new_host(o->files, rc < 0 ? rc : fd);
}

/* Where a restricted path left the volume: from the root on, its restrictions are the host's. */
static long open_crossed(struct opening *o)
{
    long root = host_call(__NR_open, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return root;
    root = fd_hide((int)root);
    const char *path = o->where.path + 1;
    long fd = open_host(o, (int)root, *path ? path : ".", true);
    host_call(__NR_close, root);
    return restartable(fd);
}

static long open_local(struct opening *o)
{
    if (o->where.as_written)
        return open_crossed(o);
    long fd = open_host(o, AT_FDCWD, o->where.path, false);
    if (fd >= 0 && !(o->flags & O_PATH))
        descriptor_install_host(o->files, (int)fd, proc_kind((int)fd));
    return restartable(fd);
}

/* ---- an sComponent's ---- */

static long open_fifo(struct opening *o, const struct file_attr *attr, const char *path)
{
    struct stat st;
    long rc = host_call(__NR_stat, path, &st);
    if (rc < 0 || !S_ISFIFO(st.st_mode) || st.st_ino != attr->id.inode ||
        st.st_dev != attr->id.device)
        return -ENXIO;
    uint32_t flags = o->flags & ~(O_CREAT | O_EXCL | O_TRUNC);
    rc = host_call_intr(__NR_open, path, flags, 0);
    return restartable(files_new_host(o->files, rc));
}

/* Whether what is open there is of a kind that can be opened so. */
static long check_again(struct opening *o, const struct descriptor *d)
{
    uint32_t type = d->file->type & S_IFMT;
    if (o->flags & O_DIRECTORY && type != S_IFDIR)
        return -ENOTDIR;
    if (o->flags & O_PATH)
        return 0;
    if (type == S_IFDIR)
        return o->flags & (O_ACCMODE | O_CREAT | O_TRUNC) ? -EISDIR : 0;
    return type == S_IFLNK ? -ELOOP : type == S_IFREG || type == S_IFIFO ? 0 : -ENXIO;
}

/* A file that is open already, by /proc/self/fd/N, whatever its path names today. */
static long open_again(struct opening *o)
{
    struct descriptor d;
    struct msg_file_reopen request = {
        .description = o->description, .flags = o->flags, .path = o->where.path};
    struct msg_file_reopen_reply reply;
    struct rpc rpc;

    int rc = descriptor_get(o->files, o->where.fd, &d);
    if (rc < 0)
        return -ENOENT;
    if (!d.file) {
        descriptor_put(&d);
        return -ENXIO;
    }
    rc = (int)check_again(o, &d);
    bool fifo = S_ISFIFO(d.file->type) && !(o->flags & O_PATH);
    if (rc == 0 && fifo)
        rc = remote_stat(&d, &reply.attr);
    if (rc < 0 || fifo) {
        descriptor_put(&d);
        return rc < 0 ? rc : open_fifo(o, &reply.attr, o->where.path);
    }
    request.file = d.file->id;
    rc = REMOTE_CALL(&d, &rpc, FILE_REOPEN, file_reopen, &request, &reply);
    rpc_end(&rpc);
    bool opened = rc == 0;
    if (rc == 0 && (o->flags & O_ACCMODE) != O_RDONLY && !reply.attr.writable)
        rc = -EROFS;
    if (rc == 0 && o->flags & O_TRUNC) {
        struct msg_file_truncate cut = {.file = d.file->id};
        struct msg_file_truncate_reply cut_reply;
        rc = REMOTE_CALL(&d, &rpc, FILE_TRUNCATE, file_truncate, &cut, &cut_reply);
        rpc_end(&rpc);
        if (rc == 0)
            rc = shared_change(&d.file->id, SEGMENT_RESIZED, 0, 0);
    }
    if (rc < 0 && opened)
        let_go(o, &d.file->id);
    descriptor_put(&d);
    return rc < 0 ? rc : finish(o, &reply.attr, o->where.path);
}

static void take_answer(struct opening *o, const struct msg_file_open_reply *reply,
                        char path[PATH_LIMIT])
{
    text_copy(path, PATH_LIMIT, reply->path);
    if (o->first)
        opened_bring(o->t, reply);
}

static long open_remote(struct opening *o)
{
    o->first = opened_wanted(o->t, o->flags);
    struct msg_file_open request = {
        .first = o->first,
        .description = o->description,
        .flags = o->flags & ~(O_CLOEXEC | FASYNC),
        .mode = o->mode & ~files_umask(o->files),
        .resolve = o->resolve,
        .path = o->where.path,
    };
    struct msg_file_open_reply reply;
    char path[PATH_LIMIT];
    long rc = 0;

    if (o->flags & (O_CREAT | O_TRUNC))
        rc = make(o);
    if (rc == 0)
        rc = LOCATION_CALL(o->t, &o->where, LOCATION_MOVED, FILE_OPEN, file_open, &request, &reply,
                           take_answer(o, &reply, path));
    if (rc < 0)
        return rc;
    if (rc == LOCATION_MOVED) {
        if (o->fd >= 0)
            host_call(__NR_close, o->fd);
        o->fd = -1;
        return open_local(o);
    }
    holds_watched(o->files->holds, reply.watched);
    uint32_t type = reply.attr.mode & S_IFMT;
    if (o->flags & O_TRUNC && type == S_IFREG)
        rc = shared_change(&reply.attr.id, SEGMENT_RESIZED, 0, 0);
    if (rc < 0) {
        let_go(o, &reply.attr.id);
        return rc;
    }
    if (o->flags & O_PATH || type == S_IFREG || type == S_IFDIR)
        return finish(o, &reply.attr, path);
    if (type == S_IFIFO) {
        if (o->fd >= 0)
            host_call(__NR_close, o->fd);
        o->fd = -1;
        return open_fifo(o, &reply.attr, path);
    }
    return -ENXIO;
}

/* Opens o->where. */
static long open_there(struct opening *o)
{
    long rc;
    o->description = description_new();
    if (o->where.local)
        rc = open_local(o);
    else if (o->where.fd >= 0 && !is_temporary(o->flags))
        rc = open_again(o);
    else
        rc = open_remote(o);
    if (o->fd >= 0)
        host_call(__NR_close, o->fd);
    return rc;
}

static unsigned locate_flags(uint32_t flags)
{
    bool nofollow = flags & O_NOFOLLOW || (flags & O_CREAT && flags & O_EXCL);
    return nofollow ? LOCATE_NOFOLLOW : 0;
}

/* flags and mode have been checked. */
static long open_file(struct thread *t, uint64_t dirfd, uint64_t path, uint32_t flags,
                      uint32_t mode)
{
    struct opening o = {.t = t, .files = t->process->files, .flags = flags, .mode = mode, .fd = -1};

    if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
        return -EINVAL;
    long rc = locate(t, dirfd, path, locate_flags(flags), &o.where);
    return rc < 0 ? rc : open_there(&o);
}

/* As open(2) has always been: unknown flags are ignored. */
static long open_loosely(struct thread *t, uint64_t dirfd, uint64_t path, uint32_t flags,
                         uint32_t mode)
{
    flags &= OPEN_FLAGS;
    if (flags & O_PATH)
        flags &= O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    if (is_temporary(flags) &&
        ((flags & O_TMPFILE) != O_TMPFILE || (flags & O_ACCMODE) == O_RDONLY))
        return -EINVAL;
    mode = flags & O_CREAT || is_temporary(flags) ? mode & 07777 : 0;
    return open_file(t, dirfd, path, flags, mode);
}

long sys_open(struct thread *t, const uint64_t a[6])
{
    return open_loosely(t, (uint64_t)AT_FDCWD, a[0], (uint32_t)a[1], (uint32_t)a[2]);
}

long sys_openat(struct thread *t, const uint64_t a[6])
{
    return open_loosely(t, a[0], a[1], (uint32_t)a[2], (uint32_t)a[3]);
}

long sys_creat(struct thread *t, const uint64_t a[6])
{
    return open_loosely(t, (uint64_t)AT_FDCWD, a[0], O_CREAT | O_WRONLY | O_TRUNC, (uint32_t)a[1]);
}

/* ---- openat2 ---- */

#define RESOLVE_SCOPED (RESOLVE_BENEATH | RESOLVE_IN_ROOT)
#define RESOLVE_KNOWN                                                                              \
    (RESOLVE_SCOPED | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS |              \
     RESOLVE_CACHED)

/*
 * An open whose way is restricted: by the sComponent, which sees to it, from what the path is
 * relative to on; what leaves the volume leaves a file system, and where it must stay beneath.
 */
static long open_restricted(struct opening *o, uint64_t dirfd, uint64_t path)
{
    struct location *l = &o->where;
    struct path_base base = {0};
    long rc = user_read_text(l->path, path, PATH_LIMIT);

    if (rc < 0)
        return rc;
    if (rc == 0)
        return -ENOENT;
    bool absolute = l->path[0] == '/';
    if (absolute && o->resolve & RESOLVE_BENEATH)
        return -EXDEV;
    if (absolute && o->resolve & RESOLVE_IN_ROOT) {
        char *from = l->path;
        while (*from == '/')
            from++;
        memmove(l->path, *from ? from : ".", *from ? strlen(from) + 1 : 2);
    }
    if (!absolute || o->resolve & RESOLVE_IN_ROOT) {
        char given[PATH_LIMIT];
        text_copy(given, sizeof given, l->path);
        rc = location_put_base(o->files, (int)dirfd, l->path, &base);
        if (rc < 0)
            return rc;
        if (!base.directory.inode)
            return restartable(open_host(o, (int)dirfd, given, true));
    }
    /* A link of /proc/self is magic, and seen through before anyone could say so. */
    if (o->resolve & (RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS) && path_is_local(l->path) &&
        location_kind(o->t, l) == LOCAL_LINK)
        return -ELOOP;
    if (path_is_local(l->path) && !base.length)
        return restartable(open_host(o, AT_FDCWD, l->path, true));
    locate_as_written(l, locate_flags(o->flags), &base);
    return open_there(o);
}

static bool how_is_good(const struct open_how *how)
{
    const uint64_t with_path = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    bool makes = how->flags & (O_CREAT | TMPFILE_BIT);
    return !(how->flags & ~(uint64_t)OPEN_FLAGS) && !(how->resolve & ~(uint64_t)RESOLVE_KNOWN) &&
           (how->resolve & RESOLVE_SCOPED) != RESOLVE_SCOPED &&
           !(makes ? how->mode & ~07777ull : how->mode) &&
           !(how->flags & O_PATH && how->flags & ~with_path);
}

long sys_openat2(struct thread *t, const uint64_t a[6])
{
    struct open_how how = {0};
    uint8_t more[64];

    if (a[3] < sizeof how)
        return -EINVAL;
    if (a[3] > LINE_SIZE)
        return -E2BIG;
    if (user_read(&how, a[2], sizeof how) < 0)
        return -EFAULT;
    for (uint64_t at = sizeof how; at < a[3]; at += sizeof more) {
        uint64_t size = a[3] - at < sizeof more ? a[3] - at : sizeof more;
        if (user_read(more, a[2] + at, size) < 0)
            return -EFAULT;
        for (uint64_t i = 0; i < size; i++)
            if (more[i])
                return -E2BIG;
    }
    if (!how_is_good(&how))
        return -EINVAL;
    uint32_t flags = (uint32_t)how.flags;
    if ((flags & (O_CREAT | O_DIRECTORY)) == (O_CREAT | O_DIRECTORY))
        return -EINVAL;
    if (!how.resolve)
        return open_loosely(t, a[0], a[1], flags, (uint32_t)how.mode);
    /* Nothing of a volume is cached here. */
    if (how.resolve & RESOLVE_CACHED)
        return -EAGAIN;
    struct opening o = {.t = t,
                        .files = t->process->files,
                        .flags = flags,
                        .mode = (uint32_t)how.mode & 07777,
                        .resolve = (uint32_t)how.resolve,
                        .fd = -1};
    return open_restricted(&o, a[0], a[1]);
}
