/*
 * A bare monitor for the tests of monitor_main() and of ashlar-global: a component of any kind
 * whose figures are given as options. It reports as `processes` how many components it was told of
 * as members of the rack, and 100 for each that is draining; as `cached_bytes` how often it was
 * fenced; and answers COMPONENTS with what monitor_components() says.
 */
#include "monitor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "size.h"

struct daemon {
    struct monitor *monitor;
    uint64_t size_bytes, used_bytes, load;
    uint32_t members, fenced;
};

enum { MEMBERS_MAX = 16 };

static int set_kind(void *self, const char *value)
{
    static const char *const kinds[] = {"process", "memory", "storage"};
    struct daemon *d = self;
    for (int i = 0; i < 3; i++) {
        if (strcmp(value, kinds[i]) == 0) {
            d->monitor->kind = (enum component_kind)(COMPONENT_PROCESS + i);
            return 0;
        }
    }
    return -EINVAL;
}

static int set_size(void *self, const char *value)
{
    return size_parse(value, &((struct daemon *)self)->size_bytes);
}

static int set_used(void *self, const char *value)
{
    return size_parse(value, &((struct daemon *)self)->used_bytes);
}

static int set_load(void *self, const char *value)
{
    return size_parse(value, &((struct daemon *)self)->load);
}

static void report(void *self, struct component_info *info)
{
    struct daemon *d = self;
    info->size_bytes = d->size_bytes;
    info->used_bytes = d->used_bytes;
    info->cached_bytes = d->fenced;
    info->processes = d->members;
    if (d->load)
        info->load = d->load;
}

static void members(void *self, const struct component_info *list, size_t count)
{
    struct daemon *d = self;
    d->members = (uint32_t)count;
    for (size_t i = 0; i < count; i++)
        d->members += list[i].state == COMPONENT_DRAINING ? 100 : 0;
}

static void fenced(void *self)
{
    ((struct daemon *)self)->fenced++;
}

static int request(void *self, struct net_conn *conn, const struct net_frame *frame)
{
    struct daemon *d = self;
    struct component_info list[MEMBERS_MAX];
    if (frame->header.op != OP_COMPONENTS)
        return net_refuse(conn, frame, ASH_UNKNOWN_OP);
    int count = monitor_components(d->monitor, list, MEMBERS_MAX);
    if (count < 0)
        return net_refuse(conn, frame, count);
    struct msg_components_reply reply = {.components = list, .components_count = (uint32_t)count};
    return NET_REPLY(conn, frame, components, &reply);
}

int main(int argc, char **argv)
{
    static const struct monitor_option options[] = {
        {"kind", "KIND", "process, memory or storage", set_kind},
        {"size", "SIZE", "what it says that it manages", set_size},
        {"used", "SIZE", "what it says is used", set_used},
        {"load", "N", "the load that it reports", set_load},
        {NULL, NULL, NULL, NULL},
    };
    static const struct net_server_ops ops = {.request = request};
    struct daemon daemon = {0};
    struct monitor monitor = {.program = "test-daemon",
                              .summary = "A component that only reports.",
                              .kind = COMPONENT_MEMORY,
                              .options = options,
                              .ops = &ops,
                              .self = &daemon,
                              .report = report,
                              .members = members,
                              .fenced = fenced};
    daemon.monitor = &monitor;
    return monitor_main(&monitor, argc, argv);
}
