/*
 * ioctl: what an argument points to is known from the request's own number (_IOC), or, for the old
 * ones of terminals and sockets, from the table here.
 */
#include <asm/ioctls.h>
#include <linux/fcntl.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/ioctl.h>
#include <linux/kd.h>
#include <linux/sockios.h>
#include <linux/stat.h>

#include "../files/remote.h"
#include "../files/watch.h"
#include "file_calls.h"

enum {
    TERMIOS = 36,
    TERMIO = 18,
    WINSIZE = 8,
    IFREQ = 40,
    IFCONF = 16,
    TIMES = 16,
};

struct old_request {
    uint32_t first, last;
    uint8_t direction; /* _IOC_READ: written by the host; _IOC_WRITE: read by it; 0: a value */
    uint8_t size;
};

static const struct old_request old_requests[] = {
    {TCGETS, TCGETS, _IOC_READ, TERMIOS},
    {TCSETS, TCSETSF, _IOC_WRITE, TERMIOS},
    {TCGETA, TCGETA, _IOC_READ, TERMIO},
    {TCSETA, TCSETAF, _IOC_WRITE, TERMIO},
    {TIOCGPGRP, TIOCGPGRP, _IOC_READ, 4},
    {TIOCSPGRP, TIOCSPGRP, _IOC_WRITE, 4},
    {TIOCOUTQ, TIOCOUTQ, _IOC_READ, 4},
    {TIOCSTI, TIOCSTI, _IOC_WRITE, 1},
    {TIOCGWINSZ, TIOCGWINSZ, _IOC_READ, WINSIZE},
    {TIOCSWINSZ, TIOCSWINSZ, _IOC_WRITE, WINSIZE},
    {TIOCMGET, TIOCMGET, _IOC_READ, 4},
    {TIOCMBIS, TIOCMSET, _IOC_WRITE, 4},
    {TIOCGSOFTCAR, TIOCGSOFTCAR, _IOC_READ, 4},
    {TIOCSSOFTCAR, TIOCSSOFTCAR, _IOC_WRITE, 4},
    {FIONREAD, FIONREAD, _IOC_READ, 4},
    {TIOCPKT, FIONBIO, _IOC_WRITE, 4},
    {TIOCSETD, TIOCSETD, _IOC_WRITE, 4},
    {TIOCGETD, TIOCGETD, _IOC_READ, 4},
    {TIOCGSID, TIOCGSID, _IOC_READ, 4},
    {FIOASYNC, FIOASYNC, _IOC_WRITE, 4},
    {FIOQSIZE, FIOQSIZE, _IOC_READ, 8},
    {FIGETBSZ, FIGETBSZ, _IOC_READ, 4},
    {BLKROGET, BLKROGET, _IOC_READ, 4},
    {BLKGETSIZE, BLKGETSIZE, _IOC_READ, 8},
    {BLKSSZGET, BLKSSZGET, _IOC_READ, 4},
    {BLKPBSZGET, BLKPBSZGET, _IOC_READ, 4},
    {KDGKBTYPE, KDGKBTYPE, _IOC_READ, 1},
    {KDGETMODE, KDGETMODE, _IOC_READ, 8},
    {FIOSETOWN, SIOCSPGRP, _IOC_WRITE, 4},
    {FIOGETOWN, SIOCATMARK, _IOC_READ, 4},
    {SIOCGSTAMP_OLD, SIOCGSTAMPNS_OLD, _IOC_READ, TIMES},
    {SIOCGIFNAME, SIOCGIFNAME, _IOC_READ | _IOC_WRITE, IFREQ},
    {SIOCGIFFLAGS, SIOCGIFCOUNT, _IOC_READ | _IOC_WRITE, IFREQ},
};

/* ---- files of an sComponent ---- */

static long answer(uint64_t address, int value)
{
    return user_write(address, &value, sizeof value);
}

static long unread_bytes(struct descriptor *d, uint64_t address)
{
    struct file_attr attr;
    long rc = remote_stat(d, &attr);
    if (rc < 0)
        return rc;
    int64_t offset = offset_begin(d);
    if (offset < 0)
        return offset;
    offset_end(d, -1);
    return answer(address, (int)((int64_t)attr.size_bytes - offset));
}

static long set_nonblock(struct descriptor *d, uint64_t address)
{
    int on;
    if (user_read(&on, address, sizeof on) < 0)
        return -EFAULT;
    uint32_t flags = placeholder_host_flags(d->fd) & ~O_NONBLOCK;
    return host_call(__NR_fcntl, d->fd, F_SETFL, on ? flags | O_NONBLOCK : flags);
}

