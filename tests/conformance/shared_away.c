/* What is done to shared memory by other ways than a mapping, while most of its lines are away. */
#include "shared.h"

#include <linux/falloc.h>
#include <sys/sendfile.h>
#include <sys/shm.h>

enum { SIZE = 3 << 20, PAGES = SIZE / PAGE, WORDS = PAGE / 8 };
enum { PUNCH = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, KEEP = FALLOC_FL_KEEP_SIZE };

/* Each word of it says where it is. */
static long *fill(void *memory)
{
    long *p = memory;
    for (long i = 0; i < SIZE / 8; i++)
        p[i] = i + 1;
    return p;
}

static int memory_of(off_t size)
{
    int fd = memfd_create("case", MFD_ALLOW_SEALING);
    if (ftruncate(fd, size) < 0)
        perror("ftruncate");
    return fd;
}

/* Words [from, to) that are not as they were filled, and words that are not zero. */
static long bad(const long *p, long from, long to)
{
    long n = 0;
    for (long i = from; i < to; i++)
        n += p[i] != i + 1;
    return n;
}
static long not_zero(const long *p, long from, long to)
{
    long n = 0;
    for (long i = from; i < to; i++)
        n += p[i] != 0;
    return n;
}

/* The same of a file, by pread. */
static void show_words(const char *what, int fd, off_t at, long first, long count)
{
    static long words[SIZE / 8 + 1];
    ssize_t n = pread(fd, words, count * 8, at);
    long wrong = 0;
    for (long i = 0; i < n / 8; i++)
        wrong += words[i] != first + i + 1;
    SHOW("%s: %zd, %ld wrong", what, n, wrong);
}

static void show_size(int fd)
{
    struct stat st;
    fstat(fd, &st);
    SHOW("size %ld", (long)st.st_size);
}

static int mapped_memory(long **p)
{
    int fd = memory_of(SIZE);
    *p = fill(map_shared(SIZE, RW, fd, 0));
    return fd;
}

/* ---- fallocate ---- */

