/*
 * What a fork takes in a process that holds much memory.
 *
 *   fork MIB [COUNT [CHANGED]]
 *
 * Fills MIB; then, COUNT times, changes CHANGED of its pages, forks a child that ends at once, and
 * waits for it. `fork`: the call, as the parent sees it. `whole`: until the child was waited for.
 */
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

enum { PAGE = 4096 };

int main(int argc, char **argv)
{
    size_t pages = bench_argument(argc, argv, 1, 16) << 20 >> 12;
    size_t count = bench_argument(argc, argv, 2, 50), changed = bench_argument(argc, argv, 3, 0);
    uint32_t *forks = malloc((count + 1) * sizeof *forks),
             *wholes = malloc((count + 1) * sizeof *wholes);
    volatile uint64_t *memory =
        mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t random = 88172645463325252u;
    if (!forks || !wholes || memory == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    for (size_t i = 0; i < pages; i++)
        memory[i * PAGE / 8] = i;
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < changed; k++)
            memory[bench_random(&random) % pages * PAGE / 8 + 1]++;
        int status;
        uint64_t since = bench_ns();
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        forks[i] = (uint32_t)(bench_ns() - since);
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0) {
            perror("fork");
            return 1;
        }
        wholes[i] = (uint32_t)(bench_ns() - since);
    }
    for (size_t i = 0; i < pages; i++)
        if (memory[i * PAGE / 8] != i)
            return 1;
    if (count) {
        printf("{\"fork\": {");
        bench_print(forks, count);
        printf("}, \"whole\": {");
        bench_print(wholes, count);
        printf("}}\n");
    }
    return 0;
}
