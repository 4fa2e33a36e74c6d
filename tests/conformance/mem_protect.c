/* mprotect and faults: what may be touched, and what is raised where it may not. */
#include "memory.h"

#include <pthread.h>
#include <ucontext.h>

#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

CASE(mprotect, arguments)
{
    char *p = pages(2, RW);
    TRY(mprotect(p + 1, PAGE, PROT_READ));
    TRY(mprotect(p, 0, PROT_READ));
    TRY(mprotect(p + 1, 0, PROT_READ));
    TRY(mprotect(p, PAGE, 0x10));
    TRY(mprotect(p, PAGE, PROT_READ | 0x8));
    TRY(mprotect(p, PAGE, -1));
    TRY(mprotect(p, (size_t)-1, PROT_READ));
    TRY(mprotect(p, (size_t)-PAGE, PROT_READ));
    TRY(mprotect((void *)(1ul << 47), PAGE, PROT_READ));
    TRY(mprotect(NULL, PAGE, PROT_READ));
    p[0] = 1;
}

CASE(mprotect, grows_flags)
{
    char *p = pages(1, RW);
    TRY(mprotect(p, PAGE, PROT_READ | PROT_GROWSDOWN));
    TRY(mprotect(p, PAGE, PROT_READ | PROT_GROWSUP));
    TRY(mprotect(p, PAGE, PROT_READ | PROT_GROWSDOWN | PROT_GROWSUP));
}

CASE(mprotect, stack_with_grows_down)
{
    volatile char here[64] = "x";
    char *page = (char *)((unsigned long)here & ~4095ul);
    TRY(mprotect(page, PAGE, RW | PROT_GROWSDOWN));
    SHOW("%c", here[0]);
}

CASE(mprotect, hole_after_a_part)
{
    char *p = pages(4, RW);
    munmap(p + 2 * PAGE, PAGE);
    TRY(mprotect(p, 4 * PAGE, PROT_READ));
    FAULT(p, p[0] = 1);
    FAULT(p, p[PAGE] = 1);
    FAULT(p, p[3 * PAGE] = 1);
}

CASE(mprotect, hole_at_the_start)
{
    char *p = pages(3, RW);
    TRY(mprotect(p - PAGE, 2 * PAGE, PROT_READ));
    FAULT(p, p[0] = 1);
}

CASE(mprotect, length_is_rounded)
{
    char *p = pages(2, RW);
    TRY(mprotect(p, PAGE + 1, PROT_READ));
    FAULT(p, p[PAGE] = 1);
}

CASE(mprotect, to_none_and_back)
{
    char *p = pages(2, RW);
    strcpy(p, "kept");
    TRY(mprotect(p, 2 * PAGE, PROT_NONE));
    FAULT(p, (void)*(volatile char *)p);
    FAULT(p, (void)*(volatile char *)(p + PAGE));
    TRY(mprotect(p, 2 * PAGE, PROT_READ));
    SHOW("%s", p);
    FAULT(p, p[0] = 'K');
    TRY(mprotect(p, 2 * PAGE, RW));
    p[0] = 'K';
    SHOW("%s", p);
}

CASE(mprotect, untouched_pages)
{
    char *p = pages(2, PROT_NONE);
    TRY(mprotect(p, 2 * PAGE, PROT_READ));
    SHOW("%d", p[5]);
    TRY(mprotect(p, 2 * PAGE, RW));
    p[5] = 1;
    SHOW("%d", p[5]);
}

CASE(mprotect, file_pages)
{
    int fd = file_of(2 * PAGE);
    char *p = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
    FAULT(p, p[0] = 'z');
    TRY(mprotect(p, PAGE, RW));
    p[0] = 'z';
    FAULT(p, p[PAGE] = 'z');
    SHOW("%c %c %c", p[0], p[1], p[PAGE]);
}

CASE(mprotect, program_text)
{
    extern char etext;
    char *page = (char *)((unsigned long)&etext & ~4095ul) - PAGE;
    FAULT(page, *(volatile char *)page = 1);
}

CASE(mprotect, string_constant)
{
    char *constant = (char *)"constant";
    FAULT(constant, *(volatile char *)constant = 'C');
    SHOW("%s", constant);
}

CASE(mprotect, execute_what_was_written)
{
    static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42,%eax; ret */
    unsigned char *p = (unsigned char *)pages(1, RW);
    memcpy(p, code, sizeof code);
    FAULT(p, ((int (*)(void))p)());
    TRY(mprotect(p, PAGE, PROT_READ | PROT_EXEC));
    SHOW("%d", ((int (*)(void))p)());
    FAULT(p, p[1] = 43);
}

