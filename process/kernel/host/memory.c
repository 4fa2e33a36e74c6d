/* The monitor's own memory and clock. */
#include <linux/mman.h>
#include <linux/time.h>
#include <linux/time_types.h>

#include "host.h"
#include "limits.h"

#define MAP_ANONYMOUS 0x20
#define MAP_NORESERVE 0x4000

uint64_t host_now_ns(void)
{
    struct __kernel_timespec ts;
    host_call(__NR_clock_gettime, CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void *host_alloc(size_t size)
{
    long at = host_call(__NR_mmap, 0, size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at < 0 && at > -4096)
        return NULL;
    host_assert((uint64_t)at >= WINDOW_END);
    return (void *)at;
}

void host_free(void *memory, size_t size)
{
    host_call(__NR_munmap, memory, size);
}
