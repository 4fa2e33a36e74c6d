/*
 * A signal at every instruction where one could be lost: between the look at "pending" and the host
 * call that blocks, and on the way out to the application after that look.
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

static void on_signal(int signal, siginfo_t *info, void *context)
{
    (void)signal;
    (void)info;
    (void)context;
    hits++;
}

/* For each byte on standard input: 'b': blocks for ever; 'l': leaves a call and then makes none. */
static int program(void)
{
    int fds[2];
    char c;
    CHECK(pipe(fds) == 0);
    handle(SIGUSR1, on_signal, 0);
    SHOW("%d %d", getpid(), fds[0]);
    while (read(0, &c, 1) == 1) {
        int before = hits;
        if (c == 'b') {
            char never;
            CHECK(syscall(SYS_read, fds[0], &never, 1) == -1 && errno == EINTR);
            CHECK(hits == before + 1);
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

/* Where ashlar-exec lies in the program's process: the host's own view, its lowest mapping. */
static unsigned long base_of(const char *exec)
{
    char path[64], line[4096], *real = realpath(exec, NULL);
    unsigned long at = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", target);
    FILE *maps = fopen(path, "r");
    CHECK(maps && real);
    while (!at && fgets(line, sizeof line, maps))
        if (strstr(line, real))
            at = strtoul(line, NULL, 16);
    fclose(maps);
    CHECK(at);
    return at;
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
    if (command == 'b')
        return REG(rdi) == (unsigned long)blocking_fd;
    return ptrace(PTRACE_PEEKDATA, target, REG(rdi) + orig_rax, 0) == SYS_getppid;
}

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
            go_to(PTRACE_SINGLESTEP, SIGTRAP);
        within = within && REG(rip) >= begin && REG(rip) < end;
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
        SHOW("lost: %s, %d instructions after the look", command == 'b' ? "blocking" : "leaving",
             steps);
        kill(target, SIGKILL);
        exit(1);
    }
    char text[256] = {0};
    if (read(from_program, text, sizeof text - 1) <= 0)
        strcpy(text, "the program has ended");
    if (strcmp(text, ".") != 0) {
        SHOW("%s, %d instructions after the look: %s", command == 'b' ? "blocking" : "leaving",
             steps, text);
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
    unsigned long base = base_of(exec);

    int blocking = 0, leaving = 0;
    while (attempt('b', base + intr_begin, base + intr_end, blocking))
        blocking++;
    while (attempt('l', base + exit_begin, base + exit_end, leaving))
        leaving++;
    SHOW("%d instructions before a call that blocks, %d on the way out", blocking, leaving);
    close(to_program);
    CHECK(waitpid(run, &status, 0) == run);
    return blocking < 2 || leaving < 10 || status != 0;
}