CASE(fallocate, keeps_what_is_there)
{
    long *p;
    int fd = mapped_memory(&p);
    TRY(fallocate(fd, 0, 0, SIZE));
    TRY(fallocate(fd, KEEP, PAGE + 5, 100 * PAGE));
    TRY(fallocate(fd, KEEP, SIZE - 10, 2 * PAGE));
    show_size(fd);
    SHOW("%ld", bad(p, 0, SIZE / 8));
    show_words("read", fd, 0, 0, SIZE / 8);
}
CASE(fallocate, grows)
{
    int fd = memory_of(SIZE + 100);
    long *p = fill(map_shared(SIZE + 4 * PAGE, RW, fd, 0));
    TRY(fallocate(fd, 0, 10 * PAGE, SIZE));
    show_size(fd);
    TRY(fallocate(fd, 0, SIZE + 11 * PAGE, 5));
    show_size(fd);
    SHOW("%ld", bad(p, 0, SIZE / 8));
    SHOW("%ld", not_zero(p, SIZE / 8, SIZE / 8 + 4 * WORDS));
    munmap(p, SIZE + 4 * PAGE);
    show_words("read", fd, 0, 0, SIZE / 8);
}
CASE(fallocate, punches)
{
    long *p;
    int fd = mapped_memory(&p);
    TRY(fallocate(fd, PUNCH, 10 * PAGE, 20 * PAGE));
    SHOW("%ld %ld %ld", bad(p, 0, 10 * WORDS), not_zero(p, 10 * WORDS, 30 * WORDS),
         bad(p, 30 * WORDS, SIZE / 8));
    p[15 * WORDS] = 15 * WORDS + 1;
    SHOW("%ld", bad(p, 30 * WORDS, SIZE / 8)); /* and it has left again */
    SHOW("%ld", not_zero(p, 10 * WORDS, 30 * WORDS));
    munmap(p, SIZE);
    show_words("before", fd, 0, 0, 10 * WORDS);
    show_words("hole", fd, 10 * PAGE, 0, 20 * WORDS);
    show_words("written", fd, 15 * PAGE, 15 * WORDS, 1);
    show_words("behind", fd, 30 * PAGE, 30 * WORDS, SIZE / 8 - 30 * WORDS);
}
CASE(fallocate, punches_within_pages)
{
    long *p;
    int fd = mapped_memory(&p);
    TRY(fallocate(fd, PUNCH, 5 * PAGE + 80, 160));
    TRY(fallocate(fd, PUNCH, 20 * PAGE - 80, PAGE + 160));
    SHOW("%ld %ld %ld", bad(p, 0, 5 * WORDS + 10), not_zero(p, 5 * WORDS + 10, 5 * WORDS + 30),
         bad(p, 5 * WORDS + 30, 20 * WORDS - 10));
    SHOW("%ld %ld", not_zero(p, 20 * WORDS - 10, 21 * WORDS + 10),
         bad(p, 21 * WORDS + 10, SIZE / 8));
    show_words("read", fd, 0, 0, 5 * WORDS + 10);
}
CASE(fallocate, punches_to_the_end)
{
    long *p;
    int fd = mapped_memory(&p);
    TRY(fallocate(fd, PUNCH, 100, 1l << 40));
    show_size(fd);
    SHOW("%ld %ld", bad(p, 0, 12), not_zero(p, 13, SIZE / 8));
}
CASE(fallocate, wrong)
{
    long *p;
    int fd = mapped_memory(&p);
    char path[64];
    sprintf(path, "/proc/self/fd/%d", fd);
    int readable = open(path, O_RDONLY), place = open(path, O_PATH);
    TRY(fallocate(fd, 0, -1, 5));
    TRY(fallocate(fd, 0, 5, 0));
    TRY(fallocate(fd, 0, INT64_MAX, 5));
    TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, PAGE));
    TRY(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE));
    TRY(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, PAGE));
    TRY(fallocate(fd, 1 << 20, 0, PAGE));
    TRY(fallocate(readable, 0, 0, PAGE));
    TRY(fallocate(readable, PUNCH, 0, PAGE));
    TRY(fallocate(place, PUNCH, 0, PAGE));
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    TRY(fallocate(fd, 0, PAGE, SIZE));
    TRY(fallocate(fd, KEEP, PAGE, SIZE));
    SHOW("%ld", bad(p, 0, SIZE / 8));
}

/* ---- sendfile, copy_file_range, splice ---- */

