/* See hmac.h. No table look-up depends on secret data. */
#include "hmac.h"

#include <endian.h>
#include <string.h>

enum { BLOCK = 64, LENGTH_AT = BLOCK - 8 };

struct sha256 {
    uint32_t state[8];
    uint64_t size;        /* bytes so far */
    uint8_t block[BLOCK]; /* the last size % BLOCK of them */
};

static const uint32_t first_state[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static uint32_t rotated(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static void compress(uint32_t state[8], const uint8_t block[BLOCK])
{
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) {
        uint32_t word;
        memcpy(&word, block + 4 * i, sizeof word);
        w[i] = be32toh(word);
    }
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + (rotated(a, 7) ^ rotated(a, 18) ^ a >> 3) + w[i - 7] +
               (rotated(b, 17) ^ rotated(b, 19) ^ b >> 10);
    }
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t e = s[4], a = s[0];
        uint32_t t = s[7] + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) +
                     ((e & s[5]) ^ (~e & s[6])) + round_constants[i] + w[i];
        uint32_t u = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) +
                     ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += t;
        s[0] = t + u;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

static void begin(struct sha256 *h)
{
    memcpy(h->state, first_state, sizeof h->state);
    h->size = 0;
}

static void add(struct sha256 *h, const void *data, size_t size)
{
    const uint8_t *at = data;
    while (size) {
        size_t used = h->size % BLOCK, part = BLOCK - used < size ? BLOCK - used : size;
        memcpy(h->block + used, at, part);
        h->size += part;
        at += part;
        size -= part;
        if (used + part == BLOCK)
            compress(h->state, h->block);
    }
}

static void end(struct sha256 *h, uint8_t out[HMAC_SIZE])
{
    static const uint8_t zeros[BLOCK], one = 0x80;
    uint64_t bits = htobe64(h->size * 8);
    add(h, &one, 1);
    add(h, zeros, (BLOCK + LENGTH_AT - h->size % BLOCK) % BLOCK);
    add(h, &bits, sizeof bits);
    for (int i = 0; i < 8; i++) {
        uint32_t word = htobe32(h->state[i]);
        memcpy(out + 4 * i, &word, sizeof word);
    }
}

void hmac_sha256(const void *key, size_t key_size, const void *data, size_t size,
                 uint8_t out[HMAC_SIZE])
{
    struct sha256 h;
    uint8_t pad[BLOCK] = {0};
    memcpy(pad, key, key_size);
    for (int i = 0; i < BLOCK; i++)
        pad[i] ^= 0x36;
    begin(&h);
    add(&h, pad, BLOCK);
    add(&h, data, size);
    end(&h, out);
    for (int i = 0; i < BLOCK; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    begin(&h);
    add(&h, pad, BLOCK);
    add(&h, out, HMAC_SIZE);
    end(&h, out);
    explicit_bzero(pad, sizeof pad);
    explicit_bzero(&h, sizeof h);
}

bool hmac_equal(const uint8_t a[HMAC_SIZE], const uint8_t b[HMAC_SIZE])
{
    volatile uint8_t differ = 0;
    for (int i = 0; i < HMAC_SIZE; i++)
        differ |= a[i] ^ b[i];
    return differ == 0;
}
