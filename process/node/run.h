/*
 * Runs: opened by an `ashlar run` on its own connection, ended with it.
 *
 * Functions ending in _locked want node->lock held.
 */
#ifndef ASHLAR_PROCESS_RUN_H
#define ASHLAR_PROCESS_RUN_H

#include "node.h"

/* The requests of the command's connection; each answers by itself and returns what a handler does.
 */
int run_open(struct node *node, struct net_conn *conn, const struct net_frame *frame) NET_CHECKED;
int run_seat(struct node *node, struct net_conn *conn, const struct net_frame *frame) NET_CHECKED;
int run_close(struct node *node, struct net_conn *conn, const struct net_frame *frame) NET_CHECKED;
/* An mComponent's: it has no room left, and a run holds the most there. The run ends. */
int run_exceeds(struct node *node, struct net_conn *conn,
                const struct net_frame *frame) NET_CHECKED;
/* The command's connection closed: every run of it ends. */
void run_owner_gone(struct node *node, struct net_conn *conn);
/* Ends every run: the node stops. Waits for nothing. */
void run_end_all(struct node *node);

/* Tells the run's user something; says so in the log where there is nobody to tell. */
void run_event_locked(struct node *node, struct run *run, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, taking the lock. */
void run_event(struct node *node, struct run *run, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A process went away: frees the run where it was the last of one whose command is gone. */
void run_process_gone_locked(struct node *node, struct run *run);

/*
 * Makes an address space for one of its processes, at a home that takes new ones (*home, a counted
 * reference). Where that fails, the run's user is told.
 */
int run_create_space(struct node *node, struct run *run, struct home **home,
                     struct msg_space_create_reply *reply) NET_CHECKED;
/* The same, by the run's id, for what its processes share: while one of them exists. */
int run_create_store(struct node *node, uint64_t run_id, struct home **home,
                     struct msg_space_create_reply *reply) NET_CHECKED;

/* A home is lost: its processes get another one, where their memory is found; the runs of those
   whose is not are lost. */
void run_home_lost(struct node *node, struct home *home, int why);
/* A home is drained: the processes whose spaces have left it get the one where they are. */
void run_follow(struct node *node, struct home *home);
/* A process has its home at `to` now, unless it has left `from` already. Takes a reference over. */
void run_move_home(struct node *node, uint64_t serial, struct home *from, struct home *to);
/* Memory that a run needs is lost with this mComponent: ends it, and tells its user. */
void run_lost(struct node *node, uint64_t run_id, const struct component_info *memory);
/* Whether it is a process's. */
bool run_has_space(struct node *node, struct asid asid);
/* One of the spaces at this home; 0 where there is none. */
struct asid run_some_asid(struct node *node, struct home *home);

#endif
