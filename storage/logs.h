/*
 * The logs of mComponents: a file for each, in a directory of the sComponent's own.
 *
 * Nothing of them is kept in memory, so they outlive the monitor's process. Programs cannot reach
 * them: see logs_hidden().
 */
#ifndef ASHLAR_STORAGE_LOGS_H
#define ASHLAR_STORAGE_LOGS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "limits.h"
#include "messages.h"

#define LOGS_CHECKED __attribute__((warn_unused_result))

/* What the directory's name begins with. */
#define LOGS_NAME ".ashlar-logs"

enum { LOGS_OWNERS_MAX = 256 };

struct logs_owner {
    struct component id;
    uint32_t pid;
    bool up;
};

/* A log whose mComponent is down, or not listed, or another process by now. */
struct logs_lonely {
    struct component id;
    uint32_t pid;
    uint64_t since_ms;
    bool seen;
};

struct logs {
    char path[PATH_LIMIT]; /* of the directory; "": there are no logs */
    pthread_mutex_t lock;  /* of owners and what they were before; leaf */
    bool told;             /* who is in the rack */
    struct logs_owner owners[LOGS_OWNERS_MAX];
    size_t owners_count;
    /* Of the thread that tidies: */
    struct logs_lonely lonely[LOGS_OWNERS_MAX];
    size_t lonely_count;
};

/* Those of the sComponent of that name are in a directory in `parent`, which is made with the first
   of them. */
int logs_init(struct logs *logs, const char *parent, const char *name) LOGS_CHECKED;
/* Takes the directory away, where it is empty. */
void logs_end(struct logs *logs);

/* As the messages LOG_WRITE, LOG_READ (returns bytes) and LOG_DISCARD. Any thread. */
int logs_write(struct logs *logs, struct component owner, uint32_t pid, uint64_t offset,
               const void *data, size_t size) LOGS_CHECKED;
int64_t logs_read(struct logs *logs, struct component owner, uint32_t pid, uint64_t offset,
                  void *to, size_t size) LOGS_CHECKED;
int logs_discard(struct logs *logs, struct component owner, uint32_t pid, uint64_t offset,
                 uint64_t length) LOGS_CHECKED;

/* Who is in the rack. Any thread. */
void logs_members(struct logs *logs, const struct component_info *list, size_t count);
/*
 * Deletes the logs of mComponents that are down, or of which another process is listed, for
 * LOG_GONE_MS: the list must have been true at listed_ms, so long after that was seen first. A log
 * of which the list does not know yet is that of a process which has just been started. One thread;
 * takes as long as the host does to free gibibytes.
 */
void logs_tidy(struct logs *logs, uint64_t now_ms, uint64_t listed_ms);

/* What the paths of logs begin with on the host, of this sComponent and of others with the same
   parent: no program may reach these. "": there are none. */
void logs_hidden(const struct logs *logs, char out[PATH_LIMIT]);

#endif
