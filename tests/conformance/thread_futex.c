/* Threads and futexes: every operation, its errors, what a dying thread leaves. */
#include "conformance.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/prctl.h>

static long futex(void *word, int op, unsigned value, const void *timeout, void *second,
                  unsigned third)
{
    return syscall(SYS_futex, word, op, value, timeout, second, third);
}

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&t, &t) < 0)
        ;
}

static uint32_t word, other;

CASE(futex, wait_on_another_value)
{
    TRY(futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0));
    TRY(futex(&word, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0));
    TRY(futex(&word, FUTEX_WAIT_BITSET, 1, NULL, NULL, 1));
}

CASE(futex, wait_times_out)
{
    struct timespec t = {0, 1000000};
    TRY(futex(&word, FUTEX_WAIT, 0, &t, NULL, 0));
    TRY(futex(&word, FUTEX_WAIT_PRIVATE, 0, &t, NULL, 0));
    t = (struct timespec){0, 0};
    TRY(futex(&word, FUTEX_WAIT, 0, &t, NULL, 0));
    TRY(futex(&word, FUTEX_WAIT_BITSET, 0, &t, NULL, 1));
    TRY(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &t, NULL, 1));
}

CASE(futex, wrong_times)
{
    struct timespec t = {0, 1000000000};
    TRY(futex(&word, FUTEX_WAIT, 0, &t, NULL, 0));
    t = (struct timespec){-1, 0};
    TRY(futex(&word, FUTEX_WAIT, 0, &t, NULL, 0));
    t = (struct timespec){0, -1};
    TRY(futex(&word, FUTEX_WAIT, 0, &t, NULL, 0));
    TRY(futex(&word, FUTEX_WAIT, 0, BAD_POINTER, NULL, 0));
}

CASE(futex, wrong_addresses)
{
    char *p = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TRY(futex((char *)&word + 1, FUTEX_WAIT, 0, NULL, NULL, 0));
    TRY(futex((char *)&word + 2, FUTEX_WAKE, 1, NULL, NULL, 0));
    TRY(futex(BAD_POINTER, FUTEX_WAIT, 0, NULL, NULL, 0));
    TRY(futex(BAD_POINTER, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0));
    TRY(futex(NULL, FUTEX_WAIT, 0, NULL, NULL, 0));
    TRY(futex(p, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0));
    TRY(futex((void *)-4096l, FUTEX_WAIT, 0, NULL, NULL, 0));
    TRY(futex(BAD_POINTER, FUTEX_WAKE, 1, NULL, NULL, 0));
}

CASE(futex, unknown_operations)
{
    TRY(futex(&word, 14, 0, NULL, NULL, 0));
    TRY(futex(&word, 100, 0, NULL, NULL, 0));
    TRY(futex(&word, FUTEX_FD, 0, NULL, NULL, 0));
    TRY(futex(&word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0));
}

CASE(futex, wake_nobody)
{
    TRY(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
    TRY(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0));
    TRY(futex(&word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 1));
    TRY(futex(&word, FUTEX_WAKE_BITSET, 1, NULL, NULL, 0));
    TRY(futex(&word, FUTEX_WAIT_BITSET, 0, NULL, NULL, 0));
}

CASE(futex, wake_needs_no_writable_word)
{
    uint32_t *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *p = 0;
    mprotect(p, 4096, PROT_READ);
    TRY(futex(p, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
    TRY(futex(p, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0));
}

struct waiter {
    uint32_t *word;
    int op;
    unsigned bits;
    pthread_t thread;
    volatile int tid;
    long result;
};

static void *waiting(void *arg)
{
    struct waiter *w = arg;
    w->tid = (int)syscall(SYS_gettid);
    w->result = futex(w->word, w->op, *w->word, NULL, NULL, w->bits);
    return NULL;
}

/* Sleeps until the thread does. */
static void await_sleep(struct waiter *w)
{
    char path[64], state = 'R', line[512];
    while (!w->tid)
        sched_yield();
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", w->tid);
    while (state != 'S') {
        FILE *f = fopen(path, "r");
        if (f && fgets(line, sizeof line, f))
            state = strrchr(line, ')')[2];
        if (f)
            fclose(f);
        pause_ms(1);
    }
}

static void begin(struct waiter *w, uint32_t *at, int op, unsigned bits)
{
    *w = (struct waiter){at, op, bits, 0, 0, -2};
    pthread_create(&w->thread, NULL, waiting, w);
    await_sleep(w);
}

CASE(futex, wake_counts)
{
    struct waiter w[5];
    for (int i = 0; i < 5; i++)
        begin(&w[i], &word, FUTEX_WAIT_PRIVATE, 0);
    pause_ms(20);
    TRY(futex(&word, FUTEX_WAKE_PRIVATE, 2, NULL, NULL, 0));
    TRY(futex(&word, FUTEX_WAKE_PRIVATE, 100, NULL, NULL, 0));
    for (int i = 0; i < 5; i++)
        pthread_join(w[i].thread, NULL);
    SHOW("%ld", w[0].result);
}

CASE(futex, bitsets)
{
    struct waiter w[2];
    begin(&w[0], &word, FUTEX_WAIT_BITSET_PRIVATE, 1);
    begin(&w[1], &word, FUTEX_WAIT_BITSET_PRIVATE, 6);
    pause_ms(20);
    TRY(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 8));
    TRY(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 10, NULL, NULL, 2));
    TRY(futex(&word, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0));
    pthread_join(w[0].thread, NULL);
    pthread_join(w[1].thread, NULL);
}

