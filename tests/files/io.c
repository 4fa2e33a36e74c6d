/* read, write and their variants: results, offsets, ends, faults. */
#include "show.h"

#include <limits.h>
#include <linux/falloc.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>

static char big[1 << 20];

static void offsets(void)
{
    char b[64] = {0};
    int fd = R(open("f", O_RDWR | O_CREAT | O_EXCL, 0644));
    R(write(fd, "0123456789", 10));
    R(lseek(fd, 0, SEEK_CUR));
    R(read(fd, b, 10));
    R(lseek(fd, 2, SEEK_SET));
    R(read(fd, b, 3));
    SHOW("%.3s", b);
    R(lseek(fd, 0, SEEK_CUR));
    R(pread(fd, b, 4, 6));
    SHOW("%.4s", b);
    R(lseek(fd, 0, SEEK_CUR));
    R(pwrite(fd, "XY", 2, 8));
    R(lseek(fd, 0, SEEK_CUR));
    R(lseek(fd, -1, SEEK_SET));
    R(lseek(fd, -20, SEEK_END));
    R(lseek(fd, -3, SEEK_END));
    R(read(fd, b, 64));
    SHOW("%.3s", b);
    R(lseek(fd, 100, SEEK_END));
    R(read(fd, b, 64));
    R(write(fd, "end", 3));
    R(lseek(fd, 0, SEEK_END));
    R(lseek(fd, 0, 17));
    R(lseek(fd, LONG_MAX, SEEK_CUR));
    R(lseek(fd, 0, SEEK_CUR));
    R(pread(fd, b, 4, -1));
    R(pwrite(fd, b, 4, -1));
    R(pread(fd, b, 4, 5000));
    memset(b, 'q', sizeof b);
    R(pread(fd, b, 20, 95));
    int zeros = 0;
    for (int i = 0; i < 20; i++)
        zeros += b[i] == 0;
    SHOW("zeros %d", zeros);
    R(read(fd, b, 0));
    R(write(fd, b, 0));
    R(read(fd, NULL, 0));
    R(lseek(99, 0, SEEK_SET));
    R(read(99, b, 1));
    R(write(-1, b, 1));
    R(close(fd));
    R(close(fd));
    R(read(fd, b, 1));
}

static void modes(void)
{
    char b[8];
    int fd = R(open("f", O_WRONLY));
    R(read(fd, b, 1));
    R(pread(fd, b, 1, 0));
    R(close(fd));
    fd = R(open("f", O_RDONLY));
    R(write(fd, b, 1));
    R(pwrite(fd, b, 1, 0));
    R(ftruncate(fd, 3));
    R(fallocate(fd, 0, 0, 100));
    R(close(fd));
    fd = R(open(".", O_RDONLY));
    R(read(fd, b, 1));
    R(write(fd, b, 1));
    R(pread(fd, b, 1, 0));
    R(lseek(fd, 0, SEEK_SET));
    R(ftruncate(fd, 1));
    R(fsync(fd));
    R(close(fd));
    fd = R(open("f", O_PATH));
    R(read(fd, b, 1));
    R(write(fd, b, 1));
    R(lseek(fd, 0, SEEK_SET));
    R(fsync(fd));
    R(ftruncate(fd, 1));
    R(fcntl(fd, F_GETFL));
    R(close(fd));
}

static void faults(void)
{
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(munmap(page + 4096, 4096));
    memset(page, 'p', 4096);
    int fd = R(open("g", O_RDWR | O_CREAT | O_TRUNC, 0644));
    R(write(fd, BAD, 10));
    R(write(fd, page + 4090, 6));
    R(write(fd, page, 100));
    R(lseek(fd, 0, SEEK_CUR));
    R(lseek(fd, 0, SEEK_SET));
    R(read(fd, BAD, 10));
    R(lseek(fd, 0, SEEK_CUR));
    R(read(fd, page + 4090, 6));
    R(read(fd, (void *)-4096L, 10));
    R(read(99, BAD, 10));
    R(close(fd));
}

