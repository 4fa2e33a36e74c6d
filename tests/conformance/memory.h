/* What the cases about memory share: pages, and what a touch of them raises. */
#ifndef ASHLAR_TESTS_CONFORMANCE_MEMORY_H
#define ASHLAR_TESTS_CONFORMANCE_MEMORY_H

#include "conformance.h"

#include <setjmp.h>

enum { PAGE = 4096, RW = PROT_READ | PROT_WRITE };

static sigjmp_buf memory_back;
static volatile sig_atomic_t memory_signal, memory_code;
static char *volatile memory_at;

static void memory_fault(int signal, siginfo_t *info, void *context)
{
    memory_signal = signal;
    memory_code = info->si_code;
    memory_at = info->si_addr;
    siglongjmp(memory_back, 1);
}

static inline void memory_catch(void)
{
    struct sigaction a = {.sa_sigaction = memory_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &a, NULL);
    sigaction(SIGBUS, &a, NULL);
}

static inline void memory_report(const char *text, const char *base)
{
    if (!memory_signal)
        SHOW("%s: no fault", text);
    else
        SHOW("%s: SIG%s code %d at %+ld", text, sigabbrev_np(memory_signal), (int)memory_code,
             (long)(memory_at - base));
}

/* Runs a statement and tells what it raised, the address relative to base. */
#define FAULT(base, statement)                                                                     \
    do {                                                                                           \
        memory_catch();                                                                            \
        memory_signal = 0;                                                                         \
        if (!sigsetjmp(memory_back, 1)) {                                                          \
            statement;                                                                             \
        }                                                                                          \
        signal(SIGSEGV, SIG_DFL);                                                                  \
        signal(SIGBUS, SIG_DFL);                                                                   \
        memory_report(#statement, (const char *)(base));                                           \
    } while (0)

/* Fresh private pages with a page that is not mapped on either side. */
static inline char *pages(int count, int prot)
{
    char *p = mmap(NULL, (size_t)(count + 2) * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(p, PAGE);
    munmap(p + (count + 1) * PAGE, PAGE);
    return p + PAGE;
}

/* A file of `size` bytes, each page filled with its letter. */
static inline int file_of(long size)
{
    int fd = open("f", O_RDWR | O_CREAT | O_TRUNC, 0644);
    for (long i = 0; i < size; i++) {
        char c = (char)('a' + i / PAGE);
        if (write(fd, &c, 1) != 1)
            break;
        if (i % PAGE == 0 && size - i > PAGE) {
            char buffer[PAGE];
            memset(buffer, c, sizeof buffer);
            i += write(fd, buffer, PAGE - 1);
        }
    }
    return fd;
}

#endif
