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

/*
 * CRC-32C. The instruction takes three cycles and one can start in each, so three stretches of
 * CRC_STRETCH bytes (a third of a line) run at once; the register of an earlier stretch is carried
 * past a later one by skip(), since feeding zero bytes is linear in the register's bits.
 * skip_table[i][n] is what n << 4 * i becomes by CRC_STRETCH zero bytes.
 */
enum { CRC_STRETCH = 1360 };

static const uint32_t skip_table[8][16] = {
    {0x00000000, 0x79113270, 0xf22264e0, 0x8b335690, 0xe1a8bf31, 0x98b98d41, 0x138adbd1, 0x6a9be9a1,
     0xc6bd0893, 0xbfac3ae3, 0x349f6c73, 0x4d8e5e03, 0x2715b7a2, 0x5e0485d2, 0xd537d342,
     0xac26e132},
    {0x00000000, 0x889667d7, 0x14c0b95f, 0x9c56de88, 0x298172be, 0xa1171569, 0x3d41cbe1, 0xb5d7ac36,
     0x5302e57c, 0xdb9482ab, 0x47c25c23, 0xcf543bf4, 0x7a8397c2, 0xf215f015, 0x6e432e9d,
     0xe6d5494a},
    {0x00000000, 0xa605caf8, 0x49e7e301, 0xefe229f9, 0x93cfc602, 0x35ca0cfa, 0xda282503, 0x7c2deffb,
     0x2273faf5, 0x8476300d, 0x6b9419f4, 0xcd91d30c, 0xb1bc3cf7, 0x17b9f60f, 0xf85bdff6,
     0x5e5e150e},
    {0x00000000, 0x44e7f5ea, 0x89cfebd4, 0xcd281e3e, 0x1673a159, 0x529454b3, 0x9fbc4a8d, 0xdb5bbf67,
     0x2ce742b2, 0x6800b758, 0xa528a966, 0xe1cf5c8c, 0x3a94e3eb, 0x7e731601, 0xb35b083f,
     0xf7bcfdd5},
    {0x00000000, 0x59ce8564, 0xb39d0ac8, 0xea538fac, 0x62d66361, 0x3b18e605, 0xd14b69a9, 0x8885eccd,
     0xc5acc6c2, 0x9c6243a6, 0x7631cc0a, 0x2fff496e, 0xa77aa5a3, 0xfeb420c7, 0x14e7af6b,
     0x4d292a0f},
    {0x00000000, 0x8eb5fb75, 0x1887801b, 0x96327b6e, 0x310f0036, 0xbfbafb43, 0x2988802d, 0xa73d7b58,
     0x621e006c, 0xecabfb19, 0x7a998077, 0xf42c7b02, 0x5311005a, 0xdda4fb2f, 0x4b968041,
     0xc5237b34},
    {0x00000000, 0xc43c00d8, 0x8d947741, 0x49a87799, 0x1ec49873, 0xdaf898ab, 0x9350ef32, 0x576cefea,
     0x3d8930e6, 0xf9b5303e, 0xb01d47a7, 0x7421477f, 0x234da895, 0xe771a84d, 0xaed9dfd4,
     0x6ae5df0c},
    {0x00000000, 0x7b1261cc, 0xf624c398, 0x8d36a254, 0xe9a5f1c1, 0x92b7900d, 0x1f813259, 0x64935395,
     0xd6a79573, 0xadb5f4bf, 0x208356eb, 0x5b913727, 0x3f0264b2, 0x4410057e, 0xc926a72a,
     0xb234c6e6},
};

static uint32_t skip(uint32_t crc)
{
    uint32_t out = 0;
    for (int i = 0; i < 8; i++)
        out ^= skip_table[i][crc >> 4 * i & 15];
    return out;
}

static uint64_t crc_step(uint64_t crc, const uint8_t *at)
{
    uint64_t word;
    __builtin_memcpy(&word, at, 8);
    asm("crc32q %1, %0" : "+r"(crc) : "r"(word));
    return crc;
}

uint32_t wire_crc(uint32_t crc, const void *data, size_t size)
{
    const uint8_t *p = data;
    uint64_t c = (uint32_t)~crc;

    for (; size >= 3 * CRC_STRETCH; size -= 3 * CRC_STRETCH, p += 3 * CRC_STRETCH) {
        uint64_t second = 0, third = 0;
        for (size_t i = 0; i < CRC_STRETCH; i += 8) {
            c = crc_step(c, p + i);
            second = crc_step(second, p + CRC_STRETCH + i);
            third = crc_step(third, p + 2 * CRC_STRETCH + i);
        }
        c = skip(skip((uint32_t)c) ^ (uint32_t)second) ^ (uint32_t)third;
    }
    for (; size >= 8; size -= 8, p += 8)
        c = crc_step(c, p);
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
