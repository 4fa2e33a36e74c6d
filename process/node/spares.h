/*
 * Connections that are authenticated and not yet bound, kept ready for the processes to come: a
 * fork or a start then costs one BIND for each instead of a connection and a handshake.
 *
 * An unbound connection may ask for nothing, and its BIND, which fixes what it may ask for, is its
 * only one. A thread keeps SPARES_TARGET of them for each component that was asked for; it fetches
 * new ones after some were taken, never by time, and gives up where the component cannot be reached
 * until somebody takes one again.
 */
#ifndef ASHLAR_PROCESS_SPARES_H
#define ASHLAR_PROCESS_SPARES_H

#include "monitor.h"

struct spares;

int spares_start(const struct net_key *key, struct spares **out) NET_CHECKED;
void spares_stop(struct spares *spares);

/*
 * A spare connection to `address`, to be bound, or NULL. What was taken is replaced after
 * spares_refill(): when who waits for the connection has it. Any thread, also of what follows.
 */
struct net_conn *spares_take(struct spares *spares, const char *address);
void spares_refill(struct spares *spares);
/* One of them turned out to be lost: its component was started again since, and all are. */
void spares_drop(struct spares *spares, const char *address);

/* A connection to `address`, bound: a spare one, else a new one. No lock is to be held. */
int spares_connect(struct spares *spares, const char *address, const struct msg_bind *bind,
                   unsigned timeout_ms, struct net_conn **out) NET_CHECKED;

#endif
