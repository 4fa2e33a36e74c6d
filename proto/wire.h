/*
 * The frame header, the cursors of the generated encoders and decoders, and CRC-32C.
 *
 * A frame is a header of WIRE_HEADER_SIZE bytes and `length` bytes of payload:
 *
 *   0 magic u32   4 version u8   5 flags u8   6 op u16   8 length u32   12 status i32
 *  16 request_id u64   24 epoch u32   28 crc u32
 *
 * crc is the CRC-32C of the header's first 28 bytes and the whole payload. A reply carries its
 * request's op and request_id, WIRE_REPLY, and a status; where that is negative the payload is
 * empty (but for ASH_ELSEWHERE).
 *
 * Freestanding: no libc. Linked into every monitor and into ashlar-exec.
 */
#ifndef ASHLAR_PROTO_WIRE_H
#define ASHLAR_PROTO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WIRE_HEADER_SIZE = 32,
    WIRE_MAGIC = 0x4c485341, /* "ASHL" */
    WIRE_REPLY = 1,
    WIRE_AGAIN = 2, /* a request that was sent before, over a connection that broke */
};

struct wire_header {
    uint8_t version, flags;
    uint16_t op;
    uint32_t length; /* bytes of payload */
    int32_t status;
    uint64_t request_id;
    uint32_t epoch;
    uint32_t crc;
};

/* Extends a CRC-32C (start with 0) over size bytes. Needs SSE 4.2, as every x86-64 since 2009. */
uint32_t wire_crc(uint32_t crc, const void *data, size_t size);

/*
 * Writes the header; its crc field must be what wire_frame_crc() or a caller that continued it
 * over the payload found.
 */
void wire_header_encode(const struct wire_header *h, uint8_t out[WIRE_HEADER_SIZE]);

/* The CRC of the header alone, to be continued with wire_crc() over the payload. */
uint32_t wire_header_crc(const struct wire_header *h);

/*
 * Reads a header. Returns 0, ASH_MALFORMED (no frame at all), ASH_VERSION, or ASH_TOO_BIG where
 * length exceeds `limit`. The CRC is the caller's to check, when it has the payload.
 */
int wire_header_decode(struct wire_header *h, const uint8_t in[WIRE_HEADER_SIZE], size_t limit)
    __attribute__((warn_unused_result));

/* Whether payload (h->length bytes) is what was sent. */
bool wire_crc_ok(const struct wire_header *h, const uint8_t *payload);

/* Used by generated code only. */
struct wire_cursor {
    uint8_t *at, *end;
    bool ok;
};
struct wire_reader {
    const uint8_t *at, *end;
    bool ok;
};
struct wire_text {
    char *at, *end;
};

void wire_put(struct wire_cursor *c, const void *data, size_t size);
void wire_put_u32(struct wire_cursor *c, uint32_t n);
void wire_put_str(struct wire_cursor *c, const char *text); /* NULL is "" */
void wire_get(struct wire_reader *c, void *out, size_t size);
uint32_t wire_get_u32(struct wire_reader *c);
const char *wire_get_str(struct wire_reader *c);
const uint8_t *wire_get_bytes(struct wire_reader *c, uint32_t size);
const void *wire_get_records(struct wire_reader *c, uint32_t count, size_t record_size);
bool wire_text_valid(const char *text, size_t size); /* has a NUL within */

void wire_show_word(struct wire_text *t, const char *word);
void wire_show_decimal(struct wire_text *t, uint64_t n);
void wire_show_number(struct wire_text *t, const char *name, uint64_t n);
void wire_show_text(struct wire_text *t, const char *name, const char *value);
void wire_show_size(struct wire_text *t, const char *name, uint64_t n, const char *unit);
size_t wire_show_end(struct wire_text *t, const char *start);

#endif
