/*
 * A rack that one `ashlar run` has to itself.
 *
 * A guardian, a child in a session of its own, starts the daemons, waits until the command closes
 * its end of a pipe (or dies: the same), then ends them and removes the directory. The daemons hold
 * the pipe as their lifeline too, so that even without the guardian nothing outlives the command
 * but an empty directory, which the next private rack sweeps away.
 */
#ifndef ASHLAR_CLI_PRIVATE_RACK_H
#define ASHLAR_CLI_PRIVATE_RACK_H

#include "daemons.h"

struct private_rack {
    pid_t guardian;
    int lifeline_fd; /* the end whose closing ends the rack */
};

/* Starts it; fills rack. What goes wrong has been said. */
int private_rack_start(struct private_rack *private, struct rack *rack,
                       struct rack_plan *plan) NET_CHECKED;
/* Ends it, and waits until nothing of it is left. */
void private_rack_end(struct private_rack *private);

#endif
