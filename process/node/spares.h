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

/* A connection to `address`, bound: a spare one, else a new one. Any thread; no lock is to be held.
 */
int spares_connect(struct spares *spares, const char *address, const struct msg_bind *bind,
                   unsigned timeout_ms, struct net_conn **out) NET_CHECKED;

#endif
