/* `ashlar run --trace`; one write a line, so that processes do not mix theirs. */
#include "trace.h"

static void print(struct thread *t, const char *line, size_t size)
{
    host_call(__NR_write, t->process->trace_fd, line, size);
}

void trace_call(struct thread *t, uint64_t nr, const uint64_t a[6])
{
    char line[256];
    size_t n = text_format(line, sizeof line, "[%d] %s(%lx, %lx, %lx, %lx, %lx, %lx)\n", t->tid,
                           syscall_name(nr), a[0], a[1], a[2], a[3], a[4], a[5]);
    print(t, line, n);
}

void trace_result(struct thread *t, uint64_t nr, long result)
{
    char line[128];
    size_t n = text_format(line, sizeof line,
                           result < 0 && result > -4096 ? "[%d] %s = %ld\n" : "[%d] %s = %lx\n",
                           t->tid, syscall_name(nr), result);
    print(t, line, n);
}

void trace_unserved(struct thread *t, uint64_t nr)
{
    static uint64_t said[SYSCALL_COUNT / 64];
    char line[128];
    if (__atomic_fetch_or(&said[nr / 64], 1ull << nr % 64, __ATOMIC_RELAXED) >> nr % 64 & 1)
        return;
    size_t n =
        text_format(line, sizeof line, "ashlar: system call %s (%lu) is not served: ENOSYS\n",
                    syscall_name(nr), nr);
    print(t, line, n);
}
