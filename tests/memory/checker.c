/*
 * A program that keeps a model of its own memory and compares: random writes, reads, maps, unmaps,
 * protections, moves, discards and forks over more memory than the ExCache holds.
 *
 * Usage: checker SEED STEPS. The same seed does the same steps, so that a failure replays. Each page
 * of a region holds a stamp in its first, middle and last word; the model has the stamp. Prints a sum
 * over all that it read, the same natively and inside.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REGIONS = 24, PAGES_MAX = 512, PAGE = 4096 };

static struct region {
    uint8_t *at;
    uint32_t pages;
    int prot;
    int patched; /* parts were mapped anew: it may be several mappings, which mremap refuses */
    uint64_t stamps[PAGES_MAX];
} regions[REGIONS];

static uint64_t state, sum;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void fail(const char *what, const struct region *r, uint32_t page, uint64_t found)
{
    fprintf(stderr, "checker: %s: region %d (%p, %u pages, prot %d) page %u: %#lx, not %#lx\n", what,
            (int)(r - regions), (void *)r->at, r->pages, r->prot, page, found, r->stamps[page]);
    _exit(1);
}

static void stamp(struct region *r, uint32_t page, uint64_t value)
{
    volatile uint64_t *words = (volatile uint64_t *)(r->at + (size_t)page * PAGE);
    words[0] = words[255] = words[511] = r->stamps[page] = value;
}

static void check_page(struct region *r, uint32_t page)
{
    volatile uint64_t *words = (volatile uint64_t *)(r->at + (size_t)page * PAGE);
    for (int i = 0; i < 3; i++)
        if (words[i * 255 + (i == 2)] != r->stamps[page])
            fail("read", r, page, words[i * 255 + (i == 2)]);
    sum += words[0];
}

static void check_all(void)
{
    for (struct region *r = regions; r < regions + REGIONS; r++)
        for (uint32_t i = 0; r->at && r->prot & PROT_READ && i < r->pages; i++)
            check_page(r, i);
}

static void map(struct region *r)
{
    r->pages = 1 + next_random() % PAGES_MAX;
    r->prot = PROT_READ | PROT_WRITE;
    r->patched = 0;
    memset(r->stamps, 0, sizeof r->stamps);
    r->at = mmap(NULL, (size_t)r->pages * PAGE, r->prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (r->at == MAP_FAILED)
        fail("mmap", r, 0, 0);
}

static void protect(struct region *r, int prot)
{
    if (mprotect(r->at, (size_t)r->pages * PAGE, prot) < 0)
        fail("mprotect", r, 0, 0);
    r->prot = prot;
}

static void resize(struct region *r)
{
    uint32_t pages = 1 + next_random() % PAGES_MAX;
    uint8_t *at = mremap(r->at, (size_t)r->pages * PAGE, (size_t)pages * PAGE, MREMAP_MAYMOVE);
    if (at == MAP_FAILED)
        fail("mremap", r, 0, 0);
    for (uint32_t i = r->pages; i < pages; i++)
        r->stamps[i] = 0;
    for (uint32_t i = pages; i < PAGES_MAX; i++)
        r->stamps[i] = 0;
    r->at = at;
    r->pages = pages;
}

/* A hole in the middle of a region and the same pages mapped anew: zero again. */
static void replace_part(struct region *r)
{
    uint32_t first = next_random() % r->pages, count = 1 + next_random() % (r->pages - first);
    uint8_t *at = r->at + (size_t)first * PAGE;
    if (next_random() % 2) {
        if (madvise(at, (size_t)count * PAGE, MADV_DONTNEED) < 0)
            fail("madvise", r, first, 0);
    } else if (munmap(at, (size_t)count * PAGE) < 0 ||
               mmap(at, (size_t)count * PAGE, r->prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                    0) != at) {
        fail("mmap", r, first, 0);
    } else {
        r->patched = 1;
    }
    for (uint32_t i = first; i < first + count; i++)
        r->stamps[i] = 0;
}

/* The child sees the memory as it is, changes some, checks all; the parent changes some meanwhile. */
static void fork_and_check(void)
{
    pid_t pid = fork();
    for (int i = 0; i < 200; i++) {
        struct region *r = &regions[next_random() % REGIONS];
        uint32_t page = next_random() % PAGES_MAX;
        if (r->at && page < r->pages && r->prot & PROT_WRITE)
            stamp(r, page, next_random() + (pid == 0));
    }
    if (pid == 0) {
        check_all();
        _exit(0);
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) {
        fprintf(stderr, "checker: the forked child found an error (status %#x)\n", status);
        _exit(1);
    }
}

static void step(void)
{
    struct region *r = &regions[next_random() % REGIONS];
    unsigned what = next_random() % 100;
    if (!r->at) {
        map(r);
    } else if (what < 4) {
        munmap(r->at, (size_t)r->pages * PAGE);
        r->at = NULL;
    } else if (what < 8) {
        static const int prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE,
                                    PROT_READ | PROT_WRITE};
        protect(r, prots[next_random() % 4]);
    } else if (what < 12) {
        if (!r->patched)
            resize(r);
    } else if (what < 16) {
        replace_part(r);
    } else if (what < 56) {
        uint32_t first = next_random() % r->pages;
        for (uint32_t i = first; r->prot & PROT_WRITE && i < r->pages && i < first + 40; i++)
            stamp(r, i, next_random());
    } else {
        uint32_t first = next_random() % r->pages;
        for (uint32_t i = first; r->prot & PROT_READ && i < r->pages && i < first + 40; i++)
            check_page(r, i);
    }
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    state = strtoull(argv[1], NULL, 0) * 0x9e3779b97f4a7c15ull + 1;
    unsigned long steps = strtoul(argv[2], NULL, 0);
    for (unsigned long i = 0; i < steps; i++) {
        step();
        if (i % 500 == 499)
            fork_and_check();
    }
    check_all();
    printf("%#lx\n", sum);
    return 0;
}
