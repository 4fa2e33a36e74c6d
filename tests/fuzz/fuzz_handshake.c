/*
 * The handshake, from peers that do not hold the key: as server and as client. Neither may ever be
 * satisfied. Input: u8 mode (1: bytes, else frames as in feed.h), u8 role.
 */
#include "feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void authenticated(struct net_conn *conn)
{
    (void)conn;
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct net_key key = {.bytes = "nobody outside knows these bytes"};
    static const struct msg_bind bind = {.scope = SCOPE_COMPONENT, .writable = ""};
    static uint8_t bytes[FEED_MAX];
    size_t used = 0;
    if (size < 2)
        return 0;
    uint8_t mode = data[0], role = data[1];
    data += 2;
    size -= 2;
    uint64_t id = 1;
    if (mode == 1) {
        used = size < sizeof bytes ? size : sizeof bytes;
        memcpy(bytes, data, used);
    } else {
        for (size_t n; (n = feed_frame(&data, &size, id++, bytes + used, sizeof bytes - used)) > 0;)
            used += n;
    }

    int peer;
    struct component self = {1};
    struct net_conn *conn = feed(bytes, used, &peer);
    int rc = role & 1 ? auth_client(conn, &key, &bind, 1000, &self)
                      : auth_server(conn, &key, self, authenticated);
    if (rc >= 0)
        abort();
    net_close(conn);
    close(peer);
    return 0;
}
