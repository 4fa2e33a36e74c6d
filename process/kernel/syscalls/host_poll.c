/*
 * Waiting for descriptors: poll, select, epoll.
 *
 * The host waits, on bounce memory; the mask of ppoll, pselect6 and epoll_pwait goes to it with the
 * wait, so that nothing comes between. The monitor's own descriptors are as if closed.
 */
#include <linux/eventpoll.h>
#include <linux/poll.h>
#include <linux/time_types.h>

#include "../files/files.h"
#include "../files/watch.h"
#include "../rpc/node.h"
#include "../signals/signals.h"
#include "host_calls.h"

enum { NO_SUCH_FD = 0x7fffffff };

/* What is looked at without a wait is to be up to date. */
static bool is_there(struct thread *t, int fd, bool waits)
{
    if (files_closed(t->process->files, fd))
        return false;
    if (!waits)
        watch_catch_up(t, fd);
    return true;
}

static bool is_zero(const struct __kernel_timespec *timeout)
{
    return !timeout->tv_sec && !timeout->tv_nsec;
}

/* ---- poll ---- */

struct poll_set {
    struct pollfd *fds; /* bounce memory, or of its own */
    size_t size;        /* bytes */
    bool own;
};

static long poll_set_read(struct thread *t, struct poll_set *set, uint64_t at, uint32_t count,
                          bool waits)
{
    if (count > limit_descriptors(t))
        return -EINVAL;
    set->size = count * sizeof(struct pollfd);
    set->own = set->size > BOUNCE_SIZE;
    set->fds = set->own ? host_alloc(set->size) : (struct pollfd *)thread_bounce(t);
    if (!set->fds)
        return -ENOMEM;
    if (user_read(set->fds, at, set->size) < 0)
        return -EFAULT;
    for (uint32_t i = 0; i < count; i++)
        if (set->fds[i].fd >= 0 && !is_there(t, set->fds[i].fd, waits))
            set->fds[i].fd = NO_SUCH_FD; /* POLLNVAL */
    return 0;
}

static long poll_set_write(const struct poll_set *set, uint64_t at, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t to = at + i * sizeof(struct pollfd) + offsetof(struct pollfd, revents);
        if (user_write(to, &set->fds[i].revents, sizeof set->fds[i].revents) < 0)
            return -EFAULT;
    }
    return 0;
}

static void poll_set_free(struct poll_set *set)
{
    if (set->own && set->fds)
        host_free(set->fds, set->size);
}

long sys_poll(struct thread *t, const uint64_t a[6])
{
    struct poll_set set;
    uint32_t count = (uint32_t)a[1];
    long result = poll_set_read(t, &set, a[0], count, (int)a[2] != 0);
    if (result == 0) {
        result = host_call_intr(__NR_poll, set.fds, count, (int)a[2]);
        result = signals_waited(t, NULL, result, -ERESTARTNOHAND);
        if (result >= 0 && poll_set_write(&set, a[0], count) < 0)
            result = -EFAULT;
    }
    poll_set_free(&set);
    return result;
}

/* A relative timeout that the call updates: a restart goes on with what is left. */
static int timeout_read(struct __kernel_timespec *timeout, uint64_t at)
{
    return at && user_read(timeout, at, sizeof *timeout) < 0 ? -EFAULT : 0;
}

/* As Linux: where it can't be written, the call is not restarted, and that is all. */
static long timeout_write(const void *timeout, size_t size, uint64_t at, long result)
{
    if (at && user_write(at, timeout, size) < 0 && result == -ERESTARTNOHAND)
        return -EINTR;
    return result;
}

