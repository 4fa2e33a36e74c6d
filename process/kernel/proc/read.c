/*
 * Reading the files that are made here. The position is the host descriptor's own, so dup and fork
 * share it as they should. A text is made when it is read at its beginning, and kept for the reads
 * that follow until its end was read or another text needs its place.
 */
#include <linux/fcntl.h>
#include <linux/fs.h>

#include "../entry/process.h"
#include "../host/lock.h"
#include "../mm/mm.h"
#include "../mm/uaccess.h"
#include "../syscalls/user_iov.h"
#include "make.h"

enum { KEPT = 8 };

/* A text that is being read. */
struct kept {
    int fd;
    uint32_t changes; /* of the descriptor's entry: a number used again is another file */
    uint64_t used;
    struct text text;
};

static struct {
    struct mutex lock; /* leaf */
    uint64_t clock;
    struct kept all[KEPT];
} reading; /* all protected by lock */

void proc_fork_child(void)
{
    memset(&reading, 0, sizeof reading);
    proc_readable();
}

/* Of a process: what its memory and the host's text tell. */
static void make_of_process(struct text *x, struct process *own, const struct proc_name *name,
                            const struct text *host)
{
    bool files = name->file == PROC_MAPS || name->file == PROC_SMAPS;
    struct view *view = view_open(own, name, files);
    if (!view) {
        x->failed = name->pid == own->pid; /* out of memory */
        if (files)
            proc_make_host_maps(x, host);
        else if (name->file == PROC_STATUS)
            proc_make_status(x, NULL, host);
        return;
    }
    switch (name->file) {
    case PROC_MAPS:
        proc_make_maps(x, view, host);
        break;
    case PROC_SMAPS:
        proc_make_smaps(x, view, host);
        break;
    case PROC_SMAPS_ROLLUP:
        proc_make_rollup(x, view);
        break;
    case PROC_STATUS:
        proc_make_status(x, view, host);
        break;
    case PROC_STAT:
        proc_make_stat(x, view, host);
        break;
    case PROC_STATM:
        proc_make_statm(x, view);
        break;
    case PROC_CMDLINE:
    case PROC_ENVIRON:
        /* Another's lines may be away: then what the host shows of it, as it was at first. */
        if (!proc_make_strings(x, view, name->file == PROC_CMDLINE) && name->pid != own->pid)
            text_free(x);
        break;
    case PROC_LIMITS:
        if (view_knows_limits(view))
            proc_make_limits(x, view, host);
        break;
    default:
        break;
    }
    view_close(view);
}

static bool make(struct text *x, struct thread *t, int fd)
{
    struct proc_name name;
    struct text host = {0};
    char path[PROC_PATH];
    long size = proc_name_of(fd, path, &name);
    if (size < 0)
        return false;
    bool own = name.pid == t->process->pid;
    bool read = text_host_file(&host, fd);
    switch (name.file) {
    case PROC_NUMA_MAPS:
        proc_make_host_maps(x, &host);
        break;
    case PROC_FDINFO:
        proc_make_fdinfo(x, &name, &host);
        break;
    case PROC_MEMINFO:
        proc_make_meminfo(x);
        break;
    case PROC_MEMORY_LIMIT:
        text_puts(x, host.size && host.bytes[0] >= '0' && host.bytes[0] <= '9' &&
                             !strcmp(path + size - 6, "_bytes")
                         ? "9223372036854771712\n"
                         : "max\n");
        break;
    default:
        if (read || own)
            make_of_process(x, t->process, &name, &host);
    }
    bool made = !x->failed && (x->size || own);
    if (!made && read && !x->failed) { /* another process's: as the host has it */
        text_free(x);
        *x = host;
        return true;
    }
    text_free(&host);
    return made;
}

/* Copies from the text kept for a descriptor; -1: there is none. reading.lock is held. */
static long copy_kept(const struct descriptor *d, void *to, size_t size, uint64_t at)
{
    for (int i = 0; i < KEPT; i++) {
        struct kept *k = &reading.all[i];
        if (!k->text.bytes || k->fd != d->fd || k->changes != d->changes)
            continue;
        size_t left = at < k->text.size ? k->text.size - at : 0, n = left < size ? left : size;
        memcpy(to, k->text.bytes + at, n);
        k->used = ++reading.clock;
        if (!left)
            text_free(&k->text);
        return (long)n;
    }
    return -1;
}

static void keep(const struct descriptor *d, struct text *x)
{
    struct kept *oldest = &reading.all[0];
    for (int i = 0; i < KEPT; i++) {
        struct kept *k = &reading.all[i];
        if (k->fd == d->fd || !k->text.bytes) {
            oldest = k;
            if (k->fd == d->fd)
                break;
        } else if (oldest->text.bytes && oldest->fd != d->fd && k->used < oldest->used) {
            oldest = k;
        }
    }
    text_free(&oldest->text);
    *oldest =
        (struct kept){.fd = d->fd, .changes = d->changes, .used = ++reading.clock, .text = *x};
    *x = (struct text){0};
}

