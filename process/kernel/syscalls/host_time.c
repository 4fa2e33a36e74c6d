/* Sleeping and the clock's adjustment. The clock itself is read by described rows. */
#include <linux/time.h>
#include <linux/time_types.h>
#include <linux/timex.h>

#include "../signals/signals.h"
#include "host_calls.h"

static long sleep_on(struct thread *t, int clock, int flags, uint64_t request_at, uint64_t left_at)
{
    struct __kernel_timespec request;
    if (user_read(&request, request_at, sizeof request) < 0)
        return -EFAULT;
    struct __kernel_timespec left = request; /* where a signal came before the sleep */
    long result = host_call_intr(__NR_clock_nanosleep, clock, flags, &request, &left);
    if (result == -EINTR && left_at && !(flags & TIMER_ABSTIME) &&
        user_write(left_at, &left, sizeof left) < 0)
        return -EFAULT;
    return signals_waited(t, NULL, result, -ERESTARTNOHAND);
}

long sys_nanosleep(struct thread *t, const uint64_t a[6])
{
    return sleep_on(t, CLOCK_MONOTONIC, 0, a[0], a[1]);
}

long sys_clock_nanosleep(struct thread *t, const uint64_t a[6])
{
    return sleep_on(t, (int)a[0], (int)a[1], a[2], a[3]);
}

/* Reading only: the pComponent's clock is not the program's to set. */
static long adjust(int clock, uint64_t at)
{
    struct __kernel_timex timex;
    if (user_read(&timex, at, sizeof timex) < 0)
        return -EFAULT;
    if (timex.modes != 0)
        return -EPERM;
    long result = host_call(__NR_clock_adjtime, clock, &timex);
    if (result >= 0 && user_write(at, &timex, sizeof timex) < 0)
        return -EFAULT;
    return result;
}

long sys_adjtimex(struct thread *t, const uint64_t a[6])
{
    (void)t;
    return adjust(CLOCK_REALTIME, a[0]);
}

long sys_clock_adjtime(struct thread *t, const uint64_t a[6])
{
    (void)t;
    return adjust((int)a[0], a[1]);
}
