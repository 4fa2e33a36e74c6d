/* Faults of the program: what its handler is told, and how it goes on. */
#include <fcntl.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "check.h"

static sigjmp_buf back;
static char *expected;
static size_t page;

static void report(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    SHOW("signal %d code %d address %s trap %lld error %llx", signal, info->si_code,
         info->si_addr == expected ? "as expected"
         : info->si_addr == NULL   ? "zero"
                                   : "another",
         uc->uc_mcontext.gregs[REG_TRAPNO], uc->uc_mcontext.gregs[REG_ERR] & 0x17);
}

static void jump(int signal, siginfo_t *info, void *context)
{
    report(signal, info, context);
    siglongjmp(back, 1);
}

static void repair(int signal, siginfo_t *info, void *context)
{
    report(signal, info, context);
    CHECK(mprotect((void *)((uintptr_t)info->si_addr & ~(page - 1)), page,
                   PROT_READ | PROT_WRITE) == 0);
}

static void skip(int signal, siginfo_t *info, void *context)
{
    ucontext_t *uc = context;
    report(signal, info, context);
    uc->uc_mcontext.gregs[REG_RIP] += 2;
}

static void overflowed(int signal, siginfo_t *info, void *context)
{
    int local;
    (void)context;
    (void)info;
    SHOW("overflow: signal %d, on the alternate stack %d", signal,
         (uintptr_t)&local - (uintptr_t)expected < 65536);
    siglongjmp(back, 1);
}

#pragma GCC diagnostic ignored "-Winfinite-recursion"
static __attribute__((noinline)) int deep(int n)
{
    volatile char fill[4096];
    memset((void *)fill, n, sizeof fill);
    return deep(n + 1) + fill[n & 4095];
}

static void attempt(const char *what, volatile char *address, int write)
{
    expected = (char *)address;
    printf("%s: ", what);
    fflush(stdout);
    if (sigsetjmp(back, 1))
        return;
    if (write)
        *address = 1;
    else
        (void)*address;
    SHOW("no fault");
}

int main(void)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    char *m = mmap(NULL, 8 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(m != MAP_FAILED);
    memset(m, 7, 8 * page);

    handle(SIGSEGV, jump, 0);
    handle(SIGBUS, jump, 0);
    attempt("null read", NULL, 0);
    attempt("low write", (char *)24, 1);
    attempt("kernel", (char *)0xffff800000000000ul, 0);
    attempt("not canonical", (char *)0x1234567812345678ul, 0);
    CHECK(mprotect(m, page, PROT_READ) == 0);
    attempt("read only, read", m + 5, 0);
    attempt("read only, write", m + 5, 1);
    CHECK(mprotect(m, page, PROT_NONE) == 0);
    attempt("none, read", m + 9, 0);
    attempt("none, write", m + 9, 1);
    CHECK(munmap(m + 2 * page, page) == 0);
    attempt("unmapped, read", m + 2 * page + 3, 0);
    attempt("unmapped, write", m + 2 * page + 3, 1);
    attempt("beside it", m + 3 * page, 1);
    CHECK(m[3 * page + 1] == 7);

    /* Executing data. */
    expected = m + 3 * page;
    if (!sigsetjmp(back, 1))
        ((void (*)(void))(m + 3 * page))();

    handle(SIGSEGV, repair, 0);
    expected = m + 17;
    m[17]++;
    SHOW("repaired, value %d", m[17]);

    /* A fault in a system call's argument is EFAULT, no signal. */
    int fds[2];
    CHECK(pipe(fds) == 0);
    char *volatile nowhere = (char *)8;
    long rc = write(fds[1], nowhere, 4);
    SHOW("write of nothing %ld errno %d", rc, errno);
    CHECK(mprotect(m, page, PROT_READ) == 0);
    CHECK(write(fds[1], "abcd", 4) == 4);
    rc = read(fds[0], m, 4);
    SHOW("read to read-only %ld errno %d", rc, errno);

    /* Instructions. */
    handle(SIGFPE, skip, 0);
    volatile int zero = 0;
    int quotient;
    asm volatile("lea 1f(%%rip), %0\n1:" : "=r"(expected));
    asm volatile("xor %%edx, %%edx; mov $1, %%eax; idivl %%ecx" /* f7 f9: two bytes */
                 : "=a"(quotient)
                 : "c"(zero)
                 : "edx");
    handle(SIGILL, skip, 0);
    asm volatile("ud2");
    handle(SIGTRAP, report, 0);
    asm volatile("int3");
    handle(SIGSEGV, skip, 0);
    asm volatile("hlt; nop"); /* privileged: general protection; skips both */
    SHOW("after instructions");

    /* Past a file's end. */
    char name[] = "fault-file-XXXXXX";
    int fd = mkstemp(name);
    CHECK(fd >= 0 && write(fd, "hello", 5) == 5);
    char *f = mmap(NULL, 2 * page, PROT_READ, MAP_PRIVATE, fd, 0);
    if (f != MAP_FAILED) {
        handle(SIGBUS, jump, 0);
        attempt("within the file", f, 0);
        attempt("past the file's end", f + page, 0);
    }
    unlink(name);

    /* The stack's end, with and without somewhere to stand. */
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    CHECK(sigaltstack(&stack, NULL) == 0);
    expected = stack.ss_sp;
    handle(SIGSEGV, overflowed, SA_ONSTACK);
    for (volatile int i = 0; i < 3; i++)
        if (!sigsetjmp(back, 1))
            deep(0);
    SHOW("survived");
    return 0;
}
