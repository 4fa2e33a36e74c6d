/* read, write and their vectored and positioned forms: results, ends, faults half-way. */
#include "files.h"

#include <sys/resource.h>

#ifndef RWF_APPEND
#define RWF_APPEND 0x10
#endif

CASE(read, end_of_file)
{
    char b[16];
    int fd = file_with("f", "hello");
    TRY(read(fd, b, 16));
    TRY(read(fd, b, 16));
    AT(fd);
}

CASE(read, nothing_wanted)
{
    int fd = file_with("f", "hello");
    TRY(read(fd, BAD_POINTER, 0));
    TRY(read(fd, NULL, 0));
    AT(fd);
}

CASE(read, bad_buffer)
{
    int fd = file_with("f", "hello");
    TRY(read(fd, BAD_POINTER, 5));
    TRY(read(fd, NULL, 5));
    AT(fd);
}

CASE(read, bad_buffer_at_the_end)
{
    int fd = file_with("f", "hello");
    TRY(lseek(fd, 0, SEEK_END));
    TRY(read(fd, BAD_POINTER, 5));
}

CASE(read, half_a_buffer)
{
    int fd = file_with("f", "hello world");
    char *b = before_a_hole(5);
    TRY(read(fd, b, 11));
    AT(fd);
    show_bytes("got", b, 5);
}

CASE(read, write_only)
{
    char b[4];
    int fd = open("f", O_WRONLY | O_CREAT, 0644);
    TRY(read(fd, b, 4));
    TRY(read(fd, b, 0));
    TRY(read(fd, BAD_POINTER, 4));
}

CASE(read, directory)
{
    char b[4];
    int fd = open(".", O_RDONLY | O_DIRECTORY);
    TRY(read(fd, b, 4));
    TRY(read(fd, b, 0));
    TRY(pread(fd, b, 4, 0));
}

CASE(read, no_descriptor)
{
    char b[4];
    TRY(read(-1, b, 4));
    TRY(read(99, b, 4));
    TRY(read(99, BAD_POINTER, 0));
    TRY(read(1 << 30, b, 4));
    TRY(read(INT_MIN, b, 4));
}

CASE(read, path_only)
{
    char b[4];
    file_with("f", "x");
    int fd = open("f", O_PATH);
    TRY(read(fd, b, 4));
    TRY(write(fd, b, 4));
    TRY(pread(fd, b, 4, 0));
    TRY(lseek(fd, 0, SEEK_SET));
}

CASE(read, huge_count)
{
    static char b[64];
    int fd = file_with("f", "hello");
    TRY(read(fd, b, 0x7ffff000));
    TRY(lseek(fd, 0, SEEK_SET));
    TRY(read(fd, b, SSIZE_MAX));
    TRY(lseek(fd, 0, SEEK_SET));
    TRY(read(fd, b, (size_t)SSIZE_MAX + 1));
    TRY(read(fd, b, (size_t)-1));
}

CASE(read, beyond_the_end)
{
    char b[4];
    int fd = file_with("f", "hello");
    TRY(lseek(fd, 1000, SEEK_SET));
    TRY(read(fd, b, 4));
    AT(fd);
}

CASE(read, large)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    char *b = malloc(1 << 20);
    memset(b, 'x', 1 << 20);
    TRY(write(fd, b, 1 << 20));
    TRY(lseek(fd, 100, SEEK_SET));
    TRY(read(fd, b, 1 << 20));
    AT(fd);
}

CASE(read, read_only_memory)
{
    int fd = file_with("f", "hello");
    char *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TRY(read(fd, p, 5));
    AT(fd);
}

CASE(read, shared_offset)
{
    char b[4];
    int fd = file_with("f", "hello"), copy = dup(fd);
    TRY(read(fd, b, 2));
    TRY(read(copy, b, 2));
    AT(fd);
    if (fork() == 0) {
        TRY(read(fd, b, 1));
        _exit(0);
    }
    wait(NULL);
    AT(copy);
}

CASE(write, at_the_end)
{
    int fd = file_with("f", "hello");
    TRY(lseek(fd, 0, SEEK_END));
    TRY(write(fd, " you", 4));
    AT(fd);
    show_file("f");
}

CASE(write, over)
{
    int fd = file_with("f", "hello");
    TRY(write(fd, "J", 1));
    show_file("f");
}