CASE(sendfile, from_one_to_another)
{
    long *p, *q;
    int from = mapped_memory(&p), to = mapped_memory(&q);
    off_t at = 7 * PAGE;
    lseek(to, 3 * PAGE, SEEK_SET);
    TRY(sendfile(to, from, &at, 50 * PAGE));
    SHOW("%ld", (long)at);
    TRY(lseek(to, 0, SEEK_CUR));
    TRY(lseek(from, 0, SEEK_CUR));
    show_words("copied", to, 3 * PAGE, 7 * WORDS, 50 * WORDS);
    SHOW("%ld", bad(q, 53 * WORDS, SIZE / 8));
    lseek(from, SIZE - 100, SEEK_SET);
    TRY(sendfile(to, from, NULL, 1000));
    TRY(sendfile(to, from, NULL, 1000));
    TRY(lseek(from, 0, SEEK_CUR));
}
CASE(sendfile, to_a_file_and_back)
{
    long *p;
    int fd = mapped_memory(&p), file = open("file", O_RDWR | O_CREAT, 0644);
    TRY(sendfile(file, fd, NULL, SIZE + 5));
    show_words("file", file, 0, 0, SIZE / 8);
    lseek(fd, 0, SEEK_SET);
    off_t at = 8 * PAGE;
    TRY(sendfile(fd, file, &at, 8 * PAGE));
    SHOW("%ld %ld", p[0], p[8 * WORDS - 1]);
    SHOW("%ld", bad(p, 8 * WORDS, SIZE / 8));
}
CASE(sendfile, refused)
{
    long *p;
    int fd = mapped_memory(&p), to = memory_of(PAGE), ends[2];
    char path[64];
    sprintf(path, "/proc/self/fd/%d", fd);
    int readable = open(path, O_RDONLY), writable = open(path, O_WRONLY);
    pipe(ends);
    TRY(sendfile(readable, fd, NULL, 5));
    TRY(sendfile(to, writable, NULL, 5));
    TRY(sendfile(fd, ends[0], NULL, 5));
    fcntl(fd, F_SETFL, O_APPEND);
    TRY(sendfile(fd, to, NULL, 5));
    off_t at = -1;
    TRY(sendfile(to, fd, &at, 5));
}
CASE(sendfile, what_a_pipe_does_not_take)
{
    long *p;
    int fd = mapped_memory(&p), ends[2];
    pipe2(ends, O_NONBLOCK);
    SHOW("%d", sendfile(ends[1], fd, NULL, SIZE) == lseek(fd, 0, SEEK_CUR));
    TRY(sendfile(ends[1], fd, NULL, SIZE));
    static long words[2 * WORDS];
    TRY(read(ends[0], words, sizeof words));
    SHOW("%ld", bad(words, 0, 2 * WORDS));
}
CASE(copy_file_range, from_one_to_another)
{
    long *p, *q;
    int from = mapped_memory(&p), to = mapped_memory(&q);
    off_t at = 7 * PAGE, there = 3 * PAGE;
    TRY(copy_file_range(from, &at, to, &there, 50 * PAGE, 0));
    SHOW("%ld %ld", (long)at, (long)there);
    show_words("copied", to, 3 * PAGE, 7 * WORDS, 50 * WORDS);
    SHOW("%ld", bad(q, 53 * WORDS, SIZE / 8));
}
CASE(copy_file_range, within_one)
{
    long *p;
    int fd = mapped_memory(&p);
    off_t at = 0, there = 40 * PAGE, near = 39 * PAGE;
    TRY(copy_file_range(fd, &at, fd, &there, 40 * PAGE, 0));
    show_words("copied", fd, 40 * PAGE, 0, 40 * WORDS);
    SHOW("%ld", bad(p, 0, 40 * WORDS) + bad(p, 80 * WORDS, SIZE / 8));
    at = 0;
    TRY(copy_file_range(fd, &at, fd, &near, 40 * PAGE, 0));
    at = SIZE - PAGE, near = SIZE;
    TRY(copy_file_range(fd, &at, fd, &near, 10 * PAGE, 0));
    show_size(fd);
}
CASE(copy_file_range, refused)
{
    long *p;
    int fd = mapped_memory(&p), ends[2], file = open("file", O_RDWR | O_CREAT, 0644);
    char path[64];
    sprintf(path, "/proc/self/fd/%d", fd);
    int readable = open(path, O_RDONLY), to = memory_of(PAGE);
    pipe(ends);
    TRY(copy_file_range(to, NULL, readable, NULL, 5, 0));
    TRY(copy_file_range(fd, NULL, ends[1], NULL, 5, 0));
    TRY(copy_file_range(fd, NULL, file, NULL, 5, 0));
    TRY(copy_file_range(fd, NULL, to, NULL, 5, 1));
    fcntl(to, F_SETFL, O_APPEND);
    TRY(copy_file_range(fd, NULL, to, NULL, 5, 0));
}
CASE(splice, from_and_to_a_pipe)
{
    long *p, *q;
    int from = mapped_memory(&p), to = mapped_memory(&q), ends[2];
    off_t at = 7 * PAGE, there = 3 * PAGE;
    pipe(ends);
    TRY(splice(from, &at, ends[1], NULL, 8 * PAGE, 0));
    TRY(splice(ends[0], NULL, to, &there, 8 * PAGE, 0));
    SHOW("%ld %ld", (long)at, (long)there);
    show_words("moved", to, 3 * PAGE, 7 * WORDS, 8 * WORDS);
    TRY(splice(from, NULL, to, NULL, 5, 0));
    TRY(splice(ends[0], NULL, to, NULL, 5, SPLICE_F_NONBLOCK));
    SHOW("%ld", bad(q, 11 * WORDS, SIZE / 8));
}

