/* lseek: positions in files, and what has none. */
#include "conformance.h"

CASE(lseek, whence)
{
    int fd = open("f", O_RDWR | O_CREAT, 0644);
    TRY(write(fd, "0123456789", 10));
    TRY(lseek(fd, 3, SEEK_SET));
    TRY(lseek(fd, 3, SEEK_CUR));
    TRY(lseek(fd, -2, SEEK_END));
    TRY(lseek(fd, 0, 99));
    TRY(lseek(fd, -11, SEEK_END));
    TRY(lseek(fd, 1 << 20, SEEK_SET));
}

CASE(lseek, no_position)
{
    int ends[2];
    TRY(pipe(ends));
    TRY(lseek(ends[0], 0, SEEK_CUR));
    TRY(lseek(-1, 0, SEEK_CUR));
}
