/*
 * For the programs of tests/files: each does calls on files and prints what came of them, nothing
 * that may differ from run to run. They run natively and inside, each in an empty directory, and
 * the two outputs are compared (compare.py).
 */
#ifndef ASHLAR_TESTS_FILES_SHOW_H
#define ASHLAR_TESTS_FILES_SHOW_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

/* Evaluates a call, prints it and its result. */
#define R(call)                                                                                    \
    ({                                                                                             \
        errno = 0;                                                                                 \
        long r_ = (long)(call);                                                                    \
        if (r_ == -1 && errno)                                                                     \
            printf("%d: %s: %s\n", __LINE__, #call, strerrorname_np(errno));                       \
        else                                                                                       \
            printf("%d: %s = %ld\n", __LINE__, #call, r_);                                         \
        r_;                                                                                        \
    })

/* The same for what is no number worth printing: whether it worked. */
#define WORKS(call)                                                                                \
    ({                                                                                             \
        errno = 0;                                                                                 \
        long r_ = (long)(call);                                                                    \
        printf("%d: %s %s\n", __LINE__, #call, r_ == -1 ? strerrorname_np(errno) : "works");       \
        r_;                                                                                        \
    })

#define SHOW(format, ...) printf("%d: " format "\n", __LINE__, ##__VA_ARGS__)

#define MUST(call)                                                                                 \
    ({                                                                                             \
        long r_ = (long)(call);                                                                    \
        if (r_ == -1) {                                                                            \
            printf("%d: %s must work: %s\n", __LINE__, #call, strerrorname_np(errno));             \
            exit(1);                                                                               \
        }                                                                                          \
        r_;                                                                                        \
    })

static inline int make_file(const char *name, const char *text)
{
    int fd = (int)MUST(open(name, O_CREAT | O_TRUNC | O_WRONLY, 0644));
    MUST(write(fd, text, strlen(text)));
    return close(fd);
}

/* The first bytes of a file, as one line. */
static inline const char *content(const char *name)
{
    static char text[512];
    int fd = open(name, O_RDONLY);
    if (fd < 0)
        return strerrorname_np(errno);
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n < 0 ? 0 : n] = 0;
    for (char *c = text; *c; c++)
        if (*c == '\n')
            *c = '|';
    return text;
}

/* Unreadable and unwritable: any use of it by the kernel is EFAULT. */
#define BAD ((void *)0x10)

#endif
