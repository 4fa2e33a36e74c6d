/*
 * A program that is larger than any one mComponent, and checks that it holds what it should.
 *
 * Usage: patterns MEBIBYTES. Fills its memory, each page with words that depend on its number, then
 * reads a line of input for each further round, in which it checks every page and changes it. Prints
 * "round N right" after each; an end of input ends it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = 4096, WORDS = PAGE / 8 };

static uint64_t word_of(uint64_t page, uint64_t round, unsigned word)
{
    uint64_t x = page * 0x9e3779b97f4a7c15ull + round * 0xbf58476d1ce4e5b9ull + word;
    x ^= x >> 31;
    return x * 0x94d049bb133111ebull;
}

static void fill(uint64_t *memory, uint64_t pages, uint64_t round)
{
    for (uint64_t p = 0; p < pages; p++)
        for (unsigned w = 0; w < WORDS; w += 73)
            memory[p * WORDS + w] = word_of(p, round, w);
}

static void check(const uint64_t *memory, uint64_t pages, uint64_t round)
{
    for (uint64_t p = 0; p < pages; p++) {
        for (unsigned w = 0; w < WORDS; w++) {
            uint64_t right = w % 73 ? 0 : word_of(p, round, w);
            if (memory[p * WORDS + w] == right)
                continue;
            printf("page %lu word %u: %#lx, not %#lx, in round %lu\n", p, w,
                   memory[p * WORDS + w], right, round);
            exit(1);
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    uint64_t pages = strtoull(argv[1], NULL, 0) << 20 >> 12, round = 0;
    uint64_t *memory = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    do {
        fill(memory, pages, round);
        check(memory, pages, round);
        printf("round %lu right\n", round++);
        fflush(stdout);
    } while (getchar() == '\n');
    return 0;
}
