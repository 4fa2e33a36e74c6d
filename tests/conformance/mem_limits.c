/* RLIMIT_AS, RLIMIT_DATA and RLIMIT_STACK: what may be mapped, by many threads at once, and how far
 * the stack grows. */
#include "memory.h"

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

enum { MIB = 1 << 20 };

/* A figure of /proc/self/status, in bytes. */
static long status_of(const char *name)
{
    char line[256];
    long kb = -1;
    FILE *f = fopen("/proc/self/status", "r");
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name)))
            kb = atol(line + strlen(name));
    fclose(f);
    return kb << 10;
}

static void limit(int resource, unsigned long soft)
{
    struct rlimit l;
    getrlimit(resource, &l);
    l.rlim_cur = soft;
    TRY(setrlimit(resource, &l));
}

/* What the code does in a process of its own: its exit code or its signal. */
#define IN_CHILD(code)                                                                             \
    do {                                                                                           \
        int status_;                                                                               \
        fflush(stdout);                                                                            \
        pid_t pid_ = fork();                                                                       \
        if (pid_ == 0) {                                                                           \
            code;                                                                                  \
            _exit(0);                                                                              \
        }                                                                                          \
        waitpid(pid_, &status_, 0);                                                                \
        if (WIFSIGNALED(status_))                                                                  \
            SHOW("SIG%s", sigabbrev_np(WTERMSIG(status_)));                                        \
        else                                                                                       \
            SHOW("%d", WEXITSTATUS(status_));                                                      \
    } while (0)

/* ---- many threads at a limit ---- */

enum { THREADS = 8, TRIES = 12000, PIECE = MIB, PIECES = 3 };

static int pieces, most, got;
static pthread_barrier_t ready, go;

static void counted(void)
{
    int now = __atomic_add_fetch(&pieces, 1, __ATOMIC_SEQ_CST), seen = most;
    while (now > seen && !__atomic_compare_exchange_n(&most, &seen, now, false, __ATOMIC_SEQ_CST,
                                                      __ATOMIC_SEQ_CST))
        ;
    __atomic_add_fetch(&got, 1, __ATOMIC_SEQ_CST);
}

static void uncounted(void)
{
    sched_yield(); /* the others come to their limit */
    __atomic_sub_fetch(&pieces, 1, __ATOMIC_SEQ_CST);
}

static void *map_pieces(void *unused)
{
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&go);
    for (int i = 0; i < TRIES; i++) {
        char *p = mmap(NULL, PIECE, RW, ANON, -1, 0);
        if (p == MAP_FAILED)
            continue;
        counted();
        uncounted();
        munmap(p, PIECE);
    }
    return unused;
}

static void *protect_pieces(void *p)
{
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&go);
    for (int i = 0; i < TRIES; i++) {
        if (mprotect(p, PIECE, RW) < 0)
            continue;
        counted();
        uncounted();
        mprotect(p, PIECE, PROT_READ);
    }
    return NULL;
}

static void *grow_pieces(void *p)
{
    pthread_barrier_wait(&ready);
    pthread_barrier_wait(&go);
    for (int i = 0; i < TRIES; i++) {
        if (mremap(p, PAGE, PAGE + PIECE, 0) == MAP_FAILED)
            continue;
        counted();
        uncounted();
        mremap(p, PAGE + PIECE, PAGE, 0);
    }
    return NULL;
}

/* Threads that at no time have more pieces than there is room for. */
static void at_a_limit(int resource, void *(*body)(void *))
{
    pthread_t threads[THREADS];
    pthread_barrier_init(&ready, NULL, THREADS + 1);
    pthread_barrier_init(&go, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++) {
        char *p = mmap(NULL, 3 * PIECE, PROT_READ, ANON, -1, 0);
        munmap(p + PAGE + PIECE, 2 * PIECE - PAGE);
        if (body == grow_pieces) {
            mprotect(p, PAGE, RW);
            munmap(p + PAGE, PIECE);
        }
        pthread_create(&threads[i], NULL, body, p);
    }
    pthread_barrier_wait(&ready);
    limit(resource, (unsigned long)(status_of(resource == RLIMIT_AS ? "VmSize:" : "VmData:")) +
                        PIECES * PIECE + PIECE / 2);
    pthread_barrier_wait(&go);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    SHOW("%d %s", got > 0, most <= PIECES ? "never beyond" : "beyond");
}

