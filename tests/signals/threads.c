/* Signals and threads: who gets which, masks of their own, cancellation, set*id's own signal. */
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include "check.h"

enum { THREADS = 4, EACH = 400 };

static pthread_t threads[THREADS];
static volatile int per_thread[THREADS + 1];
static volatile int stop;
static sem_t ready, handled;
static __thread int me = THREADS;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    (void)signal;
    per_thread[me]++;
    sem_post(&handled);
}

static void *worker(void *arg)
{
    me = (int)(intptr_t)arg;
    sem_post(&ready);
    volatile double x = 1;
    while (!stop) {
        x = x * 1.0000001;
        if (me & 1)
            sched_yield();
    }
    return NULL;
}

static void *sleeper(void *arg)
{
    me = 0;
    sem_post(&ready);
    for (;;)
        pause();
    return arg;
}

static void *waiter(void *arg)
{
    sigset_t set;
    int which = 0, total = 0;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    for (int i = 0; i < 3; i++) {
        CHECK(sigwait(&set, &which) == 0);
        total += which;
        sem_post(&handled);
    }
    return (void *)(intptr_t)(total + (arg != NULL));
}

static void *stack_user(void *arg)
{
    stack_t stack;
    CHECK(sigaltstack(NULL, &stack) == 0);
    return (void *)(intptr_t)(stack.ss_flags == SS_DISABLE && arg == NULL);
}

int main(void)
{
    sem_init(&ready, 0, 0);
    sem_init(&handled, 0, 0);
    handle(SIGUSR1, on_signal, 0);

    for (intptr_t i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, worker, (void *)i) == 0);
        while (sem_wait(&ready) < 0)
            ;
    }
    for (int n = 0; n < EACH; n++) {
        pthread_kill(threads[n % THREADS], SIGUSR1);
        while (sem_wait(&handled) < 0)
            ;
    }
    stop = 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i <= THREADS; i++)
        SHOW("thread %d: %d", i, per_thread[i]);

    /* One for the process goes to the thread that lets it. */
    block(SIGUSR1);
    sigset_t set;
    sigemptyset(&set);
    pthread_t t;
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    CHECK(pthread_create(&t, NULL, sleeper, NULL) == 0);
    block(SIGUSR1);
    while (sem_wait(&ready) < 0)
        ;
    per_thread[0] = per_thread[THREADS] = 0;
    for (int i = 0; i < 300; i++) {
        kill(getpid(), SIGUSR1);
        while (sem_wait(&handled) < 0)
            ;
    }
    SHOW("sleeper %d, main %d", per_thread[0], per_thread[THREADS]);
    CHECK(pthread_cancel(t) == 0);
    void *result;
    pthread_join(t, &result);
    SHOW("cancelled %d", result == PTHREAD_CANCELED);

    block(SIGTERM);
    CHECK(pthread_create(&t, NULL, waiter, NULL) == 0);
    for (int i = 0; i < 3; i++) {
        kill(getpid(), SIGTERM);
        while (sem_wait(&handled) < 0)
            ;
    }
    pthread_join(t, &result);
    SHOW("sigwait in a thread: %ld", (long)(intptr_t)result);

    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    CHECK(sigaltstack(&stack, NULL) == 0);
    CHECK(pthread_create(&t, NULL, stack_user, NULL) == 0);
    pthread_join(t, &result);
    SHOW("a new thread has no alternate stack: %ld", (long)(intptr_t)result);

    stop = 0;
    CHECK(pthread_create(&t, NULL, worker, (void *)1) == 0);
    SHOW("setgid in all threads: %d", setgid(getgid()));
    stop = 1;
    pthread_join(t, NULL);
    return 0;
}
