/*
 * The host mappings under the vmas: private, anonymous, caught by userfaultfd.
 *
 * SIGBUS mode: the faulting thread itself gets a signal and fetches the line; no handler thread.
 * Opened with UFFD_USER_MODE_ONLY, which needs no privilege: a fault inside a host call is then an
 * EFAULT, which is why no host call is ever given an application address.
 */
#include <linux/fcntl.h>
#include <linux/ioctl.h>
#include <linux/mman.h>
#include <linux/userfaultfd.h>

#include "../host/host.h"
#include "mm.h"

#define MAP_ANONYMOUS 0x20
#define MAP_FIXED     0x10
#define MAP_NORESERVE 0x4000

#ifndef UFFDIO_MOVE /* Linux 6.8; Debian 12's headers are older */
#define _UFFDIO_MOVE 0x05
#define UFFDIO_MOVE  _IOWR(UFFDIO, _UFFDIO_MOVE, struct uffdio_move)
struct uffdio_move {
    uint64_t dst, src, len, mode;
    int64_t move;
};
#endif
#define OWN_PROCESS      (-10000) /* PIDFD_SELF_THREAD, Linux 6.14 */
#define FEATURE_MOVE     (1 << 16)
#define FEATURE_WP_SHMEM (1 << 12)

int uffd_open(bool *can_move, bool *can_share)
{
    static const uint32_t more[] = {FEATURE_WP_SHMEM | FEATURE_MOVE, FEATURE_WP_SHMEM, 0};
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        int fd;
        fd = (int)host_call(__NR_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
        if (fd < 0)
            host_die("this kernel refuses userfaultfd (error %d); it is needed to catch misses",
                     -fd);
        struct uffdio_api api = {.api = UFFD_API,
                                 .features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_PAGEFAULT_FLAG_WP |
                                             more[i]};
        long rc = host_call(__NR_ioctl, fd, UFFDIO_API, &api);
        if (rc == 0) {
            *can_move = more[i] & FEATURE_MOVE;
            *can_share = more[i] & FEATURE_WP_SHMEM;
            return fd;
        }
        host_call(__NR_close, fd);
    }
    host_die("this kernel's userfaultfd lacks SIGBUS or write-protect mode (Linux 5.7 is needed)");
}

void uffd_register(uint64_t address, uint64_t size)
{
    struct uffdio_register r = {.range = {address, size},
                                .mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP};
    long rc = host_call(__NR_ioctl, mm.uffd, UFFDIO_REGISTER, &r);
    if (rc < 0)
        host_die("userfaultfd cannot register %lx+%lx (error %ld)", address, size, -rc);
}

/* Execute-only may become unreadable on the host (protection keys); lines must stay readable. */
static int host_prot(int prot)
{
    return prot & PROT_EXEC ? prot | PROT_READ : prot;
}