CASE(write, nothing)
{
    int fd = file_with("f", "hello");
    TRY(write(fd, BAD_POINTER, 0));
    TRY(write(fd, NULL, 0));
    TRY(size_of("f"));
}

CASE(write, bad_buffer)
{
    int fd = file_with("f", "hello");
    TRY(write(fd, BAD_POINTER, 5));
    AT(fd);
    show_file("f");
}

CASE(write, half_a_buffer)
{
    int fd = file_with("f", "");
    char *b = before_a_hole(5);
    memcpy(b, "01234", 5);
    TRY(write(fd, b, 11));
    AT(fd);
    show_file("f");
}

CASE(write, read_only)
{
    file_with("f", "hello");
    int fd = open("f", O_RDONLY);
    TRY(write(fd, "x", 1));
    TRY(write(fd, "x", 0));
    TRY(write(fd, BAD_POINTER, 1));
    TRY(pwrite(fd, "x", 1, 0));
}

CASE(write, hole)
{
    char b[8] = "";
    int fd = file_with("f", "hello");
    TRY(lseek(fd, 10000, SEEK_SET));
    TRY(write(fd, "x", 1));
    TRY(size_of("f"));
    TRY(pread(fd, b, 8, 5000));
    show_bytes("hole", b, 8);
}

CASE(write, append)
{
    file_with("f", "hello");
    int fd = open("f", O_RDWR | O_APPEND), other = open("f", O_WRONLY | O_APPEND);
    TRY(write(fd, "1", 1));
    AT(fd);
    TRY(write(other, "2", 1));
    AT(other);
    TRY(lseek(fd, 0, SEEK_SET));
    TRY(write(fd, "3", 1));
    AT(fd);
    show_file("f");
}

CASE(write, append_and_position)
{
    file_with("f", "hello");
    int fd = open("f", O_RDWR | O_APPEND);
    TRY(pwrite(fd, "J", 1, 0));
    show_file("f");
    AT(fd);
}

CASE(write, directory)
{
    int fd = open(".", O_RDONLY);
    TRY(write(fd, "x", 1));
}

CASE(write, far_away)
{
    int fd = file_with("f", "");
    TRY(pwrite(fd, "x", 0, LONG_MAX));
    TRY(lseek(fd, 1l << 40, SEEK_SET));
    TRY(write(fd, "x", 0));
    TRY(size_of("f"));
}

CASE(pread, offsets)
{
    char b[8];
    int fd = file_with("f", "0123456789");
    TRY(pread(fd, b, 4, 3));
    show_bytes("got", b, 4);
    TRY(pread(fd, b, 4, 8));
    TRY(pread(fd, b, 4, 10));
    TRY(pread(fd, b, 4, 1 << 30));
    TRY(pread(fd, b, 4, -1));
    TRY(pread(fd, b, 0, -1));
    TRY(pread(fd, b, 4, LONG_MAX));
    AT(fd);
}

CASE(pread, no_position)
{
    int ends[2];
    char b[4];
    TRY(pipe(ends));
    TRY(pread(ends[0], b, 4, 0));
    TRY(pwrite(ends[1], b, 4, 0));
    TRY(pread(-1, b, 4, -1));
}

CASE(pwrite, offsets)
{
    int fd = file_with("f", "0123456789");
    TRY(pwrite(fd, "abc", 3, 2));
    TRY(pwrite(fd, "abc", 3, 9));
    TRY(pwrite(fd, "abc", 3, -1));
    AT(fd);
    show_file("f");
}

CASE(pwrite, bad_buffer)
{
    int fd = file_with("f", "0123");
    TRY(pwrite(fd, BAD_POINTER, 3, 0));
    TRY(pwrite(fd, before_a_hole(2), 3, 10));
    TRY(size_of("f"));
}

CASE(readv, pieces)
{
    char a[3], b[4], c[10];
    struct iovec v[] = {{a, 3}, {b, 0}, {b, 4}, {c, 10}};
    int fd = file_with("f", "0123456789");
    TRY(readv(fd, v, 4));
    show_bytes("a", a, 3);
    show_bytes("b", b, 4);
    show_bytes("c", c, 3);
    AT(fd);
}

