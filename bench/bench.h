/*
 * What the benchmark programs share: the clock, and the figures of a sample.
 *
 * The programs that run on a rack are ordinary Linux programs: they know nothing of Ashlar, and are
 * run natively by the same script for the ratio. Each prints one line of JSON.
 */
#ifndef ASHLAR_BENCH_H
#define ASHLAR_BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Through the vDSO: no system call, on a rack neither. */
static inline uint64_t bench_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* xorshift64: the same order of accesses in every run. */
static inline uint64_t bench_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static int bench_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Sorts the sample and prints its figures as the members of a JSON object, nanoseconds. */
static inline void bench_print(uint32_t *ns, size_t count)
{
    uint64_t sum = 0;
    qsort(ns, count, sizeof *ns, bench_compare);
    for (size_t i = 0; i < count; i++)
        sum += ns[i];
    printf("\"count\": %zu, \"p50_ns\": %u, \"p99_ns\": %u, \"mean_ns\": %lu", count, ns[count / 2],
           ns[count * 99 / 100], (unsigned long)(sum / count));
}

/* argv[at] as a number, or what stands for it. */
static inline unsigned long bench_argument(int argc, char **argv, int at, unsigned long otherwise)
{
    return argc > at ? strtoul(argv[at], NULL, 0) : otherwise;
}

#endif
