/* System calls about memory: arguments checked and translated for mm/. */
#include <linux/mman.h>
#include <linux/resource.h>

#include "../excache/excache.h"
#include "../files/files.h"
#include "../mm/mm.h"
#include "../mm/shared.h"
#include "memory_calls.h"

#define MAP_TYPE_BITS  0x0f
#define MAP_SHARED_    1
#define MAP_PRIVATE_   2
#define MAP_ANONYMOUS_ 0x20

/*
 * RLIMIT_AS and RLIMIT_DATA: whether so many bytes more are too many. Two threads at once may pass
 * it by what one of them asks for.
 */
static bool beyond_limits(struct thread *t, uint64_t more_bytes, uint64_t more_data_bytes)
{
    const struct limit *limits = t->process->limits;
    uint64_t space = __atomic_load_n(&limits[KEPT_AS].soft, __ATOMIC_RELAXED);
    uint64_t data = __atomic_load_n(&limits[KEPT_DATA].soft, __ATOMIC_RELAXED);
    uint64_t lines, data_lines;

    if (space == RLIM64_INFINITY && data == RLIM64_INFINITY)
        return false;
    mm_usage(&lines, &data_lines);
    uint64_t room = WINDOW_END; /* so that no sum wraps */
    more_bytes = more_bytes < room ? more_bytes : room;
    more_data_bytes = more_data_bytes < room ? more_data_bytes : room;
    return (more_bytes && (lines << LINE_SHIFT) + more_bytes > space) ||
           (more_data_bytes && (data_lines << LINE_SHIFT) + more_data_bytes > data);
}

long sys_mmap(struct thread *t, const uint64_t a[6])
{
    int prot = (int)a[2], flags = (int)a[3], type = flags & MAP_TYPE_BITS;
    struct vnode_file *file = NULL;
    long rc;

    if (type != MAP_PRIVATE_ && type != MAP_SHARED_ && type != 3 /* MAP_SHARED_VALIDATE */)
        return -EINVAL;
    if (prot & ~7)
        return -EINVAL;
    if (beyond_limits(t, a[1], prot & PROT_WRITE && type == MAP_PRIVATE_ ? a[1] : 0))
        return -ENOMEM;
    if (!(flags & MAP_ANONYMOUS_)) {
        file = host_alloc(sizeof *file);
        rc = file ? files_mappable(t->process->files, (int)a[4], file) : -ENOMEM;
        if (rc == 0 && type != MAP_PRIVATE_ && prot & PROT_WRITE && !file->read_write)
            rc = -EACCES;
        if (rc < 0)
            goto out;
    }
    if (type != MAP_PRIVATE_ && !file) {
        struct shared_source source = {
            .kind = SEGMENT_ANONYMOUS, .may_write = true, .name = "/dev/zero (deleted)"};
        rc = shared_map(a[0], a[1], prot, flags, &source, 0);
        goto out;
    }
    /* What nobody of the run may change needs no sharing: it is as a private view of it. */
    if (type != MAP_PRIVATE_ && file->attr.writable) {
        struct shared_source source = {.kind = SEGMENT_FILE,
                                       .may_write = file->read_write,
                                       .name = file->path,
                                       .attr = &file->attr};
        rc = shared_map(a[0], a[1], prot, flags, &source, a[5]);
        goto out;
    }
    rc = mm_map(a[0], a[1], prot, flags, file, file ? a[5] : 0, VMA_PLAIN);
out:
    if (file)
        host_free(file, sizeof *file);
    return rc;
}

long sys_munmap(struct thread *t, const uint64_t a[6])
{
    (void)t;
    return mm_unmap(a[0], a[1]);
}

long sys_mprotect(struct thread *t, const uint64_t a[6])
{
    if ((int)a[2] & PROT_WRITE && beyond_limits(t, 0, a[1]))
        return -ENOMEM;
    return mm_protect(a[0], a[1], (int)a[2]);
}

long sys_mremap(struct thread *t, const uint64_t a[6])
{
    uint64_t more = a[2] > a[1] ? a[2] - a[1] : 0;
    if (more && beyond_limits(t, more, more))
        return -ENOMEM;
    return mm_remap(a[0], a[1], a[2], (int)a[3], a[4]);
}

long sys_brk(struct thread *t, const uint64_t a[6])
{
    uint64_t more = a[0] > mm.brk ? a[0] - mm.brk : 0;
    return mm_brk(more && beyond_limits(t, more, more) ? 0 : a[0]);
}

long sys_madvise(struct thread *t, const uint64_t a[6])
{
    (void)t;
    if (a[0] & (LINE_SIZE - 1))
        return -EINVAL;
    switch ((int)a[2]) {
    case MADV_DONTNEED:
        return mm_discard(a[0], a[1]);
    case MADV_NORMAL:
    case MADV_RANDOM:
    case MADV_SEQUENTIAL:
    case MADV_WILLNEED:
    case MADV_FREE: /* may keep the content: it does */
    case MADV_HUGEPAGE:
    case MADV_NOHUGEPAGE:
    case MADV_DONTDUMP:
    case MADV_DODUMP:
    case MADV_MERGEABLE:
    case MADV_UNMERGEABLE:
    case MADV_COLD:
    case MADV_PAGEOUT:
    case MADV_DOFORK:
        return 0;
    }
    return -EINVAL;
}

/* What is resident in the ExCache. */
long sys_mincore(struct thread *t, const uint64_t a[6])
{
    uint64_t lines = (a[1] + LINE_SIZE - 1) >> LINE_SHIFT;
    uint8_t *bounce = thread_bounce(t);
    if (a[0] & (LINE_SIZE - 1))
        return -EINVAL;
    if (!user_range_ok(a[0], a[1]))
        return -ENOMEM;
    if (!bounce)
        return -EAGAIN;
    for (uint64_t done = 0; done < lines;) {
        uint64_t n = lines - done < BOUNCE_SIZE ? lines - done : BOUNCE_SIZE;
        long rc = mm_resident((struct vpn){vpn_of(a[0]).n + done}, n, bounce);
        if (rc < 0)
            return rc;
        if (user_write(a[2] + done, bounce, n) < 0)
            return -EFAULT;
        done += n;
    }
    return 0;
}

long sys_msync(struct thread *t, const uint64_t a[6])
{
    (void)t;
    if (a[0] & (LINE_SIZE - 1) || a[2] & ~(uint64_t)(MS_ASYNC | MS_SYNC | MS_INVALIDATE) ||
        (a[2] & (MS_ASYNC | MS_SYNC)) == (MS_ASYNC | MS_SYNC))
        return -EINVAL;
    if (!mm_covered(a[0], a[1]))
        return -ENOMEM;
    return a[2] & MS_SYNC ? shared_sync(a[0], a[1], true) : 0;
}

/*
 * Lines cannot be kept here by wish (the ExCache is the node's to share out), and a program's
 * memory never goes to a disk of this host: so locking is granted and changes nothing.
 */
long sys_mlock(struct thread *t, const uint64_t a[6])
{
    (void)t;
    return mm_covered(a[0] & ~(uint64_t)(LINE_SIZE - 1), a[1] + (a[0] & (LINE_SIZE - 1))) ? 0
                                                                                          : -ENOMEM;
}

long sys_mlockall(struct thread *t, const uint64_t a[6])
{
    (void)t;
    (void)a;
    return 0;
}
