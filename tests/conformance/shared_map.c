/* mmap, munmap, mremap, mprotect, msync, madvise and fork of shared mappings. */
#include "shared.h"

/* ---- anonymous ---- */

CASE(mmap_anonymous, is_zero)
{
    char *p = map_shared(3 * PAGE, RW, -1, 0);
    SHOW("%d %d", p[0], p[3 * PAGE - 1]);
}
CASE(mmap_anonymous, child_writes)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    IN_CHILD(strcpy(p, "child"));
    SHOW("%s", p);
}
CASE(mmap_anonymous, parent_writes_later)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    int go[2];
    pipe(go);
    fflush(stdout);
    if (!fork()) {
        char c;
        read(go[0], &c, 1);
        SHOW("%s", p);
        fflush(stdout);
        _exit(0);
    }
    strcpy(p, "parent");
    write(go[1], "x", 1);
    wait(NULL);
}
CASE(mmap_anonymous, grandchild)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    IN_CHILD(IN_CHILD(strcpy(p + 9, "deep")));
    SHOW("%s", p + 9);
}
CASE(mmap_anonymous, private_beside_it)
{
    char *p = map_shared(PAGE, RW, -1, 0),
         *q = mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    IN_CHILD(*p = *q = 5);
    SHOW("%d %d", *p, *q);
}
CASE(mmap_anonymous, length_zero)
{
    TRY(mmap(NULL, 0, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
}
CASE(mmap_anonymous, offset_not_a_page)
{
    TRY(mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 5));
}
CASE(mmap_anonymous, shared_and_private)
{
    OK(mmap(NULL, PAGE, RW, 3 | MAP_ANONYMOUS, -1, 0));
}
CASE(mmap_anonymous, read_only)
{
    char *p = map_shared(PAGE, PROT_READ, -1, 0);
    READ(p);
    WRITE(p);
}
CASE(mmap_anonymous, none)
{
    char *p = map_shared(PAGE, PROT_NONE, -1, 0);
    READ(p);
    TRY(mprotect(p, PAGE, RW));
    WRITE(p);
}
CASE(mmap_anonymous, fixed_over_private)
{
    char *q = mmap(NULL, 3 * PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(q, 7, 3 * PAGE);
    char *p = mmap(q + PAGE, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    SHOW("%d %d %d %d", p == q + PAGE, q[0], p[0], q[2 * PAGE]);
    IN_CHILD(q[0] = q[PAGE] = q[2 * PAGE] = 9);
    SHOW("%d %d %d", q[0], q[PAGE], q[2 * PAGE]);
}
CASE(mmap_anonymous, private_fixed_over_it)
{
    char *p = map_shared(3 * PAGE, RW, -1, 0);
    memset(p, 7, 3 * PAGE);
    mmap(p + PAGE, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    IN_CHILD(p[0] = p[PAGE] = p[2 * PAGE] = 9);
    SHOW("%d %d %d", p[0], p[PAGE], p[2 * PAGE]);
}
CASE(mmap_anonymous, noreplace)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    TRY(mmap(p, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
}
CASE(mmap_anonymous, dev_zero)
{
    int fd = open("/dev/zero", O_RDWR);
    char *p = map_shared(2 * PAGE, RW, fd, 0);
    IN_CHILD(strcpy(p + PAGE, "zero"));
    SHOW("%s", p + PAGE);
}
CASE(mmap_anonymous, dev_zero_twice_is_two)
{
    int fd = open("/dev/zero", O_RDWR);
    char *p = map_shared(PAGE, RW, fd, 0), *q = map_shared(PAGE, RW, fd, 0);
    *p = 3;
    SHOW("%d", *q);
}
CASE(mmap_anonymous, dev_null)
{
    TRY(mmap(NULL, PAGE, RW, MAP_SHARED, open("/dev/null", O_RDWR), 0));
}
CASE(mmap_anonymous, maps_line)
{
    char *p = map_shared(PAGE, RW, -1, 0), line[512];
    unsigned long from, to;
    char prot[8];
    FILE *f = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%lx-%lx %7s", &from, &to, prot) == 3 && from <= (unsigned long)p &&
            (unsigned long)p < to)
            SHOW("%s %d", prot, strstr(line, "/dev/zero (deleted)") != NULL);
}
CASE(mmap_anonymous, more_than_the_cache)
{
    size_t n = 6 << 20;
    long *p = (long *)map_shared(n, RW, -1, 0), bad = 0;
    for (size_t i = 0; i < n / 8; i += 512)
        p[i] = (long)i;
    IN_CHILD(for (size_t i = 0; i < n / 8; i += 512) p[i]++);
    for (size_t i = 0; i < n / 8; i += 512)
        bad += p[i] != (long)i + 1;
    SHOW("%ld", bad);
}
CASE(mmap_anonymous, counters_of_four)
{
    size_t n = 3 << 20;
    int *p = (int *)map_shared(n, RW, -1, 0);
    for (int k = 0; k < 4; k++)
        if (!fork()) {
            for (size_t i = 0; i < n / 4; i += 1024)
                __atomic_fetch_add(&p[i], 1, __ATOMIC_SEQ_CST);
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    long bad = 0;
    for (size_t i = 0; i < n / 4; i += 1024)
        bad += p[i] != 4;
    SHOW("%ld", bad);
}
CASE(munmap_shared, middle)
{
    char *p = map_shared(3 * PAGE, RW, -1, 0);
    p[0] = 1;
    p[2 * PAGE] = 2;
    TRY(munmap(p + PAGE, PAGE));
    READ(p + PAGE);
    SHOW("%d %d", p[0], p[2 * PAGE]);
}
CASE(munmap_shared, child_only)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    IN_CHILD(*p = 4; munmap(p, PAGE));
    SHOW("%d", *p);
}
CASE(munmap_shared, parent_only)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    int go[2];
    pipe(go);
    *p = 8;
    fflush(stdout);
    if (!fork()) {
        char c;
        read(go[0], &c, 1);
        SHOW("%d", *p);
        fflush(stdout);
        _exit(0);
    }
    munmap(p, PAGE);
    write(go[1], "x", 1);
    wait(NULL);
}
CASE(mprotect_shared, read_only_and_back)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    *p = 3;
    TRY(mprotect(p, PAGE, PROT_READ));
    WRITE(p);
    SHOW("%d", *p);
    TRY(mprotect(p, PAGE, RW));
    WRITE(p);
}
CASE(mprotect_shared, none_keeps_content)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    strcpy(p, "kept");
    mprotect(p, PAGE, PROT_NONE);
    READ(p);
    mprotect(p, PAGE, PROT_READ);
    SHOW("%s", p);
}
CASE(mprotect_shared, one_page_of_three)
{
    char *p = map_shared(3 * PAGE, RW, -1, 0);
    TRY(mprotect(p + PAGE, PAGE, PROT_READ));
    WRITE(p);
    WRITE(p + PAGE);
    WRITE(p + 2 * PAGE);
}
CASE(mprotect_shared, of_a_process_alone)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    IN_CHILD(mprotect(p, PAGE, PROT_READ); WRITE(p));
    WRITE(p);
}
CASE(mremap_shared, moves)
{
    char *p = map_shared(2 * PAGE, RW, -1, 0);
    strcpy(p + PAGE, "moved");
    char *to = mmap(NULL, 8 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *q = mremap(p, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
    SHOW("%d %s", q == to, q + PAGE);
    READ(p);
    IN_CHILD(strcpy(q, "again"));
    SHOW("%s", q);
}
CASE(mremap_shared, shrinks)
{
    char *p = map_shared(3 * PAGE, RW, -1, 0);
    p[0] = 5;
    SHOW("%d", mremap(p, 3 * PAGE, PAGE, 0) == p);
    READ(p + PAGE);
    SHOW("%d", *p);
}
CASE(mremap_shared, grows_past_the_object)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    p[0] = 6;
    char *q = mremap(p, PAGE, 3 * PAGE, MREMAP_MAYMOVE);
    SHOW("%d", *q);
    READ(q + 2 * PAGE);
}
CASE(mremap_shared, of_a_file_grows)
{
    int fd = file_of("f", 4 * PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    strcpy(p, "one");
    char *q = mremap(p, PAGE, 4 * PAGE, MREMAP_MAYMOVE);
    SHOW("%s", q);
    strcpy(q + 3 * PAGE, "four");
    show_file(fd, 3 * PAGE, 4);
}
CASE(mremap_shared, second_view)
{
    char *p = map_shared(3 * PAGE, RW, -1, 0), *q = mremap(p + PAGE, 0, 2 * PAGE, MREMAP_MAYMOVE);
    strcpy(q, "again");
    SHOW("%s", p + PAGE);
    IN_CHILD(strcpy(q + PAGE, "child"));
    SHOW("%s", p + 2 * PAGE);
}
CASE(mremap_shared, second_view_at)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    char *to = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SHOW("%d", mremap(p, 0, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
    *to = 7;
    SHOW("%d", *p);
}
CASE(mremap_shared, second_view_in_place)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    TRY(mremap(p, 0, PAGE, 0));
}
CASE(madvise_shared, dontneed_keeps)
{
    char *p = map_shared(2 * PAGE, RW, -1, 0);
    strcpy(p, "kept");
    TRY(madvise(p, 2 * PAGE, MADV_DONTNEED));
    SHOW("%s", p);
}
CASE(madvise_shared, dontneed_of_a_file_keeps)
{
    int fd = file_of("f", PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    strcpy(p, "kept");
    TRY(madvise(p, PAGE, MADV_DONTNEED));
    SHOW("%s", p);
}
CASE(madvise_shared, hints)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    TRY(madvise(p, PAGE, MADV_WILLNEED));
    TRY(madvise(p, PAGE, MADV_SEQUENTIAL));
    TRY(madvise(p, PAGE, MADV_RANDOM));
}
CASE(msync, anonymous)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    TRY(msync(p, PAGE, MS_SYNC));
    TRY(msync(p, PAGE, MS_ASYNC));
}
CASE(msync, both)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    TRY(msync(p, PAGE, MS_SYNC | MS_ASYNC));
}
CASE(msync, unknown_flag)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    TRY(msync(p, PAGE, 64));
}
CASE(msync, not_aligned)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    TRY(msync(p + 1, PAGE, MS_SYNC));
}
CASE(msync, a_hole)
{
    char *p = map_shared(3 * PAGE, RW, -1, 0);
    munmap(p + PAGE, PAGE);
    TRY(msync(p, 3 * PAGE, MS_SYNC));
}
CASE(msync, length_zero)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    TRY(msync(p, 0, MS_SYNC));
}
CASE(msync, invalidate)
{
    int fd = file_of("f", PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    strcpy(p, "x");
    TRY(msync(p, PAGE, MS_SYNC | MS_INVALIDATE));
    SHOW("%s", p);
}
CASE(msync, a_file)
{
    int fd = file_of("f", 2 * PAGE);
    char *p = map_shared(2 * PAGE, RW, fd, 0);
    strcpy(p + PAGE, "synced");
    TRY(msync(p, 2 * PAGE, MS_SYNC));
    show_file(open("f", O_RDONLY), PAGE, 6);
}
CASE(mincore_shared, a_page)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    unsigned char v = 9;
    *p = 1;
    TRY(mincore(p, PAGE, &v));
    SHOW("%d", v & 1);
}
CASE(fork_shared, tree)
{
    int *p = (int *)map_shared(PAGE, RW, -1, 0);
    pid_t self = getpid();
    for (int i = 0; i < 3; i++)
        fork();
    __atomic_fetch_add(p, 1, __ATOMIC_SEQ_CST);
    while (wait(NULL) > 0)
        ;
    if (getpid() != self)
        _exit(0);
    SHOW("%d", *p);
}
CASE(fork_shared, dontfork)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    TRY(madvise(p, PAGE, MADV_DONTFORK));
    IN_CHILD(READ(p));
    READ(p);
}
CASE(fork_shared, child_of_killed_parent)
{
    char *p = map_shared(PAGE, RW, -1, 0);
    int go[2], done[2];
    pipe(go);
    pipe(done);
    pid_t middle = fork();
    if (!middle) {
        if (!fork()) {
            char c;
            write(done[1], "r", 1);
            read(go[0], &c, 1);
            strcpy(p, "orphan");
            write(done[1], "x", 1);
            _exit(0);
        }
        pause();
    }
    char c;
    read(done[0], &c, 1); /* the grandchild is there */
    kill(middle, SIGKILL);
    waitpid(middle, NULL, 0);
    write(go[1], "x", 1);
    read(done[0], &c, 1);
    SHOW("%s", p);
}