/* ---- truncation by name ---- */

static const char *name_of(const char *edge)
{
    static char name[64];
    sprintf(name, "/dev/shm/ashlar-away-%s-%d", edge, (int)getppid());
    return name;
}

static int named_memory(const char *name, long **p)
{
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    ftruncate(fd, SIZE);
    *p = fill(map_shared(SIZE, RW, fd, 0));
    return fd;
}

CASE(truncate, of_memory)
{
    long *p;
    const char *name = name_of("a");
    int fd = named_memory(name, &p);
    TRY(truncate(name, 10 * PAGE + 80));
    READ(p + 11 * WORDS);
    TRY(truncate(name, SIZE));
    SHOW("%ld %ld", bad(p, 0, 10 * WORDS + 10), not_zero(p, 10 * WORDS + 10, SIZE / 8));
    p[10 * WORDS] = 5;
    SHOW("%ld", not_zero(p, 10 * WORDS + 10, SIZE / 8));
    munmap(p, SIZE);
    char byte;
    pread(fd, &byte, 1, 10 * PAGE);
    SHOW("%d", byte);
    TRY(truncate(name, -1));
    unlink(name);
}
CASE(truncate, at_opening)
{
    const char *name = name_of("b");
    static const int flags[] = {O_RDWR | O_TRUNC, O_RDONLY | O_TRUNC, O_WRONLY | O_CREAT | O_TRUNC};
    for (int i = 0; i < 3; i++) {
        long *p;
        int fd = named_memory(name, &p);
        OK(open(name, flags[i], 0600));
        show_size(fd);
        READ(p);
        ftruncate(fd, SIZE);
        SHOW("%ld", not_zero(p, 0, SIZE / 8));
        unlink(name);
    }
}
CASE(truncate, not_at_opening)
{
    const char *name = name_of("c");
    char path[64];
    long *p;
    int fd = named_memory(name, &p);
    sprintf(path, "/proc/self/fd/%d", fd);
    OK(open(name, O_RDWR | O_CREAT | O_EXCL | O_TRUNC, 0600));
    OK(open(name, O_RDWR | O_DIRECTORY | O_TRUNC));
    OK(open(path, O_RDWR | O_NOFOLLOW | O_TRUNC));
    SHOW("%ld", bad(p, 0, SIZE / 8));
    fchmod(fd, 0400);
    if (geteuid()) /* root may do it */
        OK(open(name, O_RDONLY | O_TRUNC));
    OK(open(name, O_RDONLY));
    SHOW("%ld", bad(p, 0, SIZE / 8));
    unlink(name);
}
CASE(truncate, not_where_the_open_is_refused)
{
    char name[64];
    snprintf(name, sizeof name, "/dev/shm/case.%d", getpid());
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    TRY(ftruncate(fd, SIZE));
    long *p = fill(map_shared(SIZE, RW, fd, 0));
    TRY(fchmod(fd, 0200));
    TRY(open(name, O_RDWR | O_TRUNC));
    SHOW("%ld bad", bad(p, 0, SIZE / 8));
    TRY(fchmod(fd, 0400));
    TRY(open(name, O_RDONLY | O_TRUNC));
    SHOW("%ld bad", bad(p, 0, SIZE / 8));
    TRY(fchmod(fd, 0600));
    OK(open(name, O_RDONLY | O_TRUNC));
    show_size(fd);
    unlink(name);
}
CASE(truncate, of_a_descriptor_by_path)
{
    long *p;
    int fd = mapped_memory(&p);
    char path[64];
    sprintf(path, "/proc/self/fd/%d", fd);
    OK(open(path, O_RDWR | O_TRUNC));
    TRY(ftruncate(fd, SIZE));
    SHOW("%ld", not_zero(p, 0, SIZE / 8));
    fill(p);
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    OK(open(path, O_RDWR | O_TRUNC));
    TRY(truncate(path, 5));
    SHOW("%ld", bad(p, 0, SIZE / 8));
}
CASE(ftruncate, within_a_line_that_is_away)
{
    long *p;
    int fd = mapped_memory(&p);
    TRY(ftruncate(fd, 2 * PAGE + 80));
    TRY(ftruncate(fd, SIZE));
    p[2 * WORDS] = 7;
    SHOW("%ld", not_zero(p, 2 * WORDS + 10, SIZE / 8));
    munmap(p, SIZE);
    long words[20];
    pread(fd, words, sizeof words, 2 * PAGE);
    SHOW("%ld %ld %ld", words[0], words[1] - 2 * WORDS, words[10]);
}

