/* What a process says about itself: prctl and its kin, capabilities, personality. */
#include <asm/prctl.h>
#include <linux/capability.h>
#include <linux/personality.h>
#include <linux/prctl.h>

#include "../entry/rewrite.h"
#include "../entry/life.h"
#include "../mm/mm.h"
#include "host_calls.h"

enum { COMM_SIZE = 16 };

/*
 * PR_SET_DUMPABLE, remembered: on the host it would close /proc/self to the monitor. A new program
 * begins with 1, as on Linux.
 */
static int dumpable = 1;

/* Both are fixed for as long as the thread and the process live: no host call. */
long sys_getpid(struct thread *t, const uint64_t a[6])
{
    (void)a;
    return t->process->pid;
}

long sys_gettid(struct thread *t, const uint64_t a[6])
{
    (void)a;
    return t->tid;
}

static long set_name(struct thread *t, uint64_t at)
{
    char name[COMM_SIZE] = {0};
    if (user_read_text(name, at, COMM_SIZE - 1) == -EFAULT)
        return -EFAULT;
    if (t->main)
        text_copy(t->process->name, sizeof t->process->name, name);
    return host_call(__NR_prctl, PR_SET_NAME, name);
}

static long get_name(uint64_t at)
{
    char name[COMM_SIZE] = {0};
    long result = host_call(__NR_prctl, PR_GET_NAME, name);
    return result < 0 ? result : user_write(at, name, sizeof name);
}

/* The options that write one int at their second argument. */
static long get_int(long option, uint64_t at)
{
    int value = 0;
    long result = host_call(__NR_prctl, option, &value);
    return result < 0 ? result : user_write(at, &value, sizeof value);
}

long sys_prctl(struct thread *t, const uint64_t a[6])
{
    switch ((int)a[0]) {
    case PR_SET_NAME:
        return set_name(t, a[1]);
    case PR_GET_NAME:
        return get_name(a[1]);
    case PR_GET_PDEATHSIG:
    case PR_GET_CHILD_SUBREAPER:
    case PR_GET_TSC:
        return get_int((long)a[0], a[1]);
    case PR_SET_DUMPABLE:
        if (a[1] > 1)
            return -EINVAL;
        __atomic_store_n(&dumpable, (int)a[1], __ATOMIC_RELAXED);
        return 0;
    case PR_GET_DUMPABLE:
        return __atomic_load_n(&dumpable, __ATOMIC_RELAXED);
    case PR_SET_PDEATHSIG:
    case PR_SET_CHILD_SUBREAPER:
    case PR_SET_NO_NEW_PRIVS:
    case PR_GET_NO_NEW_PRIVS:
    case PR_SET_TIMERSLACK:
    case PR_GET_TIMERSLACK:
    case PR_SET_KEEPCAPS:
    case PR_GET_KEEPCAPS:
    case PR_SET_SECUREBITS:
    case PR_GET_SECUREBITS:
    case PR_CAPBSET_READ:
    case PR_CAPBSET_DROP:
    case PR_CAP_AMBIENT:
    case PR_SET_PTRACER:
    case PR_GET_SECCOMP:
    case PR_SET_THP_DISABLE:
    case PR_GET_THP_DISABLE:
    case PR_GET_SPECULATION_CTRL:
        return host_call(__NR_prctl, a[0], a[1], a[2], a[3], a[4]);
    case PR_MCE_KILL:
    case PR_MCE_KILL_GET:
        return host_call(__NR_prctl, a[0], a[1], a[2], a[3], a[4]);
    case PR_SET_TSC: /* the monitor reads the counter, too */
        return a[1] == PR_TSC_ENABLE ? 0 : -EINVAL;
    case PR_GET_TIMING:
        return PR_TIMING_STATISTICAL;
    case PR_SET_TIMING:
        return a[1] == PR_TIMING_STATISTICAL ? 0 : -EINVAL;
    case PR_GET_TID_ADDRESS:
        return user_write(a[1], &t->clear_child_tid, sizeof t->clear_child_tid);
    case PR_SET_MM:
        return -EPERM;
    default: /* among them seccomp and dispatch, which the monitor itself stands on */
        return -EINVAL;
    }
}

/* A program that wants %gs gets it, and its calls are dispatched from then on (entry/rewrite.h). */
static long set_gs(struct thread *t, uint64_t base)
{
    if (base == 0 && !t->owns_gs)
        return 0;
    long result = host_call(__NR_arch_prctl, ARCH_SET_GS, base);
    if (result < 0)
        return result;
    t->owns_gs = true;
    rewrite_give_up_gs();
    return 0;
}

/* %fs holds the application's base while the monitor runs too. */
long sys_arch_prctl(struct thread *t, const uint64_t a[6])
{
    switch ((int)a[0]) {
    case ARCH_SET_GS:
        return set_gs(t, a[1]);
    case ARCH_SET_FS:
        return host_call(__NR_arch_prctl, a[0], a[1]);
    case ARCH_GET_FS:
    case ARCH_GET_GS: {
        uint64_t base = 0;
        long result = 0;
        if ((int)a[0] == ARCH_GET_FS || t->owns_gs)
            result = host_call(__NR_arch_prctl, a[0], &base);
        return result < 0 ? result : user_write(a[1], &base, sizeof base);
    }
    default:
        return -EINVAL;
    }
}

