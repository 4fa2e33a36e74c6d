/*
 * Resource limits. Those on what the host alone does (CPU time, core files, processes, the stack a
 * next program gets) are the host's. Those that would starve the monitor rather than bind the
 * program are remembered and answered, and nothing more: address space, data, file size. That of
 * descriptors ends where the monitor's own begin (files_floor).
 *
 * What is remembered is the process's: a fork child has it, a new program (execve) begins anew.
 */
#include <linux/resource.h>

#include "../files/files.h"
#include "host_calls.h"

enum { LIMITS = 16 };

struct limit {
    uint64_t soft, hard;
};

/* Of the remembered ones; `set` is released after the values. Single values are read whole; a
   reader that races a writer may see one old and one new, as two calls would. */
static struct limit remembered[LIMITS];
static bool remembered_set[LIMITS];

static bool is_remembered(unsigned resource)
{
    return resource == RLIMIT_NOFILE || resource == RLIMIT_AS || resource == RLIMIT_DATA ||
           resource == RLIMIT_FSIZE;
}

static long limit_get(struct thread *t, unsigned resource, struct limit *limit)
{
    if (is_remembered(resource) && __atomic_load_n(&remembered_set[resource], __ATOMIC_ACQUIRE)) {
        limit->soft = __atomic_load_n(&remembered[resource].soft, __ATOMIC_RELAXED);
        limit->hard = __atomic_load_n(&remembered[resource].hard, __ATOMIC_RELAXED);
        return 0;
    }
    if (resource == RLIMIT_NOFILE) {
        limit->soft = limit->hard = (uint64_t)files_floor(t->process->files);
        return 0;
    }
    return host_call(__NR_prlimit64, 0, resource, NULL, limit);
}

uint64_t limit_descriptors(struct thread *t)
{
    struct limit limit;
    return limit_get(t, RLIMIT_NOFILE, &limit) < 0 ? 0 : limit.soft;
}

static long limit_set(struct thread *t, unsigned resource, const struct limit *old,
                      const struct limit *limit)
{
    if (!is_remembered(resource))
        return host_call(__NR_prlimit64, 0, resource, limit, NULL);
    if (limit->soft > limit->hard)
        return -EINVAL;
    if (limit->hard > old->hard)
        return -EPERM;
    __atomic_store_n(&remembered[resource].soft, limit->soft, __ATOMIC_RELAXED);
    __atomic_store_n(&remembered[resource].hard, limit->hard, __ATOMIC_RELAXED);
    __atomic_store_n(&remembered_set[resource], true, __ATOMIC_RELEASE);
    if (resource == RLIMIT_NOFILE)
        files_set_limit(t->process->files, limit->soft);
    return 0;
}

/* Of this process: new_at and old_at may be 0. */
static long limit_own(struct thread *t, unsigned resource, uint64_t new_at, uint64_t old_at)
{
    struct limit to, old;
    if (resource >= LIMITS)
        return -EINVAL;
    if (new_at && user_read(&to, new_at, sizeof to) < 0)
        return -EFAULT;
    long result = limit_get(t, resource, &old);
    if (result == 0 && new_at)
        result = limit_set(t, resource, &old, &to);
    if (result == 0 && new_at && resource == RLIMIT_NOFILE)
        files_set_limit(t->process->files, to.soft);
    if (result == 0 && old_at && user_write(old_at, &old, sizeof old) < 0)
        return -EFAULT;
    return result;
}

long sys_getrlimit(struct thread *t, const uint64_t a[6])
{
    return limit_own(t, (unsigned)a[0], 0, a[1]);
}

long sys_setrlimit(struct thread *t, const uint64_t a[6])
{
    return limit_own(t, (unsigned)a[0], a[1], 0);
}

long sys_prlimit64(struct thread *t, const uint64_t a[6])
{
    int pid = (int)a[0];
    if (pid == 0 || pid == t->process->pid)
        return limit_own(t, (unsigned)a[1], a[2], a[3]);
    struct limit to, old;
    if (a[2] && user_read(&to, a[2], sizeof to) < 0)
        return -EFAULT;
    long result = host_call(__NR_prlimit64, pid, a[1], a[2] ? &to : NULL, a[3] ? &old : NULL);
    if (result == 0 && a[3] && user_write(a[3], &old, sizeof old) < 0)
        return -EFAULT;
    return result;
}
