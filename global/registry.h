/*
 * The registry: every component of the rack, its lease, and what it last reported.
 *
 * A component is up while it renews its lease by heartbeats; it is declared down when the lease
 * runs out or the connection that it registered over closes, and stays listed as down, with its
 * last figures, until it leaves or returns. An mComponent that was declared down has to register
 * again, for others take its place: it is fenced. What a rack consists of, and the states, are
 * counted in `changes`, so that the components can follow them by their heartbeats. Numbers are
 * given in sequence; one that registers again under its old name gets its old number and a new
 * epoch. Any thread.
 */
#ifndef ASHLAR_GLOBAL_REGISTRY_H
#define ASHLAR_GLOBAL_REGISTRY_H

#include "manager.h"
#include "store.h"

enum { REGISTRY_MAX = 1024 }; /* components known at a time */

struct registry;

/* Takes over the store, on success. */
int registry_new(const struct store *store, struct registry **out) NET_CHECKED;
void registry_free(struct registry *registry);

/* The number of the global daemon itself, which is not otherwise in the registry. */
int registry_reserve(struct registry *registry, const char *name, struct component *id) NET_CHECKED;

/* `session` stands for the connection. ASH_MALFORMED, ASH_LIMIT. ASH_FENCED: it comes with the
   number of an mComponent that was declared down; it is to register anew, with none. */
int registry_register(struct registry *registry, const struct component_info *self,
                      const void *session, uint64_t now_ms, struct component *id,
                      uint32_t *epoch) NET_CHECKED;
/* ASH_NO_COMPONENT: not known (any more), it is to register. ASH_STALE_EPOCH: another process has
   registered under its name since. ASH_FENCED: an mComponent that was declared down. */
int registry_heartbeat(struct registry *registry, const struct component_info *self,
                       uint64_t now_ms, uint32_t *epoch, uint32_t *changes) NET_CHECKED;
/*
 * From now on nothing new is placed on an mComponent, which stays up; or (on false) it takes part
 * again. That is not in the store: a component that is drained says so when it registers with
 * global managers that were started again. ASH_NO_COMPONENT; -EINVAL: it is no mComponent; -EBUSY:
 * no other one could take over.
 */
int registry_drain(struct registry *registry, struct component id, bool on,
                   uint64_t now_ms) NET_CHECKED;
/* ASH_NO_COMPONENT, ASH_FORBIDDEN: it is not this session's. */
int registry_leave(struct registry *registry, struct component id, const void *session) NET_CHECKED;
void registry_session_closed(struct registry *registry, const void *session);

/* Copies up to `limit` components in the order of their numbers; returns how many. */
size_t registry_list(struct registry *registry, uint64_t now_ms, struct component_info *out,
                     size_t limit, uint32_t *changes);

/*
 * The choice of one of the managers among the components of its kind that are up and not draining,
 * other than `except` and `also` while there is another. need_bytes: what will be held there, 0
 * where it is not known. ASH_NO_COMPONENT: none is up.
 */
int registry_choose(struct registry *registry, const struct manager *manager,
                    struct component except, struct component also, uint64_t need_bytes,
                    uint64_t now_ms, struct component_info *out) NET_CHECKED;

#endif