CASE(readv, counts)
{
    char a[1];
    static struct iovec many[1025];
    struct iovec v = {a, 1};
    int fd = file_with("f", "0123");
    TRY(readv(fd, &v, 0));
    TRY(readv(fd, BAD_POINTER, 0));
    TRY(readv(fd, &v, -1));
    TRY(syscall(SYS_readv, fd, many, 1024));
    TRY(syscall(SYS_readv, fd, many, 1025));
    TRY(readv(fd, BAD_POINTER, 1));
    TRY(readv(-1, BAD_POINTER, 1));
}

CASE(readv, bad_sizes)
{
    char a[1];
    struct iovec v[2] = {{a, 1}, {a, (size_t)SSIZE_MAX + 1}};
    int fd = file_with("f", "0123");
    TRY(readv(fd, v, 2));
    v[1].iov_len = SSIZE_MAX;
    TRY(readv(fd, v, 1));
    AT(fd);
}

CASE(readv, second_piece_bad)
{
    char a[2];
    struct iovec v[2] = {{a, 2}, {BAD_POINTER, 2}};
    int fd = file_with("f", "0123");
    TRY(readv(fd, v, 2));
    AT(fd);
    v[0].iov_base = BAD_POINTER;
    TRY(readv(fd, v, 2));
    AT(fd);
}

CASE(readv, vector_half_there)
{
    struct iovec *v = before_a_hole(sizeof *v);
    char a[2];
    int fd = file_with("f", "0123");
    v[0] = (struct iovec){a, 2};
    TRY(readv(fd, v, 2));
    AT(fd);
    TRY(readv(fd, v, 1));
}

CASE(writev, pieces)
{
    struct iovec v[] = {{"ab", 2}, {NULL, 0}, {"cde", 3}};
    int fd = file_with("f", "");
    TRY(writev(fd, v, 3));
    TRY(writev(fd, v, 0));
    TRY(writev(fd, v, -1));
    show_file("f");
}

CASE(writev, second_piece_bad)
{
    struct iovec v[] = {{"ab", 2}, {BAD_POINTER, 2}, {"cd", 2}};
    int fd = file_with("f", "");
    TRY(writev(fd, v, 3));
    show_file("f");
    AT(fd);
    v[0].iov_base = BAD_POINTER;
    TRY(writev(fd, v, 3));
}

CASE(writev, append)
{
    struct iovec v[] = {{"ab", 2}, {"cd", 2}};
    file_with("f", "0");
    int fd = open("f", O_WRONLY | O_APPEND);
    TRY(writev(fd, v, 2));
    AT(fd);
    show_file("f");
}

CASE(writev, pipe_piece_bad)
{
    struct iovec v[] = {{"ab", 2}, {BAD_POINTER, 2}};
    int ends[2];
    char b[8];
    TRY(pipe(ends));
    TRY(writev(ends[1], v, 2));
    TRY(fcntl(ends[0], F_SETFL, O_NONBLOCK));
    TRY(read(ends[0], b, 8));
}

CASE(preadv, offsets)
{
    char a[2], b[3];
    struct iovec v[] = {{a, 2}, {b, 3}};
    int fd = file_with("f", "0123456789");
    TRY(preadv(fd, v, 2, 4));
    show_bytes("b", b, 3);
    TRY(preadv(fd, v, 2, 8));
    TRY(preadv(fd, v, 2, -1));
    TRY(preadv(fd, v, 2, -5));
    AT(fd);
}

CASE(pwritev, offsets)
{
    struct iovec v[] = {{"ab", 2}, {"cde", 3}};
    int fd = file_with("f", "0123456789");
    TRY(pwritev(fd, v, 2, 4));
    TRY(pwritev(fd, v, 2, 9));
    TRY(pwritev(fd, v, 2, -1));
    show_file("f");
    AT(fd);
}

CASE(preadv2, own_position)
{
    char a[4];
    struct iovec v = {a, 4};
    int fd = file_with("f", "0123456789");
    TRY(preadv2(fd, &v, 1, -1, 0));
    AT(fd);
    TRY(preadv2(fd, &v, 1, -2, 0));
    TRY(preadv2(fd, &v, 1, 0, 0x40000000));
    TRY(preadv2(fd, &v, 1, 0, RWF_HIPRI));
}

