/* See remote.h. */
#include "remote.h"

#include <linux/fcntl.h>
#include <linux/fs.h>

#include "../entry/process.h"
#include "../entry/thread.h"
#include "../host/host.h"
#include "opened.h"
#include "../mm/shared.h"

static int reopen(const struct held *held, uint32_t flags, uint8_t flock, const char *path)
{
    struct msg_file_reopen request = {.file = held->file,
                                      .again = 1,
                                      .description = held->description,
                                      .flags = flags,
                                      .flock = flock,
                                      .path = path};
    struct msg_file_reopen_reply reply;
    struct rpc rpc;
    int rc = RPC_CALL(&rpc, STORAGE, FILE_REOPEN, file_reopen, &request, &reply);
    rpc_end(&rpc);
    if (rc == -EAGAIN) /* somebody else has its flock now */
        return -EIO;
    return rc == ASH_STALE_FILE || rc == ASH_ELSEWHERE || rc == -ENOENT ? -ESTALE
                                                                        : (int)rpc_errno(rc);
}

int remote_reopen_path(const struct held *held, uint32_t flags, const char *path)
{
    return reopen(held, flags, LOCK_KIND_FLOCK_NONE, path);
}

static int lock_again(const struct msg_file_lock *like, const struct kept_locks *kept)
{
    int rc = kept->lost ? -EIO : 0;
    for (uint32_t i = 0; i < kept->count && rc == 0; i++) {
        const struct kept_lock *l = &kept->locks[i];
        struct msg_file_lock request = *like;
        struct msg_file_lock_reply reply;
        struct rpc rpc;
        request.kind = (uint8_t)l->kind;
        request.start = l->first;
        request.length = l->last == INT64_MAX ? 0 : l->last - l->first + 1;
        rc = RPC_CALL(&rpc, STORAGE, FILE_LOCK, file_lock, &request, &reply);
        rpc_end(&rpc);
    }
    return rc;
}

/* What was opened again is let go of: the next request tries once more. */
static void give_up(const struct held *held, const struct msg_file_lock *posix)
{
    struct msg_file_release request = {.files = held, .files_count = 1};
    struct msg_file_release_reply reply;
    struct msg_file_lock none = *posix;
    struct msg_file_lock_reply unlocked;
    struct rpc rpc;
    none.kind = LOCK_KIND_NONE;
    (void)!RPC_CALL(&rpc, STORAGE, FILE_LOCK, file_lock, &none, &unlocked);
    rpc_end(&rpc);
    (void)!RPC_CALL(&rpc, STORAGE, FILE_RELEASE, file_release, &request, &reply);
    rpc_end(&rpc);
}

int remote_reopen(const struct descriptor *d)
{
    char path[PATH_LIMIT];
    struct kept_locks kept;
    const struct held held = held_of(d->file);
    const struct msg_file_lock posix = {.file = held.file,
                                        .pid = (uint32_t)current()->process->pid};
    const struct msg_file_lock ofd = {.file = held.file, .description = held.description};
    int rc = descriptor_path(d, path);
    if (rc == 0)
        rc = reopen(&held, d->file->flags, placeholder_state(d->fd).flock, path);
    if (rc < 0)
        return rc;
    if (descriptor_kept_locks(d->files, &held.file, &kept))
        rc = lock_again(&posix, &kept);
    if (rc == 0 && placeholder_kept_locks(d->fd, &kept))
        rc = lock_again(&ofd, &kept);
    if (rc < 0)
        give_up(&held, &posix);
    return rc < 0 ? -EIO : 0;
}

int remote_stat(const struct descriptor *d, struct file_attr *out)
{
    struct msg_file_stat request = {.file = d->file->id};
    struct msg_file_stat_reply reply;
    struct rpc rpc;
    const struct opened *known = opened_of(d);
    if (known) {
        *out = known->attr;
        return 0;
    }
    int rc = REMOTE_CALL(d, &rpc, FILE_STAT, file_stat, &request, &reply);
    if (rc == 0)
        *out = reply.attr;
    rpc_end(&rpc);
    return rc;
}

