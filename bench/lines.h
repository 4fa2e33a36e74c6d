/*
 * For bench-lines: an address space of its own at a memory monitor, over lib/net and no process.
 */
#ifndef ASHLAR_BENCH_LINES_H
#define ASHLAR_BENCH_LINES_H

#include "net.h"

enum { SPACE_FIRST = VREGION_LINES }; /* a space's first line */

struct bench_space {
    struct net_conn *conn; /* bound to it */
    struct asid asid;
    uint64_t lines; /* mapped from SPACE_FIRST on, all of them stored */
};

struct net_conn *bench_monitor(const char *address, const char *key_path);
/* Makes a space of so many lines, line i holding bench_line(i, 0). Whatever fails ends the program.
 */
void bench_space_make(struct bench_space *space, struct net_conn *monitor, const char *address,
                      uint64_t lines);
/* Fetches everything and looks whether each line is that of one of its rounds [0, rounds). */
void bench_space_check(struct bench_space *space, uint64_t rounds);
void bench_space_end(struct bench_space *space);

/* What line i holds after it was written in a round. */
void bench_line(uint8_t line[LINE_SIZE], uint64_t i, uint64_t round);
/* The whole frames of a request for `count` lines from line i on. Returns its bytes. */
size_t bench_fetch_frame(uint8_t *out, const struct bench_space *space, uint64_t i, uint32_t count);
size_t bench_write_frame(uint8_t *out, const struct bench_space *space, uint64_t i, uint32_t count,
                         uint64_t round);

void bench_fail(const char *what, int rc) __attribute__((noreturn));

#endif
