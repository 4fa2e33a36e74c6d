/*
 * The table of a process's signal actions, and the host's dispositions that follow it.
 *
 * Invariant, under `lock`: for each asynchronous signal the host has SIG_DFL or SIG_IGN where the
 * table has, and on_async where the table has a handler. The synchronous ones are always ours on
 * the host. Taken in host handlers only where application code was interrupted, so never
 * recursively.
 */
#include "layout.h"
#include "signals.h"

#include "../entry/process.h"
#include "../host/host.h"
#include "../host/lock.h"

struct signal_actions {
    struct mutex lock;
    struct action actions[SIGNAL_COUNT + 1]; /* by signal; protected by lock */
    uint64_t held;                           /* protected by lock, read without (a hint) */
    struct siginfo_bytes held_info[32];      /* by signal; protected by lock */
};

typedef void host_handler(int signal, siginfo_t *info, void *ucontext);

/* A host handler's system call results in EINTR, never in a restart: host_call_intr depends on it.
 */
static void host_set(int signal, uint64_t handler, uint64_t flags)
{
    struct action host = {.handler = handler, .flags = flags, .mask = SIGNALS_ASYNC};
    if (handler != (uint64_t)SIG_DFL && handler != (uint64_t)SIG_IGN) {
        host.flags |= SA_SIGINFO | SA_ONSTACK | SA_RESTORER;
        host.restorer = (uint64_t)host_restorer;
    }
    host_call(__NR_rt_sigaction, signal, &host, NULL, SIGSET_SIZE);
}

static void host_follow(int signal, const struct action *action)
{
    if (SIGNAL_BIT(signal) & SIGNALS_SYNC)
        return;
    bool plain = action->handler == (uint64_t)SIG_DFL || action->handler == (uint64_t)SIG_IGN;
    host_set(signal, plain ? action->handler : (uint64_t)on_async,
             action->flags & (SA_NOCLDSTOP | SA_NOCLDWAIT));
}

static bool host_ignores(int signal)
{
    struct action host;
    return host_call(__NR_rt_sigaction, signal, NULL, &host, SIGSET_SIZE) == 0 &&
           host.handler == (uint64_t)SIG_IGN;
}

struct signal_actions *signals_new(uint64_t ignored, bool known)
{
    struct signal_actions *a = host_alloc(sizeof *a);
    if (!a)
        return NULL;
    for (int signal = 1; signal <= SIGNAL_COUNT; signal++)
        if (ignored & SIGNAL_BIT(signal) || (!known && host_ignores(signal)))
            a->actions[signal].handler = (uint64_t)SIG_IGN;
    return a;
}

uint64_t signals_ignored(struct signal_actions *a)
{
    return signals_sets(a).ignored;
}

struct signal_actions *signals_copy(struct signal_actions *from)
{
    struct signal_actions *a = host_alloc(sizeof *a);
    if (!a)
        return NULL;
    mutex_lock(&from->lock);
    memcpy(a->actions, from->actions, sizeof a->actions);
    mutex_unlock(&from->lock);
    return a;
}

void signals_free(struct signal_actions *a)
{
    host_free(a, sizeof *a);
}

void signals_init(struct process *p)
{
    (void)p;
    for (int signal = 1; signal <= SIGNAL_COUNT; signal++)
        if (SIGNAL_BIT(signal) & SIGNALS_SYNC)
            host_set(signal, (uint64_t)on_fault, SA_NODEFER);
}

size_t signals_size(void)
{
    return sizeof(struct signal_actions);
}

struct signal_sets signals_sets_of(const struct signal_actions *a)
{
    struct signal_sets s = {0};
    for (int signal = 1; signal <= SIGNAL_COUNT; signal++) {
        uint64_t handler = a->actions[signal].handler;
        if (handler == (uint64_t)SIG_IGN)
            s.ignored |= SIGNAL_BIT(signal);
        else if (handler != (uint64_t)SIG_DFL)
            s.caught |= SIGNAL_BIT(signal);
    }
    return s;
}

struct signal_sets signals_sets(struct signal_actions *a)
{
    mutex_lock(&a->lock);
    struct signal_sets s = signals_sets_of(a);
    mutex_unlock(&a->lock);
    return s;
}

void actions_lock(struct signal_actions *a)
{
    mutex_lock(&a->lock);
}

void actions_unlock(struct signal_actions *a)
{
    mutex_unlock(&a->lock);
}

struct action action_get(struct signal_actions *a, int signal)
{
    mutex_lock(&a->lock);
    struct action action = a->actions[signal];
    mutex_unlock(&a->lock);
    return action;
}

struct action action_take(struct signal_actions *a, int signal)
{
    mutex_lock(&a->lock);
    struct action action = a->actions[signal];
    bool handler = action.handler != (uint64_t)SIG_DFL && action.handler != (uint64_t)SIG_IGN;
    if (handler && (action.flags & SA_RESETHAND)) {
        a->actions[signal].handler = (uint64_t)SIG_DFL;
        host_follow(signal, &a->actions[signal]);
    }
    mutex_unlock(&a->lock);
    return action;
}

void action_set(struct signal_actions *a, int signal, const struct action *to, struct action *old)
{
    mutex_lock(&a->lock);
    *old = a->actions[signal];
    if (to) {
        a->actions[signal] = *to;
        if (to->handler == (uint64_t)SIG_IGN)
            a->held &= ~SIGNAL_BIT(signal);
        host_follow(signal, to);
    }
    mutex_unlock(&a->lock);
}

void held_put(struct signal_actions *a, const struct siginfo_bytes *info)
{
    int signal = (int)info->words[0] & 31;
    mutex_lock(&a->lock);
    if (!(a->held & SIGNAL_BIT(signal))) {
        a->held |= SIGNAL_BIT(signal);
        a->held_info[signal] = *info;
    }
    mutex_unlock(&a->lock);
}

bool held_take(struct signal_actions *a, uint64_t mask, struct siginfo_bytes *info)
{
    if (!(__atomic_load_n(&a->held, __ATOMIC_RELAXED) & mask))
        return false;
    mutex_lock(&a->lock);
    uint64_t set = a->held & mask;
    if (set) {
        int signal = __builtin_ctzll(set) + 1;
        a->held &= ~SIGNAL_BIT(signal);
        *info = a->held_info[signal];
    }
    mutex_unlock(&a->lock);
    return set != 0;
}

uint64_t held_set(struct signal_actions *a)
{
    return __atomic_load_n(&a->held, __ATOMIC_RELAXED);
}
