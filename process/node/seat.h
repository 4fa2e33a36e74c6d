/*
 * Seats: where a process talks to its node.
 *
 * A seat is a socketpair, one end held by the process, the other served here on a thread of its
 * own. Whoever holds the process's end may be hostile: it can ask for nothing but what is the
 * process's own. Its pid is the kernel's word (SCM_CREDENTIALS of its first byte), its child's
 * address space is granted only where the mComponent agrees that it belongs to the same run.
 * The lifeline beside it is a pipe whose write end is only here.
 */
#ifndef ASHLAR_PROCESS_SEAT_H
#define ASHLAR_PROCESS_SEAT_H

#include "node.h"

/* A process's ends of a new seat, to be sent to it and then closed. */
struct seat_ends {
    struct process *process; /* while node->lock is held, or the seat is */
    uint64_t serial;
    int seat_fd, lifeline_fd;
};

/* Makes a seat with that budget, already granted (on failure it stays the caller's). */
int seat_open_locked(struct node *node, struct run *run, uint64_t excache_bytes,
                     struct seat_ends *ends) NET_CHECKED;
void seat_ends_close(struct seat_ends *ends);

/* Kills the seat's process, by every means there is. Returns whether it still ran. */
bool seat_kill_locked(struct process *process);
/* Closes the node's side of the conversation: `seat_closed` follows. */
void seat_shut_locked(struct process *process);

/* The server's calls for connections that are seats. */
bool seat_opened(struct node *node, struct net_conn *conn);
int seat_request(struct node *node, struct net_conn *conn,
                 const struct net_frame *frame) NET_CHECKED;
void seat_closed(struct node *node, struct net_conn *conn);

#endif
