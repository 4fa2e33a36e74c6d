/*
 * Every message body of the wire with a way to make one up, check it and read it: for the tests and
 * the fuzz targets. samples.c is generated from messages.def.
 */
#ifndef ASHLAR_PROTO_SAMPLES_H
#define ASHLAR_PROTO_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wire_sample {
    uint16_t op;
    bool reply;
    const char *name;
    int fixed_size; /* of its payload; -1: it varies */
    /* Writes the payload that `seed` stands for (0: all zero and empty), bulk included. Returns its
       bytes, or ASH_TOO_BIG. */
    int (*encode)(uint8_t *buf, size_t size, uint64_t seed);
    /* Whether the payload decodes to what `seed` stands for, field by field. */
    bool (*check)(const uint8_t *buf, size_t size, uint64_t seed);
    /* Decodes it and reads every byte that the result points to. Returns what decoding did. */
    int (*read)(const uint8_t *buf, size_t size);
};

extern const struct wire_sample wire_samples[];
extern const int wire_sample_count;

#endif