long sys_ppoll(struct thread *t, const uint64_t a[6])
{
    struct poll_set set;
    struct __kernel_timespec timeout;
    uint64_t mask, host_mask;
    bool masked;
    uint32_t count = (uint32_t)a[1];
    if (timeout_read(&timeout, a[2]) < 0)
        return -EFAULT;
    long result = signals_read_mask(a[3], a[4], &mask, &masked);
    if (result < 0)
        return result;
    result = poll_set_read(t, &set, a[0], count, !a[2] || !is_zero(&timeout));
    if (result == 0) {
        host_mask = masked ? signals_host_mask(mask) : 0;
        result = host_call_intr(__NR_ppoll, set.fds, count, a[2] ? &timeout : NULL,
                                masked ? &host_mask : NULL, sizeof host_mask);
        result = signals_waited(t, masked ? &mask : NULL, result, -ERESTARTNOHAND);
        if (result >= 0 && poll_set_write(&set, a[0], count) < 0)
            result = -EFAULT;
        result = timeout_write(&timeout, sizeof timeout, a[2], result);
    }
    poll_set_free(&set);
    return result;
}

/* ---- select ---- */

struct select_sets {
    uint64_t at[3];    /* in the application; 0: none */
    uint64_t *host[3]; /* in bounce memory; NULL: none */
    size_t words;
    int count;
};

/* What lies beyond the table that Linux would have, and is not open, is not looked at. */
static void select_narrow(struct files *files, struct select_sets *s)
{
    for (int fd = (int)files_table(files); fd < s->count; fd++) {
        uint64_t wanted = 0;
        for (int i = 0; i < 3; i++)
            if (s->at[i])
                wanted |= s->host[i][fd / 64];
        if (!wanted)
            fd |= 63;
        else if (wanted >> fd % 64 & 1 && host_call(__NR_fcntl, fd, F_GETFD) >= 0)
            files_table_grow(files, fd);
    }
    if (s->count > (int)files_table(files))
        s->count = (int)files_table(files);
    s->words = ((size_t)s->count + 63) / 64;
}

/* Whether a hidden number is among those that the host would look at. */
static bool select_hidden(const struct select_sets *s)
{
    for (int fd = fd_numbers.hidden; fd < s->count && fd < fd_numbers.hidden_end; fd++)
        for (int i = 0; i < 3; i++)
            if (s->at[i] && s->host[i][fd / 64] >> fd % 64 & 1)
                return true;
    return false;
}

static long select_read(struct thread *t, struct select_sets *s, const uint64_t a[6])
{
    struct files *files = t->process->files;
    uint8_t *bounce = thread_bounce(t);
    if (!bounce)
        return -ENOMEM;
    s->count = (int)a[0];
    if (s->count < 0)
        return -EINVAL;
    /* The host looks at no more than it has descriptors, so neither is more copied. */
    if (s->count > fd_numbers.most)
        s->count = fd_numbers.most;
    s->words = ((size_t)s->count + 63) / 64;
    if (3 * s->words * sizeof(uint64_t) > BOUNCE_SIZE)
        return -EINVAL;
    for (int i = 0; i < 3; i++) {
        s->at[i] = a[1 + i];
        s->host[i] = s->at[i] ? (uint64_t *)bounce + (size_t)i * s->words : NULL;
        if (s->at[i] && user_read(s->host[i], s->at[i], s->words * sizeof(uint64_t)) < 0)
            return -EFAULT;
    }
    select_narrow(files, s);
    return select_hidden(s) ? -EBADF : 0;
}

/* See is_there(). */
static void select_catch_up(struct thread *t, const struct select_sets *s)
{
    for (int fd = 0; s->host[0] && fd < s->count; fd++)
        if (s->host[0][fd / 64] >> (fd % 64) & 1)
            watch_catch_up(t, fd);
}

static long select_write(const struct select_sets *s)
{
    for (int i = 0; i < 3; i++)
        if (s->at[i] && user_write(s->at[i], s->host[i], s->words * sizeof(uint64_t)) < 0)
            return -EFAULT;
    return 0;
}

