/* The thread library's locks, keys and signals to threads, within a process and between two. */
#include "conformance.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/time.h>

static struct timespec past = {1, 0};

static void pause_ms(long ms)
{
    struct timespec t = {0, ms * 1000000};
    nanosleep(&t, NULL);
}

/* Memory that a fork child shares. */
static void *shared(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static int code_of(pid_t pid)
{
    int status = -1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

struct common {
    pthread_mutex_t mutex;
    pthread_cond_t condition;
    pthread_rwlock_t rwlock;
    pthread_barrier_t barrier;
    pthread_spinlock_t spin;
    sem_t semaphore;
    volatile int value, other;
};

static struct common *common(int robust, int protocol)
{
    struct common *c = shared(sizeof *c);
    pthread_mutexattr_t m;
    pthread_condattr_t d;
    pthread_rwlockattr_t w;
    pthread_barrierattr_t b;
    pthread_mutexattr_init(&m);
    pthread_mutexattr_setpshared(&m, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&m, robust);
    pthread_mutexattr_setprotocol(&m, protocol);
    pthread_mutex_init(&c->mutex, &m);
    pthread_condattr_init(&d);
    pthread_condattr_setpshared(&d, PTHREAD_PROCESS_SHARED);
    pthread_cond_init(&c->condition, &d);
    pthread_rwlockattr_init(&w);
    pthread_rwlockattr_setpshared(&w, PTHREAD_PROCESS_SHARED);
    pthread_rwlock_init(&c->rwlock, &w);
    pthread_barrierattr_init(&b);
    pthread_barrierattr_setpshared(&b, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&c->barrier, &b, 3);
    pthread_spin_init(&c->spin, PTHREAD_PROCESS_SHARED);
    sem_init(&c->semaphore, 1, 0);
    return c;
}

static struct common *plain(void)
{
    return common(PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);
}

#define CHILDREN(n, body)                                                                          \
    do {                                                                                           \
        pid_t pids_[n];                                                                            \
        for (int i_ = 0; i_ < n; i_++) {                                                           \
            pids_[i_] = fork();                                                                    \
            if (pids_[i_] == 0) {                                                                  \
                body;                                                                              \
                _exit(0);                                                                          \
            }                                                                                      \
        }                                                                                          \
        for (int i_ = 0; i_ < n; i_++)                                                             \
            SHOW("ended %d", code_of(pids_[i_]));                                                  \
    } while (0)

CASE(shared_mutex, counts)
{
    struct common *c = plain();
    CHILDREN(
        3, for (int i = 0; i < 2000; i++) {
            pthread_mutex_lock(&c->mutex);
            c->value++;
            pthread_mutex_unlock(&c->mutex);
        });
    SHOW("%d", c->value);
}
CASE(shared_mutex, priority_inheriting_counts)
{
    struct common *c = common(PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT);
    CHILDREN(
        3, for (int i = 0; i < 500; i++) {
            pthread_mutex_lock(&c->mutex);
            c->value++;
            pthread_mutex_unlock(&c->mutex);
        });
    SHOW("%d", c->value);
}
CASE(shared_spinlock, counts)
{
    struct common *c = plain();
    CHILDREN(
        2, for (int i = 0; i < 1000; i++) {
            pthread_spin_lock(&c->spin);
            c->value++;
            pthread_spin_unlock(&c->spin);
        });
    SHOW("%d", c->value);
}
CASE(shared_rwlock, counts)
{
    struct common *c = plain();
    CHILDREN(
        3, for (int i = 0; i < 500; i++) {
            pthread_rwlock_wrlock(&c->rwlock);
            c->value++;
            pthread_rwlock_unlock(&c->rwlock);
            pthread_rwlock_rdlock(&c->rwlock);
            pthread_rwlock_unlock(&c->rwlock);
        });
    SHOW("%d", c->value);
}
CASE(shared_barrier, three_processes)
{
    struct common *c = plain();
    CHILDREN(
        3, for (int i = 0; i < 20; i++) {
            if (pthread_barrier_wait(&c->barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
                c->value++;
        });
    SHOW("%d", c->value);
}
CASE(shared_condition, hand_over)
{
    struct common *c = plain();
    CHILDREN(2, {
        for (int i = 0; i < 200; i++) {
            pthread_mutex_lock(&c->mutex);
            while (c->value % 2 != i_)
                pthread_cond_wait(&c->condition, &c->mutex);
            c->value++;
            pthread_cond_broadcast(&c->condition);
            pthread_mutex_unlock(&c->mutex);
        }
    });
    SHOW("%d", c->value);
}
CASE(shared_semaphore, wakes_the_other)
{
    struct common *c = plain();
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 100; i++)
            while (sem_wait(&c->semaphore) < 0)
                ;
        _exit(7);
    }
    for (int i = 0; i < 100; i++)
        sem_post(&c->semaphore);
    SHOW("%d", code_of(pid));
}

#define DEAD(name, protocol, how)                                                                  \
    CASE(shared_robust, name)                                                                      \
    {                                                                                              \
        struct common *c = common(PTHREAD_MUTEX_ROBUST, protocol);                                 \
        pid_t pid = fork();                                                                        \
        if (pid == 0) {                                                                            \
            pthread_mutex_lock(&c->mutex);                                                         \
            how;                                                                                   \
        }                                                                                          \
        SHOW("%d", code_of(pid));                                                                  \
        SHOW("%s", strerrorname_np(pthread_mutex_lock(&c->mutex)));                                \
        TRY(pthread_mutex_consistent(&c->mutex));                                                  \
        TRY(pthread_mutex_unlock(&c->mutex));                                                      \
        TRY(pthread_mutex_trylock(&c->mutex));                                                     \
    }
static void *leave(void *arg)
{
    _exit((int)(long)arg);
}
DEAD(exit, PTHREAD_PRIO_NONE, _exit(0))
DEAD(raw_exit, PTHREAD_PRIO_NONE, syscall(SYS_exit, 3))
DEAD(exec, PTHREAD_PRIO_NONE, execl("/bin/true", "true", NULL))
DEAD(exit_by_another_thread, PTHREAD_PRIO_NONE, ({
         pthread_t t;
         pthread_create(&t, NULL, leave, (void *)5l);
         for (;;)
             pause();
     }))
DEAD(exit_with_priority_inheritance, PTHREAD_PRIO_INHERIT, _exit(0))

CASE(shared_robust, sleeper_in_another_process)
{
    struct common *c = common(PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE);
    pid_t holder = fork();
    if (holder == 0) {
        pthread_mutex_lock(&c->mutex);
        c->value = 1;
        pause_ms(50);
        _exit(0);
    }
    while (!c->value)
        sched_yield();
    SHOW("%s", strerrorname_np(pthread_mutex_lock(&c->mutex)));
    SHOW("%d", code_of(holder));
}

/* Many locks on lines of their own, some of them private, that have not been touched for long. */
enum { APART = 24, PAGES = 1024 };
static char *swept;
static void *sweep_on(void *arg)
{
    volatile int *rounds = arg;
    for (;;) {
        for (size_t i = 0; i < 8 * PAGES; i++)
            swept[i * 4096]++;
        (*rounds)++;
    }
}
static pthread_mutex_t *lock_at(char *base, int i)
{
    return (pthread_mutex_t *)(base + (size_t)i * (PAGES / APART) * 4096 + 64);
}
CASE(shared_robust, killed_long_after)
{
    struct common *c = plain();
    char *base = shared(PAGES * 4096);
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    swept =
        mmap(NULL, 8 * PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < APART; i++) {
        pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
        pthread_mutex_init(lock_at(base, i), &a);
        pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_PRIVATE);
        pthread_mutex_init(lock_at(swept, i), &a);
    }
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        for (int i = 0; i < APART; i++) {
            pthread_mutex_lock(lock_at(base, i));
            if (i % 4 == 0)
                pthread_mutex_lock(lock_at(swept, i));
        }
        pthread_create(&t, NULL, sweep_on, (void *)&c->value);
        for (;;)
            pause();
    }
    while (c->value < 2)
        sched_yield();
    for (int round = 0; round < 3; round++)
        for (int i = 0; i < PAGES; i++)
            base[(size_t)i * 4096 + 2048]++;
    for (int now = c->value; c->value < now + 2;)
        sched_yield();
    kill(pid, SIGKILL);
    SHOW("%d", code_of(pid));
    for (int i = 0; i < APART; i++)
        SHOW("%d: %s", i, strerrorname_np(pthread_mutex_trylock(lock_at(base, i))));
}