CASE(futex, requeue)
{
    struct waiter w[4];
    for (int i = 0; i < 4; i++)
        begin(&w[i], &word, FUTEX_WAIT_PRIVATE, 0);
    pause_ms(20);
    TRY(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &other, 5));
    TRY(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)2, &other, 0));
    TRY(futex(&other, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0));
    TRY(futex(&word, FUTEX_REQUEUE_PRIVATE, 0, (void *)10, &other, 0));
    TRY(futex(&other, FUTEX_WAKE_PRIVATE, 10, NULL, NULL, 0));
    for (int i = 0; i < 4; i++)
        pthread_join(w[i].thread, NULL);
    TRY(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, (unsigned)-1, (void *)1, &other, 0));
}

CASE(futex, wake_op)
{
    word = other = 0;
    TRY(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &other,
              FUTEX_OP(FUTEX_OP_SET, 7, FUTEX_OP_CMP_EQ, 0)));
    SHOW("%u", other);
    TRY(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &other,
              FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_GT, 0)));
    SHOW("%u", other);
    TRY(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &other,
              FUTEX_OP(FUTEX_OP_XOR, 15, FUTEX_OP_CMP_GT, 0)));
    SHOW("%u", other);
    TRY(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, BAD_POINTER,
              FUTEX_OP(FUTEX_OP_SET, 7, FUTEX_OP_CMP_EQ, 0)));
    TRY(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &other, 0x7f000000));
}

static uint32_t pi;

