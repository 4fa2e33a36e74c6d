/*
 * A line miss's baseline: what the host takes for a fault that the program itself serves.
 * userfaultfd in SIGBUS mode, a handler that does nothing but one UFFDIO_COPY of 4 KiB, in random
 * order over memory of the same size as the line_miss benchmark's. With `fetch` those 4 KiB come
 * from another process by the bare exchange of exchange.h: the least that a miss over TCP can do.
 *
 *   fault_floor [MIB] [COUNT] [fetch]
 */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "exchange.h"

static int uffd;
static bool fetch;
static struct exchange other;
static _Alignas(LINE_SIZE) uint8_t source[LINE_SIZE];

static void on_fault(int signal, siginfo_t *info, void *context)
{
    struct uffdio_copy copy = {.dst = (uint64_t)info->si_addr & ~(uint64_t)(LINE_SIZE - 1),
                               .src = (uint64_t)source,
                               .len = LINE_SIZE,
                               .mode = UFFDIO_COPY_MODE_WP};
    if (fetch)
        exchange_once(&other, source);
    if (ioctl(uffd, UFFDIO_COPY, &copy) < 0)
        _exit(1);
}

int main(int argc, char **argv)
{
    size_t bytes = bench_argument(argc, argv, 1, 128) << 20;
    size_t count = bench_argument(argc, argv, 2, 20000), lines = bytes / LINE_SIZE;
    fetch = argc > 3 && strcmp(argv[3], "fetch") == 0;
    if (fetch)
        exchange_begin(&other, true);
    uint32_t *ns = malloc(count * sizeof *ns);
    volatile uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_SIGBUS};
    struct uffdio_register range = {.range = {(uint64_t)memory, bytes},
                                    .mode = UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP};

    uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    sigaction(SIGBUS, &action, NULL);
    if (!ns || memory == MAP_FAILED || ioctl(uffd, UFFDIO_API, &api) < 0 ||
        ioctl(uffd, UFFDIO_REGISTER, &range) < 0) {
        perror("userfaultfd");
        return 1;
    }
    uint64_t random = 88172645463325252u;
    for (size_t i = 0; i < count; i++) {
        size_t at = bench_random(&random) % lines * LINE_SIZE;
        madvise((void *)(memory + at), LINE_SIZE, MADV_DONTNEED); /* it may be there already */
        uint64_t since = bench_ns();
        (void)memory[at];
        ns[i] = (uint32_t)(bench_ns() - since);
    }
    if (fetch)
        exchange_end(&other);
    printf("{");
    bench_print(ns, count);
    printf("}\n");
    return 0;
}
