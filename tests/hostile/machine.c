/*
 * What a program can do to the machinery that it runs on, short of knowing where it lies: its
 * descriptors, mappings, signals, registers; frames and ELF files of random bytes.
 * usage: machine SEED. Each act is a child's; it may end as it likes, but has to end.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t state;
static int hung;

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* Uses memory, files and descriptors: whether the machinery still works. */
static void work(void)
{
    static char block[1 << 20];
    for (size_t i = 0; i < sizeof block; i += 512)
        block[i]++;
    int fd = open("/etc/passwd", O_RDONLY);
    if (fd >= 0 && read(fd, block, 4096) < 0)
        _exit(9);
    if (fd >= 0)
        close(fd);
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
}

static const char *ends(void (*act)(void))
{
    static char text[64];
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setrlimit(RLIMIT_CORE, &none);
        act();
        work();
        _exit(0);
    }
    struct pollfd ended = {(int)syscall(SYS_pidfd_open, pid, 0), POLLIN, 0};
    if (poll(&ended, 1, 15000) == 0) {
        hung++;
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        return "hangs";
    }
    close(ended.fd);
    waitpid(pid, &status, 0);
    snprintf(text, sizeof text, WIFSIGNALED(status) ? "signal %d" : "exit %d",
             WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return text;
}

/* ---- descriptors ---- */

static void close_all(void)
{
    for (int fd = 3; fd < 70000; fd++)
        close(fd);
}
static void close_all_ranges(void)
{
    syscall(SYS_close_range, 3, ~0u, 0);
    syscall(SYS_close_range, 3, ~0u, 4);
    syscall(SYS_close_range, 900, 70000, 2);
}
static void dup_over(void)
{
    struct rlimit l;
    getrlimit(RLIMIT_NOFILE, &l);
    for (int fd = 3; fd < 1400; fd++)
        dup2(0, fd);
    for (int fd = (int)l.rlim_max - 100; fd < (int)l.rlim_max + 100; fd++)
        dup3(0, fd, O_CLOEXEC);
    for (int fd = 65400; fd < 65700; fd++) {
        dup2(0, fd);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        fcntl(fd, F_SETFD, 0);
    }
}
static void raise_the_limit(void)
{
    struct rlimit l = {1 << 20, 1 << 20};
    setrlimit(RLIMIT_NOFILE, &l);
    for (int fd = 0; fd < 3000; fd++)
        dup(0);
}

/* ---- mappings ---- */

