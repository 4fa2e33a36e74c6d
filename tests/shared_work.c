/*
 * Work on shared memory for test_shared.py: processes that count under a lock which is in it, and
 * go through more of it than the ExCache holds.
 *
 *   shared_work count MIB PROCESSES   prints "held" when all have begun, counts, checks, prints sums
 *   shared_work hold MIB              fills an anonymous segment, a file `held` and a System V
 *                                     segment, prints "held", waits to be killed with its children
 *   shared_work kill MIB SEED         one of the processes that count is killed again and again;
 *                                     the lock is robust, so the count goes on
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, ROUNDS = 40, IDLE = 6 };

struct head {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    long begun, count;
};

static struct head *head;
static long *words;
static size_t bytes;

static void make(size_t mib)
{
    pthread_mutexattr_t m;
    pthread_condattr_t c;
    bytes = mib << 20;
    head = mmap(NULL, PAGE + bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (head == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    words = (long *)((char *)head + PAGE);
    pthread_mutexattr_init(&m);
    pthread_mutexattr_setpshared(&m, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&head->mutex, &m);
    pthread_condattr_init(&c);
    pthread_condattr_setpshared(&c, PTHREAD_PROCESS_SHARED);
    pthread_cond_init(&head->cond, &c);
}

/* Adds one to a word of every page, in an order of its own. */
static void sweep(unsigned seed)
{
    size_t pages = bytes / PAGE, step = seed % 7 + 1;
    for (size_t from = 0; from < step; from++)
        for (size_t i = from; i < pages; i += step)
            __atomic_fetch_add(&words[i * (PAGE / sizeof *words)], 1, __ATOMIC_SEQ_CST);
}

static int count(size_t mib, int processes)
{
    make(mib);
    for (int k = 0; k < processes; k++) {
        if (fork())
            continue;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        pthread_mutex_lock(&head->mutex);
        head->begun++;
        pthread_cond_broadcast(&head->cond);
        pthread_mutex_unlock(&head->mutex);
        for (int i = 0; i < ROUNDS; i++) {
            pthread_mutex_lock(&head->mutex);
            head->count++;
            pthread_mutex_unlock(&head->mutex);
            if (i % 20 == k % 20)
                sweep((unsigned)(i + k));
        }
        _exit(0);
    }
    pthread_mutex_lock(&head->mutex);
    while (head->begun < processes)
        pthread_cond_wait(&head->cond, &head->mutex);
    pthread_mutex_unlock(&head->mutex);
    puts("held");
    fflush(stdout);
    int bad = 0, status;
    while (wait(&status) > 0)
        bad += status != 0;
    long wrong = 0;
    for (size_t i = 0; i < bytes / sizeof *words; i += PAGE / sizeof *words)
        wrong += words[i] != (long)processes * (ROUNDS / 20);
    printf("%ld counted, %ld wrong, %d ended badly\n", head->count, wrong, bad);
    return 0;
}

static int hold(size_t mib)
{
    pid_t first = getpid();
    make(mib);
    int fd = open("held", O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (ftruncate(fd, (off_t)bytes) < 0)
        return 1;
    long *file = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    long *keyed = shmat(shmget(IPC_PRIVATE, bytes, 0600), NULL, 0);
    for (size_t i = 0; i < bytes / sizeof *words; i++)
        file[i] = keyed[i] = words[i] = (long)i;
    if (fork() == 0)
        for (;;)
            sweep(3);
    for (int i = 0; i < IDLE && fork(); i++) {
    }
    if (getpid() == first)
        puts("held");
    fflush(stdout);
    for (;;)
        pause();
}

/* Victims add to their own half of each pair of words alone; survivors' words must be right. */
static int kill_some(size_t mib, unsigned seed)
{
    make(mib);
    pid_t survivor = fork();
    if (survivor == 0) {
        for (int i = 0; i < ROUNDS / 10; i++)
            sweep((unsigned)i);
        _exit(0);
    }
    for (int i = 0; i < 8; i++) {
        int ends[2];
        char c;
        if (pipe(ends) < 0)
            return 1;
        pid_t victim = fork();
        if (victim == 0) {
            if (write(ends[1], "x", 1) < 0)
                _exit(1);
            for (size_t at = 1;; at += PAGE / sizeof *words)
                words[at % (bytes / sizeof *words)]++;
        }
        if (read(ends[0], &c, 1) < 0)
            return 1;
        usleep(rand_r(&seed) % 20000);
        kill(victim, SIGKILL);
        waitpid(victim, NULL, 0);
        close(ends[0]);
        close(ends[1]);
    }
    int status;
    waitpid(survivor, &status, 0);
    long wrong = 0;
    for (size_t i = 0; i < bytes / sizeof *words; i += PAGE / sizeof *words)
        wrong += words[i] != ROUNDS / 10;
    printf("%ld wrong, ended with %d\n", wrong, status);
    return 0;
}

int main(int argc, char **argv)
{
    size_t mib = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    int number = argc > 3 ? atoi(argv[3]) : 3;
    if (argc > 1 && strcmp(argv[1], "count") == 0)
        return count(mib, number);
    if (argc > 1 && strcmp(argv[1], "hold") == 0)
        return hold(mib);
    return kill_some(mib, (unsigned)number);
}