static long capabilities(long call, const uint64_t a[6])
{
    struct __user_cap_header_struct head;
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
    if (user_read(&head, a[0], sizeof head) < 0)
        return -EFAULT;
    if (call == __NR_capset && head.pid != 0 && head.pid != (int)host_call(__NR_gettid))
        return -EPERM;
    size_t size = head.version == _LINUX_CAPABILITY_VERSION_1 ? sizeof data[0] : sizeof data;
    if (call == __NR_capset && user_read(data, a[1], size) < 0)
        return -EFAULT;
    long result = host_call(call, &head, a[1] ? data : NULL);
    /* The host puts the version that it prefers where it does not know the one given. */
    if ((result == 0 || result == -EINVAL) && user_write(a[0], &head, sizeof head) < 0)
        return -EFAULT;
    if (result == 0 && call == __NR_capget && a[1] && user_write(a[1], data, size) < 0)
        return -EFAULT;
    return result;
}

long sys_capget(struct thread *t, const uint64_t a[6])
{
    (void)t;
    return capabilities(__NR_capget, a);
}

long sys_capset(struct thread *t, const uint64_t a[6])
{
    (void)t;
    return capabilities(__NR_capset, a);
}

/* Those flags only that do not change where the host puts the monitor's own mappings; and what is
   readable being executable, which is kept here, for the host would have it of the monitor's. */
long sys_personality(struct thread *t, const uint64_t a[6])
{
    enum { KNOWN = ADDR_NO_RANDOMIZE | UNAME26 | READ_IMPLIES_EXEC };
    uint32_t to = (uint32_t)a[0];
    bool query = to == 0xffffffff;
    (void)t;
    if (!query && (to & ~(uint32_t)KNOWN) != PER_LINUX)
        return -EINVAL;
    long was = host_call(__NR_personality, query ? to : to & ~(uint32_t)READ_IMPLIES_EXEC);
    if (was < 0)
        return was;
    if (__atomic_load_n(&mm.read_implies_exec, __ATOMIC_RELAXED))
        was |= READ_IMPLIES_EXEC;
    if (!query)
        __atomic_store_n(&mm.read_implies_exec, (to & READ_IMPLIES_EXEC) != 0, __ATOMIC_RELAXED);
    return was;
}

long sys_set_robust_list(struct thread *t, const uint64_t a[6])
{
    if (a[1] != ROBUST_HEAD_SIZE)
        return -EINVAL;
    return robust_set(t, a[0]);
}

long sys_get_robust_list(struct thread *t, const uint64_t a[6])
{
    uint64_t size = ROBUST_HEAD_SIZE;
    uint64_t list = 0;
    long rc = robust_of(t->process, (int)a[0] ? (int)a[0] : t->tid, &list);
    if (rc < 0)
        return rc;
    if (user_write(a[2], &size, sizeof size) < 0)
        return -EFAULT;
    return user_write(a[1], &list, sizeof list);
}

/* In pieces of the bounce memory; a signal ends it after one, as it does on Linux. */
long sys_getrandom(struct thread *t, const uint64_t a[6])
{
    uint8_t *bounce = thread_bounce(t);
    uint64_t size = a[1] < INT32_MAX ? a[1] : INT32_MAX, done = 0;
    if (!bounce)
        return -ENOMEM;
    do {
        uint64_t n = size - done < BOUNCE_SIZE ? size - done : BOUNCE_SIZE;
        long got = host_call(__NR_getrandom, bounce, n, a[2]);
        if (got < 0)
            return done ? (long)done : got;
        size_t put = user_write_some(a[0] + done, bounce, (size_t)got);
        done += put;
        if (put < (size_t)got)
            return done ? (long)done : -EFAULT;
        if ((uint64_t)got < n || t->pending)
            break;
    } while (done < size);
    return (long)done;
}

long sys_not_permitted(struct thread *t, const uint64_t a[6])
{
    (void)t;
    (void)a;
    return -EPERM;
}

/* The structure's first word is its size. */
long sys_sched_setattr(struct thread *t, const uint64_t a[6])
{
    uint32_t words[64] = {0};
    (void)t;
    if (!a[1] || (int)a[0] < 0 || a[2])
        return -EINVAL;
    if (user_read(words, a[1], sizeof words[0]) < 0)
        return -EFAULT;
    uint32_t size = words[0] ? words[0] : 48; /* SCHED_ATTR_SIZE_VER0 */
    if (size > sizeof words)
        return -E2BIG;
    if (user_read(words, a[1], size) < 0)
        return -EFAULT;
    return host_call(__NR_sched_setattr, a[0], words, a[2]);
}
