/*
 * System V semaphores and message queues, POSIX message queues: the host's own, buffers copied.
 *
 * They are the pComponent's: its processes share them by key or name, whatever run they are of.
 */
#include <asm/msgbuf.h>
#include <asm/sembuf.h>
#include <linux/ipc.h>
#include <linux/mqueue.h>
#include <linux/msg.h>
#include <linux/sem.h>
#include <linux/time_types.h>

#include "../files/files.h"
#include "../signals/signals.h"
#include "host_calls.h"

enum {
    SEM_OPERATIONS_MOST = 500,
    MQ_NAME_MOST = 256,
    NOTIFY_COOKIE = 32, /* bytes, of SIGEV_THREAD */
    NOTIFY_THREAD = 2,  /* SIGEV_THREAD */
};

/* ---- System V semaphores ---- */

/* Never restarted (signal(7)). */
static long operate(struct thread *t, const uint64_t a[6], const void *timeout)
{
    struct sembuf *operations = (struct sembuf *)thread_bounce(t);
    uint64_t count = (uint32_t)a[2];
    if (!operations)
        return -ENOMEM;
    if (!count || (int)a[0] < 0)
        return -EINVAL;
    if (count > SEM_OPERATIONS_MOST)
        return -E2BIG;
    if (user_read(operations, a[1], count * sizeof *operations) < 0)
        return -EFAULT;
    long result = host_call_intr(__NR_semtimedop, a[0], operations, count, timeout);
    return signals_waited(t, NULL, result, -EINTR);
}

long sys_semop(struct thread *t, const uint64_t a[6])
{
    return operate(t, a, NULL);
}

long sys_semtimedop(struct thread *t, const uint64_t a[6])
{
    struct __kernel_timespec timeout;
    if (a[3] && user_read(&timeout, a[3], sizeof timeout) < 0)
        return -EFAULT;
    return operate(t, a, a[3] ? &timeout : NULL);
}

/* The values of all of a set's semaphores. */
static long values(struct thread *t, const uint64_t a[6], bool set)
{
    struct semid64_ds about;
    uint8_t *bounce = thread_bounce(t);
    if (!bounce)
        return -ENOMEM;
    long result = host_call(__NR_semctl, a[0], 0, IPC_STAT, &about);
    if (result < 0)
        return result;
    size_t size = about.sem_nsems * sizeof(uint16_t);
    if (size > BOUNCE_SIZE)
        return -ENOMEM;
    if (set && user_read(bounce, a[3], size) < 0)
        return -EFAULT;
    result = host_call(__NR_semctl, a[0], a[1], (uint32_t)a[2], bounce);
    return result < 0 || set ? result : user_write(a[3], bounce, size) < 0 ? -EFAULT : result;
}

/* The host's call with a structure of `size` bytes that it reads or writes. */
static long with_structure(long nr, const uint64_t a[6], int at, size_t size, bool in)
{
    uint8_t bytes[256];
    uint64_t host[4] = {a[0], a[1], a[2], a[3]};
    host_assert(size <= sizeof bytes);
    if (in && user_read(bytes, a[at], size) < 0)
        return -EFAULT;
    host[at] = (uint64_t)bytes;
    long result = host_call(nr, host[0], host[1], host[2], host[3]);
    return result < 0 || in ? result : user_write(a[at], bytes, size) < 0 ? -EFAULT : result;
}

long sys_semctl(struct thread *t, const uint64_t a[6])
{
    switch ((uint32_t)a[2]) {
    case IPC_STAT:
    case SEM_STAT:
    case SEM_STAT_ANY:
        return with_structure(__NR_semctl, a, 3, sizeof(struct semid64_ds), false);
    case IPC_SET:
        return with_structure(__NR_semctl, a, 3, sizeof(struct semid64_ds), true);
    case IPC_INFO:
    case SEM_INFO:
        return with_structure(__NR_semctl, a, 3, sizeof(struct seminfo), false);
    case GETALL:
    case SETALL:
        return values(t, a, (uint32_t)a[2] == SETALL);
    case SETVAL:
    case GETVAL:
    case GETPID:
    case GETNCNT:
    case GETZCNT:
    case IPC_RMID:
        return host_call(__NR_semctl, a[0], a[1], (uint32_t)a[2], a[3]);
    }
    return -EINVAL;
}

/* ---- System V messages ---- */

long sys_msgsnd(struct thread *t, const uint64_t a[6])
{
    uint8_t *bounce = thread_bounce(t);
    if (!bounce)
        return -ENOMEM;
    if (a[2] > BOUNCE_SIZE - sizeof(long))
        return -EINVAL;
    if (user_read(bounce, a[1], sizeof(long) + a[2]) < 0)
        return -EFAULT;
    long result = host_call_intr(__NR_msgsnd, a[0], bounce, a[2], a[3]);
    return signals_waited(t, NULL, result, -EINTR);
}

