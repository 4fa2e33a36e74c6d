/*
 * Extended attributes: of an sComponent's files there, of the pComponent's by the host.
 *
 * One request serves each of the twelve calls (FILE_XATTR), by the open file or by path. Values and
 * lists go through bounce memory, whose size is beyond Linux's limits for them.
 */
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/xattr.h>

#include "../files/location.h"
#include "../files/remote.h"
#include "file_calls.h"

struct xattr {
    struct thread *t;
    enum xattr_op op;
    char name[XATTR_NAME_MAX + 1];
    uint8_t *value; /* bounce memory: what is set, or room for what is read */
    uint64_t size;  /* bytes of it; 0: only the size is asked for */
    uint32_t flags;
};

static long host_xattr(const struct xattr *x, const char *path, bool nofollow)
{
    switch (x->op) {
    case XATTR_GET:
        return host_call(nofollow ? __NR_lgetxattr : __NR_getxattr, path, x->name, x->value,
                         x->size);
    case XATTR_SET:
        return host_call(nofollow ? __NR_lsetxattr : __NR_setxattr, path, x->name, x->value,
                         x->size, x->flags);
    case XATTR_LIST:
        return host_call(nofollow ? __NR_llistxattr : __NR_listxattr, path, x->value, x->size);
    case XATTR_REMOVE:
        return host_call(nofollow ? __NR_lremovexattr : __NR_removexattr, path, x->name);
    }
    return -EINVAL;
}

/* One request; the result is a size, or as RPC_CALL's. */
static long ask(const struct xattr *x, struct msg_file_xattr *request, struct rpc *rpc)
{
    struct msg_file_xattr_reply reply;
    struct rpc_piece piece = {x->value, 0};
    request->op = (uint8_t)x->op;
    request->flags = x->flags;
    request->size = (uint32_t)x->size;
    request->name = x->name;
    if (x->op == XATTR_SET) {
        piece.size = (uint32_t)x->size;
        request->value = x->value;
        request->value_size = (uint32_t)x->size;
    }
    int rc = rpc_begin(rpc, COMPONENT_STORAGE);
    if (rc == 0)
        rc = msg_file_xattr_encode(request, rpc->request, RPC_REQUEST_MAX);
    if (rc >= 0)
        rc = rpc_exchange(rpc, OP_FILE_XATTR, rc, &piece, piece.size > 0);
    if (rc == 0)
        rc = msg_file_xattr_reply_decode(&reply, rpc->reply, rpc->reply_size);
    if (rc < 0)
        return rc;
    if (reply.value_size > x->size)
        return x->size ? -EIO : (long)reply.size;
    memcpy(x->value, reply.value, reply.value_size);
    return (long)reply.size;
}

static long of_location(struct xattr *x, struct location *l)
{
    long rc;
    do {
        struct msg_file_xattr request = {.nofollow = l->nofollow, .base = l->base, .path = l->path};
        struct rpc rpc;
        if (l->local)
            return host_xattr(x, l->path, l->nofollow);
        rc = ask(x, &request, &rpc);
        if (rc < 0)
            rc = location_settle(x->t, l, &rpc, (int)rc);
        rpc_end(&rpc);
    } while (rc == LOCATION_MOVED && l->local);
    return rc;
}

static long of_descriptor(struct xattr *x, int fd)
{
    struct descriptor d;
    struct rpc rpc;
    char link[32];
    long rc = descriptor_get(x->t->process->files, fd, &d);
    if (rc < 0)
        return rc;
    if (!d.file) {
        text_format(link, sizeof link, "/proc/self/fd/%d", fd);
        rc = host_call(__NR_fcntl, fd, F_GETFL);
        rc = rc < 0 ? rc : rc & O_PATH ? -EBADF : host_xattr(x, link, false);
    } else if (d.file->flags & O_PATH) {
        rc = -EBADF;
    } else {
        struct msg_file_xattr request = {.file = d.file->id, .path = ""};
        rc = ask(x, &request, &rpc);
        rpc_end(&rpc);
        if (rc == ASH_STALE_FILE && (rc = remote_reopen(&d)) == 0) {
            rc = ask(x, &request, &rpc);
            rpc_end(&rpc);
        }
        rc = rc < 0 ? rpc_errno((int)rc) : rc;
    }
    descriptor_put(&d);
    return rc;
}

enum how { BY_PATH, BY_LINK, BY_DESCRIPTOR };

