/* What the cases of shared memory have in common. */
#ifndef ASHLAR_TESTS_SHARED_H
#define ASHLAR_TESTS_SHARED_H

#include "conformance.h"

#include <setjmp.h>

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE };

static sigjmp_buf shared_jump;

static void shared_caught(int signal)
{
    siglongjmp(shared_jump, signal);
}

/* Reads or writes a byte: "fine", or the signal's number. */
static inline void touch(const char *text, volatile char *at, int write)
{
    signal(SIGBUS, shared_caught);
    signal(SIGSEGV, shared_caught);
    int number = sigsetjmp(shared_jump, 1);
    if (number == 0) {
        if (write)
            *at = 1;
        else
            (void)*at;
        SHOW("%s: fine", text);
    } else {
        SHOW("%s: signal %d", text, number);
    }
}
#define READ(p)  touch("read " #p, (volatile char *)(p), 0)
#define WRITE(p) touch("write " #p, (volatile char *)(p), 1)

/* Runs something in a child and waits for its end. */
#define IN_CHILD(...)                                                                              \
    do {                                                                                           \
        fflush(stdout);                                                                            \
        pid_t child_ = fork();                                                                     \
        if (child_ == 0) {                                                                         \
            __VA_ARGS__;                                                                           \
            fflush(stdout);                                                                        \
            _exit(0);                                                                              \
        }                                                                                          \
        waitpid(child_, NULL, 0);                                                                  \
    } while (0)

/* A new file of so many bytes. */
static inline int file_of(const char *name, off_t size)
{
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (ftruncate(fd, size) < 0)
        perror("ftruncate");
    return fd;
}

static inline char *map_shared(size_t size, int prot, int fd, off_t offset)
{
    return mmap(NULL, size, prot, MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, offset);
}

/* The bytes of a descriptor's file at an offset, as a text. */
static inline void show_file(int fd, off_t at, size_t size)
{
    char text[64] = {0};
    ssize_t n = pread(fd, text, size < 63 ? size : 63, at);
    for (ssize_t i = 0; i < n; i++)
        if (!text[i])
            text[i] = '.';
    SHOW("file at %ld: %zd '%s'", (long)at, n, text);
}

#endif
