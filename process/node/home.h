/*
 * Homes: the mComponents that hold the address spaces of this node's processes.
 *
 * One control connection (component scope) to each serves SPACE_CREATE and SPACE_DESTROY, and tells
 * when the mComponent is lost: a watcher thread sees the connection end at once, and asks with PING
 * every HEARTBEAT_MS, so that one that is frozen is found when it is declared down, or within
 * MEMORY_TIMEOUT_MS. After an ended connection it tries once to connect again, and goes on where
 * the mComponent still knows the spaces; otherwise the home is lost, and its processes get another,
 * where the second copies of their spaces are.
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

int home_create_space(struct home *home, uint64_t run_id, uint32_t replicas,
                      struct msg_space_create_reply *reply) NET_CHECKED;
/* Whether a space is there, and has not moved. */
bool home_serves(struct home *home, struct asid asid);
/* ASH_NO_SPACE_ID, ASH_MOVED, ASH_LOST: it may be elsewhere by now; see locate_and_destroy(). */
int home_destroy_space(struct home *home, struct asid asid) NET_CHECKED;

int homes_init(struct node *node) NET_CHECKED;
/* When no process is left: ends the watchers and frees all. */
void homes_stop(struct node *node);

#endif
