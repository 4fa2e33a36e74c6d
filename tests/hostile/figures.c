/*
 * Processes whose ashlar-exec has garbage for its state, and one that looks at them in /proc: it
 * gets some text, or an error, and goes on. usage: figures SEED MM PROCESS TABLES: where
 * ashlar-exec has `mm`, `first_process` and `tables`.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../process/kernel/entry/process.h"
#include "../../process/kernel/entry/thread.h"
#include "../../process/kernel/mm/mm.h"
#include "../../process/kernel/signals/signals.h"

enum { FILES = 11, SLOW_S = 30, ROUNDS = 8 };
static const char *const files[FILES] = {"maps",    "smaps",   "smaps_rollup", "numa_maps",
                                         "status",  "stat",    "statm",        "limits",
                                         "cmdline", "environ", "task"};

static struct mm *theirs;
static struct process *process;
static uint32_t **tables;
static uint64_t state;
static volatile int *done; /* shared with who looks */

static uint64_t next(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static struct vma vmas[VMA_MAX];
static char paths[VMA_MAX * 8 + 2 * sizeof(struct vma_file)];

/* ---- what is done to ashlar-exec ---- */

static void many_names(void)
{
    memset(paths, '/', sizeof paths); /* records over one another, none of them with an end */
    for (uint64_t i = 0; i < VMA_MAX; i++)
        vmas[i] = (struct vma){.first = {16 + 2 * i},
                               .end = {17 + 2 * i},
                               .file = (struct vma_file *)(paths + i % 1000 * 8),
                               .prot = 255,
                               .name = 255};
    theirs->vmas = vmas;
    theirs->vma_count = VMA_MAX;
}
static void no_names(void)
{
    many_names();
    for (uint64_t i = 0; i < VMA_MAX; i++)
        vmas[i].file = (struct vma_file *)(next() >> i % 64);
}
static void disorder(void)
{
    for (uint64_t i = 0; i < VMA_MAX; i++)
        vmas[i] = (struct vma){.first = {next() >> next() % 64}, .end = {next() >> next() % 64}};
    theirs->vmas = vmas;
    theirs->vma_count = VMA_MAX;
}
static void one_over_all(void)
{
    static uint32_t words[VREGION_LINES];
    memset(words, 255, sizeof words);
    for (uint64_t i = 0; i < VREGION_COUNT; i++)
        tables[i] = words;
    vmas[0] = (struct vma){.first = {16}, .end = {WINDOW_END >> LINE_SHIFT}};
    theirs->vmas = vmas;
    theirs->vma_count = 1;
}
static void far_too_many(void)
{
    theirs->vma_count = ~0u;
}
static void no_array(void)
{
    theirs->vmas = (struct vma *)(next() >> 1);
}
static void array_that_ends(void)
{
    theirs->vmas = (struct vma *)0x7fffffffe000;
}
static void table_addresses(void)
{
    for (uint64_t i = 0; i < VREGION_COUNT; i++)
        tables[i] = (uint32_t *)next();
}
static void threads_in_a_ring(void)
{
    process->threads->next = process->threads;
    process->threads->tid = 1;
}
static void wild_pointers(void)
{
    process->threads = (struct thread *)next();
    process->actions = (struct signal_actions *)next();
}
static void long_strings(void)
{
    theirs->layout.arguments_end = theirs->layout.arguments + (1ull << 62);
    theirs->layout.environment_end = 1;
}
static void strings_elsewhere(void)
{
    theirs->layout.arguments = 0x500000000000;
    theirs->layout.arguments_end = 0x500000010001;
    theirs->layout.environment_end = 0x500000020000;
}
static void a_writer_for_ever(void)
{
    theirs->lock.writer = 1;
}
static void noise(void)
{
    for (uint64_t i = 0; i < sizeof *theirs / 8; i++)
        ((uint64_t *)theirs)[i] = next() >> next() % 64;
    for (uint64_t i = 0; i < sizeof *process / 8; i++)
        ((uint64_t *)process)[i] = next() >> next() % 64;
    theirs->vma_count = (uint32_t)(next() % VMA_MAX);
    theirs->vmas = vmas;
    for (uint64_t i = 0; i < sizeof vmas / 8; i++)
        ((uint64_t *)vmas)[i] = next() >> next() % 64;
}
static void always_another(void)
{
    many_names();
    *done = 1;
    for (;;) {
        struct vma *v = &vmas[next() % VMA_MAX];
        v->first.n = next() >> 30;
        v->file = (struct vma_file *)(paths + next() % sizeof paths);
        paths[next() % sizeof paths] = (char)next();
        theirs->vma_count = (uint32_t)(next() % VMA_MAX);
    }
}

static const struct {
    const char *name;
    void (*act)(void);
} acts[] = {
    {"many names", many_names},
    {"no names", no_names},
    {"disorder", disorder},
    {"one over all", one_over_all},
    {"far too many", far_too_many},
    {"no array", no_array},
    {"an array that ends", array_that_ends},
    {"table addresses", table_addresses},
    {"a ring", threads_in_a_ring},
    {"wild pointers", wild_pointers},
    {"long strings", long_strings},
    {"strings elsewhere", strings_elsewhere},
    {"a writer", a_writer_for_ever},
    {"noise", noise},
    {"always another", always_another},
};

/* ---- who looks at it ---- */

static char text[1 << 16];

/* Reads all of a file; false: that took too long. */
static int look(pid_t pid, const char *name)
{
    char path[64];
    time_t since = time(NULL);
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY);
    while (fd >= 0 && read(fd, text, sizeof text) > 0)
        ;
    if (fd >= 0)
        close(fd);
    return time(NULL) - since < SLOW_S;
}

/* One act, in a child that makes no call any more once it is done. */
static int survive(void (*act)(void))
{
    int slow = 0;
    *done = 0;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        memset(vmas, 1, sizeof vmas); /* its lines are there from now on */
        memset(paths, 1, sizeof paths);
        act();
        *done = 1;
        for (;;)
            __builtin_ia32_pause();
    }
    while (!*done)
        usleep(1000);
    for (int i = 0; i < FILES; i++)
        slow += !look(pid, files[i]);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return slow;
}

int main(int argc, char **argv)
{
    int slow = 0;
    if (argc != 5)
        return 2;
    done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *done = 0;
    state = strtoull(argv[1], NULL, 10) * 0x9e3779b97f4a7c15 + 1;
    theirs = (struct mm *)strtoull(argv[2], NULL, 16);
    process = (struct process *)strtoull(argv[3], NULL, 16);
    tables = (uint32_t **)strtoull(argv[4], NULL, 16);
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        int n = survive(acts[i].act);
        if (n)
            printf("%s: %d slow\n", acts[i].name, n);
        slow += n;
    }
    for (int i = 0; i < ROUNDS; i++, next())
        slow += survive(noise);
    printf("%d slow\n", slow);
    return 0;
}
