/*
 * The program into the empty window: images, heap, stack, auxiliary vector.
 *
 * Layout: a PIE low in the window, the heap after the program, mappings downwards from below where
 * the stack may grow to, the stack at the top; each at a random distance, unless personality() says
 * otherwise, as on Linux.
 */
#include <linux/auxvec.h>
#include <linux/mman.h>
#include <linux/personality.h>
#include <linux/resource.h>

#include "../entry/rewrite.h"
#include "../entry/stubs.h"
#include "../entry/thread.h"
#include "../host/host.h"
#include "../mm/mm.h"
#include "../mm/uaccess.h"
#include "../proc/proc.h"
#include "elf_file.h"
#include "loader.h"

#define MAP_FIXED     0x10
#define MAP_NORESERVE 0x4000
#define STACK_BEGIN   (128ull << 10) /* beside the arguments */
#define STACK_GUARD   (1ull << 20)
#define STACK_ROOM    (128ull << 20) /* kept free at least, for who raises the limit, as on Linux */

/* 0 where personality() has addresses fixed. */
static uint64_t random_lines(bool fixed, unsigned bits)
{
    uint64_t n = 0;
    if (fixed)
        return 0;
    host_call(__NR_getrandom, &n, sizeof n, 0);
    return (n & ((1ull << bits) - 1)) << LINE_SHIFT;
}

static void check(long rc, const char *what, const struct program *program)
{
    if (rc < 0)
        host_die("cannot load %s: %s (error %ld)", program->file.path, what, -rc);
}

/* Pushes bytes onto the new stack. */
static uint64_t push(uint64_t *sp, const void *data, size_t size)
{
    *sp -= size;
    if (user_write(*sp, data, size) < 0)
        host_die("the first stack of the program cannot be written");
    return *sp;
}

static uint32_t count(const char *const *texts)
{
    uint32_t n = 0;
    while (texts[n])
        n++;
    return n;
}

/* Pushes the texts, last first, and leaves their addresses in out[]. */
static void push_texts(uint64_t *sp, const char *const *texts, uint32_t n, uint64_t *out)
{
    for (uint32_t i = n; i-- > 0;)
        out[i] = push(sp, texts[i], strlen(texts[i]) + 1);
}

/* The auxiliary vector, from the host's where the host's is right. Returns its words. */
static uint32_t make_auxv(struct process *p, const struct elf_image *image, uint64_t interpreter,
                          uint64_t random, uint64_t platform, uint64_t name)
{
    /* The first ones are there even where they are 0: GLib ends without AT_SECURE. */
    enum { ALWAYS = 9 };
    static const uint64_t from_host[] = {AT_HWCAP,  AT_PAGESZ,       AT_CLKTCK, AT_UID,
                                         AT_EUID,   AT_GID,          AT_EGID,   AT_SECURE,
                                         AT_HWCAP2, AT_SYSINFO_EHDR, 51};
    uint64_t pairs[][2] = {{AT_PHDR, image->phdr_address},
                           {AT_PHENT, sizeof(Elf64_Phdr)},
                           {AT_PHNUM, image->phdr_count},
                           {AT_BASE, interpreter},
                           {AT_FLAGS, 0},
                           {AT_ENTRY, image->entry},
                           {AT_RANDOM, random},
                           {AT_EXECFN, name},
                           {AT_PLATFORM, platform}};
    uint32_t n = 0;
    /* Who would set %gs by an instruction is to ask with arch_prctl. */
    const uint64_t hidden = rewrite_uses_gs() ? HWCAP2_FSGSBASE : 0;
    for (uint32_t i = 0; i < sizeof from_host / sizeof from_host[0]; i++) {
        if (i < ALWAYS || host_auxv[from_host[i]]) {
            p->auxv[n++] = from_host[i];
            p->auxv[n++] = host_auxv[from_host[i]] & ~(from_host[i] == AT_HWCAP2 ? hidden : 0);
        }
    }
    for (uint32_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        p->auxv[n++] = pairs[i][0];
        p->auxv[n++] = pairs[i][1];
    }
    p->auxv[n++] = AT_NULL;
    p->auxv[n++] = 0;
    return n;
}

static uint64_t build_stack(struct thread *t, const char *named, const struct elf_image *image,
                            uint64_t interpreter, uint64_t top, const char *const *argv,
                            const char *const *envp)
{
    uint32_t argc = count(argv), envc = count(envp);
    uint64_t zero = 0, sp = top, random_bytes[2];
    size_t table_size = (argc + envc + 2) * sizeof(uint64_t);
    uint64_t *table = host_alloc(table_size);
    if (!table)
        host_die("out of memory for the program's arguments");

    host_call(__NR_getrandom, random_bytes, sizeof random_bytes, 0);
    push(&sp, &zero, sizeof zero);
    uint64_t name = push(&sp, named, strlen(named) + 1);
    mm.layout.environment_end = sp;
    push_texts(&sp, envp, envc, table + argc + 1);
    mm.layout.arguments_end = sp;
    push_texts(&sp, argv, argc, table);
    mm.layout.arguments = sp;
    uint64_t platform = push(&sp, "x86_64", 7);
    sp &= ~(uint64_t)15;
    uint64_t random = push(&sp, random_bytes, sizeof random_bytes);
    uint32_t words = make_auxv(t->process, image, interpreter, random, platform, name);

    /* The stack pointer is 16-byte aligned at argc. */
    size_t below = words * sizeof(uint64_t) + table_size + sizeof(uint64_t);
    sp = (sp - below) & ~(uint64_t)15;
    uint64_t at = sp + below;
    push(&at, t->process->auxv, words * sizeof(uint64_t));
    push(&at, table, table_size);
    uint64_t argc_word = argc;
    push(&at, &argc_word, sizeof argc_word);
    host_free(table, table_size);
    return sp;
}

