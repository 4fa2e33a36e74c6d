/*
 * For the tests of the node: a rack, started by the ashlar command in a directory of its own; a
 * run's command and its processes, played by the test.
 *
 * Processes are children of the test, because the node kills what joins: a child does the joining
 * (its pid is what the kernel vouches for), then waits to be killed, while the test goes on
 * speaking on the same seat.
 */
#ifndef ASHLAR_PROCESS_TEST_RUN_H
#define ASHLAR_PROCESS_TEST_RUN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sys/types.h>

#include "monitor.h"

/* ---- the rack ---- */

extern char rack_dir[128];
extern struct net_key key;
extern struct component_info memory, storage, process, global;

/* The path of the ashlar command; false: there is nowhere to put a rack. */
bool test_begin(const char *ashlar);
/* Returns the exit code: `failed`, and one more where something was left behind. */
int test_end(int failed);
/* Group fixtures: a rack of one mComponent. */
int rack_up(void **state);
int rack_down(void **state);
struct net_conn *connect_to(const char *address, uint8_t scope);
/* As a command of the node. */
struct net_conn *connect_local(uint8_t scope);

/* ---- a run and its processes ---- */

struct process_end {
    pid_t pid;
    int pidfd, lifeline_fd;
    struct net_conn *seat;
    struct msg_process_join_reply joined;
    struct net_conn *memory; /* as the process has it */
    int storage_fd;
    int join_rc;
};

/* A run whose first home is `memory`. */
struct net_conn *open_run(uint64_t *id);
int close_run(struct net_conn *run, uint64_t id, uint32_t *ended);
/* A seat and its lifeline. */
void take_seat(struct net_conn *run, uint64_t id, int fds[2]);
/* Starts a process on a seat; what it says is its pid, 0: it is. Both descriptors are taken over.
 */
struct process_end start_process(int seat_fd, int lifeline_fd, uint32_t claimed_pid);
struct process_end start_first(struct net_conn *run, uint64_t id);
void forget(struct process_end *p);
/* Waits for its end and says how it ended; -1 where it has not within wait_ms. */
int await_end(struct process_end *p, int wait_ms);
/* The next event that the run's user is told; fails where it does not contain `wanted`. */
void await_event(struct net_conn *run, const char *wanted);

/* Requests on a seat that take or bring descriptors. */
int call_fds(struct net_conn *conn, uint16_t op, const void *body, int size, int *fds, int *count,
             struct net_frame *frame);
int join(struct net_conn *seat, uint32_t pid, struct msg_process_join_reply *reply, int fds[2]);
int fork_process(struct process_end *p, struct asid child, int fds[4], int *count,
                 uint64_t *budget);

int stat_space(struct net_conn *conn, struct asid asid);
struct asid clone_space(struct process_end *p);
uint64_t used_budget(void);

#endif
