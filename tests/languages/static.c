/* A static program of musl's: its own threads, allocator, signals and cancellation, its clone and
 * its posix_spawn, sorting more than its ExCache. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8

extern char **environ;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn_changed = PTHREAD_COND_INITIALIZER;
static int turn;
static size_t count;
static sigjmp_buf back;
static int cleaned;

static int order(const void *a, const void *b)
{
    unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;

    return x < y ? -1 : x > y;
}

static void *sorts(void *argument)
{
    unsigned number = (unsigned)(size_t)argument, x = number + 1;
    unsigned *values = malloc(count * sizeof(*values));

    for (size_t i = 0; i < count; i++)
        values[i] = x = x * 1664525 + 1013904223;
    qsort(values, count, sizeof(*values), order);
    x = 0;
    for (size_t i = 0; i < count; i++)
        x = x * 31 + values[i];
    free(values);
    pthread_mutex_lock(&lock);
    while (turn != (int)number)
        pthread_cond_wait(&turn_changed, &lock);
    printf("thread %u: %u\n", number, x);
    turn++;
    pthread_cond_broadcast(&turn_changed);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void faulted(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    siglongjmp(back, info->si_addr == (void *)8 ? 1 : 2);
}

static void clean(void *argument)
{
    *(int *)argument = 1;
}

static void *sleeps(void *argument)
{
    pthread_cleanup_push(clean, argument);
    for (;;)
        pause();
    pthread_cleanup_pop(0);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS], sleeper;
    char *child_argv[] = {"sh", "-c", "exit 9", NULL};
    struct sigaction action = {.sa_sigaction = faulted, .sa_flags = SA_SIGINFO};
    pid_t child;
    int status, jumped;

    count = argc > 1 ? strtoul(argv[1], NULL, 10) : 500000;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, sorts, (void *)i);
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_create(&sleeper, NULL, sleeps, &cleaned);
    pthread_cancel(sleeper);
    pthread_join(sleeper, NULL);
    printf("cancelled %d\n", cleaned);
    sigaction(SIGSEGV, &action, NULL);
    jumped = sigsetjmp(back, 1);
    if (jumped == 0)
        *(volatile int *)8 = 1;
    printf("fault %d\n", jumped);
    printf("spawn %d\n", posix_spawn(&child, "/bin/sh", NULL, NULL, child_argv, environ));
    waitpid(child, &status, 0);
    printf("ended %d\n", WEXITSTATUS(status));
    printf("spawn %s\n",
           strerror(posix_spawn(&child, "/nowhere", NULL, NULL, child_argv, environ)));
    return 0;
}
