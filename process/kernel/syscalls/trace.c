/* See trace.h. One write a line, so that processes do not mix theirs. */
#include "trace.h"

#include "../files/descriptor.h"
#include "describe.h"

enum { END_ROOM = 192 }; /* for what follows the arguments */

static void print(struct thread *t, struct trace_text *line)
{
    trace_put(line, "\n");
    host_call(__NR_write, t->process->trace_fd, line->text, line->used);
}

static bool comes_back(uint64_t nr)
{
    return nr != __NR_exit && nr != __NR_exit_group && nr != __NR_execve && nr != __NR_execveat &&
           nr != __NR_rt_sigreturn;
}

static void put_call(struct thread *t, struct trace_text *line, uint64_t nr, const uint64_t a[6],
                     bool ended, long result)
{
    line->used = 0;
    trace_put(line, "[pid %d] %s(", t->tid, syscall_name(nr));
    trace_arguments(line, nr, a, ended, result);
    trace_put(line, ")");
}

void trace_begin(struct thread *t, uint64_t nr, const uint64_t a[6], struct trace_start *start)
{
    if (!comes_back(nr)) {
        struct trace_text line;
        put_call(t, &line, nr, a, false, 0);
        trace_put(&line, " = ?");
        print(t, &line);
    }
    start->to_memory = t->to_memory;
    start->to_storage = t->to_storage;
    start->at_ns = host_now_ns();
}

static void put_component(struct trace_text *line, const char *name, uint32_t requests)
{
    if (requests > 1)
        trace_put(line, " [%s x%u]", name, requests);
    else if (requests)
        trace_put(line, " [%s]", name);
}

/* Whether the host did it: a row of the host's, or a descriptor of the host's. */
static bool went_to_host(struct thread *t, uint64_t nr, const uint64_t a[6])
{
    const struct syscall_row *row = &syscall_table[nr];
    struct descriptor d;
    if (row->fn == host_row || row->fn == host_row_fd || row->host)
        return true;
    if (!row->fn || !trace_takes_descriptor(nr) ||
        descriptor_get(t->process->files, (int)a[0], &d) < 0)
        return false;
    bool host = !d.file;
    descriptor_put(&d);
    return host;
}

static void put_result(struct trace_text *line, long result)
{
    const char *text,
        *name = result < 0 && result > -4096 ? trace_errno((int)-result, &text) : NULL;
    if (name)
        trace_put(line, " = -1 %s (%s)", name, text);
    else if (result < 0 && result > -4096)
        trace_put(line, " = -1 errno %ld", -result);
    else
        trace_put(line, result > 0xffffffff ? " = 0x%lx" : " = %ld", result);
}

void trace_end(struct thread *t, uint64_t nr, const uint64_t a[6], long result,
               const struct trace_start *start)
{
    uint64_t ns = host_now_ns() - start->at_ns;
    uint32_t to_memory = t->to_memory - start->to_memory;
    uint32_t to_storage = t->to_storage - start->to_storage;
    struct trace_text line;

    put_call(t, &line, nr, a, true, result);
    if (line.used > sizeof line.text - END_ROOM)
        line.used = sizeof line.text - END_ROOM;
    put_result(&line, result);
    trace_put(&line, " <%lu.%lu us>", ns / 1000, ns / 100 % 10);
    put_component(&line, t->process->memory.name, to_memory);
    put_component(&line, t->process->storage.name, to_storage);
    if (!to_memory && !to_storage && went_to_host(t, nr, a))
        trace_put(&line, " [host]");
    print(t, &line);
}

bool trace_allocates(const struct process *p)
{
    return p->boot_flags & BOOT_TRACE_ALLOC;
}

void trace_allocation(struct thread *t, const char *format, ...)
{
    struct trace_text line = {0};
    va_list args;
    trace_put(&line, "[pid %d] ", t->tid);
    va_start(args, format);
    trace_vput(&line, format, args);
    va_end(args);
    print(t, &line);
}

void trace_unserved(struct thread *t, uint64_t nr, long result)
{
    static uint64_t said[SYSCALL_COUNT / 64];
    struct trace_text line = {0};
    const char *text;
    if (__atomic_fetch_or(&said[nr / 64], 1ull << nr % 64, __ATOMIC_RELAXED) >> nr % 64 & 1)
        return;
    const char *name = trace_errno((int)-result, &text);
    trace_put(&line, "ashlar: system call %s (%lu) is not served: %s", syscall_name(nr), nr,
              name ? name : "refused");
    print(t, &line);
}