static int write_once(const struct msg_file_write *request, struct msg_file_write_reply *reply)
{
    struct rpc_piece piece = {request->data, request->data_size};
    struct rpc rpc;
    int rc = rpc_begin(&rpc, COMPONENT_STORAGE);
    if (rc == 0)
        rc = msg_file_write_encode(request, rpc.request, RPC_REQUEST_MAX);
    if (rc >= 0)
        rc = rpc_exchange(&rpc, OP_FILE_WRITE, rc, &piece, 1);
    if (rc == 0)
        rc = msg_file_write_reply_decode(reply, rpc.reply, rpc.reply_size);
    rpc_end(&rpc);
    return rc;
}

long remote_write(const struct descriptor *d, uint64_t offset, bool append, bool sync,
                  const void *data, uint32_t size, uint64_t *end)
{
    struct msg_file_write request = {
        .file = d->file->id,
        .offset = offset,
        .append = append,
        .sync = sync,
        .data = data,
        .data_size = size,
    };
    struct msg_file_write_reply reply;
    int rc = write_once(&request, &reply);
    if (rc == ASH_STALE_FILE) {
        rc = remote_reopen(d);
        if (rc == 0)
            rc = write_once(&request, &reply);
    }
    if (rc < 0)
        return rpc_errno(rc);
    *end = reply.end;
    holds_watched(d->files->holds, reply.watched);
    rc = shared_change(&d->file->id, SEGMENT_WRITTEN, reply.end - reply.written, reply.written);
    return rc < 0 ? rc : (long)reply.written;
}

long remote_read(const struct descriptor *d, uint64_t offset, void *to, uint32_t size)
{
    struct msg_file_read request = {.file = d->file->id, .offset = offset, .length = size};
    struct msg_file_read_reply reply;
    struct rpc rpc;
    const struct opened *known = opened_of(d);
    if (known && (offset + size <= known->size || known->size == known->attr.size_bytes)) {
        uint64_t left = offset < known->size ? known->size - offset : 0;
        if (left < size)
            size = (uint32_t)left;
        memcpy(to, known->bytes + (left ? offset : 0), size);
        return size;
    }
    long rc = shared_change(&d->file->id, SEGMENT_READ, offset, size);
    if (rc < 0)
        return rc;
    rc = REMOTE_CALL(d, &rpc, FILE_READ, file_read, &request, &reply);
    if (rc == 0) {
        rc = reply.data_size < size ? reply.data_size : size;
        memcpy(to, reply.data, (size_t)rc);
    }
    rpc_end(&rpc);
    return rc;
}

int remote_sync(const struct descriptor *d, enum sync_kind kind)
{
    struct msg_file_sync request = {.file = d->file->id, .kind = (uint8_t)kind};
    struct msg_file_sync_reply reply;
    struct rpc rpc;
    int rc = shared_change(&d->file->id, SEGMENT_READ, 0, UINT64_MAX);
    if (rc < 0)
        return rc;
    rc = REMOTE_CALL(d, &rpc, FILE_SYNC, file_sync, &request, &reply);
    rpc_end(&rpc);
    return rc;
}

/*
 * Threads of this process exclude each other with the mutex; processes that share the description
 * with a POSIX lock on the placeholder itself, which its host drops if one of them is killed.
 */
static void host_lock(struct descriptor *d, short type)
{
    struct flock lock = {.l_type = type};
    while (host_call(__NR_fcntl, d->fd, F_SETLKW, &lock) == -EINTR)
        ;
}

int64_t offset_begin(struct descriptor *d)
{
    mutex_lock(&d->file->offset);
    if (d->file->shared)
        host_lock(d, F_WRLCK);
    int64_t offset = host_call(__NR_lseek, d->fd, 0, SEEK_CUR);
    if (offset < 0)
        offset_end(d, -1);
    return offset < 0 ? -EBADF : offset;
}

void offset_end(struct descriptor *d, int64_t offset)
{
    if (offset >= 0 && descriptor_current(d))
        host_call(__NR_lseek, d->fd, offset, SEEK_SET);
    if (d->file->shared)
        host_lock(d, F_UNLCK);
    mutex_unlock(&d->file->offset);
}
