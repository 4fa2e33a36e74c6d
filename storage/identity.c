/* See identity.h. Raw system calls: the C library's would change every thread. */
#include "identity.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "errors.h"

#define NO_ID UINT32_MAX /* to the host: leave that one as it is */

static _Thread_local struct {
    const struct identity *identity; /* NULL: it was told none */
    uint32_t uid, gid;               /* the effective ones now; NO_ID: not known */
    enum identity_rights rights;
} self;

/* By way of root: only root may become anybody. */
static int change_to(uint32_t uid, uint32_t gid)
{
    if (uid == self.uid && gid == self.gid)
        return 0;
    self.uid = NO_ID;
    if (syscall(SYS_setresuid, NO_ID, 0, NO_ID) < 0)
        return -errno;
    if (gid != self.gid) {
        self.gid = NO_ID;
        if (syscall(SYS_setresgid, NO_ID, gid, NO_ID) < 0)
            return -errno;
        self.gid = gid;
    }
    if (uid != 0 && syscall(SYS_setresuid, NO_ID, uid, NO_ID) < 0)
        return -errno;
    self.uid = uid;
    return 0;
}

int identity_rights(enum identity_rights rights)
{
    const struct identity *i = self.identity;

    if (!i)
        return 0;
    self.rights = rights;
    switch (rights) {
    case IDENTITY_REAL:
        return change_to(i->real_uid, i->real_gid);
    case IDENTITY_MONITOR:
        return change_to(0, i->gid);
    default:
        return change_to(i->uid, i->gid);
    }
}

enum identity_rights identity_monitor_begin(void)
{
    enum identity_rights before = self.rights;
    (void)!identity_rights(IDENTITY_MONITOR); /* then it does what the others let it do */
    return before;
}

/* It was so before: a host that is out of memory for it may not leave the thread what is root's. */
void identity_monitor_end(enum identity_rights before)
{
    if (identity_rights(before) < 0)
        abort();
}

int identity_take(struct identity *identity, const struct msg_file_identity *m)
{
    if (m->uid == NO_ID || m->gid == NO_ID || m->real_uid == NO_ID || m->real_gid == NO_ID ||
        m->groups_count > GROUPS_MAX)
        return ASH_MALFORMED;
    if (getuid() != 0)
        return 0;
    *identity = (struct identity){m->uid, m->gid, m->real_uid, m->real_gid, m->groups_count, {0}};
    for (uint32_t i = 0; i < m->groups_count; i++)
        identity->groups[i] = m->groups[i].id;
    if (!self.identity) {
        self.uid = geteuid();
        self.gid = getegid();
        self.identity = identity;
    }
    int rc = change_to(0, identity->gid);
    if (rc == 0 && syscall(SYS_setgroups, (size_t)identity->group_count, identity->groups) < 0)
        rc = -errno;
    return rc == 0 ? identity_rights(IDENTITY_OF_FILES) : rc;
}