/* The file's argument, and what the call says to do; `out` is where what is read goes. */
static long apply(struct xattr *x, enum how how, uint64_t file, uint64_t out)
{
    struct location l;
    long rc;
    if (how == BY_DESCRIPTOR) {
        rc = of_descriptor(x, (int)file);
    } else {
        rc = locate(x->t, (uint64_t)AT_FDCWD, file, how == BY_LINK ? LOCATE_NOFOLLOW : 0, &l);
        if (rc == 0)
            rc = of_location(x, &l);
    }
    if (rc > 0 && out && x->size && user_write(out, x->value, (size_t)rc) < 0)
        return -EFAULT;
    return rc;
}

static long read_name(struct xattr *x, uint64_t name)
{
    long length = user_read_text(x->name, name, sizeof x->name);
    return length == -EFAULT ? -EFAULT : length <= 0 ? -ERANGE : 0;
}

static long start(struct xattr *x, struct thread *t, enum xattr_op op)
{
    x->t = t;
    x->op = op;
    x->name[0] = 0;
    x->flags = 0;
    x->size = 0;
    x->value = thread_bounce(t);
    return x->value ? 0 : -ENOMEM;
}

static long get(struct thread *t, const uint64_t a[6], enum how how)
{
    struct xattr x;
    long rc = start(&x, t, XATTR_GET);
    if (rc == 0)
        rc = read_name(&x, a[1]);
    x.size = a[3] > XATTR_SIZE_MAX ? XATTR_SIZE_MAX : a[3];
    return rc < 0 ? rc : apply(&x, how, a[0], a[2]);
}

static long set(struct thread *t, const uint64_t a[6], enum how how)
{
    struct xattr x;
    long rc = start(&x, t, XATTR_SET);
    if (rc < 0)
        return rc;
    x.flags = (uint32_t)a[4];
    x.size = a[3];
    if (x.flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
        return -EINVAL;
    rc = read_name(&x, a[1]);
    if (rc < 0)
        return rc;
    if (x.size > XATTR_SIZE_MAX)
        return -E2BIG;
    if (user_read(x.value, a[2], x.size) < 0)
        return -EFAULT;
    return apply(&x, how, a[0], 0);
}

static long list(struct thread *t, const uint64_t a[6], enum how how)
{
    struct xattr x;
    long rc = start(&x, t, XATTR_LIST);
    x.size = a[2] > XATTR_LIST_MAX ? XATTR_LIST_MAX : a[2];
    return rc < 0 ? rc : apply(&x, how, a[0], a[1]);
}

static long take_away(struct thread *t, const uint64_t a[6], enum how how)
{
    struct xattr x;
    long rc = start(&x, t, XATTR_REMOVE);
    if (rc == 0)
        rc = read_name(&x, a[1]);
    return rc < 0 ? rc : apply(&x, how, a[0], 0);
}

long sys_getxattr(struct thread *t, const uint64_t a[6])
{
    return get(t, a, BY_PATH);
}

long sys_lgetxattr(struct thread *t, const uint64_t a[6])
{
    return get(t, a, BY_LINK);
}

long sys_fgetxattr(struct thread *t, const uint64_t a[6])
{
    return get(t, a, BY_DESCRIPTOR);
}

long sys_setxattr(struct thread *t, const uint64_t a[6])
{
    return set(t, a, BY_PATH);
}

long sys_lsetxattr(struct thread *t, const uint64_t a[6])
{
    return set(t, a, BY_LINK);
}

long sys_fsetxattr(struct thread *t, const uint64_t a[6])
{
    return set(t, a, BY_DESCRIPTOR);
}

long sys_listxattr(struct thread *t, const uint64_t a[6])
{
    return list(t, a, BY_PATH);
}

long sys_llistxattr(struct thread *t, const uint64_t a[6])
{
    return list(t, a, BY_LINK);
}

long sys_flistxattr(struct thread *t, const uint64_t a[6])
{
    return list(t, a, BY_DESCRIPTOR);
}

long sys_removexattr(struct thread *t, const uint64_t a[6])
{
    return take_away(t, a, BY_PATH);
}

long sys_lremovexattr(struct thread *t, const uint64_t a[6])
{
    return take_away(t, a, BY_LINK);
}

long sys_fremovexattr(struct thread *t, const uint64_t a[6])
{
    return take_away(t, a, BY_DESCRIPTOR);
}
