/*
 * A process that holds much memory, and many forked from it that live at the same time; a third of
 * them are children of children.
 *
 * Usage: forks MEBIBYTES PROCESSES PAGES SAMPLE. Fills its memory, then forks. Each process changes
 * PAGES pages of its own choice, looks at these and at SAMPLE others, and waits. When all are there
 * the first one prints "there" and reads a line; then it changes PAGES pages itself, and lets the
 * others go on: each looks again at what it changed, which by then is to have left the ExCache,
 * changes it once more, and ends. The first process looks at every page, and prints "right".
 *
 * A page holds its number, who changed it last (0: the first process), and how often; what a
 * process must find is what it inherited, and what it did itself.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, WORDS = PAGE / 8, EACH_HAS_A_CHILD = 3, MARKS = 3 };

static uint64_t *memory, pages, changes, sample;
static int there[2], go[2];

/* What this process and those that it comes from changed: the later ones count. */
static struct mark {
    uint64_t who, times;
} marks[MARKS];
static unsigned mark_count;

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 31) * 0x94d049bb133111ebull;
    return x ^ x >> 29;
}

static uint64_t page_of(uint64_t who, uint64_t i)
{
    return mix(who * 0x9e3779b97f4a7c15ull + i * 0xbf58476d1ce4e5b9ull + 1) % pages;
}

static void put(uint64_t page, uint64_t who, uint64_t times)
{
    uint64_t *words = memory + page * WORDS;
    words[0] = words[WORDS / 2] = page;
    words[1] = words[WORDS - 1] = who << 8 | times;
}

static int holds(uint64_t page, uint64_t who, uint64_t times)
{
    const uint64_t *words = memory + page * WORDS, value = who << 8 | times;
    if (words[0] == page && words[WORDS / 2] == page && words[1] == value &&
        words[WORDS - 1] == value && words[2] == 0)
        return 1;
    fprintf(stderr,
            "process %lu, page %lu: %lu %lu, of process %lu the %lu. time, not %lu the %lu.\n",
            mark_count ? marks[mark_count - 1].who : 0, page, words[0], words[WORDS / 2],
            words[1] >> 8, words[1] & 255, who, times);
    return 0;
}

/* What a page must hold here. */
static int is_right(uint64_t page)
{
    struct mark last = {0, 0};
    for (unsigned m = 0; m < mark_count; m++)
        for (uint64_t i = 0; i < changes; i++)
            if (page_of(marks[m].who, i) == page)
                last = marks[m];
    return holds(page, last.who, last.times);
}

static void change(struct mark *own)
{
    own->times++;
    for (uint64_t i = 0; i < changes; i++)
        put(page_of(own->who, i), own->who, own->times);
}

/* At what this process changed last, and at `count` other pages. */
static int look(uint64_t turn, uint64_t count)
{
    int right = 1;
    for (uint64_t i = 0; i < changes; i++)
        right &= is_right(page_of(marks[mark_count - 1].who, i));
    for (uint64_t i = 0; i < count; i++)
        right &= is_right(page_of(marks[mark_count - 1].who << 8 | turn, i));
    return right;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void begin(uint64_t who, int with_child);

static int wait_for(pid_t pid)
{
    int status;
    return waitpid(pid, &status, 0) == pid && status == 0;
}

/* Forks process `who`. */
static pid_t start(uint64_t who, int with_child)
{
    pid_t pid = fork();
    if (pid < 0)
        fail("fork");
    if (pid == 0)
        begin(who, with_child);
    return pid;
}

static void begin(uint64_t who, int with_child)
{
    char byte = 1;
    close(go[1]); /* who waits for its end must not have it */
    marks[mark_count++] = (struct mark){who, 0};
    change(&marks[mark_count - 1]);
    int right = look(1, sample);
    pid_t child = with_child ? start(who + 1, 0) : 0;
    if (write(there[1], &byte, 1) != 1 || read(go[0], &byte, 1) != 0)
        fail("pipe");
    right &= look(2, sample / 8);
    change(&marks[mark_count - 1]);
    right &= look(3, sample / 8);
    if (child)
        right &= wait_for(child);
    _exit(right ? 0 : 1);
}

int main(int argc, char **argv)
{
    if (argc != 5)
        return 2;
    pages = strtoull(argv[1], NULL, 0) << 20 >> 12;
    uint64_t processes = strtoull(argv[2], NULL, 0), wrong = 0;
    changes = strtoull(argv[3], NULL, 0);
    sample = strtoull(argv[4], NULL, 0);
    pid_t *children = calloc(processes + 1, sizeof *children);
    memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!children || memory == MAP_FAILED || pipe(there) < 0 || pipe(go) < 0)
        fail("start");
    for (uint64_t page = 0; page < pages; page++)
        put(page, 0, 0);
    for (uint64_t who = 1; who <= processes; who++) {
        int with_child = who % EACH_HAS_A_CHILD == 1 && who < processes;
        children[who] = start(who, with_child);
        who += (uint64_t)with_child;
    }
    for (uint64_t n = 0; n < processes; n++) {
        char byte;
        if (read(there[0], &byte, 1) != 1)
            fail("a process is missing");
    }
    puts("there");
    fflush(stdout);
    if (getchar() != '\n')
        fail("input");
    marks[mark_count++] = (struct mark){0, 0};
    change(&marks[0]);
    close(go[1]);
    for (uint64_t who = 1; who <= processes; who++)
        wrong += children[who] && !wait_for(children[who]);
    char *mine = calloc(pages, 1);
    if (!mine)
        fail("calloc");
    for (uint64_t i = 0; i < changes; i++)
        mine[page_of(0, i)] = 1;
    for (uint64_t page = 0; page < pages && wrong < 8; page++)
        wrong += !holds(page, 0, mine[page] ? 1 : 0);
    if (wrong)
        fprintf(stderr, "%lu wrong\n", wrong);
    else
        puts("right");
    return wrong != 0;
}
