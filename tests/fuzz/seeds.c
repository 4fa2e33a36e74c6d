/*
 * Writes the seed corpora, made by the encoders: seeds DIR makes DIR/decode, DIR/frame,
 * DIR/connection and DIR/handshake.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "errors.h"
#include "limits.h"
#include "messages.h"
#include "samples.h"

enum { SEEDS = 3, ROOM = 16384 };

static const char *directory;

static void put(const char *target, const char *name, unsigned number, const void *head,
                size_t head_size, const void *body, size_t size)
{
    char path[PATH_LIMIT];
    snprintf(path, sizeof path, "%s/%s/%s-%u", directory, target, name, number);
    FILE *file = fopen(path, "w");
    if (!file || fwrite(head, 1, head_size, file) != head_size ||
        fwrite(body, 1, size, file) != size || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static void seed(int index, unsigned number)
{
    const struct wire_sample *s = &wire_samples[index];
    static uint8_t payload[ROOM];
    int size = s->encode(payload, sizeof payload, number);
    if (size < 0)
        exit(1);
    uint16_t which = (uint16_t)index, length = (uint16_t)size;
    put("decode", s->name, number, &which, sizeof which, payload, (size_t)size);

    struct wire_header h = {.version = PROTOCOL_VERSION,
                            .op = s->op,
                            .flags = s->reply ? WIRE_REPLY : 0,
                            .length = (uint32_t)size,
                            .request_id = 1};
    uint8_t head[WIRE_HEADER_SIZE];
    h.crc = wire_crc(wire_header_crc(&h), payload, (size_t)size);
    wire_header_encode(&h, head);
    put("frame", s->name, number, head, sizeof head, payload, (size_t)size);

    uint8_t described[8] = {0, (uint8_t)s->reply};
    memcpy(described + 2, &s->op, 2);
    described[4] = h.flags;
    memcpy(described + 6, &length, 2);
    put("connection", s->name, number, described, sizeof described, payload, (size_t)size);
    if (s->op == OP_HELLO || s->op == OP_PROOF || s->op == OP_BIND)
        put("handshake", s->name, number, described, sizeof described, payload, (size_t)size);
}

int main(int argc, char **argv)
{
    static const char *const targets[] = {"decode", "frame", "connection", "handshake"};
    if (argc != 2)
        return 2;
    directory = argv[1];
    for (int i = 0; i < 4; i++) {
        char path[PATH_LIMIT];
        snprintf(path, sizeof path, "%s/%s", directory, targets[i]);
        if (mkdir(path, 0700) < 0) {
            perror(path);
            return 1;
        }
    }
    for (int i = 0; i < wire_sample_count; i++)
        for (unsigned number = 0; number < SEEDS; number++)
            seed(i, number);
    return 0;
}
