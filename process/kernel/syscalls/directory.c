/* Directories: their entries, and the working directory. */
#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "../files/location.h"
#include "../files/path_text.h"
#include "../files/remote.h"
#include "file_calls.h"

/* ---- getdents ---- */

struct entry64 { /* struct linux_dirent64 */
    uint64_t ino;
    int64_t next; /* offset of the entry after it */
    uint16_t size;
    uint8_t type;
    char name[];
} __attribute__((packed));

enum { ENTRY_NAME = 19, OLD_ENTRY_NAME = 18 };

/* Makes a struct linux_dirent of it, which has the same size: the type moves to its end. */
static void make_old(struct entry64 *e)
{
    uint8_t type = e->type;
    char *bytes = (char *)e;
    size_t length = strlen(e->name);
    memmove(bytes + OLD_ENTRY_NAME, e->name, length + 1);
    bytes[e->size - 1] = (char)type;
}

/* Takes the numbers of hidden descriptors out of what /proc/self/fd lists. Returns what is left. */
static long hide(const struct files *f, uint8_t *entries, long size)
{
    long kept = 0;
    for (long at = 0, length; at < size; at += length) {
        struct entry64 *e = (struct entry64 *)(entries + at);
        const char *name = e->name;
        int fd = path_number(&name);
        length = e->size;
        if (fd >= 0 && files_hidden(fd))
            continue;
        memmove(entries + kept, e, (size_t)length);
        kept += length;
    }
    return kept;
}

/* The host's entries; with `hides`, batches of which nothing is left are skipped. */
static long list_host(struct descriptor *d, uint8_t *to, uint32_t size)
{
    long rc;
    do { /* in batches: what is hidden may fill one */
        rc = host_call(__NR_getdents64, d->fd, to, size);
        if (rc <= 0 || d->kind != ENTRY_HOST_LIST)
            return rc;
        rc = hide(d->files, to, rc);
    } while (rc == 0);
    return rc;
}

static long list_remote(struct descriptor *d, int64_t offset, uint8_t *to, uint32_t size)
{
    struct msg_dir_read request = {.file = d->file->id, .cookie = (uint64_t)offset, .length = size};
    struct msg_dir_read_reply reply;
    struct rpc rpc;
    long rc = REMOTE_CALL(d, &rpc, DIR_READ, dir_read, &request, &reply);
    if (rc == 0) {
        rc = reply.entries_size < size ? reply.entries_size : size;
        memcpy(to, reply.entries, (size_t)rc);
    }
    rpc_end(&rpc);
    return rc;
}

/* Checks what an sComponent sent before anyone walks it; returns the last entry's cookie, or -EIO.
 */
static int64_t last_cookie(const uint8_t *entries, long size)
{
    int64_t cookie = 0;
    for (long at = 0; at < size;) {
        const struct entry64 *e = (const struct entry64 *)(entries + at);
        if (size - at < ENTRY_NAME + 1 || e->size < ENTRY_NAME + 1 || e->size > size - at)
            return -EIO;
        cookie = e->next;
        at += e->size;
    }
    return cookie;
}

static long entries(struct thread *t, const uint64_t a[6], bool old)
{
    struct descriptor d;
    uint8_t *bounce = thread_bounce(t);
    uint32_t size = (uint32_t)a[2];
    int64_t offset = 0, next = -1;

    if (!bounce)
        return -ENOMEM;
    long rc = descriptor_get(t->process->files, (int)a[0], &d);
    if (rc < 0)
        return rc;
    if (size > DIR_REPLY_MAX)
        size = DIR_REPLY_MAX;
    if (d.file && d.file->flags & O_PATH)
        rc = -EBADF;
    else if (d.file && !S_ISDIR(d.file->type))
        rc = -ENOTDIR;
    else if (d.file && (offset = offset_begin(&d)) < 0)
        rc = offset;
    if (rc < 0)
        goto out;
    rc = d.file ? list_remote(&d, offset, bounce, size) : list_host(&d, bounce, size);
    if (rc > 0 && (next = last_cookie(bounce, rc)) < 0 && d.file)
        rc = -EIO;
    for (long at = 0; old && at < rc; at += ((struct entry64 *)(bounce + at))->size)
        make_old((struct entry64 *)(bounce + at));
    if (rc > 0 && user_write(a[1], bounce, (size_t)rc) < 0)
        rc = -EFAULT;
    if (d.file)
        offset_end(&d, rc > 0 ? next : -1);
out:
    descriptor_put(&d);
    return rc;
}

long sys_getdents64(struct thread *t, const uint64_t a[6])
{
    return entries(t, a, false);
}

