/*
 * ashlar-memory-file: the memory monitor of an mComponent whose memory is a file, on disk or NVMe.
 *
 * Beside the threads of its connections there is the keeper: a few times in a second it frees
 * address spaces whose processes are gone and lets go of files that nobody maps any more.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include "clock.h"
#include "deadline.h"
#include "cold.h"
#include "error_text.h"
#include "size.h"

enum {
    KEEPER_MS = 200,
    PEERS_MAX = 64,
    /*
     * Added to the load that is reported: the GMM takes memory at this load for a thousandth of
     * what is free, so homes and vRegions go to DRAM as long as there is some.
     */
    COLD_LOAD = 999 * 100000,
};

/* ---- options ---- */

static int set_file(void *self, const char *value)
{
    ((struct cold *)self)->path = value;
    return *value ? 0 : -EINVAL;
}

static int set_size(void *self, const char *value)
{
    return size_parse(value, &((struct cold *)self)->size_bytes);
}

static int set_buffered(void *self, const char *value)
{
    ((struct cold *)self)->buffered = true;
    return 0;
}

static const struct monitor_option options[] = {
    {"file", "PATH", "where the memory is: a new file, unlinked at once", set_file},
    {"size", "SIZE", "memory to serve, such as 512M or 40G", set_size},
    {"buffered", NULL, "through the host's page cache, where there is no O_DIRECT", set_buffered},
    {0},
};

/* ---- the keeper ---- */

/* Whether no mComponent that is up has an address space's first part; false where one of them does
   not say. */
static bool is_orphan(struct cold *cold, struct asid first)
{
    static const struct msg_bind as_component = {.scope = SCOPE_COMPONENT, .writable = ""};
    struct component_info list[PEERS_MAX];
    struct msg_space_locate request = {.asid = first};
    struct msg_space_locate_reply reply = {};
    int count = monitor_components(&cold->monitor, list, PEERS_MAX);
    bool nowhere = count >= 0;
    for (int i = 0; i < count && nowhere; i++) {
        struct net_conn *conn;
        if (list[i].kind != COMPONENT_MEMORY || list[i].state == COMPONENT_DOWN ||
            list[i].id.n == cold->monitor.id.n)
            continue;
        int rc = net_connect(list[i].address, &cold->monitor.key, &as_component, CONNECT_TIMEOUT_MS,
                             &conn, NULL);
        if (rc == 0) {
            rc = NET_CALL(conn, SPACE_LOCATE, space_locate, &request, &reply, MEMORY_TIMEOUT_MS);
            net_close(conn);
        }
        nowhere = rc == 0 && reply.role == ROLE_NONE;
    }
    return nowhere;
}

/* One to which nobody has been connected for its grace, and whose grace then begins anew; 0: none.
 */
static struct asid take_lonely(struct cold *cold, uint64_t now_ms)
{
    struct asid found = {0};
    pthread_mutex_lock(&cold->lock);
    for (int i = 0; i < SPACE_BUCKETS && !found.n; i++) {
        for (struct space *s = cold->buckets[i]; s && !found.n; s = s->next) {
            if (s->connections || s->lonely_since_ms + SPACE_GRACE_MS > now_ms)
                continue;
            s->lonely_since_ms = now_ms;
            found = s->asid;
        }
    }
    pthread_mutex_unlock(&cold->lock);
    return found;
}

/* A first part goes when its grace is over. To a further one its process may not come for long:
   that goes when there is no first part any more. */
static void expire(struct cold *cold)
{
    uint64_t now_ms = clock_ms();
    struct asid asid;
    while ((asid = take_lonely(cold, now_ms)).n) {
        struct asid first = asid_first(asid);
        bool ended = first.n == asid.n || is_orphan(cold, first);
        pthread_mutex_lock(&cold->lock);
        struct space *space = cold_find(cold, asid);
        if (ended && space && !space->connections)
            cold_destroy(cold, space);
        pthread_mutex_unlock(&cold->lock);
    }
}

static void let_files_go(struct cold *cold)
{
    struct mapped *file;
    do {
        pthread_mutex_lock(&cold->lock);
        file = source_take_idle(&cold->source, clock_ms());
        pthread_mutex_unlock(&cold->lock);
        if (file)
            source_release(&cold->source, file, clock_ms() + BACKING_TIMEOUT_MS);
    } while (file);
}

static void *keep(void *argument)
{
    struct cold *cold = argument;
    pthread_mutex_lock(&cold->keeper_lock);
    while (!cold->ending) {
        struct timespec next = deadline_timespec(clock_ms() + KEEPER_MS);
        pthread_cond_timedwait(&cold->keeper_wake, &cold->keeper_lock, &next);
        if (cold->ending)
            break;
        pthread_mutex_unlock(&cold->keeper_lock);
        expire(cold);
        let_files_go(cold);
        pthread_mutex_lock(&cold->keeper_lock);
    }
    pthread_mutex_unlock(&cold->keeper_lock);
    return NULL;
}

