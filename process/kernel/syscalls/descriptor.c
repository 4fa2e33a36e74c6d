/* Calls on descriptors as such: close, dup, fcntl but for its locks. */
#include "../files/descriptor.h"

#include <linux/close_range.h>
#include <linux/fcntl.h>
#include <linux/stat.h>

#include "../files/remote.h"
#include "../files/watch.h"
#include "../rpc/node.h"
#include "file_calls.h"
#include "file_io.h"
#include "file_lock.h"
#include "host_calls.h"

/* ---- close ---- */

/* What the end of a number does to the file that it referred to. See descriptor_close_begin(). */
static uint32_t let_go(struct files *f, int fd)
{
    struct descriptor d;
    if (descriptor_may_have_locks(f) && descriptor_get(f, fd, &d) == 0) {
        if (d.file)
            file_locks_closed(&d);
        descriptor_put(&d);
    }
    return descriptor_close_begin(f, fd);
}

long sys_close(struct thread *t, const uint64_t a[6])
{
    struct files *f = t->process->files;
    struct descriptor d;
    int fd = (int)a[0];

    /* Looked at even when it is closed unused: what it was opened with, if inherited, is held. */
    int rc = descriptor_get(f, fd, &d);
    if (rc < 0)
        return rc;
    descriptor_put(&d);
    uint32_t changes = let_go(f, fd);
    long result = host_call(__NR_close, fd);
    descriptor_close_end(f, fd, changes);
    return result;
}

/* [first, last] lies in one chunk of the table. */
static long close_span(struct files *f, uint32_t first, uint32_t last)
{
    uint32_t changes[ENTRIES_PER_CHUNK];
    bool known = f->chunks[first / ENTRIES_PER_CHUNK];
    for (uint32_t fd = first; known && fd <= last; fd++)
        changes[fd - first] = let_go(f, (int)fd);
    long rc = host_call(__NR_close_range, first, last, 0);
    for (uint32_t fd = first; known && fd <= last; fd++)
        descriptor_close_end(f, (int)fd, changes[fd - first]);
    return rc;
}

/* None of them is hidden; there are none where first > last. */
static long close_numbers(struct files *f, uint32_t first, uint32_t last, uint32_t flags)
{
    long rc = 0;
    if (first > last)
        return 0;
    if (flags & CLOSE_RANGE_CLOEXEC)
        return host_call(__NR_close_range, first, last, CLOSE_RANGE_CLOEXEC);
    for (uint32_t end; first <= last && rc == 0; first = end + 1) {
        end = first | (ENTRIES_PER_CHUNK - 1);
        rc = close_span(f, first, end < last ? end : last);
    }
    return rc;
}

long sys_close_range(struct thread *t, const uint64_t a[6])
{
    struct files *f = t->process->files;
    uint32_t first = (uint32_t)a[0], last = (uint32_t)a[1], flags = (uint32_t)a[2];

    if (flags & ~(CLOSE_RANGE_UNSHARE | CLOSE_RANGE_CLOEXEC) || first > last)
        return -EINVAL;
    /* A table of descriptors of its own (UNSHARE) every process has: threads share theirs here. */
    const uint32_t below = (uint32_t)fd_numbers.hidden - 1, above = (uint32_t)fd_numbers.hidden_end,
                   most = (uint32_t)fd_numbers.most - 1;
    long rc = close_numbers(f, first, last < below ? last : below, flags);
    return rc < 0
               ? rc
               : close_numbers(f, first > above ? first : above, last < most ? last : most, flags);
}

/* ---- dup ---- */

static long duplicate(struct files *f, struct descriptor *d, long fd)
{
    fd = files_number(fd);
    if (fd >= 0)
        descriptor_install_copy(d, (int)fd);
    return fd;
}

long sys_dup(struct thread *t, const uint64_t a[6])
{
    struct files *f = t->process->files;
    struct descriptor d;
    long rc = descriptor_get(f, (int)a[0], &d);
    if (rc < 0)
        return rc;
    rc = duplicate(f, &d, host_call(__NR_dup, d.fd));
    descriptor_put(&d);
    return rc;
}

static long duplicate_onto(struct thread *t, int from, int to, uint32_t flags)
{
    struct files *f = t->process->files;
    struct descriptor d;
    long rc = descriptor_get(f, from, &d);
    if (rc < 0)
        return rc;
    if (to < 0 || files_beyond(to)) {
        rc = -EBADF;
    } else {
        uint32_t changes = let_go(f, to);
        rc = host_call(__NR_dup3, from, to, flags);
        descriptor_close_end(f, to, changes);
        rc = duplicate(f, &d, rc);
    }
    descriptor_put(&d);
    return rc;
}

long sys_dup2(struct thread *t, const uint64_t a[6])
{
    if ((int)a[0] != (int)a[1])
        return duplicate_onto(t, (int)a[0], (int)a[1], 0);
    if (files_hidden((int)a[0]))
        return -EBADF;
    return host_call(__NR_dup2, (int)a[0], (int)a[1]);
}

long sys_dup3(struct thread *t, const uint64_t a[6])
{
    if ((uint32_t)a[2] & ~O_CLOEXEC || (int)a[0] == (int)a[1])
        return -EINVAL;
    return duplicate_onto(t, (int)a[0], (int)a[1], (uint32_t)a[2]);
}

/* ---- fcntl ---- */

