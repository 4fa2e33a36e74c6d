/*
 * ashlar-memory: the memory monitor of an mComponent.
 *
 * Beside the threads of its connections there are the keeper, which a few times in a second frees
 * address spaces whose processes are gone and lets go of files that nobody maps any more; the
 * replicator (replicator.h); and, where cold lines are compressed, the cooler (cold.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "deadline.h"
#include "error_text.h"
#include "memory.h"
#include "parts.h"
#include "replicator.h"
#include "size.h"

enum {
    KEEPER_MS = 200,
    GONE_MS = 5000, /* how long what moved away is known to have */
};

static int set_size(void *self, const char *value)
{
    struct memory *memory = self;
    return size_parse(value, &memory->size_bytes);
}

static int set_dram(void *self, const char *value)
{
    struct memory *memory = self;
    return size_parse(value, &memory->dram_bytes);
}

static int set_compress(void *self, const char *value)
{
    struct memory *memory = self;
    memory->compress = strcmp(value, "on") == 0;
    return memory->compress || strcmp(value, "off") == 0 ? 0 : -EINVAL;
}

static const struct monitor_option options[] = {
    {"size", "SIZE", "memory to serve, such as 512M or 4G (default: a quarter of the host's)",
     set_size},
    {"dram", "SIZE",
     "of that, what may be in DRAM at a time; less needs --compress on (default: all)", set_dram},
    {"compress", "on|off", "compress lines that are not used while DRAM is short (default: off)",
     set_compress},
    {0},
};

static uint64_t default_size(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 4;
}

/*
 * A first part goes when nobody was connected to it for its grace, and takes the others along. A
 * further one may have a process that has not come to it for long: its first part says. Of a
 * replica its primary says whether it is one; one in the making goes when nothing more comes.
 */
static void expire(void *arg, struct space *space)
{
    struct memory *memory = arg;
    struct spaces *spaces = &memory->spaces;
    struct space_place place;
    int rc = space_place(space, &place);
    if (rc < 0 && space_is_gone_since(space, clock_ms() - GONE_MS))
        spaces_destroy(spaces, space);
    if (rc < 0 || !spaces_is_lonely(spaces, space, clock_ms(), SPACE_GRACE_MS))
        return;
    bool replica = place.role == ROLE_REPLICA;
    if (replica && (!place.ready || parts_is_forgotten(memory, space)))
        spaces_destroy(spaces, space);
    else if (!replica && (!space_part(space) || parts_are_orphans(memory, asid_first(space->asid))))
        (void)!parts_finish(memory, space); /* it may have moved: then its new place will */
    else
        spaces_touch(spaces, space);
}

static void *keep(void *argument)
{
    struct memory *memory = argument;
    pthread_mutex_lock(&memory->keeper_lock);
    while (!memory->ending) {
        struct timespec next = deadline_timespec(clock_ms() + KEEPER_MS);
        pthread_cond_timedwait(&memory->keeper_wake, &memory->keeper_lock, &next);
        if (memory->ending)
            break;
        pthread_mutex_unlock(&memory->keeper_lock);
        spaces_each(&memory->spaces, expire, memory);
        files_tidy(&memory->files, clock_ms());
        pthread_mutex_lock(&memory->keeper_lock);
    }
    pthread_mutex_unlock(&memory->keeper_lock);
    return NULL;
}

static int start_keeper(struct memory *memory)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&memory->keeper_lock, NULL);
    pthread_cond_init(&memory->keeper_wake, &attr);
    pthread_condattr_destroy(&attr);
    return -pthread_create(&memory->keeper, NULL, keep, memory);
}

/* The frames, and where lines that are not used go. */
static int start_frames(struct memory *memory)
{
    if (memory->dram_bytes == 0)
        memory->dram_bytes = memory->size_bytes;
    if (memory->dram_bytes > memory->size_bytes ||
        (memory->dram_bytes < memory->size_bytes && !memory->compress)) {
        monitor_log("--dram is more than --size, or less without --compress on");
        return -EINVAL;
    }
    int rc = frames_init(&memory->frames, memory->size_bytes);
    if (rc == 0 && memory->compress)
        rc = cold_init(&memory->cold, &memory->frames, memory->dram_bytes);
    if (rc == 0 && memory->compress)
        rc = cold_start(&memory->cold);
    return rc;
}