CASE(mprotect, writing_and_executing_in_turns)
{
    static const unsigned char code[] = {0xb8, 0, 0, 0, 0, 0xc3};
    unsigned char *p = (unsigned char *)pages(4, PROT_READ | PROT_EXEC);
    int sum = 0;
    for (int i = 0; i < 200; i++) {
        unsigned char *at = p + (i % 4) * PAGE + i * 8;
        mprotect(p, 4 * PAGE, RW);
        memcpy(at, code, sizeof code);
        at[1] = (unsigned char)i;
        mprotect(p, 4 * PAGE, PROT_READ | PROT_EXEC);
        sum += ((int (*)(void))at)();
    }
    SHOW("%d", sum);
}

CASE(mprotect, code_that_changes_itself)
{
    static const unsigned char code[] = {0xb8, 1, 0, 0, 0, 0xc3};
    unsigned char *p = (unsigned char *)pages(1, RW | PROT_EXEC);
    int sum = 0;
    memcpy(p, code, sizeof code);
    for (int i = 0; i < 100; i++) {
        p[1] = (unsigned char)i;
        sum += ((int (*)(void))p)();
    }
    SHOW("%d", sum);
}

CASE(mprotect, code_over_a_page_border)
{
    static const unsigned char code[] = {0xb8, 7, 1, 0, 0, 0xc3};
    unsigned char *p = (unsigned char *)pages(2, RW | PROT_EXEC) + PAGE - 3;
    memcpy(p, code, sizeof code);
    SHOW("%d", ((int (*)(void))p)());
    mprotect(p + 3, PAGE, PROT_READ);
    FAULT(p, ((int (*)(void))p)());
}

CASE(mprotect, system_call_in_fresh_code)
{
    /* mov $39,%eax (getpid); syscall; ret */
    static const unsigned char code[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3};
    unsigned char *p = (unsigned char *)pages(1, RW);
    memcpy(p, code, sizeof code);
    mprotect(p, PAGE, PROT_READ | PROT_EXEC);
    for (int i = 0; i < 3; i++)
        SHOW("%d", ((int (*)(void))p)() == getpid());
    mprotect(p, PAGE, RW);
    p[1] = 110; /* getppid */
    mprotect(p, PAGE, PROT_READ | PROT_EXEC);
    SHOW("%d", ((int (*)(void))p)() == getppid());
}

CASE(mprotect, joins_and_splits)
{
    char *p = pages(8, RW);
    for (int i = 0; i < 8; i += 2)
        mprotect(p + i * PAGE, PAGE, PROT_READ);
    for (int i = 0; i < 8; i += 2)
        mprotect(p + i * PAGE, PAGE, RW);
    memset(p, 1, 8 * PAGE);
    OK(mremap(p, 8 * PAGE, 4 * PAGE, 0));
}

CASE(fault, null_pointer)
{
    FAULT(NULL, *(volatile char *)NULL = 1);
    FAULT(NULL, (void)*(volatile char *)8);
    FAULT(NULL, ((void (*)(void))NULL)());
}

CASE(fault, address_in_the_kernel)
{
    FAULT(0xffff800000000000, (void)*(volatile char *)0xffff800000000000);
    FAULT(0xffffffffff600000, *(volatile char *)0xffffffffff600000 = 1);
}

CASE(fault, address_not_canonical)
{
    FAULT(0, (void)*(volatile char *)0x800000000000);
    FAULT(0, (void)*(volatile char *)0x1234567812345678);
}

CASE(fault, just_beyond)
{
    char *p = pages(1, RW);
    FAULT(p, p[-1] = 1);
    FAULT(p, p[PAGE] = 1);
    FAULT(p, *(volatile long *)(p + PAGE - 4) = 1);
    FAULT(p, (void)*(volatile long *)(p - 4));
}

CASE(fault, string_copy_into_a_hole)
{
    char *p = pages(1, RW);
    FAULT(p, memset(p + PAGE - 100, 1, 200));
    SHOW("%d", p[PAGE - 1]);
}

static void tell_error(int signal, siginfo_t *info, void *context)
{
    ucontext_t *u = context;
    memory_at = info->si_addr;
    SHOW("trap %lld error %lld cr2 %d", u->uc_mcontext.gregs[REG_TRAPNO],
         u->uc_mcontext.gregs[REG_ERR], u->uc_mcontext.gregs[REG_CR2] == (long)memory_at);
    siglongjmp(memory_back, 1);
}

#define ERROR_OF(statement)                                                                        \
    do {                                                                                           \
        struct sigaction a_ = {.sa_sigaction = tell_error, .sa_flags = SA_SIGINFO};                \
        sigaction(SIGSEGV, &a_, NULL);                                                             \
        sigaction(SIGBUS, &a_, NULL);                                                              \
        if (!sigsetjmp(memory_back, 1)) {                                                          \
            statement;                                                                             \
        }                                                                                          \
    } while (0)

