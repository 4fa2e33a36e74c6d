/*
 * `ashlar run --trace`: a line a call, as strace prints it, when the call has ended.
 *
 *   [pid 12] openat(AT_FDCWD, "f", O_RDONLY|O_CLOEXEC) = 3 <41.2 us> [s1]
 *
 * The last brackets say where it went: to the mComponent or the sComponent, by its name, with the
 * number of requests where it is not one; to the host; nothing: it was answered inside. Printing
 * reads the program's memory, so it causes misses of its own, which are not counted.
 */
#ifndef ASHLAR_KERNEL_TRACE_H
#define ASHLAR_KERNEL_TRACE_H

#include <stdarg.h>

#include "syscalls.h"

struct trace_start {
    uint64_t at_ns;
    uint32_t to_memory, to_storage;
};

/* Before the call. One that does not come back (exit, execve, rt_sigreturn) is printed now. */
void trace_begin(struct thread *t, uint64_t nr, const uint64_t a[6], struct trace_start *start);
void trace_end(struct thread *t, uint64_t nr, const uint64_t a[6], long result,
               const struct trace_start *start);
/* A call that is refused, once each. */
void trace_unserved(struct thread *t, uint64_t nr, long result);

/* `ashlar run --trace=alloc`: a line about where memory was allocated. */
bool trace_allocates(const struct process *p);
void trace_allocation(struct thread *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* trace_arguments.c: a text that is written piece by piece, and cut where it is full. */
struct trace_text {
    size_t used;
    char text[1024];
};
void trace_put(struct trace_text *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void trace_vput(struct trace_text *out, const char *format, va_list args);
/* The arguments, with what the call wrote where `ended`. */
void trace_arguments(struct trace_text *out, uint64_t nr, const uint64_t a[6], bool ended,
                     long result);
/* An errno's name and text. */
const char *trace_errno(int error, const char **text);
/* Whether the call's first argument is a descriptor. */
bool trace_takes_descriptor(uint64_t nr);

#endif
