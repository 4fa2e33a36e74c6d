/* madvise, mincore, mlock, msync, membarrier and kin. */
#include "memory.h"

#include <linux/membarrier.h>
#include <sys/resource.h>
#include <sys/uio.h>

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

CASE(madvise, arguments)
{
    char *p = pages(2, RW);
    TRY(madvise(p + 1, PAGE, MADV_NORMAL));
    TRY(madvise(p, 0, MADV_NORMAL));
    TRY(madvise(p, PAGE, 77));
    TRY(madvise(p, PAGE, -1));
    TRY(madvise(p, 0, 77));
    TRY(madvise(p, (size_t)-1, MADV_NORMAL));
    TRY(madvise(p, (size_t)-PAGE, MADV_NORMAL));
    TRY(madvise(NULL, PAGE, MADV_NORMAL));
    TRY(madvise(NULL, 0, MADV_NORMAL));
}

CASE(madvise, harmless)
{
    static const int advices[] = {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_DONTDUMP,
                                  MADV_DODUMP, MADV_COLD,   MADV_PAGEOUT,    MADV_DOFORK};
    char *p = pages(2, RW);
    strcpy(p, "kept");
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++) {
        SHOW("%d", advices[i]);
        TRY(madvise(p, 2 * PAGE, advices[i]));
    }
    SHOW("%s", p);
}

CASE(madvise, holes)
{
    static const int advices[] = {
        MADV_NORMAL,     MADV_RANDOM,     MADV_SEQUENTIAL,    MADV_DONTNEED,      MADV_FREE,
        MADV_COLD,       MADV_PAGEOUT,    MADV_DONTFORK,      MADV_DOFORK,        MADV_DONTDUMP,
        MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_POPULATE_READ, MADV_POPULATE_WRITE};
    char *p = pages(3, RW);
    munmap(p + PAGE, PAGE);
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++) {
        SHOW("%d", advices[i]);
        TRY(madvise(p, 3 * PAGE, advices[i]));
        TRY(madvise(p + PAGE, PAGE, advices[i]));
    }
}

CASE(madvise, dontneed_anonymous)
{
    char *p = pages(3, RW);
    memset(p, 1, 3 * PAGE);
    TRY(madvise(p + PAGE, PAGE, MADV_DONTNEED));
    SHOW("%d %d %d", p[0], p[PAGE], p[2 * PAGE]);
}

CASE(madvise, dontneed_file)
{
    char *p = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, file_of(2 * PAGE), 0);
    p[0] = p[PAGE] = 'Z';
    TRY(madvise(p, PAGE, MADV_DONTNEED));
    SHOW("%c %c", p[0], p[PAGE]);
}

CASE(madvise, dontneed_across_a_hole)
{
    char *p = pages(3, RW);
    memset(p, 1, 3 * PAGE);
    munmap(p + PAGE, PAGE);
    TRY(madvise(p, 3 * PAGE, MADV_DONTNEED));
    SHOW("%d %d", p[0], p[2 * PAGE]);
}

CASE(madvise, dontneed_rounds_up)
{
    char *p = pages(2, RW);
    memset(p, 1, 2 * PAGE);
    TRY(madvise(p, PAGE + 1, MADV_DONTNEED));
    SHOW("%d %d", p[0], p[PAGE]);
}

CASE(madvise, dontneed_read_only)
{
    char *p = pages(1, RW);
    p[0] = 1;
    mprotect(p, PAGE, PROT_READ);
    TRY(madvise(p, PAGE, MADV_DONTNEED));
    SHOW("%d", p[0]);
}

CASE(madvise, dontneed_evicted)
{
    size_t n = 3000;
    char *p = mmap(NULL, n * PAGE, RW, ANON, -1, 0);
    for (size_t i = 0; i < n; i++)
        p[i * PAGE] = (char)(i % 100 + 1);
    TRY(madvise(p, n / 2 * PAGE, MADV_DONTNEED));
    long low = 0, high = 0;
    for (size_t i = 0; i < n; i++)
        *(i < n / 2 ? &low : &high) += p[i * PAGE];
    SHOW("%ld %ld", low, high);
}