static void each_high(void (*act)(char *, size_t))
{
    uint64_t vdso = getauxval(AT_SYSINFO_EHDR);
    act((char *)0x400000000000, 1ull << 45);
    act((char *)0x400000000000, (1ull << 47) - 4096 - 0x400000000000);
    for (int i = 0; i < 200; i++)
        act((char *)((vdso & ~0xfffull) - (uint64_t)(100 - i) * 65536), 65536);
}
static void unmap(char *p, size_t size)
{
    munmap(p, size);
}
static void forbid(char *p, size_t size)
{
    mprotect(p, size, PROT_NONE);
    madvise(p, size, MADV_DONTNEED);
}
static void cover(char *p, size_t size)
{
    mmap(p, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    mremap(p, 4096, 8192, MREMAP_MAYMOVE);
    mremap(p, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, (void *)0x100000000);
}
static void unmap_high(void)
{
    each_high(unmap);
}
static void forbid_high(void)
{
    each_high(forbid);
}
static void cover_high(void)
{
    each_high(cover);
}
static void unmap_itself(void)
{
    munmap((void *)0x10000, 0x400000000000 - 0x10000);
}

/* ---- signals ---- */

static void block_all(void)
{
    uint64_t all = ~0ull;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8);
    for (int i = 1; i <= 64; i++)
        if (i != SIGKILL && i != SIGSTOP)
            kill(getpid(), i);
}
static void fault_while_blocked(void)
{
    block_all();
    *(volatile int *)8 = 1;
}
static void ignore_faults(void)
{
    for (int i = 1; i <= 64; i++)
        signal(i, SIG_IGN);
    *(volatile int *)8 = 1;
}
static void again(int signal)
{
    (void)signal;
    *(volatile int *)8 = 1;
}
static void fault_in_the_handler(void)
{
    signal(SIGSEGV, again);
    *(volatile int *)8 = 1;
}
static void handler_nowhere(void)
{
    signal(SIGSEGV, (void (*)(int))0x1234567);
    *(volatile int *)8 = 1;
}
static void deep(volatile char *p)
{
    volatile char block[65536];
    block[0] = *p;
    deep(block);
    block[1] = 1;
}
static void altstacks(void)
{
    stack_t wild[] = {{.ss_sp = (void *)0x1000, .ss_size = 1 << 20},
                      {.ss_sp = (void *)0x7f0000000000, .ss_size = 1 << 20},
                      {.ss_sp = (void *)-65536l, .ss_size = 65536},
                      {.ss_sp = mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
                       .ss_size = 65536}};
    struct sigaction action = {.sa_handler = again, .sa_flags = SA_ONSTACK | SA_NODEFER};
    char c = 0;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGUSR1, &action, NULL);
    sigaltstack(&wild[next() % 4], NULL);
    if (next() & 1)
        deep(&c);
    raise(SIGUSR1);
}
static void random_frame(void)
{
    uint64_t frame[512];
    for (int i = 0; i < 512; i++)
        frame[i] = next() >> next() % 64;
    if (next() & 1)
        frame[26] = (uint64_t)frame + 1024; /* where fpstate stands */
    asm volatile("mov %0, %%rsp; mov $15, %%eax; syscall" : : "r"(frame) : "memory");
}
static void handler_of_many(int signal, siginfo_t *info, void *context)
{
    uint64_t *words = context;
    (void)signal, (void)info;
    for (int i = 0; i < 3; i++)
        words[next() % 38] = next() >> next() % 64;
}
static void spoilt_frame(void)
{
    struct sigaction action = {.sa_sigaction = handler_of_many, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
}

/* ---- the processor ---- */

static void vsyscall(void)
{
    ((long (*)(long *))0xffffffffff600400)(NULL);
}
static void old_calls(void)
{
    for (int i = 0; i < 400; i++) {
        long rax = i;
        asm volatile("int $0x80" : "+a"(rax) : "b"(next()), "c"(next()), "d"(next()) : "memory");
    }
}
static void call_sysenter(void)
{
    asm volatile("mov $1, %%eax; sysenter" : : : "memory");
}
static void halt(void)
{
    asm volatile("hlt");
}
static void bad_stack(void)
{
    static const uint64_t wild[] = {
        0, 1, 8, 0x1001, 0x8000000000000000, 0x7fffffffeff8, 0x400000000000, 0xffffffff81000000};
    uint64_t rsp = wild[next() % 8], saved;
    asm volatile("mov %%rsp, %1; mov %2, %%rsp; mov $39, %%eax; syscall; syscall; mov %1, %%rsp"
                 : "=&a"(rsp), "=&r"(saved)
                 : "r"(rsp)
                 : "rcx", "r11", "memory");
}
static void bad_stack_in_a_signal(void)
{
    struct sigaction action = {.sa_handler = again};
    sigaction(SIGSEGV, &action, NULL);
    asm volatile("mov $0x1001, %%rsp; push %%rax" : : : "memory");
}
static void flags(void)
{
    for (int bit = 0; bit < 22; bit++) {
        uint64_t set = 1ull << bit;
        if (bit == 8) /* TF: a trap, tried apart */
            continue;
        asm volatile("sub $128, %%rsp; pushfq; or %0, (%%rsp); popfq; mov $39, %%eax; syscall;"
                     "pushfq; andq $~0x244000, (%%rsp); popfq; cld; add $128, %%rsp"
                     :
                     : "r"(set)
                     : "rax", "rcx", "r11", "memory", "cc");
    }
}
static void trap_flag(void)
{
    asm volatile("pushfq; orq $0x100, (%%rsp); popfq; mov $39, %%eax; syscall; nop"
                 :
                 :
                 : "rax", "rcx", "r11", "memory");
}
static void bases(void)
{
    static const uint64_t wild[] = {0, 0x1000, 0x7fffffffe000, 0x400000000000};
    syscall(SYS_arch_prctl, 0x1001, wild[next() % 4]);
    asm volatile("mov $158, %%eax; mov $0x1002, %%edi; mov %0, %%rsi; syscall; mov $39, %%eax;"
                 "syscall; mov $102, %%eax; syscall; mov $231, %%eax; xor %%edi, %%edi; syscall"
                 :
                 : "r"(wild[next() % 4])
                 : "rax", "rdi", "rsi", "rcx", "r11", "memory");
}
static void segments(void)
{
    asm volatile(
        "mov $0x2b, %%eax; mov %%eax, %%fs; mov %%eax, %%gs; xor %%eax, %%eax;"
        "mov %%eax, %%gs; mov $39, %%eax; syscall; mov $231, %%eax; xor %%edi, %%edi; syscall"
        :
        :
        : "rax", "rdi", "rcx", "r11", "memory");
}
static void jump(void)
{
    uint64_t vdso = getauxval(AT_SYSINFO_EHDR);
    uint64_t to = next() & 1 ? vdso - next() % (1 << 24) : 0x400000000000 + next() % 0x3fff00000000;
    asm volatile("jmp *%0" : : "r"(to), "a"(next() % 400), "D"(next()), "S"(next()));
}
static void dispatch(void)
{
    prctl(59 /* PR_SET_SYSCALL_USER_DISPATCH */, 0, 0, 0, 0);
    prctl(22 /* PR_SET_SECCOMP */, 1, 0, 0, 0);
    syscall(SYS_seccomp, 0, 0, NULL);
    syscall(SYS_userfaultfd, 0);
}

/* ---- processes ---- */

static void *leave(void *arg)
{
    syscall(SYS_exit, 0);
    return arg;
}
static void raw_ends(void)
{
    pthread_t t;
    for (int i = 0; i < 30; i++)
        pthread_create(&t, NULL, leave, NULL);
    syscall(SYS_exit, 0);
}
static void clone_garbage(void)
{
    for (int i = 0; i < 30; i++) {
        uint64_t combination =
            next() & 0xffffffff & ~0x4000ull; /* no vfork: its child never ends */
        long pid = syscall(SYS_clone, combination, next() & 1 ? 0x1000 : 0, 0x1001, next(), 0);
        if (pid == 0)
            _exit(0);
    }
    while (waitpid(-1, NULL, __WALL) > 0 || errno == EINTR)
        ;
}
static void random_elf(void)
{
    char bytes[8192], *argv[] = {"x", NULL};
    int from = open("/bin/true", O_RDONLY), fd;
    ssize_t size = read(from, bytes, sizeof bytes);
    int changes = 1 + (int)(next() % 12);
    for (int i = 0; i < changes; i++)
        bytes[next() % 800] = (char)(next() % 3 ? next() : 0xff * (next() & 1));
    memcpy(bytes, ELFMAG, SELFMAG);
    close(from);
    unlink("elf");
    fd = open("elf", O_CREAT | O_WRONLY | O_TRUNC, 0755);
    if (size < 0 || write(fd, bytes, next() % 4 ? (size_t)size : next() % 900) < 0)
        _exit(1);
    close(fd);
    execv("./elf", argv);
}

static const struct {
    const char *name;
    void (*act)(void);
    int times;
} acts[] = {
#define ACT(name, times)                                                                           \
    {                                                                                              \
#name, name, times                                                                         \
    }
    ACT(close_all, 1),       ACT(close_all_ranges, 1),
    ACT(dup_over, 1),        ACT(raise_the_limit, 1),
    ACT(unmap_high, 1),      ACT(forbid_high, 1),
    ACT(cover_high, 1),      ACT(unmap_itself, 1),
    ACT(block_all, 1),       ACT(fault_while_blocked, 1),
    ACT(ignore_faults, 1),   ACT(fault_in_the_handler, 1),
    ACT(handler_nowhere, 1), ACT(altstacks, 6),
    ACT(random_frame, 20),   ACT(spoilt_frame, 20),
    ACT(vsyscall, 1),        ACT(old_calls, 1),
    ACT(call_sysenter, 1),   ACT(halt, 1),
    ACT(bad_stack, 8),       ACT(bad_stack_in_a_signal, 1),
    ACT(flags, 1),           ACT(trap_flag, 1),
    ACT(bases, 6),           ACT(segments, 1),
    ACT(jump, 40),           ACT(dispatch, 1),
    ACT(raw_ends, 2),        ACT(clone_garbage, 2),
    ACT(random_elf, 30),
};

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++)
        for (int n = 0; n < acts[i].times; n++) {
            state = (seed * 1000003 + i * 1009 + (uint64_t)n) * 0x9e3779b97f4a7c15ull | 1;
            printf("%s %d: %s\n", acts[i].name, n, ends(acts[i].act));
            fflush(stdout);
        }
    printf("%d hung\n", hung);
    return hung != 0;
}
