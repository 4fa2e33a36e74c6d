/* Deadlines on the clock of clock_ms(), as pthread_cond_timedwait() wants them. */
#ifndef ASHLAR_LIB_DEADLINE_H
#define ASHLAR_LIB_DEADLINE_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

static inline struct timespec deadline_timespec(uint64_t ms)
{
    return (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
}

/* A condition whose waits end by such deadlines. 0 or a negative errno. */
static inline int deadline_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    int rc = -pthread_condattr_init(&attr);
    if (rc < 0)
        return rc;
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    rc = -pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
    return rc;
}

#endif
