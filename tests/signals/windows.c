/*
 * A signal at every instruction where one could be lost: between the look at "pending" and the host
 * call that blocks, on the way out to the application after that look, and on the way in from a
 * rewritten site: in its stub and until its registers are stored.
 *
 * Started as `windows ASHLAR ASHLAR-EXEC`, it runs itself inside as the program, stops it there
 * with a breakpoint in ashlar-exec (ptrace), steps to the instruction, sends SIGUSR1 and lets it go
 * on. The program answers on its standard output once its handler has run and its call has ended.
 */
#include <elf.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>

#include "check.h"

/* ---- the program ---- */

static volatile sig_atomic_t hits;
static volatile unsigned long hit_rip;

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    hit_rip = (unsigned long)((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
    hits++;
}

/*
 * Two sites that are rewritten: registers by a table of eight words (rbx, r12 to r15, r8, r9, r10)
 * that is loaded before and stored after; returns the call's result. The second one has no mov that
 * a jump could replace, but a no-op near.
 */
long site_mov(unsigned long words[8]), site_short(unsigned long words[8]);
extern char site_mov_begin[], site_mov_end[], site_short_begin[], site_short_end[];
asm(".macro site name\n"
    "\\name: push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
    "mov %rdi, %rbp\n"
    "mov (%rdi), %rbx; mov 8(%rdi), %r12; mov 16(%rdi), %r13; mov 24(%rdi), %r14\n"
    "mov 32(%rdi), %r15; mov 40(%rdi), %r8; mov 48(%rdi), %r9; mov 56(%rdi), %r10\n"
    "movq $0x5a5a5a5a, -16(%rsp)\n" /* the red zone */
    ".endm\n"
    ".macro site_end\n"
    "mov %rbx, (%rbp); mov %r12, 8(%rbp); mov %r13, 16(%rbp); mov %r14, 24(%rbp)\n"
    "mov %r15, 32(%rbp); mov %r8, 40(%rbp); mov %r9, 48(%rbp); mov %r10, 56(%rbp)\n"
    "cmpq $0x5a5a5a5a, -16(%rsp); je 1f; ud2\n"
    "1: pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
    "ret\n"
    ".endm\n"
    ".p2align 8\n"
    "site site_mov\n"
    "site_mov_begin: mov $110, %eax; syscall; site_mov_end: site_end\n"
    ".byte 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0\n"
    "site site_short\n"
    "mov $110, %esi; xchg %esi, %eax\n"
    "site_short_begin: syscall; site_short_end: site_end\n");

/* Makes a call from a rewritten site; the signal that arrives shows the program there or after. */
static void enter(long (*site)(unsigned long *), const char *begin, const char *end)
{
    unsigned long words[8], before[8];
    int hits_before = hits;
    for (int i = 0; i < 8; i++)
        words[i] = before[i] = 0x1111111111111111ul * (unsigned long)(i + 1);
    CHECK(site(words) == getppid());
    CHECK(memcmp(words, before, sizeof words) == 0);
    CHECK(hits == hits_before + 1);
    CHECK(hit_rip >= (unsigned long)begin && hit_rip <= (unsigned long)end);
}

/*
 * For each byte on standard input: 'b': blocks for ever; 'l': leaves a call and then makes none;
 * 'm', 's': enters a call from a rewritten site of the one form and the other.
 */
static int program(void)
{
    int fds[2];
    char c;
    CHECK(pipe(fds) == 0);
    handle(SIGUSR1, on_signal, 0);
    unsigned long words[8] = {0};
    for (int i = 0; i < 20; i++) /* in this order: they have the first two stubs */
        site_mov(words);
    for (int i = 0; i < 20; i++)
        site_short(words);
    SHOW("%d %d", getpid(), fds[0]);
    while (read(0, &c, 1) == 1) {
        int before = hits;
        if (c == 'b') {
            char never;
            CHECK(syscall(SYS_read, fds[0], &never, 1) == -1 && errno == EINTR);
            CHECK(hits == before + 1);
        } else if (c == 'm') {
            enter(site_mov, site_mov_begin, site_mov_end);
        } else if (c == 's') {
            enter(site_short, site_short_begin, site_short_end);
        } else {
            syscall(SYS_getppid);
            while (hits == before)
                ;
        }
        CHECK(write(1, ".", 1) == 1);
    }
    return 0;
}

/* ---- the tester ---- */

static pid_t target;
static int to_program, from_program, blocking_fd;

static unsigned long symbol(const char *path, const char *name)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0 && fstat(fd, &st) == 0);
    char *file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    const Elf64_Ehdr *head = (const Elf64_Ehdr *)file;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(file + head->e_shoff);
    for (int i = 0; i < head->e_shnum; i++) {
        if (sections[i].sh_type != SHT_SYMTAB)
            continue;
        const Elf64_Sym *symbols = (const Elf64_Sym *)(file + sections[i].sh_offset);
        const char *names = file + sections[sections[i].sh_link].sh_offset;
        for (size_t k = 0; k < sections[i].sh_size / sizeof *symbols; k++)
            if (strcmp(names + symbols[k].st_name, name) == 0)
                return symbols[k].st_value;
    }
    CHECK(!"the symbol is there");
    return 0;
}