CASE(limits, address_space_of_threads)
{
    at_a_limit(RLIMIT_AS, map_pieces);
}

CASE(limits, data_of_threads)
{
    at_a_limit(RLIMIT_DATA, map_pieces);
}

CASE(limits, data_by_mprotect_of_threads)
{
    at_a_limit(RLIMIT_DATA, protect_pieces);
}

CASE(limits, address_space_by_mremap_of_threads)
{
    at_a_limit(RLIMIT_AS, grow_pieces);
}

/* ---- what counts ---- */

static void maps(const char *what, void *at, int flags, int prot, unsigned long size)
{
    void *p = mmap(at, size, prot, flags | MAP_ANONYMOUS, -1, 0);
    SHOW("%s: %s", what, p == MAP_FAILED ? strerrorname_np(errno) : "mapped");
}

CASE(limits, address_space_that_is_mapped_over)
{
    char *p = mmap(NULL, 64 * MIB, PROT_NONE, ANON, -1, 0), *shared;
    limit(RLIMIT_AS, status_of("VmSize:") + 8 * MIB);
    maps("in its place", p, MAP_PRIVATE | MAP_FIXED, RW, 64 * MIB);
    maps("beside it", NULL, MAP_PRIVATE, RW, 64 * MIB);
    maps("shared", NULL, MAP_SHARED, RW, 64 * MIB);
    maps("a little", NULL, MAP_SHARED, RW, 4 * MIB);
    SHOW("%s", mremap(p, MIB, 32 * MIB, MREMAP_MAYMOVE) == MAP_FAILED ? "refused" : "moved");
    SHOW("%s", mremap(p, 16 * MIB, 16 * MIB, MREMAP_MAYMOVE | MREMAP_DONTUNMAP) == MAP_FAILED
                   ? "refused"
                   : "moved");
    SHOW("%s", mremap(p, 32 * MIB, 16 * MIB, 0) == MAP_FAILED ? "refused" : "shrunk");
    maps("what that gave back", NULL, MAP_PRIVATE, RW, 16 * MIB);
    SHOW("%d", sbrk(64 * MIB) == (void *)-1);
}

CASE(limits, what_is_data)
{
    char *p = mmap(NULL, 64 * MIB, PROT_READ, ANON, -1, 0);
    char *q = mmap(NULL, 8 * MIB, RW, ANON, -1, 0);
    limit(RLIMIT_DATA, status_of("VmData:") + 4 * MIB);
    maps("shared", NULL, MAP_SHARED, RW, 64 * MIB);
    maps("a stack", NULL, MAP_PRIVATE | MAP_GROWSDOWN, RW, 64 * MIB);
    maps("private", NULL, MAP_PRIVATE, RW, 64 * MIB);
    maps("read", NULL, MAP_PRIVATE, PROT_READ, 64 * MIB);
    TRY(mprotect(p, 64 * MIB, RW));
    TRY(mprotect(q, 8 * MIB, RW)); /* which it is */
    TRY(mprotect(p, 2 * MIB, RW));
    TRY(mprotect(p, 2 * MIB, RW));
    TRY(mprotect(q, 8 * MIB, PROT_READ));
    TRY(mprotect(p, 8 * MIB, RW));
}

/* ---- the stack ---- */

static int depth_of(int n)
{
    volatile char block[4096];
    block[0] = (char)n;
    return n == 0 ? block[0] : depth_of(n - 1) + block[0] * 0;
}

/* What lies so far below here. */
static volatile char *below(long bytes)
{
    return (volatile char *)__builtin_frame_address(0) - bytes;
}