/* ---- lseek ---- */

CASE(lseek, data_of_memory)
{
    int fd = memory_of(2 * SIZE);
    fill(map_shared(2 * SIZE, RW, fd, 0));
    TRY(lseek(fd, 5, SEEK_DATA));
    TRY(lseek(fd, 0, SEEK_CUR));
    TRY(lseek(fd, 5, SEEK_HOLE));
    TRY(lseek(fd, SIZE - 1, SEEK_HOLE));
    TRY(lseek(fd, SIZE, SEEK_HOLE));
    TRY(lseek(fd, SIZE + 5, SEEK_DATA));
    TRY(lseek(fd, 2 * SIZE, SEEK_HOLE));
    TRY(lseek(fd, -1, SEEK_DATA));
    TRY(fallocate(fd, PUNCH, 8 * PAGE, 8 * PAGE));
    TRY(lseek(fd, 5, SEEK_HOLE));
    TRY(lseek(fd, 8 * PAGE, SEEK_DATA));
}

/* ---- F_SEAL_FUTURE_WRITE ---- */

CASE(seals, execution_of_what_may_be_executed)
{
    long *p;
    int fd = mapped_memory(&p);
    TRY(fchmod(fd, 0600));
    if (fcntl(fd, F_ADD_SEALS, 0x20 /* F_SEAL_EXEC */) < 0 && errno == EINVAL)
        return; /* an older Linux */
    fill(p);
    SHOW("%ld bad", bad(p, 0, SIZE / 8));
    TRY(munmap(p, SIZE));
    show_words("all", fd, 0, 0, SIZE / 8);
}

CASE(ftruncate, sealed_against_it)
{
    long *p;
    int fd = mapped_memory(&p);
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));
    for (long i = 1; i < PAGES; i += 50)
        TRY(ftruncate(fd, i * PAGE + 1));
    SHOW("%ld bad", bad(p, 0, SIZE / 8));
}

CASE(fallocate, far_away)
{
    long *p;
    int fd = mapped_memory(&p);
    TRY(munmap(p + SIZE / 16, SIZE / 2));
    SHOW("%d", fallocate(fd, KEEP, 1l << 57, PAGE) == 0 || errno == EFBIG);
    SHOW("%ld bad", bad(p, 0, SIZE / 16));
}

