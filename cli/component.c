/* See component.h. */
#include "component.h"

#include <string.h>

int component_connect(const char *address, const struct net_key *key, struct net_conn **out)
{
    struct msg_bind bind = {.scope = SCOPE_COMPONENT, .writable = ""};
    return net_connect(address, key, &bind, CONNECT_TIMEOUT_MS, out, NULL);
}

int component_list(const char *global_address, const struct net_key *key,
                   struct component_info *list, unsigned max)
{
    struct net_conn *conn;
    int rc = component_connect(global_address, key, &conn);
    if (rc < 0)
        return rc;
    struct msg_components request = {};
    struct msg_components_reply reply;
    rc = NET_CALL(conn, COMPONENTS, components, &request, &reply, GLOBAL_TIMEOUT_MS);
    if (rc == 0) {
        unsigned count = reply.components_count < max ? reply.components_count : max;
        memcpy(list, reply.components, count * sizeof *list);
        rc = (int)count;
    }
    net_close(conn);
    return rc;
}