/* The range of [stack] in /proc/self/maps. */
static void stack_range(unsigned long range[2])
{
    char line[256];
    FILE *f = fopen("/proc/self/maps", "r");
    range[0] = range[1] = 0;
    while (fgets(line, sizeof line, f))
        if (strstr(line, "[stack]"))
            sscanf(line, "%lx-%lx", &range[0], &range[1]);
    fclose(f);
}

static void show_stack(long before)
{
    unsigned long range[2];
    stack_range(range);
    long bytes = (long)(range[1] - range[0]), here = (long)below(0);
    SHOW("%ld MiB more, %d %d", (bytes - before) / MIB, bytes == status_of("VmStk:"),
         here > (long)range[0] && here < (long)range[1]);
}

CASE(limits, no_data_at_all)
{
    struct rlimit l = {0, RLIM_INFINITY};
    TRY(setrlimit(RLIMIT_DATA, &l));
    OK(sbrk(PAGE));
    OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}
CASE(stack, grows_as_it_is_used)
{
    unsigned long range[2];
    stack_range(range);
    long bytes = (long)(range[1] - range[0]), size = status_of("VmSize:");
    SHOW("%d", bytes < 2 * MIB);
    show_stack(bytes);
    depth_of(900);
    show_stack(bytes);
    SHOW("%ld MiB", (status_of("VmSize:") - size) / MIB);
    depth_of(100);
    show_stack(bytes);
    *below(7 * MIB) = 1;
    show_stack(bytes);
}

CASE(stack, begins_small)
{
    fflush(stdout);
    if (fork() == 0)
        execl("/usr/bin/awk", "awk", "/\\[stack\\]/ { print; exit } /VmStk/ { print $2 < 300 }",
              "/proc/self/status", NULL);
    wait(NULL);
}

CASE(stack, reaches_as_far_as_the_limit)
{
    FAULT(below(0), *below(7 * MIB) = 1);
    FAULT(below(9 * MIB), *below(9 * MIB) = 1);
    IN_CHILD(depth_of(1800));
    IN_CHILD(depth_of(2200));
}

CASE(stack, lower_limit_counts_at_once)
{
    limit(RLIMIT_STACK, 2 * MIB);
    IN_CHILD(depth_of(300));
    IN_CHILD(depth_of(700));
    FAULT(below(3 * MIB), *below(3 * MIB) = 1);
    FAULT(0, *below(MIB) = 1);
}

CASE(stack, what_has_grown_stays)
{
    depth_of(1000);
    limit(RLIMIT_STACK, 2 * MIB);
    IN_CHILD(depth_of(900));
    IN_CHILD(depth_of(1200));
    limit(RLIMIT_STACK, 6 * MIB);
    IN_CHILD(depth_of(1200));
    limit(RLIMIT_STACK, 0);
    IN_CHILD(depth_of(900));
    IN_CHILD(depth_of(1200));
}

CASE(stack, higher_limit_counts_at_once)
{
    limit(RLIMIT_STACK, 40 * MIB);
    IN_CHILD(depth_of(9000));
    IN_CHILD(depth_of(11000));
    limit(RLIMIT_STACK, RLIM_INFINITY);
    IN_CHILD(depth_of(20000));
}

CASE(stack, limit_of_another_thread)
{
    pthread_t t;
    pthread_create(&t, NULL, (void *(*)(void *))pause, NULL);
    limit(RLIMIT_STACK, 4 * MIB);
    FAULT(below(6 * MIB), *below(6 * MIB) = 1);
}

/* Something is mapped in its way. */
static void neighbour(int prot)
{
    char *top = (char *)((uintptr_t)below(4 * MIB) & ~(uintptr_t)(PAGE - 1));
    mmap(top - PAGE, PAGE, prot, ANON | MAP_FIXED, -1, 0);
    FAULT(top, *(volatile char *)(top + MIB + 2 * PAGE) = 1);
    FAULT(top, *(volatile char *)(top + MIB - 2 * PAGE) = 1);
    FAULT(top, *(volatile char *)top = 1);
    FAULT(top, *(volatile char *)(top - 1) = 1);
    FAULT(top, *(volatile char *)(top - PAGE - 1) = 1);
}

CASE(stack, neighbour)
{
    neighbour(RW);
}