/* A piece of the text at `at`, into monitor memory. */
static long piece(struct thread *t, struct descriptor *d, void *to, size_t size, uint64_t at)
{
    struct text x = {0};
    long got = -1;
    mutex_lock(&reading.lock);
    if (at)
        got = copy_kept(d, to, size, at);
    mutex_unlock(&reading.lock);
    if (got >= 0)
        return got;
    if (!make(&x, t, d->fd)) {
        text_free(&x);
        return -EIO;
    }
    if (!x.bytes)
        return 0;
    mutex_lock(&reading.lock);
    keep(d, &x);
    got = copy_kept(d, to, size, at);
    mutex_unlock(&reading.lock);
    text_free(&x);
    return got;
}

/* ---- the program's own memory ---- */

/* What file of this process itself a descriptor is. */
static enum proc_file file_of_own(const struct thread *t, int fd)
{
    struct proc_name name;
    char path[PROC_PATH];
    (void)proc_name_of(fd, path, &name);
    return name.pid == t->process->pid ? name.file : PROC_NONE;
}

static long memory_piece(uint64_t at, void *to, size_t size)
{
    size_t got = user_read_some(to, at, size);
    return got || !size ? (long)got : -EIO;
}

/* ---- both ---- */

static bool may(int fd, int forbidden)
{
    long flags = host_call(__NR_fcntl, fd, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) != forbidden;
}

/* Where a read begins; -1 is the descriptor's own position. */
static int64_t begin(struct descriptor *d, int64_t offset)
{
    if (!may(d->fd, O_WRONLY))
        return -EBADF;
    return offset < 0 ? host_call(__NR_lseek, d->fd, 0, SEEK_CUR) : offset;
}

static long any_piece(struct thread *t, struct descriptor *d, void *to, size_t size, uint64_t at)
{
    return file_of_own(t, d->fd) == PROC_MEM ? memory_piece(at, to, size)
                                             : piece(t, d, to, size, at);
}

long proc_read_kernel(struct thread *t, struct descriptor *d, void *to, size_t size, int64_t offset)
{
    int64_t at = begin(d, offset);
    long got = at < 0 ? at : any_piece(t, d, to, size, (uint64_t)at);
    if (offset < 0 && got > 0)
        host_call(__NR_lseek, d->fd, at + got, SEEK_SET);
    return got;
}

long proc_read(struct thread *t, struct descriptor *d, struct user_iov *v, int64_t offset)
{
    uint8_t *bounce = thread_bounce(t);
    int64_t at = begin(d, offset);
    long done = 0;
    if (at < 0)
        return at;
    if (!bounce)
        return -ENOMEM;
    while (v->total) {
        size_t want = v->total < BOUNCE_SIZE ? v->total : BOUNCE_SIZE;
        long got = any_piece(t, d, bounce, want, (uint64_t)(at + done));
        if (got <= 0) {
            done = done ? done : got;
            break;
        }
        size_t put = user_iov_put(v, bounce, (size_t)got);
        done += (long)put;
        if (put < (size_t)got || put < want) {
            done = done ? done : -EFAULT;
            break;
        }
    }
    if (offset < 0 && done > 0)
        host_call(__NR_lseek, d->fd, at + done, SEEK_SET);
    return done;
}

/* "5" begins the peak anew; the rest is the host's. */
static void clear_references(struct user_iov *v)
{
    struct user_iov copy = *v;
    char digit;
    if (user_iov_get(&copy, &digit, 1) == 1 && digit == '5')
        __atomic_store_n(&mm.present_most, __atomic_load_n(&mm.present, __ATOMIC_RELAXED),
                         __ATOMIC_RELAXED);
}

bool proc_write(struct thread *t, struct descriptor *d, struct user_iov *v, int64_t offset,
                long *result)
{
    uint8_t *bounce = thread_bounce(t);
    bool own = offset < 0;
    enum proc_file file = file_of_own(t, d->fd);
    if (file == PROC_CLEAR_REFS && may(d->fd, O_RDONLY))
        clear_references(v);
    if (file != PROC_MEM)
        return false;
    *result = bounce ? 0 : -ENOMEM;
    if (!may(d->fd, O_RDONLY))
        *result = -EBADF;
    if (own)
        offset = host_call(__NR_lseek, d->fd, 0, SEEK_CUR);
    while (*result >= 0 && v->total) {
        size_t want = v->total < BOUNCE_SIZE ? v->total : BOUNCE_SIZE;
        size_t got = user_iov_get(v, bounce, want);
        size_t put = user_write_some((uint64_t)(offset + *result), bounce, got);
        if (!put) {
            *result = *result ? *result : got ? -EIO : -EFAULT;
            break;
        }
        *result += (long)put;
        if (put < want)
            break;
    }
    if (own && *result > 0)
        host_call(__NR_lseek, d->fd, offset + *result, SEEK_SET);
    return true;
}