CASE(madvise, free)
{
    char *p = pages(2, RW);
    p[0] = 1;
    TRY(madvise(p, 2 * PAGE, MADV_FREE));
    p[0] = 2;
    SHOW("%d", p[0]);
    p[PAGE] = 3;
    TRY(madvise(p, 2 * PAGE, MADV_FREE));
    SHOW("%d", (p[0] == 2 || p[0] == 0) && (p[PAGE] == 3 || p[PAGE] == 0));
    munmap(p + PAGE, PAGE);
    TRY(madvise(p, 2 * PAGE, MADV_FREE));
    p = mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    p[0] = 1;
    TRY(madvise(p, PAGE, MADV_FREE));
    SHOW("%d", p[0]);
}

CASE(madvise, free_of_a_file)
{
    char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE, file_of(PAGE), 0);
    TRY(madvise(p, PAGE, MADV_FREE));
}

CASE(madvise, willneed)
{
    char *p = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, file_of(2 * PAGE), 0);
    TRY(madvise(p, 2 * PAGE, MADV_WILLNEED));
    SHOW("%c %c", p[0], p[PAGE]);
    TRY(madvise(pages(2, RW), 2 * PAGE, MADV_WILLNEED));
}

CASE(madvise, dontfork)
{
    char *p = pages(3, RW);
    memset(p, 1, 3 * PAGE);
    TRY(madvise(p + PAGE, PAGE, MADV_DONTFORK));
    fflush(stdout);
    if (fork() == 0) {
        SHOW("%d", p[0]);
        FAULT(p, (void)*(volatile char *)(p + PAGE));
        SHOW("%d", p[2 * PAGE]);
        _exit(0);
    }
    wait(NULL);
    SHOW("%d", p[PAGE]);
    TRY(madvise(p + PAGE, PAGE, MADV_DOFORK));
    if (fork() == 0) {
        SHOW("%d", p[PAGE]);
        _exit(0);
    }
    wait(NULL);
}

CASE(madvise, wipeonfork)
{
    char *p = pages(3, RW);
    memset(p, 1, 3 * PAGE);
    TRY(madvise(p + PAGE, PAGE, MADV_WIPEONFORK));
    fflush(stdout);
    if (fork() == 0) {
        SHOW("%d %d %d", p[0], p[PAGE], p[2 * PAGE]);
        p[PAGE] = 5;
        fflush(stdout);
        if (fork() == 0) {
            SHOW("%d", p[PAGE]);
            _exit(0);
        }
        wait(NULL);
        _exit(0);
    }
    wait(NULL);
    SHOW("%d", p[PAGE]);
    TRY(madvise(p, 3 * PAGE, MADV_KEEPONFORK));
    if (fork() == 0) {
        SHOW("%d", p[PAGE]);
        _exit(0);
    }
    wait(NULL);
}

CASE(madvise, wipeonfork_of_a_file)
{
    char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE, file_of(PAGE), 0);
    TRY(madvise(p, PAGE, MADV_WIPEONFORK));
    TRY(madvise(p, PAGE, MADV_KEEPONFORK));
}

CASE(madvise, remove)
{
    char *p = pages(1, RW);
    TRY(madvise(p, PAGE, MADV_REMOVE));
    p = mmap(NULL, PAGE, RW, MAP_PRIVATE, file_of(PAGE), 0);
    TRY(madvise(p, PAGE, MADV_REMOVE));
}

CASE(madvise, populate_read)
{
    char *p = pages(8, RW);
    unsigned char in[8];
    TRY(madvise(p, 8 * PAGE, MADV_POPULATE_READ));
    mincore(p, 8 * PAGE, in);
    int n = 0;
    for (int i = 0; i < 8; i++)
        n += in[i] & 1;
    SHOW("%d", n);
}

