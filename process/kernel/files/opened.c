/* See opened.h. */
#include "opened.h"

#include <linux/fcntl.h>
#include <linux/mman.h>
#include <asm/stat.h>
#include <linux/stat.h>

#include "../entry/process.h"
#include "../entry/thread.h"
#include "../host/host.h"
#include "../mm/shared.h"

#define MAP_ANONYMOUS 0x20

/* Nobody but this thread sees what the process sees. */
static bool alone(const struct thread *t)
{
    bool shares = false;
    if (t->process->thread_count != 1 || t->process->vforked)
        return false;
    for (uint32_t i = 0; i < mm.vma_count && !shares; i++)
        shares = vma_shared(&mm.vmas[i]);
    return !shares;
}

uint32_t opened_wanted(struct thread *t, uint32_t flags)
{
    const uint32_t others = O_DIRECTORY | O_PATH | O_CREAT | O_TRUNC | O_DIRECT;
    return (flags & O_ACCMODE) == O_RDONLY && !(flags & others) && alone(t) ? OPENED_BYTES : 0;
}

void opened_bring(struct thread *t, const struct msg_file_open_reply *reply)
{
    if (!t->opened)
        t->opened = host_alloc(sizeof *t->opened);
    if (!t->opened)
        return;
    *t->opened = (struct opened){.attr = reply->attr, .since_ns = host_ticks_ns()};
    t->opened->size = reply->first_size < OPENED_BYTES ? reply->first_size : OPENED_BYTES;
    memcpy(t->opened->bytes, reply->first, t->opened->size);
}

void opened_keep(struct thread *t, int fd, const struct description_id *description)
{
    struct opened *o = t->opened;
    if (!o || !S_ISREG(o->attr.mode) || shared_file(&o->attr.id))
        return;
    o->fd = fd;
    o->description = *description;
    o->valid = true;
}

void opened_look(struct thread *t, uint64_t nr, const uint64_t a[6])
{
    struct opened *o = t->opened;
    if (!o || !o->valid)
        return;
    switch (nr) {
    case __NR_read:
    case __NR_pread64:
    case __NR_fstat:
    case __NR_lseek:
    case __NR_close:
        o->valid = (int)a[0] == o->fd && nr != __NR_close;
        return;
    case __NR_newfstatat:
        o->valid = (int)a[0] == o->fd && a[3] & AT_EMPTY_PATH;
        return;
    case __NR_mmap:
        o->valid = !(a[3] & MAP_SHARED) && (a[3] & MAP_ANONYMOUS || (int)a[4] == o->fd);
        return;
    case __NR_mprotect:
    case __NR_munmap:
    case __NR_brk:
    case __NR_arch_prctl:
        return;
    }
    o->valid = false;
}

void opened_end(struct thread *t)
{
    if (t->opened)
        t->opened->valid = false;
}

const struct opened *opened_of(const struct descriptor *d)
{
    const struct thread *t = current();
    const struct opened *o = t->opened;
    if (!o || !o->valid || d->files != t->process->files || d->fd != o->fd ||
        !same_description(&d->file->description, &o->description) || shared_file(&o->attr.id) ||
        host_ticks_ns() - o->since_ns > OPENED_NS)
        return NULL;
    return o;
}
