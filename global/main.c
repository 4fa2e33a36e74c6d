/*
 * ashlar-global: the global managers and the registry, behind one server.
 *
 * Never on the data path: a running program goes on without it, and so do the components, which
 * register again when it is back. Numbers and epochs survive it in the rack's directory.
 */
#include "monitor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "error_text.h"
#include "registry.h"

struct global {
    struct registry *registry;
    struct monitor *monitor;
};

static int start(void *self, struct monitor *monitor)
{
    struct global *global = self;
    struct store store;
    global->monitor = monitor;
    int rc = store_file_open(monitor->rack_dir, &store);
    if (rc < 0) {
        monitor_log("cannot keep the registry in %s: %s", monitor->rack_dir, error_text(rc));
        return rc;
    }
    rc = registry_new(&store, &global->registry);
    if (rc < 0) {
        store.ops->close(store.self);
        monitor_log("cannot load the registry: %s", error_text(rc));
        return rc;
    }
    rc = registry_reserve(global->registry, monitor->name, &monitor->id);
    if (rc < 0)
        monitor_log("cannot be named %s: %s", monitor->name, error_text(rc));
    return rc;
}

static void stop(void *self)
{
    struct global *global = self;
    registry_free(global->registry);
}

/* ---- requests ---- */

static int do_register(struct global *global, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_register request;
    struct msg_register_reply reply = {.lease_ms = LEASE_MS};
    if (msg_register_decode(&request, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    int rc = registry_register(global->registry, &request.self, conn, clock_ms(), &reply.id,
                               &reply.epoch);
    return rc < 0 ? net_refuse(conn, frame, rc) : NET_REPLY(conn, frame, register, &reply);
}

static int do_heartbeat(struct global *global, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_heartbeat request;
    struct msg_heartbeat_reply reply;
    if (msg_heartbeat_decode(&request, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    int rc = registry_heartbeat(global->registry, &request.self, clock_ms(), &reply.epoch,
                                &reply.changes);
    return rc < 0 ? net_refuse(conn, frame, rc) : NET_REPLY(conn, frame, heartbeat, &reply);
}

static int do_leave(struct global *global, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_leave request;
    if (msg_leave_decode(&request, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    int rc = registry_leave(global->registry, request.id, conn);
    return rc < 0 ? net_refuse(conn, frame, rc) : net_reply(conn, frame, 0, NULL, 0, NULL, 0);
}

static int do_drain(struct global *global, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_drain request;
    if (msg_drain_decode(&request, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    int rc = registry_drain(global->registry, request.id, request.on, clock_ms());
    return rc < 0 ? net_refuse(conn, frame, rc) : net_reply(conn, frame, 0, NULL, 0, NULL, 0);
}

static int do_components(struct global *global, struct net_conn *conn,
                         const struct net_frame *frame)
{
    if (frame->header.length)
        return net_refuse(conn, frame, ASH_MALFORMED);
    size_t limit = REGISTRY_MAX + 1, size = (limit + 1) * sizeof(struct component_info);
    struct component_info *list = calloc(limit, sizeof *list);
    uint8_t *body = malloc(size);
    int rc = -ENOMEM;
    if (list && body) {
        struct monitor *m = global->monitor;
        list[0] = (struct component_info){.id = m->id,
                                          .kind = COMPONENT_GLOBAL,
                                          .state = COMPONENT_UP,
                                          .pid = (uint32_t)getpid()};
        strcpy(list[0].name, m->name);
        strcpy(list[0].address, net_server_address(m->server));
        struct msg_components_reply reply = {.components = list};
        reply.components_count = 1 + (uint32_t)registry_list(global->registry, clock_ms(), list + 1,
                                                             limit - 1, &reply.changes);
        rc = msg_components_reply_encode(&reply, body, size);
    }
    rc = net_reply(conn, frame, rc < 0 ? rc : 0, body, rc < 0 ? 0 : (size_t)rc, NULL, 0);
    free(list);
    free(body);
    return rc;
}

static int do_place(struct global *global, struct net_conn *conn, const struct net_frame *frame)
{
    struct msg_place request;
    struct msg_place_reply reply;
    if (msg_place_decode(&request, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    const struct {
        const struct manager *manager;
        struct component_info *choice;
    } choices[] = {{&gpm, &reply.process}, {&gmm, &reply.memory}, {&gsm, &reply.storage}};
    struct component nobody = {0};
    for (int i = 0; i < 3; i++) {
        int rc = registry_choose(global->registry, choices[i].manager, nobody, nobody,
                                 request.memory_bytes, clock_ms(), choices[i].choice);
        if (rc < 0) {
            monitor_log("the %s has no component to place a program on", choices[i].manager->name);
            return net_refuse(conn, frame, rc);
        }
    }
    return NET_REPLY(conn, frame, place, &reply);
}

static int do_place_vregion(struct global *global, struct net_conn *conn,
                            const struct net_frame *frame)
{
    struct msg_place_vregion request;
    struct msg_place_vregion_reply reply;
    if (msg_place_vregion_decode(&request, frame->payload, frame->header.length) < 0)
        return net_refuse(conn, frame, ASH_MALFORMED);
    int rc = registry_choose(global->registry, &gmm, request.home, request.also, request.bytes,
                             clock_ms(), &reply.owner);
    /* The home asks because it is short: its own name is no answer, nor is one with nothing free.
     */
    if (rc == 0 && (reply.owner.id.n == request.home.n || reply.owner.id.n == request.also.n ||
                    reply.owner.used_bytes >= reply.owner.size_bytes))
        rc = ASH_NO_FRAMES;
    return rc < 0 ? net_refuse(conn, frame, rc) : NET_REPLY(conn, frame, place_vregion, &reply);
}

static int request(void *self, struct net_conn *conn, const struct net_frame *frame)
{
    struct global *global = self;
    if (net_conn_scope(conn)->scope != SCOPE_COMPONENT)
        return net_refuse(conn, frame, ASH_FORBIDDEN);
    switch (frame->header.op) {
    case OP_REGISTER:
        return do_register(global, conn, frame);
    case OP_HEARTBEAT:
        return do_heartbeat(global, conn, frame);
    case OP_LEAVE:
        return do_leave(global, conn, frame);
    case OP_DRAIN:
        return do_drain(global, conn, frame);
    case OP_COMPONENTS:
        return do_components(global, conn, frame);
    case OP_PLACE:
        return do_place(global, conn, frame);
    case OP_PLACE_VREGION:
        return do_place_vregion(global, conn, frame);
    }
    return net_refuse(conn, frame, ASH_UNKNOWN_OP);
}

static void closed(void *self, struct net_conn *conn)
{
    struct global *global = self;
    registry_session_closed(global->registry, conn);
}

int main(int argc, char **argv)
{
    static const struct net_server_ops ops = {.request = request, .closed = closed};
    struct global global = {0};
    struct monitor monitor = {.program = "ashlar-global",
                              .summary = "The global managers of a rack: registry, GPM, GMM, GSM.",
                              .kind = COMPONENT_GLOBAL,
                              .ops = &ops,
                              .self = &global,
                              .start = start,
                              .stop = stop};
    return monitor_main(&monitor, argc, argv);
}
