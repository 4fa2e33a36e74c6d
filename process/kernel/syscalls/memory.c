/* System calls about memory: arguments checked and translated for mm/. */
#include <asm/stat.h>
#include <linux/mman.h>
#include <linux/resource.h>
#include <linux/stat.h>

#include "../files/files.h"
#include "../mm/mm.h"
#include "../mm/shared.h"
#include "host_calls.h"
#include "memory_calls.h"

#define MAP_TYPE_BITS   0x0f
#define MAP_SHARED_     1
#define MAP_PRIVATE_    2
#define MAP_ANONYMOUS_  0x20
#define MAP_HUGETLB_    0x40000
#define HUGE_SIZE_SHIFT 26

/* There are none, as on a machine that has set none aside; a size that the host lacks is an error.
 */
static long huge_pages(int flags, bool file)
{
    unsigned shift = (unsigned)flags >> HUGE_SIZE_SHIFT;
    char path[64];
    if (!(flags & MAP_HUGETLB_) || file || (shift && (shift < 10 || shift > 40)))
        return -EINVAL;
    text_format(path, sizeof path, "/sys/kernel/mm/hugepages/hugepages-%lukB", 1ul << shift >> 10);
    return shift == 0 || host_call(__NR_access, path, 0) == 0 ? -ENOMEM : -EINVAL;
}

/* A private mapping of it is an anonymous one. */
static bool is_dev_zero(int fd)
{
    struct stat st;
    return host_call(__NR_fstat, fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == 0x105;
}

long sys_mmap(struct thread *t, const uint64_t a[6])
{
    int prot = (int)a[2], flags = (int)a[3], type = flags & MAP_TYPE_BITS;
    struct vnode_file *file = NULL;
    long rc;

    if (a[5] & (LINE_SIZE - 1))
        return -EINVAL;
    prot = mm_prot(prot & (PROT_READ | PROT_WRITE | PROT_EXEC));
    if (!(flags & MAP_ANONYMOUS_)) {
        file = host_alloc(sizeof *file);
        rc = file ? files_mappable(t->process->files, (int)a[4], file) : -ENOMEM;
        if (rc == -ENODEV && type == MAP_PRIVATE_ && is_dev_zero((int)a[4])) {
            host_free(file, sizeof *file);
            file = NULL;
            rc = 0;
        }
        if (rc == 0 && type != MAP_PRIVATE_ && prot & PROT_WRITE && !file->read_write)
            rc = -EACCES;
        if (rc == -ENODEV)
            rc = mmap_host(t, a);
        if (rc != 0)
            goto out;
    }
    rc = -EINVAL;
    if (type != MAP_PRIVATE_ && type != MAP_SHARED_ && type != 3 /* MAP_SHARED_VALIDATE */)
        goto out;
    if (flags & (file ? MAP_HUGETLB_ | MAP_GROWSDOWN : MAP_HUGETLB_)) {
        rc = huge_pages(flags, file != NULL);
        goto out;
    }
    rc = -EOVERFLOW;
    if (file && (a[5] > INT64_MAX || a[1] > INT64_MAX - a[5]))
        goto out;
    rc = -EAGAIN;
    if ((flags & MAP_LOCKED || mm.lock_future) && !lock_allowed(a[1] >> LINE_SHIFT))
        goto out;
    if (type == 3 && !file)
        return -EINVAL;
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
    if (rc >= 0 && flags & MAP_LOCKED)
        (void)mm_set_flags((uint64_t)rc, a[1], VMA_LOCKED, 0);
    if (rc >= 0 && flags & (MAP_POPULATE | MAP_LOCKED) && !(flags & MAP_NONBLOCK))
        (void)mm_populate((uint64_t)rc, a[1], prot & PROT_WRITE);
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
    (void)t;
    return mm_protect(a[0], a[1], (int)a[2]);
}

long sys_mremap(struct thread *t, const uint64_t a[6])
{
    (void)t;
    return mm_remap(a[0], a[1], a[2], (int)a[3], a[4]);
}

long sys_brk(struct thread *t, const uint64_t a[6])
{
    (void)t;
    return mm_brk(a[0]);
}

/* Of private mappings, which is what there is to map: refused, as by Linux. */
long sys_remap_file_pages(struct thread *t, const uint64_t a[6])
{
    (void)t;
    (void)a;
    return -EINVAL;
}

/* ---- protection keys: the processor is taken to have none ---- */

long sys_pkey_alloc(struct thread *t, const uint64_t a[6])
{
    (void)t;
    return a[0] || a[1] & ~3ull ? -EINVAL : -ENOSPC;
}

long sys_pkey_free(struct thread *t, const uint64_t a[6])
{
    (void)t;
    (void)a;
    return -EINVAL;
}

long sys_pkey_mprotect(struct thread *t, const uint64_t a[6])
{
    (void)t;
    return (int)a[3] == -1 ? mm_protect(a[0], a[1], (int)a[2]) : -EINVAL;
}
