/* Asking a rack's components themselves: over TCP, with the cluster key. */
#ifndef ASHLAR_CLI_COMPONENT_H
#define ASHLAR_CLI_COMPONENT_H

#include "rack.h"

/* Connects with component scope. */
int component_connect(const char *address, const struct net_key *key,
                      struct net_conn **out) NET_CHECKED;

/* What the global daemon knows: at most `max` components are stored. Returns how many. */
int component_list(const char *global_address, const struct net_key *key,
                   struct component_info *list, unsigned max) NET_CHECKED;

#endif
