/*
 * Floating point and vector state: the same before and after a handler and a system call, initial
 * in a handler; with lines leaving the ExCache all the time.
 */
#include <sys/mman.h>
#include <sys/time.h>

#include "check.h"

enum { BIG = 96 << 20 };

static volatile sig_atomic_t hits;
static unsigned char *big;
static volatile unsigned entry_mxcsr, entry_cw;
static int has_avx;

struct vectors {
    unsigned char bytes[16][32];
    unsigned mxcsr;
    unsigned short cw;
} __attribute__((aligned(32)));

#define EACH(op)                                                                                   \
    op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) \
        op(15)
#define LOAD_AVX(n)  "vmovdqu 32*" #n "(%0), %%ymm" #n "\n\t"
#define STORE_AVX(n) "vmovdqu %%ymm" #n ", 32*" #n "(%1)\n\t"
#define LOAD_SSE(n)  "movdqu 32*" #n "(%0), %%xmm" #n "\n\t"
#define STORE_SSE(n) "movdqu %%xmm" #n ", 32*" #n "(%1)\n\t"
#define CLOBBERS                                                                                   \
    "memory", "rcx", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",        \
        "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"

static void on_signal(int signal, siginfo_t *info, void *context)
{
    unsigned mxcsr;
    unsigned short cw;
    (void)signal;
    (void)info;
    (void)context;
    asm volatile("stmxcsr %0; fnstcw %1" : "=m"(mxcsr), "=m"(cw));
    entry_mxcsr = mxcsr;
    entry_cw = cw;
    hits++;
    /* Everything that a handler may spoil, and memory that is not here. */
    asm volatile("pcmpeqb %%xmm0, %%xmm0; pcmpeqb %%xmm7, %%xmm7; pcmpeqb %%xmm15, %%xmm15; fninit;"
                 "fldpi"
                 :
                 :
                 : "xmm0", "xmm7", "xmm15");
    for (size_t i = 0; i < BIG; i += BIG / 16)
        big[i + (size_t)(hits & 4095)]++;
    asm volatile("fninit");
}

/* Fills every register, makes a system call (or spins over memory), reads them all back. */
static void round_trip(struct vectors *in, struct vectors *out, long call, long a, long b)
{
    memset(out, 0, sizeof *out);
    asm volatile("ldmxcsr %0; fldcw %1" : : "m"(in->mxcsr), "m"(in->cw));
    if (has_avx)
        asm volatile(EACH(LOAD_AVX) "syscall\n\t" EACH(STORE_AVX)
                     :
                     : "r"(in), "r"(out), "a"(call), "D"(a), "S"(b), "d"(0)
                     : CLOBBERS);
    else
        asm volatile(EACH(LOAD_SSE) "syscall\n\t" EACH(STORE_SSE)
                     :
                     : "r"(in), "r"(out), "a"(call), "D"(a), "S"(b), "d"(0)
                     : CLOBBERS);
    asm volatile("stmxcsr %0; fnstcw %1" : "=m"(out->mxcsr), "=m"(out->cw));
    asm volatile("fninit");
}

static int same(const struct vectors *a, const struct vectors *b)
{
    for (int i = 0; i < 16; i++)
        if (memcmp(a->bytes[i], b->bytes[i], has_avx ? 32 : 16) != 0)
            return 0;
    return (a->mxcsr & ~0x3fu) == (b->mxcsr & ~0x3fu) && a->cw == b->cw;
}

static struct vectors in, out;

int main(void)
{
    has_avx = __builtin_cpu_supports("avx");
    big = mmap(NULL, BIG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(big != MAP_FAILED);
    memset(big, 1, BIG);
    for (size_t i = 0; i < sizeof in.bytes; i++)
        ((unsigned char *)in.bytes)[i] = (unsigned char)(i * 37 + 11);
    in.mxcsr = 0x1f80 | 0x6000; /* towards zero */
    in.cw = 0x0f7f;
    handle(SIGUSR1, on_signal, 0);

    int bad = 0;
    for (int i = 0; i < 2000; i++) {
        in.bytes[i & 15][i & 31]++;
        round_trip(&in, &out, 39, 0, 0); /* getpid */
        bad += !same(&in, &out);
        round_trip(&in, &out, 62, getpid(), SIGUSR1); /* kill: a handler before it returns */
        bad += !same(&in, &out);
        big[(size_t)i * 4096 * 7 % BIG]++;
    }
    SHOW("across calls: %d bad, %d handlers", bad, (int)hits);
    SHOW("in the handler: mxcsr %x cw %x", entry_mxcsr, entry_cw);

    /* Anywhere in a computation. */
    struct itimerval every = {{0, 997}, {0, 997}};
    hits = 0;
    handle(SIGALRM, on_signal, SA_RESTART);
    setitimer(ITIMER_REAL, &every, NULL);
    double sum = 0;
    unsigned long hash = 0;
    for (int pass = 0; pass < 6; pass++)
        for (size_t i = 0; i < BIG; i += 512) {
            double x = (double)(i & 0xffff) * 1.000001 + pass;
            sum += x / (1.0 + x * x);
            hash = hash * 31 + (unsigned long)(x * 1000);
        }
    while (hits < 20)
        sum += 0;
    every = (struct itimerval){0};
    setitimer(ITIMER_REAL, &every, NULL);
    SHOW("sum %.17g hash %lx", sum, hash);
    return 0;
}
