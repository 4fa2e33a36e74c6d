/*
 * Watches the processes' pidfds: a process that ended is unseated at once, even where something
 * else still holds a descriptor of its seat (a child that has not closed its inherited copy yet).
 */
#ifndef ASHLAR_PROCESS_ENDED_H
#define ASHLAR_PROCESS_ENDED_H

#include "node.h"

int ended_start(struct node *node) NET_CHECKED;
/* With the node's lock: from now on, until ended_forget() with the same pidfd. */
void ended_watch(struct node *node, struct process *process);
void ended_forget(struct node *node, int pidfd);
/* When no process is left. */
void ended_stop(struct node *node);

#endif