static uint64_t texts_bytes(const char *const *texts)
{
    uint64_t size = 0;
    for (; *texts; texts++)
        size += strlen(*texts) + 1;
    return size;
}

/* What there is of the stack at first, as on Linux: the texts and a little more, within the limit.
 */
static uint64_t stack_begin(uint64_t limit, const char *named, const char *const *argv,
                            const char *const *envp)
{
    uint64_t texts = texts_bytes(argv) + texts_bytes(envp) + strlen(named) + 1 + sizeof(uint64_t);
    texts = (texts + LINE_SIZE - 1) & ~(uint64_t)(LINE_SIZE - 1);
    limit &= ~(uint64_t)(LINE_SIZE - 1);
    return limit < texts ? texts : limit < texts + STACK_BEGIN ? limit : texts + STACK_BEGIN;
}

/*
 * Where mappings begin, downwards: the stack may grow until there. Either way libraries reach stubs
 * (entry/stubs.h), above the stack or below the place of position-independent programs.
 */
static uint64_t mappings_top(uint64_t stack_top, uint64_t limit)
{
    return limit > STACK_ROOM ? PIE_BASE - STUB_PAGES * LINE_SIZE
                              : stack_top - STACK_ROOM - STACK_GUARD;
}

/* Where the three pieces of a program will lie is asked for together. `base` is where the program
   goes, if it may go anywhere. Only a matter of speed: else each asks for itself. */
static void expect_memory(const struct program *program, uint64_t base, uint64_t stack_top,
                          uint64_t stack_size)
{
    struct mm_range ranges[3] = {{stack_top - stack_size, stack_top}};
    uint32_t count = 1;
    if (elf_range(&program->file, &program->head, base, &ranges[count]))
        count++;
    if (program->has_interpreter &&
        elf_range(&program->interpreter, &program->interpreter_head, 0, &ranges[count])) {
        uint64_t size = ranges[count].end - ranges[count].from;
        ranges[count++] = (struct mm_range){mm.mmap_top - size, mm.mmap_top};
    }
    (void)!mm_expect(ranges, count);
}

void program_load(struct thread *t, const struct program *program, const char *named,
                  const char *const *argv, const char *const *envp)
{
    struct elf_image image, interpreter = {0};
    bool fixed = host_call(__NR_personality, 0xffffffff) & ADDR_NO_RANDOMIZE;
    uint64_t stack_top = WINDOW_END - LINE_SIZE - random_lines(fixed, 18);
    uint64_t stack_limit = t->process->limits[KEPT_STACK].soft;
    uint64_t stack_size = stack_begin(stack_limit, named, argv, envp);

    mm.mmap_top = mappings_top(stack_top, stack_limit) - random_lines(fixed, 16);
    uint64_t base = PIE_BASE + random_lines(fixed, 18);
    expect_memory(program, base, stack_top, stack_size);
    check(mm_map(stack_top - stack_size, stack_size, PROT_READ | PROT_WRITE,
                 MAP_FIXED | MAP_NORESERVE | MAP_GROWSDOWN, NULL, 0, VMA_STACK),
          "its stack", program);
    check(elf_map(&program->file, &program->head, base, &image), "its segments", program);
    mm.brk_start = mm.brk =
        ((image.end + LINE_SIZE - 1) & ~(uint64_t)(LINE_SIZE - 1)) + random_lines(fixed, 10);
    if (program->has_interpreter)
        check(elf_map(&program->interpreter, &program->interpreter_head, 0, &interpreter),
              "its interpreter", program);
    check(elf_clear(&program->file, &program->head, &image), "its data", program);
    if (program->has_interpreter)
        check(elf_clear(&program->interpreter, &program->interpreter_head, &interpreter),
              "its interpreter's data", program);
    /* /proc/self/exe names the file itself, without links on the way. */
    text_copy(t->process->program, sizeof t->process->program,
              program->head.real[0] ? program->head.real : program->file.path);
    uint64_t sp = build_stack(t, named, &image, interpreter.base, stack_top, argv, envp);
    mm.layout.stack = sp;
    proc_introduce(t->process, argv, envp);
    t->regs = (struct regs){.orig_rax = (uint64_t)-1,
                            .rflags = 0x202,
                            .rsp = sp,
                            .rip = program->has_interpreter ? interpreter.entry : image.entry};
}
