/*
 * Advisory locks: POSIX record locks, open file description locks, flock.
 *
 * The sComponent keeps them, by owner: the process for POSIX locks, the description for the others.
 * It never lets anyone wait: who wants to wait asks again, with pauses that grow to WAIT_MAX_MS and
 * that a signal ends. It is told who waits for a POSIX lock, and finds deadlocks.
 */
#include "file_lock.h"

#include <linux/fcntl.h>
#include <linux/fs.h>
#include <linux/stat.h>
#include <linux/time_types.h>

#include "../files/remote.h"
#include "file_calls.h"

#define LOCK_SH 1
#define LOCK_EX 2
#define LOCK_NB 4
#define LOCK_UN 8

enum { WAIT_FIRST_MS = 1, WAIT_MAX_MS = 16 };

static long request_lock(const struct descriptor *d, const struct msg_file_lock *request,
                         struct msg_file_lock_reply *reply)
{
    struct rpc rpc;
    long rc = REMOTE_CALL(d, &rpc, FILE_LOCK, file_lock, request, reply);
    rpc_end(&rpc);
    return rc;
}

static long lock_waiting(const struct descriptor *d, struct msg_file_lock *request)
{
    struct msg_file_lock_reply reply;
    int pause_ms = WAIT_FIRST_MS;
    for (;;) {
        request->wait = LOCK_WAIT_BEGIN;
        long rc = request_lock(d, request, &reply);
        if (rc != -EAGAIN)
            return rc;
        struct __kernel_timespec ts = {.tv_nsec = pause_ms * 1000000};
        if (host_call_intr(__NR_nanosleep, &ts, NULL) == -EINTR) {
            request->wait = LOCK_WAIT_END;
            (void)!request_lock(d, request, &reply);
            return -ERESTARTSYS;
        }
        if (pause_ms < WAIT_MAX_MS)
            pause_ms *= 2;
    }
}

/* Where the program's l_whence counts from. */
static long lock_base(struct descriptor *d, short whence, int64_t *base)
{
    struct file_attr attr;
    long rc = 0;

    switch (whence) {
    case SEEK_SET:
        *base = 0;
        return 0;
    case SEEK_CUR:
        *base = offset_begin(d);
        if (*base < 0)
            return *base;
        offset_end(d, -1);
        return 0;
    case SEEK_END:
        rc = remote_stat(d, &attr);
        *base = (int64_t)attr.size_bytes;
        return rc;
    }
    return -EINVAL;
}

/* As fs/locks.c, flock64_to_posix_lock(). */
static long lock_range(struct descriptor *d, const struct flock *lock, struct msg_file_lock *out)
{
    int64_t base, start;
    long rc = lock_base(d, lock->l_whence, &base);
    if (rc < 0)
        return rc;
    if (__builtin_add_overflow(base, lock->l_start, &start))
        return -EOVERFLOW;
    if (start < 0)
        return -EINVAL;
    if (lock->l_len > 0 && lock->l_len - 1 > INT64_MAX - start)
        return -EOVERFLOW;
    if (lock->l_len < 0) {
        if (start + lock->l_len < 0)
            return -EINVAL;
        out->start = (uint64_t)(start + lock->l_len);
        out->length = (uint64_t)-lock->l_len;
    } else {
        out->start = (uint64_t)start;
        out->length = (uint64_t)lock->l_len;
    }
    return 0;
}

static void tell(const struct msg_file_lock_reply *reply, struct flock *lock)
{
    if (reply->kind == LOCK_KIND_NONE) {
        lock->l_type = F_UNLCK;
        return;
    }
    lock->l_type = reply->kind == LOCK_KIND_READ ? F_RDLCK : F_WRLCK;
    lock->l_whence = SEEK_SET;
    lock->l_start = (int64_t)reply->start;
    lock->l_len = (int64_t)reply->length;
    lock->l_pid = (int)reply->pid;
}

/* What the sComponent's next monitor is told, if this one ends. */
static void put_down(struct descriptor *d, const struct msg_file_lock *lock, bool description)
{
    uint64_t last = lock->length ? lock->start + lock->length - 1 : INT64_MAX;
    if (!description) {
        descriptor_lock_changed(d->files, &d->file->id, lock->start, last, lock->kind);
    } else if (offset_begin(d) >= 0) { /* nobody else who shares the description, meanwhile */
        placeholder_lock_changed(d->fd, lock->start, last, lock->kind);
        offset_end(d, -1);
    }
}