static int start(void *self, struct monitor *monitor)
{
    struct memory *memory = self;
    peers_init(&memory->peers, monitor);
    int rc = start_frames(memory);
    if (rc == 0)
        rc = cache_init(&memory->cache, &memory->frames);
    if (rc == 0)
        rc = backing_open_storage(&memory->backing, monitor);
    if (rc == 0)
        rc = files_init(&memory->files, memory->backing);
    if (rc == 0)
        rc = spaces_init(&memory->spaces, &memory->frames);
    if (rc == 0)
        rc = start_keeper(memory);
    if (rc == 0)
        rc = replicator_start(memory);
    if (rc < 0)
        monitor_log("cannot serve %llu bytes of memory: %s", (unsigned long long)memory->size_bytes,
                    error_text(rc));
    return rc;
}

static void stop(void *self)
{
    struct memory *memory = self;
    replicator_stop(memory);
    replicas_when_ending(memory);
    pthread_mutex_lock(&memory->keeper_lock);
    memory->ending = true;
    pthread_cond_signal(&memory->keeper_wake);
    pthread_mutex_unlock(&memory->keeper_lock);
    pthread_join(memory->keeper, NULL);
    pthread_cond_destroy(&memory->keeper_wake);
    pthread_mutex_destroy(&memory->keeper_lock);
    spaces_free(&memory->spaces);
    cache_free(&memory->cache);
    files_free(&memory->files);
    backing_close_storage(&memory->backing);
    peers_free(&memory->peers);
    if (memory->compress) {
        cold_stop(&memory->cold);
        cold_free(&memory->cold);
    }
    frames_free(&memory->frames);
}

static uint64_t frames_bytes(uint32_t frames)
{
    return (uint64_t)frames * LINE_SIZE;
}

static void count_single(void *count, struct space *space)
{
    *(uint32_t *)count += space_wants_replica(space, UINT64_MAX, 0);
}

static void usage(void *self, struct msg_ping_reply *reply)
{
    struct memory *memory = self;
    reply->size_bytes = frames_bytes(memory->frames.count);
    reply->used_bytes = frames_bytes(frames_used(&memory->frames));
    reply->cached_bytes = frames_bytes(frames_cached(&memory->frames));
    spaces_each(&memory->spaces, count_single, &reply->single);
}

struct census {
    bool all; /* also further parts and replicas */
    uint32_t count;
};

static void count_space(void *arg, struct space *space)
{
    struct census *census = arg;
    struct space_place place;
    if (space_place(space, &place) == 0)
        census->count += census->all || (place.role == ROLE_PRIMARY && space_part(space) == 0);
}

/* Programs that have their home here; while it is drained, all that is here and is to move away. */
static void report(void *self, struct component_info *info)
{
    struct memory *memory = self;
    if (!memory->usage_set && memory->monitor.server) {
        net_server_set_usage(memory->monitor.server, usage);
        memory->usage_set = true;
    }
    info->size_bytes = frames_bytes(memory->frames.count);
    info->used_bytes = frames_bytes(frames_used(&memory->frames));
    info->cached_bytes = frames_bytes(frames_cached(&memory->frames));
    struct census census = {.all =
                                peers_state(&memory->peers, memory->monitor.id) == PEER_DRAINING};
    spaces_each(&memory->spaces, count_space, &census);
    info->processes = census.count;
}

static void members(void *self, const struct component_info *list, size_t count)
{
    struct memory *memory = self;
    peers_update(&memory->peers, list, count);
    if (!replicas_bear_losses(memory))
        memory_wake_replicator(memory); /* it may ask for another list */
}

static void fenced(void *self)
{
    replicas_when_fenced(self);
}

int main(int argc, char **argv)
{
    static struct memory memory = {
        .monitor =
            {
                .program = "ashlar-memory",
                .summary = "The memory monitor of an mComponent: serves address spaces.",
                .kind = COMPONENT_MEMORY,
                .options = options,
                .ops = &serve_ops,
                .self = &memory,
                .start = start,
                .report = report,
                .members = members,
                .fenced = fenced,
                .stop = stop,
            },
    };
    memory.size_bytes = default_size();
    return monitor_main(&memory.monitor, argc, argv);
}
