/*
 * ashlar-memory: the memory monitor of an mComponent.
 *
 * Beside the threads of its connections there is one more, the keeper: a few times in a second it
 * frees address spaces whose processes are gone and lets go of files that nobody maps any more.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "clock.h"
#include "deadline.h"
#include "error_text.h"
#include "memory.h"
#include "size.h"

enum { KEEPER_MS = 200 };

static int set_size(void *self, const char *value)
{
    struct memory *memory = self;
    return size_parse(value, &memory->size_bytes);
}

static const struct monitor_option options[] = {
    {"size", "SIZE", "memory to serve, such as 512M or 4G (default: a quarter of the host's)",
     set_size},
    {0},
};

static uint64_t default_size(void)
{
    return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 4;
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
        spaces_expire(&memory->spaces, clock_ms(), SPACE_GRACE_MS);
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

static int start(void *self, struct monitor *monitor)
{
    struct memory *memory = self;
    int rc = frames_init(&memory->frames, memory->size_bytes);
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
    if (rc < 0)
        monitor_log("cannot serve %llu bytes of memory: %s", (unsigned long long)memory->size_bytes,
                    error_text(rc));
    return rc;
}

static void stop(void *self)
{
    struct memory *memory = self;
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
    frames_free(&memory->frames);
}

static uint64_t frames_bytes(uint32_t frames)
{
    return (uint64_t)frames * LINE_SIZE;
}

static void usage(void *self, struct msg_ping_reply *reply)
{
    struct memory *memory = self;
    reply->size_bytes = frames_bytes(memory->frames.count);
    reply->used_bytes = frames_bytes(frames_used(&memory->frames));
    reply->cached_bytes = frames_bytes(frames_cached(&memory->frames));
}

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
    info->processes = spaces_count(&memory->spaces);
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
                .stop = stop,
            },
    };
    memory.size_bytes = default_size();
    return monitor_main(&memory.monitor, argc, argv);
}
