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

/* Ends every process that kept its memory at this home, and tells their users. */
void run_home_lost(struct node *node, struct home *home, int why);
/* One of the spaces at this home; 0 where there is none. */
struct asid run_some_asid(struct node *node, struct home *home);

#endif
