/* The file of `ashlar run --stats`: a run's counters as JSON. */
#ifndef ASHLAR_CLI_RUN_STATS_H
#define ASHLAR_CLI_RUN_STATS_H

#include <stdint.h>
#include <stdio.h>

#include "stats.h"

struct run_figures {
    uint64_t excache_bytes;       /* budget of each process */
    uint64_t peak_resident_bytes; /* of the largest process, by the host's accounting */
    uint64_t wall_ns, user_us, system_us;
    int exit_code;
    const char *home, *storage, *node; /* components' names */
    const char *policy;
};

/* Reads the counters from the run's memfd and writes the object. Negative errno. */
int run_stats_write(FILE *out, int stats_fd, const struct run_figures *figures)
    __attribute__((warn_unused_result));

/*
 * The time that `percent` of the misses did not exceed: the middle of its bucket; 0 without any.
 */
uint64_t run_stats_percentile(const uint64_t buckets[STATS_MISS_BUCKETS], unsigned percent);

#endif
