/*
 * System V shared memory: the ids and keys of a run, each the name of an anonymous segment.
 *
 * One that is removed keeps its id until nothing has it attached; all go with the run's last
 * process. All processes of a run are one user's, so the owner's rights are the ones that count.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <time.h>
#include <unistd.h>

#include "segment.h"

#ifndef SHM_STAT_ANY
#define SHM_STAT_ANY 15
#endif

enum { SHM_COUNT_MAX = 4096, ID_MOST = 0x7fffffff };

struct shm {
    struct shm *next;
    uint64_t run_id;
    uint32_t id, key;
    struct segment *segment; /* a reference */
    uint64_t size_bytes;
    uint32_t uid, gid, cuid, cgid, mode;
    int64_t atime_s, dtime_s, ctime_s;
    uint32_t cpid, lpid;
    bool removed;
};

static void free_shm(struct segments *s, struct shm *shm)
{
    struct shm **at = &s->shms;
    while (*at != shm)
        at = &(*at)->next;
    *at = shm->next;
    shm->segment->shm = NULL;
    segment_put(s, shm->segment);
    free(shm);
}

static struct shm *find(struct segments *s, const struct run *run, uint64_t id)
{
    struct shm *shm = s->shms;
    while (shm && (shm->id != id || shm->run_id != run->id))
        shm = shm->next;
    return shm;
}

struct segment *shm_segment(struct segments *s, const struct run *run, uint64_t id)
{
    struct shm *shm = find(s, run, id);
    return shm ? shm->segment : NULL;
}

void shm_attached(struct segments *s, struct segment *segment, uint32_t pid, bool on)
{
    struct shm *shm = segment->shm;
    *(on ? &shm->atime_s : &shm->dtime_s) = time(NULL);
    shm->lpid = pid;
    if (shm->removed && segment->attachment_count == 0)
        free_shm(s, shm);
}

void shm_run_gone(struct segments *s, const struct run *run)
{
    for (struct shm *shm = s->shms, *next; shm; shm = next) {
        next = shm->next;
        if (shm->run_id == run->id)
            free_shm(s, shm);
    }
}

/* Whether rights (of the low three groups of bits, any) are given to the owner. */
static bool may(const struct shm *shm, uint32_t wanted)
{
    wanted = (wanted >> 6 | wanted >> 3 | wanted) & 7;
    return geteuid() == 0 || !(wanted & ~(shm->mode >> 6));
}

static int make(struct segments *s, struct process *p, const struct msg_shm_get *m, uint32_t *id)
{
    unsigned count = 0;
    for (const struct shm *shm = s->shms; shm; shm = shm->next)
        count++;
    if (count >= SHM_COUNT_MAX)
        return -ENOSPC;
    if (m->size_bytes == 0)
        return -EINVAL;
    if (m->size_bytes > WINDOW_END)
        return -ENOMEM;
    struct shm *shm = malloc(sizeof *shm);
    struct segment *g = NULL;
    int rc = shm ? segment_new_anonymous(s, p->run, m->size_bytes, &g) : -ENOMEM;
    if (rc < 0) {
        free(shm);
        return rc;
    }
    do
        s->last_shm = s->last_shm % ID_MOST + 1;
    while (find(s, p->run, s->last_shm));
    *shm = (struct shm){.next = s->shms,
                        .run_id = p->run->id,
                        .id = s->last_shm,
                        .key = m->key,
                        .segment = g,
                        .size_bytes = m->size_bytes,
                        .uid = geteuid(),
                        .gid = getegid(),
                        .cuid = geteuid(),
                        .cgid = getegid(),
                        .mode = m->flags & 0777,
                        .ctime_s = time(NULL),
                        .cpid = (uint32_t)p->pid};
    g->refs++;
    g->shm = shm;
    s->shms = shm;
    *id = shm->id;
    return 0;
}

