/*
 * The counters of one run: a memfd of this layout, mapped shared by every process of the run, so
 * that the sums survive whatever ends a process. All updates are relaxed atomic additions; the
 * reader (the ashlar command, at the end) needs no order between counters.
 */
#ifndef ASHLAR_PROCESS_STATS_H
#define ASHLAR_PROCESS_STATS_H

#include <stdint.h>

#include "messages.h"

enum {
    STATS_SYSCALLS = 512,
    /* Histogram of miss times: bucket b holds [2^(b/8) * (1 + b%8/8)] ns and up: 8 to an octave. */
    STATS_MISS_BUCKETS = 40 * 8,
};

struct run_stats {
    uint64_t size_bytes;    /* of this structure: the reader's check */
    uint64_t misses;        /* faults that needed a line from elsewhere, fetched or staged */
    uint64_t p_local_fills; /* lines that began as zero, without a message */
    uint64_t lines_fetched;
    uint64_t lines_written_back;
    uint64_t evictions;            /* lines that left the ExCache */
    uint64_t rescued;              /* lines taken back on their way out */
    uint64_t write_protect_faults; /* first writes to a clean line */
    uint64_t peak_lines;           /* most lines resident in one process at a time */
    uint64_t dispatched_calls;     /* of `syscalls`: those that came by a signal */
    uint64_t processes;            /* ever started in the run */
    uint64_t miss_ns[STATS_MISS_BUCKETS];
    uint64_t messages[OP_COUNT]; /* requests sent by the processes, by wire_op_index() */
    uint64_t syscalls[STATS_SYSCALLS];
};

#endif