CASE(pwritev2, append_flag)
{
    struct iovec v = {"ab", 2};
    int fd = file_with("f", "0123");
    TRY(pwritev2(fd, &v, 1, 0, RWF_APPEND));
    show_file("f");
    AT(fd);
    TRY(pwritev2(fd, &v, 1, -1, RWF_APPEND));
    AT(fd);
    TRY(pwritev2(fd, &v, 1, -1, RWF_SYNC | RWF_DSYNC));
    TRY(pwritev2(fd, &v, 1, -1, 0x40000000));
    show_file("f");
}

CASE(lseek, ends)
{
    int fd = file_with("f", "0123");
    TRY(lseek(fd, -1, SEEK_SET));
    TRY(lseek(fd, LONG_MIN, SEEK_END));
    TRY(lseek(fd, 0, SEEK_END));
    TRY(lseek(fd, LONG_MAX, SEEK_END));
    TRY(lseek(fd, 0, -1));
    AT(fd);
}

CASE(lseek, data_and_hole)
{
    int fd = file_with("f", "");
    TRY(ftruncate(fd, 1 << 20));
    TRY(pwrite(fd, "x", 1, 512 << 10));
    TRY(lseek(fd, 0, SEEK_HOLE));
    TRY(lseek(fd, 0, SEEK_DATA) % 4096);
    TRY(lseek(fd, 1 << 20, SEEK_DATA));
    TRY(lseek(fd, 1 << 20, SEEK_HOLE));
    TRY(lseek(fd, (1 << 20) - 1, SEEK_HOLE) >= (1 << 20) - 1);
    TRY(lseek(fd, -1, SEEK_DATA));
    TRY(lseek(fd, -1, SEEK_HOLE));
    TRY(lseek(fd, 2 << 20, SEEK_HOLE));
}

CASE(lseek, hole_at_the_end)
{
    int fd = file_with("f", "0123");
    TRY(lseek(fd, 0, SEEK_HOLE));
    TRY(lseek(fd, 3, SEEK_HOLE));
    TRY(lseek(fd, 4, SEEK_HOLE));
    TRY(lseek(fd, 2, SEEK_DATA));
    TRY(lseek(fd, 4, SEEK_DATA));
}

CASE(lseek, things_without)
{
    int pair[2];
    TRY(lseek(syscall(SYS_eventfd2, 0, 0), 0, SEEK_CUR));
    TRY(pipe(pair));
    TRY(lseek(pair[1], 0, SEEK_END));
    TRY(lseek(pair[1], 0, 77));
}

CASE(ftruncate, shorter_and_longer)
{
    int fd = file_with("f", "0123456789");
    TRY(ftruncate(fd, 4));
    TRY(size_of("f"));
    TRY(ftruncate(fd, 8));
    show_file("f");
    TRY(ftruncate(fd, 0));
    TRY(size_of("f"));
}

CASE(ftruncate, errors)
{
    int ends[2];
    file_with("f", "0123");
    TRY(ftruncate(open("f", O_RDONLY), 1));
    TRY(ftruncate(open("f", O_RDWR), -1));
    TRY(ftruncate(open(".", O_RDONLY), 1));
    TRY(ftruncate(open("f", O_PATH), 1));
    TRY(ftruncate(-1, 1));
    TRY(ftruncate(-1, -1));
    TRY(pipe(ends));
    TRY(ftruncate(ends[1], 1));
    TRY(ftruncate(open("f", O_RDWR), LONG_MAX));
}

CASE(ftruncate, position_stays)
{
    char b[4];
    int fd = file_with("f", "0123456789");
    TRY(lseek(fd, 8, SEEK_SET));
    TRY(ftruncate(fd, 2));
    AT(fd);
    TRY(read(fd, b, 4));
    TRY(write(fd, "x", 1));
    show_file("f");
}

CASE(truncate, errors)
{
    file_with("f", "0123");
    TRY(truncate("f", 2));
    TRY(truncate("f", -1));
    TRY(truncate("none", 2));
    TRY(truncate(".", 2));
    TRY(truncate("f/x", 2));
    TRY(truncate("", 2));
    TRY(truncate(BAD_POINTER, 2));
    TRY(truncate(long_name(256), 2));
    TRY(truncate("f/", 2));
    TRY(size_of("f"));
}

CASE(truncate, no_right)
{
    file_with("f", "0123");
    TRY(chmod("f", 0444));
    TRY(truncate("f", 2));
    TRY(truncate("/etc/passwd", 0) < 0);
}

