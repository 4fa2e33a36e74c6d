/*
 * The reader of authenticated connections, as servers (conn_receive) and clients (conn_await_reply,
 * net_receive) use it. Input: u8 mode (1: the rest is the bytes themselves; else descriptions of
 * frames, feed.h), u8 what is waited for.
 */
#include "feed.h"
#include "samples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode(const struct net_frame *frame)
{
    int i = wire_op_index(frame->header.op);
    if (i < 0)
        return;
    const struct wire_sample *s = &wire_samples[2 * i + (frame->header.flags & WIRE_REPLY)];
    (void)s->read(frame->payload, frame->header.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t bytes[FEED_MAX];
    size_t used = 0;
    if (size < 2)
        return 0;
    uint8_t mode = data[0], role = data[1];
    data += 2;
    size -= 2;
    if (mode == 1) {
        used = size < sizeof bytes ? size : sizeof bytes;
        memcpy(bytes, data, used);
    } else {
        for (size_t n; (n = feed_frame(&data, &size, 1, bytes + used, sizeof bytes - used)) > 0;)
            used += n;
    }

    int peer;
    struct net_frame frame;
    struct net_conn *conn = feed(bytes, used, &peer);
    struct conn_wait wait = {.timeout_ms = 1000};
    conn->frame_limit = FRAME_MAX;
    if (role % 3 == 0) {
        while (conn_receive(conn, &wait, &frame) == 0)
            decode(&frame);
    } else if (role % 3 == 1) {
        if (conn_await_reply(conn, OP_PING, 1, &wait, &frame) == 0)
            decode(&frame);
        while (net_receive(conn, 1000, &frame) == 0)
            decode(&frame);
    } else {
        while (net_receive(conn, 1000, &frame) == 0)
            decode(&frame);
    }
    net_close(conn);
    close(peer);
    return 0;
}