/* ---- within a process ---- */

CASE(rwlock, rules)
{
    pthread_rwlock_t l = PTHREAD_RWLOCK_INITIALIZER;
    TRY(pthread_rwlock_rdlock(&l));
    TRY(pthread_rwlock_tryrdlock(&l));
    SHOW("%s", strerrorname_np(pthread_rwlock_trywrlock(&l)));
    SHOW("%s", strerrorname_np(pthread_rwlock_timedwrlock(&l, &past)));
    TRY(pthread_rwlock_unlock(&l));
    TRY(pthread_rwlock_unlock(&l));
    TRY(pthread_rwlock_wrlock(&l));
    SHOW("%s", strerrorname_np(pthread_rwlock_tryrdlock(&l)));
    SHOW("%s", strerrorname_np(pthread_rwlock_wrlock(&l)));
    SHOW("%s", strerrorname_np(pthread_rwlock_clockrdlock(&l, CLOCK_MONOTONIC, &past)));
}

CASE(semaphore, rules)
{
    sem_t s;
    int value;
    TRY(sem_init(&s, 0, 2));
    TRY(sem_wait(&s));
    TRY(sem_trywait(&s));
    TRY(sem_trywait(&s));
    TRY(sem_timedwait(&s, &past));
    TRY(sem_clockwait(&s, CLOCK_MONOTONIC, &past));
    TRY(sem_post(&s));
    TRY(sem_getvalue(&s, &value));
    SHOW("%d", value);
    TRY(sem_init(&s, 0, (unsigned)SEM_VALUE_MAX));
    TRY(sem_post(&s));
}

