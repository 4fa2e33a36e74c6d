/* wait4 and waitid: the host's, on monitor memory (a fault after the child is reaped loses it). */
#include <asm/siginfo.h>
#include <linux/resource.h>

#include "thread_calls.h"

long sys_wait4(struct thread *t, const uint64_t a[6])
{
    int status = 0;
    struct rusage usage;
    (void)t;
    long pid = host_call_intr(__NR_wait4, (int)a[0], &status, a[2], a[3] ? &usage : NULL);
    if (pid <= 0)
        return restartable(pid);
    if (a[1] && user_write(a[1], &status, sizeof status) < 0)
        return -EFAULT;
    if (a[3] && user_write(a[3], &usage, sizeof usage) < 0)
        return -EFAULT;
    return pid;
}

long sys_waitid(struct thread *t, const uint64_t a[6])
{
    siginfo_t info = {0};
    struct rusage usage = {0};
    (void)t;
    long rc = host_call_intr(__NR_waitid, a[0], a[1], &info, a[3], a[4] ? &usage : NULL);
    if (rc < 0)
        return restartable(rc);
    if (a[2] && user_write(a[2], &info, sizeof info) < 0)
        return -EFAULT;
    if (a[4] && user_write(a[4], &usage, sizeof usage) < 0)
        return -EFAULT;
    return rc;
}
