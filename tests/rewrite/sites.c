/*
 * Call sites that are rewritten, and what a program could notice of it: registers, its text when it
 * makes it writable, libraries that are unloaded, %gs of its own, children, single steps.
 *
 *   sites LIBRARY
 */
#include <asm/prctl.h>
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <ucontext.h>

#include "../signals/check.h"

enum { WARM = 20, LINE = 4096 };

/* In a line of its own, so that it can be made writable: two sites, of the one form and the other.
 */
long site_mov(void), site_short(void);
extern char text_begin[], text_end[];
asm(".pushsection .text.sites, \"ax\", @progbits\n"
    ".p2align 12\n"
    "text_begin:\n"
    "site_mov: mov $110, %eax; syscall; ret\n"
    ".p2align 4\n"
    ".byte 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0\n"
    ".p2align 4\n"
    "site_short: mov $110, %esi; xchg %esi, %eax; syscall; ret\n"
    ".p2align 12\n"
    "text_end:\n"
    ".popsection\n");

static void warm(void)
{
    for (int i = 0; i < WARM; i++)
        CHECK(site_mov() == getppid() && site_short() == getppid());
}

/* Vector registers and the direction of flags survive a call. */
static void registers(void)
{
    static const double in[4] = {1.5, 2.5, 3.5, 4.5};
    double out[4];
    long result, carry = 0;
    for (int i = 0; i < WARM; i++) {
        asm volatile("movupd (%3), %%xmm0\n\t"
                     "movupd 16(%3), %%xmm15\n\t"
                     "stc\n\t"
                     "call site_mov\n\t"
                     "setc %b1\n\t"
                     "movupd %%xmm0, (%2)\n\t"
                     "movupd %%xmm15, 16(%2)"
                     : "=&a"(result), "+&r"(carry)
                     : "r"(out), "r"(in)
                     : "rcx", "r11", "xmm0", "xmm15", "memory");
        CHECK(result == getppid() && carry == 1 && memcmp(in, out, sizeof in) == 0);
    }
    SHOW("registers and flags");
}

/* The text is the program's own again when it becomes writable, and may change then. */
static void writable_text(void)
{
    unsigned char before[64], *text = (unsigned char *)text_begin;
    static const unsigned char mov[] = {0xb8, 110, 0, 0, 0, 0x0f, 0x05, 0xc3};
    warm();
    CHECK(mprotect(text, LINE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
    SHOW("a writable site is as it was: %d", memcmp(text, mov, sizeof mov));
    memcpy(before, text, sizeof before);
    text[1] = SYS_getuid;
    CHECK(mprotect(text, LINE, PROT_READ | PROT_EXEC) == 0);
    for (int i = 0; i < WARM; i++)
        CHECK(site_mov() == (long)getuid());
    CHECK(mprotect(text, LINE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0);
    text[1] = SYS_getppid;
    SHOW("and again: %d", memcmp(text, before, sizeof before));
    CHECK(mprotect(text, LINE, PROT_READ | PROT_EXEC) == 0);
    warm();
}

static void libraries(const char *path)
{
    for (int i = 0; i < 200; i++) {
        void *library = dlopen(path, RTLD_NOW);
        CHECK(library);
        long (*call)(void) = (long (*)(void))dlsym(library, "loaded_call");
        for (int k = 0; k < WARM; k++)
            CHECK(call() == getppid());
        CHECK(dlclose(library) == 0);
    }
    SHOW("libraries that come and go");
}

static void *in_thread(void *unused)
{
    unsigned long base = 1;
    CHECK(syscall(SYS_arch_prctl, ARCH_GET_GS, &base) == 0);
    SHOW("%%gs of a new thread: %s", base ? "its maker's" : "none");
    warm();
    return unused;
}

/* In a child: a program that has %gs keeps it, and its calls go on. */
static void own_gs(void)
{
    static unsigned long words[2] = {0x1234, 0x5678};
    unsigned long base = 1, word = 0;
    pthread_t thread;
    CHECK(syscall(SYS_arch_prctl, ARCH_GET_GS, &base) == 0);
    SHOW("%%gs at first: %lx", base);
    if (fork() == 0) {
        errno = 0;
        CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, 1ul << 63) == -1);
        SHOW("%%gs that cannot be: %s", strerror(errno));
        CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, words) == 0);
        warm();
        asm volatile("movq %%gs:8, %0" : "=r"(word));
        CHECK(syscall(SYS_arch_prctl, ARCH_GET_GS, &base) == 0);
        SHOW("%%gs of its own: %lx, %d", word, base == (unsigned long)words);
        CHECK(pthread_create(&thread, NULL, in_thread, NULL) == 0);
        CHECK(pthread_join(thread, NULL) == 0);
        warm();
        _exit(0);
    }
    int status;
    CHECK(wait(&status) > 0 && status == 0);
    warm();
}