/* Goes on until the program stops for a signal; its other signals are let through. */
static void go_to(int how, int wanted)
{
    int status, signal = 0;
    do {
        CHECK(ptrace(how, target, 0, signal) == 0);
        CHECK(waitpid(target, &status, __WALL) == target && WIFSTOPPED(status));
        signal = WSTOPSIG(status);
        how = PTRACE_CONT;
    } while (signal != wanted);
}

/* Takes hold of the program and stops it; a signal that comes first is let through. */
static void stop(void)
{
    int status;
    CHECK(ptrace(PTRACE_SEIZE, target, 0, 0) == 0);
    CHECK(ptrace(PTRACE_INTERRUPT, target, 0, 0) == 0);
    while (waitpid(target, &status, __WALL) == target && status >> 16 != PTRACE_EVENT_STOP)
        CHECK(ptrace(PTRACE_CONT, target, 0, WSTOPSIG(status)) == 0);
}

static unsigned long reg(size_t offset)
{
    return (unsigned long)ptrace(PTRACE_PEEKUSER, target, offset, 0);
}
#define REG(name) reg(offsetof(struct user_regs_struct, name))

/* Whether a pass of `begin` is that of the command's own call, by what the monitor has there. */
static int is_pass(char command)
{
    const unsigned long orig_rax = 15 * 8; /* in struct regs, which rdi points to */
    if (command == 'm' || command == 's')
        return 1; /* nobody else uses that stub */
    if (command == 'b')
        return REG(rdi) == (unsigned long)blocking_fd;
    return ptrace(PTRACE_PEEKDATA, target, REG(rdi) + orig_rax, 0) == SYS_getppid;
}

static const char *name_of(char command)
{
    return command == 'b' ? "blocking" : command == 'l' ? "leaving" : "entering";
}

/* Single-steps; pushf would let the program see the trap flag that does it. */
static void step(unsigned long code)
{
    go_to(PTRACE_SINGLESTEP, SIGTRAP);
    if ((code & 0xff) != 0x9c)
        return;
    long word = ptrace(PTRACE_PEEKDATA, target, REG(rsp), 0);
    CHECK(ptrace(PTRACE_POKEDATA, target, REG(rsp), word & ~0x100l) == 0);
}

/* Where the steps may go on, besides the range that they begin in. */
static unsigned long more_begin, more_end;

/*
 * Sends the command, stops at its pass of `begin`, steps `steps` instructions on, and sends the
 * signal there. Returns whether that was still within [begin, end).
 */