static void nothing(int signal)
{
    (void)signal;
}

CASE(semaphore, interrupted)
{
    sem_t s;
    struct sigaction a = {.sa_handler = nothing};
    struct itimerval t = {.it_value = {0, 20000}};
    sem_init(&s, 0, 0);
    sigaction(SIGALRM, &a, NULL);
    setitimer(ITIMER_REAL, &t, NULL);
    TRY(sem_wait(&s));
}

static int destroyed;
static void destroy(void *value)
{
    destroyed += (int)(long)value;
}

static void *with_keys(void *arg)
{
    pthread_setspecific(*(pthread_key_t *)arg, (void *)5l);
    return NULL;
}

CASE(keys, destructors)
{
    pthread_key_t key;
    pthread_t t;
    TRY(pthread_key_create(&key, destroy));
    for (int i = 0; i < 4; i++) {
        pthread_create(&t, NULL, with_keys, &key);
        pthread_join(t, NULL);
    }
    SHOW("%d", destroyed);
    SHOW("%d", pthread_getspecific(key) == NULL);
    TRY(pthread_key_delete(key));
}

static int once_count;
static void once(void)
{
    pause_ms(5);
    once_count++;
}
static pthread_once_t control = PTHREAD_ONCE_INIT;
static void *call_once(void *arg)
{
    pthread_once(&control, once);
    return arg;
}

CASE(once, from_eight_threads)
{
    pthread_t t[8];
    for (int i = 0; i < 8; i++)
        pthread_create(&t[i], NULL, call_once, NULL);
    for (int i = 0; i < 8; i++)
        pthread_join(t[i], NULL);
    SHOW("%d", once_count);
}

