/*
 * Files for the other parts of ashlar-exec: the loader's and mmap's view of them. See files.h.
 */
#include <asm/stat.h>
#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>

#include "../entry/process.h"
#include "../entry/thread.h"
#include "../host/host.h"
#include "../mm/shared.h"
#include "../mm/uaccess.h"
#include "location.h"
#include "path_text.h"
#include "remote.h"

static int open_host_exec(const struct location *l, struct vnode_file *out)
{
    struct stat st;
    long rc = host_call(__NR_stat, l->path, &st);
    if (rc == 0 && !S_ISREG(st.st_mode))
        rc = -EACCES;
    if (rc == 0)
        rc = host_call(__NR_faccessat, AT_FDCWD, l->path, 1 /* X_OK */);
    memset(out, 0, sizeof *out);
    out->host = true;
    out->attr.mode = st.st_mode;
    out->attr.size_bytes = (uint64_t)st.st_size;
    text_copy(out->path, sizeof out->path, l->path);
    return (int)rc;
}

static void take_head(const struct msg_file_open_reply *reply, struct file_head *head)
{
    head->size = reply->first_size < LINE_SIZE ? reply->first_size : LINE_SIZE;
    memcpy(head->bytes, reply->first, head->size);
    text_copy(head->real, sizeof head->real, reply->path);
}

int files_open_exec(const char *path, struct vnode_file *out, struct file_head *head)
{
    struct thread *t = current();
    struct location l;
    struct msg_file_open request = {
        .flags = O_RDONLY, .execute = 1, .first = LINE_SIZE, .path = l.path};
    struct msg_file_open_reply reply;

    if (text_copy(l.path, PATH_LIMIT, path) >= PATH_LIMIT)
        return -ENAMETOOLONG;
    head->size = 0;
    head->real[0] = 0;
    out->held = (struct held){0};
    request.description = description_new();
    int rc = locate_text(t, 0, &l);
    if (rc == 0)
        rc = (int)LOCATION_CALL(t, &l, 0, FILE_OPEN, file_open, &request, &reply,
                                take_head(&reply, head));
    if (rc < 0)
        return rc;
    if (l.local)
        return open_host_exec(&l, out);
    if (S_ISREG(reply.attr.mode) || S_ISDIR(reply.attr.mode)) { /* else it was not opened */
        out->held = (struct held){reply.attr.id, request.description};
        (void)holds_take(t->process->files->holds, &out->held);
    }
    if (!S_ISREG(reply.attr.mode))
        return -EACCES;
    out->attr = reply.attr;
    out->host = false;
    text_copy(out->path, sizeof out->path, l.path);
    return 0;
}

void files_close_exec(struct vnode_file *file)
{
    if (file->held.file.inode)
        holds_put(current()->process->files->holds, &file->held, false);
    file->held = (struct held){0};
}

/* One request of files_read_at(); the file's path serves where the monitor was started again. */
static long read_some(const struct msg_file_read *request, void *to)
{
    struct msg_file_read_reply reply;
    struct rpc rpc;
    long rc = RPC_CALL(&rpc, STORAGE, FILE_READ, file_read, request, &reply);
    if (rc == 0) {
        rc = reply.data_size < request->length ? reply.data_size : request->length;
        memcpy(to, reply.data, (size_t)rc);
    }
    rpc_end(&rpc);
    return rc;
}

long files_read_at(const struct vnode_file *file, uint64_t offset, void *to, uint32_t size)
{
    struct msg_file_read request = {.file = file->attr.id};
    uint32_t done = 0;

    while (done < size) {
        request.length = size - done < FILE_IO_MAX ? size - done : FILE_IO_MAX;
        request.offset = offset + done;
        long got = read_some(&request, (uint8_t *)to + done);
        if (got == ASH_STALE_FILE) {
            got = remote_reopen_path(&file->held, O_RDONLY, file->path);
            if (got == 0)
                got = read_some(&request, (uint8_t *)to + done);
        }
        if (got < 0)
            return rpc_errno((int)got);
        done += (uint32_t)got;
        if (got < request.length)
            break;
    }
    return done;
}

