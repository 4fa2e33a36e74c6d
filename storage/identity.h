/*
 * Whose rights a connection's thread has at the host's files.
 *
 * Where root runs the monitor a program may have become another user, and says so (FILE_IDENTITY).
 * Then the thread of that connection takes this user's effective ids and groups, which on Linux are
 * a thread's own (glibc alone sets them for all threads): the host itself refuses what he may not
 * do, and what is made is his. What the thread does for files that are open already, and for nobody
 * in particular, it does with the monitor's own rights, which the real user id, root's still, lets
 * it have again. Threads that were told nothing have these all along, and pay one load for it.
 */
#ifndef ASHLAR_STORAGE_IDENTITY_H
#define ASHLAR_STORAGE_IDENTITY_H

#include "limits.h"
#include "messages.h"

struct identity {
    uint32_t uid, gid;           /* of files */
    uint32_t real_uid, real_gid; /* whom access(2) asks about */
    uint32_t group_count;
    uint32_t groups[GROUPS_MAX];
};

enum identity_rights {
    IDENTITY_OF_FILES, /* the usual ones */
    IDENTITY_REAL,
    IDENTITY_MONITOR, /* the monitor's own */
};

/*
 * The calling thread is to have this one's rights, which stays where it is for as long as the
 * thread asks for any. 0; ASH_MALFORMED (an id that is none); the host's own errors. Where root
 * does not run the monitor nothing changes.
 */
int identity_take(struct identity *identity, const struct msg_file_identity *m)
    __attribute__((warn_unused_result));
/*
 * The calling thread has these rights from here on. 0; the host's own errors, and then nothing must
 * be done for a client before this was asked for again.
 */
int identity_rights(enum identity_rights rights) __attribute__((warn_unused_result));
/* The monitor's own rights for what is between the two; _begin says what _end is to go back to. */
enum identity_rights identity_monitor_begin(void);
void identity_monitor_end(enum identity_rights before);

#endif
