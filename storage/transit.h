/*
 * Descriptions on their way from one process to another, in a message over a socket: held until
 * somebody says that he has received one, and TRANSIT_MS at most.
 */
#ifndef ASHLAR_STORAGE_TRANSIT_H
#define ASHLAR_STORAGE_TRANSIT_H

#include "client.h"

struct transit;

/* NULL: out of memory. with stays the caller's. */
struct transit *transit_new(const struct holding *with);
void transit_free(struct transit *transit);

/* Sent: takes the hold over. The oldest gives way where there are too many. 0 or -ENOMEM. */
int transit_put(struct transit *transit, struct hold *hold) CHECKED;
/* Received, once. */
void transit_received(struct transit *transit, const struct description_id *id);
/* Ends those that were received by nobody in time. True where there was one. */
bool transit_sweep(struct transit *transit);

#endif
