/* All clients, by address space; see client.h. */
#ifndef ASHLAR_STORAGE_CLIENTS_H
#define ASHLAR_STORAGE_CLIENTS_H

#include "client.h"

struct clients;

/* NULL: out of memory. with stays the caller's. */
struct clients *clients_new(const struct holding *with);
/* When nobody is connected any more: ends those that linger. */
void clients_free(struct clients *all);

/* A connection came, bound so: its client, a new one or the one that its process has already. */
int clients_enter(struct clients *all, const struct msg_bind *bind, struct client **out) CHECKED;
/* It is gone. `closed`: by its process, in order; where that was the last one, the client ends. */
void clients_leave(struct clients *all, struct client *client, bool closed);
/* Ends those whose process has not come again in time. True where there was one. */
bool clients_sweep(struct clients *all);

#endif
