/*
 * The mComponents of the rack, as the registry has them.
 *
 * It tells of changes within HEARTBEAT_MS; who must know earlier asks. A list that is old does no
 * harm: an mComponent that it says is down stays so for what it had, and one that it says is up is
 * asked before anything is concluded. So programs go on while the global managers are away.
 */
#ifndef ASHLAR_PROCESS_MEMBERS_H
#define ASHLAR_PROCESS_MEMBERS_H

#include "monitor.h"

enum { MEMBERS_MAX = 128 }; /* mComponents that are known at a time */

struct members;

/* A request under way to an mComponent: it ends as soon as that is known to be lost. */
struct members_guard {
    struct members_guard *next;
    struct component id;
    int fd;
};

int members_start(struct monitor *monitor, struct members **out) NET_CHECKED;
void members_stop(struct members *members);

/* What the registry has told. */
void members_told(struct members *members, const struct component_info *list, size_t count);

/* Copies what is known up to `limit`, returns how many. Asks the registry before that where nobody
   has for max_age_ms. Any thread but the main one. */
size_t members_get(struct members *members, uint64_t max_age_ms, struct component_info *out,
                   size_t limit);
/* One of them, by what is known now. */
bool members_known(struct members *members, struct component id, struct component_info *out);
/* The same; as members_get() where it is not known to be up. */
bool members_find(struct members *members, struct component id, uint64_t max_age_ms,
                  struct component_info *out);
/* The one with the most free memory among those that take something new, other than `except`. */
bool members_best(struct members *members, struct component except, struct component_info *out);

bool member_is_up(const struct component_info *info);

/*
 * From here to members_unguard(), fd is shut down when the mComponent is declared down. ASH_LOST:
 * it is already (members_unguard() is due all the same). An id of 0 is never.
 */
int members_guard(struct members *members, struct members_guard *guard, struct component id,
                  int fd) NET_CHECKED;
void members_unguard(struct members *members, struct members_guard *guard);

#endif