static int attempt(char command, unsigned long begin, unsigned long end, int steps)
{
    stop();
    unsigned long word = (unsigned long)ptrace(PTRACE_PEEKTEXT, target, begin, 0);
    unsigned long trap = (word & ~0xfful) | 0xcc;
    CHECK(write(to_program, &command, 1) == 1);
    for (int found = 0; !found;) {
        CHECK(ptrace(PTRACE_POKETEXT, target, begin, trap) == 0);
        go_to(PTRACE_CONT, SIGTRAP);
        CHECK(REG(rip) == begin + 1);
        CHECK(ptrace(PTRACE_POKETEXT, target, begin, word) == 0);
        CHECK(ptrace(PTRACE_POKEUSER, target, offsetof(struct user_regs_struct, rip), begin) == 0);
        found = is_pass(command);
        if (!found)
            go_to(PTRACE_SINGLESTEP, SIGTRAP);
    }
    int within = 1;
    for (int i = 0; i < steps && within; i++) {
        unsigned long code = (unsigned long)ptrace(PTRACE_PEEKTEXT, target, REG(rip), 0);
        if ((code & 0xffff) == 0x050f) /* the host call itself: it would block */
            within = 0;
        else
            step(code);
        within = within && ((REG(rip) >= begin && REG(rip) < end) ||
                            (REG(rip) >= more_begin && REG(rip) < more_end));
    }
    /* Stepping over popf makes the trap flag look like the program's own. */
    CHECK(ptrace(PTRACE_POKEUSER, target, offsetof(struct user_regs_struct, eflags),
                 REG(eflags) & ~0x100ul) == 0);
    CHECK(syscall(SYS_tgkill, target, target, SIGUSR1) == 0);
    go_to(PTRACE_CONT, SIGUSR1);
    /* It goes on alone: each of its system calls would be a stop of ours. */
    CHECK(ptrace(PTRACE_DETACH, target, 0, SIGUSR1) == 0);
    struct pollfd answer = {from_program, POLLIN, 0};
    if (poll(&answer, 1, 5000) != 1) {
        SHOW("lost: %s, %d instructions on", name_of(command), steps);
        kill(target, SIGKILL);
        exit(1);
    }
    char text[256] = {0};
    if (read(from_program, text, sizeof text - 1) <= 0)
        strcpy(text, "the program has ended");
    if (strcmp(text, ".") != 0) {
        SHOW("%s, %d instructions on: %s", name_of(command), steps, text);
        exit(1);
    }
    return within;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "program") == 0)
        return program();
    CHECK(argc == 3);
    const char *ashlar = argv[1], *exec = argv[2];
    unsigned long intr_begin = symbol(exec, "intr_begin"), intr_end = symbol(exec, "intr_end");
    unsigned long exit_begin = symbol(exec, "exit_begin"), exit_end = symbol(exec, "exit_end");
    int in[2], out[2], status;
    char line[32] = {0}, *self = realpath("/proc/self/exe", NULL);

    CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    pid_t run = fork();
    if (run == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl(ashlar, "ashlar", "run", "--", self, "program", NULL);
        _exit(127);
    }
    close(in[0]), close(out[1]);
    to_program = in[1], from_program = out[0];
    for (size_t n = 0; n + 1 < sizeof line && read(from_program, line + n, 1) == 1; n++)
        if (line[n] == '\n')
            break;
    CHECK(sscanf(line, "%d %d", &target, &blocking_fd) == 2);

    int blocking = 0, leaving = 0;
    while (attempt('b', intr_begin, intr_end, blocking))
        blocking++;
    while (attempt('l', exit_begin, exit_end, leaving))
        leaving++;
    /* The program's strip of stubs: process/kernel/entry/stubs.h, loader.h. */
    const unsigned long stubs = 0x155555554000 - 0x20000, stub_bytes = 32;
    int entering[2] = {0};
    more_begin = symbol(exec, "fast_entry"), more_end = symbol(exec, "fast_begun");
    for (int form = 0; form < 2; form++) {
        unsigned long at = stubs + (unsigned long)form * stub_bytes;
        while (attempt("ms"[form], at, at + stub_bytes, entering[form]))
            entering[form]++;
    }
    SHOW("%d instructions before a call that blocks, %d on the way out, %d and %d on the way in",
         blocking, leaving, entering[0], entering[1]);
    close(to_program);
    CHECK(waitpid(run, &status, 0) == run);
    return blocking < 2 || leaving < 10 || entering[0] < 20 || entering[1] < 20 || status != 0;
}
