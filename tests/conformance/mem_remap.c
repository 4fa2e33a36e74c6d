/* mremap in every form. */
#include "memory.h"

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#define MOVE(...)                                                                                  \
    ({                                                                                             \
        errno = 0;                                                                                 \
        char *result_ = mremap(__VA_ARGS__);                                                       \
        conformance_result("mremap(" #__VA_ARGS__ ")", result_ == MAP_FAILED ? -1 : LONG_MAX,      \
                           errno);                                                                 \
        result_;                                                                                   \
    })

CASE(mremap, arguments)
{
    char *p = pages(4, RW);
    MOVE(p + 1, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
    MOVE(p, PAGE, 0, MREMAP_MAYMOVE);
    MOVE(p, PAGE, PAGE, 0x100);
    MOVE(p, PAGE, PAGE, MREMAP_FIXED, p);
    MOVE(p, PAGE, PAGE, MREMAP_DONTUNMAP);
    MOVE(p, 0, PAGE, MREMAP_MAYMOVE);
    MOVE(p, 0, PAGE, 0);
}

CASE(mremap, of_nothing)
{
    char *p = pages(1, RW);
    MOVE(p + PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
    MOVE(NULL, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
    MOVE((void *)(1ul << 47), PAGE, 2 * PAGE, MREMAP_MAYMOVE);
}

CASE(mremap, shrinks)
{
    char *p = pages(4, RW);
    memset(p, 3, 4 * PAGE);
    SHOW("%d", mremap(p, 4 * PAGE, 2 * PAGE, 0) == p);
    SHOW("%d", p[2 * PAGE - 1]);
    FAULT(p, p[2 * PAGE] = 1);
}

CASE(mremap, shrinks_within_a_page)
{
    char *p = pages(1, RW);
    SHOW("%d", mremap(p, 100, 50, 0) == p);
    p[PAGE - 1] = 1;
}

CASE(mremap, same_size)
{
    char *p = pages(2, RW);
    SHOW("%d", mremap(p, 2 * PAGE, 2 * PAGE, 0) == p);
    SHOW("%d", mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE) == p);
}

CASE(mremap, grows_in_place)
{
    char *p = mmap(NULL, 8 * PAGE, RW, ANON, -1, 0);
    munmap(p + PAGE, 7 * PAGE);
    p[0] = 1;
    SHOW("%d", mremap(p, PAGE, 4 * PAGE, 0) == p);
    p[4 * PAGE - 1] = 2;
    SHOW("%d %d", p[0], p[4 * PAGE - 1]);
    FAULT(p, p[4 * PAGE] = 1);
}

CASE(mremap, no_room_in_place)
{
    char *p = pages(3, RW);
    mprotect(p + PAGE, PAGE, PROT_READ);
    p[0] = 8;
    MOVE(p, PAGE, 2 * PAGE, 0);
    char *q = MOVE(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
    SHOW("%d %d", q != p, q[0]);
    FAULT(p, p[0] = 1);
    q[PAGE] = 1;
}

CASE(mremap, part_of_a_mapping_grows)
{
    char *p = pages(4, RW);
    for (int i = 0; i < 4; i++)
        p[i * PAGE] = (char)('a' + i);
    char *q = MOVE(p, PAGE, 3 * PAGE, MREMAP_MAYMOVE);
    SHOW("%d %c %d", q != p, q[0], q[PAGE]);
    FAULT(p, p[0] = 1);
    SHOW("%c", p[PAGE]);
}

CASE(mremap, middle_moves)
{
    char *p = pages(5, RW), *to = pages(5, RW);
    for (int i = 0; i < 5; i++)
        p[i * PAGE] = (char)('a' + i);
    SHOW("%d",
         mremap(p + 2 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + PAGE) == to + PAGE);
    SHOW("%c%c %c %d", p[PAGE], p[3 * PAGE], to[PAGE], to[2 * PAGE]);
    FAULT(p, p[2 * PAGE] = 1);
}

CASE(mremap, fixed_replaces)
{
    char *p = pages(2, RW), *to = pages(4, RW);
    memset(p, 1, 2 * PAGE);
    memset(to, 2, 4 * PAGE);
    SHOW("%d",
         mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + PAGE) == to + PAGE);
    SHOW("%d %d %d %d", to[0], to[PAGE], to[2 * PAGE], to[3 * PAGE]);
}

CASE(mremap, fixed_onto_itself)
{
    char *p = pages(4, RW);
    MOVE(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p);
    MOVE(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p + PAGE);
    MOVE(p + PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, p);
}

CASE(mremap, fixed_unaligned)
{
    char *p = pages(1, RW), *to = pages(1, RW);
    MOVE(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + 1);
    MOVE(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)(1ul << 47));
    MOVE(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)-PAGE);
    p[0] = to[0] = 1;
}

