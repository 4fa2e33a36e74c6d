/*
 * Random accesses to one line each, in memory many times the ExCache: nearly every one is a miss
 * of a single line.
 *
 *   line_miss [MIB] [COUNT] [write]
 *
 * Accesses below HIT_NS found their line resident and are left out of the sample.
 */
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

enum { LINE_SIZE = 4096, HIT_NS = 1500 };

int main(int argc, char **argv)
{
    size_t bytes = bench_argument(argc, argv, 1, 128) << 20;
    size_t count = bench_argument(argc, argv, 2, 20000), lines = bytes / LINE_SIZE, missed = 0;
    bool write = argc > 3 && strcmp(argv[3], "write") == 0;
    uint32_t *ns = malloc(count * sizeof *ns);
    volatile uint64_t *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!ns || memory == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    memset(ns, 0, count * sizeof *ns);
    for (size_t i = 0; i < lines; i++)
        memory[i * LINE_SIZE / 8] = i + 1;

    uint64_t random = 88172645463325252u;
    for (size_t i = 0; i < lines; i++) { /* until what was written above has left: a steady state */
        size_t line = bench_random(&random) % lines;
        memory[line * LINE_SIZE / 8];
    }
    uint64_t begin = bench_ns();
    for (size_t i = 0; i < count; i++) {
        size_t line = bench_random(&random) % lines;
        uint64_t since = bench_ns();
        uint64_t word = memory[line * LINE_SIZE / 8];
        if (write)
            memory[line * LINE_SIZE / 8] = word;
        uint64_t took = bench_ns() - since;
        if (word != line + 1) {
            fprintf(stderr, "line %zu holds %lu\n", line, (unsigned long)word);
            return 1;
        }
        if (took >= HIT_NS)
            ns[missed++] = (uint32_t)took;
    }
    uint64_t all = bench_ns() - begin;
    if (!missed) {
        fprintf(stderr, "no access took %d ns\n", HIT_NS);
        return 1;
    }
    printf("{");
    bench_print(ns, missed);
    printf(", \"accesses_per_s\": %lu}\n", (unsigned long)(count * 1000000000ull / all));
    return 0;
}