static void append(void)
{
    char b[16];
    make_file("a", "one\n");
    int fd = R(open("a", O_RDWR | O_APPEND)), other = R(open("a", O_RDWR));
    R(fcntl(fd, F_GETFL) & ~0100000);
    R(write(fd, "two\n", 4));
    R(lseek(fd, 0, SEEK_CUR));
    R(write(other, "ONE", 3));
    R(lseek(other, 0, SEEK_END));
    R(write(other, "three\n", 6));
    R(write(fd, "four\n", 5));
    R(lseek(fd, 0, SEEK_CUR));
    SHOW("%s", content("a"));
    R(lseek(fd, 1, SEEK_SET));
    R(read(fd, b, 3));
    R(write(fd, "five\n", 5));
    R(pwrite(fd, "six\n", 4, 0));
    R(lseek(fd, 0, SEEK_CUR));
    SHOW("%s", content("a"));
    R(fcntl(other, F_SETFL, O_APPEND | O_NONBLOCK));
    R(fcntl(other, F_GETFL) & ~0100000);
    R(lseek(other, 0, SEEK_SET));
    R(write(other, "seven\n", 6));
    R(fcntl(other, F_SETFL, 0));
    R(lseek(other, 0, SEEK_SET));
    R(write(other, "ZERO", 4));
    SHOW("%s", content("a"));
    R(close(fd));
    R(close(other));
}

static void vectors(void)
{
    char x[4], y[8], z[64];
    struct iovec out[3] = {{"abc", 3}, {"", 0}, {"defgh", 5}};
    struct iovec in[3] = {{x, 4}, {y, 2}, {z, 64}};
    struct iovec bad[2] = {{x, 4}, {BAD, 5}}, negative[1] = {{x, -1}};
    int fd = R(open("v", O_RDWR | O_CREAT | O_TRUNC, 0600));
    R(writev(fd, out, 3));
    R(pwritev(fd, out, 3, 8));
    R(lseek(fd, 0, SEEK_CUR));
    R(lseek(fd, 0, SEEK_SET));
    R(readv(fd, in, 3));
    SHOW("%.4s %.2s %.10s", x, y, z);
    R(preadv(fd, in, 2, 3));
    SHOW("%.4s %.2s", x, y);
    R(readv(fd, in, 0));
    R(readv(fd, in, -1));
    R(readv(fd, in, 1025));
    R(readv(fd, negative, 1));
    R(readv(fd, BAD, 1));
    R(lseek(fd, 0, SEEK_SET));
    R(writev(fd, bad, 2));
    R(lseek(fd, 0, SEEK_CUR));
    R(preadv(fd, in, 1, -1));
    R(preadv2(fd, in, 2, -1, 0));
    R(preadv2(fd, in, 2, 0, RWF_HIPRI));
    R(preadv2(fd, in, 2, -2, 0));
    R(preadv2(fd, in, 2, 0, 0x4000));
    R(pwritev2(fd, out, 1, 0, RWF_APPEND));
    R(pwritev2(fd, out, 1, 0, RWF_DSYNC));
    R(lseek(fd, 0, SEEK_END));
    R(readv(99, in, 1));
    R(close(fd));
}

static unsigned sum(const char *bytes, size_t size)
{
    unsigned s = 0;
    for (size_t i = 0; i < size; i++)
        s = s * 31 + (unsigned char)bytes[i];
    return s;
}

