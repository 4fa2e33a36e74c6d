/*
 * Resource limits. Those on what the host alone does (CPU time, core files, processes) are the
 * host's. Those that would starve the monitor rather than bind the program are kept here
 * (process->limits): descriptors and file sizes, which are enforced; address space, data and the
 * stack, which mappings and their growth are checked against. What is kept goes on to a fork child
 * and over execve. Beside them: what was used.
 */
#include <linux/resource.h>
#include <linux/signal.h>
#include <linux/time_types.h>

#include "../files/files.h"
#include "../mm/mm.h"
#include "../proc/view.h"
#include "host_calls.h"

enum {
    LIMITS = 16,
    BEGIN_TRIES = 100, /* a millisecond apart */
};

static const int resource_of[KEPT_LIMITS] = {
    [KEPT_NOFILE] = RLIMIT_NOFILE, [KEPT_FSIZE] = RLIMIT_FSIZE, [KEPT_AS] = RLIMIT_AS,
    [KEPT_DATA] = RLIMIT_DATA,     [KEPT_STACK] = RLIMIT_STACK,
};

/* NULL: the host's. */
static struct limit *kept(struct process *p, unsigned resource)
{
    for (int i = 0; i < KEPT_LIMITS; i++)
        if (resource_of[i] == (int)resource)
            return &p->limits[i];
    return NULL;
}

void limits_begin(struct process *p, const struct boot *b)
{
    memcpy(p->limits, b->limits, sizeof p->limits);
    if (b->limits_known)
        return;
    for (int i = 0; i < KEPT_LIMITS; i++)
        host_call(__NR_prlimit64, 0, resource_of[i], NULL, &p->limits[i]);
    /* The placeholders are files too. */
    struct limit free = {p->limits[KEPT_FSIZE].hard, p->limits[KEPT_FSIZE].hard};
    host_call(__NR_prlimit64, 0, RLIMIT_FSIZE, &free, NULL);
}

void limits_fit(struct process *p, int most)
{
    struct limit *l = &p->limits[KEPT_NOFILE];
    if (l->hard > (uint64_t)most)
        l->hard = (uint64_t)most;
    if (l->soft > l->hard)
        l->soft = l->hard;
}

/* A reader that races a writer may see one old and one new value, as two calls would. */
static long limit_get(struct thread *t, unsigned resource, struct limit *limit)
{
    struct limit *own = kept(t->process, resource);
    if (!own)
        return host_call(__NR_prlimit64, 0, resource, NULL, limit);
    limit->soft = __atomic_load_n(&own->soft, __ATOMIC_RELAXED);
    limit->hard = __atomic_load_n(&own->hard, __ATOMIC_RELAXED);
    return 0;
}

uint64_t limit_descriptors(struct thread *t)
{
    return __atomic_load_n(&t->process->limits[KEPT_NOFILE].soft, __ATOMIC_RELAXED);
}

static long limit_allowed(const struct limit *old, const struct limit *limit)
{
    return limit->soft > limit->hard ? -EINVAL : limit->hard > old->hard ? -EPERM : 0;
}

static long limit_set(struct thread *t, unsigned resource, const struct limit *old,
                      const struct limit *limit)
{
    struct limit *own = kept(t->process, resource);
    if (!own)
        return host_call(__NR_prlimit64, 0, resource, limit, NULL);
    long rc = limit_allowed(old, limit);
    if (rc < 0)
        return rc;
    __atomic_store_n(&own->soft, limit->soft, __ATOMIC_RELAXED);
    __atomic_store_n(&own->hard, limit->hard, __ATOMIC_RELAXED);
    return 0;
}

bool limit_file_size_set(struct thread *t)
{
    return __atomic_load_n(&t->process->limits[KEPT_FSIZE].soft, __ATOMIC_RELAXED) !=
           RLIM64_INFINITY;
}

uint64_t limit_file_size(struct thread *t, uint64_t offset, uint64_t size)
{
    uint64_t most = __atomic_load_n(&t->process->limits[KEPT_FSIZE].soft, __ATOMIC_RELAXED);
    if (offset < most)
        return size < most - offset ? size : most - offset;
    if (size)
        host_call(__NR_tgkill, t->process->pid, t->tid, SIGXFSZ);
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

/*
 * A view of another process that this system's programs run in. -ENOSYS: it is none. One that has
 * just executed a program has read nothing of what it was handed yet, and is waited for: -EAGAIN.
 */
static long view_begun(struct process *own, const struct proc_name *name, struct view **out)
{
    static const struct __kernel_timespec ms = {0, 1000000};
    for (int tries = 0; tries < BEGIN_TRIES; tries++) {
        *out = view_open(own, name, false);
        if (*out && view_knows_limits(*out))
            return 0;
        if (*out)
            view_close(*out);
        else if (!view_is_ours(name->pid))
            return -ENOSYS;
        host_call(__NR_nanosleep, &ms, NULL);
    }
    return -EAGAIN;
}

/* Of another process, where its ashlar-exec keeps that limit: 0, an error, or -ENOSYS where it is
   the host's to answer. */
static long limit_of_other(struct thread *t, int pid, unsigned resource, const struct limit *to,
                           struct limit *old)
{
    const struct limit *own = kept(t->process, resource);
    const struct proc_name name = {.pid = pid};
    struct limit limits[KEPT_LIMITS];
    struct view *v = NULL;
    if (!own)
        return -ENOSYS;
    /* Who may not do it by Linux's rules learns that from the host, of a limit that nobody keeps.
     */
    long rc = host_call(__NR_prlimit64, pid, RLIMIT_CORE, NULL, old);
    int which = (int)(own - t->process->limits);
    for (int tries = 0; rc == 0 && tries < BEGIN_TRIES; tries++) {
        rc = view_begun(t->process, &name, &v);
        if (rc < 0)
            break;
        view_limits(v, limits);
        if (!tries)
            *old = limits[which];
        rc = to ? limit_allowed(old, to) : 0;
        if (rc == 0 && to)
            rc = view_set_limit(v, which, *to);
        view_close(v);
        if (rc != -EAGAIN)
            return rc;
        rc = 0;
    }
    return rc < 0 ? rc : -EAGAIN;
}

/* The most memory that was resident is the program's own, as VmHWM of /proc says it. */
long sys_getrusage(struct thread *t, const uint64_t a[6])
{
    struct rusage u;
    int who = (int)a[0];
    (void)t;
    long rc = host_call(__NR_getrusage, who, &u);
    if (rc == 0 && (who == RUSAGE_SELF || who == RUSAGE_THREAD))
        u.ru_maxrss =
            (long)(__atomic_load_n(&mm.present_most, __ATOMIC_RELAXED) * (LINE_SIZE / 1024));
    return rc < 0 ? rc : user_write(a[1], &u, sizeof u);
}

long sys_prlimit64(struct thread *t, const uint64_t a[6])
{
    int pid = (int)a[0];
    if (pid == 0 || pid == t->process->pid)
        return limit_own(t, (unsigned)a[1], a[2], a[3]);
    struct limit to, old;
    if (a[2] && user_read(&to, a[2], sizeof to) < 0)
        return -EFAULT;
    long result = limit_of_other(t, pid, (unsigned)a[1], a[2] ? &to : NULL, &old);
    if (result == -ENOSYS)
        result = host_call(__NR_prlimit64, pid, a[1], a[2] ? &to : NULL, a[3] ? &old : NULL);
    if (result == 0 && a[3] && user_write(a[3], &old, sizeof old) < 0)
        return -EFAULT;
    return result;
}
