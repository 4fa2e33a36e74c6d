/*
 * What an mmap of private, anonymous memory takes together with its munmap.
 *
 *   map PAGES [COUNT [touch]]
 *
 * touch: between the two a word of each page is written.
 */
#include <string.h>
#include <sys/mman.h>

#include "bench.h"

enum { PAGE = 4096, WARM_UP = 20 };

int main(int argc, char **argv)
{
    size_t pages = bench_argument(argc, argv, 1, 1), count = bench_argument(argc, argv, 2, 1000);
    bool touch = argc > 3 && strcmp(argv[3], "touch") == 0;
    uint32_t *ns = malloc(count * sizeof *ns);
    if (!pages || !count || !ns) {
        fprintf(stderr, "usage: map PAGES [COUNT [touch]]\n");
        return 2;
    }
    for (size_t i = 0; i < WARM_UP + count; i++) {
        uint64_t since = bench_ns();
        volatile uint64_t *at =
            mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t p = 0; touch && at != MAP_FAILED && p < pages; p++) {
            if (at[p * PAGE / 8] != 0)
                return 1;
            at[p * PAGE / 8] = i + 1;
        }
        if (at == MAP_FAILED || munmap((void *)at, pages * PAGE) < 0) {
            perror("mmap");
            return 1;
        }
        if (i >= WARM_UP)
            ns[i - WARM_UP] = (uint32_t)(bench_ns() - since);
    }
    printf("{");
    bench_print(ns, count);
    printf("}\n");
    return 0;
}
