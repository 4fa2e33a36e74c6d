/*
 * The host kernel, as ashlar-exec calls it: raw system calls, no errno, no libc.
 *
 * Every call returns what the kernel returns: a value, or a negative errno. Nothing here touches
 * the application's memory; pointers are to the monitor's own memory unless a caller argues why
 * not.
 */
#ifndef ASHLAR_KERNEL_HOST_H
#define ASHLAR_KERNEL_HOST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <asm/unistd.h>
#include <linux/errno.h>

/* Restart codes of the kernel, which never leave it: see syscalls/dispatch.c. */
#define ERESTARTSYS    512 /* restart if the handler has SA_RESTART, else EINTR */
#define ERESTARTNOHAND 514 /* restart only if no handler ran, else EINTR */

static inline long host_call6(long nr, long a, long b, long c, long d, long e, long f)
{
    long ret;
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    register long r9 asm("r9") = f;
    asm volatile("syscall"
                 : "=a"(ret)
                 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                 : "rcx", "r11", "memory");
    return ret;
}

/* host_call(__NR_x, up to six arguments): a host system call. */
#define host_call(nr, ...) HOST_CALL_(nr __VA_OPT__(, ) __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define HOST_CALL_(nr, a, b, c, d, e, f, ...)                                                      \
    host_call6((nr), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/*
 * host_call that a signal can interrupt without being lost: where one for the application is
 * already waiting, or arrives before the call began, it returns -EINTR at once (entry/entry.S).
 * Every host call that may block for long goes through this.
 */
long host_call_intr6(long nr, long a, long b, long c, long d, long e, long f);
#define host_call_intr(nr, ...) HOST_CALL_INTR_(nr __VA_OPT__(, ) __VA_ARGS__, 0, 0, 0, 0, 0, 0)
#define HOST_CALL_INTR_(nr, a, b, c, d, e, f, ...)                                                 \
    host_call_intr6((nr), (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* The host's auxiliary vector, by type (entry/start.c). Never changes. */
extern uint64_t host_auxv[64];

/* Nanoseconds of CLOCK_MONOTONIC. */
uint64_t host_now_ns(void);
/*
 * The same clock within a thousandth of what it measures, without a system call where the
 * processor has an invariant time stamp counter: for durations and for the bounds of spinning,
 * never to be compared with host_now_ns().
 */
uint64_t host_ticks_ns(void);
/* What was learnt of the counter's rate, for the next image; scale 0: nothing yet. */
struct host_rate {
    uint64_t begin, begin_ns, scale;
};
struct host_rate host_rate(void);
void host_rate_known(const struct host_rate *rate);

/*
 * Anonymous private zeroed memory of the monitor's own, above the app window; NULL: none. It is given
 * back whole, with the size that was asked for.
 */
void *host_alloc(size_t size);
void host_free(void *memory, size_t size);
/* The same in whole pages, which may be given back or moved in part. */
void *host_pages(size_t size);
void host_pages_free(void *memory, size_t size);
/* The same, aligned to its size, a power of two. */
void *host_pages_aligned(size_t size);

/*
 * Makes pages writable, or readable, at once: one call instead of a fault for each, for what is
 * about to be touched. Only a matter of speed; hosts before Linux 5.14 leave it to the faults.
 */
void host_populate(void *at, size_t size);
void host_populate_read(const void *at, size_t size);
/* The same for ashlar-exec's variables, first thing in a new image and in a forked child. Large
   tables of which most processes touch little are SPARSE, and lie apart. */
void host_populate_image(void);
#define SPARSE __attribute__((section(".lbss")))

/* ---- memory and text, without libc and without vector registers ---- */

void *memcpy(void *to, const void *from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
char *strrchr(const char *s, int c);
/* Whether text begins with prefix. */
bool text_begins(const char *text, const char *prefix);
/* Copies with a final NUL; returns the length of from, as strlcpy. */
size_t text_copy(char *to, size_t size, const char *from);
/*
 * A small snprintf: %s %d %u %x %ld %lu %lx %c %% and field widths with 0. Always ends with NUL;
 * returns the bytes written without it.
 */
size_t text_format(char *to, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
size_t text_vformat(char *to, size_t size, const char *format, va_list args);
/* Whether 4096 bytes are all zero. */
bool page_is_zero(const void *page);

/* ---- ends and messages ---- */

/* One line for the user of the run: through the node where there is one, else on stderr. */
void host_message(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A broken invariant or a lost component: message, then the process is killed (SIGKILL). */
void host_die(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
#define host_assert(c)                                                                             \
    do {                                                                                           \
        if (!(c))                                                                                  \
            host_die("ashlar-exec: %s:%d: assertion failed: %s", __FILE__, __LINE__, #c);          \
    } while (0)

#endif
