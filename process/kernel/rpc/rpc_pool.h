/* The pool of connections as process life sees it: start, fork, exec. */
#ifndef ASHLAR_KERNEL_RPC_POOL_H
#define ASHLAR_KERNEL_RPC_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "types.h"

struct process;

/* The first connection to each component; further ones come from the node on demand. */
void rpc_init(struct process *p, int memory_fd, int storage_fd);
/* A part of the address space is at this component, as its home says; what is known already stays,
   for it may be newer. */
void rpc_part_at(uint32_t part, struct component where);
/* Whether a part is known to be somewhere. */
bool rpc_part_known(uint32_t part);
/* The first connection to the sComponent may have been told of any identity, by the last image. */
void rpc_was_told(void);
/* Whether it has; when no request is under way. */
bool rpc_told(void);
/* In a fork child: closes the parent's connections and starts with its own. */
void rpc_fork_child(struct process *p, int memory_fd, int storage_fd);
/*
 * Sees to it that there are two connections to the home (a write-back may hold one) and one to the
 * sComponent, for a vfork child, whose descriptors are a copy. Returns the serial number of the
 * newest connection: what process->rpc_limit is about.
 */
uint64_t rpc_two_of_each(void);
/* Waits until no request is under way on the first connections, and keeps them until released. */
void rpc_hold_first(void);
void rpc_release_first(void);
/* The first connections, to be handed on at exec. No request may be under way. */
void rpc_descriptors(int *memory_fd, int *storage_fd);

#endif
