/*
 * Homes: the mComponents that hold the address spaces of this node's processes.
 *
 * One control connection (component scope) to each serves SPACE_CREATE and SPACE_DESTROY, and tells
 * when the mComponent is lost: a watcher thread sees the connection end at once, and asks with PING
 * every HEARTBEAT_MS, so that one that is frozen is found within MEMORY_TIMEOUT_MS more. After an
 * ended connection it tries once to connect again, and goes on where the mComponent still knows the
 * spaces; otherwise the home is lost, and with it every process that kept memory there.
 */
#ifndef ASHLAR_PROCESS_HOME_H
#define ASHLAR_PROCESS_HOME_H

#include "node.h"

/* Finds or makes the home at info->address, connected. A counted reference: home_put(). */
int home_get(struct node *node, const struct component_info *info, struct home **out) NET_CHECKED;
/* A further reference to one that the caller holds. */
struct home *home_hold(struct node *node, struct home *home);
void home_put(struct node *node, struct home *home);

const struct component_info *home_info(const struct home *home);

int home_create_space(struct home *home, uint64_t run_id,
                      struct msg_space_create_reply *reply) NET_CHECKED;
/* Frees it, or leaves that to the mComponent, which frees a space that nobody is connected to. */
void home_destroy_space(struct home *home, struct asid asid);

int homes_init(struct node *node) NET_CHECKED;
/* When no process is left: ends the watchers and frees all. */
void homes_stop(struct node *node);

#endif
