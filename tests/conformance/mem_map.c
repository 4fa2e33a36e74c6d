/* mmap, munmap, brk: private mappings, what they answer and what they leave. */
#include "memory.h"

#include <cpuid.h>
#include <sys/resource.h>

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define MAPS(...)                                                                                  \
    do {                                                                                           \
        errno = 0;                                                                                 \
        long result_ = (long)mmap(__VA_ARGS__);                                                    \
        conformance_result("mmap(" #__VA_ARGS__ ")", result_ == -1 ? -1 : LONG_MAX, errno);        \
    } while (0)

CASE(mmap, zero_length)
{
    MAPS(NULL, 0, RW, ANON, -1, 0);
    MAPS(NULL, 0, RW, ANON, -1, 1);
}

CASE(mmap, no_type)
{
    MAPS(NULL, PAGE, RW, MAP_ANONYMOUS, -1, 0);
    MAPS(NULL, PAGE, RW, 0, -1, 0);
    MAPS(NULL, PAGE, RW, 0x4 | MAP_ANONYMOUS, -1, 0);
}

CASE(mmap, odd_protection)
{
    MAPS(NULL, PAGE, 0x10, ANON, -1, 0);
    MAPS(NULL, PAGE, -1, ANON, -1, 0);
    MAPS(NULL, PAGE, PROT_READ | 0x8, ANON, -1, 0);
    MAPS(NULL, PAGE, PROT_GROWSDOWN | PROT_READ, ANON, -1, 0);
}

CASE(mmap, unknown_flags)
{
    MAPS(NULL, PAGE, RW, ANON | 0x8000000, -1, 0);
    MAPS(NULL, PAGE, RW, ANON | 0x80, -1, 0);
}

CASE(mmap, short_lengths_are_rounded)
{
    char *p = mmap(NULL, 2 * PAGE, RW, ANON, -1, 0);
    munmap(p, 2 * PAGE);
    char *q = mmap(p, 1, RW, ANON | MAP_FIXED, -1, 0);
    SHOW("%d", p == q);
    FAULT(q, q[PAGE - 1] = 1);
    FAULT(q, q[PAGE] = 1);
}

CASE(mmap, huge_lengths)
{
    MAPS(NULL, (size_t)-1, PROT_NONE, ANON, -1, 0);
    MAPS(NULL, (size_t)1 << 47, PROT_NONE, ANON, -1, 0);
    MAPS(NULL, (size_t)1 << 63, PROT_NONE, ANON, -1, 0);
    MAPS(NULL, (size_t)-PAGE, PROT_NONE, ANON, -1, 0);
    MAPS(NULL, (size_t)-PAGE + 1, PROT_NONE, ANON, -1, 0);
}

CASE(mmap, reservation)
{
    char *p = mmap(NULL, (size_t)1 << 40, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    SHOW("%d", p != MAP_FAILED);
    p += (size_t)1 << 39;
    TRY(mprotect(p, PAGE, RW));
    p[5] = 7;
    SHOW("%d", p[5]);
    FAULT(p, p[PAGE] = 1);
}

CASE(mmap, more_than_there_is)
{
    MAPS(NULL, (size_t)1 << 44, RW, ANON, -1, 0);
    MAPS(NULL, (size_t)1 << 44, PROT_READ, ANON, -1, 0);
}

CASE(mmap, anonymous_with_an_offset)
{
    MAPS(NULL, PAGE, RW, ANON, -1, PAGE);
    TRY(syscall(SYS_mmap, NULL, PAGE, RW, ANON, -1, 1));
}

CASE(mmap, anonymous_ignores_its_descriptor)
{
    MAPS(NULL, PAGE, RW, ANON, 99, 0);
}

CASE(mmap, zero_filled)
{
    char *p = pages(3, RW);
    int sum = 0;
    for (int i = 0; i < 3 * PAGE; i++)
        sum += p[i];
    SHOW("%d", sum);
}

CASE(mmap, hint_that_is_free)
{
    char *p = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);
    munmap(p, 4 * PAGE);
    SHOW("%d", mmap(p, PAGE, RW, ANON, -1, 0) == p);
}

CASE(mmap, hint_that_is_taken)
{
    char *p = pages(1, RW);
    p[0] = 5;
    char *q = mmap(p, PAGE, RW, ANON, -1, 0);
    SHOW("%d %d %d", p != q, p[0], q[0]);
}

CASE(mmap, hint_is_rounded_down)
{
    char *p = mmap(NULL, 4 * PAGE, RW, ANON, -1, 0);
    munmap(p, 4 * PAGE);
    char *q = mmap(p + 100, PAGE, RW, ANON, -1, 0);
    SHOW("%d", q == p || q == p + PAGE);
}

CASE(mmap, hint_out_of_range)
{
    MAPS((void *)~0ul, PAGE, RW, ANON, -1, 0);
    MAPS((void *)(1ul << 47), PAGE, RW, ANON, -1, 0);
}

CASE(mmap, hint_too_low)
{
    char *p = mmap((void *)PAGE, PAGE, RW, ANON, -1, 0);
    SHOW("%d", p != MAP_FAILED && p > (char *)PAGE);
}

CASE(mmap, fixed_replaces)
{
    char *p = pages(3, RW);
    memset(p, 1, 3 * PAGE);
    SHOW("%d", mmap(p + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0) == p + PAGE);
    SHOW("%d %d %d", p[0], p[PAGE], p[2 * PAGE]);
}

CASE(mmap, fixed_unaligned)
{
    char *p = pages(2, RW);
    MAPS(p + 1, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    MAPS(p + 1, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
}

CASE(mmap, fixed_at_zero)
{
    MAPS((void *)0, PAGE, RW, ANON | MAP_FIXED, -1, 0);
}

CASE(mmap, fixed_out_of_range)
{
    MAPS((void *)(1ul << 47), PAGE, RW, ANON | MAP_FIXED, -1, 0);
    MAPS((void *)-PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    MAPS((void *)(3ul << 45), 1ul << 47, PROT_NONE, ANON | MAP_FIXED, -1, 0);
}

CASE(mmap, fixed_noreplace)
{
    char *p = pages(3, RW);
    p[0] = 9;
    MAPS(p, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
    MAPS(p - PAGE, 2 * PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
    SHOW("%d", p[0]);
    munmap(p + PAGE, PAGE);
    SHOW("%d", mmap(p + PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == p + PAGE);
}

CASE(mmap, fixed_over_a_file_mapping)
{
    int fd = file_of(2 * PAGE);
    char *p = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    mmap(p, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    SHOW("%d %c", p[0], p[PAGE]);
}

CASE(mmap, populate)
{
    char *p = mmap(NULL, 16 * PAGE, RW, ANON | MAP_POPULATE, -1, 0);
    unsigned char in[16];
    int n = 0;
    TRY(mincore(p, 16 * PAGE, in));
    for (int i = 0; i < 16; i++)
        n += in[i] & 1;
    SHOW("%d", n);
}

CASE(mmap, populate_a_file)
{
    int fd = file_of(4 * PAGE);
    char *p = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    SHOW("%c%c%c%c", p[0], p[PAGE], p[2 * PAGE], p[3 * PAGE]);
}

CASE(mmap, stack_noreserve_locked)
{
    MAPS(NULL, 8 * PAGE, RW, ANON | MAP_STACK, -1, 0);
    MAPS(NULL, 8 * PAGE, RW, ANON | MAP_NORESERVE, -1, 0);
    MAPS(NULL, 8 * PAGE, RW, ANON | MAP_LOCKED, -1, 0);
    MAPS(NULL, 8 * PAGE, RW, ANON | MAP_NONBLOCK, -1, 0);
    MAPS(NULL, 8 * PAGE, RW, ANON | MAP_DENYWRITE | MAP_EXECUTABLE, -1, 0);
}

CASE(mmap, low_2_gib)
{
    char *p = mmap(NULL, 16 * PAGE, RW, ANON | MAP_32BIT, -1, 0);
    SHOW("%d", p != MAP_FAILED && (unsigned long)p + 16 * PAGE <= 1ul << 31);
    p[3] = 4;
    char *q = mmap(NULL, PAGE, RW, ANON | MAP_32BIT, -1, 0);
    SHOW("%d", q != MAP_FAILED && (unsigned long)q < 1ul << 31 && q != p);
    MAPS(NULL, 1ul << 32, PROT_NONE, ANON | MAP_32BIT, -1, 0);
}

CASE(mmap, low_2_gib_with_a_hint)
{
    char *const low = (char *)(80ul << 20), *const within = (char *)(1280ul << 20);
    SHOW("%d", mmap(within, PAGE, RW, ANON | MAP_32BIT, -1, 0) == within);
    SHOW("%d", mmap(low, PAGE, RW, ANON | MAP_32BIT, -1, 0) == low);
    char *p = mmap(within, PAGE, RW, ANON | MAP_32BIT, -1, 0); /* taken */
    SHOW("%d", p != within && (unsigned long)p < 1ul << 31);
    p = mmap((char *)(1ul << 31) - PAGE, 2 * PAGE, RW, ANON | MAP_32BIT, -1, 0);
    SHOW("%d", (unsigned long)p + 2 * PAGE <= 1ul << 31);
    p = mmap((char *)(1ul << 40), PAGE, RW, ANON | MAP_32BIT, -1, 0);
    SHOW("%d", (unsigned long)p < 1ul << 31);
}

CASE(mmap, huge_pages_are_not_there)
{
    MAPS(NULL, 2 << 20, RW, ANON | MAP_HUGETLB, -1, 0);
    MAPS(NULL, 1 << 30, RW, ANON | MAP_HUGETLB | (30 << MAP_HUGE_SHIFT), -1, 0);
    MAPS(NULL, 1 << 20, RW, ANON | MAP_HUGETLB | (13 << MAP_HUGE_SHIFT), -1, 0);
}

CASE(mmap, grows_down)
{
    char *base = mmap(NULL, 1 << 21, PROT_NONE, ANON, -1, 0);
    munmap(base, 1 << 21);
    char *p = mmap(base + (1 << 20), 4 * PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
    p[0] = 1;
    FAULT(p, p[-1] = 2);
    FAULT(p, p[-10 * PAGE] = 3);
    SHOW("%d", p[-1] + p[-10 * PAGE]);
}

CASE(mmap, grows_down_keeps_its_guard)
{
    char *base = mmap(NULL, 1 << 21, PROT_NONE, ANON, -1, 0);
    munmap(base, 1 << 21);
    char *low = mmap(base, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    char *p = mmap(low + 400 * PAGE, PAGE, RW, ANON | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
    FAULT(p, p[-100 * PAGE] = 1);
    FAULT(p, p[-150 * PAGE] = 1);
    SHOW("%d", low[0]);
}

CASE(mmap, grows_down_of_a_file)
{
    MAPS(NULL, PAGE, RW, MAP_PRIVATE | MAP_GROWSDOWN, file_of(PAGE), 0);
}

CASE(mmap, file_offset_unaligned)
{
    int fd = file_of(2 * PAGE);
    TRY(syscall(SYS_mmap, NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 100));
    MAPS(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, PAGE);
}

CASE(mmap, file_offset_negative)
{
    int fd = file_of(PAGE);
    MAPS(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, -PAGE);
    MAPS(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, -PAGE);
    MAPS(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, LONG_MAX & ~4095l);
}

CASE(mmap, bad_descriptor)
{
    MAPS(NULL, PAGE, PROT_READ, MAP_PRIVATE, -1, 0);
    MAPS(NULL, PAGE, PROT_READ, MAP_PRIVATE, 99, 0);
    MAPS(NULL, 0, PROT_READ, MAP_PRIVATE, 99, 0);
    MAPS(NULL, 0, PROT_READ, MAP_PRIVATE, file_of(1), 0);
}

CASE(mmap, write_only_descriptor)
{
    close(file_of(PAGE));
    int fd = open("f", O_WRONLY);
    MAPS(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    MAPS(NULL, PAGE, PROT_WRITE, MAP_PRIVATE, fd, 0);
}

CASE(mmap, read_only_descriptor)
{
    close(file_of(PAGE));
    int fd = open("f", O_RDONLY);
    char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    p[0] = 'z';
    char c = 0;
    pread(fd, &c, 1, 0);
    SHOW("%c %c", p[0], c);
}

CASE(mmap, path_descriptor)
{
    close(file_of(PAGE));
    MAPS(NULL, PAGE, PROT_READ, MAP_PRIVATE, open("f", O_PATH), 0);
}

CASE(mmap, of_what_cannot_be_mapped)
{
    int ends[2];
    pipe(ends);
    MAPS(NULL, PAGE, PROT_READ, MAP_PRIVATE, ends[0], 0);
    MAPS(NULL, PAGE, PROT_READ, MAP_PRIVATE, open(".", O_RDONLY), 0);
    MAPS(NULL, PAGE, PROT_READ, MAP_PRIVATE, open("/proc/self/status", O_RDONLY), 0);
}

CASE(mmap, dev_zero)
{
    int fd = open("/dev/zero", O_RDWR);
    char *p = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, 0);
    SHOW("%d", p != MAP_FAILED);
    if (p == MAP_FAILED)
        return;
    p[PAGE] = 3;
    SHOW("%d %d", p[0], p[PAGE]);
}

CASE(mmap, file_beyond_its_end)
{
    int fd = file_of(PAGE + 10);
    char *p = mmap(NULL, 4 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    SHOW("%c %d", p[PAGE + 9], p[PAGE + 10]);
    FAULT(p, (void)*(volatile char *)&p[2 * PAGE]);
    FAULT(p, (void)*(volatile char *)&p[3 * PAGE + 77]);
}

CASE(mmap, file_write_beyond_its_end)
{
    int fd = file_of(10);
    char *p = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, 0);
    FAULT(p, p[PAGE - 1] = 1);
    FAULT(p, p[PAGE] = 1);
    SHOW("%ld", (long)lseek(fd, 0, SEEK_END));
}

CASE(mmap, empty_file)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    FAULT(p, (void)*(volatile char *)&p[5]);
}

CASE(mmap, offset_beyond_the_end)
{
    int fd = file_of(PAGE);
    char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 16 * PAGE);
    FAULT(p, (void)*(volatile char *)p);
}

CASE(mmap, file_closed_and_unlinked)
{
    int fd = file_of(2 * PAGE);
    char *p = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    unlink("f");
    SHOW("%c %c", p[0], p[PAGE]);
}

CASE(mmap, private_writes_stay_private)
{
    int fd = file_of(2 * PAGE);
    char *p = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, 0),
         *q = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, fd, 0);
    p[0] = '1';
    q[0] = '2';
    char c;
    pread(fd, &c, 1, 0);
    SHOW("%c %c %c", p[0], q[0], c);
}

CASE(mmap, protection_none)
{
    char *p = pages(1, PROT_NONE);
    FAULT(p, (void)*(volatile char *)p);
    FAULT(p, p[8] = 1);
    FAULT(p, ((void (*)(void))p)());
}

CASE(mmap, write_implies_read)
{
    char *p = pages(1, PROT_WRITE);
    FAULT(p, (void)*(volatile char *)p);
    FAULT(p, p[0] = 1);
}

CASE(mmap, read_only)
{
    char *p = pages(1, PROT_READ);
    SHOW("%d", p[0]);
    FAULT(p, p[3] = 1);
    FAULT(p, ((void (*)(void))p)());
}

/* Linux makes what is executable only unreadable by them; Ashlar does not (docs/caveats.md). */
static bool has_protection_keys(void)
{
    unsigned a, b, c = 0, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c & bit_OSPKE;
}

CASE(mmap, execute_only)
{
    char *p = pages(1, PROT_EXEC);
    if (!has_protection_keys())
        FAULT(p, p[3] = 1);
}

CASE(mmap, neighbours_join)
{
    char *p = pages(3, RW);
    munmap(p + PAGE, PAGE);
    mmap(p + PAGE, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    p[0] = p[PAGE] = p[2 * PAGE] = 1;
    OK(mremap(p, 3 * PAGE, 2 * PAGE, 0));
}

CASE(munmap, arguments)
{
    char *p = pages(2, RW);
    TRY(munmap(p + 1, PAGE));
    TRY(munmap(p, 0));
    TRY(munmap((void *)(1ul << 47), PAGE));
    TRY(munmap((void *)-PAGE, PAGE));
    TRY(munmap(p, (size_t)-1));
    TRY(munmap(p, 1ul << 47));
}

CASE(munmap, what_is_not_mapped)
{
    char *p = pages(1, RW);
    TRY(munmap(p + PAGE, PAGE));
    TRY(munmap(p, PAGE));
    TRY(munmap(p, PAGE));
}

CASE(munmap, across_holes)
{
    char *p = pages(5, RW);
    munmap(p + PAGE, PAGE);
    munmap(p + 3 * PAGE, PAGE);
    TRY(munmap(p, 5 * PAGE));
    FAULT(p, p[0] = 1);
    FAULT(p, p[4 * PAGE] = 1);
}

CASE(munmap, the_middle)
{
    char *p = pages(3, RW);
    memset(p, 7, 3 * PAGE);
    TRY(munmap(p + PAGE, 1));
    FAULT(p, p[PAGE] = 1);
    FAULT(p, p[2 * PAGE - 1] = 1);
    SHOW("%d %d", p[PAGE - 1], p[2 * PAGE]);
}

CASE(munmap, content_is_gone)
{
    char *p = pages(1, RW);
    p[0] = 1;
    munmap(p, PAGE);
    mmap(p, PAGE, RW, ANON | MAP_FIXED, -1, 0);
    SHOW("%d", p[0]);
}

CASE(munmap, address_zero)
{
    TRY(munmap(NULL, PAGE));
    TRY(munmap((void *)PAGE, PAGE));
}

CASE(brk, grows_and_shrinks)
{
    char *at = sbrk(0);
    SHOW("%d", sbrk(3 * PAGE) == at);
    memset(at, 5, 3 * PAGE);
    SHOW("%d", sbrk(-2 * PAGE) == at + 3 * PAGE);
    char *page = (char *)(((unsigned long)at + PAGE - 1) & ~4095ul);
    FAULT(page, page[2 * PAGE] = 1);
    sbrk(2 * PAGE);
    SHOW("%d %d", page[0], page[2 * PAGE]);
}

CASE(brk, refuses_the_impossible)
{
    char *at = sbrk(0);
    TRY(brk((void *)1));
    TRY(brk((void *)(1ul << 47)));
    SHOW("%d", sbrk(0) == at);
    SHOW("%d", syscall(SYS_brk, 0) == (long)at);
}

CASE(brk, not_onto_a_mapping)
{
    char *at = sbrk(0), *page = (char *)(((unsigned long)at + PAGE - 1) & ~4095ul);
    char *p = mmap(page + 4 * PAGE, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0);
    SHOW("%d", p == page + 4 * PAGE);
    TRY(brk(page + 5 * PAGE));
    TRY(brk(page + 2 * PAGE));
}

CASE(brk, within_a_page)
{
    char *at = sbrk(0);
    TRY(brk(at + 10));
    at[9] = 1;
    TRY(brk(at + 20));
    SHOW("%d", at[9]);
}

CASE(brk, limited_by_data)
{
    struct rlimit l = {1 << 20, 1 << 20};
    TRY(setrlimit(RLIMIT_DATA, &l));
    TRY(brk((char *)sbrk(0) + (2 << 20)));
    MAPS(NULL, 2 << 20, RW, ANON, -1, 0);
    MAPS(NULL, 2 << 20, PROT_READ, ANON, -1, 0);
}

CASE(mmap, limited_address_space)
{
    struct rlimit l = {64 << 20, 64 << 20};
    TRY(setrlimit(RLIMIT_AS, &l));
    MAPS(NULL, 128 << 20, PROT_NONE, ANON, -1, 0);
    MAPS(NULL, 1 << 20, RW, ANON, -1, 0);
    char *p = mmap(NULL, PAGE, RW, ANON, -1, 0);
    TRY((long)mremap(p, PAGE, 128 << 20, MREMAP_MAYMOVE));
}

CASE(mmap, one_page_of_each_protection)
{
    for (int prot = 0; prot < 8; prot++) {
        char *p = pages(1, prot);
        SHOW("prot %d", prot);
        if (prot == PROT_EXEC && has_protection_keys())
            continue;
        FAULT(p, (void)*(volatile char *)p);
        FAULT(p, *(volatile char *)p = (char)0xc3);
    }
}

CASE(mmap, many_mappings)
{
    char *p = mmap(NULL, 2000 * PAGE, PROT_NONE, ANON, -1, 0);
    int failed = 0;
    for (int i = 0; i < 2000; i += 2)
        failed += mprotect(p + i * PAGE, PAGE, RW) < 0;
    for (int i = 0; i < 2000; i += 2)
        p[i * PAGE] = 1;
    SHOW("%d", failed);
    FAULT(p, p[PAGE] = 1);
    TRY(munmap(p, 2000 * PAGE));
}

CASE(mmap, more_than_map_count)
{
    char *p = mmap(NULL, 200000ul * PAGE, PROT_NONE, ANON | MAP_NORESERVE, -1, 0);
    long i = 0;
    while (i < 200000 && mprotect(p + i * PAGE, PAGE, PROT_READ) == 0)
        i += 2;
    int error = errno;
    SHOW("%s %d", strerrorname_np(error), i > 60000 && i < 70000);
    errno = 0;
    SHOW("%d %s", munmap(p + PAGE, PAGE) <= 0, "tried");
    TRY(munmap(p, 200000ul * PAGE));
}

CASE(mmap, call_with_wide_arguments)
{
    char *p = (char *)syscall(SYS_mmap, 0, PAGE, RW | (1ul << 40), (long)ANON | (1ul << 40),
                              0xffffffffl, 0);
    SHOW("%d", p != MAP_FAILED);
}