CASE(future_write, keeps_what_is_there)
{
    long *p;
    int fd = mapped_memory(&p);
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
    TRY(fcntl(fd, F_GET_SEALS));
    SHOW("%ld", bad(p, 0, SIZE / 8));
    fill(p);
    SHOW("%ld", bad(p, 0, SIZE / 8));
    show_words("read", fd, 0, 0, SIZE / 8);
    munmap(p, SIZE);
    show_words("unmapped", fd, 0, 0, SIZE / 8);
    TRY(fcntl(fd, F_GET_SEALS));
    TRY(pwrite(fd, "x", 1, 0));
}
CASE(future_write, forbids)
{
    long *p;
    int fd = mapped_memory(&p), other = memory_of(PAGE);
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
    TRY(write(fd, "x", 1));
    TRY(pwrite(fd, "x", 1, SIZE - 1));
    TRY(sendfile(fd, other, NULL, 5));
    TRY(fallocate(fd, PUNCH, 0, PAGE));
    TRY(madvise(p, PAGE, MADV_REMOVE));
    TRY(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));
    TRY(fallocate(fd, 0, 0, SIZE));
    char *copy = mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0);
    SHOW("%ld", *(long *)copy);
    *copy = 5;
    SHOW("%ld", bad(p, 0, SIZE / 8));
    TRY(ftruncate(fd, PAGE));
    READ(p + WORDS);
}
CASE(future_write, a_reader_sees_later_stores)
{
    long *p;
    int fd = mapped_memory(&p);
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
    const long *q = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
    SHOW("%ld", bad(q, 0, SIZE / 8));
    p[5 * WORDS] = 99;
    IN_CHILD(p[6 * WORDS] = 98);
    SHOW("%ld %ld", q[5 * WORDS], q[6 * WORDS]);
    TRY(mprotect((void *)q, PAGE, RW));
    WRITE(q);
    munmap(p, SIZE);
    SHOW("%ld %ld", q[5 * WORDS], bad(q, 7 * WORDS, SIZE / 8));
    TRY(mmap(NULL, PAGE, RW, MAP_SHARED, fd, 0));
}
CASE(future_write, in_other_processes)
{
    long *p;
    int fd = mapped_memory(&p), ends[2];
    pipe(ends);
    IN_CHILD(munmap(p, SIZE); TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_GROW)));
    TRY(fcntl(fd, F_GET_SEALS));
    TRY(pwrite(fd, "x", 1, 0));
    char number[16];
    sprintf(number, "%d", fd);
    IN_CHILD(dup2(fd, 9); execl("/bin/sh", "sh", "-c", "echo x >&9 2>/dev/null || echo refused", NULL));
    SHOW("%ld", bad(p, 0, SIZE / 8));
}
CASE(future_write, and_no_more_seals)
{
    long *p;
    int fd = mapped_memory(&p);
    char path[64];
    sprintf(path, "/proc/self/fd/%d", fd);
    int readable = open(path, O_RDONLY);
    TRY(fcntl(readable, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | 1 << 20));
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_WRITE));
    TRY(fcntl(fd, F_GET_SEALS));
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK));
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL));
    TRY(fcntl(readable, F_GET_SEALS));
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
    munmap(p, SIZE);
    TRY(fcntl(fd, F_GET_SEALS));
    TRY(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
    TRY(fcntl(memfd_create("case", 0), F_ADD_SEALS, F_SEAL_FUTURE_WRITE));
}

/* ---- MADV_REMOVE ---- */