long sys_msgrcv(struct thread *t, const uint64_t a[6])
{
    uint8_t *bounce = thread_bounce(t);
    if (!bounce)
        return -ENOMEM;
    if ((int64_t)a[2] < 0)
        return -EINVAL;
    uint64_t size = a[2] < BOUNCE_SIZE - sizeof(long) ? a[2] : BOUNCE_SIZE - sizeof(long);
    long result = host_call_intr(__NR_msgrcv, a[0], bounce, size, a[3], a[4]);
    if (result >= 0 && user_write(a[1], bounce, sizeof(long) + (size_t)result) < 0)
        return -EFAULT;
    return signals_waited(t, NULL, result, -EINTR);
}

long sys_msgctl(struct thread *t, const uint64_t a[6])
{
    switch ((uint32_t)a[1]) {
    case IPC_STAT:
    case MSG_STAT:
    case MSG_STAT_ANY:
        return with_structure(__NR_msgctl, a, 2, sizeof(struct msqid64_ds), false);
    case IPC_SET:
        return with_structure(__NR_msgctl, a, 2, sizeof(struct msqid64_ds), true);
    case IPC_INFO:
    case MSG_INFO:
        return with_structure(__NR_msgctl, a, 2, sizeof(struct msginfo), false);
    case IPC_RMID:
        return host_call(__NR_msgctl, a[0], IPC_RMID, 0);
    }
    return -EINVAL;
}

/* ---- POSIX message queues ---- */

long sys_mq_open(struct thread *t, const uint64_t a[6])
{
    char name[MQ_NAME_MOST];
    struct mq_attr attr;
    bool has_attr = a[3] != 0;
    if (has_attr && user_read(&attr, a[3], sizeof attr) < 0)
        return -EFAULT;
    long length = user_read_text(name, a[0], sizeof name);
    if (length < 0)
        return length;
    long fd = host_call(__NR_mq_open, name, a[1], a[2], has_attr ? &attr : NULL);
    return files_new_host(t->process->files, fd);
}

long sys_mq_unlink(struct thread *t, const uint64_t a[6])
{
    char name[MQ_NAME_MOST];
    long length = user_read_text(name, a[0], sizeof name);
    return length < 0 ? length : host_call(__NR_mq_unlink, name);
}

static long read_deadline(uint64_t at, struct __kernel_timespec *deadline)
{
    return at && user_read(deadline, at, sizeof *deadline) < 0 ? -EFAULT : 0;
}

long sys_mq_timedsend(struct thread *t, const uint64_t a[6])
{
    struct __kernel_timespec deadline;
    uint8_t *bounce = thread_bounce(t);
    if (!bounce)
        return -ENOMEM;
    if (files_hidden((int)a[0]))
        return -EBADF;
    if (read_deadline(a[4], &deadline) < 0)
        return -EFAULT;
    if (a[2] > BOUNCE_SIZE)
        return -EMSGSIZE;
    if (user_read(bounce, a[1], a[2]) < 0)
        return -EFAULT;
    return restartable(
        host_call_intr(__NR_mq_timedsend, a[0], bounce, a[2], a[3], a[4] ? &deadline : NULL));
}

long sys_mq_timedreceive(struct thread *t, const uint64_t a[6])
{
    struct __kernel_timespec deadline;
    uint8_t *bounce = thread_bounce(t);
    uint32_t priority;
    if (!bounce)
        return -ENOMEM;
    if (files_hidden((int)a[0]))
        return -EBADF;
    if (read_deadline(a[4], &deadline) < 0)
        return -EFAULT;
    uint64_t size = a[2] < BOUNCE_SIZE ? a[2] : BOUNCE_SIZE;
    long result = host_call_intr(__NR_mq_timedreceive, a[0], bounce, size, a[3] ? &priority : NULL,
                                 a[4] ? &deadline : NULL);
    if (result >= 0 && (user_write(a[1], bounce, (size_t)result) < 0 ||
                        (a[3] && user_write(a[3], &priority, sizeof priority) < 0)))
        return -EFAULT;
    return restartable(result);
}

long sys_mq_notify(struct thread *t, const uint64_t a[6])
{
    struct {
        uint64_t value;
        int signal, notify;
        uint8_t rest[48];
    } event; /* struct sigevent */
    uint8_t cookie[NOTIFY_COOKIE];
    if (files_hidden((int)a[0]))
        return -EBADF;
    if (!a[1])
        return host_call(__NR_mq_notify, a[0], NULL);
    if (user_read(&event, a[1], sizeof event) < 0)
        return -EFAULT;
    if (event.notify == NOTIFY_THREAD) {
        if (user_read(cookie, event.value, sizeof cookie) < 0)
            return -EFAULT;
        event.value = (uint64_t)cookie;
    }
    return host_call(__NR_mq_notify, a[0], &event);
}
