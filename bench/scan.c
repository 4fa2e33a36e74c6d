/*
 * Sequential scans: a word of each line, in order, over and over.
 *
 *   scan read|write [MIB] [PASSES]
 */
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

enum { LINE_SIZE = 4096 };

int main(int argc, char **argv)
{
    bool write = argc > 1 && strcmp(argv[1], "write") == 0;
    size_t bytes = bench_argument(argc, argv, 2, 128) << 20, lines = bytes / LINE_SIZE;
    size_t passes = bench_argument(argc, argv, 3, 3);
    volatile uint64_t *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    for (size_t i = 0; i < lines; i++)
        memory[i * LINE_SIZE / 8] = i;

    uint64_t sum = 0, begin = bench_ns();
    for (size_t pass = 0; pass < passes; pass++) {
        for (size_t i = 0; i < lines; i++) {
            uint64_t word = memory[i * LINE_SIZE / 8];
            sum += word;
            if (write)
                memory[i * LINE_SIZE / 8] = word;
        }
    }
    uint64_t all = bench_ns() - begin;
    if (sum != passes * (lines * (lines - 1) / 2)) {
        fprintf(stderr, "the sum is wrong: %lu\n", (unsigned long)sum);
        return 1;
    }
    printf("{\"line_ns\": %lu}\n", (unsigned long)(all / (passes * lines)));
    return 0;
}
