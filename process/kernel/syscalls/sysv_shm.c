/* System V shared memory. Ids and keys are the node's to give (process/node/shm.c). */
#include <asm/shmbuf.h>
#include <linux/ipc.h>
#include <linux/mman.h>
#include <linux/shm.h>

#include "../files/files.h"
#include "../mm/shared.h"
#include "memory_calls.h"

#define MAP_FIXED_           0x10
#define MAP_FIXED_NOREPLACE_ 0x100000
#define SHM_DEST_            01000

enum {
    SHM_LOCK_ = 11, /* the node's word, too, for a look at what an id is */
    SHM_UNLOCK_ = 12,
    SHM_STAT_ = 13,
    SHM_INFO_ = 14,
    SHM_STAT_ANY_ = 15,
    IDS_MOST = 4096,
};

struct shm_info_ {
    int used_ids;
    unsigned long lines, resident, swapped, swap_attempts, swap_successes;
};

long sys_shmget(struct thread *t, const uint64_t a[6])
{
    struct msg_shm_get request = {
        .key = (uint32_t)a[0], .size_bytes = a[1], .flags = (uint32_t)a[2]};
    uint32_t id;
    (void)t;
    if (a[2] & SHM_HUGETLB)
        return -ENOMEM; /* the host keeps no huge pages for programs */
    long rc = shared_shm_get(&request, &id);
    return rc < 0 ? rc : (long)id;
}

static long control(uint32_t id, uint32_t command, struct msg_shm_control_reply *reply)
{
    struct msg_shm_control request = {.id = id, .command = command};
    return shared_shm_control(&request, reply);
}

/* Whether the rights in a mode allow what is asked for; the owner's, as every process is his. */
static bool may(uint32_t mode, uint32_t wanted)
{
    return host_call(__NR_geteuid) == 0 || !(wanted & ~(mode >> 6));
}

long sys_shmat(struct thread *t, const uint64_t a[6])
{
    struct msg_shm_control_reply shm;
    uint64_t address = a[1], flags = a[2];
    bool read_only = flags & SHM_RDONLY, exec = flags & SHM_EXEC;
    char name[32];
    (void)t;

    if ((int)a[0] < 0)
        return -EINVAL;
    if (address & (LINE_SIZE - 1)) {
        if (!(flags & SHM_RND))
            return -EINVAL;
        address &= ~(uint64_t)(LINE_SIZE - 1);
    }
    if (!address && flags & SHM_REMAP)
        return -EINVAL;
    long rc = control((uint32_t)a[0], SHM_LOCK_, &shm);
    if (rc < 0)
        return rc;
    if (!may(shm.mode, 4u | (read_only ? 0 : 2u) | (exec ? 1u : 0)))
        return -EACCES;
    text_format(name, sizeof name, "/SYSV%08x (deleted)", shm.key);
    struct shared_source source = {
        .kind = SEGMENT_SYSV, .may_write = !read_only, .name = name, .id = (uint32_t)a[0]};
    rc = shared_map(address, shm.size_bytes,
                    PROT_READ | (read_only ? 0 : PROT_WRITE) | (exec ? PROT_EXEC : 0),
                    !address            ? 0
                    : flags & SHM_REMAP ? MAP_FIXED_
                                        : MAP_FIXED_NOREPLACE_,
                    &source, 0);
    return rc == -EEXIST ? -EINVAL : rc;
}

long sys_shmdt(struct thread *t, const uint64_t a[6])
{
    (void)t;
    return a[0] & (LINE_SIZE - 1) ? -EINVAL : shared_shm_unmap(a[0]);
}

static long put_stat(uint64_t to, const struct msg_shm_control_reply *shm)
{
    struct shmid64_ds ds = {.shm_perm = {.key = (int)shm->key,
                                         .uid = shm->uid,
                                         .gid = shm->gid,
                                         .cuid = shm->cuid,
                                         .cgid = shm->cgid,
                                         .mode = shm->mode},
                            .shm_segsz = shm->size_bytes,
                            .shm_atime = shm->atime_s,
                            .shm_dtime = shm->dtime_s,
                            .shm_ctime = shm->ctime_s,
                            .shm_cpid = (int)shm->cpid,
                            .shm_lpid = (int)shm->lpid,
                            .shm_nattch = shm->attached};
    return user_write(to, &ds, sizeof ds);
}

/* Answers with the last place in the list. */
static long put_info(uint64_t to, const void *info, size_t size,
                     const struct msg_shm_control_reply *all)
{
    if (user_write(to, info, size) < 0)
        return -EFAULT;
    return all->count ? all->count - 1 : 0;
}

long sys_shmctl(struct thread *t, const uint64_t a[6])
{
    struct msg_shm_control_reply shm;
    uint32_t id = (uint32_t)a[0];
    long rc;
    (void)t;

    if ((int)a[0] < 0 || (int)a[1] < 0)
        return -EINVAL;
    switch ((int)a[1]) {
    case IPC_STAT:
        rc = control(id, IPC_STAT, &shm);
        return rc < 0 ? rc : put_stat(a[2], &shm);
    case SHM_STAT_:
    case SHM_STAT_ANY_:
        rc = control(id, (uint32_t)a[1], &shm);
        if (rc == 0)
            rc = put_stat(a[2], &shm);
        return rc < 0 ? rc : shm.id;
    case IPC_RMID:
    case SHM_LOCK_: /* nothing here is ever swapped by a wish of the program's */
    case SHM_UNLOCK_:
        return control(id, (int)a[1] == IPC_RMID ? IPC_RMID : SHM_LOCK_, &shm);
    case IPC_SET: {
        struct shmid64_ds ds;
        if (user_read(&ds, a[2], sizeof ds) < 0)
            return -EFAULT;
        struct msg_shm_control request = {.id = id,
                                          .command = IPC_SET,
                                          .mode = ds.shm_perm.mode,
                                          .uid = ds.shm_perm.uid,
                                          .gid = ds.shm_perm.gid};
        return shared_shm_control(&request, &shm);
    }
    case IPC_INFO: {
        struct shminfo64 info = {.shmmax = WINDOW_END,
                                 .shmmin = 1,
                                 .shmmni = IDS_MOST,
                                 .shmseg = IDS_MOST,
                                 .shmall = WINDOW_END >> LINE_SHIFT};
        rc = control(0, SHM_INFO_, &shm);
        if (rc < 0)
            return rc;
        return put_info(a[2], &info, sizeof info, &shm);
    }
    case SHM_INFO_: {
        rc = control(0, SHM_INFO_, &shm);
        if (rc < 0)
            return rc;
        struct shm_info_ info = {.used_ids = (int)shm.count, .lines = shm.lines};
        return put_info(a[2], &info, sizeof info, &shm);
    }
    }
    return -EINVAL;
}