static void remove_from(long *p)
{
    TRY(madvise(p + 10 * WORDS, 20 * PAGE, MADV_REMOVE));
    SHOW("%ld %ld %ld", bad(p, 0, 10 * WORDS), not_zero(p, 10 * WORDS, 30 * WORDS),
         bad(p, 30 * WORDS, SIZE / 8));
    p[15 * WORDS] = 5;
    SHOW("%ld", bad(p, 30 * WORDS, SIZE / 8));
    SHOW("%ld %ld", p[15 * WORDS], not_zero(p, 10 * WORDS, 30 * WORDS));
    TRY(madvise(p + 700 * WORDS, PAGE, MADV_REMOVE)); /* what came last, and is here */
    SHOW("%ld %ld", not_zero(p, 700 * WORDS, 701 * WORDS), p[701 * WORDS] - 701 * WORDS);
}
CASE(remove, of_anonymous_memory)
{
    long *p = fill(map_shared(SIZE, RW, -1, 0));
    remove_from(p);
    IN_CHILD(madvise(p, PAGE, MADV_REMOVE));
    SHOW("%ld %ld", p[0], p[WORDS]);
}
CASE(remove, of_a_memfd)
{
    long *p;
    int fd = mapped_memory(&p);
    remove_from(p);
    show_size(fd);
    show_words("read", fd, 10 * PAGE, 10 * WORDS, 21 * WORDS);
    munmap(p, SIZE);
    show_words("unmapped", fd, 10 * PAGE, 10 * WORDS, 21 * WORDS);
}
CASE(remove, of_a_later_part)
{
    int fd = memory_of(SIZE);
    long *p = fill(map_shared(SIZE, RW, fd, 0));
    long *q = (long *)map_shared(4 * PAGE, RW, fd, 20 * PAGE);
    TRY(madvise(q, PAGE + 1, MADV_REMOVE));
    SHOW("%ld %ld %ld", bad(p, 0, 20 * WORDS), not_zero(p, 20 * WORDS, 22 * WORDS),
         bad(p, 22 * WORDS, SIZE / 8));
}
CASE(remove, of_system_v_memory)
{
    int id = shmget(IPC_PRIVATE, SIZE, 0600);
    long *p = fill(shmat(id, NULL, 0));
    shmctl(id, IPC_RMID, NULL);
    remove_from(p);
}
CASE(remove, of_a_file)
{
    int fd = file_of("f", SIZE);
    long *p = fill(map_shared(SIZE, RW, fd, 0));
    remove_from(p);
    show_size(fd);
    show_words("read", fd, 10 * PAGE, 10 * WORDS, 21 * WORDS);
    munmap(p, SIZE);
    show_words("unmapped", fd, 10 * PAGE, 10 * WORDS, 21 * WORDS);
}
CASE(remove, past_the_end_of_a_file)
{
    int fd = file_of("f", PAGE + 100);
    long *p = (long *)map_shared(4 * PAGE, RW, fd, 0);
    memset(p, 7, PAGE + 100);
    TRY(madvise(p + WORDS, 3 * PAGE, MADV_REMOVE));
    show_size(fd);
    SHOW("%d", not_zero(p, WORDS, WORDS + 12) == 0 && p[WORDS - 1]);
}
CASE(remove, refused)
{
    int fd = file_of("f", 4 * PAGE);
    char *shared = map_shared(4 * PAGE, RW, fd, 0);
    char *readable = map_shared(4 * PAGE, PROT_READ, open("f", O_RDONLY), 0);
    char *protected = map_shared(PAGE, PROT_READ, fd, 0);
    TRY(madvise(mmap(NULL, PAGE, RW, MAP_PRIVATE, fd, 0), PAGE, MADV_REMOVE));
    TRY(madvise(mmap(NULL, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), PAGE, MADV_REMOVE));
    TRY(madvise(readable, PAGE, MADV_REMOVE));
    TRY(madvise(protected, PAGE, MADV_REMOVE));
    TRY(madvise(shared + 1, PAGE, MADV_REMOVE));
    TRY(madvise(shared, 0, MADV_REMOVE));
    mlock(shared + 2 * PAGE, PAGE);
    memset(shared, 7, 4 * PAGE);
    TRY(madvise(shared, 4 * PAGE, MADV_REMOVE)); /* up to there it is done */
    SHOW("%d %d %d %d", shared[0], shared[PAGE], shared[2 * PAGE], shared[3 * PAGE]);
    munlock(shared, 4 * PAGE);
    munmap(shared + PAGE, PAGE);
    memset(shared, 7, PAGE);
    TRY(madvise(shared, 4 * PAGE, MADV_REMOVE)); /* behind the gap as well */
    SHOW("%d %d %d", shared[0], shared[2 * PAGE], shared[3 * PAGE]);
}
