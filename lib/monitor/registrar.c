/*
 * Registration and heartbeats; see registrar.h.
 *
 * A new connection always begins with REGISTER, under the number that the monitor had: a global
 * manager that was restarted, or that dropped the connection, is told so what it may have missed.
 * While it is away the monitor goes on serving; one line is logged when it goes and one when it is
 * back.
 */
#include "registrar.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../util/error_text.h"

/* Short, because the thread that waits is the one that notices SIGTERM. */
enum { WAIT_MS = 250 };

void registrar_init(struct registrar *registrar, struct monitor *monitor)
{
    *registrar = (struct registrar){
        .monitor = monitor,
        .self = {.kind = (uint8_t)monitor->kind, .state = COMPONENT_UP, .pid = (uint32_t)getpid()}};
    strcpy(registrar->self.name, monitor->name);
    strcpy(registrar->self.address, net_server_address(monitor->server));
}

static void disconnect(struct registrar *registrar)
{
    net_close(registrar->conn);
    registrar->conn = NULL;
}

static int connect_global(struct registrar *registrar)
{
    struct monitor *m = registrar->monitor;
    struct msg_bind bind = {.scope = SCOPE_COMPONENT, .writable = ""};
    return net_connect(m->global_address, &m->key, &bind, WAIT_MS, &registrar->conn, NULL);
}

static int send_register(struct registrar *registrar)
{
    struct monitor *m = registrar->monitor;
    struct msg_register request = {.self = registrar->self};
    struct msg_register_reply reply;
    int rc = NET_CALL(registrar->conn, REGISTER, register, &request, &reply, WAIT_MS);
    if (rc < 0)
        return rc;
    if (registrar->registered && m->id.n != reply.id.n)
        monitor_log("registered as number %u, was %u", reply.id.n, m->id.n);
    registrar->self.id = reply.id;
    if (m->id.n != reply.id.n) {
        m->id = reply.id;
        net_server_set_component(m->server, reply.id);
    }
    if (!registrar->registered || registrar->complained)
        monitor_log("registered with %s as number %u", m->global_address, reply.id.n);
    registrar->registered = true;
    registrar->complained = false;
    return 0;
}

static int send_heartbeat(struct registrar *registrar)
{
    struct msg_heartbeat request = {.self = registrar->self};
    struct msg_heartbeat_reply reply;
    return NET_CALL(registrar->conn, HEARTBEAT, heartbeat, &request, &reply, WAIT_MS);
}

/* Requests in about the last second: what load is, unless the monitor's report says otherwise. */
static uint64_t requests_lately(struct registrar *registrar)
{
    struct net_server_counters counters;
    net_server_counters(registrar->monitor->server, &counters);
    uint64_t *oldest = &registrar->served[registrar->beats++ % REGISTRAR_WINDOW];
    uint64_t lately = counters.requests - *oldest;
    *oldest = counters.requests;
    return lately;
}

int registrar_beat(struct registrar *registrar)
{
    struct monitor *m = registrar->monitor;
    int rc = 0;

    registrar->self.load = requests_lately(registrar);
    if (m->report)
        m->report(m->self, &registrar->self);
    if (registrar->conn) {
        rc = send_heartbeat(registrar);
        if (rc == ASH_NO_COMPONENT) /* forgotten, though still connected */
            rc = send_register(registrar);
    } else {
        rc = connect_global(registrar);
        if (rc == 0)
            rc = send_register(registrar);
    }
    if (rc == 0)
        return 0;

    disconnect(registrar);
    if (rc == ASH_AUTH || rc == ASH_STALE_EPOCH) {
        monitor_log("cannot stay in the rack of %s: %s", m->global_address,
                    rc == ASH_AUTH ? error_text(rc) : "another process has taken this name");
        return rc;
    }
    if (!registrar->complained)
        monitor_log("the global managers at %s do not answer (%s); %s", m->global_address,
                    error_text(rc),
                    registrar->registered ? "serving on, and trying again" : "trying again");
    registrar->complained = true;
    return 0;
}

void registrar_leave(struct registrar *registrar)
{
    if (registrar->conn && registrar->registered) {
        struct msg_leave request = {.id = registrar->self.id};
        struct msg_leave_reply reply;
        int rc = NET_CALL(registrar->conn, LEAVE, leave, &request, &reply, WAIT_MS);
        if (rc < 0)
            monitor_log("left without being heard: %s", error_text(rc));
    }
    disconnect(registrar);
}
