/*
 * For the suites over one memory monitor: its rack, a process with some lines, what a line is to
 * be.
 */
#ifndef ASHLAR_MEMORY_TEST_REQUESTS_H
#define ASHLAR_MEMORY_TEST_REQUESTS_H

#include "test_rack.h"

enum { FIRST = VREGION_LINES, MEMORY_BYTES = 32 << 20 };

extern struct rack rack;
extern uint8_t kinds[FETCH_MAX_LINES], data[FETCH_MAX_LINES * LINE_SIZE]; /* fetched last */

/* A group's setup and teardown: a rack with m1 of MEMORY_BYTES. */
int start_rack(void **state);
int stop_rack(void **state);

/* A process's connection to a space with one vRegion, `lines` of which are mapped from FIRST on. */
struct net_conn *process_with(struct net_conn *component, uint64_t lines, struct asid *asid);
/* stamp 0: zero. */
void expect_line(struct net_conn *conn, struct asid asid, uint64_t line, uint64_t stamp);
/* Waits until nothing is held for programs. */
void expect_nothing_held(struct net_conn *conn, uint64_t within_ms);
int request_raw(struct net_conn *conn, uint16_t op, const void *payload, size_t size);

/* A file of the rack's directory: whole pages, then `tail` bytes. The line is to be its page. */
void make_file(char path[128], const char *name, uint32_t pages, uint32_t tail);
void expect_page(struct net_conn *conn, struct asid asid, uint64_t line, uint64_t page);

#endif