CASE(stack, neighbour_without_access)
{
    neighbour(PROT_NONE);
}

CASE(stack, address_space_counts)
{
    limit(RLIMIT_AS, status_of("VmSize:") + 2 * MIB);
    FAULT(below(4 * MIB), *below(4 * MIB) = 1);
    FAULT(0, *below(MIB) = 1);
}

CASE(stack, data_does_not)
{
    limit(RLIMIT_DATA, status_of("VmData:"));
    FAULT(0, *below(4 * MIB) = 1);
}

CASE(stack, locked_memory_counts)
{
    unsigned long range[2];
    stack_range(range);
    limit(RLIMIT_MEMLOCK, 2 * MIB);
    TRY(mlock2((void *)range[0], range[1] - range[0], MLOCK_ONFAULT));
    SHOW("%d", status_of("VmLck:") == (long)(range[1] - range[0]));
    FAULT(below(4 * MIB), *below(4 * MIB) = 1);
    FAULT(0, *below(MIB) = 1);
    show_stack((long)(range[1] - range[0]));
    SHOW("%d", status_of("VmLck:") == status_of("VmStk:"));
}

/* The kernel writes where the stack has not grown to. */
CASE(stack, grows_under_the_kernel)
{
    int fds[2], file = file_of(3 * PAGE);
    struct iovec v = {(void *)below(5 * MIB), 8};
    struct mmsghdr m = {.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1}};
    pipe(fds);
    write(fds[1], "x", 1);
    TRY(read(fds[0], (void *)below(2 * MIB), 100));
    TRY(pread(file, (void *)below(3 * MIB), 10000, 0));
    socketpair(AF_UNIX, SOCK_STREAM, 0, fds);
    write(fds[1], "xy", 2);
    TRY(recv(fds[0], (void *)below(4 * MIB), MIB, 0));
    write(fds[1], "xy", 2);
    TRY(recvmmsg(fds[0], &m, 1, 0, NULL));
    TRY(syscall(SYS_uname, below(6 * MIB)));
    TRY(pread(file, (void *)below(9 * MIB), 10000, 0));
    show_stack(0);
}

CASE(stack, is_no_place_for_mappings)
{
    unsigned long range[2];
    bool inside = false;
    stack_range(range);
    for (int i = 0; i < 300; i++) {
        unsigned long at = (unsigned long)mmap(NULL, PAGE << (i & 7), RW, ANON, -1, 0);
        inside |= at > range[1] - 120 * MIB && at < range[1];
    }
    SHOW("%d", inside);
    char *top = (char *)range[0] - 64 * PAGE; /* but where they are told to go */
    SHOW("%d", mmap(top, PAGE, RW, ANON | MAP_FIXED_NOREPLACE, -1, 0) == top);
}

CASE(stack, protected_to_its_growing_end)
{
    unsigned long range[2];
    stack_range(range);
    TRY(mprotect((char *)range[1] - PAGE, PAGE, RW | PROT_GROWSDOWN));
    TRY(mprotect((char *)range[0] - PAGE, PAGE, RW | PROT_GROWSDOWN));
    FAULT(0, *below(2 * MIB) = 1);
}

static int grown_to;

static void on_signal(int signal)
{
    grown_to = depth_of(700);
}

CASE(stack, grows_in_a_handler)
{
    signal(SIGUSR1, on_signal);
    TRY(raise(SIGUSR1));
    TRY(kill(getpid(), SIGUSR1));
    SHOW("%d", status_of("VmStk:") > 2 * MIB);
}

CASE(stack, of_programs)
{
    limit(RLIMIT_STACK, RLIM_INFINITY);
    fflush(stdout);
    if (fork() == 0)
        execl("/bin/bash", "bash", "-c",
              "f() { if [ $1 -gt 0 ]; then f $(($1 - 1)); fi; }; f 300; echo deep;"
              "ulimit -Ss 1024; f 1000; echo deeper",
              NULL);
    int status;
    wait(&status);
    SHOW("%d %d", WIFSIGNALED(status), WTERMSIG(status));
}