CASE(fault, error_codes)
{
    char *p = pages(3, PROT_READ);
    (void)*(volatile char *)p;
    ERROR_OF((void)*(volatile char *)(p - 1));
    ERROR_OF(p[-1] = 1);
    ERROR_OF(p[0] = 1);
    ERROR_OF(((void (*)(void))(p + 3 * PAGE))());
    ERROR_OF(((void (*)(void))p)());
}

CASE(fault, error_code_of_a_bus_error)
{
    char *p = mmap(NULL, 2 * PAGE, RW, MAP_PRIVATE, file_of(10), 0);
    ERROR_OF((void)*(volatile char *)(p + PAGE));
    ERROR_OF(p[PAGE] = 1);
}

static void repair(int signal, siginfo_t *info, void *context)
{
    mprotect((void *)((unsigned long)info->si_addr & ~4095ul), PAGE, RW);
}

CASE(fault, repaired_by_the_handler)
{
    struct sigaction a = {.sa_sigaction = repair, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &a, NULL);
    char *p = pages(64, PROT_NONE);
    for (int i = 0; i < 64; i++)
        p[i * PAGE] = (char)i;
    int sum = 0;
    for (int i = 0; i < 64; i++)
        sum += p[i * PAGE];
    SHOW("%d", sum);
}

CASE(fault, default_action)
{
    char *p = pages(1, PROT_READ);
    p[0] = 1;
}

CASE(fault, default_action_of_a_bus_error)
{
    char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, open("f", O_RDWR | O_CREAT, 0644), 0);
    SHOW("%d", p[0]);
}

CASE(fault, blocked)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    memory_catch();
    sigprocmask(SIG_BLOCK, &set, NULL);
    *(volatile char *)NULL = 1;
}

CASE(fault, ignored)
{
    signal(SIGSEGV, SIG_IGN);
    *(volatile char *)NULL = 1;
}

CASE(fault, in_the_handler)
{
    struct sigaction a = {.sa_handler = (void (*)(int))8, .sa_flags = 0};
    sigaction(SIGSEGV, &a, NULL);
    *(volatile char *)NULL = 1;
}

static int deep(int n)
{
    volatile char room[2000];
    room[n % 2000] = (char)n;
    return n ? deep(n - 1) + room[n % 2000] : 0;
}

CASE(stack, grows)
{
    SHOW("%d", deep(1000) != 1 << 30); /* about 2 MiB */
}

CASE(stack, overflow_on_the_alternate_stack)
{
    stack_t other = {.ss_sp = malloc(65536), .ss_size = 65536};
    TRY(sigaltstack(&other, NULL));
    memory_catch();
    memory_signal = 0;
    if (!sigsetjmp(memory_back, 1))
        SHOW("%d", deep(1 << 30));
    SHOW("SIG%s code %d", sigabbrev_np(memory_signal), (int)memory_code);
}

CASE(stack, overflow_without_one)
{
    memory_catch();
    SHOW("%d", deep(1 << 30));
}

static void *overflow(void *arg)
{
    SHOW("%d", deep(1 << 30));
    return arg;
}

CASE(stack, overflow_of_a_thread)
{
    pthread_t thread;
    pthread_attr_t a;
    pthread_attr_init(&a);
    pthread_attr_setstacksize(&a, 256 << 10);
    pthread_create(&thread, &a, overflow, NULL);
    pthread_join(thread, NULL);
}

CASE(stack, far_below_the_pointer)
{
    char *here = __builtin_frame_address(0);
    FAULT(here, *(volatile char *)(here - (1 << 20)) = 1);
    FAULT(here, *(volatile char *)(here - (9 << 20)) = 1);
}

static void *run_on(void *arg)
{
    *(volatile int *)arg = deep(20) | 1;
    return arg;
}

CASE(stack, of_our_own)
{
    pthread_t thread;
    pthread_attr_t a;
    int done = 0;
    char *p = mmap(NULL, 64 * PAGE, RW, ANON | MAP_STACK | MAP_NORESERVE, -1, 0);
    mprotect(p, PAGE, PROT_NONE);
    pthread_attr_init(&a);
    pthread_attr_setstack(&a, p + PAGE, 63 * PAGE);
    TRY(pthread_create(&thread, &a, run_on, &done));
    pthread_join(thread, NULL);
    SHOW("%d", done & 1);
}

CASE(pkey, without_keys)
{
    char *p = pages(2, RW);
    p[0] = 4;
    TRY(syscall(SYS_pkey_alloc, 1, 0));
    TRY(syscall(SYS_pkey_alloc, 0, 99));
    TRY(syscall(SYS_pkey_free, 77));
    TRY(syscall(SYS_pkey_free, -1));
    TRY(syscall(SYS_pkey_mprotect, p, PAGE, PROT_READ, -1));
    FAULT(p, p[0] = 1);
    TRY(syscall(SYS_pkey_mprotect, p, PAGE, RW, 77));
    TRY(syscall(SYS_pkey_mprotect, p + 1, PAGE, RW, -1));
}
