/*
 * How long programs take from start to end, one after the other: start COUNT PROGRAM ARG...
 * Their output goes to /dev/null; one that fails ends the measurement.
 */
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "bench.h"

extern char **environ;

int main(int argc, char **argv)
{
    size_t count = bench_argument(argc, argv, 1, 0);
    uint32_t *ns = malloc((count + 1) * sizeof *ns);
    posix_spawn_file_actions_t actions;
    if (count == 0 || argc < 3 || !ns) {
        fprintf(stderr, "usage: start COUNT PROGRAM ARG...\n");
        return 2;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    for (size_t i = 0; i < count; i++) {
        pid_t pid;
        int status;
        uint64_t since = bench_ns();
        if (posix_spawnp(&pid, argv[2], &actions, NULL, argv + 2, environ) != 0 ||
            waitpid(pid, &status, 0) < 0 || status != 0) {
            fprintf(stderr, "%s failed\n", argv[2]);
            return 1;
        }
        ns[i] = (uint32_t)(bench_ns() - since);
    }
    printf("{");
    bench_print(ns, count);
    printf("}\n");
    return 0;
}