CASE(madvise, populate_write)
{
    char *p = pages(2, RW);
    p[0] = 9;
    TRY(madvise(p, 2 * PAGE, MADV_POPULATE_WRITE));
    SHOW("%d %d", p[0], p[PAGE]);
    mprotect(p, PAGE, PROT_READ);
    TRY(madvise(p, 2 * PAGE, MADV_POPULATE_WRITE));
    TRY(madvise(p, 2 * PAGE, MADV_POPULATE_READ));
    mprotect(p, PAGE, PROT_NONE);
    TRY(madvise(p, 2 * PAGE, MADV_POPULATE_READ));
}

CASE(madvise, populate_beyond_a_file)
{
    char *p = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, file_of(10), 0);
    TRY(madvise(p, PAGE, MADV_POPULATE_READ));
    TRY(madvise(p, 2 * PAGE, MADV_POPULATE_READ));
    TRY(madvise(p, 2 * PAGE, MADV_POPULATE_WRITE));
}

CASE(madvise, poison_is_refused)
{
    char *p = pages(1, RW);
    TRY(madvise(p, PAGE, MADV_HWPOISON));
    TRY(madvise(p, PAGE, 101 /* MADV_SOFT_OFFLINE */));
}

CASE(process_madvise, bad_arguments)
{
    TRY(syscall(SYS_process_madvise, -1, NULL, 0, MADV_COLD, 0));
    TRY(syscall(SYS_process_madvise, 0, NULL, 0, MADV_COLD, 1));
}

CASE(mincore, arguments)
{
    char *p = pages(2, RW);
    unsigned char in[4];
    TRY(mincore(p + 1, PAGE, in));
    TRY(mincore(p, 3 * PAGE, in));
    TRY(mincore(p, PAGE, BAD_POINTER));
    TRY(mincore(p, 0, in));
    TRY(mincore(p, (size_t)-1, in));
    TRY(mincore((void *)(1ul << 47), PAGE, in));
    TRY(mincore(p + PAGE, 2 * PAGE, in));
}

CASE(mincore, touched_or_not)
{
    char *p = pages(3, RW);
    unsigned char in[3] = {0xff, 0xff, 0xff};
    p[PAGE] = 1;
    TRY(mincore(p, 3 * PAGE, in));
    SHOW("%d", in[1] & 1);
    SHOW("%d", (in[0] | in[1] | in[2]) & ~1);
    madvise(p, 3 * PAGE, MADV_DONTNEED);
    mincore(p, 3 * PAGE, in);
    SHOW("%d", in[1] & 1);
}

CASE(mincore, writes_what_it_can)
{
    char *p = pages(3, RW);
    unsigned char *in = before_a_hole(2);
    TRY(mincore(p, 2 * PAGE, in));
    TRY(mincore(p, 3 * PAGE, in));
}

CASE(mlock, arguments)
{
    char *p = pages(3, RW);
    TRY(mlock(p, PAGE));
    TRY(mlock(p + 10, 10));
    TRY(mlock(p, 0));
    TRY(munlock(p, PAGE));
    TRY(munlock(p, PAGE));
    munmap(p + PAGE, PAGE);
    TRY(mlock(p, 3 * PAGE));
    TRY(munlock(p, 3 * PAGE));
    TRY(mlock(p, (size_t)-1));
    TRY(mlock(NULL, PAGE));
}

CASE(mlock, protection_none)
{
    char *p = pages(1, PROT_NONE);
    TRY(mlock(p, PAGE));
}

CASE(mlock, limit)
{
    struct rlimit l = {8 * PAGE, 8 * PAGE};
    char *p = pages(20, RW);
    TRY(setrlimit(RLIMIT_MEMLOCK, &l));
    TRY(mlock(p, 8 * PAGE));
    TRY(mlock(p + 8 * PAGE, PAGE));
    TRY(mlock(p, 4 * PAGE));
    TRY(munlock(p, 4 * PAGE));
    TRY(mlock(p + 8 * PAGE, 4 * PAGE));
    TRY(mlock(p, 20 * PAGE));
}