long uffd_map(struct vpn first, struct vpn end, int prot)
{
    uint64_t address = vpn_address(first), size = vpn_address(end) - address;
    long rc = host_call(__NR_mmap, address, size, host_prot(prot),
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
    if (rc < 0)
        return rc;
    uffd_register(address, size);
    return 0;
}

void uffd_unmap(struct vpn first, struct vpn end)
{
    host_call(__NR_munmap, vpn_address(first), vpn_address(end) - vpn_address(first));
}

long uffd_protect(struct vpn first, struct vpn end, int prot)
{
    return host_call(__NR_mprotect, vpn_address(first), vpn_address(end) - vpn_address(first),
                     host_prot(prot));
}

/* The host moves one mapping at a time, and what is one vma here may be several there: halves. */
static long relocate(uint64_t from, uint64_t size, uint64_t to)
{
    long rc = host_call(__NR_mremap, from, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    if (rc != -EFAULT || size == LINE_SIZE)
        return rc < 0 ? rc : 0;
    uint64_t half = (size / 2 + LINE_SIZE - 1) & ~(uint64_t)(LINE_SIZE - 1);
    rc = relocate(from, half, to);
    return rc < 0 ? rc : relocate(from + half, size - half, to + half);
}

long uffd_relocate(uint64_t from, uint64_t size, uint64_t to)
{
    long rc = relocate(from, size, to);
    if (rc < 0)
        return rc;
    uffd_register(to, size);
    /* The host forgot the write protection of what moved: all of it is protected again. */
    return uffd_write_protect(to, size, true);
}

/* Repeats an ioctl that the host interrupted (EAGAIN: its memory map was changing). */
static int retried(unsigned long request, void *argument)
{
    long rc;
    do
        rc = host_call(__NR_ioctl, mm.uffd, request, argument);
    while (rc == -EAGAIN || rc == -EINTR);
    return (int)rc;
}

/*
 * A fill goes on where the host stopped half way (EAGAIN), and line by line where a run crosses a
 * border between host mappings (ENOENT): what is one vma here may be several there.
 */
static bool fill_goes_on(int rc, uint64_t *step)
{
    if (rc == -ENOENT && *step > LINE_SIZE)
        *step = LINE_SIZE;
    else if (rc != 0 && rc != -EAGAIN && rc != -EINTR)
        return false;
    return true;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

int uffd_copy(uint64_t to, const void *from, uint64_t size, bool write_protect)
{
    uint64_t done = 0, step = size;
    int rc = 0;
    while (done < size && fill_goes_on(rc, &step)) {
        struct uffdio_copy c = {.dst = to + done,
                                .src = (uint64_t)from + done,
                                .len = smaller(step, size - done),
                                .mode = write_protect ? UFFDIO_COPY_MODE_WP : 0};
        rc = (int)host_call(__NR_ioctl, mm.uffd, UFFDIO_COPY, &c);
        if (c.copy > 0)
            done += (uint64_t)c.copy;
    }
    return done == size ? 0 : rc;
}

int uffd_zero(uint64_t to, uint64_t size)
{
    uint64_t done = 0, step = size;
    int rc = 0;
    while (done < size && fill_goes_on(rc, &step)) {
        struct uffdio_zeropage z = {.range = {to + done, smaller(step, size - done)}};
        rc = (int)host_call(__NR_ioctl, mm.uffd, UFFDIO_ZEROPAGE, &z);
        if (z.zeropage > 0)
            done += (uint64_t)z.zeropage;
    }
    return done == size ? 0 : rc;
}

/* All or, where it fails, possibly a part: only called for one line at a time or retried by line.
 */
int uffd_move(uint64_t to, uint64_t from, uint64_t size)
{
    struct uffdio_move m = {.dst = to, .src = from, .len = size, .mode = 0};
    long rc;
    do {
        m.move = 0;
        rc = host_call(__NR_ioctl, mm.uffd, UFFDIO_MOVE, &m);
    } while ((rc == -EAGAIN || rc == -EINTR) && m.move <= 0);
    return (int)rc;
}

/* Hosts before 6.3 take one mapping at a time: halves, until each half is within one. */
int uffd_write_protect(uint64_t address, uint64_t size, bool on)
{
    struct uffdio_writeprotect w = {.range = {address, size},
                                    .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0};
    int rc = retried(UFFDIO_WRITEPROTECT, &w);
    if (rc != -ENOENT || size == LINE_SIZE)
        return rc;
    uint64_t half = (size / 2 + LINE_SIZE - 1) & ~(uint64_t)(LINE_SIZE - 1);
    rc = uffd_write_protect(address, half, on);
    return rc < 0 ? rc : uffd_write_protect(address + half, size - half, on);
}

void uffd_drop(uint64_t address, uint64_t size)
{
    host_call(__NR_madvise, address, size, MADV_DONTNEED);
}

void uffd_drop_all(const struct uffd_piece *pieces, uint32_t count)
{
    if (!count || host_call(__NR_process_madvise, OWN_PROCESS, pieces, count, MADV_DONTNEED, 0) ==
                      (long)count << LINE_SHIFT)
        return;
    for (uint32_t i = 0; i < count; i++)
        uffd_drop(pieces[i].address, pieces[i].size);
}