CASE(truncate, fifo_and_link)
{
    TRY(mkfifo("p", 0644));
    TRY(truncate("p", 0));
    file_with("f", "0123");
    TRY(symlink("f", "l"));
    TRY(truncate("l", 1));
    TRY(size_of("f"));
}

CASE(fallocate, grows)
{
    int fd = file_with("f", "0123");
    TRY(fallocate(fd, 0, 0, 100));
    TRY(size_of("f"));
    TRY(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 10000));
    TRY(size_of("f"));
    TRY(fallocate(fd, 0, 0, 50));
    TRY(size_of("f"));
}

CASE(fallocate, errors)
{
    int ends[2], fd = file_with("f", "0123");
    TRY(fallocate(fd, 0, -1, 10));
    TRY(fallocate(fd, 0, 0, 0));
    TRY(fallocate(fd, 0, 0, -1));
    TRY(fallocate(fd, 0x4000, 0, 10));
    TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 10));
    TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 10));
    TRY(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE, 0, 4096));
    TRY(fallocate(open("f", O_RDONLY), 0, 0, 10));
    TRY(fallocate(open(".", O_RDONLY), 0, 0, 10));
    TRY(fallocate(-1, 0, 0, 10));
    TRY(fallocate(open("f", O_PATH), 0, 0, 10));
    TRY(fallocate(fd, 0, LONG_MAX, 10));
    TRY(fallocate(fd, 0, LONG_MAX - 10, 5));
    TRY(pipe(ends));
    TRY(fallocate(ends[1], 0, 0, 10));
    TRY(size_of("f"));
}

CASE(fallocate, hole)
{
    char b[8] = "", page[4096];
    int fd = file_with("f", "");
    memset(page, 'x', sizeof page);
    for (int i = 0; i < 4; i++)
        TRY(write(fd, page, sizeof page));
    TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096));
    TRY(pread(fd, b, 8, 4092));
    show_bytes("edge", b, 8);
    TRY(size_of("f"));
    TRY(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 16384, 4096));
    TRY(size_of("f"));
}

CASE(fallocate, reads_as_zero)
{
    char b[4] = "abc";
    int fd = file_with("f", "");
    TRY(fallocate(fd, 0, 1000, 1000));
    TRY(pread(fd, b, 4, 1500));
    show_bytes("zero", b, 4);
}

CASE(fsync, kinds)
{
    int ends[2], fd = file_with("f", "0123");
    TRY(fsync(fd));
    TRY(fdatasync(fd));
    TRY(fsync(open("f", O_RDONLY)));
    TRY(fsync(open(".", O_RDONLY)));
    TRY(fsync(open("f", O_PATH)));
    TRY(fsync(-1));
    TRY(fdatasync(-1));
    TRY(pipe(ends));
    TRY(fsync(ends[1]));
    TRY(fdatasync(ends[0]));
    TRY(syncfs(fd));
    TRY(syncfs(-1));
}

