/*
 * No wake-up is lost: signals at calls that wait with a mask of their own. usage: wakes [COUNT]
 *
 * The signal is blocked but while the call waits, so each one sent has to end a wait, whenever it
 * comes. The sender sends the next when the last has been handled; a wait that is not ended leaves
 * both waiting, and the alarm says so. 30000 by default; 1000000 is the soak.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { KINDS = 5 };

static volatile unsigned long handled, wrong, waits[KINDS];
static unsigned long wanted;
static int receiver;

static void handler(int signal)
{
    (void)signal;
    __atomic_store_n(&handled, handled + 1, __ATOMIC_RELEASE);
}

static void *send_all(void *arg)
{
    unsigned seed = 1;
    for (unsigned long i = 0; i < wanted; i++) {
        /* Just before the wait, at its beginning, within it. */
        for (volatile int spin = rand_r(&seed) % 3000; spin > 0; spin--)
            ;
        syscall(SYS_tgkill, getpid(), receiver, SIGUSR1);
        while (__atomic_load_n(&handled, __ATOMIC_ACQUIRE) == i)
            sched_yield();
    }
    return arg;
}

static void expire(int signal)
{
    static const char text[] = "a wake-up was lost\n";
    (void)signal;
    if (write(1, text, sizeof text - 1) > 0)
        _exit(1);
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = handler};
    struct timespec never = {1000, 0};
    struct epoll_event event;
    sigset_t blocked, open;
    pthread_t sender;
    int epoll = epoll_create1(0);

    wanted = argc > 1 ? strtoul(argv[1], NULL, 0) : 30000;
    receiver = (int)syscall(SYS_gettid);
    sigaction(SIGUSR1, &action, NULL);
    signal(SIGALRM, expire);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &blocked, &open);
    pthread_create(&sender, NULL, send_all, NULL);
    for (unsigned long i = 0; handled < wanted; i++) {
        unsigned long before = handled;
        int kind = (int)(i % KINDS), rc = 0;
        if (i % 1000 == 0)
            alarm(60);
        switch (kind) {
        case 0:
            rc = sigsuspend(&open);
            break;
        case 1:
            rc = ppoll(NULL, 0, &never, &open);
            break;
        case 2:
            rc = pselect(0, NULL, NULL, NULL, &never, &open);
            break;
        case 3:
            rc = epoll_pwait(epoll, &event, 1, 1000000, &open);
            break;
        case 4:
            rc = sigwaitinfo(&blocked, NULL) == SIGUSR1 ? -1 : 0;
            handler(SIGUSR1);
            break;
        }
        wrong += rc != -1 || handled != before + 1;
        waits[kind]++;
    }
    pthread_join(sender, NULL);
    printf("%lu handled, %lu wrong\n", handled, wrong);
    for (int i = 0; i < KINDS; i++)
        printf("kind %d: %lu\n", i, waits[i]);
    return wrong != 0;
}
