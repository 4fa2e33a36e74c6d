/* See identity.h. */
#include "identity.h"

#include <linux/auxvec.h>

#include "../entry/process.h"
#include "../host/host.h"
#include "limits.h"
#include "messages.h"

#define SOL_SOCKET  1
#define SO_PEERCRED 17

_Static_assert(IDENTITY_BYTES >= 5 * 4 + GROUPS_MAX * sizeof(struct group_id), "it fits");

struct identity {
    uint32_t uid, gid, real_uid, real_gid;
    uint32_t group_count;
    struct group_id groups[GROUPS_MAX];
};

/* The host has them sorted. */
static void read_groups(struct identity *out)
{
    long n = host_call(__NR_getgroups, GROUPS_MAX, out->groups);
    if (n == -EINVAL) { /* there are more */
        size_t size = (size_t)host_call(__NR_getgroups, 0, NULL) * sizeof(struct group_id);
        struct group_id *all = host_alloc(size);
        n = all ? host_call(__NR_getgroups, size / sizeof *all, all) : 0;
        if (n > GROUPS_MAX)
            n = GROUPS_MAX;
        if (n > 0)
            memcpy(out->groups, all, (size_t)n * sizeof *all);
        if (all)
            host_free(all, size);
    }
    out->group_count = n > 0 ? (uint32_t)n : 0;
}

static void read_identity(struct identity *out)
{
    uint32_t effective, saved;
    *out = (struct identity){0};
    host_call(__NR_getresuid, &out->real_uid, &effective, &saved);
    host_call(__NR_getresgid, &out->real_gid, &effective, &saved);
    /* No id at all changes nothing, and they answer with the old one. */
    out->uid = (uint32_t)host_call(__NR_setfsuid, -1);
    out->gid = (uint32_t)host_call(__NR_setfsgid, -1);
    read_groups(out);
}

/* The rack's user made the seat. */
static bool root_runs_the_rack(const struct process *p)
{
    struct {
        uint32_t pid, uid, gid;
    } peer;
    uint32_t size = sizeof peer;
    return host_call(__NR_getsockopt, p->node_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
           peer.uid == 0;
}

/* FNV-1a, over words. Who makes two of them meet has but himself to blame. */
static uint64_t number_of(const struct identity *i)
{
    const uint32_t *word = (const uint32_t *)i;
    size_t count = offsetof(struct identity, groups) / sizeof *word + i->group_count;
    uint64_t hash = 0xcbf29ce484222325ull;
    while (count--)
        hash = (hash ^ *word++) * 0x100000001b3ull;
    return hash | 2; /* neither 0 nor IDENTITY_UNKNOWN */
}

uint64_t identity_now(const struct process *p)
{
    struct identity i;
    if (!root_runs_the_rack(p))
        return 0;
    read_identity(&i);
    bool root = !i.uid && !i.gid && !i.real_uid && !i.real_gid;
    return root ? 0 : number_of(&i);
}

uint64_t identity_at_start(const struct process *p)
{
    bool root =
        !host_auxv[AT_UID] && !host_auxv[AT_EUID] && !host_auxv[AT_GID] && !host_auxv[AT_EGID];
    return root ? 0 : identity_now(p);
}

int identity_encode(uint8_t *body)
{
    struct identity i;
    read_identity(&i);
    struct msg_file_identity m = {.uid = i.uid,
                                  .gid = i.gid,
                                  .real_uid = i.real_uid,
                                  .real_gid = i.real_gid,
                                  .groups = i.groups,
                                  .groups_count = i.group_count};
    return msg_file_identity_encode(&m, body, IDENTITY_BYTES);
}
