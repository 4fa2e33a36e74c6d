/*
 * inotify. The path is opened here, at the sComponent or on the pComponent's host, so that it is
 * looked up as any other of this process; what was reached is then watched by the node.
 */
#include <linux/fcntl.h>
#include <linux/inotify.h>
#include <linux/poll.h>

#include "../files/location.h"
#include "../files/holds.h"
#include "../files/watch.h"
#include "../rpc/node.h"
#include "file_calls.h"
#include "user_iov.h"

#define MASK_KNOWN                                                                                 \
    (IN_ALL_EVENTS | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED | IN_ONLYDIR | IN_DONT_FOLLOW |       \
     IN_EXCL_UNLINK | IN_MASK_CREATE | IN_MASK_ADD | IN_ISDIR | IN_ONESHOT)

/*
 * INOTIFY_CALL(t, &sent, ADD, add, &request, &reply, body, room): one request, encoded in `body` of
 * monitor memory, where the reply's bulk then lies. 0 or a negative errno.
 */
#define INOTIFY_CALL(t, sent, OP, name, request, reply, body, room)                                \
    ({                                                                                             \
        int fds_[NODE_FDS_MAX], count_ = 0;                                                        \
        long rc_ = msg_inotify_##name##_encode((request), (body), (room));                         \
        if (rc_ >= 0)                                                                              \
            rc_ = node_call_sending((t)->process, OP_INOTIFY_##OP, (body), (size_t)rc_, (room),    \
                                    (sent), fds_, &count_);                                        \
        if (rc_ >= 0)                                                                              \
            rc_ = msg_inotify_##name##_reply_decode((reply), (body), (size_t)rc_);                 \
        while (count_ > 0)                                                                         \
            host_call(__NR_close, fds_[--count_]);                                                 \
        rc_ < 0 ? rpc_errno((int)rc_) : 0;                                                         \
    })

bool watch_is(int fd)
{
    long flags = host_call(__NR_fcntl, fd, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) == O_RDONLY && (flags & WATCH_MARK) == WATCH_MARK;
}

/* ---- making one ---- */

