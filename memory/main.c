/*
 * ashlar-memory: the memory monitor of an mComponent.
 *
 * Beside the threads of its connections there are the keeper, which a few times in a second frees
 * address spaces whose processes are gone and lets go of files that nobody maps any more; the
 * replicator (replicator.h); the logger (logger.h), unless all is kept in DRAM; and, where cold
 * lines are compressed, the cooler (cold.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "deadline.h"
#include "error_text.h"
#include "logger.h"
#include "memory.h"
#include "parts.h"
#include "replicator.h"
#include "size.h"

enum {
    KEEPER_MS = 200,
    GONE_MS = 5000,    /* how long what moved away is known to have */
    REPLICA_SHARE = 8, /* of --size may be in DRAM of second copies, where nothing else is said; */
    REPLICA_DRAM_LEAST = 1 << 20, /* but so much */
    LOG_SHARE = 4,                /* so many times --size may be in the log */
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

static int set_replica_dram(void *self, const char *value)
{
    struct memory *memory = self;
    memory->all_in_dram = strcmp(value, "all") == 0;
    return memory->all_in_dram ? 0 : size_parse(value, &memory->replica_dram_bytes);
}

static const struct monitor_option options[] = {
    {"size", "SIZE", "memory to serve, such as 512M or 4G (default: a quarter of the host's)",
     set_size},
    {"dram", "SIZE",
     "of that, what may be in DRAM at a time; less needs --compress on (default: all)", set_dram},
    {"replica-dram", "SIZE",
     "what second copies may take of DRAM; more goes to a log at an sComponent, where the rack has "
     "one (default: an eighth of --size; all: no log)",
     set_replica_dram},
    {"compress", "on|off", "compress lines that are not used while DRAM is short (default: off)",
     set_compress},
    {0},
};

static uint64_t default_size(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 4;
}

/*
 * A first part goes when nobody was connected to it for its grace, and takes the others along;
 * where it took a lost primary's place, the nodes say whether its process is still to come. A
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
    /* It may have taken its primary's place while that was asked. */
    if (replica && (!place.ready || parts_is_forgotten(memory, space, &place)) &&
        space_forget_replica(space, &place))
        spaces_destroy(spaces, space);
    else if (!replica && !parts_are_awaited(memory, space))
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
    pthread_mutex_init(&memory->keeper_lock, NULL);
    deadline_cond_init(&memory->keeper_wake);
    return -pthread_create(&memory->keeper, NULL, keep, memory);
}

/* The budget of replicas. One that is all of DRAM needs no log. */
static int plan_log(struct memory *memory)
{
    uint64_t bytes = memory->replica_dram_bytes;
    if (!bytes)
        bytes = memory->size_bytes / REPLICA_SHARE;
    if (bytes < REPLICA_DRAM_LEAST)
        bytes = REPLICA_DRAM_LEAST;
    if (memory->replica_dram_bytes && memory->replica_dram_bytes < REPLICA_DRAM_LEAST) {
        monitor_log("--replica-dram is less than 1M");
        return -EINVAL;
    }
    if (!memory->all_in_dram && bytes < memory->dram_bytes)
        memory->replica_lines = (uint32_t)(bytes / LINE_SIZE);
    return 0;
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
    if (plan_log(memory) < 0)
        return -EINVAL;
    bool logs = memory->replica_lines;
    int rc = frames_init_logged(&memory->frames, memory->size_bytes,
                                logs ? LOG_SHARE * memory->size_bytes : 0);
    if (rc == 0 && logs)
        rc = log_init(&memory->log, &log_stores_io, &memory->log_stores,
                      memory->frames.count - memory->frames.size);
    if (rc == 0 && (memory->compress || logs))
        rc = cold_init(&memory->cold, &memory->frames, memory->dram_bytes, memory->compress,
                       logs ? &memory->log : NULL);
    if (rc == 0 && memory->compress)
        rc = cold_start(&memory->cold);
    return rc;
}

static int start(void *self, struct monitor *monitor)
{
    struct memory *memory = self;
    peers_init(&memory->peers, monitor);
    log_stores_init(&memory->log_stores, monitor);
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
    if (rc == 0 && memory->replica_lines)
        rc = logger_start(memory);
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
    if (memory->replica_lines)
        logger_stop(memory);
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
    if (memory->compress)
        cold_stop(&memory->cold);
    if (memory->replica_lines) {
        log_tidy(&memory->log);
        log_free(&memory->log);
    }
    if (memory->compress || memory->replica_lines)
        cold_free(&memory->cold);
    log_stores_free(&memory->log_stores);
    frames_free(&memory->frames);
}

static uint64_t frames_bytes(uint32_t frames)
{
    return (uint64_t)frames * LINE_SIZE;
}

static void usage(void *self, struct msg_ping_reply *reply)
{
    struct memory *memory = self;
    reply->size_bytes = frames_bytes(memory->frames.size);
    reply->used_bytes = frames_bytes(frames_used(&memory->frames));
    reply->cached_bytes = frames_bytes(frames_cached(&memory->frames));
    reply->replica_bytes = frames_bytes(frames_backed(&memory->frames));
    reply->logged_bytes = frames_bytes(frames_logged(&memory->frames));
    reply->single = atomic_load_explicit(&memory->spaces.singles, memory_order_relaxed);
}

/* What the log can take besides what it has. */
static uint64_t log_free_bytes(struct memory *memory)
{
    uint32_t most = memory->frames.count - memory->frames.size;
    uint32_t logged = frames_logged(&memory->frames);
    bool usable = memory->replica_lines && log_is_usable(&memory->log);
    return usable && logged < most ? frames_bytes(most - logged) : 0;
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
    info->size_bytes = frames_bytes(memory->frames.size);
    info->used_bytes = frames_bytes(frames_used(&memory->frames));
    info->cached_bytes = frames_bytes(frames_cached(&memory->frames));
    info->log_free_bytes = log_free_bytes(memory);
    struct census census = {.all =
                                peers_state(&memory->peers, memory->monitor.id) == PEER_DRAINING};
    spaces_each(&memory->spaces, count_space, &census);
    info->processes = census.count;
}

static void members(void *self, const struct component_info *list, size_t count)
{
    struct memory *memory = self;
    peers_update(&memory->peers, list, count);
    log_stores_update(&memory->log_stores, list, count);
    if (memory->replica_lines)
        log_look(&memory->log);
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
