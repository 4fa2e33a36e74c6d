/*
 * The frame header, the cursors of the generated code, and CRC-32C.
 *
 * Invariant: a cursor never moves past its end; once `ok` is false it stays false, and what was
 * read since is zero or NULL, so generated code checks once, at its end.
 */
#include "wire.h"
#include "errors.h"
#include "messages.h"

static void copy(void *to, const void *from, size_t size)
{
    uint8_t *t = to;
    const uint8_t *f = from;
    asm volatile("rep movsb" : "+D"(t), "+S"(f), "+c"(size) : : "memory");
}

uint32_t wire_crc(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *p = data;
    uint64_t c = (uint32_t)~crc;

    for (; size >= 8; size -= 8, p += 8) {
        uint64_t word;
        __builtin_memcpy(&word, p, 8);
        asm("crc32q %1, %0" : "+r"(c) : "r"(word));
    }
    for (; size; size--, p++)
        asm("crc32b %1, %k0" : "+r"(c) : "r"(*p));
    return ~(uint32_t)c;
}

/* The header's bytes, its crc field as it stands in h. */
void wire_header_encode(const struct wire_header *h, uint8_t out[WIRE_HEADER_SIZE])
{
    uint32_t magic = WIRE_MAGIC;
    __builtin_memcpy(out, &magic, 4);
    out[4] = h->version;
    out[5] = h->flags;
    __builtin_memcpy(out + 6, &h->op, 2);
    __builtin_memcpy(out + 8, &h->length, 4);
    __builtin_memcpy(out + 12, &h->status, 4);
    __builtin_memcpy(out + 16, &h->request_id, 8);
    __builtin_memcpy(out + 24, &h->epoch, 4);
    __builtin_memcpy(out + 28, &h->crc, 4);
}

uint32_t wire_header_crc(const struct wire_header *h)
{
    uint8_t bytes[WIRE_HEADER_SIZE];
    wire_header_encode(h, bytes);
    return wire_crc(0, bytes, WIRE_HEADER_SIZE - 4);
}

int wire_header_decode(struct wire_header *h, const uint8_t in[WIRE_HEADER_SIZE], size_t limit)
{
    uint32_t magic;
    __builtin_memcpy(&magic, in, 4);
    if (magic != WIRE_MAGIC)
        return ASH_MALFORMED;
    h->version = in[4];
    h->flags = in[5];
    __builtin_memcpy(&h->op, in + 6, 2);
    __builtin_memcpy(&h->length, in + 8, 4);
    __builtin_memcpy(&h->status, in + 12, 4);
    __builtin_memcpy(&h->request_id, in + 16, 8);
    __builtin_memcpy(&h->epoch, in + 24, 4);
    __builtin_memcpy(&h->crc, in + 28, 4);
    if (h->version != PROTOCOL_VERSION)
        return ASH_VERSION;
    if (h->length > limit)
        return ASH_TOO_BIG;
    return 0;
}

bool wire_crc_ok(const struct wire_header *h, const uint8_t *payload)
{
    return wire_crc(wire_header_crc(h), payload, h->length) == h->crc;
}

void wire_put(struct wire_cursor *c, const void *data, size_t size)
{
    if (!c->ok || (size_t)(c->end - c->at) < size) {
        c->ok = false;
        return;
    }
    copy(c->at, data, size);
    c->at += size;
}

void wire_put_u32(struct wire_cursor *c, uint32_t n)
{
    wire_put(c, &n, 4);
}

void wire_put_str(struct wire_cursor *c, const char *text)
{
    size_t size = 1;
    if (!text)
        text = "";
    while (text[size - 1])
        size++;
    uint16_t length = (uint16_t)size;
    if (size > UINT16_MAX)
        c->ok = false;
    wire_put(c, &length, 2);
    wire_put(c, text, size);
}

const uint8_t *wire_get_bytes(struct wire_reader *c, uint32_t size)
{
    if (!c->ok || (size_t)(c->end - c->at) < size) {
        c->ok = false;
        return NULL;
    }
    const uint8_t *bytes = c->at;
    c->at += size;
    return bytes;
}

void wire_get(struct wire_reader *c, void *out, size_t size)
{
    const uint8_t *bytes = wire_get_bytes(c, (uint32_t)size);
    if (bytes)
        copy(out, bytes, size);
    else
        for (size_t i = 0; i < size; i++)
            ((volatile uint8_t *)out)[i] = 0;
}

uint32_t wire_get_u32(struct wire_reader *c)
{
    uint32_t n;
    wire_get(c, &n, 4);
    return n;
}

const char *wire_get_str(struct wire_reader *c)
{
    uint16_t size;
    wire_get(c, &size, 2);
    const char *text = (const char *)wire_get_bytes(c, size);
    if (!text || size == 0) {
        c->ok = false;
        return NULL;
    }
    for (uint16_t i = 0; i < size; i++) {
        if ((text[i] == 0) != (i == size - 1)) {
            c->ok = false;
            return NULL;
        }
    }
    return text;
}

const void *wire_get_records(struct wire_reader *c, uint32_t count, size_t record_size)
{
    if (!c->ok || (size_t)(c->end - c->at) / record_size < count) {
        c->ok = false;
        return NULL;
    }
    return wire_get_bytes(c, (uint32_t)(count * record_size));
}

bool wire_text_valid(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (text[i] == 0)
            return true;
    return false;
}

void wire_show_word(struct wire_text *t, const char *word)
{
    for (; *word && t->at + 1 < t->end; word++)
        *t->at++ = *word >= 0x20 && *word < 0x7f ? *word : '?';
}

void wire_show_decimal(struct wire_text *t, uint64_t n)
{
    char digits[24], *d = digits + sizeof digits;
    *--d = 0;
    do
        *--d = (char)('0' + n % 10);
    while (n /= 10);
    wire_show_word(t, d);
}

static void show_name(struct wire_text *t, const char *name)
{
    wire_show_word(t, " ");
    wire_show_word(t, name);
    wire_show_word(t, "=");
}

void wire_show_number(struct wire_text *t, const char *name, uint64_t n)
{
    show_name(t, name);
    wire_show_decimal(t, n);
}

void wire_show_text(struct wire_text *t, const char *name, const char *value)
{
    show_name(t, name);
    wire_show_word(t, "\"");
    wire_show_word(t, value);
    wire_show_word(t, "\"");
}

void wire_show_size(struct wire_text *t, const char *name, uint64_t n, const char *unit)
{
    show_name(t, name);
    wire_show_decimal(t, n);
    wire_show_word(t, " ");
    wire_show_word(t, unit);
}

size_t wire_show_end(struct wire_text *t, const char *start)
{
    if (t->at < t->end)
        *t->at = 0;
    return (size_t)(t->at - start);
}
