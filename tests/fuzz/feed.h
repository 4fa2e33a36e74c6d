/* Feeds a connection from memory: the bytes lie in a socket whose other end has said all it will.
 */
#ifndef ASHLAR_FUZZ_FEED_H
#define ASHLAR_FUZZ_FEED_H

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "conn.h"

enum { FEED_MAX = 96 * 1024 }; /* what a socket holds without a reader */

/* Returns NULL where it is too much. *peer is the other end, to be closed after conn. */
static inline struct net_conn *feed(const uint8_t *data, size_t size, int *peer)
{
    int pair[2];
    struct net_conn *conn;
    if (size > FEED_MAX)
        return NULL;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 ||
        send(pair[1], data, size, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)size ||
        shutdown(pair[1], SHUT_WR) < 0 || conn_new(pair[0], &conn) < 0)
        abort();
    *peer = pair[1];
    return conn;
}

/*
 * Takes the next frame's description from the input (u16 op, u8 flags, u8 tweak, u16 length,
 * payload) and writes it as it should be on the wire, but for one byte of the header where tweak
 * says so. Returns its bytes, 0 at the end of the input.
 */
static inline size_t feed_frame(const uint8_t **data, size_t *size, uint64_t request_id,
                                uint8_t *out, size_t room)
{
    uint16_t op, length;
    if (*size < 6)
        return 0;
    memcpy(&op, *data, 2);
    uint8_t flags = (*data)[2], tweak = (*data)[3];
    memcpy(&length, *data + 4, 2);
    *data += 6;
    *size -= 6;
    if (length > *size)
        length = (uint16_t)*size;
    if (WIRE_HEADER_SIZE + length > room)
        return 0;
    struct wire_header h = {.version = PROTOCOL_VERSION,
                            .flags = flags,
                            .op = op,
                            .length = length,
                            .request_id = request_id};
    h.crc = wire_crc(wire_header_crc(&h), *data, length);
    wire_header_encode(&h, out);
    if (tweak)
        out[tweak % WIRE_HEADER_SIZE] ^= (uint8_t)(tweak >> 5 | 1);
    memcpy(out + WIRE_HEADER_SIZE, *data, length);
    *data += length;
    *size -= length;
    return WIRE_HEADER_SIZE + length;
}

#endif