CASE(mlock, limit_of_none)
{
    struct rlimit l = {0, 0};
    char *p = pages(1, RW);
    TRY(setrlimit(RLIMIT_MEMLOCK, &l));
    TRY(mlock(p, PAGE));
    TRY(mlock(p, 0));
    TRY(munlock(p, PAGE));
    TRY(mlockall(MCL_CURRENT));
    TRY(munlockall());
}

CASE(mlock, given_back_by_munmap)
{
    struct rlimit l = {4 * PAGE, 4 * PAGE};
    TRY(setrlimit(RLIMIT_MEMLOCK, &l));
    char *p = pages(4, RW), *q = pages(4, RW);
    TRY(mlock(p, 4 * PAGE));
    TRY(mlock(q, PAGE));
    munmap(p, 4 * PAGE);
    TRY(mlock(q, PAGE));
}

CASE(mlock2, flags)
{
    char *p = pages(2, RW);
    TRY(mlock2(p, PAGE, 0));
    TRY(mlock2(p, PAGE, MLOCK_ONFAULT));
    TRY(mlock2(p, PAGE, 2));
    TRY(mlock2(p, PAGE, -1));
}

CASE(mlockall, flags)
{
    TRY(mlockall(0));
    TRY(mlockall(8));
    TRY(mlockall(MCL_ONFAULT));
    TRY(munlockall());
}

static int status_kb(const char *name)
{
    char line[200];
    int kb = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name)))
            kb = atoi(line + strlen(name));
    fclose(f);
    return kb;
}

CASE(mlock, in_status)
{
    char *p = pages(6, RW);
    TRY(mlock(p, 5 * PAGE));
    SHOW("%d", status_kb("VmLck:"));
}