static void children(void)
{
    for (volatile int i = 0; i < 3; i++) {
        pid_t parent = getpid(), child = i == 1 ? vfork() : fork();
        if (child == 0) {
            for (int k = 0; k < WARM; k++)
                if (site_mov() != parent || site_short() != parent || getpid() == parent)
                    _exit(1);
            _exit(0);
        }
        int status;
        CHECK(waitpid(child, &status, 0) == child);
        SHOW("child: %d", status);
        warm();
    }
}

static volatile sig_atomic_t steps, outside;

static void on_trap(int signal, siginfo_t *info, void *context)
{
    unsigned long rip = (unsigned long)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    (void)signal;
    (void)info;
    steps++;
    /* Nowhere but in this program's text. */
    outside |=
        rip - (unsigned long)text_begin > 1ul << 30 && (unsigned long)text_begin - rip > 1ul << 30;
}

static void single_steps(void)
{
    handle(SIGTRAP, on_trap, 0);
    asm volatile("pushfq; orl $0x100, (%%rsp); popfq\n\t"
                 "call site_mov\n\t"
                 "pushfq; andl $~0x100, (%%rsp); popfq"
                 :
                 :
                 : "rax", "rcx", "r11", "memory", "cc");
    SHOW("single steps: %s, %s", steps > 4 ? "many" : "few",
         outside ? "and elsewhere" : "nowhere else");
}

static int pipe_ends[2];
static volatile sig_atomic_t alarms;

/* Every third alarm ends the read that the others interrupt. */
static void on_alarm(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    if (++alarms % 3 == 0)
        CHECK(write(pipe_ends[1], "x", 1) == 1);
}

/* Calls that signals interrupt, from libc's own sites, which are rewritten meanwhile. */
static void restarts(void)
{
    const struct itimerval often = {{0, 2000}, {0, 2000}}, never = {0};
    int whole = 0, interrupted = 0;
    char byte;
    CHECK(pipe(pipe_ends) == 0);
    handle(SIGALRM, on_alarm, SA_RESTART);
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
    for (int i = 0; i < 30; i++)
        whole += read(pipe_ends[0], &byte, 1) == 1;
    for (int i = 0; i < 30; i++)
        interrupted += poll(NULL, 0, 5000) == -1 && errno == EINTR;
    CHECK(setitimer(ITIMER_REAL, &never, NULL) == 0);
    SHOW("%d reads were restarted, %d polls were not", whole, interrupted);
}

static int cleaned;

static void clean(void *unused)
{
    (void)unused;
    cleaned++;
}

static void *blocks(void *ends)
{
    char byte;
    pthread_cleanup_push(clean, NULL);
    for (;;)
        CHECK(read(((int *)ends)[0], &byte, 1) == 1);
    pthread_cleanup_pop(0);
    return NULL;
}

/* Threads that are cancelled in a read from a rewritten site: unwound through it. */
static void cancelled(void)
{
    int ends[2], left;
    CHECK(pipe(ends) == 0);
    for (int i = 0; i < 10; i++) {
        pthread_t thread;
        void *result;
        CHECK(write(ends[1], "12345678", 8) == 8);
        CHECK(pthread_create(&thread, NULL, blocks, ends) == 0);
        do
            CHECK(ioctl(ends[0], FIONREAD, &left) == 0);
        while (left);
        CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
        CHECK(result == PTHREAD_CANCELED);
    }
    SHOW("%d threads cleaned up", cleaned);
}

int main(int argc, char **argv)
{
    CHECK(argc == 2);
    warm();
    registers();
    writable_text();
    libraries(argv[1]);
    restarts();
    cancelled();
    children();
    own_gs();
    single_steps();
    warm();
    SHOW("end");
    return 0;
}