CASE(futex, pi_own)
{
    TRY(futex(&pi, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    SHOW("%d", pi == (uint32_t)syscall(SYS_gettid));
    TRY(futex(&pi, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    TRY(futex(&pi, FUTEX_TRYLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    TRY(futex(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    SHOW("%u", pi);
    TRY(futex(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    pi = 99999999;
    TRY(futex(&pi, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    pi = 1;
    TRY(futex(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
}

static void *lock_pi(void *arg)
{
    struct waiter *w = arg;
    w->tid = (int)syscall(SYS_gettid);
    w->result = futex(&pi, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    futex(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    return NULL;
}

CASE(futex, pi_handed_over)
{
    struct waiter w = {.result = -2};
    futex(&pi, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    pthread_create(&w.thread, NULL, lock_pi, &w);
    await_sleep(&w);
    SHOW("%d", (pi & FUTEX_WAITERS) != 0);
    TRY(futex(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0));
    pthread_join(w.thread, NULL);
    SHOW("%ld", w.result);
}

CASE(futex, pi_times_out)
{
    struct waiter w = {.result = -2};
    struct timespec t = {1, 0};
    futex(&pi, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    pthread_create(&w.thread, NULL, lock_pi, &w);
    await_sleep(&w);
    futex(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0);
    pthread_join(w.thread, NULL);
    TRY(futex(&pi, FUTEX_LOCK_PI_PRIVATE, 0, &t, NULL, 0)); /* long past, but free */
    futex(&pi, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0);
}

/* ---- pthread's kinds of locks ---- */

static pthread_mutex_t *mutex_of(int type, int robust, int protocol)
{
    static pthread_mutex_t m[16];
    static int n;
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_settype(&a, type);
    pthread_mutexattr_setrobust(&a, robust);
    pthread_mutexattr_setprotocol(&a, protocol);
    pthread_mutex_init(&m[n], &a);
    return &m[n++];
}

static void *lock_and_leave(void *arg)
{
    pthread_mutex_lock(arg);
    return NULL;
}

static void *lock_and_exit(void *arg)
{
    pthread_mutex_lock(arg);
    syscall(SYS_exit, 0);
    return NULL;
}

CASE(robust, thread_that_ends)
{
    pthread_mutex_t *m = mutex_of(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE);
    pthread_t t;
    pthread_create(&t, NULL, lock_and_leave, m);
    pthread_join(t, NULL);
    SHOW("%s", strerrorname_np(pthread_mutex_lock(m)));
    TRY(pthread_mutex_consistent(m));
    TRY(pthread_mutex_unlock(m));
    TRY(pthread_mutex_lock(m));
}

CASE(robust, raw_exit)
{
    pthread_mutex_t *m = mutex_of(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE);
    pthread_t t;
    pthread_create(&t, NULL, lock_and_exit, m);
    pthread_join(t, NULL);
    SHOW("%s", strerrorname_np(pthread_mutex_lock(m)));
}

CASE(robust, not_recovered)
{
    pthread_mutex_t *m = mutex_of(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE);
    pthread_t t;
    pthread_create(&t, NULL, lock_and_leave, m);
    pthread_join(t, NULL);
    SHOW("%s", strerrorname_np(pthread_mutex_lock(m)));
    TRY(pthread_mutex_unlock(m));
    SHOW("%s", strerrorname_np(pthread_mutex_lock(m)));
}

CASE(robust, several_locks)
{
    static pthread_mutex_t *m[5];
    for (int i = 0; i < 5; i++)
        m[i] = mutex_of(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE);
    pthread_t t;
    for (int i = 0; i < 5; i++) {
        pthread_create(&t, NULL, lock_and_leave, m[i]);
        pthread_join(t, NULL);
    }
    for (int i = 0; i < 5; i++)
        SHOW("%s", strerrorname_np(pthread_mutex_lock(m[i])));
}

CASE(robust, sleeper_is_woken)
{
    static pthread_mutex_t *m;
    m = mutex_of(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_NONE);
    pthread_t t;
    static int go;
    go = 0;
    void *holder(void *arg)
    {
        pthread_mutex_lock(arg);
        __atomic_store_n(&go, 1, __ATOMIC_SEQ_CST);
        pause_ms(30);
        return NULL;
    }
    pthread_create(&t, NULL, holder, m);
    while (!__atomic_load_n(&go, __ATOMIC_SEQ_CST))
        sched_yield();
    SHOW("%s", strerrorname_np(pthread_mutex_lock(m)));
    pthread_join(t, NULL);
}

CASE(robust, priority_inheriting)
{
    pthread_mutex_t *m = mutex_of(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_ROBUST, PTHREAD_PRIO_INHERIT);
    pthread_t t;
    pthread_create(&t, NULL, lock_and_leave, m);
    pthread_join(t, NULL);
    SHOW("%s", strerrorname_np(pthread_mutex_lock(m)));
    TRY(pthread_mutex_consistent(m));
    TRY(pthread_mutex_unlock(m));
}

CASE(robust, list_calls)
{
    struct robust_list_head head = {.list = {&head.list}}, *got = NULL;
    size_t size = 0;
    pid_t pid = fork();
    if (pid == 0) {
        TRY(syscall(SYS_set_robust_list, &head, 23));
        TRY(syscall(SYS_set_robust_list, &head, sizeof head));
        TRY(syscall(SYS_get_robust_list, 0, &got, &size));
        SHOW("%d %zu", got == &head, size);
        TRY(syscall(SYS_get_robust_list, 99999999, &got, &size));
        TRY(syscall(SYS_get_robust_list, 1, &got, &size));
        TRY(syscall(SYS_get_robust_list, 0, BAD_POINTER, &size));
        TRY(syscall(SYS_get_robust_list, 0, &got, BAD_POINTER));
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

CASE(robust, broken_lists_do_not_hang)
{
    struct robust_list_head head = {.list = {(void *)0x123457}};
    struct robust_list circle[2] = {{&circle[1]}, {&circle[0]}};
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        int status;
        if (pid == 0) {
            if (i == 1)
                head.list.next = &circle[0];
            syscall(SYS_set_robust_list, i == 2 ? BAD_POINTER : (void *)&head, sizeof head);
            _exit(3);
        }
        waitpid(pid, &status, 0);
        SHOW("%x", status);
    }
}

CASE(mutex, kinds)
{
    pthread_mutex_t *check =
        mutex_of(PTHREAD_MUTEX_ERRORCHECK, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);
    pthread_mutex_t *again =
        mutex_of(PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT);
    SHOW("%d", pthread_mutex_unlock(check) == EPERM);
    TRY(pthread_mutex_lock(check));
    SHOW("%d", pthread_mutex_lock(check) == EDEADLK);
    TRY(pthread_mutex_lock(again));
    TRY(pthread_mutex_lock(again));
    TRY(pthread_mutex_unlock(again));
    TRY(pthread_mutex_unlock(again));
    SHOW("%d", pthread_mutex_unlock(again) == EPERM);
}

CASE(mutex, timed)
{
    pthread_mutex_t *m = mutex_of(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_NONE);
    pthread_mutex_t *p =
        mutex_of(PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_STALLED, PTHREAD_PRIO_INHERIT);
    struct timespec t = {1, 0};
    pthread_t thread;
    pthread_create(&thread, NULL, lock_and_leave, m);
    pthread_join(thread, NULL);
    SHOW("%s", strerrorname_np(pthread_mutex_timedlock(m, &t)));
    SHOW("%s", strerrorname_np(pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &t)));
    TRY(pthread_mutex_timedlock(p, &t));
    TRY(pthread_mutex_unlock(p));
}

static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int turn, rounds;

static void *ping(void *arg)
{
    int me = (int)(long)arg;
    for (int i = 0; i < 500; i++) {
        pthread_mutex_lock(&lock);
        while (turn != me)
            pthread_cond_wait(&condition, &lock);
        turn = !me;
        rounds++;
        pthread_cond_broadcast(&condition);
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

CASE(condition, ping_pong)
{
    pthread_t t[2];
    for (long i = 0; i < 2; i++)
        pthread_create(&t[i], NULL, ping, (void *)i);
    for (int i = 0; i < 2; i++)
        pthread_join(t[i], NULL);
    SHOW("%d", rounds);
}

CASE(condition, timed)
{
    struct timespec t = {1, 0};
    pthread_mutex_lock(&lock);
    SHOW("%s", strerrorname_np(pthread_cond_timedwait(&condition, &lock, &t)));
    t.tv_nsec = 1000000000;
    SHOW("%s", strerrorname_np(pthread_cond_timedwait(&condition, &lock, &t)));
}

CASE(barrier, of_ten)
{
    static pthread_barrier_t b;
    static int serial;
    pthread_t t[9];
    pthread_barrier_init(&b, NULL, 10);
    void *meet(void *arg)
    {
        for (int i = 0; i < 20; i++)
            if (pthread_barrier_wait(&b) == PTHREAD_BARRIER_SERIAL_THREAD)
                __atomic_add_fetch(&serial, 1, __ATOMIC_SEQ_CST);
        return arg;
    }
    for (int i = 0; i < 9; i++)
        pthread_create(&t[i], NULL, meet, NULL);
    meet(NULL);
    for (int i = 0; i < 9; i++)
        pthread_join(t[i], NULL);
    SHOW("%d", serial);
}

/* ---- threads ---- */

static __thread int own = 7;
static __thread char large[100000];

static void *touch_own(void *arg)
{
    int before = own + large[50000];
    own = (int)(long)arg;
    large[50000] = 1;
    sched_yield();
    return (void *)(long)(before == 7 && own == (int)(long)arg);
}

CASE(thread, local_storage)
{
    pthread_t t[20];
    void *r;
    int good = 0;
    for (long i = 0; i < 20; i++)
        pthread_create(&t[i], NULL, touch_own, (void *)i);
    for (int i = 0; i < 20; i++) {
        pthread_join(t[i], &r);
        good += r != NULL;
    }
    SHOW("%d %d", good, own);
}

static void *return_it(void *arg)
{
    return arg;
}

CASE(thread, thousand_one_after_another)
{
    pthread_t t;
    void *r;
    long sum = 0;
    for (long i = 0; i < 1000; i++) {
        pthread_create(&t, NULL, return_it, (void *)i);
        pthread_join(t, &r);
        sum += (long)r;
    }
    SHOW("%ld", sum);
}

static pthread_barrier_t all;

static void *meet_all(void *arg)
{
    pthread_barrier_wait(&all);
    return arg;
}

CASE(thread, thousand_at_once)
{
    static pthread_t t[1000];
    pthread_attr_t a;
    void *r;
    long sum = 0;
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, 1 << 18);
    pthread_barrier_init(&all, NULL, 1001);
    for (long i = 0; i < 1000; i++)
        if (pthread_create(&t[i], &a, meet_all, (void *)i)) {
            SHOW("only %ld", i);
            return;
        }
    pthread_barrier_wait(&all);
    for (int i = 0; i < 1000; i++) {
        pthread_join(t[i], &r);
        sum += (long)r;
    }
    SHOW("%ld", sum);
}

CASE(thread, detached)
{
    pthread_t t;
    pthread_attr_t a;
    static int done;
    pthread_attr_init(&a);
    pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
    void *finish(void *arg)
    {
        __atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
        return arg;
    }
    for (int i = 0; i < 50; i++)
        pthread_create(&t, &a, finish, NULL);
    while (__atomic_load_n(&done, __ATOMIC_SEQ_CST) < 50)
        sched_yield();
    SHOW("%d", done);
}

CASE(thread, ids)
{
    SHOW("%d", syscall(SYS_gettid) == getpid());
    pthread_t t;
    void *r;
    void *id(void *arg)
    {
        (void)arg;
        return (void *)(long)(syscall(SYS_gettid) != getpid());
    }
    pthread_create(&t, NULL, id, NULL);
    pthread_join(t, &r);
    SHOW("%ld", (long)r);
    int zero;
    SHOW("%d", syscall(SYS_set_tid_address, &zero) == getpid());
}

CASE(thread, names)
{
    pthread_t t;
    char name[16];
    pthread_create(&t, NULL, (void *(*)(void *))(void (*)(void))pause, NULL);
    TRY(pthread_setname_np(t, "worker"));
    TRY(pthread_getname_np(t, name, sizeof name));
    SHOW("%s", name);
    SHOW("%d", pthread_setname_np(t, "much too long a name") == ERANGE);
}

CASE(thread, cancel_in_a_call)
{
    pthread_t t;
    void *r;
    int ends[2];
    pipe(ends);
    void *reader(void *arg)
    {
        char c;
        while (read(*(int *)arg, &c, 1) >= 0)
            ;
        return NULL;
    }
    pthread_create(&t, NULL, reader, &ends[0]);
    pause_ms(10);
    TRY(pthread_cancel(t));
    pthread_join(t, &r);
    SHOW("%d", r == PTHREAD_CANCELED);
}

CASE(thread, cancel_asynchronously)
{
    pthread_t t;
    void *r;
    void *spin(void *arg)
    {
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
        for (;;)
            ;
        return arg;
    }
    pthread_create(&t, NULL, spin, NULL);
    pause_ms(10);
    TRY(pthread_cancel(t));
    pthread_join(t, &r);
    SHOW("%d", r == PTHREAD_CANCELED);
}

CASE(thread, stack_of_its_own)
{
    static char stack[1 << 18] __attribute__((aligned(4096)));
    pthread_t t;
    pthread_attr_t a;
    void *r;
    pthread_attr_init(&a);
    TRY(pthread_attr_setstack(&a, stack, sizeof stack));
    void *where(void *arg)
    {
        char here;
        (void)arg;
        return (void *)(long)(&here > stack && &here < stack + sizeof stack);
    }
    TRY(pthread_create(&t, &a, where, NULL));
    pthread_join(t, &r);
    SHOW("%ld", (long)r);
}

static int raw_child(void *arg)
{
    *(volatile int *)arg = 77;
    return 0;
}

CASE(thread, raw_clone_with_clear_tid)
{
    static char stack[65536] __attribute__((aligned(16)));
    static volatile int value, tid = 1;
    const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                      CLONE_SYSVSEM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
    int ptid = 0;
    int made = clone(raw_child, stack + sizeof stack, flags, (void *)&value, &ptid, NULL, &tid);
    SHOW("%d %d", made > 0, ptid == made);
    while (tid)
        futex((void *)&tid, FUTEX_WAIT, 1, NULL, NULL, 0);
    SHOW("%d", value);
}

CASE(thread, raw_clone_on_exit_stack_unmapped)
{
    static volatile int tid;
    for (int i = 0; i < 20; i++) {
        char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        static volatile int value;
        tid = 1;
        clone(raw_child, stack + 65536,
              CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
                  CLONE_CHILD_CLEARTID,
              (void *)&value, NULL, NULL, &tid);
        while (tid)
            futex((void *)&tid, FUTEX_WAIT, 1, NULL, NULL, 0);
        munmap(stack, 65536);
    }
    SHOW("done");
}

CASE(thread, semaphores)
{
    SHOW("%d", prctl(PR_GET_TIMERSLACK) > 0);
}