long files_read_head(const struct vnode_file *file, const struct file_head *head, uint64_t offset,
                     void *to, uint32_t size)
{
    uint64_t end = offset + size;
    if (end > file->attr.size_bytes)
        end = file->attr.size_bytes;
    if (!head->size || end < offset || end > head->size)
        return files_read_at(file, offset, to, size);
    memcpy(to, head->bytes + offset, end - offset);
    return (long)(end - offset);
}

int files_real_path(const char *path, char out[PATH_LIMIT])
{
    struct location l;
    struct msg_path_real request = {.path = l.path};
    struct msg_path_real_reply reply;

    if (text_copy(l.path, PATH_LIMIT, path) >= PATH_LIMIT)
        return -ENAMETOOLONG;
    int rc = locate_text(current(), 0, &l);
    if (rc == 0)
        rc = (int)LOCATION_CALL(current(), &l, 0, PATH_REAL, path_real, &request, &reply,
                                text_copy(out, PATH_LIMIT, reply.path));
    if (rc == 0 && l.local)
        text_copy(out, PATH_LIMIT, l.path);
    return rc;
}

int files_mappable(struct files *f, int fd, struct vnode_file *out)
{
    struct descriptor d;
    int rc = descriptor_get(f, fd, &d);

    if (rc < 0)
        return rc;
    if (!d.file) {
        long flags = host_call(__NR_fcntl, fd, F_GETFL);
        rc = flags < 0 ? -EBADF : (flags & O_ACCMODE) == O_WRONLY ? -EACCES : -ENODEV;
    } else if (d.file->flags & O_PATH) {
        rc = -EBADF;
    } else if (!S_ISREG(d.file->type)) {
        rc = -ENODEV;
    } else if ((d.file->flags & O_ACCMODE) == O_WRONLY) {
        rc = -EACCES;
    } else {
        out->host = false;
        out->read_write = (d.file->flags & O_ACCMODE) == O_RDWR;
        /* A private view shows what shared ones have changed. */
        rc = shared_change(&d.file->id, SEGMENT_READ, 0, UINT64_MAX);
        if (rc == 0)
            rc = remote_stat(&d, &out->attr);
        if (rc == 0)
            rc = descriptor_path(&d, out->path);
    }
    descriptor_put(&d);
    return rc;
}

/* As a file system does it (statx STATX_CHANGE_COOKIE): the change time moves with every write. */
uint64_t file_version(const struct file_attr *attr)
{
    uint64_t v = (uint64_t)attr->ctime_s * 1000000000u + attr->ctime_ns;
    return v ^ (attr->size_bytes << 20);
}

/* Puts the name that the base has now before what follows it. */
static int put_name_of_now(char path[PATH_LIMIT], const struct path_base *base)
{
    char named[PATH_LIMIT];
    struct msg_path_real request = {.base = *base, .path = named};
    struct msg_path_real_reply reply;
    struct rpc rpc;
    memcpy(named, path, base->length);
    named[base->length] = 0;
    int rc = RPC_CALL(&rpc, STORAGE, PATH_REAL, path_real, &request, &reply);
    size_t size = rc == 0 ? strlen(reply.path) : 0;
    if (rc == 0)
        rc = path_make_room(path, base->length, size);
    if (rc == 0)
        memcpy(path, reply.path, size);
    rpc_end(&rpc);
    return (int)rpc_errno(rc);
}

int files_absolute(struct files *f, int dirfd, const char *path, char out[PATH_LIMIT])
{
    struct path_base base;
    if (!path[0])
        return -ENOENT;
    if (text_copy(out, PATH_LIMIT, path) >= PATH_LIMIT)
        return -ENAMETOOLONG;
    if (path[0] == '/')
        return 0;
    int rc = location_put_base(f, dirfd, out, &base);
    if (rc < 0 || !base.directory.inode)
        return rc;
    return base.length ? put_name_of_now(out, &base) : -ENAMETOOLONG;
}
