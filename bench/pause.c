/*
 * What a program sees of a loss: the longest time between two steps of a loop that reads and writes
 * pages of its memory, at random places.
 *
 *   pause MEBIBYTES
 *
 * Fills its memory, prints "ready", and for each line of input the longest pause since the last
 * one, in microseconds. Each page holds its number and a count; what is not right ends it.
 */
#include <poll.h>
#include <sys/mman.h>

#include "bench.h"

enum { PAGE = 4096 };

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    uint64_t pages = strtoull(argv[1], NULL, 0) << 20 >> 12, state = 88172645463325252ull;
    uint64_t longest_ns = 0, before_ns;
    struct pollfd input = {.fd = 0, .events = POLLIN};
    uint64_t *memory =
        mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return 1;
    for (uint64_t p = 0; p < pages; p++)
        memory[p * PAGE / 8] = p;
    puts("ready");
    fflush(stdout);
    before_ns = bench_ns();
    for (uint64_t step = 0;; step++) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        uint64_t p = state % pages, *words = memory + p * PAGE / 8;
        if (words[0] != p || words[1] != words[511]) {
            printf("page %lu is wrong\n", p);
            return 1;
        }
        words[1] = words[511] = step;
        uint64_t at_ns = bench_ns();
        if (at_ns - before_ns > longest_ns)
            longest_ns = at_ns - before_ns;
        before_ns = at_ns;
        if (step % 64 || poll(&input, 1, 0) == 0)
            continue;
        if (getchar() != '\n')
            return 0;
        printf("%lu\n", longest_ns / 1000);
        fflush(stdout);
        longest_ns = 0;
        before_ns = bench_ns();
    }
}
