/* A system call that does nothing, over and over: call [COUNT] */
#include <sys/syscall.h>
#include <unistd.h>

#include "bench.h"

int main(int argc, char **argv)
{
    size_t count = bench_argument(argc, argv, 1, 100000);
    for (size_t i = 0; i < count / 10; i++)
        syscall(SYS_getpid);
    uint64_t begin = bench_ns();
    for (size_t i = 0; i < count; i++)
        syscall(SYS_getpid);
    printf("{\"call_ns\": %lu}\n", (unsigned long)((bench_ns() - begin) / count));
    return 0;
}