CASE(sync_file_range, errors)
{
    int ends[2], fd = file_with("f", "0123");
    TRY(sync_file_range(fd, 0, 4, 0));
    TRY(sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
    TRY(sync_file_range(fd, 0, 4, 8));
    TRY(sync_file_range(fd, -1, 4, 0));
    TRY(sync_file_range(fd, 0, -1, 0));
    TRY(sync_file_range(-1, 0, 4, 0));
    TRY(pipe(ends));
    TRY(sync_file_range(ends[0], 0, 4, 0));
}

CASE(fadvise, errors)
{
    int ends[2], fd = file_with("f", "0123");
    TRY(syscall(SYS_fadvise64, fd, 0, 0, POSIX_FADV_SEQUENTIAL));
    TRY(syscall(SYS_fadvise64, fd, 0, 4, POSIX_FADV_DONTNEED));
    TRY(syscall(SYS_fadvise64, fd, 0, 4, 77));
    TRY(syscall(SYS_fadvise64, fd, 0, -1, POSIX_FADV_NORMAL));
    TRY(syscall(SYS_fadvise64, -1, 0, 4, POSIX_FADV_NORMAL));
    TRY(syscall(SYS_fadvise64, open("f", O_PATH), 0, 4, POSIX_FADV_NORMAL));
    TRY(pipe(ends));
    TRY(syscall(SYS_fadvise64, ends[0], 0, 4, POSIX_FADV_NORMAL));
}

CASE(readahead, errors)
{
    int ends[2], fd = file_with("f", "0123");
    TRY(readahead(fd, 0, 4));
    TRY(readahead(-1, 0, 4));
    TRY(readahead(open("f", O_WRONLY), 0, 4));
    TRY(readahead(open("f", O_PATH), 0, 4));
    TRY(readahead(open(".", O_RDONLY), 0, 4));
    TRY(pipe(ends));
    TRY(readahead(ends[0], 0, 4));
}

/* RLIMIT_FSIZE. */
static void limit_size(rlim_t bytes)
{
    struct rlimit limit = {bytes, RLIM_INFINITY};
    TRY(setrlimit(RLIMIT_FSIZE, &limit));
}

CASE(rlimit_fsize, signal)
{
    int fd = file_with("f", "");
    limit_size(10);
    TRY(write(fd, "0123456789", 10));
    fflush(stdout);
    TRY(write(fd, "x", 1));
}

CASE(rlimit_fsize, error)
{
    int fd = file_with("f", "");
    signal(SIGXFSZ, SIG_IGN);
    limit_size(10);
    TRY(write(fd, "01234567", 8));
    TRY(write(fd, "01234567", 8));
    TRY(write(fd, "01234567", 8));
    TRY(pwrite(fd, "0123", 4, 8));
    TRY(pwrite(fd, "0123", 4, 10));
    TRY(pwrite(fd, "0123", 4, 2));
    TRY(ftruncate(fd, 10));
    TRY(ftruncate(fd, 11));
    TRY(truncate("f", 11));
    TRY(fallocate(fd, 0, 0, 10));
    TRY(fallocate(fd, 0, 0, 11));
    TRY(size_of("f"));
}

CASE(rlimit_fsize, append)
{
    file_with("f", "01234567");
    int fd = open("f", O_WRONLY | O_APPEND);
    signal(SIGXFSZ, SIG_IGN);
    limit_size(10);
    TRY(write(fd, "abcdef", 6));
    TRY(write(fd, "abcdef", 6));
    show_file("f");
}

CASE(rlimit_fsize, vectors)
{
    struct iovec v[] = {{"abc", 3}, {"defg", 4}};
    int fd = file_with("f", "");
    signal(SIGXFSZ, SIG_IGN);
    limit_size(5);
    TRY(writev(fd, v, 2));
    TRY(writev(fd, v, 2));
    show_file("f");
}

CASE(rlimit_fsize, pipes_are_free)
{
    int ends[2];
    TRY(pipe(ends));
    limit_size(1);
    TRY(write(ends[1], "0123", 4));
}

CASE(rlimit_fsize, inherited)
{
    struct rlimit limit;
    limit_size(10);
    if (fork() == 0) {
        TRY(getrlimit(RLIMIT_FSIZE, &limit));
        SHOW("%ld", (long)limit.rlim_cur);
        fflush(stdout);
        execlp("sh", "sh", "-c", "ulimit -f; head -c 2000 /dev/zero > big; echo $?", NULL);
    }
    wait(NULL);
    TRY(size_of("big"));
}

/* ---- threads that close what others open under the same numbers ---- */

enum { RACERS = 4, RACES = 1500 };

static void *open_read_close(void *argument)
{
    static const char text[] = "0123456789abcdef";
    char name[16], got[32];
    long wrong = 0;
    snprintf(name, sizeof name, "race%ld", (long)argument);
    int fd = open(name, O_WRONLY | O_CREAT, 0644);
    wrong += write(fd, text, sizeof text) != sizeof text;
    close(fd);
    for (int i = 0; i < RACES; i++) {
        fd = open(name, O_RDONLY);
        wrong += read(fd, got, 3) != 3;
        wrong += read(fd, got + 3, sizeof got - 3) != sizeof text - 3;
        wrong += read(fd, got + 20, 1) != 0;
        wrong += memcmp(got, text, sizeof text) != 0;
        wrong += close(fd) != 0;
    }
    return (void *)wrong;
}

CASE(read, numbers_that_threads_close_and_open)
{
    pthread_t threads[RACERS];
    long wrong = 0;
    for (long i = 0; i < RACERS; i++)
        pthread_create(&threads[i], NULL, open_read_close, (void *)i);
    for (int i = 0; i < RACERS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        wrong += (long)result;
    }
    SHOW("%ld wrong", wrong);
}
