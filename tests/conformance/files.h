/* What the cases about files and descriptors share. */
#ifndef ASHLAR_TESTS_CONFORMANCE_FILES_H
#define ASHLAR_TESTS_CONFORMANCE_FILES_H

#include "conformance.h"

#include <sys/uio.h>

/* Every helper may stay unused in one program or the other. */
#define HELPER __attribute__((unused)) static

/* A new file of that content, open for reading and writing, at its start. */
HELPER int file_with(const char *name, const char *text)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        SHOW("file_with %s: %s", name, strerrorname_np(errno));
    lseek(fd, 0, SEEK_SET);
    return fd;
}

/* Prints bytes, what is no letter or digit as a dot. */
HELPER void show_bytes(const char *what, const void *bytes, long size)
{
    printf("%s: ", what);
    for (long i = 0; i < size && i < 64; i++) {
        unsigned char c = ((const unsigned char *)bytes)[i];
        putchar(c > ' ' && c < 127 ? c : '.');
    }
    printf(" (%ld)\n", size);
}

/* Prints a file's content by its name. */
HELPER void show_file(const char *name)
{
    char bytes[4096];
    int fd = open(name, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);
    if (n < 0)
        SHOW("%s: %s", name, strerrorname_np(errno));
    else
        show_bytes(name, bytes, n);
    close(fd);
}

HELPER long size_of(const char *name)
{
    struct stat st;
    return stat(name, &st) < 0 ? -errno : (long)st.st_size;
}

/* A path of `size` characters: "./././...x". */
HELPER const char *long_path(size_t size)
{
    static char path[3 * PATH_MAX];
    for (size_t i = 0; i < size; i++)
        path[i] = i & 1 ? '/' : '.';
    path[size - 1] = 'x';
    path[size] = 0;
    return path;
}

/* A name of `size` characters. */
HELPER const char *long_name(size_t size)
{
    static char name[PATH_MAX];
    memset(name, 'n', size);
    name[size] = 0;
    return name;
}

/* An open description's position. */
#define AT(fd) TRY(lseek((fd), 0, SEEK_CUR))

#endif
