/*
 * ashlar-storage: the storage monitor. Options, and what it reports of itself.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "descriptors.h"
#include "housekeeping.h"
#include "monitor.h"
#include "serve.h"

struct daemon {
    struct storage storage; /* first: it is what the server's calls are handed */
    struct housekeeping housekeeping;
    struct monitor *monitor;
    const char *volume;
    const char *logs;      /* NULL: in the rack's directory */
    char root[PATH_LIMIT]; /* of --root */
};

static int set_volume(void *self, const char *value)
{
    ((struct daemon *)self)->volume = value;
    return value[0] ? 0 : -EINVAL;
}

/* Made absolute, so that it needs no KIND: before it. */
static int set_root(void *self, const char *value)
{
    struct daemon *daemon = self;
    if (!realpath(value, daemon->root))
        return -errno;
    daemon->volume = daemon->root;
    return 0;
}

static int set_logs(void *self, const char *value)
{
    ((struct daemon *)self)->logs = value;
    return value[0] ? 0 : -EINVAL;
}

static void ping(void *self, struct msg_ping_reply *reply)
{
    struct daemon *daemon = self;
    struct volume *volume = daemon->storage.volume;
    uint64_t size, used;

    if (volume->ops->usage(volume, &size, &used) == 0) {
        reply->size_bytes = size;
        reply->used_bytes = used;
    }
}

static void hide_logs(struct storage *storage)
{
    char path[PATH_LIMIT];
    logs_hidden(&storage->logs, path);
    storage->volume->ops->hide(storage->volume, path);
}

static int start(void *self, struct monitor *monitor)
{
    struct daemon *daemon = self;

    daemon->monitor = monitor;
    umask(0);                 /* modes come with the programs' own masks applied */
    signal(SIGXFSZ, SIG_IGN); /* a write past the daemon's own limit is -EFBIG, no death */
    unsigned files = descriptors_start();
    int rc = storage_start(&daemon->storage, daemon->volume);
    if (rc == 0)
        rc = logs_init(&daemon->storage.logs, daemon->logs ? daemon->logs : monitor->rack_dir,
                       monitor->name);
    if (rc == 0) {
        hide_logs(&daemon->storage);
        rc = housekeeping_start(&daemon->housekeeping, daemon->storage.volume,
                                &daemon->storage.logs);
    }
    if (rc < 0)
        monitor_log("cannot serve %s: %s%s", daemon->volume,
                    rc == -EPROTONOSUPPORT ? "no such kind of volume" : strerror(-rc),
                    rc == -ENOSYS ? " (openat2 and /proc are needed)" : "");
    else
        monitor_log("serving %s; descriptors for files: %u", daemon->volume, files);
    return rc;
}

static void members(void *self, const struct component_info *list, size_t count)
{
    logs_members(&((struct daemon *)self)->storage.logs, list, count);
}

static void report(void *self, struct component_info *info)
{
    struct daemon *daemon = self;

    net_server_set_usage(daemon->monitor->server, ping);
    struct housekeeping_figures seen =
        housekeeping_beat(&daemon->housekeeping, daemon->monitor->members_ms);
    info->size_bytes = seen.size;
    info->used_bytes = seen.used;
}

static void stop(void *self)
{
    struct daemon *daemon = self;

    housekeeping_stop(&daemon->housekeeping);
    logs_end(&daemon->storage.logs);
    storage_stop(&daemon->storage);
}

int main(int argc, char **argv)
{
    static const struct monitor_option options[] = {
        {"volume", "VOLUME", "what to serve: [dir:]DIRECTORY (default /)", set_volume},
        {"root", "DIRECTORY", "the same as --volume dir:DIRECTORY", set_root},
        {"log-dir", "DIRECTORY",
         "where logs of mComponents are kept (default: the rack's directory)", set_logs},
        {0},
    };
    struct daemon daemon = {.volume = "/"};
    struct monitor monitor = {
        .program = "ashlar-storage",
        .summary = "The storage monitor of an sComponent: serves the files of a volume.",
        .kind = COMPONENT_STORAGE,
        .options = options,
        .ops = &storage_server_ops,
        .self = &daemon,
        .start = start,
        .report = report,
        .members = members,
        .stop = stop,
    };
    return monitor_main(&monitor, argc, argv);
}