static long make(struct thread *t, uint32_t flags)
{
    struct files *f = t->process->files;
    struct msg_inotify_open request = {.nonblock = (flags & IN_NONBLOCK) != 0};
    uint8_t body[64];
    int fds[NODE_FDS_MAX], count = 0;
    long rc = msg_inotify_open_encode(&request, body, sizeof body);
    if (rc >= 0)
        rc = node_call(t->process, OP_INOTIFY_OPEN, body, (size_t)rc, sizeof body, fds, &count);
    if (rc < 0)
        return rpc_errno((int)rc);
    long fd = -EIO;
    if (count == 1)
        fd = host_call(__NR_fcntl, fds[0], flags & IN_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
    while (count > 0)
        host_call(__NR_close, fds[--count]);
    fd = files_new_host(f, fd);
    if (fd >= 0)
        descriptor_install_host(f, (int)fd, ENTRY_HOST_WATCH);
    return fd;
}

long sys_inotify_init(struct thread *t, const uint64_t a[6])
{
    return make(t, 0);
}

long sys_inotify_init1(struct thread *t, const uint64_t a[6])
{
    uint32_t flags = (uint32_t)a[0];
    return flags & ~(uint32_t)(IN_CLOEXEC | IN_NONBLOCK) ? -EINVAL : make(t, flags);
}

/* ---- what is watched ---- */

static long ask(struct thread *t, int fd, int local_fd, const struct msg_inotify_add *request)
{
    struct node_fds sent = {.fds = {fd, local_fd}, .count = local_fd >= 0 ? 2 : 1};
    struct msg_inotify_add_reply reply;
    uint8_t *body = thread_bounce(t);
    if (!body)
        return -ENOMEM;
    long rc = INOTIFY_CALL(t, &sent, ADD, add, request, &reply, body, BOUNCE_SIZE);
    return rc == -ESTALE ? -ENOENT : rc < 0 ? rc : (long)reply.wd;
}

static uint32_t open_flags(uint32_t mask)
{
    return O_PATH | (mask & IN_DONT_FOLLOW ? O_NOFOLLOW : 0) |
           (mask & IN_ONLYDIR ? O_DIRECTORY : 0);
}

/* A file of the pComponent. */
static long add_local(struct thread *t, int fd, const char *path, uint32_t mask)
{
    struct msg_inotify_add request = {.mask = mask, .path = ""};
    long local_fd = host_call(__NR_open, path, open_flags(mask) | O_CLOEXEC);
    if (local_fd < 0)
        return local_fd;
    long rc = host_call(__NR_faccessat2, local_fd, "", 4 /* R_OK */, AT_EACCESS | AT_EMPTY_PATH);
    if (rc == 0)
        rc = ask(t, fd, (int)local_fd, &request);
    host_call(__NR_close, local_fd);
    return rc;
}

/* The file of a descriptor of the program's, which has it open. */
static long add_opened(struct thread *t, int fd, int opened, uint32_t mask)
{
    char path[PATH_LIMIT];
    struct descriptor d;
    struct msg_inotify_add request = {.mask = mask, .path = path};
    long rc = descriptor_get(t->process->files, opened, &d);
    if (rc < 0)
        return -ENOENT;
    rc = d.file ? descriptor_path(&d, path) : -ENOENT;
    if (rc == 0) {
        request.file = d.file->id;
        rc = ask(t, fd, -1, &request);
    }
    descriptor_put(&d);
    return rc;
}

/* A file of the sComponent: open there while it is asked for, so that it stays what it is. */
static long add_path(struct thread *t, int fd, struct location *l, uint32_t mask)
{
    struct holds *holds = t->process->files->holds;
    char path[PATH_LIMIT];
    struct msg_file_open open = {
        .flags = open_flags(mask), .description = description_new(), .path = l->path};
    struct msg_file_open_reply opened;
    struct msg_inotify_add request = {.mask = mask};
    /* What was closed before is closed before it is watched. */
    holds_watched(holds, true);
    long rc = LOCATION_CALL(t, l, LOCATION_MOVED, FILE_OPEN, file_open, &open, &opened,
                            text_copy(path, sizeof path, opened.path));
    if (rc == LOCATION_MOVED)
        return add_local(t, fd, l->path, mask);
    if (rc < 0)
        return rc;
    request.file = opened.attr.id;
    request.path = path[0] ? path : l->path;
    rc = ask(t, fd, -1, &request);
    const struct held held = {request.file, open.description};
    (void)holds_take(holds, &held);
    holds_put(holds, &held, true);
    return rc;
}

/* The node watches, with the rights of its own user: one who has less must be able to read it. */
static long readable(struct thread *t, struct location *l)
{
    struct msg_path_access request = {
        .mode = 4 /* R_OK */, .nofollow = l->nofollow, .path = l->path};
    struct msg_path_access_reply reply;
    return t->identity && !l->local
               ? LOCATION_CALL(t, l, 0, PATH_ACCESS, path_access, &request, &reply, )
               : 0;
}

static long add(struct thread *t, struct descriptor *d, uint64_t path, uint32_t mask)
{
    struct location l;
    long rc = locate(t, (uint64_t)AT_FDCWD, path, mask & IN_DONT_FOLLOW ? LOCATE_NOFOLLOW : 0, &l);
    if (rc == 0)
        rc = readable(t, &l);
    if (rc < 0)
        return rc;
    if (l.local)
        return add_local(t, d->fd, l.path, mask);
    return l.fd >= 0 ? add_opened(t, d->fd, l.fd, mask) : add_path(t, d->fd, &l, mask);
}

long sys_inotify_add_watch(struct thread *t, const uint64_t a[6])
{
    struct descriptor d;
    uint32_t mask = (uint32_t)a[2];
    if (!mask || mask & ~MASK_KNOWN)
        return -EINVAL;
    long rc = descriptor_get(t->process->files, (int)a[0], &d);
    if (rc < 0)
        return rc;
    bool both = mask & IN_MASK_ADD && mask & IN_MASK_CREATE;
    rc = both || d.kind != ENTRY_HOST_WATCH ? -EINVAL : add(t, &d, a[1], mask);
    descriptor_put(&d);
    return rc;
}

long sys_inotify_rm_watch(struct thread *t, const uint64_t a[6])
{
    struct descriptor d;
    long rc = descriptor_get(t->process->files, (int)a[0], &d);
    if (rc < 0)
        return rc;
    struct node_fds sent = {.fds = {d.fd}, .count = 1};
    struct msg_inotify_remove request = {.wd = (uint32_t)a[1]};
    struct msg_inotify_remove_reply reply;
    uint8_t body[64];
    rc = -EINVAL;
    if (d.kind == ENTRY_HOST_WATCH)
        rc = INOTIFY_CALL(t, &sent, REMOVE, remove, &request, &reply, body, sizeof body);
    descriptor_put(&d);
    return rc;
}

/* ---- reading ---- */

/* Takes events, into the thread's bounce memory. */
static long fetch(struct thread *t, int fd, uint64_t size, struct msg_inotify_read_reply *reply)
{
    uint8_t *body = thread_bounce(t);
    struct node_fds sent = {.fds = {fd}, .count = 1};
    struct msg_inotify_read request = {.size =
                                           size < WATCH_READ_MAX ? (uint32_t)size : WATCH_READ_MAX};
    if (!body)
        return -ENOMEM;
    return INOTIFY_CALL(t, &sent, READ, read, &request, reply, body, BOUNCE_SIZE);
}

long watch_read(struct thread *t, struct descriptor *d, struct user_iov *v, int64_t offset)
{
    struct msg_inotify_read_reply reply;
    struct pollfd readable = {.fd = d->fd, .events = POLLIN};
    if (offset >= 0)
        return -ESPIPE;
    for (;;) {
        long rc = fetch(t, d->fd, v->total, &reply);
        if (rc < 0)
            return rc;
        if (reply.events_size)
            break;
        if (reply.left)
            return -EINVAL; /* no room for the next one */
        if (host_call(__NR_fcntl, d->fd, F_GETFL) & O_NONBLOCK)
            return -EAGAIN;
        rc = host_call_intr(__NR_poll, &readable, 1, -1);
        if (rc < 0)
            return rc;
    }
    size_t put = user_iov_put(v, reply.events, reply.events_size);
    return put < reply.events_size ? -EFAULT : (long)put;
}

/* Takes none. The bounce memory is left alone: a caller may be using it. */
long watch_unread(struct thread *t, struct descriptor *d)
{
    struct node_fds sent = {.fds = {d->fd}, .count = 1};
    struct msg_inotify_read request = {};
    struct msg_inotify_read_reply reply;
    uint8_t body[64];
    long rc = INOTIFY_CALL(t, &sent, READ, read, &request, &reply, body, sizeof body);
    return rc < 0 ? rc : (long)reply.left;
}

void watch_catch_up(struct thread *t, int fd)
{
    struct files *f = t->process->files;
    struct descriptor d;
    if (!__atomic_load_n(&f->watching, __ATOMIC_RELAXED) || descriptor_get(f, fd, &d) < 0)
        return;
    if (d.kind == ENTRY_HOST_WATCH)
        (void)!watch_unread(t, &d); /* the look itself will tell */
    descriptor_put(&d);
}