static long remote_ioctl(struct descriptor *d, uint32_t request, uint64_t argument)
{
    struct file_attr attr;
    long rc;

    if (d->file->flags & O_PATH)
        return -EBADF;
    switch (request) {
    case FIOCLEX:
    case FIONCLEX:
        return host_call(__NR_ioctl, d->fd, request, 0);
    case FIONBIO:
        return set_nonblock(d, argument);
    case FIONREAD:
        return S_ISREG(d->file->type) ? unread_bytes(d, argument) : -ENOTTY;
    case FIGETBSZ:
        rc = remote_stat(d, &attr);
        return rc < 0 ? rc : answer(argument, (int)attr.block_size);
    case FIOQSIZE:
        rc = remote_stat(d, &attr);
        return rc < 0 ? rc : user_write(argument, &attr.size_bytes, sizeof attr.size_bytes);
    case FICLONE:
    case FICLONERANGE:
    case FIDEDUPERANGE:
    case FS_IOC_FIEMAP:
        return -EOPNOTSUPP;
    }
    return -ENOTTY;
}

/* ---- the host's ---- */

/* A list of interfaces: the one request here whose argument points on. */
static long list_interfaces(struct thread *t, int fd, uint64_t argument)
{
    struct {
        int size, hole;
        uint64_t buffer;
    } conf;
    _Static_assert(sizeof conf == IFCONF, "struct ifconf");
    uint8_t *bounce = thread_bounce(t);

    if (!bounce)
        return -ENOMEM;
    if (user_read(&conf, argument, sizeof conf) < 0)
        return -EFAULT;
    uint64_t to = conf.buffer;
    int room = conf.size;
    if (room < 0)
        return -EINVAL;
    if (room > BOUNCE_SIZE)
        conf.size = BOUNCE_SIZE;
    conf.buffer = to ? (uint64_t)bounce : 0;
    long rc = host_call(__NR_ioctl, fd, SIOCGIFCONF, &conf);
    conf.buffer = to;
    if (rc < 0)
        return rc;
    if (to && conf.size > 0 && user_write(to, bounce, (size_t)conf.size) < 0)
        return -EFAULT;
    return user_write(argument, &conf, sizeof conf);
}

static void describe(uint32_t request, uint32_t *direction, uint32_t *size)
{
    *direction = _IOC_DIR(request);
    *size = _IOC_SIZE(request);
    for (size_t i = 0; i < sizeof old_requests / sizeof *old_requests; i++) {
        if (request >= old_requests[i].first && request <= old_requests[i].last) {
            *direction = old_requests[i].direction;
            *size = old_requests[i].size;
            return;
        }
    }
}

static long host_ioctl(struct thread *t, struct descriptor *d, uint32_t request, uint64_t argument)
{
    uint32_t direction, size;
    uint8_t *bounce = thread_bounce(t);

    if (request == SIOCGIFCONF)
        return list_interfaces(t, d->fd, argument);
    describe(request, &direction, &size);
    if (!size || direction == _IOC_NONE)
        return host_call_intr(__NR_ioctl, d->fd, request, argument);
    if (!bounce)
        return -ENOMEM;
    /* Filled in every case: some hosts' answers are shorter than their number says. */
    if (user_read(bounce, argument, size) < 0) {
        if (direction & _IOC_WRITE)
            return -EFAULT;
        memset(bounce, 0, size);
    }
    long rc = host_call_intr(__NR_ioctl, d->fd, request, bounce);
    if (rc >= 0 && direction & _IOC_READ && user_write(argument, bounce, size) < 0)
        return -EFAULT;
    return rc;
}

long sys_ioctl(struct thread *t, const uint64_t a[6])
{
    struct files *f = t->process->files;
    struct descriptor d;
    uint32_t request = (uint32_t)a[1];
    long rc = descriptor_get(f, (int)a[0], &d);
    if (rc < 0)
        return rc;
    if (d.kind == ENTRY_HOST_WATCH && request == FIONREAD) {
        rc = watch_unread(t, &d);
        if (rc >= 0)
            rc = answer(a[2], (int)rc);
    } else {
        rc = d.file ? remote_ioctl(&d, request, a[2]) : host_ioctl(t, &d, request, a[2]);
    }
    if (rc >= 0 && !d.file && request == TIOCGPTPEER)
        rc = files_new_host(f, rc);
    descriptor_put(&d);
    return restartable(rc);
}
