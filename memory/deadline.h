/* A deadline on the clock of clock_ms(), as pthread_cond_timedwait() wants it. */
#ifndef ASHLAR_MEMORY_DEADLINE_H
#define ASHLAR_MEMORY_DEADLINE_H

#include <stdint.h>
#include <time.h>

static inline struct timespec deadline_timespec(uint64_t ms)
{
    return (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
}

#endif
