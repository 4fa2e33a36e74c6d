/* Host descriptors that programs make: pipes, eventfds, memory files; and umask. */
#include <linux/fcntl.h>

#include "../files/descriptor.h"
#include "file_calls.h"
#include "host_calls.h"

enum { MEMFD_NAME_LIMIT = 250 };

long new_pair(struct thread *t, int pair[2], uint64_t out)
{
    struct files *f = t->process->files;
    for (int i = 0; i < 2; i++)
        pair[i] = (int)files_new_host(f, pair[i]);
    long rc = pair[0] < 0   ? pair[0]
              : pair[1] < 0 ? pair[1]
                            : user_write(out, pair, 2 * sizeof *pair);
    for (int i = 0; rc < 0 && i < 2; i++) {
        if (pair[i] < 0)
            continue;
        descriptor_forget(f, pair[i]);
        host_call(__NR_close, pair[i]);
    }
    return rc;
}

static long make_pipe(struct thread *t, uint64_t out, uint32_t flags)
{
    int pair[2];
    long rc = host_call(__NR_pipe2, pair, flags);
    return rc < 0 ? rc : new_pair(t, pair, out);
}

long sys_pipe(struct thread *t, const uint64_t a[6])
{
    return make_pipe(t, a[0], 0);
}

long sys_pipe2(struct thread *t, const uint64_t a[6])
{
    return make_pipe(t, a[0], (uint32_t)a[1]);
}

long sys_eventfd(struct thread *t, const uint64_t a[6])
{
    return files_new_host(t->process->files, host_call(__NR_eventfd2, a[0], 0));
}

long sys_eventfd2(struct thread *t, const uint64_t a[6])
{
    return files_new_host(t->process->files, host_call(__NR_eventfd2, a[0], a[1]));
}

long sys_memfd_create(struct thread *t, const uint64_t a[6])
{
    char name[MEMFD_NAME_LIMIT];
    long length = user_read_text(name, a[0], sizeof name);
    if (length < 0)
        return length == -EFAULT ? -EFAULT : -EINVAL;
    return files_new_host(t->process->files, host_call(__NR_memfd_create, name, a[1]));
}

/* The host's follows: what the program makes under /dev/shm is the host's. */
long sys_umask(struct thread *t, const uint64_t a[6])
{
    uint32_t mask = (uint32_t)a[0] & 0777;
    host_call(__NR_umask, mask);
    return __atomic_exchange_n(&t->process->files->umask, mask, __ATOMIC_RELAXED);
}

long sys_name_to_handle_at(struct thread *t, const uint64_t a[6])
{
    return -EOPNOTSUPP;
}
