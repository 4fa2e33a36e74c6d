/*
 * Processes whose memory has two copies, at three mComponents, m1 to m3: each knows what it has
 * stored, and can be taken to where its memory is.
 */
#ifndef ASHLAR_MEMORY_TEST_PROCESS_H
#define ASHLAR_MEMORY_TEST_PROCESS_H

#include "test_rack.h"

/* The lines that are played in, over a border of vRegions. */
enum { FIRST = VREGION_LINES - 700, LINES = 1400, MEMORIES = 3, WAIT_MS = 5000, COPY_MS = 20000 };

struct cell {
    bool mapped;
    uint64_t stamp; /* 0: zero */
};

struct process {
    struct asid asid;
    int at; /* which mComponent */
    struct net_conn *conn;
    uint64_t serial; /* of its last list of changes */
    struct cell cells[LINES];
};

extern struct rack rack;
extern const struct component nobody;

/* ---- the rack ---- */

/* SIGSTOP, SIGCONT: a frozen one is asked for nothing by what follows. */
void freeze(int i);
void thaw(int i);
/* Starts m1 to m3, those that do not run. */
void start_missing(void);
struct msg_space_locate_reply locate(int i, struct asid asid, struct component lost);
/* Which mComponent has that role for a part; waits until one does. */
int await_role(struct asid asid, uint8_t role);
/* Waits until nothing is held for programs. */
void expect_nothing_held_at(int i, uint64_t within_ms);
void expect_nothing_held(void);

/* ---- a process ---- */

void begin(struct process *p, int at, uint32_t replicas);
void end(struct process *p);
void connect_to(struct process *p, int i);
/* One change, lines of the part that is played in; and lines with stamps stamp, stamp + 1... */
void change(struct process *p, uint8_t kind, uint32_t first, uint32_t count, uint32_t to);
void store(struct process *p, uint32_t first, uint32_t count, uint64_t stamp);
/* Changes of every kind, and lines. */
void live(struct process *p, struct random *r, int steps);
/* Every line is as the process left it. */
void expect_all(const struct process *p, struct net_conn *conn, struct asid asid);
/* Kills the mComponent that it is at and goes on where its replica is. */
void lose_primary(struct process *p);

#endif