CASE(mremap, fixed_grows)
{
    char *p = pages(1, RW), *to = pages(4, RW);
    p[0] = 6;
    SHOW("%d", mremap(p, PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
    to[2 * PAGE] = 1;
    SHOW("%d %d", to[0], to[PAGE]);
}

CASE(mremap, fixed_shrinks)
{
    char *p = pages(3, RW), *to = pages(3, RW);
    memset(p, 4, 3 * PAGE);
    memset(to, 5, 3 * PAGE);
    SHOW("%d", mremap(p, 3 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
    SHOW("%d %d", to[0], to[PAGE]);
    FAULT(p, p[2 * PAGE] = 1);
}

CASE(mremap, over_several_mappings)
{
    char *p = pages(4, RW);
    mprotect(p + PAGE, PAGE, PROT_READ);
    MOVE(p, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
    MOVE(p, 4 * PAGE, 2 * PAGE, 0);
}

CASE(mremap, over_a_hole)
{
    char *p = pages(4, RW);
    munmap(p + PAGE, PAGE);
    MOVE(p, 4 * PAGE, 8 * PAGE, MREMAP_MAYMOVE);
}

CASE(mremap, dont_unmap)
{
    char *p = pages(2, RW);
    strcpy(p, "moved");
    char *q = MOVE(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
    SHOW("%d", q != p);
    if (q == MAP_FAILED)
        return;
    SHOW("%s, %d", q, p[0]);
    p[0] = 1;
    SHOW("%c", q[0]);
}

CASE(mremap, dont_unmap_to_a_fixed_place)
{
    char *p = pages(2, RW), *to = pages(2, RW);
    strcpy(p, "moved");
    MOVE(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, to);
    SHOW("%s, %d", to, p[0]);
}

CASE(mremap, dont_unmap_of_another_size)
{
    char *p = pages(2, RW);
    MOVE(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
    MOVE(p, 2 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
}

CASE(mremap, file_mapping_grows)
{
    int fd = file_of(4 * PAGE);
    char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, PAGE);
    char *q = MOVE(p, PAGE, 3 * PAGE, MREMAP_MAYMOVE);
    SHOW("%c %c %c", q[0], q[PAGE], q[2 * PAGE]);
}

CASE(mremap, file_mapping_beyond_its_end)
{
    int fd = file_of(PAGE);
    char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    p[1] = 'B';
    char *q = MOVE(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
    SHOW("%c %c", q[0], q[1]);
    FAULT(q, (void)*(volatile char *)(q + PAGE));
}

CASE(mremap, read_only_stays_so)
{
    char *p = pages(1, RW);
    p[0] = 3;
    mprotect(p, PAGE, PROT_READ);
    char *q = MOVE(p, PAGE, 3 * PAGE, MREMAP_MAYMOVE);
    SHOW("%d", q[0]);
    FAULT(q, q[0] = 1);
    FAULT(q, q[2 * PAGE] = 1);
}

CASE(mremap, huge_sizes)
{
    char *p = pages(1, RW);
    MOVE(p, PAGE, (size_t)-1, MREMAP_MAYMOVE);
    MOVE(p, PAGE, 1ul << 47, MREMAP_MAYMOVE);
    MOVE(p, (size_t)-PAGE, PAGE, MREMAP_MAYMOVE);
    MOVE(p, 1ul << 47, PAGE, MREMAP_MAYMOVE);
    p[0] = 1;
}

CASE(mremap, large_content_moves)
{
    size_t size = 1500 * PAGE;
    int *p = mmap(NULL, size, RW, ANON, -1, 0);
    for (int i = 0; i < 1500; i++)
        p[i * 1024] = i;
    int *q = (int *)MOVE(p, size, 2 * size, MREMAP_MAYMOVE);
    long sum = 0;
    for (int i = 0; i < 1500; i++)
        sum += q[i * 1024];
    SHOW("%ld", sum);
}

CASE(mremap, again_and_again)
{
    char *p = pages(1, RW);
    p[7] = 'x';
    for (size_t n = 1; n < 300; n++)
        p = mremap(p, n * PAGE, (n + 1) * PAGE, MREMAP_MAYMOVE);
    SHOW("%c %d", p[7], p[299 * PAGE]);
}

CASE(mremap, protection_none)
{
    char *p = pages(2, PROT_NONE);
    char *q = MOVE(p, 2 * PAGE, 4 * PAGE, MREMAP_MAYMOVE);
    FAULT(q, q[PAGE] = 1);
}

CASE(mremap, of_code)
{
    static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};
    char *p = pages(1, RW);
    memcpy(p, code, sizeof code);
    mprotect(p, PAGE, PROT_READ | PROT_EXEC);
    SHOW("%d", ((int (*)(void))p)());
    char *to = pages(1, RW);
    char *q = MOVE(p, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    SHOW("%d", ((int (*)(void))q)());
}

CASE(mremap, old_size_zero_of_a_file)
{
    int fd = file_of(PAGE);
    char *p = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    MOVE(p, 0, PAGE, MREMAP_MAYMOVE);
}

CASE(mremap, after_fork)
{
    char *p = pages(3, RW);
    strcpy(p, "parent");
    if (fork() == 0) {
        char *q = MOVE(p, 3 * PAGE, 6 * PAGE, MREMAP_MAYMOVE);
        strcpy(q, "child");
        SHOW("%s", q);
        _exit(0);
    }
    wait(NULL);
    SHOW("%s", p);
}

CASE(remap_file_pages, of_a_private_mapping)
{
    char *p = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, file_of(2 * PAGE), 0);
    TRY(syscall(SYS_remap_file_pages, p, PAGE, 0, 1, 0));
    TRY(syscall(SYS_remap_file_pages, p, PAGE, PROT_READ, 1, 0));
    TRY(syscall(SYS_remap_file_pages, p, 0, 0, 1, 0));
}