static int get(struct segments *s, struct process *p, const struct msg_shm_get *m, uint32_t *id)
{
    struct shm *shm = m->key ? s->shms : NULL;
    while (shm && (shm->key != m->key || shm->run_id != p->run->id || shm->removed))
        shm = shm->next;
    if (!shm)
        return m->key && !(m->flags & IPC_CREAT) ? -ENOENT : make(s, p, m, id);
    if (m->flags & IPC_CREAT && m->flags & IPC_EXCL)
        return -EEXIST;
    if (!may(shm, m->flags & 0777))
        return -EACCES;
    if (m->size_bytes > shm->size_bytes)
        return -EINVAL;
    *id = shm->id;
    return 0;
}

/* The one at that place in the run's list, the oldest at 0; and what all of them are. */
static struct shm *at_place(struct segments *s, const struct run *run, uint32_t place,
                            struct msg_shm_control_reply *all)
{
    struct shm *found = NULL;
    for (const struct shm *shm = s->shms; shm; shm = shm->next)
        if (shm->run_id == run->id) {
            all->count++;
            all->lines += (shm->size_bytes + LINE_SIZE - 1) / LINE_SIZE;
        }
    uint32_t left = all->count;
    for (struct shm *shm = s->shms; shm; shm = shm->next) /* the newest is first */
        if (shm->run_id == run->id && --left == place)
            found = shm;
    return found;
}

static int control(struct segments *s, struct process *p, const struct msg_shm_control *m,
                   struct msg_shm_control_reply *reply)
{
    bool by_place = m->command == SHM_STAT || m->command == SHM_STAT_ANY || m->command == SHM_INFO;
    *reply = (struct msg_shm_control_reply){0};
    struct shm *shm = by_place ? at_place(s, p->run, m->id, reply) : find(s, p->run, m->id);
    if (m->command == SHM_INFO)
        return 0;
    if (!shm)
        return -EINVAL;
    if ((m->command == IPC_STAT || m->command == SHM_STAT) && !may(shm, 0400))
        return -EACCES;
    if (m->command == IPC_SET) {
        shm->uid = m->uid;
        shm->gid = m->gid;
        shm->mode = (shm->mode & ~0777u) | (m->mode & 0777);
        shm->ctime_s = time(NULL);
    }
    *reply = (struct msg_shm_control_reply){
        .id = shm->id,
        .key = shm->removed ? 0 : shm->key,
        .uid = shm->uid,
        .gid = shm->gid,
        .cuid = shm->cuid,
        .cgid = shm->cgid,
        .mode = shm->mode | (shm->removed ? SHM_DEST : 0),
        .size_bytes = shm->size_bytes,
        .atime_s = shm->atime_s,
        .dtime_s = shm->dtime_s,
        .ctime_s = shm->ctime_s,
        .cpid = shm->cpid,
        .lpid = shm->lpid,
        .attached = shm->segment->attachment_count,
    };
    if (m->command == IPC_RMID) {
        shm->removed = true;
        if (shm->segment->attachment_count == 0)
            free_shm(s, shm);
    }
    return 0;
}

int shm_request(struct segments *s, struct process *p, struct net_conn *conn,
                const struct net_frame *frame)
{
    if (frame->header.op == OP_SHM_GET) {
        struct msg_shm_get m;
        struct msg_shm_get_reply reply = {};
        if (msg_shm_get_decode(&m, frame->payload, frame->header.length) < 0)
            return net_refuse(conn, frame, ASH_MALFORMED);
        int rc = get(s, p, &m, &reply.id);
        return rc < 0 ? net_refuse(conn, frame, rc) : NET_REPLY(conn, frame, shm_get, &reply);
    }
    struct msg_shm_control m;
    struct msg_shm_control_reply reply;
    if (msg_shm_control_decode(&m, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    int rc = control(s, p, &m, &reply);
    return rc < 0 ? net_refuse(conn, frame, rc) : NET_REPLY(conn, frame, shm_control, &reply);
}