/* ---- life ---- */

static int start_keeper(struct cold *cold)
{
    pthread_mutex_init(&cold->keeper_lock, NULL);
    deadline_cond_init(&cold->keeper_wake);
    return -pthread_create(&cold->keeper, NULL, keep, cold);
}

static int start(void *self, struct monitor *monitor)
{
    struct cold *cold = self;
    uint16_t drawn;
    if (!cold->path || !cold->size_bytes) {
        monitor_log("--file and --size are needed");
        return -EINVAL;
    }
    int rc = blocks_open(&cold->blocks, cold->path, cold->size_bytes, cold->buffered);
    if (rc < 0) {
        bool direct = !cold->buffered && (rc == -EINVAL || rc == -EOPNOTSUPP);
        monitor_log("cannot serve %llu bytes of %s: %s%s", (unsigned long long)cold->size_bytes,
                    cold->path, error_text(rc),
                    direct ? " (does its file system know O_DIRECT? else --buffered)" : "");
        return rc;
    }
    if (getrandom(&drawn, sizeof drawn, 0) != sizeof drawn)
        return -EIO;
    cold->asid_base = drawn;
    source_init(&cold->source, monitor);
    pthread_mutex_init(&cold->lock, NULL);
    pthread_mutex_init(&cold->scarce_lock, NULL);
    return start_keeper(cold);
}

static void stop(void *self)
{
    struct cold *cold = self;
    pthread_mutex_lock(&cold->keeper_lock);
    cold->ending = true;
    pthread_cond_signal(&cold->keeper_wake);
    pthread_mutex_unlock(&cold->keeper_lock);
    pthread_join(cold->keeper, NULL);
    for (int i = 0; i < SPACE_BUCKETS; i++)
        while (cold->buckets[i])
            cold_destroy(cold, cold->buckets[i]);
    source_free(&cold->source);
    blocks_close(&cold->blocks);
    pthread_cond_destroy(&cold->keeper_wake);
    pthread_mutex_destroy(&cold->keeper_lock);
    pthread_mutex_destroy(&cold->scarce_lock);
    pthread_mutex_destroy(&cold->lock);
}

/* ---- what it says of itself, and hears of others ---- */

static void usage(void *self, struct msg_ping_reply *reply)
{
    struct cold *cold = self;
    pthread_mutex_lock(&cold->lock);
    reply->size_bytes = (uint64_t)cold->blocks.count * LINE_SIZE;
    reply->used_bytes = (uint64_t)blocks_used(&cold->blocks) * LINE_SIZE;
    for (int i = 0; i < SPACE_BUCKETS; i++)
        for (struct space *s = cold->buckets[i]; s; s = s->next)
            reply->single += s->replicas > 1 && s->vregion_count;
    pthread_mutex_unlock(&cold->lock);
}

/* Processes are counted at their homes: those of first parts. */
static void report(void *self, struct component_info *info)
{
    struct cold *cold = self;
    if (!cold->usage_set && cold->monitor.server) {
        net_server_set_usage(cold->monitor.server, usage);
        cold->usage_set = true;
    }
    info->load += COLD_LOAD;
    info->processes = 0;
    pthread_mutex_lock(&cold->lock);
    info->size_bytes = (uint64_t)cold->blocks.count * LINE_SIZE;
    info->used_bytes = (uint64_t)blocks_used(&cold->blocks) * LINE_SIZE;
    for (int i = 0; i < SPACE_BUCKETS; i++)
        for (struct space *s = cold->buckets[i]; s; s = s->next)
            info->processes += space_part(s) == 0;
    pthread_mutex_unlock(&cold->lock);
}

/* What is free elsewhere is told to processes, and may be a little old. */
static void members(void *self, const struct component_info *list, size_t count)
{
    struct cold *cold = self;
    uint64_t bytes = 0, free_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (list[i].kind != COMPONENT_MEMORY || list[i].state != COMPONENT_UP ||
            list[i].id.n == cold->monitor.id.n)
            continue;
        bytes += list[i].size_bytes;
        free_bytes += list[i].size_bytes - list[i].used_bytes;
    }
    pthread_mutex_lock(&cold->lock);
    cold->others_bytes = bytes;
    cold->others_free_bytes = free_bytes;
    pthread_mutex_unlock(&cold->lock);
}

int main(int argc, char **argv)
{
    static struct cold cold = {
        .monitor =
            {
                .program = "ashlar-memory-file",
                .summary = "The memory monitor of an mComponent whose memory is a file.",
                .kind = COMPONENT_MEMORY,
                .options = options,
                .ops = &cold_ops,
                .self = &cold,
                .start = start,
                .report = report,
                .members = members,
                .stop = stop,
            },
    };
    return monitor_main(&cold.monitor, argc, argv);
}