static long duplicate_from(struct files *f, struct descriptor *d, uint32_t command, uint64_t lowest)
{
    if (lowest >= limit_descriptors(current()))
        return -EINVAL;
    return duplicate(f, d, host_call(__NR_fcntl, d->fd, command, lowest));
}

static long get_flags(struct descriptor *d)
{
    if (d->file->flags & O_PATH)
        return d->file->flags;
    return d->file->flags | placeholder_host_flags(d->fd) |
           (placeholder_state(d->fd).direct ? O_DIRECT : 0);
}

static long set_flags(struct descriptor *d, uint32_t flags)
{
    if (flags & O_DIRECT && !S_ISREG(d->file->type))
        return -EINVAL;
    placeholder_note_direct(d->fd, flags & O_DIRECT);
    /* The host keeps them; the access mode and the rest of it stay as they are. */
    return host_call(__NR_fcntl, d->fd, F_SETFL, flags & PLACEHOLDER_HOST_FLAGS);
}

static long owner_ex(int fd, uint32_t command, uint64_t address)
{
    struct f_owner_ex owner;
    if (command == F_SETOWN_EX && user_read(&owner, address, sizeof owner) < 0)
        return -EFAULT;
    long rc = host_call(__NR_fcntl, fd, command, &owner);
    if (rc == 0 && command == F_GETOWN_EX && user_write(address, &owner, sizeof owner) < 0)
        return -EFAULT;
    return rc;
}

static long hint(int fd, uint32_t command, uint64_t address)
{
    uint64_t value;
    bool sets = command == F_SET_RW_HINT || command == F_SET_FILE_RW_HINT;
    if (sets && user_read(&value, address, sizeof value) < 0)
        return -EFAULT;
    long rc = host_call(__NR_fcntl, fd, command, &value);
    if (rc == 0 && !sets && user_write(address, &value, sizeof value) < 0)
        return -EFAULT;
    return rc;
}

static long control_placeholder(struct thread *t, struct descriptor *d, uint32_t command,
                                uint64_t argument)
{
    if (d->file->flags & O_PATH && command != F_GETFL)
        return -EBADF;
    switch (command) {
    case F_GETFL:
        return get_flags(d);
    case F_SETFL:
        return set_flags(d, (uint32_t)argument);
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return file_lock(t, d, command, argument);
    case F_GETLEASE:
        return F_UNLCK;
    case F_SETLEASE:
    case F_NOTIFY:
    case F_ADD_SEALS:
    case F_GET_SEALS:
        return -EINVAL;
    case F_SETPIPE_SZ:
    case F_GETPIPE_SZ:
        return -EBADF;
    case F_SETOWN:
    case F_GETOWN:
    case F_SETSIG:
    case F_GETSIG:
        return host_call(__NR_fcntl, d->fd, command, argument);
    case F_SETOWN_EX:
    case F_GETOWN_EX:
        return owner_ex(d->fd, command, argument);
    case F_GET_RW_HINT:
    case F_SET_RW_HINT:
        return hint(d->fd, command, argument);
    }
    return -EINVAL;
}

static long control_host(struct thread *t, struct descriptor *d, uint32_t command,
                         uint64_t argument)
{
    bool mapped;
    if (d->kind == ENTRY_HOST_WATCH) {
        long flags = host_call(__NR_fcntl, d->fd, F_GETFL);
        if (command == F_GETFL)
            return flags < 0 ? flags : flags & ~(long)(WATCH_MARK | O_LARGEFILE);
        if (command == F_GETPIPE_SZ || command == F_SETPIPE_SZ)
            return -EBADF;
    }
    switch (command) {
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
    case F_OFD_GETLK:
    case F_OFD_SETLK:
    case F_OFD_SETLKW:
        return file_lock(t, d, command, argument);
    case F_SETOWN_EX:
    case F_GETOWN_EX:
        return owner_ex(d->fd, command, argument);
    case F_GET_RW_HINT:
    case F_SET_RW_HINT:
    case F_GET_FILE_RW_HINT:
    case F_SET_FILE_RW_HINT:
        return hint(d->fd, command, argument);
    case F_GETFL:
    case F_SETFL:
    case F_GETOWN:
    case F_SETOWN:
    case F_GETSIG:
    case F_SETSIG:
    case F_GETLEASE:
    case F_SETLEASE:
    case F_NOTIFY:
    case F_SETPIPE_SZ:
    case F_GETPIPE_SZ:
        return host_call(__NR_fcntl, d->fd, command, argument);
    case F_ADD_SEALS:
    case F_GET_SEALS:
        return file_seals(d->fd, command, (uint32_t)argument, &mapped);
    }
    return -EINVAL;
}

long sys_fcntl(struct thread *t, const uint64_t a[6])
{
    struct files *f = t->process->files;
    struct descriptor d;
    uint32_t command = (uint32_t)a[1];
    long rc = descriptor_get(f, (int)a[0], &d);
    if (rc < 0)
        return rc;
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
        rc = duplicate_from(f, &d, command, a[2]);
    else if (command == F_GETFD || command == F_SETFD)
        rc = host_call(__NR_fcntl, d.fd, command, a[2]);
    else if (d.file)
        rc = control_placeholder(t, &d, command, a[2]);
    else
        rc = control_host(t, &d, command, a[2]);
    descriptor_put(&d);
    return rc;
}
