/* See release.h. */
#include "release.h"

#include "../host/host.h"
#include "../rpc/rpc.h"

struct releases *releases_new(void)
{
    struct releases *r = host_alloc(sizeof *r);
    if (r)
        r->users = 1;
    return r;
}

void releases_share(struct releases *r)
{
    mutex_lock(&r->lock);
    r->users++;
    mutex_unlock(&r->lock);
}

void releases_free(struct releases *r)
{
    mutex_lock(&r->lock);
    bool last = --r->users == 0;
    mutex_unlock(&r->lock);
    if (last)
        host_free(r, sizeof *r);
}

void releases_held(struct releases *r)
{
    mutex_lock(&r->lock);
    r->held++;
    mutex_unlock(&r->lock);
}

/* An sComponent that cannot be told has let go already, or will when the process ends. */
static void send(const struct file_id *files, uint32_t count)
{
    struct msg_file_release request = {.files = files, .files_count = count};
    struct msg_file_release_reply reply;
    struct rpc rpc;
    (void)!RPC_CALL(&rpc, STORAGE, FILE_RELEASE, file_release, &request, &reply);
    rpc_end(&rpc);
}

void releases_put(struct releases *r, const struct file_id *file)
{
    struct file_id files[RELEASE_BATCH];
    uint32_t count = 0;

    mutex_lock(&r->lock);
    r->held--;
    r->files[r->count++] = *file;
    if (r->count == RELEASE_BATCH || r->at_once) {
        if (r->at_once)
            r->at_once--;
        count = r->count;
        memcpy(files, r->files, count * sizeof *files);
        r->count = 0;
    }
    mutex_unlock(&r->lock);
    if (count)
        send(files, count);
}

void releases_unlinked(struct releases *r)
{
    mutex_lock(&r->lock);
    r->at_once = r->held;
    mutex_unlock(&r->lock);
    releases_send(r);
}

void releases_send(struct releases *r)
{
    struct file_id files[RELEASE_BATCH];

    mutex_lock(&r->lock);
    uint32_t count = r->count;
    memcpy(files, r->files, count * sizeof *files);
    r->count = 0;
    mutex_unlock(&r->lock);
    if (count)
        send(files, count);
}