long sys_select(struct thread *t, const uint64_t a[6])
{
    struct select_sets sets;
    struct __kernel_old_timeval timeout;
    if (a[4] && user_read(&timeout, a[4], sizeof timeout) < 0)
        return -EFAULT;
    long result = select_read(t, &sets, a);
    if (result < 0)
        return result;
    if (a[4] && !timeout.tv_sec && !timeout.tv_usec)
        select_catch_up(t, &sets);
    result = host_call_intr(__NR_select, sets.count, sets.host[0], sets.host[1], sets.host[2],
                            a[4] ? &timeout : NULL);
    result = signals_waited(t, NULL, result, -ERESTARTNOHAND);
    if (result >= 0 && select_write(&sets) < 0)
        return -EFAULT;
    return timeout_write(&timeout, sizeof timeout, a[4], result);
}

long sys_pselect6(struct thread *t, const uint64_t a[6])
{
    struct select_sets sets;
    struct __kernel_timespec timeout;
    struct {
        uint64_t mask_at, size;
    } packed = {0};
    uint64_t mask, host_mask;
    bool masked;
    if (timeout_read(&timeout, a[4]) < 0 || (a[5] && user_read(&packed, a[5], sizeof packed) < 0))
        return -EFAULT;
    long result = signals_read_mask(packed.mask_at, packed.size, &mask, &masked);
    if (result == 0)
        result = select_read(t, &sets, a);
    if (result < 0)
        return result;
    if (a[4] && is_zero(&timeout))
        select_catch_up(t, &sets);
    host_mask = masked ? signals_host_mask(mask) : 0;
    packed.mask_at = masked ? (uint64_t)&host_mask : 0;
    packed.size = sizeof host_mask;
    result = host_call_intr(__NR_pselect6, sets.count, sets.host[0], sets.host[1], sets.host[2],
                            a[4] ? &timeout : NULL, &packed);
    result = signals_waited(t, masked ? &mask : NULL, result, -ERESTARTNOHAND);
    if (result >= 0 && select_write(&sets) < 0)
        return -EFAULT;
    return timeout_write(&timeout, sizeof timeout, a[4], result);
}

/* ---- epoll ---- */

/* `how` is the host's call, `timeout` its fourth argument. */
static long epoll(struct thread *t, const uint64_t a[6], long how, uint64_t timeout)
{
    int count = (int)a[2];
    uint64_t mask = 0, host_mask;
    bool masked = false;
    if (files_hidden((int)a[0]))
        return -EBADF;
    if (how != __NR_epoll_wait) {
        int rc = signals_read_mask(a[4], a[5], &mask, &masked);
        if (rc < 0)
            return rc;
    }
    struct epoll_event *events = (struct epoll_event *)thread_bounce(t);
    if (!events)
        return -ENOMEM;
    if (count > INT32_MAX / (int)sizeof *events)
        return -EINVAL;
    if (count > (int)(BOUNCE_SIZE / sizeof *events))
        count = BOUNCE_SIZE / sizeof *events;
    host_mask = masked ? signals_host_mask(mask) : 0;
    long result = host_call_intr(how, (int)a[0], events, count, timeout, masked ? &host_mask : NULL,
                                 sizeof host_mask);
    if (result > 0 && user_write(a[1], events, (size_t)result * sizeof *events) < 0)
        return -EFAULT;
    return signals_waited(t, masked ? &mask : NULL, result, -EINTR);
}

long sys_epoll_wait(struct thread *t, const uint64_t a[6])
{
    return epoll(t, a, __NR_epoll_wait, a[3]);
}

long sys_epoll_pwait(struct thread *t, const uint64_t a[6])
{
    return epoll(t, a, __NR_epoll_pwait, a[3]);
}

long sys_epoll_pwait2(struct thread *t, const uint64_t a[6])
{
    struct __kernel_timespec timeout;
    if (timeout_read(&timeout, a[3]) < 0)
        return -EFAULT;
    return epoll(t, a, __NR_epoll_pwait2, a[3] ? (uint64_t)&timeout : 0);
}
