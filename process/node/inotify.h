/*
 * inotify descriptors of programs.
 *
 * What the program has is the read end of a pipe whose write end is only here; so dup, fork, exec,
 * passing, poll and O_ASYNC are the host's own, and the descriptor has ended when the pipe has no
 * reader. It is opened O_SYNC, which no pipe that a program makes is: the mark that it is known by.
 *
 * The events are here, in a queue as Linux keeps it (event_queue.h), and are taken by INOTIFY_READ,
 * whole ones, by whichever process asks first. The pipe only ever holds as many zero bytes as there
 * are bytes of events (up to what a pipe takes), so that it is readable when they are.
 *
 * Each descriptor has a thread and, once it watches files of the sComponent, a connection of its
 * own there, bound as the run's processes are; the pComponent's own files are watched by an inotify
 * of this host. Before events are read they are fetched from both: what was done before the read is
 * in it. A lost sComponent is looked for again, what was watched is watched again where it is still
 * the same file, and IN_Q_OVERFLOW says that something may have been missed.
 */
#ifndef ASHLAR_PROCESS_INOTIFY_H
#define ASHLAR_PROCESS_INOTIFY_H

#include "node.h"

enum {
    RUN_INOTIFY_MAX = 128,   /* descriptors of a run, as fs.inotify.max_user_instances */
    RUN_WATCHES_MAX = 65536, /* watches of all of them */
    INOTIFY_RETRY_MS = 250,  /* between tries to reach a lost sComponent */
};

int inotify_start(struct node *node) NET_CHECKED;
/* Ends every descriptor's service. No seat is served any more. */
void inotify_stop(struct node *node);
/* The INOTIFY_ requests of a seat. */
int inotify_request(struct node *node, struct process *process, struct net_conn *conn,
                    const struct net_frame *frame) NET_CHECKED;

#endif