static void large(void)
{
    for (size_t i = 0; i < sizeof big; i++)
        big[i] = (char)(i * 7 + i / 4096);
    int fd = R(open("big", O_RDWR | O_CREAT | O_TRUNC, 0600));
    unsigned want = sum(big, sizeof big);
    R(write(fd, big, sizeof big));
    R(lseek(fd, 0, SEEK_CUR));
    R(write(fd, big, 12345));
    memset(big, 0, sizeof big);
    R(pread(fd, big, sizeof big, 0));
    SHOW("same %d", sum(big, sizeof big) == want);
    R(lseek(fd, 4096, SEEK_SET));
    R(read(fd, big, sizeof big));
    R(lseek(fd, 0, SEEK_CUR));
    R(read(fd, big, sizeof big));
    R(read(fd, big, sizeof big));
    R(pread(fd, big, 300000, 1000000));
    R(read(fd, big, (size_t)-1));
    R(close(fd));
    fd = R(open("/dev/zero", O_RDONLY));
    R(read(fd, big, sizeof big));
    R(close(fd));
    fd = R(open("/dev/null", O_RDWR));
    R(write(fd, big, sizeof big));
    R(read(fd, big, sizeof big));
    R(lseek(fd, 100, SEEK_SET));
    R(close(fd));
}

static void sizes(void)
{
    struct stat st;
    int fd = R(open("s", O_RDWR | O_CREAT | O_TRUNC, 0600));
    R(ftruncate(fd, 100000));
    R(fstat(fd, &st));
    SHOW("size %ld blocks %ld", (long)st.st_size, (long)st.st_blocks);
    R(ftruncate(fd, -1));
    R(pwrite(fd, "x", 1, 50000));
    R(ftruncate(fd, 50001));
    R(lseek(fd, 0, SEEK_END));
    R(fallocate(fd, 0, 0, 200000));
    R(lseek(fd, 0, SEEK_END));
    R(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 300000));
    R(lseek(fd, 0, SEEK_END));
    R(fallocate(fd, 0, -1, 10));
    R(fallocate(fd, 0, 0, 0));
    R(posix_fallocate(fd, 0, 400000));
    R(truncate("s", 10));
    R(truncate("missing", 10));
    R(truncate(".", 10));
    R(truncate("s", -1));
    R(lseek(fd, 0, SEEK_END));
    R(fsync(fd));
    R(fdatasync(fd));
    R(syncfs(fd));
    R(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
    R(posix_fadvise(fd, 0, 0, 99));
    R(posix_fadvise(99, 0, 0, 0));
    R(readahead(fd, 0, 100));
    int left = -1;
    R(lseek(fd, 3, SEEK_SET));
    R(ioctl(fd, FIONREAD, &left));
    SHOW("left %d", left);
    R(ioctl(fd, TIOCGWINSZ, big));
    R(ioctl(fd, 0x5401, big));
    R(isatty(fd));
    R(ioctl(99, FIONREAD, &left));
    R(close(fd));
    int pair[2];
    MUST(pipe(pair));
    R(fsync(pair[0]));
    R(posix_fadvise(pair[0], 0, 0, 0));
    R(ftruncate(pair[1], 0));
    R(fallocate(pair[1], 0, 0, 10));
    R(lseek(pair[0], 0, SEEK_SET));
    R(pread(pair[0], big, 1, 0));
    R(pwrite(pair[1], big, 1, 0));
    sync();
}

static void holes(void)
{
    int fd = R(open("h", O_RDWR | O_CREAT | O_TRUNC, 0600));
    R(pwrite(fd, "data", 4, 1 << 20));
    R(lseek(fd, 0, SEEK_DATA));
    R(lseek(fd, 0, SEEK_HOLE));
    R(lseek(fd, 1 << 20, SEEK_HOLE));
    R(lseek(fd, 1 << 21, SEEK_DATA));
    R(lseek(fd, -1, SEEK_DATA));
    R(lseek(fd, 0, SEEK_CUR));
    R(close(fd));
}

int main(void)
{
    setvbuf(stdout, NULL, _IOFBF, 1 << 16);
    offsets();
    modes();
    faults();
    append();
    vectors();
    large();
    sizes();
    holes();
    return 0;
}