/* ---- files ---- */

CASE(mmap_file, read_sees_store)
{
    int fd = file_of("f", 2 * PAGE);
    char *p = map_shared(2 * PAGE, RW, fd, 0);
    strcpy(p + 5000, "stored");
    show_file(fd, 5000, 6);
}
CASE(mmap_file, load_sees_write)
{
    int fd = file_of("f", 2 * PAGE);
    char *p = map_shared(2 * PAGE, RW, fd, 0);
    READ(p + 5000);
    pwrite(fd, "written", 7, 5000);
    SHOW("%s", p + 5000);
}
CASE(mmap_file, write_keeps_stores_beside)
{
    int fd = file_of("f", PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    strcpy(p, "aaaa");
    pwrite(fd, "bb", 2, 2);
    strcpy(p + 10, "cccc");
    show_file(fd, 0, 14);
    SHOW("%s", p);
}
CASE(mmap_file, append_is_seen)
{
    int fd = file_of("f", 10);
    char *p = map_shared(PAGE, RW, fd, 0);
    READ(p);
    int a = open("f", O_WRONLY | O_APPEND);
    write(a, "tail", 4);
    SHOW("%s", p + 10);
}
CASE(mmap_file, append_makes_a_page)
{
    int fd = file_of("f", PAGE);
    char *p = map_shared(2 * PAGE, RW, fd, 0);
    READ(p + PAGE);
    int a = open("f", O_WRONLY | O_APPEND);
    write(a, "tail", 4);
    READ(p + PAGE);
    SHOW("%s", p + PAGE);
}
CASE(mmap_file, past_the_end)
{
    int fd = file_of("f", 100);
    char *p = map_shared(3 * PAGE, RW, fd, 0);
    READ(p + 200);
    READ(p + PAGE);
    WRITE(p + 2 * PAGE);
}
CASE(mmap_file, rest_of_last_page_is_zero)
{
    int fd = file_of("f", 100);
    char *p = map_shared(PAGE, RW, fd, 0);
    SHOW("%d %d", p[100], p[PAGE - 1]);
}
CASE(mmap_file, stores_past_the_end_are_lost)
{
    int fd = file_of("f", 100);
    char *p = map_shared(PAGE, RW, fd, 0);
    strcpy(p + 98, "abcd");
    msync(p, PAGE, MS_SYNC);
    struct stat st;
    fstat(fd, &st);
    SHOW("%ld", (long)st.st_size);
    show_file(fd, 96, 10);
}
CASE(mmap_file, empty_file)
{
    int fd = file_of("f", 0);
    char *p = map_shared(PAGE, RW, fd, 0);
    READ(p);
}
CASE(mmap_file, truncated_away)
{
    int fd = file_of("f", 3 * PAGE);
    char *p = map_shared(3 * PAGE, RW, fd, 0);
    p[2 * PAGE] = 1;
    ftruncate(fd, PAGE);
    READ(p);
    READ(p + 2 * PAGE);
}
CASE(mmap_file, truncated_and_back)
{
    int fd = file_of("f", 3 * PAGE);
    char *p = map_shared(3 * PAGE, RW, fd, 0);
    memset(p, 7, 3 * PAGE);
    ftruncate(fd, 100);
    ftruncate(fd, 3 * PAGE);
    SHOW("%d %d %d", p[99], p[100], p[PAGE]);
}
CASE(mmap_file, truncate_by_path)
{
    int fd = file_of("f", 2 * PAGE);
    char *p = map_shared(2 * PAGE, RW, fd, 0);
    memset(p, 7, 2 * PAGE);
    TRY(truncate("f", 10));
    SHOW("%d %d", p[9], p[10]);
    READ(p + PAGE);
}
CASE(mmap_file, o_trunc)
{
    int fd = file_of("f", PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    *p = 5;
    OK(open("f", O_RDWR | O_TRUNC));
    READ(p);
}
CASE(mmap_file, grown)
{
    int fd = file_of("f", PAGE);
    char *p = map_shared(2 * PAGE, RW, fd, 0);
    READ(p + PAGE);
    ftruncate(fd, 2 * PAGE);
    SHOW("%d", p[PAGE]);
}
CASE(mmap_file, unlinked)
{
    int fd = file_of("f", PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    unlink("f");
    strcpy(p, "still");
    show_file(fd, 0, 5);
}
CASE(mmap_file, closed)
{
    int fd = file_of("f", PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    close(fd);
    strcpy(p, "still");
    show_file(open("f", O_RDONLY), 0, 5);
}
CASE(mmap_file, closed_and_unlinked)
{
    int fd = file_of("f", PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    close(fd);
    unlink("f");
    strcpy(p, "still");
    IN_CHILD(SHOW("%s", p));
}
CASE(mmap_file, unmapped_is_written)
{
    int fd = file_of("f", PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    strcpy(p, "out");
    munmap(p, PAGE);
    show_file(fd, 0, 3);
}
CASE(mmap_file, exit_writes)
{
    int fd = file_of("f", PAGE);
    IN_CHILD(char *p = map_shared(PAGE, RW, fd, 0); strcpy(p, "left"));
    show_file(fd, 0, 4);
}
CASE(mmap_file, kill_writes)
{
    int fd = file_of("f", PAGE);
    IN_CHILD(char *p = map_shared(PAGE, RW, fd, 0); strcpy(p, "left"); kill(getpid(), SIGKILL));
    show_file(fd, 0, 4);
}
CASE(mmap_file, two_mappings)
{
    int fd = file_of("f", PAGE);
    char *p = map_shared(PAGE, RW, fd, 0), *q = map_shared(PAGE, RW, fd, 0);
    strcpy(p, "both");
    SHOW("%s", q);
}
CASE(mmap_file, two_descriptors)
{
    int fd = file_of("f", PAGE), g = open("f", O_RDWR);
    char *p = map_shared(PAGE, RW, fd, 0), *q = map_shared(PAGE, RW, g, 0);
    strcpy(p, "both");
    SHOW("%s", q);
}
CASE(mmap_file, hard_link)
{
    int fd = file_of("f", PAGE);
    link("f", "g");
    char *p = map_shared(PAGE, RW, fd, 0), *q = map_shared(PAGE, RW, open("g", O_RDWR), 0);
    strcpy(p, "one");
    SHOW("%s", q);
}
CASE(mmap_file, offset)
{
    int fd = file_of("f", 3 * PAGE);
    char *p = map_shared(PAGE, RW, fd, 2 * PAGE);
    strcpy(p, "third");
    show_file(fd, 2 * PAGE, 5);
}
CASE(mmap_file, offsets_meet)
{
    int fd = file_of("f", 3 * PAGE);
    char *p = map_shared(3 * PAGE, RW, fd, 0), *q = map_shared(PAGE, RW, fd, PAGE);
    strcpy(q, "second");
    SHOW("%s", p + PAGE);
}
CASE(mmap_file, unrelated_process)
{
    int fd = file_of("f", PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    IN_CHILD(char *q = map_shared(PAGE, RW, open("f", O_RDWR), 0); strcpy(q + 7, "other"));
    SHOW("%s", p + 7);
}
CASE(mmap_file, cat_sees_it)
{
    int fd = file_of("f", 6);
    char *p = map_shared(PAGE, RW, fd, 0);
    memcpy(p, "hello\n", 6);
    fflush(stdout);
    system("cat f");
}
CASE(mmap_file, shell_writes)
{
    int fd = file_of("f", 6);
    char *p = map_shared(PAGE, RW, fd, 0);
    READ(p);
    system("printf shell > f");
    SHOW("%s", p);
}
CASE(mmap_file, read_only_descriptor)
{
    close(file_of("f", PAGE));
    int fd = open("f", O_RDONLY);
    TRY(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));
    OK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
    OK(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0));
}
CASE(mmap_file, write_only_descriptor)
{
    close(file_of("f", PAGE));
    int fd = open("f", O_WRONLY);
    TRY(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
    TRY(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0));
}
CASE(mmap_file, read_only_then_mprotect)
{
    close(file_of("f", PAGE));
    char *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, open("f", O_RDONLY), 0);
    TRY(mprotect(p, PAGE, RW));
    READ(p);
}
CASE(mmap_file, read_write_then_mprotect)
{
    int fd = file_of("f", PAGE);
    char *p = map_shared(PAGE, PROT_READ, fd, 0);
    WRITE(p);
    TRY(mprotect(p, PAGE, RW));
    WRITE(p);
}
CASE(mmap_file, read_only_sees_others)
{
    int fd = file_of("f", PAGE);
    char *q = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, open("f", O_RDONLY), 0);
    READ(q);
    char *p = map_shared(PAGE, RW, fd, 0);
    strcpy(p, "later");
    SHOW("%s", q);
    pwrite(fd, "LAT", 3, 0);
    SHOW("%s", q);
}
CASE(mmap_file, private_sees_stores_before)
{
    int fd = file_of("f", PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    strcpy(p, "before");
    char *q = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    SHOW("%s", q);
    strcpy(q, "mine");
    SHOW("%s", p);
}
CASE(mmap_file, bad_descriptor)
{
    TRY(mmap(NULL, PAGE, RW, MAP_SHARED, 77, 0));
}
CASE(mmap_file, directory)
{
    TRY(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, open(".", O_RDONLY), 0));
}
CASE(mmap_file, pipe_end)
{
    int p[2];
    pipe(p);
    TRY(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, p[0], 0));
}
CASE(mmap_file, o_path)
{
    close(file_of("f", PAGE));
    TRY(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, open("f", O_PATH), 0));
}
CASE(mmap_file, validate)
{
    int fd = file_of("f", PAGE);
    char *p = mmap(NULL, PAGE, RW, MAP_SHARED_VALIDATE, fd, 0);
    strcpy(p, "valid");
    show_file(fd, 0, 5);
}
CASE(mmap_file, fsync_writes_it)
{
    int fd = file_of("f", PAGE);
    char *p = map_shared(PAGE, RW, fd, 0);
    strcpy(p, "sync");
    TRY(fsync(fd));
    show_file(open("f", O_RDONLY), 0, 4);
}
CASE(mmap_file, read_into_itself)
{
    int fd = file_of("f", 2 * PAGE);
    char *p = map_shared(2 * PAGE, RW, fd, 0);
    strcpy(p, "copy");
    TRY(pread(fd, p + PAGE, 4, 0));
    SHOW("%s", p + PAGE);
}
CASE(mmap_file, write_from_itself)
{
    int fd = file_of("f", 2 * PAGE);
    char *p = map_shared(2 * PAGE, RW, fd, 0);
    strcpy(p, "copy");
    TRY(pwrite(fd, p, 4, PAGE));
    SHOW("%s", p + PAGE);
}
CASE(mmap_file, vectors)
{
    int fd = file_of("f", 2 * PAGE);
    char *p = map_shared(2 * PAGE, RW, fd, 0);
    memcpy(p + PAGE - 2, "abcd", 4);
    show_file(fd, PAGE - 2, 4);
}
CASE(mmap_file, punched)
{
    int fd = file_of("f", 3 * PAGE);
    char *p = map_shared(3 * PAGE, RW, fd, 0);
    memset(p, 7, 3 * PAGE);
    TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE));
    SHOW("%d %d %d", p[0], p[PAGE], p[2 * PAGE]);
}
CASE(mmap_file, allocated)
{
    int fd = file_of("f", PAGE);
    char *p = map_shared(3 * PAGE, RW, fd, 0);
    TRY(posix_fallocate(fd, 0, 3 * PAGE));
    WRITE(p + 2 * PAGE);
}
CASE(mmap_file, exec_keeps_the_file)
{
    int fd = file_of("f", 5);
    char *p = map_shared(PAGE, RW, fd, 0);
    memcpy(p, "exec\n", 5);
    fflush(stdout);
    if (!fork()) {
        execl("/bin/cat", "cat", "f", NULL);
    }
    wait(NULL);
}
CASE(mmap_file, exec_writes_it)
{
    int fd = file_of("f", 5);
    fflush(stdout);
    if (!fork()) {
        char *p = map_shared(PAGE, RW, fd, 0);
        memcpy(p, "exec\n", 5);
        execl("/bin/cat", "cat", "f", NULL);
    }
    wait(NULL);
}
CASE(mmap_file, larger_than_the_cache)
{
    size_t n = 6 << 20;
    int fd = file_of("f", n);
    long *p = (long *)map_shared(n, RW, fd, 0), bad = 0, page[512];
    for (size_t i = 0; i < n / 8; i++)
        p[i] = (long)i * 3;
    for (size_t i = 0; i < n / PAGE; i++) {
        pread(fd, page, PAGE, i * PAGE);
        for (int j = 0; j < 512; j++)
            bad += page[j] != (long)(i * 512 + j) * 3;
    }
    SHOW("%ld", bad);
}
CASE(mmap_file, two_writers_of_many_pages)
{
    size_t n = 3 << 20;
    int fd = file_of("f", n);
    IN_CHILD(int *p = (int *)map_shared(n, RW, fd, 0);
             for (size_t i = 0; i < n / 4; i += 2) p[i] = i);
    IN_CHILD(int *p = (int *)map_shared(n, RW, fd, 0);
             for (size_t i = 1; i < n / 4; i += 2) p[i] = i);
    int *p = (int *)map_shared(n, PROT_READ, fd, 0);
    long bad = 0;
    for (size_t i = 0; i < n / 4; i++)
        bad += p[i] != (int)i;
    SHOW("%ld", bad);
}