CASE(join, errors)
{
    pthread_t t;
    SHOW("%s", strerrorname_np(pthread_join(pthread_self(), NULL)));
    pthread_create(&t, NULL, (void *(*)(void *))(void (*)(void))pause, NULL);
    SHOW("%s", strerrorname_np(pthread_tryjoin_np(t, NULL)));
    SHOW("%s", strerrorname_np(pthread_timedjoin_np(t, NULL, &past)));
    TRY(pthread_detach(t));
    SHOW("%s", strerrorname_np(pthread_detach(t)));
    SHOW("%s", strerrorname_np(pthread_join(t, NULL)));
}

CASE(attributes, of_the_main_thread)
{
    pthread_attr_t a;
    size_t size;
    void *base;
    int state;
    TRY(pthread_getattr_np(pthread_self(), &a));
    TRY(pthread_attr_getstack(&a, &base, &size));
    SHOW("%d", (char *)&a > (char *)base && (char *)&a < (char *)base + size);
    SHOW("%d", size >= 1 << 20);
    TRY(pthread_attr_getdetachstate(&a, &state));
    SHOW("%d", state);
    TRY(pthread_attr_setstacksize(&a, 1) == EINVAL);
}

CASE(create, too_large_a_stack)
{
    pthread_attr_t a;
    pthread_t t;
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, 1ul << 46);
    SHOW("%s", strerrorname_np(pthread_create(&t, &a, call_once, NULL)));
}

/* ---- signals and threads ---- */

static volatile pthread_t caught_by;
static void catch (int signal)
{
    (void)signal;
    caught_by = pthread_self();
}

static void *wait_here(void *arg)
{
    for (int i = 0; i < 200 && !caught_by; i++)
        pause_ms(5);
    return arg;
}

CASE(thread_signal, goes_to_the_thread)
{
    pthread_t t;
    signal(SIGUSR1, catch);
    pthread_create(&t, NULL, wait_here, NULL);
    TRY(pthread_kill(t, SIGUSR1));
    pthread_join(t, NULL);
    SHOW("%d", pthread_equal(caught_by, t));
}

CASE(thread_signal, of_the_process_goes_where_it_is_open)
{
    pthread_t t;
    sigset_t set;
    signal(SIGUSR1, catch);
    pthread_create(&t, NULL, wait_here, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    TRY(kill(getpid(), SIGUSR1));
    pthread_join(t, NULL);
    SHOW("%d", pthread_equal(caught_by, t));
}

static void *pending_here(void *arg)
{
    sigset_t set;
    (void)arg;
    sigpending(&set);
    return (void *)(long)(sigismember(&set, SIGUSR1) + 2 * sigismember(&set, SIGUSR2));
}

CASE(thread_signal, pending_for_one_or_for_all)
{
    pthread_t t;
    sigset_t set;
    void *r;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    TRY(pthread_kill(pthread_self(), SIGUSR1));
    TRY(kill(getpid(), SIGUSR2));
    pthread_create(&t, NULL, pending_here, NULL);
    pthread_join(t, &r);
    SHOW("%ld", (long)r);
}

static void *mask_here(void *arg)
{
    sigset_t set;
    (void)arg;
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    return (void *)(long)sigismember(&set, SIGUSR1);
}

CASE(thread_signal, mask_is_inherited)
{
    pthread_t t;
    sigset_t set;
    void *r;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_create(&t, NULL, mask_here, NULL);
    pthread_join(t, &r);
    SHOW("%ld", (long)r);
}

static void *wait_for_it(void *arg)
{
    sigset_t set;
    int got = 0;
    (void)arg;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigwait(&set, &got);
    return (void *)(long)got;
}

CASE(thread_signal, sigwait_in_another_thread)
{
    pthread_t t;
    sigset_t set;
    void *r;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_create(&t, NULL, wait_for_it, NULL);
    TRY(kill(getpid(), SIGUSR1));
    pthread_join(t, &r);
    SHOW("%d", (long)r == SIGUSR1);
}

CASE(thread_signal, fault_ends_all)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t t;
        alarm(5);
        void *fault(void *arg)
        {
            *(volatile char *)8 = 1;
            return arg;
        }
        pthread_create(&t, NULL, fault, NULL);
        for (;;)
            pause();
    }
    SHOW("%d", code_of(pid));
}
