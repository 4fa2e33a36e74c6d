/*
 * Registration and heartbeats; see registrar.h.
 *
 * A new connection always begins with REGISTER, under the number that the monitor had: a global
 * manager that was restarted, or that dropped the connection, is told so what it may have missed.
 * While it is away the monitor goes on serving; one line is logged when it goes and one when it is
 * back. A connection that ends is how the global managers see that a monitor died: one that only
 * was too slow stays open until the next one has registered.
 *
 * Who is in the rack is asked for when a heartbeat's answer says that it has changed, and after
 * each registration, since the count may be another global manager's.
 */
#include "registrar.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../util/clock.h"
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

/* After an error; `slow` where the connection may be in order. */
static void disconnect(struct registrar *registrar, bool slow)
{
    if (slow && !registrar->slow_conn)
        registrar->slow_conn = registrar->conn;
    else
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
    registrar->told = false;
    net_close(registrar->slow_conn);
    registrar->slow_conn = NULL;
    return 0;
}

/* It had been declared lost: what it stood for is given up before it is a component again. */
static int register_anew(struct registrar *registrar)
{
    struct monitor *m = registrar->monitor;
    monitor_log("%s had declared this component lost", m->global_address);
    if (m->fenced)
        m->fenced(m->self);
    registrar->self.id.n = 0;
    return send_register(registrar);
}

static int send_heartbeat(struct registrar *registrar, uint32_t *changes)
{
    struct msg_heartbeat request = {.self = registrar->self};
    struct msg_heartbeat_reply reply;
    int rc = NET_CALL(registrar->conn, HEARTBEAT, heartbeat, &request, &reply, WAIT_MS);
    if (rc == 0)
        *changes = reply.changes;
    return rc;
}

/* One beat over a connection that may have to be made. */
static int keep_registered(struct registrar *registrar, uint32_t *changes)
{
    int rc;
    if (registrar->conn) {
        rc = send_heartbeat(registrar, changes);
        if (rc == ASH_NO_COMPONENT) /* forgotten, though still connected */
            rc = send_register(registrar);
    } else {
        rc = connect_global(registrar);
        if (rc == 0)
            rc = send_register(registrar);
    }
    return rc == ASH_FENCED ? register_anew(registrar) : rc;
}

/* Global managers that are started again know from who is drained that it is. */
static void note_own_state(struct registrar *registrar, const struct msg_components_reply *reply)
{
    for (uint32_t i = 0; i < reply->components_count; i++) {
        const struct component_info *info = &reply->components[i];
        if (info->id.n == registrar->self.id.n && info->state != COMPONENT_DOWN)
            registrar->self.state = info->state;
    }
}

static int tell_members(struct registrar *registrar)
{
    struct monitor *m = registrar->monitor;
    struct msg_components request = {};
    struct msg_components_reply reply;
    int rc = NET_CALL(registrar->conn, COMPONENTS, components, &request, &reply, WAIT_MS);
    if (rc < 0)
        return rc;
    registrar->told = true;
    registrar->changes = reply.changes;
    note_own_state(registrar, &reply);
    m->members(m->self, reply.components, reply.components_count);
    return 0;
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
    uint32_t changes = 0;

    registrar->self.load = requests_lately(registrar);
    if (m->report)
        m->report(m->self, &registrar->self);
    int rc = keep_registered(registrar, &changes);
    if (rc == 0 && m->members && (!registrar->told || changes != registrar->changes))
        rc = tell_members(registrar);
    if (rc == 0) {
        m->members_ms = clock_ms();
        return 0;
    }

    disconnect(registrar, rc == ASH_TIMEOUT);
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
    disconnect(registrar, false);
    net_close(registrar->slow_conn);
}

int monitor_components(struct monitor *m, struct component_info *out, size_t limit)
{
    struct msg_bind bind = {.scope = SCOPE_COMPONENT, .writable = ""};
    struct msg_components request = {};
    struct msg_components_reply reply;
    struct net_conn *conn;
    int rc = net_connect(m->global_address, &m->key, &bind, CONNECT_TIMEOUT_MS, &conn, NULL);
    if (rc < 0)
        return rc;
    rc = NET_CALL(conn, COMPONENTS, components, &request, &reply, GLOBAL_TIMEOUT_MS);
    if (rc == 0) {
        rc = (int)(reply.components_count < limit ? reply.components_count : limit);
        memcpy(out, reply.components, (size_t)rc * sizeof *out);
    }
    net_close(conn);
    return rc;
}