CASE(mlock, moved_and_cut)
{
    struct rlimit l = {12 * PAGE, 12 * PAGE};
    char *p = pages(4, RW);
    TRY(setrlimit(RLIMIT_MEMLOCK, &l));
    TRY(mlock(p, 4 * PAGE));
    p = mremap(p, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    SHOW("%d", status_kb("VmLck:"));
    SHOW("%s", mremap(p, 8 * PAGE, 20 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED ? strerrorname_np(errno)
                                                                            : "moved");
    TRY(mprotect(p + PAGE, PAGE, PROT_READ));
    SHOW("%d", status_kb("VmLck:"));
    TRY(munlock(p + 2 * PAGE, PAGE));
    SHOW("%d", status_kb("VmLck:"));
    munmap(p, 2 * PAGE);
    SHOW("%d", status_kb("VmLck:"));
    mmap(p + 4 * PAGE, 2 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    SHOW("%d", status_kb("VmLck:"));
    mremap(p + 6 * PAGE, 2 * PAGE, PAGE, 0);
    SHOW("%d", status_kb("VmLck:"));
}

CASE(mlockall, in_status)
{
    TRY(mlockall(MCL_CURRENT | MCL_FUTURE));
    SHOW("%d", status_kb("VmLck:") > status_kb("VmSize:") - 200);
    int before = status_kb("VmLck:");
    char *p = mmap(NULL, 20 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sbrk(10 * PAGE);
    SHOW("%d", status_kb("VmLck:") - before);
    TRY(madvise(p, PAGE, MADV_DONTNEED));
    TRY(munlockall());
    SHOW("%d", status_kb("VmLck:"));
    TRY(madvise(p, PAGE, MADV_DONTNEED));
}

CASE(mlock, not_inherited_by_fork)
{
    struct rlimit l = {4 * PAGE, 4 * PAGE};
    TRY(setrlimit(RLIMIT_MEMLOCK, &l));
    char *p = pages(4, RW), *q = pages(4, RW);
    TRY(mlock(p, 4 * PAGE));
    fflush(stdout);
    if (fork() == 0) {
        TRY(mlock(q, 4 * PAGE));
        _exit(0);
    }
    wait(NULL);
}

CASE(mlock, madvise_dontneed)
{
    char *p = pages(1, RW);
    mlock(p, PAGE);
    p[0] = 1;
    TRY(madvise(p, PAGE, MADV_DONTNEED));
    munlock(p, PAGE);
    TRY(madvise(p, PAGE, MADV_DONTNEED));
}

CASE(msync, arguments)
{
    char *p = pages(2, RW);
    TRY(msync(p, PAGE, 0));
    TRY(msync(p, PAGE, MS_SYNC));
    TRY(msync(p, PAGE, MS_ASYNC));
    TRY(msync(p, PAGE, MS_INVALIDATE));
    TRY(msync(p, PAGE, MS_SYNC | MS_ASYNC));
    TRY(msync(p, PAGE, 8));
    TRY(msync(p + 1, PAGE, MS_SYNC));
    TRY(msync(p, 0, MS_SYNC));
    TRY(msync(p, 3 * PAGE, MS_SYNC));
    TRY(msync(p + 2 * PAGE, PAGE, MS_SYNC));
    TRY(msync(p, (size_t)-1, MS_SYNC));
}

CASE(msync, private_file)
{
    int fd = file_of(PAGE);
    char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0), c;
    p[0] = 'Z';
    TRY(msync(p, PAGE, MS_SYNC));
    pread(fd, &c, 1, 0);
    SHOW("%c", c);
}

CASE(msync, locked_and_invalidated)
{
    char *p = pages(1, RW);
    mlock(p, PAGE);
    TRY(msync(p, PAGE, MS_INVALIDATE));
    munlock(p, PAGE);
    TRY(msync(p, PAGE, MS_INVALIDATE));
}

CASE(membarrier, commands)
{
    SHOW("%d", (syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) & 1) == 1);
    TRY(syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0));
    TRY(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
    TRY(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
    TRY(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
    TRY(syscall(SYS_membarrier, 1 << 30, 0, 0));
    TRY(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 1, 0));
}

CASE(process_vm, own_memory)
{
    char from[] = "from here", to[10] = "";
    struct iovec l = {to, 10}, r = {from, 10};
    TRY(process_vm_readv(getpid(), &l, 1, &r, 1, 0));
    SHOW("%s", to);
    strcpy(to, "back");
    TRY(process_vm_writev(getpid(), &l, 1, &r, 1, 0));
    SHOW("%s", from);
}

CASE(process_vm, errors)
{
    char a[16];
    struct iovec l = {a, 16}, r = {a, 16}, bad = {BAD_POINTER, 16};
    TRY(process_vm_readv(getpid(), &l, 1, &r, 1, 1));
    TRY(process_vm_readv(getpid(), &l, 1, &bad, 1, 0));
    TRY(process_vm_readv(getpid(), &bad, 1, &r, 1, 0));
    TRY(process_vm_readv(0x3ffffff, &l, 1, &r, 1, 0));
    TRY(process_vm_readv(getpid(), &l, 0, &r, 1, 0));
    TRY(process_vm_readv(getpid(), &l, 1, &r, 0, 0));
    TRY(process_vm_readv(getpid(), &l, 2000, &r, 1, 0));
    TRY(process_vm_readv(getpid(), BAD_POINTER, 1, &r, 1, 0));
}

CASE(process_vm, partial)
{
    char out[64];
    char *p = pages(1, RW);
    struct iovec l = {out, 64}, r = {p + PAGE - 10, 64};
    TRY(process_vm_readv(getpid(), &l, 1, &r, 1, 0));
    struct iovec two[2] = {{p, 10}, {p + PAGE, 10}};
    TRY(process_vm_readv(getpid(), &l, 1, two, 2, 0));
}

CASE(overcommit, heuristic)
{
    void *p = mmap(NULL, 1ul << 30, RW, ANON, -1, 0);
    SHOW("%d", p != MAP_FAILED);
    p = mmap(NULL, 1ul << 45, RW, ANON, -1, 0);
    SHOW("%d", p != MAP_FAILED);
    p = mmap(NULL, 1ul << 45, RW, ANON | MAP_NORESERVE, -1, 0);
    SHOW("%d", p != MAP_FAILED);
    p = mmap(NULL, 1ul << 43, PROT_NONE, ANON, -1, 0);
    SHOW("%d", p != MAP_FAILED);
    TRY(mprotect(p, 1ul << 43, RW));
}
