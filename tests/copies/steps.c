/*
 * A program that goes through all that its memory is asked for: it maps, writes back, forks, and
 * replaces itself (exec), and checks each time that it holds what it should.
 *
 * Usage: steps MEBIBYTES. Prints "ready" when it has written a little, waits for a line of input,
 * goes through the steps twice, the second time as a new program, and prints a sum over all that it
 * read: the same natively and inside.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, WORDS = PAGE / 8, STRIDE = 160, LITTLE = 8 << 20, FORKS = 2 };

static uint64_t sum;

static void fail(const char *what)
{
    fprintf(stderr, "steps: %s\n", what);
    _exit(1);
}

static uint64_t *map(size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        fail("mmap");
    return at;
}

static uint64_t stamp_of(size_t page, unsigned round)
{
    uint64_t x = page * 0x9e3779b97f4a7c15ull + round;
    return (x ^ x >> 31) * 0x94d049bb133111ebull;
}

/* Every STRIDE-th page, and of those one in `share`, beginning with `first`. */
static void write_some(uint64_t *memory, size_t size, unsigned first, unsigned share,
                       unsigned round)
{
    for (size_t p = (size_t)first * STRIDE; p < size / PAGE; p += (size_t)STRIDE * share)
        memory[p * WORDS + p % WORDS] = stamp_of(p, round);
}

static void check_some(const uint64_t *memory, size_t size, unsigned first, unsigned share,
                       unsigned round)
{
    for (size_t p = (size_t)first * STRIDE; p < size / PAGE; p += (size_t)STRIDE * share) {
        uint64_t word = memory[p * WORDS + p % WORDS];
        if (word != stamp_of(p, round))
            fail("a page holds what it should not");
        sum = sum * 31 + word;
    }
}

/* The child sees the memory as it was, and what it writes itself alone. */
static void fork_and_check(uint64_t *memory, size_t size, unsigned n)
{
    pid_t pid = fork();
    if (pid == 0) {
        check_some(memory, size, 0, 1, 1);
        write_some(memory, size, n, FORKS, 2);
        for (unsigned i = 0; i < FORKS; i++)
            check_some(memory, size, i, FORKS, i == n ? 2 : 1);
        _exit(0);
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        fail("the forked child found an error");
}

static void steps(size_t size)
{
    uint64_t *memory = map(size);
    write_some(memory, size, 0, 1, 1);
    check_some(memory, size, 0, 1, 1);
    for (unsigned n = 0; n < FORKS; n++)
        fork_and_check(memory, size, n);
    check_some(memory, size, 0, 1, 1);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    size_t size = strtoull(argv[1], NULL, 0) << 20;
    if (argc == 2) {
        write_some(map(LITTLE), LITTLE, 0, 1, 1);
        puts("ready");
        fflush(stdout);
        if (getchar() != '\n')
            return 1;
        steps(size);
        char text[32];
        snprintf(text, sizeof text, "%#lx", sum);
        execl("/proc/self/exe", argv[0], argv[1], text, NULL);
        fail("exec");
    }
    sum = strtoull(argv[2], NULL, 0);
    steps(size);
    printf("%#lx\n", sum);
    return 0;
}