static long lock_remote(struct thread *t, struct descriptor *d, uint32_t command,
                        struct flock *lock)
{
    bool description = command >= F_OFD_GETLK && command <= F_OFD_SETLKW;
    bool probe = command == F_GETLK || command == F_OFD_GETLK;
    bool waits = command == F_SETLKW || command == F_OFD_SETLKW;
    uint32_t access = d->file->flags & O_ACCMODE;
    struct msg_file_lock request = {
        .file = d->file->id,
        .pid = (uint32_t)t->process->pid,
        .kind = lock->l_type == F_RDLCK   ? LOCK_KIND_READ
                : lock->l_type == F_WRLCK ? LOCK_KIND_WRITE
                                          : LOCK_KIND_NONE,
        .probe = probe,
    };
    struct msg_file_lock_reply reply;

    if (description)
        request.description = d->file->description;
    if (lock->l_type < F_RDLCK || lock->l_type > F_UNLCK || (probe && lock->l_type == F_UNLCK) ||
        (description && lock->l_pid))
        return -EINVAL;
    long rc = lock_range(d, lock, &request);
    if (rc < 0)
        return rc;
    if (!probe && ((lock->l_type == F_RDLCK && access == O_WRONLY) ||
                   (lock->l_type == F_WRLCK && access == O_RDONLY)))
        return -EBADF;
    if (!probe && !description && request.kind != LOCK_KIND_NONE &&
        !descriptor_note_lock(d->files, &d->file->id))
        return -ENOLCK;
    if (!probe && description)
        d->file->locked = true;
    rc = waits && request.kind != LOCK_KIND_NONE ? lock_waiting(d, &request)
                                                 : request_lock(d, &request, &reply);
    if (rc == 0 && probe)
        tell(&reply, lock);
    else if (rc == 0)
        put_down(d, &request, description);
    return rc;
}

long file_lock(struct thread *t, struct descriptor *d, uint32_t command, uint64_t argument)
{
    struct flock lock;
    long rc;

    if (user_read(&lock, argument, sizeof lock) < 0)
        return -EFAULT;
    if (d->file)
        rc = lock_remote(t, d, command, &lock);
    else
        rc = restartable(host_call_intr(__NR_fcntl, d->fd, command, &lock));
    if (rc == 0 && (command == F_GETLK || command == F_OFD_GETLK) &&
        user_write(argument, &lock, sizeof lock) < 0)
        return -EFAULT;
    return rc;
}

void file_locks_closed(const struct descriptor *d)
{
    struct msg_file_lock request = {
        .file = d->file->id,
        .pid = (uint32_t)current()->process->pid,
        .kind = LOCK_KIND_NONE,
    };
    struct msg_file_lock_reply reply;
    if (!(d->file->flags & O_PATH) && descriptor_take_lock_note(d->files, &d->file->id))
        (void)!request_lock(d, &request, &reply);
}

static long lock_description(struct descriptor *d, uint32_t operation)
{
    struct msg_file_lock request = {.file = d->file->id, .description = d->file->description};
    struct msg_file_lock_reply reply;

    if (d->file->flags & O_PATH)
        return -EBADF;
    switch (operation & ~LOCK_NB) {
    case LOCK_SH:
        request.kind = LOCK_KIND_FLOCK_SHARED;
        break;
    case LOCK_EX:
        request.kind = LOCK_KIND_FLOCK_EXCLUSIVE;
        break;
    case LOCK_UN:
        request.kind = LOCK_KIND_FLOCK_NONE;
        break;
    default:
        return -EINVAL;
    }
    d->file->locked = true;
    bool waits = !(operation & LOCK_NB) && request.kind != LOCK_KIND_FLOCK_NONE;
    /* A conversion gives up what there was, and what comes of it is put down below. */
    placeholder_note_flock(d->fd, LOCK_KIND_FLOCK_NONE);
    long rc = waits ? lock_waiting(d, &request) : request_lock(d, &request, &reply);
    if (rc == 0)
        placeholder_note_flock(d->fd, request.kind);
    return rc;
}

long sys_flock(struct thread *t, const uint64_t a[6])
{
    struct descriptor d;
    long rc = descriptor_get(t->process->files, (int)a[0], &d);
    if (rc < 0)
        return rc;
    rc = d.file ? lock_description(&d, (uint32_t)a[1])
                : restartable(host_call_intr(__NR_flock, d.fd, a[1]));
    descriptor_put(&d);
    return rc;
}