long sys_getdents(struct thread *t, const uint64_t a[6])
{
    return entries(t, a, true);
}

/* ---- the working directory ---- */

static long enter_local(struct location *l)
{
    struct stat st;
    long rc = host_call(__NR_stat, l->path, &st);
    if (rc == 0 && !S_ISDIR(st.st_mode))
        rc = -ENOTDIR;
    if (rc == 0)
        rc = host_call(__NR_faccessat2, AT_FDCWD, l->path, 1 /* X_OK */, AT_EACCESS);
    return rc;
}

/* The directory is held: later paths are relative to it, whatever its name becomes. */
static long enter(struct thread *t, struct location *l)
{
    struct files *f = t->process->files;
    struct msg_file_open request = {
        .flags = O_PATH | O_DIRECTORY, .description = description_new(), .path = l->path};
    struct msg_file_open_reply reply;
    struct msg_path_access search = {.mode = 1 /* X_OK */, .path = l->path};
    struct msg_path_access_reply allowed;
    struct held held = {.description = request.description};

    long rc = LOCATION_CALL(t, l, enter_local(l), FILE_OPEN, file_open, &request, &reply,
                            if (reply.path[0]) text_copy(l->path, PATH_LIMIT, reply.path);
                            held.file = reply.attr.id);
    if (rc < 0)
        return rc;
    if (!l->local) {
        if (l->path[0] != '/') /* it has no name that fits */
            l->path[0] = 0;
        l->base = (struct path_base){held.file, (uint32_t)strlen(l->path)};
        rc = LOCATION_CALL(t, l, 0, PATH_ACCESS, path_access, &search, &allowed, );
        if (rc < 0) {
            (void)holds_take(f->holds, &held);
            holds_put(f->holds, &held, false);
            return rc;
        }
    }
    /* The host's follows where it can, for it is what /proc/PID/cwd shows to others. */
    host_call(__NR_chdir, l->path);
    files_set_cwd(f, l->path, &held);
    return 0;
}

long sys_chdir(struct thread *t, const uint64_t a[6])
{
    struct location l;
    long rc = locate(t, (uint64_t)AT_FDCWD, a[0], 0, &l);
    return rc < 0 ? rc : enter(t, &l);
}

/* A host directory's path, by what the host calls it. */
static long name_host(struct location *l)
{
    char link[32];
    struct stat st;
    if (host_call(__NR_fstat, l->fd, &st) < 0)
        return -EBADF;
    if (!S_ISDIR(st.st_mode))
        return -ENOTDIR;
    text_format(link, sizeof link, "/proc/self/fd/%d", l->fd);
    long size = host_call(__NR_readlink, link, l->path, PATH_LIMIT - 1);
    if (size < 0)
        return -EBADF;
    l->path[size] = 0;
    return l->path[0] == '/' ? 0 : -ENOTDIR;
}

static bool is_directory(struct thread *t, int fd)
{
    struct descriptor d;
    if (descriptor_get(t->process->files, fd, &d) < 0)
        return false;
    bool directory = d.file && S_ISDIR(d.file->type);
    descriptor_put(&d);
    return directory;
}

long sys_fchdir(struct thread *t, const uint64_t a[6])
{
    struct location l;
    if ((int)a[0] < 0)
        return -EBADF;
    long rc = locate(t, a[0], 0, LOCATE_EMPTY, &l);
    if (rc == 0 && !l.local)
        rc = is_directory(t, (int)a[0]) ? 0 : -ENOTDIR;
    if (rc == 0 && l.local)
        rc = name_host(&l);
    return rc < 0 ? rc : enter(t, &l);
}

/* Where the directory is now; -ENOENT where it was removed. */
static long ask_cwd(struct thread *t, char path[PATH_LIMIT])
{
    struct location l;
    struct msg_path_real request = {.path = l.path};
    struct msg_path_real_reply reply;
    long rc = locate(t, (uint64_t)AT_FDCWD, 0, LOCATE_EMPTY, &l);
    if (rc == 0)
        rc = LOCATION_CALL(t, &l, 0, PATH_REAL, path_real, &request, &reply,
                           text_copy(l.path, PATH_LIMIT, reply.path));
    text_copy(path, PATH_LIMIT, l.path);
    return rc;
}

long sys_getcwd(struct thread *t, const uint64_t a[6])
{
    char path[PATH_LIMIT];
    long rc = ask_cwd(t, path);
    size_t size = strlen(path) + 1;
    if (rc < 0)
        return rc;
    if (size > a[1])
        return -ERANGE;
    return user_write(a[0], path, size) < 0 ? -EFAULT : (long)size;
}
