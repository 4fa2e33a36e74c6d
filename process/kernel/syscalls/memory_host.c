/*
 * mmap of the pComponent's own files: memfds, /dev/shm, /dev/zero.
 *
 * Shared, a memory file is a segment (mm/shared.h). A private view is a copy, made at once: these
 * files live on this machine, and what is private is the program's memory, which does not.
 */
#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/fcntl.h>
#include <linux/mman.h>
#include <linux/stat.h>

#include "../files/files.h"
#include "../mm/shared.h"
#include "file_io.h"
#include "memory_calls.h"

enum { MAP_SHARED_TYPE = 1, MAP_PRIVATE_TYPE = 2, TYPE_BITS = 15, TMPFS = 0x01021994 };
enum { DEV_ZERO = 1 << 8 | 5, SEALS_OF_WRITING = 0x18 };

/* Fills a private copy, made readable and writable for that, from the file. */
static long fill(struct thread *t, int fd, uint64_t to, uint64_t length, uint64_t offset)
{
    struct descriptor d;
    long rc = descriptor_get(t->process->files, fd, &d);
    for (uint64_t done = 0; rc >= 0 && done < length;) {
        struct user_iov v;
        uint64_t n = length - done < SEGMENT_IO_MAX ? length - done : SEGMENT_IO_MAX;
        rc = user_iov_one(&v, to + done, n);
        if (rc == 0)
            rc = file_read(t, &d, &v, (int64_t)(offset + done), 0);
        if (rc <= 0)
            break;
        done += (uint64_t)rc;
    }
    descriptor_put(&d);
    return rc < 0 ? rc : 0;
}

static long map_copy(struct thread *t, const uint64_t a[6])
{
    int prot = (int)a[2];
    long at = mm_map(a[0], a[1], PROT_READ | PROT_WRITE, (int)a[3], NULL, 0, VMA_PLAIN);
    if (at < 0)
        return at;
    long rc = fill(t, (int)a[4], (uint64_t)at, a[1], a[5]);
    if (rc == 0 && prot != (PROT_READ | PROT_WRITE))
        rc = mm_protect((uint64_t)at, a[1], prot);
    if (rc < 0)
        (void)!mm_unmap((uint64_t)at, a[1]);
    return rc < 0 ? rc : at;
}

/* Where a descriptor's file is, for /proc/self/maps. */
static void name_of(int fd, char out[PATH_LIMIT])
{
    char link[32];
    text_format(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = host_call(__NR_readlink, link, out, PATH_LIMIT - 1);
    out[n < 0 ? 0 : n] = 0;
}

static long map_memory(struct thread *t, const uint64_t a[6], uint32_t access)
{
    int fd = (int)a[4], prot = (int)a[2];
    bool mapped;
    long seals = file_seals(fd, F_GET_SEALS, 0, &mapped);

    if (access == O_WRONLY)
        return -EACCES;
    if (((int)a[3] & TYPE_BITS) == MAP_PRIVATE_TYPE)
        return map_copy(t, a);
    if (prot & PROT_WRITE && access != O_RDWR)
        return -EACCES;
    if (seals > 0 && seals & SEALS_OF_WRITING) {
        if (prot & PROT_WRITE)
            return -EPERM;
        if (!mapped) /* nothing there will change any more */
            return map_copy(t, a);
        access = O_RDONLY;
    }
    char *name = host_alloc(PATH_LIMIT);
    if (!name)
        return -ENOMEM;
    name_of(fd, name);
    struct shared_source source = {
        .kind = SEGMENT_HOST, .may_write = access == O_RDWR, .name = name, .fd = fd};
    long rc = shared_map(a[0], a[1], prot, (int)a[3], &source, a[5]);
    host_free(name, PATH_LIMIT);
    return rc;
}

static bool is_placeholder(struct thread *t, int fd)
{
    struct descriptor d;
    bool is = descriptor_get(t->process->files, fd, &d) == 0 && d.file;
    descriptor_put(&d);
    return is;
}

long mmap_host(struct thread *t, const uint64_t a[6])
{
    struct stat st;
    struct statfs64 fs;
    int fd = (int)a[4];
    long flags = host_call(__NR_fcntl, fd, F_GETFL);

    int type = (int)a[3] & TYPE_BITS;
    if (a[1] == 0 || a[5] & (LINE_SIZE - 1) || type == 0 || type > 3)
        return -EINVAL;
    if (flags < 0 || flags & O_PATH)
        return -EBADF;
    if (is_placeholder(t, fd)) /* of what cannot be mapped: a directory */
        return -ENODEV;
    if (host_call(__NR_fstat, fd, &st) < 0 || host_call(__NR_fstatfs, fd, &fs) < 0)
        return -ENODEV;
    if (S_ISREG(st.st_mode) && fs.f_type == TMPFS)
        return map_memory(t, a, (uint32_t)flags & O_ACCMODE);
    if (!S_ISCHR(st.st_mode) || st.st_rdev != DEV_ZERO)
        return -ENODEV;
    if (((int)a[3] & TYPE_BITS) == MAP_PRIVATE_TYPE)
        return mm_map(a[0], a[1], (int)a[2], (int)a[3], NULL, 0, VMA_PLAIN);
    struct shared_source source = {
        .kind = SEGMENT_ANONYMOUS, .may_write = true, .name = "/dev/zero"};
    return shared_map(a[0], a[1], (int)a[2], (int)a[3], &source, 0);
}
