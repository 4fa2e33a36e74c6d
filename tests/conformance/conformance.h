/*
 * The conformance suite: what each system call answers, natively and inside, case by case.
 *
 * A case is a function in one of this folder's files, which each make one program. Every case runs
 * in a process of its own, in an empty directory of its own, and prints what the call did: one line
 * a fact, nothing that may differ from run to run (no pid, no address, no time). compare.py runs
 * the program twice, natively and inside with a small ExCache, and compares the lines.
 *
 *   CASE(lseek, beyond_the_end)
 *   {
 *       int fd = open("f", O_RDWR | O_CREAT, 0644);
 *       TRY(lseek(fd, 1 << 20, SEEK_SET));    // prints the result, or the errno's name
 *       OK(open("f", O_RDONLY));              // prints "ok" for any result >= 0
 *   }
 *
 *   program [-l] [CALL...]      -l lists the cases; CALL: only those of these calls
 */
#ifndef ASHLAR_TESTS_CONFORMANCE_H
#define ASHLAR_TESTS_CONFORMANCE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct conformance_case {
    const char *call, *edge;
    void (*run)(void);
    struct conformance_case *next;
};

/* main.c */
void conformance_add(struct conformance_case *c);
void conformance_result(const char *text, long result, int error);

#define CASE(call, edge)                                                                           \
    static void call##__##edge(void);                                                              \
    __attribute__((constructor)) static void add_##call##__##edge(void)                            \
    {                                                                                              \
        static struct conformance_case c = {#call, #edge, call##__##edge, NULL};                   \
        conformance_add(&c);                                                                       \
    }                                                                                              \
    static void call##__##edge(void)

/* The result as a number, or -1 and the errno's name. */
#define TRY(expression)                                                                            \
    ({                                                                                             \
        errno = 0;                                                                                 \
        long result_ = (long)(expression);                                                         \
        conformance_result(#expression, result_, errno);                                           \
        result_;                                                                                   \
    })

/* "ok" for what is not negative (descriptors, pids, addresses), else -1 and the errno's name. */
#define OK(expression)                                                                             \
    ({                                                                                             \
        errno = 0;                                                                                 \
        long result_ = (long)(expression);                                                         \
        conformance_result(#expression, result_ == -1 ? -1 : LONG_MAX, errno);                     \
        result_;                                                                                   \
    })

#define SHOW(...)                                                                                  \
    do {                                                                                           \
        printf(__VA_ARGS__);                                                                       \
        putchar('\n');                                                                             \
    } while (0)

/* An address where nothing is mapped and nothing will be. */
#define BAD_POINTER ((void *)(uintptr_t)0x1000)

/* The last `size` bytes before a page that is not mapped: for buffers that are half there. */
static inline void *before_a_hole(size_t size)
{
    char *p = mmap(NULL, 2 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(p + 4096, 4096);
    return p + 4096 - size;
}

#endif
